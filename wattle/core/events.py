"""What happened (events) and what must be done (effects).

Laws: an event is a fact in the past tense, frozen, kept for ever in the store, and is applied by `Run.apply`
and nothing else. An effect is an imperative for the shell; performing it ends as a new event. Every event carries
`at`, seconds since the epoch, given by the shell: a stamp for people, never used to decide or to order. Workers
are named by their instance name, and attempts are counted from 1.

An event kept in a store is read by every later version: fields are added with a default, never renamed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Why = Literal["exit", "timeout"]
NotStartedReason = Literal["could-not-start", "input-missing"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """A fact about a run. Plain values make no cycles, and there are many of them: the collector passes them by."""

    at: float = 0.0


class RunOpened(Event, frozen=True, kw_only=True, tag="run-opened"):
    """The run exists; its spec is in the `runs` table."""


class WorkerLaunched(Event, frozen=True, kw_only=True, tag="worker-launched"):
    """The intent to start one process, remembered before it is sent. `nonce` names the attempt for ever."""

    worker: str
    attempt: int
    nonce: str


class WorkerStarted(Event, frozen=True, kw_only=True, tag="worker-started"):
    """The process exists. (`boot`, `pid_ns`, `pid`, `ticks`) is its identity; a bare pid never is."""

    worker: str
    attempt: int
    pid: int
    ticks: int = 0
    boot: str = ""
    pid_ns: str = ""
    executable: str = ""


class WorkerExited(Event, frozen=True, kw_only=True, tag="worker-exited"):
    """The process ended: an exit `code`, or the `signal` that ended it, and what `wait4` said of its cost.

    `why` is `timeout` when the supervisor ended it for that. `outputs` has one entry per declared file or value
    output: (size in bytes, modification time in ns), or None where there is no such file. Seconds, bytes.
    """

    worker: str
    attempt: int
    code: int | None = None
    signal: int | None = None
    why: Why = "exit"
    cpu_user: float = 0.0
    cpu_system: float = 0.0
    max_rss: int = 0
    outputs: dict[str, tuple[int, int] | None] = {}


class WorkerNotStarted(Event, frozen=True, kw_only=True, tag="worker-not-started"):
    """There never was a process: no such executable, no right, no disk, or (`input-missing`) no outside file that
    it reads. `message` says which."""

    worker: str
    attempt: int
    message: str
    reason: NotStartedReason = "could-not-start"


class WorkerWithdrawn(Event, frozen=True, kw_only=True, tag="worker-withdrawn"):
    """A sent attempt was taken back while it was still queued: provably never started."""

    worker: str
    attempt: int


class WorkerLost(Event, frozen=True, kw_only=True, tag="worker-lost"):
    """The attempt is over and its outcome cannot be known. `message` says why."""

    worker: str
    attempt: int
    message: str


class TimerFired(Event, frozen=True, kw_only=True, tag="timer-fired"):
    """The retry delay after this attempt is over."""

    worker: str
    attempt: int


class StopRequested(Event, frozen=True, kw_only=True, tag="stop-requested"):
    """Somebody asked to stop the run, or one worker (or group) of it."""

    worker: str | None = None
    by: str = ""


class RestartRequested(Event, frozen=True, kw_only=True, tag="restart-requested"):
    """Somebody asked to end this running worker and start its next attempt, uncounted."""

    worker: str
    by: str = ""


AnyEvent = (
    RunOpened | WorkerLaunched | WorkerStarted | WorkerExited | WorkerNotStarted | WorkerWithdrawn
    | WorkerLost | TimerFired | StopRequested | RestartRequested
)  # fmt: skip


class StartWorker(msgspec.Struct, frozen=True, gc=False):
    """Send this attempt to the executor."""

    index: int
    attempt: int
    nonce: str


class StopWorker(msgspec.Struct, frozen=True, gc=False):
    """End this attempt's process and all its descendants, or withdraw it while it is queued."""

    index: int
    attempt: int
    nonce: str


class SetTimer(msgspec.Struct, frozen=True, gc=False):
    """Say `TimerFired` after `delay` seconds of a monotonic clock."""

    index: int
    attempt: int
    delay: float


class CloseRun(msgspec.Struct, frozen=True, gc=False):
    """The run has ended; nothing of it is alive."""

    status: str
    reason: str


Effect = StartWorker | StopWorker | SetTimer | CloseRun
