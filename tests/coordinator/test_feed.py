"""Events for everybody who follows: in order, without a gap, read once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, Reader, refusal
from tests.helpers import until
from wattle.coordinator import feed
from wattle.core.errors import StorageError


async def three_runs(desk: Desk) -> None:
    for name in ("etl", "fit"):
        await desk.create({"a": {}}, name=name)
    desk.hands.obey()
    for name in ("etl", "fit", "etl"):
        await desk.run(name)
        await desk.until_closed()
        await desk.settle()


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(("page", "kept"), [(1000, 1024), (2, 3), (1, 1)])
async def test_whoever_joins_whenever_sees_every_event_once(
    tmp_path: Path, kind: str, page: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE", page)
    monkeypatch.setattr(feed, "KEPT", kept)
    async with Desk(tmp_path, kind) as desk:
        await three_runs(desk)
        readers = {after: Reader(desk.follow("follow_all_events", after=after)) for after in (0, 1, 3, desk.driver.seq)}
        only = Reader(desk.follow("follow_events", workflow="ETL"))
        await desk.run("fit")
        readers[desk.driver.seq] = Reader(desk.follow("follow_all_events", after=desk.driver.seq))
        await desk.run("etl")
        await desk.until_closed()
        await desk.settle()
        newest = desk.driver.seq
        for after, reader in readers.items():
            await reader.has(newest - after)
            assert [line.seq for line in reader.found] == list(range(after + 1, newest + 1))
        await until(lambda: only.found and only.found[-1].seq == newest)
        expected = [record.seq for record in desk.store.events() if record.workflow == "etl"]
        assert [line.seq for line in only.found] == expected
        for reader in (*readers.values(), only):
            await reader.leave()
        assert desk.driver.listeners == []


async def test_many_followers_share_the_reading_and_the_lines(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await three_runs(desk)
        seq = desk.driver.seq
        readers = [Reader(desk.follow("follow_all_events", after=seq)) for _ in range(40)]
        await asyncio.sleep(0)
        asked: list[Any] = []
        events = desk.disk.inner.events

        def counted(*arguments: Any, **named: Any) -> Any:
            asked.append(arguments)
            return events(*arguments, **named)

        desk.disk.inner.events = counted
        await desk.run("etl")
        await desk.until_closed()
        await desk.settle()
        for reader in readers:
            await reader.has(desk.driver.seq - seq)
        assert len(asked) < 40
        assert all(reader.found[0] is readers[0].found[0] for reader in readers)
        for reader in readers:
            await reader.leave()


async def test_followers_end_with_the_last_event_when_the_coordinator_leaves(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with desk:
        await three_runs(desk)
        readers = [Reader(desk.follow("follow_all_events", after=after)) for after in (0, desk.driver.seq)]
        await readers[0].has(1)
        await desk.driver.stop()
        assert [line.seq for line in await readers[0].ended()] == list(range(1, desk.driver.seq + 1))
        assert await readers[1].ended() == []
        late = Reader(desk.follow("follow_all_events", after=1))
        assert len(await late.ended()) == desk.driver.seq - 1


async def test_events_that_were_pruned_hold_nobody_up(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await three_runs(desk)
        desk.clock.advance(10)
        await desk.ask("prune_runs", dry_run=False)
        seq = desk.driver.seq
        reader = Reader(desk.follow("follow_all_events", after=0))
        await desk.run("etl")
        await desk.until_closed()
        await desk.settle()
        await reader.has(desk.driver.seq - seq)
        assert [line.seq for line in reader.found] == list(range(seq + 1, desk.driver.seq + 1))
        await reader.leave()


async def test_a_store_that_cannot_be_read_is_told_to_everybody(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await three_runs(desk)
        reader = Reader(desk.follow("follow_all_events", after=desk.driver.seq))
        await until(lambda: desk.driver.listeners)
        await asyncio.sleep(0)
        events = desk.disk.inner.events

        def broken(*_: Any, **__: Any) -> Any:
            raise StorageError("The disk is gone.", "look")

        desk.disk.inner.events = broken
        await desk.run("etl")
        with pytest.raises(StorageError, match="The disk is gone"):
            await reader.ended()
        desk.disk.inner.events = events
        again = Reader(desk.follow("follow_all_events", after=0))
        await again.has(desk.driver.seq)
        await again.leave()


async def test_an_event_that_has_not_been_is_refused(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await three_runs(desk)
        error = await refusal(desk, "follow_all_events", after=desk.driver.seq + 1)
        assert (error.http_status, error.hint) == (400, f"the newest is {desk.driver.seq}")
