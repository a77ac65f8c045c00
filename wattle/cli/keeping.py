"""The verbs that keep documents and forget runs."""

from __future__ import annotations

import sys
from functools import partial

from wattle.cli import documents, render
from wattle.cli.style import Style, size
from wattle.core.errors import DocumentError, InvalidRequest, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wattle.cli.documents import Document
    from wattle.cli.session import Session, Verb


def validate(session: Session) -> int:
    """Exit code 2 when any document has a problem."""
    worst = 0
    for path in session.args.files or [None]:
        document = session.read(path, session.args.format)
        found = session.ask("read", "validate_document", **document.fields())
        session.say(found, partial(_verdict, document))
        worst = max(worst, 0 if found["valid"] else DocumentError.exit_code)
    return worst


def _verdict(document: Document, found: Mapping[str, Any], style: Style) -> str:
    if not found["valid"]:
        return render.document_error_text(_problems(found), style, document)
    count = found["workers"]
    lines = [f"{style.mark('completed')} {document.name}: {found['name']}, {count} worker{'' if count == 1 else 's'}"]
    return "\n".join([*lines, *(f"  {style.paint('warning', 'warn')}  {text}" for text in found["warnings"])])


def _problems(found: Mapping[str, Any]) -> DocumentError:
    return DocumentError("", [Problem(**problem) for problem in found["problems"]])


def create(session: Session) -> int:
    """Save documents."""
    args = session.args
    for path in args.files:
        document = session.read(path, args.format)
        saved = session.ask("write", "create_workflow", **session.fields(document), name=args.name,
                            replace=args.replace)  # fmt: skip
        session.say(saved, lambda reply, _style: f"Saved {reply['name']}: {reply['workers']} workers, revision "
                                                 f"{reply['revision']}.  wattle run {reply['name']}")  # fmt: skip
    return 0


def delete(session: Session) -> int:
    """A workflow, or one worker of it."""
    address = session.args.address
    if address.worker is None:
        done = session.ask("write", "delete_workflow", workflow=address.run)
        return session.say(done, lambda reply, _style: str(reply["message"]))
    left = session.ask("write", "delete_worker", workflow=address.run, worker=address.worker)
    return session.say(left, render.workflow_detail)


def init(session: Session) -> int:
    """A first document here."""
    path = documents.write_first(session.args.name)
    session.line(f"Wrote {path}. Look at it, then: wattle run")
    return 0


def new(session: Session) -> int:
    """A worker more in the document, which must be right with it; else nothing is changed."""
    args = session.args
    script = sys.stdin.read() if args.script == "-" else args.script
    document = session.read(args.file, None)
    if document.form != "yaml":
        raise InvalidRequest(f"{args.file} is not YAML, and only that can be added to.", "add the worker by hand")
    worker = documents.worker_text(args.name, args.command, script, args.inputs, args.outputs, args.needs)
    document.text = documents.with_worker(document.text, worker)
    found = session.ask("read", "validate_document", **document.fields())
    if not found["valid"]:
        raise _problems(found)
    documents.rewrite(document)
    session.line(f"Added {args.name} to {args.file}:\n{worker}".rstrip())
    return 0


def prune(session: Session) -> int:
    """Old runs, listed first."""
    args = session.args
    found = session.ask("write", "prune_runs", workflow=args.name, older_than=args.older_than, keep=args.keep,
                        dry_run=not args.yes)  # fmt: skip

    def text(reply: Mapping[str, Any], _style: Style) -> str:
        if not reply["runs"]:
            return "Nothing to prune."
        more = f" and {len(reply['runs']) - 12} more" if len(reply["runs"]) > 12 else ""
        names = ", ".join(reply["runs"][:12]) + more
        if reply["dry_run"]:
            return f"Would forget {len(reply['runs'])} runs ({size(reply['bytes'])}): {names}\nDo it with --yes."
        return f"Forgot {len(reply['runs'])} runs ({size(reply['bytes'])}): {names}"

    return session.say(found, text)


VERBS: dict[str, Verb] = {
    "validate": validate, "create": create, "import": create, "delete": delete, "init": init, "new": new,
    "prune": prune,
}  # fmt: skip
