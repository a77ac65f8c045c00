"""What a document may get wrong: every problem at once, each with its place, what was found, and what to write."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from wattle.core import wiring
from wattle.core.document import parse, parse_document
from wattle.core.errors import DocumentError, Problem


def problems(text: str | bytes, form: Any = "yaml", base_dir: str = "/base") -> list[Problem]:
    with pytest.raises(DocumentError) as caught:
        parse(text, form, base_dir=base_dir)
    assert caught.value.problems
    assert caught.value.message
    return caught.value.problems


def of_value(document: Any) -> list[Problem]:
    with pytest.raises(DocumentError) as caught:
        parse_document(document, base_dir="/base")
    return caught.value.problems


def told(found: list[Problem]) -> list[str]:
    return [f"{one.line}:{one.column} {one.path}: {one.message} ({one.hint})" for one in found]


def one_worker(**fields: Any) -> dict[str, Any]:
    return {"name": "w", "params": {"p": [1, 2], "n": 3, "none": None}, "workers": {"k": {"command": "x", **fields}}}


OPERATOR = "the command holds the shell operator |, and no shell runs it (write script: cat x | wc)"
DURATION = "(a duration is seconds (90) or like 90s 10m 2h 1d 1h30m)"


def test_every_problem_is_told_at_once_in_the_order_of_the_text() -> None:
    text = """\
name: "a/b"
modee: x
workers:
  fetch: {command: "cat x | wc", retry: 3, outputs: {raw: raw.csv}}
  clean:
    command: clean ${inputs.raww} ${params.q} ${outputs.x}
    inputs: {raw: fetch/rwa, other: ftch/raw}
    timeout: -3
  last: {command: x, needs: [clean, last]}
"""
    assert told(problems(text)) == [
        "1:7 name: the name 'a/b' holds '/' (a name holds letters, digits, '_', '.' and '-'; write 'a-b')",
        "2:1 modee: unknown key 'modee' (did you mean 'mode'?)",
        "4:20 workers.fetch.command: " + OPERATOR,
        "4:34 workers.fetch.retry: unknown key 'retry' (write retries)",
        "6:14 workers.clean.command: ${inputs.raww}: 'clean' has no input 'raww' (did you mean 'raw'?)",
        "6:14 workers.clean.command: ${params.q}: the workflow has no parameter 'q' (write params: {q: …} at the top)",
        "6:14 workers.clean.command: ${outputs.x}: 'clean' has no output 'x' (there are no outputs)",
        "7:19 workers.clean.inputs.raw: 'fetch' has no output 'rwa' (did you mean 'raw'?)",
        "7:37 workers.clean.inputs.other: no worker is called 'ftch' (did you mean 'fetch'?)",
        "8:14 workers.clean.timeout: the number -3 is negative " + DURATION,
        "9:37 workers.last.needs[1]: 'last' depends on itself (name another worker)",
    ]


JSON = """{
  "name": "w", "nmae": 1,
  "workers": [
    {"name": "a", "command": "x", "args": ["1", null]},
    {"name": "b", "comand": "x"}
  ]
}"""
TOML = """\
name = "w"
nmae = 1
[[workers]]
name = "a"
command = "x"
args = ["1", [
  2]]
