"""The project's own sources, as text and as trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("wattle", "jupyter_wattle")


class Source(NamedTuple):
    """A file: its path below the root with `/`, its text, its tree."""

    path: str
    text: str
    tree: ast.Module


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files below these folders of the repository, by path."""
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    texts = [(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]
    return tuple(Source(path, text, ast.parse(text)) for path, text in texts)


def dotted(node: ast.AST) -> str:
    """`os.path.join` of an attribute chain; empty when it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def names_used(source: Source) -> Iterator[tuple[str, int]]:
    """Every dotted name in a file with its line; imported names are told with the module that they come from."""
    origin: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            origin |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            origin |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            head, dot, rest = name.partition(".")
            yield origin.get(head, head) + dot + rest, node.lineno


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module that a tree imports, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno


def within(path: str, places: object) -> bool:
    """Whether a path is one of the places, or below one that ends with `/`."""
    assert isinstance(places, dict)
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)
