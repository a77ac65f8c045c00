"""What may be a name, and what a port."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core.names import fold, name_flaw, port_flaw


@pytest.mark.parametrize(
    "name", ["a", "_x", "9", "train.v2", "a-b", "x" * 63, "größe", "数据", "console", "com10", "nulls"]
)
def test_good_names(name: str) -> None:
    assert name_flaw(name) is None


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("", "is empty", "1 to 63"),
        ("a/b", "holds '/'", "write 'a-b'"),
        ("../etc", "holds '/'", "write 'etc'"),
        ("a\n", "holds '\\n'", "write 'a-'"),
        ("///", "holds '/'", "letters, digits"),
        (".a", "begins with '.'", "begin it"),
        ("-a", "begins with '-'", "begin it"),
        ("a.", "ends in a dot", "end it"),
        ("..", "ends in a dot", "end it"),
        ("x" * 64, "64 characters", "at most 63"),
        ("CON", "device on Windows", "CON_"),
        ("lpt1.txt", "device on Windows", "lpt1.txt_"),
        ("cafe\u0301", "holds '\u0301'", "write"),
        ("\u212b", "composed form", "\u00c5"),
    ],
)
def test_a_bad_name_is_told_why(name: str, message: str, hint: str) -> None:
    flaw = name_flaw(name)
    assert flaw is not None
    assert message in flaw.message
    assert hint in flaw.hint


@given(st.text(max_size=70))
def test_a_name_can_leave_neither_a_path_nor_a_url(name: str) -> None:
    if name_flaw(name) is None:
        assert not re.search(r"[/\\\x00-\x1f\s:*?\"<>|%#&]", name)
        assert name not in (".", "..")
        assert len(name) <= 63


@pytest.mark.parametrize("port", ["a", "_", "raw_2", "X"])
def test_good_ports(port: str) -> None:
    assert port_flaw(port) is None


@pytest.mark.parametrize(
    ("port", "hint"),
    [
        ("", "use letters"),
        ("a-b", "write 'a_b'"),
        ("2x", "write '_2x'"),
        ("é", "ASCII"),
        ("x" * 64, "at most 63"),
        ("a\n", "a_"),
    ],
)
def test_a_bad_port_is_told_what_to_write(port: str, hint: str) -> None:
    flaw = port_flaw(port)
    assert flaw is not None
    assert hint in flaw.hint


def test_names_are_one_when_they_differ_only_in_case() -> None:
    assert fold("Train") == fold("tRAIN")
    assert fold("STRASSE") == fold("straße")
    assert fold("a") != fold("b")
