"""What Wattle costs a Jupyter server, and how fast the server's API and its streams are.

Everything is measured from outside, at a real `jupyter server` on the loopback; the loop's lag is measured by an
extension that ticks in it (`lag_extension.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import shapes
from benchmarks.machine import HERE, LIMIT, Bench, Row, resident_mib, wattle
from benchmarks.ticker import percentiles

TOKEN = "benchmarks"
STAMPS = """\
import sys, time
for _ in range({lines}):
    print(time.time_ns(), flush=True)
    time.sleep({pause})
"""


class JupyterServer:
    """A `jupyter server` of its own. `wattle`: with the extension; `ticks`: with the measuring one."""

    def __init__(self, bench: Bench, name: str, *, wattle: bool = True, ticks: bool = True) -> None:
        self.folder = bench.scratch / f"jupyter-{name}"
        self.home = self.folder / "home"
        variables = {**bench.environment, "WATTLE_HOME": str(self.home)}
        for kind in ("CONFIG", "DATA", "RUNTIME"):
            place = self.folder / kind.lower()
            place.mkdir(parents=True, mode=0o700, exist_ok=True)
            variables[f"JUPYTER_{kind}_DIR"] = str(place)
        extensions = {"jupyter_wattle": wattle, "benchmarks.lag_extension": ticks}
        (self.folder / "config" / "jupyter_server_config.json").write_text(
            json.dumps({"ServerApp": {"jpserver_extensions": extensions}}))  # fmt: skip
        self.port = free_port()
        command = [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1",
                   f"--port={self.port}", f"--IdentityProvider.token={TOKEN}",
                   f"--ServerApp.root_dir={self.folder}"]  # fmt: skip
        if wattle:
            command.append("--WattleApp.stream_limit=2000")
        self.begun = time.perf_counter()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, env=variables, cwd=HERE.parent, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        self.first_answer = self._wait("/api/status") - self.begun
        if wattle:
            self._wait("/api/wattle/health")

    def _wait(self, path: str) -> float:
        while time.perf_counter() - self.begun < LIMIT / 5:
            with contextlib.suppress(OSError):
                if self.ask("GET", path)[0] == 200:
                    return time.perf_counter()
            time.sleep(0.005)
        raise SystemExit(f"the server does not answer: {(self.folder / 'log').read_text()[-2000:]}")

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        with contextlib.closing(connection):
            headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read()

    def tell(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be good."""
        status, told = self.ask(method, path, body)
        if status != 200:
            raise SystemExit(f"{method} {path}: {status} {told[:500]!r}")
        return json.loads(told)

    def lag(self) -> dict[str, float]:
        """Percentiles of the loop's lag since the last look."""
        return dict(self.tell("GET", "/bench/lag"))

    def run(self, name: str, workers: list[dict[str, Any]], **more: Any) -> None:
        """Create a workflow and start it."""
        document = {"name": name, "working_dir": str(self.folder), "workers": workers, **more}
        self.tell("POST", "/api/workflows", {"document": document})
        self.tell("POST", f"/api/workflows/{name}/start", {})

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()


@contextmanager
def server(bench: Bench, name: str) -> Iterator[JupyterServer]:
    """A server as long as the block."""
    made = JupyterServer(bench, name)
    try:
        yield made
    finally:
        made.close()
        subprocess.run(wattle(made.home, "down", "--stop-runs"), env=bench.environment, capture_output=True,
                       timeout=LIMIT, check=False)  # fmt: skip


