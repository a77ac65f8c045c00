"""How a cell or a notebook is told its variables: as words of the command that runs it.

Each variable is three words, kind, name and text:

    json     lr      0.1               a value of `each`, as JSON
    file     raw     /…/raw.csv        an input or output that is a file; empty: its worker did not make it
    value    day     /…/day.json       an input that is a value
    parameter  top   /…/parameter-top.json  a parameter of a notebook
    object   table   /…/table.parquet  an input that is a saved variable
    rows:o   fits    /…/input-fits.json   a fan-in: a letter per row, or one for all, says what its output is
    stream   states  engine/states     what a live input is joined to
    save     best    /…/best           an output of type object: the stem of its file
    put      score   /…/score.json     an output of type value

Laws: pure. Words need no parser: a runner reads them before it has imported anything. `runtime/cell_runner.py` and
`runtime/notebook_runner.py` read what is written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from wattle.core.models import Output

_AFTER = {"object": "save", "value": "put"}


def given(row: Mapping[str, Any]) -> Iterator[str]:
    """The values of `each`."""
    for name, value in row.items():
        yield from ("json", name, msgspec.json.encode(value).decode())


def fed(ports: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """The inputs: port -> kind and path."""
    for port, (kind, path) in ports.items():
        yield from (kind, port, path)


def rows(types: Sequence[str]) -> str:
    """The kind of a fan-in whose rows hold outputs of these types."""
    letters = "".join(kind[:1] for kind in types)
    return "rows:" + (letters[:1] if len(set(letters)) < 2 else letters)


def made(outputs: Mapping[str, Output], paths: Mapping[str, str]) -> Iterator[str]:
    """The outputs that have a path."""
    for port, path in paths.items():
        yield from (_AFTER.get(outputs[port].type, "file"), port, path)
