"""Over a real door and a real service: keys that start once, documents that are replaced only as they were seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import Desk
from tests.web.doors import Door, opened
from wattle.web.audit import Audit


class Office:
    """A desk on the loop of a door."""

    def __init__(self, door: Door, desk: Desk) -> None:
        self.door = door
        self.desk = desk
        self.ask = door.ask

    def do(self, work: Any) -> Any:
        return self.door.do(work)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    desk = Desk(tmp_path)
    with opened(tmp_path, lambda: getattr(desk, "service", None)) as door:
        door.do(desk.__aenter__())
        try:
            yield Office(door, desk)
        finally:
            door.do(desk.__aexit__())


def document(office: Office, command: str = "true") -> dict[str, Any]:
    return office.desk.document({"a": command, "b": {"needs": ["a"]}})


def create(office: Office, command: str = "true") -> str:
    reply = office.ask("PUT", "/api/workflows/etl", {"document": document(office, command)})
    assert reply.status == 200
    return str(reply.headers["ETag"])


def test_a_document_has_a_tag_that_changes_with_it_and_with_nothing_else(office: Office) -> None:
    first = create(office)
    assert first.startswith('"')
    assert create(office) == first
    assert office.ask("POST", "/api/workflows/etl/start").status == 200
    reply = office.ask("GET", "/api/workflows/etl")
    assert (reply.headers["ETag"], reply.json["status"], f'"{reply.json["etag"]}"') == (first, "running", first)
    again = office.ask("GET", "/api/workflows/etl", If_None_Match=f'"x", W/{first}')
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first)
    assert office.ask("GET", "/api/workflows/etl", If_None_Match='"x"').status == 200
    assert create(office, "false") != first
    frozen = office.ask("GET", "/api/workflows/etl@1")
    assert frozen.headers["ETag"] not in {None, office.ask("GET", "/api/workflows/etl").headers["ETag"]}
    assert office.ask("GET", "/api/workflows").headers["ETag"] is None


def test_a_document_is_replaced_or_deleted_only_as_it_was_seen(office: Office) -> None:
    first = create(office)
    second = create(office, "false")
    new = {"document": document(office, "echo")}
    for stale in (first, f"W/{second}", '"x"', ""):
        refused = office.ask("PUT", "/api/workflows/etl", new, If_Match=stale)
        assert (refused.status, refused.json["code"]) == (412, "changed")
        assert office.ask("DELETE", "/api/workflows/etl", If_Match=stale).status == 412
    assert office.ask("GET", "/api/workflows/etl").headers["ETag"] == second
    replaced = office.ask("PUT", "/api/workflows/etl", new, If_Match=f'"x", {second}')
    assert replaced.status == 200
    assert office.ask("PUT", "/api/workflows/etl", {**new, "if_match": replaced.json["etag"]}).status == 200
    assert office.ask("PUT", "/api/workflows/etl", {**new, "if_match": "one"}, If_Match='"other"').status == 400
    assert office.ask("DELETE", "/api/workflows/etl", If_Match="*").status == 200
    assert office.ask("PUT", "/api/workflows/etl", new, If_Match="*").status == 412, "there is nothing to match"


def test_of_two_who_saw_the_same_document_one_writes(office: Office) -> None:
    seen = create(office)
    replies: list[int] = []
    writers = [threading.Thread(target=lambda n=n: replies.append(office.ask(
        "PUT", "/api/workflows/etl", {"document": document(office, f"echo {n}")}, If_Match=seen).status)) for n in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(replies) == [200, 412, 412, 412, 412]


STARTS: list[tuple[str, dict[str, Any]]] = [
    ("/api/workflows/etl/start", {}),
    ("/api/workflows/etl/rerun", {"failed": False}),
    ("/api/workers/etl/a/start", {}),
    ("/api/workers/etl/a/restart", {}),
]


@pytest.mark.parametrize(("target", "body"), STARTS, ids=[target for target, _ in STARTS])
@pytest.mark.parametrize("header", [True, False])
def test_a_key_starts_one_run_however_often_it_is_sent(
    office: Office, target: str, body: dict[str, Any], header: bool
) -> None:
    create(office)
    office.desk.hands.obey()
    office.ask("POST", "/api/workflows/etl/start")
    office.do(office.desk.until_closed())

    def start(key: str) -> Any:
        if header:
            return office.ask("POST", target, body, Idempotency_Key=key)
        return office.ask("POST", target, {**body, "key": key})

    first = start("k1")
    assert (first.status, first.json["address"]) == (200, "etl@2")
    again = start("k1")
    assert (again.status, again.json["address"]) == (200, "etl@2"), "while it may run"
    office.do(office.desk.until_closed())
    assert start("k1").json["address"] == "etl@2", "and after its end"
    assert start("k2").json["address"] == "etl@3"
    office.do(office.desk.until_closed())


def test_a_restart_of_a_running_worker_is_told_once(office: Office) -> None:
    create(office)
    office.ask("POST", "/api/workflows/etl/start")
    office.do(_started(office.desk, "a"))
    for _ in range(2):
        reply = office.ask("POST", "/api/workers/etl/a/restart", Idempotency_Key="again")
        assert (reply.status, reply.json["address"]) == (200, "etl@1")
    assert len(office.desk.hands.stops()) == 1


async def _started(desk: Desk, worker: str) -> None:
    await desk.settle()
    desk.hands.started(desk.hands.nonce(worker))
    await desk.settle()


def test_a_key_of_one_workflow_starts_nothing_of_another(office: Office) -> None:
    create(office)
    office.do(office.desk.create({"a": "true"}, name="other"))
    assert office.ask("POST", "/api/workflows/etl/start", Idempotency_Key="k").status == 200
    reply = office.ask("POST", "/api/workflows/other/start", Idempotency_Key="k")
    assert (reply.status, reply.json["code"]) == (409, "key-used")


def test_two_who_send_one_key_at_once_get_one_run(office: Office) -> None:
    create(office)
    found: list[str] = []
    senders = [threading.Thread(target=lambda: found.append(
        office.ask("POST", "/api/workflows/etl/start", Idempotency_Key="k").json["address"])) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert found == ["etl@1"] * 4


def test_lists_are_paged_and_filtered(office: Office) -> None:
    office.desk.hands.obey(lambda launch: 1 if launch.worker == "bad" else 0)
    for name, worker in (("good", "a"), ("worse", "bad"), ("never", "a")):
        office.do(office.desk.create({worker: "true"}, name=name, tags=[name[0]]))
    for _ in range(3):
        for name in ("good", "worse"):
            office.ask("POST", f"/api/workflows/{name}/start")
            office.do(office.desk.until_closed())

    def names(query: str) -> tuple[list[str], int]:
        reply = office.ask("GET", f"/api/workflows?{query}").json
        return [row["name"] for row in reply["workflows"]], reply["total"]

    assert names("limit=2") == (["good", "never"], 3)
    assert names("limit=2&offset=2") == (["worse"], 3)
    assert names("offset=9") == ([], 3)
    assert names("status=failed") == (["worse"], 1)
    assert names("tag=n") == (["never"], 1)

    def runs(target: str) -> tuple[list[str], int | None]:
        reply = office.ask("GET", target).json
        return [run["address"] for run in reply["runs"]], reply["next"]

    found, after = runs("/api/wattle/runs?status=failed&limit=2")
    assert found == ["worse@3", "worse@2"]
    assert runs(f"/api/wattle/runs?status=failed&limit=2&before={after}") == (["worse@1"], None)
    found, after = runs("/api/workflows/good/runs?limit=2")
    assert found == ["good@3", "good@2"]
    assert runs(f"/api/workflows/good/runs?limit=2&before={after}") == (["good@1"], None)
    assert runs("/api/workflows/good/runs?status=failed") == ([], None)
    assert runs("/api/wattle/runs?active=true") == ([], None)
    assert office.ask("GET", "/api/wattle/runs?active=perhaps").status == 400


def test_a_page_resumes_everything_with_one_header(office: Office) -> None:
    create(office)
    office.ask("POST", "/api/workflows/etl/start")
    office.do(_started(office.desk, "a"))
    target = "/api/wattle/stream?runs=etl@1&logs=etl@1/a&events=true"
    with office.door.stream(target) as frames:
        event, identity, data = frames.next()
    assert (event, data["topic"], data["event"], data["data"]["first"]) == ("message", "run:etl@1", "message", True)
    assert identity == data["position"]
    office.do(office.desk.finish("a"))
    polled = office.ask("GET", target + "&poll=1", Last_Event_ID=identity).json
    assert {item["data"]["topic"] for item in polled["events"]} == {"run:etl@1", "log:etl@1/a", "events"}
    assert polled["id"] == polled["events"][-1]["id"]
    with office.door.stream(target, Last_Event_ID=polled["id"]) as frames:
        office.do(office.desk.finish("b"))
        while (data := frames.next()[2])["event"] != "end" or data["topic"] != "run:etl@1":
            pass
    assert data["data"] == {"status": "completed", "reason": ""}
    assert office.ask("GET", target, Last_Event_ID="1").status == 400


def test_the_audit_file_names_what_was_made_and_started(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    audit = Audit(str(tmp_path / "audit.log"), lambda: 0.0)
    with opened(tmp_path, lambda: getattr(desk, "service", None), audit=audit) as door:
        door.do(desk.__aenter__())
        door.ask("POST", "/api/workflows", {"document": desk.document({"a": "true"})})
        door.ask("POST", "/api/workflows/etl/start")
        door.do(desk.__aexit__())
    audit.close()
    lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert [(line["operation"], line["address"], line["run"]) for line in lines] == [
        ("create_workflow", "etl", ""), ("start_workflow", "etl", "etl@1"),
    ]  # fmt: skip
