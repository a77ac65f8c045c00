"""What a coordinator is doing, in Prometheus's text format, written by Prometheus's own library.

Laws: nothing is registered anywhere: each answer has a registry of its own, made from one picture, so that its numbers
fit together. Labels are words of Wattle's (a status, a resource), never names of workflows, of which there may be many.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)  # fmt: skip
from prometheus_client.registry import Collector

from wattle.core.measures import Histogram, Measures
from wattle.core.replies import Health

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
STATUSES = ("created", "running", "completed", "failed", "cancelled")
UNFINISHED, ENDED = STATUSES[:2], STATUSES[2:]


def metrics_text(health: Health, measures: Measures | None, *, streams: int) -> bytes:
    """The text. Without `measures`, what `health` says alone. `streams` are event streams that are open."""
    registry = CollectorRegistry()
    registry.register(_Picture(health, measures, streams))
    return generate_latest(registry)


class _Picture(Collector):
    """One moment as metrics."""

    def __init__(self, health: Health, measures: Measures | None, streams: int) -> None:
        self._health = health
        self._measures = measures
        self._streams = streams

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        health, measures = self._health, self._measures
        versions = {"version": health.version, "python": platform.python_version()}
        yield InfoMetricFamily("wattle_build", "What runs here", versions)
        yield InfoMetricFamily("wattle_coordinator", "Who coordinates", {"rank": health.rank, "store": health.store_id})
        yield _gauge("coordinator_epoch", "How many coordinators this store has had", health.epoch)
        yield _gauge("coordinator_start_time_seconds", "When this coordinator began", health.started_at)
        yield _gauge("coordinator_ready", "1 when it takes requests and its disk can be written", health.ready)
        yield _gauge("supervisor_up", "1 when it has a supervisor", health.supervisor_pid is not None)
        yield _gauge("event_streams", "Event streams that clients follow", self._streams)
        if measures is None:
            yield _gauge("runs_unfinished", "Runs that have not ended", health.unfinished_runs)
            yield _gauge("event_loop_lag_seconds", "How late the event loop is", health.loop_lag_ms / 1000)
        else:
            yield from _counted(measures)


def _counted(measures: Measures) -> Iterator[Metric]:
    yield _gauge("runs_unfinished", "Runs that have not ended", sum(measures.runs.values()))
    yield _gauges("runs", "Runs that have not ended, by status", "status", dict.fromkeys(UNFINISHED, 0) | measures.runs)
    ended = CounterMetricFamily("wattle_runs_ended", "Runs that ended since this coordinator began", labels=["status"])
    for status, count in (dict.fromkeys(ENDED, 0) | measures.runs_ended).items():
        ended.add_metric([status], count)
    yield ended
    workers = dict.fromkeys(STATUSES, 0) | measures.workers
    yield _gauges("workers", "Workers of runs that have not ended, by status", "status", workers)
    yield _gauge("queue_length", "Workers that are ready and not launched", measures.queue)
    yield _gauge("attempts_in_flight", "Attempts that were launched and have not ended", measures.in_flight)
    yield _gauge("slots_used", "Slots that attempts in flight hold; up to twice the limit are launched ahead",
                 measures.held.get("slots", 0))  # fmt: skip
    yield _gauge("slots_limit", "Workers that may run at once", measures.limits.get("slots", 0))
    yield _gauges("resource_used", "What attempts in flight have declared", "resource", _resources(measures.held))
    yield _gauges("resource_limit", "What this machine has", "resource", _resources(measures.limits))
    yield _gauge("event_loop_lag_seconds", "How late the event loop is, the worst of the newest probes", measures.lag)
    yield _gauge("storage_trouble", "1 when nothing can be written at the moment", measures.trouble)
    if measures.log_followers is not None:
        yield _gauge("log_followers", "Followers of the live end of a log", measures.log_followers)
    yield CounterMetricFamily("wattle_events", "Events in the store", measures.events)
    yield _histogram("commit_seconds", "How long transactions took", measures.commits)


def _resources(found: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name != "slots"}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"wattle_{name}", text, float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(f"wattle_{name}", text, labels=[label])
    for key, value in values.items():
        found.add_metric([key], value)
    return found


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    buckets: list[tuple[str, float]] = list(zip(bounds, map(float, accumulate(histogram.counts)), strict=True))
    return HistogramMetricFamily(f"wattle_{name}", text, buckets=buckets, sum_value=histogram.seconds)
