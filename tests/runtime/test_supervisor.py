"""Real processes under a real supervisor: starting, ending, limits, logs, and what cannot be started."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from tests.helpers import until
from tests.runtime.supervised import place
from wattle.core import events as ev
from wattle.core.objects import candidates

STANDARD_SIGNALS = (1 << 31) - 1
"""As in the masks of /proc: what lies above is the C library's own."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no supervisor there")


@pytest.mark.parametrize("code", [0, 7, 255])
async def test_the_exit_code_is_the_true_one(code: int) -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", f"exit {code}")])
        started = await here.ear.start("a")
        ended = await here.ear.end("a")
        assert (ended.code, ended.signal, ended.why) == (code, None, "exit")
        assert (started.pid > 1, started.ticks > 0, started.boot != "", started.pid_ns != "") == (True,) * 4
        assert Path(started.executable).name == "sh"
        assert 0 < started.at <= ended.at


async def test_of_a_gang_nobody_starts_before_there_is_room_for_all_and_slotless_workers_wait_for_nobody() -> None:
    async with place() as here:
        await here.connect()
        gate = here.folder / "gate"
        busy = f'until [ -e "{gate}" ]; do sleep 0.02; done'
        here.executor.start([here.shell("busy", busy, cwd=str(here.folder), limits={"slots": (1, 2), "cpus": (1, 2)})])
        await here.ear.start("busy")
        for counter in ("cpus", "slots"):
            share, room = {"slots": (1, 2), counter: (1, 2)}, {"slots": (1, 2), counter: (2, 2)}
            here.executor.start([here.launch(f"lead-{counter}", "true", limits=share, room=room),
                                 here.launch(f"follower-{counter}", "true", limits=share)])  # fmt: skip
        here.executor.start([here.launch("free", "true", limits={})])
        assert (await here.ear.end("free")).code == 0
        later = [f"{role}-{counter}" for counter in ("cpus", "slots") for role in ("lead", "follower")]
        assert [here.ear.kinds(name) for name in later] == [[], [], [], []]
        gate.touch()
        assert [(await here.ear.end(name)).code for name in later] == [0, 0, 0, 0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGPIPE])
async def test_the_signal_that_ended_it_is_told(number: signal.Signals) -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", f"ulimit -c 0; kill -{int(number)} $$; sleep 5")])
        ended = await here.ear.end("a")
        assert (ended.code, ended.signal) == (None, number)


async def test_a_worker_has_its_variables_folder_group_logs_and_default_signals() -> None:
    script = """
    echo "$GREETING $OWN $WATTLE_TASK"; pwd; echo "group $(ps -o pgid= -p $$ | tr -d ' ') $$"
    grep SigIgn /proc/self/status; grep SigBlk /proc/self/status; read line || echo "no input"; echo words >&2
    """
    async with place() as here:
        await here.connect()
        stderr = str(here.log("a").parent / "stderr.log")
        here.executor.start([here.shell("a", script, env={"OWN": "é=1"}, stderr=stderr)])
        started = await here.ear.start("a")
        assert (await here.ear.end("a")).code == 0
        said = here.log("a").read_text().splitlines()
        assert said[0] == f"wattle: created the working directory {here.work}"
        assert said[1] == f"hello é=1 7/a/1/{here.nonce('a')}"
        assert said[2] == str(here.work.resolve())
        assert said[3] == f"group {started.pid} {started.pid}"
        assert [int(line.split()[1], 16) & STANDARD_SIGNALS for line in said[4:6]] == [0, 0]
        assert said[6] == "no input"
        assert Path(stderr).read_text() == "words\n"
        modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (stderr, here.log("a").parent)]
        assert modes == [0o600, 0o700]


async def test_both_streams_in_one_log_keep_their_order_and_bytes() -> None:
    script = "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; printf '\\377\\000x'"
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", script, cwd=str(here.folder))])
        await here.ear.end("a")
        wanted = "".join(f"out {i}\nerr {i}\n" for i in range(200)).encode() + b"\xff\0x"
        assert here.log("a").read_bytes() == wanted


