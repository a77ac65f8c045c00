"""Graphs drawn with characters: every line is followed back, and must lead where the edges do."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.cli.replies import style
from wattle.cli import picture
from wattle.cli.picture import Net, assign_lanes, graph
from wattle.core.layout import layout

Edges = list[tuple[str, str]]


def reply(edges: Edges, alone: tuple[str, ...] = ()) -> dict[str, Any]:
    names = list(dict.fromkeys([*(name for edge in edges for name in edge), *alone]))
    places = layout([[names.index(source) for source, target in edges if target == name] for name in names])
    nodes = [{"name": name, "instances": 1, "status": "completed", "x": x, "y": y} for name, (x, y) in zip(names, places, strict=True)]
    return {"nodes": nodes, "edges": [{"source": source, "target": target, "ports": []} for source, target in edges]}


def drawn(words: str) -> str:
    return graph(reply([(pair.split(">")[0], pair.split(">")[1]) for pair in words.split()]), style())


def test_a_chain_is_one_line() -> None:
    assert drawn("a>b b>c") == " ✔ a ─ ✔ b ─ ✔ c"


def test_what_is_stale_says_so() -> None:
    found = reply([("a", "b")])
    found["nodes"][1] |= {"stale": True, "instances": 3}
    assert graph(found, style()) == " ✔ a ─ ✔ b ×3, stale"


def test_a_fan_opens_and_closes() -> None:
    assert drawn("a>b a>c b>d c>d").split("\n") == [" ✔ a ─┬─ ✔ b ─┬─ ✔ d", "      ╰─ ✔ c ─╯"]


def test_an_edge_over_a_column_goes_round() -> None:
    assert drawn("a>b b>c a>c").split("\n") == [" ✔ a ─┬─ ✔ b ─┬─ ✔ c", "      ╰───────╯"]


def test_a_line_that_meets_another_is_hidden_behind_it() -> None:
    """From b nothing leads up to d."""
    assert drawn("a>d a>c b>c").split("\n") == [" ✔ a ─┬─ ✔ d", " ✔ b ─╰─ ✔ c"]


def test_groups_show_how_many_and_plain_terminals_get_ascii() -> None:
    found = reply([("a", "b"), ("a", "c")])
    found["nodes"][0]["instances"] = 4
    assert graph(found, style(encoding="ascii")).split("\n") == [" + a x4 -+- + b", "         +- + c"]


def test_what_is_too_wide_or_too_many_is_listed() -> None:
    wide = drawn(" ".join(f"worker-number-{n}>worker-number-{n + 1}" for n in range(9)))
    assert wide.split("\n")[1] == "  ✔ worker-number-1  ← worker-number-0"
    many = graph(reply([("a", f"b{n}") for n in range(300)]), style())
    assert len(many.split("\n")) == 301
    assert graph({"nodes": [], "edges": []}, style()) == "No workers."
    fan = graph(reply([(f"s{n}", "t") for n in range(100)]), style())
    assert "and 94 more" in fan


def test_lines_that_cannot_be_kept_apart_are_not_drawn() -> None:
    one, other = Net({0}, frozenset({1})), Net({1}, frozenset({0}))
    assert not assign_lanes([one, other])


def test_nets_that_overlap_get_lanes_of_their_own() -> None:
    one, other, far = Net({0}, frozenset({2})), Net({1}, frozenset({3})), Net({5}, frozenset({6}))
    assert assign_lanes([one, other, far])
    assert one.lane != other.lane
    assert far.lane == 0


ARMS = {"─": "lr", "│": "ud", "╭": "rd", "╮": "ld", "╰": "ru", "╯": "lu", "├": "rud", "┤": "lud", "┬": "lrd", "┴": "lru",
        "┼": "lrud"}  # fmt: skip


def followed(text: str) -> set[tuple[str, str]]:
    """The edges that an eye follows: from a name to the right; vertical lines both ways; a line that runs into a corner
    without an arm for it goes on behind it."""
    lines = text.split("\n")
    cells = {(y, x): char for y, line in enumerate(lines) for x, char in enumerate(line)}
    begins = {(y, x): line[x + 2 :].split(" ")[0] for y, line in enumerate(lines) for x, char in enumerate(line) if char == "✔"}
    found = set()
    for (y, x), name in begins.items():
        waiting = [(y, x + 3 + len(name), "r")] if cells.get((y, x + 3 + len(name))) in ARMS else []
        seen = set()
        while waiting:
            row, column, heading = waiting.pop()
            if (row, column, heading) in seen:
                continue
            seen.add((row, column, heading))
            if (row, column + 1) in begins and heading == "r":
                found.add((name, begins[row, column + 1]))
                continue
            char = cells.get((row, column), " ")
            arms = ARMS.get(char, "")
            back = {"r": "l", "u": "d", "d": "u"}[heading]
            if heading == "r" and "l" not in arms and arms:
                waiting.append((row, column + 1, "r"))
                continue
            for arm in arms:
                if arm not in {back, "l"}:
                    waiting.append({"r": (row, column + 1, "r"), "u": (row - 1, column, "u"), "d": (row + 1, column, "d")}[arm])
    return found


@pytest.mark.parametrize("seed", range(60))
def test_every_line_of_a_drawing_leads_where_the_edges_do(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"n{n}" for n in range(chance.randint(2, 9))]
    edges = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if chance.random() < 0.3]
    text = graph(reply(edges, tuple(names)), style())
    if text.startswith(" "):
        assert followed(text) == set(edges), text


def test_most_small_graphs_are_drawn_and_not_listed() -> None:
    count = 0
    for seed in range(60):
        chance = random.Random(seed)
        names = [f"n{n}" for n in range(chance.randint(2, 9))]
        edges = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if chance.random() < 0.3]
        count += graph(reply(edges, tuple(names)), style()).startswith(" ")
    assert count >= 45
    assert picture.MOST_ROWS >= 40
