"""The operations on the bus: same requests, replies and errors; streams in pieces; nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.bus.buses import HUB, program, router
from tests.helpers import until, within
from wattle.bus.access import operations_of
from wattle.bus.door import Door
from wattle.bus.keys import Keys
from wattle.bus.zenoh import Reply, Session, open_client
from wattle.core import replies as rp
from wattle.core import requests as rq
from wattle.core.errors import NotFound
from wattle.core.operations import BY_NAME

KEYS = Keys(HUB)


class Service:
    """Answers some operations; what it is asked is kept."""

    leaving = False

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.closed = 0
        self.go_on = asyncio.Event()

    async def list_workflows(self, request: rq.ListWorkflows) -> rp.WorkflowList:
        self.asked.append(request)
        return rp.WorkflowList(workflows=[], total=0)

    async def stop_workflow(self, request: rq.StopWorkflow) -> rp.Done:
        self.asked.append(request)
        raise NotFound(f"There is no workflow {request.workflow!r}.", "wattle list")

    async def delete_workflow(self, request: rq.DeleteWorkflow) -> rp.Done:
        return rp.Done(message="deleted")

    async def get_workflow(self, request: rq.GetWorkflow) -> rp.Done:
        raise RuntimeError("a bug")

    async def list_runs(self, request: rq.ListRuns) -> rp.Done:
        await self.go_on.wait()
        return rp.Done(message="at last")

    async def follow_events(self, request: rq.FollowEvents) -> AsyncIterator[rp.EventLine]:
        self.asked.append(request)
        try:
            for seq in range(request.after + 1, request.after + 6):
                yield rp.EventLine(seq=seq, address="etl@1", type="run-opened", at=0.0, worker=None, event={})
            if request.follow:
                await self.go_on.wait()
            if request.workflow == "broken":
                raise NotFound("It went away.", "wattle list")
        finally:
            self.closed += 1

    async def follow_logs(self, request: rq.FollowLogs) -> AsyncIterator[rp.LogChunk]:
        for number in range(3000):
            yield rp.LogChunk(worker="w", attempt=1, stream="stdout", from_offset=number, to_offset=number + 1,
                              text="x" * 50_000, position=f"1.{number}.0")  # fmt: skip


class Stage:
    def __init__(self, door: Door, service: Service, kernel: Session, folder: Path) -> None:
        self.door, self.service, self.kernel, self.folder = door, service, kernel, folder
        self.recorded: list[tuple[str, str, str, str]] = []

    async def ask(self, name: str, **fields: Any) -> list[Reply]:
        return await self.ask_raw(name, json.dumps(fields).encode() if fields else b"")

    async def ask_raw(self, name: str, payload: bytes = b"") -> list[Reply]:
        return await within(asyncio.to_thread(lambda: list(self.kernel.get(KEYS.api(name), payload, 20.0))))


@contextlib.asynccontextmanager
async def stage(folder: Path, **options: Any) -> AsyncIterator[Stage]:
    async with router(folder) as bus:
        coordinator = await asyncio.to_thread(open_client, bus.connection("coordinator"))
        kernel = await asyncio.to_thread(open_client, bus.connection("kernel"))
        service = Service()
        play = Stage(Door(coordinator, lambda: service, lambda row, *rest: play.recorded.append((row.name, *rest)), **options),
                     service, kernel, bus.folder)  # fmt: skip
        while not await play.ask("list_workflows"):
            continue
        service.asked.clear()
        try:
            yield play
        finally:
            await within(play.door.close())
            await asyncio.to_thread(kernel.close)
            await asyncio.to_thread(coordinator.close)


def error_of(replies: list[Reply]) -> dict[str, Any]:
    (reply,) = replies
    assert reply.error is not None
    assert set(reply.error) >= {"code", "message", "hint"}
    return reply.error


async def test_a_question_is_answered_as_over_http(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        (reply,) = await play.ask("list_workflows", limit=3, tag="x")
        assert msgspec.json.decode(reply.payload, type=rp.WorkflowList) == rp.WorkflowList(workflows=[], total=0)
        assert reply.encoding == "application/json"
        assert play.service.asked == [rq.ListWorkflows(limit=3, tag="x")]


async def test_errors_are_told_in_the_one_form(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        assert error_of(await play.ask("stop_workflow", workflow="etl")) == {
            "code": "not-found", "message": "There is no workflow 'etl'.", "hint": "wattle list"}  # fmt: skip
        assert error_of(await play.ask("list_workflows", wrong=1))["code"] == "invalid-request"
        assert "its fields are" in error_of(await play.ask("list_workflows", limit="many"))["hint"]
        for payload in (b"{", b"[]", b"\xff", b"[" * 100_000, b'"x"'):
            assert error_of(await play.ask_raw("list_workflows", payload))["code"] == "invalid-request"
        assert error_of(await play.ask_raw("list_workflows", b" " * (8 << 20) + b"{}"))["code"] == "too-large"
        inside = error_of(await play.ask("get_workflow", workflow="etl"))
        assert inside["code"] == "internal"
        assert "a bug\n" not in str(inside)


async def test_what_changes_something_is_recorded(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.ask("list_workflows")
        await play.ask("stop_workflow", workflow="etl@3")
        await play.ask("delete_workflow", workflow="etl")
        assert play.recorded == [("stop_workflow", "etl@3", "", "not-found"), ("delete_workflow", "etl", "", "ok")]


async def test_nobody_is_asked_before_there_is_a_service(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        play.door._find_service = lambda: None
        assert error_of(await play.ask("list_workflows"))["code"] == "starting"


async def test_a_stream_comes_in_pieces_and_says_how_it_ended(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        *events, last = await play.ask("follow_events", workflow="etl", after=7, follow=False)
        assert [json.loads(reply.payload)["seq"] for reply in events] == [8, 9, 10, 11, 12]
        assert all(reply.error is None and reply.attachment is None for reply in events)
        assert last.payload == b""
        assert json.loads(last.attachment or b"") == {"end": "complete", "resume": {"after": 12}}


async def test_a_stream_that_fails_says_so_instead_of_an_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        *events, last = await play.ask("follow_events", workflow="broken", follow=False)
        assert len(events) == 5
        assert last.error == {"code": "not-found", "message": "It went away.", "hint": "wattle list"}


async def test_no_stream_goes_on_for_ever_and_each_can_be_taken_up(tmp_path: Path) -> None:
    async with stage(tmp_path, stream_seconds=0.2) as play:
        *events, last = await play.ask("follow_events", workflow="etl")
        end = json.loads(last.attachment or b"")
        assert (len(events), end) == (5, {"end": "later", "resume": {"after": 5}})
        assert play.service.closed == 1
        *events, last = await play.ask("follow_events", workflow="etl", follow=False, **end["resume"])
        assert [json.loads(reply.payload)["seq"] for reply in events] == [6, 7, 8, 9, 10]


async def test_questions_are_answered_beside_one_another(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        waiting = asyncio.create_task(play.ask("list_runs", workflow="etl"))
        await until(lambda: play.door._tasks)
        for _ in range(20):
            assert len(await play.ask("list_workflows")) == 1
        play.service.go_on.set()
        (reply,) = await waiting
        assert json.loads(reply.payload)["message"] == "at last"


async def test_a_door_that_closes_sends_everybody_to_its_successor(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        waiting = asyncio.create_task(play.ask("list_runs", workflow="etl"))
        stream = asyncio.create_task(play.ask("follow_events", workflow="etl"))
        await until(lambda: len(play.door._tasks) == 2)
        await within(play.door.close())
        assert error_of(await waiting)["code"] == "resync"
        assert (await stream)[-1].error is not None
        assert play.service.closed == 1
        assert await play.ask("list_workflows") == []


async def test_every_operation_has_a_question_but_the_hand_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        for name in BY_NAME:
            answered = await play.ask_raw(name, b"[]")
            assert bool(answered) == (name in operations_of("kernel")), name


FROZEN = """
import sys
from wattle.bus.keys import Keys
from wattle.bus.zenoh import open_client
session = open_client(sys.argv[1])
replies = session.get(Keys(session.hub).api("follow_logs"), b'{"workflow": "etl", "worker": "w"}', 600)
next(replies)
print("asked", flush=True)
for reply in replies:
    pass
"""


async def test_an_asker_who_takes_nothing_holds_up_neither_the_loop_nor_others(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        frozen = program(FROZEN, play.folder / "connection-kernel.json")
        try:
            assert frozen.stdout is not None
            assert await asyncio.to_thread(frozen.stdout.readline) == "asked\n"
            frozen.send_signal(signal.SIGSTOP)
            ticks = 0
            for _ in range(50):
                await asyncio.sleep(0.02)
                ticks += 1
            assert ticks == 50
            (reply,) = await play.ask("list_workflows")
            assert reply.error is None
            await until(lambda: not play.door._streams)  # it is cut off, and its stream ends
        finally:
            frozen.kill()
            await asyncio.to_thread(frozen.communicate)


@pytest.mark.parametrize("size", [8 << 20])
async def test_a_large_answer_arrives_whole(tmp_path: Path, size: int) -> None:
    async with stage(tmp_path) as play:
        async def large(_: rq.GetHealth) -> rp.Done:
            return rp.Done(message="x" * size)

        play.service.get_health = large  # type: ignore[attr-defined]
        (reply,) = await play.ask("get_health")
        assert len(json.loads(reply.payload)["message"]) == size
