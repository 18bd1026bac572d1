"""
Recordings get names that mean the same in every database, and every row a hash.

UTC is no column any more: it follows from the unit's time and the zone in force when it is asked.

Before a recording is hashed, time, peaks and project are computed again from the unit's own record.
Where the row says otherwise it gets no hash: it counts as damaged until its unit is read again, and
a finding has both values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from minimateplus.errors import MiniMateError
from minimateplus.wire.layouts import parse_waveform_record
from sfm.records.digests import digest
from sfm.store.migrations.tables import table_now
from sfm.store.recording_names import public_id
from sfm.store.row_hashes import UNCOVERED, row_hash

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

AT_ONCE = 500
HASHED = (
    "recordings",
    "recording_waveforms",
    "recording_decodings",
    "recording_downloads",
    "partial_images",
    "findings",
    "reviews",
    "cached_devices",
    "cached_events",
    "cached_waveforms",
    "download_chunks",
    "walks",
    "walked_events",
    "unproven_recordings",
    "volatile_record_bytes",
    "tokens",
)
PEAKS = ("tran_in_s", "vert_in_s", "long_in_s", "mic_psi", "vector_sum_in_s")


def upgrade() -> None:
    """Add names and hashes; take UTC away."""
    connection = op.get_bind()
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    op.drop_column("recordings", "utc")
    op.add_column("recordings", sa.Column("public_id", by_bytes))
    for table in HASHED:
        op.add_column(table, sa.Column("row_hash", sa.LargeBinary()))
    _name_recordings(connection)
    op.create_index("ix_recordings_public_id", "recordings", ["public_id"], unique=True)
    for name in HASHED:
        if name != "recordings":
            _hash_rows(connection, name)


def _name_recordings(connection: sa.Connection) -> None:
    table = table_now(connection, "recordings")
    findings = table_now(connection, "findings")
    for row in _rows(connection, table):
        record = bytes(row["record"])
        name = public_id(row["serial"], row["waveform_key"], row["event_timestamp"], record)
        values: dict[str, Any] = {"public_id": name}
        differing = _differing(row, record)
        if differing is None:
            values["row_hash"] = row_hash("recordings", {**row, **values})
        else:
            finding = {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "kind": "damaged",
                "serial": row["serial"],
                "recording_id": row["id"],
                "detail": f"{row['waveform_key']} of {row['event_timestamp'] or 'unknown time'}: "
                f"{differing}; not served until its unit is read again",
            }
            connection.execute(sa.insert(findings), [finding])
        connection.execute(sa.update(table).where(table.c.id == row["id"]).values(**values))


def _differing(row: dict[str, Any], record: bytes) -> str | None:
    """Return what a row says otherwise than its record, in words; ``None``: nothing."""
    if digest(record) != bytes(row["content_hash"]):
        return "the unit's record is not what its hash says"
    try:
        parsed = parse_waveform_record(record)
    except MiniMateError:
        return None  # nothing can be computed from it, so nothing contradicts
    found = []
    at = parsed.device_time
    if (at.isoformat() if at else "") != row["event_timestamp"]:
        found.append(f"time {row['event_timestamp']!r}, by the record {at}")
    for name in PEAKS:
        stored, computed = row[name], getattr(parsed.peaks, name)
        same = (
            stored is computed
            if stored is None or computed is None
            else np.float32(stored) == np.float32(computed)
        )
        if not same:
            found.append(f"{name} {stored}, by the record {computed}")
    if parsed.project != row["project"]:
        found.append(f"project {row['project']!r}, by the record {parsed.project!r}")
    return "; ".join(found) or None


def _hash_rows(connection: sa.Connection, name: str) -> None:
    table = table_now(connection, name)
    key = list(table.primary_key.columns)
    belongs_to = _belongings(connection, name)
    for row in _rows(connection, table):
        connection.execute(
            sa.update(table)
            .where(*(column == row[column.name] for column in key))
            .values(row_hash=row_hash(name, row, **belongs_to(row)))
        )


def _belongings(connection: sa.Connection, name: str) -> Callable[[dict[str, Any]], dict[str, str]]:
    """Return what gives of a row what it points at, by a name that is the same everywhere."""
    if name in ("recording_waveforms", "unproven_recordings"):
        names = table_now(connection, "recordings")
        name_of = sa.select(names.c.public_id).where(names.c.id == sa.bindparam("of"))

        def of_recording(row: dict[str, Any]) -> dict[str, str]:
            of = {"of": row["recording_id"]}
            return {"recording": str(connection.execute(name_of, of).scalar())}

        return of_recording
    if name in ("recording_decodings", "recording_downloads"):
        images = table_now(connection, "recording_waveforms")
        hash_of = sa.select(images.c.content_hash).where(images.c.id == sa.bindparam("of"))

        def of_image(row: dict[str, Any]) -> dict[str, str]:
            content_hash = connection.execute(hash_of, {"of": row["waveform_id"]}).scalar()
            return {"image": bytes(content_hash or b"").hex()}

        return of_image
    return lambda _: {}


def _rows(connection: sa.Connection, table: sa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, without samples and images; no row changes meanwhile."""
    uncovered = UNCOVERED.get(table.name, frozenset())
    columns = [column for column in table.c if column.name not in uncovered]
    if "id" not in table.c:
        yield from [dict(row) for row in connection.execute(sa.select(*columns)).mappings()]
        return
    last = 0
    while True:
        query = sa.select(*columns).where(table.c.id > last).order_by(table.c.id).limit(AT_ONCE)
        found = connection.execute(query).mappings().all()
        yield from (dict(row) for row in found)
        if len(found) < AT_ONCE:
            return
        last = found[-1]["id"]
