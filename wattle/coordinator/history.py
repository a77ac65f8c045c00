"""Looking things up: live runs from memory, ended ones folded from the store, with a small cache."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict

from wattle.coordinator import views
from wattle.coordinator.contents import Contents
from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.live import LiveRun
from wattle.coordinator.logedge import LogView
from wattle.coordinator.recovery import fold, origins
from wattle.coordinator.reuse import Earlier
from wattle.coordinator.staleness import Staleness
from wattle.coordinator.values import VALUE_LIMIT, output_file, read_value
from wattle.core import replies as rp
from wattle.core.address import Address
from wattle.core.document import dump
from wattle.core.errors import InvalidRequest, NotFound
from wattle.core.expand import Glob
from wattle.core.models import Input, Instance, RunSpec, Worker, Workflow
from wattle.core.places import Places, log_paths
from wattle.core.ports import Logs, Store
from wattle.core.progress import FINAL, Progress
from wattle.core.records import RunRecord, WorkflowRecord
from wattle.core.run import Run

CACHED_RUNS = 8


class History:
    """Reads of one store, and of the coordinator when there is one."""

    def __init__(self, store: Store, coordinator: Coordinator | None, glob: Glob) -> None:
        self.store = store
        self.coordinator = coordinator
        self.glob = glob
        self.contents = Contents()
        self.earlier = Earlier(store)
        self._staleness = Staleness(store, self.contents, self.earlier, glob, self._environment_of)
        self._cache: OrderedDict[int, tuple[RunRecord, Run]] = OrderedDict()

    def parse(self, address: str) -> tuple[str, int | None]:
        """`etl@12` -> ("etl", 12). Raises InvalidRequest."""
        parsed = Address.parse(address)
        if parsed.worker is not None:
            raise InvalidRequest(f"'{address}' names a worker where a workflow or run is meant.", f"write {parsed.run}")
        return parsed.workflow, parsed.number

    async def known(self, address: str) -> tuple[str, int | None]:
        """As `parse`, of what is there. Raises NotFound."""
        name, number = self.parse(address)
        await (self.workflow(name, deleted=True) if number is None else self.record(name, number))
        return name, number

    def seq(self) -> int:
        """The newest durable event."""
        return self.coordinator.seq if self.coordinator is not None else self.store.last_seq()

    def live(self, name: str, number: int) -> LiveRun | None:
        """The run in memory, if it is unfinished and driven here."""
        for live in self.coordinator.runs.values() if self.coordinator is not None else ():
            if live.run.spec.number == number and live.run.spec.workflow.casefold() == name.casefold():
                return live
        return None

    async def workflow(self, name: str, *, deleted: bool = False) -> WorkflowRecord:
        """A definition; with `deleted`, also one that only its runs are left of. Raises NotFound."""
        record = await asyncio.to_thread(self.store.workflow, name)
        if record is None or (record.deleted_at is not None and not deleted):
            raise NotFound(f"There is no workflow {name}.", self._similar(name))
        return record

    def _similar(self, name: str) -> str:
        names = [record.name for record in self.store.workflows()]
        close = [other for other in names if other.casefold().startswith(name.casefold()[:3])]
        if close:
            return f"did you mean {' or '.join(close[:3])}?"
        return "wattle list shows all" if names else "wattle run FILE saves and runs one"

    async def latest(self, name: str) -> int:
        """The number of the newest run that is kept; 0 when there is none. Raises NotFound."""
        workflow = await self.workflow(name, deleted=True)
        heads = await asyncio.to_thread(self.store.runs, workflow.name, limit=1)
        return heads[0].number if heads else 0

    async def number(self, name: str, number: int | None) -> int:
        """The number of the run that an address means. Raises NotFound when there is none."""
        found = number if number is not None else await self.latest(name)
        if found == 0:
            raise NotFound(f"{name} has no runs.", f"wattle run {name}")
        return found

    async def record(self, name: str, number: int) -> RunRecord:
        """A run's row. Raises NotFound."""
        live = self.live(name, number)
        if live is not None:
            return live.record
        workflow = await self.workflow(name, deleted=True)
        record = await asyncio.to_thread(self.store.run, workflow.name, number)
        if record is None:
            raise NotFound(f"There is no run {workflow.name}@{number}.", f"wattle runs {workflow.name}")
        return record

    async def run(self, name: str, number: int) -> tuple[RunRecord, Run]:
        """A run with its state machine. Raises NotFound."""
        live = self.live(name, number)
        if live is not None:
            return live.record, live.run
        record = await self.record(name, number)
        if record.spec.id in self._cache:
            self._cache.move_to_end(record.spec.id)
            return self._cache[record.spec.id]
        run = await asyncio.to_thread(fold, self.store, record)
        if record.status in FINAL:
            self._cache[record.spec.id] = (record, run)
            while len(self._cache) > CACHED_RUNS:
                self._cache.popitem(last=False)
        return record, run

    async def run_of(self, address: str) -> tuple[RunRecord, Run]:
        """The run that an address means. Raises InvalidRequest, NotFound."""
        name, number = self.parse(address)
        return await self.run(name, await self.number(name, number))

    def reread(self, run: int) -> None:
        """More has become known of an ended run."""
        self._cache.pop(run, None)

    async def stale(self, record: RunRecord, run: Run) -> frozenset[str]:
        """The instances of a run whose results are not what would be made today."""
        if not run.tally.get("completed"):
            return frozenset()
        return await asyncio.to_thread(self._staleness.of, record)

    def _environment_of(self, spec: RunSpec) -> dict[str, str]:
        if self.coordinator is None:
            raise NotFound(f"Nobody here knows the environment of {spec.address}.")
        return self.coordinator.environment_of(spec)

    def no_worker(self, run: Run, name: str) -> NotFound:
        """The error for a worker that a run does not have."""
        start = name.casefold()[:2]
        close = [known for known in (*run.definitions, *run.by_name) if known.casefold().startswith(start)]
        hint = f"did you mean {close[0]}?" if close else f"wattle status {run.spec.address} shows its workers"
        return NotFound(f"{run.spec.address} has no worker {name}.", hint)

    # ---- one worker -----------------------------------------------------------------------------------------

    async def locate(self, workflow: str, worker: str) -> tuple[RunRecord, Run, Progress] | None:
        """The run and the instance that an address means (a group means its first instance that ever ran);
        None when the workflow has no run yet. Raises NotFound."""
        name, number = self.parse(workflow)
        if number is None:
            number = await self.latest(name)
            if number == 0:
                return None
        record, run = await self.run(name, number)
        indexes = run.name_to_indexes(worker)
        if not indexes:
            raise self.no_worker(run, worker)
        ran = [i for i in indexes if run.workers[i].attempt]
        return record, run, run.workers[(ran or indexes)[0]]

    async def worker_detail(self, workflow: str, worker: str, logs: Logs, log_root: str) -> rp.WorkerDetail:
        """A worker's definition, and where it stands in the run that the address means."""
        found = await self.locate(workflow, worker)
        if found is None:
            document = (await self.workflow(self.parse(workflow)[0])).document
            definition = next((one for one in document.workers if one.name == worker), None)
            if definition is None:
                raise NotFound(f"{document.name} has no worker {worker}.", f"wattle show {document.name}")
            return _definition_detail(document, definition)
        record, run, progress = found
        definition = run.definitions[progress.instance.worker]
        attempts = []
        for seen in progress.attempts:
            paths = log_paths(log_root, run.spec, progress.instance, seen.attempt) if seen.attempt else {}
            attempts.append(views.attempt(seen, paths, {stream: logs.size(path) for stream, path in paths.items()}))
        detail = _definition_detail(record.spec.document, definition)
        detail.name, detail.run = worker, views.live_summary(record, run)
        detail.state = views.worker_state(run, progress, await self.stale(record, run))
        detail.attempts = attempts
        detail.instances = [run.workers[i].instance.name for i in run.groups.get(worker, [])]
        sources = await asyncio.to_thread(origins, self.store, run.spec)
        for port in detail.outputs:
            places = Places.of(_spec_of(run, progress, sources))
            port.path = output_file(places, run.spec.options.as_made(progress.instance), port.name)
        return detail

    async def log_view(self, workflow: str, worker: str, log_root: str) -> LogView:
        """What a reader of the worker's log must know. Raises NotFound."""
        found = await self.locate(workflow, worker)
        if found is None:
            name, _ = self.parse(workflow)
            raise NotFound(f"{name} has no runs yet, so {worker} has no log.", f"wattle run {name}")
        _, run, progress = found
        live = self.live(run.spec.workflow, run.spec.number)
        news = None
        if live is not None and self.coordinator is not None:
            news = live.news.current
        return LogView(
            progress.instance.name,
            state=lambda: (progress.attempt, progress.phase in FINAL),
            paths=lambda attempt: log_paths(log_root, run.spec, progress.instance, attempt),
            news=news, status=lambda: progress.status,
            leaving=lambda: live is not None and self.coordinator is not None and self.coordinator.stopped,
            ending=lambda: _ending(progress),
        )  # fmt: skip

    # ---- outputs --------------------------------------------------------------------------------------------

    async def outputs(self, workflow: str, worker: str) -> rp.OutputList:
        """All declared outputs of an instance."""
        found = await self.locate(workflow, worker)
        if found is None:
            return rp.OutputList(outputs=[])
        _, run, progress = found
        sources = await asyncio.to_thread(origins, self.store, run.spec)
        spec = _spec_of(run, progress, sources)
        declared = run.definitions[progress.instance.worker].outputs
        return rp.OutputList(outputs=[
            await asyncio.to_thread(output_detail, run, spec, progress.instance, port, declared[port].type)
            for port in declared
        ])  # fmt: skip

    async def output(self, workflow: str, worker: str, port: str) -> rp.OutputDetail:
        """One declared output. Raises NotFound."""
        listed = (await self.outputs(workflow, worker)).outputs
        for output in listed:
            if output.port == port:
                return output
        names = ", ".join(output.port for output in listed) or "none"
        raise NotFound(f"{workflow}/{worker} has no output {port}.", f"its outputs are: {names}")


