"""What the magics and cells cost: a real kernel beside a live coordinator, and cells beside plain Python."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from benchmarks.machine import HERE, Bench, Row, interleaved

TIMED = """
import json, time
_begin = time.perf_counter()
{code}
print(json.dumps(1000 * (time.perf_counter() - _begin)))
"""
CELL_RUNNER = HERE.parent / "wattle" / "runtime" / "cell_runner.py"


class Kernel:
    """A kernel in a folder, with a state root."""

    def __init__(self, bench: Bench, folder: Path, home: Path) -> None:
        self._manager = KernelManager()
        self._manager.transport, self._manager.ip = "ipc", str(folder / "kernel")
        variables = {**bench.environment, "WATTLE_HOME": str(home), "IPYTHONDIR": str(folder / "ipython")}
        self._manager.start_kernel(cwd=str(folder), env=variables)
        self._client: Any = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def milliseconds(self, code: str) -> float:
        """What a piece of code takes inside the kernel."""
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])

        reply = self._client.execute_interactive(TIMED.format(code=code), timeout=60, output_hook=hear,
                                                 allow_stdin=True)  # fmt: skip
        if reply["content"]["status"] != "ok":
            raise SystemExit("\n".join(reply["content"]["traceback"]))
        return float(json.loads("".join(said).splitlines()[-1]))

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


@contextlib.contextmanager
def kernel(bench: Bench, folder: Path, home: Path) -> Iterator[Kernel]:
    """A fresh kernel in a folder."""
    made = Kernel(bench, folder, home)
    try:
        yield made
    finally:
        made.close()


def magics(bench: Bench) -> None:
    """`%load_ext wattle` and `%wattle run` in fresh kernels, then in one that has shown a run before."""
    folder = bench.scratch / "magics"
    folder.mkdir()
    (folder / "small.yaml").write_text("name: small\noverlap: allow\nworkers: {a: {command: 'true'}}\n")
    loads, firsts, later = [], [], []
    run = "get_ipython().run_line_magic('wattle', 'run ./small.yaml')"
    with bench.coordinator("magics") as home:
        for _ in range(2 if bench.quick else 5):
            with kernel(bench, folder, home) as place:
                loads.append(place.milliseconds("get_ipython().run_line_magic('load_ext', 'wattle')"))
                firsts.append(place.milliseconds(run))
                later += [place.milliseconds(run) for _ in range(5)]
    first = "%wattle run, the first view of a kernel"
    for what, figures, bar in (("%load_ext wattle", loads, 150), (first, firsts, 500), ("%wattle run", later, 100)):
        bench.add(Row(what, statistics.median(figures), "ms", None, "", f"{bar} ms", f"worst {max(figures):.0f} ms"))


def cells(bench: Bench) -> None:
    """A cell that does nothing, and one with a variable in and out, beside `python -c pass` of the same interpreter."""
    folder = bench.scratch / "cells"
    folder.mkdir()
    (folder / "pass.py").write_text("pass\n")
    (folder / "double.py").write_text("table = [2 * number for number in raw]\n")
    (folder / "raw.json").write_text("[1, 2, 3]")
    runner = [sys.executable, str(CELL_RUNNER)]
    plain = [sys.executable, "-c", "pass"]
    nothing = [*runner, "cell", str(folder / "pass.py"), "--"]
    ports = ["object", "raw", str(folder / "raw.json"), "save", "table", str(folder / "table")]
    variables = [*runner, "cell", str(folder / "double.py"), *ports, "--"]
    rounds = 10 if bench.quick else 40
    floor, bare, fed = interleaved(rounds, *[lambda words=words: _wall(words) for words in (plain, nothing, variables)])
    for what, times in (("a cell that does nothing", bare), ("a cell with a variable in and one out", fed)):
        over = 1000 * statistics.median(one - base for one, base in zip(times, floor, strict=True))
        bench.add(Row(f"{what}, over python -c pass", over, "ms", statistics.median(times) / statistics.median(floor),
                      "python -c pass", "30 ms"))  # fmt: skip


def _wall(words: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - begin
