"""Names for attempts, each given once."""

from __future__ import annotations

import secrets

BYTES, DRAWN = 8, 64


class Nonces:
    """Drawn many at a time, because asking the system lets other threads in."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def draw(self) -> str:
        """A name that no attempt ever had."""
        if not self._drawn:
            drawn = secrets.token_hex(BYTES * DRAWN)
            self._drawn = [drawn[at : at + 2 * BYTES] for at in range(0, len(drawn), 2 * BYTES)]
        return self._drawn.pop()
