"""What a cell can be: a workflow, a worker of one, or a run of its own.

Laws: everything is checked before anything is saved or started; every cell can run again and in any order; restart and
run all gives exactly what the notebook says: the first definition of a new kernel into a workflow takes the earlier
ones of this notebook out of it. What others define meanwhile is never overwritten (`If-Match`).
"""

from __future__ import annotations

import os
import sys

from jupyter_wattle.kernel import grammar, verbs
from jupyter_wattle.kernel.pushing import push
from jupyter_wattle.kernel.session import Part
from wattle.cli.celllines import definition, options_of, saved_by, variables_of, worker_name
from wattle.cli.documents import Document
from wattle.cli.expanding import expanded
from wattle.cli.words import nearest
from wattle.core import cells
from wattle.core.cellbook import merged
from wattle.core.document import dump, parse
from wattle.core.errors import Changed, Conflict, InvalidRequest, NotFound
from wattle.sdk.flow import Flow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from typing import Any

    from jupyter_wattle.kernel.here import Here
    from jupyter_wattle.kernel.session import KernelSession
    from wattle.core.requests import Format

    CellVerb = Callable[[KernelSession, str], Any]

TRIES = 20
"""How often a document that somebody else changes meanwhile is read again."""
CELL = "cell"
"""The worker of a run of its own."""


def workflow(session: KernelSession, cell: str) -> Any:
    """A document: saved and drawn, and with `--run` started. Lines of problems are those of the cell."""
    args, here = session.args, session.desk.here
    text = expanded("\n" + cell, here.shell.ev)
    form: Format = args.format or ("json" if cell.lstrip()[:1] == "{" else "yaml")
    session.document = Document("this cell", text, form, here.folder, here.source)
    fields: dict[str, Any] = session.fields(session.document)
    part = session.desk.parts.setdefault(args.name, Part())
    kept = _kept(session, args.name, part)
    if kept:
        parsed = parse(text, form, base_dir=here.folder, name=args.name).workflow
        document = dump(parsed)
        named = {made["name"] for made in document["workers"]}
        for name in named:
            part.defined.pop(name, None)
        found = merged(document["workers"], [made for made in kept if made["name"] not in named])
        fields = {"document": {**document, "workers": found.workers}, "source": here.source, "base_dir": here.folder}
    saved = session.ask("write", "create_workflow", **fields, name=args.name, replace=args.replace)
    part.begun = True
    if part.waiting:
        define(session, saved["name"], [])
    for warning in saved["warnings"]:
        session.line(f"{session.style.paint('warning', 'warn')}  {warning}")
    return verbs.started(session, saved["name"]) if args.run else flow_of(session, saved["name"])


def _kept(session: KernelSession, flow: str, part: Part) -> list[dict[str, Any]]:
    """Workers of a workflow that a document of this notebook leaves alone: those of other notebooks, and those that
    cells of this kernel have defined."""
    try:
        stored = session.ask("write", "get_workflow", workflow=flow)
    except NotFound:
        return []
    ours = session.desk.here.source
    return [made for made in stored["document"]["workers"]
            if made.get("owner") and (made["owner"] != ours or made["name"] in part.defined)]  # fmt: skip


def flow_of(session: KernelSession, name: str) -> Flow:
    """A saved workflow as an object."""
    client = session.client("write")
    return Flow(name, lambda: client, source=session.desk.here.source)


# ---- a worker -----------------------------------------------------------------------------------------------------


def worker(session: KernelSession, cell: str) -> Any:
    """This cell's source as a worker's. It runs when the workflow does, in a process of its own."""
    args, keys, source = _read(session, "worker", cell)
    name, flow = worker_name(args.address), args.address.workflow
    made = _made(session, name, source, keys, flow)
    waits, stale = define(session, flow, [made])
    if name in waits:
        session.line(f"{flow}/{name} waits for {', '.join(waits[name])}: it is saved when that is defined."
                     + _meant(session, flow, waits[name]))  # fmt: skip
        return None
    for late in waits:
        session.line(f"{flow}/{late} still waits for {', '.join(waits[late])}.")
    if stale:
        session.line(f"Stale since the last run: {', '.join(stale)}.  %wattle run {flow} --stale")
    return verbs.started(session, flow) if args.run else flow_of(session, flow)


