"""What people ask: one struct per operation. Fields named in the operation's path come from the path, the others
from the query (GET, DELETE) or the JSON body. Unknown fields are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from wattle.core.errors import InvalidRequest
from wattle.core.operations import BY_NAME

Format = Literal["json", "yaml", "toml"]
Status = Literal["created", "running", "completed", "failed", "cancelled"]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""A number of bytes, events or rows: what JSON and SQLite can both hold."""
Limit = Annotated[int, msgspec.Meta(ge=0, le=1000)]
"""Rows of one page."""
Jobs = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""Workers at once."""
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Source = Annotated[str, msgspec.Meta(max_length=4096, pattern=r"^[^\x00]*$")]
"""A file's absolute path, or nothing."""
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name for one request: sent again, with the same one, it starts nothing new. Over HTTP also `Idempotency-Key`."""


class Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields of one question."""


class ListWorkflows(Request, kw_only=True):
    limit: Limit = 500
    offset: Count = 0
    status: Status | None = None
    tag: str | None = None


class CreateWorkflow(Request, kw_only=True):
    """Either `document` (the JSON form) or `text` in `format`. `base_dir` is what a relative working directory
    is relative to; `source` the absolute path of the file the text came from; `replace` takes the name over from
    another source; `name` renames."""

    document: dict[str, Any] | None = None
    text: str | None = None
    format: Format = "yaml"
    base_dir: str | None = None
    source: Source = ""
    name: str | None = None
    replace: bool = False


class ReplaceWorkflow(CreateWorkflow, kw_only=True):
    """`if_match` is the `etag` of the document that is to be replaced, or `*` for any; over HTTP also `If-Match`."""

    workflow: str
    if_match: str | None = None


class GetWorkflow(Request, kw_only=True):
    workflow: str


class DeleteWorkflow(Request, kw_only=True):
    """`if_match` as in `ReplaceWorkflow`."""

    workflow: str
    if_match: str | None = None


class StartWorkflow(Request, kw_only=True):
    """`environment` is the client's whole environment, its tokens stripped; absent, the coordinator's own is used.
    `jobs` is `-j`. `stale`: results of earlier runs that still hold are taken over. `key` makes a repeated request
    start only one run."""

    workflow: str
    params: dict[str, Any] = {}
    jobs: Jobs | None = None
    stale: bool = False
    environment: dict[str, str] | None = None
    key: Key | None = None


class StopWorkflow(Request, kw_only=True):
    workflow: str
    grace: Seconds | None = None


class RerunWorkflow(Request, kw_only=True):
    """`from_worker`: that worker and all below it run again; `failed`: what did not complete, and all below it.
    Neither: everything. The environment is the earlier run's unless one is sent."""

    workflow: str
    from_worker: str | None = None
    failed: bool = False
    jobs: Jobs | None = None
    environment: dict[str, str] | None = None
    key: Key | None = None


class PlanWorkflow(Request, kw_only=True):
    """As `StartWorkflow`. With `document` or `text`, as in `CreateWorkflow`, that is planned in place of what is saved
    under the name, and not saved."""

    workflow: str
    params: dict[str, Any] = {}
    jobs: Jobs | None = None
    stale: bool = False
    environment: dict[str, str] | None = None
    document: dict[str, Any] | None = None
    text: str | None = None
    format: Format = "yaml"
    base_dir: str | None = None


class GetPlan(Request, kw_only=True):
    """As `PlanWorkflow`, of what is saved; `params` is a JSON object, written out."""

    workflow: str
    params: str = "{}"
    jobs: Jobs | None = None
    stale: bool = False


class ListWorkers(Request, kw_only=True):
    workflow: str


class ListRuns(Request, kw_only=True):
    workflow: str
    limit: Limit = 100
    before: Count | None = None
    status: Status | None = None


class ListAllRuns(Request, kw_only=True):
    limit: Limit = 100
    before: Count | None = None
    status: Status | None = None
    active: bool = False


class GetRun(Request, kw_only=True):
    workflow: str
    number: Count


class WatchRun(Request, kw_only=True):
    """`after` is the id of the last picture seen: when nothing has happened since, it is not sent again."""

    workflow: str
    after: Count = 0


class GetGraph(Request, kw_only=True):
    workflow: str


class GetProgress(Request, kw_only=True):
    workflow: str


class GetTimeline(Request, kw_only=True):
    workflow: str


