"""Rooms of memory for tests: a store, a bus, logs, an executor and a clock that do as the real ones, without a disk, a
process or a second of waiting. They are shipped, so that whoever builds on Wattle can test without it.

Laws: each keeps the whole contract of its port in `core/ports.py`, and the suites in `tests/contracts/` hold the real
ones and these to one text. Nothing here happens by itself: time passes when a test says so, and a process starts,
ends or is lost when a test says so (`FakeExecutor.obey` turns that into habits).
"""

from __future__ import annotations

import asyncio
import copy
import heapq
import statistics
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from wattle.core.errors import StorageError, Unreachable
from wattle.core.events import (
    AnyEvent,
    NotStartedReason,
    Why,
    WorkerExited,
    WorkerLost,
    WorkerNotStarted,
    WorkerStarted,
    WorkerWithdrawn,
)
from wattle.core.names import fold
from wattle.core.progress import FINAL
from wattle.core.records import (
    AttemptRecord,
    Batch,
    EventRecord,
    JournalMark,
    Launch,
    RunHead,
    RunRecord,
    Usage,
    WorkflowRecord,
)

RECENT_RUNS = 10


class ManualClock:
    """A clock that stands still until `advance`. `call_at` gives timers that `advance` rings in their order."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass; every timer that comes due sees the moment it was set for."""
        end = self._monotonic + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, ring = heapq.heappop(self._timers)
            self._now += due - self._monotonic
            self._monotonic = due
            ring()
        self._now += end - self._monotonic
        self._monotonic = end

    def jump(self, seconds: float) -> None:
        """Set the wall clock forth or back, as people and time servers do; `monotonic` does not notice."""
        self._now += seconds

    def call_at(self, monotonic: float, ring: Callable[[], None]) -> None:
        """Call `ring` when `advance` reaches that moment."""
        self._count += 1
        heapq.heappush(self._timers, (monotonic, self._count, ring))


class MemoryBus:
    """A bus that keeps what it was told: `published` holds (workflow, number, seq, changes)."""

    def __init__(self) -> None:
        self.published: list[tuple[str, int, int, Any]] = []
        self.listened_to = True
        """Whether anybody is there."""

    def wanted(self, workflow: str, number: int) -> bool:  # noqa: ARG002  all runs are alike here
        """Somebody listens."""
        return self.listened_to

    def publish(self, workflow: str, number: int, seq: int, changes: Any) -> None:
        """Never blocks, never raises."""
        self.published.append((workflow, number, seq, dict(changes) if isinstance(changes, Mapping) else changes))


class MemoryLogs:
    """Logs in a dictionary; `append` is the worker's side."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._grown: set[asyncio.Event] = set()

    def append(self, path: str, data: bytes) -> None:
        """A worker wrote."""
        self.files[path] = self.files.get(path, b"") + data
        for bell in self._grown:
            bell.set()

    def size(self, path: str) -> int:
        """Bytes in the file; 0 when there is none."""
        return len(self.files.get(path, b""))

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`."""
        return self.files.get(path, b"")[offset : offset + limit]

    def tail_offset(self, path: str, lines: int) -> int:
        """Where the last `lines` lines begin."""
        data = self.files.get(path, b"")
        if lines <= 0:
            return len(data)
        whole = [line + b"\n" for line in data.split(b"\n")]
        whole[-1] = whole[-1][:-1]
        last = [line for line in whole if line][-lines:]
        return len(data) - sum(map(len, last))

    async def changes(self, paths: Sequence[str]) -> AsyncIterator[None]:
        """Yields at once, then whenever a file has grown."""
        bell = asyncio.Event()
        self._grown.add(bell)
        try:
            seen = [self.size(path) for path in paths]
            yield
            while True:
                await bell.wait()
                bell.clear()
                now = [self.size(path) for path in paths]
                if now != seen:
                    seen = now
                    yield
        finally:
            self._grown.discard(bell)


