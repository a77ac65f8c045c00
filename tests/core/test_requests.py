"""Requests from plain fields, and from the texts of a query."""

from __future__ import annotations

from typing import Any

import pytest

from wattle.core.environ import given
from wattle.core.errors import InvalidRequest
from wattle.core.requests import CreateWorkflow, ListWorkflows, request_for


def test_the_word_null_in_a_query_is_a_word() -> None:
    assert request_for("list_workflows", {"tag": "null"}, text=True) == ListWorkflows(tag="null")
    assert request_for("list_workflows", {"tag": None}) == ListWorkflows()


@pytest.mark.parametrize(("operation", "fields"), [
    ("list_workflows", {"status": "null"}), ("list_workflows", {"limit": "null"}),
    ("read_logs", {"workflow": "a", "worker": "b", "stream": "Null"}),
    ("read_logs", {"workflow": "a", "worker": "b", "tail": "null"}),
])  # fmt: skip
def test_null_is_no_status_no_number_and_no_stream(operation: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=operation):
        request_for(operation, fields, text=True)


@pytest.mark.parametrize(("operation", "fields"), [
    ("create_workflow", {"source": "a\0b"}), ("stop_workflow", {"workflow": "a", "grace": 1e300}),
    ("stop_workflow", {"workflow": "a", "grace": -1}), ("prune_runs", {"keep": 10**30}), ("prune_runs", {"keep": -1}),
    ("start_workflow", {"workflow": "a", "nope": 1}), ("start_workflow", {"workflow": "a", "jobs": 0}),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(operation: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=operation) as caught:
        request_for(operation, fields)
    assert "its fields are:" in caught.value.hint


def test_a_source_may_have_any_other_sign() -> None:
    assert request_for("create_workflow", {"source": "/a b/ü\n.yaml"}) == CreateWorkflow(source="/a b/ü\n.yaml")


@pytest.mark.parametrize("variables", [{"A=B": "x"}, {"": "x"}, {"A\0": "x"}, {"A": "x\0"}])
def test_an_environment_that_no_process_can_have_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="environment"):
        given(variables)


def test_a_token_in_a_request_s_environment_goes_no_further() -> None:
    assert given({"PATH": "/bin", "JUPYTER_TOKEN": "x"}) == {"PATH": "/bin"}
