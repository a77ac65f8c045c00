"""Server-sent events: `id`, `data`, a heartbeat when it is quiet, and a last word. The same events by long-poll.

event: end      the stream is complete; data says how what was followed ended, where that is known
event: resync   the coordinator is being replaced: come back with the last id
event: error    {code, message, hint}

Laws: a frame is written whole; the next one is asked for when the client has taken the last, so a slow client costs
one frame. A client that takes nothing for `STUCK_SECONDS` loses its connection. A quiet stream costs one timer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from wattle.core.errors import WattleError
from wattle.web.refusals import OURS, encode

HEARTBEAT_SECONDS = 15.0
STUCK_SECONDS = 30.0
RECHECK_BEATS = 4
"""After so many heartbeats it is asked again whether the client may see this: a login that was ended, ends streams."""
POLL_SECONDS = 20.0
GATHER_SECONDS = 0.05
"""After its first event a poll waits so long for more."""
POLL_EVENTS = 256
HELLO = b"retry: 2000\n: wattle\n\n"
"""Something to read at once: a proxy that buffers is found out by its absence."""


class Frames:
    """Replies as frames. What many clients are sent is encoded once: the newest frames are kept, up to `room` bytes."""

    def __init__(self, room: int = 2 << 20) -> None:
        self._room = room
        self._size = 0
        self._kept: OrderedDict[int, tuple[Any, bytes]] = OrderedDict()

    def of(self, reply: Any) -> bytes:
        """The frame of a reply; the very same object has the very same frame."""
        found = self._kept.get(id(reply))
        if found is not None:
            return found[1]
        data = frame(identity(reply), encode(reply))
        if len(data) <= self._room:
            self._kept[id(reply)] = reply, data
            self._size += len(data)
            while self._size > self._room or len(self._kept) > 64:
                self._size -= len(self._kept.popitem(last=False)[1][1])
        return data


class EventStream:
    """Sends replies by `write`, which returns when the client has taken the frame and raises `OSError` when the client
    is gone; `drop` cuts the connection of one that takes nothing; `recheck` raises when the client may no longer see
    this."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]], drop: Callable[[], None],
                 frames: Frames | None = None,
                 recheck: Callable[[], Awaitable[None]] | None = None) -> None:  # fmt: skip
        self._write = write
        self._drop = drop
        self._frames = frames or Frames()
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._spoken = False
        self._recheck = recheck
        self._beats = 0
        self._checking: asyncio.Future[None] | None = None

    async def run(self, first: Awaitable[Any], replies: AsyncIterator[Any], leaving: Callable[[], bool]) -> None:
        """Send the first reply, all others and the last word. Raises what `write` raises, and bugs."""
        timer = _Timer(self._loop, self._tick)
        try:
            await self._send(HELLO)
            last: Any = None
            try:
                with contextlib.suppress(StopAsyncIteration):
                    last = await first
                    await self._send(self._frames.of(last))
                async for last in replies:
                    await self._send(self._frames.of(last))
            except WattleError as error:
                await self._send(frame("", encode(error.to_dict()), "error"))
                return
            except (OSError, asyncio.CancelledError):
                raise
            except Exception:
                await self._send(frame("", encode(OURS.to_dict()), "error"))
                raise
            await self._send(frame("", b"{}", "resync") if leaving() else frame("", encode(ending(last)), "end"))
        finally:
            timer.cancel()

    async def _send(self, data: bytes) -> None:
        self._since = self._loop.time()
        await self._write(data)
        self._since = None
        self._spoken = True

    def _tick(self) -> None:
        if self._since is not None:
            if self._loop.time() - self._since >= STUCK_SECONDS:
                self._drop()
        elif not self._spoken:
            beat = asyncio.ensure_future(self._send(b": alive\n\n"))
            beat.add_done_callback(_heard)
        self._spoken = False
        self._beats += 1
        if self._recheck is not None and self._beats % RECHECK_BEATS == 0:
            self._checking = asyncio.ensure_future(self._check(self._recheck))
            self._checking.add_done_callback(_heard)

    async def _check(self, recheck: Callable[[], Awaitable[None]]) -> None:
        try:
            await recheck()
        except Exception as error:  # noqa: BLE001  who cannot be asked for is not let on
            if isinstance(error, WattleError):
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(self._write(frame("", encode(error.to_dict()), "error")), 1.0)
            self._drop()


class _Timer:
    """Calls back every `HEARTBEAT_SECONDS`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: Callable[[], None]) -> None:
        self._loop = loop
        self._tick = tick
        self._handle = loop.call_later(HEARTBEAT_SECONDS, self._ring)

    def _ring(self) -> None:
        self._handle = self._loop.call_later(HEARTBEAT_SECONDS, self._ring)
        self._tick()

    def cancel(self) -> None:
        self._handle.cancel()


def _heard(beat: asyncio.Future[None]) -> None:
    """Whether the client took a heartbeat is for the stream to find out."""
    if not beat.cancelled():
        beat.exception()


async def polled(replies: AsyncIterator[Any], leaving: Callable[[], bool], known: str) -> dict[str, Any]:
    """What there is after the id `known`, at once or within `POLL_SECONDS`: `{"events": [{id, event, data}], "id"}`.

    Raises:
        WattleError: the stream failed before its first event.
    """
    loop = asyncio.get_running_loop()
    events: list[dict[str, Any]] = []
    last: Any = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(POLL_SECONDS) as deadline:
            try:
                async for reply in replies:
                    last = reply
                    events.append({"id": identity(reply), "event": "message", "data": reply})
                    if len(events) >= POLL_EVENTS:
                        break
                    if len(events) == 1:
                        deadline.reschedule(loop.time() + GATHER_SECONDS)
                else:
                    word = ("resync", {}) if leaving() else ("end", ending(last))
                    events.append({"id": "", "event": word[0], "data": word[1]})
            except WattleError as error:
                if not events:
                    raise
                events.append({"id": "", "event": "error", "data": error.to_dict()})
    newest = next((event["id"] for event in reversed(events) if event["id"]), known)
    return {"events": events, "id": newest}


def identity(reply: Any) -> str:
    """What a client says to go on after this reply."""
    for name in ("position", "seq"):
        value = getattr(reply, name, "")
        if value:
            return str(value)
    return ""


def ending(last: Any) -> dict[str, Any]:
    """How what was followed ended, as far as the last reply says."""
    if getattr(last, "end", ""):
        return {"status": last.end, "reason": last.reason, "code": last.code, "signal": last.signal}
    run = getattr(last, "run", None)
    return {"status": run.status, "reason": run.reason} if run is not None else {}


def frame(identity_text: str, data: bytes, event: str = "") -> bytes:
    """One event; `data` is JSON and so has no line ends."""
    head = f"event: {event}\n" if event else ""
    head += f"id: {identity_text}\n" if identity_text else ""
    return head.encode() + b"data: " + data + b"\n\n"
