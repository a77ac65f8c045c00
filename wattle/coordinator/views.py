"""Replies made from runs and records. Nothing here changes anything or waits for anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from wattle.coordinator.definitions import etag
from wattle.core import graph
from wattle.core.document import dump
from wattle.core.layout import layout
from wattle.core.models import Workflow
from wattle.core.places import run_dir
from wattle.core.progress import FINAL, Progress
from wattle.core.records import AttemptRecord, RunHead, RunRecord, Usage, WorkflowRecord
from wattle.core.replies import (
    Attempt,
    Graph,
    GraphEdge,
    GraphNode,
    RunChange,
    RunDetail,
    RunSummary,
    Timeline,
    TimelineBar,
    WorkerDetail,
    WorkerMetrics,
    WorkerState,
    WorkflowDetail,
    WorkflowSummary,
)  # fmt: skip
from wattle.core.run import Run


def summary(record: RunRecord | RunHead) -> RunSummary:
    """A run's row."""
    where = record if isinstance(record, RunHead) else record.spec
    workflow, number, options = where.workflow, where.number, where.options
    return RunSummary(
        address=f"{workflow}@{number}", workflow=workflow, number=number, status=record.status, phase=record.phase,
        reason=record.reason, cause=record.cause, created_at=record.created_at, started_at=record.started_at,
        completed_at=record.completed_at, counts=record.counts, origin=options.origin, overhead=record.overhead,
    )  # fmt: skip


def live_summary(record: RunRecord, run: Run) -> RunSummary:
    """A run's row, with what its state machine knows newer."""
    reply = summary(record)
    reply.status, reply.phase, reply.reason, reply.cause = run.status, run.phase, run.reason, run.cause
    reply.started_at, reply.completed_at, reply.counts = run.started_at, run.completed_at, run.counts()
    return reply


def worker_state(run: Run, progress: Progress, stale: Collection[str] = ()) -> WorkerState:
    """One instance in a run. `stale` are the names of those whose result is no longer what would be made."""
    record = progress.latest
    return WorkerState(
        name=progress.instance.name, group=progress.instance.group, status=progress.status, phase=progress.phase,
        reason=progress.reason, message=progress.message, attempt=progress.attempt,
        attempts_allowed=run.attempts_allowed(progress.instance.index), code=record.code if record else None,
        signal=record.signal if record else None,
        pid=progress.pid if progress.phase in {"running", "stopping"} else None,
        started_at=record.started_at if record else None, ended_at=record.ended_at if record else None,
        reused_from=progress.reused_from, stale=progress.phase == "completed" and progress.instance.name in stale,
    )  # fmt: skip


def detail(record: RunRecord, run: Run, seq: int, limit: int, stale: Collection[str] = ()) -> RunDetail:
    """A run with its workers."""
    document = record.spec.document
    return RunDetail(
        **_fields(live_summary(record, run)),
        workers=[worker_state(run, progress, stale) for progress in run.workers],
        seq=seq, params=record.spec.params, working_dir=document.working_dir,
        run_dir=run_dir(document, record.spec.workflow, record.spec.number), limit=limit, warnings=warnings(run),
    )  # fmt: skip


def change(record: RunRecord, run: Run, indexes: Iterable[int], seq: int, limit: int, *, first: bool,
           stale: Collection[str] = ()) -> RunChange:  # fmt: skip
    """What has changed in a run: the workers of these indexes; what never changes is in the first and the last one."""
    told = first or run.status in FINAL
    return RunChange(
        run=live_summary(record, run), workers=[worker_state(run, run.workers[i], stale) for i in indexes],
        seq=seq, first=first, limit=limit if told else 0, warnings=warnings(run) if told else [],
        run_dir=run_dir(record.spec.document, record.spec.workflow, record.spec.number) if told else "",
    )  # fmt: skip


def warnings(run: Run) -> list[str]:
    """What a completed worker left undone that nobody below it needed, and outputs older than their attempt."""
    found = []
    for progress in run.workers:
        record = progress.latest
        if progress.phase != "completed" or record is None:
            continue
        for port, seen in record.outputs.items():
            if seen is None:
                found.append(f"{progress.instance.name} did not write its output {port}")
            elif record.started_at is not None and seen[1] / 1e9 < record.started_at - 1:
                found.append(f"{progress.instance.name}: the file of output {port} is older than the run")
    return found


def workflow_summary(record: WorkflowRecord, run: RunSummary | None) -> WorkflowSummary:
    """A workflow's row: its status is that of its latest run."""
    return WorkflowSummary(
        name=record.name, status=run.status if run else "created", workers=len(record.document.workers),
        description=record.document.description, source=record.source, tags=list(record.document.tags),
        created_at=record.created_at, updated_at=record.updated_at, run=run,
    )  # fmt: skip


def workflow_detail(record: WorkflowRecord, run: RunSummary | None, notes: Iterable[str] = ()) -> WorkflowDetail:
    """A workflow with its document in the JSON form."""
    return WorkflowDetail(
        **_fields(workflow_summary(record, run)), document=dump(record.document),
        working_dir=record.document.working_dir, revision=record.revision, etag=etag(record.document),
        warnings=list(notes),
    )  # fmt: skip


