"""Where nobody sits before the kernel: notebooks wait for their runs, and fail when a run fails."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.kernel.shells import MIME
from tests.terminal import REPOSITORY, Terminal

DEFINE = "%load_ext wattle\nfrom pathlib import Path"
MAKE = "%%wattle worker {flow}/make --out data\n{body}"
USE = "%%wattle worker {flow}/use --in data=make/data --out total\ntotal = sum(data)"


def book(flow: str, body: str) -> Any:
    cells = [DEFINE, USE.format(flow=flow), MAKE.format(flow=flow, body=body), f"%wattle run {flow}",
             f"%wattle pull {flow}/use/total\nPath('{flow}.txt').write_text(str(total))"]  # fmt: skip
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


@pytest.fixture
def variables(place: Terminal, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the tools start kernels with."""
    given = {"WATTLE_HOME": str(place.home), "PYTHONPATH": str(REPOSITORY), "PYDEVD_DISABLE_FILE_VALIDATION": "1",
             "IPYTHONDIR": str(place.folder / "ipython")}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WATTLE_WAIT", raising=False)
    return {**os.environ, **given}


def executed(made: Any, place: Terminal) -> Any:
    found: Any = NotebookClient(made, timeout=60, resources={"metadata": {"path": str(place.folder)}}).execute()
    return found


@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_a_notebook_waits_and_keeps_the_final_picture(place: Terminal, variables: dict[str, str]) -> None:
    made = executed(book("quiet", "data = [1, 2, 3]"), place)
    assert (place.folder / "quiet.txt").read_text() == "6"
    (shown,) = [output["data"] for output in made.cells[3].outputs if output.output_type == "display_data"]
    assert shown[MIME]["snapshot"]["run"]["status"] == "completed"
    assert "completed in" in shown["text/plain"]
    assert shown["image/svg+xml"].startswith("<svg")
    nbformat.validate(made)


@pytest.mark.filterwarnings("ignore:Kernel is running over TCP")
def test_a_notebook_whose_run_fails_fails_with_what_failed(place: Terminal, variables: dict[str, str]) -> None:
    made = book("broken", "data = [1] + None")
    with pytest.raises(CellExecutionError) as caught:
        executed(made, place)
    assert caught.value.ename == "RunFailed"
    assert "/runs.py" not in str(caught.value)
    assert "✗ broken@1/make  failed: exit 1" in caught.value.evalue
    assert "make, line 1:  data = [1] + None" in caught.value.evalue
    assert "TypeError" in caught.value.evalue
    assert "/wattle/" not in str(caught.value)
    shown: list[Any] = [output["data"][MIME] for output in made.cells[3].outputs if output.output_type == "display_data"]
    assert [data["snapshot"]["run"]["status"] for data in shown] == ["failed"]


def tool(name: str, path: Path) -> list[str]:
    if name == "papermill":
        return [sys.executable, "-m", "papermill", path.name, f"out-{path.name}"]
    return [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", path.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nbconvert", "papermill"])
@pytest.mark.parametrize(("body", "good"), [("data = [4, 5]", True), ("data = [1] + None", False)], ids=["pass", "fail"])
def test_other_tools_pass_and_fail_with_the_run(place: Terminal, variables: dict[str, str], name: str, body: str, good: bool) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install {name}")
    flow = f"{name}-{'good' if good else 'bad'}"
    path = place.folder / f"{flow}.ipynb"
    nbformat.write(book(flow, body), path)  # type: ignore[no-untyped-call]
    done = subprocess.run(tool(name, path), cwd=place.folder, env=variables, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode == 0) is good, done.stderr[-3000:]
    if good:
        assert (place.folder / f"{flow}.txt").read_text() == "9"
        if name == "nbconvert":
            assert 'data-mime-type="image/svg+xml"' in path.with_suffix(".html").read_text()
    else:
        assert f"✗ {flow}@1/make  failed: exit 1" in done.stderr
        assert place.status(flow)["status"] == "failed"
