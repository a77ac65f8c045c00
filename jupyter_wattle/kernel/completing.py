"""What may follow in a magic's line: verbs, flags, workflows, runs, workers, outputs; of a cell's line also its own."""

from __future__ import annotations

import os
import re

from jupyter_wattle.kernel import grammar
from wattle import succession
from wattle.cli.grammar import SUFFIXES
from wattle.cli.names import FILE_VERBS, addresses
from wattle.cli.words import VERBS
from wattle.core.errors import WattleError
from wattle.settings import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jupyter_wattle.kernel.session import Desk


class Completion:
    """IPython's hook `complete_command`. Nothing is started or waited for: with nobody to ask, names are left out."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, _shell: Any, event: Any) -> list[str]:
        """The candidates, each as it goes on from what IPython takes for the word."""
        before = event.text_until_cursor
        word = re.split(r"\s", before)[-1]
        words = before.split()[1:]
        found = self.candidates(words if word else [*words, ""], cell=before.lstrip()[:2] == "%%")
        head = len(word) - len(event.symbol)
        return [name[head:] for name in found if name.startswith(word)]

    def candidates(self, words: list[str], *, cell: bool) -> list[str]:
        """What the last of these words may become."""
        *earlier, current = words or [""]
        verb = next((word for word in earlier if not word.startswith("-")), "")
        if not verb:
            lines = [*(known for known in VERBS if known not in grammar.TERMINAL_ONLY), *grammar.LINE_VERBS]
            return list(grammar.CELL_VERBS) if cell else lines
        try:
            if current.startswith("-"):
                return [flag for flag in grammar.parser_for(verb, cell=cell).flags() if flag.startswith("--")]
            return self._of_cell(earlier, current) if verb == "worker" else self._names(verb, current)
        except (WattleError, KeyError):
            return []

    def _of_cell(self, earlier: list[str], current: str) -> list[str]:
        """What may follow above a worker cell: outputs and workers of its workflow, variables of the kernel."""
        flag = earlier[-1]
        if flag == "--push":
            return [name for name in self._desk.here.shell.user_ns if not name.startswith("_")]
        address = next((word for word in earlier[1:] if not word.startswith("-")), "")
        if flag not in {"--in", "--needs", "--each"} or not address:
            return [f"{name}/" for name in self._names("worker", current) if "/" not in name] if not address else []
        settings = load({}, self._desk.here.environ)
        if not succession.answers(settings):
            return []
        with succession.client(settings) as client:
            workers = client.ask("get_workflow", workflow=address.partition("/")[0])["document"]["workers"]
        if flag != "--in":
            return [worker["name"] for worker in workers]
        outputs = [(worker["name"], port) for worker in workers for port in worker["outputs"] or ()]
        name = current.partition("=")[0] if "=" in current else ""
        return [f"{name or port}={worker}/{port}" for worker, port in outputs]

    def _names(self, verb: str, current: str) -> list[str]:
        folder, slash, _ = current.rpartition("/")
        files = []
        if verb in FILE_VERBS and os.path.isdir(folder or "."):
            files = [folder + slash + name for name in sorted(os.listdir(folder or "."))
                     if os.path.splitext(name)[1] in SUFFIXES]  # fmt: skip
        settings = load({}, self._desk.here.environ)
        if not succession.answers(settings):
            return files
        with succession.client(settings) as client:
            head, equals, rest = current.rpartition("=")
            return [*files, *(head + equals + name for name in addresses(client, rest))]
