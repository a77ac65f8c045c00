"""`wattle tap etl/engine/state`: how fast a live edge runs, how large its messages are, and the last of them.

On a terminal a few lines are redrawn in place; elsewhere there is a line a second, or with `--json` an object.

Law: looking costs the edge nothing: who looks is one more listener, which misses what it is too slow for.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque

from wattle.cli.live import meant
from wattle.cli.style import clean, clip, size
from wattle.sdk.worker_encoding import to_line
from wattle.sdk.worker_errors import RequestTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wattle.bus.zenoh import Sample
    from wattle.cli.session import Session
    from wattle.cli.style import Style

EVERY, DRAWN_EVERY = 1.0, 0.25
"""Seconds between two lines, and between two drawings."""
KEPT = 5
"""Messages that are shown."""
BARS = 40
QUEUE = 65_536
SHOWN_BYTES = 4096
LEVELS, PLAIN_LEVELS = "▁▂▃▄▅▆▇█", "_.-=+*#@"


class Tapped:
    """What has come."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages = 0
        self.bytes = 0
        self.dropped = 0
        self.rate = 0.0
        self.volume = 0.0
        self.rates: deque[float] = deque(maxlen=BARS)
        self.last: deque[Sample] = deque(maxlen=KEPT)
        self.ended = False
        self._since = time.monotonic()
        self._counted = (0, 0)

    def take(self, sample: Sample) -> None:
        """One more message."""
        self.messages += 1
        self.bytes += len(sample.payload)
        self.last.append(sample)

    def count(self) -> None:
        """The rates since this was last called."""
        now = time.monotonic()
        seconds = max(now - self._since, 1e-3)
        self.rate, self.volume = (self.messages - self._counted[0]) / seconds, (self.bytes - self._counted[1]) / seconds
        self.rates.append(self.rate)
        self._since, self._counted = now, (self.messages, self.bytes)

    def fields(self) -> dict[str, Any]:
        """What `--json` says."""
        newest = self.last[-1] if self.last else None
        return {"address": self.address, "messages": self.messages, "bytes": self.bytes, "dropped": self.dropped,
                "rate": round(self.rate, 2), "bytes_per_second": round(self.volume, 1), "ended": self.ended,
                "last": None if newest is None else to_line(newest.payload, newest.encoding)}  # fmt: skip

    def line(self, style: Style) -> str:
        """One line for a file or a pipe."""
        parts = [style.clock(style.now()), f"{self.rate:,.1f}/s", f"{size(self.volume)}/s",
                 f"{self.messages:,} messages", f"{self.dropped:,} missed" if self.dropped else ""]  # fmt: skip
        newest = _shown(self.last[-1]) if self.last else ""
        return clip("  ".join(filter(None, [*parts, newest])), 160)

    def block(self, style: Style) -> list[str]:
        """The lines on a terminal."""
        each = size(self.bytes / self.messages) + " each" if self.messages else ""
        state = style.paint("ended", "dim") if self.ended else style.paint("live", "running")
        seen = [f"{self.messages:,} messages", each, f"{size(self.volume)}/s",
                style.paint(f"{self.dropped:,} missed", "warn") if self.dropped else "none missed"]  # fmt: skip
        mark = style.mark("completed" if self.ended else "running")
        lines = [f"{mark} {style.paint(self.address, 'bold')}  {state}",
                 f"  {self.rate:>9,.1f}/s  {_bars(self.rates, style)}", f"  {style.dots(seen)}"]  # fmt: skip
        values = [f"  {style.paint('last', 'dim') if not place else '    '}  {_shown(sample)}"
                  for place, sample in enumerate(reversed(self.last))]  # fmt: skip
        return lines + (values or [f"  {style.paint('nothing has come yet', 'dim')}"])


def _bars(rates: deque[float], style: Style) -> str:
    levels = style.char(LEVELS, PLAIN_LEVELS)
    most = max(rates, default=0.0) or 1.0
    heights = [min(int(rate / most * len(levels)), len(levels) - 1) for rate in rates]
    return style.paint("".join(levels[height] for height in heights), "running")


def _shown(sample: Sample) -> str:
    fields = to_line(sample.payload, sample.encoding) if len(sample.payload) <= SHOWN_BYTES else {}
    if "data" in fields:
        return clean(json.dumps(fields["data"], ensure_ascii=False))
    return f"{len(sample.payload):,} bytes of {clean(sample.encoding.partition(';')[0]) or 'something'}"


def tap(session: Session) -> int:
    """To the end of its worker."""
    args, style = session.args, session.style
    drawing = style.live and not args.json
    every = DRAWN_EVERY if drawing else EVERY
    with meant(session, args.address) as (services, place), services.listen(place, QUEUE) as samples:
        tapped = Tapped(place.address)
        block = Block(style)
        due = time.monotonic() + every
        with contextlib.suppress(EOFError):
            while True:
                with contextlib.suppress(RequestTimeout):
                    tapped.take(samples.get(max(due - time.monotonic(), 0.0)))
                if time.monotonic() >= due:
                    due = time.monotonic() + every
                    _show(session, tapped, samples.dropped, block if drawing else None)
        tapped.ended = True
        _show(session, tapped, samples.dropped, block if drawing else None)
    return 0


def _show(session: Session, tapped: Tapped, dropped: int, block: Block | None) -> None:
    tapped.dropped = dropped
    tapped.count()
    if block is not None:
        block.draw(tapped.block(session.style))
    elif session.args.json:
        session.line(json.dumps(tapped.fields(), ensure_ascii=False))
    else:
        session.line(tapped.line(session.style))


class Block:
    """Lines on a terminal, redrawn in place."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._drawn = 0

    def draw(self, lines: list[str]) -> None:
        """Draw these in place of the last ones, in one write."""
        columns = self._style.size()[0]
        up = f"\033[{self._drawn}A" if self._drawn else ""
        self._style.stream.write(up + "\r" + "".join(f"{clip(line, columns)}\033[K\n" for line in lines) + "\033[J")
        self._style.stream.flush()
        self._drawn = len(lines)