class MemoryStore:
    """A store that forgets everything when it is dropped. Records are copied in and out, as through a disk.

    `fail` is raised by the next `commit` and then forgotten, to rehearse a full disk. `commits` counts transactions.
    """

    def __init__(self, store_id: str = "memory") -> None:
        self._store_id = store_id
        self._epoch = 0
        self._seq = 0
        self._run_id = 0
        self._mark: JournalMark | None = None
        self._keys: dict[str, str] = {}
        self._workflows: dict[str, WorkflowRecord] = {}
        self._runs: dict[int, RunRecord] = {}
        self._events: list[EventRecord] = []
        self._attempts: dict[tuple[int, str, int], AttemptRecord] = {}
        self.commits = 0
        self.fail: StorageError | None = None

    @property
    def store_id(self) -> str:
        """The name it was given."""
        return self._store_id

    def new_epoch(self) -> int:
        """Count one more coordinator."""
        self._epoch += 1
        return self._epoch

    def commit(self, batch: Batch) -> int:
        """Take all of the batch, or nothing. Returns the last sequence number."""
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        runs = self._runs | batch.runs
        named = {run for run, _ in batch.events} | {attempt.run for attempt in batch.attempts.values()}
        if not named <= set(runs):
            raise StorageError("The batch speaks of a run that is not stored.")
        if len({(fold(run.spec.workflow), run.spec.number) for run in runs.values()}) < len(runs):
            raise StorageError("Two runs of a workflow have one number.")
        for workflow in batch.workflows.values():
            self._workflows[fold(workflow.name)] = copy.copy(workflow)
        for run in batch.runs.values():
            known = self._runs.get(run.spec.id, run)
            self._runs[run.spec.id] = msgspec.structs.replace(run, spec=known.spec, created_at=known.created_at,
                                                              contents=known.contents)  # fmt: skip
            self._run_id = max(self._run_id, run.spec.id)
        for run_id, event in batch.events:
            spec = self._runs[run_id].spec
            self._seq += 1
            self._events.append(EventRecord(seq=self._seq, run=run_id, workflow=spec.workflow, number=spec.number,
                                            event=event))  # fmt: skip
        for attempt in batch.attempts.values():
            self._attempts[attempt.run, attempt.worker, attempt.attempt] = copy.copy(attempt)
        for run_id, contents in batch.contents.items():
            self._runs[run_id] = msgspec.structs.replace(self._runs[run_id], contents=dict(contents))
        self._mark = batch.mark or self._mark
        self._keys |= batch.keys
        self.commits += 1
        return self._seq

    def last_seq(self) -> int:
        """The sequence number of the newest event."""
        return self._seq

    def last_run_id(self) -> int:
        """The largest run id ever used."""
        return self._run_id

    def mark(self) -> JournalMark | None:
        """How far the supervisor's journal has been stored."""
        return self._mark

    def workflow(self, name: str) -> WorkflowRecord | None:
        """The definition of that name, deleted ones included."""
        return copy.copy(self._workflows.get(fold(name)))

    def revision(self, name: str) -> int:
        """The revision of a definition; 0 when there is none, or it is deleted."""
        found = self._workflows.get(fold(name))
        return 0 if found is None or found.deleted_at is not None else found.revision

    def workflows(self) -> list[WorkflowRecord]:
        """All definitions that are not deleted, by name."""
        return [copy.copy(record) for _, record in sorted(self._workflows.items()) if record.deleted_at is None]

    def run(self, workflow: str, number: int) -> RunRecord | None:
        """One run, or None."""
        found = (run for run in self._of(workflow) if run.spec.number == number)
        return copy.copy(next(found, None))

    def runs(self, workflow: str | None = None, *, limit: int = 100, before: int | None = None) -> list[RunHead]:
        """Runs, newest first."""
        found = [run for run in self._of(workflow) if before is None or run.spec.id < before]
        return [_head(run) for run in sorted(found, key=lambda run: -run.spec.id)[:limit]]

    def count_runs(self, workflow: str | None = None, *, status: str | None = None) -> int:
        """How many runs there are, of one workflow or all, in one status or any."""
        return sum(status in {None, run.status} for run in self._of(workflow))

    def latest_runs(self) -> dict[str, RunHead]:
        """The newest run of every workflow that has one, by the workflow's name."""
        latest: dict[str, RunRecord] = {}
        for run in sorted(self._runs.values(), key=lambda run: run.spec.number):
            latest[fold(run.spec.workflow)] = run
        named = {key: record.name for key, record in self._workflows.items()}
        return {named.get(key, run.spec.workflow): _head(run) for key, run in latest.items()}

    def unfinished(self) -> list[RunRecord]:
        """Every run that is not in a final status, oldest first."""
        return [copy.copy(run) for _, run in sorted(self._runs.items()) if run.status not in FINAL]

    def events(self, run: int | None = None, *, after: int = 0, limit: int | None = None) -> list[EventRecord]:
        """Events in their order, of one run or of all."""
        found = [event for event in self._events if event.seq > after and run in {None, event.run}]
        return found if limit is None else found[:limit]

    def attempts(self, run: int, worker: str | None = None) -> list[AttemptRecord]:
        """Attempts of a run by worker and number."""
        found = sorted(self._attempts.items())
        return [copy.copy(one) for _, one in found if one.run == run and worker in {None, one.worker}]

    def durations(self, workflow: str) -> dict[str, float]:
        """Per instance name, the median seconds of its completed attempts in the ten newest runs."""
        newest = sorted(self._of(workflow), key=lambda run: -run.spec.number)[:RECENT_RUNS]
        seconds: dict[str, list[float]] = {}
        for one in self._attempts.values():
            if one.run in {run.spec.id for run in newest} and one.status == "completed" and one.started_at is not None:
                seconds.setdefault(one.worker, []).append((one.ended_at or one.started_at) - one.started_at)
        return {worker: statistics.median(taken) for worker, taken in sorted(seconds.items())}

    def key(self, key: str) -> str | None:
        """The address that was started under this idempotency key."""
        return self._keys.get(key)

    def prune(self, runs: Sequence[int]) -> None:
        """Forget ended runs with their attempts and events; an unfinished run is left alone."""
        gone = {run for run in runs if run in self._runs and self._runs[run].status in FINAL}
        addresses = {self._runs[run].spec.address for run in gone}
        self._runs = {run: record for run, record in self._runs.items() if run not in gone}
        self._events = [event for event in self._events if event.run not in gone]
        self._attempts = {key: one for key, one in self._attempts.items() if one.run not in gone}
        self._keys = {key: address for key, address in self._keys.items() if address not in addresses}

    def close(self) -> None:
        """Nothing to let go of."""

    def _of(self, workflow: str | None) -> list[RunRecord]:
        return [run for run in self._runs.values() if workflow is None or fold(run.spec.workflow) == fold(workflow)]


