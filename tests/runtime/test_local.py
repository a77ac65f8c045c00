"""The executor and its real supervisor: true exits, kept limits, nothing left behind, nothing started twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import until, within
from wattle.core import events as ev
from wattle.core.errors import Unreachable
from wattle.core.records import JournalMark, Launch
from wattle.runtime.local import LocalExecutor
from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.journal import Journal
from wattle.runtime.supervisor.spawn import LibrarySpawn, PopenSpawn, PythonSpawn, works

FAILPOINTS = ("before-intent", "after-intent", "after-spawn", "before-exit-record", "after-exit-record")


class Desk:
    """One executor in a folder of its own, and what it reported."""

    def __init__(self, folder: Path, epoch: int = 1, store: str = "store") -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.runtime.mkdir(exist_ok=True)
        self.heard: list[ev.AnyEvent] = []
        self.mark: JournalMark | None = None
        self.epoch = epoch
        self.store = store
        self.executor = LocalExecutor(self.runtime, idle_seconds=3.0)

    def sink(self, _run: int, event: ev.AnyEvent, mark: JournalMark) -> None:
        self.heard.append(event)
        self.mark = mark

    async def open(self, mark: JournalMark | None = None) -> Any:
        state = await within(self.executor.connect(self.sink, mark, self.epoch, self.store))
        self.executor.base_environment("base", {"PATH": os.environ["PATH"], "BASE": "yes"})
        return state

    def launch(self, worker: str, *argv: str, **fields: Any) -> Launch:
        logs = self.folder / "logs" / worker
        given: dict[str, Any] = {
            "nonce": f"nonce-{worker}", "run": 1, "worker": worker, "attempt": 1, "argv": argv, "env": {},
            "cwd": str(self.folder), "env_id": "base", "stdout": str(logs / "stdout.log"),
            "stderr": str(logs / "stderr.log"), "directories": (str(self.folder),), "grace": 0.3,
            "limits": {"slots": (1, 4)},
        }  # fmt: skip
        return Launch(**{**given, **fields})

    def log(self, worker: str, stream: str = "stdout") -> bytes:
        return (self.folder / "logs" / worker / f"{stream}.log").read_bytes()

    def of(self, worker: str, kind: type) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind) and getattr(event, "worker", "") == worker]

    async def end_of(self, worker: str) -> Any:
        ends = (ev.WorkerExited, ev.WorkerNotStarted, ev.WorkerLost, ev.WorkerWithdrawn)
        return await until(lambda: next((e for e in self.heard if isinstance(e, ends) and e.worker == worker), None))

    async def started(self, worker: str) -> int:
        events = await until(lambda: self.of(worker, ev.WorkerStarted))
        return int(events[0].pid)

    def supervisor(self) -> int:
        return int((self.runtime / "supervisor.lock").read_text())


def members(nonce: str, group: int) -> list[int]:
    """Who is left of an attempt."""
    search = processes.Search(nonce, group, whole=True)
    return [entry.pid for entry in processes.members([search], (os.getpid(),))[nonce]]


def scene(tmp_path: Path, play: Callable[[Desk], Awaitable[None]]) -> None:
    """Play a scene with one desk; nothing of its supervisor is left afterwards."""

    async def act() -> None:
        desk = Desk(tmp_path)
        await desk.open()
        try:
            await play(desk)
        finally:
            await desk.executor.close(drain=True)

    asyncio.run(act())


@pytest.mark.parametrize(("script", "code", "number"), [
    ("exit 0", 0, None), ("exit 7", 7, None), ("exit 255", 255, None), ("kill -9 $$", None, 9), ("kill $$", None, 15),
])  # fmt: skip
def test_an_exit_is_told_as_the_system_told_it(
    tmp_path: Path, script: str, code: int | None, number: int | None,
) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sh", "-c", script)])
        end = await desk.end_of("w")
        assert (end.code, end.signal, end.why) == (code, number, "exit")
        assert end.max_rss > 0

    scene(tmp_path, play)


def test_logs_environment_folder_and_outputs_are_the_workers_own(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        script = 'echo "out $BASE $OWN $(pwd)"; echo err >&2; echo 1 > made; read line || echo closed'
        desk.executor.start([desk.launch("w", "sh", "-c", script, env={"OWN": "mine"}, cwd=str(tmp_path / "new"),
                                         directories=(str(tmp_path / "new"),),
                                         outputs={"made": str(tmp_path / "new/made"), "not": "/no/x"})])  # fmt: skip
        end = await desk.end_of("w")
        out = desk.log("w").decode()
        assert f"wattle: created the working directory {tmp_path / 'new'}\n" in out
        assert f"out yes mine {tmp_path / 'new'}\nclosed\n" in out
        assert desk.log("w", "stderr") == b"err\n"
        assert end.outputs["made"][0] == 2
        assert end.outputs["not"] is None

    scene(tmp_path, play)


def test_merged_logs_keep_the_order_of_both_streams(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sh", "-c", "echo 1; echo 2 >&2; echo 3", stderr=None)])
        await desk.end_of("w")
        assert desk.log("w") == b"1\n2\n3\n"

    scene(tmp_path, play)


def test_no_more_run_at_once_than_the_counters_allow(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        script = "mkdir run.$0 && ls -d run.* | wc -l >> seen; sleep 0.03; rmdir run.$0"
        limits = {"slots": (1.0, 4.0), "group": (1.0, 2.0)}
        desk.executor.start([desk.launch(f"w{i}", "sh", "-c", script, str(i), limits=limits) for i in range(12)])
        for i in range(12):
            assert (await desk.end_of(f"w{i}")).code == 0
        seen = [int(line) for line in (tmp_path / "seen").read_text().split()]
        assert len(seen) == 12
        assert max(seen) == 2

    scene(tmp_path, play)


ESCAPES = {
    "ignores TERM": 'trap "" TERM; while :; do sleep 0.05; done',
    "a child in a session of its own": "setsid sleep 100 & wait",
    "a double fork": "(setsid sh -c 'sleep 100 & sleep 100' &) ; sleep 100",
    "a group of its own that ignores TERM": "set -m; (trap '' TERM; sleep 100; sleep 100) & wait",
}


@pytest.mark.parametrize("style", ESCAPES)
def test_a_stop_leaves_no_process_behind(tmp_path: Path, style: str) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sh", "-c", f"{ESCAPES[style]}")])
        pid = await desk.started("w")
        await until(lambda: len(members("nonce-w", pid)) > 1)
        desk.executor.stop("nonce-w", 0.2)
        assert (await desk.end_of("w")).signal in {9, 15}
        assert members("nonce-w", pid) == []

    scene(tmp_path, play)


def test_what_is_left_in_the_group_after_a_normal_exit_is_ended_too(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sh", "-c", "sleep 100 & exit 3")])
        pid = await desk.started("w")
        assert (await desk.end_of("w")).code == 3
        assert members("nonce-w", pid) == []

    scene(tmp_path, play)


def test_a_timeout_ends_it_and_says_so(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sleep", "100", timeout=0.1)])
        assert (await desk.end_of("w")).why == "timeout"

    scene(tmp_path, play)


def test_a_queued_attempt_is_withdrawn_and_never_starts(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        one = {"slots": (1.0, 1.0)}
        desk.executor.start([desk.launch("a", "sleep", "100", limits=one),
                             desk.launch("b", "touch", "b-ran", limits=one)])  # fmt: skip
        await desk.started("a")
        desk.executor.stop("nonce-b", 1.0)
        assert isinstance(await desk.end_of("b"), ev.WorkerWithdrawn)
        desk.executor.stop("nonce-a", 0.1)
        await desk.end_of("a")
        assert not (tmp_path / "b-ran").exists()

    scene(tmp_path, play)


def test_a_nonce_is_started_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        launch = desk.launch("w", "sh", "-c", "echo ran >> witness; sleep 0.1")
        desk.executor.start([launch, launch])
        await desk.started("w")
        desk.executor.start([launch])
        await desk.end_of("w")
        desk.executor.start([launch, desk.launch("last", "true")])
        await desk.end_of("last")
        assert (tmp_path / "witness").read_text() == "ran\n"

    scene(tmp_path, play)


@pytest.mark.parametrize(("argv", "message"), [
    (("no-such-program-x",), "no-such-program-x"), (("./plain",), "plain"), (("./dir",), "dir"),
    (("./noshebang",), "no #! line"), (("./badshebang",), "does not exist"),
])  # fmt: skip
def test_what_cannot_be_started_says_why(tmp_path: Path, argv: tuple[str, ...], message: str) -> None:
    (tmp_path / "plain").write_text("x")
    (tmp_path / "dir").mkdir()
    for name, text in {"noshebang": "echo hi\n", "badshebang": "#!/no/such/interpreter\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", *argv)])
        end = await desk.end_of("w")
        assert isinstance(end, ev.WorkerNotStarted)
        assert message in end.message
        assert end.reason == "could-not-start"

    scene(tmp_path, play)


def test_a_missing_outside_file_is_an_input_that_is_missing(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "true", required=(str(tmp_path / "absent.csv"),))])
        end = await desk.end_of("w")
        assert (end.reason, "absent.csv" in end.message) == ("input-missing", True)

    scene(tmp_path, play)


def test_a_launch_that_alone_exceeds_a_total_is_refused(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "true", limits={"cpus": (8.0, 2.0)})])
        assert "cpus" in (await desk.end_of("w")).message

    scene(tmp_path, play)


def test_a_coordinator_that_comes_back_hears_what_happened_after_its_mark(tmp_path: Path) -> None:
    async def act() -> None:
        first = Desk(tmp_path)
        await first.open()
        later = first.launch("b", "sh", "-c", "sleep 0.3; exit 6")
        first.executor.start([first.launch("a", "sh", "-c", "exit 5"), later])
        await first.end_of("a")
        mark = first.mark
        await first.executor.close(goodbye=False)
        second = Desk(tmp_path, epoch=2)
        state = await second.open(mark)
        assert {"nonce-a", "nonce-b"} <= state.known
        assert (await second.end_of("b")).code == 6
        assert second.of("a", ev.WorkerExited) == []
        await second.executor.close(drain=True)

    asyncio.run(act())


def test_a_lower_epoch_is_fenced_and_a_higher_one_takes_over(tmp_path: Path) -> None:
    async def act() -> None:
        newer, older = Desk(tmp_path, epoch=5), Desk(tmp_path, epoch=4)
        await newer.open()
        with pytest.raises(Unreachable, match="Another coordinator"):
            await older.open()
        newest = Desk(tmp_path, epoch=6)
        await newest.open()
        newest.executor.start([newest.launch("w", "true")])
        assert (await newest.end_of("w")).code == 0
        await newer.executor.close(goodbye=False)
        await newest.executor.close(drain=True)

    asyncio.run(act())


def test_workers_survive_kill_9_of_their_supervisor_with_their_true_exit_codes(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        gate = "while [ ! -e gate ]; do sleep 0.02; done; echo $0 >> witness; exit $0"
        desk.executor.start([desk.launch(f"w{i}", "sh", "-c", gate, str(i)) for i in range(3)])
        for i in range(3):
            await desk.started(f"w{i}")
        before = desk.supervisor()
        os.kill(before, signal.SIGKILL)
        await until(lambda: desk.executor.supervisor_pid not in {None, before})
        (tmp_path / "gate").touch()
        assert [(await desk.end_of(f"w{i}")).code for i in range(3)] == [0, 1, 2]
        assert sorted((tmp_path / "witness").read_text().split()) == ["0", "1", "2"]

    scene(tmp_path, play)


def test_an_adopted_worker_can_still_be_stopped(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sleep", "100")])
        pid = await desk.started("w")
        before = desk.supervisor()
        os.kill(before, signal.SIGKILL)
        await until(lambda: desk.executor.supervisor_pid not in {None, before})
        desk.executor.stop("nonce-w", 0.5)
        assert (await desk.end_of("w")).signal == 15
        assert processes.look(pid) is None

    scene(tmp_path, play)


@pytest.mark.parametrize("name", FAILPOINTS)
def test_a_supervisor_killed_at_any_step_starts_nothing_twice_and_guesses_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATTLE_FAILPOINT", name)

    async def play(desk: Desk) -> None:
        desk.executor.start([desk.launch("w", "sh", "-c", "echo ran >> witness; exit 4")])
        end = await desk.end_of("w")
        ran = (tmp_path / "witness").read_text().split() if (tmp_path / "witness").exists() else []
        assert ran.count("ran") <= 1
        if isinstance(end, ev.WorkerExited):
            assert (end.code, ran) == (4, ["ran"])
        else:
            assert isinstance(end, ev.WorkerLost)

    scene(tmp_path, play)


@pytest.mark.parametrize("kind", [LibrarySpawn, PythonSpawn, PopenSpawn])
def test_every_way_of_making_a_process_passes_the_self_test(
    tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # one of them goes to / afterwards; the fixture comes back
    assert works(kind(), str(tmp_path))


def test_an_unfinished_last_line_of_the_journal_never_happened(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.belongs_to("store")
    journal.add({"k": "P", "nonce": "a"})
    journal.flush()
    journal.close()
    with open(journal.path, "a") as file:
        file.write('{"k": "X", "nonce": "a", "se')
    again = Journal(str(tmp_path))
    assert (again.id, again.seq, [record["k"] for record in again.records]) == (journal.id, 1, ["P"])
    again.add({"k": "L", "nonce": "a"})
    again.flush()
    again.close()
    lines = Path(journal.path).read_text().splitlines()
    assert [json.loads(line).get("k") for line in lines] == [None, "P", "L"]


def test_a_damaged_journal_is_set_aside_and_another_one_has_another_name(tmp_path: Path) -> None:
    first = Journal(str(tmp_path))
    first.add({"k": "P", "nonce": "a"})
    first.flush()
    first.close()
    Path(first.path).write_bytes(b"rubbish\n\xff\n")
    second = Journal(str(tmp_path))
    second.close()
    assert second.id != first.id
    assert list(tmp_path.glob("journal.jsonl.damaged-*"))


def test_what_a_full_disk_refuses_is_kept_and_written_later(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.add({"k": "P", "nonce": "a"})
    whole, journal._file = journal._file, os.open("/dev/full", os.O_WRONLY)
    assert not journal.flush()
    assert "No space" in journal.trouble
    os.close(journal._file)
    journal._file = whole
    assert journal.flush()
    assert '"nonce":"a"' in Path(journal.path).read_text()
    journal.close()


def test_a_long_journal_forgets_what_is_over_and_acknowledged(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    for i in range(1500):
        journal.add({"k": "P", "nonce": str(i)})
        if i:
            journal.add({"k": "X", "nonce": str(i)})
    journal.flush()
    journal.acknowledge(journal.seq)
    assert [record["nonce"] for record in journal.records] == ["0"]
    assert journal.nonces == {"0"}
    journal.close()
