"""A request handed on to the coordinator that holds the state root, and its answer handed back as it comes.

Laws: who asks was established before; the private door believes this process because it is the same user's. Only
headers that mean something to the other side travel. Nothing is kept: a stream is passed on piece by piece, at the
pace of its reader.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from wattle.core.errors import Unreachable
from wattle.web.handlers import OperationHandler

ASKED = ("Content-Type", "Accept", "Last-Event-ID", "If-Match", "If-None-Match", "Idempotency-Key")
ANSWERED = frozenset({"content-type", "etag", "retry-after", "allow", "x-accel-buffering", "cache-control"})
PIECE = 1 << 16
HEAD_LIMIT = 1 << 16
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def forward(handler: RequestHandler, connect: Connect, target: str, caller: str,
                  entry: Mapping[str, str]) -> None:  # fmt: skip
    """Answer `handler` with what the coordinator behind `connect` says to `target` (path and query). `entry` are the
    headers that its door wants.

    Raises:
        Unreachable: nobody answered; nothing was written yet.
        WattleError: the body is over its limit.
    """
    if isinstance(handler, OperationHandler):
        handler.check_body()
    try:
        reader, writer = await connect()
    except OSError as error:
        raise Unreachable(f"The coordinator that holds the state root does not answer ({error.strerror or error}).",
                          "try again in a second") from None  # fmt: skip
    if isinstance(handler, OperationHandler):
        handler.recorded = True  # where it is done
    try:
        writer.write(_question(handler, target, caller, entry))
        await writer.drain()
        length = await _head(handler, reader)
        await _body(handler, reader, length)
    except (OSError, asyncio.IncompleteReadError, ValueError):
        if not handler._headers_written:  # noqa: SLF001  Tornado has no other word for it
            raise Unreachable("The coordinator that holds the state root went away.", "try again in a second") from None
        with contextlib.suppress(StreamClosedError):
            handler.write(b"event: resync\ndata: {}\n\n")
            await handler.flush()
    except StreamClosedError:
        return
    finally:
        writer.close()
    if not handler._finished:  # noqa: SLF001
        with contextlib.suppress(StreamClosedError):
            await handler.finish()


def _question(handler: RequestHandler, target: str, caller: str, entry: Mapping[str, str]) -> bytes:
    request = handler.request
    lines = [f"{request.method} {target} HTTP/1.1", "Connection: close",
             f"Content-Length: {len(request.body)}", f"X-Wattle-Caller: {_plain(caller)}"]  # fmt: skip
    lines += [f"{name}: {value}" for name, value in entry.items()]
    lines += [f"{name}: {_plain(request.headers[name])}" for name in ASKED if name in request.headers]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + request.body


def _plain(value: str) -> str:
    return "".join(char for char in value if char.isprintable())


async def _head(handler: RequestHandler, reader: asyncio.StreamReader) -> int | None:
    """Status and headers; returns the length of the body, None when it comes in chunks."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    handler.set_status(int(lines[0].split(" ", 2)[1]))
    length: int | None = 0
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in ANSWERED:
            handler.set_header(name.title(), value)
        elif name == "content-length":
            length = int(value)
        elif name == "transfer-encoding" and value.lower() == "chunked":
            length = None
    return length


async def _body(handler: RequestHandler, reader: asyncio.StreamReader, length: int | None) -> None:
    if length is not None:
        while length > 0:
            piece = await reader.read(min(PIECE, length))
            if not piece:
                raise asyncio.IncompleteReadError(b"", length)
            length -= len(piece)
            handler.write(piece)
            await handler.flush()
        return
    while size := int((await reader.readline()).partition(b";")[0], 16):
        handler.write(await reader.readexactly(size))
        await reader.readexactly(2)
        await handler.flush()
    await reader.readline()
