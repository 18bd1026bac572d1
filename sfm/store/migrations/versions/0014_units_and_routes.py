"""
The mirror by unit: rows whose serial number is known move from their address to the unit.

Of two addresses of one unit the one whose list was read later wins; what was received of the other
one's images under way goes to the archive. The unit's epoch is greater than those of all its
addresses and of its recordings, since the same number meant different memories there. Rows without
a serial number are dropped. A row that does not match its hash stays one: it gets no new hash.

An address in a token becomes its unit where that is known, otherwise it is named as a route; an
empty list, which meant all units, becomes ``*``.

The hashes cover the names and values that change here, so each row is read and written once, in
batches: 300 units with 300 events each take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from minimateplus.errors import RemoteProtocolError
from minimateplus.wire import layouts
from sfm.store.migrations.tables import table_now
from sfm.store.row_hashes import is_sound, read_rows, row_hash

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

OF_A_DEVICE = (
    "cached_events",
    "cached_waveforms",
    "download_chunks",
    "walks",
    "walked_events",
    "cached_devices",
)
AT_ONCE = 1000
REASON = "the relay was upgraded: what is known is the unit's, by whichever address it was read"


class _Move(NamedTuple):
    """Where the rows of an address go."""

    serial: str
    unit_id: str
    epoch: int
    """Of the unit from now on."""
    epoch_before: int


def upgrade() -> None:
    """Move the mirror's rows, note which unit was met where, and translate tokens."""
    connection = op.get_bind()
    by_bytes = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
    devices = _sound_devices(connection)
    serials = _serials_by_address(connection, devices)
    moves, left = _plan(connection, devices, serials)
    for row in left:
        _archive_chunks(connection, row, serials[row["conn_key"]])
    op.add_column("cached_devices", sa.Column("info_route", sa.Text()))
    op.add_column("cached_devices", sa.Column("list_route", sa.Text()))
    op.add_column("cached_waveforms", sa.Column("route", sa.Text()))
    for name in OF_A_DEVICE:
        op.alter_column(name, "conn_key", new_column_name="unit_id")
        table = table_now(connection, name)
        _insert(connection, name, _moved_rows(connection, table, moves))
        connection.execute(sa.delete(table).where(~table.c.unit_id.startswith("unit:")))
    op.create_table(
        "meetings",
        sa.Column("conn_key", by_bytes, nullable=False),
        sa.Column("serial", by_bytes, nullable=False),
        sa.Column("is_latest", sa.Boolean(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("conn_key", "serial", name="pk_meetings"),
        sa.ForeignKeyConstraint(["serial"], ["units.serial"], name="fk_meetings_serial"),
    )
    units = set(connection.execute(sa.select(table_now(connection, "units").c.serial)).scalars())
    _insert(
        connection,
        "meetings",
        (
            _hashed("meetings", {"conn_key": key, "serial": serial, "is_latest": True})
            for key, serial in sorted(serials.items())
            if serial in units
        ),
    )
    _translate_tokens(connection, serials)


# --- which address goes where --------------------------------------------------------------------


def _sound_devices(connection: sa.Connection) -> list[Mapping[str, Any]]:
    """Return the mirror's rows of addresses; a finding names each damaged one, which goes."""
    table, found = table_now(connection, "cached_devices"), list[Mapping[str, Any]]()
    for key, row in read_rows(connection, table, sa.select(table)):
        if row is not None and is_sound("cached_devices", row):
            found.append(dict(row))
            continue
        finding = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "kind": "mirror_dropped",
            "serial": "unknown",
            "recording_id": None,
            "detail": f"{key[0]}: this unit's rows in the database do not match their hash; "
            "read again",
        }
        _insert(connection, "findings", iter([_hashed("findings", finding)]))
    return found


def _serials_by_address(
    connection: sa.Connection, devices: list[Mapping[str, Any]]
) -> dict[str, str]:
    """Return the unit of each address: as the mirror has it, else as it was last archived there."""
    recordings = table_now(connection, "recordings")
    latest = (
        sa.select(recordings.c.serial)
        .where(recordings.c.route == sa.bindparam("route"))
        .order_by(recordings.c.id.desc())
        .limit(1)
    )
    found: dict[str, str] = {}
    for row in devices:
        serial = row["serial"] or connection.execute(latest, {"route": row["conn_key"]}).scalar()
        if serial:
            found[row["conn_key"]] = str(serial).strip()
    return found


def _plan(
    connection: sa.Connection, devices: list[Mapping[str, Any]], serials: dict[str, str]
) -> tuple[dict[str, _Move], list[Mapping[str, Any]]]:
    """Return what becomes of each address whose rows move, and the addresses that are left."""
    recordings = table_now(connection, "recordings")
    highest = sa.select(recordings.c.serial, sa.func.max(recordings.c.epoch))
    epochs: dict[str, int] = {
        serial.strip(): epoch
        for serial, epoch in connection.execute(highest.group_by(recordings.c.serial))
        if isinstance(serial, str) and isinstance(epoch, int)
    }
    of_unit: dict[str, list[Mapping[str, Any]]] = {}
    for row in devices:
        if (serial := serials.get(row["conn_key"])) is not None:
            of_unit.setdefault(serial, []).append(row)
    moves: dict[str, _Move] = {}
    left: list[Mapping[str, Any]] = []
    for serial, rows in of_unit.items():
        rows.sort(key=_recency, reverse=True)
        epoch = 1 + max(epochs.get(serial, -1), *(row["epoch"] for row in rows))
        kept = rows[0]
        moves[kept["conn_key"]] = _Move(serial, f"unit:{serial}", epoch, kept["epoch"])
        left += rows[1:]
    return moves, left


def _recency(row: Mapping[str, Any]) -> tuple[bool, str, str, str]:
    at = row["list_read_at"] or ""
    return bool(row["serial"]), at, row["info_read_at"] or "", row["conn_key"]


# --- rows ----------------------------------------------------------------------------------------


def _moved_rows(
    connection: sa.Connection, table: sa.Table, moves: dict[str, _Move]
) -> Iterator[dict[str, Any]]:
    for conn_key, move in moves.items():
        query = sa.select(table).where(table.c.unit_id == conn_key)
        for _, row in read_rows(connection, table, query):
            if row is not None:  # (what cannot be read is read from the unit again)
                yield _moved(table.name, row, conn_key, move)


def _moved(name: str, row: Mapping[Any, Any], conn_key: str, move: _Move) -> dict[str, Any]:
    before = {k: v for k, v in row.items() if k != "unit_id"} | {"conn_key": conn_key}
    sound = is_sound(name, before)
    new = {k: v for k, v in row.items() if k not in ("conn_key", "row_hash")}
    new["unit_id"] = move.unit_id
    if name == "cached_devices":
        new |= {
            "serial": move.serial if row["serial"] else None,
            "epoch": move.epoch,
            "epoch_reason": REASON,
            "version": row["version"] + 1,
            "info_route": conn_key if row["info_json"] is not None else None,
            "list_route": conn_key if row["list_count"] is not None else None,
        }
    elif name == "cached_waveforms":
        new["route"] = conn_key
    elif name == "walks" and row["epoch"] == move.epoch_before:
        new["epoch"] = move.epoch
    return _hashed(name, new) if sound else {**new, "row_hash": None}


def _archive_chunks(connection: sa.Connection, device: Mapping[str, Any], serial: str) -> None:
    """Archive what was received of images under way at an address whose rows do not move."""
    chunks, partial = (table_now(connection, n) for n in ("download_chunks", "partial_images"))
    recordings = table_now(connection, "recordings")
    query = sa.select(chunks).where(chunks.c.conn_key == device["conn_key"])
    begun: dict[tuple[str, str], bytearray] = {}
    for _, row in read_rows(
        connection, chunks, query.order_by(chunks.c.waveform_key, chunks.c.start)
    ):
        if row is not None and is_sound("download_chunks", row):
            image = begun.setdefault((row["waveform_key"], row["event_timestamp"]), bytearray())
            if row["start"] == len(image):
                image += row["data"]
    for (key, at), image in begun.items():
        data = bytes(image)
        data_hash = blake2b(data, digest_size=32).digest()
        of = (recordings.c.serial == serial, recordings.c.waveform_key == key)
        number = connection.execute(
            sa.select(sa.func.max(recordings.c.id)).where(*of, recordings.c.event_timestamp == at)
        ).scalar()
        entry = {
            "recording_id": number,
            "serial": serial,
            "waveform_key": key,
            "event_timestamp": at,
            "size_bytes": _size_of(data),
            "route": device["conn_key"],
            "read_at": device["list_read_at"] or device["info_read_at"] or "",
            "data_hash": data_hash,
            "data": data,
        }
        same = [partial.c[n] == entry[n] for n in ("serial", "waveform_key", "event_timestamp")]
        is_there = sa.select(partial.c.id).where(*same, partial.c.data_hash == data_hash)
        if data and connection.execute(is_there).first() is None:
            _insert(connection, "partial_images", iter([_hashed("partial_images", entry)]))


def _size_of(data: bytes) -> int | None:
    try:
        start = layouts.parse_start_record(data)
    except RemoteProtocolError:
        return None
    return start.end_address - start.start_address


# --- tokens --------------------------------------------------------------------------------------


def _translate_tokens(connection: sa.Connection, serials: dict[str, str]) -> None:
    table = table_now(connection, "tokens")
    for (number,), row in read_rows(connection, table, sa.select(table)):
        if row is None or not is_sound("tokens", row):
            continue  # a damaged token grants nothing, and is to be revoked
        before = orjson.loads(row["units_json"])
        units = list(dict.fromkeys(_named(one, serials) for one in before)) or ["*"]
        if units == before:
            continue
        values = {**row, "units_json": orjson.dumps(units).decode()}
        connection.execute(
            sa.update(table)
            .where(table.c.id == number)
            .values(units_json=values["units_json"], row_hash=row_hash("tokens", values))
        )


def _named(unit: str, serials: dict[str, str]) -> str:
    """Return what a token names instead of an address."""
    if not unit.startswith(("tcp:", "serial:")):
        return unit
    return serials.get(unit) or f"route:{unit}"


# --- statements ----------------------------------------------------------------------------------


def _hashed(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "row_hash": row_hash(name, row)}


def _insert(connection: sa.Connection, name: str, rows: Any) -> None:
    table, found = table_now(connection, name), iter(rows)
    while batch := list(islice(found, AT_ONCE)):
        connection.execute(sa.insert(table), batch)
