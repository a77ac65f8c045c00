"""The supervisor's main loop: takes launches, starts them as counters have room, reaps, journals, tells.

Laws: one thread decides (lanes only make processes); a fact is in the journal before it is announced; an intent is in
the journal before its process can exist; nothing here waits for a client.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import time
from collections import deque
from typing import Any

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.endings import Endings
from wattle.runtime.supervisor.journal import Journal
from wattle.runtime.supervisor.keeper import TAKEN
from wattle.runtime.supervisor.line import Line, peer_is_owner
from wattle.runtime.supervisor.restarts import Restarts
from wattle.runtime.supervisor.spawn import choose
from wattle.runtime.supervisor.tasks import Lanes, Refused, Stop, Task, encoded, orphan_exit, outputs_of, status_fields

PROTOCOL = 1
ORPHAN_PATIENCE = 2.0
"""Seconds that the keeper has to write down an orphan's exit."""
ADOPTED_LOOK = 0.2
GATHER_SECONDS = 0.002
"""How long news may gather while the queue keeps the machine busy."""
KEPT = ("nonce", "run", "worker", "attempt", "stdout", "stderr", "grace", "outputs", "limits", "timeout")
"""What of a launch a successor needs."""


class Supervisor:
    """Owns the processes of one state root."""

    def __init__(self, folder: str, listener: socket.socket, idle_seconds: float) -> None:
        self.folder = folder
        self.idle_seconds = idle_seconds
        self.journal = Journal(folder)
        self.restarts = Restarts(folder)
        self.environments: dict[str, dict[str, bytes]] = {}
        self.queue: deque[Task] = deque()
        self.tasks: dict[str, Task] = {}
        """Spawning, running or ending, by nonce."""
        self.by_pid: dict[int, Task] = {}
        self.adopted: dict[str, tuple[Task, float | None]] = {}
        """Not our children: with the moment at which each was found gone."""
        self.used: dict[str, float] = {}
        self.early: dict[int, tuple[int, Any]] = {}
        self.epoch = 0
        self.driver: Line | None = None
        self.lines: set[Line] = set()
        self.draining = False
        self.idle_since = time.monotonic()
        self.endings = Endings(self._ended)
        self.boot, self.namespace = processes.boot_id(), processes.pid_namespace()
        self.failpoint = os.environ.get("WATTLE_FAILPOINT", "")
        self._tell_at = 0.0
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        wake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        self._selector.register(wake, selectors.EVENT_READ, lambda: _empty(wake))
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._spawn = choose(folder)
        self.lanes = Lanes(self._spawn, self.environments, self._wake)
        self._adopt()

    # ---- the loop -------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until there is nothing to do and nobody there; the exit code."""
        while True:
            for key, _ in self._selector.select(self._wait()):
                key.data()
            self._made()
            self._reap()
            self._watch_adopted()
            self._check_deadlines()
            self.endings.look()
            self._start_what_fits()
            self._publish()
            self.restarts.tick(driven=self.driver is not None)
            if self._over():
                return 0

    def _wait(self) -> float:
        now = time.monotonic()
        moments = [now + 1.0]
        if self.endings.next_look is not None:
            moments.append(self.endings.next_look)
        if self.journal.news:
            moments.append(self._tell_at)
        if self.adopted:
            moments.append(now + ADOPTED_LOOK)
        moments += [task.deadline for task in self.tasks.values() if task.deadline is not None and task.stop is None]
        return max(0.0, min(moments) - now)

    def _over(self) -> bool:
        awaited = self.restarts.unfinished and not self.restarts.resting and self.restarts.hopeful
        if self.tasks or self.queue or self.driver is not None or awaited:
            self.idle_since = time.monotonic()
        if self.draining and not self.tasks:
            return True
        orphaned = os.getppid() == 1
        return time.monotonic() - self.idle_since > (5.0 if orphaned else self.idle_seconds)

    # ---- coordinators -----------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            if not peer_is_owner(sock):
                sock.close()
                return
            line = Line(sock)
            self.lines.add(line)
            self._selector.register(sock, selectors.EVENT_READ, lambda: self._hear(line))

    def _hear(self, line: Line) -> None:
        line.flush()
        for message in line.read():
            self._take(line, message)
        self._settle(line)

    def _settle(self, line: Line) -> None:
        """Forget a line that closed; otherwise wait for room if it has more to say."""
        if line.open:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.out else 0)
            self._selector.modify(line.sock, events, lambda: self._hear(line))
            return
        if line not in self.lines:
            return
        self.lines.discard(line)
        self._selector.unregister(line.sock)
        line.close()
        if line is self.driver:
            self.driver = None

    def _take(self, line: Line, message: dict[str, Any]) -> None:
        kind = message["do"]
        if kind == "hello":
            self._hello(line, message)
        elif line is not self.driver:
            line.send({"error": "fenced", "epoch": self.epoch})
        elif kind == "start":
            self._queue(message["launches"])
        elif kind == "stop":
            self._stop(message["nonce"], message["grace"])
        elif kind == "env":
            self.environments[message["id"]] = encoded(message["variables"])
        elif kind == "ack":
            if message["journal"] == self.journal.id:
                self.journal.acknowledge(message["seq"])
        elif kind == "busy":
            self.restarts.busy(message["unfinished"])
        elif kind == "goodbye":
            self.restarts.rest()
            self.draining = self.draining or message.get("drain", False)
            line.open = False

    def _hello(self, line: Line, message: dict[str, Any]) -> None:
        if message["protocol"] != PROTOCOL:
            line.send({"error": "protocol", "protocol": PROTOCOL})
            self.draining = True
            return
        if self.journal.store not in {"", message["store"]} and (self.tasks or self.queue):
            line.send({"error": "other-store"})
            self.draining = True
            self._close_door()
            return
        if message["epoch"] < self.epoch:
            line.send({"error": "fenced", "epoch": self.epoch})
            return
        self.journal.belongs_to(message["store"])
        if self.driver is not None and self.driver is not line:
            self.driver.send({"error": "fenced", "epoch": message["epoch"]})
            self.driver.open = False
            self._settle(self.driver)
        self.driver, self.epoch = line, message["epoch"]
        self.restarts.hello(message["restart"], message["environment"], message["on_exit"])
        same = message["journal"] == self.journal.id
        line.send({
            "hello": PROTOCOL, "journal": self.journal.id, "pid": os.getpid(), "boot": self.boot,
            "spawn": self._spawn.name, "known": [*self.journal.nonces, *(task.nonce for task in self.queue)],
            "events": self.journal.since(message["seq"] if same else 0),
        })  # fmt: skip
        self.journal.news.clear()

    def _close_door(self) -> None:
        self._selector.unregister(self._listener)
        self._listener.close()
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.folder, "supervisor.sock"))

    # ---- starting -----------------------------------------------------------------------------------------------

    def _queue(self, launches: list[dict[str, Any]]) -> None:
        queued = {task.nonce for task in self.queue}
        for launch in launches:
            if launch["nonce"] in self.journal.nonces or launch["nonce"] in queued:
                continue
            queued.add(launch["nonce"])
            task = Task(launch)
            impossible = next((name for name, (amount, total) in launch["limits"].items() if amount > total), None)
            if impossible is not None:
                self._note("N", task, message=f"it asks for more {impossible} than there are")
                continue
            self.queue.append(task)

    def _start_what_fits(self) -> None:
        if not self.queue or self.journal.trouble:
            return
        started: list[Task] = []
        kept: list[Task] = []
        while self.queue:
            task = self.queue.popleft()
            if not self._fits(task):
                kept.append(task)
                if self._full():
                    break
                continue
            self._count(task, +1)
            self._note("P", task, deadline=_wall_deadline(task), **{name: task.launch.get(name) for name in KEPT})
            started.append(task)
        self.queue.extendleft(reversed(kept))
        if not started:
            return
        self._fail("before-intent")
        if not self.journal.flush():
            self._take_back(started)
            return
        self._fail("after-intent")
        for task in started:
            self.tasks[task.nonce] = task
            self.lanes.put(task)

    def _take_back(self, started: list[Task]) -> None:
        """The intents could not be written: nothing was started, and they wait again."""
        for task in reversed(started):
            self._count(task, -1)
            self.queue.appendleft(task)
        self.journal.drop({task.nonce for task in started})

    def _full(self) -> bool:
        """Whether every slot is taken, so that nothing further in the queue can fit."""
        slots = next((task.launch["limits"].get("slots") for task in self.tasks.values()), None)
        return slots is not None and self.used.get("slots", 0) + slots[0] > slots[1]

    def _fits(self, task: Task) -> bool:
        return all(self.used.get(name, 0) + amount <= total
                   for name, (amount, total) in task.launch["limits"].items())  # fmt: skip

    def _count(self, task: Task, sign: int) -> None:
        for name, (amount, _) in task.launch["limits"].items():
            self.used[name] = max(0, self.used.get(name, 0) + sign * amount)

    def _made(self) -> None:
        """What the lanes have done."""
        while self.lanes.results:
            task, pid, ticks, refused = self.lanes.results.popleft()
            self.lanes.busy -= 1
            self._fail("after-spawn")
            if refused is not None:
                self._refused(task, refused)
                continue
            task.pid, task.ticks = pid, ticks
            self._note("S", task, pid=pid, ticks=ticks, boot=self.boot, ns=self.namespace,
                       executable=task.launch["executable"])  # fmt: skip
            self.by_pid[pid] = task
            if task.launch.get("timeout"):
                task.deadline = time.monotonic() + task.launch["timeout"]
            pending, task.stop = task.stop, None
            if pending is not None:
                self.endings.begin(task, pending.why, max(0.0, pending.kill_at - time.monotonic()))
            if pid in self.early:
                status, usage = self.early.pop(pid)
                self._leader_exited(task, status, usage)
        if not self.lanes.busy:
            self.early.clear()

    def _refused(self, task: Task, refused: Refused) -> None:
        del self.tasks[task.nonce]
        self._count(task, -1)
        if task.stop is not None:
            self._note("W", task)
        else:
            self._note("N", task, message=refused.message, reason=refused.reason)

    # ---- ending -------------------------------------------------------------------------------------------------

    def _stop(self, nonce: str, grace: float) -> None:
        for task in self.queue:
            if task.nonce == nonce:
                self.queue.remove(task)
                self._note("W", task)
                return
        found = self.tasks.get(nonce)
        if found is None:
            return
        if found.pid:
            self.endings.begin(found, "exit", grace)
        elif found.stop is None:
            found.stop = Stop("exit", grace)

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        for task in list(self.tasks.values()):
            if task.deadline is not None and task.stop is None and now >= task.deadline:
                self.endings.begin(task, "timeout", task.launch["grace"])

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            task = self.by_pid.get(pid)
            if task is not None:
                self._leader_exited(task, status, usage)
            elif self.lanes.busy:
                self.early[pid] = (status, usage)

    def _leader_exited(self, task: Task, status: int, usage: Any) -> None:
        del self.by_pid[task.pid]
        task.leader_gone = True
        task.exit = status_fields(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
        if task.stop is None and processes.send_group(task.pid, 0):
            self.endings.begin(task, "exit", task.launch["grace"])
        elif task.stop is None:
            self._ended(task)

    def _ended(self, task: Task) -> None:
        """Nothing of it is left."""
        self.tasks.pop(task.nonce, None)
        self.adopted.pop(task.nonce, None)
        self._count(task, -1)
        if not task.exit:
            self._note("L", task, message="its supervisor was killed, and nobody saw how it ended")
            return
        self._fail("before-exit-record")
        why = task.stop.why if task.stop is not None else "exit"
        self._note("X", task, why=why, outputs=outputs_of(task.launch), **task.exit)
        self._fail("after-exit-record")

    # ---- after a restart of this program ------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Take over what an earlier supervisor left, as far as it can be known."""
        intents: dict[str, dict[str, Any]] = {}
        starts: dict[str, dict[str, Any]] = {}
        for record in self.journal.records:
            if record["k"] == "P":
                intents[record["nonce"]] = record
            elif record["k"] == "S":
                starts[record["nonce"]] = record
            else:
                intents.pop(record["nonce"], None)
                starts.pop(record["nonce"], None)
        unseen = [nonce for nonce in intents if nonce not in starts]
        tagged = processes.members(unseen, {}) if unseen else {}
        for nonce, intent in intents.items():
            task = Task({**intent, "executable": ""})
            start = starts.get(nonce)
            if start is None:
                leader = next((pid for pid in tagged[nonce] if os.getpgid(pid) == pid), 0)
                entry = processes.look(leader) if leader else None
                if entry is None:
                    self._note("L", task, message="its supervisor was killed while starting it")
                    continue
                start = self._note("S", task, pid=leader, ticks=entry.ticks, boot=self.boot, ns=self.namespace,
                                   executable="")  # fmt: skip
            if (start["boot"], start["ns"]) != (self.boot, self.namespace):
                self._note("L", task, message="the machine was restarted while it ran")
                continue
            self._watch(task, start, intent)

    def _watch(self, task: Task, start: dict[str, Any], intent: dict[str, Any]) -> None:
        task.pid, task.ticks = start["pid"], start["ticks"]
        if intent.get("deadline"):
            task.deadline = time.monotonic() + max(0.0, intent["deadline"] - time.time())
        self._count(task, +1)
        self.tasks[task.nonce] = task
        self.adopted[task.nonce] = (task, None)

    def _watch_adopted(self) -> None:
        now = time.monotonic()
        for nonce, (task, gone) in list(self.adopted.items()):
            if gone is None and processes.alive(task.pid, task.ticks):
                continue
            told = orphan_exit(self.folder, task.pid, task.ticks)
            if told is not None:
                task.exit = status_fields(told["status"], told["utime"], told["stime"], told["maxrss"])
            elif gone is None:
                self.adopted[nonce] = (task, now)
                continue
            elif now - gone < ORPHAN_PATIENCE:
                continue
            task.leader_gone = True
            del self.adopted[nonce]
            if task.stop is None and processes.send_group(task.pid, 0):
                self.endings.begin(task, "exit", task.launch["grace"])
            elif task.stop is None:
                self._ended(task)

    # ---- telling ------------------------------------------------------------------------------------------------

    def _note(self, kind: str, task: Task, **fields: Any) -> dict[str, Any]:
        record = {"k": kind, "nonce": task.nonce, "run": task.launch["run"], "worker": task.launch["worker"],
                  "attempt": task.launch["attempt"], "at": time.time(), **fields}  # fmt: skip
        return self.journal.add(record)

    def _publish(self) -> None:
        """Journal and tell what happened. While there is more to start anyway, news may gather for a moment."""
        now = time.monotonic()
        if self.queue and now < self._tell_at:
            return
        if not self.journal.flush():
            return
        if self.driver is not None and self.journal.news:
            self._tell_at = now + GATHER_SECONDS
            self.driver.send({"events": self.journal.news})
        self.journal.news.clear()
        if self.driver is not None and (self.driver.out or not self.driver.open):
            self._settle(self.driver)

    def _fail(self, name: str) -> None:
        if self.failpoint == name:
            os.kill(os.getpid(), signal.SIGKILL)


def _wall_deadline(task: Task) -> float | None:
    """When its timeout will be over, for a successor: the start is about to happen."""
    timeout = task.launch.get("timeout")
    return time.time() + timeout if timeout else None


def _empty(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while len(os.read(descriptor, 4096)) == 4096:
            pass


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def supervise(folder: str, idle_seconds: float, patience: float = 0.0) -> int:
    """Take the lock, bind the socket, and serve. 3 when another supervisor has the lock for longer than `patience`
    seconds: a process that a killed one was just making holds it until it has become its program."""
    lock = os.open(os.path.join(folder, "supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while not _locked(lock):
        if time.monotonic() >= deadline:
            return TAKEN
        time.sleep(0.01)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    processes.become_subreaper()
    path = os.path.join(folder, "supervisor.sock")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(16)
    listener.setblocking(False)
    supervisor = Supervisor(folder, listener, idle_seconds)
    try:
        return supervisor.run()
    finally:
        if not supervisor.draining:
            with contextlib.suppress(OSError):
                os.unlink(path)


