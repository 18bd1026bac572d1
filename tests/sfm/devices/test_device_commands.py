from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import fields as fields_of
from datetime import timedelta
from typing import Any
from unittest import mock

import httpx
import pytest
from kit.api_page import api_page
from kit.relay_world import (
    ELSEWHERE,
    HERE,
    KEY,
    ROUTE,
    FieldUnit,
    World,
    in_virtual_time,
    listed_events,
)
from kit.virtual_time import now_s
from sqlalchemy import update

from minimateplus.errors import (
    LinkClosedError,
    MemoryChangedError,
    MiniMateError,
    NotWritableError,
    OutcomeUnknownError,
    ReadBackError,
    ReplyTimeoutError,
    SettingError,
)
from minimateplus.link import Address
from minimateplus.model import CallHomeChange, SetupChange
from minimateplus.simulator.faulty_links import FaultyLink
from minimateplus.wire.commands import COMMANDS
from sfm.access.principal import Principal, Role
from sfm.api.app import build_app
from sfm.api.problems import problem_of
from sfm.cache.freshness import FORCED, Freshness
from sfm.devices.commands import CommandConflictError, Commands, Done, NotMonitoringError
from sfm.devices.gateway import as_target
from sfm.devices.single_flight import BusyError, ShuttingDownError
from sfm.store import audit as store_audit
from sfm.store import maintenance, mirror, schema
from sfm.store.errors import StoreFullError

ME = Principal("me", Role.ADMIN, "127.0.0.1")
Order = Callable[[Commands, Address], Coroutine[Any, Any, Done]]

ORDERS: dict[str, Order] = {
    "start": lambda c, a: c.start_monitoring(a, ME, follow=False),
    "stop": lambda c, a: c.stop_monitoring(a, ME, follow=False),
    "config": lambda c, a: c.change_setup(a, ME, SetupChange(record_time_s=3.0)),
    "call home": lambda c, a: c.change_call_home(a, ME, CallHomeChange(enabled=True)),
    "erase": lambda c, a: c.erase(a, ME, serial="SIM0001", count=2, discard_unarchived=True),
    "rescue": lambda c, a: c.rescue(a, ME, serial="SIM0001", erase=True),
}


def commands_of(world: World) -> Commands:
    return Commands(world.gateway, wall=world.wall, clock=now_s)


def changed(unit: FieldUnit) -> list[int]:
    return [sub for sub in unit.heard if COMMANDS[sub].changes]


async def audit(world: World) -> list[dict[str, Any]]:
    entries = await world.gateway.store_service.read(store_audit.load_latest, 1000)
    return list(reversed(entries))


def ignore_progress(_: object) -> None:
    """What a person at the keypad hears of it."""


# --- what they do ---------------------------------------------------------------------------------


@in_virtual_time
async def test_a_start_is_followed_until_the_unit_monitors(world: World) -> None:
    unit = world.plug(FieldUnit())
    began = now_s()
    done = await commands_of(world).start_monitoring(HERE, ME)
    assert (done.outcome, done.detail["monitoring"]) == ("done", True)
    assert 40 <= now_s() - began <= 46
    assert changed(unit) == [0x96]
    log = world.gateway.progress(HERE)
    steps = [entry.data for entry in log._entries if entry.kind == "step"]
    assert [step["done"] for step in steps][-2:] == [35.0, 40.0]
    assert {step["total"] for step in steps} == {40.0}
    last = [entry.kind for entry in log._entries if entry.data["resource"] == "monitor_start"][-1]
    assert last == "done"  # else who follows waits for the next step for ever


