"""Variables as files: saved by type and loaded as what they were. The suffix tells the type.

    .parquet  tables of pandas, pyarrow and polars, and series of pandas     .npy   arrays of NumPy
    .feather  tables that Parquet cannot hold                                .json  numbers, lists, dicts, None
    .txt      text                                                           .bin   bytes

Laws: of the standard library alone, and cheap to import: a cell runs under an interpreter that may know no Wattle, have
no library and be as old as Python 3.8; what is not needed is not imported. Never pickle: a file that somebody else may
have written must not be able to run code. A reader never sees half a file. What comes back is what was saved, but for
tuples, which come back as lists, NumPy's numbers, which come back as Python's, and columns of Python's own objects, of
which Arrow makes what it can; anything else that would change is refused, with the line that mends it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

SUFFIXES = (".parquet", ".feather", ".npy", ".json", ".txt", ".bin")
"""Those of `core/objects.py`; a test compares the two."""
VALUE_LIMIT = 1 << 20
"""Bytes of a value."""
_SCALARS = (bool, int, float, str)


class CannotKeep(Exception):
    """A variable that cannot be saved: why, and the line that mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


class CannotLoad(CannotKeep):
    """A file that is no saved variable, or that needs a library which is not there."""


# --- saving -------------------------------------------------------------------------------------------------------


def save(value: Any, stem: str, name: str | None = None) -> str:
    """Save a variable beside its stem, by rename; what an earlier save left there goes. The path of the file.

    Raises:
        CannotKeep: it is of no type that can be kept.
        OSError: the disk is full, or the folder cannot be written.
    """
    name = os.path.basename(stem) if name is None else name
    suffix, write = _writer(value, name)
    try:
        _put(stem + suffix, write)
    except _Unfit as unfit:
        suffix = ".feather"
        _put(stem + suffix, unfit.instead)
    for other in SUFFIXES:
        if other != suffix and os.path.exists(stem + other):
            os.unlink(stem + other)
    return stem + suffix


