"""The Jupyter side of Wattle: the server extension and the magics will stand here, on top of `wattle`."""

from wattle import __version__

__all__ = ["__version__"]
