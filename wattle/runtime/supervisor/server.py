"""The supervisor's main loop: hears coordinators, lets the work go on, journals, and then tells.

Laws: one thread decides; a fact is in the journal before it is announced; nothing here waits for a client; the lock on
`supervisor.lock` is held for life, and only its holder touches the socket and the journal of the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from wattle.runtime.supervisor import processes
from wattle.runtime.supervisor.journal import Journal
from wattle.runtime.supervisor.keeper import TAKEN
from wattle.runtime.supervisor.line import Line, peer_is_owner
from wattle.runtime.supervisor.restarts import Restarts
from wattle.runtime.supervisor.work import Work

PROTOCOL = 1
TICK = 1.0
STARTS_GATHER = 0.003
"""How long mere starts are kept: a worker that ends meanwhile is told of once."""
QUEUED_GATHER, MOST_GATHER = 0.0005, 0.01
"""How long ends are kept: so long for each attempt in the queue, which keeps the machine busy; but at most so long."""
ORPHANED_IDLE = 5.0
"""Without a keeper the next supervisor, which has one, should come soon."""


class Supervisor:
    """Owns the processes of one state root."""

    def __init__(self, folder: str, lock: int, idle_seconds: float) -> None:
        self.folder = folder
        self.lock = lock
        self.idle_seconds = idle_seconds
        self.journal = Journal(folder, processes.boot_id())
        self.restarts = Restarts(folder)
        self.epoch = 0
        """The highest that drove: lower ones are fenced."""
        self.driver: Line | None = None
        self.lines: set[Line] = set()
        self.draining = False
        self._keeper = os.getppid()
        self._idle_since = self._looked_at = time.monotonic()
        self._news_at = 0.0
        """When the oldest news came that nobody was told; 0 when there is none."""
        self._selector = selectors.DefaultSelector()
        self.work = Work(folder, self.journal, self._waker(), self._say)
        self._listener = self._open_door()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked_to_end)

    def _waker(self) -> Callable[[], None]:
        """What ends a wait: a byte of somebody who was held up, or a signal."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        self._selector.register(read, selectors.EVENT_READ, lambda: _empty(read))
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

        def wake() -> None:
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(write, b"w")

        return wake

    def _asked_to_end(self, *_: object) -> None:
        """It ends when it is not needed; workers and their coordinator come first."""
        if not self.work.tasks and self.driver is None:
            self.draining = True

    # ---- the loop -------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until there is nothing to do and nobody there; the exit code."""
        return self.work.relay.run(self._turns)

    def _turns(self) -> int:
        while True:
            for key, _ in self._selector.select(self._wait()):
                key.data()
            self.work.turn()
            self._publish()
            self.restarts.tick(driven=self.driver is not None)
            if self._over():
                return 0

    def _wait(self) -> float:
        now = time.monotonic()
        moments = [now + TICK, self.work.next_moment()]
        if self._news_at and not self.journal.trouble:
            moments.append(self._tell_at())
        return max(0.0, min(moments) - now)

    def _over(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at > TICK:
            self._looked_at = now
            if not self._genuine():
                self.draining = True
                self.restarts.rest()
        if self.work.tasks:
            self._idle_since = now
            return False
        if self.draining:
            return True
        if self.work.queue or self.driver is not None or self.restarts.waiting:
            self._idle_since = now
        orphaned = os.getppid() != self._keeper
        return now - self._idle_since > (min(ORPHANED_IDLE, self.idle_seconds) if orphaned else self.idle_seconds)

    def _genuine(self) -> bool:
        """Whether the folder is still the one whose lock this process holds."""
        if self.lock < 0:
            return True
        try:
            seen, held = os.stat(os.path.join(self.folder, "supervisor.lock")), os.fstat(self.lock)
        except OSError:
            return False
        return (seen.st_ino, seen.st_dev) == (held.st_ino, held.st_dev)

    # ---- the door -----------------------------------------------------------------------------------------------

    def _open_door(self) -> socket.socket:
        path = os.path.join(self.folder, "supervisor.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(16)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        return listener

    def close_door(self) -> None:
        """Nobody comes in any more; the next supervisor of this folder may begin."""
        if self.lock < 0:
            return
        self._selector.unregister(self._listener)
        self._listener.close()
        if self._genuine():
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.folder, "supervisor.sock"))
        os.close(self.lock)
        self.lock = -1

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
            try:
                self._take(line, message)
            except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
                line.send({"error": f"{type(error).__name__}: {error}"})
                line.open = False
        self._settle(line)

    def _settle(self, line: Line) -> None:
        """Forget a line that closed; otherwise wait for room if it has more to say."""
        if line not in self.lines:
            return
        if line.open:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.out else 0)
            self._selector.modify(line.sock, events, lambda: self._hear(line))
            return
        self.lines.discard(line)
        self._selector.unregister(line.sock)
        line.close()
        if line is self.driver:
            self.driver = None

    # ---- coordinators -----------------------------------------------------------------------------------------

    def _take(self, line: Line, message: dict[str, Any]) -> None:
        kind = message["do"]
        if kind == "hello":
            self._hello(line, message)
        elif line is not self.driver:
            line.send({"error": "fenced", "epoch": self.epoch})
        elif kind == "start":
            self.work.add(message["launches"])
        elif kind == "stop":
            self.work.stop(message["nonce"], message["grace"])
        elif kind == "env":
            self.work.environment(message["id"], message["variables"])
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
        if self.journal.store not in {"", message["store"]}:
            if self.work.tasks:
                self._leave_to_other_store(line)
                return
            self.work.queue.clear()
            self.epoch = 0
        if message["epoch"] < self.epoch:
            line.send({"error": "fenced", "epoch": self.epoch})
            return
        self.draining = False
        self.journal.belongs_to(message["store"])
        if self.driver is not None and self.driver is not line:
            former, self.driver = self.driver, None
            former.send({"error": "fenced", "epoch": message["epoch"]})
            former.open = False
            self._settle(former)
        self.driver, self.epoch = line, message["epoch"]
        self.restarts.hello(message["restart"], message["environment"], message["on_exit"])
        self.journal.flush()
        self.journal.take_news()
        if message["journal"] == self.journal.id and message["seq"] > self.journal.seq:
            self.journal.rename()
        same = message["journal"] == self.journal.id
        line.send({
            "hello": PROTOCOL, "journal": self.journal.id, "pid": os.getpid(), "boot": processes.boot_id(),
            "spawn": self.work.spawn.name, "known": self.work.known(), "open": self.work.open(),
            "events": self.journal.since(message["seq"] if same else 0),
        })  # fmt: skip

    def _leave_to_other_store(self, line: Line) -> None:
        """The state root was made anew. What runs here is finished, and nobody is told of it; all else is let go, so
        that the newcomer can have a supervisor of its own."""
        line.send({"error": "other-store"})
        line.open = False
        self.draining = True
        self.work.queue.clear()
        self.restarts.rest()
        if self.lock >= 0:
            self.journal.put_aside()
            self.close_door()

    # ---- telling ------------------------------------------------------------------------------------------------

    def _tell_at(self) -> float:
        """When what nobody was told must be told. News may gather while nobody can need them."""
        gather = min(MOST_GATHER, QUEUED_GATHER * len(self.work.queue))
        return self._news_at + (gather if self.journal.pressing else max(gather, STARTS_GATHER))

    def _publish(self) -> None:
        """Journal what happened, and tell it."""
        if not self.journal.flush():
            self._say(self.journal.trouble)
            return
        if not self.journal.news:
            self._news_at = 0.0
            return
        now = time.monotonic()
        self._news_at = self._news_at or now
        if now < self._tell_at():
            return
        self._news_at = 0.0
        news = self.journal.take_news()
        if self.driver is not None:
            self.driver.send_line(b'{"events":[' + b",".join(news).replace(b"\n", b"") + b"]}")
            if self.driver.out or not self.driver.open:
                self._settle(self.driver)

    def _say(self, text: str) -> None:
        """A sentence for whoever coordinates."""
        if self.driver is not None and text != self.driver.said:
            self.driver.said = text
            self.driver.send({"note": text})


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
    """Take the lock, take over, open the door, and serve until the end; the exit code. `TAKEN` when another supervisor
    has the lock for longer than `patience` seconds: a process that a killed one was just making holds it until it has
    become its program."""
    lock = os.open(os.path.join(folder, "supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while not _locked(lock):
        if time.monotonic() >= deadline:
            return TAKEN
        time.sleep(0.01)
    os.pwrite(lock, f"{os.getpid():<15}\n".encode(), 0)  # of one length, so that it is never seen empty
    processes.become_subreaper()
    supervisor = Supervisor(folder, lock, idle_seconds)
    code = supervisor.run()
    supervisor.close_door()
    if supervisor.journal.aside:
        supervisor.journal.forget_aside()
    return code
