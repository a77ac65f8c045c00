"""The verbs that draw with characters."""

from __future__ import annotations

from wattle.cli import picture, timeline
from wattle.cli.session import run_of
from wattle.core.address import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wattle.cli.session import Session, Verb


def graph(session: Session) -> int:
    """A saved workflow or a run, drawn with characters."""
    address = Address.parse(session.args.target)
    return session.say(session.ask("read", "get_graph", workflow=address.run), picture.graph)


def gantt(session: Session) -> int:
    """When each worker of a run waited, started and ran."""
    return session.say(session.ask("read", "get_timeline", workflow=run_of(session)), timeline.timeline)


VERBS: dict[str, Verb] = {"graph": graph, "gantt": gantt}
