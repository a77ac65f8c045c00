"""What a coordinator counts about itself, for whoever watches machines: a picture of numbers, and a histogram.

Laws: pure. Numbers are for graphs and alarms; what a person must know of a run is in events and replies, not here.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of a histogram's buckets, seconds: from a commit on a fast disk to one on a disk that is ill."""


class Histogram:
    """How often something took how long. One writer at a time; a reader may be some counts behind."""

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Per bucket; the last one has no upper bound."""
        self.seconds = 0.0
        """The sum of all."""

    def observe(self, seconds: float) -> None:
        """It took so long this time."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> Histogram:
        """As it is now."""
        found = Histogram(self.bounds)
        found.counts, found.seconds = list(self.counts), self.seconds
        return found


class Measures(msgspec.Struct, kw_only=True, frozen=True):
    """A coordinator at one moment."""

    runs: dict[str, int]
    """Unfinished runs by status."""
    runs_ended: dict[str, int]
    """Runs that ended since this coordinator began, by status."""
    workers: dict[str, int]
    """Workers of unfinished runs by status."""
    queue: int
    """Workers that are ready and not launched."""
    in_flight: int
    """Attempts that were launched and have not ended; some of them may still queue at the supervisor."""
    held: dict[str, float]
    """What attempts in flight take: `slots`, `cpus`, `memory`, `gpus`."""
    limits: dict[str, float]
    """What there is of each."""
    lag: float
    """The event loop's lateness, seconds, the worst of the newest probes."""
    commits: Histogram
    """How long transactions took."""
    events: int
    """The number of the newest event of the store."""
    trouble: bool
    """Nothing can be written at the moment."""
    log_followers: int | None = None
    """How many follow the live end of a log, where that is counted."""
