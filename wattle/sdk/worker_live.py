"""A worker on the bus: what it tells others, what it hears, asks and answers.

    wattle/{hub}/services/{workflow}/{run}/{worker}/{service}      what is published, and what is asked
    wattle/{hub}/alive/workers/{workflow}/{run}/{worker}           this worker is on the bus

Laws: nothing is opened before the first live call. Every call that needs an answer ends with one or with an error
that says why not. The session ends with the program, however it ends, and never keeps it from ending; in a forked
child every call is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from wattle.bus.keys import Keys
from wattle.bus.zenoh import CLOSE_SECONDS, Closable, Session, open_client
from wattle.core.errors import InvalidRequest, WattleError
from wattle.sdk import worker_here
from wattle.sdk.worker_asking import Presence, Question, answered, check_service, parts
from wattle.sdk.worker_encoding import END, JSON, encode
from wattle.sdk.worker_errors import Forked, NoBus
from wattle.sdk.worker_gate import Ending, Gate
from wattle.sdk.worker_here import Here
from wattle.sdk.worker_serving import Server
from wattle.sdk.worker_streams import QUEUE, Subscription, Waiting

STARTING_SECONDS, STARTING_PAUSE = 10.0, 0.01
"""How long a worker that is faster than the bus waits for it, and how often it looks."""
END_PAUSES = (0.0, 0.01, 0.03)
"""Seconds before the end of a stream is said, and said again: a full queue leaves messages out."""
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Topic:
    """A service that is published."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.number = 0
        self.lock = threading.Lock()


class Live:
    """The session of one worker, and all that hangs on it."""

    def __init__(self, here: Here, session: Session) -> None:
        self.here = here
        self.session = session
        self.pid = os.getpid()
        self.gate = Gate()
        self.over = False
        self.waiting: Waiting[bool] = Waiting()
        self.keys = Keys(session.hub)
        self._publisher = f"{here.attempt}.{os.getpid()}".encode()
        self._lock = threading.Lock()
        self._topics: dict[str, Topic] = {}
        self._own: list[Subscription | Server] = []
        self._presences: dict[str, tuple[Presence, Closable]] = {}
        self._token = session.liveliness(self.keys.worker(here.workflow, here.run, here.name))
        here.progress.tell = self._tell_progress

    def _tell_progress(self, data: bytes) -> None:
        with contextlib.suppress(WattleError), self.gate:
            self.session.put(self.own_key(".progress"), data, JSON)

    def own_key(self, service: str) -> str:
        """The key of a service of this worker."""
        return self.keys.service(self.here.workflow, self.here.run, self.here.name, service)

    def publish(self, service: str, payload: bytes, encoding: str) -> None:
        """Put it on the service's key, with its place in the stream beside it."""
        topic = self._topics.get(service)
        if topic is None:
            check_service(service)
            topic = self._topics.setdefault(service, Topic(self.own_key(service)))
        with self.gate, topic.lock:  # several threads may publish: numbers go out in their order
            topic.number += 1
            self._put(topic, payload, encoding)

    def _put(self, topic: Topic, payload: bytes, encoding: str) -> None:
        self.session.put(topic.key, payload, encoding, b"%b.%d" % (self._publisher, topic.number))

    def subscribe(self, address: str, limit: int) -> Subscription:
        """As `subscribe` below."""
        worker, service = parts(address)
        here = self.here
        made = Subscription(address, limit)
        self._own.append(made)
        made.until_closed(lambda: self._own.remove(made))
        made.join(self.session, self.gate, self.keys.service(here.workflow, here.run, worker, service),
                  self.keys.events(here.workflow, here.run, worker), self.keys.coordinator())  # fmt: skip
        return made

    def serve(self, service: str, handler: Callable[[Any], Any], threads: int) -> None:
        """As `serve` below."""
        check_service(service)
        server = Server(f"{self.here.name}/{service}", handler, threads, self.gate)
        self._own.append(server)
        with self.gate:
            server.declared = self.session.queryable(self.own_key(service), server.take)

    def presence(self, worker: str) -> Presence:
        """Whether a worker is on the bus; the first answer may be a moment late."""
        with self._lock:
            if worker not in self._presences:
                found = Presence(worker)
                key = self.keys.worker(self.here.workflow, self.here.run, worker)
                with self.gate:
                    self._presences[worker] = (found, self.session.watch_liveliness(key, found.tell))
            return self._presences[worker][0]

    def question(self, address: str, data: Any, timeout: float) -> Question:
        """A question that can be asked."""
        worker, service = parts(address)
        key = self.keys.service(self.here.workflow, self.here.run, worker, service)
        payload, encoding = encode(data, address)
        return Question(address, payload, encoding, timeout, key=key, presence=self.presence(worker),
                        session=self.session, gate=self.gate)  # fmt: skip

    def close(self) -> None:
        """Say that the streams have ended, send what is on its way, and let go."""
        self.here.progress.flush()
        self.here.progress.tell = None
        self.over = True
        self.waiting.tell()
        self.gate.shut()
        self._end_streams()
        for own in list(self._own):
            own.close()
        self.session.close()


    def _end_streams(self) -> None:
        """Who was published a moment ago may drop the end too: it is said again."""
        topics = list(self._topics.values())
        for topic in topics:
            topic.number += 1
        for pause in END_PAUSES if topics else ():
            time.sleep(pause)
            for topic in topics:
                with contextlib.suppress(WattleError):
                    self._put(topic, b"", END)


