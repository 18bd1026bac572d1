"""
Walks that have not ended, recordings that no proven walk has met, and volatile bytes of records.

What the archive holds already came from proven lists, so none of it is unproven.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    sorted_text = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    op.create_table(
        "walks",
        sa.Column("conn_key", sorted_text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("known", sa.Integer, nullable=False),
        sa.Column("probes_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("conn_key", name="pk_walks"),
    )
    op.create_table(
        "walked_events",
        sa.Column("conn_key", sorted_text, nullable=False),
        sa.Column("index", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("event_json", sa.Text, nullable=False),
        sa.Column("recording_id", number, nullable=False),
        sa.PrimaryKeyConstraint("conn_key", "index", name="pk_walked_events"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_walked_events_recording_id"
        ),
    )
    op.create_table(
        "unproven_recordings",
        sa.Column("recording_id", number, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("recording_id", name="pk_unproven_recordings"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_unproven_recordings_recording_id"
        ),
    )
    op.create_table(
        "volatile_record_bytes",
        sa.Column("serial", sorted_text, nullable=False),
        sa.Column("firmware", sorted_text, nullable=False),
        sa.Column("offsets_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("serial", "firmware", name="pk_volatile_record_bytes"),
    )
