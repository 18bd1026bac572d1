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
from sfm.analysis.limits import parse_own
from sfm.records.roster import Seeds
from sfm.records.walk import Walk
from sfm.store import (
    Store,
    analyses,
    archive,
    audit,
    entered_facts,
    limits,
    migrations,
    mirror,
    mirrored_chunks,
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


ADDRESSES = {
    "unit:BE18189": "tcp:unit-a:1",
    "unit:BE2": "tcp:unit-a:2",
    "unit:BE3": "tcp:unit-a:3",
}
"""Where each unit is; until revision 0014 the mirror was kept by that."""
UNIT, WALKED, LEFT = ADDRESSES
MIRROR = ("cached_devices", "cached_events", "cached_waveforms", "download_chunks")
WALKS = ("walks", "walked_events")
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
    "0012": ("limit_curves", "limit_confirmations", "limit_choices"),
    "0013": ("analyses",),
    "0014": ("meetings",),
    "0015": ("entered_facts",),
}
"""Which revision made each table."""
NO_TABLES = ("0002", "0007")
"""Revisions that made none."""
REVISIONS = sorted({*TABLES_SINCE, *NO_TABLES})


OWN_CURVE: dict[str, Any] = {
    "id": "permit-7",
    "title": "Permit 7",
    "unit": "mm/s",
    "applies_to": "each_axis",
    "shape": {"kind": "constant", "value": 5},
    "source": "Permit 7 of the county",
    "author": "Ada",
    "date": "2026-03-01",
}


def fill(store: Store) -> None:
    """Rows in every table, as this program writes them."""
    listed = events(3)
    version = version_of(save_list(store, listed))
    version = version_of(save_waveform(store, listed[1], version))
    version = version_of(save_waveform(store, listed[1], version, salt=1))  # and a finding
    again = origin(read_at=NOW + timedelta(hours=1))
    version = version_of(save_waveform(store, listed[1], version, at=again))  # a download more
    samples = store.read(archive.samples_numbered, waveform_id=1)
    store.write(analyses.save, samples, {"version": 1}, NOW)
    store.write(archive.save_review, 1, at=NOW, reviewer="Ada", false_trigger=True, note="a lorry")
    store.write(
        entered_facts.save, 1, {"distance_m": 182.9, "operator": None}, author="Ada", at=NOW
    )
    assert store.write(mirrored_chunks.save_chunks, UNIT, 1, version, event(2), [(0, b"begun")])
    walked = [replace(event(i), index=at) for at, i in enumerate((3, 4))]
    walk = Walk(2, events=walked, probes=[probe_of(walked)])
    at = origin("BE2", route=ADDRESSES[WALKED], epoch=2)
    store.write(unit_data.save_walk, at, None, walk, 0, walked)
    store.write(mirror.save_volatile_offsets, "BE18189", "S337", [3, 7])
    left = version_of(save_list(store, listed, at=origin("BE3", route=ADDRESSES[LEFT])))
    assert store.write(
        mirrored_chunks.save_chunks, LEFT, 1, left, event(0), [(0, b"what came before a cut")]
    )
    store.write(mirror.drop, LEFT, 2, "erased")
    store.write(tokens.create, "lab", "viewer", ["BE18189"], NOW, lambda count: b"\1" * count)
    entry = AuditEntry(
        at=NOW, actor="lab", role="admin", origin="here", command="erase", outcome="done"
    )
    store.write(audit.append, entry)
    store.write(operations.save, {"id": "op-1", "begun_at": NOW.isoformat(), "unit": UNIT}, "")
    store.write(roster.seed, Seeds(units={"North face": "tcp://unit-a:1"}, zones={"*": "UTC"}))
    for place, (unit_id, address) in zip((1, None, None), ADDRESSES.items(), strict=True):
        serial = unit_id.removeprefix("unit:")
        note = roster.note_contact
        store.write(note, place, serial, NOW, conn_key=address, simulated=False)
    store.write(limits.add_curve, parse_own(OWN_CURVE), "Ada", NOW)
    store.write(limits.confirm, "osmre-figure-1", "Ada", "2026-03-01", NOW)
    store.write(
        limits.choose,
        location_id=1,
        project=None,
        names=["osmre-figure-1", "permit-7"],
        results="vendor",
        parameters={},
        by="Ada",
        at=NOW,
    )


