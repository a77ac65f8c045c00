"""From an instance to the process to make: words, environment, folders and files of one attempt.

Laws: pure, nothing is looked up on a disk: what must exist is listed in the `Launch`, and who performs it looks. A
command is split into words before anything is filled in, so a value is one argument byte for byte, whatever it
holds. `launch` is on the hot path: what the instances of a worker share is worked out once per worker.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from wattle.core import runners
from wattle.core.binding import texts_in
from wattle.core.errors import InvalidRequest
from wattle.core.models import Feed, Instance, RunSpec, Worker, Workflow
from wattle.core.objects import candidates
from wattle.core.places import Places, resolve, run_log_dir, runs_dir
from wattle.core.records import Launch, OutputRef
from wattle.core.template import among, as_text, fill, references, sole
from wattle.core.words import NotWords, split

Locate = Callable[[int, str], OutputRef]
Limits = dict[str, tuple[float, float]]

INTERPRETERS: dict[str, tuple[tuple[str, ...], str]] = {
    "bash": (("bash", "-euo", "pipefail"), ".sh"),
    "sh": (("sh", "-eu"), ".sh"),
    "python": (("python",), ".py"),
    "node": (("node",), ".js"),
    "Rscript": (("Rscript",), ".R"),
}
"""`lang` -> the words before the script's path, and the suffix of its file."""
DESCRIBED = 80
"""Characters of a description."""
LARGEST_PARAMS = 16_384
"""Characters of the parameters as one variable; a system takes no variable of more than 128 KiB."""


