"""Pictures of graphs and timelines. SVG repeats each text in a comment, so tests can read what was drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wattle.core.errors import InvalidRequest
from wattle.core.layout import layout
from wattle.core.replies import Graph, GraphEdge, GraphNode, RunSummary, Timeline, TimelineBar
from wattle.draw import draw_graph, draw_timeline
from wattle.draw.graph import MAX_NODES, _fold, _free
from wattle.draw.timeline import MAX_LINES, _duration, _packed

START = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


def graph(upstream: dict[str, list[str]], **nodes: dict[str, Any]) -> dict[str, Any]:
    """The JSON form of a graph; `nodes` has what is not plain about a worker."""
    names = list(upstream)
    places = layout([[names.index(before) for before in befores] for befores in upstream.values()])
    found = [
        GraphNode(**{"name": name, "instances": 1, "status": "completed", "counts": {}, "x": x, "y": y,
                     "kind": "command", **nodes.get(name, {})})
        for name, (x, y) in zip(names, places, strict=True)
    ]  # fmt: skip
    edges = [GraphEdge(source=before, target=name, ports=["out → raw"]) for name in names for before in upstream[name]]
    return to_json(Graph(workflow="etl", nodes=found, edges=edges))


def bar(name: str, *stamps: float | None, attempt: int = 1, status: str = "completed",
        critical: bool = False) -> TimelineBar:  # fmt: skip
    ready, launched, started, ended = stamps
    return TimelineBar(name=name, group=None, attempt=attempt, status=status, ready_at=ready, launched_at=launched,
                       started_at=started, ended_at=ended, critical=critical)  # fmt: skip


def timeline(*bars: TimelineBar, status: str = "completed", cause: str = "") -> dict[str, Any]:
    run = RunSummary(address="etl@12", workflow="etl", number=12, status=status, phase=status, reason="", cause=cause,
                     created_at=0, started_at=0, completed_at=None, counts={})  # fmt: skip
    return to_json(Timeline(run=run, bars=list(bars)))


def to_json(reply: Any) -> dict[str, Any]:


    result: dict[str, Any] = msgspec.to_builtins(reply)
    return result


def texts(path: Path) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", path.read_text(), re.DOTALL)


COMPARE: dict[str, list[str]] = {"fetch": [], "clean": ["fetch"], "train": ["clean"], "report": ["train", "fetch"]}
NINE = {"instances": 9, "status": "failed", "counts": {"completed": 7, "failed": 2}, "kind": "script"}


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_the_suffix_says_what_is_written_and_the_same_answer_is_the_same_picture(tmp_path: Path, form: str) -> None:
    bars = timeline(bar("a", 0, 1, 2, 3), bar("b", 3, 4, 5, None, status="running"))
    for draw, answer in ((draw_graph, graph(COMPARE, train=NINE)), (draw_timeline, bars)):
        first, second = tmp_path / f"1.{form}", tmp_path / f"2.{form.upper()}"
        draw(answer, str(first))
        draw(answer, str(second))
        assert first.read_bytes().startswith(START[form])
        assert first.read_bytes() == second.read_bytes()


def test_a_graph_shows_names_kinds_counts_ports_and_a_legend(tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    draw_graph(graph(COMPARE, train=NINE), str(path))
    shown = texts(path)
    assert {"etl", "12 workers", "fetch", "clean", "train", "report", "completed", "failed"} <= set(shown)
    assert "script  ×9  ✔7  ✖2" in shown
    assert shown.count("out → raw") == 4
    assert "cancelled" not in shown


@pytest.mark.parametrize("count", [0, 1, 30])
def test_graphs_of_any_size_have_all_their_names(tmp_path: Path, count: int) -> None:
    path = tmp_path / "graph.svg"
    draw_graph(graph({f"w{i}": [f"w{i // 2}"] if i > 1 else [] for i in range(count)}), str(path))
    assert {text for text in texts(path) if re.fullmatch(r"w\d+", text)} == {f"w{i}" for i in range(count)}


def test_names_are_never_read_as_mathematics_and_long_ones_keep_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    draw_graph(graph({"數據-1": [], "_a_b$c$": [], "x" * 40 + ".12345": []}), str(path))
    assert "_a_b$c$" in texts(path)
    assert any(re.fullmatch("x+…x+.12345", text) for text in texts(path))


def test_three_hundred_boxes_are_drawn_and_more_are_folded_when_they_look_alike() -> None:
    fan = {"start": [], **{f"mid-{i}": ["start"] for i in range(MAX_NODES - 2)}, "end": ["mid-0"]}
    assert len(_fold(graph(fan))) == MAX_NODES
    fan = {"start": [], **{f"mid-{i}": ["start"] for i in range(400)}}
    fan["end"] = [name for name in fan if name != "start"]
    folded = _fold(graph(fan, **{"mid-3": {"status": "failed", "instances": 5}}))
    assert {node["name"] for node in folded.nodes.values()} == {"start", "mid-0 … mid-399", "end"}
    middle = folded.nodes["mid-0"]
    assert (middle["status"], middle["kind"]) == ("failed", "400 workers")
    assert middle["counts"] == {"completed": 399, "failed": 5}
    assert [(node["x"], node["y"]) for node in folded.nodes.values()] == [(0, 0), (1, 0), (2, 0)]
    assert sorted(folded.edges) == [("mid-0", "end"), ("start", "mid-0")]


def test_a_tangle_is_folded_by_its_columns(tmp_path: Path) -> None:
    tangle: dict[str, list[str]] = {f"w{i}": [] for i in range(50)}
    for i in range(50, 1000):
        before = i - i % 50
        tangle[f"w{i}"] = sorted({f"w{i * 7 % before}", f"w{before - 1}"})
    folded = _fold(graph(tangle))
    assert len(folded) <= MAX_NODES
    assert sum(node["instances"] for node in folded.nodes.values()) == 1000
    draw_graph(graph(tangle), str(tmp_path / "graph.svg"))
    assert "1,000 workers" in texts(tmp_path / "graph.svg")


def test_a_line_passes_a_column_where_no_box_is() -> None:
    assert _free(1.0, [5.0]) == 1.0
    assert _free(5.1, [5.0]) == pytest.approx(4.9)
    assert _free(5.5, [5.0]) == pytest.approx(5.71)
    assert _free(5.1, [5.0, 4.3]) == pytest.approx(5.71)


def test_a_timeline_shows_each_worker_once_its_attempts_and_what_was_critical(tmp_path: Path) -> None:
    path = tmp_path / "time.svg"
    draw_timeline(timeline(
        bar("late", 4, 4.5, 5, 9, critical=True), bar("early", 0, 0.1, 0.2, 4, attempt=2, status="failed"),
        bar("early", None, -3, -2, -1, attempt=1, status="failed"), bar("never", 1, None, None, None),
        bar("stuck", 1, 2, None, 3, status="failed"), status="failed", cause="early",
    ), str(path))  # fmt: skip
    shown = texts(path)
    names = [text for text in shown if text in {"late", "early", "never", "stuck"}]
    assert names == ["early", "stuck", "late"]
    assert "failed (early) · 12.0 s · 3 workers · 4 attempts" in shown
    assert {"1", "2", "✖", "waiting", "start-up", "completed", "failed", "critical path"} <= set(shown)
    assert "running" not in shown


def test_an_empty_run_is_a_picture_too(tmp_path: Path) -> None:
    path = tmp_path / "time.svg"
    draw_timeline(timeline(status="created"), str(path))
    assert {"etl@12", "created · 0 workers", "No worker was started."} <= set(texts(path))


def test_a_run_of_no_length_is_drawn(tmp_path: Path) -> None:
    draw_timeline(timeline(bar("a", 5, 5, 5, 5)), str(tmp_path / "time.png"))
    assert (tmp_path / "time.png").stat().st_size > 0


def test_many_workers_are_packed_into_the_places_in_which_they_ran(tmp_path: Path) -> None:
    bars = [bar(f"w{i}", 0, i // 4, i // 4, i // 4 + 1) for i in range(MAX_LINES + 100)]
    path = tmp_path / "time.svg"
    draw_timeline(timeline(*bars), str(path))
    assert "completed · 1 min 40 s · 400 workers · one line per place in which workers ran" in texts(path)
    assert "waiting" not in texts(path)
    lines = _packed([{"name": one.name, "launched_at": one.launched_at, "started_at": one.started_at,
                      "ended_at": one.ended_at} for one in bars], 100)  # fmt: skip
    assert len(lines) == 4
    assert sum(map(len, lines.values())) == 400
    for line in lines.values():
        assert all(line[i]["ended_at"] <= line[i + 1]["launched_at"] for i in range(len(line) - 1))


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (0.0123, None, "0.012 s"), (2.1, None, "2.1 s"), (90, None, "1 min 30 s"), (3660, None, "1 h 1 min"),
        (0, 600, "0 s"), (600, 600, "10 min"), (5400, 1800, "1 h 30 min"), (7200, 3600, "2 h"), (0.25, 0.05, "0.25 s"),
        (61, 5, "61 s"), (90, 30, "1 min 30 s"),
    ],
)  # fmt: skip
def test_durations_are_said_as_people_say_them(seconds: float, step: float | None, text: str) -> None:
    assert _duration(seconds, step) == text


@pytest.mark.parametrize("name", ["graph.bmp", "graph", "graph.svg.gz"])
def test_an_unknown_suffix_is_refused_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    for draw, answer in ((draw_graph, graph({"a": []})), (draw_timeline, timeline())):
        with pytest.raises(InvalidRequest, match=r"\.svg, \.png, \.pdf") as caught:
            draw(answer, str(tmp_path / name))
        assert caught.value.hint.startswith("--out graph")
    assert not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    for path in (tmp_path / "missing" / "graph.svg", tmp_path / "folder.svg"):
        with pytest.raises(InvalidRequest, match="cannot be written") as caught:
            draw_graph(graph({"a": []}), str(path))
        assert "--out" in caught.value.hint


def test_the_way_back_of_a_loop_runs_below_the_boxes_and_live_edges_are_dashed(tmp_path: Path) -> None:
    found = graph({"engine": [], "controller": ["engine"]})
    found["edges"] = [{"source": "engine", "target": "controller", "ports": ["state → state"], "stream": True},
                      {"source": "controller", "target": "engine", "ports": ["force → force"], "stream": True}]  # fmt: skip
    draw_graph(found, str(tmp_path / "loop.svg"))
    draw_graph({**found, "edges": found["edges"][:1]}, str(tmp_path / "line.svg"))
    loop, line = (tmp_path / "loop.svg").read_text(), (tmp_path / "line.svg").read_text()
    assert {"state", "force"} <= set(texts(tmp_path / "loop.svg"))
    assert loop.count("stroke-dasharray") == 2 * line.count("stroke-dasharray") > 0

    def height(svg: str) -> float:
        told = re.search(r'height="([0-9.]+)pt"', svg)
        assert told is not None
        return float(told[1])

    assert height(loop) > height(line), "the way back has room"
