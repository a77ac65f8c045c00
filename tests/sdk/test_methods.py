"""A method for every row of the table, with the row's own fields; and what a program sees of it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import wattle
from tests.terminal import Terminal
from wattle.core import replies, requests
from wattle.core.operations import OPERATIONS, Operation
from wattle.sdk.client import Client
from wattle.sdk.methods import Methods


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])
def test_a_method_has_the_fields_and_the_reply_of_its_row(operation: Operation) -> None:
    found = inspect.signature(getattr(Methods, operation.name))
    kind = getattr(requests, operation.request)
    path = re.findall(r"\{(\w+)\}", operation.path)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    parameters = dict(list(found.parameters.items())[1:])
    assert set(parameters) == set(fields)
    for name, parameter in parameters.items():
        assert parameter.kind is (parameter.POSITIONAL_OR_KEYWORD if name in path else parameter.KEYWORD_ONLY)
        if name not in path and fields[name].default is not msgspec.NODEFAULT:
            assert parameter.default == fields[name].default
    reply = f"replies.{operation.reply}"
    assert found.return_annotation == (f"Iterator[{reply}]" if operation.stream else reply)


def test_the_table_has_no_other_methods() -> None:
    assert {name for name in vars(Methods) if not name.startswith("_")} == {
        "base_dir", "environment", *(operation.name for operation in OPERATIONS)}  # fmt: skip
    assert issubclass(Client, Methods)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    place = Terminal(tmp_path)
    for name in ("WATTLE_HOME", "PYTHONPATH"):
        monkeypatch.setenv(name, place.environment[name])
    yield place
    place.close()


def test_a_program_makes_runs_and_reads_with_structs(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR_OF_THIS_TEST", "green")
    monkeypatch.setenv("JUPYTER_TOKEN", "never")
    monkeypatch.chdir(terminal.folder)
    document = {"name": "etl", "workers": {
        "one": {"script": "echo $COLOUR_OF_THIS_TEST ${JUPYTER_TOKEN-}; command -v python; pwd"}}}  # fmt: skip
    with wattle.connect() as client:
        made = client.create_workflow(document=document)
        assert isinstance(made, replies.WorkflowDetail)
        run = client.start_workflow("etl", key="once")
        assert client.start_workflow("etl", key="once").address == run.address == "etl@1"
        changes = list(client.watch_run("etl@1"))
        assert isinstance(changes[0], replies.RunChange)
        assert changes[-1].run.status == "completed"
        text = "".join(chunk.text or "" for chunk in client.follow_logs("etl@1", "one"))
        assert client.list_runs("etl").runs[0].number == 1
        with pytest.raises(wattle.NotFound, match="nope"):
            client.get_workflow("nope")
    assert text.splitlines() == ["green", str(Path(sys.executable).parent / "python"), str(terminal.folder)]