class Launcher:
    """Makes the launches of one run.

    `base_environment` is the client's; `origins` has the specs of the runs whose results are taken over, by address;
    `connection` is the file in which a worker finds the bus, if there is to be one.
    """

    def __init__(self, spec: RunSpec, instances: Sequence[Instance], *, log_root: str,
                 base_environment: Mapping[str, str], origins: Mapping[str, RunSpec] | None = None,
                 connection: str = "") -> None:  # fmt: skip
        document = spec.document
        self.spec = spec
        self.env_id = spec.address
        self.base_environment = base_environment
        self._instances = instances
        self._places = Places(spec)
        self._origins = {address: Places(origin) for address, origin in (origins or {}).items()}
        self._recipes: dict[str, _Recipe] = {}
        self._log_base = run_log_dir(log_root, spec.workflow, spec.number)
        lookup = among({"params": self._places.params, "env": base_environment, "run": self._places.run},
                       f"{spec.workflow}: env_vars")  # fmt: skip
        own = {name: fill(value, lookup) for name, value in document.env_vars.items()}
        self._variables = own if "PYTHONUNBUFFERED" in base_environment else {"PYTHONUNBUFFERED": "1", **own}
        self._environment = {**base_environment, **own} if own else base_environment
        runs = runs_dir(document)
        self._latest = {posixpath.join(runs, spec.workflow, "latest"): str(spec.number)}
        self._ignore = {posixpath.join(runs, ".gitignore"): "*\n"}
        self._run = {"WATTLE_RUN": str(spec.number), "WATTLE_RUN_DIR": self._places.run_dir}
        if connection:
            self._run["WATTLE_CONNECTION"] = connection
        if spec.params and len(params := as_text(spec.params)) <= LARGEST_PARAMS:
            self._run["WATTLE_PARAMS"] = params

    def output(self, instance: Instance, port: str, *, reused_from: str = "", ended: bool = True) -> OutputRef:
        """Where an output lies: in this run, or in the one it was taken over from. `ended` is whether the instance
        completed: of one that did not there is nothing (an empty path), but where nothing waits (`mode: parallel`).
        A stream lies nowhere: it has the address `worker/port`."""
        places = self._origins.get(reused_from) if reused_from else self._places
        instance = self.spec.options.as_made(instance)
        kind = self._places.definitions[instance.worker].outputs[port].type
        if kind == "stream":
            return OutputRef(kind, f"{instance.name}/{port}")
        if places is None or not (ended or self.spec.document.mode == "parallel"):
            return OutputRef(kind, "")
        return OutputRef(kind, places.output(instance, port))

    def launch(self, instance: Instance, attempt: int, nonce: str, *, locate: Locate, limits: Limits,
               room: Limits | None = None) -> Launch:  # fmt: skip
        """One attempt as a process to make. `locate(index, port)` says where an upstream's output lies, with the JSON
        of a value; an empty path is an output that its worker did not make.

        Raises:
            InvalidRequest: a text refers to what is not known.
        """
        recipe = self._recipes.get(instance.worker) or self._recipe(instance.worker)
        worker = recipe.worker
        cwd = self._places.working_dir(instance)
        log_dir = f"{self._log_base}/{instance.name}/{attempt}"
        outputs = {port: self._places.output(instance, port) for port in recipe.outputs}
        fed = _Fed()
        if instance.inputs:
            fed.take(instance, self._instances, self._places, cwd, log_dir, locate)
        words, variables, parameters = self._filled(recipe, instance, outputs, fed)
        files = fed.files
        scripts: tuple[str, ...] = ()
        if recipe.runner == "notebook":
            words = self._notebook(worker, instance, cwd, log_dir, outputs, fed, parameters)
        elif recipe.runner:
            words = self._cell(worker, instance, log_dir, outputs, fed, words)
        elif recipe.script is not None:
            path = f"{log_dir}/script{recipe.suffix}"
            files[path] = recipe.script
            words = (*recipe.interpreter, path, *words)
            scripts = () if recipe.interpreter else (path,)
        if recipe.run_folder:
            files.update(self._ignore)
        folder = f"{self._places.run_dir}/{instance.name}"
        # An earlier attempt's folder is kept beside; no worker's name holds a tilde.
        return Launch(
            nonce=nonce, run=self.spec.id, worker=instance.name, attempt=attempt, argv=words, cwd=cwd,
            env_id=self.env_id, stdout=f"{log_dir}/stdout.log",
            env={**self._variables, **variables, **self._own_variables(instance, attempt, outputs), **fed.variables},
            stderr=None if recipe.merges_logs else f"{log_dir}/stderr.log", python=recipe.python, setup=recipe.setup,
            set_aside={folder: f"{folder}~{attempt - 1}"} if recipe.own_folder and attempt > 1 else {},
            links=self._latest if recipe.run_folder else {},
            directories=self._directories(recipe, cwd, log_dir, folder, outputs),
            files=files, scripts=scripts, required=tuple(fed.required), outputs=outputs,
            objects={port: candidates(outputs[port]) for port in recipe.objects}, runner=recipe.runner,
            whole=recipe.runner == "notebook",
            timeout=worker.timeout, grace=recipe.grace, log_limit=worker.log_limit, limits=limits,
            room=room or {},
        )  # fmt: skip

    def _recipe(self, worker: str) -> _Recipe:
        made = self._recipes[worker] = _Recipe(self.spec.document, self._places.definitions[worker])
        return made

    def _filled(self, recipe: _Recipe, instance: Instance, outputs: Mapping[str, str],
                fed: _Fed) -> tuple[tuple[str, ...], Mapping[str, str], Mapping[str, Any]]:  # fmt: skip
        """Words, variables and parameters with their references filled in. Raises InvalidRequest."""
        words, variables, parameters = recipe.words, recipe.worker.env_vars, recipe.worker.parameters
        if not recipe.refers:
            return words, variables, parameters
        scopes = self._places.scopes(instance)
        scopes.update(inputs=fed.texts, outputs=outputs, env=self._environment)
        lookup = among(scopes, f"{self.spec.workflow}/{instance.name}")
        typed = {"params": self.spec.params, "each": instance.row, "inputs": fed.values}
        return (_fill_words(words, lookup, fed.rows), {name: fill(value, lookup) for name, value in variables.items()},
                {name: _fill_value(value, lookup, typed) for name, value in parameters.items()})  # fmt: skip

    def _cell(self, worker: Worker, instance: Instance, log_dir: str, outputs: Mapping[str, str], fed: _Fed,
              words: tuple[str, ...]) -> tuple[str, ...]:  # fmt: skip
        """The words for the program that performs a cell; its source is a file of the attempt."""
        path = f"{log_dir}/script.py"
        fed.files[path] = worker.cell or ""
        return (worker.name, path, *runners.given(instance.row), *runners.fed(fed.ports),
                *runners.made(worker.outputs, outputs), "--", *words)  # fmt: skip

    def _notebook(self, worker: Worker, instance: Instance, cwd: str, log_dir: str, outputs: Mapping[str, str],
                  fed: _Fed, parameters: Mapping[str, Any]) -> tuple[str, ...]:  # fmt: skip
        """The words for the program that performs a notebook, each parameter a file of the attempt. The kernel works in
        the notebook's folder, unless the worker says where."""
        path = resolve(cwd, self._places.filled(worker.notebook or "", instance))
        fed.required.append(path)
        for name, value in parameters.items():
            file = f"{log_dir}/parameter-{name}.json"
            fed.files[file] = msgspec.json.encode(value).decode()
            fed.ports[name] = ("parameter", file)
        folder = cwd if worker.working_dir is not None else posixpath.dirname(path)
        return (worker.name, path, worker.kernel or "", folder, *runners.given(instance.row), *runners.fed(fed.ports),
                *runners.made(worker.outputs, outputs))  # fmt: skip

    def _own_variables(self, instance: Instance, attempt: int, outputs: Mapping[str, str]) -> dict[str, str]:
        """What Wattle tells every worker about itself."""
        own = {"WATTLE_WORKFLOW_NAME": self.spec.workflow, "WATTLE_WORKER_NAME": instance.name,
               **self._run, "WATTLE_ATTEMPT": str(attempt)}  # fmt: skip
        for name, value in instance.row.items():
            own[f"WATTLE_EACH_{name.upper()}"] = as_text(value)
        for port, path in outputs.items():
            own[f"WATTLE_OUTPUT_{port.upper()}"] = path
        return own

    def _directories(self, recipe: _Recipe, cwd: str, log_dir: str, folder: str,
                     outputs: Mapping[str, str]) -> tuple[str, ...]:  # fmt: skip
        """The working directory first, then where things will be written; each once."""
        if not recipe.run_folder and not outputs:
            return (cwd, log_dir)
        wanted = [cwd, log_dir]
        if recipe.run_folder:
            wanted.append(folder if recipe.own_folder else self._places.run_dir)
        wanted += [posixpath.dirname(path) for path in outputs.values()]
        return tuple(dict.fromkeys(wanted))


