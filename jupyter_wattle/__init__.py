"""The Jupyter side of Wattle: the server extension, on top of `wattle`."""

from __future__ import annotations

from wattle import __version__

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """What Jupyter Server asks every extension for."""
    from jupyter_wattle.app import WattleApp

    return [{"module": "jupyter_wattle.app", "app": WattleApp}]
