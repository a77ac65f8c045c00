"""How late an event loop is: a tick each millisecond, on an idle loop or on that of a coordinator.

`python -m benchmarks.ticker idle|host HOME` prints "ready", ticks until it reads a line, prints percentiles
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

from wattle.host import Host, serve
from wattle.settings import load, prepare_home
from wattle.succession import take_or_join

TICK = 0.001


async def tick(late: list[float], until: threading.Event) -> None:
    """Note how much later than asked each tick came."""
    while not until.is_set():
        due = time.perf_counter() + TICK
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - due)


def percentiles(late: list[float]) -> dict[str, float]:
    """In milliseconds."""
    found = sorted(late)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: found[min(len(found) - 1, int(len(found) * share))] * 1000 for name, share in at.items()}


def on_an_idle_loop(late: list[float], until: threading.Event) -> None:
    """Nothing else runs in this process."""
    threading.Thread(target=_wait_for_a_line, args=(until,), daemon=True).start()
    print("ready", flush=True)
    asyncio.run(tick(late, until))


def on_a_coordinators(home: Path, late: list[float], until: threading.Event) -> None:
    """The loop of a background coordinator that is hosted here."""
    settings = load({"home": str(home)})
    prepare_home(settings)
    hold = take_or_join(settings, "background")
    assert hold is not None
    hold.bind()
    host = Host(settings, hold)
    thread = threading.Thread(target=serve, args=(host,))
    thread.start()
    host.started.wait()
    loop = host.loop
    assert loop is not None
    ticking = asyncio.run_coroutine_threadsafe(tick(late, until), loop)
    print("ready", flush=True)
    _wait_for_a_line(until)
    ticking.result()
    loop.call_soon_threadsafe(lambda: host.leave(hand_over=False))
    thread.join()


def _wait_for_a_line(until: threading.Event) -> None:
    sys.stdin.readline()
    until.set()


def main() -> None:
    """See the module."""
    late: list[float] = []
    until = threading.Event()
    if sys.argv[1] == "idle":
        on_an_idle_loop(late, until)
    else:
        on_a_coordinators(Path(sys.argv[2]), late, until)
    print(json.dumps(percentiles(late)), flush=True)


if __name__ == "__main__":
    main()