class _Recipe:
    """What the launches of one worker have in common."""

    def __init__(self, document: Workflow, worker: Worker) -> None:
        self.worker = worker
        self.runner: Literal["", "cell", "notebook"] = ""
        self.script = worker.script
        self.suffix = ""
        self.interpreter: tuple[str, ...] = ()
        if worker.cell is not None or worker.notebook is not None:
            self.runner, words = "notebook" if worker.cell is None else "cell", worker.args
        elif worker.script is None:
            words = _split(document, worker)
        else:
            words = worker.args
            if worker.lang not in INTERPRETERS:
                raise InvalidRequest(f"{document.name}/{worker.name}: lang {worker.lang!r} is not known",
                                     f"one of {', '.join(INTERPRETERS)}, or a #! line")  # fmt: skip
            interpreter, self.suffix = INTERPRETERS[worker.lang]
            self.interpreter = () if worker.script.startswith("#!") else interpreter
        self.words = words
        texts = [*words, *worker.env_vars.values(), *texts_in(worker.parameters)]
        self.refers = any("${" in text for text in texts)
        self.outputs = tuple(port for port, output in worker.outputs.items() if output.type != "stream")
        self.objects = tuple(port for port in self.outputs if worker.outputs[port].type == "object")
        self.own_folder = any(worker.outputs[port].path is None for port in self.outputs)
        self.run_folder = self.own_folder or (self.refers and _names_run_dir(texts))
        self.merges_logs = worker.merges_logs
        self.grace = document.grace if worker.grace is None else worker.grace
        self.setup = "\n".join(filter(None, (document.setup, worker.setup)))
        self.python = _selector(document, worker.python or document.python)


def _split(document: Workflow, worker: Worker) -> tuple[str, ...]:
    """The words of a command, nothing filled in yet."""
    command = worker.command
    if not isinstance(command, str):
        return (*(command or ()), *worker.args)
    try:
        return (*split(command), *worker.args)
    except NotWords as error:
        where = f"{document.name}/{worker.name}"
        raise InvalidRequest(f"{where}: the command {error}", "a script can hold any text") from None


def _names_run_dir(texts: Sequence[str]) -> bool:
    return any((found.kind, found.name) == ("run", "dir") for text in texts for found in references(text))


def _selector(document: Workflow, python: str | None) -> str | None:
    """A path to a Python is relative to the workflow's folder, not to the worker's."""
    if python is None or python.startswith(("conda:", "kernel:", "~")):
        return python
    return resolve(document.working_dir, python)


