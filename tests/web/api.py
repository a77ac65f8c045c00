"""A real coordinator behind a port of the loopback: the private door's routes, and the documents beside them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

from tests.helpers import DEADLINE, wait_until
from tests.web.doors import Answer
from wattle import succession
from wattle.host import Host
from wattle.settings import load, prepare_home
from wattle.web.asking import DRAIN_LIMIT
from wattle.web.documents import Documents, document_routes
from wattle.web.handlers import UnknownRoute, routes
from wattle.web.streams import Streams


class Api:
    """The API at `port`."""

    def __init__(self, port: int, host: Host) -> None:
        self.port = port
        self.host = host
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """One request; a body is sent as JSON."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            body = json.dumps(body).encode()
            said = {"Content-Type": "application/json", **said}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request(method, target, body, said)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Api]:
    """A coordinator in a thread of its own; it is ended, and its supervisor ends when it has been alone for a while."""
    settings = load({"home": str(folder / "home")}, {})
    prepare_home(settings)
    hold = succession.take_or_join(settings, "background", 0.0)
    assert hold is not None
    hold.bind()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    hosts: list[Host] = []
    over = threading.Event()

    async def serve() -> None:
        host = Host(settings, hold)
        streams = Streams()
        rules: list[Any] = [
            *routes(lambda: host.service, streams=streams),
            *document_routes(lambda: host.service, Documents("/", "1.2.3"), counted=[streams]), (r".*", UnknownRoute),
        ]  # fmt: skip
        server = HTTPServer(Application(rules, log_function=lambda _handler: None), max_body_size=DRAIN_LIMIT)
        server.add_socket(listener)
        hosts.append(host)
        try:
            await host.run()
        finally:
            server.stop()
            await server.close_all_connections()
            over.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        wait_until(lambda: over.is_set() or (hosts and hosts[0].service is not None))
        assert not over.is_set()
        yield Api(listener.getsockname()[1], hosts[0])
    finally:
        host = hosts[0]
        if host.loop is not None and not over.is_set():
            host.loop.call_soon_threadsafe(lambda: host.leave(hand_over=False))
        thread.join(DEADLINE)
        listener.close()
