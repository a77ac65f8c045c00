"""The view as a widget, for front ends that have no renderer of ours (VS Code, Colab).

The page cannot reach the coordinator there, so the kernel answers for it: pictures of the run are pushed as state, and
what a person asks for (a log, a stop) comes as a message and is answered with one. Imported for such front ends alone.

Law: a message may ask for rows of the table of operations and nothing else, and an answer is `{reply}` or `{error}`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from wattle.core.errors import InvalidRequest, WattleError
from wattle.core.operations import BY_NAME
from wattle.sdk.client import Client

STATIC = Path(__file__).parent / "static"


class RunWidget(anywidget.AnyWidget):
    """One displayed run. `data` is what the MIME bundle would hold, `state` the latest picture with its number."""

    _esm = (STATIC / "widget.js").read_text(encoding="utf-8")
    data = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, client: Client, data: dict[str, Any]) -> None:
        super().__init__(data=data, state={"seq": 0, "snapshot": data["snapshot"]})
        self._asked = client
        self.on_msg(self._message)

    def push(self, snapshot: dict[str, Any]) -> None:
        """Show this picture."""
        self.state = {"seq": self.state["seq"] + 1, "snapshot": snapshot}

    def _message(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, dict) and "call" in content:
            self.send({"id": content.get("id"), **answer(self._asked, content)})


def answer(client: Client, content: dict[str, Any]) -> dict[str, Any]:
    """The answer to a message `{call, request}`."""
    try:
        row = BY_NAME.get(str(content["call"]))
        fields = content.get("request") or {}
        if row is None or row.stream or row.name == "hand_over" or not isinstance(fields, dict):
            raise InvalidRequest(f"A view cannot ask for {content['call']}.", "ask for what has one answer")
        return {"reply": client.ask(row.name, **fields), "error": None}
    except WattleError as error:
        return {"reply": None, "error": error.to_dict()}


def make(client: Client, data: dict[str, Any]) -> RunWidget:
    """A widget that shows this."""
    return RunWidget(client, data)
