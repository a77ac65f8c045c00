"""The operations as questions on the bus: `api/{operation}`, with the same requests, replies and errors as over HTTP.

A question's payload is the JSON object of the operation's fields (empty for none). An answer is JSON; an error is an
error reply `{code, message, hint}`. A stream answers many times, and its last answer is empty, with the attachment

    {"end": "complete" | "resync" | "later", "resume": {…fields to ask again with}}

`complete`: there is nothing more. `resync`: the coordinator lets go, ask its successor. `later`: the stream has run for
as long as one question may; ask again, with `resume` in place of those fields. Nobody can see here whether the asker
of a question is still there, so no stream goes on for ever.

Laws: the router holds each role to what it may ask (`access.py`); here is only what nobody may. Questions are taken in
Zenoh's thread, decided on the loop, and answered from a thread of the door's own, so that an asker who takes nothing
holds up neither. Every query is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import msgspec

from wattle.bus.access import NEVER
from wattle.bus.events import encoded
from wattle.bus.keys import Keys, parse
from wattle.bus.zenoh import JSON, Query, Session
from wattle.core.errors import Conflict, Forbidden, InternalError, InvalidRequest, NotFound, WattleError
from wattle.core.operations import BY_NAME, READ, UNRECORDED, Operation
from wattle.core.requests import request_for

log = logging.getLogger("wattle.bus")
T = TypeVar("T")

STREAM_SECONDS = 60.0
"""How long one question is answered; whoever wants more asks again."""
MOST_STREAMS = 256
MOST_QUESTIONS = 1024
BODY_LIMIT = 8 << 20
RESUMED_BY = {
    "follow_logs": {"position": "position"}, "follow_events": {"after": "seq"}, "follow_all_events": {"after": "seq"},
    "follow_many": {"position": "position"}, "watch_run": {"after": "seq"},
}  # fmt: skip
"""Field of the request <- field of an answer: where a stream is taken up again."""


class Answers(Protocol):
    """What is asked: a method per operation."""

    @property
    def leaving(self) -> bool:
        """The coordinator is letting go: streams must be taken up with its successor."""


class Asked:
    """One question, and what becomes of it."""

    def __init__(self) -> None:
        self.name = ""
        self.fields: dict[str, Any] = {}
        self.run = ""
        self.error: WattleError | None = None


class Door:
    """Answers for the coordinator, on the loop that makes it. `service` may give None until there is one; `record` is
    called with (operation, address, run, outcome) after each that writes or executes."""

    def __init__(self, session: Session, service: Callable[[], Answers | None],
                 record: Callable[[Operation, str, str, str], None] = lambda *_: None, *,
                 stream_seconds: float = STREAM_SECONDS) -> None:  # fmt: skip
        self._find_service = service
        self._record = record
        self._stream_seconds = stream_seconds
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams = 0
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="wattle-bus-door")
        keys = Keys(session.hub)
        self._queryables = [session.queryable(keys.api(name), self._asked) for name in BY_NAME if name not in NEVER]

    async def close(self) -> None:
        """Take no more questions; those that are being answered are told to ask again."""
        while self._queryables:
            await self._send(self._queryables.pop().close)
        for task in [*self._tasks]:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._sender.shutdown(wait=False)

    def _asked(self, query: Query) -> None:
        """In Zenoh's thread: hand over."""
        try:
            self._loop.call_soon_threadsafe(self._take, query)
        except RuntimeError:  # the loop has ended
            query.close()

    def _take(self, query: Query) -> None:
        task = self._loop.create_task(self._answer(query))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, act: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Say something on the bus, where waiting hurts nobody."""
        return self._loop.run_in_executor(self._sender, act, *arguments)

    async def _answer(self, query: Query) -> None:
        asked = Asked()
        try:
            asked.name, asked.fields = _read(query, len(self._tasks))
            await self._ask(query, asked)
        except asyncio.CancelledError:
            asked.error = Conflict("The coordinator is letting go.", "ask again: its successor answers", code="resync")
        except WattleError as error:
            asked.error = error
        except Exception:
            log.exception("%s failed", asked.name)
            asked.error = InternalError("Wattle failed inside; this is a bug of ours.",
                                        "the coordinator's log has the story")  # fmt: skip
        self._recorded(asked)
        await asyncio.shield(self._send(_finish, query, asked.error))

    async def _ask(self, query: Query, asked: Asked) -> None:
        service = self._find_service()
        if service is None:
            raise Conflict("The coordinator is starting.", "try again in a second", code="starting")
        answer = getattr(service, asked.name)(request_for(asked.name, dict(asked.fields)))
        if BY_NAME[asked.name].stream:
            await self._stream(query, asked.name, answer, service)
            return
        reply = await answer
        asked.run = str(getattr(reply, "address", ""))
        await self._send(query.reply, encoded(reply))

    async def _stream(self, query: Query, name: str, replies: AsyncGenerator[Any, None], service: Answers) -> None:
        async with contextlib.aclosing(replies):
            if self._streams >= MOST_STREAMS:
                raise _busy("streams")
            self._streams += 1
            resume: dict[str, Any] = {}
            try:
                async with asyncio.timeout(self._stream_seconds):
                    async for reply in replies:
                        resume = {field: getattr(reply, told, "") for field, told in RESUMED_BY[name].items()}
                        if not await self._send(query.reply, encoded(reply)):
                            return
                end = "resync" if service.leaving else "complete"
            except TimeoutError:
                end = "later"
            finally:
                self._streams -= 1
            told = {"end": end, "resume": {field: value for field, value in resume.items() if value != ""}}
            await self._send(query.reply, b"", JSON, json.dumps(told).encode())

    def _recorded(self, asked: Asked) -> None:
        """Tell the audit of what writes or executes."""
        if not asked.name or BY_NAME[asked.name].access == READ or asked.name in UNRECORDED:
            return
        address = "/".join(str(asked.fields[part]) for part in ("workflow", "worker") if part in asked.fields)
        self._record(BY_NAME[asked.name], address, asked.run, asked.error.code if asked.error else "ok")


def _finish(query: Query, error: WattleError | None) -> None:
    with query:
        if error is not None:
            query.refuse(error)


def _read(query: Query, waiting: int) -> tuple[str, dict[str, Any]]:
    """The operation and its fields."""
    if waiting > MOST_QUESTIONS:
        raise _busy("questions")
    key = parse(query.key)
    if key is None or key.name not in BY_NAME:
        raise NotFound("There is no such operation.", "ask one operation, by its name")
    if key.name in NEVER:
        raise Forbidden(f"{key.name} is not for the bus.", "wattle down")
    if len(query.payload) > BODY_LIMIT:
        raise InvalidRequest("The question is larger than 8 MiB.", "send less", code="too-large")
    try:
        fields = msgspec.json.decode(query.payload) if query.payload else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The question is not JSON: {error}", "send one JSON object") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("The question is not a JSON object.", "send the operation's fields as one object")
    return key.name, fields


def _busy(what: str) -> Conflict:
    return Conflict(f"The coordinator answers too many {what} already.", "try again in a second", code="busy")
