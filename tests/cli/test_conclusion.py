"""What is said when a run has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.cli.replies import NOW, change, group, run, style, worker
from wattle.cli.board import Board
from wattle.cli.conclusion import conclusion, failure_block, last_words, latest_path, short_path, summary_line
from wattle.core.errors import NotFound
from wattle.sdk.client import Client


class Coordinator:
    """Knows one log, one graph and the outputs of `report`."""

    def __init__(self, log: str = "", path: str = "") -> None:
        self.log = log
        self.path = path

    def request(self, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
        if operation == "read_logs":
            return {"chunks": [{"stream": "stdout", "text": "out\n"}, {"stream": "stderr", "text": self.log}]}
        if operation == "get_graph":
            return {"edges": [{"source": "list", "target": "report"}]}
        if operation == "list_outputs" and fields["worker"] == "report":
            return {"outputs": [{"path": self.path, "exists": True, "type": "file"},
                                {"path": "/gone", "exists": False, "type": "file"}]}  # fmt: skip
        raise NotFound(operation)


def told(board: Board, coordinator: Coordinator) -> list[str]:
    return conclusion(board, Client(cast("Any", coordinator)), style())


def test_a_completed_run_says_what_it_cost_and_where_its_results_lie(tmp_path: Path) -> None:
    board = Board()
    board.take(change([worker("list", "completed"), worker("report", "completed")], status="completed",
                      completed_at=NOW))  # fmt: skip
    lines = told(board, Coordinator(path=str(tmp_path / "report.md")))
    assert lines == ["etl@1 completed in 9.0 s · Wattle itself 19 ms · 0 warnings",
                     f"  results   {tmp_path / 'report.md'}"]  # fmt: skip


def test_a_failure_is_a_block_with_the_way_on() -> None:
    failed = worker("clean", "failed", reason="exit", code=1, attempt=2, attempts_allowed=2)
    lines = failure_block("etl@12", failed, "reading\nKeyError: 'x'\n", style())
    assert lines == ["✗ etl@12/clean  failed: exit 1 after 2.0 s (attempt 2 of 2)", "    reading", "    KeyError: 'x'",
                     "  log   wattle logs etl@12/clean          again  wattle rerun etl@12 --from clean"]  # fmt: skip


def test_of_a_group_what_failed_is_rerun_and_a_message_is_shown_once() -> None:
    failed = worker("g.2", "failed", group="g", reason="could-not-start", message="no such program: foo")
    lines = failure_block("etl@1", failed, "", style())
    assert lines[0].startswith("✗ etl@1/g.2  failed: no such program: foo")
    assert len(lines) == 2
    assert lines[1].endswith("wattle rerun etl@1 --failed")


def test_many_failures_show_the_first_and_count_the_others() -> None:
    board = Board()
    board.take(change(group("g", *["failed"] * 9), status="failed", cause="g.1", completed_at=NOW))
    lines = told(board, Coordinator("bad\n"))
    assert sum(line.startswith("✗") for line in lines) == 5
    assert "… and 4 more failed: wattle status etl@1" in lines
    assert lines[-1].startswith("etl@1 failed in 9.0 s (g.1 first)")


def test_warnings_stand_before_the_summary() -> None:
    board = Board()
    board.take({**change([worker("list", "completed")], status="completed"), "warnings": ["list did not write x"]})
    assert told(board, Coordinator())[0] == "  warning   list did not write x"
    assert "1 warning" in summary_line(run(), ["x"], style())


def test_a_run_in_which_nothing_was_stale_says_so() -> None:
    assert summary_line(run(status="completed", started_at=None), [], style()).startswith("etl@1 completed: nothing was stale")


@pytest.mark.parametrize("wrapped", [False, True])
def test_of_a_traceback_the_own_line_and_the_error_remain(tmp_path: Path, wrapped: bool) -> None:
    script = tmp_path / "clean.py"
    body = "import json\ndef load():\n    return json.loads('{x')\n"
    body += "try:\n    1 / 0\nexcept ZeroDivisionError:\n    load()\n" if wrapped else "load()\n"
    script.write_text(body)
    log = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False).stderr
    words = last_words("before\n" + log, "clean")
    assert words[0] == "clean.py, line 3:  return json.loads('{x')"
    assert words[1].startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert len(words) == 2


def test_an_inline_script_goes_by_its_workers_name() -> None:
    log = 'Traceback (most recent call last):\n  File "/x/logs/etl/1/clean/1/script.py", line 3, in <module>\n' \
          "    table = pd.read_csv(raw)[cols]\n            ~~~~^^^^^\nKeyError: 'pricee'\n"  # fmt: skip
    assert last_words(log, "clean") == ["clean, line 3:  table = pd.read_csv(raw)[cols]", "KeyError: 'pricee'"]


def test_an_error_in_a_programs_own_text_has_no_traceback_and_is_told_alike() -> None:
    log = '  File "clean", line 2\n    y = = 2\n        ^\nSyntaxError: invalid syntax\n'
    assert last_words("before\n" + log, "clean") == ["clean, line 2:  y = = 2", "SyntaxError: invalid syntax"]
    assert last_words('  File "clean", line 2\nnothing of the kind') == ['  File "clean", line 2', "nothing of the kind"]


def test_of_any_other_log_the_last_lines_remain() -> None:
    assert last_words("\n".join(map(str, range(30)))) == ["24", "25", "26", "27", "28", "29"]
    assert last_words("") == []
    assert last_words("Traceback (most recent call last):\n  cut off") == ["  cut off"]


def test_control_characters_of_a_log_do_not_reach_the_terminal() -> None:
    lines = failure_block("etl@1", worker("a", "failed", reason="exit", code=1), "\033[2Jbad\n", style())
    assert lines[1] == "    bad"


def test_a_path_goes_by_the_latest_link_when_that_is_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "wattle-runs" / "etl" / "3"
    (run_dir / "report").mkdir(parents=True)
    path = str(run_dir / "report" / "r.md")
    assert latest_path(path, str(run_dir)) == "wattle-runs/etl/3/report/r.md"
    os.symlink("3", run_dir.parent / "latest")
    assert latest_path(path, str(run_dir)) == "wattle-runs/etl/latest/report/r.md"
    assert short_path("/elsewhere/x") == "/elsewhere/x"
    assert short_path("") == ""
