"""A worker's log as chunks: a piece of it, or all of it as it grows, from attempt to attempt, to the end.

Laws: a position is `attempt.out.err`, the next byte of each file; who comes back with the position of the last chunk
misses nothing and sees nothing twice. A reader that cannot keep up is taken ahead, and told how many bytes it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec

from wattle.coordinator.logedge import CHUNK, STREAMS, Edge, Edges, LogView, chunk_of, position, read_piece
from wattle.core.errors import InvalidRequest
from wattle.core.ports import Logs
from wattle.core.replies import LogChunk, LogChunks
from wattle.core.requests import FollowLogs, ReadLogs

LAG_LIMIT = 64 << 20
"""Bytes that a follower may be behind before it is taken ahead."""
KEPT_BEHIND = 1 << 20


def read(logs: Logs, view: LogView, request: ReadLogs) -> LogChunks:
    """One piece of one or both streams."""
    newest, ended = view.state()
    attempt = request.attempt if request.attempt is not None else newest
    if not 0 <= attempt <= newest:
        raise InvalidRequest(f"{view.worker} has no attempt {attempt}.", f"its newest attempt is {newest}")
    _check(offset=request.offset, limit=request.limit, tail=request.tail)
    paths = view.paths(attempt)
    sizes = {stream: logs.size(path) for stream, path in paths.items()}
    wanted = {stream: size for stream, size in sizes.items() if request.stream in {None, stream}}
    if request.tail is None and request.offset > max(wanted.values(), default=0):
        raise _beyond(view.worker, request.offset, max(wanted.values(), default=0))
    chunks = []
    for stream in wanted:
        path = paths[stream]
        offset = request.offset if request.tail is None else logs.tail_offset(path, request.tail)
        data = logs.read(path, offset, min(request.limit, CHUNK << 4))
        if data:
            last = offset + len(data) >= sizes[stream]
            chunk = chunk_of(view.worker, attempt, stream, offset, data, final=last)
            if chunk.to_offset == offset:  # the limit is smaller than a character
                chunk = chunk_of(view.worker, attempt, stream, offset, data, final=True)
            chunks.append(chunk)
    return LogChunks(chunks=chunks, attempt=attempt, sizes=sizes, complete=ended or attempt < newest)


async def follow(logs: Logs, view: LogView, request: FollowLogs,
                 edges: Edges | None = None) -> AsyncGenerator[LogChunk, None]:  # fmt: skip
    """Every byte from the position on, attempt after attempt, then a last chunk that says how it ended. Without that
    last chunk when the coordinator lets go. Who shares `edges` shares the reading at the live end."""
    _check(tail=request.tail)
    attempt, offsets = await _begin(logs, view, request)
    while True:
        follower = _Follower(logs, view, request, attempt, offsets)
        over = view.over(attempt)
        chunks = follower.rest() if over else follower.live(edges or Edges())
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk
        if not over and not follower.over:
            return
        if attempt >= view.state()[0]:
            break
        attempt, offsets = attempt + 1, dict.fromkeys(STREAMS, 0)
    reason, code, signal = view.ending()
    yield LogChunk(worker=view.worker, attempt=attempt, stream="", from_offset=0, to_offset=0,
                   position=position(attempt, offsets), end=view.status(), reason=reason, code=code,
                   signal=signal)  # fmt: skip


class _Follower:
    """One reader of one attempt. `offsets` is the next byte of each file, and moves."""

    def __init__(self, logs: Logs, view: LogView, request: FollowLogs, attempt: int, offsets: dict[str, int]) -> None:
        self.over = False
        self._logs = logs
        self._view = view
        self._attempt = attempt
        self._offsets = offsets
        self._paths = {stream: path for stream, path in view.paths(attempt).items()
                       if request.stream in {None, stream}}  # fmt: skip
        self._skipped = dict.fromkeys(STREAMS, 0)

    async def rest(self) -> AsyncGenerator[LogChunk, None]:
        """All that is left of files that grow no more."""
        for stream, path in self._paths.items():
            while True:
                chunk = await self._own(stream, path, self._logs.size(path))
                if chunk is None:
                    break
                yield chunk

    async def live(self, edges: Edges) -> AsyncGenerator[LogChunk, None]:
        """Chunks until the attempt is over, or the coordinator lets go."""
        async with edges.joined(self._logs, self._view, self._attempt, self._ahead()) as (edge, bell):
            number: int | None = None
            while True:
                bell.clear()
                closed = edge.closed
                if number is None or number < edge.first:
                    async for chunk in self._catch_up(edge):
                        yield chunk
                    number = edge.next if self._aligned(edge) else None
                while number is not None and edge.first <= number < edge.next:
                    chunk = edge.chunk(number)
                    number += 1
                    if chunk.stream in self._paths:
                        yield self._told(chunk)
                if edge.failure is not None:
                    raise edge.failure
                if closed and number == edge.next:
                    self.over = edge.over
                    return
                if number == edge.next or (number is None and not self._behind(edge)):
                    await bell.wait()

    def _ahead(self) -> dict[str, int]:
        """Where an edge would begin for this follower: at its own place, or ahead when that is too far behind."""
        begin = dict(self._offsets)
        for stream, path in self._paths.items():
            size = self._logs.size(path)
            if size - begin[stream] > LAG_LIMIT:
                begin[stream] = size - KEPT_BEHIND
        return begin

    def _aligned(self, edge: Edge) -> bool:
        return all(self._offsets[stream] == edge.offsets[stream] for stream in self._paths)

    def _behind(self, edge: Edge) -> bool:
        return any(self._offsets[stream] < edge.offsets[stream] for stream in self._paths)

    async def _catch_up(self, edge: Edge) -> AsyncGenerator[LogChunk, None]:
        """Read alone up to where the edge is."""
        for stream, path in self._paths.items():
            size = self._logs.size(path)
            if size - self._offsets[stream] > LAG_LIMIT and not edge.over:
                ahead = size - KEPT_BEHIND
                self._skipped[stream] += ahead - self._offsets[stream]
                self._offsets[stream] = ahead
            while (chunk := await self._own(stream, path, edge.offsets[stream])) is not None:
                yield chunk

    async def _own(self, stream: str, path: str, end: int) -> LogChunk | None:
        """The next chunk before `end`, where a character ends or nothing follows; None when there is none."""
        offset = self._offsets[stream]
        if offset >= end:
            return None
        data = await read_piece(self._logs, path, offset, min(CHUNK, end - offset))
        if not data:
            return None
        chunk = chunk_of(self._view.worker, self._attempt, stream, offset, data, final=False)
        if chunk.to_offset == offset:
            chunk = chunk_of(self._view.worker, self._attempt, stream, offset, data, final=True)
        return self._told(chunk)

    def _told(self, chunk: LogChunk) -> LogChunk:
        """The chunk as this follower is told it: the very same one where it is in the same place as the others."""
        self._offsets[chunk.stream] = chunk.to_offset
        place, skipped = position(self._attempt, self._offsets), self._skipped[chunk.stream]
        if chunk.position == place and not skipped:
            return chunk
        self._skipped[chunk.stream] = 0
        return msgspec.structs.replace(chunk, position=place, skipped=skipped)


def _check(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and not 0 <= number < 1 << 62:
            raise InvalidRequest(f"{name}={number} makes no sense in a log.", "give a number from 0 on")


def _beyond(worker: str, offset: int, size: int) -> InvalidRequest:
    return InvalidRequest(f"The log of {worker} has {size} bytes, and {offset} lies beyond its end.",
                          "go on where the last chunk ended (its to_offset), or begin again")  # fmt: skip


async def _begin(logs: Logs, view: LogView, request: FollowLogs) -> tuple[int, dict[str, int]]:
    """Attempt and offsets of the first byte to be sent. Raises InvalidRequest."""
    newest = view.state()[0]
    offsets = dict.fromkeys(STREAMS, 0)
    if request.position is None:
        if request.tail is not None:
            for stream, path in view.paths(max(1, newest)).items():
                offsets[stream] = await asyncio.to_thread(logs.tail_offset, path, request.tail)
        return max(1, newest), offsets
    parts = request.position.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise InvalidRequest(f"'{request.position}' is not a position in a log.",
                             "a position is attempt.out.err, as the id of a chunk")  # fmt: skip
    attempt = int(parts[0])
    if not 1 <= attempt <= max(1, newest):
        raise InvalidRequest(f"{view.worker} has no attempt {attempt}.", f"its newest attempt is {newest}")
    offsets = {"stdout": int(parts[1]), "stderr": int(parts[2])}
    for stream, path in view.paths(attempt).items():
        size = logs.size(path)
        if offsets[stream] > size:
            raise _beyond(view.worker, offsets[stream], size)
    return attempt, offsets
