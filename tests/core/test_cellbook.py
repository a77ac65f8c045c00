"""Workflows over cells: put together in any order, and found in a notebook without running it."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from wattle.core.cellbook import code_cells, literals, merged, sources_of, wattle_cells
from wattle.core.errors import InvalidRequest

FETCH = {"name": "fetch", "cell": "raw = 1", "owner": "a"}
CLEAN = {"name": "clean", "cell": "table = raw", "inputs": {"raw": "fetch/raw"}, "owner": "a"}
REPORT = {"name": "report", "cell": "x = table", "inputs": {"t": ["clean/table", "fetch/raw"]}, "owner": "a"}
THEIRS = {"name": "theirs", "script": "true", "owner": "b"}


def names(workers: list[dict[str, Any]]) -> list[str]:
    return [worker["name"] for worker in workers]


def test_a_worker_names_its_sources_its_needs_and_the_group_that_it_pairs_with() -> None:
    worker = {"inputs": {"a": "x/o", "b": ["y/o", "z/o"], "c": {"file": "f.csv"}}, "needs": ["n"], "each": "train"}
    assert sources_of(worker) == {"x", "y", "z", "n", "train"}
    assert sources_of({"each": "${params.rows}"}) == set()


@pytest.mark.parametrize("order", list(permutations([FETCH, CLEAN, REPORT])))
def test_one_by_one_in_any_order_all_are_there_at_last(order: tuple[dict[str, Any], ...]) -> None:
    present: list[dict[str, Any]] = []
    waiting: dict[str, dict[str, Any]] = {}
    for worker in order:
        coming = {**waiting, worker["name"]: worker}
        found = merged(present, coming.values())
        present, waiting = found.workers, {name: coming[name] for name in found.waiting}
        assert all(sources_of(one) <= set(names(present)) for one in present)
    assert sorted(names(present)) == ["clean", "fetch", "report"]
    assert not waiting


def test_who_waits_says_for_whom_and_who_needs_it_waits_with_it() -> None:
    found = merged([], [CLEAN, REPORT])
    assert found.workers == []
    assert found.waiting == {"clean": ["fetch"], "report": ["clean", "fetch"]}


def test_a_definition_stays_while_its_new_one_waits() -> None:
    other = {**CLEAN, "inputs": {"raw": "nosuch/raw"}}
    found = merged([FETCH, CLEAN], [other])
    assert found.workers == [FETCH, CLEAN]
    assert found.waiting == {"clean": ["nosuch"]}


def test_workers_that_wait_for_each_other_are_both_there_for_the_document_to_refuse() -> None:
    one, other = {"name": "one", "needs": ["other"]}, {"name": "other", "needs": ["one"]}
    assert merged([], [one, other]) == ([one, other], {})


def test_a_new_session_drops_its_own_and_leaves_the_others() -> None:
    assert names(merged([FETCH, THEIRS, CLEAN], [FETCH], drop="a").workers) == ["theirs", "fetch"]


def test_a_new_one_takes_the_place_of_the_old() -> None:
    again = {**FETCH, "cell": "raw = 2"}
    assert merged([FETCH, CLEAN], [again]).workers == [again, CLEAN]


def notebook(*cells: str | list[str]) -> str:
    return json.dumps({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": "%%wattle worker no/no"},
                       *({"cell_type": "code", "source": cell} for cell in cells)]})  # fmt: skip


def test_cells_that_the_magic_heads_are_found_by_number() -> None:
    text = notebook("x = 1", ["%%wattle worker etl/a --out x\n", "x = 1\n"], "\n%%wattle workflow etl\nname: etl", "%wattle run etl")
    found = wattle_cells(code_cells(text, "p.ipynb"))
    assert [(cell.number, cell.line, cell.body) for cell in found] == [
        (3, "worker etl/a --out x", "x = 1\n"), (4, "workflow etl", "name: etl"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 1}', '{"cells": [1]}', '{"cells": [{"cell_type": "code"}]}'])
def test_what_is_no_notebook_is_a_sentence(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"p\.ipynb is not a notebook that can be read"):
        code_cells(text, "p.ipynb")


def test_literals_are_known_and_what_is_computed_is_not() -> None:
    cells = ["a = [1, 2]\nb: str = 'x'", "%load_ext wattle", "c = a + [3]", "d = 1", "d = f()", "e = d = -1"]
    assert literals(cells) == {"a": [1, 2], "b": "x", "e": -1, "d": -1}