async def test_cpu_time_memory_and_outputs_are_recorded() -> None:
    async with place() as here:
        await here.connect()
        made, missing = here.folder / "made.txt", here.folder / "missing.txt"
        stem = here.folder / "table"
        program = f"x = bytearray(40 << 20); open({str(made)!r}, 'w').write('12345'); sum(range(300000)); " \
                  f"open({str(stem)!r} + '.npy', 'w').write('123')"  # fmt: skip
        here.executor.start([here.launch("a", sys.executable, "-c", program,
                                         outputs={"made": str(made), "missing": str(missing), "table": str(stem),
                                                  "unsaved": str(made)},
                                         objects={"table": candidates(str(stem)), "unsaved": ("/no/no",)})])  # fmt: skip
        ended = await here.ear.end("a")
        assert ended.outputs == {"made": (5, made.stat().st_mtime_ns), "missing": None, "unsaved": None,
                                 "table": (3, stem.with_suffix(".npy").stat().st_mtime_ns)}  # fmt: skip
        assert ended.max_rss > 40 << 20
        assert ended.cpu_user + ended.cpu_system > 0


async def test_no_limit_is_ever_exceeded_and_everything_runs() -> None:
    async with place() as here:
        await here.connect()
        witness = here.folder / "witness"
        script = f'echo + $0 >> "{witness}"; sleep 0.02; echo - $0 >> "{witness}"'
        launches = [here.launch(f"w{i}", "sh", "-c", script, str(i), cwd=str(here.folder),
                                limits={"slots": (1, 4), "cpus": (0.5 + i % 2, 3), f"group:{i % 2}": (1, 2)})
                    for i in range(40)]  # fmt: skip
        here.executor.start(launches)
        await until(lambda: len([event for _, event, _ in here.ear.heard if isinstance(event, ev.WorkerExited)]) == 40)
        running: set[int] = set()
        most = 0
        for line in witness.read_text().splitlines():
            sign, number = line.split()
            running = running | {int(number)} if sign == "+" else running - {int(number)}
            assert len(running) <= 4
            assert sum(0.5 + i % 2 for i in running) <= 3
            assert all(len([i for i in running if i % 2 == group]) <= 2 for group in (0, 1))
            most = max(most, len(running))
        assert most > 1


async def test_what_can_never_fit_is_refused_at_once() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.launch("a", "true", limits={"slots": (1, 4), "gpus": (2, 1)})])
        refused = await here.ear.end("a")
        assert (type(refused), refused.message) == (ev.WorkerNotStarted, "it asks for 2 of gpus, and there are 1")


async def test_files_scripts_links_and_folders_are_there_before_the_process() -> None:
    async with place() as here:
        await here.connect()
        old, new = here.folder / "out", here.folder / "out.attempt-1"
        old.mkdir()
        (old / "left").touch()
        script, link = here.folder / "logs" / "a" / "1" / "script", here.folder / "runs" / "latest"
        here.executor.start([here.launch(
            "a", str(script), "x", files={str(script): '#!/bin/sh\nls out; echo "$1"\n'}, scripts=(str(script),),
            set_aside={str(old): str(new)}, links={str(link): "7"}, directories=(str(old),), cwd=str(here.folder),
        )])  # fmt: skip
        assert (await here.ear.end("a")).code == 0
        assert here.log("a").read_text() == "x\n"
        assert (sorted(os.listdir(old)), os.listdir(new), os.readlink(link)) == ([], ["left"], "7")


async def test_only_a_link_is_replaced_by_a_link() -> None:
    async with place() as here:
        await here.connect()
        kept, moved = here.folder / "kept", here.folder / "moved"
        kept.mkdir()
        moved.symlink_to("1")
        here.executor.start([here.launch("a", "true", links={str(kept): "2", str(moved): "2"})])
        await here.ear.end("a")
        assert (kept.is_symlink(), os.readlink(moved)) == (False, "2")


