"""The lines above a worker cell become its definition, or a sentence."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from wattle.cli import celllines, grammar
from wattle.core.errors import InvalidRequest


def look(expression: str) -> Any:
    return {"n": 3, "rows": [{"a": 1}, {"a": 2}], "names": ["x y", "z"]}[expression]


def defined(line: str, body: str = "x = 1\n") -> dict[str, Any]:
    """The definition of a cell, as both a kernel and a notebook without one read it."""
    parser = grammar.parser_for("worker", grammar.Parser, celllines.VERBS)
    words, keys, source = celllines.options_of(body, look, parser)
    args = grammar.parse(["worker", *shlex.split(line), *words], grammar.Parser, celllines.VERBS)
    return celllines.definition(celllines.worker_name(args.address), args, source, keys)


@pytest.mark.parametrize(("line", "part"), [
    ("f/w --in raw=fetch/raw", {"inputs": {"raw": "fetch/raw"}}),
    ("f/w --in fetch/raw", {"inputs": {"raw": "fetch/raw"}}),
    ("f/w --in all=a/x,b/x", {"inputs": {"all": ["a/x", "b/x"]}}),
    ("f/w --file data=in/raw.csv", {"inputs": {"data": {"file": "in/raw.csv"}}}),
    ("f/w --out x --out fig.png", {"outputs": {"x": {"type": "object"}, "fig": {"type": "file", "name": "fig.png"}}}),
    ("f/w --needs a,b --needs c", {"needs": ["a", "b", "c"]}),
    ("f/w --each lr=0.1,1e-3,auto", {"each": {"lr": [0.1, 0.001, "auto"]}}),
    ("""f/w --each 'lr=[1, "2"]' --each seed=1""", {"each": {"lr": [1, "2"], "seed": [1]}}),
    ("""f/w --each '[{"a": 1, "b": 2}]'""", {"each": [{"a": 1, "b": 2}]}),
    ("f/w --each train", {"each": "train"}),
    ("f/w --env A=b=c --when ended", {"env_vars": {"A": "b=c"}, "when": "ended"}),
    ("f/w --python geo --timeout 10m --retries 2", {"python": "geo", "timeout": "10m", "retries": 2}),
])  # fmt: skip
def test_words_are_keys_of_the_document(line: str, part: dict[str, Any]) -> None:
    assert defined(line) == {"name": "w", "cell": "x = 1\n", **part}


@pytest.mark.parametrize(("body", "part"), [
    ("#| timeout: 10m\n", {"timeout": "10m"}),
    ("#| out: x y.png\n", {"outputs": {"x": {"type": "object"}, "y": {"type": "file", "name": "y.png"}}}),
    ("#| each: n={{ n }} m=1,2\n", {"each": {"n": [3], "m": [1, 2]}}),
    ("#| each: {{ rows }}\n", {"each": [{"a": 1}, {"a": 2}]}),
    ("#| resources: {cpus: {{ n }}}\n", {"resources": {"cpus": 3}}),
    ("#| tags: {{ names }}\n", {"tags": ["x y", "z"]}),
    ("#| inputs: {raw: fetch/raw}\n", {"inputs": {"raw": "fetch/raw"}}),
    ("#| description: 'what it is: text'\n", {"description": "what it is: text"}),
    ("\n#| grace: 5s\n", {"grace": "5s"}),
])  # fmt: skip
def test_lines_of_the_body_are_options_too(body: str, part: dict[str, Any]) -> None:
    found = defined("f/w", body + "x = 1\n")
    assert {key: value for key, value in found.items() if key not in {"name", "cell"}} == part
    assert found["cell"].splitlines()[-1] == "x = 1"
    assert found["cell"].count("\n") == body.count("\n") + 1, "lines stay where they are"


def test_a_script_has_none_of_our_comments_in_it() -> None:
    assert defined("f/w --lang node --out x", "#| timeout: 1m\nconsole.log(1)\n") == {
        "name": "w", "script": "console.log(1)\n", "lang": "node", "timeout": "1m", "outputs": {"x": {"type": "file", "name": "x"}},
    }  # fmt: skip
    assert "lang" not in defined("f/w --lang bash", "#!/usr/bin/env perl\nprint 1\n")


@pytest.mark.parametrize(("line", "body", "said"), [
    ("f", "", "'f' is not the name of a worker in a workflow"),
    ("f@3/w", "", "'f@3/w' is not the name of a worker"),
    ("f/w --in raw", "", "--in raw: an input is NAME=WORKER/OUTPUT"),
    ("f/w --in a=b/c/d", "", "an input is NAME=WORKER/OUTPUT"),
    ("f/w --out a-b", "", "--out a-b: that is not the name of a variable"),
    ("f/w --each lr=1 --each seed", "", "--each seed: it is written NAME=A,B,C"),
    ("f/w --env A", "", "--env A: it is written NAME=VALUE"),
    ("f/w --retries two", "", "'two' is not a number of 0 or more"),
    ("f/w", "#| \n", "is no option"),
    ("f/w", "#| tags: [a\n", "line 1:"),
    ("f/w", "#| description: what it is: text\n", "line 1:"),
])  # fmt: skip
def test_what_makes_no_sense_is_a_sentence(line: str, body: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        defined(line, body + "x = 1\n")
    assert said in caught.value.message


def test_what_a_cell_finds_and_what_it_saves() -> None:
    made = defined("f/w --in raw=a/b --file d=e.csv --each lr=1 --out table --out fig.png")
    assert celllines.variables_of(made) == {"raw", "d", "lr", "fig"}
    assert celllines.saved_by(made) == ["table"]