def free_port() -> int:
    """A port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ---- streams --------------------------------------------------------------------------------------------------------


class Followers:
    """Many clients of one stream in one process. `late` holds seconds from the writer's stamp to the reader."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.late: list[float] = []
        self.lines = 0
        self.newest: dict[int, int] = {}
        """The number of the newest event that each open client saw."""

    async def follow(self, *, stuck: bool = False) -> None:
        """One client, to the end of the stream. A stuck one never reads."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        try:
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAccept: text/event-stream\r\n"
                         f"Authorization: token {TOKEN}\r\n\r\n".encode())  # fmt: skip
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n")[0], head
            me = id(reader)
            self.newest[me] = 0
            if stuck:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            while line := await reader.readline():
                if line.startswith(b"event: end"):
                    return
                if line.startswith(b"id: "):
                    self.newest[me] = int(line[4:].split(b".")[0])
                if line.startswith(b"data: {"):
                    self._take(line)
        finally:
            writer.close()

    def _take(self, line: bytes) -> None:
        now = time.time_ns()
        stamps = (json.loads(line[6:]).get("text") or "").split()
        self.lines += len(stamps)
        self.late += [(now - int(stamp)) / 1e9 for stamp in stamps if stamp.isdigit()]


def streams(bench: Bench) -> None:
    """A line of a worker's log to 50 followers; 200 followers of a busy log."""
    seconds = 3 if bench.quick else 10
    with server(bench, "streams") as place:
        calm = asyncio.run(_followed(place, "calm", 50, int(seconds / 0.05), 0.05))
        found = percentiles(calm.late)
        what = "a worker's line to an SSE client, 50 followers: "
        bench.add(Row(what + "p50", found["p50"], "ms", None, "", "25 ms", f"{len(calm.late):,} lines read"))
        bench.add(Row(what + "p99", found["p99"], "ms", None, "", "100 ms", f"worst {found['max']:.0f}"))
        place.lag()
        idle_until = time.perf_counter() + 2
        while time.perf_counter() < idle_until:
            time.sleep(0.1)
        idle = place.lag()["p99"]
        busy = asyncio.run(_followed(place, "busy", 200, int(seconds / 0.002), 0.002))
        lag = place.lag()
    note = f"p99 {lag['p99']:.1f} ms, idle {idle:.1f}, worst {lag['max']:.0f}; {busy.lines:,} lines read"
    what = "200 followers of a busy log: extra lag of the loop, p99"
    bench.add(Row(what, lag["p99"] - idle, "ms", None, "", "5 ms", note))


async def _followed(place: JupyterServer, name: str, count: int, lines: int, pause: float) -> Followers:
    code = f"import time; time.sleep(1.5)\n{STAMPS.format(lines=lines, pause=pause)}"
    await asyncio.to_thread(place.run, name, [{"name": "write", "command": [sys.executable, "-c", code]}])
    followers = Followers(place.port, f"/api/workers/{name}@1/write/logs/stream")
    await asyncio.gather(*(followers.follow() for _ in range(count)))
    return followers


def clients(bench: Bench) -> None:
    """1,000 clients of the event stream, 100 of which never read: memory, and what the others notice."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    count = 200 if bench.quick else 1000
    with server(bench, "clients") as place:
        place.run("warm", [{"name": "a", "command": "true"}])
        asyncio.run(_hold(place, 20, lambda: None))
        before = resident_mib(place.process.pid)
        after: list[float] = []
        late = asyncio.run(_hold(place, count, lambda: after.append(resident_mib(place.process.pid))))
    each = (after[0] - before) * 1024 / count
    bench.add(Row(f"{count:,} SSE clients held: memory of each", each, "kB", None, "", "40 kB",
                  f"a run's last event reached the {count - count // 10:,} live ones in {late:.2f} s"))  # fmt: skip


async def _hold(place: JupyterServer, count: int, measure: Any) -> float:
    followers = Followers(place.port, "/api/wattle/events")
    stuck = count // 10
    tasks = [asyncio.create_task(followers.follow(stuck=number < stuck)) for number in range(count)]
    while len(followers.newest) < count:  # noqa: ASYNC110  clients of a measurement, which looks a hundred times
        await asyncio.sleep(0.01)
    measure()
    begun = time.perf_counter()
    await asyncio.to_thread(place.tell, "POST", "/api/workflows/warm/start", {})
    detail: dict[str, Any] = {"status": ""}
    while detail["status"] != "completed":
        detail = await asyncio.to_thread(place.tell, "GET", "/api/workflows/warm/workers")
    while sum(seq >= detail["seq"] for seq in followers.newest.values()) < count - stuck:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    took = time.perf_counter() - begun
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return took


# ---- answers --------------------------------------------------------------------------------------------------------


def answers(bench: Bench) -> None:
    """The list of many workflows and the detail of a large run, and how long they hold the loop."""
    many, large = (100, 1000) if bench.quick else (1000, 10_000)
    with server(bench, "answers") as place:
        for number in range(many):
            document = {"name": f"flow{number}", "working_dir": str(place.folder),
                        "workers": [{"name": f"w{n}", "command": "true"} for n in range(3)]}  # fmt: skip
            place.tell("POST", "/api/workflows", {"document": document})
        gate = {"name": "gate", "command": ["sleep", "1000"]}
        rest = [{"name": f"w{n}", "command": "true", "needs": ["gate"]} for n in range(large - 1)]
        place.run("large", [gate, *rest])
        asked = ((f"GET of {many:,} workflows", f"/api/workflows?limit={many}", "30 ms"),
                 (f"GET of a run of {large:,} workers", "/api/workflows/large/runs/1", "100 ms"))  # fmt: skip
        for what, path, bar in asked:
            place.lag()
            times = []
            for _ in range(5):
                begun = time.perf_counter()
                place.tell("GET", path)
                times.append((time.perf_counter() - begun) * 1000)
            held = place.lag()["max"]
            note = f"the loop was held {held:.0f} ms at most (bar 10)"
            bench.add(Row(what, statistics.median(times), "ms", None, "", bar, note))
        place.tell("POST", "/api/workflows/large/stop", {})


def start(bench: Bench) -> None:
    """Jupyter's time to its first answer, and its memory, with and without the extension."""
    times: dict[bool, list[float]] = {True: [], False: []}
    memory: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 if bench.quick else 5):
        for with_wattle in (False, True):
            place = JupyterServer(bench, f"start-{number}-{with_wattle}", wattle=with_wattle, ticks=False)
            times[with_wattle].append(place.first_answer)
            time.sleep(1)
            memory[with_wattle].append(resident_mib(place.process.pid))
            place.close()
    with_it, without = statistics.median(times[True]), statistics.median(times[False])
    more = statistics.median(memory[True]) - statistics.median(memory[False])
    bench.add(Row("Jupyter's first answer comes later by", with_it - without, "s", with_it / without,
                  "without the extension", "0.15 s", f"{with_it:.2f} s, without {without:.2f} s"))  # fmt: skip
    bench.add(Row("Jupyter's memory grows by", more, "MiB", None, "", "30 MiB"))


