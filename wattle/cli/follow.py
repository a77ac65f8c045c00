"""Following a run to its end, and what Ctrl-C means.

On a terminal the first Ctrl-C leaves the run running and says how to come back, and a second one within three seconds
stops it; a lost terminal leaves it running at once. Without a terminal INT, TERM and HUP stop the run, because nobody
could come back.

Laws: one thread reads the watched run, signals and changes are steps of one queue, and the main thread takes them one
after the other: nothing is ever torn by a signal.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
import time

from wattle.cli.board import Board
from wattle.cli.conclusion import conclusion
from wattle.cli.progress import Live, Plain
from wattle.core.errors import Conflict, WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, Self

    from wattle.cli.style import Style
    from wattle.sdk.client import Client

LEFT = 130
SECOND_WITHIN = 3.0
TICK_SECONDS = 0.2
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_END = object()


class Signals:
    """From here on the signals that end a process become steps of a queue. When steps are no longer taken, a third
    signal becomes a `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._waiting += 1
        if self._waiting > 2:
            raise KeyboardInterrupt
        self.steps.put(number)

    def taken(self) -> None:
        """One of them was seen to."""
        self._waiting -= 1

    def ignore(self) -> None:
        """None of them does anything any more, to the end of the process."""
        self._before = dict.fromkeys(SIGNALS, _nothing)  # SIG_IGN would be inherited by a coordinator started now


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The end is near anyway."""


class Follower:
    """Follows one run and shows it. `quiet` shows nothing (`--json`, `wait`); `owner` is whoever started the run: only
    the owner's end stops it. `lasting`: workers outlive this process."""

    def __init__(self, client: Client, style: Style, *, quiet: bool = False, owner: bool = True,
                 lasting: bool = True) -> None:  # fmt: skip
        self.board = Board()
        self._client = client
        self._style = style
        self._owner = owner
        self._lasting = lasting
        self._view: Live | Plain | None = None
        if not quiet:
            self._view = Live(self.board, style, client) if style.live else Plain(self.board, style)
        self._person = style.tty and sys.stdin.isatty()
        self._leave_at: float | None = None
        self._stopping = False

    def follow(self, begin: Callable[[], str]) -> int:
        """To the end of the run that `begin` starts or finds; signals that come meanwhile count already.

        Returns the exit code: 0 completed, 1 not, 130 left or stopped by a signal.
        """
        with Signals() as signals:
            address = begin()
            threading.Thread(target=self._pump, args=(address, signals.steps), daemon=True).start()
            if not self._take_all(address, signals):
                signals.ignore()
                return self._left(address)
        if self._view is not None:
            self._view.finish()
            for line in conclusion(self.board, self._client, self._style):
                self._say(line)
        if self._stopping:
            return LEFT
        return 0 if self.board.run["status"] == "completed" else 1

    def _take_all(self, address: str, signals: Signals) -> bool:
        """Every step to the end; false when it is time to leave before."""
        while (step := self._next(signals.steps)) is not _END:
            if isinstance(step, WattleError):
                raise step
            if isinstance(step, int):
                self._signalled(address, step)
                signals.taken()
            else:
                self._show(step)
            if self._leave_at is not None and time.monotonic() >= self._leave_at:
                return False
        return True

    def _next(self, steps: queue.SimpleQueue[Any]) -> Any:
        """A change, a signal, an error, the end; or None, so that the clocks go on."""
        try:
            return steps.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return None

    def _show(self, change: dict[str, Any] | None) -> None:
        changed = [] if change is None else self.board.take(change)
        if self._view is not None and self.board.run:
            self._view.show(changed)

    def _pump(self, address: str, steps: queue.SimpleQueue[Any]) -> None:
        try:
            for _, change in self._client.stream("watch_run", workflow=address):
                steps.put(change)
            steps.put(_END)
        except WattleError as error:
            steps.put(error)

    # ---- signals --------------------------------------------------------------------------------------------------

    def _signalled(self, address: str, number: int) -> None:
        """Leave, or stop the run, or ask once more."""
        now = time.monotonic()
        if self._person and number == signal.SIGINT and not self._stopping:
            if self._leave_at is None:
                self._leave_at = now + SECOND_WITHIN
                told = "running" if self._lasting else "ends the workers that run, because there is no supervisor"
                self._announce(f"Leaving {address} {told}. Ctrl-C again within {SECOND_WITHIN:.0f} s stops it.")
                return
        elif self._person or not self._owner:
            self._leave_at = now
            return
        self._leave_at = None
        if not self._stopping:
            self._stopping = True
            self._announce(f"Stopping {address} {self._style.char('…', '...')}")
            with contextlib.suppress(Conflict):
                self._client.ask("stop_workflow", workflow=address)

    def _announce(self, text: str) -> None:
        if isinstance(self._view, Live):
            self._view.note = text
        elif self._view is not None:
            self._say(text)

    def _left(self, address: str) -> int:
        """Say how to come back."""
        if self._view is not None:
            self._view.leave()
            dot = self._style.char("·", "-")
            told = f"Left {address} running.  wattle attach {address}  {dot}  stop: wattle stop {address}"
            if not self._lasting:
                told = (f"Left {address}. Without a supervisor the workers that ran end now and count as lost; "
                        f"a coordinator in the background goes on from there.  wattle status {address}")
            with contextlib.suppress(OSError):
                self._say(told)
        return LEFT

    def _say(self, text: str) -> None:
        print(text, file=self._style.stream, flush=True)
