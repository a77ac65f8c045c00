"""What a door refuses before, or instead of, asking the service: each with its status, its code and what to do.

Laws: every refusal has the form `{code, message, hint}`; the status is what the situation is called in HTTP, never
200 and never 500 for somebody's mistake.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from tornado.web import HTTPError

from wattle.core.errors import Forbidden, InternalError, InvalidRequest, WattleError

LONG = 500
"""Items of a list that are worth a thread."""
OURS = InternalError("Wattle failed inside; this is a bug of ours.", "the coordinator's log has the story")


class Refused(WattleError):
    """A refusal with a status of its own."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint, code=code)
        self.http_status = status


_BY_STATUS = {
    400: ("invalid-request", "the request makes no sense", "look at the operation's fields"),
    401: ("unauthorized", "nobody is logged in", "send a token, or log in"),
    404: ("not-found", "there is nothing at this path", "the paths are listed in /api/wattle/openapi.json"),
    405: ("method-not-allowed", "this path does not know this method", "the Allow header lists what it knows"),
    413: ("too-large", "the body is too large", "a document may have 8 MiB, a value and everything else 1 MiB"),
    415: ("unsupported-media-type", "the body must be JSON", "send Content-Type: application/json"),
    503: ("starting", "the coordinator is starting", "try again in a second"),
}


def refusal(status: int, message: str = "", hint: str = "") -> Refused:
    """The refusal of a status, in the table's words unless there are better ones."""
    code, usual, advice = _BY_STATUS[status]
    return Refused(status, code, message or usual, hint or advice)


def told(status: int, error: BaseException | None) -> WattleError:
    """Any failure as the error that is told."""
    if isinstance(error, WattleError):
        return error
    said = ""
    if isinstance(error, HTTPError) and error.log_message:
        said = error.log_message % error.args if error.args else error.log_message
    if status == 403:
        return Forbidden(said or "This is not for you.", "log in, or send a token that may do this")
    if status in _BY_STATUS:
        return refusal(status, said if status in {400, 401} else "")
    if 400 <= status < 500:
        return Refused(status, InvalidRequest.code, said or f"the request was refused ({status})")
    return OURS


def encode(value: Any) -> bytes:
    """JSON; text that is no Unicode (a file name that is not UTF-8, say) is shown with escapes instead of failing."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_unicode(msgspec.to_builtins(value)))


async def encoded(value: Any) -> bytes:
    """As `encode`; a long list is encoded beside the loop, so that it does not wait for making and encoding at once."""
    return await asyncio.to_thread(encode, value) if _long(value) else encode(value)


def _long(value: Any) -> bool:
    fields = value.values() if isinstance(value, dict) else (getattr(value, name) for name in value.__struct_fields__)
    return any(isinstance(field, list) and len(field) > LONG for field in fields)


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_unicode(key): _unicode(inner) for key, inner in value.items()}
    return [_unicode(inner) for inner in value] if isinstance(value, list) else value