def by_address(present: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Rows as a relay before revision 0014 wrote them: the mirror by address."""
    before = dict(present)
    for name in (*MIRROR, *WALKS):
        before[name] = []
        for row in present[name]:
            old = {k: v for k, v in row.items() if k != "unit_id" and not k.endswith("route")}
            old["conn_key"] = ADDRESSES[row["unit_id"]]
            before[name].append({**old, "row_hash": row_hash(name, old)})
    return before


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
        expected["units"] = []
        for unit in present["units"] if start >= "0003" else []:
            read_at = [row["read_at"] for row in present["recordings"] + _infos(present)]
            unit = {**unit, "added_at": min(at for at in read_at if at)}
            expected["units"].append({**unit, "row_hash": row_hash("units", unit)})
    if start < "0003":  # nobody knows of which unit such a list is
        expected["cached_events"] = []
    if "0003" <= start < "0014":
        expected["meetings"] = present["meetings"]
        expected["cached_devices"] = [_moved(row, present) for row in present["cached_devices"]]
        if start >= "0005":
            epochs = {row["unit_id"]: row["epoch"] for row in expected["cached_devices"]}
            moved = [{**row, "epoch": epochs[row["unit_id"]]} for row in present["walks"]]
            expected["walks"] = [{**row, "row_hash": row_hash("walks", row)} for row in moved]
    return expected


def _infos(present: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"read_at": row["info_read_at"]} for row in present["cached_devices"]]


def _moved(row: dict[str, Any], present: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A unit's row after the upgrade: in an epoch greater than any that was known."""
    serial, address = row["unit_id"].removeprefix("unit:"), ADDRESSES[row["unit_id"]]
    epochs = [one["epoch"] for one in present["recordings"] if one["serial"] == serial]
    moved = {
        **row,
        "epoch": max([row["epoch"], *epochs]) + 1,
        "epoch_reason": "the relay was upgraded: what is known is the unit's, by whichever "
        "address it was read",
        "version": row["version"] + 1,
        "info_route": None if row["info_json"] is None else address,
        "list_route": None if row["list_count"] is None else address,
    }
    return {**moved, "row_hash": row_hash("cached_devices", moved)}


@pytest.mark.parametrize("start", REVISIONS)
def test_an_upgraded_row_is_what_is_written_today_hash_and_name_included(
    store: Store, bare: Engines, bare_url: str, start: str
) -> None:
    fill(store)
    present = all_rows(store)
    assert all(present.values()), [name for name, found in present.items() if not found]
    assert {name for names in TABLES_SINCE.values() for name in names} == present.keys()
    migrations.upgrade(bare, start)
    given = present if start >= "0014" else by_address(present)
    copy_into(bare, given, utc="2020-01-01T00:00:00.000+00:00")
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
            found = upgraded.read(mirror.load, WALKED)
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


def test_of_two_addresses_of_one_unit_the_list_that_was_read_later_stays(
    store: Store, bare: Engines, bare_url: str
) -> None:
    older, newer = events(3), events(4)
    first = version_of(save_list(store, older))
    assert store.write(
        mirrored_chunks.save_chunks, UNIT, 1, first, event(2), [(0, b"what was cut")]
    )
    old = by_address({name: rows(store, name) for name in schema.metadata.tables})
    store.write(mirror.drop, UNIT, 6, "as if it were another address")
    later = origin(route="tcp:unit-a:9", epoch=6, read_at=NOW + timedelta(hours=1))
    with store.engines.read() as connection:
        [seen] = connection.execute(select(schema.cached_devices.c.version)).scalars()
    save_list(store, newer, seen, at=later)
    second = {name: rows(store, name) for name in schema.metadata.tables}
    ADDRESSES[UNIT], before = "tcp:unit-a:9", ADDRESSES[UNIT]
    try:
        mirrored = by_address(second)
    finally:
        ADDRESSES[UNIT] = before
    both = {
        name: [*old[name], *mirrored[name]] if name in MIRROR else second[name]
        for name in schema.metadata.tables
    }
    both["partial_images"] = []
    unknown = {**old["cached_events"][0], "conn_key": "tcp:nobody:1"}
    both["cached_events"].append({**unknown, "row_hash": row_hash("cached_events", unknown)})
    migrations.upgrade(bare, "0008")
    copy_into(bare, both)
    migrations.upgrade(bare)
    bare.close()
    with open_store(bare_url) as upgraded:
        [device] = rows(upgraded, "cached_devices")
        assert (device["unit_id"], device["epoch"], device["list_route"]) == (
            UNIT,
            7,
            "tcp:unit-a:9",
        )
        found = upgraded.read(mirror.load, UNIT)
        assert found is not None
        assert [one["index"] for one in found.events or []] == [0, 1, 2, 3]
        assert found.events_read_time is not None
        assert found.events_read_time.read_at == later.read_at_text
        [cut] = rows(upgraded, "partial_images")
        assert (cut["data"], cut["route"]) == (b"what was cut", "tcp:unit-a:1")
        met = upgraded.read(roster.load)
        assert {one.conn_key for one in met.meetings} == {"tcp:unit-a:1", "tcp:unit-a:9"}
    assert check(bare_url).faults == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["*"]),
        (["tcp:unit-a:1"], ["BE18189"]),
        (["tcp:unit-a:1", "BE18189", "tcp:unit-z:1"], ["BE18189", "route:tcp:unit-z:1"]),
        (["serial:/dev/ttyUSB0:38400"], ["route:serial:/dev/ttyUSB0:38400"]),
        (["BE7"], ["BE7"]),
    ],
)
def test_a_tokens_address_becomes_its_unit_and_no_list_becomes_empty(
    store: Store, bare: Engines, bare_url: str, before: list[str], after: list[str]
) -> None:
    fill(store)
    given = by_address(all_rows(store))
    [token] = given["tokens"]
    token = {**token, "units_json": json.dumps(before)}
    damaged = {**token, "id": 7, "name": "damaged", "units_json": "[]"}
    given["tokens"] = [{**token, "row_hash": row_hash("tokens", token)}, damaged]
    migrations.upgrade(bare, "0009")
    copy_into(bare, given)
    migrations.upgrade(bare)
    bare.close()
    with open_store(bare_url) as upgraded:
        first, second = upgraded.read(tokens.load_all)
        assert (first.units, first.is_damaged) == (tuple(after), False)
        assert second.is_damaged


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
