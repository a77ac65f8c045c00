"""The shape of a document: which keys a workflow and a worker have, and what may stand behind each.

`workflow_draft` reads a plain value into a `Draft` of the workflow with one of every worker. A draft holds the fields
of the model as far as they are sound, and remembers which were not, so that `core/wiring.py` does not report the
consequences of a mistake as further mistakes. Adding a key to the language means: a field in `core/models.py`, a row
in a table here, a line in `core/writing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wattle.core import checking
from wattle.core.checking import Reader
from wattle.core.edges import each, inputs, outputs, path_text, retries
from wattle.core.findings import Findings, Path, describe, shorten, show_path
from wattle.core.models import Resources, executed_copy
from wattle.core.names import fold, name_flaw
from wattle.core.places import resolve
from wattle.core.template import references
from wattle.core.words import NotWords, split

WORKERS_LIMIT = 10_000

_LANGUAGES = {
    "bash": "bash", "sh": "sh", "python": "python", "python3": "python", "node": "node", "Rscript": "Rscript",
    "R": "Rscript",
}  # fmt: skip

_MODES = {
    "DependencyBased": "dependency", "Dependency": "dependency", "Sequential": "sequential", "Parallel": "parallel",
}  # fmt: skip

_SYNONYMS = {
    "after": "needs", "cmd": "command", "cwd": "working_dir", "depends": "needs", "depends_on": "needs",
    "dir": "working_dir", "env": "env_vars", "environment": "env_vars", "foreach": "each", "matrix": "each",
    "retry": "retries", "run": "command or script", "shell": "script", "upstream": "needs", "workdir": "working_dir",
    "concurrency": "max_concurrent_workers", "jobs": "max_concurrent_workers", "parameters": "params",
    "steps": "workers", "tasks": "workers", "nodes": "workers",
}  # fmt: skip

_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]|\\\\")


class Draft:
    """A worker or workflow that is being checked: fields as far as they are sound, the names of those that are not."""

    __slots__ = ("bad", "fields", "name", "path")

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name
        self.fields: dict[str, Any] = {}
        self.bad: set[str] = set()


def command(found: Findings, path: Path, value: Any) -> str | tuple[str, ...] | None:
    """A command line that splits into words, or a list of words."""
    if isinstance(value, str):
        return _command_line(found, path, value)
    if not isinstance(value, list | tuple):
        found.add(path, f"expected a command line or a list of words, found {describe(value)}")
        return None
    if not value:
        found.add(path, "the command is empty", "write the program and its arguments")
        return None
    words = checking.arguments(found, path, value)
    if words is not None and not words[0].strip():
        found.add((*path, 0), "the name of the program is empty", "write the program first")
        return None
    return words


def _command_line(found: Findings, path: Path, value: str) -> str | None:
    line = checking.text(found, path, value, checking.ARGUMENT_LIMIT)
    if line is None:
        return None
    try:
        words = split(line)
    except NotWords as error:
        script = line.strip()
        if not error.needs_shell:
            hint = "close it, or write the command as a list of words"
        elif "\n" in script:
            hint = f"write script: | and below it the {script.count(chr(10)) + 1} lines"
        else:
            hint = f"write script: {script}"
        found.add(path, f"the command {error}", hint)
        return None
    if not words or not words[0]:
        found.add(path, "the command is empty", "write the program and its arguments")
        return None
    if len(words) > checking.ARGUMENTS_LIMIT:
        found.add(path, f"the command has {len(words):,} words; at most {checking.ARGUMENTS_LIMIT:,} are allowed")
        return None
    return line


def _python(found: Findings, path: Path, value: Any) -> str | None:
    result = path_text(found, path, value)
    if result in ("conda:", "kernel:"):
        found.add(path, f"{result!r} names no environment", f"write {result}NAME")
        return None
    return result


def _notebook(found: Findings, path: Path, value: Any) -> str | None:
    result = path_text(found, path, value)
    if result is not None and not result.endswith(".ipynb") and not references(result):
        found.add(path, f"{shorten(result)!r} is not a notebook", "its name ends in .ipynb; a program is a command")
        return None
    return result


def _cell(found: Findings, path: Path, value: Any) -> str | None:
    if isinstance(value, str) and not value.strip():
        found.add(path, "the cell is empty", "write what is to be run")
        return None
    return checking.text(found, path, value, checking.SCRIPT_LIMIT)


def _language(found: Findings, path: Path, value: Any) -> str | None:
    if isinstance(value, str) and value in _LANGUAGES:
        return _LANGUAGES[value]
    near = found.suggester.nearest(value, _LANGUAGES) if isinstance(value, str) else None
    hint = f"did you mean {near!r}?" if near else "for others begin the script with a line like #!/usr/bin/perl"
    found.add(path, f"expected one of {', '.join(dict.fromkeys(_LANGUAGES.values()))}; found {describe(value)}", hint)
    return None


def _resources(found: Findings, path: Path, value: Any) -> Resources | None:
    if checking.mapping(found, path, value, "a mapping like {cpus: 2, memory: 4G}") is None:
        return None
    before = found.count
    readers: dict[str, Reader] = {
        "cpus": lambda found, path, value: checking.number(found, path, value, 0, above=True),
        "memory": checking.bytes_size,
        "gpus": checking.whole(0),
        "time": checking.timeout,
    }
    fields = _fields(found, path, value, readers).fields
    return Resources(**fields) if found.count == before else None


def _values(found: Findings, path: Path, value: Any) -> dict[str, Any] | None:
    """Parameters of a workflow or notebook: identifiers and any values of JSON."""
    if checking.mapping(found, path, value, "a mapping of names and values") is None:
        return None
    before = found.count
    keys = checking.identifiers(found, path, value, "name")
    result = {key: checking.plain(found, (*path, key), value[key]) for key in keys}
    return result if found.count == before else None


WORKER_FIELDS: dict[str, Reader] = {
    "args": checking.arguments,
    "cell": _cell,
    "command": command,
    "description": checking.text,
    "each": each,
    "env_vars": checking.env_vars,
    "executor": checking.filled_text,
    "files": lambda found, path, value: checking.texts(found, path, value, path_text),
    "grace": checking.duration,
    "inputs": inputs,
    "kernel": checking.filled_text,
    "lang": _language,
    "log_limit": checking.bytes_size,
    "max_concurrent": checking.whole(1),
    "merge_logs": checking.boolean,
    "name": checking.name,
    "needs": checking.word_set,
    "notebook": _notebook,
    "outputs": outputs,
    "owner": checking.text,
    "parameters": _values,
    "python": _python,
    "resources": _resources,
    "retries": retries,
    "retry_lost": checking.boolean,
    "script": checking.script_text,
    "service": checking.boolean,
    "setup": checking.lines,
    "tags": checking.word_set,
    "timeout": checking.timeout,
    "when": checking.choice("completed", "ended", "failed"),
    "workflow_name": checking.text,
    "working_dir": path_text,
}

WORKFLOW_FIELDS: dict[str, Reader] = {
    "description": checking.text,
    "env_vars": checking.env_vars,
    "grace": checking.duration,
    "max_concurrent_workers": checking.whole(1),
    "mode": checking.choice("dependency", "sequential", "parallel", also=_MODES),
    "name": checking.name,
    "on_failure": checking.choice("stop", "continue"),
    "overlap": checking.choice("refuse", "queue", "allow"),
    "params": _values,
    "python": _python,
    "setup": checking.lines,
    "tags": checking.word_set,
    "workers": lambda _found, _path, value: value,  # read one by one, in `worker_drafts`
    "working_dir": path_text,
}


def _fields(found: Findings, path: Path, raw: Mapping[Any, Any], readers: Mapping[str, Reader]) -> Draft:
    """Read every key by its reader. Null means that the key is not there."""
    draft = Draft(path)
    fields, bad = draft.fields, draft.bad
    for key, value in raw.items():
        reader = readers.get(key) if type(key) is str else None
        if reader is None:
            _unknown_key(found, path, key, readers)
        elif value is not None:
            before = found.count
            result = reader(found, (*path, key), value)
            if result is not None:
                fields[key] = result
            if found.count > before:
                bad.add(key)
    return draft


def _unknown_key(found: Findings, path: Path, key: Any, readers: Mapping[str, Reader]) -> None:
    meant = _SYNONYMS.get(key) if isinstance(key, str) else None
    if meant and all(word in readers for word in meant.split(" or ")):
        found.add((*path, key), f"unknown key {key!r}", f"write {meant}", at_key=True)
    else:
        found.unknown(path, key, readers)


def workflow_draft(found: Findings, value: Any, base_dir: str, name: str | None) -> tuple[Draft, list[Draft]]:
    """The workflow and its workers, as far as they are sound."""
    if not isinstance(value, Mapping):
        found.add((), f"a workflow is a mapping with name and workers, found {describe(value)}")
        return Draft(()), []
    draft = _fields(found, (), value, WORKFLOW_FIELDS)
    own = draft.fields.get("name")
    if name is not None:
        draft.fields["name"] = name
        if flaw := name_flaw(name):
            found.add(("name",), f"the name {shorten(name)!r} {flaw.message}", flaw.hint)
    elif own is None and "name" not in draft.bad:
        found.add(("name",), "the workflow has no name", "write name: … at the top")
    draft.name = draft.fields.get("name", "")
    _working_dir(found, draft, base_dir)
    workers = draft.fields.pop("workers", None)
    if workers is None:
        found.add(("workers",), "the workflow has no workers", "write workers: and below it what is to be run")
        return draft, []
    names = {word for word in (own, name) if word}
    return draft, worker_drafts(found, workers, names)


def _working_dir(found: Findings, draft: Draft, base_dir: str) -> None:
    """The workflow's folder, absolute and in its shortest form."""
    written = draft.fields.get("working_dir", "")
    if references(written):
        found.add(("working_dir",), "the workflow's folder cannot be filled in", "write it out; a worker's may hold it")
    folder = resolve(base_dir, written)
    if not _ABSOLUTE.match(folder):
        found.add(("working_dir",), f"the folder {shorten(folder)!r} counts from nowhere", "write the whole path")
    draft.fields["working_dir"] = folder


