"""Bad input of every kind gets a 4xx of its own, in one form, with a word about what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.web.doors import Door, opened
from wattle.core import replies as rp
from wattle.core.errors import StorageError, WattleError
from wattle.core.operations import OPERATIONS
from wattle.web import asking
from wattle.web.refusals import encode


class Echo:
    """Says back what it was asked."""

    leaving = False
    error: WattleError | None = None

    def __getattr__(self, name: str) -> Any:
        async def answer(request: Any) -> rp.Done:
            if self.error is not None:
                raise self.error
            return rp.Done(message=f"{name} {msgspec.json.encode(request).decode()}")

        return answer


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    echo = Echo()
    with opened(tmp_path, lambda: echo) as door:
        yield door


JSON = {"Content_Type": "application/json"}
DEEP = b'{"document":' + b"[" * 40 + b"]" * 40 + b"}"


@pytest.mark.parametrize(("method", "target", "body", "headers", "status", "word"), [
    ("POST", "/api/workflows", b"{", JSON, 400, "not JSON"),
    ("POST", "/api/workflows", b"[]", JSON, 400, "not a JSON object"),
    ("POST", "/api/workflows", b'"\xff"', JSON, 400, "not JSON"),
    ("POST", "/api/workflows", DEEP, JSON, 400, "nested too deeply"),
    ("POST", "/api/workflows", b"[" * 100_000, JSON, 400, "nested too deeply"),
    ("POST", "/api/workflows", b"{}", {"Content_Type": "text/plain"}, 415, "must be JSON"),
    ("POST", "/api/workflows", b"{}", {}, 415, "must be JSON"),
    ("POST", "/api/workflows", b"{}", {**JSON, "Content_Encoding": "gzip"}, 415, "must be JSON"),
    ("POST", "/api/workflows/etl/start", b" " * (asking.BODY_LIMIT + 1), JSON, 413, "larger than 1 MiB"),
    ("POST", "/api/workflows", b" " * (asking.DOCUMENT_LIMIT + 1), JSON, 413, "larger than 9 MiB"),
    ("POST", "/api/workflows/etl/start", {"jobbs": 1}, {}, 400, "unknown field `jobbs`"),
    ("POST", "/api/workflows/etl/start", {"jobs": "many"}, {}, 400, "jobs"),
    ("POST", "/api/workflows/etl/start", {"jobs": 0}, {}, 400, "jobs"),
    ("POST", "/api/workflows/etl/start", {"workflow": "other"}, {}, 400, "'other' beside it"),
    ("POST", "/api/workflows/etl/start", {}, {"Idempotency_Key": "a b"}, 400, "not a key"),
    ("POST", "/api/workflows/etl/start", {}, {"Idempotency_Key": "k" * 201}, 400, "not a key"),
    ("GET", "/api/workflows?limit=1&limit=2", None, {}, 400, "2 times"),
    ("GET", "/api/workflows?tag=%FF", None, {}, 400, "not UTF-8"),
    ("GET", "/api/workflows?limit=x", None, {}, 400, "limit"),
    ("GET", "/api/workflows?limit=1001", None, {}, 400, "limit"),
    ("GET", "/api/workflows?offset=-1", None, {}, 400, "offset"),
    ("GET", "/api/workflows?status=done", None, {}, 400, "status"),
    ("GET", f"/api/wattle/runs?before={10**30}", None, {}, 400, "before"),
    ("GET", f"/api/workers/etl/clean/logs?offset={10**30}", None, {}, 400, "offset"),
    ("GET", "/api/workflows/a%2Fb", None, {}, 400, "is not a name"),
    ("GET", "/api/workflows/..", None, {}, 400, "is not a name"),
    ("GET", "/api/workflows/%2e%2e%2f%2e%2e", None, {}, 400, "is not a name"),
    ("GET", "/api/workers/etl/a%00b", None, {}, 400, "is not a name"),
    ("GET", "/api/workers/etl/..%5c..", None, {}, 400, "is not a name"),
    ("GET", "/api/workflows/%ff", None, {}, 400, "not UTF-8"),
    ("GET", "/api/workflows/etl/runs/12345678901234567890", None, {}, 404, "nothing at this path"),
    ("GET", "/api/workflows/etl/runs/-1", None, {}, 404, "nothing at this path"),
    ("GET", "/nothing", None, {}, 404, "nothing at this path"),
    ("GET", "//api/workflows", None, {}, 404, "nothing at this path"),
])  # fmt: skip
def test_bad_input_is_refused_with_its_status_and_a_hint(
    door: Door, method: str, target: str, body: Any, headers: dict[str, str], status: int, word: str
) -> None:
    reply = door.ask(method, target, body, **headers)
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/json; charset=utf-8")
    assert set(reply.json) == {"code", "message", "hint"}
    assert word in reply.json["message"]
    assert reply.json["hint"]


@pytest.mark.parametrize("path", sorted({operation.path for operation in OPERATIONS}))
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "PUT", "DELETE", "GET", "POST", "TRACE"])
def test_a_method_that_a_path_does_not_know_is_told_which_it_knows(door: Door, path: str, method: str) -> None:
    known = {operation.verb for operation in OPERATIONS if operation.path == path}
    if method in known:
        return
    target = path.replace("{number}", "7").replace("{", "").replace("}", "")
    reply = door.ask(method, target)
    assert (reply.status, reply.headers["Allow"]) == (405, ", ".join(sorted(known)))
    assert method == "HEAD" or reply.json["code"] == "method-not-allowed"


def test_a_body_in_pieces_is_counted_too(door: Door) -> None:
    connection = door.connect()
    pieces = (b" " * 65536 for _ in range(20))
    connection.request("POST", "/api/workflows/etl/start", pieces, {"Content-Type": "application/json"},
                       encode_chunked=True)  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()
    connection = door.connect()
    connection.request("POST", "/api/workflows/etl/start", iter([b'{"jo', b'bs":3}']),
                       {"Content-Type": "application/json"}, encode_chunked=True)  # fmt: skip
    assert b'jobs\\":3' in connection.getresponse().read()
    connection.close()


def test_a_post_without_a_body_needs_no_content_type(door: Door) -> None:
    assert door.ask("POST", "/api/workflows/etl/stop").status == 200
    assert door.ask("POST", "/api/workflows", {"text": "x"}, Content_Type="application/json; charset=utf-8").status == 200


def test_the_fields_of_a_path_may_be_said_again_in_the_body(door: Door) -> None:
    assert door.ask("POST", "/api/workflows/etl/stop", {"workflow": "etl"}).status == 200


def test_until_the_coordinator_is_there_clients_are_told_when_to_come_back(tmp_path: Path) -> None:
    with opened(tmp_path, lambda: None) as door:
        reply = door.ask("GET", "/api/workflows")
        assert (reply.status, reply.headers["Retry-After"], reply.json["code"]) == (503, "1", "starting")


def test_a_store_that_fails_is_worth_another_try(tmp_path: Path) -> None:
    echo = Echo()
    echo.error = StorageError("The disk is full.", "make room")
    with opened(tmp_path, lambda: echo) as door:
        reply = door.ask("GET", "/api/workflows")
        assert (reply.status, reply.headers["Retry-After"], reply.json["code"]) == (503, "1", "storage")


def test_every_answer_has_the_headers_that_keep_browsers_from_guessing(door: Door) -> None:
    for reply in (door.ask("GET", "/api/workflows"), door.ask("GET", "/nothing"), door.ask("PATCH", "/api/workflows")):
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert "sandbox" in reply.headers["Content-Security-Policy"]
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_text_that_is_no_unicode_is_shown_with_escapes() -> None:
    line = rp.EventLine(seq=1, address="etl@1", type="x", at=0.0, worker=None, event={"caf\udce9": ["\udcff", 1, "é"]})
    assert msgspec.json.decode(encode(line))["event"] == {"caf\\udce9": ["\\udcff", 1, "é"]}


def test_a_body_far_too_large_is_refused_before_it_is_sent(door: Door) -> None:
    for length, more in ((1 << 40, ""), (2 << 20, "Expect: 100-continue\r\n")):
        connection = door.connect()
        connection.sock.sendall(f"POST /api/workflows/etl/stop HTTP/1.1\r\nHost: x\r\n{more}Content-Type: application/json\r\n"
                                f"Content-Length: {length}\r\n\r\n".encode())  # fmt: skip
        assert connection.sock.recv(65536).startswith(b"HTTP/1.1 413 ")
        connection.close()
