"""Text of JSON, YAML and TOML to plain values: what is refused, and where it is said to be."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from wattle.core import yamltext
from wattle.core.document import parse
from wattle.core.errors import DocumentError, Problem
from wattle.core.reading import SIZE_LIMIT, load_toml
from wattle.core.yamltext import plain_scalar

SOUND = "name: w\nworkers: {a: {command: x}}\n"


def refused(text: str | bytes, form: Any) -> list[Problem]:
    with pytest.raises(DocumentError) as caught:
        parse(text, form, base_dir="/base")
    return caught.value.problems


def only(text: str | bytes, form: Any) -> Problem:
    (found,) = refused(text, form)
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("true", True), ("FALSE", False),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("y", "y"), ("nUll", "nUll"), ("tRUE", "tRUE"),
        ("12", 12), ("-12", -12), ("+12", 12), ("012", 12), ("0o17", 15), ("0x1F", 31), ("0b11", "0b11"),
        ("1_000", "1_000"), ("12:30", "12:30"), ("190:20:30", "190:20:30"), ("2026-11-24", "2026-11-24"),
        ("1e-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("-.inf", float("-inf")), ("+.INF", float("inf")),
        (".", "."), ("-", "-"), ("..", ".."), ("1.2.3", "1.2.3"), ("0o8", "0o8"), ("\u0663", "\u0663"), ("=", "="),
        ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_of_yaml_are_what_they_look_like(text: str, value: Any) -> None:
    found = plain_scalar(text)
    assert (type(found), found) == (type(value), value)


def test_keys_of_yaml_are_texts() -> None:
    reading = yamltext.load("{1: a, no: b, null: c, 2026-11-24: d, 1.0: e}")
    assert list(reading.value) == ["1", "no", "null", "2026-11-24", "1.0"]


def test_quoted_and_block_scalars_are_texts() -> None:
    text = "a: |\n  12\nb: >-\n  a\n  b\nc: '1'\nd: \"no\""
    assert yamltext.load(text).value == {"a": "12\n", "b": "a b", "c": "1", "d": "no"}


def test_a_byte_order_mark_is_no_problem() -> None:
    for text in (SOUND, json.dumps({"name": "w", "workers": {"a": {"command": "x"}}})):
        assert parse(b"\xef\xbb\xbf" + text.encode(), "yaml", base_dir="/").workflow.name == "w"


def test_line_ends_of_windows_are_no_problem() -> None:
    text = 'name = "w"\r\n[workers.a]\r\ncommand = "x"\r\n'
    assert parse(text, "toml", base_dir="/").workflow.name == "w"
    assert parse(SOUND.replace("\n", "\r\n"), "yaml", base_dir="/").workflow.workers[0].command == "x"


@pytest.mark.parametrize("form", ["json", "yaml", "toml"])
def test_text_that_is_not_utf8_is_refused_with_its_offset(form: str) -> None:
    found = only(b"name: w\nd: \xff", form)
    assert "0xff at offset 11" in found.message
    assert (found.line, found.column) == (2, 4)


@pytest.mark.parametrize("form", ["json", "yaml", "toml"])
def test_a_nul_an_empty_text_and_ten_megabytes_are_refused(form: str) -> None:
    found = only("a: 1\nb: \0", form)
    assert ("NUL" in found.message, found.line, found.column) == (True, 2, 4)
    assert "empty" in only(" \n", form).message
    assert "10,485,760 bytes; at most 8,388,608" in only("x" * (10 << 20), form).message
    assert "bytes; at most" in only("\u20ac" * (SIZE_LIMIT // 3 + 1), form).message


@pytest.mark.parametrize("form", ["json", "yaml", "toml"])
def test_a_document_that_is_no_mapping_is_refused(form: str) -> None:
    if form != "toml":
        assert "a workflow is a mapping" in only("[1]", form).message
        assert "a workflow is a mapping" in only('"x"', form).message


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('{"name": "w",\n "workers": [}', 2, 14, "at"),
        ('{"name": "w",}', 1, 14, "remove the comma"),
        ('{"a": [1, 2,]}', 1, 13, "remove the comma"),
        ("{'name': 1}", 1, 2, "double quotes"),
        ('{"a": 1 // x\n}', 1, 9, "no comments"),
        ('{"a": 1} {', 1, 10, "one file holds one workflow"),
        ('{"a": "x\ny"}', 1, 9, "control character"),
        ('{"a": 1', 1, 8, "at the end of the text"),
        ('{"a": 1, "a": 2}', 1, 10, "the key 'a' stands here twice"),
        ('{"a": NaN}', 1, 7, "NaN is not a number"),
        ('{"a": [1, -Infinity]}', 1, 11, "-Infinity is not a number"),
        ('{"a": 1' + "0" * 5_000 + "}", 1, 7, "a number of thousands of digits"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 1, 38, "deeper than 32"),
    ],
)
def test_malformed_json_is_shown_with_its_place(text: str, line: int, column: int, words: str) -> None:
    found = [one for one in refused(text, "json") if words in f"{one.message} {one.hint}"]
    assert [(one.line, one.column) for one in found] == [(line, column)]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: b: c\n", 1, 5, "in the line 'a: b: c'"),
        ("a: 1\n\tb: 2\n", 2, 1, "replace the tab"),
        ("a:\n\t- 1\n", 2, 1, "replace the tab"),
        ("a: [1, 2\n", 2, 1, "not YAML"),
        ("a: 'x\n", 2, 1, "not YAML"),
        ("a: @x\n", 1, 4, "in quotes"),
        ("a: *b\n", 1, 4, "the alias *b has no anchor before it"),
        ("a: &x [*x]\n", 1, 8, "inside its own anchor"),
        ("? [a]\n: b\n", 1, 3, "a key is a list or mapping"),
        ("a: &x b\n*x : c\n", 2, 1, "a key is an alias"),
        ("a: 1\na: 2\n", 2, 1, "the key 'a' stands here twice"),
        ("a: !!python/object:os.system x\n", 1, 4, "the tag '!!python/object:os.system' is not allowed"),
        ("a: !x [1]\n", 1, 4, "the tag '!x' is not allowed"),
        ("a: !!str 1\n", 1, 4, "the tag '!!str' is not allowed"),
        ("a: 1\n---\nb: 1\n", 2, 1, "a second document begins here"),
        ("a: " + "1" * 5_000, 1, 4, "a number of 5,000 digits"),
        ("a: b\x07", 1, 5, "the character '\\x07'"),
        ("a: " + "[" * 10_000, 1, 35, "deeper than 32"),
        ("a: " + "{a: " * 10_000, 1, 128, "deeper than 32"),
        ("%YAML 3.0\n---\na: 1\n", 1, 1, "not YAML"),
    ],
)
def test_malformed_yaml_is_shown_with_its_place(text: str, line: int, column: int, words: str) -> None:
    found = [one for one in refused(text, "yaml") if words in f"{one.message} {one.hint}"]
    assert [(one.line, one.column) for one in found] == [(line, column)]


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    found = only("\n".join(lines), "yaml")
    assert "aliases stand for more than 1,000,000 values" in found.message
    assert found.line == 7


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("name = w\n", 1, 8, "put a text in quotes"),
        ('a = 1\nb = "x\n', 2, 7, "not TOML"),
        ("a = 1\na = 2\n", 2, 6, "stands here twice"),
        ("[a]\n[a]\n", 2, 3, "stands here twice"),
        ("a = [1, 2\n", 1, 10, "not TOML"),
        ("a = \n", 1, 5, "in the line 'a ='"),
        ("x" + ".x" * 2_000_000 + " = 1", 1, 1, "deeper than 32"),
        ("b = '.'\nx = { 'c.d' = 1, " + '"a" . ' * 1_000_000 + "a = 1 }", 2, 18, "deeper than 32"),
        ("a = " + "[" * 100_000 + "]" * 100_000, 1, 37, "deeper than 32"),
        ("a = 1" + "0" * 5_000, 0, 0, "not TOML"),
    ],
)
def test_malformed_toml_is_shown_with_its_place(text: str, line: int, column: int, words: str) -> None:
    found = [one for one in refused(text, "toml") if words in f"{one.message} {one.hint}"]
    assert [(one.line, one.column) for one in found] == [(line, column)]


def test_a_value_of_toml_may_hold_many_dots() -> None:
    dots = "x" + ".x" * 100
    assert load_toml(f"a = '{dots}' # {dots}\n").value == {"a": dots}


PLACES = {
    "json": '{"name": "w",\n "workers": [{"name": "a", "command": "x",\n  "env_vars": {"k\\u0041": [1]}}]}',
    "yaml": "name: w\nworkers:\n- name: a\n  command: x\n  env_vars:\n    kA: [1]\n",
    "toml": 'name = "w"\n[[workers]] # first\nname = "a"\ncommand = """\nx"""\n[workers.env_vars]\n"kA" = [1]\n',
}


@pytest.mark.parametrize(("form", "place"), [("json", (3, 27)), ("yaml", (6, 9)), ("toml", (7, 8))])
def test_a_value_is_found_in_every_format(form: Any, place: tuple[int, int]) -> None:
    found = only(PLACES[form], form)
    assert found.message.endswith("found a list")
    assert (found.line, found.column) == place


def test_places_are_found_inside_what_toml_writes_in_one_line() -> None:
    text = """\
