"""What a cell can be: a workflow, a worker of one, or a run of its own.

Laws: everything is checked before anything is saved or started; every cell can run again and in any order.
"""

from __future__ import annotations

from jupyter_wattle.kernel import verbs
from jupyter_wattle.kernel.expanding import expanded
from wattle.cli.documents import Document
from wattle.sdk.flow import Flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jupyter_wattle.kernel.session import KernelSession
    from wattle.core.requests import Format

    CellVerb = Callable[[KernelSession, str], Any]


def workflow(session: KernelSession, cell: str) -> Any:
    """A document: saved and drawn, and with `--run` started. Lines of problems are those of the cell."""
    args, here = session.args, session.desk.here
    text = expanded("\n" + cell, here.shell.ev)
    form: Format = args.format or ("json" if cell.lstrip()[:1] == "{" else "yaml")
    session.document = Document("this cell", text, form, here.folder, here.source)
    saved = session.ask("write", "create_workflow", **session.fields(session.document), name=args.name,
                        replace=args.replace)  # fmt: skip
    for warning in saved["warnings"]:
        session.line(f"{session.style.paint('warning', 'warn')}  {warning}")
    if args.run:
        return verbs.started(session, saved["name"])
    return flow_of(session, saved["name"])


def flow_of(session: KernelSession, name: str) -> Flow:
    """A saved workflow as an object."""
    client = session.client("write")
    return Flow(name, lambda: client, source=session.desk.here.source)


CELLS: dict[str, CellVerb] = {"workflow": workflow}
