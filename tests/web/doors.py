"""A door with a service behind it, on a loop of its own, and a client that sees every byte of what it says."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers import DEADLINE
from wattle.web.door import PrivateDoor


class Answer(NamedTuple):
    """What a door said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """A private door at `path`; `do` runs something on its loop."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.loop = loop

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        connection = http.client.HTTPConnection("localhost", timeout=DEADLINE)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(DEADLINE)
        connection.sock.connect(self.path)
        return connection

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """One request; a body that is no bytes is sent as JSON, and says so unless a header says otherwise."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            said = {"Content-Type": "application/json", **said}
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, target, body, said)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())

    @contextlib.contextmanager
    def stream(self, target: str, **headers: str) -> Iterator[Frames]:
        """A stream of events."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})
            with connection.getresponse() as reply:
                yield Frames(reply)


class Frames:
    """Reads one event after the other; comments are kept in `comments`."""

    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self.comments: list[str] = []
        self.retry = ""
        self._reply = reply

    def next(self) -> tuple[str, str, Any]:
        """(event, id, data); raises EOFError when the connection ends."""
        fields = {"event": "message", "id": ""}
        while True:
            line = self._reply.readline()
            if not line:
                raise EOFError
            text = line.decode().rstrip("\n")
            name, _, value = text.partition(": ")
            if text.startswith(":"):
                self.comments.append(text)
            elif name == "retry":
                self.retry = value
            elif text:
                fields[name] = value
            elif "data" in fields:
                return fields["event"], fields["id"], json.loads(fields["data"])

    def rest(self) -> list[tuple[str, str, Any]]:
        """Everything to the end of the connection."""
        found = []
        with contextlib.suppress(EOFError):
            while True:
                found.append(self.next())
        return found


@contextlib.contextmanager
def opened(tmp_path: Path, service: Callable[[], Any], **options: Any) -> Iterator[Door]:
    """A private door before `service()`, which is asked on the door's loop."""
    path = str(tmp_path / "door.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1024)
    listener.setblocking(False)
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()

    async def serve() -> None:
        door = PrivateDoor(listener, service, **options)
        ready.set()
        await stop.wait()
        await door.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(DEADLINE)
    try:
        yield Door(path, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        listener.close()
        loop.close()
