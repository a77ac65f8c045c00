"""Settings: one small frozen value, read once and passed on; and the state root, made and guarded.

    flag  >  WATTLE_* variable  >  --config FILE, else the user's config.toml  >  default

Laws: environment and configuration are read here and nowhere else, nothing is read at import time, and nothing is
ever read from the working directory. Each value remembers where it came from, for `wattle doctor`. The state root
holds definitions, logs and environments of one user: it is 0700 and theirs, or it is refused and left as it is.
Every command passes here before it does anything, so this module imports little.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wattle.core.errors import InvalidRequest, StorageError
from wattle.core.suggest import Suggester

SOCKET_PATH_LIMIT = 100
"""Bytes that a socket's path may have: Linux allows 107, macOS 103."""
LONGEST_SOCKET = "coordinator.sock"
LOGIN_NODE_WORKERS = 2
MOST_WORKERS = 10
"""What `auto` gives at most; more is for the person to say."""

_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.overlayfs", "fuse.lxcfs"})
_NETWORK = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre", "mmfs", "ncpfs",
    "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs",
    "wekafs",
})  # fmt: skip
_JOB_CLIENTS = ("sinfo", "qsub", "bsub")
_JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
_MODES = {"DependencyBased": "dependency", "Sequential": "sequential", "Parallel": "parallel"}


class Settings(NamedTuple):
    """Everything that can be set, resolved. `load` makes it.

    `database` is an absolute path or a database URL. `runtime_dir` holds the sockets. `supervisor` `off` lets workers
    belong to the coordinator, `door` `tcp` opens a port of 127.0.0.1 to a token: what machines without Unix sockets get
    anyway. `zenoh_tls` is the `host:port` at which other hosts reach the bus, over TLS; nothing means that none does.
    `config` is the file that was read. `notes` are sentences about what was decided for this machine. `origins`
    maps a setting to `flag`, the variable, the file or `default`.
    """

    home: Path
    runtime_dir: Path
    database: str
    log_directory: str = "logs/"
    max_concurrent_workers: int = 1
    mode: str = "dependency"
    on_exit: str = "resume"
    host: str = "localhost"
    port: int = 9240
    zenoh_enabled: bool = True
    zenoh_tls: str = ""
    supervisor: str = "auto"
    door: str = "auto"
    config: Path | None = None
    notes: tuple[str, ...] = ()
    origins: Mapping[str, str] = {}

    @property
    def database_path(self) -> Path | None:
        """The database's file; None when it is behind a URL."""
        return None if "://" in self.database else Path(self.database)

    def database_exists(self) -> bool:
        """Whether there is something to look into. A server behind a URL is taken to be there."""
        path = self.database_path
        return path is None or path.exists()

    def described(self) -> dict[str, list[str]]:
        """Each setting as (value, origin) in texts; a password in a URL is masked."""
        shown = {**self._asdict(), "db_url": re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", self.database)}
        names = ("home", "runtime_dir", *OPTIONS)
        return {name: [str(shown[name]), self.origins.get(name, "default")] for name in names}


# ---- the values ---------------------------------------------------------------------------------------------------


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("a text that is not empty")
    return value.strip()


def _host_and_port(value: object) -> str:
    if value == "":
        return ""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or any(sign in host for sign in "/?# \t\n") or not re.fullmatch(r"\d{1,5}", port):
        raise ValueError("nothing, or HOST:PORT, this machine's name and a port")
    return str(value)


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        word = _MODES.get(value, value) if isinstance(value, str) else value
        if word not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(word)

    return parse


def _whole(low: int, high: int, also: str = "") -> Callable[[object], int | str]:
    def parse(value: object) -> int | str:
        if also and value == also:
            return also
        number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value.strip()) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            either = f"'{also}' or " if also else ""
            raise ValueError(f"{either}a whole number from {low} to {high}")
        return number

    return parse