name = "w"
params.grid = [[1, 2], [3]] # brackets at once
workers.a = { command = "x", inputs = { i = "b/o", j.file = 3 }, args = [1.5, 12:30:00, ''' ]
''', {}] }
workers.b.command = "y"
workers.b."env_vars".X = {}
"""
    places = [(one.line, one.column, one.path) for one in refused(text, "toml")]
    assert places == [
        (3, 45, "workers.a.inputs.i"), (3, 61, "workers.a.inputs.j.file"), (4, 6, "workers.a.args[3]"),
        (6, 26, "workers.b.env_vars.X"),
    ]  # fmt: skip


def test_a_place_inside_an_alias_is_that_of_the_alias() -> None:
    text = "name: w\nworkers:\n  a: &a {command: x, args: [{}]}\n  b: *a\n"
    assert [(one.line, one.column, one.path) for one in refused(text, "yaml")] == [
        (3, 29, "workers.a.args[0]"), (4, 3, "workers.b.args[0]"),
    ]  # fmt: skip


def test_yaml_is_read_the_same_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &a {n: 007, l: [1.50, no, 'x']}\nb:\n  <<: *a\n  m: |\n    two\n    lines\n"
    fast = yamltext.load(text)
    monkeypatch.setattr(yamltext, "_LOADER", yaml.SafeLoader)
    slow = yamltext.load(text)
    assert slow.value["b"] == {"m": "two\nlines\n", "n": 7, "l": [1.5, "no", "x"]}
    assert slow.value == fast.value
    assert sorted(slow.originals.values()) == sorted(fast.originals.values()) == ["007", "007", "1.50"]
    assert only("a: [1, 2\n", "yaml").message.startswith("not YAML")
    assert "tag" in only("name: w\nworkers: {a: {command: !!python/name:os.system x}}", "yaml").message
