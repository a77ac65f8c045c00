"""What files hold, as short texts: another one when the content is, and read once only."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers import wait_until
from wattle.coordinator import contents as module
from wattle.coordinator.contents import ABSENT, Contents
from wattle.core.identity import SPEAKS_OF_PARAMS


def of(path: Path, contents: Contents | None = None) -> str:
    return (contents or Contents()).of([str(path)])[str(path)]


def test_the_same_content_is_the_same_text_whenever_it_was_written(tmp_path: Path) -> None:
    contents, file = Contents(), tmp_path / "a.csv"
    assert of(file, contents) == ABSENT
    file.write_text("one")
    first = of(file, contents)
    file.write_text("two")
    assert of(file, contents) != first
    file.write_text("one")
    os.utime(file, (1, 1))
    assert of(file, contents) == first == of(file)


def test_a_file_is_read_again_only_when_its_size_or_time_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents, file, reads = Contents(), tmp_path / "a.csv", []
    read = module._read

    def counted(path: str, size: int) -> tuple[str, list[str]]:
        reads.append(path)
        return read(path, size)

    monkeypatch.setattr(module, "_read", counted)
    file.write_text("one")
    assert of(file, contents) == of(file, contents)
    assert len(reads) == 1
    os.utime(file, (1, 1))
    of(file, contents)
    assert len(reads) == 2


def test_running_a_notebook_does_not_change_what_it_says(tmp_path: Path) -> None:
    def book(source: str | list[str], *, outputs: list[object], count: int | None, tags: list[str]) -> str:
        cell = {"cell_type": "code", "source": source, "outputs": outputs, "execution_count": count,
                "metadata": {"tags": tags, "execution": {"at": count}}}  # fmt: skip
        return json.dumps({"cells": [cell], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4})

    file = tmp_path / "r.ipynb"
    texts = []
    for text in (book("1 + 1\n2", outputs=[], count=None, tags=[]), book(["1 + 1\n", "2"], outputs=[{"x": 1}], count=3, tags=[]),
                 book("1 + 2", outputs=[], count=None, tags=[]), book("1 + 1\n2", outputs=[], count=None, tags=["parameters"]),
                 "no notebook"):  # fmt: skip
        file.write_text(text)
        texts.append(of(file))
    assert texts[0] == texts[1]
    assert len(set(texts)) == 4


def test_a_source_file_tells_that_it_speaks_of_params(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(worker.params['x'])")
    (tmp_path / "b.py").write_text("print(1)")
    (tmp_path / "c.csv").write_text("params")
    assert [of(tmp_path / name).endswith(SPEAKS_OF_PARAMS) for name in ("a.py", "b.py", "c.csv")] == [True, False, False]


def test_a_program_is_also_the_modules_beside_it_that_it_imports_and_so_on(tmp_path: Path) -> None:
    contents = Contents()
    (tmp_path / "train.py").write_text("import json, first\nfrom package.deep import x\nimport random\n")
    (tmp_path / "first.py").write_text("from second import *\n")
    (tmp_path / "second.py").write_text("import first  # round in a circle\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "deep.py").write_text("x = 1\n")
    (tmp_path / "json.py").write_text("of the standard library, not this\n")
    (tmp_path / "aside.py").write_text("")
    before = of(tmp_path / "train.py", contents)
    for name, changes in (("first.py", True), ("second.py", True), ("package/deep.py", True), ("package/new.py", True),
                          ("json.py", False), ("aside.py", False), ("random.py", False)):  # fmt: skip
        (tmp_path / name).write_text(f"{name} = 'another'\nimport first, second\n")
        after = of(tmp_path / "train.py", contents)
        assert (after != before) == changes, name
        before = after
    (tmp_path / "second.py").write_text("print(worker.params)\n")
    assert of(tmp_path / "train.py", contents).endswith(SPEAKS_OF_PARAMS)
    (tmp_path / "second.py").unlink()
    assert of(tmp_path / "train.py", contents) not in {before, ABSENT}


def test_a_notebook_is_also_the_modules_beside_it(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "source": ["from helper import f\n", "f()"], "outputs": [], "metadata": {}}
    (tmp_path / "r.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}}))
    before = of(tmp_path / "r.ipynb")
    (tmp_path / "helper.py").write_text("def f(): pass")
    assert of(tmp_path / "r.ipynb") != before


def test_a_folder_is_its_files_and_a_pattern_what_it_finds(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.csv").write_text("1")
    before = of(folder), of(folder / "**" / "*.csv"), of(folder / "*.txt")
    (folder / "sub" / "b.csv").write_text("2")
    after = of(folder), of(folder / "**" / "*.csv"), of(folder / "*.txt")
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, True]
    (folder / "sub" / "__pycache__").mkdir()
    (folder / "sub" / "__pycache__" / "x.pyc").write_text("3")
    assert of(folder) == after[0]


def test_what_is_too_much_to_wait_for_is_not_read_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents, file = Contents(), tmp_path / "a.bin"
    file.write_bytes(b"x" * 100)
    monkeypatch.setattr(module, "AT_ONCE", 99)
    assert contents.quickly([str(file)]) is None
    read = contents.of([str(file), "relative"])
    assert list(read) == [str(file)]
    assert contents.quickly([str(file)]) == read, "once read, it costs nothing"
    assert contents.quickly([str(tmp_path / "none")]) == {str(tmp_path / "none"): ABSENT}
    assert contents.quickly([str(tmp_path), str(tmp_path / "*.bin")]) == contents.of([str(tmp_path), str(tmp_path / "*.bin")])
    (tmp_path / "b.bin").write_bytes(b"y" * 100)
    assert contents.quickly([str(tmp_path)]) is None
    assert contents.quickly([str(tmp_path / "*.bin")]) is None
    contents.beside([str(tmp_path)])
    wait_until(lambda: contents.quickly([str(tmp_path)]))


def test_a_file_that_may_not_be_read_is_as_good_as_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, _size: int) -> str:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(module, "_read", refused)
    (tmp_path / "a").write_text("x")
    assert of(tmp_path / "a") == ABSENT
