"""How kernels and terminals of a Jupyter server find its coordinator: a file that only their user can read.

`<jupyter runtime dir>/wattle-<pid>.json`, mode 0600, and `WATTLE_CONNECTION` that names it:

    {"home": state root, "url": http://…/, "token": for Wattle's paths alone, "pid": of the server}

A file, not variables: it does not show in a process list, does not leak into what workers print, and can be written
anew while kernels live on.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

VARIABLE = "WATTLE_CONNECTION"


class ConnectionFile:
    """One server's file. `write` replaces it as a whole."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"wattle-{os.getpid()}.json"

    def write(self, *, home: str, url: str, token: str) -> None:
        """Tell kernels and terminals. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"home": home, "url": url, "token": token, "pid": os.getpid()}, file)
        os.replace(draft, self.path)
        os.environ[VARIABLE] = str(self.path)
        if os.environ.get("WATTLE_HOME"):
            os.environ["WATTLE_HOME"] = home  # what the server was told counts, here and in its kernels

    def remove(self) -> None:
        """Take it back."""
        if os.environ.get(VARIABLE) == str(self.path):
            del os.environ[VARIABLE]
        with contextlib.suppress(OSError):
            self.path.unlink()
