"""A coordinator with its rooms in one process: the file that names the concrete classes.

Order of a start: the lock is held and the socket is bound before this module is imported; the supervisor is starting
beside our imports; the store opens; unfinished runs are recovered; then the service answers, and the door after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from wattle import __version__
from wattle.coordinator import views
from wattle.coordinator.coordinator import Coordinator
from wattle.coordinator.measures import take
from wattle.coordinator.recovery import recover
from wattle.coordinator.service import Service
from wattle.core.document import parse
from wattle.core.environ import strip_secrets
from wattle.core.errors import Conflict, StorageError, WattleError
from wattle.core.replies import Health
from wattle.core.requests import Format, HandOver
from wattle.hostbus import HostBus
from wattle.runtime.environment import read_base, write_base
from wattle.runtime.inprocess import InProcessExecutor
from wattle.runtime.local import LocalExecutor
from wattle.runtime.logs import FileLogs
from wattle.settings import log_root
from wattle.storage.backups import keep_one
from wattle.storage.store import open_store
from wattle.succession import (
    PASSING_IDLE,
    RANKS,
    UNSUPERVISED,
    background_command,
    background_environment,
    spawn_background,
    supervised,
)  # fmt: skip
from wattle.web.audit import Audit

if TYPE_CHECKING:
    from wattle.core.measures import Measures
    from wattle.hostlive import HostLive
    from wattle.settings import Settings
    from wattle.storage.store import SqlStore
    from wattle.succession import Hold
    from wattle.web.door import PrivateDoor

STARTING = "starting"
WATCH_SECONDS = 2.0
BACKUP_LOOK_SECONDS = 60.0
DOOR_DELAY = 0.25
"""A foreground run opens its door a little after its first workers: importing the web server costs as much time as
starting a hundred of them."""


class SystemClock:
    """The one clock of the house."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


