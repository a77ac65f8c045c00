"""Workers that talk to one another through a real router, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bus.buses import HUB, router
from tests.helpers import DEADLINE, until, wait_until
from tests.terminal import REPOSITORY
from wattle import worker
from wattle.bus.keys import Keys
from wattle.bus.process import RouterProcess
from wattle.bus.zenoh import Query, Sample, Session, open_client
from wattle.core.errors import InvalidRequest
from wattle.sdk import worker_here
from wattle.sdk.worker_encoding import decode, encode
from wattle.sdk.worker_streams import Subscription

KEYS = Keys(HUB)
START = ("import signal, sys, time, os, threading\nfrom wattle import worker\n"
         "signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored by who began the tests\n")


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router, looked after on a loop of its own."""
    folder = tmp_path_factory.mktemp("live")
    up, down = threading.Event(), asyncio.Event()
    made: list[Any] = []

    async def keep() -> None:
        async with router(folder) as process:
            made.extend([process, asyncio.get_running_loop()])
            up.set()
            await down.wait()

    thread = threading.Thread(target=lambda: asyncio.run(keep()))
    thread.start()
    assert up.wait(DEADLINE)
    yield made[0]
    made[1].call_soon_threadsafe(down.set)
    thread.join()


class Workers:
    """Starts the workers of one run of a workflow, and ends what is left of them."""

    def __init__(self, folder: Path, bus: RouterProcess, workflow: str) -> None:
        self.folder = folder
        self.workflow = workflow
        self.connection = folder / "connection.json"
        self.connection.write_text(json.dumps({"socket": "", "bus": json.loads(bus.connection("worker").read_text())}))
        self.processes: list[subprocess.Popen[str]] = []

    def environment(self, name: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path[1:]]),
                "WATTLE_WORKFLOW_NAME": self.workflow, "WATTLE_WORKER_NAME": name, "WATTLE_RUN": "7",
                "WATTLE_ATTEMPT": "1", "WATTLE_RUN_DIR": str(self.folder / "run"),
                "WATTLE_CONNECTION": str(self.connection)}  # fmt: skip

    def start(self, name: str, code: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", START + textwrap.dedent(code)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True,
                                   env={**self.environment(name), **env})  # fmt: skip
        self.processes.append(process)
        return process

    def told(self, name: str, code: str, **env: str) -> Any:
        """What a worker that ends well prints, as JSON."""
        return ended(self.start(name, code, **env))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], code: int = 0) -> Any:
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == code, err
    return json.loads(out) if out else err


