"""Substitution: `${inputs.x} ${outputs.y} ${params.p} ${each.e} ${env.E} ${run.number} ${run.dir}` in a text.

Laws: a reference is replaced by its text and never looked at again, so a value that holds quotes, spaces, `$()` or
another `${…}` arrives byte for byte. Any other `${…}` stays as it is: it belongs to the shell. `$${` is a `${` that
Wattle leaves alone. Which names exist is not known here: `references` lists what is asked for, the caller judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wattle.core.errors import InvalidRequest

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


def escape(text: str) -> str:
    """The text so written that `fill` gives it back as it is."""
    return text.replace("${", "$${")


def among(scopes: Mapping[str, Mapping[str, str]], where: str) -> Callable[[str, str], str]:
    """A lookup for `fill` in one mapping per kind. `where` names the worker or field for the error.

    Raises (when called):
        InvalidRequest: there is no such name, or nothing of that kind can stand there.
    """

    def lookup(kind: str, name: str) -> str:
        try:
            return scopes[kind][name]
        except KeyError:
            known = ", ".join(f"${{{kind}.{other}}}" for other in list(scopes.get(kind, ()))[:20] if kind != "env")
            hint = f"known here: {known}" if known else f"${{{kind}.…}} cannot be used there" if kind != "env" else ""
            raise InvalidRequest(f"{where}: there is no ${{{kind}.{name}}}", hint) from None

    return lookup


def as_text(value: Any) -> str:
    """How a value of a document is written inside a text: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
