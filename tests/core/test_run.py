"""The rules of a run, one by one. `test_run_machine.py` mixes them at random."""

from __future__ import annotations

import pytest

from tests.core.runs import end, finish, launch, make_run, opened, phases, ready
from wattle.core import events as ev
from wattle.core.models import Retry, RunOptions
from wattle.core.progress import FINAL, STATUS, TRANSITIONS


def test_only_workers_without_upstreams_are_ready_at_first() -> None:
    run = opened(make_run({"a": [], "b": ["a"], "c": []}))
    assert ready(run) == {"a", "c"}


def test_a_worker_becomes_ready_the_moment_its_last_upstream_completes() -> None:
    run = opened(make_run({"a": [], "b": [], "c": ["a", "b"]}))
    finish(run, "a")
    assert "c" not in ready(run)
    finish(run, "b")
    assert ready(run) == {"c"}


def test_a_run_completes_when_its_last_worker_does_and_says_so_once() -> None:
    run = opened(make_run({"a": []}))
    effects = finish(run, "a")
    assert effects == [ev.CloseRun("completed", "")]
    assert run.apply(ev.StopRequested(at=9.0)) == []
    assert run.status == "completed"


def test_a_failed_run_names_the_first_failure() -> None:
    run = opened(make_run({"a": [], "b": []}, on_failure="continue"))
    finish(run, "b", 3)
    finish(run, "a", 4)
    assert (run.status, run.reason, run.cause) == ("failed", "exit", "b")


def test_failing_fast_stops_what_runs_and_cancels_what_waits() -> None:
    run = opened(make_run({"a": [], "b": [], "c": ["b"]}))
    launch(run, "b")
    effects = finish(run, "a", 1)
    assert effects == [ev.StopWorker(1, 1, "b-1")]
    assert phases(run) == {"a": "failed", "b": "stopping", "c": "cancelled"}
    end(run, "b", None, signal=15)
    assert run.workers[1].reason == "run-failed"
    assert run.status == "failed"


def test_continue_cancels_only_the_descendants() -> None:
    run = opened(make_run({"a": [], "b": ["a"], "c": []}, on_failure="continue"))
    finish(run, "a", 1)
    assert phases(run) == {"a": "failed", "b": "cancelled", "c": "ready"}
    assert run.workers[1].reason == "upstream-failed"


def test_siblings_of_a_failed_group_member_finish_first() -> None:
    run = opened(make_run({"train": [], "other": []}, groups={"train": 3}))
    launch(run, "train.2")
    launch(run, "other")
    finish(run, "train.1", 1)
    assert phases(run) == {"train.1": "failed", "train.2": "running" if run.workers[1].pid else "starting",
                           "train.3": "ready", "other": "stopping"}  # fmt: skip


@pytest.mark.parametrize(("when", "code", "expected"), [
    ("ended", 0, "ready"), ("ended", 1, "ready"), ("failed", 1, "ready"), ("failed", 0, "cancelled"),
    ("completed", 1, "cancelled"),
])  # fmt: skip
def test_when_decides_whether_a_worker_runs_after_its_upstream(when: str, code: int, expected: str) -> None:
    run = opened(make_run({"a": [], "b": ["a"]}, workers={"b": {"when": when}}))
    finish(run, "a", code)
    assert phases(run)["b"] == expected


def test_a_failure_handler_that_was_not_needed_leaves_the_run_completed() -> None:
    run = opened(make_run({"a": [], "alarm": ["a"], "after": ["alarm"]}, workers={"alarm": {"when": "failed"}}))
    finish(run, "a")
    assert run.status == "completed"
    assert {run.workers[1].reason, run.workers[2].reason} == {"not-needed"}


def test_cleanup_and_what_follows_it_survive_failing_fast() -> None:
    run = opened(make_run({"a": [], "clean": ["a"], "tell": ["clean"]}, workers={"clean": {"when": "ended"}}))
    finish(run, "a", 1)
    finish(run, "clean")
    assert ready(run) == {"tell"}


def test_a_failed_attempt_is_retried_after_its_delay() -> None:
    run = opened(make_run({"a": []}, workers={"a": {"retries": Retry(max=2, delay=5.0, backoff=3.0)}}))
    assert finish(run, "a", 1) == [ev.SetTimer(0, 1, 5.0)]
    run.apply(ev.TimerFired(at=5.0, worker="a", attempt=1))
    assert finish(run, "a", 1) == [ev.SetTimer(0, 2, 15.0)]
    run.apply(ev.TimerFired(at=6.0, worker="a", attempt=2))
    finish(run, "a", 1)
    assert run.status == "failed"


