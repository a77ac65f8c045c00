"""Chance plays user, workers, disk and power cut against the whole coordinator; what is promised holds whatever comes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.coordinator.desk import Desk
from tests.coordinator.test_recovery import started_once, states
from wattle.coordinator import coordinator as module
from wattle.coordinator.recovery import fold
from wattle.core import events as ev
from wattle.core.errors import WattleError
from wattle.core.progress import FINAL

ROUNDS = 2000


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    """Workers of a small workflow, and the rest of its document."""
    names = [f"w{i}" for i in range(draw(st.integers(1, 4)))]
    workers: dict[str, Any] = {}
    for i, name in enumerate(names):
        worker: dict[str, Any] = {"needs": sorted(draw(st.sets(st.sampled_from(names[:i]), max_size=2)))} if i else {}
        worker["when"] = draw(st.sampled_from(["completed", "completed", "ended", "failed"])) if i else "completed"
        worker["retries"] = {"max": draw(st.integers(0, 2)), "delay": draw(st.sampled_from([0, 0.001]))}
        worker["retry_lost"] = draw(st.booleans())
        if draw(st.integers(0, 3)) == 0:
            worker["each"] = {"n": list(range(draw(st.integers(1, 3))))}
        workers[name] = worker
    return {"workers": workers, "on_failure": draw(st.sampled_from(["stop", "continue"])),
            "mode": draw(st.sampled_from(["dependency", "sequential"])),
            "overlap": draw(st.sampled_from(["refuse", "queue", "allow"]))}  # fmt: skip


ACTIONS = st.tuples(
    st.sampled_from(["start", "exit", "exit", "exit", "fail", "lose", "refuse", "crash", "away", "full", "stop",
                     "restart", "stop all", "run"]),
    st.integers(0, 50),
)  # fmt: skip


class World:
    """One story: a desk, and what may happen to it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def happen(self, action: str, choice: int) -> None:
        desk = self.desk
        if action in {"crash", "away"}:
            desk.disk.full = 0  # a coordinator does not start on a full disk
        if action == "crash":
            if choice % 2:
                await desk.settle()
            desk.crash()
            await desk.after_crash()
        elif action == "away":
            desk.crash()
            for code in (0, 1):
                self.process("exit" if code == 0 else "fail", choice)
            await desk.after_crash()
        elif action == "full":
            desk.disk.full = 1 + choice % 2
        elif action in {"stop", "restart", "stop all", "run"}:
            await self.ask(action, choice)
        else:
            self.process(action, choice)
        if choice % 3:
            await self.rest()

    def process(self, action: str, choice: int) -> None:
        """Something happens to a process, if there is one."""
        hands = self.desk.hands
        waiting = [*hands.queued, *hands.running]
        if not waiting:
            return
        nonce = waiting[choice % len(waiting)]
        if action == "refuse" and nonce in hands.queued:
            hands.not_started(nonce, "no such file")
            return
        if nonce in hands.queued:
            hands.started(nonce)
        if action == "lose":
            hands.lost(nonce)
        elif action != "start" and nonce in hands.running:
            hands.exited(nonce, int(action == "fail"))

    async def ask(self, action: str, choice: int) -> None:
        """A person asks for something; an answer that it cannot be done now is an answer."""
        desk = self.desk
        document = desk.store.workflow("etl")
        assert document is not None
        worker = document.document.workers[choice % len(document.document.workers)].name
        with contextlib.suppress(WattleError):
            if action == "run":
                await desk.ask("start_workflow", workflow="etl", key=f"key {choice}")
            elif action == "stop all":
                await desk.ask("stop_workflow", workflow="etl")
            else:
                await desk.ask(f"{action}_worker", workflow="etl", worker=worker)

    async def rest(self) -> None:
        """Everything that was posted becomes durable; then memory and store agree."""
        desk = self.desk
        await desk.settle()
        for live in list(desk.driver.runs.values()):
            record = desk.store.run("etl", live.run.spec.number)
            assert record is not None
            assert states(fold(desk.store, record)) == states(live.run)
            live.run.check()

    async def drain(self) -> None:
        """From here on every process ends well: every run must come to its end by itself."""
        desk = self.desk
        desk.disk.full = 0
        for _ in range(ROUNDS):
            await self.rest()
            if not desk.driver.runs:
                return
            for nonce in list(desk.hands.queued):
                desk.hands.started(nonce)
            for nonce in list(desk.hands.running):
                desk.hands.exited(nonce)
            await asyncio.sleep(0.001)  # retry delays
        raise AssertionError({live.run.spec.address: live.run.phase for live in desk.driver.runs.values()})

    def judge(self) -> None:
        """What is promised."""
        desk = self.desk
        assert desk.driver.dispatcher.used == {}
        assert desk.hands.queued == desk.hands.running == []
        heads = desk.store.runs(limit=1000)
        assert len({head.number for head in heads}) == len(heads)
        for head in heads:
            assert head.status in FINAL
            record = desk.store.run("etl", head.number)
            assert record is not None
            run = fold(desk.store, record)
            assert (run.status, run.reason, run.cause) == (head.status, head.reason, head.cause)
            assert run.counts() == head.counts
            kept = {(row.worker, row.attempt): row for row in desk.store.attempts(head.id)}
            for progress in run.workers:
                name = progress.instance.name
                assert [kept.pop((name, seen.attempt)) for seen in progress.attempts] == progress.attempts
            assert kept == {}


def never_again_after_success(desk: Desk) -> None:
    """In the order of the events, no launch of a worker follows its good end in the same run."""
    good = {(row.run, row.worker, row.attempt) for head in desk.store.runs(limit=1000)
            for row in desk.store.attempts(head.id) if row.status == "completed"}  # fmt: skip
    done: set[tuple[int, str]] = set()
    for stored in desk.store.events():
        event = stored.event
        if isinstance(event, ev.WorkerLaunched):
            assert (stored.run, event.worker) not in done
        elif isinstance(event, ev.WorkerExited) and (stored.run, event.worker, event.attempt) in good:
            assert event.code == 0
            done.add((stored.run, event.worker))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_whatever_happens_every_run_ends_and_nothing_runs_twice(kind: str) -> None:
    @settings(max_examples=60 if kind == "memory" else 12, deadline=None,
              suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
    @given(document=workflows(), slots=st.integers(1, 3), story=st.lists(ACTIONS, max_size=25))
    def play(document: dict[str, Any], slots: int, story: list[tuple[str, int]]) -> None:
        async def scenario(folder: str) -> None:
            async with Desk(Path(folder), kind, slots=slots) as desk:
                world = World(desk)
                await desk.create(**document)
                await desk.ask("start_workflow", workflow="etl")
                for action, choice in story:
                    await world.happen(action, choice)
                await world.drain()
                world.judge()
                started_once(desk)
                never_again_after_success(desk)

        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "RETRY_COMMIT_SECONDS", 0.001)
            asyncio.run(scenario(folder))

    play()
