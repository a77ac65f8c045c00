"""A server extension that measures: how late ticks of one millisecond come on the loop of a Jupyter server.

`GET bench/lag` answers percentiles in milliseconds since it was asked last.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado.web import authenticated

from benchmarks.ticker import percentiles, tick

LATE: list[float] = []
_KEPT: set[asyncio.Task[None]] = set()


class Lag(APIHandler):
    """What was measured, which is then forgotten."""

    @authenticated
    def get(self) -> None:
        """Percentiles."""
        found = percentiles(LATE or [0.0])
        LATE.clear()
        self.finish(found)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "benchmarks.lag_extension"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Add the route."""
    serverapp.web_app.add_handlers(".*$", [(serverapp.base_url + "bench/lag", Lag)])


async def _start_jupyter_server_extension(_serverapp: Any) -> None:
    """Begin to tick."""
    _KEPT.add(asyncio.create_task(tick(LATE, threading.Event())))
