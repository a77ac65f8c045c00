"""Widths, colours and cleaning."""

from __future__ import annotations

import pytest

from tests.cli.replies import NOW, Screen, style
from wattle.cli.style import Style, clean, clip, duration, pad, shown, size, width


def test_colour_is_only_where_a_person_looks() -> None:
    assert style(tty=True).paint("x", "failed") == "\033[31mx\033[0m"
    assert style().paint("x", "failed") == "x"
    assert style(tty=True, color=False).paint("x", "failed") == "x"
    assert style(tty=True, NO_COLOR="1").paint("x", "failed") == "x"
    assert style(tty=True, TERM="dumb").paint("x", "failed") == "x"
    assert not style(tty=True, TERM="dumb").live


def test_marks_are_ascii_where_the_encoding_is() -> None:
    assert style().mark("completed") == "✔"
    assert style(encoding="ascii").mark("completed") == "+"
    assert style(encoding="latin-1").char("·", "-") == "-"


@pytest.mark.parametrize(("text", "cells"), [("abc", 3), ("日本", 4), ("é", 1), ("e\u0301", 1), ("\033[31mab\033[0m", 2)])
def test_widths_count_cells(text: str, cells: int) -> None:
    assert width(text) == cells
    assert width(pad(text, 9)) == 9
    assert pad(text, 9, right=True).endswith(text)


def test_clipping_keeps_colours_closed_and_wide_characters_whole() -> None:
    assert clip("abcdef", 4) == "abc…"
    assert clip("日本語", 4) == "日…"
    assert clip("\033[31mabcdef\033[0m tail", 4) == "\033[31mabc…\033[0m"
    assert clip("abc", 3) == "abc"
    assert width(clip("x\033[1myz\033[0mabcdefg", 5)) == 5


@pytest.mark.parametrize(("evil", "plain"), [
    ("\033[2J\033[Hgone", "gone"), ("\033]0;title\adone", "done"), ("\033]8;;http://x\033\\link", "link"),
    ("a\rb", "ab"), ("a\bb", "ab"), ("one\ntwo", "one\ntwo"), ("a\tb", "a b"), ("\x9b31mred", "31mred"),
    ("\u202eevil", "evil"), ("\033[", ""), ("\033", ""), ("\033Pq#0\033\\x", "x"), ("grün 日本 ✔", "grün 日本 ✔"),
])  # fmt: skip
def test_what_a_worker_wrote_cannot_drive_the_terminal(evil: str, plain: str) -> None:
    assert clean(evil) == plain


@pytest.mark.parametrize(("seconds", "text"), [
    (None, ""), (0, "0.0 s"), (0.004, "4 ms"), (0.0001, "1 ms"), (0.1, "0.1 s"), (9.94, "9.9 s"), (9.96, "10 s"),
    (59.4, "59 s"), (60, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"),
])  # fmt: skip
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_read_well() -> None:
    assert [size(count) for count in (0, 1023, 2048, 5 << 20, 3 << 40)] == ["0 B", "1023 B", "2.0 KiB", "5.0 MiB", "3.0 TiB"]


def test_a_table_aligns_and_clips_on_a_terminal() -> None:
    text = style().table([["日本", "1"], ["a", "22"]], ["name", "n"], right=[1])
    assert text.split("\n") == ["name   n", "日本   1", "a     22"]
    assert all(width(line) <= 100 for line in style(tty=True).table([["x" * 300]]).split("\n"))
    assert style().table([]) == ""


def test_a_time_of_another_day_shows_its_date() -> None:
    assert len(style().clock(NOW - 1)) == 8
    assert len(style().clock(NOW - 90_000)) == 16
    assert style().clock(None) == ""


def test_spans_go_on_until_now() -> None:
    assert style().span(NOW - 5, None) == 5
    assert style().span(NOW - 5, NOW - 2) == 3
    assert style().span(None, None) is None
    assert style().span(NOW + 5, None) == 0


def test_what_a_mark_shows() -> None:
    base = {"status": "running", "phase": "running", "reused_from": ""}
    assert shown(base) == "running"
    assert shown({**base, "phase": "stopping"}) == "stopping"
    assert shown({**base, "status": "completed", "reused_from": "etl@1"}) == "reused"


def test_without_a_terminal_there_is_a_size() -> None:
    assert Style(Screen(), {}, lambda: NOW).size() == (100, 40)
