"""What a worker's process is made of before it exists: its executable, its Python, its variables.

Laws: everything is looked up in the environment that the run was started with, never in that of the process that
happens to look; a worker that cannot start says why in one sentence that names the place; nothing here starts a
process, reads `os.environ` or a clock. The base environment of a run lies in one file beside its logs that only its
owner can read, because it may hold the secrets of a shell.

Selecting a Python is what its `activate` script does and no more: its folder first on PATH and its own variable.
Activation hooks of conda packages (`etc/conda/activate.d`) are not run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import stat
import string
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from wattle.core.suggest import Suggester

_WINDOWS = os.name == "nt"
_BIN = "Scripts" if _WINDOWS else "bin"
_PYTHONS = ("python.exe",) if _WINDOWS else ("python", "python3")
_CACHE_SIZE = 512
_TYPO = 2
"""Letters by which a likely name may be longer or shorter."""

_found: dict[tuple[str, str, str], str] = {}


class CouldNotStart(Exception):
    """There is no process and cannot be one; the message is a sentence for the person who wrote the worker."""


# --- executables ------------------------------------------------------------------------------------------------


def find_executable(argv0: str, path: str | None, cwd: str) -> str:
    """The absolute path of what a shell in the folder `cwd` (absolute) with this PATH would run for `argv0`.

    A word with a slash is a path, relative to `cwd`; so is a relative entry of PATH. None is the system's own PATH.

    Raises:
        CouldNotStart: there is none, it is a folder, it is not executable, or a folder on the way is closed to us.
    """
    if not argv0:
        raise CouldNotStart("the command is empty")
    search = os.defpath if path is None else path
    key = (argv0, search, cwd)
    known = _found.get(key)
    if known is not None and os.access(known, os.X_OK):
        return known
    if os.sep in argv0 or (_WINDOWS and "/" in argv0):
        executable = _check_file(argv0, str(Path(cwd, argv0)))
    else:
        executable = _search(argv0, search, cwd)
    if len(_found) >= _CACHE_SIZE:
        _found.clear()
    _found[key] = executable
    return executable


def _check_file(word: str, place: str) -> str:
    """A file named by its path: found and executable, or the sentence that says why not."""
    shown = word if word == place else f"{word} ({place})"
    try:
        mode = os.stat(place).st_mode
    except PermissionError:
        raise CouldNotStart(f"{shown}: there is no right to enter the folder {_closed_folder(place)}") from None
    except OSError:
        near = _suggestion(Path(place).name, (str(Path(place).parent),))
        raise CouldNotStart(f"{shown} does not exist{near}") from None
    if stat.S_ISDIR(mode):
        raise CouldNotStart(f"{shown} is a directory, not a program")
    if not os.access(place, os.X_OK):
        raise CouldNotStart(f"{shown} is not executable; chmod +x {place}, or name its interpreter first")
    return place


def _search(word: str, path: str, cwd: str) -> str:
    """The first executable of that name along PATH; what was in the way is told when there is none."""
    found = shutil.which(word, path=path) if _WINDOWS else None
    if found:
        return str(Path(cwd, found))
    folders = tuple(str(Path(cwd, entry)) for entry in path.split(os.pathsep))
    closed = obstacle = ""
    for folder in folders:
        place = os.path.join(folder, word)
        try:
            mode = os.stat(place).st_mode
        except PermissionError:
            closed = closed or f"; no right to enter {folder}, which is on it"
            continue
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            obstacle = obstacle or f"{place} is a directory"
        elif os.access(place, os.X_OK):
            return place
        else:
            obstacle = obstacle or f"{place} is not executable; chmod +x it"
    if obstacle:
        raise CouldNotStart(f"{word} cannot be run: {obstacle}")
    here = f"; ./{word} is in the working directory" if Path(cwd, word).is_file() else ""
    where = f"PATH ({path})" if path else "PATH, which is empty"
    raise CouldNotStart(f"{word} was not found on {where}{closed or here or _suggestion(word, folders)}")


def _closed_folder(place: str) -> str:
    """The outermost folder above `place` that we may not enter."""
    for folder in reversed(Path(place).parents):
        try:
            os.stat(folder / ".")
        except PermissionError:
            return str(folder)
        except OSError:
            break
    return str(Path(place).parent)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


@functools.lru_cache(maxsize=256)
def _suggestion(word: str, folders: tuple[str, ...]) -> str:
    """`; did you mean …?` or nothing. Kept, because ten thousand workers may share one mistake."""
    names = {name for folder in folders for name in _names(folder)} - {word}
    near = Suggester().nearest(word, sorted(name for name in names if abs(len(name) - len(word)) <= _TYPO))
    return f"; did you mean {near}?" if near else ""


# --- a Python environment ---------------------------------------------------------------------------------------


def python_environment(selector: str, base: Mapping[str, str], cwd: str) -> dict[str, str]:
    """What to lay over `base` so that `python` is the selected one.

    `selector` is a path to an environment's folder or to an interpreter (relative to `cwd`; `~` is the base's HOME),
    `conda:NAME`, or `kernel:NAME`. A variable that must go is set to the empty text, which Python takes for unset.

    Raises:
        CouldNotStart: there is no such environment; the message says where it was looked for.
    """
    kind, colon, name = selector.partition(":")
    if colon and kind == "conda":
        return _of_prefix(_conda_prefix(name, base), base)
    if colon and kind == "kernel":
        return _of_kernel(name, base, cwd)
    return _of_path(selector, base, cwd)


def interpreter(selector: str | None, base: Mapping[str, str], path: str | None, cwd: str) -> str:
    """The Python that a cell runs under: a file is that very interpreter, a kernel has one, an environment has its own;
    when none is selected, the first `python` on `path`, else the first `python3`.

    Raises:
        CouldNotStart: there is none.
    """
    if selector is not None and selector.startswith("kernel:"):
        return str(_kernel(selector.removeprefix("kernel:"), base, cwd)[0])
    if selector is not None:
        conda = selector.startswith("conda:")
        place = _conda_prefix(selector[6:], base) if conda else Path(cwd, _from_home(selector, base))
        inside = (place / _BIN / python for python in _PYTHONS)
        return str(next((one for one in (*inside, place / "python.exe") if one.is_file()), place))
    try:
        return find_executable("python", path, cwd)
    except CouldNotStart as error:
        with contextlib.suppress(CouldNotStart):
            return find_executable("python3", path, cwd)
        raise CouldNotStart(f"{error}; write python: and the path of the one to use") from None


def _from_home(selector: str, base: Mapping[str, str]) -> str:
    home = base.get("HOME", "")
    return home + selector[1:] if home and (selector == "~" or selector.startswith("~/")) else selector


def _of_path(selector: str, base: Mapping[str, str], cwd: str) -> dict[str, str]:
    place = Path(cwd, _from_home(selector, base))
    if place.is_dir():
        if not any((place / _BIN / python).exists() for python in _PYTHONS) and not (place / "python.exe").exists():
            raise CouldNotStart(f"python: {place} is not a Python environment: it has no {_BIN}/{_PYTHONS[0]}")
        return _of_prefix(place, base)
    if not place.exists():
        raise CouldNotStart(f"python: {place} does not exist; python3 -m venv {place} makes an environment there")
    _check_file(selector, str(place))
    return _of_interpreter(place, base)


def _of_interpreter(interpreter: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The folder of an interpreter; the environment that it belongs to, if it is of one."""
    folder = interpreter.parent
    prefix = folder.parent if folder.name == _BIN else folder
    if (prefix / "pyvenv.cfg").exists() or (prefix / "conda-meta").is_dir():
        return _of_prefix(prefix, base)
    return _delta(base, [folder], {})


