"""Substitution: `${inputs.x} ${outputs.y} ${params.p} ${each.e} ${env.E} ${run.number} ${run.dir}` in a text.

Laws: a reference is replaced by its text and never looked at again, so a value that holds quotes, spaces, `$()` or
another `${…}` arrives byte for byte. Any other `${…}` stays as it is: it belongs to the shell. `$${` is a `${` that
Wattle leaves alone. Which names exist is not known here: `references` lists what is asked for, the caller judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

KINDS = ("inputs", "outputs", "params", "each", "env", "run")
RUN_NAMES = ("number", "dir")
_PATTERN = re.compile(r"\$\$\{|\$\{(" + "|".join(KINDS) + r")\.([^{}]*)\}")


class Reference(NamedTuple):
    """One `${kind.name}`, standing at `text[start:end]`. `name` is what was written: it may be empty or unknown."""

    kind: str
    name: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"${{{self.kind}.{self.name}}}"


def references(text: str) -> list[Reference]:
    """Every reference in the text, in order."""
    if "${" not in text:
        return []
    return [Reference(match[1], match[2], *match.span()) for match in _PATTERN.finditer(text) if match[1]]


def sole(text: str) -> Reference | None:
    """The reference when the text is exactly one, nothing before or behind it."""
    if not text.startswith("${"):
        return None
    match = _PATTERN.fullmatch(text)
    return Reference(match[1], match[2], 0, len(text)) if match and match[1] else None


def fill(text: str, lookup: Callable[[str, str], str]) -> str:
    """The text with `lookup(kind, name)` in the place of each reference and escapes taken off.

    Whatever `lookup` raises comes through.
    """
    if "${" not in text:
        return text
    return _PATTERN.sub(lambda match: lookup(match[1], match[2]) if match[1] else "${", text)


def as_text(value: Any) -> str:
    """How a value of a document is written inside a text: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
