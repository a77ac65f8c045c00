"""The tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    _definitions()
    _runs()
    op.create_table(
        "events",
        sa.Column("seq", BIG, primary_key=True, autoincrement=False),
        sa.Column("run", BIG, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
    )
    op.create_index("events_by_run", "events", ["run", "seq"])
    for name, value in (("idempotency_keys", "address"), ("meta", "value")):
        op.create_table(
            name, sa.Column("key", sa.Text, primary_key=True), sa.Column(value, sa.Text, nullable=False)
        )


def _definitions() -> None:
    op.create_table(
        "definitions",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("working_dir", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("last_run", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("deleted_at", sa.Double),
    )
    op.create_table(
        "worker_definitions",
        sa.Column("workflow_key", sa.Text, sa.ForeignKey("definitions.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in (
            "name", "kind", "command", "args", "working_dir", "env_vars", "inputs", "outputs",
        )),
    )  # fmt: skip


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", BIG, primary_key=True, autoincrement=False),
        sa.Column("workflow_key", sa.Text, nullable=False),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("status", "phase", "reason", "cause")),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("completed_at", sa.Double),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("overhead", sa.Double, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
    )
    op.create_index("runs_by_workflow", "runs", ["workflow_key", "number"], unique=True)
    op.create_index("runs_by_status", "runs", ["status"])
    op.create_table("run_specs", _run(), sa.Column("spec", sa.Text, nullable=False))
    op.create_table(
        "run_groups", _run(), sa.Column("name", sa.Text, primary_key=True),
        sa.Column("instances", sa.Integer, nullable=False),
    )  # fmt: skip
    op.create_table(
        "attempts", _run(),
        sa.Column("worker", sa.Text, primary_key=True),
        sa.Column("group_name", sa.Text),
        sa.Column("attempt", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("nonce", "status", "phase", "reason", "message")),
        *(sa.Column(name, sa.Integer) for name in ("code", "signal", "pid")),
        sa.Column("executable", sa.Text, nullable=False),
        *(sa.Column(name, sa.Double) for name in ("launched_at", "started_at", "ended_at")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("cpu_user", "cpu_system")),
        sa.Column("max_rss", BIG, nullable=False),
        sa.Column("outputs", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )  # fmt: skip


def _run() -> sa.Column[int]:
    return sa.Column("run", BIG, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True, nullable=False)
