"""
The archive and the rest of the mirror.

Of cached events there was no word on the unit and its memory, so none of them can be proven to be
current: they stay until the unit was read again, and are served to nobody before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; let cached events point at recordings."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    real = sa.Float(53)
    op.create_table(
        "recordings",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("waveform_key", by_bytes, nullable=False),
        sa.Column("event_timestamp", by_bytes, nullable=False),
        sa.Column("utc", by_bytes),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("tran_in_s", real),
        sa.Column("vert_in_s", real),
        sa.Column("long_in_s", real),
        sa.Column("mic_psi", real),
        sa.Column("vector_sum_in_s", real),
        sa.Column("project", sa.Text()),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("read_at", sa.Text(), nullable=False),
        sa.CheckConstraint("serial <> ''", name=op.f("ck_recordings_serial_known")),
        sa.PrimaryKeyConstraint("id", name="pk_recordings"),
        sa.UniqueConstraint(
            "serial",
            "waveform_key",
            "event_timestamp",
            "content_hash",
            name="uq_recordings_serial_waveform_key_event_timestamp_content_hash",
        ),
    )
    op.create_index(
        "ix_recordings_by_time", "recordings", ["event_timestamp", "id", "vector_sum_in_s"]
    )
    op.create_index(
        "ix_recordings_by_serial",
        "recordings",
        ["serial", "event_timestamp", "id", "vector_sum_in_s"],
    )
    op.create_table(
        "recording_waveforms",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("recording_id", number, nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("facts_json", sa.Text(), nullable=False),
        sa.Column("scales_json", sa.Text(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("counts_hash", sa.LargeBinary(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("read_at", sa.Text(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recording_waveforms"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_recording_waveforms_recording_id"
        ),
        sa.UniqueConstraint(
            "recording_id",
            "content_hash",
            name="uq_recording_waveforms_recording_id_content_hash",
        ),
    )
    op.create_table(
        "findings",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("recording_id", number),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_findings"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_findings_recording_id"
        ),
    )
    op.create_table(
        "reviews",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("recording_id", number, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("false_trigger", sa.Boolean()),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name="fk_reviews_recording_id"
        ),
    )
    op.create_index("ix_reviews_recording_id", "reviews", ["recording_id"])
    op.create_table(
        "cached_devices",
        sa.Column("conn_key", by_bytes, nullable=False),
        sa.Column("serial", sa.Text()),
        sa.Column("simulated", sa.Boolean()),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("epoch_reason", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("info_json", sa.Text()),
        sa.Column("info_read_at", sa.Text()),
        sa.Column("info_began_mono", real),
        sa.Column("info_boot_id", sa.Text()),
        sa.Column("probe_json", sa.Text()),
        sa.Column("list_count", sa.Integer()),
        sa.Column("list_read_at", sa.Text()),
        sa.Column("list_began_mono", real),
        sa.Column("list_boot_id", sa.Text()),
        sa.PrimaryKeyConstraint("conn_key", name="pk_cached_devices"),
    )
    op.create_table(
        "cached_waveforms",
        sa.Column("conn_key", by_bytes, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("waveform_key", sa.Text()),
        sa.Column("event_timestamp", sa.Text()),
        sa.Column("waveform_id", number, nullable=False),
        sa.Column("cached_at", sa.Text(), nullable=False),
        sa.Column("began_mono", real),
        sa.Column("boot_id", sa.Text()),
        sa.PrimaryKeyConstraint("conn_key", "index", name="pk_cached_waveforms"),
        sa.ForeignKeyConstraint(
            ["waveform_id"],
            ["recording_waveforms.id"],
            name="fk_cached_waveforms_waveform_id",
        ),
    )
    op.create_table(
        "download_chunks",
        sa.Column("conn_key", by_bytes, nullable=False),
        sa.Column("waveform_key", sa.Text(), nullable=False),
        sa.Column("start", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_timestamp", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("conn_key", "waveform_key", "start", name="pk_download_chunks"),
    )
    with op.batch_alter_table("cached_events") as table:
        table.add_column(sa.Column("recording_id", number))
        table.create_foreign_key(
            "fk_cached_events_recording_id", "recordings", ["recording_id"], ["id"]
        )