@pytest.fixture
def workers(tmp_path: Path, bus: RouterProcess, request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Each test is a workflow of its own on the same bus."""
    made = Workers(tmp_path, bus, f"w{abs(hash(request.node.name))}")
    yield made
    made.close()


@pytest.fixture
def coordinator(bus: RouterProcess) -> Iterator[Session]:
    with open_client(bus.connection("coordinator")) as session:
        yield session


# ---- publish and subscribe --------------------------------------------------------------------------------------

LISTEN = """
got = worker.subscribe("engine/state", queue=5000)
@worker.serve("ready")
def ready(_): return True
"""
READY = 'worker.request("listener/ready")\n'


def test_a_listener_gets_all_that_is_published_in_order_until_the_publisher_ends(workers: Workers) -> None:
    listener = workers.start("listener", LISTEN + "import json; print(json.dumps([list(got), got.dropped, got.ended]))")
    engine = workers.start("engine", READY + """
for number in range(500):
    worker.publish("state", {"n": number})
    if number % 50 == 0: time.sleep(0.001)
""")  # fmt: skip
    ended(engine)
    assert ended(listener) == [[{"n": number} for number in range(500)], 0, True]


def test_bytes_and_json_arrive_as_they_were_sent(workers: Workers) -> None:
    listener = workers.start("listener", LISTEN + "print([*map(repr, got)], file=sys.stderr)")
    workers.start("engine", READY + """
for data in (b"", b"\\x00\\xff", None, "é", [1, 2.5, True], {"a": {}}, bytearray(b"x")):
    worker.publish("state", data)
""")  # fmt: skip
    assert eval(ended(listener)) == ["b''", r"b'\x00\xff'", "None", "'é'", "[1, 2.5, True]", "{'a': {}}", "b'x'"]


def test_an_input_that_is_a_stream_is_known_by_its_name(workers: Workers) -> None:
    listener = workers.start("listener", """
got = worker.subscribe("State")
@worker.serve("ready")
def ready(_): return True
try: worker.subscribe("raw")
except Exception as error: print(error, file=sys.stderr)
print(list(got))
""", WATTLE_INPUT_STATE="engine/state", WATTLE_INPUT_RAW="/raw.csv")  # fmt: skip
    workers.start("engine", READY + "worker.publish('state', 1)")
    out, err = listener.communicate(timeout=DEADLINE)
    assert (out, err) == ("[1]\n", "the input 'raw' is a file and not a stream\n")


def test_a_callback_gets_each_message_and_a_failure_does_not_end_it(workers: Workers) -> None:
    listener = workers.start("listener", """
found = []
def heard(data):
    found.append(data)
    if data == 1: raise ValueError("one")
got = worker.subscribe("engine/state", heard)
@worker.serve("ready")
def ready(_): return True
got.wait()
print(found)
""")  # fmt: skip
    workers.start("engine", READY + "for number in range(4): worker.publish('state', number)")
    out, err = listener.communicate(timeout=DEADLINE)
    assert (out, listener.returncode) == ("[0, 1, 2, 3]\n", 0), err
    assert "a callback for engine/state failed" in err
    assert "ValueError: one" in err


def test_a_slow_listener_keeps_the_newest_and_knows_how_many_it_missed(workers: Workers) -> None:
    listener = workers.start("listener", """
got = worker.subscribe("engine/state", queue=10)
@worker.serve("ready")
def ready(_): return True
while not got.ended: time.sleep(0.01)
print([list(got), got.dropped])
""")  # fmt: skip
    workers.start("engine", READY + "for number in range(3000): worker.publish('state', number)")
    kept, dropped = ended(listener)
    assert len(kept) == 10
    assert kept == sorted(kept)
    assert dropped == 2990, "with those that the bus itself left out"


def test_a_listener_on_an_event_loop_leaves_it_free(workers: Workers) -> None:
    listener = workers.start("listener", """
import asyncio, json
async def main():
    ticks = 0
    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)
    ticking = asyncio.create_task(tick())
    got = worker.subscribe("engine/state")
    @worker.serve("ready")
    async def ready(_):
        await asyncio.sleep(0)
        return True
    found = [data async for data in got]
    ticking.cancel()
    print(json.dumps([found, ticks > 20]))
asyncio.run(main())
""")  # fmt: skip
    workers.start("engine", READY + "for number in range(50):\n    worker.publish('state', number); time.sleep(0.005)")
    assert ended(listener) == [list(range(50)), True]


def test_the_coordinators_word_ends_a_stream_whose_publisher_was_killed(workers: Workers, coordinator: Session) -> None:
    listener = workers.start("listener", LISTEN + "print(next(got), flush=True)\nprint(list(got))")
    engine = workers.start("engine", READY + "worker.publish('state', 1)\ntime.sleep(100)")
    assert listener.stdout is not None
    assert listener.stdout.readline() == "1\n"
    engine.kill()
    events = KEYS.events(workers.workflow, 7, "engine")
    coordinator.put(events, b'{"name": "engine", "seq": 4, "status": "running"}', "application/json")
    coordinator.put(events, b'{"seq": 4, "previous": 4}', "application/json")
    with pytest.raises(subprocess.TimeoutExpired):
        listener.wait(0.3)
    coordinator.put(events, b'{"name": "engine", "seq": 5, "status": "failed"}', "application/json")
    assert ended(listener) == []


def test_who_comes_after_the_publisher_has_ended_is_told_so(workers: Workers, coordinator: Session) -> None:
    def snapshot(query: Query) -> None:
        with query:
            query.reply(b'{"workers": [{"name": "x", "status": "running"}, {"name": "engine", "status": "completed"}]}')

    with coordinator.queryable(KEYS.everything("events"), snapshot):
        assert workers.told("listener", "print(list(worker.subscribe('engine/state')))") == []


def test_progress_is_told_on_the_bus_once_it_is_open(workers: Workers, coordinator: Session) -> None:
    heard: list[Sample] = []
    coordinator.subscribe(KEYS.service(workers.workflow, 7, "engine", ".progress"), heard.append)
    workers.told("engine", "worker.publish('x', 1)\nfor n in range(100): worker.progress(n / 100, f'{n}')\nprint(1)")
    wait_until(lambda: heard and json.loads(heard[-1].payload)["text"] == "99")
    assert json.loads((workers.folder / "run" / "engine" / ".progress.json").read_text())["text"] == "99"


# ---- request and serve ------------------------------------------------------------------------------------------

SERVER = """
@worker.serve("double")
def double(x): return x * 2
@worker.serve("fail")
def fail(_): raise KeyError("no such point")
@worker.serve("refuse")
def refuse(_): raise worker.NotJson("not this", "that instead")
@worker.serve("odd")
def odd(_): return object()
@worker.serve("slow")
def slow(seconds):
    print("asked", flush=True)
    time.sleep(seconds)
    return "late"