class Host:
    """Runs a coordinator until it is asked to leave. `idle`: end after so many seconds without runs."""

    def __init__(self, settings: Settings, hold: Hold, *, idle: float | None = None) -> None:
        self.settings = settings
        self.hold = hold
        self.idle = idle
        self.service: Service | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.started = threading.Event()
        self.failure: BaseException | None = None
        self.handed_over = False
        self._started_at = time.time()
        self._epoch = 0
        self._leave = asyncio.Event()
        self._goodbye = True
        self._spawn = False
        self._down = False
        self._state = STARTING
        self.supervised = supervised(settings)
        self._executor: LocalExecutor | InProcessExecutor | None = None
        self._coordinator: Coordinator | None = None
        self._audit = Audit(str(settings.home / "audit.log"), SystemClock().now)
        self._bus = HostBus(settings, self._audit)
        self._live: HostLive | None = None

    async def run(self) -> None:
        """Host until the end; the lock is released in any case. Raises WattleError when it cannot begin."""
        self.loop = asyncio.get_running_loop()
        store: SqlStore | None = None
        coordinator: Coordinator | None = None
        door: PrivateDoor | None = None
        try:
            store = await asyncio.to_thread(open_store, self.settings.database)
            coordinator = await self._begin(store)
            self.started.set()
            self._bus.start(coordinator, self._answering(), patient=self.hold.rank == "foreground")
            watch = asyncio.create_task(self._watch(coordinator, store))
            door = await self._open_door()
            await self._leave.wait()
            watch.cancel()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.started.set()
            await self._end(store, coordinator, door)

    async def _begin(self, store: SqlStore) -> Coordinator:
        self._epoch = await asyncio.to_thread(store.new_epoch)
        kind = LocalExecutor if self.supervised else InProcessExecutor
        self._executor = kind(
            self.settings.runtime_dir, restart=background_command(self.settings, PASSING_IDLE),
            restart_environment=background_environment(), on_exit=self.settings.on_exit,
            on_state=self._note,
        )  # fmt: skip
        root = str(log_root(self.settings))
        coordinator = Coordinator(
            store, self._executor, SystemClock(), totals=totals(self.settings), log_root=root,
            environments=(write_base, read_base), failpoint=failpoint_from(os.environ),
        )  # fmt: skip
        self._coordinator = coordinator
        coordinator.connection = str(self._bus.file)
        await recover(coordinator, self._epoch, self._note)
        self._state = "well" if self._state == STARTING else self._state
        self.service = Service(
            store, FileLogs(), log_root=root, coordinator=coordinator, health=lambda: self._health(coordinator),
            hand_over=self._hand_over, glob=list_files, default_folder=self._default_folder,
            environment=strip_secrets(dict(os.environ)),
        )  # fmt: skip
        return coordinator

    async def _open_door(self) -> PrivateDoor | None:
        if self.hold.rank == "foreground":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leave.wait(), DOOR_DELAY)
                return None
        from wattle.hostlive import HostLive
        from wattle.web.door import PrivateDoor

        assert self.hold.listener is not None
        self._live = HostLive(self._bus, self._answering())
        return PrivateDoor(self.hold.listener, lambda: self.service, self.hold.token, measures=self.measures,
                           live=lambda: self._live, audit=self._audit)  # fmt: skip

    def _answering(self) -> Service:
        assert self.service is not None
        return self.service

    async def _end(self, store: SqlStore | None, coordinator: Coordinator | None, door: PrivateDoor | None) -> None:
        unfinished = len(coordinator.runs) if coordinator else 0
        if coordinator is not None:
            await coordinator.stop()
        if self._executor is not None:
            goodbye = self._goodbye or unfinished == 0
            await self._executor.close(goodbye=goodbye)
        if door is not None:
            if self._live is not None:
                self._live.let_go()
            await door.close()
        await self._bus.stop(end=self._down and not unfinished, unfinished=bool(unfinished))
        if store is not None:
            await asyncio.to_thread(store.close)
        self.hold.release()
        if self._spawn and unfinished:
            spawn_background(self.settings, PASSING_IDLE)

    @property
    def unfinished(self) -> int:
        """How many runs are unfinished."""
        return len(self._coordinator.runs) if self._coordinator is not None else 0

    def measures(self) -> Measures | None:
        """The coordinator's own numbers, once there is one."""
        if self._coordinator is None or self.service is None:
            return None
        return take(self._coordinator, self.service.edges.followers)

    # ---- leaving --------------------------------------------------------------------------------------------

    def leave(self, *, hand_over: bool) -> None:
        """End soon. With `hand_over`, unfinished runs go on in a background coordinator; without, they rest until
        the next coordinator. Call it on the host's loop."""
        self._spawn = hand_over
        self._goodbye = not hand_over
        self._leave.set()

    def leave_to_supervisor(self) -> None:
        """End soon, without a goodbye: if runs are unfinished, the supervisor starts the next coordinator."""
        self._goodbye = False
        self._leave.set()

    def _hand_over(self, request: HandOver) -> str:
        if request.rank is None:
            self._down = True
            self.leave(hand_over=False)
            told = "Workers run on; runs" if self.supervised else "Workers that still run end with it; runs"
            return f"The coordinator ends. {told} go on with the next one."
        if RANKS[request.rank] <= RANKS[self.hold.rank]:
            return f"This {self.hold.rank} coordinator stays."
        if not self.supervised and self.unfinished:
            raise Conflict(f"This {self.hold.rank} coordinator stays: its workers would end with it.",
                           "wait for its runs, or stop them", code="workers-inside")  # fmt: skip
        self.handed_over = True
        self._spawn, self._goodbye = False, False
        self._leave.set()
        return f"This {self.hold.rank} coordinator hands over."

    async def _watch(self, coordinator: Coordinator, store: SqlStore) -> None:
        """End when the state root is deleted or made anew, and when there has been nothing to do for `idle`."""
        busy_at = copied_at = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self.hold.genuine():
                self._note("the state root was deleted or made anew: nothing more is written")
                os._exit(70) if self.hold.rank == "background" else self._leave.set()
            if coordinator.runs or coordinator.lock.locked():
                busy_at = time.monotonic()
            if self.hold.rank != "foreground" and time.monotonic() > copied_at + BACKUP_LOOK_SECONDS:
                copied_at = time.monotonic()
                await asyncio.to_thread(self._keep_a_copy, store)
            if self.idle is not None and time.monotonic() - busy_at > self.idle:
                self._leave.set()

    def _keep_a_copy(self, store: SqlStore) -> None:
        """Of the database, now and then. A copy that fails is no reason to do anything else otherwise."""
        path = self.settings.database_path
        if path is not None:
            with contextlib.suppress(StorageError, OSError):
                keep_one(store, path, time.time())

    # ---- facts ----------------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._state = text

    def _default_folder(self, name: str) -> str:
        return str(self.settings.home / "work" / name)

    def _health(self, coordinator: Coordinator) -> Health:
        return Health(
            version=__version__, store_id=coordinator.store.store_id, home=str(self.settings.home),
            rank=self.hold.rank, pid=os.getpid(), epoch=self._epoch, started_at=self._started_at,
            ready=coordinator.ready and not coordinator.trouble,
            supervisor_pid=self._executor.supervisor_pid if self._executor else None,
            supervisor_state=coordinator.trouble or (self._state if self.supervised else UNSUPERVISED),
            unfinished_runs=len(coordinator.runs),
            running_workers=sum(live.run.in_flight for live in coordinator.runs.values()),
            loop_lag_ms=round(coordinator.lag * 1000, 3), bus=self._bus.state, settings=self.settings.described(),
        )  # fmt: skip


