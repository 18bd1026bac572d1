"""Samples, texts and scales over HTTP, as met in the field: never better than they are."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.command_line import caller
from kit.field_memory import (
    KINDS,
    alter,
    cut_samples,
    damage,
    histogram_body,
    long_counts,
)
from kit.http_requests import ask
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from minimateplus.model import RecordMode
from minimateplus.simulator import payloads
from minimateplus.simulator.blast import Blast
from minimateplus.simulator.unit import DEFAULT_SETUP
from minimateplus.wire import layouts
from sfm.cli import views
from sfm.store import archive

UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
CONTRADICTED = {"samples-missing", "count-differs", "peaks-differ", "footer-differs"}


async def waveform(world: World, index: int = 0, **more: Any) -> Any:
    return await ask(world, f"/device/event/{index}/waveform", **UNIT, **more)


async def erase(world: World, count: int, **more: Any) -> Any:
    body = {"serial": "SIM0001", "count": count, **more}
    return await ask(world, "/device/events/erase", "POST", json=body, **UNIT)


async def quality(world: World, index: int = 0) -> tuple[str, list[str]]:
    """Ask for a waveform; return its quality and the codes of the reasons."""
    provenance = (await waveform(world, index)).json()["provenance"]
    return provenance["quality"], [reason["code"] for reason in provenance.get("reasons", [])]


# --- what cannot be decoded is archived all the same


@in_virtual_time
async def test_a_histogram_is_archived_whole_and_needs_no_discarding(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=1)
    unit.record_event(seed=2)
    image = alter(unit, body=histogram_body(), start={"samples": 60})
    assert (await waveform(world, 0)).status_code == 200
    answer = await waveform(world, 1)
    problem = answer.json()
    assert (answer.status_code, problem["type"].rsplit(":", 1)[1]) == (502, "samples-undecoded")
    stored = await ask(world, problem["image"])
    assert (stored.status_code, stored.content) == (200, image)
    assert (await ask(world, problem["image"].replace("image", "waveform"))).status_code == 502
    rows = (await ask(world, "/archive/events")).json()["events"]
    states = {row["index"]: row["archived"] for row in rows}
    assert states[1] == {"record": True, "image": "whole", "samples": "undecoded"}
    assert states[0] == {"record": True, "image": "whole", "samples": "decoded"}
    done = (await erase(world, 2)).json()
    assert (done["outcome"], done["not_archived"], done["contradicted"]) == ("done", [], [])


@in_virtual_time
async def test_an_undecoded_event_is_downloaded_once_for_many_readers(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=2)
    alter(unit, body=histogram_body(), start={"samples": 60})
    await waveform(world)
    heard = len(unit.heard)
    assert (await waveform(world)).status_code == 502
    assert 0x5A not in unit.heard[heard:]
    assert (await waveform(world, force="true")).status_code == 502
    assert 0x5A in unit.heard[heard:]


@in_virtual_time
async def test_a_simulated_unit_in_histogram_mode_stores_what_nobody_decodes(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.setup = layouts.parse_setup(
        payloads.setup_block(replace(DEFAULT_SETUP, mode=RecordMode.HISTOGRAM))
    )
    unit.record_event(seed=1)
    answer = await waveform(world)
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[1]) == (
        502,
        "samples-undecoded",
    )


@in_virtual_time
async def test_what_came_of_a_cut_download_is_archived_when_its_epoch_ends(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=1)
    image = unit._memory.stored[0].image
    await ask(world, "/device/events", **UNIT)
    unit.at_next_time(0x5A, 3, world.cut_at_once)
    assert (await waveform(world)).status_code != 200
    unit.erase()
    unit.record_event(seed=5)
    await ask(world, "/device/events", **UNIT)
    rows = (await ask(world, "/archive/events")).json()["events"]
    reported = rows[-1].get("archived")  # of the event before, whose time is earlier
    assert reported is not None
    assert reported["image"].endswith(f"of {len(image)} bytes")
    with disk.engines.read() as connection:
        kept = connection.exec_driver_sql("SELECT data FROM partial_images").scalar()
    assert kept is not None
    assert kept == image[: len(kept)]
    assert len(kept) >= 1024
    whole = f"first {len(kept)} of {len(image)} bytes"
    assert reported == {"record": True, "image": whole, "samples": None}


# --- contradictions


@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_an_event_that_contradicts_itself_is_never_good(world: World, kind: str) -> None:
    unit = world.plug(FieldUnit())
    unit.record_event(seed=3)
    assert await quality(world) == ("good", [])
    unit.erase()
    unit.record_event(seed=3, at_device_time=unit.now_device_time + timedelta(hours=1))
    damage(unit, kind)
    found, codes = await quality(world)
    assert (found, KINDS[kind] in codes) == ("partial", True)


@pytest.mark.parametrize("kind", KINDS)
@in_virtual_time
async def test_a_contradicted_event_counts_after_a_second_download(world: World, kind: str) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=3)
    damage(unit, kind)
    await waveform(world)
    await waveform(world)
    refused = await erase(world, 1)
    problem = refused.json()
    assert refused.status_code == 409
    assert (problem["reason"], problem["unarchived"], problem["contradicted"]) == (
        "not-archived",
        [0],
        [0],
    )
    assert "all=true" in problem["detail"]
    assert len(unit.events) == 1
    await world.pause(1)
    await waveform(world, force="true")
    done = (await erase(world, 1)).json()
    assert (done["outcome"], done["not_archived"], done["contradicted"]) == ("done", [], [0])


@in_virtual_time
async def test_a_second_download_of_other_bytes_does_not_count(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=3)
    damage(unit, "broken off")
    await waveform(world)
    await world.pause(1)
    cut_samples(unit, 5120, 1000)
    await waveform(world, force="true")
    assert (await erase(world, 1)).json().get("contradicted") == [0]
    assert len(unit.events) == 1


@in_virtual_time
async def test_a_memory_of_every_kind_says_what_each_event_is(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    for seed in range(4):
        unit.record_event(seed=seed)
    # In the order of memory; only the last one may get another length.
    alter(unit, 1, peaks=1.5)
    alter(unit, 2, start={"samples": 1277})
    alter(unit, 3, body=histogram_body(), start={"samples": 60})
    assert (await erase(world, 4)).json()["unarchived"] == [0, 1, 2, 3]
    for index in range(4):
        await waveform(world, index)
    problem = (await erase(world, 4)).json()
    assert (problem.get("unarchived"), problem.get("contradicted")) == ([1, 2], [1, 2])
    rows = (await ask(world, "/archive/events")).json()["events"]
    states = {row["index"]: row["archived"]["samples"] for row in rows}
    assert states == {0: "decoded", 1: "partial", 2: "partial", 3: "undecoded"}
    await world.pause(1)
    for index in (1, 2):
        await waveform(world, index, force="true")
    done = (await erase(world, 4)).json()
    assert (done["erased"], done["not_archived"], done["contradicted"]) == (4, [], [1, 2])
    view = views.command_view(done)
    assert "event 1, 2" in "".join(str(cell) for cell in view.columns[1]._cells)


# --- long records


@pytest.mark.parametrize(
    ("rate", "record_s"), [(1024, 63.75), (1024, 100.0), (2048, 50.0), (4096, 25.0)]
)
@in_virtual_time
async def test_a_record_longer_than_its_count_is_partial_and_whole(
    world: World, rate: int, record_s: float
) -> None:
    unit = world.plug(FieldUnit())
    unit.setup = replace(DEFAULT_SETUP, sample_rate_hz=rate, record_time_s=record_s)
    samples = round((record_s + 0.25) * rate)
    try:
        unit.record_event(counts=long_counts(samples))
    except OverflowError as error:
        pytest.fail(f"the simulated unit cannot record {record_s:g} s: {error}")
    body = (await waveform(world)).json()
    assert body["provenance"]["quality"] == "partial"
    assert "body-goes-on" in [reason["code"] for reason in body["provenance"]["reasons"]]
    assert (body["samples"], body["announced_samples"]) == (samples, samples & 0xFFFF)
    assert body["channels"]["Tran"]["peak"] == pytest.approx(2.0)


@in_virtual_time
async def test_the_longest_record_that_can_be_configured_is_recorded_and_read(
    world: World,
) -> None:
    unit = world.plug(FieldUnit())
    longest = {"record_time_s": 100.0}
    changed = await ask(world, "/device/config", "POST", json=longest, **UNIT)
    assert (changed.status_code, changed.json().get("outcome")) == (200, "done")
    try:
        unit.record_event(seed=1)
    except OverflowError as error:
        pytest.fail(f"the simulated unit cannot record what it was configured to: {error}")
    body = (await waveform(world)).json()
    assert body["provenance"]["quality"] == "partial"
    assert body["samples"] == round(100.25 * 1024)


# --- texts


@pytest.mark.parametrize(
    "text", ["US MINERAÇÃO VALE-VERDE", "COMUNIDADE DE TORRÕES", "Høyås kirke", "Škoda-Süd"]
)
@in_virtual_time
async def test_a_text_is_whole_in_list_setup_and_after_configure(world: World, text: str) -> None:
    unit = world.plug(FieldUnit())
    body = bytearray(unit._setup_block)
    at = body.index(b"Project:") + payloads.LABEL_BYTES
    body[at : at + payloads.VALUE_BYTES] = text.encode("cp1252").ljust(payloads.VALUE_BYTES, b"\0")
    unit._setup_block = bytes(body)
    info = (await ask(world, "/device/info", **UNIT)).json()
    assert info["setup"]["project"] == text
    changed = await ask(world, "/device/config", "POST", json={"client": text}, **UNIT)
    assert (changed.status_code, changed.json().get("outcome")) == (200, "done")
    assert (await ask(world, "/device/info", **UNIT)).json()["setup"]["client"] == text
    unit.record_event(seed=1, project=text)
    [event] = (await ask(world, "/device/events", **UNIT)).json()["events"]
    assert event["project"] == text


@in_virtual_time
async def test_letters_that_a_unit_cannot_store_are_named(world: World) -> None:
    world.plug(FieldUnit())
    refused = await ask(world, "/device/config", "POST", json={"notes": "北侧 5m"}, **UNIT)
    [wrong] = refused.json()["errors"]
    assert (refused.status_code, wrong["field"]) == (422, "notes")
    assert "'北', '侧'" in wrong["message"]


# --- scales


@pytest.mark.parametrize("pretrigger_s", [0.125, 0.25, 0.5, 0.75, 1.0])
@in_virtual_time
async def test_a_pretrigger_changes_no_rate(world: World, pretrigger_s: float) -> None:
    unit = world.plug(FieldUnit())
    unit.setup = replace(DEFAULT_SETUP, pretrigger_s=pretrigger_s)
    samples = round((1.0 + pretrigger_s) * 1024)
    counts = np.rint(40 * np.sin(np.arange(4 * samples).reshape(4, -1) / 9)).astype(np.int16)
    unit.record_event(counts=counts)
    alter(unit, start={"pretrigger_samples": round(pretrigger_s * 1024)})
    body = (await waveform(world)).json()
    assert (body["sample_rate_hz"], body["time"]["start"]) == (1024, -pretrigger_s)
    assert body["provenance"]["quality"] == "good"


@in_virtual_time
async def test_a_setup_changed_at_the_keypad_proves_nothing(world: World) -> None:
    disk = await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.setup = replace(DEFAULT_SETUP, sample_rate_hz=4096, geo_range_in_s=1.25, pretrigger_s=1.0)
    samples = 8192
    counts = np.rint(40 * np.sin(np.arange(4 * samples).reshape(4, -1) / 9)).astype(np.int16)
    unit.record_event(counts=counts)
    alter(unit, start={"pretrigger_samples": 4096}, peaks=float("nan"))
    unit.setup = DEFAULT_SETUP  # at the keypad: 10 in/s, 1024/s
    body = (await waveform(world, force="true")).json()
    assert body["provenance"]["quality"] == "partial"
    codes = {reason["code"] for reason in body["provenance"]["reasons"]}
    assert {"rate-unknown", "range-unconfirmed"} <= codes
    assert (body["sample_rate_hz"], body["sample_rates_possible"]) == (None, [2048, 4096])
    assert body["geo_range_source"] == "setup"
    assert body["channels"]["Tran"]["flags"] == ["scale_unconfirmed"]
    number = (await ask(world, "/archive/events")).json()["events"][0]["id"]
    facts = disk.read(archive.load_samples, number).facts
    assert (facts["geo_range_in_s"], facts["sample_rate_hz"]) == (None, None)
    archived = (await ask(world, f"/archive/recordings/{number}/waveform")).json()
    assert (archived["quality"], archived["channels"]["Tran"]["unit"]) == ("partial", "counts")


@in_virtual_time
async def test_a_setup_that_the_event_confirms_in_full_is_its_own(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.setup = replace(DEFAULT_SETUP, record_time_s=2.0)
    unit.record_event(seed=1)
    body = (await waveform(world)).json()
    assert body.get("sample_rates_possible") == [1024, 2048]
    assert (body["sample_rate_hz"], body["sample_rate_source"]) == (1024, "event")
    assert body["provenance"]["quality"] == "good"
    unit.setup = replace(DEFAULT_SETUP, sample_rate_hz=2048, record_time_s=2.0)
    await ask(world, "/device/info", force="true", **UNIT)
    body = (await waveform(world, force="true")).json()
    assert (body["sample_rate_source"], body["provenance"]["quality"]) == ("setup", "partial")


# --- over range


@in_virtual_time
async def test_a_peak_at_the_end_of_the_range_says_so_everywhere(world: World) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(blast=Blast(peak_in_s=18.0), seed=2)
    body = (await waveform(world)).json()
    over = [name for name, channel in body["channels"].items() if channel.get("bound") == ">"]
    assert over
    assert body["peaks"]["bound"]["vector_sum_in_s"] == ">"
    assert "over_range" in body["channels"][over[0]]["flags"]
    listed = (await ask(world, "/device/events", **UNIT)).json()
    assert listed["events"][0]["peaks"]["bound"] == body["peaks"]["bound"]
    rows = (await ask(world, "/archive/events")).json()["events"]
    assert rows[0]["peaks"]["bound"] == body["peaks"]["bound"]
    one = (await ask(world, "/device/event/0", **UNIT)).json()
    assert one["peaks"]["bound"]["vector_sum_in_s"] == ">"
    table: Any = views.events_view(listed).renderables[1]  # type: ignore[union-attr]
    assert any(
        str(cell).startswith(">10.000")
        for cell in table.columns[3 + "TVL".index(over[0][0])]._cells
    )


@in_virtual_time
async def test_archived_peaks_are_marked_at_the_range_that_the_samples_gave(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'archive.sqlite'}"
    disk = await world.with_disk(url)
    with_clipped_event(world.plug(FieldUnit()))
    listed = (await ask(world, "/device/events", **UNIT)).json()["events"][0]
    assert listed["peaks"]["tran_in_s"] == 1.25
    [before] = (await ask(world, "/archive/events")).json()["events"]
    for row in (listed, before):
        assert set(row["peaks"]["bound"].values()) == {None}
    assert before["geo_range_in_s"] is None
    body = (await waveform(world)).json()
    over = {"tran_in_s": ">", "vert_in_s": None, "long_in_s": None, "vector_sum_in_s": ">"}
    assert body["geo_range_source"] == "event"
    assert body["peaks"]["bound"] == {**over, "mic_psi": None, "mic_db": None}
    [row] = (await ask(world, "/archive/events")).json()["events"]
    one = (await ask(world, f"/archive/recordings/{row['id']}")).json()
    for found in (row, one):
        assert found["geo_range_in_s"] == 1.25
        assert found["peaks"]["bound"] == body["peaks"]["bound"]
    disk.engines.close()  # the command line reads the same file
    call = caller(capsys)

    def run_cli(*words: str) -> tuple[int | str, str, str]:
        with ThreadPoolExecutor(1) as other:  # this thread has a loop already
            return other.submit(call, "archive", *words, "--database", url).result()

    for words in (["list"], ["show", row["id"]]):
        status, out, err = run_cli(*words)
        assert (status, err) == (0, "")
        assert ">1." in out  # the table cuts what has no room
        reported = json.loads(run_cli(*words, "--json")[1])
        found = reported["events"][0] if "events" in reported else reported
        assert found["peaks"]["bound"] == body["peaks"]["bound"]


def with_clipped_event(unit: FieldUnit) -> FieldUnit:
    """Let a unit record a peak at the end of 1.25 in/s that its record alone does not show."""
    unit.setup = replace(unit.setup, geo_range_in_s=1.25)
    counts = np.zeros((4, 1024), dtype=np.int16)
    # Peaks that are whole steps of the larger range too, so that they show neither of them.
    counts[0, 300], counts[1, 300], counts[2, 300] = 2000, 16, 8
    unit.record_event(counts=counts)
    return unit


async def bounds(world: World, **headers: str) -> tuple[list[str | None], str]:
    """Ask for the list; return the bound of each event's Tran, and the list's ETag."""
    answer = await ask(world, "/device/events", headers=headers, **UNIT)
    events = answer.json()["events"]
    one = (await ask(world, "/device/event/0", **UNIT)).json()
    assert one["peaks"]["bound"]["tran_in_s"] == events[0]["peaks"]["bound"]["tran_in_s"]
    return [event["peaks"]["bound"]["tran_in_s"] for event in events], answer.headers["etag"]


@pytest.mark.parametrize("has_disk", [True, False])
@in_virtual_time
async def test_the_units_own_list_marks_a_peak_once_samples_gave_the_range(
    world: World, has_disk: bool
) -> None:
    if has_disk:
        await world.with_disk()
    unit = with_clipped_event(world.plug(FieldUnit()))
    unit.record_event(seed=2)
    found, etag = await bounds(world)
    assert found == [None, None]
    event_tag = (await ask(world, "/device/event/0", **UNIT)).headers["etag"]
    assert (await waveform(world)).json()["geo_range_source"] == "event"
    # What a browser has of before is no longer the list; a reader's event is still the event.
    found, now = await bounds(world, **{"if-none-match": etag})
    assert (found, now != etag) == ([">", None], True)
    again = await ask(world, "/device/events", headers={"if-none-match": now}, **UNIT)
    assert again.status_code == 304
    for tag in (event_tag, (await ask(world, "/device/event/0", **UNIT)).headers["etag"]):
        same = await ask(world, "/device/event/0/waveform", headers={"if-match": tag}, **UNIT)
        assert same.status_code == 200
    # It stays with a longer list, and with the archive over a restart.
    unit.record_event(seed=3)
    assert (await bounds(world))[0] == [">", None, None]
    await world.restart()
    assert (await bounds(world))[0] == [">" if has_disk else None, None, None]
    # The same slot of another memory is another event.
    await ask(world, "/device/event/0/waveform", **UNIT)
    unit.erase()
    unit.setup = DEFAULT_SETUP
    counts = np.zeros((4, 1024), dtype=np.int16)
    counts[0, 300] = 250  # 1.25 in/s on a range of 10
    unit.record_event(counts=counts)
    assert (await bounds(world))[0] == [None]


@in_virtual_time
async def test_a_peak_within_the_range_has_no_bound(world: World) -> None:
    unit = world.plug(FieldUnit())
    unit.record_event(blast=Blast(peak_in_s=1.25), seed=2)
    body = (await waveform(world)).json()
    assert set(body["peaks"].get("bound", {"": "absent"}).values()) == {None}
    assert {channel["bound"] for channel in body["channels"].values()} == {None}


@in_virtual_time
async def test_a_negative_microphone_peak_is_unknown_and_the_rest_of_the_event_is_good(
    world: World,
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(seed=1)
    stored = unit._memory.stored[0]
    bad = replace(stored.event.peaks, mic_psi=-0.0087)
    unit._memory.stored[0] = replace(stored, event=replace(stored.event, peaks=bad))
    [event] = (await ask(world, "/device/events", **UNIT)).json()["events"]
    body = (await waveform(world)).json()
    [row] = (await ask(world, "/archive/events")).json()["events"]
    for peaks in (event["peaks"], body["peaks"], row["peaks"]):
        assert (peaks["mic_psi"], peaks["mic_db"], peaks["bound"]["mic_psi"]) == (None, None, None)
        assert peaks["vector_sum_in_s"] == pytest.approx(stored.event.peaks.vector_sum_in_s)
    assert body["provenance"]["quality"] == "good", body["reasons"]
    assert body["channels"]["MicL"]["peak"] > 0  # by its samples it is known
    assert (row["archived"]["samples"], row["counted_by_erase"]) == ("decoded", True)
