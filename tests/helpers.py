"""What tests of several rooms share: waiting for facts, never for time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 20.0
"""Seconds after which a fact that has not come will not come. Long, because machines are shared; never asserted on."""


def unmeasured(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """This process's environment, or another, without what makes coverage measure a child: for tests of what a child
    imports."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


def wait_until(condition: Callable[[], T], deadline: float = DEADLINE, *, every: float = 0.01) -> T:
    """The first true value of `condition`.

    Raises:
        AssertionError: it was still false at the deadline; the message shows the last value.
    """
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(_late(condition, value, deadline))
        time.sleep(every)
    return value


async def until(condition: Callable[[], T], deadline: float = DEADLINE, *, every: float = 0.005) -> T:
    """`wait_until` on an event loop, which goes on meanwhile."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(_late(condition, value, deadline))
        await asyncio.sleep(every)
    return value


async def within(awaitable: Awaitable[T], deadline: float = DEADLINE) -> T:
    """The result of `awaitable`, or a failure that says what was awaited instead of a test that hangs."""
    try:
        async with asyncio.timeout(deadline):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{awaitable!r} did not end within {deadline:g} s") from None


def _late(condition: Callable[[], object], value: object, deadline: float) -> str:
    name = getattr(condition, "__qualname__", repr(condition))
    return f"{name} was still {value!r} after {deadline:g} s"
