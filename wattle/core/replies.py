"""What people get: one struct per kind of answer. Times are seconds since the epoch, durations seconds, sizes bytes.

A status is one of `created running completed failed cancelled`; a phase says more while it is not final (`waiting
ready starting running stopping retrying`), a reason says more when it is `failed` (`exit signal timeout
could-not-start input-missing output-missing lost`) or `cancelled` (`stopped upstream-failed run-failed`).
"""

from __future__ import annotations

from typing import Any

import msgspec


class Reply(msgspec.Struct, kw_only=True, gc=False):
    """The fields of one answer. Answers form no cycles: the collector need not look at ten thousand of them."""


class Done(Reply, kw_only=True):
    """It is done; `message` says what, in a sentence."""

    message: str


class RunSummary(Reply, kw_only=True):
    address: str
    workflow: str
    number: int
    status: str
    phase: str
    reason: str
    cause: str
    """The worker whose failure decided, if one did."""
    created_at: float
    started_at: float | None
    completed_at: float | None
    counts: dict[str, int]
    """Workers by status."""
    origin: str = ""
    overhead: float = 0.0
    """CPU seconds that Wattle itself spent on the run."""


class WorkflowSummary(Reply, kw_only=True):
    name: str
    status: str
    workers: int
    description: str
    source: str
    tags: list[str]
    created_at: float
    updated_at: float
    run: RunSummary | None = None


class WorkflowList(Reply, kw_only=True):
    workflows: list[WorkflowSummary]
    total: int


class WorkflowDetail(WorkflowSummary, kw_only=True):
    document: dict[str, Any]
    """The JSON form of the document."""
    working_dir: str
    revision: int
    etag: str = ""
    """Another text when the document is another: what `if_match` compares."""
    warnings: list[str] = []


class RunList(Reply, kw_only=True):
    runs: list[RunSummary]
    next: int | None = None
    """What to give as `before` for the next page."""
    total: int = 0
    """How many there are on all pages."""


class WorkerState(Reply, kw_only=True):
    """One instance in a run. `group` is the worker with `each` that it belongs to."""

    name: str
    group: str | None
    status: str
    phase: str
    reason: str = ""
    message: str = ""
    attempt: int = 0
    attempts_allowed: int = 1
    code: int | None = None
    signal: int | None = None
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reused_from: str = ""
    stale: bool = False
    """It completed, and today's definition, files or upstreams would make something else. While a run is watched this
    is as it was at the beginning of that."""


class RunDetail(RunSummary, kw_only=True):
    """A run with its workers in document order. `seq` is the newest event in it."""

    workers: list[WorkerState]
    seq: int
    params: dict[str, Any] = {}
    working_dir: str = ""
    run_dir: str = ""
    """The run folder, whether or not it exists yet."""
    limit: int = 0
    """How many of its workers may run at once."""
    warnings: list[str] = []


class RunChange(Reply, kw_only=True):
    """One step of a watched run: all workers in the first one, then only those that changed."""

    run: RunSummary
    workers: list[WorkerState]
    seq: int
    first: bool = False
    limit: int = 0
    run_dir: str = ""
    warnings: list[str] = []


class PlannedWorker(Reply, kw_only=True):
    name: str
    level: int
    """Length of the longest path of workers before it."""
    instances: int
    upstream: list[str]
    command: str
    action: str
    """`run` or `reuse`: what a start would do with it."""
    runs: int = 1
    """How many of its instances would run."""
    why: str = ""
    """Why it runs, or what its results are taken from; of a plain start, why it would with `stale`."""
    estimate: float | None = None
    """Median seconds of its completed attempts in the newest runs."""


class Plan(Reply, kw_only=True):
    workflow: str
    workers: list[PlannedWorker]
    instances: int
    levels: int
    limit: int
    runs: int = 0
    """Instances that would run."""
    reusable: int = 0
    """Instances whose results match: what `stale` takes over."""
    unknown: int = 0
    """Instances that would run and of which nothing tells how long they take."""
    estimate: float | None = None
    """Seconds from the first start to the last end, with `limit` at once."""
    work: float | None = None
    """Seconds of all that would run, one after the other."""
    critical_path: list[str] = []
    critical: float | None = None
    """Seconds of the workers of the critical path: no limit makes it faster."""
    warnings: list[str] = []


class GraphNode(Reply, kw_only=True):
    """A worker or group; `x` and `y` count columns and rows of the layered layout from 0."""

    name: str
    instances: int
    status: str
    counts: dict[str, int]
    x: float
    y: float
    kind: str
    """`command`, `script` or `notebook`."""
    stale: bool = False
    """Some of its results are, as in `WorkerState`."""


class GraphEdge(Reply, kw_only=True):
    source: str
    target: str
    ports: list[str]
    """`output -> input` texts; empty when the edge is only order."""
    stream: bool = False
    """Whether it is a live edge."""


class Graph(Reply, kw_only=True):
    workflow: str
    nodes: list[GraphNode]
    edges: list[GraphEdge]


