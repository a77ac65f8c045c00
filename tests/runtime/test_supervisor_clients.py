"""Who drives the supervisor: epochs, other stores, nonces, dead coordinators, idleness, a full disk, bad manners."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from pathlib import Path

import pytest

from tests.helpers import until, wait_until
from tests.runtime.supervised import Ear, Place, place
from wattle.core import events as ev
from wattle.core.errors import StorageError, Unreachable
from wattle.runtime.local import LocalExecutor
from wattle.runtime.supervisor import processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no supervisor there")

WITNESS = "echo $0 >> witness"


async def gone(pid: int | None) -> None:
    await until(lambda: not processes.alive(pid or 0, 0))


async def test_the_higher_epoch_drives_and_the_lower_one_is_fenced() -> None:
    async with place() as here:
        await here.connect()
        first = here.executor
        told: list[str] = []
        first._on_state = told.append
        await here.connect()
        await until(lambda: any("fenced" in text for text in told))
        late = LocalExecutor(here.run)
        with pytest.raises(Unreachable) as refused:
            await late.connect(Ear(), None, here.epoch - 1, "store")
        assert refused.value.code == "fenced"
        first.start([here.launch("old", "true")])
        here.executor.start([here.launch("new", "true")])
        await here.ear.end("new")
        assert here.ear.of("old") == []
        await first.close(goodbye=False)


async def test_a_nonce_is_started_once_whoever_sends_it() -> None:
    async with place() as here:
        await here.connect()
        launch = here.launch("a", "sh", "-c", WITNESS, "a", cwd=str(here.folder))
        here.executor.start([launch, launch])
        here.executor.start([launch])
        await here.ear.end("a")
        await here.executor.close()
        state = await here.connect()
        assert launch.nonce in state.known
        here.executor.start([launch, here.launch("b", "true")])
        await here.ear.end("b")
        assert (here.folder / "witness").read_text() == "a\n"


async def test_a_supervisor_of_another_store_finishes_what_it_runs_and_makes_room() -> None:
    async with place() as here:
        await here.connect()
        script = 'while [ ! -e gate ]; do sleep 0.01; done; echo "$0 ended" >> witness'
        here.executor.start([here.launch("old", "sh", "-c", script, "old", cwd=str(here.folder)),
                             here.launch("queued", "sh", "-c", script, "queued", cwd=str(here.folder),
                                         limits={"slots": (4, 4)})])  # fmt: skip
        await here.ear.start("old")
        before = here.executor.supervisor_pid
        await here.executor.close(goodbye=False)
        here.epoch = 0
        state = await here.connect(store="another")
        assert here.executor.supervisor_pid != before
        assert state.known == frozenset()
        here.executor.start([here.launch("new", "true")])
        assert (await here.ear.end("new")).code == 0
        (here.folder / "gate").touch()
        await gone(before)
        assert (here.folder / "witness").read_text() == "old ended\n"
        assert [path.name for path in here.run.iterdir() if path.name.startswith("journal")] == ["journal.jsonl"]
        here.executor.start([here.launch("more", "true")])
        assert (await here.ear.end("more")).code == 0


async def test_an_idle_supervisor_takes_another_store_itself() -> None:
    async with place() as here:
        before = await here.connect()
        here.executor.start([here.launch("a", "true")])
        await here.ear.end("a")
        pid = here.executor.supervisor_pid
        await here.executor.close()
        here.epoch = 0
        after = await here.connect(store="another")
        assert (here.executor.supervisor_pid, after.known) == (pid, frozenset())
        assert after.journal != before.journal


async def test_alone_and_idle_both_processes_leave() -> None:
    async with place() as here:
        await here.connect(idle_seconds=0.2)
        supervisor, keeper = here.supervisor, here.keeper
        await here.executor.close()
        await gone(supervisor)
        await gone(keeper)
        assert not (here.run / "supervisor.sock").exists()


async def test_a_coordinator_that_dies_with_runs_unfinished_is_started_again() -> None:
    async with place() as here:
        came = here.folder / "came"
        command = ["/bin/sh", "-c", f'echo "$MARK $$ $(ps -o sid= -p $$)" > {came}.new; mv {came}.new {came}']
        await here.connect(restart=command, restart_environment={"MARK": "again", "PATH": os.environ["PATH"]})
        here.executor.busy(2)
        await here.executor.close(goodbye=False)
        await until(came.exists)
        mark, pid, session = came.read_text().split()
        assert (mark, session) == ("again", pid)


@pytest.mark.parametrize("how", ["goodbye", "pause", "nothing unfinished"])
async def test_a_coordinator_is_not_started_when_nobody_asked_for_it(how: str) -> None:
    async with place() as here:
        command = ["/bin/sh", "-c", f"touch {here.folder}/came"]
        await here.connect(restart=command, on_exit="pause" if how == "pause" else "resume", idle_seconds=0.1)
        here.executor.busy(0 if how == "nothing unfinished" else 1)
        supervisor = here.supervisor
        await here.executor.close(goodbye=how == "goodbye")
        await gone(supervisor)
        assert not (here.folder / "came").exists()


async def test_a_supervisor_that_was_killed_with_its_coordinator_starts_it_all_the_same() -> None:
    async with place() as here:
        came = here.folder / "came"
        await here.connect(restart=["/bin/sh", "-c", f"touch {came}"], restart_environment={"PATH": "/bin:/usr/bin"})
        here.executor.busy(1)
        here.executor.start([here.launch("a", "true")])
        await here.ear.end("a")
        await here.executor.close(goodbye=False)
        here.kill_supervisor()
        await until(came.exists)
        assert here.ear.kinds("a") == ["WorkerStarted", "WorkerExited"]


async def test_a_folder_that_was_made_anew_is_not_touched_by_the_old_supervisor() -> None:
    async with place() as here:
        await here.connect()
        before = here.supervisor
        here.pids |= {before, here.keeper}
        await here.executor.close(goodbye=False)
        here.run.rename(here.folder / "old-run")
        here.run.mkdir(mode=0o700)
        await here.connect(store="new")
        assert here.supervisor != before
        await gone(before)
        assert (here.run / "supervisor.sock").exists()
        here.executor.start([here.launch("a", "true")])
        assert (await here.ear.end("a")).code == 0


async def test_two_that_start_at_once_become_one() -> None:
    async with place() as here:
        executors = [LocalExecutor(here.run) for _ in range(3)]
        for number, executor in enumerate(executors, 1):
            await executor.connect(Ear(), None, number, "store")
        here.epoch = 3
        await here.connect()
        assert {executor.supervisor_pid for executor in (*executors, here.executor)} == {here.supervisor}
        for executor in executors:
            await executor.close(goodbye=False)


async def test_a_client_that_speaks_nonsense_is_dropped_and_the_others_go_on() -> None:
    async with place() as here:
        await here.connect()
        for words in (b"nonsense\n", b"[]\n", b'{"do":"hello"}\n', b'{"do":"start","launches":[]}\n', b"\xff\0\n"):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(here.run / "supervisor.sock"))
                stranger.sendall(words)
        here.executor.start([here.launch("a", "true")])
        assert (await here.ear.end("a")).code == 0
        assert here.executor.supervisor_pid == here.supervisor


async def test_a_client_that_does_not_listen_does_not_stop_the_work() -> None:
    async with place() as here:
        await here.connect()
        for turn in range(20):
            here.executor.start([here.launch(f"w{turn}-{i}", "sh", "-c", WITNESS, f"{turn}-{i}", cwd=str(here.folder))
                                 for i in range(10)])  # fmt: skip
        await here.ear.start("w0-0")
        assert here.executor._listening is not None
        witness = here.folder / "witness"
        wait_until(lambda: witness.exists() and witness.read_text().count("\n") == 200)
        await here.ear.end("w19-9")
        assert len([event for _, event, _ in here.ear.heard if isinstance(event, ev.WorkerExited)]) == 200


async def test_what_is_acknowledged_may_be_forgotten_and_the_rest_is_kept() -> None:
    async with place() as here:
        await here.connect()
        launches = [here.launch(f"w{i}", "true", cwd=str(here.folder)) for i in range(700)]
        here.executor.start([here.launch("long", "sleep", "60", cwd=str(here.folder)), *launches])
        await until(lambda: len(here.ear.heard) == 1401)
        mark = here.ear.heard[-1][2]
        here.executor.acknowledge(mark)
        await here.executor.close()
        state = await here.connect(mark=mark)
        assert here.nonce("long") in state.known
        assert len(state.known) == 1


def full_disk(here: Place, bytes_left: int) -> None:
    """The supervisor's files may grow by this much; a write beyond it fails, as on a full disk."""
    size = max(path.stat().st_size for path in here.run.iterdir() if path.is_file())
    resource.prlimit(here.supervisor, resource.RLIMIT_FSIZE, (size + bytes_left, resource.RLIM_INFINITY))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux")
