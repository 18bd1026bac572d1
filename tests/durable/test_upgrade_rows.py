"""Databases of earlier revisions, upgraded and compared row by row with what is written today."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from durable_world import (
    NOW,
    all_rows,
    event,
    events,
    keep_list,
    keep_waveform,
    open_store,
    origin,
    rows,
    version_of,
)
from sqlalchemy import MetaData, Table, insert

from minimateplus.model import Event, Peaks
from minimateplus.simulator.payloads import record_payload
from minimateplus.wire.layouts import parse_waveform_record
from sfm.store import Store, revisions
from sfm.store.engine import Engines, read_url
from sfm.store.errors import DamagedRecordError

pytest_plugins = ["durable_databases"]


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


def fill(store: Store) -> None:
    """Rows in every table, as this program writes them."""
    listed = events(3)
    version = version_of(keep_list(store, listed))
    version = version_of(keep_waveform(store, listed[1], version))
    keep_waveform(store, listed[1], version, salt=1)  # two contents, and a finding
    store.review(1, at=NOW, reviewer="Ada", false_trigger=True, note="a lorry")
    store.keep_chunks("tcp://unit-a:1", 1, version + 1, event(2), [(0, b"begun")])
    store.add_token("lab", "viewer", ["BE18189"], NOW, lambda count: b"\1" * count)


def copy_into(engines: Engines, held: dict[str, list[dict[str, Any]]], **more: Any) -> None:
    """Write rows into the tables of an earlier revision: the columns that it has."""
    order: tuple[str, ...]
    order = ("recordings", "recording_waveforms", "findings", "reviews", "cached_devices")
    order += ("cached_events", "cached_waveforms", "download_chunks", "tokens", "audit")
    with engines.write() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        for name in order:
            table: Table | None = metadata.tables.get(name)
            if table is None:
                continue
            columns = {c.name for c in table.c}
            wanted = [
                {k: v for k, v in {**row, **more}.items() if k in columns} for row in held[name]
            ]
            if wanted:
                connection.execute(insert(table), wanted)


@pytest.mark.parametrize("start", ["0003", "0004"])
def test_an_upgraded_row_is_what_is_written_today_hash_and_name_included(
    store: Store, bare: Engines, bare_url: str, start: str
) -> None:
    fill(store)
    expected = all_rows(store)
    assert all(expected[name] for name in expected if name != "audit")
    revisions.upgrade(bare, start)
    copy_into(bare, expected, utc="2020-01-01T00:00:00.000+00:00")
    revisions.upgrade(bare)
    bare.close()
    with open_store(bare_url) as upgraded:
        found = all_rows(upgraded)
        if start == "0003":
            expected |= {"tokens": [], "audit": []}
        assert found == expected
        assert upgraded.recall("tcp://unit-a:1") is not None


def real_event() -> Event:
    """An event whose record is a unit's own, so that its figures can be computed again."""
    peaks = Peaks(tran_in_s=0.5, vert_in_s=0.25, long_in_s=0.75, mic_psi=0.01, vector_sum_in_s=0.9)
    record = record_payload(datetime(2026, 3, 1, 10), peaks, "North face")
    parsed = parse_waveform_record(record)
    return Event(
        index=0,
        key=bytes.fromhex("01110000"),
        timestamp_unit=parsed.timestamp_unit,
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
    store.keep_events(origin(), [read])
    held = {name: [dict(row) for row in found] for name, found in all_rows(store).items()}
    held["recordings"][0] |= changed
    revisions.upgrade(bare, "0004")
    copy_into(bare, held)
    revisions.upgrade(bare)
    bare.close()
    with open_store(bare_url) as upgraded:
        findings = upgraded.findings()
        if not changed:
            assert findings == []
            assert rows(upgraded, "recordings") == rows(store, "recordings")
            return
        assert [finding["kind"] for finding in findings] == ["damaged"]
        with pytest.raises(DamagedRecordError):
            upgraded.recording(1)
        if "record" in changed or "event_timestamp" in changed:
            return
        # Read again, it is mended.
        upgraded.keep_events(origin(), [replace(read, index=0)])
        assert upgraded.findings()[0]["kind"] == "mended"
        assert upgraded.recording(1)["peaks"]["tran_in_s"] == pytest.approx(read.peaks.tran_in_s)
