"""Once a second, for what runs: tell the system whom to end first when memory runs out, and cut logs that have a limit.

A task younger than a second is left alone: a workflow of ten thousand short ones pays nothing. Cutting a log frees the
middle of the file in place (`fallocate`, Linux): the beginning, the end, its size and all offsets stay, and what was
cut is written beside it as `<log>.cuts`, one line of JSON `{from, to}` each.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import time
from collections.abc import Iterable

from wattle.runtime.supervisor.tasks import Task

EVERY = 1.0
SHORT_OF_MEMORY_FIRST = b"300"
KEPT_HEAD = 1 << 20
BLOCK = 4096
KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02


class Upkeep:
    """Looks after running tasks."""

    def __init__(self) -> None:
        self._next = 0.0
        self._marked: set[str] = set()

    def look(self, tasks: Iterable[Task]) -> None:
        """Do what is due for tasks that have been running for a while."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        old = [task for task in tasks if task.pid and not task.leader_gone and now - task.since > EVERY]
        for task in old:
            if task.nonce not in self._marked:
                _mark(task.pid)
            limit = task.launch.get("log_limit")
            if limit:
                for path in filter(None, (task.launch["stdout"], task.launch.get("stderr"))):
                    cut(path, limit)
        self._marked = {task.nonce for task in old}


def _mark(pid: int) -> None:
    """Let the system end this one before the supervisor or Jupyter."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
        file.write(SHORT_OF_MEMORY_FIRST)


def cut(path: str, limit: int) -> bool:
    """Free the middle of a log that takes more than `limit` bytes; whether something was cut."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        seen = os.fstat(descriptor)
        kept = min(KEPT_HEAD, limit // 2)
        begin = _up(_cut_before(path) or kept)
        end = (seen.st_size - (limit - kept) // 2) // BLOCK * BLOCK
        if seen.st_blocks * 512 <= limit + 2 * BLOCK or end <= begin:
            return False
        return _cut_and_note(path, descriptor, begin, end)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _cut_and_note(path: str, descriptor: int, begin: int, end: int) -> bool:
    """The note comes first, so that no cut is ever without one. Raises OSError."""
    notes = os.open(f"{path}.cuts", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        before = os.fstat(notes).st_size
        os.write(notes, json.dumps({"from": begin, "to": end}).encode() + b"\n")
        done = _punch(descriptor, begin, end - begin)
        if not done:
            os.ftruncate(notes, before)
        return done
    finally:
        os.close(notes)


def _cut_before(path: str) -> int:
    """Where the last cut of this log ended."""
    try:
        with open(f"{path}.cuts", "rb") as file:
            lines = file.read().split(b"\n")[:-1]
        return int(json.loads(lines[-1])["to"]) if lines else 0
    except (OSError, ValueError, KeyError):
        return 0


def _up(offset: int) -> int:
    return -(-offset // BLOCK) * BLOCK


def _punch(descriptor: int, offset: int, length: int) -> bool:
    """Free these bytes; whether the file system can."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):
        return False
    sizes = ctypes.c_int64(offset), ctypes.c_int64(length)
    return bool(call(descriptor, KEEP_SIZE_AND_PUNCH_HOLE, *sizes) == 0)
