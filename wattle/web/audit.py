"""The audit file: who asked for which change, from where, and what came of it. One JSON object a line, appended.

Laws: every operation that writes or executes leaves one line, also when it was refused; what is only looked at leaves
none; no body, no token and no environment is ever written. The file is 0600. A disk that is full does not keep work
from being done: the loss is told in the log. The file does not grow for ever: a full one becomes `audit.log.1`, and the
oldest of four goes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from itertools import pairwise

from wattle.web.refusals import encode

log = logging.getLogger("wattle.web")

FULL = 4 << 20
"""Bytes after which a new file is begun."""
OLD_ONES = 3
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
            os.write(self._open(), encode({"time": round(self._clock(), 3), **short}) + b"\n")
        except OSError as error:
            log.error("the audit file %s cannot be written: %s; lost: %s", self.path, error, short)  # noqa: TRY400

    def _open(self) -> int:
        """The file to write to. Another process may write to it too, and may have begun a new one."""
        if self._descriptor is not None:
            mine = os.fstat(self._descriptor)
            there = self._is_at_path(mine)
            if there and mine.st_size < FULL:
                return self._descriptor
            self.close()
            if there:
                self._set_aside()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(self.path, flags, 0o600)
        os.fchmod(self._descriptor, 0o600)
        return self._descriptor

    def _is_at_path(self, mine: os.stat_result) -> bool:
        try:
            return os.path.samestat(mine, os.lstat(self.path))
        except FileNotFoundError:
            return False

    def _set_aside(self) -> None:
        names = [self.path, *(f"{self.path}.{number}" for number in range(1, OLD_ONES + 1))]
        for younger, older in reversed(list(pairwise(names))):
            if os.path.lexists(younger):
                os.replace(younger, older)

    def close(self) -> None:
        """Let go of the file; the next record opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
