"""Showing a run while it goes on: a block redrawn in place on a terminal, plain lines elsewhere.

Laws: at most ten drawings a second, each one write, so nothing flickers; the cursor is left where a shell expects it
at every moment; a run of ten thousand workers costs the terminal as little as one of ten.
"""

from __future__ import annotations

import time

from wattle.cli.board import FINAL, bar, counts_text, worker_line
from wattle.cli.style import clean, clip, width
from wattle.core.errors import WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wattle.cli.board import Board
    from wattle.cli.style import Style
    from wattle.sdk.client import Client

MANY = 50
"""Workers beyond which plain lines only tell sums and failures."""
TELLING = 20
"""Units up to which the last log line of a worker that has completed stays beside it."""
TOLD = (*FINAL, "running", "retrying")
"""Phases that plain lines tell of."""
FRAME_SECONDS = 0.1
QUIET_SECONDS = 1.0
LOG_SECONDS = 0.5
LOGS_READ = 4


class Live:
    """The block on a terminal, redrawn in place."""

    def __init__(self, board: Board, style: Style, client: Client) -> None:
        self.board = board
        self.note = ""
        """A line below the block: what Ctrl-C will do."""
        self._style = style
        self._client = client
        self._drawn: list[int] = []
        self._last: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._logs_at = 0.0
        self._frame_at = 0.0

    def show(self, _changed: list[dict[str, Any]]) -> None:
        """Draw the present, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._frame_at < FRAME_SECONDS:
            return
        self._frame_at = now
        if now - self._logs_at >= LOG_SECONDS:
            self._logs_at = now
            self._read_logs()
        self._draw(self._style.size()[1] - 1)

    def finish(self) -> None:
        """Draw the last state, which stays."""
        self.note = ""
        self._last.clear()
        self._tell()
        self._draw(max(30, self._style.size()[1] - 1))
        self._drawn = []

    def leave(self) -> None:
        """Draw no more."""
        self._drawn = []

    def _draw(self, room: int) -> None:
        columns = self._style.size()[0]
        extra = [f"  {self._style.paint(self.note, 'warn')}"] if self.note else []
        said = {**self._told, **self._last}
        lines = [self.board.header(self._style)]
        lines += self.board.lines(self._style, room - 1 - len(extra), said)
        lines = [clip(line, columns) for line in lines + extra]
        up = sum(1 + max(0, length - 1) // columns for length in self._drawn)
        text = (f"\033[{up}A" if up else "") + "\r" + "".join(f"{line}\033[K\n" for line in lines) + "\033[J"
        self._style.stream.write(text)
        self._style.stream.flush()
        self._drawn = [width(line) for line in lines]

    def _read_logs(self) -> None:
        """What running workers say of themselves: how far they are, else the last line of their logs."""
        running = self.board.running()
        said = self._said_progress() if running else {}
        rest = [name for name in running if name not in said][:LOGS_READ]
        self._last = {**said, **{name: self._last_line(name) for name in rest}}
        self._tell()

    def _said_progress(self) -> dict[str, str]:
        try:
            reply = self._client.ask("get_progress", workflow=self.board.run["address"])
        except WattleError:
            return {}
        return {worker["name"]: progress_text(worker, self._style) for worker in reply["workers"]}

    def _tell(self) -> None:
        """What workers said last stays beside them, in a run small enough."""
        if len(self.board.units) > TELLING:
            return
        for unit in self.board.units.values():
            if unit.kind == "completed" and not unit.grouped and unit.name not in self._told:
                self._told[unit.name] = self._last_line(unit.name)

    def _last_line(self, name: str) -> str:
        try:
            reply = self._client.ask("read_logs", workflow=self.board.run["address"], worker=name, tail=1, limit=4096)
        except WattleError:
            return ""
        return last_line(reply)


class Plain:
    """Lines for files and pipes."""

    def __init__(self, board: Board, style: Style) -> None:
        self.board = board
        self.note = ""
        self._style = style
        self._said_at = 0.0
        self._header = False
        self._told: set[tuple[str, str, int]] = set()

    def show(self, changed: list[dict[str, Any]]) -> None:
        """Say what is new: each worker of a small run, sums and failures of a large one."""
        if not self._header and self.board.run["started_at"]:
            self._header = True
            self._say(self.board.header(self._style))
        few = len(self.board.workers) <= MANY
        for worker in changed:
            if worker["status"] == "failed" or (few and worker["phase"] in TOLD):
                self._tell(worker)
        now = time.monotonic()
        if not few and now - self._said_at >= QUIET_SECONDS:
            self._said_at = now
            self._say(f"  {counts_text(self.board.run['counts'], len(self.board.workers))}")

    def finish(self) -> None:
        """The last sums."""
        if len(self.board.workers) > MANY:
            self._say(f"  {counts_text(self.board.run['counts'], len(self.board.workers))}")

    def leave(self) -> None:
        """Nothing is held."""

    def _tell(self, worker: dict[str, Any]) -> None:
        """Once, also when a new coordinator gives the whole picture again."""
        news = (worker["name"], worker["phase"], worker["attempt"])
        if news not in self._told:
            self._told.add(news)
            self._say(f"  {worker_line(worker, self._style)}")

    def _say(self, text: str) -> None:
        print(text, file=self._style.stream, flush=True)


def progress_text(worker: Mapping[str, Any], style: Style) -> str:
    """`▮▮▮▮▯▯▯▯▯▯ 40%  epoch 4`."""
    fraction, text = worker["fraction"], clean(worker["text"]).strip()
    if fraction is None:
        return text
    percent = int(100 * fraction)
    return f"{bar(percent, 100, style)} {percent:>2}%  {text}".rstrip()


def last_line(reply: Mapping[str, Any]) -> str:
    """The last line that says something in a piece of a log; standard output before standard error."""
    for chunk in reply["chunks"]:
        lines = [line for line in (chunk["text"] or "").replace("\r", "\n").split("\n") if line.strip()]
        if lines:
            return clean(lines[-1]).strip()
    return ""
