"""Nobody does anything at a live server without being somebody who may."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_wattle.access import resources
from tests.helpers import wait_until
from tests.jupyter.servers import TOKEN, Answer, Server, run_starting
from tests.terminal import Terminal
from wattle.core.operations import OPERATIONS

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
NOBODY = {
    "no token": {"Authorization": ""},
    "a wrong token": {"Authorization": "token wrong"},
    "a bearer of nothing": {"Authorization": "Bearer"},
    "basic": {"Authorization": "Basic YTpi"},
    "an expired cookie": {"Authorization": "", "Cookie": 'username-localhost-1="2|1:0|10:1|1:a|4:e30=|00"; _xsrf=1'},
}
SECRET = "a-secret-of-this-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("access")
    config = {"ServerApp": {"jpserver_extensions": {"jupyter_wattle": True, "tests.jupyter.routes_extension": True}}}
    place = Terminal(folder)
    made = Server(folder, config=config, environment={"WATTLE_TEST_ROUTES": str(folder / "routes.json")})
    made.ready()
    run_starting(made, {"name": "etl", "description": SECRET, "working_dir": str(folder),
                        "workers": {"one": {"command": ["echo", SECRET]}}})  # fmt: skip
    wait_until(lambda: made.ask("GET", "/api/workflows/etl").json["status"] == "completed")
    yield made
    made.close()
    place.close()


def paths(server: Server) -> list[str]:
    """A path for every route of the live server that is Wattle's."""
    file = server.folder / "routes.json"
    wait_until(file.exists)
    found = []
    for pattern, _ in json.loads(file.read_text()):
        path = re.sub(r"\(\?P<number>[^)]*\)", "1", pattern.removesuffix("$").removesuffix("/?"))
        path = re.sub(r"\(\?P<workflow>[^)]*\)", "etl", re.sub(r"\(\?P<worker>[^)]*\)", "one", path))
        path = re.sub(r"\(\?P<\w+>[^)]*\)", "x", path).replace("(?:/.*)?", "/x")
        found.append(re.sub(r"\(\?:(\w+)(\|\w+)*\)", r"\1", path))
    assert len(found) >= len({operation.path for operation in OPERATIONS})
    assert all(re.fullmatch(r"[\w/.%-]+", path) for path in found), found
    return found


@pytest.mark.parametrize("who", NOBODY)
def test_every_route_and_stream_refuses_nobody_whatever_the_method(server: Server, who: str) -> None:
    before = server.ask("GET", "/api/workflows").json
    let_in = []
    for path in paths(server):
        for method in METHODS:
            got = server.ask(method, path, **{name.replace("-", "_"): value for name, value in NOBODY[who].items()})
            to_login = got.status == 302 and path == "/wattle" and "/login?" in got.headers["Location"]
            if (got.status not in {401, 403, 405} and not to_login) or SECRET.encode() in got.body:
                let_in.append((method, path, got.status))
            if got.status == 405:
                assert method in {"TRACE", "PROPFIND"} or path == "/wattle", (method, path)
    assert let_in == []
    assert server.ask("GET", "/api/workflows").json == before


def test_every_refusal_has_the_form_of_an_error(server: Server) -> None:
    refused = server.ask("GET", "/api/workflows", Authorization="")
    assert refused.status == 403
    assert set(refused.json) == {"code", "message", "hint"}
    assert "Authorization: token" in refused.json["hint"]


def login(server: Server) -> dict[str, str]:
    """The cookies of somebody who logged in by a page, `_xsrf` among them."""
    cookies: dict[str, str] = {}
    for path in (f"/login?token={TOKEN}", "/wattle"):
        connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
        shown = "; ".join(f"{name}={value}" for name, value in cookies.items())
        connection.request("GET", server.base + path, headers={"Cookie": shown} if shown else {})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        for value in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = value.partition("=")
            cookies[name] = rest.partition(";")[0]
    return cookies


