"""Who coordinates: foreground and background, clean end and kill -9 and SIGSTOP, and who comes next.

Real commands on a real state root. A worker's witness line says that it ran, and how often.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    place = Terminal(tmp_path)
    yield place
    place.close()


def gated(terminal: Terminal, name: str = "gated", workers: int = 2) -> str:
    """A workflow whose workers write a witness line and then wait for the file `gate`."""
    folder = terminal.folder
    script = f'echo "$WATTLE_WORKER_NAME" >> "{folder}/witness"\nwhile [ ! -e "{folder}/gate" ]; do sleep 0.02; done'
    listed: dict[str, Any] = {f"w{i}": {"script": script, "lang": "sh"} for i in range(workers)}
    listed["last"] = {"command": ["sh", "-c", f"echo last >> {terminal.folder}/witness"], "needs": sorted(listed)}
    return terminal.write(f"{name}.json", {"name": name, "workers": listed})


def open_gate(terminal: Terminal) -> None:
    (terminal.folder / "gate").touch()


def wait_for_workers(terminal: Terminal, count: int = 2) -> None:
    wait_until(lambda: len(terminal.lines("witness")) >= count, 30)


def each_ran_once(terminal: Terminal) -> bool:
    return sorted(terminal.lines("witness")) == ["last", "w0", "w1"]


def begin_foreground(terminal: Terminal) -> subprocess.Popen[str]:
    process = terminal.begin("run", gated(terminal))
    wait_for_workers(terminal)
    return process


def begin_background(terminal: Terminal) -> int:
    up = terminal.wattle("up")
    assert up.returncode == 0, up.stderr
    started = terminal.wattle("run", "--detach", gated(terminal))
    assert started.returncode == 0, started.stderr
    wait_for_workers(terminal)
    return int(terminal.holder()["pid"])


def test_a_second_terminal_follows_and_stops_a_foreground_run(terminal: Terminal) -> None:
    process = begin_foreground(terminal)
    assert terminal.status("gated")["status"] == "running"
    stopped = terminal.wattle("stop", "gated")
    assert stopped.returncode == 0, stopped.stderr
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert terminal.status("gated")["status"] == "cancelled"


def test_a_foreground_run_hands_over_to_a_background_coordinator_and_is_followed_to_its_end(
    terminal: Terminal,
) -> None:
    process = begin_foreground(terminal)
    assert terminal.wattle("up").returncode == 0
    assert terminal.holder()["rank"] == "background"
    open_gate(terminal)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert each_ran_once(terminal)


@pytest.mark.parametrize("begin", ["foreground", "background"])
def test_a_run_ends_by_itself_after_kill_9_of_its_coordinator(terminal: Terminal, begin: str) -> None:
    if begin == "foreground":
        begin_foreground(terminal)
    else:
        begin_background(terminal)
    os.kill(terminal.holder()["pid"], signal.SIGKILL)
    open_gate(terminal)
    wait_until(lambda: each_ran_once(terminal), 30)
    assert terminal.wait_for("gated", "completed")["counts"] == {"completed": 3}


def test_a_foreground_run_without_a_terminal_is_stopped_by_sigterm(terminal: Terminal) -> None:
    process = begin_foreground(terminal)
    pids = [worker["pid"] for worker in terminal.status("gated")["workers"] if worker["pid"]]
    assert len(pids) == 2
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert terminal.status("gated")["status"] == "cancelled"
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_down_lets_workers_run_on_and_up_goes_on_with_the_run(terminal: Terminal) -> None:
    begin_background(terminal)
    assert terminal.wattle("down").returncode == 0
    open_gate(terminal)
    before = terminal.status("gated")
    assert before["status"] == "running", "nobody drives it, and a look-up starts nobody"
    assert terminal.wattle("up").returncode == 0
    terminal.wait_for("gated", "completed")
    assert each_ran_once(terminal)


def test_a_hung_holder_is_named_and_ended_only_by_force(terminal: Terminal) -> None:
    pid = begin_background(terminal)
    os.kill(pid, signal.SIGSTOP)
    forced = terminal.wattle("down", "--force")
    assert forced.returncode == 0, forced.stderr
    assert str(pid) in forced.stdout
    open_gate(terminal)
    terminal.wait_for("gated", "completed")
    assert each_ran_once(terminal)


def test_of_two_coordinators_that_race_one_holds_and_the_other_leaves(terminal: Terminal) -> None:
    first, second = terminal.begin("coordinator", "--idle", "1"), terminal.begin("coordinator", "--idle", "1")
    wait_until(lambda: any(process.poll() is not None for process in (first, second)), 30)
    alive = [process for process in (first, second) if process.poll() is None]
    assert len(alive) <= 1
    for process in (first, second):
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err


def test_five_commands_that_start_at_once_all_finish_and_run_everything_once(terminal: Terminal) -> None:
    documents = [
        terminal.write(f"flow{i}.json", {"name": f"flow{i}", "workers": {"only": {
            "command": ["sh", "-c", f"echo flow{i} >> {terminal.folder}/witness"]}}})
        for i in range(5)
    ]  # fmt: skip
    processes = [terminal.begin("run", document) for document in documents]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
    assert sorted(terminal.lines("witness")) == [f"flow{i}" for i in range(5)]


def test_looking_up_without_a_coordinator_starts_none(terminal: Terminal) -> None:
    open_gate(terminal)
    assert terminal.wattle("run", gated(terminal)).returncode == 0
    wait_until(lambda: not (terminal.home / "holder.json").exists(), 10)
    assert terminal.status("gated")["status"] == "completed"
    assert terminal.ask("list")["total"] == 1
    assert not (terminal.home / "holder.json").exists()


def test_with_on_exit_pause_nobody_restarts_a_killed_coordinator(terminal: Terminal) -> None:
    terminal.environment["WATTLE_ON_EXIT"] = "pause"
    begin_background(terminal)
    os.kill(terminal.holder()["pid"], signal.SIGKILL)
    open_gate(terminal)
    with pytest.raises(AssertionError):
        wait_until(lambda: "last" in terminal.lines("witness"), 4)


def test_a_state_root_held_on_another_host_is_refused_by_name(terminal: Terminal) -> None:
    terminal.home.mkdir(mode=0o700)
    (terminal.home / "holder.json").write_text('{"host": "login7", "pid": 1, "rank": "background"}')
    refused = terminal.wattle("run", gated(terminal))
    assert refused.returncode == 1
    assert "login7" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_state_root_that_was_made_anew_gets_a_new_store_and_keeps_its_numbers_apart(terminal: Terminal) -> None:
    pid = begin_background(terminal)
    os.rename(terminal.home, terminal.folder / "old")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 20)
    open_gate(terminal)
    again = terminal.wattle("run", gated(terminal, "anew"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert [run["address"] for run in terminal.ask("runs")["runs"]] == ["anew@1"]
