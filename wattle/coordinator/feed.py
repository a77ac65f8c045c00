"""Events as they become durable, read once for everybody who follows them.

One task hears of every commit, reads the new events and wakes the followers, a few at a time and at most so often;
the newest events are kept, and who is behind them reads pages from the store until it is there. Nothing is read while
nobody follows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NamedTuple

import msgspec

from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.logedge import wake
from wattle.core.ports import Store
from wattle.core.records import EventRecord
from wattle.core.replies import EventLine

PAGE = 1000
KEPT = 1024
PAUSE_SECONDS = 0.03
"""Between two rounds: what is committed meanwhile comes together."""


class Happened(NamedTuple):
    """An event with what followers choose by."""

    workflow: str
    number: int
    line: EventLine


class Feed:
    """The events of one store. `first` to `last` are the sequence numbers that are kept."""

    def __init__(self, store: Store, coordinator: Coordinator | None) -> None:
        self._store = store
        self._coordinator = coordinator
        self._kept: deque[Happened] = deque(maxlen=KEPT)
        self._last = 0
        self._closed = False
        self._failure: Exception | None = None
        self._readers: dict[asyncio.Event, None] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def events(self, name: str | None, number: int | None, after: int,
                     *, follow: bool) -> AsyncGenerator[EventLine, None]:  # fmt: skip
        """Events after a sequence number, of all runs, of one workflow or of one run."""
        key = name.casefold() if name is not None else None
        pages = self._followed(after) if follow and self._coordinator is not None else self._pages(after)
        async with contextlib.aclosing(pages):
            async for page in pages:
                for event in page:
                    if key in {None, event.workflow} and number in {None, event.number}:
                        yield event.line

    async def _pages(self, after: int) -> AsyncGenerator[list[Happened], None]:
        """What there is."""
        while page := await self._page(after):
            yield page
            after = page[-1].line.seq

    async def _followed(self, after: int) -> AsyncGenerator[list[Happened], None]:
        """What there is and what comes, until the coordinator lets go."""
        async with self._joined() as bell:
            while True:
                bell.clear()
                closed, last = self._closed, self._last
                page = await self._since(after)
                yield page
                after = page[-1].line.seq if page else max(after, last)
                if self._failure is not None:
                    raise self._failure
                if after >= self._last:
                    if closed:
                        return
                    await bell.wait()

    def _covers(self, after: int) -> bool:
        """Whether everything after this number is kept."""
        return after >= (self._kept[0].line.seq - 1 if self._kept else self._last)

    async def _since(self, after: int) -> list[Happened]:
        if self._covers(after):
            newer: list[Happened] = []
            for event in reversed(self._kept):
                if event.line.seq <= after:
                    break
                newer.append(event)
            return newer[::-1]
        page = await self._page(after)
        if not page and self._kept:  # what lay between was pruned
            return list(self._kept)
        return page

    async def _page(self, after: int) -> list[Happened]:
        records = await asyncio.to_thread(self._store.events, None, after=after, limit=PAGE)
        return [_happened(record) for record in records]

    @contextlib.asynccontextmanager
    async def _joined(self) -> AsyncIterator[asyncio.Event]:
        assert self._coordinator is not None
        bell = asyncio.Event()
        if not self._readers or self._closed:
            self._leave(self._coordinator)
            self._kept.clear()
            self._last, self._closed, self._failure = self._coordinator.seq, False, None
            self._coordinator.listeners.append(self._news.set)
            self._task = asyncio.create_task(self._run(self._coordinator))
        self._readers[bell] = None
        try:
            yield bell
        finally:
            del self._readers[bell]
            if not self._readers:
                self._leave(self._coordinator)

    def _leave(self, coordinator: Coordinator) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            coordinator.listeners.remove(self._news.set)

    async def _run(self, coordinator: Coordinator) -> None:
        try:
            while not self._closed:
                closed = coordinator.stopped
                self._news.clear()
                page = await self._page(self._last)
                if page:
                    self._kept.extend(page)
                    self._last = page[-1].line.seq
                    await wake(self._readers)
                if len(page) == PAGE:
                    continue
                self._closed = closed
                if not closed:
                    await asyncio.sleep(PAUSE_SECONDS if page else 0)
                    await self._news.wait()
        except Exception as error:  # noqa: BLE001  it is raised where somebody follows
            self._failure, self._closed = error, True
        await wake(self._readers)


def _happened(record: EventRecord) -> Happened:
    fields: dict[str, Any] = msgspec.to_builtins(record.event)
    line = EventLine(seq=record.seq, address=f"{record.workflow}@{record.number}", type=fields.pop("type"),
                     at=fields.pop("at", 0.0), worker=fields.get("worker"), event=fields)  # fmt: skip
    return Happened(record.workflow.casefold(), record.number, line)
