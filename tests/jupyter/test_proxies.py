"""Live logs behind real proxies: nginx, also one that was told to buffer, and jupyter-server-proxy."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.jupyter.conftest import Begin
from tests.jupyter.servers import TOKEN, Server, free_port, run_starting
from tests.terminal import Terminal
from wattle.sdk.client import Client
from wattle.sdk.url import UrlTransport

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")

CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  proxy_set_header Host $http_host; proxy_http_version 1.1; proxy_set_header Connection "";
  gzip on; gzip_types text/event-stream; gzip_proxied any;
  server {{ listen 127.0.0.1:{usual}; location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}
  server {{ listen 127.0.0.1:{deaf}; location / {{ proxy_pass http://127.0.0.1:{behind};
    proxy_ignore_headers X-Accel-Buffering; proxy_buffers 8 64k; proxy_buffer_size 64k; }} }}
}}
"""


class Proxy:
    """nginx in front of a server, with a port that heeds `X-Accel-Buffering` and one that does not."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.usual, self.deaf = free_port(), free_port()
        (folder / "nginx.conf").write_text(CONFIG.format(
            folder=folder, usual=self.usual, deaf=self.deaf, behind=server.port))  # fmt: skip
        assert NGINX is not None
        self.process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])
        wait_until(lambda: self.process.poll() is None and (folder / "nginx.pid").exists())

    @contextlib.contextmanager
    def open(self, port: int, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """The answer to a GET, its body not yet read."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        given = {"Authorization": f"token {TOKEN}", **{name.replace("_", "-"): text for name, text in headers.items()}}
        with contextlib.closing(connection):
            connection.request("GET", path, headers=given)
            with connection.getresponse() as answer:
                yield answer

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def gated(begin: Begin, terminal: Terminal, tmp_path: Path) -> Iterator[Proxy]:
    """A worker that has written its first line and waits for the file `gate`."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    server = begin("server", "--ServerApp.ip=127.0.0.1")
    server.ready()
    script = f'echo first\nwhile [ ! -e "{tmp_path}/gate" ]; do sleep 0.02; done\necho last'
    run_starting(server, {"name": "slow", "working_dir": str(tmp_path), "workers": {"one": {"script": script}}})
    wait_until(lambda: "first" in json.dumps(server.ask("GET", "/api/workers/slow/one/logs").json))
    proxy = Proxy(tmp_path, server)
    yield proxy
    proxy.close()


def data_of(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def test_a_line_comes_through_nginx_while_the_worker_still_runs(gated: Proxy, tmp_path: Path) -> None:
    with gated.open(gated.usual, "/api/workers/slow@1/one/logs/stream", Accept="text/event-stream") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        events = data_of(answer)
        assert "first\n" in next(events)["text"]
        assert not (tmp_path / "gate").exists()
        (tmp_path / "gate").touch()
        assert "last\n" in "".join(event.get("text") or "" for event in events)


def test_the_states_of_a_run_come_through_nginx(gated: Proxy, tmp_path: Path) -> None:
    with gated.open(gated.usual, "/api/workflows/slow@1/watch", Accept="text/event-stream") as answer:
        events = data_of(answer)
        assert next(events)["run"]["status"] == "running"
        (tmp_path / "gate").touch()
        assert [event["run"]["status"] for event in events if "run" in event][-1] == "completed"


def test_behind_a_proxy_that_buffers_the_long_poll_says_the_same(gated: Proxy, tmp_path: Path) -> None:
    path = "/api/workers/slow@1/one/logs/stream?poll=1"
    with gated.open(gated.deaf, path) as answer:
        told = json.loads(answer.read())
    assert "".join(event["data"].get("text") or "" for event in told["events"]) == "first\n"
    (tmp_path / "gate").touch()
    text, last, ended = "", told["id"], False
    while not ended:
        with gated.open(gated.deaf, path, Last_Event_ID=last) as answer:
            told = json.loads(answer.read())
        text += "".join(event["data"].get("text") or "" for event in told["events"])
        last, ended = told["id"] or last, any(event["event"] == "end" for event in told["events"])
    assert text == "last\n"


@pytest.mark.skipif(importlib.util.find_spec("jupyter_server_proxy") is None, reason="needs jupyter-server-proxy (PyPI)")
def test_live_logs_come_through_jupyter_server_proxy(begin: Begin, tmp_path: Path) -> None:
    behind = begin("serve")
    behind.ready()
    outer = tmp_path / "outer"
    outer.mkdir()
    front = Server(outer, config={"ServerApp": {"jpserver_extensions": {"jupyter_server_proxy": True}}})
    try:
        script = f'echo first\nwhile [ ! -e "{tmp_path}/gate" ]; do sleep 0.02; done\necho last'
        run_starting(behind, {"name": "slow", "working_dir": str(tmp_path), "workers": {"one": {"script": script}}})
        way = UrlTransport(f"http://{front.host}:{front.port}/proxy/{behind.port}", TOKEN)
        with Client(way) as client:
            chunks = client.stream("follow_logs", workflow="slow@1", worker="one")
            text = next(chunks)[1]["text"]
            assert not (tmp_path / "gate").exists()
            (tmp_path / "gate").touch()
            text += "".join(data["text"] or "" for _, data in chunks)
    finally:
        front.close()
    assert text.endswith("first\nlast\n")
