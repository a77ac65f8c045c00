"""The supervisor's client: the executor of a coordinator on this machine.

Laws: everything that is sent can be sent again (attempts carry nonces), so a broken connection is mended here and
nobody else notices: connect, hear what happened since the last mark, send again what the supervisor does not know.
Only a supervisor that kept its journal can say that; where the journal is gone, what was sent is lost, not sent again.
What cannot be resolved here (no such program, no such Python) ends the attempt without asking the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wattle.core.errors import StorageError, Unreachable
from wattle.core.events import AnyEvent, WorkerExited, WorkerLost, WorkerNotStarted, WorkerStarted, WorkerWithdrawn
from wattle.core.records import JournalMark, Launch, Usage
from wattle.runtime.environment import CouldNotStart
from wattle.runtime.resolver import Resolver
from wattle.runtime.supervisor.launch import launch_supervisor, reap_launched
from wattle.runtime.usage import UsageMeter

PROTOCOL = 1
PATIENCE = 10.0
LINE_LIMIT = 1 << 26
ACKNOWLEDGE_EVERY = 256
"""Records. The journal forgets thousands at once, so nobody has to be woken for each commit."""
SOCKET_PATH_BYTES = 103
"""What every system takes: 107 on Linux, 103 on macOS."""
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
        self._resolver = Resolver()
        self._sent: dict[str, dict[str, Any]] = {}
        """Launches whose end was not heard yet."""
        self._open: dict[str, tuple[int, str, int]] = {}
        """Run, worker and attempt of all that has not ended, an earlier coordinator's included."""
        self._unsent: set[str] = set()
        """Those of them that no supervisor can have received."""
        self._stops: dict[str, float] = {}
        self._pids: dict[str, tuple[int, int]] = {}
        self._meter = UsageMeter()
        self._unfinished = 0
        self._mark = self._acknowledged = JournalMark("", 0)
        self._sink: Sink | None = None
        self._epoch = 0
        self._store = ""
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    # ---- the port -------------------------------------------------------------------------------------------------

    async def connect(self, sink: Sink, mark: JournalMark | None, epoch: int, store_id: str) -> SupervisorState:
        """Reach the supervisor (start it if there is none) and replay what came after `mark`.

        Raises:
            Unreachable: no supervisor came; the message says why.
            StorageError: the folder's path is too long for a socket.
        """
        self._sink, self._epoch, self._store = sink, epoch, store_id
        self._mark = mark or JournalMark("", 0)
        reader, hello = await self._reach()
        self._heard_hello(hello)
        self._listening = asyncio.create_task(self._listen(reader))
        return SupervisorState(hello["journal"], frozenset(hello["known"]))

    def base_environment(self, env_id: str, variables: Mapping[str, str]) -> None:
        """Make a base environment known under an id, before the first launch that names it."""
        key = self._resolver.add(env_id, variables)
        if key:
            self._say({"do": "env", "id": key, "variables": self._resolver.environments[key]})

    def start(self, launches: Sequence[Launch]) -> None:
        """Queue these attempts. Each ends as started or not-started."""
        ready = []
        for launch in launches:
            try:
                told = self._resolver.resolve(launch)
            except CouldNotStart as error:
                self._refuse(launch, str(error))
                continue
            self._sent[launch.nonce] = told
            self._open[launch.nonce] = (launch.run, launch.worker, launch.attempt)
            ready.append(told)
        if ready and not self._say({"do": "start", "launches": ready}):
            self._unsent.update(told["nonce"] for told in ready)

    def stop(self, nonce: str, grace: float) -> None:
        """Withdraw it if it is queued, else TERM, grace, KILL and sweep. Ends as withdrawn or exited."""
        self._stops[nonce] = grace
        self._say({"do": "stop", "nonce": nonce, "grace": grace})

    def acknowledge(self, mark: JournalMark) -> None:
        """Everything up to the mark is stored; the journal may forget it."""
        told = self._acknowledged
        if mark.journal == told.journal and mark.seq - told.seq < ACKNOWLEDGE_EVERY:
            return
        self._acknowledged = mark
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

    def _refuse(self, launch: Launch, message: str) -> None:
        assert self._sink is not None
        event = WorkerNotStarted(at=time.time(), worker=launch.worker, attempt=launch.attempt, message=message)
        self._sink(launch.run, event, self._mark)

    def _say(self, message: dict[str, Any]) -> bool:
        """Send it; whether there was a connection to send it on."""
        if self._writer is None or self._writer.is_closing():
            return False
        self._writer.write(msgspec.json.encode(message) + b"\n")
        return True

    # ---- what is heard --------------------------------------------------------------------------------------------

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            line = b""
            with contextlib.suppress(OSError, ValueError):
                line = await reader.readline()
            if not line.endswith(b"\n"):
                reader = await self._mend()
                continue
            message = msgspec.json.decode(line)
            if "error" in message:
                self._on_state(f"the supervisor refuses: {message['error']}")
                return
            if "note" in message:
                self._on_state(message["note"])
            for record in message.get("events", ()):
                self._heard(record)

    async def _mend(self) -> asyncio.StreamReader:
        """The connection broke: find the supervisor again, or its successor."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._on_state("the supervisor was lost; looking for its successor")
        journal = self._mark.journal
        while True:
            try:
                reader, hello = await self._reach()
                break
            except Unreachable as error:
                self._on_state(error.message)
                await asyncio.sleep(1.0)
        self._heard_hello(hello)
        for key, variables in self._resolver.environments.items():
            self._say({"do": "env", "id": key, "variables": variables})
        self._say({"do": "busy", "unfinished": self._unfinished})
        unknown = self._open.keys() - set(hello["known"])
        if hello["journal"] != journal:
            for nonce in unknown - self._unsent:
                self._lost(nonce)
        self._unsent.clear()
        self._say({"do": "start", "launches": [told for nonce, told in self._sent.items() if nonce in unknown]})
        for nonce, grace in self._stops.items():
            self._say({"do": "stop", "nonce": nonce, "grace": grace})
        self._on_state("the supervisor was replaced; everything goes on")
        return reader

    def _lost(self, nonce: str) -> None:
        assert self._sink is not None
        run, worker, attempt = self._open[nonce]
        self._forget(nonce)
        message = "the supervisor's journal is gone, so its outcome cannot be known"
        self._sink(run, WorkerLost(at=time.time(), worker=worker, attempt=attempt, message=message), self._mark)

    def _forget(self, nonce: str) -> None:
        for seen in (self._sent, self._open, self._pids, self._stops):
            seen.pop(nonce, None)

    def _heard_hello(self, hello: dict[str, Any]) -> None:
        reap_launched()
        self.supervisor_pid = hello["pid"]
        if hello["journal"] != self._mark.journal:
            self._mark = JournalMark(hello["journal"], 0)
        for record in hello["events"]:
            self._heard(record)
        self._pids = {task["nonce"]: (task["pid"], task["ticks"]) for task in hello["open"] if task["pid"]}
        for task in hello["open"]:
            self._open[task["nonce"]] = (task["run"], task["worker"], task["attempt"])

    def _heard(self, record: dict[str, Any]) -> None:
        assert self._sink is not None
        self._mark = JournalMark(self._mark.journal, record["seq"])
        nonce, kind = record["nonce"], record["k"]
        if kind == "S":
            self._pids[nonce] = (record["pid"], record["ticks"])
        else:
            self._forget(nonce)
        self._sink(record["run"], event_of(record), self._mark)

    # ---- the connection -------------------------------------------------------------------------------------------

    async def _reach(self) -> tuple[asyncio.StreamReader, dict[str, Any]]:
        """A connection and the answer to hello. Raises Unreachable."""
        path = str(self._folder / "supervisor.sock")
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            raise StorageError(f"The path {path} is too long for a socket.", "choose a shorter folder with --home")
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
            writer.write(self._hello())
            line = b""
            with contextlib.suppress(OSError, ValueError):
                line = await reader.readline()
            answer = msgspec.json.decode(line) if line.endswith(b"\n") else {"error": "it hung up"}
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


    def _hello(self) -> bytes:
        return msgspec.json.encode({
            "do": "hello", "protocol": PROTOCOL, "store": self._store, "epoch": self._epoch,
            "journal": self._mark.journal, "seq": self._mark.seq, "restart": self._restart,
            "environment": self._restart_environment, "on_exit": self._on_exit,
        }) + b"\n"  # fmt: skip


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


