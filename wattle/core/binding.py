"""The environment's part in the paths of a run, fixed once, when the run is created.

A path such as `${env.SCRATCH}/model.pt` would otherwise mean something else to everybody who asks later where the file
lies: a rerun, another coordinator, a reader without the run's environment.

Laws: only paths are bound. Commands, arguments and variables keep their references, because a value there may be a
secret, and the document of a run is stored and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from wattle.core.errors import InvalidRequest
from wattle.core.models import Each, Worker, Workflow
from wattle.core.template import escape, references


def texts(worker: Worker) -> Iterator[str]:
    """Every text of a worker in which references are filled in."""
    if worker.command is not None:
        yield from (worker.command,) if isinstance(worker.command, str) else worker.command
    yield from worker.args
    yield from worker.env_vars.values()
    yield from texts_in(worker.parameters)
    yield from _paths(worker)


def texts_in(value: Any) -> Iterator[str]:
    """The texts inside a value of JSON, but for the names in it."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value


def bind_environment(workflow: Workflow, environment: Mapping[str, str]) -> Workflow:
    """The workflow with every `${env.…}` in a path replaced by its value.

    `environment` is the base environment of the run; the workflow's own `env_vars` are laid over it.

    Raises:
        InvalidRequest: variables that are referred to anywhere and not set; all of them.
    """
    unset: dict[str, str] = {}
    for text in workflow.env_vars.values():
        unset.update(dict.fromkeys(_variables(text) - environment.keys(), "env_vars"))
    known = environment.keys() | workflow.env_vars.keys()
    for worker in workflow.workers:
        for text in texts(worker):
            unset.update(dict.fromkeys(_variables(text) - known, worker.name))
    if unset:
        listed = ", ".join(f"{name} (in {where})" for name, where in unset.items())
        raise InvalidRequest(f"{workflow.name} refers to environment variables that are not set: {listed}",
                             f"export {next(iter(unset))}=… first, or set it under env_vars")  # fmt: skip
    binder = _Binder(workflow.env_vars, environment)
    workers = tuple(binder.worker(worker) for worker in workflow.workers)
    return msgspec.structs.replace(workflow, workers=workers)


def _paths(worker: Worker) -> Iterator[str]:
    yield from (path for path in (worker.working_dir, worker.notebook) if path is not None)
    for feed in worker.inputs.values():
        if feed.file is not None:
            yield feed.file
    for output in worker.outputs.values():
        yield from (text for text in (output.path, output.name) if text is not None)
    if worker.each is not None and worker.each.product is not None:
        yield from (values["glob"] for values in worker.each.product.values() if isinstance(values, Mapping))


def _variables(text: str) -> set[str]:
    return {found.name for found in references(text) if found.kind == "env"}


class _Binder:
    """Puts values in the place of `${env.…}`. A workflow's variable may refer to the base environment, and to params,
    which stay references."""

    def __init__(self, own: Mapping[str, str], base: Mapping[str, str]) -> None:
        self._own = own
        self._base = base

    def worker(self, worker: Worker) -> Worker:
        if not any("${env." in text for text in _paths(worker)):
            return worker
        replace = msgspec.structs.replace
        return replace(
            worker, working_dir=self._bind(worker.working_dir), notebook=self._bind(worker.notebook),
            each=self._each(worker.each),
            inputs={port: replace(feed, file=self._bind(feed.file)) for port, feed in worker.inputs.items()},
            outputs={port: replace(output, path=self._bind(output.path), name=self._bind(output.name))
                     for port, output in worker.outputs.items()},
        )  # fmt: skip

    def _each(self, each: Each | None) -> Each | None:
        if each is None or each.product is None:
            return each
        product = {name: {"glob": self._bind(values["glob"])} if isinstance(values, Mapping) else values
                   for name, values in each.product.items()}  # fmt: skip
        return msgspec.structs.replace(each, product=product)

    def _bind(self, text: str | None) -> str | None:
        return None if text is None else self._put(text, inner=False)

    def _put(self, text: str, *, inner: bool) -> str:
        for found in reversed(references(text)):
            if found.kind == "env":
                if not inner and found.name in self._own:
                    value = self._put(self._own[found.name], inner=True)
                else:
                    value = escape(self._base[found.name])
                text = text[: found.start] + value + text[found.end :]
        return text
