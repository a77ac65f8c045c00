"""A real JupyterLab server and a real Chromium, one of each for the whole folder; a page of its own for each test.

A test that leaves an error in the console, a page error, an open dialog or a violation of the page's policy, fails.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import LABEXTENSION, install_labextension
from tests.jupyter.servers import TOKEN, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
OURS_FIRST = {"JUPYTER_PREFER_ENV_PATH": "0"}
"""The extension of these sources, not the one of whenever the package was installed here."""
EXPECTED = ("favicon", "404 (Not Found)", "(reading 'schema')", "@jupyterlab/scheduler")
"""What browsers, Notebook 7 and other extensions in it complain about that is no fault of ours."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """JupyterLab, Notebook 7 and Wattle's page in one server, below a path as a hub has it."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    folder = tmp_path_factory.mktemp("server")
    if LABEXTENSION.exists():
        install_labextension(folder)
    begun = Server(folder, "lab", "--LabApp.news_url=", "--LabApp.check_for_updates_class="
                   "jupyterlab.NeverCheckForUpdate", "--ServerApp.base_url=/user/a@b/", environment=OURS_FIRST)  # fmt: skip
    begun.ready()
    yield begun
    begun.end()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. It goes with the folder: while it is there, no test of this process may begin an event loop."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        begun = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield begun
        begun.close()


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A tab of somebody who has logged in, and nothing else open."""
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    context.set_default_timeout(40_000)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
    tab.on("console", lambda said: complaints.append(f"console: {said.text}") if said.type == "error" else None)
    tab.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    tab.goto(f"{server.url}login?token={TOKEN}")
    yield tab
    context.close()
    assert [text for text in complaints if not any(known in text for known in EXPECTED)] == []
