"""A folder with a state root, the command line on it, and as many servers as a test begins."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.jupyter.servers import Server
from tests.terminal import Terminal

Begin = Callable[..., Server]


@pytest.fixture
def begin(tmp_path: Path, terminal: Terminal) -> Iterator[Begin]:
    """Begins a server on the state root that `terminal` has."""
    begun: list[Server] = []

    def start(kind: str = "server", *words: str, **given: object) -> Server:
        begun.append(Server(tmp_path, kind, *words, **given))  # type: ignore[arg-type]
        return begun[-1]

    yield start
    for server in begun:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.end()
        server.close()
