"""The static picture of a workflow or a run: an SVG of a few kilobytes, for saved notebooks and pages without us.

Laws: positions are those of `core/layout.py`, so it agrees with the live view; no scripts, no links, no fonts of its
own; every text from outside is escaped; what it shows is legible on white and on black: boxes bring their ground with
them, and what stands outside of boxes is a middle grey.
"""

from __future__ import annotations

from html import escape

from wattle.cli.style import MARKS, clean, clip, duration, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

MOST_NODES = 400
"""Beyond that a picture says nothing that the text does not say better."""
LABEL = 22
ROW, BOX, GAP, MARGIN = 52, 36, 44, 12
CHAR = 8.2
"""Pixels of a cell of text at 12 px."""
BOW = 26
"""How far below the boxes the way back of a loop runs."""
GREY = "#858b93"
GROUND = {"completed": ("#e6f4ea", "#1a7f45"), "running": ("#e3f0fb", "#1a6fb0"), "failed": ("#fbe7e5", "#b8271d"),
          "cancelled": ("#fbf1d9", "#8a6510"), "created": ("#f1f3f5", "#5f6770")}  # fmt: skip
_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def svg(graph: Mapping[str, Any], detail: Mapping[str, Any] | None = None, caption: str = "") -> str:
    """The picture of a `Graph`, with the times of a `RunDetail`; empty when there is nothing to draw, or too much."""
    nodes: Sequence[Mapping[str, Any]] = graph["nodes"]
    if not 0 < len(nodes) <= MOST_NODES:
        return ""
    told = _told(detail)
    columns: dict[float, float] = {}
    for node in nodes:
        wide = max(width(_name(node)) * CHAR + 38, width(_below(node, told)) * 6.0 + 38, 84)
        columns[node["x"]] = max(columns.get(node["x"], 0), wide)
    left, place = float(MARGIN), {}
    for column in sorted(columns):
        place[column] = left
        left += columns[column] + GAP
    top = MARGIN + (22 if caption else 0)
    wide = max(left - GAP + MARGIN, width(caption) * 6.6 + 2 * MARGIN)
    high = top + max(node["y"] for node in nodes) * ROW + BOX + MARGIN
    boxes = {node["name"]: (place[node["x"]], top + node["y"] * ROW, columns[node["x"]]) for node in nodes}
    floor = high - MARGIN
    high += BOW * any(_leads_back(edge, boxes) for edge in graph["edges"])
    label = escape(clean(caption) or str(graph["workflow"]), quote=True)
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
            f'viewBox="0 0 {wide:.0f} {high:.0f}" style="max-width:100%;height:auto" role="img" '
            f'aria-label="{label}">')  # fmt: skip
    parts = [head, f'<g style="{_FONT}" font-size="12">']
    if caption:
        parts.append(_text(MARGIN, MARGIN + 9, caption, GREY))
    parts += _edges(graph["edges"], boxes, floor)
    for node in nodes:
        parts += _box(node, boxes[node["name"]], told)
    return "".join([*parts, "</g></svg>"])


def _edges(edges: Iterable[Mapping[str, Any]], boxes: Mapping[str, tuple[float, float, float]],
           floor: float) -> Iterable[str]:  # fmt: skip
    """From left to right; the way back of a loop runs below the boxes. Live edges are dashed, mere order is dotted."""
    for edge in edges:
        if edge["source"] not in boxes or edge["target"] not in boxes:
            continue
        x, y, wide = boxes[edge["source"]]
        to_x, to_y, to_wide = boxes[edge["target"]]
        dashes = "5 3" if edge.get("stream") else "" if edge["ports"] else "1.5 3"
        if _leads_back(edge, boxes):
            x1, x2, low = x + wide / 2, to_x + to_wide / 2, floor + BOW
            way = f"M{x1:.1f} {y + BOX:.1f}C{x1:.1f} {low:.1f} {x2:.1f} {low:.1f} {x2:.1f} {to_y + BOX:.1f}"
        else:
            x1, y1, x2, y2 = x + wide, y + BOX / 2, to_x, to_y + BOX / 2
            bend = max(18.0, abs(x2 - x1) / 2)
            way = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        yield f'<path d="{way}" fill="none" stroke="{GREY}" stroke-width="1.3"{dashed}/>'


def _leads_back(edge: Mapping[str, Any], boxes: Mapping[str, tuple[float, float, float]]) -> bool:
    ends = boxes.get(edge["source"]), boxes.get(edge["target"])
    return ends[0] is not None and ends[1] is not None and ends[1][0] <= ends[0][0]


def _box(node: Mapping[str, Any], box: tuple[float, float, float], told: Mapping[str, str]) -> list[str]:
    x, y, wide = box
    ground, ink = GROUND.get(node["status"], GROUND["created"])
    below = _below(node, told)
    rect = f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{BOX}" rx="6"'
    parts = [f'{rect} fill="{ground}" stroke="{ink}" stroke-opacity=".55"/>']
    if node["instances"] > 1:
        done = node["counts"].get("completed", 0) / node["instances"]
        parts.append(f'<rect x="{x + 1:.1f}" y="{y + BOX - 4:.1f}" width="{(wide - 2) * done:.1f}" height="3" '
                     f'rx="1.5" fill="{ink}" fill-opacity=".55"/>')  # fmt: skip
    middle = y + (15 if below else 22)
    parts.append(_text(x + 10, middle, MARKS.get(node["status"], "?"), ink))
    parts.append(_text(x + 27, middle, _name(node), "#1f2328", "font-weight:600"))
    if below:
        parts.append(_text(x + 27, y + 28, below, "#59636e", "font-size:10px"))
    return parts


def _name(node: Mapping[str, Any]) -> str:
    count = f" ×{node['instances']}" if node["instances"] > 1 else ""
    return clip(clean(str(node["name"])), LABEL) + count


def _below(node: Mapping[str, Any], told: Mapping[str, str]) -> str:
    """A second line: how far a group is, how long a worker took, why it did not complete."""
    parts = []
    if node["instances"] > 1 and node["status"] != "created":
        parts.append(f"{node['counts'].get('completed', 0)} of {node['instances']}")
    if told.get(node["name"]):
        parts.append(told[node["name"]])
    if node.get("stale"):
        parts.append("stale")
    return " · ".join(parts)


def _told(detail: Mapping[str, Any] | None) -> dict[str, str]:
    """Name of a worker or group -> how long it took, or why it failed."""
    spans: dict[str, tuple[float, float]] = {}
    why: dict[str, str] = {}
    taken: dict[str, str] = {}
    for state in detail["workers"] if detail else ():
        name = state["group"] or state["name"]
        if state["status"] == "failed":
            code = f" {state['code']}" if state["reason"] == "exit" and state["code"] is not None else ""
            why[name] = f"{state['reason']}{code}"
        if state["reused_from"]:
            taken[name] = "taken over"
        elif state["started_at"] is not None and state["ended_at"] is not None:
            low, high = spans.get(name, (state["started_at"], state["ended_at"]))
            spans[name] = min(low, state["started_at"]), max(high, state["ended_at"])
    found = {name: duration(high - low) for name, (low, high) in spans.items()}
    return {**taken, **found, **why}


def _text(x: float, y: float, text: str, ink: str, look: str = "") -> str:
    style = f' style="{look}"' if look else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{ink}"{style}>{escape(clean(text))}</text>'
