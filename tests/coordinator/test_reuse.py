"""Only what is stale: which results a start takes over, why the others are made anew, and what views mark as stale."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, collect, refusal
from tests.helpers import until
from wattle.coordinator import contents
from wattle.core.errors import InvalidRequest

PIPE: dict[str, Any] = {
    "fetch": {"command": "cat ${inputs.src}", "inputs": {"src": {"file": "data.csv"}}, "outputs": ["raw"]},
    "clean": {"inputs": {"raw": "fetch/raw"}, "outputs": ["table"]},
    "report": {"inputs": {"t": "clean/table"}},
    "side": {"script": "true"},
}
ALL = {"fetch", "clean", "report", "side"}


async def completed(desk: Desk, *names: str, **fields: Any) -> Any:
    """Start a run, and let those workers end well, with their files."""
    reply = await desk.run(**fields)
    for name in names:
        launch = desk.hands.launched[desk.hands.nonce(name)]
        await desk.produce(name, **dict.fromkeys(launch.outputs, f"{reply.address} {name}"))
    return reply


async def first(desk: Desk, **document: Any) -> None:
    """PIPE, completed as etl@1."""
    (desk.path / "data.csv").write_text("1")
    await desk.create(PIPE, **document)
    await completed(desk, "side", "fetch", "clean", "report")


async def plan(desk: Desk, **fields: Any) -> dict[str, tuple[str, str]]:
    """(action, why) by worker, of a start with `stale`."""
    reply = await desk.ask("plan_workflow", workflow="etl", stale=True, **fields)
    return {worker.name: (worker.action, worker.why) for worker in reply.workers}


def taken_over(reply: Any) -> dict[str, str]:
    return {worker.name: worker.reused_from for worker in reply.workers if worker.reused_from}


async def stale(desk: Desk, address: str = "etl") -> set[str]:
    """What four views mark as stale: they agree."""
    run = await desk.ask("list_workers", workflow=address)
    marked = {worker.name for worker in run.workers if worker.stale}
    (watched,) = await collect(desk.follow("watch_run", workflow=address))
    assert {worker.name for worker in watched.workers if worker.stale} == marked
    graph = await desk.ask("get_graph", workflow=address)
    assert {node.name for node in graph.nodes if node.stale} == {name.partition(".")[0] for name in marked}
    for worker in run.workers[:2]:
        seen = await desk.ask("get_worker", workflow=address, worker=worker.name)
        assert seen.state.stale == (worker.name in marked)
    return marked


@pytest.mark.parametrize("kind", STORES)
async def test_a_run_of_what_is_stale_takes_everything_over_when_nothing_changed(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await first(desk)
        assert await plan(desk) == dict.fromkeys(PIPE, ("reuse", "same as etl@1"))
        reply = await desk.ask("start_workflow", workflow="etl", stale=True)
        assert (reply.address, reply.status, reply.origin) == ("etl@2", "completed", "only what was stale")
        assert taken_over(reply) == dict.fromkeys(PIPE, "etl@1")
        third = await desk.ask("start_workflow", workflow="etl", stale=True)
        assert taken_over(third) == dict.fromkeys(PIPE, "etl@1"), "the origin is who made it, not who took it over"
        assert (await desk.ask("get_output", workflow="etl", worker="clean", port="table")).path.endswith("/1/clean/table")


async def test_a_plain_start_runs_everything(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        assert taken_over(await desk.run()) == {}
        reply = await desk.ask("plan_workflow", workflow="etl")
        assert {(w.action, w.why) for w in reply.workers} == {("run", "same as etl@1")}
        assert (reply.runs, reply.reusable, reply.instances) == (4, 4, 4)


async def test_a_changed_definition_runs_that_worker_and_what_is_below(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        assert await stale(desk) == set()
        await desk.create({**PIPE, "clean": {**PIPE["clean"], "command": "true --better"}})
        assert await stale(desk) == {"clean", "report"}
        assert await plan(desk) == {
            "fetch": ("reuse", "same as etl@1"), "clean": ("run", "command changed"),
            "report": ("run", "upstream clean changed"), "side": ("reuse", "same as etl@1"),
        }  # fmt: skip
        reply = await completed(desk, "clean", "report", stale=True)
        assert taken_over(reply) == {"fetch": "etl@1", "side": "etl@1"}
        launch = desk.hands.launched[desk.hands.nonce("clean")]
        assert launch.env["WATTLE_INPUT_RAW"].endswith("/etl/1/fetch/raw")
        assert await stale(desk) == set()
        assert await stale(desk, "etl@1") == {"clean", "report"}
        await desk.create(PIPE)
        assert await stale(desk) == {"clean", "report"}
        assert await plan(desk) == dict.fromkeys(PIPE, ("reuse", "same as etl@1")), "the older results are good again"


async def test_a_changed_file_makes_its_readers_stale_and_the_same_content_does_not(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        (tmp_path / "data.csv").write_text("2")
        assert await stale(desk) == {"fetch", "clean", "report"}
        assert (await plan(desk))["fetch"] == ("run", "input file data.csv changed")
        (tmp_path / "data.csv").write_text("1")
        assert await stale(desk) == set()
        assert await plan(desk) == dict.fromkeys(PIPE, ("reuse", "same as etl@1"))


async def test_a_result_whose_file_is_gone_or_changed_is_made_anew_with_all_below(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        table = Path((await desk.ask("get_output", workflow="etl", worker="clean", port="table")).path)
        table.write_text("somebody else's")
        assert (await plan(desk))["clean"] == ("run", "output table has changed since")
        table.unlink()
        assert await plan(desk) == {
            "fetch": ("reuse", "same as etl@1"), "clean": ("run", "output table is gone"),
            "report": ("run", "upstream clean runs again"), "side": ("reuse", "same as etl@1"),
        }  # fmt: skip
        assert taken_over(await desk.ask("start_workflow", workflow="etl", stale=True)) == {"fetch": "etl@1",
                                                                                            "side": "etl@1"}  # fmt: skip


async def test_an_output_that_was_not_written_is_no_result_for_who_needs_it_now(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}})
        await desk.run()
        await desk.finish("a", outputs={"t": None})
        assert (await plan(desk))["a"] == ("reuse", "same as etl@1")
        await desk.create({"a": {"outputs": ["t"]}, "b": {"inputs": {"t": "a/t"}}})
        assert (await plan(desk))["a"] == ("run", "output t was not written")


async def test_what_never_ran_or_never_completed_runs(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        (tmp_path / "data.csv").write_text("1")
        await desk.create(PIPE, on_failure="continue")
        assert await plan(desk) == dict.fromkeys(PIPE, ("run", "never ran"))
        await completed(desk, "side", "fetch")
        await desk.finish("clean", 1)
        assert await plan(desk) == {
            "fetch": ("reuse", "same as etl@1"), "clean": ("run", "not completed yet"),
            "report": ("run", "not completed yet"), "side": ("reuse", "same as etl@1"),
        }  # fmt: skip


async def test_a_result_is_not_taken_over_with_another_result_of_its_upstream(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk, on_failure="continue")
        await completed(desk, "side", "fetch")
        await desk.finish("clean", 1)
        assert await plan(desk) == {
            "fetch": ("reuse", "same as etl@2"), "clean": ("run", "upstream fetch has another result by now"),
            "report": ("run", "upstream clean runs again"), "side": ("reuse", "same as etl@2"),
        }  # fmt: skip


async def test_only_new_rows_of_a_group_run(tmp_path: Path) -> None:
    def flow(*rates: float) -> dict[str, Any]:
        return {"g": {"each": {"lr": list(rates)}, "outputs": ["m"]}, "end": {"inputs": {"m": "g/m"}}}

    async with Desk(tmp_path) as desk:
        await desk.create(flow(1, 2))
        await completed(desk, "g.1", "g.2", "end")
        await desk.create(flow(1, 2, 3))
        assert await stale(desk) == {"end"}
        reply = await desk.ask("plan_workflow", workflow="etl", stale=True)
        (group, end) = reply.workers
        assert (group.action, group.runs, group.instances, group.why) == ("run", 1, 3, "never ran")
        assert end.why == "upstream g changed"
        assert (reply.runs, reply.reusable, reply.unknown) == (2, 2, 0)
        assert taken_over(await desk.run(stale=True)) == {"g.1": "etl@1", "g.2": "etl@1"}


async def test_a_row_is_the_same_row_wherever_it_stands_in_its_group(tmp_path: Path) -> None:
    def flow(*seeds: int) -> dict[str, Any]:
        return {"g": {"each": {"lr": [1, 2], "seed": list(seeds)}, "outputs": ["m"]},
                "score": {"each": "g", "inputs": {"m": "g/m"}, "outputs": ["s"]},
                "end": {"inputs": {"s": "score/s"}}}  # fmt: skip

    pairs = [f"{name}.{n}" for name in ("g", "score") for n in (1, 2)]
    async with Desk(tmp_path, "sqlite", slots=20) as desk:
        await desk.create(flow(7))
        await completed(desk, *pairs, "end")
        await desk.create(flow(5, 7))  # (1,5) (1,7) (2,5) (2,7): the old rows are numbers 2 and 4 now
        assert await stale(desk) == {"end"}
        reply = await desk.ask("plan_workflow", workflow="etl", stale=True)
        assert [(worker.runs, worker.why) for worker in reply.workers] == [
            (2, "never ran"), (2, "never ran"), (1, "upstream score changed"),
        ]  # fmt: skip
        second = await completed(desk, "g.1", "g.3", "score.1", "score.3", "end", stale=True)
        assert taken_over(second) == dict.fromkeys(("g.2", "g.4", "score.2", "score.4"), "etl@1")
        rows = Path(desk.hands.launched[desk.hands.nonce("end")].env["WATTLE_INPUT_S"]).name
        assert rows == "input-s.json"
        (text,) = [text for path, text in desk.hands.launched[desk.hands.nonce("end")].files.items() if path.endswith(rows)]
        assert "/1/score.1/s" in text
        assert "/1/score.2/s" in text
        assert (await desk.ask("get_output", workflow="etl", worker="g.4", port="m")).path.endswith("/1/g.2/m")
        again = await desk.ask("rerun_workflow", workflow="etl@2", from_worker="score.4")
        assert taken_over(again)["g.4"] == "etl@1"
        await desk.settle()
        assert desk.hands.launched[desk.hands.nonce("score.4")].env["WATTLE_INPUT_M"].endswith("/1/g.2/m")
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        await desk.create(flow(7))
        third = await desk.ask("start_workflow", workflow="etl", stale=True)
        assert taken_over(third)["g.2"] == "etl@1", "the group is as it was"
        assert {worker.name for worker in third.workers if not worker.reused_from} == set()


async def test_a_rerun_with_older_results_is_stale_where_these_are(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        (tmp_path / "data.csv").write_text("2")
        await desk.ask("rerun_workflow", workflow="etl", from_worker="clean")
        await desk.settle()
        await desk.produce("clean", table="t")
        await desk.finish("report")
        assert await stale(desk) == {"fetch", "clean", "report"}
        assert (await plan(desk))["fetch"] == ("run", "input file data.csv changed")


async def test_params_of_the_start_decide_and_views_compare_with_those_that_were_given(tmp_path: Path) -> None:
    workers = {"a": {"command": "echo ${params.day}"}, "b": {"command": "echo"}}
    async with Desk(tmp_path) as desk:
        await desk.create(workers, params={"day": 1})
        await completed(desk, "a", "b", params={"day": 5})
        assert await stale(desk) == set(), "it was given so"
        assert await plan(desk) == {"a": ("run", "param day changed"), "b": ("reuse", "same as etl@1")}
        assert await plan(desk, params={"day": 5}) == dict.fromkeys("ab", ("reuse", "same as etl@1"))
        await desk.create(workers, params={"day": 2})
        assert await stale(desk) == set()
        await completed(desk, "a", "b")
        await desk.create(workers, params={"day": 3})
        assert await stale(desk) == {"a"}, "the default has changed"
        assert isinstance(await refusal(desk, "start_workflow", workflow="etl", stale=True, params={"x": 1}), InvalidRequest)


async def test_a_service_runs_for_those_that_run_and_what_comes_after_it_too(tmp_path: Path) -> None:
    flow: dict[str, Any] = {"db": {"service": True}, "work": {"outputs": ["t"]}, "after": {"needs": ["db"]}}
    async with Desk(tmp_path) as desk:
        await desk.create(flow)
        await desk.run()
        desk.hands.started(desk.hands.nonce("db"))
        await desk.settle()
        await desk.produce("work", t="1")
        desk.hands.exited(desk.hands.nonce("db"), None, signal=15)
        await desk.settle()
        await desk.finish("after")
        assert await plan(desk) == dict.fromkeys(flow, ("reuse", "same as etl@1"))
        await desk.create({**flow, "work": {"outputs": ["t"], "args": ["more"]}})
        assert await plan(desk) == {"db": ("run", "it serves those that run"), "work": ("run", "command changed"),
                                    "after": ("run", "it comes after a service")}  # fmt: skip


async def test_files_too_large_to_wait_for_are_read_beside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "AT_ONCE", 0)
    async with Desk(tmp_path) as desk:
        await first(desk)

        def known() -> bool:
            record = desk.store.run("etl", 1)
            return record is not None and record.contents is not None

        await until(known)
        assert await plan(desk) == dict.fromkeys(PIPE, ("reuse", "same as etl@1"))
        (tmp_path / "data.csv").write_text("2")
        run = await desk.ask("list_workers", workflow="etl")
        assert not any(worker.stale for worker in run.workers), "nobody waits until a large file is read"
        look = partial(desk.service.history.contents.quickly, [str(tmp_path / "data.csv")])
        await until(look)
        assert await stale(desk) == {"fetch", "clean", "report"}


async def test_a_run_whose_files_are_not_known_is_neither_taken_over_nor_called_stale(tmp_path: Path) -> None:
    async with Desk(tmp_path, "sqlite") as desk:
        await first(desk)
        store = desk.disk.inner
        with store._transaction() as connection:
            connection.exec_driver_sql("UPDATE run_specs SET contents = NULL")
        desk.service.history.reread(1)
        (tmp_path / "data.csv").write_text("2")
        assert await stale(desk) == set()
        found = await plan(desk)
        assert found["fetch"] == ("run", "what etl@1 made it from is not known")
        assert found["side"] == ("reuse", "same as etl@1"), "it reads no file"


async def test_a_deleted_or_broken_definition_calls_nothing_stale(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        await desk.create({**PIPE, "clean": {**PIPE["clean"], "args": ["${params.p}"]}}, params={"p": None})
        assert await stale(desk) == set(), "nobody can say what it would make"
        await desk.ask("delete_workflow", workflow="etl")
        assert await stale(desk) == set()


async def test_an_unsaved_document_is_planned_against_what_its_name_has_run(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await first(desk)
        changed = desk.document({**PIPE, "side": {"script": "echo new"}})
        reply = await desk.ask("plan_workflow", workflow="etl", document=changed, stale=True)
        assert {worker.name for worker in reply.workers if worker.runs} == {"side"}
        assert await plan(desk) == dict.fromkeys(PIPE, ("reuse", "same as etl@1")), "nothing was saved"


async def test_a_plan_may_be_asked_by_a_url(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"command": "echo ${params.day}"}}, params={"day": 1})
        await completed(desk, "a")
        for params, runs in (("{}", 0), ('{"day": 1}', 0), ('{"day": 2}', 1)):
            assert (await desk.ask("get_plan", workflow="etl", params=params, stale=True)).runs == runs
        for broken in ("[1]", "{", "day"):
            assert "params is no JSON object" in (await refusal(desk, "get_plan", workflow="etl", params=broken)).message


async def test_a_looker_plans_and_marks_without_a_coordinator(tmp_path: Path) -> None:
    async with Desk(tmp_path, "sqlite") as desk:
        await first(desk)
        (tmp_path / "data.csv").write_text("2")
        desk.service = desk.looker()
        assert await stale(desk) == {"fetch", "clean", "report"}
        assert (await plan(desk))["fetch"] == ("run", "input file data.csv changed")


async def test_a_plan_plays_the_limit_through(tmp_path: Path) -> None:
    async with Desk(tmp_path, slots=8) as desk:
        await desk.create({"g": {"each": {"n": [1, 2, 3, 4]}}, "end": {"needs": ["g"]}})
        await desk.run()
        for name in ("g.1", "g.2", "g.3", "g.4", "end"):
            desk.hands.started(desk.hands.nonce(name))
            desk.clock.advance(10)
            desk.hands.exited(desk.hands.nonce(name))
            await desk.settle()
        for jobs, seconds in ((1, 50), (2, 30), (3, 30), (4, 20), (None, 20)):
            reply = await desk.ask("plan_workflow", workflow="etl", jobs=jobs)
            assert (reply.estimate, reply.work, reply.critical) == (seconds, 50, 20)
        reply = await desk.ask("plan_workflow", workflow="etl", stale=True)
        assert (reply.estimate, reply.work, reply.critical, reply.critical_path) == (None, None, None, [])


async def test_a_module_that_a_cell_imports_from_its_folder_makes_it_stale(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "__init__.py").write_text("rate = 1\n")
        (tmp_path / "model" / "weights.bin").write_bytes(b"\0" * 10)
        document = desk.document({"a": {}})
        document["workers"]["a"] = {"cell": "from model import rate\nprint(rate)\n"}
        await desk.ask("create_workflow", document=document)
        await completed(desk, "a")
        (tmp_path / "model" / "weights.bin").write_bytes(b"\1" * 10)
        assert await stale(desk) == set(), "data is declared under files"
        (tmp_path / "model" / "__init__.py").write_text("rate = 2\n")
        assert await stale(desk) == {"a"}
        assert await plan(desk) == {"a": ("run", "model/ changed")}
