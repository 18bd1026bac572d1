"""Exports over HTTP: from a unit and from the archive alike, of good events and others."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from kit.access_world import protected_app_of
from kit.exported_events import exported, motion
from kit.field_memory import alter, damage, histogram_body
from kit.http_requests import app_of, ask, assert_problem
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from minimateplus.model import CHANNELS
from minimateplus.simulator.unit import DEFAULT_SETUP
from sfm.access.principal import Role
from sfm.exports import service
from sfm.exports.event import Style
from sfm.exports.formats import FORMATS
from sfm.exports.made_files import MadeFiles
from sfm.exports.readers import read_file
from sfm.exports.zip_files import add_to_zip

UNIT: dict[str, Any] = {"host": HERE.target, "tcp_port": HERE.number}
NAME = "SIMULATED_SIM0001_"
LIVE = "/device/event/0/export"


async def recording(world: World, index: int = 0) -> str:
    rows = (await ask(world, "/archive/events")).json()["events"]
    return str(next(row["id"] for row in rows if row["index"] == index))


async def both(world: World, **more: Any) -> list[httpx.Response]:
    """Return the live answer, and that of the archive."""
    live = await ask(world, LIVE, **UNIT, **more)
    path = f"/archive/recordings/{await recording(world)}/export"
    return [live, await ask(world, path, **more)]


def plugged(world: World, **setup: Any) -> FieldUnit:
    unit = world.plug(FieldUnit())
    unit.setup = replace(DEFAULT_SETUP, **setup)
    return unit


@pytest.mark.parametrize("name", ["csv", "blastware", "json"])
@in_virtual_time
async def test_unit_and_archive_give_the_same_file(world: World, name: str) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    live, archived = await both(world, format=name)
    for answer in (live, archived):
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == FORMATS[name].media_type
        assert answer.headers["content-disposition"].startswith(f'attachment; filename="{NAME}')
        assert answer.headers["content-disposition"].endswith(f'_01110000.{FORMATS[name].ending}"')
        assert answer.headers["x-simulated"] == "true"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["etag"].startswith('"')
    if name == "json":
        one, other = live.json(), archived.json()
        differ = {key for key in one if one[key] != other[key]}
        assert differ <= {"recording", "image_hash", "read_at", "setup"}
        assert other["recording"] == await recording(world)
        return
    own = (b"Recording", b"Image hash", b"Read at", b"# Read at", b"# Recording", b"# Image hash")
    mine, theirs = (
        [line for line in answer.content.split(b"\r\n") if not line.strip(b'"').startswith(own)]
        for answer in (live, archived)
    )
    assert mine == theirs
    assert (await recording(world)).encode() in archived.content


@in_virtual_time
async def test_units_scale_and_counts_are_those_of_the_waveform_route(world: World) -> None:
    plugged(world).record_event(seed=2)
    waveform = (await ask(world, "/device/event/0/waveform", **UNIT)).json()
    accept = {"accept": "application/octet-stream"}
    bare = await ask(world, "/device/event/0/waveform", **UNIT, headers=accept)
    csv = read_file((await ask(world, LIVE, **UNIT)).content)
    found = (await ask(world, LIVE, **UNIT, format="json")).json()
    assert csv.counts is not None
    assert csv.counts.tobytes() == bare.content
    counts = np.frombuffer(bare.content, "<i2").reshape(4, -1)
    for row, name in enumerate(CHANNELS):
        values = waveform["channels"][name]["values"]
        assert csv.seismogram.traces[name].values.tolist() == values
        assert found["channels"][name]["values"] == values
        assert found["channels"][name]["counts"] == counts[row].tolist()
        assert found["channels"][name]["unit"] == waveform["channels"][name]["unit"]
    assert str(found["channels"]["Tran"]["scale"]) == bare.headers["x-in-s-per-count"]
    assert str(found["channels"]["MicL"]["scale"]) == bare.headers["x-psi-per-count"]
    analysis = (await ask(world, "/device/event/0/analysis", **UNIT)).json()
    assert found["results"] == {name: analysis[name] for name in found["results"]}


@in_virtual_time
async def test_units_of_measure_and_commas_are_the_readers_choice(world: World) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    for answer in await both(world, units="metric", decimal="comma"):
        text = answer.content.decode("utf-8-sig")
        assert "\r\ntime (s);Tran (mm/s);Vert (mm/s);Long (mm/s);MicL (Pa);Tran counts;" in text
    for answer in await both(world, format="json", decimal="comma"):
        assert "csv" in assert_problem(answer, 422, "invalid-parameter")["detail"]
    for answer in await both(world, format="pdf"):
        assert_problem(answer, 422, "invalid-parameter")


@in_virtual_time
async def test_a_reader_that_has_the_file_gets_304(world: World) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    for answer in await both(world):
        tag = {"if-none-match": answer.headers["etag"]}
        path = answer.request.url.raw_path.decode()
        assert (await ask(world, path, headers=tag)).status_code == 304
        other = f"{path}{'&' if '?' in path else '?'}units=metric"
        assert (await ask(world, other, headers=tag)).status_code == 200
    gone = {"if-match": '"SIM0001.other"'}
    assert_problem(await ask(world, LIVE, **UNIT, headers=gone), 412, "event-mismatch")


@in_virtual_time
async def test_the_archives_instant_follows_the_zone_that_is_set_later(world: World) -> None:
    await world.with_disk()
    plugged(world).record_event(seed=1)
    live, archived = await both(world)
    for answer in (live, archived):
        assert "# Time zone: unknown" in answer.text
        assert "# Instant (UTC): unknown: no-zone" in answer.text


# --- what is not good


@pytest.mark.parametrize("name", ["csv", "blastware", "json"])
@in_virtual_time
async def test_an_undecoded_event_has_no_file(world: World, name: str) -> None:
    await world.with_disk()
    unit = plugged(world)
    unit.record_event(seed=1)
    alter(unit, body=histogram_body(), start={"samples": 60})
    for answer in await both(world, format=name):
        assert_problem(answer, 502, "samples-undecoded")


@in_virtual_time
async def test_a_partial_event_says_so(world: World) -> None:
    await world.with_disk()
    unit = plugged(world)
    unit.record_event(seed=3)
    damage(unit, "broken off")
    for answer in await both(world):
        assert "# Quality: partial" in answer.text
        assert "# Not good: " in answer.text
    # Its peaks are of the part that is missing, so that it does not show its range itself.
    live, archived = await both(world, format="blastware")
    file = read_file(live.content)
    assert (file.seismogram.recorded_samples or 0) > file.seismogram.samples
    assert "incomplete" in live.text
    assert_problem(archived, 409, "unwritable-event")


@in_virtual_time
async def test_a_scale_of_the_setup_is_no_fact_of_the_recording(world: World) -> None:
    await world.with_disk()
    unit = plugged(world, sample_rate_hz=4096, geo_range_in_s=1.25, pretrigger_s=1.0)
    counts = np.rint(40 * np.sin(np.arange(4 * 8192).reshape(4, -1) / 9)).astype(np.int16)
    unit.record_event(counts=counts)
    alter(unit, start={"pretrigger_samples": 4096}, peaks=float("nan"))
    unit.setup = DEFAULT_SETUP
    live, archived = await both(world)
    assert "Tran (in/s; scale unconfirmed)" in live.text
    assert "Tran (counts)" in archived.text
    live, archived = await both(world, format="blastware")
    assert '"Geo Range : 10.00 in/s (of the setup, unconfirmed)"' in live.text
    assert "export it as csv" in assert_problem(archived, 409, "unwritable-event")["detail"]


@in_virtual_time
async def test_what_is_not_there_or_not_installed_is_a_problem(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = await world.with_disk()
    plugged(world).record_event(seed=1)
    await ask(world, "/device/events", **UNIT)
    name = await recording(world)
    for path in (name, "0123456789abcdef"):
        answer = await ask(world, f"/archive/recordings/{path}/export")
        assert_problem(answer, 404, "no-such-record")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for answer in await both(world, format="parquet"):
        assert "pip install" in assert_problem(answer, 501, "extra-missing")["detail"]
    with disk.engines.write() as connection:
        connection.exec_driver_sql("UPDATE recording_waveforms SET facts_json = '{}'")
    damaged = await ask(world, f"/archive/recordings/{name}/export")
    assert_problem(damaged, 503, "damaged-record")
    findings = (await ask(world, "/archive/findings")).json()["findings"]
    assert json.dumps(findings).count('"damaged"') == 1


# --- many as one ZIP


@asynccontextmanager
async def one_relay(
    world: World, headers: dict[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one application: operations and files are its own."""
    application = app_of(world)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client
    application.state.exports.close()


