"""What tests of the browser share: where a page is, what a node says, workflows that wait for a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.jupyter.servers import Server, run_starting
from tests.terminal import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

LABEXTENSION = Path(REPOSITORY) / "jupyter_wattle" / "labextension"
STATIC = Path(REPOSITORY) / "jupyter_wattle" / "static"
SHELL = {"lang": "sh"}


def install_labextension(folder: Path) -> None:
    """As a wheel would lay it, into the data folder of a test's server."""
    place = folder / "jupyter-data" / "labextensions" / "jupyter-wattle"
    shutil.copytree(LABEXTENSION, place)
    shutil.copy(STATIC / "wattle.js", place / "static" / "wattle.js")


def open_run(page: Page, server: Server, address: str) -> None:
    """Wattle's page at an address, once it has drawn it."""
    page.goto(f"{server.url}wattle#{address}")
    page.locator(".run .node").first.wait_for()


def node(page: Page, name: str, status: str = "") -> Locator:
    """A worker's box; with `status`, only once it looks like that."""
    return page.locator(f'[data-key="{name}"]' + (f'[data-status="{status}"]' if status else ""))


def begin(server: Server, name: str, workers: dict[str, Any], **more: Any) -> Path:
    """Start a workflow in a folder of its own, which is returned."""
    folder = server.folder / name
    folder.mkdir(exist_ok=True)
    run_starting(server, {"name": name, "working_dir": str(folder), "workers": workers, **more})
    return folder


def gate(name: str = "gate", before: str = "", after: str = "") -> dict[str, Any]:
    """A worker that waits for a file in its working directory."""
    return {"script": f"{before}\nwhile [ ! -e {name} ]; do sleep 0.05; done\n{after}\n", **SHELL}


def script(code: str, **more: Any) -> dict[str, Any]:
    """A worker that is a few lines of Python."""
    return {"script": f"#!/usr/bin/env python3\n{code}", **more}


def run_status(server: Server, address: str) -> str:
    workflow, number = address.split("@")
    return str(server.ask("GET", f"/api/workflows/{workflow}/runs/{number}").json["status"])


def open_streams(page: Page) -> set[Request]:
    """The streams that the page holds open; events of the browser are heard while it is asked something."""
    found: set[Request] = set()
    page.on("request", lambda request: found.add(request) if "/api/wattle/stream?" in request.url else None)
    for ended in ("requestfailed", "requestfinished"):
        page.on(ended, lambda request: found.discard(request))  # noqa: PLW0108  Playwright looks at a handler's signature
    return found
