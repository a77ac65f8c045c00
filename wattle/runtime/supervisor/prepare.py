"""What a launch wants to find when its process begins: folders, links and files; and why it could not be had.

Laws: everything here may be done twice, because an attempt whose supervisor was killed before its process existed is
sent again; a link is only ever put in the place of a link; every refusal names the path and what stands in the way.
The cheap way comes first: ten thousand small workers each make one folder for their logs and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import Any

Launch = dict[str, Any]
PRIVATE_FOLDER, PRIVATE_FILE, SCRIPT_FILE = 0o700, 0o600, 0o700


class Refused(Exception):
    """A launch that cannot become a process, and why."""

    def __init__(self, message: str, reason: str = "could-not-start") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


def prepare(launch: Launch, made: set[str]) -> None:
    """Look for what is required, set aside, link, make folders, write files. `made` are folders that need no look.
    Raises Refused."""
    missing = next((path for path in launch.get("required", ()) if not os.path.exists(path)), None)
    if missing is not None:
        raise Refused(f"its input file {missing} does not exist", "input-missing")
    path = launch["stdout"]
    logs, cwd = os.path.dirname(path), launch["cwd"]
    try:
        for old, new in launch.get("set_aside", {}).items():
            path = old
            if os.path.lexists(old) and not os.path.lexists(new):
                os.rename(old, new)
        path = logs
        make_log_folder(logs, first=launch["attempt"] == 1)
        created = False
        for path in (cwd, *launch.get("directories", ())):
            if path != logs and path not in made:
                created |= make_folder(path) and path == cwd
                made.add(path)
        for path, target in launch.get("links", {}).items():
            make_link(path, target)
        for path, text in launch.get("files", {}).items():
            write_file(path, text, SCRIPT_FILE if path in launch.get("scripts", ()) else PRIVATE_FILE)
        if created:
            note(launch, f"created the working directory {cwd}")
    except OSError as error:
        raise Refused(_obstacle(path, error)) from None


def make_folder(path: str, mode: int = 0o777) -> bool:
    """Make a folder with its parents; whether it was missing. Raises OSError."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, "there is a file where a folder is needed", path) from None
        return False
    except FileNotFoundError:
        make_folder(os.path.dirname(path), mode)
        return make_folder(path, mode)
    return True


def make_log_folder(path: str, *, first: bool) -> None:
    """Make the folder of an attempt; the first one's is made from its worker's on. Raises OSError."""
    if first:
        with contextlib.suppress(OSError):  # it is there, or so much is missing that the long way is needed
            os.mkdir(os.path.dirname(path), PRIVATE_FOLDER)
    make_folder(path, PRIVATE_FOLDER)


def make_link(path: str, target: str) -> None:
    """Point a symbolic link at a target, at once or not at all. What is there and is no link stays. Raises OSError."""
    try:
        if os.readlink(path) == target:
            return
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
    except OSError:
        return
    fresh = f"{path}.{os.getpid()}.{threading.get_ident()}"
    os.symlink(target, fresh)
    os.replace(fresh, path)


def write_file(path: str, text: str, mode: int) -> None:
    """Write a small file anew, with exactly this mode. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def note(launch: Launch, text: str) -> None:
    """A line of Wattle's own in a worker's log. Raises OSError."""
    descriptor = os.open(launch["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    try:
        os.write(descriptor, f"wattle: {text}\n".encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)


def _obstacle(path: str, error: OSError) -> str:
    """One sentence for a person: the path, what is wrong, what to do."""
    if error.errno == errno.EACCES:
        return f"{path} cannot be made: there is no right to write into {_closed(path)}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{path} cannot be written: the disk is full"
    if error.errno == errno.EROFS:
        return f"{path} cannot be written: the file system is read-only"
    if error.errno == errno.ENOTDIR:
        return f"{path} cannot be made: there is a file where a folder is needed"
    return f"{path}: {error.strerror or error}"


def _closed(path: str) -> str:
    """The folder on the way to `path` that stops us: the nearest one that exists."""
    folder = os.path.dirname(path)
    while folder != os.path.dirname(folder) and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def explain(error: OSError, launch: Launch) -> str:
    """Why a prepared process could not be made, and what to do."""
    program, cwd = launch["executable"], launch["cwd"]
    if error.errno == errno.ENOEXEC:
        return f"{program} is no program: it has no #! line; call its interpreter, as in `sh {program}`"
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        if not os.path.isdir(cwd):
            return f"its working directory {cwd} does not exist"
        if os.path.exists(program):
            return f"{program} names an interpreter on its #! line that does not exist"
        return f"{program} does not exist"
    if error.errno == errno.EACCES:
        return _forbidden(program, cwd)
    if error.errno == errno.E2BIG:
        return "its arguments and environment are too large; hand them over in a file"
    if error.errno in {errno.EAGAIN, errno.ENOMEM}:
        return f"this machine has no room for another process ({error.strerror})"
    return f"{program}: {error.strerror or error}"


def _forbidden(program: str, cwd: str) -> str:
    if os.path.isdir(cwd) and not os.access(cwd, os.X_OK):
        return f"its working directory {cwd} may not be entered"
    if os.path.isdir(program):
        return f"{program} is a directory, not a program"
    if os.access(program, os.X_OK):
        return f"{program} may not be executed: its interpreter or its file system forbids it"
    return f"{program} may not be executed; chmod +x {program}"