async def made(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """Return an export's operation after its end."""
    answer = await client.post("/archive/exports", json=body)
    assert answer.status_code == 202, answer.text
    for _ in range(600):
        found: dict[str, Any] = (await client.get(answer.headers["location"])).json()
        if found["state"] != "running":
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("the operation does not end")


async def unzipped(client: httpx.AsyncClient, operation: dict[str, Any]) -> dict[str, bytes]:
    assert operation["state"] == "done", operation
    answer = await client.get(operation["result"]["href"])
    assert answer.headers["content-type"] == "application/zip"
    assert operation["result"]["file"] in answer.headers["content-disposition"]
    assert len(answer.content) == operation["result"]["size_bytes"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


async def downloaded(world: World, count: int) -> tuple[FieldUnit, list[str]]:
    """Record and download events; return their unit, and the recordings' ids in order."""
    await world.with_disk("sqlite://")
    unit = plugged(world)
    for seed in range(count):
        unit.record_event(seed=seed)
        await ask(world, f"/device/event/{seed}/waveform", **UNIT)
    rows = (await ask(world, "/archive/events")).json()["events"]
    return unit, [row["id"] for row in sorted(rows, key=lambda row: row["index"])]


@in_virtual_time
async def test_many_recordings_are_one_zip_with_the_files_of_each(world: World) -> None:
    _, ids = await downloaded(world, 3)
    async with one_relay(world) as client:
        every = await made(client, format="csv", units="metric")
        assert (every["kind"], every["what"], every["done"], every["total"]) == (
            *("exports", "events"),
            *(3, 3),
        )
        files = await unzipped(client, every)
        assert (every["result"]["exported"], every["result"]["next_cursor"]) == (3, None)
        for id_ in ids:
            one = await client.get(f"/archive/recordings/{id_}/export", params={"units": "metric"})
            name = one.headers["content-disposition"].split('"')[1]
            assert files.pop(name) == one.content
        assert files == {}
        some = await unzipped(client, await made(client, recordings=[ids[0][:10], ids[2]]))
        assert len(some) == 2
        of_unit = await made(client, serial="SIM0001", format="json")
        assert len(await unzipped(client, of_unit)) == 3


@in_virtual_time
async def test_what_cannot_be_exported_is_named_and_keeps_no_other_back(world: World) -> None:
    unit, ids = await downloaded(world, 2)
    unit.record_event(seed=9)
    await ask(world, "/device/events", **UNIT)
    async with one_relay(world) as client:
        operation = await made(client, format="csv", recordings=[*ids, "0123456789abcdef"])
        assert [one["recording"] for one in operation["result"]["failed"]] == ["0123456789abcdef"]
        assert len(await unzipped(client, operation)) == 2
        every = await made(client)
        assert "never downloaded" in every["result"]["failed"][0]["detail"]
        nothing = await made(client, serial="BE1")
        assert nothing["state"] == "failed"
        assert nothing["problem"]["type"].endswith(":unwritable-event")
        assert "none matches" in nothing["problem"]["detail"]


@in_virtual_time
async def test_more_than_a_request_may_have_come_with_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await downloaded(world, 3)
    monkeypatch.setattr(service, "MAX_EVENTS", 2)
    async with one_relay(world) as client:
        first = await made(client)
        cursor = first["result"]["next_cursor"]
        second = await made(client, cursor=cursor)
        assert second["result"]["next_cursor"] is None
        files = [await unzipped(client, one) for one in (first, second)]
        assert [len(one) for one in files] == [2, 1]
        assert not files[0].keys() & files[1].keys()


@in_virtual_time
async def test_a_zip_that_nobody_made_is_not_found(world: World) -> None:
    await downloaded(world, 1)
    async with one_relay(world) as client:
        await unzipped(client, await made(client))
        assert_problem(await client.get("/archive/exports/other"), 404, "not-found")


@pytest.mark.parametrize(
    "body",
    [
        {"recordings": []},
        {"recordings": ["0123"]},
        {"recordings": ["0123456789"], "serial": "BE1"},
        {"since": "2026-04-01T00:00Z"},
        {"cursor": "!"},
        {"format": "pdf"},
        {"format": "json", "decimal": "comma"},
        {"other": 1},
    ],
)
@in_virtual_time
async def test_what_makes_no_sense_is_refused_at_once(world: World, body: dict[str, Any]) -> None:
    await downloaded(world, 0)
    answer = await ask(world, "/archive/exports", method="POST", json=body)
    assert_problem(answer, 422, "invalid-parameter")


def test_two_recordings_of_one_name_are_two_files(tmp_path: Path) -> None:
    now = datetime(2026, 11, 29, tzinfo=UTC)
    for peak in (300, 400):
        event = exported(motion(peak_counts=peak))
        add_to_zip(tmp_path / "x", event, "csv", Style(), now)
    with zipfile.ZipFile(tmp_path / "x") as file:
        first, second = sorted(file.namelist())
        assert second == first.replace(".csv", "_2.csv")
        assert file.read(first) != file.read(second)


@in_virtual_time
async def test_a_limited_token_exports_and_gets_its_own_unit_alone(world: World) -> None:
    _, [name] = await downloaded(world, 1)
    assert world.disk is not None
    found = protected_app_of(world.gateway, world.settings, world.disk, real=True)
    mine = found.token("mine", Role.VIEWER, "SIM0001")
    other = found.token("other", Role.VIEWER, "BE2")

    async def post(secret: str, **body: Any) -> httpx.Response:
        sent = json.dumps(body).encode()
        return await found.ask("POST", "/archive/exports", secret=secret, body=sent)

    assert_problem(await post(other, recordings=[name]), 404, "no-such-record")
    for body in ({"serial": "SIM0001"}, {}, {"since": "2026-01-01"}):
        assert_problem(await post(other, **body), 403, "not-allowed")
    assert (await found.ask(target=f"/archive/recordings/{name}/export", secret=other)).is_error
    assert_problem(await post(mine), 403, "not-allowed")
    files: MadeFiles = found.app.state.exports.files
    path = files.new_path()
    path.write_bytes(b"zip")
    target = files.href((await files.keep("x.zip", path, frozenset({"SIM0001"}))).id)
    assert_problem(await found.ask(target=target, secret=other), 404, "not-found")
    assert (await found.ask(target=target, secret=mine)).content == b"zip"
    accepted = await post(mine, recordings=[name])
    assert (accepted.status_code, accepted.json()["unit"]) == (202, "SIM0001")
    await found.app.state.operations.close()
    await found.app.state.analyses.close()
    files.close()
