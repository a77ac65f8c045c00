"""How a run comes to be: started, run again, or one worker alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, refusal
from wattle.core.errors import Conflict, InvalidRequest, NotAvailable, NotFound, StorageError


@pytest.mark.parametrize("kind", STORES)
async def test_twenty_identical_starts_at_once_with_one_key_make_one_run(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({"a": {}})
        replies = await asyncio.gather(*[desk.ask("start_workflow", workflow="etl", key="k") for _ in range(20)])
        assert {reply.address for reply in replies} == {"etl@1"}
        await desk.settle()
        await desk.finish("a")
        again = await desk.ask("start_workflow", workflow="etl", key="k")
        assert (again.address, again.status) == ("etl@1", "completed")
        assert len(desk.store.runs()) == 1
        assert (await desk.run(key="other")).address == "etl@2"


@pytest.mark.parametrize("kind", STORES)
async def test_starts_at_once_get_numbers_of_their_own(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await desk.create({"a": {}}, overlap="allow")
        replies = await asyncio.gather(*[desk.ask("start_workflow", workflow="etl") for _ in range(10)])
        assert sorted(reply.number for reply in replies) == list(range(1, 11))
        await desk.settle()
        assert sorted(head.id for head in desk.store.runs()) == list(range(1, 11))


async def test_one_run_at_a_time_is_the_rule_unless_the_document_says_otherwise(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.run()
        for operation in ("start_workflow", "rerun_workflow"):
            error = await refusal(desk, operation, workflow="ETL")
            assert (type(error), error.code) == (Conflict, "run-active")
            assert "wattle attach etl@1" in error.hint
        assert (await refusal(desk, "start_worker", workflow="etl", worker="a")).code == "run-active"
        await desk.create({"a": {}}, overlap="allow")
        assert (await desk.run()).number == 2
        await desk.create({"a": {}}, overlap="queue")
        third = await desk.run()
        assert (third.number, third.phase) == (3, "waiting")
        stopped = await desk.ask("stop_workflow", workflow="etl@3")
        assert stopped.status == "cancelled", "a queued run can be stopped"


async def test_a_disk_that_cannot_keep_the_environment_refuses_the_start(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})

        def full(_path: str, _variables: object) -> None:
            raise OSError(28, "No space left on device")

        save, desk.driver.save_environment = desk.driver.save_environment, full
        error = await refusal(desk, "start_workflow", workflow="etl")
        assert isinstance(error, StorageError)
        assert "No space left" in error.message
        desk.driver.save_environment = save
        assert (await desk.run()).number == 1


async def test_what_this_version_cannot_run_is_refused_at_the_start(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        document = desk.document({"a": {}})
        document["workers"]["a"]["executor"] = "elsewhere"
        await desk.ask("create_workflow", document=document)
        assert isinstance(await refusal(desk, "start_workflow", workflow="etl"), NotAvailable)
        assert desk.store.runs() == []


async def test_a_start_that_asks_too_much_of_this_machine_or_collides_with_itself_is_refused(tmp_path: Path) -> None:
    async with Desk(tmp_path, cpus=2.0) as desk:
        await desk.create({"a": {"resources": {"cpus": 3}}})
        error = await refusal(desk, "start_workflow", workflow="etl")
        assert isinstance(error, InvalidRequest)
        assert "asks for 3 cpus, and this machine has 2" in error.message
        await desk.create({"a": {"outputs": {"t": "${params.p}"}}, "b": {"outputs": {"t": "x.csv"}}},
                          params={"p": None})  # fmt: skip
        assert "param p must be given" in (await refusal(desk, "start_workflow", workflow="etl")).message
        error = await refusal(desk, "start_workflow", workflow="etl", params={"p": "x.csv"})
        assert "would write one file" in error.message
        assert (await desk.run(params={"p": "y.csv"})).number == 1, "what was refused used no number up"


async def test_files_of_a_pattern_are_found_when_the_run_is_made(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / "data" / name).write_text("")
    async with Desk(tmp_path) as desk:
        await desk.create({"g": {"each": {"file": {"glob": "data/*.csv"}}, "command": "cat ${each.file}"}})
        await desk.run()
        assert [launch.argv[1] for launch in desk.hands.launched.values()] == ["data/a.csv", "data/b.csv"]
        (tmp_path / "data" / "d.csv").write_text("")
        for name in ("g.1", "g.2"):
            await desk.finish(name)
        again = await desk.ask("rerun_workflow", workflow="etl")
        assert [worker.name for worker in again.workers] == ["g.1", "g.2"], "a rerun keeps the rows"


# ---- rerun ----------------------------------------------------------------------------------------------------

PIPE: dict[str, Any] = {
    "a": {"outputs": ["t"]}, "b": {"inputs": {"t": "a/t"}, "outputs": ["u"]}, "c": {"inputs": {"u": "b/u"}},
    "side": {"needs": ["a"]},
}  # fmt: skip


async def ended(desk: Desk, **codes: int) -> dict[str, Path]:
    """Run PIPE to its end; the files that it left."""
    await desk.create(PIPE, on_failure="continue")
    await desk.run()
    files = await desk.produce("a", t="1")
    files |= await desk.produce("b", u="2")
    for name in ("c", "side"):
        await desk.finish(name, codes.get(name, 0))
    return files


def taken_over(reply: Any) -> dict[str, str]:
    return {worker.name: worker.reused_from for worker in reply.workers if worker.reused_from}


@pytest.mark.parametrize("kind", STORES)
async def test_a_rerun_runs_everything_or_what_is_asked(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await ended(desk, c=1)
        whole = await desk.ask("rerun_workflow", workflow="etl", jobs=1)
        assert (whole.address, whole.origin, whole.limit, taken_over(whole)) == ("etl@2", "rerun of etl@1", 1, {})
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        below = await desk.ask("rerun_workflow", workflow="etl@1", from_worker="b")
        assert taken_over(below) == {"a": "etl@1", "side": "etl@1"}
        assert [w.phase for w in below.workers] == ["completed", "starting", "waiting", "completed"]
        assert desk.hands.launched[desk.hands.nonce("b")].env["WATTLE_INPUT_T"].endswith("/etl/1/a/t")
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        failed = await desk.ask("rerun_workflow", workflow="etl@1", failed=True)
        assert taken_over(failed) == {"a": "etl@1", "b": "etl@1", "side": "etl@1"}
        await desk.finish("c")
        assert (await desk.ask("get_run", workflow="etl", number=4)).status == "completed"
        error = await refusal(desk, "rerun_workflow", workflow="etl", failed=True)
        assert (type(error), error.code) == (Conflict, "nothing-failed")
        error = await refusal(desk, "rerun_workflow", workflow="etl", from_worker="zz")
        assert isinstance(error, NotFound)


@pytest.mark.parametrize("change", ["longer", "same size", "gone"])
async def test_a_file_that_is_not_as_it_was_puts_its_worker_back_in(tmp_path: Path, change: str) -> None:
    async with Desk(tmp_path) as desk:
        files = await ended(desk, c=1)
        if change == "gone":
            files["t"].unlink()
        else:
            files["t"].write_text("11" if change == "longer" else "3")
        reply = await desk.ask("rerun_workflow", workflow="etl", failed=True)
        assert taken_over(reply) == {}, "all the others are below it"
        assert desk.hands.launched[desk.hands.nonce("a")].run == 2


async def test_only_what_is_below_a_changed_file_runs_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        files = await ended(desk, side=1)
        files["u"].unlink()
        reply = await desk.ask("rerun_workflow", workflow="etl", failed=True)
        assert taken_over(reply) == {"a": "etl@1"}


async def test_what_was_taken_over_twice_still_points_to_its_origin(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        files = await ended(desk, c=1)
        for number in (2, 3):
            reply = await desk.ask("rerun_workflow", workflow="etl", failed=True)
            assert (reply.number, taken_over(reply)) == (number, {"a": "etl@1", "b": "etl@1", "side": "etl@1"})
            await desk.settle()
            assert desk.hands.launched[desk.hands.nonce("c")].env["WATTLE_INPUT_U"] == str(files["u"])
            await desk.finish("c", 1)
        out = await desk.ask("get_output", workflow="etl@3", worker="a", port="t")
        assert (out.path, out.exists, out.address) == (str(files["t"]), True, "etl@3/a/t")
        assert (await desk.ask("get_worker", workflow="etl@3", worker="a")).outputs[0].path == str(files["t"])
        files["t"].write_text("changed")
        assert taken_over(await desk.ask("rerun_workflow", workflow="etl", failed=True)) == {}


async def test_a_result_whose_origin_was_pruned_is_made_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await ended(desk, c=1)
        await desk.ask("rerun_workflow", workflow="etl", failed=True)
        await desk.finish("c", 1)
        desk.disk.inner.prune([1])
        reply = await desk.ask("rerun_workflow", workflow="etl", failed=True)
        assert taken_over(reply) == {}


async def test_a_missing_output_that_nobody_needed_does_not_make_its_worker_run_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t", "extra"]}, "b": {"inputs": {"t": "a/t"}}})
        await desk.run()
        await desk.produce("a", t="1")
        await desk.finish("b", 1)
        assert taken_over(await desk.ask("rerun_workflow", workflow="etl", failed=True)) == {"a": "etl@1"}


async def test_a_rerun_takes_the_earlier_environment_unless_one_is_sent(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}}, params={"p": 1})
        await desk.run(environment={"A": "1"}, params={"p": 2})
        for number, fields in ((2, {}), (3, {"environment": {"A": "3"}})):
            await desk.finish("a")
            reply = await desk.ask("rerun_workflow", workflow="etl@1", **fields)
            assert (reply.number, reply.params) == (number, {"p": 2})
            assert desk.hands.environments[f"etl@{number}"] == fields.get("environment", {"A": "1"})
            await desk.settle()


async def test_a_part_of_a_group_can_be_run_again(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"g": {"each": {"n": [1, 2, 3]}}, "z": {"needs": ["g"]}}, on_failure="continue")
        await desk.run()
        for name, code in (("g.1", 0), ("g.2", 1), ("g.3", 0)):
            await desk.finish(name, code)
        reply = await desk.ask("rerun_workflow", workflow="etl", failed=True)
        assert taken_over(reply) == {"g.1": "etl@1", "g.3": "etl@1"}
        await desk.ask("stop_workflow", workflow="etl")
        await desk.settle()
        reply = await desk.ask("rerun_workflow", workflow="etl@1", from_worker="g.3")
        assert taken_over(reply) == {"g.1": "etl@1"}


# ---- one worker alone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STORES)
async def test_a_worker_alone_takes_its_inputs_from_the_newest_run_that_has_them(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        error = None
        await desk.create(PIPE, on_failure="continue")
        error = await refusal(desk, "start_worker", workflow="etl", worker="c")
        assert (type(error), error.code, error.hint) == (Conflict, "no-inputs", "wattle run etl")
        files = await ended(desk)
        await desk.run()
        await desk.finish("a", 1)
        await desk.settle()
        assert (await desk.ask("get_run", workflow="etl", number=2)).status == "failed"
        reply = await desk.ask("start_worker", workflow="etl", worker="c")
        assert (reply.number, reply.origin) == (3, "start of etl/c")
        assert taken_over(reply) == {"a": "etl@1", "b": "etl@1"}
        assert [worker.name for worker in reply.workers] == ["a", "b", "c"]
        await desk.settle()
        assert desk.hands.launched[desk.hands.nonce("c")].env["WATTLE_INPUT_U"] == str(files["u"])
        await desk.finish("c")
        again = await desk.ask("start_worker", workflow="etl", worker="b")
        assert taken_over(again) == {"a": "etl@1"}, "run 3 has it too, and had it from run 1"
        await desk.settle()
        await desk.produce("b", u="2")
        ordered = await desk.ask("start_worker", workflow="etl", worker="side")
        assert taken_over(ordered) == {"a": "etl@1"}, "an order without data has no file that would be missed"


async def test_a_worker_without_inputs_is_started_alone(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create(PIPE)
        reply = await desk.ask("start_worker", workflow="etl", worker="a", environment={"A": "1"})
        assert [worker.name for worker in reply.workers] == ["a"]
        assert desk.hands.environments["etl@1"] == {"A": "1"}
        assert isinstance(await refusal(desk, "start_worker", workflow="etl@1", worker="a"), InvalidRequest)


async def test_a_run_whose_rows_are_others_has_no_inputs_for_the_worker(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}, "z": {"inputs": {"t": "a/t"}}})
        await desk.run()
        await desk.produce("a", t="1")
        await desk.finish("z")
        await desk.create({"a": {"outputs": ["t"], "each": {"n": [1, 2]}}, "z": {"inputs": {"t": "a/t"}}})
        assert (await refusal(desk, "start_worker", workflow="etl", worker="z")).code == "no-inputs"


async def test_a_paired_worker_alone_keeps_the_rows_of_its_group(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"g": {"each": {"n": [1, 2]}}, "h": {"each": "g", "command": "echo ${each.n}"}})
        await desk.run()
        for name in ("g.1", "g.2", "h.1", "h.2"):
            await desk.finish(name)
        reply = await desk.ask("start_worker", workflow="etl", worker="h")
        assert taken_over(reply) == {"g.1": "etl@1", "g.2": "etl@1"}
        await desk.settle()
        assert [launch.argv[1] for launch in desk.hands.launched.values() if launch.run == 2] == ["1", "2"]


async def test_a_run_whose_files_are_gone_has_no_inputs_any_more(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        first = await ended(desk)
        await desk.run()
        second = await desk.produce("a", t="1")
        second |= await desk.produce("b", u="2")
        await desk.finish("c")
        await desk.finish("side")
        second["u"].unlink()
        await desk.ask("start_worker", workflow="etl", worker="c")
        await desk.settle()
        assert desk.hands.launched[desk.hands.nonce("c")].env["WATTLE_INPUT_U"] == str(first["u"])
