"""The bus of a coordinator, in one piece: router, session, teller and door, come up beside everything else.

    room = BusRoom(settings.runtime_dir, store_id, service=…, snapshot=…)
    room.start()                          returns at once
    room.publish("etl", 12, seq, …)       from then on: never waits, never raises, whether or not there is a bus
    room.state                            one sentence for `wattle doctor` and health
    await room.stop(end=…)

Laws: nothing of this delays the first worker, and nothing of it can break a run. Without Zenoh, without a router, or
while one is starting, everything that is published goes nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wattle.bus.connection import read_connection
from wattle.bus.door import Answers, Door
from wattle.bus.events import Changes, Teller
from wattle.bus.growth import Growth, Place
from wattle.bus.handout import UP, write_handout
from wattle.bus.keys import Keys
from wattle.bus.process import RouterProcess
from wattle.bus.tls import Tls
from wattle.bus.zenoh import Session, open_client, why_missing
from wattle.core.errors import WattleError
from wattle.core.operations import Operation

log = logging.getLogger("wattle.bus")

AGAIN_SECONDS = 0.5
"""How often the coordinator looks for a bus that did not come up."""


class BusRoom:
    """`service` gives whoever answers operations, or None until there is one; `snapshot(workflow, number)` is a
    coroutine that gives all of a run with its `seq`; `record` hears (operation, address, run, outcome) of what changes
    something; `places()` are the attempts that run now, `size(path)` is the length of a log; `handout` is the file in
    which workers look for the bus, beside the other `facts`. To be made and used on the coordinator's loop."""

    def __init__(self, runtime_dir: Path, hub: str, *, service: Callable[[], Answers | None],
                 snapshot: Callable[[str, int], Awaitable[Changes]],
                 record: Callable[[Operation, str, str, str], None] = lambda *_: None,
                 places: Callable[[], Iterable[Place]] = tuple, size: Callable[[str], int] = lambda _: 0,
                 tls: Tls | None = None, handout: Path | None = None, facts: Mapping[str, Any] = MappingProxyType({}),
                 **router: Any) -> None:  # fmt: skip
        self.router = RouterProcess(runtime_dir / "bus", hub, socket=runtime_dir / "bus.sock", tls=tls,
                                    moved=self._reopen, **router)  # fmt: skip
        self.opened = asyncio.Event()
        """Set once the coordinator is on the bus."""
        self.on_leave: Callable[[], None] = lambda: None
        """Called before a session is left, on the loop."""
        self._hub = hub
        self._service, self._snapshot, self._record = service, snapshot, record
        self._places, self._size = places, size
        self._handout, self._facts = handout, facts
        self._session: Session | None = None
        self._teller: Teller | None = None
        self._door: Door | None = None
        self._growth: Growth | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    @property
    def state(self) -> str:
        """How the bus is, as one sentence."""
        return self.router.state

    @property
    def session(self) -> Session | None:
        """The coordinator's own, while it is on the bus."""
        return self._session

    def connection(self, role: str) -> Path | None:
        """The credentials file of a role; None while there is no bus."""
        return self.router.connection(role) if self.router.ready else None

    @property
    def hopeless(self) -> bool:
        """There is no Zenoh on this machine: nothing is to be waited for."""
        return bool(why_missing())

    def start(self) -> None:
        """Bring it up, beside everything else."""
        self._begin(self._come_up())

    def wanted(self, workflow: str, number: int) -> bool:
        """Somebody listens to this run, or that is not known yet."""
        return self._teller is not None and self._teller.wanted(workflow, number)

    def publish(self, workflow: str, number: int, seq: int, changes: Changes | Callable[[], Changes] | None) -> None:
        """As `Teller.publish`; nothing while there is no bus."""
        if self._teller is not None:
            self._teller.publish(workflow, number, seq, changes)

    async def stop(self, *, end: bool) -> None:
        """Leave the bus. With `end` the router goes too; without, it stays for a while for workers and successors."""
        for task in [*self._tasks]:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._leave()
        await self.router.stop(end=end)

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _come_up(self) -> None:
        if not await self.router.start():
            self._tell_workers()
            if why_missing():
                return
        await self._come_in()

    def _tell_workers(self) -> None:
        """Say in their file whether there is a bus."""
        if self._handout is None:
            return
        bus = read_connection(self.router.connection("worker")).to_dict() if self.router.up else None
        try:
            write_handout(self._handout, self._facts, bus, UP if bus is not None else self.state)
        except OSError as error:
            log.warning("workers cannot be told of the bus: %s", error)

    def _reopen(self) -> None:
        """The router took another port: whoever came over the old one must come again."""
        self._begin(self._again())

    async def _again(self) -> None:
        await self._leave()
        await self._come_in()

    async def _come_in(self) -> None:
        while True:
            if await self._enter():
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _enter(self) -> bool:
        if not self.router.up:
            return False
        self._tell_workers()
        async with self._lock:
            try:
                session = await asyncio.to_thread(open_client, self.router.connection("coordinator"), timeout=5.0)
            except WattleError as error:
                log.warning("the coordinator is not on its bus: %s", error)
                return False
            self._session = session
            self._teller = Teller(session, self._snapshot)
            self._door = Door(session, self._service, self._record)
            self._growth = Growth(session, self._teller, self._places, self._size)
            session.liveliness(Keys(self._hub).coordinator())
            with contextlib.suppress(WattleError):
                await asyncio.to_thread(session.flush)
            self.opened.set()
            return True

    async def _leave(self) -> None:
        async with self._lock:
            self.opened.clear()
            self.on_leave()
            session, self._session = self._session, None
            teller, self._teller = self._teller, None
            door, self._door = self._door, None
            growth, self._growth = self._growth, None
            with contextlib.suppress(WattleError):
                if door is not None:
                    await door.close()
                if growth is not None:
                    await growth.close()
                if teller is not None:
                    await teller.close()
            if session is not None:
                await asyncio.to_thread(session.close)
