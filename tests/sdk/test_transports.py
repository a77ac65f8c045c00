"""Questions over a Unix socket and over a URL, against a real HTTP server."""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path
from subprocess import run

import pytest

from tests.helpers import unmeasured
from tests.sdk.server import Call, serving
from wattle.core.errors import (
    Conflict,
    DocumentError,
    Forbidden,
    InternalError,
    InvalidRequest,
    NotFound,
    Unreachable,
    WattleError,
)  # fmt: skip
from wattle.core.operations import OPERATIONS
from wattle.sdk.transports import ConnectionLost, UnixTransport, http_form
from wattle.sdk.url import UrlTransport


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def test_path_fields_are_encoded_and_the_others_are_the_query() -> None:
    assert http_form("read_logs", {"workflow": "Über lauf@3", "worker": "a/b", "tail": 5, "stream": None}) == (
        "GET", "/api/workers/%C3%9Cber%20lauf@3/a%2Fb/logs?tail=5", None)  # fmt: skip
    assert http_form("list_all_runs", {"active": True, "limit": 2})[1] == "/api/wattle/runs?active=true&limit=2"


def test_the_other_fields_of_a_post_are_its_body() -> None:
    verb, target, body = http_form("start_workflow", {"workflow": "etl", "params": {"day": "ä"}, "jobs": None})
    assert (verb, target) == ("POST", "/api/workflows/etl/start")
    assert json.loads(body or b"") == {"params": {"day": "ä"}}


def test_every_operation_has_an_http_form_without_braces() -> None:
    for row in OPERATIONS:
        fields = {name: "x" for name in ("workflow", "worker", "port", "number") if "{" + name + "}" in row.path}
        assert "{" not in http_form(row.name, fields)[1]


def test_a_connection_is_used_again(path: str) -> None:
    connections = set()

    def say(call: Call) -> None:
        connections.add(call.connection)
        call.answer({"body": call.body.decode()})

    with serving(path, say) as server:
        transport = UnixTransport(path)
        for _ in range(3):
            assert transport.request("start_workflow", {"workflow": "etl", "jobs": 2}) == {"body": '{"jobs": 2}'}
        transport.close()
    assert len(server.calls) == 3
    assert len(connections) == 1


def test_a_server_that_wants_to_close_is_asked_on_a_new_connection(path: str) -> None:
    with serving(path, lambda call: call.answer({}, Connection="close")) as server:
        transport = UnixTransport(path)
        assert [transport.request("get_health", {}) for _ in range(2)] == [{}, {}]
    assert len(server.calls) == 2


@pytest.mark.parametrize(("status", "code", "kind"), [
    (404, "not-found", NotFound), (409, "name-taken", Conflict), (403, "forbidden", Forbidden),
    (400, "invalid-request", InvalidRequest), (500, "internal", InternalError), (503, "unreachable", Unreachable),
])  # fmt: skip
def test_an_error_comes_back_as_the_class_it_was(path: str, status: int, code: str, kind: type[WattleError]) -> None:
    with serving(path, lambda call: call.answer({"code": code, "message": "No.", "hint": "do this"}, status)):
        transport = UnixTransport(path)
        with pytest.raises(kind) as told:
            transport.request("get_workflow", {"workflow": "etl"})
        transport.close()
    assert type(told.value) is kind
    assert (told.value.message, told.value.hint, told.value.code) == ("No.", "do this", code)


def test_the_problems_of_a_document_come_back_with_their_places(path: str) -> None:
    error = {"code": "invalid-document", "message": "1 problem", "hint": "", "problems": [
        {"path": "workers.a", "message": "what?", "hint": "that", "line": 3, "column": 5}]}  # fmt: skip
    with serving(path, lambda call: call.answer(error, 422)):
        transport = UnixTransport(path)
        with pytest.raises(DocumentError) as told:
            transport.request("create_workflow", {"text": ""})
        transport.close()
    assert [problem.to_dict() for problem in told.value.problems] == error["problems"]


