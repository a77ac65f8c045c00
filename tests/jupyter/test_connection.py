"""Kernels and commands find the coordinator of the server that they belong to."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers import wait_until
from tests.jupyter.conftest import Begin
from tests.jupyter.servers import Server
from tests.terminal import Terminal

ASK = """
import json, os, subprocess, sys
told = {"connection": os.environ.get("WATTLE_CONNECTION"), "home": os.environ.get("WATTLE_HOME")}
done = subprocess.run([sys.executable, "-m", "wattle", "list", "--json"], capture_output=True, text=True)
told["list"], told["error"] = done.stdout, done.stderr
open("told.json.new", "w").write(json.dumps(told)); os.replace("told.json.new", "told.json")
"""


def run_in_kernel(server: Server, code: str) -> None:
    """Execute code in a new kernel of this server, which stays until the server ends."""
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    (server.folder / "n.ipynb").write_text(json.dumps(notebook))
    kernel = server.ask("POST", "/api/kernels", {"name": "python3", "path": str(server.folder)}).json["id"]
    (file,) = wait_until(lambda: list(server.runtime.glob(f"kernel-{kernel}.json")))
    from jupyter_client.blocking.client import BlockingKernelClient  # noqa: PLC0415

    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute(f"import os; os.chdir({str(server.folder)!r})\n{code}", silent=True)
        wait_until((server.folder / "told.json").exists, 60)
    finally:
        client.stop_channels()


def test_a_command_in_a_kernel_asks_the_server_s_own_state_root(
    begin: Begin, terminal: Terminal, tmp_path: Path
) -> None:
    """The server was given another state root than the environment's: only the connection file says so."""
    other = tmp_path / "elsewhere"
    server = begin("server", f"--WattleApp.home={other}", environment={"WATTLE_HOME": ""})
    assert server.ready()["home"] == str(other)
    server.ask("POST", "/api/workflows", {"document": {"name": "there", "workers": {"a": {"command": "true"}}}})
    run_in_kernel(server, ASK)
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["connection"].startswith(str(tmp_path / "jupyter-runtime"))
    assert [row["name"] for row in json.loads(told["list"])["workflows"]] == ["there"], told["error"]
    terminal.wattle("--home", str(other), "down")


def test_the_connection_file_goes_with_its_server(begin: Begin) -> None:
    server = begin()
    server.ready()
    (path,) = server.runtime.glob("wattle-*.json")
    assert json.loads(path.read_text())["pid"] == server.process.pid
    server.end()
    assert not path.exists()


def test_a_connection_file_that_is_gone_or_damaged_is_passed_over(terminal: Terminal, tmp_path: Path) -> None:
    for content in (None, "{", "[]", '{"home": 3}'):
        path = tmp_path / "connection.json"
        if content is not None:
            path.write_text(content)
        done = terminal.wattle("list", "--json", env={"WATTLE_CONNECTION": str(path)})
        assert done.returncode == 0, done.stderr
