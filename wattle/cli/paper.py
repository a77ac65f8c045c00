"""Pictures in files: `wattle graph --out` and `wattle gantt --out`. Imported for them alone, because drawing is slow
to import."""

from __future__ import annotations

from wattle.cli.grammar import is_file
from wattle.cli.session import run_of
from wattle.cli.unsaved import read_graph
from wattle.core.address import Address
from wattle.draw import draw_graph, draw_timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wattle.cli.session import Session


def graph(session: Session) -> int:
    """The graph of a workflow, a run or a document."""
    args = session.args
    if args.target is None or is_file(args.target):
        found = read_graph(session)
    else:
        found = session.ask("read", "get_graph", workflow=Address.parse(args.target).run)
    draw_graph(found, args.out)
    session.line(f"Wrote {args.out}.")
    return 0


def gantt(session: Session) -> int:
    """The timeline of a run."""
    draw_timeline(session.ask("read", "get_timeline", workflow=run_of(session)), session.args.out)
    session.line(f"Wrote {session.args.out}.")
    return 0
