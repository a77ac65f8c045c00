"""The private door: the table of operations on a Unix socket that only its owner can open; or, where
there are none, on a port of 127.0.0.1 that opens to a token, which only its owner can read.

Whoever holds the state root binds it before anything heavy is imported or recovered, so that clients queue instead of
failing; `PrivateDoor` begins to answer when the service is there.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application

from wattle import __version__
from wattle.core.errors import Forbidden
from wattle.core.measures import Measures
from wattle.web.asking import DRAIN_LIMIT
from wattle.web.documents import Documents, document_routes
from wattle.web.handlers import Answers, UnknownRoute, routes
from wattle.web.services import Live, service_routes
from wattle.web.streams import Streams


class PrivateDoor:
    """Serves one bound listening socket on the running loop."""

    def __init__(self, listener: socket.socket, service: Callable[[], Answers | None], token: str | None = None,
                 *, measures: Callable[[], Measures | None] = lambda: None, streams: Streams | None = None,
                 live: Callable[[], Live | None] = lambda: None, **options: Any) -> None:  # fmt: skip
        """`token` guards a listener that is a port; `measures` are the coordinator's numbers; `live` are its hands on
        the bus; `options` are further arguments of the handlers: `audit`, say."""
        streams = streams or Streams()
        documents = document_routes(service, Documents("", __version__), measures=measures, counted=[streams])
        rules: list[Any] = [*routes(service, streams=streams, **options), *documents,
                            *service_routes(live, streams), (r".*", UnknownRoute)]  # fmt: skip
        application = Application(rules, log_function=lambda _handler: None)
        if token is not None:
            application = Guarded(rules, listener.getsockname()[1], token)
        self._server = HTTPServer(application, max_body_size=DRAIN_LIMIT, idle_connection_timeout=3600)
        self._server.add_socket(listener)
        self._listener = listener

    async def close(self) -> None:
        """Accept nothing more and end what is open."""
        self._server.stop()
        await self._server.close_all_connections()


class Guarded(Application):
    """Refuses, before anything of it is looked at, what a program without the token says, and what a web page makes a
    browser say: a page sends its origin, and behind a name that was bound to 127.0.0.1 it sends that name."""

    def __init__(self, rules: list[Any], port: int, token: str) -> None:
        super().__init__(rules, log_function=lambda _handler: None)
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._said = f"token {token}".encode()

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """The route of a request that may come in; else a refusal."""
        error = self._error(request)
        if error is None:
            return super().find_handler(request, **kwargs)
        return self.get_handler_delegate(request, Refused, {"error": error})

    def _error(self, request: HTTPServerRequest) -> Forbidden | None:
        headers = request.headers
        if headers.get("Host", "").lower() not in self._hosts:
            return Forbidden("This door is known as 127.0.0.1 and by no other name.", "use the command line")
        if "Origin" in headers:
            return Forbidden("This door is not for web pages.", "run: wattle serve")
        if not hmac.compare_digest(headers.get("Authorization", "").encode("utf-8", "replace"), self._said):
            return Forbidden("This door opens to the token in its owner's file only.", "use the command line")
        return None


class Refused(UnknownRoute):
    """A request that was not let in."""

    def initialize(self, error: Forbidden) -> None:  # type: ignore[override]
        """Called by Tornado."""
        super().initialize()
        self.error = error

    async def prepare(self, **_options: Any) -> None:
        """Refuse before the body is read."""
        raise self.error
