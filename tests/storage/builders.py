"""Records as the coordinator would make them, in few words."""

from __future__ import annotations

from typing import Any

from wattle.core import events as ev
from wattle.core.models import RunOptions, RunSpec, Worker, Workflow
from wattle.core.records import AttemptRecord, RunRecord, WorkflowRecord


def workflow(name: str = "etl", *workers: str) -> Workflow:
    return Workflow(name=name, working_dir="/data", workers=tuple(Worker(name=one, command="true") for one in workers))


def definition(name: str = "etl", *workers: str, **fields: Any) -> WorkflowRecord:
    return WorkflowRecord(name=name, document=workflow(name, *workers), created_at=1.0, updated_at=1.0, **fields)


def run(of: int, name: str = "etl", number: int | None = None, **fields: Any) -> RunRecord:
    """The run with the id `of`, which is its number too unless another is given."""
    spec = RunSpec(id=of, workflow=name, number=number or of, document=workflow(name, "a", "b"), params={"day": "x"},
                   rows={"a": ({"n": 1}, {"n": 2})}, options=RunOptions(jobs=3, origin="a test"))  # fmt: skip
    return RunRecord(spec=spec, created_at=float(of), **fields)


def launched(worker: str = "a", attempt: int = 1, at: float = 1.0) -> ev.AnyEvent:
    return ev.WorkerLaunched(at=at, worker=worker, attempt=attempt, nonce=f"{worker}-{attempt}")


def attempts(*records: AttemptRecord) -> dict[tuple[int, str, int], AttemptRecord]:
    return {(record.run, record.worker, record.attempt): record for record in records}
