"""How a run comes to be: a plain start, a rerun that takes results over, or one worker alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wattle.coordinator import reuse
from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.history import History
from wattle.coordinator.live import LiveRun
from wattle.coordinator.recovery import live_run, origins
from wattle.coordinator.values import output_file
from wattle.core import events as ev
from wattle.core.binding import bind_environment
from wattle.core.document import unavailable
from wattle.core.errors import Conflict, InvalidRequest, NotAvailable, NotFound, StorageError
from wattle.core.expand import expand, resolve_params, resolve_rows
from wattle.core.identity import Identities
from wattle.core.models import Instance, RunOptions, RunSpec, Worker, Workflow
from wattle.core.places import Places, collisions, environment_file
from wattle.core.ports import Store
from wattle.core.records import AttemptRecord, RunRecord, WorkflowRecord
from wattle.core.run import Run

RUNS_SEARCHED = 50
"""How many runs back `start` looks for the inputs of a worker."""


class Start:
    """What a run is begun with. `rows` is given when an earlier run's are kept; `stale` takes over what holds."""

    def __init__(self, document: Workflow, *, params: Mapping[str, Any], options: RunOptions,
                 environment: Mapping[str, str], key: str | None = None, stale: bool = False,
                 rows: Mapping[str, tuple[dict[str, Any], ...]] | None = None) -> None:  # fmt: skip
        self.document = document
        self.params = params
        self.options = options
        self.environment = environment
        self.key = key
        self.stale = stale
        self.rows = rows


def key_of(verb: str, key: str | None, *about: str) -> str | None:
    """What a key is stored under: the same key may be given to two verbs, and means two things. A plain start's key
    is stored as it is."""
    return None if key is None else " ".join((verb, *about, key))


def check_overlap(coordinator: Coordinator, record: WorkflowRecord) -> None:
    """Raises Conflict when the workflow allows one run at a time and one is active."""
    if record.document.overlap != "refuse":
        return
    for live in coordinator.runs.values():
        if live.run.spec.workflow.casefold() == record.name.casefold():
            raise Conflict(
                f"{live.run.spec.address} is still running, and {record.name} allows one run at a time.",
                f"wattle attach {live.run.spec.address}, wattle stop {live.run.spec.address}, "
                "or write `overlap: queue` or `overlap: allow` into the document",
                code="run-active",
            )


async def open_run(coordinator: Coordinator, record: WorkflowRecord, begin: Start, history: History) -> LiveRun:
    """Make the run, remember it, and return it once that is durable."""
    if coordinator.trouble:
        raise StorageError(coordinator.trouble, "nothing new is started until it can be written again")
    live, wanted = await asyncio.to_thread(_make, coordinator, record, begin, history)
    spec = live.run.spec
    coordinator.remember(workflow=msgspec.structs.replace(record, last_run=spec.number))
    coordinator.adopt(live)
    coordinator.remember(run=live, key=(begin.key, spec.address) if begin.key else None)
    coordinator.executor.base_environment(live.launcher.env_id, begin.environment)
    queued = record.document.overlap == "queue" and any(
        other.run.spec.workflow == record.name for other in coordinator.runs.values() if other is not live
    )
    if not queued:
        coordinator.post(spec.id, ev.RunOpened(at=coordinator.clock.now()))
    try:
        await coordinator.settled()
    except StorageError:
        coordinator.abandon(live)
        raise
    if live.record.contents is None:
        _read_later(coordinator, live, wanted, history)
    return live


def _read_later(coordinator: Coordinator, live: LiveRun, wanted: set[str], history: History) -> None:
    """Read files that are too large to wait for, beside the run, as they are at its beginning."""
    loop, before = asyncio.get_running_loop(), history.contents.stamps(wanted)

    def known(contents: dict[str, str]) -> None:
        live.record.contents = contents
        coordinator.remember(contents=(live.run.spec.id, contents))
        history.reread(live.run.spec.id)

    def read() -> None:
        contents = history.contents.of(wanted)
        if history.contents.stamps(wanted) == before:
            with contextlib.suppress(RuntimeError):  # the loop has ended: it is read when somebody asks
                loop.call_soon_threadsafe(known, contents)

    threading.Thread(target=read, name="wattle-contents", daemon=True).start()


