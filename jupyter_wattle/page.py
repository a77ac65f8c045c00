"""The page `/wattle`: a document that holds nothing but the name of the script that draws it.

Laws: whoever may not read runs or workflows gets a sentence instead; the page may load and ask this server's own files
and nothing else, and no script or style may stand in it. What it shows comes over the REST interface, under the same
authentication.
"""

from __future__ import annotations

import html
from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado.web import authenticated

from jupyter_wattle.access import RUNS, WORKFLOWS
from wattle import __version__

STATIC = Path(__file__).parent / "static"
"""What `frontend/` builds."""
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
          "worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")  # fmt: skip


class Page(JupyterHandler):
    """Whoever is logged in sees it; others are sent to the login."""

    @authenticated
    async def get(self) -> None:
        """The document; the rest is the script's."""
        self.xsrf_token  # noqa: B018  reading it sets the cookie, without which no page may write
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Content-Security-Policy", POLICY)
        static = html.escape(f"{self.base_url}static/wattle/")
        for resource in (WORKFLOWS, RUNS):
            if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, "read", resource)):
                self.set_status(403)
                self.finish(document(static, f"<p>You have no right to read {resource}.</p>"))
                return
        base = html.escape(self.base_url)
        place = f'<div id="wattle" data-base="{base}" data-version="{__version__}"></div>'
        script = f'<script type="module" src="{static}page.js"></script>'
        self.finish(document(static, f"{place}<noscript><p>This page needs JavaScript.</p></noscript>{script}"))


def document(static: str, body: str) -> str:
    """The whole document. `static` is escaped, `body` ours."""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Wattle</title>'
            f'<meta name="viewport" content="width=device-width"><link rel="icon" href="{static}wattle.svg">'
            f'<link rel="stylesheet" href="{static}page.css"></head><body>{body}</body></html>')  # fmt: skip
