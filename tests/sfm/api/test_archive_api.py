"""The archive over HTTP: filled through the gateway by a simulated unit, then asked without it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from kit.api_page import api_page
from kit.http_requests import app_of, ask, assert_problem, named
from kit.relay_world import ELSEWHERE, HERE, FieldUnit, World, ground, in_virtual_time
from kit.stored_rows import hash_of, public_id, write_row
from pydantic import BaseModel
from sqlalchemy import func, insert, select, update
from test_api import public_errors

from minimateplus.errors import MiniMateError
from sfm.api.app import build_app
from sfm.api.docs_page import docs_page
from sfm.api.middleware.authentication import AUTHENTICATION_PROBLEMS, SECURITY
from sfm.api.problems import MEDIA_TYPE, PROBLEMS, problem_of
from sfm.api.schemas import reading
from sfm.api.schemas.bodies import MAX_BYTES
from sfm.cache.freshness import FORCED
from sfm.records.payloads import event_view
from sfm.records.roster import Roster, Zone
from sfm.records.site_time import utc_text
from sfm.settings import Settings
from sfm.store import Store, StoreError, schema
from sfm.store import archive as store_archive
from sfm.store import errors as store_errors
from sfm.store.errors import NoStoreError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytest_plugins = ["kit.durable_databases"]

COUNTS = {"accept": "application/octet-stream"}
FRAME = {**COUNTS, "accept-encoding": "zstd"}
FOR_GOOD = "private, max-age=31536000, immutable"
ONE = "/archive/recordings/00000001"
"""Its id stands for that of row 1; see ``named``."""
FACTS = [ONE, f"{ONE}/waveform", f"{ONE}/image"]
LISTS = ["/archive/units", "/archive/events", "/archive/findings", f"{ONE}/review"]
EVERY_GET = FACTS + LISTS
REVIEW = {"reviewer": "A. Noether", "false_trigger": True, "note": "A gate.\n\tTwice: 21 °C"}


async def raw(world: World, path: str, headers: dict[str, str]) -> tuple[Any, bytes]:
    """Ask, and return headers and body as they are on the wire, undone by nobody."""
    path = named(world, path)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(b"host", b"127.0.0.1")]
    pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
    here = ("127.0.0.1", 8200)
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": pairs}
    scope |= {"server": here, "client": here}
    await app_of(world)({**scope, "http_version": "1.1", "raw_path": path.encode()}, receive, send)
    reported = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return {**reported, "status": sent[0]["status"]}, b"".join(m.get("body", b"") for m in sent[1:])


async def filled(world: World, count: int = 3, url: str = "sqlite://") -> FieldUnit:
    """Start with a database, read a unit's list and the waveform of its first event."""
    await world.with_disk(url)
    # A second long, so that the event itself says its rate.
    unit = world.plug(FieldUnit().record(count, size=1024))
    await world.gateway.events(HERE)
    await world.gateway.waveform(HERE, 0)
    unit.heard.clear()
    return unit


def disk_of(world: World) -> Store:
    assert world.disk is not None
    return world.disk


def damage(world: World, table: str, column: str) -> None:
    """Flip one bit in the middle of what is stored."""
    known = schema.metadata.tables[table]
    with disk_of(world).engines.write() as connection:
        stored = bytes(connection.execute(select(known.c[column])).scalars().first())  # type: ignore[arg-type]
        at = len(stored) // 2
        other = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
        first = select(func.min(known.c.id)).scalar_subquery()
        connection.execute(update(known).where(known.c.id == first).values({column: other}))


def stored(world: World, column: str) -> Any:
    with disk_of(world).engines.read() as connection:
        return connection.execute(select(schema.recording_waveforms.c[column])).scalars().first()


def kinds(world: World) -> list[str]:
    return [finding["kind"] for finding in disk_of(world).read(store_archive.load_findings)]


def assert_declared(response: httpx.Response, path: str, method: str = "get") -> dict[str, Any]:
    """The answer is what the OpenAPI page declares; nothing more, nothing left out."""
    assert response.status_code == 200, response.text
    operation = OPENAPI["paths"][re.sub("/recordings/[0-9a-f]+", "/recordings/{id}", path)][method]
    name = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    model: type[BaseModel] = getattr(reading, name.rpartition("/")[2])
    parsed = model.model_validate_json(response.content, strict=True, extra="forbid")
    body: dict[str, Any] = response.json()
    assert json.loads(parsed.model_dump_json()) == body
    return body


OPENAPI = api_page()


# ---- answers


@pytest.mark.parametrize("path", [path for path in EVERY_GET if not path.endswith("image")])
@in_virtual_time
async def test_every_answer_is_what_its_schema_declares(world: World, path: str) -> None:
    unit = await filled(world)
    damage(world, "recording_waveforms", "image")
    assert (await ask(world, f"{ONE}/image")).status_code == 503  # so that there is a finding
    await ask(world, f"{ONE}/review", "PUT", json=REVIEW)
    body = assert_declared(await ask(world, path), path)
    assert any(body.values())
    assert unit.heard == []


@pytest.mark.parametrize("path", LISTS[:3])
@in_virtual_time
async def test_an_empty_archive_answers_with_empty_lists(world: World, path: str) -> None:
    await world.with_disk()
    body = assert_declared(await ask(world, path), path)
    assert not any(body.values())


