"""Making one process: `posix_spawn`, with everything that belongs to a worker decided before it exists.

A worker gets a process group of its own (not a session: a scheduler that groups by session would give 32 workers 32
times the share of whoever watches them), `/dev/null` as stdin, its log files opened in the child by the kernel, so
that no byte passes through Python, default signals and an empty signal mask.

Three ways, the best that passes a self-test: the C library's `posix_spawn` through ctypes, which lets other threads
run meanwhile; `os.posix_spawn`, which does not, and knows no working directory; `subprocess`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Sequence

LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD)
SETPGROUP, SETSIGDEF, SETSIGMASK = 0x02, 0x04, 0x08
ACTIONS_BYTES, ATTRIBUTES_BYTES, SIGSET_BYTES = 256, 512, 256
"""Larger than any C library's structures (glibc: 80, 336, 128), because their size cannot be asked for."""

_CODEC = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_Actions = ctypes.c_char * ACTIONS_BYTES

Spawn = Callable[[Sequence[str], Collection[bytes], str, str, str | None], int]
"""(words beginning with an absolute path, `name=value`…, folder, stdout, stderr or None) -> process id."""


class LibrarySpawn:
    """`posix_spawn` of the C library. Raises AttributeError when it has no way to set the working directory."""

    at_once = 3
    name = "posix_spawn"

    def __init__(self) -> None:
        self._c = ctypes.PyDLL(None)  # keeps the interpreter's lock: these calls are shorter than giving it away
        self._spawn = ctypes.CDLL(None).posix_spawn  # gives it away
        self._chdir = self._c.posix_spawn_file_actions_addchdir_np  # AttributeError where there is none
        defaults = ctypes.create_string_buffer(SIGSET_BYTES)
        nothing = ctypes.create_string_buffer(SIGSET_BYTES)
        self._c.sigemptyset(defaults)
        self._c.sigemptyset(nothing)
        for number in RESET:
            self._c.sigaddset(defaults, int(number))
        self._attributes = ctypes.create_string_buffer(ATTRIBUTES_BYTES)
        check(self._c.posix_spawnattr_init(self._attributes))
        check(self._c.posix_spawnattr_setflags(self._attributes, ctypes.c_short(SETPGROUP | SETSIGDEF | SETSIGMASK)))
        check(self._c.posix_spawnattr_setpgroup(self._attributes, 0))
        check(self._c.posix_spawnattr_setsigdefault(self._attributes, defaults))
        check(self._c.posix_spawnattr_setsigmask(self._attributes, nothing))

    def __call__(self, words: Sequence[str], env: Collection[bytes], cwd: str, stdout: str, stderr: str | None) -> int:
        """Start it. Raises OSError."""
        actions = _Actions()
        c, fs = self._c, encode
        check(c.posix_spawn_file_actions_init(actions))
        try:
            check(c.posix_spawn_file_actions_addopen(actions, 0, b"/dev/null", os.O_RDONLY, 0))
            check(c.posix_spawn_file_actions_addopen(actions, 1, fs(stdout), LOG_FLAGS, 0o600))
            if stderr is None:
                check(c.posix_spawn_file_actions_adddup2(actions, 1, 2))
            else:
                check(c.posix_spawn_file_actions_addopen(actions, 2, fs(stderr), LOG_FLAGS, 0o600))
            check(self._chdir(actions, fs(cwd)))
            program = fs(words[0])
            argv = (ctypes.c_char_p * (len(words) + 1))(program, *map(fs, words[1:]), None)
            envp = (ctypes.c_char_p * (len(env) + 1))(*env, None)
            pid = ctypes.c_int()
            check(self._spawn(ctypes.byref(pid), program, actions, self._attributes, argv, envp))
            return pid.value
        finally:
            c.posix_spawn_file_actions_destroy(actions)


class PythonSpawn:
    """`os.posix_spawn`, with the working directory changed around it, and one at a time."""

    at_once = 1
    name = "os.posix_spawn"

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, words: Sequence[str], env: Collection[bytes], cwd: str, stdout: str, stderr: str | None) -> int:
        """Start it. Raises OSError."""
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, stdout, LOG_FLAGS, 0o600),
        ]
        actions.append((os.POSIX_SPAWN_DUP2, 1, 2) if stderr is None
                       else (os.POSIX_SPAWN_OPEN, 2, stderr, LOG_FLAGS, 0o600))  # fmt: skip
        with self._lock:
            os.chdir(cwd)
            try:
                return os.posix_spawn(words[0], list(words), as_mapping(env), file_actions=actions, setpgroup=0,
                                      setsigdef=RESET, setsigmask=())  # fmt: skip
            finally:
                os.chdir("/")


class PopenSpawn:
    """`subprocess`: the slowest, and everywhere."""

    at_once = 2
    name = "subprocess"

    def __call__(self, words: Sequence[str], env: Collection[bytes], cwd: str, stdout: str, stderr: str | None) -> int:
        """Start it. Raises OSError."""
        out = os.open(stdout, LOG_FLAGS, 0o600)
        err = subprocess.STDOUT if stderr is None else os.open(stderr, LOG_FLAGS, 0o600)
        try:
            process = subprocess.Popen(words, env=as_mapping(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=err, process_group=0)  # fmt: skip
        finally:
            os.close(out)
            if err != subprocess.STDOUT:
                os.close(err)
        process.returncode = 0  # the supervisor reaps it, not this object
        return process.pid


def choose(scratch: str) -> LibrarySpawn | PythonSpawn | PopenSpawn:
    """The best way that really does what it must, tried once in the folder `scratch`."""
    for kind in (LibrarySpawn, PythonSpawn):
        try:
            spawn = kind()
            if works(spawn, scratch):
                return spawn
        except (OSError, AttributeError, ctypes.ArgumentError):
            continue
    return PopenSpawn()


def works(spawn: Spawn, scratch: str) -> bool:
    """Whether a child has the right folder, group, output and exit code."""
    out = os.path.join(scratch, "self-test")
    try:
        pid = spawn(["/bin/sh", "-c", 'pwd -P; read line || echo "$X"; exit 7'], [b"X=closed", b"PATH=/bin"],
                    os.path.realpath(scratch), out, None)  # fmt: skip
        own_group = os.getpgid(pid) == pid
        _, status = os.waitpid(pid, 0)
        with open(out) as file:
            said = file.read().split("\n")
    finally:
        if os.path.exists(out):
            os.unlink(out)
    return own_group and os.waitstatus_to_exitcode(status) == 7 and said[:2] == [os.path.realpath(scratch), "closed"]


def encode(text: str) -> bytes:
    """Text as bytes for the system, as `os.fsencode` does it."""
    return text.encode(*_CODEC)


def as_mapping(env: Collection[bytes]) -> dict[bytes, bytes]:
    """`name=value`… as a mapping."""
    return {name: value for name, _, value in (entry.partition(b"=") for entry in env)}


def check(code: int) -> None:
    """Raise what a C function returned as an error number."""
    if code:
        raise OSError(code, os.strerror(code))
