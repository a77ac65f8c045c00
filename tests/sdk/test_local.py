"""A service in this very process, asked without a socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from wattle.core.errors import InternalError, InvalidRequest, NotFound, Unreachable
from wattle.core.requests import FollowAllEvents, ListWorkflows
from wattle.host import reader
from wattle.sdk import local
from wattle.sdk.client import Client
from wattle.sdk.local import LocalTransport, service_transport
from wattle.sdk.transports import ConnectionLost
from wattle.settings import load, prepare_home


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def test_a_look_up_answers_as_a_coordinator_would(tmp_path: Path) -> None:
    settings = load({"home": str(tmp_path / "home")}, {}, None)
    prepare_home(settings)
    client = Client(service_transport(reader(settings)))
    assert client.ask("list_workflows", tag=None) == {"workflows": [], "total": 0}
    assert client.ask("get_health")["rank"] == "none"
    with pytest.raises(NotFound):
        client.ask("get_workflow", workflow="nope")
    with pytest.raises(InvalidRequest):
        client.ask("list_workflows", limit="many")
    assert list(client.stream("follow_all_events", follow=False)) == []
    client.close()


class Ending:
    """A service whose coordinator is leaving, or that has a bug."""

    leaving = True

    async def list_workflows(self, request: ListWorkflows) -> Any:
        raise KeyError(request.limit)

    async def follow_all_events(self, request: FollowAllEvents) -> AsyncIterator[Any]:
        if request.after:
            raise KeyError(request.after)
        return
        yield


def test_a_bug_inside_is_an_internal_error_and_no_traceback(loop: asyncio.AbstractEventLoop) -> None:
    transport = LocalTransport(Ending(), loop)
    with pytest.raises(InternalError, match="list_workflows failed inside: KeyError"):
        transport.request("list_workflows", {"limit": 3})
    with pytest.raises(InternalError):
        list(transport.stream("follow_all_events", {"after": 3}))


def test_a_stream_of_a_coordinator_that_leaves_is_to_be_taken_up_elsewhere(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(ConnectionLost):
        list(LocalTransport(Ending(), loop).stream("follow_all_events", {}))


def test_a_coordinator_that_has_ended_is_unreachable() -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    transport = LocalTransport(Ending(), closed)
    with pytest.raises(Unreachable):
        transport.request("list_workflows", {})
    with pytest.raises(Unreachable):
        list(transport.stream("follow_all_events", {}))


def test_who_waits_when_the_loop_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.02)

    class Silent:
        leaving = False

        async def list_workflows(self, _request: ListWorkflows) -> Any:
            asyncio.get_running_loop().stop()
            await asyncio.Event().wait()

    made = asyncio.new_event_loop()

    def live() -> None:
        made.run_forever()
        tasks = asyncio.all_tasks(made)
        for task in tasks:
            task.cancel()
        made.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        made.close()

    thread = threading.Thread(target=live)
    thread.start()
    with pytest.raises(ConnectionLost):
        LocalTransport(Silent(), made).request("list_workflows", {})
    thread.join()