@worker.serve("die")
def die(_): os._exit(3)
@worker.serve("deep/er", threads=2)
def deeper(_): return threading.current_thread().name
@worker.serve("soon")
async def soon(x): return [x]
print(flush=True)
worker.wait()
"""
ASK = """
import json
def ask(*given, **options):
    try: return worker.request(*given, **options)
    except worker.LiveError as error: return [type(error).__name__, error.code, str(error), error.hint]
"""


def test_a_question_is_answered_or_its_error_says_why(workers: Workers) -> None:
    server = workers.start("server", SERVER)
    told = workers.told("asker", ASK + """
print(json.dumps([ask("server/double", 4), ask("server/double", "ab"), ask("server/double", [None]),
    ask("server/fail"), ask("server/refuse"), ask("server/odd"), ask("server/soon", 1), ask("server/deep/er"),
    ask("server/slow", 5, timeout=0.3), ask("server/absent", timeout=0.3), ask("nobody/x", timeout=0.3)]))
""")  # fmt: skip
    assert told == [
        8, "abab", [None, None],
        ["RequestFailed", "request-failed", "server/fail: KeyError: 'no such point'", "the log of server has the traceback"],
        ["RequestFailed", "not-json", "server/refuse: not this", "that instead"],
        ["RequestFailed", "not-json", "server/odd: server/odd is not JSON: server/odd is of type object",
         "put numbers, texts, lists and dicts; a file output holds anything"],
        [1], "wattle server/deep/er",
        ["RequestTimeout", "timeout", "server/slow did not answer within 0.3 s", "ask with a longer timeout, or look at its log"],
        ["WorkerUnreachable", "worker-unreachable",
         "server/absent does not answer: server is there and does not serve that", "is the name of the service right?"],
        ["WorkerUnreachable", "worker-unreachable", "nobody/x does not answer: nobody was not on the bus for 0.3 s",
         "is it running? it must serve before it is asked"],
    ]  # fmt: skip
    assert server.poll() is None


def test_who_asks_before_anybody_serves_waits(workers: Workers) -> None:
    asker = workers.start("asker", ASK + "print(flush=True)\nprint(ask('server/double', 4, timeout=20))")
    assert asker.stdout is not None
    asker.stdout.readline()
    workers.start("server", "worker.publish('x', 1)\ntime.sleep(0.3)" + SERVER)
    assert ended(asker) == 8


def test_a_server_that_dies_with_a_question_is_not_asked_again(workers: Workers) -> None:
    server = workers.start("server", SERVER)
    told = workers.told("asker", ASK + "ask('server/double', 1)\nprint(json.dumps(ask('server/die', timeout=20)))")
    assert told == ["WorkerUnreachable", "worker-unreachable",
                    "server/die did not answer: server (or the bus) went away while asked",
                    "it may have done what it was asked; its log has the story"]  # fmt: skip
    assert server.wait(DEADLINE) == 3


def test_questions_on_an_event_loop_run_side_by_side_and_can_be_cancelled(workers: Workers) -> None:
    workers.start("server", SERVER)
    assert workers.told("asker", """
import asyncio, json
async def main():
    answers = await asyncio.gather(*(worker.request_async("server/double", n) for n in range(20)))
    try: await worker.request_async("server/fail")
    except worker.RequestFailed as error: answers.append(error.code)
    try: await worker.request_async("server/absent", timeout=0.2)
    except worker.WorkerUnreachable as error: answers.append(error.code)
    asking = asyncio.create_task(worker.request_async("server/slow", 60, timeout=60))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    print(json.dumps([*answers, asking.cancelled()]))
asyncio.run(main())
""") == [*range(0, 40, 2), "request-failed", "worker-unreachable", True]  # fmt: skip


def test_threads_answer_side_by_side(workers: Workers) -> None:
    assert workers.told("server", """
meeting = threading.Barrier(3)
@worker.serve("meet", threads=3)
def meet(_): return meeting.wait(15)
import concurrent.futures, json
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    print(json.dumps(sorted(pool.map(lambda _: worker.request("server/meet", timeout=15), range(3)))))
""") == [0, 1, 2]  # fmt: skip


# ---- how it ends ------------------------------------------------------------------------------------------------

BUSY = """
worker.subscribe("other/state", print)
unclosed = worker.subscribe("ending/state")
@worker.serve("x")
def x(_): return 1
def flood():
    while True:
        worker.publish("state", 1)
        time.sleep(0.0005)
