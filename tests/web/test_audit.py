"""The audit file says who changed what, of every attempt, and nothing that was secret."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.doors import Door, opened
from tests.web.test_refusals import Echo
from wattle.core.errors import Conflict, Forbidden
from wattle.core.operations import OPERATIONS, READ, UNRECORDED, Operation
from wattle.web import audit as module
from wattle.web.audit import Audit
from wattle.web.handlers import OperationHandler


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def door(tmp_path: Path, echo: Echo) -> Iterator[Door]:
    audit = Audit(str(tmp_path / "audit.log"), lambda: 1234.5678)
    with opened(tmp_path, lambda: echo, audit=audit) as door:
        yield door
    audit.close()


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_change_leaves_one_line(door: Door, tmp_path: Path) -> None:
    door.ask("POST", "/api/workers/etl@1/a/stop", {})
    door.ask("DELETE", "/api/workflows/etl")
    first, second = lines(tmp_path)
    assert first == {"time": 1234.568, "who": f"uid:{os.getuid()}", "door": "private", "client": "local",
                     "operation": "stop_worker", "address": "etl@1/a", "run": "", "outcome": "ok"}  # fmt: skip
    assert (second["operation"], second["address"]) == ("delete_workflow", "etl")
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])
def test_what_only_looks_leaves_none(door: Door, tmp_path: Path, operation: Operation) -> None:
    if operation.stream:
        return
    target = operation.path.replace("{number}", "7").replace("{", "").replace("}", "")
    door.ask(operation.verb, target, None if operation.verb in {"GET", "DELETE"} else {})
    silent = operation.access == READ or operation.name in UNRECORDED
    assert [line["operation"] for line in lines(tmp_path)] == ([] if silent else [operation.name])


def test_a_refusal_leaves_a_line_too(door: Door, echo: Echo, tmp_path: Path) -> None:
    echo.error = Conflict("still running", "", code="run-active")
    door.ask("DELETE", "/api/workflows/etl")
    door.ask("POST", "/api/workflows", b"{", Content_Type="application/json")
    door.ask("POST", "/api/workflows", b"{", Content_Type="text/plain")
    door.ask("DELETE", "/api/workflows/%ff")
    assert [line["outcome"] for line in lines(tmp_path)] == [
        "run-active", "invalid-request", "unsupported-media-type", "invalid-request",
    ]


def test_nothing_of_a_body_is_written(door: Door, tmp_path: Path) -> None:
    door.ask("POST", "/api/workflows/etl/start", {"environment": {"TOKEN": "hunter2"}, "key": "hunter2"},
             Authorization="token hunter2")  # fmt: skip
    assert len(lines(tmp_path)) == 1
    assert "hunter2" not in (tmp_path / "audit.log").read_text()


def test_on_whose_behalf_somebody_asks_is_kept(door: Door, tmp_path: Path) -> None:
    door.ask("POST", "/api/workflows/etl/stop", X_Wattle_Caller="user:" + "x" * 1000)
    (line,) = lines(tmp_path)
    assert line["who"].startswith(f"uid:{os.getuid()} for user:xxx")
    assert len(line["who"]) == 300


def test_lines_are_added_to_what_is_there(tmp_path: Path, echo: Echo) -> None:
    (tmp_path / "audit.log").write_text('{"old": 1}\n')
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with opened(tmp_path / name, lambda: echo, audit=Audit(str(tmp_path / "audit.log"), lambda: 0.0)) as door:
            door.ask("POST", "/api/workflows/a/stop")
    assert [min(line) for line in lines(tmp_path)] == ["old", "address", "address"]


def test_a_full_file_is_set_aside_and_a_few_old_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL", 100)
    path = tmp_path / "audit.log"
    one, other = (Audit(str(path), lambda: 0.0) for _ in range(2))
    for number in range(40):
        (one if number % 3 else other).record(operation=f"operation {number:02}", address="x" * 40)
    names = [path, *(Path(f"{path}.{old}") for old in (1, 2, 3))]
    assert sorted(tmp_path.iterdir()) == names
    kept = [json.loads(line)["operation"] for name in reversed(names) for line in name.read_text().splitlines()]
    assert kept == [f"operation {number:02}" for number in range(40 - len(kept), 40)], "two writers, nothing lost between"
    assert all(stat.S_IMODE(name.stat().st_mode) == 0o600 and name.stat().st_size < 350 for name in names)
    path.unlink()
    one.record(operation="again")
    assert [line["operation"] for line in lines(tmp_path)] == ["again"], "who takes the file away does not stop it"
    one.close()
    other.close()


def test_a_file_that_cannot_be_written_keeps_nobody_from_working(
    tmp_path: Path, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, lambda: echo, audit=Audit(str(tmp_path / "no" / "audit.log"), lambda: 0.0)) as door:
        assert door.ask("POST", "/api/workflows/a/stop").status == 200
    assert "stop_workflow" in caplog.text


def test_a_door_that_refuses_in_its_own_way_is_recorded(tmp_path: Path, echo: Echo) -> None:
    class Strict(OperationHandler):
        async def prepare(self, **options: Any) -> None:
            raise Forbidden("Nobody is logged in.")

        def caller(self) -> str:
            raise AttributeError

    audit = Audit(str(tmp_path / "audit.log"), lambda: 0.0)
    with opened(tmp_path, lambda: echo, audit=audit, door="jupyter", handler=Strict) as door:
        assert door.ask("POST", "/api/workflows/a/stop").status == 403
    assert [(line["who"], line["door"], line["outcome"]) for line in lines(tmp_path)] == [("nobody", "jupyter", "forbidden")]
