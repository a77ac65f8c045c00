"""The verbs that look, and the one that puts a value where they look."""

from __future__ import annotations

import shutil
import sys

from wattle.cli import render
from wattle.cli.session import worker_of
from wattle.cli.values import shown_value, value_of
from wattle.core.address import Address
from wattle.core.errors import InvalidRequest, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wattle.cli.session import Session, Verb


def status(session: Session) -> int:
    """What runs; a run; a worker."""
    address = session.args.address
    if address is None:
        return session.say(session.ask("read", "list_all_runs", limit=20), render.runs)
    if address.worker is not None:
        return show(session)
    return session.say(session.ask("read", "list_workers", workflow=address.run), render.run_detail)


def list_(session: Session) -> int:
    """All workflows."""
    found = session.ask("read", "list_workflows", status=session.args.status, tag=session.args.tag)
    return session.say(found, render.workflows)


def show(session: Session) -> int:
    """A workflow or a worker."""
    address = session.args.address
    if address.worker is None:
        return session.say(session.ask("read", "get_workflow", workflow=address.run), render.workflow_detail)
    found = session.ask("read", "get_worker", workflow=address.run, worker=address.worker)
    return session.say(found, render.worker_detail)


def runs(session: Session) -> int:
    """The runs of one workflow, or of all."""
    args = session.args
    if args.address is None:
        return session.say(session.ask("read", "list_all_runs", limit=args.limit), render.runs)
    return session.say(session.ask("read", "list_runs", workflow=args.address.workflow, limit=args.limit), render.runs)


def events(session: Session) -> int:
    """What happened, line by line."""
    args = session.args
    fields: dict[str, Any] = {"after": args.after, "follow": args.follow}
    operation = "follow_all_events"
    if args.address is not None:
        operation, fields["workflow"] = "follow_events", args.address.run
    for _, line in session.client().stream(operation, **fields):
        session.say(line, render.event)
    return 0


def get(session: Session) -> int:
    """Outputs of a worker; one output's value or file."""
    args, address = session.args, session.args.address
    where = worker_of(session)
    if address.port is None:
        return session.say(session.ask("read", "list_outputs", **where), render.outputs)
    found = session.ask("read", "get_output", **where, port=address.port)
    if found["type"] == "stream":
        raise InvalidRequest(f"{found['address']} is a stream: nothing of it is kept.", f"wattle tap {address}")
    if not found["exists"]:
        raise NotFound(f"{found['address']} was not written: there is no {found['path']}.",
                       f"wattle logs {address.run}/{address.worker}")  # fmt: skip
    if args.out == "-":
        with open(found["path"], "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        return 0
    if args.out is not None:
        shutil.copyfile(found["path"], args.out)
        session.line(f"Wrote {args.out}.")
        return 0
    if found["type"] == "value":
        return session.say(found, lambda reply, _style: shown_value(reply["value"], raw=args.raw))
    return session.say(found, lambda reply, _style: str(reply["path"]))


def put(session: Session) -> int:
    """One value of a worker that runs."""
    args = session.args
    address = Address.parse(args.address)
    if address.worker is None or address.port is None:
        raise InvalidRequest(f"{address} is no output: whose value is it?",
                             f"write WORKFLOW/WORKER/{address.port or address.worker or address.workflow}; "
                             "alone it means a port inside a worker's own script")  # fmt: skip
    done = session.ask("write", "put_output", workflow=address.run, worker=address.worker, port=address.port,
                       value=value_of(args.value, text=args.text))  # fmt: skip
    return session.say(done, lambda reply, _style: f"Put {reply['address']}: {shown_value(reply['value'])}")


VERBS: dict[str, Verb] = {
    "status": status, "list": list_, "show": show, "runs": runs, "events": events, "get": get,
    "put": put,
}  # fmt: skip
