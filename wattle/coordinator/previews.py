"""What a person may be shown of an output without opening it, and how far the workers of a run say they are.

Laws: what an output is, its first bytes say, never its name; it is shown as text, JSON or one of the pictures that a
browser draws without running anything, else as bytes. A preview is bounded whatever the file's size. A progress file
that is torn, old or not ours says nothing.
"""

from __future__ import annotations

import asyncio
import base64
import os

import msgspec

from wattle.coordinator.values import VALUE_LIMIT
from wattle.core.places import worker_dir
from wattle.core.replies import OutputDetail, OutputPreview, RunProgress, WorkerProgress
from wattle.core.run import Run

TEXT_BYTES = 64 << 10
"""Of a text so much is shown at most, and JSON up to it is shown as such."""
PICTURE_BYTES = 4 << 20
"""A picture is shown whole or not at all."""
HEAD_BYTES = 256
"""Of what is neither, so much."""
PROGRESS_BYTES = 4096
PROGRESS_FILE = ".progress.json"
"""`sdk/worker_values.py` writes it."""
_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF87a": "image/gif",
          b"GIF89a": "image/gif"}  # fmt: skip


class _Report(msgspec.Struct, kw_only=True):
    """A progress file."""

    attempt: int
    fraction: float | None = None
    text: str = ""


def picture_type(data: bytes) -> str:
    """The media type of a picture by its first bytes; empty when it is none that is shown."""
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"<?xml", b"<svg", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in data[:4096]:
        return "image/svg+xml"
    return ""


def preview(output: OutputDetail) -> OutputPreview:
    """An output's beginning, by what it is."""
    reply = OutputPreview(address=output.address, port=output.port, path=output.path, exists=output.exists,
                          size=output.size, kind="missing")  # fmt: skip
    if not output.exists:
        return reply
    if os.path.isdir(output.path):
        reply.kind = "folder"
        reply.text = "\n".join(sorted(os.listdir(output.path))[:200])
        return reply
    limit = VALUE_LIMIT if output.type == "value" else TEXT_BYTES
    with open(output.path, "rb") as file:
        data = file.read(limit)
        media = picture_type(data)
        if media and output.size <= PICTURE_BYTES:
            reply.kind, reply.media = "image", media
            reply.base64 = base64.b64encode(data + file.read(PICTURE_BYTES)).decode()
            return reply
    reply.truncated = output.size > len(data)
    try:
        reply.text = _text(data, whole=not reply.truncated)
        reply.kind = "text"
    except UnicodeDecodeError:
        reply.kind, reply.truncated = "binary", output.size > HEAD_BYTES
        reply.base64 = base64.b64encode(data[:HEAD_BYTES]).decode()
        return reply
    if not reply.truncated and data.lstrip()[:1] in {b"{", b"["}:
        try:
            msgspec.json.decode(data)
            reply.kind = "json"
        except (msgspec.DecodeError, RecursionError):
            pass
    return reply


def _text(data: bytes, *, whole: bool) -> str:
    """The bytes as text, less a character that was cut. Raises UnicodeDecodeError."""
    if b"\x00" in data:
        raise UnicodeDecodeError("utf-8", data, 0, 1, "a zero byte")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if whole or error.start < len(data) - 3:
            raise
        return data[: error.start].decode()


async def progress(run: Run) -> RunProgress:
    """What those who run say of themselves."""
    running = [(worker.instance, worker.attempt) for worker in run.workers if worker.phase in {"running", "stopping"}]
    wanted = [(instance.name, f"{worker_dir(run.spec, instance)}/{PROGRESS_FILE}", attempt)
              for instance, attempt in running]  # fmt: skip
    return RunProgress(workers=await asyncio.to_thread(_reports, wanted)) if wanted else RunProgress(workers=[])


def _reports(wanted: list[tuple[str, str, int]]) -> list[WorkerProgress]:
    found = []
    for name, path, attempt in wanted:
        try:
            with open(path, "rb") as file:
                report = msgspec.json.decode(file.read(PROGRESS_BYTES), type=_Report)
                at = os.fstat(file.fileno()).st_mtime
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if report.attempt == attempt:
            fraction = None if report.fraction is None else min(max(report.fraction, 0.0), 1.0)
            found.append(WorkerProgress(name=name, fraction=fraction, text=report.text, at=at))
    return found
