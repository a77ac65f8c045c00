"""A coordinator as a guest of a server's event loop: it hosts, or joins whoever holds the state root.

    starting ──> hosting ──> resting          `wattle down` was said: it rests until somebody wants to write
        │  ^        │
        v  └────────┴── joined                an equal holds the state root: the same API, by forwarding to it
      failed                                  tried again, with the reason at hand

Laws: the server comes first: whatever happens here is a state with a reason, never an exception in the server, and
nothing here blocks its loop. What is slow (imports, the lock, a holder that must let go) happens in threads that no
exit waits for. Whoever joined looks every second whether the holder is still there, and still an equal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from wattle import succession
from wattle.core.errors import InternalError, Unreachable, WattleError
from wattle.sdk.transports import read_door
from wattle.settings import prepare_home

if TYPE_CHECKING:
    from wattle.core.measures import Measures
    from wattle.host import Host
    from wattle.settings import Settings
    from wattle.succession import Hold
    from wattle.web.handlers import Answers

T = TypeVar("T")
State = Literal["starting", "hosting", "joined", "resting", "failed", "ended"]

LOOK_SECONDS = 1.0
RETRY_SECONDS = 2.0
PATIENCE = 15.0
"""Seconds for a lower-ranked holder to hand over, before that is called a failure (and asked again)."""
LEAVE_WITHIN = 20.0


class Way(NamedTuple):
    """To another coordinator: how to connect, and the headers that its door wants."""

    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
    entry: dict[str, str]


class Resident:
    """One state root's coordinator, in the event loop where `start` is called."""

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self.settings = settings
        self.state: State = "starting"
        self.failure: WattleError | None = None
        self._log = log
        self._host: Host | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._ended = False

    # ---- for the doors ----------------------------------------------------------------------------------------------

    def service(self) -> Answers | None:
        """What answers here; None while it is not ready. Raises the `WattleError` that keeps it from being so."""
        if self._host is not None and self._host.service is not None:
            return self._host.service
        if self.failure is not None:
            raise self.failure
        if self.state == "resting":
            raise Unreachable("The coordinator was ended.", "start something, or run: wattle up")
        return None

    @property
    def joined(self) -> Way | None:
        """To the coordinator that is to be asked instead; None when this one answers itself. Raises `Unreachable`."""
        return _way(self.settings) if self.state == "joined" else None

    @property
    def unfinished(self) -> int:
        """How many runs are unfinished here."""
        return self._host.unfinished if self._host is not None else 0

    def measures(self) -> Measures | None:
        """The numbers of the coordinator that is hosted here."""
        return self._host.measures() if self._host is not None else None

    def wake(self) -> None:
        """Somebody wants to write: end a rest."""
        self._wanted.set()

    # ---- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, on the running loop. Never raises, never waits."""
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name="wattle-resident")

    async def stop(self) -> None:
        """End; unfinished runs go on in a background coordinator."""
        self._ended = True
        if self._task is None:
            return
        if self._host is not None:
            self._host.leave(hand_over=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._task), LEAVE_WITHIN)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.state = "ended"

    async def _live(self) -> None:
        while not self._ended:
            pause = RETRY_SECONDS
            try:
                pause = await self._hold_or_join()
            except WattleError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001  the server goes on, whatever it was
                self._log.exception("Wattle could not start")
                self._failed(InternalError(f"Wattle failed inside: {error!r}", "the server's log has the story"))
            finally:
                self._host = None
            if not self._ended:
                await asyncio.sleep(pause)

    def _failed(self, error: WattleError) -> None:
        if self.failure is None or self.failure.message != error.message:
            self._log.warning("Wattle is not available: %s (%s)", error.message, error.hint)
        self.failure, self.state = error, "failed"

    async def _hold_or_join(self) -> float:
        """One stay; returns the seconds until the next attempt."""
        await in_thread(lambda: prepare_home(self.settings))
        hold = await self._take()
        if hold is None:
            self.failure, self.state = None, "joined"
            self._log.info("Wattle joins the coordinator that holds %s", self.settings.home)
            while not await in_thread(self._is_free):  # noqa: ASYNC110  another process's life has no event
                await asyncio.sleep(LOOK_SECONDS)
            self.state = "starting"
            return 0.0
        await self._reside(hold)
        if not self._ended:
            await self._rest()
        return 0.0

    async def _take(self) -> Hold | None:
        """The lock, or None when an equal answers. A lower-ranked holder is asked until its patience is over."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                return await in_thread(
                    lambda: succession.take_or_join(self.settings, "server", 0.0),
                    lambda late: late.release() if late is not None else None,
                )
            except Unreachable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(succession.PAUSE)

    def _is_free(self) -> bool:
        """Whether the holder has gone, or is one that lets a server go first."""
        if not succession.answers(self.settings):
            return True
        told = succession.holder(self.settings) or {}
        return succession.RANKS.get(str(told.get("rank")), 0) < succession.RANKS["server"]

    async def _reside(self, hold: Hold) -> None:
        """Host until the end. Raises what keeps the host from beginning."""
        try:
            hold.bind()
            host = await in_thread(lambda: _make(self.settings, hold))
        except BaseException:
            hold.release()
            raise
        self._host = host
        self.failure, self.state = None, "hosting"
        self._log.info("Wattle coordinates %s", self.settings.home)
        await host.run()

    async def _rest(self) -> None:
        """The host was told to leave: come back when somebody else comes, or when there is something to write."""
        self._host, self.state = None, "resting"
        self._wanted.clear()
        while not self._wanted.is_set() and not await in_thread(lambda: succession.answers(self.settings)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), LOOK_SECONDS)
        self.state = "starting"


def _way(settings: Settings) -> Way:
    """Through the private door that is there. Raises `Unreachable` when it is known that there is none."""
    try:
        port, token = read_door(succession.door_path(settings))
    except OSError:
        if not succession.HAS_UNIX_SOCKETS:
            raise Unreachable("The coordinator that was joined went away.", "try again in a second") from None
        path = succession.socket_path(settings)
        return Way(lambda: asyncio.open_unix_connection(path), {"Host": "localhost"})
    entry = {"Host": f"127.0.0.1:{port}", "Authorization": f"token {token}"}
    return Way(lambda: asyncio.open_connection("127.0.0.1", port), entry)


def _make(settings: Settings, hold: Hold) -> Host:
    """The host, with what it takes to import it; the supervisor's interpreter starts beside that."""
    from wattle.app import start_supervisor_early

    start_supervisor_early(settings)
    from wattle.host import Host

    return Host(settings, hold)


async def in_thread(work: Callable[[], T], late: Callable[[T], Any] = lambda _: None) -> T:
    """`work` in a thread of its own, which no exit waits for. Should the caller be gone when it is done, `late` gets
    the result, so that nothing is held by nobody."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            if error is None:
                late(result)  # type: ignore[arg-type]
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001  it is raised where it is awaited
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:
            if error is None:
                late(result)  # type: ignore[arg-type]

    threading.Thread(target=run, name="wattle-aside", daemon=True).start()
    return await future
