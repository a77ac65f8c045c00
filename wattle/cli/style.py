"""How the terminal is written to: colours, widths, marks, durations, sizes. Plain where the terminal is plain."""

from __future__ import annotations

import os
import sys
import time
import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

COLORS = {"completed": "32", "running": "36", "failed": "31", "cancelled": "33", "created": "2", "retrying": "33",
          "stopping": "33", "bold": "1", "dim": "2", "warn": "33"}  # fmt: skip
MARKS = {"completed": "✔", "running": "●", "failed": "✗", "cancelled": "⊘", "created": "○", "retrying": "↻",
         "stopping": "◌", "reused": "≡"}  # fmt: skip
PLAIN_MARKS = {"completed": "+", "running": "*", "failed": "x", "cancelled": "-", "created": ".", "retrying": "~",
               "stopping": "!", "reused": "="}  # fmt: skip


class Style:
    """What a stream can show. `color` false turns colours off whatever the stream is."""

    def __init__(self, stream: TextIO | None = None, *, color: bool = True) -> None:
        self.stream = stream or sys.stdout
        self.tty = self.stream.isatty()
        self.color = color and self.tty and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        encoding = (getattr(self.stream, "encoding", None) or "ascii").lower().replace("-", "")
        self.unicode = encoding.startswith("utf")

    def paint(self, text: str, kind: str) -> str:
        """The text in the colour of a status (or `bold`, `dim`, `warn`)."""
        return f"\033[{COLORS[kind]}m{text}\033[0m" if self.color and kind in COLORS else text

    def mark(self, kind: str) -> str:
        """The coloured mark of a status or phase."""
        return self.paint((MARKS if self.unicode else PLAIN_MARKS).get(kind, "?"), kind)

    def char(self, nice: str, plain: str) -> str:
        """A character, or its stand-in where the encoding has none."""
        return nice if self.unicode else plain

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            found = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError, AttributeError):
            return 100, 40
        return found.columns or 100, found.lines or 40

    def table(self, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
        """Columns, aligned, with two blanks between; colours do not count as width."""
        everything = [list(header), *map(list, rows)] if header else list(map(list, rows))
        if not everything:
            return ""
        widths = [max(width(row[i]) for row in everything) for i in range(len(everything[0]))]
        lines = []
        for place, row in enumerate(everything):
            cells = [cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(row)]
            line = "  ".join(cells).rstrip()
            lines.append(self.paint(line, "dim") if header and place == 0 else line)
        return "\n".join(lines)


def width(text: str) -> int:
    """Columns that a text takes: wide characters count two, colours and combining marks none."""
    count, skipping = 0, False
    for char in text:
        if skipping:
            skipping = char != "m"
        elif char == "\033":
            skipping = True
        elif char < "\u0300":
            count += 1
        elif not unicodedata.combining(char):
            count += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return count


def clip(text: str, columns: int) -> str:
    """The text, cut to so many columns."""
    if width(text) <= columns:
        return text
    out, count = "", 0
    for char in text:
        count += width(char)
        if count > columns - 1:
            break
        out += char
    return out + "…"


def clean(text: str) -> str:
    """Without control characters and escape sequences: what a worker wrote must not drive the terminal."""
    out = []
    skipping = ""
    for char in text:
        if skipping:
            if skipping == "[" and "@" <= char <= "~" and char != "[":
                skipping = ""
            elif skipping == "]" and char in "\a\033":
                skipping = ""
            elif skipping == "\033":
                skipping = char if char in "[]" else ""
            continue
        if char == "\033":
            skipping = char
        elif char >= " " and char != "\x7f" and not "\x80" <= char <= "\x9f":
            out.append(char)
        elif char == "\t":
            out.append(" ")
        elif char == "\n":
            out.append(char)
    return "".join(out)


def duration(seconds: float | None) -> str:
    """`0.1 s`, `12 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def span(start: float | None, end: float | None) -> float | None:
    """Seconds from start to end, to now when it has not ended; None when it has not begun."""
    if start is None:
        return None
    return max(0.0, (end if end is not None else time.time()) - start)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def clock(stamp: float | None) -> str:
    """The time of day; with the date when it is not today."""
    if not stamp:
        return ""
    then, today = time.localtime(stamp), time.localtime()
    same = then[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M", then)


def shown(worker: dict[str, Any]) -> str:
    """The mark's name for a worker's state."""
    if worker.get("reused_from"):
        return "reused"
    phase = worker["phase"]
    return phase if phase in {"retrying", "stopping"} else str(worker["status"])
