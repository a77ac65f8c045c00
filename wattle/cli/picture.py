"""A graph and a timeline drawn with characters."""

from __future__ import annotations

from wattle.cli.style import Style, clip, duration, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST_NODES = 60
LABEL = 22


def graph(reply: Mapping[str, Any], style: Style) -> str:
    """Columns from left to right where they fit, else one line per worker with what it waits for."""
    nodes = sorted(reply["nodes"], key=lambda node: (node["x"], node["y"]))
    if not nodes:
        return "No workers."
    levels = _levels(nodes)
    wide = sum(_column_width(column) + 5 for column in levels)
    x_of = {node["name"]: x for x, column in enumerate(levels) for node in column}
    leaps = any(x_of[edge["target"]] - x_of[edge["source"]] != 1 for edge in reply["edges"])
    if len(nodes) > MOST_NODES or wide > style.size()[0] or leaps:
        return _listed(reply, nodes, style)
    return _columns(reply, levels, style)


def _levels(nodes: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    found: dict[float, list[Mapping[str, Any]]] = {}
    for node in nodes:
        found.setdefault(node["x"], []).append(node)
    return [found[x] for x in sorted(found)]


def _label(node: Mapping[str, Any]) -> str:
    count = f" ×{node['instances']}" if node["instances"] > 1 else ""
    return clip(node["name"], LABEL) + count


def _column_width(column: list[Mapping[str, Any]]) -> int:
    return max(width(_label(node)) for node in column) + 2


def _listed(reply: Mapping[str, Any], nodes: list[Mapping[str, Any]], style: Style) -> str:
    above: dict[str, list[str]] = {}
    for edge in reply["edges"]:
        above.setdefault(edge["target"], []).append(edge["source"])
    arrow = style.char("←", "<-")
    lines = []
    for node in nodes:
        sources = above.get(node["name"], [])
        more = f" … {len(sources) - 6} more" if len(sources) > 6 else ""
        tail = f"  {style.paint(f'{arrow} ' + ', '.join(sources[:6]) + more, 'dim')}" if sources else ""
        lines.append(f"{'  ' * min(8, round(node['x']))}{style.mark(node['status'])} {_label(node)}{tail}")
    return "\n".join(lines)


def _columns(reply: Mapping[str, Any], levels: list[list[Mapping[str, Any]]], style: Style) -> str:
    """Every node on a row of its own column, the edges between neighbouring columns as lines."""
    rows = 2 * max(len(column) for column in levels) - 1
    place: dict[str, tuple[int, int]] = {}
    for x, column in enumerate(levels):
        free = rows - (2 * len(column) - 1)
        for i, node in enumerate(column):
            place[node["name"]] = (x, free // 2 + 2 * i)
    gaps: list[list[set[str]]] = [[set() for _ in levels] for _ in range(rows)]
    for edge in reply["edges"]:
        (x, start), (_, end) = place[edge["source"]], place[edge["target"]]
        _connect(gaps, x, start, end)
    lines = []
    for y in range(rows):
        line = ""
        for x, column in enumerate(levels):
            space = _column_width(column)
            node = next((node for node in column if place[node["name"]][1] == y), None)
            text = f"{style.mark(node['status'])} {_label(node)}" if node is not None else ""
            fill = style.char("─", "-") if node is not None and "l" in gaps[y][x] else " "
            rest = space - width(text)
            bridge = " " + fill * (rest - 1) if rest > 1 and fill != " " else " " * rest
            line += text + bridge + _gap(gaps[y][x], style)
        lines.append(line.rstrip())
    return "\n".join(lines)


def _connect(gaps: list[list[set[str]]], x: int, start: int, end: int) -> None:
    gaps[start][x].add("l")
    gaps[end][x].add("r")
    low, high = sorted((start, end))
    for y in range(low, high + 1):
        if y > low:
            gaps[y][x].add("u")
        if y < high:
            gaps[y][x].add("d")


def _gap(sides: set[str], style: Style) -> str:
    """Five characters between two columns."""
    if not sides:
        return "     "
    left, right, up, down = ("l" in sides, "r" in sides, "u" in sides, "d" in sides)
    table = {(1, 1, 0, 0): "─", (1, 1, 1, 0): "┴", (1, 1, 0, 1): "┬", (1, 1, 1, 1): "┼", (0, 1, 0, 1): "╭",
             (0, 1, 1, 0): "╰", (0, 1, 1, 1): "├", (1, 0, 0, 1): "╮", (1, 0, 1, 0): "╯", (1, 0, 1, 1): "┤",
             (0, 0, 1, 1): "│", (1, 0, 0, 0): "─", (0, 1, 0, 0): "─"}  # fmt: skip
    corner = table.get((int(left), int(right), int(up), int(down)), " ")
    if not style.unicode:
        corner = "-" if corner == "─" else "|" if corner == "│" else " " if corner == " " else "+"
    line = style.char("─", "-")
    return f"{line * 2 if left else '  '}{corner}{line if right else ' '}{style.char('▸', '>') if right else ' '}"


def timeline(reply: Mapping[str, Any], style: Style) -> str:
    """One bar per attempt over the run's time: waiting, starting, running; the critical path is marked."""
    bars = [bar for bar in reply["bars"] if bar["launched_at"] or bar["ended_at"]]
    if not bars:
        return f"{reply['run']['address']}: nothing has been started."
    begin = min(bar["ready_at"] or bar["launched_at"] or bar["ended_at"] for bar in bars)
    end = max(bar["ended_at"] or reply["run"]["completed_at"] or bar["launched_at"] or begin for bar in bars)
    total = max(end - begin, 1e-6)
    columns, _ = style.size()
    longest = min(24, max(width(_name(bar)) for bar in bars))
    space = max(20, columns - longest - 16)

    def cell(stamp: float | None) -> int:
        return round(((stamp or end) - begin) / total * (space - 1))

    shown = bars if len(bars) <= 200 else sorted(bars, key=lambda bar: begin - (bar["ended_at"] or end)
                                                 + (bar["started_at"] or end))[:200]  # fmt: skip
    lines = [f"{style.paint(reply['run']['address'], 'bold')}  {duration(total)}"]
    for bar in shown:
        ready, sent, start, stop = (cell(bar[k]) for k in ("ready_at", "launched_at", "started_at", "ended_at"))
        ready = sent if bar["ready_at"] is None else ready
        text = " " * ready + style.char("░", ".") * (sent - ready) + style.char("▒", ":") * max(0, start - sent)
        run = style.char("█", "#") * max(1, stop - start + 1) if bar["started_at"] else style.char("▏", "|")
        mark = style.paint(style.char("◆", "*"), "bold") if bar["critical"] else " "
        name = clip(_name(bar), longest)
        took = duration((bar["ended_at"] or end) - (bar["started_at"] or bar["ended_at"] or end))
        lines.append(f"{mark} {name}{' ' * (longest - width(name))} {text}{style.paint(run, bar['status'])} {took}")
    if len(shown) < len(bars):
        lines.append(f"  … the {len(shown)} longest of {len(bars)}; --out FILE.svg draws all")
    lines.append(style.paint(f"  {style.char('░', '.')} waited for a slot  {style.char('▒', ':')} was being started  "
                             f"{style.char('█', '#')} ran  {style.char('◆', '*')} critical path", "dim"))  # fmt: skip
    return "\n".join(lines)


def _name(bar: Mapping[str, Any]) -> str:
    return bar["name"] + (f" ({bar['attempt']})" if bar["attempt"] > 1 else "")
