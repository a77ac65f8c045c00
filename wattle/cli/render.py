"""Replies as text for people. One function per kind of reply; none asks for anything or prints."""

from __future__ import annotations

from wattle.cli.board import FINAL, Board, worker_line
from wattle.cli.conclusion import short_path, summary_line
from wattle.cli.style import clean, clip, duration, shown, size, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wattle.cli.documents import Document
    from wattle.cli.style import Style
    from wattle.core.errors import DocumentError, Problem, WattleError

MOST_UNITS = 200
MOST_FAILURES = 20
EXCERPT = 96
"""Columns of a document's line that are shown."""
UNTOLD = frozenset({"worker", "nonce", "boot", "pid_ns", "ticks", "at", "type"})
"""Fields of an event that its line tells already, or that only machines need."""


def error_text(error: WattleError, style: Style) -> str:
    """What was wrong, and what to do next."""
    lines = [f"{style.paint('wattle:', 'failed')} {error.message}"]
    if error.hint:
        lines.append(f"  {style.char('→', '->')} {error.hint}")
    return "\n".join(lines)


def document_error_text(error: DocumentError, style: Style, document: Document | None) -> str:
    """Every problem with its place, the line's text and a caret."""
    name = document.name if document is not None else "document"
    source = document.text.split("\n") if document is not None else []
    cells = document.cells if document is not None else None
    blocks = [_problem(problem if cells is None else _in_cell(problem, cells), style, name, source)
              for problem in error.problems]  # fmt: skip
    count = len(error.problems)
    if not count:
        return error_text(error, style)
    told = f"{count} problem{'' if count == 1 else 's'} in {name}; nothing was saved or started."
    return "\n".join([*blocks, style.paint(told, "failed")])


def _in_cell(problem: Problem, cells: Mapping[str, int]) -> Problem:
    """A problem of a document that was made of cells: the cell instead of the line."""
    worker = next((name for name in cells if f"{problem.path}.".startswith(f"workers.{name}.")), None)
    where = f"cell {cells[worker]}: {problem.path}" if worker is not None else problem.path
    return type(problem)(where, problem.message, problem.hint)


