"""Where nodes stand: layers, no overlap, few crossings, the same every time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given

from tests.core.test_graph import acyclic
from wattle.core.graph import Cycle, levels
from wattle.core.layout import layout


def crossings(upstream: list[list[int]], places: list[tuple[float, float]]) -> int:
    """Pairs of edges between the same two columns that cross."""
    edges = [(places[before], places[node]) for node, befores in enumerate(upstream) for before in befores]
    return sum(
        (a[1] - c[1]) * (b[1] - d[1]) < 0
        for (a, b), (c, d) in itertools.combinations(edges, 2)
        if a[0] == c[0] and b[0] == d[0]
    )


@given(acyclic())
def test_columns_follow_the_levels_and_no_two_nodes_overlap(upstream: list[list[int]]) -> None:
    places = layout(upstream)
    joined = {node for node, befores in enumerate(upstream) if befores} | set(itertools.chain(*upstream))
    found = levels(upstream)
    for node in joined:
        assert places[node][0] == found[node]
    for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
        assert x != other_x or abs(y - other_y) > 0.99
    assert all(x >= 0 and y >= 0 for x, y in places)
    if places:
        assert min(y for _, y in places) == 0
    assert layout(upstream) == places


def test_nothing_is_laid_out_as_nothing() -> None:
    assert layout([]) == []


def test_a_chain_is_a_straight_line() -> None:
    assert layout([[], [0], [1]]) == [(0, 0), (1, 0), (2, 0)]


def test_a_fan_is_centred_on_its_ends() -> None:
    assert layout([[], [0], [0], [0], [1, 2, 3]]) == [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)]


def test_crossed_pairs_are_uncrossed() -> None:
    upstream: list[list[int]] = [[], [], [], [2], [1], [0]]
    upstream += [[3, 4], [4, 5]]
    assert crossings(upstream, layout(upstream)) == 0


def test_a_long_edge_goes_round_the_nodes_in_between() -> None:
    places = layout([[], [0], [1], [2, 0]])
    assert len({row for _, row in places}) > 1


def test_parts_that_do_not_hang_together_are_stacked() -> None:
    places = layout([[], [], [0], [1]])
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_lone_nodes_fill_a_grid_below_the_rest() -> None:
    places = layout([[], [0], *([[]] * 300)])
    lone = places[2:]
    assert len(set(lone)) == 300
    assert min(y for _, y in lone) == 1
    assert max(x for x, _ in lone) == 9
    assert max(y for _, y in lone) == 30


def test_a_wide_and_tangled_graph_is_laid_out_too() -> None:
    upstream: list[list[int]] = [[] for _ in range(50)]
    upstream += [[(node * step) % 50 for step in (1, 3, 7)] for node in range(1, 400)]
    upstream += [[node - 30, *range(0, node - 40, 25)] for node in range(449, 900)]
    places = layout(upstream)
    assert len(set(places)) == 900


def test_a_cycle_has_no_layers() -> None:
    with pytest.raises(Cycle):
        layout([[1], [0]])
