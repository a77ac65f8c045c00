"""A run in memory, and those who follow it."""

from __future__ import annotations

import asyncio
import contextlib
import time

from wattle.core.launch import Launcher
from wattle.core.records import RunRecord
from wattle.core.run import Run


class LiveRun:
    """A run in memory: its state machine, its row, and who watches it."""

    def __init__(self, record: RunRecord, run: Run, launcher: Launcher) -> None:
        self.record = record
        self.run = run
        self.launcher = launcher
        self.watchers: set[Watcher] = set()
        self.closed = asyncio.Event()
        self.news = News()
        self.cpu_mark = time.process_time()
        self.grace: float | None = None
        """Seconds that a stop of the run gave, instead of the document's."""
        self.obstacle = ""
        """Why nothing of this run can be started any more."""

    def note(self, indexes: set[int]) -> None:
        """These workers have changed: whoever looks from now on, once that is durable, must be shown them."""
        for watcher in self.watchers:
            watcher.changed |= indexes

    def tell(self) -> None:
        """What was noted is durable."""
        self.news.ring()
        for watcher in self.watchers:
            watcher.bell.set()

    def summarize(self, overhead: float) -> RunRecord:
        """The row as it is now; a copy, because the writer thread reads it."""
        run = self.run
        self.record = RunRecord(
            spec=self.record.spec, status=run.status, phase=run.phase, reason=run.reason, cause=run.cause,
            created_at=self.record.created_at, started_at=run.started_at, completed_at=run.completed_at,
            counts=run.counts(), overhead=overhead,
        )  # fmt: skip
        return self.record


class News:
    """A bell for any number of listeners: each waits for the event that was current when it looked."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def current(self) -> asyncio.Event:
        """The event that the next news sets. Take it before looking at the state."""
        return self._event

    def ring(self) -> None:
        """There is news."""
        event, self._event = self._event, asyncio.Event()
        event.set()


class Watcher:
    """Someone who follows a run: the indexes that changed since they last looked, and a bell."""

    def __init__(self) -> None:
        self.changed: set[int] = set()
        self.bell = asyncio.Event()
        self._heard = 0.0

    async def next(self, closed: asyncio.Event, pause: float) -> None:
        """Wait for news, but at least `pause` seconds since the last ones unless the run closes."""
        await self.bell.wait()
        loop = asyncio.get_running_loop()
        rest = self._heard + pause - loop.time()
        if rest > 0 and not closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), rest)
        self._heard = loop.time()
        self.bell.clear()
