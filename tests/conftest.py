"""Fixtures and habits that every test shares."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.terminal import Terminal

# The programs that tests start import the same sources hundreds of times: compiled once, wherever somebody forbids it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Most tests need no bus, and a router for each of their coordinators takes time; those that do switch it on.
os.environ.setdefault("WATTLE_ZENOH_ENABLED", "false")

# Machines are shared: how long an example takes says nothing.
settings.register_profile("wattle", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wattle")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs on an event loop of its own, which must end empty and closed."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds, or leaves, anything in the state root of the person who runs it."""
    for name in ("WATTLE_CONNECTION", "WATTLE_TASK", "WATTLE_RUN", "WATTLE_ATTEMPT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WATTLE_HOME", str(tmp_path_factory.getbasetemp() / "unused-home"))


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """The command line on a state root of its own; whoever it started is ended."""
    place = Terminal(tmp_path)
    yield place
    place.close()
