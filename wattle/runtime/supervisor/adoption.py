"""What a supervisor makes of the journal of one that was killed, and how it watches processes not its children.

    recorded          process                                    becomes
    P                 found by its tag                           S, and it is watched
    P                 seen by the keeper, and ended              S and X, with its true code
    P                 nowhere, and no log                        forgotten: it never began, and may be sent again
    P                 nowhere, but there is its log              L: it may have run
    P S               alive: same pid, start ticks, boot, pid ns watched; it keeps its slots
    P S               gone, its end written by the keeper        X, with its true code
    P S               gone, nobody saw it                        L
    P S E             gone or not, its exit code is known        its group is ended, then X
    P S, other boot   gone with the machine                      L

A process opens its log before its program begins, so an attempt without a log never ran. The keeper is the one who sees
how an orphan ends; it has `ORPHAN_PATIENCE` to write that down.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.journal import ENDS, Journal
from wattle.runtime.supervisor.outcome import status_fields
from wattle.runtime.supervisor.tasks import Task

ORPHAN_PATIENCE = 2.0
LOOK_SECONDS = 0.1
TAG_LOOKS, TAG_PAUSE = 4, 0.02
Record = dict[str, Any]


class Orphans:
    """The keeper's notes: how orphans ended, and whose they were."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "orphans.jsonl")
        self._read = 0
        self._ends: dict[tuple[int, int], Record] = {}
        self._tags: dict[str, tuple[int, int]] = {}

    def refresh(self) -> None:
        """Read what was added."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.split(b"\n")[:-1]:
            try:
                told = json.loads(line)
                identity = (told["pid"], told["ticks"])
            except (ValueError, KeyError, TypeError):
                continue
            if "status" in told:
                self._ends[identity] = told
            else:
                self._tags.setdefault(processes.nonce_of(told["tag"]), identity)

    def end(self, pid: int, ticks: int) -> Record | None:
        """What `wait4` said of this process."""
        return self._ends.get((pid, ticks))

    def of(self, nonce: str) -> tuple[int, int] | None:
        """The process of an attempt that the keeper saw when the supervisor had just died."""
        return self._tags.get(nonce)

    def clear(self) -> None:
        """Nobody is watched any more."""
        if self._read:
            try:
                os.unlink(self._path)
            except OSError:
                return
            self._read = 0
            self._ends.clear()
            self._tags.clear()


class Adoption:
    """Processes of an earlier supervisor. `gone` is called with each whose leader ended (`task.exit` says how; it is
    empty when nobody knows), `lost` with those of which nothing can be known."""

    def __init__(self, folder: str, journal: Journal, note: Callable[..., Record],
                 gone: Callable[[Task], None]) -> None:  # fmt: skip
        self._journal = journal
        self._note = note
        self._gone = gone
        self._orphans = Orphans(folder)
        self._watched: dict[str, tuple[Task, float | None]] = {}
        """With the moment at which each was found gone."""
        self._next = 0.0
        self._here = (processes.boot_id(), processes.pid_namespace())

    @property
    def next_look(self) -> float | None:
        """When `look` has something to do."""
        return self._next if self._watched else None

    def take_over(self, keep: Callable[[Task], None]) -> None:
        """Go through the journal. `keep` is called with each attempt that may still run, before it is watched."""
        histories: dict[str, dict[str, Record]] = {}
        for record in self._journal.records:
            histories.setdefault(record["nonce"], {})[record["k"]] = record
        open_ones = {nonce: seen for nonce, seen in histories.items() if "P" in seen and not ENDS & seen.keys()}
        self._orphans.refresh()
        found = self._leaders([nonce for nonce, seen in open_ones.items() if "S" not in seen])
        for nonce, seen in open_ones.items():
            task = Task({**seen["P"], "executable": ""})
            if "S" not in seen:
                if nonce not in found and not os.path.lexists(task.launch["stdout"]):
                    self._journal.forget(nonce)
                    continue
                if nonce not in found:
                    self._note("L", task, message="its supervisor was killed while starting it")
                    continue
                pid, ticks = found[nonce]
                seen["S"] = self._note("S", task, pid=pid, ticks=ticks, boot=self._here[0], ns=self._here[1],
                                       executable="", mono=time.monotonic())  # fmt: skip
            elif (seen["S"]["boot"], seen["S"]["ns"]) != self._here:
                self._note("L", task, message="the machine or its container was restarted while it ran")
                continue
            self._watch(task, seen, keep)

    def _leaders(self, nonces: list[str]) -> dict[str, tuple[int, int]]:
        """Who was being started, by tag: the leader of its own group, seen by the keeper or alive now. A child shows
        the supervisor's variables until its program begins, so who is missing is looked for again."""
        found: dict[str, tuple[int, int]] = {}
        for _ in range(TAG_LOOKS):
            missing = [nonce for nonce in nonces if nonce not in found]
            if not missing:
                break
            self._orphans.refresh()
            found.update((nonce, seen) for nonce in missing if (seen := self._orphans.of(nonce)) is not None)
            searches = [processes.Search(nonce, 0, whole=True) for nonce in missing if nonce not in found]
            for nonce, entries in processes.members(searches, (os.getpid(), os.getppid())).items():
                leaders = [(entry.ticks, entry.pid) for entry in entries if entry.pid == entry.group]
                if leaders:
                    found[nonce] = min(leaders)[::-1]
            time.sleep(TAG_PAUSE)
        return found

    def _watch(self, task: Task, seen: dict[str, Record], keep: Callable[[Task], None]) -> None:
        start = seen["S"]
        task.pid, task.ticks, task.since = start["pid"], start["ticks"], start["mono"]
        timeout = task.launch.get("timeout")
        task.deadline = start["mono"] + timeout if timeout else None
        task.why = seen["T"]["why"] if "T" in seen else "exit"
        keep(task)
        if "E" in seen:
            task.exit = status_fields(seen["E"]["status"], 0.0, 0.0, 0)
            told = self._orphans.end(task.pid, task.ticks)
            if told is not None:
                task.exit = _fields(told)
            self._gone(task)
            return
        self._watched[task.nonce] = (task, None)

    def look(self) -> None:
        """Who has ended, and how."""
        now = time.monotonic()
        if not self._watched or now < self._next:
            return
        self._next = now + LOOK_SECONDS
        dead = [(task, since) for task, since in self._watched.values() if not processes.alive(task.pid, task.ticks)]
        if dead:
            self._orphans.refresh()
        for task, since in dead:
            told = self._orphans.end(task.pid, task.ticks)
            if told is None and (since is None or now - since < ORPHAN_PATIENCE):
                self._watched[task.nonce] = (task, since or now)
                continue
            if told is not None:
                task.exit = _fields(told)
            del self._watched[task.nonce]
            self._gone(task)
        if not self._watched:
            self._orphans.clear()


def _fields(told: Record) -> Record:
    return status_fields(told["status"], told["utime"], told["stime"], told["maxrss"])