@in_virtual_time
async def test_the_following_of_a_start_gives_up_after_a_minute(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.start_monitoring = lambda: None  # type: ignore[method-assign]
    began = now_s()
    with pytest.raises(NotMonitoringError, match="does not monitor 60 s later") as caught:
        await commands_of(world).start_monitoring(HERE, ME)
    assert (problem_of(caught.value).status, problem_of(caught.value).kind) == (
        409,
        "not-monitoring",
    )
    assert caught.value.seen["monitoring"] is False
    assert 60 <= now_s() - began <= 66


@in_virtual_time
async def test_others_are_served_while_a_start_is_followed(world: World) -> None:
    world.plug(FieldUnit().record(2))
    start = asyncio.create_task(commands_of(world).start_monitoring(HERE, ME))
    await world.pause(7)
    assert len((await world.gateway.events(HERE)).value) == 2
    assert not start.done()
    assert (await start).detail["monitoring"] is True


@in_virtual_time
async def test_a_stop_says_that_the_unit_has_stopped(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.start_monitoring()
    done = await commands_of(world).stop_monitoring(HERE, ME)
    assert (done.outcome, done.detail) == ("done", {"monitoring": False})


@in_virtual_time
async def test_a_stop_without_waiting_has_an_unknown_outcome(
    world: World,
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.start_monitoring()

    done = await commands_of(world).stop_monitoring(HERE, ME, wait_for_reply=False)
    assert done.outcome == "unknown"
    await world.pause(1)
    assert changed(unit) == [0x97]
    assert [e["outcome"] for e in await audit(world)] == ["begun", "unknown"]


@in_virtual_time
async def test_new_settings_show_at_once_and_old_ones_never_again(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.info(HERE)
    await world.gateway.events(HERE)
    done = await commands_of(world).change_setup(HERE, ME, SetupChange(record_time_s=5.0))
    assert [(c["field"], c["before"], c["after"]) for c in done.detail["changes"]] == [
        ("record_time_s", 1.0, 5.0)
    ]
    info = await world.gateway.info(HERE)
    assert info.value["setup"]["record_time_s"] == 5.0
    assert info.provenance.source == "device"
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()


@in_virtual_time
async def test_a_dry_run_sends_nothing_and_invalidates_nothing(world: World) -> None:
    unit = world.plug(FieldUnit())
    await world.gateway.info(HERE)
    done = await commands_of(world).change_setup(
        HERE, ME, SetupChange(record_time_s=5.0), dry_run=True
    )
    assert (done.outcome, changed(unit)) == ("dry_run", [])
    assert (await world.gateway.info(HERE)).provenance.source == "cache"


@in_virtual_time
async def test_an_erase_shows_an_empty_list_and_the_archive_keeps_everything(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    for index in range(2):
        await world.gateway.waveform(HERE, index)
    epoch = (await world.gateway.events(HERE)).provenance.epoch
    done = await commands_of(world).erase(HERE, ME, serial="SIM0001", count=2)
    assert (done.outcome, done.detail) == (
        "done",
        {"erased": 2, "not_archived": [], "contradicted": []},
    )
    assert unit.events == []
    after = await world.gateway.events(HERE)
    # One erase begins one epoch, although it is dropped before and after the erase's exchanges.
    assert (after.value, after.provenance.epoch) == ([], epoch + 1)
    assert disk.read(maintenance.count_rows)["recording_waveforms"] == 2


@in_virtual_time
async def test_a_rescue_switches_call_home_off_erases_and_hangs_up(world: World) -> None:
    unit = world.plug(FieldUnit().record(3))
    await commands_of(world).change_call_home(HERE, ME, CallHomeChange(enabled=True))
    unit.corrupt_next[unit.events[1].key] = unit.events[0].key
    called = world.called
    done = await commands_of(world).rescue(HERE, ME, serial="SIM0001", erase=True)
    assert (done.outcome, done.detail["erased"], unit.events) == ("done", True, [])
    assert world.open[HERE] == 0
    assert world.called - called <= 1
    assert (await world.gateway.call_home(HERE)).value["enabled"] is False


# --- what is refused ------------------------------------------------------------------------------


@in_virtual_time
async def test_an_erase_of_another_unit_or_another_number_is_refused(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    orders = commands_of(world)
    for serial, count, reason in (
        ("SIM0002", 2, "serial-differs"),
        ("SIM0001", 1, "count-differs"),
        ("SIM0001", 3, "count-differs"),
    ):
        with pytest.raises(CommandConflictError) as caught:
            await orders.erase(HERE, ME, serial=serial, count=count, discard_unarchived=True)
        assert caught.value.reason == reason
        assert caught.value.outcome == "refused"  # type: ignore[attr-defined]
    assert (len(unit.events), changed(unit)) == (2, [])


@in_virtual_time
async def test_the_number_is_the_units_own_and_not_the_caches(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.events(HERE)
    unit.record()
    with pytest.raises(CommandConflictError, match="stores 3 events"):
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=2)
    assert len(unit.events) == 3


@in_virtual_time
async def test_what_is_not_in_the_archive_with_its_samples_is_not_erased(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(3))
    await world.gateway.waveform(HERE, 1)
    with pytest.raises(CommandConflictError) as caught:
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=3)
    facts = caught.value.facts
    assert (caught.value.reason, facts["unarchived"], facts["contradicted"]) == (
        "not-archived", [0, 2], []
    )  # fmt: skip
    assert [one["waveform_key"] for one in facts["missing"]] == [
        unit.events[index].key.hex() for index in (0, 2)
    ]
    assert len(unit.events) == 3
    done = await commands_of(world).erase(
        HERE, ME, serial="SIM0001", count=3, discard_unarchived=True
    )
    assert (done.detail, unit.events) == (
        {"erased": 3, "not_archived": [0, 2], "contradicted": []},
        [],
    )


@in_virtual_time
async def test_without_an_archive_nothing_is_archived(world: World) -> None:
    unit = world.plug(FieldUnit().record(1))
    await world.gateway.waveform(HERE, 0)
    with pytest.raises(CommandConflictError, match="not in the archive"):
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=1)
    assert len(unit.events) == 1


@in_virtual_time
async def test_samples_that_wait_for_a_failing_database_are_not_archived(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(1))
    await world.gateway.events(HERE)
    disk.fail(StoreFullError("no room"))
    await world.gateway.waveform(HERE, 0)
    with pytest.raises(StoreFullError):
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=1)
    assert (len(unit.events), changed(unit)) == (1, [])


@in_virtual_time
async def test_an_event_recorded_between_the_halves_of_an_erase_saves_everything(
    world: World,
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    unit.at_next(0xA3, lambda: ignore_progress(unit.record()))
    with pytest.raises(CommandConflictError, match="not confirmed") as caught:
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=2, discard_unarchived=True)
    assert caught.value.reason == "memory-changed"
    assert len(unit.events) == 3
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()


@in_virtual_time
async def test_a_memory_recorded_anew_under_the_same_keys_is_not_erased(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    for index in range(2):
        await world.gateway.waveform(HERE, index)

    def record_anew() -> None:
        unit.erase()
        unit.record(2, axis=1)

    # Four requests of that SUB prove the walk; the fifth comes just before the erase.
    unit.at_next_time(0x08, 5, record_anew)
    with pytest.raises(CommandConflictError, match="lifetime counter") as caught:
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=2)
    assert (caught.value.reason, changed(unit)) == ("memory-changed", [])
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()


@in_virtual_time
async def test_an_empty_memory_is_not_erased_again(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    done = await commands_of(world).erase(HERE, ME, serial="SIM0001", count=0)
    assert (done.outcome, done.detail) == (
        "unchanged",
        {"erased": 0, "not_archived": [], "contradicted": []},
    )
    assert changed(unit) == []


@in_virtual_time
async def test_samples_that_are_not_what_their_hash_says_are_not_archived(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    for index in range(2):
        await world.gateway.waveform(HERE, index)
    with disk.engines.write() as connection:
        waveforms = schema.recording_waveforms
        connection.execute(update(waveforms).where(waveforms.c.id == 2).values(image=b"rotten"))
    with pytest.raises(CommandConflictError) as caught:
        await commands_of(world).erase(HERE, ME, serial="SIM0001", count=2)
    assert (caught.value.facts["unarchived"], caught.value.facts["contradicted"]) == ([1], [])
    assert len(unit.events) == 2


@in_virtual_time
async def test_settings_for_another_unit_are_refused(world: World) -> None:
    unit = world.plug(FieldUnit())
    with pytest.raises(CommandConflictError, match="SIM0001 answers"):
        await commands_of(world).change_setup(
            HERE, ME, SetupChange(record_time_s=5.0), serial="BE00001"
        )
    with pytest.raises(CommandConflictError):
        await commands_of(world).rescue(HERE, ME, serial="BE00001")
    assert changed(unit) == []


@in_virtual_time
async def test_a_command_whose_caller_waited_too_long_is_never_given(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    await world.with_settings(queue_s=5.0)
    await world.gateway.info(HERE)
    await world.gateway.registry.devices[KEY].single_flight._lock.acquire()
    world.gateway.registry.devices[KEY].single_flight._queue_s = 5.0
    with pytest.raises(BusyError):
        await commands_of(world).start_monitoring(HERE, ME)
    world.gateway.registry.devices[KEY].single_flight._lock.release()
    await world.pause(100)
    assert changed(unit) == []


@in_virtual_time
async def test_a_caller_who_goes_away_leaves_a_command_that_is_finished(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())

    def go_away() -> None:
        asking.cancel()

    unit.at_next(0x68, go_away)
    asking = asyncio.create_task(
        commands_of(world).change_setup(HERE, ME, SetupChange(record_time_s=3.0))
    )
    with pytest.raises(asyncio.CancelledError):
        await asking
    await world.pause(60)
    assert unit.setup.record_time_s == 3.0
    assert [e["outcome"] for e in await audit(world)] == ["begun", "done"]


# --- promise 2 and 12 -----------------------------------------------------------------------------


class CutAfter(FaultyLink):
    """Cuts the link at the n-th reply: before it, or instead of hearing the request."""

    def __init__(self, inner: Any, unit: FieldUnit, sub: int, *, heard: bool) -> None:
        super().__init__(inner)
        self.unit, self.sub, self.heard = unit, sub, heard

    async def send(self, data: bytes) -> None:
        if self.heard and self.unit.heard and self.unit.heard[-1] == self.sub:
            await self.close()
            raise LinkClosedError("cut")
        await super().send(data)


@pytest.mark.parametrize("name", ORDERS)
@in_virtual_time
async def test_a_lost_acknowledgement_is_unknown_never_repeated_and_doubted(
    world: World, name: str
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.info(HERE)
    await world.gateway.events(HERE)
    await world.gateway.monitor_status(HERE)
    last = {"start": 0x96, "stop": 0x97, "config": 0x72, "call home": 0x7F}.get(name, 0xA2)
    await world.cut()
    await world.pause(30)
    world.wrap_link = lambda inner: CutAfter(inner, unit, last, heard=True)
    with pytest.raises(OutcomeUnknownError) as caught:
        await ORDERS[name](commands_of(world), HERE)
    assert caught.value.outcome == "unknown"  # type: ignore[attr-defined]
    world.wrap_link = FaultyLink
    assert (await audit(world))[-1]["outcome"] == "unknown"
    sent = changed(unit)
    await world.pause(120)
    assert changed(unit) == sent, "something was repeated"
    assert sent.count(last) <= 1 + (name == "config")
    # It had happened; no answer shows what was before.
    assert listed_events((await world.gateway.events(HERE)).value) == unit.truth()
    info = (await world.gateway.info(HERE)).value
    assert info["setup"]["record_time_s"] == unit.setup.record_time_s
    status = await world.gateway.monitor_status(HERE)
    assert status.provenance.source == "device"


@pytest.mark.parametrize("name", ORDERS)
@in_virtual_time
async def test_a_kept_line_that_died_is_replaced_before_the_command_and_not_after(
    world: World, name: str
) -> None:
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.events(HERE)
    await world.cut()
    done = await ORDERS[name](commands_of(world), HERE)
    assert done.outcome == "done"
    assert all(changed(unit).count(sub) <= 3 for sub in set(changed(unit)))


@in_virtual_time
async def test_a_status_of_before_a_start_is_not_shown_after_it(world: World) -> None:
    world.plug(FieldUnit())
    before = await world.gateway.monitor_status(HERE)
    await commands_of(world).start_monitoring(HERE, ME, follow=False)
    after = await world.gateway.monitor_status(HERE)
    assert (before.provenance.source, after.provenance.source) == ("device", "device")
    assert after.provenance.why == "miss"


@in_virtual_time
async def test_what_was_read_while_a_command_was_given_is_not_kept(world: World) -> None:
    world.plug(FieldUnit().record(1))
    await world.gateway.info(HERE)
    generation = world.cache.generation(KEY)
    await commands_of(world).start_monitoring(HERE, ME, follow=False)
    assert world.cache.generation(KEY) >= generation + 2


@in_virtual_time
async def test_settings_are_forgotten_on_disk_before_the_first_byte_goes_out(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(1))
    await world.gateway.info(HERE)
    seen: list[object] = []

    def look() -> None:
        found = disk.read(mirror.load, KEY)
        seen.append(found.info if found else "no row")

    unit.at_next(0x68, look)
    await ORDERS["config"](commands_of(world), HERE)
    assert seen == [None]
    await world.restart()
    old = Freshness(only_if_cached=True)
    present = world.gateway.cached_info(as_target(HERE), old)
    assert present is None


@in_virtual_time
async def test_after_a_command_a_swapped_unit_shows_nothing_of_the_other(world: World) -> None:
    world.plug(FieldUnit().record(2))
    await world.gateway.events(HERE)
    other = world.plug(FieldUnit("SIM0009").record(1, axis=1))
    await world.cut()
    with pytest.raises(CommandConflictError, match="SIM0009 answers"):
        await ORDERS["erase"](commands_of(world), HERE)
    assert listed_events((await world.gateway.events(HERE)).value) == other.truth()


@in_virtual_time
async def test_a_command_to_one_unit_doubts_nothing_of_another(world: World) -> None:
    world.plug(FieldUnit().record(2))
    world.plug(FieldUnit("SIM0002").record(2), ELSEWHERE)
    await world.gateway.info(ELSEWHERE)
    for name in ORDERS:
        if name != "rescue":
            await ORDERS[name](commands_of(world), HERE)
    assert (await world.gateway.info(ELSEWHERE)).provenance.source == "cache"


@in_virtual_time
async def test_an_erase_that_left_events_is_not_called_done(world: World) -> None:
    unit = world.plug(FieldUnit().record(2))
    unit.erase = lambda: None  # type: ignore[method-assign]
    with pytest.raises(ReadBackError, match="not empty"):
        await ORDERS["erase"](commands_of(world), HERE)


@in_virtual_time
async def test_the_clock_drift_is_reported_with_the_zone_used(
    world: World,
) -> None:
    await world.with_disk(site_zones={"SIM0001": "Europe/Oslo"})
    unit = world.plug(FieldUnit())
    oslo = world.wall().replace(tzinfo=None) + timedelta(hours=2)
    unit.set_clock(oslo + timedelta(seconds=95))
    status = (await world.gateway.monitor_status(HERE, FORCED)).value
    assert (status["clock_zone"], round(status["clock_drift_s"])) == ("Europe/Oslo", 95)
    assert status["clock_settable"] is False


# --- the trace ------------------------------------------------------------------------------------


@in_virtual_time
async def test_each_command_leaves_two_entries_that_say_who_what_and_how_it_ended(
    world: World,
) -> None:
    await world.with_disk()
    world.plug(FieldUnit().record(2))
    for name in ORDERS:
        if name != "rescue":
            await ORDERS[name](commands_of(world), HERE)
    entries = await audit(world)
    assert [(e["phase"], e["outcome"]) for e in entries] == [
        ("begun", "begun"),
        ("ended", "done"),
    ] * 5
    assert {e["of"] for e in entries if e["phase"] == "ended"} == {1, 3, 5, 7, 9}
    assert {(e["actor"], e["role"], e["origin"], e["unit"]) for e in entries} == {
        ("me", "admin", "127.0.0.1", ROUTE)
    }
    config = next(e for e in entries if e["command"] == "config" and e["phase"] == "ended")
    assert config["detail"]["changes"][0]["field"] == "record_time_s"
    verdict = await world.gateway.store_service.read(store_audit.verify)
    assert (verdict.is_sound, verdict.count) == (True, 10)


@pytest.mark.parametrize("name", ORDERS)
@in_virtual_time
async def test_a_command_that_cannot_be_noted_is_not_given(world: World, name: str) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.events(HERE)
    disk.fail(StoreFullError("no room"))
    with pytest.raises(StoreFullError):
        await ORDERS[name](commands_of(world), HERE)
    assert changed(unit) == []


@in_virtual_time
async def test_a_relay_that_is_stopped_notes_what_it_does_not_know(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    asking = asyncio.create_task(ORDERS["config"](commands_of(world), HERE))
    stopping: list[asyncio.Task[None]] = []
    unit.at_next(0x71, lambda: stopping.append(asyncio.ensure_future(world.gateway.close())))
    unit.ignores.add(0x71)
    with pytest.raises(Exception, match="shutting down"):
        await asking
    await stopping[0]
    entries = disk.read(store_audit.load_latest, 10)
    assert [e["outcome"] for e in entries] == ["unknown", "begun"]


@in_virtual_time
async def test_a_relay_that_is_stopped_while_it_notes_a_beginning_notes_an_end(
    world: World,
) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit().record(2))
    await world.gateway.info(HERE)

    async def slowly(verb: Callable[[], Any], is_write: bool, /) -> Any:
        await world.pause(1)
        return verb()

    world.gateway.store_service.executor.run = slowly
    asking = asyncio.create_task(ORDERS["config"](commands_of(world), HERE))
    await world.pause(0.5)
    await world.gateway.close()
    with pytest.raises(ShuttingDownError):
        await asking
    assert [e["outcome"] for e in disk.read(store_audit.load_latest, 10)] == ["failed", "begun"]
    assert changed(unit) == []


@in_virtual_time
async def test_a_relay_that_is_stopped_while_a_command_goes_on_with_another_unit_notes_an_end(
    world: World,
) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit())
    registry, stopping = world.gateway.registry, list[asyncio.Task[None]]()
    load_unit = registry.load_unit

    async def slowly(serial: str) -> bool:
        stopping.append(asyncio.create_task(world.gateway.close()))
        await world.pause(1)
        return await load_unit(serial)

    with (
        mock.patch.object(registry, "load_unit", slowly),
        pytest.raises(ShuttingDownError),
    ):
        await ORDERS["stop"](commands_of(world), HERE)
    await asyncio.gather(*stopping)
    assert [e["outcome"] for e in disk.read(store_audit.load_latest, 10)] == ["failed", "begun"]
    assert changed(unit) == []


@in_virtual_time
async def test_a_relay_that_is_stopped_while_it_notes_an_end_notes_it(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit())

    async def slowly(verb: Callable[[], Any], is_write: bool, /) -> Any:
        if is_write and changed(unit) and not stopping:
            stopping.append(asyncio.create_task(world.gateway.close()))
            await world.pause(1)
        return verb()

    stopping: list[asyncio.Task[None]] = []
    world.gateway.store_service.executor.run = slowly
    with pytest.raises(ShuttingDownError):
        await ORDERS["stop"](commands_of(world), HERE)
    await asyncio.gather(*stopping)
    assert [e["outcome"] for e in disk.read(store_audit.load_latest, 10)] == ["done", "begun"]


@in_virtual_time
async def test_a_relay_stopped_while_it_polls_reports_that_the_command_was_done(
    world: World,
) -> None:
    world.plug(FieldUnit())
    starting = asyncio.create_task(commands_of(world).start_monitoring(HERE, ME))
    await world.pause(12)
    await world.gateway.close()
    done = await starting
    assert (done.outcome, done.detail["monitoring"]) == ("done", None)
    assert "shutting down" in done.detail["poll_failed"]


# --- over HTTP ------------------------------------------------------------------------------------


async def post(world: World, path: str, body: Any = None, **query: Any) -> httpx.Response:
    app = build_app(world.settings, world.gateway)
    app.state.commands = commands_of(world)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        params = {"host": "unit.invalid", **query}
        method = "GET" if body == "GET" else "POST"
        json = None if body == "GET" else body
        return await client.request(method, path, params=params, json=json, timeout=None)


@in_virtual_time
async def test_the_routes_say_what_the_commands_did(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(1))
    dry = await post(world, "/device/config", {"record_time_s": 3}, dry_run="true")
    assert dry.status_code == 200
    assert (dry.json()["outcome"], dry.json()["changes"][0]["bytes"]) == (
        "dry_run",
        [{"offset": 18, "before": "3f800000", "after": "40400000"}],
    )
    assert dry.headers["X-Simulated"] == "true"
    done = (await post(world, "/device/config", {"record_time_s": 3, "mode": "single_shot"})).json()
    assert (done["outcome"], done["audit_number"]) == ("done", 4)
    started = (await post(world, "/device/monitor/start")).json()
    assert (started["outcome"], started["monitoring"]) == ("done", True)
    stopped = await post(world, "/device/monitor/stop", follow="false")
    assert (stopped.status_code, stopped.json()["monitoring"]) == (200, None)
    home = (await post(world, "/device/call_home", {"first_time": "06:30"})).json()
    assert home["outcome"] == "done"
    assert (await post(world, "/device/call_home", "GET")).json()["first_time"] == "06:30"
    refused = await post(world, "/device/events/erase", {"serial": "SIM0001", "count": 1})
    assert refused.status_code == 409
    problem = refused.json()
    assert (problem["outcome"], problem["reason"], problem["unarchived"]) == (
        "refused",
        "not-archived",
        [0],
    )
    body = {"serial": "SIM0001", "count": 1, "discard_unarchived": True}
    erased = await post(world, "/device/events/erase", body)
    assert (erased.status_code, erased.json()["erased"], unit.events) == (200, 1, [])
    rescued = await post(world, "/device/rescue", {"serial": "SIM0001"})
    assert rescued.json()["outcome"] == "unchanged"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/device/config", {"record_time_s": 0.1}, "record_time_s"),
        ("/device/config", {"colour": "red"}, "colour"),
        ("/device/config", {"sample_rate_hz": "fast"}, "sample_rate_hz"),
        ("/device/config", {"mode": "fast"}, "mode"),
        ("/device/call_home", {"first_time": "25:00"}, "first_time"),
        ("/device/events/erase", {"count": 1}, "serial"),
        ("/device/events/erase", {"serial": "SIM0001"}, "count"),
        ("/device/rescue", {}, "serial"),
    ],
)
@in_virtual_time
async def test_a_wrong_body_names_the_field_and_sends_nothing(
    world: World, path: str, body: Any, field: str
) -> None:
    unit = world.plug(FieldUnit().record(1))
    response = await post(world, path, body)
    assert response.status_code == 422
    assert [e["field"] for e in response.json()["errors"]] == [field]
    assert changed(unit) == []


def settings_on_the_page() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each setting that is no switch: where it is written, its name, what the API's page says."""
    paths = api_page()["paths"]
    for path in ("/device/config", "/device/call_home"):
        body = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for name, declared in body["properties"].items():
            reported = declared["anyOf"][0] | declared
            if name != "serial" and reported["type"] != "boolean":
                yield path, name, reported


def edges(name: str, declared: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What a unit takes by that page at the edge, and what just not."""
    if name == "mode":
        return declared["enum"], ["?"]
    if "enum" in declared:
        choices = [choice for choice in declared["enum"] if choice is not None]
        return choices, [min(choices) / 2, max(choices) * 2]
    if "minimum" in declared:
        low, high = declared["minimum"], declared["maximum"]
        step = 1 if declared["type"] == "integer" else 0.00001
        return [low, high], [low - step, high + step]
    if declared.get("x-unit") == "HH:MM":
        return ["00:00", "23:59"], ["24:00", "7:00"]
    assert "pattern" in declared
    # How much of the other texts fits, the unit's own block says.
    most = declared["maxLength"] if name == "dial" else 40
    beyond = "\u00e9" if name == "dial" else "\u5317"
    letters = [] if name == "dial" else ["\u00c3\u00d5\u0160\u20ac\u00ff"]
    return ["", "~" * most, *letters], ["~" * (declared["maxLength"] + 1), beyond]


ON_THE_PAGE = {name: (path, declared) for path, name, declared in settings_on_the_page()}


def test_the_page_of_the_api_says_what_each_setting_may_be() -> None:
    fields = [f for kind in (SetupChange, CallHomeChange) for f in fields_of(kind)]
    assert set(ON_THE_PAGE) == {f.name for f in fields if "bool" not in str(f.type)}


@pytest.mark.parametrize("name", ON_THE_PAGE)
@in_virtual_time
async def test_what_the_page_says_of_a_setting_is_what_the_relay_takes(
    world: World, name: str
) -> None:
    path, declared = ON_THE_PAGE[name]
    unit = world.plug(FieldUnit())
    # Levels and range are held against each other: these go with any of them.
    others: dict[str, Any] = {}
    if name.endswith("_in_s"):
        others = {"trigger_level_in_s": 0.02, "alarm_level_in_s": 0.02, "geo_range_in_s": 10}
    if name == "trigger_level_in_s":
        others["alarm_level_in_s"] = 10
    right, wrong = edges(name, declared)
    for value in right:
        taken = await post(world, path, {**others, name: value}, dry_run="true")
        assert taken.status_code == 200, taken.text
    for value in wrong:
        refused = await post(world, path, {**others, name: value}, dry_run="true")
        assert refused.status_code == 422, value
        assert [e["field"] for e in refused.json()["errors"]] == [name]
    assert changed(unit) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OutcomeUnknownError("x"), 502),
        (ReadBackError("x"), 502),
        (NotWritableError("x"), 502),
        (SettingError("f", "x"), 422),
        (CommandConflictError("x", "count-differs"), 409),
        (MemoryChangedError("x"), 503),
    ],
)
def test_each_end_of_a_command_has_its_status(error: Exception, status: int) -> None:
    assert problem_of(error).status == status


def test_a_command_that_was_not_answered_in_time_is_504() -> None:
    error: MiniMateError = OutcomeUnknownError("x")
    error.__cause__ = ReplyTimeoutError("y")
    assert problem_of(error).status == 504


@in_virtual_time
async def test_a_setting_larger_than_any_float_of_the_wire_is_refused_and_noted(
    world: World,
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit().record(1))
    answer = await post(world, "/device/config", {"record_time_s": 1e300})
    assert answer.status_code == 422
    assert not changed(unit)
    begun, ended = await audit(world)
    assert (begun["detail"]["record_time_s"], ended["outcome"]) == (1e300, "refused")
