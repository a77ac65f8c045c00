"""Stopping leaves nothing behind, whatever the worker does about it."""

from __future__ import annotations

import secrets
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import until
from tests.runtime.supervised import place
from wattle.core import events as ev
from wattle.runtime.supervisor import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process table of Linux")

ESCAPES = {
    "one that obeys": ("exec sleep 60", 1),
    "one that ignores TERM": ("trap '' TERM; while :; do sleep 0.05; done; : 60", 1),
    "a stopped one": ("kill -STOP $$; sleep 60", 1),
    "children in the group": ("sleep 60 & sleep 60 & wait", 3),
    "a session of its own": ("setsid sleep 60 & sleep 60", 3),
    "a session that ignores TERM": ("setsid sh -c \"trap '' TERM; while :; do sleep 0.05; : 60; done\" & sleep 60", 3),
    "a double fork": ("(setsid sh -c 'sleep 60 & exit' &) ; sleep 60", 3),
    "a child without the tag": ("env -i /bin/sh -c 'sleep 60; true' & sleep 60", 4),
    "one that leaves a daemon at TERM": ("trap 'setsid sleep 60 & exit 4' TERM; while :; do sleep 0.02; done", 1),
}
"""What it does, and how many of its processes name the 60, which each test replaces by a number of its own."""


def of_command(mark: str) -> list[int]:
    """Who has this text among its arguments, with its tag or without."""
    found = []
    for pid in processes.table():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if mark in arguments:
            found.append(pid)
    return found


@pytest.mark.parametrize("name", ESCAPES)
async def test_stop_leaves_nothing(name: str) -> None:
    async with place() as here:
        await here.connect()
        mark = f"60.{secrets.randbelow(10**9):09d}"
        script, count = ESCAPES[name]
        here.executor.start([here.shell("a", script.replace("60", mark))])
        await here.ear.start("a")
        await until(lambda: len(of_command(mark)) >= count)
        here.executor.stop(here.nonce("a"), 0.3)
        ended = await here.ear.end("a")
        assert isinstance(ended, ev.WorkerExited)
        assert ended.why == "exit"
        assert (here.left("a"), of_command(mark)) == ([], [])
        assert ended.code == 4 if "daemon" in name else ended.signal in {signal.SIGTERM, signal.SIGKILL}


async def test_many_stops_at_once_leave_nothing_and_free_every_slot() -> None:
    async with place() as here:
        await here.connect()
        names = [f"w{i}" for i in range(40)]
        wide = {"limits": {"slots": (1, 40)}, "cwd": str(here.folder)}
        here.executor.start([here.shell(name, "setsid sleep 60 & sleep 60", **wide) for name in names])
        for name in names:
            await here.ear.start(name)
        for name in names:
            here.executor.stop(here.nonce(name), 1.0)
        for name in names:
            assert (await here.ear.end(name)).signal == signal.SIGTERM
        assert [pid for name in names for pid in here.left(name)] == []
        here.executor.start([here.launch("next", "true", limits={"slots": (40, 40)})])
        assert (await here.ear.end("next")).code == 0


async def test_a_queued_one_is_withdrawn_and_never_starts() -> None:
    async with place() as here:
        await here.connect()
        one = {"limits": {"slots": (1, 1)}, "cwd": str(here.folder)}
        here.executor.start([here.shell(name, f"touch {name}; sleep 60", **one) for name in ("a", "b", "c")])
        await here.ear.start("a")
        here.executor.stop(here.nonce("b"), 1.0)
        assert isinstance(await here.ear.end("b"), ev.WorkerWithdrawn)
        here.executor.stop(here.nonce("a"), 1.0)
        await here.ear.start("c")
        assert not (here.folder / "b").exists()


async def test_a_second_stop_may_shorten_the_grace() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", "trap '' TERM; echo ready; while :; do sleep 0.05; done")])
        await until(lambda: here.log("a").exists() and "ready" in here.log("a").read_text())
        here.executor.stop(here.nonce("a"), 3600.0)
        here.executor.stop(here.nonce("a"), 0.0)
        assert (await here.ear.end("a")).signal == signal.SIGKILL


async def test_a_stop_of_what_has_ended_or_never_was_does_nothing() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.launch("a", "true")])
        await here.ear.end("a")
        here.executor.stop(here.nonce("a"), 1.0)
        here.executor.stop("nobody", 1.0)
        here.executor.start([here.launch("b", "true")])
        await here.ear.end("b")
        assert here.ear.kinds("a") == ["WorkerStarted", "WorkerExited"]


async def test_a_stop_that_comes_before_the_process_ends_it_as_well() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.launch("a", "sleep", "60")])
        here.executor.stop(here.nonce("a"), 1.0)
        ended = await here.ear.end("a")
        assert isinstance(ended, ev.WorkerWithdrawn) or ended.signal == signal.SIGTERM
        assert here.left("a") == []
