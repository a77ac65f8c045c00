"""Runs a notebook as a worker: in a kernel of its own, cell by cell, into a copy that grows as it runs.

    given|found PYTHON NAME NOTEBOOK KERNEL FOLDER [KIND NAME TEXT]…          (the words: core/runners.py)

It runs under Wattle's own Python, where nbclient is; the kernel is another process, and its Python another matter:
`kernel:`, else `python:`, else what the notebook says, and for the generic `python3` the Python of whoever started the
run. What cells print goes into the log as they print it; before each cell a line says which, and the progress file how
far it is.

Laws: the copy is written after every cell, by rename, and when the notebook fails or is stopped; a stop ends the kernel
before this process; the end of the log is a traceback that names the cell, and the exit code is 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wattle.core.errors import WattleError
from wattle.runtime import notebook_cells
from wattle.runtime.cell_values import CannotKeep
from wattle.runtime.environment import CouldNotStart, kernel_file, kernel_interpreter
from wattle.runtime.supervisor import processes
from wattle.sdk import worker_here

try:
    import nbformat
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
except ImportError as error:
    sys.exit(f"wattle: notebooks are run by nbclient, and {error.name} is not installed for {sys.executable}\n"
             f"  {sys.executable} -m pip install nbclient nbformat")  # fmt: skip

CELLS = {"code", "markdown", "raw"}
GENERIC = {"", "python", "python2", "python3"}
"""Names of kernels that say nothing about which Python."""
COPY = "notebook"
"""The output that is the executed copy."""
STARTUP_SECONDS = 120
LONGEST_FOLDER = 50
"""Characters of the folder of temporary files, if sockets are to have paths in it. A kernel of ours has no port."""
SHARE = 0.1
"""Of the time goes into writing the copy, at most, while cells run."""


class Failed(Exception):
    """The notebook cannot go on: what is to be said of it, line by line."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def main() -> None:
    """Run the notebook that the words of this process describe."""
    warnings.filterwarnings("ignore", module=r"nbformat|jupyter_client|nbclient|zmq|traitlets")
    logging.disable(logging.CRITICAL)  # what they would say is said here
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")  # cells may print what a locale does not know
    how, python, name, path, kernel, folder, *rest = sys.argv[1:]
    python = shutil.which(python) or python
    ports = list(zip(rest[::3], rest[1::3], rest[2::3], strict=True))
    try:
        notebook = _read(path)
        choice = _choose(notebook, kernel, python, given=how == "given")
        _inject(notebook, ports, name, choice)
        copy = next(text for kind, port, text in ports if port == COPY)
        worked = asyncio.run(_Execution(notebook, path, copy, choice).run(folder or os.path.dirname(path)))
    except Failed as failed:
        sys.exit("\n".join(failed.lines))
    if worked is not None:  # stopped: end as any program that was
        signal.signal(worked, signal.SIG_DFL)
        os.kill(os.getpid(), worked)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  what a worker says is its log


# --- the notebook -------------------------------------------------------------------------------------------------


def _read(path: str) -> Any:
    """The notebook, brought into the newest form; one that is valid but for its metadata is good enough. Raises
    Failed."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        notebook = nbformat.reads(text, as_version=4)
        if not all(isinstance(cell["source"], str) and cell["cell_type"] in CELLS for cell in notebook["cells"]):
            nbformat.validate(notebook)
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001  nbformat trips over strange documents in many ways
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise Failed(f"{path} is not a notebook: {reason}", "  open it in Jupyter and save it again") from None
    notebook.setdefault("metadata", nbformat.NotebookNode())
    for cell in notebook.cells:
        if cell.cell_type == "code":  # what an earlier execution left would pass for this one's
            cell.outputs, cell.execution_count = [], None
    return notebook


def _inject(notebook: Any, ports: notebook_cells.Ports, name: str, choice: KernelSpec) -> None:
    """Put the variables into it. Raises Failed."""
    here = worker_here.here()
    asked = [port for port in ports if port[1] != COPY]
    if choice.language.lower() != "python":
        names = ", ".join(port for kind, port, _ in asked if kind in {"parameter", *notebook_cells.AFTER})
        if names:
            raise Failed(f"{name}: only notebooks of Python have variables of Wattle's, and this one is of "
                         f"{choice.language}: {names}",
                         "  inputs and files are in its environment: WATTLE_INPUT_…, WATTLE_OUTPUT_…")  # fmt: skip
        return
    try:
        before = notebook_cells.given(ports if asked else (), f"{here.address}, attempt {here.attempt}")
    except (OSError, ValueError, CannotKeep) as error:
        raise Failed(f"{name}: its inputs cannot be read: {error}") from None
    after = notebook_cells.kept(ports)
    make = nbformat.v4.new_code_cell
    notebook.cells = notebook_cells.inject(
        notebook.cells, make(before, metadata={"tags": ["injected-parameters"]}) if before else None,
        make(after, metadata={"tags": ["injected-outputs"]}) if after else None)  # fmt: skip


# --- the kernel ---------------------------------------------------------------------------------------------------


class _One(KernelSpecManager):
    """Knows one kernel, under whatever name."""

    def __init__(self, spec: KernelSpec) -> None:
        super().__init__()
        self._spec = spec

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The one."""
        del kernel_name
        return self._spec


