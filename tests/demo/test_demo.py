"""The demo: what it writes, and its scripts for real on this Python's own library."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from wattle.core.document import parse
from wattle.core.errors import Conflict, InvalidRequest
from wattle.demo.writing import FILES, write_demo


def test_it_writes_a_workflow_and_five_scripts(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    assert write_demo(str(folder)) == 6
    assert sorted(os.listdir(folder)) == sorted(FILES)


def test_a_second_time_it_writes_nothing_and_a_missing_file_comes_back(tmp_path: Path) -> None:
    write_demo(str(tmp_path))
    assert write_demo(str(tmp_path)) == 0
    (tmp_path / "chart.py").unlink()
    assert write_demo(str(tmp_path)) == 1


def test_an_edited_file_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_demo(str(tmp_path))
    (tmp_path / "wattle.yaml").write_text("name: mine\n")
    (tmp_path / "chart.py").unlink()
    with pytest.raises(Conflict, match=r"wattle.yaml in .* is not as the demo wrote it") as told:
        write_demo(str(tmp_path))
    assert (tmp_path / "wattle.yaml").read_text() == "name: mine\n"
    assert not (tmp_path / "chart.py").exists()
    assert "wattle run" in told.value.hint


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(InvalidRequest, match="cannot be used"):
        write_demo(str(tmp_path / "demo"))


def test_its_document_is_valid_and_has_nine_processes(tmp_path: Path) -> None:
    write_demo(str(tmp_path))
    workflow = parse((tmp_path / "wattle.yaml").read_text(), "yaml", base_dir=str(tmp_path)).workflow
    assert [worker.name for worker in workflow.workers] == ["list", "parse", "merge", "imports", "chart", "report"]


def test_its_scripts_report_on_this_python(tmp_path: Path) -> None:
    write_demo(str(tmp_path))
    names = ("modules.json", "library.json", "imports.json", "chart.svg", "report.md")
    places = {name: str(tmp_path / name) for name in names}
    said = script(tmp_path, "list.py", "--shards", "4", "--out", places["modules.json"])
    assert said.endswith("modules in 4 shards\n")
    shards = few(places["modules.json"])
    rows = []
    for shard in range(1, 5):
        facts = str(tmp_path / f"facts{shard}.json")
        script(tmp_path, "parse.py", "--modules", places["modules.json"], "--shard", str(shard), "--out", facts)
        rows.append({"shard": shard, "facts": facts})
    merge(tmp_path, rows, places["library.json"])
    script(tmp_path, "imports.py", "--library", places["library.json"], "--out", places["imports.json"])
    script(tmp_path, "chart.py", "--library", places["library.json"], "--out", places["chart.svg"])
    script(tmp_path, "report.py", "--library", places["library.json"], "--imports", places["imports.json"],
           "--chart", places["chart.svg"], "--out", places["report.md"])  # fmt: skip
    library = json.loads(Path(places["library.json"]).read_text())
    assert len(library) == shards
    assert next(module for module in library if module["name"] == "argparse")["functions"] == by_hand("argparse")
    assert ET.parse(places["chart.svg"]).getroot().tag.endswith("svg")
    assert "![Lines of source in the largest packages](chart.svg)" in Path(places["report.md"]).read_text()


def few(path: str) -> int:
    """Keep a few modules of each shard, so that the test is quick; argparse is always among them."""
    shards = json.loads(Path(path).read_text())
    kept = [[module for place, module in enumerate(shard) if place < 8 or module["name"] == "argparse"]
            for shard in shards]  # fmt: skip
    Path(path).write_text(json.dumps(kept))
    return sum(map(len, kept))


def script(folder: Path, *words: str) -> str:
    return subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def merge(folder: Path, rows: list[dict[str, object]], out: str) -> None:
    """The script that stands in the document."""
    workflow = parse((folder / "wattle.yaml").read_text(), "yaml", base_dir=str(folder)).workflow
    source = next(worker.script for worker in workflow.workers if worker.name == "merge")
    assert source is not None
    (folder / "rows.json").write_text(json.dumps(rows))
    variables = {**os.environ, "WATTLE_INPUT_FACTS": str(folder / "rows.json"), "WATTLE_OUTPUT_LIBRARY": out}
    subprocess.run([sys.executable, "-c", source], env=variables, check=True, capture_output=True)


def by_hand(name: str) -> int:
    tree = ast.parse(Path(importlib.import_module(name).__file__ or "").read_text())
    return sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))
