"""One command at work: its words, what it was given by the process, and the connection that it needs.

Law: what the process knows (its environment, its clock, its streams) is handed in, so a verb is the same in a shell,
in a kernel and in a test.
"""

from __future__ import annotations

import json

from wattle import app
from wattle.cli import documents
from wattle.core.environ import strip_secrets
from wattle.core.errors import InvalidRequest, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from typing import Any

    from wattle.app import Connection
    from wattle.cli.style import Style
    from wattle.core.requests import Format
    from wattle.sdk.client import Client
    from wattle.settings import Settings

    Verb = Callable[["Session"], int]
    """What a verb does; returns the exit code."""


class Session:
    """One command. `client` connects when it is first needed; `close` lets go."""

    def __init__(self, settings: Settings, args: Namespace, style: Style, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self.args = args
        self.style = style
        self.environ = environ
        self.remote = app.remote(args.url, environ)
        self.document: documents.Document | None = None
        """The document that was read last: its problems are shown in its text."""
        self._connection: Connection | None = None

    def read(self, path: str | None, form: Format | None) -> documents.Document:
        """The document that is meant. Raises `NotFound` and `InvalidRequest`."""
        self.document = documents.read(path, form, getattr(self.args, "name", None))
        return self.document

    def environment(self) -> dict[str, str] | None:
        """What a run that is started here gets as its environment; a server on another machine gives its own."""
        return strip_secrets(self.environ) if self.remote is None else None

    def fields(self, document: documents.Document) -> dict[str, str]:
        """What a request takes of a document. Folders of this machine mean nothing to another."""
        given: dict[str, str] = {"text": document.text, "format": document.form}
        return given if self.remote is not None else {**given, "base_dir": document.folder, "source": document.source}

    def client(self, need: str = "read") -> Client:
        """A client that can do what is needed."""
        if self._connection is None:
            self._connection = app.connection(self.settings, need, self.remote)
        return self._connection.client

    @property
    def lasting(self) -> bool:
        """Whether workers outlive this process."""
        return self._connection is None or self._connection.lasting

    def reconnect(self, need: str) -> None:
        """Another connection, which can do more."""
        self.close()
        self._connection = app.connection(self.settings, need, self.remote)

    def close(self) -> None:
        """Let go; a coordinator in this process hands unfinished runs over."""
        if self._connection is not None:
            self._connection.close(hand_over=True)

    def ask(self, need: str, operation: str, **fields: Any) -> dict[str, Any]:
        """One answer from a connection that can do what is needed."""
        return self.client(need).ask(operation, **fields)

    def say(self, reply: Any, text: Callable[[Any, Style], str]) -> int:
        """Print a reply: as JSON if that was asked for, else as the text that `text` makes of it."""
        self.line(json.dumps(reply, ensure_ascii=False) if self.args.json else text(reply, self.style))
        return 0

    def line(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.style.stream, flush=True)


def run_of(session: Session) -> str:
    """The run that is meant, the newest of all when none is named. Raises `InvalidRequest` when a worker is, and
    `NotFound` when there is no run."""
    address = session.args.address
    if address is None:
        runs = session.ask("read", "list_all_runs", limit=1)["runs"]
        if not runs:
            raise NotFound("There is no run yet.", "wattle demo, or wattle run")
        return str(runs[0]["address"])
    if address.worker is not None:
        raise InvalidRequest(f"{address} is a worker, and a run is meant.", f"wattle {session.args.verb} {address.run}")
    return str(address.run)


def worker_of(session: Session) -> dict[str, str]:
    """The worker that is meant, as the fields of a request. Raises `InvalidRequest` when a run is."""
    address = session.args.address
    if address.worker is None:
        raise InvalidRequest(f"{address} is a workflow, and a worker is meant.", f"write {address}/WORKER")
    return {"workflow": address.run, "worker": address.worker}