def _meant(session: KernelSession, flow: str, missing: list[str]) -> str:
    """What may have been meant by the names that nobody defines."""
    try:
        stored = session.ask("write", "get_workflow", workflow=flow)
    except NotFound:
        return ""
    known = [worker["name"] for worker in stored["document"]["workers"]]
    near = [found for name in missing if (found := nearest(name, known))]
    return f" Did you mean {', '.join(near)}?" if near else ""


def _read(session: KernelSession, verb: str, cell: str) -> tuple[Namespace, dict[str, Any], str]:
    """The words of the first line and of the `#|` lines together, the other keys, and the source."""
    here = session.desk.here
    words, keys, source = options_of(cell, here.shell.ev, grammar.parser_for(verb, cell=True))
    session.args = grammar.parse([*session.desk.words, *words], cell=True)
    return session.args, keys, source


def _made(session: KernelSession, name: str, source: str, keys: dict[str, Any], flow: str) -> dict[str, Any]:
    """The checked definition of a worker cell, its pushed variables saved. Raises `InvalidRequest`."""
    here, args = session.desk.here, session.args
    made = definition(name, args, source, keys)
    if "cell" in made or made.get("lang") == "python":
        made.setdefault("python", sys.executable)
    if "cell" in made:
        check(here, made, source, pushed=[given for text in args.push for given in text.split(",")])
    if args.push:
        made["inputs"] = {**made.get("inputs", {}), **push(here, args.push, flow)}
    return {**made, "owner": here.source}


def check(here: Here, made: Mapping[str, Any], source: str, pushed: list[str]) -> None:
    """Every name that the cell uses is there when it runs, and what it saves it makes. Raises `InvalidRequest`."""
    name = str(made["name"])
    found = cells.names(source, name)
    if found.star:
        return
    there = variables_of(dict(made)) | set(pushed)
    missing = {used: line for used, line in found.used.items() if used not in there}
    told = [_missing(here, used, line) for used, line in missing.items()]
    hints = [hint for _, hint in told]
    sentences = [sentence for sentence, _ in told]
    for port in saved_by(dict(made)):
        if port not in found.assigned and port not in there:
            sentences.append(f"{port} is to be saved, and the cell never assigns it")
            hints.append(f"assign it: {port} = …, or leave --out {port} out")
    if sentences:
        raise InvalidRequest(f"{name}: {'; '.join(sentences)}.", "\n    ".join(dict.fromkeys(hints)))


def _missing(here: Here, name: str, line: int) -> tuple[str, str]:
    """What is said of a name that the worker's process will not have, and the line that mends it."""
    where = f"line {line} uses {name}"
    if name not in here.shell.user_ns:
        return f"{where}, which nobody defines", f"import or define {name} in the cell, or --in {name}=WORKER/OUTPUT"
    value = here.shell.user_ns[name]
    if type(value).__name__ == "module":
        renamed = "" if value.__name__ == name else f" as {name}"
        return f"{where}, which only this kernel has imported", f"import {value.__name__}{renamed}"
    home = getattr(value, "__module__", None)
    if callable(value) and isinstance(home, str):
        mend = f"define {name} in the cell" if home == "__main__" else f"from {home} import {name}"
        return f"{where}, which only this kernel has", mend
    return f"{where}, which only this kernel has ({type(value).__name__})", f"--push {name}"


