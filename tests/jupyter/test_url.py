"""The command line against a server behind a URL, with a token from the environment only."""

from __future__ import annotations

from pathlib import Path

from tests.jupyter.conftest import Begin
from tests.jupyter.servers import TOKEN
from tests.terminal import Terminal


def test_every_verb_reaches_the_server_and_nothing_of_this_machine(
    begin: Begin, terminal: Terminal, tmp_path: Path
) -> None:
    server = begin("serve")
    server.ready()
    elsewhere = Terminal(tmp_path / "elsewhere", tmp_path / "unused")
    elsewhere.folder.mkdir()
    flow = elsewhere.write("flow.json", {"name": "far", "workers": {"one": {"script": "echo ${MINE-none}; pwd"}}})
    url, token = {"WATTLE_URL": server.url, "MINE": "secret"}, {"WATTLE_TOKEN": TOKEN}
    refused = elsewhere.wattle("list", env=url)
    assert refused.returncode == 4
    assert "token" in refused.stderr
    run = elsewhere.wattle("run", flow, env={**url, **token})
    assert run.returncode == 0, run.stderr
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    by_file = {"WATTLE_TOKEN_FILE": str(tmp_path / "token")}
    logs = elsewhere.wattle("--url", server.url, "logs", "far/one", "--raw", env=by_file)
    assert logs.stdout.splitlines()[-2:] == ["none", str(terminal.home / "work" / "far")]
    assert terminal.ask("list")["workflows"][0]["source"] == ""
    up = elsewhere.wattle("up", env={**url, **token})
    assert up.returncode == 2
    assert "--url" in up.stderr
    missing = elsewhere.wattle("list", env={**url, "WATTLE_TOKEN_FILE": "/no/such/file"})
    assert missing.returncode == 2
    assert not (tmp_path / "unused" / "wattle.db").exists()
