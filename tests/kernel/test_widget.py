"""The widget of front ends without our renderer: pictures are pushed, questions are answered by the kernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import DEADLINE
from tests.kernel.shells import MIME, Kernel
from tests.terminal import Terminal

BUILT = Path(__file__).parents[2] / "jupyter_wattle" / "static" / "widget.js"
pytestmark = pytest.mark.skipif(not BUILT.exists(), reason="the front end is not built")
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def kernel(place: Terminal) -> Iterator[Kernel]:
    made = Kernel(place.folder, place.home, WATTLE_VIEW="widget")
    made.run("%load_ext wattle")
    yield made
    made.close()


def messages(kernel: Kernel, good: Any) -> dict[str, Any]:
    """The first message on the bus that is good."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        message = kernel.client.get_iopub_msg(timeout=DEADLINE)
        if good(message):
            return dict(message)
    raise AssertionError("no such message came")


def test_a_running_run_is_a_widget_that_is_pushed_to_answers_and_settles(kernel: Kernel, place: Terminal) -> None:
    (place.folder / "held.yaml").write_text("name: held\nworkers: {w: {script: 'echo at work; until [ -e go ]; do sleep 0.02; done'}, v: {script: 'true', needs: [w]}}\n")
    begun = kernel.begin("%wattle run held.yaml")
    opened = messages(kernel, lambda message: message["msg_type"] == "comm_open" and "_esm" in message["content"]["data"]["state"])
    state = opened["content"]["data"]["state"]
    assert state["data"]["kind"] == "run"
    assert state["state"]["seq"] == 0
    shown = messages(kernel, lambda message: message["msg_type"] == "display_data")["content"]
    assert set(shown["data"]) >= {WIDGET, "text/plain"}
    kernel.ended(begun)
    comm = opened["content"]["comm_id"]
    ask(kernel, comm, {"call": "list_workers", "request": {"workflow": "held@1"}, "id": 7})
    reply = messages(kernel, lambda message: message["msg_type"] == "comm_msg" and message["content"]["data"].get("method") == "custom")
    assert reply["content"]["data"]["content"]["id"] == 7
    assert reply["content"]["data"]["content"]["reply"]["status"] == "running"
    ask(kernel, comm, {"call": "follow_logs", "request": {"workflow": "held@1", "worker": "w"}, "id": 8})
    reply = messages(kernel, lambda message: message["msg_type"] == "comm_msg" and message["content"]["data"].get("method") == "custom")
    assert reply["content"]["data"]["content"]["error"]["code"] == "invalid-request"
    (place.folder / "go").touch()
    settled = kernel.update_of(shown["transient"]["display_id"], lambda data: MIME in data)
    assert settled[MIME]["snapshot"]["run"]["status"] == "completed"
    assert WIDGET not in settled


def ask(kernel: Kernel, comm: str, content: dict[str, Any]) -> None:
    """A message as a page sends it."""
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": content}})
    kernel.client.shell_channel.send(message)
