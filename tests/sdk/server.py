"""A real HTTP server on a Unix socket or a port, in a thread, that says what a test tells it to."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast


class Call(BaseHTTPRequestHandler):
    """One request. `answer`, `chunk` and `end` are what a test's function says it with."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = False

    def _any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = cast("Server", self.server)
        server.calls.append(self)
        server.say(self)

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815

    def answer(self, reply: object, status: int = 200, **headers: str) -> None:
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, identity: object, data: object, name: str = "") -> None:
        head = f"event: {name}\n" if name else ""
        self.chunk(f"{head}id: {identity}\ndata: {json.dumps(data)}\n\n")

    def end(self) -> None:
        self.chunk("event: end\ndata: {}\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server calls it so
        """Tests are quiet."""


class Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    daemon_threads = True
    block_on_close = False
    say: Callable[[Call], None]
    calls: list[Call]


class UnixServer(Server, socketserver.UnixStreamServer):
    pass


class PortServer(Server, HTTPServer):
    pass


@contextmanager
def serving(address: str | tuple[str, int], say: Callable[[Call], None]) -> Iterator[Server]:
    """A server at a path, or at a port, until the end of the block."""
    server: Server = UnixServer(address, Call) if isinstance(address, str) else PortServer(address, Call)
    server.say, server.calls = say, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
