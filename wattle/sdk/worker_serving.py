"""Answering the questions of other workers: a queue between the bus's thread and the program's functions.

Laws: every question is answered, refused, or closed with its session: nobody waits for an answer that cannot come.
When too many wait, the next is refused at once.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from wattle.bus.zenoh import Closable, Query
from wattle.core.errors import WattleError
from wattle.sdk.worker_encoding import decode, encode
from wattle.sdk.worker_gate import Ending, Gate

log = logging.getLogger("wattle.worker")
WAITING = 1024
"""Questions that wait for their turn."""
ENDING = {"code": "ending", "message": "its worker is ending", "hint": ""}
BUSY = {"code": "busy", "message": f"{WAITING:,} questions wait already", "hint": "ask again later, or less often"}


class Server:
    """One service of this worker, and the threads that answer it. Coroutines run on the event loop that runs where
    this is made, or else each on one of its own."""

    declared: Closable | None = None

    def __init__(self, address: str, handler: Callable[[Any], Any], threads: int, gate: Gate) -> None:
        self.address = address
        self._handler = handler
        self._loop = _running_loop()
        self._gate = gate
        self._asked: queue.SimpleQueue[Query | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"wattle {address}", daemon=True)
                         for _ in range(max(threads, 1))]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def take(self, query: Query) -> None:
        """A question has come, in the bus's thread."""
        if self._asked.qsize() < WAITING:
            self._asked.put(query)
            return
        with query:
            query.refuse(BUSY)

    def _work(self) -> None:
        while (query := self._asked.get()) is not None:
            tell = self._answer(query)
            try:
                with self._gate, query:
                    tell(query)
            except Ending:
                return

    def _answer(self, query: Query) -> Callable[[Query], object]:
        """What to tell the asker."""
        try:
            answer = self._call(decode(query.payload, query.encoding, self.address))
            payload, encoding = encode(answer, self.address)
        except WattleError as error:
            refusal = error.to_dict()
        except Exception as error:  # it is the asker's to know
            log.exception("an answer of %s failed", self.address)
            refusal = {"code": "request-failed", "message": f"{type(error).__name__}: {error}",
                       "hint": f"the log of {self.address.partition('/')[0]} has the traceback"}  # fmt: skip
        else:
            return lambda query: query.reply(payload, encoding)
        return lambda query: query.refuse(refusal)

    def _call(self, data: Any) -> Any:
        answer = self._handler(data)
        if not isinstance(answer, Coroutine):
            return answer
        from wattle.sdk.worker_async import result_of

        return result_of(answer, self._loop)

    def close(self) -> None:
        """Answer no more; who waits is told so. The gate has been shut."""
        if self.declared is not None:
            self.declared.close()
        while True:
            try:
                query = self._asked.get_nowait()
            except queue.Empty:
                break
            if query is not None:
                with query:
                    query.refuse(ENDING)
        for _ in self._threads:
            self._asked.put(None)


def _running_loop() -> Any:
    """The event loop of this thread, if one runs; asyncio is not imported to find out."""
    known = sys.modules.get("asyncio")
    try:
        return known.get_running_loop() if known else None
    except RuntimeError:
        return None
