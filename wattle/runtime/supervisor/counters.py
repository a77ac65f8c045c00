"""Counters with totals: slots, what a group allows, what the machine has. A launch says what it takes of which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Limits = Mapping[str, Sequence[float]]
"""Counter -> (what this one takes, the total)."""
ROUNDING = 1e-9


class Counters:
    """What is in use."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}

    @staticmethod
    def beyond(limits: Limits) -> str:
        """Why these could never fit, not even alone; empty when they could."""
        for name, (amount, total) in limits.items():
            if amount > total + ROUNDING:
                return f"it asks for {amount:g} of {name}, and there are {total:g}"
        return ""

    def blocked(self, limits: Limits) -> str:
        """The first counter without room for them now; empty when they fit."""
        for name, (amount, total) in limits.items():
            if self._used.get(name, 0.0) + amount > total + ROUNDING:
                return name
        return ""

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
