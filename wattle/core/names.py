"""What may be a name, and what a port.

A name (of a workflow or worker) becomes a folder, a part of a URL and of a Zenoh key, so it holds Unicode word
characters, `.` and `-` only, at most 63, begins with a letter, a digit or `_`, does not end in a dot, is no device
name of Windows and is in Unicode's composed form (NFC). A port becomes an environment variable, so it is an ASCII
identifier. Both are unique ignoring case: `fold` gives what to compare.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

NAME_LENGTH = 63

_NAME = re.compile(r"\w[\w.\-]*")
_BAD = re.compile(r"[^\w.\-]")
_PORT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


class Flaw(NamedTuple):
    """What is wrong with a word, as the end of a sentence, and what to write instead."""

    message: str
    hint: str = ""


def fold(name: str) -> str:
    """Two names are the same when this is."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name.casefold())


def name_flaw(name: str) -> Flaw | None:
    """Why this is not a name; None when it is one."""
    if len(name) <= NAME_LENGTH and _NAME.fullmatch(name) and name[-1] != ".":
        if not _DEVICE.fullmatch(name):
            if name.isascii() or unicodedata.is_normalized("NFC", name):
                return None
            return Flaw("is not in Unicode's composed form (NFC)", f"write {unicodedata.normalize('NFC', name)!r}")
        return Flaw("is the name of a device on Windows", f"write {name + '_'!r} or another name")
    if not name:
        return Flaw("is empty", "a name is 1 to 63 letters, digits, '_', '.' or '-'")
    if len(name) > NAME_LENGTH:
        return Flaw(f"has {len(name):,} characters", f"a name has at most {NAME_LENGTH}")
    if bad := _BAD.search(name):
        words = "a name holds letters, digits, '_', '.' and '-'"
        plain = _BAD.sub("-", name).lstrip(".-").rstrip(".")
        usable = plain and _NAME.fullmatch(plain) and not _DEVICE.fullmatch(plain)
        return Flaw(f"holds {bad[0]!r}", f"{words}; write {plain!r}" if usable else words)
    if name[-1] == ".":
        return Flaw("ends in a dot", "end it in a letter, a digit, '_' or '-'")
    return Flaw(f"begins with {name[0]!r}", "begin it with a letter, a digit or '_'")


@lru_cache(maxsize=4096)  # thousands of workers have the same few ports
def port_flaw(port: str) -> Flaw | None:
    """Why this is not the name of a port, a parameter or an `each` value; None when it is one."""
    if len(port) <= NAME_LENGTH and _PORT.fullmatch(port):
        return None
    if not port:
        return Flaw("is empty", "use letters, digits and '_'")
    if len(port) > NAME_LENGTH:
        return Flaw(f"has {len(port):,} characters", f"at most {NAME_LENGTH} are allowed")
    plain = re.sub(r"[^A-Za-z0-9_]", "_", port)
    plain = "_" + plain if plain[0].isdigit() else plain
    rule = "it becomes part of an environment variable: use ASCII letters, digits and '_', not beginning with a digit"
    return Flaw("is not an identifier", f"{rule}; write {plain!r}" if plain.strip("_") else rule)
