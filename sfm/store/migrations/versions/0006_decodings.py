"""
Readings of images with the decoder's version, further downloads, and images read in part.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables. What is archived already is read again when a store is opened."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    op.create_table(
        "recording_decodings",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("waveform_id", number, nullable=False),
        sa.Column("decoder", sa.Integer(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("contradicted", sa.Boolean(), nullable=False),
        sa.Column("facts_json", sa.Text(), nullable=False),
        sa.Column("scales_json", sa.Text(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("counts_hash", sa.LargeBinary()),
        sa.Column("counts", sa.LargeBinary()),
        sa.CheckConstraint(
            "state IN ('decoded', 'partial', 'undecoded')",
            name=op.f("ck_recording_decodings_state_known"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_recording_decodings"),
        sa.ForeignKeyConstraint(
            ["waveform_id"],
            ["recording_waveforms.id"],
            name="fk_recording_decodings_waveform_id",
        ),
    )
    op.create_index("ix_recording_decodings_waveform_id", "recording_decodings", ["waveform_id"])
    op.create_table(
        "recording_downloads",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("waveform_id", number, nullable=False),
        sa.Column("read_at", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recording_downloads"),
        sa.ForeignKeyConstraint(
            ["waveform_id"],
            ["recording_waveforms.id"],
            name="fk_recording_downloads_waveform_id",
        ),
        sa.UniqueConstraint(
            "waveform_id", "read_at", name="uq_recording_downloads_waveform_id_read_at"
        ),
    )
    op.create_table(
        "partial_images",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("recording_id", number),
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("waveform_key", by_bytes, nullable=False),
        sa.Column("event_timestamp", by_bytes, nullable=False),
        sa.Column("size_bytes", sa.Integer()),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("read_at", sa.Text(), nullable=False),
        sa.Column("data_hash", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_partial_images"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_partial_images_recording_id"
        ),
        sa.UniqueConstraint(
            "serial",
            "waveform_key",
            "event_timestamp",
            "data_hash",
            name="uq_partial_images_serial_waveform_key_event_timestamp_data_hash",
        ),
    )
    op.create_index("ix_partial_images_recording_id", "partial_images", ["recording_id"])
