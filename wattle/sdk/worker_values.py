"""Values as a worker writes and reads them: JSON in small files, put by rename, and how far the work is.

The progress of a worker is one file, `<run folder>/<worker>/.progress.json`:

    {"attempt": 1, "fraction": 0.4, "text": "epoch 4"}

`fraction` is between 0 and 1, or null when only the text is known; the time of the report is the file's own. A file
of an earlier attempt is out of date: compare `attempt`.

Laws: a reader never sees half a file. What is read back is what was put, or putting it was refused with the place
in it that JSON cannot hold. Reporting progress costs a few files a second whatever the script does, and never fails
a worker for want of a disk.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wattle.core.errors import InvalidRequest
from wattle.sdk.worker_errors import NotJson

VALUE_LIMIT = 1 << 20
"""Bytes of a value as JSON."""
PROGRESS_FILE = ".progress.json"
PROGRESS_SECONDS = 0.1
"""At most one report in so many seconds reaches the disk; the last one always does."""
_TEXT = 200
_DEEPEST = 200
_KEYS = (str, int, float, bool, type(None))
_counter = itertools.count()


def to_json(value: Any, name: str) -> bytes:
    """The value as JSON. Arrays and numbers of NumPy become lists and numbers. `name` is for the error.

    Raises:
        NotJson: the message names the place in the value that JSON cannot hold, as `name['loss'][3]`.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError):
        place, what, hint = _first_flaw(value, name)
        raise NotJson(f"{name} is not JSON: {place} {what}", hint) from None


def _plain(value: Any) -> Any:
    """What NumPy, pandas and PyTorch offer: their own way to plain lists and numbers."""
    convert = getattr(value, "tolist", None)
    if convert is None or isinstance(value, type):
        raise TypeError
    return convert()


Flaw = tuple[str, str, str]


def _first_flaw(value: Any, name: str) -> Flaw:
    try:
        return _flaw(value, name, ()) or (name, "cannot be written", "")
    except RecursionError:
        return name, "is nested too deep", ""


def _flaw(value: Any, place: str, around: tuple[int, ...]) -> Flaw | None:
    """The first thing in a value that JSON cannot hold: where, what, and what to write instead."""
    if value is None or isinstance(value, int):
        return None
    if isinstance(value, str):
        fine = value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
        return None if fine else (place, "holds half a character (a lone surrogate)", "")
    if isinstance(value, float):
        return None if math.isfinite(value) else (place, f"is {value}, which JSON does not know", "put None instead")
    if id(value) in around:
        return place, "holds itself", ""
    if len(around) > _DEEPEST:
        return f"{place[:80]}…", "is nested too deep", ""
    inner = (*around, id(value))
    if isinstance(value, dict):
        return _flaw_of_object(value, place, inner)
    if isinstance(value, list | tuple):
        return next(filter(None, (_flaw(item, f"{place}[{n}]", inner) for n, item in enumerate(value))), None)
    try:
        return _flaw(_plain(value), place, inner)
    except TypeError:
        return (place, f"is of type {type(value).__name__}",
                "put numbers, texts, lists and dicts; a file output holds anything")  # fmt: skip


def _flaw_of_object(value: dict[Any, Any], place: str, around: tuple[int, ...]) -> Flaw | None:
    for key, item in value.items():
        if not isinstance(key, _KEYS) or (isinstance(key, float) and not math.isfinite(key)):
            return place, f"has the key {key!r}", "the keys of an object are texts"
        if found := _flaw(key, place, around) or _flaw(item, f"{place}[{key!r}]", around):
            return found
    return None


def read_value(path: str, name: str) -> Any:
    """What a value output holds: JSON, or else its text, as a shell's `echo` leaves it.

    Raises:
        NotJson: it is larger than 1 MiB, so it is no value.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(VALUE_LIMIT + 1)
    if len(data) > VALUE_LIMIT:
        raise NotJson(f"{name} is larger than 1 MiB, so it is a file and not a value: {path}",
                      f"open(worker.inputs[{name!r}])")  # fmt: skip
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return data.decode(errors="replace").rstrip("\n")


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def put_file(path: str, data: bytes) -> None:
    """Write a file so that it is there whole, or as it was before.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    folder, name = os.path.split(path)
    draft = os.path.join(folder, f".{name}.{os.getpid()}.{next(_counter)}~")
    try:
        with open(draft, "xb") as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


class Progress:
    """The progress file of one attempt. `tell`, when there is one, gets each report that is written."""

    tell: Callable[[bytes], None] | None = None

    def __init__(self, folder: Path | None, attempt: int) -> None:
        self._path = None if folder is None else folder / PROGRESS_FILE
        self._attempt = attempt
        self._ready = False
        self._last = -math.inf
        self._clean()
        atexit.register(self.flush)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._clean)  # whoever held the lock is not in the child

    def _clean(self) -> None:
        self._lock = threading.Lock()
        self._report: bytes | None = None
        self._timer: threading.Timer | None = None

    def report(self, fraction: float | None, text: str) -> None:
        """Say how far the work is.

        Raises:
            InvalidRequest: the fraction is no number, or looks like a percentage.
        """
        told = {"attempt": self._attempt, "fraction": _fraction(fraction), "text": _line(text)}
        data = json.dumps(told, ensure_ascii=False).encode(errors="replace")
        with self._lock:
            self._report = data
            wait = self._last + PROGRESS_SECONDS - time.monotonic()
            if wait > 0:
                if self._timer is None:
                    self._timer = threading.Timer(wait, self.flush)
                    self._timer.daemon = True
                    self._timer.start()
                return
        self.flush()

    def flush(self) -> None:
        """Write what has been reported and is not on the disk yet."""
        with self._lock:
            data, self._report, self._timer = self._report, None, None
            if data is None:
                return
            self._last = time.monotonic()
            with contextlib.suppress(OSError):
                self._write(data)
        if self.tell is not None:
            self.tell(data)

    def _write(self, data: bytes) -> None:
        if self._path is None:
            return
        if not self._ready:
            make_folder(self._path.parent)
            self._ready = True
        put_file(str(self._path), data)


def make_folder(folder: Path) -> None:
    """A folder below `wattle-runs`, which git is told to leave alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for above in folder.parents:
        if above.name == "wattle-runs":
            with contextlib.suppress(FileExistsError), open(above / ".gitignore", "x", encoding="ascii") as file:
                file.write("*\n")
            return


def _fraction(fraction: float | None) -> float | None:
    if fraction is None:
        return None
    try:
        number = float(fraction)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number) or number >= 2:  # a little over 1 is a miscount, not worth a worker
        raise InvalidRequest(f"worker.progress takes a fraction between 0 and 1, not {fraction!r}",
                             "0.4 is 40 percent; None when only the text is known")  # fmt: skip
    return min(max(number, 0.0), 1.0)


def _line(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"
