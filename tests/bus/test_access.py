"""Who has no credential has nothing, and a role has what the table says: proved over both endpoints by sessions in
processes of their own, because a session hears itself past every rule."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zenoh as library

from tests.bus.buses import HUB, program, putting, router
from tests.helpers import until
from wattle.bus.access import access_control, operations_of
from wattle.bus.connection import ROLES, read_connection
from wattle.bus.keys import Keys
from wattle.bus.process import RouterProcess
from wattle.bus.zenoh import Query, Session, open_client
from wattle.core.errors import Forbidden, InvalidRequest, Unreachable
from wattle.core.operations import BY_NAME

KEYS = Keys(HUB)
ENDPOINTS = ("unixsock-stream", "tcp")


def told(bus: RouterProcess, role: str, endpoint: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(bus.connection(role).read_text())
    return {**fields, "endpoints": [place for place in fields["endpoints"] if place.startswith(endpoint)]}


async def opened(bus: RouterProcess, role: str, endpoint: str = "unixsock-stream") -> Session:
    return await asyncio.to_thread(open_client, told(bus, role, endpoint))


def answering(who: bytes) -> Callable[[Query], None]:
    def answer(query: Query) -> None:
        with query:
            query.reply(who)

    return answer


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("wrong", [{"user": "", "password": ""}, {"user": "nobody"}, {"password": "x"}, {"password": ""},
                                   {"user": "kernel"}], ids=str)  # fmt: skip
async def test_no_or_a_wrong_credential_opens_nothing(tmp_path: Path, endpoint: str, wrong: dict[str, str]) -> None:
    async with router(tmp_path) as bus:
        with pytest.raises(Forbidden, match="refuses"):
            await asyncio.to_thread(open_client, {**told(bus, "worker", endpoint), **wrong})


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("mode", ["client", "peer", "router"])
async def test_a_foreign_session_without_credentials_hears_and_says_nothing(
    tmp_path: Path, endpoint: str, mode: str
) -> None:
    async with router(tmp_path) as bus:
        (place,) = told(bus, "worker", endpoint)["endpoints"]
        config = library.Config.from_json5(json.dumps({
            "mode": mode, "connect": {"endpoints": [place], "exit_on_failure": True, "timeout_ms": 0},
            "listen": {"endpoints": []}, "scouting": {"delay": 0, "multicast": {"enabled": False}}}))  # fmt: skip
        with pytest.raises(library.ZError):
            (await asyncio.to_thread(library.open, config)).close()  # type: ignore[no-untyped-call]


async def test_a_default_peer_on_the_machine_hears_and_says_nothing(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        heard: list[bytes] = []
        asked: list[Any] = []
        peer = await asyncio.to_thread(library.open, library.Config())
        try:
            listening: Any = library.handlers.Callback(lambda found: heard.append(found.payload.to_bytes()), indirect=False)
            peer.declare_subscriber("**", listening)
            peer.declare_queryable(KEYS.api("get_health"), library.handlers.Callback(asked.append, indirect=False))
            teller, kernel = await opened(bus, "coordinator"), await opened(bus, "kernel")
            mine: list[bytes] = []
            kernel.subscribe(KEYS.everything("events"), lambda sample: mine.append(sample.payload))
            teller.queryable(KEYS.api("get_health"), answering(b"coordinator"))
            teller.queryable(KEYS.api("list_runs"), answering(b"coordinator"))
            await putting(teller, KEYS.events("etl", 1), b"true", lambda: mine)
            peer.put(KEYS.events("etl", 1), b"false")
            assert [reply.payload for reply in kernel.get(KEYS.api("get_health"))] == [b"coordinator"]
            assert list(peer.get(KEYS.api("list_runs"), timeout=1.0)) == []
            assert b"false" not in mine
            assert b"true" not in heard
            assert asked == []
            teller.close()
            kernel.close()
        finally:
            peer.close()  # type: ignore[no-untyped-call]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can be somebody else")
async def test_another_user_of_the_machine_gets_neither_at_the_socket_nor_at_the_passwords(tmp_path: Path) -> None:
    source = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
for path in sys.argv[2:]:
    try:
        open(path).read()
        print("read", path)
    except PermissionError:
        pass
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
    print("connected")
except PermissionError:
    print("nothing")
"""
    async with router(tmp_path) as bus:
        bus.folder.parent.chmod(0o755)
        stranger = program(source, bus._socket, *bus.folder.iterdir())
        told, errors = await asyncio.to_thread(stranger.communicate)
        assert (told, stranger.returncode) == ("nothing\n", 0), errors


