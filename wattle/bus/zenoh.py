"""The one place that knows Zenoh: a session that cannot hang its program, behind a few plain methods.

Laws:
* Callbacks run in Zenoh's receiving thread: they hand over (to a queue, to an event loop) and return. Whatever they
  raise is logged and forgotten. There is no thread of Python's behind them, so none can keep an interpreter from
  ending.
* Every open session is closed before the interpreter waits for threads, with a time limit. Closing sends what is
  still on its way.
* A session belongs to the process that opened it: in a child made by `os.fork` every use of it is refused, for Zenoh
  would lose messages there without a word.
* A put never waits for a slow receiver, unless it is asked to.
* A denied or unanswered question is an error, never an empty answer.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from wattle.bus.connection import Connection, address_of, client_config, read_connection
from wattle.bus.keys import Keys
from wattle.core.errors import Conflict, Forbidden, InternalError, NotAvailable, Unreachable, WattleError

try:
    import zenoh
except ImportError as error:
    _missing = str(error)
else:
    _missing = ""

log = logging.getLogger("wattle.bus")

JSON = "application/json"
BYTES = "application/octet-stream"
CLOSE_SECONDS = 3.0
"""How long the end of a program waits for its sessions to say goodbye."""


class Sample(NamedTuple):
    """What somebody has put; `deleted` when it was taken away instead."""

    key: str
    payload: bytes
    encoding: str
    attachment: bytes | None = None
    deleted: bool = False


class Reply(NamedTuple):
    """One answer: a payload, or an error `{code, message, hint}`."""

    payload: bytes
    encoding: str
    error: dict[str, Any] | None = None
    attachment: bytes | None = None
    key: str = ""


class Closable:
    """Something declared on a session, until it is closed. Closing twice is fine."""

    def __init__(self, undeclare: Callable[[], Any]) -> None:
        self._undeclare: Callable[[], Any] | None = undeclare

    def close(self) -> None:
        """End it. Never raises: with a closed session it has ended already."""
        undeclare, self._undeclare = self._undeclare, None
        if undeclare is not None:
            with contextlib.suppress(zenoh.ZError):
                undeclare()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()


class Publisher(Closable):
    """A declared key to put on: cheap when nobody listens."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw.undeclare)
        self._raw = raw
        self.key = str(raw.key_expr)

    def put(self, payload: bytes, attachment: bytes | None = None) -> None:
        """Send it to whoever listens. Never raises for a lost router."""
        with contextlib.suppress(zenoh.ZError):
            self._raw.put(payload, attachment=attachment)

    def on_match(self, callback: Callable[[bool], None]) -> None:
        """Call back when the first listener comes (soon, if it is there) and when the last one goes."""
        self._raw.declare_matching_listener(_direct(lambda status: callback(bool(status.matching))))


