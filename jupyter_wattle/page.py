"""The page `/wattle`: what runs and what ran last, made by the server, without a script.

Laws: everything that a person or a worker wrote is escaped; the page may load nothing but itself. While something
runs it comes again by itself every two seconds.
"""

from __future__ import annotations

import html
import secrets
import time
from collections.abc import Mapping
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import ensure_async
from tornado.web import authenticated

from jupyter_wattle.access import RUNS, WORKFLOWS
from wattle import __version__, succession
from wattle.core.errors import Unreachable, WattleError
from wattle.resident import Resident, in_thread

COLOURS = ("completed", "running", "failed", "cancelled", "created")
FRESH_SECONDS = 2

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #6a737d; --line: #dfe3e8; --paper: #fff; --panel: #f6f8fa;
  --completed: #1a7f47; --running: #1463c4; --failed: #c62b32; --cancelled: #8a6100; --created: #c4ccd4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --dim: #98a1ab; --line: #30363d; --paper: #14171b;
  --panel: #1d2126; --completed: #4cc38a; --running: #62a8ff; --failed: #ff7b72; --cancelled: #d9a441;
  --created: #4a525c; } }
* { box-sizing: border-box } body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif } main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem }
header { display: flex; align-items: baseline; gap: 1rem; margin-bottom: 1.5rem } h1 { font-size: 1.4rem; margin: 0 }
header p { margin: 0; color: var(--dim) } nav { margin-left: auto } a { color: var(--running) }
nav a { margin-left: 1rem } table { width: 100%; border-collapse: collapse } th { text-align: left; font-weight: 500;
  color: var(--dim) } th, td { padding: .55rem .75rem .55rem 0; border-bottom: 1px solid var(--line);
  vertical-align: middle } td small { display: block; color: var(--dim) } .num { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums }
.status { white-space: nowrap } .status i { display: inline-block; width: .6rem; height: .6rem; border-radius: 50%;
  margin-right: .5rem } .bar { display: flex; height: .5rem; min-width: 8rem; border-radius: .25rem; overflow: hidden;
  background: var(--line) } .box { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem;
  padding: 1rem 1.25rem } code { font-family: ui-monospace, monospace; font-size: .92em } pre { margin: .5rem 0 0;
  overflow: auto }
""" + "".join(f".{name} i, .bar .{name} {{ background: var(--{name}) }}\n" for name in COLOURS)

EMPTY = """<div class="box"><p>No workflow yet. Make one in a terminal:</p>
<pre><code>wattle demo                 an example, made and run
wattle run flow.yaml        your own</code></pre></div>"""


class Page(JupyterHandler):
    """Whoever is logged in sees it; others are sent to the login."""

    resident: Resident

    @authenticated
    async def get(self) -> None:
        """The list of workflows, newest first."""
        for resource in (WORKFLOWS, RUNS):
            if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, "read", resource)):
                self.set_status(403)
                self.finish(page("", f'<div class="box">You have no right to read {resource}.</div>', "", ""))
                return
        self.xsrf_token  # noqa: B018  reading it sets the cookie, without which no page may write
        nonce = secrets.token_urlsafe(16)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'"
        self.set_header("Content-Security-Policy", f"{policy}; form-action 'none'")
        self.finish(await self._look(nonce))

    async def _look(self, nonce: str) -> str:
        base = html.escape(self.base_url)
        try:
            self.resident.service()
            found = await in_thread(self._ask)
        except WattleError as error:
            told = f"<p>{html.escape(error.message)}</p><p>{html.escape(error.hint)}</p>"
            return page(base, f'<div class="box">{told}</div>', nonce, "", fresh=True)
        health, workflows = found
        rows = "".join(row(workflow, time.time()) for workflow in workflows["workflows"])
        head = "<tr><th>workflow<th>status<th>workers<th class=num>took<th class=num>when</tr>"
        body = f"<table>{head}{rows}</table>" if rows else EMPTY
        who = f"{health['rank']} on process {health['pid']}, {count(health['unfinished_runs'], 'unfinished run')}"
        return page(base, body, nonce, who, fresh=health["unfinished_runs"] > 0)

    def _ask(self) -> tuple[dict[str, Any], dict[str, Any]]:
        with succession.client(self.resident.settings) as client:
            try:
                return client.ask("get_health"), client.ask("list_workflows")
            except Unreachable as error:
                raise Unreachable("The coordinator is starting.", "this page comes again by itself") from error


def page(base: str, body: str, nonce: str, who: str, *, fresh: bool = False) -> str:
    """The whole document. `base` and `who` are escaped or ours."""
    again = f'<meta http-equiv="refresh" content="{FRESH_SECONDS}">' if fresh else ""
    links = f'<nav><a href="{base}api/wattle/docs">API</a><a href="{base}api/wattle/metrics">metrics</a></nav>'
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Wattle</title>{again}'
            f'<meta name="viewport" content="width=device-width"><style nonce="{nonce}">{STYLE}</style></head>'
            f"<body><main><header><h1>Wattle</h1><p>{__version__} · {who}</p>{links}</header>{body}</main></body>"
            "</html>")  # fmt: skip


def row(workflow: Mapping[str, Any], now: float) -> str:
    """One workflow with its latest run."""
    run = workflow["run"]
    name, status = html.escape(workflow["name"]), workflow["status"]
    about = f"<small>{html.escape(workflow['description'])}</small>" if workflow["description"] else ""
    if run is None:
        never = f"<td>{count(workflow['workers'], 'worker')}<td class=num><td class=num>never run"
        return f"<tr><td><code>{name}</code>{about}<td>{dot(status)}{never}</tr>"
    cause = f"<small>{html.escape(run['cause'])}: {html.escape(run['reason'])}</small>" if run["cause"] else ""
    ended = run["completed_at"] or now
    took = seconds(ended - run["started_at"]) if run["started_at"] else ""
    return (f"<tr><td><code>{html.escape(run['address'])}</code>{about}<td>{dot(status)}{cause}<td>{bar(run['counts'])}"
            f"<td class=num>{took}<td class=num>{ago(now - run['created_at'])}</tr>")  # fmt: skip


def dot(status: str) -> str:
    """A status by colour and word."""
    return f'<span class="status {status}"><i></i>{status}</span>'


def bar(counts: Mapping[str, int]) -> str:
    """Workers by status, as a bar and as words."""
    total = sum(counts.values())
    if not total:
        return ""
    parts = [(name, counts[name]) for name in COLOURS if counts.get(name)]
    # The policy forbids styles on elements; the width of a picture is no style.
    cells = "".join(f'<svg class="{name}" width="{100 * number / total:.1f}%" height="8"></svg>'
                    for name, number in parts)  # fmt: skip
    words = ", ".join(f"{number} {name}" for name, number in parts)
    return f'<div class="bar" title="{words}">{cells}</div><small>{words}</small>'


def count(number: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """A duration for people."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def ago(value: float) -> str:
    """How long ago, roughly."""
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if value >= size:
            return f"{int(value // size)} {word} ago"
    return "just now"
