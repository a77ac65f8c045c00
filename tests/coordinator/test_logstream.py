"""Logs by position: nothing missing, nothing twice, to the end and no further."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.coordinator.desk import Desk, Reader, collect
from tests.helpers import until
from wattle.coordinator import logedge, logstream
from wattle.coordinator.live import News
from wattle.coordinator.logedge import Edges, LogView
from wattle.coordinator.logstream import follow, read
from wattle.core.errors import InvalidRequest, NotFound, StorageError
from wattle.core.replies import LogChunk
from wattle.core.requests import FollowLogs, ReadLogs
from wattle.runtime.logs import FileLogs
from wattle.testing import MemoryLogs


class Writer:
    """A worker that writes: its attempts, whether it has ended, and the view that readers have of it."""

    def __init__(self, *, merged: bool = False, logs: Any = None, attempts: int = 1) -> None:
        self.logs: Any = logs or MemoryLogs()
        self.merged = merged
        self.attempt = attempts
        self.ended = False
        self.gone = False
        self.news = News()

    def view(self, *, live: bool = True) -> LogView:
        return LogView("w", state=lambda: (self.attempt, self.ended), paths=self.paths, status=lambda: "completed",
                       news=self.news.current if live else None, leaving=lambda: self.gone)  # fmt: skip

    def paths(self, attempt: int) -> dict[str, str]:
        return {stream: f"{attempt}/{stream}" for stream in (("stdout",) if self.merged else ("stdout", "stderr"))}

    def write(self, data: bytes, stream: str = "stdout", attempt: int | None = None) -> None:
        self.logs.append(f"{attempt or self.attempt}/{stream}", data)

    def end(self) -> None:
        self.ended = True
        self.news.ring()

    def again(self) -> None:
        self.attempt += 1
        self.news.ring()

    def leave(self) -> None:
        self.gone = True
        self.news.ring()


def data_of(chunk: LogChunk) -> bytes:
    """The bytes of a chunk; their number is what its offsets say."""
    data = chunk.text.encode() if chunk.text is not None else base64.b64decode(chunk.base64 or "")
    assert len(data) == chunk.to_offset - chunk.from_offset
    return data


def joined(chunks: list[LogChunk]) -> dict[tuple[int, str], bytes]:
    """The bytes by attempt and stream, which must come in order and without a gap; the last chunk is the end."""
    assert [bool(chunk.end) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    found: dict[tuple[int, str], bytes] = {}
    for chunk in chunks[:-1]:
        key = chunk.attempt, chunk.stream
        found[key] = found.get(key, b"") + data_of(chunk)
    return found


BYTES = st.lists(st.one_of(st.binary(max_size=6), st.text(max_size=4).map(str.encode),
                           st.sampled_from([b"\xe2\x82", b"\xac", "é€𝄞".encode(), b"\xff", b"\n"])),
                 max_size=6).map(b"".join)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(out=BYTES, err=BYTES, second=BYTES, chunk=st.integers(4, 9))
@example(out="a€".encode() * 3, err=b"\xe2\x82", second=b"\xff\xfe", chunk=4)
def test_a_reader_who_comes_back_at_any_position_misses_nothing_and_sees_nothing_twice(
    out: bytes, err: bytes, second: bytes, chunk: int
) -> None:
    async def scenario() -> None:
        writer = Writer(attempts=2)
        writer.ended = True
        writer.write(out, attempt=1)
        writer.write(err, "stderr", attempt=1)
        writer.write(second)
        request = FollowLogs(workflow="w", worker="w", position="1.0.0")
        whole = await collect(follow(writer.logs, writer.view(), request))
        expected = {key: value for key, value in {(1, "stdout"): out, (1, "stderr"): err, (2, "stdout"): second}.items()
                    if value}  # fmt: skip
        assert joined(whole) == expected
        for cut, last in enumerate(whole[:-1], 1):
            request.position = last.position
            rest = await collect(follow(writer.logs, writer.view(), request))
            assert joined([*whole[:cut], *rest]) == expected, last.position

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logstream, "CHUNK", chunk)
        asyncio.run(scenario())


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(BYTES, max_size=5), merged=st.booleans())
def test_what_is_written_while_somebody_follows_arrives_whole(pieces: list[bytes], merged: bool) -> None:
    async def scenario() -> None:
        writer = Writer(merged=merged)
        reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not reader.done
        writer.end()
        written = b"".join(pieces)
        assert joined(await reader.ended()) == ({(1, "stdout"): written} if written else {})

    asyncio.run(scenario())


async def test_text_is_told_as_text_wherever_a_chunk_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logstream, "CHUNK", 5)
    writer = Writer(merged=True)
    writer.write("é€𝄞".encode() * 5)
    writer.end()
    chunks = await collect(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    assert "".join(chunk.text or "?" for chunk in chunks[:-1]) == "é€𝄞" * 5


async def test_a_character_that_is_half_written_waits_for_its_other_half() -> None:
    writer = Writer()
    euro = "€".encode()
    writer.write(b"a" + euro[:1])
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    assert (await reader.has(1))[0].position == "1.1.0"
    writer.write(euro[1:])
    assert [chunk.text for chunk in await reader.has(2)] == ["a", "€"]
    writer.write(euro[:2])
    writer.end()
    last = (await reader.ended())[2]
    assert (last.text, base64.b64decode(last.base64)) == (None, euro[:2]), "nothing will follow, so it is told as it is"


async def test_a_follower_goes_on_into_the_next_attempt_and_ends_with_the_last() -> None:
    writer = Writer()
    writer.write(b"first")
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    await reader.has(1)
    writer.write(b"err", "stderr")
    writer.again()
    writer.write(b"second")
    await reader.has(3)
    writer.again()
    writer.again()
    writer.write(b"fourth")
    await reader.has(4)
    assert not reader.done
    writer.end()
    chunks = await reader.ended()
    assert joined(chunks) == {(1, "stdout"): b"first", (1, "stderr"): b"err", (2, "stdout"): b"second",
                              (4, "stdout"): b"fourth"}  # fmt: skip
    assert (chunks[-1].end, chunks[-1].position) == ("completed", "4.6.0")


async def test_a_follower_begins_with_the_newest_attempt_and_waits_for_the_first() -> None:
    writer = Writer(attempts=0)
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    await asyncio.sleep(0)
    writer.again()
    writer.write(b"x")
    await reader.has(1)
    writer.again()
    writer.write(b"y")
    await reader.has(2)
    later = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    assert (await later.has(1))[0].text == "y"
    writer.end()
    await reader.ended()
    await later.ended()


async def test_one_stream_of_two_can_be_followed_and_the_other_keeps_its_place() -> None:
    writer = Writer()
    writer.write(b"out")
    writer.write(b"err", "stderr")
    writer.end()
    request = FollowLogs(workflow="w", worker="w", stream="stderr", position="1.2.0")
    chunks = await collect(follow(writer.logs, writer.view(), request))
    assert [(chunk.stream, chunk.text, chunk.position) for chunk in chunks] == [
        ("stderr", "err", "1.2.3"), ("", None, "1.2.3"),
    ]  # fmt: skip


async def test_a_tail_of_merged_logs_begins_in_the_one_file() -> None:
    writer = Writer(merged=True)
    writer.write(b"1\n2\n3\n")
    writer.end()
    chunks = await collect(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w", tail=2)))
    assert [(chunk.text, chunk.position) for chunk in chunks] == [("2\n3\n", "1.6.0"), (None, "1.6.0")]


async def test_a_tail_begins_so_many_lines_before_the_end_and_follows_on() -> None:
    writer = Writer()
    writer.write(b"1\n2\n3\n")
    writer.write(b"e\n", "stderr")
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w", tail=1)))
    assert [chunk.text for chunk in await reader.has(2)] == ["3\n", "e\n"]
    writer.write(b"4\n")
    assert (await reader.has(3))[2].text == "4\n"
    writer.end()
    assert (await reader.ended())[-1].position == "1.8.2"


async def test_a_reader_that_is_far_behind_is_taken_ahead_and_told_what_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logstream, "LAG_LIMIT", 100)
    monkeypatch.setattr(logstream, "KEPT_BEHIND", 10)
    writer = Writer()
    writer.write(b"a" * 101)
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    (chunk,) = await reader.has(1)
    assert (chunk.skipped, chunk.from_offset, chunk.to_offset, chunk.text) == (91, 91, 101, "a" * 10)
    writer.write(b"b" * 100)
    _, chunk = await reader.has(2)
    assert (chunk.skipped, chunk.text) == (0, "b" * 100)
    writer.end()
    await reader.ended()


async def test_a_log_that_is_complete_is_never_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logstream, "LAG_LIMIT", 10)
    monkeypatch.setattr(logstream, "CHUNK", 7)
    writer = Writer()
    writer.write(b"x" * 200)
    writer.end()
    assert joined(await collect(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))) == {
        (1, "stdout"): b"x" * 200
    }


async def test_a_follower_does_not_end_before_the_worker_has_ended_and_its_files_are_read() -> None:
    writer = Writer()
    view = writer.view()
    reader = Reader(follow(writer.logs, view, FollowLogs(workflow="w", worker="w")))
    for i in range(5):
        writer.news.ring()
        writer.write(str(i).encode())
        await asyncio.sleep(0)
    assert not reader.done
    writer.logs.files["1/stderr"] = b"written, and nobody rang"
    writer.end()
    assert joined(await reader.ended()) == {(1, "stdout"): b"01234", (1, "stderr"): b"written, and nobody rang"}


async def test_a_follower_ends_without_an_end_when_the_coordinator_leaves() -> None:
    writer = Writer()
    writer.write(b"x")
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    await reader.has(1)
    writer.write(b"y")
    writer.leave()
    chunks = await reader.ended()
    assert [chunk.text for chunk in chunks] == ["x", "y"]
    assert not any(chunk.end for chunk in chunks)


async def test_without_a_coordinator_a_log_is_told_as_far_as_it_goes() -> None:
    writer = Writer()
    writer.write(b"x")
    chunks = await collect(follow(writer.logs, writer.view(live=False), FollowLogs(workflow="w", worker="w")))
    assert [chunk.text for chunk in chunks] == ["x", None]


async def test_a_follower_that_goes_away_leaves_no_watch_behind() -> None:
    writer = Writer()
    writer.write(b"x")
    reader = Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w")))
    await reader.has(1)
    await until(lambda: writer.logs._grown)
    await reader.leave()
    await until(lambda: not writer.logs._grown)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert not writer.logs._grown


@pytest.mark.parametrize("position", ["", "1", "1.2", "1.2.3.4", "a.0.0", "1.-1.0", "1.0.٣", "0.0.0", "2.0.0",
                                      f"1.{10**20}.0"])  # fmt: skip
async def test_a_position_that_makes_no_sense_is_refused(position: str) -> None:
    writer = Writer(logs=FileLogs())
    with pytest.raises(InvalidRequest):
        await collect(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w", position=position)))


# ---- a piece ---------------------------------------------------------------------------------------------------


def test_a_piece_has_what_lies_between_offset_and_limit() -> None:
    writer = Writer()
    writer.write(b"0123456789")
    writer.write(b"err", "stderr")
    reply = read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w", stream="stdout", offset=2, limit=3))
    assert [(c.text, c.from_offset, c.to_offset) for c in reply.chunks] == [("234", 2, 5)]
    assert (reply.sizes, reply.complete, reply.attempt) == ({"stdout": 10, "stderr": 3}, False, 1)
    both = read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w"))
    assert [(c.stream, c.text) for c in both.chunks] == [("stdout", "0123456789"), ("stderr", "err")]


def test_a_piece_of_an_earlier_attempt_is_complete() -> None:
    writer = Writer(attempts=2)
    writer.write(b"old", attempt=1)
    reply = read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w", attempt=1))
    assert (reply.chunks[0].text, reply.complete) == ("old", True)
    assert not read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w")).complete


def test_the_last_lines_are_found_and_win_over_the_offset() -> None:
    writer = Writer(merged=True)
    writer.write(b"1\n2\n3")
    reply = read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w", tail=2, offset=1))
    assert [chunk.text for chunk in reply.chunks] == ["2\n3"]


@pytest.mark.parametrize("wrong", [{"attempt": 2}, {"attempt": -1}, {"offset": -1}, {"limit": -1}, {"tail": -1},
                                   {"offset": 10**20}])  # fmt: skip
def test_a_piece_that_makes_no_sense_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    writer = Writer(logs=FileLogs())
    (tmp_path / "stdout").write_text("x")
    view = writer.view()
    view.paths = lambda _attempt: {"stdout": str(tmp_path / "stdout")}
    with pytest.raises(InvalidRequest):
        read(writer.logs, view, ReadLogs(workflow="w", worker="w", **cast("Any", wrong)))


def test_pieces_read_one_after_the_other_give_the_whole() -> None:
    writer = Writer()
    whole = "é€𝄞x".encode() * 5
    writer.write(whole)
    writer.end()
    found, offset = b"", 0
    while offset < len(whole):
        request = ReadLogs(workflow="w", worker="w", stream="stdout", offset=offset, limit=5)
        (chunk,) = read(writer.logs, writer.view(), request).chunks
        assert chunk.to_offset > offset
        found += data_of(chunk)
        offset = chunk.to_offset
    assert found == whole


def test_a_piece_smaller_than_a_character_still_goes_forward() -> None:
    writer = Writer()
    writer.write("€uro".encode())
    writer.end()
    request = ReadLogs(workflow="w", worker="w", stream="stdout", limit=1)
    (chunk,) = read(writer.logs, writer.view(), request).chunks
    assert data_of(chunk) == b"\xe2"


# ---- at the desk ----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def writing_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A run of one worker, its process running, with real files."""
    async with Desk(tmp_path, logs=FileLogs()) as desk:
        await desk.create({"a": {"retries": 1}, "s": {"script": "true"}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        yield desk


def log_of(desk: Desk, worker: str, stream: str = "stdout") -> Path:
    path = getattr(desk.hands.launched[desk.hands.nonce(worker)], stream)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


async def test_a_log_is_followed_from_file_to_file_to_the_end_of_its_worker(tmp_path: Path) -> None:
    async with writing_desk(tmp_path) as desk:
        log_of(desk, "a").write_bytes(b"one")
        reader = Reader(desk.follow("follow_logs", workflow="etl", worker="a"))
        await reader.has(1)
        await desk.finish("a", 1)
        log_of(desk, "a").write_bytes(b"two")
        log_of(desk, "a", "stderr").write_bytes(b"err")
        await desk.finish("a", 0)
        chunks = await reader.ended()
        assert joined(chunks) == {(1, "stdout"): b"one", (2, "stdout"): b"two", (2, "stderr"): b"err"}
        assert chunks[-1].end == "completed"
        assert (await desk.ask("read_logs", workflow="etl", worker="a")).complete


async def test_a_script_has_one_log_for_both_streams(tmp_path: Path) -> None:
    async with writing_desk(tmp_path) as desk:
        log_of(desk, "s").write_bytes(b"both")
        reply = await desk.ask("read_logs", workflow="etl@1", worker="s")
        assert (reply.sizes, [chunk.text for chunk in reply.chunks]) == ({"stdout": 4}, ["both"])


async def test_a_log_that_cannot_exist_is_not_found(tmp_path: Path) -> None:
    async with writing_desk(tmp_path) as desk:
        await desk.create({"a": {}}, name="fresh")
        for workflow, worker in (("etl", "nosuch"), ("nosuch", "a"), ("etl@7", "a"), ("fresh", "a")):
            with pytest.raises(NotFound):
                await desk.ask("read_logs", workflow=workflow, worker=worker)
            with pytest.raises(NotFound):
                await collect(desk.follow("follow_logs", workflow=workflow, worker=worker))


async def test_a_worker_that_ended_without_any_attempt_has_an_empty_log_that_ends(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        await desk.finish("a", 1)
        chunks = await collect(desk.follow("follow_logs", workflow="etl", worker="b"))
        assert [chunk.end for chunk in chunks] == ["cancelled"]
        reply = await desk.ask("read_logs", workflow="etl", worker="b")
        assert (reply.chunks, reply.complete) == ([], True)


# ---- the live end, shared --------------------------------------------------------------------------------------


class CountedLogs(MemoryLogs):
    """Counts reads, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.watchers = 0
        self.broken = False

    def read(self, path: str, offset: int, limit: int) -> bytes:
        if self.broken:
            raise StorageError("The log cannot be read.", "wattle doctor")
        self.reads += 1
        return super().read(path, offset, limit)

    async def changes(self, paths: Any) -> AsyncIterator[None]:
        self.watchers += 1
        async for _ in super().changes(paths):
            if self.broken:
                raise StorageError("The log cannot be watched.", "wattle doctor")
            yield


def follower(writer: Writer, edges: Edges, **fields: Any) -> Reader:
    return Reader(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w", **fields), edges))


async def test_many_followers_share_one_watcher_one_reading_and_the_chunks() -> None:
    writer, edges = Writer(logs=CountedLogs()), Edges()
    writer.write(b"begin\n")
    readers = [follower(writer, edges) for _ in range(60)]
    for reader in readers:
        await reader.has(1)
    before = writer.logs.reads
    for i in range(10):
        writer.write(b"%d\n" % i)
        for reader in readers:
            await reader.has(i + 2)
    assert writer.logs.watchers == 1
    assert writer.logs.reads - before <= 40, "once for each stream and round, not for each follower"
    assert all(reader.found[-1] is readers[0].found[-1] for reader in readers)
    writer.end()
    for reader in readers:
        assert joined(await reader.ended())[1, "stdout"] == b"begin\n" + b"".join(b"%d\n" % i for i in range(10))
    assert not edges._open


def written(writer: Writer, attempt: int, stream: str | None) -> dict[tuple[int, str], bytes]:
    """What a follower from that attempt on must have got."""
    found = {}
    for path, data in writer.logs.files.items():
        number, _, name = path.partition("/")
        if data and int(number) >= attempt and stream in {None, name}:
            found[int(number), name] = data
    return found


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(st.one_of(BYTES, st.sampled_from(["join", "join-err", "leave", "again"])), max_size=14))
def test_whoever_joins_whenever_gets_every_byte_once(steps: list[bytes | str]) -> None:
    async def scenario() -> None:
        writer, edges = Writer(), Edges()
        readers: list[tuple[Reader, int, str | None]] = []
        for step in ["join", *steps]:
            if isinstance(step, bytes):
                writer.write(step)
                writer.write(step[:3], "stderr")
            elif step == "again":
                writer.again()
            elif step == "leave" and len(readers) > 1:
                await readers.pop()[0].leave()
            elif step.startswith("join"):
                stream = "stderr" if step == "join-err" else None
                readers.append((follower(writer, edges, stream=stream), writer.attempt, stream))
            for _ in range(4):
                await asyncio.sleep(0)
        writer.end()
        for reader, attempt, stream in readers:
            assert joined(await reader.ended()) == written(writer, attempt, stream)
        assert not edges._open

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logedge, "CHUNK", 5)
        patch.setattr(logstream, "CHUNK", 5)
        patch.setattr(logedge, "KEPT", 12)
        patch.setattr(logedge, "BEHIND", 16)
        asyncio.run(scenario())


async def test_a_flood_is_passed_over_by_the_edge_and_read_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logedge, "BEHIND", 1000)
    monkeypatch.setattr(logedge, "CHUNK", 100)
    writer, edges = Writer(merged=True), Edges()
    readers = [follower(writer, edges) for _ in range(3)]
    writer.write(b"x")
    for reader in readers:
        await reader.has(1)
    flood = "é€𝄞".encode() * 500
    writer.write(flood)
    writer.write(b"ends")
    writer.end()
    for reader in readers:
        chunks = await reader.ended()
        assert joined(chunks) == {(1, "stdout"): b"x" + flood + b"ends"}
        assert all(chunk.text is not None for chunk in chunks[:-1]), "no character was cut"


@pytest.mark.parametrize("when", ["at once", "later"])
async def test_a_log_that_cannot_be_read_is_told_to_everybody_who_follows_it(when: str) -> None:
    writer, edges = Writer(logs=CountedLogs()), Edges()
    writer.logs.broken = when == "at once"
    readers = [follower(writer, edges) for _ in range(3)]
    if when == "later":
        writer.write(b"x")
        for reader in readers:
            await reader.has(1)
        writer.logs.broken = True
    writer.write(b"y")
    for reader in readers:
        with pytest.raises(StorageError, match="cannot be"):
            await reader.ended()
    writer.logs.broken = False
    again = follower(writer, edges)
    writer.end()
    assert joined(await again.ended())


async def test_the_last_chunk_says_how_the_worker_ended() -> None:
    writer = Writer()
    view = writer.view()
    view.ending = lambda: ("exit", 3, None)
    writer.end()
    (last,) = await collect(follow(writer.logs, view, FollowLogs(workflow="w", worker="w")))
    assert (last.end, last.reason, last.code, last.signal) == ("completed", "exit", 3, None)


async def test_a_position_beyond_the_end_is_refused() -> None:
    writer = Writer()
    writer.write(b"abc")
    with pytest.raises(InvalidRequest, match="3 bytes, and 4 lies beyond"):
        await collect(follow(writer.logs, writer.view(), FollowLogs(workflow="w", worker="w", position="1.4.0")))
    with pytest.raises(InvalidRequest, match="3 bytes, and 4 lies beyond"):
        read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w", offset=4))
    assert read(writer.logs, writer.view(), ReadLogs(workflow="w", worker="w", offset=3)).chunks == []
