"""Who coordinates: one coordinator per state root, by an OS lock, with a rank and a way to give it over.

    server (3)  >  background (2)  >  foreground (1)

* The holder has an exclusive lock on `<home>/lock` for as long as it lives; the kernel releases it with the
  process, so a crash never leaves a lock behind. `<home>/holder.json` says who it is.
* A newcomer of a higher rank asks the holder, over the private door, to hand over. One of the same or a lower rank
  becomes a client.
* A holder that hangs is never pre-empted: `wattle down --force` ends it, by its verified identity.
* A state root held on another host is refused, naming the host.
* Who leaves in good order with unfinished runs starts a background coordinator; should that fail, and whenever the
  holder dies, the supervisor starts one.
* Where there are no Unix sockets, or when it is asked for, the private door is a port of 127.0.0.1 that opens to a
  token only; both stand in `coordinator.door`. Newcomers go to the door that they find.

Light on purpose: every command passes here, so nothing heavier than the client is imported.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from wattle.core.errors import Conflict, StorageError, Unreachable
from wattle.sdk.client import Client
from wattle.sdk.transports import LoopbackTransport, UnixTransport, read_door

try:
    import fcntl
except ImportError:
    HAS_FLOCK = False
else:
    HAS_FLOCK = True

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Self

    from wattle.settings import Settings

RANKS = {"foreground": 1, "background": 2, "server": 3}
PATIENCE = 15.0
"""Seconds to wait for a coordinator that is starting or handing over."""
PAUSE = 0.02
PASSING_IDLE = 300.0
"""Seconds without runs after which a background coordinator that nobody asked for (`wattle up`) ends."""
SOCKET = "coordinator.sock"
DOOR = "coordinator.door"
HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX")
TRIES = 5
"""How often something is tried that another process may be in the way of for a moment, on Windows only."""
UNSUPERVISED = ("no supervisor: workers belong to the coordinator and end with it; what ran when it was killed is "
                "lost, and nobody starts the next one")  # fmt: skip
"""What cannot be promised without a supervisor."""


DETACHED = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""Windows' words for a process without this console; elsewhere a new session says it."""


class Held(Exception):
    """Somebody else coordinates this state root."""


def socket_path(settings: Settings) -> str:
    """The private door of whoever coordinates."""
    return str(settings.runtime_dir / SOCKET)


def door_path(settings: Settings) -> str:
    """The file that tells port and token of a private door without a socket; it is there only while there is one."""
    return str(settings.runtime_dir / DOOR)


def supervised(settings: Settings) -> bool:
    """Whether workers belong to a supervisor, which outlives the coordinator."""
    return settings.supervisor == "auto" and HAS_UNIX_SOCKETS and hasattr(os, "posix_spawn")


# ---- the lock -------------------------------------------------------------------------------------------------