async def test_while_the_journal_cannot_be_written_nothing_starts_and_no_exit_is_lost() -> None:
    async with place() as here:
        await here.connect()
        script = "while [ ! -e gate ]; do sleep 0.01; done; exit 5"
        here.executor.start([here.shell("running", script, cwd=str(here.folder))])
        await here.ear.start("running")
        full_disk(here, 20)
        here.executor.start([here.launch("late", "sh", "-c", WITNESS, "late", cwd=str(here.folder))])
        (here.folder / "gate").touch()
        await until(lambda: any("cannot be written" in text for text in here.states))
        assert here.ear.kinds("running") == ["WorkerStarted"]
        assert here.ear.of("late") == []
        assert not (here.folder / "witness").exists()
        full_disk(here, 1 << 30)
        assert (await here.ear.end("running")).code == 5
        assert (await here.ear.end("late")).code == 0
        lines = (here.run / "journal.jsonl").read_text().splitlines()
        assert [line["seq"] for line in map(json.loads, lines[1:])] == sorted({json.loads(x)["seq"] for x in lines[1:]})


async def test_a_path_too_long_for_a_socket_is_told() -> None:
    with pytest.raises(StorageError, match="too long"):
        await LocalExecutor(Path("/tmp") / ("x" * 100)).connect(Ear(), None, 1, "store")


