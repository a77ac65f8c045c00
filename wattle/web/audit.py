"""The audit file: who asked for which change, from where, and what came of it. One JSON object a line, appended.

Laws: every operation that writes or executes leaves one line, also when it was refused; what is only looked at leaves
none; no body, no token and no environment is ever written. The file is 0600. A disk that is full does not keep work
from being done: the loss is told in the log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from wattle.web.refusals import encode

log = logging.getLogger("wattle.web")

TEXT_LIMIT = 300
"""Characters of one field: what a stranger sends must not fill the disk."""


class Audit:
    """Appends to the file at `path`; `clock` gives seconds since the epoch."""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self.path = path
        self._clock = clock
        self._descriptor: int | None = None

    def record(self, **facts: str | int) -> None:
        """Write one line: the time and these facts. Never raises."""
        short = {name: fact[:TEXT_LIMIT] if isinstance(fact, str) else fact for name, fact in facts.items()}
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
                self._descriptor = os.open(self.path, flags, 0o600)
                os.fchmod(self._descriptor, 0o600)
            os.write(self._descriptor, encode({"time": round(self._clock(), 3), **short}) + b"\n")
        except OSError as error:
            log.error("the audit file %s cannot be written: %s; lost: %s", self.path, error, short)  # noqa: TRY400

    def close(self) -> None:
        """Let go of the file; the next record opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
