"""The supervisor is killed, alone or with keeper or client: true exit codes, or lost; never twice, never guessed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import until, wait_until
from tests.runtime.supervised import Place, place
from wattle.core import events as ev
from wattle.core.records import JournalMark
from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.failpoints import FAILPOINTS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the keeper is a subreaper, which Linux has")

GATED = 'echo "began $0" >> witness; while [ ! -e gate ]; do sleep 0.01; done; echo "ended $0" >> witness; exit $0'


def gated(here: Place, *codes: int) -> list[str]:
    """Workers that wait for the gate and exit with their code; their names."""
    names = [f"w{code}" for code in codes]
    here.executor.start([here.launch(name, "sh", "-c", GATED, str(code), cwd=str(here.folder),
                                     limits={"slots": (1, len(codes))})
                         for name, code in zip(names, codes, strict=True)])  # fmt: skip
    return names


def witness(here: Place) -> list[str]:
    path = here.folder / "witness"
    return sorted(path.read_text().splitlines()) if path.exists() else []


async def test_running_workers_survive_and_their_true_codes_are_told() -> None:
    async with place() as here:
        await here.connect()
        names = gated(here, 0, 1, 7, 255)
        for name in names:
            await here.ear.start(name)
        before = here.executor.supervisor_pid
        here.kill_supervisor()
        await until(lambda: "the supervisor was replaced; everything goes on" in here.states)
        (here.folder / "gate").touch()
        assert [(await here.ear.end(name)).code for name in names] == [0, 1, 7, 255]
        assert here.executor.supervisor_pid != before
        assert [here.ear.kinds(name) for name in names] == [["WorkerStarted", "WorkerExited"]] * 4
        assert len(witness(here)) == 8


async def test_workers_that_end_while_nobody_supervises_have_their_true_codes_and_cost() -> None:
    async with place() as here:
        await here.connect()
        names = gated(here, 3, 4)
        pids = [(await here.ear.start(name)).pid for name in names]
        os.kill(here.keeper, signal.SIGSTOP)
        keeper, here.states = here.keeper, []
        here.kill_supervisor()
        (here.folder / "gate").touch()
        wait_until(lambda: all(not processes.alive(pid, 0) for pid in pids))
        os.kill(keeper, signal.SIGCONT)
        ends = [await here.ear.end(name) for name in names]
        assert [end.code for end in ends] == [3, 4]
        assert all(end.max_rss > 0 for end in ends)


async def test_supervisor_and_client_are_both_gone_and_the_next_client_hears_everything_after_its_mark() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("done", "exit 9")])
        await here.ear.end("done")
        names = gated(here, 5, 6)
        for name in names:
            await here.ear.start(name)
        stored = here.ear.heard[-1][2]
        await here.executor.close(goodbye=False)
        here.kill_supervisor()
        (here.folder / "gate").touch()
        state = await here.connect(mark=stored)
        assert state.journal == stored.journal
        assert {here.nonce(name) for name in ("done", *names)} <= state.known
        assert [(await here.ear.end(name)).code for name in names] == [5, 6]
        assert here.ear.of("done") == []


async def test_without_a_keeper_a_running_worker_is_watched_to_its_end_and_lost() -> None:
    async with place() as here:
        await here.connect()
        [name] = gated(here, 0)
        await here.ear.start(name)
        os.kill(here.keeper, signal.SIGKILL)
        here.kill_supervisor()
        await until(lambda: "the supervisor was replaced; everything goes on" in here.states)
        assert name in str(here.ear.heard)
        assert here.ear.kinds(name) == ["WorkerStarted"], "it still runs, so nothing is said"
        (here.folder / "gate").touch()
        lost = await here.ear.end(name)
        assert isinstance(lost, ev.WorkerLost)
        assert "nobody saw how it ended" in lost.message


async def test_an_adopted_worker_keeps_its_slot_its_timeout_and_can_be_stopped() -> None:
    async with place() as here:
        await here.connect()
        one = {"limits": {"slots": (1, 2)}, "cwd": str(here.folder)}
        here.executor.start([here.shell("slow", "setsid sleep 60 & sleep 60", **one),
                             here.shell("late", "setsid sleep 60 & sleep 60", timeout=1.0, **one)])  # fmt: skip
        for name in ("slow", "late"):
            await here.ear.start(name)
        here.kill_supervisor()
        await until(lambda: here.states)
        here.executor.start([here.launch("next", "true", **one)])
        assert (await here.ear.end("late")).why == "timeout"
        assert (await here.ear.end("next")).code == 0
        here.executor.stop(here.nonce("slow"), 1.0)
        assert (await here.ear.end("slow")).signal == signal.SIGTERM
        assert here.left("slow") + here.left("late") == []
        order = [(type(event).__name__, event.worker) for _, event, _ in here.ear.heard]
        assert order.index(("WorkerStarted", "next")) > order.index(("WorkerExited", "late"))


async def test_a_stop_is_not_forgotten_when_the_supervisor_dies_in_the_middle_of_it() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", "trap '' TERM; echo ready; while :; do sleep 0.05; done")])
        await until(lambda: here.log("a").exists() and "ready" in here.log("a").read_text())
        here.executor.stop(here.nonce("a"), 1.0)
        here.kill_supervisor()
        assert (await here.ear.end("a")).signal == signal.SIGKILL


@pytest.mark.parametrize("name", FAILPOINTS)
async def test_killed_at_this_point_nothing_runs_twice_and_no_outcome_is_guessed(
    name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATTLE_FAILPOINT", f"{name}:2")
    async with place() as here:
        await here.connect()
        (here.folder / "gate").touch()
        names = [f"w{i}" for i in range(6)]
        here.executor.start([here.shell(worker, f"echo {worker} >> witness; sleep 0.05; exit {i}",
                                        cwd=str(here.folder), limits={"slots": (1, 2)})
                             for i, worker in enumerate(names)])  # fmt: skip
        ends = {worker: await here.ear.end(worker) for worker in names}
        assert any("lost; looking" in state for state in here.states), "the failpoint was not reached"
        assert len(witness(here)) == len(set(witness(here))), "something ran twice"
        assert [ends[worker].code for worker in names] == list(range(6)), ends
        assert [here.ear.kinds(worker) for worker in names] == [["WorkerStarted", "WorkerExited"]] * 6


async def test_an_intent_whose_log_was_opened_is_lost_when_its_process_is_nowhere() -> None:
    async with place() as here:
        await here.connect()
        await leave(here)
        record = {"k": "P", "nonce": "n", "run": 7, "worker": "a", "attempt": 1, "at": 1.0, "grace": 1.0}
        logs = here.folder / "opened.log", here.folder / "never.log"
        logs[0].touch()
        with (here.run / "journal.jsonl").open("a") as file:
            for seq, log in enumerate(logs, 1):
                told = {**record, "nonce": log.stem, "worker": log.stem, "stdout": str(log), "seq": seq}
                file.write(json.dumps(told) + "\n")
        state = await here.connect()
        assert isinstance(await here.ear.end("opened"), ev.WorkerLost)
        assert state.known == {"opened"}, "what never began may be sent again"


async def test_what_was_sent_and_not_begun_is_sent_again_and_runs_once() -> None:
    async with place() as here:
        await here.connect()
        one = {"limits": {"slots": (1, 1)}, "cwd": str(here.folder)}
        here.executor.start([here.shell("first", GATED.replace("$0", "1"), **one)])
        here.executor.start([here.shell(f"w{i}", f"echo w{i} >> witness", **one) for i in range(5)])
        await here.ear.start("first")
        here.kill_supervisor()
        (here.folder / "gate").touch()
        for i in range(5):
            assert (await here.ear.end(f"w{i}")).code == 0
        assert [line for line in witness(here) if line.startswith("w")] == [f"w{i}" for i in range(5)]


async def test_many_kills_in_a_row_lose_nothing() -> None:
    async with place() as here:
        await here.connect()
        names = [f"w{i}" for i in range(30)]
        here.executor.start([here.shell(worker, f"echo {worker} >> witness; sleep 0.1; exit {i}",
                                        cwd=str(here.folder), limits={"slots": (1, 3)})
                             for i, worker in enumerate(names)])  # fmt: skip
        for i in (2, 9, 16):
            await here.ear.start(f"w{i}")
            here.kill_supervisor()
            await until(lambda: here.executor.supervisor_pid == here.supervisor and here.executor.supervisor_pid)
        ends = [await here.ear.end(worker) for worker in names]
        assert [end.code for end in ends if isinstance(end, ev.WorkerExited)] == list(range(30)), ends
        assert len(witness(here)) == 30


async def test_after_another_boot_what_ran_is_lost_and_the_journal_has_another_name() -> None:
    async with place() as here:
        before = await here.connect()
        here.executor.start([here.launch("a", "true")])
        await here.ear.end("a")
        mark = here.ear.heard[-1][2]
        await leave(here)
        journal = here.run / "journal.jsonl"
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        kept = [{**line, "boot": "another"} if "boot" in line else line for line in lines
                if line.get("k") not in {"X", "E"}]  # fmt: skip
        journal.write_text("".join(json.dumps(line) + "\n" for line in kept))
        after = await here.connect(mark=mark)
        lost = await here.ear.end("a")
        assert isinstance(lost, ev.WorkerLost)
        assert "restarted" in lost.message
        assert after.journal != before.journal


async def test_a_journal_that_knows_less_than_its_coordinator_takes_another_name() -> None:
    async with place() as here:
        before = await here.connect()
        await leave(here)
        after = await here.connect(mark=JournalMark(before.journal, 99))
        assert after.journal != before.journal
        here.executor.start([here.launch("a", "true")])
        assert (await here.ear.end("a")).code == 0
        assert here.ear.heard[-1][2].journal == after.journal


async def test_a_torn_last_line_never_happened() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.launch("a", "true")])
        await here.ear.end("a")
        mark = here.ear.heard[0][2]
        await leave(here)
        with (here.run / "journal.jsonl").open("a") as file:
            file.write('{"k":"X","nonce":"torn","se')
        state = await here.connect(mark=mark)
        assert (state.journal, here.ear.kinds("a")) == (mark.journal, ["WorkerExited"])
        here.executor.start([here.launch("b", "true")])
        assert (await here.ear.end("b")).code == 0
        assert [json.loads(line) for line in (here.run / "journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("damage", ["in the middle", "the header", "all of it"])
async def test_a_damaged_journal_is_set_aside_and_what_it_knew_is_not_started_again(damage: str) -> None:
    async with place() as here:
        state = await here.connect()
        [name] = gated(here, 0)
        await here.ear.start(name)
        journal = here.run / "journal.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        if damage == "in the middle":
            lines[1] = "not JSON\n"
        elif damage == "the header":
            lines[0] = "{}\n"
        else:
            lines = ["\0" * 4096 + "\n"]
        journal.write_text("".join(lines))
        here.kill_supervisor()
        lost = await here.ear.end(name)
        assert isinstance(lost, ev.WorkerLost)
        assert here.ear.heard[-1][2].journal != state.journal
        assert [path.name for path in here.run.iterdir() if "damaged" in path.name]
        assert witness(here) == ["began 0"]


async def leave(here: Place) -> None:
    """The coordinator leaves and the supervisor ends."""
    pid = here.executor.supervisor_pid
    await here.executor.close(drain=True)
    await until(lambda: not processes.alive(pid or 0, 0))
    assert not Path(here.run / "supervisor.sock").exists()