def test_an_answer_that_is_no_json_is_an_error_by_its_status(path: str) -> None:
    with serving(path, lambda call: call.answer(b"<h1>oh</h1>", 404)):
        transport = UnixTransport(path)
        with pytest.raises(NotFound, match="404"):
            transport.request("get_health", {})
        transport.close()


def test_nobody_at_the_socket_is_unreachable(path: str) -> None:
    with pytest.raises(Unreachable, match=r"No coordinator answers at .*door.sock") as told:
        UnixTransport(path).request("get_health", {})
    assert not isinstance(told.value, ConnectionLost)


def test_a_connection_that_breaks_before_the_answer_is_lost(path: str) -> None:
    def say(call: Call) -> None:
        call.close_connection = True

    with serving(path, say), pytest.raises(ConnectionLost):
        UnixTransport(path).request("get_health", {})


def test_something_that_does_not_speak_http_is_lost_and_no_traceback(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example.org ESMTP\r\n")

    thread = threading.Thread(target=speak)
    thread.start()
    with pytest.raises(ConnectionLost, match="not HTTP"):
        UnixTransport(path).request("get_health", {})
    thread.join()
    listener.close()


def test_a_stream_gives_ids_and_data_and_passes_heartbeats_over(path: str) -> None:
    def say(call: Call) -> None:
        call.begin()
        call.chunk(": heartbeat\n\n")
        call.event(1, {"n": 1})
        call.chunk('id: 2\ndata: {"n":')
        call.chunk(' "ä"}\n\n: heartbeat\n\n')
        call.end()

    with serving(path, say) as server:
        found = list(UnixTransport(path).stream("follow_all_events", {"after": 0}))
    assert found == [("1", {"n": 1}), ("2", {"n": "ä"})]
    assert server.calls[0].headers["Accept"] == "text/event-stream"


def test_a_stream_that_stops_without_an_end_is_lost(path: str) -> None:
    def say(call: Call) -> None:
        call.begin()
        call.event(1, {})
        call.close_connection = True

    with serving(path, say):
        stream = UnixTransport(path).stream("follow_all_events", {})
        assert next(stream) == ("1", {})
        with pytest.raises(ConnectionLost):
            next(stream)


def test_an_error_before_and_within_a_stream_is_raised(path: str) -> None:
    def refuse(call: Call) -> None:
        call.answer({"code": "not-found", "message": "No.", "hint": ""}, 404)

    with serving(path, refuse), pytest.raises(NotFound):
        next(UnixTransport(path).stream("watch_run", {"workflow": "x"}))

    def say(call: Call) -> None:
        call.begin()
        call.event("", {"code": "storage", "message": "Disk full.", "hint": ""}, "error")

    Path(path).unlink()
    with serving(path, say), pytest.raises(WattleError, match="Disk full"):
        next(UnixTransport(path).stream("watch_run", {"workflow": "x"}))


def test_a_url_keeps_its_path_and_the_token_goes_into_a_header() -> None:
    with serving(("127.0.0.1", 0), lambda call: call.answer({"path": call.path})) as server:
        port = server.server_address[1]  # type: ignore[index]
        transport = UrlTransport(f"http://127.0.0.1:{port}/user/me/", "secret")
        assert transport.request("get_health", {}) == {"path": "/user/me/api/wattle/health"}
        transport.close()
    assert server.calls[0].headers["Authorization"] == "token secret"
    assert server.calls[0].headers["Host"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("url", ["localhost:9240", "ftp://x", "http://", "http://u:p@host/", "http://host/?token=x"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        UrlTransport(url)


def test_nobody_at_the_url_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(Unreachable, match="No coordinator answers"):
            UrlTransport(f"http://127.0.0.1:{port}").request("get_health", {})


def test_the_way_to_a_coordinator_imports_nothing_heavy() -> None:
    code = "import sys, wattle.sdk.client; print(*sys.modules)"
    told = run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured())
    modules = told.stdout.split()
    heavy = {"asyncio", "dataclasses", "email", "http.client", "msgspec", "ssl", "tornado", "typing", "urllib.parse"}
    assert heavy.isdisjoint(modules)
