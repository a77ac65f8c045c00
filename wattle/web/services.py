"""The services of workers over HTTP, for languages that do not speak Zenoh. `docs/bus.md` tells it to those who use it.

    PUT    /api/wattle/services/{workflow}/{worker}/{service}              publish the body, in the name of that worker
    DELETE /api/wattle/services/{workflow}/{worker}/{service}              say that nothing more will be published
    GET    /api/wattle/services/{workflow}/{worker}/{service}              listen: server-sent events
    POST   /api/wattle/services/{workflow}/{worker}/{service}?timeout=5    ask; the answer is the reply's body
    GET    /api/wattle/services/{workflow}/{worker}/{service}?serve=true   take questions: server-sent events {id, data}
    PUT    /api/wattle/answers/{id}                                        answer one; POST {code, message} refuses it

A family of its own and no rows of the table, because a body here is a message of any type and not an operation's
fields, because the bus has all of it already, and because a line in the audit file for each message would fill disks.

Laws: a message is handed on as it is, with its Content-Type as its encoding. In the name of a worker speaks only who
names one that runs. Without a bus everything here is a 503 that says why there is none.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from tornado.web import HTTPError, RequestHandler

from wattle.core.errors import InvalidRequest, Unreachable
from wattle.core.operations import EXECUTE, READ, Operation
from wattle.web import asking
from wattle.web.handlers import OperationHandler
from wattle.web.refusals import refusal
from wattle.web.streams import Streams

SERVICES, ANSWERS = "/api/wattle/services/{workflow}/{worker}/{service}", "/api/wattle/answers/{question}"
JSON, BYTES = "application/json", "application/octet-stream"
LONGEST_QUESTION = 3600.0


def _row(name: str, verb: str, path: str, access: str, text: str) -> Operation:
    return Operation(name, verb, path, "", "", False, access, (), text)


LISTEN = _row("follow_service", "GET", SERVICES, READ, "Listen to what a worker publishes, or take its questions")
PUBLISH = _row("publish_message", "PUT", SERVICES, EXECUTE, "Publish in the name of a worker that runs")
END = _row("end_service", "DELETE", SERVICES, EXECUTE, "Say that nothing more will be published")
ASK = _row("ask_service", "POST", SERVICES, EXECUTE, "Ask a worker's service")
ANSWER = _row("answer_question", "PUT", ANSWERS, EXECUTE, "Answer a question")
REFUSE = _row("refuse_question", "POST", ANSWERS, EXECUTE, "Answer a question with an error")


class Answered(Protocol):
    """An answer: bytes and their encoding."""

    @property
    def payload(self) -> bytes:
        """The bytes."""

    @property
    def encoding(self) -> str:
        """What they are."""


class Bus(Protocol):
    """The coordinator's hands on the bus. A `place` is what `Live` gives. All raise WattleError."""

    @property
    def leaving(self) -> bool:
        """It was let go of: its streams are to be taken up again, here or with the coordinator's successor."""

    def publish(self, place: Any, attempt: int, payload: bytes, encoding: str) -> None:
        """Tell it in the name of a worker."""

    def end(self, place: Any, attempt: int) -> None:
        """Nothing more will be published there."""

    async def ask(self, place: Any, payload: bytes, encoding: str, seconds: float) -> Answered:
        """The answer to one question."""

    def follow(self, place: Any) -> AsyncGenerator[dict[str, Any], None]:
        """What is published, from now on."""

    def questions(self, place: Any) -> AsyncGenerator[dict[str, Any], None]:
        """What is asked, from now on."""

    def answer(self, name: str, payload: bytes, encoding: str) -> None:
        """Answer a question that was handed out."""

    def refuse(self, name: str, error: dict[str, Any]) -> None:
        """Answer it with an error."""


class Live(Protocol):
    """What the host gives to this door."""

    async def bus(self) -> Bus:
        """The bus, when it is up or comes up soon. Raises Unreachable, which says why there is none."""

    async def place(self, workflow: str, worker: str, service: str, *, running: bool) -> tuple[Any, int]:
        """The place of a service, and the attempt of its worker. Raises NotFound; with `running`, Conflict when that
        worker does not run."""


