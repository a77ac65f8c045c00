"""Chance against reuse: whatever was changed, lost or failed before, what is taken over fits together."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import Desk
from wattle.core.records import RunRecord

STEPS = 12


class World:
    """A workflow that changes, and what was done to it."""

    def __init__(self, desk: Desk, chance: random.Random) -> None:
        self.desk = desk
        self.chance = chance
        self.told: list[str] = []
        names = [f"w{n}" for n in range(chance.randint(2, 6))]
        self.workers: dict[str, dict[str, Any]] = {}
        for place, name in enumerate(names):
            above = chance.sample(names[:place], chance.randint(0, min(2, place)))
            self.workers[name] = {"args": ["0"], "outputs": ["o"], "inputs": {f"i{n}": f"{one}/o" for n, one in enumerate(above)}}
        self.rows = [1, 2]
        if chance.random() < 0.7:
            source = chance.choice(names)
            self.workers["g"] = {"each": {"n": self.rows}, "outputs": ["o"], "inputs": {"i": f"{source}/o"}}
            self.workers["end"] = {"inputs": {"rows": "g/o"}, "outputs": ["o"]}

    def upstream(self, name: str) -> set[str]:
        workers = {source.partition("/")[0] for source in self.workers[name.partition(".")[0]].get("inputs", {}).values()}
        return {instance for worker in workers for instance in self.instances(worker)}

    def instances(self, worker: str) -> list[str]:
        return [f"g.{n + 1}" for n in range(len(self.rows))] if worker == "g" else [worker]

    async def save(self) -> None:
        await self.desk.create(self.workers, on_failure="continue")

    async def change(self) -> None:
        """Another source, or other rows."""
        if "g" in self.workers and self.chance.random() < 0.4:
            self.rows[:] = self.chance.sample(range(5), self.chance.randint(1, 4))
            self.workers["g"]["each"] = {"n": list(self.rows)}
        else:
            name = self.chance.choice([name for name in self.workers if name != "g"])
            self.workers[name]["args"] = [str(self.chance.randint(0, 2))]
            self.told.append(f"{name} is {self.workers[name]['args']}")
        await self.save()

    def spoil(self) -> None:
        """Somebody takes an output away, or writes over it."""
        files = [path for path in self.desk.path.glob("wattle-runs/etl/*/*/o") if not path.parent.parent.is_symlink()]
        if files:
            path = self.chance.choice(files)
            self.told.append(f"{path} is spoilt")
            if self.chance.random() < 0.5:
                path.unlink()
            else:
                path.write_text("somebody else's words")

    async def run(self, *, stale: bool, failing: float) -> RunRecord:
        """A run to its end. What starts gets outputs, or fails; what is taken over must fit."""
        reply = await self.desk.ask("start_workflow", workflow="etl", stale=stale)
        self.told.append(f"{reply.address} {'stale' if stale else 'plain'}: "
                         f"{ {w.name: w.reused_from for w in reply.workers} }")  # fmt: skip
        await self.desk.settle()
        while ready := [*self.desk.hands.running, *self.desk.hands.queued]:
            name = self.desk.hands.launched[ready[0]].worker
            if self.chance.random() < failing:
                await self.desk.finish(name, 1)
            else:
                await self.desk.produce(name, o=f"{reply.address} {name}")
            await self.desk.settle()
        record = self.desk.store.run("etl", reply.number)
        assert record is not None
        return record

    def check(self, record: RunRecord) -> None:
        """Who is taken over has its whole upstream taken over, and was made from these very results."""
        reused, renamed = record.spec.options.reused, record.spec.options.renamed
        for name, address in reused.items():
            made = renamed.get(name, name)
            origin = self.desk.store.run("etl", int(address.partition("@")[2]))
            assert origin is not None
            assert any(seen.phase == "completed" and seen.attempt for seen in self.desk.store.attempts(origin.spec.id, made)), self.told
            options = origin.spec.options
            for above in self.upstream(name):
                assert above in reused, (name, above, self.told)
                theirs = {(options.reused.get(one, address), options.renamed.get(one, one)) for one in self.of(origin, above)}
                assert (reused[above], renamed.get(above, above)) in theirs, (name, above, self.told)

    def of(self, record: RunRecord, instance: str) -> list[str]:
        """The instances of that worker in a run."""
        worker = instance.partition(".")[0]
        rows = record.spec.rows.get(worker)
        return [worker] if rows is None else [f"{worker}.{n + 1}" for n in range(len(rows))]


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_taken_over_fits_together_and_in_the_end_nothing_is_stale(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with Desk(tmp_path, slots=1) as desk:
        world = World(desk, chance)
        await world.save()
        await world.run(stale=False, failing=0.1)
        for _ in range(STEPS):
            step = chance.random()
            if step < 0.35:
                await world.change()
            elif step < 0.55:
                world.spoil()
            else:
                world.check(await world.run(stale=chance.random() < 0.7, failing=0.15))
        world.check(await world.run(stale=True, failing=0))
        last = await desk.ask("plan_workflow", workflow="etl", stale=True)
        assert last.runs == 0, ({worker.name: worker.why for worker in last.workers}, world.told)
        run = await desk.ask("list_workers", workflow="etl")
        assert {worker.status for worker in run.workers} == {"completed"}
        assert not any(worker.stale for worker in run.workers)
