"""`wattle bus`: how the bus is and who is on it; certificates and credentials for other hosts.

Law: a password is written into a 0600 file, or to whoever asks for the standard output by name; never shown.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path

from wattle import app
from wattle.bus.certificates import make_tls
from wattle.bus.connection import read_connection
from wattle.bus.keys import Keys, parse
from wattle.bus.private import write_private
from wattle.bus.tls import tls_endpoint
from wattle.core.errors import Conflict, InvalidRequest, WattleError
from wattle.hostbus import tls_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wattle.cli.session import Session
    from wattle.cli.style import Style

PORT = 7447
"""Where other hosts usually find a Zenoh router."""
LOOK_SECONDS = 0.3


def bus(session: Session) -> int:
    """What is asked of it."""
    if session.remote is not None:
        raise InvalidRequest(f"wattle bus is about this machine, not about {session.remote.url}.",
                             "leave --url and WATTLE_URL out")  # fmt: skip
    return {"state": _state, "init-tls": _init_tls, "export": _export}[session.args.what](session)


def _state(session: Session) -> int:
    health = session.ask("read", "get_health")
    found: dict[str, Any] = {"state": health["bus"] or "There is no bus: nobody coordinates here.", "up": False,
                             "tls": session.settings.zenoh_tls, "alive": []}  # fmt: skip
    if health["bus"]:
        try:
            found["alive"], found["up"] = _alive(session), True
        except WattleError:  # the sentence says why
            found["up"] = False
    session.say(found, _shown)
    return 0 if found["up"] else 1


def _alive(session: Session) -> list[str]:
    """Who has a token on the bus: `coordinator`, workers by their address, kernels by their name."""
    services, found = app.services(session.settings), set[str]()
    with services.session as bus:
        keys = Keys(bus.hub)
        bus.watch_liveliness(keys.everything("alive"), lambda key, here: found.add(key) if here else None)
        bus.flush()
        time.sleep(LOOK_SECONDS)
    parsed = [key for key in map(parse, found) if key is not None]
    return sorted(f"{key.workflow}@{key.run}/{key.worker}" if key.workflow else key.name for key in parsed)


def _shown(found: dict[str, Any], style: Style) -> str:
    lines = [f"{style.mark('completed' if found['up'] else 'failed')} {found['state']}"]
    names = found["alive"]
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        lines.append(f"  on it        {', '.join(names[:8])}{more}")
    lines.append(f"  other hosts  {'tls/' + found['tls'] if found['tls'] else 'none; wattle bus init-tls HOST'}")
    return "\n".join(lines)


def _init_tls(session: Session) -> int:
    """Certificates for this host, which are never replaced by chance."""
    args, folder = session.args, tls_folder(session.settings)
    if args.name is None:
        raise InvalidRequest("Which name do other hosts call this machine by?", "wattle bus init-tls HOST[:PORT]")
    host, port = _host(args.name)
    if (folder / "host.key").exists() and not args.replace:
        raise Conflict(f"There are certificates in {folder} already.",
                       "--replace makes new ones, and every connection that was given away is void")  # fmt: skip
    make_tls(folder, host, now=dt.datetime.fromtimestamp(session.style.now(), dt.UTC))
    endpoint = tls_endpoint(folder, host, port).endpoint
    done = {"folder": str(folder), "endpoint": endpoint, "ca": str(folder / "ca.pem")}

    def text(_done: dict[str, Any], _style: Style) -> str:
        return (f"Made certificates for {host} in {folder}.\n"
                f"Open the bus to other hosts in the settings, then begin anew (wattle down; wattle up):\n"
                f"    [zenoh]\n    tls = \"{endpoint.removeprefix('tls/')}\"\n"
                f"A host that is to come in gets a file:  wattle bus export FILE")  # fmt: skip

    return session.say(done, text)


def _host(text: str) -> tuple[str, int]:
    """Host and port. An IPv6 address with a port stands in brackets."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or (":" in host and not host.endswith("]")):
        return text.strip("[]"), PORT
    return host.strip("[]"), int(port)


def _export(session: Session) -> int:
    """The connection of another host: the TLS endpoint, a credential, and the authority's certificate."""
    args, settings = session.args, session.settings
    host, port = _host(settings.zenoh_tls) if settings.zenoh_tls else ("", 0)
    if not host:
        raise InvalidRequest("The bus is not open to other hosts.", "wattle bus init-tls HOST says how")
    if args.name is None:
        raise InvalidRequest("Where is the connection to be written?", "wattle bus export FILE (- is standard output)")
    tls = tls_endpoint(tls_folder(settings), host, port)
    here = read_connection(settings.runtime_dir / "bus" / f"connection-{args.role}.json")
    there = here._replace(endpoints=(tls.endpoint,), ca=Path(tls.ca).read_text("ascii"))
    text = json.dumps({"bus": there.to_dict(), "bus_state": "up"})
    if args.name == "-":
        session.line(text)
        return 0
    try:
        write_private(Path(args.name), text)
    except OSError as error:
        raise InvalidRequest(f"{args.name} cannot be written: {error.strerror}.", "name another file") from None
    return session.say({"file": args.name, "role": args.role}, lambda *_: (
        f"Wrote {args.name}: it holds a password of the role {args.role}. Keep it 0600, and name it in "
        "WATTLE_CONNECTION there."))  # fmt: skip


