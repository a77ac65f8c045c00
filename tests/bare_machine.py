"""A program: the command line on a machine that has no Unix sockets and none of Unix's own modules, as on Windows.

What Python itself needs of them on this machine is imported before they are taken away. The lock of Windows is not
here, so `msvcrt` is the kernel's own lock behind that module's words: it too belongs to an open file, not to a process.
"""

from __future__ import annotations

import asyncio  # noqa: F401  it needs fcntl here, on Windows it does not
import ctypes
import functools
import importlib
import os
import signal
import socket
import sys
import types

MISSING = ("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "syslog")
EXCLUSIVE_NOW = 2 | 4
MODULES = ("wattle.cli.main", "wattle.host", "wattle.runtime.inprocess")


def locking(descriptor: int, _mode: int, _count: int) -> None:
    """Lock now, or raise as Windows does."""
    if ctypes.CDLL(None).flock(descriptor, EXCLUSIVE_NOW) != 0:
        raise PermissionError(13, "Permission denied")


def take_away() -> None:
    """From here on this machine is bare."""
    socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)
    for name in ("AF_UNIX", "SCM_RIGHTS", "SO_PEERCRED"):
        delattr(socket, name)
    for name in ("getuid", "geteuid", "fchmod", "posix_spawn", "setsid", "sysconf", "sched_getaffinity", "wait4",
                 "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK"):  # fmt: skip
        delattr(os, name)
    delattr(signal, "SIGHUP")
    for name in MISSING:
        sys.modules[name] = None  # type: ignore[assignment]
    windows = types.ModuleType("msvcrt")
    windows.locking, windows.LK_NBLCK = locking, 2  # type: ignore[attr-defined]
    sys.modules["msvcrt"] = windows


def main() -> int:
    """Without words: import every module there. With words: one command."""
    take_away()
    if len(sys.argv) == 1:
        for name in MODULES:
            importlib.import_module(name)
        return 0
    return int(importlib.import_module("wattle.cli.main").main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
