"""A coordinator, or a look-up service, in this very process: the transport without a socket.

The service lives on an event loop of another thread; questions are handed over and waited for. Imported only where a
service is hosted here, because it needs asyncio and msgspec.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

import msgspec

from wattle.core.errors import InternalError, Unreachable, WattleError
from wattle.core.requests import request_for
from wattle.sdk.transports import ConnectionLost

_END = object()
_ENDED = "The coordinator in this process has ended."
LOOK_SECONDS = 2.0
"""How often a question that waits looks whether there still is somebody to answer it."""


class LocalTransport:
    """Questions to `service`, which lives on `loop`."""

    def __init__(self, service: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop

    def request(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """One answer. Raises `WattleError`."""
        future = self._submit(self._ask(operation, request_for(operation, _given(fields))))
        try:
            reply: dict[str, Any] = self._wait(lambda: future.result(LOOK_SECONDS))
        except WattleError:
            raise
        except CancelledError:
            raise ConnectionLost(_ENDED) from None
        except Exception as error:
            raise InternalError(f"{operation} failed inside: {error!r}", "this is a bug of ours") from error
        return reply

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise Unreachable(_ENDED, "wattle up") from None

    def _wait(self, look: Callable[[], Any]) -> Any:
        """What `look` finds, which times out now and then: a loop that has been closed never answers."""
        while True:
            try:
                return look()
            except (TimeoutError, queue.Empty):
                if self._loop.is_closed():
                    raise ConnectionLost(_ENDED) from None

    async def _ask(self, operation: str, request: object) -> dict[str, Any]:
        reply: dict[str, Any] = msgspec.to_builtins(await getattr(self._service, operation)(request))
        return reply

    def stream(self, operation: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answers with their ids to the end. Raises `ConnectionLost` when the coordinator is being replaced."""
        pipe: queue.SimpleQueue[Any] = queue.SimpleQueue()
        future = self._submit(self._pump(operation, request_for(operation, _given(fields)), pipe))
        try:
            while (item := self._wait(lambda: pipe.get(timeout=LOOK_SECONDS))) is not _END:
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
            pipe.put(ConnectionLost(_ENDED))
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