[[workers]]
name = "b"
comand = "x"
env_vars.A = { b = 1 }
"""


def test_places_are_those_of_the_text_in_json() -> None:
    places = [(one.line, one.column, one.path) for one in problems(JSON, "json")]
    assert places == [
        (2, 16, "nmae"),
        (4, 49, "workers[0].args[1]"),
        (5, 5, "workers[1]"),
        (5, 19, "workers[1].comand"),
    ]


def test_places_are_those_of_the_text_in_toml() -> None:
    places = [(one.line, one.column, one.path) for one in problems(TOML, "toml")]
    assert places == [
        (2, 1, "nmae"), (6, 14, "workers[0].args[1]"), (8, 1, "workers[1]"), (10, 1, "workers[1].comand"),
        (11, 14, "workers[1].env_vars.A"),
    ]  # fmt: skip


def test_a_plain_value_has_paths_and_no_lines() -> None:
    found = of_value(json.loads(JSON))
    assert {(one.line, one.column) for one in found} == {(0, 0)}
    assert [one.path for one in found] == ["nmae", "workers[0].args[1]", "workers[1].comand", "workers[1]"]


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"command": ""}, "command", "is empty"),
        ({"command": "  \n "}, "command", "is empty"),
        ({"command": []}, "command", "is empty"),
        ({"command": ["", "x"]}, "command[0]", "program is empty"),
        ({"command": "''"}, "command", "is empty"),
        ({"command": 3}, "command", "found the number 3"),
        ({"command": 'say "hi'}, "command", 'a " that is not closed'),
        ({"command": "a\nb"}, "command", "more than one line.*write script: | and below it the 2 lines"),
        ({"command": "a && b"}, "command", r"operator &&.*write script: a && b"),
        ({"command": "x\0y"}, "command", "NUL"),
        ({"command": "x" * (129 << 10)}, "command", "132,096 bytes"),
        ({"command": None}, "", "nothing to run"),
        ({"script": "x"}, "script", "a command and a script"),
        ({"command": None, "script": " "}, "script", "is empty"),
        ({"command": None, "script": "#!/bin/sh", "lang": "sh"}, "lang", "#! line and a lang"),
        ({"command": None, "script": "x", "lang": "pyton"}, "lang", "did you mean 'python'"),
        ({"lang": "python"}, "lang", "belongs to a script"),
        ({"kernel": "x"}, "kernel", "belongs to a notebook"),
        ({"command": None, "cell": " \n"}, "cell", "the cell is empty"),
        ({"cell": "x"}, "cell", "a command and a cell"),
        ({"command": None, "cell": "x", "lang": "python"}, "lang", "belongs to a script, and this worker has a cell"),
        ({"command": None, "cell": "x", "kernel": "python3"}, "kernel", "belongs to a notebook"),
        ({"command": None, "cell": "x", "inputs": {"class": {"file": "x"}}}, "inputs.class", "a word of Python"),
        ({"command": None, "cell": "x", "outputs": {"in": {"type": "object"}}}, "outputs.in", "a word of Python"),
        ({"command": None, "cell": "x", "inputs": {"__name__": {"file": "x"}}}, "inputs.__name__", "for itself"),
        ({"command": None, "cell": "x", "each": {"raw": [1]}, "inputs": {"raw": {"file": "x"}}}, "each",
         "the name in each and the input 'raw' would be one variable"),
        ({"command": None, "cell": "x", "inputs": {"a": {"file": "x"}}, "outputs": ["a.csv"]}, "outputs.a",
         "the output and the input 'a' would be one variable"),
        ({"command": None, "notebook": "a.ipynb", "outputs": {"notebook": {"type": "value"}}}, "outputs.notebook",
         "the executed copy, which is a file"),
        ({"command": None, "notebook": "a.ipynb", "parameters": {"def": 1}}, "parameters.def", "a word of Python"),
        ({"command": None, "notebook": "a.py"}, "notebook", "ends in .ipynb"),
        ({"command": None, "notebook": "a.ipynb", "args": ["x"]}, "args", "takes no arguments"),
        ({"args": "--x 1"}, "args", r"write a list: \['--x', '1'\]"),
        ({"args": ["x"] * 1025}, "args", "1,025 arguments"),
        ({"args": [{}]}, "args[0]", "found a mapping"),
        ({"args": [2**70]}, "args[0]", "too large"),
        ({"args": ["\ud800"]}, "args[0]", "surrogate"),
        ({"env_vars": {"A=B": "x"}}, "env_vars.A=B", "cannot be the name of a variable"),
        ({"env_vars": {"": "x"}}, "env_vars.", "cannot be the name of a variable"),
        ({"env_vars": {"A\0": "x"}}, "env_vars", "cannot be the name of a variable"),
        ({"env_vars": {"A": "x\0"}}, "env_vars.A", "NUL"),
        ({"env_vars": {"A": None}}, "env_vars.A", "no value"),
        ({"env_vars": {"A": [1]}}, "env_vars.A", "found a list"),
        ({"env_vars": {3: "x"}}, "env_vars", "the number 3 cannot be the name"),
        ({"env_vars": {str(number): "x" for number in range(257)}}, "env_vars", "257 variables"),
        ({"env_vars": ["A=b"]}, "env_vars", "found a list"),
        ({"description": "x" * 70_000}, "description", "70,000 bytes; at most 65,536"),
        ({"inputs": {"a-b": {"file": "x"}}}, "inputs.a-b", "write 'a_b'"),
        ({"inputs": {"a": {"file": "x"}, "A": {"file": "y"}}}, "inputs.A", "differs from 'a' only in case"),
        ({"inputs": {"a": "data/raw.csv"}}, "inputs.a", r"no worker is called 'data' \(a file .* \{file: data/raw.csv"),
        ({"inputs": {"a": "raw"}}, "inputs.a", "not of the form worker/output.*name the output too: raw/output"),
        ({"inputs": {"a": "x/y/z"}}, "inputs.a", "a file from outside"),
        ({"inputs": {"a": []}}, "inputs.a", "empty"),
        ({"inputs": {"a": 3}}, "inputs.a", "'worker/output'"),
        ({"inputs": {"a": [3]}}, "inputs.a[0]", "'worker/output'"),
        ({"inputs": {"a": {}}}, "inputs.a", "does not name a file"),
        ({"inputs": {"a": {"file": "x", "rows": 1}}}, "inputs.a.rows", "unknown key"),
        ({"inputs": {"a": {"file": "~/x"}}}, "inputs.a.file", "~ is not expanded"),
        ({"inputs": {"a": {"object": "x.csv"}}}, "inputs.a.object", r"ends in none of \.parquet.*\(write \{file"),
        ({"inputs": {"a": {"object": "x.npy", "file": "x"}}}, "inputs.a", "a file and an object"),
        ({"inputs": {"a": {"objekt": "x.npy"}}}, "inputs.a.objekt", "did you mean 'object'"),
        ({"inputs": {"a": "k/x"}}, "inputs.a", "depends on itself"),
        ({"outputs": ["a/b.csv"]}, "outputs[0]", "Wattle picks the folder"),
        ({"outputs": ["a-b.csv"]}, "outputs.a-b", "write 'a_b'"),
        ({"outputs": ["a.csv", "A.txt"]}, "outputs[1]", "two outputs"),
        ({"outputs": [1]}, "outputs[0]", "found the number 1"),
        ({"outputs": "x"}, "outputs", "found the text 'x'"),
        ({"outputs": {"a": 1}}, "outputs.a", "an output is a path"),
        ({"outputs": {"a": ""}}, "outputs.a", "an empty text"),
        ({"outputs": {"a": {"type": "fiel"}}}, "outputs.a.type", "did you mean 'file'"),
        ({"outputs": {"a": {"typ": "file"}}}, "outputs.a.typ", "did you mean 'type'"),
        ({"outputs": {"a": {"type": "value", "name": "x"}}}, "outputs.a", "has no name or path"),
        ({"outputs": {"a": {"path": "x", "name": "x"}}}, "outputs.a", "not both"),
        ({"outputs": {"a": "x/../y", "b": "./y"}}, "outputs.b", "also written by k/a"),
        ({"each": []}, "each", "nothing to run"),
        ({"each": {}}, "each", "nothing to run"),
        ({"each": {"a": []}}, "each.a", "nothing to run"),
        ({"each": {"a": "x"}}, "each.a", r"write \[value\]"),
        ({"each": {"a": 3}}, "each.a", r"write \[value\]"),
        ({"each": {"a-b": [1]}}, "each.a-b", "not an identifier"),
        ({"each": [1, 2]}, "each[0]", "a row of each is the number 1"),
        ({"each": [{"a": 1}, {"b": 1}]}, "each[1]", "'a' is in one row and not in the other"),
        ({"each": 3}, "each", "each is the number 3"),
        ({"each": "k"}, "each", "leads back"),
        ({"each": "other"}, "each", "no worker is called 'other'"),
        ({"each": "x ${params.p}"}, "each", "neither one"),
        ({"each": "${params.n}"}, "each", "each needs a list"),
        ({"each": "${params.p}"}, "each", "not a list of mappings"),
        ({"each": {"a": "${params.q}"}}, "each.a", r"no parameter 'q' \(did you mean|parameters: n, none, p"),
        ({"each": {"a": [1] * 100_001}}, "each", "100,001 instances; a run has at most 10,000"),
        ({"each": {"a": [1] * 101, "b": [1] * 101}}, "each", "10,201 instances"),
        ({"each": [{"a": 1}] * 10_001}, "each", "10,001 instances"),
        ({"each": {"a": [float("nan")]}}, "each.a[0]", "beyond what JSON"),
        ({"each": {"a": [1, 2]}, "outputs": {"o": "x.csv"}}, "outputs.o", r"would write the same path.*\$\{each.a\}"),
        ({"each": {"a": [1, 2], "b": [1, 2]}, "outputs": {"o": "${each.a}"}}, "outputs.o", r"\$\{each.b\}"),
        ({"retries": -1}, "retries", "from 0 on"),
        ({"retries": True}, "retries", "found true"),
        ({"retries": {"max": 1, "dealy": 2}}, "retries.dealy", "did you mean 'delay'"),
        ({"retries": {"delay": 2}}, "retries", "how often"),
        ({"retries": {"max": 1, "backoff": 0.5}}, "retries.backoff", "from 1 on"),
        ({"timeout": "2 hours"}, "timeout", "like 90s 10m 2h"),
        ({"timeout": 0}, "timeout", "at once"),
        ({"timeout": float("nan")}, "timeout", "not a finite duration"),
        ({"grace": -1}, "grace", "negative"),
        ({"log_limit": "12X"}, "log_limit", "512M"),
        ({"log_limit": 0}, "log_limit", "room for nothing"),
        ({"resources": {"cpus": 0}}, "resources.cpus", "above 0"),
        ({"resources": {"memory": -1}}, "resources.memory", "negative"),
        ({"resources": {"cpu": 1}}, "resources.cpu", "did you mean 'cpus'"),
        ({"resources": 3}, "resources", "mapping"),
        ({"max_concurrent": 0}, "max_concurrent", "from 1 on"),
        ({"when": "always"}, "when", "completed, ended, failed"),
        ({"service": "yes"}, "service", "true or false"),
        ({"needs": ["x", None]}, "needs[1]", "null"),
        ({"needs": "kk"}, "needs[0]", "did you mean 'k'"),
        ({"needs": 3}, "needs", "list of texts"),
        ({"python": "conda:"}, "python", "names no environment"),
        ({"workflow_name": "other"}, "workflow_name", "belongs to 'other'"),
        ({"depends_on": ["x"]}, "depends_on", "write needs"),
        ({"env": {}}, "env", "write env_vars"),
        ({"parameters": {"x": object()}}, "parameters.x", "found a object"),
        ({"args": ["${run.name}"]}, "args[0]", "run.number"),
        ({"args": ["${each.x}"]}, "args[0]", "has no each"),
        ({"args": ["${env.}"]}, "args[0]", "names no variable"),
        ({"working_dir": "${inputs.x}"}, "working_dir", "cannot be filled in here"),
        ({"each": {"a": ["${inputs.x}"]}}, "each.a[0]", "cannot be filled in here"),
    ],
)
def test_a_worker_that_is_wrong_is_told_where_and_what(fields: dict[str, Any], path: str, words: str) -> None:
    found = of_value(one_worker(**fields))
    here = f"workers.k.{path}".rstrip(".")
    near = [f"{one.message} ({one.hint})" for one in found if one.path == here or one.path.startswith(here)]
    assert any(re.search(words, text) for text in near), told(found)


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"name": None}, "name", "has no name"),
        ({"name": ""}, "name", "empty"),
        ({"name": 3}, "name", "expected a text"),
        ({"workers": None}, "workers", "no workers"),
        ({"workers": {}}, "workers", "no workers"),
        ({"workers": []}, "workers", "no workers"),
        ({"workers": 3}, "workers", "found the number 3"),
        ({"workers": [{"command": "x"}]}, "workers[0]", "has no name"),
        ({"workers": [3]}, "workers[0]", "found the number 3"),
        ({"workers": {"a": "echo hi"}}, "workers.a", r"\{command: echo hi\}"),
        ({"workers": {3: {}}}, "workers", "the name of a worker is the number 3"),
        ({"workers": {"a": {"command": "x", "name": "b"}}}, "workers.a.name", "is not the key 'a'"),
        ({"mode": "serial"}, "mode", "dependency, sequential, parallel"),
        ({"on_failure": "contine"}, "on_failure", "did you mean 'continue'"),
        ({"overlap": 1}, "overlap", "refuse, queue, allow"),
        ({"max_concurrent_workers": 0}, "max_concurrent_workers", "from 1 on"),
        ({"max_concurrent_workers": 2**63}, "max_concurrent_workers", "from 1 on"),
        ({"params": [1]}, "params", "names and values"),
        ({"params": {"a b": 1}}, "params.", "not an identifier"),
        ({"params": {"a": {1: 2}}}, "params.a", "a key is the number 1"),
        ({"params": {"a": 2**64}}, "params.a", "beyond what JSON"),
        ({"params": {"a": {1, 2}}}, "params.a", "found a set"),
        ({"env_vars": {"A": "${inputs.x}"}}, "env_vars.A", "cannot be filled in here"),
        ({"env_vars": {"A": "${params.x}"}}, "env_vars.A", "no parameter 'x'"),
        ({"working_dir": "~/x"}, "working_dir", "~ is not expanded"),
        ({"working_dir": "${env.HOME}"}, "working_dir", "cannot be filled in"),
    ],
)
def test_a_workflow_that_is_wrong_is_told_where_and_what(fields: dict[str, Any], path: str, words: str) -> None:
    found = of_value({"name": "w", "workers": {"a": {"command": "x"}}, **fields})
    near = [f"{one.message} ({one.hint})" for one in found if one.path.startswith(path)]
    assert any(re.search(words, text) for text in near), told(found)


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".a", "a\x07", "a\0", "x" * 300, "-a", "a.", "con", "NUL.txt", "a b", "e\u0301"]
)
def test_bad_names_are_refused_wherever_they_stand(name: str) -> None:
    worker = {"command": "x"}
    assert of_value({"name": name, "workers": {"a": worker}})[0].path == "name"
    assert of_value({"name": "w", "workers": {name: worker}})[0].path.startswith("workers")
    assert of_value({"name": "w", "workers": [{"name": name, **worker}]})[0].path == "workers[0].name"
    with pytest.raises(DocumentError):
        parse_document({"name": "w", "workers": {"a": worker}}, base_dir="/", name=name)


def test_a_working_directory_must_be_known() -> None:
    with pytest.raises(DocumentError, match="counts from nowhere"):
        parse("name: w\nworkers: {a: {command: x}}", "yaml", base_dir="relative")


def test_duplicate_workers_are_told_with_where_the_other_stands() -> None:
    found = of_value({"name": "w", "workers": [{"name": name, "command": "x"} for name in ("a", "b", "a", "B")]})
    assert [(one.path, one.message) for one in found] == [
        ("workers[2].name", "the name 'a' is the name of workers[0] too"),
        ("workers[3].name", "the name 'B' differs only in case from 'b' of workers[1] too"),
    ]


def test_two_workers_that_write_one_path_are_refused() -> None:
    workers = {
        "a": {"command": "x", "outputs": {"o": "out/x.csv"}},
        "b": {"command": "x", "working_dir": "out", "outputs": {"o": "x.csv"}},
        "c": {"command": "x", "outputs": {"o": "/base/out/x.csv"}},
    }
    assert [one.path for one in of_value({"name": "w", "workers": workers})] == [
        "workers.b.outputs.o",
        "workers.c.outputs.o",
    ]


def test_an_instance_name_belongs_to_its_group() -> None:
    workers = {"train": {"command": "x", "each": {"a": [1]}}, "Train.7": {"command": "x"}, "train.x": {"command": "x"}}
    (found,) = of_value({"name": "w", "workers": workers})
    assert "instance of the group 'train'" in found.message


def test_an_edge_comes_from_a_group_and_not_from_an_instance() -> None:
    workers = {"a": {"command": "x", "each": {"v": [1]}, "outputs": ["o"]}, "b": {"command": "x", "needs": ["a.1"]}}
    (found,) = of_value({"name": "w", "workers": workers})
    assert "write 'a'" in found.hint


def test_too_many_instances_and_workers_are_refused_with_their_number() -> None:
    groups = {f"g{number}": {"command": "x", "each": {"a": list(range(2_000))}} for number in range(6)}
    assert "12,000 instances" in of_value({"name": "w", "workers": groups})[0].message
    many = {f"w{number}": {"command": "x"} for number in range(10_001)}
    (found,) = of_value({"name": "w", "workers": many})
    assert "10,001 workers" in found.message


def test_what_follows_from_a_mistake_is_not_told_again() -> None:
    workers = {
        "a": {"command": "x", "outputs": {"o": 3}},
        "b": {"command": "x ${inputs.i}", "inputs": {"i": "a/o"}},
        "c": {"command": "x ${each.e} ${outputs.o}", "each": 3, "outputs": 3},
    }
    assert len(of_value({"name": "w", "workers": workers})) == 3


def cycle(size: int) -> dict[str, Any]:
    workers = {f"w{number}": {"command": "x", "needs": [f"w{(number or size) - 1}"]} for number in range(size)}
    return {"name": "w", "workers": workers}


def test_a_cycle_of_two_is_shown_as_a_path() -> None:
    (found,) = of_value(cycle(2))
    assert found.message == "the workers wait for one another: w0 -> w1 -> w0"
    assert found.path == "workers.w0.needs"


def test_a_cycle_of_five_hundred_is_shown_without_its_middle() -> None:
    (found,) = of_value(cycle(500))
    assert found.message.endswith("w0 -> w1 -> w2 -> w3 -> w4 -> … 492 more … -> w497 -> w498 -> w499 -> w0")


def test_every_cycle_is_shown_at_the_edge_that_closes_it() -> None:
    text = """\
