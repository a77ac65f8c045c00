"""Questions to a Wattle server behind a URL: `wattle serve`, or a Jupyter server with the extension.

The token goes into a header, never into the URL. A file of its own, because `ssl` and `urllib` are slow to import
and the private socket needs neither.
"""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

from wattle.core.errors import InvalidRequest
from wattle.sdk.transports import ANSWER_WITHIN, HttpTransport


class UrlTransport(HttpTransport):
    """Questions to `url` (http or https, with the path it is served under), with a token if one is needed."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidRequest(f"'{url}' is not the address of a server.", "write http://host:port or https://host")
        if parts.username or parts.password or parts.query:
            raise InvalidRequest("A URL here holds no user, password or query.", "give the token on its own")
        address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        context = ssl.create_default_context() if parts.scheme == "https" else None
        super().__init__(lambda: _dial(address, context), url, host=parts.netloc, base=parts.path.rstrip("/"),
                         headers={"Authorization": f"token {token}"} if token else None)  # fmt: skip


def _dial(address: tuple[str, int], context: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(address, timeout=ANSWER_WITHIN)
    if context is None:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname=address[0])
    except BaseException:
        sock.close()
        raise
