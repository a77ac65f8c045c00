"""A workflow's graph as a picture: boxes from left to right where `core/layout.py` puts them, like the live view."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import networkx as nx
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from wattle.core.graph import loopless
from wattle.core.layout import layout
from wattle.draw.page import (
    COLOURS,
    INK,
    MARGIN,
    PALE,
    PAPER,
    SIGNS,
    form_of,
    legend,
    sheet,
    shorten,
    style,
    text_width,
    tint,
    write,
)  # fmt: skip

MAX_NODES = 300
"""With more boxes, those that look alike are folded into one."""
LABELLED_EDGES = 24
BOX_HEIGHT, ROW_GAP, COLUMN_GAP = 0.54, 0.24, 0.75
BOW = 0.5
"""How far below the boxes the way back of a loop bends; its lowest point is at three quarters of that."""
CHARACTER, PADDING = 0.092, 0.52
"""Inches."""


def draw_graph(graph: Mapping[str, Any], path: str) -> None:
    """Write a picture of a workflow's graph.

    Raises:
        InvalidRequest: no picture is written under that suffix, or the file cannot be written.
    """
    form = form_of(path)
    with style():
        write(_GraphPicture(graph["workflow"], _fold(graph)).figure, path, form)


def _fold(graph: Mapping[str, Any]) -> nx.DiGraph:
    """The graph with at most about `MAX_NODES` boxes: those with the same neighbours become one, and if that is not
    enough, those that stand together in a column."""
    picture = nx.DiGraph()
    for node in graph["nodes"]:
        picture.add_node(node["name"], **node, members=1)
    for edge in graph["edges"]:
        picture.add_edge(edge["source"], edge["target"], ports=list(edge["ports"]), stream=edge.get("stream", False))
    if len(picture) > MAX_NODES:
        alike = {key: (frozenset(picture.pred[key]), frozenset(picture.succ[key])) for key in picture}
        picture = _merge(picture, alike)
    if len(picture) > MAX_NODES:
        columns: dict[float, list[str]] = {}
        for key, node in sorted(picture.nodes.items(), key=lambda item: float(item[1]["y"])):
            columns.setdefault(node["x"], []).append(key)
        size = math.ceil(len(picture) / max(1, MAX_NODES - len(columns)))
        kinds = {key: (x, place // size) for x, keys in columns.items() for place, key in enumerate(keys)}
        picture = _merge(picture, kinds)
    return picture


def _merge(picture: nx.DiGraph, kinds: Mapping[str, Hashable]) -> nx.DiGraph:
    """The graph with one node per kind, laid out anew."""
    together: dict[Hashable, list[str]] = {}
    for key, kind in kinds.items():
        together.setdefault(kind, []).append(key)
    result = nx.DiGraph()
    leader: dict[str, str] = {}
    for keys in together.values():
        leader.update(dict.fromkeys(keys, keys[0]))
        nodes = [picture.nodes[key] for key in keys]
        result.add_node(keys[0], **(nodes[0] if len(nodes) == 1 else _merged(nodes)))
    edges = {(leader[source], leader[target]) for source, target in picture.edges()}
    result.add_edges_from(sorted(edge for edge in edges if edge[0] != edge[1]), ports=[], stream=False)
    number = {key: place for place, key in enumerate(result)}
    places = layout(loopless([sorted(number[before] for before in result.pred[key]) for key in result]))
    for key, (x, y) in zip(result, places, strict=True):
        result.nodes[key].update(x=x, y=y)
    return result


def _merged(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for node in nodes:
        counts.update(node["counts"] or {node["status"]: node["instances"]})
    members = sum(node["members"] for node in nodes)
    urgent = ("failed", "running", "cancelled", "created", "completed")
    return {
        "name": f"{nodes[0]['name'][:12]} … {nodes[-1]['name'][-12:]}", "kind": f"{members} workers",
        "members": members, "instances": sum(node["instances"] for node in nodes), "counts": dict(counts),
        "status": next(status for status in urgent if status in counts),
    }  # fmt: skip


class _GraphPicture:
    """Boxes from left to right. Data units are inches, downwards from the upper left corner."""

    def __init__(self, workflow: str, picture: nx.DiGraph) -> None:
        self.picture = picture
        self.labelled = picture.number_of_edges() <= LABELLED_EDGES
        columns = sorted({node["x"] for node in picture.nodes.values()})
        self.column = {x: place for place, x in enumerate(columns)}
        self.spans = self._place_columns(len(columns))
        self.top = 0.75
        lowest = max((self._y(node) for node in picture.nodes.values()), default=self.top) + BOX_HEIGHT
        self.taken: list[list[float]] = [[] for _ in columns]
        for node in picture.nodes.values():
            self.taken[self.column[node["x"]]].append(self._y(node))
        routes = [(self._route(source, target), told) for source, target, told in picture.edges.data()]
        lowest = max([lowest, *(y for route, _ in routes for _, y in route)])
        lowest += BOW / 2 * any(self._leads_back(source, target) for source, target in picture.edges())
        statuses = [status for status in COLOURS if any(status in _statuses(node) for node in picture.nodes.values())]
        right = max([span[1] for span in self.spans] + [0.12 * text_width(workflow) + MARGIN, 1.0 * len(statuses)])
        self.figure, self.axes = sheet(right + 2 * MARGIN, lowest + 0.75)
        number = sum(node["instances"] for node in picture.nodes.values())
        self.axes.text(MARGIN, 0.36, workflow, fontsize=13, weight="bold", color=INK, va="center")
        self.axes.text(MARGIN, 0.58, f"{number:,} worker{'s' * (number != 1)}", fontsize=8.5, color=PALE, va="center")
        for route, told in routes:
            self._draw_edge(route, told["ports"], stream=told["stream"])
        for node in picture.nodes.values():
            self._draw_box(node)
        legend(self.axes, [(COLOURS[status], SIGNS[status], status) for status in statuses], MARGIN, lowest + 0.42)

    def _place_columns(self, count: int) -> list[tuple[float, float]]:
        """Left and right edge of each column; the gaps grow with what runs through them."""
        widths = [0.0] * count
        for node in self.picture.nodes.values():
            column = self.column[node["x"]]
            lines = (text_width(shorten(node["name"])), 0.8 * text_width(_detail(node)))
            widths[column] = max(widths[column], PADDING + CHARACTER * max(lines))
        gaps = [COLUMN_GAP] * count
        for source, target, ports in self.picture.edges.data("ports"):
            column = self._column(source)
            if self.labelled and ports and self._column(target) == column + 1:
                gaps[column] = max(gaps[column], 0.5 + 0.065 * max(text_width(_port(text)) for text in ports))
            gaps[column] = min(gaps[column] + 0.01, max(gaps[column], 2 * COLUMN_GAP))
        spans, left = [], MARGIN
        for width, gap in zip(widths, gaps, strict=True):
            spans.append((left, left + width))
            left += width + gap
        return spans

    def _column(self, key: str) -> int:
        return self.column[self.picture.nodes[key]["x"]]

    def _y(self, node: Mapping[str, Any]) -> float:
        """Upper edge of a box."""
        return float(self.top + node["y"] * (BOX_HEIGHT + ROW_GAP))

    def _route(self, source: str, target: str) -> list[tuple[float, float]]:
        """From box to box, through the columns in between where they are free: pairs of points, each pair joined by
        a curve, the pairs by straight lines."""
        first, last = self._column(source), self._column(target)
        if self._leads_back(source, target):
            middles = [(left + right) / 2 for left, right in (self.spans[first], self.spans[last])]
            bottoms = [self._y(self.picture.nodes[key]) + BOX_HEIGHT for key in (source, target)]
            return [(middles[0], bottoms[0]), (middles[1], bottoms[1])]
        start = (self.spans[first][1], self._y(self.picture.nodes[source]) + BOX_HEIGHT / 2)
        end = (self.spans[last][0], self._y(self.picture.nodes[target]) + BOX_HEIGHT / 2)
        points = [start]
        for column in range(first + 1, last):
            left, right = self.spans[column]
            share = ((left + right) / 2 - start[0]) / (end[0] - start[0])
            y = _free(start[1] + share * (end[1] - start[1]), self.taken[column])
            points += [(left - 0.06, y), (right + 0.06, y)]
        return [*points, end]

    def _leads_back(self, source: str, target: str) -> bool:
        """A loop's way back: it runs below the boxes."""
        return self._column(target) <= self._column(source)

    def _draw_edge(self, route: Sequence[tuple[float, float]], ports: Sequence[str], *, stream: bool) -> None:
        vertices, codes = [route[0]], [Path.MOVETO]
        back = route[-1][0] <= route[0][0]
        if back:
            (x, y), (to_x, to_y) = route
            vertices += [(x, y + BOW), (to_x, to_y + BOW), (to_x, to_y)]
            codes += [Path.CURVE4] * 3
        for place, ((x, y), (to_x, to_y)) in enumerate(() if back else pairwise(route)):
            if place % 2:
                vertices.append((to_x, to_y))
                codes.append(Path.LINETO)
            else:
                bend = max(abs(to_x - x) * 0.5, 0.15)
                vertices += [(x + bend, y), (to_x - bend, to_y), (to_x, to_y)]
                codes += [Path.CURVE4] * 3
        self.axes.add_patch(FancyArrowPatch(
            path=Path(vertices, codes), arrowstyle="-|>,head_length=4,head_width=2.2", color="#9aa2ae", linewidth=1.0,
            linestyle=(0, (3, 1.6)) if stream else "solid", zorder=1, shrinkA=0, shrinkB=0, joinstyle="round",
            capstyle="butt",
        ))  # fmt: skip
        if self.labelled and ports:
            (x, y), (to_x, to_y) = route[0], route[1]
            label = "\n".join(_port(text) for text in ports)
            self.axes.text((x + to_x) / 2, (y + to_y) / 2 + 0.75 * BOW * back, label, fontsize=7, color=PALE,
                           ha="center", va="center", zorder=2,
                           bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2})  # fmt: skip

    def _draw_box(self, node: Mapping[str, Any]) -> None:
        (left, right), y = self.spans[self.column[node["x"]]], self._y(node)
        colour = COLOURS.get(node["status"], PALE)
        width = right - left
        shadows = 2 if node["instances"] > 1 else 0
        for shift in range(shadows, -1, -1):
            self.axes.add_patch(FancyBboxPatch(
                (left + 0.05 * shift, y + 0.05 * shift), width, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=PAPER if shift else tint(colour, 0.1), edgecolor=colour, linewidth=0.8 if shift else 1.4,
                zorder=4 - 0.1 * shift,
            ))  # fmt: skip
        self.axes.text(left + 0.13, y + 0.19, SIGNS.get(node["status"], "?"), color=colour, fontsize=9.5, va="center",
                       zorder=5)  # fmt: skip
        self.axes.text(left + 0.34, y + 0.19, shorten(node["name"]), color=INK, fontsize=9.5, va="center", zorder=5)
        self.axes.text(left + 0.34, y + 0.385, _detail(node), color=PALE, fontsize=7.5, va="center", zorder=5)


def _statuses(node: Mapping[str, Any]) -> set[str]:
    return {node["status"], *node["counts"]}


def _detail(node: Mapping[str, Any]) -> str:
    """The second line of a box: its kind, how many, and how they stand when they do not all stand alike."""
    words = [node["kind"]]
    if node["instances"] > 1 and not node["kind"].startswith(f"{node['instances']} "):
        words.append(f"×{node['instances']}")
    if len(node["counts"]) > 1:
        words += [f"{SIGNS[status]}{node['counts'][status]}" for status in COLOURS if node["counts"].get(status)]
    return "  ".join(words)


def _port(text: str) -> str:
    """`raw → raw` says no more than `raw`."""
    source, arrow, target = text.partition(" → ")
    return source if arrow and source == target else text


def _free(y: float, tops: Sequence[float]) -> float:
    """The height nearest to `y` at which a line passes no box of a column."""
    blocked = [(top - 0.1, top + BOX_HEIGHT + 0.17) for top in tops]
    choices = [y, *(edge for interval in blocked for edge in interval)]
    free = [choice for choice in choices if not any(top < choice < bottom for top, bottom in blocked)]
    return min(free, key=lambda choice: abs(choice - y))
