"""
Analyses: what was computed from the samples of a waveform, by which version of the methods.

Nothing is computed here: a relay does that after its start, and again when the version rises.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "analyses",
        sa.Column("waveform_id", number, autoincrement=False, nullable=False),
        sa.Column("reading_id", number),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("computed_at", sa.Text(), nullable=False),
        sa.Column("result_json", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("waveform_id", name="pk_analyses"),
        sa.ForeignKeyConstraint(
            ["waveform_id"], ["recording_waveforms.id"], name="fk_analyses_waveform_id"
        ),
    )
