"""The table of operations as Tornado routes: one handler for answers and streams, errors mapped once.

Laws: a handler decodes, asks the service, encodes; it decides nothing. A door that needs authentication derives its
handlers from these, authenticates in `prepare`, and overrides `authorize` and `caller`. Every reply is JSON; user
bytes are never served as HTML. A body over its limit is counted and dropped as it comes, never kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from wattle.core.errors import InvalidRequest, WattleError
from wattle.core.operations import OPERATIONS, READ, UNRECORDED, Operation
from wattle.web import asking, sse
from wattle.web.audit import Audit
from wattle.web.refusals import encode, encoded, refusal, told
from wattle.web.streams import Streams

log = logging.getLogger("wattle.web")

POLL = frozenset({"poll"})
"""The query field that asks for a stream piece by piece."""
UNIX = "0.0.0.0"  # noqa: S104  what Tornado calls the other end of a local socket
OPENING_SECONDS = 0.3
"""A stream that is refused within this time is refused with its status; later, with an event."""


class ClientGone(Exception):
    """The connection was taken from under a stream."""


class Answers(Protocol):
    """What the handlers ask: a method per operation."""

    @property
    def leaving(self) -> bool:
        """The coordinator is letting go: streams must be taken up with its successor."""


@stream_request_body
class OperationHandler(RequestHandler):
    """All operations of one path. `service` may be None until the coordinator is ready."""

    operations: Mapping[str, Operation]
    recorded = False
    """The audit file has this request's line, here or where it was handed on to."""

    def initialize(self, operations: Mapping[str, Operation], service: Callable[[], Answers | None],
                   audit: Audit | None = None, door: str = "private",
                   streams: Streams | None = None) -> None:  # fmt: skip
        """Called by Tornado with the route's arguments."""
        self.operations = operations
        self.find_service = service
        self.audit = audit
        self.door = door
        self.streams = streams or Streams()
        self._following: asyncio.Task[Any] | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    # ---- for doors to override ----------------------------------------------------------------------------------

    def authorize(self, operation: Operation) -> None:
        """Raise `Forbidden` unless the caller may do this. Here the socket's file permission has said so."""

    async def recheck(self) -> None:
        """Raise a `WattleError` when who follows a stream may do so no longer; asked about once a minute. Nobody's
        permission ends here."""

    def caller(self) -> str:
        """Who asks, for the audit file and for limits. Here the other end of the socket, or on whose behalf it asks."""
        behalf = self.request.headers.get("X-Wattle-Caller", "")
        return f"{peer(self.request)} for {behalf}" if behalf else peer(self.request)

    # ---- the request --------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        """Nothing of this is for caches or for browsers to guess at."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
        self.set_header("Referrer-Policy", "no-referrer")

    @property
    def operation(self) -> Operation | None:
        """The row of the table that this path and method mean; None when the path does not know the method."""
        return self.operations.get(str(self.request.method))

    async def prepare(self, **options: Any) -> None:
        """Whoever authenticates does so first; then a body far too large, or not yet sent, is refused unread."""
        before = super().prepare(**options)
        if before is not None:
            await before
        limit = asking.body_limit(self.operation)
        length = self.request.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() and len(length) < 19 else 0
        if not self._finished and size > (limit if "Expect" in self.request.headers else asking.DRAIN_LIMIT):
            raise asking.too_large(limit)

    def data_received(self, chunk: bytes) -> None:
        """Keep the body up to its limit."""
        self._size += len(chunk)
        if self._size > asking.body_limit(self.operation):
            self._pieces.clear()
            return
        self._pieces.append(chunk)
        if str(self._size) == self.request.headers.get("Content-Length"):
            self.request.body = b"".join(self._pieces)

    def check_body(self) -> None:
        """Raise when the body that has come is over its limit; else `request.body` is whole."""
        limit = asking.body_limit(self.operation)
        if self._size > limit:
            raise asking.too_large(limit)
        if self._pieces and not self.request.body:
            self.request.body = b"".join(self._pieces)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A part of the path as text. Raises `InvalidRequest`."""
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name or 'the path'} is not UTF-8.", "percent-encode the UTF-8 form") from None

    def compute_etag(self) -> str | None:
        """None of Tornado's own: only what says its own version has one."""
        return None

    async def answer(self, **path: str) -> None:
        """Decode, ask, encode."""
        operation = self.operation
        if operation is None:
            raise HTTPError(405)
        self.authorize(operation)
        self.check_body()
        service = self.find_service()
        if service is None:
            raise refusal(503)
        request = await asking.question(self.request, operation, path, POLL if operation.stream else frozenset())
        ask = getattr(service, operation.name)
        if operation.stream:
            await self._follow(ask(request), service)
            return
        asked: Awaitable[Any] = ask(request)
        reply = await asked
        self._record("ok", reply)
        await self._reply(reply)

    get = post = put = delete = patch = head = options = answer

    async def _reply(self, reply: Any) -> None:
        etag = getattr(reply, "etag", "")
        if etag:
            self.set_header("Etag", f'"{etag}"')
            if self.request.method == "GET" and self.check_etag_header():
                self.set_status(304)
                self.finish()
                return
        self.finish(await encoded(reply))

    # ---- streams ------------------------------------------------------------------------------------------------

    async def _follow(self, replies: AsyncIterator[Any], service: Answers) -> None:
        """Send a stream, or what there is of it, for as long as the client is there."""
        self._following = asyncio.current_task()
        try:
            with self.streams.admitted(self.caller()):
                async with contextlib.aclosing(replies):  # type: ignore[type-var]
                    await self._send_all(replies, lambda: service.leaving)
        except (StreamClosedError, ClientGone):
            return
        except asyncio.CancelledError:
            if self._following is not None:
                raise
        finally:
            self._following = None

    async def _send_all(self, replies: AsyncIterator[Any], leaving: Callable[[], bool]) -> None:
        if self.get_query_argument("poll", "") not in {"", "0", "false"}:
            known = self.request.headers.get("Last-Event-ID", "")
            self.finish(await encoded(await sse.polled(replies, leaving, known)))
            return
        first = asyncio.ensure_future(anext(replies))
        try:
            await asyncio.wait({first}, timeout=OPENING_SECONDS)
            if first.done() and isinstance(first.exception(), WattleError):
                await first
            await self._stream(first, replies, leaving)
        finally:
            first.cancel()
            await asyncio.wait({first})

    async def _stream(self, first: asyncio.Future[Any], replies: AsyncIterator[Any],
                      leaving: Callable[[], bool]) -> None:  # fmt: skip
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")
        self._transforms = []  # no compression: it would hold frames back and cost 256 kB a client
        stream = sse.EventStream(self._send, self._drop, self.streams.frames, self.recheck)
        await stream.run(first, replies, leaving)

    async def _send(self, data: bytes) -> None:
        if not self._headers_written:
            await self.flush()
        # Past RequestHandler.write: what is sent is framed already and shared between clients.
        connection = self.request.connection
        if connection is None:
            raise ClientGone
        await connection.write(data)

    def _drop(self) -> None:
        """Cut the connection: whoever takes nothing for so long will not miss it."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.close()

    def on_connection_close(self) -> None:
        """The client has gone: so does what is done for it alone."""
        super().on_connection_close()
        following, self._following = self._following, None
        if following is not None:
            following.cancel()

    # ---- refusals -----------------------------------------------------------------------------------------------

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error in one form."""
        error = told(status_code, kwargs.get("exc_info", (None, None, None))[1])
        self._record(error.code)
        self.set_status(error.http_status)
        if error.http_status == 405:
            self.set_header("Allow", ", ".join(sorted(self.operations)))
        if error.http_status == 503:
            self.set_header("Retry-After", "1")
        self.finish(encode(error.to_dict()))

    def _record(self, outcome: str, reply: Any = None) -> None:
        """One line in the audit file for what writes or executes; a reply may say what was made."""
        operation = self.operation
        if self.audit is None or self.recorded or operation is None or operation.access == READ:
            return
        if operation.name in UNRECORDED:
            return
        self.recorded = True
        try:
            who = self.caller()
        except Exception:  # noqa: BLE001  whoever was not let in has no name
            who = "nobody"
        path = getattr(self, "path_kwargs", None) or {}
        address = "/".join(path[name] for name in ("workflow", "worker") if name in path) or getattr(reply, "name", "")
        run = getattr(reply, "address", "")
        client = self.request.remote_ip or ""
        self.audit.record(who=who, door=self.door, client="local" if client == UNIX else client,
                          operation=operation.name, address=address, run=run, outcome=outcome)  # fmt: skip

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A user's mistake is no news; a bug of ours is, with its traceback, in the log only."""
        if not isinstance(value, WattleError | HTTPError):
            log.error("%s %s", self.request.method, self.request.path, exc_info=(typ, value, tb))


