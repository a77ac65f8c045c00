"""What happens, told on the bus to whoever listens; and how to listen without missing anything.

    events/{workflow}/{run}            {"seq", "previous", …}     what has changed in a run
    events/{workflow}/{run}/{worker}   {"seq", "previous", …}     the same for one worker of it
    logs/{workflow}/{run}/{worker}     {"attempt", "stdout", "stderr"}     how many bytes there are

`seq` is the newest event that the message is true of; `previous` the `seq` of the message before it about the same run.
Whoever listens to a run and has seen less than `previous` has missed something, and asks: a query on the key of a run
(or of a worker of it) is answered with everything, in the same form. A message of nothing but the two numbers says
where things stand: it comes some seconds after the last change, for those who missed the last message of all.

Laws: the bus is news, never the truth. `publish` never waits and never raises; a full queue, a slow listener and a dead
router cost messages, never time. Nothing is serialised, nor even made, that nobody listens to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from wattle.bus.keys import Keys, parse
from wattle.bus.zenoh import JSON, Publisher, Query, Session
from wattle.core.errors import Conflict, InternalError, InvalidRequest, NotFound, WattleError

log = logging.getLogger("wattle.bus")

QUEUE = 4096
"""Messages that may wait for the bus; what is more is left out, and asked for by those who miss it."""
RUNS = 256
"""Runs whose listeners are known at a time; those that were silent longest are looked up anew."""
NUMBERS = 4096
"""Runs whose last number is kept."""
BEATS = (1.0, 5.0)
"""Seconds after a change at which it is said again where things stand."""
BEATS_OF_RETURN = (0.0, 1.0)
"""The same after somebody has begun to listen, perhaps again after the router was gone."""
UNKNOWN_SECONDS = 1.0
"""How long it may take until a listener is known; some milliseconds do."""
Changes = Mapping[str, Any] | msgspec.Struct


class Item(NamedTuple):
    """A message on its way to the bus; a `worker` means that it is about its logs, no `body` that somebody listens."""

    workflow: str
    number: int
    worker: str
    seq: int
    previous: int
    body: Any


class Heard:
    """A key, and whether anybody listens to it: kept up to date by Zenoh's own thread, free to look at. Zenoh tells of
    every change, but not that there is nobody from the start: that is what its silence means after a while."""

    def __init__(self, publisher: Publisher, on_return: Callable[[], None]) -> None:
        self.publisher = publisher
        self._on_return = on_return
        self._known: bool | None = None
        self._until = time.monotonic() + UNKNOWN_SECONDS
        publisher.on_match(self._told)

    @property
    def by_somebody(self) -> bool:
        """Somebody listens, or that is not known yet."""
        return time.monotonic() < self._until if self._known is None else self._known

    def _told(self, matched: bool) -> None:  # noqa: FBT001
        self._known = matched
        if matched:
            self._on_return()


class Topic:
    """A run, as the bus knows it: who listens, and when to say again where it stands."""

    def __init__(self, session: Session, keys: Keys, workflow: str, number: int, on_return: Callable[[], None]) -> None:
        self.run = Heard(session.publisher(keys.events(workflow, number), JSON), on_return)
        self.workers = Heard(session.publisher(keys.events_of_workers(workflow, number), JSON), lambda: None)
        self.logs = Heard(session.publisher(keys.logs(workflow, number), JSON), lambda: None)
        self.beats: list[float] = []

    def close(self) -> None:
        """Forget it."""
        for heard in (self.run, self.workers, self.logs):
            heard.publisher.close()


class Teller:
    """Publishes for the coordinator (the port `Bus`). `snapshot(workflow, number)` is a coroutine, on the loop that
    makes the teller, that gives everything about a run, with `seq` in it; it raises `NotFound` for one that is not."""

    def __init__(self, session: Session, snapshot: Callable[[str, int], Awaitable[Changes]]) -> None:
        self.dropped = 0
        """Messages that the queue had no room for."""
        self._session = session
        self._keys = Keys(session.hub)
        self._snapshot = snapshot
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._topics: OrderedDict[tuple[str, int], Topic] = OrderedDict()
        self._last: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="wattle-bus", daemon=True)
        self._queryable = session.queryable(self._keys.everything("events"), self._asked)
        self._thread.start()

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def wanted(self, workflow: str, number: int) -> bool:
        """Somebody listens to this run. True as well while that is not known: the first change makes it known."""
        topic = self._topics.get((workflow, number))
        return topic is None or topic.run.by_somebody or topic.workers.by_somebody

    def logs_wanted(self, workflow: str, number: int) -> bool:
        """Somebody listens to a log of this run, as far as is known; a run that is not known yet is made so."""
        topic = self._topics.get((workflow, number))
        if topic is None:
            self._put(Item(workflow, number, "", 0, 0, None))
            return False
        return topic.logs.by_somebody

    def publish(self, workflow: str, number: int, seq: int, changes: Changes | Callable[[], Changes] | None) -> None:
        """Tell what has changed in a run, up to event `seq`. What `changes` holds must not change any more; a function
        is called, at once, only if somebody listens. Its `workers`, each with a `name`, are told one by one too. None:
        something has changed while nobody listened, and who listens from now on sees a gap there, and asks."""
        previous = self._last.get((workflow, number), -1)
        self._last[workflow, number] = seq
        self._last.move_to_end((workflow, number))
        if len(self._last) > NUMBERS:
            self._last.popitem(last=False)
        if changes is None or not self.wanted(workflow, number):
            return
        try:
            body = changes() if callable(changes) else changes
        except Exception:
            log.exception("a change could not be told")
            return  # whoever listens sees the gap, and asks
        self._put(Item(workflow, number, "", seq, previous, body))

    def grown(self, workflow: str, number: int, worker: str, attempt: int, stdout: int, stderr: int) -> None:
        """Tell how many bytes there are in the logs of an attempt."""
        if self.logs_wanted(workflow, number):
            body = {"attempt": attempt, "stdout": stdout, "stderr": stderr}
            self._put(Item(workflow, number, worker, 0, 0, body))

    async def close(self) -> None:
        """Send what waits, for as long as a moment, and end."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._queryable.close)
        await asyncio.to_thread(self._thread.join, 2.0)
        for task in [*self._answering]:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering)

    def _put(self, item: Item) -> None:
        if self._closed:
            return
        if self._queue.qsize() >= QUEUE:
            self.dropped += 1
        else:
            self._queue.put(item)

    # ---- in the bus thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=self._due())
                if item is None:
                    break
                self._guarded(self._send, item)
            self._guarded(self._beat)
        for topic in self._topics.values():
            topic.close()

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:
            if not self._closed and not self._session.closed:
                log.warning("the bus missed a message: %s", error, exc_info=not isinstance(error, WattleError))

    def _due(self) -> float:
        """Seconds until the next beat."""
        first = min((topic.beats[0] for topic in self._topics.values() if topic.beats), default=None)
        return 3600.0 if first is None else max(first - time.monotonic(), 0.0)

    def _topic(self, workflow: str, number: int) -> Topic:
        topic = self._topics.get((workflow, number))
        if topic is None:
            news = Item(workflow, number, "", 0, 0, None)
            topic = Topic(self._session, self._keys, workflow, number, lambda: self._put(news))
            self._topics[workflow, number] = topic
            if len(self._topics) > RUNS:
                self._topics.popitem(last=False)[1].close()
        self._topics.move_to_end((workflow, number))
        return topic

    def _send(self, item: Item) -> None:
        topic = self._topic(item.workflow, item.number)
        if item.worker:
            key = self._keys.logs(item.workflow, item.number, item.worker)
            self._session.put(key, msgspec.json.encode(item.body), JSON)
            return
        now = time.monotonic()
        topic.beats = [now + after for after in (BEATS_OF_RETURN if item.body is None else BEATS)]
        if item.body is None:
            return
        numbers = {"seq": item.seq, "previous": item.previous}
        body = _fields(item.body)
        if topic.run.by_somebody:
            topic.run.publisher.put(encoded({**body, **numbers}))
        if topic.workers.by_somebody:
            for worker in body.get("workers", ()):
                fields = _fields(worker)
                key = self._keys.events(item.workflow, item.number, fields["name"])
                self._session.put(key, encoded({**fields, **numbers}), JSON)

    def _beat(self) -> None:
        now = time.monotonic()
        for run, topic in self._topics.items():
            if topic.beats and topic.beats[0] <= now:
                topic.beats = [due for due in topic.beats if due > now]
                seq = self._last.get(run)
                if topic.run.by_somebody and seq is not None:
                    topic.run.publisher.put(encoded({"seq": seq, "previous": seq}))

    # ---- questions --------------------------------------------------------------------------------------------------

    def _asked(self, query: Query) -> None:
        """In Zenoh's thread: hand over to the loop."""
        try:
            self._loop.call_soon_threadsafe(self._take, query)
        except RuntimeError:  # the loop has ended
            query.close()

    def _take(self, query: Query) -> None:
        task = self._loop.create_task(self._answer(query))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, query: Query) -> None:
        error: WattleError | None = None
        reply = b""
        try:
            reply = await self._everything(query.key)
        except asyncio.CancelledError:
            error = Conflict("The coordinator is letting go.", "ask again: its successor answers", code="resync")
        except WattleError as told:
            error = told
        except Exception:
            log.exception("a snapshot could not be made")
            error = InternalError("Wattle failed inside; this is a bug of ours.", "the coordinator's log has the story")
        await asyncio.shield(asyncio.to_thread(_finish, query, reply, error))

    async def _everything(self, text: str) -> bytes:
        key = parse(text)
        if key is None:
            raise InvalidRequest(f"{text} is not one run.", f"ask {self._keys.events('WORKFLOW', 1)}")
        found = _fields(await self._snapshot(key.workflow, key.run))
        numbers = {"seq": found["seq"], "previous": found["seq"]}
        if not key.worker:
            return encoded({**found, **numbers})
        for worker in map(_fields, found.get("workers", ())):
            if worker["name"] == key.worker:
                return encoded({**worker, **numbers})
        raise NotFound(f"{key.workflow}@{key.run} has no worker {key.worker!r}.", f"wattle status {key.workflow}")


def _finish(query: Query, reply: bytes, error: WattleError | None) -> None:
    with query:
        if error is None:
            query.reply(reply)
        else:
            query.refuse(error)


def _fields(body: Any) -> dict[str, Any]:
    """The fields of a mapping or a struct, as they are."""
    return dict(body) if isinstance(body, Mapping) else msgspec.structs.asdict(body)


def encoded(value: Any) -> bytes:
    """JSON, whatever text a file name may have."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()
