"""A coordinator at its desk: the real turn and the real service over a store, an executor and a clock of a test.

`Desk` lives longer than its coordinator: `crash` and `leave` end one, `recover` seats the next at the same store.
`Disk` stands before the store and can be held up or be full; `Hands` is the fake executor that counts what it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import pytest

from tests.helpers import DEADLINE, until
from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.recovery import recover
from wattle.coordinator.service import Service
from wattle.core import replies as rp
from wattle.core.errors import StorageError, WattleError
from wattle.core.events import AnyEvent
from wattle.core.ports import Executor, Logs, Store
from wattle.core.records import Batch, Launch
from wattle.core.requests import HandOver, request_for
from wattle.core.run import Run
from wattle.host import list_files
from wattle.runtime.environment import CouldNotStart
from wattle.storage.store import open_store
from wattle.testing import FakeExecutor, ManualClock, MemoryLogs, MemoryStore

STORES = ("memory", "sqlite")


class Killed(Exception):
    """The process ended here."""


class Disk:
    """A store whose commits can be held up (`gate`) or fail (`full` times), and are counted."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.gate = threading.Event()
        self.gate.set()
        self.full = 0
        self.tried = 0
        self.batches: list[Batch] = []
        self._lock = threading.Lock()

    def commit(self, batch: Batch) -> int:
        self.tried += 1
        assert self.gate.wait(DEADLINE), "the gate was never opened"
        if self.full:
            self.full -= 1
            raise StorageError("The disk is full.", "make room")
        with self._lock:
            seq: int = self.inner.commit(batch)
        self.batches.append(batch)
        return seq

    def prune(self, runs: Sequence[int]) -> None:
        assert threading.current_thread().name.startswith("wattle-writer"), "a store has one writer at a time"
        with self._lock:
            self.inner.prune(runs)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def one_at_a_time(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                return found(*arguments, **named)

        return one_at_a_time


class Hands(FakeExecutor):
    """The fake executor, and every nonce that it was sent, also those that it knew."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        super().__init__(clock)
        self.sent: list[str] = []

    def start(self, launches: Sequence[Launch]) -> None:
        self.sent += [launch.nonce for launch in launches]
        super().start(launches)

    def stops(self) -> list[tuple[str, float]]:
        """(nonce, grace) of every stop."""
        return [(call[1], call[2]) for call in self.calls if call[0] == "stop"]


class Desk:
    """What outlives a coordinator, and the coordinator of the moment with its service."""

    def __init__(self, tmp_path: Path, kind: str = "memory", *, slots: int = 4, logs: Logs | None = None,
                 **totals: float) -> None:  # fmt: skip
        self.path = tmp_path
        inner: Any = MemoryStore() if kind == "memory" else open_store(tmp_path / "wattle.db")
        self.disk = Disk(inner)
        self.store = cast("Store", self.disk)
        self.clock = ManualClock()
        self.hands = Hands(self.clock)
        self.logs: Any = logs or MemoryLogs()
        self.log_root = str(tmp_path / "logs")
        self.environments: dict[str, dict[str, str]] = {}
        self.totals = {"slots": float(slots), **totals}
        self.handed_over: list[HandOver] = []
        self.notes: list[str] = []
        self.kill_at: tuple[str, int] | None = None
        self.killed = False
        self.driver: Coordinator
        self.service: Service

    # ---- life -----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.recover()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.disk.gate.set()
        self.disk.full = 0
        await self.driver.stop()
        self.disk.inner.close()

    async def recover(self) -> None:
        """Seat a coordinator and let it recover. Raises Killed at a failpoint of the recovery."""
        asyncio.get_running_loop().set_exception_handler(_complain)
        epoch = await asyncio.to_thread(self.store.new_epoch)
        self.killed = False
        self.driver = Coordinator(
            self.store, self.hands, self.clock, totals=self.totals, log_root=self.log_root,
            environments=(self._save, self._load), failpoint=self._failpoint,
        )  # fmt: skip
        self.service = Service(
            self.store, self.logs, log_root=self.log_root, coordinator=self.driver, health=health,
            hand_over=self._hand_over, glob=list_files, default_folder=lambda name: str(self.path / name),
            environment={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        await recover(self.driver, epoch, self.notes.append)

    def looker(self) -> Service:
        """A service without a coordinator."""
        return Service(
            self.store, self.logs, log_root=self.log_root, health=health, glob=list_files,
            default_folder=lambda name: str(self.path / name), environment={},
        )  # fmt: skip

    def crash(self) -> None:
        """The coordinator's process is gone: whatever it still had in hand, nobody hears of it any more."""
        self.killed = True
        self.kill_at = None
        self.hands.leave()
        self.driver.executor = cast("Executor", FakeExecutor())
        self.driver._closed = True
        for timer in self.driver._timers.values():
            timer.cancel()

    async def after_crash(self) -> None:
        """Crash if it did not yet, let a commit that is under way end, and recover."""
        if not self.killed:
            self.crash()
        self.disk.gate.set()
        await asyncio.to_thread(self.driver._writer.shutdown)
        await self.recover()

    def _failpoint(self, name: str) -> None:
        if self.killed:
            raise Killed
        if self.kill_at is not None and self.kill_at[0] == name:
            self.kill_at = (name, self.kill_at[1] - 1)
            if self.kill_at[1] <= 0:
                self.crash()
                raise Killed

    # ---- asking ---------------------------------------------------------------------------------------------

    async def ask(self, operation: str, **fields: Any) -> Any:
        """One answer."""
        return await getattr(self.service, operation)(request_for(operation, fields))

    def follow(self, operation: str, **fields: Any) -> AsyncIterator[Any]:
        """A stream of answers."""
        replies: AsyncIterator[Any] = getattr(self.service, operation)(request_for(operation, fields))
        return replies

    async def create(self, workers: Mapping[str, Any], name: str = "etl", **document: Any) -> Any:
        """Save a workflow whose workers are a mapping; a text is a worker's command."""
        return await self.ask("create_workflow", document=self.document(workers, name, **document), replace=True)

    def document(self, workers: Mapping[str, Any], name: str = "etl", **document: Any) -> dict[str, Any]:
        """The JSON form of a workflow in the test's folder."""
        full = {key: {"command": value} if isinstance(value, str) else {"command": "true", **value}
                for key, value in workers.items()}  # fmt: skip
        full = {key: {k: v for k, v in value.items() if not (k == "command" and "script" in value)}
                for key, value in full.items()}  # fmt: skip
        return {"name": name, "working_dir": str(self.path), "workers": full, **document}

    async def run(self, name: str = "etl", **fields: Any) -> Any:
        """Start a run and let everything settle."""
        reply = await self.ask("start_workflow", workflow=name, **fields)
        await self.settle()
        return reply

    async def settle(self) -> None:
        """Wait until nothing is left in the inbox, and everything decided is durable and done."""
        driver = self.driver

        def quiet() -> bool:
            return not (driver._inbox or driver._pending or driver._writing or driver._scheduled)

        calm = 0
        while calm < 3:
            await until(quiet, every=0)
            await asyncio.sleep(0)
            calm = calm + 1 if quiet() else 0

    async def until_closed(self) -> None:
        """Wait until no run is unfinished."""
        await until(lambda: not self.driver.runs)

    async def finish(self, worker: str, code: int | None = 0, **fields: Any) -> None:
        """The newest attempt of a worker starts, unless it has, and exits."""
        nonce = self.hands.nonce(worker)
        if nonce in self.hands.queued:
            self.hands.started(nonce)
        self.hands.exited(nonce, code, **fields)
        await self.settle()

    async def start(self, worker: str) -> None:
        """The newest attempt of a worker starts, and its folders are made, as the supervisor does."""
        nonce = self.hands.nonce(worker)
        for folder in self.hands.launched[nonce].directories:
            Path(folder).mkdir(parents=True, exist_ok=True)
        self.hands.started(nonce)
        await self.settle()

    async def produce(self, worker: str, **texts: str) -> dict[str, Path]:
        """The newest attempt of a worker writes its outputs, which the supervisor sees, and ends well."""
        launch = self.hands.launched[self.hands.nonce(worker)]
        paths = {port: Path(launch.outputs[port]) for port in texts}
        seen: dict[str, tuple[int, int] | None] = dict.fromkeys(launch.outputs)
        for port, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[port], encoding="utf-8")
            seen[port] = (path.stat().st_size, path.stat().st_mtime_ns)
        await self.finish(worker, outputs=seen)
        return paths

    async def phases(self, workflow: str = "etl") -> dict[str, str]:
        """Phase by instance."""
        reply = await self.ask("list_workers", workflow=workflow)
        return {worker.name: worker.phase for worker in reply.workers}

    def live(self, name: str = "etl") -> Run:
        """The state machine of the newest unfinished run of a workflow."""
        return max((live.run for live in self.driver.runs.values() if live.run.spec.workflow == name),
                   key=lambda run: run.spec.number)  # fmt: skip

    def events(self) -> list[AnyEvent]:
        """Every stored event, after a look at the numbers: they have no gap."""
        stored = self.store.events()
        assert [record.seq for record in stored] == list(range(1, len(stored) + 1))
        return [record.event for record in stored]

    # ---- what a coordinator is given ------------------------------------------------------------------------

    def _save(self, path: str, variables: Mapping[str, str]) -> None:
        self.environments[path] = dict(variables)

    def _load(self, path: str) -> dict[str, str]:
        if path not in self.environments:
            raise CouldNotStart(f"the run's own environment is lost ({path})")
        return dict(self.environments[path])

    def _hand_over(self, request: HandOver) -> str:
        self.handed_over.append(request)
        return "handed over"


