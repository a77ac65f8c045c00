"""Text to plain values: JSON and TOML here, YAML in `core/yamltext.py`, one outcome for all three.

Laws: what cannot be read raises `Unreadable` with line, column and the text of the line; nothing else is ever raised.
Size is checked before anything is looked at. The usual case is read at the speed of the standard library's parser;
a slow scan for positions and duplicates (`core/positions.py`) runs only when something is known to be wrong.
"""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date, time
from typing import Any, NamedTuple

from wattle.core.findings import Finding, Unreadable, shorten

SIZE_LIMIT = 8 << 20
"""Bytes of a document."""

DEPTH_LIMIT = 32
"""Lists and mappings inside one another."""

_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOML_BLOCK = r'''"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}'''
_TOML_RAW_BLOCK = r"""'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"""
TOML_TEXT = rf"""{_TOML_BLOCK}|{_TOML_RAW_BLOCK}|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+'"""
"""A regular expression for every kind of text that TOML has."""

_TOML_QUIET = re.compile(rf"{TOML_TEXT}|\#[^\n]*+", re.DOTALL)
_TOML_KEY = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_TOML_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_TOML_KEY}\.[ \t]*+){{{DEPTH_LIMIT}}}")


class Place(NamedTuple):
    """Where a value stands: (line, column) of its key and of itself, from 1."""

    key: tuple[int, int]
    value: tuple[int, int]


class Reading(NamedTuple):
    """A plain value, what is already known to be wrong with it, and what was typed where it matters."""

    value: Any
    findings: list[Finding]
    originals: dict[tuple[int, str | int], str]
    rescan: bool = False
    """JSON only: something was met that only the scan for places can point at."""


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset in a text."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def too_deep() -> tuple[str, str]:
    """Message and hint."""
    return f"lists and mappings are nested deeper than {DEPTH_LIMIT}", "write a flatter document"


def decode(document: str | bytes) -> str:
    """The document as text without a byte order mark. Raises `Unreadable` when it is too long, not UTF-8, holds a NUL
    or nothing at all."""
    length = len(document)
    if length <= SIZE_LIMIT and isinstance(document, str) and not document.isascii():
        length = len(document.encode("utf-8", "surrogatepass"))
    if length > SIZE_LIMIT:
        raise Unreadable(f"the document has {length:,} bytes; at most {SIZE_LIMIT:,} are allowed",
                         "keep data in files and name them as inputs, or use `each`")  # fmt: skip
    text = (document if isinstance(document, str) else _utf8(document)).removeprefix("\ufeff")
    if "\0" in text:
        raise Unreadable("the document holds a NUL character", "remove it: a document is plain text",
                         *position(text, text.index("\0")))  # fmt: skip
    if not text.strip():
        raise Unreadable("the document is empty", "it needs `name` and `workers`")
    return text


def _utf8(document: bytes) -> str:
    try:
        return document.decode()
    except UnicodeDecodeError as error:
        before = document[: error.start].decode()
        found = f"the byte 0x{document[error.start]:02x} at offset {error.start:,}"
        raise Unreadable(f"the document is not UTF-8: {found}", "save it as UTF-8",
                         *position(before, len(before))) from None  # fmt: skip


def load_json(text: str) -> Reading:
    """The value of a JSON document; duplicate keys, NaN and numbers beyond reading set `rescan`."""
    rescan = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal rescan
        value = dict(pairs)
        if len(value) != len(pairs):
            rescan = True
        return value

    def constant(_: str) -> None:
        nonlocal rescan
        rescan = True

    try:
        value = json.loads(text, object_pairs_hook=mapping, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None
    except RecursionError:
        raise Unreadable(*too_deep(), *_depth_place(text)) from None
    except ValueError:  # Python refuses to read numbers of more than 4,300 digits
        digits = re.search(r"\d{4000,}", text)
        place = position(text, digits.start()) if digits else (0, 0)
        raise Unreadable("a number of thousands of digits", "put it in quotes", *place) from None
    return Reading(value, [], {}, rescan)


def _not_json(text: str, error: json.JSONDecodeError) -> Unreadable:
    line, column = position(text, error.pos)
    start = text.rfind("\n", 0, error.pos) + 1
    shown = text[max(start, error.pos - 30) : error.pos + 30].partition("\n")[0].strip()
    message = error.msg[:1].lower() + error.msg[1:]
    hint = "check the commas, quotes and brackets here and in the line above"
    rest = text[error.pos : error.pos + 2]
    before = text[: error.pos].rstrip()[-1:]
    if rest[:1] == "'":
        hint = 'JSON has double quotes: "name"'
    elif rest[:1] == "#" or rest == "//":
        hint = "JSON has no comments; YAML has"
    elif before == "," or (rest[:1] in ("]", "}") and "property name" in message):
        hint = "remove the comma after the last entry"
    elif message == "extra data":
        hint = "one file holds one workflow"
    where = f", at {shorten(shown)!r}" if text[error.pos :].strip() else ", at the end of the text"
    return Unreadable(f"not JSON: {message}{where}", hint, line, column)


def _depth_place(text: str) -> tuple[int, int]:
    """Where the first list or mapping too deep begins, strings left out."""
    depth = 0
    for match in re.finditer(r'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', text, re.DOTALL):
        if match[0] in ("[", "{"):
            depth += 1
            if depth > DEPTH_LIMIT:
                return position(text, match.start())
        elif match[0] in ("]", "}"):
            depth -= 1
    return 0, 0


def load_toml(text: str) -> Reading:
    """The value of a TOML document; dates and times become the text they look like."""
    if _TOML_LONG_KEY.search(text):  # tomllib would take minutes for a key of a million parts
        long_key = _TOML_LONG_KEY.search(_TOML_QUIET.sub(_blank, text))
        if long_key is not None:
            raise Unreadable(*too_deep(), *position(text, long_key.start()))
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(text, str(error)) from None
    except RecursionError:
        raise Unreadable(*too_deep(), *_depth_place(text)) from None
    except ValueError as error:
        raise Unreadable(f"not TOML: {error}", "put a number of thousands of digits in quotes") from None
    _undate(value)
    return Reading(value, [], {})


def _blank(match: re.Match[str]) -> str:
    """The same length and lines, without anything that could look like a key of many parts."""
    text = match[0]
    if text.startswith(("#", '"""', "'''")):
        return re.sub(r"[^\n]", " ", text)
    return f'"{"_" * (len(text) - 2)}"'


def _not_toml(text: str, message: str) -> Unreadable:
    place = _TOML_PLACE.search(message)
    lines = text.splitlines() or [""]
    line, column = (int(place[1]), int(place[2])) if place and place[1] else (len(lines), len(lines[-1]) + 1)
    message = _TOML_PLACE.sub("", message)
    shown = lines[line - 1].strip() if line <= len(lines) else ""
    hint = "check the quotes, brackets and `=` in this line"
    if "overwrite" in message or "declare" in message or "twice" in message:
        hint = "a table or key stands here twice: remove or rename one of them"
    elif "Invalid value" in message:
        hint = "put a text in quotes"
    message = f"not TOML: {message[:1].lower()}{message[1:]}, in the line {shorten(shown)!r}"
    return Unreadable(message, hint, line, column)


def _undate(value: Any) -> None:
    """Replace every date and time by its text, in place."""
    todo = [value]
    while todo:
        container = todo.pop()
        entries = container.items() if isinstance(container, dict) else enumerate(container)
        for key, entry in list(entries):
            if isinstance(entry, dict | list):
                todo.append(entry)
            elif isinstance(entry, date | time):
                container[key] = entry.isoformat()