def _ending(progress: Progress) -> tuple[str, int | None, int | None]:
    record = progress.latest
    return progress.reason, record.code if record else None, record.signal if record else None


def _spec_of(run: Run, progress: Progress, sources: dict[str, RunSpec]) -> RunSpec:
    """The spec of the run in which this instance's outputs were written."""
    return sources.get(progress.reused_from, run.spec)


def output_detail(run: Run, spec: RunSpec, instance: Instance, port: str, kind: str) -> rp.OutputDetail:
    """An output of type `kind` as it lies there."""
    path = output_file(Places.of(spec), run.spec.options.as_made(instance), port)
    detail = rp.OutputDetail(address=f"{run.spec.address}/{instance.name}/{port}", port=port, type=kind, path=path,
                             exists=False)  # fmt: skip
    try:
        found = os.stat(path)
    except OSError:
        return detail
    detail.exists, detail.size, detail.modified_at = True, found.st_size, found.st_mtime
    if kind == "value" and found.st_size <= VALUE_LIMIT:
        detail.value = read_value(path)
    return detail


def _input_type(document: Workflow, feed: Input) -> str:
    """What one file, or one output of another worker, is."""
    if not feed.sources:
        return "object" if feed.object else "file"
    source = feed.sources[0]
    outputs = next((worker.outputs for worker in document.workers if worker.name == source.worker), {})
    return outputs[source.output].type if source.output in outputs else "file"


def _definition_detail(document: Workflow, worker: Worker) -> rp.WorkerDetail:
    definition = next(one for one in dump(document)["workers"] if one["name"] == worker.name)
    command = worker.command
    inputs = [
        rp.PortDetail(
            name=port, variable=f"WATTLE_INPUT_{port.upper()}",
            type="rows" if feed.rows else _input_type(document, feed),
            source=[f"{s.worker}/{s.output}" for s in feed.sources] or [feed.file or ""],
        )
        for port, feed in worker.inputs.items()
    ]  # fmt: skip
    outputs = [rp.PortDetail(name=port, type=output.type, variable=f"WATTLE_OUTPUT_{port.upper()}")
               for port, output in worker.outputs.items()]  # fmt: skip
    words = [command] if isinstance(command, str) else list(command or ())
    return rp.WorkerDetail(
        workflow=document.name, name=worker.name, definition=definition, run=None, state=None,
        command=[*words, *worker.args], working_dir=worker.working_dir or document.working_dir, inputs=inputs,
        outputs=outputs,
    )  # fmt: skip
