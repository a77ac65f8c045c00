"""One magic at work: the session of the command line, in a kernel.

Laws: a kernel never coordinates (its runs outlive it), so whoever would host a coordinator asks for one in the
background; what a verb says becomes an object with a view instead of printed text. One client per kernel and state
root stays connected, because a person waits for every magic.
"""

from __future__ import annotations

import sys
import time

from jupyter_wattle.kernel.html import NotebookStyle, html_of
from wattle import app, succession
from wattle.cli.session import Session
from wattle.cli.style import Style
from wattle.core.errors import InvalidRequest, Unreachable
from wattle.sdk.runs import Run
from wattle.settings import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from jupyter_wattle.kernel.here import Here
    from wattle.cli.documents import Document
    from wattle.core.requests import Format
    from wattle.sdk.client import Client


class Said:
    """What a verb said: `data` is the reply as plain values, the view is text and, where the front end can, HTML."""

    def __init__(self, data: Any, text: Callable[[Any, Style], str], style: Style) -> None:
        self.data = data
        self._text = text
        self._style = style

    def text(self, style: Style) -> str:
        """What it says, in a style."""
        return self._text(self.data, style)

    def __repr__(self) -> str:
        return self.text(self._style)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002
        return {"text/plain": repr(self), "text/html": html_of(self.data, self._text, self._style)}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001
        printer.text(repr(self))

    def __getitem__(self, key: Any) -> Any:
        return self.data[key]


class Part:
    """A notebook's part of a workflow, as far as this kernel has defined it.

    `begun`: the earlier part of this notebook has been taken out. `defined` and `waiting` are definitions of workers by
    name; those that wait are not saved.
    """

    def __init__(self) -> None:
        self.begun = False
        self.defined: dict[str, dict[str, Any]] = {}
        self.waiting: dict[str, dict[str, Any]] = {}


class Desk:
    """What the magics of one kernel share: its facts and its connections."""

    def __init__(self, here: Here) -> None:
        self.here = here
        self.words: list[str] = []
        """Those of the magic at work, expressions filled in."""
        self.parts: dict[str, Part] = {}
        """By workflow, what this kernel has defined of it."""
        self.last: KernelSession | None = None
        """The latest magic at work: its words say which state root is meant."""
        self._kept: dict[tuple[str, str], Client] = {}

    def style(self, *, color: bool = True) -> Style:
        """How text is written here: as on a terminal in a terminal, for an output cell elsewhere."""
        kind = Style if self.here.kernel is None else NotebookStyle
        return kind(sys.stdout, self.here.environ, time.time, color=color)

    def plain(self) -> Style:
        """The same, with colours in a terminal only: text in a saved notebook is to be read."""
        return self.style(color=self.here.kernel is None)

    def session(self, args: Namespace) -> KernelSession:
        """The session of one command."""
        flags = {name: value for name in ("home",) if (value := getattr(args, name)) is not None}
        settings = load(flags, self.here.environ, args.config)
        return KernelSession(self, settings, args, self.style(color=args.color), self.here.environ)

    def kept(self, session: KernelSession, need: str) -> Client:
        """The client of a session's state root, or of its server."""
        remote = session.remote
        key = (str(session.settings.home), remote.url if remote is not None else "")
        found = self._kept.get(key)
        if found is None:
            need = "write" if remote is None and succession.answers(session.settings) else need
            found = self._connected(session, need)
            if need != "read" or remote is not None:  # a look into the store is not kept
                self._kept[key] = found
        return found

    def _connected(self, session: KernelSession, need: str) -> Client:
        client = app.connection(session.settings, need, session.remote).client
        client.environment = session.environment()
        client.base_dir = self.here.folder if session.remote is None else None
        return client

    def another(self, session: KernelSession) -> Client:
        """A client of one's own. It starts nobody: who only looks must not keep a coordinator up. Raises `Unreachable`
        when there is none."""
        if session.remote is None and not succession.answers(session.settings):
            raise Unreachable("Nobody coordinates here.", "wattle up")
        return self._connected(session, "read")

    def close(self) -> None:
        """Let go of connections."""
        for client in self._kept.values():
            client.close()
        self._kept.clear()


class KernelSession(Session):
    """One magic."""

    def __init__(self, desk: Desk, *given: Any) -> None:
        super().__init__(*given)
        self.desk = desk
        self.found: list[Any] = []

    def environment(self) -> dict[str, str] | None:
        """The kernel's own, its Python first; a server on another machine gives its own."""
        return app.environment() if self.remote is None else None

    def client(self, need: str = "read") -> Client:
        """A client that can do what is needed; whoever needs a run asks for a coordinator in the background."""
        return self.desk.kept(self, "read" if need == "read" else "write")

    def reconnect(self, need: str) -> None:
        """Nothing to do: a reading look-up is not kept."""

    def close(self) -> None:
        """The connection stays for the next magic."""

    def read(self, path: str | None, form: Format | None) -> Document:
        """The document that is meant. Raises `InvalidRequest` for the standard input, which a kernel has none of."""
        if path == "-":
            raise InvalidRequest("A kernel has no standard input.", "%%wattle workflow etl takes the cell below it")
        return super().read(path, form)

    def say(self, reply: Any, text: Callable[[Any, Style], str]) -> int:
        """Keep a reply with its view; plain values when JSON was asked for. What comes one by one is printed."""
        if self.args.verb == "events" and (self.args.follow or not self.args.json):
            return super().say(reply, text)
        self.found.append(reply if self.args.json else Said(reply, text, self.desk.plain()))
        return 0

    def answer(self) -> Any:
        """What the verb said, in one."""
        if len(self.found) > 1 and not self.args.json:
            said = self.found
            return Said([one.data for one in said], lambda _all, style: "\n".join(one.text(style) for one in said),
                        self.desk.plain())  # fmt: skip
        return self.found[0] if len(self.found) == 1 else self.found or None

    def run(self, detail: dict[str, Any]) -> Run:
        """A run as an object."""
        return Run(self.client("write"), str(detail["address"]), detail)

