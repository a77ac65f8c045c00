"""Asking another worker: a question is asked again while nobody can have heard it, and never once somebody may have.

The bus answers at once, and with nothing, when nobody serves a question: because its worker is not there yet, has
died over it, or does not serve that. Which one it was shows the token that a worker has on the bus for as long as it
is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from wattle.bus.zenoh import Reply, Session
from wattle.core.errors import InvalidRequest, WattleError
from wattle.core.names import name_flaw
from wattle.sdk.worker_encoding import decode
from wattle.sdk.worker_errors import RequestFailed, RequestTimeout, WorkerUnreachable
from wattle.sdk.worker_gate import Gate
from wattle.sdk.worker_streams import Waiting

AGAIN_SECONDS = 0.1
"""How long a question waits before it is asked again, unless its worker comes sooner."""
NOBODY = object()
"""The bus knows nobody who would answer."""
GONE = object()
"""Who was asked, or the bus, has gone."""


class Presence:
    """Whether another worker is on the bus, and how often it has gone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = False
        self.losses = 0
        self.waiting: Waiting[Any] = Waiting()

    def tell(self, _: str, alive: bool) -> None:  # noqa: FBT001  the bus says it so
        """It has come, or gone."""
        self.losses += self.alive and not alive
        self.alive = alive
        self.waiting.tell()


class Question:
    """One question to one service: asked, and asked again while nobody can have heard it.

    Who asks waits on `waiting` for `found`, in a thread or on an event loop, and gives it to `judge`; unless that has
    an answer, for `news`, and begins again: so do `answered` here and `answered_async`.
    """

    def __init__(self, address: str, payload: bytes, encoding: str, timeout: float, *, key: str, presence: Presence,
                 session: Session, gate: Gate) -> None:  # fmt: skip
        self.address = address
        self._payload, self._encoding = payload, encoding
        self._key = key
        self._session = session
        self._gate = gate
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout
        self._presence = presence
        self.waiting = presence.waiting
        self._asked = 0
        self._last = 0.0
        self._losses = 0
        self._alive = False
        self._replies: list[Reply | object] = []

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._deadline - time.monotonic(), 0.0)

    def ask(self) -> Callable[[], None]:
        """Ask once. Returns what cancels it."""
        replies: list[Reply | object] = []

        def take(reply: Reply | object) -> None:
            replies.append(reply)
            self.waiting.tell()

        self._losses, self._alive, self._replies = self._presence.losses, self._presence.alive, replies
        self._asked += 1
        self._last = time.monotonic()
        def send() -> Callable[[], None]:
            with self._gate:  # the bus's own timeout is a little longer: whose end it is would not be known
                return self._session.ask(self._key, self._payload, take, lambda: take(NOBODY),
                                         self.left + AGAIN_SECONDS, encoding=self._encoding)  # fmt: skip

        return _outside_main(send)

    def found(self) -> Reply | object | None:
        """What has become of it; None as long as nothing has."""
        if self._replies:
            return self._replies[0]
        return None if self._presence.losses == self._losses else GONE

    def news(self) -> bool | None:
        """Who is asked has come or gone."""
        return (self._presence.losses, self._presence.alive) != (self._losses, self._alive) or None

    @property
    def pause(self) -> float:
        """How long to wait for news before it is asked again."""
        return min(AGAIN_SECONDS, self.left)

    def judge(self, found: Reply | object | None) -> Reply | None:
        """The answer; None when it is to be asked again. Raises LiveError."""
        if isinstance(found, Reply):
            return found
        if found is None:
            raise self._cut()
        if found is GONE or self._presence.losses != self._losses:
            raise WorkerUnreachable(
                f"{self.address} did not answer: {self._presence.name} (or the bus) went away while asked",
                "it may have done what it was asked; its log has the story")  # fmt: skip
        if not self.left:
            raise self._nobody()
        return None

    def data(self, reply: Reply) -> Any:
        """What an answer says, or its error. Raises LiveError."""
        return decode(self.checked(reply).payload, reply.encoding, self.address)

    def checked(self, reply: Reply) -> Reply:
        """An answer that is no error. Raises LiveError."""
        if reply.error is None:
            return reply
        code, message, hint = (str(reply.error.get(name) or "") for name in ("code", "message", "hint"))
        if code == "timeout":
            raise self._late()
        raise RequestFailed(f"{self.address}: {message}", hint, code=code or None)

    def _cut(self) -> RequestTimeout | WorkerUnreachable:
        """Time is up with a question on its way: one that nobody had heard a moment before, or one that takes long."""
        if self._asked > 1 and time.monotonic() - self._last < AGAIN_SECONDS:
            return self._nobody()
        return self._late()

    def _late(self) -> RequestTimeout:
        return RequestTimeout(f"{self.address} did not answer within {self._timeout:g} s",
                              "ask with a longer timeout, or look at its log")  # fmt: skip

    def _nobody(self) -> WorkerUnreachable:
        who = self._presence.name
        if self._presence.alive:
            return WorkerUnreachable(f"{self.address} does not answer: {who} is there and does not serve that",
                                     "is the name of the service right?")  # fmt: skip
        return WorkerUnreachable(f"{self.address} does not answer: {who} was not on the bus for {self._timeout:g} s",
                                 "is it running? it must serve before it is asked")  # fmt: skip


def answered(question: Question) -> Reply:
    """Ask, wait in this thread, and ask again until there is an answer; it may be an error. Raises LiveError."""
    while True:
        cancel = question.ask()
        try:
            found = question.waiting.wait(question.found, question.left)
        finally:
            if question.found() is None:
                cancel()
        if reply := question.judge(found):
            return reply
        if question.waiting.wait(question.news, question.pause):
            question.judge(NOBODY)


def _outside_main(send: Callable[[], Callable[[], None]]) -> Callable[[], None]:
    """Call it in a thread that no signal strikes. An empty answer is told while the question is being sent, in the
    same thread; Ctrl-C in the middle of that would be swallowed by the bus, and the answer with it."""
    if threading.current_thread() is not threading.main_thread():
        return send()
    sent: list[Callable[[], None]] = []
    failed: list[WattleError] = []

    def run() -> None:
        try:
            sent.append(send())
        except WattleError as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="wattle-question", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return sent[0]


def parts(address: str) -> tuple[str, str]:
    """Worker and service. Raises InvalidRequest."""
    worker, slash, service = address.partition("/")
    if not slash or not service or name_flaw(worker):
        raise InvalidRequest(f"{address!r} is no service of a worker", "write worker/service, as in engine/state")
    check_service(service)
    return worker, service


def check_service(service: str) -> None:
    """A service is one name or several, joined by slashes. Raises InvalidRequest."""
    for part in service.split("/"):
        if flaw := name_flaw(part):
            raise InvalidRequest(f"the service {service!r} {flaw.message}", flaw.hint)
