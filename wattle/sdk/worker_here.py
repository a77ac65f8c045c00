"""The worker that this program is: its inputs, outputs, values and names, as Wattle has put them into the environment.

    WATTLE_WORKFLOW_NAME  WATTLE_WORKER_NAME  WATTLE_RUN  WATTLE_ATTEMPT  WATTLE_RUN_DIR
    WATTLE_PARAMS                    the run's parameters, one JSON object
    WATTLE_INPUT_<PORT>              a path; of a fan-in, of a JSON file of rows; empty: its worker did not make it;
                                     of a stream `worker/output`, what it is joined to
    WATTLE_OUTPUT_<PORT>             a path to write to; of a value, of a JSON file
    WATTLE_EACH_<NAME>               a value of this instance, as text or JSON
    WATTLE_CONNECTION                a file that says how the coordinator and the bus are reached

Laws: nothing is looked up before it is asked for. An environment variable has no case of its own, so the names of
ports and of `each` are compared without it. Outside a worker there is `local`, and every error says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from wattle.sdk.worker_errors import NoSuchPort, NotInWorker, NotJson
from wattle.sdk.worker_values import VALUE_LIMIT, Progress, make_folder, put_file, read_value, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    _Path = pathlib.Path
else:
    _Path = type(pathlib.Path())  # before Python 3.12 only the class of this system can be inherited from

T_co = TypeVar("T_co", covariant=True)

LOCAL_FOLDER = "wattle-local"
"""Where `local` leaves outputs, below the current folder."""


class Input(_Path):
    """An input: the path of its file, with `.value` and `.rows` for what such a file may hold."""

    port = "the input"

    def with_segments(self, *segments: str | os.PathLike[str]) -> pathlib.Path:
        """What is derived from it is a plain path."""
        return pathlib.Path(*segments)

    @property
    def value(self) -> Any:
        """A value: what its worker put, from JSON; what is not JSON is text, as a shell's `echo` leaves it.

        Raises:
            NotJson: it is larger than a value can be.
            OSError: the file cannot be read.
        """
        return read_value(str(self), self.port)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A fan-in: one dict per instance that fed it, with its `each` values (or `worker`, its name) and its output.
        A file is a `Path`, and None where its worker made none.

        Raises:
            NotJson: this is no fan-in.
            OSError: the file cannot be read.
        """
        try:
            rows = json.loads(self.read_bytes())
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NotJson(f"{self.port} is not a fan-in, so it has no rows: {self}",
                          f"worker.inputs[{self.port!r}] is its path, and .value what a value holds")  # fmt: skip
        return [_with_path(row) for row in rows]


def _with_path(row: dict[str, Any]) -> dict[str, Any]:
    """The output is the last field of a row; the absolute path of a file is there as a path."""
    port = next(reversed(row), None)
    if port is not None and isinstance(row[port], str) and os.path.isabs(row[port]):
        row[port] = pathlib.Path(row[port])
    return row


class Named(Mapping[str, T_co], Generic[T_co]):
    """A mapping by name, ignoring case, whose errors say which names there are."""

    def __init__(self, items: Mapping[str, T_co], noun: str, nouns: str, where: str) -> None:
        self._items = {name.lower(): (name, item) for name, item in items.items()}
        self._noun = noun
        self._nouns = nouns
        self._where = where

    def __getitem__(self, name: str) -> T_co:
        try:
            return self._items[name.lower()][1]
        except (KeyError, AttributeError):
            from wattle.core.suggest import Suggester

            hint = Suggester().hint(str(name), list(self), self._nouns)
            raise NoSuchPort(f"{self._where} has no {self._noun} {name!r}", hint) from None

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr({name: self[name] for name in self})


class Inputs(Named[Input]):
    """The inputs by port. One that its worker did not make is not among them."""

    def __init__(self, paths: Mapping[str, str], where: str) -> None:
        made = {port: Input(path) for port, path in paths.items() if path}
        for port, found in made.items():
            found.port = port
        super().__init__(made, "input", "inputs", where)
        self._unmade = {port.lower() for port, path in paths.items() if not path}

    def __getitem__(self, name: str) -> Input:
        if str(name).lower() in self._unmade:
            raise NoSuchPort(f"{self._where}: the input {name!r} was not made by its worker",
                             f"ask first: if {name!r} in worker.inputs")  # fmt: skip
        return super().__getitem__(name)


