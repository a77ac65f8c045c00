"""Documents from files and the standard input, and the small edits that `init` and `new` make."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys

from wattle.cli.grammar import NOTEBOOK, SUFFIXES
from wattle.core.errors import Conflict, InvalidRequest, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wattle.core.requests import Format

DEFAULT = "wattle.yaml"

FIRST = """\
# A workflow: workers are processes, inputs and outputs are their edges.
#   wattle plan     what would run         wattle run      run it
name: {name}
workers:
  hello:
    script: echo "hello from $(uname -n)" > "$WATTLE_OUTPUT_GREETING"
    outputs: [greeting.txt]
  shout:
    script: tr a-z A-Z < "$WATTLE_INPUT_GREETING" | tee "$WATTLE_OUTPUT_SHOUT"
    inputs: {{greeting: hello/greeting}}
    outputs: [shout.txt]
"""


class Document:
    """The text of a document and where it came from. `fields` is what a request takes. `cells` tells of a notebook
    which cell defines which worker."""

    def __init__(self, name: str, text: str, form: Format, folder: str, source: str, *,
                 cells: Mapping[str, int] | None = None) -> None:  # fmt: skip
        self.name = name
        self.text = text
        self.form = form
        self.folder = folder
        self.source = source
        self.cells = cells

    def fields(self) -> dict[str, str]:
        """Text, format and base_dir."""
        return {"text": self.text, "format": self.form, "base_dir": self.folder}


def read(path: str | None, form: Format | None, flow: str | None = None) -> Document:
    """The document at a path, `-` for the standard input, None for `wattle.yaml` here. `flow` is the one that is meant
    of several in a notebook.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: it cannot be read, is not UTF-8, or nothing says which format it has.
    """
    if path == "-":
        data, name, folder, source = sys.stdin.buffer.read(), "standard input", os.getcwd(), ""
        form = form or ("json" if data.lstrip()[:1] == b"{" else "yaml")
    else:
        name = path or DEFAULT
        data = _bytes(name, asked=path is not None)
        source = os.path.abspath(name)
        folder = os.path.dirname(source)
        form = form or SUFFIXES.get(os.path.splitext(name)[1].lower())
        if form is None and not name.endswith(NOTEBOOK):
            raise InvalidRequest(f"What is {name}? Its name ends in none of {', '.join(SUFFIXES)}.",
                                 "say it with --format yaml, json or toml")  # fmt: skip
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is not UTF-8 text (byte {error.start}).", "save it as UTF-8") from None
    if form is None:
        return _notebook(text, name, folder, source, flow)
    return Document(name, text, form, folder, source)


def _notebook(text: str, name: str, folder: str, source: str, flow: str | None) -> Document:
    from wattle.cli.notebooks import Book, as_text

    book = Book(text, name, folder, source)
    found, document = book.document(flow)
    return Document(name, as_text(document), "json", folder, source, cells=book.cells[found])


def write_first(name: str | None) -> str:
    """Write a first `wattle.yaml` here; never over another. Returns its path."""
    if os.path.exists(DEFAULT):
        raise Conflict(f"There is a {DEFAULT} here already.", "wattle run runs it; wattle new adds a worker to it",
                       code="exists")  # fmt: skip
    folder = re.sub(r"[^\w.-]", "-", os.path.basename(os.getcwd())).strip(".-") or "flow"
    with open(DEFAULT, "x", encoding="utf-8") as file:
        file.write(FIRST.format(name=name or folder))
    return DEFAULT


def rewrite(document: Document) -> None:
    """Put the document's text in the place of its file, whole or not at all. Raises `InvalidRequest`."""
    beside = f"{document.source}.{os.getpid()}.new"
    try:
        with open(beside, "x", encoding="utf-8") as file:
            file.write(document.text)
        os.chmod(beside, os.stat(document.source).st_mode & 0o777)
        os.replace(beside, document.source)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise InvalidRequest(f"{document.name} cannot be written: {error.strerror}.", "look at its rights") from None


def worker_text(name: str, command: str | None, script: str | None, inputs: list[str], outputs: list[str],
                needs: list[str]) -> str:  # fmt: skip
    """A worker as YAML below `workers:`."""
    lines = [f"  {name}:"]
    if command is not None:
        lines.append(f"    command: {_quoted(command)}")
    elif script is not None:
        indented = "2" if script.lstrip("\n")[:1].isspace() else ""
        lines.append(f"    script: |{indented}")
        lines += [f"      {line}".rstrip() for line in script.rstrip("\n").split("\n")]
    pairs = []
    for item in inputs:
        port, equals, source = item.partition("=")
        if not equals or "/" not in source:
            raise InvalidRequest(f"--in {item}: an input is PORT=WORKER/OUTPUT.", "for example: --in raw=fetch/raw")
        pairs.append(f"{port}: {source}")
    if pairs:
        lines.append(f"    inputs: {{{', '.join(pairs)}}}")
    if outputs:
        lines.append(f"    outputs: [{', '.join(_quoted(output, _PLAIN_IN_LIST) for output in outputs)}]")
    if needs:
        lines.append(f"    needs: [{', '.join(needs)}]")
    return "\n".join(lines) + "\n"


def with_worker(text: str, worker: str) -> str:
    """The document's text with the worker put at the end of its `workers:`, all else as it was."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if re.match(r"workers:\s*(#.*)?$", line)), None)
    if start is None:
        raise InvalidRequest("The document has no `workers:` block to add to.", "add the worker by hand")
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " #"):
        end += 1
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return "\n".join([*lines[:end], worker.rstrip("\n"), *lines[end:]])


_PLAIN = re.compile(r"[A-Za-z_./$][\w./${}=+ -]*(?<! )")
_PLAIN_IN_LIST = re.compile(r"[A-Za-z_./][\w./+-]*")
_OTHER_TYPES = {"true", "false", "null", "~", ".inf", ".nan"}


def _quoted(text: str, plain: re.Pattern[str] = _PLAIN) -> str:
    """A text as a YAML scalar that is read as that text."""
    if plain.fullmatch(text) and text.lower() not in _OTHER_TYPES:
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text)


def _bytes(name: str, *, asked: bool) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except FileNotFoundError:
        if asked:
            raise NotFound(f"There is no file {name}.", "wattle list shows what is saved") from None
        raise NotFound(f"There is no {DEFAULT} here.", "wattle init writes one, wattle demo shows one, "
                       "or name a saved workflow: wattle list") from None  # fmt: skip
    except IsADirectoryError:
        raise InvalidRequest(f"{name} is a folder.", f"cd {name} && wattle run") from None
    except OSError as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror}.", "look at its permissions") from None
