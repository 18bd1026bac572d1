"""Units, locations, routes and zones over HTTP; and device routes that name a unit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest
from kit.access_world import LOCAL, ProtectedApp, protected_app, protected_app_of
from kit.empty_databases import memory_store
from kit.relay_world import ELSEWHERE, HERE, FieldUnit, World
from kit.virtual_time import in_virtual_time

from minimateplus.wire import commands
from sfm.access.principal import Role
from sfm.store import audit

NAMED = {"North face": str(HERE)}


async def tell(found: ProtectedApp, method: str, target: str, body: Any = None, **more: Any) -> Any:
    """Return status and body of a request from this machine, or with a token."""
    who = more or LOCAL
    sent = b"" if body is None else json.dumps(body).encode()
    answer: httpx.Response = await found.ask(method, target, body=sent, **who)
    return answer.status_code, answer.json() if answer.content else None


@asynccontextmanager
async def relay(**settings: Any) -> AsyncIterator[tuple[World, ProtectedApp]]:
    """Yield a relay with a database, units behind addresses, and its application."""
    async with World() as world:
        disk = await world.with_disk(**{"units": NAMED, **settings})
        yield world, protected_app_of(world.gateway, world.settings, disk.opened(), real=True)


# --- what there is --------------------------------------------------------------------------------


@in_virtual_time
async def test_a_unit_with_its_location_route_and_last_contact() -> None:
    async with relay() as (world, found):
        unit = world.plug(FieldUnit())
        status, body = await tell(found, "GET", "/units")
        assert (status, body["damaged"]) == (200, [])
        [one] = body["units"]
        assert (one["name"], one["serial"], one["state"]) == ("North face", None, None)
        assert one["conn_key"] == "tcp:unit.invalid:12345"
        assert (await tell(found, "GET", "/device/info?unit=north+FACE"))[0] == 200
        _, body = await tell(found, "GET", "/units")
        [one] = body["units"]
        assert (one["serial"], one["state"], one["simulated"]) == (unit.serial, "deployed", True)
        assert one["confirmed"] is True
        assert one["last_contact_at"].startswith("2026-05-01T")
        [route] = one["routes"]
        assert (route["address"], route["enabled"], route["last_serial"]) == (
            str(HERE),
            True,
            unit.serial,
        )
        assert world.called == 1


@pytest.mark.parametrize("query", ["unit=North+face", f"host={HERE.target}"])
@in_virtual_time
async def test_a_contact_that_ends_in_an_error_is_a_contact(query: str) -> None:
    async with relay(keep_open_s=0) as (world, found):

        async def last() -> tuple[str | None, str | None]:
            [route] = (await tell(found, "GET", "/units"))[1]["units"][0]["routes"]
            return route["last_contact_at"], route["last_serial"]

        # Nobody answers: no contact.
        assert (await tell(found, "GET", f"/device/info?{query}"))[0] == 503
        assert await last() == (None, None)
        await asyncio.sleep(600)
        # The unit says its serial number, and then the link is cut.
        contacts = []
        for serial, sub in (
            ("BE1", commands.RECORDING_SETUP.sub),
            ("BE1", commands.MONITOR_STATUS.sub),
            ("BE2", commands.RECORDING_SETUP.sub),
        ):
            unit = world.plug(FieldUnit(serial))
            unit.at_next(sub, world.cut_at_once)
            status, body = await tell(found, "GET", f"/device/monitor/status?{query}&force=true")
            assert status in (502, 503, 504), body
            contacts.append(await last())
            await asyncio.sleep(600)
        assert [serial for _, serial in contacts] == ["BE1", "BE1", "BE2"]
        times = [at for at, _ in contacts]
        assert None not in times
        assert times == sorted(set(map(str, times)))
        # A client who may not have that unit gets nothing; the contact is noted all the same.
        world.plug(FieldUnit("BE3"))
        secret = found.token("some", Role.OPERATOR, "BE1")
        target = f"/device/monitor/status?{query}&force=true"
        assert (await tell(found, "GET", target, secret=secret))[0] == 403
        assert (await last())[1] == "BE3"


@in_virtual_time
async def test_every_change_is_made_once_and_is_in_the_audit_log() -> None:
    async with protected_app(real=True) as found:
        steps: list[tuple[str, str, Any, int]] = [
            ("POST", "/units", {"serial": "BE12345", "notes": "new"}, 201),
            ("POST", "/units", {"serial": "BE12345"}, 409),
            ("PATCH", "/units/be12345", {"state": "benched", "calibrated_on": "2026-01-02"}, 200),
            ("PATCH", "/units/BE12345", {}, 422),
            ("PATCH", "/units/BE9", {"state": "retired"}, 404),
            ("POST", "/locations", {"name": "Süd × 1", "latitude": 59.9, "longitude": 10.7}, 201),
            ("POST", "/locations", {"name": "süd × 1"}, 409),
            ("POST", "/locations", {"name": "BE11111"}, 422),
            ("POST", "/locations", {"name": "10.0.0.5"}, 422),
            ("PATCH", "/locations/SÜD × 1", {"project": "Tunnel"}, 200),
            ("POST", "/routes", {"location": "Süd × 1", "address": "10.0.0.9"}, 201),
            ("POST", "/routes", {"location": "Süd × 1", "address": "tcp://10.0.0.9:12345"}, 409),
            ("PATCH", "/routes?address=10.0.0.9", {"priority": 2}, 200),
            ("DELETE", "/routes?address=10.0.0.8", None, 404),
            ("POST", "/zones", {"location": "Süd × 1", "zone": "Europe/Oslo"}, 201),
            ("POST", "/zones", {"zone": "Europe/Nowhere"}, 422),
            ("PATCH", "/zones?location=S%C3%BCd+%C3%97+1", {"zone": "UTC"}, 200),
            (
                "POST",
                "/zones",
                {"serial": "BE12345", "zone": "Asia/Tokyo", "from_device_time": "2026-03-01"},
                201,
            ),
            ("DELETE", "/zones?serial=BE12345&from_device_time=2026-03-01", None, 204),
            ("POST", "/locations/Süd × 1/unit", {"serial": "BE12345"}, 200),
            ("DELETE", "/locations/Süd × 1", None, 409),
            ("DELETE", "/units/BE12345", None, 409),
            ("DELETE", "/routes?address=10.0.0.9", None, 204),
            ("DELETE", "/locations/one", None, 204),
        ]
        for method, target, body, expected in steps:
            status, answer = await tell(found, method, target, body)
            assert status == expected, (method, target, answer)
        entries = found.store.read(audit.load_latest, 100, None)
        done = [f"{e['command']}" for e in reversed(entries)]
        assert done == [
            "unit_add",
            "unit_change",
            "location_add",
            "location_change",
            "route_add",
            "route_change",
            "zone_add",
            "zone_change",
            "zone_add",
            "zone_remove",
            "location_unit",
            "route_remove",
            "location_remove",
        ]
        assert entries[0]["actor"] == "local"
        assert found.store.read(audit.verify).is_sound
        _, body = await tell(found, "GET", "/locations")
        [location] = body["locations"]
        assert (location["name"], location["project"]) == ("Süd × 1", "Tunnel")
        [stay] = location["stays"]
        assert stay["serial"] == "BE12345"
        assert [zone["zone"] for zone in location["zones"]] == ["UTC"]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "tcp://[::ffff:169.254.169.254]:80",
        "/dev/null",
        "/dev/../etc/passwd",
        "rfc2217://169.254.169.254:1",
    ],
)
@in_virtual_time
async def test_no_route_leads_where_nothing_is_ever_reached(address: str) -> None:
    async with protected_app(real=True) as found:
        secret = found.token("boss", Role.ADMIN)
        for who in (LOCAL, {"secret": secret}):
            body = {"location": "one", "address": address}
            status, answer = await tell(found, "POST", "/routes", body, **who)
            assert status == 403, answer
        assert [one.address for one in found.app.state.gateway.roster.now.routes] == [
            "tcp://10.9.9.9:12345"
        ]


@in_virtual_time
async def test_a_place_begins_now_by_the_zone_there_or_is_given() -> None:
    async with protected_app(real=True) as found:
        await tell(found, "POST", "/units", {"serial": "BE12345"})
        status, answer = await tell(found, "POST", "/locations/one/unit", {"serial": "BE12345"})
        assert (status, answer["errors"][0]["field"]) == (422, "from_device_time")
        body = {"serial": "BE12345", "from_device_time": "2026-03-01T10:00:00"}
        assert (await tell(found, "POST", "/locations/one/unit", body))[0] == 200


# --- who may see what ----------------------------------------------------------------------------


@in_virtual_time
async def test_a_limited_token_sees_its_units_and_changes_no_roster() -> None:
    async with relay(units={**NAMED, "South": str(ELSEWHERE)}) as (world, found):
        north, south = world.plug(FieldUnit("BE1")), world.plug(FieldUnit("BE2"), ELSEWHERE)
        for name in ("North+face", "South"):
            await tell(found, "GET", f"/device/info?unit={name}")
        secret = found.token("some", Role.ADMIN, north.serial)
        _, body = await tell(found, "GET", "/units", secret=secret)
        assert [one["serial"] for one in body["units"]] == ["BE1"]
        _, body = await tell(found, "GET", "/locations", secret=secret)
        assert [one["name"] for one in body["locations"]] == ["North face"]
        assert (await tell(found, "GET", "/device/info?unit=BE1", secret=secret))[0] == 200
        for unit in ("BE2", "South", "nowhere", str(ELSEWHERE)):
            status, answer = await tell(found, "GET", f"/device/info?unit={unit}", secret=secret)
            assert status == 403, answer
            assert south.serial not in json.dumps(answer).replace("unit=BE2", "").replace(
                "permit BE2", ""
            )
            named = "tcp:other.invalid" if unit == str(ELSEWHERE) else unit
            assert answer["detail"].startswith(f"your token does not permit {named}"), answer
        changes: list[tuple[str, str, Any]] = [
            ("POST", "/units", {"serial": "BE3"}),
            ("PATCH", "/units/BE2", {"state": "benched"}),
            ("POST", "/locations", {"name": "East"}),
            ("DELETE", f"/routes?address={HERE}", None),
            ("POST", "/locations/South/unit", {"serial": "BE1", "from_device_time": "2026-01-01"}),
        ]
        for method, target, given in changes:
            status, answer = await tell(found, method, target, given, secret=secret)
            assert status == 403, (target, answer)
        for method, target, given in (
            ("PATCH", "/units/{}", {"state": "benched"}),
            ("DELETE", "/units/{}", None),
            ("PATCH", "/locations/{}", {"project": "Tunnel"}),
            ("DELETE", "/locations/{}", None),
            ("POST", "/locations/{}/unit", {"serial": "BE1", "from_device_time": "2026-01-01"}),
            ("POST", "/routes", {"location": "{}", "address": str(HERE)}),
            ("PATCH", "/routes?address={}", {"priority": 1}),
        ):
            answers = []
            for known, other in (("BE2", "BE777"), ("South", "nowhere")):
                for name in (known, other):
                    body = given and {k: str(v).format(name) for k, v in given.items()}
                    answer = await tell(found, method, target.format(name), body, secret=secret)
                    answers.append((answer[0], answer[1]["type"], answer[1]["detail"]))
            assert len(set(answers)) <= 2, answers
            assert answers[0] == answers[1], answers
            assert answers[2] == answers[3], answers
        status, _ = await tell(found, "PATCH", "/units/BE1", {"state": "benched"}, secret=secret)
        assert status == 200


@pytest.mark.parametrize("value", [True, "61"])
@in_virtual_time
async def test_what_is_no_number_in_a_body_is_refused(value: object) -> None:
    async with relay() as (_, found):
        given = {"name": "East", "latitude": value}
        assert (await tell(found, "POST", "/locations", given))[0] == 422
        for target in ("events/erase", "rescue"):
            erase = {"serial": "BE1", "count": value, "erase": "true"}
            erase.pop("erase" if target == "events/erase" else "count")
            status, answer = await tell(found, "POST", f"/device/{target}?unit=North+face", erase)
            assert (status, answer["errors"][0]["field"]) == (
                422,
                "count" if target == "events/erase" else "erase",
            )


@in_virtual_time
async def test_another_unit_behind_a_limited_tokens_route_gives_it_nothing() -> None:
    async with relay() as (world, found):
        world.plug(FieldUnit("BE1"))
        await tell(found, "GET", "/device/info?unit=North+face")
        secret = found.token("some", Role.VIEWER, "BE1")
        world.plug(FieldUnit("BE2"))
        await asyncio.sleep(60)  # the open link ends
        for path in ("monitor/status", "events", "info", "monitor/status"):
            target = f"/device/{path}?unit=North+face"
            status, answer = await tell(found, "GET", target, secret=secret)
            # The status was read before the swap was noticed or after: of BE2 it says nothing.
            assert status == 403 or (path == "info" and answer["serial"] == "BE1"), answer
            assert "BE2" not in json.dumps(answer)


# --- a device route that names a unit -------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["unit=North+face", "unit=unit.invalid", "unit=tcp://unit.invalid:12345"]
)
@in_virtual_time
async def test_a_unit_is_named_in_any_spelling(query: str) -> None:
    async with relay() as (world, found):
        unit = world.plug(FieldUnit().record(2))
        status, body = await tell(found, "GET", f"/device/events?{query}")
        assert (status, body["count"]) == (200, 2)
        # The hit layer has the same one.
        status, body = await tell(found, "GET", f"/device/info?{query}")
        heard = len(unit.heard)
        status, body = await tell(found, "GET", f"/device/info?{query}")
        assert (status, body["serial"], body["provenance"]["why"]) == (200, unit.serial, "hit")
        assert len(unit.heard) == heard
        assert (await tell(found, "GET", f"/device/info?unit={unit.serial}"))[0] == 200


@pytest.mark.parametrize("has_store", [True, False], ids=["database", "none"])
@in_virtual_time
async def test_a_unit_reached_by_address_alone_is_reached_by_its_serial_number(
    has_store: bool,
) -> None:
    async with relay() as (world, found):
        if not has_store:
            world.disk = None
            await world.restart()
            store = memory_store()
            found = protected_app_of(world.gateway, world.settings, store, real=True)
        unit = world.plug(FieldUnit("BE1").record(2), ELSEWHERE)
        assert (await tell(found, "GET", "/device/info?unit=BE1"))[0] == 404
        by_address = f"/device/events?host={ELSEWHERE.target}"
        assert (await tell(found, "GET", by_address))[1]["count"] == 2
        status, body = await tell(found, "GET", "/device/events?unit=be1")
        assert (status, body["count"], body["provenance"]["serial"]) == (200, 2, "BE1")
        done = {"serial": "BE1", "count": 2, "discard_unarchived": True}
        status, _ = await tell(found, "POST", "/device/events/erase?unit=BE1", done)
        assert (status, unit.events) == (200, [])
        other = world.plug(FieldUnit("BE2"), ELSEWHERE)
        await asyncio.sleep(60)
        for path in ("events", "info?force=true", "monitor/status"):
            query = f"{path}{'&' if '?' in path else '?'}unit=BE1"
            status, body = await tell(found, "GET", f"/device/{query}")
            assert (status, "events" in body, "setup" in body) == (404, False, False), body
        assert (await tell(found, "GET", f"/device/info?unit={other.serial}"))[0] == 200


@pytest.mark.parametrize("has_store", [True, False], ids=["database", "none"])
@in_virtual_time
async def test_a_unit_reached_by_address_alone_is_listed_with_route_and_contact(
    has_store: bool,
) -> None:
    async with relay(egress=["any"]) as (world, found):
        if not has_store:
            world.disk = None
            await world.restart()
            store = memory_store()
            found = protected_app_of(world.gateway, world.settings, store, real=True)
        world.plug(FieldUnit("BE1"), ELSEWHERE)
        key = f"tcp:{ELSEWHERE.target}:12345"

        async def listed(**who: Any) -> list[Any]:
            units = (await tell(found, "GET", "/units", **who))[1]["units"]
            return [
                (one["conn_key"], (one["last_contact_at"] or "")[:10], one["routes"])
                for one in units
                if one["serial"] == "BE1"
            ]

        assert (await tell(found, "GET", f"/device/info?host={ELSEWHERE.target}"))[0] == 200
        assert await listed() == [(key, "2026-05-01", [])]
        if has_store:
            mine = found.token("its own", Role.VIEWER, "BE1")
            assert await listed(secret=mine) == await listed()
        # Another unit answers there now: the address leads to the first one no more.
        world.plug(FieldUnit("BE2"), ELSEWHERE)
        await asyncio.sleep(60)
        target = f"/device/monitor/status?host={ELSEWHERE.target}&force=true"
        assert (await tell(found, "GET", target))[0] == 200
        assert await listed() == [(None, "", [])]


@in_virtual_time
async def test_an_address_that_a_client_may_not_reach_is_not_listed() -> None:
    async with relay() as (world, found):
        world.plug(FieldUnit("BE1"), ELSEWHERE)
        assert (await tell(found, "GET", f"/device/info?host={ELSEWHERE.target}"))[0] == 200
        secret = found.token("all", Role.ADMIN)
        for who, key in ((LOCAL, f"tcp:{ELSEWHERE.target}:12345"), ({"secret": secret}, None)):
            units = (await tell(found, "GET", "/units", **who))[1]["units"]
            [one] = [one for one in units if one["serial"] == "BE1"]
            assert one["conn_key"] == key
            assert (one["last_contact_at"] is None) == (key is None)


@in_virtual_time
async def test_a_serial_number_gives_a_token_no_more_than_its_address_does() -> None:
    async with relay(egress=["any"]) as (world, found):
        world.plug(FieldUnit("BE1"), ELSEWHERE)
        at = f"host={ELSEWHERE.target}"
        assert (await tell(found, "GET", f"/device/info?{at}"))[0] == 200
        mine, other = (found.token(f"of {one}", Role.VIEWER, one) for one in ("BE1", "BE2"))
        by_route = found.token("of the route", Role.VIEWER, f"tcp:{ELSEWHERE.target}:12345")
        for secret, status in ((mine, 200), (by_route, 200), (other, 403)):
            for named in (at, "unit=BE1"):
                got, body = await tell(found, "GET", f"/device/info?{named}", secret=secret)
                assert got == status, body
        assert (await tell(found, "GET", "/device/info?unit=BE3", secret=other))[0] == 403
        # The address leads to another unit: its token gets that, and the first one's gets nothing.
        world.plug(FieldUnit("BE2"), ELSEWHERE)
        await asyncio.sleep(60)
        for secret, serial in ((other, "BE1"), (mine, "BE2")):
            for path in ("monitor/status", "events", "info"):
                target = f"/device/{path}?unit={serial}"
                got, body = await tell(found, "GET", target, secret=secret)
                assert (got, body["type"].rpartition(":")[2]) == (403, "not-allowed"), body
        assert (await tell(found, "GET", f"/device/monitor/status?{at}"))[0] == 200
        for secret, status in ((other, 200), (mine, 403)):
            got, _ = await tell(found, "GET", "/device/info?unit=BE2", secret=secret)
            assert got == status
        assert (await tell(found, "GET", "/device/events?unit=BE1", secret=mine))[0] == 404


@in_virtual_time
async def test_a_serial_number_leads_a_token_to_no_address_that_it_may_not_reach() -> None:
    async with relay() as (world, found):
        unit = world.plug(FieldUnit("BE1"), ELSEWHERE)
        assert (await tell(found, "GET", f"/device/info?host={ELSEWHERE.target}"))[0] == 200
        heard = len(unit.heard)
        for secret in (found.token("all", Role.ADMIN), found.token("own", Role.ADMIN, "BE1")):
            for query in (f"host={ELSEWHERE.target}", "unit=BE1"):
                target = f"/device/monitor/status?{query}"
                status, body = await tell(found, "GET", target, secret=secret)
                assert (status, body["type"].rpartition(":")[2]) == (403, "forbidden-address"), body
        assert len(unit.heard) == heard


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("unit=North+face&host=unit.invalid", 422),
        ("unit=North+face&port=COM3", 422),
        ("unit=", 422),
        ("unit=tcp://", 422),
        ("unit=replay:x", 422),
        ("", 422),
        ("unit=nowhere", 404),
        ("unit=BE99999", 404),
    ],
)
@in_virtual_time
async def test_exactly_one_unit_is_named_and_it_is_known(query: str, status: int) -> None:
    async with relay() as (world, found):
        world.plug(FieldUnit())
        for path in ("info", "events", "event/0", "monitor/status"):
            got, body = await tell(found, "GET", f"/device/{path}?{query}")
            assert got == status, body
            assert body["type"].endswith("unknown-unit" if status == 404 else "invalid-parameter")
        assert world.called == 0


@in_virtual_time
async def test_a_changed_route_is_taken_by_the_next_request_hits_included() -> None:
    async with relay() as (world, found):
        world.plug(FieldUnit("BE1"))
        world.plug(FieldUnit("BE2"), ELSEWHERE)
        target = "/device/info?unit=North+face"
        for _ in range(2):
            assert (await tell(found, "GET", target))[1]["serial"] == "BE1"
        body = {"location": "North face", "address": str(ELSEWHERE), "priority": 1}
        assert (await tell(found, "POST", "/routes", body))[0] == 201
        assert (await tell(found, "GET", target))[1]["serial"] == "BE1"
        await tell(found, "PATCH", f"/routes?address={HERE}", {"enabled": False})
        for _ in range(2):
            assert (await tell(found, "GET", target))[1]["serial"] == "BE2"


@in_virtual_time
async def test_a_failing_route_beside_a_live_one_is_not_taken() -> None:
    async with relay() as (world, found):
        await tell(
            found,
            "POST",
            "/routes",
            {"location": "North face", "address": str(ELSEWHERE), "priority": 1},
        )
        world.plug(FieldUnit("BE1"), ELSEWHERE)
        target = "/device/info?unit=North+face"
        seen = [(await tell(found, "GET", target))[0] for _ in range(3)]
        assert seen[0] == 503
        assert seen[-1] == 200


COMMANDS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "start": ("/device/monitor/start?follow=false&", None),
    "stop": ("/device/monitor/stop?follow=false&", None),
    "config": ("/device/config?", {"project": "Tunnel"}),
    "call home": ("/device/call_home?", {"enabled": False}),
}


@pytest.mark.parametrize("command", COMMANDS)
@in_virtual_time
async def test_a_command_by_name_is_refused_until_the_new_unit_is_confirmed(command: str) -> None:
    path, body = COMMANDS[command]
    is_in_query = body is None
    async with relay() as (world, found):
        world.plug(FieldUnit("BE1"))
        await tell(found, "GET", "/device/info?unit=North+face")
        other = world.plug(FieldUnit("BE2"))
        await asyncio.sleep(60)
        target = f"{path}unit=North+face"
        for _ in range(2):
            status, answer = await tell(found, "POST", target, body)
            assert (status, answer.get("reason")) == (409, "serial-differs"), answer
            await tell(found, "GET", "/device/monitor/status?unit=North+face")
        _, units = await tell(found, "GET", "/units")
        [here] = [one for one in units["units"] if one["name"] is not None]
        assert (here["serial"], here["confirmed"]) == ("BE2", False)
        changed = [one for one in other.heard if one in (0x96, 0x97, 0x71, 0x72)]
        assert changed == []
        # By address it is the unit that answers; by name once the new number is given.
        given = body and {**body, "serial": "BE2"}
        more = "&serial=BE2" if is_in_query else ""
        status, answer = await tell(found, "POST", target + more, given)
        assert (status, answer["serial"]) == (200, "BE2"), answer
        status, answer = await tell(found, "POST", target, body)
        assert (status, answer["serial"]) == (200, "BE2"), answer


@in_virtual_time
async def test_a_command_by_serial_number_is_for_that_unit_alone() -> None:
    async with relay() as (world, found):
        world.plug(FieldUnit("BE1"))
        await tell(found, "GET", "/device/info?unit=North+face")
        world.plug(FieldUnit("BE2"))
        await asyncio.sleep(60)
        status, answer = await tell(found, "POST", "/device/monitor/start?unit=BE1&follow=false")
        assert (status, answer.get("reason")) == (409, "serial-differs")


# --- zones ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_unit_that_moved_across_zones_has_each_event_in_its_own() -> None:
    async with relay(site_zones={"*": "UTC", "North face": "Europe/Oslo"}) as (world, found):
        unit = FieldUnit("BE1")
        for at in (datetime(2026, 2, 1, 12), datetime(2026, 3, 1, 12), datetime(2026, 4, 1, 12)):
            unit.record_event(at_device_time=at)
        world.plug(unit)
        await tell(found, "GET", "/device/events?unit=North+face")

        async def utc() -> list[str | None]:
            _, page = await tell(found, "GET", "/archive/events?serial=BE1")
            for row in page["events"]:
                _, one = await tell(found, "GET", f"/archive/recordings/{row['id']}")
                assert one["utc"] == row["utc"]
            return [None if row["utc"] is None else row["utc"][5:16] for row in page["events"]]

        assert await utc() == ["04-01T10:00", "03-01T11:00", "02-01T11:00"]
        await tell(found, "POST", "/locations", {"name": "Denver"})
        await tell(found, "POST", "/zones", {"location": "Denver", "zone": "America/Denver"})
        body = {"serial": "BE1", "from_device_time": "2026-03-01T12:00:00"}
        assert (await tell(found, "POST", "/locations/Denver/unit", body))[0] == 200
        assert await utc() == ["04-01T18:00", "03-01T19:00", "02-01T11:00"]
        later = {"location": "Denver", "zone": "Asia/Tokyo", "from_device_time": "2026-04-01"}
        await tell(found, "POST", "/zones", later)
        assert await utc() == ["04-01T03:00", "03-01T19:00", "02-01T11:00"]
        _, page = await tell(found, "GET", "/archive/events?serial=BE9")
        assert page["events"] == []
