"""Which ready workers are launched next, within every limit. Pure: it counts, it never waits.

A *counter* is a name with a total: `slots` (the coordinator's limit), `run:7`, `group:7/train`, `cpus`, `memory`,
`gpus`. An attempt takes its share of each counter from its launch to its end. Up to twice the total may be launched
(some dozens more where workers take only milliseconds), so that the supervisor, which holds the totals themselves,
always has the next process at hand; what is launched and not yet started can be withdrawn. A sequential run is never
launched ahead, because the next worker is not known yet.

A gang (workers joined by streams) starts as one: its first member waits for room for all, the others follow at once,
and each gives its share back when it ends. While a gang waits for slots nothing else is launched, or it might wait for
ever. A gang larger than the coordinator's limit takes all of it, since its members talk more than they compute, and
could not run otherwise. In `mode: parallel` everything starts at once: its workers take no slots.

Among runs the one with the fewest workers in flight is served first, ties by age; inside a run, in order of becoming
ready.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from wattle.core.models import Worker
from wattle.core.run import Run

Limits = dict[str, tuple[float, float]]
AHEAD = 2
AHEAD_SECONDS, MOST_AHEAD = 0.05, 64
"""Short workers are launched further ahead: as many as run within so many seconds, but at most so many."""
SMOOTHING = 0.05


RESOURCES = ("cpus", "memory", "gpus")


class Dispatcher:
    """Counts what is in flight. `totals` has `slots`, and `cpus`, `memory` and `gpus` where they are known."""

    def __init__(self, totals: Mapping[str, float]) -> None:
        self.totals = dict(totals)
        self.used: dict[str, float] = {}
        self.extra = 0.0
        """How many more than twice the total may be in flight, because workers are short at the moment."""
        self._mean = AHEAD_SECONDS / 2
        self._held: dict[str, Limits] = {}
        self._limits: dict[tuple[int, str], Limits] = {}

    def limits(self, run: Run, index: int) -> Limits:
        """Counter -> (what this worker takes, the total)."""
        worker = run.definitions[run.workers[index].instance.worker]
        members = run.together.gangs.get(index)
        key = (run.spec.id, worker.name if members is None else f"/{index}")
        if key not in self._limits:
            self._limits[key] = (self._make_limits(run, worker) if members is None
                                 else self._member_limits(run, index, members))  # fmt: skip
        return self._limits[key]

    def room(self, run: Run, members: Sequence[int]) -> Limits:
        """What must be free for workers that start as one."""
        total: Limits = {}
        for member in members:
            for counter, (amount, limit) in self.limits(run, member).items():
                total[counter] = (total.get(counter, (0, 0))[0] + amount, limit)
        return total

    def rooms(self, starts: Iterable[tuple[Run, int]]) -> dict[tuple[int, int], Limits]:
        """What must be free before each of these that is the first of its gang to be sent, by (run, index)."""
        sent: dict[tuple[int, int], tuple[Run, list[int]]] = {}
        for run, index in starts:
            if index in run.together.gangs:
                sent.setdefault((run.spec.id, run.together.gangs[index][0]), (run, []))[1].append(index)
        return {(run.spec.id, members[0]): self.room(run, members) for run, members in sent.values() if members[1:]}

    def run_limit(self, run: Run) -> int:
        """How many workers of this run may run at once."""
        if run.spec.document.mode == "parallel":
            return len(run.workers)
        limits = [int(self.totals["slots"])]
        limits += [limit for limit in (run.spec.document.max_concurrent_workers, run.spec.options.jobs) if limit]
        return 1 if run.sequential else min(limits)

    def picks(self, runs: Iterable[Run]) -> Iterator[tuple[Run, int]]:
        """Every worker that may be launched now, one after the other. The caller launches each one
        (`WorkerLaunched`, `hold`) before it asks for the next."""
        queue = [(run.in_flight, run.spec.id, run) for run in runs if run.open and run.ready]
        heapq.heapify(queue)
        while queue and self._room("slots", 1, self.totals["slots"], AHEAD):
            _, run_id, run = heapq.heappop(queue)
            index = self._next(run)
            if index is None:
                if self._gang_waits(run):
                    return
                continue
            for member in run.gang(index):
                yield run, member
            heapq.heappush(queue, (run.in_flight, run_id, run))

    def hold(self, nonce: str, limits: Limits) -> None:
        """An attempt is in flight from now on."""
        self._held[nonce] = limits
        self._count(limits, +1)

    def release(self, nonce: str) -> bool:
        """The attempt is over; releasing twice is harmless. Whether it was held."""
        limits = self._held.pop(nonce, None)
        if limits is not None:
            self._count(limits, -1)
        return limits is not None

    def observe(self, seconds: float) -> None:
        """A worker ran for so long. A queue of short ones lets many launches share one commit; it is worth some
        hundredths of a second at most to whoever waits behind it."""
        self._mean += SMOOTHING * (min(seconds, 1.0) - self._mean)
        short = self._mean < AHEAD_SECONDS / 4
        wanted = self.totals["slots"] * AHEAD_SECONDS / max(self._mean, 1e-4)
        self.extra = min(float(MOST_AHEAD), wanted) if short else 0.0

    @property
    def low_water(self) -> float:
        """With no more than so many in flight, the supervisor may soon have none to start."""
        return self.totals["slots"] * AHEAD + self.extra / 2

    def forget(self, run: Run) -> None:
        """The run is closed."""
        for key in [key for key in self._limits if key[0] == run.spec.id]:
            del self._limits[key]

    def _next(self, run: Run) -> int | None:
        """The worker of this run that became ready first, of those whose counters have room."""
        heads = []
        for limit_class in list(run.ready):
            head = run.head(limit_class)
            if head is None:
                del run.ready[limit_class]
            else:
                heads.append(head)
        for _, index in sorted(heads):
            gang = run.gang(index)
            if self._fits(run, gang):
                return gang[0]
            if index in run.together.gangs:
                break
        return None

    def _gang_waits(self, run: Run) -> bool:
        """Whether a gang of this run could start if there were slots."""
        heads = (run.head(limit_class) for limit_class in list(run.ready) if limit_class.startswith("/"))
        return any(head is not None for head in heads)

    def _fits(self, run: Run, gang: Sequence[int]) -> bool:
        ahead = 1 if run.sequential else AHEAD
        wanted = self.limits(run, gang[0]) if len(gang) == 1 else self.room(run, gang)
        return all(self._room(counter, amount, total, ahead if counter.startswith("run:") else AHEAD)
                   for counter, (amount, total) in wanted.items())  # fmt: skip

    def _room(self, counter: str, amount: float, total: float, ahead: int) -> bool:
        extra = self.extra if ahead > 1 and counter not in RESOURCES else 0.0
        return self.used.get(counter, 0) + amount <= total * ahead + extra

    def _count(self, limits: Limits, sign: int) -> None:
        for counter, (amount, _) in limits.items():
            left = self.used.get(counter, 0) + sign * amount
            if left <= 0:
                self.used.pop(counter, None)
            else:
                self.used[counter] = left

    def _member_limits(self, run: Run, index: int, members: tuple[int, ...]) -> Limits:
        """A member names the counters of all, so that it waits behind its first; it takes its own share, but no slot
        that the coordinator has not."""
        named = {counter: (0.0, limit) for member in members
                 for counter, (_, limit) in self._make_limits(run, run.definition(member)).items()}  # fmt: skip
        own = self._make_limits(run, run.definition(index))
        if "slots" in own and members.index(index) >= own["slots"][1]:
            own["slots"] = (0, own["slots"][1])
        return {**named, **own}

    def _make_limits(self, run: Run, worker: Worker) -> Limits:
        slots = self.totals["slots"]
        limits: Limits = {} if run.spec.document.mode == "parallel" else {"slots": (1, slots)}
        if limits and (self.run_limit(run) < slots or run.sequential):
            limits[f"run:{run.spec.id}"] = (1, self.run_limit(run))
        if worker.max_concurrent is not None:
            limits[f"group:{run.spec.id}/{worker.name}"] = (1, worker.max_concurrent)
        for counter in RESOURCES:
            amount = getattr(worker.resources, counter)
            if amount and counter in self.totals:
                limits[counter] = (amount, self.totals[counter])
        return limits