@pytest.mark.parametrize(("lost_again", "phase"), [(False, "failed"), (True, "ready")])
def test_a_lost_attempt_is_retried_only_where_that_was_asked_for(lost_again: bool, phase: str) -> None:
    run = opened(make_run({"a": []}, workers={"a": {"retries": Retry(max=1), "retry_lost": lost_again}}))
    launch(run, "a")
    run.apply(ev.WorkerLost(at=3.0, worker="a", attempt=1, message="gone"))
    assert phases(run)["a"] == phase


def test_a_missing_outside_file_is_not_retried() -> None:
    run = opened(make_run({"a": []}, workers={"a": {"retries": Retry(max=5)}}))
    launch(run, "a")
    run.apply(ev.WorkerNotStarted(at=2.0, worker="a", attempt=1, message="no x", reason="input-missing"))
    assert (phases(run)["a"], run.reason) == ("failed", "input-missing")


def test_a_missing_output_fails_its_producer_only_if_somebody_needs_it() -> None:
    run = opened(make_run({"a": [], "b": ["a"]}, needed={"a": "table"}))
    finish(run, "a", 0, outputs={"table": None})
    assert run.workers[0].reason == "output-missing"
    alone = opened(make_run({"a": []}))
    finish(alone, "a", 0, outputs={"table": None})
    assert alone.status == "completed"


def test_a_stop_that_was_remembered_first_decides_over_a_later_success() -> None:
    run = opened(make_run({"a": []}))
    launch(run, "a")
    assert run.apply(ev.StopRequested(at=3.0)) == [ev.StopWorker(0, 1, "a-1")]
    end(run, "a", 0)
    assert (run.status, run.reason, phases(run)["a"]) == ("cancelled", "stopped", "cancelled")


def test_stopping_one_worker_is_no_failure() -> None:
    run = opened(make_run({"a": [], "b": []}))
    launch(run, "a")
    launch(run, "b")
    run.apply(ev.StopRequested(at=3.0, worker="a"))
    end(run, "a", None, signal=15)
    assert phases(run)["b"] == "starting"
    end(run, "b")
    assert run.status == "cancelled"


def test_an_attempt_taken_back_before_it_started_is_cancelled() -> None:
    run = opened(make_run({"a": []}))
    launch(run, "a")
    run.apply(ev.StopRequested(at=3.0))
    run.apply(ev.WorkerWithdrawn(at=3.5, worker="a", attempt=1))
    assert run.status == "cancelled"


def test_a_restart_is_the_next_attempt_and_is_not_counted() -> None:
    run = opened(make_run({"a": []}, workers={"a": {"retries": Retry(max=1)}}))
    launch(run, "a")
    run.apply(ev.RestartRequested(at=3.0, worker="a"))
    end(run, "a", None, signal=15)
    assert phases(run)["a"] == "ready"
    finish(run, "a", 1)
    assert phases(run)["a"] == "ready", "the retry is still there"


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_an_event_of_another_attempt_changes_nothing(attempt: int) -> None:
    run = opened(make_run({"a": []}, workers={"a": {"retries": Retry(max=3)}}))
    finish(run, "a", 1)
    launch(run, "a")
    before = phases(run)
    assert run.apply(ev.WorkerExited(at=9.0, worker="a", attempt=attempt, code=0)) == []
    assert phases(run) == before


def test_an_event_of_an_unknown_worker_changes_nothing() -> None:
    run = opened(make_run({"a": []}))
    assert run.apply(ev.WorkerExited(at=9.0, worker="nobody", attempt=1, code=0)) == []
    assert run.status == "created"


def test_results_taken_over_are_completed_and_let_the_rest_go_on() -> None:
    run = opened(make_run({"a": [], "b": ["a"]}, options=RunOptions(reused={"a": "flow@1"})))
    assert phases(run) == {"a": "completed", "b": "ready"}
    assert run.workers[0].reused_from == "flow@1"


def test_a_sequential_run_offers_the_smallest_document_index_first() -> None:
    run = opened(make_run({"c": ["a"], "a": [], "b": []}, mode="sequential"))
    finish(run, "a")
    assert run.head("") == (0, 0)


def test_a_queued_run_can_be_stopped_before_it_opens() -> None:
    run = make_run({"a": []})
    assert run.apply(ev.StopRequested(at=1.0)) == [ev.CloseRun("cancelled", "stopped")]


def test_every_phase_has_a_status_and_final_phases_have_no_way_out() -> None:
    assert set(TRANSITIONS) == set(STATUS)
    assert all(not TRANSITIONS[phase] for phase in FINAL)
