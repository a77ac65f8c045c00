"""Listening to a run for a program: every change in its order, nothing missed for good, the truth at the end.

    with Follower(session, "etl", 12) as follower:
        for change in follower:
            print(follower.status, [worker["name"] for worker in change["workers"]])

Laws: what comes is merged into `run` and `workers`, which are always what was true at event `seq`. A gap, a full box
(a program that does not take its messages) and a long silence are answered by asking for everything. Where nobody
answers, it is asked again, for the coordinator or the router may be on its way back.
"""

from __future__ import annotations

import json
import queue
import time
from types import TracebackType
from typing import Any, Self

from wattle.bus.keys import Keys
from wattle.bus.zenoh import Sample, Session, unanswered
from wattle.core.errors import NotFound, WattleError

FINAL = frozenset({"completed", "failed", "cancelled"})
BOX = 1024
"""Messages that may wait for the program."""
SILENCE_SECONDS = 10.0
ANSWER_SECONDS = 2.0
"""A question that is under way when the router dies is lost, and asked again after this."""
AGAIN_SECONDS = 0.25


class Follower:
    """Follows one run until it ends or `close`. Iterating gives each change: `{"seq", "run", "workers", …}`, the first
    one with all workers. One thread iterates; any may close.

    Raises, while one iterates:
        NotFound: there is no such run.
    """

    def __init__(self, session: Session, workflow: str, number: int, *, silence: float = SILENCE_SECONDS) -> None:
        self.run: dict[str, Any] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.seq = -1
        self.asked = 0
        """How often everything was asked for."""
        self._session = session
        self._key = Keys(session.hub).events(workflow, number)
        self._silence = silence
        self._box: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._missed = True
        self._closed = False
        self._subscription = session.subscribe(self._key, self._take)

    @property
    def status(self) -> str:
        """The run's; empty before the first answer."""
        return str(self.run.get("status", ""))

    def close(self) -> None:
        """Stop listening; who iterates is let go."""
        self._closed = True
        self._subscription.close()
        self._box.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any]:
        while not self._closed and self.status not in FINAL:
            change = self._everything() if self._missed else self._next()
            if change is not None:
                return change
        raise StopIteration

    def _take(self, sample: Sample) -> None:
        """In Zenoh's thread."""
        if self._box.qsize() < BOX:
            self._box.put(sample.payload)
        else:
            self._missed = True

    def _next(self) -> dict[str, Any] | None:
        try:
            payload = self._box.get(timeout=self._silence)
        except queue.Empty:
            self._missed = True
            return None
        if payload is None:
            return None
        change = json.loads(payload)
        if change["seq"] <= self.seq:
            return None
        if not 0 <= change["previous"] <= self.seq or "run" not in change:
            self._missed = True
            return None
        return self._merge(change)

    def _everything(self) -> dict[str, Any] | None:
        """Ask how things stand; what was waiting is part of the answer."""
        self._missed = False
        for _ in range(self._box.qsize()):
            self._box.get()
        self.asked += 1
        for reply in self._session.get(self._key, timeout=ANSWER_SECONDS):
            if reply.error is None:
                change = json.loads(reply.payload)
                return self._merge(change) if change["seq"] > self.seq else None
            if reply.error["code"] == NotFound.code:
                raise NotFound(reply.error["message"], reply.error.get("hint", ""))
        self._missed = True
        time.sleep(AGAIN_SECONDS)
        return None

    def _merge(self, change: dict[str, Any]) -> dict[str, Any]:
        self.seq = change["seq"]
        self.run = change.get("run", self.run)
        for worker in change.get("workers", ()):
            self.workers[worker["name"]] = worker
        return change


def snapshot(session: Session, workflow: str, number: int, worker: str = "", timeout: float = 10.0) -> dict[str, Any]:
    """Everything about a run now, or about one worker of it.

    Raises:
        WattleError: what the coordinator says, or `unreachable` where nobody answers.
    """
    for reply in session.get(Keys(session.hub).events(workflow, number, worker), timeout=timeout):
        if reply.error is None:
            found: dict[str, Any] = json.loads(reply.payload)
            return found
        raise WattleError(reply.error["message"], reply.error.get("hint", ""), code=reply.error["code"])
    raise unanswered("events")
