"""Real routers for tests, and programs of their own that talk through them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.helpers import until, within
from wattle.bus.process import RouterProcess
from wattle.bus.zenoh import Session

ROOT = Path(__file__).parents[2]
HUB = "hub1"


@contextlib.asynccontextmanager
async def router(folder: Path, **options: Any) -> AsyncIterator[RouterProcess]:
    """A router that is up, and ended afterwards. Its socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="wb") as short:
        process = RouterProcess(folder / "bus", HUB, **{"socket": Path(short) / "b.sock", "linger": 30.0, **options})
        try:
            assert await within(process.start()), process.state
            yield process
        finally:
            await within(process.stop(end=True))


async def putting(session: Session, key: str, payload: bytes, seen: Callable[[], object]) -> None:
    """Put until it has been seen: a subscription takes its time to become known."""

    def put_and_look() -> object:
        session.put(key, payload)
        return seen()

    await until(put_and_look, every=0.05)


def program(source: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python program with its own session; it is to be ended by its test."""
    return subprocess.Popen([sys.executable, "-c", source, *map(str, arguments)], cwd=ROOT, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
