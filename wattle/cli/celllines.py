"""The lines above a cell that is a worker or a workflow, read into a definition: the same for a kernel and for
`wattle run pipeline.ipynb`.

    %%wattle worker etl/clean --in raw=fetch/raw --out table --out fig.png --retries 2
    #| timeout: 10m
    #| each: lr=0.1,0.01

Laws: nothing is executed, asked or saved here; `{{ expr }}` is filled in by whoever reads, and only in these lines and
in the bodies of workflows. What a line does not understand is refused with the line.
"""

from __future__ import annotations

import json
import re

from wattle.cli import grammar
from wattle.cli.expanding import expanded, words_of
from wattle.cli.words import FORMATS
from wattle.core.address import Address
from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable
    from typing import Any

    from wattle.cli.expanding import Look
    from wattle.cli.grammar import More, Parser

OPTION = re.compile(r"#\|\s?(.*)")
_KEY = re.compile(r"([A-Za-z_][\w-]*)\s*:(?:\s+(.*))?")
_NAME = re.compile(r"[^\W\d]\w*")
PYTHON = "python"
TAKEN = "#"
"""What stays of an option's line."""
_TAKEN_LINES = re.compile(rf"\A(?:{TAKEN}?\n)+")


# ---- the grammar ------------------------------------------------------------------------------------------------


def _worker(parser: Parser) -> None:
    parser.add_argument("address", metavar="FLOW/NAME", type=Address.parse, help="the workflow, and the worker in it")
    _ports(parser)
    many = {"action": "append", "default": []}
    parser.add_argument("--needs", metavar="WORKER", **many, help="order without data")  # type: ignore[arg-type]
    parser.add_argument("--each", metavar="NAME=A,B,C", **many,  # type: ignore[arg-type]
                        help="one instance per value (or product of values); a group's name pairs with it")  # fmt: skip
    parser.add_argument("--when", choices=("completed", "ended", "failed"), help="what became of those before it")
    _how(parser)
    parser.add_argument("--run", action="store_true", help="start a run of the workflow at once")


def alone(parser: Parser) -> None:
    """The words above a cell that runs on its own."""
    parser.add_argument("--name", metavar="NAME", help="of its workflow; default: after the number of the cell")
    _variables(parser)
    _how(parser)
    grammar.starting(parser)


def _ports(parser: Parser) -> None:
    many = {"action": "append", "default": []}
    parser.add_argument("--in", dest="inputs", metavar="NAME=WORKER/OUTPUT", **many,  # type: ignore[arg-type]
                        help="a variable that is there: an output of another worker")  # fmt: skip
    _variables(parser)


def _variables(parser: Parser) -> None:
    many = {"action": "append", "default": []}
    parser.add_argument("--file", dest="files", metavar="NAME=PATH", **many,  # type: ignore[arg-type]
                        help="a variable that is there: the path of a file from outside")  # fmt: skip
    parser.add_argument("--push", metavar="NAME", **many,  # type: ignore[arg-type]
                        help="a variable of this kernel, as it is now")  # fmt: skip
    parser.add_argument("--out", dest="outputs", metavar="NAME", **many,  # type: ignore[arg-type]
                        help="a variable that is saved; with a suffix (fig.png) a file to write")  # fmt: skip


def _how(parser: Parser) -> None:
    parser.add_argument("--lang", metavar="LANG", default=PYTHON,
                        help="bash, sh, node, Rscript …: the cell is a script of that language")  # fmt: skip
    parser.add_argument("--python", metavar="PYTHON", help="another Python than this kernel's")
    parser.add_argument("--timeout", metavar="DURATION", help="90s, 10m, 2h")
    parser.add_argument("--retries", metavar="N", type=grammar.number, help="how often a failed one is tried again")
    parser.add_argument("--env", metavar="NAME=VALUE", action="append", default=[], help="a variable of its process")


