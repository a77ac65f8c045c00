"""Watches what the Node program publishes, and says how far it gets from nothing."""

from __future__ import annotations

from wattle import worker

means: list[float] = []


@worker.serve("seen")
def seen(_: object) -> dict[str, int]:
    """How many means have come."""
    return {"means": len(means)}


for told in worker.subscribe("level"):
    means.append(told["mean"])
    if len(means) == 1:
        print("Node has seen:", worker.request("smooth/stats"))
worker.put("summary", {"means": len(means), "lowest": round(min(means), 3), "highest": round(max(means), 3)})
