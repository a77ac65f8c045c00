"""Notebooks as workers, with the real command line, real kernels and real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.helpers import wait_until
from tests.terminal import Terminal, running

FLOW = f"""\
name: nb
params: {{day: "2026-11-23"}}
python: {sys.executable}
on_failure: continue
workers:
  train:
    each: {{lr: [0.1, 1]}}
    cell: "fit = dict(twice=lr * 2)"
    outputs: {{fit: {{type: object}}}}
  report:
    notebook: books/report.ipynb
    parameters: {{day: "${{params.day}}", top: [1, null, "${{params.day}}!"]}}
    inputs: {{fits: train/fit}}
    outputs: {{fig: {{type: file, name: f.txt}}, best: {{type: object}}, score: {{type: value}}}}
  after: {{command: 'echo ${{inputs.score}} ${{inputs.book}}', inputs: {{score: report/score, book: report/notebook}}}}
  bad:
    notebook: books/bad.ipynb
    inputs: {{fits: train/fit}}
    outputs: {{notebook: kept/bad.ipynb}}
"""
REPORT = [
    new_markdown_cell("# A report"),
    new_code_cell("day, top = None, 3", metadata={"tags": ["parameters"]}),
    new_code_cell("import os\nprint(day, top, os.path.basename(os.getcwd()))"),
    new_code_cell("fig.write_text('drawn')\nbest = max(row['fit']['twice'] for row in fits)\nscore = best / 2\nbest"),
]
BAD = [
    new_code_cell("x = 1\nprint('before')"), new_code_cell("def price(row):\n    return row['pricee']"),
    new_code_cell("price(fits[0])"), new_code_cell("never = 1"),
]  # fmt: skip
WAITS = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(100)"


def write(folder: Path, name: str, cells: list[Any]) -> None:
    folder.mkdir(exist_ok=True)
    kernelspec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    (folder / name).write_text(nbformat.writes(notebook))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A state root in which `nb` has run once."""
    made = Terminal(tmp_path_factory.mktemp("notebooks"))
    (made.folder / "wattle.yaml").write_text(FLOW)
    write(made.folder / "books", "report.ipynb", REPORT)
    write(made.folder / "books", "bad.ipynb", BAD)
    assert made.wattle("up").returncode == 0
    ran = made.wattle("run", timeout=110)
    (made.folder / "said.txt").write_text(ran.stdout + ran.stderr)
    yield made
    made.close()


def copy_of(path: Path) -> list[tuple[int | None, str]]:
    """The code cells of a copy: their numbers and what they printed or showed."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    shown = [cell["outputs"][0] if cell["outputs"] else {} for cell in cells]
    texts = ["".join(one.get("text") or one.get("data", {}).get("text/plain") or one.get("ename") or "") for one in shown]
    return list(zip([cell["execution_count"] for cell in cells], texts, strict=True))


def test_inputs_parameters_and_outputs_are_variables_of_the_notebook(done: Terminal) -> None:
    run = done.folder / "wattle-runs" / "nb" / "1"
    printed = "2026-11-23 [1, None, '2026-11-23!'] books\n"
    assert copy_of(run / "report" / "report.ipynb") == [(1, ""), (2, ""), (3, printed), (4, "2"), (5, "")]
    assert (run / "report" / "f.txt").read_text() == "drawn"
    assert json.loads((run / "report" / "best.json").read_text()) == 2
    assert done.wattle("logs", "nb@1/after").stdout == f"1.0 {run}/report/report.ipynb\n"


def test_its_log_says_which_cell_runs_and_what_it_prints_in_true_order(done: Terminal) -> None:
    assert done.wattle("logs", "nb@1/report").stdout.splitlines() == [
        "wattle: cell 1 of 5: day, top = None, 3",
        "wattle: cell 2 of 5: # Set by Wattle: nb@1/report, attempt 1",
        "wattle: cell 3 of 5: import os",
        "2026-11-23 [1, None, '2026-11-23!'] books",
        "wattle: cell 4 of 5: fig.write_text('drawn')",
        "wattle: cell 5 of 5: # Kept by Wattle: best, score",
    ]
    progress = json.loads((done.folder / "wattle-runs" / "nb" / "1" / "report" / ".progress.json").read_text())
    assert progress == {"attempt": 1, "fraction": 1.0, "text": "5 cells"}


def test_the_cell_that_failed_its_line_and_its_error_are_the_workers_and_the_copy_is_kept(done: Terminal) -> None:
    said = (done.folder / "said.txt").read_text().splitlines()
    start = next(number for number, line in enumerate(said) if line.startswith("✗ nb@1/bad  failed: exit 1"))
    assert said[start + 1 : start + 3] == ["    bad.ipynb, cell 3, line 2:  return row['pricee']", "    KeyError: 'pricee'"]
    assert copy_of(done.folder / "kept" / "bad.ipynb") == [
        (1, ""), (2, "before\n"), (3, ""), (4, "KeyError"), (None, "")]  # fmt: skip


def test_a_runner_that_is_killed_takes_its_kernel_with_it(done: Terminal) -> None:
    write(done.folder / "waits", "waits.ipynb", [new_code_cell(WAITS)])
    (done.folder / "waits.yaml").write_text(
        f"name: waits\npython: {sys.executable}\nworkers: {{w: {{notebook: waits/waits.ipynb}}}}\n")
    done.begin("run", "waits.yaml")
    place = done.folder / "waits" / "pid"
    kernel = int(wait_until(lambda: place.exists() and place.read_text(), 60))
    os.kill(done.ask("show", "waits@1/w")["attempts"][0]["pid"], signal.SIGKILL)
    failed = done.wait_for("waits@1", "failed")
    assert failed["workers"][0]["reason"] == "signal"
    assert not running(kernel)
