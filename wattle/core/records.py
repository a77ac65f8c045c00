"""What the store keeps: one record per row, and the batch that one transaction writes.

The events are the truth about a run; `RunRecord` and `AttemptRecord` repeat, for queries and people, what
folding the events would tell. They are written in the same transaction as the events that changed them.

What there is one of per attempt is plain values, which make no cycles: `gc=False` spares the collector the look.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from wattle.core.events import AnyEvent
from wattle.core.models import RunOptions, RunSpec, Workflow


class WorkflowRecord(msgspec.Struct, kw_only=True):
    """A definition as stored. `source` is the absolute path of the file or notebook it came from, or empty.

    `revision` grows by one with each replacement. `last_run` is the number of the newest run, 0 before the first;
    it survives deletion, so numbers are never used again. Times are seconds since the epoch.
    """

    name: str
    document: Workflow
    source: str = ""
    revision: int = 1
    last_run: int = 0
    created_at: float = 0.0
    updated_at: float = 0.0
    deleted_at: float | None = None


class RunRecord(msgspec.Struct, kw_only=True):
    """One run: its frozen spec and where it stands. `counts` is workers by status, kept for lists."""

    spec: RunSpec
    status: str = "created"
    phase: str = "waiting"
    reason: str = ""
    cause: str = ""
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    counts: dict[str, int] = {}
    overhead: float = 0.0
    """CPU seconds that Wattle itself spent on this run (coordinator and supervisor)."""
    contents: dict[str, str] | None = None
    """Path -> what the outside files of the run held when it began (`core/identity.py`); None: not known."""


class RunHead(msgspec.Struct, kw_only=True):
    """A run without its document: what lists need."""

    id: int
    workflow: str
    number: int
    status: str
    phase: str
    reason: str
    cause: str
    created_at: float
    started_at: float | None
    completed_at: float | None
    counts: dict[str, int] = {}
    options: RunOptions = RunOptions()
    overhead: float = 0.0


class AttemptRecord(msgspec.Struct, kw_only=True, gc=False):
    """One attempt of one instance; attempt 0 is an instance that ended without any (cancelled, reused).

    `status` and `reason` are the attempt's; `phase` is the instance's for as long as this attempt is its newest, so
    a worker's status follows from the `phase` of its newest attempt.
    """

    run: int
    worker: str
    group: str | None = None
    attempt: int = 0
    nonce: str = ""
    status: str = "created"
    phase: str = "waiting"
    reason: str = ""
    message: str = ""
    code: int | None = None
    signal: int | None = None
    pid: int | None = None
    executable: str = ""
    launched_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    cpu_user: float = 0.0
    cpu_system: float = 0.0
    max_rss: int = 0
    outputs: dict[str, tuple[int, int] | None] = {}


class EventRecord(msgspec.Struct, kw_only=True, gc=False):
    """An event with its place in the store-wide, gap-free order."""

    seq: int
    run: int
    workflow: str
    number: int
    event: AnyEvent


class JournalMark(msgspec.Struct, frozen=True, gc=False):
    """How far the supervisor's journal has been stored: written with the events it caused."""

    journal: str
    seq: int


class Batch(msgspec.Struct, kw_only=True):
    """All that one transaction writes; later records of one key replace earlier ones."""

    events: list[tuple[int, AnyEvent]] = []
    attempts: dict[tuple[int, str, int], AttemptRecord] = {}
    runs: dict[int, RunRecord] = {}
    """Inserted when new (by `spec.id`), else the mutable columns are updated."""
    workflows: dict[str, WorkflowRecord] = {}
    mark: JournalMark | None = None
    keys: dict[str, str] = {}
    """Idempotency keys -> the address of the run that each one started."""
    contents: dict[int, dict[str, str]] = {}
    """Run id -> the contents of its outside files, when these became known after the run was inserted."""

    def __bool__(self) -> bool:
        return bool(self.events or self.attempts or self.runs or self.workflows or self.mark or self.keys
                    or self.contents)


class Launch(msgspec.Struct, kw_only=True, gc=False):
    """Everything the executor needs to make one process: decided by the core, performed by the supervisor.

    `set_aside` renames what an earlier attempt left (old path -> new path, skipped when there is nothing) and `links`
    makes symbolic links (link path -> target text), both before `directories`. `limits` maps a counter
    (`slots`, `run:7`, `group:7/train`, `cpus`, …) to (what this process takes, the total): the supervisor starts the
    attempt when every counter has room, in the order of arrival; `room`, where it is given, is what must be free for
    that instead: the first of a gang waits for room for all of it. `directories` are made
    first (the working directory among them), then `files` are written (path -> text; those in `scripts` become
    executable), then the process starts with `argv` in `cwd`. `env` is laid over the base environment `env_id`.
    `outputs` maps each declared output but streams to its absolute path: the supervisor looks at them at the exit. Of
    an object that path is a stem (`core/objects.py`), and `objects` has the files of which one will be there.
    `whole` says that nothing it started may outlive it, not even what made a session of its own, as kernels do.
    `runner` names the program of Wattle's own that performs `argv`: the executor puts it and its Python before it.
    `required` are outside files that the worker reads: when one is not there, the attempt is not started, with reason
    `input-missing`.
    `stderr` is None when both streams go to `stdout`. Seconds, bytes, absolute paths.
    """

    nonce: str
    run: int
    worker: str
    attempt: int
    argv: tuple[str, ...]
    cwd: str
    env_id: str
    env: dict[str, str]
    stdout: str
    stderr: str | None
    python: str | None = None
    """The selector of §3 (`.venv`, `conda:geo`, `kernel:geo`, a path); the executor resolves it."""
    setup: str = ""
    set_aside: dict[str, str] = {}
    links: dict[str, str] = {}
    directories: tuple[str, ...] = ()
    files: dict[str, str] = {}
    scripts: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    outputs: dict[str, str] = {}
    objects: dict[str, tuple[str, ...]] = {}
    runner: Literal["", "cell", "notebook"] = ""
    whole: bool = False
    timeout: float | None = None
    grace: float = 10.0
    log_limit: int | None = None
    limits: dict[str, tuple[float, float]] = {}
    room: dict[str, tuple[float, float]] = {}


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a running attempt takes now: CPU in percent of one core, resident bytes, number of processes."""

    cpu_percent: float
    rss: int
    processes: int


class OutputRef(msgspec.Struct, frozen=True, gc=False):
    """Where an output of a finished instance lies; `value` holds the JSON of a `value` output."""

    type: str
    path: str
    value: Any = None
