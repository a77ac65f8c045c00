"""Params, the rows of `each`, and the instances with their edges."""

from __future__ import annotations

import fnmatch
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core import expand as module
from wattle.core.errors import InvalidRequest
from wattle.core.expand import MAX_INSTANCES, expand, resolve_params, resolve_rows
from wattle.core.models import Each, Feed, Input, Output, Source, Worker, Workflow


def workflow(*workers: Worker, **fields: Any) -> Workflow:
    return Workflow(name="etl", working_dir="/data/etl", workers=workers, **fields)


def from_(*sources: str, rows: bool = False) -> Input:
    pairs = (source.split("/") for source in sources)
    return Input(sources=tuple(Source(worker=worker, output=output) for worker, output in pairs), rows=rows)


def group(name: str, each: Each, **fields: Any) -> Worker:
    return Worker(name=name, command="true", each=each, outputs={"out": Output()}, **fields)


def plain(name: str, **fields: Any) -> Worker:
    return Worker(name=name, command="true", outputs={"out": Output()}, **fields)


def rows_of(each: Each, params: dict[str, Any] | None = None, files: list[str] | None = None,
            **fields: Any) -> tuple[dict[str, Any], ...]:  # fmt: skip
    def glob(pattern: str) -> list[str]:
        return fnmatch.filter(files or [], pattern)

    return resolve_rows(workflow(group("train", each, **fields)), params or {}, glob)["train"]


# ---- params ---------------------------------------------------------------------------------------------------


def test_given_params_overlay_those_of_the_document() -> None:
    document = workflow(plain("a"), params={"day": None, "rates": [1, 2], "n": 3})
    assert resolve_params(document, {"day": "monday", "n": 4}) == {"day": "monday", "rates": [1, 2], "n": 4}


def test_missing_and_unknown_params_are_told_all_at_once() -> None:
    document = workflow(plain("a"), params={"day": None, "rate": None, "n": 3})
    with pytest.raises(InvalidRequest) as caught:
        resolve_params(document, {"rats": 1, "zzz": 2})
    assert caught.value.message == (
        "etl: it has no param 'rats' (did you mean 'rate'?); it has no param 'zzz'; "
        "params day, rate must be given a value"
    )
    assert caught.value.hint == "--set day=… --set rate=…"


def test_an_unknown_param_alone_lists_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="no param 'x'") as caught:
        resolve_params(workflow(plain("a"), params={"day": 1}), {"x": 1})
    assert caught.value.hint == "its params are: day"


def test_a_given_null_is_no_value() -> None:
    with pytest.raises(InvalidRequest, match="param day must be given a value"):
        resolve_params(workflow(plain("a"), params={"day": 1}), {"day": None})


@pytest.mark.parametrize("value", ["a\0b", ["a\0b"], {"a\0": 1}, {"x": [{"y": "\0"}]}])
def test_a_nul_is_refused_wherever_it_hides(value: object) -> None:
    with pytest.raises(InvalidRequest, match="param day holds a NUL"):
        resolve_params(workflow(plain("a"), params={"day": 1}), {"day": value})


def test_a_text_that_only_looks_like_a_nul_is_fine() -> None:
    assert resolve_params(workflow(plain("a"), params={"day": 1}), {"day": "\\u0000"}) == {"day": "\\u0000"}


# ---- rows -----------------------------------------------------------------------------------------------------


def test_a_product_varies_its_last_name_fastest() -> None:
    assert rows_of(Each(product={"lr": [0.1, 1], "seed": [1, 2]})) == (
        {"lr": 0.1, "seed": 1}, {"lr": 0.1, "seed": 2}, {"lr": 1, "seed": 1}, {"lr": 1, "seed": 2},
    )  # fmt: skip


def test_a_param_that_stands_alone_keeps_its_type() -> None:
    each = Each(product={"lr": "${params.rates}", "tag": ["${params.n}", "n=${params.n}", "$${x}", 1.5, None, True]})
    rows = rows_of(each, {"rates": [[1]], "n": 7})
    assert [row["tag"] for row in rows] == [7, "n=7", "${x}", 1.5, None, True]
    assert rows[0]["lr"] == [1]


def test_rows_are_taken_as_they_are_written_or_as_a_param_has_them() -> None:
    rows = ({"a": 1, "b": "x"}, {"a": 2, "b": "y"})
    assert rows_of(Each(rows=rows)) == rows
    assert rows_of(Each(rows="${params.cases}"), {"cases": list(rows)}) == rows


def test_found_files_are_sorted_and_relative_to_the_worker() -> None:
    files = ["/data/etl/sub/b.csv", "/data/etl/sub/a.csv", "/data/etl/c.csv"]
    assert rows_of(Each(product={"file": {"glob": "${params.kind}.csv"}}), {"kind": "*"}, files, working_dir="sub") == (
        {"file": "a.csv"}, {"file": "b.csv"},
    )  # fmt: skip


