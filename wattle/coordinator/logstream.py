"""A worker's log as chunks: a piece of it, or all of it as it grows, from attempt to attempt, to the end.

Laws: a position is `attempt.out.err`, the next byte of each file; who comes back with the position of the last chunk
misses nothing and sees nothing twice. A reader that cannot keep up is taken ahead, and told how many bytes it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from wattle.core.chunks import decode
from wattle.core.errors import InvalidRequest
from wattle.core.ports import Logs
from wattle.core.replies import LogChunk, LogChunks
from wattle.core.requests import FollowLogs, ReadLogs

CHUNK = 256 << 10
LAG_LIMIT = 64 << 20
"""Bytes that a follower may be behind before it is taken ahead."""
KEPT_BEHIND = 1 << 20
STREAMS = ("stdout", "stderr")


class LogView:
    """What a reader must know of a worker: its newest attempt, whether it has ended, and where the files lie."""

    def __init__(self, worker: str, state: Callable[[], tuple[int, bool]], paths: Callable[[int], dict[str, str]],
                 news: Callable[[], asyncio.Event] | None, status: Callable[[], str],
                 leaving: Callable[[], bool] = lambda: False) -> None:  # fmt: skip
        self.worker = worker
        self.state = state
        """(newest attempt, the worker has ended)"""
        self.paths = paths
        """attempt -> {"stdout": path, "stderr": path}; only stdout when the logs are merged"""
        self.news = news
        """An event that is set when the state may have changed; None when it never will."""
        self.status = status
        self.leaving = leaving
        """Whether nobody follows the state any more: the stream ends, and is taken up with the next coordinator."""


def read(logs: Logs, view: LogView, request: ReadLogs) -> LogChunks:
    """One piece of one or both streams."""
    newest, ended = view.state()
    attempt = request.attempt if request.attempt is not None else newest
    if not 0 <= attempt <= newest:
        raise InvalidRequest(f"{view.worker} has no attempt {attempt}.", f"its newest attempt is {newest}")
    _check(offset=request.offset, limit=request.limit, tail=request.tail)
    paths = view.paths(attempt)
    sizes = {stream: logs.size(path) for stream, path in paths.items()}
    chunks = []
    for stream, path in paths.items():
        if request.stream not in {None, stream}:
            continue
        offset = request.offset if request.tail is None else logs.tail_offset(path, request.tail)
        data = logs.read(path, offset, min(request.limit, CHUNK << 4))
        if data:
            last = offset + len(data) >= sizes[stream]
            chunk = _chunk(view.worker, attempt, stream, offset, data, final=last)
            if chunk.to_offset == offset:  # the limit is smaller than a character
                chunk = _chunk(view.worker, attempt, stream, offset, data, final=True)
            chunks.append(chunk)
    return LogChunks(chunks=chunks, attempt=attempt, sizes=sizes, complete=ended or attempt < newest)


async def follow(logs: Logs, view: LogView, request: FollowLogs) -> AsyncIterator[LogChunk]:
    """Every byte from the position on, attempt after attempt, then a last chunk that says how it ended. Without that
    last chunk when the coordinator lets go."""
    _check(tail=request.tail)
    attempt, offsets = _position(view, request)
    if request.position is None:
        attempt = max(1, view.state()[0])
        if request.tail is not None:
            for stream, path in view.paths(attempt).items():
                offsets[stream] = await asyncio.to_thread(logs.tail_offset, path, request.tail)
    while True:
        over = False
        async with contextlib.aclosing(_rounds(logs, view, attempt)) as rounds:
            async for over in rounds:
                async for chunk in _drain(logs, view, request, attempt, offsets, final=over):
                    yield chunk
        newest, _ = view.state()
        if not over:
            return
        if attempt >= newest:
            break
        attempt, offsets = attempt + 1, dict.fromkeys(STREAMS, 0)
    yield LogChunk(worker=view.worker, attempt=attempt, stream="", from_offset=0, to_offset=0,
                   position=_text(attempt, offsets), end=view.status())  # fmt: skip


async def _rounds(logs: Logs, view: LogView, attempt: int) -> AsyncGenerator[bool, None]:
    """Yields whenever there may be more of this attempt; True, and no more, when nothing will follow. Ends after a
    False when the coordinator lets go."""
    newest, ended = view.state()
    if ended or newest > attempt or view.news is None:
        yield True
        return
    wake = asyncio.Event()
    changes = asyncio.create_task(_watch(logs, list(view.paths(attempt).values()), wake))
    try:
        while True:
            news = view.news()
            newest, ended = view.state()
            over = ended or newest > attempt
            yield over
            if over or view.leaving():
                return
            waits = [asyncio.ensure_future(wake.wait()), asyncio.ensure_future(news.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            wake.clear()
    finally:
        changes.cancel()


async def _watch(logs: Logs, paths: list[str], wake: asyncio.Event) -> None:
    async for _ in logs.changes(paths):
        wake.set()


async def _drain(logs: Logs, view: LogView, request: FollowLogs, attempt: int, offsets: dict[str, int],
                 *, final: bool) -> AsyncIterator[LogChunk]:  # fmt: skip
    for stream, path in view.paths(attempt).items():
        if request.stream not in {None, stream}:
            continue
        while True:
            size = logs.size(path)
            skipped = 0
            if size - offsets[stream] > LAG_LIMIT and not final:
                skipped = size - KEPT_BEHIND - offsets[stream]
                offsets[stream] = size - KEPT_BEHIND
            data = logs.read(path, offsets[stream], CHUNK)
            if not data:
                break
            last = final and offsets[stream] + len(data) >= size
            chunk = _chunk(view.worker, attempt, stream, offsets[stream], data, final=last)
            if chunk.to_offset == chunk.from_offset:
                break
            offsets[stream] = chunk.to_offset
            chunk.skipped, chunk.position = skipped, _text(attempt, offsets)
            yield chunk


def _chunk(worker: str, attempt: int, stream: str, offset: int, data: bytes, *, final: bool) -> LogChunk:
    decoded = decode(data, final=final)
    return LogChunk(worker=worker, attempt=attempt, stream=stream, from_offset=offset,
                    to_offset=offset + decoded.used, text=decoded.text, base64=decoded.base64)  # fmt: skip


def _check(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and not 0 <= number < 1 << 62:
            raise InvalidRequest(f"{name}={number} makes no sense in a log.", "give a number from 0 on")


def _position(view: LogView, request: FollowLogs) -> tuple[int, dict[str, int]]:
    if request.position is None:
        return 0, dict.fromkeys(STREAMS, 0)
    parts = request.position.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise InvalidRequest(f"'{request.position}' is not a position in a log.",
                             "a position is attempt.out.err, as the id of a chunk")  # fmt: skip
    attempt = int(parts[0])
    if not 1 <= attempt <= max(1, view.state()[0]):
        raise InvalidRequest(f"{view.worker} has no attempt {attempt}.", f"its newest attempt is {view.state()[0]}")
    return attempt, {"stdout": int(parts[1]), "stderr": int(parts[2])}


def _text(attempt: int, offsets: dict[str, int]) -> str:
    return f"{attempt}.{offsets['stdout']}.{offsets['stderr']}"
