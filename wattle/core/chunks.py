"""Pieces of a log as messages: text where it is UTF-8, base64 where it is not, never cut inside a character."""

from __future__ import annotations

import base64
from typing import NamedTuple


class Decoded(NamedTuple):
    """`used` bytes as `text`, or as `base64` when they are not UTF-8."""

    text: str | None
    base64: str | None
    used: int


def decode(data: bytes, *, final: bool = False) -> Decoded:
    """The longest piece of `data` that ends between two characters.

    Up to three bytes of a character that the end of the piece cut are left to the next piece (`used` is smaller than
    `len(data)`), unless it is `final`: nothing comes after it.
    """
    try:
        return Decoded(data.decode(), None, len(data))
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and not final:
            return Decoded(data[: error.start].decode(), None, error.start)
    return Decoded(None, base64.b64encode(data).decode("ascii"), len(data))
