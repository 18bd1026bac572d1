"""Databases of earlier revisions, upgraded and compared row by row with what is written today."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.durable_world import (
    NOW,
    all_rows,
    event,
    events,
    open_store,
    origin,
    probe_of,
    rows,
    save_list,
    save_waveform,
    version_of,
)
from sqlalchemy import MetaData, Table, func, insert, select

from minimateplus.model import Event, Peaks
from minimateplus.simulator.payloads import record_payload
from minimateplus.wire.layouts import parse_waveform_record
from sfm.records.roster import Seeds
from sfm.records.walk import Walk
from sfm.store import (
    Store,
    archive,
    audit,
    migrations,
    mirror,
    operations,
    roster,
    schema,
    tokens,
    unit_data,
)
from sfm.store.audit import AuditEntry
from sfm.store.engine import Engines, read_url
from sfm.store.errors import DamagedRecordError
from sfm.store.maintenance import check
from sfm.store.row_hashes import row_hash

pytest_plugins = ["kit.durable_databases"]


@pytest.fixture
def store() -> Iterator[Store]:
    """What this program writes; in memory, since rows are the same on both engines."""
    with open_store("sqlite://") as opened:
        yield opened


@pytest.fixture
def bare(bare_url: str) -> Iterator[Engines]:
    url = read_url(bare_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).touch()
    opened = Engines(url)
    yield opened
    opened.close()


UNIT, SECOND_ROUTE, LEFT = "tcp://unit-a:1", "tcp://unit-a:2", "tcp://unit-a:3"
TABLES_SINCE = {
    "0001": ("cached_events",),
    "0003": (
        "recordings",
        "recording_waveforms",
        "findings",
        "reviews",
        "cached_devices",
        "cached_waveforms",
        "download_chunks",
    ),
    "0004": ("tokens", "audit"),
    "0005": ("walks", "walked_events", "unproven_recordings", "volatile_record_bytes"),
    "0006": ("recording_decodings", "recording_downloads", "partial_images"),
    "0008": ("operations",),
    "0009": ("units", "locations", "unit_places", "routes", "zones"),
}
"""Which revision made each table."""
REVISIONS = [f"{number:04}" for number in range(1, int(migrations.HEAD) + 1)]


def fill(store: Store) -> None:
    """Rows in every table, as this program writes them: two routes to one unit among them."""
    listed = events(3)
    version = version_of(save_list(store, listed))
    version = version_of(save_waveform(store, listed[1], version))
    version = version_of(save_waveform(store, listed[1], version, salt=1))  # and a finding
    again = origin(read_at=NOW + timedelta(hours=1))
    version = version_of(save_waveform(store, listed[1], version, at=again))  # a download more
    store.write(archive.save_review, 1, at=NOW, reviewer="Ada", false_trigger=True, note="a lorry")
    assert store.write(mirror.save_chunks, UNIT, 1, version, event(2), [(0, b"begun")])
    walked = [replace(event(i), index=at) for at, i in enumerate((3, 4))]
    walk = Walk(2, events=walked, probes=[probe_of(walked)])
    store.write(unit_data.save_walk, origin(conn_key=SECOND_ROUTE, epoch=2), None, walk, 0, walked)
    store.write(mirror.save_volatile_offsets, "BE18189", "S337", [3, 7])
    left = version_of(save_list(store, listed, at=origin(conn_key=LEFT)))
    assert store.write(
        mirror.save_chunks, LEFT, 1, left, event(0), [(0, b"what came before a cut")]
    )
    store.write(mirror.drop, LEFT, 2, "erased")
    store.write(tokens.create, "lab", "viewer", ["BE18189"], NOW, lambda count: b"\1" * count)
    entry = AuditEntry(
        at=NOW, actor="lab", role="admin", origin="here", command="erase", outcome="done"
    )
    store.write(audit.append, entry)
    store.write(operations.save, {"id": "op-1", "begun_at": NOW.isoformat(), "unit": UNIT}, "")
    store.write(roster.seed, Seeds(units={"North face": "tcp://unit-a:1"}, zones={"*": "UTC"}))
    store.write(roster.note_contact, 1, "BE18189", NOW, simulated=False)


def copy_into(engines: Engines, present: dict[str, list[dict[str, Any]]], **more: Any) -> None:
    """Write rows into the tables of an earlier revision: the columns that it has."""
    with engines.write() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        # As the schema has them: what is pointed at comes first.
        for name in (table.name for table in schema.metadata.sorted_tables):
            table: Table | None = metadata.tables.get(name)
            if table is None:
                continue
            columns = {c.name for c in table.c}
            wanted = [
                {k: v for k, v in {**row, **more}.items() if k in columns} for row in present[name]
            ]
            if not wanted:
                continue
            connection.execute(insert(table), wanted)
            has_numbers = "id" in columns and name != "operations"
            if connection.dialect.name == "postgresql" and has_numbers:
                # Numbers go on behind these, as they would had the database given them.
                sequence = func.pg_get_serial_sequence(name, "id")
                connection.execute(select(func.setval(sequence, max(r["id"] for r in wanted))))


def expected_after(
    start: str, present: dict[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """What a database of revision ``start`` holds of those rows once it is upgraded."""
    expected: dict[str, list[dict[str, Any]]] = {name: [] for name in schema.metadata.tables}
    for since, names in TABLES_SINCE.items():
        if since <= start:
            expected |= {name: present[name] for name in names}
    if start < "0009":  # every unit that was read is one, since it was read first
        reads = [row["read_at"] for row in expected["recordings"] if row["read_at"]]
        infos = [row for row in expected["cached_devices"] if row["serial"]]
        [unit] = present["units"]
        added_at = min(
            [*reads, *(row["info_read_at"] for row in infos if row["info_read_at"])], default=None
        )
        unit = {**unit, "added_at": added_at}
        unit["row_hash"] = row_hash("units", unit)
        expected["units"] = [unit] if reads else []
    if start < "0003":  # a row of the list points at no recording yet
        bare = [{**row, "recording_id": None} for row in present["cached_events"]]
        if start == "0001":  # and is written anew, from its JSON
            bare = [
                {**row, "event_json": json.dumps(json.loads(row["event_json"]))} for row in bare
            ]
        expected["cached_events"] = [
            {**row, "row_hash": row_hash("cached_events", row)} for row in bare
        ]
    return expected


@pytest.mark.parametrize("start", REVISIONS)
def test_an_upgraded_row_is_what_is_written_today_hash_and_name_included(
    store: Store, bare: Engines, bare_url: str, start: str
) -> None:
    fill(store)
    present = all_rows(store)
    assert all(present.values()), [name for name, found in present.items() if not found]
    assert {name for names in TABLES_SINCE.values() for name in names} == present.keys()
    migrations.upgrade(bare, start)
    copy_into(bare, present, utc="2020-01-01T00:00:00.000+00:00")
    migrations.upgrade(bare)
    bare.close()
    with Store.open(bare_url, reads_again=False) as upgraded:
        assert all_rows(upgraded) == expected_after(start, present)
        assert upgraded.read(audit.verify).is_sound
        if start >= "0003":
            found = upgraded.read(mirror.load, UNIT)
            assert found is not None
            assert len(found.events or []) == 3
        if start >= "0005":
            found = upgraded.read(mirror.load, SECOND_ROUTE)
            assert found is not None
            assert found.walk is not None
            assert [one.record for one in found.walk.events] == [event(i).record for i in (3, 4)]
        if start >= "0004":
            [token] = upgraded.read(tokens.load_all)
            assert token.units == ("BE18189",)
            assert not token.is_damaged
    with open_store(bare_url) as upgraded:  # which reads images again that nothing has read yet
        readings = rows(upgraded, "recording_decodings")
        assert len(readings) == (0 if start < "0003" else len(present["recording_decodings"]))
    assert check(bare_url).faults == []


def real_event() -> Event:
    """An event whose record is a unit's own, so that its figures can be computed again."""
    peaks = Peaks(tran_in_s=0.5, vert_in_s=0.25, long_in_s=0.75, mic_psi=0.01, vector_sum_in_s=0.9)
    record = record_payload(datetime(2026, 3, 1, 10), peaks, "North face")
    parsed = parse_waveform_record(record)
    return Event(
        index=0,
        key=bytes.fromhex("01110000"),
        device_time=parsed.device_time,
        peaks=parsed.peaks,
        project=parsed.project,
        record=record,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"tran_in_s": 0.25},
        {"project": "another"},
        {"event_timestamp": "2026-03-01T10:00:01"},
        {"record": b"\0" * 210},
        {},
    ],
)
def test_a_row_that_its_record_contradicts_is_named_and_not_believed(
    store: Store, bare: Engines, bare_url: str, changed: dict[str, Any]
) -> None:
    read = real_event()
    store.write(archive.save_events, origin(), [read])
    present = {name: [dict(row) for row in found] for name, found in all_rows(store).items()}
    present["recordings"][0] |= changed
    migrations.upgrade(bare, "0004")
    copy_into(bare, present)
    migrations.upgrade(bare)
    bare.close()
    with open_store(bare_url) as upgraded:
        findings = upgraded.read(archive.load_findings)
        if not changed:
            assert findings == []
            assert rows(upgraded, "recordings") == rows(store, "recordings")
            return
        assert [finding["kind"] for finding in findings] == ["damaged"]
        with pytest.raises(DamagedRecordError):
            upgraded.read(archive.load_recording, 1)
        if "record" in changed or "event_timestamp" in changed:
            return
        # Read again, it is mended.
        upgraded.write(archive.save_events, origin(), [replace(read, index=0)])
        assert upgraded.read(archive.load_findings)[0]["kind"] == "mended"
        assert upgraded.read(archive.load_recording, 1)["peaks"]["tran_in_s"] == pytest.approx(
            read.peaks.tran_in_s
        )