def _make(coordinator: Coordinator, record: WorkflowRecord, begin: Start,
          history: History) -> tuple[LiveRun, set[str]]:  # fmt: skip
    document = bind_environment(begin.document, begin.environment)
    refused = unavailable(document)
    if refused:
        raise NotAvailable(f"{document.name} needs what this version cannot run yet: {refused[0].message}",
                           refused[0].hint)  # fmt: skip
    params = begin.params if begin.rows is not None else resolve_params(document, begin.params)
    rows = begin.rows if begin.rows is not None else resolve_rows(document, params, history.glob)
    _check_resources(coordinator, document)
    spec = RunSpec(
        id=coordinator.next_run_id(), workflow=record.name, number=record.last_run + 1, document=document,
        params=dict(params), rows=dict(rows), options=begin.options,
    )  # fmt: skip
    instances = expand(document, spec.rows)
    identities = Identities(spec, instances)
    wanted = identities.wanted()
    contents = history.contents.of(wanted) if begin.stale else history.contents.quickly(wanted)
    if begin.stale:
        spec = _with_results(spec, identities.known(contents or {}, {}), history)
    clashes = collisions(spec, instances)
    if clashes:
        raise InvalidRequest(f"two workers of {document.name} would write one file: {clashes[0]}",
                             "give each its own path, for example with ${each.…} in it")  # fmt: skip
    run = Run(spec, instances)
    _check_gangs(coordinator, run)
    place = environment_file(coordinator.log_root, spec.workflow, spec.number)
    try:
        coordinator.save_environment(place, begin.environment)
    except OSError as error:
        raise StorageError(f"{spec.address} was not started, because its environment could not be kept: {error}",
                           "make room, or look at the rights of the log directory") from None  # fmt: skip
    run_record = RunRecord(spec=spec, created_at=coordinator.clock.now(), contents=contents)
    return live_run(run_record, run, coordinator, dict(begin.environment)), wanted


def _check_gangs(coordinator: Coordinator, run: Run) -> None:
    """A gang starts as one: what all of its members take must be there at once."""
    jobs, name = run.spec.options.jobs, run.spec.workflow
    for members in set(run.together.gangs.values()):
        shown = ", ".join([*(run.workers[index].instance.name for index in members[:6]), *["…"][: len(members) - 6]])
        if jobs is not None and len(members) > jobs:
            raise InvalidRequest(f"{name}: streams make {shown} start together, and -j {jobs} is fewer than that",
                                 f"-j {len(members)}, or leave it out")  # fmt: skip
        for resource in ("cpus", "memory", "gpus"):
            wanted = sum(getattr(run.definition(index).resources, resource) or 0 for index in members)
            total = coordinator.dispatcher.totals.get(resource)
            if total is not None and wanted > total:
                raise InvalidRequest(f"{name}: {shown} start together and ask for {wanted:g} {resource}, and this "
                                     f"machine has {total:g}", f"lower their `resources: {resource}`")  # fmt: skip


def _with_results(spec: RunSpec, identities: Identities, history: History) -> RunSpec:
    """The run with every result taken over that still holds."""
    decisions = reuse.decide(identities, history.earlier.runs(spec.workflow))
    return msgspec.structs.replace(spec, options=reuse.taken_over(spec.options, identities, decisions))


def _check_resources(coordinator: Coordinator, document: Workflow) -> None:
    for worker in document.workers:
        for name in ("cpus", "memory", "gpus"):
            wanted, total = getattr(worker.resources, name), coordinator.dispatcher.totals.get(name)
            if wanted and total is not None and wanted > total:
                raise InvalidRequest(f"{document.name}/{worker.name} asks for {wanted:g} {name}, and this machine "
                                     f"has {total:g}", f"lower `resources: {name}` of {worker.name}")  # fmt: skip


# ---- rerun ----------------------------------------------------------------------------------------------------


def checked_grace(grace: float | None) -> float | None:
    """The seconds between TERM and KILL that a stop asks for. Raises InvalidRequest."""
    if grace is not None and not 0 <= grace < float("inf"):
        raise InvalidRequest(f"a grace of {grace:g} s makes no sense", "give seconds, 0 or more")
    return grace