class Query:
    """A question somebody asked. It must be closed, whatever becomes of it: until then the asker waits."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.key = str(raw.key_expr)
        self.payload: bytes = raw.payload.to_bytes() if raw.payload is not None else b""
        self.encoding = str(raw.encoding) if raw.encoding is not None else ""
        self.attachment: bytes | None = raw.attachment.to_bytes() if raw.attachment is not None else None
        self.parameters = str(raw.parameters)

    def reply(self, payload: bytes, encoding: str = JSON, attachment: bytes | None = None, key: str = "") -> bool:
        """Send one answer; several may follow one another. False: the question is over."""
        try:
            self._raw.reply(key or self.key, payload, encoding=encoding, attachment=attachment)
        except zenoh.ZError:
            return False
        return True

    def refuse(self, error: WattleError | Mapping[str, Any]) -> None:
        """Answer with an error."""
        told = error.to_dict() if isinstance(error, WattleError) else dict(error)
        with contextlib.suppress(zenoh.ZError):
            self._raw.reply_err(json.dumps(told).encode(), encoding=JSON)

    def close(self) -> None:
        """Nothing more will be answered."""
        with contextlib.suppress(zenoh.ZError):
            self._raw.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()


class Replies(Iterator[Reply]):
    """The answers to one question, in the order in which they come. `close` stops waiting for more."""

    def __init__(self, timeout: float) -> None:
        self._found: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._ended = False
        self._deadline = time.monotonic() + timeout + CLOSE_SECONDS
        self._cancel: Callable[[], None] = lambda: None

    def __next__(self) -> Reply:
        if self._ended:
            raise StopIteration
        try:
            reply = self._found.get(timeout=max(self._deadline - time.monotonic(), 0.0))
        except queue.Empty:
            self.close()
            return _late()
        if reply is None:
            self._ended = True
            raise StopIteration
        return reply

    def close(self) -> None:
        """Nobody wants the rest."""
        if not self._ended:
            self._ended = True
            self._cancel()


class Session:
    """An open connection to the bus. `open_client` makes it."""

    def __init__(self, raw: Any, connection: Connection) -> None:
        self.hub = connection.hub
        self.role = connection.role
        self.closed = False
        self._raw = raw
        self._pid = os.getpid()
        self._held: list[Closable] = []
        _sessions.add(self)

    def _alive(self) -> Any:
        if self._pid != os.getpid():
            raise Conflict("This connection to the bus belongs to the process that this one was forked from.",
                           "open one here, before or without os.fork: subprocess, or multiprocessing's spawn",
                           code="forked")  # fmt: skip
        if self.closed:
            raise _shut()
        return self._raw

    def put(self, key: str, payload: bytes, encoding: str = BYTES, attachment: bytes | None = None, *,
            block: bool = False) -> None:  # fmt: skip
        """Send to whoever listens now. With `block`, wait up to 5 s for slow receivers; without it, they miss it.

        Raises:
            Conflict: the session is closed, or was opened before a fork.
        """
        control = zenoh.CongestionControl.BLOCK if block else zenoh.CongestionControl.DROP
        _told(self._alive().put, key, payload, encoding=encoding, attachment=attachment, congestion_control=control)

    def publisher(self, key: str, encoding: str = BYTES) -> Publisher:
        """Declare a key that will be put on often."""
        return Publisher(_told(self._alive().declare_publisher, key, encoding=encoding))

    def subscribe(self, key: str, callback: Callable[[Sample], None]) -> Closable:
        """Call back for everything that is put on `key` from now on, in Zenoh's receiving thread."""
        handler = _direct(lambda raw: callback(_sample(raw)))
        return Closable(_told(self._alive().declare_subscriber, key, handler).undeclare)

    def queryable(self, key: str, handler: Callable[[Query], None]) -> Closable:
        """Answer questions on `key`. The handler runs in Zenoh's receiving thread, and must see to it that the query
        is closed; when it raises, the query is refused and closed."""
        direct = _direct(lambda raw: _handle(raw, handler))
        return Closable(_told(self._alive().declare_queryable, key, direct).undeclare)

    def get(self, key: str, payload: bytes = b"", timeout: float = 10.0, *, encoding: str = JSON,
            attachment: bytes | None = None) -> Replies:  # fmt: skip
        """Ask whoever answers on `key`. It is asked at once; answers are taken one by one, each as it was sent. An
        empty iterator means that nobody may, or does, answer. `timeout` is for all of them, in seconds."""
        replies = Replies(timeout)
        replies._cancel = self.ask(key, payload, replies._found.put, lambda: replies._found.put(None),  # noqa: SLF001
                                   timeout, encoding=encoding, attachment=attachment)  # fmt: skip
        return replies

    def ask(self, key: str, payload: bytes, on_reply: Callable[[Reply], None], on_end: Callable[[], None],
            timeout: float = 10.0, *, encoding: str = JSON,
            attachment: bytes | None = None) -> Callable[[], None]:  # fmt: skip
        """`get` with callbacks, for event loops: `on_end` comes once, after the last reply. Returns what cancels."""
        token = zenoh.CancellationToken()
        handler = _direct(lambda raw: on_reply(_reply(raw)), on_end)
        _told(self._alive().get, key, handler, payload=payload, encoding=encoding, attachment=attachment,
              timeout=timeout, consolidation=zenoh.ConsolidationMode.NONE, cancellation_token=token)  # fmt: skip
        return token.cancel

    def liveliness(self, key: str) -> Closable:
        """A token that others see until it is closed, or this process is gone."""
        token = Closable(_told(self._alive().liveliness().declare_token, key).undeclare)
        self._held.append(token)  # like all that is declared, it does not go with a variable
        return token

    def watch_liveliness(self, key: str, callback: Callable[[str, bool], None]) -> Closable:
        """Call back with (key, alive) for each token there is, comes and goes. A restart of the router shows all as
        going and coming again."""
        def told(raw: Any) -> None:
            callback(str(raw.key_expr), raw.kind == zenoh.SampleKind.PUT)

        declared = _told(self._alive().liveliness().declare_subscriber, key, _direct(told), history=True)
        return Closable(declared.undeclare)

    def flush(self, limit: float = CLOSE_SECONDS) -> None:
        """Wait until the router knows what was declared here: what is asked after that finds it. Blocks."""
        for _ in self.get(Keys(self.hub).kernel("flush"), timeout=limit):
            pass

    @property
    def connected(self) -> bool:
        """The router is there now."""
        return bool(self._alive().info.routers_zid())

    def close(self, limit: float = CLOSE_SECONDS) -> None:
        """Send what is on its way, and let go. Never raises, never waits longer than `limit` seconds."""
        if self.closed or self._pid != os.getpid():
            return
        self.closed = True
        _sessions.discard(self)
        closing = threading.Thread(target=_close, args=(self._raw,), name="wattle-bus-close", daemon=True)
        try:
            closing.start()
        except RuntimeError:  # the interpreter makes no threads any more
            _close(self._raw)
        else:
            closing.join(limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()


_sessions: set[Session] = set()
"""Open until it is closed, or the program ends: what is declared on a session does not go with a variable."""


def _close_all() -> None:
    for session in list(_sessions):
        session.close()


@functools.cache
def _close_at_exit() -> None:
    """Before the interpreter waits for threads: `atexit` comes after that, and too late."""
    threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001


def why_missing() -> str:
    """Why there is no Zenoh here, as one sentence; empty when there is."""
    if not _missing:
        return ""
    return f"eclipse-zenoh cannot be imported ({_missing}); there are no wheels for Alpine, nor for Windows on ARM."


def require() -> None:
    """Raises `NotAvailable` where there is no Zenoh."""
    if reason := why_missing():
        raise NotAvailable(reason, "pip install 'eclipse-zenoh>=1.10,<1.11'")


def open_client(connection: str | os.PathLike[str] | Mapping[str, Any] | Connection, *,
                timeout: float = 10.0) -> Session:  # fmt: skip
    """Open a session from a credentials file, or from what such a file holds. Waits up to `timeout` seconds for a
    router that is starting.

    Raises:
        NotAvailable: Zenoh is not installed here.
        Unreachable: no router answers.
        Forbidden: the router is there and refuses the credential; or other users can read the file.
        InvalidRequest: the connection makes no sense.
    """
    require()
    found = connection if isinstance(connection, Connection) else read_connection(connection)
    config = zenoh.Config.from_json5(json.dumps(client_config(found)))
    deadline = time.monotonic() + timeout
    _close_at_exit()
    refused = 0
    while True:
        try:
            return Session(zenoh.open(config), found)
        except zenoh.ZError as error:
            reason = str(error)
        refused += any(map(_answers, found.endpoints))
        if refused >= 3:  # once may be a router that was just going, or coming
            raise Forbidden("The bus refuses this credential.", "it changes with each router: read the file again")
        if time.monotonic() > deadline:
            log.debug("no bus: %s", reason)
            raise Unreachable(f"No bus answers at {', '.join(found.endpoints)}.", "wattle doctor")
        time.sleep(0.05)


def open_router(config: Mapping[str, Any]) -> Any:
    """Open a router in this process. What is returned keeps it alive, and is closed by `close()`.

    Raises:
        NotAvailable: Zenoh is not installed here.
        Unreachable: an endpoint cannot be listened on; the message says why.
    """
    require()
    try:
        return zenoh.open(zenoh.Config.from_json5(json.dumps(config)))
    except zenoh.ZError as error:
        raise Unreachable(f"The router cannot listen: {error}", "is the port taken?") from None


def _answers(endpoint: str) -> bool:
    """Something accepts connections there."""
    address = address_of(endpoint)
    kind = socket.AF_UNIX if isinstance(address, str) and hasattr(socket, "AF_UNIX") else socket.AF_INET
    try:
        with contextlib.closing(socket.socket(kind) if isinstance(address, str)
                                else socket.create_connection(address, 1.0)) as link:  # fmt: skip
            if isinstance(address, str):
                link.settimeout(1.0)
                link.connect(address)
    except OSError:
        return False
    return True


def _shut() -> Conflict:
    return Conflict("The connection to the bus is closed.", "open another one", code="closed")


def _close(raw: Any) -> None:
    with contextlib.suppress(zenoh.ZError):
        raw.close()


def _told(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Zenoh's errors as ours."""
    try:
        return method(*args, **kwargs)
    except zenoh.ZError as error:
        if "closed" in str(error).lower():
            raise _shut() from None
        raise InternalError(f"Zenoh: {error}", "this is likely a bug of ours") from None


def _direct(callback: Callable[[Any], None], drop: Callable[[], None] | None = None) -> Any:
    """Called in the receiving thread itself: no thread of Python's that would outlive its program."""
    def safely(raw: Any) -> None:
        try:
            callback(raw)
        except Exception:
            log.exception("a callback of the bus failed")

    return zenoh.handlers.Callback(safely, drop, indirect=False)


def _handle(raw: Any, handler: Callable[[Query], None]) -> None:
    query = Query(raw)
    try:
        handler(query)
    except Exception:
        query.refuse(InternalError("The answer failed inside.", "its log has the story"))
        query.close()
        raise


def _sample(raw: Any) -> Sample:
    attachment = raw.attachment
    return Sample(str(raw.key_expr), raw.payload.to_bytes(), str(raw.encoding),
                  None if attachment is None else attachment.to_bytes(),
                  raw.kind == zenoh.SampleKind.DELETE)  # fmt: skip


def _reply(raw: Any) -> Reply:
    if raw.ok is not None:
        sample = _sample(raw.ok)
        return Reply(sample.payload, sample.encoding, None, sample.attachment, sample.key)
    payload, encoding = raw.err.payload.to_bytes(), str(raw.err.encoding)
    if payload == b"Timeout":
        return _late()
    try:
        told = json.loads(payload)
    except ValueError:
        told = None
    if not isinstance(told, dict) or "code" not in told:
        told = {"code": "error", "message": payload.decode("utf-8", "replace"), "hint": ""}
    return Reply(payload, encoding, told)


def unanswered(what: str) -> Unreachable:
    """What no answer at all means: Zenoh says nothing of what is denied."""
    return Unreachable(f"Nobody answers for {what} on the bus.",
                       "either no coordinator is there, or this credential may not ask")  # fmt: skip


def _late() -> Reply:
    told = {"code": "timeout", "message": "No answer came in time.", "hint": "ask with a longer timeout"}
    return Reply(b"", "", told)