def _lock(descriptor: int, *, probe: bool = False) -> bool:
    """Lock a file without waiting; a probe does not disturb other probes. False when somebody else has it. Raises
    OSError where nothing can be locked. Closing the descriptor, or the end of the process, lets go of it."""
    try:
        if HAS_FLOCK:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if probe else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            windows = importlib.import_module("msvcrt")
            windows.locking(descriptor, windows.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def _is_locked(descriptor: int) -> bool:
    """Whether somebody else has the lock. Windows knows no shared locks, so a probe may meet another one there."""
    for left in reversed(range(1 if HAS_FLOCK else TRIES)):
        if _lock(descriptor, probe=True):
            return False
        if left:
            time.sleep(PAUSE)
    return True


def _write_private(path: Path, told: dict[str, Any]) -> None:
    """A file that only its owner can read, there as a whole or not at all."""
    draft = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(told, file)
    for left in reversed(range(TRIES)):
        try:
            os.replace(draft, path)
        except PermissionError:
            if not left:
                raise
            time.sleep(PAUSE)  # Windows replaces nothing while somebody reads it
        else:
            return


class Hold:
    """The right to coordinate one state root, and the bound socket of its private door. `token` opens a door that is
    a port; a Unix socket has none."""

    def __init__(self, settings: Settings, rank: str, lock: int) -> None:
        self.settings = settings
        self.rank = rank
        self._lock = lock
        self.listener: socket.socket | None = None
        self.token: str | None = None

    @classmethod
    def take(cls, settings: Settings, rank: str) -> Self:
        """Take the lock without waiting. Raises `Held`, and `Conflict` when another host holds the state root."""
        descriptor = os.open(settings.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            mine = _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"The state root {settings.home} cannot be locked: {error.strerror}.",
                               "put it on a local disk with --home") from None  # fmt: skip
        if not mine:
            os.close(descriptor)
            raise Held
        hold = cls(settings, rank, descriptor)
        if not hold.genuine():
            hold.release()
            raise Held
        try:
            _refuse_other_host(settings)
        except Conflict:
            hold.release(forget=False)
            raise
        hold._announce()
        return hold

    def genuine(self) -> bool:
        """Whether the lock is still the state root's: it is not when that was deleted or made anew."""
        try:
            now = os.stat(self.settings.home / "lock")
        except OSError:
            return False
        if os.name == "nt":
            return True  # what is open cannot be removed there, and files have no number that can be relied on
        mine = os.fstat(self._lock)
        return (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)

    def bind(self) -> socket.socket:
        """Bind the private door: clients queue from now on. Only the holder may, so what lies there is stale."""
        self._forget_doors()
        loopback = not HAS_UNIX_SOCKETS or self.settings.door == "tcp"
        try:
            self.listener = self._bind_port() if loopback else _bind_socket(socket_path(self.settings))
        except OSError as error:
            where = door_path(self.settings) if loopback else socket_path(self.settings)
            raise StorageError(f"The private door {where} cannot be made: {error.strerror or error}.",
                               "choose a shorter or writable state root with --home") from None  # fmt: skip
        return self.listener

    def _bind_port(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
            if exclusive is not None:
                listener.setsockopt(socket.SOL_SOCKET, exclusive, 1)
            listener.bind(("127.0.0.1", 0))
            listener.listen(256)
            listener.setblocking(False)
            self.token = os.urandom(32).hex()
            _write_private(self.settings.runtime_dir / DOOR, {"port": listener.getsockname()[1], "token": self.token})
        except BaseException:
            listener.close()
            raise
        return listener

    def _forget_doors(self) -> None:
        for path in (socket_path(self.settings), door_path(self.settings)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def release(self, *, forget: bool = True) -> None:
        """Let go of the lock; `forget` also removes what says who held it."""
        if self._lock < 0:
            return
        if forget and self.genuine():
            with contextlib.suppress(OSError):
                os.unlink(self.settings.home / "holder.json")
            with contextlib.suppress(OSError):
                self._forget_doors()
        if self.listener is not None:
            self.listener.close()
        os.close(self._lock)
        self._lock = -1

    def _announce(self) -> None:
        told = {"rank": self.rank, "pid": os.getpid(), "ticks": start_ticks(os.getpid()), "host": host_name(),
                "boot": boot_id(), "since": time.time()}  # fmt: skip
        _write_private(self.settings.home / "holder.json", told)


def _bind_socket(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(256)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def holder(settings: Settings) -> dict[str, Any] | None:
    """Who holds the state root, as `holder.json` says; None when nobody says so."""
    try:
        told = json.loads((settings.home / "holder.json").read_text())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _refuse_other_host(settings: Settings) -> None:
    told = holder(settings)
    if told and told.get("host") not in {None, host_name()}:
        raise Conflict(
            f"The state root {settings.home} is held by a coordinator on the host {told['host']}.",
            f"work there, or choose another one with --home; if {told['host']} is gone for good, "
            f"remove {settings.home / 'holder.json'}",
            code="held-elsewhere",
        )


# ---- newcomers ------------------------------------------------------------------------------------------------


def take_or_join(settings: Settings, rank: str, patience: float = PATIENCE) -> Hold | None:
    """The lock, asking a lower-ranked holder to hand over; None when a holder of the same or a higher rank
    answers. Raises `Unreachable` when a holder neither answers nor lets go, and `Conflict` when it cannot let go."""
    deadline = time.monotonic() + patience
    asked = False
    while True:
        with contextlib.suppress(Held):
            return Hold.take(settings, rank)
        told = holder(settings) or {}
        if RANKS.get(str(told.get("rank")), 0) >= RANKS[rank]:
            if answers(settings):
                return None
        elif not asked:
            with contextlib.suppress(Unreachable):
                Client(transport(settings)).ask("hand_over", rank=rank)
                asked = True
        if time.monotonic() > deadline:
            raise hangs(settings)
        time.sleep(PAUSE)


def answers(settings: Settings) -> bool:
    """Whether a coordinator accepts connections at the private door."""
    try:
        port, _ = read_door(door_path(settings))
    except OSError:
        if not HAS_UNIX_SOCKETS:
            return False
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: Any = socket_path(settings)
    else:
        if not is_held(settings):
            return False  # its holder was killed, and the port may be anybody's by now
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        address = ("127.0.0.1", port)
    with probe:
        probe.settimeout(2.0)
        with contextlib.suppress(OSError):
            probe.connect(address)
            return True
    return False


def transport(settings: Settings) -> UnixTransport | LoopbackTransport:
    """The way through the private door that is there. Raises `Unreachable` when it is known that there is none."""
    path = door_path(settings)
    if HAS_UNIX_SOCKETS and not os.path.exists(path):
        return UnixTransport(socket_path(settings))
    return LoopbackTransport(path)


def is_held(settings: Settings) -> bool:
    """Whether anybody has the lock."""
    try:
        descriptor = os.open(settings.home / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        return _is_locked(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def locate(settings: Settings) -> UnixTransport | LoopbackTransport:
    """The way to the coordinator that answers. Raises `Unreachable` when there is none."""
    if not answers(settings):
        raise Unreachable(f"No coordinator answers for {settings.home}.", "wattle up")
    return transport(settings)


def client(settings: Settings, *, revive: bool = False) -> Client:
    """A client of whoever coordinates, now and after every succession. With `revive` it starts a background
    coordinator when there is none any more. Raises `Unreachable`."""
    again = (lambda: locate_or_start(settings)) if revive and settings.on_exit == "resume" else lambda: locate(settings)
    return Client(locate(settings), again)


def locate_or_start(settings: Settings) -> UnixTransport | LoopbackTransport:
    """As `locate`; where nobody holds the state root, a background coordinator is started. Raises `Unreachable`."""
    if not answers(settings) and not is_held(settings):
        spawn_background(settings, PASSING_IDLE)
        wait_for_coordinator(settings)
    return locate(settings)


def wait_for_coordinator(settings: Settings, process: subprocess.Popen[bytes] | None = None) -> Client:
    """A client as soon as a coordinator answers. Raises `Unreachable` with the starter's last words."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(Unreachable):
            return client(settings)
        ended = process is not None and process.poll() not in {None, 0}
        if ended and not is_held(settings):
            raise Unreachable(f"The coordinator did not start: {last_words(settings)}", "wattle doctor")
        if time.monotonic() > deadline:
            raise hangs(settings)
        time.sleep(PAUSE)


def hangs(settings: Settings) -> Unreachable:
    """The error for a holder that neither answers nor lets go."""
    told = holder(settings) or {}
    who = f"process {told['pid']}" if "pid" in told else "somebody"
    return Unreachable(f"The state root {settings.home} is held by {who}, which does not answer.",
                       "if it hangs, end it: wattle down --force", code="no-answer")  # fmt: skip


# ---- starting and ending the background one -------------------------------------------------------------------


def background_command(settings: Settings, idle: float | None) -> list[str]:
    """The command that runs a background coordinator of this state root."""
    words = [sys.executable, "-m", "wattle", "--home", str(settings.home), "coordinator"]
    if settings.config is not None:
        words[3:3] = ["--config", str(settings.config)]
    return words if idle is None else [*words, "--idle", f"{idle:g}"]


def spawn_background(settings: Settings, idle: float | None) -> subprocess.Popen[bytes]:
    """Start a background coordinator, detached from this terminal and session. Whoever starts it from a kernel or a
    server may live longer than it does: a thread waits, so that its end leaves no zombie."""
    log = os.open(settings.home / "coordinator.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            background_command(settings, idle), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            start_new_session=True, env=background_environment(), creationflags=DETACHED,
        )  # fmt: skip
    finally:
        os.close(log)
    threading.Thread(target=process.wait, name="wattle-background", daemon=True).start()
    return process


def background_environment() -> dict[str, str]:
    """The environment of a background coordinator: this process's, with Wattle's own package importable."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    variables = {name: value for name, value in os.environ.items() if name != "WATTLE_FAILPOINT"}
    variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([package, *filter(None, [variables.get("PYTHONPATH")])]))
    return variables


def last_words(settings: Settings) -> str:
    """The last line that a background coordinator wrote."""
    try:
        lines = (settings.home / "coordinator.log").read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def end_by_force(settings: Settings) -> str:
    """Kill the holder, if it is the very process that took the lock. Returns a sentence."""
    told = holder(settings)
    if told is None or not is_held(settings):
        return "Nobody coordinates here."
    if told.get("host") != host_name() or told.get("boot") != boot_id():
        raise Conflict(f"The holder runs on {told.get('host')}, not here.", "end it there", code="held-elsewhere")
    pid = int(told["pid"])
    if start_ticks(pid) != told.get("ticks"):
        raise Conflict(f"Process {pid} is not the one that took the lock, so it is left alone.",
                       "wattle doctor", code="not-the-holder")  # fmt: skip
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    after = "Its workers run on." if supervised(settings) else "What it ran is lost."
    return f"Ended the coordinator (process {pid}) by force. {after}"


# ---- facts about this machine ---------------------------------------------------------------------------------


def host_name() -> str:
    """This host's name."""
    return socket.gethostname()


def boot_id() -> str:
    """What tells this boot from any other; empty where the system has no such thing."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the boot id and the pid its identity. 0 if unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
