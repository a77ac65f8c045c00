"""The grammar of the command line, and of the magics: words in, a namespace out.

Laws: one verb, one parser, built only when its verb is spoken, so no command pays for the others. A word that makes
no sense raises `InvalidRequest` with what was probably meant; nothing here prints an error or looks at a store. The
parser class is injected: the kernel hands in one that raises where the shell exits. Helps come from the table of
operations where it has them. Imports stay cheap: this module is on the path of every command.
"""

from __future__ import annotations

import argparse
import os
import re
from types import MappingProxyType

from wattle.cli.values import read_json
from wattle.cli.words import ALIASES, EXAMPLES, FORMATS, HIDDEN, SHELLS, VERBS, nearest, summary
from wattle.core.address import Address
from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from wattle.core.requests import Format

    More = Mapping[str, tuple[str, str | None, Callable[["Parser"], None]]]
    """Further verbs: what each is for, examples, its arguments."""

SUFFIXES: dict[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
"""File suffixes that make an argument a document, and the format each one means."""
NOTEBOOK = ".ipynb"
"""The one that makes it a notebook, whose cells are the document."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises `InvalidRequest` instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        """A sentence instead of argparse's telegram. Raises `InvalidRequest`."""
        verb = self.prog.split()[-1]
        raise InvalidRequest(f"wattle {verb}: {message}.", f"run: wattle {verb} --help")

    def flags(self) -> list[str]:
        """Every option that this parser knows, short and long."""
        return [flag for action in self._actions for flag in action.option_strings]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Given a width, argparse does not import shutil to ask for it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(_columns(), 100))


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def parse(words: Sequence[str], parser_class: type[Parser] = Parser, more: More = MappingProxyType({})) -> Namespace:
    """Read a command. `verb` of the result says which; it is empty when only the overview was asked for. `more` are
    verbs that only a kernel has.

    Raises `InvalidRequest`, and `SystemExit` (or what `parser_class` makes of it) after printing a help.
    """
    verb, rest = _verb(list(words), more)
    if verb == "help":
        verb, rest = _verb(rest, more)
        rest = ["--help"] if verb else rest
    if not verb:
        found = _known(_overview(parser_class), rest, "wattle")
        found.verb = "version" if found.version else ""
        return found
    parser = parser_for(verb, parser_class, more)
    if verb == "serve":
        found, found_not = parser.parse_known_args(rest)
        found.passed_on = found_not
    else:
        found = _known(parser, rest, f"wattle {verb}")
    found.verb = verb
    return found


def _overview(parser_class: type[Parser]) -> Parser:
    parser = _globals(parser_class("wattle", add_help=False, allow_abbrev=False, formatter_class=_Formatter))
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    return parser


def parser_for(verb: str, parser_class: type[Parser] = Parser, more: More = MappingProxyType({})) -> Parser:
    """The parser of one verb."""
    about, examples, arguments = more.get(verb) or (summary(verb), EXAMPLES.get(verb), ARGUMENTS[verb])
    parser = parser_class(
        f"wattle {verb}", description=about + ".", allow_abbrev=False, formatter_class=_Formatter,
        epilog="examples:\n" + "\n".join("  " + line for line in examples.split("\n")) if examples else None,
    )  # fmt: skip
    arguments(parser)
    _globals(parser)
    return parser


def is_file(text: str) -> bool:
    """Whether an argument means a document rather than a saved workflow."""
    return text == "-" or "/" in text or "\\" in text or os.path.splitext(text)[1].lower() in {*SUFFIXES, NOTEBOOK}


def _verb(words: list[str], more: More) -> tuple[str, list[str]]:
    """The verb and the other words. Raises `InvalidRequest` when there is no such verb."""
    place = 0
    while place < len(words) and words[place].startswith("-"):
        place += 2 if words[place] in {"--home", "--config", "--url"} else 1
    if place >= len(words):
        return "", words
    verb = ALIASES.get(words[place], words[place])
    if verb not in VERBS and verb not in HIDDEN and verb not in more and verb != "help":
        meant = nearest(words[place], [*VERBS, *more])
        hint = f"did you mean: wattle {meant}" if meant else "run: wattle --help"
        raise InvalidRequest(f"'{words[place]}' is not a verb of Wattle.", hint)
    return verb, words[:place] + words[place + 1 :]


