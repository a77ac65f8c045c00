"""Executes the example notebooks in a state root of their own and keeps their outputs, without what differs from
machine to machine: `python notebooks/refresh.py [NAME …]`."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
LIVE = "application/vnd."
"""What a front end draws by itself belongs to the state root that it came from."""


def refresh(source: Path, folder: Path) -> None:
    """Execute a notebook in a copy of this folder, and write it back with its outputs."""
    book = nbformat.read(source, 4)
    NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    book.metadata = {"kernelspec": book.metadata["kernelspec"], "language_info": {"name": "python"}}
    for cell in book.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            cell.outputs = [cleaned(output, folder) for output in cell.outputs]
    nbformat.write(book, source)


def cleaned(output: Any, folder: Path) -> Any:
    """An output as anybody's machine would show it."""
    if "data" in output:
        output["data"] = {kind: content for kind, content in output["data"].items() if not kind.startswith(LIVE)}
        output["metadata"] = {}
        for kind, content in output["data"].items():
            if isinstance(content, str) and not kind.startswith("image/p"):
                output["data"][kind] = plain(content, folder)
    if "text" in output:
        output["text"] = plain(output["text"], folder)
    if "traceback" in output:
        output["traceback"] = [plain(line, folder) for line in output["traceback"]]
        output["evalue"] = plain(output["evalue"], folder)
    return output


def plain(text: str, folder: Path) -> str:
    """Without the folders of this machine, and the number of a process."""
    text = text.replace(f"{folder}/", "").replace(str(folder), "notebooks")
    return re.sub(r"\(process \d+\)", "(process 4711)", text)


def main() -> None:
    """All of them, or those that are named."""
    names = sys.argv[1:] or [path.stem for path in sorted(HERE.glob("*.ipynb"))]
    place = Path(tempfile.mkdtemp(prefix="wattle-notebooks-"))
    folder = place / "notebooks"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("wattle-runs", "refresh.py"))
    os.environ |= {"WATTLE_HOME": str(place / "state"), "IPYTHONDIR": str(place / "ipython")}
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        for name in names:
            print(name, flush=True)
            refresh(HERE / f"{name}.ipynb", folder)
    finally:
        os.system("wattle down --stop-runs")
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
