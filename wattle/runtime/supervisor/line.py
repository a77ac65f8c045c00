"""One connection of a coordinator: lines of JSON, never blocking, never growing without end."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

MAX_BUFFER = 32 << 20
"""A client that lets so much pile up is dropped; it comes back and is told again from the journal."""


READ_BYTES = 1 << 16
"""At once: larger buffers would be mapped and unmapped by the C library for each read."""
LOCAL_PEERCRED = 1
"""macOS and the BSDs: a `struct xucred`, whose first fields are a version and the user id."""


class Line:
    """A non-blocking socket that speaks lines."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.open = True
        self.out = bytearray()
        self.said = ""
        """The last sentence that it was told."""
        self._in = bytearray()

    def read(self) -> list[dict[str, Any]]:
        """The messages that have arrived; `open` is false afterwards when the other side is gone."""
        while True:
            try:
                data = self.sock.recv(READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                self.open = False
                break
            if not data:
                self.open = False
                break
            self._in += data
            if len(data) < READ_BYTES:
                break
        *lines, rest = self._in.split(b"\n")
        self._in = bytearray(rest)
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            self.open = False
            return []

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message and write what the socket takes."""
        self.send_line(json.dumps(message, separators=(",", ":")).encode())

    def send_line(self, line: bytes) -> None:
        """Queue a message that is JSON already."""
        if len(self.out) > MAX_BUFFER:
            self.open = False
        if self.open:
            self.out += line + b"\n"
            self.flush()

    def flush(self) -> None:
        """Write what the socket takes."""
        while self.out:
            try:
                sent = self.sock.send(self.out)
            except BlockingIOError:
                return
            except OSError:
                self.open = False
                return
            del self.out[:sent]

    def close(self) -> None:
        """Hang up."""
        self.open = False
        self.sock.close()


def peer_is_owner(sock: socket.socket) -> bool:
    """Whether the other end is a process of this user."""
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    else:
        _, uid = struct.unpack_from("Ii", sock.getsockopt(0, LOCAL_PEERCRED, 76))
    return bool(uid == os.getuid())
