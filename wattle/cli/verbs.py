"""What each verb does: ask the coordinator, render the reply. One short function per verb."""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import cached_property

from wattle.cli import documents, picture, render
from wattle.cli.follow import Follower
from wattle.cli.grammar import is_file
from wattle.cli.style import Style, size
from wattle.core.address import Address
from wattle.core.environ import strip_secrets
from wattle.core.errors import Conflict, DocumentError, InvalidRequest, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from typing import Any

    from wattle.app import Connection
    from wattle.sdk.client import Client
    from wattle.settings import Settings


class Session:
    """One command: its words, its settings, and the connection that it needs, made when it is needed."""

    def __init__(self, settings: Settings, args: Namespace) -> None:
        self.settings = settings
        self.args = args
        self.style = Style(color=args.color)
        self._connection: Connection | None = None

    def client(self, need: str = "read") -> Client:
        """A client that can do what is needed."""
        if self._connection is None:
            self._connection = self.app.connect(self.settings, need)
        return self._connection.client

    @cached_property
    def app(self) -> Any:
        """The hallway."""
        from wattle import app  # the verbs that need no coordinator do not pay for it

        return app

    def reconnect(self, need: str) -> None:
        """Another connection, which can do more."""
        self.close()
        self._connection = self.app.connect(self.settings, need)

    def close(self) -> None:
        """Let go; a coordinator in this process hands unfinished runs over."""
        if self._connection is not None:
            self._connection.close(hand_over=True)

    def say(self, reply: Any, text: Callable[[Any, Style], str]) -> int:
        """Print a reply, as JSON if that was asked for."""
        print(json.dumps(reply, ensure_ascii=False) if self.args.json else text(reply, self.style))
        return 0

    def ask(self, need: str, operation: str, **fields: Any) -> dict[str, Any]:
        """One answer from a connection that can do what is needed."""
        return self.client(need).ask(operation, **fields)


# ---- documents ------------------------------------------------------------------------------------------------------


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
    from wattle.core.errors import Problem

    return DocumentError("", [Problem(**problem) for problem in found["problems"]])


def create(session: Session) -> int:
    """Save documents."""
    args = session.args
    for name in args.files:
        saved = session.ask("write", "create_workflow", **documents.read(name, args.format), name=args.name,
                            replace=args.replace)  # fmt: skip
        session.say(saved, lambda reply, _style: f"Saved {reply['name']}: {reply['workers']} workers, "
                                                 f"revision {reply['revision']}. wattle run {reply['name']}")  # fmt: skip
    return 0


def delete(session: Session) -> int:
    """A workflow, or one worker of it."""
    address = session.args.address
    if address.worker is None:
        done = session.ask("write", "delete_workflow", workflow=address.run)
        return session.say(done, lambda reply, _style: str(reply["message"]))
    left = session.ask("write", "delete_worker", workflow=address.run, worker=address.worker)
    return session.say(left, render.workflow_detail)


def export(session: Session) -> int:
    """A definition as a document."""
    args = session.args
    flow = session.ask("read", "get_workflow", workflow=args.name)
    from wattle.core.document import format_of, parse_document
    from wattle.core.document import render as rendered

    form = args.format or (format_of(args.file) if args.file else None) or "yaml"
    folder = os.path.dirname(os.path.abspath(args.file)) if args.file else os.getcwd()
    workflow = parse_document(flow["document"], base_dir=flow["working_dir"]).workflow
    text = rendered(workflow, form, relative_to=folder)
    if args.file is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    if os.path.exists(args.file):
        raise Conflict(f"There is a file {args.file} already.", "choose another name", code="exists")
    with open(args.file, "x", encoding="utf-8") as file:
        file.write(text)
    print(f"Wrote {args.file}.")
    return 0


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


# ---- runs -----------------------------------------------------------------------------------------------------------


def run(session: Session) -> int:
    """A document or a saved workflow, followed to its end."""
    args = session.args
    name = _saved(session, args.target, "write" if args.detach else "run")
    return _started(session, session.client().ask(
        "start_workflow", workflow=name, params=dict(args.params), jobs=args.jobs, environment=_environment(),
        key=os.urandom(16).hex(),
    ))  # fmt: skip


def _saved(session: Session, target: str | None, need: str) -> str:
    """The name of the workflow that is meant; a document is saved first."""
    args = session.args
    if target is not None and not is_file(target):
        session.client(need)
        return target
    fields = documents.read(target, args.format)
    flow = session.ask(need, "create_workflow", **fields, name=args.name, replace=args.replace)
    for text in flow["warnings"]:
        print(f"{session.style.paint('warning', 'warn')}  {text}", file=sys.stderr)
    return str(flow["name"])


