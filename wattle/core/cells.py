"""What a cell's source needs and makes, told without running it: its free names, the names that it assigns.

A cell that becomes a worker runs in a process of its own, where nothing of the kernel's is. `names` says which names
it uses and does not define, so that who submits it can refuse, with the line, what would end as a NameError later.

Laws: pure; nothing of the source runs. In doubt a name counts as defined (a branch that assigns it may have been
taken, a loop may have come round), because refusing a cell that would run is worse than a NameError. Which scope a name
of a function belongs to is Python's own answer (`symtable`); what comes first at the top level is found by walking it
in the order in which it runs.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from wattle.core.errors import InvalidRequest

KNOWN = frozenset(dir(builtins)) | {
    "__annotations__", "__builtins__", "__class__", "__doc__", "__file__", "__loader__", "__name__", "__package__",
    "__spec__", "copyright", "credits", "display", "exit", "help", "license", "quit",
}  # fmt: skip
"""What every cell finds without assigning it; `display` prints there."""
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class CellNames(NamedTuple):
    """The names of a cell.

    `used` are the free ones with the line of their first use, in the order of lines; builtins are not among them.
    `imports` are the modules that it imports, by the first part of their names. With `star` it imports everything of
    some module, and nothing that is in `used` is certain.
    """

    assigned: frozenset[str]
    used: dict[str, int]
    imports: frozenset[str]
    star: bool


def names(source: str, name: str = "cell") -> CellNames:
    """The names that a cell uses and assigns. `name` is for the error.

    Raises:
        InvalidRequest: it is not Python; the message has the line, the hint shows the place in it.
    """
    tree, table = _parse(source, name)
    nodes = list(ast.walk(tree))
    by_functions = frozenset(_declared_global(table))
    assigned = frozenset(_assigned(table)) | by_functions
    walk = _Walk(assigned, by_functions, later="annotations" in _futures(nodes))
    walk.statements(tree.body)
    free = set(walk.free) | {found for found in _global_names(table) if found not in assigned}
    free -= KNOWN
    lines = {found: walk.free.get(found) or _first_use(nodes, found) for found in free}
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    star = any(alias.name == "*" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names)
    return CellNames(assigned, dict(sorted(lines.items(), key=lambda item: (item[1], item[0]))),
                     frozenset(module.partition(".")[0] for module in modules), star)  # fmt: skip


def _futures(nodes: Iterable[ast.AST]) -> set[str]:
    return {alias.name for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for alias in node.names}  # fmt: skip


def _first_use(nodes: Iterable[ast.AST], name: str) -> int:
    lines = [node.lineno for node in nodes
             if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Store)]  # fmt: skip
    return min(lines, default=0)


# --- what is not Python -------------------------------------------------------------------------------------------


def _parse(source: str, name: str) -> tuple[ast.Module, symtable.SymbolTable]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            return ast.parse(source), symtable.symtable(source, name, "exec")
    except SyntaxError as error:
        raise _refusal(source, name, error) from None
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL, half a surrogate pair, ten thousand brackets
        raise InvalidRequest(f"{name} is not Python: {error}", "write it as a script") from None


def _refusal(source: str, name: str, error: SyntaxError) -> InvalidRequest:
    """The line, what is wrong with it, and a mark below the place."""
    number = error.lineno or 1
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # Python's lines, not those of `splitlines`
    line = lines[number - 1] if number <= len(lines) else ""
    if hint := _ipython(line.strip()):
        return InvalidRequest(f"{name}, line {number}: {line.strip()} is for IPython; a worker is plain Python", hint)
    shown = line.lstrip()
    column = max(0, (error.offset or 1) - 1 - (len(line) - len(shown)))
    return InvalidRequest(f"{name}, line {number}: {error.msg}", f"{shown.rstrip()}\n{' ' * column}^")


def _ipython(line: str) -> str:
    """What to write in the place of a line of IPython's; empty when it is none."""
    head, equals, rest = line.partition("=")
    if equals and head.strip().isidentifier() and rest.lstrip().startswith(("!", "%")):
        line = rest.lstrip()
    if line.startswith("!"):
        return f"import subprocess; subprocess.run({line.lstrip('! ')!r}, shell=True, check=True)"
    if line.startswith("%"):
        return "remove the line, or keep it in a cell that runs in the kernel"
    if line.startswith("?") or line.endswith("?"):
        return "remove the line: it asks for help"
    return ""