def _choose(notebook: Any, wanted: str, python: str, *, given: bool) -> KernelSpec:
    """The kernel that runs it. Raises Failed."""
    metadata = notebook.metadata.get("kernelspec") or {}
    name = wanted or str(metadata.get("name") or "")
    language = metadata.get("language") or (notebook.metadata.get("language_info") or {}).get("name") or "python"
    if wanted or str(language).lower() != "python":
        try:
            return _installed(name)
        except CouldNotStart as error:
            raise Failed(str(error).removeprefix("python: "), "  jupyter kernelspec list shows what is there") from None
    if given:
        if not _has_ipykernel(python):
            raise Failed(f"{python} has no ipykernel, which runs notebooks", f"  {python} -m pip install ipykernel")
        return _of_python(python)
    if name not in GENERIC:
        with contextlib.suppress(CouldNotStart):
            return _installed(name)
        _say(f"wattle: the notebook asks for the kernel {name}, which is not here")
    looked = [candidate for candidate in dict.fromkeys((python, sys.executable)) if candidate]
    for candidate in looked:
        if _has_ipykernel(candidate):
            return _of_python(candidate)
    with contextlib.suppress(CouldNotStart):
        return _installed("python3")
    raise Failed(f"no Python here has ipykernel, which runs notebooks; looked at {', '.join(looked)}",
                 f"  {looked[0]} -m pip install ipykernel    or write kernel: or python:")  # fmt: skip


def _installed(name: str) -> KernelSpec:
    """A kernel by its name, its program as an absolute path. Raises CouldNotStart."""
    file = kernel_file(name, os.environ)
    try:
        spec = KernelSpec.from_resource_dir(str(file.parent))
        spec.argv[0] = str(kernel_interpreter(spec.argv[0], file, os.environ, os.getcwd()))
    except (OSError, ValueError, LookupError, TypeError):
        raise CouldNotStart(f"the kernel {name!r} has no readable {file}") from None
    return spec


def _of_python(python: str) -> KernelSpec:
    return KernelSpec(argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python",
                      display_name=python, resource_dir="")  # fmt: skip


