"""However a program ends, its session never keeps it from ending, and what it has said is sent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.bus.buses import HUB, program, router
from tests.helpers import until, within
from wattle.bus.keys import Keys
from wattle.bus.zenoh import open_client

BEGIN = """
import os, signal, sys, threading, time
from wattle.bus.keys import Keys
from wattle.bus.zenoh import open_client
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
session = open_client(sys.argv[1])
keys = Keys(session.hub)
heard = []
subscription = session.subscribe(keys.everything("services"), heard.append)
session.queryable(keys.service("etl", 1, "w", "ask"), lambda query: query.close())
session.watch_liveliness(keys.everything("alive"), lambda key, here: None)
publisher = session.publisher(keys.service("etl", 1, "w", "tell"))
publisher.on_match(lambda matched: None)
session.liveliness(keys.worker("etl", 1, "w"))
session.get(keys.service("etl", 1, "w", "other"), timeout=600)
"""
ENDS = {
    "falls off the end": ("", 0),
    "raises": ("raise ValueError('on purpose')", 1),
    "sys.exit": ("sys.exit(7)", 7),
    "sys.exit in the middle of a get": (("session.queryable(keys.service('e', 1, 'w', 'slow'), heard.append)\n"
                                        "for _ in session.get(keys.service('e', 1, 'w', 'slow'), timeout=0.1): sys.exit(7)"), 7),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
    "a thread that goes on putting": (("def put():\n    while True: session.put(keys.service('e', 1, 'w', 's'), b'x' * 1000)\n"
                                      "threading.Thread(target=put, daemon=True).start(); time.sleep(0.1)"), 0),
    "closed in order": ("subscription.close(); session.close(); session.close()", 0),
    "two sessions": ("other = open_client(sys.argv[1]); other.subscribe(keys.everything('events'), heard.append)", 0),
    "a failing callback": (("session.subscribe(keys.service('e', 1, 'w', 's'), lambda sample: 1 / 0)\n"
                           "session.put(keys.service('e', 1, 'w', 's'), b''); time.sleep(0.1)"), 0),
    "the router is gone": ("print('ready', flush=True); sys.stdin.readline()", 0),
    "an event loop": ("import asyncio\nasync def main(): await asyncio.to_thread(session.flush)\nasyncio.run(main())", 0),
    "a fork that ends before": ("pid = os.fork()\nif pid == 0: sys.exit(3)\nsys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))", 3),
}  # fmt: skip


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How a program ended; one that does not is a failure that says so."""
    try:
        _, errors = await asyncio.to_thread(process.communicate, timeout=20.0)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.communicate)
        pytest.fail("the program did not end")
    return process.returncode, errors


async def test_no_end_of_a_program_hangs(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        noise = await asyncio.to_thread(open_client, bus.connection("kernel"))
        making = True

        async def make_noise() -> None:
            while making:
                noise.put(Keys(HUB).service("etl", 1, "other", "noise"), b"x" * 100)
                await asyncio.sleep(0.0005)

        noisy = asyncio.create_task(make_noise())
        for _ in range(2):
            for name, (source, code) in ENDS.items():
                if name == "the router is gone":
                    continue
                process = program(BEGIN + source, bus.connection("worker"))
                found, errors = await ended(process)
                assert found == code, (name, found, errors[-2000:])
                assert "on purpose" in errors or name != "raises"
        making = False
        await noisy
        await asyncio.to_thread(noise.close)


async def test_a_program_ends_while_the_router_is_gone(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        process = program(BEGIN + ENDS["the router is gone"][0], bus.connection("worker"))
        assert process.stdout is not None
        assert process.stdin is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
        os.kill(bus.ready["pid"], signal.SIGSTOP)  # worse than gone: it takes everything and says nothing
        assert await ended(process) == (0, "")
        os.kill(bus.ready["pid"], signal.SIGCONT)


async def test_what_was_said_last_is_sent(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        kernel = await asyncio.to_thread(open_client, bus.connection("kernel"))
        heard: list[bytes] = []
        kernel.subscribe(Keys(HUB).everything("services"), lambda sample: heard.append(sample.payload))
        await asyncio.to_thread(kernel.flush)
        said = "[session.put(keys.service('e', 1, 'w', 's'), b'%d' % n) for n in range(200)]; sys.exit(0)"
        assert (await ended(program(BEGIN + said, bus.connection("worker"))))[0] == 0
        await until(lambda: len(heard) == 200)
        await asyncio.to_thread(kernel.close)


async def test_a_child_of_a_fork_is_told_instead_of_losing_messages(tmp_path: Path) -> None:
    source = """
pid = os.fork()
if pid == 0:
    try:
        session.put(keys.service("e", 1, "w", "s"), b"")
    except Exception as error:
        print(error.code, flush=True)
    session.close()
    os._exit(0)
os.waitpid(pid, 0)
"""
    async with router(tmp_path) as bus:
        process = program(BEGIN + source, bus.connection("worker"))
        told, errors = await within(asyncio.to_thread(process.communicate))
        assert (told, process.returncode) == ("forked\n", 0), errors
