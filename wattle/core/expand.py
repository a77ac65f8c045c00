"""From a workflow to the instances that a run executes: params, rows of `each`, edges between instances.

    bind_environment ──► resolve_params ──► resolve_rows ──► expand       (the first is in core/binding.py)

Laws: pure, files are found by a `glob` that is handed in; `expand` is a function of the frozen document and rows, so
a restarted coordinator gets the same instances; a person's mistakes are told all at once where that is possible.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from wattle.core.binding import texts
from wattle.core.errors import InvalidRequest
from wattle.core.models import Each, Feed, Instance, Worker, Workflow
from wattle.core.places import resolve
from wattle.core.suggest import Suggester
from wattle.core.template import among, as_text, fill, references, sole

MAX_INSTANCES = 10_000
"""Instances of one worker."""
MAX_EDGES = 4_000_000
"""Edges between the instances of a run: two groups of 2,000 in which everybody waits for everybody."""

Rows = tuple[dict[str, Any], ...]
Glob = Callable[[str], list[str]]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GLOB_SPECIAL = re.compile(r"([*?\[])")


# ---- params ---------------------------------------------------------------------------------------------------


def resolve_params(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The document's params, overlaid by the given ones.

    Raises:
        InvalidRequest: names that the document does not have, params that still have no value; all of them.
    """
    params = {**workflow.params, **{name: value for name, value in given.items() if name in workflow.params}}
    unknown = [name for name in given if name not in workflow.params]
    missing = [name for name, value in params.items() if value is None]
    broken = [name for name, value in params.items() if any("\0" in text for text in _texts_in(value))]
    complaints = [f"it has no param {name!r}{_suggestion(name, workflow.params)}" for name in unknown]
    if missing:
        complaints.append(f"param{'s' * (len(missing) > 1)} {', '.join(missing)} must be given a value")
    complaints += [f"param {name} holds a NUL character, which no process can be given" for name in broken]
    if complaints:
        known = ", ".join(workflow.params) or "none"
        hint = " ".join(f"--set {name}=…" for name in missing) or f"its params are: {known}"
        raise InvalidRequest(f"{workflow.name}: {'; '.join(complaints)}", hint)
    return params


def _suggestion(name: str, known: Collection[str]) -> str:
    near = Suggester().nearest(name, known)
    return f" (did you mean {near!r}?)" if near else ""


def _texts_in(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            todo += value


# ---- rows of `each` -------------------------------------------------------------------------------------------


def resolve_rows(workflow: Workflow, params: Mapping[str, Any], glob: Glob) -> dict[str, Rows]:
    """What every `each` becomes: worker -> its rows. `glob` finds the files of an absolute pattern.

    Products come in document order, the last name varying fastest; found files are sorted and written relative to the
    worker's working directory when the pattern was.

    Raises:
        InvalidRequest: an `each` that is no list, that is empty or too large, or whose rows lack a name that the
            worker refers to; the message names the worker.
    """
    each = {worker.name: worker.each for worker in workflow.workers if worker.each is not None}
    roots = {name: pair_root(each, name) for name in each}
    found: dict[str, Rows] = {}
    for worker in workflow.workers:
        if worker.each is not None and worker.each.pair is None:
            found[worker.name] = _rows(workflow, worker, worker.each, params, glob)
    rows = {name: found[root] for name, root in roots.items()}
    for worker in workflow.workers:
        if worker.name in rows:
            _check_names(workflow, worker, rows[worker.name][0])
    return rows


def pair_root(each: Mapping[str, Each], name: str) -> str:
    """The group whose rows a worker shares: itself, or the end of its chain of pairs. Raises InvalidRequest."""
    seen = {name}
    while (pair := each[name].pair) is not None:
        if pair not in each or pair in seen:
            why = f"{pair} has no each" if pair not in each else "they pair in a circle"
            raise InvalidRequest(f"{name}: each: {pair} cannot be shared, because {why}", "pair with a group")
        name = pair
        seen.add(name)
    return name


def _rows(workflow: Workflow, worker: Worker, each: Each, params: Mapping[str, Any], glob: Glob) -> Rows:
    where = f"{workflow.name}/{worker.name}"
    if each.product is None:
        rows = _list(where, each.rows, params)
        _check_count(where, len(rows), "its list of rows is empty")
        for row in rows:
            if not isinstance(row, Mapping) or not row or row.keys() != rows[0].keys():
                raise InvalidRequest(f"{where}: each needs a list of mappings that all have the same names, and "
                                     f"{as_text(row)} is not one of them")  # fmt: skip
        return tuple(dict(row) for row in rows)
    lists = {}
    for name, values in each.product.items():
        if isinstance(values, Mapping):
            lists[name] = _files(where, workflow, worker, str(values["glob"]), params, glob)
        else:
            lists[name] = _list(f"{where}: {name}", values, params)
            _check_count(where, len(lists[name]), f"{name} is empty")
    _check_count(where, math.prod(map(len, lists.values())), "it names nothing")
    return tuple(dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values()))


