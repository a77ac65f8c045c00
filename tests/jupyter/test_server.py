"""A coordinator in a real Jupyter server: it begins, ends in good order or by force, and runs outlive it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.jupyter.conftest import Begin
from tests.jupyter.servers import run_starting
from tests.terminal import Terminal


def gated(folder: Path, name: str = "gated", workers: int = 2) -> dict[str, Any]:
    """Workers that write a witness line and wait for the file `gate`; then `last`."""
    script = f'echo "$WATTLE_WORKER_NAME" >> "{folder}/witness"\nwhile [ ! -e "{folder}/gate" ]; do sleep 0.02; done'
    listed: dict[str, Any] = {f"w{i}": {"script": script, "lang": "sh"} for i in range(workers)}
    listed["last"] = {"command": ["sh", "-c", f"echo last >> {folder}/witness"], "needs": sorted(listed)}
    return {"name": name, "working_dir": str(folder), "max_concurrent_workers": workers, "workers": listed}


def witness(terminal: Terminal, count: int = 2) -> None:
    wait_until(lambda: len(terminal.lines("witness")) >= count, 30)


@pytest.mark.parametrize("kind", ["server", "lab", "serve"])
def test_a_workflow_is_made_run_and_followed_over_http(begin: Begin, tmp_path: Path, kind: str) -> None:
    server = begin(kind)
    assert server.ready()["rank"] == "server"
    run_starting(server, {"name": "etl", "working_dir": str(tmp_path), "workers": {
        "one": {"command": "sh -c 'echo out; echo err >&2'"}, "two": {"command": "true", "needs": ["one"]}}})  # fmt: skip
    with server.client() as client:
        changes = [data for _, data in client.stream("watch_run", workflow="etl@1")]
        chunks = [data for _, data in client.stream("follow_logs", workflow="etl@1", worker="one")]
    assert changes[-1]["run"]["status"] == "completed"
    text = {stream: "".join(chunk["text"] or "" for chunk in chunks if chunk["stream"] == stream)
            for stream in ("stdout", "stderr")}  # fmt: skip
    assert text == {"stdout": "out\n", "stderr": "err\n"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT without a terminal"])
def test_a_server_that_ends_hands_its_runs_over_and_the_next_one_takes_them_back(
    begin: Begin, terminal: Terminal, tmp_path: Path, number: int,
) -> None:  # fmt: skip
    first = begin()
    first.ready()
    run_starting(first, gated(tmp_path))
    witness(terminal)
    first.end(number)
    wait_until(lambda: terminal.wattle("status").returncode == 0 and terminal.holder()["rank"] == "background", 30)
    second = begin()
    assert wait_until(lambda: second.ready()["rank"] == "server", 30)
    assert terminal.holder()["pid"] == second.process.pid
    (tmp_path / "gate").touch()
    assert terminal.wait_for("gated", "completed")["counts"] == {"completed": 3}
    assert sorted(terminal.lines("witness")) == ["last", "w0", "w1"]
    assert "Traceback" not in first.log.read_text()


def test_a_server_that_is_killed_loses_nothing_and_the_next_one_takes_over(
    begin: Begin, terminal: Terminal, tmp_path: Path
) -> None:
    first = begin("lab")
    first.ready()
    run_starting(first, gated(tmp_path))
    witness(terminal)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(30)
    second = begin("lab")
    assert wait_until(lambda: second.ready()["rank"] == "server", 30)
    (tmp_path / "gate").touch()
    assert terminal.wait_for("gated", "completed")["counts"] == {"completed": 3}
    assert sorted(terminal.lines("witness")) == ["last", "w0", "w1"]


def test_a_background_coordinator_hands_over_to_a_server(begin: Begin, terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.wattle("up").returncode == 0
    document = terminal.write("gated.json", gated(tmp_path))
    assert terminal.wattle("run", "--detach", document).returncode == 0
    witness(terminal)
    server = begin()
    assert wait_until(lambda: server.ready()["rank"] == "server", 30)
    assert terminal.holder()["pid"] == server.process.pid
    (tmp_path / "gate").touch()
    terminal.wait_for("gated", "completed")
    assert sorted(terminal.lines("witness")) == ["last", "w0", "w1"]


def test_a_foreground_run_hands_over_to_a_server_and_is_followed_to_its_end(
    begin: Begin, terminal: Terminal, tmp_path: Path
) -> None:
    process = terminal.begin("run", terminal.write("gated.json", gated(tmp_path)))
    witness(terminal)
    server = begin()
    assert wait_until(lambda: server.ready()["rank"] == "server", 30)
    (tmp_path / "gate").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert sorted(terminal.lines("witness")) == ["last", "w0", "w1"]


def test_documents_and_metrics_are_served_by_host_and_guest(begin: Begin) -> None:
    for server in (begin(), begin("serve")):
        server.ready()
        document = server.ask("GET", "/api/wattle/openapi.json").json
        assert document["openapi"].startswith("3.1")
        page = server.ask("GET", "/api/wattle/docs")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        metrics = server.ask("GET", "/api/wattle/metrics")
        assert metrics.headers["Content-Type"].startswith("text/plain")
        assert b'wattle_coordinator_info{rank="server"' in metrics.body


@pytest.mark.parametrize("door", ["auto", "tcp"])
def test_a_second_server_joins_and_takes_over_when_the_first_one_ends(
    begin: Begin, terminal: Terminal, tmp_path: Path, door: str
) -> None:
    first, second = (begin(kind, environment={"WATTLE_DOOR": door}) for kind in ("server", "serve"))
    assert wait_until(lambda: (tmp_path / "home/run/coordinator.door").exists() is (door == "tcp"), 20)
    first_pid = first.ready()["pid"]
    assert second.ready()["pid"] == first_pid, "the second server answers with the first one's coordinator"
    run_starting(second, gated(tmp_path))
    witness(terminal)
    with second.client() as client:
        stream = client.stream("watch_run", workflow="gated@1")
        assert next(stream)[1]["run"]["status"] == "running"
        first.end()
        (tmp_path / "gate").touch()
        assert [data["run"]["status"] for _, data in stream][-1] == "completed"
    assert wait_until(lambda: second.ready()["pid"] == second.process.pid, 30)
    assert sorted(terminal.lines("witness")) == ["last", "w0", "w1"]


def test_a_coordinator_that_was_ended_rests_until_somebody_writes(begin: Begin, terminal: Terminal) -> None:
    server = begin()
    server.ready()
    assert terminal.wattle("down").returncode == 0
    resting = wait_until(lambda: (got := server.ask("GET", "/api/workflows")).status == 503 and got, 20)
    assert resting
    assert resting.json["code"] == "unreachable"
    server.ask("POST", "/api/workflows/none/start", {})
    assert server.ready()["rank"] == "server"


def test_a_state_root_that_cannot_be_used_leaves_jupyter_up_and_says_why(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "home").chmod(0o755)
    server = begin()
    assert server.ask("GET", "/api/status").status == 200
    refused = wait_until(lambda: (got := server.ask("GET", "/api/workflows")).json["code"] == "storage" and got, 20)
    assert refused
    assert refused.status == 503
    assert "chmod 700" in refused.json["hint"]
    (tmp_path / "home").chmod(0o700)
    assert server.ready()["rank"] == "server", "it tries again by itself"


def test_unfinished_runs_count_as_activity(begin: Begin, terminal: Terminal, tmp_path: Path) -> None:
    server = begin("server", "--ServerApp.shutdown_no_activity_timeout=2",
                   "--MappingKernelManager.cull_interval=1")  # fmt: skip
    server.ready()
    run_starting(server, gated(tmp_path))
    witness(terminal)
    log = server.log.read_text
    wait_until(lambda: "unfinished_runs" in log() or server.process.poll() is not None, 70)
    assert server.process.poll() is None
    assert "extension activity" in log() or "unfinished_runs" in log()


def test_a_taken_port_is_an_error_not_another_port(begin: Begin) -> None:
    first = begin()
    with pytest.raises(AssertionError, match="in use"):
        begin("serve", f"--port={first.port}")