def reader(settings: Settings) -> Service:
    """A service that looks things up in a store that nobody drives. Raises StorageError."""
    existing = settings.database_exists()
    store = open_store(settings.database, read_only=existing)

    def health() -> Health:
        return Health(
            version=__version__, store_id=store.store_id, home=str(settings.home), rank="none", pid=os.getpid(),
            epoch=0, started_at=0.0, ready=False, supervisor_pid=None, supervisor_state="no coordinator is running",
            unfinished_runs=len(store.unfinished()), running_workers=0, settings=settings.described(),
        )  # fmt: skip

    return Service(
        store, FileLogs(), log_root=str(log_root(settings)), health=health, glob=list_files,
        default_folder=lambda name: str(settings.home / "work" / name), environment={},
        slots=settings.max_concurrent_workers,
    )  # fmt: skip


def graph_of(text: str, form: Format, base_dir: str) -> dict[str, Any]:
    """The graph of a document that is not saved. Raises DocumentError."""
    plain: dict[str, Any] = msgspec.to_builtins(views.graph_view(parse(text, form, base_dir=base_dir).workflow, None))
    return plain


def serve(host: Host, ready: Callable[[], None] = lambda: None) -> None:
    """Run a host on a new event loop in this thread, until it leaves."""

    async def main() -> None:
        task = asyncio.create_task(host.run())
        await asyncio.to_thread(host.started.wait)
        if host.failure is None:
            ready()
        await task

    asyncio.run(main())


def failpoint_from(environ: Mapping[str, str]) -> Callable[[str], None]:
    """What ends this process at `WATTLE_FAILPOINT=name[:n]`, when that point is reached for the n-th time. Tests use
    it to die at every step once; nobody else sets the variable."""
    name, _, count = environ.get("WATTLE_FAILPOINT", "").partition(":")
    left = int(count) if count.isdigit() else 1

    def check(reached: str) -> None:
        nonlocal left
        if reached == name:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return check if name else lambda _reached: None


def totals(settings: Settings) -> dict[str, float]:
    """What the dispatcher counts against: slots, and what this machine has of the declared resources."""
    found: dict[str, float] = {"slots": settings.max_concurrent_workers, "cpus": os.cpu_count() or 1}
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found["gpus"] = len(glob.glob("/dev/nvidia[0-9]*"))
    return found


def list_files(pattern: str) -> list[str]:
    """The files of a pattern, sorted."""
    return sorted(glob.glob(pattern, recursive=True))


def explain(error: BaseException) -> WattleError:
    """An error of a start as one that a person can read."""
    if isinstance(error, WattleError):
        return error
    if isinstance(error, OSError):
        return StorageError(f"The coordinator could not start: {error}", "wattle doctor")
    raise error
