"""What a restart, a crash or a failing database costs nobody, and what it makes nothing fresher."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from kit.relay_world import ELSEWHERE, HERE, KEY, FieldUnit, World, in_virtual_time, listed_events
from kit.virtual_time import now_s

from minimateplus.errors import ConnectError, MiniMateError, ReplyTimeoutError
from sfm.back_off import BackingOffError
from sfm.cache.freshness import FORCED, Freshness
from sfm.devices.answer import Answer
from sfm.devices.gateway import NotCachedError
from sfm.store import Wanted, archive, maintenance
from sfm.store.errors import StoreFullError, StoreLostError

UNASKED = Freshness(only_if_cached=True)


def archived(world: World) -> list[dict[str, Any]]:
    assert world.disk is not None
    return world.disk.read(archive.load_page, Wanted()).rows


@in_virtual_time
async def test_after_a_restart_the_first_request_probes_and_the_list_comes_from_disk(
    world: World,
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(5))
    before = await world.gateway.events(HERE)
    await world.restart()
    cost = len(unit.heard)
    after = await world.gateway.events(HERE)
    assert after.value == before.value
    assert after.provenance.source == "disk"
    assert after.provenance.quality == "good"
    assert after.provenance.why == "hit"
    assert len(unit.heard) - cost == 2 + 8 + 8  # start-up, who is it, probe without the serial
    assert after.provenance.epoch == before.provenance.epoch
    assert after.provenance.read_at == before.provenance.read_at
    cost = len(unit.heard)
    await world.gateway.events(HERE)
    assert len(unit.heard) - cost == 10


@in_virtual_time
async def test_after_a_restart_a_waveform_is_not_downloaded_again(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(3))
    before = await world.gateway.waveform(HERE, 1)
    assert before.provenance.stored
    await world.restart()
    after = await world.gateway.waveform(HERE, 1)
    assert after.value == before.value
    assert after.provenance.source == "disk"
    assert after.provenance.exchanges == 2 + 8 + 8
    assert after.provenance.read_at == before.provenance.read_at
    assert 0x5A not in unit.heard[-20:]


@in_virtual_time
async def test_before_the_first_contact_only_who_asks_for_it_gets_what_is_on_disk(
    world: World,
) -> None:
    await world.with_disk(validated_s=30, keep_open_s=0)
    world.plug(FieldUnit().record(3))
    await world.gateway.info(HERE)
    listed = await world.gateway.events(HERE)
    await world.gateway.waveform(HERE, 2)
    await world.restart()
    del world.units[HERE]
    gateway = world.gateway
    asks: tuple[Callable[[Freshness], Awaitable[Answer]], ...] = (
        partial(gateway.info, HERE),
        partial(gateway.events, HERE),
        partial(gateway.event, HERE, 1),
        partial(gateway.waveform, HERE, 2),
    )
    for ask in asks:
        for wish in (UNASKED, Freshness(stale_if_error_s=3600)):
            answer = await ask(wish)
            assert answer.provenance.quality == "not_verified_since_restart"
            assert answer.provenance.source == "disk"
            assert answer.provenance.serial == "SIM0001"
            assert answer.provenance.simulated is True
            assert math.isfinite(answer.provenance.age_s)
        for wish in (Freshness(), Freshness(max_age_s=3600), FORCED):
            with pytest.raises((MiniMateError, BackingOffError)):
                await ask(wish)
        with pytest.raises(NotCachedError):
            await ask(Freshness(only_if_cached=True, max_age_s=3600))
    assert listed.provenance.epoch == 0
    with pytest.raises(NotCachedError):
        await world.gateway.events(ELSEWHERE, UNASKED)


@in_virtual_time
async def test_after_the_machine_restarted_an_age_is_unknown_and_unknown_is_stale(
    world: World,
) -> None:
    await world.with_disk(keep_open_s=0)
    world.plug(FieldUnit().record(2))
    await world.gateway.events(HERE)
    await world.restart(boot="another boot")
    unit = world.units.pop(HERE)
    answer = await world.gateway.events(HERE, UNASKED)
    assert answer.provenance.age_s == math.inf
    with pytest.raises(ConnectError):
        await world.gateway.events(HERE, Freshness(stale_if_error_s=1e9))
    world.plug(unit)
    proven = await world.gateway.events(HERE)
    assert proven.provenance.source == "disk"
    assert proven.provenance.age_s == math.inf
    assert proven.provenance.confirmed_age_s < 60


@pytest.mark.parametrize("again", [1, 2, 3])
@pytest.mark.parametrize("never_set", [False, True])
@in_virtual_time
async def test_an_erase_while_the_relay_was_down_is_found_by_the_next_contact(
    world: World, again: int, never_set: bool
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(2, never_set=never_set))
    old = await world.gateway.waveform(HERE, 1)
    await world.gateway.close()
    unit.erase()
    unit.record(again, axis=1, never_set=never_set)
    world._start()
    if again > 1:
        new = await world.gateway.waveform(HERE, 1)
        assert new.value["counts"] != old.value["counts"]
        assert new.provenance.source == "device"
        assert new.provenance.epoch == old.provenance.epoch + 1
    listed = await world.gateway.events(HERE)
    assert listed_events(listed.value) == unit.truth()
    assert len(archived(world)) == 2 + again


@in_virtual_time
async def test_an_event_recorded_while_the_relay_was_down_is_read_alone(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(20))
    await world.gateway.events(HERE)
    await world.restart()
    unit.record(1)
    cost = len(unit.heard)
    answer = await world.gateway.events(HERE)
    assert answer.provenance.why == "partial"
    assert listed_events(answer.value) == unit.truth()
    assert len(unit.heard) - cost <= 28 + 8
    await world.restart()
    again = await world.gateway.events(HERE)
    assert (again.provenance.source, again.value) == ("disk", answer.value)


@in_virtual_time
async def test_a_list_read_after_an_erase_is_warm_after_a_restart_too(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(3))
    await world.gateway.events(HERE)
    unit.erase()
    unit.record(2)
    before = await world.gateway.events(HERE)
    await world.restart()
    unasked = await world.gateway.events(HERE, UNASKED)
    assert unasked.provenance.simulated is True
    after = await world.gateway.events(HERE)
    assert (after.provenance.source, after.value) == ("disk", before.value)
    assert after.provenance.epoch == before.provenance.epoch == 1


@in_virtual_time
async def test_another_unit_behind_the_address_after_a_restart(world: World) -> None:
    await world.with_disk()
    world.plug(FieldUnit("SIM0001").record(2))
    await world.gateway.events(HERE)
    await world.restart()
    other = world.plug(FieldUnit("SIM0002").record(2))
    status = await world.gateway.monitor_status(HERE)
    assert status.provenance.serial == "SIM0002"
    assert status.provenance.epoch == 0
    await world.restart()
    answer = await world.gateway.events(HERE)
    assert answer.provenance.epoch == 0
    assert listed_events(answer.value) == other.truth()
    assert {row["serial"] for row in archived(world)} == {"SIM0001", "SIM0002"}


@in_virtual_time
async def test_a_waveform_that_left_memory_comes_back_without_the_unit(world: World) -> None:
    await world.with_disk(validated_s=30, cache_limit_bytes=4000)
    unit = world.plug(FieldUnit().record(6))
    payloads = [(await world.gateway.waveform(HERE, i)).value for i in range(6)]
    assert world.cache.stats()["evicted_waveforms"] > 0
    await world.gateway.events(HERE)
    cost = len(unit.heard)
    for i in range(6):
        answer = await world.gateway.waveform(HERE, i)
        assert answer.value == payloads[i]
        assert answer.provenance.why == "hit"
    assert len(unit.heard) == cost


@in_virtual_time
async def test_a_waveform_larger_than_memory_is_kept_and_served_all_the_same(world: World) -> None:
    await world.with_disk(validated_s=30, cache_limit_bytes=4000)
    world.plug(FieldUnit().record_big())
    first = await world.gateway.waveform(HERE, 0)
    assert first.provenance.stored
    again = await world.gateway.waveform(HERE, 0)
    assert again.value == first.value
    assert (again.provenance.why, again.provenance.source) == ("hit", "disk")
    again.value["peaks"].clear()
    assert again.value["peaks"], "a reader changed what others get"


@in_virtual_time
async def test_a_download_that_was_cut_goes_on_after_a_restart(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record_big())
    whole = (await world.gateway.waveform(HERE, 0, FORCED)).value
    chunks = unit.heard.count(0x5A)
    assert chunks >= 4
    await world.with_disk()
    unit.heard.clear()
    unit.at_next_time(0x5A, chunks - 1, world.cut_at_once)
    with pytest.raises(MiniMateError):
        await world.gateway.waveform(HERE, 0)
    assert unit.heard.count(0x5A) == chunks - 1
    await world.restart()
    unit.heard.clear()
    answer = await world.gateway.waveform(HERE, 0)
    assert answer.value == whole
    # The first chunk and the last one held again, as evidence; then the one that was missing.
    assert unit.heard.count(0x5A) == 3
    assert world.disk is not None
    assert world.disk.read(maintenance.count_rows)["download_chunks"] == 0


@in_virtual_time
async def test_a_cut_download_is_not_continued_over_an_erase(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record_big(never_set=True))
    await world.gateway.events(HERE)
    unit.heard.clear()
    unit.at_next_time(0x5A, 3, world.cut_at_once)
    with pytest.raises(MiniMateError):
        await world.gateway.waveform(HERE, 0)
    unit.erase()
    unit.record_big(never_set=True, seed=2)
    await world.restart()
    answer = await world.gateway.waveform(HERE, 0)
    fresh = await world.gateway.waveform(HERE, 0, FORCED)
    assert answer.value["counts"] == fresh.value["counts"]
    assert len({row["id"] for row in archived(world)}) == 2


@in_virtual_time
async def test_a_failing_database_degrades_and_recovers_and_nothing_is_lost(world: World) -> None:
    disk = await world.with_disk(validated_s=30)
    unit = world.plug(FieldUnit().record(2))
    disk.fail(StoreFullError("disk.sqlite: database or disk is full"))
    listed = await world.gateway.events(HERE)
    waveform = await world.gateway.waveform(HERE, 0)
    assert listed_events(listed.value) == unit.truth()
    assert not listed.provenance.stored
    assert not waveform.provenance.stored
    state = world.gateway.store_service.state()
    assert (state["state"], state["problem"]) == ("degraded", "full")
    # The list, its events as they were walked, and a waveform.
    assert state["waiting_records"] == 3
    disk.fail(None)
    later = now_s() + timedelta(minutes=3).total_seconds()
    while now_s() < later:
        await world.pause(10)
    state = world.gateway.store_service.state()
    assert (state["state"], state["waiting_records"]) == ("ok", 0)
    assert len(archived(world)) == 2
    assert (
        disk.read(archive.load_samples, archived(world)[1]["id"]).payload()["counts"]
        == waveform.value["counts"]
    )
    # The mirror was not written meanwhile: the next restart walks, and believes nothing else.
    await world.restart()
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()


@in_virtual_time
async def test_a_database_that_comes_late_with_an_older_memory_is_not_believed(
    world: World,
) -> None:
    disk = await world.with_disk(validated_s=30)
    unit = world.plug(FieldUnit().record(2, never_set=True))
    old = await world.gateway.waveform(HERE, 1)
    await world.gateway.close()
    unit.erase()
    unit.record(2, axis=2, never_set=True)
    disk.fail(StoreLostError("no such host"))
    world._start()
    new = await world.gateway.events(HERE)
    assert new.provenance.epoch == 0  # it knows of no other
    disk.fail(None)
    await world.pause(200)
    unit.record(1, axis=1, never_set=True)
    later = await world.gateway.events(HERE)
    assert later.provenance.epoch > old.provenance.epoch
    assert listed_events(later.value) == unit.truth()
    waveform = await world.gateway.waveform(HERE, 1)
    assert waveform.value["counts"] != old.value["counts"]
    await world.restart()
    again = await world.gateway.waveform(HERE, 1)
    assert again.value == waveform.value


@in_virtual_time
async def test_dropping_a_device_drops_its_mirror_and_no_recording(world: World) -> None:
    disk = await world.with_disk()
    world.plug(FieldUnit().record(3))
    await world.gateway.waveform(HERE, 0)
    await world.gateway.drop(HERE, "asked to")
    counts = disk.read(maintenance.count_rows)
    assert (counts["cached_events"], counts["cached_waveforms"]) == (0, 0)
    assert (counts["recordings"], counts["recording_waveforms"]) == (3, 1)
    await world.restart()
    with pytest.raises(NotCachedError):
        await world.gateway.events(HERE, UNASKED)
    assert (await world.gateway.events(HERE)).provenance.epoch == 1
    assert world.cache.epoch(KEY).number == 1


@in_virtual_time
async def test_a_flipped_byte_on_disk_is_found_reported_and_read_again(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    whole = await world.gateway.waveform(HERE, 0)
    flip_a_byte(disk)
    await world.restart()
    answer = await world.gateway.waveform(HERE, 0)
    assert answer.value == whole.value
    assert answer.provenance.source == "device"
    assert world.gateway.store_service.state()["damaged"] == 1
    kinds = [finding["kind"] for finding in disk.read(archive.load_findings)]
    assert kinds == ["mended", "damaged"]
    await world.restart()
    assert (await world.gateway.waveform(HERE, 0)).provenance.source == "disk"
    assert unit.heard


def flip_a_byte(disk: Any) -> None:
    with disk.engines.write() as connection:
        frame = connection.exec_driver_sql("SELECT counts FROM recording_waveforms").scalar()
        bad = bytearray(frame)
        bad[len(bad) // 2] ^= 1
        connection.exec_driver_sql("UPDATE recording_waveforms SET counts = ?", (bytes(bad),))


@in_virtual_time
async def test_what_was_looked_up_on_disk_before_an_erase_was_found_is_no_last_known_answer(
    world: World,
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(1))
    await world.gateway.waveform(HERE, 0)
    await world.restart()
    unit.erase()
    unit.record(1, axis=1)
    unit.ignores.add(0x5A)  # the new event is found, and cannot be downloaded
    with pytest.raises(ReplyTimeoutError):
        await world.gateway.waveform(HERE, 0, Freshness(stale_if_error_s=600.0))
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()
