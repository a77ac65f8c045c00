"""What a site may bring: an authorizer for whom looking is for everybody, logs and changes are not; logins that end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jupyter_server.auth import Authorizer, IdentityProvider


class ReadOnly(Authorizer):
    """Reads, except logs."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Whether this is a look at something that is no log."""
        return action == "read" and resource != "wattle:logs"


class Revocable(IdentityProvider):
    """Knows nobody any more once the file `logged-out` lies in the server's folder."""

    async def _get_user(self, handler: Any) -> Any:
        user = await super()._get_user(handler)
        return None if Path("logged-out").exists() else user
