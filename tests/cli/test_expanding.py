"""Kernel variables in option lines and bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wattle.cli.expanding import expanded, words_of
from wattle.core.errors import InvalidRequest

KNOWN: dict[str, Any] = {
    "n": 7, "text": "two words", "rates": [0.1, 1e-3], "yes": True, "none": None, "path": Path("/a b"), "row": {"a": 1},
    "lines": "a\nb", "thing": object(),
}  # fmt: skip


def look(expression: str) -> Any:
    return KNOWN[expression]


@pytest.mark.parametrize(("line", "words"), [
    ("run etl --set n={{ n }}", ["run", "etl", "--set", "n=7"]),
    ("run {{ text }}", ["run", "two words"]),
    ("run --set t={{text}} -j 2", ["run", "--set", "t=two words", "-j", "2"]),
    ("run --set 'a b={{ rates }}'", ["run", "--set", "a b=[0.1, 0.001]"]),
    ("run --set y={{ yes }} --set z={{ none }}", ["run", "--set", "y=true", "--set", "z=null"]),
    ("worker a --each {{ rates }}", ["worker", "a", "--each", "[0.1, 0.001]"]),
    ("run {x} $y", ["run", "{x}", "$y"]),
    ("run etl   # it's the nightly one", ["run", "etl"]),
    ("run 'a # b' c#d #e", ["run", "a # b", "c#d", "#e"]),
    ("# nothing", []),
])  # fmt: skip
def test_option_lines_are_filled_in_and_never_split(line: str, words: list[str]) -> None:
    assert words_of(line, look) == words


@pytest.mark.parametrize(("body", "text"), [
    ("params: {rates: {{ rates }}}", "params: {rates: [0.1, 0.001]}"),
    ("text: {{ text }}", 'text: "two words"'),
    ("- {{ text }}", '- "two words"'),
    ("a: {{ row }}  # why", 'a: {"a": 1}  # why'),
    ("command: echo {{ text }} {{ n }}", "command: echo two words 7"),
    ("path: {{ path }}", 'path: "/a b"'),
    ("path: in {{ path }}", "path: in /a b"),
    ("lines: {{ lines }}", 'lines: "a\\nb"'),
    ("plain: ${params.x} {y}", "plain: ${params.x} {y}"),
])  # fmt: skip
def test_alone_it_is_json_and_inside_a_text_it_is_text(body: str, text: str) -> None:
    assert expanded(body, look) == text


@pytest.mark.parametrize(("body", "said"), [
    ("a: 1\nb: {{ nosuch }}", "line 2: {{ nosuch }} cannot be filled in: KeyError"),
    ("b: {{ thing }}", "is a object, which is no JSON"),
    ("b: say {{ lines }}", "has several lines"),
])  # fmt: skip
def test_what_cannot_be_filled_in_is_said_with_its_line(body: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        expanded(body, look)
    assert said in caught.value.message
