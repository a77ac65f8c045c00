"""A state root with a coordinator for all tests of a file, a shell on it, and a kernel on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kernel.shells import Kernel, Ran, Shell
from tests.terminal import Terminal

Run = Callable[[str], Ran]
FLOW = """\
name: etl
workers:
  fetch: {script: echo fetched; echo raw > $WATTLE_OUTPUT_RAW, outputs: [raw.csv]}
  count:
    script: echo 1 > $WATTLE_OUTPUT_LINES; echo ${WATTLE_WHO:-nobody}
    inputs: {raw: fetch/raw}
    outputs: {lines: {type: value}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A folder with `etl.yaml`, and a coordinator in the background."""
    made = Terminal(tmp_path_factory.mktemp("k"))
    (made.folder / "etl.yaml").write_text(FLOW)
    assert made.wattle("up").returncode == 0
    yield made
    made.close()


@pytest.fixture
def cell(place: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a cell in a fresh shell of this process that has loaded the extension."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("WATTLE_HOME", str(place.home))
    monkeypatch.setenv("WATTLE_WAIT", "0")
    shell = Shell(place.folder)
    assert shell.run("%load_ext wattle", capsys).error is None
    yield lambda text: shell.run(text, capsys)
    shell.run("%unload_ext wattle", capsys)
    shell.close()


@pytest.fixture(scope="module")
def kernel(place: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A real kernel for all tests of a file."""
    made = Kernel(place.folder, place.home)
    assert made.run("%load_ext wattle").status == "ok"
    yield made
    made.close()
