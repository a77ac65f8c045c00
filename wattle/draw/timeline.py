"""A run's timeline as a picture (a Gantt chart): when each attempt waited, started up and ran."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

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

WAITING, STARTING, CRITICAL = "#dfe3e8", "#e8c547", INK
MAX_LINES = 300
"""With more workers, their bars are packed into as few lines as possible."""
CHART = 9.0
"""Inches."""


def draw_timeline(timeline: Mapping[str, Any], path: str) -> None:
    """Write a picture of when each attempt of a run waited, started and ran.

    Raises:
        InvalidRequest: no picture is written under that suffix, or the file cannot be written.
    """
    form = form_of(path)
    with style():
        write(_TimelinePicture(timeline["run"], timeline["bars"]).figure, path, form)


Bar = Mapping[str, Any]


class _TimelinePicture:
    """One line per worker, one bar per attempt: waited, started up, ran."""

    def __init__(self, run: Mapping[str, Any], bars: Sequence[Bar]) -> None:
        shown = [bar for bar in bars if bar["launched_at"] is not None or bar["started_at"] is not None]
        stamps = [stamp for bar in shown for stamp in _stamps(bar)]
        self.zero = min(stamps, default=0.0)
        self.end = max([*stamps, *([run["completed_at"]] if run["completed_at"] and stamps else [])], default=1.0)
        self.span = max(self.end - self.zero, 0.001)
        lines = _lines(shown)
        packed = len(lines) > MAX_LINES
        if packed:
            lines = _packed(shown, self.end)
        self.height = 0.3 if len(lines) <= 40 else max(0.1, 12 / len(lines))
        names = [] if packed else list(lines)
        longest = max((text_width(shorten(name)) for name in names), default=2)
        gutter = MARGIN + 0.2 + 0.078 * longest
        tall = max(len(lines), 1) * self.height
        wide, high = gutter + CHART + 0.45, tall + 1.6
        self.figure, paper = sheet(wide, high)
        self._title(paper, run, shown, packed=packed)
        legend(paper, _legend_of(shown, packed=packed), MARGIN, high - 0.27)
        self.axes = self.figure.add_axes((gutter / wide, 0.62 / high, CHART / wide, tall / high))
        self._frame(len(lines), names)
        for row, line in enumerate(lines.values()):
            for bar in line:
                self._draw_bar(row, bar)
                if packed:
                    self._name_bar(row, bar)
                elif self.height >= 0.25:
                    self._sign_bar(row, bar, several=len(line) > 1)
        if not shown:
            self.axes.set_xticks([])
            paper.text(MARGIN, high / 2 + 0.1, "No worker was started.", color=PALE, fontsize=9.5, va="center")

    def _title(self, paper: Axes, run: Mapping[str, Any], shown: Sequence[Bar], *, packed: bool) -> None:
        workers = len({bar["name"] for bar in shown})
        words = [run["status"] + (f" ({run['cause']})" if run["cause"] else "")]
        if shown:
            words.append(_duration(self.span))
        words.append(f"{workers:,} worker{'s' * (workers != 1)}")
        if len(shown) != workers:
            words.append(f"{len(shown):,} attempts")
        if packed:
            words.append("one line per place in which workers ran")
        paper.text(MARGIN, 0.3, run["address"], fontsize=13, weight="bold", color=INK, va="center")
        paper.text(MARGIN, 0.53, " · ".join(words), fontsize=8.5, color=PALE, va="center")

    def _frame(self, count: int, names: Sequence[str]) -> None:
        axes = self.axes
        axes.set_xlim(0, self.span * 1.02)
        axes.set_ylim(max(count, 1) - 0.5, -0.5)
        step = next((step for step in STEPS if self.span / step <= 9), STEPS[-1] * math.ceil(self.span / STEPS[-1] / 9))
        ticks = [place * step for place in range(int(self.span * 1.02 / step) + 1)]
        axes.set_xticks(ticks, [_duration(tick, step) for tick in ticks])
        axes.xaxis.tick_top()
        axes.tick_params(axis="both", length=0, labelsize=8, labelcolor=PALE)
        axes.grid(axis="x", color="#eceef1", linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right", "bottom", "left"):
            axes.spines[side].set_visible(False)
        size = min(8.5, max(2.0, self.height * 72 * 0.8))
        axes.set_yticks(range(len(names)), [shorten(name) for name in names], fontsize=size, color=INK)

    def _draw_bar(self, row: int, bar: Bar) -> None:
        """Waiting and start-up are thin, running is thick; what has not ended is open to the right."""
        ready, launched, started, ended = (bar[f"{name}_at"] for name in ("ready", "launched", "started", "ended"))
        begun = launched if launched is not None else started
        if ready is not None:
            self._block(row, ready, begun, 0.22, WAITING)
        stop = self.end if ended is None else ended
        self._block(row, begun, stop if started is None else started, 0.34, STARTING)
        colour = COLOURS.get(bar["status"], PALE)
        if started is not None:
            edge = CRITICAL if bar["critical"] else None
            self._block(row, started, stop, 0.62, colour, edge=edge, open_=ended is None)
        if bar["critical"] and row < len(self.axes.get_yticklabels()):
            self.axes.get_yticklabels()[row].set_fontweight("bold")

    def _name_bar(self, row: int, bar: Bar) -> None:
        """In a packed line: the worker's name where there is room, and a gap to the next bar."""
        start, stop = _begun(bar), self.end if bar["ended_at"] is None else bar["ended_at"]
        self.axes.plot([stop - self.zero] * 2, [row - 0.35, row + 0.35], color=PAPER, linewidth=0.7, zorder=4)
        if (stop - start) / self.span * CHART > 0.062 * text_width(bar["name"]) + 0.1 and self.height >= 0.15:
            self.axes.text((start + stop) / 2 - self.zero, row, bar["name"], color=PAPER, fontsize=6, ha="center",
                           va="center", zorder=6)  # fmt: skip

    def _sign_bar(self, row: int, bar: Bar, *, several: bool) -> None:
        """Which attempt it is, and how it ended if not well."""
        started, stop = bar["started_at"], self.end if bar["ended_at"] is None else bar["ended_at"]
        if several and started is not None and stop - started > 0.02 * self.span:
            self.axes.text((started + stop) / 2 - self.zero, row, str(bar["attempt"]), color=PAPER, fontsize=7,
                           ha="center", va="center", zorder=6)  # fmt: skip
        if bar["status"] in {"failed", "cancelled"}:
            self.axes.text(stop - self.zero + 0.004 * self.span, row, SIGNS[bar["status"]], fontsize=7.5, va="center",
                           color=COLOURS[bar["status"]], zorder=6)  # fmt: skip

    def _block(self, row: int, start: float, stop: float, height: float, colour: str, *, edge: str | None = None,
               open_: bool = False) -> None:  # fmt: skip
        """Never thinner than a hair, so that the shortest worker is seen."""
        width = max(stop - start, 0.0)
        if width == 0 and colour in {WAITING, STARTING}:
            return
        self.axes.add_patch(Rectangle(
            (start - self.zero, row - height / 2), max(width, 0.0015 * self.span), height,
            facecolor=tint(colour, 0.45) if open_ else colour, edgecolor=edge or (colour if open_ else "none"),
            linewidth=1.3 if edge else 0.6, hatch="////" if open_ else None, zorder=5 if edge else 3,
        ))  # fmt: skip


