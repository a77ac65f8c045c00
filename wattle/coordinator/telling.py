"""What a commit makes true, as the bus is told it.

The picture is taken when the batch is closed, so that it shows what this commit makes durable and nothing newer; it is
told when the commit is done. A run that nobody listens to costs a number.
"""

from __future__ import annotations

from collections.abc import Iterable

from wattle.coordinator import views
from wattle.coordinator.live import LiveRun
from wattle.core.ports import Bus
from wattle.core.replies import RunChange

News = list[tuple[str, int, RunChange | None]]
"""(workflow, number, what has changed; None when nobody listened)."""


def gather(bus: Bus | None, runs: Iterable[LiveRun]) -> News:
    """What these runs' next commit will make true."""
    if bus is None:
        return []
    news: News = []
    for live in runs:
        spec, change = live.run.spec, None
        if bus.wanted(spec.workflow, spec.number):
            change = views.change(live.record, live.run, sorted(live.untold), 0, 0, first=False)
        live.untold.clear()
        news.append((spec.workflow, spec.number, change))
    return news


def tell(bus: Bus | None, news: News, seq: int) -> None:
    """It is durable, up to event `seq`."""
    if bus is None:
        return
    for workflow, number, change in news:
        if change is not None:
            change.seq = seq
        bus.publish(workflow, number, seq, change)
