"""Processes as children of the coordinator itself: where no supervisor can live (Windows, no Unix sockets).

It keeps the contract of `core.ports.Executor` but for what needs a process of its own, and says so once:

* workers do not outlive the coordinator: `close` ends them, and after a kill what became of them is lost;
* so there is no history: its journal has a new name each time, and knows nothing;
* on Windows a stop is a CTRL_BREAK, then the end of the whole tree; CPU time and memory are not measured.

Laws: each process has a thread that makes it and waits for it; everything else happens on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from wattle.core.events import AnyEvent, WorkerExited, WorkerNotStarted, WorkerStarted, WorkerWithdrawn
from wattle.core.records import JournalMark, Launch, Usage
from wattle.runtime.environment import CouldNotStart
from wattle.runtime.resolver import Resolver
from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.counters import Counters
from wattle.runtime.supervisor.outcome import outputs_of, status_fields
from wattle.runtime.supervisor.prepare import Refused, explain, prepare
from wattle.runtime.usage import UsageMeter

LOOK_SECONDS = 0.02
LOOKS = 2
"""Empty looks in a row after which nobody is left."""
Sink = Callable[[int, AnyEvent, JournalMark], None]


class InProcessState(msgspec.Struct, frozen=True):
    """What is known at `connect`: nothing."""

    journal: str
    known: frozenset[str] = frozenset()


class _Attempt:
    """One launch on its way."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.nonce: str = told["nonce"]
        self.pid = 0
        self.ticks = 0
        self.why: Any = "exit"
        self.kill_at: float | None = None
        """By the loop's clock, once somebody asked for its end."""
        self.ended = False
        self.news = asyncio.Event()
        """It ended, or somebody asked for its end."""
        self.exit: dict[str, Any] = {}
        self.timer: asyncio.TimerHandle | None = None

    def has_ended(self) -> None:
        """Its process was waited for."""
        self.ended = True
        self.news.set()


