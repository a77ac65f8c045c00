"""One short method per operation of the table: what people ask, answered from the store and the live runs.

The same class serves every door. With a coordinator it can do everything; without one (`coordinator=None`) it looks
things up in a store that nobody drives, and refuses to change anything.

Laws: a method that changes something holds the coordinator's lock while it reads, decides and waits for its commit,
so that two requests never decide on the same state; its reply is sent after the commit. A view of a live run is
taken when what it shows is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from wattle.coordinator import logstream, starting, views
from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.history import History
from wattle.coordinator.live import LiveRun, Watcher
from wattle.coordinator.pruning import Pruner
from wattle.core import events as ev
from wattle.core import replies as rp
from wattle.core import requests as rq
from wattle.core.document import Parsed, parse, parse_document
from wattle.core.errors import Conflict, DocumentError, InvalidRequest, Unreachable
from wattle.core.expand import resolve_params, resolve_rows
from wattle.core.models import RunOptions
from wattle.core.ports import Logs, Store
from wattle.core.records import RunRecord, WorkflowRecord
from wattle.core.run import FINAL, IN_FLIGHT, Run

T = TypeVar("T")
WATCH_SECONDS = 0.1
"""A watched run is reported at most this often."""


class Service:
    """Answers operations. `health` gives the parts of `get_health` that only the hallway knows; `hand_over` is
    what a newcomer's or `wattle down`'s wish to take over calls; `glob` lists the files of a pattern."""

    def __init__(
        self, store: Store, logs: Logs, *, log_root: str, coordinator: Coordinator | None = None,
        health: Callable[[], rp.Health], hand_over: Callable[[rq.HandOver], str] | None = None,
        glob: Callable[[str], list[str]], default_folder: Callable[[str], str], environment: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.store = store
        self.logs = logs
        self.log_root = log_root
        self.coordinator = coordinator
        self.history = History(store, coordinator)
        self._health = health
        self._hand_over = hand_over
        self._glob = glob
        self._default_folder = default_folder
        self._environment = dict(environment)

    @property
    def leaving(self) -> bool:
        """The coordinator is letting go: streams must be taken up with its successor."""
        return self.coordinator is not None and self.coordinator.stopped

    # ---- workflows ------------------------------------------------------------------------------------------

    async def list_workflows(self, request: rq.ListWorkflows) -> rp.WorkflowList:
        def look() -> rp.WorkflowList:
            latest = self.store.latest_runs()
            rows = [views.workflow_summary(record, self._summary(latest.get(record.name)))
                    for record in self.store.workflows()]  # fmt: skip
            rows = [row for row in rows if request.status in {None, row.status}
                    and (request.tag is None or request.tag in row.tags)]  # fmt: skip
            page = rows[request.offset : request.offset + request.limit]
            return rp.WorkflowList(workflows=page, total=len(rows))

        await self._settled()
        return await asyncio.to_thread(look)

    async def create_workflow(self, request: rq.CreateWorkflow) -> rp.WorkflowDetail:
        parsed = await self._parse(request)
        driver = self._driver()
        async with driver.lock:
            existing = await asyncio.to_thread(self.store.workflow, parsed.workflow.name)
            now = driver.clock.now()
            if existing is None or existing.deleted_at is not None:
                record = WorkflowRecord(
                    name=parsed.workflow.name, document=parsed.workflow, source=request.source, created_at=now,
                    updated_at=now, last_run=existing.last_run if existing else 0,
                    revision=existing.revision + 1 if existing else 1,
                )  # fmt: skip
            else:
                self._check_owner(existing, request)
                record = _replaced(existing, parsed, request.source, now)
            if record is not existing:
                driver.remember(workflow=record)
                await driver.settled()
        return await self._workflow_detail(record, parsed.warnings)

    async def get_workflow(self, request: rq.GetWorkflow) -> rp.WorkflowDetail:
        name, number = self.history.parse(request.workflow)
        if number is not None:
            record = await self.history.record(name, number)
            document = record.spec.document
            frozen = WorkflowRecord(name=record.spec.workflow, document=document, created_at=record.created_at,
                                    updated_at=record.created_at, last_run=record.spec.number)  # fmt: skip
            return views.workflow_detail(frozen, views.summary(record))
        return await self._workflow_detail(await self._workflow(name))

    async def replace_workflow(self, request: rq.ReplaceWorkflow) -> rp.WorkflowDetail:
        name = self._definition_name(request.workflow)
        fields = {field: getattr(request, field) for field in rq.CreateWorkflow.__struct_fields__}
        created = rq.CreateWorkflow(**{**fields, "name": name, "replace": True})
        return await self.create_workflow(created)

    async def delete_workflow(self, request: rq.DeleteWorkflow) -> rp.Done:
        driver = self._driver()
        async with driver.lock:
            record = await self._workflow(self._definition_name(request.workflow))
            self._refuse_while_active(record.name, "be deleted")
            record.deleted_at = driver.clock.now()
            driver.remember(workflow=record)
            await driver.settled()
        return rp.Done(message=f"Deleted {record.name}. Its {record.last_run} runs stay until they are pruned.")

    async def validate_document(self, request: rq.ValidateDocument) -> rp.Validation:
        fields = {field: getattr(request, field) for field in rq.ValidateDocument.__struct_fields__}
        try:
            parsed = await self._parse(rq.CreateWorkflow(**fields))
        except DocumentError as error:
            problems = [rp.DocumentProblem(**problem.to_dict()) for problem in error.problems]  # type: ignore[arg-type]
            return rp.Validation(valid=False, problems=problems)
        workflow = parsed.workflow
        return rp.Validation(valid=True, name=workflow.name, workers=len(workflow.workers), warnings=parsed.warnings)

    async def plan_workflow(self, request: rq.PlanWorkflow) -> rp.Plan:
        name, number = self.history.parse(request.workflow)
        document = ((await self.history.record(name, number)).spec.document if number is not None
                    else (await self._workflow(name)).document)  # fmt: skip

        def look() -> rp.Plan:
            params = resolve_params(document, request.params)
            rows = resolve_rows(document, params, self._glob)
            limit = self.coordinator.dispatcher.totals["slots"] if self.coordinator else 0
            limits = [value for value in (limit, request.jobs, document.max_concurrent_workers) if value]
            return views.plan(document, rows, self.store.durations(document.name), int(min(limits, default=0)))

        return await asyncio.to_thread(look)

    async def delete_worker(self, request: rq.DeleteWorker) -> rp.WorkflowDetail:
        driver = self._driver()
        async with driver.lock:
            record = await self._workflow(self._definition_name(request.workflow))
            updated = starting.without_worker(record, request.worker, driver.clock.now())
            driver.remember(workflow=updated)
            await driver.settled()
        return await self._workflow_detail(updated)

    # ---- runs -----------------------------------------------------------------------------------------------

    async def start_workflow(self, request: rq.StartWorkflow) -> rp.RunDetail:
        driver = self._driver()
        async with driver.lock:
            if request.key is not None:
                earlier = await asyncio.to_thread(self.store.key, request.key)
                if earlier is not None:
                    return await self._detail(*self.history.parse(earlier))
            record = await self._workflow(self._definition_name(request.workflow))
            starting.check_overlap(driver, record)
            begin = starting.Start(
                record.document, params=request.params, options=RunOptions(jobs=request.jobs),
                environment=self._base(request.environment), key=request.key,
            )  # fmt: skip
            live = await starting.open_run(driver, record, begin, self._glob)
        return await self._live_detail(live)

    async def rerun_workflow(self, request: rq.RerunWorkflow) -> rp.RunDetail:
        driver = self._driver()
        name, number = self.history.parse(request.workflow)
        async with driver.lock:
            record = await self._workflow(name, deleted=True)
            earlier, run = await self.history.run(name, await self.history.number(name, number))
            starting.check_overlap(driver, record)
            environment = request.environment
            if environment is None:
                environment = await asyncio.to_thread(driver.environment_of, earlier.spec)
            begin = await asyncio.to_thread(
                starting.rerun, self.store, earlier, run, request.from_worker, request.failed, request.jobs, environment
            )
            live = await starting.open_run(driver, record, begin, self._glob)
        return await self._live_detail(live)

    async def stop_workflow(self, request: rq.StopWorkflow) -> rp.RunDetail:
        driver = self._driver()
        async with driver.lock:
            live = await self._active(request.workflow)
            live.grace = starting.checked_grace(request.grace)
            driver.post(live.run.spec.id, ev.StopRequested(at=driver.clock.now()))
            await driver.settled()
        return await self._live_detail(live)

    async def list_runs(self, request: rq.ListRuns) -> rp.RunList:
        name, _ = self.history.parse(request.workflow)
        await self._workflow(name, deleted=True)
        return await self._runs(name, request.limit, request.before)

    async def list_all_runs(self, request: rq.ListAllRuns) -> rp.RunList:
        if not request.active:
            return await self._runs(None, request.limit, request.before)
        await self._settled()
        active = [record for record in reversed(await asyncio.to_thread(self.store.unfinished))
                  if request.before is None or record.spec.id < request.before]  # fmt: skip
        page = active[: request.limit]
        runs = [summary for summary in map(self._summary, page) if summary is not None]
        return rp.RunList(runs=runs, next=page[-1].spec.id if 0 < len(page) < len(active) else None)

    async def list_workers(self, request: rq.ListWorkers) -> rp.RunDetail:
        return await self._detail(*self.history.parse(request.workflow))

    async def get_run(self, request: rq.GetRun) -> rp.RunDetail:
        return await self._detail(request.workflow, request.number)

    async def watch_run(self, request: rq.WatchRun) -> AsyncIterator[rp.RunChange]:
        name, number = self.history.parse(request.workflow)
        number = await self.history.number(name, number)
        live = self._live(name, number)
        if live is None or self.coordinator is None:
            record, run = await self.history.run(name, number)
            yield self._change(record, run, range(len(run.workers)), first=True)
            return
        watcher, first = Watcher(), True
        live.watchers.add(watcher)
        try:
            while not self.leaving:
                with contextlib.suppress(Unreachable):  # the coordinator let go meanwhile
                    change = await self.coordinator.read(partial(self._news, live, watcher, first=first))
                    if first or change.workers or change.run.status in FINAL:
                        yield change
                    if change.run.status in FINAL:
                        return
                first = False
                await watcher.next(live.closed, WATCH_SECONDS)
        finally:
            live.watchers.discard(watcher)

    async def get_graph(self, request: rq.GetGraph) -> rp.Graph:
        name, number = self.history.parse(request.workflow)
        if number is None and await self.history.latest(name) == 0:
            return views.graph_view((await self._workflow(name)).document, None)
        record, run = await self.history.run(name, await self.history.number(name, number))
        return views.graph_view(record.spec.document, run)

    async def get_timeline(self, request: rq.GetTimeline) -> rp.Timeline:
        name, number = self.history.parse(request.workflow)
        record, run = await self.history.run(name, await self.history.number(name, number))
        return await self._look(lambda: views.timeline(record, run))

    # ---- workers --------------------------------------------------------------------------------------------

    async def get_worker(self, request: rq.GetWorker) -> rp.WorkerDetail:
        return await self.history.worker_detail(request.workflow, request.worker, self.logs, self.log_root)

    async def get_worker_schema(self, request: rq.GetWorker) -> rp.WorkerSchema:
        found = await self.get_worker(request)
        return rp.WorkerSchema(workflow=found.workflow, name=found.name, inputs=found.inputs, outputs=found.outputs)

    async def get_worker_metrics(self, request: rq.GetWorker) -> rp.WorkerMetrics:
        found = await self.get_worker(request)
        live = self._live(found.workflow, found.run.number) if found.run else None
        usage = None
        if live is not None and self.coordinator is not None and found.state is not None:
            progress = live.run.workers[live.run.by_name[found.state.name]]
            if progress.phase in IN_FLIGHT:
                usage = (await asyncio.to_thread(self.coordinator.executor.usage)).get(progress.nonce)
        return rp.WorkerMetrics(
            workflow=found.workflow, name=found.name, cpu_percent=usage.cpu_percent if usage else None,
            rss=usage.rss if usage else None, processes=usage.processes if usage else None,
            cpu_user=sum(seen.cpu_user for seen in found.attempts),
            cpu_system=sum(seen.cpu_system for seen in found.attempts),
            max_rss=max((seen.max_rss for seen in found.attempts), default=0),
        )  # fmt: skip

    async def start_worker(self, request: rq.StartWorker) -> rp.RunDetail:
        driver = self._driver()
        async with driver.lock:
            record = await self._workflow(self._definition_name(request.workflow))
            starting.check_overlap(driver, record)
            begin = await asyncio.to_thread(
                starting.alone, self.store, record, request.worker, self._base(request.environment)
            )
            live = await starting.open_run(driver, record, begin, self._glob)
        return await self._live_detail(live)

    async def stop_worker(self, request: rq.StopWorker) -> rp.RunDetail:
        return await self._tell_worker(request.workflow, request.worker, restart=False)

    async def restart_worker(self, request: rq.RestartWorker) -> rp.RunDetail:
        name, number = self.history.parse(request.workflow)
        live = self._live(name, await self.history.number(name, number))
        if live is not None:
            indexes = live.run.name_to_indexes(request.worker)
            if not indexes or any(live.run.workers[i].phase not in FINAL for i in indexes):
                return await self._tell_worker(request.workflow, request.worker, restart=True)
        again = rq.RerunWorkflow(workflow=request.workflow, from_worker=request.worker)
        return await self.rerun_workflow(again)

    async def read_logs(self, request: rq.ReadLogs) -> rp.LogChunks:
        view = await self._log_view(request.workflow, request.worker)
        return await asyncio.to_thread(logstream.read, self.logs, view, request)

    async def follow_logs(self, request: rq.FollowLogs) -> AsyncIterator[rp.LogChunk]:
        view = await self._log_view(request.workflow, request.worker)
        async for chunk in logstream.follow(self.logs, view, request):
            yield chunk

    async def list_outputs(self, request: rq.GetWorker) -> rp.OutputList:
        return await self.history.outputs(request.workflow, request.worker)

    async def get_output(self, request: rq.GetOutput) -> rp.OutputDetail:
        return await self.history.output(request.workflow, request.worker, request.port)

    # ---- events, health, housekeeping -----------------------------------------------------------------------

    async def follow_events(self, request: rq.FollowEvents) -> AsyncIterator[rp.EventLine]:
        name, number = await self.history.known(request.workflow)
        async for line in self.history.events(name, number, request.after, follow=request.follow):
            yield line

    async def follow_all_events(self, request: rq.FollowAllEvents) -> AsyncIterator[rp.EventLine]:
        async for line in self.history.events(None, None, request.after, follow=request.follow):
            yield line

    async def get_health(self, _request: rq.GetHealth) -> rp.Health:
        return self._health()

    async def prune_runs(self, request: rq.PruneRuns) -> rp.Pruned:
        driver = self._driver()
        async with driver.lock:
            if request.workflow is not None:
                await self._workflow(self._definition_name(request.workflow), deleted=True)
            await driver.settled()
            pruner = Pruner(self.store, self.log_root, driver.clock.now(), set(driver.runs), driver.forget)
            return await asyncio.to_thread(pruner.prune, request)

    async def hand_over(self, request: rq.HandOver) -> rp.Done:
        if self._hand_over is None:
            raise Unreachable("Nobody coordinates here, so there is nothing to hand over.", "wattle up")
        if request.stop_runs:
            driver = self._driver()
            for live in list(driver.runs.values()):
                driver.post(live.run.spec.id, ev.StopRequested(at=driver.clock.now()))
            await driver.settled()
        return rp.Done(message=self._hand_over(request))

    # ---- what the methods share -----------------------------------------------------------------------------

    def _driver(self) -> Coordinator:
        if self.coordinator is None:
            raise Unreachable("No coordinator is running, and this one only looks things up.", "wattle up")
        return self.coordinator

    async def _settled(self) -> None:
        if self.coordinator is not None and not self.coordinator.stopped:
            await self.coordinator.settled()

    async def _look(self, look: Callable[[], T]) -> T:
        if self.coordinator is None or self.coordinator.stopped:
            return look()
        return await self.coordinator.read(look)

    async def _parse(self, request: rq.CreateWorkflow) -> Parsed:
        if (request.document is None) == (request.text is None):
            raise InvalidRequest("a workflow is sent either as `document` or as `text`", "send exactly one of them")

        def work() -> Parsed:
            def read(folder: str) -> Parsed:
                if request.text is not None:
                    return parse(request.text, request.format, base_dir=folder, name=request.name)
                return parse_document(request.document or {}, base_dir=folder, name=request.name)

            return read(request.base_dir or self._default_folder(read("/").workflow.name))

        return await asyncio.to_thread(work)

    def _check_owner(self, existing: WorkflowRecord, request: rq.CreateWorkflow) -> None:
        same = request.replace or (bool(request.source) and existing.source == request.source)
        if same or (existing.source and not os.path.exists(existing.source)):
            return
        origin = existing.source or "a request without a file"
        raise Conflict(
            f"The name {existing.name} is taken by the workflow from {origin}.",
            "take another name with --name, or take this one over with --replace", code="name-taken",
        )  # fmt: skip

    def _definition_name(self, address: str) -> str:
        name, number = self.history.parse(address)
        if number is not None:
            raise InvalidRequest(f"{address} is a run, and this changes or starts the workflow itself.",
                                 f"write {name}")  # fmt: skip
        return name

    async def _workflow(self, name: str, *, deleted: bool = False) -> WorkflowRecord:
        return await self.history.workflow(name, deleted=deleted)

    async def _workflow_detail(self, record: WorkflowRecord, notes: list[str] | None = None) -> rp.WorkflowDetail:
        head = (await asyncio.to_thread(self.store.runs, record.name, limit=1))[:1]
        return views.workflow_detail(record, self._summary(head[0]) if head else None, notes or [])

    def _summary(self, head: object) -> rp.RunSummary | None:
        if head is None:
            return None
        reply = views.summary(head)  # type: ignore[arg-type]
        live = self._live(reply.workflow, reply.number)
        return views.live_summary(live.record, live.run) if live is not None else reply

    async def _runs(self, name: str | None, limit: int, before: int | None) -> rp.RunList:
        await self._settled()
        heads = await asyncio.to_thread(self.store.runs, name, limit=limit, before=before)
        runs = [summary for summary in map(self._summary, heads) if summary is not None]
        return rp.RunList(runs=runs, next=heads[-1].id if 0 < len(heads) == limit else None)

    def _live(self, name: str, number: int) -> LiveRun | None:
        return self.history.live(name, number)

    async def _active(self, address: str) -> LiveRun:
        driver = self._driver()
        name, number = await self.history.known(address)
        found = [live for live in driver.runs.values() if live.run.spec.workflow.casefold() == name.casefold()
                 and number in {None, live.run.spec.number}]  # fmt: skip
        if not found:
            raise Conflict(f"{address} is not running.", f"wattle runs {name}", code="not-running")
        return max(found, key=lambda live: live.run.spec.number)

    def _refuse_while_active(self, name: str, what: str) -> None:
        driver = self._driver()
        for live in driver.runs.values():
            if live.run.spec.workflow.casefold() == name.casefold():
                raise Conflict(f"{live.run.spec.address} is still running, so {name} cannot {what}.",
                               f"wattle stop {name}", code="run-active")  # fmt: skip

    async def _tell_worker(self, workflow: str, worker: str, *, restart: bool) -> rp.RunDetail:
        driver = self._driver()
        async with driver.lock:
            live = await self._active(workflow)
            indexes = live.run.name_to_indexes(worker)
            if not indexes:
                raise self.history.no_worker(live.run, worker)
            if all(live.run.workers[i].phase in FINAL for i in indexes):
                raise Conflict(f"{live.run.spec.address}/{worker} has ended already.",
                               f"wattle status {live.run.spec.address}", code="not-running")  # fmt: skip
            now = driver.clock.now()
            event = ev.RestartRequested(at=now, worker=worker) if restart else ev.StopRequested(at=now, worker=worker)
            driver.post(live.run.spec.id, event)
            await driver.settled()
        return await self._live_detail(live)

    async def _detail(self, name: str, number: int | None) -> rp.RunDetail:
        record, run = await self.history.run(name, await self.history.number(name, number))
        return await self._look(lambda: views.detail(record, run, self.history.seq(), self._limit(run)))

    async def _live_detail(self, live: LiveRun) -> rp.RunDetail:
        run = live.run
        return await self._look(lambda: views.detail(live.record, run, self.history.seq(), self._limit(run)))

    def _limit(self, run: Run) -> int:
        return self.coordinator.dispatcher.run_limit(run) if self.coordinator else 0

    def _news(self, live: LiveRun, watcher: Watcher, *, first: bool) -> rp.RunChange:
        indexes = range(len(live.run.workers)) if first else sorted(watcher.changed)
        watcher.changed = set()
        return self._change(live.record, live.run, indexes, first=first)

    def _change(self, record: RunRecord, run: Run, indexes: Collection[int], *,
                first: bool) -> rp.RunChange:  # fmt: skip
        states = [views.worker_state(run, run.workers[i]) for i in indexes]
        final = run.status in FINAL
        full = views.detail(record, run, 0, self._limit(run)) if first or final else None
        return rp.RunChange(
            run=views.live_summary(record, run), workers=states, seq=self.history.seq(), first=first,
            limit=full.limit if full else 0, run_dir=full.run_dir if full else "",
            warnings=full.warnings if full else [],
        )  # fmt: skip

    def _base(self, environment: dict[str, str] | None) -> dict[str, str]:
        return dict(self._environment) if environment is None else environment

    async def _log_view(self, workflow: str, worker: str) -> logstream.LogView:
        return await self.history.log_view(workflow, worker, self.log_root)


def _replaced(existing: WorkflowRecord, parsed: Parsed, source: str, now: float) -> WorkflowRecord:
    """The record with the new document; the same record when nothing differs."""
    if existing.document == parsed.workflow and existing.source == source:
        return existing
    return WorkflowRecord(
        name=parsed.workflow.name, document=parsed.workflow, source=source, revision=existing.revision + 1,
        last_run=existing.last_run, created_at=existing.created_at, updated_at=now,
    )  # fmt: skip
