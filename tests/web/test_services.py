"""Services over HTTP, before a real router: what one program says by HTTP another one hears by Zenoh, and the reverse."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.bus.buses import router
from tests.helpers import DEADLINE, wait_until
from tests.web.doors import Door, opened
from wattle.bus.process import RouterProcess
from wattle.bus.zenoh import Session, open_client
from wattle.core.errors import Conflict, NotFound
from wattle.sdk.forward import Forward
from wattle.sdk.services import Place, Services
from wattle.sdk.worker_asking import answered
from wattle.sdk.worker_errors import WorkerUnreachable
from wattle.web.services import no_bus

RUN = "/api/wattle/services/etl@7"
STATE = f"{RUN}/engine/state"


class Host:
    """What a host gives to the door: a bus when there is one, and the workers of one run, of which `ended` has."""

    def __init__(self) -> None:
        self.hands: Forward | None = None

    async def bus(self) -> Forward:
        if self.hands is None:
            raise no_bus("There is no bus: the settings say so.")
        return self.hands

    async def place(self, workflow: str, worker: str, service: str, *, running: bool) -> tuple[Place, int]:
        if workflow != "etl@7" or worker not in {"engine", "planner", "ended"}:
            raise NotFound(f"There is no worker {worker}.", "wattle status")
        if running and worker == "ended":
            raise Conflict("ended does not run.", "start it", code="not-running")
        return Place("etl", 7, worker, service), 1


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router, looked after on a loop of its own."""
    ready: Future[tuple[RouterProcess, asyncio.AbstractEventLoop]] = Future()
    down = asyncio.Event()

    async def keep() -> None:
        async with router(tmp_path_factory.mktemp("services")) as process:
            ready.set_result((process, asyncio.get_running_loop()))
            await down.wait()

    thread = threading.Thread(target=lambda: asyncio.run(keep()))
    thread.start()
    process, loop = ready.result(DEADLINE)
    yield process
    loop.call_soon_threadsafe(down.set)
    thread.join()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def door(tmp_path: Path, bus: RouterProcess, host: Host) -> Iterator[Door]:
    """A door whose host is on the bus as the coordinator."""
    with open_client(bus.connection("coordinator")) as session, opened(tmp_path, lambda: None, live=lambda: host) as made:

        async def begin() -> None:
            host.hands = Forward(session)

        made.do(begin())
        yield made


@pytest.fixture
def worker(bus: RouterProcess) -> Iterator[Session]:
    """A program on the bus with a worker's credential."""
    with open_client(bus.connection("worker")) as session:
        yield session


def heard(frames: Any) -> Any:
    event, _, data = frames.next()
    assert event == "message", data
    return data


# ---- publish and listen -----------------------------------------------------------------------------------------


def test_what_is_put_by_http_is_heard_by_zenoh_in_its_order_with_its_place(door: Door, worker: Session) -> None:
    samples = Services(worker).listen(Place("etl", 7, "engine", "state"))
    worker.flush()
    for number in range(3):
        assert door.ask("PUT", STATE, {"n": number}).status == 204
    door.ask("PUT", STATE, b"\x00\xff", Content_Type="image/png")
    assert door.ask("DELETE", STATE).status == 204
    found = list(samples)
    assert [json.loads(one.payload) for one in found[:3]] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert (found[3].payload, found[3].encoding) == (b"\x00\xff", "image/png")
    places = [one.attachment.rpartition(b".") for one in found]
    assert [int(place[2]) for place in places] == [1, 2, 3, 4]
    assert len({place[0] for place in places}) == 1
    assert places[0][0].startswith(b"1.")
    assert samples.dropped == 0


def test_what_is_published_by_zenoh_is_heard_by_http_as_json(door: Door, worker: Session) -> None:
    talk = Services(worker)
    place = Place("etl", 7, "engine", "deep/state")
    with door.stream(f"{RUN}/engine/deep/state") as frames:
        assert frames.headers["Content-Type"].startswith("text/event-stream")
        assert heard(frames) == {"listening": "etl@7/engine/deep/state"}
        for payload, encoding in ((b'{"x":\n 1.5}', "application/json"), ("né".encode(), "text/plain"),
                                  (b"\x00", "application/octet-stream"), (b"not json", "application/json")):  # fmt: skip
            talk.publish(place, 1, payload, encoding)
        assert [heard(frames) for _ in range(4)] == [
            {"data": {"x": 1.5}, "dropped": 0}, {"data": "né", "encoding": "text/plain", "dropped": 0},
            {"base64": "AA==", "encoding": "application/octet-stream", "dropped": 0},
            {"base64": "bm90IGpzb24=", "encoding": "application/json", "dropped": 0}]  # fmt: skip
        talk.end(place, 1)
        assert frames.next()[0] == "end"


