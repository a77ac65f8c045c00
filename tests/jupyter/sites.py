"""A site's authorizer, as it might write one: looking is for everybody, logs and changes are not."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer


class ReadOnly(Authorizer):
    """Reads, except logs."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Whether this is a look at something that is no log."""
        return action == "read" and resource != "wattle:logs"
