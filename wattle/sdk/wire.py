"""HTTP/1.1 and server-sent events, as far as Wattle's own doors speak them.

Why not `http.client`: importing it costs 25 ms (it brings the whole e-mail parser), a quarter of what a whole
`wattle status` may take. Wattle talks to its own server only, so this file needs no more than: one request at a
time, replies with a length or in chunks, and a stream of events.

Laws: bytes in, bytes out, no knowledge of operations; every failure of the connection is an `OSError`.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from socket import socket
    from typing import Any

_MAX_LINE = 65_536


class BrokenReply(ConnectionError):
    """The other side ended in the middle of a reply, or does not speak HTTP."""


class Exchange:
    """One connection: `send` a request, then read its `head`, then its `body` or its `pieces`."""

    def __init__(self, sock: socket, host: str = "localhost") -> None:
        self._sock = sock
        self._host = host
        self._file = sock.makefile("rb")
        self._headers: dict[str, str] = {}

    def send(self, verb: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Write one request in one piece. Raises `OSError`."""
        lines = [f"{verb} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self._sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    def head(self) -> int:
        """Read the status line and the headers; returns the status."""
        words = self._line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise BrokenReply("the reply is not HTTP")
        self._headers = {}
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            self._headers[name.strip().lower()] = value.strip()
        return int(words[1])

    def body(self) -> bytes:
        """All of the reply's body."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The reply's body as it arrives. Raises `BrokenReply` when it ends too early."""
        if self._headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in self._headers:
            yield self._exactly(int(self._headers["content-length"]))
        else:
            while piece := self._file.read1(_MAX_LINE):
                yield piece

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on this connection."""
        known = "content-length" in self._headers or "transfer-encoding" in self._headers
        return known and self._headers.get("connection", "").lower() != "close"

    def patience(self, seconds: float) -> None:
        """How long to wait for the next bytes from now on."""
        self._sock.settimeout(seconds)

    def close(self) -> None:
        """Let go of the connection."""
        self._file.close()
        self._sock.close()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(b";")[0] or b"x", 16):
            yield self._exactly(size)
            self._line()
        while self._line():
            pass

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise BrokenReply("the connection ended within a reply")
        return data

    def _line(self) -> bytes:
        line = self._file.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise BrokenReply("the connection ended before the reply")
        return line.rstrip(b"\r\n")


class ServerEvent:
    """One server-sent event. `name` is `message` unless the server said otherwise."""

    __slots__ = ("data", "id", "name")

    def __init__(self, name: str, identity: str, data: str) -> None:
        self.name = name
        self.id = identity
        self.data = data

    def json(self) -> Any:
        """The data, read as JSON; None when there is none."""
        return json.loads(self.data) if self.data else None


def server_events(pieces: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Cut a body into server-sent events; comments (heartbeats) are dropped, an unfinished event too."""
    rest = b""
    for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            event = _event(block.decode("utf-8", "replace"))
            if event is not None:
                yield event


def _event(block: str) -> ServerEvent | None:
    fields: dict[str, list[str]] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        if name:
            fields.setdefault(name, []).append(value.removeprefix(" "))
    if "data" not in fields:
        return None  # `retry: …` alone is advice to browsers
    data = "\n".join(fields.get("data", []))
    return ServerEvent(fields.get("event", ["message"])[-1], fields.get("id", [""])[-1], data)
