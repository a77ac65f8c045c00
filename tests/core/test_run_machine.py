"""Random workflows, random orders of events: every rule of a run as a property, each example drained to rest."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.runs import make_run
from wattle.core import events as ev
from wattle.core.dispatch import AHEAD, Dispatcher
from wattle.core.models import Retry
from wattle.core.progress import FINAL, IN_FLIGHT
from wattle.core.run import Run

SLOTS = 2


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of `make_run`: a few workers, edges to earlier ones only."""
    names = [f"w{i}" for i in range(draw(st.integers(1, 6)))]
    edges = {name: sorted(draw(st.sets(st.sampled_from(names[:i]), max_size=3))) if i else []
             for i, name in enumerate(names)}  # fmt: skip
    workers = {
        name: {
            "when": draw(st.sampled_from(["completed", "completed", "completed", "ended", "failed"])),
            "retries": Retry(max=draw(st.integers(0, 2)), delay=draw(st.sampled_from([0.0, 1.0]))),
            "retry_lost": draw(st.booleans()),
            "max_concurrent": draw(st.sampled_from([None, None, 1])),
            "service": draw(st.sampled_from([False, False, False, False, True])),
        }
        for name in names
    }  # fmt: skip
    groups = {name: draw(st.integers(1, 3)) for name in names if draw(st.booleans())}
    streams: dict[str, str] = {}
    mode = draw(st.sampled_from(["dependency", "dependency", "sequential"]))
    apart = [(one, other) for one in names for other in names
             if one < other and not {one, other} & {*groups} and not reaches(edges, one, other)]  # fmt: skip
    if apart and draw(st.sampled_from([True, False])):
        one, other = draw(st.sampled_from(apart))
        streams, mode = draw(st.sampled_from([{one: other}, {other: one}])), "dependency"
        for name in (one, other):
            workers[name] |= {"retries": Retry(max=0), "retry_lost": False}
    return {"edges": edges, "workers": workers, "groups": groups, "streams": streams, "mode": mode,
            "on_failure": draw(st.sampled_from(["stop", "continue"]))}  # fmt: skip


def reaches(edges: dict[str, list[str]], one: str, other: str) -> bool:
    """Whether `other`, which stands later, waits for `one` in the end."""
    return any(above == one or reaches(edges, one, above) for above in edges[other])


