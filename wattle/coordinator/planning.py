"""The plan: what a start would run and what it could take over, why, in which order, and how long that may take.

Estimates are medians of what the workers took in the newest runs; a worker that never ran counts as nothing, and the
plan says how many of these there are. How long the whole takes is played through with the limit that holds.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from wattle.coordinator.definitions import read_document
from wattle.coordinator.history import History
from wattle.coordinator.reuse import Decision, decide
from wattle.coordinator.views import worker_edges
from wattle.core import graph
from wattle.core.binding import bind_environment
from wattle.core.document import unavailable
from wattle.core.errors import InvalidRequest
from wattle.core.expand import expand, resolve_params, resolve_rows
from wattle.core.identity import Identities
from wattle.core.launch import describe
from wattle.core.models import Instance, RunSpec, Workflow
from wattle.core.replies import Plan, PlannedWorker
from wattle.core.requests import CreateWorkflow, GetPlan, PlanWorkflow, StartWorkflow

REASONS_TOLD = 2


def asked(request: GetPlan) -> PlanWorkflow:
    """The plan that a URL asks for. Raises InvalidRequest."""
    try:
        params = msgspec.json.decode(request.params, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"get_plan: params is no JSON object: {error}", 'for example: params={"day": 7}') from None
    return PlanWorkflow(workflow=request.workflow, params=params, jobs=request.jobs, stale=request.stale)


class Planning:
    """Plans what a start with this environment would do. `slots` is the coordinator's own limit, 0 when nobody
    coordinates."""

    def __init__(self, history: History, default_folder: Callable[[str], str], environment: Mapping[str, str],
                 slots: int) -> None:  # fmt: skip
        self._history = history
        self._default_folder = default_folder
        self._environment = environment
        self._slots = slots

    async def read(self, request: StartWorkflow) -> None:
        """Read every file that decides what is stale, so that it need not be read again while others wait. Raises as
        the start would."""
        document = (await self._history.workflow(request.workflow)).document
        await asyncio.to_thread(self._look, document, request.params)

    async def of(self, request: PlanWorkflow) -> Plan:
        """The plan. Raises as a start would."""
        name, number = self._history.parse(request.workflow)
        notes: list[str] = []
        if request.text is not None or request.document is not None:
            sent = CreateWorkflow(document=request.document, text=request.text, format=request.format,
                                  base_dir=request.base_dir, name=name)  # fmt: skip
            document, notes = await asyncio.to_thread(read_document, sent, self._default_folder)
        elif number is not None:
            document = (await self._history.record(name, number)).spec.document
        else:
            document = (await self._history.workflow(name)).document
        return await asyncio.to_thread(self._plan, document, request, notes)

    def _look(self, document: Workflow, given: Mapping[str, Any]) -> Identities:
        """What a start would make, with the contents of the files as they are now."""
        bound = bind_environment(document, self._environment)
        params = resolve_params(bound, given)
        rows = resolve_rows(bound, params, self._history.glob)
        spec = RunSpec(id=0, workflow=bound.name, number=0, document=bound, params=params, rows=rows)
        now = Identities(spec, expand(bound, rows))
        return now.known(self._history.contents.of(now.wanted()), {})

    def _plan(self, document: Workflow, request: PlanWorkflow, notes: Sequence[str]) -> Plan:
        now = self._look(document, request.params)
        decisions = decide(now, self._history.earlier.runs(document.name))
        limits = [limit for limit in (self._slots, request.jobs, document.max_concurrent_workers) if limit]
        told = [*notes, *(problem.message for problem in unavailable(document))]
        return plan(now, decisions, self._history.store.durations(document.name), min(limits, default=0),
                    stale=request.stale, notes=told)  # fmt: skip


def plan(now: Identities, decisions: Sequence[Decision], durations: Mapping[str, float], limit: int, *,
         stale: bool, notes: Iterable[str] = ()) -> Plan:  # fmt: skip
    """What a start would run: workers in an order that respects every edge, with their levels. Without `stale` all of
    them run, and the reasons tell which would not have to."""
    document = now.spec.document
    upstream, _ = worker_edges(document)
    members: dict[str, list[Instance]] = {}
    for instance in now.instances:
        members.setdefault(instance.worker, []).append(instance)
    steps = graph.levels(now.together.upstream)
    levels = [max((steps[one.index] for one in members.get(worker.name, ())), default=0) for worker in document.workers]
    runs = [not (stale and decision.origin) for decision in decisions]
    seconds = _seconds(members.values(), durations)
    planned = []
    for number, worker in enumerate(document.workers):
        mine = [instance.index for instance in members[worker.name]]
        known = [second for index in mine if (second := seconds[index]) is not None]
        running = sum(runs[index] for index in mine)
        planned.append(PlannedWorker(
            name=worker.name, level=levels[number], instances=len(mine), runs=running, command=describe(worker),
            upstream=[document.workers[above].name for above in sorted(upstream[number])],
            action="run" if running else "reuse", why=_why(worker.when, [decisions[index] for index in mine]),
            estimate=max(known, default=None),
        ))  # fmt: skip
    spans = [(one.estimate or 0.0) * bool(one.runs) for one in planned]
    critical = graph.critical_path(graph.loopless(upstream), spans) if any(spans) else []
    taken = [(second or 0.0) * running for second, running in zip(seconds, runs, strict=True)]
    # Of groups the longest instance counts on the way, since they run side by side.
    reply = Plan(
        workflow=document.name, workers=sorted(planned, key=lambda one: one.level), instances=len(now.instances),
        levels=1 + max(levels, default=-1), limit=limit, runs=sum(runs),
        reusable=sum(bool(decision.origin) for decision in decisions),
        unknown=sum(second is None and running for second, running in zip(seconds, runs, strict=True)),
        critical_path=[planned[number].name for number in critical if spans[number]],
        critical=sum(spans[number] for number in critical) if critical else None, warnings=list(notes),
    )  # fmt: skip
    if any(taken):
        reply.work = sum(taken)
        reply.estimate = _played(now, taken, 1 if document.mode == "sequential" else limit)
    return reply


def _why(when: str, decisions: Sequence[Decision]) -> str:
    """One reason for a worker; for a group, why some run, the most frequent ones with how many instances each is of."""
    if when == "failed":
        return "runs after a failure only"
    running = [decision for decision in decisions if not decision.origin]
    counted = Counter(decision.why for decision in running or decisions).most_common()
    if len(counted) == 1:
        return counted[0][0]
    told = "; ".join(f"{count} {why}" for why, count in counted[:REASONS_TOLD])
    return told + (f"; {len(counted) - REASONS_TOLD} other reasons" if len(counted) > REASONS_TOLD else "")


def _seconds(groups: Iterable[Sequence[Instance]], durations: Mapping[str, float]) -> list[float | None]:
    """Per instance what it usually takes; a new one of a group takes what the longest of the others did."""
    found: dict[int, float | None] = {}
    for members in groups:
        known = {instance.index: durations.get(instance.name) for instance in members}
        longest = max((second for second in known.values() if second is not None), default=None)
        found |= {index: longest if second is None else second for index, second in known.items()}
    return [found[index] for index in range(len(found))]


def _played(now: Identities, taken: Sequence[float], limit: int) -> float:
    """When the last instance would end, if each took what it is expected to and `limit` ran at once (0: all)."""
    upstream = now.together.upstream
    below = now.together.downstream
    missing = [len(above) for above in upstream]
    ready = [index for index, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    time = 0.0
    while ready or running:
        while ready and (not limit or len(running) < limit or not taken[ready[0]]):
            index = heapq.heappop(ready)
            heapq.heappush(running, (time + taken[index], index))
        time, ended = heapq.heappop(running)
        for index in below[ended]:
            missing[index] -= 1
            if not missing[index]:
                heapq.heappush(ready, index)
    return time
