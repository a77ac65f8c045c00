"""The OpenAPI document as a page to read: one file, no script, nothing loaded from anywhere.

Laws: made from the document alone, so it cannot say anything else; everything in it is escaped. Its one style sheet is
allowed by its hash, so the page is the same bytes for everybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from wattle.web.refstyle import BADGE, STYLE

Node = Mapping[str, Any]
VERBS = ("get", "post", "put", "delete")
POLICY = ("default-src 'none'; style-src 'sha256-"
          + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
          + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")  # fmt: skip
"""The Content-Security-Policy to send with the page."""
ACCESS = {"read": "looks", "write": "changes definitions", "execute": "starts or stops processes"}


def page_html(document: Node) -> str:
    """The whole page of an OpenAPI document."""
    info, url = document["info"], document["servers"][0]["url"].rstrip("/")
    rows = list(_rows(document))
    groups = [(tag, [row for row in rows if tag["name"] in row[2]["tags"]]) for tag in document["tags"]]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: the HTTP API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<nav><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f'<p>{_link(f"{url}/wattle", "what runs")}{_link(f"{url}/api/wattle/openapi.json", "openapi.json")}</p>'
        f"{''.join(_contents(tag, found) for tag, found in groups)}"
        '<h2><a href="#types">types</a></h2></nav>'
        f"<main><header>{prose(info['description'])}{_access(document, url)}</header>"
        f"{''.join(_group(document, tag, found) for tag, found in groups)}{_types(document)}</main></body></html>"
    )  # fmt: skip


def _rows(document: Node) -> Iterator[tuple[str, str, Node]]:
    for path, verbs in document["paths"].items():
        yield from ((path, verb, verbs[verb]) for verb in VERBS if verb in verbs)


# ---- the parts of the page --------------------------------------------------------------------------------------


def _contents(tag: Node, rows: list[tuple[str, str, Node]]) -> str:
    links = "".join(f'<li><a href="#{escape(row["operationId"])}">{_badge(verb)}'
                    f"<span>{escape(row['operationId'])}</span></a></li>" for _, verb, row in rows)  # fmt: skip
    return f'<h2><a href="#tag-{escape(tag["name"])}">{escape(tag["name"])}</a></h2><ul>{links}</ul>'


def _access(document: Node, url: str) -> str:
    schemes = document["components"]["securitySchemes"]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{prose(one['description'])}</dd>" for name, one in schemes.items())
    shell = f"URL=http://localhost:8888{url}\nTOKEN=…            # jupyter server list shows it"
    return f"<section class=box><h2>Access</h2><dl>{rows}</dl><pre><code>{escape(shell)}</code></pre></section>"


def _group(document: Node, tag: Node, rows: list[tuple[str, str, Node]]) -> str:
    name = escape(tag["name"])
    articles = "".join(_article(document, path, verb, row) for path, verb, row in rows)
    return (f'<section><h2 class=tag id="tag-{name}">{name}</h2><div class=lead>{prose(tag["description"])}</div>'
            f"{articles}</section>")  # fmt: skip


def _article(document: Node, path: str, verb: str, row: Node) -> str:
    name = escape(row["operationId"])
    about = prose(row["description"]) if "description" in row else ""
    access, command = row["x-wattle-access"], escape(curl(path, verb, row))
    return (
        f'<article id="{name}"><h3><a href="#{name}">{escape(row["summary"])}</a></h3>'
        f"<p class=path>{_badge(verb)}<code>{_path(path)}</code></p><div class=two><div>{about}{_parameters(row)}"
        f"{_body(document, row)}{_replies(row)}<p class=access>Needs the right to <b>{escape(access)}</b>: it "
        f"{escape(ACCESS[access])}.</p></div><div class=side><pre><code>{command}</code></pre>"
        f"{_shape(document, row)}</div></div></article>"
    )  # fmt: skip


def _link(target: str, text: str) -> str:
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def _badge(verb: str) -> str:
    return f'<b class="verb {verb}">{escape(BADGE[verb])}</b>'


def _path(path: str) -> str:
    # A long path may break behind a slash.
    return re.sub(r"\{(\w+)\}", r"<i>{\1}</i>", escape(path).replace("/", "/<wbr>"))


def _parameters(row: Node) -> str:
    found = ""
    for place, title in (("path", "In the path"), ("query", "In the query"), ("header", "Headers")):
        lines = "".join(_line(one["name"], one["schema"], one.get("description", ""), required=False)
                        for one in row["parameters"] if one["in"] == place)  # fmt: skip
        found += f"<h4>{title}</h4><table>{lines}</table>" if lines else ""
    return found


def _body(document: Node, row: Node) -> str:
    if "requestBody" not in row:
        return ""
    schema = _resolved(document, row["requestBody"]["content"]["application/json"]["schema"])
    return f"<h4>Body, a JSON object</h4>{_fields(schema)}"


def _fields(schema: Node) -> str:
    # Of what is answered all fields are always there: only what is asked has some that may be left out.
    needed = schema.get("required", ()) if schema.get("additionalProperties") is False else ()
    lines = "".join(_line(name, inner, inner.get("description", ""), required=name in needed)
                    for name, inner in schema.get("properties", {}).items())  # fmt: skip
    return f"<table>{lines}</table>" if lines else ""


def _line(name: str, schema: Node, about: str, *, required: bool) -> str:
    default = schema.get("default")
    shown = f" <small>= {escape(json.dumps(default))}</small>" if default not in (None, "", [], {}) else ""
    needed = " <em>required</em>" if required else ""
    words = f"<div>{prose(about)}</div>" if about else ""
    return f"<tr><th><code>{escape(name)}</code>{needed}<td>{kind(schema)}{shown}{words}</tr>"


def _replies(row: Node) -> str:
    good, bad = [], []
    for status, reply in row["responses"].items():
        if "$ref" in reply:
            bad.append(f'<a href="#refused-{escape(status)}">{escape(status)}</a>')
            continue
        kinds = " or ".join(f"{kind(content['schema']) if '$ref' in content['schema'] else ''} "
                            f"<small>{escape(name)}</small>" for name, content in reply.get("content", {}).items())
        headers = "".join(f", <code>{escape(name)}</code>" for name in reply.get("headers", {}))
        good.append(f"<tr><th><b class=ok>{escape(status)}</b><td>{kinds or prose(reply['description'])}{headers}</tr>")
    events = "".join(f"<tr><th><code>{escape(name)}</code><td>{kind(schema)}</tr>"
                     for name, schema in row.get("x-wattle-stream", {}).get("events", {}).items())  # fmt: skip
    stream = f"<h4>Events of the stream</h4><table>{events}</table>" if events else ""
    return f"<h4>Replies</h4><table>{''.join(good)}<tr><th>refused<td class=bad>{' '.join(bad)}</tr></table>{stream}"


def _shape(document: Node, row: Node) -> str:
    content = row["responses"]["200"].get("content", {})
    events = row.get("x-wattle-stream", {}).get("events", {})
    schema = events.get("message") or content.get("application/json", {}).get("schema", {})
    if "$ref" not in schema:
        return ""
    lines = [f'  "{escape(name)}": {kind(inner)}' for name, inner in _resolved(document, schema)["properties"].items()]
    body = "{\n" + ",\n".join(lines) + "\n}"
    title = f"data of <code>message</code>: {kind(schema)}" if events else kind(schema)
    return f"<details class=shape open><summary>{title}</summary><pre><code>{body}</code></pre></details>"


def _types(document: Node) -> str:
    components = document["components"]
    refused = "".join(
        f'<tr id="refused-{escape(status)}"><th><b class=no>{escape(status)}</b><td>{prose(reply["description"])}</tr>'
        for status, reply in components["responses"].items())  # fmt: skip
    types = "".join(
        f'<article id="type-{escape(name)}"><h3><a href="#type-{escape(name)}">{escape(name)}</a></h3>'
        f"{prose(schema['description']) if 'description' in schema else ''}{_fields(schema)}</article>"
        for name, schema in components["schemas"].items())  # fmt: skip
    return (f"<section><h2 class=tag id=refusals>refusals</h2><div class=lead><p>All of them are an "
            f'{kind({"$ref": "/Error"})}.</p></div><table>{refused}</table></section>'
            f"<section class=types><h2 class=tag id=types>types</h2>{types}</section>")  # fmt: skip


# ---- words --------------------------------------------------------------------------------------------------------


def kind(schema: Node) -> str:
    """A schema in a few words, with links to the types."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a class=type href="#type-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(kind(inner) for inner in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    word = str(schema.get("type", "any"))
    if word == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if word == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {kind(schema['additionalProperties'])}"
    least, most = schema.get("minimum"), schema.get("maximum")
    limits = f" {least:,}…{most:,}" if least is not None and most is not None and most < 1 << 53 else ""
    return escape({"string": "text", "object": "object", "boolean": "true or false"}.get(word, word) + limits)


