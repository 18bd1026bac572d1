"""
Limits: curves of projects, confirmations of disputed curves, and which curves count where.

A unit also has the lower corner of its microphone, on which limits of airblast depend.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and the column."""
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("units", sa.Column("microphone_low_hz", sa.Float(53)))
    op.create_table(
        "limit_curves",
        sa.Column("curve", by_bytes, nullable=False),
        sa.Column("entry_json", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("curve", name="pk_limit_curves"),
    )
    op.create_table(
        "limit_confirmations",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("curve", by_bytes, nullable=False),
        sa.Column("curve_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("confirmed_by", sa.Text(), nullable=False),
        sa.Column("confirmed_on", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_limit_confirmations"),
        sa.CheckConstraint(
            "state IN ('confirmed', 'withdrawn')", name=op.f("ck_limit_confirmations_state_known")
        ),
    )
    op.create_table(
        "limit_choices",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("location_id", number),
        sa.Column("project", sa.Text()),
        sa.Column("scope", by_bytes, nullable=False),
        sa.Column("curves_json", sa.Text(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("parameters_json", sa.Text(), nullable=False),
        sa.Column("chosen_by", sa.Text(), nullable=False),
        sa.Column("chosen_at", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_limit_choices"),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.id"], name="fk_limit_choices_location_id"
        ),
        sa.UniqueConstraint("scope", name="uq_limit_choices_scope"),
        sa.CheckConstraint(
            "results IN ('vendor', 'refined')", name=op.f("ck_limit_choices_results_known")
        ),
    )
