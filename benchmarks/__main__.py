"""`python -m benchmarks`: every figure as a ratio to a floor that was measured in the same minute.

The floor is `floor.c`: `posix_spawn` and `waitpid` with dependency counting, no state and no logs. Rounds are
interleaved. Nothing is asserted: a figure that is short of its bar is shown as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable

from benchmarks import bus, engine, jupyter, live, notebook, parts
from benchmarks.machine import Bench, Row, scratch_folder

PARTS: dict[str, Callable[[Bench], None]] = {
    "throughput": engine.throughput,
    "ten-thousand": engine.ten_thousand,
    "hops": engine.hops,
    "commands": engine.commands,
    "documents": parts.documents,
    "graphs": parts.graphs,
    "output": live.output,
    "cancels": live.cancels,
    "loop-lag": live.loop_lag,
    "bus": bus.talk,
    "bus-unused": bus.unused,
    "bus-told": bus.told,
    "streams": jupyter.streams,
    "clients": jupyter.clients,
    "answers": jupyter.answers,
    "start": jupyter.start,
    "kernel": jupyter.kernel,
    "magics": notebook.magics,
    "cells": notebook.cells,
}


def main() -> None:
    """Measure, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, one round: a look, not a result")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    words = parser.parse_args()
    begin = time.perf_counter()
    with scratch_folder() as scratch:
        bench = Bench(scratch, quick=words.quick)
        for name in words.part or PARTS:
            PARTS[name](bench)
    if words.json:
        print(json.dumps({"machine": machine(), "rows": [row._asdict() for row in bench.rows]}, indent=2))
        return
    look = " · quick: a look, not a result" if words.quick else ""
    print(f"{machine()} · {time.perf_counter() - begin:.0f} s{look}\n")
    print("\n".join(table(bench.rows)))


def machine() -> str:
    """What was measured on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def table(rows: list[Row]) -> list[str]:
    """The figures as a Markdown table."""
    lines = ["| what | figure | ratio | to | bar | note |", "|---|---|---|---|---|---|"]
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.3g} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"| {row.what} | {value} | {ratio} | {row.floor} | {row.bar} | {row.note} |")
    return lines


if __name__ == "__main__":
    main()
