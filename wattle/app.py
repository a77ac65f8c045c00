"""The hallway: from settings to a client of whoever coordinates, or to a coordinator in this process.

Every command passes here, so what is heavy (`wattle.host`: the database, the web server) is imported when a
coordinator must be hosted or a store looked into, and not before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from wattle import succession
from wattle.core.environ import strip_secrets
from wattle.core.errors import Conflict, InvalidRequest, Unreachable, WattleError
from wattle.sdk.client import Client
from wattle.settings import load, prepare_home

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from typing import Any

    from wattle.host import Host
    from wattle.sdk.flow import Flow
    from wattle.sdk.new import New
    from wattle.sdk.services import Services
    from wattle.settings import Settings

LEAVE_WITHIN = 20.0
BUS_STARTS_WITHIN = 10.0
BUS_WITHIN = 3.0
"""Seconds to wait for a bus that is starting, and for one that is there to answer."""


class Connection:
    """A client, and what must be ended when it is no longer needed."""

    def __init__(self, client: Client, host: Host | None = None, thread: threading.Thread | None = None) -> None:
        self.client = client
        self._host = host
        self._thread = thread

    @property
    def foreground(self) -> bool:
        """Whether this process coordinates."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def lasting(self) -> bool:
        """Whether workers outlive this process: they do unless it coordinates, and no supervisor has them."""
        return self._host is None or self._host.supervised

    def close(self, *, hand_over: bool = True) -> None:
        """Let go. A coordinator in this process ends; with `hand_over` its unfinished runs go on in the background."""
        self.client.close()
        if self._host is None or self._thread is None:
            return
        host = self._host
        if self._thread.is_alive() and host.loop is not None:
            with contextlib.suppress(RuntimeError):
                host.loop.call_soon_threadsafe(lambda: host.leave(hand_over=hand_over))
        self._thread.join(LEAVE_WITHIN)


def connect(url: str | None = None, *, token: str | None = None, home: str | None = None) -> Client:
    """A client for a program or a notebook: of the server at `url`, else of this user's coordinator on this machine,
    which is started in the background when there is none.

    `token` belongs to the URL; it goes into a header. `home` is another state root. Runs that are started here get
    this process's folder and environment, stripped of tokens, with the folder of its own Python first on PATH; a
    server behind a URL gives its own. Raises `WattleError`.
    """
    if url is not None:
        from wattle.sdk.url import UrlTransport

        return Client(UrlTransport(url, token))
    found = connection(load({"home": home}, os.environ), "write").client
    found.base_dir = os.getcwd()
    found.environment = environment()
    return found


def flow(name: str, *, params: Mapping[str, Any] | None = None, **keys: Any) -> Flow:
    """A workflow in Python: the saved one of this name, or one that is defined here (`wattle/sdk/flow.py`). `keys` are
    further keys of the document. It belongs to this program's file, or to the notebook that this kernel is of."""
    from wattle.sdk.flow import Flow

    notebook = os.environ.get("JPY_SESSION_NAME", "")
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    source = notebook if notebook.endswith(".ipynb") else os.path.abspath(program) if program else os.getcwd()
    return Flow(name, connect, params=params, source=source, **keys)


def new(name: str = "") -> New:
    """A form for a new workflow, which a notebook shows; `as_cell()` makes a cell of what it has saved."""
    from wattle.sdk.new import New

    return New(connect, name)


def environment() -> dict[str, str]:
    """What the runs get that this program starts: its own environment without tokens, the folder of its own Python
    first on PATH."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    return {**strip_secrets(os.environ), "PATH": path}


class Remote(NamedTuple):
    """A server on whatever machine, and what opens it."""

    url: str
    token: str | None


def remote(url: str | None, environ: Mapping[str, str]) -> Remote | None:
    """The server that is meant instead of this machine's coordinator: by the flag, else by `WATTLE_URL`. A token is
    taken from the environment only, since a process list shows every flag. Raises `InvalidRequest`."""
    url = url or environ.get("WATTLE_URL")
    if not url:
        return None
    token, path = environ.get("WATTLE_TOKEN"), environ.get("WATTLE_TOKEN_FILE")
    if not token and path:
        try:
            with open(path, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"WATTLE_TOKEN_FILE {path} cannot be read: {error}.", "name a readable file") from None
    return Remote(url, token or None)


def connection(settings: Settings, need: str, where: Remote | None = None) -> Connection:
    """A connection that can do what is needed.

    `read`: whoever coordinates, else the store, looked into from here. `write`: whoever coordinates, else a
    background coordinator that is started now. `run`: whoever coordinates, else this process does for a while. With
    `where`, none of this: the server there. Raises `WattleError`.
    """
    if where is not None:
        from wattle.sdk.url import UrlTransport

        return Connection(Client(UrlTransport(where.url, where.token)))
    prepare_home(settings)
    if succession.answers(settings):
        return Connection(succession.client(settings, revive=need != "read"))
    if need == "run":
        return _host_here(settings)
    if need == "write" or succession.is_held(settings):
        return Connection(_bring_up(settings, succession.PASSING_IDLE))
    return _look_up(settings)


def services(settings: Settings) -> Services:
    """What the workers of this user's runs tell and ask one another, with a person's credential; its session is to be
    closed. Raises `WattleError` when there is no bus, or none of this version here."""
    from wattle.bus.handout import STARTING, state_in
    from wattle.bus.zenoh import open_client
    from wattle.sdk.services import Services

    end = time.monotonic() + BUS_STARTS_WITHIN
    while state_in(settings.runtime_dir / "worker.json") == STARTING and time.monotonic() < end:
        time.sleep(0.02)
    return Services(open_client(settings.runtime_dir / "bus" / "connection-kernel.json", timeout=BUS_WITHIN))


def _look_up(settings: Settings) -> Connection:
    from wattle.host import reader
    from wattle.sdk.local import service_transport

    return Connection(Client(service_transport(reader(settings))))


def _host_here(settings: Settings) -> Connection:
    hold = succession.take_or_join(settings, "foreground")
    if hold is None:
        return Connection(succession.client(settings, revive=True))
    try:
        hold.bind()
        start_supervisor_early(settings)
        from wattle.host import Host, explain, serve
        from wattle.sdk.local import LocalTransport
    except BaseException:
        hold.release()
        raise
    host = Host(settings, hold)
    thread = threading.Thread(target=_serve_quietly, args=(serve, host), name="wattle-coordinator", daemon=True)
    thread.start()
    host.started.wait()
    if host.failure is not None or host.service is None or host.loop is None:
        thread.join(LEAVE_WITHIN)
        raise explain(host.failure or Unreachable("The coordinator did not start.", "wattle doctor"))
    here = LocalTransport(host.service, host.loop)
    return Connection(Client(here, lambda: succession.locate_or_start(settings)), host, thread)


def _serve_quietly(serve: Any, host: Host) -> None:
    """A host's failure is told by `Host.failure`, not by a traceback of its thread."""
    with contextlib.suppress(BaseException):
        serve(host)


