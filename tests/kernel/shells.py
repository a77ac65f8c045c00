"""A shell in this process, and real kernels, each on a state root of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from traitlets.config import Config

from tests.helpers import DEADLINE, wait_until
from tests.terminal import REPOSITORY

MIME = "application/vnd.wattle.run+json"


class Shell:
    """IPython in this process. `run` runs a cell and tells what it printed, showed and raised."""

    def __init__(self, folder: Path) -> None:
        InteractiveShell.clear_instance()
        config = Config()
        config.HistoryManager.enabled = False
        self.ip = InteractiveShell.instance(config=config, ipython_dir=str(folder / "ipython"))
        self.shown: list[dict[str, Any]] = []
        self.ip.display_pub.publish = self._publish  # type: ignore[method-assign]

    def _publish(self, data: dict[str, Any], *_: Any, **__: Any) -> None:
        self.shown.append(data)

    def run(self, cell: str, capsys: Any) -> Ran:
        self.shown.clear()
        capsys.readouterr()
        result = self.ip.run_cell(cell)  # type: ignore[no-untyped-call]
        told = capsys.readouterr()
        return Ran(told.out + told.err, list(self.shown), result.result, result.error_in_exec or result.error_before_exec)

    def close(self) -> None:
        InteractiveShell.clear_instance()


class Ran:
    """What came of a cell."""

    def __init__(self, text: str, shown: list[dict[str, Any]], result: Any, error: BaseException | None) -> None:
        self.text = text
        self.shown = shown
        self.result = result
        self.error = error


class Kernel:
    """A real kernel, spoken to over its sockets as a front end does; `python` is another one than ours."""

    def __init__(self, folder: Path, home: Path, *, python: Path | None = None, **environment: str) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("JPY", "WATTLE", "VSCODE"))}
        variables |= {"WATTLE_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "IPYTHONDIR": str(folder / "ipython"),
                      "PYDEVD_DISABLE_FILE_VALIDATION": "1", "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), **environment}  # fmt: skip
        self.manager = KernelManager()
        self.manager.transport = "ipc"
        if python is not None:
            assert self.manager.kernel_spec is not None
            self.manager.kernel_spec.argv[0] = str(python)
        self.manager.ip = str(folder / "k")
        self.folder = folder
        self.variables = variables
        self.manager.start_kernel(cwd=str(folder), env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client: BlockingKernelClient = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.process.pid)  # type: ignore[union-attr]

    def begin(self, code: str, *, allow_stdin: bool = True) -> str:
        """Send a cell; its id."""
        return str(self.client.execute(code, allow_stdin=allow_stdin))

    def run(self, code: str, *, allow_stdin: bool = True) -> Answer:
        """A cell to its end."""
        return self.ended(self.begin(code, allow_stdin=allow_stdin))

    def ended(self, cell: str) -> Answer:
        """All that comes of a cell, to its end."""
        answer = Answer()
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            answer.take(message)
        reply = self.client.get_shell_msg(timeout=60)
        while reply["parent_header"].get("msg_id") != cell:
            reply = self.client.get_shell_msg(timeout=60)
        answer.status = reply["content"]["status"]
        answer.next_input = "".join(said["text"] for said in reply["content"].get("payload", ()) if "text" in said)
        return answer

    def update_of(self, display_id: str, good: Any) -> dict[str, Any]:
        """The first update of a display that is good, whichever cell it comes from."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            message = self.client.get_iopub_msg(timeout=DEADLINE)
            content = message["content"]
            if message["msg_type"] == "update_display_data" and content["transient"]["display_id"] == display_id and good(content["data"]):
                return dict(content["data"])
        raise AssertionError("no such update came")

    def restart(self) -> None:
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=60)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.manager.is_alive())

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


class Answer:
    """The messages of one cell."""

    def __init__(self) -> None:
        self.status = ""
        self.text = ""
        self.next_input = ""
        self.shown: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.displays: list[str] = []
        self.error: Mapping[str, Any] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            self.text += content["text"]
        elif kind in {"display_data", "execute_result"}:
            self.shown.append(content["data"])
            self.displays.append(content.get("transient", {}).get("display_id", ""))
        elif kind == "update_display_data":
            self.updates.append(content["data"])
        elif kind == "error":
            self.error = content


