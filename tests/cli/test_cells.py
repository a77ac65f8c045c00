"""Cells in a workflow, from the document to what they leave, with the real command line and real processes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import REPOSITORY, Terminal
from wattle.core.document import parse, unavailable
from wattle.runtime import cell_values

FLOW = f"""\
name: cells
params: {{n: 3}}
python: {sys.executable}
workers:
  fetch:
    cell: |
      import sys
      raw = list(range(int(sys.argv[1])))
    args: ["${{params.n}}"]
    outputs: {{raw: {{type: object}}}}
  train:
    each: {{lr: [0.1, 1]}}
    cell: |
      fit = {{"lr": lr, "sum": sum(raw) * lr}}
      plot.write_text("a picture")
      score = fit["sum"]
    inputs: {{raw: fetch/raw}}
    outputs: {{fit: {{type: object}}, plot: {{type: file, name: p.png}}, score: {{type: value}}}}
  report:
    cell: |
      best = max(fits, key=lambda row: row["fit"]["sum"])
      shown = [row["plot"].read_text() for row in plots] + [row["score"] for row in scores] + pushed
    inputs: {{fits: train/fit, scores: train/score, plots: train/plot, pushed: {{object: pushed.json}}}}
    outputs: {{best: {{type: object}}, shown: {{type: object}}}}
  after:
    command: cat ${{inputs.shown}}
    inputs: {{shown: report/shown}}
"""
FAILS = f"""\
name: fails
python: {sys.executable}
on_failure: continue
workers:
  price:
    each: {{x: [1]}}
    cell: |
      def price(row):
          return row["pricee"]
      price({{}})
  broken: {{cell: "x = 1\\ny = = 2\\n"}}
  unkept: {{cell: "table = {{1}}", outputs: {{table: {{type: object}}}}}}
  unread: {{cell: "1", inputs: {{raw: {{object: gone.npy}}}}}}
  missing:
    command: "true"
    outputs: {{x: {{type: object}}}}
  needs_it: {{cell: "1", inputs: {{x: missing/x}}}}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A state root in which `cells` has run once."""
    made = Terminal(tmp_path_factory.mktemp("cells"))
    (made.folder / "wattle.yaml").write_text(FLOW)
    (made.folder / "fails.yaml").write_text(FAILS)
    cell_values.save(["outside"], str(made.folder / "pushed"))
    assert made.wattle("up").returncode == 0
    ran = made.wattle("run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    yield made
    made.close()


def test_variables_go_from_cell_to_cell_and_rows_bring_each_their_object(done: Terminal) -> None:
    run = done.folder / "wattle-runs" / "cells" / "1"
    assert cell_values.load(str(run / "report" / "best.json")) == {"lr": 1, "fit": {"lr": 1, "sum": 3}}
    shown = ["a picture", "a picture", pytest.approx(0.3), 3, "outside"]
    assert json.loads(done.wattle("logs", "cells@1/after").stdout) == shown
    assert json.loads((run / "train.1" / "score.json").read_text()) == pytest.approx(0.3)


def test_an_object_is_got_by_its_port_and_listed_with_its_file(done: Terminal) -> None:
    path = done.folder / "wattle-runs" / "cells" / "1" / "train.2" / "fit.json"
    assert done.wattle("get", "cells@1/train.2/fit").stdout.strip() == str(path)
    told = done.ask("get", "cells@1/train.2/fit")
    assert (told["type"], told["path"], told["exists"], told["size"]) == ("object", str(path), True, path.stat().st_size)
    shown = done.ask("show", "cells@1/train.2")
    assert {port["name"]: port["path"] for port in shown["outputs"]}["fit"] == str(path)
    assert [port["type"] for port in shown["inputs"]] == ["object"]


def test_a_rerun_takes_over_what_is_as_it_was_recorded_and_makes_the_rest_again(done: Terminal) -> None:
    again = done.wattle("rerun", "cells@1", "--from", "report")
    assert again.returncode == 0, again.stdout + again.stderr
    reused = {worker["name"] for worker in done.ask("status", "cells@2")["workers"] if worker["reused_from"]}
    assert reused == {"fetch", "train.1", "train.2"}
    changed = done.folder / "wattle-runs" / "cells" / "1" / "train.1" / "fit.json"
    changed.write_text('{"lr": 0.1, "sum": 9}')
    assert done.wattle("rerun", "cells@1", "--from", "report").returncode == 0
    reused = {worker["name"] for worker in done.ask("status", "cells@3")["workers"] if worker["reused_from"]}
    assert reused == {"fetch", "train.2"}


def test_every_failure_of_a_cell_says_where_and_what(done: Terminal) -> None:
    ran = done.wattle("run", "fails.yaml")
    assert ran.returncode == 1
    said = [line.rstrip() for line in ran.stdout.splitlines()]

    def below(worker: str) -> list[str]:
        start = next(number for number, line in enumerate(said) if line.startswith(f"✗ fails@1/{worker}  failed"))
        return [said[start].partition("failed: ")[2].partition(" after")[0], *said[start + 1 : start + 3]]

    assert below("price.1") == ["exit 1", '    price, line 2:  return row["pricee"]', "    KeyError: 'pricee'"]
    assert below("broken") == ["exit 1", "    broken, line 2:  y = = 2", "    SyntaxError: invalid syntax"]
    assert below("unkept") == ["exit 1", "    unkept: the output table is of the type set, which cannot be kept",
                               "      table = sorted(table)"]
    assert below("unread")[0].startswith(f"its input file {done.folder}/gone.npy does not exist")
    (missing,) = [worker for worker in done.ask("status", "fails@1")["workers"] if worker["name"] == "missing"]
    assert (missing["reason"], missing["message"]) == ("output-missing", "it ended well, but did not write x, which others need")


def test_the_example_of_the_page_about_cells_is_sound() -> None:
    page = (REPOSITORY / "docs" / "cells.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(name: .*?)^```", page, re.MULTILINE | re.DOTALL)
    parsed = parse(text, "yaml", base_dir="/")
    assert parsed.warnings == []
    assert unavailable(parsed.workflow) == []


def test_the_interpreter_of_a_cell_is_the_one_that_is_named(done: Terminal, tmp_path: Path) -> None:
    python = tmp_path / "python-of-mine"
    python.symlink_to(sys.executable)
    (done.folder / "which.yaml").write_text(
        f"name: which\npython: {python}\nworkers:\n  a: {{cell: 'import sys; print(sys.executable)'}}\n")
    assert done.wattle("run", "which.yaml").returncode == 0
    assert done.wattle("logs", "which/a").stdout.strip() == str(python)
