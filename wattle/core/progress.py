"""Where one instance of a run stands: its phase, what may follow it, and which status people see.

The picture of the phases and the rules of who goes where are in `core/run.py`.
"""

from __future__ import annotations

from wattle.core.models import Instance
from wattle.core.records import AttemptRecord

FINAL = frozenset({"completed", "failed", "cancelled"})
IN_FLIGHT = frozenset({"starting", "running", "stopping"})
RETRYABLE = frozenset({"exit", "signal", "timeout", "could-not-start", "output-missing"})

TRANSITIONS: dict[str, frozenset[str]] = {
    "waiting": frozenset({"ready", "cancelled", "completed"}),
    "ready": frozenset({"starting", "cancelled"}),
    "starting": frozenset({"running", "stopping", "retrying", "ready", "failed", "completed"}),
    "running": frozenset({"stopping", "retrying", "ready", "completed", "failed"}),
    "stopping": frozenset({"ready", "cancelled", "completed"}),
    "retrying": frozenset({"ready", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""Phase -> the phases that may follow. `waiting -> completed` is a result taken over from an earlier run;
`starting -> completed` is an exit that was stored although its start was not; `stopping -> completed` a service whose
work is done."""

STATUS = {
    "waiting": "created", "ready": "created", "starting": "created", "running": "running", "stopping": "running",
    "retrying": "running", "completed": "completed", "failed": "failed", "cancelled": "cancelled",
}  # fmt: skip


class Progress:
    """Where one instance stands. Changed by `Run` alone; times are the stamps of the events."""

    __slots__ = (
        "after_stop", "attempt", "attempts", "failures", "instance", "message", "nonce", "phase", "pid", "ready_at",
        "reason", "reused_from", "unfinished",
    )  # fmt: skip

    def __init__(self, instance: Instance, unfinished: int) -> None:
        self.instance = instance
        self.phase = "waiting"
        self.reason = ""
        self.message = ""
        self.attempt = 0
        self.nonce = ""
        self.pid: int | None = None
        self.failures = 0
        self.unfinished = unfinished
        self.ready_at: float | None = None
        self.after_stop = ""
        """While stopping: the reason of the cancellation to come, `restart`, or `served` (it will have completed)."""
        self.reused_from = ""
        self.attempts: list[AttemptRecord] = []

    @property
    def status(self) -> str:
        """The status that goes with the phase."""
        return STATUS[self.phase]

    @property
    def latest(self) -> AttemptRecord | None:
        """The newest attempt's record (attempt 0 when it ended without any)."""
        return self.attempts[-1] if self.attempts else None
