"""A notebook's pipeline without a kernel: what CI runs is what its cells say, and nothing of it is executed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal
from wattle.cli.notebooks import Book
from wattle.core.errors import InvalidRequest

REPORT = "%%wattle worker etl/report --in table=clean/table --out text\ntext = ','.join(sorted(table))"
CLEAN = "%%wattle worker etl/clean --in raw=fetch/raw --out table\n#| timeout: 1m\ntable = raw.read_text().split()"
FLOW = "%%wattle workflow etl\nparams: {words: {{ words }}}\nworkers:\n  fetch:\n    script: echo {{ extra }} b a > $WATTLE_OUTPUT_RAW\n    outputs: [raw.txt]\n"
PLAIN = "open('executed', 'w')\nwords = ['x']\nextra = 'c'"


def write(folder: Path, *cells: str, name: str = "pipeline.ipynb") -> str:
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {},
            "cells": [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
                      for cell in cells]}  # fmt: skip
    (folder / name).write_text(json.dumps(book))
    return name


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    made = Terminal(tmp_path_factory.mktemp("books"))
    assert made.wattle("up").returncode == 0
    yield made
    made.close()


def test_a_notebook_runs_from_the_command_line_and_is_not_executed(there: Terminal) -> None:
    name = write(there.folder, PLAIN, REPORT, CLEAN, FLOW, "%wattle run etl")
    done = there.wattle("run", name)
    assert done.returncode == 0, done.stdout + done.stderr
    path = there.ask("get", "etl/report/text")["path"]
    assert Path(path).read_text() == "a,b,c"
    assert not (there.folder / "executed").exists()


def test_it_is_checked_planned_drawn_and_exported_like_any_document(there: Terminal) -> None:
    name = write(there.folder, PLAIN, REPORT, CLEAN, FLOW)
    assert "3 workers" in there.wattle("validate", name).stdout
    assert "3 processes in 3 levels" in there.wattle("plan", name).stdout
    assert there.wattle("graph", name).stdout.split() == ["○", "fetch", "─", "○", "clean", "─", "○", "report"]
    (there.folder / "etl.yaml").unlink(missing_ok=True)
    assert there.wattle("export", name, "etl.yaml").returncode == 0
    text = (there.folder / "etl.yaml").read_text()
    assert str(there.folder) not in text
    assert "text = ','.join(sorted(table))" in text
    assert "3 workers" in there.wattle("validate", "etl.yaml").stdout


def test_a_problem_names_the_cell_and_not_a_line_of_something_else(there: Terminal) -> None:
    name = write(there.folder, PLAIN, CLEAN.replace("fetch/raw", "fetsh/raw"), FLOW, name="bad.ipynb")
    done = there.wattle("run", name)
    assert done.returncode == 2
    assert "bad.ipynb  cell 2: workers.clean.inputs.raw" in done.stderr
    assert "did you mean" in done.stderr
    assert "nothing was saved" in done.stderr


@pytest.mark.parametrize(("cells", "said"), [
    (["%%wattle worker etl/a --push df\nx = df"], "cell 1: etl/a is given df by --push"),
    (["x = f()", "%%wattle workflow etl\nname: {{ x }}"], "cell 2: line 2: {{ x }} cannot be filled in"),
    (["%%wattle worker etl/a --ouput x\nx = 1"], "cell 1: wattle worker: there is no option --ouput"),
    (["%%wattle worker etl\nx = 1"], "'etl' is not the name of a worker"),
    (["%%wattle workflow etl\nworkers: {a: {comand: x}}"], "cell 1: line 2: workers.a"),
    (["%%wattle worker etl/a\n#| nonsense\nx = 1"], "cell 1: line 1: '#| nonsense' is no option"),
    (["print(1)"], "defines no workflow"),
    (["%%wattle worker a/a\n1", "%%wattle worker b/b\n1"], "defines a and b; which one?"),
])  # fmt: skip
def test_what_cannot_be_read_without_a_kernel_is_said_with_its_cell(cells: list[str], said: str) -> None:
    text = json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})
    with pytest.raises(InvalidRequest) as caught:
        Book(text, "p.ipynb", "/tmp", "/tmp/p.ipynb").document(None)
    assert said in caught.value.message


def test_of_several_workflows_one_is_meant_by_name(there: Terminal) -> None:
    name = write(there.folder, "%%wattle worker one/a\nprint(1)", "%%wattle worker two/b\nprint(2)", name="two.ipynb")
    done = there.wattle("run", name, "--name", "two")
    assert done.returncode == 0, done.stderr
    assert there.status("two")["workers"][0]["name"] == "b"
