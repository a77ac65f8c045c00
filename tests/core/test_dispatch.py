"""The dispatcher: fair among runs, in order inside a run, never beyond a limit."""

from __future__ import annotations

from tests.core.runs import launch, make_run, opened
from wattle.core.dispatch import Dispatcher
from wattle.core.models import Resources, RunOptions
from wattle.core.run import Run


def pick_all(dispatcher: Dispatcher, *runs: Run) -> list[str]:
    """Launch everything that may be launched; the names with their run's number, in order."""
    picked = []
    for run, index in dispatcher.picks(runs):
        name = run.workers[index].instance.name
        dispatcher.hold(f"{name}@{run.spec.number}", dispatcher.limits(run, index))
        launch(run, name)
        picked.append(f"{name}@{run.spec.number}")
    return picked


def test_twice_the_slots_are_in_flight_and_no_more() -> None:
    run = opened(make_run({name: [] for name in "abcdefg"}))
    assert pick_all(Dispatcher({"slots": 2}), run) == ["a@1", "b@1", "c@1", "d@1"]


def test_the_run_with_the_fewest_in_flight_is_served_next_and_ties_go_to_the_older() -> None:
    first = opened(make_run({name: [] for name in "abc"}, number=1))
    second = opened(make_run({name: [] for name in "abc"}, number=2))
    assert pick_all(Dispatcher({"slots": 2}), second, first) == ["a@1", "a@2", "b@1", "b@2"]


def test_a_group_at_its_limit_lets_others_pass() -> None:
    run = opened(make_run({"g": [], "z": []}, groups={"g": 5}, workers={"g": {"max_concurrent": 1}}))
    assert pick_all(Dispatcher({"slots": 4}), run) == ["g.1@1", "g.2@1", "z@1"]


def test_a_sequential_run_has_one_in_flight() -> None:
    run = opened(make_run({"a": [], "b": []}, mode="sequential"))
    assert pick_all(Dispatcher({"slots": 4}), run) == ["a@1"]


def test_the_smallest_of_all_limits_counts() -> None:
    run = make_run({name: [] for name in "abcdef"}, options=RunOptions(jobs=1), max_concurrent_workers=3)
    dispatcher = Dispatcher({"slots": 8})
    assert dispatcher.run_limit(run) == 1
    assert pick_all(dispatcher, opened(run)) == ["a@1", "b@1"]


def test_declared_resources_are_counted_and_given_back() -> None:
    run = opened(make_run({"a": [], "b": [], "c": []}, workers={n: {"resources": Resources(cpus=2)} for n in "abc"}))
    dispatcher = Dispatcher({"slots": 8, "cpus": 2})
    assert pick_all(dispatcher, run) == ["a@1", "b@1"]
    dispatcher.release("a@1")
    dispatcher.release("a@1")
    assert pick_all(dispatcher, run) == ["c@1"]
