"""Where the values of a JSON or TOML text stand. Read only when there is a problem to point at.

Laws: both scanners go through the text once, without recursion, and keep only what is wanted. They are for texts
that were readable: on anything they do not understand they stop, and the caller points at what encloses the value.
The scan of JSON also finds what the standard parser lets pass: duplicate keys, NaN and Infinity.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Collection
from typing import Any

from wattle.core.findings import MOST_FINDINGS, Finding, Path, shorten
from wattle.core.reading import TOML_TEXT, Place

_JSON_PIECE = re.compile(
    r'\s*+(?:(?P<text>"(?:[^"\\]++|\\.)*+")|(?P<mark>[\[\]{}:,])|(?P<word>[^\s\[\]{}:,"]++))', re.DOTALL
)
_TOML_PIECE = re.compile(
    r"[ \t\r]*+(?:(?P<skip>#[^\n]*+)|(?P<newline>\n)|(?P<text>" + TOML_TEXT + r")|(?P<mark>\[\[(?=[^\[])|[\[\]{}=,.])"
    r"""|(?P<word>[^\s\[\]{}=,."'#]++))""",
    re.DOTALL,
)


class _Lines:
    """Offsets to lines and columns."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def __call__(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


class _Open:
    """A list or mapping of JSON that is being scanned."""

    __slots__ = ("index", "key", "key_at", "keys", "path")

    def __init__(self, path: Path, *, mapping: bool) -> None:
        self.path = path
        self.keys: set[str] | None = set() if mapping else None
        self.index = 0
        self.key: str | None = None
        self.key_at = 0

    def step(self) -> str | int | None:
        """The key or index of the value that comes next; None where a key must come first."""
        return self.index if self.keys is None else self.key


def json_places(text: str, wanted: Collection[Path]) -> tuple[dict[Path, Place], list[Finding]]:
    """Places of the wanted values, and what the standard parser lets pass."""
    lines = _Lines(text)
    found: dict[Path, Place] = {}
    findings: list[Finding] = []
    stack: list[_Open] = []
    offset = 0
    while match := _JSON_PIECE.match(text, offset):
        offset = match.end()
        kind, piece = str(match.lastgroup), match[str(match.lastgroup)]
        at = match.start(kind)
        top = stack[-1] if stack else None
        if kind == "mark" and piece in "]},:":
            if piece in "]}" and stack:
                stack.pop()
            elif piece == "," and top is not None:
                top.index += 1
                top.key = None
            continue
        if kind == "text" and top is not None and top.keys is not None and top.key is None:
            top.key, top.key_at = _json_text(piece), at
            if top.key in top.keys and len(findings) < MOST_FINDINGS:
                findings.append(Finding((*top.path, top.key), f"the key {shorten(top.key)!r} stands here twice",
                                        "remove or rename one of them", True, *lines(at)))  # fmt: skip
            top.keys.add(top.key)
            continue
        step = top.step() if top is not None else None
        path = (*top.path, step) if top is not None and step is not None else ()
        if path in wanted:
            key_at = top.key_at if top is not None and top.keys is not None else at
            found.setdefault(path, Place(lines(key_at), lines(at)))
        if kind == "mark":
            stack.append(_Open(path, mapping=piece == "{"))
        elif piece in {"NaN", "Infinity", "-Infinity"} and len(findings) < MOST_FINDINGS:
            findings.append(Finding(path, f"{piece} is not a number that JSON has", "write null or a number",
                                    False, *lines(at)))  # fmt: skip
    return found, findings


def _json_text(piece: str) -> str:
    try:
        return str(json.loads(piece, strict=False))
    except ValueError:
        return piece


class _TomlScan:
    """One pass over a TOML text: headers, keys, and the insides of lists and inline tables."""

    def __init__(self, text: str, wanted: Collection[Path]) -> None:
        self.text = text
        self.wanted = wanted
        self.lines = _Lines(text)
        self.found: dict[Path, Place] = {}
        self.counts: dict[Path, int] = {}  # arrays of tables: how many so far
        self.table: Path = ()
        self.stack: list[tuple[Path, int]] = []  # open values: (path, next index), -1 for an inline table
        self.keys: list[str] = []
        self.key_at = 0
        self.header = ""

    def note(self, path: Path, key_at: int, value_at: int) -> None:
        if path in self.wanted:
            self.found.setdefault(path, Place(self.lines(key_at), self.lines(value_at)))

    def run(self) -> dict[Path, Place]:
        offset = 0
        expect_key = True  # else a value
        while match := _TOML_PIECE.match(self.text, offset):
            offset = match.end()
            kind, piece, at = str(match.lastgroup), match[str(match.lastgroup)], match.start(str(match.lastgroup))
            if kind == "skip" or (kind == "newline" and self.stack):
                continue
            if kind == "newline":
                self.keys, expect_key, self.header = [], True, ""
            elif expect_key:
                expect_key = self.read_key(kind, piece, at)
            elif kind == "mark":
                expect_key = self.read_mark(piece, at)
            else:
                self.begin(at)
        return self.found

    def read_key(self, kind: str, piece: str, at: int) -> bool:
        """A piece where a key or header is written. False when a value follows."""
        if kind in ("text", "word"):
            if not self.keys and not self.header:
                self.key_at = at
            self.keys.append(piece[1:-1] if piece[0] in "\"'" else piece)
        elif piece in ("[", "[[") and not self.stack:
            self.header, self.keys, self.key_at = piece, [], at
        elif piece == "]" and self.header:
            if self.keys:
                self.enter(tuple(self.keys))
            self.keys = []
        elif piece == "=":
            return False
        elif piece == "}" and self.stack:
            return self.close()
        return True

    def enter(self, keys: tuple[str, ...]) -> None:
        """A header: which table follows, with the index where it lies in an array of tables."""
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if self.header == "[[" and number == len(keys):
                self.counts[path] = self.counts.get(path, -1) + 1
                self.note(path, self.key_at, self.key_at)
            if path in self.counts:
                path = (*path, self.counts[path])
            self.note(path, self.key_at, self.key_at)
        self.table = path

    def begin(self, at: int) -> Path:
        """A value begins: its path, noted."""
        if self.stack and self.stack[-1][1] >= 0:
            parent, index = self.stack[-1]
            path: Path = (*parent, index)
            self.note(path, at, at)
            return path
        path = self.stack[-1][0] if self.stack else self.table
        for key in self.keys:
            path = (*path, key)
            self.note(path, self.key_at, at)
        return path

    def read_mark(self, piece: str, at: int) -> bool:
        """A mark where a value is written. True when a key follows."""
        if piece in ("[", "[[", "{"):
            path = self.begin(at)
            self.stack.append((path, -1 if piece == "{" else 0))
            if piece == "[[":  # two lists that begin at once
                self.stack.append((self.begin(at + 1), 0))
            self.keys = []
            return piece == "{"
        if piece in ("]", "}") and self.stack:
            return self.close()
        if piece == "," and self.stack:
            path, index = self.stack[-1]
            self.stack[-1] = (path, index + 1 if index >= 0 else -1)
            self.keys = []
            return index < 0
        return False

    def close(self) -> bool:
        self.stack.pop()
        self.keys = []
        return False


def toml_places(text: str, wanted: Collection[Path]) -> dict[Path, Place]:
    """Places of the wanted values."""
    top = Place((1, 1), (1, 1))
    return {(): top, **_TomlScan(text, wanted).run()}


def nearest(places: dict[Path, Place], path: Path) -> Place | None:
    """The place of the value, or of what encloses it."""
    for length in range(len(path), -1, -1):
        if place := places.get(path[:length]):
            return place
    return None


def with_prefixes(paths: Collection[Path]) -> set[Path]:
    """The paths and everything that encloses them."""
    result: set[Any] = set()
    for path in paths:
        result.update(path[:length] for length in range(len(path) + 1))
    return result
