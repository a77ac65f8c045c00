"""One thread decides, and does the slow things itself; when one of them holds it up, another thread decides.

Handing each process to a second thread costs half as much as making it, because the two wake each other every time. But
a folder on a dead network disk can hold a thread for ever. So whoever decides calls what is slow through `Relay.call`,
and a watcher that is awake only meanwhile takes over the loop once a call has lasted for `PATIENCE`. The thread that
was held up learns that when it comes back: its result is among `late`, and it decides no more.

Laws: at every moment at most one thread decides; where `call` is used nothing is half done, because the one that takes
over begins with a new turn.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

PATIENCE = 0.1
"""Seconds. Looking more often would cost: whoever decides must let the watcher in each time."""
SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""For who decides. While the C library makes a process it blocks them, so that the system would wake the watcher."""

T = TypeVar("T")
A = TypeVar("A")


class Displaced(BaseException):
    """Somebody else decides now: leave, and touch nothing."""


class Relay(Generic[A, T]):
    """Passes the right to decide from thread to thread. `work` is what is slow, and never raises; `most` of its calls
    may be held up at once; `wake` ends the wait of whoever decides."""

    def __init__(self, work: Callable[[A], T], most: int, wake: Callable[[], None]) -> None:
        self.late: deque[T] = deque()
        """Results of calls that were given up waiting for."""
        self.away = 0
        """Threads that are held up."""
        self._work = work
        self._most = most
        self._wake = wake
        self._lock = threading.Lock()
        self._calling: object | None = None
        self._newest: object | None = None
        self._awake = threading.Event()
        self._over = threading.Event()
        self._loop: Callable[[], int] = lambda: 0
        self._code = 0

    def run(self, loop: Callable[[], int]) -> int:
        """Decide with `loop` until one of its threads returns a code. Called once, by the main thread."""
        self._loop = loop
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            return loop()
        except Displaced:
            self._over.wait()
            return self._code

    @property
    def room(self) -> bool:
        """Whether `call` may be used now."""
        return self.away < self._most

    @property
    def owing(self) -> bool:
        """Whether there are calls whose result nobody has taken yet."""
        return self.away > 0 or bool(self.late)  # in this order: who comes back puts it there before it is not away

    def call(self, argument: A) -> T:
        """The result of `work`. Raises Displaced when that took so long that another thread decides now."""
        mark = self._calling = self._newest = object()
        if not self._awake.is_set():
            self._awake.set()
        result = self._work(argument)
        with self._lock:
            mine = self._calling is mark
            if mine:
                self._calling = None
        if mine:
            return result
        self.late.append(result)
        with self._lock:
            self.away -= 1
        self._wake()
        raise Displaced

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while True:
            self._awake.wait()
            seen, newest = self._calling, self._newest
            time.sleep(PATIENCE)
            if seen is not None and self._take_over(seen):
                break
            if self._newest is newest and self._calling is None:
                self._awake.clear()
                if self._newest is not newest:  # it began just before
                    self._awake.set()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self._code = self._loop()
        except Displaced:
            return
        except BaseException:  # noqa: BLE001  the main thread may be held up: nobody else could end this process
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(1)
        self._over.set()

    def _take_over(self, seen: object) -> bool:
        """Whether the call is still the same one, and its thread decides no more."""
        with self._lock:
            if self._calling is not seen:
                return False
            self._calling = None
            self.away += 1
            return True
