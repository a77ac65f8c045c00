"""What Wattle puts into a notebook before it runs: one cell that sets the variables, one at the end that keeps them.

As papermill does it, the first goes after the cell with the tag `parameters` (so that what stands there are defaults)
or on top, has the tag `injected-parameters`, and takes the place of one that an earlier execution put there.

Laws: what is put in is plain source that a person can read and run again; values are literals unless they are long; a
saved variable is loaded by `cell_values.py`, by its path, because the kernel may know no Wattle.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from wattle.runtime import cell_values

Ports = Sequence[tuple[str, str, str]]
"""(kind, name, text), as in `core/runners.py`."""

AFTER = {"save", "put"}
OURS = ("# Set by Wattle", "# Kept by Wattle")
"""How the cells begin that are put in."""
LONGEST = 10_000
"""Characters of a literal; longer values are read from their file."""
_CODEC = """\
import importlib.util
_wattle_spec = importlib.util.spec_from_file_location("_wattle_cell_values", {path!r})
_wattle = importlib.util.module_from_spec(_wattle_spec)
_wattle_spec.loader.exec_module(_wattle)"""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PLACE = re.compile(r"^ *(?:Cell|Input) In ?\[(\d+)\](?:, line (\d+))?", re.MULTILINE)
_ARROW = re.compile(r"^-+> (\d+) ", re.MULTILINE)


# --- what is put in -----------------------------------------------------------------------------------------------


def given(ports: Ports, title: str) -> str:
    """The source that sets every variable that is there before; empty when there is none.

    Raises:
        OSError, ValueError: a value or the rows of a fan-in cannot be read.
    """
    lines = [f"{name} = {_expression(kind, text)}" for kind, name, text in ports if kind not in AFTER]
    if not lines:
        return ""
    body = "\n".join(lines)
    head = [f"{OURS[0]}: {title}"]
    if "Path(" in body:
        head.append("from pathlib import Path")
    if "json.loads(" in body:
        head.append("import json")
    if "_wattle." in body:
        head.append(_CODEC.format(path=cell_values.__file__))
    return "\n".join([*head, "", *lines])


def kept(ports: Ports) -> str:
    """The source that saves the variables that are outputs; empty when none is."""
    after = [port for port in ports if port[0] in AFTER]
    if not after:
        return ""
    listed = "".join(f"    {port!r},\n" for port in after)
    head = f"{OURS[1]}: {', '.join(port[1] for port in after)}"
    return "\n".join([head, _CODEC.format(path=cell_values.__file__), "", f"_wattle.keep_all([\n{listed}], globals())"])


def inject(cells: list[Any], before: Any | None, after: Any | None) -> list[Any]:
    """The cells with what is put in."""
    result = [cell for cell in cells if not {"injected-parameters", "injected-outputs"} & _tags(cell)]
    if before is not None:
        place = next((number + 1 for number, cell in enumerate(result) if "parameters" in _tags(cell)), 0)
        result.insert(place, before)
    if after is not None:
        result.append(after)
    return result


def _tags(cell: Any) -> set[str]:
    found = cell.get("metadata", {}).get("tags")
    return {tag for tag in found if isinstance(tag, str)} if isinstance(found, list) else set()


class _Source(str):
    """Text that is source already."""

    __slots__ = ()


def _expression(kind: str, text: str) -> str:
    """What a variable is set to."""
    if not text and kind != "json":
        return "None"  # its worker did not make it
    if kind == "json":
        return _literal(json.loads(text))
    if kind in {"value", "parameter"}:
        source = _literal(cell_values.load_value(text))
        return source if len(source) <= LONGEST else f"_wattle.load_value({text!r})"
    if kind.startswith("rows:"):
        source = _rows(kind[5:], text)
        return source if len(source) <= LONGEST else f"_wattle.rows({kind[5:]!r}, {text!r})"
    return _output(kind[:1], text)


def _output(letter: str, text: str) -> _Source:
    forms = {"f": "Path({!r})", "o": "_wattle.load({!r})"}
    return _Source(forms.get(letter, "{!r}").format(text))


def _rows(letters: str, path: str) -> str:
    rows = cell_values.load(path)
    for number, row in enumerate(rows):
        letter = letters[number] if len(letters) > 1 else letters
        port = next(reversed(row))
        if letter in {"f", "o"} and row[port] is not None:
            row[port] = _output(letter, row[port])
    return "[\n" + "".join(f"    {_literal(row)},\n" for row in rows) + "]" if rows else "[]"


def _literal(value: Any) -> str:
    """A value of JSON as Python writes it."""
    if isinstance(value, _Source):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


# --- where it failed ----------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A line of a notebook: the number of the cell as its `[n]` shows it, the line in it, its text."""

    cell: int
    line: int
    text: str


def plain(text: str) -> str:
    """Without colours."""
    return _ANSI.sub("", text)


def place_of(traceback: str, sources: dict[int, str], failed: int) -> Place:
    """The innermost line of the notebook's own in an IPython traceback. `sources` are cells by their `[n]`, `failed` is
    the `[n]` of the one that failed."""
    said = plain(traceback)
    found = [match for match in _PLACE.finditer(said) if int(match[1]) in sources]
    if not found:
        return Place(failed, 0, "")
    last = found[-1]
    arrow = None if last[2] else _ARROW.search(said, last.end())
    line = int(last[2] or (arrow[1] if arrow else 0))
    lines = sources[int(last[1])].split("\n")
    return Place(int(last[1]), line, lines[line - 1].strip() if 0 < line <= len(lines) else "")


def summary(name: str, place: Place, error: str) -> Iterator[str]:
    """The failure once more, in the form of a traceback of Python: what is looked for at the end of a log."""
    yield "Traceback (most recent call last):"
    yield f'  File "{os.path.basename(name)}, cell {place.cell}", line {max(1, place.line)}, in <module>'
    if place.text:
        yield f"    {place.text}"
    yield error
