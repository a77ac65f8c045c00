"""Runs a cell: the source of a worker as `__main__`, its inputs as variables before, its outputs saved after.

    python cell_runner.py NAME SOURCE [KIND NAME TEXT]… -- [ARGUMENT]…        (the words: core/runners.py)

Laws: one file, run by its path under the Python that the cell is for, of the standard library alone and of little of
it: a cell should cost what `python` costs. What the cell does is what plain Python would do: the traceback shows the
cell's lines and no others, the exit code is Python's, signals are left alone. Outputs are saved when the source has
come to its end, or has left by `sys.exit(0)`; one that cannot be kept fails the cell after all others are saved.
"""

from __future__ import annotations

import builtins
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CodeType, ModuleType, TracebackType
    from typing import Any

ALLOW_TOP_LEVEL_AWAIT, IS_COROUTINE = 0x2000, 0x80
"""`ast.PyCF_ALLOW_TOP_LEVEL_AWAIT` and `inspect.CO_COROUTINE`, which take long to import."""
CODEC = "_wattle_cell_values"


class Source:
    """The text of a cell, for whoever wants to show its lines: a module's `__loader__` is asked for them."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        with open(path, "rb") as file:
            self.text = file.read().decode()

    def get_source(self, _name: str) -> str:
        """What `linecache` asks for."""
        return self.text

    def remember(self) -> None:
        """Make its lines known, whatever file of its name may lie here."""
        import linecache

        text = self.text.replace("\r\n", "\n").replace("\r", "\n")  # Python's lines, and no others (`splitlines`)
        lines = [line + "\n" for line in text.split("\n")]
        linecache.cache[self.name] = (len(self.text), None, lines, self.name)


def main(words: list[str]) -> None:
    """Run the cell that the words describe."""
    source = Source(words[0], words[1])
    end = 2
    while end < len(words) and words[end] != "--":
        end += 3
    ports = [(words[place], words[place + 1], words[place + 2]) for place in range(2, end, 3)]
    codec = _codec() if any(kind[:4] in {"obje", "rows", "save", "valu", "put"} for kind, _, _ in ports) else None
    module = _become(source, words[end + 1 :])
    _give(codec, ports, module.__dict__, source.name)
    try:
        code = compile(source.text, source.name, "exec", flags=ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        _run(code, module.__dict__)
    except SystemExit as leaving:
        if leaving.code is not None and leaving.code != 0:
            raise
    except BaseException:
        sys.excepthook = _without_us(source, sys.excepthook)
        raise
    after = [port for port in ports if port[0] in {"save", "put"}]
    troubles = codec.keep(after, module.__dict__) if codec is not None else ()
    for what, hint in troubles:
        _say(f"{source.name}: {what}", hint)
    if troubles:
        sys.exit(1)


def _codec() -> ModuleType:
    """The file beside this one, by a name that no module of the cell's own can have."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    codec = sys.modules[CODEC] = __import__("cell_values")
    del sys.modules["cell_values"], sys.path[0]
    return codec


def _become(source: Source, arguments: list[str]) -> ModuleType:
    """A fresh `__main__`, and the words and the path that a program has which was started in this folder."""
    module = type(sys)("__main__")
    module.__dict__.update(__file__=source.path, __loader__=source, __builtins__=builtins)
    builtins.display = _display  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    sys.argv[:] = [source.path, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.getcwd()
    if "linecache" in sys.modules:
        source.remember()
    return module


def _display(*values: object) -> None:
    """What a notebook shows, a log prints."""
    for value in values:
        print(value)  # noqa: T201  it is the cell that prints


def _run(code: CodeType, variables: dict[str, Any]) -> None:
    if code.co_flags & IS_COROUTINE:
        import asyncio

        awaitable: Coroutine[Any, Any, None] = eval(code, variables)  # noqa: S307  running a person's code is the task
        asyncio.run(awaitable)
    else:
        exec(code, variables)  # noqa: S102  likewise


def _without_us(source: Source, hook: Callable[..., object]) -> Callable[..., None]:
    """What shows an exception as the cell's own: from its first line on. A hook that the cell has set is kept.

    What it needs is imported now: an import that evaluates text (`collections` does) would make the interpreter forget
    that it was a Ctrl-C, and the process would end by exit 1 in place of the signal.
    """
    import traceback

    source.remember()

    def show(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        own = trace
        while own is not None and own.tb_frame.f_code.co_filename != source.name:
            own = own.tb_next
        if own is not None or isinstance(value, SyntaxError):
            trace = own
            value.__traceback__ = own
        if sys.stdout is not None:
            sys.stdout.flush()
        if hook is sys.__excepthook__:
            traceback.print_exception(kind, value, trace)
        else:
            hook(kind, value, trace)

    return show


# --- inputs -------------------------------------------------------------------------------------------------------


def _give(codec: Any, ports: list[tuple[str, str, str]], variables: dict[str, Any], cell: str) -> None:
    """Set the variables that are there before; leave with a sentence when one cannot be had."""
    for kind, name, text in ports:
        try:
            if kind not in {"save", "put"}:
                variables[name] = _read(codec, kind, text)
        except Exception as error:  # noqa: BLE001  whatever a library says of a file, it is about this input
            hint = getattr(error, "hint", "")
            _say(f"{cell}: the input {name} cannot be loaded: {getattr(error, 'message', error)}", hint)
            sys.exit(1)


def _read(codec: Any, kind: str, text: str) -> Any:
    if not text and kind != "json":
        return None  # its worker did not make it
    if kind == "json":
        import json

        return json.loads(text)
    if kind == "file":
        import pathlib

        return pathlib.Path(text)
    if kind == "object":
        return codec.load(text)
    if kind == "value":
        return codec.load_value(text)
    if kind.startswith("rows:"):
        return codec.rows(kind[5:], text)
    return text


def _say(what: str, hint: str) -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
    print(what, file=sys.stderr)  # noqa: T201  what a worker says is its log
    if hint:
        print(f"  {hint}", file=sys.stderr)  # noqa: T201  likewise


if __name__ == "__main__":
    main(sys.argv[1:])
