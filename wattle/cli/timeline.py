"""A run's timeline drawn with characters: one bar per attempt, with what it waited for, and the critical path."""

from __future__ import annotations

from wattle.cli.style import clip, duration, pad, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wattle.cli.style import Style

MOST_BARS = 200
LABEL = 24
BESIDE = 16
"""Columns for the mark, the blanks and the duration."""


def timeline(reply: Mapping[str, Any], style: Style) -> str:
    """The picture of a `Timeline`."""
    address = style.paint(reply["run"]["address"], "bold")
    bars = [bar for bar in reply["bars"] if bar["launched_at"] or bar["started_at"]]
    if not bars:
        return f"{address}: nothing has been started."
    now: float = reply["run"]["completed_at"] or style.now()
    begin: float = min(bar["ready_at"] or bar["launched_at"] or bar["started_at"] for bar in bars)
    end: float = max(bar["ended_at"] or now for bar in bars)
    shown = bars
    if len(bars) > MOST_BARS:
        longest = sorted(bars, key=lambda bar: (bar["started_at"] or now) - (bar["ended_at"] or now))
        kept = {id(bar) for bar in longest[:MOST_BARS]}
        shown = [bar for bar in bars if id(bar) in kept]
    names = min(LABEL, max(width(_name(bar)) for bar in shown))
    scale = _Scale(begin, end, now, max(20, style.size()[0] - names - BESIDE))
    lines = [f"{address}  {duration(end - begin)}"]
    for bar in shown:
        mark = style.paint(style.char("◆", "*"), "bold") if bar["critical"] else " "
        took = duration((bar["ended_at"] or now) - bar["started_at"]) if bar["started_at"] else ""
        lines.append(f"{mark} {pad(clip(_name(bar), names), names)}  {scale.bar(bar, style)}  {took}".rstrip())
    if len(shown) < len(bars):
        lines.append(f"  the {MOST_BARS} longest of {len(bars):,}; --out FILE.svg draws all")
    legend = [f"{style.char('░', '.')} waited for a slot", f"{style.char('▒', ':')} was next",
              f"{style.char('█', '#')} ran", f"{style.char('◆', '*')} critical path"]  # fmt: skip
    return "\n".join([*lines, style.paint("  " + "   ".join(legend), "dim")])


class _Scale:
    """Where a time stands among so many cells."""

    def __init__(self, begin: float, end: float, now: float, cells: int) -> None:
        self._begin = begin
        self._span = max(end - begin, 1e-6)
        self._now = now
        self._cells = cells

    def cell(self, stamp: float | None) -> int:
        """The cell of a time; None is now."""
        share: float = ((self._now if stamp is None else stamp) - self._begin) / self._span
        return min(self._cells, max(0, round(share * self._cells)))

    def bar(self, bar: Mapping[str, Any], style: Style) -> str:
        """Waited, was next, ran."""
        begun = bar["started_at"] if bar["started_at"] is not None else bar["ended_at"]
        sent = bar["launched_at"] if bar["launched_at"] is not None else begun
        ready = bar["ready_at"] if bar["ready_at"] is not None else sent
        a, b, c, d = (self.cell(stamp) for stamp in (ready, sent, begun, bar["ended_at"]))
        c = max(a, b, min(c, self._cells - 1))
        waited = " " * a + style.char("░", ".") * (b - a) + style.char("▒", ":") * (c - max(a, b))
        ran = style.char("█", "#") * max(1, d - c) if bar["started_at"] is not None else style.char("▏", "|")
        goes_on = style.char("▸", ">") if bar["ended_at"] is None else ""
        return f"{waited}{style.paint(ran, bar['status'])}{goes_on}"


def _name(bar: Mapping[str, Any]) -> str:
    return str(bar["name"]) + (f" ({bar['attempt']})" if bar["attempt"] > 1 else "")
