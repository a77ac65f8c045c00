"""Splitting a command line."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core.words import OPERATORS, NotWords, split


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python a.py --n 1", ["python", "a.py", "--n", "1"]),
        ("  a   b\t c ", ["a", "b", "c"]),
        ("a 'b c' d", ["a", "b c", "d"]),
        ('a "b c"d', ["a", "b cd"]),
        (r"a b\ c \'", ["a", "b c", "'"]),
        (r'a "\$x \" \\ \n"', ["a", '$x " \\ \\n']),
        ("a '' b", ["a", "", "b"]),
        ("a \\\n  b", ["a", "b"]),
        ('a "b\nc"', ["a", "b\nc"]),
        ("a\n", ["a"]),
        ("grep '|' x", ["grep", "|", "x"]),
        (r"a \> b", ["a", ">", "b"]),
        ("a>b x|y #no", ["a>b", "x|y", "#no"]),
        ("${inputs.raw} $HOME *", ["${inputs.raw}", "$HOME", "*"]),
        ("größe  x", ["größe", "x"]),
        ("a\xa0b", ["a\xa0b"]),
        ("", []),
    ],
)
def test_words_are_those_of_a_posix_shell(command: str, words: list[str]) -> None:
    assert split(command) == words


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_an_operator_as_a_word_of_its_own_needs_a_shell(operator: str) -> None:
    for command in (f"a {operator} b", f"a 'x' {operator} b"):
        with pytest.raises(NotWords, match="shell operator") as caught:
            split(command)
        assert caught.value.needs_shell


@pytest.mark.parametrize(("command", "words"), [("a 'b", "a ' that"), ('a "b', 'a " that'), ("a \\", "backslash")])
def test_what_is_not_closed_is_told(command: str, words: str) -> None:
    with pytest.raises(NotWords, match=words) as caught:
        split(command)
    assert not caught.value.needs_shell


def test_a_second_line_needs_a_shell() -> None:
    with pytest.raises(NotWords, match="more than one line") as caught:
        split("a\nb")
    assert caught.value.needs_shell


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5), max_size=5))
def test_quoted_words_come_back(words: list[str]) -> None:
    assert split(shlex.join(words)) == words


@given(st.text("ab '\"\\\t", max_size=12))
def test_splitting_agrees_with_shlex(command: str) -> None:
    try:
        expected = shlex.split(command)
    except ValueError:
        with pytest.raises(NotWords):
            split(command)
    else:
        assert split(command) == expected
