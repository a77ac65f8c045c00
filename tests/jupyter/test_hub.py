"""A real JupyterHub with its own proxy: hub, single-user server, our API and its streams."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.jupyter.servers import CONFIG, Answer, free_port
from tests.jupyter.test_server import gated
from tests.terminal import REPOSITORY, Terminal

PROXY = os.environ.get("WATTLE_TEST_HUB_PROXY") or shutil.which("configurable-http-proxy")
pytestmark = pytest.mark.skipif(
    PROXY is None or importlib.util.find_spec("jupyterhub") is None,
    reason="needs jupyterhub (PyPI) and configurable-http-proxy (npm)",
)
SERVICE_TOKEN = "a-service-of-these-tests"
SETTINGS = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = {hub}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/users/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.environment = {environment!r}
c.JupyterHub.services = [{{"name": "tests", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "tests", "services": ["tests"],
                             "scopes": ["admin:users", "admin:servers", "access:servers"]}}]
"""


class Hub:
    """One hub on a folder of its own, asked with a service's token."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.port, self.log = free_port(), folder / "hub.log"
        config = folder / "jupyter-config"
        config.mkdir()
        (config / "jupyter_server_config.json").write_text(json.dumps(CONFIG))
        environment = {"WATTLE_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "JUPYTER_CONFIG_DIR": str(config),
                       "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}  # fmt: skip
        (folder / "jupyterhub_config.py").write_text(SETTINGS.format(
            port=self.port, hub=free_port(), api=free_port(), folder=folder, proxy=[PROXY], python=sys.executable,
            environment=environment, token=SERVICE_TOKEN))  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
                                            cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            start_new_session=True)  # fmt: skip
        wait_until(lambda: self.ask("GET", "/hub/api/").status == 200, 60, every=0.1)

    @contextlib.contextmanager
    def open(self, method: str, path: str, body: Any = None) -> Iterator[http.client.HTTPResponse]:
        """An answer through the proxy, its body not yet read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"token {SERVICE_TOKEN}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            with connection.getresponse() as answer:
                yield answer

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """A whole answer; 0 while nobody listens."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with self.open(method, path, body) as answer:
                return Answer(answer.status, dict(answer.getheaders()), answer.read())
        except OSError:
            return Answer(0, {}, b"")

    def spawn(self, user: str) -> None:
        """Start the user's server and wait until Wattle answers in it."""
        assert self.ask("POST", f"/hub/api/users/{user}/server").status in {201, 202}
        path = f"/user/{user}/api/wattle/health"
        wait_until(lambda: self.ask("GET", path).status == 200, 60, every=0.1)

    def close(self) -> None:
        """End the hub with its proxy and its servers."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture
def hub(tmp_path: Path, terminal: Terminal) -> Iterator[Hub]:
    made = Hub(tmp_path, terminal.home)
    yield made
    made.close()


def test_from_the_hub_through_its_proxy_to_a_run_that_outlives_the_user_s_server(
    hub: Hub, terminal: Terminal, tmp_path: Path
) -> None:
    assert hub.ask("POST", "/hub/api/users/ann").status == 201
    hub.spawn("ann")
    api = "/user/ann/api/workflows"
    assert hub.ask("POST", api, {"document": gated(tmp_path)}).status == 200
    assert hub.ask("POST", f"{api}/gated/start", {}).status == 200
    wait_until(lambda: len(terminal.lines("witness")) == 2, 30)
    with hub.open("GET", f"{api}/gated@1/watch") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        first = next(line for line in stream if line.startswith(b"data: "))
        assert json.loads(first[6:])["run"]["status"] == "running", "it comes while the run goes on"

    assert hub.ask("DELETE", "/hub/api/users/ann/server").status in {202, 204}
    wait_until(lambda: terminal.holder()["rank"] == "background", 60)
    hub.spawn("ann")
    assert terminal.holder()["rank"] == "server"
    (tmp_path / "gate").touch()
    terminal.wait_for("gated", "completed")
    assert sorted(terminal.lines("witness")) == ["last", "w0", "w1"]
    assert hub.ask("GET", f"{api}/gated").json["status"] == "completed"
