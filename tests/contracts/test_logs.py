"""What logs promise to a reader, held against files and against memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import within
from wattle.core.ports import Logs
from wattle.runtime.logs import FileLogs
from wattle.testing import MemoryLogs

Append = Callable[[str, bytes], None]


@pytest.fixture(params=["files", "memory"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Logs, Append, str]:
    """The logs, the worker's pen, and the path of one log."""
    path = str(tmp_path / "stdout.log")
    if request.param == "memory":
        memory = MemoryLogs()
        return memory, memory.append, path

    def append(path: str, data: bytes) -> None:
        with Path(path).open("ab") as file:
            file.write(data)

    return FileLogs(), append, path


def test_a_log_that_nobody_wrote_is_empty(logs: tuple[Logs, Append, str]) -> None:
    reader, _, path = logs
    assert (reader.size(path), reader.read(path, 0, 10), reader.tail_offset(path, 3)) == (0, b"", 0)


def test_bytes_are_read_by_offset_as_they_were_written(logs: tuple[Logs, Append, str]) -> None:
    reader, append, path = logs
    append(path, b"\x00\xff\xc3")
    append(path, b"\xa4\r\n")
    assert reader.size(path) == 6
    assert reader.read(path, 0, 100) == b"\x00\xff\xc3\xa4\r\n"
    assert (reader.read(path, 2, 2), reader.read(path, 6, 10), reader.read(path, 60, 10)) == (b"\xc3\xa4", b"", b"")


@pytest.mark.parametrize(("text", "lines", "tail"), [
    (b"a\nb\nc\n", 2, b"b\nc\n"), (b"a\nb\nc", 2, b"b\nc"), (b"a\nb\n", 9, b"a\nb\n"), (b"a\nb\n", 0, b""),
    (b"\n\n\n", 1, b"\n"), (b"x" * 200_000 + b"\ny\n", 1, b"y\n"), (b"a\rb\x0bc\n", 1, b"a\rb\x0bc\n"),
])  # fmt: skip
def test_the_last_lines_begin_where_newlines_say(
    logs: tuple[Logs, Append, str], text: bytes, lines: int, tail: bytes
) -> None:
    reader, append, path = logs
    append(path, text)
    assert reader.read(path, reader.tail_offset(path, lines), len(text)) == tail


async def test_a_follower_is_told_at_once_and_then_of_every_growth(logs: tuple[Logs, Append, str]) -> None:
    reader, append, path = logs
    append(path, b"1")
    changes = reader.changes([path, path + ".other"])
    await within(anext(changes))
    for size, grown in enumerate([path, path, path + ".other"], 2):
        append(grown, b"x")
        await within(anext(changes))
        assert reader.size(path) + reader.size(path + ".other") == size
    await changes.aclose()  # type: ignore[attr-defined]
