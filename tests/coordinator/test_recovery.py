"""After a coordinator's end, wherever it came: the next one goes on, and nothing happens twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, Killed, now
from tests.helpers import until
from wattle.coordinator.coordinator import FAILPOINTS
from wattle.coordinator.recovery import fold
from wattle.core import events as ev
from wattle.core.errors import Conflict, Unreachable
from wattle.core.events import AnyEvent
from wattle.core.records import JournalMark
from wattle.core.run import Run

CHAIN = {"a": {}, "b": {"needs": ["a"]}, "c": {"needs": ["a"]}, "d": {"needs": ["b", "c"]}}


def states(run: Run) -> list[tuple[object, ...]]:
    """What folding the stored events must give again."""
    return [(p.phase, p.reason, p.attempt, p.nonce, p.failures) for p in run.workers] + [(run.status, run.cause)]


def started_once(desk: Desk) -> None:
    """Every attempt has one nonce, and every nonce was one process at most."""
    desk.events()
    launched: dict[str, tuple[int, str, int]] = {}
    started: list[tuple[int, str, int]] = []
    for stored in desk.store.events():
        event = stored.event
        if isinstance(event, ev.WorkerLaunched):
            assert event.nonce not in launched
            launched[event.nonce] = stored.run, event.worker, event.attempt
        elif isinstance(event, ev.WorkerStarted):
            started.append((stored.run, event.worker, event.attempt))
    assert len(set(launched.values())) == len(launched)
    assert len(set(started)) == len(started)
    for nonce, launch in desk.hands.launched.items():
        assert launched[nonce] == (launch.run, launch.worker, launch.attempt)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("point", FAILPOINTS)
async def test_a_run_ends_well_wherever_its_coordinator_was_killed(tmp_path: Path, point: str, count: int) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create(CHAIN)
        desk.hands.obey()
        desk.kill_at = (point, count)
        start = asyncio.create_task(desk.ask("start_workflow", workflow="etl", key="once"))
        await until(lambda: desk.killed or (start.done() and not desk.driver.runs))
        while True:
            at_recovery, desk.kill_at = desk.kill_at, None
            if not desk.killed:
                desk.crash()
            desk.kill_at = at_recovery
            try:
                await desk.after_crash()
                break
            except Killed:
                continue
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await start
        await desk.ask("start_workflow", workflow="etl", key="once")
        await desk.until_closed()
        await desk.settle()
        assert [(head.number, head.status) for head in desk.store.runs()] == [(1, "completed")]
        assert Counter(launch.worker for launch in desk.hands.launched.values()) == Counter("abcd")
        started_once(desk)


@pytest.mark.parametrize("kind", STORES)
async def test_a_launch_that_was_stored_and_never_sent_is_sent_again_once(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({"a": {}})
        desk.kill_at = ("before-act", 1)
        start = asyncio.create_task(desk.ask("start_workflow", workflow="etl"))
        await until(lambda: desk.killed)
        start.cancel()
        launched = [event for event in desk.events() if isinstance(event, ev.WorkerLaunched)]
        assert len(launched) == 1
        assert desk.hands.sent == []
        await desk.after_crash()
        await desk.settle()
        again = [event for event in desk.events() if isinstance(event, ev.WorkerLaunched)]
        assert [event.nonce for event in again] == [event.nonce for event in launched] == desk.hands.sent
        await desk.finish("a")
        started_once(desk)


async def test_a_launch_that_the_executor_knows_is_not_sent_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.crash()
        desk.hands.sent.clear()
        await desk.after_crash()
        await desk.settle()
        assert desk.hands.sent == []
        assert await desk.phases() == {"a": "running", "b": "starting"}
        assert desk.driver.dispatcher.used == {"slots": 2}
        assert desk.notes == ["1 unfinished runs go on"]


@pytest.mark.parametrize("kind", STORES)
async def test_what_ended_while_nobody_was_there_is_taken_in_without_repetition(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create(CHAIN)
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.crash()
        desk.hands.exited(desk.hands.nonce("a"))
        await desk.after_crash()
        await desk.settle()
        assert await desk.phases() == {"a": "completed", "b": "starting", "c": "starting", "d": "waiting"}
        kinds = Counter(type(event).__name__ for event in desk.events() if getattr(event, "worker", "") == "a")
        assert kinds == {"WorkerLaunched": 1, "WorkerStarted": 1, "WorkerExited": 1}
        await desk.after_crash()
        await desk.settle()
        assert Counter(type(event).__name__ for event in desk.events())["WorkerExited"] == 1


async def test_a_journal_that_was_wiped_makes_its_attempts_lost_and_does_not_run_them_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"retries": 3}, "c": {"retries": 1, "retry_lost": True}},
                          on_failure="continue")  # fmt: skip
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.crash()
        desk.hands.forget("journal-2")
        await desk.after_crash()
        await desk.settle()
        assert await desk.phases() == {"a": "failed", "b": "failed", "c": "starting"}
        reply = await desk.ask("list_workers", workflow="etl")
        assert [worker.reason for worker in reply.workers[:2]] == ["lost", "lost"]
        assert "the record of its process is gone" in reply.workers[0].message
        assert [launch.worker for launch in desk.hands.launched.values()] == ["c"], "only it asked for that"
        assert desk.store.mark() == JournalMark("journal-2", 0)


async def test_what_another_journal_says_before_it_is_named_is_kept_with_its_mark(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        nonce = desk.hands.nonce("a")
        launch = desk.hands.launched[nonce]
        desk.crash()
        desk.hands.forget("journal-2")
        desk.hands.start([launch])
        desk.hands.started(nonce)
        connect = desk.hands.connect

        async def slowly(*arguments: Any) -> Any:
            state = await connect(*arguments)
            await desk.driver.settled()
            return state

        desk.hands.connect = slowly  # type: ignore[method-assign, assignment]
        await desk.after_crash()
        assert desk.store.mark() == JournalMark("journal-2", 1)
        assert await desk.phases() == {"a": "running"}


@pytest.mark.parametrize("stopping", [False, True])
async def test_a_process_that_the_journal_does_not_know_any_more_is_lost(tmp_path: Path, stopping: bool) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"retries": 3}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        if stopping:
            await desk.ask("restart_worker", workflow="etl", worker="a")
            await desk.ask("stop_workflow", workflow="etl")
        desk.crash()
        desk.hands.launched.clear()
        desk.hands.running.clear()
        desk.hands.sent.clear()
        await desk.after_crash()
        await desk.settle()
        assert isinstance(desk.events()[-1], ev.WorkerLost)
        assert desk.hands.sent == []
        assert await desk.phases() == {"a": "cancelled" if stopping else "failed"}


@pytest.mark.parametrize("state", ["running", "queued", "unknown"])
async def test_an_attempt_that_was_stopping_is_stopped_again(tmp_path: Path, state: str) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"grace": 7}})
        await desk.run()
        nonce = desk.hands.nonce("a")
        if state == "running":
            desk.hands.started(nonce)
            await desk.settle()
        stop = desk.hands.stop
        desk.hands.stop = lambda *_: None  # type: ignore[method-assign]
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        desk.crash()
        desk.hands.stop = stop  # type: ignore[method-assign]
        if state == "unknown":
            desk.hands.launched.clear()
            desk.hands.queued.clear()
        await desk.after_crash()
        await desk.settle()
        if state == "running":
            assert desk.hands.stops() == [(nonce, 7.0)]
            desk.hands.exited(nonce, signal=15)
            await desk.settle()
        assert await desk.phases() == {"a": "cancelled"}
        assert [head.status for head in desk.store.runs()] == ["cancelled"]
        assert desk.hands.sent == [nonce]


@pytest.mark.parametrize(("away", "left"), [(30.0, 70.0), (500.0, 0.0), (-50.0, 100.0)])
async def test_a_retry_delay_goes_on_by_what_the_clock_says(tmp_path: Path, away: float, left: float) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"retries": {"max": 2, "delay": 100}}})
        await desk.run()
        await desk.finish("a", 1)
        desk.crash()
        desk.clock.jump(away)
        before = now()
        await desk.after_crash()
        if left == 0:
            await until(lambda: len(desk.hands.launched) == 2)
            return
        (timer,) = desk.driver._timers.values()
        assert before + left <= timer.when() <= now() + left + 1
        assert await desk.phases() == {"a": "retrying"}


async def test_queued_runs_begin_one_after_the_other_also_after_a_crash(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}}, overlap="queue")
        for _ in range(3):
            await desk.run()
        assert len(desk.hands.launched) == 1
        await desk.after_crash()
        await desk.settle()
        for number in (1, 2, 3):
            assert [launch.run for launch in desk.hands.launched.values()] == list(range(1, number + 1))
            await desk.finish("a")
            if number == 1:
                await desk.after_crash()
                await desk.settle()
        assert [head.status for head in desk.store.runs()] == ["completed"] * 3
        opened = [event for event in desk.events() if isinstance(event, ev.RunOpened)]
        assert len(opened) == 3


async def test_a_queued_run_begins_when_the_one_before_ended_while_nobody_was_there(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}}, overlap="queue")
        await desk.run()
        await desk.run()
        first = desk.hands.nonce("a")
        desk.crash()
        desk.hands.started(first)
        desk.hands.exited(first)
        await desk.after_crash()
        await desk.settle()
        assert [launch.run for launch in desk.hands.launched.values()] == [1, 2]
        assert Counter(type(event).__name__ for event in desk.events())["RunOpened"] == 2


async def test_several_runs_go_on_at_once_within_the_limit(tmp_path: Path) -> None:
    async with Desk(tmp_path, slots=1) as desk:
        for name in ("one", "two"):
            await desk.create({"a": {}, "b": {}, "c": {}}, name=name)
            await desk.run(name)
        await desk.after_crash()
        await desk.settle()
        assert len(desk.hands.launched) == 2, "twice the slots"
        desk.hands.obey()
        for nonce in list(desk.hands.queued):
            desk.hands.started(nonce)
            desk.hands.exited(nonce)
        await desk.until_closed()
        await desk.settle()
        assert {head.status for head in desk.store.runs()} == {"completed"}
        assert len(desk.hands.launched) == 6


@pytest.mark.parametrize("kind", STORES)
async def test_folding_what_is_stored_gives_what_is_in_memory(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({**CHAIN, "e": {"retries": 1}, "f": {"each": {"n": [1, 2]}}}, on_failure="continue")
        await desk.run()
        live = desk.driver.runs[1]
        steps: list[Callable[[], Any]] = [
            lambda: desk.finish("e", 1), lambda: desk.finish("a"), lambda: desk.finish("b", 3),
            lambda: desk.ask("stop_worker", workflow="etl", worker="f"), lambda: desk.finish("e", 1),
        ]  # fmt: skip
        for step in steps:
            await step()
            await desk.settle()
            record = desk.store.run("etl", 1)
            assert record is not None
            assert states(fold(desk.store, record)) == states(live.run)


async def test_a_run_whose_environment_is_lost_ends_and_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.create({"a": {}}, name="other")
        await desk.run()
        await desk.run("other")
        desk.crash()
        for path in [path for path in desk.environments if "/etl/" in path]:
            del desk.environments[path]
        await desk.after_crash()
        for nonce in list(desk.hands.queued):
            desk.hands.started(nonce)
            desk.hands.exited(nonce)
        await desk.until_closed()
        await desk.settle()
        reply = await desk.ask("list_workers", workflow="etl")
        assert [(w.phase, w.reason) for w in reply.workers] == [("completed", ""), ("failed", "could-not-start")]
        assert "environment is lost" in reply.workers[1].message
        assert (await desk.phases("other")) == {"a": "completed"}
        with pytest.raises(Conflict, match="environment is lost") as caught:
            await desk.ask("rerun_workflow", workflow="etl")
        assert caught.value.code == "environment-lost"


async def test_each_run_keeps_its_own_environment_over_a_crash(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"env_vars": {"B": "${env.A}-b"}}, "b": {"needs": ["a"], "command": "echo ${env.A}"}},
                          overlap="allow")  # fmt: skip
        for value in ("1", "2"):
            await desk.run(environment={"A": value})
        await desk.after_crash()
        await desk.settle()
        assert [desk.hands.environments[f"etl@{n}"] for n in (1, 2)] == [{"A": "1"}, {"A": "2"}]
        for nonce in list(desk.hands.queued):
            assert desk.hands.launched[nonce].env["B"] == f"{desk.hands.launched[nonce].run}-b"
            desk.hands.started(nonce)
            desk.hands.exited(nonce)
        await desk.settle()
        found = {launch.run: launch.argv for launch in desk.hands.launched.values() if launch.worker == "b"}
        assert found == {1: ("echo", "1"), 2: ("echo", "2")}


async def test_results_that_were_taken_over_are_found_after_a_crash(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t.csv"]}, "b": {"inputs": {"t": "a/t"}, "command": "cat ${inputs.t}"}})
        await desk.run()
        place = Path(desk.hands.launched[desk.hands.nonce("a")].outputs["t"])
        place.parent.mkdir(parents=True)
        place.write_text("1")
        seen = place.stat()
        await desk.finish("a", outputs={"t": (seen.st_size, seen.st_mtime_ns)})
        await desk.finish("b", 1)
        await desk.ask("rerun_workflow", workflow="etl", failed=True)
        desk.crash()
        await desk.after_crash()
        await desk.settle()
        assert desk.hands.launched[desk.hands.nonce("b", 2)].argv == ("cat", str(place))
        assert await desk.phases() == {"a": "completed", "b": "starting"}


async def test_nothing_is_launched_while_the_supervisor_cannot_be_reached(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        desk.crash()
        desk.hands.unreachable = True
        with pytest.raises(Unreachable):
            await desk.after_crash()
        assert not desk.driver.ready
        desk.hands.unreachable = False
        await desk.after_crash()
        await desk.finish("a")
        await desk.finish("b")
        assert [head.status for head in desk.store.runs()] == ["completed"]


async def test_events_of_unknown_runs_and_of_ended_ones_change_nothing(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        await desk.finish("a")
        before = len(desk.events())
        late: list[AnyEvent] = [ev.WorkerExited(worker="a", attempt=1, code=1), ev.StopRequested()]
        for event in late:
            desk.driver.post(1, event)
            desk.driver.post(99, event, JournalMark("journal-1", 50))
        await desk.settle()
        assert len(desk.events()) == before
        assert desk.store.mark() == JournalMark("journal-1", 50)