class TimelineBar(Reply, kw_only=True):
    """One attempt: when its worker was ready, sent, started and ended."""

    name: str
    group: str | None
    attempt: int
    status: str
    ready_at: float | None
    launched_at: float | None
    started_at: float | None
    ended_at: float | None
    critical: bool = False


class Timeline(Reply, kw_only=True):
    run: RunSummary
    bars: list[TimelineBar]


class WorkerProgress(Reply, kw_only=True):
    """What a running worker said of itself at `at`; `fraction` is from 0 to 1, or None when it only said a text."""

    name: str
    fraction: float | None
    text: str
    at: float


class RunProgress(Reply, kw_only=True):
    """Those running workers that say how far they are."""

    workers: list[WorkerProgress]


class Attempt(Reply, kw_only=True):
    attempt: int
    status: str
    phase: str
    reason: str
    message: str
    code: int | None
    signal: int | None
    pid: int | None
    executable: str
    launched_at: float | None
    started_at: float | None
    ended_at: float | None
    cpu_user: float
    cpu_system: float
    max_rss: int
    log: dict[str, str]
    """Stream -> absolute path of the file."""
    log_size: dict[str, int]


class PortDetail(Reply, kw_only=True):
    name: str
    type: str
    variable: str
    """The environment variable that carries it."""
    source: list[str] = []
    """Addresses `worker/output`, or the outside file."""
    path: str = ""


class WorkerDetail(Reply, kw_only=True):
    workflow: str
    name: str
    definition: dict[str, Any]
    run: RunSummary | None
    state: WorkerState | None
    command: list[str] = []
    working_dir: str = ""
    attempts: list[Attempt] = []
    inputs: list[PortDetail] = []
    outputs: list[PortDetail] = []
    instances: list[str] = []


class WorkerSchema(Reply, kw_only=True):
    workflow: str
    name: str
    inputs: list[PortDetail]
    outputs: list[PortDetail]


class WorkerMetrics(Reply, kw_only=True):
    workflow: str
    name: str
    cpu_percent: float | None
    rss: int | None
    processes: int | None
    cpu_user: float
    cpu_system: float
    max_rss: int


class LogChunk(Reply, kw_only=True):
    """Bytes `from_offset` to `to_offset` of one stream: as `text`, or as `base64` when they are not UTF-8.
    `skipped` bytes before it were left out because the reader was slow. `end` is the last chunk's status; `reason`,
    `code` and `signal` say how that came."""

    worker: str
    attempt: int
    stream: str
    from_offset: int
    to_offset: int
    text: str | None = None
    base64: str | None = None
    skipped: int = 0
    position: str = ""
    end: str = ""
    reason: str = ""
    code: int | None = None
    signal: int | None = None


class LogChunks(Reply, kw_only=True):
    chunks: list[LogChunk]
    attempt: int
    sizes: dict[str, int]
    complete: bool
    """The worker has ended and these sizes are final."""


class OutputDetail(Reply, kw_only=True):
    """`value` holds a value's JSON; `exists` tells whether the file is there, `size` and `modified_at` describe it."""

    address: str
    port: str
    type: str
    path: str
    exists: bool
    size: int = 0
    modified_at: float | None = None
    value: Any = None


class OutputList(Reply, kw_only=True):
    outputs: list[OutputDetail]


class OutputPreview(Reply, kw_only=True):
    """What an output begins with. `kind` is `text`, `json` (whole and valid), `image` (whole, in `base64`, of the type
    `media`), `binary` (its first bytes in `base64`), `folder` (its names) or `missing`."""

    address: str
    port: str
    path: str
    exists: bool
    size: int
    kind: str
    media: str = ""
    text: str | None = None
    base64: str | None = None
    truncated: bool = False


class EventLine(Reply, kw_only=True):
    seq: int
    address: str
    type: str
    at: float
    worker: str | None
    event: dict[str, Any]


class TopicItem(Reply, kw_only=True):
    """Something of one topic of many: `message` with what the topic's own stream would say in `data`, `end` with how
    it ended, or `error` with `{code, message, hint}`. `id` is the place in this topic, `position` in all of them."""

    topic: str
    event: str
    id: str
    data: Any
    position: str


class DocumentProblem(Reply, kw_only=True):
    path: str
    message: str
    hint: str
    line: int
    column: int


class Validation(Reply, kw_only=True):
    valid: bool
    name: str = ""
    workers: int = 0
    problems: list[DocumentProblem] = []
    warnings: list[str] = []
    graph: Graph | None = None


class Health(Reply, kw_only=True):
    version: str
    store_id: str
    home: str
    rank: str
    pid: int
    epoch: int
    started_at: float
    ready: bool
    supervisor_pid: int | None
    supervisor_state: str
    unfinished_runs: int
    running_workers: int
    loop_lag_ms: float = 0.0
    bus: str = ""
    """How the bus is, in a sentence."""
    settings: dict[str, list[str]] = {}
    """Setting -> its value and where it comes from."""


class Pruned(Reply, kw_only=True):
    runs: list[str]
    bytes: int
    dry_run: bool
