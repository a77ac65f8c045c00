"""How long the logs of running workers are, told to whoever listens: a message when a file has grown.

Listeners read the bytes themselves (`read_logs`, `follow_logs`, or the file): here are only lengths. A query on the key
of a worker's logs is answered with the present ones, for those who come late.

Laws: no file is looked at that nobody asks about, and none on the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from wattle.bus.events import Teller
from wattle.bus.keys import Keys, parse
from wattle.bus.zenoh import Query, Session
from wattle.core.errors import NotFound

log = logging.getLogger("wattle.bus")

LOOK_SECONDS = 0.25
"""How often files that somebody listens to are looked at."""


class Place(NamedTuple):
    """A running attempt and its files; with both streams in one file, `stderr` is empty."""

    workflow: str
    number: int
    worker: str
    attempt: int
    stdout: str
    stderr: str = ""


class Growth:
    """Tells of the logs of `places()`, the attempts that run now. `size(path)` is the bytes in a file, 0 if there is
    none; it is called in threads. To be made on the coordinator's loop, which `places` is called on."""

    def __init__(self, session: Session, teller: Teller, places: Callable[[], Iterable[Place]],
                 size: Callable[[str], int], *, every: float = LOOK_SECONDS) -> None:  # fmt: skip
        self._teller = teller
        self._places = places
        self._size = size
        self._every = every
        self._told: dict[Place, tuple[int, int]] = {}
        self._loop = asyncio.get_running_loop()
        self._answering: set[asyncio.Task[None]] = set()
        self._queryable = session.queryable(Keys(session.hub).everything("logs"), self._asked)
        self._looking = self._loop.create_task(self._look())

    async def close(self) -> None:
        """Look no more."""
        tasks = {self._looking, *self._answering}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(self._queryable.close)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._round()
            except Exception:
                log.exception("the length of a log could not be told")

    async def _round(self) -> None:
        running = {place for place in self._places() if self._teller.logs_wanted(place.workflow, place.number)}
        ended = [place for place in self._told if place not in running]  # once more, for what was written last
        asked = [*running, *ended]
        if not asked:
            return
        sizes = await asyncio.to_thread(lambda: [self._sizes(place) for place in asked])
        for place, found in zip(asked, sizes, strict=True):
            if self._told.get(place) != found:
                self._told[place] = found
                self._teller.grown(place.workflow, place.number, place.worker, place.attempt, *found)
        for place in ended:
            self._told.pop(place, None)

    def _sizes(self, place: Place) -> tuple[int, int]:
        return self._size(place.stdout), self._size(place.stderr) if place.stderr else 0

    def _asked(self, query: Query) -> None:
        """In Zenoh's thread: hand over."""
        try:
            self._loop.call_soon_threadsafe(self._take, query)
        except RuntimeError:  # the loop has ended
            query.close()

    def _take(self, query: Query) -> None:
        key = parse(query.key)
        asked = (key.workflow, key.run, key.worker) if key is not None else None
        found = next((place for place in self._places() if place[:3] == asked), None)
        task = self._loop.create_task(asyncio.to_thread(self._answer, query, found))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _answer(self, query: Query, place: Place | None) -> None:
        with query:
            if place is None:
                query.refuse(NotFound("No such worker runs now.", "the operation read_logs knows all logs"))
                return
            stdout, stderr = self._sizes(place)
            query.reply(json.dumps({"attempt": place.attempt, "stdout": stdout, "stderr": stderr}).encode())
