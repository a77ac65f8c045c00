"""A workflow in Python: workers are functions, commands, scripts and notebooks, and a run is an object.

    flow = wattle.flow("etl", params={"day": 7})
    flow.command("fetch", "python fetch.py ${params.day}", outputs=["raw.csv"])

    @flow.worker(inputs={"raw": "fetch/raw"}, outputs=["table"])
    def clean(raw):
        import pandas as pd
        return pd.read_csv(raw).dropna()

    table = flow.run(day=8).wait().result("clean/table")

A function's body runs in a process of its own, as a cell worker does. Its arguments are what the worker has under their
names: inputs, values of `each`, and outputs that are files (a path to write to). What it returns is its output; with
several, a mapping of them. Its source is taken, so what it uses it imports inside; modules that the program imported by
name are imported again.

Laws: nothing is asked or sent before `save` or `run`; the same document as a file makes the same workflow.
"""

from __future__ import annotations

from wattle.core.errors import InvalidRequest
from wattle.sdk.functions import cell_of
from wattle.sdk.runs import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from wattle.sdk.client import Client

    Function = TypeVar("Function", bound=Callable[..., Any])
    Inputs = Mapping[str, str | Sequence[str] | Mapping[str, str]]
    Outputs = Sequence[str] | Mapping[str, str | Mapping[str, str]]


class Flow:
    """A workflow by its name: the saved one, or what is defined here. `keys` are further keys of the document
    (`mode`, `on_failure`, `working_dir`, …)."""

    def __init__(self, name: str, connect: Callable[[], Client], *, params: Mapping[str, Any] | None = None,
                 source: str = "", **keys: Any) -> None:  # fmt: skip
        self.name = name
        self.source = source
        self.workers: dict[str, dict[str, Any]] = {}
        """What was defined here, by name, in the form of the document."""
        self._keys = {**({"params": dict(params)} if params else {}), **keys}
        self._connect = connect
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The connection, made when it is first needed."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    # ---- workers ------------------------------------------------------------------------------------------------

    def worker(self, name: str | None = None, *, inputs: Inputs | None = None, outputs: Outputs | None = None,
               **keys: Any) -> Callable[[Function], Function]:  # fmt: skip
        """A function as a worker, under its own name unless another is given.

        `keys` are further keys of a worker: `each`, `needs`, `python`, `retries`, `timeout`, `when` and so on.

        A name in `outputs` without a suffix is a value that the function returns, saved by its type; one with a
        suffix is a file, and the function has its path as an argument.
        """

        def define(function: Function) -> Function:
            ports = _cell_outputs(outputs)
            own = name or function.__name__
            source = cell_of(function, own, [*(inputs or {}), *_each_names(keys.get("each"))], ports)
            self._define(own, {"cell": source, "inputs": inputs, "outputs": ports, **keys})
            return function

        return define

    def command(self, name: str, command: str | Sequence[str], *, inputs: Inputs | None = None,
                outputs: Outputs | None = None, **keys: Any) -> None:  # fmt: skip
        """A program with its arguments as a worker."""
        words = command if isinstance(command, str) else list(command)
        self._define(name, {"command": words, "inputs": inputs, "outputs": outputs, **keys})

    def script(self, name: str, source: str, *, lang: str = "bash", inputs: Inputs | None = None,
               outputs: Outputs | None = None, **keys: Any) -> None:  # fmt: skip
        """A script as a worker: `bash`, `sh`, `python`, `node`, `Rscript`, or what its `#!` line says."""
        said = {} if source.startswith("#!") or lang == "bash" else {"lang": lang}
        self._define(name, {"script": source, **said, "inputs": inputs, "outputs": outputs, **keys})

    def notebook(self, name: str, path: str, *, parameters: Mapping[str, Any] | None = None,
                 inputs: Inputs | None = None, outputs: Outputs | None = None, **keys: Any) -> None:  # fmt: skip
        """A notebook as a worker, with these values in the place of its `parameters` cell."""
        given = {"parameters": dict(parameters)} if parameters else {}
        self._define(name, {"notebook": path, **given, "inputs": inputs, "outputs": outputs, **keys})

    def _define(self, name: str, keys: Mapping[str, Any]) -> None:
        plain = {key: _plain(value) for key, value in keys.items() if value is not None}
        self.workers[name] = {"name": name, **plain}

    # ---- the document and its runs --------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The document: what was defined here, else what is saved under the name."""
        if not self.workers:
            found: dict[str, Any] = self.client.ask("get_workflow", workflow=self.name)["document"]
            return found
        return {"name": self.name, **self._keys, "workers": list(self.workers.values())}

    def save(self, *, replace: bool = False) -> Flow:
        """Save what was defined here under its name. Raises `DocumentError` with every problem."""
        self.client.ask("create_workflow", document=self.document(), base_dir=self.client.base_dir, source=self.source,
                        replace=replace)  # fmt: skip
        return self

    def run(self, *, jobs: int | None = None, stale: bool = False, **params: Any) -> Run:
        """Save what was defined here, and start a run; it goes on by itself. With `stale` it takes over results of
        earlier runs that still hold."""
        if self.workers:
            self.save()
        detail = self.client.ask("start_workflow", workflow=self.name, params=params, jobs=jobs, stale=stale,
                                 environment=self.client.environment)  # fmt: skip
        return Run(self.client, str(detail["address"]), detail)

    def latest(self) -> Run:
        """Its latest run. Raises `NotFound`."""
        return Run.find(self.client, self.name)

    def __repr__(self) -> str:
        names = ", ".join(list(self.workers)[:8]) + (", …" if len(self.workers) > 8 else "")
        return f"<Flow {self.name}{': ' + names if names else ''}>"


def _cell_outputs(outputs: Outputs | None) -> dict[str, Any]:
    """Names become objects, names with a suffix become files; what is a mapping stays."""
    if outputs is None or not isinstance(outputs, str):
        if outputs is not None and hasattr(outputs, "items"):
            return {port: _plain(value) for port, value in outputs.items()}
        return dict(output_port(name) for name in outputs or ())
    raise InvalidRequest(f"outputs is the text {outputs!r}.", f"write a list: outputs=[{outputs!r}]")


def output_port(text: str) -> tuple[str, dict[str, str]]:
    """`table` is a variable, `fig.png` a file `fig`."""
    port, dot, _ = text.rpartition("/")[2].partition(".")
    return (port, {"type": "file", "name": text}) if dot else (text, {"type": "object"})


def _each_names(each: Any) -> list[str]:
    if hasattr(each, "keys"):
        return list(each.keys())
    return list(each[0]) if isinstance(each, list | tuple) and each else []


def _plain(value: Any) -> Any:
    """Tuples and other sequences as the lists that a document has."""
    if hasattr(value, "items"):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple | range) else value