def test_an_absolute_pattern_gives_absolute_files() -> None:
    assert rows_of(Each(product={"file": {"glob": "/in/*"}}), files=["/in/b", "/in/a"]) == (
        {"file": "/in/a"}, {"file": "/in/b"},
    )  # fmt: skip


def test_a_working_directory_with_brackets_is_no_pattern() -> None:
    asked: list[str] = []

    def glob(pattern: str) -> list[str]:
        asked.append(pattern)
        return ["/data/[x]*/a"]

    document = Workflow(name="etl", working_dir="/data/[x]*",
                        workers=(group("train", Each(product={"file": {"glob": "*"}})),))  # fmt: skip
    assert resolve_rows(document, {}, glob)["train"] == ({"file": "a"},)
    assert asked == ["/data/[[]x][*]/*"]


def test_pairs_share_the_rows_at_the_end_of_their_chain() -> None:
    document = workflow(group("c", Each(pair="b")), group("b", Each(pair="a")), group("a", Each(product={"x": [1, 2]})))
    rows = resolve_rows(document, {}, lambda _: [])
    assert rows == dict.fromkeys("cba", ({"x": 1}, {"x": 2}))
    assert list(rows) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("each", "message"),
    [
        (Each(product={"x": []}), "etl/train: each makes no instance: x is empty"),
        (Each(product={"f": {"glob": "*.csv"}}), r"no file matches \*.csv in /data/etl/"),
        (Each(rows=()), "etl/train: each makes no instance: its list of rows is empty"),
        (Each(product={"x": "${params.text}"}), "etl/train: x: each needs a list, and 'abc' is none"),
        (Each(product={"x": "${params.typo}"}), r"there is no \$\{params.typo\}"),
        (Each(product={"x": list(range(101)), "y": list(range(100))}), "makes 10,100 instances, and at most 10,000"),
        (Each(rows="${params.numbers}"), "a list of mappings that all have the same names, and 1 is not"),
        (Each(rows=({"a": 1}, {"b": 1})), 'same names, and {"b": 1} is not one of them'),
        (Each(rows=({"a b": 1},)), r"the names of each \(a b\) must be words"),
        (Each(rows=({"a": 1, "A": 2},)), "differ in more than case"),
        (Each(rows=({"seed": 1},)), r"etl/train: there is no \$\{each.lr\}"),
        (Each(product={"lr": ["a\0"]}), "holds a NUL"),
        (Each(pair="nobody"), "nobody has no each"),
        (Each(pair="train"), "they pair in a circle"),
    ],
)
def test_an_each_that_makes_no_sense_names_its_worker(each: Each, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        rows_of(each, {"text": "abc", "numbers": [1, 2]}, args=("${each.lr}",))


def test_the_largest_group_is_allowed() -> None:
    assert len(rows_of(Each(product={"x": list(range(MAX_INSTANCES))}))) == MAX_INSTANCES


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_product_has_every_combination_once_in_order(lists: list[list[int]]) -> None:
    rows = rows_of(Each(product={f"n{i}": list(enumerate(values)) for i, values in enumerate(lists)}))
    places = [tuple(value[0] for value in row.values()) for row in rows]
    assert places == sorted(set(places))
    assert len(places) == math.prod(map(len, lists))


# ---- instances ------------------------------------------------------------------------------------------------

XS = Each(product={"x": ["p", "q"]})


def test_instances_come_in_document_order_with_their_rows() -> None:
    document = workflow(plain("a"), group("train", XS), plain("z"))
    instances = expand(document, {"train": ({"x": "p"}, {"x": "q"})})
    assert [(one.index, one.name, one.worker, one.group, one.row) for one in instances] == [
        (0, "a", "a", None, {}), (1, "train.1", "train", "train", {"x": "p"}),
        (2, "train.2", "train", "train", {"x": "q"}), (3, "z", "z", None, {}),
    ]  # fmt: skip


def expanded(*workers: Worker, **fields: Any) -> dict[str, Any]:
    document = workflow(*workers, **fields)
    return {one.name: one for one in expand(document, resolve_rows(document, {}, lambda _: []))}


def test_a_plain_edge_is_one_source() -> None:
    found = expanded(plain("late", inputs={"i": from_("early/out")}), plain("early"))
    assert found["late"].inputs == {"i": Feed(sources=((1, "out"),))}
    assert found["late"].upstream == (1,)


def test_a_group_feeds_a_plain_worker_with_rows() -> None:
    found = expanded(group("train", XS), plain("report", inputs={"i": from_("train/out", rows=True)}))
    assert found["report"].inputs["i"] == Feed(sources=((0, "out"), (1, "out")), rows=True)
    assert found["report"].upstream == (0, 1)


def test_a_group_feeds_another_group_whole() -> None:
    found = expanded(group("a", XS), group("b", Each(product={"y": [1, 2]}), inputs={"i": from_("a/out", rows=True)}))
    for name in ("b.1", "b.2"):
        assert found[name].inputs["i"] == Feed(sources=((0, "out"), (1, "out")), rows=True)
        assert found[name].upstream == (0, 1)


def test_pairs_are_fed_one_by_one_also_through_a_common_root() -> None:
    found = expanded(
        group("a", XS), group("b", Each(pair="a"), inputs={"i": from_("a/out")}),
        group("c", Each(pair="a"), inputs={"i": from_("b/out"), "j": from_("b/out", rows=True)}),
    )  # fmt: skip
    assert found["b.2"].inputs["i"] == Feed(sources=((1, "out"),))
    assert found["c.2"].inputs == {"i": Feed(sources=((3, "out"),)), "j": Feed(sources=((3, "out"),), rows=True)}
    assert found["c.2"].upstream == (3,)


def test_a_list_of_sources_makes_rows_in_its_order() -> None:
    found = expanded(plain("a"), group("t", XS), plain("z", inputs={"i": from_("t/out", "a/out", rows=True)}))
    assert found["z"].inputs["i"] == Feed(sources=((1, "out"), (2, "out"), (0, "out")), rows=True)
    assert found["z"].upstream == (0, 1, 2)


def test_a_list_of_one_source_still_makes_rows() -> None:
    found = expanded(plain("a"), plain("z", inputs={"i": from_("a/out", rows=True)}))
    assert found["z"].inputs["i"].rows


def test_needs_wait_for_the_whole_group_and_each_upstream_counts_once() -> None:
    found = expanded(group("a", XS), group("b", Each(pair="a"), inputs={"i": from_("a/out")}, needs=("a",)))
    assert found["b.1"].upstream == (0, 1)
    assert found["b.1"].inputs["i"] == Feed(sources=((0, "out"),))


def test_an_outside_file_is_passed_on_as_written() -> None:
    found = expanded(plain("a", inputs={"raw": Input(file="data/${params.day}.csv")}))
    assert found["a"].inputs["raw"] == Feed(file="data/${params.day}.csv")


def test_in_parallel_mode_edges_name_paths_and_nothing_waits() -> None:
    found = expanded(plain("a"), plain("b", inputs={"i": from_("a/out")}), mode="parallel")
    assert found["b"].inputs["i"].sources == ((0, "out"),)
    assert found["b"].upstream == ()


def test_a_worker_named_like_an_instance_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"train\.1 would be both") as caught:
        expanded(plain("Train.1"), group("train", XS))
    assert caught.value.hint


