"""Substitution in texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core.errors import InvalidRequest
from wattle.core.template import KINDS, Reference, among, as_text, escape, fill, references, sole

PIECES = st.sampled_from(
    ["$", "${", "}", "{", "$$", "$${", "${params.a}", "${env.HOME}", "${HOME}", "${each.}", ".", "'", '"', " ", "x"]
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_with_its_place(kind: str) -> None:
    text = f"--x=${{{kind}.name}} y"
    assert references(text) == [Reference(kind, "name", 4, len(text) - 2)]
    assert str(references(text)[0]) == f"${{{kind}.name}}"


def test_references_come_in_order_and_other_dollars_are_none() -> None:
    text = "$X ${HOME} ${params.a}${each.b} $(date) ${inputs} ${run.dir"
    assert [(found.kind, found.name) for found in references(text)] == [("params", "a"), ("each", "b")]


def test_a_misspelt_name_is_still_a_reference_so_that_it_can_be_refused() -> None:
    assert [found.name for found in references("${params.a b} ${env.} ${params.x:-1}")] == ["a b", "", "x:-1"]


def test_filling_leaves_what_belongs_to_the_shell() -> None:
    text = fill("${HOME} $HOME ${params.day} $(ls) $${params.day} $${X}", lambda kind, name: f"<{kind}:{name}>")
    assert text == "${HOME} $HOME <params:day> $(ls) ${params.day} ${X}"


def test_a_filled_value_is_not_looked_at_again() -> None:
    assert fill("${params.a}", lambda _kind, _name: "${params.a} $${") == "${params.a} $${"


@pytest.mark.parametrize(
    "text", ["x${params.a}", "${params.a} ", "$${params.a}", "${params.a}${params.b}", "${HOME}", ""]
)
def test_a_text_that_is_more_or_less_than_one_reference_is_not_sole(text: str) -> None:
    assert sole(text) is None


def test_a_text_that_is_one_reference_is_sole() -> None:
    assert sole("${params.rates}") == Reference("params", "rates", 0, 15)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"), (1, "1"), (0.001, "0.001"), (True, "true"), (None, "null"), ([1, "ä"], '[1, "ä"]'),
        ({"a": 1}, '{"a": 1}'),
    ],
)  # fmt: skip
def test_values_are_written_as_text_or_as_json(value: object, text: str) -> None:
    assert as_text(value) == text


def test_a_name_that_is_not_known_is_refused_with_those_that_are() -> None:
    lookup = among({"params": {"day": "1"}}, "etl/fetch")
    assert lookup("params", "day") == "1"
    with pytest.raises(InvalidRequest, match=r"etl/fetch: there is no \$\{params.dya\}") as caught:
        lookup("params", "dya")
    assert caught.value.hint == "known here: ${params.day}"
    with pytest.raises(InvalidRequest) as caught:
        lookup("inputs", "x")
    assert caught.value.hint == "${inputs.…} cannot be used there"


@given(TEXTS)
def test_an_escaped_text_comes_back_as_it_was(text: str) -> None:
    def never(kind: str, name: str) -> str:
        raise AssertionError(f"{kind}.{name} was looked up in an escaped text")

    assert references(escape(text)) == []
    assert fill(escape(text), never) == text


@given(TEXTS, st.text())
def test_filling_replaces_exactly_the_references(text: str, value: str) -> None:
    found = references(text)
    asked: list[tuple[str, str]] = []

    def lookup(kind: str, name: str) -> str:
        asked.append((kind, name))
        return value

    filled = fill(text, lookup)
    assert asked == [(reference.kind, reference.name) for reference in found]
    expected, position = "", 0
    for reference in found:
        assert text[reference.start : reference.end] == str(reference)
        expected += text[position : reference.start].replace("$${", "${") + value
        position = reference.end
    assert filled == expected + text[position:].replace("$${", "${")
