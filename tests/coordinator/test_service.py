"""Every operation of the table, asked as a door would ask, with its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, collect, refusal
from wattle.core.errors import Conflict, DocumentError, InvalidRequest, NotFound, Unreachable
from wattle.core.operations import OPERATIONS
from wattle.core.replies import Reply

# ---- the table ------------------------------------------------------------------------------------------------

FIELDS: dict[str, dict[str, Any]] = {
    "follow_many": {"runs": "etl@1"},
    "create_workflow": {"text": "name: new\nworkers: {a: {command: 'true'}}"},
    "replace_workflow": {"workflow": "etl", "text": "name: etl\nworkers: {a: {command: 'true'}, b: {command: 'true'}}"},
    "validate_document": {"text": "name: new\nworkers: {a: {command: 'true'}}"},
    "get_run": {"workflow": "etl", "number": 1},
    "get_output": {"workflow": "etl", "worker": "a", "port": "t"},
    "preview_output": {"workflow": "etl", "worker": "a", "port": "t"},
    "put_progress": {"workflow": "etl", "worker": "a", "fraction": 0.5},
    "put_output": {"workflow": "etl", "worker": "a", "port": "v", "value": 1},
    "delete_worker": {"workflow": "etl", "worker": "b"},
    "follow_events": {"workflow": "etl", "follow": False},
    "follow_all_events": {"follow": False},
    "hand_over": {"rank": "server"},
    "start_workflow": {"workflow": "etl"},
}
ACTIVE = {"stop_workflow", "stop_worker", "restart_worker", "put_output", "put_progress"}


def fields_for(operation: Any) -> dict[str, Any]:
    found = FIELDS.get(operation.name)
    if found is not None:
        return found
    fields = {"workflow": "etl"} if "{workflow}" in operation.path else {}
    return {**fields, "worker": "a"} if "{worker}" in operation.path else fields


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_every_operation_answers_with_the_reply_of_its_row(tmp_path: Path, operation: Any) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": {"t": {"type": "file"}, "v": {"type": "value"}}}, "b": {}})
        await desk.run()
        if operation.name.startswith("put_"):
            await desk.start("a")
        if operation.name not in ACTIVE:
            await desk.finish("a")
            await desk.finish("b")
        fields = fields_for(operation)
        if operation.stream:
            replies = await collect(desk.follow(operation.name, **fields))
            assert replies
        else:
            replies = [await desk.ask(operation.name, **fields)]
        assert {type(reply).__name__ for reply in replies} == {operation.reply}
        assert all(isinstance(reply, Reply) for reply in replies)


CHANGES = [row for row in OPERATIONS if row.access != "read" and row.name != "plan_workflow"]
"""A plan changes nothing: it needs the right of a start because it looks at whatever files a document names."""


@pytest.mark.parametrize("operation", CHANGES, ids=lambda row: row.name)
async def test_without_a_coordinator_nothing_can_be_changed(tmp_path: Path, operation: Any) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}})
        await desk.run()
        desk.service = desk.looker()
        error = await refusal(desk, operation.name, **fields_for(operation))
        assert isinstance(error, Unreachable)
        assert error.hint == "wattle up"


@pytest.mark.parametrize("kind", STORES)
async def test_without_a_coordinator_everything_can_be_looked_up(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({"a": {"outputs": ["t"]}, "b": {"needs": ["a"]}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        await desk.driver.stop()
        desk.service = desk.looker()
        assert not desk.service.leaving
        assert await desk.phases() == {"a": "running", "b": "waiting"}
        for operation in OPERATIONS:
            if operation.access == "read":
                fields = fields_for(operation)
                replies = (await collect(desk.follow(operation.name, **fields)) if operation.stream
                           else [await desk.ask(operation.name, **fields)])  # fmt: skip
                assert {type(reply).__name__ for reply in replies} == {operation.reply}
        assert (await desk.ask("list_all_runs", active=True)).runs[0].address == "etl@1"
        assert len(await collect(desk.follow("follow_events", workflow="etl", follow=True))) == 3, "it cannot follow"


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if "{workflow}" in row.path and row.name !=
                                       "replace_workflow"], ids=lambda row: row.name)  # fmt: skip
async def test_an_unknown_workflow_is_not_found_by_any_operation(tmp_path: Path, operation: Any) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}}, name="etl-daily")
        error = await refusal(desk, operation.name, **{**fields_for(operation), "workflow": "etl"})
        assert isinstance(error, NotFound)
        assert error.message == "There is no workflow etl."
        assert error.hint == "did you mean etl-daily?"


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if "{worker}" in row.path], ids=lambda row: row.name)
async def test_an_unknown_worker_is_not_found_by_any_operation(tmp_path: Path, operation: Any) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"clean": {"outputs": ["t"]}, "z": {}}, overlap="allow")
        await desk.run()
        error = await refusal(desk, operation.name, **{**fields_for(operation), "worker": "clena"})
        assert isinstance(error, NotFound)
        assert "has no worker clena" in error.message
        assert error.hint in {"did you mean clean?", "wattle show etl"}
        other = await refusal(desk, operation.name, **{**fields_for(operation), "worker": "nosuch"})
        assert "wattle" in other.hint


@pytest.mark.parametrize("operation", [row for row in OPERATIONS if "{workflow}" in row.path and row.name not in
                                       {"get_run", "list_runs"} and row.name not in {
                                           "replace_workflow", "delete_workflow", "start_workflow", "delete_worker",
                                           "start_worker"}], ids=lambda row: row.name)  # fmt: skip
async def test_an_unknown_run_is_not_found_by_any_operation(tmp_path: Path, operation: Any) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}, "b": {}})
        await desk.run()
        error = await refusal(desk, operation.name, **{**fields_for(operation), "workflow": "etl@9"})
        assert isinstance(error, NotFound)
        assert (error.message, error.hint) == ("There is no run etl@9.", "wattle runs etl")


@pytest.mark.parametrize(("operation", "fields"), [
    ("delete_workflow", {}), ("start_workflow", {}), ("delete_worker", {"worker": "a"}),
    ("start_worker", {"worker": "a"}),
    ("replace_workflow", {"text": "name: etl\nworkers: {a: {command: 'true'}}"}),
])  # fmt: skip
async def test_a_run_where_the_workflow_itself_is_meant_is_refused(tmp_path: Path, operation: str,
                                                                  fields: dict[str, Any]) -> None:  # fmt: skip
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}})
        await desk.run()
        error = await refusal(desk, operation, workflow="etl@1", **fields)
        assert isinstance(error, InvalidRequest)
        assert error.hint == "write etl"


async def test_a_worker_where_a_run_is_meant_is_refused(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        error = await refusal(desk, "list_workers", workflow="etl@1/a")
        assert (type(error), error.hint) == (InvalidRequest, "write etl@1")
        assert isinstance(await refusal(desk, "list_workers", workflow="../etc"), InvalidRequest)


async def test_a_workflow_that_never_ran_has_no_run_to_speak_of(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}})
        for operation in ("list_workers", "watch_run", "get_timeline", "rerun_workflow"):
            error = await refusal(desk, operation, workflow="etl")
            assert (type(error), error.message, error.hint) == (NotFound, "etl has no runs.", "wattle run etl")
        assert isinstance(await refusal(desk, "restart_worker", workflow="etl", worker="a"), NotFound)
        error = await refusal(desk, "stop_workflow", workflow="etl")
        assert (type(error), error.code) == (Conflict, "not-running")
        assert (await desk.ask("list_outputs", workflow="etl", worker="a")).outputs == []
        assert (await desk.ask("get_worker", workflow="etl", worker="a")).run is None
        assert [node.status for node in (await desk.ask("get_graph", workflow="etl")).nodes] == ["created"]
        assert (await desk.ask("list_runs", workflow="etl")).runs == []


async def test_an_unknown_name_in_an_empty_store_says_how_to_begin(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        assert (await refusal(desk, "get_workflow", workflow="etl")).hint == "wattle run FILE saves and runs one"
        await desk.create({"a": {}}, name="other")
        assert (await refusal(desk, "get_workflow", workflow="etl")).hint == "wattle list shows all"


# ---- definitions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STORES)
async def test_a_name_belongs_to_its_source_until_it_is_taken_over(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
        for path in (mine, other):
            path.write_text("")
        first, second = desk.document({"a": {}}), desk.document({"b": {}})
        await desk.ask("create_workflow", document=first, source=str(mine))
        again = await desk.ask("create_workflow", document=first, source=str(mine))
        assert again.revision == 1, "nothing differs"
        assert (await desk.ask("create_workflow", document=second, source=str(mine))).revision == 2
        for source in (str(other), ""):
            error = await refusal(desk, "create_workflow", document=first, source=source)
            assert (type(error), error.code) == (Conflict, "name-taken")
            assert str(mine) in error.message
            assert "--replace" in error.hint
        taken = await desk.ask("create_workflow", document=first, source=str(other), replace=True)
        assert (taken.revision, taken.source) == (3, str(other))
        other.unlink()
        vanished = await desk.ask("create_workflow", document=second, source=str(mine))
        assert (vanished.revision, vanished.source) == (4, str(mine))


async def test_a_name_that_came_without_a_file_is_taken_too(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.ask("create_workflow", document=desk.document({"a": {}}))
        error = await refusal(desk, "create_workflow", document=desk.document({"b": {}}))
        assert "a request without a file" in error.message
        replaced = await desk.ask("replace_workflow", workflow="etl", document=desk.document({"b": {}}))
        assert (replaced.revision, [worker["name"] for worker in replaced.document["workers"]]) == (2, ["b"])


async def test_replacing_renames_to_the_name_of_the_path(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        reply = await desk.ask("replace_workflow", workflow="etl", document=desk.document({"b": {}}, name="other"))
        assert (reply.name, reply.revision) == ("etl", 2)
        assert [row.name for row in (await desk.ask("list_workflows")).workflows] == ["etl"]


async def test_a_document_is_sent_as_text_or_as_json_but_not_both(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        for fields in ({}, {"text": "name: x", "document": {"name": "x"}}):
            assert isinstance(await refusal(desk, "create_workflow", **fields), InvalidRequest)
        error = await refusal(desk, "create_workflow", text="name: etl\nworkers: {a: {comand: x}}")
        assert isinstance(error, DocumentError)
        assert error.problems[0].line == 2
        reply = await desk.ask("create_workflow", text="name: x\nworkers: {a: {command: 'true'}}", name="y",
                               base_dir=str(tmp_path / "sub"))  # fmt: skip
        assert (reply.name, Path(reply.working_dir).name) == ("y", "sub")
        bare = await desk.ask("create_workflow", text="name: z\nworkers: {a: {command: 'true'}}", name="z")
        assert bare.working_dir == str(tmp_path / "z"), "the folder that the hallway picks"


async def test_validating_tells_every_problem_and_saves_nothing(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        good = await desk.ask("validate_document", document=desk.document({"a": {}, "b": {}}))
        assert (good.valid, good.name, good.workers, good.problems) == (True, "etl", 2, [])
        bad = await desk.ask("validate_document", text="name: etl\nworkers: {a: {comand: x}, b: {needs: [zz]}}")
        assert not bad.valid
        assert len(bad.problems) >= 2
        assert (await desk.ask("list_workflows")).total == 0


async def test_workflows_are_listed_by_status_tag_and_page(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        desk.hands.obey(lambda launch: None if launch.worker == "slow" else 0)
        await desk.create({"a": {}}, name="done", tags=["x", "y"])
        await desk.create({"slow": {}}, name="going", tags=["y"])
        await desk.create({"a": {}}, name="never")
        await desk.run("done")
        await desk.run("going")

        async def names(**fields: Any) -> list[str]:
            return [row.name for row in (await desk.ask("list_workflows", **fields)).workflows]

        assert await names() == ["done", "going", "never"]
        assert await names(tag="y") == ["done", "going"]
        assert await names(status="created") == ["never"]
        assert await names(status="running") == ["going"]
        assert await names(limit=1, offset=1) == ["going"]
        reply = await desk.ask("list_workflows", limit=0)
        assert (reply.workflows, reply.total) == ([], 3)
        assert (await desk.ask("get_workflow", workflow="going")).run.counts == {"created": 1}


async def test_a_run_keeps_the_document_that_it_was_started_with(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        await desk.create({"b": {}})
        frozen = await desk.ask("get_workflow", workflow="etl@1")
        assert [worker["name"] for worker in frozen.document["workers"]] == ["a"]
        current = await desk.ask("get_workflow", workflow="etl")
        assert [worker["name"] for worker in current.document["workers"]] == ["b"]


@pytest.mark.parametrize("kind", STORES)
async def test_a_deleted_workflow_keeps_its_runs_and_its_numbers(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({"a": {}})
        await desk.run()
        error = await refusal(desk, "delete_workflow", workflow="etl")
        assert (type(error), error.code, error.hint) == (Conflict, "run-active", "wattle stop etl")
        await desk.finish("a")
        assert "Deleted etl" in (await desk.ask("delete_workflow", workflow="etl")).message
        assert isinstance(await refusal(desk, "get_workflow", workflow="etl"), NotFound)
        assert isinstance(await refusal(desk, "start_workflow", workflow="etl"), NotFound)
        assert isinstance(await refusal(desk, "delete_workflow", workflow="etl"), NotFound)
        assert [run.number for run in (await desk.ask("list_runs", workflow="etl")).runs] == [1]
        assert (await desk.ask("list_workflows")).total == 0
        made = await desk.ask("create_workflow", document=desk.document({"a": {}}))
        assert made.revision == 2
        assert (await desk.run()).address == "etl@2"


async def test_a_deleted_workflow_can_be_run_again_from_its_runs(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        await desk.finish("a")
        await desk.ask("delete_workflow", workflow="etl")
        assert (await desk.ask("rerun_workflow", workflow="etl")).address == "etl@2"
        assert isinstance(await refusal(desk, "get_workflow", workflow="etl"), NotFound)


async def test_a_worker_is_deleted_only_when_nobody_needs_it(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}, "b": {"inputs": {"t": "a/t"}}, "c": {"needs": ["b"]},
                           "g": {"each": {"n": [1]}}, "h": {"each": "g"}})  # fmt: skip
        for name, user in (("a", "b"), ("b", "c"), ("g", "h")):
            error = await refusal(desk, "delete_worker", workflow="etl", worker=name)
            assert (type(error), error.code) == (Conflict, "needed")
            assert f"needed by {user}" in error.message
        for left, name in enumerate(("c", "b", "a", "h"), 1):
            reply = await desk.ask("delete_worker", workflow="etl", worker=name)
            assert (reply.workers, reply.revision) == (5 - left, 1 + left)
        error = await refusal(desk, "delete_worker", workflow="etl", worker="g")
        assert "the only worker" in error.message


# ---- runs -----------------------------------------------------------------------------------------------------


async def test_a_run_is_stopped_with_its_grace_or_another(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"grace": 2}, "c": {"needs": ["a"]}}, grace=30, overlap="allow")
        for grace, expected in ((None, {"a": 30.0, "b": 2.0}), (0.5, {"a": 0.5, "b": 0.5}), (0, {"a": 0, "b": 0})):
            number = (await desk.run()).number
            nonces = {name: desk.hands.nonce(name) for name in "ab"}
            for nonce in nonces.values():
                desk.hands.started(nonce)
            await desk.settle()
            reply = await desk.ask("stop_workflow", workflow=f"etl@{number}", grace=grace)
            assert reply.phase == "stopping"
            assert [w.phase for w in reply.workers] == ["stopping", "stopping", "cancelled"]
            await desk.settle()
            stops = dict(desk.hands.stops())
            assert {name: stops[nonce] for name, nonce in nonces.items()} == expected
            for nonce in nonces.values():
                desk.hands.exited(nonce, signal=15)
            await desk.settle()
            done = await desk.ask("get_run", workflow="etl", number=number)
            assert (done.status, done.reason) == ("cancelled", "stopped")
        error = await refusal(desk, "stop_workflow", workflow="etl")
        assert (type(error), error.code) == (Conflict, "not-running")
        await desk.run()
        assert isinstance(await refusal(desk, "stop_workflow", workflow="etl", grace=-1), InvalidRequest)


async def test_a_worker_or_a_group_is_stopped_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "g": {"each": {"n": [1, 2, 3]}}, "z": {"needs": ["a"]}}, on_failure="continue")
        await desk.run()
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        desk.hands.started(desk.hands.nonce("g.1"))
        reply = await desk.ask("stop_worker", workflow="etl", worker="g.1")
        assert {w.name: w.phase for w in reply.workers}["g.1"] == "stopping"
        desk.hands.exited(desk.hands.nonce("g.1"), signal=15)
        await desk.ask("stop_worker", workflow="etl", worker="g")
        await desk.settle()
        assert await desk.phases() == {"a": "running", "g.1": "cancelled", "g.2": "cancelled", "g.3": "cancelled",
                                       "z": "waiting"}  # fmt: skip
        error = await refusal(desk, "stop_worker", workflow="etl", worker="g")
        assert (type(error), error.code, error.hint) == (Conflict, "not-running", "wattle status etl@1")
        await desk.finish("a")
        await desk.finish("z")
        assert (await desk.ask("get_run", workflow="etl", number=1)).status == "cancelled"
        error = await refusal(desk, "stop_worker", workflow="etl", worker="a")
        assert error.code == "not-running"


async def test_a_running_worker_is_restarted_and_an_ended_one_run_again_in_a_new_run(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        first = desk.hands.nonce("a")
        desk.hands.started(first)
        await desk.settle()
        reply = await desk.ask("restart_worker", workflow="etl", worker="a")
        assert reply.workers[0].phase == "stopping"
        desk.hands.exited(first, signal=15)
        await desk.settle()
        assert desk.hands.nonce("a") != first
        assert (await desk.ask("list_workers", workflow="etl")).workers[0].attempt == 2
        await desk.finish("a")
        error = await refusal(desk, "restart_worker", workflow="etl", worker="a")
        assert error.code == "run-active", "its run goes on, and one run at a time is allowed"
        await desk.finish("b")
        reply = await desk.ask("restart_worker", workflow="etl", worker="b")
        taken = reply.workers[0]
        assert (reply.address, taken.phase, taken.reused_from) == ("etl@2", "completed", "etl@1")


# ---- health and handover --------------------------------------------------------------------------------------


async def test_health_is_what_the_hallway_says(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        assert (await desk.ask("get_health")).rank == "background"


async def test_a_handover_can_stop_what_runs_first(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}}, overlap="allow")
        for _ in range(2):
            await desk.run()
        assert (await desk.ask("hand_over", rank="server")).message == "handed over"
        assert desk.hands.stops() == []
        await desk.ask("hand_over", stop_runs=True)
        await desk.settle()
        assert [head.status for head in desk.store.runs()] == ["cancelled", "cancelled"]
        assert [request.rank for request in desk.handed_over] == ["server", None]
