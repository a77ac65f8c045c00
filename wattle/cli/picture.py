"""A graph drawn with characters, from left to right.

    ✔ list ── ✔ parse ×4 ── ✔ merge ─┬─ ✔ imports ─┬─ ✔ report
                                     ├─ ✔ chart ───┤
                                     ╰─────────────╯

Laws: every line leads from a worker to exactly those that follow it; where lines merely cross or meet, one is hidden
behind the other, and a corner has arms only to where its own line goes. What is too wide, too tall or too tangled for
that is listed instead, worker by worker.
"""

from __future__ import annotations

from wattle.cli.style import clip, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wattle.cli.style import Style

MOST_ROWS = 60
LABEL = 24
SOURCES = 6
_CORNERS = {
    "du": "│", "dr": "╭", "dl": "╮", "ru": "╰", "lu": "╯", "dru": "├", "dlu": "┤", "dlr": "┬", "lru": "┴",
    "dlru": "┼",
}  # fmt: skip
_PLAIN = {" ": " ", "─": "-", "│": "|"}
Item = tuple[str, int]
"""A worker in its column; or, in a later column, the line that comes from it and goes on."""


class Net:
    """Lines in one gap between columns: from the rows of items that are followed by the same ones, to their rows."""

    def __init__(self, sources: set[int], targets: frozenset[int]) -> None:
        self.sources = sources
        self.targets = targets
        self.low = min(sources | targets)
        self.high = max(sources | targets)
        self.lane = -1

    def corner(self, row: int) -> str:
        """What stands in its lane on this row."""
        sides = {"l": row in self.sources, "r": row in self.targets, "u": row > self.low, "d": row < self.high}
        return _CORNERS["".join(side for side, there in sorted(sides.items()) if there)]

    @property
    def straight(self) -> bool:
        """Whether it needs no lane."""
        return self.low == self.high


def graph(reply: Mapping[str, Any], style: Style) -> str:
    """The picture of a `Graph`, or the list where it does not fit."""
    nodes = sorted(reply["nodes"], key=lambda node: (node["x"], node["y"]))
    if not nodes:
        return "No workers."
    drawing = _Drawing(nodes, reply["edges"], style) if len(nodes) <= MOST_ROWS * 4 else None
    text = drawing.text(style.size()[0]) if drawing is not None else None
    return _listed(reply, nodes, style) if text is None else text


