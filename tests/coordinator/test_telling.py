"""What a commit makes true, as the bus is told it: every change once, nothing that is not durable, and little for nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.coordinator.desk import Desk
from tests.helpers import until
from wattle.core.replies import RunChange
from wattle.testing import MemoryBus


def told(bus: MemoryBus) -> list[tuple[int, str, dict[str, str]]]:
    """(seq, status of the run, phase by worker) of each message."""
    found = []
    for workflow, number, seq, change in bus.published:
        assert (workflow, number) == ("etl", 1)
        assert isinstance(change, RunChange)
        assert change.seq == seq
        found.append((seq, change.run.status, {worker.name: worker.phase for worker in change.workers}))
    return found


async def test_every_change_is_told_in_order_with_the_number_of_its_newest_event(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        desk.driver.bus = bus = MemoryBus()
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        await desk.finish("a")
        await desk.finish("b", 3)
        messages = told(bus)
        numbers = [seq for seq, _, _ in messages]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == len(desk.events())
        assert messages[-1][1:] == ("failed", {"b": "failed"})
        seen = {name: phase for _, _, workers in messages for name, phase in workers.items()}
        assert seen == {"a": "completed", "b": "failed"}
        assert (bus.published[-1][3].run.cause, bus.published[-1][3].workers[0].code) == ("b", 3)


async def test_nothing_is_told_before_it_is_durable(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        desk.driver.bus = bus = MemoryBus()
        await desk.create({"a": {}})
        await desk.run()
        before = len(bus.published)
        desk.hands.started(desk.hands.nonce("a"))
        desk.disk.gate.clear()
        tried = desk.disk.tried
        desk.hands.exited(desk.hands.nonce("a"), 0)
        await until(lambda: desk.disk.tried > tried)
        await asyncio.sleep(0)
        assert all("completed" not in workers.values() for _, _, workers in told(bus)[before:])
        desk.disk.gate.set()
        await desk.until_closed()
        await desk.settle()
        assert told(bus)[-1][1:] == ("completed", {"a": "completed"})


async def test_a_run_that_nobody_listens_to_costs_a_number(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        desk.driver.bus = bus = MemoryBus()
        bus.listened_to = False
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        await desk.finish("a")
        assert {change for _, _, _, change in bus.published} == {None}
        bus.listened_to = True
        bus.published.clear()
        await desk.finish("b")
        assert [name for _, _, workers in told(bus) for name in workers] == ["b"], "what was not told is asked for, not repeated"
