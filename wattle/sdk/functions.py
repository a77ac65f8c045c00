"""A Python function as the source of a cell worker: its text, what it needs from around it, and the call.

Laws: the function is never run and nothing of it is pickled; what cannot be taken along is refused by its name, with
what to do instead, before anything is submitted.
"""

from __future__ import annotations

import ast
import inspect
import textwrap

from wattle.core import cells
from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


def cell_of(function: Callable[..., Any], worker: str, variables: Iterable[str], outputs: Mapping[str, Any]) -> str:
    """The cell that defines and calls the function. `variables` are what the worker has by name; `outputs` its ports.

    Raises `InvalidRequest`.
    """
    definition = _definition(function, worker)
    returned = [port for port, about in outputs.items() if _type(about) in {"object", "value"}]
    there = {*variables, *(port for port in outputs if port not in returned)}
    if definition.name in there:
        definition.name = f"_{definition.name}"  # the variable of that name is not hidden
    call = f"{definition.name}({_arguments(function, worker, there)})"
    text = ast.unparse(definition)
    lines = [*_imports(function, text, worker), text]
    if len(returned) == 1:
        lines.append(f"{returned[0]} = {call}")
    elif returned:
        names = ", ".join(returned)
        lines += [f"_returned = {call}", f"{names} = ({', '.join(f'_returned[{port!r}]' for port in returned)})"]
    else:
        lines.append(call)
    return "\n".join(lines) + "\n"


def _definition(function: Callable[..., Any], worker: str) -> ast.FunctionDef:
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise InvalidRequest(f"{worker}: the source of {function!r} cannot be found.",
                             "define it in a file or a cell") from None  # fmt: skip
    try:
        tree = ast.parse(text).body[0]
    except SyntaxError:  # of a lambda only pieces of lines are found
        tree = ast.Pass()
    if not isinstance(tree, ast.FunctionDef):
        raise InvalidRequest(f"{worker} is no plain function.", "write def …")
    if function.__code__.co_freevars:
        names = ", ".join(function.__code__.co_freevars)
        raise InvalidRequest(f"{worker} uses {names} of the function around it.", "give it as an input")
    tree.decorator_list = []
    tree.returns = None
    for argument in ast.walk(tree.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return tree


def _arguments(function: Callable[..., Any], worker: str, there: set[str]) -> str:
    given = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise InvalidRequest(f"{worker}: *{name} takes whatever comes.", "name every argument")
        if name in there:
            given.append(name if parameter.kind is parameter.POSITIONAL_ONLY else f"{name}={name}")
        elif parameter.default is parameter.empty:
            known = ", ".join(sorted(there)) or "nothing"
            raise InvalidRequest(f"{worker}: its argument {name} is no input, not of each, and no file it writes.",
                                 f"there is {known}; for example inputs={{{name!r}: 'fetch/{name}'}}")  # fmt: skip
    return ", ".join(given)


def _imports(function: Callable[..., Any], text: str, worker: str) -> list[str]:
    """The imports that the function's text needs to stand alone."""
    lines = []
    around = function.__globals__
    for name in sorted(cells.names(text, worker).used):
        if name not in around:
            raise InvalidRequest(f"{worker} uses {name}, which is not defined.", f"import or define {name} inside it")
        lines.append(_import(name, around[name], worker))
    return lines


def _import(name: str, value: Any, worker: str) -> str:
    if inspect.ismodule(value):
        return f"import {value.__name__}" if value.__name__ == name else f"import {value.__name__} as {name}"
    home, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if isinstance(home, str) and home != "__main__" and own.isidentifier() and callable(value):
        return f"from {home} import {own}" if own == name else f"from {home} import {own} as {name}"
    raise InvalidRequest(f"{worker} uses {name}, a {type(value).__name__} that lives in this program only.",
                         "give it as an input or a value of each, or define it inside the function")  # fmt: skip


def _type(about: Any) -> str:
    return str(about.get("type", "file")) if hasattr(about, "get") else "file"
