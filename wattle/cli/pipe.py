"""`wattle pipe`: one long-lived process that speaks for a worker's program in any language, by lines of JSON.

In, on the standard input:                                       out, on the standard output:

    {"publish": "state", "data": {"x": 1}}
    {"subscribe": "engine/state"}                                {"message": "engine/state", "data": …, "dropped": 0}
                                                                 {"end": "engine/state"}
    {"unsubscribe": "engine/state"}
    {"request": "planner/route", "data": 1, "id": 7}             {"reply": 7, "data": …}  or  {"reply": 7, "error": {…}}
    {"serve": "route"}                                           {"question": "h3…", "service": "route", "data": …}
    {"answer": "h3…", "data": …}  or  {"answer": "h3…", "error": "no way"}
    {"put": "score", "value": 0.93}
    {"progress": 0.4, "text": "epoch 4"}
                                                                 {"error": {"code", "message", "hint"}, "line": 12}

The first line out is {"ready": "etl@12/clean"}. Bytes are {"base64": "…", "encoding": "image/png"} in place of `data`.

Laws: a line that makes no sense is answered with an error and the next one is read. Lines are whole, whoever writes
them. At the end of the input the questions that are under way are waited for, and the streams of this worker end.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from wattle.bus.zenoh import Query
from wattle.cli.values import read_json
from wattle.core.errors import InvalidRequest, WattleError
from wattle.sdk import worker_live
from wattle.sdk.questions import Questions
from wattle.sdk.services import Place, Samples, Services
from wattle.sdk.worker_asking import answered, parts
from wattle.sdk.worker_encoding import from_line, to_line
from wattle.sdk.worker_here import here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wattle.cli.session import Session

MOST_REQUESTS = 64
"""Requests under way: who asks for more waits."""


class Pipe:
    """The worker's end of the bus, and the lines."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._live = worker_live.live()
        self._services = Services(self._live.session)
        self._me = self._live.here
        self._write = write
        self._lock = threading.Lock()
        self._samples: dict[str, Samples] = {}
        self._served: dict[str, Questions] = {}
        self._room = threading.BoundedSemaphore(MOST_REQUESTS)
        self._asking: set[threading.Thread] = set()
        self._words = {"publish": self._publish, "subscribe": self._subscribe, "unsubscribe": self._unsubscribe,
                       "request": self._request, "serve": self._serve, "answer": self._answer, "put": self._put,
                       "progress": self._progress}  # fmt: skip
        self.say({"ready": self._me.address})

    def say(self, fields: Mapping[str, Any]) -> None:
        """Write a line. Who reads no more is told nothing."""
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._write(json.dumps(fields, ensure_ascii=False) + "\n")

    def take(self, line: str) -> None:
        """Do what a line says. Raises WattleError."""
        try:
            fields = read_json(line)
        except ValueError as error:
            raise InvalidRequest(f"This is not JSON: {error}", "one JSON object a line") from None
        words = [word for word in self._words if isinstance(fields, dict) and word in fields]
        if len(words) != 1:
            raise InvalidRequest("This says not one thing.", f"one of: {', '.join(self._words)}")
        self._words[words[0]](fields)

    def close(self) -> None:
        """Wait for the answers that are on their way, and leave."""
        for thread in [*self._asking]:
            thread.join()
        for questions in self._served.values():
            questions.close()
        worker_live.close()

    # ---- words ----------------------------------------------------------------------------------------------------

    def _place(self, address: object) -> Place:
        worker, service = parts(worker_live.joined(self._me, _text(address, "an address")))
        return Place(self._me.workflow, self._me.run, worker, service)

    def _publish(self, fields: Mapping[str, Any]) -> None:
        service = _text(fields["publish"], "a service")
        self._live.publish(service, *from_line(fields, service))

    def _subscribe(self, fields: Mapping[str, Any]) -> None:
        address = _text(fields["subscribe"], "an address")
        if address not in self._samples:
            samples = self._samples[address] = self._services.listen(self._place(address))
            self._begin(lambda: self._hear(address, samples))

    def _hear(self, address: str, samples: Samples) -> None:
        for sample in samples:
            fields = to_line(sample.payload, sample.encoding)
            self.say({"message": address, **fields, "dropped": samples.dropped})
        self.say({"end": address})

    def _unsubscribe(self, fields: Mapping[str, Any]) -> None:
        samples = self._samples.pop(_text(fields["unsubscribe"], "an address"), None)
        if samples is not None:
            samples.close()

    def _request(self, fields: Mapping[str, Any]) -> None:
        identity, seconds = fields.get("id"), fields.get("timeout", 5.0)
        if not isinstance(seconds, int | float) or not 0 < seconds <= 3600:
            raise InvalidRequest(f"timeout: {seconds!r} is no number of seconds.", "between 0 and 3600")
        place = self._place(fields["request"])
        payload, encoding = from_line({"data": None, **fields} if "base64" not in fields else fields, place.address)
        self._room.acquire()

        def ask() -> None:
            try:
                asking = self._services.asking(place, payload, encoding, float(seconds))
                try:
                    reply = asking.question.checked(answered(asking.question))
                finally:
                    asking.close()
                self.say({"reply": identity, **to_line(reply.payload, reply.encoding)})
            except WattleError as error:
                self.say({"reply": identity, "error": error.to_dict()})
            finally:
                self._room.release()
                self._asking.discard(threading.current_thread())

        self._asking.add(self._begin(ask))

    def _serve(self, fields: Mapping[str, Any]) -> None:
        service = _text(fields["serve"], "a service")
        if service in self._served:
            return
        place = Place(self._me.workflow, self._me.run, self._me.name, service)
        questions = Questions(place)
        self._live.session.queryable(self._services.key(place), questions.take)
        self._served[service] = questions

        def hand_out() -> None:
            while isinstance(query := questions.waiting.wait(questions.look), Query):
                self.say({"question": questions.name(query), "service": service,
                          **to_line(query.payload, query.encoding)})  # fmt: skip

        self._begin(hand_out)

    def _answer(self, fields: Mapping[str, Any]) -> None:
        name = _text(fields["answer"], "the name of a question")
        query = next(filter(None, (one.given.pop(name, None) for one in self._served.values())), None)
        if query is None:
            raise InvalidRequest(f"Nobody waits for the answer {name!r}.", "each question is answered once")
        with query:
            if "error" in fields:
                query.refuse(_error(fields["error"]))
            else:
                query.reply(*from_line(fields, "an answer"))

    def _put(self, fields: Mapping[str, Any]) -> None:
        if "value" not in fields:
            raise InvalidRequest("This puts no value.", 'as in {"put": "score", "value": 0.93}')
        try:
            self._me.put(_text(fields["put"], "an output"), fields["value"])
        except OSError as error:
            raise InvalidRequest(f"The value cannot be written: {error}", "is there room?") from None

    def _progress(self, fields: Mapping[str, Any]) -> None:
        self._me.progress.report(fields["progress"], str(fields.get("text", "")))

    def _begin(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="wattle pipe", daemon=True)
        thread.start()
        return thread


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{value!r} is not {what}.", 'a text, as in "engine/state"')
    return value


def _error(told: object) -> dict[str, Any]:
    fields = told if isinstance(told, dict) else {"message": str(told)}
    return {"code": str(fields.get("code") or "request-failed"), "message": str(fields.get("message") or ""),
            "hint": str(fields.get("hint") or "")}  # fmt: skip


def pipe(session: Session) -> int:
    """Lines in, lines out, to the end of the input."""
    here()  # outside a worker it says so
    out = session.style.stream

    def write(text: str) -> None:
        out.write(text)
        out.flush()

    made = Pipe(write)
    try:
        for number, line in enumerate(sys.stdin, 1):
            if not line.strip():
                continue
            try:
                made.take(line)
            except WattleError as error:
                made.say({"error": error.to_dict(), "line": number})
    finally:
        made.close()
    return 0
