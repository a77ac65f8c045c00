"""The rooms of memory: what they do beyond the contracts, for a test to steer them by."""

from __future__ import annotations

from typing import Any

import pytest

from tests.storage.builders import launched, run
from wattle.core import events as ev
from wattle.core.errors import StorageError, Unreachable
from wattle.core.records import Batch, JournalMark, Launch
from wattle.testing import FakeExecutor, ManualClock, MemoryBus, MemoryStore


def launch(worker: str, attempt: int = 1) -> Launch:
    return Launch(nonce=f"{worker}-{attempt}", run=3, worker=worker, attempt=attempt, argv=("true",), cwd="/",
                  env_id="e", env={}, stdout="/o", stderr=None, outputs={"t": "/t"})  # fmt: skip


async def connected(executor: FakeExecutor, mark: JournalMark | None = None) -> list[Any]:
    """What it reports, as a list that grows."""
    heard: list[Any] = []
    await executor.connect(lambda _run, event, _mark: heard.append(event), mark, 1, "store")
    return heard


def test_time_passes_when_a_test_says_so_and_timers_ring_in_their_order() -> None:
    clock, rung = ManualClock(now=100.0), list[tuple[str, float, float]]()
    for name, at in (("late", 5.0), ("early", 2.0), ("after", 20.0), ("same", 5.0)):
        clock.call_at(at, lambda name=name: rung.append((name, clock.monotonic(), clock.now())))  # type: ignore[misc]
    clock.advance(10.0)
    assert rung == [("early", 2.0, 102.0), ("late", 5.0, 105.0), ("same", 5.0, 105.0)]
    clock.jump(-1000.0)
    clock.advance(1.0)
    assert (clock.monotonic(), clock.now()) == (11.0, -889.0)


def test_a_timer_that_a_timer_sets_rings_in_the_same_stretch() -> None:
    clock, rung = ManualClock(), list[float]()
    clock.call_at(1.0, lambda: clock.call_at(2.0, lambda: rung.append(clock.monotonic())))
    clock.advance(3.0)
    assert rung == [2.0]


def test_the_bus_keeps_what_it_was_told() -> None:
    bus, changes = MemoryBus(), {"a": "running"}
    bus.publish("etl", 1, 9, changes)
    changes["a"] = "later"
    assert bus.published == [("etl", 1, 9, {"a": "running"})]


def test_a_store_can_be_told_to_fail_once() -> None:
    store = MemoryStore()
    store.fail = StorageError("full")
    with pytest.raises(StorageError, match="full"):
        store.commit(Batch(runs={1: run(1)}))
    assert store.last_run_id() == 0
    assert store.commit(Batch(runs={1: run(1)}, events=[(1, launched())])) == 1
    assert store.commits == 1


async def test_processes_do_what_the_test_says() -> None:
    clock = ManualClock(now=50.0)
    executor = FakeExecutor(clock)
    heard = await connected(executor)
    executor.start([launch(name) for name in "abcd"])
    assert (executor.queued, executor.running, heard) == (["a-1", "b-1", "c-1", "d-1"], [], [])
    executor.started("a-1")
    clock.advance(2.0)
    executor.exited("a-1", 3)
    executor.not_started("b-1", "no such file")
    executor.started("c-1")
    executor.lost("c-1")
    executor.stop("d-1", 10.0)
    assert [type(event) for event in heard] == [
        ev.WorkerStarted, ev.WorkerExited, ev.WorkerNotStarted, ev.WorkerStarted, ev.WorkerLost, ev.WorkerWithdrawn,
    ]  # fmt: skip
    assert (heard[0].at, heard[1].at, heard[1].code, heard[1].outputs) == (50.0, 52.0, 3, {"t": (1, 1)})
    assert (executor.queued, executor.running) == ([], [])


async def test_a_habit_runs_everything_by_itself() -> None:
    executor = FakeExecutor()
    heard = await connected(executor)
    executor.obey(lambda launch: {"a": 0, "b": 7}.get(launch.worker))
    executor.start([launch("a"), launch("b"), launch("c")])
    assert [(event.worker, event.code) for event in heard if isinstance(event, ev.WorkerExited)] == [("a", 0), ("b", 7)]
    assert executor.queued == ["c-1"]
    executor.started("c-1")
    assert list(executor.usage()) == ["c-1"]
    executor.stop("c-1", 1.0)
    assert heard[-1].signal == 15


async def test_what_a_coordinator_missed_is_told_when_it_comes_back() -> None:
    executor = FakeExecutor()
    await connected(executor)
    executor.start([launch("a")])
    executor.leave()
    executor.started("a-1")
    executor.exited("a-1")
    assert [type(event) for event in await connected(executor)] == [ev.WorkerStarted, ev.WorkerExited]
    assert [type(event) for event in await connected(executor, JournalMark("journal-1", 1))] == [ev.WorkerExited]
    assert len(await connected(executor, JournalMark("another", 1))) == 2
    executor.acknowledge(JournalMark("journal-1", 1))
    assert len(await connected(executor)) == 1


async def test_a_runtime_folder_that_was_wiped_knows_nothing() -> None:
    executor = FakeExecutor()
    await connected(executor)
    executor.start([launch("a")])
    executor.forget("journal-2")
    state = await executor.connect(lambda *_: None, JournalMark("journal-1", 4), 2, "store")
    assert (state.journal, state.known) == ("journal-2", frozenset())
    executor.start([launch("a")])
    assert executor.queued == ["a-1"]


async def test_a_supervisor_may_be_out_of_reach() -> None:
    executor = FakeExecutor()
    executor.unreachable = True
    with pytest.raises(Unreachable):
        await connected(executor)


async def test_the_newest_attempt_of_a_worker_is_found_by_its_name() -> None:
    executor = FakeExecutor()
    executor.start([launch("a"), launch("a", 2)])
    assert executor.nonce("a") == "a-2"
    with pytest.raises(AssertionError, match="b was never launched"):
        executor.nonce("b")
    executor.base_environment("e", {"A": "b"})
    executor.busy(2)
    await executor.close(drain=True)
    assert (executor.environments, executor.calls, executor.closed) == (
        {"e": {"A": "b"}}, [("busy", 2), ("close", True, True)], True,
    )  # fmt: skip