# --- the session of this process ---------------------------------------------------------------------------------

_live: Live | None = None
_opening = threading.Lock()
_ending = False
"""The interpreter is on its way out."""


def live() -> Live:
    """The session of this worker, opened when first asked for.

    Raises:
        NotInWorker: this is no worker.
        NoBus: there is no bus here, or it does not answer.
        Forked: the session belongs to the process that this one was forked from.
    """
    if _live is not None and _live.pid != os.getpid():
        raise Forked("The bus belongs to the process that this one was forked from.",
                     'multiprocessing.get_context("spawn") starts processes that can; or fork before')  # fmt: skip
    here = worker_here.here()
    if _live is not None and not _live.session.closed:
        return _live
    with _opening:
        if _ending:
            raise Ending("This program is ending.")
        return _open(here) if _live is None or _live.session.closed else _live


def _open(here: Here) -> Live:
    global _live  # noqa: PLW0603 - a process is one worker
    known = _live is not None
    _live = Live(here, open_session(here))
    if not known:  # called before the session itself is closed, because it was told of later
        with contextlib.suppress(RuntimeError):  # the interpreter is ending
            threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # noqa: SLF001
    return _live


def _at_exit() -> None:
    global _ending  # noqa: PLW0603 - a process ends once
    _ending = True
    opened = _opening.acquire(timeout=CLOSE_SECONDS)  # whoever opens the bus just now is let finish
    close()
    if opened:
        _opening.release()


def open_session(here: Here) -> Session:
    """A session with this worker's credential, which nobody is told of. Raises NoBus."""
    try:
        return open_client(_credentials(here))
    except NoBus:
        raise
    except WattleError as error:
        raise NoBus(f"The bus cannot be reached: {error.message}", error.hint) from None


def _credentials(here: Here) -> dict[str, Any]:
    """The worker's credentials on the bus, from the file that the coordinator wrote."""
    if not here.run:
        raise NoBus("worker.local() has no bus: live calls work in a run.", "wattle run")
    if not here.connection:
        raise NoBus("There is no bus here: WATTLE_CONNECTION is not set.",
                    "[zenoh] enabled = true in the settings; wattle doctor says what is missing")  # fmt: skip
    end = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            with open(here.connection, "rb") as file:
                told = json.load(file)
            bus, state = told.get("bus"), str(told.get("bus_state", ""))
        except (OSError, ValueError, AttributeError) as error:
            raise NoBus(f"WATTLE_CONNECTION cannot be read: {here.connection}: {error}",
                        "is the coordinator running? wattle status") from None  # fmt: skip
        if isinstance(bus, dict):
            return bus
        if state != "starting" or time.monotonic() > end:
            raise NoBus(f"There is no bus here. {state}".strip(),
                        "[zenoh] enabled = true in the settings; wattle doctor says what is missing")  # fmt: skip
        time.sleep(STARTING_PAUSE)


