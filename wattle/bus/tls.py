"""The bus for other hosts: an endpoint with TLS, from certificates of this user's making (`bus/certificates.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wattle.core.errors import InvalidRequest


class Tls(NamedTuple):
    """An endpoint for other hosts: where to listen, where they connect, and the files (PEM) behind it."""

    listen: str
    endpoint: str
    certificate: str
    key: str
    ca: str


def tls_endpoint(folder: Path, host: str, port: int, bind: str = "") -> Tls:
    """The endpoint whose certificates `make_tls` put into a folder. `bind` is the address to listen on, if not all.

    Raises:
        InvalidRequest: there are no certificates, the host or the port makes no sense.
    """
    if not 0 < port < 65_536 or not host or any(sign in host for sign in "/?#\n"):
        raise InvalidRequest(f"tls/{host}:{port} is no endpoint.", "give the name or address of this host, and a port")
    files = [folder / name for name in ("host.pem", "host.key", "ca.pem")]
    for file in files:
        if not file.is_file():
            raise InvalidRequest(f"There is no certificate: {file} is missing.", "make one for this host first")
    shown = f"[{host}]" if ":" in host else host
    return Tls(f"tls/{bind or '0.0.0.0'}:{port}", f"tls/{shown}:{port}", *map(str, files))  # noqa: S104  asked for
