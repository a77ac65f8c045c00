"""Value outputs: small JSON that a worker left in a file."""

from __future__ import annotations

import msgspec

from wattle.core.errors import InvalidRequest

VALUE_LIMIT = 1 << 20
"""Bytes of a value output."""


def read_value(path: str) -> object:
    """A value output as its worker left it: JSON, or else its text. Raises WattleError."""
    with open(path, "rb") as file:
        data = file.read(VALUE_LIMIT + 1)
    if len(data) > VALUE_LIMIT:
        raise InvalidRequest(f"the value in {path} is larger than 1 MiB", "make it an output of type file")
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return data.decode(errors="replace").rstrip("\n")
