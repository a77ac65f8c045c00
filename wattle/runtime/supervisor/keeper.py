"""The supervisor's parent: it outlives it, keeps its orphans' exit codes, and starts the next one.

When a supervisor is killed, its workers become children of the nearest subreaper, which is this process. It reaps each
of them, and writes down what `wait4` said, with the start time that makes the process id an identity, into
`orphans.jsonl`, where the next supervisor finds it. It does nothing else, so there is little that could end it.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable

from wattle.runtime.supervisor import processes

RESTARTS, WITHIN = 10, 60.0
TAKEN = 3
"""Exit code of a supervisor that found another one at work."""
PATIENCE = 5.0
"""Seconds that a successor waits for its predecessor's lock."""


def keep(folder: str, supervise: Callable[[float], int]) -> int:
    """Run `supervise` in a child, again and again if it is killed; returns when it ended well and no orphan is left."""
    processes.become_subreaper()
    os.environ.setdefault("WATTLE_FAILPOINT", "")
    starts: deque[float] = deque(maxlen=RESTARTS)
    child = _fork(supervise, starts)
    wanted = True
    while True:
        try:
            seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return 0
        if seen is None:
            continue
        entry = processes.look(seen.si_pid)
        pid, status, usage = os.wait4(seen.si_pid, 0)
        if pid != child:
            _write_down(folder, pid, entry.ticks if entry else 0, status, usage)
            continue
        code = os.waitstatus_to_exitcode(status)
        wanted = wanted and code not in {0, TAKEN}
        child = 0
        if wanted:
            os.environ["WATTLE_FAILPOINT"] = ""
            child = _fork(supervise, starts)


def _fork(supervise: Callable[[float], int], starts: deque[float]) -> int:
    now = time.monotonic()
    if len(starts) == RESTARTS and now - starts[0] < WITHIN:
        time.sleep(WITHIN - (now - starts[0]))
    patience = PATIENCE if starts else 0.0
    starts.append(time.monotonic())
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = supervise(patience)
    finally:
        os._exit(code)
    return 0


def _write_down(folder: str, pid: int, ticks: int, status: int, usage: object) -> None:
    told = {"pid": pid, "ticks": ticks, "status": status, "utime": getattr(usage, "ru_utime", 0.0),
            "stime": getattr(usage, "ru_stime", 0.0), "maxrss": getattr(usage, "ru_maxrss", 0)}  # fmt: skip
    path = os.path.join(folder, "orphans.jsonl")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return
    os.write(descriptor, json.dumps(told).encode() + b"\n")
    os.close(descriptor)
