"""The end of a worker's session, seen from its other threads: whoever is inside a call of the bus comes out first.

Why it exists: a thread that an ending interpreter takes away inside a call of Zenoh aborts the whole process. So the
gate is shut before the end, nobody enters it any more, and those who are inside are waited for.
"""

from __future__ import annotations

import threading
import time
from typing import Self

from wattle.sdk.worker_errors import NoBus


class Ending(NoBus):
    """The session, or the program, is ending."""

    code = "ending"


class Gate:
    """`with gate:` around each call of the bus. Raises `Ending` once it is shut."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._shut = False

    def __enter__(self) -> Self:
        with self._lock:
            if self._shut:
                raise Ending("This worker is leaving the bus.")
            self._inside += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def shut(self, limit: float = 1.0) -> None:
        """Let nobody in, and wait up to `limit` seconds for those who are inside. Shutting it twice is fine."""
        with self._lock:
            self._shut = True
        deadline = time.monotonic() + limit
        while self._inside and time.monotonic() < deadline:
            time.sleep(0.001)
