"""The client: asks a coordinator, follows its streams, and does not mind when the coordinator is replaced.

Laws: a question that only reads, or that provably never left, is asked again; one that may have been heard is not.
A stream goes on after its last id, so nothing is missed and nothing comes twice; a watched run begins with a full
picture again. After `PATIENCE` seconds without a coordinator the truth comes out: `Unreachable`.
"""

from __future__ import annotations

import time

from wattle.core.errors import Unreachable
from wattle.core.operations import BY_NAME
from wattle.sdk.methods import Methods
from wattle.sdk.transports import ConnectionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

    from wattle.sdk.transports import Transport

PATIENCE = 10.0
"""Seconds to look for the next coordinator."""

_PAUSE = 0.1
_RESUME = {"follow_logs": "position", "follow_events": "after", "follow_all_events": "after",
           "follow_many": "position"}  # fmt: skip
"""Which field takes up a stream again after the last id."""
_REPEATABLE = frozenset({"create_workflow", "plan_workflow", "replace_workflow", "validate_document"})
"""Questions that come to the same when they are asked twice, although they are no GET."""


class Client(Methods):
    """Asks over `transport`. `locate` finds the transport anew when that one is gone; it raises `Unreachable`
    (or returns the old one) while there is none. Without `locate` the same transport is tried again."""

    def __init__(self, transport: Transport, locate: Callable[[], Transport] | None = None) -> None:
        self._transport = transport
        self._locate = locate

    def ask(self, operation: str, /, **fields: Any) -> dict[str, Any]:
        """One answer, in the shape of `core/replies.py`. Raises `WattleError`."""
        row = BY_NAME[operation]
        again = row.verb == "GET" or operation in _REPEATABLE or fields.get("key") is not None
        search = _Search(self)
        while True:
            try:
                return self._transport.request(operation, fields)
            except Unreachable as error:
                unheard = not isinstance(error, ConnectionLost)
                if self._locate is None or not (unheard or again) or error.code == "no-answer":
                    raise
                search.another(error)

    def stream(self, operation: str, /, **fields: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Answers with their ids, to the end, from as many coordinators as it takes. Raises `WattleError`."""
        search = _Search(self)
        while True:
            try:
                for identity, data in self._transport.stream(operation, fields):
                    search = _Search(self)
                    yield identity, data
                    fields = _resumed(operation, fields, identity, data)
            except Unreachable as error:
                search.another(error)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()

    def relocate(self) -> None:
        """Find the transport anew. Raises `Unreachable` when there is none at present."""
        if self._locate is not None:
            found = self._locate()
            if found is not self._transport:
                self._transport.close()
                self._transport = found


class _Search:
    """The search for the next coordinator, until patience is over."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until: float | None = None

    def another(self, error: Unreachable) -> None:
        """Return when it is worth trying again; raise `error` when it no longer is."""
        if self._until is None:
            self._until = time.monotonic() + PATIENCE
        else:
            time.sleep(_PAUSE)
        while True:
            try:
                self._client.relocate()
            except Unreachable:
                if time.monotonic() > self._until:
                    raise error from None
                time.sleep(_PAUSE)
            else:
                if time.monotonic() > self._until:
                    raise error
                return


def _resumed(operation: str, fields: dict[str, Any], identity: str, data: dict[str, Any]) -> dict[str, Any]:
    """The fields that go on after `identity`."""
    if operation == "watch_run":
        return {**fields, "workflow": data["run"]["address"]}
    field = _RESUME.get(operation)
    if field is None or not identity:
        return fields
    again = {**fields, field: int(identity) if field == "after" else identity}
    return {**again, "tail": None} if "tail" in again else again
