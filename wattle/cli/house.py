"""The verbs that see to the coordinator and the installation."""

from __future__ import annotations

from wattle import app
from wattle.cli import render
from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wattle.cli.session import Session, Verb


def _of_this_machine(session: Session) -> None:
    if session.remote is not None:
        raise InvalidRequest(f"wattle {session.args.verb} is about this machine, not about {session.remote.url}.",
                             "leave --url and WATTLE_URL out")  # fmt: skip


def up(session: Session) -> int:
    """A coordinator in the background."""
    _of_this_machine(session)
    with app.bring_up(session.settings) as client:
        health = client.ask("get_health")
    return session.say(health, lambda reply, _style: f"Coordinating in the background (process {reply['pid']}, "
                                                     f"{reply['unfinished_runs']} unfinished runs).")  # fmt: skip


def down(session: Session) -> int:
    """Its end."""
    _of_this_machine(session)
    args = session.args
    message = app.bring_down(session.settings, force=args.force, stop_runs=args.stop_runs)
    return session.say({"message": message}, lambda reply, _style: str(reply["message"]))


def doctor(session: Session) -> int:
    """Exit code 1 when something is not well."""
    found = app.doctor(session.settings)
    session.say(found, render.looks)
    return 0 if all(look["ok"] for look in found) else 1


VERBS: dict[str, Verb] = {"up": up, "down": down, "doctor": doctor}
