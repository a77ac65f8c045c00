"""Did you mean …? Names near a misspelt one, without letting a hostile document buy minutes of comparing.

`Suggester` has a budget: once it is spent there are no more suggestions, and nothing else changes.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

_BUDGET = 100_000
_LISTED = 8
_LONGEST = 100


class Suggester:
    """Finds near names until its budget of comparisons is spent."""

    def __init__(self, budget: int = _BUDGET) -> None:
        self.budget = budget

    def nearest(self, word: str, options: Collection[str]) -> str | None:
        """The option most like the word, ignoring case; None when none is like it."""
        if len(word) > _LONGEST or self.budget <= 0:
            return None
        self.budget -= len(options) + 1
        lower = word.lower()
        slack = max(2, len(word) // 2)
        near = {option.lower(): option for option in options if abs(len(option) - len(word)) <= slack}
        if lower in near:
            return near[lower]
        found = difflib.get_close_matches(lower, near, n=1, cutoff=0.6)
        return near[found[0]] if found else None

    def hint(self, word: str, options: Collection[str], noun: str) -> str:
        """`did you mean 'x'?`, or what there is to choose from (`noun` is a plural), or nothing."""
        if near := self.nearest(word, options):
            return f"did you mean {near!r}?"
        if not options:
            return f"there are no {noun}"
        if len(options) <= _LISTED:
            return f"{noun}: {', '.join(sorted(options))}"
        return ""
