"""The turn: nothing is told or acted upon before it is durable, nothing gets lost when the disk is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.coordinator.desk import STORES, Desk, Reader
from tests.helpers import until
from wattle.coordinator import coordinator as module
from wattle.coordinator import values
from wattle.core import events as ev
from wattle.core.errors import StorageError, Unreachable

FOREVER = 1 << 30
CHAIN = {"a": {}, "b": {"needs": ["a"]}, "c": {"needs": ["b"]}}


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_COMMIT_SECONDS", 0.01)


@pytest.mark.parametrize("kind", STORES)
async def test_nothing_is_launched_before_its_commit_is_durable(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({"a": {}})
        desk.disk.gate.clear()
        tried = desk.disk.tried
        start = asyncio.create_task(desk.ask("start_workflow", workflow="etl"))
        await until(lambda: desk.disk.tried > tried)
        await asyncio.sleep(0)
        assert desk.hands.sent == []
        assert not start.done()
        desk.disk.gate.set()
        assert (await start).address == "etl@1"
        await desk.settle()
        assert desk.hands.sent == [desk.hands.nonce("a")]


async def test_events_that_come_during_a_commit_are_committed_together(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}, "c": {}})
        await desk.run()
        desk.disk.gate.clear()
        before, tried = len(desk.disk.batches), desk.disk.tried
        desk.hands.started(desk.hands.nonce("a"))
        await until(lambda: desk.disk.tried > tried)
        for name in ("b", "c"):
            desk.hands.started(desk.hands.nonce(name))
            desk.hands.exited(desk.hands.nonce(name))
        await asyncio.sleep(0)
        desk.disk.gate.set()
        await desk.settle()
        assert [len(batch.events) for batch in desk.disk.batches[before:]] == [1, 4]


async def test_starts_and_exits_gather_while_plenty_is_queued_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.02)
    async with Desk(tmp_path, slots=1) as desk:
        await desk.create({"a": {"each": {"n": list(range(60))}}})
        await desk.run()
        while desk.driver._sent <= 8:  # until it is known that these are short
            desk.hands.started(desk.hands.queued[0])
            desk.hands.exited(desk.hands.running[0])
            await desk.settle()
        before = len(desk.disk.batches)
        for nonce in desk.hands.queued[:3]:
            desk.hands.started(nonce)
            await asyncio.sleep(0)
            desk.hands.exited(nonce)
            await asyncio.sleep(0)
        assert len(desk.disk.batches) == before
        await desk.settle()
        assert len(desk.disk.batches) == before + 1
        monkeypatch.setattr(module, "GATHER_SECONDS", 1000.0)
        desk.hands.started(desk.hands.queued[0])
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert "running" in (await desk.phases()).values(), "a reader does not wait for others"
        desk.hands.obey()
        desk.hands.exited(desk.hands.running[0])
        await desk.ask("stop_workflow", workflow="etl")
        await desk.until_closed()


async def test_what_still_gathers_when_the_coordinator_stops_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Desk(tmp_path, slots=1) as desk:
        await desk.create({"a": {"each": {"n": list(range(60))}}})
        await desk.run()
        while desk.driver._sent <= 5:
            desk.hands.started(desk.hands.queued[0])
            desk.hands.exited(desk.hands.running[0])
            await desk.settle()
        monkeypatch.setattr(module, "GATHER_SECONDS", 0.05)
        desk.hands.started(desk.hands.queued[0])
        await asyncio.sleep(0)
        await desk.driver.stop()
        assert isinstance(desk.events()[-1], ev.WorkerStarted)
        await asyncio.sleep(0.06)  # what gathered comes too late, and finds nothing to do


async def test_the_mark_is_stored_with_the_events_that_it_covers_and_acknowledged_after(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}})
        await desk.run()
        desk.disk.gate.clear()
        desk.hands.started(desk.hands.nonce("a"))
        await asyncio.sleep(0)
        assert len(desk.hands._entries) == 1, "acknowledged before it was stored"
        desk.disk.gate.set()
        await desk.settle()
        assert desk.hands._entries == []
        seen = 0
        for batch in desk.disk.batches:
            seen += sum(isinstance(event, ev.WorkerStarted | ev.WorkerExited) for _, event in batch.events)
            assert batch.mark is None or batch.mark.seq == seen


async def test_a_read_shows_only_what_is_durable(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        desk.disk.gate.clear()
        desk.hands.started(desk.hands.nonce("a"))
        reading = asyncio.create_task(desk.phases())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not reading.done()
        desk.disk.gate.set()
        assert await reading == {"a": "running"}
        assert isinstance(desk.events()[-1], ev.WorkerStarted)


async def test_an_error_of_a_reader_is_its_own(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()

        def stumble() -> None:
            raise LookupError("not here")

        desk.hands.started(desk.hands.nonce("a"))
        with pytest.raises(LookupError, match="not here"):
            await desk.driver.read(stumble)
        await desk.settle()
        assert await desk.phases() == {"a": "running"}


async def test_a_reader_that_went_away_does_not_disturb_the_turn(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        for full in (0, 1):
            desk.disk.gate.clear()
            desk.disk.full = full
            desk.driver.post(1, ev.TimerFired(worker="a", attempt=9))
            reading = asyncio.create_task(desk.driver.settled())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.sleep(0)
            desk.disk.gate.set()
            await desk.settle()
            assert reading.cancelled()
        assert not desk.driver.trouble
        assert await desk.phases() == {"a": "starting"}


async def test_the_sequence_number_is_that_of_the_newest_durable_event(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create(CHAIN)
        desk.hands.obey()
        await desk.run()
        await desk.until_closed()
        await desk.settle()
        assert desk.driver.seq == desk.store.last_seq() == len(desk.events())
        assert (await desk.ask("get_run", workflow="etl", number=1)).seq == desk.driver.seq


async def test_a_launch_that_is_stopped_before_it_is_durable_is_never_sent(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}, "c": {}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("c"))
        await desk.settle()
        desk.disk.gate.clear()
        tried = desk.disk.tried
        desk.hands.started(desk.hands.nonce("a"))
        await until(lambda: desk.disk.tried > tried)
        desk.hands.exited(desk.hands.nonce("a"))
        await until(lambda: desk.live().workers[1].phase == "starting")
        desk.hands.exited(desk.hands.nonce("c"), 1)
        await until(lambda: desk.live().workers[1].phase == "stopping")
        desk.disk.gate.set()
        await desk.settle()
        assert "b" not in [launch.worker for launch in desk.hands.launched.values()]
        assert await desk.phases() == {"a": "completed", "b": "cancelled", "c": "failed"}
        assert desk.driver.dispatcher.used == {}


# ---- a full disk ----------------------------------------------------------------------------------------------


async def test_after_a_full_disk_everything_goes_on_by_itself(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create(CHAIN)
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.disk.full = 3
        desk.hands.exited(desk.hands.nonce("a"))
        await until(lambda: desk.driver.trouble)
        assert [launch.worker for launch in desk.hands.launched.values()] == ["a"]
        await until(lambda: not desk.driver.trouble)
        await desk.settle()
        await desk.finish("b")
        await desk.finish("c")
        assert (await desk.ask("get_run", workflow="etl", number=1)).status == "completed"


async def test_what_becomes_ready_while_the_disk_is_full_is_launched_when_it_is_back(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}, "z": {}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.disk.full = FOREVER
        desk.hands.started(desk.hands.nonce("z"))
        await until(lambda: desk.driver.trouble)
        desk.hands.exited(desk.hands.nonce("a"))
        await until(lambda: desk.live().workers[1].phase == "ready")
        desk.disk.full = 0
        await until(lambda: any(launch.worker == "b" for launch in desk.hands.launched.values()))
        assert [launch.worker for launch in desk.hands.launched.values()].count("b") == 1


@pytest.mark.parametrize("when", ["with what fails", "behind what fails", "while it is full"])
async def test_processes_are_stopped_even_while_the_disk_is_full(tmp_path: Path, when: str) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "z": {}}, grace=3)
        await desk.run()
        nonce = desk.hands.nonce("a")
        desk.hands.started(nonce)
        await desk.settle()
        desk.disk.full = FOREVER
        if when == "while it is full":
            desk.hands.started(desk.hands.nonce("z"))
            await until(lambda: desk.driver.trouble)
        if when == "behind what fails":
            desk.disk.gate.clear()
            tried = desk.disk.tried
            desk.hands.started(desk.hands.nonce("z"))
            await until(lambda: desk.disk.tried > tried)
            desk.driver._loop.call_later(0.05, desk.disk.gate.set)
        with pytest.raises(StorageError, match="disk is full"):
            await desk.ask("stop_workflow", workflow="etl")
        await until(lambda: (nonce, 3.0) in desk.hands.stops(), 5)
        desk.disk.full = 0
        await until(lambda: not desk.driver.trouble)
        await desk.settle()
        assert desk.hands.stops().count((nonce, 3.0)) == 1
        assert isinstance(next(event for event in desk.events() if isinstance(event, ev.StopRequested)), ev.Event)


async def test_a_launch_that_waits_for_the_disk_and_is_stopped_meanwhile_never_starts(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.disk.full = FOREVER
        desk.hands.exited(desk.hands.nonce("a"))
        await until(lambda: desk.driver.trouble)
        assert desk.live().workers[1].phase == "starting"
        with pytest.raises(StorageError):
            await desk.ask("stop_workflow", workflow="etl")
        desk.disk.full = 0
        await desk.until_closed()
        await desk.settle()
        assert desk.hands.sent == [desk.hands.nonce("a")]
        assert await desk.phases() == {"a": "completed", "b": "cancelled"}


@pytest.mark.parametrize("when", ["its own commit fails", "the one before fails", "it is full already"])
async def test_a_start_on_a_full_disk_is_refused_and_does_not_begin_later(tmp_path: Path, when: str) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "z": {}}, name="other")
        await desk.create({"a": {}})
        await desk.run("other")
        desk.disk.full = FOREVER
        if when == "it is full already":
            desk.hands.started(desk.hands.nonce("z"))
            await until(lambda: desk.driver.trouble)
        if when == "the one before fails":
            desk.disk.gate.clear()
            tried = desk.disk.tried
            desk.hands.started(desk.hands.nonce("z"))
            await until(lambda: desk.disk.tried > tried)
            start = asyncio.create_task(desk.ask("start_workflow", workflow="etl", key="once"))
            await until(lambda: len(desk.driver.runs) == 2)
            desk.disk.gate.set()
        else:
            start = asyncio.create_task(desk.ask("start_workflow", workflow="etl", key="once"))
        with pytest.raises(StorageError, match="disk is full"):
            async with asyncio.timeout(5):
                await start
        assert len(desk.driver.runs) == 1
        desk.disk.full = 0
        await until(lambda: not desk.driver.trouble)
        await desk.settle()
        assert [head.workflow for head in desk.store.runs()] == ["other"]
        assert desk.store.key("once") is None
        record = desk.store.workflow("etl")
        assert record is not None
        assert record.last_run == 0
        assert desk.driver.dispatcher.used == {"slots": 2}, "the abandoned launch still holds its slot"
        again = await desk.run(key="once")
        assert again.address == "etl@1"
        assert [launch.worker for launch in desk.hands.launched.values() if launch.run != 1] == ["a"]


async def test_a_database_that_fails_in_another_way_is_trouble_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                  ) -> None:  # fmt: skip
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})

        def stumble(_batch: object) -> int:
            raise OSError("no such device")

        monkeypatch.setattr(desk.disk.inner, "commit", stumble)
        with pytest.raises(StorageError, match="no such device"):
            await desk.ask("start_workflow", workflow="etl")
        monkeypatch.undo()
        monkeypatch.setattr(module, "RETRY_COMMIT_SECONDS", 0.01)
        await until(lambda: not desk.driver.trouble, 5)


# ---- life -----------------------------------------------------------------------------------------------------


async def test_stopping_makes_everything_durable_and_lets_processes_run(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.driver.stop()
        assert desk.driver.stopped
        assert isinstance(desk.events()[-1], ev.WorkerStarted)
        assert desk.hands.stops() == []
        assert desk.hands.running == [desk.hands.nonce("a")]


async def test_a_coordinator_that_has_stopped_answers_that_it_leaves(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        await desk.driver.stop()
        async with asyncio.timeout(5):
            for operation, fields in (("stop_workflow", {}), ("stop_worker", {"worker": "a"}), ("prune_runs", {})):
                with pytest.raises(Unreachable, match="letting go"):
                    await desk.ask(operation, workflow="etl", **fields)
            assert await desk.phases() == {"a": "starting"}


async def test_a_request_that_comes_while_the_coordinator_stops_is_answered(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        desk.disk.gate.clear()
        desk.hands.started(desk.hands.nonce("a"))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(desk.driver.stop())
        asking = [asyncio.create_task(desk.ask("stop_workflow", workflow="etl")) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        desk.disk.gate.set()
        async with asyncio.timeout(5):
            await stopping
            answers = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(answer, Unreachable) or answer.phase == "stopping"  # type: ignore[union-attr]
                   for answer in answers), answers  # fmt: skip
        desk.events()


async def test_a_coordinator_stops_although_the_disk_is_full(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        desk.disk.full = FOREVER
        desk.hands.started(desk.hands.nonce("a"))
        await until(lambda: desk.driver.trouble)
        async with asyncio.timeout(5):
            await desk.driver.stop()
        assert desk.driver.stopped
        await asyncio.sleep(0.05)  # a retry that was due would fail the test by its complaint


async def test_streams_end_when_the_coordinator_stops(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        readers = [
            Reader(desk.follow("watch_run", workflow="etl")),
            Reader(desk.follow("follow_events", workflow="etl")),
            Reader(desk.follow("follow_all_events")),
            Reader(desk.follow("follow_logs", workflow="etl", worker="a")),
        ]
        await readers[0].has(1)
        await readers[1].has(3)
        await readers[2].has(3)
        await desk.driver.stop()
        ends = [await reader.ended() for reader in readers]
        assert desk.service.leaving
        assert ends[3] == [], "a log has no end chunk when only the coordinator leaves"


async def test_the_executor_hears_how_many_runs_are_unfinished_and_idleness_is_told(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        idle: list[int] = []
        desk.driver.on_idle = lambda: idle.append(len(desk.driver.runs))
        await desk.create({"a": {}})
        await desk.create({"a": {}}, name="other")
        await desk.run()
        await desk.run("other")
        await desk.finish("a")
        assert idle == []
        desk.hands.obey()
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        assert [call[1] for call in desk.hands.calls if call[0] == "busy"] == [1, 2, 1, 0]
        assert idle == [0]


async def test_the_lag_of_the_loop_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOP_PROBE_SECONDS", 0.0)
    async with Desk(tmp_path) as desk:
        assert 0 < await until(lambda: desk.driver.lag) < 5


async def test_launches_keep_every_limit(tmp_path: Path) -> None:
    async with Desk(tmp_path, slots=2) as desk:
        await desk.create({"a": {"each": {"n": [1, 2, 3, 4, 5]}, "max_concurrent": 1}, "b": {}, "c": {}, "d": {}})
        await desk.run(jobs=1)
        assert [launch.worker for launch in desk.hands.launched.values()] == ["a.1", "a.2"], "twice the limit, no more"
        limits = desk.hands.launched[desk.hands.nonce("a.1")].limits
        assert limits == {"slots": (1, 2), "run:1": (1, 1), "group:1/a": (1, 1)}
        desk.hands.obey()
        await desk.finish("a.1")
        await desk.finish("a.2")
        await desk.until_closed()
        await desk.settle()
        assert desk.driver.dispatcher.used == {}


async def test_an_attempt_that_cannot_be_prepared_is_not_started_and_says_why(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": {"n": {"type": "value"}}},
                           "b": {"command": "echo ${inputs.n}", "inputs": {"n": "a/n"}}})  # fmt: skip
        await desk.run()
        await desk.finish("a")
        await desk.settle()
        reply = await desk.ask("get_worker", workflow="etl", worker="b")
        assert (reply.state.phase, reply.state.reason) == ("failed", "could-not-start")
        assert "No such file" in reply.state.message


@pytest.mark.parametrize(("content", "argument"), [("[1,2]", "[1, 2]"), ("plain\n", "plain"), ('"é"', "é")])
async def test_a_value_is_handed_on_as_its_json_or_else_its_text(tmp_path: Path, content: str, argument: str) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": {"n": {"type": "value"}}},
                           "b": {"command": "echo ${inputs.n}", "inputs": {"n": "a/n"}}})  # fmt: skip
        await desk.run()
        place = Path(desk.hands.launched[desk.hands.nonce("a")].outputs["n"])
        place.parent.mkdir(parents=True)
        place.write_text(content, encoding="utf-8")
        await desk.finish("a")
        assert desk.hands.launched[desk.hands.nonce("b")].argv == ("echo", argument)


async def test_a_value_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": {"n": {"type": "value"}}},
                           "b": {"command": "echo ${inputs.n}", "inputs": {"n": "a/n"}}})  # fmt: skip
        await desk.run()
        place = Path(desk.hands.launched[desk.hands.nonce("a")].outputs["n"])
        place.parent.mkdir(parents=True)
        place.write_bytes(b"x" * (values.VALUE_LIMIT + 1))
        await desk.finish("a")
        await desk.settle()
        state = (await desk.ask("get_worker", workflow="etl", worker="b")).state
        assert "larger than 1 MiB" in state.message


async def test_a_retry_waits_for_its_delay_and_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"retries": {"max": 2, "delay": 0.01, "backoff": 1000}}})
        await desk.run()
        await desk.finish("a", 1)
        await until(lambda: len(desk.hands.launched) == 2)
        await desk.finish("a", 1)
        assert await desk.phases() == {"a": "retrying"}
        timers = list(desk.driver._timers.values())
        assert len(timers) == 1
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        assert timers[0].cancelled()
        assert (await desk.ask("get_run", workflow="etl", number=1)).status == "cancelled"
