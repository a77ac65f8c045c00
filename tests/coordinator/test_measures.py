"""A coordinator's own numbers, over real turns and commits."""

from __future__ import annotations

from pathlib import Path

from tests.coordinator.desk import Desk
from wattle.coordinator.measures import take
from wattle.core.measures import Measures


def look(desk: Desk) -> Measures:
    return take(desk.driver)


async def test_what_waits_what_runs_and_what_ended_is_counted(tmp_path: Path) -> None:
    async with Desk(tmp_path, slots=1, cpus=8.0) as desk:
        assert (look(desk).runs, look(desk).workers, look(desk).queue) == ({}, {}, 0)
        await desk.create({"a": {"resources": {"cpus": 2}}, "b": "true", "c": "true", "d": "true",
                           "e": {"needs": ["a"]}})  # fmt: skip
        await desk.run()
        busy = look(desk)
        assert busy.in_flight >= 1
        assert (busy.in_flight + busy.queue, busy.held["slots"]) == (4, busy.in_flight), "one waits for another"
        assert busy.held["cpus"] == 2
        assert busy.limits == {"slots": 1.0, "cpus": 8.0}
        assert sum(busy.workers.values()) == 5
        assert sum(busy.runs.values()) == 1
        for name in ("a", "b", "c", "e", "d"):
            await desk.finish(name, 1 if name == "d" else 0)
        await desk.until_closed()
        after = look(desk)
        assert (after.runs, after.queue, after.in_flight, after.held["slots"]) == ({}, 0, 0, 0)
        assert after.runs_ended == {"failed": 1}
        assert after.events == desk.driver.seq > busy.events
        assert sum(after.commits.counts) == len(desk.disk.batches)
        assert not after.trouble


async def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        desk.driver.trouble = "The disk is full."
        assert look(desk).trouble
        desk.driver.trouble = ""