def rerun(store: Store, record: RunRecord, run: Run, from_worker: str | None, failed: bool,  # noqa: FBT001
          jobs: int | None, environment: Mapping[str, str]) -> Start:  # fmt: skip
    """The start of a new run with the earlier run's document, params and rows, taking over what need not run."""
    again = _wanted_again(run, from_worker, failed=failed)
    reused: dict[str, str] = {}
    places: dict[str, Places] = {}
    if again is not None:
        everything = set(range(len(run.workers)))
        kept = {i for i in everything - again if run.workers[i].phase == "completed"}
        changed = {i for i in kept if not _outputs_unchanged(store, run, i, places)}
        kept -= run.together.from_here_on(changed | (everything - kept))
        reused = {run.workers[i].instance.name: run.workers[i].reused_from or run.spec.address for i in kept}
    spec = record.spec
    options = RunOptions(jobs=jobs if jobs is not None else spec.options.jobs, origin=f"rerun of {spec.address}",
                         reused=reused, renamed=_renamed(spec.options, reused))  # fmt: skip
    return Start(spec.document, params=spec.params, options=options, environment=environment, rows=spec.rows)


def _wanted_again(run: Run, from_worker: str | None, *, failed: bool) -> set[int] | None:
    """The instances that must run again; None for all."""
    wanted: set[int] = set()
    if from_worker is not None:
        indexes = run.name_to_indexes(from_worker)
        if not indexes:
            raise NotFound(f"{run.spec.address} has no worker {from_worker}.", f"wattle status {run.spec.address}")
        wanted |= set(indexes)
    if failed:
        wanted |= {i for i, progress in enumerate(run.workers) if progress.phase != "completed"}
        if not wanted:
            raise Conflict(f"Every worker of {run.spec.address} completed, so there is nothing failed to run again.",
                           f"wattle rerun {run.spec.address} runs all of it", code="nothing-failed")  # fmt: skip
    if from_worker is None and not failed:
        return None
    return run.together.from_here_on(wanted)


def _outputs_unchanged(store: Store, run: Run, index: int, places: dict[str, Places]) -> bool:
    """Whether every file that a completed instance left is still as it was recorded (size and time). `places` keeps
    those of the runs that made results."""
    progress = run.workers[index]
    recorded, made_by, spec = progress.latest, progress.reused_from, run.spec
    instance = spec.options.as_made(progress.instance)
    if made_by:
        workflow, _, number = made_by.rpartition("@")
        origin = store.run(workflow, int(number))
        if origin is None:
            return False
        spec, recorded = origin.spec, _completed(store, origin, instance.name)
    if recorded is None:
        return False
    if made_by not in places:
        places[made_by] = Places(spec)
    return not reuse.spoilt(places[made_by], instance, recorded)


def _renamed(options: RunOptions, reused: Mapping[str, str]) -> dict[str, str]:
    """The names under which these results were made, where a run that took them over had others for them."""
    return {name: made for name, made in options.renamed.items() if name in reused}


def _completed(store: Store, origin: RunRecord, name: str) -> AttemptRecord | None:
    attempts = [seen for seen in store.attempts(origin.spec.id, name) if seen.phase == "completed"]
    return attempts[-1] if attempts else None


# ---- one worker alone -----------------------------------------------------------------------------------------


def alone(store: Store, record: WorkflowRecord, name: str, environment: Mapping[str, str]) -> Start:
    """The start of a run of one worker; all above it is taken over from the newest run that has its inputs."""
    document = record.document
    by_name = {worker.name: worker for worker in document.workers}
    if name not in by_name:
        raise NotFound(f"{record.name} has no worker {name}.", f"wattle show {record.name}")
    joined = [other for other in _joined(document, name) if other != name]
    if joined:
        raise Conflict(f"{record.name}/{name} is joined by streams with {', '.join(joined)}, so it cannot start alone.",
                       f"wattle run {record.name}, or wattle rerun {record.name} --from {name}", code="joined")
    above = _above(by_name, name)
    kept = tuple(worker for worker in document.workers if worker.name == name or worker.name in above)
    reduced = msgspec.structs.replace(document, workers=kept)
    origin = f"start of {record.name}/{name}"
    if not above:
        return Start(reduced, params={}, options=RunOptions(origin=origin), environment=environment)
    sources = _direct(by_name[name])
    for head in store.runs(record.name, limit=RUNS_SEARCHED):
        earlier = store.run(record.name, head.number)
        if earlier is None:
            continue
        reused = _takeover(store, earlier, reduced, by_name[name], sources)
        if reused is not None:
            return Start(reduced, params=earlier.spec.params, environment=environment, rows=earlier.spec.rows,
                         options=RunOptions(origin=origin, reused=reused,
                                            renamed=_renamed(earlier.spec.options, reused)))  # fmt: skip
    raise Conflict(f"{record.name}/{name} needs the outputs of {', '.join(sorted(sources))}, and no run has them.",
                   f"wattle run {record.name}", code="no-inputs")  # fmt: skip