def _head(run: RunRecord) -> RunHead:
    spec = run.spec
    return RunHead(
        id=spec.id, workflow=spec.workflow, number=spec.number, status=run.status, phase=run.phase, reason=run.reason,
        cause=run.cause, created_at=run.created_at, started_at=run.started_at, completed_at=run.completed_at,
        counts=dict(run.counts), options=spec.options, overhead=run.overhead,
    )  # fmt: skip


class FakeState(msgspec.Struct):
    """What `FakeExecutor.connect` answers: an `ExecutorState`."""

    journal: str
    known: frozenset[str]


class FakeExecutor:
    """A supervisor whose processes do what the test says: `started`, `exited`, `not_started`, `lost`.

    It keeps a journal as the real one does: what a coordinator did not hear while it was away (`leave`) is replayed at
    `connect` from the mark on. A nonce is accepted once; `limits` are not counted. `launched` holds every launch by
    nonce, `queued` and `running` what has not ended, `calls` every other request in its order.
    """

    def __init__(self, clock: ManualClock | None = None, journal: str = "journal-1") -> None:
        self.clock = clock or ManualClock()
        self.journal = journal
        self.launched: dict[str, Launch] = {}
        self.queued: list[str] = []
        self.running: list[str] = []
        self.environments: dict[str, dict[str, str]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.unreachable = False
        self.closed = False
        self.habit: Callable[[Launch], int | None] | None = None
        self._entries: list[tuple[int, int, AnyEvent]] = []
        self._seq = 0
        self._sink: Callable[[int, AnyEvent, JournalMark], None] | None = None
        self._pid = 1000

    # ---- the port -------------------------------------------------------------------------------------------------

    async def connect(self, sink: Callable[[int, AnyEvent, JournalMark], None], mark: JournalMark | None,
                      epoch: int, store_id: str) -> FakeState:  # fmt: skip
        """Replay what came after `mark`, all of it when the mark is of another journal. Raises Unreachable."""
        if self.unreachable:
            raise Unreachable("The supervisor cannot be reached.")
        self.calls.append(("connect", epoch, store_id))
        self._sink = sink
        stored = mark.seq if mark is not None and mark.journal == self.journal else 0
        for seq, run, event in self._entries:
            if seq > stored:
                sink(run, event, JournalMark(self.journal, seq))
        return FakeState(self.journal, frozenset(self.launched))

    def base_environment(self, env_id: str, variables: Mapping[str, str]) -> None:
        """Keep it under its id."""
        self.environments[env_id] = dict(variables)

    def start(self, launches: Sequence[Launch]) -> None:
        """Queue them; a nonce that is known already is the same attempt and starts nothing."""
        for launch in launches:
            if launch.nonce in self.launched:
                continue
            self.launched[launch.nonce] = launch
            self.queued.append(launch.nonce)
            if self.habit is not None and (code := self.habit(launch)) is not None:
                self.started(launch.nonce)
                self.exited(launch.nonce, code)

    def stop(self, nonce: str, grace: float) -> None:
        """Withdraw it at once while it is queued; a running one ends when the test says so, or by its habit."""
        self.calls.append(("stop", nonce, grace))
        if nonce in self.queued:
            self.queued.remove(nonce)
            launch = self.launched[nonce]
            self._write(launch, WorkerWithdrawn(at=self.clock.now(), worker=launch.worker, attempt=launch.attempt))
        elif nonce in self.running and self.habit is not None:
            self.exited(nonce, signal=15)

    def acknowledge(self, mark: JournalMark) -> None:
        """Forget the entries up to the mark."""
        if mark.journal == self.journal:
            self._entries = [entry for entry in self._entries if entry[0] > mark.seq]

    def busy(self, unfinished: int) -> None:
        """Noted in `calls`."""
        self.calls.append(("busy", unfinished))

    def usage(self) -> dict[str, Usage]:
        """The same for each running attempt."""
        return {nonce: Usage(cpu_percent=50.0, rss=1 << 20, processes=1) for nonce in self.running}

    async def close(self, *, goodbye: bool = True, drain: bool = False) -> None:
        """Nothing more is reported."""
        self.calls.append(("close", goodbye, drain))
        self.closed = True
        self._sink = None

    # ---- the test's side --------------------------------------------------------------------------------------------

    def obey(self, habit: Callable[[Launch], int | None] = lambda _launch: 0) -> None:
        """From now on a launch starts and ends at once with the code that `habit` gives; None leaves it queued."""
        self.habit = habit

    def nonce(self, worker: str, run: int | None = None) -> str:
        """The newest attempt of a worker."""
        found = [nonce for nonce, one in self.launched.items() if one.worker == worker and run in {None, one.run}]
        assert found, f"{worker} was never launched, only {sorted({one.worker for one in self.launched.values()})}"
        return found[-1]

    def started(self, nonce: str) -> None:
        """Its process exists."""
        self.queued.remove(nonce)
        self.running.append(nonce)
        self._pid += 1
        launch = self.launched[nonce]
        self._write(launch, WorkerStarted(at=self.clock.now(), worker=launch.worker, attempt=launch.attempt,
                                          pid=self._pid, executable=launch.argv[0] if launch.argv else ""))  # fmt: skip

    def exited(self, nonce: str, code: int | None = 0, *, signal: int | None = None, why: Why = "exit",
               outputs: Mapping[str, tuple[int, int] | None] | None = None) -> None:  # fmt: skip
        """Its process ended. Every declared output is there unless `outputs` says otherwise."""
        self.running.remove(nonce)
        launch = self.launched[nonce]
        seen: dict[str, tuple[int, int] | None] = dict.fromkeys(launch.outputs, (1, 1))
        seen = seen if outputs is None else dict(outputs)
        self._write(launch, WorkerExited(
            at=self.clock.now(), worker=launch.worker, attempt=launch.attempt, code=code if signal is None else None,
            signal=signal, why=why, outputs=seen, cpu_user=0.01, cpu_system=0.01, max_rss=1 << 20,
        ))  # fmt: skip

    def not_started(self, nonce: str, message: str, reason: NotStartedReason = "could-not-start") -> None:
        """There never was a process."""
        self.queued.remove(nonce)
        launch = self.launched[nonce]
        self._write(launch, WorkerNotStarted(at=self.clock.now(), worker=launch.worker, attempt=launch.attempt,
                                             message=message, reason=reason))  # fmt: skip

    def lost(self, nonce: str, message: str = "its supervisor died") -> None:
        """Its outcome cannot be known."""
        self.running.remove(nonce)
        launch = self.launched[nonce]
        self._write(launch, WorkerLost(at=self.clock.now(), worker=launch.worker, attempt=launch.attempt,
                                       message=message))  # fmt: skip

    def leave(self) -> None:
        """The coordinator is gone: what happens now is only in the journal."""
        self._sink = None

    def forget(self, journal: str) -> None:
        """The runtime directory was wiped: a new journal, and nothing is known of what was before."""
        self.journal = journal
        self._seq = 0
        self._entries.clear()
        self.launched.clear()
        self.queued.clear()
        self.running.clear()

    def _write(self, launch: Launch, event: AnyEvent) -> None:
        self._seq += 1
        self._entries.append((self._seq, launch.run, event))
        if self._sink is not None:
            self._sink(launch.run, event, JournalMark(self.journal, self._seq))
