"""Questions that are answered later, by name: handed out to a program that speaks HTTP, or lines of JSON.

Law: whoever asks gets an answer, a refusal, or the end: a question that was handed out is never forgotten.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import OrderedDict, deque
from typing import Any

from wattle.bus.zenoh import Query
from wattle.sdk.services import Place
from wattle.sdk.worker_serving import BUSY, ENDING, WAITING
from wattle.sdk.worker_streams import Ended, Waiting


class Questions:
    """The questions to one service, each with a name to answer it by."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.given: OrderedDict[str, Query] = OrderedDict()
        self.waiting: Waiting[Query | Ended] = Waiting()
        self._closed = False
        self._asked: deque[Query] = deque()

    def take(self, query: Query) -> None:
        """A question has come, in the bus's thread."""
        if len(self._asked) >= WAITING:
            with query:
                query.refuse(BUSY)
            return
        self._asked.append(query)
        self.waiting.tell()

    def look(self) -> Query | Ended | None:
        """The next one, if there is any."""
        with contextlib.suppress(IndexError):
            return self._asked.popleft()
        return Ended() if self._closed else None

    def name(self, query: Query) -> str:
        """A name that only who was given it knows. The oldest of too many is refused."""
        name = secrets.token_urlsafe(12)
        self.given[name] = query
        if len(self.given) > WAITING:
            _, oldest = self.given.popitem(last=False)
            refuse(oldest, BUSY)
        return name

    def close(self) -> None:
        """Nobody answers any more."""
        self._closed = True
        self.waiting.tell()
        for query in [*self._asked, *self.given.values()]:
            refuse(query, ENDING)
        self._asked.clear()
        self.given.clear()


def refuse(query: Query, error: dict[str, Any]) -> None:
    """Answer with an error."""
    with query:
        query.refuse(error)
