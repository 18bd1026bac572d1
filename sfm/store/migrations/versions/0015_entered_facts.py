"""
Entered facts: what persons state about recordings, beside what the units reported.

A change is a new row; the last one of a name counts, and one without a value withdraws it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "entered_facts",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("recording_id", number, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value_json", sa.Text()),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_entered_facts"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_entered_facts_recording_id"
        ),
    )
    op.create_index("ix_entered_facts_recording_id", "entered_facts", ["recording_id"])
