"""What can go wrong for the program of a worker. Each is a `WattleError`: one sentence, and a hint what to write.

    NotInWorker          the program runs outside any worker
    NoSuchPort           no such input, output, parameter or `each` value; also a KeyError
    NotJson              a value that JSON cannot hold, or that is too large
    LiveError            whatever has to do with the bus
    ├── NoBus                there is none here
    ├── WorkerUnreachable    nobody answers
    ├── RequestTimeout       no answer in time; also a TimeoutError
    ├── RequestFailed        the one who was asked says that it failed; `code` is theirs
    ├── BadMessage           bytes that are not what their encoding says
    └── Forked               the connection belongs to the process that this one was forked from

Laws: the hint stands below the traceback (as a note), because that is what the person who wrote the script will see.
Only the standard library: importing this costs next to nothing.
"""

from __future__ import annotations

from wattle.core.errors import WattleError


class WorkerError(WattleError):
    """Any of these."""

    code = "worker"

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message, hint, code=code)
        if hint:
            self.add_note(f"  {hint}")

    def __str__(self) -> str:
        return self.message


class NotInWorker(WorkerError):
    """The program was not started by Wattle, and there is no `worker.local()` around it."""

    code = "not-in-worker"
    exit_code = 2


class NoSuchPort(WorkerError, KeyError):
    """No input, output, parameter or `each` value of that name; or an input that its worker did not make."""

    code = "no-such-port"
    http_status = 404
    exit_code = 2


class NotJson(WorkerError, ValueError):
    """A value that JSON cannot hold, or more of it than fits."""

    code = "not-json"
    http_status = 400
    exit_code = 2


class LiveError(WorkerError):
    """Whatever has to do with the bus."""

    code = "live"
    http_status = 503


class NoBus(LiveError):
    """There is no bus here, or it cannot be reached."""

    code = "no-bus"
    exit_code = 4


class WorkerUnreachable(LiveError):
    """Nobody answers: no such service, its worker is gone, or this worker may not ask."""

    code = "worker-unreachable"
    exit_code = 4


class RequestTimeout(LiveError, TimeoutError):
    """Somebody was asked and did not answer in time."""

    code = "timeout"
    http_status = 504


class RequestFailed(LiveError):
    """The one who was asked answered with an error. `code`, `message` and `hint` are theirs."""

    code = "request-failed"
    http_status = 502


class BadMessage(LiveError):
    """Bytes that are not what their encoding says."""

    code = "bad-message"


class Forked(LiveError):
    """The connection belongs to the process that this one was forked from."""

    code = "forked"