def _yes_or_no(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    found = value if isinstance(value, bool) else words.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("true or false")
    return found


class _Option(NamedTuple):
    """A setting: where it stands in the file, what it is without any, and how its value is read."""

    section: str
    key: str
    default: object
    parse: Callable[[object], object]


OPTIONS: dict[str, _Option] = {
    "host": _Option("server", "host", "localhost", _word),
    "port": _Option("server", "port", 9240, _whole(0, 65535)),
    "mode": _Option("coordinator", "mode", "dependency", _one_of("dependency", "sequential", "parallel")),
    "db_url": _Option("coordinator", "db_url", "wattle.db", _word),
    "on_exit": _Option("coordinator", "on_exit", "resume", _one_of("resume", "pause")),
    "door": _Option("coordinator", "door", "auto", _one_of("auto", "tcp")),
    "max_concurrent_workers": _Option("execution", "max_concurrent_workers", "auto", _whole(1, 100_000, also="auto")),
    "log_directory": _Option("execution", "log_directory", "logs/", _word),
    "supervisor": _Option("execution", "supervisor", "auto", _one_of("auto", "off")),
    "zenoh_enabled": _Option("zenoh", "enabled", True, _yes_or_no),
    "zenoh_tls": _Option("zenoh", "tls", "", _host_and_port),
}


# ---- loading ------------------------------------------------------------------------------------------------------


def load(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None,
    config: str | os.PathLike[str] | None = None,
) -> Settings:  # fmt: skip
    """The settings of this process. A flag that is None was not given; `config` replaces the user's own file.

    Raises:
        InvalidRequest: a value that makes no sense, an unknown key, a file that is not TOML or not there.
    """
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    environ = os.environ if environ is None else environ
    _known(flags, {"home", *OPTIONS}, "setting", "settings")
    file, written = _from_file(config, environ)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, option in OPTIONS.items():
        variable = f"WATTLE_{name.upper()}"
        if name in flags:
            value, origin, where = flags[name], "flag", name
        elif environ.get(variable):
            value, origin, where = environ[variable], variable, variable
        elif name in written:
            value, origin, where = written[name], str(file), f"{file}: [{option.section}] {option.key}"
        else:
            value, origin, where = option.default, "default", name
        try:
            values[name] = option.parse(value)
        except ValueError as error:
            raise InvalidRequest(f"{where} is {value!r}, which makes no sense.", f"it must be {error}") from None
        origins[name] = origin
    home, origins["home"] = _home(flags, environ)
    notes: list[str] = []
    if values["max_concurrent_workers"] == "auto":
        values["max_concurrent_workers"] = _automatic(environ, notes)
    uid = _user()
    values["database"] = _database(values.pop("db_url"), home, uid, environ, notes)
    values["log_directory"] = _expand(values["log_directory"], environ)
    return Settings(home=home, runtime_dir=_runtime_dir(home, uid, notes), config=file,
                    notes=tuple(notes), origins=origins, **values)  # fmt: skip


def _known(given: Mapping[str, object], options: set[str], noun: str, nouns: str, where: str = "") -> None:
    for name in given:
        if name not in options:
            raise InvalidRequest(f"{where}there is no {noun} {name!r}.", Suggester().hint(name, options, nouns))


def _from_file(
    config: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> tuple[Path | None, dict[str, object]]:
    """The file that counts and what it sets. The user's own file need not exist; one that is asked for must."""
    path = (_config_home(environ) / "config.toml") if config is None else Path(_expand(os.fspath(config), environ))
    path = path.absolute()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if config is None:
            return None, {}
        raise InvalidRequest(f"There is no settings file {path}.", "leave --config out, or name a file") from None
    except OSError as error:
        raise InvalidRequest(f"The settings file {path} cannot be read: {error.strerror}.", "") from None
    import tomllib  # noqa: PLC0415  most people have no such file, and should not wait for its reader

    try:
        tables = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path}: byte {error.start} is not UTF-8.", "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{path}: {error}.", "the file is TOML, with tables such as [execution]") from None
    return path, _settings_of(tables, path)


def _settings_of(tables: Mapping[str, object], path: Path) -> dict[str, object]:
    by_place = {(option.section, option.key): name for name, option in OPTIONS.items()}
    _known(tables, {section for section, _ in by_place}, "table", "tables", f"{path}: ")
    found: dict[str, object] = {}
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise InvalidRequest(f"{path}: {section} is {table!r}, not a table.", f"write [{section}] above it")
        keys = {key for of, key in by_place if of == section}
        _known(table, keys, "setting", "settings", f"{path}: in [{section}] ")
        found |= {by_place[section, key]: value for key, value in table.items()}
    return found


def _home(flags: Mapping[str, object], environ: Mapping[str, str]) -> tuple[Path, str]:
    given = flags.get("home")
    if given is not None:
        text, origin = os.fspath(given) if isinstance(given, str | os.PathLike) else "", "flag"
    elif environ.get("WATTLE_HOME"):
        text, origin = environ["WATTLE_HOME"], "WATTLE_HOME"
    elif told := _of_the_server(environ.get("WATTLE_CONNECTION", "")):
        text, origin = told, "WATTLE_CONNECTION"
    else:
        return _state_home(environ), "default"
    if not text or "\0" in text:
        raise InvalidRequest(f"The state root is {given!r}, which is no path.", "name a folder")
    return Path(os.path.abspath(_expand(text, environ))), origin


def _of_the_server(path: str) -> str:
    """The state root of the Jupyter server that this process belongs to, from its connection file; empty without
    one. A file that is gone or damaged says nothing: servers end, and their terminals stay."""
    if not path:
        return ""
    try:
        told = json.loads(Path(path).read_bytes())
        home = told["home"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return home if isinstance(home, str) else ""


def _expand(path: str, environ: Mapping[str, str]) -> str:
    """`~` is the home of the environment that was given, not of this process."""
    if path == "~" or path.startswith("~/"):
        return environ.get("HOME", os.path.expanduser("~")) + path[1:]
    return path


def _state_home(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "wattle"
    if sys.platform == "darwin":
        return Path(_expand("~/Library/Application Support/wattle", environ))
    return Path(_xdg("XDG_STATE_HOME", "~/.local/state", environ)) / "wattle"


def _config_home(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "wattle"
    return Path(_xdg("XDG_CONFIG_HOME", "~/.config", environ)) / "wattle"


def _xdg(variable: str, default: str, environ: Mapping[str, str]) -> str:
    """The specification says that a relative path is to be ignored."""
    value = environ.get(variable, "")
    return value if os.path.isabs(value) else _expand(default, environ)


# ---- what depends on the machine ------------------------------------------------------------------------------------


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _automatic(environ: Mapping[str, str], notes: list[str]) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    client = None if any(environ.get(name) for name in _JOB_IDS) else _on_path(_JOB_CLIENTS, environ.get("PATH", ""))
    if client is None:
        return min(cores, MOST_WORKERS)
    notes.append(f"This looks like a login node ({os.path.basename(client)} is there, and no job): "
                 f"{LOGIN_NODE_WORKERS} workers at once. "
                 "max_concurrent_workers sets another number.")  # fmt: skip
    return LOGIN_NODE_WORKERS


def _on_path(programs: tuple[str, ...], path: str) -> str | None:
    candidates = (os.path.join(folder, program) for folder in path.split(os.pathsep) if folder for program in programs)
    return next((found for found in candidates if os.access(found, os.X_OK) and os.path.isfile(found)), None)


def _database(given: str, home: Path, uid: int, environ: Mapping[str, str], notes: list[str]) -> str:
    """An absolute path, or a URL as it was given. SQLite's URLs become paths; relative ones begin at the state root."""
    if sqlite := re.fullmatch(r"sqlite(?:\+\w+)?:(?:///?)?([^?]*)(?:\?.*)?", given):
        given = sqlite[1]
    elif "://" in given:
        return given
    if given in {"", ":memory:"}:
        raise InvalidRequest("db_url names a database in memory, which would forget every run.", "name a file")
    path = Path(_expand(given, environ))
    if path.is_absolute():
        return str(path)
    kind = file_system(home)
    if kind is not None and is_network(kind):
        local = Path("/var/tmp") / f"wattle-{uid}" / _short(home) / path.name  # noqa: S108  checked by prepare_home
        other = file_system(local)
        if other is not None and not is_network(other):
            notes.append(f"The state root is on a network file system ({kind}), where SQLite cannot be trusted: "
                         f"the database is {local}, on this machine's own disk.")  # fmt: skip
            return str(local)
        notes.append(f"The state root is on a network file system ({kind}) and /var/tmp is no better: "
                     "the database stays in the state root, without a write-ahead log.")  # fmt: skip
    return str(Path(os.path.abspath(home / path)))


def _runtime_dir(home: Path, uid: int, notes: list[str]) -> Path:
    here = home / "run"
    if os.name == "nt":
        return here
    kind = file_system(home)
    fits = len(os.fsencode(here / LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT
    if fits and (kind is None or not is_network(kind)):
        return here
    elsewhere = Path("/tmp") / f"wattle-{uid}" / _short(home)  # noqa: S108  owner and mode are checked by prepare_home
    why = "is too long for a socket" if not fits else f"is on a network file system ({kind})"
    notes.append(f"The path of the state root {why}: the sockets are in {elsewhere}.")
    return elsewhere


def _short(home: Path) -> str:
    return f"{zlib.crc32(os.fsencode(home)):08x}"


def file_system(path: str | os.PathLike[str], mounts: str = "/proc/self/mounts") -> str | None:
    """The type of the file system that a path is, or would be, on; None where there is no table of mounts."""
    real = os.path.realpath(path)
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            lines = table.read().splitlines()
    except OSError:
        return None
    best, kind = "", None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        inside = point in {"/", real} or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of two mounts on one folder the later one is seen
            best, kind = point, fields[2]
    return kind


def is_network(kind: str) -> bool:
    """Whether a file system of this type is shared with other machines, or might be."""
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


# ---- the state root -------------------------------------------------------------------------------------------------


def log_root(settings: Settings) -> Path:
    """The folder of all logs."""
    return Path(os.path.abspath(settings.home / settings.log_directory))


def prepare_home(settings: Settings) -> None:
    """Make the state root, the runtime directory and the log folder where they are missing, and see that they are ours
    alone.

    Raises:
        StorageError: one of them cannot be used; nothing was changed.
    """
    _private(settings.home, "state root", "choose another with --home or WATTLE_HOME")
    shared = [settings.runtime_dir]
    database = settings.database_path
    if database is not None and database.parent.parent == Path("/var/tmp") / f"wattle-{_user()}":  # noqa: S108
        shared.append(database.parent)
    for folder in shared:
        if folder.parent != settings.home:
            _private(folder.parent, "folder", "remove it if it is not needed, or name a state root with a shorter path")
        _private(folder, "folder", "remove it if it is not needed, or name another state root")
    for below in (log_root(settings), *([database.parent] if database is not None else [])):
        if settings.home in below.parents:
            _make(below, "folder")
    root = log_root(settings)
    _make(root, "log folder")
    if not root.is_dir():
        raise StorageError(f"The log folder {root} is not a folder.", "set log_directory to another")


def _private(path: Path, what: str, otherwise: str) -> None:
    """A folder of this user and nobody else, made when it is missing."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        _make(path, what)
        found = path.lstat()
    except OSError as error:
        raise StorageError(f"The {what} {path} cannot be looked at: {error.strerror}.", otherwise) from None
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        raise StorageError(f"The {what} {path} is a symbolic link.", f"name the folder itself: {path.resolve()}")
    if not stat.S_ISDIR(found.st_mode):
        raise StorageError(f"The {what} {path} is not a folder.", otherwise)
    if os.name != "nt" and found.st_uid != _user():
        raise StorageError(f"The {what} {path} belongs to another user (uid {found.st_uid}).", otherwise)
    if os.name != "nt" and mode & 0o077:
        raise StorageError(f"The {what} {path} is open to other users (mode {mode:o}).", f"chmod 700 {path}")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY
        why = "its file system is read-only" if read_only else f"its mode is {mode:o}"
        mend = otherwise if read_only else f"chmod 700 {path}"
        raise StorageError(f"The {what} {path} cannot be written: {why}.", mend)


def _make(path: Path, what: str) -> None:
    """Folders are made one by one, so that each new one is 0700 whatever the umask says."""
    missing: list[Path] = []
    try:
        while not path.exists():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                folder.chmod(0o700)
    except OSError as error:
        target = missing[0] if missing else path
        raise StorageError(f"The {what} {target} cannot be made: {error.strerror}.",
                           "make it yourself, or choose another with --home or WATTLE_HOME") from None  # fmt: skip
