"""What a notebook shows: one MIME bundle per run or workflow, brought up to date in place until the run has ended.

    application/vnd.wattle.run+json   address, store and a snapshot: Wattle's own renderer goes on from there by itself
    image/svg+xml, text/plain         the static picture, for everybody else, for nbconvert, for the saved notebook

Laws: a view never holds a run, it only looks; threads here display by an id and never print; at most ten updates a
second leave a kernel, the last one always; when a run has ended its output is settled: the final picture, no widget.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import uuid
import weakref
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data

from jupyter_wattle.kernel.drawing import MOST_NODES, svg
from wattle.cli import picture, render
from wattle.cli.board import Board, counts_text
from wattle.cli.conclusion import conclusion, summary_line
from wattle.cli.style import clean, clip, duration
from wattle.cli.timeline import timeline as timeline_text
from wattle.core.errors import Unreachable, WattleError
from wattle.sdk.flow import Flow
from wattle.sdk.new import New
from wattle.sdk.runs import FINAL, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_wattle.kernel.session import Desk, KernelSession
    from wattle.cli.style import Style
    from wattle.sdk.client import Client

MIME = "application/vnd.wattle.run+json"
MOST_WORKERS = 2000
"""Workers beyond which a snapshot leaves them out: the live view asks, and a notebook stays small."""
LOG_LINES = 40
"""Lines of a log that a static picture ends with."""
PACE = 0.1
"""Seconds between updates of all views of a kernel together."""
AGAIN_SECONDS = 3.0
"""How often a view looks for a coordinator when there is none."""
UNSERVED_PACE = 1.0
"""Seconds between updates of one view where no server tells the page itself."""
Bundle = dict[str, Any]


class Views:
    """The views of one kernel."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._pace = threading.Lock()
        self._next = 0.0
        self._following: dict[str, threading.Thread] = {}
        self._over = threading.Event()
        self._shown: tuple[Run, int] | None = None
        self._stores: weakref.WeakKeyDictionary[Client, tuple[str, str]] = weakref.WeakKeyDictionary()

    # ---- what is shown ------------------------------------------------------------------------------------------

    def run_bundle(self, run: Run, client: Client, detail: Mapping[str, Any]) -> Bundle:
        """A run, at present, as its aspect and its focus want it."""
        address, style = detail["address"], self.desk.plain()
        graph = client.ask("get_graph", workflow=address)
        wanted = run.aspect == "gantt" or (detail["status"] in FINAL and _fits(detail))
        timeline = client.ask("get_timeline", workflow=address) if wanted else None
        snapshot = {"run": _small(detail), "graph": _sketch(graph), "timeline": timeline}
        data = {**self._data(client, run.aspect, address, snapshot), "worker": run.focus}
        if run.aspect == "gantt" and timeline is not None:
            return _bundle(data, timeline_text(timeline, style), "")
        return _bundle(data, self._text(run, client, detail), svg(graph, detail, _caption(detail, style)))

    def _text(self, run: Run, client: Client, detail: Mapping[str, Any]) -> str:
        said = _said(client, run.address, run.focus) if run.aspect == "logs" and run.focus else ""
        return render.run_detail(detail, self.desk.plain()) + said

    def flow_bundle(self, client: Client, name: str) -> Bundle:
        """A saved workflow, as it would run."""
        graph = client.ask("get_graph", workflow=name)
        data = self._data(client, "workflow", name, {"run": None, "graph": _sketch(graph), "timeline": None})
        count = len(graph["nodes"])
        text = (picture.graph(graph, self.desk.plain()) if count <= MOST_NODES
                else f"{name}: {count:,} workers. %wattle graph {name} --out {name}.svg draws them all.")  # fmt: skip
        return _bundle(data, text, svg(graph))

    def _data(self, client: Client, kind: str, address: str, snapshot: Mapping[str, Any]) -> dict[str, Any]:
        store = self._stores.get(client)
        if store is None:
            health = client.ask("get_health")
            store = self._stores[client] = (health["store_id"], health["home"])
        return {"version": 1, "kind": kind, "address": address, "worker": None, "store_id": store[0],
                "home": store[1], "snapshot": snapshot}  # fmt: skip

    # ---- showing ------------------------------------------------------------------------------------------------

    def show_run(self, run: Run) -> None:
        """Display a run, and keep the display up to date until it has ended."""
        if self._shown == (run, self.desk.here.cell):
            return  # the line that was waited at has just become its picture
        detail = run.detail
        if self.desk.here.front_end == "text" or not self._updates():
            _publish({"text/plain": self._text(run, run.client, detail)})
            return
        display_id = uuid.uuid4().hex
        widget = None
        if self.desk.here.front_end == "widget" and detail["status"] not in FINAL:
            widget = self._widget(run.client, self.run_bundle(run, run.client, detail)[MIME])
        if widget is None:
            _publish(self.run_bundle(run, run.client, detail), display_id)
        else:
            _publish(widget._repr_mimebundle_()[0], display_id)
        if detail["status"] not in FINAL:
            self._follow(run, display_id, widget)

    def show_flow(self, flow: Flow) -> None:
        """Display a saved workflow."""
        bundle = self.flow_bundle(flow.client, flow.name)
        _publish(bundle if self.desk.here.front_end != "text" else {"text/plain": bundle["text/plain"]})

    def show_new(self, form: New) -> None:
        """Display the form for a new workflow."""
        if self.desk.here.front_end == "text":
            _publish({"text/plain": repr(form)})
            return
        data = self._data(form.client, "new", form.name, {"run": None, "graph": None, "timeline": None})
        widget = self._widget(form.client, data) if self.desk.here.front_end == "widget" else None
        _publish({MIME: data, "text/plain": repr(form)} if widget is None else widget._repr_mimebundle_()[0])

    def _updates(self) -> bool:
        return self.desk.here.kernel is not None

    def _widget(self, client: Client, data: dict[str, Any]) -> Any:
        """A widget for front ends without our renderer; None in an installation without its built file."""
        try:
            from jupyter_wattle.widget import make
        except FileNotFoundError:
            return None
        session = self.desk.last  # a client of its own: the page may ask while a cell does, on another thread
        return make(self.desk.another(session) if session is not None else client, data)

    def _follow(self, run: Run, display_id: str, widget: Any) -> None:
        thread = threading.Thread(target=self._keep_up, args=(self.desk.last, run, display_id, widget), daemon=True,
                                  name=f"wattle-view-{run.address}")  # fmt: skip
        self._following[display_id] = thread
        thread.start()

    def _keep_up(self, session: KernelSession | None, run: Run, display_id: str, widget: Any) -> None:
        """In a thread, to the run's end, from however many coordinators."""
        try:
            while session is not None and not self._over.is_set():
                try:
                    with self.desk.another(session) as client:
                        self._watch(session, client, run, display_id, widget)
                    return
                except Unreachable:
                    self._over.wait(AGAIN_SECONDS)
        except WattleError:
            return  # the run is gone; the display stays as it was
        finally:
            self._following.pop(display_id, None)

    def _watch(self, session: KernelSession, client: Client, run: Run, display_id: str, widget: Any) -> None:
        """Changes as far as the page does not get them itself, the last of many too; then the settled view."""
        own = not self.desk.here.served or widget is not None
        pace = PACE if widget is not None else UNSERVED_PACE
        steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self.desk, session, run.address, steps), daemon=True).start()
        last, dirty = time.monotonic(), False
        while not self._over.is_set():
            left = last + pace - time.monotonic()
            if dirty and left <= 0:
                self._update(client, run, display_id, widget)
                last, dirty = time.monotonic(), False
            try:
                step = steps.get(timeout=max(0.0, left) if dirty else AGAIN_SECONDS)
            except queue.Empty:
                continue
            if isinstance(step, WattleError):
                raise step
            if step is None or step["run"]["status"] in FINAL:
                self._update(client, run, display_id, None)
                return
            dirty = own

    def _update(self, client: Client, run: Run, display_id: str, widget: Any) -> None:
        bundle = self.run_bundle(run, client, client.ask("list_workers", workflow=run.address))
        with self._pace:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + PACE
            if widget is not None:
                widget.push(bundle[MIME]["snapshot"])
            else:
                _publish(bundle, display_id, update=True)

    def close(self) -> None:
        """Follow no longer, and let go of what was set; displays stay as they are."""
        self._over.set()
        Run.told = Run.explained = New.insert = None

    # ---- waiting ------------------------------------------------------------------------------------------------

    def line(self, run: Run, whole: bool) -> Callable[[Mapping[str, Any] | None], None]:  # noqa: FBT001
        """What shows that a person waits for a run: one line, updated in place. Nobody to see it, nothing shown. When
        the whole run was waited for, the line becomes its picture."""
        if self.desk.here.headless:
            return lambda _change: None
        if not self._updates():
            return _TerminalLine(run.address, self.desk.style(), whole=whole).take
        line = _Line(run.address, self.desk.style(), whole=whole)
        if not whole or self.desk.here.front_end == "text":
            return line.take

        def take(change: Mapping[str, Any] | None) -> None:
            if change is None and line.seen_to_the_end and not line.was_over:
                line.stop()
                line.replace(self.run_bundle(run, run.client, run.detail))
                self._shown = run, self.desk.here.cell
            else:
                line.take(change)

        return take

    def explained(self, run: Run) -> str:
        """How a run failed, as it is said everywhere: what, its last words, and where to go from here."""
        lines = conclusion(Board.of(run.detail), run.client, self.desk.style(color=False))
        return "\n".join(lines).strip("\n")

    def install(self, shell: InteractiveShell) -> None:
        """Show runs, and the waiting for them, like this from now on."""
        formatter = shell.display_formatter
        if formatter is not None:
            formatter.ipython_display_formatter.for_type(Run, self.show_run)
            formatter.ipython_display_formatter.for_type(Flow, self.show_flow)
            formatter.ipython_display_formatter.for_type(New, self.show_new)
        New.insert = staticmethod(shell.set_next_input)
        Run.told = staticmethod(self.line)
        Run.explained = staticmethod(self.explained)


