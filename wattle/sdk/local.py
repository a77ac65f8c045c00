"""A coordinator, or a look-up service, in this very process: the transport without a socket.

The service lives on an event loop of another thread; questions are handed over and waited for. Imported only where a
service is hosted here, because it needs asyncio and msgspec.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from wattle.core.errors import InternalError, Unreachable, WattleError
from wattle.core.requests import request_for
from wattle.sdk.transports import ConnectionLost

_END = object()


class LocalTransport:
    """Questions to `service`, which lives on `loop`."""

    def __init__(self, service: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop

    def request(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """One answer. Raises `WattleError`."""
        request = request_for(operation, _given(fields))
        try:
            future = asyncio.run_coroutine_threadsafe(self._ask(operation, request), self._loop)
        except RuntimeError:
            raise Unreachable("The coordinator in this process has ended.", "wattle up") from None
        try:
            reply: dict[str, Any] = future.result()
        except WattleError:
            raise
        except Exception as error:
            raise InternalError(f"{operation} failed inside: {error!r}", "this is a bug of ours") from error
        return reply

    async def _ask(self, operation: str, request: object) -> dict[str, Any]:
        reply: dict[str, Any] = msgspec.to_builtins(await getattr(self._service, operation)(request))
        return reply

    def stream(self, operation: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answers with their ids to the end. Raises `ConnectionLost` when the coordinator is being replaced."""
        request = request_for(operation, _given(fields))
        pipe: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            future = asyncio.run_coroutine_threadsafe(self._pump(operation, request, pipe), self._loop)
        except RuntimeError:
            raise ConnectionLost("The coordinator in this process has ended.") from None
        try:
            while (item := pipe.get()) is not _END:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            future.cancel()

    async def _pump(self, operation: str, request: object, pipe: queue.SimpleQueue[Any]) -> None:
        replies = getattr(self._service, operation)(request)
        try:
            async for reply in replies:
                pipe.put((_identity(reply), msgspec.to_builtins(reply)))
            if self._service.leaving:
                pipe.put(ConnectionLost("The coordinator is being replaced."))
        except WattleError as error:
            pipe.put(error)
        except asyncio.CancelledError:
            pipe.put(ConnectionLost("The coordinator in this process has ended."))
            raise
        except Exception as error:  # noqa: BLE001  it is raised again on the asking side
            pipe.put(InternalError(f"{operation} failed inside: {error!r}", "this is a bug of ours"))
        finally:
            pipe.put(_END)
            await replies.aclose()

    def close(self) -> None:
        """Nothing is held."""


def service_transport(service: Any) -> LocalTransport:
    """A transport to a service that nobody hosts yet: it gets a loop in a thread that ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="wattle-lookup", daemon=True).start()
    return LocalTransport(service, loop)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _identity(reply: object) -> str:
    for name in ("position", "seq"):
        value = getattr(reply, name, "")
        if value:
            return str(value)
    return ""
