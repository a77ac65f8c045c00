"""The tables and views, and the version that they are.

    definitions 1 ── n worker_definitions        what people saved
    runs        1 ── 1 run_specs, n run_groups    one execution each, with its frozen document
    runs        1 ── n attempts, events           its processes, and the facts that everything else follows from
    idempotency_keys, meta                        what was started under a key; the store's own facts

`workflows`, `workers` and `outputs` are views. Laws: an event is written once and nothing is written twice for it, so
whatever speaks of *the latest run* is derived by a view. Names are unique by their folded form, kept in `key` columns.
Times are seconds since the epoch, JSON is text. What is here is portable between SQLite and PostgreSQL; where they
differ (the `outputs` view) both forms stand side by side. A change of the tables needs a migration and a new `VERSION`
(`migrations/`); views hold no data and are made anew by every migration.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)
from sqlalchemy import text as sql

VERSION = "0002"
"""The newest revision in `migrations/versions/`; kept in Alembic's own table."""

metadata = MetaData()
Big = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's own row id is an INTEGER, by that name only


def _of_run(*, primary: bool = True) -> Column[int]:
    return Column("run", Big, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=primary, nullable=False)


alembic_version = Table(  # as Alembic itself would make it
    "alembic_version", metadata, Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)  # fmt: skip

