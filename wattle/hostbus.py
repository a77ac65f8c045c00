"""The bus of a host: brought up beside everything else, told of every commit, named to the workers.

Laws: nothing waits for it. What is heavy is imported in a thread, and for a foreground run only when it lasts or when
its workers are joined by streams. Without it every run goes on, and one sentence says why there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wattle import succession
from wattle.bus.handout import STARTING, write_handout
from wattle.core.errors import WattleError
from wattle.core.places import log_paths
from wattle.core.replies import RunChange
from wattle.core.requests import WatchRun
from wattle.web.audit import Audit

if TYPE_CHECKING:
    from wattle.bus.growth import Place
    from wattle.bus.room import BusRoom
    from wattle.coordinator.coordinator import Coordinator
    from wattle.coordinator.service import Service
    from wattle.core.operations import Operation
    from wattle.settings import Settings

log = logging.getLogger("wattle.bus")

OFF = "There is no bus: the settings say so ([zenoh] enabled = false)."
LOOKS, LOOK_SECONDS = 5, 0.05
"""How long a foreground run is given to end before it gets a bus."""


class HostBus:
    """Made before the runs are recovered, so that their workers know where to look; `start` when there is a service."""

    def __init__(self, settings: Settings, audit: Audit) -> None:
        self.file = settings.runtime_dir / "worker.json"
        """What `WATTLE_CONNECTION` names in workers."""
        self._settings = settings
        self._audit = audit
        self._state = "The bus is starting." if settings.zenoh_enabled else OFF
        self._room: BusRoom | None = None
        self._starting: asyncio.Task[None] | None = None
        self._tell_workers(STARTING if settings.zenoh_enabled else OFF)

    @property
    def state(self) -> str:
        """One sentence about the bus."""
        return self._room.state if self._room is not None else self._state

    def start(self, coordinator: Coordinator, service: Service, *, patient: bool) -> None:
        """Bring it up, on the running loop. `patient`: only when a run lasts, or needs it."""
        if self._settings.zenoh_enabled:
            self._starting = asyncio.create_task(self._come_up(coordinator, service, patient=patient))

    async def up(self, seconds: float) -> BusRoom | None:
        """The room, once it is on the bus; None when there is to be no bus, or it takes longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self._starting is not None:
                    await asyncio.wait({self._starting})
                if self._room is not None and not self._room.hopeless:
                    await self._room.opened.wait()
        return self._room

    async def stop(self, *, end: bool, unfinished: bool) -> None:
        """Leave it. With `end` the router goes too; without, it stays a while for workers and successors. Where no run
        is unfinished, nobody looks into the file any more."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._room is not None:
            await self._room.stop(end=end)
        if not unfinished:
            self.file.unlink(missing_ok=True)

    async def _come_up(self, coordinator: Coordinator, service: Service, *, patient: bool) -> None:
        for _ in range(LOOKS if patient else 0):
            if any(live.run.together.gangs for live in coordinator.runs.values()):
                break
            await asyncio.sleep(LOOK_SECONDS)
        try:
            make_room, place = await asyncio.to_thread(_classes)
            self._room = make_room(
                self._settings.runtime_dir, coordinator.store.store_id, service=lambda: service,
                snapshot=lambda workflow, number: _picture(service, workflow, number), record=self._record,
                places=lambda: _running(coordinator, place), size=service.logs.size, tls=self._tls(),
                handout=self.file, facts=self._facts(),
            )  # fmt: skip
            coordinator.bus = self._room
            self._room.start()
        except Exception as error:  # noqa: BLE001  a run needs no bus
            message = error.message if isinstance(error, WattleError) else f"{type(error).__name__}: {error}"
            self._state = f"There is no bus, and nothing else is lost: {message}"
            log.warning("%s", self._state)
            self._tell_workers(self._state)

    def _tell_workers(self, state: str) -> None:
        try:
            write_handout(self.file, self._facts(), None, state)
        except OSError as error:
            log.warning("workers cannot be told of the bus: %s", error)

    def _facts(self) -> dict[str, Any]:
        tcp = not succession.HAS_UNIX_SOCKETS or self._settings.door == "tcp"
        where = {"door": succession.door_path(self._settings)} if tcp else {
            "socket": succession.socket_path(self._settings)}  # fmt: skip
        return {"home": str(self._settings.home), "http": where}

    def _tls(self) -> Any:
        """The endpoint for other hosts, if there is to be one. Raises InvalidRequest."""
        host, _, port = self._settings.zenoh_tls.rpartition(":")
        if not host:
            return None
        from wattle.bus.tls import tls_endpoint

        return tls_endpoint(tls_folder(self._settings), host.strip("[]"), int(port))

    def _record(self, operation: Operation, address: str, run: str, outcome: str) -> None:
        self._audit.record(who="bus", door="bus", client="bus", operation=operation.name, address=address, run=run,
                           outcome=outcome)  # fmt: skip


def tls_folder(settings: Settings) -> Path:
    """Where `wattle bus init-tls` puts the certificates."""
    return settings.home / "tls"


def _classes() -> tuple[type[BusRoom], type[Place]]:
    """What takes time to import."""
    from wattle.bus.growth import Place
    from wattle.bus.room import BusRoom

    return BusRoom, Place


async def _picture(service: Service, workflow: str, number: int) -> RunChange:
    """All of a run: the first thing that who watches it sees."""
    changes: Any = service.watch_run(WatchRun(workflow=f"{workflow}@{number}"))
    async with contextlib.aclosing(changes):
        first: RunChange = await anext(changes)
        return first


def _running(coordinator: Coordinator, place: Callable[..., Place]) -> Iterator[Place]:
    """Every attempt that runs now, with its log files."""
    for live in coordinator.runs.values():
        spec = live.run.spec
        for progress in live.run.in_progress():
            paths = log_paths(coordinator.log_root, spec, progress.instance, progress.attempt)
            yield place(spec.workflow, spec.number, progress.instance.name, progress.attempt, paths["stdout"],
                        paths.get("stderr", ""))  # fmt: skip
