"""The coordinator is killed at every step of its turn and of its recovery; the run ends truthfully all the same."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.terminal import Terminal
from wattle.coordinator.coordinator import FAILPOINTS

TURN = FAILPOINTS[:5]
RECOVERY = FAILPOINTS[5:]


def chain(terminal: Terminal) -> str:
    """Five workers in a row; each writes a witness line. The third fails once before it succeeds."""
    witness = terminal.folder / "witness"
    flaky = f'echo w2 >> "{witness}"; test "$WATTLE_ATTEMPT" = 2'
    workers: dict[str, Any] = {
        f"w{i}": {"command": ["sh", "-c", f'echo w{i} >> "{witness}"'], "needs": [f"w{i - 1}"] if i else []}
        for i in range(5)
    }
    workers["w2"] = {"command": ["sh", "-c", flaky], "needs": ["w1"], "retries": 1}
    return terminal.write("chain.json", {"name": "chain", "workers": workers})


def check(terminal: Terminal) -> None:
    detail = terminal.wait_for("chain", "completed", 40)
    assert [worker["attempt"] for worker in detail["workers"]] == [1, 1, 2, 1, 1]
    assert terminal.lines("witness") == ["w0", "w1", "w2", "w2", "w3", "w4"]


def coordinate(terminal: Terminal, failpoint: str) -> subprocess.Popen[str]:
    """A coordinator that will die at the failpoint, once it answers or has died already."""
    terminal.environment["WATTLE_FAILPOINT"] = failpoint
    process = terminal.begin("coordinator", "--idle", "300")
    del terminal.environment["WATTLE_FAILPOINT"]
    wait_until(lambda: process.poll() is not None or (terminal.home / "run" / "coordinator.sock").exists(), 20)
    return process


@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("name", TURN)
def test_a_coordinator_killed_within_its_turn_is_replaced_and_nothing_is_lost(
    terminal: Terminal, name: str, count: int,
) -> None:
    flow = chain(terminal)
    process = coordinate(terminal, f"{name}:{count}")
    terminal.wattle("run", "--detach", flow)
    wait_until(lambda: process.poll() is not None, 30)
    assert process.returncode == -signal.SIGKILL
    check(terminal)


@pytest.mark.parametrize("name", RECOVERY)
def test_a_coordinator_killed_within_its_recovery_is_followed_by_the_next(terminal: Terminal, name: str) -> None:
    gate = terminal.folder / "gate"
    script = f'while [ ! -e "{gate}" ]; do sleep 0.02; done; echo done >> "{terminal.folder}/witness"'
    flow = terminal.write("flow.json", {"name": "chain", "workers": {"w": {"script": script, "lang": "sh"}}})
    assert terminal.wattle("up").returncode == 0
    assert terminal.wattle("run", "--detach", flow).returncode == 0
    wait_until(lambda: terminal.status("chain")["workers"][0]["pid"] is not None, 20)
    assert terminal.wattle("down").returncode == 0
    process = coordinate(terminal, name)
    wait_until(lambda: process.poll() is not None, 30)
    assert process.returncode == -signal.SIGKILL
    gate.touch()
    terminal.wattle("up")
    terminal.wait_for("chain", "completed", 40)
    assert terminal.lines("witness") == ["done"]
