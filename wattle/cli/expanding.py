"""Kernel variables in option lines and in the bodies of workflows: `{{ expr }}`.

Alone it stands for the value as JSON, inside a text for the value as text. Nothing else is expanded: the body of a
worker never, and IPython's own `{x}` and `$x` are off.
"""

from __future__ import annotations

import json
import re
import shlex

from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Look = Callable[[str], Any]
    """What an expression is worth in the kernel."""

EXPRESSION = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
_HOLE = re.compile("\ue000(\\d+)\ue001")
_BEFORE = re.compile(r"(?:^|[:,\[{]|^\s*-)\s*$")
_AFTER = re.compile(r"\s*(?:$|[,\]}]|\s#)")


def words_of(line: str, look: Look) -> list[str]:
    """The words of an option line, as a shell would see them, expressions filled in and never split; a comment at its
    end is left out.

    Raises `InvalidRequest`.
    """
    found: list[str] = []

    def hole(expression: re.Match[str]) -> str:
        found.append(expression[1])
        return f"\ue000{len(found) - 1}\ue001"

    held = _uncommented(EXPRESSION.sub(hole, line))
    try:
        words = shlex.split(held)
    except ValueError as error:
        raise InvalidRequest(f"'{line.strip()}' cannot be split into words: {error}.", "close the quotes") from None
    return [_filled(word, found, look) for word in words]


def _uncommented(line: str) -> str:
    """Without what follows a `#` that stands alone, as after a line of Python; inside quotes and words it stays."""
    quote = ""
    for place, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and not line[:place][-1:].strip() and not line[place + 1 : place + 2].strip():
            return line[:place]
    return line


def _filled(word: str, found: list[str], look: Look) -> str:
    only = _HOLE.fullmatch(word)
    if only:
        value = _value(found[int(only[1])], look)
        return value if isinstance(value, str) else _json(value, found[int(only[1])])
    return _HOLE.sub(lambda hole: _text(_value(found[int(hole[1])], look), found[int(hole[1])]), word)


def expanded(body: str, look: Look, *, first_line: int = 1) -> str:
    """A document's text with its expressions filled in. Lines stay where they are.

    Raises `InvalidRequest`, which names the line.
    """
    lines = []
    for number, line in enumerate(body.split("\n"), first_line):
        out, place = [], 0
        for expression in EXPRESSION.finditer(line):
            before, after = line[: expression.start()], line[expression.end() :]
            try:
                value = _value(expression[1], look)
                alone = _BEFORE.search(before) and _AFTER.match(after)
                text = _json(value, expression[1]) if alone else _text(value, expression[1])
            except InvalidRequest as error:
                raise InvalidRequest(f"line {number}: {error.message}", f"{line.strip()}\n{error.hint}") from None
            if "\n" in text:
                raise InvalidRequest(f"line {number}: {{{{{expression[1]}}}}} has several lines, inside a text.",
                                     "let it stand alone: key: {{ name }}")  # fmt: skip
            out += [line[place : expression.start()], text]
            place = expression.end()
        lines.append("".join([*out, line[place:]]))
    return "\n".join(lines)


def _value(expression: str, look: Look) -> Any:
    try:
        return look(expression.strip())
    except Exception as error:  # noqa: BLE001  it is a person's expression
        raise InvalidRequest(f"{{{{{expression}}}}} cannot be filled in: {type(error).__name__}: {error}.",
                             "run the cell that defines it first") from None  # fmt: skip


def _text(value: Any, expression: str) -> str:
    return _json(value, expression) if isinstance(value, bool | list | tuple | dict) or value is None else str(value)


def _json(value: Any, expression: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{{{{{expression}}}}} is a {type(value).__name__}, which is no JSON: {error}.",
                             "make a list, a mapping, a number or a text of it") from None  # fmt: skip


def _plain(value: Any) -> Any:
    """What other libraries' values are in JSON: arrays and scalars, sets and ranges, paths and dates."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, set | frozenset | range):
        return sorted(value)
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise TypeError(f"{type(value).__name__} has no JSON form")