def test_a_listener_that_takes_nothing_is_told_how_much_it_missed(door: Door, worker: Session, host: Host) -> None:
    talk, place = Services(worker), Place("etl", 7, "engine", "fast")

    async def few() -> Any:
        assert host.hands is not None
        messages = host.hands.follow(place, queue=10)
        assert "listening" in await anext(messages)
        for number in range(500):
            talk.publish(place, 1, str(number).encode(), "application/json")
        talk.end(place, 1)
        await asyncio.to_thread(lambda: wait_until(lambda: next(iter(host.hands._listening)).ended))  # type: ignore[union-attr]
        return [message async for message in messages]

    found = door.do(few())
    assert [one["data"] for one in found] == list(range(490, 500))
    assert found[0]["dropped"] == 490


def test_streams_end_with_the_coordinator_and_are_taken_up_with_its_successor(door: Door, host: Host) -> None:
    async def let_go() -> None:
        assert host.hands is not None
        host.hands.close()

    with door.stream(STATE) as listening, door.stream(f"{RUN}/planner/route?serve=true") as serving:
        assert heard(listening)
        assert heard(serving) == {"serving": "etl@7/planner/route"}
        door.do(let_go())
        assert (listening.next()[0], serving.next()[0]) == ("resync", "resync")


# ---- ask and answer ---------------------------------------------------------------------------------------------


def test_a_question_by_http_is_answered_by_zenoh(door: Door, worker: Session) -> None:
    talk = Services(worker)

    def answer(query: Any) -> None:
        with query:
            data = json.loads(query.payload)
            if data is None:
                query.refuse({"code": "no-route", "message": "nowhere to go", "hint": "try harder"})
            else:
                query.reply(json.dumps([data, query.encoding]).encode(), "application/json")

    with worker.queryable(talk.key(Place("etl", 7, "planner", "route")), answer):
        worker.flush()
        reply = door.ask("POST", f"{RUN}/planner/route", [0, 1])
        assert (reply.status, reply.headers["Content-Type"], reply.json) == (200, "application/json",
                                                                            [[0, 1], "application/json"])  # fmt: skip
        refused = door.ask("POST", f"{RUN}/planner/route?timeout=2.5", b"null", Content_Type="application/json; charset=utf-8")
        assert (refused.status, refused.json) == (502, {"code": "no-route", "message": "planner/route: nowhere to go",
                                                        "hint": "try harder"})  # fmt: skip


def test_a_question_that_nobody_hears_or_answers_in_time_is_told_as_such(door: Door, worker: Session) -> None:
    nobody = door.ask("POST", f"{RUN}/planner/route?timeout=0.3", 1)
    assert (nobody.status, nobody.json["code"]) == (503, "worker-unreachable")
    kept: list[Any] = []
    with worker.queryable(Services(worker).key(Place("etl", 7, "planner", "slow")), kept.append):
        worker.flush()
        late = door.ask("POST", f"{RUN}/planner/slow?timeout=0.3", 1)
        assert (late.status, late.json["code"]) == (504, "timeout")
        for query in kept:
            query.close()


def ask(session: Session, payload: bytes, seconds: float = DEADLINE) -> Any:
    asking = Services(session).asking(Place("etl", 7, "planner", "route"), payload, "application/json", seconds)
    return answered(asking.question)


def test_questions_by_zenoh_are_answered_by_http(door: Door, worker: Session) -> None:
    with door.stream(f"{RUN}/planner/route?serve=true") as frames:
        assert heard(frames) == {"serving": "etl@7/planner/route"}
        asked: Future[Any] = Future()
        threading.Thread(target=lambda: asked.set_result([ask(worker, b"[1]"), ask(worker, b"[2]")])).start()
        first = heard(frames)
        assert first["data"] == [1]
        assert door.ask("PUT", f"/api/wattle/answers/{first['id']}", {"path": [1, 2]}).status == 204
        twice = door.ask("PUT", f"/api/wattle/answers/{first['id']}", {})
        assert (twice.status, twice.json["code"]) == (404, "not-found")
        second = heard(frames)
        assert door.ask("POST", f"/api/wattle/answers/{second['id']}", {"message": "no way"}).status == 204
        found = asked.result(DEADLINE)
        assert json.loads(found[0].payload) == {"path": [1, 2]}
        assert found[1].error == {"code": "request-failed", "message": "no way", "hint": ""}


def test_who_stops_serving_leaves_no_asker_waiting(door: Door, worker: Session) -> None:
    ended: Future[str] = Future()

    def asks() -> None:
        try:
            ended.set_result(ask(worker, b"1").error["code"])
        except WorkerUnreachable as error:  # the news that its worker has left may be quicker
            ended.set_result(error.code)

    with door.stream(f"{RUN}/planner/route?serve=true") as frames:
        heard(frames)
        threading.Thread(target=asks).start()
        heard(frames)
    assert ended.result(DEADLINE) in {"ending", "worker-unreachable"}


