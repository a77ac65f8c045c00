"""Every error that Wattle tells a person about: what was wrong, and what to do next.

    WattleError                 code              HTTP  exit
    ├── InvalidRequest          invalid-request    400     2   a field or a word that makes no sense
    ├── DocumentError           invalid-document   422     2   a workflow document, with all its problems
    ├── NotAvailable            not-available      422     2   understood, but not in this version
    ├── Forbidden               forbidden          403     4   not yours
    ├── NotFound                not-found          404     3   no such workflow, run, worker or port
    ├── Conflict                conflict …         409     1   name-taken, run-active, not-running, …
    │   └── Changed             changed            412     1   not what the caller has seen
    ├── StorageError            storage            503     4   the state root or its database cannot be used
    ├── Unreachable             unreachable        503     4   no coordinator answers
    └── InternalError           internal           500     1   a bug of ours; the log has the story

Laws: an error crosses every face as ``{code, message, hint}`` and is mapped to a status or an exit code
by the two attributes below, nowhere else. This module imports nothing, because every door needs it at once.
"""

from __future__ import annotations


class WattleError(Exception):
    """Something a person can understand and mend.

    ``message`` is one sentence: what was wrong and where. ``hint`` says what to do next, often a command.
    """

    code = "error"
    http_status = 500
    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def to_dict(self) -> dict[str, object]:
        """The form that crosses every face."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class InvalidRequest(WattleError):
    """A field, an address or a word that makes no sense."""

    code = "invalid-request"
    http_status = 400
    exit_code = 2


class Problem:
    """One thing wrong in a document: where it is, what was found, what to write instead."""

    __slots__ = ("column", "hint", "line", "message", "path")

    def __init__(self, path: str, message: str, hint: str = "", line: int = 0, column: int = 0) -> None:
        self.path = path
        self.message = message
        self.hint = hint
        self.line = line
        self.column = column

    def to_dict(self) -> dict[str, object]:
        """``line`` and ``column`` count from 1; 0 means that there was no text to point at."""
        return {name: getattr(self, name) for name in ("path", "message", "hint", "line", "column")}

    def __repr__(self) -> str:
        return f"Problem({self.path!r}, {self.message!r}, line={self.line}, column={self.column})"


class DocumentError(WattleError):
    """A workflow document that cannot be accepted, with every problem found in it."""

    code = "invalid-document"
    http_status = 422
    exit_code = 2

    def __init__(self, message: str, problems: list[Problem], hint: str = "") -> None:
        super().__init__(message, hint)
        self.problems = problems

    def to_dict(self) -> dict[str, object]:
        """As every error, with ``problems`` added."""
        return {**super().to_dict(), "problems": [problem.to_dict() for problem in self.problems]}


class NotAvailable(WattleError):
    """Understood, but this version or this machine cannot do it."""

    code = "not-available"
    http_status = 422
    exit_code = 2


class Forbidden(WattleError):
    """Another user's, or not allowed for this credential."""

    code = "forbidden"
    http_status = 403
    exit_code = 4


class NotFound(WattleError):
    """No workflow, run, worker or port of that name."""

    code = "not-found"
    http_status = 404
    exit_code = 3


class Conflict(WattleError):
    """The request is sound, but not in the present state. ``code`` says which state."""

    code = "conflict"
    http_status = 409
    exit_code = 1


class Changed(Conflict):
    """What is stored is no longer what the caller has seen (`If-Match`)."""

    code = "changed"
    http_status = 412


class StorageError(WattleError):
    """The state root or the database cannot be used; nothing was overwritten."""

    code = "storage"
    http_status = 503
    exit_code = 4


class Unreachable(WattleError):
    """No coordinator answers, and none could be started."""

    code = "unreachable"
    http_status = 503
    exit_code = 4


class InternalError(WattleError):
    """A bug of ours."""

    code = "internal"
    http_status = 500
    exit_code = 1