def _check_count(where: str, count: int, empty: str) -> None:
    if not count:
        raise InvalidRequest(f"{where}: each makes no instance: {empty}", "give it at least one value")
    if count > MAX_INSTANCES:
        raise InvalidRequest(f"{where}: each makes {count:,} instances, and at most {MAX_INSTANCES:,} are allowed",
                             "let one worker do several of them")  # fmt: skip


def _check_names(workflow: Workflow, worker: Worker, row: Mapping[str, Any]) -> None:
    """What only the rows can tell when they come from a param: names that no environment can carry, or that lack."""
    where = f"{workflow.name}/{worker.name}"
    bad = [name for name in row if not _NAME.fullmatch(str(name))]
    if bad or len({name.casefold() for name in row}) < len(row):
        raise InvalidRequest(f"{where}: the names of each ({', '.join(map(str, row))}) must be words of ASCII letters, "
                             "digits and _ that differ in more than case")  # fmt: skip
    for text in texts(worker):
        for found in references(text):
            if found.kind == "each" and found.name not in row:
                raise InvalidRequest(f"{where}: there is no {found}{_suggestion(found.name, row)}",
                                     f"the names of its each are: {', '.join(row)}")  # fmt: skip


def _list(where: str, values: Any, params: Mapping[str, Any]) -> list[Any]:
    """A list of values with params filled in; one that is exactly `${params.…}` keeps its type."""
    if isinstance(values, str):
        values = _typed(where, values, params)
    if not isinstance(values, list | tuple):
        raise InvalidRequest(f"{where}: each needs a list, and {as_text(values)!r} is none",
                             "write [1, 2, 3]; from a shell --set 'name=[1, 2, 3]'")  # fmt: skip
    return [_deep(where, value, params) for value in values]


