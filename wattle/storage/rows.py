"""Records as rows, and rows as records. The order of a row is the order of its table's columns; those of `attempts` are
the fields of the record, so that a row is made without naming them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec

from wattle.core.events import AnyEvent
from wattle.core.models import Input, Output, RunOptions, RunSpec, Worker, Workflow
from wattle.core.names import fold
from wattle.core.records import AttemptRecord, EventRecord, JournalMark, RunHead, RunRecord, WorkflowRecord

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_event = msgspec.json.Decoder(AnyEvent)
_options = msgspec.json.Decoder(RunOptions)
_spec = msgspec.json.Decoder(RunSpec)
_workflow = msgspec.json.Decoder(Workflow)
_mark = msgspec.json.Decoder(JournalMark)
_contents = msgspec.json.Decoder(dict[str, str])
_counts = msgspec.json.Decoder(dict[str, int])
_outputs = msgspec.json.Decoder(dict[str, tuple[int, int] | None])


def text(value: Any) -> str:
    """JSON."""
    return _encode(value).decode()


# ---- records to rows ----------------------------------------------------------------------------------------------


def event_row(seq: int, run: int, event: AnyEvent) -> Row:
    """A row of `events`."""
    return seq, run, _encode(event).decode()


def attempt_row(attempt: AttemptRecord) -> Row:
    """A row of `attempts`."""
    *fields, outputs = msgspec.structs.astuple(attempt)
    return (*fields, _encode(outputs).decode())


def run_row(run: RunRecord) -> Row:
    """A row of `runs`."""
    spec = run.spec
    return (
        spec.id, fold(spec.workflow), spec.workflow, spec.number, run.status, run.phase, run.reason, run.cause,
        run.created_at, run.started_at, run.completed_at, text(run.counts), run.overhead, text(spec.options),
    )  # fmt: skip


def spec_row(run: RunRecord) -> Row:
    """A row of `run_specs`."""
    return run.spec.id, text(run.spec), None if run.contents is None else text(run.contents)


def run_change(run: RunRecord) -> Row:
    """What may change in a row of `runs`, and its id."""
    return (run.status, run.phase, run.reason, run.cause, run.started_at, run.completed_at, text(run.counts),
            run.overhead, run.spec.id)  # fmt: skip


def definition_row(workflow: WorkflowRecord, document: str) -> Row:
    """A row of `definitions`."""
    return (
        fold(workflow.name), workflow.name, workflow.document.working_dir, document, workflow.source, workflow.revision,
        workflow.last_run, workflow.created_at, workflow.updated_at, workflow.deleted_at,
    )  # fmt: skip


def worker_row(key: str, position: int, worker: Worker, working_dir: str) -> Row:
    """A row of `worker_definitions`: what people look for, in the words that they wrote."""
    command = worker.notebook or worker.cell or worker.script or worker.command or ""
    return (
        key, position, worker.name, worker.kind, command if isinstance(command, str) else shlex.join(command),
        text(worker.args), worker.working_dir or working_dir, text(worker.env_vars),
        text({port: _feed(feed) for port, feed in worker.inputs.items()}),
        text({port: _target(port, output) for port, output in worker.outputs.items()}),
    )  # fmt: skip


def _feed(feed: Input) -> object:
    if feed.file is not None:
        return {"object" if feed.object else "file": feed.file}
    sources = [f"{source.worker}/{source.output}" for source in feed.sources]
    return sources[0] if len(sources) == 1 else sources


def _target(port: str, output: Output) -> object:
    if output.type == "file":
        return output.path or output.name or port
    return {"type": output.type}


# ---- rows to records ----------------------------------------------------------------------------------------------


def to_event(row: Sequence[Any]) -> EventRecord:
    """From (seq, run, workflow, number, event)."""
    seq, run, workflow, number, event = row
    return EventRecord(seq=seq, run=run, workflow=workflow, number=number, event=_event.decode(event))


def to_attempt(row: Sequence[Any]) -> AttemptRecord:
    """From a row of `attempts`."""
    *fields, outputs = row
    known = dict(zip(AttemptRecord.__struct_fields__, fields, strict=False))
    return AttemptRecord(**known, outputs=_outputs.decode(outputs))


def to_head(row: Sequence[Any]) -> RunHead:
    """From a row of `runs`."""
    run, _, workflow, number, status, phase, reason, cause, created, started, completed, counts, overhead, options = row
    return RunHead(
        id=run, workflow=workflow, number=number, status=status, phase=phase, reason=reason, cause=cause,
        created_at=created, started_at=started, completed_at=completed, counts=_counts.decode(counts),
        overhead=overhead, options=_options.decode(options),
    )  # fmt: skip


def to_run(row: Sequence[Any]) -> RunRecord:
    """From a row of `runs`, its spec and the contents of its files."""
    *row, spec, contents = row
    head = to_head(row)
    return RunRecord(
        spec=_spec.decode(spec), status=head.status, phase=head.phase, reason=head.reason, cause=head.cause,
        created_at=head.created_at, started_at=head.started_at, completed_at=head.completed_at, counts=head.counts,
        overhead=head.overhead, contents=None if contents is None else _contents.decode(contents),
    )  # fmt: skip


def to_workflow(row: Sequence[Any]) -> WorkflowRecord:
    """From a row of `definitions`."""
    _, name, _, document, source, revision, last_run, created, updated, deleted = row
    return WorkflowRecord(
        name=name, document=_workflow.decode(document), source=source, revision=revision, last_run=last_run,
        created_at=created, updated_at=updated, deleted_at=deleted,
    )  # fmt: skip


def to_mark(value: str) -> JournalMark:
    """From its JSON."""
    return _mark.decode(value)
