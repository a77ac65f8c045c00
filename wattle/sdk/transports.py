"""How a question reaches a coordinator: over its private Unix socket (`UnixTransport`), or a port of this machine
where there are none (`LoopbackTransport`), or inside this process (`sdk/local.py`), or over a URL (`sdk/url.py`). All
keep one contract, `Transport`.

    request(operation, fields) -> dict                     one answer
    stream(operation, fields)  -> iterator of (id, dict)   until the end that the server announces

Laws: the HTTP form of a question is derived from the table of operations and from nothing else. Every error that
the server reports is raised as the class of `core/errors.py` that it was there. A connection that cannot be made is
`Unreachable`, one that breaks is `ConnectionLost`; who tries again is the client's affair (`sdk/client.py`).
Imports stay cheap (no msgspec, no asyncio): every command passes here.
"""

from __future__ import annotations

import json
import socket

from wattle.core.errors import (
    Changed,
    Conflict,
    DocumentError,
    Forbidden,
    InternalError,
    InvalidRequest,
    NotAvailable,
    NotFound,
    Problem,
    StorageError,
    Unreachable,
    WattleError,
)  # fmt: skip
from wattle.core.operations import BY_NAME
from wattle.sdk.wire import Exchange, server_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Protocol

    from wattle.core.operations import Operation

    class Transport(Protocol):
        """The way to one coordinator."""

        def request(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
            """One answer. Raises `WattleError`."""

        def stream(self, operation: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
            """Answers with their ids until the announced end. Raises `WattleError`; `ConnectionLost` when the
            coordinator went away or asks its clients to come back."""

        def close(self) -> None:
            """Let go of connections."""


ANSWER_WITHIN = 120.0
"""Seconds until a coordinator that accepted a question and says nothing counts as hung."""

SILENCE = 90.0
"""Seconds without even a heartbeat until a stream counts as broken."""

_NULLABLE = {"put_output": ("value",)}
"""Fields in which nothing is something: everywhere else it is left out."""
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@")
_CLASSES = {
    kind.code: kind
    for kind in (InvalidRequest, NotAvailable, Forbidden, NotFound, Changed, Conflict, StorageError, Unreachable,
                 InternalError)
}
_BY_STATUS = {
    400: InvalidRequest, 401: Forbidden, 403: Forbidden, 404: NotFound, 405: InvalidRequest, 409: Conflict,
    412: Changed, 413: InvalidRequest, 415: InvalidRequest, 422: NotAvailable, 429: Conflict, 503: Unreachable,
}  # fmt: skip


class ConnectionLost(Unreachable):
    """The connection broke before the answer, or the coordinator is being replaced."""


def percent_encoded(text: str) -> str:
    """UTF-8, with everything but unreserved characters (and `@`) as `%XX`."""
    data = text.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)


def http_form(operation: str, fields: Mapping[str, Any]) -> tuple[str, str, bytes | None]:
    """Verb, target and body of a question."""
    row: Operation = BY_NAME[operation]
    target, rest = row.path, {}
    for name, value in fields.items():
        if "{" + name + "}" in target:
            target = target.replace("{" + name + "}", percent_encoded(str(value)))
        elif value is not None or name in _NULLABLE.get(operation, ()):
            rest[name] = value
    if row.verb in {"POST", "PUT"}:
        return row.verb, target, json.dumps(rest).encode()
    query = "&".join(f"{name}={percent_encoded(_query_text(value))}" for name, value in rest.items())
    return row.verb, f"{target}?{query}" if query else target, None


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def error_from(status: int, body: bytes) -> WattleError:
    """The error that a reply stands for."""
    try:
        told = json.loads(body)
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        kind = _BY_STATUS.get(status, InternalError)
        return kind(f"The coordinator answered {status} without saying why.", "run: wattle doctor")
    return error_told(status, code, message, told)


def error_told(status: int, code: str, message: str, told: Mapping[str, Any]) -> WattleError:
    """The error that a server described as `{code, message, hint[, problems]}`."""
    hint = str(told.get("hint") or "")
    if code == DocumentError.code:
        return DocumentError(message, [Problem(**problem) for problem in told.get("problems") or ()], hint)
    kind = _CLASSES.get(code) or _BY_STATUS.get(status, InternalError)
    return kind(message, hint, code=code)


class HttpTransport:
    """Questions over HTTP, on connections that `connect` makes; idle ones are kept for the next request.

    `connect` raises `OSError`. `where` is what the other side is called in an error, `base` stands before every path.
    """

    def __init__(self, connect: Callable[[], socket.socket], where: str, *, host: str = "localhost", base: str = "",
                 headers: Mapping[str, str] | None = None) -> None:  # fmt: skip
        self._connect = connect
        self._where = where
        self._host = host
        self._base = base
        self._headers = dict(headers or {})
        self._idle: list[Exchange] = []

    def request(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """One answer. Raises `WattleError`."""
        verb, target, body = http_form(operation, fields)
        exchange = self._idle.pop() if self._idle else self._open()
        try:
            exchange.send(verb, self._base + target, body, self._headers)
            status = exchange.head()
            answer = exchange.body()
        except OSError as error:
            exchange.close()
            raise self._lost(error) from error
        except BaseException:
            exchange.close()
            raise
        if exchange.reusable:
            self._idle.append(exchange)
        else:
            exchange.close()
        if status >= 400:
            raise error_from(status, answer)
        return json.loads(answer) if answer else {}

    def stream(self, operation: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answers with their ids until the announced end. Raises `WattleError`."""
        verb, target, body = http_form(operation, fields)
        exchange = self._open()
        try:
            exchange.send(verb, self._base + target, body, {**self._headers, "Accept": "text/event-stream"})
            status = exchange.head()
            if status >= 400:
                raise error_from(status, exchange.body())
            exchange.patience(SILENCE)
            for event in server_events(exchange.pieces()):
                if event.name == "end":
                    return
                if event.name == "resync":
                    raise ConnectionLost("The coordinator is being replaced.")
                if event.name == "error":
                    told = event.json()
                    raise error_told(500, str(told["code"]), str(told["message"]), told)
                yield event.id, event.json()
        except OSError as error:
            raise self._lost(error) from error
        finally:
            exchange.close()
        raise ConnectionLost(f"The stream from {self._where} ended too early.")

    def close(self) -> None:
        """Let go of idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> Exchange:
        try:
            return Exchange(self._connect(), self._host)
        except OSError as error:
            message = f"No coordinator answers at {self._where} ({error.strerror or error})."
            raise Unreachable(message, "run: wattle doctor") from error

    def _lost(self, error: OSError) -> ConnectionLost:
        if isinstance(error, TimeoutError):
            message = f"The coordinator at {self._where} does not answer."
            return ConnectionLost(message, "if it hangs: wattle down --force", code="no-answer")
        message = f"The connection to {self._where} broke ({error.strerror or error})."
        return ConnectionLost(message, "run: wattle doctor")


class UnixTransport(HttpTransport):
    """The private door of a coordinator on this machine; the file permission is the credential."""

    def __init__(self, socket_path: str) -> None:
        super().__init__(lambda: _dial(socket_path), socket_path)
        self.socket_path = socket_path


def _dial(socket_path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(ANSWER_WITHIN)
        sock.connect(socket_path)
    except BaseException:
        sock.close()
        raise
    return sock


class LoopbackTransport(HttpTransport):
    """The private door of a coordinator where there are no Unix sockets: a port of 127.0.0.1. The credential is the
    token in the door's file, which only its owner can read. Raises `Unreachable` when nobody opened a door."""

    def __init__(self, door_file: str) -> None:
        try:
            port, token = read_door(door_file)
        except OSError as error:
            raise Unreachable(f"No coordinator opened a door at {door_file}.", "run: wattle doctor") from error
        where = f"127.0.0.1:{port}"
        super().__init__(lambda: socket.create_connection(("127.0.0.1", port), ANSWER_WITHIN), where, host=where,
                         headers={"Authorization": f"token {token}"})  # fmt: skip


def read_door(door_file: str) -> tuple[int, str]:
    """Port and token of a door. Raises OSError when there is none, or only half of one."""
    with open(door_file, encoding="utf-8") as file:
        text = file.read()
    try:
        told = json.loads(text)
        port, token = int(told["port"]), str(told["token"])
    except (ValueError, KeyError, TypeError):
        raise OSError(f"{door_file} tells no port and token") from None
    return port, token
