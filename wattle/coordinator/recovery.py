"""After a restart: fold what the store remembers, hear what the supervisor knows, and go on.

Idempotent: a coordinator that is killed in here is simply followed by the next one. The order matters: runs are
restored first, then the supervisor replays what was not stored yet (these events wait in the inbox), and only when
that is durable are attempts judged that nobody knows:

* the supervisor keeps the journal that the store's mark speaks of, and never accepted the nonce: the attempt was
  committed and never sent, or sent and never begun. It is sent again; it cannot run twice.
* it keeps another journal (the runtime directory was wiped): what became of the attempt cannot be known. It is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.live import LiveRun
from wattle.core import events as ev
from wattle.core.errors import Conflict
from wattle.core.expand import expand
from wattle.core.launch import Launcher
from wattle.core.models import RunSpec
from wattle.core.ports import ExecutorState, Store
from wattle.core.progress import IN_FLIGHT
from wattle.core.records import JournalMark, RunRecord
from wattle.core.run import Run


def fold(store: Store, record: RunRecord) -> Run:
    """The run as its stored events make it."""
    run = Run(record.spec, expand(record.spec.document, record.spec.rows))
    for stored in store.events(record.spec.id):
        run.apply(stored.event)
    run.changed.clear()
    return run


def live_run(record: RunRecord, run: Run, coordinator: Coordinator, environment: dict[str, str]) -> LiveRun:
    """A run in memory, ready to be driven."""
    launcher = Launcher(
        record.spec, [progress.instance for progress in run.workers], log_root=coordinator.log_root,
        base_environment=environment, origins=origins(coordinator.store, record.spec),
        connection=coordinator.connection,
    )  # fmt: skip
    return LiveRun(record, run, launcher)


def origins(store: Store, spec: RunSpec) -> dict[str, RunSpec]:
    """The specs of the runs whose results this one takes over, by address."""
    found: dict[str, RunSpec] = {}
    for address in set(spec.options.reused.values()):
        workflow, _, number = address.rpartition("@")
        record = store.run(workflow, int(number))
        if record is not None:
            found[address] = record.spec
    return found


async def recover(coordinator: Coordinator, epoch: int, on_state: Callable[[str], None] = lambda _text: None) -> None:
    """Bring every unfinished run back and go on with it. Raises StorageError and Unreachable."""
    store = coordinator.store
    restored = await asyncio.to_thread(_restore, coordinator)
    for live in restored:
        coordinator.adopt(live)
        for progress in live.run.workers:
            if progress.phase in IN_FLIGHT:
                coordinator.dispatcher.hold(
                    progress.nonce, coordinator.dispatcher.limits(live.run, progress.instance.index)
                )
    coordinator.failpoint("restored")
    mark = await asyncio.to_thread(store.mark)
    state = await coordinator.executor.connect(coordinator.post, mark, epoch, store.store_id)
    if (mark is None or mark.journal != state.journal) and coordinator.heard is None:
        coordinator.remember(mark=JournalMark(state.journal, 0))
    coordinator.failpoint("connected")
    await coordinator.settled()
    for live in restored:
        coordinator.executor.base_environment(live.launcher.env_id, live.launcher.base_environment)
        _go_on(coordinator, live, state, same_journal=mark is not None and mark.journal == state.journal)
    coordinator.failpoint("resumed")
    await coordinator.settled()
    if restored:
        on_state(f"{len(restored)} unfinished runs go on")
    coordinator.begin()


def _restore(coordinator: Coordinator) -> list[LiveRun]:
    restored = []
    for record in coordinator.store.unfinished():
        run = fold(coordinator.store, record)
        spec = record.spec
        try:
            environment, obstacle = coordinator.environment_of(spec), ""
        except Conflict as error:
            environment, obstacle = {}, error.message
        live = live_run(record, run, coordinator, environment)
        live.obstacle = obstacle
        restored.append(live)
    return restored


def _go_on(coordinator: Coordinator, live: LiveRun, state: ExecutorState, *, same_journal: bool) -> None:
    run, now = live.run, coordinator.clock.now()
    if not run.open and not run.stopped and not _waits_its_turn(coordinator, live):
        coordinator.post(run.spec.id, ev.RunOpened(at=now))
    again = []
    for progress in run.workers:
        index, name = progress.instance.index, progress.instance.name
        if progress.phase in IN_FLIGHT and progress.nonce not in state.known:
            if same_journal and progress.pid is None:
                again.append((live, ev.StartWorker(index, progress.attempt, progress.nonce)))
            else:
                message = "the record of its process is gone, so its outcome cannot be known"
                coordinator.post(run.spec.id, ev.WorkerLost(at=now, worker=name, attempt=progress.attempt,
                                                            message=message))  # fmt: skip
        elif progress.phase == "stopping":
            coordinator.stop_process(live, ev.StopWorker(index, progress.attempt, progress.nonce))
        elif progress.phase == "retrying":
            coordinator.set_timer(live, ev.SetTimer(index, progress.attempt, _delay_left(coordinator, live, index)))
    if again:
        coordinator.send(again)


def _waits_its_turn(coordinator: Coordinator, live: LiveRun) -> bool:
    """A run that was queued behind another one that is still unfinished."""
    spec = live.run.spec
    return spec.document.overlap == "queue" and any(
        other.run.spec.workflow == spec.workflow and other.run.spec.number < spec.number
        for other in coordinator.runs.values()
    )


def _delay_left(coordinator: Coordinator, live: LiveRun, index: int) -> float:
    """The whole delay, less what has passed on the wall clock, never more than the delay."""
    progress = live.run.workers[index]
    retries = live.run.definitions[progress.instance.worker].retries
    delay = retries.delay * retries.backoff ** max(0, progress.failures - 1)
    ended = progress.attempts[-1].ended_at or coordinator.clock.now()
    return min(delay, max(0.0, delay - (coordinator.clock.now() - ended)))
