"""Following a run to its end, and what Ctrl-C means.

On a terminal the first Ctrl-C (or a lost terminal) leaves the run running and says how to come back; a second one
within three seconds stops it. Without a terminal INT, TERM and HUP stop it, because nobody could come back.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time

from wattle.cli.progress import Board, Live, Plain
from wattle.cli.render import failure_block, short_path, summary_line
from wattle.cli.style import size
from wattle.core.errors import Conflict, WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

    from wattle.cli.style import Style
    from wattle.sdk.client import Client

LEFT = 130
FAILURES_SHOWN = 5
RESULTS_SHOWN = 6
SECOND_WITHIN = 3.0
TICK_SECONDS = 0.2
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(Exception):
    """A signal asked to leave."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Signals become `Interrupted` in here."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Follower:
    """Follows one run and shows it. `quiet` shows nothing (`--json`, `wait`)."""

    def __init__(self, client: Client, style: Style, *, quiet: bool = False) -> None:
        self._client = client
        self._style = style
        self._quiet = quiet
        self.board = Board()

    def follow(self, address: str) -> int:
        """To the run's end. Returns the exit code: 0 completed, 1 not, 130 left or stopped by a signal."""
        view: Any = None
        if not self._quiet:
            view = Live(self.board, self._style, self._client) if self._style.tty else Plain(self.board, self._style)
        stopped = False
        while True:
            try:
                with interrupts():
                    self._watch(address, view)
                break
            except Interrupted as interrupt:
                if stopped:
                    continue
                if view is not None:
                    view.leave()
                if self._leaves(address, interrupt):
                    return LEFT
                self._stop(address)
                stopped = True
        if view is not None:
            view.finish()
            self._conclude(address)
        if stopped:
            return LEFT
        return 0 if self.board.run["status"] == "completed" else 1

    def _watch(self, address: str, view: Any) -> None:
        for change in self._changes(address, ticking=isinstance(view, Live)):
            changed = self.board.take(change) if change is not None else []
            if view is not None:
                view.show(changed)

    def _changes(self, address: str, *, ticking: bool) -> Iterator[dict[str, Any] | None]:
        """The steps of the watched run; with `ticking` also None when nothing has changed for a moment, so that
        clocks go on. Raises `WattleError`."""
        if not ticking:
            for _, change in self._client.stream("watch_run", workflow=address):
                yield change
            return
        pipe: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._pump, args=(address, pipe), daemon=True).start()
        while True:
            try:
                item = pipe.get(timeout=TICK_SECONDS)
            except queue.Empty:
                if self.board.run:
                    yield None
                continue
            if isinstance(item, WattleError):
                raise item
            if item is None:
                return
            yield item

    def _pump(self, address: str, pipe: queue.SimpleQueue[Any]) -> None:
        try:
            for _, change in self._client.stream("watch_run", workflow=address):
                pipe.put(change)
            pipe.put(None)
        except WattleError as error:
            pipe.put(error)

    def _leaves(self, address: str, interrupt: Interrupted) -> bool:
        """Whether the run shall go on without us."""
        if not sys.stdin.isatty() or not self._style.tty:
            return False
        if interrupt.number == getattr(signal, "SIGHUP", None):
            return True
        print(f"\nLeft {address} running.  come back: wattle attach {address}   stop: Ctrl-C again, or "
              f"wattle stop {address}", file=self._style.stream, flush=True)  # fmt: skip
        try:
            with interrupts():
                time.sleep(SECOND_WITHIN)
        except Interrupted:
            return False
        return True

    def _stop(self, address: str) -> None:
        with contextlib.suppress(Conflict):
            self._client.ask("stop_workflow", workflow=address)
        if not self._quiet:
            print(f"Stopping {address} …", file=self._style.stream, flush=True)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _conclude(self, address: str) -> None:
        out, style = self._style.stream, self._style
        failed = [worker for worker in self.board.workers.values() if worker["status"] == "failed"]
        for worker in failed[:FAILURES_SHOWN]:
            print("\n" + failure_block(address, worker, self._log_of(address, worker), style), file=out)
        if len(failed) > FAILURES_SHOWN:
            print(f"\n… and {len(failed) - FAILURES_SHOWN} more failed: wattle status {address}", file=out)
        for text in self.board.warnings[:RESULTS_SHOWN]:
            print(f"  {style.paint('warning', 'warn')}   {text}", file=out)
        print(("\n" if failed else "") + summary_line(self.board.run, self.board.warnings, style), file=out)
        if self.board.run["status"] == "completed":
            for line in self._results(address):
                print(line, file=out)
        out.flush()

    def _log_of(self, address: str, worker: dict[str, Any]) -> str:
        if not worker["attempt"]:
            return ""
        try:
            reply = self._client.ask("read_logs", workflow=address, worker=worker["name"], tail=60)
        except WattleError:
            return ""
        texts = {chunk["stream"]: chunk["text"] or "" for chunk in reply["chunks"]}
        return texts.get("stderr") or texts.get("stdout", "")

    def _results(self, address: str) -> list[str]:
        """The files that the last workers left: those that nobody in the run reads."""
        if len(self.board.units) > 200:
            return []
        graph = self._client.ask("get_graph", workflow=address)
        sources = {edge["source"] for edge in graph["edges"]}
        lines: list[str] = []
        for name in self.board.units:
            if name in sources or len(lines) >= RESULTS_SHOWN:
                continue
            for output in self._client.ask("list_outputs", workflow=address, worker=name)["outputs"]:
                if output["exists"] and output["type"] == "file":
                    path = self._latest(output["path"])
                    lines.append(f"  {'results' if not lines else '       '}   {path}  ({size(output['size'])})")
        return lines

    def _latest(self, path: str) -> str:
        """By the `latest` link, when it points to this run: shorter, and the same next time."""
        folder, number = os.path.split(self.board.run_dir)
        if path.startswith(self.board.run_dir + "/"):
            latest = os.path.join(folder, "latest")
            if os.path.islink(latest) and os.readlink(latest) == number:
                return short_path(latest + path[len(self.board.run_dir) :])
        return short_path(path)
