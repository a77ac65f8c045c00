"""From the model back to a document: the fixed JSON form for clients, and a readable one for people.

Laws: `parse_document(dump(w)) == w`. The fixed form has `workers` as a list whose first keys are always there, as
clients of the original Wattle send and expect them; other keys only where they differ from the default. The readable
form has `workers` as a mapping, paths relative to where the document will lie, durations and sizes as people write
them, and defaults left out; it reads back as the same workflow from that folder.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from wattle.core.models import Each, Input, Output, Resources, Retry, Worker, Workflow, executed_copy
from wattle.core.quantities import duration_text, size_text

_FIXED = ("name", "workflow_name", "command", "args", "working_dir", "env_vars", "inputs", "outputs")
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_DURATIONS = ("timeout", "grace", "delay", "time")
_SIZES = ("log_limit", "memory")
_REQUIRED = object()


def dump(workflow: Workflow) -> dict[str, Any]:
    """The fixed JSON form."""
    document = _changed(workflow, ("workers",))
    result: dict[str, Any] = {"name": workflow.name, "working_dir": workflow.working_dir, **document}
    groups = _roots(workflow)
    result["workers"] = [_fixed(workflow, worker, groups) for worker in workflow.workers]
    return result


def readable(workflow: Workflow, relative_to: str | None) -> dict[str, Any]:
    """The form for people; `relative_to` is the folder where the document will lie."""
    result: dict[str, Any] = {"name": workflow.name}
    folder = workflow.working_dir
    if relative_to is not None:
        folder = _relative(folder, relative_to)
    if folder != ".":
        result["working_dir"] = folder
    result |= {key: _human(key, value) for key, value in _changed(workflow, ("name", "working_dir", "workers")).items()}
    groups = _roots(workflow)
    result["workers"] = {worker.name: _worker(worker, groups, human=True) for worker in workflow.workers}
    return result


def _relative(folder: str, start: str) -> str:
    """The folder as seen from `start`; what lies elsewhere stays absolute."""
    relative = posixpath.relpath(folder, start) if folder.startswith("/") and start.startswith("/") else folder
    return folder if relative.split("/")[0] == ".." else relative


def _changed(model: Workflow | Worker, without: tuple[str, ...]) -> dict[str, Any]:
    """The fields that differ from their default, as plain values."""
    result = {}
    for name, default in _defaults(type(model)):
        value = getattr(model, name)
        if value != default and name not in without:
            result[name] = list(value) if isinstance(value, tuple) else value
    return result


@functools.cache
def _defaults(model: type[Workflow | Worker]) -> list[tuple[str, Any]]:
    """Each field with its default, a value equal to nothing where there is none: asking msgspec costs 0.5 ms a type."""
    return [(field.name, _default(field)) for field in msgspec.structs.fields(model)]


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.required:
        return _REQUIRED
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _roots(workflow: Workflow) -> dict[str, str]:
    """The group that each worker with `each` belongs to: a source of another group gives rows by itself."""
    each = {worker.name: worker.each for worker in workflow.workers if worker.each is not None}
    roots: dict[str, str] = {}
    for name in each:
        here, steps = name, 0
        while (pair := each[here].pair) is not None and pair in each and steps < len(each):
            here, steps = pair, steps + 1
        roots[name] = here
    return roots


def _fixed(workflow: Workflow, worker: Worker, groups: Mapping[str, str]) -> dict[str, Any]:
    own = _worker(worker, groups, human=False)
    own["workflow_name"] = workflow.name
    own.setdefault("args", [])
    first = {key: own.pop(key, None) for key in _FIXED}
    first["name"] = worker.name
    return {**first, **own}


def _worker(worker: Worker, groups: Mapping[str, str], *, human: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in _changed(worker, ("name",)).items():
        if key == "inputs":
            result[key] = {port: _input(given, groups.get(worker.name), groups) for port, given in value.items()}
        elif key == "outputs":
            if human and worker.notebook is not None and value.get("notebook") == executed_copy(worker.notebook):
                value = {port: output for port, output in value.items() if port != "notebook"}  # noqa: PLW2901
            names = _plain_outputs(value) if human else None
            if value or not human:
                result[key] = names or {port: _output(output) for port, output in value.items()}
        elif isinstance(value, Each):
            result[key] = _each(value)
        elif isinstance(value, Retry):
            result[key] = _retry(value, human=human)
        elif isinstance(value, Resources):
            entries = {name: entry for name, entry in msgspec.structs.asdict(value).items() if entry is not None}
            result[key] = {name: _human(name, entry) if human else entry for name, entry in entries.items()}
        else:
            result[key] = _human(key, value) if human else value
    return result


def _input(given: Input, root: str | None, groups: Mapping[str, str]) -> Any:
    if given.file is not None:
        return {"object" if given.object else "file": given.file}
    sources = [f"{source.worker}/{source.output}" for source in given.sources]
    group = groups.get(given.sources[0].worker)
    by_itself = group is not None and group != root
    return sources[0] if len(sources) == 1 and given.rows == by_itself else sources


def _plain_outputs(outputs: Mapping[str, Output]) -> list[str] | None:
    """The short form, a list of file names, where it says the same."""
    names = []
    for port, output in outputs.items():
        name = output.name or port
        if output.type != "file" or output.path is not None or name.partition(".")[0] != port or output.name == port:
            return None
        names.append(name)
    return names


def _output(output: Output) -> Any:
    if output.type == "file" and output.path is not None:
        return output.path
    return {"type": output.type} if output.name is None else {"type": output.type, "name": output.name}


def _each(each: Each) -> Any:
    if each.product is not None:
        return each.product
    return each.pair if each.pair is not None else list(each.rows) if isinstance(each.rows, tuple) else each.rows


def _retry(retry: Retry, *, human: bool) -> Any:
    if human and retry == Retry(max=retry.max):
        return retry.max
    delay = duration_text(retry.delay) if human else retry.delay
    return {"max": retry.max, "delay": delay, "backoff": retry.backoff}


def _human(key: str, value: Any) -> Any:
    if value is None:
        return None
    if key in _DURATIONS:
        return duration_text(value)
    return size_text(value) if key in _SIZES else value


def to_json(document: Mapping[str, Any]) -> str:
    """JSON, indented."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def to_toml(document: Mapping[str, Any]) -> str:
    """TOML: plain keys first, then a table per mapping; null cannot be written and is left out."""
    lines: list[str] = []
    _table(lines, (), document)
    return "\n".join(lines).strip() + "\n"


