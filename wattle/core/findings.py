"""Problems while they are being collected: a checker adds every one it sees and goes on.

A `Finding` knows the path of a value in the document, not its line: lines are looked up at the end, only when there
is something to report (`core/positions.py`). Laws: nothing here raises because of what a document holds; what is shown
of a value is short, whatever its size.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from wattle.core.suggest import Suggester

Path = tuple[str | int, ...]
"""Keys and indices from the top of the document: `("workers", 3, "command")`."""

Originals = Mapping[tuple[int, str | int], str]
"""(id of the container, key) -> what was typed, for scalars whose text is not their usual one: `1.50`, `012`."""

MOST_FINDINGS = 1_000
_SHOWN = 60
_PLAIN_KEY = re.compile(r"[^\s.\"\[\]]+")


class Finding(NamedTuple):
    """One problem. `at_key` means that the key is wrong, not its value. `line` is 0 until it is known."""

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False
    line: int = 0
    column: int = 0


class Unreadable(Exception):
    """The text could not be read to its end."""

    def __init__(self, message: str, hint: str = "", line: int = 0, column: int = 0, path: Path = ()) -> None:
        super().__init__(message)
        self.finding = Finding(path, message, hint, line=line, column=column)


class Findings:
    """Every problem found so far, and what may be said about them. The first thousand are kept, all are counted."""

    def __init__(self, originals: Originals | None = None) -> None:
        self.kept: list[Finding] = []
        self.count = 0
        self.warnings: list[str] = []
        self.originals: Originals = originals or {}
        self.suggester = Suggester()
        self.values = 0

    def add(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Report a problem."""
        self.keep(Finding(path, message, hint, at_key))

    def keep(self, finding: Finding) -> None:
        """Report a problem that is already in its form."""
        self.count += 1
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(finding)

    def unknown(self, path: Path, key: object, options: Collection[str], noun: str = "keys") -> None:
        """Report a key that is not one of the options."""
        word = key if isinstance(key, str) else describe(key)
        hint = self.suggester.hint(word, options, noun)
        self.add((*path, word), f"unknown key {shorten(word)!r}", hint, at_key=True)


def show_path(path: Path) -> str:
    """`workers.train.retries`, `workers[3].command`; a key with dots in it is quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _PLAIN_KEY.fullmatch(step) else f'"{step}"'
            text += f".{shorten(key)}" if text else shorten(key)
    return text


def shorten(text: str) -> str:
    """At most sixty characters, the middle left out."""
    return text if len(text) <= _SHOWN else f"{text[:38]}…{text[-20:]}"


def describe(value: Any) -> str:
    """What a value is, for a sentence: `the number 12`, `the text 'abc'`, `a list`."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shorten(value)!r}" if value else "an empty text"
    if isinstance(value, int):
        return f"the number {value}" if value.bit_length() <= 128 else "a very large number"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
