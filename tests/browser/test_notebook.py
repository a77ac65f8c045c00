"""A notebook that holds a saved view: it is live when it is opened, in JupyterLab and in Notebook 7, whatever its kernel
does, and opening it starts nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.pages import begin, gate, node, open_streams
from tests.helpers import wait_until
from tests.jupyter.servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

MIME = "application/vnd.wattle.run+json"
EVIL = "<img src=x onerror=alert(1)>"
FRONT_ENDS = {"lab": "lab/workspaces/{0}/tree/{0}.ipynb", "notebook": "notebooks/{0}.ipynb"}
"""Lab opens again what was open in a workspace: each test has one of its own."""


def bundle(server: Server, address: str, **more: Any) -> dict[str, Any]:
    """The data of a view, as the kernel's side saves it."""
    workflow, _, number = address.partition("@")
    detail = server.ask("GET", f"/api/workflows/{workflow}/runs/{number}").json if number else None
    graph = server.ask("GET", f"/api/workflows/{address}/graph").json
    health = server.ask("GET", "/api/wattle/health").json
    snapshot = {"run": detail, "graph": graph, "timeline": None}
    return {"version": 1, "kind": "run", "address": address, "worker": None, "store_id": health["store_id"],
            "home": health["home"], "snapshot": snapshot, **more}  # fmt: skip


def save(server: Server, name: str, *bundles: dict[str, Any]) -> str:
    """A notebook with these views as outputs; returns its name without the suffix."""
    cells = [{"cell_type": "code", "id": f"c{i}", "execution_count": 1, "metadata": {}, "source": "%wattle run",
              "outputs": [{"output_type": "display_data", "metadata": {}, "data": {
                  MIME: data, "text/plain": "a static picture"}}]} for i, data in enumerate(bundles)]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}
    Path(server.folder, f"{name}.ipynb").write_text(json.dumps(notebook))
    return name


def show(page: Page, server: Server, name: str, front_end: str) -> None:
    page.goto(server.url + FRONT_ENDS[front_end].format(name))
    page.locator(".jp-WattleView .run").first.wait_for(timeout=40_000)


@pytest.fixture
def writes(page: Page) -> list[str]:
    """Everything that the page asks Wattle to change."""
    found: list[str] = []
    ours = re.compile(r"/api/(workflows|workers|wattle)\b")
    page.on("request", lambda request: found.append(request.url)
            if request.method != "GET" and ours.search(request.url) else None)  # fmt: skip
    return found


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_saved_view_is_live_when_opened_and_when_its_kernel_is_dead(
    page: Page, server: Server, front_end: str, writes: list[str]
) -> None:
    folder = begin(server, f"saved-{front_end}", {"one": gate(before="echo begun"),
                                                  "two": {"command": "true", "needs": ["one"]}})  # fmt: skip
    show(page, server, save(server, front_end, bundle(server, f"saved-{front_end}@1")), front_end)
    node(page, "one", "running").wait_for()
    # Jupyter's list is an error for a moment while a kernel of it is on its way.
    kernels = wait_until(lambda: (told := server.ask("GET", "/api/kernels")).status == 200 and [told.json])
    for kernel in kernels[0] if kernels else ():
        server.ask("DELETE", f"/api/kernels/{kernel['id']}")
    node(page, "one").click()
    page.locator(".log .line", has_text="begun").wait_for()
    (folder / "gate").touch()
    node(page, "two", "completed").wait_for()
    assert writes == []


def test_a_notebook_that_was_closed_shows_what_has_become_of_the_run(page: Page, server: Server) -> None:
    folder = begin(server, "closed", {"one": gate()})
    wait_until(lambda: bundle(server, "closed@1")["snapshot"]["run"]["status"] == "running")
    name = save(server, "closed", bundle(server, "closed@1"))
    (folder / "gate").touch()
    wait_until(lambda: bundle(server, "closed@1")["snapshot"]["run"]["status"] == "completed")
    show(page, server, name, "lab")
    node(page, "one", "completed").wait_for()


def test_a_view_of_another_server_says_so_and_shows_the_picture_that_was_saved(page: Page, server: Server) -> None:
    begin(server, "elsewhere", {"one": {"command": "true"}})
    wait_until(lambda: bundle(server, "elsewhere@1")["snapshot"]["run"]["status"] == "completed")
    data = bundle(server, "elsewhere@1", store_id="of-another-place")
    data["snapshot"]["run"]["workers"][0]["status"] = "running"
    data["snapshot"]["graph"]["nodes"][0]["name"] = data["snapshot"]["run"]["workers"][0]["name"] = EVIL
    show(page, server, save(server, "elsewhere", data), "lab")
    page.locator(".note", has_text="this server keeps other runs").wait_for()
    page.locator(".node.running", has_text=EVIL[:6]).wait_for()
    assert page.locator("header.head button").count() == 0


