"""Workflows that are spread over the cells of a notebook: found without executing anything, put together in any order.

A worker cell may come before the cell that defines its inputs, may run again, and may be gone in the next session of
the kernel. `merged` is the one rule for all of that, for a kernel that defines cell by cell and for a notebook that is
read as a whole.

Laws: pure; what cannot be complete yet waits and says for whom; the same cells give the same document.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wattle.core.errors import InvalidRequest

_MAGIC = re.compile(r"%%wattle\b(.*)")
Definition = dict[str, Any]
"""A worker in the form of a document, with its name and owner in it."""


class Cell(NamedTuple):
    """A cell that `%%wattle` heads: its number in the notebook from 1, the words after the magic, and what follows."""

    number: int
    line: str
    body: str


class Merged(NamedTuple):
    """The workers of a document, and for each that has to wait the names that it waits for."""

    workers: list[Definition]
    waiting: dict[str, list[str]]


def sources_of(worker: Mapping[str, Any]) -> set[str]:
    """The workers that a definition names."""
    found = set(worker.get("needs") or ())
    for given in (worker.get("inputs") or {}).values():
        found |= {source.partition("/")[0] for source in (given if isinstance(given, list) else [given])
                  if isinstance(source, str)}  # fmt: skip
    each = worker.get("each")
    return found | {each} if isinstance(each, str) and not each.startswith("${") else found


def merged(present: Sequence[Definition], new: Iterable[Definition], *, drop: str = "") -> Merged:
    """`present` with the new ones in it, each at its place or at the end; those whose owner is `drop` are gone first.

    A new one that names a worker which is not there waits, and whoever needs it with it. One that is there and would
    have to wait stays as it was.
    """
    kept = [worker for worker in present if not drop or worker.get("owner") != drop]
    coming = {worker["name"]: worker for worker in new}
    waiting: dict[str, list[str]] = {}
    while True:
        there = {worker["name"] for worker in kept} | (set(coming) - set(waiting))
        late = {name: sorted(missing) for name, worker in coming.items() if (missing := sources_of(worker) - there)}
        grown, waiting = set(late) != set(waiting), late
        if not grown:
            break
    ready = {name: worker for name, worker in coming.items() if name not in waiting}
    workers = [ready.pop(worker["name"], worker) for worker in kept]
    return Merged([*workers, *ready.values()], waiting)


# ---- a notebook as a file -----------------------------------------------------------------------------------------


def code_cells(text: str, name: str) -> list[str]:
    """The sources of a notebook's code cells; empty texts stand for other cells. Raises `InvalidRequest`."""
    try:
        book = json.loads(text)
        cells = book["cells"]
        sources = [_source(cell) if cell["cell_type"] == "code" else "" for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidRequest(f"{name} is not a notebook that can be read.", "save it as nbformat 4") from None
    return sources


def _source(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def wattle_cells(sources: Sequence[str]) -> list[Cell]:
    """The cells that begin with `%%wattle`, in the order of the notebook."""
    found = []
    for number, source in enumerate(sources, 1):
        first, _, body = source.lstrip("\n").partition("\n")
        magic = _MAGIC.match(first)
        if magic:
            found.append(Cell(number, magic[1].strip(), body))
    return found


def literals(sources: Iterable[str]) -> dict[str, Any]:
    """The variables that plain cells give a literal value: what `{{ name }}` can stand for without a kernel. A name
    that is assigned anything else, too, is none of them."""
    found: dict[str, Any] = {}
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue  # magics, shell lines, other languages
        for statement in tree.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        _note(found, target.id, statement.value)
    return {name: value for name, value in found.items() if value is not _note}


def _note(found: dict[str, Any], name: str, value: ast.expr) -> None:
    try:
        found[name] = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        found[name] = _note
