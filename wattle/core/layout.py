"""Where the nodes of a graph stand in a picture, so that live and static pictures agree.

Layers from left to right by the longest path (Sugiyama's method): an edge over several layers gets a bend in each of
them; the layers are sorted by the mean place of their neighbours, to and fro, and the sorting with the fewest
crossings is kept; then every node moves as near to the mean height of its neighbours as its own neighbours in the
layer let it. Parts that hang together are laid out each by itself and stacked; lone nodes fill a grid below.

Laws: deterministic; equal graphs give equal pictures; no two nodes share a place.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise

from wattle.core.graph import Upstream, levels

SWEEPS = 8
BENDS_PER_NODE = 4
"""With more bends than this, long edges are drawn without: such a picture is a tangle anyway, and must not be slow."""
BEND_HEIGHT = 0.5
"""What a bend takes of the height of a node."""
GRID_ASPECT = 3
"""A column of the grid of lone nodes is so much wider than a row is high."""


def layout(upstream: Upstream) -> list[tuple[float, float]]:
    """For each node its column and row, from 0; columns are whole numbers.

    Raises:
        Cycle: the graph has no order.
    """
    column = levels(upstream)
    places = [(0.0, 0.0)] * len(upstream)
    parts = _parts(upstream)
    top = 0.0
    for part in parts:
        if len(part) > 1:
            height = 0.0
            for node, row in _Layers(part, upstream, column).rows().items():
                places[node] = (float(column[node]), round(top + row, 3))
                height = max(height, row)
            top = math.ceil(top + height + 1)
    lone = [part[0] for part in parts if len(part) == 1]
    width = max(1 + max(column, default=0), round(math.sqrt(len(lone) / GRID_ASPECT)))
    for place, node in enumerate(lone):
        places[node] = (float(place % width), top + place // width)
    return places


def _parts(upstream: Upstream) -> list[list[int]]:
    """The nodes that hang together, each list ascending, the lists by their smallest node."""
    leader = list(range(len(upstream)))

    def find(node: int) -> int:
        while leader[node] != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for node, befores in enumerate(upstream):
        for before in befores:
            first, second = sorted((find(node), find(before)))
            leader[second] = first
    parts: dict[int, list[int]] = {}
    for node in range(len(upstream)):
        parts.setdefault(find(node), []).append(node)
    return list(parts.values())


class _Layers:
    """One part of a graph as layers of nodes and bends. Inside, they are numbered anew; the nodes come first."""

    def __init__(self, part: Sequence[int], upstream: Upstream, column: Sequence[int]) -> None:
        self.nodes = part
        number = {node: place for place, node in enumerate(part)}
        self.layer = [column[node] for node in part]
        self.left: list[list[int]] = [[] for _ in part]
        self.right: list[list[int]] = [[] for _ in part]
        edges = sorted({(number[before], number[node]) for node in part for before in upstream[node]})
        bends = sum(self.layer[after] - self.layer[before] - 1 for before, after in edges)
        for before, after in edges:
            last = before
            if bends <= BENDS_PER_NODE * len(part) + 100:
                for layer in range(self.layer[before] + 1, self.layer[after]):
                    last = self._join(last, self._bend(layer))
            self._join(last, after)
        self.order: list[list[int]] = [[] for _ in range(1 + max(self.layer))]
        for item, layer in enumerate(self.layer):
            self.order[layer].append(item)
        self.order = [items for items in self.order if items]
        self.place = [0.0] * len(self.layer)
        for items in self.order:
            self._number(items)

    def _bend(self, layer: int) -> int:
        self.layer.append(layer)
        self.left.append([])
        self.right.append([])
        return len(self.layer) - 1

    def _join(self, before: int, after: int) -> int:
        self.right[before].append(after)
        self.left[after].append(before)
        return after

    def rows(self) -> dict[int, float]:
        """Node -> row, the uppermost at 0."""
        self._uncross()
        rows = self._align()
        top = min(rows[: len(self.nodes)])
        return {node: rows[item] - top for item, node in enumerate(self.nodes)}

    # ---- fewer crossings --------------------------------------------------------------------------------------

    def _uncross(self) -> None:
        best, fewest = self._copy(), self._crossings()
        for sweep in range(SWEEPS):
            if not fewest:
                break
            forth = sweep % 2 == 0
            neighbours = self.left if forth else self.right
            for items in self.order if forth else reversed(self.order):
                self._sort(items, neighbours)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = self._copy(), crossings
        self.order = best

    def _copy(self) -> list[list[int]]:
        return [list(items) for items in self.order]

    def _sort(self, items: list[int], neighbours: Sequence[Sequence[int]]) -> None:
        """Sort a layer by the mean place of the neighbours; who has none keeps its own place."""
        place = self.place
        items.sort(key=lambda item: sum(place[other] for other in neighbours[item]) / len(neighbours[item])
                   if neighbours[item] else place[item])  # fmt: skip
        self._number(items)

    def _number(self, items: Sequence[int]) -> None:
        """Places in a layer as fractions of it, so that layers of different sizes can be compared."""
        for index, item in enumerate(items):
            self.place[item] = (index + 0.5) / len(items)

    def _crossings(self) -> int:
        """Pairs of edges that leave one layer and cross: inversions of the places where they end."""
        total = 0
        for items in self.order:
            ends: list[float] = []
            for item in items:
                own = sorted(self.place[other] for other in self.right[item])
                total += sum(len(ends) - bisect_right(ends, end) for end in own)
                for end in own:
                    insort(ends, end)
        return total

    # ---- straight edges ---------------------------------------------------------------------------------------

    def _align(self) -> list[float]:
        """Rows of all items: from packed layers, each layer in turn is drawn towards its neighbours."""
        rows = [0.0] * len(self.layer)
        offsets = [self._offsets(items) for items in self.order]
        for items, offset in zip(self.order, offsets, strict=True):
            for item, place in zip(items, offset, strict=True):
                rows[item] = place - offset[-1] / 2
        both = [before + after for before, after in zip(self.left, self.right, strict=True)]
        for neighbours, forth in ((self.left, True), (self.right, False)) * 3 + ((both, True), (both, False)):
            layers = list(zip(self.order, offsets, strict=True))
            for items, offset in layers if forth else reversed(layers):
                wished = [sum(rows[other] for other in neighbours[item]) / len(neighbours[item])
                          if neighbours[item] else rows[item] for item in items]  # fmt: skip
                for item, row in zip(items, _apart(wished, offset), strict=True):
                    rows[item] = row
        return rows

    def _offsets(self, items: Sequence[int]) -> list[float]:
        """Rows of a layer when it is packed as tightly as it may be."""
        heights = [1.0 if item < len(self.nodes) else BEND_HEIGHT for item in items]
        offsets = [0.0]
        for above, below in pairwise(heights):
            offsets.append(offsets[-1] + (above + below) / 2)
        return offsets


def _apart(wished: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The rows nearest to the wished ones (least squares) that are as far apart as the offsets are: items that get in
    each other's way form a block, and a block stands at the mean of its members' wishes."""
    blocks: list[tuple[float, int]] = []
    for wish, offset in zip(wished, offsets, strict=True):
        total, count = wish - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            before, members = blocks.pop()
            total, count = total + before, count + members
        blocks.append((total, count))
    starts = [total / count for total, count in blocks for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
