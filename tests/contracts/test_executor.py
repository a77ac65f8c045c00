"""What an executor promises, held against real processes and against those of memory."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.helpers import until
from wattle.core import events as ev
from wattle.core.objects import candidates
from wattle.core.ports import Executor, ExecutorState
from wattle.core.records import JournalMark, Launch
from wattle.runtime.local import LocalExecutor
from wattle.testing import FakeExecutor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no supervisor there")


class Acting(FakeExecutor):
    """Memory that acts on the handful of commands below, one process at a time."""

    def start(self, launches: Sequence[Launch]) -> None:
        super().start(launches)
        self._go_on()

    def stop(self, nonce: str, grace: float) -> None:
        super().stop(nonce, grace)
        if nonce in self.running:
            self.exited(nonce, signal=15)
            self._go_on()

    def _go_on(self) -> None:
        while self.queued and not self.running:
            argv = self.launched[self.queued[0]].argv
            if argv[0].startswith("no-such"):
                self.not_started(self.queued[0], f"there is no {argv[0]}")
                continue
            self.started(nonce := self.queued[0])
            if argv[0] != "sleep":
                self.exited(nonce, int(argv[-1].removeprefix("exit ")) if len(argv) > 1 else 0)


class Ear:
    """Hears what an executor reports."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Any, JournalMark]] = []

    def __call__(self, run: int, event: ev.AnyEvent, mark: JournalMark) -> None:
        self.heard.append((run, event, mark))

    def of(self, worker: str) -> list[Any]:
        return [event for _, event, _ in self.heard if event.worker == worker]

    async def ends(self, worker: str) -> Any:
        """The event that ends the worker's attempt."""
        await until(lambda: [event for event in self.of(worker) if not isinstance(event, ev.WorkerStarted)])
        return self.of(worker)[-1]


class Place:
    """Where executors of one supervisor, one after the other, are made."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder = folder
        self.memory = Acting() if kind == "memory" else None

    @asynccontextmanager
    async def connected(
        self, ear: Ear, mark: JournalMark | None = None, epoch: int = 1
    ) -> AsyncIterator[tuple[Executor, ExecutorState]]:
        executor: Executor = self.memory or LocalExecutor(self.folder / "run")
        state = await executor.connect(ear, mark, epoch, "store")
        executor.base_environment("base", {"PATH": "/usr/bin:/bin"})
        try:
            yield executor, state
        finally:
            if self.memory is not None:
                self.memory.leave()
            else:
                await executor.close()

    def launch(self, worker: str, *argv: str) -> Launch:
        out = str(self.folder / f"{worker}.log")
        return Launch(nonce=f"nonce-{worker}", run=7, worker=worker, attempt=1, argv=argv, cwd=str(self.folder),
                      env_id="base", env={}, stdout=out, stderr=None, limits={"slots": (1, 1)})  # fmt: skip


@pytest.fixture(params=["processes", "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def gone(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return True
    return False


@asynccontextmanager
async def place_of(kind: str) -> AsyncIterator[Place]:
    """A short path, because a socket's must be; the supervisor ends with the test."""
    with TemporaryDirectory(prefix="w", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "run").mkdir(mode=0o700)
        place = Place(kind, Path(folder))
        yield place
        if place.memory is None:
            last = LocalExecutor(place.folder / "run")
            await last.connect(Ear(), None, 99, "store")
            await last.close(drain=True)
            await until(lambda: gone(last.supervisor_pid))


async def test_an_attempt_starts_and_ends_with_its_true_code(kind: str) -> None:
    async with place_of(kind) as place:
        ear = Ear()
        async with place.connected(ear) as (executor, state):
            executor.start([place.launch("a", "true"), place.launch("b", "sh", "-c", "exit 3")])
            assert ((await ear.ends("a")).code, (await ear.ends("b")).code) == (0, 3)
            started, ended = ear.of("a")
            assert isinstance(started, ev.WorkerStarted)
            assert isinstance(ended, ev.WorkerExited)
            assert started.pid > 1
            assert ended.signal is None
            assert {run for run, _, _ in ear.heard} == {7}
            marks = [mark for _, _, mark in ear.heard]
            assert {mark.journal for mark in marks} == {state.journal}
            assert [mark.seq for mark in marks] == sorted({mark.seq for mark in marks})


async def test_every_declared_output_is_told_of_an_object_by_whichever_file_it_has(kind: str) -> None:
    async with place_of(kind) as place:
        ear = Ear()
        (place.folder / "table.npy").write_text("12345")
        launch = place.launch("a", "true")
        launch.outputs = {"table": str(place.folder / "table"), "log": launch.stdout}
        launch.objects = {"table": candidates(str(place.folder / "table"))}
        async with place.connected(ear) as (executor, _):
            executor.start([launch])
            outputs = (await ear.ends("a")).outputs
            assert set(outputs) == {"table", "log"}
            assert outputs["table"] is not None


async def test_what_cannot_be_started_is_said_to_be_so(kind: str) -> None:
    async with place_of(kind) as place:
        ear = Ear()
        async with place.connected(ear) as (executor, _):
            executor.start([place.launch("a", "no-such-program"), place.launch("b", "true")])
            refused = await ear.ends("a")
            assert isinstance(refused, ev.WorkerNotStarted)
            assert "no-such-program" in refused.message
            assert (await ear.ends("b")).code == 0


async def test_a_running_attempt_is_ended_and_a_queued_one_withdrawn(kind: str) -> None:
    async with place_of(kind) as place:
        ear = Ear()
        async with place.connected(ear) as (executor, _):
            executor.start([place.launch("a", "sleep", "60"), place.launch("b", "sleep", "60")])
            await until(lambda: ear.of("a"))
            executor.stop("nonce-b", 5.0)
            assert isinstance(await ear.ends("b"), ev.WorkerWithdrawn)
            executor.stop("nonce-a", 5.0)
            ended = await ear.ends("a")
            assert (ended.signal, ended.code) == (15, None)
            assert len(ear.of("b")) == 1


async def test_a_nonce_starts_once_however_often_it_is_sent(kind: str) -> None:
    async with place_of(kind) as place:
        ear = Ear()
        async with place.connected(ear) as (executor, _):
            executor.start([place.launch("a", "sleep", "60")])
            await until(lambda: ear.of("a"))
            executor.start([place.launch("a", "sleep", "60")])
            executor.stop("nonce-a", 5.0)
            await ear.ends("a")
            executor.start([place.launch("a", "sleep", "60"), place.launch("b", "true")])
            await ear.ends("b")
            assert len(ear.of("a")) == 2


async def test_who_comes_back_hears_what_happened_after_its_mark(kind: str) -> None:
    async with place_of(kind) as place:
        first, second = Ear(), Ear()
        async with place.connected(first) as (executor, before):
            executor.start([place.launch("a", "true")])
            await first.ends("a")
            executor.start([place.launch("b", "sleep", "60")])
            await until(lambda: first.of("b"))
            stored = first.heard[1][2]
        async with place.connected(second, stored, epoch=2) as (executor, after):
            assert after.journal == before.journal
            assert {"nonce-b"} <= after.known
            assert [type(event) for _, event, _ in second.heard] == [ev.WorkerStarted]
            assert second.heard[0][1] == first.of("b")[0]
            executor.acknowledge(second.heard[0][2])
            executor.stop("nonce-b", 5.0)
            assert (await second.ends("b")).signal == 15
        third = Ear()
        async with place.connected(third, second.heard[0][2], epoch=3):
            await third.ends("b")
            assert [event.worker for _, event, _ in third.heard] == ["b"]
