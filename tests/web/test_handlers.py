"""The private door over a real Unix socket: what a client sends, what it gets, and every kind of refusal."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wattle.core import replies as rp
from wattle.core.errors import Conflict, DocumentError, InvalidRequest, NotFound, Problem
from wattle.core.operations import OPERATIONS
from wattle.sdk.client import Client
from wattle.sdk.transports import ConnectionLost, UnixTransport
from wattle.web.door import PrivateDoor
from wattle.web.handlers import routes


class Answers:
    """A service that says back what it was asked."""

    leaving = False

    def __getattr__(self, name: str) -> Any:
        async def answer(request: Any) -> rp.Done:
            return rp.Done(message=f"{name} {msgspec.json.encode(request).decode()}")

        return answer

    async def get_workflow(self, request: Any) -> rp.Done:
        raise NotFound(f"There is no workflow {request.workflow}.", "wattle list")

    async def delete_workflow(self, request: Any) -> rp.Done:
        raise Conflict("still running", "wattle stop etl", code="run-active")

    async def create_workflow(self, request: Any) -> rp.Done:
        raise DocumentError("2 problems", [Problem("workers.a", "no command", "write one", 3, 5)])

    async def list_workflows(self, request: Any) -> rp.Done:
        raise ZeroDivisionError("a bug")

    async def follow_all_events(self, request: Any) -> AsyncIterator[rp.EventLine]:
        for seq in range(request.after + 1, 4):
            yield rp.EventLine(seq=seq, address="etl@1", type="x", at=0.0, worker=None, event={})

    async def follow_events(self, request: Any) -> AsyncIterator[rp.EventLine]:
        yield rp.EventLine(seq=1, address="etl@1", type="x", at=0.0, worker=None, event={})
        raise NotFound("gone", "")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[str]:
    """The path of a socket at which `Answers` answers, on a loop of its own."""
    path = str(tmp_path / "door.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    listener.setblocking(False)
    loop = asyncio.new_event_loop()
    async def serve() -> None:
        opened = PrivateDoor(listener, Answers)
        await stop.wait()
        await opened.close()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    yield path
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    listener.close()
    loop.close()


@pytest.fixture
def client(door: str) -> Iterator[Client]:
    opened = Client(UnixTransport(door))
    yield opened
    opened.close()


def raw(path: str, request: bytes) -> bytes:
    """What the door says to these very bytes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.settimeout(20)
        sock.sendall(request)
        data = b""
        while b"}" not in data and (piece := sock.recv(65536)):
            data += piece
        return data


def post(path: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"POST /api/workflows HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(path, head.encode() + body)


def test_an_operation_gets_the_fields_of_its_path_query_and_body(client: Client) -> None:
    assert '"workflow":"ä b@1","limit":7' in client.ask("list_runs", workflow="ä b@1", limit=7)["message"]
    assert '"number":12' in client.ask("get_run", workflow="etl", number=12)["message"]
    assert '"jobs":3' in client.ask("start_workflow", workflow="etl", jobs=3)["message"]


def test_errors_cross_the_door_as_what_they_were(client: Client) -> None:
    with pytest.raises(NotFound, match="There is no workflow nope") as missing:
        client.ask("get_workflow", workflow="nope")
    assert missing.value.hint == "wattle list"
    with pytest.raises(Conflict) as active:
        client.ask("delete_workflow", workflow="etl")
    assert active.value.code == "run-active"
    with pytest.raises(DocumentError) as problems:
        client.ask("create_workflow", text="x")
    assert [(p.path, p.line, p.column) for p in problems.value.problems] == [("workers.a", 3, 5)]


def test_a_bug_is_told_without_its_traceback(door: str, caplog: pytest.LogCaptureFixture) -> None:
    reply = raw(door, b"GET /api/workflows HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 500 " in reply
    assert b'"code":"internal"' in reply
    assert b"ZeroDivision" not in reply
    assert "ZeroDivisionError" in caplog.text


def test_unknown_fields_are_refused_with_the_known_ones(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="unknown field `limt`") as refused:
        client.ask("list_runs", workflow="etl", limt=1)
    assert "limit" in refused.value.hint


@pytest.mark.parametrize(("request_", "status", "code"), [
    (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404", b"not-found"),
    (b"GET /api/workflows/a%2Fb/c HTTP/1.1\r\nHost: x\r\n\r\n", b"404", b"not-found"),
    (b"PATCH /api/workflows HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405", b"method-not-allowed"),
    (b"PUT /api/workflows HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"405", b"method-not-allowed"),
])  # fmt: skip
def test_what_does_not_exist_is_refused_in_the_same_form(
    door: str, request_: bytes, status: bytes, code: bytes,
) -> None:
    reply = raw(door, request_)
    assert b" " + status + b" " in reply
    assert b'"code":"' + code in reply


def test_a_body_must_be_a_json_object_and_say_so(door: str) -> None:
    assert b" 415 " in post(door, b"{}", "text/plain")
    assert b"is not JSON" in post(door, b"{")
    assert b"not a JSON object" in post(door, b"[]")
    assert b" 400 " in post(door, b"[" * 100_000)


def test_a_stream_ends_with_its_announced_end_and_goes_on_after_an_id(client: Client) -> None:
    assert [identity for identity, _ in client.stream("follow_all_events")] == ["1", "2", "3"]
    assert [identity for identity, _ in client.stream("follow_all_events", after=2)] == ["3"]


def test_an_error_within_a_stream_is_told(client: Client) -> None:
    stream = client.stream("follow_events", workflow="etl")
    assert next(stream)[0] == "1"
    with pytest.raises(NotFound, match="gone"):
        next(stream)


def test_every_operation_has_a_route() -> None:
    handlers = {method for _, _, arguments in routes(lambda: None) for method in arguments["operations"].values()}
    assert handlers == set(OPERATIONS)


def test_a_connection_that_breaks_is_told_from_one_that_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        transport = UnixTransport(path)
        def hang_up() -> None:
            peer, _ = listener.accept()
            peer.recv(1000)
            peer.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ConnectionLost):
            transport.request("get_health", {})
        thread.join()
