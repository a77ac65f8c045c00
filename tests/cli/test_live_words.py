"""The words of the bus, for real: scripts and programs in other languages within a run, and a person looking at it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import DEADLINE, wait_until
from tests.terminal import Terminal
from wattle.bus.zenoh import open_client
from wattle.sdk.services import Place, Services

ENGINE = """
import pathlib, time
from wattle import worker
@worker.serve("twice")
def twice(data):
    if data == "bad":
        raise ValueError("no number")
    return {"twice": 2 * data}
number = 0
while not pathlib.Path("over").exists():
    number += 1
    worker.publish("state", {"n": number})
    worker.publish("picture", b"\\x89PNG")
    time.sleep(0.005)
"""
SHELL = """
wattle() { "$PYTHON" -m wattle "$@"; }
wattle sub state -n 2 > heard.txt
wattle query engine/twice 21 > answer.txt
printf '1\\n{"two": 2}\\nthree\\n' | wattle pub said
wattle put score "$(cat answer.txt)"
"""
PIPER = r"""
import json, os, subprocess, sys
pipe = subprocess.Popen([sys.executable, "-m", "wattle", "pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def say(**line): pipe.stdin.write(json.dumps(line) + "\n"); pipe.stdin.flush()
def hear(): return json.loads(pipe.stdout.readline())
told = [hear()]
say(serve="half"); say(request="engine/twice", data=4, id=1); told.append(hear())
say(request="engine/twice", data="bad", id=2); told.append(hear())
say(request="nobody/at/all", id=3, timeout=0.2); told.append(hear())
say(subscribe="engine/state"); heard = hear(); say(unsubscribe="engine/state")
while "end" not in heard: heard, last = hear(), heard
told.append(last)
say(nonsense=1); told.append(hear())
say(put="score", value=[1, None]); say(progress=0.5, text="half")
say(publish="bytes", base64="AAE=", encoding="image/png")
open("piping", "w").close()
question = hear(); say(answer=question["question"], data=question["data"] / 2)
question = hear(); say(answer=question["question"], error="too small")
json.dump(told, open("told.json", "w"))
pipe.stdin.close()
sys.exit(pipe.wait())
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal whose coordinator has a bus."""
    place = Terminal(tmp_path, bus=True)
    place.environment["PYTHON"] = sys.executable
    (tmp_path / "engine.py").write_text(ENGINE)
    (tmp_path / "piper.py").write_text(PIPER)
    yield place
    (tmp_path / "over").touch()
    place.close()


def document(**workers: Any) -> dict[str, Any]:
    stream = {"type": "stream"}
    return {"name": "talk", "grace": 2, "workers": {
        "engine": {"command": [sys.executable, "engine.py"], "outputs": {"state": stream}, "service": True}, **workers}}


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    return out


def test_a_shell_script_listens_asks_publishes_and_puts(live: Terminal) -> None:
    flow = document(shell={"script": SHELL, "inputs": {"state": "engine/state"}, "outputs": {"score": {"type": "value"}}})
    done = live.wattle("run", live.write("talk.json", flow), timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr + live.wattle("logs", "talk/shell").stdout
    heard = [json.loads(line)["n"] for line in live.lines("heard.txt")]
    assert len(heard) == 2
    assert heard[0] < heard[1]
    assert live.wattle("get", "talk/shell/score").stdout == '{"twice": 42}\n'


def test_a_program_in_any_language_talks_through_a_pipe_and_a_person_asks_it(live: Terminal) -> None:
    flow = document(piper={"command": [sys.executable, "piper.py"], "outputs": {"score": {"type": "value"}}})
    assert live.wattle("run", live.write("talk.json", flow), "-d").returncode == 0
    wait_until((live.folder / "piping").exists, 60)
    assert live.wattle("query", "talk/piper/half", "5").stdout == "2.5\n"
    refused = live.wattle("query", "talk@1/piper/half", "1")
    assert (refused.returncode, "piper/half: too small" in refused.stderr) == (1, True)
    assert live.wattle("wait", "talk", timeout=60).returncode == 0
    ready, twice, failed, nobody, state, nonsense = json.loads((live.folder / "told.json").read_text())
    assert ready == {"ready": "talk@1/piper"}
    assert twice == {"reply": 1, "data": {"twice": 8}}
    assert (failed["reply"], failed["error"]["message"]) == (2, "engine/twice: ValueError: no number")
    assert (nobody["reply"], nobody["error"]["code"]) == (3, "worker-unreachable")
    assert (state["message"], set(state["data"])) == ("engine/state", {"n"})
    assert (nonsense["line"], nonsense["error"]["code"]) == (7, "invalid-request")
    assert live.ask("get", "talk/piper/score")["value"] == [1, None]


def test_a_person_listens_and_taps_from_outside(live: Terminal) -> None:
    assert live.wattle("run", live.write("talk.json", document(last={"script": "until [ -e over ]; do sleep 0.05; done"})),
                       "-d").returncode == 0  # fmt: skip
    two = [json.loads(line)["n"] for line in live.wattle("sub", "talk/engine/state", "-n", "2").stdout.splitlines()]
    assert len(two) == 2
    assert live.wattle("sub", "talk/engine", "-n", "1").returncode == 0, "its only live edge"
    which = live.wattle("sub", "talk@1/last")
    assert (which.returncode, "'talk@1/last' names no service" in which.stderr) == (2, True)
    full = json.loads(live.wattle("sub", "talk@1/engine/picture", "-n", "1", "--json").stdout)
    assert full == {"base64": "iVBORw==", "encoding": "application/octet-stream", "dropped": 0}
    tapping = live.begin("tap", "talk/engine/state", "--json")
    plain = live.begin("tap", "talk/engine/state")
    assert tapping.stdout is not None
    first = json.loads(tapping.stdout.readline())
    assert first["messages"] > 10
    assert first["rate"] > 10
    assert (first["dropped"], set(first["last"]["data"])) == (0, {"n"})
    shown = on_a_terminal(live, "tap", "talk/engine/state")
    assert re.search(r"● talk@1/engine/state +live", shown)
    assert re.search(r"\d/s +[▁▂▃▄▅▆▇█]+", shown)
    assert re.search(r'last +\{"n": \d+\}', shown)
    (live.folder / "over").touch()
    assert json.loads(ended(tapping).splitlines()[-1])["ended"] is True
    assert re.match(r'\d\d:\d\d:\d\d  [\d.]+/s  .*/s  \d+ messages  \{"n": \d+\}', ended(plain).splitlines()[0])
    assert live.wattle("wait", "talk").returncode == 0
    kept = live.wattle("get", "talk/engine/state")
    assert (kept.returncode, "is a stream" in kept.stderr, "wattle tap" in kept.stderr) == (2, True, True)
    late = live.wattle("sub", "talk/engine/state")
    assert (late.returncode, "talk@1/engine has ended: it is completed." in late.stderr) == (1, True)


def on_a_terminal(live: Terminal, *words: str) -> str:
    """What a command draws within its first frames, then Ctrl-C."""
    first, second = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "wattle", *words], stdin=second, stdout=second, stderr=second,
                               cwd=live.folder, env={**live.environment, "TERM": "xterm"}, start_new_session=True)  # fmt: skip
    os.close(second)
    text = ""
    with contextlib.suppress(OSError):
        while text.count("last") < 3 and select.select([first], [], [], DEADLINE)[0]:
            text += os.read(first, 65536).decode(errors="replace")
    process.send_signal(2)
    assert process.wait(DEADLINE) == 130
    os.close(first)
    return text


@pytest.mark.parametrize(("words", "code", "told"), [
    (["sub", "nobody/engine/state"], 3, "There is no workflow nobody."),
    (["pub", "state", "1"], 2, "Only a worker publishes"),
    (["pipe"], 2, "WATTLE_WORKER_NAME is not set"),
    (["tap", "talk/engine/state", "--url", "http://localhost:1"], 2, "speaks with the bus of this machine"),
])
def test_what_makes_no_sense_is_told(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    done = Terminal(tmp_path).wattle(*words)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_bus_says_who_is_on_it_and_is_opened_to_other_hosts(live: Terminal) -> None:
    nobody = live.wattle("bus")
    assert (nobody.returncode, "nobody coordinates here" in nobody.stdout) == (1, True)
    unnamed = live.wattle("bus", "init-tls")
    assert (unnamed.returncode, "wattle bus init-tls HOST" in unnamed.stderr) == (2, True)
    assert "not open to other hosts" in live.wattle("bus", "export", "x").stderr
    port = free_port()
    made = live.wattle("bus", "init-tls", f"127.0.0.1:{port}")
    assert f'tls = "127.0.0.1:{port}"' in made.stdout
    again = live.wattle("bus", "init-tls", "127.0.0.1")
    assert (again.returncode, "--replace" in again.stderr) == (1, True)
    live.environment["WATTLE_ZENOH_TLS"] = f"127.0.0.1:{port}"
    assert live.wattle("run", live.write("talk.json", document()), "-d").returncode == 0
    wait_until(lambda: "talk@1/engine" in live.ask("bus")["alive"])
    shown = live.wattle("bus")
    assert re.search(r"✔ The bus is up at .*\n  on it        coordinator, talk@1/engine\n  other hosts  tls/127.0.0.1:", shown.stdout)
    assert live.wattle("bus", "export", "there.json", "--role", "kernel").returncode == 0
    assert (live.folder / "there.json").stat().st_mode & 0o777 == 0o600
    told = json.loads((live.folder / "there.json").read_text())["bus"]
    assert told["endpoints"] == [f"tls/127.0.0.1:{port}"]
    with open_client(told) as session:
        heard = Services(session).listen(Place("talk", 1, "engine", "state"))
        assert json.loads(heard.get(DEADLINE).payload)["n"] > 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


NODE = r"""
const http = require("http"), fs = require("fs");
const {WATTLE_CONNECTION, WATTLE_WORKFLOW_NAME: flow, WATTLE_RUN: run, WATTLE_WORKER_NAME: me} = process.env;
const socketPath = JSON.parse(fs.readFileSync(WATTLE_CONNECTION)).http.socket;
const at = (who) => `/api/wattle/services/${flow}@${run}/${who}`;
function call(method, path, body, on) {
  return new Promise((resolve, reject) => {
    const asked = http.request({socketPath, method, path, headers: {"Content-Type": "application/json"}}, (reply) => {
      if (on) return on(reply, resolve);
      let text = ""; reply.on("data", (piece) => text += piece);
      reply.on("end", () => reply.statusCode < 300 ? resolve(text && JSON.parse(text)) : reject(new Error(text)));
    });
    asked.on("error", reject); asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
async function main() {
  const answer = await call("POST", `${at("engine")}/twice`, 4);
  const state = await call("GET", `${at("engine")}/state`, undefined, (reply, resolve) => {
    let text = "";
    reply.on("data", (piece) => {
      text += piece;
      const found = /^data: (\{"data":.*)$/m.exec(text);
      if (found) { reply.destroy(); resolve(JSON.parse(found[1])); }
    });
  });
  await call("PUT", `${at(me)}/seen`, state.data);
  await call("PUT", `/api/workers/${flow}@${run}/${me}/progress`, {fraction: 0.5, text: "from node"});
  await call("PUT", `/api/workers/${flow}@${run}/${me}/outputs/score`, {value: [answer, state.data.n > 0]});
}
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_node_worker_needs_nothing_but_http(live: Terminal) -> None:
    flow = document(node={"script": NODE, "lang": "node", "outputs": {"score": {"type": "value"}}})
    done = live.wattle("run", live.write("talk.json", flow), timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert live.ask("get", "talk/node/score")["value"] == [{"twice": 8}, True]
    assert not re.search("put_progress", (live.home / "audit.log").read_text())
