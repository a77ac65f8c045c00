"""Definitions as they are sent and kept: reading a document, whose name it is, and whether it has changed since."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable

import msgspec

from wattle.core.document import Parsed, parse, parse_document
from wattle.core.errors import Changed, Conflict, InvalidRequest
from wattle.core.models import Workflow
from wattle.core.records import WorkflowRecord
from wattle.core.requests import CreateWorkflow

_TAGS = re.compile(r'\*|(W/)?"([^"]*)"|([^\s",]+)')


def read_document(request: CreateWorkflow, default_folder: Callable[[str], str]) -> Parsed:
    """The workflow that a request holds. Raises DocumentError and InvalidRequest."""
    if (request.document is None) == (request.text is None):
        raise InvalidRequest("a workflow is sent either as `document` or as `text`", "send exactly one of them")

    def read(folder: str) -> Parsed:
        if request.text is not None:
            return parse(request.text, request.format, base_dir=folder, name=request.name)
        return parse_document(request.document or {}, base_dir=folder, name=request.name)

    return read(request.base_dir or default_folder(read("/").workflow.name))


def check_owner(existing: WorkflowRecord, request: CreateWorkflow) -> None:
    """Raises Conflict when the name belongs to another source that still exists."""
    same = request.replace or (bool(request.source) and existing.source == request.source)
    if same or (existing.source and not os.path.exists(existing.source)):
        return
    origin = existing.source or "a request without a file"
    raise Conflict(
        f"The name {existing.name} is taken by the workflow from {origin}.",
        "take another name with --name, or take this one over with --replace", code="name-taken",
    )  # fmt: skip


def saved(existing: WorkflowRecord | None, parsed: Parsed, source: str, now: float) -> WorkflowRecord:
    """The record with this document; the same record when nothing differs."""
    document = parsed.workflow
    if existing is None:
        return WorkflowRecord(name=document.name, document=document, source=source, created_at=now, updated_at=now)
    gone = existing.deleted_at is not None
    if not gone and existing.document == document and existing.source == source:
        return existing
    return WorkflowRecord(
        name=document.name, document=document, source=source, revision=existing.revision + 1,
        last_run=existing.last_run, created_at=now if gone else existing.created_at, updated_at=now,
    )  # fmt: skip


def etag(document: Workflow) -> str:
    """A text that is another one when the document is."""
    return hashlib.sha256(msgspec.json.encode(document)).hexdigest()[:32]


def check_match(existing: WorkflowRecord | None, name: str, wanted: str | None) -> None:
    """`wanted` is the header If-Match, or a bare tag: raises Changed when what is stored is none of these."""
    if wanted is None:
        return
    present = existing is not None and existing.deleted_at is None
    now = etag(existing.document) if existing is not None and present else None
    for found in _TAGS.finditer(wanted):
        if (present and found[0] == "*") or (found[1] is None and now is not None and now in {found[2], found[3]}):
            return
    raise Changed(f"The workflow {name} has changed since, or is gone.", f"look at it again: wattle show {name}")