class _Line:
    """One display of one line."""

    def __init__(self, address: str, style: Style, *, whole: bool) -> None:
        self._address = address
        self._whole = whole
        self._style = style
        self._board = Board()
        self._id = ""
        self._said = ""
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._ticking: threading.Thread | None = None
        self.was_over = False
        """There was nothing to wait for: nothing is said."""

    def take(self, change: Mapping[str, Any] | None) -> None:
        """Note a change; None is the end. A thread shows the present five times a second, so that time goes on."""
        if change is None:
            self.stop()
            if self._whole and not self.seen_to_the_end:
                self.say("")  # it was left, which is said elsewhere
            elif self._board.run and not self.was_over:
                self.end(self._ended())
            return
        with self._lock:
            self.was_over = self.was_over or (not self._board.run and change["run"]["status"] in FINAL)
            self._board.take(change)
        if self._ticking is None and not self.was_over:
            self._ticking = threading.Thread(target=self._tick, name="wattle-line", daemon=True)
            self._ticking.start()

    def stop(self) -> None:
        """The line goes on no longer."""
        self._over.set()
        if self._ticking is not None:
            self._ticking.join()

    def _tick(self) -> None:
        while True:
            with self._lock:
                text = self._text()
            self.say(text)
            if self._over.wait(2 * PACE):
                return

    @property
    def seen_to_the_end(self) -> bool:
        """Whether the run has ended."""
        return bool(self._board.run) and self._board.run["status"] in FINAL

    def replace(self, bundle: Bundle) -> None:
        """Show this in the place of the line."""
        known, self._id = bool(self._id), self._id or uuid.uuid4().hex
        _publish(bundle, self._id, update=known)

    def _text(self) -> str:
        run, style = self._board.run, self._style
        told = [counts_text(run["counts"], len(self._board.workers)), ", ".join(self._board.running()[:3]),
                duration(style.span(run["started_at"], None))]  # fmt: skip
        return clip(f"{style.mark('running')} {style.paint(self._address, 'bold')}  {style.dots(told)}", 120)

    def _ended(self) -> str:
        run, style = self._board.run, self._style
        if run["status"] in FINAL:
            return summary_line(run, self._board.warnings, style)
        return f"{style.paint(self._address, 'bold')} goes on.  %wattle attach {self._address}"

    def say(self, text: str) -> None:
        """Show a line in the place of the one before."""
        if text == self._said:
            return
        self._said = text
        self.replace({"text/plain": text})

    def end(self, text: str) -> None:
        """The last word."""
        self.say(text)