def with_cookies(server: Server, cookies: dict[str, str]) -> dict[str, str]:
    return {"Authorization": "", "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "Host": f"localhost:{server.port}"}  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("origin", ["", "null", "http://evil.test", "http://localhost.evil.test"])
def test_a_page_of_another_site_changes_nothing(server: Server, method: str, kind: str, origin: str) -> None:
    mine = with_cookies(server, login(server))
    assert server.ask("GET", "/api/workflows", **{**mine, "Referer": server.url}).status == 200, "the cookies are good"
    path = "/api/workflows" if method == "POST" else "/api/workflows/etl"
    got = server.ask(method, path, b'{"document":{"name":"evil","workers":[]}}', Content_Type=kind,
                     Origin=origin, **mine)  # fmt: skip
    assert got.status in {403, 405, 415}, got
    assert [row["name"] for row in server.ask("GET", "/api/workflows").json["workflows"]] == ["etl"]


def test_our_own_page_may_write_with_its_xsrf_token_and_json_only(server: Server) -> None:
    cookies = login(server)
    assert "_xsrf" in cookies
    own = {**with_cookies(server, cookies), "Origin": server.url.rstrip("/").replace(server.host, "localhost"),
           "X-XSRFToken": cookies["_xsrf"]}  # fmt: skip
    body = json.dumps({"text": "workers: {a: {command: 'true'}}"}).encode()
    assert server.ask("POST", "/api/wattle/validate", body, **own).status == 200
    assert server.ask("POST", "/api/wattle/validate", body, **own, Content_Type="text/plain").status == 415


@pytest.mark.parametrize("host", ["evil.test", "evil.test:{port}", "127.0.0.1.evil.test", "localhost.:{port}"])
def test_another_host_name_is_refused_on_every_route(server: Server, host: str) -> None:
    for path in paths(server):
        assert server.ask("GET", path, Host=host.format(port=server.port)).status == 403


@pytest.mark.parametrize("origin", [
    "http://evil.test", "null", "http://localhost", "http://localhost:{port}.evil.test", "http://localhost@evil.test",
    "https://localhost:{port}", "http://xlocalhost:{port}", "file://", "http://LOCALHOST:{port}/",
])  # fmt: skip
def test_no_other_origin_is_ever_allowed_to_read(server: Server, origin: str) -> None:
    for path in ("/api/workflows", "/api/wattle/health", "/api/wattle/nothing", "/api/workflows/etl/watch"):
        got = server.ask("GET", path, Origin=origin.format(port=server.port))
        assert not [name for name in got.headers if name.lower().startswith("access-control")], got.headers


def test_a_token_in_the_url_is_refused(server: Server) -> None:
    got = server.ask("GET", f"/api/workflows?token={TOKEN}", Authorization="")
    assert got.status == 400
    assert "Authorization" in got.json["hint"]


def test_what_a_worker_wrote_is_served_as_text_that_no_browser_runs(server: Server) -> None:
    evil = "<script>alert(1)</script>\x1b]0;title\x07\x00\n\nevent: end\ndata: {}\n"
    run_starting(server, {"name": "evil", "working_dir": str(server.folder),
                          "workers": {"one": {"command": ["printf", "%b", evil.replace("\x00", "")]}}})  # fmt: skip
    with server.client() as client:
        chunks = [data for _, data in client.stream("follow_logs", workflow="evil@1", worker="one")]
    assert "".join(chunk["text"] or "" for chunk in chunks) == evil.replace("\x00", "")
    for path in ("/api/workers/evil/one/logs", "/api/workers/evil/one/logs/stream", "/api/workers/evil/one"):
        headers = {name.lower(): value for name, value in server.ask("GET", path).headers.items()}
        assert headers["content-type"].startswith(("application/json", "text/event-stream"))
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"].startswith(("no-store", "no-cache"))
    server.ask("DELETE", "/api/workflows/evil")


def connection(server: Server) -> dict[str, Any]:
    (path,) = server.runtime.glob("wattle-*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    return dict(json.loads(path.read_text()))


def test_the_token_of_kernels_opens_wattle_and_nothing_else(server: Server) -> None:
    told = connection(server)
    assert told["home"] == str(server.home)
    kernel = {"Authorization": f"token {told['token']}"}
    assert told["token"] != TOKEN
    assert server.ask("GET", "/api/workflows", **kernel).status == 200
    assert server.ask("POST", "/api/wattle/validate", {"text": "workers: {a: {command: x}}"}, **kernel).status == 200
    assert server.ask("GET", "/api/contents", **kernel).status == 403
    assert server.ask("GET", "/api/kernels", **kernel).status == 403
    assert server.ask("GET", "/api/workflows", Authorization=f"token {told['token']}x").status == 403


def test_every_row_has_a_resource_and_logs_are_apart() -> None:
    by_name = {operation.name: resources(operation) for operation in OPERATIONS}
    assert {word for words in by_name.values() for word in words} == {"wattle:workflows", "wattle:runs", "wattle:logs"}
    assert by_name["read_logs"] == by_name["follow_logs"] == ("wattle:logs",)
    assert by_name["create_workflow"] == ("wattle:workflows",)
    assert by_name["start_workflow"] == by_name["stop_worker"] == ("wattle:runs",)


def test_a_site_s_authorizer_decides_by_action_and_resource(tmp_path: Path) -> None:
    place = Terminal(tmp_path)
    server = Server(tmp_path, "server", "--ServerApp.authorizer_class=tests.jupyter.sites.ReadOnly")
    try:
        server.ready()

        def status(method: str, path: str, body: Any = None) -> Answer:
            return server.ask(method, path, body)

        assert status("GET", "/api/workflows").status == 200
        for method, path in (("POST", "/api/workflows"), ("POST", "/api/workflows/etl/start"),
                             ("DELETE", "/api/workflows/etl"), ("POST", "/api/wattle/prune"),
                             ("GET", "/api/workers/etl/one/logs"), ("GET", "/api/workers/etl/one/logs/stream")):
            refused = status(method, path, {} if method == "POST" else None)
            assert refused.status == 403, path
            assert refused.json["code"] == "forbidden"
            assert "wattle:" in refused.json["message"]
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.close()
        place.close()


@pytest.mark.parametrize("joined", [False, True], ids=["its own", "handed on"])
def test_a_stream_ends_when_its_reader_is_logged_out(tmp_path: Path, joined: bool) -> None:
    place = Terminal(tmp_path)
    first = Server(tmp_path) if joined else None
    if first is not None:
        first.ready()
    server = Server(tmp_path, "server", "--ServerApp.identity_provider_class=tests.jupyter.revocable.Revocable",
                    f"--Revocable.token={TOKEN}")  # fmt: skip
    try:
        server.ready()
        with contextlib.closing(http.client.HTTPConnection(server.host, server.port, timeout=30)) as following:
            following.request("GET", "/api/wattle/events", headers={"Authorization": f"token {TOKEN}"})
            with following.getresponse() as stream:
                assert stream.status == 200
                assert stream.readline()
                (tmp_path / "logged-out").touch()
                with contextlib.suppress(OSError, http.client.IncompleteRead):
                    while stream.readline():
                        pass
        assert server.ask("GET", "/api/workflows").status == 403
    finally:
        server.close()
        if first is not None:
            first.close()
        place.close()