def start_supervisor_early(settings: Settings) -> None:
    """Its interpreter starts beside our imports, where there is to be one."""
    if not succession.supervised(settings):
        return
    from wattle.runtime.supervisor.launch import launch_supervisor

    launch_supervisor(settings.runtime_dir)


def _bring_up(settings: Settings, idle: float | None) -> Client:
    if succession.is_held(settings):
        return succession.wait_for_coordinator(settings)
    return succession.wait_for_coordinator(settings, succession.spawn_background(settings, idle))


def bring_up(settings: Settings) -> Client:
    """A background coordinator that stays: the one that runs, or a new one. A foreground one hands over to it."""
    prepare_home(settings)
    if succession.answers(settings):
        client = succession.client(settings)
        health = client.ask("get_health")
        if health["rank"] != "foreground":
            return client
        if health["unfinished_runs"] and not succession.supervised(settings):
            raise Conflict("The foreground run stays: its workers would end with it.", "wait for it, or stop it")
        return _wait_for_epoch(settings, health["epoch"], succession.spawn_background(settings, None))
    return _bring_up(settings, None)


def _wait_for_epoch(settings: Settings, before: int, successor: subprocess.Popen[bytes]) -> Client:
    for _ in range(int(succession.PATIENCE / succession.PAUSE)):
        with contextlib.suppress(Unreachable):
            client = succession.wait_for_coordinator(settings)
            if client.ask("get_health")["epoch"] > before:
                return client
        if successor.poll() not in {None, 0}:
            raise Conflict("The foreground run does not hand over.", f"read {settings.home / 'coordinator.log'}")
        time.sleep(succession.PAUSE)
    raise Unreachable("The foreground run did not hand over.", "wattle doctor")


def bring_down(settings: Settings, *, force: bool = False, stop_runs: bool = False) -> str:
    """End whoever coordinates; returns a sentence. Workers run on unless `stop_runs`."""
    prepare_home(settings)
    if force:
        return succession.end_by_force(settings)
    if not succession.answers(settings):
        if succession.is_held(settings):
            raise succession.hangs(settings)
        if not stop_runs or not _unfinished(settings):
            return "Nobody coordinates here."
        _bring_up(settings, succession.PASSING_IDLE).close()
    with succession.client(settings) as client:
        message: str = client.ask("hand_over", stop_runs=stop_runs)["message"]
    for _ in range(int(succession.PATIENCE / succession.PAUSE)):
        if not succession.is_held(settings):
            break
        time.sleep(succession.PAUSE)
    return message


def _unfinished(settings: Settings) -> int:
    """How many runs rest without a coordinator; their workers may be alive."""
    if not settings.database_exists():
        return 0
    with _look_up(settings).client as client:
        return int(client.ask("get_health")["unfinished_runs"])


def serve_background(settings: Settings, idle: float | None = None) -> int:
    """Coordinate in this process until told to leave: what `wattle up` starts. Returns the exit code."""
    prepare_home(settings)
    hold = succession.take_or_join(settings, "background")
    if hold is None:
        return 0
    try:
        hold.bind()
        start_supervisor_early(settings)
        from wattle.host import Host, serve
    except BaseException:
        hold.release()
        raise
    host = Host(settings, hold, idle=idle)

    def leave(_signal: int, _frame: object) -> None:
        if host.loop is not None:
            host.loop.call_soon_threadsafe(host.leave_to_supervisor)

    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), leave)
    serve(host)
    return 0


def doctor(settings: Settings) -> list[dict[str, Any]]:
    """What is well and what is not: `{name, ok, detail, hint}` per look."""
    from wattle.doctor import examine

    try:
        prepare_home(settings)
    except WattleError as error:
        return [{"name": "state root", "ok": False, "detail": error.message, "hint": error.hint}]
    return examine(settings)