@in_virtual_time
async def test_the_units_are_listed_with_their_counts(world: World) -> None:
    await filled(world, 3)
    other = world.plug(FieldUnit("SIM0002").record(1, never_set=True), ELSEWHERE)
    await world.gateway.events(ELSEWHERE)
    other.record(1)
    first, second = assert_declared(await ask(world, "/archive/units"), "/archive/units")["units"]
    times = [e.device_time.isoformat() for e in world.units[HERE].events if e.device_time]
    assert first == {
        "serial": "SIM0001",
        "recordings": 3,
        "first_timestamp": min(times),
        "last_timestamp": max(times),
        "simulated": True,
        "last_read_at": "2026-05-01T00:00:00.000+00:00",
        "last_route": "tcp:unit.invalid:12345",
    }
    assert (second["serial"], second["recordings"]) == ("SIM0002", 1)


@in_virtual_time
async def test_the_list_has_what_the_unit_reported(world: World) -> None:
    await filled(world, 3)
    live = (await world.gateway.events(HERE)).value
    reported = assert_declared(await ask(world, "/archive/events"), "/archive/events")["events"]
    for payload, event in zip(reversed(live), reported, strict=True):
        was = event_view(payload)
        assert {name: event[name] for name in was} == was
        assert event["serial"] == "SIM0001"
        assert event["simulated"] is True
        assert event["review"] is None
        assert event["route"] == "tcp:unit.invalid:12345"
    assert [event["waveforms"] for event in reported] == [0, 0, 1]
    waveform = (await ask(world, f"/archive/recordings/{reported[2]['id']}/waveform")).json()
    assert [event["contents"] for event in reported] == [[], [], [waveform["content_hash"]]]


@in_virtual_time
async def test_an_event_is_returned_with_the_units_own_record_and_its_hash(world: World) -> None:
    await filled(world)
    body = assert_declared(await ask(world, ONE), ONE)
    record = bytes.fromhex(body["record"])
    assert blake2b(record, digest_size=32).hexdigest() == body["content_hash"]
    assert "record_is_sound" not in body
    assert "review" not in body


@in_virtual_time
async def test_the_archived_samples_are_the_live_ones(world: World) -> None:
    await filled(world)
    live = (await ask(world, "/device/event/0/waveform", host="unit.invalid")).json()
    body = assert_declared(await ask(world, f"{ONE}/waveform"), f"{ONE}/waveform")
    provenance = live.pop("provenance")
    assert body["channels"] == live["channels"]
    assert {name: body[name] for name in live} == live
    assert list(body) == [
        *("id", "serial", *live),
        *("quality", "decoder", "simulated", "read_at", "route", "content_hash"),
    ]
    assert body["route"] == provenance["conn_key"]
    assert body["read_at"] == provenance["read_at"]


@in_virtual_time
async def test_the_bare_counts_say_the_same_as_live_ones(world: World) -> None:
    await filled(world)
    live = await ask(world, "/device/event/0/waveform", host="unit.invalid", headers=COUNTS)
    archived = await ask(world, f"{ONE}/waveform", headers=COUNTS)
    assert archived.content == live.content
    assert archived.headers["Content-Type"] == "application/octet-stream"
    known = {name.decode() for name, _ in SECURITY}
    meaning = {name for name in live.headers if name.startswith("x-")} - known
    assert len(meaning) == 8
    assert {name: archived.headers[name] for name in meaning} == {
        name: live.headers[name] for name in meaning
    }
    assert "content-encoding" not in archived.headers


@in_virtual_time
async def test_the_frame_goes_out_as_it_lies(world: World) -> None:
    await filled(world)
    # A frame that our own packing would not make: it carries a checksum.
    plain = zstd.decompress(stored(world, "counts"))
    lies = zstd.compress(plain, options={zstd.CompressionParameter.checksum_flag: 1})
    assert lies != bytes(stored(world, "counts"))
    with disk_of(world).engines.write() as connection:
        connection.execute(update(schema.recording_waveforms).values(counts=lies))
    headers, body = await raw(world, f"{ONE}/waveform", FRAME)
    assert body == bytes(stored(world, "counts")) == lies
    assert headers["content-encoding"] == "zstd"
    assert headers["content-length"] == str(len(body))
    assert headers["x-samples"] == "1024"
    assert headers["x-content-hash"] == bytes(stored(world, "content_hash")).hex()
    bare, counts = await raw(world, f"{ONE}/waveform", COUNTS)
    assert zstd.decompress(body) == counts == plain
    assert np.frombuffer(counts, "<i2").shape == (4096,)
    reported = {name: value for name, value in headers.items() if name.startswith("x-")}
    assert reported == {name: value for name, value in bare.items() if name.startswith("x-")}


@in_virtual_time
async def test_a_frame_of_another_form_is_not_passed_off_as_zstd(world: World) -> None:
    await filled(world)
    write_row(disk_of(world), "recording_waveforms", {}, codec="later")
    headers, body = await raw(world, f"{ONE}/waveform", FRAME)
    assert "content-encoding" not in headers
    assert len(body) == 8192


@pytest.mark.parametrize(
    ("accept_encoding", "takes"), [("br, zstd;q=0.5", True), ("*", True), ("gzip, br", False)]
)
@in_virtual_time
async def test_only_who_takes_zstd_gets_it(world: World, accept_encoding: str, takes: bool) -> None:
    await filled(world)
    headers, body = await raw(
        world, f"{ONE}/waveform", {**COUNTS, "accept-encoding": accept_encoding}
    )
    assert (headers.get("content-encoding") == "zstd") is takes
    assert (len(body) == 8192) is not takes
    headers, body = await raw(world, f"{ONE}/waveform", {"accept-encoding": accept_encoding})
    assert headers.get("content-encoding") != "zstd"
    assert headers["content-type"] == "application/json"