def _deep(where: str, value: Any, params: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidRequest(f"{where}: each holds a NUL character, which no process can be given")
        return _typed(where, value, params)
    if isinstance(value, Mapping):
        return {name: _deep(where, inner, params) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_deep(where, inner, params) for inner in value]
    return value


def _typed(where: str, text: str, params: Mapping[str, Any]) -> Any:
    only = sole(text)
    if only is not None and only.kind == "params" and only.name in params:
        return params[only.name]
    return fill(text, _params(where, params)) if "${" in text else text


def _params(where: str, params: Mapping[str, Any]) -> Callable[[str, str], str]:
    return among({"params": {name: as_text(value) for name, value in params.items()}}, where)


def _files(where: str, workflow: Workflow, worker: Worker, pattern: str, params: Mapping[str, Any],
           glob: Glob) -> list[str]:  # fmt: skip
    lookup = _params(where, params)
    folder = resolve(workflow.working_dir, fill(worker.working_dir or "", lookup)).rstrip("/") + "/"
    pattern = fill(pattern, lookup)
    absolute = resolve(_GLOB_SPECIAL.sub(r"[\1]", folder), pattern)
    found = sorted(glob(absolute))
    if pattern != absolute:
        found = [path.removeprefix(folder) for path in found]
    _check_count(where, len(found), f"no file matches {pattern} in {folder}")
    return found


# ---- instances ------------------------------------------------------------------------------------------------


def expand(workflow: Workflow, rows: Mapping[str, Rows]) -> tuple[Instance, ...]:
    """All instances of a run in document order, those of a group in row order.

    Raises:
        InvalidRequest: two instances of one name (a worker `train.1` beside a group `train`), or so many edges that
            a worker in between is the better way.
    """
    return _Expansion(workflow, rows).instances()


class _Expansion:
    """One call of `expand`: which instance indexes each worker has."""

    def __init__(self, workflow: Workflow, rows: Mapping[str, Rows]) -> None:
        self.workflow = workflow
        self.rows = rows
        each = {worker.name: worker.each for worker in workflow.workers if worker.each is not None}
        self.roots = {name: pair_root(each, name) for name in each}
        self.streams = {(worker.name, port) for worker in workflow.workers
                        for port, output in worker.outputs.items() if output.type == "stream"}  # fmt: skip
        """Nobody waits for these: who reads them runs at the same time."""
        self.indexes: dict[str, range] = {}
        self.edges = 0
        start = 0
        for worker in workflow.workers:
            count = len(rows[worker.name]) if worker.each is not None else 1
            self.indexes[worker.name] = range(start, start + count)
            start += count

    def instances(self) -> tuple[Instance, ...]:
        result: list[Instance] = []
        for worker in self.workflow.workers:
            result += self._group(worker) if worker.each is not None else (self._single(worker),)
        if self.roots:
            self._check_names(result)
        return tuple(result)

    def _single(self, worker: Worker) -> Instance:
        inputs, upstream = self._edges(worker, None)
        return Instance(index=self.indexes[worker.name].start, name=worker.name, worker=worker.name, inputs=inputs,
                        upstream=upstream)  # fmt: skip

    def _group(self, worker: Worker) -> Iterator[Instance]:
        """Instances share their edges, unless something is paired."""
        name = worker.name
        root = self.roots[name]
        sources = {source.worker for feed in worker.inputs.values() for source in feed.sources}
        paired = any(self.roots.get(source) == root for source in sources)
        inputs, upstream = self._edges(worker, 0)
        for place, (index, row) in enumerate(zip(self.indexes[name], self.rows[name], strict=True)):
            if place:
                if paired:
                    inputs, upstream = self._edges(worker, place)
                else:
                    self._count(upstream)
            yield Instance(index=index, name=f"{name}.{place + 1}", worker=name, group=name, row=row, inputs=inputs,
                           upstream=upstream)  # fmt: skip

    def _edges(self, worker: Worker, place: int | None) -> tuple[dict[str, Feed], tuple[int, ...]]:
        """The inputs of the instance at `place` of its group (None: there is no group), and all that it waits for."""
        root = self.roots.get(worker.name)
        inputs: dict[str, Feed] = {}
        upstream: set[int] = set()
        for port, feed in worker.inputs.items():
            sources: list[tuple[int, str]] = []
            whole = False
            for source in feed.sources:
                indexes: Sequence[int] = self.indexes[source.worker]
                if source.worker in self.roots:
                    if place is not None and self.roots[source.worker] == root:
                        indexes = (indexes[place],)
                    else:
                        whole = True
                sources += [(index, source.output) for index in indexes]
                if (source.worker, source.output) not in self.streams:
                    upstream.update(indexes)
            inputs[port] = Feed(sources=tuple(sources), file=feed.file, rows=feed.rows or whole, object=feed.object)
        for needed in worker.needs:
            upstream.update(self.indexes[needed])
        if self.workflow.mode == "parallel":  # edges name paths there, and nothing waits
            upstream.clear()
        ordered = tuple(sorted(upstream))
        self._count(ordered)
        return inputs, ordered

    def _count(self, upstream: tuple[int, ...]) -> None:
        self.edges += len(upstream)
        if self.edges > MAX_EDGES:
            raise InvalidRequest(
                f"{self.workflow.name}: its groups would be joined by more than {MAX_EDGES:,} edges",
                "put one worker between two large groups, or pair them with `each: GROUP`",
            )

    def _check_names(self, instances: Sequence[Instance]) -> None:
        if len({instance.name.casefold() for instance in instances}) == len(instances):
            return
        seen: set[str] = set()
        for instance in instances:
            if instance.name.casefold() in seen:
                raise InvalidRequest(f"{self.workflow.name}: {instance.name} would be both a worker and an instance of "
                                     "a group", "rename one of the two")  # fmt: skip
            seen.add(instance.name.casefold())
