"""Lists of workflows and runs: rows from the store, read beside the loop, with what the live runs know newer."""

from __future__ import annotations

import asyncio

from wattle.coordinator import views
from wattle.coordinator.history import History
from wattle.core import replies as rp
from wattle.core import requests as rq
from wattle.core.records import RunHead, RunRecord

PAGE = 500


async def workflows(history: History, request: rq.ListWorkflows) -> rp.WorkflowList:
    """A page of the definitions, by name."""

    def look() -> list[rp.WorkflowSummary]:
        latest, rows = history.store.latest_runs(), []
        for record in history.store.workflows():
            head = latest.get(record.name)
            rows.append(views.workflow_summary(record, views.summary(head) if head is not None else None))
        return rows

    rows = await asyncio.to_thread(look)
    for row in rows:
        if row.run is not None:
            row.run = refreshed(history, row.run)
            row.status = row.run.status
    rows = [row for row in rows if request.status in {None, row.status}
            and (request.tag is None or request.tag in row.tags)]  # fmt: skip
    return rp.WorkflowList(workflows=rows[request.offset : request.offset + request.limit], total=len(rows))


async def runs(history: History, name: str | None, request: rq.ListRuns | rq.ListAllRuns) -> rp.RunList:
    """A page of runs, newest first."""
    found: list[tuple[int, rp.RunSummary]] = []
    before = request.before
    while len(found) <= request.limit:
        size = PAGE if request.status is not None else request.limit + 1
        heads = await asyncio.to_thread(history.store.runs, name, limit=size, before=before)
        found += _wanted(history, heads, request.status)
        if len(heads) < size:
            break
        before = heads[-1].id
    total = await asyncio.to_thread(history.store.count_runs, name, status=request.status)
    return _page(found, request.limit, total)


async def active(history: History, request: rq.ListAllRuns) -> rp.RunList:
    """A page of the unfinished runs, newest first."""
    unfinished = await asyncio.to_thread(history.store.unfinished)
    found = _wanted(history, unfinished[::-1], request.status)
    page = [pair for pair in found if request.before is None or pair[0] < request.before]
    return _page(page, request.limit, len(found))


def _wanted(history: History, rows: list[RunHead] | list[RunRecord],
            status: str | None) -> list[tuple[int, rp.RunSummary]]:  # fmt: skip
    found = []
    for row in rows:
        summary = refreshed(history, views.summary(row))
        if status in {None, summary.status}:
            found.append((row.id if isinstance(row, RunHead) else row.spec.id, summary))
    return found


def _page(found: list[tuple[int, rp.RunSummary]], limit: int, total: int) -> rp.RunList:
    page = found[:limit]
    return rp.RunList(runs=[summary for _, summary in page], total=total,
                      next=page[-1][0] if page and len(found) > limit else None)  # fmt: skip


def refreshed(history: History, summary: rp.RunSummary) -> rp.RunSummary:
    """The summary, from memory if the run is live."""
    live = history.live(summary.workflow, summary.number)
    return views.live_summary(live.record, live.run) if live is not None else summary