@pytest.fixture(params=ENDPOINTS)
def endpoint(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def of_each_role(bus: RouterProcess, endpoint: str) -> AsyncIterator[Session]:
    for role in ROLES:
        yield await opened(bus, role, endpoint)


async def test_what_each_role_may_say_and_hear(tmp_path: Path, endpoint: str) -> None:
    async with router(tmp_path) as bus:
        sessions = [session async for session in of_each_role(bus, endpoint)]
        heard: dict[str, list[tuple[str, bytes]]] = {role: [] for role in ROLES}
        for session in sessions:
            for kind in ("events", "logs", "services"):
                session.subscribe(KEYS.everything(kind), lambda sample, session=session: heard[session.role].append(  # type: ignore[misc]
                    (sample.key.split("/")[2], sample.payload)))  # fmt: skip
        said = {"events": KEYS.events("etl", 1, "w"), "logs": KEYS.logs("etl", 1, "w"),
                "services": KEYS.service("etl", 1, "w", "s")}  # fmt: skip
        for _ in range(3):  # the first ones may come before everybody listens
            for session in sessions:
                for key in said.values():
                    session.put(key, session.role.encode())
            await asyncio.sleep(0.1)
        last = ("services", b"last")
        await putting(sessions[0], said["services"], b"last", lambda: all(last in heard[role] for role in ROLES))
        for role in ROLES:  # a session hears itself, so only what came from the others is looked at
            others = {pair for pair in heard[role] if pair[1] not in {role.encode(), b"last"}}
            allowed = {("services", other.encode()) for other in ROLES if other != role}
            if role != "coordinator":
                allowed |= {("events", b"coordinator"), ("logs", b"coordinator")}
            assert others == allowed, role
        for session in sessions:
            session.close()


async def test_a_guest_cannot_answer_as_the_coordinator(tmp_path: Path, endpoint: str) -> None:
    async with router(tmp_path) as bus:
        thieves = [await opened(bus, role, endpoint) for role in ("worker", "kernel")]
        stolen = [KEYS.api("get_health"), KEYS.everything("api"), KEYS.everything("events"), KEYS.events("etl", 1),
                  KEYS.everything(), "**"]  # fmt: skip
        for thief in thieves:
            for key in stolen:
                thief.queryable(key, answering(b"thief"))
        asker, honest = await opened(bus, "kernel", endpoint), await opened(bus, "coordinator", endpoint)
        await asyncio.sleep(0.2)
        assert list(asker.get(KEYS.api("get_health"), timeout=2)) == []
        assert list(asker.get(KEYS.events("etl", 1), timeout=2)) == []
        honest.queryable(KEYS.everything("api"), answering(b"honest"))
        await until(lambda: list(asker.get(KEYS.api("get_health"), timeout=2)), every=0.05)
        assert [reply.payload for reply in asker.get(KEYS.api("get_health"))] == [b"honest"]
        for session in (*thieves, asker, honest):
            session.close()


async def test_questions_of_each_role_reach_what_the_table_allows(tmp_path: Path, endpoint: str) -> None:
    async with router(tmp_path) as bus:
        sessions = {role: await opened(bus, role, endpoint) for role in ROLES}
        asked: list[str] = []

        def answer(query: Query) -> None:
            asked.append(query.key)
            with query:
                query.reply(b"{}", key=KEYS.api("get_health"))

        for name in BY_NAME:
            sessions["coordinator"].queryable(KEYS.api(name), answer)
        await until(lambda: list(sessions["worker"].get(KEYS.api("get_health"), timeout=2)), every=0.05)
        for role in ("kernel", "worker"):
            asked.clear()
            for name in BY_NAME:
                list(sessions[role].get(KEYS.api(name), timeout=5))
            assert {key.rpartition("/")[2] for key in asked} == set(operations_of(role))
            asked.clear()
            for pattern in ("*", "**", "$*_workflow", "$*stop$*", "hand_over/**", "stop_$*"):
                list(sessions[role].get(f"wattle/{HUB}/api/{pattern}", timeout=5))
            for pattern in (KEYS.everything(), "**", "*/*/api/stop_workflow", "wattle/**/hand_over"):
                list(sessions[role].get(pattern, timeout=5))
            assert asked == [], role
        for session in sessions.values():
            session.close()


async def test_a_guest_cannot_pretend_that_somebody_is_alive(tmp_path: Path, endpoint: str) -> None:
    async with router(tmp_path) as bus:
        kernel, worker = await opened(bus, "kernel", endpoint), await opened(bus, "worker", endpoint)
        watcher, honest = await opened(bus, "kernel", endpoint), await opened(bus, "coordinator", endpoint)
        seen: set[str] = set()
        watcher.watch_liveliness(KEYS.everything("alive"), lambda key, here: seen.add(key) if here else None)
        for guest in (kernel, worker):
            guest.liveliness(KEYS.coordinator())
        kernel.liveliness(KEYS.worker("etl", 1, "w"))
        worker.liveliness(KEYS.kernel("k"))
        kernel.liveliness(KEYS.kernel("true"))
        worker.liveliness(KEYS.worker("etl", 1, "true"))
        await until(lambda: len(seen) >= 2)
        assert seen == {KEYS.kernel("true"), KEYS.worker("etl", 1, "true")}
        honest.liveliness(KEYS.coordinator())
        await until(lambda: KEYS.coordinator() in seen)
        for session in (kernel, worker, watcher, honest):
            session.close()


def test_no_role_asks_for_the_hand_over() -> None:
    rules = {rule["id"]: rule for rule in access_control(HUB, {role: role for role in ROLES})["rules"]}
    assert all("hand_over" not in operations_of(role) for role in ROLES)
    assert not any("hand_over" in key for rule in rules.values() for key in rule["key_exprs"])
    assert "stop_workflow" in operations_of("kernel")
    assert "stop_workflow" not in operations_of("worker")


@pytest.mark.parametrize("endpoint", ["tcp/192.168.1.5:24000", "tcp/0.0.0.0:24000", "tcp/example.org:1", "udp/127.0.0.1:1",
                                      "tcp/127.0.0.1:24000#iface=eth0", "quic/h:1", "tls/h", ""])  # fmt: skip
def test_plain_tcp_never_leaves_the_machine(endpoint: str) -> None:
    with pytest.raises(InvalidRequest):
        read_connection({"hub": "h", "endpoints": [endpoint], "user": "u", "password": "p", "role": "worker"})


def test_a_file_with_a_password_is_private_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "connection.json"
    file.write_text(json.dumps({"hub": "h", "endpoints": ["tcp/127.0.0.1:1"], "user": "u", "password": "p", "role": "worker"}))
    file.chmod(0o644)
    with pytest.raises(Forbidden, match="open to others"):
        read_connection(file)
    file.chmod(0o600)
    assert read_connection(file).to_dict() == json.loads(file.read_text())
    for text in ("", "[]", "{}", '{"hub": 1, "endpoints": ["tcp/127.0.0.1:1"], "user": "", "password": "", "role": ""}'):
        file.write_text(text)
        with pytest.raises(InvalidRequest):
            read_connection(file)
    with pytest.raises(Unreachable, match="cannot be read"):
        read_connection(tmp_path / "none")
