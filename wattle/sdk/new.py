"""A form for a new workflow, shown in a notebook: `wattle.new()`. What it saves becomes a cell by `as_cell()`.

Law: the form saves through the coordinator like anybody; this object only knows the name, and reads back.
"""

from __future__ import annotations

from wattle.core.document import parse_document, render
from wattle.core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from wattle.sdk.client import Client


class New:
    """The form. `name` is that of the workflow, if it is known yet."""

    insert: ClassVar[Callable[[str], None] | None] = None
    """What puts a text into the next cell; a kernel sets it."""

    def __init__(self, connect: Callable[[], Client], name: str = "") -> None:
        self.name = name
        self._connect = connect
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The connection, made when it is first needed."""
        if self._client is None:
            self._client = self._connect()
        return self._client

    def as_cell(self, name: str | None = None) -> str:
        """The saved workflow as the text of a `%%wattle workflow` cell; in a notebook it is put into the next cell.

        Raises:
            InvalidRequest: nobody has said which.
            NotFound: it has not been saved yet.
        """
        name = name or self.name
        if not name:
            raise InvalidRequest("Which workflow is it?", 'say its name: as_cell("etl")')
        flow = self.client.ask("get_workflow", workflow=name)
        workflow = parse_document(flow["document"], base_dir=flow["working_dir"]).workflow
        text = f"%%wattle workflow {name}\n{render(workflow, 'yaml', relative_to=self.client.base_dir)}"
        if New.insert is not None:
            New.insert(text)
        return text

    def __repr__(self) -> str:
        about = f" {self.name}" if self.name else ""
        return f"<New workflow{about}: the form needs a notebook; in a terminal write a wattle.yaml, or: wattle init>"
