"""Bytes as messages."""

from __future__ import annotations

from wattle.core.chunks import decode


def test_text_is_text() -> None:
    assert decode("grün\0".encode()) == ("grün\0", None, 6)
    assert decode(b"") == ("", None, 0)


def test_a_character_that_the_end_cut_is_left_to_the_next_piece() -> None:
    data = "a€😀".encode()
    for cut in range(len(data) + 1):
        head = decode(data[:cut])
        assert head.text is not None
        rest = decode(data[head.used :])
        assert head.text + (rest.text or "") == "a€😀"


def test_a_cut_character_at_the_very_end_is_bytes() -> None:
    assert decode(b"a\xe2\x82", final=True) == (None, "YeKC", 3)


def test_bytes_that_are_not_text_are_base64() -> None:
    assert decode(b"\xff\x00") == (None, "/wA=", 2)
    assert decode(b"a\xffb\xe2\x82") == (None, "Yf9i4oI=", 5)
