"""A timeline drawn with characters."""

from __future__ import annotations

from typing import Any

from tests.cli.replies import NOW, run, style
from wattle.cli.style import width
from wattle.cli.timeline import MOST_BARS, timeline


def bar(name: str, *times: float | None, **fields: Any) -> dict[str, Any]:
    ready, launched, started, ended = (None if at is None else NOW - 100 + at for at in times)
    base = {"name": name, "group": None, "attempt": 1, "status": "completed", "ready_at": ready, "launched_at": launched,
            "started_at": started, "ended_at": ended, "critical": False}  # fmt: skip
    return {**base, **fields}


def test_bars_stand_where_their_times_are() -> None:
    found = {"run": run(completed_at=NOW - 90), "bars": [bar("a", 0, 0, 0, 5, critical=True), bar("b", 0, 2, 5, 10)]}
    head, one, two, legend = timeline(found, style()).split("\n")
    assert head == "etl@1  10 s"
    assert one.startswith("◆ a  █")
    assert one.endswith("█  5.0 s")
    assert abs(one.count("█") - two.count("█")) <= 1
    assert two.index("░") < two.index("▒") < two.index("█")
    assert "critical path" in legend


def test_what_runs_goes_on_until_now_and_what_never_started_is_a_mark() -> None:
    found = {"run": run(), "bars": [bar("a", 0, 0, 0, None, status="running"), bar("b", 0, 5, None, 9, attempt=2)]}
    _, one, two, _ = timeline(found, style()).split("\n")
    assert one.endswith("█▸  1 min 40 s")
    assert two.startswith("  b (2)")
    assert "▏" in two
    assert "█" not in two


def test_it_fits_the_width_and_says_what_it_leaves_out() -> None:
    bars = [bar(f"worker{n}", 0, 0, n / 10, n / 10 + 0.05) for n in range(MOST_BARS + 20)]
    lines = timeline({"run": run(completed_at=NOW - 70), "bars": bars}, style(encoding="ascii")).split("\n")
    assert len(lines) == MOST_BARS + 3
    assert all(width(line) <= 100 for line in lines)
    assert "of 220" in lines[-2]


def test_nothing_started_is_said() -> None:
    empty = {"run": run(), "bars": [bar("a", None, None, None, NOW)]}
    assert timeline(empty, style()) == "etl@1: nothing has been started."