@in_virtual_time
async def test_who_says_nothing_of_codings_gets_none(world: World) -> None:
    await filled(world)
    headers, body = await raw(world, f"{ONE}/waveform", COUNTS)
    assert "content-encoding" not in headers
    assert len(body) == 8192


@in_virtual_time
async def test_the_image_is_the_units_memory_byte_for_byte(world: World) -> None:
    await filled(world)
    response = await ask(world, f"{ONE}/image")
    assert response.content == bytes(stored(world, "image"))
    reported = blake2b(response.content, digest_size=32).hexdigest()
    assert response.headers["X-Content-Hash"] == reported
    assert reported == (await ask(world, f"{ONE}/waveform")).json()["content_hash"]
    assert response.headers["Content-Type"] == "application/octet-stream"


@in_virtual_time
async def test_other_samples_of_a_recording_are_had_by_their_hash(world: World) -> None:
    await filled(world)
    first = (await ask(world, f"{ONE}/waveform")).json()["content_hash"]
    image = b"another memory"
    second = blake2b(image, digest_size=32).digest()
    with disk_of(world).engines.write() as connection:
        row = dict(connection.execute(select(schema.recording_waveforms)).mappings().one())
        row |= {"id": 2, "content_hash": second, "image": image}
        row["row_hash"] = hash_of(connection, "recording_waveforms", row)
        connection.execute(insert(schema.recording_waveforms), [row])
    name = public_id(disk_of(world), 1)
    every = (await ask(world, "/archive/events")).json()["events"]
    [listed] = [event for event in every if event["id"] == name]
    assert (listed["waveforms"], listed["contents"]) == (2, [first, second.hex()])
    for content in (first, second.hex(), second.hex().upper()):
        response = await ask(world, f"{ONE}/waveform", content=content)
        assert response.json()["content_hash"] == content.lower()
    assert (await ask(world, f"{ONE}/waveform")).json()["content_hash"] == first
    assert (await ask(world, f"{ONE}/image", content=second.hex())).content == image
    response = await ask(world, f"{ONE}/waveform", content="0" * 64)
    assert "no samples of the content" in assert_problem(response, 404, "no-such-record")["detail"]


# ---- for good, or not at all


@pytest.mark.parametrize(
    ("path", "headers"),
    [*((path, {}) for path in FACTS), (FACTS[1], COUNTS), (FACTS[1], FRAME)],
)
@in_virtual_time
async def test_a_fact_is_compared_by_its_tag_and_who_has_it_gets_304(
    world: World, path: str, headers: dict[str, str]
) -> None:
    await filled(world)
    reported, body = await raw(world, path, headers)
    assert reported["status"] == 200
    assert reported["cache-control"] == "private, no-cache"
    assert reported["x-simulated"] == "true"
    assert reported["content-length"] == str(len(body))
    varies = path in FACTS[:2]
    assert reported.get("vary") == ("accept, accept-encoding" if varies else None)
    column = "content_hash"
    if path == ONE:
        expected = (await ask(world, ONE)).json()[column]
    else:
        expected = bytes(stored(world, column)).hex()
    assert reported["etag"].startswith(f'"{expected}.')
    for if_none_match in (reported["etag"], f'"x", W/{reported["etag"]}', "*"):
        again, nothing = await raw(world, path, {**headers, "if-none-match": if_none_match})
        assert (again["status"], nothing) == (304, b"")
        for name in ("etag", "cache-control", "vary", "x-simulated"):
            assert again.get(name) == reported.get(name)
        assert not {"content-type", "content-encoding", "content-length"} & set(again)
    again, whole = await raw(world, path, {**headers, "if-none-match": '"another"'})
    assert (again["status"], whole) == (200, body)


@in_virtual_time
async def test_only_the_units_own_bytes_asked_for_by_their_hash_are_for_good(world: World) -> None:
    await filled(world)
    content = bytes(stored(world, "content_hash")).hex()
    image = await ask(world, f"{ONE}/image", content=content)
    assert image.headers["Cache-Control"] == FOR_GOOD
    assert blake2b(image.content, digest_size=32).hexdigest() == content
    for headers in ({}, COUNTS, FRAME):
        waveform = await ask(world, f"{ONE}/waveform", content=content, headers=headers)
        assert waveform.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("tail", ["", "/waveform", "/image", "/review"])
@in_virtual_time
async def test_a_row_number_names_nothing_any_more(world: World, tail: str) -> None:
    await filled(world)
    methods = ("GET", "PUT") if tail == "/review" else ("GET",)
    for method in methods:
        response = await ask(world, f"/archive/events/1{tail}", method)
        assert "/archive/recordings/{id}" in assert_problem(response, 410, "gone")["detail"]
        assert response.headers["Cache-Control"] == "no-store"


@in_virtual_time
async def test_a_recording_is_named_by_eight_letters_of_its_id_that_no_other_has(
    world: World,
) -> None:
    await filled(world)
    whole = (await ask(world, "/archive/events")).json()["events"][0]["id"]
    for name in (whole, whole[:8], whole[:13].upper()):
        assert (await ask(world, f"/archive/recordings/{name}")).json()["id"] == whole
    write_row(disk_of(world), "recordings", {"id": 1}, public_id="abcdef01" + "0" * 56)
    write_row(disk_of(world), "recordings", {"id": 2}, public_id="abcdef01" + "1" * 56)
    response = await ask(world, "/archive/recordings/abcdef01")
    assert "more characters" in assert_problem(response, 409, "ambiguous-id")["detail"]
    assert (await ask(world, "/archive/recordings/abcdef011")).status_code == 200


