"""The grammar of the magics: that of the command line, and the verbs that only a kernel has."""

from __future__ import annotations

from jupyter_wattle.kernel.here import VIEWS
from wattle.cli import celllines, grammar
from wattle.core.address import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import NoReturn

    from wattle.cli.grammar import More


class HelpShown(Exception):
    """A help was printed; there is nothing more to do."""


class KernelParser(grammar.Parser):
    """A parser that leaves a magic where the shell's leaves the process."""

    mark = "%"

    def format_help(self) -> str:
        """As it is written here."""
        usage, blank, rest = super().format_help().partition("\n\n")
        usage = usage.replace("\n", "\n" + " " * len(self.mark)).replace("usage: ", f"usage: {self.mark}", 1)
        return usage + blank + rest

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:  # noqa: ARG002
        """Raises `HelpShown`."""
        raise HelpShown


class CellParser(KernelParser):
    """The same above a cell."""

    mark = "%%"


TERMINAL_ONLY = {"serve", "coordinator", "completion", "pipe"}
"""Verbs that would take the kernel's process or its standard input, or make no sense in it."""


def parse(words: Sequence[str], *, cell: bool = False) -> Namespace:
    """Read the line of a magic. Raises `InvalidRequest` and `HelpShown`."""
    if cell:
        return grammar.parse(words, CellParser, {**KERNEL_VERBS, **CELL_ALONE})
    return grammar.parse(words, KernelParser, KERNEL_VERBS)


def parser_for(verb: str, *, cell: bool = False) -> grammar.Parser:
    """The parser of one verb."""
    if cell:
        return grammar.parser_for(verb, CellParser, {**KERNEL_VERBS, **CELL_ALONE})
    return grammar.parser_for(verb, KernelParser, KERNEL_VERBS)


def here() -> str:
    """The verbs that only a kernel has, each in a line."""
    lines = [f"  %%wattle {verb:<10}{(CELL_ALONE.get(verb) or KERNEL_VERBS[verb])[0]}" for verb in CELL_VERBS]
    lines += [f"  %wattle {verb:<11}{KERNEL_VERBS[verb][0]}" for verb in LINE_VERBS]
    return "\n".join(["In a notebook every verb above is a line magic (%wattle run etl), and there are:", *lines])


def _pull(parser: grammar.Parser) -> None:
    parser.add_argument("address", metavar="OUTPUT", type=Address.parse, help="etl/clean/table, or etl/clean")
    parser.add_argument("as_", metavar="as NAME", nargs="*", help="the variable's name; default: the output's")


def _view(parser: grammar.Parser) -> None:
    parser.add_argument("kind", choices=VIEWS, nargs="?", help="without one: which it is")


_PULLS = """\
%wattle pull etl/clean/table        the variable `table`
%wattle pull etl@12/clean/table as old"""
LINE_VERBS = ("pull", "view")
CELL_VERBS = ("workflow", "worker", "run")
KERNEL_VERBS: More = {
    "pull": ("Wait for an output if need be, and bring it here as a variable", _PULLS, _pull),
    "view": ("How runs are shown here: Wattle's renderer, a widget, or text",
             "%wattle view text                   for a front end that shows neither", _view),
    **celllines.VERBS,
}  # fmt: skip
CELL_ALONE: More = {
    "run": ("This cell, now, in the background: a workflow of one worker with a live log",
            "%%wattle run --push df --out model\nmodel = fit(df)", celllines.alone),
}  # fmt: skip
"""What is another verb above a cell."""
