"""Other hosts come in over TLS, with the right certificate and a credential, or not at all."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.bus.buses import putting, router
from wattle.bus import certificates
from wattle.bus.certificates import make_tls
from wattle.bus.keys import Keys
from wattle.bus.tls import tls_endpoint
from wattle.bus.zenoh import open_client
from wattle.core.errors import Forbidden, InvalidRequest, NotAvailable, Unreachable, WattleError

NOW = dt.datetime.now(dt.UTC)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_credential_and_the_certificate_open_the_bus_to_another_host(tmp_path: Path, host: str) -> None:
    make_tls(tmp_path / "tls", host, now=NOW)
    make_tls(tmp_path / "foreign", host, now=NOW)
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "tls").iterdir())
    async with router(tmp_path, tls=tls_endpoint(tmp_path / "tls", host, free_port(), "127.0.0.1")) as bus:
        exported = bus.exported("kernel")
        assert exported["endpoints"][0].startswith(f"tls/{host}:")
        far = await asyncio.to_thread(open_client, exported)
        near = await asyncio.to_thread(open_client, bus.connection("worker"))
        key, heard = Keys("hub1").service("etl", 1, "w", "s"), list[Any]()
        far.subscribe(key, heard.append)
        await putting(near, key, b"hello", lambda: heard)
        far.close()
        near.close()
        wrong = [{**exported, "password": "x"}, {**exported, "ca": (tmp_path / "foreign" / "ca.pem").read_text()},
                 {**exported, "ca": ""}, {**exported, "endpoints": [exported["endpoints"][0].replace("tls/", "tcp/")]}]  # fmt: skip
        for connection in wrong:
            with pytest.raises((Forbidden, Unreachable, InvalidRequest)):
                await asyncio.to_thread(open_client, connection, timeout=1.0)


async def test_a_bus_without_tls_is_for_this_machine_alone(tmp_path: Path) -> None:
    async with router(tmp_path) as bus:
        with pytest.raises(Unreachable, match="not open to other machines"):
            bus.exported("worker")


@pytest.mark.parametrize(("host", "port"), [("", 7447), ("a/b", 7447), ("h", 0), ("h", 70_000), ("h?x", 1)])
def test_an_endpoint_that_makes_no_sense_is_refused(tmp_path: Path, host: str, port: int) -> None:
    with pytest.raises(InvalidRequest, match="is no endpoint"):
        tls_endpoint(tmp_path, host, port)


def test_an_endpoint_needs_its_certificates(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is missing"):
        tls_endpoint(tmp_path, "host", 7447)


def test_without_cryptography_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "HAS_CRYPTOGRAPHY", False)
    with pytest.raises(NotAvailable, match="cryptography"):
        make_tls(tmp_path, "host", now=NOW)


def test_certificates_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WattleError, match="cannot be written"):
        make_tls(tmp_path / "file" / "below", "host", now=NOW)
