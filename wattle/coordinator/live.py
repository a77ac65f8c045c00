"""A run in memory, and those who follow it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping

from wattle.core.launch import Launcher
from wattle.core.records import RunRecord
from wattle.core.run import Run

PATIENCE = 30.0
"""Seconds for stopped runs to end before a coordinator leaves."""


class LiveRun:
    """A run in memory: its state machine, its row, and who watches it."""

    def __init__(self, record: RunRecord, run: Run, launcher: Launcher) -> None:
        self.record = record
        self.run = run
        self.launcher = launcher
        self.watchers: set[Watcher] = set()
        self.turns = Turnstile()
        self.closed = asyncio.Event()
        self.news = News()
        self.untold: set[int] = set()
        """Workers that have changed since the bus was last told."""
        self.cpu_mark = time.process_time()
        self.grace: float | None = None
        """Seconds that a stop of the run gave, instead of the document's."""
        self.obstacle = ""
        """Why nothing of this run can be started any more."""

    def note(self, indexes: set[int]) -> None:
        """These workers have changed: whoever looks from now on, once that is durable, must be shown them."""
        self.untold |= indexes
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
            counts=run.counts(), overhead=overhead, contents=self.record.contents,
        )  # fmt: skip
        return self.record


async def all_closed(runs: Mapping[int, LiveRun], patience: float = PATIENCE) -> None:
    """Until no run is unfinished, or patience is over: what ignores its signals must not hold a leaving coordinator."""
    async def wait() -> None:
        while runs:  # noqa: ASYNC110  the last close has no event of its own
            await asyncio.sleep(0.02)

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(wait(), patience)


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


class Turnstile:
    """Lets a few through in each round of the loop: a change of a run that hundreds watch must not be told to all of
    them at one stroke."""

    def __init__(self, width: int = 8) -> None:
        self._width = width
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        if self._passed == 0:
            loop.call_soon(self._next_round, loop)
        if self._passed < self._width and not self._waiting:
            self._passed += 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self, loop: asyncio.AbstractEventLoop) -> None:
        self._passed = 0
        while self._waiting and self._passed < self._width:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._passed += 1
        if self._passed:
            loop.call_soon(self._next_round, loop)


class Watcher:
    """Someone who follows a run: the indexes that changed since they last looked, and a bell."""

    def __init__(self) -> None:
        self.changed: set[int] = set()
        self.bell = asyncio.Event()
        self._heard = 0.0

    async def next(self, live: LiveRun, pause: float) -> None:
        """Wait for news, but at least `pause` seconds since the last ones unless the run closes."""
        await self.bell.wait()
        closed = live.closed
        loop = asyncio.get_running_loop()
        rest = self._heard + pause - loop.time()
        if rest > 0 and not closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closed.wait(), rest)
        await live.turns.enter()
        self._heard = loop.time()
        self.bell.clear()