# --- scopes, as Python sees them ----------------------------------------------------------------------------------


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    todo = [table]
    while todo:
        table = todo.pop()
        yield table
        todo += table.get_children()


def _assigned(module: symtable.SymbolTable) -> Iterator[str]:
    """The names that the module itself assigns."""
    return (symbol.get_name() for symbol in module.get_symbols() if _is_bound(symbol))


def _declared_global(module: symtable.SymbolTable) -> Iterator[str]:
    """The names of the module that its functions assign. When they are called, nobody knows."""
    for table in _tables(module):
        yield from (symbol.get_name() for symbol in table.get_symbols()
                    if symbol.is_declared_global() and _is_bound(symbol))  # fmt: skip


def _global_names(module: symtable.SymbolTable) -> Iterator[str]:
    """The names of the module that its functions and classes use."""
    for table in _tables(module):
        if table is not module:
            yield from (symbol.get_name() for symbol in table.get_symbols()
                        if symbol.is_referenced() and symbol.is_global() and _is_outer(symbol))  # fmt: skip


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_parameter()


def _is_outer(symbol: symtable.Symbol) -> bool:
    """Really of the module: `is_global` alone takes a function that is called `top` for it."""
    return symbol.is_declared_global() or not _is_bound(symbol)


# --- the top level, in the order in which it runs -----------------------------------------------------------------


