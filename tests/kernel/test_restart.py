"""Kernels that are restarted and killed: the workflow is what the notebook says, and runs do not notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.shells import MIME, Kernel
from tests.terminal import Terminal

CELLS = [
    "%load_ext wattle",
    "%%wattle workflow book\nworkers: {fetch: {script: 'echo b a > $WATTLE_OUTPUT_RAW', outputs: [raw.txt]}}",
    "%%wattle worker book/report --in table=clean/table --out text\ntext = ','.join(sorted(table))",
    "%%wattle worker book/clean --in raw=fetch/raw --out table\ntable = raw.read_text().split()",
]


@pytest.fixture
def notebook(place: Terminal) -> Iterator[Kernel]:
    """A kernel that knows its notebook, as one of a Jupyter server does."""
    made = Kernel(place.folder, place.home, JPY_SESSION_NAME=str(place.folder / "book.ipynb"))
    yield made
    made.close()


def saved(place: Terminal) -> dict[str, Any]:
    found: dict[str, Any] = place.ask("show", "book")
    return found


def test_restart_and_run_all_gives_exactly_what_the_notebook_says(notebook: Kernel, place: Terminal) -> None:
    for cell in [*CELLS, "%%wattle worker book/extra\nprint('not kept')"]:
        assert notebook.run(cell).status == "ok"
    assert notebook.run("r = %wattle run book\nr.wait().status").shown[-1]["text/plain"] == "'completed'"
    assert "Stale since the last run: clean, report." in notebook.run(CELLS[3] + " * 2").text
    notebook.restart()
    for cell in CELLS:
        assert notebook.run(cell).status == "ok"
    first = saved(place)
    assert [worker["name"] for worker in first["document"]["workers"]] == ["fetch", "report", "clean"]
    assert first["source"] == str(place.folder / "book.ipynb")
    notebook.restart()
    for cell in CELLS:
        notebook.run(cell)
    assert saved(place)["etag"] == first["etag"]
    plan = notebook.run("p = %wattle plan book --stale --json\n[(w['name'], w['action']) for w in p['workers']]")
    assert plan.shown[0]["text/plain"] == "[('fetch', 'reuse'), ('clean', 'reuse'), ('report', 'reuse')]"


def test_a_kernel_that_is_killed_leaves_its_run_and_another_finds_all_of_it(notebook: Kernel, place: Terminal) -> None:
    notebook.run("%load_ext wattle")
    notebook.run("%%wattle worker lasting/w --out done\n"
                 "import pathlib, time\n"
                 "print('first', flush=True)\n"
                 "while not pathlib.Path('go').exists(): time.sleep(0.02)\n"
                 "print('last')\n"
                 "done = 42")  # fmt: skip
    notebook.run("%wattle run lasting")
    notebook.kill()
    assert place.status("lasting@1")["status"] == "running"
    other = Kernel(place.folder, place.home)
    try:
        other.run("%load_ext wattle")
        shown = other.run("%wattle attach lasting")
        assert shown.shown[0][MIME]["snapshot"]["run"]["status"] == "running"
        (place.folder / "go").touch()
        other.run("%wattle pull lasting/w/done")
        assert other.run("done").shown[0]["text/plain"] == "42"
        assert other.run("%wattle logs lasting/w").text == "first\nlast\n"
    finally:
        other.close()


def test_with_nobody_coordinating_a_run_brings_a_coordinator_that_outlives_the_kernel(terminal: Terminal) -> None:
    kernel = Kernel(terminal.folder, terminal.home)
    try:
        assert "nobody coordinates" in kernel.run("%load_ext wattle").text
        kernel.run("%%wattle run --name alone\nimport pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)")
        kernel.kill()
    finally:
        kernel.close()
    assert terminal.holder()["rank"] == "background"
    assert terminal.status("alone@1")["status"] == "running"
    (terminal.folder / "go").touch()
    assert terminal.wait_for("alone@1", "completed")["workers"][0]["attempt"] == 1
