"""The workflow document: text or plain value in, a checked `Workflow` out, with every problem at once; and back.

    parse           text of JSON, YAML or TOML   ──►  reading / yamltext  ──►  plain value ┐
    parse_document  a plain value (the JSON form)                                           ├──►  shapes ──► wiring
    dump, render    Workflow  ──►  writing  ──►  plain value or text          scope, gangs, variables ◄──  ┘

Laws: pure; whatever comes in, the outcome is `Parsed` or `DocumentError`; a `DocumentError` holds all problems in the
order of the text, each with its path, and with line and column where there is text. Lines are looked up only then,
so a sound document of ten thousand workers costs what its values cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wattle.core.errors import DocumentError, Problem
from wattle.core.findings import MOST_FINDINGS, Finding, Findings, Path, Unreadable, show_path
from wattle.core.gangs import check_modes
from wattle.core.models import Worker, Workflow
from wattle.core.positions import json_places, nearest, toml_places, with_prefixes
from wattle.core.reading import Place, Reading, decode, load_json, load_toml
from wattle.core.requests import Format
from wattle.core.scope import check_paths, check_references
from wattle.core.shapes import workflow_draft
from wattle.core.variables import check_variables
from wattle.core.wiring import wire
from wattle.core.writing import dump, readable, to_json, to_toml

__all__ = ["Parsed", "dump", "format_of", "parse", "parse_document", "render", "unavailable"]

_SUFFIXES: dict[str, Format] = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


class Parsed(NamedTuple):
    """A sound workflow, and what its author should know about it all the same."""

    workflow: Workflow
    warnings: list[str]


def parse(text: str | bytes, format: Format, *, base_dir: str, name: str | None = None) -> Parsed:  # noqa: A002
    """Read a document.

    `base_dir` is the absolute folder that a relative `working_dir` counts from, and the working directory when there
    is none. `name` replaces the document's own.

    Raises:
        DocumentError: with every problem.
    """
    try:
        text = decode(text)
        reading = _load(text, format)
    except Unreadable as error:
        raise _error([error.finding], 1) from None
    found = Findings(reading.originals)
    for finding in reading.findings:
        found.keep(finding)
    workflow = _workflow(found, reading.value, base_dir, name)
    if reading.rescan:
        for finding in json_places(text, ())[1]:
            found.keep(finding)
    if workflow is None or found.count:
        raise _error(_placed(found.kept, text, format), found.count)
    return Parsed(workflow, found.warnings)


def parse_document(document: Mapping[str, Any], *, base_dir: str, name: str | None = None) -> Parsed:
    """Read a plain value: the JSON form of a document. As `parse`, without lines."""
    found = Findings()
    workflow = _workflow(found, document, base_dir, name)
    if workflow is None or found.count:
        raise _error(found.kept, found.count)
    return Parsed(workflow, found.warnings)


def render(workflow: Workflow, format: Format, *, relative_to: str | None = None) -> str:  # noqa: A002
    """The workflow as a document for people. `relative_to` is the folder where it will lie: folders inside it are
    written relative to it. In TOML, parameters without a value cannot be written and are left out."""
    document = readable(workflow, relative_to)
    if format == "json":
        return to_json(document)
    if format == "toml":
        return to_toml(document)
    from wattle.core import yamltext

    return yamltext.dump(document)


def format_of(path: str) -> Format | None:
    """The format that the end of a file's name tells; None when it tells none."""
    dot = path.rfind(".")
    return _SUFFIXES.get(path[dot:].lower()) if dot >= 0 else None


def unavailable(workflow: Workflow) -> list[Problem]:
    """What this version understands but cannot run yet."""
    problems = []
    for worker in workflow.workers:
        problems += [Problem(show_path(("workers", worker.name, *path)), f"{what} cannot be run by this version", hint)
                     for path, what, hint in _not_yet(worker)]  # fmt: skip
    return problems


def _not_yet(worker: Worker) -> list[tuple[Path, str, str]]:
    result: list[tuple[Path, str, str]] = []
    if worker.executor != "local":
        result.append((("executor",), f"executor {worker.executor}", "leave it out to run here"))
    return result


def _load(text: str, format: Format) -> Reading:  # noqa: A002
    if format == "json":
        return load_json(text)
    if format == "toml":
        return load_toml(text)
    from wattle.core import yamltext

    return yamltext.load(text)


def _workflow(found: Findings, value: Any, base_dir: str, name: str | None) -> Workflow | None:
    """Check a plain value; None when there are problems."""
    draft, drafts = workflow_draft(found, value, base_dir, name)
    if drafts:
        wires = wire(found, draft, drafts)
        check_references(found, draft, wires)
        check_paths(found, draft, wires)
        check_modes(found, draft, wires)
        check_variables(found, wires)
        if any("cell" in each.fields for each in drafts):
            from wattle.core.celldoubts import doubt_cells

            doubt_cells(found, wires)
    if found.count:
        return None
    return Workflow(workers=tuple(Worker(**each.fields) for each in drafts), **draft.fields)


def _placed(findings: list[Finding], text: str, format: Format) -> list[Finding]:  # noqa: A002
    """The findings with line and column, in the order of the text."""
    paths = {finding.path for finding in findings if not finding.line}
    places = _places(text, format, with_prefixes(paths)) if paths else {}
    result = []
    for finding in findings:
        place = None if finding.line else nearest(places, finding.path)
        if place is not None:
            exact = finding.path in places
            line, column = place.key if finding.at_key or not exact else place.value
            finding = finding._replace(line=line, column=column)  # noqa: PLW2901
        result.append(finding)
    return sorted(result, key=lambda finding: (finding.line, finding.column))


def _places(text: str, format: Format, wanted: set[Path]) -> dict[Path, Place]:  # noqa: A002
    if format == "json":
        return json_places(text, wanted)[0]
    if format == "toml":
        return toml_places(text, wanted)
    from wattle.core import yamltext

    return yamltext.places(text, wanted)


def _error(findings: list[Finding], count: int) -> DocumentError:
    problems = [Problem(show_path(finding.path), finding.message, finding.hint, finding.line, finding.column)
                for finding in findings]  # fmt: skip
    if count > 1:
        shown = f", the first {MOST_FINDINGS:,} are listed" if count > len(problems) else ""
        return DocumentError(f"The workflow document has {count:,} problems{shown}.", problems,
                             "mend them and try again")  # fmt: skip
    only = problems[0]
    where = f"{only.path}: " if only.path else ""
    line = f"line {only.line}, column {only.column}: " if only.line else ""
    return DocumentError(f"The workflow document has a problem: {line}{where}{only.message}.", problems, only.hint)