class Here:
    """What a worker's program can know of its worker. `worker.inputs` is this one's `inputs`, and so on.

    `values` is what this process has put.
    """

    def __init__(self, *, workflow: str, name: str, run: int, attempt: int, run_dir: pathlib.Path | None,
                 inputs: Mapping[str, str], outputs: Mapping[str, str], params: Mapping[str, Any],
                 each: Mapping[str, Any], connection: str = "") -> None:  # fmt: skip
        where = f"{workflow}@{run}/{name}" if run else name
        self.workflow = workflow
        self.name = name
        self.run = run
        self.attempt = attempt
        self.address = where
        self.connection = connection
        self.inputs = Inputs(inputs, where)
        self.outputs: Mapping[str, pathlib.Path] = Named(
            {port: pathlib.Path(path) for port, path in outputs.items()}, "output", "outputs", where)  # fmt: skip
        self.params: Mapping[str, Any] = Named(params, "param", "params", where)
        self.each: Mapping[str, Any] = Named(each, "each value", "each values", where)
        self.values: dict[str, Any] = {}
        self._run_dir = run_dir
        self._progress: Progress | None = None

    @property
    def run_dir(self) -> pathlib.Path:
        """The folder of the run, which may not be there yet. Raises NotInWorker when nobody has said."""
        if self._run_dir is None:
            raise NotInWorker(f"{self.address}: WATTLE_RUN_DIR is not set", "Wattle itself sets it")
        return self._run_dir

    @property
    def progress(self) -> Progress:
        """How far the work is."""
        if self._progress is None:
            self._progress = Progress(None if self._run_dir is None else self._run_dir / self.name, self.attempt)
        return self._progress

    def put(self, port: str, value: Any) -> None:
        """As `put` below."""
        data = to_json(value, port)
        if len(data) > VALUE_LIMIT:
            raise NotJson(f"{port} is {len(data) / VALUE_LIMIT:.1f} MiB of JSON; a value has at most 1 MiB",
                          f"make it an output of type file and write to worker.outputs[{port!r}]")  # fmt: skip
        put_file(str(self.outputs[port]), data)
        self.values[port] = value


class _Local(Here):
    """A worker that there is only here: what is not declared goes into `folder`."""

    def __init__(self, folder: pathlib.Path, outputs: Mapping[str, str], *, open_ended: bool, **told: Any) -> None:
        super().__init__(workflow="local", name="local", run=0, attempt=1, run_dir=folder, outputs=outputs, **told)
        if open_ended:
            self.outputs = _Anywhere(folder)

    @property
    def progress(self) -> Progress:
        """How far the work is; the file lies in the folder itself."""
        if self._progress is None:
            self._progress = Progress(self.run_dir, self.attempt)
        return self._progress


class _Anywhere(Named[pathlib.Path]):
    """The outputs of a local worker that declared none: each in the folder, under its own name."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__({}, "output", "outputs", "local")
        self._folder = folder

    def __getitem__(self, name: str) -> pathlib.Path:
        if name.lower() not in self._items:
            self._items[name.lower()] = (name, self._folder / name)
        return super().__getitem__(name)


# --- which one ---------------------------------------------------------------------------------------------------

_given: Here | None = None
_local: list[Here] = []


def in_worker() -> bool:
    """This program was started by Wattle."""
    return "WATTLE_WORKER_NAME" in os.environ


def here() -> Here:
    """The worker that this program is.

    Raises:
        NotInWorker: it is none.
    """
    global _given  # noqa: PLW0603 - a process is one worker
    if _local:
        return _local[-1]
    if _given is None:
        if not in_worker():
            raise NotInWorker(
                "This program does not run as a worker: WATTLE_WORKER_NAME is not set.",
                'run it in a workflow (wattle run), or alone: with worker.local(inputs={"raw": "a.csv"}):')  # fmt: skip
        _given = _from_environment(os.environ)
    return _given


def forget() -> None:
    """Look at the environment again when next asked."""
    global _given  # noqa: PLW0603 - a process is one worker
    _given = None


def _from_environment(variables: Mapping[str, str]) -> Here:
    def all_of(prefix: str) -> dict[str, str]:
        return {name.removeprefix(prefix).lower(): text for name, text in variables.items() if name.startswith(prefix)}

    run_dir = variables.get("WATTLE_RUN_DIR")
    try:
        return Here(
            workflow=variables["WATTLE_WORKFLOW_NAME"], name=variables["WATTLE_WORKER_NAME"],
            run=int(variables["WATTLE_RUN"]), attempt=int(variables["WATTLE_ATTEMPT"]),
            run_dir=pathlib.Path(run_dir) if run_dir else None,
            inputs=all_of("WATTLE_INPUT_"), outputs=all_of("WATTLE_OUTPUT_"),
            params=json.loads(variables.get("WATTLE_PARAMS", "{}")),
            each={name: _each(text) for name, text in all_of("WATTLE_EACH_").items()},
            connection=variables.get("WATTLE_CONNECTION", ""))  # fmt: skip
    except (KeyError, ValueError) as error:
        raise NotInWorker(f"The environment is not that of a worker: {error}", "WATTLE_* variables are set by Wattle "
                          "alone; unset WATTLE_WORKER_NAME to run outside") from None  # fmt: skip


def _each(text: str) -> Any:
    """A text that is JSON was a number, a list … in the document, or looks like one."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def put(port: str, value: Any) -> None:
    """Write a value output: JSON of at most 1 MiB, there whole or not at all. The last one put counts, once the
    program ends with exit code 0.

    Raises:
        NotJson: JSON cannot hold it; the message names the place in it. NaN is refused: put None.
        NoSuchPort: there is no such output.
        OSError: it cannot be written.
    """
    here().put(port, value)