class _Walk:
    """One pass over the statements of a module. `free` are names that were used before anything assigned them.

    `later` says that annotations are not evaluated.
    """

    def __init__(self, assigned: Iterable[str], bound: Iterable[str], *, later: bool) -> None:
        self.free: dict[str, int] = {}
        self._later = later or sys.version_info >= (3, 14)
        self._all = frozenset(assigned)
        self._bound = set(bound)
        self._local: list[set[str]] = []
        """Names of the classes and comprehensions around, which are nobody else's."""
        self._depth = 0

    def statements(self, body: Iterable[ast.stmt]) -> None:
        """Walk a block."""
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        walk = _STATEMENTS.get(type(node), _Walk._expression)
        if isinstance(node, _BRANCHES):
            self._depth += 1
            self._branch(node)
            self._depth -= 1
        elif type(node).__name__ == "TypeAlias":  # what it stands for is evaluated when asked for
            self._expression(next(ast.iter_child_nodes(node)))
        else:
            walk(self, node)

    def _function(self, node: Any) -> None:
        self._expressions(node.decorator_list, _defaults(node.args))
        if not self._later and not _generic(node):
            self._expressions(_annotations(node))
        self._bind(node.name)

    def _class(self, node: Any) -> None:
        if not _generic(node):
            self._expressions(node.bases, [keyword.value for keyword in node.keywords])
        self._expressions(node.decorator_list)
        self._local.append(set())
        self.statements(node.body)
        self._local.pop()
        self._bind(node.name)

    def _import(self, node: Any) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])

    def _assign(self, node: Any) -> None:
        self._expressions([node.value], node.targets)

    def _augment(self, node: Any) -> None:
        if isinstance(node.target, ast.Name):
            self._use(node.target.id, node.target.lineno)
        self._expressions([node.value], [node.target])

    def _annotate(self, node: Any) -> None:
        self._expressions([node.value], () if self._later else [node.annotation])
        if node.value is not None or not isinstance(node.target, ast.Name):
            self._expression(node.target)

    def _delete(self, node: Any) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name):
                self._expression(target)
                continue
            self._use(target.id, target.lineno)
            if not self._depth:
                self._scope.discard(target.id)

    def _branch(self, node: Any) -> None:
        """A statement that holds blocks: the parts in the order in which they run."""
        if isinstance(node, _LOOPS):
            self._expressions([getattr(node, "iter", None)], [getattr(node, "target", None)])
            for inner in ast.walk(node):  # what a round assigns is there in the next
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and inner.id in self._all:
                    self._bind(inner.id)
        self._expression(getattr(node, "test", None))
        for item in getattr(node, "items", ()):
            self._expressions([item.context_expr], [item.optional_vars])
        self._expression(getattr(node, "subject", None))
        for case in getattr(node, "cases", ()):
            self._pattern(case.pattern)
            self._expression(case.guard)
            self.statements(case.body)
        handlers = getattr(node, "handlers", ())
        free = dict(self.free)
        self.statements(getattr(node, "body", ()))
        if any(_catches_names(handler) for handler in handlers):
            self.free = free  # it asks whether they are there
        for handler in handlers:
            self._handler(handler)
        self.statements(getattr(node, "orelse", ()))
        self.statements(getattr(node, "finalbody", ()))

    def _handler(self, handler: ast.ExceptHandler) -> None:
        """Its name is there in its block, and gone after it."""
        self._expression(handler.type)
        known = handler.name is None or handler.name in self._scope
        if handler.name is not None:
            self._bind(handler.name)
        self.statements(handler.body)
        if not known and handler.name is not None:
            self._scope.discard(handler.name)

    def _pattern(self, pattern: ast.AST) -> None:
        for node in ast.walk(pattern):
            if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name is not None:
                self._bind(node.name)
            elif isinstance(node, ast.MatchMapping) and node.rest is not None:
                self._bind(node.rest)
            elif isinstance(node, ast.Name):
                self._use(node.id, node.lineno)

    def _expressions(self, *groups: Iterable[ast.AST | None]) -> None:
        for group in groups:
            for node in group:
                self._expression(node)

    def _expression(self, node: ast.AST | None) -> None:
        """Uses and assignments in the order of evaluation; what a function does later is left to `symtable`."""
        if node is None:
            return
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self._use(node.id, node.lineno)
            else:
                self._bind(node.id)
        elif isinstance(node, ast.Lambda):
            self._expressions(_defaults(node.args))
        elif isinstance(node, ast.NamedExpr):
            self._expression(node.value)
            self._bound.add(node.target.id)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node)
        else:
            self._expressions(ast.iter_child_nodes(node))

    def _comprehension(self, node: Any) -> None:
        self._expression(node.generators[0].iter)
        if isinstance(node, ast.GeneratorExp):
            return  # it runs when it is asked
        self._local.append(set())
        for number, generator in enumerate(node.generators):
            if number:
                self._expression(generator.iter)
            self._expressions([generator.target], generator.ifs)
        self._expressions([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._local.pop()

    @property
    def _scope(self) -> set[str]:
        return self._local[-1] if self._local else self._bound

    def _bind(self, name: str) -> None:
        self._scope.add(name)

    def _use(self, name: str, line: int) -> None:
        if name not in self._bound and not any(name in local for local in self._local):
            self.free.setdefault(name, line)


def _generic(node: Any) -> bool:
    """It has type parameters, which are names of a scope in between."""
    return bool(getattr(node, "type_params", ()))


def _catches_names(handler: ast.ExceptHandler) -> bool:
    return handler.type is not None and any(isinstance(node, ast.Name) and node.id == "NameError"
                                            for node in ast.walk(handler.type))  # fmt: skip


def _defaults(arguments: ast.arguments) -> list[ast.expr | None]:
    return [*arguments.defaults, *arguments.kw_defaults]


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr | None]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [*(one.annotation for one in every if one is not None), node.returns]


_STATEMENTS: dict[type[ast.stmt], Callable[[_Walk, Any], None]] = {
    ast.FunctionDef: _Walk._function, ast.AsyncFunctionDef: _Walk._function, ast.ClassDef: _Walk._class,
    ast.Import: _Walk._import, ast.ImportFrom: _Walk._import, ast.Assign: _Walk._assign,
    ast.AugAssign: _Walk._augment, ast.AnnAssign: _Walk._annotate, ast.Delete: _Walk._delete,
}  # fmt: skip
"""The statements that are more than the expressions in them."""
