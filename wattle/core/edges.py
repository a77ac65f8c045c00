"""Readers of the parts of a worker that join it to others: inputs, outputs, `each` and `retries`.

They see one worker at a time; whether the other end exists is for `core/wiring.py`. Laws as in `core/checking.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wattle.core import checking
from wattle.core.findings import Findings, Path, describe, shorten
from wattle.core.models import Each, Input, Output, Retry, Source
from wattle.core.objects import SUFFIXES
from wattle.core.template import references, sole

INSTANCES_LIMIT = 10_000
"""Instances of a run: workers, and what `each` makes of them."""

_SOURCE_FORM = "an input is 'worker/output', a list of those, {file: path} or {object: path}"
_OUTPUT_FORM = "an output is a path, or {type: file|value|object|stream}"
_EACH_FORM = "each is {name: [values]}, a list of rows, '${params.…}', or the name of a worker with each"
_SPELLED_OUT = "~ is not expanded: write the path in full, or ${env.HOME}/…"
_output_type = checking.choice("file", "value", "object", "stream")
_retries = checking.whole(0)


def path_text(found: Findings, path: Path, value: Any) -> str | None:
    """A path: a text that is not empty."""
    result = checking.filled_text(found, path, value)
    if result is not None and (result == "~" or result.startswith("~/")):
        found.add(path, f"the path {shorten(result)!r} begins with ~", _SPELLED_OUT)
        return None
    return result


def inputs(found: Findings, path: Path, value: Any) -> dict[str, Input] | None:
    """Input ports: sources, lists of sources, files."""
    if type(value) is not dict and checking.mapping(found, path, value, "a mapping of ports") is None:
        return None
    result: dict[str, Input] = {}
    ports = checking.identifiers(found, path, value, "port")
    for port in ports:
        entry = value[port]
        here = (*path, port)
        if isinstance(entry, str):
            read = _source_input(found, here, entry)
        elif isinstance(entry, list | tuple):
            read = _sources_input(found, here, entry)
        elif isinstance(entry, Mapping):
            read = _file_input(found, here, entry)
        else:
            found.add(here, f"the input is {describe(entry)}", _SOURCE_FORM)
            read = None
        if read is not None:
            result[port] = read
    return result


def _source_input(found: Findings, path: Path, value: str) -> Input | None:
    source = _source(found, path, value)
    return None if source is None else Input(sources=(source,))


def _sources_input(found: Findings, path: Path, value: list[Any] | tuple[Any, ...]) -> Input | None:
    if not value:
        found.add(path, "the list of sources is empty", _SOURCE_FORM)
        return None
    sources = [_source(found, (*path, index), entry) for index, entry in enumerate(value)]
    sound = tuple(source for source in sources if source is not None)
    return Input(sources=sound, rows=True) if len(sound) == len(sources) else None


def _file_input(found: Findings, path: Path, value: Mapping[Any, Any]) -> Input | None:
    for key in value:
        if key not in ("file", "object"):
            found.unknown(path, key, ("file", "object"))
    given = [key for key in ("file", "object") if value.get(key) is not None]
    if not given:
        found.add(path, "the mapping does not name a file", _SOURCE_FORM)
        return None
    if len(given) > 1:
        found.add(path, "the mapping names a file and an object", "an object is a file that a cell gets as a variable")
        return None
    file = path_text(found, (*path, given[0]), value[given[0]])
    if file is not None and given == ["object"] and not file.endswith(SUFFIXES) and not references(file):
        found.add((*path, "object"), f"{shorten(file)!r} is no saved variable: its name ends in none of "
                                     f"{' '.join(SUFFIXES)}", "write {file: …}, and read it in the cell")  # fmt: skip
        return None
    return None if file is None or len(value) > 1 else Input(file=file, object=given == ["object"])


def _source(found: Findings, path: Path, value: Any) -> Source | None:
    if not isinstance(value, str):
        found.add(path, f"the source is {describe(value)}", _SOURCE_FORM)
        return None
    if checking.text(found, path, value) is None:
        return None
    worker, _, output = value.partition("/")
    if not worker or not output or "/" in output:
        found.add(path, f"{shorten(value)!r} is not of the form worker/output",
                  f"a file from outside is written {{file: {shorten(value)}}}" if output or "." in worker
                  else f"name the output too: {worker or 'worker'}/output")  # fmt: skip
        return None
    return Source(worker=worker, output=output)


def outputs(found: Findings, path: Path, value: Any) -> dict[str, Output] | None:
    """A list of file names (Wattle picks the place) or a mapping by port."""
    if isinstance(value, list | tuple):
        return _output_list(found, path, value)
    if type(value) is not dict and checking.mapping(found, path, value, "a list of names or a mapping") is None:
        return None
    result: dict[str, Output] = {}
    for port in checking.identifiers(found, path, value, "port"):
        entry = value[port]
        here = (*path, port)
        if isinstance(entry, str):
            place = path_text(found, here, entry)
            read = None if place is None else Output(path=place)
        elif isinstance(entry, Mapping):
            read = _output(found, here, entry)
        else:
            found.add(here, f"the output is {describe(entry)}", _OUTPUT_FORM)
            read = None
        if read is not None:
            result[port] = read
    return result


def _output_list(found: Findings, path: Path, value: list[Any] | tuple[Any, ...]) -> dict[str, Output]:
    result: dict[str, Output] = {}
    for index, entry in enumerate(value):
        here = (*path, index)
        if not isinstance(entry, str):
            found.add(here, f"expected the name of a file, found {describe(entry)}", "a list holds names: [raw.csv]")
            continue
        file = file_name(found, here, entry)
        port = entry.partition(".")[0]
        if file is None or not (sound := checking.identifiers(found, path, [port], "port")):
            continue
        if any(other.upper() == port.upper() for other in result):
            found.add(here, f"two outputs would have the port {port!r}",
                      f"name the ports: {{a: {{name: {shorten(file)}}}, …}}")  # fmt: skip
        else:
            result[sound[0]] = Output(name=None if file == port else file)
    return result


def file_name(found: Findings, path: Path, value: Any) -> str | None:
    """The name of a file in a folder that Wattle picks."""
    result = checking.filled_text(found, path, value)
    if result is None:
        return None
    if "/" in result or "\\" in result or result in (".", "..") or len(result.encode()) > 255:
        found.add(path, f"{shorten(result)!r} is not the name of a file",
                  "Wattle picks the folder; for a place of your own write {port: path}")  # fmt: skip
        return None
    return result


def _output(found: Findings, path: Path, value: Mapping[Any, Any]) -> Output | None:
    before = found.count
    for key in value:
        if key not in ("type", "name", "path"):
            found.unknown(path, key, ("type", "name", "path"))
    given = {key: value[key] for key in ("type", "name", "path") if value.get(key) is not None}
    kind: Any = _output_type(found, (*path, "type"), given["type"]) if "type" in given else "file"
    name = file_name(found, (*path, "name"), given["name"]) if "name" in given else None
    place = path_text(found, (*path, "path"), given["path"]) if "path" in given else None
    if kind not in ("file", None) and len(given) > 1:
        found.add(path, f"an output of type {kind} has no name or path", "leave them out: Wattle keeps it")
    if name is not None and place is not None:
        found.add(path, "an output has a name (Wattle picks the folder) or a path, not both", "remove one of them")
    return Output(type=kind, name=name, path=place) if found.count == before else None


def retries(found: Findings, path: Path, value: Any) -> Retry | None:
    """How often, or `{max, delay, backoff}`."""
    if not isinstance(value, Mapping):
        count = _retries(found, path, value)
        return None if count is None else Retry(max=count)
    before = found.count
    for key in value:
        if key not in ("max", "delay", "backoff"):
            found.unknown(path, key, ("max", "delay", "backoff"))
    if value.get("max") is None:
        found.add(path, "it is not said how often to retry", "write {max: 2, delay: 10s}")
        return None
    count = _retries(found, (*path, "max"), value["max"])
    delay = checking.duration(found, (*path, "delay"), _or(value, "delay", 0))
    backoff = checking.number(found, (*path, "backoff"), _or(value, "backoff", 1), 1)
    if count is None or delay is None or backoff is None or found.count > before:
        return None
    return Retry(max=count, delay=delay, backoff=backoff)


def _or(value: Mapping[Any, Any], key: str, default: Any) -> Any:
    return default if value.get(key) is None else value[key]


def each(found: Findings, path: Path, value: Any) -> Each | None:
    """A product, rows, a parameter that will be rows, or the name of a group to pair with."""
    if isinstance(value, str):
        return _each_text(found, path, value)
    if isinstance(value, list | tuple):
        return _each_rows(found, path, value)
    if isinstance(value, Mapping):
        return _each_product(found, path, value)
    found.add(path, f"each is {describe(value)}", _EACH_FORM)
    return None


def _each_text(found: Findings, path: Path, value: str) -> Each | None:
    whole = sole(value)
    if whole is not None and whole.kind == "params":
        return Each(rows=value)
    if references(value) or not value:
        found.add(path, f"{shorten(value)!r} is neither one ${{params.…}} nor the name of a worker", _EACH_FORM)
        return None
    return Each(pair=value) if checking.text(found, path, value) is not None else None


def _too_many(found: Findings, path: Path, count: int) -> bool:
    if count > INSTANCES_LIMIT:
        found.add(path, f"this makes {count:,} instances; a run has at most {INSTANCES_LIMIT:,}",
                  "let one worker do several of them")  # fmt: skip
    return count > INSTANCES_LIMIT


def _each_rows(found: Findings, path: Path, value: list[Any] | tuple[Any, ...]) -> Each | None:
    if not value:
        found.add(path, "each has no rows, so there would be nothing to run", "add a row, or remove the worker")
        return None
    if _too_many(found, path, len(value)):
        return None
    before = found.count
    rows: list[dict[str, Any]] = []
    for index, row in enumerate(value):
        here = (*path, index)
        if not isinstance(row, Mapping) or not row:
            found.add(here, f"a row of each is {describe(row) if row != {} else 'empty'}",
                      "a row is a mapping: {lr: 0.1}; for one list of values write {name: [values]}")  # fmt: skip
            continue
        keys = checking.identifiers(found, here, row, "name")
        rows.append({key: checking.plain(found, (*here, key), row[key]) for key in keys})
        if missing := sorted(rows[0].keys() ^ rows[-1].keys()):
            found.add(here, f"{missing[0]!r} is in one row and not in the other, here and in row 0",
                      "give every row the same names")  # fmt: skip
    return Each(rows=tuple(rows)) if found.count == before else None


def _each_product(found: Findings, path: Path, value: Mapping[Any, Any]) -> Each | None:
    if not value:
        found.add(path, "each has no names, so there would be nothing to run", _EACH_FORM)
        return None
    lists = [len(entry) for entry in value.values() if isinstance(entry, list | tuple)]
    if _too_many(found, path, math.prod(lists)):
        return None
    before = found.count
    product: dict[str, Any] = {}
    for key in checking.identifiers(found, path, value, "name"):
        product[key] = _each_values(found, (*path, key), value[key])
    return Each(product=product) if found.count == before else None


def _each_values(found: Findings, path: Path, value: Any) -> Any:
    """The values of one name: a list, one `${params.…}`, or a glob."""
    if isinstance(value, list | tuple):
        if not value:
            found.add(path, "the list is empty, so there would be nothing to run", "add a value")
        return checking.plain(found, path, value)
    if isinstance(value, str):
        whole = sole(value)
        if whole is None or whole.kind != "params":
            found.add(path, f"expected a list, found {describe(value)}", "write [value], '${params.…}' or {glob: …}")
        return value
    if isinstance(value, Mapping) and list(value) == ["glob"]:
        return {"glob": path_text(found, (*path, "glob"), value["glob"])}
    found.add(path, f"expected a list, found {describe(value)}", "write [value], '${params.…}' or {glob: 'data/*.csv'}")
    return None
