"""What a result was made from: what changes its identity, what does not, and how a difference is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.house.sources import ROOT
from wattle.core.document import parse_document
from wattle.core.expand import expand, resolve_params, resolve_rows
from wattle.core.identity import NO_PART, ONE_BY_ONE, WORDS, Identities, difference
from wattle.core.models import RunSpec, Worker

BASE: dict[str, Any] = {
    "params": {"day": 1, "other": 2},
    "env_vars": {"ALL": "x"},
    "workers": {
        "fetch": {"command": "python fetch.py --day ${params.day} --out ${outputs.raw}", "outputs": ["raw.csv"],
                  "files": ["lib/util.py"], "env_vars": {"TOKEN": "${env.TOKEN}"}},
        "train": {"each": {"lr": [0.1, 0.2]}, "script": "echo $WATTLE_EACH_LR", "inputs": {"raw": "fetch/raw"},
                  "outputs": {"m": {"type": "value"}}},
        "report": {"script": "cat x", "inputs": {"m": "train/m", "style": {"file": "style.css"}}},
    },
}  # fmt: skip


def made(document: Mapping[str, Any], contents: Mapping[str, str] | None = None, taken: Mapping[str, str] | None = None,
         given: Mapping[str, Any] | None = None) -> Identities:  # fmt: skip
    workflow = parse_document({"name": "etl", **document}, base_dir="/data").workflow
    params = resolve_params(workflow, given or {})
    rows = resolve_rows(workflow, params, lambda pattern: [pattern.replace("*", name) for name in "ab"])
    spec = RunSpec(id=1, workflow="etl", number=7, document=workflow, params=params, rows=rows)
    identities = Identities(spec, expand(workflow, rows))
    known = dict.fromkeys(identities.wanted(), "same") if contents is None else contents
    return identities.known(known, taken or {})


def changed(name: str, **fields: Any) -> dict[str, Any]:
    """BASE with other fields of one worker; None takes one away."""
    workers = {**BASE["workers"], name: {**BASE["workers"][name], **fields}}
    workers[name] = {field: value for field, value in workers[name].items() if value is not None}
    return {**BASE, "workers": workers}


def others(document: Mapping[str, Any], **how: Any) -> set[str]:
    """The instances whose identity differs from that in BASE."""
    before, now = made(BASE), made(document, **how)
    assert all(now.keys)
    return {instance.name for instance in now.instances if now.key(instance.name) != before.key(instance.name)}


EVERYTHING = {"fetch", "train.1", "train.2", "report"}


def test_the_same_document_gives_the_same_identities_in_whatever_run() -> None:
    first, second = made(BASE), made(msgspec.json.decode(msgspec.json.encode(BASE)))
    assert first.keys == second.keys
    assert len(set(first.keys)) == len(first.keys)


def test_every_field_of_a_worker_is_known_to_be_part_or_no_part() -> None:
    assert set(Worker.__struct_fields__) <= set(WORDS) | NO_PART | ONE_BY_ONE
    assert not NO_PART & set(WORDS)


@pytest.mark.parametrize(
    ("worker", "fields", "expected"),
    [
        ("fetch", {"command": "python fetch.py --out ${outputs.raw}"}, EVERYTHING),
        ("fetch", {"args": ["-v"]}, EVERYTHING),
        ("fetch", {"env_vars": {"TOKEN": "other"}}, EVERYTHING),
        ("fetch", {"setup": "module load gcc"}, EVERYTHING),
        ("fetch", {"python": ".venv"}, EVERYTHING),
        ("fetch", {"working_dir": "sub"}, EVERYTHING),
        ("fetch", {"outputs": {"raw": "here.csv"}}, EVERYTHING),
        ("fetch", {"files": []}, EVERYTHING),
        ("train", {"script": "echo 2"}, {"train.1", "train.2", "report"}),
        ("train", {"each": {"lr": [0.1, 0.3]}}, {"train.2", "report"}),
        ("train", {"lang": "sh"}, {"train.1", "train.2", "report"}),
        ("report", {"needs": ["fetch"]}, {"report"}),
        ("report", {"when": "ended"}, {"report"}),
        ("report", {"inputs": {"m": "train/m"}}, {"report"}),
    ],
)
def test_what_makes_another_result_makes_another_identity_there_and_below(
    worker: str, fields: dict[str, Any], expected: set[str]
) -> None:
    assert others(changed(worker, **fields)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "fetches"}, {"tags": ["x"]}, {"timeout": "2h"}, {"grace": 3}, {"retries": 2},
        {"resources": {"cpus": 2}}, {"merge_logs": True}, {"log_limit": "1M"}, {"retry_lost": True},
    ],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_what_makes_no_other_result_is_no_part(fields: dict[str, Any]) -> None:
    assert others(changed("fetch", **fields)) == set()


def test_of_the_workflow_only_what_its_workers_are_given_is_part() -> None:
    for name, value in (("description", "x"), ("tags", ["t"]), ("max_concurrent_workers", 9), ("on_failure", "continue"),
                        ("overlap", "queue"), ("grace", 1)):  # fmt: skip
        assert others({**BASE, name: value}) == set(), name
    given: list[tuple[str, Any]] = [("env_vars", {"ALL": "y"}), ("python", ".venv"), ("setup", "true")]
    for name, given_value in given:
        assert others({**BASE, name: given_value}) == EVERYTHING, name


def test_a_param_counts_for_who_refers_to_it_and_for_who_may_read_them_all() -> None:
    assert others(BASE, given={"day": 2}) == EVERYTHING
    assert others(BASE, given={"other": 3}) == set()
    reads = changed("report", script="python - <<'E'\nimport json, os; json.loads(os.environ['WATTLE_PARAMS'])\nE")
    before, now = made(reads), made(reads, given={"other": 3})
    assert [name for name in ("fetch", "report") if before.key(name) != now.key(name)] == ["report"]
    speaking = dict.fromkeys(made(BASE).wanted(), "same") | {"/data/fetch.py": "same+params"}
    assert made(BASE, speaking).key("fetch") != made(BASE, speaking, given={"other": 3}).key("fetch")


def test_the_contents_of_every_file_that_is_read_count_where_it_is_read() -> None:
    wanted = made(BASE).wanted()
    assert wanted == {"/data/fetch.py", "/data/lib/util.py", "/data/style.css"}
    for path, expected in (("fetch.py", EVERYTHING), ("lib/util.py", EVERYTHING), ("style.css", {"report"})):
        assert others(BASE, contents={**dict.fromkeys(wanted, "same"), f"/data/{path}": "other"}) == expected, path


def test_a_notebook_and_files_that_each_found_are_read() -> None:
    book = {"workers": {"book": {"notebook": "r.ipynb", "parameters": {"p": 1}},
                        "one": {"each": {"part": {"glob": "in/*.csv"}}, "command": ["cat", "${each.part}"]}}}  # fmt: skip
    found = made(book)
    assert found.wanted() == {"/data/r.ipynb", "/data/in/a.csv", "/data/in/b.csv"}
    changed_one = made(book, dict.fromkeys(found.wanted(), "same") | {"/data/in/b.csv": "other"})
    assert [found.keys[i] == changed_one.keys[i] for i in range(3)] == [True, True, False]


def test_modules_that_a_cell_or_a_python_script_imports_may_lie_beside_it() -> None:
    source = "import os\nimport model as m, tools.fit\nfrom base import *\nfrom . import x\nimportant = 1\n"
    found = made({"workers": {"c": {"cell": source}, "p": {"script": source, "lang": "python"}, "b": {"script": source}}})
    expected = {f"/data/{name}" for module in ("model", "tools", "base") for name in (f"{module}.py", f"{module}/**/*.py")}
    assert set(found.files(found.instances[0]).values()) == expected
    assert set(found.files(found.instances[1]).values()) == expected
    assert found.files(found.instances[2]) == {}, "that one is for bash"


def test_of_a_pushed_variable_what_it_holds_counts_and_not_where_it_lies() -> None:
    def pushed(path: str, holds: str) -> Identities:
        cell = {"cell": "n = len(table)", "inputs": {"table": {"object": path}}, "outputs": {"n": {"type": "value"}}}
        return made({"workers": {"a": cell}}, {path: holds})

    before = pushed("/tmp/one.parquet", "x")
    assert pushed("/tmp/two.parquet", "x").keys == before.keys
    now = pushed("/tmp/two.parquet", "y")
    assert now.keys != before.keys
    assert difference(before.facets(0), now.facets(0)) == "pushed table changed"


def test_a_file_that_was_not_looked_at_leaves_its_reader_and_all_below_without_identity() -> None:
    found = made(BASE, {"/data/fetch.py": "x", "/data/lib/util.py": "y"})
    assert found.key("fetch")
    assert found.key("train.1")
    assert found.key("report") == ""
    assert made(BASE, {}).keys == [""] * 4
    assert found.key("nobody") == ""


def test_a_taken_over_result_brings_the_identity_that_it_was_made_with() -> None:
    before = made(BASE)
    now = made(BASE, dict.fromkeys(before.wanted(), "other"), {"fetch": before.key("fetch")})
    assert now.key("fetch") == before.key("fetch")
    assert now.key("train.1") == before.key("train.1")
    assert made(BASE, taken={"fetch": ""}).key("train.1") == "", "the run that made it is gone"


def test_workers_joined_by_streams_have_their_identities_together() -> None:
    loop: dict[str, Any] = {"workers": {
        "engine": {"command": "engine", "outputs": {"state": {"type": "stream"}}, "inputs": {"a": "pilot/act"}},
        "pilot": {"command": "pilot", "outputs": {"act": {"type": "stream"}}, "inputs": {"s": "engine/state"}},
    }}  # fmt: skip
    before = made(loop)
    assert all(before.keys)
    assert before.key("engine") != before.key("pilot")
    loop["workers"]["pilot"]["args"] = ["--fast"]
    assert made(loop).key("engine") != before.key("engine")


def test_a_difference_is_told_in_the_words_of_the_document() -> None:
    before = made(BASE)

    def told(name: str, document: Mapping[str, Any] = BASE, **how: Any) -> str:
        now = made(document, **how)
        return difference(before.facets(before.by_name[name]), now.facets(now.by_name[name]))

    assert told("fetch") == ""
    assert told("fetch", given={"day": 2}) == "param day changed"
    assert told("train.1", given={"day": 2}) == "upstream fetch changed"
    assert told("train.1", changed("train", script="x")) == "source changed"
    assert told("train.2", changed("train", each={"lr": [0.1, 0.3]})) == "each lr changed"
    assert told("fetch", changed("fetch", env_vars={"TOKEN": "y"})) == "variable TOKEN changed"
    assert told("fetch", changed("fetch", env_vars=None)) == "variable TOKEN is gone"
    assert told("fetch", changed("fetch", env_vars={"TOKEN": "${env.TOKEN}", "X": "1"})) == "variable X is new"
    contents = dict.fromkeys(before.wanted(), "same")
    for path, name, words in (("fetch.py", "fetch", "fetch.py changed"), ("lib/util.py", "fetch", "file lib/util.py changed"),
                              ("style.css", "report", "input file style.css changed")):  # fmt: skip
        assert told(name, contents={**contents, f"/data/{path}": "other"}) == words


def test_the_page_about_it_names_every_field() -> None:
    page = (ROOT / "docs" / "stale.md").read_text()
    missing = [name for name in Worker.__struct_fields__ if f"`{name}" not in page and f"{name}`" not in page]
    assert missing == []