threading.Thread(target=flood, daemon=True).start()
next(unclosed)
print(flush=True)
"""


@pytest.mark.parametrize(
    ("last", "kill", "code"),
    [("", None, 0), ("raise ValueError('x')", None, 1), ("sys.exit(5)", None, 5), ("worker.close()", None, 0),
     ("worker.wait()", signal.SIGINT, -signal.SIGINT), ("list(unclosed)", signal.SIGINT, -signal.SIGINT),
     ("worker.request('nobody/x', timeout=60)", signal.SIGINT, -signal.SIGINT), ("worker.wait()", signal.SIGTERM, -15),
     ("import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint(flush=True)\nworker.wait()",
      signal.SIGTERM, 7)],
    ids=["end", "raise", "exit", "close", "ctrl-c", "ctrl-c iterating", "ctrl-c asking", "term", "term caught"],
)  # fmt: skip
def test_a_program_ends_whatever_it_leaves_open(workers: Workers, last: str, kill: int | None, code: int) -> None:
    process = workers.start("ending", BUSY + last)
    assert process.stdout is not None
    for _ in range(2 if "print" in last else 1):
        process.stdout.readline()
    if kill is not None:
        process.send_signal(kill)
    err = ended(process, code)
    assert "Fatal" not in err
    assert ("Traceback" in err) == (code in {1, -signal.SIGINT}), err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_in_a_forked_child_every_live_call_is_refused_and_it_ends(workers: Workers) -> None:
    assert workers.told("forking", """
import json, warnings
warnings.simplefilter("ignore")
subscription = worker.subscribe("other/state")
worker.publish("state", 1)
read, write = os.pipe()
if not os.fork():
    told = []
    for call in (lambda: worker.publish("state", 2), lambda: worker.request("a/b"), lambda: worker.subscribe("a/b")):
        try: call()
        except worker.Forked as error: told.append(error.code)
    worker.progress(0.5, "child")
    worker.put_in = os.write(write, json.dumps(told).encode())
    sys.exit(0)
assert os.wait()[1] == 0
worker.publish("state", 3)
print(os.read(read, 1000).decode())
""") == ["forked"] * 3  # fmt: skip


def test_a_router_that_is_killed_costs_messages_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with router(tmp_path) as bus:
            workers = Workers(tmp_path, bus, "etl")
            server = workers.start("server", SERVER)
            asker = workers.start("asker", """
for number in range(3):
    while True:
        try: assert worker.request("server/double", 2, timeout=30) == 4
        except worker.WorkerUnreachable as error: assert "went away while asked" in str(error), error
        else: break
    print(number, flush=True)
    sys.stdin.readline()
try: worker.request("server/slow", 100, timeout=100)
except worker.WorkerUnreachable: print("gone")
""")  # fmt: skip
            assert asker.stdout is not None
            assert asker.stdin is not None
            try:
                for number in range(3):
                    line = await asyncio.to_thread(asker.stdout.readline)
                    assert line == f"{number}\n", asker.stderr.read() if asker.stderr else ""
                    if number < 2:
                        os.kill(bus.ready["pid"], signal.SIGKILL)
                    asker.stdin.write("\n")
                    asker.stdin.flush()
                assert server.stdout is not None
                assert [await asyncio.to_thread(server.stdout.readline) for _ in range(2)] == ["\n", "asked\n"]
                await until(lambda: bus.up)
                os.kill(bus.ready["pid"], signal.SIGKILL)
                assert await asyncio.to_thread(asker.communicate, timeout=DEADLINE) == ("gone\n", "")
                assert server.poll() is None
            finally:
                workers.close()

    asyncio.run(main())


# ---- without a bus ----------------------------------------------------------------------------------------------


def refusal(workers: Workers, call: str = "worker.publish('x', 1)", **env: str) -> list[str]:
    code = f"""