@in_virtual_time
async def test_each_representation_has_a_tag_of_its_own(world: World) -> None:
    await filled(world)
    tags = [
        (await raw(world, path, headers))[0]["etag"]
        for path, headers in (
            *((path, dict[str, str]()) for path in FACTS),
            (FACTS[1], COUNTS),
            (FACTS[1], FRAME),
        )
    ]
    assert len(set(tags)) == 5
    for headers in ({}, COUNTS, FRAME):
        for tag in set(tags[1:2] + tags[3:]):
            own = (await raw(world, FACTS[1], headers))[0]["etag"]
            got, _ = await raw(world, FACTS[1], {**headers, "if-none-match": tag})
            assert (got["status"] == 304) is (tag == own)


@in_virtual_time
async def test_a_fact_stays_the_same_byte_for_byte_whatever_happens_later(world: World) -> None:
    unit = await filled(world)
    before = [await raw(world, path, {}) for path in FACTS]
    await ask(world, f"{ONE}/review", "PUT", json=REVIEW)
    unit.erase()
    unit.record(1, axis=2)
    await world.gateway.waveform(HERE, 0)
    await world.restart()
    assert [await raw(world, path, {}) for path in FACTS] == before


@pytest.mark.parametrize("path", LISTS)
@in_virtual_time
async def test_what_may_change_is_not_to_be_kept(world: World, path: str) -> None:
    await filled(world)
    response = await ask(world, path)
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


@in_virtual_time
async def test_a_real_unit_is_not_called_simulated(world: World) -> None:
    await filled(world)
    write_row(disk_of(world), "recordings", {}, simulated=False)
    write_row(disk_of(world), "recording_waveforms", {})
    for path in FACTS:
        assert "x-simulated" not in (await raw(world, path, {}))[0]
    assert (await ask(world, ONE)).json()["simulated"] is False


@in_virtual_time
async def test_an_erase_at_the_unit_leaves_the_archive_whole(world: World) -> None:
    unit = await filled(world)
    before = (await ask(world, "/archive/events")).json()["events"]
    unit.erase()
    unit.record(1, axis=1)
    live = await ask(world, "/device/events", host="unit.invalid")
    assert live.json()["count"] == 1
    after = (await ask(world, "/archive/events")).json()["events"]
    assert [event for event in after if event in before] == before
    assert len(after) == 4
    dropped = await ask(world, "/cache/device", "DELETE", host="unit.invalid")
    assert dropped.status_code == 204
    assert (await ask(world, "/archive/events")).json()["events"] == after


# ---- which, and in what order