name: w
workers:
  a: {command: x, inputs: {i: b/o}, outputs: [o]}
  b: {command: x, inputs: {i: a/o}, outputs: [o]}
  c: {command: x, needs: [d]}
  d: {command: x, needs: [c]}
"""
    assert told(problems(text)) == [
        "3:31 workers.a.inputs.i: the workers wait for one another: a -> b -> a (remove one of these edges)",
        "5:26 workers.c.needs: the workers wait for one another: c -> d -> c (remove one of these edges)",
    ]


def live(**workers: dict[str, Any]) -> dict[str, Any]:
    engine = {"command": "x", "inputs": {"i": "plan/o"}, "outputs": {"o": {"type": "stream"}, "file": "f"}}
    plan = {"command": "x", "inputs": {"i": "engine/o"}, "outputs": {"o": {"type": "stream"}}}
    return {"name": "w", "workers": {"engine": engine, "plan": plan, **workers}}


def test_workers_joined_by_streams_may_form_loops() -> None:
    assert parse_document(live(), base_dir="/").workflow.workers[0].name == "engine"


def test_a_gang_cannot_be_retried_put_in_a_row_or_be_larger_than_the_limit() -> None:
    document = live()
    document |= {"mode": "sequential", "max_concurrent_workers": 1}
    document["workers"]["plan"]["retries"] = 2
    assert {one.path for one in of_value(document)} == {"mode", "max_concurrent_workers", "workers.plan.retries"}


def test_a_group_in_a_gang_starts_as_a_whole() -> None:
    watch = {"command": "x", "each": {"a": [1, 2, 3]}, "max_concurrent": 2, "inputs": {"i": "engine/o"}}
    assert [one.path for one in of_value(live(watch=watch))] == ["workers.watch.max_concurrent"]
    watch.pop("max_concurrent")
    (found,) = of_value({**live(watch=watch), "max_concurrent_workers": 4})
    assert "takes 5 at once" in found.message


def test_a_cycle_through_a_gang_is_none_of_streams() -> None:
    document = live(mid={"command": "x", "inputs": {"i": "engine/file"}, "outputs": {"o": "g"}})
    document["workers"]["plan"]["needs"] = ["mid"]
    (found,) = of_value(document)
    assert found.message.endswith("(engine + plan) -> mid -> (engine + plan)")


def test_a_member_of_a_gang_cannot_wait_for_another() -> None:
    document = live()
    document["workers"]["plan"]["needs"] = ["engine"]
    assert "start together" in of_value(document)[0].message


def test_mode_parallel_refuses_what_would_have_to_wait() -> None:
    workers = {"a": {"command": "x", "each": {"v": [1, 2]}, "max_concurrent": 1}, "b": {"command": "x", "needs": ["a"]}}
    found = of_value({"name": "w", "mode": "parallel", "max_concurrent_workers": 2, "workers": workers})
    assert [one.path for one in found] == ["max_concurrent_workers", "workers.a.max_concurrent", "workers.b.needs"]


def test_thousands_of_problems_are_counted_and_the_first_are_listed() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document({"name": "w", "workers": {f"w{i}": {"x": 1} for i in range(5_000)}}, base_dir="/")
    assert len(caught.value.problems) == 1_000
    assert "10,000 problems, the first 1,000 are listed" in caught.value.message


def test_thousands_of_misspelt_workers_do_not_take_minutes() -> None:
    workers = {f"worker{i}": {"command": "x", "needs": [f"wrker{i}"]} for i in range(10_000)}
    assert len(of_value({"name": "w", "workers": workers})) == 1_000


def test_a_value_that_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.append(loop)
    (found,) = of_value({"name": "w", "params": {"p": loop}, "workers": {"a": {"command": "x"}}})
    assert "deeper than 32" in found.message


def test_a_value_that_multiplies_itself_is_refused() -> None:
    bomb: Any = 1
    for _ in range(20):
        bomb = [bomb] * 10
    (found,) = of_value({"name": "w", "params": {"p": bomb}, "workers": {"a": {"command": "x"}}})
    assert "more than 1,000,000 values" in found.message


def test_one_problem_is_told_in_the_message_itself() -> None:
    with pytest.raises(DocumentError) as caught:
        parse("name: w\nworkers: {a: {comand: x, command: y}}", "yaml", base_dir="/")
    assert caught.value.message == (
        "The workflow document has a problem: line 2, column 15: workers.a.comand: unknown key 'comand'."
    )
    assert caught.value.hint == "did you mean 'command'?"
    assert caught.value.to_dict()["problems"]


def test_only_a_group_can_be_paired_with() -> None:
    workers = {
        "a": {"command": "x"},
        "b": {"command": "x ${each.v}", "each": "a"},
        "c": {"command": "x ${each.v}", "each": "d"},
        "d": {"command": "x", "each": "c"},
    }
    assert [(one.path, one.message) for one in of_value({"name": "w", "workers": workers})] == [
        ("workers.b.each", "'a' has no each, so there is nothing to pair with"),
        ("workers.c.each", "each leads back to this worker itself"),
        ("workers.d.each", "each leads back to this worker itself"),
    ]


def test_edges_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "EDGES_LIMIT", 3)
    workers = {f"w{number}": {"command": "x", "needs": [f"w{other}" for other in range(number)]} for number in range(4)}
    (found,) = of_value({"name": "w", "workers": workers})
    assert "6 edges; at most 3" in found.message
