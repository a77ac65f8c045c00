"""One attempt as the supervisor sees it, and how its process is made: the folders and files that its launch wants,
then the process. This may take long (`relay.py`), so nothing that is decided is touched here."""

from __future__ import annotations

import errno
import time
from typing import Any, NamedTuple

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.prepare import Launch, Refused, explain, prepare
from wattle.runtime.supervisor.spawn import Spawn, encode

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
        """When its making began, counted."""
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


class Made(NamedTuple):
    """What became of a task: its process, or why there is none."""

    task: Task
    pid: int
    ticks: int
    refused: Refused | None


class Maker:
    """Makes processes, in any thread."""

    def __init__(self, spawn: Spawn, environments: dict[str, dict[str, bytes]]) -> None:
        self._spawn = spawn
        self._environments = environments
        self._births = processes.Births()
        self._made: set[str] = set()
        """Working directories that were there a moment ago; looked at again when a process cannot be made."""

    def make(self, task: Task) -> Made:
        """Make this one's process. Never raises."""
        try:
            return Made(task, *self._make(task), None)
        except Refused as error:
            return Made(task, 0, 0, error)
        except (OSError, ValueError) as error:
            return Made(task, 0, 0, Refused(f"it could not be started: {error}"))

    def _make(self, task: Task) -> tuple[int, int]:
        launch = task.launch
        base = self._environments.get(launch["env_id"])
        if base is None:
            raise Refused("its environment is not known; start the run again")
        prepare(launch, self._made)
        tag = f"WATTLE_TASK={launch['run']}/{launch['worker']}/{launch['attempt']}/{launch['nonce']}"
        env = {**base, **encoded(launch.get("env", {})), "WATTLE_TASK": encode(tag)}
        words = [launch["executable"], *launch["argv"][1:]]
        tries = 0
        while True:
            try:
                before = self._births.moment()
                pid = self._spawn(words, env.values(), launch["cwd"], launch["stdout"], launch.get("stderr"))
                return pid, self._births.ticks(pid, before)
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
            time.sleep(BUSY_FILE_PAUSE)  # another child has our script open until its own exec
            return True
        if error.errno in {errno.EAGAIN, errno.ENOMEM} and tries < ROOM_TRIES and task.stop is None:
            time.sleep(ROOM_PAUSE)
            return True
        return False


def encoded(variables: dict[str, str]) -> dict[str, bytes]:
    """Variables as the system takes them: name -> `name=value`."""
    return {name: encode(f"{name}={value}") for name, value in variables.items()}
