"""A real keeper and supervisor in a folder of their own, and an executor that talks to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.helpers import until, wait_until
from wattle.core import events as ev
from wattle.core.records import JournalMark, Launch
from wattle.runtime.local import LocalExecutor, SupervisorState
from wattle.runtime.supervisor import processes

ENVIRONMENT = {"PATH": os.environ["PATH"], "GREETING": "hello"}
ENDS = (ev.WorkerExited, ev.WorkerNotStarted, ev.WorkerWithdrawn, ev.WorkerLost)


class Ear:
    """Hears what an executor reports."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Any, JournalMark]] = []

    def __call__(self, run: int, event: ev.AnyEvent, mark: JournalMark) -> None:
        self.heard.append((run, event, mark))

    def of(self, worker: str) -> list[Any]:
        return [event for _, event, _ in self.heard if event.worker == worker]

    def kinds(self, worker: str) -> list[str]:
        return [type(event).__name__ for event in self.of(worker)]

    async def start(self, worker: str) -> ev.WorkerStarted:
        await until(lambda: self.of(worker))
        event = self.of(worker)[0]
        assert isinstance(event, ev.WorkerStarted), event
        return event

    async def end(self, worker: str) -> Any:
        await until(lambda: any(isinstance(event, ENDS) for event in self.of(worker)))
        return next(event for event in self.of(worker) if isinstance(event, ENDS))


class Place:
    """One runtime directory. `connect` gives the next coordinator's executor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.run.mkdir(mode=0o700)
        self.work = folder / "work"
        self.ear = Ear()
        self.states: list[str] = []
        self.executor = LocalExecutor(self.run)
        self.epoch = 0
        self.pids: set[int] = set()

    async def connect(
        self, *, mark: JournalMark | None = None, store: str = "store", **options: Any
    ) -> SupervisorState:
        self.ear = Ear()
        self.epoch += 1
        self.executor = LocalExecutor(self.run, on_state=self.states.append, **options)
        state = await self.executor.connect(self.ear, mark, self.epoch, store)
        self.executor.base_environment("shell", ENVIRONMENT)
        self.pids |= {self.supervisor, self.keeper}
        return state

    def launch(self, worker: str, *argv: str, **more: Any) -> Launch:
        fields: dict[str, Any] = {
            "nonce": f"nonce-{worker}-{self.folder.name}", "run": 7, "worker": worker, "attempt": 1, "argv": argv,
            "cwd": str(self.work), "env_id": "shell", "env": {}, "stdout": str(self.log(worker)),
            "stderr": None, "grace": 5.0, "limits": {"slots": (1, 4)},
        }  # fmt: skip
        return Launch(**{**fields, **more})

    def shell(self, worker: str, script: str, **more: Any) -> Launch:
        return self.launch(worker, "sh", "-c", script, **more)

    def log(self, worker: str) -> Path:
        return self.folder / "logs" / worker / "1" / "stdout.log"

    def nonce(self, worker: str) -> str:
        return self.launch(worker, "true").nonce

    @property
    def supervisor(self) -> int:
        return int((self.run / "supervisor.lock").read_text())

    @property
    def keeper(self) -> int:
        entry = processes.look(self.supervisor)
        assert entry is not None
        return entry.parent

    def kill_supervisor(self) -> int:
        """Kill it; returns once it is gone."""
        pid = self.supervisor
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not processes.alive(pid, 0))
        return pid

    def left(self, worker: str) -> list[int]:
        """Processes that carry the attempt's tag."""
        nonce = self.nonce(worker)
        return [pid for pid in processes.table() if processes.nonce_of(processes.tag_of(pid)) == nonce
                and processes.alive(pid, 0)]  # fmt: skip

    async def close(self) -> None:
        await self.executor.close(goodbye=False)
        with contextlib.suppress(OSError, ValueError, AssertionError):
            self.pids |= {self.supervisor, self.keeper}
        tagged = [pid for pid in processes.table() if processes.tag_of(pid).endswith(f"-{self.folder.name}")]
        for pid in (*sorted(self.pids), *tagged):
            if pid > 1 and (pid in tagged or _is_ours(pid, str(self.run))):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def _is_ours(pid: int, folder: str) -> bool:
    try:
        return folder.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@contextlib.asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """A short path, because a socket's must be."""
    folder = Path(tempfile.mkdtemp(prefix="w"))
    here = Place(folder)
    try:
        yield here
    finally:
        await here.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_text(path: Path, text: str) -> None:
    """Until a file holds this text."""
    wait_until(lambda: path.exists() and text in path.read_text())


