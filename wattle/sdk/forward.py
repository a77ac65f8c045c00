"""The services of workers for programs that speak HTTP and no Zenoh: the coordinator listens, asks, answers and
publishes for them, on its own session.

Laws: everything happens on the loop, and nothing there waits for the bus. A question that was handed out is answered,
refused, or refused with the stream it was handed out on: no asker waits for an answer that cannot come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from wattle.bus.zenoh import Closable, Query, Reply, Session, unanswered
from wattle.core.errors import NotFound
from wattle.sdk.questions import Questions
from wattle.sdk.services import Place, Samples, Services
from wattle.sdk.worker_async import answered_async, wait_for
from wattle.sdk.worker_encoding import to_line
from wattle.sdk.worker_streams import QUEUE

BATCH, PAUSE = 20, 0.01
"""After so many messages in a row a listener rests for so many seconds: two thousand a second are for a program that
reads JSON, and the coordinator has other work. What does not fit is dropped and counted."""

class Forward(Services):
    """What the HTTP door asks. To be made and used on the coordinator's loop."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.leaving = False
        """It has been closed."""
        self._serving: set[Questions] = set()
        self._listening: set[Samples] = set()
        self._tokens: dict[tuple[str, int, str], tuple[Closable, int]] = {}

    async def follow(self, place: Place, queue: int = QUEUE) -> AsyncGenerator[dict[str, Any], None]:
        """The messages of a service as JSON, each with how many were dropped before it, until its worker ends."""
        samples = self.listen(place, queue)
        self._listening.add(samples)
        samples.until_closed(lambda: self._listening.discard(samples))
        with samples:
            await asyncio.to_thread(self.session.flush)
            yield {"listening": place.address}
            async for message in _paced(samples):
                yield {**to_line(message.payload, message.encoding), "dropped": samples.dropped}

    async def ask(self, place: Place, payload: bytes, encoding: str, seconds: float) -> Reply:
        """The answer to one question. Raises LiveError."""
        asking = self.asking(place, payload, encoding, seconds)
        try:
            return asking.question.checked(await answered_async(asking.question))
        finally:
            asking.close()

    async def questions(self, place: Place) -> AsyncGenerator[dict[str, Any], None]:
        """The questions to a service, in the name of its worker: `{id, data}`."""
        questions = Questions(place)
        key = self.key(place)
        with self.gate:
            declared = self.session.queryable(key, questions.take)
        self._serving.add(questions)
        self._arrive(place)
        try:
            await asyncio.to_thread(self.session.flush)
            yield {"serving": place.address}
            while isinstance(query := await wait_for(questions.waiting, questions.look), Query):
                yield {"id": questions.name(query), **to_line(query.payload, query.encoding)}
        finally:
            declared.close()
            self._serving.discard(questions)
            questions.close()
            self._leave(place)

    def answer(self, name: str, payload: bytes, encoding: str) -> None:
        """Answer a question that was handed out. Raises NotFound when nobody waits for it."""
        with self._given(name) as query:
            if not query.reply(payload, encoding):
                raise unanswered("this answer")

    def refuse(self, name: str, error: dict[str, Any]) -> None:
        """Answer a question with an error. Raises NotFound."""
        with self._given(name) as query:
            query.refuse(error)

    def _given(self, name: str) -> Query:
        for questions in self._serving:
            if (query := questions.given.pop(name, None)) is not None:
                return query
        raise NotFound("Nobody waits for this answer.",
                       "each question is answered once, while the stream that it came on is open")  # fmt: skip

    def _arrive(self, place: Place) -> None:
        """Who serves is on the bus, for those who look."""
        who = place[:3]
        token, count = self._tokens.get(who) or (self.session.liveliness(self.keys.worker(*who)), 0)
        self._tokens[who] = token, count + 1

    def _leave(self, place: Place) -> None:
        who = place[:3]
        token, count = self._tokens.pop(who)
        if count > 1:
            self._tokens[who] = token, count - 1
        else:
            token.close()

    def close(self) -> None:
        """End every stream, and refuse what was handed out. The session is ended by who opened it."""
        self.leaving = True
        for samples in [*self._listening]:
            samples.close()
        for questions in [*self._serving]:
            questions.close()
        self.gate.shut()


async def _paced(samples: Samples) -> AsyncGenerator[Any, None]:
    count = 0
    async for sample in samples:
        yield sample
        count += 1
        if count % BATCH == 0:
            await asyncio.sleep(PAUSE)
