"""The notebooks that people read first, and the Binder that opens them: whole, clean, and true to the project."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.house.sources import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
ALL = sorted(FOLDER.glob("*.ipynb"))
HTML_LIMIT = 200_000
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return found


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


@each
def test_it_was_executed_from_its_first_cell_to_its_last(path: Path) -> None:
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), "python notebooks/refresh.py"


@each
def test_only_what_is_meant_to_fail_has_failed(path: Path) -> None:
    for cell in cells(path):
        failed = any(output["output_type"] == "error" for output in cell.get("outputs", []))
        assert failed == ("raises-exception" in cell["metadata"].get("tags", [])), "".join(cell["source"])


@each
def test_nothing_of_the_machine_that_executed_it_is_in_it(path: Path) -> None:
    text = path.read_text()
    assert not re.findall(r"/(?:tmp|home|root|Users|var)/[\w./-]+|vnd\.wattle|vnd\.jupyter|\bstore_id\b", text)
    assert len(text) < 1_000_000
    assert not any(cell["metadata"].keys() - {"tags"} for cell in cells(path))


def test_the_list_of_notebooks_names_them_all_and_links_to_what_is_there() -> None:
    for text_file in (FOLDER / "README.md", *ALL):
        text = text_file.read_text()
        for target in re.findall(r"\]\(([\w./-]+)\)", text):
            assert (FOLDER / target).exists(), f"{text_file.name}: {target}"
    listed = (FOLDER / "README.md").read_text()
    assert [path.name for path in NOTEBOOKS if f"({path.name})" not in listed] == []


def test_what_they_use_is_what_the_examples_extra_brings() -> None:
    brought = {re.split(r"[<>=\[]", text)[0] for text in [*project()["optional-dependencies"]["examples"],
                                                         *project()["dependencies"]]}  # fmt: skip
    names = {"sklearn": "scikit-learn", "pandas": "pandas", "matplotlib": "matplotlib"}
    for path in ALL:
        for imported in re.findall(r'"\s*(?:from|import) (sklearn|pandas|matplotlib)', path.read_text()):
            assert names[imported] in brought, path.name


def test_binder_installs_this_package_as_it_is_and_a_python_that_it_runs_on() -> None:
    wanted = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    assert ".[examples]" in wanted
    lab = next(line for line in wanted if line.startswith("jupyterlab"))
    assert lab in project()["optional-dependencies"]["test"], "the JupyterLab that is tested"
    version = re.fullmatch(r"python-3\.(\d+)\s*", (ROOT / "binder" / "runtime.txt").read_text())
    floor = re.fullmatch(r">=3\.(\d+)", project()["requires-python"])
    assert version is not None
    assert floor is not None
    assert int(version[1]) >= int(floor[1])
    post = ROOT / "binder" / "postBuild"
    assert post.read_text().startswith("#!/bin/bash\n")
    assert stat.S_IMODE(post.stat().st_mode) & 0o111
    assert not (ROOT / "binder" / "environment.yml").exists(), "one of two forms"