def keep(ports: Iterable[tuple[str, str, str]], variables: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Save every variable that a port says: (`save` or `put`, name, where). What could not be kept, each with the line
    that mends it; all others are saved."""
    troubles = []
    for kind, name, path in ports:
        if name not in variables:
            if not any(os.path.exists(path + suffix) for suffix in ("", *SUFFIXES)):
                troubles.append((f"the output {name} was never assigned", _meant(name, variables)))
            continue
        try:
            if kind == "save":
                save(variables[name], path, name)
            else:
                save_value(variables[name], path, name)
        except CannotKeep as error:
            troubles.append((f"the output {error.message}", error.hint))
        except Exception as error:  # noqa: BLE001  a full disk, or a library that cannot write what it promised
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            troubles.append((f"the output {name} could not be written to {path}: {said}", ""))
    return troubles


def keep_all(ports: Iterable[tuple[str, str, str]], variables: Mapping[str, Any]) -> None:
    """As `keep`. Raises CannotKeep for all that could not be kept."""
    troubles = keep(ports, variables)
    if troubles:
        raise CannotKeep("; ".join(what for what, _ in troubles), "\n".join(hint for _, hint in troubles if hint))


def _meant(name: str, variables: Mapping[str, Any]) -> str:
    import difflib

    own = [other for other in variables if not other.startswith("_")]
    near = difflib.get_close_matches(name, own, 1)
    return f"{name} = {near[0]}" if near else f"write {name} = … in the cell, or take {name} out of its outputs"


def save_value(value: Any, path: str, name: str) -> None:
    """Save a value: small JSON that every program can read. Raises as `save`, also for one that is too large."""
    data = _json(value, name, strict=True)
    if len(data) > VALUE_LIMIT:
        raise CannotKeep(f"{name} is {len(data) / VALUE_LIMIT:.1f} MiB of JSON; a value has at most 1 MiB",
                         f"declare it as an object: outputs: {{{name}: {{type: object}}}}")  # fmt: skip
    _put(path, _bytes(data))


def _put(path: str, write: Callable[[str], object]) -> None:
    folder, file = os.path.split(path)
    draft = os.path.join(folder, f".{file}.{os.getpid()}~")
    try:
        write(draft)
        os.replace(draft, path)
    except BaseException:
        if os.path.exists(draft):
            os.unlink(draft)
        raise


def _bytes(data: bytes | bytearray | memoryview) -> Callable[[str], object]:
    def write(path: str) -> None:
        with open(path, "wb") as file:
            file.write(data)

    return write


def _writer(value: Any, name: str) -> tuple[str, Callable[[str], object]]:
    """The suffix of its type, and what writes it. Raises CannotKeep."""
    kind = type(value)
    if kind is str:
        try:
            return ".txt", _bytes(value.encode())
        except UnicodeEncodeError:
            raise CannotKeep(f"{name} holds half a character (a lone surrogate)",
                             f'{name} = {name}.encode("utf-8", "surrogateescape")') from None  # fmt: skip
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ".bin", _bytes(value)
    library = kind.__module__.partition(".")[0]
    if library == "pandas":
        return ".parquet", _pandas(value, name)
    if library == "pyarrow":
        return ".parquet", _arrow(value, name)
    if library == "polars":
        return ".parquet", _polars(value, name)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)) and not _is_number(value):
        return ".npy", _array(value, name, numpy)
    return ".json", _bytes(_json(value, name, strict=False))


# --- tables -------------------------------------------------------------------------------------------------------

_PANDAS, _SERIES, _ARROW = b"wattle:pandas", b"wattle:series:", b"wattle:arrow"
"""What a table was, in the metadata of its file."""


class _Unfit(Exception):
    """Parquet cannot hold this table; `instead` writes it as Feather."""

    def __init__(self, instead: Callable[[str], object]) -> None:
        super().__init__()
        self.instead = instead


def _pandas(value: Any, name: str) -> Callable[[str], object]:
    import json

    pandas = sys.modules["pandas"]
    arrow = _library("pyarrow", f"{name} is a table, and what keeps tables", CannotKeep)
    if type(value) is pandas.Series:
        label = list(value.name) if isinstance(value.name, tuple) else value.name
        marker = _SERIES + json.dumps(label, default=str).encode()
        frame = value.to_frame(name="value")
    elif type(value) is pandas.DataFrame:
        marker, frame = _PANDAS, value
    else:
        raise _no_way(value, name)
    if frame.columns.nlevels == 1 and frame.columns.inferred_type.startswith("mixed"):
        raise CannotKeep(f"{name} has names of columns of several types", f"{name}.columns = {name}.columns.map(str)")
    try:
        table = arrow.Table.from_pandas(frame)
    except (arrow.ArrowException, ValueError, TypeError) as error:
        raise _bad_table(frame, name, arrow, error) from None
    return _table(table, marker)


def _bad_table(frame: Any, name: str, arrow: Any, error: Exception) -> CannotKeep:
    """Which column it is that cannot be kept."""
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        return CannotKeep(f"{name} has two columns called {twice!r}",
                          f"{name} = {name}.loc[:, ~{name}.columns.duplicated()]")  # fmt: skip
    for column in frame.columns:
        try:
            arrow.Array.from_pandas(frame[column])
        except (arrow.ArrowException, ValueError, TypeError):
            return CannotKeep(f"{name}[{column!r}] holds values that a column of a file cannot",
                              f"{name}[{column!r}] = {name}[{column!r}].astype(str)")  # fmt: skip
    return CannotKeep(f"{name} cannot be kept as a table: {error}")


def _arrow(value: Any, name: str) -> Callable[[str], object]:
    arrow = sys.modules["pyarrow"]
    if isinstance(value, arrow.RecordBatch):
        value = arrow.Table.from_batches([value])
    if not isinstance(value, arrow.Table):
        raise _no_way(value, name)
    return _table(value, _ARROW)


def _table(table: Any, marker: bytes) -> Callable[[str], object]:
    """As Parquet, or else as Feather, which is Arrow's own form and holds whatever Arrow does."""
    marked = table.replace_schema_metadata({**(table.schema.metadata or {}), b"wattle": marker})

    def write(path: str) -> None:
        from pyarrow import ArrowException, parquet

        try:
            parquet.write_table(marked, path)
        except ArrowException:
            raise _Unfit(instead) from None

    def instead(path: str) -> None:
        from pyarrow import feather

        feather.write_feather(marked, path)

    return write


def _polars(value: Any, name: str) -> Callable[[str], object]:
    polars = sys.modules["polars"]
    if type(value) is not polars.DataFrame:
        raise _no_way(value, name)
    if bad := next((column for column, kind in value.schema.items() if kind == polars.Object), None):
        raise CannotKeep(f"{name}[{bad!r}] holds objects of Python, which a file of a table cannot",
                         f"{name} = {name}.drop({bad!r})")  # fmt: skip
    write: Callable[[str], object] = value.write_parquet
    return write


# --- arrays and JSON ----------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    """A number of NumPy that is also one of Python."""
    return getattr(value, "shape", None) == () and hasattr(value, "dtype") and type(value).__name__ != "ndarray" and (
        type(value.item()) in _SCALARS)  # fmt: skip


def _array(value: Any, name: str, numpy: Any) -> Callable[[str], object]:
    if isinstance(value, numpy.ma.MaskedArray):
        raise CannotKeep(f"{name} is a masked array, and its file would not keep the mask",
                         f"{name} = {name}.filled(numpy.nan)")  # fmt: skip
    if not isinstance(value, numpy.generic) and type(value) not in {numpy.ndarray, numpy.memmap}:
        raise CannotKeep(f"{name} is a {type(value).__name__}, and would come back as a plain array",
                         f"{name} = numpy.asarray({name})")  # fmt: skip
    if value.dtype.hasobject:
        raise CannotKeep(f"{name} is an array of Python's objects, not of numbers",
                         f"{name} = {name}.tolist()    or    {name} = {name}.astype(float)")  # fmt: skip

    def write(path: str) -> None:
        with open(path, "wb") as file:
            numpy.save(file, value, allow_pickle=False)

    return write


def _json(value: Any, name: str, *, strict: bool) -> bytes:
    """As JSON. Unless `strict`, numbers that JSON does not know (NaN, infinity) are written as Python reads them."""
    import json

    try:
        plain = _plain(value, name, strict)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        raise CannotKeep(f"{name} is nested too deep, or holds itself", "keep its parts") from None
    except UnicodeEncodeError:
        raise CannotKeep(f"{name} holds half a character (a lone surrogate)", "") from None
    except ValueError as error:
        raise CannotKeep(f"{name} cannot be written as JSON: {error}", f"{name} = str({name})") from None


def _plain(value: Any, place: str, strict: bool) -> Any:  # noqa: FBT001  it is called for every element
    """What JSON holds, made of lists, dicts with texts as keys, and scalars. Raises CannotKeep with the place."""
    kind = type(value)
    if value is None or kind in _SCALARS:
        if strict and kind is float and (value != value or value - value != 0):  # noqa: PLR0124  no math is imported
            raise CannotKeep(f"{place} is {value}, which JSON does not know", f"{place} = None")
        return value
    if kind is list or kind is tuple:
        return [_plain(inner, f"{place}[{number}]", strict) for number, inner in enumerate(value)]
    if isinstance(value, dict):
        if strange := next((key for key in value if type(key) is not str), None):
            raise CannotKeep(f"{place} has the key {strange!r}, and would come back with a text",
                             f"{place} = {{str(key): value for key, value in {place}.items()}}")  # fmt: skip
        return {key: _plain(inner, f"{place}[{key!r}]", strict) for key, inner in value.items()}
    if _is_number(value):
        return _plain(value.item(), place, strict)
    raise _no_way(value, place)


# --- what cannot be kept ------------------------------------------------------------------------------------------

_MEND = {
    "set": "{x} = sorted({x})", "frozenset": "{x} = sorted({x})", "generator": "{x} = list({x})",
    "range": "{x} = list({x})", "map": "{x} = list({x})", "filter": "{x} = list({x})", "zip": "{x} = list({x})",
    "dict_keys": "{x} = list({x})", "dict_values": "{x} = list({x})", "deque": "{x} = list({x})",
    "date": "{x} = {x}.isoformat()", "datetime": "{x} = {x}.isoformat()", "Timestamp": "{x} = {x}.isoformat()",
    "PosixPath": "{x} = str({x})", "WindowsPath": "{x} = str({x})", "UUID": "{x} = str({x})",
    "Decimal": "{x} = str({x})", "Fraction": "{x} = str({x})", "complex": "{x} = [{x}.real, {x}.imag]",
    "ndarray": "{x} = {x}.tolist()", "Tensor": "{x} = {x}.numpy(force=True)", "LazyFrame": "{x} = {x}.collect()",
    "Index": "{x} = {x}.to_series()", "RangeIndex": "{x} = {x}.to_series()", "ArrayImpl": "{x} = numpy.asarray({x})",
    "ChunkedArray": "{x} = {x}.to_numpy()", "DatetimeIndex": "{x} = {x}.to_series()",
}  # fmt: skip
_FILES = {
    "matplotlib": ("png", "the_{x}.savefig({x})"), "PIL": ("png", "the_{x}.save({x})"),
    "plotly": ("html", "the_{x}.write_html({x})"), "torch": ("pt", "torch.save(the_{x}.state_dict(), {x})"),
    "sklearn": ("joblib", "joblib.dump(the_{x}, {x})"),
}  # fmt: skip
"""Library -> a suffix, and how what it makes is written to a file."""


def _no_way(value: Any, place: str) -> CannotKeep:
    """The refusal of a type, and what to write instead."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    what = kind.__name__ if library == "builtins" else f"{library}.{kind.__name__}"
    message = f"{place} is of the type {what}, which cannot be kept"
    if library == "polars" and kind.__name__ == "Series":
        return CannotKeep(message, f"{place} = {place}.to_frame()")
    if kind.__name__ in _MEND:
        return CannotKeep(message, _MEND[kind.__name__].format(x=place))
    for base in kind.__mro__:
        if hasattr(base, "_fields") and base.__bases__ == (tuple,):
            return CannotKeep(message, f"{place} = {place}._asdict()")
        if base.__module__ == "pandas" or base.__module__.startswith("pandas."):
            return CannotKeep(message, f"{place} = pandas.{base.__name__}({place})")
    name = place.partition("[")[0]
    if name != place:
        return CannotKeep(message, f"leave it out, or keep it as an output of its own: {name}_part = {place}")
    suffix, write = _FILES.get(library, ("bin", "…"))
    declared = f"{{{name}: {{type: file, name: {name}.{suffix}}}}}"
    return CannotKeep(message, f"write it to a file: declare outputs: {declared}, which makes {name} a path, and then "
                               f"{write.format(x=name)}")  # fmt: skip


# --- loading ------------------------------------------------------------------------------------------------------


def load(path: str) -> Any:
    """The variable that a file holds.

    Raises:
        CannotLoad: its name tells no type, it holds something else, or a library that it needs is missing.
        OSError: it cannot be read.
    """
    suffix = os.path.splitext(path)[1].lower()
    reader = _READERS.get(suffix)
    if reader is None:
        raise CannotLoad(f"{path} is no saved variable: its name ends in none of {' '.join(SUFFIXES)}",
                         "take it as a file, and read it in the cell")  # fmt: skip
    try:
        return reader(path)
    except CannotKeep:
        raise
    except (ValueError, EOFError, RecursionError) as error:  # Arrow's errors about contents are ValueErrors too
        raise CannotLoad(f"{path} does not hold what its name says: {error}",
                         "run the worker that wrote it again") from None  # fmt: skip


def load_value(path: str) -> Any:
    """What a value output holds: JSON, or else its text, as a shell's `echo` leaves it. Raises OSError."""
    import json

    data = _load_bytes(path)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace").rstrip("\n")


def rows(letters: str, path: str) -> list[dict[str, Any]]:
    """A fan-in: of each row the last field is an output; a letter per row, or one for all, says what it is: `o` a saved
    variable, `f` a file, anything else the value itself. Raises as `load`."""
    found: list[dict[str, Any]] = _load_json(path)
    for number, row in enumerate(found):
        letter = letters[number] if len(letters) > 1 else letters
        port = next(reversed(row))
        if row[port] is not None and letter == "o":
            row[port] = load(row[port])
        elif row[port] is not None and letter == "f":
            import pathlib

            row[port] = pathlib.Path(row[port])
    return found


def _load_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _load_text(path: str) -> str:
    return _load_bytes(path).decode()


def _load_json(path: str) -> Any:
    import json

    return json.loads(_load_bytes(path))


def _load_array(path: str) -> Any:
    numpy = _library("numpy", f"{path} is an array, and what reads arrays", CannotLoad)
    array = numpy.load(path, allow_pickle=False)
    return array[()] if array.shape == () else array


def _load_parquet(path: str) -> Any:
    end = _footer(path)
    if _PANDAS not in end and _SERIES not in end and _ARROW not in end:
        order = ("polars", "pandas", "pyarrow") if b"Polars" in end else ("pandas", "polars", "pyarrow")
        library = next(filter(None, map(_there, order)), None)
        if library is not None and library.__name__ == "polars":
            return library.read_parquet(path)
    _library("pyarrow", f"{path} is a table, and what reads tables", CannotLoad)
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:  # not read_table: that would take `lr=0.1` in the path for a column
        return _as_saved(file.read(), path)


def _load_feather(path: str) -> Any:
    _library("pyarrow", f"{path} is a table, and what reads tables", CannotLoad)
    from pyarrow import feather

    return _as_saved(feather.read_table(path), path)


def _as_saved(table: Any, path: str) -> Any:
    """What the table was when it was saved; one that others wrote becomes pandas's where there is pandas."""
    import json

    metadata = dict(table.schema.metadata or {})
    marker = metadata.pop(b"wattle", b"")
    if marker == _ARROW or (not marker and _there("pandas") is None):
        return table.replace_schema_metadata(metadata or None)
    _library("pandas", f"{path} is a table of pandas, and pandas", CannotLoad)
    frame = table.to_pandas()
    if not marker.startswith(_SERIES):
        return frame
    label = json.loads(marker[len(_SERIES) :])
    series = frame.iloc[:, 0]
    series.name = tuple(label) if isinstance(label, list) else label
    return series


def _footer(path: str) -> bytes:
    """The end of a Parquet file, where its metadata is, in which texts are plain bytes. Raises CannotLoad."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if len(tail) < 8 or tail[4:] != b"PAR1" or length > size - 8:
            raise CannotLoad(f"{path} is not a whole Parquet file", "run the worker that wrote it again")
        file.seek(size - 8 - length)
        return file.read(length)


def _there(library: str) -> Any:
    try:
        return __import__(library)
    except ImportError:
        return None


def _library(name: str, need: str, error: type[CannotKeep]) -> Any:
    """A library that is needed now. Raises CannotKeep."""
    found = _there(name)
    if found is None:
        raise error(f"{need} ({name}) is not installed for {sys.executable}",
                    f"{sys.executable} -m pip install {name}")  # fmt: skip
    return found


_READERS: dict[str, Callable[[str], Any]] = {
    ".parquet": _load_parquet, ".feather": _load_feather, ".npy": _load_array, ".json": _load_json, ".txt": _load_text,
    ".bin": _load_bytes,
}  # fmt: skip