class InProcessExecutor:
    """Makes the processes of one coordinator. The arguments are those of `LocalExecutor`; most have no meaning here."""

    supervisor_pid: int | None = None

    def __init__(self, runtime_dir: Path | None = None, *, restart: Sequence[str] = (),
                 restart_environment: Mapping[str, str] | None = None, on_exit: str = "resume",
                 idle_seconds: float = 60.0, on_state: Callable[[str], None] = lambda _text: None) -> None:  # fmt: skip
        del runtime_dir, restart, restart_environment, on_exit, idle_seconds
        self._on_state = on_state
        self._journal = secrets.token_hex(8)
        self._seq = 0
        self._sink: Sink | None = None
        self._resolver = Resolver()
        self._counters = Counters()
        self._queue: deque[_Attempt] = deque()
        self._alive: dict[str, _Attempt] = {}
        self._known: set[str] = set()
        self._meter = UsageMeter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # ---- the port -------------------------------------------------------------------------------------------------

    async def connect(self, sink: Sink, mark: JournalMark | None, epoch: int, store_id: str) -> InProcessState:
        """Begin. There is nothing to replay."""
        del mark, epoch, store_id
        self._sink = sink
        self._on_state("workers run inside this coordinator and end with it")
        return InProcessState(self._journal)

    def base_environment(self, env_id: str, variables: Mapping[str, str]) -> None:
        """Make a base environment known under an id, before the first launch that names it."""
        self._resolver.add(env_id, variables)

    def start(self, launches: Sequence[Launch]) -> None:
        """Queue these attempts. Each ends as started or not-started."""
        for launch in launches:
            if launch.nonce in self._known:
                continue
            self._known.add(launch.nonce)
            try:
                attempt = _Attempt(self._resolver.resolve(launch))
            except CouldNotStart as error:
                self._tell(launch.run, WorkerNotStarted(at=time.time(), worker=launch.worker, attempt=launch.attempt,
                                                        message=str(error)))  # fmt: skip
                continue
            beyond = self._counters.beyond(attempt.told)
            if beyond:
                self._not_started(attempt, Refused(beyond))
                continue
            self._queue.append(attempt)
        self._start_what_fits()

    def stop(self, nonce: str, grace: float) -> None:
        """Withdraw it if it is queued, else TERM, grace, KILL and sweep. Ends as withdrawn or exited."""
        for attempt in self._queue:
            if attempt.nonce == nonce:
                self._queue.remove(attempt)
                self._tell(attempt.told["run"], WorkerWithdrawn(**_whose(attempt)))
                return
        if nonce in self._alive:
            self._end(self._alive[nonce], grace)

    def acknowledge(self, mark: JournalMark) -> None:
        """Nothing is kept, so nothing is forgotten."""

    def busy(self, unfinished: int) -> None:
        """Nobody is there to start another coordinator."""

    def usage(self) -> dict[str, Usage]:
        """What each running attempt takes now, by nonce."""
        return self._meter.read({nonce: (attempt.pid, attempt.ticks)
                                 for nonce, attempt in self._alive.items() if attempt.pid})  # fmt: skip

    async def close(self, *, goodbye: bool = True, drain: bool = False) -> None:
        """End every worker, because nobody could watch them any more."""
        del goodbye, drain
        self._closed = True
        self._queue.clear()
        for attempt in self._alive.values():
            self._end(attempt, attempt.told["grace"])
        while self._tasks:
            await asyncio.wait(self._tasks)

    # ---- starting -------------------------------------------------------------------------------------------------

    def _start_what_fits(self) -> None:
        for attempt in [] if self._closed else self._counters.fitting(self._queue, lambda attempt: attempt.told):
            self._alive[attempt.nonce] = attempt
            task = asyncio.create_task(self._live(attempt))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _live(self, attempt: _Attempt) -> None:
        """The whole life of one attempt."""
        loop = asyncio.get_running_loop()
        made: asyncio.Future[tuple[int, int]] = loop.create_future()
        Thread(target=self._make_and_wait, args=(attempt, loop, made), daemon=True).start()
        try:
            attempt.pid, attempt.ticks = await made
        except Refused as refused:
            self._over(attempt)
            self._not_started(attempt, refused)
            return
        self._tell(attempt.told["run"], WorkerStarted(
            **_whose(attempt), pid=attempt.pid, ticks=attempt.ticks, boot=processes.boot_id(),
            pid_ns=processes.pid_namespace(), executable=attempt.told["executable"],
        ))  # fmt: skip
        if attempt.kill_at is not None:
            _signal_group(attempt.pid, polite=True)
        elif attempt.told.get("timeout"):
            attempt.timer = loop.call_later(attempt.told["timeout"], self._time_out, attempt)
        await self._sweep(attempt)
        self._over(attempt)
        outputs = outputs_of(attempt.told)
        self._tell(attempt.told["run"], WorkerExited(**_whose(attempt), why=attempt.why, outputs=outputs,
                                                     **attempt.exit))  # fmt: skip

    def _make_and_wait(self, attempt: _Attempt, loop: asyncio.AbstractEventLoop,
                       made: asyncio.Future[tuple[int, int]]) -> None:  # fmt: skip
        try:
            prepare(attempt.told, set())
            process = self._popen(attempt.told)
        except Exception as error:  # noqa: BLE001  whatever it is, somebody waits for this attempt
            refused = error if isinstance(error, Refused) else Refused(
                explain(error, attempt.told) if isinstance(error, OSError) else str(error))  # fmt: skip
            _on(loop, made.set_exception, refused)
            return
        entry = processes.look(process.pid)
        _on(loop, made.set_result, (process.pid, entry.ticks if entry else 0))
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            attempt.exit = status_fields(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
            process.returncode = 0
        else:
            attempt.exit = {"code": process.wait(), "signal": None}
        _on(loop, attempt.has_ended)

    def _popen(self, told: dict[str, Any]) -> subprocess.Popen[bytes]:
        """The process in a group of its own. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        out = os.open(told["stdout"], flags, 0o600)
        err = os.open(told["stderr"], flags, 0o600) if "stderr" in told else os.dup(out)
        tag = f"{told['run']}/{told['worker']}/{told['attempt']}/{told['nonce']}"
        env = {**self._resolver.environments[told["env_id"]], **told["env"], "WATTLE_TASK": tag}
        try:
            if sys.platform == "win32":
                return subprocess.Popen(told["argv"], executable=told["executable"], env=env, cwd=told["cwd"],
                                        stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                        creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)  # fmt: skip
            return subprocess.Popen(told["argv"], executable=told["executable"], env=env, cwd=told["cwd"],
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=err, process_group=0)  # fmt: skip
        finally:
            os.close(out)
            os.close(err)

    # ---- ending ---------------------------------------------------------------------------------------------------

    def _time_out(self, attempt: _Attempt) -> None:
        if attempt.kill_at is None and not attempt.ended:
            attempt.why = "timeout"
            self._end(attempt, attempt.told["grace"])

    def _end(self, attempt: _Attempt, grace: float) -> None:
        """Ask it to end. A second request may only shorten the grace."""
        kill_at = asyncio.get_running_loop().time() + grace
        if attempt.kill_at is None and attempt.pid:
            _signal_group(attempt.pid, polite=True)
        attempt.kill_at = kill_at if attempt.kill_at is None else min(kill_at, attempt.kill_at)
        attempt.news.set()

    async def _sweep(self, attempt: _Attempt) -> None:
        """Until the process, and all that belongs to it if its end was asked for, is gone."""
        loop = asyncio.get_running_loop()
        await attempt.news.wait()
        whole = bool(attempt.told.get("whole"))
        search = processes.Search(attempt.nonce, attempt.pid, whole=whole or attempt.kill_at is not None)
        if attempt.kill_at is None and (_signal_group(attempt.pid, polite=True) or whole):
            attempt.kill_at = loop.time() + attempt.told["grace"]
        known: set[tuple[int, int]] = set()
        empty, pause = 0, LOOK_SECONDS
        while attempt.kill_at is not None and empty < LOOKS:
            left = processes.members([search], (os.getpid(),))[attempt.nonce]
            here = bool(left) or not attempt.ended or _has_group(attempt.pid)
            if here:
                _press(attempt, left, known, killing=loop.time() >= attempt.kill_at)
            search.known = known
            empty = 0 if here else empty + 1
            await asyncio.sleep(pause if here else LOOK_SECONDS)
            pause = min(pause * 1.5, LOOK_SECONDS * 10)

    def _over(self, attempt: _Attempt) -> None:
        if attempt.timer is not None:
            attempt.timer.cancel()
        del self._alive[attempt.nonce]
        self._counters.give(attempt.told.get("limits", {}))
        asyncio.get_running_loop().call_soon(self._start_what_fits)

    # ---- telling --------------------------------------------------------------------------------------------------

    def _not_started(self, attempt: _Attempt, refused: Refused) -> None:
        reason: Any = refused.reason
        self._tell(attempt.told["run"], WorkerNotStarted(**_whose(attempt), message=refused.message, reason=reason))

    def _tell(self, run: int, event: AnyEvent) -> None:
        assert self._sink is not None
        self._seq += 1
        self._sink(run, event, JournalMark(self._journal, self._seq))


def _whose(attempt: _Attempt) -> dict[str, Any]:
    return {"at": time.time(), "worker": attempt.told["worker"], "attempt": attempt.told["attempt"]}


def _press(attempt: _Attempt, left: list[processes.Entry], known: set[tuple[int, int]], *, killing: bool) -> None:
    """Ask or kill who is left; whoever left the group is asked once, when first seen."""
    if killing:
        _signal_group(attempt.pid, polite=False)
    for entry in left:
        if entry.group != attempt.pid and (killing or (entry.pid, entry.ticks) not in known):
            processes.send(entry, signal.SIGKILL if killing else signal.SIGTERM)
    known.update((entry.pid, entry.ticks) for entry in left)


def _has_group(pid: int) -> bool:
    """Without a process table, the group is all that can be asked."""
    return sys.platform != "win32" and not processes.HAS_PROC and processes.send_group(pid, 0)


def _on(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Do this on the loop, if there still is one."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)


def _signal_group(pid: int, *, polite: bool) -> bool:
    """Ask a group to end, or end it; whether there was one."""
    if sys.platform == "win32":
        if polite:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.CTRL_BREAK_EVENT)
        else:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return False
    there = processes.send_group(pid, signal.SIGTERM if polite else signal.SIGKILL)
    if polite and there:
        processes.send_group(pid, signal.SIGCONT)
    return there
