"""The browser's part says the same as the server's: fields of replies, paths of operations."""

from __future__ import annotations

import json
import re

import msgspec

from tests.terminal import REPOSITORY
from wattle.core import replies
from wattle.core.operations import BY_NAME

FRONTEND = REPOSITORY / "jupyter_wattle" / "frontend"
API = (FRONTEND / "src" / "api.ts").read_text()


def test_every_reply_that_the_browser_knows_has_the_fields_of_its_struct() -> None:
    wrong = {}
    for name, base, body in re.findall(r"export interface (\w+)(?: extends (\w+))? \{\n(.*?)\n\}", API, re.DOTALL):
        kind = getattr(replies, name, None)
        if kind is None:
            continue
        told = set(re.findall(r"^  (\w+):", body, re.MULTILINE))
        inherited = {field.name for field in msgspec.structs.fields(getattr(replies, base))} if base else set()
        real = {field.name for field in msgspec.structs.fields(kind)} - inherited
        # The server may say more than the browser looks at, never less.
        if told - real:
            wrong[name] = told - real
    assert wrong == {}


def test_every_operation_that_the_browser_asks_is_a_row_with_that_path() -> None:
    asked = re.findall(r'^  (\w+): \["(\w+)", "([^"]+)"\],$', API, re.MULTILINE)
    assert len(asked) > 20
    assert {name: (verb, path) for name, verb, path in asked} == {
        name: (BY_NAME[name].verb, BY_NAME[name].path) for name, _, _ in asked}  # fmt: skip


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((FRONTEND / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