def _workflow(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the workflow; it wins over the document's own")
    parser.add_argument("--run", action="store_true", help="start it at once")
    parser.add_argument("--format", choices=FORMATS, help="of the body; default: yaml, or json when it begins with {")
    parser.add_argument("--replace", action="store_true", help="take the name over from another file or notebook")
    grammar.setting(parser)
    grammar.starting(parser)


_WORKERS = """\
%%wattle worker etl/clean --in raw=fetch/raw --out table
table = raw.dropna()

%%wattle worker etl/train --in table=clean/table --each lr=0.1,0.01 --out score
#| timeout: 2h
score = fit(table, lr)"""
VERBS: More = {
    "workflow": ("A cell that is a workflow: YAML or JSON, saved and drawn",
                 "%%wattle workflow etl\nworkers:\n  hello: {script: echo hello}", _workflow),
    "worker": ("A cell that is a worker: its source runs in a process of its own, when the workflow runs", _WORKERS,
               _worker),
}  # fmt: skip
"""The verbs of cells, beside `run`."""


# ---- the lines ----------------------------------------------------------------------------------------------------


def options_of(cell: str, look: Look, parser: Parser) -> tuple[list[str], dict[str, Any], str]:
    """The `#|` lines on top of a body: as words of the first line, and as keys of the worker for those that are no
    options of `parser`; and the body without them, its lines where they were, because errors name them.

    Raises `InvalidRequest`.
    """
    lines = cell.split("\n")
    words: list[str] = []
    keys: dict[str, Any] = {}
    known = {flag[2:]: flag for flag in parser.flags() if flag.startswith("--")}
    for number, line in enumerate(lines):
        option = OPTION.fullmatch(line.rstrip())
        if option is None:
            if line.strip():
                break
            continue
        found = _KEY.fullmatch(option[1].strip())
        if found is None:
            raise InvalidRequest(f"line {number + 1}: '{line.strip()}' is no option.", "write #| key: value")
        key, value = found[1].replace("_", "-"), found[2] or ""
        if key in known and key != "help":
            values = words_of(value, look)
            words += [known[key]] if values in (["true"], []) else [f"{known[key]}={given}" for given in values]
        else:
            keys[found[1]] = _yaml(expanded(f"{found[1]}: {value}", look), number + 1)[found[1]]
        lines[number] = TAKEN
    return words, keys, "\n".join(lines)


def _yaml(text: str, line: int) -> Any:
    from wattle.core import yamltext
    from wattle.core.findings import Unreadable

    try:
        return yamltext.load(text).value
    except Unreadable as error:
        raise InvalidRequest(f"line {line}: {error.finding.message}.", error.finding.hint) from None


# ---- the definition -----------------------------------------------------------------------------------------------


def worker_name(address: Address) -> str:
    """The worker that a line names. Raises `InvalidRequest`."""
    if address.worker is None or address.number is not None or address.port is not None:
        raise InvalidRequest(f"'{address}' is not the name of a worker in a workflow.", "for example: etl/clean")
    return address.worker


def definition(name: str, args: Namespace, source: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The worker that the words and keys describe, in the form of a document. `--push` is for the caller to add.

    Raises `InvalidRequest`.
    """
    python = args.lang == PYTHON
    inputs: dict[str, Any] = dict(map(_input, getattr(args, "inputs", ())))
    inputs |= {port: {"file": path} for port, path in map(_pair_of("--file"), args.files)}
    if not python:
        source = _TAKEN_LINES.sub("", source)  # not a comment in every language
    made: dict[str, Any] = {"name": name, "cell" if python else "script": source}
    if not python and not source.startswith("#!"):
        made["lang"] = args.lang
    outputs = dict(_output(port, python=python) for port in args.outputs)
    plain = {
        "inputs": inputs, "outputs": outputs, "needs": _split(getattr(args, "needs", ())), "python": args.python,
        "each": each_of(getattr(args, "each", [])), "when": getattr(args, "when", None), "timeout": args.timeout,
        "retries": args.retries, "env_vars": dict(map(_pair_of("--env"), args.env)),
    }  # fmt: skip
    made |= {key: value for key, value in plain.items() if value not in (None, {}, [])}
    for key, value in keys.items():
        mapped = key in {"inputs", "outputs", "env_vars"} and isinstance(value, dict)
        made[key] = {**value, **made.get(key, {})} if mapped else value
    return made


def variables_of(made: dict[str, Any]) -> set[str]:
    """The names that a worker cell finds without assigning them: inputs, values of `each`, files that it writes."""
    found = set(made.get("inputs") or ())
    each = made.get("each")
    if isinstance(each, dict):
        found |= set(each)
    elif isinstance(each, list):
        found |= {name for row in each if isinstance(row, dict) for name in row}
    return found | set(made.get("outputs") or ()) - set(saved_by(made))


def saved_by(made: dict[str, Any]) -> list[str]:
    """The variables that are saved when a worker cell has ended."""
    outputs = made.get("outputs") or {}
    types = {port: about.get("type") if isinstance(about, dict) else "file" for port, about in outputs.items()}
    return [port for port, kind in types.items() if kind in {"object", "value"}]


def _input(text: str) -> tuple[str, Any]:
    name, equals, rest = text.partition("=")
    if not equals:
        name, rest = text.rpartition("/")[2], text
    sources = rest.split(",")
    for source in sources:
        worker, slash, output = source.partition("/")
        if not (worker and slash and output) or "/" in output:
            raise InvalidRequest(f"--in {text}: an input is NAME=WORKER/OUTPUT.", "for example: --in raw=fetch/raw")
    return name, sources if len(sources) > 1 else rest


def _output(text: str, *, python: bool) -> tuple[str, dict[str, str]]:
    port, dot, _ = text.rpartition("/")[2].partition(".")
    if dot or not python:
        return port, {"type": "file", "name": text}
    if not _NAME.fullmatch(text):
        raise InvalidRequest(f"--out {text}: that is not the name of a variable.", "or give it a suffix: fig.png")
    return text, {"type": "object"}


def _pair_of(flag: str) -> Any:
    def pair(text: str) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"{flag} {text}: it is written NAME=VALUE.")
        return name, value

    return pair


def _split(values: Iterable[str]) -> list[str]:
    return [part for value in values for part in value.split(",") if part]


def each_of(texts: list[str]) -> Any:
    """`lr=0.1,0.01` and more of them is a product, a JSON list is rows, one name pairs with a group."""
    if len(texts) == 1 and "=" not in texts[0].partition("[")[0]:
        found = _json(texts[0])
        return found if isinstance(found, list) else texts[0]
    product: dict[str, Any] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise InvalidRequest(f"--each {text}: it is written NAME=A,B,C.", "for example: --each lr=0.1,0.01")
        whole = _json(values)
        product[name] = whole if isinstance(whole, list) else [_json(value) for value in values.split(",")]
    return product


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
