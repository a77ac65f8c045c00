"""Who may do what: Jupyter's identity and authorizer, plus the tokens that Wattle gives to kernels.

    resource            rows of the table
    wattle:workflows    definitions: list, show, validate, plan, draw, save, delete
    wattle:runs         runs and what they left: start, stop, states, outputs, events
    wattle:logs         what workers wrote

The action is the row's own: `read`, `write` or `execute`. A site's Authorizer, or the scopes of JupyterHub, decide by
these two words; without one, who is logged in may do everything, as in all of Jupyter.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from jupyter_server.auth import User

if TYPE_CHECKING:
    from wattle.core.operations import Operation

WORKFLOWS, RUNS, LOGS = "wattle:workflows", "wattle:runs", "wattle:logs"

_DEFINITIONS = frozenset({
    "list_workflows", "create_workflow", "get_workflow", "replace_workflow", "delete_workflow", "plan_workflow",
    "get_plan", "get_graph", "get_worker", "get_worker_schema", "delete_worker", "validate_document", "get_health",
})  # fmt: skip
_BEARER = re.compile(r"(?:token|bearer)\s+(\S+)", re.IGNORECASE)


def resources(operation: Operation) -> tuple[str, ...]:
    """What the caller must have a right to."""
    if operation.name == "follow_many":
        return RUNS, LOGS
    if operation.path.partition("{worker}")[2].startswith("/logs"):
        return (LOGS,)
    return (WORKFLOWS,) if operation.name in _DEFINITIONS else (RUNS,)


class KernelUser(User):
    """Whoever holds the token in the connection file: a kernel or a terminal of this server's user."""


class KernelToken:
    """A token for Wattle's paths alone, never the server's own. Only its hash is compared."""

    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(32)
        self._hash = hashlib.sha256(self.text.encode()).digest()

    def user(self, authorization: str) -> KernelUser | None:
        """The user of a request with this `Authorization` header; None when the token is another."""
        found = _BEARER.fullmatch(authorization.strip())
        if found is None:
            return None
        given = hashlib.sha256(found[1].encode("utf-8", "replace")).digest()
        return KernelUser("kernel") if hmac.compare_digest(given, self._hash) else None
