"""Addresses: what people type to name a thing."""

from __future__ import annotations

import pytest

from wattle.core.address import Address
from wattle.core.errors import InvalidRequest


@pytest.mark.parametrize(("text", "parts"), [
    ("etl", ("etl", None, None, None)),
    ("etl@12", ("etl", 12, None, None)),
    ("etl/clean", ("etl", None, "clean", None)),
    ("etl/train.4", ("etl", None, "train.4", None)),
    ("etl@12/clean", ("etl", 12, "clean", None)),
    ("etl@12/clean/table", ("etl", 12, "clean", "table")),
    ("Übung/läuft", ("Übung", None, "läuft", None)),
])  # fmt: skip
def test_every_form_is_read_and_written_back(text: str, parts: tuple[object, ...]) -> None:
    address = Address.parse(text)
    assert (address.workflow, address.number, address.worker, address.port) == parts
    assert str(address) == text


def test_the_run_of_an_address_leaves_the_worker_out() -> None:
    assert Address.parse("etl@12/clean").run == "etl@12"
    assert Address.parse("etl/clean").run == "etl"


@pytest.mark.parametrize("text", ["", "/", "etl/", "etl//x", "etl@", "etl@0", "etl@x", "etl@-1", "etl@²", "a/b/c/d",
                                  "../x", "etl/..", "e tl", "x" * 64, "a\0b", "@3", "etl@1@2"])  # fmt: skip
def test_what_is_no_address_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        Address.parse(text)
    assert "etl@12/clean" in told.value.hint


def test_addresses_are_equal_when_they_read_the_same() -> None:
    assert Address.parse("etl@12/clean") == Address("etl", 12, "clean")
    assert len({Address.parse("a/b"), Address("a", None, "b")}) == 1
    assert Address.parse("a") != "a"
