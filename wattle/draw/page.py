"""What both pictures share: the page, its colours and signs, the legend, and the file that it becomes.

Laws: colour never speaks alone (each status has a sign too) and the colours are those of Okabe and Ito, which
colour-blind people tell apart; text is never read as mathematics; a person's own matplotlib settings change nothing.
"""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath

from matplotlib import font_manager, rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wattle.core.errors import InvalidRequest

SUFFIXES = (".svg", ".png", ".pdf")
COLOURS = {
    "created": "#8b919c", "running": "#0072b2", "completed": "#009e73", "failed": "#d55e00", "cancelled": "#b3669b",
}  # fmt: skip
SIGNS = {"created": "○", "running": "▶", "completed": "✔", "failed": "✖", "cancelled": "⊘"}
INK, PALE, PAPER = "#22262e", "#6b7280", "#ffffff"
MARGIN = 0.3
"""Inches."""
MAX_PIXELS = 12_000
DPI = 160
LONGEST_NAME = 30


def form_of(path: str) -> str:
    """`svg`, `png` or `pdf`, by the suffix. Raises InvalidRequest."""
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidRequest(f"{path}: pictures are written as {', '.join(SUFFIXES)}, and {suffix or 'no suffix'} is "
                             "none of them", f"--out {PurePath(path).stem or 'picture'}.svg")  # fmt: skip
    return suffix[1:]


def write(figure: Figure, path: str, form: str) -> None:
    """Draw into memory first: a picture that cannot be drawn leaves an old file as it was."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[form]
    dpi = min(DPI, MAX_PIXELS / max(figure.get_size_inches()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format=form, dpi=dpi, metadata=metadata, facecolor=PAPER)
    try:
        with open(path, "wb") as file:
            file.write(buffer.getvalue())
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}", "choose another place with --out") from None


@contextmanager
def style() -> Iterator[None]:
    """Our fonts and nothing of a person's own matplotlib settings. Fonts for other scripts where there are some."""
    installed = set(font_manager.get_font_names())
    others = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Hiragino Sans", "Microsoft YaHei", "WenQuanYi Zen Hei",
              "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari")  # fmt: skip
    family = ["DejaVu Sans", *(name for name in others if name in installed)]
    with rc_context({**rcParamsDefault, "font.family": family, "svg.hashsalt": "wattle", "text.parse_math": False}):
        yield


def shorten(name: str) -> str:
    """Keep both ends: numbers stand at the end of a name."""
    if len(name) <= LONGEST_NAME:
        return name
    half = (LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def legend(axes: Axes, entries: Sequence[tuple[str, str, str]], x: float, y: float) -> None:
    """A line of (colour, sign, word) in data units that are inches."""
    for colour, sign, word in entries:
        axes.text(x, y, sign, color=colour, fontsize=9, va="center", ha="left")
        axes.text(x + 0.2, y, word, color=PALE, fontsize=8.5, va="center", ha="left")
        x += 0.45 + 0.085 * len(word)


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty page whose data units are inches, counted from its upper left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return figure, axes


def text_width(text: str) -> int:
    """Columns that a text takes: wide characters of East Asian scripts take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def tint(colour: str, share: float) -> tuple[float, float, float]:
    """A colour on white paper, thinned to `share`."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return (1 - share * (1 - red), 1 - share * (1 - green), 1 - share * (1 - blue))
