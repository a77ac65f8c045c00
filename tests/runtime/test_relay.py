"""A making that is held up: everything else goes on, and what it made in the end is counted once."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from tests.helpers import until, wait_until
from tests.runtime.supervised import Place, place
from wattle.core import events as ev
from wattle.core.records import Launch
from wattle.runtime.supervisor.relay import Displaced, Relay

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no supervisor there")
MOST = 3
"""Makings that may be held up before no more are begun."""


def held_up(here: Place, name: str, code: int) -> Launch:
    """A launch whose log is a pipe: its child cannot begin before somebody reads it."""
    log = here.log(name)
    log.parent.mkdir(parents=True)
    os.mkfifo(log)
    return here.shell(name, f"exit {code}", cwd=str(here.folder), limits={})


def let_go(log: Path) -> None:
    """Read the pipe until its writers are gone."""
    with open(log, "rb") as file:
        file.read()


async def test_while_one_making_is_held_up_the_others_start_end_and_are_stopped() -> None:
    async with place() as here:
        await here.connect()
        one = {"cwd": str(here.folder), "limits": {}}
        here.executor.start([held_up(here, "stuck", 7), here.launch("quick", "true", **one),
                             here.launch("long", "sleep", "60", **one)])  # fmt: skip
        assert (await here.ear.end("quick")).code == 0
        await here.ear.start("long")
        here.executor.stop(here.nonce("long"), 5.0)
        assert (await here.ear.end("long")).signal is not None
        assert here.ear.kinds("stuck") == []
        let_go(here.log("stuck"))
        assert (await here.ear.end("stuck")).code == 7
        assert here.ear.kinds("stuck") == ["WorkerStarted", "WorkerExited"]


async def test_when_too_many_are_held_up_the_rest_waits_and_nothing_is_lost() -> None:
    async with place() as here:
        await here.connect()
        stuck = [f"stuck{number}" for number in range(MOST)]
        here.executor.start([here.launch("first", "sleep", "60", cwd=str(here.folder), limits={})])
        await here.ear.start("first")
        here.executor.start([held_up(here, name, number) for number, name in enumerate(stuck)])
        here.executor.start([here.launch(f"w{number}", "true", cwd=str(here.folder), limits={}) for number in range(9)])
        here.executor.stop(here.nonce("first"), 5.0)
        assert (await here.ear.end("first")).signal is not None, "whoever decides is held up"
        assert [here.ear.kinds(f"w{number}") for number in range(9)] == [[]] * 9
        for name in stuck:
            let_go(here.log(name))
        assert [(await here.ear.end(name)).code for name in stuck] == [0, 1, 2]
        assert [(await here.ear.end(f"w{number}")).code for number in range(9)] == [0] * 9
        starts = [event.worker for _, event, _ in here.ear.heard if isinstance(event, ev.WorkerStarted)]
        assert len(starts) == len(set(starts)) == 1 + MOST + 9


async def test_the_next_supervisor_finds_what_was_held_up_when_it_was_killed() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([held_up(here, "stuck", 7)])
        here.executor.start([here.launch("quick", "true", cwd=str(here.folder), limits={})])
        await here.ear.end("quick")
        here.kill_supervisor()
        let_go(here.log("stuck"))
        await until(lambda: any("replaced" in state for state in here.states))
        end = await here.ear.end("stuck")
        assert isinstance(end, ev.WorkerLost) or end.code == 7


def test_only_one_thread_decides_at_a_time_and_late_results_are_handed_over() -> None:
    gates = {number: threading.Event() for number in range(4)}
    deciding: list[int] = []
    taken: list[int] = []

    def work(number: int) -> int:
        gates[number].wait()
        return number

    def loop() -> int:
        me = threading.get_ident()
        deciding.append(me)
        while len(taken) < len(gates):
            assert deciding[-1] == me
            while relay.late:
                taken.append(relay.late.popleft())
            if relay.room and waiting:
                number = waiting.pop()
                try:
                    taken.append(relay.call(number))
                except Displaced:
                    assert deciding[-1] != me
                    raise
            elif len(taken) < len(gates):
                woken.wait()
                woken.clear()
        return 5

    waiting, woken = [3, 2, 1, 0], threading.Event()
    relay: Relay[int, int] = Relay(work, MOST, woken.set)
    ended: list[int] = []
    main = threading.Thread(target=lambda: ended.append(relay.run(loop)))
    main.start()
    wait_until(lambda: relay.away == MOST and len(set(deciding)) == MOST + 1)
    assert (relay.room, relay.owing, waiting) == (False, True, [3])
    for gate in gates.values():
        gate.set()
    main.join()
    assert (ended, sorted(taken), relay.owing) == ([5], [0, 1, 2, 3], False)