def _started(session: Session, detail: Mapping[str, Any]) -> int:
    args, address = session.args, detail["address"]
    if getattr(args, "detach", False):
        return session.say(detail, lambda reply, _style: f"Started {reply['address']}.  wattle attach {reply['address']}")
    return _follow(session, address)


def _follow(session: Session, address: str) -> int:
    follower = Follower(session.client(), session.style, quiet=session.args.json)
    code = follower.follow(address)
    if session.args.json:
        print(json.dumps(session.client().ask("list_workers", workflow=address), ensure_ascii=False))
    return code


def _environment() -> dict[str, str]:
    return strip_secrets(dict(os.environ))


def plan(session: Session) -> int:
    """What would run; a document is checked, and not saved."""
    args = session.args
    if args.target is not None and not is_file(args.target):
        found = session.ask("read", "plan_workflow", workflow=args.target, params=dict(args.params), jobs=args.jobs)
        return session.say(found, render.plan)
    fields = documents.read(args.target, args.format)
    from wattle.host import plan_of

    found = plan_of(fields["text"], fields["format"], fields["base_dir"], dict(args.params), args.jobs,
                    session.settings)  # fmt: skip
    return session.say(found, render.plan)


def attach(session: Session) -> int:
    """Follow a run again. One that nobody drives is taken up."""
    address = _run_of(session)
    detail = session.ask("read", "list_workers", workflow=address)
    if detail["status"] in {"created", "running"} and session.ask("read", "get_health")["rank"] == "none":
        session.reconnect("run")
    return _follow(session, detail["address"])


def wait(session: Session) -> int:
    """Until the run has ended; says only how."""
    address = _run_of(session)
    follower = Follower(session.client("write"), session.style, quiet=True)
    code = follower.follow(address)
    board = follower.board
    if session.args.json:
        return max(code, session.say(session.ask("read", "list_workers", workflow=board.run["address"]), str))
    print(render.summary_line(board.run, board.warnings, session.style))
    return code


def _run_of(session: Session) -> str:
    address = session.args.address
    if address.worker is not None:
        raise InvalidRequest(f"{address} is a worker, and a run is meant.", f"wattle {session.args.verb} {address.run}")
    return str(address.run)


def stop(session: Session) -> int:
    """A run, or one worker of it."""
    args = session.args
    where: dict[str, Any] = {"workflow": args.address.run}
    if args.address.worker is None:
        detail = session.ask("write", "stop_workflow", **where, grace=args.grace)
        return session.say(detail, lambda reply, _style: f"Stopping {reply['address']}.  wattle wait {reply['address']}")
    detail = session.ask("write", "stop_worker", **where, worker=args.address.worker)
    return session.say(detail, lambda reply, _style: f"Stopping {reply['address']}/{args.address.worker}.")


def start(session: Session) -> int:
    """One worker alone."""
    where = _worker_of(session)
    need = "write" if session.args.detach else "run"
    return _started(session, session.ask(need, "start_worker", **where, environment=_environment()))


def restart(session: Session) -> int:
    """The next attempt of a worker, or a rerun from it."""
    detail = session.ask("write", "restart_worker", **_worker_of(session))
    return session.say(detail, lambda reply, _style: f"Restarting {session.args.address.worker} in {reply['address']}."
                                                     f"  wattle attach {reply['address']}")  # fmt: skip


def rerun(session: Session) -> int:
    """A new run like an earlier one."""
    args = session.args
    worker = args.from_worker or args.address.worker
    need = "write" if args.detach else "run"
    return _started(session, session.ask(need, "rerun_workflow", workflow=args.address.run, from_worker=worker,
                                         failed=args.failed, jobs=args.jobs))  # fmt: skip


def _worker_of(session: Session) -> dict[str, Any]:
    address = session.args.address
    if address.worker is None:
        raise InvalidRequest(f"{address} is a workflow, and a worker is meant.", f"write {address}/WORKER")
    return {"workflow": address.run, "worker": address.worker}


# ---- looking --------------------------------------------------------------------------------------------------------


def status(session: Session) -> int:
    """What runs; a run; a worker."""
    address = session.args.address
    if address is None:
        return session.say(session.ask("read", "list_all_runs", limit=20), render.runs)
    if address.worker is not None:
        return show(session)
    return session.say(session.ask("read", "list_workers", workflow=address.run), render.run_detail)


def logs(session: Session) -> int:
    """Of one worker, or of all workers of a run."""
    from wattle.cli.logs import LogPrinter

    args = session.args
    printer = LogPrinter(session.client(), args, raw=args.raw or not session.style.tty)
    if args.address.worker is not None:
        return printer.worker(args.address.run, args.address.worker)
    return printer.run(args.address.run)


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
        print(json.dumps(line, ensure_ascii=False) if args.json else render.event(line, session.style), flush=True)
    return 0


