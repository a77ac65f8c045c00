"""`SqlStore`: the durable truth, over SQLAlchemy. SQLite unless a URL says otherwise.

Laws: `commit` is one transaction, all or nothing, and durable when it returns; sequence numbers are given inside it,
one after the other, and never used again, not even after pruning. One connection writes, others read, each read is one
statement and no reader holds a transaction. The statements of `commit` are text that the driver itself is given: they
are on the path of every event of every worker. Nothing but `StorageError` is ever raised.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import statistics
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Executable, create_engine, func, make_url, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError

from wattle.core.errors import StorageError
from wattle.core.names import fold
from wattle.core.progress import FINAL
from wattle.core.records import AttemptRecord, Batch, EventRecord, JournalMark, RunHead, RunRecord, WorkflowRecord
from wattle.storage import rows, schema, sqlite
from wattle.storage.faults import explain, told
from wattle.storage.statements import Statements

RECENT_RUNS = 10
"""How many runs tell what a worker usually takes."""


def open_store(url_or_path: str | os.PathLike[str], *, read_only: bool = False,
               patience: float = sqlite.PATIENCE) -> SqlStore:  # fmt: skip
    """Open the database at a path or a URL. A file that is missing is made; an older database is copied, then brought
    up to date. Read-only, nothing is made or changed. `patience`: seconds to wait for another program's lock.

    Raises:
        StorageError: it cannot be used; nothing was changed.
    """
    given = os.fspath(url_or_path)
    if given.startswith(("sqlite:", "sqlite+")):
        with told("that db_url names"):
            given = make_url(given).database or ""
    if "://" in given:
        return _open_url(given)
    if given in {"", ":memory:"}:
        raise StorageError("A database in memory would forget every run.", "name a file with db_url")
    path = Path(given).absolute()
    with told(str(path)):
        if not sqlite.inspect(path):
            if read_only:
                raise StorageError(f"There is no database {path}.", "wattle run FILE makes one")
            sqlite.make(path)
        look = sqlite.reading(path, patience)
        writer, reader = (look, look) if read_only else sqlite.writing(path, patience)
        store = SqlStore(str(path), writer, reader, path=path, read_only=read_only)
        return store.ready(look, check=sqlite.unclean(path))


def _open_url(url: str) -> SqlStore:
    with told("that db_url names"):
        place = make_url(url).render_as_string(hide_password=True)
        try:
            writer = create_engine(url, pool_size=1, max_overflow=0)
            reader = create_engine(url, pool_size=sqlite.READERS, max_overflow=-1, isolation_level="AUTOCOMMIT")
        except ImportError as error:
            raise StorageError(f"The database {place} needs the Python package {error.name}.",
                               f"pip install {error.name}") from None  # fmt: skip
    with told(place), writer.begin() as connection:
        if not connection.dialect.has_table(connection, "alembic_version"):
            schema.create(connection, secrets.token_hex(16))
    return SqlStore(place, writer, reader).ready(reader, check=False)


class SqlStore:
    """The `Store` of `core/ports.py`. `open_store` makes it."""

    def __init__(self, place: str, writer: Engine, reader: Engine, *, path: Path | None = None,
                 read_only: bool = False) -> None:  # fmt: skip
        self._place = place
        self._path = path
        self._read_only = read_only
        self._engine = writer
        self._reader = reader
        self._statements = Statements(writer.dialect)
        self._connection: Connection | None = None
        self._writing = threading.Lock()
        self._store_id = ""

    @property
    def store_id(self) -> str:
        """A random name given when the store was made."""
        return self._store_id

    # ---- opening and closing ------------------------------------------------------------------------------------

    def ready(self, look: Engine, *, check: bool) -> Self:
        """See by `look`, which changes nothing, that the database is sound (`check` walks its pages), one of ours and
        of this version; bring it there if need be. Closes the store when it raises."""
        try:
            with told(self._place):
                with look.connect() as connection:
                    if check and self._path is not None:
                        sqlite.check(connection, self._path)
                    self._store_id = str(connection.execute(_meta("store_id")).scalar_one())
                    version = str(connection.execute(select(schema.alembic_version.c.version_num)).scalar_one())
                if version != schema.VERSION:
                    self._migrate(version)
        except BaseException:
            self.close()
            raise
        return self

    def _migrate(self, version: str) -> None:
        if version > schema.VERSION:
            raise StorageError(f"The database {self._place} was written by a newer Wattle: its version is {version}, "
                               f"this one knows {schema.VERSION}.",
                               "pip install -U jupyter-wattle, or name another state root with --home")  # fmt: skip
        if self._read_only:
            raise StorageError(f"The database {self._place} was written by an older Wattle and must be changed first.",
                               "wattle up does it, and keeps a copy of the database")  # fmt: skip
        from wattle.storage.migrations import upgrade  # noqa: PLC0415  Alembic is needed once per version, if at all

        if self._path is not None:
            self.backup(sqlite.backup_name(self._path, version))
        with self._engine.begin() as connection:
            upgrade(connection)

    def backup(self, target: str | os.PathLike[str]) -> None:
        """Write a consistent copy of the live database to `target`, 0600, whole or not at all. SQLite only.

        Raises:
            StorageError: it could not be written, or the database is not a file.
        """
        if self._path is None:
            raise StorageError(f"The database {self._place} is not a file.", "use the backup of its server")
        with told(self._place), self._reader.connect() as connection:
            sqlite.copy(connection, Path(target).absolute())

    def close(self) -> None:
        """Let go of the files. The last one to go folds the log into the database."""
        with contextlib.suppress(SQLAlchemyError), self._writing:
            self._reader.dispose()
            self._drop()
            self._engine.dispose()

    # ---- writing --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """The one writing connection, in a transaction. After an error it is opened anew: what an I/O error left of it
        is not trusted again."""
        if self._read_only:
            raise StorageError(f"The database {self._place} was opened for reading only.")
        with told(self._place), self._writing:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._engine.connect()
            try:
                with connection.begin():
                    yield connection
            except self._engine.dialect.loaded_dbapi.Error as error:  # of the driver itself, not of SQLAlchemy
                self._drop()
                raise explain(error, self._place) from error
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()

    def commit(self, batch: Batch) -> int:
        """Write all of the batch in one durable transaction, or nothing. Returns the last sequence number."""
        say = self._statements
        with self._transaction() as connection, contextlib.closing(connection.connection.cursor()) as cursor:
            cursor.execute(say.last["events.seq"])
            seq = first = _largest(cursor.fetchall())
            for workflow in batch.workflows.values():
                self._put_workflow(cursor, workflow)
            for record in batch.runs.values():
                self._put_run(cursor, record)
            if batch.events:
                seq += len(batch.events)
                cursor.executemany(say.insert_event, [rows.event_row(n, *pair)
                                                      for n, pair in enumerate(batch.events, first + 1)])  # fmt: skip
            if batch.attempts:
                cursor.executemany(say.put_attempt, list(map(rows.attempt_row, batch.attempts.values())))
            if batch.mark is not None:
                cursor.execute(say.put_meta, ("mark", rows.text(batch.mark)))
            for run, contents in batch.contents.items():
                cursor.execute(say.put_contents, (rows.text(contents), run))
            if batch.keys:
                cursor.executemany(say.put_key, list(batch.keys.items()))
        return seq

    def _put_workflow(self, cursor: DBAPICursor, workflow: WorkflowRecord) -> None:
        """The document and its workers are written when they changed; the start of a run changes only numbers."""
        say = self._statements
        document, key = rows.text(workflow.document), fold(workflow.name)
        cursor.execute(say.get_document, (key,))
        known = cursor.fetchone()
        cursor.execute(say.put_definition, rows.definition_row(workflow, document))
        if known is not None and known[0] == document:
            return
        cursor.execute(say.drop_workers, (key,))
        found = workflow.document
        workers = [rows.worker_row(key, n, worker, found.working_dir) for n, worker in enumerate(found.workers)]
        if workers:
            cursor.executemany(say.insert_worker, workers)

    def _put_run(self, cursor: DBAPICursor, record: RunRecord) -> None:
        say = self._statements
        cursor.execute(say.change_run, rows.run_change(record))
        if cursor.rowcount:
            return
        spec = record.spec
        cursor.execute(say.insert_run, rows.run_row(record))
        cursor.execute(say.insert_spec, rows.spec_row(record))
        if spec.rows:
            cursor.executemany(say.insert_group, [(spec.id, name, len(values)) for name, values in spec.rows.items()])

    def new_epoch(self) -> int:
        """Count one more coordinator and return its number, durably."""
        with self._transaction() as connection:
            epoch = int(connection.execute(_meta("epoch")).scalar_one()) + 1
            connection.exec_driver_sql(self._statements.put_meta, ("epoch", str(epoch)))
        return epoch

    def prune(self, runs: Sequence[int]) -> None:
        """Forget ended runs with their attempts and events; an unfinished run is left alone. Numbers stay used."""
        say = self._statements
        with self._transaction() as connection:
            for name in ("events.seq", "runs.id"):
                connection.exec_driver_sql(say.put_meta, (f"last {name}", str(self._last(connection, name))))
            for run in runs:
                row = connection.execute(
                    select(schema.runs.c.workflow, schema.runs.c.number)
                    .where(schema.runs.c.id == run, schema.runs.c.status.in_(FINAL))
                ).first()  # fmt: skip
                if row is not None:
                    connection.exec_driver_sql(say.drop_key, (f"{row.workflow}@{row.number}",))
                    connection.exec_driver_sql(say.drop_run, (run,))

    def _last(self, connection: Connection, name: str) -> int:
        """The largest number ever used, also by what was pruned since."""
        return _largest(connection.exec_driver_sql(self._statements.last[name]))

    # ---- reading --------------------------------------------------------------------------------------------------

    def _read(self, query: Executable) -> list[Any]:
        with told(self._place), self._reader.connect() as connection:
            return list(connection.execute(query))

    def _first(self, query: Executable) -> Any:
        found = self._read(query)
        return found[0] if found else None

    def last_seq(self) -> int:
        """The sequence number of the newest event; 0 in an empty store."""
        with told(self._place), self._reader.connect() as connection:
            return self._last(connection, "events.seq")

    def last_run_id(self) -> int:
        """The largest run id ever used; 0 in an empty store."""
        with told(self._place), self._reader.connect() as connection:
            return self._last(connection, "runs.id")

    def mark(self) -> JournalMark | None:
        """How far the supervisor's journal has been stored."""
        row = self._first(_meta("mark"))
        with told(self._place):
            return None if row is None else rows.to_mark(row[0])

    def workflow(self, name: str) -> WorkflowRecord | None:
        """The definition of that name (ignoring case), deleted ones included."""
        row = self._first(select(schema.definitions).where(schema.definitions.c.key == fold(name)))
        with told(self._place):
            return None if row is None else rows.to_workflow(row)

    def revision(self, name: str) -> int:
        """The revision of a definition; 0 when there is none, or it is deleted."""
        found = schema.definitions.c
        row = self._first(select(found.revision).where(found.key == fold(name), found.deleted_at.is_(None)))
        return 0 if row is None else int(row[0])

    def workflows(self) -> list[WorkflowRecord]:
        """All definitions that are not deleted, by name."""
        found = self._read(select(schema.definitions).where(schema.definitions.c.deleted_at.is_(None)))
        with told(self._place):  # sorted here: databases differ in how they order letters
            return [rows.to_workflow(row) for row in sorted(found, key=lambda row: str(row.key))]

    def run(self, workflow: str, number: int) -> RunRecord | None:
        """One run, or None."""
        runs = schema.runs.c
        row = self._first(_RUNS_WITH_SPEC.where(runs.workflow_key == fold(workflow), runs.number == number))
        with told(self._place):
            return None if row is None else rows.to_run(row)

    def runs(self, workflow: str | None = None, *, limit: int = 100, before: int | None = None) -> list[RunHead]:
        """Runs, newest first; `before` is an id to page on from."""
        query = select(schema.runs).order_by(schema.runs.c.id.desc()).limit(limit)
        if workflow is not None:
            query = query.where(schema.runs.c.workflow_key == fold(workflow))
        if before is not None:
            query = query.where(schema.runs.c.id < before)
        found = self._read(query)
        with told(self._place):
            return [rows.to_head(row) for row in found]

    def count_runs(self, workflow: str | None = None, *, status: str | None = None) -> int:
        """How many runs there are, of one workflow or all, in one status or any."""
        query = select(func.count()).select_from(schema.runs)
        if workflow is not None:
            query = query.where(schema.runs.c.workflow_key == fold(workflow))
        if status is not None:
            query = query.where(schema.runs.c.status == status)
        return int(self._first(query)[0])

    def latest_runs(self) -> dict[str, RunHead]:
        """The newest run of every workflow that has one, by the workflow's name."""
        runs, definitions = schema.runs, schema.definitions
        newest = (
            select(runs.c.workflow_key.label("key"), func.max(runs.c.number).label("number"))
            .group_by(runs.c.workflow_key).subquery()
        )  # fmt: skip
        query = (
            select(runs, func.coalesce(definitions.c.name, runs.c.workflow))
            .join(newest, (newest.c.key == runs.c.workflow_key) & (newest.c.number == runs.c.number))
            .join(definitions, definitions.c.key == runs.c.workflow_key, isouter=True)
        )
        found = self._read(query)
        with told(self._place):
            return {row[-1]: rows.to_head(row[:-1]) for row in found}

    def unfinished(self) -> list[RunRecord]:
        """Every run that is not in a final status, oldest first."""
        unfinished = schema.runs.c.status.in_(("created", "running"))
        found = self._read(_RUNS_WITH_SPEC.where(unfinished).order_by(schema.runs.c.id))
        with told(self._place):
            return [rows.to_run(row) for row in found]

    def events(self, run: int | None = None, *, after: int = 0, limit: int | None = None) -> list[EventRecord]:
        """Events in their order, of one run or of all."""
        events, runs = schema.events.c, schema.runs.c
        query = (
            select(events.seq, events.run, runs.workflow, runs.number, events.event)
            .join_from(schema.events, schema.runs).where(events.seq > after).order_by(events.seq)
        )  # fmt: skip
        if run is not None:
            query = query.where(events.run == run)
        found = self._read(query if limit is None else query.limit(limit))
        with told(self._place):
            return [rows.to_event(row) for row in found]

    def attempts(self, run: int, worker: str | None = None) -> list[AttemptRecord]:
        """Attempts of a run by worker and number."""
        query = select(schema.attempts).where(schema.attempts.c.run == run)
        found = self._read(query if worker is None else query.where(schema.attempts.c.worker == worker))
        with told(self._place):
            return [rows.to_attempt(row) for row in sorted(found, key=lambda row: (row.worker, row.attempt))]

    def durations(self, workflow: str) -> dict[str, float]:
        """Per instance name, the median seconds of its completed attempts in the ten newest runs."""
        attempts, runs = schema.attempts.c, schema.runs.c
        recent = (
            select(runs.id).where(runs.workflow_key == fold(workflow)).order_by(runs.number.desc()).limit(RECENT_RUNS)
        )
        found = self._read(
            select(attempts.worker, attempts.ended_at - attempts.started_at)
            .where(attempts.run.in_(recent.scalar_subquery()), attempts.status == "completed",
                   attempts.started_at.is_not(None), attempts.ended_at.is_not(None))
        )  # fmt: skip
        seconds: dict[str, list[float]] = {}
        for worker, taken in found:
            seconds.setdefault(worker, []).append(taken)
        return {worker: statistics.median(taken) for worker, taken in sorted(seconds.items())}

    def key(self, key: str) -> str | None:
        """The address that was started under this idempotency key."""
        row = self._first(select(schema.idempotency_keys.c.address).where(schema.idempotency_keys.c.key == key))
        return None if row is None else str(row[0])


_SPECS = schema.run_specs.c
_RUNS_WITH_SPEC = select(schema.runs, _SPECS.spec, _SPECS.contents).join_from(schema.runs, schema.run_specs)


def _meta(key: str) -> Executable:
    return select(schema.meta.c.value).where(schema.meta.c.key == key)


def _largest(found: Iterable[Any]) -> int:
    """The largest number in rows of one number or none."""
    return max(int(row[0] or 0) for row in found)