def test_groups_joined_too_densely_are_refused_before_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EDGES", 99)
    ten = Each(product={"x": list(range(10))})
    with pytest.raises(InvalidRequest, match="joined by more than 99 edges"):
        expanded(group("a", ten), group("b", ten, inputs={"i": from_("a/out")}))
    assert len(expanded(group("a", ten), group("b", Each(pair="a"), inputs={"i": from_("a/out")}))) == 20


@given(st.data())
def test_every_instance_waits_for_exactly_what_feeds_it(data: st.DataObject) -> None:
    workers: list[Worker] = []
    for number in range(data.draw(st.integers(1, 6))):
        earlier = [worker.name for worker in workers]
        groups = [worker.name for worker in workers if worker.each is not None]
        kinds = ["plain", "product", *(["pair"] if groups else [])]
        kind = data.draw(st.sampled_from(kinds))
        names = st.lists(st.sampled_from(earlier), max_size=3, unique=True) if earlier else st.just([])
        fields = {"inputs": {f"p{i}": from_(f"{name}/out") for i, name in enumerate(data.draw(names))},
                  "needs": tuple(data.draw(names))}  # fmt: skip
        if kind == "plain":
            workers.append(plain(f"w{number}", **fields))
        else:
            each = (Each(pair=data.draw(st.sampled_from(groups))) if kind == "pair"
                    else Each(product={"x": list(range(data.draw(st.integers(1, 3))))}))  # fmt: skip
            workers.append(group(f"w{number}", each, **fields))
    by_name = expanded(*workers)
    by_index = list(by_name.values())
    assert [one.index for one in by_index] == list(range(len(by_index)))
    for one in by_index:
        worker = next(worker for worker in workers if worker.name == one.worker)
        fed = {index for feed in one.inputs.values() for index, _ in feed.sources}
        needed = {other.index for other in by_index if other.worker in worker.needs}
        assert one.upstream == tuple(sorted(fed | needed))
        for feed in one.inputs.values():
            assert feed.rows or len(feed.sources) == 1
