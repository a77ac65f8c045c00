"""The supervisor's client: the executor of a coordinator on this machine.

Laws: everything that is sent can be sent again (attempts carry nonces), so a broken connection is mended here and
nobody else notices: connect, hear what happened since the last mark, send again what the supervisor does not know.
What cannot be resolved here (no such program, no such Python) ends the attempt without asking the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wattle.core.errors import Unreachable
from wattle.core.events import AnyEvent, WorkerExited, WorkerLost, WorkerNotStarted, WorkerStarted, WorkerWithdrawn
from wattle.core.records import JournalMark, Launch, Usage
from wattle.runtime.environment import CouldNotStart, find_executable, python_environment
from wattle.runtime.supervisor.launch import launch_supervisor
from wattle.runtime.usage import UsageMeter

PROTOCOL = 1
PATIENCE = 10.0
LINE_LIMIT = 1 << 26
Sink = Callable[[int, AnyEvent, JournalMark], None]


class SupervisorState(msgspec.Struct, frozen=True):
    """What the supervisor knew at `connect`."""

    journal: str
    known: frozenset[str]


class LocalExecutor:
    """Talks to the supervisor of `runtime_dir`, and starts it when there is none.

    `restart` and `restart_environment` are the command with which the supervisor starts a coordinator when this one
    dies with runs unfinished, unless `on_exit` is `pause`. `on_state` hears what becomes of the supervisor.
    """

    def __init__(self, runtime_dir: Path, *, restart: Sequence[str] = (),
                 restart_environment: Mapping[str, str] | None = None, on_exit: str = "resume",
                 idle_seconds: float = 60.0, on_state: Callable[[str], None] = lambda _text: None) -> None:  # fmt: skip
        self._folder = runtime_dir
        self._restart = list(restart)
        self._restart_environment = dict(restart_environment or {})
        self._on_exit = on_exit
        self._idle = idle_seconds
        self._on_state = on_state
        self.supervisor_pid: int | None = None
        self._environments: dict[str, dict[str, str]] = {}
        self._sent: dict[str, dict[str, Any]] = {}
        """Launches whose end was not heard yet."""
        self._pids: dict[str, tuple[int, int]] = {}
        self._meter = UsageMeter()
        self._unfinished = 0
        self._mark = JournalMark("", 0)
        self._sink: Sink | None = None
        self._epoch = 0
        self._store = ""
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    # ---- the port -------------------------------------------------------------------------------------------------

    async def connect(self, sink: Sink, mark: JournalMark | None, epoch: int, store_id: str) -> SupervisorState:
        """Reach the supervisor (start it if there is none) and replay what came after `mark`. Raises Unreachable."""
        self._sink, self._epoch, self._store = sink, epoch, store_id
        self._mark = mark or JournalMark("", 0)
        reader, hello = await self._reach()
        self._heard_hello(hello)
        self._listening = asyncio.create_task(self._listen(reader))
        return SupervisorState(hello["journal"], frozenset(hello["known"]))

    def base_environment(self, env_id: str, variables: Mapping[str, str]) -> None:
        """Make a base environment known under an id, before the first launch that names it."""
        self._environments[env_id] = dict(variables)
        self._say({"do": "env", "id": env_id, "variables": self._environments[env_id]})

    def start(self, launches: Sequence[Launch]) -> None:
        """Queue these attempts. Each ends as started or not-started."""
        ready = []
        for launch in launches:
            try:
                told = self._resolve(launch)
            except CouldNotStart as error:
                self._refuse(launch, str(error))
                continue
            self._sent[launch.nonce] = told
            ready.append(told)
        if ready:
            self._say({"do": "start", "launches": ready})

    def stop(self, nonce: str, grace: float) -> None:
        """Withdraw it if it is queued, else TERM, grace, KILL and sweep. Ends as withdrawn or exited."""
        if nonce in self._sent:
            self._sent[nonce]["stop"] = grace
        self._say({"do": "stop", "nonce": nonce, "grace": grace})

    def acknowledge(self, mark: JournalMark) -> None:
        """Everything up to the mark is stored; the journal may forget it."""
        self._say({"do": "ack", "journal": mark.journal, "seq": mark.seq})

    def busy(self, unfinished: int) -> None:
        """How many runs are unfinished: if the coordinator dies while there are some, it is started again."""
        if unfinished != self._unfinished:
            self._unfinished = unfinished
            self._say({"do": "busy", "unfinished": unfinished})

    def usage(self) -> dict[str, Usage]:
        """What each running attempt takes now, by nonce."""
        return self._meter.read(self._pids)

    async def close(self, *, goodbye: bool = True, drain: bool = False) -> None:
        """Leave; without a goodbye the supervisor starts the next coordinator if runs are unfinished. `drain` also
        ends the supervisor once nothing runs."""
        self._closed = True
        if goodbye:
            self._say({"do": "goodbye", "drain": drain})
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        if self._writer is not None:
            with contextlib.suppress(OSError):
                await self._writer.drain()
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    # ---- what is sent ---------------------------------------------------------------------------------------------

    def _resolve(self, launch: Launch) -> dict[str, Any]:
        """The launch as the supervisor takes it, with its program found. Raises CouldNotStart."""
        base = self._environments[launch.env_id]
        env, argv = launch.env, launch.argv
        if launch.python is not None:
            env = {**python_environment(launch.python, {**base, **env}, launch.cwd), **env}
        if launch.setup:
            argv = ("bash", "-euo", "pipefail", "-c", f'{launch.setup}\nexec "$@"', "wattle-setup", *argv)
        path = env.get("PATH", base.get("PATH", os.defpath))
        told: dict[str, Any] = {name: getattr(launch, name) for name in launch.__struct_fields__}
        own = argv[0] in launch.scripts  # it will be written just before
        told.update(env=env, argv=argv, executable=argv[0] if own else find_executable(argv[0], path, launch.cwd))
        return told

    def _refuse(self, launch: Launch, message: str) -> None:
        assert self._sink is not None
        event = WorkerNotStarted(at=time.time(), worker=launch.worker, attempt=launch.attempt, message=message)
        self._sink(launch.run, event, self._mark)

    def _say(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    # ---- what is heard --------------------------------------------------------------------------------------------

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            line = b""
            with contextlib.suppress(OSError, ValueError):
                line = await reader.readline()
            if not line.endswith(b"\n"):
                reader = await self._mend()
                continue
            message = json.loads(line)
            if "error" in message:
                self._on_state(f"the supervisor refuses: {message['error']}")
                return
            for record in message["events"]:
                self._heard(record)

    async def _mend(self) -> asyncio.StreamReader:
        """The connection broke: find the supervisor again, or its successor."""
        if self._writer is not None:
            self._writer.close()
        self._on_state("the supervisor was lost; looking for its successor")
        while True:
            try:
                reader, hello = await self._reach()
            except Unreachable as error:
                self._on_state(error.message)
                await asyncio.sleep(1.0)
                continue
            self._heard_hello(hello)
            for env_id, variables in self._environments.items():
                self._say({"do": "env", "id": env_id, "variables": variables})
            known = set(hello["known"])
            again = [told for nonce, told in self._sent.items() if nonce not in known]
            self._say({"do": "busy", "unfinished": self._unfinished})
            self._say({"do": "start", "launches": again})
            for nonce, told in self._sent.items():
                if "stop" in told:
                    self._say({"do": "stop", "nonce": nonce, "grace": told["stop"]})
            self._on_state("the supervisor was replaced; everything goes on")
            return reader

    def _heard_hello(self, hello: dict[str, Any]) -> None:
        self.supervisor_pid = hello["pid"]
        if hello["journal"] != self._mark.journal:
            self._mark = JournalMark(hello["journal"], 0)
        for record in hello["events"]:
            self._heard(record)

    def _heard(self, record: dict[str, Any]) -> None:
        assert self._sink is not None
        self._mark = JournalMark(self._mark.journal, record["seq"])
        nonce, kind = record["nonce"], record["k"]
        if kind == "S":
            self._pids[nonce] = (record["pid"], record["ticks"])
        else:
            self._sent.pop(nonce, None)
            self._pids.pop(nonce, None)
        self._sink(record["run"], event_of(record), self._mark)

    # ---- the connection -------------------------------------------------------------------------------------------

    async def _reach(self) -> tuple[asyncio.StreamReader, dict[str, Any]]:
        """A connection and the answer to hello. Raises Unreachable."""
        path = str(self._folder / "supervisor.sock")
        deadline = time.monotonic() + PATIENCE
        launched_at = 0.0
        said = "it does not answer"
        while time.monotonic() < deadline:
            try:
                reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
            except OSError:
                if time.monotonic() - launched_at > 2.0:
                    launched_at = time.monotonic()
                    launch_supervisor(self._folder, self._idle)
                await asyncio.sleep(0.01)
                continue
            answer = await self._greet(reader, writer)
            if "hello" in answer:
                self._writer = writer
                return reader, answer
            writer.close()
            said = str(answer["error"])
            if said == "fenced":
                raise Unreachable("Another coordinator drives the supervisor now.", "wattle doctor", code="fenced")
            await asyncio.sleep(0.05)
        raise Unreachable(f"The supervisor in {self._folder} cannot be reached: {said}.",
                          f"look at {self._folder / 'supervisor.log'}")  # fmt: skip


    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any]:
        """Say hello; the answer, or an error when it is killed in the middle of it."""
        writer.write(msgspec.json.encode({
            "do": "hello", "protocol": PROTOCOL, "store": self._store, "epoch": self._epoch,
            "journal": self._mark.journal, "seq": self._mark.seq, "restart": self._restart,
            "environment": self._restart_environment, "on_exit": self._on_exit,
        }) + b"\n")  # fmt: skip
        try:
            line = await reader.readline()
        except (OSError, ValueError):
            line = b""
        answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"error": "it hung up"}
        return answer


def event_of(record: Mapping[str, Any]) -> AnyEvent:
    """A record of the journal as an event of the run."""
    kind = record["k"]
    told: dict[str, Any] = {"at": record["at"], "worker": record["worker"], "attempt": record["attempt"]}
    if kind == "S":
        return WorkerStarted(**told, pid=record["pid"], ticks=record["ticks"], boot=record["boot"],
                             pid_ns=record["ns"], executable=record["executable"])  # fmt: skip
    if kind == "X":
        outputs = {port: tuple(seen) if seen is not None else None for port, seen in record["outputs"].items()}
        return WorkerExited(
            **told, code=record["code"], signal=record["signal"], why=record["why"], cpu_user=record["cpu_user"],
            cpu_system=record["cpu_system"], max_rss=record["max_rss"], outputs=outputs,
        )  # fmt: skip
    if kind == "N":
        return WorkerNotStarted(**told, message=record["message"], reason=record.get("reason", "could-not-start"))
    if kind == "W":
        return WorkerWithdrawn(**told)
    return WorkerLost(**told, message=record["message"])


