"""The examples of live workers, run as a reader would run them."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import wait_until
from tests.terminal import REPOSITORY, Terminal

EXAMPLES = REPOSITORY / "notebooks"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal with a bus, and this environment's programs first on its PATH."""
    made = Terminal(tmp_path, bus=True)
    made.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), made.environment["PATH"]])
    yield made
    made.close()


def run(place: Terminal, example: str, *words: str) -> Path:
    """Run an example in a copy of its folder. Returns the run folder."""
    folder = place.folder / example
    shutil.copytree(EXAMPLES / example, folder)
    done = subprocess.run([sys.executable, "-m", "wattle", "run", *words], cwd=folder, env=place.environment, text=True,
                          capture_output=True, check=False, timeout=100)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (folder / "wattle-runs").glob("*/latest")
    return found


def physics() -> ModuleType:
    spec = importlib.util.spec_from_file_location("physics", EXAMPLES / "simulation" / "physics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_pole_is_balanced_over_live_edges_and_would_fall_without_them(place: Terminal) -> None:
    found = run(place, "simulation", "--set", "seconds=3")
    with (found / "engine" / "trajectory.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    timing = json.loads((found / "engine" / "timing.json").read_text())
    assert len(rows) == 150

    assert max(abs(row["angle"]) for row in rows if row["t"] > timing["pushed_at"]) > 0.05, "it was pushed"
    assert abs(rows[-1]["angle"]) < 0.05, "and is upright again"
    assert {row["force"] > 0 for row in rows} == {True, False}, "because somebody pushed back"
    assert timing["answered"] > 0.8 * timing["published"], "who saw the state"

    step, alone = physics().step, [(0.0, 0.0, 0.1, 0.0)]
    for _ in range(150):
        alone.append(step(alone[-1], 0.0, 0.02))
    assert max(abs(state[2]) for state in alone) > 1, "alone it falls"

    frames = sorted((found / "renderer" / "frames").glob("frame-*.svg"))
    assert len(frames) > 10
    assert {ET.parse(frame).getroot().tag for frame in frames} == {"{http://www.w3.org/2000/svg}svg"}
    assert (found / "report" / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert f"| frames | {len(frames)} |" in (found / "report" / "report.md").read_text()
    states = {worker["name"]: worker["status"] for worker in place.status("pendulum")["workers"]}
    assert set(states.values()) == {"completed"}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_workers_in_three_languages_talk_while_they_run(place: Terminal) -> None:
    found = run(place, "languages", "--set", "readings=40")
    summary = json.loads((found / "watch" / "summary.json").read_text())
    assert summary["means"] == 40
    assert -1.2 < summary["lowest"] < 0 < summary["highest"] < 1.2
    report = (found / "report" / "report.md").read_text()
    assert "- readings that Node counted: 40\n" in report
    assert f"- values that Python saw: {json.dumps(summary)}\n" in report


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_worker_that_speaks_http_outlives_its_coordinator(place: Terminal) -> None:
    folder = place.folder / "languages"
    shutil.copytree(EXAMPLES / "languages", folder)
    assert place.wattle("up").returncode == 0
    assert place.wattle("run", str(folder / "wattle.yaml"), "--set", "readings=300", "-d").returncode == 0
    heard = place.begin("sub", "languages/smooth/level", "-n", "5")
    assert heard.wait(60) == 0, "the three are talking"
    killed = place.coordinator()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: place.coordinator() != killed and place.wattle("status", "languages").returncode == 0, 60)
    assert place.wattle("wait", "languages", timeout=60).returncode == 0
    summary = place.ask("get", "languages/watch/summary")["value"]
    assert summary["means"] > 5, "what was said while nobody forwarded is missed, and nothing else"