class RunMachine(RuleBasedStateMachine):
    """Plays supervisor, user and clock against one run."""

    @initialize(arguments=workflows())
    def begin(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self.run_ = make_run(**arguments)
        self.dispatcher = Dispatcher({"slots": SLOTS})
        self.history: list[ev.AnyEvent] = []
        self.finals: dict[str, tuple[str, str]] = {}
        self.flight: dict[str, str] = {}
        self.alive: dict[str, str] = {}
        self.asked_to_stop: set[str] = set()
        self.timers: set[tuple[str, int]] = set()
        self.closed: list[ev.CloseRun] = []
        self.stopped = False
        self.tell(ev.RunOpened(at=1.0))

    # ---- the world ------------------------------------------------------------------------------------------

    def tell(self, event: ev.AnyEvent) -> None:
        self.history.append(event)
        for effect in self.run_.apply(event):
            self.perform(effect)
        for progress in self.run_.workers:
            name = progress.instance.name
            if progress.phase not in IN_FLIGHT:
                self.flight.pop(name, None)
                self.dispatcher.release(progress.nonce)
            if name in self.finals:
                assert self.finals[name] == (progress.phase, progress.reason), "a final state changed"
            elif progress.phase in FINAL:
                self.finals[name] = (progress.phase, progress.reason)

    def perform(self, effect: ev.Effect) -> None:
        if isinstance(effect, ev.CloseRun):
            self.closed.append(effect)
            return
        progress = self.run_.workers[effect.index]
        name = progress.instance.name
        if isinstance(effect, ev.StartWorker):
            assert name not in self.flight, "two attempts of one worker at a time"
            assert name not in self.finals, "a worker that had ended was started again"
            assert not self.stopped, "started after a stop"
            self.flight[name] = effect.nonce
        elif isinstance(effect, ev.StopWorker):
            assert self.flight.get(name) == effect.nonce
            self.asked_to_stop.add(effect.nonce)
        else:
            self.timers.add((name, effect.attempt))

    def launch_all(self) -> None:
        for run, index in self.dispatcher.picks([self.run_]):
            progress = run.workers[index]
            self.may_start(index)
            nonce = f"{progress.instance.name}#{progress.attempt + 1}"
            self.dispatcher.hold(nonce, self.dispatcher.limits(run, index))
            self.tell(ev.WorkerLaunched(at=2.0, worker=progress.instance.name, attempt=progress.attempt + 1,
                                        nonce=nonce))  # fmt: skip

    def may_start(self, index: int) -> None:
        run = self.run_
        progress = run.workers[index]
        above = [run.workers[i].phase for i in progress.instance.upstream]
        when = run.definitions[progress.instance.worker].when
        assert all(phase in FINAL for phase in above), "started before its inputs"
        if when == "completed":
            assert all(phase == "completed" for phase in above)
        if when == "failed":
            assert "failed" in above
        if run.sequential:
            assert run.in_flight == 0, "two at a time in a sequential run"

    def in_flight(self, data: st.DataObject) -> Any:
        return self.run_.workers[self.run_.by_name[data.draw(st.sampled_from(sorted(self.flight)))]]

    # ---- what can happen ------------------------------------------------------------------------------------

    @rule()
    def launch(self) -> None:
        self.launch_all()

    @precondition(lambda self: self.flight)
    @rule(data=st.data())
    def a_process_starts(self, data: st.DataObject) -> None:
        progress = self.in_flight(data)
        self.tell(ev.WorkerStarted(at=3.0, worker=progress.instance.name, attempt=progress.attempt, pid=9))

    @precondition(lambda self: self.flight)
    @rule(data=st.data(), code=st.sampled_from([0, 0, 0, 1]))
    def a_process_exits(self, data: st.DataObject, code: int) -> None:
        progress = self.in_flight(data)
        self.tell(ev.WorkerExited(at=4.0, worker=progress.instance.name, attempt=progress.attempt, code=code))

    @precondition(lambda self: self.flight)
    @rule(data=st.data(), kind=st.sampled_from([ev.WorkerLost, ev.WorkerNotStarted]))
    def an_attempt_comes_to_nothing(self, data: st.DataObject, kind: Any) -> None:
        progress = self.in_flight(data)
        self.tell(kind(at=4.0, worker=progress.instance.name, attempt=progress.attempt, message="x"))

    @precondition(lambda self: self.flight)
    @rule(data=st.data())
    def a_queued_attempt_is_withdrawn(self, data: st.DataObject) -> None:
        progress = self.in_flight(data)
        if progress.pid is None and progress.phase == "stopping":
            self.tell(ev.WorkerWithdrawn(at=4.0, worker=progress.instance.name, attempt=progress.attempt))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def a_timer_fires(self, data: st.DataObject) -> None:
        timer = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard(timer)
        self.tell(ev.TimerFired(at=5.0, worker=timer[0], attempt=timer[1]))

    @rule(data=st.data())
    def somebody_stops_or_restarts_a_worker(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([*self.run_.definitions, *self.run_.by_name]))
        kind: Any = data.draw(st.sampled_from([ev.StopRequested, ev.RestartRequested]))
        self.tell(kind(at=6.0, worker=name))

    @rule(seldom=st.integers(0, 9))
    def somebody_stops_the_run(self, seldom: int) -> None:
        if seldom == 0:
            self.tell(ev.StopRequested(at=6.0))
            self.stopped = True

    @precondition(lambda self: any(progress.attempt > 1 for progress in self.run_.workers))
    @rule(data=st.data())
    def an_event_of_a_past_attempt_changes_nothing(self, data: st.DataObject) -> None:
        progress = data.draw(st.sampled_from([p for p in self.run_.workers if p.attempt > 1]))
        back = data.draw(st.integers(1, progress.attempt - 1))
        before = [(p.phase, p.attempt, p.reason) for p in self.run_.workers]
        self.tell(ev.WorkerExited(at=7.0, worker=progress.instance.name, attempt=progress.attempt - back, code=0))
        assert [(p.phase, p.attempt, p.reason) for p in self.run_.workers] == before

    # ---- what always holds ------------------------------------------------------------------------------------

    @invariant()
    def the_limits_are_kept(self) -> None:
        assert len(self.flight) <= SLOTS * AHEAD
        for name, worker in self.run_.definitions.items():
            members = [n for n in self.flight if n.split(".")[0] == name]
            assert worker.max_concurrent is None or len(members) <= worker.max_concurrent * AHEAD

    @invariant()
    def a_gang_begins_as_one_or_not_at_all(self) -> None:
        for members in self.run_.together.gangs.values():
            begun = [bool(self.run_.workers[i].attempt) for i in members]
            assert all(begun) or not any(begun)

    @invariant()
    def a_service_is_not_ended_while_somebody_needs_it(self) -> None:
        if not self.run_.ordinary_left:
            return
        assert not [p for p in self.run_.workers if p.after_stop == "served"]

    @invariant()
    def the_books_are_right(self) -> None:
        self.run_.check()
        assert set(self.flight) == {p.instance.name for p in self.run_.workers if p.phase in IN_FLIGHT}

    @invariant()
    def nobody_fails_more_often_than_allowed(self) -> None:
        for progress in self.run_.workers:
            assert progress.failures <= self.run_.attempts_allowed(progress.instance.index)

    @invariant()
    def the_run_ends_exactly_when_all_have_ended(self) -> None:
        ended = all(progress.phase in FINAL for progress in self.run_.workers)
        assert (self.run_.status in FINAL) == ended
        assert len(self.closed) == int(ended)

    def teardown(self) -> None:
        """Drain to rest: whatever happened, the run comes to its end by itself."""
        if not hasattr(self, "run_"):
            return
        for _ in range(1000):
            if self.run_.status in FINAL:
                break
            self.launch_all()
            for name in sorted(self.flight):
                attempt = self.run_.workers[self.run_.by_name[name]].attempt
                self.tell(ev.WorkerExited(at=8.0, worker=name, attempt=attempt, code=0))
            for timer in sorted(self.timers):
                self.timers.discard(timer)
                self.tell(ev.TimerFired(at=8.0, worker=timer[0], attempt=timer[1]))
        self.judge()

    def judge(self) -> None:
        run = self.run_
        assert run.status in FINAL, "the run did not come to rest"
        ends = [progress.phase for progress in run.workers]
        reasons = {p.reason for p in run.workers if p.phase == "cancelled"} - {"not-needed"}
        if "failed" in ends:
            assert run.status == "failed"
            assert run.workers[run.by_name[run.cause]].phase == "failed"
        else:
            assert run.status == ("cancelled" if reasons else "completed")
        again = make_run(**self.arguments)
        for event in self.history:
            again.apply(event)
        assert states(again) == states(run), "folding the history gave another run"


def states(run: Run) -> list[tuple[object, ...]]:
    """Everything that must be the same after folding the same events."""
    return [(p.phase, p.reason, p.attempt, p.nonce, p.failures) for p in run.workers] + [(run.status, run.cause)]


RunMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRunMachine = RunMachine.TestCase
