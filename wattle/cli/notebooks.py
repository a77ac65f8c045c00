"""A notebook as a document: its `%%wattle` cells, read without a kernel, so that the pipeline of a notebook runs in CI.

Laws: nothing of the notebook is executed. `{{ name }}` stands for a variable that a cell assigns a literal; what only a
kernel could know (`--push`, any other expression) is refused with the number of the cell.
"""

from __future__ import annotations

import ast
import json

from wattle.cli import celllines, grammar
from wattle.cli.expanding import expanded, words_of
from wattle.core import cellbook
from wattle.core.document import dump, parse
from wattle.core.errors import DocumentError, InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any, NoReturn

    from wattle.core.cellbook import Cell, Definition
    from wattle.core.requests import Format


class _Parser(grammar.Parser):
    """A cell that asks for help is no definition."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:  # noqa: ARG002
        """Raises `InvalidRequest`."""
        raise InvalidRequest("it asks for help, and defines nothing.", "remove --help")


class Book:
    """The workflows of a notebook: for each a document, and by worker the cell that defines it."""

    def __init__(self, text: str, name: str, folder: str, source: str) -> None:
        self._name = name
        self._folder = folder
        self._source = source
        sources = cellbook.code_cells(text, name)
        self._literals = cellbook.literals(sources)
        self._documents: dict[str, dict[str, Any]] = {}
        self._workers: dict[str, list[Definition]] = {}
        self.cells: dict[str, dict[str, int]] = {}
        for cell in cellbook.wattle_cells(sources):
            try:
                self._take(cell)
            except InvalidRequest as error:
                raise InvalidRequest(f"{name}, cell {cell.number}: {error.message}", error.hint) from None

    def document(self, wanted: str | None) -> tuple[str, dict[str, Any]]:
        """The workflow that is meant and its document. Raises `InvalidRequest`."""
        names = list(self.cells)
        if not names:
            raise InvalidRequest(f"{self._name} defines no workflow.", "a cell begins with %%wattle worker etl/clean")
        if wanted not in names and len(names) > 1:
            raise InvalidRequest(f"{self._name} defines {' and '.join(names)}; which one?", f"--name {names[0]}")
        name = wanted if wanted in names else names[0]
        document = self._documents.get(name, {"name": name, "workers": []})
        found = cellbook.merged(document["workers"], self._workers.get(name, []))
        late = [worker for worker in self._workers.get(name, []) if worker["name"] in found.waiting]
        return name, {**document, "workers": {worker["name"]: worker for worker in [*found.workers, *late]}}

    def _take(self, cell: Cell) -> None:
        words = words_of(cell.line, self._look)
        verb = next((word for word in words if not word.startswith("-")), "")
        if verb == "workflow":
            self._workflow(cell, self._parse(words))
        elif verb == "worker":
            self._worker(cell, words)

    def _parse(self, words: list[str]) -> Namespace:
        return grammar.parse(words, _Parser, celllines.VERBS)

    def _workflow(self, cell: Cell, args: Namespace) -> None:
        text = expanded("\n" + cell.body, self._look)
        form: Format = args.format or ("json" if cell.body.lstrip()[:1] == "{" else "yaml")
        try:
            found = dump(parse(text, form, base_dir=self._folder, name=args.name).workflow)
        except DocumentError as error:
            first = error.problems[0]
            raise InvalidRequest(f"line {first.line}: {first.path}: {first.message}.", first.hint) from None
        self._documents[args.name] = found
        self.cells.setdefault(args.name, {}).update({worker["name"]: cell.number for worker in found["workers"]})

    def _worker(self, cell: Cell, words: list[str]) -> None:
        parser = grammar.parser_for("worker", _Parser, celllines.VERBS)
        more, keys, source = celllines.options_of(cell.body, self._look, parser)
        args = self._parse([*words, *more])
        name, flow = celllines.worker_name(args.address), args.address.workflow
        if args.push:
            raise InvalidRequest(f"{flow}/{name} is given {', '.join(args.push)} by --push, which only a kernel can.",
                                 "make it an output of another worker, and take it in")  # fmt: skip
        made = {**celllines.definition(name, args, source, keys), "owner": self._source}
        others = [other for other in self._workers.get(flow, []) if other["name"] != name]
        self._workers[flow] = [*others, made]
        self.cells.setdefault(flow, {})[name] = cell.number

    def _look(self, expression: str) -> Any:
        """What an expression is worth without a kernel."""
        if expression in self._literals:
            return self._literals[expression]
        try:
            return ast.literal_eval(expression)
        except (ValueError, SyntaxError):
            raise LookupError("without a kernel only literals are known, and names that a cell assigns one") from None


def as_text(document: dict[str, Any]) -> str:
    """The document as JSON."""
    return json.dumps(document, ensure_ascii=False, indent=1)
