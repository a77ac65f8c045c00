"""What is known of a run, as a person looks at it: one unit per worker or group, each with its state in a line.

Laws: a step of a watched run costs what it changed, however large the run; nothing here asks or prints.
"""

from __future__ import annotations

from wattle.cli.style import clip, duration, pad, shown, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wattle.cli.style import Style

BAR = 10
LONGEST_NAME = 28
URGENT = ("failed", "retrying", "stopping", "running")
"""What is shown first when there is no room for all."""
NEXT = 3
"""How many of those that wait are shown when there is no room for all."""
FINAL = ("completed", "failed", "cancelled")
_REASONS = {
    "upstream-failed": "a worker before it did not complete", "run-failed": "ended because the run failed",
    "not-needed": "not needed",
}  # fmt: skip


class Unit:
    """A worker, or a group of instances. `kinds` counts its instances by what their mark shows."""

    __slots__ = ("ended_at", "grouped", "kind", "kinds", "longest", "members", "name", "place", "started_at")

    def __init__(self, name: str, place: int, *, grouped: bool) -> None:
        self.name = name
        self.place = place
        self.grouped = grouped
        self.members: list[str] = []
        self.kinds: dict[str, int] = {}
        self.kind = "created"
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.longest: tuple[float, str] = (-1.0, "")

    @property
    def done(self) -> int:
        """Instances that completed."""
        return self.kinds.get("completed", 0) + self.kinds.get("reused", 0)

    def take(self, before: str | None, worker: Mapping[str, Any]) -> None:
        """Note an instance's new state."""
        kinds, kind = self.kinds, shown(worker)
        if before is not None:
            kinds[before] -= 1
        kinds[kind] = kinds.get(kind, 0) + 1
        start, end = worker["started_at"], worker["ended_at"]
        if start is not None and not worker["reused_from"]:
            self.started_at = start if self.started_at is None else min(start, self.started_at)
            if end is not None:
                self.ended_at = end if self.ended_at is None else max(end, self.ended_at)
                self.longest = max(self.longest, (end - start, worker["name"]))
        self.kind = self._kind()

    def _kind(self) -> str:
        kinds = self.kinds
        for kind in URGENT:
            if kinds.get(kind):
                return kind
        total = len(self.members)
        if kinds.get("reused", 0) == total:
            return "reused"
        if self.done == total:
            return "completed"
        if kinds.get("cancelled"):
            return "cancelled"
        return "running" if self.done else "created"


