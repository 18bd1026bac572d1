"""Units, events and looks into tables for the tests of the durable tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from minimateplus.model import Event, MemoryProbe, Peaks, RecordMode, Waveform
from minimateplus.wire import layouts
from sfm.records.payloads import Payload, event_payload, waveform_payload
from sfm.store import Fenced, Origin, Store, WriteResult, archive, schema, unit_data

NOW = datetime(2026, 5, 1, 12, 0, 0, 250000, tzinfo=UTC)
FIRST = datetime(2026, 4, 1, 0, 28, 12)
only_sqlite = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("engine_name", ["postgresql"], indirect=True)
ARCHIVE = ("recordings", "recording_waveforms", "findings", "reviews")
MIRROR = ("cached_events", "cached_waveforms", "download_chunks")
PEAKS = Peaks(
    tran_in_s=float(np.float32(0.1)),
    vert_in_s=float(np.float32(0.215)),
    long_in_s=float(np.float32(1e-3)),
    mic_psi=float(np.float32(0.00123)),
    vector_sum_in_s=float(np.float32(0.2518)),
)


def open_store(url: str) -> Store:
    return Store.open(url, now=lambda: NOW)


def origin(
    serial: str = "BE18189", route: str = "tcp:unit-a:1", epoch: int = 1, **more: Any
) -> Origin:
    values: dict[str, Any] = {
        "route": route,
        "serial": serial,
        "epoch": epoch,
        "simulated": False,
        "read_at": NOW,
        "began_mono": 12.5,
        "boot_id": "boot-1",
    }
    return Origin(**{**values, **more})


def key_of(index: int) -> bytes:
    return (0x01110000 + 0x245A * index).to_bytes(4, "big")


def record_of(index: int, salt: str = "") -> bytes:
    """210 bytes with every value in them."""
    seed = f"{salt}|{index}|".encode()
    return (seed + bytes((i * 7 + index) % 256 for i in range(256)))[:210]


def event(index: int, **more: Any) -> Event:
    values: dict[str, Any] = {
        "index": index,
        "key": key_of(index),
        "device_time": FIRST + timedelta(minutes=index),
        "peaks": PEAKS,
        "project": f"Quarry {index}",
        "record": record_of(index),
    }
    return Event(**{**values, **more})


def events(count: int, **more: Any) -> list[Event]:
    return [event(index, **more) for index in range(count)]


def probe_of(listed: Sequence[Event], serial: str = "BE18189", lifetime: int = 100) -> MemoryProbe:
    last = listed[-1] if listed else None
    at = None if last is None or last.device_time is None else last.device_time.isoformat()
    return MemoryProbe(
        serial=serial,
        first_key=key_of(0),
        last_key=key_of(0) if last is None else last.key,
        lifetime_count=lifetime + len(listed),
        last_timestamp=at,
        is_empty=last is None,
    )


def save_list(
    store: Store,
    listed: Sequence[Event],
    seen: int | None = None,
    *,
    at: Origin | None = None,
    first_new: int = 0,
) -> WriteResult:
    at = at or origin()
    payloads = [event_payload(one) for one in listed]
    return store.write(
        unit_data.save_list, at, seen, probe_of(listed, at.serial), payloads, listed[first_new:]
    )


def image_of(of: Event, body: bytes) -> bytes:
    """Return an image that reaches to the end which its start record names."""
    start = int.from_bytes(of.key, "big")
    end = start + layouts.BODY_OFFSET + len(body)
    head = {"magic": b"STRT", "start_address": start, "end_address": end, "samples": 300}
    return layouts.IMAGE_TAG + layouts.STRT.build(head) + body


def waveform(of: Event, salt: int = 0, image: bytes | None = None) -> tuple[Payload, bytes]:
    """Return a waveform's live form and its image."""
    rng = np.random.default_rng([of.index, salt])
    entry = Waveform(
        event=of,
        counts=rng.integers(-32768, 32767, (4, 300), dtype=np.int16, endpoint=True),
        valid_samples=(300, 300, 299, 300),
        sample_rate_hz=1024,
        pretrigger_samples=256,
        geo_range_in_s=10.0,
        mode=RecordMode.CONTINUOUS,
        image=image or image_of(of, rng.bytes(900)),
    )
    return waveform_payload(entry, None), entry.image


def save_waveform(
    store: Store,
    of: Event,
    seen: int | None = None,
    *,
    at: Origin | None = None,
    salt: int = 0,
) -> WriteResult:
    payload, image = waveform(of, salt)
    return store.write(unit_data.save_waveform, at or origin(), seen, of, payload, image)


def version_of(written: WriteResult | int | Fenced) -> int:
    mirrored = written.mirror if isinstance(written, WriteResult) else written
    assert isinstance(mirrored, int), written
    return mirrored


def fence_of(written: WriteResult | int | Fenced) -> Fenced:
    mirrored = written.mirror if isinstance(written, WriteResult) else written
    assert isinstance(mirrored, Fenced), written
    return mirrored


def rows(store: Store, name: str) -> list[dict[str, Any]]:
    """Return every row of a table, by its key."""
    table = schema.metadata.tables[name]
    with store.engines.read() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def snapshot(store: Store, *names: str) -> dict[str, list[dict[str, Any]]]:
    return {name: rows(store, name) for name in names}


def mirrored(store: Store, unit_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return the mirror's rows of one unit."""
    return {
        name: [row for row in rows(store, name) if row["unit_id"] == unit_id]
        for name in ("cached_devices", *MIRROR)
    }


def kinds(store: Store) -> list[str]:
    return [finding["kind"] for finding in store.read(archive.load_findings)]


def all_rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    return snapshot(store, *schema.metadata.tables)


def shifted(of: Event, **by: int) -> Event:
    """The same key with another time of the unit."""
    assert of.device_time is not None
    return replace(of, device_time=of.device_time + timedelta(**by))