def _fill_words(words: Sequence[str], lookup: Callable[[str, str], str],
                rows: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:  # fmt: skip
    """The arguments; a word that is exactly one fan-in becomes one argument per row."""
    filled: list[str] = []
    for word in words:
        only = sole(word) if rows else None
        if only is not None and only.kind == "inputs" and only.name in rows:
            filled += rows[only.name]
        else:
            filled.append(fill(word, lookup))
    return tuple(filled)


def _fill_value(value: Any, lookup: Callable[[str, str], str], typed: Mapping[str, Mapping[str, Any]]) -> Any:
    """A parameter with its references filled in; a text that is exactly one of a value is that value."""
    if isinstance(value, str):
        only = sole(value)
        if only is not None and only.name in typed.get(only.kind, {}):
            return typed[only.kind][only.name]
        return fill(value, lookup)
    if isinstance(value, Mapping):
        return {name: _fill_value(inner, lookup, typed) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fill_value(inner, lookup, typed) for inner in value]
    return value


class _Fed:
    """The inputs of one attempt: as text for `${inputs.…}`, as variables, as files of rows, and as words of runners."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.rows: dict[str, tuple[str, ...]] = {}
        self.files: dict[str, str] = {}
        self.required: list[str] = []
        self.values: dict[str, Any] = {}
        self.ports: dict[str, tuple[str, str]] = {}

    def take(self, instance: Instance, instances: Sequence[Instance], places: Places, cwd: str, log_dir: str,
             locate: Locate) -> None:  # fmt: skip
        """Find every input of the instance."""
        for port, feed in instance.inputs.items():
            if feed.rows:
                refs = [locate(index, output) for index, output in feed.sources]
                path = text = f"{log_dir}/input-{port}.json"
                self.rows[port] = tuple(_text(ref) for ref in refs if ref.path)
                self.files[path] = _rows_file(instances, feed, refs)
                kind = runners.rows([ref.type for ref in refs])
            elif feed.file is not None:
                path = text = resolve(cwd, places.filled(feed.file, instance))
                kind = "object" if feed.object else "file"
                self.required.append(path)
            else:
                ref = locate(*feed.sources[0])
                path, text, kind = ref.path, _text(ref), ref.type
                if kind == "value" and path:
                    self.values[port] = ref.value
            self.ports[port] = (kind, path)
            self.texts[port] = text
            self.variables[f"WATTLE_INPUT_{port.upper()}"] = path


def _text(ref: OutputRef) -> str:
    """What `${inputs.…}` becomes: a value itself, the path of everything else."""
    return as_text(ref.value) if ref.type == "value" and ref.path else ref.path


def _rows_file(instances: Sequence[Instance], feed: Feed, refs: Sequence[OutputRef]) -> str:
    """A JSON list, one row per line: the `each` values of the source (or its name), and its output."""
    lines = []
    for (index, port), ref in zip(feed.sources, refs, strict=True):
        source = instances[index]
        row: dict[str, Any] = dict(source.row) if source.group is not None else {"worker": source.name}
        row[port] = ref.value if ref.type == "value" else ref.path or None
        lines.append(msgspec.json.encode(row).decode())
    return "[\n" + ",\n".join(lines) + "\n]\n"


def describe(worker: Worker) -> str:
    """What a worker does, in one line for people."""
    if worker.notebook is not None:
        return _shorten(f"notebook {worker.notebook}")
    source = worker.cell if worker.script is None else worker.script
    if source is not None:
        lines = [line.strip() for line in source.splitlines()]
        telling = [line for line in lines if line and not line.startswith(("#", "//"))]
        text = next((line for line in telling if not line.startswith(("import ", "from "))), "".join(telling[:1]))
        label = "cell" if worker.script is None else "script" if source.startswith("#!") else worker.lang
        return _shorten(f"{label}: {text}", more=len(telling) > 1)
    command = worker.command if isinstance(worker.command, str) else shlex.join(worker.command or ())
    return _shorten(" ".join([command, *map(shlex.quote, worker.args)]))


def _shorten(text: str, *, more: bool = False) -> str:
    text = " ".join(text.split())
    if len(text) > DESCRIBED:
        return text[: DESCRIBED - 1] + "…"
    return f"{text} …" if more else text
