"""The router's life: found, started, restarted, moved, left alone, ended; and why there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from tests.bus.buses import HUB, putting, router
from tests.helpers import until, wait_until, within
from wattle.bus import process as processes
from wattle.bus import zenoh
from wattle.bus.identity import is_process, started
from wattle.bus.keys import Keys
from wattle.bus.process import RouterProcess
from wattle.bus.zenoh import Query, Session, open_client

KEYS = Keys(HUB)


def listening(port: int) -> socket.socket | None:
    with contextlib.suppress(OSError):
        return socket.create_server(("127.0.0.1", port))
    return None


def reached(bus: RouterProcess, restarts: int) -> bool:
    return bus.restarts >= restarts and bus.up


async def opened(bus: RouterProcess, role: str = "coordinator") -> Session:
    return await asyncio.to_thread(open_client, bus.connection(role))


async def test_a_router_comes_up_with_private_files_and_ends(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        assert bus.up
        assert bus.state.startswith("The bus is up at unixsock-stream/")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in bus.folder.iterdir()}
        assert {name for name, mode in modes.items() if mode & 0o077} <= {"router.log"}
        assert stat.S_IMODE(bus.folder.stat().st_mode) == 0o700
        told = json.loads(bus.connection("worker").read_text())
        assert [endpoint.partition("/")[0] for endpoint in told["endpoints"]] == ["unixsock-stream", "tcp"]
        assert 20_000 <= bus.ready["port"] < 30_000
        assert len({json.loads(bus.connection(role).read_text())["password"] for role in ("kernel", "worker")}) == 2
        pid, start = bus.ready["pid"], bus.ready["started"]
    assert not is_process(pid, start)
    assert bus.state == "The bus has ended."


async def test_another_coordinator_finds_the_router_and_sessions_go_on(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as short:
        first = RouterProcess(tmp_path, HUB, socket=Path(short) / "s")
        assert await within(first.start())
        kernel = await opened(first, "kernel")
        await first.stop(end=False)
        second = RouterProcess(tmp_path, HUB, socket=Path(short) / "s")
        assert await within(second.start())
        try:
            assert second.ready == first.ready
            assert "found again" in second.state
            heard: list[bytes] = []
            kernel.subscribe(KEYS.events("etl", 1), lambda sample: heard.append(sample.payload))
            teller = await opened(second)
            await putting(teller, KEYS.events("etl", 1), b"1", lambda: heard)
            os.kill(second.ready["pid"], signal.SIGKILL)  # not this one's child, and looked after all the same
            await until(lambda: second.restarts and second.up)
            teller.close()
            kernel.close()
        finally:
            await second.stop(end=True)


async def test_a_killed_router_is_started_again_and_sessions_resume(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        port, credential = bus.ready["port"], bus.connection("kernel").read_text()
        teller, kernel = await opened(bus), await opened(bus, "kernel")
        heard: list[bytes] = []
        kernel.subscribe(KEYS.everything("events"), lambda sample: heard.append(sample.payload))

        def answer(query: Query) -> None:
            with query:
                query.reply(b"{}")

        teller.queryable(KEYS.api("get_health"), answer)
        for number in (1, 2, 3):
            os.kill(bus.ready["pid"], signal.SIGKILL)
            await until(partial(reached, bus, number))
            await putting(teller, KEYS.events("etl", 1), b"%d" % number, partial(heard.__contains__, b"%d" % number))
            await until(lambda: any(not r.error for r in kernel.get(KEYS.api("get_health"), timeout=2)), every=0.05)
        assert (bus.ready["port"], bus.connection("kernel").read_text()) == (port, credential)
        teller.close()
        kernel.close()


async def test_a_port_that_was_taken_meanwhile_is_left_to_its_taker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE", (0.3,))  # time enough to take the port
    moved = asyncio.Event()
    async with router(tmp_path, moved=moved.set) as bus:
        before = dict(bus.ready)
        os.kill(before["pid"], signal.SIGKILL)
        taken = await until(lambda: listening(before["port"]))
        assert taken is not None
        with taken:
            await within(moved.wait())
            assert bus.ready["port"] != before["port"]
            assert f":{bus.ready['port']}" in bus.connection("worker").read_text()
            (await opened(bus, "worker")).close()


async def test_a_router_of_another_purpose_is_replaced(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        before, credential = bus.ready, bus.connection("worker").read_text()
        other = RouterProcess(bus.folder, "hub2", socket=bus._socket)
        await bus.stop(end=False)
        assert await within(other.start())
        try:
            assert not is_process(before["pid"], before["started"])
            assert other.connection("worker").read_text() != credential
        finally:
            await other.stop(end=True)


async def test_a_router_that_nobody_needs_goes_and_a_worker_keeps_it(tmp_path: Path) -> None:
    async with router(tmp_path, linger=0.4) as bus:
        worker = await opened(bus, "worker")
        token = worker.liveliness(KEYS.worker("etl", 1, "engine"))
        await bus.stop(end=False)
        pid, start = bus.ready["pid"], bus.ready["started"]
        await asyncio.sleep(1.0)  # twice as long as it would stay without the worker
        assert is_process(pid, start)
        token.close()
        await until(lambda: not is_process(pid, start))
        worker.close()


async def test_without_zenoh_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zenoh, "_missing", "No module named 'zenoh'")
    bus = RouterProcess(tmp_path / "bus", HUB)
    assert not await bus.start()
    assert bus.state.startswith("There is no bus, and nothing else is lost: eclipse-zenoh cannot be imported (No module")
    await bus.stop(end=True)


@pytest.mark.parametrize("python", ["/nonexistent/python", "/bin/false"])
async def test_a_router_that_cannot_start_is_one_sentence(tmp_path: Path, python: str) -> None:
    bus = RouterProcess(tmp_path / "bus", HUB, python=python)
    assert not await within(bus.start())
    assert bus.state.startswith("There is no bus, and nothing else is lost: ")
    await bus.stop(end=True)


async def test_a_router_that_could_not_start_is_tried_again(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    bus = RouterProcess(tmp_path / "bus", HUB, python=str(python))
    assert not await within(bus.start())
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    await until(lambda: bus.up)
    await bus.stop(end=True)


async def test_a_zenohd_of_the_same_minor_version_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "zenohd"
    fake.parent.mkdir()
    version = processes.version()
    fake.write_text(f"""#!{sys.executable}