class _Drawing:
    """Columns of items, rows per item, nets per gap."""

    def __init__(self, nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]], style: Style) -> None:
        self._style = style
        xs = {x: column for column, x in enumerate(sorted({node["x"] for node in nodes}))}
        self._nodes = {node["name"]: node for node in nodes}
        self._column = {node["name"]: xs[node["x"]] for node in nodes}
        self._targets: dict[str, list[str]] = {name: [] for name in self._nodes}
        for edge in edges:
            self._targets[edge["source"]].append(edge["target"])
        self._columns: list[list[Item]] = [[] for _ in xs]
        self._rows: dict[Item, int] = {}
        self._place()

    def _place(self) -> None:
        """Top-aligned: an item stands no higher than the first of those before it, nor than the one above it."""
        heights: list[list[tuple[float, Item]]] = [[] for _ in self._columns]
        for name, node in self._nodes.items():
            here = self._column[name]
            heights[here].append((node["y"], (name, here)))
            last = max((self._column[target] for target in self._targets[name]), default=here)
            low = max((self._nodes[target]["y"] for target in self._targets[name]), default=0)
            for column in range(here + 1, last):
                heights[column].append((max(node["y"], low) + 0.5, (name, column)))
        before: dict[Item, list[Item]] = {}
        for column, standing in enumerate(heights):
            self._columns[column] = [item for _, item in sorted(standing)]
            for item in self._columns[column]:
                for target in self._following(item):
                    before.setdefault(target, []).append(item)
        for items in self._columns:
            row = -1
            for item in items:
                row = max(row + 1, min((self._rows[source] for source in before.get(item, ())), default=0))
                self._rows[item] = row

    def _following(self, item: Item) -> list[Item]:
        name, column = item
        found = [(target, column + 1) for target in self._targets[name] if self._column[target] == column + 1]
        if any(self._column[target] > column + 1 for target in self._targets[name]):
            found.append((name, column + 1))
        return found

    def text(self, columns: int) -> str | None:
        """The picture; None when it does not fit into so many columns, or cannot be drawn truly."""
        height = max(self._rows.values()) + 1
        if height > MOST_ROWS:
            return None
        lines = [""] * height
        for column, items in enumerate(self._columns):
            lines = self._with_column(lines, column, items)
            if column + 1 < len(self._columns):
                nets = self._nets(items)
                if not assign_lanes(nets):
                    return None
                lines = [line + gap for line, gap in zip(lines, self._gap(nets, height), strict=True)]
        lines = [line.rstrip() for line in lines]
        return None if max(map(width, lines)) > columns else "\n".join(lines)

    def _nets(self, items: list[Item]) -> list[Net]:
        found: dict[frozenset[int], set[int]] = {}
        for item in items:
            targets = frozenset(self._rows[target] for target in self._following(item))
            if targets:
                found.setdefault(targets, set()).add(self._rows[item])
        return [Net(sources, targets) for targets, sources in found.items()]

    def _with_column(self, lines: list[str], column: int, items: list[Item]) -> list[str]:
        style, texts = self._style, {}
        for item in items:
            name, node = item[0], self._nodes[item[0]]
            if self._column[name] == column:
                texts[self._rows[item]] = f" {style.mark(node['status'])} {_label(node, style)} "
            else:
                texts[self._rows[item]] = ""
        wide = max(map(width, texts.values()))
        leading = {self._rows[item] for item in items if self._following(item)}
        out = []
        for row, line in enumerate(lines):
            text = texts.get(row, "")
            fill = style.char("─", "-") if row in leading else " "
            out.append(line + text + fill * (wide - width(text)))
        return out

    def _gap(self, nets: list[Net], height: int) -> list[str]:
        """The lines between two columns. Where a line passes the lane of another net it is hidden behind it."""
        wide = 2 * (max((net.lane for net in nets), default=-1) + 1) + 1
        cells = [[" "] * wide for _ in range(height)]
        for net in nets:
            lane = wide if net.straight else 2 * net.lane + 1
            for row in net.sources:
                cells[row][:lane] = "─" * lane
            for row in net.targets if not net.straight else ():
                cells[row][lane:] = "─" * (wide - lane)
        for net in nets:
            for row in range(net.low, net.high + 1) if not net.straight else ():
                cells[row][2 * net.lane + 1] = net.corner(row)
        lines = ["".join(row) for row in cells]
        return lines if self._style.unicode else ["".join(_PLAIN.get(char, "+") for char in line) for line in lines]


def assign_lanes(nets: Sequence[Net]) -> bool:
    """Give every net that is not straight a lane of its own where others overlap it; false when that cannot be done.

    A net that comes in on a row must leave that row before another net goes out on it, else the two would be one
    line: so its lane stands further left.
    """
    bent = [net for net in nets if not net.straight]
    sources = {row: net for net in bent for row in net.sources}
    left_of = {id(net): [sources[row] for row in net.targets if row in sources and sources[row] is not net]
               for net in bent}  # fmt: skip
    waiting = list(bent)
    while waiting:
        ready = [net for net in waiting if all(other.lane >= 0 for other in left_of[id(net)])]
        if not ready:
            return False
        net = min(ready, key=lambda found: (found.high - found.low, found.low))
        lane = max((other.lane + 1 for other in left_of[id(net)]), default=0)
        while any(other.lane == lane and other.low <= net.high and net.low <= other.high for other in bent):
            lane += 1
        net.lane = lane
        waiting.remove(net)
    return True


def _label(node: Mapping[str, Any], style: Style) -> str:
    count = f" {style.char('×', 'x')}{node['instances']}" if node["instances"] > 1 else ""
    return clip(node["name"], LABEL) + count + ", stale" * bool(node.get("stale"))


def _listed(reply: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], style: Style) -> str:
    """One line per worker, with what it follows."""
    above: dict[str, list[str]] = {}
    for edge in reply["edges"]:
        above.setdefault(edge["target"], []).append(edge["source"])
    lines = []
    for node in nodes:
        sources = above.get(node["name"], [])
        more = f" and {len(sources) - SOURCES} more" if len(sources) > SOURCES else ""
        after = f"  {style.char('←', '<-')} {', '.join(sources[:SOURCES])}{more}" if sources else ""
        indent = "  " * min(8, round(node["x"]))
        line = f"{indent}{style.mark(node['status'])} {_label(node, style)}{style.paint(after, 'dim')}"
        lines.append(style.fit(line))
    return "\n".join(lines)
