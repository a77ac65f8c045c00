"""The private door: the table of operations on a Unix socket that only its owner can open.

Whoever holds the state root binds it before anything heavy is imported or recovered, so that clients queue instead of
failing; `PrivateDoor` begins to answer when the service is there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

from wattle.web.asking import DRAIN_LIMIT
from wattle.web.handlers import Answers, UnknownRoute, routes


class PrivateDoor:
    """Serves one bound listening socket on the running loop."""

    def __init__(self, listener: socket.socket, service: Callable[[], Answers | None], **options: Any) -> None:
        """`options` are further arguments of the handlers: `audit`, say."""
        rules: list[Any] = [*routes(service, **options), (r".*", UnknownRoute)]
        application = Application(rules, log_function=lambda _handler: None)
        self._server = HTTPServer(application, max_body_size=DRAIN_LIMIT, idle_connection_timeout=3600)
        self._server.add_socket(listener)
        self._listener = listener

    async def close(self) -> None:
        """Accept nothing more and end what is open."""
        self._server.stop()
        await self._server.close_all_connections()
