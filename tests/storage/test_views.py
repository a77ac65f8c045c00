"""What people look at with their own tools: `workflows`, `workers` and `outputs` tell the latest run's truth."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.storage.builders import attempts, definition, run
from wattle.core.models import Each, Input, Output, RunSpec, Source, Worker, Workflow
from wattle.core.records import AttemptRecord, Batch, RunRecord, WorkflowRecord
from wattle.storage.store import SqlStore, open_store

DOCUMENT = Workflow(name="etl", working_dir="/data", workers=(
    Worker(name="fetch", command="python fetch.py", args=("--day", "1"), env_vars={"A": "b"},
           outputs={"raw": Output(path="raw.csv"), "n": Output(type="value")}),
    Worker(name="train", command=("python", "a b.py"), working_dir="/data/t", each=Each(product={"lr": [1, 2, 3]}),
           inputs={"raw": Input(sources=(Source(worker="fetch", output="raw"),))}),
    Worker(name="report", script="cat x", inputs={"x": Input(file="/x"), "all": Input(sources=(
        Source(worker="train", output="m"), Source(worker="fetch", output="n"),
    ))}),
))  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = open_store(tmp_path / "wattle.db")
    made.commit(Batch(workflows={"etl": WorkflowRecord(name="etl", document=DOCUMENT, created_at=1.0, updated_at=2.0)}))
    yield made
    made.close()


@pytest.fixture
def look(store: SqlStore, tmp_path: Path) -> Iterator[Any]:
    """What a stranger's SQLite sees."""
    connection = sqlite3.connect(tmp_path / "wattle.db")
    connection.row_factory = sqlite3.Row

    def select(query: str) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(query)]

    yield select
    connection.close()


def start(store: SqlStore, number: int, **fields: Any) -> None:
    spec = RunSpec(id=number, workflow="etl", number=number, document=DOCUMENT,
                   rows={"train": ({"lr": 1}, {"lr": 2}, {"lr": 3})})  # fmt: skip
    store.commit(Batch(runs={number: RunRecord(spec=spec, created_at=float(number), **fields)}))


def put(store: SqlStore, worker: str, phase: str, attempt: int = 1, number: int = 1, **fields: Any) -> None:
    group = "train" if worker.startswith("train.") else None
    record = AttemptRecord(run=number, worker=worker, group=group, attempt=attempt, phase=phase, **fields)
    store.commit(Batch(attempts=attempts(record)))


def statuses(look: Any) -> dict[str, str]:
    return {row["name"]: row["status"] for row in look("SELECT name, status FROM workers")}


def test_a_worker_is_told_in_the_words_of_its_document(look: Any) -> None:
    fetch, train, report = look("SELECT * FROM workers")
    assert (fetch["workflow_name"], fetch["name"], fetch["command"]) == ("etl", "fetch", "python fetch.py")
    assert (json.loads(fetch["args"]), json.loads(fetch["env_vars"])) == (["--day", "1"], {"A": "b"})
    assert json.loads(fetch["outputs"]) == {"raw": "raw.csv", "n": {"type": "value"}}
    assert (train["command"], train["working_dir"], fetch["working_dir"]) == ("python 'a b.py'", "/data/t", "/data")
    assert json.loads(train["inputs"]) == {"raw": "fetch/raw"}
    assert json.loads(report["inputs"]) == {"x": {"file": "/x"}, "all": ["train/m", "fetch/n"]}
    assert [row["kind"] for row in (fetch, train, report)] == ["command", "command", "script"]


def test_a_workflow_that_never_ran_is_created(look: Any) -> None:
    row = look("SELECT * FROM workflows")[0]
    assert (row["name"], row["working_dir"], row["status"]) == ("etl", "/data", "created")
    assert (row["created_at"], row["updated_at"], row["deleted_at"], row["started_at"]) == (1.0, 2.0, None, None)
    assert statuses(look) == {"fetch": "created", "train": "created", "report": "created"}


def test_a_workflow_is_what_its_latest_run_is(store: SqlStore, look: Any) -> None:
    start(store, 1, status="failed", phase="failed", started_at=1.0, completed_at=2.0)
    put(store, "fetch", "failed", message="exit 3", code=3, ended_at=2.0)
    assert look("SELECT status, completed_at FROM workflows") == [{"status": "failed", "completed_at": 2.0}]
    start(store, 2, status="running", phase="running", started_at=5.0)
    row = look("SELECT status, started_at, completed_at FROM workflows")[0]
    assert row == {"status": "running", "started_at": 5.0, "completed_at": None}
    assert statuses(look)["fetch"] == "created", "what an older run did is not what this one does"


