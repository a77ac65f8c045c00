"""The router is killed again and again, beside a batch run and a run of live edges, while somebody follows both.

What must hold: no batch worker notices; live edges go on with each new router; the gang ends when its engine does, even
if the router dies in that very moment; and whoever follows ends with the truth.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.terminal import Terminal
from wattle.bus.follow import Follower
from wattle.bus.zenoh import Session, open_client

PATIENCE = 60.0
LOOK_EVERY = 5
"""After so many kills it is seen to that live edges go on."""
ENGINE = """
import os, pathlib, time
from wattle import worker
number, echoed = 0, worker.subscribe("echo")
while not pathlib.Path("over").exists():
    number += 1
    worker.publish("state", {"n": number})
    if (told := echoed.latest()) is not None:
        pathlib.Path("draft").write_text(str(told["n"]))
        os.replace("draft", "echoed")
    time.sleep(0.01)
worker.put("last", number)
"""
ECHO = """
from wattle import worker
for state in worker.subscribe("state"):
    worker.publish("echo", state)
"""
BATCH = """\
echo "start $WATTLE_WORKER_NAME $WATTLE_ATTEMPT" >> "$WITNESS"
sleep 0.$(($1 % 3 + 1))
echo "end $WATTLE_WORKER_NAME $WATTLE_ATTEMPT" >> "$WITNESS"
"""


def documents(folder: Path, workers: int) -> dict[str, dict[str, Any]]:
    """A loop of live edges, and a batch of small workers."""
    stream = {"type": "stream"}
    for name, text in (("engine.py", ENGINE), ("echo.py", ECHO), ("batch.sh", BATCH)):
        (folder / name).write_text(text)
    return {
        "live": {"name": "live", "workers": {
            "engine": {"command": [sys.executable, "engine.py"], "inputs": {"echo": "echo/echo"},
                       "outputs": {"state": stream, "last": {"type": "value"}}},
            "echo": {"command": [sys.executable, "echo.py"], "inputs": {"state": "engine/state"},
                     "outputs": {"echo": stream}}}},
        "batch": {"name": "batch", "env_vars": {"WITNESS": str(folder / "witness")}, "max_concurrent_workers": 2, "workers": {
            f"w{number}": {"command": ["sh", str(folder / "batch.sh"), str(number)]} for number in range(workers)}},
    }  # fmt: skip


class Round:
    """One coordinator, two runs, many kills."""

    def __init__(self, folder: Path, seed: int, kills: int) -> None:
        self.terminal = Terminal(folder, bus=True)
        self.folder = folder
        self.kills = kills
        self.random = random.Random(seed)  # a reproducible moment, no secret
        self.wrong: list[str] = []
        self.heard: dict[str, dict[str, str]] = {}

    def play(self) -> None:
        """All of it."""
        self._begin()
        followers = [threading.Thread(target=self._follow, args=(name,), daemon=True) for name in ("live", "batch")]
        for thread in followers:
            thread.start()
        self._goes_on("at the beginning")
        for kill in range(1, self.kills + 1):
            self._strike()
            if kill % LOOK_EVERY == 0:
                self._goes_on(f"after {kill} kills")
        self._strike(self.folder / "over")
        for name in ("live", "batch"):
            deadline = time.monotonic() + PATIENCE
            while self.terminal.ask("status", name)["status"] == "running" and time.monotonic() < deadline:
                time.sleep(0.1)
        for thread in followers:
            thread.join(PATIENCE)
        self._judge()

    def _begin(self) -> None:
        up = self.terminal.wattle("up")
        assert up.returncode == 0, up.stderr
        for name, document in documents(self.folder, 3 * self.kills).items():
            done = self.terminal.wattle("run", self.terminal.write(f"{name}.json", document), "-d")
            assert done.returncode == 0, done.stderr

    def _follow(self, name: str) -> None:
        """Until the run ends, over as many sessions as it takes."""
        with _session(self.terminal.home) as session, Follower(session, name, 1, silence=2.0) as follower:
            for _ in follower:
                pass
            self.heard[name] = {"": follower.status, **{key: one["status"] for key, one in follower.workers.items()}}

    def _router(self) -> int:
        try:
            return int(json.loads((self.terminal.home / "run" / "bus" / "ready.json").read_text())["pid"])
        except (OSError, ValueError):
            return 0

    def _strike(self, then: Path | None = None) -> None:
        """Kill the router at some moment of its life, make a file, and see the next router come."""
        deadline = time.monotonic() + PATIENCE
        while not (pid := self._router()) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(self.random.uniform(0.0, 0.3))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if then is not None:
            then.touch()
        while self._router() in {0, pid}:
            if time.monotonic() > deadline:
                self.wrong.append("a router that was killed was not started again")
                return
            time.sleep(0.01)

    def _echoed(self) -> int:
        try:
            return int((self.folder / "echoed").read_text() or 0)
        except OSError:
            return 0

    def _goes_on(self, when: str) -> None:
        """The engine's states come back to it."""
        deadline, before = time.monotonic() + PATIENCE, self._echoed()
        while self._echoed() < before + 10:
            if time.monotonic() > deadline:
                self.wrong.append(f"live edges do not go on {when}")
                return
            time.sleep(0.02)

    def _judge(self) -> None:
        for name in ("live", "batch"):
            status = self.terminal.ask("status", name)
            truth = {"": status["status"], **{worker["name"]: worker["status"] for worker in status["workers"]}}
            if set(truth.values()) != {"completed"}:
                self.wrong.append(f"{name}: {Counter(truth.values())}")
            if self.heard.get(name) != truth:
                self.wrong.append(f"{name}: who followed it heard {self.heard.get(name)}")
            self.wrong += [f"{worker['name']}: attempt {worker['attempt']}" for worker in status["workers"]
                           if worker["attempt"] != 1]  # fmt: skip
        lines = Counter((self.folder / "witness").read_text().splitlines())
        expected = {f"{word} w{number} 1" for word in ("start", "end") for number in range(3 * self.kills)}
        if set(lines) != expected or set(lines.values()) != {1}:
            self.wrong.append(f"the witness of the batch differs: {set(lines) ^ expected}")


@contextlib.contextmanager
def _session(home: Path) -> Iterator[Session]:
    """A person's session, which outlives routers."""
    file = home / "run" / "bus" / "connection-kernel.json"
    deadline = time.monotonic() + PATIENCE
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with open_client(file, timeout=PATIENCE) as session:
        yield session


def play(folder: Path, seed: int, kills: int) -> list[str]:
    """One whole round. The result is empty when every promise was kept."""
    round_ = Round(folder, seed, kills)
    try:
        round_.play()
    finally:
        (folder / "over").touch()
        round_.terminal.close()
    return round_.wrong
