"""Where a saved variable lies: the place that Wattle picks, and one of a few suffixes that tell its type.

Whoever declares an output of type `object` is given a *stem*, a path without a suffix, and leaves one file there:
`table.parquet`, `fit.npy`, `summary.json`. Everybody who reads it is given that file.

Laws: pure. Which types each suffix stands for is for `runtime/cell_values.py`; should several files lie there, the
newest is meant.
"""

from __future__ import annotations

SUFFIXES = (".parquet", ".feather", ".npy", ".json", ".txt", ".bin")


def candidates(stem: str) -> tuple[str, ...]:
    """The files of which one is the variable."""
    return tuple([stem + suffix for suffix in SUFFIXES])
