"""Replies as HTML: the same functions that write text for a terminal write it, only the style is another one.

Law: what comes from outside is escaped by construction. Paint and tables become numbered marks in the text; at the end
the whole text is escaped, and only then the marks are replaced by the tags that were made here.
"""

from __future__ import annotations

import re
from html import escape

from wattle.cli.style import MARKS, Style

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TextIO

GREEN, BLUE, RED, AMBER, GREY = "#1a9850", "#2b83ba", "#d73027", "#b8860b", "#808890"
COLORS = {"completed": GREEN, "running": BLUE, "failed": RED, "cancelled": AMBER, "retrying": AMBER, "stopping": AMBER,
          "warn": AMBER, "reused": GREEN, "created": GREY, "dim": GREY}  # fmt: skip
"""Readable on white and on black alike."""
_MARK = re.compile("\ue000(\\d+)\ue001")
PRE = '<pre style="font-family:var(--jp-code-font-family,monospace)">'
"""What stands in columns stays in columns, also where a page has another idea of `pre`."""
_CELL = "text-align:left;padding:2px 14px 2px 0;white-space:pre"


class NotebookStyle(Style):
    """Text for an output cell: colours are understood there, widths are not a terminal's."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str], now: Callable[[], float], *,
                 color: bool = True) -> None:  # fmt: skip
        super().__init__(stream, environ, now, color=color)
        self.tty = self.live = False
        self.color = color and not environ.get("NO_COLOR")
        self.unicode = True

    def size(self) -> tuple[int, int]:
        """An output cell of a usual width."""
        return 100, 60


class HtmlStyle(NotebookStyle):
    """Collects what was painted and tabled."""

    def __init__(self, plain: Style) -> None:
        super().__init__(plain.stream, {}, plain.now, color=False)
        self._made: list[str] = []

    def paint(self, text: str, kind: str) -> str:
        """A piece with the colour of a status."""
        if not text:
            return text
        look = "font-weight:600" if kind == "bold" else f"color:{COLORS[kind]}" if kind in COLORS else ""
        return self._keep(f'<span style="{look}">{self._escaped(text)}</span>') if look else text

    def mark(self, kind: str) -> str:
        """The coloured mark of a status or phase."""
        return self.paint(MARKS.get(kind, "?"), kind)

    def fit(self, line: str) -> str:
        """Whole: a page is as wide as it is."""
        return line

    def table(self, rows: Sequence[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> str:
        """A table of its own."""
        del right
        lines = [self._row(row, "td") for row in rows]
        head = f"<thead>{self._row(header, 'th')}</thead>" if header else ""
        return self._keep(f'</pre><table style="border-collapse:collapse;margin:2px 0">{head}'
                          f"<tbody>{''.join(lines)}</tbody></table>{PRE}") if rows else ""  # fmt: skip

    def _row(self, cells: Sequence[str], tag: str) -> str:
        made = [f'<{tag} style="{_CELL}">{self._escaped(cell.strip())}</{tag}>' for cell in cells]
        return f"<tr>{''.join(made)}</tr>"

    def _keep(self, made: str) -> str:
        self._made.append(made)
        return f"\ue000{len(self._made) - 1}\ue001"

    def _escaped(self, text: str) -> str:
        return _MARK.sub(self._made_for, escape(text))

    def _made_for(self, mark: re.Match[str]) -> str:
        number = int(mark[1])
        return self._made[number] if number < len(self._made) else ""

    def page(self, text: str) -> str:
        """The whole as HTML."""
        body = f"{PRE}{self._escaped(text)}</pre>"
        for empty in (f"{PRE}</pre>", f"{PRE}\n</pre>"):
            body = body.replace(empty, "")
        body = body.replace("\n</pre><table", "</pre><table").replace(f"{PRE}\n", PRE)
        return f'<div class="wattle-said">{body}</div>'


def html_of(reply: Any, text: Callable[[Any, Style], str], style: Style) -> str:
    """What `text` makes of a reply, as HTML."""
    page = HtmlStyle(style)
    return page.page(text(reply, page))
