"""Stored samples: what comes back is what was stored, or an error."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.durable_world import (
    event,
    events,
    kinds,
    open_store,
    origin,
    rows,
    save_list,
    save_waveform,
    version_of,
    waveform,
)
from kit.stored_rows import public_id
from sqlalchemy import update

from sfm.records.digests import digest
from sfm.store import Store, archive, schema, unit_data
from sfm.store.codec import MAX_BYTES, pack, unpack
from sfm.store.errors import DamagedRecordError, StoreError

pytest_plugins = ["kit.durable_databases"]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COUNTS: bytes = waveform(event(0))[0]["counts"]
TABLE = schema.recording_waveforms


@given(st.binary(max_size=5000))
def test_what_is_packed_comes_back(counts: bytes) -> None:
    assert unpack(pack(counts), digest(counts), "x") == counts


@pytest.mark.parametrize("size", [2400, 24])
def test_every_flipped_byte_is_found(size: int) -> None:
    counts = COUNTS[:size]
    frame = pack(counts)
    for at in range(len(frame)):
        bad = bytearray(frame)
        bad[at] ^= 0xFF
        with pytest.raises(DamagedRecordError, match="recording 7"):
            unpack(bytes(bad), digest(counts), "recording 7")


def test_every_flipped_bit_is_found_or_changes_nothing() -> None:
    # One bit of a frame's head means nothing (RFC 8878, 3.1.1.1.1.3).
    counts = COUNTS[:240]
    frame = pack(counts)
    for at in range(len(frame)):
        for bit in range(8):
            bad = bytearray(frame)
            bad[at] ^= 1 << bit
            try:
                assert unpack(bytes(bad), digest(counts), "x") == counts
            except DamagedRecordError:
                continue
            assert (at, bit) == (4, 4)


def test_a_frame_that_ends_early_is_found_at_every_length() -> None:
    frame = pack(COUNTS[:240])
    for length in range(len(frame)):
        with pytest.raises(DamagedRecordError):
            unpack(frame[:length], digest(COUNTS[:240]), "x")


@pytest.mark.parametrize("behind", [b"\0", b"garbage", pack(b"more"), pack(b"")])
def test_what_stands_behind_a_frame_is_found(behind: bytes) -> None:
    # The frame goes out as it is under Content-Encoding: readers would take it along.
    with pytest.raises(DamagedRecordError):
        unpack(pack(COUNTS) + behind, digest(COUNTS), "x")


def test_another_content_with_a_sound_frame_is_found() -> None:
    with pytest.raises(DamagedRecordError, match="hash"):
        unpack(pack(COUNTS[:-1] + b"\0"), digest(COUNTS), "x")


def test_a_frame_that_would_fill_the_memory_is_not_unpacked_to_its_end() -> None:
    maker = zstd.ZstdCompressor()
    block = bytes(16 << 20)
    frame = b"".join(maker.compress(block) for _ in range(8 * MAX_BYTES // len(block)))
    frame += maker.flush()
    assert len(frame) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(DamagedRecordError):
            unpack(frame, digest(b""), "x")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The module joins its pieces, so it holds them twice for a moment.
    assert most < 2.5 * MAX_BYTES


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


DAMAGES: list[Any] = [
    pytest.param(flipped, id="flipped"),
    pytest.param(lambda data: data[:-3], id="cut"),
    pytest.param(lambda data: data + b"more", id="lengthened"),
    pytest.param(lambda _: b"", id="gone"),
]
damaged = pytest.mark.parametrize("damage", DAMAGES)


def do_damage(store: Store, damage: Callable[[bytes], bytes], *columns: str) -> None:
    [row] = rows(store, "recording_waveforms")
    values = {name: damage(bytes(row[name])) for name in columns}
    with store.engines.write() as connection:
        connection.execute(update(TABLE).values(**values))


@damaged
def test_damaged_samples_are_reported_and_mended_in_place_by_the_true_ones(
    store: Store, damage: Callable[[bytes], bytes]
) -> None:
    save_list(store, events(2))
    version = version_of(save_waveform(store, event(1), 1))
    [sound] = rows(store, "recording_waveforms")
    name = str(public_id(store, sound["recording_id"]))
    do_damage(store, damage, "counts")
    with pytest.raises(DamagedRecordError, match=f"recording {name[:12]} "):
        unit_data.load_waveform(store, "unit:BE18189", 1, 1, version)
    [finding] = store.read(archive.load_findings)
    assert (finding["kind"], finding["serial"]) == ("damaged", "BE18189")
    assert finding["recording_id"] == name
    with pytest.raises(DamagedRecordError):
        store.read(archive.load_samples, sound["recording_id"]).counts()

    version = version_of(save_waveform(store, event(1), version))
    assert kinds(store) == ["mended", "damaged"]
    assert "counts" in store.read(archive.load_findings)[0]["detail"]
    assert rows(store, "recording_waveforms") == [sound]
    found = unit_data.load_waveform(store, "unit:BE18189", 1, 1, version)
    assert found is not None
    assert found[1] == waveform(event(1))[0]
    save_waveform(store, event(1), version)
    assert kinds(store) == ["mended", "damaged"]


@damaged
def test_a_damaged_image_is_mended_in_place_by_the_true_one(
    store: Store, damage: Callable[[bytes], bytes]
) -> None:
    save_waveform(store, event(1))
    [sound] = rows(store, "recording_waveforms")
    do_damage(store, damage, "image")
    with pytest.raises(DamagedRecordError):
        store.read(archive.load_image, sound["id"])
    save_waveform(store, event(1), 1)
    assert store.read(archive.load_image, sound["id"]) == waveform(event(1))[1]
    assert rows(store, "recording_waveforms") == [sound]
    [finding] = store.read(archive.load_findings)
    assert finding["kind"] == "mended"
    assert "image" in finding["detail"]
    assert "counts" not in finding["detail"]


def test_both_are_mended_at_once(store: Store) -> None:
    save_waveform(store, event(1))
    [sound] = rows(store, "recording_waveforms")
    do_damage(store, flipped, "image", "counts")
    save_waveform(store, event(1), 1)
    assert rows(store, "recording_waveforms") == [sound]
    assert kinds(store) == ["mended"]


def test_samples_of_another_hash_mend_nothing(store: Store) -> None:
    save_waveform(store, event(1))
    do_damage(store, flipped, "counts")
    before = rows(store, "recording_waveforms")
    payload, image = waveform(event(1))
    other = {**payload, "counts": bytes(len(payload["counts"]))}
    store.write(unit_data.save_waveform, origin(), 1, event(1), other, image)
    assert rows(store, "recording_waveforms") == before
    assert kinds(store) == []


def test_what_is_sound_is_never_changed_by_other_samples_under_its_image(store: Store) -> None:
    save_waveform(store, event(1))
    before = rows(store, "recording_waveforms")
    payload, image = waveform(event(1))
    store.write(
        unit_data.save_waveform, origin(), 1, event(1), {**payload, "counts": b"\0" * 8}, image
    )
    assert rows(store, "recording_waveforms") == before


def test_a_damaged_record_is_reported_beside_it(store: Store) -> None:
    store.write(archive.save_events, origin(), [event(0)])
    with store.engines.write() as connection:
        connection.execute(update(schema.recordings).values(record=b"x"))
    number = rows(store, "recordings")[0]["id"]
    with pytest.raises(DamagedRecordError, match="not match"):
        store.read(archive.load_recording, number)


def test_damage_is_reported_even_if_nothing_can_be_written(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(database_url) as store:
        version = version_of(save_waveform(store, event(1)))
        do_damage(store, flipped, "counts")

        def full(*_: object) -> None:
            raise StoreError("no room")

        monkeypatch.setattr(archive, "save_damage_finding", full)
        with pytest.raises(DamagedRecordError):
            unit_data.load_waveform(store, "unit:BE18189", 1, 1, version)


def test_a_waveform_of_another_slot_mends_the_same_row(store: Store) -> None:
    save_waveform(store, event(1))
    [sound] = rows(store, "recording_waveforms")
    do_damage(store, flipped, "counts")
    payload, image = waveform(event(1))
    moved = replace(event(1), index=4)
    store.write(unit_data.save_waveform, origin(), 1, moved, {**payload, "index": 4}, image)
    assert rows(store, "recording_waveforms") == [sound]
