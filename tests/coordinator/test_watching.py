"""A run that somebody watches: whole first, then what changed, to the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import Desk, Reader, collect
from tests.helpers import until
from wattle.coordinator import service as module
from wattle.coordinator.live import Turnstile

DIAMOND: dict[str, Any] = {"a": {}, "b": {"needs": ["a"]}, "c": {"needs": ["a"]}, "d": {"needs": ["b", "c"]}}


async def test_a_watched_run_is_told_whole_first_and_then_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.0)
    async with Desk(tmp_path) as desk:
        await desk.create(DIAMOND)
        await desk.run()
        reader = Reader(desk.follow("watch_run", workflow="etl"))
        first = (await reader.has(1))[0]
        assert first.first
        assert [worker.name for worker in first.workers] == ["a", "b", "c", "d"]
        assert (first.limit, Path(first.run_dir).name) == (4, "1")
        desk.hands.started(desk.hands.nonce("a"))
        second = (await reader.has(2))[1]
        assert not second.first
        assert [(worker.name, worker.phase) for worker in second.workers] == [("a", "running")]
        desk.hands.obey()
        desk.hands.exited(desk.hands.nonce("a"))
        found = await reader.ended()
        assert found[-1].run.status == "completed"
        assert {worker.name: worker.phase for change in found for worker in change.workers} == dict.fromkeys(
            "abcd", "completed"
        )
        assert [change.seq for change in found] == sorted(change.seq for change in found)


async def test_many_changes_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_SECONDS", 30.0)
    async with Desk(tmp_path, slots=100) as desk:
        await desk.create({"a": {"each": {"n": list(range(50))}}})
        await desk.run()
        reader = Reader(desk.follow("watch_run", workflow="etl@1"))
        await reader.has(1)
        for i in range(1, 51):
            await desk.finish(f"a.{i}")
        found = await reader.ended()
        assert 2 <= len(found) <= 4, "one while the pause runs, and one because it closed"
        assert {worker.name for change in found[1:] for worker in change.workers} == {f"a.{i}" for i in range(1, 51)}


async def test_the_last_change_has_every_worker_that_was_not_told_yet(tmp_path: Path) -> None:
    """An end that becomes durable right behind another change must not swallow its worker."""
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}})
        await desk.run()
        for name in ("a", "b"):
            desk.hands.started(desk.hands.nonce(name))
        await desk.settle()
        reader = Reader(desk.follow("watch_run", workflow="etl"))
        await reader.has(1)
        desk.disk.gate.clear()
        tried = desk.disk.tried
        desk.hands.exited(desk.hands.nonce("a"))
        await until(lambda: desk.disk.tried > tried)
        desk.hands.exited(desk.hands.nonce("b"))
        await asyncio.sleep(0)
        desk.disk.gate.set()
        found = await reader.ended()
        assert {worker.name: worker.phase for change in found for worker in change.workers} == {
            "a": "completed", "b": "completed",
        }  # fmt: skip


async def test_an_ended_run_is_told_once(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}})
        await desk.run()
        await desk.finish("a", outputs={"t": None})
        (only,) = await collect(desk.follow("watch_run", workflow="etl"))
        assert (only.first, only.run.status, only.warnings) == (True, "completed", ["a did not write its output t"])
        assert await collect(desk.follow("watch_run", workflow="ETL@1")) == [only]


async def test_a_watcher_that_goes_away_is_forgotten(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        reader = Reader(desk.follow("watch_run", workflow="etl"))
        await reader.has(1)
        await reader.leave()
        assert desk.driver.runs[1].watchers == set()


async def test_hundreds_who_wait_are_let_through_a_few_a_round_and_in_their_order() -> None:
    turns, passed = Turnstile(width=8), list[int]()
    rounds: list[int] = []

    async def enter(number: int) -> None:
        await turns.enter()
        passed.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(100)]
    for _ in range(40):
        before = len(passed)
        await asyncio.sleep(0)
        rounds.append(len(passed) - before)
    assert passed == list(range(100))
    assert max(rounds) <= 16
    late = [asyncio.create_task(enter(number)) for number in range(100, 120)]
    await asyncio.sleep(0)
    for task in late[:15]:
        task.cancel()
    await asyncio.gather(*tasks, *late, return_exceptions=True)
    assert set(range(115, 120)) <= set(passed), "who left holds nobody up"


async def test_many_who_watch_one_run_are_told_the_same(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create(DIAMOND)
        await desk.run()
        readers = [Reader(desk.follow("watch_run", workflow="etl")) for _ in range(50)]
        for reader in readers:
            await reader.has(1)
        desk.hands.obey()
        for nonce in list(desk.hands.queued):
            desk.hands.started(nonce)
            desk.hands.exited(nonce)
        for reader in readers:
            found = await reader.ended()
            assert {worker.name: worker.phase for change in found for worker in change.workers} == dict.fromkeys(
                "abcd", "completed"
            )


async def test_a_picture_that_is_known_is_not_sent_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create(DIAMOND)
        await desk.run()
        seq = desk.driver.seq
        known = Reader(desk.follow("watch_run", workflow="etl", after=seq))
        older = Reader(desk.follow("watch_run", workflow="etl", after=seq - 1))
        assert (await older.has(1))[0].first
        desk.hands.started(desk.hands.nonce("a"))
        change = (await known.has(1))[0]
        assert (change.first, [worker.name for worker in change.workers]) == (False, ["a"])
        await known.leave()
        await older.leave()


async def test_who_comes_back_while_a_change_gathers_is_told_it(tmp_path: Path) -> None:
    """The number of the last picture is still the newest one then, and yet there is news that nobody was told."""
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        reader = Reader(desk.follow("watch_run", workflow="etl"))
        seen = (await reader.has(1))[0]
        await reader.leave()
        desk.hands.started(desk.hands.nonce("a"))
        await until(lambda: desk.driver._pending.batch.events, every=0)
        assert desk.driver.seq == seen.seq, "it has not been written yet"
        reader = Reader(desk.follow("watch_run", workflow="etl", after=seen.seq))
        again = (await reader.has(1))[0]
        assert [(worker.name, worker.phase) for worker in again.workers] == [("a", "running")]
        await reader.leave()
