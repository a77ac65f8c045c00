"""Algorithms on directed graphs whose nodes are the numbers 0 … n-1.

A graph is `upstream`: for each node, the nodes that come before it. Laws: no recursion, so depth is no limit; every
function is linear (`order` has a heap's logarithm); equal graphs give equal answers. Names and words for people
are the caller's business.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence

Upstream = Sequence[Collection[int]]


class Cycle(ValueError):
    """The graph has no order. `path` is a closed walk: each node comes before the next, the last is the first again."""

    def __init__(self, path: list[int]) -> None:
        super().__init__(" -> ".join(map(str, path)))
        self.path = path


def downstream(upstream: Upstream) -> list[list[int]]:
    """For each node, the nodes that come right after it, ascending: the same graph read the other way."""
    result: list[list[int]] = [[] for _ in upstream]
    for node, befores in enumerate(upstream):
        for before in befores:
            result[before].append(node)
    return result


def order(upstream: Upstream) -> list[int]:
    """All nodes, each after its upstream, the smallest possible number first: the order of a sequential run.

    Raises:
        Cycle: there is no such order.
    """
    after = downstream(upstream)
    missing = [len(befores) for befores in upstream]
    ready = [node for node, count in enumerate(missing) if not count]
    result = []
    while ready:
        node = heapq.heappop(ready)
        result.append(node)
        for below in after[node]:
            missing[below] -= 1
            if not missing[below]:
                heapq.heappush(ready, below)
    if len(result) < len(upstream):
        raise Cycle(_walk_back(upstream, missing))
    return result


def find_cycle(upstream: Upstream) -> list[int] | None:
    """The path of a cycle as in `Cycle.path`, beginning with its smallest node; None when there is none."""
    try:
        order(upstream)
    except Cycle as cycle:
        return cycle.path
    return None


def loopless(upstream: Upstream) -> list[list[int]]:
    """The graph without the edges that lead back: those that, walking down from the smallest nodes first, come to a
    node that one is still below of. A graph without cycles keeps every edge."""
    after = downstream(upstream)
    result: list[list[int]] = [[] for _ in upstream]
    walked: set[int] = set()
    above: set[int] = set()
    for root in sorted(range(len(upstream)), key=lambda node: (bool(upstream[node]), node)):
        todo = [(root, iter(after[root]))] if root not in walked else []
        walked.add(root)
        above.update(node for node, _ in todo)
        while todo:
            node, rest = todo[-1]
            below = next(rest, None)
            if below is None:
                above.discard(node)
                todo.pop()
            elif below not in above:
                result[below].append(node)
                if below not in walked:
                    walked.add(below)
                    above.add(below)
                    todo.append((below, iter(after[below])))
    return [sorted(befores) for befores in result]


def _walk_back(upstream: Upstream, missing: Sequence[int]) -> list[int]:
    """A cycle among the nodes that could not be ordered: each has an upstream of the same kind, so walking back
    from any of them comes to a node for the second time."""
    node = next(node for node, count in enumerate(missing) if count)
    seen: dict[int, int] = {}
    path: list[int] = []
    while node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = min(before for before in upstream[node] if missing[before])
    cycle = path[seen[node] :][::-1]
    first = cycle.index(min(cycle))
    return [*cycle[first:], *cycle[: first + 1]]


def levels(upstream: Upstream) -> list[int]:
    """For each node, the length of the longest path that leads to it; 0 for those without upstream.

    Raises:
        Cycle: the graph has no order.
    """
    result = [0] * len(upstream)
    for node in order(upstream):
        result[node] = 1 + max((result[before] for before in upstream[node]), default=-1)
    return result


def descendants(upstream: Upstream, start: Iterable[int]) -> set[int]:
    """Every node that can be reached from `start`, the start itself left out unless a cycle leads back to it."""
    return _reach(downstream(upstream), start)


def ancestors(upstream: Upstream, start: Iterable[int]) -> set[int]:
    """Every node from which `start` can be reached, the start itself left out unless a cycle leads back to it."""
    return _reach(upstream, start)


def _reach(neighbours: Upstream, start: Iterable[int]) -> set[int]:
    reached: set[int] = set()
    todo = list(start)
    while todo:
        fresh = [node for node in neighbours[todo.pop()] if node not in reached]
        reached.update(fresh)
        todo += fresh
    return reached


def critical_path(upstream: Upstream, durations: Sequence[float]) -> list[int]:
    """The path with the largest sum of durations (>= 0), from its first node to its last; empty in an empty graph.

    Of equal paths the one through smaller nodes is taken.

    Raises:
        Cycle: the graph has no order.
    """
    total = [0.0] * len(upstream)
    previous: list[int | None] = [None] * len(upstream)
    for node in order(upstream):
        best = max(sorted(upstream[node]), key=total.__getitem__, default=None)
        previous[node] = best
        total[node] = durations[node] + (0.0 if best is None else total[best])
    node_or_none = max(range(len(upstream)), key=total.__getitem__, default=None)
    path = []
    while node_or_none is not None:
        path.append(node_or_none)
        node_or_none = previous[node_or_none]
    return path[::-1]
