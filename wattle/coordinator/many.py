"""Several streams as one: what a page follows, on a single connection.

    topic                 what comes
    run:etl@12            the run whole, then its changes, to its end
    log:etl@12/clean      a worker's log from its beginning, its tail or where it was left, to its end
    events                the events of all workflows

Laws: the id of an item holds the place in every topic, so that one id resumes all of them; a topic that ends or fails
says so and leaves the others alone; a client that is slow holds up its own topics only, which wait with few items in
hand and go on from the state of that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from wattle.core import replies as rp
from wattle.core import requests as rq
from wattle.core.address import Address
from wattle.core.errors import InvalidRequest, WattleError

TOPICS = 32
QUEUED = 16
"""Items that wait for a slow client."""


class Sources(Protocol):
    """The streams that topics are made of."""

    @property
    def leaving(self) -> bool:
        """The coordinator is letting go."""

    def watch_run(self, request: rq.WatchRun) -> AsyncIterator[rp.RunChange]:
        """A run."""

    def follow_logs(self, request: rq.FollowLogs) -> AsyncIterator[rp.LogChunk]:
        """A log."""

    def follow_all_events(self, request: rq.FollowAllEvents) -> AsyncIterator[rp.EventLine]:
        """All events."""


class Topic(NamedTuple):
    """A stream: its name, where it begins, and what opens it there."""

    name: str
    place: str
    open: Callable[[], AsyncIterator[Any]]


def topics(sources: Sources, request: rq.FollowMany, seq: int) -> list[Topic]:
    """What is asked for, in the order of the places in an id: runs, logs, events. `seq` is the newest event.

    Raises InvalidRequest.
    """
    runs, logs = _split(request.runs), _split(request.logs)
    names = [*(f"run:{run}" for run in runs), *(f"log:{log}" for log in logs), *(["events"] if request.events else [])]
    if not 0 < len(names) <= TOPICS:
        raise InvalidRequest(f"{len(names)} topics are asked for.",
                             f"give 1 to {TOPICS}: runs=etl@12, logs=etl@12/clean, events=true")  # fmt: skip
    if len(set(names)) < len(names):
        raise InvalidRequest("A topic is asked for twice.", "name every run and every log once")
    places = request.position.split(",") if request.position is not None else [""] * len(names)
    if len(places) != len(names):
        raise InvalidRequest(f"'{request.position}' holds {len(places)} places, and there are {len(names)} topics.",
                             "ask for the same topics in the same order, or leave the position out")  # fmt: skip
    found = [_run(sources, run, place) for run, place in zip(runs, places, strict=False)]
    rest = places[len(runs) :]
    found += [_log(sources, log, place, request.tail) for log, place in zip(logs, rest, strict=False)]
    if request.events:
        after = _number(places[-1], request.after if request.after is not None else seq)
        ask = rq.FollowAllEvents(after=after)
        found.append(Topic("events", str(after), lambda: sources.follow_all_events(ask)))
    return found


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _run(sources: Sources, text: str, place: str) -> Topic:
    address = Address.parse(text)
    if address.worker is not None:
        raise InvalidRequest(f"'{text}' names a worker where a run is meant.", f"write {address.run}")
    ask = rq.WatchRun(workflow=text, after=_number(place, 0))
    return Topic(f"run:{text}", place, lambda: sources.watch_run(ask))


def _log(sources: Sources, text: str, place: str, tail: int | None) -> Topic:
    address = Address.parse(text)
    if address.worker is None or address.port is not None:
        raise InvalidRequest(f"'{text}' is not the address of a worker.", "write etl@12/clean")
    ask = rq.FollowLogs(workflow=address.run, worker=address.worker, position=place or None, tail=tail)
    return Topic(f"log:{text}", place, lambda: sources.follow_logs(ask))


def _number(place: str, otherwise: int) -> int:
    if not place:
        return otherwise
    if not (place.isascii() and place.isdecimal() and len(place) < 17):
        raise InvalidRequest(f"'{place}' is not a place among the events.", "give back the last item's id as it was")
    return int(place)


async def merged(sources: Sources, wanted: Sequence[Topic]) -> AsyncGenerator[rp.TopicItem, None]:
    """The items of all topics as they come, until every topic has ended or the coordinator lets go."""
    queue: asyncio.Queue[tuple[int, str, Any]] = asyncio.Queue(QUEUED)
    places = [topic.place for topic in wanted]
    pumps = [asyncio.create_task(_pump(queue, number, topic)) for number, topic in enumerate(wanted)]
    try:
        open_topics = len(wanted)
        while open_topics:
            number, event, data = await queue.get()
            if event == "message":
                places[number] = _place(data) or places[number]
            else:
                open_topics -= 1
                if event == "bug":
                    raise data
                if event == "end" and sources.leaving:
                    continue
            yield rp.TopicItem(topic=wanted[number].name, event=event, id=places[number], data=data,
                               position=",".join(places))  # fmt: skip
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(queue: asyncio.Queue[tuple[int, str, Any]], number: int, topic: Topic) -> None:
    last: Any = None
    try:
        async with contextlib.aclosing(topic.open()) as replies:  # type: ignore[type-var]
            async for last in replies:
                await queue.put((number, "message", last))
        await queue.put((number, "end", _ending(last)))
    except WattleError as error:
        await queue.put((number, "error", error.to_dict()))
    except Exception as error:  # noqa: BLE001  it is raised to whoever follows
        await queue.put((number, "bug", error))


def _place(reply: Any) -> str:
    return str(getattr(reply, "position", "") or getattr(reply, "seq", "") or "")


def _ending(last: Any) -> dict[str, Any]:
    if isinstance(last, rp.RunChange):
        return {"status": last.run.status, "reason": last.run.reason}
    if isinstance(last, rp.LogChunk):
        return {"status": last.end, "reason": last.reason, "code": last.code, "signal": last.signal}
    return {}
