"""From an HTTP request to the fields of an operation: path, query or body, and the headers that carry fields.

Laws: strict: what is said twice, is no UTF-8, is no JSON object or nests too deeply is refused with a word about what
to send instead; nothing is guessed, nothing is dropped in silence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from tornado.httputil import HTTPServerRequest

from wattle.core import requests
from wattle.core.errors import InvalidRequest
from wattle.core.operations import Operation
from wattle.web.refusals import Refused, refusal

DOCUMENT_LIMIT = 9 << 20
"""Bytes of a body that holds a document: 8 MiB of it, and what surrounds it."""
BODY_LIMIT = 1 << 20
"""Bytes of any other body."""
VALUE_LIMIT = 7 << 20
"""Bytes of a body that holds a value of 1 MiB: `\\uXXXX` takes up to six bytes for what is one."""
MESSAGE_LIMIT = 8 << 20
"""Bytes of a message between workers; what is larger is a file."""
DRAIN_LIMIT = 64 << 20
"""A body over its limit is read and dropped, so that its sender hears why; one over this is cut off at once."""
DEPTH_LIMIT = 32
BESIDE_LOOP = 128 << 10
"""A body larger than this is looked through in a thread."""
IGNORED = frozenset({"_xsrf"})
"""Query fields that belong to the door."""
RESUMED_BY = {"follow_logs": "position", "follow_many": "position", "follow_events": "after",
              "follow_all_events": "after", "watch_run": "after"}  # fmt: skip
"""The field of each stream that `Last-Event-ID` fills."""
_LIMITS = {**dict.fromkeys(("create_workflow", "replace_workflow", "validate_document"), DOCUMENT_LIMIT),
           "plan_workflow": DOCUMENT_LIMIT, "put_output": VALUE_LIMIT,
           **dict.fromkeys(("publish_message", "ask_service", "answer_question"), MESSAGE_LIMIT)}  # fmt: skip
_NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]|\A\.|\A\Z")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def body_limit(operation: Operation | None) -> int:
    """Bytes that this operation's body may have."""
    return _LIMITS.get(operation.name, BODY_LIMIT) if operation is not None else BODY_LIMIT


async def question(http: HTTPServerRequest, operation: Operation, path: Mapping[str, str],
                   streaming: frozenset[str] = frozenset()) -> requests.Request:  # fmt: skip
    """What is asked. `streaming` are query fields that belong to the way of answering.

    Raises:
        WattleError: the request makes no sense; it has its status.
    """
    for name, value in path.items():
        if _NO_NAME.search(value):
            raise InvalidRequest(f"{name}: {value!r} is not a name.",
                                 "a name holds letters, digits, '_', '.' and '-', and no encoded slash")  # fmt: skip
    text = operation.verb in {"GET", "DELETE"}
    fields = _query(http, IGNORED | streaming) if text else await _body(http)
    known = getattr(requests, operation.request).__struct_fields__
    for name, value in _headers(http, operation, known).items():
        if name in {"key", "if_match"} and fields.get(name, value) != value:
            raise InvalidRequest(f"{name} says one thing in a header and another one beside it.", "say it once")
        fields[name] = value
    for name, value in path.items():
        given = fields.get(name, value)
        if str(given) != value:
            raise InvalidRequest(f"{name} is {value!r} in the path and {given!r} beside it.", "say it in the path only")
        fields[name] = int(value) if name == "number" and not text else value
    return requests.request_for(operation.name, fields, text=text)


def _query(http: HTTPServerRequest, ignored: frozenset[str]) -> dict[str, Any]:
    fields = {}
    for name, values in http.query_arguments.items():
        if name in ignored:
            continue
        if len(values) != 1:
            raise InvalidRequest(f"{_shown(name)} is given {len(values)} times.", "give every field once")
        try:
            fields[_shown(name)] = values[0].decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{_shown(name)} is not UTF-8.", "percent-encode the UTF-8 form") from None
    return fields


def _shown(name: str) -> str:
    """Tornado reads the names of query fields as Latin-1."""
    return name.encode("latin-1", "replace").decode("utf-8", "replace")


async def _body(http: HTTPServerRequest) -> dict[str, Any]:
    body = http.body
    if not body:
        return {}
    kind = http.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or http.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise refusal(415)
    return await asyncio.to_thread(_object, body) if len(body) > BESIDE_LOOP else _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", "send one JSON object") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body is not a JSON object", "send the fields of the operation as one object")
    level: list[Any] = [fields]
    for _ in range(DEPTH_LIMIT):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
                 if isinstance(inner, dict | list)]  # fmt: skip
        if not level:
            return fields
    raise _too_deep()


def _too_deep() -> InvalidRequest:
    return InvalidRequest("the body is nested too deeply", f"at most {DEPTH_LIMIT} objects and lists in one another")


def _headers(http: HTTPServerRequest, operation: Operation, known: tuple[str, ...]) -> dict[str, Any]:
    """Fields that HTTP carries in headers."""
    found: dict[str, Any] = {}
    key = http.headers.get("Idempotency-Key")
    if key is not None and "key" in known:
        if not _KEY.fullmatch(key):
            raise InvalidRequest("the Idempotency-Key is not a key", "send 1 to 200 visible ASCII characters")
        found["key"] = key
    if "if_match" in known and "If-Match" in http.headers:
        found["if_match"] = http.headers["If-Match"]
    field = RESUMED_BY.get(operation.name)
    last = http.headers.get("Last-Event-ID", "")
    if field is not None and last:
        found[field] = last
    return found


def too_large(limit: int) -> Refused:
    """The refusal of a body over the limit."""
    return refusal(413, f"the body is larger than {limit >> 20} MiB")
