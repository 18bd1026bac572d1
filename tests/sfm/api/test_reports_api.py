"""Reports and entered facts over HTTP, of events that a simulated unit recorded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from kit.field_memory import alter
from kit.http_requests import app_of, ask, assert_problem
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time
from numpy.typing import NDArray

from minimateplus.simulator.unit import DEFAULT_SETUP
from minimateplus.wire import layouts
from sfm.api.schemas.reports import ChartOut, EnteredFactsOut
from sfm.cli.direct import client_of
from sfm.records.digests import digest
from sfm.records.entered_facts import ENTERED_FACTS
from sfm.reports.verification import Record, fault_of, read_record, read_records

UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
UNITS: dict[int, FieldUnit] = {}
AT = "2026-11-28T09:00:00Z"


def plugged(world: World, count: int = 1, **setup: Any) -> FieldUnit:
    unit = world.plug(FieldUnit())
    UNITS[id(world)] = unit
    unit.setup = replace(DEFAULT_SETUP, **setup)
    for seed in range(count):
        unit.record_event(seed=seed)
    return unit


async def archived(world: World, count: int = 1, **setup: Any) -> list[str]:
    """Start with a database, and read a unit's events; return their recordings' ids in order."""
    await world.with_disk("sqlite://")
    plugged(world, count, **setup)
    for index in range(count):
        assert (await ask(world, f"/device/event/{index}/waveform", **UNIT)).status_code == 200
    rows = (await ask(world, "/archive/events")).json()["events"]
    return [row["id"] for row in sorted(rows, key=lambda row: row["index"])]


async def report(world: World, path: str, **query: Any) -> httpx.Response:
    answer = await ask(world, path, **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["cache-control"] == "no-store"
    return answer


def record_of(answer: httpx.Response) -> Record:
    record = read_record(answer.content)
    assert fault_of(record) is None
    assert record.result is not None
    return record


@in_virtual_time
async def test_the_report_of_a_recording_has_its_record_and_names_it(world: World) -> None:
    [name] = await archived(world)
    answer = await report(world, f"/archive/recordings/{name[:12]}/report.pdf")
    record = record_of(answer)
    counts = (
        await ask(
            world,
            f"/archive/recordings/{name}/waveform",
            headers={"accept": "application/octet-stream"},
        )
    ).content
    assert record.recording_id == name
    assert record.counts_hash == digest(counts).hex()
    header = answer.headers["content-disposition"]
    assert header.startswith('attachment; filename="SIMULATED_SIM0001_')
    shown = await report(world, f"/archive/recordings/{name}/report.pdf", inline="true")
    assert shown.headers["content-disposition"] == header.replace("attachment", "inline")
    assert header.endswith('_01110000.pdf"')


@in_virtual_time
async def test_a_live_event_without_a_database_has_its_report_too(world: World) -> None:
    plugged(world)
    await ask(world, "/device/info", **UNIT)
    record = record_of(await report(world, "/device/event/0/report.pdf", **UNIT))
    assert record.recording_id is None
    assert record.result is not None
    provenance = record.result["provenance"]
    assert provenance["serial"] == "SIM0001"
    assert provenance["firmware"] == "S338.17"
    assert record.result["simulated"] is True


@in_virtual_time
async def test_the_report_of_a_live_event_is_that_of_its_recording_once_archived(
    world: World,
) -> None:
    [name] = await archived(world)
    facts = {"author": "Pat", "set": {"distance_m": 182.9}}
    await ask(world, f"/archive/recordings/{name}/facts", "PUT", json=facts)
    record = record_of(await report(world, "/device/event/0/report.pdf", **UNIT))
    assert record.recording_id == name
    assert record.result is not None
    assert [fact["name"] for fact in record.result["entered"]] == ["distance_m"]


@in_virtual_time
async def test_a_recording_has_one_report_by_whatever_name(world: World) -> None:
    [name] = await archived(world)
    live = "/device/event/0/report.pdf"
    by_address = await report(world, live, **UNIT, printed_at=AT)
    by_serial = await report(world, live, unit="SIM0001", printed_at=AT)
    by_id = await report(world, f"/archive/recordings/{name}/report.pdf", printed_at=AT)
    assert by_id.content == by_address.content == by_serial.content
    _, many = await made(world, recordings=[name], printed_at=AT)
    with zipfile.ZipFile(io.BytesIO(many.content)) as file:
        assert file.read(file.namelist()[0]) == by_id.content
    provenance = (record_of(by_id).result or {})["provenance"]
    assert (provenance["firmware"], provenance["calibrated_on"]) == ("S338.17", "2026-02-02")


@in_virtual_time
async def test_the_same_question_is_answered_byte_for_byte(world: World) -> None:
    [name] = await archived(world)
    path = f"/archive/recordings/{name}/report.pdf"
    first = await report(world, path, printed_at=AT, paper="a4")
    again = await report(world, path, printed_at=AT, paper="a4")
    other = await report(world, path, printed_at="2026-11-28T09:00:01Z", paper="a4")
    assert first.content == again.content
    assert first.content != other.content


@in_virtual_time
async def test_curves_are_those_chosen_or_those_asked_for(world: World) -> None:
    [name] = await archived(world)
    choice = {"curves": ["usbm-ri8507-drywall"], "results": "refined"}
    chosen = await ask(world, "/limit-choices", "PUT", json=choice)
    assert chosen.status_code in (200, 201), chosen.text
    path = f"/archive/recordings/{name}/report.pdf"
    limits = (record_of(await report(world, path)).result or {})["limits"]
    assert [each["curve"] for each in limits["verdicts"]] == ["usbm-ri8507-drywall"]
    assert (limits["chosen_by"], limits["results"]) == ("default", "refined")
    answer = await report(world, path, curve="din4150-3-line2", results="vendor")
    limits = (record_of(answer).result or {})["limits"]
    assert [each["curve"] for each in limits["verdicts"]] == ["din4150-3-line2"]
    assert (limits["chosen_by"], limits["results"]) == ("request", "vendor")


@in_virtual_time
async def test_the_verdict_on_the_page_is_that_of_the_api(world: World) -> None:
    [name] = await archived(world)
    choice = {"curves": ["usbm-ri8507-drywall", "din4150-3-line2"]}
    await ask(world, "/limit-choices", "PUT", json=choice)
    # The API judges by what is stored; a relay computes that soon after the download.
    await ask(world, f"/archive/recordings/{name}/analysis")
    there = (await ask(world, f"/archive/recordings/{name}/verdicts")).json()
    answer = await report(world, f"/archive/recordings/{name}/report.pdf")
    limits = (record_of(answer).result or {})["limits"]
    for mine, theirs in zip(limits["verdicts"], there["verdicts"], strict=True):
        assert {key: mine[key] for key in theirs} == theirs


@pytest.mark.parametrize(
    "query",
    [
        {"paper": "a5"},
        {"units": "feet"},
        {"printed_at": "2026-11-28T09:00:00"},
        {"curve": "No Such"},
        {"curve": ["abc"] * 9},
        {"nothing": "x"},
    ],
    ids=lambda query: next(iter(query)),
)
@in_virtual_time
async def test_what_cannot_be_asked_is_named(world: World, query: dict[str, Any]) -> None:
    [name] = await archived(world)
    answer = await ask(world, f"/archive/recordings/{name}/report.pdf", **query)
    assert_problem(answer, 422, "invalid-parameter")


@in_virtual_time
async def test_a_curve_that_is_not_there_makes_no_report(world: World) -> None:
    [name] = await archived(world)
    answer = await ask(world, f"/archive/recordings/{name}/report.pdf", curve="no-such-curve")
    assert_problem(answer, 422, "report-impossible")


@in_virtual_time
async def test_a_recording_without_samples_has_no_report(world: World) -> None:
    await world.with_disk("sqlite://")
    plugged(world)
    await ask(world, "/device/events", **UNIT)
    [row] = (await ask(world, "/archive/events")).json()["events"]
    answer = await ask(world, f"/archive/recordings/{row['id']}/report.pdf")
    assert_problem(answer, 404, "no-such-record")
    answer = await ask(world, f"/archive/recordings/{'ab' * 32}/report.pdf")
    assert_problem(answer, 404, "no-such-record")


# --- entered facts


@in_virtual_time
async def test_facts_are_kept_with_author_and_time_and_never_replace_the_units(
    world: World,
) -> None:
    [name] = await archived(world)
    path = f"/archive/recordings/{name}"
    before = (await ask(world, path)).json()
    facts = {"distance_m": 182.9, "charge_kg": "45", "operator": "Pat Doe"}
    answer = await ask(world, f"{path}/facts", "PUT", json={"author": "Sam", "set": facts})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    EnteredFactsOut.model_validate(body, extra="forbid")
    assert {f["name"]: (f["value"], f["by"]) for f in body["current"]} == {
        "distance_m": (182.9, "Sam"),
        "charge_kg": (45.0, "Sam"),
        "operator": ("Pat Doe", "Sam"),
    }
    assert all(datetime.fromisoformat(fact["at"]).tzinfo == UTC for fact in body["current"])
    await ask(world, f"{path}/facts", "PUT", json={"author": "Eve", "set": {"operator": None}})
    body = (await ask(world, f"{path}/facts")).json()
    assert {fact["name"] for fact in body["current"]} == {"distance_m", "charge_kg"}
    assert (body["history"][0]["name"], body["history"][0]["by"]) == ("operator", "Eve")
    assert len(body["history"]) == 4
    assert (await ask(world, path)).json() == before
    result = record_of(await report(world, f"{path}/report.pdf")).result
    assert result is not None
    assert [fact["name"] for fact in result["entered"]] == ["charge_kg", "distance_m"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"author": "Sam"},
        {"author": "Sam", "set": {}},
        {"author": "", "set": {"distance_m": 1}},
        {"author": "Sam", "set": {"distance_m": "far"}},
        {"author": "Sam", "set": {"distance": 1}},
        {"author": "Sam", "set": {"operator": "x" * 200}},
        {"author": "Sam", "set": dict.fromkeys(ENTERED_FACTS, 1), "more": 1},
    ],
)
@in_virtual_time
async def test_what_is_no_fact_is_refused(world: World, body: dict[str, Any]) -> None:
    [name] = await archived(world)
    answer = await ask(world, f"/archive/recordings/{name}/facts", "PUT", json=body)
    assert_problem(answer, 422, "invalid-parameter")
    assert (await ask(world, f"/archive/recordings/{name}/facts")).json()["history"] == []


@in_virtual_time
async def test_the_distance_that_was_entered_chooses_the_row_of_a_table(world: World) -> None:
    [name] = await archived(world)
    path = f"/archive/recordings/{name}"
    query = {"curve": "osmre-distance-table"}
    result = record_of(await report(world, f"{path}/report.pdf", **query)).result
    assert result is not None
    assert result["limits"]["verdicts"][0]["reason"]["code"] == "parameter-missing"
    await ask(world, f"{path}/facts", "PUT", json={"author": "S", "set": {"distance_m": 100}})
    result = record_of(await report(world, f"{path}/report.pdf", **query)).result
    assert result is not None
    # 328 ft: 301 to 5,000 ft has 1.00 in/s (30 CFR 816.67(d)(2)(i)).
    assert result["limits"]["verdicts"][0]["limit"] == 1.0


# --- many


async def made(world: World, **body: Any) -> tuple[dict[str, Any], httpx.Response]:
    """Ask for a file of many events, wait for it, and fetch it; return result and answer."""
    # One relay for all of it: operations and files are its own.
    async with client_of(app_of(world)) as client:  # type: ignore[arg-type]
        answer = await client.post("/archive/reports", json=body)
        assert answer.status_code == 202, answer.text
        while True:
            operation = (await client.get(answer.headers["location"])).json()
            if operation["state"] != "running":
                break
            await asyncio.sleep(1.0)  # as a client does, in virtual time
        assert operation["state"] == "done", operation["problem"]
        assert (operation["what"], operation["done"]) == ("events", operation["total"])
        result: dict[str, Any] = operation["result"]
        return result, await client.get(result["href"])


@in_virtual_time
async def test_many_events_come_as_a_zip_with_a_file_for_each(world: World) -> None:
    names = await archived(world, 3)
    result, answer = await made(world, recordings=names, printed_at=AT)
    assert (result["reports"], result["failed"]) == (3, [])
    assert result["size_bytes"] == len(answer.content)
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="reports_2026-11-28T09-00-00.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        entries = file.namelist()
        records = [read_record(file.read(entry)) for entry in entries]
    assert [entry[:4] for entry in entries] == ["001_", "002_", "003_"]
    assert [record.recording_id for record in records] == names
    single = await report(world, f"/archive/recordings/{names[1]}/report.pdf", printed_at=AT)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert file.read(entries[1]) == single.content


@in_virtual_time
async def test_many_events_come_as_one_file_with_a_page_and_a_record_for_each(
    world: World, tmp_path: Path
) -> None:
    from kit.pdf_tools import run_tool

    names = await archived(world, 3)
    _, answer = await made(world, recordings=names, form="pdf", printed_at=AT)
    assert answer.headers["content-type"] == "application/pdf"
    records = read_records(answer.content)
    assert [record.recording_id for record in records.values()] == names
    assert all(fault_of(record) is None for record in records.values())
    path = tmp_path / "many.pdf"
    path.write_bytes(answer.content)
    assert "Pages:           3\n" in run_tool("pdfinfo", path)
    run_tool("qpdf", "--check", path)


@in_virtual_time
async def test_an_event_without_samples_does_not_keep_the_others_back(world: World) -> None:
    [name] = await archived(world)
    UNITS[id(world)].record_event(seed=9)
    await ask(world, "/device/events", **UNIT)
    rows = (await ask(world, "/archive/events")).json()["events"]
    [other] = [row["id"] for row in rows if row["id"] != name]
    result, _ = await made(world, recordings=[other, name])
    assert result["reports"] == 1
    assert result["failed"] == [
        {"recording": other, "detail": "the samples of this recording were never downloaded"}
    ]


@in_virtual_time
async def test_more_than_200_events_are_refused(world: World) -> None:
    [name] = await archived(world)
    answer = await ask(world, "/archive/reports", "POST", json={"recordings": [name] * 201})
    assert_problem(answer, 422, "invalid-parameter")


@in_virtual_time
async def test_more_than_60_events_in_one_pdf_are_refused_at_once(world: World) -> None:
    [name] = await archived(world)
    body = {"recordings": [name] * 61, "form": "pdf"}
    answer = await ask(world, "/archive/reports", "POST", json=body)
    assert_problem(answer, 422, "report-impossible")
    assert "ask for a ZIP of all (form zip), or for several PDFs" in answer.json()["detail"]


@in_virtual_time
async def test_a_file_that_was_never_made_is_not_there(world: World) -> None:
    await archived(world)
    assert_problem(await ask(world, "/archive/reports/abcdef"), 404, "not-found")


@pytest.mark.parametrize("change", ["changed", "cut"])
@in_virtual_time
async def test_a_file_is_sent_with_its_digest_and_never_changed_or_cut(
    world: World, change: str
) -> None:
    names = await archived(world)
    result, answer = await made(world, recordings=names, printed_at=AT)
    sha256 = hashlib.sha256(answer.content)
    assert result["sha256"] == sha256.hexdigest()
    digest_of = base64.b64encode(sha256.digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest_of}:"
    app = app_of(world)
    files = app.state.reports.files
    path = files.new_path()
    path.write_bytes(answer.content)
    kept = await files.keep("x.zip", path, frozenset({"SIM0001"}))
    body = bytearray(answer.content)
    body[100] ^= 1
    kept.path.write_bytes(body if change == "changed" else answer.content[:-1])
    async with client_of(app) as client:  # type: ignore[arg-type]
        refused = await client.get(files.href(kept.id))
        assert_problem(refused, 404, "not-found")
        assert "was changed or cut" in refused.json()["detail"]
        assert not kept.path.exists()
    files.close()


@in_virtual_time
async def test_a_file_of_another_host_is_named_with_that_host(world: World) -> None:
    names = await archived(world)
    result, answer = await made(world, recordings=names)
    assert answer.status_code == 200
    other = app_of(world)
    async with client_of(other) as client:  # type: ignore[arg-type]
        gone = await client.get(result["href"])
        assert "There is no such file" in gone.json()["detail"]
        other.state.reports.files.host = "south"
        there = await client.get(result["href"])
        assert_problem(there, 404, "not-found")
        detail = there.json()["detail"]
        assert f"on host {result['host']}" in detail
        assert "on host south. Ask for it again" in detail
        never = await client.get("/archive/reports/" + "ab" * 16)
        assert "There is no such file" in never.json()["detail"]


def wave(hz: float) -> NDArray[np.int16]:
    """Return counts with the same peaks whatever the frequency, so that the record fits both."""
    counts = np.zeros((4, 1280), np.int16)
    counts[:3] = np.rint(300 * np.sin(2 * np.pi * hz * np.arange(1280) / 1024))
    return counts


@in_virtual_time
async def test_chart_and_report_are_of_the_samples_that_were_asked_for(world: World) -> None:
    await world.with_disk("sqlite://")
    unit, other = plugged(world, 0), FieldUnit()
    unit.record_event(counts=wave(10))
    other.record_event(counts=wave(20))
    live = {**UNIT, "force": True}
    first = (await ask(world, "/device/event/0/chart", **live)).json()
    image = other._memory.stored[0].image
    alter(unit, body=image[layouts.BODY_OFFSET : -layouts.FOOTER.size])
    second = (await ask(world, "/device/event/0/chart", **live)).json()
    assert "10 Hz" in first["alt"]
    assert "20 Hz" in second["alt"], "not that of the content that was archived before"
    [row] = (await ask(world, "/archive/events")).json()["events"]
    path = f"/archive/recordings/{row['id']}"
    for content, seen, hz in zip(row["contents"], (first, second), (10, 20), strict=True):
        assert (await ask(world, f"{path}/chart", content=content)).json()["svg"] == seen["svg"]
        record = record_of(await report(world, f"{path}/report.pdf", content=content))
        assert record.result is not None
        figure = record.result["analysis"]["channels"]["Tran"]["vendor"]["zc_frequency"]
        assert figure["value"] == pytest.approx(hz, rel=0.05)
    absent = await ask(world, f"{path}/chart", content="0" * 64)
    assert absent.status_code == 404


@in_virtual_time
async def test_the_chart_of_a_screen_is_that_of_the_report(world: World) -> None:
    [name] = await archived(world)
    query = {"curve": "usbm-ri8507-plaster"}
    recorded = (await ask(world, f"/archive/recordings/{name}/chart", **query)).json()
    live = (await ask(world, "/device/event/0/chart", **UNIT, **query)).json()
    assert live == recorded
    assert recorded["svg"].startswith("<svg")
    assert "Peak particle velocity (in/s)" in recorded["svg"]
    assert [curve["title"] for curve in recorded["curves"]] != []
    assert "in/s" in recorded["alt"]
    ChartOut.model_validate(live, extra="forbid")
    serial, battery, calibration = (row["value"] for row in live["instrument"])
    assert "S338.17" in serial
    assert battery == "not available"
    assert "2026" in calibration
    record = record_of(await report(world, f"/archive/recordings/{name}/report.pdf", **query))
    assert record.result is not None
    [verdict], [judged] = live["verdicts"], record.result["limits"]["verdicts"]
    for part in ("curve", "outcome", "results", "bound", "channel"):
        assert verdict[part] == judged[part]
    assert verdict["share_percent"] == pytest.approx(judged["share_percent"], abs=0.01)
    assert verdict["channel"] in verdict["detail"]
    metric = await ask(world, f"/archive/recordings/{name}/chart", **query, units="metric")
    assert "mm/s" in metric.json()["alt"]
    assert (await ask(world, f"/archive/recordings/{'ab' * 32}/chart")).status_code == 404
