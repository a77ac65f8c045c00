"""Replies as text for people. One function per kind of reply; none asks for anything or prints."""

from __future__ import annotations

import os

from wattle.cli.progress import reason_text, worker_line
from wattle.cli.style import Style, clip, duration, shown, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wattle.core.errors import DocumentError, WattleError


def error_text(error: WattleError, style: Style) -> str:
    """What was wrong, and what to do next."""
    lines = [f"{style.paint('wattle:', 'failed')} {error.message}"]
    if error.hint:
        lines.append(f"  {style.char('→', '->')} {error.hint}")
    return "\n".join(lines)


def document_error_text(error: DocumentError, style: Style, *, file: str, text: str) -> str:
    """Every problem with its place, the line's text and a caret."""
    source = text.split("\n")
    blocks = []
    for problem in error.problems:
        where = file
        if problem.line:
            where += f":{problem.line}:{problem.column}"
        head = f"{style.paint(where, 'bold')}  {problem.path}: {problem.message}" if problem.path else \
            f"{style.paint(where, 'bold')}  {problem.message}"
        lines = [head]
        if 0 < problem.line <= len(source):
            found = source[problem.line - 1].rstrip()
            start = max(0, problem.column - 70)
            lines.append(f"    {clip(found[start:], 100)}")
            if problem.column:
                lines.append("    " + " " * (problem.column - 1 - start) + style.paint("^", "failed"))
        if problem.hint:
            lines.append(f"    {style.char('→', '->')} {problem.hint}")
        blocks.append("\n".join(lines))
    count = len(error.problems)
    blocks.append(style.paint(f"{count} problem{'s' if count != 1 else ''}; nothing was saved or started.", "failed"))
    return "\n".join(blocks)


def failure_block(address: str, worker: Mapping[str, Any], log: str, style: Style) -> str:
    """A failed worker: what, when, its last words, and where to go from here."""
    name = f"{address}/{worker['name']}"
    took = duration(style.span(worker["started_at"], worker["ended_at"]))
    allowed = max(worker["attempts_allowed"], worker["attempt"])
    which = f" (attempt {worker['attempt']} of {allowed})" if allowed > 1 else ""
    head = f"{style.mark('failed')} {style.paint(name, 'bold')}  failed: {reason_text(dict(worker))}"
    lines = [head + (f" after {took}" if took else "") + which]
    if worker["message"] and worker["message"] not in lines[0]:
        lines.append(f"    {worker['message']}")
    lines += [f"    {line}" for line in last_words(log)]
    lines.append(f"  log   wattle logs {name}          again  wattle rerun {address} --from {worker['name']}")
    return "\n".join(lines)


def last_words(log: str, most: int = 6) -> list[str]:
    """The end of a log; of a Python traceback the place in the user's code and the error."""
    lines = [line.rstrip() for line in log.split("\n") if line.strip()]
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not starts:
        return lines[-most:]
    trace = lines[starts[-1] + 1 :]
    places = [i for i, line in enumerate(trace) if line.lstrip().startswith('File "')]
    own = [i for i in places if "/lib/python" not in trace[i] and "site-packages" not in trace[i]] or places
    errors = [line for line in trace if not line.startswith(" ")]
    if not own:
        return trace[-most:]
    place = trace[own[-1]].strip()
    code = trace[own[-1] + 1].strip() if own[-1] + 1 < len(trace) and own[-1] + 1 not in places else ""
    return [f"{place}:  {code}" if code else place, *errors[-2:]]


def summary_line(run: Mapping[str, Any], warnings: Sequence[str], style: Style) -> str:
    """`stdlib@1 completed in 2.1 s · Wattle itself 19 ms · 0 warnings`."""
    took = duration(style.span(run["started_at"], run["completed_at"])) or "0.0 s"
    status = style.paint(run["status"], run["status"])
    parts = [f"{style.paint(run['address'], 'bold')} {status} in {took}"]
    if run["status"] == "failed" and run["cause"]:
        parts[0] += f" ({run['cause']} first)"
    parts.append(f"Wattle itself {run['overhead'] * 1000:.0f} ms")
    parts.append(f"{len(warnings)} warning{'s' if len(warnings) != 1 else ''}")
    return style.char(" · ", " - ").join(parts)


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
                     clip(flow["description"] or short_path(flow["source"]), 50)])  # fmt: skip
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


