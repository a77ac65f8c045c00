"""How the terminal is written to: colours, widths, marks, durations, sizes. Plain where the terminal is plain.

Laws: colour only where a person looks (a terminal that is not dumb, no NO_COLOR); ASCII where the encoding is not
Unicode; widths are counted in cells, so East Asian text stays in its column; text from outside is cleaned before it
is shown, so no worker's output and no name can drive the terminal.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TextIO

COLORS = {"completed": "32", "running": "36", "failed": "31", "cancelled": "33", "created": "2", "retrying": "33",
          "stopping": "33", "bold": "1", "dim": "2", "warn": "33", "reused": "32"}  # fmt: skip
MARKS = {"completed": "✔", "running": "●", "failed": "✗", "cancelled": "⊘", "created": "○", "retrying": "↻",
         "stopping": "◌", "reused": "≡"}  # fmt: skip
PLAIN_MARKS = {"completed": "+", "running": "*", "failed": "x", "cancelled": "-", "created": ".", "retrying": "~",
               "stopping": "!", "reused": "="}  # fmt: skip
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, movements of the cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class Style:
    """What a stream can show, and what time it is. `color` false turns colours off whatever the stream is."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str], now: Callable[[], float], *,
                 color: bool = True) -> None:  # fmt: skip
        self.stream = stream
        self.now = now
        dumb = environ.get("TERM") in {"dumb", "unknown"}
        self.tty = stream.isatty()
        self.live = self.tty and not dumb
        self.color = color and self.live and not environ.get("NO_COLOR")
        encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
        self.unicode = encoding.startswith("utf")

    def paint(self, text: str, kind: str) -> str:
        """The text in the colour of a status (or `bold`, `dim`, `warn`)."""
        return f"\033[{COLORS[kind]}m{text}\033[0m" if self.color and text and kind in COLORS else text

    def mark(self, kind: str) -> str:
        """The coloured mark of a status or phase."""
        return self.paint((MARKS if self.unicode else PLAIN_MARKS).get(kind, "?"), kind)

    def char(self, nice: str, plain: str) -> str:
        """A character, or its stand-in where the encoding has none."""
        return nice if self.unicode else plain

    def dots(self, parts: Sequence[str]) -> str:
        """Parts with a dot between: `10 workers · 2 at a time`."""
        return self.char(" · ", " - ").join(part for part in parts if part)

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            found = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError, AttributeError):
            return 100, 40
        return found.columns or 100, found.lines or 40

    def span(self, start: float | None, end: float | None) -> float | None:
        """Seconds from start to end, to now when it has not ended; None when it has not begun."""
        if start is None:
            return None
        return max(0.0, (self.now() if end is None else end) - start)

    def clock(self, stamp: float | None) -> str:
        """The time of day; with the date when it is not today."""
        if not stamp:
            return ""
        then, today = time.localtime(stamp), time.localtime(self.now())
        return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)

    def table(self, rows: Sequence[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> str:
        """Columns, aligned, with two blanks between; those in `right` end together. Never wider than a terminal."""
        everything = [list(header), *map(list, rows)] if header else list(map(list, rows))
        if not everything:
            return ""
        widths = [max(width(row[i]) for row in everything) for i in range(len(everything[0]))]
        lines = []
        for place, row in enumerate(everything):
            cells = [pad(cell, widths[i], right=i in right) for i, cell in enumerate(row)]
            line = self.fit("  ".join(cells).rstrip())
            lines.append(self.paint(line, "dim") if header and place == 0 else line)
        return "\n".join(lines)

    def fit(self, line: str) -> str:
        """A line, cut to the terminal's width; whole where there is no terminal."""
        return clip(line, self.size()[0]) if self.tty else line


def width(text: str) -> int:
    """Columns that a text takes: wide characters count two, colours and combining marks none."""
    if "\033" in text:
        text = _PAINT.sub("", text)
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if char < "\u0300":
        return 1
    if unicodedata.combining(char) or char in "\u200b\u200d\ufe0e\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text with blanks up to so many columns, after it or (`right`) before it."""
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks


def clip(text: str, columns: int) -> str:
    """The text, which may hold colours, cut to so many columns."""
    if width(text) <= columns:
        return text
    out: list[str] = []
    count = place = 0
    for piece in _PAINT.finditer(text + "\033[0m"):
        for char in text[place : piece.start()]:
            count += _cells(char)
            if count > columns - 1:
                return "".join(out) + "…" + ("\033[0m" if "\033" in text else "")
            out.append(char)
        out.append(piece.group())
        place = piece.end()
    return "".join(out)


def clean(text: str) -> str:
    """Without control characters and escape sequences: what a worker wrote must not drive the terminal. Line feeds
    stay, a tab becomes a blank."""
    if "\t" in text:
        text = text.replace("\t", " ")
    return text if text.isprintable() else _CONTROL.sub("", text)


def duration(seconds: float | None) -> str:
    """`5 ms`, `0.1 s`, `12 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds is None:
        return ""
    if 0 < seconds < 0.0495:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def shown(worker: Mapping[str, Any]) -> str:
    """The mark's name for a worker's state."""
    if worker.get("reused_from"):
        return "reused"
    phase = str(worker["phase"])
    return phase if phase in {"retrying", "stopping"} else str(worker["status"])