def graph(session: Session) -> int:
    """A workflow or run as a picture."""
    args = session.args
    if args.target is None or is_file(args.target):
        fields = documents.read(args.target, args.format)
        from wattle.host import graph_of

        found = graph_of(fields["text"], fields["format"], fields["base_dir"])
    else:
        found = session.ask("read", "get_graph", workflow=Address.parse(args.target).run)
    if args.out is not None:
        from wattle.draw import draw_graph

        draw_graph(found, args.out)
        print(f"Wrote {args.out}.")
        return 0
    return session.say(found, picture.graph)


def gantt(session: Session) -> int:
    """When each worker of a run waited, started and ran."""
    found = session.ask("read", "get_timeline", workflow=_run_of(session))
    if session.args.out is not None:
        from wattle.draw import draw_timeline

        draw_timeline(found, session.args.out)
        print(f"Wrote {session.args.out}.")
        return 0
    return session.say(found, picture.timeline)


def get(session: Session) -> int:
    """Outputs of a worker; one output's value or file."""
    args, address = session.args, session.args.address
    where = _worker_of(session)
    if address.port is None:
        return session.say(session.ask("read", "list_outputs", **where), render.outputs)
    found = session.ask("read", "get_output", **where, port=address.port)
    if not found["exists"]:
        raise NotFound(f"{found['address']} was not written: there is no {found['path']}.",
                       f"wattle logs {address.run}/{address.worker}")  # fmt: skip
    if args.out == "-":
        with open(found["path"], "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        return 0
    if args.out is not None:
        shutil.copyfile(found["path"], args.out)
        print(f"Wrote {args.out}.")
        return 0
    if found["type"] == "value":
        return session.say(found, lambda reply, _style: json.dumps(reply["value"], ensure_ascii=False))
    return session.say(found, lambda reply, _style: str(reply["path"]))


# ---- the house ------------------------------------------------------------------------------------------------------


def demo(session: Session) -> int:
    """Write the example and run it."""
    from wattle.demo.writing import FILES, write_demo

    args = session.args
    folder = args.folder
    done = "Wrote" if write_demo(folder) else "Found"
    if not args.json:
        print(f"{done} {folder}/ (wattle.yaml and {len(FILES) - 1} scripts). "
              "Running it on your own Python's standard library.\n")  # fmt: skip
    args.target, args.format, args.name, args.replace, args.params = f"{folder}/wattle.yaml", None, None, True, []
    code = run(session)
    if code == 0 and not args.json and not args.detach:
        print(f"  edit it   {folder}/wattle.yaml       then   cd {folder} && wattle run")
    return code


def up(session: Session) -> int:
    """A coordinator in the background."""
    health = session.app.bring_up(session.settings).ask("get_health")
    return session.say(health, lambda reply, _style: f"Coordinating in the background (process {reply['pid']}, "
                                                     f"{reply['unfinished_runs']} unfinished runs).")  # fmt: skip


def down(session: Session) -> int:
    """Its end."""
    args = session.args
    message = session.app.bring_down(session.settings, force=args.force, stop_runs=args.stop_runs)
    return session.say({"message": message}, lambda reply, _style: str(reply["message"]))


def doctor(session: Session) -> int:
    """Exit code 1 when something is not well."""
    found = session.app.doctor(session.settings)
    session.say(found, render.looks)
    return 0 if all(look["ok"] for look in found) else 1


def prune(session: Session) -> int:
    """Old runs, listed first."""
    args = session.args
    found = session.ask("write", "prune_runs", workflow=args.name, older_than=args.older_than, keep=args.keep,
                        dry_run=not args.yes)  # fmt: skip

    def text(reply: Mapping[str, Any], _style: Style) -> str:
        if not reply["runs"]:
            return "Nothing to prune."
        names = ", ".join(reply["runs"][:12]) + (f" and {len(reply['runs']) - 12} more" if len(reply["runs"]) > 12 else "")
        if reply["dry_run"]:
            return f"Would forget {len(reply['runs'])} runs ({size(reply['bytes'])}): {names}\nDo it with --yes."
        return f"Forgot {len(reply['runs'])} runs ({size(reply['bytes'])}): {names}"

    return session.say(found, text)


VERB_FUNCTIONS: dict[str, Callable[[Session], int]] = {
    "validate": validate, "create": create, "import": create, "delete": delete, "export": export, "init": init,
    "new": new, "run": run, "plan": plan, "attach": attach, "wait": wait, "stop": stop, "start": start,
    "restart": restart, "rerun": rerun, "status": status, "logs": logs, "list": list_, "show": show, "runs": runs,
    "events": events, "graph": graph, "gantt": gantt, "get": get, "demo": demo, "up": up, "down": down,
    "doctor": doctor, "prune": prune,
}  # fmt: skip
