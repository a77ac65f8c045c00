"""The router's life, seen from the coordinator: found and used again, or started; restarted when it dies; ended.

    FOLDER/  router.json  users  ready.json  connection-{coordinator,kernel,worker}.json        0700, files 0600

Laws: nothing here delays or breaks the coordinator: whatever goes wrong becomes one sentence in `state`. A new router
has new credentials; one that is started in place of one that died has the same ones, and the same port, so that
sessions resume. A process is ended only when it is provably the one that was started.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wattle.bus import zenoh
from wattle.bus.access import router_config
from wattle.bus.connection import ROLES, Connection, read_connection
from wattle.bus.identity import is_process
from wattle.bus.keys import Keys
from wattle.bus.private import write_private
from wattle.bus.tls import Tls
from wattle.core.errors import Unreachable, WattleError

log = logging.getLogger("wattle.bus")

PROGRAM = Path(__file__).with_name("router.py")
HAS_UNIX_SOCKETS = os.name != "nt"
READY_SECONDS = 20.0
ENDING_SECONDS = 4.0
LOOK_SECONDS = 0.25
"""How often a router that somebody else started is looked for."""
PATIENCE = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before each further start of a router that does not come up, or not for long."""
LONG_LIFE_SECONDS = 3.0
KILLED = 3
"""How far patience goes with routers that did come up: somebody is killing them."""
LONGEST_PATH = 100