def joined(here: Here, address: str) -> str:
    """The address that a stream input is joined to; any other address as it is."""
    if "/" in address or address not in here.inputs:
        return address
    found = os.fspath(here.inputs[address])
    if os.path.isabs(found):
        raise InvalidRequest(f"the input {address!r} is a file and not a stream", f"open(worker.inputs[{address!r}])")
    return found


# --- what a program says -----------------------------------------------------------------------------------------


def publish(service: str, data: Any) -> None:
    """Tell whoever listens to `<this worker>/<service>`: bytes, a table of pyarrow, or what JSON can hold. It costs
    microseconds and nobody is waited for: who is too slow misses messages and knows how many. What must not be
    missed is an output, not a message.

    Raises:
        NotJson: JSON cannot hold it.
        NoBus: there is no bus here.
        InvalidRequest: that is no name for a service.
    """
    payload, encoding = encode(data, service)
    with contextlib.suppress(Ending):  # a thread that goes on while the program ends is not wrong to
        live().publish(service, payload, encoding)


def subscribe(address: str, callback: Callable[[Any], object] | None = None, *, queue: int = QUEUE) -> Subscription:
    """Listen to what another worker publishes from now on: `for data in worker.subscribe("engine/state")`, `async
    for`, or with a callback, which runs in a thread of its own. The name of an input that is a stream stands for what
    it is joined to. It ends when the publisher does. At most `queue`
    messages wait for you; the oldest go first, and `.dropped` counts what was missed. `.latest()` is the newest.

    Raises:
        NoBus: there is no bus here.
        InvalidRequest: the address is not `worker/service`, or the input is a file.
    """
    session = live()
    made = session.subscribe(joined(session.here, address), queue)
    if callback is not None:
        made.call(callback)
    return made


def request(address: str, data: Any = None, *, timeout: float = 5.0) -> Any:
    """Ask another worker's service, and get its answer. While nobody serves it yet, this waits, up to `timeout`
    seconds in all.

    Raises:
        WorkerUnreachable: nobody answers.
        RequestTimeout: it was asked and did not answer in time.
        RequestFailed: it says that it failed.
        NoBus: there is no bus here.
        NotJson: JSON cannot hold the question.
    """
    question = live().question(address, data, timeout)
    return question.data(answered(question))


def serve(service: str, *, threads: int = 1) -> Callable[[Handler], Handler]:
    """Answer questions to `<this worker>/<service>` with what the decorated function returns for their data.

        @worker.serve("route")
        def route(points): return …

    One question at a time, or as many as `threads`. A coroutine function runs on the event loop that runs where it
    is decorated. What it raises is the asker's `RequestFailed`, and printed here. `worker.wait()` keeps the program
    there.

    Raises (when decorating):
        NoBus: there is no bus here.
        InvalidRequest: that is no name for a service.
    """

    def serving(handler: Handler) -> Handler:
        live().serve(service, handler, threads)
        return handler

    return serving


def wait(timeout: float | None = None) -> bool:
    """Stay, and answer, until the program is ended or `close` is called; False when `timeout` seconds are over."""
    session = live()
    return bool(session.waiting.wait(lambda: session.over or None, timeout))


def close() -> None:
    """Leave the bus: streams end, what was published is sent. The end of the program does it too."""
    if _live is not None and _live.pid == os.getpid() and not _live.session.closed:
        _live.close()