import json
try: {call}
except worker.NoBus as error: print(json.dumps([str(error), error.hint]))
worker.progress(0.5)
"""
    found: list[str] = workers.told("alone", code, **env)
    assert (workers.folder / "run" / "alone" / ".progress.json").exists()
    return found


@pytest.mark.parametrize("call", ["worker.publish('x', 1)", "worker.subscribe('a/b')", "worker.request('a/b')",
                                  "worker.serve('a')(print)", "worker.wait()"])  # fmt: skip
def test_without_a_bus_every_live_call_says_so(workers: Workers, call: str) -> None:
    assert refusal(workers, call, WATTLE_CONNECTION="") == [
        "There is no bus here: WATTLE_CONNECTION is not set.",
        "[zenoh] enabled = true in the settings; wattle doctor says what is missing"]  # fmt: skip


def test_a_bus_that_is_off_gone_or_refuses_is_one_clear_error(workers: Workers) -> None:
    told = json.loads(workers.connection.read_text())
    workers.connection.write_text(json.dumps({"bus": None, "bus_state": "It is off."}))
    assert refusal(workers)[0] == "There is no bus here. It is off."
    workers.connection.write_text(json.dumps({"bus": {**told["bus"], "password": "wrong"}}))
    assert refusal(workers)[0] == "The bus cannot be reached: The bus refuses this credential."
    workers.connection.write_text("half a fi")
    assert refusal(workers)[0].startswith(f"WATTLE_CONNECTION cannot be read: {workers.connection}")
    workers.connection.unlink()
    assert "No such file" in refusal(workers)[0]


def test_alone_there_is_no_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATTLE_WORKER_NAME", raising=False)
    worker_here.forget()
    with worker.local(folder=tmp_path), pytest.raises(worker.NoBus, match=r"worker.local\(\) has no bus"):
        worker.publish("state", 1)
    with pytest.raises(worker.NotInWorker):
        worker.subscribe("a/b")


# ---- in this process --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["state", "engine/", "/state", "a b/state", "a/b c", "a/*", "*/x", "a/b//c", "a/.x"])
def test_what_is_no_service_is_refused(workers: Workers, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name, text in workers.environment("a").items():
        monkeypatch.setenv(name, text)
    worker_here.forget()
    try:
        with pytest.raises(InvalidRequest):
            worker.subscribe(address)
        with pytest.raises(InvalidRequest):
            worker.request(address)
        if address.startswith("a/"):
            with pytest.raises(InvalidRequest):
                worker.publish(address.removeprefix("a/"), 1)
    finally:
        worker.close()
        worker_here.forget()


def sample(payload: bytes, encoding: str = "application/json", place: bytes | None = None) -> Sample:
    return Sample("k", payload, encoding, place)


def test_gaps_are_counted_by_publisher() -> None:
    made = Subscription("a/b")
    for place in (None, b"1.9.4", b"1.9.5", b"1.9.8", b"odd", b"1.9.9", b"2.5.1", b"2.5.3"):
        made.push(sample(b"1", place=place))
    assert made.dropped == 3
    assert len([made.get(0) for _ in range(8)]) == 8


def test_a_listener_can_wait_a_while_look_at_the_newest_and_see_the_end() -> None:
    made = Subscription("a/b")
    with pytest.raises(worker.RequestTimeout, match=r"a/b: nothing came within 0\.01 s"):
        made.get(0.01)
    assert made.latest() is None
    assert not made.wait(0)
    for number in range(3):
        made.push(sample(b"%d" % number))
    assert made.latest() == 2
    assert made.latest() is None
    made.push(sample(b"{"))
    made.push(sample(b"", "application/x-wattle-end"))
    with pytest.raises(worker.BadMessage, match="a/b: 1 bytes are not application/json"):
        made.get()
    with pytest.raises(EOFError, match="a/b has ended"):
        made.get()
    assert made.wait()
    with made:
        assert list(made) == []


@pytest.mark.parametrize(
    ("payload", "encoding", "data"),
    [(b"", "", None), (b"x", "", b"x"), (b"", "zenoh/bytes", b""), (b"\xc3\xa9", "text/plain", "é"),
     (b"1", "application/json;x", 1), (b"x", "image/png", b"x"), (b"hi", "zenoh/string", "hi")],
)  # fmt: skip
def test_other_languages_name_what_they_send(payload: bytes, encoding: str, data: Any) -> None:
    assert decode(payload, encoding, "a/b") == data


def test_tables_of_arrow_arrive_as_tables() -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"x": [1, 2], "y": ["a", None]})
    payload, encoding = encode(table, "a/b")
    assert encoding == "application/vnd.apache.arrow.stream"
    assert decode(payload, encoding, "a/b").equals(table)
    payload, encoding = encode(table.to_batches()[0], "a/b")
    assert decode(payload, encoding, "a/b").equals(table)
    with pytest.raises(worker.BadMessage, match="5 bytes are not application/vnd"):
        decode(b"bytes", encoding, "a/b")


def test_a_table_where_there_is_no_arrow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(worker.BadMessage, match="pyarrow is not installed here") as caught:
        decode(b"x", "application/vnd.apache.arrow.stream", "a/b")
    assert caught.value.hint == "pip install pyarrow"
