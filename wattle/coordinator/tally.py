"""What a coordinator counts as it commits."""

from __future__ import annotations

from collections import Counter

from wattle.core.measures import Histogram
from wattle.core.progress import FINAL
from wattle.core.records import Batch


class Tally:
    """Fed by the writer thread after each commit."""

    def __init__(self) -> None:
        self.commits = Histogram()
        self.ended: Counter[str] = Counter()
        """Runs that ended, by status."""

    def committed(self, batch: Batch, seconds: float) -> None:
        """This batch is durable, and it took so long."""
        self.commits.observe(seconds)
        for record in batch.runs.values():
            if record.status in FINAL:
                self.ended[record.status] += 1
