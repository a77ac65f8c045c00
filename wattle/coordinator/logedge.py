"""The live end of a worker's log, read once for everybody who follows it there.

One task watches the files of an attempt, reads what has grown, cuts it into chunks and keeps the newest of them. A
follower that has all before the first unread byte is *aligned*: it takes the very chunks that all others take, so that
they are read, decoded and encoded once. Who is behind reads for itself until it is aligned.

Laws: a chunk ends between two characters, or where nothing follows; the numbers of chunks have a gap where bytes were
passed over, so nobody who is aligned can miss any. Followers are woken a few at a time, and the pauses grow with their
number, so that a busy log with many readers leaves the loop to others. An error of the files is every follower's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from wattle.core.chunks import decode
from wattle.core.ports import Logs
from wattle.core.replies import LogChunk

CHUNK = 256 << 10
SMALL = 64 << 10
"""Bytes that are read on the loop; more are read beside it."""
KEPT = 1 << 20
"""Bytes of the newest chunks that are kept for followers."""
BEHIND = 1 << 20
"""When so many bytes have come at once, the edge goes ahead, and its followers read the gap for themselves."""
SLICE = 8
"""Followers that are woken in one round of the loop."""
EASE = 4.0
"""Rest, as a multiple of the time that waking the followers took."""
STREAMS = ("stdout", "stderr")


class LogView:
    """What a reader must know of a worker: its newest attempt, whether it has ended, and where the files lie."""

    def __init__(self, worker: str, state: Callable[[], tuple[int, bool]], paths: Callable[[int], dict[str, str]],
                 news: Callable[[], asyncio.Event] | None, status: Callable[[], str],
                 leaving: Callable[[], bool] = lambda: False,
                 ending: Callable[[], tuple[str, int | None, int | None]] = lambda: ("", None, None),
                 ) -> None:  # fmt: skip
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
        self.ending = ending
        """(reason, exit code, signal) of a worker that has ended"""

    def over(self, attempt: int) -> bool:
        """Whether nothing more will be written to the files of this attempt."""
        newest, ended = self.state()
        return ended or newest > attempt or self.news is None


def chunk_of(worker: str, attempt: int, stream: str, offset: int, data: bytes, *, final: bool) -> LogChunk:
    """Bytes as a message, without a position."""
    decoded = decode(data, final=final)
    return LogChunk(worker=worker, attempt=attempt, stream=stream, from_offset=offset,
                    to_offset=offset + decoded.used, text=decoded.text, base64=decoded.base64)  # fmt: skip


def position(attempt: int, offsets: Mapping[str, int]) -> str:
    """The next byte of each file, as text."""
    return f"{attempt}.{offsets['stdout']}.{offsets['stderr']}"


async def read_piece(logs: Logs, path: str, offset: int, limit: int) -> bytes:
    """Bytes of a file, beside the loop if they are many."""
    if limit <= SMALL:
        return logs.read(path, offset, limit)
    return await asyncio.to_thread(logs.read, path, offset, limit)


async def wake(readers: Iterable[asyncio.Event]) -> None:
    """Ring all bells, a few in each round of the loop."""
    for count, bell in enumerate(list(readers), 1):
        bell.set()
        if count % SLICE == 0:
            await asyncio.sleep(0)


class Edge:
    """The live end of one attempt's files, from `offsets` on. `first` and `next` are numbers of chunks."""

    def __init__(self, logs: Logs, view: LogView, attempt: int, offsets: Mapping[str, int]) -> None:
        self.offsets = dict(offsets)
        self.first = 0
        self.over = False
        """The attempt has ended and all of it has been read."""
        self.left = False
        """The coordinator has let go."""
        self.failure: Exception | None = None
        self.readers: dict[asyncio.Event, None] = {}
        self._logs = logs
        self._view = view
        self._attempt = attempt
        self._chunks: deque[LogChunk] = deque()
        self._kept = 0
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def next(self) -> int:
        """The number of the chunk that comes next."""
        return self.first + len(self._chunks)

    @property
    def closed(self) -> bool:
        """Nothing more will come."""
        return self.over or self.left or self.failure is not None

    def chunk(self, number: int) -> LogChunk:
        """A chunk that is kept: `first` to before `next`."""
        return self._chunks[number - self.first]

    def stop(self) -> None:
        """Nobody follows any more."""
        self._task.cancel()

    async def _run(self) -> None:
        changes = asyncio.create_task(self._watch())
        try:
            while not self.closed:
                assert self._view.news is not None
                news = self._view.news()
                over, left = self._view.over(self._attempt), self._view.leaving()
                grown = self._wake.is_set()
                self._wake.clear()
                if changes.done() and self.failure is None:
                    changes.result()
                if grown or over or left:
                    await self._read(final=over)
                    self.over, self.left = over, left and not over
                    await self._tell()
                if not self.closed:
                    await self._news(news)
        except Exception as error:  # noqa: BLE001  it is raised where somebody follows
            self.failure = error
            await self._tell()
        finally:
            changes.cancel()
            await asyncio.wait({changes})

    async def _watch(self) -> None:
        try:
            async for _ in self._logs.changes(list(self._view.paths(self._attempt).values())):
                self._wake.set()
        finally:
            self._wake.set()

    async def _news(self, news: asyncio.Event) -> None:
        """Until the files may have grown, or the worker's state may have changed."""
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(news.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _read(self, *, final: bool) -> None:
        for stream, path in self._view.paths(self._attempt).items():
            size = self._logs.size(path)
            if size - self.offsets[stream] > BEHIND:
                await self._go_ahead(stream, path, size)
            while final or self.offsets[stream] < size:
                offset = self.offsets[stream]
                data = await read_piece(self._logs, path, offset, min(CHUNK, max(size - offset, SMALL)))
                if not data:
                    break
                last = final and offset + len(data) >= self._logs.size(path)
                chunk = chunk_of(self._view.worker, self._attempt, stream, offset, data, final=last)
                if chunk.to_offset == offset:
                    break
                self.offsets[stream] = chunk.to_offset
                chunk.position = position(self._attempt, self.offsets)
                self._keep(chunk)

    async def _go_ahead(self, stream: str, path: str, size: int) -> None:
        """Pass over what is too much, to the beginning of a character."""
        start = size - CHUNK
        head = await read_piece(self._logs, path, start, 4)
        start += next((i for i, byte in enumerate(head) if byte & 0xC0 != 0x80), 0)
        self.offsets[stream] = start
        self.first = self.next + 1
        self._chunks.clear()
        self._kept = 0

    def _keep(self, chunk: LogChunk) -> None:
        self._chunks.append(chunk)
        self._kept += chunk.to_offset - chunk.from_offset
        while self._kept > KEPT or len(self._chunks) > KEPT >> 12:
            gone = self._chunks.popleft()
            self._kept -= gone.to_offset - gone.from_offset
            self.first += 1

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await wake(self.readers)
        if len(self.readers) > SLICE and not self.closed:
            await asyncio.sleep((loop.time() - began) * EASE)


class Edges:
    """The edges that somebody follows."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], Edge] = {}

    @property
    def followers(self) -> int:
        """How many follow at the live edge of a log."""
        return sum(len(edge.readers) for edge in self._open.values())

    @contextlib.asynccontextmanager
    async def joined(self, logs: Logs, view: LogView, attempt: int,
                     offsets: Mapping[str, int]) -> AsyncIterator[tuple[Edge, asyncio.Event]]:  # fmt: skip
        """The edge of an attempt, and a bell that rings when there is more. The first follower's place is its begin."""
        key = tuple(view.paths(attempt).values())
        edge = self._open.get(key)
        if edge is None or edge.closed:
            edge = self._open[key] = Edge(logs, view, attempt, offsets)
        bell = asyncio.Event()
        edge.readers[bell] = None
        try:
            yield edge, bell
        finally:
            del edge.readers[bell]
            if not edge.readers:
                edge.stop()
                if self._open.get(key) is edge:
                    del self._open[key]
