"""
The roster: units, locations, where units stood, routes and zones.

Every unit that was ever read becomes a unit; no location is invented for it. Names and zones of the
settings are added at the relay's start.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from sfm.store.migrations.tables import table_now
from sfm.store.row_hashes import row_hash

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and a unit for each serial number that is known."""
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "units",
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("simulated", sa.Boolean()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text()),
        sa.Column("calibrated_on", sa.Text()),
        sa.Column("calibration_due_on", sa.Text()),
        sa.Column("added_at", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("serial", name="pk_units"),
        sa.CheckConstraint(
            "state IN ('deployed', 'benched', 'retired')", name=op.f("ck_units_state_known")
        ),
    )
    op.create_table(
        "locations",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folded_name", by_bytes, nullable=False),
        sa.Column("project", sa.Text()),
        sa.Column("latitude", sa.Float(53)),
        sa.Column("longitude", sa.Float(53)),
        sa.Column("serial", by_bytes),
        sa.Column("confirmed_serial", by_bytes),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_locations"),
        sa.ForeignKeyConstraint(["serial"], ["units.serial"], name="fk_locations_serial"),
        sa.ForeignKeyConstraint(
            ["confirmed_serial"], ["units.serial"], name="fk_locations_confirmed_serial"
        ),
        sa.UniqueConstraint("folded_name", name="uq_locations_folded_name"),
    )
    op.create_table(
        "unit_places",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("location_id", number, nullable=False),
        sa.Column("from_device_time", by_bytes, nullable=False),
        sa.Column("until_device_time", by_bytes),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_unit_places"),
        sa.ForeignKeyConstraint(["serial"], ["units.serial"], name="fk_unit_places_serial"),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.id"], name="fk_unit_places_location_id"
        ),
    )
    op.create_table(
        "routes",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("location_id", number, nullable=False),
        sa.Column("address", by_bytes, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("keep_open_s", sa.Float(53)),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_routes"),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name="fk_routes_location_id"),
        sa.UniqueConstraint("address", name="uq_routes_address"),
    )
    op.create_table(
        "zones",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("location_id", number),
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("from_device_time", by_bytes, nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_zones"),
        sa.ForeignKeyConstraint(["location_id"], ["locations.id"], name="fk_zones_location_id"),
        sa.CheckConstraint(
            "(location_id IS NULL) = (serial <> '')", name=op.f("ck_zones_one_scope")
        ),
    )
    _add_units(op.get_bind())


def _add_units(connection: sa.Connection) -> None:
    """Add a unit for each serial number of the archive and the mirror, as of its first read."""
    found: dict[str, dict[str, Any]] = {}
    archived = (
        "SELECT serial, simulated, min(CASE WHEN read_at <> '' THEN read_at END) "
        "FROM recordings GROUP BY serial, simulated"
    )
    mirrored = "SELECT serial, simulated, info_read_at FROM cached_devices WHERE serial IS NOT NULL"
    for query in (archived, mirrored):
        for serial, simulated, read_at in connection.exec_driver_sql(query):
            if not isinstance(serial, str) or not serial:
                continue  # a damaged row
            one = found.setdefault(serial, {"simulated": None, "added_at": None})
            # A real recording makes it a real unit.
            known = [bool(x) for x in (one["simulated"], simulated) if x is not None]
            one["simulated"] = all(known) if known else None
            times = [at for at in (one["added_at"], read_at) if at]
            one["added_at"] = min(times, default=None)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    rows = [
        {
            "serial": serial,
            "simulated": one["simulated"],
            "state": "deployed",
            "notes": None,
            "calibrated_on": None,
            "calibration_due_on": None,
            "added_at": one["added_at"] or now,
        }
        for serial, one in sorted(found.items())
    ]
    if rows:
        table = table_now(connection, "units")
        connection.execute(
            sa.insert(table), [{**row, "row_hash": row_hash("units", row)} for row in rows]
        )