STEPS = [
    *(digit * 10.0**power for power in range(-4, 1) for digit in (1, 2, 5)),
    10.0, 15.0, 30.0, *(60.0 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600.0 * hours for hours in (1, 2, 3, 6, 12, 24)),
]  # fmt: skip
"""Seconds between two marks of the time axis."""


def _stamps(bar: Bar) -> list[float]:
    stamps = (bar[name] for name in ("ready_at", "launched_at", "started_at", "ended_at"))
    return [stamp for stamp in stamps if stamp is not None]


def _begun(bar: Bar) -> float:
    return float(bar["launched_at"] if bar["launched_at"] is not None else bar["started_at"])


def _lines(bars: Iterable[Bar]) -> dict[str, list[Bar]]:
    """Attempts by worker, the workers in the order in which they were first sent."""
    lines: dict[str, list[Bar]] = {}
    for bar in sorted(bars, key=_begun):
        lines.setdefault(bar["name"], []).append(bar)
    return lines


def _packed(bars: Iterable[Bar], end: float) -> dict[str, list[Bar]]:
    """Bars in as few lines as they need, without the time that they waited."""
    lines: list[list[Bar]] = []
    free: list[tuple[float, int]] = []
    for bar in sorted(bars, key=_begun):
        if not free or free[0][0] > _begun(bar):
            heapq.heappush(free, (-math.inf, len(lines)))
            lines.append([])
        line = heapq.heappop(free)[1]
        lines[line].append({**bar, "ready_at": None})
        heapq.heappush(free, (end if bar["ended_at"] is None else bar["ended_at"], line))
    return {str(number): line for number, line in enumerate(lines)}


def _legend_of(bars: Sequence[Bar], *, packed: bool) -> list[tuple[str, str, str]]:
    if not bars:
        return []
    seen = {bar["status"] for bar in bars}
    entries = [(STARTING, "■", "start-up")] if packed else [(WAITING, "■", "waiting"), (STARTING, "■", "start-up")]
    entries += [(colour, "■", status) for status, colour in COLOURS.items() if status in seen]
    if any(bar["critical"] for bar in bars):
        entries.append((CRITICAL, "□", "critical path"))
    return entries


def _duration(seconds: float, step: float | None = None) -> str:
    """Seconds as people say them; with `step`, only as exact as marks of that distance need."""
    if seconds >= 60 and (step is None or step >= 10):
        whole = int(seconds)
        parts = ((whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s"))
        first = next(place for place, (count, _) in enumerate(parts) if count)
        return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
    digits = max(0, -math.floor(math.log10(step))) if step else 1 if seconds >= 1 else 3
    return f"{seconds:.{digits}f} s"
