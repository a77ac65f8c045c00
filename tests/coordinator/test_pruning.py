"""Forgetting: only what has ended, only what was asked, rows and folders alike, nothing of anybody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, refusal
from wattle.core.errors import InvalidRequest, NotFound


async def ran(desk: Desk, times: int, name: str = "etl") -> None:
    """So many ended runs, a minute apart, with logs and a run folder."""
    await desk.create({"a": {"outputs": ["t"]}}, name=name)
    for _ in range(times):
        number = (await desk.run(name)).number
        log = Path(desk.log_root) / name / str(number) / "a" / "1"
        log.mkdir(parents=True)
        (log / "stdout.log").write_text("12345")
        await desk.produce("a", t="123")
        desk.clock.advance(60)


def folders(desk: Desk, name: str = "etl") -> list[str]:
    """The numbers whose folders are there, logs and results alike."""
    logs = sorted(path.name for path in (Path(desk.log_root) / name).iterdir())
    results = sorted(path.name for path in (desk.path / "wattle-runs" / name).iterdir())
    assert logs == results
    return logs


@pytest.mark.parametrize("kind", STORES)
async def test_a_dry_run_lists_what_would_go_and_changes_nothing(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        await ran(desk, 3)
        reply = await desk.ask("prune_runs")
        assert (reply.runs, reply.bytes, reply.dry_run) == (["etl@3", "etl@2", "etl@1"], 3 * (5 + 3), True)
        assert folders(desk) == ["1", "2", "3"]
        assert len(desk.store.runs()) == 3


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(("fields", "left"), [
    ({}, []), ({"keep": 1}, [3]), ({"keep": 9}, [3, 2, 1]), ({"older_than": 150}, [3]),
    ({"older_than": 200, "keep": 1}, [3, 2]), ({"older_than": 1000}, [3, 2, 1]),
    ({"workflow": "ETL", "keep": 2}, [3, 2]),
])  # fmt: skip
async def test_what_is_old_and_not_kept_goes_with_its_folders(tmp_path: Path, kind: str, fields: dict[str, Any],
                                                             left: list[int]) -> None:  # fmt: skip
    async with Desk(tmp_path, kind) as desk:
        await ran(desk, 3)
        await ran(desk, 1, name="other")
        await desk.ask("prune_runs", **{"workflow": "etl", **fields}, dry_run=False)
        assert [head.number for head in desk.store.runs("etl")] == left
        assert folders(desk) == sorted(map(str, left))
        assert folders(desk, "other") == ["1"]


async def test_every_workflow_keeps_its_own_newest_runs(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await ran(desk, 2)
        await ran(desk, 2, name="other")
        reply = await desk.ask("prune_runs", keep=1, dry_run=False)
        assert reply.runs == ["other@1", "etl@1"]


async def test_a_run_that_goes_on_stays(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await ran(desk, 1)
        await desk.run()
        reply = await desk.ask("prune_runs", dry_run=False)
        assert reply.runs == ["etl@1"]
        await desk.finish("a")
        assert (await desk.ask("get_run", workflow="etl", number=2)).status == "completed"


@pytest.mark.parametrize("kind", STORES)
async def test_after_pruning_the_workflow_is_as_if_those_runs_had_not_been_but_for_their_numbers(
    tmp_path: Path, kind: str
) -> None:
    async with Desk(tmp_path, kind) as desk:
        await ran(desk, 2)
        await desk.ask("prune_runs", keep=1, dry_run=False)
        assert (await desk.ask("list_workers", workflow="etl")).address == "etl@2"
        await desk.ask("prune_runs", dry_run=False)
        assert (await refusal(desk, "list_workers", workflow="etl")).message == "etl has no runs."
        assert isinstance(await refusal(desk, "get_run", workflow="etl", number=2), NotFound), "nor from the cache"
        assert [node.status for node in (await desk.ask("get_graph", workflow="etl")).nodes] == ["created"]
        assert (await desk.ask("get_worker", workflow="etl", worker="a")).attempts == []
        assert (await desk.ask("list_workflows")).workflows[0].run is None
        assert (await desk.run()).number == 3


async def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await ran(desk, 1)
        precious = tmp_path / "precious"
        (tmp_path / "wattle-runs/etl/1").rename(precious)
        (tmp_path / "wattle-runs/etl/1").symlink_to(precious)
        (Path(desk.log_root) / "etl/1/a/dangling").symlink_to(tmp_path / "nowhere")
        await desk.ask("prune_runs", dry_run=False)
        assert (precious / "a" / "t").exists()
        assert not (Path(desk.log_root) / "etl/1").exists()


async def test_pages_of_runs_are_all_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattle.coordinator.pruning.PAGE", 2)
    async with Desk(tmp_path) as desk:
        await ran(desk, 5)
        assert len((await desk.ask("prune_runs")).runs) == 5


async def test_numbers_that_make_no_sense_are_refused_before_anything_goes(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await ran(desk, 1)
        for wrong in ({"keep": -1}, {"older_than": -5}):
            assert isinstance(await refusal(desk, "prune_runs", **wrong, dry_run=False), InvalidRequest)
        assert isinstance(await refusal(desk, "prune_runs", workflow="etl@1", dry_run=False), InvalidRequest)
        assert isinstance(await refusal(desk, "prune_runs", workflow="nosuch", dry_run=False), NotFound)
        assert folders(desk) == ["1"]


async def test_a_run_whose_results_another_took_over_stays_as_long_as_that_one(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}, "b": {"inputs": {"t": "a/t"}}})
        await desk.run()
        files = await desk.produce("a", t="1")
        await desk.finish("b", 1)
        await desk.ask("rerun_workflow", workflow="etl", failed=True)
        await desk.settle()
        assert (await desk.ask("prune_runs", dry_run=False)).runs == [], "it is being read"
        await desk.finish("b")
        assert (await desk.ask("prune_runs", keep=1, dry_run=False)).runs == [], "it is kept with its results"
        assert files["t"].exists()
        assert (await desk.ask("prune_runs", dry_run=False)).runs == ["etl@2", "etl@1"]
        assert not files["t"].exists()


async def test_a_run_stays_for_one_that_stays_for_another(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t"]}, "b": {"outputs": ["u"]}})
        await desk.run()
        await desk.produce("a", t="1")
        await desk.produce("b", u="1")
        for again, port in (("b", "u"), ("a", "t")):
            await desk.ask("rerun_workflow", workflow="etl", from_worker=again)
            await desk.settle()
            await desk.produce(again, **{port: "2"})
        assert (await desk.ask("prune_runs", keep=1)).runs == [], "3 has b from 2, and 2 has a from 1"
        assert len((await desk.ask("prune_runs", keep=0)).runs) == 3
