"""Whose python, whose folder, whose environment: a worker's are those of whoever submitted it, from every door."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.kernel.shells import Kernel
from tests.terminal import Terminal
from wattle.core.environ import strip_secrets
from wattle.sdk.client import Client
from wattle.sdk.transports import UnixTransport

PRINT = 'command -v python3 > "$0.new"; pwd -P >> "$0.new"; env -0 >> "$0.new"; mv "$0.new" "$0"'
SHELLS_OWN = {"PWD", "SHLVL", "_", "OLDPWD", "PYTHONUNBUFFERED"}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    place = Terminal(tmp_path)
    place.environment |= {"MY_OWN": "given by the shell", "JUPYTERHUB_API_TOKEN": "secret"}
    yield place
    place.close()


def document(terminal: Terminal, name: str) -> dict[str, Any]:
    """A worker that waits for a gate, and one that tells its context afterwards."""
    gate = f'while [ ! -e "{terminal.folder}/gate" ]; do sleep 0.02; done'
    return {"name": name, "workers": {
        "wait": {"script": gate, "lang": "sh"},
        "tell": {"command": ["sh", "-c", PRINT, f"{terminal.folder}/{name}.told"], "needs": ["wait"]},
    }}  # fmt: skip


def told(terminal: Terminal, name: str) -> tuple[str, str, dict[str, str]]:
    """(python, folder, environment) as the worker saw them."""
    path = terminal.folder / f"{name}.told"
    wait_until(path.exists, 40)
    python, folder, variables = path.read_text().split("\n", 2)
    pairs = (entry.partition("=") for entry in variables.split("\0") if entry)
    return python, folder, {key: value for key, _, value in pairs}


def outer(variables: dict[str, str]) -> dict[str, str]:
    """What must be the same: all but what Wattle adds and what every shell sets anew."""
    return {key: value for key, value in variables.items() if not key.startswith("WATTLE_") and key not in SHELLS_OWN}


def check(context: tuple[str, str, dict[str, str]], submitted: dict[str, str], folder: Path) -> None:
    """The worker's context against the submitting process's."""
    python, where, variables = context
    assert where == str(folder.resolve())
    assert python == shutil.which("python3", path=submitted["PATH"])
    assert "JUPYTERHUB_API_TOKEN" not in variables
    assert outer(variables) == outer(strip_secrets(submitted))
    assert variables["MY_OWN"] == "given by the shell"


def test_from_a_shell_a_worker_has_the_shells_own(terminal: Terminal) -> None:
    (terminal.folder / "gate").touch()
    done = terminal.wattle("run", terminal.write("shell.json", document(terminal, "shell")))
    assert done.returncode == 0, done.stdout + done.stderr
    check(told(terminal, "shell"), terminal.environment, terminal.folder)


def test_after_its_coordinator_was_replaced_it_still_has_the_shells_own(terminal: Terminal) -> None:
    process = terminal.begin("run", terminal.write("after.json", document(terminal, "after")))
    wait_until(lambda: (terminal.home / "wattle.db").exists() and terminal.ask("runs")["runs"]
               and terminal.status("after")["workers"][0]["pid"], 30)  # fmt: skip
    os.kill(terminal.holder()["pid"], signal.SIGKILL)
    process.communicate(timeout=30)
    (terminal.folder / "gate").touch()
    check(told(terminal, "after"), terminal.environment, terminal.folder)


def test_over_the_bare_private_door_it_has_the_coordinators_own(terminal: Terminal) -> None:
    (terminal.folder / "gate").touch()
    assert terminal.wattle("up").returncode == 0
    client = Client(UnixTransport(str(terminal.home / "run" / "coordinator.sock")))
    client.ask("create_workflow", document=document(terminal, "door"))
    client.ask("start_workflow", workflow="door")
    client.close()
    check(told(terminal, "door"), terminal.environment, terminal.home / "work" / "door")


def another_environment(folder: Path) -> Path:
    """A virtual environment that sees what ours has; its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    (site / "ours.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


def test_from_a_kernel_of_another_environment_it_has_the_kernels_own(terminal: Terminal) -> None:
    python = another_environment(terminal.folder / "other")
    (terminal.folder / "gate").touch()
    path = terminal.write("kernel.json", document(terminal, "kernel"))
    own = {"MY_OWN": "given by the shell", "JUPYTERHUB_API_TOKEN": "secret"}
    kernel = Kernel(terminal.folder, terminal.home, python=python, **own)
    try:
        of_kernel: dict[str, str] = json.loads(kernel.run("import json, os; print(json.dumps(dict(os.environ)))").text)
        answer = kernel.run(f"%load_ext wattle\n%wattle run {path}")
        assert answer.status == "ok", answer.error
        found, folder, variables = told(terminal, "kernel")
    finally:
        kernel.close()
    assert folder == str(terminal.folder.resolve())
    assert found == str(python.parent / "python3")
    assert "JUPYTERHUB_API_TOKEN" in of_kernel
    assert "JUPYTERHUB_API_TOKEN" not in variables
    of_kernel["PATH"] = f"{python.parent}{os.pathsep}{of_kernel['PATH']}"
    assert outer(variables) == outer(strip_secrets(of_kernel))
    assert variables["MY_OWN"] == "given by the shell"
