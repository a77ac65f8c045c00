"""Looking things up: runs, events, workers, outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.coordinator.desk import STORES, Desk, Reader, collect, refusal
from wattle.coordinator import values
from wattle.core.errors import NotFound

DIAMOND: dict[str, Any] = {"a": {}, "b": {"needs": ["a"]}, "c": {"needs": ["a"]}, "d": {"needs": ["b", "c"]}}


async def test_events_are_followed_from_a_number_on(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        await desk.create({"a": {}}, name="other")
        await desk.run()
        await desk.run("other")
        reader = Reader(desk.follow("follow_events", workflow="ETL", after=1))
        everything = Reader(desk.follow("follow_all_events"))
        assert [(line.seq, line.type, line.worker) for line in await reader.has(1)] == [(2, "worker-launched", "a")]
        await desk.finish("a")
        assert [line.address for line in await everything.has(6)] == ["etl@1"] * 2 + ["other@1"] * 4
        desk.hands.started(desk.hands.nonce("a", 1))
        lines = await reader.has(2)
        assert (lines[1].seq, lines[1].type, lines[1].address, lines[1].event["pid"]) == (7, "worker-started", "etl@1",
                                                                                         1002)  # fmt: skip
        assert lines[1].at == desk.clock.now()
        await reader.leave()
        await everything.leave()
        assert desk.driver.listeners == []
        present = await collect(desk.follow("follow_all_events", after=5, follow=False))
        assert [line.seq for line in present] == [6, 7]
        of_run = await collect(desk.follow("follow_events", workflow="other@1", follow=False))
        assert {line.address for line in of_run} == {"other@1"}


async def test_events_come_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattle.coordinator.feed.PAGE", 2)
    async with Desk(tmp_path) as desk:
        await desk.create(DIAMOND)
        desk.hands.obey()
        await desk.run()
        await desk.until_closed()
        await desk.settle()
        lines = await collect(desk.follow("follow_events", workflow="etl", follow=False))
        assert [line.seq for line in lines] == list(range(1, len(desk.events()) + 1))


async def test_runs_are_listed_newest_first_and_in_pages(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}}, overlap="allow")
        await desk.create({"a": {}}, name="other")
        for name in ("etl", "other", "etl", "etl"):
            await desk.run(name)
        desk.hands.obey()
        nonce = desk.hands.nonce("a", 4)
        desk.hands.started(nonce)
        desk.hands.exited(nonce)
        await desk.settle()
        page = await desk.ask("list_runs", workflow="etl", limit=2)
        assert ([run.address for run in page.runs], page.total) == (["etl@3", "etl@2"], 3)
        rest = await desk.ask("list_runs", workflow="etl", limit=2, before=page.next)
        assert ([run.address for run in rest.runs], rest.next, rest.total) == (["etl@1"], None, 3)
        ended = await desk.ask("list_runs", workflow="etl", status="completed")
        assert ([run.address for run in ended.runs], ended.total) == (["etl@3"], 1)
        everything = await desk.ask("list_all_runs")
        assert [run.address for run in everything.runs] == ["etl@3", "etl@2", "other@1", "etl@1"]
        assert everything.total == 4
        active = await desk.ask("list_all_runs", active=True, limit=1)
        assert [run.address for run in active.runs] == ["etl@2"], "older than the newest run, which has ended"
        assert active.total == 3
        more = await desk.ask("list_all_runs", active=True, limit=5, before=active.next)
        assert ([run.address for run in more.runs], more.next) == (["other@1", "etl@1"], None)
        assert (await desk.ask("list_all_runs", limit=0)).runs == []
        assert (await desk.ask("list_all_runs", limit=0, active=True)).runs == []


async def test_a_value_that_is_declared_can_be_got_and_a_file_is_described(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": {"n": {"type": "value"}, "t": "t.csv"}}})
        await desk.run()
        launch = desk.hands.launched[desk.hands.nonce("a")]
        listed = await desk.ask("list_outputs", workflow="etl", worker="a")
        assert [(out.port, out.type, out.exists) for out in listed.outputs] == [("n", "value", False),
                                                                               ("t", "file", False)]  # fmt: skip
        for port, text in (("n", '{"x": [1]}'), ("t", "1,2\n")):
            Path(launch.outputs[port]).parent.mkdir(parents=True, exist_ok=True)
            Path(launch.outputs[port]).write_text(text)
        value = await desk.ask("get_output", workflow="etl@1", worker="a", port="n")
        assert (value.address, value.exists, value.value) == ("etl@1/a/n", True, {"x": [1]})
        file = await desk.ask("get_output", workflow="etl", worker="a", port="t")
        assert (file.path, file.size, file.value) == (str(tmp_path / "t.csv"), 4, None)
        error = await refusal(desk, "get_output", workflow="etl", worker="a", port="x")
        assert (type(error), error.hint) == (NotFound, "its outputs are: n, t")
        Path(launch.outputs["n"]).write_bytes(b"x" * (values.VALUE_LIMIT + 1))
        assert (await desk.ask("get_output", workflow="etl", worker="a", port="n")).value is None


async def test_metrics_are_live_while_a_worker_runs_and_final_after(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"retries": 1}})
        await desk.run()
        assert (await desk.ask("get_worker_metrics", workflow="etl", worker="a")).rss is None
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        live = await desk.ask("get_worker_metrics", workflow="etl", worker="a")
        assert (live.cpu_percent, live.rss, live.processes, live.cpu_user) == (50.0, 1 << 20, 1, 0.0)
        await desk.finish("a", 1)
        await desk.finish("a")
        final = await desk.ask("get_worker_metrics", workflow="etl", worker="a")
        assert (final.cpu_percent, final.cpu_user, final.max_rss) == (None, 0.02, 1 << 20)


async def test_a_worker_shows_its_definition_its_ports_and_its_attempts(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({
            "a": {"outputs": ["t.csv"], "each": {"n": [1, 2]}},
            "b": {"command": ["cat", "x"], "args": ["-v"], "retries": 1,
                  "inputs": {"t": "a/t", "f": {"file": "in.txt"}}},
        })  # fmt: skip
        await desk.run()
        await desk.finish("a.2")
        group = await desk.ask("get_worker", workflow="etl", worker="a")
        assert (group.name, group.instances, group.state.name) == ("a", ["a.1", "a.2"], "a.1")
        one = await desk.ask("get_worker", workflow="etl@1", worker="a.2")
        assert (one.name, one.instances, one.state.status, one.run.address) == ("a.2", [], "completed", "etl@1")
        assert one.outputs[0].path == str(tmp_path / "wattle-runs/etl/1/a.2/t.csv")
        await desk.finish("a.1")
        desk.logs.append(desk.hands.launched[desk.hands.nonce("b")].stdout, b"hello")
        await desk.finish("b", 1)
        b = await desk.ask("get_worker", workflow="etl", worker="b")
        assert b.command == ["cat", "x", "-v"]
        assert [(port.name, port.type, port.source, port.variable) for port in b.inputs] == [
            ("t", "rows", ["a/t"], "WATTLE_INPUT_T"), ("f", "file", ["in.txt"], "WATTLE_INPUT_F"),
        ]  # fmt: skip
        first = b.attempts[0]
        assert (first.code, first.status, first.reason, first.log_size) == (1, "failed", "exit",
                                                                           {"stdout": 5, "stderr": 0})  # fmt: skip
        schema = await desk.ask("get_worker_schema", workflow="etl", worker="b")
        assert (schema.name, [port.name for port in schema.inputs]) == ("b", ["t", "f"])


@pytest.mark.parametrize("kind", STORES)
async def test_events_are_followed_over_the_gap_that_pruning_left(tmp_path: Path, kind: str) -> None:
    async with Desk(tmp_path, kind) as desk:
        desk.hands.obey()
        await desk.create({"a": {}})
        await desk.create({"b": {}}, name="other")
        await desk.run()
        await desk.until_closed()
        await desk.run("other")
        await desk.until_closed()
        await desk.settle()
        await desk.ask("prune_runs", workflow="etl", dry_run=False)
        reader = Reader(desk.follow("follow_all_events"))
        assert [line.seq for line in await reader.has(4)] == [5, 6, 7, 8]
        await desk.run()
        assert [line.seq for line in await reader.has(8)] == list(range(5, 13))
        await reader.leave()
        assert desk.driver.seq == 12, "numbers are not used again"


async def test_ended_runs_are_folded_once_and_only_the_newest_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattle.coordinator.history.CACHED_RUNS", 2)
    async with Desk(tmp_path) as desk:
        desk.hands.obey()
        await desk.create({"a": {}})
        for _ in range(3):
            await desk.run()
            await desk.until_closed()
        await desk.settle()
        first = await desk.service.history.run("etl", 1)
        assert (await desk.service.history.run("etl", 1))[1] is first[1]
        for number in (2, 3):
            await desk.service.history.run("etl", number)
        assert (await desk.service.history.run("etl", 1))[1] is not first[1]


async def test_a_group_means_its_first_member_that_ever_ran(tmp_path: Path) -> None:
    async with Desk(tmp_path, slots=1) as desk:
        await desk.create({"g": {"each": {"n": [1, 2, 3]}}}, max_concurrent_workers=1, on_failure="continue")
        await desk.run()
        await desk.ask("stop_worker", workflow="etl", worker="g.1")
        await desk.settle()
        detail = await desk.ask("get_worker", workflow="etl", worker="g")
        assert (detail.state.name, detail.instances) == ("g.1", ["g.1", "g.2", "g.3"])
        await desk.ask("stop_workflow", workflow="etl")


async def test_a_worker_that_is_not_in_the_definition_is_not_found_before_the_first_run(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}})
        error = await refusal(desk, "get_worker", workflow="etl", worker="b")
        assert (error.message, error.hint) == ("etl has no worker b.", "wattle show etl")
