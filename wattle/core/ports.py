"""The doors of the rooms: what the coordinator asks of a store, an executor, logs, a bus and a clock.

Each protocol has a real implementation in its room and a small one in `wattle/testing.py`; one contract suite
(`tests/contracts/`) runs over both. Methods raise only what they say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from wattle.core.events import AnyEvent
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
)  # fmt: skip


class Store(Protocol):
    """Durable truth. All methods block and may be called from any one thread at a time for writing
    (`commit`, `new_epoch`, `prune`) and from any thread for reading. All raise `StorageError`."""

    @property
    def store_id(self) -> str:
        """A random name given when the store was made: another store never has it."""

    def new_epoch(self) -> int:
        """Count one more coordinator and return its number, durably."""

    def commit(self, batch: Batch) -> int:
        """Write all of the batch in one durable transaction, or nothing. Returns the last sequence number."""

    def last_seq(self) -> int:
        """The sequence number of the newest event; 0 in an empty store."""

    def mark(self) -> JournalMark | None:
        """How far the supervisor's journal has been stored."""

    def workflow(self, name: str) -> WorkflowRecord | None:
        """The definition of that name (ignoring case, as names are unique so), deleted ones included."""

    def revision(self, name: str) -> int:
        """The revision of a definition; 0 when there is none, or it is deleted."""

    def workflows(self) -> list[WorkflowRecord]:
        """All definitions that are not deleted, by name."""

    def run(self, workflow: str, number: int) -> RunRecord | None:
        """One run, or None."""

    def runs(self, workflow: str | None = None, *, limit: int = 100, before: int | None = None) -> list[RunHead]:
        """Runs, newest first; `before` is an id to page on from."""

    def count_runs(self, workflow: str | None = None, *, status: str | None = None) -> int:
        """How many runs there are, of one workflow or all, in one status or any."""

    def latest_runs(self) -> dict[str, RunHead]:
        """The newest run of every workflow that has one."""

    def unfinished(self) -> list[RunRecord]:
        """Every run that is not in a final status, oldest first."""

    def events(self, run: int | None = None, *, after: int = 0, limit: int | None = None) -> list[EventRecord]:
        """Events in their order, of one run or of all."""

    def attempts(self, run: int, worker: str | None = None) -> list[AttemptRecord]:
        """Attempts of a run by worker and number."""

    def durations(self, workflow: str) -> dict[str, float]:
        """Per instance name, the median seconds of its completed attempts in the ten newest runs."""

    def last_run_id(self) -> int:
        """The largest run id ever used; 0 in an empty store."""

    def key(self, key: str) -> str | None:
        """The address that was started under this idempotency key."""

    def prune(self, runs: Sequence[int]) -> None:
        """Forget ended runs with their attempts and events."""

    def close(self) -> None:
        """Let go of the files."""


class ExecutorState(Protocol):
    """What an executor knows when a coordinator connects."""

    @property
    def journal(self) -> str:
        """The journal's random name: another name means that history was lost."""

    @property
    def known(self) -> frozenset[str]:
        """Every nonce that it queues, runs or has a record of: any other was never started."""


class Executor(Protocol):
    """Owner of the processes. It reports by `sink(run, event, mark)`, in the order of its journal, on the loop."""

    async def connect(self, sink: Callable[[int, AnyEvent, JournalMark], None], mark: JournalMark | None,
                      epoch: int, store_id: str) -> ExecutorState:  # fmt: skip
        """Reach the supervisor (start it if there is none) and replay what came after `mark`.
        Raises `Unreachable`."""

    def base_environment(self, env_id: str, variables: Mapping[str, str]) -> None:
        """Make a base environment known under an id, before the first launch that names it."""

    def start(self, launches: Sequence[Launch]) -> None:
        """Queue these attempts. Each ends as started or not-started."""

    def stop(self, nonce: str, grace: float) -> None:
        """Withdraw it if it is queued, else TERM, grace, KILL and sweep. Ends as withdrawn or exited."""

    def acknowledge(self, mark: JournalMark) -> None:
        """Everything up to the mark is stored; the journal may forget it."""

    def busy(self, unfinished: int) -> None:
        """How many runs are unfinished: if the coordinator dies while there are some, it is started again."""

    def usage(self) -> dict[str, Usage]:
        """What each running attempt takes now, by nonce."""

    async def close(self, *, goodbye: bool = True, drain: bool = False) -> None:
        """Leave; without a goodbye the next coordinator is started if runs are unfinished. `drain` also ends the
        supervisor once nothing runs."""


class Logs(Protocol):
    """Bytes that the workers wrote, by offset."""

    def size(self, path: str) -> int:
        """Bytes in the file; 0 when there is none."""

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`."""

    def tail_offset(self, path: str, lines: int) -> int:
        """Where the last `lines` lines begin."""

    def changes(self, paths: Sequence[str]) -> AsyncIterator[None]:
        """Yields at once, then whenever one of the files may have grown, at most every 20 ms."""


class Bus(Protocol):
    """Live news for whoever listens; never the truth."""

    def wanted(self, workflow: str, number: int) -> bool:
        """Somebody listens to this run, or that is not known yet."""

    def publish(self, workflow: str, number: int, seq: int, changes: Any) -> None:
        """Tell what has changed in a run up to event `seq`: a mapping or struct that changes no more. None: something
        has, and who begins to listen only now must ask. Never blocks, never raises."""


class Clock(Protocol):
    """Time, read in one place."""

    def now(self) -> float:
        """Seconds since the epoch: a stamp."""

    def monotonic(self) -> float:
        """Seconds that only grow: for delays."""
