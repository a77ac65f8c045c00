"""One round: a run of many small workers, something is killed, and the run must end truthfully by itself.

Nobody helps: after the kill the round only looks (into the database file, read-only) until the run has ended. Then it
compares what Wattle says with the witness file, to which every worker wrote a line at its start and at its end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

WORKERS = 200
PATIENCE = 90.0
TARGETS = ("coordinator", "supervisor", "both")
SCRIPT = """\
echo "start $WATTLE_WORKER_NAME $WATTLE_ATTEMPT $$" >> "$WITNESS"
i=0
while [ $i -lt 20 ]; do echo "line $i of $WATTLE_WORKER_NAME"; i=$((i+1)); done
sleep 0.0$(($1 % 7))
echo "last words of $WATTLE_WORKER_NAME" >&2
echo "end $WATTLE_WORKER_NAME $WATTLE_ATTEMPT $$" >> "$WITNESS"
exit $2
"""


def expected_code(index: int) -> int:
    """Every eleventh worker fails, with a code of its own."""
    return 1 + index % 200 if index % 11 == 10 else 0


def document(folder: Path, workers: int) -> dict[str, Any]:
    """Ten layers; each worker waits for two of the layer above that do not fail."""
    width = max(1, workers // 10)
    rows = []
    for index in range(workers):
        layer, column = divmod(index, width)
        above = [(layer - 1) * width + (column + k) % width for k in range(2)] if layer else []
        needs = [f"w{i}" for i in above if expected_code(i) == 0]
        rows.append({"name": f"w{index}", "command": ["sh", str(folder / "work.sh"), str(index),
                                                      str(expected_code(index))], "needs": needs})  # fmt: skip
    return {"name": "faults", "on_failure": "continue", "env_vars": {"WITNESS": str(folder / "witness")},
            "workers": rows}  # fmt: skip


class Round:
    """One state root, one run, one kill."""

    def __init__(self, folder: Path, seed: int, target: str, workers: int = WORKERS) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.random = random.Random(seed)  # a reproducible moment, no secret
        self.target = target
        self.workers = workers
        self.killed: list[str] = []

    def wattle(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against this state root."""
        command = [sys.executable, "-m", "wattle", "--home", str(self.home), *words]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=self.folder,
                              env=env)  # fmt: skip

    def begin(self) -> None:
        """Start the run and leave it alone."""
        (self.folder / "work.sh").write_text(SCRIPT)
        (self.folder / "flow.json").write_text(json.dumps(document(self.folder, self.workers)))
        up = self.wattle("up")
        assert up.returncode == 0, up.stderr
        started = self.wattle("run", "--detach", "./flow.json")
        assert started.returncode == 0, started.stderr

    def strike(self) -> None:
        """Kill at a random moment of the run."""
        moment = self.random.uniform(0.0, 0.9)
        witness = self.folder / "witness"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not self.ended():
            lines = witness.read_text().count("\n") if witness.exists() else 0
            if lines >= moment * 2 * self.workers:
                break
            time.sleep(0.005)
        victims = self.victims()
        for name in ("coordinator", "supervisor") if self.target == "both" else (self.target,):
            if name in victims and _kill(victims[name]):
                self.killed.append(name)

    def victims(self) -> dict[str, int]:
        """Process ids, from the files that they keep in the state root."""
        found: dict[str, int] = {}
        holder = self.home / "holder.json"
        if holder.exists():
            found["coordinator"] = int(json.loads(holder.read_text())["pid"])
        lock = self.home / "run" / "supervisor.lock"
        if lock.exists() and lock.read_text().strip():
            found["supervisor"] = int(lock.read_text().split()[0])
        return found

    def ended(self) -> bool:
        """Whether the database says that the run has ended; looks, and touches nothing."""
        try:
            with sqlite3.connect(f"file:{self.home / 'wattle.db'}?mode=ro", uri=True, timeout=5) as database:
                row = database.execute("select status from runs").fetchone()
        except sqlite3.OperationalError:
            return False
        return row is not None and row[0] in {"completed", "failed", "cancelled"}

    def wait(self) -> bool:
        """Until the run has ended, without doing anything about it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.ended():
                return True
            time.sleep(0.05)
        return False

    def judge(self) -> dict[str, Any]:
        """What broke a promise, in words, and how many outcomes could not be known."""
        wrong: list[str] = []
        status = json.loads(self.wattle("status", "faults@1", "--json").stdout)
        starts, ends = self._witness()
        lost = 0
        for index, worker in enumerate(status["workers"]):
            name = worker["name"]
            wrong += [f"{name}: attempt {attempt} ran {count} times" for (who, attempt), count in starts.items()
                      if who == name and count > 1]  # fmt: skip
            if worker["reason"] == "lost":
                lost += 1
                continue
            if worker["status"] == "cancelled":
                continue
            if ends[name] != 1:
                wrong.append(f"{name}: {worker['status']}, but its witness ended {ends[name]} times")
            if worker["code"] != expected_code(index):
                wrong.append(f"{name}: code {worker['code']} instead of {expected_code(index)}")
            wrong += self._log_problems(name, worker["attempt"])
        return {"wrong": wrong, "lost": lost, "killed": self.killed, "status": status["status"]}

    def _witness(self) -> tuple[Counter[tuple[str, str]], Counter[str]]:
        starts: Counter[tuple[str, str]] = Counter()
        ends: Counter[str] = Counter()
        for line in (self.folder / "witness").read_text().splitlines():
            word, name, attempt, _ = line.split()
            if word == "start":
                starts[name, attempt] += 1
            else:
                ends[name] += 1
        return starts, ends

    def _log_problems(self, name: str, attempt: int) -> list[str]:
        folder = self.home / "logs" / "faults" / "1" / name / str(attempt)
        out = "".join(f"line {i} of {name}\n" for i in range(20))
        wanted = {"stdout.log": out, "stderr.log": f"last words of {name}\n"}
        return [f"{name}: {file} differs" for file, text in wanted.items()
                if not (folder / file).exists() or (folder / file).read_text() != text]  # fmt: skip

    def end(self) -> None:
        """Leave nothing behind."""
        self.wattle("down", "--stop-runs")
        for pid in self.victims().values():
            _kill(pid)


def play(folder: Path, seed: int, target: str, workers: int = WORKERS) -> dict[str, Any]:
    """One whole round. `wrong` is empty when every promise was kept."""
    turn = Round(folder, seed, target, workers)
    try:
        turn.begin()
        turn.strike()
        if not turn.wait():
            return {"wrong": ["the run did not end by itself"], "lost": 0, "killed": turn.killed, "status": "?"}
        return turn.judge()
    finally:
        turn.end()


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
