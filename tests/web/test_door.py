"""The private door as a port of 127.0.0.1: it opens to its token, and to nothing that a web page can say."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from wattle.core.errors import Unreachable
from wattle.sdk.transports import LoopbackTransport
from wattle.web.door import PrivateDoor

TOKEN = "a" * 64
ROUTES = [("GET", "/api/wattle/health"), ("GET", "/api/workflows/x/watch"), ("POST", "/api/workflows"),
          ("GET", "/nowhere"), ("DELETE", "/api/workflows/x"), ("OPTIONS", "/api/workflows")]  # fmt: skip


def asked(headers: list[tuple[str, str]], method: str, target: str, *, host: str = "127.0.0.1") -> tuple[int, Any]:
    """What a guarded door, whose service is not ready, says to one request; `{port}` is its own."""

    async def main() -> tuple[int, Any]:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        port = listener.getsockname()[1]
        door = PrivateDoor(listener, lambda: None, TOKEN)
        try:
            return await asyncio.to_thread(talk, port)
        finally:
            await door.close()

    def talk(port: int) -> tuple[int, Any]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.putrequest(method, target, skip_host=True)
            for name, value in [("Host", host if ":" in host else f"{host}:{port}"), *headers]:
                connection.putheader(name, value)
            connection.putheader("Content-Length", "2" if method == "POST" else "0")
            connection.endheaders(b"{}" if method == "POST" else None)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or "{}")

    return asyncio.run(main())


CREDENTIAL = ("Authorization", f"token {TOKEN}")


@pytest.mark.parametrize(("method", "target"), ROUTES)
@pytest.mark.parametrize("headers", [
    [], [("Authorization", "token ")], [("Authorization", f"token {TOKEN[:-1]}")], [("Authorization", f"token {TOKEN}b")],
    [("Authorization", f"Bearer {TOKEN}")], [("Authorization", "token \xff")],
    [("Cookie", f"token={TOKEN}")],
], ids=["none", "empty", "short", "long", "bearer", "latin", "cookie"])  # fmt: skip
def test_without_its_token_nothing_opens(method: str, target: str, headers: list[tuple[str, str]]) -> None:
    status, told = asked(headers, method, target)
    assert status == 403
    assert told["code"] == "forbidden"
    assert TOKEN not in json.dumps(told)


def test_a_token_in_the_address_is_none() -> None:
    assert asked([], "GET", f"/api/wattle/health?token={TOKEN}")[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost"])
def test_with_its_token_it_opens(host: str) -> None:
    assert asked([CREDENTIAL], "GET", "/api/wattle/health", host=host)[0] == 503, "nobody is behind it yet"
    assert asked([CREDENTIAL], "GET", "/nowhere", host=host)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "localhost:1", "127.0.0.1.evil.example"])
def test_under_another_name_it_does_not_open(host: str) -> None:
    status, told = asked([CREDENTIAL], "GET", "/api/wattle/health", host=host)
    assert status == 403
    assert "no other name" in told["message"]


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1"])
def test_a_web_page_is_not_let_in_even_with_the_token(origin: str) -> None:
    status, told = asked([CREDENTIAL, ("Origin", origin)], "POST", "/api/workflows")
    assert status == 403
    assert "web pages" in told["message"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": "x", "token": "y"}', '{"port": 1}'])
def test_half_a_door_file_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "door").write_text(text)
    with pytest.raises(Unreachable):
        LoopbackTransport(str(tmp_path / "door"))
    with pytest.raises(Unreachable):
        LoopbackTransport(str(tmp_path / "missing"))
