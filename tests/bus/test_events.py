"""What is told is heard, what is missed is asked for, and nobody who listens slowly holds anybody up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.bus.buses import HUB, program, router
from tests.helpers import until, within
from wattle.bus import events
from wattle.bus.events import Teller
from wattle.bus.follow import Follower, snapshot
from wattle.bus.keys import Keys
from wattle.bus.process import RouterProcess
from wattle.bus.zenoh import Sample, Session, open_client
from wattle.core.errors import NotFound, Unreachable, WattleError

KEYS = Keys(HUB)


class Worker(msgspec.Struct):
    name: str
    status: str = "created"


class Truth:
    """A coordinator in small: runs whose workers change, told as they do."""

    def __init__(self) -> None:
        self.teller: Teller | None = None
        self.seq = 0
        self.status = "running"
        self.workers = {name: Worker(name) for name in ("a", "b")}
        self.made = 0
        self.asked = 0

    def change(self, worker: str, status: str) -> None:
        self.workers[worker] = Worker(worker, status)
        self.tell([self.workers[worker]])

    def end(self, status: str = "completed") -> None:
        self.status = status
        self.tell([])

    def tell(self, workers: list[Worker]) -> None:
        self.seq += 3  # other runs have events too

        def make() -> dict[str, Any]:
            self.made += 1
            return {"run": {"status": self.status}, "workers": workers}

        assert self.teller is not None
        self.teller.publish("etl", 1, self.seq, make)

    async def snapshot(self, workflow: str, number: int) -> dict[str, Any]:
        self.asked += 1
        if (workflow, number) != ("etl", 1):
            raise NotFound(f"There is no run {workflow}@{number}.", "wattle runs")
        return {"run": {"status": self.status}, "workers": list(self.workers.values()), "seq": self.seq}


class Stage:
    """A router, a coordinator in small and a kernel."""

    def __init__(self, bus: RouterProcess, truth: Truth, teller: Teller, kernel: Session, coordinator: Session) -> None:
        self.bus, self.truth, self.teller, self.kernel, self.coordinator = bus, truth, teller, kernel, coordinator


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async with router(folder) as bus:
        coordinator = await asyncio.to_thread(open_client, bus.connection("coordinator"))
        kernel = await asyncio.to_thread(open_client, bus.connection("kernel"))
        truth = Truth()
        teller = truth.teller = Teller(coordinator, truth.snapshot)
        try:
            yield Stage(bus, truth, teller, kernel, coordinator)
        finally:
            await within(teller.close())
            await asyncio.to_thread(kernel.close)
            await asyncio.to_thread(coordinator.close)


def following(follower: Follower) -> asyncio.Task[list[dict[str, Any]]]:
    return asyncio.create_task(asyncio.to_thread(list, follower))


async def test_a_follower_hears_every_change_to_the_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        follower = Follower(play.kernel, "etl", 1)
        changes = following(follower)
        await until(lambda: follower.seq >= 0)
        for number in range(50):
            play.truth.change("ab"[number % 2], f"step {number}")
        play.truth.end()
        told = await within(changes)
        assert follower.status == "completed"
        assert [follower.workers[name]["status"] for name in "ab"] == ["step 48", "step 49"]
        assert [change["seq"] for change in told] == sorted({change["seq"] for change in told})
        assert follower.seq == 153
        assert set(told[0]["workers"][0]) == {"name", "status"}


async def test_who_joins_late_sees_the_truth_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        for step in range(20):
            play.truth.change("a", f"step {step}")
        follower = Follower(play.kernel, "etl", 1)
        first = await within(asyncio.to_thread(next, follower))
        assert (first["seq"], follower.workers["a"]["status"], follower.status) == (60, "step 19", "running")
        follower.close()
        play.truth.end("failed")
        late = Follower(play.kernel, "etl", 1)
        assert len(await within(following(late))) == 1
        assert late.status == "failed"


async def test_nothing_is_made_that_nobody_listens_to(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        assert play.teller.wanted("etl", 1)  # it is not known yet
        play.truth.change("a", "running")
        await until(lambda: not play.teller.wanted("etl", 1))
        made = play.truth.made
        for _ in range(100):
            play.truth.change("a", "running")
        assert play.truth.made == made
        heard: list[Sample] = []
        subscription = play.kernel.subscribe(KEYS.events("etl", 1), heard.append)
        await until(lambda: play.teller.wanted("etl", 1))
        play.truth.change("a", "completed")
        await until(lambda: heard)
        told = json.loads(heard[0].payload)
        assert (told["seq"], told["previous"]) in {(306, 303), (303, 303)}  # the change, or first where things stood
        assert heard[0].encoding == "application/json"
        subscription.close()
        await until(lambda: not play.teller.wanted("etl", 1))


async def test_one_worker_can_be_listened_to_and_asked_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        heard: list[dict[str, Any]] = []
        play.kernel.subscribe(KEYS.events("etl", 1, "a"), lambda sample: heard.append(json.loads(sample.payload)))
        play.truth.change("b", "running")
        await until(lambda: play.teller._topics and play.teller._topics["etl", 1].workers.by_somebody)
        play.truth.change("b", "completed")
        play.truth.change("a", "running")
        await until(lambda: heard)
        assert {told["name"] for told in heard} == {"a"}
        now = await asyncio.to_thread(snapshot, play.kernel, "etl", 1, "b")
        assert (now["name"], now["status"], now["seq"]) == ("b", "completed", 9)
        for workflow, worker, said in (("etl", "c", "no worker 'c'"), ("other", "", "no run other@1")):
            with pytest.raises(WattleError, match=said) as refused:
                await asyncio.to_thread(snapshot, play.kernel, workflow, 1, worker)
            assert refused.value.code == "not-found"
        wild = await asyncio.to_thread(list, play.kernel.get(KEYS.everything("events")))
        assert [reply.error["code"] for reply in wild if reply.error] == ["invalid-request"]


async def test_a_gap_is_noticed_and_asked_for(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        follower = Follower(play.kernel, "etl", 1)
        changes = following(follower)
        await until(lambda: follower.seq >= 0)
        play.truth.change("a", "running")
        await until(lambda: follower.seq == 3)
        asked = follower.asked
        play.truth.change("a", "still running")
        await until(lambda: follower.seq == 6)
        assert follower.asked == asked  # a number that is another run's is no gap
        play.truth.workers["b"] = Worker("b", "missed")
        play.truth.seq += 1
        play.teller._last["etl", 1] = play.truth.seq  # this one was lost on its way
        play.truth.change("a", "completed")
        await until(lambda: follower.workers["b"]["status"] == "missed")
        assert follower.asked == asked + 1
        play.truth.end()
        await within(changes)


async def test_a_lost_last_message_is_noticed_by_the_beat(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        follower = Follower(play.kernel, "etl", 1, silence=3600.0)
        changes = following(follower)
        await until(lambda: follower.seq >= 0)
        play.truth.change("a", "running")
        await until(lambda: follower.seq == 3)
        follower._take = lambda sample: None  # type: ignore[method-assign]
        follower._subscription.close()  # deaf while the last message comes
        play.truth.end()
        await until(lambda: play.teller._queue.qsize() == 0)
        del follower._take
        follower._subscription = play.kernel.subscribe(KEYS.events("etl", 1), follower._take)
        await within(changes)
        assert follower.status == "completed"


async def test_a_full_queue_costs_messages_never_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "QUEUE", 8)
    async with stage(tmp_path) as play:
        follower = Follower(play.kernel, "etl", 1)
        changes = following(follower)
        await until(lambda: follower.seq >= 0)
        play.teller._guarded(lambda: None)
        for step in range(2000):  # the loop is not let go: the bus thread gets what the interpreter gives it
            play.truth.change("a", f"step {step}")
        assert play.teller.dropped > 0
        play.truth.end()
        await within(changes)
        assert (follower.status, follower.workers["a"]["status"]) == ("completed", "step 1999")


async def test_followers_outlive_killed_routers_and_end_with_the_truth(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        follower = Follower(play.kernel, "etl", 1, silence=0.5)
        changes = following(follower)
        await until(lambda: follower.seq >= 0)
        for number in range(3):
            os.kill(play.bus.ready["pid"], signal.SIGKILL)
            play.truth.change("a", f"step {number}")  # nobody can hear this
            restarts = number + 1
            await until(lambda n=restarts: play.bus.restarts >= n and play.bus.up)  # type: ignore[misc]
            await until(lambda n=number: follower.workers["a"]["status"] == f"step {n}")  # type: ignore[misc]
        os.kill(play.bus.ready["pid"], signal.SIGKILL)
        play.truth.end("cancelled")
        await within(changes)
        assert follower.status == "cancelled"


SLOW = """
import sys, time
from wattle.bus.zenoh import open_client
from wattle.bus.keys import Keys
session = open_client(sys.argv[1])
session.subscribe(Keys(session.hub).everything(), lambda sample: time.sleep(3600))
print("listening", flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("frozen", [False, True], ids=["slow", "frozen"])
async def test_a_slow_listener_holds_up_neither_the_teller_nor_others(tmp_path: Path, frozen: bool) -> None:
    async with stage(tmp_path) as play:
        slow = program(SLOW, play.bus.connection("kernel"))
        try:
            assert slow.stdout is not None
            assert await asyncio.to_thread(slow.stdout.readline) == "listening\n"
            if frozen:
                slow.send_signal(signal.SIGSTOP)
            follower = Follower(play.kernel, "etl", 1)
            changes = following(follower)
            await until(lambda: follower.seq >= 0)
            ballast, longest = "x" * 100_000, 0.0
            for step in range(300):  # 60 MB: far more than any buffer on the way
                begun = time.perf_counter()
                play.truth.change("ab"[step % 2], ballast)
                longest = max(longest, time.perf_counter() - begun)
                await asyncio.sleep(0)
            play.truth.change("a", "done")
            play.truth.end()
            await within(changes)
            assert follower.workers["a"]["status"] == "done"
            await until(lambda: play.teller._queue.qsize() == 0)
        finally:
            slow.kill()
            await asyncio.to_thread(slow.communicate)


async def test_logs_tell_how_long_they_are_while_somebody_listens(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        play.teller.grown("etl", 1, "a", 1, 10, 0)  # nobody knows of this run
        heard: list[tuple[str, Any]] = []
        play.kernel.subscribe(KEYS.logs("etl", 1), lambda sample: heard.append((sample.key, json.loads(sample.payload))))
        play.truth.change("a", "running")

        def tell_and_look() -> bool:
            play.teller.grown("etl", 1, "a", 1, 20, 5)
            return bool(heard)

        await until(tell_and_look, every=0.05)
        assert heard[:1] == [(KEYS.logs("etl", 1, "a"), {"attempt": 1, "stdout": 20, "stderr": 5})]


async def test_no_answer_is_an_error(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        kernel = await asyncio.to_thread(open_client, bus.connection("kernel"))
        with pytest.raises(Unreachable, match="Nobody answers"):
            await asyncio.to_thread(snapshot, kernel, "etl", 1)
        follower = Follower(kernel, "etl", 1)
        changes = following(follower)
        await until(lambda: follower.asked)
        follower.close()
        assert await within(changes) == []
        await asyncio.to_thread(kernel.close)


async def test_a_run_that_is_not_ends_its_follower(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        with pytest.raises(NotFound, match="no run etl@7"):
            await asyncio.to_thread(next, Follower(play.kernel, "etl", 7))
