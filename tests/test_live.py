"""Live edges in real runs: gangs that talk over a real router, the bus that workers and listeners find, and runs that
need none of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.terminal import Terminal, running
from wattle.bus.follow import Follower
from wattle.bus.zenoh import open_client

ENGINE = """
import pathlib, time
from wattle import worker
x, v, forces = 1.0, 0.0, worker.subscribe("force")
while not pathlib.Path("over").exists():
    told = forces.latest()
    v += (told["f"] if told else 0.0) * 0.02
    x += v * 0.02
    worker.publish("state", {"x": x, "v": v})
    time.sleep(0.005)
"""
CONTROLLER = """
import json, pathlib, sys
from wattle import worker
wanted, seen = int(sys.argv[1]), []
for state in worker.subscribe("state"):
    worker.publish("force", {"f": -4 * state["x"] - 3 * state["v"]})
    seen.append(state["x"])
    pathlib.Path("steps").write_text(str(len(seen)))
    worker.progress(min(len(seen) / wanted, 1), "steering")
    if len(seen) >= wanted and not pathlib.Path("hold").exists():
        break
pathlib.Path(worker.outputs["trace"]).write_text(json.dumps(seen))
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal whose coordinators have a bus, in a folder with the programs of a loop."""
    place = Terminal(tmp_path, bus=True)
    (tmp_path / "engine.py").write_text(ENGINE)
    (tmp_path / "controller.py").write_text(CONTROLLER)
    yield place
    (tmp_path / "over").touch()
    place.close()


def loop(terminal: Terminal, steps: int = 300) -> str:
    """A document: an engine that serves, a controller that steers it, and a batch worker behind the controller."""
    stream = {"type": "stream"}
    return terminal.write("loop.json", {"name": "loop", "workers": {
        "engine": {"command": [sys.executable, "engine.py"], "inputs": {"force": "controller/force"}, "outputs": {"state": stream},
                   "service": True},
        "controller": {"command": [sys.executable, "controller.py", str(steps)], "inputs": {"state": "engine/state"},
                       "outputs": {"force": stream, "trace": "trace.json"}},
        "after": {"command": "cp ${inputs.trace} after.json", "inputs": {"trace": "controller/trace"}},
    }})  # fmt: skip


def steps(terminal: Terminal) -> int:
    text = "".join(terminal.lines("steps"))
    return int(text or 0)


def workers(terminal: Terminal, address: str = "loop") -> dict[str, Any]:
    return {worker["name"]: worker for worker in terminal.status(address)["workers"]}


def test_a_loop_of_live_edges_and_batch_work_behind_it_are_one_run(live: Terminal) -> None:
    done = live.wattle("run", loop(live), timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    trace = json.loads((live.folder / "after.json").read_text())
    assert len(trace) == 300
    assert trace[0] > 0.9
    assert abs(trace[-1]) < 0.2, "the controller's force came back to the engine"
    assert {name: worker["status"] for name, worker in workers(live).items()} == {
        "engine": "completed", "controller": "completed", "after": "completed"}  # fmt: skip


def test_when_a_member_is_killed_the_gang_ends_and_a_rerun_begins_it_as_a_whole(live: Terminal) -> None:
    (live.folder / "hold").touch()
    command = live.begin("run", loop(live))
    wait_until(lambda: steps(live) > 20)
    os.kill(workers(live)["controller"]["pid"], signal.SIGKILL)
    assert command.wait(60) == 1
    found = workers(live)
    assert (found["controller"]["status"], found["controller"]["reason"]) == ("failed", "signal")
    assert (found["engine"]["status"], found["engine"]["reason"]) == ("cancelled", "upstream-failed")
    (live.folder / "hold").unlink()
    again = live.wattle("rerun", "loop", "--failed", timeout=90)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {name: worker["status"] for name, worker in workers(live).items()} == {
        "engine": "completed", "controller": "completed", "after": "completed"}  # fmt: skip


@pytest.mark.slow
def test_after_kill_9_of_its_coordinator_live_edges_never_paused_and_listeners_hear_the_end(live: Terminal) -> None:
    (live.folder / "hold").touch()
    assert live.wattle("up").returncode == 0
    assert live.wattle("run", loop(live), "-d").returncode == 0
    wait_until(lambda: steps(live) > 20)
    router, before = live.router(), steps(live)
    with (open_client(live.home / "run" / "bus" / "connection-kernel.json") as session,
          Follower(session, "loop", 1) as follower):  # fmt: skip
        changes = iter(follower)
        next(changes)
        coordinator = live.coordinator()
        os.kill(coordinator, signal.SIGKILL)
        wait_until(lambda: steps(live) > before + 50)
        wait_until(lambda: live.coordinator() != coordinator and live.wattle("status", "loop").returncode == 0)
        assert live.router() == router, "the successor found the router again"
        (live.folder / "hold").unlink()
        for _ in changes:
            pass
        assert follower.status == "completed"
        assert {worker["status"] for worker in follower.workers.values()} == {"completed"}


def test_who_listens_at_once_waits_for_a_bus_that_is_starting(live: Terminal) -> None:
    (live.folder / "hold").touch()
    assert live.wattle("run", loop(live), "-d").returncode == 0
    heard = live.wattle("sub", "loop/engine/state", "-n", "1")
    assert heard.returncode == 0, heard.stderr
    assert set(json.loads(heard.stdout)) == {"x", "v"}
    assert live.wattle("stop", "loop").returncode == 0


def looks(terminal: Terminal) -> dict[str, str]:
    """What the doctor says, by what it looked at."""
    return {look["name"]: look["detail"] for look in terminal.ask("doctor")}


def test_the_router_of_a_coordinator_that_was_ended_goes_with_it(live: Terminal) -> None:
    assert live.wattle("up").returncode == 0
    router = wait_until(lambda: (live.home / "run" / "bus" / "ready.json").exists() and live.router())
    assert running(router)
    wait_until(lambda: looks(live)["bus"].endswith(", started."))
    assert looks(live)["supervisor"].endswith(", well")
    assert live.wattle("down").returncode == 0
    wait_until(lambda: not running(router))


def test_without_a_bus_batch_work_runs_and_a_live_call_says_why_not(terminal: Terminal) -> None:
    path = terminal.write("flow.json", {"name": "flow", "on_failure": "continue", "workers": {
        "batch": {"command": "true"},
        "talker": {"script": "from wattle import worker\nworker.publish('a', 1)", "lang": "python", "python": sys.executable},
    }})  # fmt: skip
    assert terminal.wattle("run", path).returncode == 1
    assert workers(terminal, "flow")["batch"]["status"] == "completed"
    said = terminal.wattle("logs", "flow/talker").stdout
    assert "There is no bus here" in said
    assert "[zenoh] enabled = true" in said
    (look,) = [look for look in terminal.ask("doctor") if look["name"] == "bus"]
    assert (look["ok"], look["detail"]) == (True, "off: the settings say so ([zenoh] enabled = false)")


def test_a_zenoh_that_cannot_be_imported_leaves_wattle_fully_working(live: Terminal) -> None:
    broken = live.folder / "broken"
    broken.mkdir()
    (broken / "zenoh.py").write_text("raise ImportError('no wheel for this machine')")
    live.environment["PYTHONPATH"] = f"{broken}{os.pathsep}{live.environment['PYTHONPATH']}"
    path = live.write("flow.json", {"name": "flow", "workers": {
        "batch": {"command": "true"},
        "late": {"script": "from wattle import worker\ntry: worker.publish('a', 1)\nexcept Exception as e: print(e)",
                 "lang": "python", "python": sys.executable, "needs": ["batch"]},
    }})  # fmt: skip
    done = live.wattle("run", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no wheel for this machine" in live.wattle("logs", "flow/late").stdout
