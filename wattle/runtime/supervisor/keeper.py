"""The supervisor's parent: it outlives it, keeps its orphans' exit codes, and starts the next one.

When a supervisor is killed, its workers become children of the nearest subreaper, which is this process. It writes down
whose they are (by the tag in their environment: the supervisor may have died before it could), reaps each of them, and
writes down what `wait4` said, with the start time that makes the process id an identity, all into `orphans.jsonl`,
where the next supervisor finds it. It does nothing else, so there is little that could end it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from wattle.runtime.supervisor import processes

RESTARTS, WITHIN = 10, 60.0
TAKEN = 3
"""Exit code of a supervisor that found another one at work."""
PATIENCE = 5.0
"""Seconds that a successor waits for its predecessor's lock."""
TAG_LOOKS, MOST_TAG_LOOKS, TAG_PAUSE = 3, 25, 0.002


class Keeper:
    """Runs `supervise(patience)` in a child, again and again if it is killed; `patience` is seconds for the lock."""

    def __init__(self, folder: str, supervise: Callable[[float], int]) -> None:
        self._folder = folder
        self._supervise = supervise
        self._child = 0
        self._starts: deque[float] = deque(maxlen=RESTARTS)
        self._unwritten: list[bytes] = []

    def keep(self) -> int:
        """Until a supervisor ended well and no orphan is left; the exit code."""
        processes.become_subreaper()
        self._fork()
        while True:
            try:
                pid, ticks = _next_dead()
                pid, status, usage = os.wait4(pid, 0)
            except ChildProcessError:
                return 0
            if pid != self._child:
                self._write_down({"pid": pid, "ticks": ticks, "status": status, "utime": usage.ru_utime,
                                  "stime": usage.ru_stime, "maxrss": usage.ru_maxrss})  # fmt: skip
                continue
            self._child = 0
            if os.waitstatus_to_exitcode(status) in {0, TAKEN}:
                continue
            self._note_orphans()
            if self._hopeless():
                continue
            os.environ["WATTLE_FAILPOINT"] = ""
            self._fork()

    def _fork(self) -> None:
        """Start a supervisor, not more often than is sane."""
        now = time.monotonic()
        if len(self._starts) == RESTARTS and now - self._starts[0] < WITHIN:
            time.sleep(WITHIN - (now - self._starts[0]))
        patience = PATIENCE if self._starts else 0.0
        self._starts.append(time.monotonic())
        self._child = os.fork()
        if self._child:
            return
        code = 1
        try:
            code = self._supervise(patience)
        except Exception:  # noqa: BLE001  its last words, where a person will look
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _hopeless(self) -> bool:
        """Supervisors end as soon as they begin, and there is nobody to look after."""
        often = len(self._starts) == RESTARTS and time.monotonic() - self._starts[0] < WITHIN
        return often and not processes.children()

    def _note_orphans(self) -> None:
        """Whose the orphans are. One that was just being made still shows our own variables: it is looked at again."""
        seen: set[int] = set()
        own = os.environ.get("WATTLE_TASK", "")
        for look in range(MOST_TAG_LOOKS):
            being_made = False
            for pid in processes.children():
                entry = processes.look(pid) if pid not in seen else None
                if entry is None or entry.group != pid or entry.state in processes.DEAD:
                    continue
                tag = processes.tag_of(pid)
                if tag in {"", own}:
                    being_made = True
                    continue
                seen.add(pid)
                self._write_down({"pid": pid, "ticks": entry.ticks, "tag": tag})
            if look >= TAG_LOOKS and not being_made:
                break
            time.sleep(TAG_PAUSE)

    def _write_down(self, told: dict[str, Any]) -> None:
        """Append a line; what a full disk refuses is tried again with the next one."""
        self._unwritten.append(json.dumps(told).encode() + b"\n")
        path = os.path.join(self._folder, "orphans.jsonl")
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:
            return
        try:
            while self._unwritten:
                os.write(descriptor, self._unwritten[0])
                del self._unwritten[0]
        except OSError:
            return
        finally:
            os.close(descriptor)


def _next_dead() -> tuple[int, int]:
    """Wait for a child to end; its process id and start ticks, while it is still a zombie. (-1, 0) where one cannot
    look before reaping. Raises ChildProcessError when there are no children."""
    if not hasattr(os, "waitid"):
        return -1, 0
    while True:
        seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if seen is not None:
            entry = processes.look(seen.si_pid)
            return seen.si_pid, entry.ticks if entry else 0