def _of_prefix(prefix: Path, base: Mapping[str, str]) -> dict[str, str]:
    if (prefix / "conda-meta").is_dir():
        folders = [prefix, prefix / "Library" / "bin", prefix / "Scripts"] if _WINDOWS else [prefix / "bin"]
        return _delta(base, folders, {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": prefix.name})
    return _delta(base, [prefix / _BIN], {"VIRTUAL_ENV": str(prefix)})


def _delta(base: Mapping[str, str], folders: list[Path], own: dict[str, str]) -> dict[str, str]:
    """PATH with `folders` first; the environment's own variable; and the end of what would contradict it."""
    first = [str(folder) for folder in folders]
    rest = [entry for entry in base.get("PATH", os.defpath).split(os.pathsep) if entry not in first]
    gone = {name: "" for name in ("PYTHONHOME", "VIRTUAL_ENV") if base.get(name)}
    return {**gone, "PATH": os.pathsep.join(first + rest), **own}


def _conda_prefix(name: str, base: Mapping[str, str]) -> Path:
    looked = list(dict.fromkeys(_conda_places(name, base)))
    for place in looked:
        if (place / "conda-meta").is_dir():
            return place
    raise CouldNotStart(f"python: there is no conda environment {name!r}; looked at {_listed(looked)}")


def _conda_places(name: str, base: Mapping[str, str]) -> Iterator[Path]:
    """Where conda, mamba and micromamba keep an environment of that name, the surest first."""
    for folder in filter(None, base.get("CONDA_ENVS_DIRS", base.get("CONDA_ENVS_PATH", "")).split(os.pathsep)):
        yield Path(folder, name)
    home = Path(base.get("HOME") or base.get("USERPROFILE") or "/")
    roots = [Path(base["CONDA_EXE"]).parent.parent] if base.get("CONDA_EXE") else []
    roots += [Path(base[variable]) for variable in ("MAMBA_ROOT_PREFIX", "CONDA_ROOT") if base.get(variable)]
    if base.get("CONDA_PREFIX"):
        active = Path(base["CONDA_PREFIX"])
        roots.append(active.parent.parent if active.parent.name == "envs" else active)
    roots += [home / root for root in ("miniconda3", "miniforge3", "mambaforge", "anaconda3", "micromamba")]
    roots += [Path("/opt/conda"), Path("/opt/miniconda3")]
    for root in roots:
        yield root if name in {"base", "root"} else root / "envs" / name
    yield home / ".conda" / "envs" / name


def _listed(places: list[Path]) -> str:
    return ", ".join(str(place) for place in places)


# --- a Jupyter kernel's Python ----------------------------------------------------------------------------------


def _of_kernel(name: str, base: Mapping[str, str], cwd: str) -> dict[str, str]:
    python, variables = _kernel(name, base, cwd)
    delta = _of_interpreter(python, base)
    known = {**base, **delta}
    return {**delta, **{key: string.Template(value).safe_substitute(known) for key, value in variables.items()}}


def _kernel(name: str, base: Mapping[str, str], cwd: str) -> tuple[Path, dict[str, str]]:
    """The interpreter of a kernel, and the variables that its specification sets. Raises CouldNotStart."""
    spec_file = kernel_file(name, base)
    try:
        spec = json.loads(spec_file.read_text(encoding="utf-8"))
        argv0 = str(spec["argv"][0])
        variables = {str(key): str(value) for key, value in (spec.get("env") or {}).items()}
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise CouldNotStart(f"python: the kernel {name!r} has no readable argv in {spec_file}") from None
    return kernel_interpreter(argv0, spec_file, base, cwd), variables


def kernel_interpreter(argv0: str, spec_file: Path, base: Mapping[str, str], cwd: str) -> Path:
    """The program of a kernel: one that says only `python` means that of the environment which holds its kernel.json.
    Raises CouldNotStart."""
    if not Path(argv0).is_absolute() and spec_file.parts[-5:-2] == ("share", "jupyter", "kernels"):
        beside = spec_file.parents[4] / _BIN / argv0
        if beside.exists():
            return beside
    return Path(find_executable(argv0, base.get("PATH"), cwd))


def kernel_file(name: str, base: Mapping[str, str]) -> Path:
    """The `kernel.json` of a kernel. Raises CouldNotStart."""
    looked = list(dict.fromkeys(_kernel_folders(base)))
    known: dict[str, Path] = {}
    for folder in looked:
        for entry in _names(str(folder)):
            spec_file = folder / entry / "kernel.json"
            if entry.lower() not in known and spec_file.is_file():
                known[entry.lower()] = spec_file
    if name.lower() in known:
        return known[name.lower()]
    have = f"; there is {', '.join(sorted(known))}" if known else ""
    raise CouldNotStart(f"python: there is no kernel {name!r}{have}; looked in {_listed(looked)}")


def _kernel_folders(base: Mapping[str, str]) -> Iterator[Path]:
    """Jupyter's own search path for kernels, as the base environment has it."""
    home = Path(base.get("HOME") or base.get("USERPROFILE") or "/")
    data = [Path(folder) for folder in base.get("JUPYTER_PATH", "").split(os.pathsep) if folder]
    if base.get("JUPYTER_DATA_DIR"):
        data.append(Path(base["JUPYTER_DATA_DIR"]))
    elif sys.platform == "darwin":
        data.append(home / "Library" / "Jupyter")
    elif _WINDOWS:
        data.append(Path(base.get("APPDATA", home)) / "jupyter")
    else:
        data.append(Path(base.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter")
    prefixes = [base[variable] for variable in ("VIRTUAL_ENV", "CONDA_PREFIX") if base.get(variable)]
    prefixes += [sys.prefix, "/usr/local", "/usr"]
    data += [Path(prefix, "share", "jupyter") for prefix in prefixes]
    return (folder / "kernels" for folder in data)


# --- the base environment of a run ------------------------------------------------------------------------------


def write_base(path: str, variables: Mapping[str, str]) -> None:
    """Keep a run's base environment as a file that only its owner can read, durably, all or nothing.

    Raises:
        OSError: the folder is missing, closed or full.
    """
    fresh = f"{path}.{os.getpid()}.new"
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump(dict(variables), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def read_base(path: str) -> dict[str, str]:
    """The base environment of a run.

    Raises:
        CouldNotStart: the file is gone or damaged, so that nothing of that run can be started truthfully any more.
    """
    try:
        with open(path, encoding="ascii") as file:
            variables = json.load(file)
        return {str(name): str(value) for name, value in variables.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise CouldNotStart(f"the run's own environment is lost ({path}: {error}); start a new run") from None
