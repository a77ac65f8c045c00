"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattle.core.quantities import duration_text, seconds, size, size_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (90, 90), (1.5, 1.5), (0, 0), ("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("10min", 600), ("2h", 7200),
        ("1d", 86400), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("1d2h3m4s5ms", 93784.005),
        (" 2H ", 7200),
    ],
)  # fmt: skip
def test_durations_are_seconds(value: object, expected: float) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1, "negative"), ("-5s", "negative"), (float("nan"), "finite"), (float("inf"), "finite"), (10**30, "finite"),
        (True, "not a duration"), (None, "not a duration"), ([], "not a duration"), ("", "not a duration"),
        ("s", "not a duration"), ("30m1h", "not a duration"), ("1w", "not a duration"), ("1e3", "not a duration"),
        ("nan", "not a duration"), ("\u0661s", "not a duration"), ("9" * 400, "not a duration"),
    ],
)  # fmt: skip
def test_what_is_no_duration_is_told_why(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        seconds(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0), (1024, 1024), (1024.0, 1024), ("1024", 1024), ("512M", 512 << 20), ("512MiB", 512 << 20),
        ("512mb", 512 << 20),
        ("16G", 16 << 30), ("1.5K", 1536), ("2 T", 2 << 40), ("1P", 1 << 50), ("7B", 7),
    ],
)  # fmt: skip
def test_sizes_are_bytes(value: object, expected: int) -> None:
    assert size(value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1, "negative"), ("-1M", "negative"), (0.5, "whole number"), ("0.1", "whole number"), (True, "not a size"),
        (None, "not a size"), ("M", "not a size"), ("1X", "not a size"), (float("nan"), "finite"),
        ("9999999P", "finite"),
    ],
)  # fmt: skip
def test_what_is_no_size_is_told_why(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        size(value)


@given(st.floats(0, 1e9) | st.integers(0, 10**9))
def test_a_duration_is_the_same_after_writing_it(value: float) -> None:
    assert seconds(duration_text(value)) == value


@given(st.integers(0, 2**61) | st.integers(0, 1 << 20).map(lambda number: number << 30))
def test_a_size_is_the_same_after_writing_it(value: int) -> None:
    assert size(size_text(value)) == value


def test_quantities_are_written_as_people_write_them() -> None:
    assert [duration_text(value) for value in (0, 90.0, 7200, 5400, 93784, 1.5)] == [
        0,
        "1m30s",
        "2h",
        "1h30m",
        93784,
        1.5,
    ]
    assert [size_text(value) for value in (0, 1, 1 << 10, 512 << 20, 1 << 34, 1025)] == [
        0,
        1,
        "1K",
        "512M",
        "16G",
        1025,
    ]