def attempt(record: AttemptRecord, log: dict[str, str], sizes: dict[str, int]) -> Attempt:
    """One attempt with its logs."""
    return Attempt(
        attempt=record.attempt, status=record.status, phase=record.phase, reason=record.reason,
        message=record.message, code=record.code, signal=record.signal, pid=record.pid,
        executable=record.executable, launched_at=record.launched_at, started_at=record.started_at,
        ended_at=record.ended_at, cpu_user=record.cpu_user, cpu_system=record.cpu_system, max_rss=record.max_rss,
        log=log, log_size=sizes,
    )  # fmt: skip


def metrics(found: WorkerDetail, usage: Usage | None) -> WorkerMetrics:
    """What a worker's attempts cost, and what it takes at this moment."""
    return WorkerMetrics(
        workflow=found.workflow, name=found.name, cpu_percent=usage.cpu_percent if usage else None,
        rss=usage.rss if usage else None, processes=usage.processes if usage else None,
        cpu_user=sum(seen.cpu_user for seen in found.attempts),
        cpu_system=sum(seen.cpu_system for seen in found.attempts),
        max_rss=max((seen.max_rss for seen in found.attempts), default=0),
    )  # fmt: skip


# ---- graph, timeline ------------------------------------------------------------------------------------------


def worker_edges(document: Workflow) -> tuple[list[list[int]], dict[tuple[int, int], list[str]]]:
    """Upstream indexes per worker of the definition, and the ports of every edge (empty for mere order)."""
    position = {worker.name: i for i, worker in enumerate(document.workers)}
    ports: dict[tuple[int, int], list[str]] = {}
    for index, worker in enumerate(document.workers):
        for port, feed in worker.inputs.items():
            for source in feed.sources:
                ports.setdefault((position[source.worker], index), []).append(f"{source.output} → {port}")
        for name in worker.needs:
            ports.setdefault((position[name], index), [])
    upstream: list[list[int]] = [[] for _ in document.workers]
    for source_index, target in ports:
        upstream[target].append(source_index)
    return upstream, ports


def graph_view(document: Workflow, run: Run | None, stale: Collection[str] = ()) -> Graph:
    """Workers and groups as nodes, with their places in the layered layout and their states."""
    upstream, ports = worker_edges(document)
    places = layout(graph.loopless(upstream))
    streams = {(worker.name, port) for worker in document.workers for port, output in worker.outputs.items()
               if output.type == "stream"}  # fmt: skip
    members: dict[str, list[Progress]] = {}
    for progress in run.workers if run else ():
        members.setdefault(progress.instance.worker, []).append(progress)
    nodes = []
    for worker, (x, y) in zip(document.workers, places, strict=True):
        counts: dict[str, int] = {}
        for progress in members.get(worker.name, ()):
            counts[progress.status] = counts.get(progress.status, 0) + 1
        nodes.append(GraphNode(name=worker.name, instances=max(1, sum(counts.values())), counts=counts, x=x, y=y,
                               status=group_status(counts), kind=worker.kind,
                               stale=any(progress.phase == "completed" and progress.instance.name in stale
                                         for progress in members.get(worker.name, ()))))  # fmt: skip
    names = [worker.name for worker in document.workers]
    edges = [GraphEdge(source=names[a], target=names[b], ports=texts,
                       stream=any((names[a], text.partition(" → ")[0]) in streams for text in texts))
             for (a, b), texts in ports.items()]  # fmt: skip
    return Graph(workflow=document.name, nodes=nodes, edges=edges)


def group_status(counts: Mapping[str, int]) -> str:
    """One status for a group: what needs attention first."""
    for status in ("failed", "running", "cancelled"):
        if counts.get(status):
            return status
    if counts.get("completed") and not counts.get("created"):
        return "completed"
    return "running" if counts.get("completed") else "created"


def timeline(record: RunRecord, run: Run) -> Timeline:
    """One bar per attempt; the critical path is the chain of workers that made the run as long as it was."""
    durations = [_span(progress) for progress in run.workers]
    upstream = [list(progress.instance.upstream) for progress in run.workers]
    critical = set(graph.critical_path(upstream, durations)) if run.status in FINAL and any(durations) else set()
    bars = []
    for index, progress in enumerate(run.workers):
        for seen in progress.attempts:
            if seen.attempt == 0:
                continue
            bars.append(TimelineBar(
                name=progress.instance.name, group=progress.instance.group, attempt=seen.attempt,
                status=seen.status, ready_at=progress.ready_at if seen is progress.latest else None,
                launched_at=seen.launched_at, started_at=seen.started_at, ended_at=seen.ended_at,
                critical=index in critical,
            ))  # fmt: skip
    return Timeline(run=live_summary(record, run), bars=bars)


def _span(progress: Progress) -> float:
    return sum((seen.ended_at or 0) - (seen.launched_at or 0) for seen in progress.attempts
               if seen.ended_at and seen.launched_at)  # fmt: skip


def _fields(reply: RunSummary | WorkflowSummary) -> dict[str, Any]:
    return {name: getattr(reply, name) for name in reply.__struct_fields__}
