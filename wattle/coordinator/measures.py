"""A coordinator's own numbers: counted as it commits, and taken as a picture when somebody asks."""

from __future__ import annotations

from collections import Counter

from wattle.coordinator.coordinator import Coordinator
from wattle.core.dispatch import RESOURCES
from wattle.core.measures import Measures


def take(coordinator: Coordinator, log_followers: int | None = None) -> Measures:
    """The numbers of this moment. Call it on the coordinator's loop; its cost grows with what is ready, not with what
    there is. `log_followers` is what whoever serves logs has counted."""
    runs = [live.run for live in coordinator.runs.values()]
    dispatcher = coordinator.dispatcher
    workers: Counter[str] = Counter()
    for run in runs:
        workers.update(run.tally)
    limits = {name: dispatcher.totals[name] for name in ("slots", *RESOURCES) if name in dispatcher.totals}
    return Measures(
        runs=dict(Counter(run.status for run in runs)), runs_ended=dict(coordinator.tally.ended), workers=dict(workers),
        queue=sum(len({index for queue in run.ready.values() for _, index in queue
                       if run.workers[index].phase == "ready"}) for run in runs),
        in_flight=sum(run.in_flight for run in runs),
        held={name: dispatcher.used.get(name, 0.0) for name in limits}, limits=limits, lag=coordinator.lag,
        commits=coordinator.tally.commits.copy(), events=coordinator.seq, trouble=bool(coordinator.trouble),
        log_followers=log_followers,
    )  # fmt: skip
