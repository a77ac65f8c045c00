"""jupyter-scheduler executes a notebook with Wattle cells: its job ends as the workflow does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.jupyter.servers import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("jupyter_scheduler") is None, reason="needs jupyter-scheduler (PyPI)"),
]
CONFIG = {"ServerApp": {"jpserver_extensions": {"jupyter_wattle": True, "jupyter_scheduler": True}}}
CELL = """\
%%wattle workflow NAME --run
workers:
  one: {script: "echo hello from one"}
  two: {script: "exit CODE", needs: [one]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("scheduler"), config=CONFIG)
    made.ready()
    yield made
    made.close()


def begin(server: Server, name: str, code: int) -> str:
    """A job that runs a notebook with one workflow, whose last worker ends with this code; its id."""
    cells = ["%load_ext wattle", CELL.replace("NAME", name).replace("CODE", str(code)), "print('after', 6 * 7)"]
    notebook = {
        "nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "cells": [{"cell_type": "code", "id": f"c{place}", "metadata": {}, "source": cell, "outputs": [],
                   "execution_count": None} for place, cell in enumerate(cells)],
    }  # fmt: skip
    (server.folder / f"{name}.ipynb").write_text(json.dumps(notebook))
    made = server.ask("POST", "/scheduler/jobs", {
        "name": name, "input_uri": f"{name}.ipynb", "runtime_environment_name": "", "output_formats": ["ipynb"],
        "idempotency_token": name})  # fmt: skip
    assert made.status == 200, made.body
    return str(made.json["job_id"])


def ended(server: Server, job: str) -> dict[str, Any]:
    """What became of it."""

    def look() -> dict[str, Any]:
        told: dict[str, Any] = server.ask("GET", f"/scheduler/jobs/{job}").json
        return told if told["status"] in {"COMPLETED", "FAILED"} else {}  # one that has not begun is called stopped

    return wait_until(look, 90, every=0.2)


def run(server: Server, name: str) -> str:
    return str(server.ask("GET", f"/api/workflows/{name}/runs").json["runs"][0]["status"])


def test_a_job_ends_as_its_workflow_does_and_says_which_worker_failed(server: Server) -> None:
    good, bad = begin(server, "good", 0), begin(server, "bad", 3)
    told = ended(server, good)
    assert told["status"] == "COMPLETED", told["status_message"]
    assert run(server, "good") == "completed"
    told = ended(server, bad)
    assert told["status"] == "FAILED"
    assert "bad@1" in told["status_message"]
    assert "two" in told["status_message"]
    assert run(server, "bad") == "failed"
