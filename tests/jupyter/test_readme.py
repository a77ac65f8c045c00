"""What the README shows of the API is what one gets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.jupyter.conftest import Begin
from tests.jupyter.servers import TOKEN
from tests.terminal import REPOSITORY


def block(kind: str, word: str) -> str:
    """The README's block of code that holds a word."""
    blocks = re.findall(rf"```{kind}\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return str(found)


def test_its_curl_commands_make_a_run_and_follow_its_log(begin: Begin, tmp_path: Path) -> None:
    server = begin("serve")
    server.ready()
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block("sh", "curl")], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "TOKEN": TOKEN, "URL": server.url.rstrip("/")}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    texts = [json.loads(line[6:]).get("text") for line in done.stdout.splitlines() if line.startswith("data: ")]
    assert "".join(filter(None, texts)).endswith("hello\nagain\n")
    assert '"status":"completed"' in done.stdout.splitlines()[-1]


def test_its_python_makes_a_run_and_follows_it(begin: Begin, tmp_path: Path) -> None:
    server = begin("serve")
    server.ready()
    here, there = "wattle.connect()", f"wattle.connect({server.url!r}, token={TOKEN!r})"
    code = block("python", here).replace(here, there)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "completed {'completed': 1}" in done.stdout
    assert done.stdout.endswith("hello\n")
