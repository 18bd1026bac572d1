"""
The cached list of events, as the first databases had it: no word on which event a row is of.

Those databases have no revision number. Their table is taken as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table unless an unnumbered database has it."""
    if "cached_events" in sa.inspect(op.get_bind()).get_table_names():
        return
    op.create_table(
        "cached_events",
        sa.Column("conn_key", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("event_json", sa.Text(), nullable=False),
        sa.Column("cached_at", sa.Text(), nullable=False),
    )