def _problem(problem: Problem, style: Style, name: str, source: Sequence[str]) -> str:
    where = f"{name}:{problem.line}:{problem.column}" if problem.line else name
    what = f"{problem.path}: {problem.message}" if problem.path else problem.message
    lines = [f"{style.paint(where, 'bold')}  {clean(what)}"]
    if 0 < problem.line <= len(source):
        start = max(0, problem.column - EXCERPT // 2)
        text = clean(source[problem.line - 1].rstrip())[start:]
        lines.append(f"    {clip(text, EXCERPT)}")
        if problem.column:
            before = width(text[: problem.column - 1 - start])
            lines.append("    " + " " * before + style.paint("^", "failed"))
    if problem.hint:
        lines.append(f"    {style.char('→', '->')} {clean(problem.hint)}")
    return "\n".join(lines)


def workflows(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle list`."""
    if not reply["workflows"]:
        return "No workflows yet. Begin with: wattle demo, or wattle init"
    rows = []
    for flow in reply["workflows"]:
        run = flow["run"]
        rows.append([style.mark(flow["status"]), flow["name"], str(flow["workers"]), run["address"] if run else "",
                     flow["status"] if run else "never run", style.clock(run["started_at"]) if run else "",
                     duration(style.span(run["started_at"], run["completed_at"])) if run else "",
                     clip(clean(flow["description"]) or short_path(flow["source"]), 50)])  # fmt: skip
    return style.table(rows, ["", "workflow", "workers", "latest", "status", "started", "took", "about"])


def runs(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle runs`, `wattle status`."""
    if not reply["runs"]:
        return "No runs yet. Begin with: wattle demo, or wattle run"
    rows = []
    for run in reply["runs"]:
        counts = run["counts"]
        done = f"{counts.get('completed', 0)}/{sum(counts.values())}" if counts else ""
        why = f"{run['cause']}: {run['reason']}" if run["cause"] else run["reason"] or run["origin"]
        rows.append([style.mark(run["status"]), run["address"], run["status"], done, style.clock(run["started_at"]),
                     duration(style.span(run["started_at"], run["completed_at"])), why])  # fmt: skip
    return style.table(rows, ["", "run", "status", "done", "started", "took", ""])


def run_detail(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle status etl`: its workers and groups, and under a group what failed in it."""
    board = Board.of(reply)
    lines = [board.header(style)]
    for line, unit in zip(board.lines(style, MOST_UNITS, {}), [*board.visible(MOST_UNITS)[0], None], strict=False):
        lines.append(style.fit(line))
        if unit is not None and unit.grouped and unit.kinds.get("failed"):
            failed = [board.workers[name] for name in unit.members if board.workers[name]["status"] == "failed"]
            lines += [style.fit(f"      {worker_line(worker, style)}") for worker in failed[:MOST_FAILURES]]
    lines += [f"  {style.paint('warning', 'warn')}  {clean(text)}" for text in reply["warnings"]]
    if reply["status"] in FINAL:
        lines.append(summary_line(reply, reply["warnings"], style))
    stale = list(dict.fromkeys(worker["group"] or worker["name"] for worker in reply["workers"] if worker["stale"]))
    if stale:
        lines.append(style.fit(f"  {style.paint('stale', 'warn')}     {', '.join(stale)}"))
        lines.append(style.paint(f"  wattle plan {reply['workflow']} --stale  says why", "dim"))
    if reply["status"] == "failed":
        lines.append(style.paint(f"  wattle logs {reply['address']}/{reply['cause'] or 'WORKER'}", "dim"))
    return "\n".join(lines)


def workflow_detail(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle show etl`."""
    run = reply["run"]
    lines = [f"{style.paint(reply['name'], 'bold')}  {reply['workers']} workers, revision {reply['revision']}"]
    if reply["description"]:
        lines.append(f"  {clean(reply['description'])}")
    lines.append(f"  folder   {short_path(reply['working_dir'])}")
    if reply["source"]:
        lines.append(f"  source   {short_path(reply['source'])}")
    if run:
        took = duration(style.span(run["started_at"], run["completed_at"]))
        lines.append(f"  latest   {run['address']} {style.paint(run['status'], run['status'])} {took}")
    rows = [[f"  {worker['name']}", _what(worker), _from(worker)] for worker in reply["document"]["workers"]]
    return "\n".join([*lines, style.table(rows, ["  worker", "does", "after"])])


def _what(worker: Mapping[str, Any]) -> str:
    command = worker.get("command")
    if command:
        return clip(command if isinstance(command, str) else " ".join(command), 60)
    text = worker.get("script") or worker.get("cell") or worker.get("notebook") or ""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith(("#", "import ", "from "))]
    return clip(clean(lines[0].strip() if lines else ""), 60)


def _from(worker: Mapping[str, Any]) -> str:
    sources: list[str] = []
    for source in (worker.get("inputs") or {}).values():
        found = source if isinstance(source, list) else [source]
        sources += [item.partition("/")[0] for item in found if isinstance(item, str)]
    return ", ".join(dict.fromkeys([*sources, *(worker.get("needs") or [])]))


def worker_detail(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle show etl/clean`."""
    state, run = reply["state"], reply["run"]
    title = f"{run['address'] if run else reply['workflow']}/{reply['name']}"
    lines = [style.paint(title, "bold")]
    if state:
        lines[0] += f"  {style.mark(shown(state))} {state['status']}{', stale' * bool(state['stale'])}"
        if state["message"]:
            lines.append(f"  {state['message']}")
    definition = reply["definition"]
    kind = next((kind for kind in ("script", "cell", "notebook") if definition.get(kind)), "command")
    does = " ".join(reply["command"]) if kind == "command" else _what(definition)
    if does:
        lines.append(f"  {kind:<8} {clip(clean(does), 90)}")
    lines.append(f"  folder   {short_path(reply['working_dir'])}")
    if reply["instances"]:
        lines.append(f"  group of {len(reply['instances'])}: {clip(', '.join(reply['instances']), 90)}")
    for kind in ("inputs", "outputs"):
        for port in reply[kind]:
            where = ", ".join(port["source"]) or short_path(port["path"])
            lines.append(f"  {kind[:-1]:<8} {port['name']} ({port['type']})  {where}")
    for seen in reply["attempts"]:
        if not seen["attempt"]:
            continue
        took = duration(style.span(seen["started_at"], seen["ended_at"]))
        cpu = seen["cpu_user"] + seen["cpu_system"]
        lines.append(f"  attempt {seen['attempt']}  {seen['status']} {seen['reason']}  {took}  "
                     f"{cpu:.2f} s CPU, peak {size(seen['max_rss'])}")  # fmt: skip
        lines += [f"    {stream:<7}{short_path(path)}  {size(seen['log_size'].get(stream, 0))}"
                  for stream, path in seen["log"].items()]  # fmt: skip
    return "\n".join(lines)


def plan(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle plan`."""
    total, runs = reply["instances"], reply["runs"]
    what = f"{total} processes in {reply['levels']} levels"
    if runs < total:
        what = f"{runs} of {total} processes run, the results of {total - runs} are taken over"
    head = f"{style.paint(reply['workflow'], 'bold')}  {what}"
    if reply["limit"]:
        head += f", {reply['limit']} at a time"
    times = style.char("×", "x")
    rows = []
    for worker in reply["workers"]:
        name, instances = worker["name"], worker["instances"]
        if instances > 1:
            name += f" {times}{instances}" if worker["runs"] in {0, instances} else f" {worker['runs']} of {instances}"
        mark = style.mark("created" if worker["runs"] else "completed")
        rows.append([f"  {mark} {worker['level'] + 1}", name, worker["action"], clip(clean(worker["why"]), 48),
                     duration(worker["estimate"]), clip(", ".join(worker["upstream"]), 24),
                     clip(clean(worker["command"]), 44)])  # fmt: skip
    lines = [head, style.table(rows, ["    level", "worker", "", "why", "took", "after", "does"]), *_expected(reply)]
    if runs == total and reply["reusable"]:
        lines.append(f"  wattle run {reply['workflow']} --stale  would run {total - reply['reusable']} and take over "
                     f"the results of {reply['reusable']}, which still hold")  # fmt: skip
    return "\n".join([*lines, *(f"  {style.paint('warning', 'warn')}  {text}" for text in reply["warnings"])])


def _expected(reply: Mapping[str, Any]) -> list[str]:
    """How long it may take, as far as earlier runs tell."""
    if not reply["estimate"]:
        return []
    told = f"  about {duration(reply['estimate'])}, of {duration(reply['work'])} of work"
    if reply["critical_path"]:
        told += f"; the longest way is {' > '.join(reply['critical_path'])}, {duration(reply['critical'])}"
    unknown = reply["unknown"]
    return [told + (f"; {unknown} never ran, which is not counted" if unknown else "")]


def outputs(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle get etl/clean`."""
    if not reply["outputs"]:
        return "It declares no outputs."
    rows = []
    for output in reply["outputs"]:
        about = size(output["size"]) if output["exists"] else style.paint("not there", "warn")
        value = clip(str(output["value"]), 40) if output["type"] == "value" and output["exists"] else ""
        rows.append([output["port"], output["type"], about, value, short_path(output["path"])])
    return style.table(rows, ["output", "type", "size", "value", "path"])


def event(reply: Mapping[str, Any], style: Style) -> str:
    """One line of `wattle events`."""
    detail = ", ".join(f"{name} {value}" for name, value in reply["event"].items()
                       if name not in UNTOLD and value not in (None, "", {}))  # fmt: skip
    name = f"{reply['address']}/{reply['worker']}" if reply["worker"] else reply["address"]
    told = style.paint(clean(detail), "dim")
    return f"{reply['seq']:>6}  {style.clock(reply['at'])}  {reply['type']:<18} {name}  {told}".rstrip()


def looks(found: Sequence[Mapping[str, Any]], style: Style) -> str:
    """`wattle doctor`."""
    lines = []
    for look in found:
        mark = style.mark("completed" if look["ok"] else "failed")
        lines.append(f"{mark} {look['name']:<32} {look['detail']}")
        if look["hint"]:
            lines.append(f"    {style.char('→', '->')} {look['hint']}")
    return "\n".join(lines)
