"""The attempts: queued until every counter has room, made, reaped, ended, recorded.

Laws: one thread decides; an intent is in the journal before its process can exist; an exit is in the journal before
its process is reaped, because that can be done only once; an attempt holds its counters until nothing of its group
is left. Who writes the records out and tells of them is `server.py`.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.adoption import Adoption
from wattle.runtime.supervisor.counters import Counters
from wattle.runtime.supervisor.endings import Endings
from wattle.runtime.supervisor.failpoints import Failpoint
from wattle.runtime.supervisor.journal import Journal
from wattle.runtime.supervisor.outcome import outputs_of, status_fields
from wattle.runtime.supervisor.prepare import Refused
from wattle.runtime.supervisor.relay import Relay
from wattle.runtime.supervisor.spawn import choose
from wattle.runtime.supervisor.tasks import Made, Maker, Stop, Task, encoded
from wattle.runtime.supervisor.upkeep import Upkeep

KEPT = ("nonce", "run", "worker", "attempt", "stdout", "stderr", "grace", "outputs", "objects", "whole", "limits",
        "timeout", "log_limit")
"""What of a launch a successor needs."""
RETRY_SECONDS = 0.5
"""After a journal that could not be written."""
MAKING_SECONDS = 0.01
"""How long processes are made before there is a look at what happened meanwhile."""


class Work:
    """Every attempt that this supervisor queues or runs. `wake` ends the main loop's wait."""

    def __init__(self, folder: str, journal: Journal, wake: Callable[[], None], tell: Callable[[str], None]) -> None:
        self.journal = journal
        self.queue: deque[Task] = deque()
        self.tasks: dict[str, Task] = {}
        """About to be made, running or ending, by nonce."""
        self._to_make: deque[Task] = deque()
        self._environments: dict[str, dict[str, bytes]] = {}
        self._by_pid: dict[int, Task] = {}
        """Our unreaped children."""
        self._early: dict[int, tuple[int, int, int, Any]] = {}
        """Who ended before it was said who it is: how many were begun then, start ticks, status, usage."""
        self._begun = 0
        """How many makings were ever begun."""
        self._counters = Counters()
        self._deadlines: list[tuple[float, str]] = []
        self._start_at = 0.0
        self._boot, self._namespace = processes.boot_id(), processes.pid_namespace()
        self._failpoint = Failpoint(os.environ.get("WATTLE_FAILPOINT", ""))
        self._endings = Endings(self._ended, tell)
        self._upkeep = Upkeep()
        self.spawn = choose(folder)
        self.relay: Relay[Task, Made] = Relay(Maker(self.spawn, self._environments).make, self.spawn.at_once, wake)
        self._adoption = Adoption(folder, journal, self._note, self._leader_gone)
        self._adoption.take_over(self._hold)

    def turn(self) -> None:
        """Take what happened, and do what is due."""
        self._take_late()
        self._reap()
        self._adoption.look()
        self._check_deadlines()
        self._endings.look()
        self._upkeep.look(self.tasks.values())
        self._start_what_fits()
        self._make()

    def next_moment(self) -> float:
        """When there is something to do if nothing happens."""
        if self._to_make and self.relay.room:
            return 0.0
        moments = [moment for moment in (self._endings.next_look, self._adoption.next_look) if moment is not None]
        if self._deadlines:
            moments.append(self._deadlines[0][0])
        return min(moments, default=float("inf"))

    def environment(self, env_id: str, variables: dict[str, str]) -> None:
        """Make a base environment known."""
        self._environments[env_id] = encoded(variables)

    def known(self) -> list[str]:
        """Every nonce that is queued or recorded."""
        return [*self.journal.nonces, *(task.nonce for task in self.queue)]

    def open(self) -> list[dict[str, Any]]:
        """Everything that is queued, runs or ends: whose it is, and its process (pid 0 while there is none)."""
        return [{"nonce": task.nonce, "run": task.launch["run"], "worker": task.launch["worker"],
                 "attempt": task.launch["attempt"], "pid": task.pid, "ticks": task.ticks}
                for task in (*self.tasks.values(), *self.queue)]  # fmt: skip

    def _hold(self, task: Task) -> None:
        """An adopted attempt keeps its room."""
        self.tasks[task.nonce] = task
        self._counters.take(task.launch.get("limits", {}))
        if task.deadline is not None:
            heapq.heappush(self._deadlines, (task.deadline, task.nonce))

    # ---- starting -----------------------------------------------------------------------------------------------

    def add(self, launches: list[dict[str, Any]]) -> None:
        """Queue these, but for those that were ever queued."""
        queued = {task.nonce for task in self.queue}
        slotless = False
        for launch in launches:
            if launch["nonce"] in self.journal.nonces or launch["nonce"] in queued:
                continue
            task = Task(launch)
            queued.add(task.nonce)
            beyond = self._counters.beyond(launch)
            if beyond:
                self._note("N", task, message=beyond)
                continue
            self.queue.append(task)
            slotless |= "slots" not in launch.get("limits", {})
        if slotless:  # who takes no slot waits for nobody, so nobody may stand before it
            self.queue = deque(sorted(self.queue, key=lambda task: "slots" in task.launch.get("limits", {})))

    def _start_what_fits(self) -> None:
        if not self.queue or (self.journal.trouble and time.monotonic() < self._start_at):
            return
        started = self._counters.fitting(self.queue, lambda task: task.launch)
        if not started:
            return
        for task in started:
            self._note("P", task, **{name: task.launch[name] for name in KEPT if name in task.launch})
        self._failpoint.reach("before-intent")
        if not self.journal.flush():
            self._take_back(started)
            return
        self._failpoint.reach("after-intent")
        for task in started:
            self.tasks[task.nonce] = task
            self._to_make.append(task)

    def _take_back(self, started: list[Task]) -> None:
        """The intents could not be written: nothing was started, and they wait again."""
        for task in reversed(started):
            self._counters.give(task.launch.get("limits", {}))
            self.queue.appendleft(task)
        self.journal.drop({task.nonce for task in started})
        self._start_at = time.monotonic() + RETRY_SECONDS

    def _make(self) -> None:
        """Make the processes whose intents are written. Displaced may end this turn at each of them."""
        until = time.monotonic() + MAKING_SECONDS
        while self._to_make and self.relay.room:
            task = self._to_make.popleft()
            self._begun += 1
            task.serial = self._begun
            self._take(self.relay.call(task))
            self.journal.flush()  # at once: until then nobody but the keeper could find a process that ends meanwhile
            if time.monotonic() > until:
                break

    def _take_late(self) -> None:
        """What was made by those who had been held up."""
        while self.relay.late:
            self._take(self.relay.late.popleft())
            self.journal.flush()
        if not self.relay.owing:
            self._early.clear()

    def _take(self, made: Made) -> None:
        if made.refused is not None:
            self._refused(made.task, made.refused)
            return
        self._failpoint.reach("after-spawn")
        self._started(made.task, made.pid, made.ticks)

    def _started(self, task: Task, pid: int, ticks: int) -> None:
        begun, early_ticks, status, usage = self._early.pop(pid, (0, 0, 0, None))
        ticks = early_ticks or ticks
        task.pid, task.ticks, task.since = pid, ticks, time.monotonic()
        self._failpoint.reach("before-start-record")
        self._note("S", task, pid=pid, ticks=ticks, boot=self._boot, ns=self._namespace,
                   executable=task.launch["executable"], mono=task.since)  # fmt: skip
        if self._failpoint.armed and self.journal.flush():
            self._failpoint.reach("after-start-record")
        self._by_pid[pid] = task
        timeout = task.launch.get("timeout")
        if timeout:
            task.deadline = task.since + timeout
            heapq.heappush(self._deadlines, (task.deadline, task.nonce))
        stop, task.stop = task.stop, None
        if stop is not None:
            self._endings.begin(task, max(0.0, stop.kill_at - time.monotonic()))
        if task.serial <= begun:
            self._leader_exited(task, status, usage)

    def _refused(self, task: Task, refused: Refused) -> None:
        del self.tasks[task.nonce]
        self._counters.give(task.launch.get("limits", {}))
        if task.stop is not None:
            self._note("W", task)
        else:
            self._note("N", task, message=refused.message, reason=refused.reason)

    # ---- ending -------------------------------------------------------------------------------------------------

    def stop(self, nonce: str, grace: float) -> None:
        """Withdraw it, or end it with all that belongs to it."""
        for task in self.queue:
            if task.nonce == nonce:
                self.queue.remove(task)
                self._note("W", task)
                return
        found = self.tasks.get(nonce)
        if found is None:
            return
        if found.pid:
            self._endings.begin(found, grace)
        elif found.stop is None:
            found.stop = Stop(grace)

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, nonce = heapq.heappop(self._deadlines)
            task = self.tasks.get(nonce)
            if task is not None and not task.leader_gone and task.stop is None:
                task.why = "timeout"
                self._note("T", task, why="timeout")
                self._endings.begin(task, task.launch["grace"])

    def _reap(self) -> None:
        while True:
            try:
                seen = _peek()
                if seen is None:
                    return
                pid, status = seen
                task, ticks = self._by_pid.get(pid), 0
                if task is None and self.relay.owing:
                    entry = processes.look(pid)
                    ticks = entry.ticks if entry else 0
                if task is not None and status is not None:
                    self._failpoint.reach("before-reap")
                    self._note("E", task, status=status)
                    self.journal.flush()
                pid, status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            task = self._by_pid.get(pid)
            if task is not None:
                self._failpoint.reach("after-reap")
                self._leader_exited(task, status, usage)
            elif self.relay.owing:
                self._early[pid] = (self._begun, ticks, status, usage)

    def _leader_exited(self, task: Task, status: int, usage: Any) -> None:
        self._by_pid.pop(task.pid, None)
        task.exit = status_fields(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
        self._leader_gone(task)

    def _leader_gone(self, task: Task) -> None:
        """Its process is no more; what it left in its group goes too."""
        task.leader_gone = True
        if task.stop is not None:
            self._endings.look_soon()
        elif (whole := bool(task.launch.get("whole"))) or processes.send_group(task.pid, 0):
            self._endings.begin(task, task.launch["grace"], whole=whole)
        else:
            self._ended(task)

    def _ended(self, task: Task) -> None:
        """Nothing of it is left."""
        del self.tasks[task.nonce]
        self._counters.give(task.launch.get("limits", {}))
        if not task.exit:
            self._note("L", task, message="its supervisor was killed, and nobody saw how it ended")
            return
        self._failpoint.reach("before-exit-record")
        self._note("X", task, why=task.why, outputs=outputs_of(task.launch), **task.exit)
        if self._failpoint.armed:
            self.journal.flush()
            self._failpoint.reach("after-exit-record")

    def _note(self, kind: str, task: Task, **fields: Any) -> dict[str, Any]:
        record = {"k": kind, "nonce": task.nonce, "run": task.launch["run"], "worker": task.launch["worker"],
                  "attempt": task.launch["attempt"], "at": time.time(), **fields}  # fmt: skip
        return self.journal.add(record)


def _peek() -> tuple[int, int | None] | None:
    """A dead child that was not reaped yet, and its wait status: (-1, None) where one cannot look without reaping.
    Raises ChildProcessError when there are no children."""
    if not hasattr(os, "waitid"):
        return -1, None
    seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if seen is None:
        return None
    if seen.si_code == os.CLD_EXITED:
        return seen.si_pid, seen.si_status << 8
    core = 0x80 if seen.si_code == os.CLD_DUMPED else 0
    return seen.si_pid, seen.si_status | core
