"""Ctrl-C, hang-ups and ends: on a terminal a run is left, elsewhere it is stopped."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import DEADLINE, wait_until
from tests.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    made.write("slow.json", {"name": "slow", "workers": [{"name": "a", "script": "echo up; echo a >> ran; sleep 4; echo b >> ran"}]})
    yield made
    made.close()


class Seat:
    """A command with a person before it: a terminal of its own."""

    def __init__(self, terminal: Terminal, *words: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**terminal.environment, "TERM": "xterm", "COLUMNS": "80"}
        self.process = subprocess.Popen([sys.executable, "-m", "wattle", *words], stdin=slave, stdout=slave, stderr=slave,
                                        cwd=terminal.folder, env=environment, start_new_session=True)  # fmt: skip
        os.close(slave)
        self.text = ""

    def read_until(self, words: str) -> None:
        """Read until these words have come. Fails when they do not."""
        end = time.monotonic() + DEADLINE
        while words not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._master, 65_536).decode(errors="replace")
                except OSError:
                    assert words in self.text, self.text
                    return

    def end(self) -> int:
        """Read on until it has ended; its exit code."""
        while self.process.poll() is None:
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self._master, 65_536).decode(errors="replace")
                except OSError:
                    break
        code = self.process.wait(DEADLINE)
        while select.select([self._master], [], [], 0)[0]:
            try:
                self.text += os.read(self._master, 65_536).decode(errors="replace")
            except OSError:
                break
        os.close(self._master)
        return code


def test_on_a_terminal_one_interrupt_leaves_and_the_run_goes_on(terminal: Terminal) -> None:
    seat = Seat(terminal, "run", "slow.json", "-j", "1")
    seat.read_until("a     ")
    wait_until(lambda: terminal.lines("ran"))
    seat.process.send_signal(signal.SIGINT)
    seat.read_until("Leaving slow@1 running. Ctrl-C again within 3 s stops it.")
    assert seat.end() == 130
    assert "Left slow@1 running.  wattle attach slow@1  ·  stop: wattle stop slow@1" in seat.text
    assert terminal.wait_for("slow@1", "completed")["status"] == "completed"
    assert terminal.lines("ran") == ["a", "b"]


def test_without_a_supervisor_leaving_says_that_what_runs_ends(terminal: Terminal) -> None:
    terminal.environment |= {"WATTLE_SUPERVISOR": "off"}
    seat = Seat(terminal, "run", "slow.json")
    wait_until(lambda: terminal.lines("ran"))
    seat.process.send_signal(signal.SIGINT)
    seat.read_until("ends the workers that run")
    assert seat.end() == 130
    assert "Without a supervisor the workers that ran end now" in seat.text
    assert terminal.wait_for("slow@1", "failed")["workers"][0]["reason"] == "lost"
    assert terminal.lines("ran") == ["a"]


def test_a_second_interrupt_stops_the_run(terminal: Terminal) -> None:
    seat = Seat(terminal, "run", "slow.json")
    wait_until(lambda: terminal.lines("ran"))
    seat.process.send_signal(signal.SIGINT)
    seat.read_until("Ctrl-C again")
    seat.process.send_signal(signal.SIGINT)
    assert seat.end() == 130
    assert "slow@1 cancelled in" in seat.text
    assert terminal.status("slow@1")["status"] == "cancelled"
    assert terminal.lines("ran") == ["a"]


def test_a_lost_terminal_leaves_the_run_at_once(terminal: Terminal) -> None:
    seat = Seat(terminal, "run", "slow.json")
    wait_until(lambda: terminal.lines("ran"))
    seat.process.send_signal(signal.SIGHUP)
    assert seat.end() == 130
    assert terminal.wait_for("slow@1", "completed")["status"] == "completed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_terminal_the_run_is_stopped(terminal: Terminal, number: signal.Signals) -> None:
    process = terminal.begin("run", "slow.json")
    wait_until(lambda: terminal.lines("ran"))
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert "Stopping slow@1" in out
    assert "slow@1 cancelled in" in out
    assert terminal.status("slow@1")["status"] == "cancelled"


def test_who_only_attached_or_waits_leaves_and_stops_nothing(terminal: Terminal) -> None:
    terminal.wattle("run", "slow.json", "-d")
    followers = [terminal.begin("attach", "slow"), terminal.begin("wait", "slow")]
    wait_until(lambda: terminal.lines("ran"))
    assert followers[0].stdout is not None
    assert followers[0].stdout.readline().startswith("slow@1")
    for process in followers:
        wait_until(partial(handles, process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
    assert [process.wait(DEADLINE) for process in followers] == [130, 130]
    assert terminal.wait_for("slow@1", "completed")["status"] == "completed"


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal; where that cannot be seen it is taken for granted."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_the_live_block_shows_the_last_line_and_ends_as_text_that_stays(terminal: Terminal) -> None:
    terminal.write("two.json", {"name": "two", "workers": [
        {"name": "a", "script": "echo step one; sleep 1"}, {"name": "b", "command": "false", "needs": ["a"]}]})  # fmt: skip
    seat = Seat(terminal, "run", "two.json")
    seat.read_until("step one")
    assert seat.end() == 1
    last = seat.text.rpartition("\033[J")[2]
    assert "✗ two@1/b  failed: exit 1" in last
    assert "wattle rerun two@1 --from b" in last
    assert "two@1 failed in" in last
    assert "\033[?25l" not in seat.text
