"""What a worker left, or what was put there for it: where the file of an output lies, and the small JSON of a value."""

from __future__ import annotations

import contextlib
import itertools
import json
import os

import msgspec

from wattle.core.errors import InvalidRequest, StorageError
from wattle.core.models import Instance
from wattle.core.objects import candidates
from wattle.core.places import Places
from wattle.core.records import OutputRef

VALUE_LIMIT = 1 << 20
"""Bytes of a value output."""
_counter = itertools.count()


def object_file(stem: str) -> str | None:
    """The file of a saved variable; the newest, should several lie there; None when there is none."""
    newest, found = -1, None
    for path in candidates(stem):
        try:
            changed = os.stat(path).st_mtime_ns
        except OSError:
            continue
        if changed > newest:
            newest, found = changed, path
    return found


def output_file(places: Places, instance: Instance, port: str) -> str:
    """The file of an output; of an object that is not there, its stem. Raises as `Places.output`."""
    path = places.output(instance, port)
    kind = places.definitions[instance.worker].outputs[port].type
    return (object_file(path) or path) if kind == "object" else path


def left_there(found: OutputRef) -> OutputRef:
    """An output as it lies on the disk: of an object its file, of a value its JSON too. Raises WattleError, OSError."""
    if found.type == "object" and found.path:
        return OutputRef(found.type, object_file(found.path) or "")
    if found.type == "value" and found.path:
        return OutputRef(found.type, found.path, read_value(found.path))
    return found


def read_value(path: str) -> object:
    """A value output as its worker left it: JSON, or else its text. Raises WattleError."""
    with open(path, "rb") as file:
        data = file.read(VALUE_LIMIT + 1)
    if len(data) > VALUE_LIMIT:
        raise InvalidRequest(f"the value in {path} is larger than 1 MiB", "make it an output of type file")
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return data.decode(errors="replace").rstrip("\n")


def encoded(value: object, port: str) -> bytes:
    """A value as the JSON of its file, just as a worker's own `put` writes it. Raises InvalidRequest."""
    try:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{port} cannot be written as JSON: {error}", "put numbers, texts, lists and objects"
                             ) from None  # fmt: skip
    if len(data) > VALUE_LIMIT:
        raise InvalidRequest(f"{port} is {len(data) / VALUE_LIMIT:.1f} MiB of JSON; a value has at most 1 MiB.",
                             "make it an output of type file", code="too-large")  # fmt: skip
    return data


def write_value(path: str, data: bytes) -> None:
    """Put a value's file there: whole, or as it was before. Raises StorageError."""
    folder, name = os.path.split(path)
    draft = os.path.join(folder, f".{name}.{os.getpid()}.{next(_counter)}~")
    try:
        with open(draft, "xb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise StorageError(f"The value cannot be written: {path}: {error.strerror}.", "is its folder there, and room?"
                           ) from None  # fmt: skip


def write_progress(runs: str, path: str, data: bytes) -> None:
    """Put a progress file there; its folder is made, and `runs` above it is told to git. Raises StorageError."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with contextlib.suppress(FileExistsError), open(f"{runs}/.gitignore", "x", encoding="ascii") as file:
            file.write("*\n")
    except OSError as error:
        raise StorageError(f"The progress cannot be written: {path}: {error.strerror}.", "is there room?") from None
    write_value(path, data)
