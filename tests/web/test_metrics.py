"""The metrics are what Prometheus's own parser reads, and say what a coordinator of real processes does."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from wattle.core.measures import BOUNDS, Histogram, Measures
from wattle.core.replies import Health
from wattle.web.metrics import CONTENT_TYPE, metrics_text

HEALTH = Health(version="1.2.3", store_id="abc", home="/h", rank="server", pid=7, epoch=3, started_at=12.5, ready=True,
                supervisor_pid=8, supervisor_state="", unfinished_runs=2, running_workers=3, loop_lag_ms=1.5)  # fmt: skip


def commits(*seconds: float) -> Histogram:
    found = Histogram()
    for each in seconds:
        found.observe(each)
    return found


def measures(**fields: Any) -> Measures:
    given: dict[str, Any] = {
        "runs": {"running": 2}, "runs_ended": {"failed": 1}, "workers": {"created": 5, "running": 3}, "queue": 4,
        "in_flight": 6, "held": {"slots": 6.0, "cpus": 2.0}, "limits": {"slots": 4.0, "cpus": 8.0}, "lag": 0.25,
        "commits": commits(0.0005, 0.002, 0.002, 99.0), "events": 1234, "trouble": False,
        "log_followers": 2,
    }  # fmt: skip
    return Measures(**{**given, **fields})


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels) -> value, as Prometheus reads it."""
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text.decode()) for sample in family.samples}  # fmt: skip


def test_every_number_of_a_picture_is_there() -> None:
    found = read(metrics_text(HEALTH, measures(), streams=5))
    assert {name: value for (name, labels), value in found.items() if not labels} == {
        "wattle_coordinator_epoch": 3, "wattle_coordinator_start_time_seconds": 12.5, "wattle_coordinator_ready": 1,
        "wattle_supervisor_up": 1, "wattle_event_streams": 5, "wattle_log_followers": 2, "wattle_runs_unfinished": 2,
        "wattle_queue_length": 4, "wattle_attempts_in_flight": 6, "wattle_slots_used": 6, "wattle_slots_limit": 4,
        "wattle_event_loop_lag_seconds": 0.25, "wattle_storage_trouble": 0, "wattle_events_total": 1234,
        "wattle_commit_seconds_count": 4, "wattle_commit_seconds_sum": pytest.approx(99.0045),
    }  # fmt: skip
    assert found["wattle_resource_used", (("resource", "cpus"),)] == 2
    assert found["wattle_resource_limit", (("resource", "cpus"),)] == 8


def test_every_status_is_there_also_when_it_is_nobodys() -> None:
    found = read(metrics_text(HEALTH, measures(), streams=0))
    by_status = {(name, dict(labels)["status"]): value for (name, labels), value in found.items()
                 if dict(labels).get("status")}  # fmt: skip
    assert by_status == {
        ("wattle_runs", "created"): 0, ("wattle_runs", "running"): 2,
        ("wattle_runs_ended_total", "completed"): 0, ("wattle_runs_ended_total", "failed"): 1,
        ("wattle_runs_ended_total", "cancelled"): 0,
        ("wattle_workers", "created"): 5, ("wattle_workers", "running"): 3, ("wattle_workers", "completed"): 0,
        ("wattle_workers", "failed"): 0, ("wattle_workers", "cancelled"): 0,
    }  # fmt: skip


def test_a_histogram_counts_upward() -> None:
    found = read(metrics_text(HEALTH, measures(), streams=0))
    buckets = {dict(labels)["le"]: value for (name, labels), value in found.items()
               if name == "wattle_commit_seconds_bucket"}  # fmt: skip
    assert len(buckets) == len(BOUNDS) + 1
    assert (buckets["0.001"], buckets["0.0025"], buckets["10.0"], buckets["+Inf"]) == (1, 3, 3, 4)


def test_a_bound_belongs_to_its_bucket() -> None:
    assert commits(BOUNDS[0]).counts[0] == 1
    copied = commits(1.0)
    copied.copy().observe(1.0)
    assert sum(copied.counts) == 1


def test_without_a_coordinator_it_says_what_it_knows() -> None:
    found = read(metrics_text(HEALTH, None, streams=0))
    assert found["wattle_runs_unfinished", ()] == 2
    assert found["wattle_event_loop_lag_seconds", ()] == 0.0015
    assert ("wattle_queue_length", ()) not in found


def test_followers_that_nobody_counts_are_not_called_none() -> None:
    found = read(metrics_text(HEALTH, measures(log_followers=None), streams=0))
    assert ("wattle_log_followers", ()) not in found


def test_what_runs_here_is_told_as_labels() -> None:
    found = read(metrics_text(HEALTH, None, streams=0))
    assert next(dict(labels)["version"] for name, labels in found if name == "wattle_build_info") == "1.2.3"
    assert found["wattle_coordinator_info", (("rank", "server"), ("store", "abc"))] == 1


def test_every_metric_has_help_and_wattles_own_name() -> None:
    families = list(text_string_to_metric_families(metrics_text(HEALTH, measures(), streams=1).decode()))
    assert all(family.name.startswith("wattle_") and family.documentation for family in families)
    assert "text/plain" in CONTENT_TYPE


def test_nothing_is_left_in_the_global_registry() -> None:
    metrics_text(HEALTH, measures(), streams=1)
    metrics_text(HEALTH, measures(), streams=1)
    assert not [family for family in REGISTRY.collect() if family.name.startswith("wattle")]
