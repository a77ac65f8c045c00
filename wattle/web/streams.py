"""The streams that are open: how many each caller follows, and the frames that they share."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from wattle.web.refusals import Refused
from wattle.web.sse import Frames

PER_CALLER = 256


class Streams:
    """All streams of one door."""

    def __init__(self, per_caller: int = PER_CALLER) -> None:
        self.per_caller = per_caller
        self.frames = Frames()
        self.callers: Counter[str] = Counter()
        """Streams that are open, by caller."""

    @contextlib.contextmanager
    def admitted(self, caller: str) -> Iterator[None]:
        """Count one more stream of this caller for as long as the block lasts. Raises Refused beyond the limit."""
        if self.callers[caller] >= self.per_caller:
            raise Refused(429, "too-many-streams", f"You follow {self.per_caller} streams already.",
                          "close some, or follow several things on one: /api/wattle/stream")  # fmt: skip
        self.callers[caller] += 1
        try:
            yield
        finally:
            self.callers[caller] -= 1
            if not self.callers[caller]:
                del self.callers[caller]
