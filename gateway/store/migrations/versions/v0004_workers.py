"""Whose a row is, where several workers write."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = ("webhooks", "calls", "forwards")


def upgrade() -> None:
    """Add the column; all that is there belongs to the first worker."""
    for table in _TABLES:
        op.add_column(table, sa.Column("worker", sa.SmallInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it: one process takes all."""
    for table in _TABLES:
        op.drop_column(table, "worker")
