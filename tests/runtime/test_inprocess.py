"""The executor without a supervisor: the same contract, less what needs a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import until
from tests.runtime.supervised import ENVIRONMENT, Ear
from wattle.core import events as ev
from wattle.core.records import Launch
from wattle.runtime.inprocess import InProcessExecutor
from wattle.runtime.supervisor import processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell")


class Desk:
    """One executor and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ear = Ear()
        self.executor = InProcessExecutor()

    def launch(self, worker: str, script: str, **more: Any) -> Launch:
        fields: dict[str, Any] = {
            "nonce": f"{worker}-{self.folder.name}", "run": 3, "worker": worker, "attempt": 1,
            "argv": ("sh", "-c", script), "cwd": str(self.folder / "work"), "env_id": "shell", "env": {"OWN": "1"},
            "stdout": str(self.log(worker)), "stderr": None, "grace": 0.3, "limits": {"slots": (1, 2)},
        }  # fmt: skip
        return Launch(**{**fields, **more})

    def log(self, worker: str) -> Path:
        return self.folder / "logs" / worker / "stdout.log"

    def left(self, worker: str) -> list[int]:
        nonce = f"{worker}-{self.folder.name}"
        return [pid for pid in processes.table() if processes.alive(pid, 0)
                and processes.nonce_of(processes.tag_of(pid)) == nonce]  # fmt: skip


@contextlib.asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    here = Desk(folder)
    state = await here.executor.connect(here.ear, None, 1, "store")
    assert state.known == frozenset()
    here.executor.base_environment("shell", ENVIRONMENT)
    try:
        yield here
    finally:
        await here.executor.close()


async def test_exits_logs_and_outputs_are_true(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        script = 'echo "$GREETING $OWN $WATTLE_TASK"; echo err >&2; echo 123 > out; read x || echo closed; exit 7'
        here.executor.start([here.launch("a", script, outputs={"out": str(tmp_path / "work/out"), "no": "/no/no"},
                                         objects={"no": ("/no/no.json",)})])  # fmt: skip
        started, ended = await here.ear.start("a"), await here.ear.end("a")
        assert (ended.code, ended.signal, ended.why, ended.outputs["out"][0], ended.outputs["no"]) == (
            7, None, "exit", 4, None)  # fmt: skip
        assert started.pid > 1
        assert ended.max_rss > 0
        assert here.log("a").read_text().splitlines()[1:] == [f"hello 1 3/a/1/a-{tmp_path.name}", "err", "closed"]
        seqs = [mark.seq for _, _, mark in here.ear.heard]
        assert seqs == sorted(set(seqs))


async def test_a_signal_a_timeout_and_what_cannot_start_are_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.executor.start([
            here.launch("killed", "kill -9 $$"), here.launch("slow", "setsid sleep 60 & sleep 60", timeout=0.1),
            here.launch("missing", "", argv=("no-such-program",)), here.launch("big", "true", limits={"cpus": (9, 2)}),
            here.launch("input", "true", required=("/no/input",)),
        ])  # fmt: skip
        assert (await here.ear.end("killed")).signal == signal.SIGKILL
        assert (await here.ear.end("slow")).why == "timeout"
        assert here.left("slow") == []
        assert "no-such-program" in (await here.ear.end("missing")).message
        assert "cpus" in (await here.ear.end("big")).message
        assert (await here.ear.end("input")).reason == "input-missing"


@pytest.mark.parametrize("script", [
    "exec sleep 60", "trap '' TERM; while :; do sleep 0.02; done", "setsid sleep 60 & sleep 60",
    "(setsid sh -c 'sleep 60 & exit' &) ; sleep 60",
])  # fmt: skip
async def test_stop_leaves_nothing(tmp_path: Path, script: str) -> None:
    async with desk(tmp_path) as here:
        here.executor.start([here.launch("a", f"touch began; {script}")])
        await until((tmp_path / "work" / "began").exists)
        here.executor.stop(f"a-{tmp_path.name}", 0.2)
        assert (await here.ear.end("a")).signal in {signal.SIGTERM, signal.SIGKILL}
        assert here.left("a") == []


async def test_what_may_not_outlive_its_worker_does_not(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.executor.start([here.launch("a", "setsid sleep 60 & sleep 0.1; exit 3", whole=True)])
        assert (await here.ear.end("a")).code == 3
        assert here.left("a") == []


async def test_limits_are_kept_a_queued_one_is_withdrawn_and_a_nonce_starts_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        one = {"limits": {"slots": (1, 1)}}
        script = "mkdir running && sleep 0.02 && rmdir running"
        launches = [here.launch(f"w{i}", script, **one) for i in range(6)]
        here.executor.start([*launches, here.launch("never", "touch never", **one), launches[0]])
        here.executor.stop(f"never-{tmp_path.name}", 1.0)
        assert isinstance(await here.ear.end("never"), ev.WorkerWithdrawn)
        assert [(await here.ear.end(f"w{i}")).code for i in range(6)] == [0] * 6
        assert here.ear.kinds("w0") == ["WorkerStarted", "WorkerExited"]


async def test_what_is_left_in_the_group_ends_with_it_and_usage_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.executor.start([here.launch("a", "sleep 60 & while [ ! -e gate ]; do sleep 0.01; done; exit 3")])
        await here.ear.start("a")
        await until(lambda: here.executor.usage()[f"a-{tmp_path.name}"].processes >= 2)
        (tmp_path / "work" / "gate").touch()
        assert (await here.ear.end("a")).code == 3
        assert here.left("a") == []


async def test_close_ends_every_worker(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.executor.start([here.launch(name, "sleep 60") for name in ("a", "b", "queued")])
        pids = [(await here.ear.start(name)).pid for name in ("a", "b")]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert here.ear.of("queued") == []