import json, sys, threading
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
if sys.argv[1] == "--version":
    print("zenohd v{version} built with rustc 1.85")
else:
    from wattle.bus.zenoh import open_router
    router = open_router(json.load(open(sys.argv[2])))
    threading.Event().wait()
""")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    async with router(tmp_path) as bus:
        assert bus.ready["router"] == str(fake)
        behind = bus.ready["program"]
        assert is_process(behind["pid"], behind["started"])
        (await opened(bus, "worker")).close()
        os.kill(bus.ready["pid"], signal.SIGKILL)  # the guardian: its program is ended, and both start again
        await until(lambda: bus.restarts and bus.up)
        assert not is_process(behind["pid"], behind["started"])
        (await opened(bus, "worker")).close()
        behind = bus.ready["program"]
    assert not is_process(behind["pid"], behind["started"])
    fake.write_text(fake.read_text().replace(version, "1.4.0"))
    assert processes.find_zenohd() == ""


def test_a_process_is_known_by_its_start(tmp_path: Path) -> None:
    assert is_process(os.getpid(), started(os.getpid()))
    assert not is_process(os.getpid(), "somebody else's")
    child = os.spawnv(os.P_NOWAIT, "/bin/true", ["true"])
    wait_until(lambda: not started(child))  # a zombie is none
    os.waitpid(child, 0)