def define(session: KernelSession, flow: str, new: list[dict[str, Any]]) -> tuple[dict[str, list[str]], list[str]]:
    """Put workers into a workflow, with those of this kernel that waited for them.

    Returns who waits for whom, and what is stale if anything has become another thing since the last run.
    """
    part = session.desk.parts.setdefault(flow, Part())
    coming = {**part.waiting, **{made["name"]: made for made in new}}
    for _ in range(TRIES):
        try:
            stored = session.ask("write", "get_workflow", workflow=flow)
        except NotFound:
            stored = {}
        document, waiting = _document(session, flow, stored, part, list(coming.values()))
        ready = {name: made for name, made in coming.items() if name not in waiting}
        saved = _put(session, flow, stored, document) if ready else stored
        if saved is not None:
            break
    else:
        raise Conflict(f"{flow} is changed by somebody else all the time.", "try again")
    part.begun = part.begun or bool(ready)
    part.defined |= ready
    part.waiting = {name: coming[name] for name in waiting}
    changed = bool(stored) and saved.get("etag") != stored["etag"] and bool(stored["run"])
    return waiting, _stale(session, flow) if changed else []


def _document(session: KernelSession, flow: str, stored: Mapping[str, Any], part: Part,
              coming: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, list[str]]]:  # fmt: skip
    here = session.desk.here
    base: dict[str, Any] = {"name": flow, "working_dir": here.folder, "workers": []}
    _refuse_foreign(stored, here.source, flow)
    present: list[dict[str, Any]] = stored["document"]["workers"] if stored else []
    if not part.begun and stored and stored["source"] == here.source:
        # All but the workers of others is of this notebook: of cells that come again, or are no more.
        present = [made for made in present if made.get("owner")]
    elif stored:
        base = stored["document"]
    found = merged(present, coming, drop="" if part.begun else here.source)
    return {**base, "workers": found.workers}, found.waiting


def _refuse_foreign(stored: Mapping[str, Any], source: str, flow: str) -> None:
    """A workflow that a file defines is not changed from a notebook. Raises `Conflict`."""
    owner = stored.get("source") or ""
    if owner and owner != source and not owner.endswith(".ipynb") and os.path.isfile(owner):
        raise Conflict(f"The workflow {flow} is that of {owner}.", "write the worker there, or take another name",
                       code="name-taken")  # fmt: skip


def _put(session: KernelSession, flow: str, stored: Mapping[str, Any],
         document: dict[str, Any]) -> dict[str, Any] | None:  # fmt: skip
    """Save it, and the reply; None when somebody else was faster."""
    here = session.desk.here
    try:
        if stored:
            return session.ask("write", "replace_workflow", workflow=flow, document=document, if_match=stored["etag"],
                               source=stored["source"] or here.source, base_dir=stored["working_dir"])  # fmt: skip
        return session.ask("write", "create_workflow", document=document, source=here.source, base_dir=here.folder)
    except Changed:
        return None
    except Conflict as error:
        if stored or error.code != "name-taken":
            raise
        return None


def _stale(session: KernelSession, flow: str) -> list[str]:
    """The workers whose results are no longer what they would be, the first first."""
    nodes = session.ask("write", "get_graph", workflow=flow)["nodes"]
    return [node["name"] for node in sorted(nodes, key=lambda node: (node["x"], node["y"])) if node["stale"]]


# ---- a run of its own -----------------------------------------------------------------------------------------------


def run(session: KernelSession, cell: str) -> Any:
    """This cell, now, in the background: a workflow of one worker."""
    here = session.desk.here
    args, keys, source = _read(session, "run", cell)
    name = args.name or f"{CELL}-{here.cell}"
    made = _made(session, CELL, source, keys, name)
    document = {"name": name, "working_dir": here.folder, "overlap": "allow", "workers": [made]}
    session.ask("write", "create_workflow", document=document, source=here.source, base_dir=here.folder, replace=True)
    return verbs.started(session, name, focus=CELL)


CELLS: dict[str, CellVerb] = {"workflow": workflow, "worker": worker, "run": run}
