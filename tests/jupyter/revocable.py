"""Logins that end, in a server that looks at them often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.auth import IdentityProvider

import jupyter_wattle.handlers
from wattle.web import sse

sse.HEARTBEAT_SECONDS, sse.RECHECK_BEATS, jupyter_wattle.handlers.LOGIN_SECONDS = 0.1, 2, 0.2


class Revocable(IdentityProvider):
    """Knows nobody any more once the file `logged-out` lies in the server's folder."""

    async def _get_user(self, handler: Any) -> Any:
        user = await super()._get_user(handler)
        return None if Path("logged-out").exists() else user
