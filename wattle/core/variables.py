"""What becomes a variable in a cell or a notebook: whether Python has such a name, and whether two would be one.

The ports of a cell and the values of its `each` are variables of its source, so they obey the rules of Python's names.
An input and an object may share one (`table = table.dropna()`): the first is there before, the other saved after.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator

from wattle.core.findings import Findings, Path
from wattle.core.models import Output
from wattle.core.shapes import Draft
from wattle.core.wiring import Wires

_AFTER = ("object", "value")
"""Types of output whose variable is read when the source has ended."""


def check_variables(found: Findings, wires: Wires) -> None:
    """Report every name of a cell or notebook that cannot be a variable, or that would be two."""
    for number, draft in enumerate(wires.drafts):
        if "cell" not in draft.fields and "notebook" not in draft.fields:
            continue
        taken: dict[str, str] = {}
        for path, name, noun, before in _variables(wires, number, draft):
            if flaw := name_flaw(name):
                found.add(path, f"{flaw}, so the {noun} {name!r} cannot be a variable", "rename it", at_key=True)
            elif before and taken.setdefault(name, noun) != noun:
                found.add(path, f"the {noun} and the {taken[name]} {name!r} would be one variable", "rename one",
                          at_key=True)  # fmt: skip


def name_flaw(name: str) -> str:
    """Why Python would not take it as a variable of a program; empty when it would."""
    if keyword.iskeyword(name):
        return "it is a word of Python"
    return "Python keeps such names for itself" if name.startswith("__") else ""


def _variables(wires: Wires, number: int, draft: Draft) -> Iterator[tuple[Path, str, str, bool]]:
    """Where it stands, its name, what it is, and whether it is there before the source runs."""
    for port in draft.fields.get("inputs") or ():
        yield (*draft.path, "inputs", port), port, "input", True
    outputs: dict[str, Output] = draft.fields.get("outputs") or {}
    for port, output in outputs.items():
        yield (*draft.path, "outputs", port), port, "output", output.type not in _AFTER
    for name in draft.fields.get("parameters") or ():
        yield (*draft.path, "parameters", name), name, "parameter", True
    for name in sorted(wires.each_names(number) or ()):
        yield (*draft.path, "each"), name, "name in each", True
