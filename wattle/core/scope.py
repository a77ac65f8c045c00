"""Which `${…}` may stand where, and whether what they name exists; which files workers write.

Kinds by place: a command, arguments, variables and notebook parameters may use all. A path is needed before ports
are known, so it may use `params each env run`. `each` is expanded when the run is created, from `params` (a glob from
`env` too). The workflow's variables know no worker. A script and `setup` are never filled in: the environment carries
the ports.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from wattle.core.findings import Findings, Path, shorten
from wattle.core.models import Each, Input, Output
from wattle.core.places import resolve
from wattle.core.shapes import Draft
from wattle.core.template import RUN_NAMES, Reference, references
from wattle.core.wiring import Wires

_ALL = ("inputs", "outputs", "params", "each", "env", "run")
_PATHS = ("params", "each", "env", "run")
_EACH = ("params",)
_GLOB = ("params", "env")
_WORKFLOW = ("params", "env", "run")

_Place = tuple[Path, str, tuple[str, ...]]


def check_references(found: Findings, workflow: Draft, wires: Wires) -> None:
    """Report every reference that names nothing, or stands where it cannot be filled in."""
    params = wires.params if wires.params_known else None
    names: dict[str, Collection[str] | None] = {"params": params, "run": RUN_NAMES}
    for key, value in workflow.fields.get("env_vars", {}).items():
        if "${" in value:
            _check(found, ("env_vars", key), value, _WORKFLOW, names, "the workflow's variables")
    for number, draft in enumerate(wires.drafts):
        scope: dict[str, Collection[str] | None] | None = None
        for path, text, kinds in _texts(draft):
            if scope is None:
                scope = {**names, **_own_names(wires, number)}
            _check(found, (*draft.path, *path), text, kinds, scope, f"{draft.name!r}")
        script = draft.fields.get("script", "")
        if "${inputs." in script or "${outputs." in script:
            _script_warning(found, draft, script)


def _own_names(wires: Wires, number: int) -> dict[str, Collection[str] | None]:
    draft = wires.drafts[number]
    names: dict[str, Collection[str] | None] = {
        kind: None if kind in draft.bad else draft.fields.get(kind) or {} for kind in ("inputs", "outputs")
    }
    lost = "each" in draft.bad or ("each" in draft.fields and wires.roots[number] is None)
    names["each"] = None if lost else wires.each_names(number)
    return names


def _texts(draft: Draft) -> Iterator[_Place]:
    """The texts of a worker in which `${` occurs, with the kinds that may stand there."""
    for key, value in draft.fields.items():
        if (reader := _TEXTS.get(key)) is not None:
            yield from reader((key,), value)


def _inputs(path: Path, inputs: dict[str, Input]) -> Iterator[_Place]:
    for port, given in inputs.items():
        if given.file is not None and "${" in given.file:
            yield (*path, port, "object" if given.object else "file"), given.file, _PATHS


def _outputs(path: Path, outputs: dict[str, Output]) -> Iterator[_Place]:
    for port, output in outputs.items():
        for key, text in (("path", output.path), ("name", output.name)):
            if text is not None and "${" in text:
                yield (*path, port, key), text, _PATHS


def _each(path: Path, each: Each) -> Iterator[_Place]:
    yield from _deep(path, each.rows, _EACH)
    for name, values in (each.product or {}).items():
        yield from _deep((*path, name), values, _GLOB if isinstance(values, dict) else _EACH)


def _deep(path: Path, value: Any, kinds: tuple[str, ...]) -> Iterator[_Place]:
    """The texts inside a value; its depth was limited when it was read."""
    if isinstance(value, str):
        if "${" in value:
            yield path, value, kinds
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _deep((*path, key), entry, kinds)
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _deep((*path, index), entry, kinds)


_TEXTS: dict[str, Callable[[Path, Any], Iterator[_Place]]] = {
    **dict.fromkeys(("args", "command", "env_vars", "parameters"), partial(_deep, kinds=_ALL)),
    **dict.fromkeys(("files", "notebook", "working_dir"), partial(_deep, kinds=_PATHS)),
    "each": _each,
    "inputs": _inputs,
    "outputs": _outputs,
}


def _check(
    found: Findings, path: Path, text: str, kinds: tuple[str, ...], names: dict[str, Collection[str] | None], owner: str
) -> None:
    for reference in references(text):
        if reference.kind not in kinds:
            usable = ", ".join(f"${{{kind}.…}}" for kind in kinds)
            found.add(path, f"{_shown(reference)} cannot be filled in here", f"use {usable}")
            continue
        if reference.kind == "env":
            if not reference.name or "=" in reference.name:
                found.add(path, f"{_shown(reference)} names no variable", "write ${env.NAME}")
            continue
        options = names.get(reference.kind)
        if options is not None and reference.name not in options:
            _report(found, path, reference, options, owner)


def _report(found: Findings, path: Path, reference: Reference, options: Collection[str], owner: str) -> None:
    kind, name = reference.kind, reference.name
    if kind == "params":
        message = f"{_shown(reference)}: the workflow has no parameter {shorten(name)!r}"
        hint = found.suggester.hint(name, options, "parameters")
        if not options:
            hint = f"write params: {{{shorten(name) or 'name'}: …}} at the top"
    elif kind == "run":
        message, hint = f"{_shown(reference)} is not known of a run", "there are ${run.number} and ${run.dir}"
    elif kind == "each" and not options:
        message, hint = f"{_shown(reference)}: {owner} has no each", "add each: {name: [values]}"
    else:
        noun = {"inputs": "input", "outputs": "output", "each": "name in each"}[kind]
        message = f"{_shown(reference)}: {owner} has no {noun} {shorten(name)!r}"
        hint = found.suggester.hint(name, options, kind if kind != "each" else "names")
    found.add(path, message, hint)


def _shown(reference: Reference) -> str:
    return f"${{{reference.kind}.{shorten(reference.name)}}}"


def _script_warning(found: Findings, draft: Draft, script: str) -> None:
    for reference in references(script):
        if reference.kind in ("inputs", "outputs"):
            variable = f"WATTLE_{reference.kind[:-1].upper()}_{reference.name.upper()}"
            found.warnings.append(f"{draft.name}: {_shown(reference)} is not filled in inside a script; "
                                  f"the variable {variable} holds it.")  # fmt: skip
            return


def check_paths(found: Findings, workflow: Draft, wires: Wires) -> None:
    """Two outputs at one path are an error, and so is a path that the instances of a group share."""
    root = str(workflow.fields["working_dir"])
    owners: dict[str, tuple[str, str]] = {}
    for number, draft in enumerate(wires.drafts):
        outputs: dict[str, Output] | None = draft.fields.get("outputs")
        if not outputs:
            continue
        folder = resolve(root, draft.fields["working_dir"]) if "working_dir" in draft.fields else root
        for port, output in outputs.items():
            if output.path is None:
                continue
            path = (*draft.path, "outputs", port)
            place = resolve(folder, output.path)
            place = posixpath.normpath(place) if ".." in place else place
            owner = owners.setdefault(place, (draft.name, port))
            if owner != (draft.name, port):
                found.add(path, f"{shorten(output.path)!r} is also written by {owner[0]}/{owner[1]}",
                          "give each output a path of its own")  # fmt: skip
            elif wires.roots[number] is not None and wires.sizes[number] != 1:
                _shared(found, wires, number, path, folder + "/" + output.path)


def _shared(found: Findings, wires: Wires, number: int, path: Path, place: str) -> None:
    """Instances must differ in the path: by every name of `each` that has several values, or by the run folder."""
    used = {reference.name for reference in references(place) if reference.kind == "each"}
    if any((reference.kind, reference.name) == ("run", "dir") for reference in references(place)):
        return
    root = wires.roots[number]
    each: Each | None = None if root is None else wires.drafts[root].fields.get("each")
    product = (each.product if each else None) or {}
    varying = (name for name, values in product.items() if not (isinstance(values, list) and len(values) == 1))
    missing = [name for name in varying if name not in used]
    if not used or missing:
        name = missing[0] if missing else next(iter(wires.each_names(number) or ()), "name")
        found.add(path, f"instances of {wires.drafts[number].name!r} would write the same path",
                  f"put ${{each.{name}}} into it, or let Wattle pick the place: {{type: file}}")  # fmt: skip
