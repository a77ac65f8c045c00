"""From the tables of an older version to those of this one, by Alembic.

A migration is a file `versions/v<number>_<what>.py` with `revision`, `down_revision` and `upgrade()`; the newest number
is also `schema.VERSION`. It changes tables only: views hold no data, are taken away before and made anew afterwards.
What a migration once did is never edited, not even to follow a change in `schema.py`; a test proves that the baseline
and all migrations together give exactly the tables of `schema.py`.

Law: `upgrade` runs in the caller's transaction, which holds all of it or nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from wattle.storage import schema

VERSIONS = Path(__file__).parent / "versions"


def upgrade(connection: Connection, to: str = "head") -> None:
    """Bring the database to a revision, in the transaction that the connection is in."""
    script = ScriptDirectory(str(VERSIONS.parent), version_locations=[str(VERSIONS)])

    def steps(current: Any, _context: MigrationContext) -> list[RevisionStep]:
        return list(script._upgrade_revs(to, current))  # noqa: SLF001  what Alembic's own command calls

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True, "script": script})
    schema.drop_views(connection)
    with Operations.context(context):
        context.run_migrations()
    schema.create_views(connection)
