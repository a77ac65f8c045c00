"""Values as words of a command line: JSON where a word reads as JSON, else text."""

from __future__ import annotations

import json
import sys

from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def read_json(text: str) -> Any:
    """What a text says as JSON, which knows no NaN. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_not_json)
    except RecursionError:
        raise ValueError(text) from None


def _not_json(word: str) -> NoReturn:
    raise ValueError(word)


def value_of(word: str | None, *, text: bool = False) -> Any:
    """The value that a word means; `-` or no word is the standard input. With `text` it is text in any case.

    Raises:
        InvalidRequest: there is none.
    """
    if word is None or word == "-":
        word = _standard_input()
    if text:
        return word
    try:
        return read_json(word)
    except ValueError:
        return word


def _standard_input() -> str:
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidRequest("There is no value.", "say it, or pipe it in: echo 0.9 | wattle put score -")
    try:
        found = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The standard input is not UTF-8: {error.reason}.",
                             "a file output holds any bytes") from None  # fmt: skip
    if not found.strip():
        raise InvalidRequest("The standard input is empty, and a value is wanted.", "say it: wattle put score 0.9")
    return found.rstrip("\n")


def shown_value(value: Any, *, raw: bool = False) -> str:
    """A value for people and pipes: JSON; with `raw` a text as it is."""
    return value if raw and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
