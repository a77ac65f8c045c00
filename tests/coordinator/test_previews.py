"""What a person is shown of an output, and how far the workers of a run say they are."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.coordinator.desk import Desk
from wattle.coordinator import previews
from wattle.core.replies import OutputPreview

PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)


async def placed(desk: Desk, data: bytes) -> OutputPreview:
    """The preview of a file output with these bytes."""
    await desk.create({"a": {"outputs": {"t": "t.png"}}})
    await desk.run()
    Path(desk.hands.launched[desk.hands.nonce("a")].outputs["t"]).write_bytes(data)
    shown: OutputPreview = await desk.ask("preview_output", workflow="etl@1", worker="a", port="t")
    return shown


@pytest.mark.parametrize(("data", "kind", "media"), [
    (PNG, "image", "image/png"), (b"\xff\xd8\xff\xe0" + bytes(8), "image", "image/jpeg"),
    (b"GIF89a" + bytes(8), "image", "image/gif"), (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image", "image/webp"),
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "image", "image/svg+xml"),
    (b"<html><script>alert(1)</script></html>", "text", ""), (b'{"x": [1, 2]}', "json", ""),
    (b'{"x": [1, 2', "text", ""), ("Blüte\n".encode(), "text", ""), (b"\x00\x01\x02", "binary", ""),
    (b"\xff\xfe\xfa", "binary", ""), (b"", "text", ""),
])  # fmt: skip
async def test_an_output_is_shown_as_what_its_bytes_say_whatever_its_name(
    tmp_path: Path, data: bytes, kind: str, media: str
) -> None:
    async with Desk(tmp_path) as desk:
        shown = await placed(desk, data)
        assert (shown.kind, shown.media, shown.size, shown.truncated) == (kind, media, len(data), False)
        assert (base64.b64decode(shown.base64) if shown.base64 is not None else (shown.text or "").encode()) == data


async def test_a_long_text_is_cut_at_a_whole_character_and_a_large_picture_is_not_shown(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        shown = await placed(desk, b"x" + "ü".encode() * previews.TEXT_BYTES)
        assert (shown.kind, shown.truncated) == ("text", True)
        assert shown.text == "x" + "ü" * (previews.TEXT_BYTES // 2 - 1)
        place = Path(shown.path)
        place.write_bytes(PNG + bytes(previews.PICTURE_BYTES))
        large = await desk.ask("preview_output", workflow="etl@1", worker="a", port="t")
        assert (large.kind, large.truncated, len(base64.b64decode(large.base64))) == ("binary", True, 256)


async def test_what_is_not_there_is_missing_and_a_folder_is_its_names(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        place = Path((await placed(desk, b"")).path)
        place.unlink()
        assert (await desk.ask("preview_output", workflow="etl", worker="a", port="t")).kind == "missing"
        place.mkdir()
        (place / "part-1").touch()
        shown = await desk.ask("preview_output", workflow="etl", worker="a", port="t")
        assert (shown.kind, shown.text) == ("folder", "part-1")


async def test_progress_is_what_the_running_attempt_said_last(tmp_path: Path) -> None:
    async with Desk(tmp_path) as desk:
        await desk.create({"a": {}, "b": {}, "c": {}, "d": {"needs": ["a"]}})
        await desk.run()
        for name, text in (("a", json.dumps({"attempt": 1, "fraction": 0.4, "text": "epoch 4"})),
                           ("b", json.dumps({"attempt": 0, "fraction": 1.0, "text": "of an earlier attempt"})),
                           ("c", '{"attempt": 1, "fra')):  # fmt: skip
            desk.hands.started(desk.hands.nonce(name))
            folder = tmp_path / "wattle-runs" / "etl" / "1" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / previews.PROGRESS_FILE).write_text(text)
        await desk.settle()
        said = (await desk.ask("get_progress", workflow="etl")).workers
        assert [(one.name, one.fraction, one.text) for one in said] == [("a", 0.4, "epoch 4")]
        for name in "abc":
            await desk.finish(name)
        assert (await desk.ask("get_progress", workflow="etl@1")).workers == []
