"""Documents from files, and the small edits of `init` and `new`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from wattle.cli import documents
from wattle.core.document import parse
from wattle.core.errors import Conflict, InvalidRequest, NotFound


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_brings_its_folder_its_source_and_its_format(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "flow.toml").write_bytes("\ufeffname = 'x'".encode())
    document = documents.read("sub/flow.toml", None)
    assert document.fields() == {"text": "name = 'x'", "format": "toml", "base_dir": str(tmp_path / "sub")}
    assert document.source == str(tmp_path / "sub" / "flow.toml")


@pytest.mark.parametrize(("text", "form"), [('{"name": "x"}', "json"), ("name: x", "yaml")])
def test_the_standard_input_has_no_source_and_its_format_is_seen(text: str, form: str, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    document = documents.read("-", None)
    assert (document.form, document.source, document.folder) == (form, "", str(tmp_path))


def test_every_way_not_to_be_a_document_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no wattle.yaml here"):
        documents.read(None, None)
    with pytest.raises(NotFound, match=r"no file ./x.yaml"):
        documents.read("./x.yaml", None)
    with pytest.raises(InvalidRequest, match="is a folder"):
        documents.read("./", "yaml")
    (tmp_path / "flow.txt").write_text("")
    with pytest.raises(InvalidRequest, match="ends in none of"):
        documents.read("./flow.txt", None)
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff")
    with pytest.raises(InvalidRequest, match="byte 6"):
        documents.read("bad.yaml", None)


def test_the_first_document_is_valid_and_never_written_over_another(tmp_path: Path) -> None:
    documents.write_first(None)
    text = (tmp_path / "wattle.yaml").read_text()
    parsed = parse(text, "yaml", base_dir=str(tmp_path))
    assert [worker.name for worker in parsed.workflow.workers] == ["hello", "shout"]
    with pytest.raises(Conflict):
        documents.write_first(None)


@pytest.mark.parametrize("folder", ["mine", "my folder", "...", "Ünï.dir", "a: b", "-x"])
def test_the_first_document_takes_the_name_of_any_folder(folder: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "in" / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in" / folder)
    documents.write_first(None)
    assert parse(Path("wattle.yaml").read_text(), "yaml", base_dir=str(tmp_path)).workflow.name


def test_a_new_worker_keeps_everything_else_as_it_was(tmp_path: Path) -> None:
    before = "# mine\nname: x  # a name\nworkers:\n  a:  # first\n    command: echo\n    outputs: [o]\n\n# end\nmode: sequential\n"
    worker = documents.worker_text("b", "cat ${inputs.i} 'two words'", None, ["i=a/o"], ["r.csv"], ["a"])
    after = documents.with_worker(before, worker)
    assert after.replace(worker.rstrip("\n") + "\n", "") == before
    workflow = parse(after, "yaml", base_dir=str(tmp_path)).workflow
    assert workflow.workers[1].command == "cat ${inputs.i} 'two words'"
    assert workflow.workers[1].needs == ("a",)
    assert list(workflow.workers[1].outputs) == ["r"]


@pytest.mark.parametrize("command", ["echo a: b", "echo 'it''s'", "no", "true", "echo #x", "{a}", "- x", "echo \\n", "@x",
                                     "a\tb", "*", "1e3", "./x --y=${run.dir}", "echo 日本", "a "])  # fmt: skip
def test_any_command_comes_back_from_the_document_as_it_was_given(command: str, tmp_path: Path) -> None:
    text = "name: x\nworkers:\n" + documents.worker_text("b", command, None, [], ["no.txt", "true"], [])
    worker = parse(text, "yaml", base_dir=str(tmp_path)).workflow.workers[0]
    assert worker.command == command
    assert list(worker.outputs) == ["no", "true"]


def test_a_script_of_several_lines_comes_back_too(tmp_path: Path) -> None:
    script = "set -x\n\n  indented: [yes\necho done"
    text = "name: x\nworkers:\n" + documents.worker_text("b", None, script, [], [], [])
    assert parse(text, "yaml", base_dir=str(tmp_path)).workflow.workers[0].script == script + "\n"


def test_a_script_that_begins_with_blanks_comes_back_too(tmp_path: Path) -> None:
    text = "name: x\nworkers:\n" + documents.worker_text("b", None, "  echo 1\necho 2", [], [], [])
    assert parse(text, "yaml", base_dir=str(tmp_path)).workflow.workers[0].script == "  echo 1\necho 2\n"


def test_an_input_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="PORT=WORKER/OUTPUT"):
        documents.worker_text("b", "true", None, ["raw"], [], [])


def test_a_document_without_a_block_of_workers_is_left_alone() -> None:
    for text in ("name: x\n", "name: x\nworkers: {a: {command: b}}\n", "workers: []\n"):
        with pytest.raises(InvalidRequest, match="no `workers:` block"):
            documents.with_worker(text, "  b:\n    command: c\n")


def test_rewriting_keeps_the_rights_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "wattle.yaml").write_text("name: x\n")
    (tmp_path / "wattle.yaml").chmod(0o640)
    document = documents.read("wattle.yaml", None)
    document.text = "name: y\n"
    documents.rewrite(document)
    assert (tmp_path / "wattle.yaml").read_text() == "name: y\n"
    assert (tmp_path / "wattle.yaml").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["wattle.yaml"]
