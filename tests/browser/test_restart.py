"""A page whose server is killed: it says so, and goes on by itself with the next server on that port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.pages import begin, gate, node, open_run
from tests.jupyter.servers import TOKEN, Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

def test_a_page_outlives_its_server(browser: Browser, tmp_path: Path) -> None:
    first = Server(tmp_path, "server")
    servers = [first]
    try:
        first.ready()
        folder = begin(first, "outlives", {"one": gate(before="echo begun"), "two": {"command": "true", "needs": ["one"]}})
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{first.url}login?token={TOKEN}")
        open_run(page, first, "outlives@1/one")
        page.locator(".log .line", has_text="begun").wait_for()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(30)
        page.locator("header.head", has_text="reconnecting").wait_for()
        (folder / "gate").touch()
        servers.append(Server(tmp_path, "server", port=first.port))
        node(page, "two", "completed").wait_for(timeout=60_000)
        context.close()
    finally:
        for server in servers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.end()
            server.close()
