"""Which function does a verb: the same for the terminal and for a kernel.

Law: every verb pays for its own imports only.
"""

from __future__ import annotations

from wattle.cli.grammar import is_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from wattle.cli.session import Verb


def verb_of(args: Namespace) -> Verb:
    """The function of a verb, from the module that has what it needs."""
    verb, target = args.verb, getattr(args, "target", "")
    if verb in {"graph", "gantt"} and args.out is not None:
        from wattle.cli import paper

        return paper.graph if verb == "graph" else paper.gantt
    if verb == "export" or (verb in {"plan", "graph"} and (target is None or is_file(target))):
        from wattle.cli import unsaved

        return {"export": unsaved.export, "plan": unsaved.plan, "graph": unsaved.graph}[verb]
    if verb == "logs":
        from wattle.cli.logs import logs

        return logs
    if verb in {"up", "down", "doctor"}:
        from wattle.cli import house

        return house.VERBS[verb]
    if verb in {"graph", "gantt"}:
        from wattle.cli import sketching

        return sketching.VERBS[verb]
    if verb in {"bus", "sub", "query", "pub", "tap", "pipe"}:
        return _of_the_bus(verb)
    if verb in {"status", "list", "show", "runs", "events", "get", "put"}:
        from wattle.cli import looking

        return looking.VERBS[verb]
    if verb in {"validate", "create", "import", "delete", "init", "new", "prune"}:
        from wattle.cli import keeping

        return keeping.VERBS[verb]
    from wattle.cli import running

    return running.VERBS[verb]


def _of_the_bus(verb: str) -> Verb:
    if verb == "bus":
        from wattle.cli.bus import bus

        return bus
    if verb in {"sub", "query", "pub"}:
        from wattle.cli import live

        return live.VERBS[verb]
    if verb == "tap":
        from wattle.cli.tap import tap

        return tap
    from wattle.cli.pipe import pipe

    return pipe
