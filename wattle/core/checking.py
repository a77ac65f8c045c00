"""Readers of single values: each takes a plain value and gives it back checked, or reports and gives None.

Laws: a reader never raises and never gives up early; of a mapping it gives back what is sound. It is not called with
None, because null means "as if the key were not there". The usual case, a short text, costs a few comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from wattle.core.findings import Findings, Path, describe, shorten
from wattle.core.names import Flaw, fold, name_flaw, port_flaw
from wattle.core.quantities import DURATION_FORM, SIZE_FORM, seconds, size
from wattle.core.reading import DEPTH_LIMIT, too_deep

Reader = Callable[[Findings, Path, Any], Any]

TEXT_LIMIT = 64 << 10
SCRIPT_LIMIT = 1 << 20
ARGUMENT_LIMIT = 128 << 10
ARGUMENTS_LIMIT = 1_024
ENV_LIMIT = 256
VALUES_LIMIT = 1_000_000
_SURELY_SHORT = 16_000  # characters that fit 64 kB in any script
_INT64 = 1 << 63


def _is_plain(value: str) -> bool:
    """Short, and without anything that would have to be looked at."""
    return len(value) <= _SURELY_SHORT and value.isprintable()


def text(found: Findings, path: Path, value: Any, limit: int = TEXT_LIMIT) -> str | None:
    """Text that can be kept, sent and given to a process: no NUL, sound Unicode, at most `limit` bytes."""
    if type(value) is str and _is_plain(value):
        return value
    if not isinstance(value, str):
        number_like = isinstance(value, int | float) and not isinstance(value, bool)
        hint = f'put it in quotes: "{value}"' if number_like and _sane(value) else ""
        found.add(path, f"expected a text, found {describe(value)}", hint)
        return None
    try:
        length = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        found.add(path, "the text holds half of a surrogate pair, which is no character", "write it as UTF-8 text")
        return None
    if "\0" in value:
        found.add(path, "the text holds a NUL character", "remove it: no program can be given one")
        return None
    if length > limit:
        found.add(path, f"the text has {length:,} bytes; at most {limit:,} are allowed", "keep it in a file")
        return None
    return str(value)


def filled_text(found: Findings, path: Path, value: Any) -> str | None:
    """Text that is not empty."""
    if isinstance(value, str) and not value.strip():
        found.add(path, f"expected a text, found {'only spaces' if value else describe(value)}", "leave the key out")
        return None
    return text(found, path, value)


def script_text(found: Findings, path: Path, value: Any) -> str | None:
    """A script: text of at most 1 MiB."""
    if isinstance(value, str) and not value.strip():
        found.add(path, "the script is empty", "write what is to be run")
        return None
    return text(found, path, value, SCRIPT_LIMIT)


def typed_text(found: Findings, path: Path, container: Any, value: Any, limit: int = TEXT_LIMIT) -> str | None:
    """Text, or a number or boolean as it was written."""
    if isinstance(value, str):
        return text(found, path, value, limit)
    if (typed := found.originals.get((id(container), path[-1]))) is not None:
        return typed
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if _sane(value):
            return repr(float(value)) if isinstance(value, float) else str(int(value))
        found.add(path, f"{describe(value)} is too large", "put it in quotes to have it as a text")
        return None
    found.add(path, f"expected a text, a number or a boolean, found {describe(value)}")
    return None


def _sane(value: float) -> bool:
    return -_INT64 <= value < _INT64 if isinstance(value, int) else math.isfinite(value)


def boolean(found: Findings, path: Path, value: Any) -> bool | None:
    """True or false, and nothing that some language takes for it."""
    if isinstance(value, bool):
        return value
    found.add(path, f"expected true or false, found {describe(value)}")
    return None


def whole(least: int) -> Reader:
    """A reader of whole numbers not below `least`."""

    def read(found: Findings, path: Path, value: Any) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            found.add(path, f"expected a whole number, found {describe(value)}")
        elif not least <= value < _INT64:
            found.add(path, f"expected a whole number from {least} on, found {describe(value)}")
        else:
            return int(value)
        return None

    return read


def number(found: Findings, path: Path, value: Any, least: float, *, above: bool = False) -> float | None:
    """A finite number not below (or above) `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        found.add(path, f"expected a number, found {describe(value)}")
    elif not _sane(value) or value < least or (above and value == least):
        found.add(path, f"expected a number {'above' if above else 'from'} {least:g}{'' if above else ' on'}, "
                        f"found {describe(value)}")  # fmt: skip
    else:
        return float(value)
    return None


def duration(found: Findings, path: Path, value: Any) -> float | None:
    """Seconds."""
    try:
        return seconds(value)
    except ValueError as error:
        found.add(path, f"{describe(value)} {error}", DURATION_FORM)
        return None


def timeout(found: Findings, path: Path, value: Any) -> float | None:
    """Seconds, more than none."""
    result = duration(found, path, value)
    if result == 0:
        found.add(path, "a time of 0 would end it at once", "leave it out for no limit")
        return None
    return result


def bytes_size(found: Findings, path: Path, value: Any) -> int | None:
    """Bytes, more than none."""
    try:
        result = size(value)
    except ValueError as error:
        found.add(path, f"{describe(value)} {error}", SIZE_FORM)
        return None
    if not result:
        found.add(path, "a size of 0 leaves room for nothing", "leave it out for no limit")
        return None
    return result


def choice(*options: str, also: Mapping[str, str] | None = None) -> Reader:
    """A reader of one of these words; `also` are further spellings."""
    spellings = {**{option: option for option in options}, **(also or {})}

    def read(found: Findings, path: Path, value: Any) -> str | None:
        if isinstance(value, str) and value in spellings:
            return spellings[value]
        near = found.suggester.nearest(value, spellings) if isinstance(value, str) else None
        hint = f"did you mean {near!r}?" if near else ""
        found.add(path, f"expected one of {', '.join(options)}; found {describe(value)}", hint)
        return None

    return read


def name(found: Findings, path: Path, value: Any) -> str | None:
    """A name by the rule of `core/names.py`."""
    result = text(found, path, value)
    if result is None:
        return None
    if flaw := name_flaw(result):
        found.add(path, f"the name {shorten(result)!r} {flaw.message}", flaw.hint)
        return None
    return result


def identifiers(
    found: Findings, path: Path, keys: Collection[Any], noun: str, flaw_of: Callable[[str], Flaw | None] = port_flaw
) -> list[str]:
    """The sound ones among the keys of a mapping; the others, and those that differ only in case, are reported."""
    sound: dict[str, str] = {}
    for key in keys:
        if type(key) is not str:
            found.add((*path, describe(key)), f"the {noun} is {describe(key)}, not a text", at_key=True)
        elif flaw := flaw_of(key):
            found.add((*path, key), f"the {noun} {shorten(key)!r} {flaw.message}", flaw.hint, at_key=True)
        elif (other := sound.setdefault(fold(key), key)) is not key:
            found.add((*path, key), f"the {noun} {key!r} differs from {other!r} only in case", "rename one",
                      at_key=True)  # fmt: skip
    return list(sound.values())


def mapping(found: Findings, path: Path, value: Any, noun: str = "a mapping") -> Mapping[Any, Any] | None:
    """The value when it is a mapping; `noun` says what was expected."""
    if isinstance(value, Mapping):
        return value
    found.add(path, f"expected {noun}, found {describe(value)}")
    return None


def texts(found: Findings, path: Path, value: Any, read: Reader = filled_text) -> tuple[str, ...] | None:
    """A list of texts; one text alone is a list of one."""
    if isinstance(value, str):
        single = filled_text(found, path, value)
        return None if single is None else (single,)
    if not isinstance(value, list | tuple):
        found.add(path, f"expected a list of texts, found {describe(value)}")
        return None
    before = found.count
    results = []
    for index, entry in enumerate(value):
        if entry is None:
            _null(found, (*path, index))
        else:
            results.append(read(found, (*path, index), entry))
    return None if found.count > before else tuple(results)


def lines(found: Findings, path: Path, value: Any) -> str | None:
    """A text of lines, or a list of them."""
    if isinstance(value, str):
        return text(found, path, value, SCRIPT_LIMIT)
    entries = texts(found, path, value, text)
    return None if entries is None else "\n".join(entries)


def word_set(found: Findings, path: Path, value: Any) -> tuple[str, ...] | None:
    """A list of texts in which repeating one changes nothing."""
    entries = texts(found, path, value)
    return None if entries is None else tuple(dict.fromkeys(entries))


def arguments(found: Findings, path: Path, value: Any) -> tuple[str, ...] | None:
    """A list of arguments: texts, numbers and booleans as they were written."""
    if not isinstance(value, list | tuple):
        hint = f"write a list: {value.split()[:4]}" if isinstance(value, str) and len(value) <= TEXT_LIMIT else ""
        found.add(path, f"expected a list of arguments, found {describe(value)}", hint)
        return None
    if len(value) > ARGUMENTS_LIMIT:
        found.add(path, f"{len(value):,} arguments; at most {ARGUMENTS_LIMIT:,} are allowed", "put them into a file")
        return None
    before = found.count
    results: list[Any] = []
    for index, entry in enumerate(value):
        if type(entry) is str and _is_plain(entry):
            results.append(entry)
        elif entry is None:
            _null(found, (*path, index))
        else:
            results.append(typed_text(found, (*path, index), value, entry, ARGUMENT_LIMIT))
    return None if found.count > before else tuple(results)


def _null(found: Findings, path: Path) -> None:
    found.add(path, "expected a text, found nothing (null)", 'write "" for an empty one')


def env_vars(found: Findings, path: Path, value: Any) -> dict[str, str] | None:
    """Environment variables: names without `=` and NUL, values as texts."""
    if mapping(found, path, value, "a mapping of variables") is None:
        return None
    if len(value) > ENV_LIMIT:
        found.add(path, f"{len(value):,} variables; at most {ENV_LIMIT} are allowed", "put them into a file")
        return None
    result: dict[str, str] = {}
    for key, entry in value.items():
        if type(key) is str and key.isidentifier() and type(entry) is str and _is_plain(key) and _is_plain(entry):
            result[key] = entry
            continue
        here = (*path, key if isinstance(key, str) else describe(key))
        if not isinstance(key, str) or not key or "=" in key or "\0" in key:
            what = f"{key!r}" if isinstance(key, str) else describe(key)
            found.add(here, f"{shorten(what)} cannot be the name of a variable",
                      "a name is not empty and holds no '=' and no NUL", at_key=True)  # fmt: skip
        elif text(found, here, key) is None:
            continue
        elif entry is None:
            found.add(here, "the variable has no value (null)", 'write "" for an empty one, or remove it')
        elif (written := typed_text(found, here, value, entry)) is not None:
            result[key] = written
    return result


def plain(found: Findings, path: Path, value: Any) -> Any:
    """A copy of a value made of JSON's types only; null stays None. Reports anything else."""
    found.values += 1
    if found.values == VALUES_LIMIT:
        found.add(path, f"the document stands for more than {VALUES_LIMIT:,} values", "keep data in files")
    if value is None or found.values >= VALUES_LIMIT:
        return None
    if isinstance(value, str):
        return text(found, path, value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if _sane(value):
            return float(value) if isinstance(value, float) else int(value)
        found.add(path, f"{describe(value)} is beyond what JSON numbers can hold here", "put it in quotes")
        return None
    if len(path) > DEPTH_LIMIT:
        found.add(path, *too_deep())
        return None
    if isinstance(value, list | tuple):
        return [plain(found, (*path, index), entry) for index, entry in enumerate(value)]
    if isinstance(value, Mapping):
        return _plain_mapping(found, path, value)
    found.add(path, f"expected a value of JSON, found {describe(value)}")
    return None


def _plain_mapping(found: Findings, path: Path, value: Mapping[Any, Any]) -> dict[str, Any]:
    result = {}
    for key, entry in value.items():
        if not isinstance(key, str):
            found.add((*path, describe(key)), f"a key is {describe(key)}, not a text", at_key=True)
        elif text(found, (*path, key), key) is not None:
            result[str(key)] = plain(found, (*path, key), entry)
    return result
