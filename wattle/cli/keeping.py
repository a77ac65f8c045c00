"""The verbs that keep documents and forget runs."""

from __future__ import annotations

import json
import sys

from wattle.cli import documents, render
from wattle.cli.style import Style, size
from wattle.core.errors import DocumentError, InvalidRequest, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wattle.cli.session import Session, Verb


def validate(session: Session) -> int:
    """Exit code 2 when any document has a problem."""
    worst = 0
    for name in session.args.files or [None]:
        fields = documents.read(name, session.args.format)
        fields.pop("source")
        found = session.ask("read", "validate_document", **fields)
        if session.args.json:
            print(json.dumps(found, ensure_ascii=False))
        elif found["valid"]:
            print(f"{session.style.mark('completed')} {documents.last_name()}: {found['name']}, "
                  f"{found['workers']} workers")  # fmt: skip
            for text in found["warnings"]:
                print(f"  {session.style.paint('warning', 'warn')}  {text}")
        else:
            print(render.document_error_text(_problems(found), session.style, file=documents.last_name(),
                                             text=documents.last_text()))  # fmt: skip
        worst = max(worst, 0 if found["valid"] else DocumentError.exit_code)
    return worst


def _problems(found: Mapping[str, Any]) -> DocumentError:
    return DocumentError("", [Problem(**problem) for problem in found["problems"]])


def create(session: Session) -> int:
    """Save documents."""
    args = session.args
    for name in args.files:
        saved = session.ask("write", "create_workflow", **documents.read(name, args.format), name=args.name,
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
    print(f"Wrote {path}. Look at it, then: wattle run")
    return 0


def new(session: Session) -> int:
    """A worker more in the document, which must be right with it."""
    args = session.args
    script = sys.stdin.read() if args.script == "-" else args.script
    fields = documents.read(args.file, None)
    if fields["format"] != "yaml":
        raise InvalidRequest(f"{args.file} is not YAML, and only that can be added to.", "add the worker by hand")
    worker = documents.worker_text(args.name, args.command, script, args.inputs, args.outputs, args.needs)
    text = documents.with_worker(fields["text"], worker)
    found = session.ask("read", "validate_document", text=text, format="yaml", base_dir=fields["base_dir"])
    if not found["valid"]:
        print(render.document_error_text(_problems(found), session.style, file=args.file, text=text), file=sys.stderr)
        return DocumentError.exit_code
    with open(args.file, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"Added {args.name} to {args.file}:\n{worker}", end="")
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