def _has_ipykernel(python: str) -> bool:
    look = "import sys, importlib.util as u; sys.exit(u.find_spec('ipykernel') is None)"
    try:
        done = subprocess.run([python, "-c", look], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


# --- running it ---------------------------------------------------------------------------------------------------


def _private_folder(*, short: bool) -> str:
    """A folder for the kernel's connection, with what killed runners have left beside it taken away."""
    folder = "/tmp" if short and len(tempfile.gettempdir()) > LONGEST_FOLDER else tempfile.gettempdir()  # noqa: S108
    for left in Path(folder).glob("wattle-kernel-*-*") if os.name == "posix" else ():
        pid = left.name.split("-")[2]
        with contextlib.suppress(OSError):
            if pid.isdecimal() and left.stat().st_uid == os.getuid() and not processes.alive(int(pid), 0):
                shutil.rmtree(left)
    return tempfile.mkdtemp(prefix=f"wattle-kernel-{os.getpid()}-", dir=folder)


class _Client(NotebookClient):
    """Says aloud what cells print."""

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """As nbclient does it, after the log has it."""
        if msg["msg_type"] == "stream":
            out = sys.stderr if msg["content"]["name"] == "stderr" else sys.stdout
            out.write(msg["content"]["text"])
            out.flush()
        return super().process_message(msg, cell, cell_index)


class _Execution:
    """One execution of a notebook that is read and has its variables."""

    def __init__(self, notebook: Any, path: str, copy: str, choice: KernelSpec) -> None:
        self._notebook = notebook
        self._path = path
        self._copy = Path(copy)
        ours = "ipykernel_launcher" in choice.argv
        sockets = ours and os.name == "posix"
        self._place = _private_folder(short=sockets)
        self._kernel = AsyncKernelManager(kernel_name=choice.display_name, kernel_spec_manager=_One(choice),
                                          transport="ipc" if sockets else "tcp",
                                          connection_file=os.path.join(self._place, "kernel.json"))  # fmt: skip
        arguments = ["--HistoryManager.hist_file=:memory:"] if ours else []
        self._client = _Client(
            notebook, km=self._kernel, timeout=None, startup_timeout=STARTUP_SECONDS, coalesce_streams=True,
            extra_arguments=arguments, kernel_name=choice.display_name,
        )  # fmt: skip
        self._stopped: int | None = None
        self._wrote_at, self._cost = 0.0, 0.0

    async def run(self, folder: str) -> int | None:
        """Run all cells in this folder; the signal that stopped it, or None. Raises Failed."""
        running = asyncio.ensure_future(self._cells(folder))
        loop = asyncio.get_running_loop()
        for number in {signal.SIGTERM, getattr(signal, "SIGBREAK", signal.SIGTERM)}:
            signal.signal(number, lambda number, _frame: loop.call_soon_threadsafe(self._stop, number, running))
        lines: list[str] = []
        try:
            await running
        except Failed as failed:
            lines += failed.lines
        except asyncio.CancelledError:
            if self._stopped is None:
                raise
        finally:
            await self._end_kernel(now=self._stopped is not None)
        try:
            self._write()
        except Failed as failed:
            lines[:0] = failed.lines if failed.lines[0] not in lines else ()  # the last words are the cell's
        if lines and self._stopped is None:
            raise Failed(*lines)
        return self._stopped

    def _stop(self, number: int, running: asyncio.Future[None]) -> None:
        self._stopped = number
        running.cancel()

    async def _cells(self, folder: str) -> None:
        self._write()
        code = [number for number, cell in enumerate(self._notebook.cells) if _runs(cell)]
        try:
            await self._client.async_start_new_kernel(cwd=folder)
            await self._client.async_start_new_kernel_client()
        except (OSError, RuntimeError) as error:
            raise Failed(f"the kernel {self._kernel.kernel_name} did not start: {error}") from None
        await self._learn_language()
        for done, number in enumerate(code):
            cell = self._notebook.cells[number]
            label = f"cell {done + 1} of {len(code)}"
            _say(f"wattle: {label}: {_first_line(cell.source)}")
            _report(done / len(code), label)
            try:
                await self._client.async_execute_cell(cell, number)
            except CellExecutionError as error:
                raise Failed(*self._told(cell, error)) from None
            except DeadKernelError:
                raise Failed(*self._dead(label, cell)) from None
            if time.monotonic() - self._wrote_at >= self._cost / SHARE:
                self._write()
        self._client.set_widgets_metadata()
        _report(1.0, f"{len(code)} cells")

    async def _learn_language(self) -> None:
        """What the copy says of its language, so that viewers colour it."""
        client = self._client.kc
        assert client is not None
        reply = await self._client.async_wait_for_reply(client.kernel_info())
        if reply is not None and "language_info" in reply["content"]:
            self._notebook.metadata["language_info"] = reply["content"]["language_info"]

    def _told(self, cell: Any, error: CellExecutionError) -> Iterator[str]:
        """The traceback of a cell as it is, and once more in short, as the last words."""
        shown = [output for output in cell.outputs if output.output_type == "error"]
        traceback = "\n".join(shown[-1].traceback) if shown else str(error)
        yield traceback
        sources = {other.execution_count: other.source for other in self._notebook.cells
                   if other.cell_type == "code" and other.get("execution_count")}  # fmt: skip
        place = notebook_cells.place_of(traceback, sources, cell.get("execution_count") or 0)
        if not place.text:
            place = place._replace(text=_first_line(cell.source))
        said = ": ".join(filter(None, (error.ename, notebook_cells.plain(error.evalue)))) or "error"
        yield from notebook_cells.summary(self._path, place, said)

    def _dead(self, label: str, cell: Any) -> Iterator[str]:
        provisioner = self._kernel.provisioner
        code = getattr(getattr(provisioner, "process", None), "returncode", None)
        how = f" by signal {-code}" if code is not None and code < 0 else f" with exit code {code}" if code else ""
        much = "; is there enough memory?" if code == -9 else ""
        yield f"the kernel ended{how} in {label}: {_first_line(cell.source)}{much}"

    async def _end_kernel(self, *, now: bool) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            if self._client.kc is not None:
                self._client.kc.stop_channels()
            if self._kernel.has_kernel:
                await self._kernel.shutdown_kernel(now=now)
        shutil.rmtree(self._place, ignore_errors=True)

    def _write(self) -> None:
        """The copy as it is now, whole or as it was before."""
        begun = time.monotonic()
        draft = self._copy.with_name(f".{self._copy.name}.{os.getpid()}~")
        try:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(nbformat.writes(self._notebook) + "\n", encoding="utf-8")
            os.replace(draft, self._copy)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise Failed(f"the executed copy cannot be written to {self._copy}: {error.strerror}") from None
        self._wrote_at = time.monotonic()
        self._cost = self._wrote_at - begun


def _runs(cell: Mapping[str, Any]) -> bool:
    skipped = "skip-execution" in cell.get("metadata", {}).get("tags", [])
    return cell["cell_type"] == "code" and bool(cell["source"].strip()) and not skipped


def _first_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines()]
    telling = next((line for line in lines if line and not line.startswith("#")), "")
    if lines[0].startswith(notebook_cells.OURS):
        telling = lines[0]
    return telling if len(telling) <= 80 else telling[:79] + "…"


def _report(fraction: float, text: str) -> None:
    with contextlib.suppress(WattleError):
        worker_here.progress(fraction, text)


