"""
The tables, for SQLite and PostgreSQL alike. Nobody outside ``sfm.store`` knows them.

Archive: append-only. Nothing here is ever changed or removed, with one exception: samples that no
longer match their own hash may be replaced by samples that do.

- ``recordings``: one row for each physical event ever read.
- ``recording_waveforms``: its image, the unit's own memory of it, and the first reading of that.
- ``recording_decodings``: every reading of an image, with the decoder's version; the latest counts.
- ``recording_downloads``: further downloads that brought the same image.
- ``partial_images``: what was received of an image whose download never reached its end.
- ``findings``: what was noticed: two contents under one stamp, damage, repair.
- ``reviews``: people's comments on a recording. The last one counts; all are kept.
- ``entered_facts``: what people state about a recording. The last one of a name counts.

Derived from the archive, and computed again where it is missing or of an older version:

- ``analyses``: what was computed from the samples of a waveform. ``reading_id`` is the reading (of
  ``recording_decodings``) that it was computed from.

Mirror: each unit's memory now, as far as it is known, by the unit's key (``sfm.access.names``),
whichever route it was read over. May be dropped at any time.

- ``cached_devices``, ``cached_events``, ``cached_waveforms``, ``download_chunks``.
- ``walks``, ``walked_events``: a walk over a unit's memory that has not ended.

About recordings, beside the archive, because they change:

- ``unproven_recordings``: which were met by a walk that has not been proven. Gone once it is.
- ``volatile_record_bytes``: which bytes of a unit's records change while the event stays the same.

Roster, which changes as units move (``sfm.records.roster``):

- ``units``: every instrument, by its serial number.
- ``locations``: named places, and the unit that is there now.
- ``unit_places``: from when until when a unit stood at a location, by the unit's own clock.
- ``routes``: addresses of locations.
- ``meetings``: which units answered over which addresses, routes of locations or not.
- ``zones``: time zones of a location, of one unit (``serial``), or of all (``*``).

Limits (``sfm.analysis.limits``, ``sfm.records.limit_choices``):

- ``limit_curves``: curves of projects. Never changed; removed while nobody has chosen them.
- ``limit_confirmations``: who confirmed a disputed curve when, or withdrew that. The last counts.
- ``limit_choices``: which curves count at a location, for a project, for all.

Access:

- ``tokens``: who may read and command; only a secret's digest. Revoked ones stay.
- ``audit``: who sent which command. Append-only, by the database's own guards (``AUDIT_GUARDS``).

Times ending in ``_at`` are of the relay, UTC, ISO 8601. ``event_timestamp`` is the unit's own
clock, as the unit returned it, ISO 8601 without zone; in the archive an unknown one is empty, since
two NULLs are unlike in a unique index. A ``read_at`` is empty where the host's clock was never set.

``public_id`` names a recording in every database alike; numbers (``id``) are of one database only
and never leave it. ``row_hash`` is over the row (``sfm.store.row_hashes``); a row without one, or
with another, is damaged.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.dialects import postgresql

__all__ = [
    "analyses",
    "audit",
    "cached_devices",
    "cached_events",
    "cached_waveforms",
    "download_chunks",
    "entered_facts",
    "findings",
    "limit_choices",
    "limit_confirmations",
    "limit_curves",
    "locations",
    "meetings",
    "metadata",
    "operations",
    "partial_images",
    "recording_decodings",
    "recording_downloads",
    "recording_waveforms",
    "recordings",
    "reviews",
    "routes",
    "tokens",
    "unit_places",
    "units",
    "unproven_recordings",
    "volatile_record_bytes",
    "walked_events",
    "walks",
    "zones",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite makes numbers by itself only for INTEGER keys."""
Sorted = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text that sorts by its bytes everywhere, as SQLite's does."""
Number = Float(53)

