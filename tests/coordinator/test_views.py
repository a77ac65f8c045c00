"""What people are shown: plans, graphs, timelines, states."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coordinator.desk import Desk, refusal
from wattle.coordinator import views
from wattle.core.errors import InvalidRequest


async def test_a_run_shows_where_each_worker_stands(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"retries": 2, "outputs": ["t"]}, "g": {"each": {"n": [1, 2]}}}, params={"p": 1})
        await desk.run(params={"p": 5}, jobs=3)
        await desk.finish("a", 3)
        desk.hands.started(desk.hands.nonce("a"))
        await desk.settle()
        reply = await desk.ask("get_run", workflow="etl", number=1)
        assert (reply.address, reply.status, reply.phase, reply.params, reply.limit) == ("etl@1", "running", "running",
                                                                                        {"p": 5}, 3)  # fmt: skip
        a, one, two = reply.workers
        assert (a.phase, a.attempt, a.attempts_allowed, a.pid) == ("running", 2, 3, 1002)
        assert (one.name, one.group, two.name) == ("g.1", "g", "g.2")
        assert reply.counts == {"running": 1, "created": 2}


async def test_a_plan_tells_levels_limits_and_what_earlier_runs_took(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"z": {"needs": ["g", "a"]}, "a": {}, "g": {"each": {"n": "${params.n}"}, "needs": ["a"]}},
                          params={"n": [1, 2]}, max_concurrent_workers=3)  # fmt: skip
        plan = await desk.ask("plan_workflow", workflow="etl")
        assert [(w.name, w.level, w.instances, w.upstream) for w in plan.workers] == [
            ("a", 0, 1, []), ("g", 1, 2, ["a"]), ("z", 2, 1, ["a", "g"]),
        ]  # fmt: skip
        assert (plan.instances, plan.levels, plan.limit, plan.estimate, plan.critical_path) == (4, 3, 3, None, [])
        await desk.run()
        for name, seconds in (("a", 5), ("g.1", 7), ("g.2", 11), ("z", 1)):
            desk.hands.started(desk.hands.nonce(name))
            desk.clock.advance(seconds)
            desk.hands.exited(desk.hands.nonce(name))
            await desk.settle()
        plan = await desk.ask("plan_workflow", workflow="etl", params={"n": [1]}, jobs=2)
        assert {w.name: w.estimate for w in plan.workers} == {"a": 5, "g": 7, "z": 1}
        assert (plan.instances, plan.limit, plan.estimate, plan.critical_path) == (3, 2, 13, ["a", "g", "z"])
        of_run = await desk.ask("plan_workflow", workflow="etl@1")
        assert of_run.instances == 4
        assert isinstance(await refusal(desk, "plan_workflow", workflow="etl", params={"x": 1}), InvalidRequest)


async def test_a_graph_has_its_nodes_edges_places_and_states(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["t", "u"]}, "s": {"script": "true", "needs": ["a"]},
                           "g": {"each": {"n": [1, 2]}, "inputs": {"x": "a/t", "y": "a/u"}}})  # fmt: skip
        drawn = await desk.ask("get_graph", workflow="etl")
        assert [(n.name, n.instances, n.status, n.kind, n.x) for n in drawn.nodes] == [
            ("a", 1, "created", "command", 0), ("s", 1, "created", "script", 1), ("g", 1, "created", "command", 1),
        ]  # fmt: skip
        assert len({(n.x, n.y) for n in drawn.nodes}) == 3
        assert [(e.source, e.target, e.ports) for e in drawn.edges] == [("a", "s", []), ("a", "g", ["t → x", "u → y"])]
        await desk.run()
        await desk.produce("a", t="1", u="2")
        await desk.finish("g.1")
        live = await desk.ask("get_graph", workflow="etl")
        assert [(n.name, n.instances, n.status, n.counts) for n in live.nodes] == [
            ("a", 1, "completed", {"completed": 1}), ("s", 1, "created", {"created": 1}),
            ("g", 2, "running", {"completed": 1, "created": 1}),
        ]  # fmt: skip
        await desk.create({"other": {}})
        assert [n.name for n in (await desk.ask("get_graph", workflow="etl@1")).nodes] == ["a", "s", "g"]


@pytest.mark.parametrize(("counts", "status"), [
    ({}, "created"), ({"created": 2}, "created"), ({"completed": 2}, "completed"),
    ({"created": 1, "completed": 1}, "running"), ({"running": 1, "completed": 1}, "running"),
    ({"failed": 1, "running": 1}, "failed"), ({"cancelled": 1, "completed": 1}, "cancelled"),
])  # fmt: skip
def test_a_group_shows_what_needs_attention_first(counts: dict[str, int], status: str) -> None:
    assert views.group_status(counts) == status


async def test_a_timeline_has_a_bar_per_attempt_and_the_critical_path_of_an_ended_run(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"retries": 1}, "quick": {"needs": ["a"]}, "slow": {"needs": ["a"]},
                           "z": {"needs": ["quick", "slow"]}})  # fmt: skip
        begin = desk.clock.now()
        await desk.run()
        for name, code, seconds in (("a", 1, 2), ("a", 0, 3), ("quick", 0, 1), ("slow", 0, 10)):
            desk.hands.started(desk.hands.nonce(name))
            desk.clock.advance(seconds)
            desk.hands.exited(desk.hands.nonce(name), code)
            await desk.settle()
        half = await desk.ask("get_timeline", workflow="etl")
        assert not any(bar.critical for bar in half.bars), "nobody knows yet"
        desk.hands.started(desk.hands.nonce("z"))
        desk.clock.advance(1)
        await desk.finish("z")
        whole = await desk.ask("get_timeline", workflow="etl@1")
        assert [(bar.name, bar.attempt, bar.status) for bar in whole.bars] == [
            ("a", 1, "failed"), ("a", 2, "completed"), ("quick", 1, "completed"), ("slow", 1, "completed"),
            ("z", 1, "completed"),
        ]  # fmt: skip
        assert {bar.name for bar in whole.bars if bar.critical} == {"a", "slow", "z"}
        first, second = whole.bars[:2]
        assert (first.launched_at, first.started_at, first.ended_at) == (begin, begin, begin + 2)
        assert (first.ready_at, second.ready_at, second.ended_at) == (None, begin + 2, begin + 5)
        assert whole.run.status == "completed"


async def test_a_worker_that_never_ran_has_no_bar(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {"needs": ["a"]}})
        await desk.run()
        await desk.finish("a", 1)
        reply = await desk.ask("get_timeline", workflow="etl")
        assert [bar.name for bar in reply.bars] == ["a"]
        assert not any(bar.critical for bar in reply.bars), "it took no time at all"


async def test_what_is_odd_about_the_outputs_of_a_completed_worker_is_a_warning(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"outputs": ["new", "old", "none"]}, "b": {"needs": ["a"]}})
        await desk.run()
        now = int(desk.clock.now() * 1e9)
        await desk.finish("a", outputs={"new": (1, now), "old": (1, now - 5 * 10**9), "none": None})
        reply = await desk.ask("get_run", workflow="etl", number=1)
        assert reply.warnings == ["a: the file of output old is older than the run", "a did not write its output none"]
        await desk.finish("b", 1)
        assert len((await desk.ask("get_run", workflow="etl", number=1)).warnings) == 2


async def test_a_failure_tells_its_reason_and_the_worker_that_decided(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {"timeout": 5}, "b": {"needs": ["a"]}, "c": {}})
        await desk.run()
        desk.hands.started(desk.hands.nonce("c"))
        await desk.finish("a", None, signal=9, why="timeout")
        desk.hands.exited(desk.hands.nonce("c"), signal=15)
        await desk.settle()
        reply = await desk.ask("get_run", workflow="etl", number=1)
        assert (reply.status, reply.reason, reply.cause) == ("failed", "timeout", "a")
        assert [(w.phase, w.reason, w.message) for w in reply.workers] == [
            ("failed", "timeout", "ran longer than 5 s"), ("cancelled", "upstream-failed", ""),
            ("cancelled", "run-failed", "ended by signal 15"),
        ]  # fmt: skip
        (row,) = (await desk.ask("list_runs", workflow="etl")).runs
        assert (row.status, row.cause, row.counts, row.overhead >= 0) == ("failed", "a", {"failed": 1, "cancelled": 2},
                                                                         True)  # fmt: skip


async def test_a_loop_of_live_edges_is_planned_drawn_and_told_apart_from_batch_edges(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        stream = {"type": "stream"}
        await desk.create({
            "first": {},
            "engine": {"inputs": {"force": "controller/force"}, "outputs": {"state": stream}, "needs": ["first"]},
            "controller": {"inputs": {"state": "engine/state"}, "outputs": {"force": stream, "trace": "t.json"}},
            "after": {"inputs": {"t": "controller/trace"}},
        })  # fmt: skip
        found = await desk.ask("get_graph", workflow="etl")
        assert {(edge.source, edge.target): edge.stream for edge in found.edges} == {
            ("controller", "engine"): True, ("first", "engine"): False, ("engine", "controller"): True,
            ("controller", "after"): False,
        }  # fmt: skip
        across = {node.name: node.x for node in found.nodes}
        assert across["first"] < across["engine"] < across["controller"] < across["after"]
        plan = await desk.ask("plan_workflow", workflow="etl")
        assert [(worker.name, worker.level) for worker in plan.workers] == [
            ("first", 0), ("engine", 1), ("controller", 1), ("after", 2)], "a gang starts as one"  # fmt: skip


async def test_a_valid_document_is_drawn_when_that_is_asked_for(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        text = "name: new\nworkers: {a: {command: 'true'}, b: {script: ls, needs: [a]}}"
        drawn = (await desk.ask("validate_document", text=text, draw=True)).graph
        assert [(node.name, node.x, node.kind) for node in drawn.nodes] == [("a", 0, "command"), ("b", 1, "script")]
        assert (await desk.ask("validate_document", text=text)).graph is None
        assert (await desk.ask("validate_document", text="name: new\nworkers: {a: {}}", draw=True)).graph is None
