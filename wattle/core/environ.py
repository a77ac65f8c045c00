"""Which variables of a person's environment may reach a worker.

A run is started with the whole environment of whoever started it: a shell, a kernel, a server. Those hold keys to
other doors (Jupyter's, the hub's, our own) and marks of the worker that they may themselves be running in.

Laws: what opens a Jupyter server, a hub or a Wattle coordinator never reaches a worker, a file or a wire; what marks
one worker never reaches another; everything else stays as it is. This is hygiene against leaks by `env` in a log, not
a wall: a worker is a process of the same user. This module imports little, because every client calls it before it
sends anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from wattle.core.errors import InvalidRequest

_SECRET = re.compile(
    r"(?:JUPYTER|JPY|CONFIGPROXY)\w*(?:TOKEN|COOKIE|SECRET|PASSWORD|CRYPT_KEY|CLIENT_ID|AUTH_STATE|SSL_KEYFILE)\w*"
    r"|WATTLE_(?:CONNECTION|TASK|URL|\w*TOKEN\w*|\w*SECRET\w*)"
    r"|WATTLE_(?:RUN|ATTEMPT|WORKFLOW|WORKER|EACH|INPUT|OUTPUT|PARAMS)(?:_\w*)?",
    re.IGNORECASE | re.ASCII,
)


def strip_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker may have, in their order.

    Dropped are tokens and cookies of Jupyter, of JupyterHub and of Wattle; what Wattle tells one worker about itself
    (`WATTLE_RUN`, `WATTLE_INPUT_…`); and what no environment can hold or no JSON can carry: an empty name, a name
    with `=`, a NUL, bytes that are not UTF-8.
    """
    return {name: value for name, value in variables.items() if _possible(name, value) and not _SECRET.fullmatch(name)}


def given(variables: Mapping[str, str]) -> dict[str, str]:
    """The base environment that a request brings, its tokens dropped. Raises `InvalidRequest` for what no environment
    can hold."""
    for name, value in variables.items():
        if not _possible(name, value):
            raise InvalidRequest(f"environment: no process can have a variable {name!r} with this value.",
                                 "a name is not empty and has no '='; neither name nor value has a NUL")  # fmt: skip
    return strip_secrets(variables)


def _possible(name: str, value: str) -> bool:
    if not name or "=" in name or "\0" in name or "\0" in value:
        return False
    if name.isascii() and value.isascii():
        return True
    try:
        (name + value).encode()
    except UnicodeEncodeError:
        return False
    return True