def prose(text: str) -> str:
    """The little Markdown that the document uses: paragraphs, lists, `code`, **bold**."""
    found = ""
    for block in re.split(r"\n(?=\* )|\n\n|\n(?=\Z)", text.strip()):
        words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(block.removeprefix("* "), quote=False))
        words = re.sub(r"`(.+?)`", r"<code>\1</code>", words)
        found += f"<li>{words}</li>" if block.startswith("* ") else f"<p>{words}</p>"
    return re.sub(r"((?:<li>.*?</li>)+)", r"<ul>\1</ul>", found, flags=re.DOTALL)


def curl(path: str, verb: str, row: Node) -> str:
    """A command that does it."""
    given = {one["name"]: one["example"] for one in row["parameters"] if "example" in one}
    shown = re.sub(r"\{(\w+)\}", lambda found: quote(str(given.get(found[1], found[1])), safe="@"), path)
    query = "&".join(f"{one['name']}={quote(str(one.get('example', '')), safe='')}" for one in row["parameters"]
                     if one["in"] == "query" and (one["required"] or "example" in one))  # fmt: skip
    options = ("-N " if "x-wattle-stream" in row else "") + ("" if verb == "get" else f"-X {verb.upper()} ")
    target = shown + ("?" + query if query else "")
    lines = [f'curl {options}"$URL{target}"', '-H "Authorization: token $TOKEN"']
    content = row.get("requestBody", {}).get("content", {}).get("application/json")
    if content and "example" in content:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(content['example']))}"]
    return " \\\n  ".join(lines)


def _resolved(document: Node, schema: Node) -> Node:
    found: Node = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
