"""Durations and sizes as people write them.

A duration is a number of seconds (`90`, `1.5`), or whole or broken numbers with units, largest first: `90s 10m 2h 1d
1h30m 1.5h 250ms`. A size is a number of bytes, or a number with one unit; units are binary, as in `ulimit` and
Kubernetes' `Mi`: `512M`, `512MiB` and `512MB` are all 512 * 1024 * 1024 bytes.

Laws: a quantity is finite and not negative; `seconds(duration_text(x)) == x` and `size(size_text(n)) == n`.
"""

from __future__ import annotations

import math
import re

DURATION_FORM = "a duration is seconds (90) or like 90s 10m 2h 1d 1h30m"
SIZE_FORM = "a size is bytes (1048576) or like 512M 16G (1M is 1024 * 1024 bytes)"

_NUMBER = re.compile(r"\d{1,18}(\.\d{0,18})?", re.ASCII)
_DURATION = re.compile(
    r"(?:(?P<d>N)\s*d)?\s*(?:(?P<h>N)\s*h)?\s*(?:(?P<m>N)\s*m(?:in)?)?\s*(?:(?P<s>N)\s*s)?\s*(?:(?P<ms>N)\s*ms)?".replace(
        "N", r"\d{1,12}(?:\.\d{1,9})?"
    ),
    re.ASCII,
)
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_LARGEST = 1 << 62


def seconds(value: object) -> float:
    """A duration in seconds. Raises `ValueError` with the end of a sentence when it is none."""
    if isinstance(value, str):
        return _seconds_of_text(value.strip().lower())
    return float(_in_range(value, "duration"))


def _in_range(value: object, noun: str) -> float:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is not a {noun}")
    if not -_LARGEST < value < _LARGEST:  # NaN compares false, and infinity is beyond
        raise ValueError(f"is not a finite {noun}")
    if value < 0:
        raise ValueError("is negative")
    return value


def _seconds_of_text(text: str) -> float:
    if text.startswith("-"):
        raise ValueError("is negative")
    if _NUMBER.fullmatch(text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or match.lastgroup is None:
        raise ValueError("is not a duration")
    total = math.fsum(float(number) * _SECONDS[unit] for unit, number in match.groupdict().items() if number)
    return round(total, 9)


def size(value: object) -> int:
    """A size in bytes. Raises `ValueError` with the end of a sentence when it is none."""
    if isinstance(value, str):
        if value.strip().startswith("-"):
            raise ValueError("is negative")
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError("is not a size")
        number = int(match[1]) if match[1].isdecimal() else float(match[1])
        value = number * _BYTES[match[2].lower()]
    result = _in_range(value, "size")
    if result != int(result):
        raise ValueError("is not a whole number of bytes")
    return int(result)


def duration_text(value: float) -> float | int | str:
    """The shortest way to write a duration: `2h`, `1h30m`, `90s`; a broken number of seconds stays a number."""
    whole = int(value)
    if whole != value:
        return value
    if not whole:
        return 0
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, whole = divmod(whole, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) if len(parts) <= 2 else int(value)


def size_text(value: int) -> int | str:
    """The shortest way to write a size: `16G`, `512M`; one that is no multiple of a unit stays a number."""
    for unit in ("p", "t", "g", "m", "k"):
        if value and not value % _BYTES[unit]:
            return f"{value // _BYTES[unit]}{unit.upper()}"
    return value
