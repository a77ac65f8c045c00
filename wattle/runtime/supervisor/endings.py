"""Ending attempts so that nothing of them is left: TERM, grace, KILL, and looks until two find nobody.

Many ends share one look at the process table. Who escaped the process group by `setsid` or a double fork is found by
the attempt's tag in its environment, or by its ancestry: orphans become the supervisor's children, which it asked for.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.tasks import Stop, Task

FIRST_LOOK, NEXT_LOOK = 0.02, 0.05
LOOKS = 2
"""Empty looks in a row after which nobody is left."""


class Endings:
    """Ends under way. `ended` is called with each task of which nothing is left."""

    def __init__(self, ended: Callable[[Task], None]) -> None:
        self._ended = ended
        self._tasks: dict[str, Task] = {}
        self.next_look: float | None = None

    def begin(self, task: Task, why: str, grace: float) -> None:
        """Ask it to end. A second request may only shorten the grace."""
        if task.stop is not None:
            task.stop.kill_at = min(task.stop.kill_at, time.monotonic() + grace)
            return
        task.stop = Stop(why, grace)
        self._tasks[task.nonce] = task
        if not task.leader_gone and (task.ticks == 0 or processes.alive(task.pid, task.ticks)):
            processes.send_group(task.pid, signal.SIGTERM)
            processes.send_group(task.pid, signal.SIGCONT)
        elif task.leader_gone:
            processes.send_group(task.pid, signal.SIGTERM)
        self.next_look = min(self.next_look or float("inf"), time.monotonic() + FIRST_LOOK)

    def look(self) -> None:
        """One pass over the process table for all ends under way."""
        now = time.monotonic()
        if self.next_look is None or now < self.next_look:
            return
        self.next_look = now + NEXT_LOOK
        found = processes.members(self._tasks, {task.nonce: task.pid for task in self._tasks.values()})
        for nonce, task in list(self._tasks.items()):
            assert task.stop is not None
            self._press(task.stop, found[nonce], now)
            task.stop.empty = 0 if found[nonce] or not task.leader_gone else task.stop.empty + 1
            if task.stop.empty >= LOOKS:
                del self._tasks[nonce]
                self._ended(task)
        if not self._tasks:
            self.next_look = None

    @staticmethod
    def _press(stop: Stop, pids: list[int], now: float) -> None:
        if now >= stop.kill_at:
            processes.send(pids, signal.SIGKILL)
            return
        fresh = [pid for pid in pids if pid not in stop.asked]
        stop.asked.update(fresh)
        for number in (signal.SIGTERM, signal.SIGCONT):
            processes.send(fresh, number)
