"""Notebooks in real kernels: how they are chosen, stopped and killed, and what is said when they cannot be run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.helpers import unmeasured, wait_until
from tests.terminal import running
from wattle.runtime import notebook_runner
from wattle.runtime.notebook_runner import Failed
from wattle.runtime.resolver import NOTEBOOK_PROGRAM, PACKAGE_ROOT
from wattle.sdk import worker_here

PYTHON3 = {"name": "python3", "language": "python", "display_name": "Python 3"}


class Notebook:
    """A notebook in a folder of its own, run as a worker's program."""

    def __init__(self, folder: Path, temporary: Path, *sources: str) -> None:
        self.folder = folder
        self.temporary = temporary
        self.path = folder / "report.ipynb"
        self.copy = folder / "run" / "report.ipynb"
        self.made = new_notebook(cells=[new_code_cell(source) for source in sources], metadata={"kernelspec": PYTHON3})
        self.path.write_text(nbformat.writes(self.made))

    def begin(self, *ports: str, how: str = "given", python: str = sys.executable,
              program: str = NOTEBOOK_PROGRAM) -> subprocess.Popen[str]:  # fmt: skip
        words = [sys.executable, "-c", program, PACKAGE_ROOT, how, python, "report", str(self.path), "", str(self.folder),
                 *ports, "file", "notebook", str(self.copy)]  # fmt: skip
        env = {**unmeasured(), "WATTLE_WORKFLOW_NAME": "nb", "WATTLE_WORKER_NAME": "report", "WATTLE_RUN": "1",
               "WATTLE_ATTEMPT": "1", "WATTLE_RUN_DIR": str(self.folder / "run"), "PYTHONUNBUFFERED": "1",
               "TMPDIR": str(self.temporary)}  # fmt: skip
        return subprocess.Popen(words, cwd=self.folder, env=env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip

    def outputs(self) -> list[Any]:
        """What the cells of the copy show."""
        return [cell["outputs"] for cell in json.loads(self.copy.read_text())["cells"]]


WAITS = "import os, pathlib, time\nprint('begun')\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(100)"


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Notebook]:
    """One whose second cell waits, once its kernel has said who it is."""
    with TemporaryDirectory(prefix="w") as temporary:  # short: the path of a socket is
        yield Notebook(tmp_path, Path(temporary), "x = 1\nx", WAITS)


def kernel_of(notebook: Notebook) -> int:
    place = notebook.folder / "pid"
    return int(wait_until(lambda: place.exists() and place.read_text(), 60))


# ---- its end ----------------------------------------------------------------------------------------------------


def test_a_stop_ends_the_kernel_and_keeps_what_has_run(waiting: Notebook) -> None:
    process = waiting.begin()
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3)]
    assert said == ["wattle: cell 1 of 2: x = 1\n", "wattle: cell 2 of 2: import os, pathlib, time\n", "begun\n"]
    kernel = kernel_of(waiting)
    process.terminate()
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == -signal.SIGTERM
    assert not running(kernel)
    first, second = waiting.outputs()
    assert first[0]["data"]["text/plain"] == ["1"]
    assert second[0]["text"] == ["begun\n"]
    assert json.loads((waiting.folder / "run" / "report" / ".progress.json").read_text()) == {
        "attempt": 1, "fraction": 0.5, "text": "cell 2 of 2"}  # fmt: skip
    assert list(waiting.temporary.iterdir()) == []


def test_what_a_killed_runner_left_for_its_kernel_is_taken_away_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name in (f"wattle-kernel-{gone.pid}-x", f"wattle-kernel-{os.getpid()}-y", "wattle-kernel-other-z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernel.json-1").touch()
    made = notebook_runner._private_folder(short=False)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"wattle-kernel-{os.getpid()}-y", "wattle-kernel-other-z", os.path.basename(made)}  # fmt: skip
    assert os.stat(made).st_mode & 0o777 == 0o700


def test_a_kernel_that_dies_is_told_with_its_cell_and_its_signal(waiting: Notebook) -> None:
    process = waiting.begin()
    os.kill(kernel_of(waiting), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == ("the kernel ended by signal 9 in cell 2 of 2: import os, pathlib, time; "
                                     "is there enough memory?")  # fmt: skip
    assert waiting.outputs()[0][0]["data"]["text/plain"] == ["1"]


def test_a_copy_that_cannot_be_written_is_told_before_a_cell_runs(waiting: Notebook) -> None:
    waiting.copy.parent.write_text("a file where a folder is needed")
    said, _ = waiting.begin().communicate(timeout=60)
    assert said == f"the executed copy cannot be written to {waiting.copy}: File exists\n"


# ---- what cannot be run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "reason"), [
    ("{", "is not a notebook: Notebook does not appear to be JSON"), ("[]", "is not a notebook"),
    ('{"cells": [{"cell_type": "odd"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is not a notebook"),
    ("\xff", "is not a notebook"), ("{}", "is not a notebook"), ('{"cells": [{"source": ""}]}', "is not a notebook"),
])  # fmt: skip
def test_what_is_no_notebook_is_told(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Failed) as failed:
        notebook_runner._read(str(path))
    assert failed.value.lines[0].startswith(f"{path} {reason}")
    assert failed.value.lines[1] == "  open it in Jupyter and save it again"


