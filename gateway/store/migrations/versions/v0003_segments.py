"""What was said in a call."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "segments",
        sa.Column("seq", key, primary_key=True, autoincrement=True),
        sa.Column("call_control_id", sa.String(512), nullable=False),
        sa.Column("written_at", sa.Float, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
    )
    op.create_index("segments_call", "segments", ["call_control_id"])
    op.create_index("segments_written_at", "segments", ["written_at"])


def downgrade() -> None:
    """Drop it, and what was said."""
    op.drop_table("segments")
