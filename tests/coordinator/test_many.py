"""Several streams as one: every topic whole, one id for all of them, none in the way of another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import Desk, Reader, collect, refusal
from tests.helpers import until
from wattle.core.places import log_paths

TWO: dict[str, Any] = {"a": {}, "b": {"needs": ["a"]}}


def write(desk: Desk, worker: str, text: str, run: int = 1) -> None:
    live = desk.driver.runs[run]
    instance = live.run.workers[live.run.by_name[worker]].instance
    desk.logs.append(log_paths(desk.log_root, live.run.spec, instance, 1)["stdout"], text.encode())


async def running(desk: Desk) -> None:
    await desk.create(TWO)
    await desk.run()
    desk.hands.started(desk.hands.nonce("a"))
    await desk.settle()


def of(found: list[Any], topic: str) -> list[Any]:
    return [item for item in found if item.topic == topic]


async def test_a_page_follows_a_run_a_log_and_the_events_on_one_stream(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await running(desk)
        reader = Reader(desk.follow("follow_many", runs="etl@1", logs="etl@1/a,etl/b", events=True))
        await until(lambda: of(reader.found, "run:etl@1"))
        assert of(reader.found, "run:etl@1")[0].data.first
        write(desk, "a", "hello\n")
        await until(lambda: of(reader.found, "log:etl@1/a"))
        assert of(reader.found, "log:etl@1/a")[0].data.text == "hello\n"
        await desk.finish("a")
        await desk.finish("b", code=3)
        await until(lambda: len([item for item in reader.found if item.event == "end"]) == 3)
        ends = {item.topic: item.data for item in reader.found if item.event == "end"}
        assert ends["run:etl@1"] == {"status": "failed", "reason": "exit"}
        assert ends["log:etl@1/a"] == {"status": "completed", "reason": "", "code": 0, "signal": None}
        assert ends["log:etl/b"]["code"] == 3
        states = {state.name: state.phase for item in of(reader.found, "run:etl@1") if item.event == "message"
                  for state in item.data.workers}  # fmt: skip
        assert states == {"a": "completed", "b": "failed"}
        await until(lambda: [item.data.seq for item in of(reader.found, "events")][-1:] == [desk.driver.seq])
        events = [item.data.seq for item in of(reader.found, "events")]
        assert events == list(range(events[0], desk.driver.seq + 1))
        assert not reader.done, "events have no end"
        await reader.leave()
        assert desk.driver.listeners == []
        assert not desk.service.edges._open


async def test_one_id_resumes_every_topic(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await running(desk)
        asked = {"runs": "etl@1", "logs": "etl@1/a", "events": True}
        reader = Reader(desk.follow("follow_many", **asked, after=0))
        write(desk, "a", "one\n")
        await until(lambda: len(of(reader.found, "events")) == desk.driver.seq and of(reader.found, "log:etl@1/a")
                    and of(reader.found, "run:etl@1"))  # fmt: skip
        await reader.leave()
        last = reader.found[-1].position
        seq = desk.driver.seq
        assert last == f"{seq},1.4.0,{seq}"
        again = Reader(desk.follow("follow_many", **asked, position=last))
        write(desk, "a", "two\n")
        await until(lambda: again.found)
        await desk.finish("a")
        await until(lambda: len([item for item in again.found if item.event == "end"]) == 1)
        await until(lambda: len(of(again.found, "events")) == desk.driver.seq - seq)
        assert [item.data.text for item in of(again.found, "log:etl@1/a") if item.event == "message"] == ["two\n", None]
        assert not of(again.found, "run:etl@1")[0].data.first, "it had the picture already"
        assert [item.data.seq for item in of(again.found, "events")] == list(range(seq + 1, desk.driver.seq + 1))
        await again.leave()


async def test_a_topic_that_fails_says_so_and_leaves_the_others_alone(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await running(desk)
        reader = Reader(desk.follow("follow_many", runs="nope@1,etl@1", logs="etl@1/nope,etl@1/a"))
        await until(lambda: len([item for item in reader.found if item.event == "error"]) == 2)
        errors = {item.topic: item.data["code"] for item in reader.found if item.event == "error"}
        assert errors == {"run:nope@1": "not-found", "log:etl@1/nope": "not-found"}
        write(desk, "a", "x")
        await until(lambda: of(reader.found, "log:etl@1/a"))
        await desk.finish("a")
        await desk.finish("b")
        assert {item.topic for item in await reader.ended() if item.event == "end"} == {"run:etl@1", "log:etl@1/a"}


async def test_what_has_ended_is_told_and_ends(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        desk.hands.obey()
        await desk.create(TWO)
        await desk.run()
        await desk.until_closed()
        found = await collect(desk.follow("follow_many", runs="etl@1", logs="etl@1/a"))
        assert [item.event for item in of(found, "run:etl@1")] == ["message", "end"]
        assert [item.event for item in of(found, "log:etl@1/a")] == ["message", "end"]


async def test_when_the_coordinator_leaves_no_topic_is_said_to_have_ended(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with desk:
        await running(desk)
        reader = Reader(desk.follow("follow_many", runs="etl@1", logs="etl@1/a", events=True))
        await until(lambda: reader.found)
        await desk.driver.stop()
        assert "end" not in {item.event for item in await reader.ended()}


@pytest.mark.parametrize("fields", [
    {}, {"runs": ",".join(f"w{i}" for i in range(33))}, {"runs": "etl@1,etl@1"}, {"runs": "etl@1/a"}, {"runs": "../x"},
    {"logs": "etl@1"}, {"logs": "etl@1/a/b"}, {"runs": "etl@1", "position": "1,2"}, {"runs": "etl@1", "position": "x"},
    {"events": True, "position": "-1"}, {"runs": "etl@one"},
])  # fmt: skip
async def test_what_makes_no_sense_is_refused_at_once(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with Desk(tmp_path) as desk:
        await running(desk)
        error = await refusal(desk, "follow_many", **fields)
        assert (error.http_status, bool(error.hint)) == (400, True)


async def test_a_bug_in_one_topic_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Desk(tmp_path) as desk:
        await running(desk)

        async def watch_run(_request: Any) -> Any:
            raise ZeroDivisionError
            yield

        monkeypatch.setattr(desk.service, "watch_run", watch_run)
        with pytest.raises(ZeroDivisionError):
            await collect(desk.follow("follow_many", runs="etl@1", events=True))
        assert desk.driver.listeners == []


async def test_a_reader_that_takes_nothing_holds_few_items(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await running(desk)
        stream: Any = desk.follow("follow_many", logs="etl@1/a", events=True)
        for i in range(100):
            write(desk, "a", f"{i}\n")
        first = await anext(stream)
        assert first.topic == "log:etl@1/a"
        for i in range(200):
            write(desk, "a", f"{i}\n")
            await asyncio.sleep(0)
        text = first.data.text
        while not text.endswith("199\n"):
            text += (await anext(stream)).data.text
        assert text == "".join(f"{i}\n" for i in [*range(100), *range(200)])
        await stream.aclose()
