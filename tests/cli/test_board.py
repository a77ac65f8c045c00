"""A run as a person looks at it."""

from __future__ import annotations

import pytest

from tests.cli.replies import NOW, change, group, style, worker
from wattle.cli.board import Board, bar, counts_text, reason_text, what_of, worker_line


def board(*workers: dict[str, object]) -> Board:
    found = Board()
    found.take(change(list(workers)))
    return found


def test_groups_are_one_unit_in_document_order() -> None:
    found = board(worker("list", "completed"), *group("parse", "completed", "running", "created"), worker("merge"))
    assert [(unit.name, unit.kind, unit.done, len(unit.members)) for unit in found.units.values()] == [
        ("list", "completed", 1, 1), ("parse", "running", 1, 3), ("merge", "created", 0, 1)]  # fmt: skip


@pytest.mark.parametrize(("statuses", "kind"), [
    (("completed", "failed", "running"), "failed"), (("completed", "created"), "running"),
    (("completed", "cancelled"), "cancelled"), (("completed", "completed"), "completed"), (("created",), "created"),
])  # fmt: skip
def test_a_group_shows_what_needs_attention_first(statuses: tuple[str, ...], kind: str) -> None:
    assert board(*group("g", *statuses)).units["g"].kind == kind


def test_a_later_step_changes_only_what_it_names() -> None:
    found = board(*group("g", "running", "created"), worker("a"))
    changed = found.take(change([worker("g.1", "failed", group="g", reason="exit", code=3)], first=False))
    assert [state["name"] for state in changed] == ["g.1"]
    assert found.units["g"].kind == "failed"
    assert found.units["a"].kind == "created"
    found.take(change([worker("g.1", "completed", group="g"), worker("g.2", "completed", group="g")], first=False))
    assert found.units["g"].kind == "completed"
    assert found.units["g"].done == 2


def test_a_first_step_again_begins_anew() -> None:
    found = board(worker("a"), worker("b"))
    found.take(change([worker("a", "completed")]))
    assert list(found.units) == ["a"]
    assert list(found.workers) == ["a"]


def test_a_header_says_how_many_and_since_when() -> None:
    text = board(worker("a", "running"), worker("b")).header(style())
    assert text.startswith("etl@1  2 workers · 2 at a time · started ")
    assert board(worker("a")).header(style(encoding="ascii")).startswith("etl@1  1 worker - 2 at a time")


def test_lines_show_mark_time_bar_and_last_word() -> None:
    found = board(worker("list", "completed"), *group("parse", "completed", "running"), worker("merge"))
    lines = found.lines(style(), 20, {"parse.2": "half done", "list": "3 modules"})
    assert lines == ["  ✔ list           2.0 s   3 modules",
                     "  ● parse  1/2     5.0 s   ▮▯  parse.2: half done",
                     "  ○ merge"]  # fmt: skip


def test_a_finished_group_names_its_longest() -> None:
    slow = worker("g.2", "completed", group="g", started_at=NOW - 9, ended_at=NOW - 2)
    lines = board(worker("g.1", "completed", group="g"), slow).lines(style(), 9, {})
    assert lines == ["  ✔ g  2/2     7.0 s   ▮▮  g.2 was longest, 7.0 s"]


def test_many_workers_fold_into_sums_with_the_urgent_ones_above() -> None:
    states = [worker(f"w{n}", "completed" if n < 100 else "created") for n in range(300)]
    states[7] = worker("w7", "failed", reason="exit", code=2)
    states[150] = worker("w150", "running")
    lines = board(*states).lines(style(), 10, {})
    assert [line.split()[1] for line in lines[:-1]] == ["w7", "w100", "w101", "w102", "w150"]
    assert lines[-1] == "  ▮▮▮▯▯▯▯▯▯▯  99 of 300 completed, 1 running, 199 waiting, 1 failed"


@pytest.mark.parametrize("room", [1, 2, 3, 10, 40])
def test_the_block_never_needs_more_room_than_there_is(room: int) -> None:
    states = [worker(f"w{n}", "failed" if n % 3 else "running", reason="exit", code=1) for n in range(100)]
    lines = board(*states).lines(style(), room, {})
    assert len(lines) <= max(2, room)
    if room >= 10:
        assert any("●" in line for line in lines), "failures leave room for what runs"


def test_a_step_of_a_large_run_costs_what_it_changed() -> None:
    found = board(*(worker(f"w{n}") for n in range(20_000)))
    for n in range(2000):
        found.take(change([worker(f"w{n}", "completed")], first=False))
        if n % 100 == 0:
            found.lines(style(), 30, {})
    assert len(found.visible(30)[0]) == 3


@pytest.mark.parametrize(("fields", "text"), [
    ({"reason": "exit", "code": 3}, "exit 3"), ({"reason": "signal", "signal": 9}, "signal 9"),
    ({"reason": "timeout"}, "timeout"), ({"reason": "could-not-start", "message": "no such program"}, "no such program"),
    ({"reason": "stopped", "message": "x"}, "stopped"), ({"reason": "lost"}, "lost"),
    ({"reason": "upstream-failed"}, "a worker before it did not complete"),
])  # fmt: skip
def test_reasons_read_as_words(fields: dict[str, object], text: str) -> None:
    assert reason_text(worker("a", "failed", **fields)) == text


def test_what_is_not_simply_on_its_way_is_said() -> None:
    assert what_of(worker("a", "running"), style()) == ""
    assert what_of(worker("a", "completed", reused_from="etl@1"), style()) == "taken over from etl@1"
    retrying = worker("a", "running", phase="retrying", reason="exit", code=1, attempts_allowed=3)
    assert what_of(retrying, style()) == "exit 1; attempt 2 of 3 follows"
    assert what_of(worker("a", "running", phase="stopping"), style()) == "stopping"


def test_a_worker_in_one_line() -> None:
    assert worker_line(worker("a", "completed", attempt=2), style()) == "✔ a  2.0 s  attempt 2"
    assert worker_line(worker("a", "failed", reason="exit", code=1), style()) == "✗ a  2.0 s  exit 1"


def test_bars_and_counts() -> None:
    assert bar(3, 4, style()) == "▮▮▮▯"
    assert bar(999, 1000, style()) == "▮▮▮▮▮▮▮▮▮▯"
    assert bar(0, 0, style()) == ""
    assert bar(1, 2, style(encoding="ascii")) == "#."
    assert counts_text({"completed": 1200, "running": 2}, 2000) == "1,200 of 2,000 completed, 2 running"