def health() -> rp.Health:
    """What the hallway would say."""
    return rp.Health(version="0", store_id="memory", home="/", rank="background", pid=1, epoch=1, started_at=0.0,
                     ready=True, supervisor_pid=None, supervisor_state="", unfinished_runs=0,
                     running_workers=0)  # fmt: skip


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception in a callback fails the test, unless it is the death that the test asked for."""
    if isinstance(context.get("exception"), Killed):
        return
    COMPLAINTS.append(context)
    loop.default_exception_handler(context)


COMPLAINTS: list[dict[str, Any]] = []
"""What went wrong in callbacks, where nobody could catch it; `conftest` looks."""


async def collect(replies: AsyncIterator[Any], enough: Callable[[list[Any]], bool] = lambda _found: False) -> list[Any]:
    """All replies of a stream, or the first ones until they are enough."""
    found: list[Any] = []
    async with contextlib.aclosing(cast("Any", replies)) as stream:
        async for reply in stream:
            found.append(reply)
            if enough(found):
                break
    return found


async def refusal(desk: Desk, operation: str, **fields: Any) -> WattleError:
    """The error that an operation answers with."""
    stream = operation.startswith(("follow", "watch"))
    asked = collect(desk.follow(operation, **fields)) if stream else desk.ask(operation, **fields)
    with pytest.raises(WattleError) as caught:
        await asked
    assert caught.value.message
    return caught.value


class Reader:
    """Someone who reads a stream in the background: `found` grows, `done` when it ended."""

    def __init__(self, replies: AsyncIterator[Any]) -> None:
        self.found: list[Any] = []
        self._task = asyncio.create_task(self._read(replies))

    async def _read(self, replies: AsyncIterator[Any]) -> None:
        async with contextlib.aclosing(cast("Any", replies)) as stream:
            async for reply in stream:
                self.found.append(reply)

    async def has(self, count: int) -> list[Any]:
        """Wait for so many replies."""
        await until(lambda: len(self.found) >= count or self._task.done())
        assert len(self.found) >= count, self._task
        return self.found

    async def ended(self) -> list[Any]:
        """Wait for the end of the stream."""
        async with asyncio.timeout(DEADLINE):
            await self._task
        return self.found

    @property
    def done(self) -> bool:
        return self._task.done()

    async def leave(self) -> None:
        """Stop reading."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def now() -> float:
    """The monotonic clock, for timers of the loop."""
    return time.monotonic()
