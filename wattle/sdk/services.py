"""What the workers of a run tell and ask one another, for those who are none of them.

A person's command line looks with a kernel's credential; the coordinator does it on behalf of programs that speak HTTP
and no Zenoh (`sdk/forward.py`).

Laws: a session is shared by all that is done with it, and ended by who opened it. Messages are not decoded here: they
are handed on with their encoding, whatever it is.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from wattle.bus.keys import Keys
from wattle.bus.zenoh import Closable, Session
from wattle.sdk.worker_asking import Presence, Question, check_service
from wattle.sdk.worker_encoding import END
from wattle.sdk.worker_gate import Gate
from wattle.sdk.worker_streams import QUEUE, Subscription

TOPICS = 4096
"""Services whose place in their stream is kept: who has been silent longest begins anew."""


class Place(NamedTuple):
    """A service of one instance in one run."""

    workflow: str
    run: int
    worker: str
    service: str

    @property
    def address(self) -> str:
        """`etl@12/engine/state`."""
        return f"{self.workflow}@{self.run}/{self.worker}/{self.service}"


class Samples(Subscription):
    """A subscription that gives samples as they came."""

    def _data(self, found: Any) -> Any:
        return found


class Asking:
    """A question, and the watch for who is asked; `close` ends the watch."""

    def __init__(self, question: Question, watch: Closable) -> None:
        self.question = question
        self.close = watch.close


class Services:
    """The services of all runs, over a session of somebody who may use them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keys = Keys(session.hub)
        self.gate = Gate()
        self._publisher = secrets.token_hex(4)
        self._numbers: OrderedDict[tuple[Place, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, place: Place) -> str:
        """Of a service. Raises InvalidRequest when that is no name for one."""
        check_service(place.service)
        return self.keys.service(place.workflow, place.run, place.worker, place.service)

    def listen(self, place: Place, queue: int = QUEUE) -> Samples:
        """Everything that is published there from now on, until its worker ends. Raises WattleError."""
        made = Samples(f"{place.worker}/{place.service}", queue)
        made.join(self.session, self.gate, self.key(place),
                  self.keys.events(place.workflow, place.run, place.worker), self.keys.coordinator())  # fmt: skip
        return made

    def asking(self, place: Place, payload: bytes, encoding: str, timeout: float) -> Asking:
        """A question that can be asked (`answered`). Raises WattleError."""
        key, presence = self.key(place), Presence(place.worker)
        with self.gate:
            alive = self.keys.worker(place.workflow, place.run, place.worker)
            watch = self.session.watch_liveliness(alive, presence.tell)
        question = Question(f"{place.worker}/{place.service}", payload, encoding, timeout, key=key, presence=presence,
                            session=self.session, gate=self.gate)  # fmt: skip
        return Asking(question, watch)

    def publish(self, place: Place, attempt: int, payload: bytes, encoding: str) -> None:
        """Tell it in the name of that worker, with its place in the stream beside it. Raises WattleError."""
        key = self.key(place)
        with self.gate, self._lock:
            number = self._numbers.pop((place, attempt), 0) + 1
            self._numbers[place, attempt] = number
            if len(self._numbers) > TOPICS:
                self._numbers.popitem(last=False)
            self.session.put(key, payload, encoding, f"{attempt}.{self._publisher}.{number}".encode())

    def end(self, place: Place, attempt: int) -> None:
        """Say that nothing more will be published there."""
        self.publish(place, attempt, b"", END)
