"""Server-sent events: `id`, `data`, a heartbeat when it is quiet, and a last word.

event: end      the stream is complete
event: resync   the coordinator is being replaced: come back with the last id
event: error    {code, message, hint}
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from wattle.core.errors import InternalError, WattleError

HEARTBEAT_SECONDS = 15.0
STUCK_SECONDS = 30.0
"""A client that takes nothing for so long is let go."""


class TooSlow(Exception):
    """The client has not read for `STUCK_SECONDS`."""


class EventStream:
    """Frames replies for `send`, which returns when the client has room for more."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send_bytes = send

    async def run(self, replies: AsyncIterator[Any], *, leaving: Callable[[], bool]) -> None:
        """Send all replies and the last word. Raises `TooSlow` and what `send` raises."""
        await self._send(b": wattle\n\n")
        waiting: asyncio.Future[Any] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(replies))
                done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT_SECONDS)
                if not done:
                    await self._send(b": alive\n\n")
                    continue
                try:
                    reply = waiting.result()
                except StopAsyncIteration:
                    break
                finally:
                    waiting = None
                await self._send(frame(identity(reply), msgspec.json.encode(reply)))
        except WattleError as error:
            await self._send(frame("", msgspec.json.encode(error.to_dict()), "error"))
            return
        except (TooSlow, OSError, asyncio.CancelledError):
            raise
        except Exception as error:
            told = InternalError("Wattle failed inside; this is a bug of ours.", "the coordinator's log has the story")
            await self._send(frame("", msgspec.json.encode(told.to_dict()), "error"))
            raise error from None
        finally:
            if waiting is not None:
                waiting.cancel()
        await self._send(frame("", b"{}", "resync" if leaving() else "end"))

    async def _send(self, data: bytes) -> None:
        try:
            await asyncio.wait_for(self._send_bytes(data), STUCK_SECONDS)
        except TimeoutError:
            raise TooSlow from None


def identity(reply: Any) -> str:
    """What a client says to go on after this reply."""
    for name in ("position", "seq"):
        value = getattr(reply, name, "")
        if value:
            return str(value)
    return ""


def frame(identity_text: str, data: bytes, event: str = "") -> bytes:
    """One event; `data` is JSON and so has no line ends."""
    head = f"event: {event}\n" if event else ""
    head += f"id: {identity_text}\n" if identity_text else ""
    return head.encode() + b"data: " + data + b"\n\n"