recordings = Table(
    "recordings",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("serial", Sorted, nullable=False),
    Column("waveform_key", Sorted, nullable=False),
    Column("event_timestamp", Sorted, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("tran_in_s", Number),
    Column("vert_in_s", Number),
    Column("long_in_s", Number),
    Column("mic_psi", Number),
    Column("vector_sum_in_s", Number),
    Column("project", Text),
    Column("simulated", Boolean, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("route", Text, nullable=False),
    Column("read_at", Text, nullable=False),
    Column("public_id", Sorted),
    Column("row_hash", LargeBinary),
    CheckConstraint("serial <> ''", name="serial_known"),
    UniqueConstraint("serial", "waveform_key", "event_timestamp", "content_hash"),
    # Both contain the vector sum so that a filter on it reads the index alone.
    Index("ix_recordings_by_time", "event_timestamp", "id", "vector_sum_in_s"),
    Index("ix_recordings_by_serial", "serial", "event_timestamp", "id", "vector_sum_in_s"),
    Index("ix_recordings_public_id", "public_id", unique=True),
)

recording_waveforms = Table(
    "recording_waveforms",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("recording_id", Id, ForeignKey("recordings.id"), nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("facts_json", Text, nullable=False),
    Column("scales_json", Text, nullable=False),
    Column("codec", Text, nullable=False),
    Column("counts_hash", LargeBinary, nullable=False),
    Column("route", Text, nullable=False),
    Column("read_at", Text, nullable=False),
    # Behind the rest of a row, which is read without them.
    Column("counts", LargeBinary, nullable=False),
    Column("image", LargeBinary, nullable=False),
    Column("row_hash", LargeBinary),
    UniqueConstraint("recording_id", "content_hash"),
)

recording_decodings = Table(
    "recording_decodings",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("waveform_id", Id, ForeignKey("recording_waveforms.id"), nullable=False, index=True),
    Column("decoder", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("contradicted", Boolean, nullable=False),
    Column("facts_json", Text, nullable=False),
    Column("scales_json", Text, nullable=False),
    Column("codec", Text, nullable=False),
    Column("counts_hash", LargeBinary),
    Column("counts", LargeBinary),
    Column("row_hash", LargeBinary),
    CheckConstraint("state IN ('decoded', 'partial', 'undecoded')", name="state_known"),
)

analyses = Table(
    "analyses",
    metadata,
    Column(
        "waveform_id",
        Id,
        ForeignKey("recording_waveforms.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("reading_id", Id),
    Column("version", Integer, nullable=False),
    Column("computed_at", Text, nullable=False),
    Column("result_json", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

recording_downloads = Table(
    "recording_downloads",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("waveform_id", Id, ForeignKey("recording_waveforms.id"), nullable=False),
    Column("read_at", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("row_hash", LargeBinary),
    UniqueConstraint("waveform_id", "read_at"),
)

partial_images = Table(
    "partial_images",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("recording_id", Id, ForeignKey("recordings.id"), index=True),
    Column("serial", Sorted, nullable=False),
    Column("waveform_key", Sorted, nullable=False),
    Column("event_timestamp", Sorted, nullable=False),
    Column("size_bytes", Integer),
    Column("route", Text, nullable=False),
    Column("read_at", Text, nullable=False),
    Column("data_hash", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("row_hash", LargeBinary),
    UniqueConstraint("serial", "waveform_key", "event_timestamp", "data_hash"),
)

findings = Table(
    "findings",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("serial", Sorted, nullable=False),
    Column("recording_id", Id, ForeignKey("recordings.id")),
    Column("detail", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("recording_id", Id, ForeignKey("recordings.id"), nullable=False, index=True),
    Column("at", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("false_trigger", Boolean),
    Column("note", Text),
    Column("row_hash", LargeBinary),
)

entered_facts = Table(
    "entered_facts",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("recording_id", Id, ForeignKey("recordings.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("value_json", Text),
    Column("author", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

cached_devices = Table(
    "cached_devices",
    metadata,
    Column("unit_id", Sorted, primary_key=True),
    Column("serial", Text),
    Column("simulated", Boolean),
    Column("epoch", Integer, nullable=False),
    Column("epoch_reason", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("info_json", Text),
    Column("info_read_at", Text),
    Column("info_began_mono", Number),
    Column("info_boot_id", Text),
    Column("info_route", Text),
    Column("probe_json", Text),
    Column("list_count", Integer),
    Column("list_read_at", Text),
    Column("list_began_mono", Number),
    Column("list_boot_id", Text),
    Column("list_route", Text),
    Column("row_hash", LargeBinary),
)

cached_events = Table(
    "cached_events",
    metadata,
    Column("unit_id", Sorted, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("event_json", Text, nullable=False),
    Column("cached_at", Text, nullable=False),
    Column("waveform_key", Text),
    Column("event_timestamp", Text),
    Column("recording_id", Id, ForeignKey("recordings.id")),
    Column("row_hash", LargeBinary),
)

cached_waveforms = Table(
    "cached_waveforms",
    metadata,
    Column("unit_id", Sorted, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("waveform_key", Text),
    Column("event_timestamp", Text),
    Column("waveform_id", Id, ForeignKey("recording_waveforms.id"), nullable=False),
    Column("route", Text),
    Column("cached_at", Text, nullable=False),
    Column("began_mono", Number),
    Column("boot_id", Text),
    Column("row_hash", LargeBinary),
)

download_chunks = Table(
    "download_chunks",
    metadata,
    Column("unit_id", Sorted, primary_key=True),
    Column("waveform_key", Text, primary_key=True),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("event_timestamp", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("row_hash", LargeBinary),
)

walks = Table(
    "walks",
    metadata,
    Column("unit_id", Sorted, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("known", Integer, nullable=False),
    Column("probes_json", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

walked_events = Table(
    "walked_events",
    metadata,
    Column("unit_id", Sorted, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("event_json", Text, nullable=False),
    Column("recording_id", Id, ForeignKey("recordings.id"), nullable=False),
    Column("row_hash", LargeBinary),
)

unproven_recordings = Table(
    "unproven_recordings",
    metadata,
    Column("recording_id", Id, ForeignKey("recordings.id"), primary_key=True, autoincrement=False),
    Column("row_hash", LargeBinary),
)

volatile_record_bytes = Table(
    "volatile_record_bytes",
    metadata,
    Column("serial", Sorted, primary_key=True),
    Column("firmware", Sorted, primary_key=True),
    Column("offsets_json", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Sorted, nullable=False),
    Column("role", Text, nullable=False),
    Column("units_json", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("revoked_at", Text),
    Column("row_hash", LargeBinary),
    CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role_known"),
)
_unrevoked = tokens.c.revoked_at.is_(None)
Index(
    "ix_tokens_name_in_use",  # a name is one token's, until that is revoked
    tokens.c.name,
    unique=True,
    sqlite_where=_unrevoked,
    postgresql_where=_unrevoked,
)

audit = Table(
    "audit",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("unit", Text),
    Column("serial", Text),
    Column("command", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("of", Id),
    Column("outcome", Text, nullable=False),
    Column("detail_json", Text, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

operations = Table(
    "operations",
    metadata,
    Column("id", Sorted, primary_key=True),
    Column("begun_at", Sorted, nullable=False, index=True),
    Column("unit", Text, nullable=False),
    Column("state_json", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

units = Table(
    "units",
    metadata,
    Column("serial", Sorted, primary_key=True),
    Column("simulated", Boolean),
    Column("state", Text, nullable=False),
    Column("notes", Text),
    Column("calibrated_on", Text),
    Column("calibration_due_on", Text),
    Column("added_at", Text, nullable=False),
    Column("row_hash", LargeBinary),
    Column("microphone_low_hz", Number),
    CheckConstraint("state IN ('deployed', 'benched', 'retired')", name="state_known"),
)

locations = Table(
    "locations",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    # As names are compared: without regard to case.
    Column("folded_name", Sorted, nullable=False),
    Column("project", Text),
    Column("latitude", Number),
    Column("longitude", Number),
    Column("serial", Sorted, ForeignKey("units.serial")),
    Column("confirmed_serial", Sorted, ForeignKey("units.serial")),
    Column("row_hash", LargeBinary),
    UniqueConstraint("folded_name"),
)

unit_places = Table(
    "unit_places",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("serial", Sorted, ForeignKey("units.serial"), nullable=False),
    Column("location_id", Id, ForeignKey("locations.id"), nullable=False),
    Column("from_device_time", Sorted, nullable=False),
    Column("until_device_time", Sorted),
    Column("row_hash", LargeBinary),
)

routes = Table(
    "routes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("location_id", Id, ForeignKey("locations.id"), nullable=False),
    Column("address", Sorted, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("keep_open_s", Number),
    Column("enabled", Boolean, nullable=False),
    Column("row_hash", LargeBinary),
    UniqueConstraint("address"),
)

meetings = Table(
    "meetings",
    metadata,
    Column("conn_key", Sorted, primary_key=True),
    Column("serial", Sorted, ForeignKey("units.serial"), primary_key=True),
    Column("is_latest", Boolean, nullable=False),
    Column("row_hash", LargeBinary),
)

zones = Table(
    "zones",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("location_id", Id, ForeignKey("locations.id")),
    # Of one unit, or * for all, where it is no location's.
    Column("serial", Sorted, nullable=False),
    Column("zone", Text, nullable=False),
    Column("from_device_time", Sorted, nullable=False),
    Column("row_hash", LargeBinary),
    CheckConstraint("(location_id IS NULL) = (serial <> '')", name="one_scope"),
)

limit_curves = Table(
    "limit_curves",
    metadata,
    Column("curve", Sorted, primary_key=True),
    Column("entry_json", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Text, nullable=False),
    Column("row_hash", LargeBinary),
)

limit_confirmations = Table(
    "limit_confirmations",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("curve", Sorted, nullable=False),
    Column("curve_digest", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("confirmed_by", Text, nullable=False),
    Column("confirmed_on", Text, nullable=False),
    Column("reason", Text),
    Column("at", Text, nullable=False),
    Column("row_hash", LargeBinary),
    CheckConstraint("state IN ('confirmed', 'withdrawn')", name="state_known"),
)

limit_choices = Table(
    "limit_choices",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    # Of a location or a project; neither: of all units.
    Column("location_id", Id, ForeignKey("locations.id")),
    Column("project", Text),
    # "location 3", "project north pit", "default": one choice for each.
    Column("scope", Sorted, nullable=False),
    Column("curves_json", Text, nullable=False),
    Column("results", Text, nullable=False),
    Column("parameters_json", Text, nullable=False),
    Column("chosen_by", Text, nullable=False),
    Column("chosen_at", Text, nullable=False),
    Column("row_hash", LargeBinary),
    UniqueConstraint("scope"),
    CheckConstraint("results IN ('vendor', 'refined')", name="results_known"),
)

AUDIT_GUARDS = {
    "sqlite": (
        "CREATE TRIGGER audit_not_changed BEFORE UPDATE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        "CREATE TRIGGER audit_not_removed BEFORE DELETE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        # INSERT OR REPLACE removes a row without asking the trigger above.
        "CREATE TRIGGER audit_not_replaced BEFORE INSERT ON audit "
        "WHEN NEW.number <= (SELECT max(number) FROM audit) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only' "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$",
        "CREATE TRIGGER audit_not_changed BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()",
        "CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
    ),
}
"""What keeps rows of the log as they are, by dialect; run when the table is made."""

for _dialect, _statements in AUDIT_GUARDS.items():
    for _statement in _statements:
        _guard = DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(audit, "after_create", _guard.execute_if(dialect=_dialect))