class Board:
    """A run's summary, the states of its workers and its units, in document order."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self.units: dict[str, Unit] = {}
        self.limit = 0
        self.run_dir = ""
        self.warnings: list[str] = []
        self._kinds: dict[str, dict[str, Unit]] = {}

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> Board:
        """A board of a `RunDetail`."""
        board = cls()
        board.take({**detail, "run": detail, "first": True})
        return board

    def take(self, change: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Note a step of the watched run; returns the workers that it changed."""
        self.run = change["run"]
        if change["first"]:
            self.workers.clear()
            self.units.clear()
            self._kinds.clear()
            for worker in change["workers"]:
                self._enrol(worker)
        self.run_dir = change.get("run_dir") or self.run_dir
        self.limit = change.get("limit") or self.limit
        self.warnings = change.get("warnings") or self.warnings
        changed: list[dict[str, Any]] = change["workers"]
        for worker in changed:
            self._note(worker)
        return changed

    def _enrol(self, worker: Mapping[str, Any]) -> None:
        name = worker["group"] or worker["name"]
        unit = self.units.get(name)
        if unit is None:
            unit = self.units[name] = Unit(name, len(self.units), grouped=worker["group"] is not None)
            self._kinds.setdefault("created", {})[name] = unit
        unit.members.append(worker["name"])

    def _note(self, worker: dict[str, Any]) -> None:
        known = self.workers.get(worker["name"])
        unit = self.units[worker["group"] or worker["name"]]
        kind = unit.kind
        unit.take(None if known is None else shown(known), worker)
        self.workers[worker["name"]] = worker
        if unit.kind != kind:
            del self._kinds[kind][unit.name]
            self._kinds.setdefault(unit.kind, {})[unit.name] = unit

    def running(self) -> list[str]:
        """Instances that run in units that are shown first, in document order per unit."""
        units = [unit for kind in URGENT for unit in self._kinds.get(kind, {}).values()]
        return [name for unit in units[:100] for name in unit.members[:1000]
                if self.workers[name]["phase"] == "running"]  # fmt: skip

    def failed(self) -> list[dict[str, Any]]:
        """The workers that failed."""
        if not self.run["counts"].get("failed"):
            return []
        return [worker for worker in self.workers.values() if worker["status"] == "failed"]

    def visible(self, room: int) -> tuple[list[Unit], bool]:
        """At most `room` units in document order, and whether that is all. When it is not: what failed (in at most
        half of the room), what is at work, and the next few."""
        if len(self.units) <= room:
            return list(self.units.values()), True
        chosen: list[Unit] = []
        free = max(1, room - 1)
        for kind in (*URGENT, "created"):
            share = max(1, free // 2) if kind == "failed" else NEXT if kind == "created" else free
            units = self._kinds.get(kind, {}).values()
            chosen += [unit for unit, _ in zip(units, range(min(share, free - len(chosen))), strict=False)]
        return sorted(chosen, key=lambda unit: unit.place), False

    # ---- text -----------------------------------------------------------------------------------------------------

    def header(self, style: Style) -> str:
        """`etl@12  10 workers · 2 at a time · started 14:02:11`."""
        count, started = len(self.workers), self.run["started_at"]
        parts = [f"{count:,} worker{'' if count == 1 else 's'}", f"{self.limit} at a time" if self.limit else "",
                 f"started {style.clock(started)}" if started else "waiting", self.run["origin"]]  # fmt: skip
        return f"{style.paint(self.run['address'], 'bold')}  {style.dots(parts)}"

    def lines(self, style: Style, room: int, said: Mapping[str, str]) -> list[str]:
        """A line per unit; when there are more than fit, the sums below. `said` has last log lines by instance."""
        units, whole = self.visible(room)
        names = min(LONGEST_NAME, max((width(unit.name) for unit in units), default=0))
        tallies = [f"{unit.done}/{len(unit.members)}" if unit.grouped else "" for unit in units]
        wide = max(map(len, tallies), default=0)
        lines = [self._line(unit, pad(clip(unit.name, names), names), tally.rjust(wide), style, said)
                 for unit, tally in zip(units, tallies, strict=True)]  # fmt: skip
        if not whole:
            total, counts = len(self.workers), self.run["counts"]
            lines.append(f"  {bar(counts.get('completed', 0), total, style)}  {counts_text(counts, total)}")
        return lines

    def _line(self, unit: Unit, name: str, tally: str, style: Style, said: Mapping[str, str]) -> str:
        over = unit.kind in {*FINAL, "reused"}
        took = duration(style.span(unit.started_at, unit.ended_at if over or not unit.kinds.get("running") else None))
        head = f"  {style.mark(unit.kind)} {name}" + (f"  {tally}" if tally else "")
        tail = self._group(unit, style, said) if unit.grouped else self._single(unit, style, said)
        return f"{head}  {took:>8}   {tail}".rstrip()

    def _single(self, unit: Unit, style: Style, said: Mapping[str, str]) -> str:
        return what_of(self.workers[unit.members[0]], style) or said.get(unit.name, "")

    def _group(self, unit: Unit, style: Style, said: Mapping[str, str]) -> str:
        total = len(unit.members)
        text = ""
        if unit.kinds.get("failed"):
            text = style.paint(f"{unit.kinds['failed']:,} failed", "failed")
        elif unit.kind == "completed" and total > 1 and unit.longest[0] >= 0:
            text = f"{unit.longest[1]} was longest, {duration(unit.longest[0])}"
        elif unit.kind in {"retrying", "running"}:
            text = next((f"{name}: {said[name]}" for name in unit.members if said.get(name)), "")
        return f"{bar(unit.done, total, style)}  {text}"


def bar(done: int, total: int, style: Style) -> str:
    """`▮▮▮▯▯▯`, at most ten cells."""
    cells = min(BAR, total)
    filled = done * cells // total if total else 0
    full = style.paint(style.char("▮", "#") * filled, "completed")
    return full + style.paint(style.char("▯", ".") * (cells - filled), "dim")


def what_of(worker: Mapping[str, Any], style: Style) -> str:
    """A few words on a worker that is not simply on its way; empty for one that is."""
    if worker["reused_from"]:
        return style.paint(f"taken over from {worker['reused_from']}", "dim")
    if worker["status"] in {"failed", "cancelled"}:
        return style.paint(reason_text(worker), worker["status"])
    following = f"attempt {worker['attempt'] + 1} of {worker['attempts_allowed']}"
    if worker["phase"] == "retrying":
        return style.paint(f"{reason_text(worker)}; {following} follows", "warn")
    if worker["phase"] == "stopping":
        return style.paint("stopping", "warn")
    return ""


def reason_text(worker: Mapping[str, Any]) -> str:
    """Why it did not complete: `exit 1`, `signal 9`, `timeout`, or a sentence."""
    reason = worker["reason"]
    if reason == "exit" and worker["code"] is not None:
        return f"exit {worker['code']}"
    if reason == "signal" and worker["signal"] is not None:
        return f"signal {worker['signal']}"
    return _REASONS.get(reason) or (worker["message"] if reason not in {"stopped", ""} else "") or reason


def worker_line(worker: Mapping[str, Any], style: Style) -> str:
    """One worker in a line, for plain output."""
    took = duration(style.span(worker["started_at"], worker["ended_at"]))
    if worker["attempt"] > 1 and worker["status"] == "completed":
        took += f"  attempt {worker['attempt']}"
    return "  ".join(filter(None, [f"{style.mark(shown(worker))} {worker['name']}", took, what_of(worker, style)]))


def counts_text(counts: Mapping[str, int], total: int) -> str:
    """`412 of 1,000 completed, 2 running, 586 waiting`."""
    words = {"running": "running", "created": "waiting", "failed": "failed", "cancelled": "cancelled"}
    rest = [f"{counts[name]:,} {word}" for name, word in words.items() if counts.get(name)]
    return ", ".join([f"{counts.get('completed', 0):,} of {total:,} completed", *rest])
