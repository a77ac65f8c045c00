"""Addresses: how a person names a workflow, a run, a worker, an instance or an output.

    etl                the workflow, and where a run is meant: its latest run
    etl@12             its run number 12
    etl/clean          a worker (or group) of the latest run; etl@12/clean of that run
    etl/train.4        one instance of a group
    etl@12/clean/table one output

Laws: an address is at most three parts, and no part can leave a path or a URL. Knows no store: whether the thing
exists is for the service to say. Imports only `re`, because the command line reads it at once.
"""

from __future__ import annotations

import re

from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_NAME = re.compile(r"\w[\w.\-]{0,62}")
_FORMS = "an address looks like etl, etl@12, etl/clean, etl@12/clean or etl@12/clean/table"


class Address:
    """A parsed address. `number` is None for the latest run; `worker` and `port` are None where nothing was said."""

    __slots__ = ("number", "port", "worker", "workflow")

    def __init__(self, workflow: str, number: int | None = None, worker: str | None = None,
                 port: str | None = None) -> None:  # fmt: skip
        self.workflow = workflow
        self.number = number
        self.worker = worker
        self.port = port

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address. Raises `InvalidRequest`, which says what is wrong with it."""
        head, *rest = text.split("/")
        workflow, at, digits = head.partition("@")
        if len(rest) > 2:
            raise InvalidRequest(f"'{text}' has too many parts.", _FORMS)
        for part in (workflow, *rest):
            if not _NAME.fullmatch(part):
                raise InvalidRequest(f"'{text}' is not an address: '{part}' is not a name.", _FORMS)
        if at and (not digits.isdecimal() or not digits.isascii() or len(digits) > 15 or int(digits) < 1):
            raise InvalidRequest(f"'{text}' is not an address: '{digits}' is not a run number.", _FORMS)
        worker, port = [*rest, None, None][:2]
        return cls(workflow, int(digits) if at else None, worker, port)

    @property
    def run(self) -> str:
        """The address of the run alone: `etl@12`, or `etl` for the latest one."""
        return self.workflow if self.number is None else f"{self.workflow}@{self.number}"

    def __str__(self) -> str:
        return "/".join(part for part in (self.run, self.worker, self.port) if part is not None)

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))