def run_detail(reply: Mapping[str, Any], style: Style, *, most: int = 200) -> str:
    """`wattle status etl`."""
    dot = style.char(" · ", " - ")
    parts = [f"{len(reply['workers'])} workers", style.paint(reply["status"], reply["status"])]
    if reply["started_at"]:
        parts.append(f"started {style.clock(reply['started_at'])}")
    took = duration(style.span(reply["started_at"], reply["completed_at"]))
    if took:
        parts.append(took)
    lines = [f"{style.paint(reply['address'], 'bold')}  {dot.join(parts)}"]
    workers = reply["workers"]
    if len(workers) > most:
        rank = {"failed": 0, "running": 1}
        chosen = sorted(range(len(workers)), key=lambda i: (rank.get(workers[i]["status"], 2), i))[:most]
        workers = [reply["workers"][i] for i in sorted(chosen)]
    lines += [f"  {worker_line(worker, style)}" for worker in workers]
    if len(workers) < len(reply["workers"]):
        lines.append(f"  … and {len(reply['workers']) - len(workers)} more: wattle status {reply['address']} --json")
    lines += [f"  {style.paint('warning', 'warn')}  {text}" for text in reply["warnings"]]
    return "\n".join(lines)


def workflow_detail(reply: Mapping[str, Any], style: Style) -> str:
    """`wattle show etl`."""
    run = reply["run"]
    lines = [f"{style.paint(reply['name'], 'bold')}  {reply['workers']} workers, revision {reply['revision']}"]
    if reply["description"]:
        lines.append(f"  {reply['description']}")
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
    text = worker.get("script") or worker.get("notebook") or ""
    return clip(text.strip().split("\n")[0], 60)


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
        lines[0] += f"  {style.mark(shown(state))} {state['status']}"
        if state["message"]:
            lines.append(f"  {state['message']}")
    if reply["command"]:
        lines.append(f"  command  {clip(' '.join(reply['command']), 90)}")
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
    head = f"{style.paint(reply['workflow'], 'bold')}  {reply['instances']} processes in {reply['levels']} levels"
    if reply["limit"]:
        head += f", {reply['limit']} at a time"
    if reply["estimate"]:
        head += f", about {duration(reply['estimate'])} along {' > '.join(reply['critical_path'])}"
    rows = [[f"  {worker['level'] + 1}", worker["name"] + (f" ×{worker['instances']}" if worker["instances"] > 1 else ""),
             duration(worker["estimate"]), clip(", ".join(worker["upstream"]), 30), clip(worker["command"], 60)]
            for worker in reply["workers"]]  # fmt: skip
    lines = [head, style.table(rows, ["  level", "worker", "took", "after", "does"])]
    return "\n".join([*lines, *(f"  {style.paint('warning', 'warn')}  {text}" for text in reply["warnings"])])


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
                       if name not in {"worker", "nonce", "boot", "pid_ns", "ticks"} and value not in (None, "", {}))  # fmt: skip
    name = f"{reply['address']}/{reply['worker']}" if reply["worker"] else reply["address"]
    return f"{reply['seq']:>6}  {style.clock(reply['at'])}  {reply['type']:<18} {name}  {style.paint(detail, 'dim')}".rstrip()


def looks(found: Sequence[Mapping[str, Any]], style: Style) -> str:
    """`wattle doctor`."""
    lines = []
    for look in found:
        mark = style.mark("completed" if look["ok"] else "failed")
        lines.append(f"{mark} {look['name']:<32} {look['detail']}")
        if look["hint"]:
            lines.append(f"    {style.char('→', '->')} {look['hint']}")
    return "\n".join(lines)


def short_path(path: str) -> str:
    """A path from here, when that is shorter."""
    if not path or not os.path.isabs(path):
        return path
    near = os.path.relpath(path)
    return near if not near.startswith("..") else path
