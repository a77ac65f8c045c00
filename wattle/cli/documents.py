"""Documents from files and the standard input, and the small edits that `init` and `new` make."""

from __future__ import annotations

import os
import re
import sys

from wattle.cli.grammar import SUFFIXES
from wattle.core.errors import Conflict, InvalidRequest, NotFound

DEFAULT = "wattle.yaml"
_last = ["", ""]

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


def read(path: str | None, form: str | None) -> dict[str, str]:
    """The fields that a request takes: text, format, base_dir and source. Raises NotFound and InvalidRequest."""
    if path == "-":
        data, name, folder, source = sys.stdin.buffer.read(), "standard input", os.getcwd(), ""
        form = form or _guess(data)
    else:
        name = path or DEFAULT
        data = _bytes(name, asked=path is not None)
        source = os.path.abspath(name)
        folder = os.path.dirname(source)
        form = form or SUFFIXES.get(os.path.splitext(name)[1].lower())
        if form is None:
            raise InvalidRequest(f"What is {name}? Its name ends in none of {', '.join(SUFFIXES)}.",
                                 "say it with --format yaml, json or toml")  # fmt: skip
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{name} is not UTF-8 text (byte {error.start}).", "save it as UTF-8") from None
    _last[:] = [name, text]
    return {"text": text, "format": form, "base_dir": folder, "source": source}


def last_name() -> str:
    """What the newest document is called, for its problems."""
    return _last[0] or "document"


def last_text() -> str:
    """The newest document's text, for its problems."""
    return _last[1]


def write_first(name: str | None) -> str:
    """Write a first `wattle.yaml` here; never over another. Returns its path."""
    if os.path.exists(DEFAULT):
        raise Conflict(f"There is a {DEFAULT} here already.", "wattle run runs it; wattle new adds a worker to it",
                       code="exists")  # fmt: skip
    folder = re.sub(r"[^\w.-]", "-", os.path.basename(os.getcwd())).strip(".-") or "flow"
    with open(DEFAULT, "x", encoding="utf-8") as file:
        file.write(FIRST.format(name=name or folder))
    return DEFAULT


def worker_text(name: str, command: str | None, script: str | None, inputs: list[str], outputs: list[str],
                needs: list[str]) -> str:  # fmt: skip
    """A worker as YAML below `workers:`."""
    lines = [f"  {name}:"]
    if command is not None:
        lines.append(f"    command: {_quoted(command)}")
    elif script is not None:
        lines += ["    script: |", *(f"      {line}" for line in script.rstrip("\n").split("\n"))]
    pairs = []
    for item in inputs:
        port, equals, source = item.partition("=")
        if not equals or "/" not in source:
            raise InvalidRequest(f"--in {item}: an input is PORT=WORKER/OUTPUT.", "for example: --in raw=fetch/raw")
        pairs.append(f"{port}: {source}")
    if pairs:
        lines.append(f"    inputs: {{{', '.join(pairs)}}}")
    if outputs:
        lines.append(f"    outputs: [{', '.join(map(_quoted, outputs))}]")
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


def _quoted(text: str) -> str:
    plain = re.fullmatch(r"[\w./$-][\w./${} =-]*", text) and not text.endswith(" ") and ": " not in text
    return text if plain else "'" + text.replace("'", "''") + "'"


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


def _guess(data: bytes) -> str:
    return "json" if data.lstrip()[:1] == b"{" else "yaml"