@in_virtual_time
async def test_paging_to_the_end_loses_and_doubles_nothing_that_was_there(world: World) -> None:
    unit = await filled(world, 7)
    there = [e["id"] for e in (await ask(world, "/archive/events")).json()["events"]]
    met: list[int] = []
    cursor: dict[str, str] = {}
    for _ in range(20):
        page = (await ask(world, "/archive/events", limit=2, **cursor)).json()
        assert len(page["events"]) <= 2
        met += [event["id"] for event in page["events"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        unit.record(1, axis=1)
        await world.gateway.events(HERE)
    assert met == there
    newest = (await ask(world, "/archive/events", limit=1)).json()["events"][0]
    assert newest["id"] not in there


@in_virtual_time
async def test_the_last_page_says_that_it_is(world: World) -> None:
    await filled(world, 2)
    for limit, is_last in ((1, False), (2, True), (1000, True)):
        page = (await ask(world, "/archive/events", limit=limit)).json()
        assert (page["next_cursor"] is None) is is_last


@in_virtual_time
async def test_filters_take_what_they_say(world: World) -> None:
    unit = await filled(world, 3)
    unit.record_event(counts=np.full((4, 16), 2000, np.int16), project="South Wall 100%_a")
    await world.gateway.events(HERE)
    world.plug(FieldUnit("SIM0002").record(1), ELSEWHERE)
    await world.gateway.events(ELSEWHERE)
    every = (await ask(world, "/archive/events")).json()["events"]
    assert len(every) == 5

    async def found(**wanted: Any) -> list[int]:
        body = (await ask(world, "/archive/events", **wanted)).json()
        return [event["id"] for event in body["events"]]

    def those(fits: Any) -> list[int]:
        return [event["id"] for event in every if fits(event)]

    middle = sorted(event["timestamp"] for event in every)[2]
    assert await found(serial="SIM0002") == those(lambda e: e["serial"] == "SIM0002") != []
    assert await found(serial="SIM") == []
    assert await found(since=middle) == those(lambda e: e["timestamp"] >= middle) != []
    assert await found(until=middle) == those(lambda e: e["timestamp"] < middle) != []
    day = middle[:10]
    same = [day, f"{day} 00:00", f"{day}T00:00:00.000", day.replace("-", "")]
    midnight = those(lambda e: e["timestamp"] >= f"{day}T00:00:00")
    for written in same:
        assert await found(since=written) == midnight != []
        assert await found(until=written) == []
    loud = max(event["peaks"]["vector_sum_in_s"] for event in every)
    assert await found(min_pvs=0) == those(lambda e: True)
    assert await found(min_pvs=loud) == those(lambda e: e["project"] == "South Wall 100%_a") != []
    assert await found(min_pvs=loud * 1.01) == []
    for project in ("south wall", "100%_", "WALL"):
        assert await found(project=project) == await found(min_pvs=loud)
    assert await found(project="100_%") == []
    assert (
        await found(serial="SIM0001", since=middle, limit=1)
        == those(lambda e: e["serial"] == "SIM0001" and e["timestamp"] >= middle)[:1]
    )


BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    ("/archive/events", {"since": "yesterday"}, "since"),
    ("/archive/events", {"since": ""}, "since"),
    ("/archive/events", {"since": "2026-04-01T00:00:00Z"}, "since"),
    ("/archive/events", {"since": "2026-02-30"}, "since"),
    ("/archive/events", {"until": "2026-04-01T00:00:00+02:00"}, "until"),
    ("/archive/events", {"until": "00:28:12"}, "until"),
    ("/archive/events", {"min_pvs": -0.1}, "min_pvs"),
    ("/archive/events", {"min_pvs": "nan"}, "min_pvs"),
    ("/archive/events", {"min_pvs": "inf"}, "min_pvs"),
    ("/archive/events", {"min_pvs": "loud"}, "min_pvs"),
    ("/archive/events", {"limit": 0}, "limit"),
    ("/archive/events", {"limit": 1001}, "limit"),
    ("/archive/events", {"cursor": "abc"}, "cursor"),
    ("/archive/events", {"cursor": ""}, "cursor"),
    ("/archive/events", {"cursor": "MSAn"}, "cursor"),
    ("/archive/events", {"cursor": "M" * 101}, "cursor"),
    ("/archive/events", {"project": ""}, "project"),
    ("/archive/events", {"project": "p" * 101}, "project"),
    ("/archive/events", {"project": "a\x00b"}, "project"),
    ("/archive/events", {"serial": ""}, "serial"),
    ("/archive/events", {"serial": "S\x00"}, "serial"),
    ("/archive/events", {"serial": "S" * 65}, "serial"),
    ("/archive/events", {"serail": "SIM0001"}, "serail"),
    ("/archive/units", {"serial": "SIM0001"}, "serial"),
    ("/archive/findings", {"limit": 0}, "limit"),
    ("/archive/findings", {"cursor": "x"}, "cursor"),
    ("/archive/recordings/1", {}, "id"),
    ("/archive/recordings/0123456", {}, "id"),
    ("/archive/recordings/first_one", {}, "id"),
    (f"/archive/recordings/{'0' * 65}", {}, "id"),
    (ONE, {"content": "0" * 64}, "content"),
    (f"{ONE}/waveform", {"content": "0" * 63}, "content"),
    (f"{ONE}/waveform", {"content": "0" * 65}, "content"),
    (f"{ONE}/waveform", {"content": "g" * 64}, "content"),
    (f"{ONE}/image", {"content": ""}, "content"),
    (f"{ONE}/image", {"format": "x"}, "format"),
    (f"{ONE}/review", {"limit": 1}, "limit"),
]


@pytest.mark.parametrize(("path", "params", "field"), BAD_INPUT)
@in_virtual_time
async def test_bad_input_is_refused_and_the_field_is_named(
    world: World, path: str, params: dict[str, Any], field: str
) -> None:
    await filled(world)
    body = assert_problem(await ask(world, path, **params), 422, "invalid-parameter")
    assert [error["field"] for error in body["errors"]] == [field]
    assert all(error["message"] for error in body["errors"])
    assert disk_of(world).read(store_archive.load_findings) == []
    assert world.gateway.store_service.state()["state"] == "ok"


DENVER = Roster(zones=(Zone(id=1, serial="*", zone="America/Denver"),))
"""UTC-6 in April and May, UTC-7 in January."""
READ_AT = datetime(2026, 5, 1, tzinfo=UTC)
"""When the first event of a world is read."""


@pytest.mark.parametrize(
    ("device_time", "utc", "unknown"),
    [
        ("2026-04-30T17:59:59", "2026-04-30T23:59:59.000+00:00", None),
        ("1999-12-31T23:59:59", None, "before-2000"),
        ("2000-01-01T00:00:00", "2000-01-01T07:00:00.000+00:00", None),
        ("2026-05-01T20:00:00", "2026-05-02T02:00:00.000+00:00", None),  # 26 h after the read
        ("2026-05-01T20:00:01", None, "after-read"),
        ("2038-01-19T03:14:08", None, "after-read"),
    ],
)
@in_virtual_time
async def test_the_instant_of_a_recording_is_right_or_the_answer_says_why_there_is_none(
    world: World, device_time: str, utc: str | None, unknown: str | None
) -> None:
    await world.with_disk()
    unit = world.plug(FieldUnit())
    unit.record_event(counts=ground(), at_device_time=datetime.fromisoformat(device_time))
    await world.gateway.events(HERE)
    world.gateway.store_service.zones = DENVER
    one = assert_declared(await ask(world, ONE), ONE)
    [row] = (await ask(world, "/archive/events")).json()["events"]
    assert one["read_at"] == utc_text(READ_AT)
    for answer in (one, row):
        assert answer["timestamp"] == device_time
        assert (answer["utc"], answer["utc_unknown"]) == (utc, unknown)


@in_virtual_time
async def test_a_time_with_a_zone_is_refused_with_the_reason(world: World) -> None:
    await world.with_disk()
    response = await ask(world, "/archive/events", since="2026-04-01T00:00:00+02:00")
    assert "without zone" in response.json()["errors"][0]["message"]


@pytest.mark.parametrize("tail", ["", "/waveform", "/image", "/review"])
@in_virtual_time
async def test_a_recording_that_is_not_there_is_404_and_the_404_is_not_kept(
    world: World, tail: str
) -> None:
    await filled(world)
    for number in ("00000099", "f" * 64):
        response = await ask(world, f"/archive/recordings/{number}{tail}")
        assert number in assert_problem(response, 404, "no-such-record")["detail"]


@pytest.mark.parametrize("tail", ["/waveform", "/image"])
@in_virtual_time
async def test_samples_that_were_not_downloaded_are_404_until_they_are(
    world: World, tail: str
) -> None:
    await filled(world)
    response = await ask(world, f"/archive/recordings/00000002{tail}")
    assert "never downloaded" in assert_problem(response, 404, "no-such-record")["detail"]
    await world.gateway.waveform(HERE, 1)
    assert (await ask(world, f"/archive/recordings/00000002{tail}")).status_code == 200


# ---- what people say


@in_virtual_time
async def test_a_review_is_kept_and_the_latest_counts(world: World) -> None:
    await filled(world)
    assert (await ask(world, f"{ONE}/review")).json() == {"current": None, "history": []}
    texts: list[dict[str, Any]] = [
        REVIEW,
        {"reviewer": "B", "false_trigger": False, "note": None},
        {"reviewer": "B", "false_trigger": None, "note": "n" * 4000},
        {"reviewer": "Ω" * 100, "note": "🙂" * 4000},
    ]
    for number, text in enumerate(texts, start=1):
        before = datetime.now(UTC)
        put = await ask(world, f"{ONE}/review", "PUT", json=text)
        stored_now = assert_declared(put, f"{ONE}/review", "put")
        assert put.headers["Cache-Control"] == "no-store"
        whole = {"false_trigger": None, "note": None, **text}
        assert {name: stored_now[name] for name in whole} == whole
        at = datetime.fromisoformat(stored_now["at"])
        assert abs((at - before).total_seconds()) < 60
        got = assert_declared(await ask(world, f"{ONE}/review"), f"{ONE}/review")
        assert got["current"] == stored_now == got["history"][0]
        assert len(got["history"]) == number
    row = (await ask(world, "/archive/events")).json()["events"][-1]
    assert (row["id"], row["review"]) == (public_id(disk_of(world), 1), got["current"])
    assert (await ask(world, "/archive/recordings/00000002/review")).json()["history"] == []


@in_virtual_time
async def test_the_largest_review_goes_through_however_it_is_written(world: World) -> None:
    await filled(world)
    text = {"reviewer": "🙂" * 100, "false_trigger": False, "note": "🙂" * 4000}
    body = json.dumps(text, ensure_ascii=True).encode()
    assert len(body) > 49000
    response = await ask(world, f"{ONE}/review", "PUT", content_=body)
    assert response.json()["note"] == text["note"]


BAD_REVIEWS: list[tuple[str | bytes, str]] = [
    ('{"note": "x"}', "reviewer"),
    ('{"reviewer": ""}', "reviewer"),
    ('{"reviewer": "  "}', "reviewer"),
    ('{"reviewer": null}', "reviewer"),
    ('{"reviewer": 7}', "reviewer"),
    ('{"reviewer": "a\\u0000b"}', "reviewer"),
    ('{"reviewer": "a\\nb"}', "reviewer"),
    (json.dumps({"reviewer": "r" * 101}), "reviewer"),
    ('{"reviewer": "A", "false_trigger": "yes"}', "false_trigger"),
    ('{"reviewer": "A", "false_trigger": 1}', "false_trigger"),
    ('{"reviewer": "A", "note": 5}', "note"),
    ('{"reviewer": "A", "note": "a\\u0000b"}', "note"),
    (json.dumps({"reviewer": "A", "note": "n" * 4001}), "note"),
    ('{"reviewer": "A", "at": "2020-01-01"}', "at"),
    ('{"reviewer": "A", "false-trigger": true}', "false-trigger"),
    ('{"reviewer": "\\ud800"}', "request"),
    ('{"reviewer": "A"', "request"),
    (b'{"reviewer": "\xff"}', "request"),
    ("[]", "request"),
    ("", "request"),
]


@pytest.mark.parametrize(("body", "field"), BAD_REVIEWS)
@in_virtual_time
async def test_a_bad_review_is_refused_and_the_field_is_named(
    world: World, body: str | bytes, field: str
) -> None:
    await filled(world)
    response = await ask(world, f"{ONE}/review", "PUT", content_=body)
    reported = assert_problem(response, 422, "invalid-parameter")
    assert [error["field"] for error in reported["errors"]] == [field]
    assert disk_of(world).read(store_archive.load_reviews, 1) == []


@in_virtual_time
async def test_a_review_of_nothing_is_404_and_an_unknown_parameter_422(world: World) -> None:
    await filled(world)
    response = await ask(world, "/archive/recordings/00000099/review", "PUT", json=REVIEW)
    assert_problem(response, 404, "no-such-record")
    response = await ask(world, f"{ONE}/review", "PUT", json=REVIEW, force="true")
    assert_problem(response, 422, "invalid-parameter")
    assert disk_of(world).read(store_archive.load_reviews, 1) == []


@in_virtual_time
async def test_an_endless_body_is_refused_before_it_is_read(world: World) -> None:
    await filled(world)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1 << 24:
            sent += 4096
            yield b" " * 4096

    response = await ask(world, f"{ONE}/review", "PUT", content_=endless())
    assert_problem(response, 413, "too-large")
    assert sent <= MAX_BYTES + 2 * 4096


# ---- damage, and databases that fail


@pytest.mark.parametrize("headers", [{}, COUNTS, FRAME], ids=["json", "counts", "frame"])
@in_virtual_time
async def test_a_flipped_byte_in_the_counts_is_never_served_and_reported_once(
    world: World, database_url: str, headers: dict[str, str]
) -> None:
    await filled(world, url=database_url)
    tag = (await raw(world, f"{ONE}/waveform", headers))[0]["etag"]
    name = str(public_id(disk_of(world), 1))
    damage(world, "recording_waveforms", "counts")
    for more in ({}, {"if-none-match": tag}, {"if-none-match": "*"}):
        response = await ask(world, f"{ONE}/waveform", headers={**headers, **more})
        body = assert_problem(response, 503, "damaged-record")
        assert f"recording {name[:12]} (SIM0001" in body["detail"]
    [finding] = (await ask(world, "/archive/findings")).json()["findings"]
    assert (finding["kind"], finding["recording_id"]) == ("damaged", name)
    assert finding["serial"] == "SIM0001"
    assert world.gateway.store_service.state()["damaged"] == 3
    assert world.gateway.store_service.state()["state"] == "ok"
    assert (await ask(world, ONE)).status_code == 200
    assert (await ask(world, f"{ONE}/image")).status_code == 200


@pytest.mark.parametrize(
    ("path", "table", "column"),
    [
        (ONE, "recordings", "record"),
        (ONE, "recordings", "content_hash"),
        (f"{ONE}/waveform", "recording_waveforms", "counts_hash"),
        (f"{ONE}/image", "recording_waveforms", "image"),
        (f"{ONE}/image", "recording_waveforms", "content_hash"),
    ],
)
@in_virtual_time
async def test_whatever_does_not_match_its_hash_is_a_problem_and_a_finding(
    world: World, database_url: str, path: str, table: str, column: str
) -> None:
    await filled(world, url=database_url)
    damage(world, table, column)
    for _ in range(2):
        assert_problem(await ask(world, path), 503, "damaged-record")
    assert kinds(world) == ["damaged"]


@in_virtual_time
async def test_two_damages_of_one_recording_are_two_findings_however_often_read(
    world: World, database_url: str
) -> None:
    await filled(world, url=database_url)
    damage(world, "recording_waveforms", "counts")
    damage(world, "recording_waveforms", "image")
    for _ in range(3):
        for tail in ("/waveform", "/image"):
            assert_problem(await ask(world, ONE + tail), 503, "damaged-record")
    assert kinds(world) == ["damaged", "damaged"]


@in_virtual_time
async def test_what_was_mended_and_damaged_again_is_reported_again(
    world: World, database_url: str
) -> None:
    await filled(world, url=database_url)
    whole = await raw(world, f"{ONE}/waveform", FRAME)
    for _ in range(2):
        damage(world, "recording_waveforms", "counts")
        assert_problem(await ask(world, f"{ONE}/waveform"), 503, "damaged-record")
        await world.gateway.waveform(HERE, 0, FORCED)
        assert await raw(world, f"{ONE}/waveform", FRAME) == whole
    assert kinds(world) == ["mended", "damaged"] * 2


@in_virtual_time
async def test_damage_is_reported_even_if_it_cannot_be_recorded(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world, url=database_url)
    damage(world, "recording_waveforms", "image")

    def full(*_: object) -> None:
        raise store_errors.StoreFullError("no room")

    monkeypatch.setattr("sfm.api.routes.archive.save_damage_finding", full)
    assert_problem(await ask(world, f"{ONE}/image"), 503, "damaged-record")
    assert kinds(world) == []


@pytest.mark.parametrize("path", EVERY_GET)
@in_virtual_time
async def test_without_a_database_there_is_no_archive(world: World, path: str) -> None:
    response = await ask(world, path)
    assert "SFM_DATABASE_URL" in assert_problem(response, 404, "no-archive")["detail"]
    assert "Retry-After" not in response.headers


@in_virtual_time
async def test_without_a_database_nothing_can_be_reviewed(world: World) -> None:
    response = await ask(world, f"{ONE}/review", "PUT", json=REVIEW)
    assert_problem(response, 404, "no-archive")


FAILING = [
    (store_errors.StoreLostError("gone"), "store-failed"),
    (store_errors.StoreBusyError("locked"), "store-busy"),
    (store_errors.StoreFullError("full"), "store-full"),
    (store_errors.StoreDamagedError("malformed"), "store-damaged"),
    (store_errors.RevisionError("old; run: seismo-relay db upgrade"), "store-failed"),
    (StoreError("something"), "store-failed"),
]


@pytest.mark.parametrize(("error", "kind"), FAILING)
@in_virtual_time
async def test_a_database_that_fails_is_503_and_says_when_to_ask_again(
    world: World, error: StoreError, kind: str
) -> None:
    await filled(world)
    assert world.disk is not None
    paths = [named(world, path) for path in EVERY_GET]
    world.disk.fail(error)
    for path in paths:
        for _ in range(2):
            response = await ask(world, path)
            assert str(error) in assert_problem(response, 503, kind)["detail"]
            assert int(response.headers["Retry-After"]) > 0
    response = await ask(world, paths[-1], "PUT", json=REVIEW)
    assert_problem(response, 503, kind)
    # The unit is read all the same.
    assert (await ask(world, "/device/events", host="unit.invalid")).status_code == 200
    world.disk.fail(None)
    await asyncio.sleep(120)
    for path in EVERY_GET:
        assert (await ask(world, path)).status_code == 200


@in_virtual_time
async def test_dropping_a_device_reports_that_the_database_could_not(world: World) -> None:
    await filled(world)
    assert world.disk is not None
    world.disk.fail(store_errors.StoreLostError("gone"))
    for _ in range(4):
        response = await ask(world, "/cache/device", "DELETE", host="unit.invalid")
        assert_problem(response, 503, "store-failed")
    assert world.cache.stats()["waveforms"] == 0


def store_kinds() -> list[type[StoreError]]:
    def below(kind: type[StoreError]) -> list[type[StoreError]]:
        return [kind, *(one for sub in kind.__subclasses__() for one in below(sub))]

    return [kind for kind in below(StoreError) if kind.__module__.startswith("sfm.")]


@pytest.mark.parametrize("kind", store_kinds())
def test_every_error_of_the_store_has_a_row_of_its_own(kind: type[StoreError]) -> None:
    assert NoStoreError in store_kinds()
    assert kind in PROBLEMS
    expected = {
        NoStoreError: 404,
        store_errors.NoSuchRecordError: 404,
        store_errors.NoSuchTokenError: 404,
        store_errors.TokenNameTakenError: 409,
        store_errors.BadCursorError: 422,
        store_errors.NoSuchUnitError: 404,
        store_errors.RosterConflictError: 409,
        store_errors.NoSuchCurveError: 404,
        store_errors.LimitConflictError: 409,
        store_errors.AmbiguousIdError: 409,
        store_errors.NoSerialError: 502,
        store_errors.UndecodedSamplesError: 502,
    }
    assert problem_of(kind("message")).status == expected.get(kind, 503)


def test_no_error_of_the_instrument_is_one_of_the_store() -> None:
    assert not any(issubclass(kind, StoreError) for kind in public_errors())
    assert not any(issubclass(kind, MiniMateError) for kind in store_kinds())


# ---- the whole way, and the OpenAPI page


async def test_the_archive_is_read_beside_the_event_loop_from_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'archive.sqlite'}"
    application = build_app(Settings(database_url=url))
    transport = httpx.ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        answers = await asyncio.gather(*(client.get("/archive/events") for _ in range(20)))
        assert {answer.text for answer in answers} == {
            '{"events":[],"next_cursor":null,"damaged":[]}'
        }
        assert_problem(await client.get(ONE), 404, "no-such-record")
        assert (await client.get("/health")).json()["store"]["state"] == "ok"


