"""The router, a process of its own: `router.py FOLDER`, started by `RouterProcess`.

It lives beside the coordinator and outlives it, so that workers go on talking while another coordinator takes over:
in a session of its own, until for `linger` seconds neither a coordinator nor a worker has shown that it is alive.
Never inside the coordinator: a router that waits for somebody's interpreter holds everybody up.

`router.json` in the folder says what to do (mode 0600, made by `RouterProcess`):

    {config, socket, port, tls: [endpoint…], linger, zenohd, watch: {a connection of the coordinator's}}

`port` 0 draws one of 20000 to 29999; a port that was given is waited for, and another one drawn if it stays taken.
When everything listens, `ready.json` is written: {pid, started, port, endpoints, router, program}, and the same is said
on stdout, one line; what went wrong instead is said as {error}. With `zenohd` the router is that program, and this
process its guardian.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol

if __name__ == "__main__":  # run by path, beside a module that is called as the library it imports
    _root = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [_root, *(place for place in sys.path if Path(place or ".").resolve() != Path(__file__).parent)]

from wattle.bus import zenoh
from wattle.bus.connection import read_connection
from wattle.bus.identity import started
from wattle.bus.private import write_private
from wattle.core.errors import Unreachable, WattleError

with contextlib.suppress(ImportError):  # not of Unix
    import resource

PORTS = range(20_000, 30_000)
TRIES = 60
SAME_PORT_SECONDS = 3.0
"""How long the port of a router that died is waited for."""
ZENOHD_SECONDS = 10.0


class Running(Protocol):
    """A router that listens. `program` is the process behind it, if it is another one."""

    program: dict[str, Any]

    def session(self) -> zenoh.Session:
        """To see who is alive."""

    def ended(self) -> bool:
        """It has gone by itself."""

    def close(self) -> None:
        """End it."""


class Own:
    """The router in this process."""

    def __init__(self, config: dict[str, Any], told: dict[str, Any], _folder: Path) -> None:
        self.program: dict[str, Any] = {}
        self._session = zenoh.Session(zenoh.open_router(config), read_connection(told["watch"]))

    def session(self) -> zenoh.Session:
        """Its own, which no rule binds."""
        return self._session

    def ended(self) -> bool:
        """Not without this process."""
        return False

    def close(self) -> None:
        """With all that is connected."""
        self._session.close()


class Zenohd:
    """The router as the program `zenohd`. Whoever finds this process killed ends that one too."""

    def __init__(self, config: dict[str, Any], told: dict[str, Any], folder: Path) -> None:
        file = folder / "zenohd.json5"
        write_private(file, json.dumps(config))
        self._process = subprocess.Popen([told["zenohd"], "-c", str(file)], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        self.program = {"pid": self._process.pid, "started": started(self._process.pid)}
        watch = {**told["watch"], "endpoints": config["listen"]["endpoints"][:1]}
        end = time.monotonic() + ZENOHD_SECONDS
        while True:
            try:
                self._session = zenoh.open_client(watch, timeout=0.2)
            except WattleError as error:
                if self.ended() or time.monotonic() > end:
                    self.close()
                    raise Unreachable(f"{told['zenohd']} does not listen: {error}") from None
            else:
                return

    def session(self) -> zenoh.Session:
        """A client's."""
        return self._session

    def ended(self) -> bool:
        """Somebody ended it, or it failed."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Ask it, then make it."""
        if hasattr(self, "_session"):
            self._session.close()
        self._process.terminate()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def listen(told: dict[str, Any], folder: Path) -> tuple[Running, int]:
    """Open everything, on the first port that is free.

    Raises:
        WattleError: nothing can be listened on.
    """
    kind = Zenohd if told["zenohd"] else Own
    waited_for = time.monotonic() + SAME_PORT_SECONDS
    port, tries = told["port"] or random.choice(PORTS), 0  # noqa: S311  not a secret
    while True:
        config = told["config"]
        local = [f"unixsock-stream/{told['socket']}"] if told["socket"] else []
        config["listen"]["endpoints"] = [*local, f"tcp/127.0.0.1:{port}", *told["tls"]]
        try:
            return kind(config, told, folder), port
        except WattleError:
            tries += 1
            if tries > TRIES:
                raise
            if port == told["port"] and time.monotonic() < waited_for:
                time.sleep(0.1)
                tries = 0
            else:
                port = random.choice(PORTS)  # noqa: S311


def wait(router: Running, hub_tokens: list[str], linger: float, ending: threading.Event) -> None:
    """Return when nobody needs the router any more."""
    alive: set[str] = set()
    session = router.session()

    def told(key: str, here: bool) -> None:  # noqa: FBT001
        (alive.add if here else alive.discard)(key)

    for key in hub_tokens:
        session.watch_liveliness(key, told)
    needed = time.monotonic()
    while not ending.wait(min(1.0, linger / 4)) and not router.ended():
        if alive:
            needed = time.monotonic()
        elif time.monotonic() - needed > linger:
            return


def most_files() -> None:
    """Each session takes a file or two."""
    with contextlib.suppress(NameError, ValueError, OSError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def main() -> int:
    """Listen, say so, and stay while somebody needs it."""
    folder = Path(sys.argv[1])
    told = json.loads((folder / "router.json").read_text(encoding="utf-8"))
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    most_files()
    try:
        router, port = listen(told, folder)
    except WattleError as error:
        _say({"error": error.message})
        return 1
    ready = {"pid": os.getpid(), "started": started(os.getpid()), "port": port, "router": told["zenohd"] or "python",
             "program": router.program, "endpoints": told["config"]["listen"]["endpoints"]}  # fmt: skip
    write_private(folder / "ready.json", json.dumps(ready))
    _say(ready)
    wait(router, told["tokens"], told["linger"], ending)
    router.close()
    return 0


def _say(line: dict[str, Any]) -> None:
    """On stdout, which then goes where nobody listens: the coordinator may be gone long before this process."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
