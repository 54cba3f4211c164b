"""Webhooks, calls and commands."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the three tables."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "webhooks",
        sa.Column("seq", key, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.String(128), nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.Text),
    )
    op.create_table(
        "calls",
        sa.Column("call_control_id", sa.String(512), primary_key=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("calls_started_at", "calls", ["started_at"])
    op.create_table(
        "commands",
        sa.Column("seq", key, primary_key=True, autoincrement=True),
        sa.Column("command_id", sa.String(128)),
        sa.Column("call_control_id", sa.String(512)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("sent_at", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
    )
    op.create_index("commands_call", "commands", ["call_control_id"])


def downgrade() -> None:
    """Drop them, and what is in them."""
    for table in ("commands", "calls", "webhooks"):
        op.drop_table(table)