def worker_drafts(found: Findings, value: Any, workflow_names: set[str]) -> list[Draft]:
    """Every worker of a list, or of a mapping by name."""
    path: Path = ("workers",)
    entries: list[tuple[Path, str | None, Any]]
    if isinstance(value, Mapping):
        entries = [((*path, key if isinstance(key, str) else describe(key)), key, entry)
                   for key, entry in value.items()]  # fmt: skip
    elif isinstance(value, list | tuple):
        entries = [((*path, index), None, entry) for index, entry in enumerate(value)]
    else:
        found.add(path, f"expected a mapping of workers by name, or a list, found {describe(value)}")
        return []
    if not entries:
        found.add(path, "the workflow has no workers", "write below it what is to be run")
    if len(entries) > WORKERS_LIMIT:
        found.add(path, f"{len(entries):,} workers; a workflow has at most {WORKERS_LIMIT:,}", "use each for groups")
        return []
    drafts: list[Draft] = []
    taken: dict[str, Draft] = {}
    for here, key, entry in entries:
        draft = _worker(found, here, key, entry, workflow_names)
        if draft is None:
            continue
        drafts.append(draft)
        other = taken.setdefault(fold(draft.name), draft) if draft.name else draft
        if other is not draft:
            _duplicate(found, draft, other)
    return drafts


