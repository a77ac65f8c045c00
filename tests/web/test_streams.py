"""Streams over a real door: resumed, kept alive, bounded, evicted, and the same by long-poll."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import until, wait_until, within
from tests.web.doors import Door, Frames, opened
from wattle.core import replies as rp
from wattle.core.errors import Forbidden, NotFound
from wattle.web import sse
from wattle.web.handlers import OperationHandler
from wattle.web.streams import Streams


def line(seq: int) -> rp.EventLine:
    return rp.EventLine(seq=seq, address="etl@1", type="x", at=0.0, worker=None, event={})


class News:
    """Events that a test publishes, a log that ends, and who is reading."""

    def __init__(self) -> None:
        self.leaving = False
        self.seq = 0
        self.bell = asyncio.Event()
        self.readers = 0
        self.asked: list[Any] = []

    async def follow_all_events(self, request: Any) -> AsyncIterator[rp.EventLine]:
        self.asked.append(request)
        self.readers += 1
        after = request.after
        try:
            while True:
                while after < self.seq:
                    after += 1
                    yield line(after)
                if self.leaving or not request.follow:
                    return
                bell = self.bell
                await bell.wait()
        finally:
            self.readers -= 1

    async def follow_events(self, request: Any) -> AsyncIterator[rp.EventLine]:
        if request.workflow == "late":
            yield line(1)
            raise NotFound("It went away.", "look again")
        if request.workflow == "bug":
            yield line(1)
            raise ZeroDivisionError
        raise NotFound(f"There is no workflow {request.workflow}.", "wattle list")

    async def follow_logs(self, request: Any) -> AsyncIterator[rp.LogChunk]:
        self.asked.append(request)
        yield rp.LogChunk(worker="a", attempt=1, stream="stdout", from_offset=0, to_offset=1 << 20, text="x" * (1 << 20),
                          position="1.1048576.0")  # fmt: skip
        yield rp.LogChunk(worker="a", attempt=1, stream="", from_offset=0, to_offset=0, position="1.1048576.0",
                          end="failed", reason="exit", code=3)  # fmt: skip

    def ring(self) -> None:
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()

    async def publish(self, count: int = 1) -> None:
        self.seq += count
        self.ring()

    async def leave(self) -> None:
        self.leaving = True
        self.ring()


@pytest.fixture
def news() -> News:
    return News()


@pytest.fixture
def door(tmp_path: Path, news: News) -> Iterator[Door]:
    with opened(tmp_path, lambda: news, streams=Streams(per_caller=3)) as door:
        yield door
        door.do(news.leave())


EVENTS = "/api/wattle/events"


def ids(frames: Frames, count: int) -> list[str]:
    return [frames.next()[1] for _ in range(count)]


def test_a_stream_says_at_once_that_it_is_one_and_that_nothing_may_hold_it_back(door: Door, news: News) -> None:
    door.do(news.publish())
    with door.stream(EVENTS) as frames:
        assert (frames.status, frames.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        assert frames.headers["Cache-Control"] == "no-cache, no-transform"
        assert frames.headers["X-Accel-Buffering"] == "no"
        assert frames.headers["X-Content-Type-Options"] == "nosniff"
        assert frames.headers["Content-Encoding"] is None
        assert frames.next()[:2] == ("message", "1")
        assert (frames.retry, frames.comments) == ("2000", [": wattle"])


def test_a_stream_without_news_says_hello_too(door: Door) -> None:
    with door.stream(EVENTS) as frames:
        assert frames.status == 200
        assert frames._reply.readline() == b"retry: 2000\n"


def test_a_reader_comes_back_with_the_last_id_and_misses_nothing(door: Door, news: News) -> None:
    door.do(news.publish(3))
    with door.stream(EVENTS) as frames:
        assert ids(frames, 2) == ["1", "2"]
    with door.stream(EVENTS, Last_Event_ID="2") as frames:
        assert ids(frames, 1) == ["3"]
        door.do(news.publish())
        assert ids(frames, 1) == ["4"]
    with door.stream(EVENTS + "?after=1", Last_Event_ID="3") as frames:
        assert ids(frames, 1) == ["4"], "the header is newer than the query that is sent again"
    with door.stream("/api/workers/etl/a/logs/stream?tail=5", Last_Event_ID="1.7.0") as frames:
        frames.next()
    assert news.asked[-1].position == "1.7.0"
    assert door.ask("GET", EVENTS, Last_Event_ID="soon").status == 400


def test_the_end_says_how_it_ended(door: Door, news: News) -> None:
    with door.stream("/api/workers/etl/a/logs/stream") as frames:
        *_, (event, identity, data) = frames.rest()
    assert (event, identity) == ("end", "")
    assert data == {"status": "failed", "reason": "exit", "code": 3, "signal": None}
    door.do(news.publish())
    with door.stream(EVENTS + "?follow=false") as frames:
        assert frames.rest()[-1] == ("end", "", {})


def test_readers_are_sent_to_the_next_coordinator(door: Door, news: News) -> None:
    door.do(news.publish())
    with door.stream(EVENTS) as frames:
        frames.next()
        door.do(news.leave())
        assert frames.rest() == [("resync", "", {})]


def test_a_stream_of_what_is_not_there_is_refused_with_its_status(door: Door) -> None:
    reply = door.ask("GET", "/api/workflows/nope/events")
    assert (reply.status, reply.json["message"]) == (404, "There is no workflow nope.")
    assert reply.headers["Content-Type"].startswith("application/json")


def test_what_goes_wrong_later_is_an_event(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with door.stream("/api/workflows/late/events") as frames:
        _, (event, _, data) = frames.rest()
    assert (event, data["code"], data["hint"]) == ("error", "not-found", "look again")
    with door.stream("/api/workflows/bug/events") as frames:
        _, (event, _, data) = frames.rest()
    assert (event, data["code"]) == ("error", "internal")
    assert "ZeroDivisionError" in caplog.text


def test_a_reader_that_goes_is_forgotten_at_once(door: Door, news: News) -> None:
    with door.stream(EVENTS) as frames:
        assert frames._reply.readline() == b"retry: 2000\n"
        assert news.readers == 1
    wait_until(lambda: news.readers == 0)


def test_who_goes_away_at_any_time_leaves_no_trace_in_the_log(
    door: Door, news: News, caplog: pytest.LogCaptureFixture
) -> None:
    for target in (EVENTS, EVENTS + "?poll=1", "/api/workers/etl/a/logs/stream"):
        for wait in (False, True):
            connection = door.connect()
            asked = len(news.asked)
            connection.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if wait:
                wait_until(lambda asked=asked: len(news.asked) > asked)  # type: ignore[misc]
            connection.close()
    connection = door.connect()
    connection.sock.sendall(b"POST /api/workflows HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    connection.close()
    wait_until(lambda: news.readers == 0)
    assert door.ask("GET", "/nothing").status == 404
    assert caplog.records == []


def test_a_login_that_ends_ends_its_streams(tmp_path: Path, news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(sse, "RECHECK_BEATS", 2)
    allowed = [True]

    class Strict(OperationHandler):
        async def recheck(self) -> None:
            if not allowed[0]:
                raise Forbidden("You have logged out.")

    with opened(tmp_path, lambda: news, handler=Strict) as door:
        door.do(news.publish())
        with door.stream(EVENTS) as frames:
            assert frames.next()[1] == "1"
            allowed[0] = False
            assert frames.next() == ("error", "", {"code": "forbidden", "message": "You have logged out.", "hint": ""})
            with pytest.raises((EOFError, http.client.HTTPException, OSError)):
                frames.next()
        wait_until(lambda: news.readers == 0)
        door.do(news.leave())


def test_a_login_that_cannot_be_asked_for_ends_its_streams(
    tmp_path: Path, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(sse, "RECHECK_BEATS", 2)

    class Unreachable(OperationHandler):
        async def recheck(self) -> None:
            raise OSError("the hub is down")

    with opened(tmp_path, lambda: news, handler=Unreachable) as door:
        with door.stream(EVENTS) as frames, pytest.raises((EOFError, http.client.HTTPException, OSError)):
            frames.next()
        wait_until(lambda: news.readers == 0)
        door.do(news.leave())
    assert news.readers == 0


def test_one_caller_has_so_many_streams_and_no_more(door: Door, news: News) -> None:
    door.do(news.publish())
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(door.stream(EVENTS)).next()
        for target in (EVENTS, EVENTS + "?poll=1"):
            reply = door.ask("GET", target)
            assert (reply.status, reply.json["code"]) == (429, "too-many-streams")
        assert door.ask("GET", "/nothing").status == 404, "nothing else is refused"
    wait_until(lambda: news.readers == 0)
    with door.stream(EVENTS) as frames:
        assert frames.next()[1] == "1"


# ---- long-poll -------------------------------------------------------------------------------------------------


def test_a_poll_gives_what_there_is_with_the_same_ids(door: Door, news: News) -> None:
    door.do(news.publish(3))
    reply = door.ask("GET", EVENTS + "?poll=1&after=1").json
    assert [(event["id"], event["event"], event["data"]["seq"]) for event in reply["events"]] == [
        ("2", "message", 2), ("3", "message", 3),
    ]  # fmt: skip
    assert reply["id"] == "3"
    with door.stream(EVENTS, Last_Event_ID=reply["id"]) as frames:
        door.do(news.publish())
        assert ids(frames, 1) == ["4"]


def test_a_poll_waits_for_news_and_then_not_much_longer(door: Door, news: News) -> None:
    asked = asyncio.run_coroutine_threadsafe(_publish_when_read(news), door.loop)
    reply = door.ask("GET", EVENTS + "?poll=1").json
    assert [event["id"] for event in reply["events"]] == ["1"]
    asked.result()


async def _publish_when_read(news: News) -> None:
    await until(lambda: news.readers)
    await news.publish()


def test_a_poll_without_news_comes_back_empty(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "POLL_SECONDS", 0.01)
    assert door.ask("GET", EVENTS + "?poll=1", Last_Event_ID="0").json == {"events": [], "id": "0"}


def test_a_poll_is_told_ends_and_failures_as_events(door: Door, news: News) -> None:
    reply = door.ask("GET", "/api/workers/etl/a/logs/stream?poll=1").json
    assert reply["events"][-1] == {"id": "", "event": "end", "data": {"status": "failed", "reason": "exit", "code": 3,
                                                                      "signal": None}}  # fmt: skip
    assert reply["id"] == "1.1048576.0"
    late = door.ask("GET", "/api/workflows/late/events?poll=1").json
    assert [event["event"] for event in late["events"]] == ["message", "error"]
    assert door.ask("GET", "/api/workflows/nope/events?poll=1").status == 404
    door.do(news.leave())
    assert door.ask("GET", EVENTS + "?poll=1").json["events"] == [{"id": "", "event": "resync", "data": {}}]


def test_a_poll_of_many_comes_in_pages(door: Door, news: News) -> None:
    door.do(news.publish(300))
    reply = door.ask("GET", EVENTS + "?poll=1").json
    assert (len(reply["events"]), reply["id"]) == (256, "256")


# ---- frames ----------------------------------------------------------------------------------------------------


def test_what_many_are_sent_is_encoded_once() -> None:
    frames = sse.Frames(room=1000)
    reply = line(1)
    assert frames.of(reply) is frames.of(reply)
    assert frames.of(line(1)) is not frames.of(reply)
    for seq in range(200):
        frames.of(line(seq))
    assert frames._size <= 1000
    assert len(frames._kept) <= 64
    big = rp.Done(message="x" * 2000)
    assert frames.of(big) == frames.of(big)


async def _replies(*replies: Any, gate: asyncio.Event | None = None) -> AsyncIterator[Any]:
    if gate is not None:
        await gate.wait()
    for reply in replies:
        yield reply


async def _sent(replies: AsyncIterator[Any]) -> list[bytes]:
    sent: list[bytes] = []

    async def write(data: bytes) -> None:
        sent.append(data)

    await sse.EventStream(write, lambda: None).run(anext(replies), replies, lambda: False)
    return sent


def test_line_ends_in_data_cannot_forge_an_event() -> None:
    sent = asyncio.run(within(_sent(_replies(rp.Done(message="line one\nevent: end\n\ndata: forged")))))
    assert b"".join(sent).count(b"\n\n") == 3, "hello, data, end"


def test_a_stream_of_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(within(_sent(_replies()))) == [sse.HELLO, b"event: end\ndata: {}\n\n"]


async def test_a_quiet_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.01)
    gate, sent = asyncio.Event(), list[bytes]()

    async def write(data: bytes) -> None:
        sent.append(data)
        if sent.count(b": alive\n\n") > 2:
            gate.set()

    replies = _replies(rp.Done(message="at last"), gate=gate)
    await within(sse.EventStream(write, lambda: None).run(anext(replies), replies, lambda: False))
    assert b"at last" in sent[-2]


async def test_a_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(sse, "STUCK_SECONDS", 0.02)
    dropped = asyncio.Event()

    async def stuck(_data: bytes) -> None:
        await dropped.wait()
        raise ConnectionError

    replies = _replies(rp.Done(message="x"))
    with pytest.raises(ConnectionError):
        await within(sse.EventStream(stuck, dropped.set).run(anext(replies), replies, lambda: False))


def test_a_client_that_reads_nothing_loses_its_connection(
    tmp_path: Path, news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(sse, "STUCK_SECONDS", 0.1)
    streams = Streams()
    with opened(tmp_path, lambda: news, streams=streams) as door:
        stuck = door.connect()
        stuck.sock.sendall(b"GET /api/workers/etl/a/logs/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: len(news.asked) == 1)
        wait_until(lambda: not streams.callers)
        assert stuck.sock.fileno() >= 0, "it was the server that let go"
        stuck.close()
        door.do(news.leave())
