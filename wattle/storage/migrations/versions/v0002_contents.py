"""Runs keep what their outside files held."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Old runs stay without: their results match nothing that reads files."""
    op.add_column("run_specs", sa.Column("contents", sa.Text))
