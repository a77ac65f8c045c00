"""Start keeper and supervisor of a runtime directory, without waiting: cheap enough to be the first thing that a cold
command does. Starting twice is harmless: the second one finds the lock taken and leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGE_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from wattle.runtime.supervisor.main import main; main()"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
             "WATTLE_TASK", "WATTLE_FAILPOINT")  # fmt: skip
"""Variables of the starter that the pair gets. Workers get their own; secrets of a shell have no business there."""

_launched: list[subprocess.Popen[bytes]] = []


def launch_supervisor(runtime_dir: Path | str, idle_seconds: float = 60.0) -> None:
    """Start the pair detached: own session, no terminal, the root folder, its words in `supervisor.log`."""
    reap_launched()
    folder = str(runtime_dir)
    log = os.open(os.path.join(folder, "supervisor.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        _launched.append(subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM, PACKAGE_ROOT, folder, str(idle_seconds)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        ))  # fmt: skip
    finally:
        os.close(log)


def reap_launched() -> None:
    """Let go of the processes that started pairs; they end as soon as they have."""
    _launched[:] = [process for process in _launched if process.poll() is None]
