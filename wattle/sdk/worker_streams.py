"""What one worker publishes and another listens to, between the bus and the listener's own pace.

Every message has a place in its stream, `<attempt>.<number>` beside it, so a listener knows how many it missed: on
the way, because nothing waits for a slow receiver, or here, because its queue is bounded and the newest messages
stay.

Laws: the bus's thread never waits for a listener. A stream ends when its publisher says so, or when the coordinator
says that its worker has ended; whoever listens then gets what is still here, and is let go. Callbacks run in one
thread of their own, one after another; what they raise is printed and they go on.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from wattle.bus.zenoh import Reply, Sample, Session
from wattle.core.errors import WattleError
from wattle.sdk.worker_encoding import END, JSON, decode
from wattle.sdk.worker_errors import RequestTimeout, WorkerError
from wattle.sdk.worker_gate import Gate

log = logging.getLogger("wattle.worker")
QUEUE = 1024
"""Messages that wait for a listener."""
SLICE_SECONDS = 0.5
"""How long a thread sleeps at a time: a signal that strikes as it falls asleep is seen when it wakes."""
ASKED, ASK_PAUSE, ANSWER_SECONDS = 20, 0.25, 2.0
"""How often a coordinator that has come back is asked how its workers are, and how long each time."""
FINAL = frozenset({"completed", "failed", "cancelled"})
T = TypeVar("T")


class Waiting(Generic[T]):
    """Something to wait for, in a thread or on an event loop: `look` says whether it is there.

    There is no lock around it: Ctrl-C can strike the main thread while it holds one, and the bus's thread, which must
    never wait, would wait for it for ever. `look` and whoever changes what it looks at do one atomic thing each.
    """

    def __init__(self) -> None:
        self._wakers: dict[object, Callable[[], None]] = {}

    def tell(self) -> None:
        """Let everybody look again."""
        for key in list(self._wakers):
            if wake := self._wakers.pop(key, None):
                wake()

    def on_change(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake`, in any thread, at the next change. Returns what takes it back."""
        key = object()
        self._wakers[key] = wake
        return lambda: self._wakers.pop(key, None) and None

    def wait(self, look: Callable[[], T | None], timeout: float | None = None) -> T | None:
        """What `look` finds; None when time is up."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while (found := look()) is None and (left := deadline - time.monotonic()) > 0:
            asleep = threading.Lock()
            asleep.acquire()
            forget = self.on_change(asleep.release)
            try:
                if (found := look()) is not None:
                    return found
                asleep.acquire(timeout=min(left, SLICE_SECONDS))
            finally:
                forget()
        return found


class Ended:
    """What a listener finds when nothing comes any more."""


class Subscription(Iterator[Any]):
    """A stream of one service of one worker: `for data in it`, `async for data in it`, `it.get(timeout)`.

    `dropped` says how many messages were missed. Closing ends the iteration.
    """

    def __init__(self, address: str, limit: int = QUEUE) -> None:
        self.address = address
        self.dropped = 0
        self.ended = False
        """Its publisher has ended; what had come before can still be read."""
        self._found: collections.deque[Sample] = collections.deque()
        self._limit = max(limit, 1)
        self._waiting: Waiting[Sample | Ended] = Waiting()
        self._closed = False
        self._place: tuple[bytes, int] = (b"", 0)
        self._undeclare: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None

    def join(self, session: Session, gate: Gate, topic: str, events: str, coordinator: str) -> None:
        """Listen to a service on the bus, and to what the coordinator says of its worker. When the coordinator comes
        back, or the router, it is asked what was said meanwhile. Raises WattleError."""
        away = [False]

        def seen(_: str, here: bool) -> None:  # noqa: FBT001  in the bus's thread: hand over
            if here and away[0]:
                threading.Thread(target=self._catch_up, args=(session, gate, events), daemon=True).start()
            away[0] = not here

        with gate:
            for key, heard in ((topic, self.push), (events, self.told)):
                self.until_closed(session.subscribe(key, heard).close)
            self.until_closed(session.ask(events, b"", self.told, lambda: None))
            self.until_closed(session.watch_liveliness(coordinator, seen).close)

    def _catch_up(self, session: Session, gate: Gate, events: str) -> None:
        """Ask until there is an answer, or it is the next one's turn to come back."""
        for _ in range(ASKED):
            if self.ended or self._closed:
                return
            try:
                with gate:
                    replies = session.get(events, timeout=ANSWER_SECONDS)
            except WattleError:  # it is ending
                return
            for reply in replies:
                if reply.error is None:
                    self.told(reply)
                    return
            time.sleep(ASK_PAUSE)

    # ---- from the bus, in its thread --------------------------------------------------------------------------------

    def push(self, sample: Sample) -> None:
        """A message has come."""
        self._count(sample.attachment)
        if sample.encoding == END or sample.deleted:
            self.ended = True
        else:
            if len(self._found) >= self._limit:
                with contextlib.suppress(IndexError):  # it was read just now
                    self._found.popleft()
                    self.dropped += 1
            self._found.append(sample)
        self._waiting.tell()

    def _count(self, place: bytes | None) -> None:
        """A gap in the numbers of one publisher is what was lost on the way."""
        publisher, dot, text = (place or b"").rpartition(b".")
        if not dot or not text.isdigit():
            return
        number = int(text)
        known, last = self._place
        if publisher == known and number > last + 1:
            self.dropped += number - last - 1
        self._place = (publisher, number)

    def told(self, event: Sample | Reply) -> None:
        """The coordinator has said something of the worker that publishes, or of all workers of the run."""
        if event.encoding.partition(";")[0] != JSON:
            return
        told = json.loads(event.payload)
        publisher = self.address.partition("/")[0]
        if any(one.get("name") == publisher and one.get("status") in FINAL for one in told.get("workers") or (told,)):
            self.ended = True
            self._waiting.tell()

    # ---- for the listener -------------------------------------------------------------------------------------------

    def _look(self) -> Sample | Ended | None:
        over = self.ended or self._closed  # first: what came before the end is found after it
        if not self._closed:
            with contextlib.suppress(IndexError):
                return self._found.popleft()
        return Ended() if over else None

    def _data(self, found: Sample) -> Any:
        return decode(found.payload, found.encoding, self.address)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        found = self._waiting.wait(self._look)
        if found is None or isinstance(found, Ended):
            raise StopIteration
        return self._data(found)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        from wattle.sdk.worker_async import wait_for

        found = await wait_for(self._waiting, self._look)
        if found is None or isinstance(found, Ended):
            raise StopAsyncIteration
        return self._data(found)

    def get(self, timeout: float | None = None) -> Any:
        """The next message.

        Raises:
            RequestTimeout: nothing came within `timeout` seconds.
            EOFError: the stream has ended.
            BadMessage: its bytes are not what they say.
        """
        found = self._waiting.wait(self._look, timeout)
        if found is None:
            raise RequestTimeout(f"{self.address}: nothing came within {timeout:g} s", "is its worker running?")
        if isinstance(found, Ended):
            raise EOFError(f"{self.address} has ended")
        return self._data(found)

    def latest(self) -> Any:
        """The newest message that has come, and None when there is none; what is older is passed over, not counted."""
        found = None
        with contextlib.suppress(IndexError):
            while not self._closed:
                found = self._found.popleft()
        return None if found is None else self._data(found)

    # ---- life -------------------------------------------------------------------------------------------------------

    def until_closed(self, undeclare: Callable[[], None]) -> None:
        """Call this when it is closed."""
        self._undeclare.append(undeclare)

    def call(self, callback: Callable[[Any], object]) -> None:
        """Give each message to `callback`, in a thread of its own."""
        name = f"wattle {self.address}"
        self._thread = threading.Thread(target=self._drive, args=(callback,), name=name, daemon=True)
        self._thread.start()

    def _drive(self, callback: Callable[[Any], object]) -> None:
        while True:
            try:
                data = next(self)
            except StopIteration:
                return
            except WorkerError as error:
                log.warning("%s", error)
                continue
            try:
                callback(data)
            except Exception:  # one message too many is not the end of the stream
                log.exception("a callback for %s failed", self.address)

    def wait(self, timeout: float | None = None) -> bool:
        """Until the stream has ended, and the callback has had all of it; False when time is up first."""
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()

        def over() -> Ended | None:
            return Ended() if self.ended or self._closed else None

        return self._waiting.wait(over, timeout) is not None

    def close(self) -> None:
        """End it. Closing twice is fine."""
        self._closed = True
        self._waiting.tell()
        while self._undeclare:
            self._undeclare.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
