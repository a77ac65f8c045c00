"""What only all workers together can show: whether the other end of an edge exists, groups, cycles, limits.

`wire` looks at drafts (`core/shapes.py`) that are sound or known to be bad, reports what does not fit, and completes
the inputs that become lists of rows. What follows from a mistake that is already reported is left unsaid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from wattle.core.edges import INSTANCES_LIMIT
from wattle.core.findings import Findings, Path, describe, shorten
from wattle.core.graph import find_cycle
from wattle.core.models import Each, Input, Source
from wattle.core.names import fold
from wattle.core.shapes import Draft
from wattle.core.template import sole

EDGES_LIMIT = 1_000_000

_CYCLES_SHOWN = 10
_LONG_CYCLE = 12


class Wires:
    """How the drafts hang together. Numbers are positions in `drafts`.

    `roots` holds for a member of a group the worker whose `each` it follows, else None; `sizes` how many instances
    each worker becomes, None where only a run will tell; `upstream` the ordinary edges; `streams` the live ones as
    (producer, consumer).
    """

    def __init__(self, drafts: Sequence[Draft], params: dict[str, Any], params_known: bool) -> None:  # noqa: FBT001
        self.drafts = drafts
        self.params = params
        self.params_known = params_known
        self.index: dict[str, int] = {}
        for number, draft in enumerate(drafts):
            self.index.setdefault(draft.name, number)
        self.roots: list[int | None] = [None] * len(drafts)
        self.sizes: list[int | None] = [1] * len(drafts)
        self.upstream: list[list[int]] = [[] for _ in drafts]
        self.streams: list[tuple[int, int]] = []

    def each_names(self, number: int) -> set[str] | None:
        """The names that `${each.…}` may have in this worker; None when only a run will tell."""
        root = self.roots[number]
        each: Each | None = None if root is None else self.drafts[root].fields.get("each")
        if each is None:
            return set()
        if each.product is not None:
            return set(each.product)
        return set(each.rows[0]) if isinstance(each.rows, tuple) else None

    def instances(self) -> int:
        """How many instances there are at least."""
        return sum(size or 1 for size in self.sizes)


def wire(found: Findings, workflow: Draft, drafts: Sequence[Draft]) -> Wires:
    """Report what does not fit together; the result is sound as far as nothing was reported."""
    wires = Wires(drafts, workflow.fields.get("params", {}), "params" not in workflow.bad)
    _groups(found, wires)
    _instance_names(found, wires)
    _edges(found, wires)
    _cycles(found, wires)
    return wires


def _groups(found: Findings, wires: Wires) -> None:
    """Which `each` every worker follows, and how many instances that makes."""
    for number, draft in enumerate(wires.drafts):
        each: Each | None = draft.fields.get("each")
        if each is None:
            continue
        if each.pair is not None:
            wires.roots[number] = _root(found, wires, number)
        else:
            wires.roots[number] = number
            wires.sizes[number] = _group_size(found, wires, draft, each)
    for number, root in enumerate(wires.roots):
        if root is not None:
            wires.sizes[number] = wires.sizes[root]
    if (count := wires.instances()) > INSTANCES_LIMIT:
        found.add(("workers",), f"the workflow makes {count:,} instances; a run has at most {INSTANCES_LIMIT:,}",
                  "let one worker do several of them")  # fmt: skip


def _root(found: Findings, wires: Wires, number: int) -> int | None:
    """The worker whose rows `each: NAME` shares in the end."""
    path = (*wires.drafts[number].path, "each")
    seen = {number}
    here = number
    while (pair := wires.drafts[here].fields["each"].pair) is not None:
        other = wires.index.get(pair)
        if other is None:
            if here == number:
                groups = [draft.name for draft in wires.drafts if "each" in draft.fields and draft.name != pair]
                found.add(path, f"no worker is called {shorten(pair)!r}",
                          found.suggester.hint(pair, groups, "workers with each"))  # fmt: skip
            return None
        if other in seen:
            if other == number:
                found.add(path, "each leads back to this worker itself", "give one of them values of its own")
            return None
        if "each" not in wires.drafts[other].fields:
            if here == number and "each" not in wires.drafts[other].bad:
                found.add(path, f"{pair!r} has no each, so there is nothing to pair with", "write {name: [values]}")
            return None
        seen.add(other)
        here = other
    return here


def _group_size(found: Findings, wires: Wires, draft: Draft, each: Each) -> int | None:
    """The number of rows, None when a glob or a parameter without a default decides."""
    path = (*draft.path, "each")
    if each.product is None:
        rows: Any = each.rows
        if isinstance(rows, str):
            rows = _param_list(found, wires, path, rows)
            if rows and not all(isinstance(row, dict) and row for row in rows):
                found.add(path, f"the default of {each.rows} is not a list of mappings", "rows look like {lr: 0.1}")
        return None if rows is None else len(rows)
    counts: list[int | None] = []
    for name, values in each.product.items():
        listed = _param_list(found, wires, (*path, name), values) if isinstance(values, str) else values
        counts.append(len(listed) if isinstance(listed, list) else None)
    return None if None in counts else math.prod(count for count in counts if count is not None)


def _param_list(found: Findings, wires: Wires, path: Path, text: str) -> list[Any] | None:
    """The default of the parameter that the text is; None when there is none or it is no list."""
    reference = sole(text)
    value = wires.params.get(reference.name) if reference else None
    if value is not None and not isinstance(value, list):
        found.add(path, f"the default of {shorten(text)} is {describe(value)}", "each needs a list")
    return value if isinstance(value, list) and value else None


def _instance_names(found: Findings, wires: Wires) -> None:
    """`train.1` belongs to the group `train`: no worker may have it as its name."""
    groups = {fold(draft.name): draft.name for draft in wires.drafts if "each" in draft.fields or "each" in draft.bad}
    if not groups:
        return
    for draft in wires.drafts:
        stem, _, digits = draft.name.rpartition(".")
        if digits.isdecimal() and (group := groups.get(fold(stem))):
            path = draft.path if draft.path[-1] == draft.name else (*draft.path, "name")
            found.add(path, f"the name {draft.name!r} is that of an instance of the group {group!r}", "rename one",
                      at_key=path == draft.path)  # fmt: skip


def _edges(found: Findings, wires: Wires) -> None:
    """Inputs and needs: their other ends, and which inputs become rows."""
    total = 0
    for number, draft in enumerate(wires.drafts):
        befores: list[int] = []
        ports: dict[str, Input] = draft.fields.get("inputs") or {}
        for port, given in ports.items():
            for position, source in enumerate(given.sources):
                path = (*draft.path, "inputs", port, position) if given.rows else (*draft.path, "inputs", port)
                before = _source(found, wires, number, path, source)
                if before is None:
                    continue
                if not given.rows and wires.roots[before] not in (None, wires.roots[number]):
                    ports[port] = msgspec.structs.replace(given, rows=True)
                if wires.drafts[before].fields["outputs"][source.output].type == "stream":
                    wires.streams.append((before, number))
                else:
                    befores.append(before)
        for position, name in enumerate(draft.fields.get("needs", ())):
            other = _worker(found, wires, number, (*draft.path, "needs", position), name)
            if other is not None:
                befores.append(other)
        total += len(befores)
        wires.upstream[number] = befores if len(befores) < 2 else list(dict.fromkeys(befores))
    if total > EDGES_LIMIT:
        found.add(("workers",), f"the workflow has {total:,} edges; at most {EDGES_LIMIT:,} are allowed",
                  "gather results in between")  # fmt: skip


def _source(found: Findings, wires: Wires, number: int, path: Path, source: Source) -> int | None:
    """The worker at the other end of an input, when the output exists."""
    other = _worker(found, wires, number, path, source.worker, source)
    if other is None:
        return None
    draft = wires.drafts[other]
    ports = draft.fields.get("outputs") or {}
    if source.output in ports:
        return other
    if "outputs" not in draft.bad:
        hint = found.suggester.hint(source.output, ports, f"outputs of {source.worker}")
        if not ports:
            hint = f"{source.worker} declares no outputs: give it outputs: {{{source.output}: path}}"
        found.add(path, f"{source.worker!r} has no output {shorten(source.output)!r}", hint)
    return None


def _worker(
    found: Findings, wires: Wires, number: int, path: Path, name: str, source: Source | None = None
) -> int | None:
    """The worker of that name, if there is one and it is another one."""
    other = wires.index.get(name)
    if other is None:
        hint = found.suggester.hint(name, wires.index, "workers")
        if source is not None and "." in source.output and not hint.startswith("did you mean"):
            hint = f"a file from outside is written {{file: {shorten(name + '/' + source.output)}}}"
        stem, _, digits = name.rpartition(".")
        if digits.isdecimal() and stem in wires.index:
            hint = f"an edge comes from the whole group: write {stem!r}"
        found.add(path, f"no worker is called {shorten(name)!r}", hint)
        return None
    if other == number:
        found.add(path, f"{name!r} depends on itself", "name another worker")
        return None
    return other


def _cycles(found: Findings, wires: Wires) -> None:
    """Every cycle as `a -> b -> a`, ten at most. Workers joined by streams count as one."""
    gang_of = gangs(wires)
    upstream = wires.upstream
    if wires.streams:
        upstream = [[] for _ in wires.drafts]
        for number, befores in enumerate(wires.upstream):
            for before in befores:
                if gang_of[before] == gang_of[number]:
                    _inside_gang(found, wires, before, number)
                else:
                    upstream[gang_of[number]].append(gang_of[before])
    for _ in range(_CYCLES_SHOWN):
        cycle = find_cycle(upstream)
        if cycle is None:
            return
        first, last = cycle[0], cycle[-2]
        names = [_gang_name(wires, gang_of, node) for node in cycle]
        path = _edge_path(wires, gang_of, last, first)
        found.add(path, f"the workers wait for one another: {_arrows(names)}", "remove one of these edges")
        found_in = set(cycle)
        upstream = [[] if node in found_in else befores for node, befores in enumerate(upstream)]


def _arrows(names: list[str]) -> str:
    if len(names) > _LONG_CYCLE:
        left_out = f"… {len(names) - 9} more …"
        names = [*names[:5], left_out, *names[-4:]]
    return " -> ".join(names)


def _gang_name(wires: Wires, gang_of: Sequence[int], node: int) -> str:
    if not wires.streams:
        return wires.drafts[node].name
    members = [draft.name for draft, gang in zip(wires.drafts, gang_of, strict=True) if gang == node]
    return members[0] if len(members) == 1 else f"({' + '.join(members[:4])}{' + …' if len(members) > 4 else ''})"


def _edge_path(wires: Wires, gang_of: Sequence[int], before: int, after: int) -> Path:
    """Where the edge between two nodes stands in the document."""
    for number, draft in enumerate(wires.drafts):
        if gang_of[number] != after:
            continue
        ends = {wires.drafts[other].name for other in wires.upstream[number] if gang_of[other] == before}
        for port, given in (draft.fields.get("inputs") or {}).items():
            if any(source.worker in ends for source in given.sources):
                return (*draft.path, "inputs", port)
        if ends:
            return (*draft.path, "needs")
    return ("workers",)


def _inside_gang(found: Findings, wires: Wires, before: int, after: int) -> None:
    draft, other = wires.drafts[after], wires.drafts[before].name
    found.add(draft.path, f"{draft.name!r} waits for the end of {other!r}, but a stream makes them start together",
              "make that edge a stream, or remove it")  # fmt: skip


def gangs(wires: Wires) -> list[int]:
    """For each worker, the smallest one that it is joined with by streams: itself when there are none."""
    parent = list(range(len(wires.drafts)))

    def head(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for producer, consumer in wires.streams:
        one, two = head(producer), head(consumer)
        parent[max(one, two)] = min(one, two)
    return [head(node) for node in parent] if wires.streams else parent
