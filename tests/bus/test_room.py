"""The whole room, as the coordinator has it: beside everything else, and none of its troubles are the coordinator's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.bus.test_door import Service
from tests.helpers import until, within
from wattle.bus import zenoh
from wattle.bus.follow import Follower, snapshot
from wattle.bus.growth import Place
from wattle.bus.identity import is_process
from wattle.bus.keys import Keys
from wattle.bus.room import BusRoom
from wattle.bus.zenoh import open_client

STATE = {"status": "running", "seq": 5}


async def state_of(workflow: str, number: int) -> dict[str, Any]:
    run = {"status": STATE["status"], "address": f"{workflow}@{number}"}
    return {"run": run, "workers": [{"name": "a"}], "seq": STATE["seq"]}


def made(folder: Path, **options: Any) -> BusRoom:
    return BusRoom(folder, "hub", service=Service, snapshot=state_of, **options)


@contextlib.asynccontextmanager
async def room(**options: Any) -> AsyncIterator[BusRoom]:
    with tempfile.TemporaryDirectory(prefix="wb") as short:
        bus = made(Path(short), **options)
        try:
            yield bus
        finally:
            await within(bus.stop(end=True))


async def test_a_room_comes_up_by_itself_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    async with room() as bus:
        bus.start()
        bus.publish("etl", 1, 1, {"run": {}})  # there is nobody yet, and nothing happens
        assert bus.connection("kernel") is None
        await within(bus.opened.wait())
        file = bus.connection("kernel")
        assert file is not None
        kernel = await asyncio.to_thread(open_client, file)
        (reply,) = await asyncio.to_thread(list, kernel.get(Keys("hub").api("list_workflows")))
        assert reply.error is None
        assert (await asyncio.to_thread(snapshot, kernel, "etl", 1))["run"]["address"] == "etl@1"
        follower = Follower(kernel, "etl", 1)
        changes = asyncio.create_task(asyncio.to_thread(list, follower))
        await until(lambda: follower.seq == 5)
        monkeypatch.setitem(STATE, "status", "completed")
        monkeypatch.setitem(STATE, "seq", 6)
        bus.publish("etl", 1, 6, {"run": {"status": "completed"}, "workers": [{"name": "a"}]})
        await within(changes)
        assert follower.status == "completed"
        alive: list[str] = []
        kernel.watch_liveliness(Keys("hub").everything("alive"), lambda key, here: alive.append(key) if here else None)
        await until(lambda: alive == [Keys("hub").coordinator()])
        await asyncio.to_thread(kernel.close)


async def test_the_lengths_of_logs_are_told_while_they_grow(tmp_path: Path) -> None:
    out = tmp_path / "stdout.log"
    out.write_bytes(b"x" * 10)
    places = {Place("etl", 1, "a", 2, str(out)), Place("fit", 1, "a", 1, str(tmp_path / "other"))}
    looked: list[str] = []

    def size(path: str) -> int:
        looked.append(path)
        return Path(path).stat().st_size

    async with room(places=lambda: places, size=size) as bus:
        bus.start()
        await within(bus.opened.wait())
        kernel = await asyncio.to_thread(open_client, bus.router.connection("kernel"))
        key, heard = Keys("hub").logs("etl", 1, "a"), list[Any]()
        kernel.subscribe(Keys("hub").logs("etl", 1), lambda sample: heard.append(json.loads(sample.payload)["stdout"]))
        await until(lambda: 10 in heard)
        (reply,) = await asyncio.to_thread(list, kernel.get(key))
        assert json.loads(reply.payload) == {"attempt": 2, "stdout": 10, "stderr": 0}
        out.write_bytes(b"x" * 25)
        await until(lambda: 25 in heard)
        out.write_bytes(b"x" * 40)
        places.clear()  # it has ended: what it wrote last is told too
        await until(lambda: 40 in heard)
        (reply,) = await asyncio.to_thread(list, kernel.get(key))
        assert reply.error is not None
        assert reply.error["code"] == "not-found"
        assert heard == sorted(set(heard))
        await asyncio.to_thread(kernel.close)


async def test_a_successor_takes_the_room_over() -> None:
    async with room() as first:
        first.start()
        await within(first.opened.wait())
        folder = first.router.folder.parent
        kernel = await asyncio.to_thread(open_client, first.router.connection("kernel"))
        await within(first.stop(end=False))
        second = made(folder)
        second.start()
        await within(second.opened.wait())
        assert second.router.ready == first.router.ready
        (reply,) = await asyncio.to_thread(list, kernel.get(Keys("hub").api("list_workflows")))
        assert reply.error is None
        await asyncio.to_thread(kernel.close)
        await within(second.stop(end=True))
        assert not is_process(first.router.ready["pid"], first.router.ready["started"])


async def test_a_room_without_zenoh_says_why_and_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zenoh, "_missing", "No module named 'zenoh'")
    async with room() as bus:
        bus.start()
        await until(lambda: bus.state.startswith("There is no bus"))
        for seq in range(100):
            bus.publish("etl", 1, seq, {})
        assert not bus.wanted("etl", 1)


async def test_a_room_that_stops_while_it_comes_up_leaves_nothing() -> None:
    async with room() as bus:
        bus.start()
        await until((bus.router.folder / "router.json").exists, every=0.001)
        await within(bus.stop(end=True))
        assert bus.router.ready["pid"]
        assert not is_process(bus.router.ready["pid"], bus.router.ready["started"])


async def test_a_router_that_moves_is_followed() -> None:
    async with room() as bus:
        bus.start()
        await within(bus.opened.wait())
        before = bus._session
        bus._reopen()
        await until(lambda: bus._session is not None and bus._session is not before)
        await within(bus.opened.wait())
        assert bus._session is not None
        assert bus._session.connected
