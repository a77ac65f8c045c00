"""How an attempt ended, as a record says it: its wait status, what it cost, and what it left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from wattle.runtime.supervisor.prepare import Launch


def outputs_of(launch: Launch) -> dict[str, tuple[int, int] | None]:
    """Size and time of each declared output; None where there is none. An object is one of several files."""
    objects = launch.get("objects", {})
    return {port: _newest(objects.get(port, (path,))) for port, path in launch.get("outputs", {}).items()}


def _newest(paths: Iterable[str]) -> tuple[int, int] | None:
    found = None
    for path in paths:
        try:
            seen = os.stat(path)
        except (OSError, ValueError):
            continue
        if found is None or seen.st_mtime_ns > found[1]:
            found = (seen.st_size, seen.st_mtime_ns)
    return found


def status_fields(status: int, utime: float, stime: float, maxrss: int) -> dict[str, Any]:
    """The wait status as an exit record's fields; `maxrss` is what the system calls it, here made bytes."""
    code = os.waitstatus_to_exitcode(status)
    scale = 1 if sys.platform == "darwin" else 1024
    return {"code": code if code >= 0 else None, "signal": -code if code < 0 else None,
            "cpu_user": round(utime, 6), "cpu_system": round(stime, 6), "max_rss": maxrss * scale}  # fmt: skip
