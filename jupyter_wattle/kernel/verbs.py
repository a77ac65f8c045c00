"""The verbs that are another thing in a kernel than in a terminal: what runs comes back at once, as an object.

Laws: `run` and its like never wait, unless nobody sits there: then they do, and a run that does not complete fails the
cell. `wait` and `pull` wait, and leaving them never touches the run.
"""

from __future__ import annotations

import os
import re

from wattle.cli import running
from wattle.cli.grammar import is_file
from wattle.cli.logs import LogPrinter
from wattle.cli.session import run_of, worker_of
from wattle.cli.verbs import verb_of
from wattle.core.address import Address
from wattle.core.errors import Conflict, InvalidRequest
from wattle.demo.writing import write_demo
from wattle.sdk.flow import Flow
from wattle.sdk.runs import FINAL, Run, output_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jupyter_wattle.kernel.session import KernelSession

    KernelVerb = Callable[[KernelSession], Any]


class Left(KeyboardInterrupt):
    """Ctrl-C while something was waited for. The run goes on; what follows this cell does not."""

    def __init__(self, address: str) -> None:
        super().__init__(f"Left {address} running.  %wattle attach {address}")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def run(session: KernelSession) -> Run:
    """A document or a saved workflow, started."""
    args = session.args
    name = running.saved(session, args.target, "write")
    return started(session, name)


def started(session: KernelSession, name: str, *, focus: str | None = None) -> Run:
    """Start a saved workflow; the words are those of `run` as far as there are any. `focus` is the worker that its view
    is about."""
    args, client = session.args, session.client("write")
    _tell_who_waits(session, name)
    return followed(session, client.ask(
        "start_workflow", workflow=name, params=dict(getattr(args, "params", ())), jobs=getattr(args, "jobs", None),
        stale=getattr(args, "stale", False), key=os.urandom(16).hex(), environment=session.environment(),
    ), focus=focus)  # fmt: skip


def _tell_who_waits(session: KernelSession, name: str) -> None:
    """Workers of cells that are not in the workflow yet. Raises `Conflict` where nobody would see that they are not."""
    part = session.desk.parts.get(name)
    if part is None or not part.waiting:
        return
    late = ", ".join(f"{name}/{worker}" for worker in part.waiting)
    told = f"not in it: {late}, for want of the workers that {'it takes' if len(part.waiting) == 1 else 'they take'} in"
    if session.desk.here.headless:
        raise Conflict(f"{name} is not complete; {told}.", "define those workers, or mend the names after --in")
    session.line(f"{session.style.paint('warning', 'warn')}  {told}.")


def followed(session: KernelSession, detail: dict[str, Any], *, focus: str | None = None) -> Run:
    """The run that was started; where nobody sits, at its end. Raises `RunFailed` when it does not complete there."""
    found = session.run(detail)
    if focus is not None:
        found.aspect, found.focus = "logs", focus
    if session.desk.here.headless:
        waited(found)
    return found


def waited(found: Run) -> Run:
    """The run at its end. Raises `RunFailed` with all that a person needs to know, or `Left`."""
    try:
        found.wait(check=False)
    except KeyboardInterrupt:
        raise Left(found.address) from None
    found.raise_for_status()
    return found


def attach(session: KernelSession) -> Run:
    """A run again, from wherever it was started, with all that it said; the newest one when none is named."""
    return Run.find(session.client("write"), run_of(session))


def wait(session: KernelSession) -> Run:
    """Until a run has ended."""
    return waited(Run.find(session.client("write"), run_of(session)))


def start(session: KernelSession) -> Run:
    """One worker alone."""
    where = worker_of(session)
    client = session.client("write")
    return followed(session, client.ask("start_worker", **where, environment=session.environment()))


def restart(session: KernelSession) -> Run:
    """The next attempt of a worker, or a rerun from it."""
    return followed(session, session.ask("write", "restart_worker", **worker_of(session)))


def rerun(session: KernelSession) -> Run:
    """A new run like an earlier one."""
    args = session.args
    return followed(session, session.ask(
        "write", "rerun_workflow", workflow=args.address.run, from_worker=args.from_worker or args.address.worker,
        failed=args.failed, jobs=args.jobs,
    ))  # fmt: skip


