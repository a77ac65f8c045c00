"""One run as a state machine: `Run.apply(event) -> effects`. Every rule of a run lives in this file.

    waiting ──► ready ──► starting ──► running ──► completed
       │          ▲ │        │            │  │
       │          │ │        ▼            ▼  └───► failed
       │          │ │     stopping ◄──────┤           ▲
       │          │ │        │            ▼           │
       │          └─┼────────┴──────── retrying ──────┘   (stopping ─► ready is a restart)
       └────────────┴──► cancelled ◄── stopping

Laws. *Total*: any event at any time is answered; one of a past attempt, or that the phase has no use for, changes
nothing. *Deterministic*: no clock, no chance; folding the stored events gives the same run again. *What is remembered
first decides*: after a stop, an exit does not change the outcome; after an exit, a stop does not. *O(1) per event*:
a count of unfinished upstreams per worker and ready queues, never a rescan (ending a whole run is the exception).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wattle.core import events as ev
from wattle.core.models import Instance, RunSpec, Worker
from wattle.core.progress import FINAL, IN_FLIGHT, RETRYABLE, STATUS, TRANSITIONS, Progress
from wattle.core.records import AttemptRecord
from wattle.core.together import Together


class Run:
    """The state of one run. `workers` is indexed like the instances; `changed` collects the indexes whose state
    or newest attempt differs since the shell last cleared it."""

    def __init__(self, spec: RunSpec, instances: Sequence[Instance]) -> None:
        document = spec.document
        self.spec = spec
        self.definitions: dict[str, Worker] = {worker.name: worker for worker in document.workers}
        self.together = Together(instances, self.definitions)
        self.workers = [Progress(instance, len(upstream))
                        for instance, upstream in zip(instances, self.together.upstream, strict=True)]  # fmt: skip
        self.by_name = {instance.name: instance.index for instance in instances}
        self.downstream = self.together.downstream
        self.groups: dict[str, list[int]] = {}
        self.needed: list[set[str]] = [set() for _ in instances]
        for instance in instances:
            for feed in instance.inputs.values():
                for source, port in feed.sources:
                    self.needed[source].add(port)
            if instance.group is not None:
                self.groups.setdefault(instance.group, []).append(instance.index)
        self.sequential = document.mode == "sequential"
        self.ready: dict[str, list[tuple[int, int]]] = {}
        """Per limit class a heap of (order, index); `limit_class` says which class a worker is in."""
        self.open = False
        self.left = len(self.workers)
        self.ordinary_left = sum(self.together.ordinary)
        """Unfinished workers for whose sake services run."""
        self.in_flight = 0
        self.stopped = False
        self.cause = ""
        self.reason = ""
        self.status = "created"
        self.started_at: float | None = None
        self.completed_at: float | None = None
        self.changed: set[int] = set()
        self.tally = {"created": len(self.workers)}
        """Workers by status."""
        self._order = 0
        self._effects: list[ev.Effect] = []
        self._at = 0.0
        self._cancelled = ""
        self._served = False
        self._survivors: set[int] | None = None

    # ---- the one way in -------------------------------------------------------------------------------------

    def apply(self, event: ev.AnyEvent) -> list[ev.Effect]:
        """Take one event and say what must be done about it."""
        self._effects = []
        if self.status not in FINAL:
            self._at = event.at
            _RULES[type(event)](self, event)
            if self.together.has_services and self.open and not (self.ordinary_left or self._served):
                self._end_services()
        return self._effects

    def name_to_indexes(self, name: str) -> list[int]:
        """The instances that a worker, group or instance name means; empty when there is none."""
        if name in self.by_name:
            return [self.by_name[name]]
        return self.groups.get(name, [])

    @property
    def phase(self) -> str:
        """One word for the whole run."""
        if self.status in FINAL:
            return self.status
        if self.stopped:
            return "stopping"
        return "running" if self.status == "running" else "waiting"

    def counts(self) -> dict[str, int]:
        """Workers by status; statuses with none are left out."""
        return {status: count for status, count in self.tally.items() if count}

    def limit_class(self, index: int) -> str:
        """Workers of one class are under the same limits: those without limits of their own share the class ''."""
        worker = self.definitions[self.workers[index].instance.worker]
        if index in self.together.gangs:
            return f"/{self.together.gangs[index][0]}"
        own = worker.max_concurrent is not None or worker.resources != _NO_RESOURCES
        return worker.name if own else ""

    def gang(self, index: int) -> tuple[int, ...]:
        """The workers that start together with this one, itself among them: those of its gang that are ready."""
        members = self.together.gangs.get(index)
        return (index,) if members is None else tuple(i for i in members if self.workers[i].phase == "ready")

    def in_progress(self) -> list[Progress]:
        """The workers whose processes run."""
        return [progress for progress in self.workers if progress.phase in {"running", "stopping"}]

    def definition(self, index: int) -> Worker:
        """The worker that this instance is of."""
        return self.definitions[self.workers[index].instance.worker]

    def attempts_allowed(self, index: int) -> int:
        """How many attempts count before the worker has failed."""
        return self.definitions[self.workers[index].instance.worker].retries.max + 1

    # ---- events ---------------------------------------------------------------------------------------------

    def _opened(self, _event: ev.RunOpened) -> None:
        if self.open:
            return
        reused = self.spec.options.reused
        for progress in self.workers:
            if progress.instance.name in reused:
                progress.reused_from = reused[progress.instance.name]
                self._finish(progress, "completed", "")
        self.open = True
        for progress in self.workers:
            if progress.phase == "waiting" and progress.unfinished == 0:
                self._consider(progress)
        self._close_when_done()

    def _launched(self, event: ev.WorkerLaunched) -> None:
        progress = self._named(event.worker)
        if progress is None or progress.phase != "ready" or event.attempt != progress.attempt + 1:
            return
        progress.attempt = event.attempt
        progress.nonce = event.nonce
        progress.pid = None
        progress.reason = progress.message = ""
        progress.attempts.append(AttemptRecord(
            run=self.spec.id, worker=event.worker, group=progress.instance.group, attempt=event.attempt,
            nonce=event.nonce, launched_at=event.at,
        ))  # fmt: skip
        if self.status == "created":
            self.status = "running"
            self.started_at = event.at
        self._move(progress, "starting")
        self._effects.append(ev.StartWorker(progress.instance.index, event.attempt, event.nonce))

    def _started(self, event: ev.WorkerStarted) -> None:
        progress = self._current(event.worker, event.attempt)
        if progress is None or progress.phase not in {"starting", "stopping"}:
            return
        progress.pid = event.pid
        record = progress.attempts[-1]
        record.pid, record.executable, record.started_at = event.pid, event.executable, event.at
        self._move(progress, "running" if progress.phase == "starting" else "stopping")

    def _exited(self, event: ev.WorkerExited) -> None:
        progress = self._current(event.worker, event.attempt)
        if progress is None:
            return
        record = progress.attempts[-1]
        record.code, record.signal, record.outputs = event.code, event.signal, event.outputs
        record.cpu_user, record.cpu_system, record.max_rss = event.cpu_user, event.cpu_system, event.max_rss
        reason, message = self._judge(progress, event)
        self._attempt_over(progress, reason, message)

    def _not_started(self, event: ev.WorkerNotStarted) -> None:
        progress = self._current(event.worker, event.attempt)
        if progress is not None:
            self._attempt_over(progress, event.reason, event.message)

    def _withdrawn(self, event: ev.WorkerWithdrawn) -> None:
        progress = self._current(event.worker, event.attempt)
        if progress is None:
            return
        if progress.phase == "stopping":
            self._attempt_over(progress, "stopped", "")
        elif progress.phase == "starting":
            self._close_attempt(progress, "cancelled", "stopped", "taken back before it started")
            self._make_ready(progress)

    def _lost(self, event: ev.WorkerLost) -> None:
        progress = self._current(event.worker, event.attempt)
        if progress is not None:
            self._attempt_over(progress, "lost", event.message)

    def _timer(self, event: ev.TimerFired) -> None:
        progress = self._named(event.worker)
        if progress is not None and progress.phase == "retrying" and progress.attempt == event.attempt:
            self._make_ready(progress)

    def _stop(self, event: ev.StopRequested) -> None:
        if event.worker is None:
            self.stopped = True
            self._end_all(self.workers, "stopped")
        else:
            self._end_all((self.workers[i] for i in self.name_to_indexes(event.worker)), "stopped")
        self._close_when_done()

    def _restart(self, event: ev.RestartRequested) -> None:
        for index in self.name_to_indexes(event.worker):
            progress = self.workers[index]
            if progress.phase in {"starting", "running"}:
                self._begin_stop(progress, "restart")
            elif progress.phase == "retrying":
                self._make_ready(progress)

    # ---- what an ended attempt means --------------------------------------------------------------------------

    def _judge(self, progress: Progress, event: ev.WorkerExited) -> tuple[str, str]:
        """The reason and message of a failure, or two empty texts for a success."""
        if event.why == "timeout":
            definition = self._definition(progress)
            return "timeout", f"ran longer than {definition.timeout or definition.resources.time or 0:g} s"
        if event.signal is not None:
            return "signal", f"ended by signal {event.signal}"
        if event.code != 0:
            return "exit", f"exit {event.code}"
        missing = sorted(port for port in self.needed[progress.instance.index]
                         if port in event.outputs and event.outputs[port] is None)  # fmt: skip
        if missing:
            return "output-missing", f"it ended well, but did not write {', '.join(missing)}, which others need"
        return "", ""

    def _attempt_over(self, progress: Progress, reason: str, message: str) -> None:
        """The newest attempt has no process any more. `reason` is empty for a success."""
        if progress.phase == "stopping":
            if progress.after_stop == "restart":
                self._close_attempt(progress, "cancelled", "stopped", "restarted")
                self._make_ready(progress)
                return
            if progress.after_stop == "served":
                self._close_attempt(progress, "completed", "", "")
                self._finish(progress, "completed", "")
            else:
                self._close_attempt(progress, "cancelled", progress.after_stop, message)
                self._finish(progress, "cancelled", progress.after_stop, message)
        elif not reason:
            self._close_attempt(progress, "completed", "", "")
            self._finish(progress, "completed", "")
        else:
            self._close_attempt(progress, "failed", reason, message)
            self._failed(progress, reason, message)
        self._close_when_done()

    def _failed(self, progress: Progress, reason: str, message: str) -> None:
        definition = self._definition(progress)
        progress.failures += 1
        again = reason in RETRYABLE or (reason == "lost" and definition.retry_lost)
        if again and progress.failures <= definition.retries.max:
            progress.reason, progress.message = reason, message
            delay = definition.retries.delay * definition.retries.backoff ** (progress.failures - 1)
            if delay <= 0:
                self._make_ready(progress)
                return
            self._move(progress, "retrying")
            self._effects.append(ev.SetTimer(progress.instance.index, progress.attempt, delay))
            return
        if not self.cause:
            self.cause, self.reason = progress.instance.name, reason
        self._finish(progress, "failed", reason, message)
        self._end_all((self.workers[i] for i in self.together.gangs.get(progress.instance.index, ())),
                      "upstream-failed")  # fmt: skip
        if self.spec.document.on_failure == "stop":
            self._end_rest(progress)

    def _end_rest(self, failed: Progress) -> None:
        """Fail fast: all but the failed worker's group, and what is there for failures, is ended."""
        group = failed.instance.group
        survivors = self._cleanup_workers()
        rest = (
            other for other in self.workers
            if (group is None or other.instance.group != group) and other.instance.index not in survivors
        )  # fmt: skip
        self._end_all(rest, "run-failed")

    def _cleanup_workers(self) -> set[int]:
        """Workers with `when: ended | failed`, and all below them: a failure does not end these."""
        if self._survivors is None:
            last = [p.instance.index for p in self.workers if self._definition(p).when != "completed"]
            self._survivors = self.together.below(last)
        return self._survivors

    def _end_services(self) -> None:
        """Nobody is left to serve: services end, with their grace, as completed."""
        self._served = True
        for progress in self.workers:
            if not self._definition(progress).service or progress.phase in FINAL:
                continue
            if progress.phase in {"starting", "running"}:
                self._begin_stop(progress, "served")
            elif progress.phase == "stopping":
                if progress.after_stop == "restart":
                    progress.after_stop = "served"
            else:
                self._finish(progress, "cancelled", "not-needed")
        self._close_when_done()

    def _end_all(self, workers: Iterable[Progress], reason: str) -> None:
        for progress in workers:
            if progress.phase in {"starting", "running"}:
                self._begin_stop(progress, reason)
            elif progress.phase == "stopping":
                if progress.after_stop == "restart":
                    progress.after_stop = reason
            elif progress.phase not in FINAL:
                self._finish(progress, "cancelled", reason)

    def _begin_stop(self, progress: Progress, after: str) -> None:
        progress.after_stop = after
        self._move(progress, "stopping")
        self._effects.append(ev.StopWorker(progress.instance.index, progress.attempt, progress.nonce))

    # ---- what an ended worker means ---------------------------------------------------------------------------

    def _finish(self, progress: Progress, phase: str, reason: str, message: str = "") -> None:
        """Bring a worker, and all that this decides below it, to a final phase."""
        todo = [(progress, phase, reason, message)]
        while todo:
            progress, phase, reason, message = todo.pop()
            if progress.phase in FINAL:
                continue
            progress.reason, progress.message = reason, message
            self._move(progress, phase)
            self.left -= 1
            self.ordinary_left -= self.together.ordinary[progress.instance.index]
            if phase == "cancelled" and reason != "not-needed" and not self._cancelled:
                self._cancelled = reason
            if not progress.attempts:
                progress.attempts.append(AttemptRecord(
                    run=self.spec.id, worker=progress.instance.name, group=progress.instance.group, status=phase,
                    phase=phase, reason=reason, message=message, ended_at=self._at,
                ))  # fmt: skip
            if phase != "completed":
                todo += [(self.workers[i], "cancelled", "upstream-failed", "")
                         for i in self.together.gangs.get(progress.instance.index, ())
                         if self.workers[i].phase in {"waiting", "ready"}]  # fmt: skip
            for index in self.downstream[progress.instance.index]:
                below = self.workers[index]
                below.unfinished -= 1
                if self.open and below.phase == "waiting" and below.unfinished == 0:
                    verdict = self._verdict(below)
                    if verdict:
                        todo.append((below, "cancelled", verdict, ""))
                    else:
                        self._make_ready(below)

    def _consider(self, progress: Progress) -> None:
        verdict = self._verdict(progress)
        if verdict:
            self._finish(progress, "cancelled", verdict)
        else:
            self._make_ready(progress)

    def _verdict(self, progress: Progress) -> str:
        """Why a worker whose upstreams have all ended must not run; empty when it may."""
        upstream = self.together.upstream[progress.instance.index]
        phases = {self.workers[i].phase for i in upstream}
        when = self._definition(progress).when
        if when == "ended":
            return ""
        if when == "failed":
            return "" if "failed" in phases else "not-needed"
        if phases <= {"completed"}:
            return ""
        idle = all(self.workers[i].phase == "completed" or self.workers[i].reason == "not-needed"
                   for i in upstream)  # fmt: skip
        return "not-needed" if idle else "upstream-failed"

    def _close_when_done(self) -> None:
        if self.left or self.status in FINAL or not (self.open or self.stopped):
            return
        if self.cause:
            self.status = "failed"
        elif self._cancelled:
            self.status, self.reason = "cancelled", self._cancelled
        else:
            self.status = "completed"
        self.completed_at = self._at
        self._effects.append(ev.CloseRun(self.status, self.reason))

    # ---- small moves ------------------------------------------------------------------------------------------

    def _definition(self, progress: Progress) -> Worker:
        return self.definitions[progress.instance.worker]

    def _named(self, name: str) -> Progress | None:
        index = self.by_name.get(name)
        return None if index is None else self.workers[index]

    def _current(self, name: str, attempt: int) -> Progress | None:
        """The worker, when `attempt` is its newest and still in flight; else the event is of the past."""
        progress = self._named(name)
        if progress is None or progress.attempt != attempt or progress.phase not in IN_FLIGHT:
            return None
        return progress

    def _close_attempt(self, progress: Progress, status: str, reason: str, message: str) -> None:
        record = progress.attempts[-1]
        record.status, record.reason, record.message, record.ended_at = status, reason, message, self._at

    def _make_ready(self, progress: Progress) -> None:
        progress.ready_at = self._at
        self._move(progress, "ready")
        index = progress.instance.index
        self._order += 1
        order = index if self.sequential else self._order
        heapq.heappush(self.ready.setdefault(self.limit_class(index), []), (order, index))

    def head(self, limit_class: str) -> tuple[int, int] | None:
        """(order, index) of the worker of that class that became ready first; None when there is none.

        A worker that was launched or cancelled stays in the heap until it comes to the top.
        """
        queue = self.ready.get(limit_class)
        while queue:
            if self.workers[queue[0][1]].phase == "ready":
                return queue[0]
            heapq.heappop(queue)
        return None

    def _move(self, progress: Progress, phase: str) -> None:
        before = progress.phase
        if phase != before and phase not in TRANSITIONS[before]:
            story = f"{self.spec.address}/{progress.instance.name}, attempt {progress.attempt}"
            raise AssertionError(f"no transition {before} -> {phase} ({story})")
        self.in_flight += (phase in IN_FLIGHT) - (before in IN_FLIGHT)
        progress.phase = phase
        if STATUS[before] != STATUS[phase]:
            self.tally[STATUS[before]] -= 1
            self.tally[STATUS[phase]] = self.tally.get(STATUS[phase], 0) + 1
        if progress.attempts:
            progress.attempts[-1].phase = phase
            if phase in IN_FLIGHT:
                progress.attempts[-1].status = STATUS[phase]
        self.changed.add(progress.instance.index)

    def check(self) -> None:
        """Walk the invariants; tests call this after every event."""
        assert self.ordinary_left == sum(
            ordinary and p.phase not in FINAL for p, ordinary in zip(self.workers, self.together.ordinary, strict=True))
        for members in self.together.gangs.values():
            waiting = {self.workers[i].phase for i in members} & {"waiting", "ready"}
            assert len(waiting) < 2, "some of a gang wait while others are ready"
        assert self.left == sum(p.phase not in FINAL for p in self.workers)
        assert self.in_flight == sum(p.phase in IN_FLIGHT for p in self.workers)
        for progress in self.workers:
            upstream = self.together.upstream[progress.instance.index]
            unfinished = sum(self.workers[i].phase not in FINAL for i in upstream)
            assert progress.unfinished == unfinished, progress.instance.name
            if self.open and progress.phase == "waiting":
                assert unfinished > 0, f"{progress.instance.name} waits for nothing"
        ready = {p.instance.index for p in self.workers if p.phase == "ready"}
        assert ready <= {index for queue in self.ready.values() for _, index in queue}
        if self.status in FINAL:
            assert self.left == 0


_NO_RESOURCES = Worker(name="_").resources

_RULES: dict[type, Callable[[Run, Any], None]] = {
    ev.RunOpened: Run._opened, ev.WorkerLaunched: Run._launched, ev.WorkerStarted: Run._started,
    ev.WorkerExited: Run._exited, ev.WorkerNotStarted: Run._not_started, ev.WorkerWithdrawn: Run._withdrawn,
    ev.WorkerLost: Run._lost, ev.TimerFired: Run._timer, ev.StopRequested: Run._stop,
    ev.RestartRequested: Run._restart,
}  # fmt: skip
