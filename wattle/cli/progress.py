"""Following a run: a live block on a terminal, plain lines elsewhere. Either way little work, however large the run."""

from __future__ import annotations

import time

from wattle.cli.style import Style, clean, clip, duration, shown, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wattle.sdk.client import Client

FINAL = ("completed", "failed", "cancelled")
MANY = 50
"""Workers beyond which plain lines only tell sums and failures."""
QUIET_SECONDS = 1.0
LOG_SECONDS = 0.5
LOGS_READ = 4
BAR = 10


class Board:
    """What is known of a run: its summary and the states of its workers, in document order."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.units: dict[str, list[str]] = {}
        """A worker's or group's name -> its instances."""
        self.limit = 0
        self.run_dir = ""
        self.warnings: list[str] = []

    def take(self, change: dict[str, Any]) -> list[dict[str, Any]]:
        """Note a step of the watched run; the workers that it changed."""
        self.run = change["run"]
        if change["first"]:
            self.units.clear()
        if change.get("run_dir"):
            self.run_dir, self.limit = change["run_dir"], change["limit"] or self.limit
            self.warnings = change.get("warnings") or []
        for worker in change["workers"]:
            self.workers[worker["name"]] = worker
            if change["first"]:
                self.units.setdefault(worker["group"] or worker["name"], []).append(worker["name"])
        changed: list[dict[str, Any]] = change["workers"]
        return changed

    def header(self, style: Style) -> str:
        """`etl@12  10 workers · 2 at a time · started 14:02:11`."""
        dot = style.char(" · ", " - ")
        count = len(self.workers)
        parts = [f"{count} worker{'s' if count != 1 else ''}"]
        if self.limit:
            parts.append(f"{self.limit} at a time")
        if self.run["started_at"]:
            parts.append(f"started {style.clock(self.run['started_at'])}")
        if self.run.get("origin"):
            parts.append(self.run["origin"])
        return f"{style.paint(self.run['address'], 'bold')}  {dot.join(parts)}"


class Live:
    """The block on a terminal, redrawn in place."""

    def __init__(self, board: Board, style: Style, client: Client) -> None:
        self.board = board
        self.style = style
        self._client = client
        self._drawn = 0
        self._logs: dict[str, str] = {}
        self._logs_at = 0.0
        style.stream.write("\033[?25l")

    def show(self, _changed: list[dict[str, Any]]) -> None:
        """Draw the present."""
        columns, lines = self.style.size()
        self._read_logs()
        self._draw(self.lines(columns, lines - 1))

    def finish(self) -> None:
        """Draw the last state and leave the cursor below it."""
        columns, _ = self.style.size()
        self._logs.clear()
        self._draw(self.lines(columns, max(30, self.style.size()[1] - 1)))
        self.leave()

    def leave(self) -> None:
        """Give the cursor back."""
        self.style.stream.write("\033[?25h")
        self.style.stream.flush()
        self._drawn = 0

    def lines(self, columns: int, room: int) -> list[str]:
        """The block: header, a line per unit, folded when there are more than fit."""
        names = list(self.board.units)
        rows = {name: unit_line(self.board, name, self.style, self._logs) for name in names}
        space = max(3, room - 2)
        if len(names) > space:
            order = {"failed": 0, "running": 1, "retrying": 1, "stopping": 1, "cancelled": 3, "completed": 4}
            ranked = sorted(names, key=lambda name: (order.get(unit_kind(self.board, name), 2), names.index(name)))
            kept = set(ranked[: space - 1])
            folded = [name for name in names if name not in kept]
            shown_rows = [rows[name] for name in names if name in kept]
            shown_rows.append("  " + self.style.paint(f"… and {fold(self.board, folded)}", "dim"))
        else:
            shown_rows = list(rows.values())
        return [clip_colored(line, columns) for line in [self.board.header(self.style), *shown_rows]]

    def _draw(self, lines: list[str]) -> None:
        out = f"\033[{self._drawn}A\r" if self._drawn else ""
        out += "".join(f"{line}\033[K\n" for line in lines) + "\033[J"
        self.style.stream.write(out)
        self.style.stream.flush()
        self._drawn = len(lines)

    def _read_logs(self) -> None:
        now = time.monotonic()
        if now - self._logs_at < LOG_SECONDS:
            return
        self._logs_at = now
        running = [name for name, worker in self.board.workers.items() if worker["phase"] == "running"]
        self._logs = {name: self._last_line(name) for name in running[:LOGS_READ]}

    def _last_line(self, name: str) -> str:
        reply = self._client.ask("read_logs", workflow=self.board.run["address"], worker=name, tail=1, limit=4096)
        texts = [chunk["text"] or "" for chunk in reply["chunks"]]
        lines = [line for text in texts for line in clean(text).split("\n") if line.strip()]
        return lines[-1] if lines else ""


class Plain:
    """Lines for files and pipes."""

    def __init__(self, board: Board, style: Style) -> None:
        self.board = board
        self.style = style
        self._said_at = 0.0
        self._header = False
        self._told: set[tuple[str, str, int]] = set()

    def show(self, changed: list[dict[str, Any]]) -> None:
        """Say what is new: each worker of a small run, sums and failures of a large one."""
        if not self._header and self.board.run["started_at"]:
            self._header = True
            self._say(self.board.header(self.style))
        few = len(self.board.workers) <= MANY
        for worker in changed:
            tell = worker["status"] == "failed" or (few and (worker["status"] in FINAL or worker["phase"] == "retrying"))
            news = (worker["name"], worker["phase"], worker["attempt"])
            if tell and news not in self._told:
                self._told.add(news)
                self._say(f"  {worker_line(worker, self.style)}")
        if few:
            return
        now = time.monotonic()
        if now - self._said_at >= QUIET_SECONDS:
            self._said_at = now
            self._say("  " + counts_text(self.board.run["counts"], len(self.board.workers)))

    def finish(self) -> None:
        """The last sums."""
        if len(self.board.workers) > MANY:
            self._say("  " + counts_text(self.board.run["counts"], len(self.board.workers)))

    def leave(self) -> None:
        """Nothing is held."""

    def _say(self, text: str) -> None:
        print(text, file=self.style.stream, flush=True)


def counts_text(counts: dict[str, int], total: int) -> str:
    """`412 of 1000 completed, 2 running`."""
    done = counts.get("completed", 0)
    rest = [f"{counts[name]} {name}" for name in ("running", "failed", "cancelled") if counts.get(name)]
    return ", ".join([f"{done:,} of {total:,} completed", *rest])


def fold(board: Board, names: list[str]) -> str:
    """`212 more: 200 completed, 12 waiting`."""
    kinds: dict[str, int] = {}
    for name in names:
        kind = unit_kind(board, name)
        kinds[kind] = kinds.get(kind, 0) + 1
    words = {"created": "waiting"}
    return f"{len(names)} more: " + ", ".join(f"{count} {words.get(kind, kind)}" for kind, count in kinds.items())


def unit_kind(board: Board, name: str) -> str:
    """The state of a worker, or of a group: what needs attention first."""
    kinds = {shown(board.workers[member]) for member in board.units[name]}
    for kind in ("failed", "retrying", "stopping", "running"):
        if kind in kinds:
            return kind
    if kinds <= {"reused"}:
        return "reused"
    if kinds <= {"completed", "reused"}:
        return "completed"
    if "cancelled" in kinds:
        return "cancelled"
    return "running" if kinds & {"completed", "reused"} else "created"


def unit_line(board: Board, name: str, style: Style, logs: dict[str, str]) -> str:
    """One worker or group: mark, name, time, bar, and what it says."""
    members = [board.workers[member] for member in board.units[name]]
    longest = min(24, max(width(unit) for unit in board.units))
    grouped = members[0]["group"] is not None
    wide = max((len(f"{len(m)}/{len(m)}") for m in board.units.values() if len(m) > 1 or grouped), default=0)
    done = sum(member["status"] == "completed" for member in members)
    count = f"{done}/{len(members)}" if grouped else ""
    label = clip(name, longest)
    kind = unit_kind(board, name)
    head = f"  {style.mark(kind)} {label}{' ' * (longest - width(label))}"
    if any(board.workers[m[0]]["group"] for m in board.units.values()):
        head += f" {count:>{wide or 5}}"
    return f"{head}  {_time_of(members, style):>9}  {_tail_of(members, style, logs, done)}".rstrip()


def _time_of(members: list[dict[str, Any]], style: Style) -> str:
    starts = [member["started_at"] for member in members if member["started_at"]]
    if not starts or all(member.get("reused_from") for member in members):
        return ""
    ends = [member["ended_at"] for member in members if member["started_at"]]
    return duration(style.span(min(starts), None if None in ends else max(ends)))


def _tail_of(members: list[dict[str, Any]], style: Style, logs: dict[str, str], done: int) -> str:
    said = next((logs[member["name"]] for member in members if logs.get(member["name"])), "")
    if members[0]["group"] is None:
        return said or what_of(members[0], style)
    filled = round(BAR * done / len(members)) if len(members) > BAR else done
    cells = min(BAR, len(members))
    bar = style.paint(style.char("▮", "#") * filled, "completed")
    bar += style.paint(style.char("▯", ".") * (cells - filled), "dim")
    failed = next((member for member in members if member["status"] == "failed"), None)
    if failed is not None:
        return f"{bar}  {failed['name']} {what_of(failed, style)}"
    ended = [member for member in members if member["ended_at"] and member["started_at"]]
    if done == len(members) and ended:
        slow = max(ended, key=lambda member: member["ended_at"] - member["started_at"])
        return f"{bar}  {slow['name']} was longest, {duration(slow['ended_at'] - slow['started_at'])}"
    return f"{bar}  {said}"


def what_of(worker: dict[str, Any], style: Style) -> str:
    """A few words on a worker that is not simply on its way."""
    if worker.get("reused_from"):
        return style.paint(f"taken over from {worker['reused_from']}", "dim")
    if worker["status"] in {"failed", "cancelled"}:
        return style.paint(reason_text(worker), str(worker["status"]))
    if worker["phase"] == "retrying":
        return style.paint(f"{reason_text(worker)}; attempt {worker['attempt'] + 1} of "
                           f"{worker['attempts_allowed']} follows", "warn")  # fmt: skip
    if worker["attempt"] > 1:
        return style.paint(f"attempt {worker['attempt']}", "dim")
    return ""


def reason_text(worker: dict[str, Any]) -> str:
    """`exit 1`, `signal 9`, `timeout`, `an upstream failed`…"""
    reason = worker["reason"]
    texts = {"exit": f"exit {worker['code']}", "signal": f"ended by signal {worker['signal']}",
             "upstream-failed": "an upstream did not complete", "run-failed": "ended because the run failed",
             "not-needed": "not needed"}  # fmt: skip
    return texts.get(reason) or (worker["message"] if reason not in {"stopped", ""} else reason) or reason


def worker_line(worker: dict[str, Any], style: Style) -> str:
    """One ended worker, for plain output."""
    took = duration(style.span(worker["started_at"], worker["ended_at"]))
    return "  ".join(filter(None, [f"{style.mark(shown(worker))} {worker['name']}", took, what_of(worker, style)]))


def clip_colored(line: str, columns: int) -> str:
    """A line that may hold colours, cut to the terminal's width."""
    if width(line) <= columns:
        return line
    out, count, index = "", 0, 0
    while index < len(line):
        if line[index] == "\033":
            end = line.index("m", index) + 1
            out += line[index:end]
            index = end
            continue
        count += width(line[index])
        if count > columns - 1:
            break
        out += line[index]
        index += 1
    return out + "…" + ("\033[0m" if "\033" in out else "")
