"""The coordinator's hands on the bus, for programs that reach it by HTTP: what `web/services.py` asks of a host.

Law: what is heavy is imported when somebody asks, in a thread. A session that is left takes its streams with it, and
they say `resync`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wattle.coordinator import putting
from wattle.web.services import no_bus

if TYPE_CHECKING:
    from wattle.coordinator.service import Service
    from wattle.hostbus import HostBus
    from wattle.sdk.forward import Forward
    from wattle.sdk.services import Place

BUS_SECONDS = 10.0
"""How long a program that is faster than the bus waits for it."""


class HostLive:
    """Of one host, on its loop."""

    def __init__(self, bus: HostBus, service: Service) -> None:
        self._bus = bus
        self._service = service
        self._forward: Forward | None = None

    async def bus(self) -> Forward:
        """The hands, on the session of the moment. Raises Unreachable, which says why there is no bus."""
        room = await self._bus.up(BUS_SECONDS)
        session = None if room is None else room.session
        if room is None or session is None:
            raise no_bus(self._bus.state)
        if self._forward is None or self._forward.session is not session:
            self.let_go()
            kind = await asyncio.to_thread(_forward)
            if self._forward is None:  # another one may have been quicker
                self._forward = kind(session)
                room.on_leave = self.let_go
        return self._forward

    def let_go(self) -> None:
        """End every stream: the session is being left."""
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()

    async def place(self, workflow: str, worker: str, service: str, *, running: bool) -> tuple[Place, int]:
        """The place of a service, and the attempt of its worker. Raises WattleError."""
        history = self._service.history
        name, number = history.parse(workflow)
        _, run = await history.run(name, await history.number(name, number))
        progress = putting.instance_of(history, run, worker)
        if running and self._service.coordinator is not None:
            await putting.running(self._service.coordinator, run, progress, None)
        place = await asyncio.to_thread(_place)
        return place(run.spec.workflow, run.spec.number, progress.instance.name, service), progress.attempt


def _forward() -> type[Forward]:
    from wattle.sdk.forward import Forward

    return Forward


def _place() -> type[Place]:
    from wattle.sdk.services import Place

    return Place