def _duplicate(found: Findings, draft: Draft, other: Draft) -> None:
    where = (*draft.path, "name") if isinstance(draft.path[-1], int) else draft.path
    same = "is the name of" if draft.name == other.name else f"differs only in case from {other.name!r} of"
    found.add(where, f"the name {draft.name!r} {same} {show_path(other.path)} too", "rename one of them",
              at_key=isinstance(where[-1], str) and where == draft.path)  # fmt: skip


def _worker(found: Findings, path: Path, key: Any, value: Any, workflow_names: set[str]) -> Draft | None:
    if key is not None and not isinstance(key, str):
        found.add(path, f"the name of a worker is {describe(key)}, not a text", at_key=True)
        return None
    if not isinstance(value, Mapping):
        if isinstance(value, str):
            found.add(path, f"expected a mapping, found {describe(value)}", f"write {{command: {shorten(value)}}}")
        else:
            found.add(path, f"a worker is a mapping like {{command: …}}, found {describe(value)}")
        draft = Draft(path, key or "")
        draft.bad.update(WORKER_FIELDS)
        return draft
    draft = _fields(found, path, value, WORKER_FIELDS)
    _worker_name(found, draft, key, value)
    meant = draft.fields.pop("workflow_name", None)
    if meant is not None and workflow_names and meant not in workflow_names:
        found.add((*path, "workflow_name"), f"the worker says that it belongs to {shorten(meant)!r}",
                  f"write {min(workflow_names)!r}, or leave it out")  # fmt: skip
    _what_to_run(found, draft)
    return draft


