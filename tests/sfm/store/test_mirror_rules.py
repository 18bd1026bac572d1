"""The mirror: what each unit holds now, and nothing that might be of another memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kit.durable_world import (
    ARCHIVE,
    MIRROR,
    NOW,
    event,
    events,
    fence_of,
    mirrored,
    only_postgresql,
    only_sqlite,
    origin,
    probe_of,
    record_of,
    rows,
    save_list,
    save_waveform,
    shifted,
    snapshot,
    version_of,
    waveform,
)
from kit.stored_rows import write_row
from sqlalchemy import delete, update

from minimateplus.model import Event
from sfm.cache.identity import Stamp, stamp_of, stamps_conflict
from sfm.records.payloads import event_payload
from sfm.store import (
    Fenced,
    Origin,
    ReadTime,
    Store,
    maintenance,
    mirror,
    mirrored_chunks,
    mirrored_lists,
    schema,
    unit_data,
)
from sfm.store.errors import StoreInUseError

pytest_plugins = ["kit.durable_databases"]

A, B = "unit:BE18189", "unit:BE2"
INFO = {"serial": "BE18189", "model": "MiniMate Plus", "setup": {"project": "Süd ×"}}
NOTED = ReadTime(read_at="2026-05-01T12:00:00.250+00:00", began_mono=12.5, boot_id="boot-1")


def contradictions(store: Store) -> list[str]:
    with store.engines.read() as connection:
        return mirrored_lists.contradictions(connection)


def is_there(store: Store, index: int, epoch: int, version: int) -> bool:
    return unit_data.load_waveform(store, A, index, epoch, version) is not None


def slots(store: Store, table: str, unit_id: str = A) -> list[int]:
    return [row["index"] for row in mirrored(store, unit_id)[table]]


def test_what_nobody_wrote_is_not_there(store: Store) -> None:
    assert store.read(mirror.load, A) is None
    assert unit_data.load_waveform(store, A, 0, 1, 1) is None
    assert store.read(mirrored_chunks.load_chunks, A, 1, None, event(0)) == b""


def test_a_list_comes_back_as_it_was_written(store: Store) -> None:
    listed = [*events(3), event(3, device_time=None, project="Süd × 岩")]
    version = version_of(save_list(store, listed))
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.version, found.epoch, found.serial) == (version, 1, "BE18189")
    assert found.events == [event_payload(one) for one in listed]
    assert found.events_read_time == NOTED
    assert found.probe == probe_of(listed)
    assert (found.info, found.info_read_time) == (None, None)
    assert contradictions(store) == []


def test_who_the_unit_is_comes_back_beside_its_list(store: Store) -> None:
    later = origin(read_at=NOW, began_mono=99.25, boot_id=None)
    version = version_of(store.write(unit_data.save_info, later, None, INFO))
    version = version_of(save_list(store, events(2), version))
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.version, found.info) == (version, INFO)
    assert found.info_read_time == ReadTime(read_at=NOTED.read_at, began_mono=99.25, boot_id=None)
    assert found.events_read_time == NOTED


def test_an_empty_memory_is_a_list_of_none_and_not_unknown(store: Store) -> None:
    version = version_of(store.write(unit_data.save_info, origin(), None, INFO))
    unknown = store.read(mirror.load, A)
    save_list(store, [], version)
    known = store.read(mirror.load, A)
    assert unknown is not None
    assert known is not None
    assert (unknown.events, known.events) == (None, [])
    assert known.probe == probe_of([])


def test_an_append_writes_the_new_rows_and_leaves_the_old(store: Store) -> None:
    first = version_of(save_list(store, events(3)))
    save_waveform(store, event(1), first)
    before = mirrored(store, A)
    later = origin(began_mono=77.0)
    save_list(store, events(5), first + 1, at=later, first_new=3)
    after = mirrored(store, A)
    assert after["cached_events"][:3] == before["cached_events"]
    assert [row["index"] for row in after["cached_events"]] == [0, 1, 2, 3, 4]
    assert after["cached_waveforms"] == before["cached_waveforms"]
    found = store.read(mirror.load, A)
    assert found is not None
    assert found.events == [event_payload(one) for one in events(5)]
    assert found.events_read_time == replace(NOTED, began_mono=77.0)
    recorded = {row["id"]: row["slot"] for row in rows(store, "recordings")}
    assert [recorded[row["recording_id"]] for row in after["cached_events"]] == [0, 1, 2, 3, 4]


def test_an_append_to_rows_that_are_not_there_writes_the_whole_list(store: Store) -> None:
    version = version_of(save_list(store, events(2)))
    save_list(store, events(6), version, first_new=4)
    found = store.read(mirror.load, A)
    assert found is not None
    assert found.events == [event_payload(one) for one in events(6)]


def test_a_list_that_got_shorter_forgets_rows_and_samples_behind_its_end(store: Store) -> None:
    version = version_of(save_list(store, events(4)))
    version = version_of(save_waveform(store, event(3), version))
    version = version_of(save_waveform(store, event(0), version))
    save_list(store, events(2), version)
    assert slots(store, "cached_events") == [0, 1]
    assert slots(store, "cached_waveforms") == [0]


def test_a_list_with_a_hole_is_as_good_as_none(store: Store) -> None:
    save_list(store, events(3))
    e = schema.cached_events
    with store.engines.write() as connection:
        connection.execute(delete(e).where(e.c["index"] == 1))
    found = store.read(mirror.load, A)
    assert found is not None
    assert found.events is None


def test_a_waveform_comes_back_with_its_slot_and_stamp(store: Store) -> None:
    moved = event(2)
    save_list(store, [replace(moved, index=0)])
    version = version_of(save_waveform(store, moved, 1, at=origin(began_mono=40.0)))
    found = unit_data.load_waveform(store, A, 2, 1, version)
    assert found is not None
    entry, payload = found
    live, _ = waveform(moved)
    assert payload == live
    assert (entry.index, entry.stamp) == (2, stamp_of(event_payload(moved)))
    assert entry.read_time == replace(NOTED, began_mono=40.0)


CONFLICTS: list[tuple[str, Event]] = [
    ("another time", shifted(event(1), seconds=1)),
    ("another key", replace(event(1), key=bytes.fromhex("0111ffff"))),
    ("another key, no time", event(1, key=bytes.fromhex("0111ffff"), device_time=None)),
]
conflicting = pytest.mark.parametrize("other", [pytest.param(e, id=n) for n, e in CONFLICTS])


@conflicting
@pytest.mark.parametrize("held_as", ["list", "waveform"])
@pytest.mark.parametrize("comes_as", ["list", "waveform"])
def test_a_conflict_drops_all_of_the_device_and_touches_nothing_else(
    store: Store, held_as: str, comes_as: str, other: Event
) -> None:
    version = version_of(store.write(unit_data.save_info, origin(), None, INFO))
    if held_as == "list":
        version = version_of(save_list(store, events(3), version))
    else:
        version = version_of(save_waveform(store, event(1), version))
    version = version_of(save_waveform(store, event(2), version))
    assert store.write(mirrored_chunks.save_chunks, A, 1, version, event(0), [(0, b"part")])
    save_list(store, events(3), at=origin("BE2", route="tcp:unit-b:1"))
    save_waveform(store, event(1), 1, at=origin("BE2", route="tcp:unit-b:1"))
    store.write(mirrored_chunks.save_chunks, B, 1, 2, event(0), [(0, b"part")])
    bystander, archive = mirrored(store, B), snapshot(store, *ARCHIVE)

    if comes_as == "list":
        new = [event(0), other]
        new_version = version_of(save_list(store, new, version))
        left = {"cached_events": [0, 1], "cached_waveforms": []}
    else:
        new_version = version_of(save_waveform(store, other, version))
        left = {"cached_events": [], "cached_waveforms": [1]}

    assert {name: slots(store, name) for name in left} == left
    assert mirrored(store, A)["download_chunks"] == []
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.info, found.version) == (None, new_version)
    assert (found.events is None, found.probe is None) == ((comes_as == "waveform",) * 2)
    assert mirrored(store, B) == bystander
    for name, before in archive.items():
        assert rows(store, name)[: len(before)] == before
    assert contradictions(store) == []


@pytest.mark.parametrize("held_as", ["list", "waveform"])
@pytest.mark.parametrize("comes_as", ["list", "waveform"])
@pytest.mark.parametrize("unknown_side", ["held", "new"])
def test_an_unknown_half_decides_nothing(
    store: Store, held_as: str, comes_as: str, unknown_side: str
) -> None:
    timeless = event(1, device_time=None)
    entry, new = (timeless, event(1)) if unknown_side == "held" else (event(1), timeless)
    version = version_of(store.write(unit_data.save_info, origin(), None, INFO))
    if held_as == "list":
        version = version_of(save_list(store, [event(0), entry], version))
    else:
        version = version_of(save_waveform(store, entry, version))
    if comes_as == "list":
        save_list(store, [event(0), new], version)
    else:
        save_waveform(store, new, version)
    found = store.read(mirror.load, A)
    assert found is not None
    assert found.info == INFO
    assert slots(store, "cached_events") == ([0, 1] if "list" in (held_as, comes_as) else [])
    assert slots(store, "cached_waveforms") == ([1] if "waveform" in (held_as, comes_as) else [])


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(origin(epoch=2), id="a later epoch"),
        pytest.param(origin(epoch=0), id="an earlier epoch"),
    ],
)
@pytest.mark.parametrize("verb", ["info", "list", "waveform"])
def test_another_epoch_clears_what_is_held(store: Store, verb: str, at: Origin) -> None:
    version = version_of(store.write(unit_data.save_info, origin(), None, {"old": True}))
    version = version_of(save_list(store, events(3), version))
    version = version_of(save_waveform(store, event(1), version))
    store.write(mirrored_chunks.save_chunks, A, 1, version, event(0), [(0, b"part")])
    if verb == "info":
        store.write(unit_data.save_info, at, version, INFO)
    elif verb == "list":
        save_list(store, events(1), version, at=at)
    else:
        save_waveform(store, event(2), version, at=at)
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.epoch, found.serial, found.version) == (at.epoch, at.serial, version + 1)
    assert found.info == (INFO if verb == "info" else None)
    assert slots(store, "cached_events") == ([0] if verb == "list" else [])
    assert slots(store, "cached_waveforms") == ([2] if verb == "waveform" else [])
    assert mirrored(store, A)["download_chunks"] == []


def test_another_unit_that_answers_over_a_route_leaves_what_is_held_of_the_first(
    store: Store,
) -> None:
    version = version_of(store.write(unit_data.save_info, origin(), None, INFO))
    version = version_of(save_list(store, events(3), version))
    save_waveform(store, event(1), version)
    before = mirrored(store, A)
    save_list(store, events(1), at=origin("BE2"))
    assert mirrored(store, A) == before
    assert slots(store, "cached_events", B) == [0]


@pytest.mark.parametrize("stale", [None, 0, 1, 99])
def test_a_stale_writer_writes_nothing_in_the_mirror_but_its_records_are_kept(
    store: Store, stale: int | None
) -> None:
    save_list(store, events(2), at=origin(epoch=4))
    version = version_of(save_waveform(store, event(1), 1, at=origin(epoch=4)))
    before = snapshot(store, "cached_devices", *MIRROR)
    fence = Fenced(4, version)
    new = [event(0, record=record_of(0, "new")), event(1, record=record_of(1, "new"))]
    assert fence_of(save_list(store, new, stale)) == fence
    assert fence_of(save_waveform(store, new[0], stale)) == fence
    assert fence_of(store.write(unit_data.save_info, origin(), stale, INFO)) == fence
    assert store.write(mirrored_chunks.save_chunks, A, 4, stale, event(0), [(0, b"part")]) is False
    assert snapshot(store, "cached_devices", *MIRROR) == before
    assert store.read(maintenance.count_rows)["recordings"] == 4
    assert store.read(maintenance.count_rows)["recording_waveforms"] == 2


def test_missing_rows_fence_a_writer_that_knew_them(store: Store) -> None:
    assert fence_of(save_list(store, events(1), 7)) == Fenced(1, 0)
    assert store.read(mirror.load, A) is None
    assert store.read(maintenance.count_rows)["recordings"] == 1


def test_of_two_writers_in_turn_the_loser_learns_where_to_begin(
    store: Store, second_store: Store
) -> None:
    mine, other = origin(epoch=1), origin(epoch=1, boot_id="boot-2")
    first = version_of(save_list(store, events(2), at=mine))
    fence = fence_of(save_list(second_store, events(3), at=other))
    assert fence == Fenced(1, first)
    beyond = replace(other, epoch=fence.epoch + 1)
    second = version_of(save_list(second_store, events(3), fence.version, at=beyond))
    fence = fence_of(save_waveform(store, event(0), first, at=mine))
    assert fence == Fenced(2, second)
    version_of(save_list(store, events(2), fence.version, at=replace(mine, epoch=3)))
    for one in (store, second_store):
        found = one.read(mirror.load, A)
        assert found is not None
        assert (found.epoch, len(found.events or ())) == (3, 2)
    assert store.read(maintenance.count_rows)["recordings"] == 3


def test_of_writers_that_begin_at_once_one_wins(store: Store, second_store: Store) -> None:
    start = threading.Barrier(8)
    reported: list[int | Fenced | BaseException | None] = []

    def write(number: int) -> None:
        mine = store if number % 2 else second_store
        start.wait(10)
        try:
            reported.append(save_list(mine, events(number + 1), at=origin(epoch=number + 1)).mirror)
        except BaseException as error:
            reported.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [winner] = [one for one in reported if not isinstance(one, Fenced)]
    assert winner == 1
    found = store.read(mirror.load, A)
    assert found is not None
    assert {one for one in reported if isinstance(one, Fenced)} == {Fenced(found.epoch, 1)}
    assert len(found.events or ()) == found.epoch


@only_postgresql
def test_a_writer_that_begins_while_another_does_is_fenced(
    store: Store, second_store: Store
) -> None:
    """The second one's look comes before the first one's commit, its row after it."""
    done: list[Any] = []
    with store.engines.write() as connection:
        assert mirror.save_info(connection, origin(epoch=5), None, INFO) == 1
        late = threading.Thread(
            target=lambda: done.append(
                second_store.write(unit_data.save_info, origin(), None, {}).mirror
            )
        )
        late.start()
        late.join(0.3)
        assert done == []
    late.join(20)
    assert done == [Fenced(5, 1)]


def test_a_waveform_is_given_to_no_other_epoch_or_version(store: Store) -> None:
    version = version_of(save_waveform(store, event(1)))
    assert is_there(store, 1, 1, version)
    assert not is_there(store, 1, 1, version - 1)
    assert not is_there(store, 1, 1, version + 1)
    assert not is_there(store, 1, 2, version)
    assert not is_there(store, 0, 1, version)
    save_list(store, events(2), version)
    assert not is_there(store, 1, 1, version)
    assert is_there(store, 1, 1, version + 1)


@pytest.mark.parametrize(("asked", "given_epoch"), [(0, 8), (7, 8), (8, 8), (20, 20)])
def test_a_drop_takes_all_and_leads_beyond_whatever_was(
    store: Store, asked: int, given_epoch: int
) -> None:
    at = origin(epoch=7)
    version = version_of(save_list(store, events(2), at=at))
    version = version_of(save_waveform(store, event(1), version, at=at))
    store.write(mirrored_chunks.save_chunks, A, 7, version, event(0), [(0, b"part")])
    save_list(store, events(1), at=origin("BE2", route="tcp:unit-b:1"))
    bystander, archive = mirrored(store, B), snapshot(store, *ARCHIVE)
    assert store.write(mirror.drop, A, asked, "erased") == (given_epoch, version + 1)
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.epoch, found.version) == (given_epoch, version + 1)
    assert (found.epoch_reason, found.serial) == ("erased", None)
    assert (found.events, found.info, found.probe) == (None, None, None)
    assert {name: mirrored(store, A)[name] for name in MIRROR} == {name: [] for name in MIRROR}
    assert mirrored(store, B) == bystander
    assert snapshot(store, *ARCHIVE) == archive
    assert isinstance(save_list(store, events(1), version).mirror, Fenced)


def test_a_drop_of_what_was_never_written_is_remembered(store: Store) -> None:
    epoch, version = store.write(mirror.drop, A, 3, "asked for")
    assert (epoch, version) == (3, 1)
    assert isinstance(save_list(store, events(1)).mirror, Fenced)
    version_of(save_list(store, events(1), version, at=origin(epoch=3)))


# --- before a command ----------------------------------------------------------------------------


def test_written_settings_are_forgotten_and_nothing_else(store: Store) -> None:
    version = version_of(store.write(unit_data.save_info, origin(), None, INFO))
    version = version_of(save_list(store, events(3), version))
    version = version_of(save_waveform(store, event(1), version))
    store.write(unit_data.save_info, origin("BE2", route="tcp:unit-b:1"), None, INFO)
    bystander, before = mirrored(store, B), mirrored(store, A)
    assert version_of(store.write(mirror.forget_info, A, version)) == version + 1
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.info, found.info_read_time, found.version) == (None, None, version + 1)
    assert (found.epoch, found.serial) == (1, "BE18189")
    assert found.events == [event_payload(one) for one in events(3)]
    after = mirrored(store, A)
    assert {name: after[name] for name in MIRROR} == {name: before[name] for name in MIRROR}
    assert mirrored(store, B) == bystander
    assert fence_of(store.write(unit_data.save_info, origin(), version, INFO)) == Fenced(
        1, version + 1
    )


@pytest.mark.parametrize("stale", [None, 0, 1, 99])
def test_who_did_not_see_the_last_write_forgets_nothing(store: Store, stale: int | None) -> None:
    store.write(unit_data.save_info, origin(epoch=4), None, INFO)
    version = version_of(store.write(unit_data.save_info, origin(epoch=4), 1, INFO))
    before = snapshot(store, "cached_devices")
    assert fence_of(store.write(mirror.forget_info, A, stale)) == Fenced(4, version)
    assert snapshot(store, "cached_devices") == before


def test_settings_of_a_unit_never_written_of_are_remembered_to_be_old(store: Store) -> None:
    version = version_of(store.write(mirror.forget_info, A, None))
    found = store.read(mirror.load, A)
    assert found is not None
    assert (found.epoch, found.version, found.info) == (0, version, None)
    # Another relay that read the settings of before comes too late.
    assert isinstance(store.write(unit_data.save_info, origin(), None, INFO).mirror, Fenced)
    version_of(store.write(unit_data.save_info, origin(epoch=0), version, INFO))
    assert isinstance(store.write(mirror.forget_info, B, 7), Fenced)
    assert store.read(mirror.load, B) is None


def test_events_without_samples_are_named_by_their_slots(store: Store) -> None:
    version = version_of(save_list(store, events(4)))
    assert store.read(mirrored_lists.erase_check, A, version, 4).unarchived == [0, 1, 2, 3]
    version = version_of(save_waveform(store, event(1), version))
    version = version_of(save_waveform(store, event(3), version))
    assert store.read(mirrored_lists.erase_check, A, version, 4).unarchived == [0, 2]
    # What was downloaded stays archived when the slot's waveform is no longer mirrored.
    with store.engines.write() as connection:
        connection.execute(delete(schema.cached_waveforms))
    assert store.read(mirrored_lists.erase_check, A, version, 4).unarchived == [0, 2]
    version = version_of(save_list(store, [], version))
    assert store.read(mirrored_lists.erase_check, A, version, 0).unarchived == []


def test_samples_of_another_event_in_the_slot_prove_nothing(store: Store) -> None:
    version = version_of(save_list(store, events(2)))
    version = version_of(save_waveform(store, event(1), version))
    again = [event(0), shifted(event(1), hours=5)]
    version = version_of(save_list(store, again, version))
    assert store.read(mirrored_lists.erase_check, A, version, 2).unarchived == [0, 1]


def test_a_mirror_that_proves_nothing_counts_every_event_as_without_samples(store: Store) -> None:
    listed = events(2)
    version = version_of(save_list(store, listed))
    for one in listed:
        version = version_of(save_waveform(store, one, version))
    assert store.read(mirrored_lists.erase_check, A, version, 2).unarchived == []
    for other in (None, version - 1, version + 1):
        assert store.read(mirrored_lists.erase_check, A, other, 2).unarchived == [0, 1]
    assert store.read(mirrored_lists.erase_check, A, version, 3).unarchived == [0, 1, 2]
    assert store.read(mirrored_lists.erase_check, A, version, 1).unarchived == [0]
    assert store.read(mirrored_lists.erase_check, B, version, 2).unarchived == [0, 1]
    read_at = rows(store, "cached_devices")[0]["list_read_at"]
    write_row(store, "cached_devices", {}, list_read_at=None)  # read, and too late
    assert store.read(mirrored_lists.erase_check, A, version, 2).unarchived == [0, 1]
    write_row(store, "cached_devices", {}, list_read_at=read_at)
    assert store.read(mirrored_lists.erase_check, A, version, 2).unarchived == []
    of_another = rows(store, "cached_events")[0]["recording_id"]
    for recording_id in (None, of_another):
        write_row(store, "cached_events", {"index": 1}, recording_id=recording_id)
        assert store.read(mirrored_lists.erase_check, A, version, 2).unarchived == [1]
    e = schema.cached_events
    with store.engines.write() as connection:
        connection.execute(delete(e).where(e.c["index"] == 1))
    assert store.read(mirrored_lists.erase_check, A, version, 2).unarchived == [0, 1]


# --- images under way ----------------------------------------------------------------------------


@pytest.fixture
def begun(store: Store) -> int:
    """A device with a list; return its version."""
    return version_of(save_list(store, events(3)))


def test_parts_come_back_up_to_the_first_gap(store: Store, begun: int) -> None:
    assert store.write(
        mirrored_chunks.save_chunks, A, 1, begun, event(1), [(0, b"abc"), (3, b"de")]
    )
    assert store.write(mirrored_chunks.save_chunks, A, 1, begun, event(1), [(5, b"f"), (9, b"z")])
    assert store.write(mirrored_chunks.save_chunks, A, 1, begun, event(2), [(0, b"other")])
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(1)) == b"abcdef"
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(2)) == b"other"
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(0)) == b""
    store.write(mirrored_chunks.save_chunks, A, 1, begun, event(1), [(6, b"ghi")])
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(1)) == b"abcdefghiz"


def test_a_part_at_0_begins_anew(store: Store, begun: int) -> None:
    store.write(mirrored_chunks.save_chunks, A, 1, begun, event(1), [(0, b"old"), (3, b"old")])
    store.write(mirrored_chunks.save_chunks, A, 1, begun, event(2), [(0, b"kept")])
    store.write(mirrored_chunks.save_chunks, A, 1, begun, event(1), [(0, b"ne")])
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(1)) == b"ne"
    store.write(
        mirrored_chunks.save_chunks, A, 1, begun, event(1), [(2, b"xx"), (0, b"again"), (5, b"!")]
    )
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(1)) == b"again!"
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(2)) == b"kept"


def test_parts_are_of_one_time_epoch_and_version(store: Store, begun: int) -> None:
    store.write(mirrored_chunks.save_chunks, A, 1, begun, event(1), [(0, b"abc")])
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, shifted(event(1), seconds=1)) == b""
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(1, device_time=None)) == b""
    assert store.read(mirrored_chunks.load_chunks, A, 2, begun, event(1)) == b""
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun + 1, event(1)) == b""
    assert store.read(mirrored_chunks.load_chunks, A, 1, None, event(1)) == b""
    assert store.read(mirrored_chunks.load_chunks, B, 1, begun, event(1)) == b""
    version = version_of(store.write(unit_data.save_info, origin(), begun, INFO))
    assert store.read(mirrored_chunks.load_chunks, A, 1, version, event(1)) == b"abc"
    assert store.write(mirrored_chunks.save_chunks, A, 2, version, event(1), [(3, b"d")]) is False
    assert store.write(mirrored_chunks.save_chunks, B, 1, version, event(1), [(0, b"d")]) is False
    version = version_of(store.write(unit_data.save_info, origin(epoch=2), version, INFO))
    assert store.read(mirrored_chunks.load_chunks, A, 2, version, event(1)) == b""
    assert rows(store, "download_chunks") == []


def test_a_whole_waveform_ends_its_parts_and_no_others(store: Store, begun: int) -> None:
    for index in (1, 2):
        store.write(mirrored_chunks.save_chunks, A, 1, begun, event(index), [(0, b"abc")])
    version = version_of(save_waveform(store, event(1), begun))
    assert store.read(mirrored_chunks.load_chunks, A, 1, version, event(1)) == b""
    assert store.read(mirrored_chunks.load_chunks, A, 1, version, event(2)) == b"abc"
    store.write(mirrored_chunks.forget_chunks, A, event(2))
    assert rows(store, "download_chunks") == []


def test_parts_with_no_known_time_come_back_to_it(store: Store, begun: int) -> None:
    timeless = event(1, device_time=None)
    store.write(mirrored_chunks.save_chunks, A, 1, begun, timeless, [(0, b"abc")])
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, timeless) == b"abc"
    assert store.read(mirrored_chunks.load_chunks, A, 1, begun, event(1)) == b""


def test_a_row_that_points_at_another_recording_is_reported(store: Store) -> None:
    save_list(store, events(3))
    save_waveform(store, event(1), 1)
    e, w = schema.cached_events, schema.cached_waveforms
    with store.engines.write() as connection:
        connection.execute(update(e).where(e.c["index"] == 2).values(waveform_key="0111eeee"))
        connection.execute(update(w).values(event_timestamp=None))
    listed, sampled = contradictions(store)
    assert f"{A}: slot 2" in listed
    assert f"{A}: slot 1" in sampled


# --- any sequence --------------------------------------------------------------------------------


@dataclass
class Model:
    """What the mirror of one device must contain, computed without a database."""

    epoch: int = -1
    serial: str | None = None
    version: int = 0
    is_there: bool = False
    listed: dict[int, Stamp] = field(default_factory=dict)
    count: int | None = None
    sampled: dict[int, Stamp] = field(default_factory=dict)

    def clear(self) -> None:
        self.listed, self.sampled, self.count = {}, {}, None

    def take(self, epoch: int, serial: str, seen: int | None) -> bool:
        if seen != (self.version if self.is_there else None):
            return False
        if epoch != self.epoch:
            self.clear()
        self.epoch, self.serial, self.is_there = epoch, serial, True
        self.version += 1
        return True

    def write_list(self, stamps: dict[int, Stamp]) -> None:
        if self.fights(stamps):
            self.clear()
        self.listed, self.count = stamps, len(stamps)
        self.sampled = {index: s for index, s in self.sampled.items() if index in stamps}

    def write_waveform(self, index: int, stamp: Stamp) -> None:
        if self.fights({index: stamp}):
            self.clear()
        self.sampled[index] = stamp

    def fights(self, stamps: dict[int, Stamp]) -> bool:
        return any(
            stamps_conflict(stamps[index], entry[index])
            for entry in (self.listed, self.sampled)
            for index in entry
            if index in stamps
        )


some_event = st.builds(
    lambda index, time, world: replace(
        event(index, device_time=None) if time is None else shifted(event(index), hours=time * 100),
        record=record_of(index, f"{world}"),
    ),
    st.integers(0, 3),
    st.sampled_from([None, 0, 0, 0, 1]),
    st.sampled_from([0, 0, 0, 1]),
)
who = st.tuples(st.sampled_from([1, 1, 1, 2]), st.just("BE18189"))
seen_as = st.sampled_from(["now", "now", "now", "now", "stale", "none"])
step = st.one_of(
    st.tuples(st.just("list"), who, seen_as, st.lists(some_event, max_size=4), st.integers(0, 3)),
    st.tuples(st.just("waveform"), who, seen_as, some_event, st.integers(0, 1)),
    st.tuples(st.just("drop"), who, st.just("now"), st.integers(0, 9), st.just(0)),
)
ARCHIVE_THEN = ("recordings", "recording_waveforms")


@only_sqlite
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=8))
def test_any_sequence_leaves_the_mirror_as_the_rule_says_on_sqlite(
    fresh_store: Callable[[], Store], steps: list[Any]
) -> None:
    live_through(fresh_store(), steps)


@only_postgresql
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=8))
@example(
    steps=[("list", (1, "BE18189"), "now", [event(0)], 0), ("drop", (1, "BE18189"), "now", 0, 0)]
)
def test_any_sequence_leaves_the_mirror_as_the_rule_says_on_postgresql(
    fresh_store: Callable[[], Store], steps: list[Any]
) -> None:
    live_through(fresh_store(), steps)


def live_through(store: Store, steps: list[Any]) -> None:
    model = Model()
    save_list(store, events(2), at=origin("BE2", route="tcp:unit-b:1"))
    bystander = mirrored(store, B)
    archive = snapshot(store, *ARCHIVE_THEN)
    for verb, (epoch, serial), seen_word, what, number in steps:
        seen = model.version if model.is_there else None
        if seen_word != "now":
            seen = None if seen_word == "none" else model.version + 1
        at = origin(serial, epoch=epoch)
        if verb == "drop":
            assert store.write(mirror.drop, A, what, "drop") == (
                max(what, model.epoch + 1),
                model.version + 1,
            )
            model.clear()
            model.epoch, model.serial = max(what, model.epoch + 1), None
            model.version, model.is_there = model.version + 1, True
        elif verb == "list":
            listed = [replace(one, index=i) for i, one in enumerate(what)]
            stamps = {one.index: stamp_of(event_payload(one)) for one in listed}
            old = [model.listed.get(i) == stamps[i] for i in range(min(number, len(listed)))]
            first_new = old.index(False) if False in old else len(old)
            kept = save_list(store, listed, seen, at=at, first_new=first_new)
            if model.take(epoch, serial, seen):
                assert kept.mirror == model.version
                model.write_list(stamps)
            else:
                assert isinstance(kept.mirror, Fenced)
        else:
            kept = save_waveform(store, what, seen, at=at, salt=number)
            if model.take(epoch, serial, seen):
                assert kept.mirror == model.version
                model.write_waveform(what.index, stamp_of(event_payload(what)))
            else:
                assert isinstance(kept.mirror, Fenced)
        now = snapshot(store, *ARCHIVE_THEN)
        for name, before in archive.items():
            assert now[name][: len(before)] == before
        archive = now
        check(store, model)
    assert mirrored(store, B) == bystander


def check(store: Store, model: Model) -> None:
    entry = mirrored(store, A)
    for name, wanted in (("cached_events", model.listed), ("cached_waveforms", model.sampled)):
        found = {
            row["index"]: Stamp(row["waveform_key"], row["event_timestamp"]) for row in entry[name]
        }
        assert found == wanted, name
    loaded = store.read(mirror.load, A)
    assert (loaded is not None) is model.is_there
    if loaded is not None:
        assert (loaded.version, loaded.epoch, loaded.serial) == (
            model.version,
            model.epoch,
            model.serial,
        )
        stamps = None if model.count is None else [model.listed[i] for i in range(model.count)]
        reported = loaded.events
        assert (None if reported is None else [stamp_of(payload) for payload in reported]) == stamps
    assert contradictions(store) == []


def test_a_mirror_that_did_not_take_the_list_just_walked_proves_nothing(store: Store) -> None:
    listed = events(2)
    version = version_of(save_list(store, listed))
    for one in listed:
        version = version_of(save_waveform(store, one, version))
    walked = [event_payload(one) for one in listed]
    assert store.read(mirrored_lists.erase_check, A, version, 2, walked).unarchived == []
    # As many events, recorded after an erase whose list the database never took.
    anew = [event_payload(event(0)), event_payload(shifted(event(1), hours=5))]
    assert store.read(mirrored_lists.erase_check, A, version, 2, anew).unarchived == [0, 1]


@only_postgresql
def test_after_its_own_tools_restored_a_database_units_begin_epochs_that_no_answer_had(
    store: Store, database_url: str
) -> None:
    save_list(store, events(2), at=origin(epoch=3))
    kept = snapshot(store, *ARCHIVE)
    maintenance.begin_after_restore(database_url)
    [device] = rows(store, "cached_devices")
    assert (device["unit_id"], device["epoch"]) == (A, 3 + maintenance.UNSEEN_EPOCHS)
    assert mirrored(store, A)["cached_events"] == []
    assert snapshot(store, *ARCHIVE) == kept
    assert maintenance.check(database_url).faults == []


def test_units_begin_no_epochs_while_a_relay_has_the_database(database_url: str) -> None:
    with (
        Store.open(database_url, is_relay=True),
        pytest.raises(StoreInUseError),
    ):
        maintenance.begin_after_restore(database_url)
