"""Counters with totals: slots, what a group allows, what the machine has. A launch says what it takes of which."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Limits = Mapping[str, Sequence[float]]
"""Counter -> (what this one takes, the total)."""
ROUNDING = 1e-9


class Counters:
    """What is in use."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}

    @staticmethod
    def beyond(launch: Mapping[str, Any]) -> str:
        """Why it could never start, not even alone; empty when it could."""
        for name, (amount, total) in (launch.get("room") or launch.get("limits", {})).items():
            if amount > total + ROUNDING:
                return f"it asks for {amount:g} of {name}, and there are {total:g}"
        return ""

    def blocked(self, limits: Limits) -> str:
        """The first counter without room for them now; empty when they fit."""
        for name, (amount, total) in limits.items():
            if self._used.get(name, 0.0) + amount > total + ROUNDING:
                return name
        return ""

    def fitting(self, queue: deque[T], launch: Callable[[T], Mapping[str, Any]]) -> list[T]:
        """Take out of the queue what fits now, in its order. Who waits for a counter is not overtaken there: large
        shares come to their turn, and gangs stay together: their first asks for room for all of them."""
        fit: list[T] = []
        kept: list[T] = []
        full: set[str] = set()
        while queue and "slots" not in full:
            one = queue.popleft()
            asked = launch(one)
            limits = asked.get("limits", {})
            blocked = (next(filter(full.__contains__, limits), "") if full else "") or self.blocked(
                asked.get("room") or limits)  # fmt: skip
            if blocked:
                kept.append(one)
                full.add(blocked)
            else:
                self.take(limits)
                fit.append(one)
        queue.extendleft(reversed(kept))
        return fit

    def take(self, limits: Limits) -> None:
        """These are in use now."""
        for name, (amount, _) in limits.items():
            self._used[name] = self._used.get(name, 0.0) + amount

    def give(self, limits: Limits) -> None:
        """These are free again."""
        for name, (amount, _) in limits.items():
            used = self._used.get(name, 0.0) - amount
            if used > ROUNDING:
                self._used[name] = used
            else:
                self._used.pop(name, None)
