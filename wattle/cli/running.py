"""The verbs that run, follow and stop."""

from __future__ import annotations

import os
import sys
from functools import partial

from wattle.cli import render
from wattle.cli.conclusion import summary_line
from wattle.cli.follow import LEFT, Follower
from wattle.cli.grammar import is_file
from wattle.cli.session import run_of, worker_of
from wattle.demo.writing import FILES, write_demo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wattle.cli.session import Session, Verb


def run(session: Session) -> int:
    """A document or a saved workflow, followed to its end."""
    args = session.args
    name = saved(session, args.target, "write" if args.detach else "run")
    return _started(session, partial(
        session.client().ask, "start_workflow", workflow=name, params=dict(args.params), jobs=args.jobs,
        stale=args.stale, key=os.urandom(16).hex(), environment=session.environment(),
    ))  # fmt: skip


def saved(session: Session, target: str | None, need: str) -> str:
    """The name of the workflow that is meant; a document is saved first."""
    args = session.args
    if target is not None and not is_file(target):
        session.client(need)
        return target
    document = session.read(target, args.format)
    flow = session.ask(need, "create_workflow", **session.fields(document), name=args.name,
                       replace=args.replace)  # fmt: skip
    for text in flow["warnings"]:
        print(f"{session.style.paint('warning', 'warn')}  {text}", file=sys.stderr)
    return str(flow["name"])


def _started(session: Session, start: Callable[[], Mapping[str, Any]]) -> int:
    """Start a run, and follow it unless it is to be left alone."""
    if getattr(session.args, "detach", False):
        detail = start()
        address = detail["address"]
        return session.say(detail, lambda _reply, _style: f"Started {address}.  wattle attach {address}")
    return _follow(session, lambda: str(start()["address"]))


def _follow(session: Session, begin: Callable[[], str], *, owner: bool = True) -> int:
    follower = Follower(session.client(), session.style, quiet=session.args.json, owner=owner, lasting=session.lasting)
    code = follower.follow(begin)
    if session.args.json and follower.board.run:
        session.say(session.ask("read", "list_workers", workflow=follower.board.run["address"]), render.run_detail)
    return code


def plan(session: Session) -> int:
    """What a start of a saved workflow would run."""
    args = session.args
    found = session.ask("read", "plan_workflow", workflow=args.target, params=dict(args.params), jobs=args.jobs,
                        stale=args.stale, environment=session.environment())  # fmt: skip
    return session.say(found, render.plan)


def attach(session: Session) -> int:
    """Follow a run again. One that nobody drives is taken up."""
    address = _driven(session, "run")
    return _follow(session, lambda: address, owner=False)


def _driven(session: Session, need: str) -> str:
    """The run that is meant. One that has not ended and that nobody drives is taken up."""
    detail = session.ask("read", "list_workers", workflow=run_of(session))
    if detail["status"] in {"created", "running"} and session.ask("read", "get_health")["rank"] == "none":
        session.reconnect(need)
    return str(detail["address"])


def wait(session: Session) -> int:
    """Until the run has ended; says only how."""
    address = _driven(session, "write")
    follower = Follower(session.client(), session.style, quiet=True, owner=False)
    code = follower.follow(lambda: address)
    board = follower.board
    if code == LEFT:
        return code
    found = session.ask("read", "list_workers", workflow=address) if session.args.json else board.run
    session.say(found, lambda run, style: summary_line(run, board.warnings, style))
    return code


def stop(session: Session) -> int:
    """A run, or one worker of it."""
    args = session.args
    where: dict[str, Any] = {"workflow": args.address.run}
    if args.address.worker is None:
        detail = session.ask("write", "stop_workflow", **where, grace=args.grace)
        name = detail["address"]
        return session.say(detail, lambda _reply, _style: f"Stopping {name}.  wattle wait {name}")
    detail = session.ask("write", "stop_worker", **where, worker=args.address.worker)
    return session.say(detail, lambda reply, _style: f"Stopping {reply['address']}/{args.address.worker}.")


def start(session: Session) -> int:
    """One worker alone."""
    where = worker_of(session)
    need = "write" if session.args.detach else "run"
    client = session.client(need)
    return _started(session, partial(client.ask, "start_worker", **where, environment=session.environment()))


def restart(session: Session) -> int:
    """The next attempt of a worker, or a rerun from it."""
    detail = session.ask("write", "restart_worker", **worker_of(session))
    return session.say(detail, lambda reply, _style: f"Restarting {session.args.address.worker} in {reply['address']}."
                                                     f"  wattle attach {reply['address']}")  # fmt: skip


def rerun(session: Session) -> int:
    """A new run like an earlier one."""
    args = session.args
    worker = args.from_worker or args.address.worker
    client = session.client("write" if args.detach else "run")
    return _started(session, partial(client.ask, "rerun_workflow", workflow=args.address.run, from_worker=worker,
                                     failed=args.failed, jobs=args.jobs))  # fmt: skip


def demo(session: Session) -> int:
    """Write the example and run it."""
    args = session.args
    folder = args.folder
    done = "Wrote" if write_demo(folder) else "Found"
    if not args.json:
        session.line(f"{done} {folder}/ (wattle.yaml and {len(FILES) - 1} scripts). "
                     "Running it on your own Python's standard library.\n")  # fmt: skip
    args.target, args.format, args.name, args.replace, args.params = f"{folder}/wattle.yaml", None, None, True, []
    args.stale = False
    code = run(session)
    if code == 0 and not args.json and not args.detach:
        session.line(f"  edit it   {folder}/wattle.yaml       then   cd {folder} && wattle run")
        session.line("  Jupyter   jupyter lab, then in a cell:  %load_ext wattle")
    return code


VERBS: dict[str, Verb] = {
    "run": run, "plan": plan, "attach": attach, "wait": wait, "stop": stop, "start": start, "restart": restart,
    "rerun": rerun, "demo": demo,
}  # fmt: skip