def _known(parser: Parser, words: list[str], prog: str) -> Namespace:
    """Parse, and say what was meant by a word that nobody knows. Raises `InvalidRequest`."""
    found, unknown = parser.parse_known_intermixed_args(words)
    for word in unknown:
        if not word.startswith("-"):
            raise InvalidRequest(f"{prog}: '{word}' is one word too many.", f"run: {prog} --help")
        flag = word.partition("=")[0]
        meant = nearest(flag, [name for name in parser.flags() if name.startswith("--")])
        hint = f"did you mean: {meant}" if meant else f"run: {prog} --help"
        raise InvalidRequest(f"{prog}: there is no option {flag}.", hint)
    return found


def _globals(parser: Parser) -> Parser:
    group = parser.add_argument_group("everywhere")
    group.add_argument("--json", action="store_true", help="print the reply as JSON")
    group.add_argument("--home", metavar="DIR", help="the state root to use")
    group.add_argument("--config", metavar="FILE", help="a settings file to read")
    group.add_argument("--url", help="ask the server there; WATTLE_TOKEN or WATTLE_TOKEN_FILE opens it")
    group.add_argument("--no-color", dest="color", action="store_false", help="no colours")
    return parser


def _assignment(text: str) -> tuple[str, Any]:
    """`name=value`; the value is JSON where it reads as JSON, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidRequest(f"--set {text}: a parameter is set as name=value.", "for example: --set day=2026-11-23")
    try:
        return name, read_json(value)
    except ValueError:
        return name, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InvalidRequest(f"'{text}' is not a number of 1 or more.")
    return int(text)


def number(text: str) -> int:
    """A whole number of 0 or more. Raises `InvalidRequest`."""
    if not text.isdecimal():
        raise InvalidRequest(f"'{text}' is not a number of 0 or more.")
    return int(text)


def seconds(text: str) -> float:
    """A duration: seconds, or `90s 10m 2h 1d 1h30m`. Raises `InvalidRequest`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw]?)", text.lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.lower():
        raise InvalidRequest(f"'{text}' is not a duration.", "write 90s, 10m, 2h, 30d or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _address(parser: Parser, what: str = "a workflow, run or worker", *, optional: bool = False) -> None:
    parser.add_argument("address", metavar="ADDRESS", type=Address.parse, nargs="?" if optional else None, help=what)


def _target(parser: Parser, what: str) -> None:
    parser.add_argument("target", metavar="FILE|NAME", nargs="?", help=f"{what}; default: wattle.yaml here")
    parser.add_argument("--format", choices=FORMATS, help="of the document, when the file's name does not say")


def starting(parser: Parser) -> None:
    """The words of whatever starts a run."""
    parser.add_argument("-j", "--jobs", metavar="N", type=_count, help="how many workers at a time, at most")
    parser.add_argument("-d", "--detach", action="store_true", help="start it and come back at once")


def setting(parser: Parser) -> None:
    """The words that set parameters."""
    parser.add_argument("--set", metavar="NAME=VALUE", dest="params", action="append", type=_assignment, default=[],
                        help="a parameter of the workflow; JSON, else text")  # fmt: skip


def _reusing(parser: Parser, what: str) -> None:
    parser.add_argument("--stale", action="store_true", help=what)


def _naming(parser: Parser) -> None:
    parser.add_argument("--name", metavar="NAME", help="save it under another name")
    parser.add_argument("--replace", action="store_true", help="take the name over from another file")


def _run(parser: Parser) -> None:
    _target(parser, "a document (- is the standard input) or a saved workflow")
    setting(parser)
    _reusing(parser, "only what is stale: take over results that still hold")
    starting(parser)
    _naming(parser)


def _plan(parser: Parser) -> None:
    _target(parser, "a document or a saved workflow")
    setting(parser)
    _reusing(parser, "of a run --stale")
    parser.add_argument("-j", "--jobs", metavar="N", type=_count, help="how many workers at a time, at most")


def _validate(parser: Parser) -> None:
    what = "documents (- is the standard input); default: wattle.yaml here"
    parser.add_argument("files", metavar="FILE", nargs="*", help=what)
    parser.add_argument("--format", choices=FORMATS, help="when the file's name does not say")


def _create(parser: Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="documents (- is the standard input)")
    parser.add_argument("--format", choices=FORMATS, help="when the file's name does not say")
    _naming(parser)


def _list(parser: Parser) -> None:
    parser.add_argument("--status", choices=("created", "running", "completed", "failed", "cancelled"))
    parser.add_argument("--tag", metavar="TAG")


def _logs(parser: Parser) -> None:
    _address(parser, "a worker, or a run for all of its workers")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows, to its end")
    stream = parser.add_mutually_exclusive_group()
    stream.add_argument("--stdout", dest="stream", action="store_const", const="stdout", help="only this stream")
    stream.add_argument("--stderr", dest="stream", action="store_const", const="stderr", help="only this stream")
    parser.add_argument("-n", "--tail", metavar="N", type=number, help="only the last N lines")
    parser.add_argument("--attempt", metavar="N", type=_count, help="an earlier attempt")
    parser.add_argument("--raw", action="store_true", help="control characters as they are, also on a terminal")


def _events(parser: Parser) -> None:
    _address(parser, "a workflow; default: all", optional=True)
    parser.add_argument("-f", "--follow", action="store_true", help="go on as they happen")
    parser.add_argument("--after", metavar="N", type=number, default=0, help="only after this sequence number")


def _attach(parser: Parser) -> None:
    _address(parser, "a run; default: the newest", optional=True)


def _stop(parser: Parser) -> None:
    _address(parser, "a run, or one worker of it")
    parser.add_argument("--grace", metavar="DURATION", type=seconds, help="how long to wait before KILL (a run)")


def _start(parser: Parser) -> None:
    _address(parser, "a worker")
    parser.add_argument("-d", "--detach", action="store_true", help="start it and come back at once")


def _rerun(parser: Parser) -> None:
    _address(parser, "a run")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--from", metavar="WORKER", dest="from_worker", help="that worker, and all below it")
    what.add_argument("--failed", action="store_true", help="what did not complete, and all below it")
    starting(parser)


def _runs(parser: Parser) -> None:
    _address(parser, "a workflow; default: all", optional=True)
    parser.add_argument("-n", "--limit", metavar="N", type=_count, default=20, help="how many (20)")


def _graph(parser: Parser) -> None:
    _target(parser, "a workflow, a run or a document")
    parser.add_argument("--out", metavar="FILE", help="write a picture: .svg .png .pdf")


def _gantt(parser: Parser) -> None:
    _address(parser, "a run")
    parser.add_argument("--out", metavar="FILE", help="write a picture: .svg .png .pdf")


def _get(parser: Parser) -> None:
    _address(parser, "a worker, or one output of it; inside a worker, one of its own ports")
    parser.add_argument("--out", metavar="FILE", help="copy the output there (- is the standard output)")
    parser.add_argument("--raw", action="store_true", help="a value that is text, without quotes")


def _put(parser: Parser) -> None:
    parser.add_argument("address", metavar="PORT", help="etl/clean/score; inside a worker, its own output: score")
    parser.add_argument("value", metavar="VALUE", nargs="?", help="JSON, else text; - is the standard input")
    parser.add_argument("--text", action="store_true", help="it is text, also where it reads as JSON")


def _fraction(text: str) -> float | None:
    if text == "-":
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise InvalidRequest(f"'{text}' is not a fraction.", "between 0 and 1, or 40%, or - when only a text is known"
                             ) from None  # fmt: skip


def _progress(parser: Parser) -> None:
    parser.add_argument("fraction", metavar="FRACTION", type=_fraction, help="0 to 1, or 40%%; - when it is not known")
    parser.add_argument("text", metavar="TEXT", nargs="*", help="a word for people")


def _service(parser: Parser) -> None:
    parser.add_argument("address", metavar="ADDRESS",
                        help="etl/engine/state; inside a worker engine/state, or a stream input")  # fmt: skip


def _sub(parser: Parser) -> None:
    _service(parser)
    parser.add_argument("-n", "--count", metavar="N", type=_count, help="end after N messages")
    parser.add_argument("--raw", action="store_true", help="text without quotes")


def _query(parser: Parser) -> None:
    _service(parser)
    parser.add_argument("data", metavar="DATA", nargs="?", help="JSON, else text; - is the standard input")
    parser.add_argument("--text", action="store_true", help="it is text, also where it reads as JSON")
    parser.add_argument("--raw", action="store_true", help="an answer that is text, without quotes")
    parser.add_argument("--timeout", metavar="DURATION", type=seconds, default=5.0, help="how long to wait (5 s)")


def _pub(parser: Parser) -> None:
    parser.add_argument("service", metavar="SERVICE", help="of this worker")
    parser.add_argument("data", metavar="DATA", nargs="?", help="JSON, else text; without it, or -, a line each")
    parser.add_argument("--text", action="store_true", help="it is text, also where it reads as JSON")


def _export(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="a saved workflow, or a notebook whose cells are one")
    parser.add_argument("file", metavar="FILE", nargs="?", help="where to; default: the standard output")
    parser.add_argument("--format", choices=FORMATS, help="when the file's name does not say (yaml)")


def _init(parser: Parser) -> None:
    parser.add_argument("--name", metavar="NAME", help="of the workflow; default: this folder's")


def _new(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the worker")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--command", metavar="COMMAND", help="a program with its arguments")
    what.add_argument("--script", metavar="SOURCE", help="shell source (- reads the standard input)")
    parser.add_argument("--in", metavar="PORT=WORKER/OUTPUT", dest="inputs", action="append", default=[])
    parser.add_argument("--out", metavar="FILE", dest="outputs", action="append", default=[])
    parser.add_argument("--needs", metavar="WORKER", action="append", default=[], help="order without data")
    parser.add_argument("--file", metavar="FILE", default="wattle.yaml", help="the document (wattle.yaml)")


def _demo(parser: Parser) -> None:
    parser.add_argument("folder", metavar="DIR", nargs="?", default="wattle-demo", help="where to (wattle-demo)")
    starting(parser)


def _down(parser: Parser) -> None:
    parser.add_argument("--force", action="store_true", help="also when it hangs")
    parser.add_argument("--stop-runs", action="store_true", help="stop what runs first")


def _bus(parser: Parser) -> None:
    parser.add_argument("what", choices=("state", "init-tls", "export"), nargs="?", default="state",
                        help="how it is (state); certificates for other hosts; what one of them needs")  # fmt: skip
    parser.add_argument("name", metavar="HOST|FILE", nargs="?", help="what other hosts call this machine; or a file")
    parser.add_argument("--role", choices=("kernel", "worker"), default="worker", help="export: what it may do")
    parser.add_argument("--replace", action="store_true", help="init-tls: also over certificates that are there")


def _serve(parser: Parser) -> None:
    parser.add_argument("--host", metavar="NAME", help="where to listen (localhost)")
    parser.add_argument("--port", metavar="N", type=number, help="the port (9240)")
    parser.usage = "wattle serve [--host NAME] [--port N] [--home DIR] [--config FILE] [JUPYTER'S OPTIONS…]"


def _prune(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="only of this workflow")
    parser.add_argument("--older-than", metavar="DURATION", type=seconds, default=0.0, help="ended that long ago")
    parser.add_argument("--keep", metavar="N", type=number, default=0, help="the newest N of each workflow stay")
    parser.add_argument("--yes", action="store_true", help="do it; without this they are only listed")


def _completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def _coordinator(parser: Parser) -> None:
    parser.add_argument("--idle", type=float, help="end after so many seconds without runs")


def _nothing(parser: Parser) -> None:
    """No arguments of its own."""


ARGUMENTS: dict[str, Callable[[Parser], None]] = {
    "init": _init, "new": _new, "demo": _demo, "validate": _validate,
    "run": _run, "plan": _plan, "attach": _attach, "wait": _address, "stop": _stop, "start": _start,
    "restart": _address, "rerun": _rerun,
    "status": lambda parser: _address(parser, "a workflow, run or worker; default: all", optional=True),
    "logs": _logs, "list": _list, "show": _address, "runs": _runs, "events": _events, "graph": _graph,
    "gantt": _gantt, "get": _get, "put": _put, "progress": _progress,
    "sub": _sub, "query": _query, "pub": _pub, "pipe": _nothing, "tap": _service,
    "create": _create, "delete": _address, "export": _export, "import": _create, "prune": _prune,
    "up": _nothing, "down": _down, "serve": _serve, "bus": _bus, "doctor": _nothing,
    "completion": _completion, "version": _nothing,
    "coordinator": _coordinator,
}  # fmt: skip
