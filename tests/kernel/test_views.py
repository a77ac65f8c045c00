"""What a notebook gets to show: one bundle, kept up to date in place until the run has ended."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from jupyter_wattle.kernel.drawing import MOST_NODES, svg
from jupyter_wattle.kernel.html import html_of
from tests.cli.replies import style, worker
from tests.kernel.conftest import Run
from tests.kernel.shells import MIME, Kernel
from tests.terminal import Terminal
from wattle.cli import render
from wattle.core.layout import layout

SVG = "{http://www.w3.org/2000/svg}"


def drawn_graph(edges: list[tuple[str, str]], **fields: Any) -> dict[str, Any]:
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    places = layout([[names.index(source) for source, target in edges if target == name] for name in names])
    nodes = [{"name": name, "instances": 1, "status": "completed", "counts": {}, "x": x, "y": y, "kind": "script", **fields}
             for name, (x, y) in zip(names, places, strict=True)]  # fmt: skip
    return {"workflow": "etl", "nodes": nodes,
            "edges": [{"source": source, "target": target, "ports": ["a -> b"]} for source, target in edges]}  # fmt: skip


def test_the_way_back_of_a_loop_is_drawn_below_the_boxes_and_live_edges_are_dashed() -> None:
    graph = drawn_graph([("engine", "pilot")])
    straight = ET.fromstring(svg(graph))
    graph["edges"] = [{**graph["edges"][0], "stream": True},
                      {"source": "pilot", "target": "engine", "ports": ["force -> force"], "stream": True}]  # fmt: skip
    loop = ET.fromstring(svg(graph))
    assert float(loop.attrib["height"]) > float(straight.attrib["height"])
    there, back = loop.iter(f"{SVG}path")
    assert (there.get("stroke-dasharray"), back.get("stroke-dasharray")) == ("5 3", "5 3")
    floor = max(float(rect.attrib["y"]) + float(rect.attrib["height"]) for rect in loop.iter(f"{SVG}rect"))
    points = [float(number) for number in re.findall(r"-?\d+\.\d+", back.attrib["d"])]
    assert points[0] > points[-2], "it leads to the left"
    assert points[3] > floor, "below everything"


def test_a_run_is_shown_and_its_last_picture_is_the_final_one(kernel: Kernel) -> None:
    answer = kernel.run("%wattle run etl.yaml")
    bundle, display = answer.shown[0], answer.displays[0]
    data = bundle[MIME]
    assert (data["version"], data["kind"], data["worker"]) == (1, "run", None)
    assert data["snapshot"]["run"]["address"] == data["address"]
    assert [node["name"] for node in data["snapshot"]["graph"]["nodes"]] == ["fetch", "count"]
    assert set(bundle) == {MIME, "image/svg+xml", "text/plain"}
    final = kernel.update_of(display, lambda data: data[MIME]["snapshot"]["run"]["status"] == "completed")
    assert "completed in" in final["text/plain"]
    assert "completed" in final["image/svg+xml"]
    assert len(final[MIME]["snapshot"]["timeline"]["bars"]) == 2


def test_the_bundle_says_which_store_it_is_of(kernel: Kernel, place: Terminal) -> None:
    data = kernel.run("%wattle attach").shown[0][MIME]
    assert data["home"] == str(place.home)
    assert data["store_id"]


def test_one_may_choose_text(kernel: Kernel) -> None:
    assert "as: text" in kernel.run("%wattle view text").text
    assert set(kernel.run("%wattle attach").shown[0]) == {"text/plain"}
    kernel.run("%wattle view mime")
    assert MIME in kernel.run("%wattle attach").shown[0]


def test_a_wait_is_one_line_in_place_and_ctrl_c_leaves_the_run(kernel: Kernel, place: Terminal) -> None:
    (place.folder / "slow.yaml").write_text("name: slow\nworkers: {nap: {script: sleep 60}}\n")
    kernel.run("r = %wattle run slow.yaml")
    waiting = kernel.begin("%wattle wait slow")
    message = kernel.client.get_iopub_msg(timeout=20)
    while message["msg_type"] != "display_data":
        message = kernel.client.get_iopub_msg(timeout=20)
    assert "0 of 1 completed" in message["content"]["data"]["text/plain"]
    kernel.interrupt()
    answer = kernel.ended(waiting)
    assert answer.status == "error"
    assert answer.error["traceback"] == ["Left slow@1 running.  %wattle attach slow@1"]
    assert place.status("slow@1")["status"] == "running"
    assert kernel.run("r.stop().wait(check=False).status").shown[-1]["text/plain"] == "'cancelled'"


def test_in_a_terminal_a_run_is_text_alone(cell: Run) -> None:
    cell("r = %wattle run etl.yaml\nr.wait()")
    assert [set(bundle) for bundle in cell("r").shown] == [{"text/plain"}]


# ---- the static picture -------------------------------------------------------------------------------------------


def test_the_picture_is_xml_with_a_box_a_node_and_a_line_an_edge() -> None:
    tree = ET.fromstring(svg(drawn_graph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])))
    assert len(tree.findall(f".//{SVG}rect")) == 4
    assert len(tree.findall(f".//{SVG}path")) == 4
    assert [text.text for text in tree.iter(f"{SVG}text") if str(text.text) in "abcd"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "a&b", "\x1b[31mred\x00", "]]>"])
def test_no_name_leaves_its_text(name: str) -> None:
    tree = ET.fromstring(svg(drawn_graph([(name, "b")]), caption=name))
    assert {element.tag for element in tree.iter()} == {f"{SVG}{tag}" for tag in ("svg", "g", "rect", "path", "text")}
    assert all(not key.startswith("on") for element in tree.iter() for key in element.attrib)


def test_the_picture_tells_times_failures_and_how_far_groups_are() -> None:
    graph = drawn_graph([("a", "b")])
    graph["nodes"][0] |= {"instances": 4, "counts": {"completed": 3}, "status": "running"}
    detail = {"workers": [worker("a.1", "completed", group="a"), worker("b", "failed", reason="exit", code=3)]}
    told = [text.text for text in ET.fromstring(svg(graph, detail)).iter(f"{SVG}text")]
    assert "3 of 4 · 2.0 s" in told
    assert "exit 3" in told


def test_what_is_too_much_for_a_picture_is_left_to_the_text() -> None:
    many = drawn_graph([(f"n{i}", f"n{i + 1}") for i in range(MOST_NODES + 1)])
    assert svg(many) == ""
    assert svg({"workflow": "etl", "nodes": [], "edges": []}) == ""


# ---- tables as HTML -----------------------------------------------------------------------------------------------


def test_html_escapes_everything_that_comes_from_outside() -> None:
    evil = '<img src=x onerror="alert(1)">\ue0000\ue001'
    flow = {"name": "etl", "workers": 2, "status": "created", "run": None, "description": evil, "source": ""}
    html = html_of({"workflows": [flow]}, render.workflows, style())
    assert "<img" not in html
    assert "&lt;img src=x onerror=" in html
    assert html.count("<tr>") == 2


# ---- the form -----------------------------------------------------------------------------------------------------


def test_a_form_is_shown_and_what_it_has_saved_becomes_a_cell(kernel: Kernel, place: Terminal) -> None:
    data = kernel.run("import wattle\nform = wattle.new()\nform").shown[0][MIME]
    assert (data["kind"], data["address"]) == ("new", "")
    place.wattle("create", "etl.yaml", "--replace")
    answer = kernel.run("print(form.as_cell('etl'))")
    assert answer.text.startswith("%%wattle workflow etl\nname: etl\n")
    assert answer.next_input.startswith("%%wattle workflow etl")


def test_what_was_waited_at_becomes_the_picture_in_its_place_and_is_shown_once(kernel: Kernel) -> None:
    answer = kernel.run("r = %wattle run etl.yaml\nr.wait()")
    assert len(answer.shown) == 1
    last = answer.updates[-1] if answer.updates else answer.shown[0]
    assert last[MIME]["snapshot"]["run"]["status"] == "completed"
    assert len(kernel.run("r").shown) == 1
    assert len(kernel.run("r.wait().status").shown) == 1, "nothing but the status: there was nothing to wait for"
    kernel.run("r = %wattle run etl.yaml\nr.wait().status")
    assert len(kernel.run("r").shown) == 1


def test_graph_and_gantt_are_views_and_values_and_files_when_asked_for(kernel: Kernel, place: Terminal) -> None:
    kernel.run("r = %wattle run etl.yaml\nr.wait()")
    gantt = kernel.run("%wattle gantt etl").shown[0]
    assert gantt[MIME]["kind"] == "gantt"
    assert len(gantt[MIME]["snapshot"]["timeline"]["bars"]) == 2
    assert "◆ count" in gantt["text/plain"]
    graph = kernel.run("%wattle graph etl").shown[0]
    assert (graph[MIME]["kind"], graph[MIME]["address"]) == ("workflow", "etl")
    assert kernel.run("%wattle graph etl@1").shown[0][MIME]["address"] == "etl@1"
    assert "○ fetch ─ ○ count" in kernel.run("%wattle graph etl.yaml").shown[0]["text/plain"]
    assert "'nodes'" in kernel.run("%wattle graph etl --json").shown[0]["text/plain"]
    assert "Wrote dag.svg" in kernel.run("%wattle graph etl --out dag.svg").text
    assert (place.folder / "dag.svg").read_text().startswith("<?xml")
    assert "There is no workflow nosuch" in "".join(kernel.run("%wattle graph nosuch").error["traceback"])


def test_a_run_of_a_cell_is_a_log_under_the_number_of_its_cell(kernel: Kernel) -> None:
    number = int(kernel.run("get_ipython().displayhook.exec_result.execution_count").shown[0]["text/plain"])
    shown = kernel.run("%%wattle run\nprint('at work')").shown[0][MIME]
    assert (shown["kind"], shown["worker"], shown["address"]) == ("logs", "cell", f"cell-{number + 1}@1")


def test_the_last_change_before_a_long_rest_is_shown(kernel: Kernel, place: Terminal) -> None:
    """Where no server tells the page, the kernel does, and what came within the pace is not lost."""
    (place.folder / "rest.yaml").write_text(
        "name: rest\nworkers: {a: {script: 'true'}, b: {script: 'until [ -e rested ]; do sleep 0.02; done', needs: [a]}}\n")
    display = kernel.run("%wattle run rest.yaml").displays[0]
    kernel.update_of(display, lambda data: [node["status"] for node in data[MIME]["snapshot"]["graph"]["nodes"]] == ["completed", "running"])
    (place.folder / "rested").touch()
    kernel.update_of(display, lambda data: data[MIME]["snapshot"]["run"]["status"] == "completed")
