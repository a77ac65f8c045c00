"""Variables of the kernel that a worker gets as they are now: files beside the runs, named after what they hold.

Laws: the same value makes the same file, so pushing it again makes nothing stale; a file is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile

from wattle.core.errors import InvalidRequest
from wattle.runtime import cell_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from jupyter_wattle.kernel.here import Here


def push(here: Here, names: Iterable[str], flow: str) -> dict[str, Any]:
    """Save variables; the inputs that stand for them. Raises `InvalidRequest`."""
    folder = os.path.join(here.folder, "wattle-runs", flow, "pushed")
    found = {}
    for name in (name for text in names for name in text.split(",") if name):
        if name not in here.shell.user_ns:
            raise InvalidRequest(f"--push {name}: there is no such variable.", "run the cell that defines it first")
        try:
            _prepare(here.folder, folder)
            found[name] = {"object": _save(here.shell.user_ns[name], folder, name)}
        except cell_values.CannotKeep as error:
            raise InvalidRequest(f"--push {name}: {error.message}", error.hint) from None
        except OSError as error:
            raise InvalidRequest(f"--push {name}: {folder} cannot be written: {error.strerror}.",
                                 "look at its rights, and at the disk") from None  # fmt: skip
    return found


def _prepare(base: str, folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    ignore = os.path.join(base, "wattle-runs", ".gitignore")
    with contextlib.suppress(FileExistsError), open(ignore, "x", encoding="utf-8") as file:
        file.write("*\n")


def _save(value: Any, folder: str, name: str) -> str:
    """The file of a value: saved beside, and named by its content."""
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        path = cell_values.save(value, os.path.join(aside, name), name)
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        suffix = os.path.splitext(path)[1]
        place = os.path.join(folder, f"{name}-{digest.hexdigest()[:16]}{suffix}")
        os.replace(path, place)
    return place
