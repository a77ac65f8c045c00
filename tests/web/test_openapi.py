"""The OpenAPI document says what the table says, and is one by the specification's own rules."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from wattle.core import replies, requests
from wattle.core.operations import OPERATIONS, READ, Operation
from wattle.web.asking import RESUMED_BY
from wattle.web.openapi import TAGS, openapi_document

DOCUMENT = openapi_document("/user/ada/", "1.2.3")
each = pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.verb.lower()]
    return found


def parameters(operation: Operation, place: str) -> dict[str, dict[str, Any]]:
    return {found["name"]: found for found in described(operation)["parameters"] if found["in"] == place}


def body(operation: Operation) -> dict[str, Any]:
    if "requestBody" not in described(operation):
        return {}
    name = described(operation)["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name]
    return found


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def test_it_is_valid_openapi() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["version"] == "1.2.3"


@pytest.mark.parametrize(("base", "url"), [("/", "/"), ("", "/"), ("/user/ada/", "/user/ada"), ("/a", "/a")])
def test_it_says_where_it_is_mounted(base: str, url: str) -> None:
    assert openapi_document(base, "1")["servers"] == [{"url": url}]


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = references(DOCUMENT)
    for kind in ("schemas", "responses"):
        known = {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]}
        assert known == {reference for reference in found if reference.startswith(f"#/components/{kind}/")}


@each
def test_an_operation_is_named_tagged_and_told_in_a_line(operation: Operation) -> None:
    found = described(operation)
    assert (found["operationId"], found["summary"]) == (operation.name, operation.help)
    assert set(found["tags"]) <= set(TAGS)
    assert found["x-wattle-access"] == operation.access


def test_every_tag_has_operations_and_operation_ids_are_unique() -> None:
    rows = [row for path in DOCUMENT["paths"].values() for row in path.values()]
    assert {tag for row in rows for tag in row["tags"]} == set(TAGS)
    assert len({row["operationId"] for row in rows}) == len(rows)


@each
def test_every_field_of_its_request_is_in_exactly_one_place(operation: Operation) -> None:
    fields = set(getattr(requests, operation.request).__struct_fields__)
    in_path = parameters(operation, "path")
    assert set(in_path) == set(re.findall(r"\{(\w+)\}", operation.path))
    beside = set(parameters(operation, "query")) - {"poll"} | set(body(operation).get("properties", {}))
    assert set(in_path) | beside == fields
    assert not set(in_path) & beside


@each
def test_query_fields_have_no_null_and_keep_what_limits_them(operation: Operation) -> None:
    assert all("null" not in json.dumps(found["schema"]) for found in parameters(operation, "query").values())
    if operation.name == "list_workflows":
        limit = parameters(operation, "query")["limit"]
        assert limit["schema"] == {"type": "integer", "minimum": 0, "maximum": 1000, "default": 500}
        assert parameters(operation, "query")["status"]["schema"]["enum"]


@each
def test_fields_that_http_carries_in_headers_are_there(operation: Operation) -> None:
    fields = getattr(requests, operation.request).__struct_fields__
    headers = set(parameters(operation, "header"))
    assert ("Idempotency-Key" in headers) == ("key" in fields)
    assert ("If-Match" in headers) == ("if_match" in fields)
    assert ("Last-Event-ID" in headers) == (operation.name in RESUMED_BY)


@each
def test_an_answer_has_its_type_and_refusals_have_one(operation: Operation) -> None:
    responses = described(operation)["responses"]
    content = responses["200"]["content"]
    reference = {"$ref": f"#/components/schemas/{operation.reply}"}
    if operation.stream:
        assert set(content) == {"text/event-stream", "application/json"}
        assert described(operation)["x-wattle-stream"]["events"]["message"] == reference
        assert "429" in responses
    else:
        assert content == {"application/json": {"schema": reference}}
    for status in set(responses) - {"200", "304"}:
        assert responses[status] == {"$ref": f"#/components/responses/{status}"}
        shared = DOCUMENT["components"]["responses"][status]["content"]["application/json"]
        assert shared["schema"] == {"$ref": "#/components/schemas/Error"}
    assert {"400", "401", "403", "500", "503"} <= set(responses)
    assert ("415" in responses) == (operation.verb in {"POST", "PUT"})


@each
def test_what_changes_something_needs_more_than_a_cookie(operation: Operation) -> None:
    ways: list[Any] = described(operation).get("security") or DOCUMENT["security"]
    assert {"token": []} in ways
    assert ({"cookie": []} in ways) == (operation.access == READ)


def test_a_stream_says_which_field_is_its_id() -> None:
    rows = {operation.name: described(operation)["x-wattle-stream"]["id"] for operation in OPERATIONS if operation.stream}
    assert rows["follow_logs"] == "position"
    assert rows["follow_all_events"] == "seq"


def test_of_an_answer_nothing_is_left_out() -> None:
    assert set(DOCUMENT["components"]["schemas"]["Health"]["required"]) == set(replies.Health.__struct_fields__)
    assert DOCUMENT["components"]["schemas"]["CreateWorkflow"]["required"] == []


def test_the_words_under_a_field_reach_the_document() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["RunSummary"]["properties"]["counts"]["description"] == "Workers by status."
    assert schemas["RunDetail"]["properties"]["counts"]["description"] == "Workers by status.", "inherited"
    assert schemas["LogChunk"]["description"] == " ".join(str(replies.LogChunk.__doc__).split())


def test_a_name_of_a_path_cannot_leave_its_place() -> None:
    workflow = parameters(OPERATIONS[2], "path")["workflow"]["schema"]["pattern"]
    assert all(re.search(workflow, name) for name in ("etl", "etl@12", "ä b", "a.b"))
    assert not any(re.search(workflow, name) for name in ("", "..", ".a", "a/b", "a\\b", "a\0", "a\nb"))


def test_the_examples_are_what_the_types_take() -> None:
    for operation in OPERATIONS:
        content = described(operation).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            given = dict.fromkeys(re.findall(r"\{(\w+)\}", operation.path), "etl")
            taken = requests.request_for(operation.name, {**content["example"], **given})
            assert type(taken).__name__ == operation.request
