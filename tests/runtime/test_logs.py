"""Bytes by offset, and news of their growth, with a real file system and a real event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.helpers import within
from wattle.core.errors import StorageError
from wattle.core.ports import Logs
from wattle.runtime import logs as module
from wattle.runtime.logs import FileLogs


@pytest.fixture(params=["inotify", "no inotify", "network disk"])
def logs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FileLogs:
    """All ways of noticing; one test body is their contract."""
    if request.param == "network disk":
        monkeypatch.setattr(module, "_is_remote", lambda _folder: True)
    if request.param == "no inotify":
        monkeypatch.setattr(module._Inotify, "open", classmethod(lambda _: None))
    return FileLogs()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


async def next_change(changes: AsyncIterator[None]) -> None:
    await within(anext(changes))


@contextlib.asynccontextmanager
async def following(logs: FileLogs, *paths: Path) -> AsyncIterator[AsyncIterator[None]]:
    async with contextlib.aclosing(logs.changes([str(path) for path in paths])) as changes:
        await next_change(changes)
        yield changes


# --- reading ----------------------------------------------------------------------------------------------------


def test_file_logs_are_the_port() -> None:
    port: Logs = FileLogs()
    assert port.size("/nowhere/at/all") == 0


def test_pieces_are_read_by_offset(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    logs = FileLogs()
    assert logs.size(str(path)) == 10
    assert logs.read(str(path), 3, 4) == b"3456"
    assert logs.read(str(path), 8, 100) == b"89"
    assert logs.read(str(path), 50, 1) == b""


def test_a_file_that_is_not_there_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for path in (str(tmp_path / "none"), str(tmp_path / "plain" / "below")):
        assert (FileLogs().size(path), FileLogs().read(path, 0, 9), FileLogs().tail_offset(path, 3)) == (0, b"", 0)


def test_a_refusal_of_the_system_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"The log .* cannot be read: Is a directory"):
        FileLogs().read(str(tmp_path), 0, 1)
    with pytest.raises(StorageError, match="File name too long"):
        FileLogs().size(str(tmp_path / ("x" * 300)))


@pytest.mark.parametrize(
    ("text", "lines", "tail"),
    [
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 1, b"c"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\nc\n", 3, b"a\nb\nc\n"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"a\nb\n", 0, b""),
        (b"\n\n\n", 2, b"\n\n"),
        (b"", 5, b""),
    ],
)
def test_a_tail_begins_where_its_first_line_does(tmp_path: Path, text: bytes, lines: int, tail: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)
    assert text[FileLogs().tail_offset(str(path), lines) :] == tail


def test_a_tail_over_many_blocks_is_exact(tmp_path: Path) -> None:
    path, line = tmp_path / "log", b"x" * 98 + b"\n"
    path.write_bytes(line * 5_000)
    assert FileLogs().tail_offset(str(path), 3_000) == 2_000 * len(line)


def test_the_tail_of_one_endless_line_is_not_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    assert FileLogs().tail_offset(str(path), 10) == (100 << 20) - (16 << 20)


# --- following --------------------------------------------------------------------------------------------------


async def test_growth_is_told(tmp_path: Path, logs: FileLogs) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    async with following(logs, path) as changes:
        for round_ in range(5):
            append(path, b"x")
            await next_change(changes)
            assert logs.size(str(path)) == round_ + 1


async def test_what_was_written_between_two_questions_is_told(tmp_path: Path, logs: FileLogs) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    async with following(logs, path) as changes:
        append(path, b"x")
        await asyncio.sleep(0)
        append(path, b"y")
        await next_change(changes)
        assert logs.read(str(path), 0, 9) == b"xy"


async def test_a_file_that_comes_into_being_later_is_followed(tmp_path: Path, logs: FileLogs) -> None:
    path = tmp_path / "run" / "worker" / "log"
    async with following(logs, path) as changes:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"first")
        await next_change(changes)
        append(path, b"second")
        await next_change(changes)
        assert logs.size(str(path)) == len(b"firstsecond")


async def test_truncation_deletion_and_a_new_file_in_its_place_are_told(tmp_path: Path, logs: FileLogs) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"long enough")
    async with following(logs, path) as changes:
        os.truncate(path, 2)
        await next_change(changes)
        path.unlink()
        await next_change(changes)
        assert logs.size(str(path)) == 0
        path.write_bytes(b"anew")
        while logs.size(str(path)) == 0:
            await next_change(changes)
        append(path, b"!")
        await next_change(changes)
        assert logs.read(str(path), 0, 9) == b"anew!"


async def test_one_of_two_files_is_enough(tmp_path: Path, logs: FileLogs) -> None:
    out, err = tmp_path / "stdout.log", tmp_path / "stderr.log"
    out.write_bytes(b"")
    async with following(logs, out, err) as changes:
        append(err, b"x")
        await next_change(changes)
        append(out, b"x")
        await next_change(changes)
        append(err, b"y")
        await next_change(changes)
        assert logs.size(str(err)) == 2


async def test_two_readers_of_one_file_are_both_told(tmp_path: Path, logs: FileLogs) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    async with following(logs, path) as one, following(logs, path) as two:
        append(path, b"x")
        await next_change(one)
        await next_change(two)
    async with following(logs, path) as again:
        append(path, b"y")
        await next_change(again)
        assert logs.size(str(path)) == 2


async def test_a_reader_that_leaves_does_not_take_the_others_news_away(tmp_path: Path, logs: FileLogs) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    async with following(logs, path) as stays:
        async with following(logs, path):
            pass
        append(path, b"x")
        await next_change(stays)
        assert logs.size(str(path)) == 1


async def test_a_quiet_file_is_not_told(tmp_path: Path, logs: FileLogs) -> None:
    path, other = tmp_path / "log", tmp_path / "other"
    path.write_bytes(b"")
    other.write_bytes(b"")
    async with following(logs, path) as quiet, following(logs, other) as loud:
        silence = asyncio.ensure_future(anext(quiet))
        for _ in range(3):
            append(other, b"x")
            await next_change(loud)
        assert not silence.done()
        append(path, b"x")
        await within(silence)


async def test_watching_ends_with_the_last_reader(tmp_path: Path) -> None:
    path, logs = tmp_path / "log", FileLogs()
    path.write_bytes(b"")
    before = open_files()
    async with following(logs, path), following(logs, path):
        assert (logs._inotify is not None) == (sys.platform == "linux")
    assert logs._inotify is None
    assert open_files() == before


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
async def test_what_comes_right_after_news_is_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COALESCE", 3600.0)
    path, logs = tmp_path / "log", FileLogs()
    path.write_bytes(b"")
    async with following(logs, path) as changes:
        append(path, b"x")
        await next_change(changes)
        more = asyncio.ensure_future(anext(changes))
        for _ in range(20):
            append(path, b"x")
            await asyncio.sleep(0)
        assert not more.done()
        assert logs._inotify is not None
        logs._inotify._listen()
        await within(more)
