"""What is served beside the table: the OpenAPI document, its page, and the metrics.

Laws: the document and its page are made once, in a thread, when somebody asks first, and are the same bytes from then
on; their libraries are imported no sooner. The metrics are a picture of the moment and are never kept. A door that
authenticates derives its handler from `DocumentHandler`, as it does from `OperationHandler`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from tornado.web import HTTPError, RequestHandler

from wattle.core.measures import Measures
from wattle.core.operations import READ, Operation
from wattle.core.replies import Health
from wattle.core.requests import GetHealth
from wattle.web.handlers import Answers, OperationHandler
from wattle.web.refusals import refusal
from wattle.web.streams import Streams

OPENAPI, PAGE, METRICS = (
    Operation(name, "GET", f"/api/wattle/{last}", "", "", False, READ, (), text) for name, last, text in (
        ("get_openapi", "openapi.json", "The OpenAPI document"), ("get_docs", "docs", "The OpenAPI document as a page"),
        ("get_metrics", "metrics", "Prometheus's metrics"),
    )
)  # fmt: skip


CLOSED = "default-src 'none'; frame-ancestors 'none'; sandbox"


class Served(NamedTuple):
    """Bytes that do not change."""

    body: bytes
    kind: str
    policy: str
    etag: str


class Documents:
    """The document and its page for one place of mounting, made when they are asked for. `base_url` is the path below
    which the API is mounted."""

    def __init__(self, base_url: str, version: str) -> None:
        self._base_url = base_url
        self._version = version
        self._made: asyncio.Future[dict[str, Served]] | None = None

    async def served(self, name: str) -> Served:
        """`get_openapi` or `get_docs`."""
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
        return (await asyncio.shield(self._made))[name]

    def _make(self) -> dict[str, Served]:
        from wattle.web.openapi import openapi_document
        from wattle.web.reference import POLICY, page_html

        document = openapi_document(self._base_url, self._version)
        text = msgspec.json.encode(document)
        return {
            OPENAPI.name: _served(text, "application/json; charset=utf-8", CLOSED),
            PAGE.name: _served(page_html(document).encode(), "text/html; charset=utf-8", POLICY),
        }


class DocumentHandler(OperationHandler):
    """One document. `measures` gives the coordinator's numbers, None where there are none here; `counted` are the
    streams of every door of this process."""

    def initialize(self, operation: Operation, service: Callable[[], Answers | None],  # type: ignore[override]
                   documents: Documents, measures: Callable[[], Measures | None] = lambda: None,
                   counted: Sequence[Streams] = ()) -> None:  # fmt: skip
        """Called by Tornado with the route's arguments."""
        super().initialize({"GET": operation}, service)
        self.documents = documents
        self.measures = measures
        self.counted = counted

    async def answer(self, **_: str) -> None:
        """The bytes, or 304 when the caller has them."""
        operation = self.operation
        if operation is None:
            raise HTTPError(405)
        self.authorize(operation)
        if operation is METRICS:
            await self._metrics()
            return
        served = await self.documents.served(operation.name)
        self.set_header("Content-Type", served.kind)
        self.set_header("Content-Security-Policy", served.policy)
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Etag", served.etag)
        if self.check_etag_header():
            self.set_status(304)
            self.finish()
            return
        self.finish(served.body)

    get = post = put = delete = patch = head = options = answer

    async def _metrics(self) -> None:
        service: Any = self.find_service()
        if service is None:
            raise refusal(503)
        health = cast("Health", await service.get_health(GetHealth()))
        streams = sum(streams.callers.total() for streams in self.counted)
        text, kind = await asyncio.to_thread(_writer)
        self.set_header("Content-Type", kind)
        self.finish(text(health, self.measures(), streams=streams))


def document_routes(
    service: Callable[[], Answers | None], documents: Documents, handler: type[DocumentHandler] = DocumentHandler,
    prefix: str = "", **options: Any,
) -> Sequence[tuple[str, type[RequestHandler], dict[str, Any]]]:  # fmt: skip
    """One route per document. `options` are further arguments of the handler's `initialize`: `measures`, `counted`."""
    given = {"service": service, "documents": documents, **options}
    return [(f"{prefix}{operation.path}/?", handler, {"operation": operation, **given})
            for operation in (OPENAPI, PAGE, METRICS)]  # fmt: skip


def _writer() -> tuple[Callable[..., bytes], str]:
    from wattle.web.metrics import CONTENT_TYPE, metrics_text

    return metrics_text, CONTENT_TYPE


def _served(body: bytes, kind: str, policy: str) -> Served:
    return Served(body, kind, policy, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
