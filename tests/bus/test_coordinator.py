"""The room beside a real coordinator and its real service: what is asked and heard on the bus is what is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.coordinator.desk import Desk
from tests.helpers import until, within
from wattle.bus.follow import Follower
from wattle.bus.keys import Keys
from wattle.bus.room import BusRoom
from wattle.bus.zenoh import Session, open_client
from wattle.core.replies import RunChange
from wattle.core.requests import WatchRun

KEYS = Keys("hub")


async def picture(desk: Desk, workflow: str, number: int) -> RunChange:
    """All of a run: the first thing that who watches it sees."""
    changes = desk.service.watch_run(WatchRun(workflow=f"{workflow}@{number}"))
    async with contextlib.aclosing(changes):  # type: ignore[type-var]
        return await anext(changes)


async def tell(desk: Desk, room: BusRoom, address: str) -> None:
    """Publish a run as it changes."""
    workflow, _, number = address.partition("@")
    async for change in desk.service.watch_run(WatchRun(workflow=address)):
        room.publish(workflow, int(number), change.seq, change)


@contextlib.asynccontextmanager
async def seated(folder: Path) -> AsyncIterator[tuple[Desk, BusRoom, Session]]:
    async with Desk(folder) as desk:
        with tempfile.TemporaryDirectory(prefix="wb") as short:
            room = BusRoom(Path(short), "hub", service=lambda: desk.service, snapshot=lambda w, n: picture(desk, w, n))
            room.start()
            await within(room.opened.wait())
            kernel = await asyncio.to_thread(open_client, room.router.connection("kernel"))
            try:
                yield desk, room, kernel
            finally:
                await asyncio.to_thread(kernel.close)
                await within(room.stop(end=True))


async def asked(kernel: Session, operation: str, **fields: Any) -> Any:
    (reply,) = await within(asyncio.to_thread(list, kernel.get(KEYS.api(operation), json.dumps(fields).encode())))
    assert reply.error is None
    return json.loads(reply.payload)


async def test_a_run_is_made_started_and_followed_over_the_bus(tmp_path: Path) -> None:
    async with seated(tmp_path) as (desk, room, kernel):
        document = desk.document({"one": "true", "two": {"needs": ["one"]}})
        assert (await asked(kernel, "create_workflow", document=document))["name"] == "etl"
        assert (await asked(kernel, "start_workflow", workflow="etl"))["address"] == "etl@1"
        telling = asyncio.create_task(tell(desk, room, "etl@1"))
        follower = Follower(kernel, "etl", 1)
        changes = asyncio.create_task(asyncio.to_thread(list, follower))
        await until(lambda: set(follower.workers) == {"one", "two"})
        await desk.finish("one")
        await until(lambda: follower.workers["one"]["status"] == "completed")
        await desk.finish("two", 3)
        told = await within(changes)
        await within(telling)
        assert follower.status == "failed"
        assert {name: worker["status"] for name, worker in follower.workers.items()} == {"one": "completed", "two": "failed"}
        assert told[0]["first"] is True
        listed = await asked(kernel, "list_runs", workflow="etl")
        assert [run["address"] for run in listed["runs"]] == ["etl@1"]


async def test_who_joins_after_the_end_sees_how_it_ended(tmp_path: Path) -> None:
    async with seated(tmp_path) as (desk, _, kernel):
        await desk.create({"one": "true"})
        await desk.run()
        await desk.finish("one")
        follower = Follower(kernel, "etl", 1)
        assert len(await within(asyncio.to_thread(list, follower))) == 1
        assert follower.status == "completed"


async def test_a_refusal_of_the_service_is_the_one_of_http(tmp_path: Path) -> None:
    async with seated(tmp_path) as (_, _, kernel):
        (reply,) = await within(asyncio.to_thread(list, kernel.get(KEYS.api("get_workflow"), b'{"workflow": "none"}')))
        assert reply.error is not None
        assert reply.error["code"] == "not-found"
        assert set(reply.error) == {"code", "message", "hint"}
