"""A server extension of the tests: it writes down the routes that the live server has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "tests.jupyter.routes_extension"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Nothing to load."""


async def _start_jupyter_server_extension(serverapp: Any) -> None:
    """Every route whose handler is Wattle's, as [pattern, class]."""
    found: list[list[str]] = []

    def look(router: Any) -> None:
        for rule in router.rules:
            target = rule.target
            if hasattr(target, "rules"):
                look(target)
            elif isinstance(target, type) and target.__module__.startswith(("jupyter_wattle", "wattle")):
                found.append([rule.matcher.regex.pattern, target.__name__])

    look(serverapp.web_app.default_router)
    path = Path(os.environ["WATTLE_TEST_ROUTES"])
    path.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
    path.with_suffix(".new").replace(path)