# ---- a kernel beside it ---------------------------------------------------------------------------------------------


def kernel(bench: Bench) -> None:
    """Echoes of a kernel while the same server runs thousands of tasks, against the floor running as many."""
    shape = shapes.fan(500 if bench.quick else 5000)
    folder = bench.scratch / "kernel"
    folder.mkdir()
    shapes.write_floor(shape, folder / "floor.txt")
    (folder / "flow.json").write_text(shapes.document(shape, "beside", folder))
    with server(bench, "kernel") as place:
        echo = Echo(place)
        repeat = 1 + (0 if bench.quick else 3)
        floor = echo.beside([bench.floor, "2", str(folder / "floor.txt")], repeat, bench)
        ours = echo.beside(wattle(place.home, "run", str(folder / "flow.json"), "-j", "2"), 1, bench)
        echo.close()
    note = f"p99 {ours['p99']:.0f} ms, beside the floor {floor['p99']:.0f}; p50 {ours['p50']:.1f}, {floor['p50']:.1f}"
    what = f"a kernel's echo while {len(shape):,} tasks run, p99"
    bench.add(Row(what, ours["p99"], "ms", ours["p99"] / floor["p99"], "beside the floor", "1.5 x", note))


class Echo:
    """A kernel of the server, asked over its own channels."""

    def __init__(self, place: JupyterServer) -> None:
        from jupyter_client.blocking.client import BlockingKernelClient  # noqa: PLC0415

        told = json.loads(place.ask("POST", "/api/kernels", {"name": "python3"})[1])
        file = place.folder / "runtime" / f"kernel-{told['id']}.json"
        self.client = BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def beside(self, command: list[str], times: int, bench: Bench) -> dict[str, float]:
        """Percentiles of the echo while a command runs, `times` over."""
        took: list[float] = []
        for _ in range(times):
            process = subprocess.Popen(command, env=bench.environment, cwd=bench.scratch, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            while process.poll() is None:
                begun = time.perf_counter()
                self.client.execute_interactive("1", store_history=False, output_hook=lambda _message: None)
                took.append(time.perf_counter() - begun)
        return percentiles(took)

    def close(self) -> None:
        """Let go."""
        self.client.shutdown()
        self.client.stop_channels()