class GetWorker(Request, kw_only=True):
    workflow: str
    worker: str


class DeleteWorker(Request, kw_only=True):
    workflow: str
    worker: str


class StartWorker(Request, kw_only=True):
    workflow: str
    worker: str
    environment: dict[str, str] | None = None
    key: Key | None = None


class StopWorker(Request, kw_only=True):
    workflow: str
    worker: str


class RestartWorker(Request, kw_only=True):
    workflow: str
    worker: str
    key: Key | None = None


class ReadLogs(Request, kw_only=True):
    """`stream` None reads both. Offsets are bytes. `tail` (lines) wins over `offset`. `attempt` None is the newest."""

    workflow: str
    worker: str
    stream: Literal["stdout", "stderr"] | None = None
    attempt: Count | None = None
    offset: Count = 0
    limit: Count = 1 << 20
    tail: Count | None = None


class FollowLogs(Request, kw_only=True):
    """`position` is `attempt.out.err`, the next byte of each file: the id of the last chunk that was seen."""

    workflow: str
    worker: str
    stream: Literal["stdout", "stderr"] | None = None
    position: str | None = None
    tail: Count | None = None


class GetOutput(Request, kw_only=True):
    workflow: str
    worker: str
    port: str


class PutOutput(Request, kw_only=True):
    """`value` is JSON of at most 1 MiB; the last one that is put before the worker ends well counts. With `attempt`
    it is for that attempt only."""

    workflow: str
    worker: str
    port: str
    value: Any
    attempt: Count | None = None


class PutProgress(Request, kw_only=True):
    """`fraction` is between 0 and 1, or null when only a `text` is known. With `attempt` it is for that attempt."""

    workflow: str
    worker: str
    fraction: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    text: Annotated[str, msgspec.Meta(max_length=200)] = ""
    attempt: Count | None = None


class FollowEvents(Request, kw_only=True):
    """`after` is the last sequence number seen; `follow` false ends the stream at the present."""

    workflow: str
    after: Count = 0
    follow: bool = True


class FollowAllEvents(Request, kw_only=True):
    after: Count = 0
    follow: bool = True


class FollowMany(Request, kw_only=True):
    """Up to 32 topics on one stream: `runs` and `logs` are addresses with commas between them (`etl@12,fit@3`;
    `etl@12/clean`), `events` are those of all workflows, after `after` or from now on. `tail` is the lines that each
    log begins with. `position` is the id of the last item seen, for the same topics in the same order."""

    runs: str = ""
    logs: str = ""
    events: bool = False
    after: Count | None = None
    tail: Count | None = None
    position: str | None = None


class ValidateDocument(Request, kw_only=True):
    """With `draw`, a valid document's graph is part of the answer."""

    document: dict[str, Any] | None = None
    text: str | None = None
    format: Format = "yaml"
    base_dir: str | None = None
    draw: bool = False


class GetHealth(Request, kw_only=True):
    pass


class PruneRuns(Request, kw_only=True):
    """Runs that ended more than `older_than` seconds ago, beyond the newest `keep` of each workflow.
    With `dry_run` they are only listed."""

    workflow: str | None = None
    older_than: Seconds = 0.0
    keep: Count = 0
    dry_run: bool = True


class HandOver(Request, kw_only=True):
    """`rank` of the newcomer (`server`, `background`, `foreground`), or None to end the coordinator (`wattle down`).
    `stop_runs` stops what runs first."""

    rank: Literal["server", "background", "foreground"] | None = None
    stop_runs: bool = False


def request_for(name: str, fields: dict[str, Any], *, text: bool = False) -> Request:
    """The request of an operation from plain fields; with `text`, values may be text as in a query.

    Raises:
        InvalidRequest: a field is missing, unknown or of the wrong type; the message names it.
    """
    kind: type[Request] = globals()[BY_NAME[name].request]
    try:
        request = msgspec.convert(fields, kind, strict=not text)
        if text:
            _keep_null(request, fields)
        return request
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__) or "none"
        raise InvalidRequest(f"{name}: {error}", f"its fields are: {known}") from None


def _keep_null(request: Request, fields: Mapping[str, Any]) -> None:
    """Text says `null` and means the word: msgspec takes it for nothing. Raises msgspec.ValidationError."""
    for field in msgspec.structs.fields(request):
        if str(fields.get(field.name, "")).lower() == "null":
            setattr(request, field.name, msgspec.convert(fields[field.name], field.type, strict=True))
