"""What a program needs to reach the bus: where it is, who it may be there, and the configuration that follows.

    {"hub": "…", "endpoints": ["unixsock-stream//…/bus.sock", "tcp/127.0.0.1:24001"],
     "user": "…", "password": "…", "role": "kernel", "ca": "PEM, for tls/ endpoints"}

Laws: a file that holds a password is this user's and nobody else's, or it is refused. Nothing is ever left to the
defaults of Zenoh: no scouting, no gossip, no shared memory, no listening socket in a client. Off this machine only
TLS is spoken.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wattle.core.errors import Forbidden, InvalidRequest, Unreachable

ROLES = ("coordinator", "kernel", "worker")
ASK = "ask the coordinator for a new one"
LEASE_MS = 3000
"""A frozen session is noticed after the lease that it announced itself."""
OPEN_MS = 3000
"""A router that takes a connection and says nothing for so long is not there."""
_LOOPBACK = re.compile(r"tcp/(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d{1,5}")
_UNIX = "unixsock-stream/"
_TLS = re.compile(r"tls/[^/?#]+:\d{1,5}")


class Connection(NamedTuple):
    """A credential of one role, and the endpoints to try in their order. `ca` is a certificate as PEM text."""

    hub: str
    endpoints: tuple[str, ...]
    user: str
    password: str
    role: str
    ca: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The form of the file."""
        fields: dict[str, Any] = {**self._asdict(), "endpoints": list(self.endpoints)}
        if not self.ca:
            del fields["ca"]
        return fields


def read_connection(source: str | os.PathLike[str] | Mapping[str, Any]) -> Connection:
    """A connection from its file or from what such a file holds. Unknown fields are for later versions.

    Raises:
        Unreachable: there is no such file.
        Forbidden: other users can read the file, or it is another user's.
        InvalidRequest: a field is missing, or makes no sense.
    """
    fields = source if isinstance(source, Mapping) else _read(Path(source))
    try:
        texts = {name: fields[name] for name in ("hub", "user", "password", "role")}
        endpoints = tuple(fields["endpoints"])
    except (KeyError, TypeError) as error:
        raise InvalidRequest(f"The connection to the bus lacks {error}.", ASK) from None
    ca = fields.get("ca", "")
    if not endpoints or not all(isinstance(text, str) for text in (*texts.values(), *endpoints, ca)):
        raise InvalidRequest("The connection to the bus is not a list of endpoints and a credential.",
                             ASK)  # fmt: skip
    for endpoint in endpoints:
        check_endpoint(endpoint)
    return Connection(endpoints=endpoints, ca=ca, **texts)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if os.name != "nt" and (found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077):
                raise Forbidden(f"{path} holds a password and is open to others.", f"chmod 600 {path}")
            fields = json.load(file)
    except OSError as error:
        raise Unreachable(f"The connection to the bus cannot be read: {path}: {error.strerror}.",
                          "is the coordinator running? wattle status") from None  # fmt: skip
    except ValueError:
        raise InvalidRequest(f"{path} is not a connection: it is not JSON.", ASK) from None
    if not isinstance(fields, dict):
        raise InvalidRequest(f"{path} is not a connection: it is not one JSON object.",
                             ASK)  # fmt: skip
    return fields


def check_endpoint(endpoint: str) -> None:
    """Only a Unix socket, a port of this machine itself, or TLS.

    Raises:
        InvalidRequest: it is anything else.
    """
    if endpoint.startswith(_UNIX) and "#" not in endpoint and "?" not in endpoint:
        return
    if not _LOOPBACK.fullmatch(endpoint) and not _TLS.fullmatch(endpoint):
        raise InvalidRequest(f"{endpoint!r} is no endpoint of the bus: plain tcp does not leave this machine.",
                             "other machines are reached as tls/HOST:PORT")  # fmt: skip


def address_of(endpoint: str) -> str | tuple[str, int]:
    """What a plain socket connects to: a path, or host and port."""
    if endpoint.startswith(_UNIX):
        return endpoint.removeprefix(_UNIX)
    host, _, port = endpoint.partition("/")[2].rpartition(":")
    return host.strip("[]"), int(port)


def quiet() -> dict[str, Any]:
    """What is off for routers and clients alike."""
    return {"scouting": {"delay": 0, "multicast": {"enabled": False}, "gossip": {"enabled": False}},
            "adminspace": {"enabled": False}}  # fmt: skip


def client_config(connection: Connection) -> dict[str, Any]:
    """Zenoh's configuration of a client that tries each endpoint once, and reconnects for ever."""
    link: dict[str, Any] = {"tx": {"lease": LEASE_MS}}
    if connection.ca:
        link["tls"] = {"root_ca_certificate_base64": base64.b64encode(connection.ca.encode()).decode(),
                       "verify_name_on_connect": True}  # fmt: skip
    return {
        "mode": "client",
        "connect": {"endpoints": list(connection.endpoints), "timeout_ms": 0, "exit_on_failure": True,
                    "retry": {"period_init_ms": 50, "period_max_ms": 500, "period_increase_factor": 2}},
        **quiet(),
        "transport": {"unicast": {"open_timeout": OPEN_MS, "accept_timeout": OPEN_MS}, "link": link,
                      "shared_memory": {"enabled": False},
                      "auth": {"usrpwd": {"user": connection.user, "password": connection.password}}},
    }  # fmt: skip
