"""Whole commands: many tasks against the floor and make, one task, the commands that people type all day."""

from __future__ import annotations

import itertools
import shutil
import statistics
import sys
from pathlib import Path

from benchmarks import shapes
from benchmarks.machine import Bench, Row, coordinator_pid, interleaved, ratio, resident_mib, wattle

JOBS = "2"


def throughput(bench: Bench) -> None:
    """Many `/bin/true`: the whole `wattle run` against a live coordinator, beside the floor and make with logs."""
    scale = 5 if bench.quick else 1
    with bench.coordinator("many") as home:
        for shape, bar in (
            (shapes.fan(1000 // scale), "1.8 (1.5)"),
            (shapes.layers(10, 100 // scale), "1.8 (1.5)"),
            (shapes.hourglass(2000 // scale), ""),
        ):
            _compare(bench, home, shape, bar, bench.rounds)


def ten_thousand(bench: Bench) -> None:
    """10,000 in layers, and what they leave in the coordinator's memory."""
    shape = shapes.layers(10, 100 if bench.quick else 1000)
    with bench.coordinator("large") as home:
        pid = coordinator_pid(home)
        bench.ask(home, "status")
        idle = resident_mib(pid)
        _compare(bench, home, shape, "1.5 (1.3)", 1 if bench.quick else 2)
        after = resident_mib(pid)
        what = f"coordinator's memory above idle after {len(shape):,}"
        bench.add(Row(what, after - idle, "MiB", None, "", "60", f"idle {idle:.0f} MiB"))


def _compare(bench: Bench, home: Path, shape: shapes.Shape, bar: str, rounds: int) -> None:
    folder = bench.scratch / f"graph-{len(bench.rows)}"
    logs = folder / "make-logs"
    folder.mkdir(parents=True)
    shapes.write_floor(shape, folder / "floor.txt")
    shapes.write_makefile(shape, folder / "Makefile", logs)
    (folder / "flow.json").write_text(shapes.document(shape, folder.name, folder))
    commands = [
        [bench.floor, JOBS, str(folder / "floor.txt")],
        wattle(home, "run", str(folder / "flow.json"), "-j", JOBS),
    ]
    if shutil.which("make"):
        commands.append(["make", f"-j{JOBS}", "-f", str(folder / "Makefile"), "all"])
    floor, ours, *make = interleaved(rounds, *(lambda one=one: bench.seconds(one, folder) for one in commands))
    rate = f"{len(shape) / statistics.median(floor):,.0f} tasks/s on the floor"
    bench.add(Row(f"{shape.name}: wattle run", statistics.median(ours), "s", ratio(ours, floor), "floor", bar, rate))
    for times in make:
        bench.add(Row(f"{shape.name}: make + logs", statistics.median(times), "s", ratio(times, floor), "floor", ""))


def hops(bench: Bench) -> None:
    """A chain: from one task's start to the next one's."""
    shape = shapes.chain(40 if bench.quick else 200)
    folder = bench.scratch / "chain"
    folder.mkdir()
    shapes.write_floor(shape, folder / "floor.txt")
    (folder / "flow.json").write_text(shapes.document(shape, "chain", folder))
    floor, ours, worst = [], [], []
    with bench.coordinator("chain") as home:
        for _ in range(bench.rounds):
            floor.append(bench.seconds([bench.floor, JOBS, str(folder / "floor.txt")]) / len(shape) * 1000)
            bench.seconds(wattle(home, "run", str(folder / "flow.json")), folder)
            starts = sorted(bar["started_at"] for bar in bench.ask(home, "gantt", "chain")["bars"])
            gaps = sorted((after - before) * 1000 for before, after in itertools.pairwise(starts))
            ours.append(statistics.median(gaps))
            worst.append(gaps[int(len(gaps) * 0.99)])
    note = f"p99 {statistics.median(worst):.1f} ms; floor {statistics.median(floor):.2f} ms"
    p50 = statistics.median(ours)
    bench.add(Row(f"{shape.name}: one hop, p50", p50, "ms", ratio(ours, floor), "floor", "1.6 ms (1.2)", note))


def commands(bench: Bench) -> None:
    """What a person waits for: whole commands, from the shell's prompt to the next."""
    rounds = 3 if bench.quick else 9
    folder = bench.scratch / "one"
    folder.mkdir()
    (folder / "one.json").write_text(shapes.document(shapes.fan(1), "one", folder))
    bare = [sys.executable, "-c", "pass"]
    with bench.coordinator("one") as home:
        bench.seconds(wattle(home, "create", str(folder / "one.json")), folder)
        python, status, run, version = interleaved(
            rounds,
            lambda: bench.seconds(bare),
            lambda: bench.seconds(wattle(home, "status")),
            lambda: bench.seconds(wattle(home, "run", "one"), folder),
            lambda: bench.seconds(wattle(home, "version")),
        )
    for what, times, bar in (("wattle version", version, ""), ("wattle status, live coordinator", status, "100 ms"),
                             ("wattle run of one true, live coordinator", run, "150 ms")):  # fmt: skip
        bench.add(Row(what, statistics.median(times) * 1000, "ms", ratio(times, python), "python -c pass", bar))
    fresh = iter(range(1000))
    python, cold = interleaved(
        rounds,
        lambda: bench.seconds(bare),
        lambda: bench.seconds(wattle(bench.scratch / f"cold-{next(fresh)}", "run", str(folder / "one.json")), folder),
    )
    note = "nothing runs, no state root yet"
    bench.add(Row("wattle run of one true, cold", statistics.median(cold) * 1000, "ms", ratio(cold, python),
                  "python -c pass", "500 ms", note))  # fmt: skip
