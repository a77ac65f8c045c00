"""A state root of one's own, and the real command line on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers import wait_until

REPOSITORY = Path(__file__).resolve().parent.parent


class Terminal:
    """Runs `wattle` commands on a state root below `folder`; `close` ends whatever they left. `bus` gives their
    coordinators one."""

    def __init__(self, folder: Path, home: Path | None = None, *, bus: bool = False) -> None:
        self.folder = folder
        self.home = home or folder / "home"
        self.environment = {**os.environ, "WATTLE_HOME": str(self.home), "PYTHONPATH": str(REPOSITORY),
                            "NO_COLOR": "1"}  # fmt: skip
        if bus:
            self.environment["WATTLE_ZENOH_ENABLED"] = "true"
        self.processes: list[subprocess.Popen[str]] = []

    def wattle(self, *words: str, env: Mapping[str, str] | None = None, stdin: str | None = None,
               timeout: float = 60) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command to its end."""
        return subprocess.run([sys.executable, "-m", "wattle", *words], capture_output=True, text=True, check=False,
                              cwd=self.folder, env={**self.environment, **(env or {})}, timeout=timeout,
                              input=stdin)  # fmt: skip

    def ask(self, *words: str) -> Any:
        """What a command says with `--json`; fails with its error."""
        done = self.wattle(*words, "--json")
        assert done.returncode in {0, 1}, done.stderr
        return json.loads(done.stdout)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and let it run."""
        process = subprocess.Popen([sys.executable, "-m", "wattle", *words], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=self.folder,
                                   env=self.environment, start_new_session=True)  # fmt: skip
        self.processes.append(process)
        return process

    def write(self, name: str, document: Mapping[str, Any]) -> str:
        """Write a document; returns what to give to `run`."""
        (self.folder / name).write_text(json.dumps(document))
        return f"./{name}"

    def holder(self) -> dict[str, Any]:
        """Who coordinates, as the state root says."""
        return dict(json.loads((self.home / "holder.json").read_text()))

    def coordinator(self) -> int:
        """The coordinator's process id."""
        return int(self.holder()["pid"])

    def supervisor(self) -> int:
        """The supervisor's process id."""
        return int((self.home / "run" / "supervisor.lock").read_text().split()[0])

    def router(self) -> int:
        """The router's process id."""
        return int(json.loads((self.home / "run" / "bus" / "ready.json").read_text())["pid"])

    def status(self, address: str) -> dict[str, Any]:
        """The run's detail."""
        return dict(self.ask("status", address))

    def wait_for(self, address: str, status: str, deadline: float = 60) -> dict[str, Any]:
        """Until the run has this status, as a look-up says."""
        wait_until(lambda: self.status(address)["status"] == status, deadline)
        return self.status(address)

    def lines(self, name: str) -> list[str]:
        """The lines of a file that workers write, empty while there is none."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        """End coordinator, supervisor, workers and commands."""
        if (self.home / "holder.json").exists() or any(running(pid) for pid in self._left()):
            self.wattle("down", "--stop-runs")
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for pid in self._left():
            with_suppressed_kill(pid)

    def _left(self) -> list[int]:
        found = []
        for look in (self.coordinator, self.supervisor, self.router):
            try:
                found.append(look())
            except (OSError, ValueError, KeyError, IndexError):
                continue
        return found


def running(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def with_suppressed_kill(pid: int) -> None:
    """Kill a process that may be gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