class UnknownRoute(OperationHandler):
    """Any other path."""

    def initialize(self) -> None:  # type: ignore[override]
        """Called by Tornado."""
        super().initialize({}, lambda: None)

    async def answer(self, *_: str) -> None:  # type: ignore[override]
        """There is nothing here."""
        raise HTTPError(404)

    get = post = put = delete = patch = options = head = answer  # type: ignore[assignment]


def routes(service: Callable[[], Answers | None], handler: type[OperationHandler] = OperationHandler,
           prefix: str = "", **options: Any) -> Sequence[tuple[str, type[RequestHandler], dict[str, Any]]]:  # fmt: skip
    """One route per path of the table. `options` are further arguments of the handler's `initialize`; the routes share
    their streams' limits."""
    options = {"streams": Streams(), **options}
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.verb] = operation
    return [(prefix + _pattern(path), handler, {"operations": operations, "service": service, **options})
            for path, operations in by_path.items()]  # fmt: skip


def _pattern(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: rf"(?P<{m[1]}>{r'[0-9]{1,9}' if m[1] == 'number' else '[^/]+'})", path) + "/?"


def peer(request: HTTPServerRequest) -> str:
    """`uid:N` of the other end of a local socket; this process's own where the system does not say."""
    stream = getattr(request.connection, "stream", None)
    link: socket.socket | None = getattr(stream, "socket", None)
    if link is not None and hasattr(socket, "SO_PEERCRED") and link.family == socket.AF_UNIX:
        _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return f"uid:{uid}"
    return f"uid:{os.getuid()}"
