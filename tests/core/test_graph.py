"""The graph algorithms, with networkx as the judge."""

from __future__ import annotations

import random

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core.graph import (
    Cycle,
    ancestors,
    critical_path,
    descendants,
    downstream,
    find_cycle,
    levels,
    loopless,
    order,
)  # fmt: skip

MAX = 9
GRAPHS = st.integers(0, MAX).flatmap(
    lambda n: st.lists(st.sets(st.integers(0, max(n - 1, 0))).map(sorted), min_size=n, max_size=n)
)


@st.composite
def acyclic(draw: st.DrawFn) -> list[list[int]]:
    """Any acyclic graph: edges follow a random ranking of the nodes, so numbers say nothing about order."""
    n = draw(st.integers(0, MAX))
    ranking = draw(st.permutations(range(n)))
    upstream: list[list[int]] = [[] for _ in range(n)]
    for place, node in enumerate(ranking):
        upstream[node] = sorted(draw(st.sets(st.sampled_from(ranking[:place])))) if place else []
    return upstream


def oracle(upstream: list[list[int]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(upstream)))
    graph.add_edges_from((before, node) for node, befores in enumerate(upstream) for before in befores)
    return graph


@given(GRAPHS)
def test_an_order_exists_exactly_where_there_is_no_cycle(upstream: list[list[int]]) -> None:
    graph = oracle(upstream)
    if nx.is_directed_acyclic_graph(graph):
        assert order(upstream) == list(nx.lexicographical_topological_sort(graph))
        assert find_cycle(upstream) is None
    else:
        path = find_cycle(upstream)
        with pytest.raises(Cycle) as caught:
            order(upstream)
        assert caught.value.path == path
        assert path is not None
        assert path[0] == path[-1] == min(path)
        assert len(set(path)) == len(path) - 1
        assert all(graph.has_edge(*edge) for edge in nx.utils.pairwise(path))


@given(GRAPHS)
def test_reach_is_the_same_as_the_judges(upstream: list[list[int]]) -> None:
    graph = oracle(upstream)
    for start in range(len(upstream)):
        on_cycle = any(nx.has_path(graph, after, start) for after in graph.successors(start))
        itself = {start} if on_cycle else set()
        assert descendants(upstream, [start]) == nx.descendants(graph, start) | itself
        assert ancestors(upstream, [start]) == nx.ancestors(graph, start) | itself
    assert downstream(upstream) == [sorted(graph.successors(node)) for node in range(len(upstream))]


@given(acyclic())
def test_a_level_is_the_longest_way_to_a_node(upstream: list[list[int]]) -> None:
    found = levels(upstream)
    for level, nodes in enumerate(nx.topological_generations(oracle(upstream))):
        assert {found[node] for node in nodes} == {level}


@given(acyclic(), st.data())
def test_the_critical_path_is_a_path_and_none_is_longer(upstream: list[list[int]], data: st.DataObject) -> None:
    graph = oracle(upstream)
    durations = data.draw(st.lists(st.integers(0, 5), min_size=len(upstream), max_size=len(upstream)))
    path = critical_path(upstream, durations)
    assert all(graph.has_edge(*edge) for edge in nx.utils.pairwise(path))
    longest = 0
    best: dict[int, int] = {}
    for node in nx.topological_sort(graph):
        best[node] = durations[node] + max((best[before] for before in graph.predecessors(node)), default=0)
        longest = max(longest, best[node])
    assert sum(durations[node] for node in path) == longest


def test_several_starts_are_reached_from_all_of_them() -> None:
    upstream: list[list[int]] = [[], [0], [], [2], [1, 3]]
    assert descendants(upstream, [1, 2]) == {3, 4}
    assert ancestors(upstream, [1, 3]) == {0, 2}
    assert descendants(upstream, []) == set()


def test_an_edge_named_twice_changes_nothing() -> None:
    assert order([[1, 1], []]) == [1, 0]
    assert levels([[1, 1], []]) == [1, 0]


def test_a_worker_that_waits_for_itself_is_a_cycle_of_one() -> None:
    assert find_cycle([[], [1], []]) == [1, 1]


def test_a_cycle_of_five_hundred_is_told_from_its_smallest_member() -> None:
    ring = list(range(500))
    upstream = [[(node - 1) % 500] for node in ring]
    assert find_cycle([*upstream, [3]]) == [*ring, 0]


def test_depth_is_no_limit_and_the_largest_graph_is_ordered() -> None:
    n = 100_000
    chance = random.Random(7)
    upstream: list[list[int]] = [[] for _ in range(n)]
    for node in range(1, n):
        upstream[node] = [node - 1, *(chance.randrange(node) for _ in range(2))]
    assert order(upstream) == list(range(n))
    assert levels(upstream)[-1] == n - 1
    assert len(critical_path(upstream, [1.0] * n)) == n


def test_without_the_edges_that_lead_back_a_graph_has_an_order_and_one_without_cycles_keeps_all() -> None:
    assert loopless([[1], [0], [1]]) == [[], [0], [1]]
    assert loopless([[2, 3], [0], [1], []]) == [[3], [0], [1], []], "the way in is kept, the way back is not"
    assert loopless([[0]]) == [[]]
    diamond = [[], [0], [0], [1, 2]]
    assert loopless(diamond) == diamond


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.sets(st.integers(0, n - 1)), min_size=n, max_size=n)))
def test_a_graph_without_loops_has_an_order_and_reaches_what_it_reached(upstream: list[set[int]]) -> None:
    found = loopless(upstream)
    order(found)
    assert all(set(now) <= before for now, before in zip(found, upstream, strict=True))
    if find_cycle(upstream) is None:
        assert [set(now) for now in found] == upstream