class ServiceHandler(OperationHandler):
    """One service, or the answer to one question."""

    def initialize(self, operations: Mapping[str, Operation], live: Callable[[], Live | None],  # type: ignore[override]
                   streams: Streams | None = None) -> None:  # fmt: skip
        """Called by Tornado with the route's arguments."""
        super().initialize(operations, lambda: None, streams=streams)
        self.find_live = live

    def _record(self, outcome: str, reply: Any = None) -> None:
        """No line for each message."""

    async def answer(self, **path: str) -> None:
        """Do what the method means."""
        operation = self.operation
        if operation is None:
            raise HTTPError(405)
        self.authorize(operation)
        self.check_body()
        live = self.find_live()
        if live is None:
            raise refusal(503)
        if operation in {ANSWER, REFUSE}:
            self._answer(operation, await live.bus(), path["question"])
            return
        running = operation in {PUBLISH, END} or self._serving(operation)
        query = self._query({LISTEN: {"serve"}, ASK: {"timeout"}}.get(operation, set()))
        place, attempt = await live.place(path["workflow"], path["worker"], path["service"], running=running)
        bus = await live.bus()
        if operation is LISTEN:
            await self._follow(bus.questions(place) if running else bus.follow(place), bus)
        elif operation is ASK:
            await self._ask(bus, place, query.get("timeout", "5"))
        else:
            if operation is PUBLISH:
                bus.publish(place, attempt, *self._message())
            else:
                bus.end(place, attempt)
            self._done()

    get = post = put = delete = patch = head = options = answer

    def _serving(self, operation: Operation) -> bool:
        return operation is LISTEN and self.get_query_argument("serve", "") not in {"", "0", "false"}

    def _query(self, known: set[str]) -> dict[str, str]:
        found = {name: values[-1].decode("utf-8", "replace") for name, values in self.request.query_arguments.items()
                 if name not in asking.IGNORED}  # fmt: skip
        if unknown := sorted(set(found) - known):
            raise InvalidRequest(f"{unknown[0]!r} means nothing here.", f"known: {', '.join(sorted(known)) or 'none'}")
        return found

    def _message(self) -> tuple[bytes, str]:
        """The body, and what it is. Raises WattleError."""
        kind = self.request.headers.get("Content-Type", BYTES).strip()
        plain = kind.partition(";")[0].strip().lower()
        if plain in {"application/x-www-form-urlencoded", "multipart/form-data"}:
            raise refusal(415, f"a message is no {plain}", "say what it is, as in Content-Type: application/json")
        if plain == JSON:
            kind = JSON  # with a charset, too: JSON has only one
            try:
                msgspec.json.decode(self.request.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise InvalidRequest(f"the body is not JSON: {error}", "what is sent is what arrives") from None
        return self.request.body, kind

    async def _ask(self, bus: Bus, place: Any, text: str) -> None:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= LONGEST_QUESTION:
            raise InvalidRequest(f"timeout: {text!r} is no number of seconds.", "between 0 and 3600")
        reply = await bus.ask(place, *self._message(), seconds)
        self.set_header("Content-Type", _header(reply.encoding))
        self.finish(reply.payload)

    def _answer(self, operation: Operation, bus: Bus, name: str) -> None:
        self._query(set())
        payload, encoding = self._message()
        if operation is ANSWER:
            bus.answer(name, payload, encoding)
        else:
            bus.refuse(name, _error(payload, encoding))
        self._done()

    def _done(self) -> None:
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()


def _header(encoding: str) -> str:
    """An encoding that a header can carry. What a browser would run or draw is for nobody here."""
    fine = encoding.isprintable() and encoding.isascii() and "/" in encoding
    return encoding if fine and not encoding.startswith(("text/html", "image/svg", "text/xml")) else BYTES


def _error(payload: bytes, encoding: str) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(payload) if encoding == JSON else None
    except msgspec.DecodeError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("message"), str):
        raise InvalidRequest("An error is a JSON object with a message.", 'as in {"code": "no-route", "message": "…"}')
    return {name: str(told.get(name) or usual) for name, usual in (("code", "request-failed"), ("message", ""),
                                                                   ("hint", ""))}  # fmt: skip


def service_routes(live: Callable[[], Live | None], streams: Streams,
                   handler: type[ServiceHandler] = ServiceHandler,
                   ) -> Sequence[tuple[str, type[RequestHandler], dict[str, Any]]]:  # fmt: skip
    """The routes of this family. `live` gives None until the coordinator is ready."""
    service = r"/api/wattle/services/(?P<workflow>[^/]+)/(?P<worker>[^/]+)/(?P<service>.+?)/?"
    given: dict[str, Any] = {"live": live, "streams": streams}
    return [
        (service, handler, {"operations": {row.verb: row for row in (LISTEN, PUBLISH, END, ASK)}, **given}),
        (r"/api/wattle/answers/(?P<question>[\w-]+)/?", handler,
         {"operations": {row.verb: row for row in (ANSWER, REFUSE)}, **given}),
    ]  # fmt: skip


def no_bus(state: str) -> Unreachable:
    """What everything here says without a bus."""
    return Unreachable(state, "[zenoh] enabled = true in the settings; wattle doctor says what is missing",
                       code="no-bus")  # fmt: skip


