"""One attempt as the supervisor sees it, and the lanes in which processes are made.

A lane is a thread: it makes the folders and files that a launch wants, then the process. Its result comes back through
a queue and a byte in a pipe, so that everything else happens on the one main thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import time
from collections import deque
from typing import Any

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.prepare import Launch, Refused, explain, prepare
from wattle.runtime.supervisor.spawn import LibrarySpawn, PopenSpawn, PythonSpawn

BUSY_FILE_TRIES, BUSY_FILE_PAUSE = 20, 0.005
ROOM_TRIES, ROOM_PAUSE = 40, 0.25
"""A machine without room for another process is waited for: the shortage is ours, not the worker's failure."""


class Task:
    """One attempt. `launch` is what the coordinator sent; of an adopted one, what the journal kept of it."""

    __slots__ = ("deadline", "exit", "launch", "leader_gone", "nonce", "pid", "serial", "since", "stop", "ticks",
                 "why")  # fmt: skip

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.nonce: str = launch["nonce"]
        self.pid = 0
        self.ticks = 0
        self.serial = 0
        """When it went into a lane, counted."""
        self.since = 0.0
        """When its process began, by the monotonic clock."""
        self.deadline: float | None = None
        self.stop: Stop | None = None
        self.why = "exit"
        """Or `timeout`, when it was ended for that."""
        self.leader_gone = False
        self.exit: dict[str, Any] = {}


class Stop:
    """An end under way: TERM was sent, KILL follows at `kill_at`, and it is over after two empty looks. `whole` asks
    for all that belong to the attempt, not only for its group; `known` are those found so far."""

    __slots__ = ("empty", "kill_at", "known", "told", "whole")

    def __init__(self, grace: float, *, whole: bool = True) -> None:
        self.kill_at = time.monotonic() + grace
        self.whole = whole
        self.known: set[tuple[int, int]] = set()
        self.empty = 0
        self.told = False


class Lanes:
    """Makes processes in a few threads. `results` holds (task, pid, ticks, error or None)."""

    def __init__(self, spawn: LibrarySpawn | PythonSpawn | PopenSpawn, environments: dict[str, dict[str, bytes]],
                 wake: int) -> None:  # fmt: skip
        self.results: deque[tuple[Task, int, int, Refused | None]] = deque()
        self.busy = 0
        self.begun = 0
        """How many tasks ever went in."""
        self._spawn = spawn
        self._environments = environments
        self._wake = wake
        self._made: set[str] = set()
        """Working directories that were there a moment ago; looked at again when a process cannot be made."""
        self._work: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for _ in range(spawn.lanes):
            threading.Thread(target=self._lane, daemon=True).start()

    def put(self, task: Task) -> None:
        """Make this one's process."""
        self.busy += 1
        self.begun += 1
        task.serial = self.begun
        self._work.put(task)

    def _lane(self) -> None:
        while True:
            task = self._work.get()
            pid, ticks, refused = 0, 0, None
            try:
                pid = self._make(task)
                entry = processes.look(pid)
                ticks = entry.ticks if entry else 0
            except Refused as error:
                refused = error
            except (OSError, ValueError) as error:
                refused = Refused(f"it could not be started: {error}")
            self.results.append((task, pid, ticks, refused))
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self._wake, b"l")

    def _make(self, task: Task) -> int:
        launch = task.launch
        base = self._environments.get(launch["env_id"])
        if base is None:
            raise Refused("its environment is not known; start the run again")
        prepare(launch, self._made)
        tag = f"WATTLE_TASK={launch['run']}/{launch['worker']}/{launch['attempt']}/{launch['nonce']}"
        env = {**base, **encoded(launch.get("env", {})), "WATTLE_TASK": os.fsencode(tag)}
        words = [launch["executable"], *launch["argv"][1:]]
        tries = 0
        while True:
            try:
                return self._spawn(words, env.values(), launch["cwd"], launch["stdout"], launch.get("stderr"))
            except OSError as error:
                tries += 1
                if not self._again(error, task, tries):
                    raise Refused(explain(error, launch)) from None

    def _again(self, error: OSError, task: Task, tries: int) -> bool:
        """Whether it is worth another try. Raises Refused."""
        if error.errno == errno.ENOENT and tries == 1:
            self._made.clear()
            prepare(task.launch, self._made)
            return True
        if error.errno == errno.ETXTBSY and tries < BUSY_FILE_TRIES:
            time.sleep(BUSY_FILE_PAUSE)  # another lane's child has our script open until its own exec
            return True
        if error.errno in {errno.EAGAIN, errno.ENOMEM} and tries < ROOM_TRIES and task.stop is None:
            time.sleep(ROOM_PAUSE)
            return True
        return False


def encoded(variables: dict[str, str]) -> dict[str, bytes]:
    """Variables as the system takes them: name -> `name=value`."""
    return {name: os.fsencode(f"{name}={value}") for name, value in variables.items()}