def _worker_name(found: Findings, draft: Draft, key: str | None, value: Mapping[Any, Any]) -> None:
    """A worker of a mapping has the key as its name; one of a list must say it."""
    own = draft.fields.get("name")
    if key is not None:
        if checking.text(found, draft.path, key) is not None and (flaw := name_flaw(key)):
            found.add(draft.path, f"the name {shorten(key)!r} {flaw.message}", flaw.hint, at_key=True)
        if own is not None and own != key:
            found.add((*draft.path, "name"), f"the name {own!r} is not the key {shorten(key)!r}", "remove one of them")
        draft.fields["name"] = draft.name = key
    elif own is None and "name" not in draft.bad:
        found.add(draft.path, "the worker has no name", "write name: …")
    else:
        written = value.get("name")
        draft.name = own if own is not None else written if isinstance(written, str) else ""


def _what_to_run(found: Findings, draft: Draft) -> None:
    """Exactly one of command, script, cell and notebook, and the keys that go with each."""
    fields, path = draft.fields, draft.path
    given = [key for key in ("command", "script", "cell", "notebook") if key in fields or key in draft.bad]
    if not given:
        found.add(path, "the worker has nothing to run", "add a command, a script, a cell or a notebook")
    elif len(given) > 1:
        found.add((*path, given[1]), f"the worker has a {given[0]} and a {given[1]}", "a worker runs one: remove one")
    if "notebook" in given and fields.get("args"):
        found.add((*path, "args"), "a notebook takes no arguments", "write parameters: {name: value}")
    for key, needed in (("lang", "script"), ("parameters", "notebook"), ("kernel", "notebook")):
        if key in fields and given and needed not in given:
            found.add((*path, key), f"{key} belongs to a {needed}, and this worker has a {given[0]}", f"remove {key}")
    if "notebook" in fields and "outputs" not in draft.bad:
        outputs = fields["outputs"] = dict(fields.get("outputs") or {})
        if outputs.setdefault("notebook", executed_copy(fields["notebook"])).type != "file":
            found.add((*path, "outputs", "notebook"), "the output notebook is the executed copy, which is a file",
                      "give the other one another name", at_key=True)  # fmt: skip
    if "lang" in fields and fields.get("script", "").startswith("#!"):
        found.add((*path, "lang"), "the script has a #! line and a lang", "remove one: the #! line says what runs it")
