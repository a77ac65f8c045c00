"""Real servers: `jupyter server`, `jupyter lab` and `wattle serve`, each in folders of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.helpers import wait_until
from tests.terminal import REPOSITORY
from wattle.sdk.client import Client
from wattle.sdk.url import UrlTransport

TOKEN = "a-token-of-these-tests"
CONFIG = {"ServerApp": {"jpserver_extensions": {"jupyter_wattle": True}}}
COMMANDS = {
    "server": ["-m", "jupyter_server"],
    "lab": ["-m", "jupyterlab"],
    "serve": ["-m", "wattle", "serve"],
}


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


class Server:
    """One server process. Its folders lie below `folder`; servers of the same folder share a state root."""

    def __init__(self, folder: Path, kind: str = "server", *words: str, environment: Mapping[str, str] | None = None,
                 config: Mapping[str, Any] | None = None, port: int = 0) -> None:  # fmt: skip
        self.folder = folder
        self.home = folder / "home"
        self.log = folder / f"{kind}.log"
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY"))}
        variables |= {"WATTLE_HOME": str(self.home), "PYTHONPATH": str(REPOSITORY), "HOME": str(folder),
                      "PYTHONUNBUFFERED": "1"}  # fmt: skip
        for name in ("CONFIG", "DATA", "RUNTIME"):
            place = folder / f"jupyter-{name.lower()}"
            place.mkdir(exist_ok=True, mode=0o700)
            variables[f"JUPYTER_{name}_DIR"] = str(place)
        variables["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
        (folder / "jupyter-config" / "jupyter_server_config.json").write_text(json.dumps(config or CONFIG))
        command = [sys.executable, *COMMANDS[kind], "--allow-root", "--no-browser", f"--port={port or free_port()}",
                   f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}", *words]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=folder, env={**variables, **(environment or {})}, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        self.runtime = folder / "jupyter-runtime"
        self.url = wait_until(self._found, 60)
        parts = urlsplit(self.url)
        self.host, self.port, self.base = parts.hostname or "localhost", parts.port or 80, parts.path.rstrip("/")

    def _found(self) -> str:
        """The URL that the server wrote down, once its port is bound."""
        assert self.process.poll() is None, self.log.read_text()
        path = self.runtime / f"jpserver-{self.process.pid}.json"
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError):
            return ""
        with contextlib.suppress(OSError), socket.create_connection(("localhost", told["port"]), timeout=5):
            return str(told["url"])
        return ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request with the token, unless `Authorization` says otherwise; underscores stand for dashes."""
        given = {"Authorization": f"token {TOKEN}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.putrequest(method, self.base + path, skip_host="Host" in given)
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            if data is not None or method in {"POST", "PUT"}:
                connection.putheader("Content-Length", str(len(data or b"")))
            connection.endheaders(data)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def ready(self) -> dict[str, Any]:
        """Wait until a coordinator answers; its health."""
        return wait_until(lambda: (found := self.ask("GET", "/api/wattle/health")).status == 200 and dict(found.json),
                          30) or {}  # fmt: skip

    def client(self) -> Client:
        """Wattle's own client, over this server's URL."""
        return Client(UrlTransport(self.url, TOKEN))

    def holder(self) -> dict[str, Any]:
        """Who coordinates, as the state root says; nobody is an empty mapping."""
        try:
            return dict(json.loads((self.home / "holder.json").read_text()))
        except (OSError, ValueError):
            return {}

    def end(self, number: int = signal.SIGTERM, within: float = 30) -> int:
        """Signal it and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(within)

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


def free_port() -> int:
    """A port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_starting(server: Server, document: Mapping[str, Any]) -> dict[str, Any]:
    """Create a workflow and start it; returns the run."""
    made = server.ask("POST", "/api/workflows", {"document": document})
    assert made.status == 200, made.body
    started = server.ask("POST", f"/api/workflows/{document['name']}/start", {})
    assert started.status == 200, started.body
    return dict(started.json)