def progress(fraction: float | None, text: str = "") -> None:
    """Say how far the work is: a fraction between 0 and 1 (None when unknown) and a word for people. Call it as often
    as you like; a few times a second it is written down, and the last one always.

    Raises:
        InvalidRequest: the fraction is no number, or looks like a percentage.
    """
    here().progress.report(fraction, text)


@contextlib.contextmanager
def local(inputs: Mapping[str, Any] | None = None, outputs: Mapping[str, Any] | Iterable[str] | None = None, *,
          values: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None,
          each: Mapping[str, Any] | None = None,
          folder: str | os.PathLike[str] | None = None) -> Iterator[Here]:  # fmt: skip
    """Run a worker's program alone, to debug it. Inside a real worker this changes nothing, so it can stay in place.

    `inputs`: per port a path, or a list of dicts for a fan-in. `values`: inputs that are values. `outputs`: paths by
    port, relative to `folder`, or a list of ports; left out, every name is an output. `folder` (default:
    `wattle-local` in the current one) gets what is written. `as` gives the worker; its `.values` are what was put.

    There is no bus: live calls say so.

    Raises:
        FileNotFoundError: an input is not there.
        NotJson: a value that JSON cannot hold.
    """
    if in_worker():
        yield here()
        return
    place = pathlib.Path(folder if folder is not None else LOCAL_FOLDER).absolute()
    make_folder(place)
    if folder is None:
        (place / ".gitignore").write_text("*\n", encoding="ascii")
    given = {port: _local_input(place, port, source) for port, source in (inputs or {}).items()}
    for port, value in (values or {}).items():
        given[port] = str(place / f"input-{port}.json")
        put_file(given[port], to_json(value, port))
    paths = _local_outputs(place, outputs)
    made = _Local(place, paths, open_ended=outputs is None, inputs=given, params=params or {}, each=each or {})
    _local.append(made)
    try:
        yield made
    finally:
        _local.remove(made)
        made.progress.flush()


def _local_input(folder: pathlib.Path, port: str, source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source).absolute()
        if not path.exists():
            raise FileNotFoundError(2, f"worker.local: the input {port!r} is not there", str(path))
        return str(path)
    if not isinstance(source, list) or not all(isinstance(row, dict) for row in source):
        raise NotJson(f"worker.local: the input {port!r} is neither a path nor a list of rows",
                      f"a value is given as local(values={{{port!r}: …}})")  # fmt: skip
    rows = [{name: str(item) if isinstance(item, pathlib.Path) else item for name, item in row.items()}
            for row in source]  # fmt: skip
    place = str(folder / f"input-{port}.json")
    put_file(place, to_json(rows, port))
    return place


def _local_outputs(folder: pathlib.Path, outputs: Mapping[str, Any] | Iterable[str] | None) -> dict[str, str]:
    if outputs is None:
        return {}
    named = outputs.items() if isinstance(outputs, Mapping) else ((port, port) for port in outputs)
    paths = {port: folder / os.fspath(path) for port, path in named}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    return {port: str(path) for port, path in paths.items()}