def test_the_page_describes_every_status_that_occurs() -> None:
    archive = {path: OPENAPI["paths"][path] for path in OPENAPI["paths"] if "/archive" in path}
    found = {
        f"{method.upper()} {path}": set(operation["responses"])
        for path, methods in archive.items()
        for method, operation in methods.items()
    }
    ever = {"200", "404", "422", "500", "503", *map(str, AUTHENTICATION_PROBLEMS)}
    named = ever | {"409"}
    assert found == {
        "GET /archive/units": ever,
        "GET /archive/events": ever,
        "GET /archive/findings": ever,
        "GET /archive/recordings/{id}": named | {"304"},
        "GET /archive/recordings/{id}/waveform": named | {"304", "502"},
        "GET /archive/recordings/{id}/analysis": named | {"304", "502"},
        "GET /archive/recordings/{id}/spectra": named | {"304", "502"},
        "GET /archive/recordings/{id}/export": named | {"304", "501", "502"},
        "GET /archive/recordings/{id}/report.pdf": named | {"501", "502"},
        "GET /archive/recordings/{id}/chart": named | {"501", "502"},
        "GET /archive/recordings/{id}/facts": named | {"501", "502"},
        "PUT /archive/recordings/{id}/facts": named | {"501", "502"},
        "POST /archive/reports": named - {"200"} | {"202", "501", "502"},
        "GET /archive/reports/{id}": ever - {"500", "503"} | {"503"},
        "POST /archive/exports": named - {"200"} | {"202"},
        "GET /archive/exports/{id}": ever - {"500"},
        "GET /archive/recordings/{id}/image": named | {"304"},
        "GET /archive/recordings/{id}/verdicts": named,
        "GET /archive/recordings/{id}/review": named,
        "PUT /archive/recordings/{id}/review": named,
    }
    for methods in archive.values():
        for operation in methods.values():
            for status in set(operation["responses"]) - {"200", "202", "304"}:
                assert list(operation["responses"][status]["content"]) == [MEDIA_TYPE]
    body = archive["/archive/recordings/{id}/review"]["put"]["requestBody"]
    fields = body["content"]["application/json"]["schema"]["properties"]
    assert set(fields) == {"reviewer", "false_trigger", "note"}
    assert "503" in OPENAPI["paths"]["/cache/device"]["delete"]["responses"]


def test_the_docs_page_lists_what_a_review_has() -> None:
    page = docs_page(OPENAPI)
    assert "<tr><td>body: false_trigger<td>boolean<td>Whether the event is a false trigger" in page


def test_the_page_says_whose_time_it_is() -> None:
    parameters = OPENAPI["paths"]["/archive/events"]["get"]["parameters"]
    reported = {parameter["name"]: parameter["description"] for parameter in parameters}
    assert all(reported[name].startswith("Unit time") for name in ("since", "until"))
