"""The verbs on documents that are read in this process: the plan and the graph of a file, and the export.

A file of its own because they need the reader of documents, which no verb against a coordinator pays for.
"""

from __future__ import annotations

import os

from msgspec import structs

from wattle.cli import picture, render
from wattle.cli.grammar import is_file
from wattle.core.document import format_of, parse, parse_document
from wattle.core.document import render as document_text
from wattle.core.errors import Conflict
from wattle.host import graph_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wattle.cli.session import Session
    from wattle.core.models import Worker, Workflow


def plan(session: Session) -> int:
    """What a start of this document would run; it is checked, and not saved."""
    args = session.args
    document = session.read(args.target, args.format)
    name = parse(document.text, document.form, base_dir=document.folder, name=None).workflow.name
    fields = session.fields(document)
    fields.pop("source", None)
    found = session.ask("read", "plan_workflow", workflow=name, params=dict(args.params), jobs=args.jobs,
                        stale=args.stale, environment=session.environment(), **fields)  # fmt: skip
    return session.say(found, render.plan)


def graph(session: Session) -> int:
    """The document drawn with characters."""
    return session.say(read_graph(session), picture.graph)


def read_graph(session: Session) -> dict[str, Any]:
    """The graph of the document that is meant. Raises `DocumentError`."""
    document = session.read(session.args.target, session.args.format)
    return graph_of(document.text, document.form, document.folder)


def _portable(worker: Worker) -> Worker:
    """A worker without what a kernel noted of its machine: its notebook, and its interpreter's path."""
    noted = worker.owner and worker.python is not None and os.path.isabs(worker.python)
    return structs.replace(worker, owner="", python=None if noted else worker.python)


def _exported(session: Session) -> Workflow:
    """The workflow that is meant: a saved one, or the one of a notebook. Raises `DocumentError` and `NotFound`."""
    if is_file(session.args.name):
        path, session.args.name = session.args.name, None
        document = session.read(path, None)
        return parse(document.text, document.form, base_dir=document.folder).workflow
    flow = session.ask("read", "get_workflow", workflow=session.args.name)
    return parse_document(flow["document"], base_dir=flow["working_dir"]).workflow


def export(session: Session) -> int:
    """A definition as a document; never over another file."""
    args = session.args
    found = _exported(session)
    workflow = structs.replace(found, workers=tuple(map(_portable, found.workers)))
    form = args.format or (format_of(args.file) if args.file else None) or "yaml"
    folder = os.path.dirname(os.path.abspath(args.file)) if args.file else os.getcwd()
    text = document_text(workflow, form, relative_to=folder).rstrip("\n")
    if args.file is None:
        session.line(text)
        return 0
    try:
        with open(args.file, "x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise Conflict(f"There is a file {args.file} already.", "choose another name", code="exists") from None
    except OSError as error:
        raise Conflict(f"{args.file} cannot be written: {error.strerror}.", "choose another place") from None
    session.line(f"Wrote {args.file}.")
    return 0
