"""The turn: take, decide, remember; then, and only then, tell and act. Nothing else changes a run.

    take      everything the inbox holds: executor events, timers, requests
    decide    `run.apply(event)` in memory, then launch what the dispatcher allows
    remember  events, new states and launch intents in one transaction, in a writer thread
    tell      watchers and readers get what that transaction made true
    act       effects are performed; each ends as a new event in the inbox

Laws: the coordinator runs on one event loop and shares nothing with other threads but the batch it hands to the
writer. Where anybody waits, the writer never lingers: it commits whatever gathered while the previous commit ran.
Starts, exits that nothing follows from, and launches while the supervisor has plenty queued may gather for some
milliseconds. What a commit has not made durable is neither told nor acted upon; the one exception is a full or broken
disk, where processes that must end are ended although it cannot be written yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import TypeVar

from wattle.coordinator import telling
from wattle.coordinator.live import LiveRun
from wattle.coordinator.nonces import Nonces
from wattle.coordinator.pending import Looked, Pending, answer, leaving, refuse
from wattle.coordinator.tally import Tally
from wattle.coordinator.values import left_there
from wattle.core import events as ev
from wattle.core.dispatch import Dispatcher, Limits
from wattle.core.errors import Conflict, InvalidRequest, StorageError, WattleError
from wattle.core.models import RunSpec
from wattle.core.places import environment_file
from wattle.core.ports import Bus, Clock, Executor, Store
from wattle.core.progress import FINAL, IN_FLIGHT
from wattle.core.records import Batch, JournalMark, Launch, OutputRef, WorkflowRecord
from wattle.core.run import Run

T = TypeVar("T")
FAILPOINTS = ("before-commit", "after-commit", "before-act", "after-act", "before-acknowledge", "restored", "connected",
              "resumed")
"""Where a test may end the process: around every write, and between the steps of a recovery."""
RETRY_COMMIT_SECONDS = 1.0
LOOP_PROBE_SECONDS = 0.25
GATHER_SECONDS = 0.02
"""How long what nobody waits for may gather."""


class Coordinator:
    """Drives every unfinished run of one store. `totals` is what the dispatcher counts against; `log_root` is
    where the workers' logs lie; `save_environment(path, variables)` and `load_environment(path)` keep a run's base
    environment in a private file."""

    def __init__(
        self, store: Store, executor: Executor, clock: Clock, *, totals: Mapping[str, float], log_root: str,
        environments: tuple[Callable[[str, Mapping[str, str]], None], Callable[[str], dict[str, str]]],
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:  # fmt: skip
        self.store = store
        self.executor = executor
        self.clock = clock
        self.log_root = log_root
        self.save_environment, self.load_environment = environments
        self.failpoint = failpoint
        self.dispatcher = Dispatcher(totals)
        self.tally = Tally()
        self.runs: dict[int, LiveRun] = {}
        self.ready = False
        self.seq = store.last_seq()
        """The newest event that is durable."""
        self.trouble = ""
        """Why nothing can be written at the moment; empty when all is well."""
        self.lag = 0.0
        """The event loop's lateness, seconds, the worst of the newest probes."""
        self.heard: JournalMark | None = None
        """The mark of the newest event that the executor told."""
        self.bus: Bus | None = None
        """What is told of every commit, once there is one."""
        self.connection = ""
        """The file in which workers find the bus and the private door; empty when there is none."""
        self.listeners: list[Callable[[], None]] = []
        """Called after every commit that holds events."""
        self.on_idle: Callable[[], None] | None = None
        self._run_id = store.last_run_id()
        self._inbox: list[tuple[int, ev.AnyEvent, JournalMark | None]] = []
        self._pending = Pending()
        self._writing: Pending | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="wattle-writer")
        self._nonces = Nonces()
        self._scheduled = False
        self._gathering: asyncio.TimerHandle | None = None
        self._sent = 0
        """Attempts that the supervisor has and that have not ended."""
        self._closed = False
        self._timers: dict[tuple[int, int], asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._quiet = asyncio.Event()
        self._quiet.set()

    # ---- in -------------------------------------------------------------------------------------------------

    def post(self, run: int, event: ev.AnyEvent, mark: JournalMark | None = None) -> None:
        """Put an event into the inbox."""
        self._inbox.append((run, event, mark))
        self._schedule()

    def adopt(self, live: LiveRun) -> None:
        """Take a run into memory: a new one, or one restored from the store."""
        self.runs[live.run.spec.id] = live
        self.executor.busy(len(self.runs))

    def remember(self, *, run: LiveRun | None = None, workflow: WorkflowRecord | None = None,
                 key: tuple[str, str] | None = None, mark: JournalMark | None = None,
                 contents: tuple[int, dict[str, str]] | None = None) -> None:  # fmt: skip
        """Put rows into the next transaction."""
        batch = self._pending.batch
        batch.contents.update([contents] if contents is not None else [])
        if run is not None:
            batch.runs[run.run.spec.id] = run.summarize(0.0)
        if workflow is not None:
            batch.workflows[workflow.name.casefold()] = workflow
        if key is not None:
            batch.keys[key[0]] = key[1]
        batch.mark = mark or batch.mark
        self._schedule()

    def forget(self, runs: list[int]) -> None:
        """Delete ended runs from the store, in its writer's turn. Blocks. Raises StorageError."""
        self._writer.submit(self.store.prune, runs).result()

    def environment_of(self, spec: RunSpec) -> dict[str, str]:
        """The base environment that a run was given. Blocks. Raises Conflict when it is gone."""
        try:
            return self.load_environment(environment_file(self.log_root, spec.workflow, spec.number))
        except Exception as error:  # noqa: BLE001  whatever the keeper of the files says
            raise Conflict(str(error), f"wattle run {spec.workflow} starts anew", code="environment-lost") from None

    def next_run_id(self) -> int:
        """A run id that was never used."""
        self._run_id += 1
        return self._run_id

    @property
    def lock(self) -> asyncio.Lock:
        """Held while a request reads the store, decides and waits for its commit."""
        return self._lock

    async def read(self, look: Callable[[], T]) -> T:
        """The result of `look`, called at a moment when it sees only what is, or now becomes, durable.

        Raises StorageError when it cannot become durable now, Unreachable when this coordinator has let go.
        """
        if self._closed:
            raise leaving()
        if self.at_rest:
            return look()
        if self.trouble:
            raise StorageError(self.trouble, "it goes on by itself when the disk can be written again")
        future: asyncio.Future[object] = self._loop.create_future()
        self._pending.waiters.append((future, look))
        self._schedule()
        return await future  # type: ignore[return-value]

    @property
    def at_rest(self) -> bool:
        """Everything that was decided is durable: what `read` shows now is exactly what is true up to `seq`."""
        return not self._pending and not self._inbox and self._writing is None

    async def settled(self) -> None:
        """Wait until everything posted so far is durable."""
        await self.read(lambda: None)

    # ---- take, decide ---------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        inbox, self._inbox = self._inbox, []
        for run_id, event, mark in inbox:
            if mark is not None:
                self._pending.batch.mark = self.heard = mark
            live = self.runs.get(run_id)
            if live is not None and live.run.status not in FINAL:
                self._decide(live, event)
        self._launch_ready()
        if self.trouble:
            self._end_what_must_end(self._pending)
        self._write_what_is_due()

    def _write_what_is_due(self) -> None:
        if not self._pending or self._writing is not None:
            return
        if self._urgent():
            self._flush()
        elif self._gathering is None:
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._gathered)

    def _urgent(self) -> bool:
        """Whether somebody waits for the commit: a reader, a process to be ended, one to be started while the
        supervisor is running out of them. All else may gather, so that many share one commit."""
        pending = self._pending
        if pending.waiters or pending.pressing or not self.ready:
            return True
        return bool(pending.effects) and self._sent <= self.dispatcher.low_water

    def _gathered(self) -> None:
        self._gathering = None
        if self._pending and self._writing is None and not self._closed:
            self._flush()

    def _decide(self, live: LiveRun, event: ev.AnyEvent) -> None:
        run, pending = live.run, self._pending
        before = run.phase, run.cause
        effects = run.apply(event)
        pending.batch.events.append((run.spec.id, event))
        for effect in effects:
            pending.act(live, effect)
        if type(event) is ev.WorkerExited:
            self._observe(run, event)
        for index in run.changed:
            progress = run.workers[index]
            if progress.phase not in IN_FLIGHT and progress.nonce:
                self._sent -= self.dispatcher.release(progress.nonce)
            record = progress.latest
            if record is not None:
                pending.batch.attempts[run.spec.id, progress.instance.name, record.attempt] = record
        pending.touched.add(run.spec.id)
        live.note(run.changed)
        run.changed.clear()
        if (run.phase, run.cause) != before:
            pending.batch.runs[run.spec.id] = live.summarize(self._overhead(live))

    def _observe(self, run: Run, event: ev.WorkerExited) -> None:
        record = run.workers[run.by_name[event.worker]].latest if event.worker in run.by_name else None
        if record is not None and record.started_at is not None:
            self.dispatcher.observe(max(0.0, event.at - record.started_at))

    def _launch_ready(self) -> None:
        if not self.ready or self.trouble:
            return
        now = self.clock.now()
        for run, index in self.dispatcher.picks([live.run for live in self.runs.values()]):
            progress = run.workers[index]
            nonce = self._nonces.draw()
            self.dispatcher.hold(nonce, self.dispatcher.limits(run, index))
            launched = ev.WorkerLaunched(at=now, worker=progress.instance.name, attempt=progress.attempt + 1,
                                         nonce=nonce)  # fmt: skip
            self._decide(self.runs[run.spec.id], launched)

    def _overhead(self, live: LiveRun) -> float:
        """CPU seconds of this process and its supervisor since the run began, shared with the other active runs."""
        now = time.process_time()
        share = (now - live.cpu_mark) / max(1, len(self.runs))
        live.cpu_mark = now
        return live.record.overhead + share

    # ---- remember -------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        pending, self._pending = self._pending, Pending()
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        pending.batch.attempts = {key: copy(record) for key, record in pending.batch.attempts.items()}
        looked: list[tuple[asyncio.Future[object], object, Exception | None]] = []
        for future, look in pending.waiters:
            try:
                looked.append((future, look(), None))
            except Exception as error:  # noqa: BLE001  a reader's error is the reader's answer
                looked.append((future, None, error))
        pending.news = telling.gather(self.bus, [self.runs[i] for i in pending.touched if i in self.runs])
        self._writing = pending
        self._quiet.clear()
        if not pending.batch:
            self._committed(pending, looked)
            return
        self._write(pending, looked)

    def _write(self, pending: Pending, looked: Looked) -> None:
        done = self._writer.submit(self._commit, pending.batch)
        done.add_done_callback(lambda result: self._call_back(self._written, pending, looked, result))

    def _commit(self, batch: Batch) -> int:
        self.failpoint("before-commit")
        begun = self.clock.monotonic()
        seq = self.store.commit(batch)
        self.tally.committed(batch, self.clock.monotonic() - begun)
        self.failpoint("after-commit")
        return seq

    def _call_back(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(function, *arguments)

    def _written(self, pending: Pending, looked: Looked, result: Future[int]) -> None:
        error = result.exception()
        if error is None:
            self.seq = result.result()
            if self.trouble:
                self.trouble = ""
                self._schedule()  # nothing was launched meanwhile
            self._committed(pending, looked)
            return
        self.trouble = error.message if isinstance(error, WattleError) else f"the database failed: {error}"
        readers = [*(future for future, _, _ in looked), *(future for future, _ in self._pending.waiters)]
        self._pending.waiters.clear()
        refuse(readers, StorageError(self.trouble, "it goes on by itself once that is mended"))
        self._end_what_must_end(pending)
        self._end_what_must_end(self._pending)
        if self._closed:
            self._quiet.set()
            return
        self._loop.call_later(RETRY_COMMIT_SECONDS, self._retry, pending)

    def _retry(self, pending: Pending) -> None:
        if not self._closed:
            self._write(pending, [])

    def abandon(self, live: LiveRun) -> None:
        """Forget a new run whose first commit failed, so that it does not begin by itself later."""
        self.runs.pop(live.run.spec.id, None)
        for progress in live.run.workers:
            self.dispatcher.release(progress.nonce)
        self.dispatcher.forget(live.run)
        for pending in filter(None, (self._writing, self._pending)):
            pending.drop(live)
        self.executor.busy(len(self.runs))

    def _end_what_must_end(self, pending: Pending) -> None:
        stops = [(live, effect) for live, effect in pending.effects if isinstance(effect, ev.StopWorker)]
        pending.effects = [pair for pair in pending.effects if not isinstance(pair[1], ev.StopWorker)]
        for live, effect in stops:
            self.stop_process(live, effect)

    # ---- tell, act ------------------------------------------------------------------------------------------

    def _committed(self, pending: Pending, looked: Looked) -> None:
        self._writing = None
        touched = [self.runs[run_id] for run_id in pending.touched if run_id in self.runs]
        self.failpoint("before-act")
        self._act(pending)
        self.failpoint("after-act")
        for live in touched:
            live.tell()
        telling.tell(self.bus, pending.news, self.seq)
        answer(looked)
        if pending.batch.mark is not None:
            self.failpoint("before-acknowledge")
            self.executor.acknowledge(pending.batch.mark)
        if pending.batch.events:
            for listener in self.listeners:
                listener()
        if self._closed or not self._pending:
            self._quiet.set()
        elif not self._scheduled:
            self._write_what_is_due()

    def _act(self, pending: Pending) -> None:
        starts: list[tuple[LiveRun, ev.StartWorker]] = []
        for live, effect in pending.effects:
            if isinstance(effect, ev.StartWorker):
                starts.append((live, effect))
            elif isinstance(effect, ev.StopWorker):
                self.stop_process(live, effect)
            elif isinstance(effect, ev.SetTimer):
                self.set_timer(live, effect)
            else:
                self._close_run(live)
        if starts:
            self.send(starts)

    def send(self, starts: Sequence[tuple[LiveRun, ev.StartWorker]]) -> None:
        """Hand committed launches to the executor; one that is to be stopped already never starts."""
        launches = []
        rooms = self.dispatcher.rooms((live.run, effect.index) for live, effect in starts)
        for live, effect in starts:
            progress = live.run.workers[effect.index]
            if progress.nonce != effect.nonce or progress.phase not in IN_FLIGHT:
                continue
            if progress.phase == "stopping":
                self.post(live.run.spec.id, ev.WorkerWithdrawn(
                    at=self.clock.now(), worker=progress.instance.name, attempt=effect.attempt,
                ))  # fmt: skip
                continue
            try:
                launches.append(self._prepare(live, effect, rooms.get((live.run.spec.id, effect.index))))
            except (WattleError, OSError) as error:
                message = error.message if isinstance(error, WattleError) else str(error)
                self.post(live.run.spec.id, ev.WorkerNotStarted(
                    at=self.clock.now(), worker=progress.instance.name, attempt=effect.attempt, message=message,
                ))  # fmt: skip
        if launches:
            self._sent += len(launches)
            self.executor.start(launches)

    def _prepare(self, live: LiveRun, effect: ev.StartWorker, room: Limits | None) -> Launch:
        run = live.run
        if live.obstacle:
            raise InvalidRequest(live.obstacle)
        return live.launcher.launch(
            run.workers[effect.index].instance, effect.attempt, effect.nonce,
            locate=lambda index, port: self.locate(live, index, port),
            limits=self.dispatcher.limits(run, effect.index), room=room,
        )  # fmt: skip

    def locate(self, live: LiveRun, index: int, port: str) -> OutputRef:
        """Where an instance's output lies: in this run, or in the run it was taken over from."""
        progress = live.run.workers[index]
        found = live.launcher.output(progress.instance, port, reused_from=progress.reused_from,
                                     ended=progress.phase == "completed")  # fmt: skip
        return left_there(found)

    def stop_process(self, live: LiveRun, effect: ev.StopWorker) -> None:
        """Ask the executor to end an attempt, with the grace of the stop, the worker or the document."""
        worker = live.run.definitions[live.run.workers[effect.index].instance.worker]
        graces = (live.grace, worker.grace, live.run.spec.document.grace)
        self.executor.stop(effect.nonce, next(grace for grace in graces if grace is not None))

    def set_timer(self, live: LiveRun, effect: ev.SetTimer) -> None:
        """Post `TimerFired` when the delay is over."""
        run_id, name = live.run.spec.id, live.run.workers[effect.index].instance.name

        def fire() -> None:
            self._timers.pop((run_id, effect.index), None)
            self.post(run_id, ev.TimerFired(at=self.clock.now(), worker=name, attempt=effect.attempt))

        self._timers[run_id, effect.index] = self._loop.call_later(effect.delay, fire)

    def _close_run(self, live: LiveRun) -> None:
        del self.runs[live.run.spec.id]
        for key in [key for key in self._timers if key[0] == live.run.spec.id]:
            self._timers.pop(key).cancel()
        self.dispatcher.forget(live.run)
        self.executor.busy(len(self.runs))
        live.closed.set()
        for watcher in live.watchers:
            watcher.bell.set()
        self._open_queued(live.run.spec.workflow)
        if not self.runs and self.on_idle is not None:
            self.on_idle()

    def _open_queued(self, workflow: str) -> None:
        """A run that was queued behind the one just closed begins (`overlap: queue`)."""
        others = [live.run for live in self.runs.values() if live.run.spec.workflow == workflow]
        if others and not any(run.open for run in others):
            self.post(min(others, key=lambda run: run.spec.number).spec.id, ev.RunOpened(at=self.clock.now()))

    # ---- life -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """From now on ready workers are launched."""
        self.ready = True
        self._schedule()
        self._probe(self._loop.time())

    def _probe(self, due: float) -> None:
        late = max(0.0, self._loop.time() - due)
        self.lag = max(late, self.lag * 0.9)
        if not self._closed:
            due = self._loop.time() + LOOP_PROBE_SECONDS
            self._loop.call_later(LOOP_PROBE_SECONDS, self._probe, due)

    async def stop(self) -> None:
        """Finish the turn and let go: nothing more is decided, everything decided is durable. Workers run on."""
        self.ready = False
        if not self.trouble:
            with contextlib.suppress(WattleError):
                await self.settled()
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        if not self.trouble:
            await self._quiet.wait()
        self._writer.shutdown(wait=True)
        refuse([future for future, _ in self._pending.waiters], leaving())
        for live in self.runs.values():
            live.closed.set()
            live.tell()
        for listener in self.listeners:
            listener()

    @property
    def stopped(self) -> bool:
        """It has let go."""
        return self._closed
