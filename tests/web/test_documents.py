"""The OpenAPI document, its page and the metrics, as a real coordinator's door serves them."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers import wait_until
from tests.web.api import Api, served
from wattle.core.operations import OPERATIONS
from wattle.web.openapi import openapi_document
from wattle.web.reference import page_html

DOCUMENTS = ("/api/wattle/openapi.json", "/api/wattle/docs")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("documents")) as api:
        yield api


class Page(html.parser.HTMLParser):
    """Tags that are open, ids, links, and everything that could load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.wrong: list[str] = []
        self.styles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        found = dict(attrs)
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found["href"])] if "href" in found else []
        if tag not in {"meta", "wbr", "th", "td", "tr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "tr" and self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles.append(data)


def test_the_document_is_the_one_of_the_table(api: Api) -> None:
    got = api.ask("GET", "/api/wattle/openapi.json")
    assert (got.status, got.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert got.json == openapi_document("/", "1.2.3")


@pytest.mark.parametrize("path", DOCUMENTS)
def test_who_has_it_already_is_not_sent_it_again(api: Api, path: str) -> None:
    first = api.ask("GET", path)
    again = api.ask("GET", path, If_None_Match=first.headers["Etag"])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert api.ask("GET", path, If_None_Match='"other"').body == first.body


@pytest.mark.parametrize("path", [*DOCUMENTS, "/api/wattle/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
def test_documents_are_only_looked_at(api: Api, path: str, method: str) -> None:
    got = api.ask(method, path)
    assert (got.status, got.headers["Allow"]) == (405, "GET")


def test_the_page_may_load_nothing_and_run_nothing(api: Api) -> None:
    got = api.ask("GET", "/api/wattle/docs")
    page = Page(got.body.decode())
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert not {name for name in page.attributes if name.startswith("on") or name in {"style", "src"}}
    policy = dict(part.strip().split(" ", 1) for part in got.headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        "style-src": f"'sha256-{base64.b64encode(hashlib.sha256(page.styles[0].encode()).digest()).decode()}'",
    }  # fmt: skip
    assert len(page.styles) == 1
    assert got.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_has_every_operation_and_its_links_lead_somewhere(api: Api) -> None:
    page = Page(api.ask("GET", "/api/wattle/docs").body.decode())
    assert {operation.name for operation in OPERATIONS} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert (page.open, page.wrong) == ([], [])


def test_whatever_a_document_says_is_text_on_the_page() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [poisoned(inner, key) for inner in value]
        words = {"description", "summary", "title", "version", "example", "default"}
        return value + evil if key in words and isinstance(value, str) else value

    document = poisoned({**openapi_document('/a"><script>/', "1"), "paths": {
        path: rows for path, rows in openapi_document("/", "1")["paths"].items() if "{" in path}})  # fmt: skip
    text = page_html(document)
    assert "&lt;script&gt;" in text
    assert not Page(text).tags & {"script", "img"}
    assert "onerror" not in Page(text).attributes


def test_every_operation_has_a_command_that_works(api: Api) -> None:
    page = api.ask("GET", "/api/wattle/docs").body.decode()
    commands = re.findall(r"curl (?:-N )?(?:-X (\w+) )?&quot;\$URL(/api/[^&]*)", page)
    assert len(commands) == len(OPERATIONS) + 3
    rows = {(operation.verb, re.sub(r"\{\w+\}", "[^/]+", operation.path)) for operation in OPERATIONS}
    for verb, path in commands:
        if not re.search("openapi.json|docs|metrics", path):
            assert [row for row in rows if row[0] == (verb or "GET") and re.fullmatch(row[1], path.partition("?")[0])], path


def metrics(api: Api) -> dict[str, float]:
    got = api.ask("GET", "/api/wattle/metrics")
    assert got.status == 200
    assert got.headers["Content-Type"].startswith("text/plain; version=")
    return {sample.name: sample.value for family in text_string_to_metric_families(got.body.decode())
            for sample in family.samples if not sample.labels}  # fmt: skip


def test_the_metrics_are_those_of_the_coordinator(api: Api, tmp_path: Path) -> None:
    assert metrics(api)["wattle_coordinator_ready"] == 1
    worker = {"command": ["sh", "-c", "while [ ! -e go ]; do sleep 0.05; done"]}
    made = api.ask("POST", "/api/workflows", {"document": {"name": "etl", "working_dir": str(tmp_path),
                                                           "workers": {"one": worker}}})  # fmt: skip
    assert made.status == 200
    assert api.ask("POST", "/api/workflows/etl/start", {}).status == 200
    wait_until(lambda: metrics(api)["wattle_runs_unfinished"] == 1)
    (tmp_path / "go").touch()
    wait_until(lambda: metrics(api)["wattle_runs_unfinished"] == 0)
