"""One attempt as the supervisor sees it, and the lanes in which processes are made.

A lane is a thread: it makes the folders and files that a launch wants, then the process. Its result comes back through
a queue and a byte in a pipe, so that everything else happens on the one main thread.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import threading
import time
from collections import deque
from typing import Any

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.spawn import LibrarySpawn, PopenSpawn, PythonSpawn

Launch = dict[str, Any]


class Task:
    """One attempt. `launch` is what the coordinator sent; of an adopted one, what the journal kept of it."""

    __slots__ = ("deadline", "exit", "launch", "leader_gone", "nonce", "pid", "stop", "ticks")

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.nonce: str = launch["nonce"]
        self.pid = 0
        self.ticks = 0
        self.deadline: float | None = None
        self.stop: Stop | None = None
        self.leader_gone = False
        self.exit: dict[str, Any] = {}


class Stop:
    """An end under way: TERM was sent, KILL follows at `kill_at`, and it is over after two empty looks."""

    __slots__ = ("asked", "empty", "kill_at", "why")

    def __init__(self, why: str, grace: float) -> None:
        self.why = why
        self.kill_at = time.monotonic() + grace
        self.asked: set[int] = set()
        self.empty = 0


class Refused(Exception):
    """A launch that cannot become a process, and why."""

    def __init__(self, message: str, reason: str = "could-not-start") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class Lanes:
    """Makes processes in a few threads. `results` holds (task, pid, ticks, error or None)."""

    def __init__(self, spawn: LibrarySpawn | PythonSpawn | PopenSpawn, environments: dict[str, dict[str, bytes]],
                 wake: int) -> None:  # fmt: skip
        self.results: deque[tuple[Task, int, int, Refused | None]] = deque()
        self.busy = 0
        self._spawn = spawn
        self._environments = environments
        self._wake = wake
        self._made: set[str] = set()
        """Working directories that were there a moment ago; looked at again when a process cannot be made."""
        self._work: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for _ in range(spawn.lanes):
            threading.Thread(target=self._lane, daemon=True).start()

    def put(self, task: Task) -> None:
        """Make this one's process."""
        self.busy += 1
        self._work.put(task)

    def _lane(self) -> None:
        while True:
            task = self._work.get()
            pid, ticks, refused = 0, 0, None
            try:
                pid = self._make(task.launch)
                entry = processes.look(pid)
                ticks = entry.ticks if entry else 0
            except Refused as error:
                refused = error
            except (OSError, ValueError) as error:
                refused = Refused(f"it could not be started: {error}")
            self.results.append((task, pid, ticks, refused))
            os.write(self._wake, b"l")

    def _make(self, launch: Launch) -> int:
        for path in launch.get("required", ()):
            if not os.path.exists(path):
                raise Refused(f"its input file {path} does not exist", "input-missing")
        base = self._environments.get(launch["env_id"])
        if base is None:
            raise Refused("its environment is not known; start the run again")
        tag = f"{launch['run']}/{launch['worker']}/{launch['attempt']}/{launch['nonce']}"
        env = {**base, **encoded(launch["env"]), "WATTLE_TASK": f"WATTLE_TASK={tag}".encode()}
        words = [launch["executable"], *launch["argv"][1:]]
        prepare(launch, self._made)
        try:
            return self._spawn(words, env.values(), launch["cwd"], launch["stdout"], launch["stderr"])
        except FileNotFoundError:
            self._made.clear()
            prepare(launch, self._made)
        except OSError as error:
            raise Refused(explain(error, launch)) from None
        try:
            return self._spawn(words, env.values(), launch["cwd"], launch["stdout"], launch["stderr"])
        except OSError as error:
            raise Refused(explain(error, launch)) from None


def encoded(variables: dict[str, str]) -> dict[str, bytes]:
    """Variables as the system takes them: name -> `name=value`."""
    return {name: os.fsencode(f"{name}={value}") for name, value in variables.items()}


def prepare(launch: Launch, made: set[str]) -> None:
    """Set aside, link, make folders, write files. `made` are folders that need no look. Raises Refused."""
    path = launch["stdout"]
    logs = os.path.dirname(path)
    try:
        for old, new in launch.get("set_aside", {}).items():
            if os.path.lexists(old):
                path = old
                os.replace(old, new)
        created = False
        make_folder(logs, 0o700)
        for path in launch["directories"]:
            if path != logs and path not in made:
                created |= make_folder(path) and path == launch["cwd"]
                made.add(path)
        for path, target in launch.get("links", {}).items():
            link(path, target)
        for path, text in launch.get("files", {}).items():
            write_file(path, text, 0o700 if path in launch["scripts"] else 0o600)
        if created:
            note(launch, f"created the working directory {launch['cwd']}")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from None


def make_folder(path: str, mode: int = 0o777) -> bool:
    """Make a folder with its parents; whether it was missing. The cheap way first."""
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


def link(path: str, target: str) -> None:
    """Point a symbolic link at a target; only a link is ever replaced."""
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
    """Write a small file anew."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def note(launch: Launch, text: str) -> None:
    """A line of Wattle's own in a worker's log."""
    descriptor = os.open(launch["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"wattle: {text}\n".encode())
    os.close(descriptor)


def explain(error: OSError, launch: Launch) -> str:
    """Why a process could not be made, and what to do."""
    program = launch["executable"]
    if error.errno == errno.ENOEXEC:
        return f"{program} is no program: it has no #! line; call its interpreter, as in `sh {program}`"
    if error.errno == errno.ENOENT and os.path.exists(program):
        if not os.path.isdir(launch["cwd"]):
            return f"its working directory {launch['cwd']} does not exist"
        return f"{program} names an interpreter on its #! line that does not exist"
    if error.errno == errno.ENOENT:
        return f"{program} does not exist"
    if error.errno == errno.EACCES:
        folder = launch["cwd"]
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):
            return f"its working directory {folder} may not be entered"
        return f"{program} may not be executed; chmod +x {program}"
    if error.errno == errno.E2BIG:
        return "its arguments and environment are too large; hand them over in a file"
    if error.errno in {errno.EAGAIN, errno.ENOMEM}:
        return f"this machine has no room for another process ({error.strerror})"
    return f"{program}: {error.strerror or error}"


def outputs_of(launch: Launch) -> dict[str, tuple[int, int] | None]:
    """Size and time of each declared output; None where there is none."""
    found: dict[str, tuple[int, int] | None] = {}
    for port, path in launch.get("outputs", {}).items():
        try:
            seen = os.stat(path)
        except OSError:
            found[port] = None
        else:
            found[port] = (seen.st_size, seen.st_mtime_ns)
    return found


def orphan_exit(folder: str, pid: int, ticks: int) -> dict[str, Any] | None:
    """What the keeper wrote down about this process."""
    try:
        with open(os.path.join(folder, "orphans.jsonl"), "rb") as file:
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    for line in reversed(lines):
        told: dict[str, Any] = json.loads(line)
        if told["pid"] == pid and told["ticks"] == ticks:
            return told
    return None


def status_fields(status: int, utime: float, stime: float, maxrss: int) -> dict[str, Any]:
    """The wait status as an exit record's fields; `maxrss` is what the system calls it, here made bytes."""
    code = os.waitstatus_to_exitcode(status)
    scale = 1 if os.uname().sysname == "Darwin" else 1024
    return {"code": code if code >= 0 else None, "signal": -code if code < 0 else None,
            "cpu_user": round(utime, 6), "cpu_system": round(stime, 6), "max_rss": maxrss * scale}  # fmt: skip