def test_many_views_of_one_notebook_share_one_connection(page: Page, server: Server) -> None:
    folder = begin(server, "shared", {"one": gate()})
    streams = open_streams(page)
    data = bundle(server, "shared@1")
    show(page, server, save(server, "shared", data, {**data, "kind": "logs", "worker": "one"}, data), "lab")
    wait_until(lambda: page.locator('.node[data-status="running"]').count() == 2)
    page.locator(".alone .log").wait_for()
    wait_until(lambda: page.evaluate("1") and len(streams) == 1)
    (folder / "gate").touch()
    wait_until(lambda: page.locator('.node[data-status="completed"]').count() == 2)


def test_the_panel_lists_runs_and_opens_one_as_a_tab(page: Page, server: Server) -> None:
    folder = begin(server, "panelled", {"one": gate()})
    page.goto(f"{server.url}lab")
    page.locator('.jp-SideBar [data-id="jupyter-wattle-panel"]').click(timeout=40_000)
    page.locator("#jupyter-wattle-panel button.main", has_text="panelled@1").click()
    tab = page.locator("#jupyter-wattle-panelled\\@1")
    tab.locator('[data-key="one"][data-status="running"]').wait_for()
    (folder / "gate").touch()
    tab.locator('[data-key="one"][data-status="completed"]').wait_for()
    page.locator("#jupyter-wattle-panel tr", has_text="panelled@1").locator(".mark.completed").wait_for()


def test_the_widget_goes_on_through_its_kernel_where_the_page_reaches_no_server(page: Page, server: Server) -> None:
    folder = begin(server, "widgeted", {"one": gate(before="echo begun"), "two": {"command": "true", "needs": ["one"]}})
    name = save(server, "widget", bundle(server, "widgeted@1"))
    path = Path(server.folder, f"{name}.ipynb")
    notebook = json.loads(path.read_text())
    notebook["cells"][0] |= {"outputs": [], "source": [
        "%load_ext wattle\n", "%wattle view widget\n", "%wattle attach widgeted@1"]}  # fmt: skip
    path.write_text(json.dumps(notebook))
    page.route("**/api/wattle/health", lambda route: route.fulfill(json={"store_id": "of-another-place", "home": ""}))
    page.goto(server.url + FRONT_ENDS["lab"].format(name))
    # Lab says idle before it has a session, and would ask which kernel is meant.
    wait_until(lambda: any(session["path"] == f"{name}.ipynb" and session["kernel"]["execution_state"] == "idle"
                           for session in server.ask("GET", "/api/sessions").json), 60)  # fmt: skip
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    node(page, "one", "running").wait_for(timeout=60_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/work" in request.url else None)
    node(page, "one").click()
    page.locator(".log .line", has_text="begun").wait_for()
    assert [url for url in asked if "widgeted" in url] == []
    (folder / "gate").touch()
    node(page, "two", "completed").wait_for()


def test_a_workflow_of_a_notebook_is_run_in_its_place_once_somebody_says_so(
    page: Page, server: Server, writes: list[str]
) -> None:
    server.ask("POST", "/api/workflows", {"document": {"name": "defined", "working_dir": str(server.folder), "workers": {
        "one": {"command": "true"}, "two": {"command": "true", "needs": ["one"]}}}})  # fmt: skip
    show(page, server, save(server, "defined", bundle(server, "defined", kind="workflow")), "lab")
    node(page, "two", "created").wait_for()
    assert writes == []
    page.locator("header.head button", has_text="Run").click()
    node(page, "two", "completed").wait_for()
    assert page.locator("header.head h2").inner_text() == "defined@1"


def test_the_form_of_a_notebook_writes_a_workflow(page: Page, server: Server) -> None:
    health = server.ask("GET", "/api/wattle/health").json
    form = {"version": 1, "kind": "new", "address": "sketched", "worker": None, "store_id": health["store_id"],
            "home": health["home"], "snapshot": {"run": None, "graph": None, "timeline": None}}  # fmt: skip
    show(page, server, save(server, "form", form), "lab")
    page.locator('[data-worker="first"]').get_by_label("What it runs").fill("true")
    page.locator("header.head .word", has_text="valid").wait_for()
    page.locator("button", has_text="Save and run").click()
    node(page, "first", "completed").wait_for()
