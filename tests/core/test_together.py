"""Gangs start and end as one, services serve until nobody is left, and in mode parallel nothing waits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.runs import end, finish, launch, make_run, opened, phases, ready
from wattle.core import events as ev
from wattle.core.dispatch import Dispatcher
from wattle.core.document import parse_document
from wattle.core.expand import expand, resolve_rows
from wattle.core.models import RunOptions, RunSpec
from wattle.core.run import Run

LIVE = {"outputs": {"state": {"type": "stream"}}}


def run_of(workers: dict[str, Any], **document: Any) -> Run:
    """A run of a document, opened."""
    flow = parse_document({"name": "flow", "working_dir": "/tmp", "workers": workers, **document}, base_dir="/").workflow
    instances = expand(flow, resolve_rows(flow, {}, lambda _pattern: []))
    return opened(Run(RunSpec(id=1, workflow="flow", number=1, document=flow, options=RunOptions()), instances))


def loop(**more: Any) -> Run:
    """Engine and controller in a loop, a renderer that follows, `setup` before the engine, `plot` after the renderer."""
    return run_of({
        "setup": {"command": "true"},
        "engine": {"command": "x", **LIVE, "inputs": {"u": "controller/state"}, "needs": ["setup"]},
        "controller": {"command": "x", **LIVE, "inputs": {"y": "engine/state"}},
        "renderer": {"command": "x", "inputs": {"y": "engine/state"}, "outputs": ["frames.bin"]},
        "plot": {"command": "x ${inputs.f}", "inputs": {"f": "renderer/frames"}},
    }, **more)  # fmt: skip


GANG = {"engine", "controller", "renderer"}


def picked(dispatcher: Dispatcher, run: Run) -> list[str]:
    """Names of what is launched now, in order."""
    names = []
    for _, index in dispatcher.picks([run]):
        name = run.workers[index].instance.name
        nonce = f"{name}-{run.workers[index].attempt + 1}"
        dispatcher.hold(nonce, dispatcher.limits(run, index))
        launch(run, name)
        names.append(name)
    return names


def test_a_gang_waits_for_what_any_member_waits_for_and_becomes_ready_as_one() -> None:
    run = loop()
    assert ready(run) == {"setup"}
    finish(run, "setup")
    assert ready(run) == GANG
    assert phases(run)["plot"] == "waiting"


def test_a_gang_is_launched_as_one_and_what_lies_below_a_member_follows_its_end() -> None:
    run, dispatcher = loop(), Dispatcher({"slots": 3})
    assert picked(dispatcher, run) == ["setup"]
    end(run, "setup")
    dispatcher.release("setup-1")
    assert picked(dispatcher, run) == ["engine", "controller", "renderer"]
    members = [run.by_name[name] for name in ("engine", "controller", "renderer")]
    assert [dispatcher.limits(run, member)["slots"] for member in members] == [(1, 3)] * 3
    assert dispatcher.rooms((run, member) for member in members) == {(1, members[0]): {"slots": (3, 3)}}
    assert dispatcher.rooms([(run, members[1])]) == {}, "one that starts again alone waits for its own room"
    end(run, "renderer")
    dispatcher.release("renderer-1")
    assert picked(dispatcher, run) == ["plot"], "a member that has ended gives its slot back"
    for name in ("engine", "controller"):
        end(run, name)
    finish(run, "plot")
    assert run.status == "completed"


def test_a_gang_larger_than_the_machine_takes_all_of_it() -> None:
    run, dispatcher = loop(), Dispatcher({"slots": 2})
    assert picked(dispatcher, run) == ["setup"]
    end(run, "setup")
    dispatcher.release("setup-1")
    assert picked(dispatcher, run) == ["engine", "controller", "renderer"]
    assert [dispatcher.limits(run, run.by_name[name])["slots"] for name in ("engine", "controller", "renderer")] == [
        (1, 2), (1, 2), (0, 2)]  # fmt: skip
    assert dispatcher.used["slots"] == 2


def test_members_wait_behind_their_first_for_everything_that_any_of_them_takes() -> None:
    run = run_of({
        "a": {"command": "x", **LIVE, "resources": {"cpus": 1}},
        "b": {"command": "x", "inputs": {"s": "a/state"}, "resources": {"memory": "1G"}},
    })  # fmt: skip
    dispatcher = Dispatcher({"slots": 4, "cpus": 2, "memory": 4 << 30})
    assert dispatcher.limits(run, 0) == {"slots": (1, 4), "cpus": (1, 2), "memory": (0, 4 << 30)}
    assert dispatcher.limits(run, 1) == {"slots": (1, 4), "cpus": (0, 2), "memory": (1 << 30, 4 << 30)}
    assert dispatcher.room(run, [0, 1]) == {"slots": (2, 4), "cpus": (1, 2), "memory": (1 << 30, 4 << 30)}


def test_what_runs_again_takes_its_gang_and_all_below_with_it() -> None:
    run = loop()
    names = {run.workers[index].instance.name for index in run.together.from_here_on([run.by_name["controller"]])}
    assert names == {*GANG, "plot"}
    assert run.together.from_here_on([run.by_name["plot"]]) == {run.by_name["plot"]}


def test_when_a_member_fails_the_others_end() -> None:
    run = loop(on_failure="continue")
    finish(run, "setup")
    for name in ("engine", "controller", "renderer"):
        launch(run, name)
    effects = end(run, "controller", 3)
    assert {run.workers[effect.index].instance.name for effect in effects if isinstance(effect, ev.StopWorker)} == {
        "engine", "renderer"}  # fmt: skip
    for name in ("engine", "renderer"):
        end(run, name, None, signal=15)
    assert phases(run) == {"setup": "completed", "engine": "cancelled", "controller": "failed",
                           "renderer": "cancelled", "plot": "cancelled"}  # fmt: skip
    assert (run.status, run.cause) == ("failed", "controller")


@pytest.mark.parametrize("member", sorted(GANG))
def test_a_gang_of_which_one_is_stopped_before_it_began_does_not_begin(member: str) -> None:
    run = loop(on_failure="continue")
    run.apply(ev.StopRequested(at=2.0, worker=member))
    run.check()
    assert {phases(run)[name] for name in GANG} == {"cancelled"}
    finish(run, "setup")
    assert run.status == "cancelled"


def test_while_a_gang_waits_for_slots_nothing_overtakes_it() -> None:
    run = run_of({
        "l1": {"command": "x"}, "l2": {"command": "x"}, "l3": {"command": "x"}, "first": {"command": "x"},
        "a": {"command": "x", **LIVE, "needs": ["first"]}, "b": {"command": "x", "inputs": {"s": "a/state"}},
        "late": {"command": "x", "needs": ["first"]},
    })  # fmt: skip
    dispatcher = Dispatcher({"slots": 2})
    assert picked(dispatcher, run) == ["l1", "l2", "l3", "first"], "two run, two wait behind them"
    end(run, "first")
    dispatcher.release("first-1")
    assert picked(dispatcher, run) == [], "there is room for one, and two must start"
    end(run, "l1")
    dispatcher.release("l1-1")
    assert picked(dispatcher, run) == ["a", "b"]


def test_a_service_ends_as_completed_when_nobody_is_left_to_serve() -> None:
    run = run_of({
        "server": {"command": "x", "service": True}, "one": {"command": "x"}, "two": {"command": "x", "needs": ["one"]},
        "after": {"command": "x", "needs": ["server"]},
    })  # fmt: skip
    launch(run, "server")
    finish(run, "one")
    launch(run, "two")
    effects = end(run, "two")
    assert [run.workers[effect.index].instance.name for effect in effects if isinstance(effect, ev.StopWorker)] == ["server"]
    end(run, "server", None, signal=15)
    assert phases(run)["server"] == "completed"
    assert ready(run) == {"after"}
    finish(run, "after")
    assert run.status == "completed"


def test_a_service_that_fails_is_a_failure_and_one_that_never_began_is_not_needed() -> None:
    run = run_of({"server": {"command": "x", "service": True}, "one": {"command": "x"}}, on_failure="continue")
    finish(run, "server", 1)
    finish(run, "one")
    assert (run.status, run.cause) == ("failed", "server")
    other = run_of({"server": {"command": "x", "service": True}, "one": {"command": "x"}})
    finish(other, "one")
    assert phases(other)["server"] == "cancelled"
    assert other.status == "completed"


def test_a_stop_of_the_run_is_a_stop_for_services_too() -> None:
    run = run_of({"server": {"command": "x", "service": True}, "one": {"command": "x"}})
    launch(run, "server")
    launch(run, "one")
    run.apply(ev.StopRequested(at=3.0))
    end(run, "one", None, signal=15)
    end(run, "server", None, signal=15)
    assert phases(run)["server"] == "cancelled"
    assert run.status == "cancelled"


def test_services_alone_run_until_they_are_stopped() -> None:
    run = run_of({"server": {"command": "x", "service": True}})
    launch(run, "server")
    assert phases(run)["server"] == "starting"
    assert run.status == "running"


def test_in_mode_parallel_everything_starts_at_once_whatever_the_slots() -> None:
    workers: dict[str, Any] = {f"w{i}": {"command": "x", "outputs": ["o.txt"]} for i in range(5)}
    workers["last"] = {"command": "x ${inputs.o}", "inputs": {"o": "w0/o"}}
    run, dispatcher = run_of(workers, mode="parallel"), Dispatcher({"slots": 1})
    assert sorted(picked(dispatcher, run)) == ["last", "w0", "w1", "w2", "w3", "w4"]


def test_runs_without_gangs_and_services_are_as_before() -> None:
    run = make_run({"a": [], "b": ["a"]})
    assert not run.together.gangs
    assert not run.together.has_services
    assert run.together.downstream == [[1], []]
