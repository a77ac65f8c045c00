"""The nouns of a workflow, as they are once a document has been read: normal, checked, frozen.

`Workflow` and `Worker` are what a person wrote, brought into one form (`core/document.py` does that, and turns
them back). `Instance` is what a run executes: a worker without `each` becomes one instance of the same name, a
worker with `each` becomes a *group* of instances `train.1 … train.n` (`core/expand.py`).

Laws: everything here is frozen and encodes to JSON by msgspec and back without loss; times are seconds, sizes
are bytes, paths are absolute unless a field says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Mode = Literal["dependency", "sequential", "parallel"]
OnFailure = Literal["stop", "continue"]
Overlap = Literal["refuse", "queue", "allow"]
When = Literal["completed", "ended", "failed"]
OutputType = Literal["file", "value", "object", "stream"]


class _Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Frozen, keyword-only; defaults are left out of the JSON. Plain values make no cycles, and a run holds tens of
    thousands: the collector passes them by."""


class Retry(_Model, frozen=True, kw_only=True):
    """How often a failed worker is tried again: `max` times, `delay` seconds, times `backoff` after each."""

    max: int = 0
    delay: float = 0.0
    backoff: float = 1.0


class Source(_Model, frozen=True, kw_only=True):
    """One end of an edge: an output port of a worker."""

    worker: str
    output: str


class Input(_Model, frozen=True, kw_only=True):
    """An input port: either `sources` (edges) or `file` (a path from outside, not substituted yet).

    `rows` is true when the worker receives a list of rows: a list of sources, or a source with `each`
    that this worker is not paired with. `object` says that the file is a saved variable (`core/objects.py`): a cell
    gets the variable, not its path.
    """

    sources: tuple[Source, ...] = ()
    file: str | None = None
    rows: bool = False
    object: bool = False


class Output(_Model, frozen=True, kw_only=True):
    """An output port. `path` is relative to the working directory and may hold `${…}`; None lets Wattle pick
    the place: the run folder and `name` (the port's name when None)."""

    type: OutputType = "file"
    name: str | None = None
    path: str | None = None


class Each(_Model, frozen=True, kw_only=True):
    """Why a worker becomes a group; exactly one field is set.

    `product`: per name a list, a text that is exactly one `${params.…}`, or `{"glob": pattern}`.
    `rows`: a list of mappings, or one `${params.…}`. `pair`: the name of a worker whose rows are shared.
    """

    product: dict[str, Any] | None = None
    rows: tuple[dict[str, Any], ...] | str | None = None
    pair: str | None = None


class Resources(_Model, frozen=True, kw_only=True):
    """What one instance takes while it runs: cores (may be a fraction), bytes, devices, and seconds of wall time."""

    cpus: float | None = None
    memory: int | None = None
    gpus: int | None = None
    time: float | None = None


class Worker(_Model, frozen=True, kw_only=True):
    """One node of a workflow. Exactly one of `command`, `script`, `cell`, `notebook` is set.

    `owner` says who defined it, where several define into one workflow; it changes nothing of what is run.
    """

    name: str
    command: str | tuple[str, ...] | None = None
    args: tuple[str, ...] = ()
    script: str | None = None
    lang: str = "bash"
    cell: str | None = None
    notebook: str | None = None
    parameters: dict[str, Any] = {}
    kernel: str | None = None
    description: str = ""
    working_dir: str | None = None
    env_vars: dict[str, str] = {}
    python: str | None = None
    setup: str = ""
    inputs: dict[str, Input] = {}
    outputs: dict[str, Output] = {}
    needs: tuple[str, ...] = ()
    when: When = "completed"
    each: Each | None = None
    max_concurrent: int | None = None
    retries: Retry = Retry()
    retry_lost: bool = False
    timeout: float | None = None
    grace: float | None = None
    service: bool = False
    merge_logs: bool | None = None
    log_limit: int | None = None
    files: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    executor: str = "local"
    resources: Resources = Resources()
    owner: str = ""

    @property
    def kind(self) -> str:
        """What it runs: `command`, `script`, `cell` or `notebook`."""
        return next((kind for kind in ("script", "cell", "notebook") if getattr(self, kind) is not None), "command")

    @property
    def merges_logs(self) -> bool:
        """Scripts, cells and notebooks keep one log in true order unless told otherwise; commands keep two."""
        return self.command is None if self.merge_logs is None else self.merge_logs


def executed_copy(notebook: str) -> Output:
    """The output `notebook` of a worker that runs one, where it declares none: the copy with its results."""
    name = notebook.rpartition("/")[2]
    return Output(name="notebook.ipynb" if "${" in notebook else name)


class Workflow(_Model, frozen=True, kw_only=True):
    """A named definition. `working_dir` is absolute: the client resolved it."""

    name: str
    working_dir: str
    workers: tuple[Worker, ...]
    description: str = ""
    params: dict[str, Any] = {}
    mode: Mode = "dependency"
    max_concurrent_workers: int | None = None
    on_failure: OnFailure = "stop"
    overlap: Overlap = "refuse"
    grace: float = 10.0
    env_vars: dict[str, str] = {}
    python: str | None = None
    setup: str = ""
    tags: tuple[str, ...] = ()


class Feed(_Model, frozen=True, kw_only=True):
    """An input port of an instance: pairs of (instance index, output port) in row order, or a file."""

    sources: tuple[tuple[int, str], ...] = ()
    file: str | None = None
    rows: bool = False
    object: bool = False


class Instance(_Model, frozen=True, kw_only=True):
    """One process-to-be of a run. `row` holds its `each` values; `group` is the worker's name when it has `each`.

    `upstream` lists every instance that it waits for, data and `needs` alike, each once, ascending; streams are
    in `inputs` alone.
    """

    index: int
    name: str
    worker: str
    group: str | None = None
    row: dict[str, Any] = {}
    inputs: dict[str, Feed] = {}
    upstream: tuple[int, ...] = ()


class RunOptions(_Model, frozen=True, kw_only=True):
    """What a start may say beyond the document: `-j`, and whose results are taken over."""

    jobs: int | None = None
    reused: dict[str, str] = {}
    """Instance name -> the address `workflow@n` whose result is taken over."""
    renamed: dict[str, str] = {}
    """Instance name -> its name in that run, where it was another: rows of a group move when others come or go."""
    origin: str = ""
    """What made this run when it was not a plain start: `rerun of etl@12`, `start of etl/clean`."""

    def as_made(self, instance: Instance) -> Instance:
        """The instance under the name by which its result was made."""
        name = self.renamed.get(instance.name)
        return instance if name is None else msgspec.structs.replace(instance, name=name)


class RunSpec(_Model, frozen=True, kw_only=True):
    """Everything a run was started with, frozen: it never looks at the workflow again.

    `rows` holds what every `each` became, so that expanding again gives the same instances.
    """

    id: int
    workflow: str
    number: int
    document: Workflow
    params: dict[str, Any] = {}
    rows: dict[str, tuple[dict[str, Any], ...]] = {}
    options: RunOptions = RunOptions()

    @property
    def address(self) -> str:
        """`etl@12`."""
        return f"{self.workflow}@{self.number}"
