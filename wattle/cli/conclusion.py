"""What is said when a run has ended: how every failed worker failed, what the run cost, where its results lie."""

from __future__ import annotations

import os
import re

from wattle.cli.board import reason_text
from wattle.cli.style import clean, clip, duration
from wattle.core.errors import WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wattle.cli.board import Board
    from wattle.cli.style import Style
    from wattle.sdk.client import Client

FAILURES_SHOWN = 5
RESULTS_SHOWN = 6
WARNINGS_SHOWN = 6
LOG_LINES = 60
LAST_WORDS = 6
_TRACEBACK = ("Traceback (most recent call last)", "  + Exception Group Traceback")
_FRAME = re.compile(r'\s*File "(.+)", line (\d+)(?:, in .*)?')
_LIBRARY = re.compile(r"/lib/python[\d.]*/|/(?:site|dist)-packages/|^<frozen ")


def conclusion(board: Board, client: Client, style: Style) -> list[str]:
    """All lines. Asks for the logs of what failed and for the outputs of what completed."""
    lines: list[str] = []
    address, failed = board.run["address"], board.failed()
    for worker in failed[:FAILURES_SHOWN]:
        lines += ["", *failure_block(address, worker, _log_of(client, address, worker), style)]
    if len(failed) > FAILURES_SHOWN:
        more = f"{len(failed) - FAILURES_SHOWN:,} more failed: wattle status {address}"
        lines += ["", f"{style.char('…', '...')} and {more}"]
    if failed:
        lines.append("")
    lines += [f"  {style.paint('warning', 'warn')}   {clean(text)}" for text in board.warnings[:WARNINGS_SHOWN]]
    lines.append(summary_line(board.run, board.warnings, style))
    if board.run["status"] == "completed":
        lines += _results(board, client)
    return lines


def failure_block(address: str, worker: Mapping[str, Any], log: str, style: Style) -> list[str]:
    """A failed worker: what, when, its last words, and where to go from here."""
    name = f"{address}/{worker['name']}"
    took = duration(style.span(worker["started_at"], worker["ended_at"]))
    allowed = max(worker["attempts_allowed"], worker["attempt"])
    which = f" (attempt {worker['attempt']} of {allowed})" if allowed > 1 else ""
    reason = reason_text(worker)
    head = f"{style.mark('failed')} {style.paint(name, 'bold')}  failed: {style.paint(clean(reason), 'failed')}"
    lines = [head + (f" after {took}" if took else "") + which]
    if worker["message"] and worker["message"] != reason:
        lines.append(f"    {clean(worker['message'])}")
    columns = style.size()[0] - 4
    lines += [f"    {clip(clean(line), columns)}" for line in last_words(log, worker["group"] or worker["name"])]
    again = f"wattle rerun {address} " + ("--failed" if worker["group"] else f"--from {worker['name']}")
    lines.append(f"  {style.paint('log', 'dim')}   wattle logs {name}          {style.paint('again', 'dim')}  {again}")
    return lines


def last_words(log: str, worker: str = "script", most: int = LAST_WORDS) -> list[str]:
    """The end of a log; of a Python traceback the innermost line of the person's own code, and the error."""
    lines = [line.rstrip() for line in log.split("\n") if line.strip()]
    starts = [i for i, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    trace = lines[starts[-1] + 1 :] if starts else _syntax_error(lines)
    if not trace:
        return lines[-most:]
    frames = [(i, found) for i, line in enumerate(trace) if (found := _FRAME.fullmatch(line))]
    end = next((i for i, line in enumerate(trace) if not line.startswith(" ")), len(trace))
    error = trace[end : end + 3]
    own = [frame for frame in frames if frame[0] < end and not _LIBRARY.search(frame[1][1])]
    if not frames or not error:
        return trace[-most:]
    place, found = (own or frames)[-1]
    code = trace[place + 1].strip() if place + 1 < end and not _FRAME.fullmatch(trace[place + 1]) else ""
    file = os.path.basename(found[1])
    where = f"{worker if file.startswith('script.') else file}, line {found[2]}"
    return [f"{where}:  {code}" if code else where, *error]


def _syntax_error(lines: Sequence[str]) -> list[str]:
    """The end of a log that is an error in a program's own text, of which Python shows no traceback."""
    last = next((i for i in range(len(lines) - 1, -1, -1) if _FRAME.fullmatch(lines[i])), len(lines))
    trace = list(lines[last:])
    bare = len(trace) > 1 and trace[-1].partition(":")[0] in {"SyntaxError", "IndentationError", "TabError"}
    return trace if bare and all(line.startswith(" ") for line in trace[:-1]) else []


def summary_line(run: Mapping[str, Any], warnings: Sequence[str], style: Style) -> str:
    """`stdlib@1 completed in 2.1 s · Wattle itself 19 ms · 0 warnings`."""
    took = duration(style.span(run["started_at"], run["completed_at"]))
    head = f"{style.paint(run['address'], 'bold')} {style.paint(run['status'], run['status'])}"
    head += f" in {took}" if took else ""
    if run["status"] == "completed" and run["started_at"] is None:
        head += ": nothing was stale"
    if run["status"] == "failed" and run["cause"]:
        head += f" ({run['cause']} first)" if run["counts"].get("failed", 0) > 1 else f" ({run['cause']})"
    cost = f"Wattle itself {run['overhead'] * 1000:.0f} ms"
    return style.dots([head, cost, f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'}"])


def _log_of(client: Client, address: str, worker: Mapping[str, Any]) -> str:
    """The end of what it said: standard error, else standard output."""
    if not worker["attempt"]:
        return ""
    try:
        reply = client.ask("read_logs", workflow=address, worker=worker["name"], tail=LOG_LINES)
    except WattleError:
        return ""
    said: dict[str, str] = {}
    for chunk in reply["chunks"]:
        said[chunk["stream"]] = said.get(chunk["stream"], "") + (chunk["text"] or "")
    return said.get("stderr") or said.get("stdout", "")


def _results(board: Board, client: Client) -> list[str]:
    """The files that the last workers left: those whose outputs nobody in the run reads."""
    if len(board.units) > 200:
        return []
    lines: list[str] = []
    try:
        graph = client.ask("get_graph", workflow=board.run["address"])
        sources = {edge["source"] for edge in graph["edges"]}
        for name in board.units:
            if name in sources or len(lines) >= RESULTS_SHOWN:
                continue
            for output in client.ask("list_outputs", workflow=board.run["address"], worker=name)["outputs"]:
                if output["exists"] and output["type"] == "file":
                    lines.append(f"  {'' if lines else 'results':<9} {latest_path(output['path'], board.run_dir)}")
    except WattleError:
        return lines
    return lines[:RESULTS_SHOWN]


def latest_path(path: str, run_dir: str) -> str:
    """By the `latest` link, when it points to this run: shorter, and the same next time."""
    folder, number = os.path.split(run_dir)
    if run_dir and path.startswith(run_dir + "/"):
        latest = os.path.join(folder, "latest")
        if os.path.islink(latest) and os.readlink(latest) == number:
            return short_path(latest + path[len(run_dir) :])
    return short_path(path)


def short_path(path: str) -> str:
    """A path from here, when that is shorter."""
    if not path or not os.path.isabs(path):
        return path
    near = os.path.relpath(path)
    return path if near.startswith("..") else near
