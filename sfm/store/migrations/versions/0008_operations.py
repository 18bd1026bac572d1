"""
Operations: long work that was answered with 202, how far it is and how it ended.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    op.create_table(
        "operations",
        sa.Column("id", by_bytes, nullable=False),
        sa.Column("begun_at", by_bytes, nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("state_json", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
    )
    op.create_index("ix_operations_begun_at", "operations", ["begun_at"])