async def test_a_worker_that_cannot_be_made_says_why_and_takes_no_slot() -> None:
    async with place() as here:
        await here.connect()
        plain, bad, text = here.folder / "plain", here.folder / "bad", here.folder / "text"
        plain.touch()
        bad.write_text("#!/no/such/interpreter\n")
        text.write_text("echo no interpreter line\n")
        for path in (bad, text):
            path.chmod(0o755)
        one = {"limits": {"slots": (1, 1)}, "cwd": str(here.folder)}
        here.executor.start([
            here.launch("missing", "no-such-program", **one), here.launch("plain", str(plain), **one),
            here.launch("bad", str(bad), **one), here.launch("text", str(text), **one),
            here.launch("file", "true", cwd=str(plain), limits={"slots": (1, 1)}),
            here.launch("input", "true", required=(str(here.folder / "gone"),), **one),
            here.launch("ok", "true", **one),
        ])  # fmt: skip
        assert (await here.ear.end("ok")).code == 0
        said = {name: here.ear.of(name)[0] for name in ("missing", "plain", "bad", "text", "file", "input")}
        assert {type(event) for event in said.values()} == {ev.WorkerNotStarted}
        assert "no-such-program was not found" in said["missing"].message
        assert "chmod +x" in said["plain"].message
        assert "interpreter" in said["bad"].message
        assert "#! line" in said["text"].message
        assert "a file where a folder is needed" in said["file"].message
        assert (said["input"].reason, "gone" in said["input"].message) == ("input-missing", True)


@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may write everywhere")
async def test_a_folder_without_rights_is_named() -> None:
    async with place() as here:
        await here.connect()
        closed = here.folder / "closed"
        closed.mkdir(mode=0o500)
        here.executor.start([here.launch("a", "true", cwd=str(closed / "below"))])
        assert f"no right to write into {closed}" in (await here.ear.end("a")).message


async def test_a_working_directory_that_was_there_a_moment_ago_is_made_again() -> None:
    async with place() as here:
        await here.connect()
        for name in ("a", "b"):
            here.executor.start([here.launch(name, "pwd")])
            assert (await here.ear.end(name)).code == 0
            here.work.rmdir()
        assert here.log("b").read_text().endswith(f"{here.work}\n")


async def test_what_a_worker_leaves_in_its_group_is_ended_and_its_own_daemon_stays() -> None:
    async with place() as here:
        await here.connect()
        script = '(trap "" TERM; exec sleep 60) & setsid sleep 61 & sleep 0.1; exit 3'
        here.executor.start([here.shell("a", script, grace=0.2)])
        ended = await here.ear.end("a")
        assert (ended.code, ended.why) == (3, "exit")
        left = [Path(f"/proc/{pid}/cmdline").read_text() for pid in here.left("a")]
        assert left == ["sleep\x0061\x00"]


async def test_of_what_may_not_outlive_its_worker_the_daemon_goes_too() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", "setsid sleep 61 & sleep 0.1; exit 3", grace=0.2, whole=True)])
        assert (await here.ear.end("a")).code == 3
        assert here.left("a") == []


async def test_a_timeout_ends_the_whole_tree_and_is_called_one() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", "setsid sleep 60 & sleep 60", timeout=0.2)])
        ended = await here.ear.end("a")
        assert (ended.why, ended.signal) == ("timeout", signal.SIGTERM)
        assert here.left("a") == []


async def test_usage_is_told_of_what_runs() -> None:
    async with place() as here:
        await here.connect()
        here.executor.start([here.shell("a", "while :; do :; done & sleep 60", cwd=str(here.folder))])
        await here.ear.start("a")
        await until(lambda: here.executor.usage()[here.nonce("a")].cpu_percent > 1)
        usage = here.executor.usage()[here.nonce("a")]
        assert (usage.processes, usage.rss > 100_000) == (3, True)
