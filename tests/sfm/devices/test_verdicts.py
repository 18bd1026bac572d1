"""Verdicts in lists: by the unit's peaks, cheap on a hit, and new when limits change."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from kit.access_world import LOCAL, protected_app_of
from kit.field_memory import alter, histogram_body
from kit.http_requests import ask
from kit.inline_worker import InlineWorker
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from sfm.access.principal import Role
from sfm.devices.analyses import Analyses
from sfm.records.verdicts import Judge
from sfm.store import archive

UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
PLASTER = "usbm-ri8507-plaster"


async def events(world: World, **more: Any) -> Any:
    return await ask(world, "/device/events", **UNIT, **more)


async def tell(world: World, method: str, path: str, body: Any = None) -> Any:
    answer = await ask(world, path, method, **({} if body is None else {"json": body}))
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def choose(world: World, *curves: str, **more: Any) -> None:
    await tell(world, "PUT", "/limit-choices", {"curves": list(curves), **more})


def verdict_of(answer: Any, index: int = 0) -> Any:
    [verdict] = answer.json()["events"][index]["verdicts"]
    return verdict


def record(unit: FieldUnit, *peaks_in_s: float) -> None:
    """Record events whose Tran peaks are these, on the range of 10 in/s."""
    for number, peak in enumerate(peaks_in_s):
        counts = np.zeros((4, 64), np.int16)
        counts[0, 20] = round(peak / 0.005)
        counts[1, 30] = number + 1
        counts[3, 40] = 10
        unit.record_event(counts=counts)


@in_virtual_time
async def test_without_a_choice_the_list_has_the_reason(world: World) -> None:
    await world.with_disk()
    record(world.plug(FieldUnit()), 0.05)
    [event] = (await events(world)).json()["events"]
    assert (event["verdicts"], event["no_verdict"]) == ([], "no-curve-chosen")


@in_virtual_time
async def test_peaks_alone_comply_exceed_or_leave_it_open(world: World) -> None:
    await world.with_disk()
    record(world.plug(FieldUnit()), 0.05, 2.5, 1.0)
    await choose(world, PLASTER)
    answer = await events(world)
    found = [verdict_of(answer, index) for index in range(3)]
    assert [(one["outcome"], one["results"], one["bound"]) for one in found] == [
        ("complies", "peaks", None),
        ("exceeds", "peaks", ">"),
        ("no_verdict", "peaks", ">"),
    ]
    assert [one["reason"] for one in found] == [None, None, "frequency-unknown"]
    # The strictest value is 2 pi 1 Hz 0.030 in, the most permissive 2 in/s.
    assert [one["share_percent"] for one in found] == [26.53, 125.0, 50.0]


@in_virtual_time
async def test_another_choice_changes_the_tag_and_a_hit_costs_no_exchange(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    record(unit, 1.0)
    await choose(world, PLASTER)
    first = await events(world)
    spent = len(unit.heard)
    hit = await events(world, only_if_cached=True)
    assert hit.headers["etag"] == first.headers["etag"]
    await choose(world, "npc119")
    changed = await events(world, only_if_cached=True)
    assert changed.headers["etag"] != first.headers["etag"]
    assert verdict_of(changed)["curve"] == "npc119"
    assert len(unit.heard) == spent
    headers = {"if-none-match": first.headers["etag"]}
    assert (await events(world, only_if_cached=True, headers=headers)).status_code == 200
    headers = {"if-none-match": changed.headers["etag"]}
    assert (await events(world, only_if_cached=True, headers=headers)).status_code == 304
    await choose(world, PLASTER)
    again = await events(world, only_if_cached=True)
    assert again.headers["etag"] == first.headers["etag"]


@in_virtual_time
async def test_every_change_that_matters_reaches_a_cached_list(world: World) -> None:
    await world.with_disk()
    record(world.plug(FieldUnit()), 1.0)
    await events(world)
    serial = "SIM0001"
    await tell(world, "POST", "/locations", {"name": "North", "project": "Tunnel"})
    await choose(world, "npc119", project="tunnel")
    assert (await events(world, only_if_cached=True)).json()["events"][0]["verdicts"] == []
    # The unit is put there: the project's choice counts.
    body = {"serial": serial, "from_device_time": "2000-01-01T00:00:00"}
    await tell(world, "POST", "/locations/North/unit", body)
    assert verdict_of(await events(world, only_if_cached=True))["curve"] == "npc119"
    # Airblast needs the microphone's corner, which is a field of the unit.
    await choose(world, "osmre-airblast", location="North")
    assert verdict_of(await events(world, only_if_cached=True))["reason"] == "parameter-missing"
    await tell(world, "PATCH", f"/units/{serial}", {"microphone_low_hz": 2})
    assert verdict_of(await events(world, only_if_cached=True))["reason"] != "parameter-missing"
    # A disputed curve is off again.
    await tell(world, "PUT", "/limits/osmre-figure-1/confirmation", {"by": "Ada"})
    await choose(world, "osmre-figure-1", location="North")
    assert verdict_of(await events(world, only_if_cached=True))["reason"] == "frequency-unknown"
    await tell(world, "DELETE", "/limits/osmre-figure-1/confirmation")
    assert verdict_of(await events(world, only_if_cached=True))["reason"] == "disputed"


@in_virtual_time
async def test_the_tag_of_one_event_does_not_depend_on_limits(world: World) -> None:
    await world.with_disk()
    record(world.plug(FieldUnit()), 1.0)
    await events(world)
    before = await ask(world, "/device/event/0", **UNIT)
    await choose(world, PLASTER)
    after = await ask(world, "/device/event/0", **UNIT)
    assert after.headers["etag"] == before.headers["etag"]
    assert "verdicts" not in after.json()


@in_virtual_time
async def test_a_relay_without_a_database_judges_by_its_region(world: World) -> None:
    await world.with_settings(region="US")
    record(world.plug(FieldUnit()), 2.5)
    [event] = (await events(world)).json()["events"]
    ground, air = event["verdicts"]
    assert (ground["curve"], ground["outcome"]) == (PLASTER, "exceeds")
    assert (air["curve"], air["reason"]) == ("osmre-airblast", "parameter-missing")


@in_virtual_time
async def test_a_restarted_relay_judges_what_it_loads(world: World) -> None:
    disk = await world.with_disk()
    record(world.plug(FieldUnit()), 2.5)
    await choose(world, PLASTER)
    first = await events(world)
    await world.restart()
    await events(world)
    again = await events(world)
    assert verdict_of(again)["outcome"] == "exceeds"
    assert again.headers["etag"] == first.headers["etag"]
    assert disk is not None


@in_virtual_time
async def test_a_new_event_is_judged_with_the_list_that_brings_it(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    record(unit, 0.05)
    await choose(world, PLASTER)
    await events(world)
    record(unit, 2.5)
    answer = await events(world)
    assert [one["verdicts"][0]["outcome"] for one in answer.json()["events"]] == [
        "complies",
        "exceeds",
    ]


@in_virtual_time
async def test_the_first_answer_knows_the_location_whose_unit_it_found(world: World) -> None:
    await world.with_disk(units={"North": str(HERE)})
    await world.gateway.roster.load()
    await choose(world, "npc119", location="North")
    record(world.plug(FieldUnit()), 1.0)
    assert verdict_of(await ask(world, "/device/events", unit="North"))["curve"] == "npc119"


@in_virtual_time
async def test_the_archive_s_page_has_the_same_verdicts(world: World) -> None:
    await world.with_disk()
    record(world.plug(FieldUnit()), 2.5)
    await choose(world, PLASTER)
    listed = verdict_of(await events(world))
    page = await ask(world, "/archive/events")
    assert verdict_of(page) == listed


@in_virtual_time
async def test_a_recording_s_verdicts_have_margin_source_and_statements(world: World) -> None:
    disk = await world.with_disk()
    record(world.plug(FieldUnit()), 2.5)
    await events(world)
    [row] = disk.opened().read(archive.load_page, archive.Wanted()).rows
    path = f"/archive/recordings/{row['id']}/verdicts"
    body = await tell(world, "GET", path)
    assert body["verdicts"] == []
    assert body["no_verdict"]["code"] == "no-curve-chosen"
    await choose(world, "din4150-3-line2")
    body = await tell(world, "GET", path)
    [one] = body["verdicts"]
    assert (one["outcome"], one["limit"], one["unit"]) == ("exceeds", 20, "mm/s")
    assert round(one["margin_percent"], 1) == round(100 * (1 - 2.5 * 25.4 / 20), 1)
    assert one["peak"]["value"] == 2.5
    assert one["mark"] == "secondary"
    assert one["sources"]
    assert any("does not meet it" in sentence for sentence in one["statements"])
    assert body["chosen_by"] == "default"
    missing = await ask(world, "/archive/recordings/00000000/verdicts")
    assert missing.status_code == 404


@in_virtual_time
async def test_an_undecoded_event_is_judged_by_its_peaks_and_says_so(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=1)
    alter(unit, body=histogram_body(), start={"samples": 60})
    await choose(world, PLASTER)
    await events(world)
    await ask(world, "/device/event/0/waveform", **UNIT)
    [row] = disk.opened().read(archive.load_page, archive.Wanted()).rows
    assert row["archived"]["samples"] == "undecoded"
    body = await tell(world, "GET", f"/archive/recordings/{row['id']}/verdicts")
    [one] = body["verdicts"]
    assert one["results"] == "peaks"
    assert "cannot be decoded" in json.dumps(one["statements"])


@in_virtual_time
async def test_a_limited_token_sees_no_verdicts_of_other_units(world: World) -> None:
    disk = await world.with_disk()
    record(world.plug(FieldUnit()), 2.5)
    await events(world)
    [row] = disk.opened().read(archive.load_page, archive.Wanted()).rows
    found = protected_app_of(world.gateway, world.settings, disk.opened(), real=True)
    path = f"/archive/recordings/{row['id']}/verdicts"
    assert (await found.ask("GET", path, **LOCAL)).status_code == 200
    secret = found.token("limited", Role.VIEWER, "BE12345")
    assert (await found.ask("GET", path, secret=secret)).status_code == 404


# --- with samples --------------------------------------------------------------------------------


def record_tone(unit: FieldUnit, peak_in_s: float, hz: float) -> None:
    """Record an event that is loudest in its middle, at 1024 samples/s on the range of 10 in/s."""
    time = np.arange(2048) / 1024
    wave = np.exp(-(((time - 1.0) / 0.3) ** 2)) * np.cos(2 * np.pi * hz * (time - 1.0))
    counts = np.zeros((4, len(time)), np.int16)
    counts[0] = np.round(wave * peak_in_s / 0.005)
    counts[1:] = np.round(wave * 0.02 / 0.005)
    unit.record_event(counts=counts)


async def followed(world: World) -> None:
    """Compute what is missing, as the relay does in the background, until nothing is."""
    background = Analyses(world.gateway.store_service, wall=world.wall, worker=InlineWorker())
    background.on_stored = world.gateway.verdicts.renew
    background.start()
    await world.pause(1)
    await background.close()


@in_virtual_time
async def test_samples_replace_the_peaks_and_change_the_tag(world: World) -> None:
    await world.with_disk()
    record_tone(world.plug(FieldUnit()), 1.0, 25.0)
    await choose(world, PLASTER)
    first = await events(world)
    assert (verdict_of(first)["results"], verdict_of(first)["outcome"]) == ("peaks", "no_verdict")
    await ask(world, "/device/event/0/waveform", **UNIT)
    await followed(world)
    answer = await events(world, only_if_cached=True)
    assert answer.headers["etag"] != first.headers["etag"]
    found = verdict_of(answer)
    assert (found["results"], found["outcome"]) == ("vendor", "complies")
    page = await ask(world, "/archive/events")
    assert verdict_of(page) == found
    assert found["frequency_hz"] is not None
    assert found["bound"] is None


@in_virtual_time
async def test_a_result_that_a_reader_asked_for_counts_at_once(world: World) -> None:
    disk = await world.with_disk()
    record_tone(world.plug(FieldUnit()), 1.0, 5.0)
    await choose(world, PLASTER)
    first = await events(world)
    await ask(world, "/device/event/0/waveform", **UNIT)
    [row] = disk.opened().read(archive.load_page, archive.Wanted()).rows
    assert (await ask(world, f"/archive/recordings/{row['id']}/analysis")).status_code == 200
    answer = await events(world, only_if_cached=True)
    assert answer.headers["etag"] != first.headers["etag"]
    assert verdict_of(answer)["outcome"] == "exceeds"
    body = await tell(world, "GET", f"/archive/recordings/{row['id']}/verdicts")
    [one] = body["verdicts"]
    assert (one["results"], one["outcome"], one["limit"]) == ("vendor", "exceeds", 0.5)
    assert one["frequency"]["unit"] == "Hz"


@in_virtual_time
async def test_a_new_result_judges_its_event_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    for peak in (0.2, 0.5, 1.0, 1.5, 2.5):
        record_tone(unit, peak, 25.0)
    await choose(world, PLASTER)
    first = (await events(world)).json()["events"]
    for index in (1, 3):
        await ask(world, f"/device/event/{index}/waveform", **UNIT)
    judged: list[Any] = []
    as_it_is = Judge.judge

    def count(self: Judge, serial: Any, event: Any, *given: Any, **more: Any) -> Any:
        judged.append(event["index"])
        return as_it_is(self, serial, event, *given, **more)

    monkeypatch.setattr(Judge, "judge", count)
    await followed(world)
    assert sorted(judged) == [1, 3]
    found = (await events(world, only_if_cached=True)).json()["events"]
    assert [one["verdicts"][0]["results"] for one in found] == [
        *("peaks", "vendor", "peaks", "vendor", "peaks")
    ]
    assert [found[index] for index in (0, 2, 4)] == [first[index] for index in (0, 2, 4)]
    # As if all were judged anew.
    await world.gateway.verdicts.renew("SIM0001")
    assert (await events(world, only_if_cached=True)).json()["events"] == found
