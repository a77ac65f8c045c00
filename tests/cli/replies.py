"""Replies as a coordinator gives them, for tests that render them; and a stream to render to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from wattle.cli.style import Style

NOW = 1_800_000_000.0


class Screen(io.StringIO):
    """A stream that remembers, and is a terminal if it is told so."""

    def __init__(self, *, tty: bool = False, encoding: str = "utf-8") -> None:
        super().__init__()
        self._tty = tty
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._tty


def style(*, tty: bool = False, encoding: str = "utf-8", color: bool = True, **environ: str) -> Style:
    return Style(Screen(tty=tty, encoding=encoding), environ, lambda: NOW, color=color)


def run(**fields: Any) -> dict[str, Any]:
    base = {"address": "etl@1", "workflow": "etl", "number": 1, "status": "running", "phase": "running", "reason": "",
            "cause": "", "created_at": NOW - 9, "started_at": NOW - 9, "completed_at": None, "counts": {}, "origin": "",
            "overhead": 0.019}  # fmt: skip
    return {**base, **fields}


def worker(name: str, status: str = "created", **fields: Any) -> dict[str, Any]:
    started = None if status == "created" else NOW - 5
    ended = NOW - 3 if status in {"completed", "failed"} else None
    base = {"name": name, "group": None, "status": status, "phase": "waiting" if status == "created" else status,
            "reason": "", "message": "", "attempt": 0 if status == "created" else 1, "attempts_allowed": 1, "code": None,
            "signal": None, "pid": None, "started_at": started, "ended_at": ended, "reused_from": "",
            "stale": False}  # fmt: skip
    return {**base, **fields}


def group(name: str, *statuses: str) -> list[dict[str, Any]]:
    return [worker(f"{name}.{place}", status, group=name) for place, status in enumerate(statuses, 1)]


def change(workers: Sequence[dict[str, Any]], *, first: bool = True, **fields: Any) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for state in workers:
        counts[state["status"]] = counts.get(state["status"], 0) + 1
    return {"run": run(**{"counts": counts, **fields}), "workers": list(workers), "seq": 5, "first": first, "limit": 2,
            "run_dir": "", "warnings": []}  # fmt: skip
