"""`kill -9` of `jupyter lab` with 200 workers alive: all are adopted, logs are equal, streams go on without a gap."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.helpers import wait_until
from tests.jupyter.conftest import Begin
from tests.jupyter.servers import run_starting
from tests.terminal import Terminal

WORKERS = 200
FOLLOWED = "w7"


@pytest.mark.slow
def test_two_hundred_workers_survive_the_death_of_jupyter_lab(
    begin: Begin, terminal: Terminal, tmp_path: Path
) -> None:
    script = (f'echo "$WATTLE_WORKER_NAME $$" >> "{tmp_path}/witness"; i=0\n'
              f'while [ ! -e "{tmp_path}/gate" ]; do i=$((i+1)); echo "$WATTLE_WORKER_NAME line $i"; sleep 0.3; done\n'
              'echo "$WATTLE_WORKER_NAME said $i"')  # fmt: skip
    workers = {f"w{n}": {"script": script, "lang": "sh"} for n in range(WORKERS)}
    first = begin("lab", environment={"WATTLE_MAX_CONCURRENT_WORKERS": str(WORKERS)})
    first.ready()
    run_starting(first, {"name": "many", "working_dir": str(tmp_path), "max_concurrent_workers": WORKERS,
                         "workers": workers})  # fmt: skip
    wait_until(lambda: len(terminal.lines("witness")) == WORKERS, 60)
    alive = {line.split()[0]: int(line.split()[1]) for line in terminal.lines("witness")}
    seen: list[tuple[str, str]] = []
    with first.client() as client:
        stream = client.stream("follow_logs", workflow="many@1", worker=FOLLOWED, stream="stdout")
        while "line 3\n" not in "".join(text for _, text in seen):
            identity, data = next(stream)
            seen.append((identity, data["text"] or ""))
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(30)
        assert isinstance(stream, Generator)
        stream.close()

    second = begin("lab", environment={"WATTLE_MAX_CONCURRENT_WORKERS": str(WORKERS)})
    assert second.ready()["rank"] == "server"
    detail = second.ask("GET", "/api/workflows/many/workers").json
    assert {worker["name"]: worker["pid"] for worker in detail["workers"]} == alive, "the same processes, all of them"
    assert all(os.path.exists(f"/proc/{pid}") for pid in alive.values())
    (tmp_path / "gate").touch()
    with second.client() as client:
        for _, data in client.stream("follow_logs", workflow="many@1", worker=FOLLOWED, stream="stdout",
                                     position=seen[-1][0]):  # fmt: skip
            seen.append(("", data["text"] or ""))
    ended = terminal.wait_for("many", "completed", 90)
    assert ended["counts"] == {"completed": WORKERS}
    assert len(terminal.lines("witness")) == WORKERS, "none was started twice"
    for name in alive:
        path = Path(second.ask("GET", f"/api/workers/many/{name}").json["attempts"][0]["log"]["stdout"])
        lines = path.read_text().splitlines()
        count = len(lines) - 1
        assert lines == [f"{name} line {n + 1}" for n in range(count)] + [f"{name} said {count}"]
        if name == FOLLOWED:
            assert "".join(text for _, text in seen) == path.read_text(), "the stream has no gap and nothing twice"
    assert json.loads(terminal.wattle("runs", "many", "--json").stdout)["runs"][0]["status"] == "completed"
