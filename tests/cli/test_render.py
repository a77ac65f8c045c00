"""Replies as text for people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.replies import NOW, change, group, run, style, worker
from wattle.cli import render
from wattle.cli.documents import Document
from wattle.core.errors import Conflict, DocumentError, Problem


def detail(workers: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    found = change(workers, **fields)
    return {**found["run"], "workers": workers, "seq": 1, "params": {}, "working_dir": "/w", "run_dir": "", "limit": 2,
            "warnings": []}  # fmt: skip


def test_an_error_is_a_sentence_and_what_to_do() -> None:
    assert render.error_text(Conflict("No.", "do this"), style()) == "wattle: No.\n  → do this"
    assert render.error_text(Conflict("No."), style(encoding="ascii")) == "wattle: No."


def test_every_problem_of_a_document_points_at_its_place() -> None:
    document = Document("flow.yaml", "name: x\nworkers:\n  日本: {comand: y}\n", "yaml", "/w", "")
    error = DocumentError("2", [Problem("workers.a.comand", "unknown key", "did you mean 'command'?", 3, 8),
                                Problem("", "no text to point at")])  # fmt: skip
    assert render.document_error_text(error, style(), document).split("\n") == [
        "flow.yaml:3:8  workers.a.comand: unknown key", "      日本: {comand: y}", "             ^",
        "    → did you mean 'command'?", "flow.yaml  no text to point at",
        "2 problems in flow.yaml; nothing was saved or started."]  # fmt: skip


def test_a_caret_finds_its_place_in_an_endless_line() -> None:
    document = Document("x.json", "a" * 5000 + "!" + "b" * 5000, "json", "/w", "")
    error = DocumentError("1", [Problem("", "bad", "", 1, 5001)])
    lines = render.document_error_text(error, style(), document).split("\n")
    assert len(lines[1]) <= 100
    assert lines[1][lines[2].index("^")] == "!"


def test_without_a_document_the_problems_stand_alone() -> None:
    error = DocumentError("1", [Problem("a", "bad", "", 9, 9)])
    assert render.document_error_text(error, style(), None).startswith("document:9:9  a: bad\n")
    assert render.document_error_text(DocumentError("Empty.", []), style(), None) == "wattle: Empty."


def test_the_status_of_a_run_folds_groups_and_names_what_failed_in_them() -> None:
    states = [worker("list", "completed"), *group("g", "completed", "failed")]
    states[2].update(reason="exit", code=4)
    text = render.run_detail(detail(states, status="failed", cause="g.2", completed_at=NOW), style())
    assert text.split("\n")[1:] == [
        "  ✔ list          2.0 s", "  ✗ g     1/2     2.0 s   ▮▯  1 failed", "      ✗ g.2  2.0 s  exit 4",
        "etl@1 failed in 9.0 s (g.2) · Wattle itself 19 ms · 0 warnings", "  wattle logs etl@1/g.2"]  # fmt: skip


def test_the_status_of_a_run_names_what_is_stale_in_it() -> None:
    states = [worker("list", "completed", stale=True), *group("g", "completed", "completed")]
    states[1]["stale"] = states[2]["stale"] = True
    lines = render.run_detail(detail(states, status="completed", completed_at=NOW), style()).split("\n")
    assert lines[-2:] == ["  stale     list, g", "  wattle plan etl --stale  says why"]


def test_lists_are_tables_and_empty_ones_say_how_to_begin() -> None:
    assert "wattle demo" in render.runs({"runs": []}, style())
    assert "wattle demo" in render.workflows({"workflows": []}, style())
    failed = run(status="failed", cause="a", reason="exit", counts={"completed": 2, "failed": 1}, completed_at=NOW)
    head, line = render.runs({"runs": [failed]}, style()).split("\n")
    assert head.split() == ["run", "status", "done", "started", "took"]
    assert line.split()[:4] == ["✗", "etl@1", "failed", "2/3"]
    flow = {"name": "etl", "status": "created", "workers": 2, "description": "", "source": "/a/b.yaml", "run": None}
    assert "never run" in render.workflows({"workflows": [flow]}, style())


def test_a_plan_says_levels_reasons_and_what_it_will_take() -> None:
    group = {"name": "g", "level": 1, "instances": 4, "runs": 4, "upstream": ["a"], "command": "python x.py",
             "estimate": 2.0, "action": "run", "why": "source changed"}  # fmt: skip
    found = {"workflow": "etl", "workers": [group], "instances": 5, "runs": 5, "reusable": 1, "levels": 2, "limit": 2,
             "estimate": 3.0, "work": 9.0, "critical_path": ["a", "g"], "critical": 2.5, "unknown": 1, "warnings": ["mind"]}  # fmt: skip
    lines = render.plan(found, style()).split("\n")
    assert lines[0] == "etl  5 processes in 2 levels, 2 at a time"
    assert lines[2].split() == ["○", "2", "g", "×4", "run", "source", "changed", "2.0", "s", "a", "python", "x.py"]
    assert lines[3] == ("  about 3.0 s, of 9.0 s of work; the longest way is a > g, 2.5 s; 1 never ran, which is not counted")
    assert lines[4] == "  wattle run etl --stale  would run 4 and take over the results of 1, which still hold"
    assert lines[-1].endswith("mind")
    found |= {"runs": 1, "workers": [{**group, "runs": 1}], "estimate": None}
    lines = render.plan(found, style()).split("\n")
    assert lines[0] == "etl  1 of 5 processes run, the results of 4 are taken over, 2 at a time"
    assert "g 1 of 4" in lines[2]
    assert len(lines) == 4


def test_a_worker_shows_ports_attempts_and_logs() -> None:
    attempt = {"attempt": 1, "status": "completed", "reason": "", "started_at": NOW - 2, "ended_at": NOW, "cpu_user": 1.0,
               "cpu_system": 0.5, "max_rss": 1 << 20, "log": {"stdout": "/l/stdout.log"}, "log_size": {"stdout": 12}}  # fmt: skip
    port = {"name": "raw", "type": "file", "source": ["fetch/raw"], "path": ""}
    found = {"workflow": "etl", "name": "clean", "run": run(), "state": worker("clean", "completed", message="odd"),
             "definition": {"command": "python", "args": ["x.py"]}, "command": ["python", "x.py"], "working_dir": "/w",
             "attempts": [{**attempt, "attempt": 0}, attempt],
             "inputs": [port], "outputs": [{**port, "source": [], "path": "/w/out"}], "instances": ["clean.1"]}  # fmt: skip
    text = render.worker_detail(found, style())
    for expected in ("etl@1/clean  ✔ completed", "odd", "command  python x.py", "group of 1", "input    raw (file)  fetch/raw",
                     "output   raw (file)  /w/out", "2.0 s  1.50 s CPU, peak 1.0 MiB", "/l/stdout.log  12 B"):  # fmt: skip
        assert expected in text
    assert text.count("attempt 1") == 1
    cell = {**found, "definition": {"cell": "import os\n# all\ntable = raw\n", "args": ["--x"]}, "command": ["--x"]}
    assert "  cell     table = raw\n" in render.worker_detail(cell, style())


def test_a_workflow_shows_what_its_workers_do_and_follow() -> None:
    document = {"workers": [{"name": "a", "script": "#!/bin/sh\necho hi\n"},
                            {"name": "b", "command": "x", "inputs": {"i": "a/o", "j": ["a/p"]}, "needs": ["c"]},
                            {"name": "c", "notebook": "n.ipynb"}]}  # fmt: skip
    found = {"name": "etl", "workers": 3, "revision": 2, "description": "About.", "working_dir": "/w", "source": "/w/f.yaml",
             "run": run(), "document": document}  # fmt: skip
    lines = [line.split() for line in render.workflow_detail(found, style()).split("\n")]
    assert ["a", "echo", "hi"] in lines
    assert ["b", "x", "a,", "c"] in lines
    assert ["c", "n.ipynb"] in lines


def test_outputs_say_what_is_not_there() -> None:
    base = {"port": "t", "type": "file", "path": "/w/t", "exists": True, "size": 5, "value": None}
    found = {"outputs": [base, {**base, "exists": False}, {**base, "type": "value", "value": {"a": 1}}]}
    lines = render.outputs(found, style()).split("\n")
    assert "5 B" in lines[1]
    assert "not there" in lines[2]
    assert "{'a': 1}" in lines[3] or '{"a": 1}' in lines[3]
    assert render.outputs({"outputs": []}, style()) == "It declares no outputs."


@pytest.mark.parametrize("worker_name", ["clean", None])
def test_an_event_is_a_line_without_what_only_machines_need(worker_name: str | None) -> None:
    found = {"seq": 7, "address": "etl@1", "type": "worker-exited", "at": NOW, "worker": worker_name,
             "event": {"type": "worker-exited", "at": NOW, "worker": "clean", "code": 0, "nonce": "abc", "outputs": {}}}  # fmt: skip
    line = render.event(found, style())
    assert "etl@1/clean" in line if worker_name else "etl@1 " in line
    assert line.endswith("code 0")
    assert "abc" not in line


def test_what_the_doctor_finds_has_a_mark_and_a_way_on() -> None:
    looks = [{"name": "disk", "ok": True, "detail": "fine", "hint": ""}, {"name": "lock", "ok": False, "detail": "held", "hint": "do"}]
    assert [line[0] for line in render.looks(looks, style()).split("\n")] == ["✔", "✗", " "]