def _table(lines: list[str], path: tuple[str, ...], table: Mapping[str, Any]) -> None:
    """One table. Mappings that hold mappings become tables of their own; depth is that of the document's shape."""
    below = []
    for key, value in table.items():
        if isinstance(value, Mapping) and value and len(path) < 3 and _is_table(path, value):
            below.append((key, value))
        elif value is not None:
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in below:
        inner = (*path, key)
        if any(not (isinstance(entry, Mapping) and _is_table(inner, entry)) for entry in value.values()):
            lines += ["", f"[{'.'.join(map(_key, inner))}]"]
        _table(lines, inner, value)


def _is_table(path: tuple[str, ...], value: Mapping[str, Any]) -> bool:
    """Tables are for the workflow's mappings and for workers; what is small stays in its line."""
    return not path or path == ("workers",) or sum(map(len, map(str, value.values()))) > 60


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        entries = (f"{_key(key)} = {_value(entry)}" for key, entry in value.items() if entry is not None)
        return "{ " + ", ".join(entries) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value if entry is not None) + "]"
    return repr(value)


def _text(value: str) -> str:
    """A text of several lines as it is where TOML allows that, every other in quotes with escapes."""
    if "\n" in value and "'''" not in value and not value.endswith("'") and all(
        char in "\n\t" or char.isprintable() for char in value
    ):  # fmt: skip
        return f"'''\n{value}'''"
    return _quoted(value)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
