"""What has been decided and is not yet durable, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from wattle.coordinator.live import LiveRun
from wattle.coordinator.telling import News
from wattle.core import events as ev
from wattle.core.errors import Unreachable, WattleError
from wattle.core.records import Batch

Looked = Sequence[tuple[asyncio.Future[object], object, Exception | None]]
"""Readers, with what each saw when the batch was made."""


class Pending:
    """What has been decided and is not yet durable."""

    def __init__(self) -> None:
        self.batch = Batch(events=[], attempts={}, runs={}, workflows={}, keys={})
        self.effects: list[tuple[LiveRun, ev.Effect]] = []
        self.pressing = False
        """Whether there is more to do than to start processes."""
        self.touched: set[int] = set()
        self.waiters: list[tuple[asyncio.Future[object], Callable[[], object]]] = []
        self.news: News = []
        """What the bus is to be told of it."""

    def act(self, live: LiveRun, effect: ev.Effect) -> None:
        """This must be done once it is durable."""
        self.effects.append((live, effect))
        self.pressing |= type(effect) is not ev.StartWorker

    def drop(self, live: LiveRun) -> None:
        """Take out all that a run has put in, and its workflow's row."""
        spec, batch = live.run.spec, self.batch
        batch.runs.pop(spec.id, None)
        batch.workflows.pop(spec.workflow.casefold(), None)
        batch.keys = {key: address for key, address in batch.keys.items() if address != spec.address}
        batch.events = [pair for pair in batch.events if pair[0] != spec.id]
        batch.attempts = {key: row for key, row in batch.attempts.items() if key[0] != spec.id}
        self.effects = [pair for pair in self.effects if pair[0] is not live]

    def __bool__(self) -> bool:
        return bool(self.batch or self.effects or self.waiters)


def answer(looked: Looked) -> None:
    """Give the readers what they saw."""
    for future, value, error in looked:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def refuse(readers: Sequence[asyncio.Future[object]], error: WattleError) -> None:
    """Tell the readers that they cannot be told."""
    for future in readers:
        if not future.done():
            future.set_exception(error)


def leaving() -> Unreachable:
    """The answer of a coordinator that has let go."""
    return Unreachable("This coordinator is letting go of its runs.", "ask again: the next one goes on with them")