def _joined(document: Workflow, name: str) -> list[str]:
    """The workers that streams join with this one, in document order."""
    streams = {(worker.name, port) for worker in document.workers
               for port, output in worker.outputs.items() if output.type == "stream"}  # fmt: skip
    pairs = [(source.worker, worker.name) for worker in document.workers for feed in worker.inputs.values()
             for source in feed.sources if (source.worker, source.output) in streams]  # fmt: skip
    found, grown = {name}, True
    while grown:
        more = {end for pair in pairs if found & set(pair) for end in pair}
        grown = not more <= found
        found |= more
    return [worker.name for worker in document.workers if worker.name in found]


def _direct(worker: Worker) -> set[str]:
    paired = {worker.each.pair} if worker.each is not None and worker.each.pair is not None else set()
    return {source.worker for feed in worker.inputs.values() for source in feed.sources} | {*worker.needs} | paired


def _above(by_name: Mapping[str, Worker], name: str) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        for source in _direct(by_name[todo.pop()]):
            if source not in found:
                found.add(source)
                todo.append(source)
    return found


def _takeover(store: Store, earlier: RunRecord, reduced: Workflow, worker: Worker,
              sources: set[str]) -> dict[str, str] | None:  # fmt: skip
    """Instance name -> the run that has its result, for all above the worker; None when a direct source lacks it, or
    a file that the worker reads is gone."""
    completed = {seen.worker for seen in store.attempts(earlier.spec.id) if seen.phase == "completed"}
    reused: dict[str, str] = {}
    specs = {earlier.spec.address: earlier.spec, **origins(store, earlier.spec)}
    try:
        instances: Sequence[Instance] = expand(reduced, earlier.spec.rows)
    except (KeyError, InvalidRequest):
        return None
    for instance in instances:
        if instance.worker == worker.name:
            continue
        origin = reused[instance.name] = earlier.spec.options.reused.get(instance.name, earlier.spec.address)
        if instance.worker not in sources:
            continue
        if instance.name not in completed or not _files_there(
            specs.get(origin), worker, earlier.spec.options.as_made(instance)
        ):
            return None
    return reused


def _files_there(spec: RunSpec | None, worker: Worker, source: Instance) -> bool:
    """Whether everything that the worker reads of an instance still lies where that run put it."""
    ports = {found.output for feed in worker.inputs.values() for found in feed.sources if found.worker == source.worker}
    try:
        return spec is not None and all(os.path.exists(output_file(Places.of(spec), source, port))
                                        for port in ports)  # fmt: skip
    except (KeyError, InvalidRequest):
        return False


def without_worker(record: WorkflowRecord, name: str, now: float) -> WorkflowRecord:
    """The definition with one worker less. Raises Conflict when others need it."""
    workers = record.document.workers
    if name not in {worker.name for worker in workers}:
        raise NotFound(f"{record.name} has no worker {name}.", f"wattle show {record.name}")
    users = [worker.name for worker in workers if name in _direct(worker)]
    if users:
        raise Conflict(f"{record.name}/{name} is needed by {', '.join(users)}.", "delete these first", code="needed")
    if len(workers) == 1:
        raise Conflict(f"{name} is the only worker of {record.name}.", f"wattle delete {record.name}", code="needed")
    kept = tuple(worker for worker in workers if worker.name != name)
    return msgspec.structs.replace(record, document=msgspec.structs.replace(record.document, workers=kept),
                                   revision=record.revision + 1, updated_at=now)  # fmt: skip
