"""The live calls of a worker on an event loop: the same steps, and the loop stays free.

A file of its own, because importing asyncio takes longer than opening the bus.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from wattle.bus.zenoh import Reply
from wattle.sdk import worker_live
from wattle.sdk.worker_asking import NOBODY, Question
from wattle.sdk.worker_streams import Waiting

T = TypeVar("T")


async def wait_for(waiting: Waiting[T], look: Callable[[], T | None], limit: float | None = None) -> T | None:
    """What `look` finds; None after `limit` seconds."""
    loop = asyncio.get_running_loop()
    deadline = None if limit is None else loop.time() + limit
    while True:
        changed = asyncio.Event()

        def wake(changed: asyncio.Event = changed) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(changed.set)

        forget = waiting.on_change(wake)
        try:
            if (found := look()) is not None:
                return found
            async with asyncio.timeout_at(deadline):
                await changed.wait()
        except TimeoutError:
            return None
        finally:
            forget()


async def request_async(address: str, data: Any = None, *, timeout: float = 5.0) -> Any:  # noqa: ASYNC109
    """`request` on an event loop. Cancelling it stops waiting for the answer."""
    session = await asyncio.to_thread(worker_live.live)
    question = session.question(address, data, timeout)
    return question.data(await answered_async(question))


async def answered_async(question: Question) -> Reply:
    """`answered` on an event loop."""
    while True:
        cancel = question.ask()
        try:
            found = await wait_for(question.waiting, question.found, question.left)
        finally:
            if question.found() is None:
                cancel()
        if reply := question.judge(found):
            return reply
        if await wait_for(question.waiting, question.news, question.pause):
            question.judge(NOBODY)


def result_of(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop | None) -> T:
    """What a coroutine returns, waited for in a thread: it runs on `loop`, or on one of its own when that has ended."""
    if loop is None or not loop.is_running():
        return asyncio.run(coroutine)
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