# ---- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "target", "body", "headers", "status", "told"), [
    ("PUT", f"{RUN}/nobody/state", b"1", {}, 404, "There is no worker nobody."),
    ("PUT", f"{RUN}/ended/state", b"1", {}, 409, "ended does not run."),
    ("PUT", f"{RUN}/engine/.progress", b"1", {}, 400, "'.progress'"),
    ("PUT", f"{RUN}/engine/a//b", b"1", {}, 400, "'a//b'"),
    ("PUT", STATE, b"{", {"Content_Type": "application/json"}, 400, "the body is not JSON"),
    ("PUT", STATE, b"a=1", {"Content_Type": "application/x-www-form-urlencoded"}, 415, "a message is no"),
    ("PUT", STATE, b"x" * ((8 << 20) + 1), {}, 413, "larger than 8 MiB"),
    ("GET", f"{STATE}?serv=true", None, {}, 400, "'serv' means nothing here."),
    ("POST", f"{STATE}?timeout=soon", b"1", {}, 400, "'soon' is no number of seconds"),
    ("POST", f"{STATE}?timeout=0", b"1", {}, 400, "'0' is no number of seconds"),
    ("PATCH", STATE, b"1", {}, 405, "this path does not know this method"),
    ("PUT", "/api/wattle/answers/nobody", b"1", {}, 404, "Nobody waits for this answer."),
    ("POST", "/api/wattle/answers/nobody", {"code": "x"}, {}, 400, "An error is a JSON object with a message."),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_reason(door: Door, method: str, target: str, body: Any,
                                                      headers: dict[str, str], status: int, told: str) -> None:  # fmt: skip
    reply = door.ask(method, target, body, **headers)
    assert (reply.status, told in reply.json["message"]) == (status, True), reply.body
    assert set(reply.json) == {"code", "message", "hint"}


def test_without_a_bus_everything_says_why(tmp_path: Path, host: Host) -> None:
    with opened(tmp_path, lambda: None, live=lambda: host) as door:
        for method in ("PUT", "GET", "POST", "DELETE"):
            reply = door.ask(method, STATE, b"1" if method in {"PUT", "POST"} else None)
            assert (reply.status, reply.json["code"]) == (503, "no-bus")
            assert reply.json["message"] == "There is no bus: the settings say so."
    with opened(tmp_path / "..", lambda: None) as door:
        assert door.ask("GET", STATE).json["code"] == "starting"


# ---- a language without Zenoh -----------------------------------------------------------------------------------

NODE = r"""
const http = require("http");
const [socketPath, run] = process.argv.slice(1);
function call(method, path, body, on) {
  return new Promise((resolve, reject) => {
    const request = http.request({socketPath, method, path, headers: {"Content-Type": "application/json"}}, (reply) => {
      if (on) return on(reply, resolve);
      let text = ""; reply.on("data", (piece) => text += piece); reply.on("end", () => resolve([reply.statusCode, text]));
    });
    request.on("error", reject); request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
function events(path, each) {
  return call("GET", path, undefined, (reply, resolve) => {
    let text = "";
    reply.on("data", async (piece) => {
      text += piece;
      for (let at; (at = text.indexOf("\n\n")) >= 0; text = text.slice(at + 2)) {
        const line = text.slice(0, at).split("\n").find((line) => line.startsWith("data: "));
        if (line && text.slice(0, at).startsWith("event: end")) resolve();
        else if (line) await each(JSON.parse(line.slice(6)));
      }
    });
  });
}
events(`${run}/planner/double?serve=true`, async (asked) => {
  if (asked.serving) return console.log("serving");
  await call("PUT", `/api/wattle/answers/${asked.id}`, {double: 2 * asked.data});
});
events(`${run}/engine/state`, async (told) => {
  if (told.listening) return console.log("listening");
  await call("PUT", `${run}/planner/echo`, told.data);
}).then(() => process.exit(0));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_node_program_needs_nothing_but_http(door: Door, worker: Session) -> None:
    talk, place = Services(worker), Place("etl", 7, "engine", "state")
    echo = talk.listen(Place("etl", 7, "planner", "echo"))
    worker.flush()
    with subprocess.Popen(["node", "-e", NODE, door.path, RUN], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert {node.stdout.readline().strip(), node.stdout.readline().strip()} == {"serving", "listening"}
        asking = talk.asking(Place("etl", 7, "planner", "double"), b"21", "application/json", DEADLINE)
        assert json.loads(answered(asking.question).payload) == {"double": 42}
        talk.publish(place, 1, b'{"x": 1}', "application/json")
        assert json.loads(echo.get(DEADLINE).payload) == {"x": 1}
        talk.end(place, 1)
        assert node.wait(DEADLINE) == 0