meta = Table("meta", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

definitions = Table(
    "definitions", metadata,
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("working_dir", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("last_run", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("deleted_at", Double),
)  # fmt: skip

worker_definitions = Table(
    "worker_definitions", metadata,
    Column("workflow_key", Text, ForeignKey("definitions.key", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("args", Text, nullable=False),
    Column("working_dir", Text, nullable=False),
    Column("env_vars", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("outputs", Text, nullable=False),
)  # fmt: skip

runs = Table(
    "runs", metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("workflow_key", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("completed_at", Double),
    Column("counts", Text, nullable=False),
    Column("overhead", Double, nullable=False),
    Column("options", Text, nullable=False),
    Index("runs_by_workflow", "workflow_key", "number", unique=True),
    Index("runs_by_status", "status"),
)  # fmt: skip

# A document may be megabytes: a row of its own keeps it out of every change of the run's state.
run_specs = Table("run_specs", metadata, _of_run(), Column("spec", Text, nullable=False), Column("contents", Text))

run_groups = Table(
    "run_groups", metadata, _of_run(),
    Column("name", Text, primary_key=True),
    Column("instances", Integer, nullable=False),
)  # fmt: skip

attempts = Table(
    "attempts", metadata, _of_run(),
    Column("worker", Text, primary_key=True),
    Column("group_name", Text),
    Column("attempt", Integer, primary_key=True),
    Column("nonce", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("code", Integer),
    Column("signal", Integer),
    Column("pid", Integer),
    Column("executable", Text, nullable=False),
    Column("launched_at", Double),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("cpu_user", Double, nullable=False),
    Column("cpu_system", Double, nullable=False),
    Column("max_rss", Big, nullable=False),
    Column("outputs", Text, nullable=False),
    sqlite_with_rowid=False,
)  # fmt: skip

events = Table(
    "events", metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    _of_run(primary=False),
    Column("event", Text, nullable=False),
    Index("events_by_run", "run", "seq"),
)  # fmt: skip

idempotency_keys = Table(
    "idempotency_keys", metadata, Column("key", Text, primary_key=True), Column("address", Text, nullable=False)
)

_LATEST = """
SELECT r.* FROM runs r
JOIN (SELECT workflow_key, max(number) AS number FROM runs GROUP BY workflow_key) m
  ON m.workflow_key = r.workflow_key AND m.number = r.number
"""

_WORKFLOWS = """
SELECT d.name, d.working_dir, coalesce(r.status, 'created') AS status, d.created_at, d.deleted_at, r.started_at,
       r.completed_at, d.document, d.source, d.revision, d.last_run, d.updated_at
FROM definitions d LEFT JOIN latest_runs r ON r.workflow_key = d.key
"""

# The newest attempt of each instance of the latest runs. Its phase is the worker's; its status is its own.
_INSTANCES = """
SELECT a.run, coalesce(a.group_name, a.worker) AS worker, a.worker AS instance, a.started_at, a.ended_at, a.code, a.pid,
       CASE WHEN a.phase IN ('completed', 'failed', 'cancelled') THEN a.phase
            WHEN a.phase IN ('running', 'stopping', 'retrying') THEN 'running' ELSE 'created' END AS status,
       CASE WHEN a.phase IN ('failed', 'cancelled') THEN coalesce(nullif(a.message, ''), a.reason) END AS error_message
FROM latest_runs r JOIN attempts a ON a.run = r.id
WHERE a.attempt = (SELECT max(b.attempt) FROM attempts b WHERE b.run = a.run AND b.worker = a.worker)
"""

_STANDINGS = """
SELECT run, worker, count(*) AS seen, max(error_message) AS error_message, min(started_at) AS started_at,
       max(ended_at) AS ended_at, max(code) AS code, max(pid) AS pid,
       sum(CASE WHEN status = 'completed' THEN 1 ELSE 0 END) AS completed,
       sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
       sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
       sum(CASE WHEN status = 'created' THEN 1 ELSE 0 END) AS created
FROM latest_instances GROUP BY run, worker
"""

# A group has ended when all its instances have; instances that were never launched have no attempt to look at.
_WORKERS = """
SELECT workflow_name, name, kind, command, args, working_dir, env_vars, inputs, outputs, instances, status,
       CASE WHEN status IN ('failed', 'cancelled') THEN error_message END AS error_message, started_at,
       CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN ended_at END AS completed_at,
       CASE WHEN grouped = 0 THEN code END AS exit_code, CASE WHEN grouped = 0 THEN pid END AS pid
FROM (
  SELECT d.name AS workflow_name, d.key AS workflow_key, w.*, coalesce(g.instances, 1) AS instances, s.error_message,
         s.started_at, s.ended_at, s.code, s.pid, CASE WHEN g.run IS NULL THEN 0 ELSE 1 END AS grouped,
         CASE WHEN s.seen IS NULL OR s.created = s.seen THEN 'created'
              WHEN s.completed + s.failed + s.cancelled < s.seen THEN 'running'
              WHEN s.seen < g.instances AND r.completed_at IS NULL THEN 'running'
              WHEN s.failed > 0 THEN 'failed' WHEN s.cancelled > 0 THEN 'cancelled' ELSE 'completed' END AS status
  FROM (SELECT workflow_key AS of_workflow, position, name, kind, command, args, working_dir, env_vars, inputs, outputs
        FROM worker_definitions) w
  JOIN definitions d ON d.key = w.of_workflow
  LEFT JOIN latest_runs r ON r.workflow_key = w.of_workflow
  LEFT JOIN run_groups g ON g.run = r.id AND g.name = w.name
  LEFT JOIN latest_standings s ON s.run = r.id AND s.worker = w.name
) x ORDER BY workflow_key, position
"""

_OUTPUTS = {
    "sqlite": """
SELECT a.run, a.worker, a.attempt, o.key AS port, json_extract(o.value, '$[0]') AS size,
       json_extract(o.value, '$[1]') / 1e9 AS modified_at
FROM attempts a, json_each(a.outputs) o WHERE o.type = 'array'
""",
    "postgresql": """
SELECT a.run, a.worker, a.attempt, o.key AS port, CAST(o.value ->> 0 AS bigint) AS size,
       CAST(o.value ->> 1 AS double precision) / 1e9 AS modified_at
FROM attempts a, json_each(CAST(a.outputs AS json)) o WHERE json_typeof(o.value) = 'array'
""",
}

VIEWS = {
    "latest_runs": _LATEST, "workflows": _WORKFLOWS, "latest_instances": _INSTANCES, "latest_standings": _STANDINGS,
    "workers": _WORKERS,
}  # fmt: skip
"""In the order in which one needs the other. They hold no data."""


def create_views(connection: Connection) -> None:
    """Make the views. Each dialect that has no `outputs` view goes without."""
    outputs = {"outputs": _OUTPUTS[connection.dialect.name]} if connection.dialect.name in _OUTPUTS else {}
    for name, query in {**VIEWS, **outputs}.items():
        connection.execute(sql(f"CREATE VIEW {name} AS {query}"))


def drop_views(connection: Connection) -> None:
    """Take the views away, so that the tables below them can be changed."""
    for name in ("outputs", *reversed(VIEWS)):
        connection.execute(sql(f"DROP VIEW IF EXISTS {name}"))


def create(connection: Connection, store_id: str) -> None:
    """A fresh database in the connection's transaction: tables, views, the stamped version, the store's name."""
    metadata.create_all(connection, checkfirst=False)
    create_views(connection)
    connection.execute(alembic_version.insert().values(version_num=VERSION))
    connection.execute(meta.insert().values([{"key": "store_id", "value": store_id}, {"key": "epoch", "value": "0"}]))