async def test_a_folder_where_no_supervisor_can_live_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattle.runtime.local.PATIENCE", 0.5)
    async with place() as here:
        (here.run / "journal.jsonl").mkdir()
        with pytest.raises(Unreachable, match="cannot be reached"):
            await here.connect()
        assert "journal.jsonl" in (here.run / "supervisor.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="fallocate")
async def test_a_log_beyond_its_limit_keeps_its_ends_its_offsets_and_a_note_of_the_cut() -> None:
    async with place() as here:
        await here.connect()
        script = "yes line | head -c 6000000; touch written; while [ ! -e gate ]; do sleep 0.01; done; echo last words"
        here.executor.start([here.shell("a", script, cwd=str(here.folder), log_limit=2_000_000)])
        cuts = Path(f"{here.log('a')}.cuts")
        await until((here.folder / "written").exists)
        await until(lambda: cuts.exists() and here.log("a").stat().st_blocks * 512 < 2_100_000)
        (here.folder / "gate").touch()
        await here.ear.end("a")
        data = here.log("a").read_bytes()
        cut = [json.loads(line) for line in cuts.read_text().splitlines()]
        assert len(data) == 6_000_000 + len("last words\n")
        assert data.endswith(b"line\nlast words\n")
        whole = bytearray(b"line\n" * 1_200_000 + b"last words\n")
        for hole in cut:
            whole[hole["from"]: hole["to"]] = bytes(hole["to"] - hole["from"])
        assert data == whole
        assert cut[0]["from"] >= 1_000_000
