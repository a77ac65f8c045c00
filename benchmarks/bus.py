"""The bus: what the first live call costs, how fast workers hear and answer one another, and what telling the bus of
every event costs a large run."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.machine import LIMIT, Bench, Row, interleaved, ratio, wattle

LISTENER = """
import pathlib, time
from wattle import worker
late, flood = [], []
worker.subscribe("speaker/ping", lambda told: late.append(time.monotonic() - told["t"]), queue=10_000)
worker.subscribe("speaker/flood", lambda told: flood.append(time.monotonic()), queue=1_000_000)
@worker.serve("echo")
def echo(data): return data
@worker.serve("heard")
def heard(_):
    spent = flood[-1] - flood[0] if len(flood) > 1 else 0.0
    return {"late": late, "flood": len(flood), "rate": (len(flood) - 1) / spent if spent else 0.0}
worker.wait()
"""
SPEAKER = """
import sys, time
begin = time.perf_counter()
from wattle import worker
worker.publish("first", {"x": 1.0})
first = time.perf_counter() - begin
pings, floods = map(int, sys.argv[1:])
worker.request("listener/echo", 0, timeout=20)
for _ in range(pings):
    worker.publish("ping", {"t": time.monotonic(), "pad": "x" * 150})
    time.sleep(0.002)
asked = []
for number in range(pings):
    begin = time.perf_counter()
    worker.request("listener/echo", number)
    asked.append(time.perf_counter() - begin)
message = {"pad": "x" * 180}
begin = time.perf_counter()
for _ in range(floods):
    worker.publish("flood", message)
spoken = floods / (time.perf_counter() - begin)
seen = -1
while (heard := worker.request("listener/heard"))["flood"] != seen:
    seen = heard["flood"]
    time.sleep(0.3)
worker.put("found", {"first": first, "asked": asked, "spoken": spoken, **heard})
"""


def wait_for_bus(bench: Bench, home: Path) -> None:
    """Until the coordinator is on its bus."""
    end = time.monotonic() + LIMIT / 10
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.CalledProcessError):
            bench.ask(home, "bus")
            return
        time.sleep(0.1)
    raise SystemExit("the bus did not come up")


def talk(bench: Bench) -> None:
    """Two workers of one run: the first live call, messages, questions, a flood."""
    pings, floods = (200, 20_000) if bench.quick else (1000, 200_000)
    folder = bench.scratch / "bus"
    folder.mkdir()
    (folder / "listener.py").write_text(LISTENER)
    (folder / "speaker.py").write_text(SPEAKER)
    command = [sys.executable, str(folder / "speaker.py"), str(pings), str(floods)]
    workers = [
        {"name": "listener", "command": [sys.executable, str(folder / "listener.py")], "service": True},
        {"name": "speaker", "command": command, "outputs": {"found": {"type": "value"}}},
    ]
    document = {"name": "talk", "working_dir": str(folder), "grace": 2, "workers": workers}
    (folder / "flow.json").write_text(json.dumps(document))
    found: list[dict[str, Any]] = []
    with bench.coordinator("bus") as home:
        wait_for_bus(bench, home)
        for _ in range(bench.rounds):
            bench.seconds(wattle(home, "run", str(folder / "flow.json"), "-j", "2"), folder)
            found.append(bench.ask(home, "get", "talk/speaker/found")["value"])

    def middle(name: str) -> float:
        return float(statistics.median(statistics.median(one[name]) for one in found))

    first = statistics.median(one["first"] for one in found)
    bench.add(Row("first live call of a worker, imports and all", 1000 * first, "ms", None, "", "60 ms"))
    late = [time for one in found for time in one["late"]]
    note = f"p99 {1000 * statistics.quantiles(late, n=100)[98]:.2f} ms, 200 bytes of JSON"
    bench.add(Row("publish to callback between workers, p50", 1000 * middle("late"), "ms", None, "", "1 ms", note))
    bench.add(Row("question and answer between workers, p50", 1000 * middle("asked"), "ms", None, "", "2 ms"))
    rate, spoken = (statistics.median(one[name] for one in found) for name in ("rate", "spoken"))
    share = statistics.median(one["flood"] for one in found) / floods
    note = f"{spoken:,.0f}/s were published; {share:.0%} arrived, the rest is dropped and counted"
    bench.add(Row("messages into one Python subscriber", rate, "/s", None, "", ">= 20,000 /s", note))


def unused(bench: Bench) -> None:
    """What the SDK costs a worker's program that imports it and makes no live call, against one that does not."""
    count = 5 if bench.quick else 20
    bare, ours = interleaved(
        count, lambda: bench.seconds([sys.executable, "-c", "pass"]),
        lambda: bench.seconds([sys.executable, "-c", "from wattle import worker"]),
    )  # fmt: skip
    extra = 1000 * statistics.median(one - other for one, other in zip(ours, bare, strict=True))
    bench.add(Row("`from wattle import worker` without using it", extra, "ms", ratio(ours, bare), "bare Python", "",
                  "a worker that does not import it pays one variable"))  # fmt: skip


def told(bench: Bench) -> None:
    """Many tasks with every event told to a subscriber, against the same run without a bus."""
    shape = shapes.fan(200 if bench.quick else 1000)
    folder = bench.scratch / "told"
    folder.mkdir()
    (folder / "flow.json").write_text(shapes.document(shape, "told", folder))
    homes: dict[str, Path] = {}

    def run(kind: str) -> float:
        return bench.seconds(wattle(homes[kind], "run", str(folder / "flow.json"), "-j", "2"), folder)

    bench.environment["WATTLE_ZENOH_ENABLED"] = "false"
    try:
        with bench.coordinator("untold") as homes["without"]:
            del bench.environment["WATTLE_ZENOH_ENABLED"]
            with bench.coordinator("told") as homes["with"]:
                wait_for_bus(bench, homes["with"])
                listener = subprocess.Popen([sys.executable, "-m", "benchmarks.subscriber", str(homes["with"])],
                                            cwd=Path(__file__).parent.parent, env=bench.environment,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
                assert listener.stdout is not None
                if listener.stdout.readline() != "ready\n":
                    raise SystemExit("the subscriber did not begin")
                without, ours = interleaved(bench.rounds, lambda: run("without"), lambda: run("with"))
                heard, _ = listener.communicate("done\n", timeout=60)
    finally:
        bench.environment.pop("WATTLE_ZENOH_ENABLED", None)
    note = f"speed with the bus over speed without; the subscriber got {int(heard):,} messages"
    speed = 1 / ratio(ours, without)
    what = f"{shape.name}, events told to one subscriber"
    bench.add(Row(what, statistics.median(ours), "s", speed, "no bus", ">= 0.95 x", note))
