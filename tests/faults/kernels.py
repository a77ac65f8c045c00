"""Kernels that are killed while they start, show and attach to runs: the runs go on as if nothing had been there.

One coordinator, one kernel after the other. Each of them runs cells that start a run or attach to those that are there,
and is killed at a random moment of that. In the end a kernel that nobody kills attaches to every run: each worker ran
once, says the witness file that they wrote, and its log is there from its first byte to its last.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.helpers import wait_until
from tests.kernel.shells import Kernel
from tests.terminal import Terminal

WORKERS, LINES = 4, 60
SCRIPT = """\
echo "start $WATTLE_RUN $WATTLE_WORKER_NAME $WATTLE_ATTEMPT" >> "$WITNESS"
i=0
while [ $i -lt {lines} ]; do echo "line $i of $WATTLE_WORKER_NAME"; sleep 0.01; i=$((i+1)); done
echo "end $WATTLE_RUN $WATTLE_WORKER_NAME $WATTLE_ATTEMPT" >> "$WITNESS"
"""
LONGEST = 0.4
"""Seconds after its cell was sent within which a kernel is killed."""
READ = """
import json, wattle
with wattle.connect() as client:
    runs = [run["address"] for run in client.ask("list_runs", workflow="kernels", limit=1000)["runs"]]
    print(json.dumps({run: {name: wattle.Run.find(client, run).logs(name) for name in NAMES} for run in runs}))
"""


def document(folder: Path) -> dict[str, Any]:
    """Workers in a row of two, which may run several times at once."""
    script = SCRIPT.format(lines=LINES)
    workers = {f"w{n}": {"script": script, "lang": "sh", "needs": [f"w{n - 2}"] if n > 1 else []} for n in range(WORKERS)}
    return {"name": "kernels", "overlap": "allow", "env_vars": {"WITNESS": str(folder / "witness")}, "workers": workers}


def play(folder: Path, seed: int, kills: int) -> dict[str, Any]:
    """Kill so many kernels. `wrong` is empty when every promise was kept; `runs` is how many were started."""
    moments = random.Random(seed)
    terminal = Terminal(folder)
    try:
        assert terminal.wattle("create", terminal.write("kernels.json", document(folder))).returncode == 0
        assert terminal.wattle("up").returncode == 0
        coordinator = terminal.coordinator()
        for turn in range(kills):
            _strike(folder, terminal.home, moments, run=turn % 3 == 0, late=turn % 2 == 0)
        wrong = ["the coordinator is another one"] if terminal.coordinator() != coordinator else []
        return {"runs": _ended(terminal), "wrong": [*wrong, *_judge(folder, terminal)]}
    finally:
        terminal.close()


def _strike(folder: Path, home: Path, moments: random.Random, *, run: bool, late: bool) -> None:
    """A kernel that starts a run or attaches to the newest, killed at a random moment: of all, or (`late`) after the run
    that it starts has begun."""
    logs = home / "logs" / "kernels"
    before = len(list(logs.iterdir())) if logs.exists() else 0
    kernel = Kernel(folder, home)
    try:
        kernel.begin(f"%load_ext wattle\n%wattle {'run' if run else 'attach'} kernels")
        if run and late:
            wait_until(lambda: logs.exists() and len(list(logs.iterdir())) > before)
        time.sleep(moments.uniform(0.0, LONGEST))  # the moment is what is tried
        kernel.kill()
    finally:
        kernel.close()


def _ended(terminal: Terminal) -> int:
    """Wait until no run goes on; how many there were."""
    while True:
        runs = terminal.ask("runs", "kernels", "--limit", "1000")["runs"]
        active = [run["address"] for run in runs if run["status"] in {"created", "running"}]
        if not active:
            return len(runs)
        terminal.wattle("wait", active[-1])


def _judge(folder: Path, terminal: Terminal) -> list[str]:
    names = [f"w{n}" for n in range(WORKERS)]
    kernel = Kernel(folder, terminal.home)
    try:
        answer = kernel.run(f"NAMES = {names}" + READ)
        assert answer.status == "ok", answer.error
        logs: dict[str, dict[str, str]] = json.loads(answer.text)
    finally:
        kernel.close()
    seen = Counter((folder / "witness").read_text().splitlines()) if logs else Counter[str]()
    wrong = [f"{line}: {count} times" for line, count in seen.items() if count != 1]
    for run, of_run in logs.items():
        number = run.partition("@")[2]
        for name, text in of_run.items():
            if seen[f"start {number} {name} 1"] != 1 or seen[f"end {number} {name} 1"] != 1:
                wrong.append(f"{run}/{name} did not run once, to its end")
            if text != "".join(f"line {i} of {name}\n" for i in range(LINES)):
                wrong.append(f"{run}/{name}: its log differs ({len(text)} characters)")
    statuses = {run["status"] for run in terminal.ask("runs", "kernels", "--limit", "1000")["runs"]}
    return wrong + [f"a run is {status}" for status in statuses - {"completed"}]
