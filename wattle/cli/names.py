"""Names for the completion: workflows, runs and workers that a verb may mean."""

from __future__ import annotations

import os

from wattle import app
from wattle.cli.grammar import SUFFIXES
from wattle.core.errors import WattleError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wattle.sdk.client import Client
    from wattle.settings import Settings

SHELL_VERBS = {"completion"}
OWN_WORDS = {"bus": ["state", "init-tls", "export"]}
FILE_VERBS = {"run", "plan", "validate", "create", "import", "graph"}


def complete(words: list[str], settings: Settings) -> int:
    """Print what may follow; nothing at all when nobody can be asked."""
    verb, current = [*words, "", ""][:2]
    try:
        found = list(_candidates(verb, current, settings))
    except WattleError:
        found = []
    print("\n".join(found))
    return 0


def _candidates(verb: str, current: str, settings: Settings) -> list[str]:
    if verb in SHELL_VERBS:
        return ["bash", "zsh", "fish"]
    if verb in OWN_WORDS:
        return OWN_WORDS[verb]
    files = [name for name in os.listdir() if os.path.splitext(name)[1] in SUFFIXES] if verb in FILE_VERBS else []
    if not settings.database_exists():
        return files
    connection = app.connection(settings, "read")
    try:
        return files + addresses(connection.client, current)
    finally:
        connection.close()


def addresses(client: Client, current: str) -> list[str]:
    """What an address that was begun may become."""
    head, slash, rest = current.partition("/")
    if slash:
        worker, deeper, _ = rest.partition("/")
        if deeper:
            outputs = client.ask("list_outputs", workflow=head, worker=worker)["outputs"]
            return [f"{head}/{worker}/{output['port']}" for output in outputs]
        states = client.ask("list_workers", workflow=head)["workers"]
        names = dict.fromkeys(name for state in states for name in (state["group"], state["name"]) if name)
        return [f"{head}/{name}" for name in names]
    if "@" in head:
        return [run["address"] for run in client.ask("list_runs", workflow=head.partition("@")[0])["runs"]]
    return [flow["name"] for flow in client.ask("list_workflows")["workflows"]]
