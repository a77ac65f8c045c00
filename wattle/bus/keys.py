"""Every key of the bus, made and read in one place.

    wattle/{hub}/events/{workflow}/{run}[/{worker}]                  what has changed, and by query what is
    wattle/{hub}/logs/{workflow}/{run}/{worker}                      how long its logs are
    wattle/{hub}/services/{workflow}/{run}/{worker}/{service}        what workers tell and ask one another
    wattle/{hub}/api/{operation}                                     the table of operations, as questions
    wattle/{hub}/alive/coordinator
    wattle/{hub}/alive/kernels/{id}
    wattle/{hub}/alive/workers/{workflow}/{run}/{worker}             tokens: they go with their process

Laws: whatever a name is, it stays one chunk, is never a wildcard, and comes back unchanged: names are safe by Wattle's
own rule, and percent-encoded where they are not. A service may have several chunks, for its author to order.
`None` in place of a name is the wildcard of one chunk. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from wattle.core.errors import InvalidRequest

ROOT = "wattle"
ANY = "*"
ALL = "**"
KINDS = ("events", "logs", "services", "api", "alive")
_ENCODED = re.compile(r"[/*$?#%@\x00-\x20\x7f]")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class Key(NamedTuple):
    """A key in its parts; what it has not is empty, or 0. `name` is a service, an operation, or who is alive."""

    hub: str
    kind: str
    workflow: str = ""
    run: int = 0
    worker: str = ""
    name: str = ""


def chunk(name: str) -> str:
    """A name as one chunk of a key.

    Raises:
        InvalidRequest: it is empty.
    """
    if not name:
        raise InvalidRequest("A part of a key is empty.", "name the workflow, the worker and the service")
    return _ENCODED.sub(lambda found: quote(found[0], safe=""), name)


def unchunk(text: str) -> str:
    """The name that a chunk was made of."""
    return unquote(text)


class Keys:
    """The keys of one hub."""

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self._base = f"{ROOT}/{chunk(hub)}"

    def everything(self, kind: str = "") -> str:
        """All keys of the hub, or all of one kind."""
        return "/".join(filter(None, [self._base, kind, ALL]))

    def events(self, workflow: str | None, run: int | None, worker: str = "") -> str:
        """Of a run; with a worker, of that worker alone."""
        return self._join("events", workflow, run, *([worker] if worker else []))

    def events_of_workers(self, workflow: str | None, run: int | None) -> str:
        """Of each worker of a run."""
        return self._join("events", workflow, run, None)

    def logs(self, workflow: str | None, run: int | None, worker: str | None = None) -> str:
        """Of one worker, or of each worker of a run."""
        return self._join("logs", workflow, run, worker)

    def service(self, workflow: str | None, run: int | None, worker: str | None, service: str | None) -> str:
        """A topic or question of a worker. `a/b` is two chunks; None stands for all services, of any length.

        Raises:
            InvalidRequest: a part is empty.
        """
        start = self._join("services", workflow, run, worker)
        return start + "/" + (ALL if service is None else "/".join(map(chunk, service.split("/"))))

    def api(self, operation: str | None) -> str:
        """An operation of the table."""
        return self._join("api", operation)

    def coordinator(self) -> str:
        """The token of whoever coordinates."""
        return self._join("alive", "coordinator")

    def kernel(self, name: str | None) -> str:
        """The token of a kernel, or another program of a person."""
        return self._join("alive", "kernels", name)

    def worker(self, workflow: str | None, run: int | None, worker: str | None) -> str:
        """The token of a worker that is on the bus."""
        return self._join("alive", "workers", workflow, run, worker)

    def _join(self, kind: str, *parts: str | int | None) -> str:
        return "/".join([self._base, kind, *(ANY if part is None else chunk(str(part)) for part in parts)])


def parse(key: str) -> Key | None:
    """A key in its parts; None when it is none of Wattle's, or has a wildcard in it."""
    root, hub, kind, *rest = [*key.split("/"), "", "", ""][: max(3, key.count("/") + 1)]
    if root != ROOT or not hub or ANY in key or "" in rest or "$" in key:
        return None
    hub = unchunk(hub)
    if kind == "api" and len(rest) == 1:
        return Key(hub, kind, name=unchunk(rest[0]))
    if kind == "alive" and rest:
        return _alive(hub, rest)
    if kind not in {"events", "logs", "services"} or len(rest) < 2 or not _NUMBER.fullmatch(rest[1]):
        return None
    found = Key(hub, kind, unchunk(rest[0]), int(rest[1]), unchunk(rest[2]) if len(rest) > 2 else "")
    if kind == "services":
        return found._replace(name="/".join(map(unchunk, rest[3:]))) if len(rest) > 3 else None
    return found if len(rest) == 3 or (len(rest) == 2 and kind == "events") else None


def _alive(hub: str, rest: list[str]) -> Key | None:
    if rest == ["coordinator"]:
        return Key(hub, "alive", name="coordinator")
    if rest[0] == "kernels" and len(rest) == 2:
        return Key(hub, "alive", name=unchunk(rest[1]))
    if rest[0] == "workers" and len(rest) == 4 and _NUMBER.fullmatch(rest[2]):
        return Key(hub, "alive", unchunk(rest[1]), int(rest[2]), unchunk(rest[3]))
    return None
