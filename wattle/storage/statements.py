"""The statements of the write path as text, made once per store from the tables, in the words of its driver.

Only what SQLite and PostgreSQL both understand is used: `INSERT … ON CONFLICT … DO UPDATE` for what may be there.
"""

# ruff: noqa: S608  the statements are made of our own tables' names; values go to the driver beside them
from __future__ import annotations

from sqlalchemy import Dialect, Table

from wattle.core.errors import StorageError
from wattle.storage import schema

_SIGNS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


class Statements:
    """Each takes a row of its table, or what its name says."""

    def __init__(self, dialect: Dialect) -> None:
        if dialect.paramstyle not in _SIGNS:
            raise StorageError(f"The database driver {dialect.driver} is not one that Wattle can use.",
                               "use SQLite, or PostgreSQL by psycopg")  # fmt: skip
        self._sign = sign = _SIGNS[dialect.paramstyle]
        self.insert_event = self._insert(schema.events)
        self.put_attempt = self._put(schema.attempts)
        self.put_meta = self._put(schema.meta)
        self.put_key = self._put(schema.idempotency_keys)
        self.put_definition = self._put(schema.definitions)
        self.insert_worker = self._insert(schema.worker_definitions)
        self.insert_run = self._insert(schema.runs)
        self.insert_spec = self._insert(schema.run_specs)
        self.insert_group = self._insert(schema.run_groups)
        self.get_document = f"SELECT document FROM definitions WHERE key = {sign}"
        self.drop_workers = f"DELETE FROM worker_definitions WHERE workflow_key = {sign}"
        self.drop_run = f"DELETE FROM runs WHERE id = {sign}"
        self.drop_key = f"DELETE FROM idempotency_keys WHERE address = {sign}"
        self.put_contents = f"UPDATE run_specs SET contents = {sign} WHERE run = {sign}"
        changing = ("status", "phase", "reason", "cause", "started_at", "completed_at", "counts", "overhead")
        self.change_run = f"UPDATE runs SET {', '.join(f'{name} = {sign}' for name in changing)} WHERE id = {sign}"
        self.last = {
            name: f"SELECT max({name}) FROM {name.partition('.')[0]} UNION ALL "
                  f"SELECT CAST(value AS integer) FROM meta WHERE key = 'last {name}'"
            for name in ("events.seq", "runs.id")
        }  # fmt: skip

    def _insert(self, table: Table) -> str:
        names = [column.name for column in table.columns]
        return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([self._sign] * len(names))})"

    def _put(self, table: Table) -> str:
        """Insert a row, or take its place where there is one of that key."""
        keys = [column.name for column in table.primary_key]
        others = [column.name for column in table.columns if not column.primary_key]
        change = ", ".join(f"{name} = excluded.{name}" for name in others)
        return f"{self._insert(table)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {change}"