class _TerminalLine(_Line):
    """The same with a carriage return."""

    def say(self, text: str) -> None:
        """Show a line in the place of the one before."""
        sys.stdout.write(f"\r\033[K{text}")
        sys.stdout.flush()

    def end(self, text: str) -> None:
        """The last word stays."""
        self.say(text + "\n")


def _read(desk: Desk, session: KernelSession, address: str, steps: queue.SimpleQueue[Any]) -> None:
    """In a thread: the changes of a run, then None, or the error that ended them."""
    try:
        with desk.another(session) as client:
            for _, change in client.stream("watch_run", workflow=address):
                steps.put(change)
        steps.put(None)
    except WattleError as error:
        steps.put(error)


def _publish(bundle: Bundle, display_id: str = "", *, update: bool = False) -> None:
    given = {"transient": {"display_id": display_id}, "update": update} if display_id else {}
    publish_display_data(bundle, **given)  # type: ignore[no-untyped-call]


def _bundle(data: dict[str, Any], text: str, image: str) -> Bundle:
    pictured = {"image/svg+xml": image} if image else {}
    return {MIME: data, **pictured, "text/plain": text}


def _said(client: Client, address: str, worker: str) -> str:
    """The end of a worker's log, for who cannot follow it."""
    try:
        reply = client.ask("read_logs", workflow=address, worker=worker, tail=LOG_LINES)
    except WattleError:
        return ""  # it has not begun
    text = "".join(chunk["text"] or "" for chunk in reply["chunks"])
    return "".join(f"\n    {clean(line)}" for line in text.splitlines())


def _small(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    return detail if _fits(detail) else {**detail, "workers": []}


def _sketch(graph: Mapping[str, Any]) -> Mapping[str, Any]:
    return graph if len(graph["nodes"]) <= MOST_WORKERS else {**graph, "nodes": [], "edges": []}


def _fits(detail: Mapping[str, Any]) -> bool:
    return len(detail["workers"]) <= MOST_WORKERS


def _caption(detail: Mapping[str, Any], style: Style) -> str:
    took = duration(style.span(detail["started_at"], detail["completed_at"]))
    return style.dots([detail["address"], detail["status"], took if detail["completed_at"] else ""])
