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
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from wattle.coordinator import lists, logstream, many, planning, previews, putting, starting, views
from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.definitions import check_match, check_owner, read_document, saved
from wattle.coordinator.feed import Feed
from wattle.coordinator.history import History
from wattle.coordinator.live import LiveRun, Watcher, all_closed
from wattle.coordinator.logedge import Edges
from wattle.coordinator.pruning import Pruner
from wattle.core import events as ev
from wattle.core import replies as rp
from wattle.core import requests as rq
from wattle.core.environ import given
from wattle.core.errors import Conflict, DocumentError, InvalidRequest, NotFound, Unreachable
from wattle.core.models import RunOptions
from wattle.core.ports import Logs, Store
from wattle.core.progress import FINAL, IN_FLIGHT
from wattle.core.records import WorkflowRecord
from wattle.core.run import Run

T = TypeVar("T")
WATCH_SECONDS = 0.1
"""A watched run is reported at most this often."""


class Service:
    """Answers operations. `health` gives the parts of `get_health` that only the hallway knows; `hand_over` is
    what a newcomer's or `wattle down`'s wish to take over calls; `glob` lists the files of a pattern;
    `slots` is the limit of the coordinator that would be, where there is none."""

    def __init__(
        self, store: Store, logs: Logs, *, log_root: str, coordinator: Coordinator | None = None,
        health: Callable[[], rp.Health], hand_over: Callable[[rq.HandOver], str] | None = None,
        glob: Callable[[str], list[str]], default_folder: Callable[[str], str], environment: Mapping[str, str],
        slots: int = 0,
    ) -> None:  # fmt: skip
        self.store = store
        self.logs = logs
        self.log_root = log_root
        self.coordinator = coordinator
        self.history = History(store, coordinator, glob)
        self.edges = Edges()
        self._feed = Feed(store, coordinator)
        self._health = health
        self._hand_over = hand_over
        self._default_folder = default_folder
        self._slots = slots
        self._environment = dict(environment)

    @property
    def leaving(self) -> bool:
        """The coordinator is letting go: streams must be taken up with its successor."""
        return self.coordinator is not None and self.coordinator.stopped

    # ---- workflows ------------------------------------------------------------------------------------------

    async def list_workflows(self, request: rq.ListWorkflows) -> rp.WorkflowList:
        await self._settled()
        return await lists.workflows(self.history, request)

    async def create_workflow(self, request: rq.CreateWorkflow) -> rp.WorkflowDetail:
        return await self._save(request, None)

    async def _save(self, request: rq.CreateWorkflow, if_match: str | None) -> rp.WorkflowDetail:
        parsed = await asyncio.to_thread(read_document, request, self._default_folder)
        driver = self._driver()
        async with driver.lock:
            existing = await asyncio.to_thread(self.store.workflow, parsed.workflow.name)
            check_match(existing, parsed.workflow.name, if_match)
            if existing is not None and existing.deleted_at is None:
                check_owner(existing, request)
            record = saved(existing, parsed, request.source, driver.clock.now())
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
        return await self._save(created, request.if_match)

    async def delete_workflow(self, request: rq.DeleteWorkflow) -> rp.Done:
        driver = self._driver()
        async with driver.lock:
            record = await self._workflow(self._definition_name(request.workflow))
            check_match(record, record.name, request.if_match)
            self._refuse_while_active(record.name, "be deleted")
            record.deleted_at = driver.clock.now()
            driver.remember(workflow=record)
            await driver.settled()
        return rp.Done(message=f"Deleted {record.name}. Its {record.last_run} runs stay until they are pruned.")

    async def validate_document(self, request: rq.ValidateDocument) -> rp.Validation:
        fields = {name: getattr(request, name) for name in rq.ValidateDocument.__struct_fields__ if name != "draw"}
        try:
            parsed = await asyncio.to_thread(read_document, rq.CreateWorkflow(**fields), self._default_folder)
        except DocumentError as error:
            problems = [rp.DocumentProblem(**problem.to_dict()) for problem in error.problems]  # type: ignore[arg-type]
            return rp.Validation(valid=False, problems=problems)
        workflow = parsed.workflow
        graph = await asyncio.to_thread(views.graph_view, workflow, None) if request.draw else None
        return rp.Validation(valid=True, name=workflow.name, workers=len(workflow.workers), warnings=parsed.warnings,
                             graph=graph)  # fmt: skip

    async def plan_workflow(self, request: rq.PlanWorkflow) -> rp.Plan:
        return await self._planning(request.environment).of(request)

    async def get_plan(self, request: rq.GetPlan) -> rp.Plan:
        return await self.plan_workflow(planning.asked(request))

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
        if request.stale:  # files may take long to read, and nothing else is held up meanwhile
            await self._planning(request.environment).read(request)
        async with driver.lock:
            earlier = await self._earlier(request.workflow, request.key)
            if earlier is not None:
                return earlier
            record = await self._workflow(self._definition_name(request.workflow))
            starting.check_overlap(driver, record)
            begin = starting.Start(
                record.document, params=request.params, options=RunOptions(jobs=request.jobs), stale=request.stale,
                environment=self._base(request.environment), key=request.key,
            )  # fmt: skip
            live = await starting.open_run(driver, record, begin, self.history)
        return await self._live_detail(live)

    async def rerun_workflow(self, request: rq.RerunWorkflow) -> rp.RunDetail:
        return await self._rerun(request, starting.key_of("rerun", request.key))

    async def _rerun(self, request: rq.RerunWorkflow, key: str | None) -> rp.RunDetail:
        driver = self._driver()
        name, number = self.history.parse(request.workflow)
        async with driver.lock:
            again = await self._earlier(name, key)
            if again is not None:
                return again
            record = await self._workflow(name, deleted=True)
            earlier, run = await self.history.run(name, await self.history.number(name, number))
            starting.check_overlap(driver, record)
            environment = request.environment and given(request.environment)
            if environment is None:
                environment = await asyncio.to_thread(driver.environment_of, earlier.spec)
            begin = await asyncio.to_thread(
                starting.rerun, self.store, earlier, run, request.from_worker, request.failed, request.jobs, environment
            )
            begin.key = key
            live = await starting.open_run(driver, record, begin, self.history)
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
        await self._settled()
        return await lists.runs(self.history, name, request)

    async def list_all_runs(self, request: rq.ListAllRuns) -> rp.RunList:
        await self._settled()
        if request.active:
            return await lists.active(self.history, request)
        return await lists.runs(self.history, None, request)

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
            stale = await self.history.stale(record, run)
            yield views.change(record, run, range(len(run.workers)), self.history.seq(), self._limit(run), first=True,
                               stale=stale)  # fmt: skip
            return
        watcher, first = Watcher(), True
        live.watchers.add(watcher)
        try:
            stale = await self.history.stale(live.record, live.run)
            while not self.leaving:
                with contextlib.suppress(Unreachable):  # the coordinator let go meanwhile
                    exact = self.coordinator.at_rest  # else the picture is newer than its number says
                    change = await self.coordinator.read(partial(self._news, live, watcher, stale, first=first))
                    known = first and exact and change.seq == request.after and change.run.status not in FINAL
                    if not known and (first or change.workers or change.run.status in FINAL):
                        yield change
                    if change.run.status in FINAL:
                        return
                first = False
                await watcher.next(live, WATCH_SECONDS)
        finally:
            live.watchers.discard(watcher)

    async def get_graph(self, request: rq.GetGraph) -> rp.Graph:
        name, number = self.history.parse(request.workflow)
        if number is None and await self.history.latest(name) == 0:
            return views.graph_view((await self._workflow(name)).document, None)
        record, run = await self.history.run_of(request.workflow)
        document = record.spec.document
        if number is None:  # as it is defined today, with what its latest run made of it
            with contextlib.suppress(NotFound):
                document = (await self._workflow(name)).document
        return views.graph_view(document, run, await self.history.stale(record, run))

    async def get_timeline(self, request: rq.GetTimeline) -> rp.Timeline:
        record, run = await self.history.run_of(request.workflow)
        return await self._look(lambda: views.timeline(record, run))

    async def get_progress(self, request: rq.GetProgress) -> rp.RunProgress:
        return await previews.progress((await self.history.run_of(request.workflow))[1])

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
        return views.metrics(found, usage)

    async def start_worker(self, request: rq.StartWorker) -> rp.RunDetail:
        driver = self._driver()
        key = starting.key_of("start", request.key, request.worker)
        async with driver.lock:
            earlier = await self._earlier(request.workflow, key)
            if earlier is not None:
                return earlier
            record = await self._workflow(self._definition_name(request.workflow))
            starting.check_overlap(driver, record)
            begin = await asyncio.to_thread(
                starting.alone, self.store, record, request.worker, self._base(request.environment)
            )
            begin.key = key
            live = await starting.open_run(driver, record, begin, self.history)
        return await self._live_detail(live)

    async def stop_worker(self, request: rq.StopWorker) -> rp.RunDetail:
        return await self._tell_worker(request.workflow, request.worker)

    async def restart_worker(self, request: rq.RestartWorker) -> rp.RunDetail:
        name, number = self.history.parse(request.workflow)
        key = starting.key_of("restart", request.key, request.worker)
        earlier = await self._earlier(name, key)
        if earlier is not None:
            return earlier
        live = self._live(name, await self.history.number(name, number))
        if live is not None:
            indexes = live.run.name_to_indexes(request.worker)
            if not indexes or any(live.run.workers[i].phase not in FINAL for i in indexes):
                return await self._tell_worker(request.workflow, request.worker, restart=True, key=key)
        again = rq.RerunWorkflow(workflow=request.workflow, from_worker=request.worker)
        return await self._rerun(again, key)

    async def read_logs(self, request: rq.ReadLogs) -> rp.LogChunks:
        view = await self.history.log_view(request.workflow, request.worker, self.log_root)
        return await asyncio.to_thread(logstream.read, self.logs, view, request)

    async def follow_logs(self, request: rq.FollowLogs) -> AsyncIterator[rp.LogChunk]:
        view = await self.history.log_view(request.workflow, request.worker, self.log_root)
        chunks = logstream.follow(self.logs, view, request, self.edges)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def list_outputs(self, request: rq.GetWorker) -> rp.OutputList:
        return await self.history.outputs(request.workflow, request.worker)

    async def get_output(self, request: rq.GetOutput) -> rp.OutputDetail:
        return await self.history.output(request.workflow, request.worker, request.port)

    async def preview_output(self, request: rq.GetOutput) -> rp.OutputPreview:
        return await asyncio.to_thread(previews.preview, await self.get_output(request))

    async def put_output(self, request: rq.PutOutput) -> rp.OutputDetail:
        return await putting.put(self._driver(), self.history, request)

    async def put_progress(self, request: rq.PutProgress) -> rp.WorkerProgress:
        return await putting.put_progress(self._driver(), self.history, request)

    # ---- events, health, housekeeping -----------------------------------------------------------------------

    async def follow_events(self, request: rq.FollowEvents) -> AsyncIterator[rp.EventLine]:
        name, number = await self.history.known(request.workflow)
        lines = self._feed.events(name, number, self._seen(request.after), follow=request.follow)
        async with contextlib.aclosing(lines):
            async for line in lines:
                yield line

    async def follow_all_events(self, request: rq.FollowAllEvents) -> AsyncIterator[rp.EventLine]:
        lines = self._feed.events(None, None, self._seen(request.after), follow=request.follow)
        async with contextlib.aclosing(lines):
            async for line in lines:
                yield line

    async def follow_many(self, request: rq.FollowMany) -> AsyncIterator[rp.TopicItem]:
        items = many.merged(self, many.topics(self, request, self.history.seq()))
        async with contextlib.aclosing(items):
            async for item in items:
                yield item

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
            await all_closed(driver.runs)
        return rp.Done(message=self._hand_over(request))

    # ---- what the methods share -----------------------------------------------------------------------------

    def _driver(self) -> Coordinator:
        if self.coordinator is None:
            raise Unreachable("No coordinator is running, and this one only looks things up.", "wattle up")
        return self.coordinator

    async def _settled(self) -> None:
        if self.coordinator is not None and not self.coordinator.stopped:
            await self.coordinator.settled()

    def _seen(self, after: int) -> int:
        """A sequence number that there has been. Raises InvalidRequest."""
        newest = self.history.seq()
        if after > newest:
            raise InvalidRequest(f"There is no event {after} yet.", f"the newest is {newest}")
        return after

    async def _look(self, look: Callable[[], T]) -> T:
        if self.coordinator is None or self.coordinator.stopped:
            return look()
        return await self.coordinator.read(look)

    def _definition_name(self, address: str) -> str:
        name, number = self.history.parse(address)
        if number is not None:
            raise InvalidRequest(f"{address} is a run, and this changes or starts the workflow itself.",
                                 f"write {name}")  # fmt: skip
        return name

    async def _workflow(self, name: str, *, deleted: bool = False) -> WorkflowRecord:
        return await self.history.workflow(name, deleted=deleted)

    async def _workflow_detail(self, record: WorkflowRecord, notes: list[str] | None = None) -> rp.WorkflowDetail:
        heads = await asyncio.to_thread(self.store.runs, record.name, limit=1)
        latest = lists.refreshed(self.history, views.summary(heads[0])) if heads else None
        return await asyncio.to_thread(views.workflow_detail, record, latest, notes or [])

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

    async def _earlier(self, workflow: str, key: str | None) -> rp.RunDetail | None:
        """The run that a request with this key has started. Raises Conflict when that was of another workflow."""
        address = await asyncio.to_thread(self.store.key, key) if key is not None else None
        if address is None:
            return None
        name, number = self.history.parse(address)
        if name.casefold() != self.history.parse(workflow)[0].casefold():
            raise Conflict(f"This key has started {address} already.", "make a new key for each thing to start",
                           code="key-used")  # fmt: skip
        return await self._detail(name, number)

    async def _tell_worker(self, workflow: str, worker: str, *, restart: bool = False,
                           key: str | None = None) -> rp.RunDetail:  # fmt: skip
        driver = self._driver()
        async with driver.lock:
            earlier = await self._earlier(workflow, key)
            if earlier is not None:
                return earlier
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
            if key is not None:
                driver.remember(key=(key, live.run.spec.address))
            await driver.settled()
        return await self._live_detail(live)

    async def _detail(self, name: str, number: int | None) -> rp.RunDetail:
        record, run = await self.history.run(name, await self.history.number(name, number))
        stale = await self.history.stale(record, run)
        if run.status in FINAL and self._live(name, record.spec.number) is None:
            return await asyncio.to_thread(views.detail, record, run, self.history.seq(), self._limit(run), stale)
        return await self._look(lambda: views.detail(record, run, self.history.seq(), self._limit(run), stale))

    async def _live_detail(self, live: LiveRun) -> rp.RunDetail:
        return await self._look(lambda: views.detail(live.record, live.run, self.history.seq(), self._limit(live.run)))

    def _limit(self, run: Run) -> int:
        return self.coordinator.dispatcher.run_limit(run) if self.coordinator else 0

    def _news(self, live: LiveRun, watcher: Watcher, stale: Collection[str], *, first: bool) -> rp.RunChange:
        indexes = range(len(live.run.workers)) if first else sorted(watcher.changed)
        watcher.changed = set()
        return views.change(live.record, live.run, indexes, self.history.seq(), self._limit(live.run), first=first,
                            stale=stale)  # fmt: skip

    def _planning(self, environment: dict[str, str] | None) -> planning.Planning:
        slots = int(self.coordinator.dispatcher.totals["slots"]) if self.coordinator else self._slots
        return planning.Planning(self.history, self._default_folder, self._base(environment), slots)

    def _base(self, environment: dict[str, str] | None) -> dict[str, str]:
        return dict(self._environment) if environment is None else given(environment)