def demo(session: KernelSession) -> Run:
    """Write the example and run it."""
    args = session.args
    done = "Wrote" if write_demo(args.folder) else "Found"
    session.line(f"{done} {args.folder}/. It runs on your own Python's standard library.")
    args.target, args.format, args.name, args.replace, args.params = f"{args.folder}/wattle.yaml", None, None, True, []
    args.stale = False
    return run(session)


def gantt(session: KernelSession) -> Any:
    """When each worker waited and ran: a run, shown so; in a terminal the text."""
    if _is_plain(session):
        return _as_in_a_terminal(session)
    found = Run.find(session.client(), run_of(session))
    found.aspect = "gantt"
    return found


def graph(session: KernelSession) -> Any:
    """A workflow or a run as an object that draws itself; in a terminal, and of a document, the text."""
    target = session.args.target
    if _is_plain(session) or target is None or is_file(target):
        return _as_in_a_terminal(session)
    address = Address.parse(target)
    client = session.client()
    if address.number is not None:
        return Run.find(client, address.run)
    client.ask("get_graph", workflow=address.run)
    return Flow(address.workflow, lambda: client)


def _is_plain(session: KernelSession) -> bool:
    """Whether values, a file or text are asked for and no view."""
    return bool(session.args.json or session.args.out or session.desk.here.front_end == "text")


def _as_in_a_terminal(session: KernelSession) -> Any:
    verb_of(session.args)(session)
    return session.answer()


def logs(session: KernelSession) -> Any:
    """Printed, as in a terminal, without control characters. To follow a worker is a live view that holds nobody up,
    where the page can follow it."""
    args = session.args
    here = session.desk.here
    if args.follow and args.address.worker and here.front_end == "mime" and here.served and not here.headless:
        found = Run.find(session.client(), args.address.run)
        found.aspect, found.focus = "logs", args.address.worker
        return found
    printer = LogPrinter(session.client(), args, raw=False)
    try:
        if args.address.worker is not None:
            printer.worker(args.address.run, args.address.worker)
        else:
            printer.run(args.address.run)
    except KeyboardInterrupt:
        raise Left(args.address.run) from None
    return None


def pull(session: KernelSession) -> Any:
    """An output as a variable of the kernel. Returns its value; the shell names it."""
    address, words = session.args.address, session.args.as_
    if words[:1] == ["as"]:
        words = words[1:]
    name = words[0] if words else address.port or ""
    if len(words) > 1 or (words and not re.fullmatch(r"[^\W\d]\w*", name)):
        raise InvalidRequest(f"'{' '.join(words)}' is not the name of a variable.", f"%wattle pull {address} as table")
    value, port = pulled(session, address)
    session.desk.here.shell.push({name or port: value})
    session.line(f"{name or port} = {_kind(value)}")
    return None


def pulled(session: KernelSession, address: Address) -> tuple[Any, str]:
    """The value of an output and its port, once its worker has ended. Raises `WattleError` and `Left`."""
    client = session.client("write")
    if address.worker is None:
        output_of(client, address)
    found = Run.find(client, address.run)
    states = [state for state in found.detail["workers"] if address.worker in {state["name"], state["group"]}]
    if not all(state["status"] in FINAL for state in states):
        try:
            if found.wait_for(address.worker or "") != "completed":
                found.wait()  # it ends soon, or goes on with what does not depend on that worker
        except KeyboardInterrupt:
            raise Left(found.address) from None
    return found.value(address)


def _kind(value: Any) -> str:
    """`DataFrame, 12 × 3`: what a person wants to know of a value at once."""
    name = type(value).__name__
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{name}, {' × '.join(map(str, shape))}"
    if isinstance(value, list | dict | str | bytes):
        return f"{name}, {len(value)} long"
    text = str(value)
    return text if len(text) <= 60 else name


VERBS: dict[str, KernelVerb] = {
    "run": run, "attach": attach, "wait": wait, "start": start, "restart": restart, "rerun": rerun, "demo": demo,
    "logs": logs, "pull": pull, "graph": graph, "gantt": gantt,
}  # fmt: skip
