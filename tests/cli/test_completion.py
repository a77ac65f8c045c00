"""The completion scripts, in the shells that are here, and the names behind them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.terminal import Terminal
from wattle.cli.completion import script
from wattle.cli.words import SHELLS, VERBS


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_its_flags_are_in_the_script(shell: str) -> None:
    text = script(shell)
    assert all(verb in text for verb in VERBS)
    assert "detach" in text
    assert "@VERBS@" not in text
    assert "@FLAGS@" not in text


def test_bash_takes_the_scripts() -> None:
    for shell in ("bash", "zsh"):
        checked = subprocess.run(["bash", "-n"], input=script(shell), text=True, capture_output=True, check=False)
        assert checked.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_take_theirs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    checked = subprocess.run([shell, "-n"], input=script(shell), text=True, capture_output=True, check=False)
    assert checked.stderr == ""


def completed(line: str, folder: Path, names: str = "") -> list[str]:
    """What bash offers for a line, with `wattle _complete` answering `names`."""
    asked = f"""{script('bash')}
wattle() {{ printf '%s\\n' {names}; }}
COMP_LINE={line!r}; COMP_POINT={len(line)}
_wattle
printf '%s\\n' "${{COMPREPLY[@]}}\""""
    found = subprocess.run(["bash", "-c", asked], cwd=folder, text=True, capture_output=True, check=True)
    return found.stdout.split()


def test_bash_offers_verbs_flags_names_and_files(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text("")
    assert sorted(completed("wattle sta", tmp_path)) == ["start", "status"]
    assert completed("wattle run --det", tmp_path) == ["--detach"]
    assert completed("wattle --home x run --det", tmp_path) == ["--detach"]
    assert completed("wattle logs et", tmp_path, "etl etl/clean other") == ["etl", "etl/clean"]
    assert completed("wattle run fl", tmp_path) == ["flow.yaml"]


def test_bash_replaces_only_what_follows_the_at(tmp_path: Path) -> None:
    assert completed("wattle status etl@1", tmp_path, "etl@1 etl@12 etl@2") == ["1", "12"]


def test_names_come_from_the_store_without_a_coordinator(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        assert terminal.wattle("_complete", "status", "").stdout.split() == []
        terminal.write("flow.json", {"name": "etl", "workers": [
            {"name": "clean", "command": "true", "outputs": {"t": {"type": "value"}}}]})  # fmt: skip
        assert terminal.wattle("run", "flow.json").returncode == 0
        assert terminal.wattle("_complete", "status", "").stdout.split() == ["etl"]
        assert terminal.wattle("_complete", "logs", "etl/").stdout.split() == ["etl/clean"]
        assert terminal.wattle("_complete", "status", "etl@").stdout.split() == ["etl@1"]
        assert terminal.wattle("_complete", "get", "etl/clean/").stdout.split() == ["etl/clean/t"]
        assert terminal.wattle("_complete", "run", "").stdout.split() == ["flow.json", "etl"]
        assert terminal.wattle("_complete", "logs", "nope/").stdout.split() == []
    finally:
        terminal.close()
