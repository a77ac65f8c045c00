"""What the measurements stand on: the compiled floor, commands with their wall time, a coordinator of our own."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
WATTLE = [sys.executable, "-m", "wattle"]
LIMIT = 300.0
"""Seconds after which a command is given up."""


class Row(NamedTuple):
    """One figure. `ratio` is to the floor named in `floor`; `bar` is what it should not exceed."""

    what: str
    value: float | None
    unit: str
    ratio: float | None
    floor: str
    bar: str
    note: str = ""


class Bench:
    """A place to measure in: scratch folders, the compiled floor, an environment that finds this Wattle."""

    def __init__(self, scratch: Path, *, quick: bool) -> None:
        self.scratch = scratch
        self.quick = quick
        self.rounds = 1 if quick else 3
        self.rows: list[Row] = []
        self.environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "WATTLE_HOME": str(scratch / "unused")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
        self.floor = self._compile_floor()

    def _compile_floor(self) -> str:
        compiler = next((found for found in map(shutil.which, ("cc", "gcc", "clang")) if found), None)
        if compiler is None:
            raise SystemExit("the floor of every ratio is a C program: install a compiler (cc)")
        program = str(self.scratch / "floor")
        subprocess.run([compiler, "-O2", "-o", program, str(HERE / "floor.c")], check=True)
        return program

    def add(self, row: Row) -> None:
        """Keep a figure, and show that there is progress."""
        self.rows.append(row)
        ratio = "" if row.ratio is None else f"   {row.ratio:.2f} x {row.floor}"
        value = "-" if row.value is None else f"{row.value:.3g} {row.unit}"
        print(f"  {row.what}: {value}{ratio}", file=sys.stderr, flush=True)

    def seconds(self, command: Sequence[str], cwd: Path | None = None, stdout: Path | None = None) -> float:
        """Wall time of a command that must succeed."""
        with open(stdout or os.devnull, "wb") as sink:
            begin = time.perf_counter()
            ended = subprocess.run(command, cwd=cwd or self.scratch, env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=sink, stderr=subprocess.PIPE, timeout=LIMIT, check=False)  # fmt: skip
            took = time.perf_counter() - begin
        if ended.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr.decode()[-2000:]}")
        return took

    def ask(self, home: Path, *words: str) -> Any:
        """The JSON reply of a Wattle command."""
        told = subprocess.run([*WATTLE, "--home", str(home), *words, "--json"], cwd=self.scratch, env=self.environment,
                              capture_output=True, timeout=LIMIT, check=True)  # fmt: skip
        return json.loads(told.stdout)

    @contextmanager
    def coordinator(self, name: str) -> Iterator[Path]:
        """The state root of a background coordinator that lives as long as the block."""
        home = self.scratch / f"home-{name}"
        self.seconds(wattle(home, "up"))
        try:
            yield home
        finally:
            subprocess.run(wattle(home, "down"), env=self.environment, cwd=self.scratch, capture_output=True,
                           timeout=LIMIT, check=False)  # fmt: skip


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder on a real disk that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="wattle-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wattle(home: Path, *words: str) -> list[str]:
    """A Wattle command on a state root."""
    return [*WATTLE, "--home", str(home), *words]


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Each measure once per round, so that a slow minute of the machine hits all of them alike."""
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for measure, times in zip(measures, taken, strict=True):
            times.append(measure())
    return taken


def ratio(times: Sequence[float], floor: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return statistics.median(one / other for one, other in zip(times, floor, strict=True))


def coordinator_pid(home: Path) -> int:
    """Who holds a state root."""
    return int(json.loads((home / "holder.json").read_text())["pid"])


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
