"""Who coordinates: foreground and background, clean end and kill -9 and SIGSTOP, and who comes next; and the same where
there is no supervisor and the private door is a port.

Real commands on a real state root. A worker's witness line says that it ran, and how often.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.terminal import Terminal
from wattle import succession
from wattle.runtime.supervisor import processes
from wattle.sdk.client import Client
from wattle.sdk.transports import LoopbackTransport
from wattle.settings import load, prepare_home


@pytest.fixture
def alone(terminal: Terminal) -> Terminal:
    """A machine without a supervisor and without Unix sockets, as far as settings can make it one."""
    terminal.environment |= {"WATTLE_SUPERVISOR": "off", "WATTLE_DOOR": "tcp"}
    return terminal


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


# ---- without a supervisor, behind a port ----------------------------------------------------------------------------


def is_alive(pid: int) -> bool:
    """Whether it is there and no zombie: nobody may be there to wait for an orphan."""
    found = processes.look(pid)
    return found is not None and found.state not in processes.DEAD


def pids_of(terminal: Terminal) -> list[int]:
    return [worker["pid"] for worker in terminal.status("gated")["workers"] if worker["pid"]]


def test_alone_a_run_comes_to_its_end_and_leaves_no_door_and_no_supervisor(alone: Terminal) -> None:
    process = begin_foreground(alone)
    door = alone.home / "run" / "coordinator.door"
    assert stat.S_IMODE(door.stat().st_mode) == 0o600
    assert alone.status("gated")["status"] == "running", "a second terminal sees it through the port"
    open_gate(alone)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert each_ran_once(alone)
    assert sorted(path.name for path in (alone.home / "run").iterdir()) == []


@pytest.mark.parametrize("begin", ["foreground", "background"])
def test_alone_what_ran_when_its_coordinator_was_killed_is_lost_to_the_next_one(alone: Terminal, begin: str) -> None:
    if begin == "foreground":
        begin_foreground(alone)
    else:
        begin_background(alone)
    orphans = wait_until(lambda: pids_of(alone) if len(pids_of(alone)) == 2 else [], 30)
    os.kill(alone.holder()["pid"], signal.SIGKILL)
    open_gate(alone)
    wait_until(lambda: not any(map(is_alive, orphans)), 30)
    assert alone.status("gated")["status"] == "running", "nobody came by itself, whatever the stale door says"
    assert alone.wattle("up").returncode == 0
    found = alone.wait_for("gated", "failed")
    assert "lost" in {worker["reason"] for worker in found["workers"]}
    assert found["counts"].keys() == {"failed", "cancelled"}
    assert alone.lines("witness").count("w0") == 1


def test_alone_a_stop_ends_the_whole_tree(alone: Terminal) -> None:
    script = f"sleep 300 & echo $! >> {alone.folder}/tree; setsid sleep 300 & echo $! >> {alone.folder}/tree; wait"
    document = alone.write("gated.json", {"name": "gated", "workers": {"tree": {"script": script, "lang": "sh"}}})
    process = alone.begin("run", document)
    wait_until(lambda: len(alone.lines("tree")) == 2, 30)
    tree = [*map(int, alone.lines("tree")), *pids_of(alone)]
    assert len(tree) == 3
    stopped = alone.wattle("stop", "gated")
    assert stopped.returncode == 0, stopped.stderr
    process.communicate(timeout=30)
    assert alone.status("gated")["status"] == "cancelled"
    assert not any(map(is_alive, tree))


def test_alone_who_runs_workers_does_not_hand_over_and_says_why(alone: Terminal) -> None:
    process = begin_foreground(alone)
    refused = alone.wattle("up")
    assert refused.returncode == 1
    assert "workers would end with it" in refused.stderr
    open_gate(alone)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, out + err
    assert each_ran_once(alone)


def test_alone_an_end_by_down_ends_the_workers_and_says_so(alone: Terminal) -> None:
    begin_background(alone)
    pids = pids_of(alone)
    told = alone.wattle("down")
    assert "end with it" in told.stdout
    assert len(pids) == 2
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_alone_health_and_doctor_say_what_cannot_be_promised(alone: Terminal) -> None:
    assert alone.wattle("up").returncode == 0
    looks = {look["name"]: look for look in alone.ask("doctor")}
    assert looks["supervisor"]["ok"]
    assert "end with it" in looks["supervisor"]["detail"]
    assert "coordinator.door" in looks["private door"]["detail"]
    assert "off" in looks["setting supervisor"]["detail"]
    with Client(LoopbackTransport(str(alone.home / "run" / "coordinator.door"))) as client:
        health = client.ask("get_health")
    assert health["supervisor_pid"] is None
    assert "is lost" in health["supervisor_state"]


def test_a_door_that_nobody_holds_any_more_is_no_answer(alone: Terminal) -> None:
    alone.home.mkdir(mode=0o700)
    settings = load({"home": alone.home}, {"HOME": str(alone.folder), "PATH": ""})
    prepare_home(settings)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        told = {"port": stranger.getsockname()[1], "token": "old"}
        (settings.runtime_dir / "coordinator.door").write_text(json.dumps(told))
        assert not succession.answers(settings)


# ---- a machine that has nothing of Unix -----------------------------------------------------------------------------


def bare(terminal: Terminal, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.bare_machine", *words], capture_output=True, text=True,
                          check=False, cwd=terminal.folder, env=terminal.environment, timeout=60)  # fmt: skip


def test_everything_can_be_imported_on_a_bare_machine(terminal: Terminal) -> None:
    done = bare(terminal)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bare_machine_runs_a_workflow_to_its_end(terminal: Terminal) -> None:
    document = terminal.write("two.json", {"name": "two", "workers": {
        "first": {"command": ["sh", "-c", f"echo first >> {terminal.folder}/witness"]},
        "second": {"command": ["sh", "-c", f"echo second >> {terminal.folder}/witness"], "needs": ["first"]},
    }})  # fmt: skip
    done = bare(terminal, "run", document)
    assert (done.returncode, done.stderr) == (0, "")
    assert terminal.lines("witness") == ["first", "second"]
    looked = bare(terminal, "status", "two", "--json")
    assert json.loads(looked.stdout)["status"] == "completed"
    doctor = bare(terminal, "doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "end with it" in doctor.stdout


def test_two_at_once_on_a_bare_machine_meet_at_the_port(terminal: Terminal) -> None:
    first = subprocess.Popen([sys.executable, "-m", "tests.bare_machine", "run", gated(terminal)], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                             cwd=terminal.folder, env=terminal.environment)  # fmt: skip
    terminal.processes.append(first)
    wait_for_workers(terminal)
    listed = bare(terminal, "status", "gated", "--json")
    assert json.loads(listed.stdout)["status"] == "running"
    open_gate(terminal)
    second = bare(terminal, "attach", "gated")
    out, _ = first.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0), out + second.stdout + second.stderr


def test_down_with_stop_runs_stops_what_rests_without_a_coordinator(terminal: Terminal) -> None:
    terminal.environment["WATTLE_ON_EXIT"] = "pause"
    begin_background(terminal)
    pids = [worker["pid"] for worker in terminal.status("gated")["workers"] if worker["pid"]]
    os.kill(terminal.holder()["pid"], signal.SIGKILL)
    wait_until(lambda: terminal.wattle("down").stdout.startswith("Nobody"), 20)
    assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert terminal.wattle("down", "--stop-runs").returncode == 0
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 20)
    assert terminal.status("gated")["status"] == "cancelled"
