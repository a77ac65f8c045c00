"""The table of operations as Tornado routes: one handler for answers, one for streams, errors mapped once.

Laws: a handler decodes, asks the service, encodes; it decides nothing. A door that needs authentication derives its
handlers from these and overrides `authorize`. Every reply is JSON; user bytes are never served as HTML.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from wattle.core.errors import InternalError, InvalidRequest, WattleError
from wattle.core.operations import OPERATIONS, Operation
from wattle.core.requests import request_for
from wattle.web import sse

log = logging.getLogger("wattle.web")

BODY_LIMIT = 9 << 20
"""Bytes of a request: an 8 MiB document and what surrounds it."""


class Answers(Protocol):
    """What the handlers ask: a method per operation."""

    @property
    def leaving(self) -> bool:
        """The coordinator is letting go: streams must be taken up with its successor."""


class OperationHandler(RequestHandler):
    """All operations of one path. `service` may be None until the coordinator is ready."""

    def initialize(self, operations: Mapping[str, Operation], service: Callable[[], Answers | None]) -> None:
        """Called by Tornado with the route's arguments."""
        self.operations = operations
        self.find_service = service

    def set_default_headers(self) -> None:
        """Nothing of this is for caches or for browsers to guess at."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
        self.set_header("Referrer-Policy", "no-referrer")

    def authorize(self, operation: Operation) -> None:
        """Raise `Forbidden` unless the caller may do this. Here the socket's file permission has said so."""

    async def answer(self, **path: str) -> None:
        """Decode, ask, encode."""
        method = str(self.request.method)
        operation = self.operations.get(method)
        if operation is None:
            self.set_header("Allow", ", ".join(sorted(self.operations)))
            raise HTTPError(405)
        self.authorize(operation)
        service = self.find_service()
        if service is None:
            self.set_header("Retry-After", "1")
            raise HTTPError(503)
        fields, text = self._fields(operation)
        request = request_for(operation.name, {**fields, **self._numbers(path, text=text)}, text=text)
        ask = getattr(service, operation.name)
        if operation.stream:
            await self._stream(ask(request), service)
        else:
            reply: Awaitable[Any] = ask(request)
            self.finish(msgspec.json.encode(await reply))

    get = post = put = delete = answer

    def _fields(self, operation: Operation) -> tuple[dict[str, Any], bool]:
        if operation.verb in {"GET", "DELETE"}:
            return {name: self.get_query_argument(name) for name in self.request.query_arguments}, True
        body = self.request.body
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            raise HTTPError(415)
        try:
            fields = msgspec.json.decode(body) if body else {}
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"the body is not JSON: {error}", "send one JSON object") from None
        except RecursionError:
            raise InvalidRequest("the body is nested too deeply", "send one JSON object") from None
        if not isinstance(fields, dict):
            raise InvalidRequest("the body is not a JSON object", "send the fields of the operation as one object")
        return fields, False

    @staticmethod
    def _numbers(path: dict[str, str], *, text: bool) -> dict[str, Any]:
        if text or "number" not in path:
            return dict(path)
        return {**path, "number": int(path["number"])}

    async def _stream(self, replies: AsyncIterator[Any], service: Answers) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        stream = sse.EventStream(self._send)
        try:
            await stream.run(replies, leaving=lambda: service.leaving)
        except (StreamClosedError, sse.TooSlow):
            with contextlib.suppress(Exception):
                self.detach().close()
        finally:
            with contextlib.suppress(RuntimeError):
                await replies.aclose()  # type: ignore[attr-defined]

    async def _send(self, data: bytes) -> None:
        if not self._headers_written:
            await self.flush()
        self.write(data)
        await self.flush()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error in one form."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        told = _told(status_code, error)
        self.set_status(told.http_status if isinstance(error, WattleError) else status_code)
        self.finish(msgspec.json.encode(told.to_dict()))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A user's mistake is no news; a bug of ours is, with its traceback, in the log only."""
        if not isinstance(value, WattleError | HTTPError):
            log.error("%s %s", self.request.method, self.request.path, exc_info=(typ, value, tb))


class UnknownRoute(OperationHandler):
    """Any other path."""

    def initialize(self) -> None:  # type: ignore[override]
        """Called by Tornado."""

    async def answer(self, *_: str) -> None:  # type: ignore[override]
        """There is nothing here."""
        raise HTTPError(404)

    get = post = put = delete = patch = options = head = answer  # type: ignore[assignment]


def _told(status: int, error: BaseException | None) -> WattleError:
    if isinstance(error, WattleError):
        return error
    texts = {
        400: ("invalid-request", "the request makes no sense", "look at the operation's fields"),
        404: ("not-found", "there is nothing at this path", "the paths are listed in the documentation"),
        405: ("method-not-allowed", "this path does not know this method", "the Allow header lists what it knows"),
        413: ("too-large", "the body is too large", "documents may have 8 MiB"),
        415: ("unsupported-media-type", "the body must be JSON", "send Content-Type: application/json"),
        503: ("starting", "the coordinator is starting", "try again in a second"),
    }
    if status in texts:
        code, message, hint = texts[status]
        return InvalidRequest(message, hint, code=code)
    return InternalError("Wattle failed inside; this is a bug of ours.", "the coordinator's log has the story")


def routes(service: Callable[[], Answers | None], handler: type[OperationHandler] = OperationHandler,
           prefix: str = "") -> Sequence[tuple[str, type[RequestHandler], dict[str, Any]]]:  # fmt: skip
    """One route per path of the table."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.verb] = operation
    return [(prefix + _pattern(path), handler, {"operations": operations, "service": service})
            for path, operations in by_path.items()]  # fmt: skip


def _pattern(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: rf"(?P<{m[1]}>{r'[0-9]+' if m[1] == 'number' else '[^/]+'})", path) + "/?"


