"""Questions that are handed out by name, and messages as lines of JSON."""

from __future__ import annotations

from typing import Any, Self, cast

import pytest

from wattle.bus.zenoh import Query
from wattle.core.errors import InvalidRequest
from wattle.sdk import questions as module
from wattle.sdk.questions import Questions
from wattle.sdk.services import Place
from wattle.sdk.worker_encoding import ARROW, BYTES, JSON, from_line, to_line
from wattle.sdk.worker_errors import NotJson
from wattle.sdk.worker_streams import Ended


class Asked:
    """A query that notes what became of it."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def refuse(self, error: dict[str, Any]) -> None:
        self.told.append(error["code"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.told.append("closed")


def asked(made: Questions, count: int) -> list[Asked]:
    found = [Asked() for _ in range(count)]
    for one in found:
        made.take(cast("Query", one))
    return found


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> Questions:
    monkeypatch.setattr(module, "WAITING", 2)
    return Questions(Place("etl", 1, "planner", "route"))


def test_who_asks_when_too_many_wait_is_refused_at_once(questions: Questions) -> None:
    one, two, three = asked(questions, 3)
    assert (one.told, two.told, three.told) == ([], [], ["busy", "closed"])
    assert [cast("Any", questions.look()) for _ in range(3)] == [one, two, None]


def test_of_too_many_that_nobody_answers_the_oldest_is_refused(questions: Questions) -> None:
    found: list[Asked] = []
    names = []
    for _ in range(3):
        found += asked(questions, 1)
        names.append(questions.name(cast("Query", questions.look())))
    assert [one.told for one in found] == [["busy", "closed"], [], []]
    assert list(questions.given) == names[1:]
    assert len(set(names)) == 3


def test_at_the_end_nobody_is_left_waiting(questions: Questions) -> None:
    given, waiting = asked(questions, 2)
    questions.name(cast("Query", questions.look()))
    questions.close()
    assert (given.told, waiting.told) == (["ending", "closed"], ["ending", "closed"])
    assert isinstance(questions.look(), Ended)


@pytest.mark.parametrize(("payload", "encoding", "fields"), [
    (b'{"a": [1, null]}', JSON, {"data": {"a": [1, None]}}), (b"null", "application/json;v=1", {"data": None}), (b"", "", {"data": None}),
    ("né".encode(), "text/plain", {"data": "né", "encoding": "text/plain"}),
    (b"\xff", "text/plain", {"base64": "/w==", "encoding": "text/plain"}),
    (b"{", JSON, {"base64": "ew==", "encoding": JSON}), (b"\x00", "", {"base64": "AA==", "encoding": BYTES}),
    (b"ARROW1", ARROW, {"base64": "QVJST1cx", "encoding": ARROW}),
])  # fmt: skip
def test_a_message_is_a_line_that_says_what_it_is(payload: bytes, encoding: str, fields: dict[str, Any]) -> None:
    assert to_line(payload, encoding) == fields


@pytest.mark.parametrize(("fields", "message"), [
    ({"data": {"a": [1, None]}}, (b'{"a":[1,null]}', JSON)), ({"data": None}, (b"null", JSON)),
    ({"base64": "AAE="}, (b"\x00\x01", BYTES)), ({"base64": "AAE=", "encoding": "image/png"}, (b"\x00\x01", "image/png")),
    ({"data": "né", "encoding": "text/plain"}, ("né".encode(), "text/plain")),
])  # fmt: skip
def test_a_line_is_a_message(fields: dict[str, Any], message: tuple[bytes, str]) -> None:
    assert from_line(fields, "state") == message


@pytest.mark.parametrize(("fields", "told"), [
    ({"data": 1, "base64": "AA=="}, "`data` and `base64`"), ({"base64": "%"}, "is not Base64"), ({"base64": 7}, "is not Base64"),
    ({"data": 1, "encoding": 7}, "its encoding is no text"), ({"data": float("nan")}, "is nan, which JSON does not know"),
])  # fmt: skip
def test_a_line_that_makes_no_sense_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises((InvalidRequest, NotJson), match=told):
        from_line(fields, "state")