class RouterProcess:
    """The router of one runtime directory. `socket` is the path of its Unix socket; `tls` opens it to other hosts;
    `linger` is how long it stays without anybody, seconds. `moved` is called when it had to take another port."""

    def __init__(self, folder: Path, hub: str, *, socket: Path | None = None, tls: Tls | None = None,
                 linger: float = 60.0, python: str = sys.executable, zenohd: str | None = None,
                 moved: Callable[[], None] = lambda: None) -> None:  # fmt: skip
        self.folder = folder
        self.state = "The bus has not been started."
        """One sentence about the router."""
        self.up = False
        self.ready: dict[str, Any] = {}
        """What the router said: pid, started, port, endpoints, router."""
        self.restarts = 0
        self._hub = hub
        self._socket = socket if socket and HAS_UNIX_SOCKETS and len(os.fsencode(socket)) < LONGEST_PATH else None
        self._tls = tls
        self._linger = linger
        self._python = python
        self._zenohd = zenohd
        self._moved = moved
        self._work: asyncio.Future[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._gone = asyncio.Event()
        self._stopping = threading.Event()
        self._keeping: asyncio.Task[None] | None = None

    def connection(self, role: str) -> Path:
        """The credentials file of a role on this machine."""
        return self.folder / f"connection-{role}.json"

    def exported(self, role: str) -> dict[str, Any]:
        """The connection of a role for another machine, as JSON for a 0600 file there. Blocks.

        Raises:
            Unreachable: the router is not open to other machines.
        """
        if self._tls is None or not self.up:
            raise Unreachable("The bus is not open to other machines.", "give it a certificate and a TLS endpoint")
        here = read_connection(self.connection(role))
        return here._replace(endpoints=(self._tls.endpoint,), ca=Path(self._tls.ca).read_text("ascii")).to_dict()

    async def start(self) -> bool:
        """Find or start the router, and look after it from then on. False: there is none, and `state` says why."""
        loop = asyncio.get_running_loop()
        try:
            await self._done(self._begin)
        except Exception as error:  # noqa: BLE001  the coordinator goes on without a bus
            self._failed(error)
            if zenoh.why_missing():
                return False
        else:
            self._watch(loop)
        self._keeping = asyncio.create_task(self._keep(loop))
        return self.up

    async def stop(self, *, end: bool) -> None:
        """Let go of the router, or end it."""
        self._stopping.set()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
            self._keeping = None
        if self._work is not None:
            await asyncio.wait({self._work})
        if end and self.ready:
            await asyncio.to_thread(end_process, self.ready)
        self.up = False
        self.state = "The bus has ended." if end else "The bus goes on without this coordinator for a while."

    async def _done(self, work: Callable[[], None]) -> None:
        """Do it in a thread, to its end: a start that nobody waits for any more must not leave a router behind."""
        self._work = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.shield(self._work)

    # ---- in threads -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Use the router that is there, or start one with new credentials."""
        zenoh.require()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        zenohd = self._zenohd if self._zenohd is not None else find_zenohd()
        fingerprint = self._fingerprint(zenohd)
        known = _load(self.folder / "router.json")
        self.ready = _load(self.folder / "ready.json")
        if known.get("fingerprint") == fingerprint and self._reachable():
            self._told("found again")
            return
        if self.ready:
            end_process(self.ready)
            self.ready = {}
        self._provision(fingerprint, zenohd)
        self._spawn()

    def _fingerprint(self, zenohd: str) -> str:
        """The same when a router that runs does what would be asked of a new one."""
        config = router_config(self._hub, {role: role for role in ROLES}, "", "", "", [], None)
        asked = [config, str(self._socket), self._tls and self._tls._asdict(), zenohd, version(), self._linger]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def _reachable(self) -> bool:
        """The router of `ready.json` answers to the coordinator's credential: nobody else could."""
        try:
            with zenoh.open_client(self.connection("coordinator"), timeout=0.0):
                return is_process(self.ready.get("pid", 0), self.ready.get("started", ""))
        except WattleError:
            return False

    def _provision(self, fingerprint: str, zenohd: str) -> None:
        """New credentials, and what the router is to do."""
        passwords = {user: secrets.token_hex(32) for user in ("router", *ROLES)}
        users = self.folder / "users"
        write_private(users, "".join(f"{user}:{password}\n" for user, password in passwords.items()))
        tls = None if self._tls is None else {"certificate": self._tls.certificate, "key": self._tls.key}
        roles = {role: role for role in ROLES}
        config = router_config(self._hub, roles, "router", passwords["router"], str(users), [], tls)
        keys = Keys(self._hub)
        watch = Connection(self._hub, ("tcp/127.0.0.1:1",), "coordinator", passwords["coordinator"], "coordinator")
        asked = {
            "config": config, "socket": str(self._socket or ""), "port": 0, "zenohd": zenohd, "linger": self._linger,
            "tls": [] if self._tls is None else [self._tls.listen], "watch": watch.to_dict(),
            "tokens": [keys.coordinator(), keys.worker(None, None, None)], "fingerprint": fingerprint,
        }  # fmt: skip
        write_private(self.folder / "router.json", json.dumps(asked))

    def _spawn(self) -> None:
        """Start the program and wait until it listens. Raises Unreachable."""
        if self.ready:
            end_process(self.ready.get("program") or {})  # what a killed guardian has left
        (self.folder / "ready.json").unlink(missing_ok=True)
        with open(self.folder / "router.log", "wb") as errors:
            process = subprocess.Popen([self._python, "-P", str(PROGRAM), str(self.folder)], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=errors, cwd=self.folder,
                                       start_new_session=True)  # fmt: skip
        self._child = process
        assert process.stdout is not None
        with process.stdout:
            line = _first_line(process.stdout.fileno(), READY_SECONDS)
        threading.Thread(target=process.wait, name="wattle-bus-router", daemon=True).start()  # no zombie is left
        told = json.loads(line) if line else {}
        if "port" not in told:
            process.kill()
            process.wait()
            raise Unreachable(told.get("error") or self._last_words())
        before, self.ready = self.ready, told
        self._connections(told["endpoints"])
        self._told("started" if not before else "started again")

    def _connections(self, endpoints: list[str]) -> None:
        """A file for each role, and the port that a later router is to take."""
        passwords = dict(line.split(":", 1) for line in (self.folder / "users").read_text("ascii").splitlines())
        local = tuple(endpoint for endpoint in endpoints if not endpoint.startswith("tls/"))
        for role in ROLES:
            connection = Connection(self._hub, local, role, passwords[role], role)
            write_private(self.connection(role), json.dumps(connection.to_dict()))
        asked = _load(self.folder / "router.json")
        write_private(self.folder / "router.json", json.dumps({**asked, "port": self.ready["port"]}))

    def _last_words(self) -> str:
        try:
            words = (self.folder / "router.log").read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            words = []
        return words[-1] if words else "it said nothing"

    def _told(self, how: str) -> None:
        self.up = True
        program = "Wattle's own" if self.ready["router"] == "python" else self.ready["router"]
        self.state = f"The bus is up at {self.ready['endpoints'][0]}: {program} router, pid {self.ready['pid']}, {how}."

    def _failed(self, error: BaseException) -> None:
        self.up = False
        message = error.message if isinstance(error, WattleError) else f"{type(error).__name__}: {error}"
        self.state = f"There is no bus, and nothing else is lost: {message}"
        log.warning("%s", self.state)

    # ---- looking after it -------------------------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear of the router's end, whoever started it."""
        self._gone.clear()
        pid, start, child = self.ready["pid"], self.ready["started"], self._child

        def look() -> None:
            if child is not None:
                child.wait()
            while is_process(pid, start):
                if self._stopping.wait(LOOK_SECONDS):
                    return
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._gone.set)

        threading.Thread(target=look, name="wattle-bus-watch", daemon=True).start()

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start it again whenever it has gone."""
        failures = 0 if self.up else 1
        while True:
            begun = loop.time()
            if self.up:
                await self._gone.wait()
                self.up = False
                self.state = "The bus died and is being started again."
                failures = 0 if loop.time() - begun > LONG_LIFE_SECONDS else min(failures + 1, KILLED)
            await asyncio.sleep(PATIENCE[min(failures, len(PATIENCE)) - 1] if failures else 0.0)
            port = self.ready.get("port")
            try:
                await self._done(self._spawn if port else self._begin)
            except Exception as error:  # noqa: BLE001  the coordinator goes on without a bus
                self._failed(error)
                failures += 1
                continue
            self.restarts += 1
            self._watch(loop)
            if port and self.ready["port"] != port:
                self._moved()


def find_zenohd() -> str:
    """The path of a `zenohd` whose minor version is that of the library here; empty when there is none."""
    path = shutil.which("zenohd")
    if path is None:
        return ""
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=5.0).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"\bv?(\d+\.\d+)\.\d+", told)
    return path if found is not None and found[1] == ".".join(version().split(".")[:2]) else ""


def version() -> str:
    """Of the library here; empty when there is none. Not where the library is imported: finding out takes longer than
    that does, and workers need not know."""
    try:
        return importlib.metadata.version("eclipse-zenoh")
    except importlib.metadata.PackageNotFoundError:
        return ""


def end_process(ready: Mapping[str, Any]) -> None:
    """End the router that said this, and the program behind it, if it is still the very process. Blocks."""
    pid, start = ready.get("pid", 0), ready.get("started", "")
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if not is_process(pid, start):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + ENDING_SECONDS
        while is_process(pid, start) and time.monotonic() < end:
            time.sleep(0.02)
    if ready.get("program"):
        end_process(ready["program"])


def _load(path: Path) -> dict[str, Any]:
    """A file of ours; empty when there is none, or none that makes sense."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _first_line(handle: int, limit: float) -> bytes:
    """What a process says first, within a time."""
    said, end = b"", time.monotonic() + limit
    while b"\n" not in said:
        if not select.select([handle], [], [], max(end - time.monotonic(), 0.0))[0]:
            return b""
        piece = os.read(handle, 65_536)
        if not piece:
            return said
        said += piece
    return said
