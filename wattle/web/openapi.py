"""The table of operations as an OpenAPI 3.1 document, for clients of any language.

Laws: everything comes from the table and from the types of requests and replies; nothing is said twice here that they
say. What the types cannot say (headers, refusals, streams) is said once, for all operations at once. OpenAPI knows no
server-sent events: `x-wattle-stream` describes the data of a stream, and `x-wattle-access` the right that is needed.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from types import ModuleType
from typing import Any

import msgspec

from wattle.core import replies, requests
from wattle.core.operations import OPERATIONS, READ, Operation
from wattle.web.asking import RESUMED_BY
from wattle.web.documents import METRICS, OPENAPI, PAGE

Schema = dict[str, Any]
REF = "#/components/schemas/{name}"
NAME = r"^[^./\\\u0000-\u001f\u007f][^/\\\u0000-\u001f\u007f]*$"
"""What a part of a path may be; the rest is for the service to know."""
ERROR = {"$ref": REF.format(name="Error")}

ABOUT = """\
Runs DAGs of real processes and keeps them running.

* **Addresses.** Where a path says `{workflow}`, a name (`etl`) means the workflow or its latest run, and `etl@12` \
one run. Percent-encode what is not ASCII.
* **Refusals** have one form, `{code, message, hint}`: `message` says what was wrong and where, `hint` what to do \
next. 422 adds `problems`, each with its line and column.
* **Streams** are server-sent events. Every event has an `id`; send the last one as `Last-Event-ID` to go on after \
it. `?poll=1` asks for the same events piece by piece, for clients behind something that holds streams back.
* **Repeats.** Send an `Idempotency-Key` with a start: the same key starts nothing twice. Send `If-Match` with the \
`ETag` that you saw to replace only what you have seen.
* Times are seconds since the epoch, durations are seconds, sizes are bytes.
"""

TAGS = {
    "workflows": "Definitions: what is to run.",
    "runs": "Executions of a workflow, numbered; each keeps its own copy of the document.",
    "workers": "One node of a workflow, or one instance of it in a run.",
    "logs": "What workers wrote, by byte offset.",
    "outputs": "What workers left.",
    "events": "What happened, in order, numbered.",
    "coordinator": "The process that decides and remembers.",
}
RUN_PARTS = frozenset({"start", "stop", "rerun", "runs", "watch", "timeline", "workers"})

PATH_FIELDS: dict[str, Schema] = {
    "workflow": {"description": "A workflow, `etl`, or where a run is meant also `etl@12`", "example": "etl"},
    "worker": {"description": "A worker, or one instance of it, `train.4`", "example": "clean"},
    "port": {"description": "The name of an output", "example": "table"},
    "number": {"description": "The number of a run", "example": 12},
}
HEADER_FIELDS = {
    "key": ("Idempotency-Key", {"type": "string", "pattern": "^[!-~]{1,200}$"},
            "A name for this request: sent again, it starts nothing new"),
    "if_match": ("If-Match", {"type": "string"}, "Only if the document still has this `ETag`; `*` for any"),
}  # fmt: skip
IF_NONE_MATCH: Schema = {
    "name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"},
    "description": "The `ETag` that is known already: 304 when it is still the one",
}  # fmt: skip
UNCHANGED = "It is still the one that `If-None-Match` names"
EXAMPLES: dict[str, Schema] = {
    "create_workflow": {"document": {"name": "etl", "workers": {"clean": {"command": "echo clean"}}}},
    "replace_workflow": {"document": {"name": "etl", "workers": {"clean": {"command": "echo cleaner"}}}},
    "validate_document": {"text": "name: etl\nworkers: {clean: {command: echo clean}}\n"},
    "start_workflow": {"params": {}, "jobs": 4},
    "rerun_workflow": {"failed": True},
    "plan_workflow": {"params": {}},
    "put_output": {"value": 0.93},
    "put_progress": {"fraction": 0.4, "text": "epoch 4"},
    "prune_runs": {"keep": 10, "dry_run": True},
}
QUERIES = {"follow_many": {"runs": "etl", "logs": "etl/clean"}}
"""What a question needs that makes no sense without anything in the query."""
REFUSALS = {
    400: "A field, a header or the body makes no sense",
    401: "Nobody is logged in",
    403: "Not for this caller, or the request comes from another site",
    404: "No workflow, run, worker or port of that name",
    409: "Sound, but not in the present state; `code` says which: `run-active`, `not-running`, `name-taken`, …",
    412: "The document is no longer the one that the caller has seen",
    413: "The body is too large",
    415: "The body is not `application/json`",
    422: "The document or its params cannot be accepted, or not by this version; `problems` lists every reason",
    429: "This caller follows too many streams",
    500: "A bug of Wattle's own",
    503: "The coordinator is starting, or its disk cannot be written; come back after `Retry-After` seconds",
}


def openapi_document(base_url: str, version: str) -> Schema:
    """The whole document. `base_url` is the path below which the API is mounted, `/` or `/user/ada/`."""
    schemas = _schemas()
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.verb.lower()] = _operation(operation)
    paths |= _documents()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Wattle", "version": version, "description": ABOUT,
                 "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"}},
        "servers": [{"url": base_url.rstrip("/") or "/"}],
        "security": [{"token": []}, {"cookie": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items())), "responses": _refusals(),
                       "securitySchemes": _security()},
    }  # fmt: skip


# ---- operations --------------------------------------------------------------------------------------------


def _operation(operation: Operation) -> Schema:
    names = re.findall(r"\{(\w+)\}", operation.path)
    asked = _described(operation.request)
    fields = {name: schema for name, schema in asked["properties"].items() if name not in names}
    about = asked.get("description", "")
    found: Schema = {
        "operationId": operation.name, "summary": operation.help, "tags": [tag(operation.path)],
        "x-wattle-access": operation.access,
    }  # fmt: skip
    if about:
        found["description"] = about
    if operation.access != READ:
        found["security"] = [{"token": []}, {"cookie": [], "xsrf": []}]
    found["parameters"] = [*(_in_path(name) for name in names), *_in_headers(operation, fields)]
    if operation.verb in {"GET", "DELETE"}:
        found["parameters"] += [_in_query(operation, name, schema, asked) for name, schema in fields.items()]
    elif fields:
        content: Schema = {"schema": {"$ref": REF.format(name=operation.request)}}
        if operation.name in EXAMPLES:
            content["example"] = EXAMPLES[operation.name]
        found["requestBody"] = {"content": {"application/json": content}, "required": False}
    if operation.stream:
        found["parameters"].append(_poll())
        found["x-wattle-stream"] = _stream(operation)
    found["responses"] = {**_answers(operation), **_refused(operation, set(names) | set(fields))}
    return found


def _in_path(name: str) -> Schema:
    schema = {"type": "integer", "minimum": 0, "maximum": 999_999_999} if name == "number" else {
        "type": "string", "pattern": NAME}  # fmt: skip
    return {"name": name, "in": "path", "required": True, "schema": schema, **PATH_FIELDS[name]}


def _in_query(operation: Operation, name: str, schema: Schema, asked: Schema) -> Schema:
    plain = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    kinds = [kind for kind in plain.pop("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        plain |= kinds[0]
    elif kinds:
        plain["anyOf"] = kinds
    found: Schema = {"name": name, "in": "query", "required": name in asked["required"]}
    if "description" in plain:
        found["description"] = plain.pop("description")
    example = QUERIES.get(operation.name, {}).get(name)
    return {**found, "schema": plain, **({"example": example} if example else {})}


def _in_headers(operation: Operation, fields: Schema) -> list[Schema]:
    found = [{"name": header, "in": "header", "required": False, "description": text, "schema": schema}
             for field, (header, schema, text) in HEADER_FIELDS.items() if field in fields]  # fmt: skip
    if operation.name in RESUMED_BY:
        text = f"The `id` of the last event that was seen; it wins over `{RESUMED_BY[operation.name]}`"
        found.append({"name": "Last-Event-ID", "in": "header", "required": False, "description": text,
                      "schema": {"type": "string"}})  # fmt: skip
    if operation.verb == "GET" and _has_version(operation):
        found.append(IF_NONE_MATCH)
    return found


def _poll() -> Schema:
    return {"name": "poll", "in": "query", "required": False, "schema": {"type": "boolean", "default": False},
            "description": "Answer with what there is after the last id, or within some seconds, instead of a stream"}


def _stream(operation: Operation) -> Schema:
    kind: type[msgspec.Struct] = getattr(replies, operation.reply)
    fields = kind.__struct_fields__
    return {"id": next((name for name in ("position", "seq") if name in fields), None),
            "resume": RESUMED_BY.get(operation.name),
            "events": {"message": {"$ref": REF.format(name=operation.reply)},
                       "end": {"$ref": REF.format(name="StreamEnd")}, "resync": {"$ref": REF.format(name="Resync")},
                       "error": ERROR}}  # fmt: skip


def _has_version(operation: Operation) -> bool:
    return "etag" in getattr(replies, operation.reply).__struct_fields__


def _answers(operation: Operation) -> Schema:
    reply = {"$ref": REF.format(name=operation.reply)}
    if operation.stream:
        text = ("A stream of events. `message` (or no event name): what was asked for; `end`: it is complete; "
                "`resync`: connect again, with the last id; `error`: a refusal. `x-wattle-stream` has their data.")
        return {"200": {"description": text, "content": {
            "text/event-stream": {"schema": {"type": "string", "contentMediaType": "text/event-stream"}},
            "application/json": {"schema": _polled(reply)},
        }}}  # fmt: skip
    found: Schema = {"description": operation.help, "content": {"application/json": {"schema": reply}}}
    if not _has_version(operation):
        return {"200": found}
    etag = {"description": "Another text when the document is another", "schema": {"type": "string"}}
    found["headers"] = {"ETag": etag}
    unchanged = {"304": {"description": UNCHANGED}} if operation.verb == "GET" else {}
    return {"200": found, **unchanged}


def _polled(reply: Schema) -> Schema:
    kinds = [reply, *({"$ref": REF.format(name=name)} for name in ("StreamEnd", "Resync")), ERROR]
    event = {"type": "object", "required": ["id", "event", "data"], "properties": {
        "id": {"type": "string"}, "event": {"enum": ["message", "end", "resync", "error"]}, "data": {"anyOf": kinds},
    }}  # fmt: skip
    return {"type": "object", "required": ["events", "id"], "properties": {
        "events": {"type": "array", "items": event},
        "id": {"type": "string", "description": "What to send as `Last-Event-ID` next time"},
    }}  # fmt: skip


def _refused(operation: Operation, fields: set[str]) -> Schema:
    statuses = {400, 401, 403, 500, 503}
    statuses |= {404} if fields & {"workflow", "worker"} else set()
    statuses |= {409} if operation.access != READ else set()
    statuses |= {412} if "if_match" in fields else set()
    statuses |= {413, 415} if operation.verb in {"POST", "PUT"} else set()
    statuses |= {422} if operation.verb in {"POST", "PUT"} else set()
    statuses |= {429} if operation.stream else set()
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def tag(path: str) -> str:
    """The resource that a path is about."""
    parts = path.split("/")[2:]
    last = parts[-1]
    if "logs" in parts or "outputs" in parts:
        return "logs" if "logs" in parts else "outputs"
    if last in {"events", "stream"}:
        return "events"
    if parts[0] == "workers":
        return "workers"
    if parts[0] == "workflows":
        return "runs" if RUN_PARTS & set(parts) else "workflows"
    return {"runs": "runs", "validate": "workflows", "prune": "runs"}.get(last, "coordinator")


def _documents() -> dict[str, Schema]:
    """What is served beside the table."""
    found = {}
    for operation, kind in ((OPENAPI, "application/json"), (PAGE, "text/html"), (METRICS, "text/plain")):
        schema = {"type": "object" if kind == "application/json" else "string"}
        statuses = (401, 403, 500, 503) if operation is METRICS else (401, 403, 500)
        answers: Schema = {"200": {"description": operation.help, "content": {kind: {"schema": schema}}}}
        if operation is not METRICS:
            answers |= {"304": {"description": UNCHANGED}}
        answers |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
        found[operation.path] = {"get": {
            "operationId": operation.name, "summary": operation.help, "tags": ["coordinator"],
            "x-wattle-access": operation.access, "parameters": [] if operation is METRICS else [IF_NONE_MATCH],
            "responses": answers,
        }}  # fmt: skip
    return found


# ---- components --------------------------------------------------------------------------------------------


def _refusals() -> Schema:
    found: Schema = {}
    for status, text in REFUSALS.items():
        found[str(status)] = {"description": text, "content": {"application/json": {"schema": ERROR}}}
    found["503"]["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "string"}}}
    return found


def _security() -> Schema:
    return {
        "token": {"type": "http", "scheme": "bearer",
                  "description": "Jupyter's token: `Authorization: Bearer …` or `token …`. Never in a URL."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "username-localhost-8888",
                   "description": "A browser's login at Jupyter; the name holds the server's host and port."},
        "xsrf": {"type": "apiKey", "in": "header", "name": "X-XSRFToken",
                 "description": "Beside a cookie, what changes something also says the value of the cookie `_xsrf`."},
    }  # fmt: skip


def _schemas() -> dict[str, Schema]:
    """Bodies of requests without the fields that the path has, all replies, and what every operation shares."""
    bodies = {operation.request: re.findall(r"\{(\w+)\}", operation.path)
              for operation in OPERATIONS if operation.verb in {"POST", "PUT"}}  # fmt: skip
    kinds = [getattr(requests, name) for name in bodies] + [
        getattr(replies, name) for name in sorted({operation.reply for operation in OPERATIONS} | {"DocumentProblem"})]
    _, found = msgspec.json.schema_components(kinds, ref_template=REF)
    words = _words(requests) | _words(replies)
    for name, schema in found.items():
        _describe(name, schema, words)
        if name not in bodies:
            schema["required"] = list(schema["properties"])  # nothing is left out of an answer
    for name, path in bodies.items():
        for field in path:
            found[name]["properties"].pop(field, None)
        found[name]["required"] = [field for field in found[name]["required"] if field not in path]
    number = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    text = {"type": "string"}
    problems = {"type": "array", "items": {"$ref": REF.format(name="DocumentProblem")}}
    found["Error"] = {
        "title": "Error", "type": "object", "required": ["code", "message", "hint"],
        "description": "A refusal: `message` says what was wrong and where, `hint` what to do next.",
        "properties": {"code": text, "message": text, "hint": text, "problems": problems},
    }  # fmt: skip
    found["StreamEnd"] = {
        "title": "StreamEnd", "type": "object", "additionalProperties": False,
        "description": "How what was followed ended, where that is known.",
        "properties": {"status": text, "reason": text, "code": number, "signal": number},
    }  # fmt: skip
    found["Resync"] = {
        "title": "Resync", "type": "object", "additionalProperties": False,
        "description": "The coordinator is being replaced: connect again, with the last id.",
    }  # fmt: skip
    return {name: schema for name, schema in found.items() if name not in bodies or schema["properties"]}


def _described(name: str) -> Schema:
    """The schema of one request's own fields."""
    _, found = msgspec.json.schema_components([getattr(requests, name)], ref_template=REF)
    _describe(name, found[name], _words(requests))
    own: Schema = found[name]
    return own


def _describe(name: str, schema: Schema, words: dict[tuple[str, str], str]) -> None:
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    kind = getattr(requests, name, None) or getattr(replies, name)
    for base in kind.__mro__:
        for field, inner in schema.get("properties", {}).items():
            if (base.__name__, field) in words:
                inner.setdefault("description", words[base.__name__, field])


@cache
def _words(module: ModuleType) -> dict[tuple[str, str], str]:
    """(class, field) -> the text under the field, which Python itself forgets; nothing where there is no source."""
    found: dict[tuple[str, str], str] = {}
    try:
        source = inspect.getsource(module)
    except OSError:
        return found
    for kind in ast.parse(source).body:
        if isinstance(kind, ast.ClassDef):
            for field, text in zip(kind.body, kind.body[1:], strict=False):
                if (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)):  # fmt: skip
                    found[kind.name, field.target.id] = " ".join(str(text.value.value).split())
    return found
