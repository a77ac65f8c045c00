"""The file that `WATTLE_CONNECTION` names in a worker: where the bus and the private door are, and what opens them.

    {"home": "…", "http": {"socket": "…"} or {"door": "…"}, "bus": {a connection} or null, "bus_state": "up"}

`home` is the state root; `http` names the private door's socket, or the file that tells its port and token. `bus_state`
is `starting`, `up`, or the sentence that says why there is none. The path stays the same while coordinators and routers
come and go, so that a worker that opens it later finds what is true then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wattle.bus.private import write_private

STARTING, UP = "starting", "up"


def state_in(path: Path) -> str:
    """How the bus is, by the file; empty when there is none."""
    try:
        return str(json.loads(path.read_bytes())["bus_state"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def write_handout(path: Path, facts: Mapping[str, Any], bus: Mapping[str, Any] | None, state: str) -> None:
    """Write the file. `facts` are `home` and `http`. Raises OSError."""
    write_private(path, json.dumps({**facts, "bus": bus, "bus_state": state}))
