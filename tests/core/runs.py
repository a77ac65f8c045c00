"""Small runs to test with: workers by name, edges by name, no document needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wattle.core import events as ev
from wattle.core.models import Feed, Instance, Output, RunOptions, RunSpec, Worker, Workflow
from wattle.core.run import Run


def make_run(edges: Mapping[str, Sequence[str]], *, options: RunOptions | None = None, number: int = 1,
             workers: Mapping[str, Mapping[str, Any]] | None = None, groups: Mapping[str, int] | None = None,
             needed: Mapping[str, str] | None = None, streams: Mapping[str, str] | None = None,
             **document: Any) -> Run:  # fmt: skip
    """A run whose worker names map to the names they wait for. `groups` gives a worker so many instances;
    `needed` maps a worker to the output port that those below it read; `streams` maps a worker to the one whose
    stream it reads; `workers` holds further worker fields."""
    names: list[str] = []
    owner: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for name in edges:
        count = (groups or {}).get(name)
        members[name] = [name] if count is None else [f"{name}.{i + 1}" for i in range(count)]
        for member in members[name]:
            owner[member] = name
            names.append(member)
    index = {name: i for i, name in enumerate(names)}
    instances = []
    for name in names:
        above = tuple(sorted(index[member] for source in edges[owner[name]] for member in members[source]))
        feeds = {source: Feed(sources=tuple((index[m], (needed or {})[source]) for m in members[source]))
                 for source in edges[owner[name]] if source in (needed or {})}  # fmt: skip
        if owner[name] in (streams or {}):
            feeds["live"] = Feed(sources=tuple((index[m], "live") for m in members[(streams or {})[owner[name]]]))
        group = owner[name] if (groups or {}).get(owner[name]) is not None else None
        instances.append(Instance(index=index[name], name=name, worker=owner[name], upstream=above, inputs=feeds,
                                  group=group))  # fmt: skip
    live = {"live": Output(type="stream")}
    definitions = tuple(Worker(name=name, command="true", outputs=live if name in (streams or {}).values() else {},
                               **(workers or {}).get(name, {})) for name in edges)  # fmt: skip
    flow = Workflow(name="flow", working_dir="/tmp", workers=definitions, **document)
    spec = RunSpec(id=number, workflow="flow", number=number, document=flow, options=options or RunOptions())
    return Run(spec, instances)


def opened(run: Run) -> Run:
    """The run, with its first event applied."""
    run.apply(ev.RunOpened(at=1.0))
    run.check()
    return run


def launch(run: Run, name: str) -> list[ev.Effect]:
    """Launch the worker's next attempt."""
    progress = run.workers[run.by_name[name]]
    nonce = f"{name}-{progress.attempt + 1}"
    effects = run.apply(ev.WorkerLaunched(at=2.0, worker=name, attempt=progress.attempt + 1, nonce=nonce))
    run.check()
    return effects


def end(run: Run, name: str, code: int | None = 0, **fields: Any) -> list[ev.Effect]:
    """The worker's newest attempt started and exited."""
    attempt = run.workers[run.by_name[name]].attempt
    run.apply(ev.WorkerStarted(at=3.0, worker=name, attempt=attempt, pid=7))
    effects = run.apply(ev.WorkerExited(at=4.0, worker=name, attempt=attempt, code=code, **fields))
    run.check()
    return effects


def finish(run: Run, name: str, code: int | None = 0, **fields: Any) -> list[ev.Effect]:
    """Launch the worker and let it end."""
    launch(run, name)
    return end(run, name, code, **fields)


def phases(run: Run) -> dict[str, str]:
    """Phase by instance name."""
    return {progress.instance.name: progress.phase for progress in run.workers}


def ready(run: Run) -> set[str]:
    """The names of what may be launched."""
    return {name for name, phase in phases(run).items() if phase == "ready"}