def test_a_notebook_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"none\.ipynb cannot be read: No such file or directory"):
        notebook_runner._read(str(tmp_path / "none.ipynb"))


def test_what_an_earlier_execution_left_is_not_taken_over(tmp_path: Path) -> None:
    cell = new_code_cell("x", outputs=[new_output("stream", text="old")], execution_count=7)
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({**new_notebook(cells=[cell]), "metadata": {"kernelspec": None}}))
    (read,) = notebook_runner._read(str(path)).cells
    assert (read.source, read.outputs, read.execution_count) == ("x", [], None)


def test_an_older_form_is_read(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "collapsed": False, "input": "x", "language": "python", "metadata": {}, "outputs": []}
    old = {"metadata": {"name": "old"}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": [cell], "metadata": {}}]}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old))
    assert notebook_runner._read(str(path)).cells[0].source == "x"


def test_without_nbclient_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "nbclient.py").write_text("raise ModuleNotFoundError('no', name='nbclient')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'hidden')!r}); from wattle.runtime.notebook_runner import main"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=unmeasured(),
                          cwd=PACKAGE_ROOT)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"wattle: notebooks are run by nbclient, and nbclient is not installed for {sys.executable}",
        f"  {sys.executable} -m pip install nbclient nbformat",
    ]  # fmt: skip


# ---- which kernel ---------------------------------------------------------------------------------------------------


def chosen(name: str = "python3", *, language: str = "python", wanted: str = "", python: str = sys.executable,
           given: bool = False) -> KernelSpec:  # fmt: skip
    kernelspec = {"name": name, "language": language, "display_name": name}
    notebook = new_notebook(metadata={"kernelspec": kernelspec} if name else {})
    return notebook_runner._choose(notebook, wanted, python, given=given)


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of kernels: `geo` of Python, `ir` of R."""
    for name, language, argv in (("geo", "python", ["/geo/bin/python", "-m", "k"]), ("ir", "R", [sys.executable, "--slave"])):
        folder = tmp_path / "kernels" / name
        folder.mkdir(parents=True)
        program = sys.executable if argv[0] == "/geo/bin/python" else argv[0]
        (folder / "kernel.json").write_text(json.dumps(
            {"argv": [program, *argv[1:]], "display_name": name, "language": language}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    return tmp_path


OURS = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


def test_the_kernel_that_is_named_comes_first_then_the_python_then_the_notebooks_own(kernels: Path) -> None:
    assert chosen(wanted="geo", given=True).argv == [sys.executable, "-m", "k"]
    assert chosen("geo", given=True).argv == OURS
    assert chosen("geo").argv == [sys.executable, "-m", "k"]
    assert chosen().argv == OURS
    assert chosen("").argv == OURS


def test_a_notebook_of_another_language_keeps_its_kernel_whatever_python_is_named(kernels: Path) -> None:
    assert chosen("ir", language="R", given=True).language == "R"
    with pytest.raises(Failed, match="there is no kernel 'julia'; there is geo, ir"):
        chosen("julia", language="julia")


def test_a_kernel_of_python_that_is_not_here_is_replaced_and_that_is_said(kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen("gone").argv == OURS
    assert capsys.readouterr().out == "wattle: the notebook asks for the kernel gone, which is not here\n"


def test_a_kernel_that_is_asked_for_and_not_here_is_an_error_that_lists_those_that_are(kernels: Path) -> None:
    with pytest.raises(Failed) as failed:
        chosen(wanted="goe")
    assert failed.value.lines[0].startswith("there is no kernel 'goe'; there is geo, ir")


def test_a_python_without_ipykernel_says_what_mends_it(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(Failed) as failed:
        chosen(python=str(bare), given=True)
    assert failed.value.lines == (f"{bare} has no ipykernel, which runs notebooks", f"  {bare} -m pip install ipykernel")
    assert chosen(python=str(bare)).argv == OURS
    assert chosen(python="").argv == OURS


def test_a_notebook_of_another_language_is_refused_variables_that_it_could_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def inject(ports: Sequence[tuple[str, str, str]]) -> list[Any]:
        notebook = new_notebook(cells=[new_code_cell("x")])
        notebook_runner._inject(notebook, ports, "report", KernelSpec(language="R"))
        return list(notebook.cells)

    for name, value in {"WATTLE_WORKFLOW_NAME": "nb", "WATTLE_WORKER_NAME": "report", "WATTLE_RUN": "1", "WATTLE_ATTEMPT": "1"}.items():
        monkeypatch.setenv(name, value)
    worker_here.forget()
    try:
        assert len(inject([("file", "raw", "/raw"), ("file", "notebook", "/n")])) == 1
        with pytest.raises(Failed, match=r"only notebooks of Python have variables of Wattle's, and this one is of R: n, t\n"):
            inject([("parameter", "n", "/n.json"), ("save", "t", "/t"), ("file", "notebook", "/n")])
    finally:
        worker_here.forget()