def test_a_worker_is_what_the_phase_of_its_newest_attempt_says(store: SqlStore, look: Any) -> None:
    start(store, 1, status="running", phase="running")
    for phase, status in {"starting": "created", "running": "running", "stopping": "running"}.items():
        put(store, "fetch", phase, pid=7, started_at=1.0)
        assert statuses(look)["fetch"] == status
    put(store, "fetch", "retrying", status="failed", reason="exit", message="exit 1", code=1, pid=7, ended_at=2.0)
    row = look("SELECT status, error_message, completed_at FROM workers WHERE name = 'fetch'")[0]
    assert row == {"status": "running", "error_message": None, "completed_at": None}
    put(store, "fetch", "completed", attempt=2, status="completed", code=0, pid=8, started_at=3.0, ended_at=4.0)
    row = look("SELECT status, error_message, started_at, completed_at, exit_code, pid FROM workers LIMIT 1")[0]
    assert row == {"status": "completed", "error_message": None, "started_at": 3.0, "completed_at": 4.0,
                   "exit_code": 0, "pid": 8}  # fmt: skip


def test_a_failure_tells_its_message_or_else_its_reason(store: SqlStore, look: Any) -> None:
    start(store, 1, status="failed", phase="failed", completed_at=3.0)
    put(store, "fetch", "failed", reason="exit", message="exit 3", code=3)
    put(store, "report", "cancelled", attempt=0, reason="upstream-failed")
    found = {row["name"]: row["error_message"] for row in look("SELECT name, error_message FROM workers")}
    assert found == {"fetch": "exit 3", "train": None, "report": "upstream-failed"}


def test_a_group_is_running_until_every_instance_has_ended(store: SqlStore, look: Any) -> None:
    start(store, 1, status="running", phase="running")
    put(store, "train.1", "starting")
    assert statuses(look)["train"] == "created"
    put(store, "train.1", "completed", started_at=1.0, ended_at=2.0, code=0, pid=5)
    assert statuses(look)["train"] == "running", "two instances have no attempt yet"
    put(store, "train.2", "completed", started_at=1.5, ended_at=9.0)
    put(store, "train.3", "running", started_at=1.5)
    assert statuses(look)["train"] == "running"
    put(store, "train.3", "completed", started_at=1.5, ended_at=3.0)
    row = look("SELECT * FROM workers WHERE name = 'train'")[0]
    assert (row["status"], row["instances"], row["started_at"], row["completed_at"]) == ("completed", 3, 1.0, 9.0)
    assert (row["exit_code"], row["pid"]) == (None, None), "these belong to one process"


@pytest.mark.parametrize(("phases", "status"), [
    (("completed", "failed", "cancelled"), "failed"), (("completed", "cancelled", "completed"), "cancelled"),
])  # fmt: skip
def test_a_group_that_ended_is_as_bad_as_its_worst_instance(
    store: SqlStore, look: Any, phases: tuple[str, ...], status: str
) -> None:
    start(store, 1, status="running", phase="running")
    for n, phase in enumerate(phases, 1):
        put(store, f"train.{n}", phase, message="exit 1" if phase == "failed" else "", reason="why")
    assert statuses(look)["train"] == status


def test_outputs_are_those_that_were_there_at_the_exit(store: SqlStore, look: Any) -> None:
    start(store, 1)
    put(store, "fetch", "completed", outputs={"raw": (12, 1_700_000_000_500_000_000), "gone": None})
    assert look("SELECT * FROM outputs") == [
        {"run": 1, "worker": "fetch", "attempt": 1, "port": "raw", "size": 12, "modified_at": 1_700_000_000.5}
    ]


def test_the_start_of_a_run_leaves_the_stored_document_and_its_workers_alone(store: SqlStore, look: Any) -> None:
    before = look("SELECT rowid FROM worker_definitions")
    changed = store.workflow("etl")
    assert changed is not None
    changed.last_run = 1
    with sqlite3.connect(store._path or "") as guard:
        guard.execute("CREATE TRIGGER t BEFORE DELETE ON worker_definitions BEGIN SELECT raise(ABORT, 'again'); END")
    guard.close()
    store.commit(Batch(workflows={"etl": changed}))
    assert (look("SELECT rowid FROM worker_definitions"), look("SELECT last_run FROM workflows")) == (
        before, [{"last_run": 1}],
    )  # fmt: skip


def test_a_replaced_definition_has_the_new_workers_only(store: SqlStore, look: Any) -> None:
    store.commit(Batch(workflows={"etl": definition("ETL", "other", revision=2)}))
    assert look("SELECT workflow_name, name FROM workers") == [{"workflow_name": "ETL", "name": "other"}]


def test_two_workflows_do_not_see_each_others_runs(store: SqlStore, look: Any) -> None:
    store.commit(Batch(workflows={"b": definition("b", "fetch")}, runs={9: run(9, "b", status="running")},
                       attempts=attempts(AttemptRecord(run=9, worker="fetch", phase="running"))))  # fmt: skip
    found = look("SELECT workflow_name, status FROM workers WHERE name = 'fetch' ORDER BY 1")
    assert found == [{"workflow_name": "b", "status": "running"}, {"workflow_name": "etl", "status": "created"}]
