"""What happens while workers run: a flood of output, stops of stubborn trees, the coordinator's own loop."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import shapes
from benchmarks.machine import HERE, LIMIT, Bench, Row, coordinator_pid, interleaved, ratio, resident_mib, wattle

WRITER = "import os\nline = b'x' * 99 + b'\\n'\nfor _ in range({blocks}): os.write(1, line * 10_000)\n"
TREE = """\
trap '' TERM
setsid sleep {mark} &
(trap '' TERM; setsid setsid sleep {mark}) &
sleep {mark} &
wait
sleep {mark}
"""


def output(bench: Bench) -> None:
    """One worker writes 200 MB: its own seconds, against the same program redirected by a shell."""
    blocks = 20 if bench.quick else 200
    folder = bench.scratch / "output"
    folder.mkdir()
    (folder / "write.py").write_text(WRITER.format(blocks=blocks))
    command = [sys.executable, str(folder / "write.py")]
    worker = {"name": "write", "command": command}
    (folder / "flow.json").write_text(json.dumps({"name": "flood", "working_dir": str(folder), "workers": [worker]}))
    with bench.coordinator("output") as home:
        pid = coordinator_pid(home)
        bench.ask(home, "status")
        before = resident_mib(pid)

        def through_wattle() -> float:
            bench.seconds(wattle(home, "run", str(folder / "flow.json")), folder)
            (bar,) = bench.ask(home, "gantt", "flood")["bars"]
            return float(bar["ended_at"]) - float(bar["started_at"])

        def redirected() -> float:
            return bench.seconds(command, folder, stdout=folder / "plain.log")

        plain, ours = interleaved(bench.rounds, redirected, through_wattle)
        grown = resident_mib(pid) - before
    what, note = f"{blocks} MB of output: the worker's seconds", f"coordinator grew by {grown:.1f} MiB"
    bench.add(Row(what, statistics.median(ours), "s", ratio(ours, plain), "plain redirect", "1.15 x", note))


def cancels(bench: Bench) -> None:
    """Stop a run of trees that ignore TERM and hide their children in sessions of their own."""
    count = 10 if bench.quick else 50
    mark = f"{int(time.time()) + 100_000}.75"
    folder = bench.scratch / "cancels"
    folder.mkdir()
    (folder / "tree.sh").write_text(TREE.format(mark=mark))
    workers = [{"name": f"tree{number}", "command": ["sh", str(folder / "tree.sh")]} for number in range(count)]
    content = {"name": "trees", "working_dir": str(folder), "grace": 0.2, "workers": workers,
               "max_concurrent_workers": count}  # fmt: skip
    (folder / "flow.json").write_text(json.dumps(content))
    home = bench.scratch / "home-cancels"
    bench.environment["WATTLE_MAX_CONCURRENT_WORKERS"] = str(count)
    try:
        with bench.coordinator("cancels"):
            bench.seconds(wattle(home, "run", str(folder / "flow.json"), "--detach"), folder)
            begun = time.perf_counter()
            while marked(mark) < count * 3 and time.perf_counter() - begun < LIMIT / 5:
                time.sleep(0.05)
            alive = marked(mark)
            asked = time.perf_counter()
            bench.seconds(wattle(home, "stop", "trees"), folder)
            while marked(mark) and time.perf_counter() - begun < LIMIT / 5:
                time.sleep(0.05)
            left, took = marked(mark), time.perf_counter() - asked
    finally:
        del bench.environment["WATTLE_MAX_CONCURRENT_WORKERS"]
    note = f"{alive} sleepers before the stop, the last gone after {took:.1f} s (grace 0.2 s)"
    bench.add(Row(f"{count} stubborn trees stopped: processes left", left, "processes", None, "", "0", note))


def marked(mark: str) -> int:
    """How many processes carry the mark in their command line."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += f"sleep\0{mark}".encode() in (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


def loop_lag(bench: Bench) -> None:
    """A tick each millisecond on the coordinator's loop while it runs thousands of tasks, against the same tick on
    an idle loop while the floor runs as many."""
    shape = shapes.fan(500 if bench.quick else 5000)
    folder = bench.scratch / "lag"
    folder.mkdir()
    shapes.write_floor(shape, folder / "floor.txt")
    (folder / "flow.json").write_text(shapes.document(shape, "lag", folder))
    home = bench.scratch / "home-lag"
    beside_floor = _ticks(bench, "idle", home, [bench.floor, "2", str(folder / "floor.txt")])
    beside_wattle = _ticks(bench, "host", home, wattle(home, "run", str(folder / "flow.json"), "-j", "2"))
    p99, floor = beside_wattle["p99"], beside_floor["p99"]
    note = f"p99 {p99:.1f} ms, beside the floor {floor:.1f}; worst {beside_wattle['max']:.0f}"
    what = f"extra lag of the coordinator's loop, p99, {len(shape):,} tasks"
    bench.add(Row(what, p99 - floor, "ms", None, "", "5 ms", note))


def _ticks(bench: Bench, mode: str, home: Path, command: list[str]) -> dict[str, float]:
    """Percentiles in ms of how late the ticks of `benchmarks.ticker` were while `command` ran."""
    program = [sys.executable, "-m", "benchmarks.ticker", mode, str(home)]
    ticker = subprocess.Popen(program, cwd=HERE.parent, env=bench.environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    try:
        assert ticker.stdin is not None
        assert ticker.stdout is not None
        if ticker.stdout.readline() != "ready\n":
            raise SystemExit(f"the ticker ({mode}) did not begin")
        bench.seconds(command, bench.scratch / "lag")
        told, _ = ticker.communicate("done\n", timeout=LIMIT)
    finally:
        ticker.kill()
        ticker.wait()
    result: dict[str, float] = json.loads(told)
    return result
