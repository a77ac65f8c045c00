"""Schemathesis reads the OpenAPI document and tries, at a real coordinator, whether the API keeps to it: whatever is sent
is answered, never with a 5xx, with a status and in a form that the document has.

Nothing that it makes up can do harm: documents are the ones below, whose commands are `/bin/true`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.api import Api, served
from wattle.core.operations import BY_NAME, OPERATIONS
from wattle.web import sse
from wattle.web.openapi import openapi_document

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
          response_schema_conformance]  # fmt: skip
EXAMPLES = 12
SPARED = {"hand_over"}
"""It would end the coordinator."""

NOBODY = {"workflow": "nobody", "worker": "nobody", "port": "nothing"}
SAVING = {"CreateWorkflow", "ReplaceWorkflow"}
OF_DEFINITIONS = {"replace_workflow", "delete_workflow", "delete_worker", "start_workflow", "start_worker"}
TEXTS = ("", "{", "a: [", "name: other\nworkers: {one: {command: /bin/true}}\n", "name: a\nworkers: {}\n", "\x00")
schema = schemathesis.openapi.from_dict(openapi_document("/", "1.2.3")).exclude(operation_id=sorted(SPARED))
KNOWN = {"workflow": ("etl", "etl@1", "other"), "worker": ("one", "two", "many.1", "many"), "port": ("table", "left"),
         "number": (1, 2)}  # fmt: skip


def documents(folder: Path) -> tuple[dict[str, Any], ...]:
    """Everything that may ever be run."""
    small = {"name": "other", "working_dir": str(folder), "workers": {"one": {"command": "/bin/true"}}}
    large = {"name": "etl", "working_dir": str(folder), "tags": ["nightly"], "params": {"lot": [1, 2]}, "workers": {
        "one": {"command": "/bin/true", "outputs": {"left": {"type": "file", "name": "left"}}},
        "two": {"command": "/bin/true", "needs": ["one"], "retries": 1},
        "many": {"command": "/bin/true ${each.n}", "each": {"n": "${params.lot}"}},
    }}  # fmt: skip
    wrong = {"name": "wrong", "workers": {"one": {"command": "/bin/true", "inputs": {"a": "nobody/a"}}}}
    return small, large, wrong, {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schemathesis")


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch, served(folder) as api:
        patch.setattr(sse, "POLL_SECONDS", 0.05)
        patch.setattr(sse, "GATHER_SECONDS", 0.005)
        yield api


@pytest.fixture
def seeded(api: Api, folder: Path) -> Api:
    """Whatever the operations before have left: the two workflows are there, and each has a run."""
    for document in documents(folder)[:2]:
        assert api.ask("POST", "/api/workflows", {"document": document, "replace": True}).status == 200
        api.ask("POST", f"/api/workflows/{document['name']}/start", {"key": f"first-{document['name']}"})
    return api


class Choice:
    """Chooses by what was made up, and so always the same for the same case."""

    def __init__(self, case: Any) -> None:
        made_up = repr((case.path_parameters, case.query, case.headers, case.body))
        self._left = zlib.crc32(made_up.encode("utf-8", "backslashreplace"))

    def of(self, among: Sequence[Any]) -> Any:
        self._left, index = divmod(self._left, len(among))
        return among[index]


def tame(case: Any, folder: Path) -> None:
    """Names that exist, most of the time; documents that harm nobody, always; streams that end."""
    operation = BY_NAME.get(case.operation.definition.raw["operationId"])
    if operation is None:
        return
    choice = Choice(case)
    parameters = case.path_parameters or {}
    for name, made_up in parameters.items():
        names = ("etl", "other") if name == "workflow" and operation.name in OF_DEFINITIONS else KNOWN[name]
        parameters[name] = choice.of((*names, *names, made_up, NOBODY.get(name, made_up)))
    if operation.stream:
        case.query = {**(case.query or {}), "poll": "true"}
    for field, header in (("key", "Idempotency-Key"), ("if_match", "If-Match")):
        beside = case.body if isinstance(case.body, dict) else case.query or {}
        if field in beside and case.headers and choice.of((True, True, False)):
            case.headers.pop(header, None)  # said twice it is only refused
    if operation.request not in SAVING:
        return
    body = dict(case.body) if isinstance(case.body, dict) and choice.of((True, True, False)) else {}
    if choice.of(("document", "document", "text")) == "text":
        case.body = {**body, "document": None, "text": choice.of(TEXTS)}
    else:
        case.body = {**body, "text": None, "document": choice.of(documents(folder))}
    if choice.of((True, False)):
        case.body |= {"replace": True, "name": None}


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=list(HealthCheck))
def test_the_api_keeps_to_its_document(case: Any, seeded: Api, folder: Path) -> None:
    tame(case, folder)
    case.call_and_validate(base_url=seeded.url, checks=CHECKS, timeout=20)


def test_every_operation_is_tried() -> None:
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    tried = {operation.definition.raw["operationId"] for operation in found}
    assert {operation.name for operation in OPERATIONS} <= tried | SPARED
