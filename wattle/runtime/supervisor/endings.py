"""Ending attempts so that nothing of them is left: TERM, grace, KILL, and looks until two find nobody.

Many ends share one look at the process table. Who escaped the process group by `setsid` or a double fork is found by
the attempt's tag in its environment, by its ancestry, or because it was seen before. After an exit that nobody asked
for, only what is left in the group is ended: a daemon that made a session of its own may stay.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.tasks import Stop, Task

SOON, LATER, LATEST = 0.005, 0.02, 0.25
LOOKS = 2
"""Empty looks in a row after which nobody is left."""
STUBBORN_SECONDS = 5.0
"""After a KILL; who is there longer is stuck in the system, and is told of."""


class Endings:
    """Ends under way. `ended` is called with each task of which nothing is left, `tell` with a sentence."""

    def __init__(self, ended: Callable[[Task], None], tell: Callable[[str], None]) -> None:
        self._ended = ended
        self._tell = tell
        self._tasks: dict[str, Task] = {}
        self._pause = LATER
        self.next_look: float | None = None

    def begin(self, task: Task, grace: float, *, whole: bool = True) -> None:
        """Ask it to end. A second request may only shorten the grace and widen the search."""
        now = time.monotonic()
        if task.stop is None:
            task.stop = Stop(grace, whole=whole)
            self._tasks[task.nonce] = task
        else:
            task.stop.kill_at = min(task.stop.kill_at, now + grace)
            task.stop.whole |= whole
        if task.leader_gone or processes.alive(task.pid, task.ticks):
            processes.send_group(task.pid, signal.SIGTERM)
            processes.send_group(task.pid, signal.SIGCONT)
        self.look_soon()

    def look_soon(self) -> None:
        """Something happened: a leader is gone, an end begins."""
        if self._tasks:
            self._pause = LATER
            self.next_look = min(self.next_look or float("inf"), time.monotonic() + SOON)

    def look(self) -> None:
        """One pass over the process table for all ends under way."""
        now = time.monotonic()
        if self.next_look is None or now < self.next_look:
            return
        searches = [processes.Search(task.nonce, task.pid, whole=task.stop.whole, known=task.stop.known)
                    for task in self._tasks.values() if task.stop is not None]  # fmt: skip
        found = processes.members(searches, (os.getpid(), os.getppid()))
        for task in list(self._tasks.values()):
            self._judge(task, found[task.nonce], now)
        if not self._tasks:
            self.next_look = None
        elif any(task.stop is not None and task.stop.empty for task in self._tasks.values()):
            self.next_look = now + SOON
        else:
            self._pause = min(self._pause * 1.5, LATEST)
            killing = min(task.stop.kill_at for task in self._tasks.values() if task.stop is not None)
            self.next_look = min(now + self._pause, max(killing, now + LATER))

    def _judge(self, task: Task, found: list[processes.Entry], now: float) -> None:
        stop = task.stop
        assert stop is not None
        if found or not task.leader_gone or _has_group(task):
            stop.empty = 0
            self._press(task, stop, found, now)
            return
        stop.empty += 1
        if stop.empty >= LOOKS:
            del self._tasks[task.nonce]
            self._ended(task)

    def _press(self, task: Task, stop: Stop, found: list[processes.Entry], now: float) -> None:
        fresh = [entry for entry in found if (entry.pid, entry.ticks) not in stop.known]
        stop.known.update((entry.pid, entry.ticks) for entry in fresh)
        if now < stop.kill_at:
            for entry in fresh:
                if entry.group != task.pid:
                    processes.send(entry, signal.SIGTERM)
                    processes.send(entry, signal.SIGCONT)
            return
        if any(entry.group == task.pid for entry in found) or _has_group(task):
            processes.send_group(task.pid, signal.SIGKILL)
        for entry in found:
            if entry.group != task.pid:
                processes.send(entry, signal.SIGKILL)
        if found and now > stop.kill_at + STUBBORN_SECONDS and not stop.told:
            stop.told = True
            states = ", ".join(f"{entry.pid} ({entry.state.decode()})" for entry in found)
            self._tell(f"{task.launch['worker']}: the system has not let go of {states} since it was killed; "
                       "D is a wait for a device or a network disk")  # fmt: skip


def _has_group(task: Task) -> bool:
    """Without a process table, the group is all that can be asked."""
    return not processes.HAS_PROC and processes.send_group(task.pid, 0)
