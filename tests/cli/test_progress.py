"""The live block and the plain lines."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from tests.cli.replies import Screen, change, style, worker
from wattle.cli import progress
from wattle.cli.board import Board
from wattle.cli.progress import Live, Plain, last_line
from wattle.cli.style import Style
from wattle.sdk.client import Client


class Coordinator:
    """Answers `read_logs` of any worker."""

    def __init__(self, *progress: dict[str, Any]) -> None:
        self.asked: list[str] = []
        self.progress = progress

    def request(self, operation: str, fields: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_progress":
            return {"workers": list(self.progress)}
        assert operation == "read_logs"
        self.asked.append(fields["worker"])
        return {"chunks": [{"stream": "stdout", "text": f"{fields['worker']} says \033[2Jhello\n", "base64": None}]}


def client(coordinator: Coordinator) -> Client:
    return Client(cast("Any", coordinator))


def screen(told: Style) -> Screen:
    return cast("Screen", told.stream)


def emulate(text: str) -> list[str]:
    """What a terminal shows after this text: line feeds, cursor up, erase to the end of line and screen."""
    rows, row = [""], 0
    for piece in re.findall(r"\033\[\d*[A-Za-z]|\r|\n|[^\033\r\n]+", text):
        if piece == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif piece.endswith("A") and piece.startswith("\033"):
            row = max(0, row - int(piece[2:-1] or 1))
        elif piece == "\033[J":
            rows = rows[: row + 1]
            rows[row] = ""
        elif not piece.startswith("\033") and piece != "\r":
            rows[row] = piece
    return rows


@pytest.fixture(autouse=True)
def _every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FRAME_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)


def test_the_block_is_redrawn_in_place_and_stays_at_the_end() -> None:
    told, board = style(tty=True, color=False), Board()
    live = Live(board, told, client(Coordinator()))
    live.show(board.take(change([worker("a", "running"), worker("b")])))
    assert emulate(screen(told).getvalue())[1:] == ["  ● a     5.0 s   a says hello", "  ○ b", ""]
    live.show(board.take(change([worker("a", "completed")], first=False)))
    live.note = "Leaving"
    live.show([])
    assert "  Leaving" in emulate(screen(told).getvalue())
    board.take(change([worker("b", "completed")], first=False))
    live.finish()
    rows = emulate(screen(told).getvalue())
    assert rows[1:] == ["  ✔ a     2.0 s   a says hello", "  ✔ b     2.0 s   b says hello", ""]


def test_a_worker_that_says_how_far_it_is_has_a_bar_instead_of_its_log() -> None:
    told, board = style(tty=True, color=False), Board()
    far = {"name": "a", "fraction": 0.456, "text": "epoch\033[2J 4", "at": 0.0}
    coordinator = Coordinator(far, {"name": "b", "fraction": None, "text": "warming up", "at": 0.0})
    live = Live(board, told, client(coordinator))
    live.show(board.take(change([worker("a", "running"), worker("b", "running"), worker("c", "running")])))
    assert emulate(screen(told).getvalue())[1:4] == [
        "  ● a     5.0 s   ▮▮▮▮▯▯▯▯▯▯ 45%  epoch 4", "  ● b     5.0 s   warming up", "  ● c     5.0 s   c says hello",
    ]  # fmt: skip
    assert coordinator.asked == ["c"]


def test_at_most_four_logs_are_read_at_a_time() -> None:
    told, board, coordinator = style(tty=True), Board(), Coordinator()
    live = Live(board, told, client(coordinator))
    live.show(board.take(change([worker(f"w{n}", "running") for n in range(50)])))
    assert coordinator.asked == ["w0", "w1", "w2", "w3"]


def test_frames_come_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress, "FRAME_SECONDS", 0.1)
    monkeypatch.setattr("wattle.cli.progress.time.monotonic", lambda: clock[0])
    told, board = style(tty=True), Board()
    live = Live(board, told, client(Coordinator()))
    live.show(board.take(change([worker("a", "running")])))
    drawn = len(screen(told).getvalue())
    live.show([])
    assert len(screen(told).getvalue()) == drawn
    clock[0] += 0.2
    live.show([])
    assert len(screen(told).getvalue()) > drawn


def test_plain_lines_tell_each_worker_of_a_small_run_once() -> None:
    told, board = style(), Board()
    plain = Plain(board, told)
    first = change([worker("a", "running"), worker("b")])
    plain.show(board.take(first))
    plain.show(board.take(first))
    plain.show(board.take(change([worker("a", "failed", reason="exit", code=2)], first=False)))
    plain.finish()
    assert screen(told).getvalue().split("\n")[1:] == ["  ● a  5.0 s", "  ✗ a  2.0 s  exit 2", ""]


def test_plain_lines_of_a_large_run_tell_sums_and_failures() -> None:
    told, board = style(), Board()
    plain = Plain(board, told)
    plain.show(board.take(change([worker(f"w{n}", "running") for n in range(60)])))
    failed = worker("w3", "failed", reason="exit", code=2)
    done = [worker(f"w{n}", "completed") for n in range(10, 60)]
    plain.show(board.take(change([failed, *done], first=False)))
    plain.finish()
    lines = screen(told).getvalue().strip().split("\n")[1:]
    assert lines == ["  0 of 60 completed, 60 running", "  ✗ w3  2.0 s  exit 2",
                     "  50 of 60 completed, 1 failed"]  # fmt: skip


def test_the_last_line_is_what_a_progress_bar_shows_last() -> None:
    reply = {"chunks": [{"text": None}, {"text": "one\n 10%\r 20%\r\n\n"}]}
    assert last_line(reply) == "20%"
    assert last_line({"chunks": []}) == ""
