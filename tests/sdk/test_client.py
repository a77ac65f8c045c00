"""The client when coordinators come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.server import Call, serving
from wattle.core.errors import NotFound, Unreachable
from wattle.sdk import client as client_module
from wattle.sdk.client import Client
from wattle.sdk.transports import ConnectionLost, UnixTransport

Step = Any
"""An answer, an error, or a list of a stream's items."""


class Scripted:
    """A coordinator that says these things in turn; a list is a stream, an exception ends it."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def request(self, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, dict(fields)))
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, dict)
        return step

    def stream(self, operation: str, fields: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        self.asked.append((operation, dict(fields)))
        step = self.steps.pop(0)
        for item in step if isinstance(step, list) else [step]:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE", 0.2)
    monkeypatch.setattr(client_module, "_PAUSE", 0.01)


def always(transport: Any) -> Callable[[], Any]:
    return lambda: transport


def test_a_question_that_only_reads_is_asked_the_next_coordinator() -> None:
    after = Scripted({"ok": 1})
    client = Client(Scripted(ConnectionLost("gone")), always(after))
    assert client.ask("get_health") == {"ok": 1}
    assert after.asked == [("get_health", {})]


def test_a_question_that_may_have_been_heard_is_not_asked_again() -> None:
    after = Scripted({})
    with pytest.raises(ConnectionLost):
        Client(Scripted(ConnectionLost("gone")), always(after)).ask("stop_workflow", workflow="etl")
    assert after.asked == []


def test_a_question_that_never_left_or_has_a_key_is_asked_again() -> None:
    for first, fields in ((Unreachable("none"), {}), (ConnectionLost("gone"), {"key": "k1"})):
        after = Scripted({"address": "etl@1"})
        client = Client(Scripted(first), always(after))
        assert client.ask("start_workflow", workflow="etl", **fields) == {"address": "etl@1"}


def test_other_errors_come_through_at_once() -> None:
    scripted = Scripted(NotFound("no such workflow"))
    with pytest.raises(NotFound):
        Client(scripted, always(scripted)).ask("get_workflow", workflow="x")
    assert len(scripted.asked) == 1


def test_nobody_for_too_long_is_unreachable() -> None:
    def nobody() -> Any:
        raise Unreachable("none")

    with pytest.raises(ConnectionLost, match="gone"):
        Client(Scripted(ConnectionLost("gone")), nobody).ask("get_health")


def test_events_go_on_after_the_last_number_without_a_gap_or_a_repeat() -> None:
    before = Scripted([("4", {"seq": 4}), ("5", {"seq": 5}), ConnectionLost("resync")])
    after = Scripted([("6", {"seq": 6})])
    found = list(Client(before, always(after)).stream("follow_events", workflow="etl", after=3))
    assert [data["seq"] for _, data in found] == [4, 5, 6]
    assert after.asked == [("follow_events", {"workflow": "etl", "after": 5})]


def test_a_log_goes_on_at_its_position_and_not_at_its_tail_again() -> None:
    before = Scripted([("1.10.0", {"text": "a"}), ConnectionLost("resync")])
    after = Scripted([("1.12.0", {"text": "b"})])
    list(Client(before, always(after)).stream("follow_logs", workflow="etl", worker="w", tail=5))
    assert after.asked == [("follow_logs", {"workflow": "etl", "worker": "w", "tail": None, "position": "1.10.0"})]


def test_a_watched_run_stays_the_same_run_when_a_newer_one_exists() -> None:
    before = Scripted([("7", {"run": {"address": "etl@3"}}), ConnectionLost("resync")])
    after = Scripted([("9", {"run": {"address": "etl@3"}})])
    list(Client(before, always(after)).stream("watch_run", workflow="etl"))
    assert after.asked == [("watch_run", {"workflow": "etl@3"})]


def test_patience_begins_anew_after_every_answer() -> None:
    steps: list[Step] = [[(str(n), {"seq": n}), ConnectionLost("resync")] for n in range(1, 30)]
    scripted = Scripted(*steps, [])
    assert len(list(Client(scripted).stream("follow_all_events"))) == 29


def test_a_stream_survives_a_server_that_ends_and_comes_back_at_the_same_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "door.sock")
    heard: list[str] = []

    def first(call: Call) -> None:
        call.begin()
        call.event(1, {"seq": 1})
        call.close_connection = True

    def second(call: Call) -> None:
        heard.append(call.path)
        call.begin()
        call.event(2, {"seq": 2})
        call.end()

    found: list[int] = []
    gone, back = threading.Event(), threading.Event()

    def follow() -> None:
        for _, data in Client(UnixTransport(path)).stream("follow_all_events"):
            found.append(data["seq"])
            gone.set()
            back.wait(20)

    with serving(path, first):
        thread = threading.Thread(target=follow)
        thread.start()
        assert gone.wait(20)
    Path(path).unlink()
    with serving(path, second):
        back.set()
        thread.join(20)
    assert found == [1, 2]
    assert heard == ["/api/wattle/events?after=1"]
