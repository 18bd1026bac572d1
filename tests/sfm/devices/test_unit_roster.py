"""The roster in memory: what a name leads to, what settings add, and who answered where."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kit.relay_world import at_once
from kit.virtual_time import in_virtual_time, now_s
from sqlalchemy import Connection

from minimateplus.link import Address, parse_address
from sfm.access.egress import EgressPolicy, ForbiddenAddressError
from sfm.devices.roster import UnitRoster
from sfm.devices.target import conn_key_of
from sfm.settings import Settings
from sfm.store import Store, roster
from sfm.store.errors import NoStoreError, NoSuchUnitError
from sfm.store.service import StoreService

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NORTH = parse_address("tcp://10.0.0.5")
UNITS = {"North face": "tcp://10.0.0.5", "South": "tcp://10.0.0.7"}


class World:
    """A roster, with a database in memory unless there is none."""

    def __init__(self, path: Path | None, **settings: Any) -> None:
        def open_store() -> Store:
            return Store.open(f"sqlite:///{path}")

        self.settings = Settings(**{"units": UNITS, **settings})
        self.service = StoreService(
            None if path is None else open_store, clock=now_s, wall=lambda: NOW, run=at_once
        )
        self.egress = EgressPolicy(["registered"])
        self.roster = UnitRoster(self.settings, self.service, self.egress, wall=lambda: NOW)

    async def contact(self, address: Address, serial: str, *, simulated: bool | None) -> None:
        """Note that a unit answered, as the registry does."""
        self.roster.note_reached(conn_key_of(address), serial)
        await self.roster.note_contact(address, serial, simulated=simulated)

    def route(self, name: str, address: str, **more: Any) -> Callable[[Connection], object]:
        location = self.roster.now.location_named(name)
        assert location is not None
        return partial(roster.add_route, location_id=location.id, address=address, **more)


@pytest.fixture(params=["database", "settings alone"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path / "relay.sqlite" if request.param == "database" else None)


@in_virtual_time
async def test_a_name_and_the_serial_number_last_met_there_lead_to_a_route(world: World) -> None:
    await world.roster.load()
    target = world.roster.target("north FACE")
    assert (target.addresses, target.serial) == ((NORTH,), None)
    for unknown in ("BE1", "Nort", "localhost"):
        with pytest.raises(NoSuchUnitError):
            world.roster.target(unknown)
    await world.contact(NORTH, "BE1", simulated=True)
    assert world.roster.target("North face").serial == "BE1"
    assert world.roster.target("be1").addresses == (NORTH,)
    assert world.roster.target(parse_address("tcp://10.0.0.9")).serial is None
    await world.service.close()


@in_virtual_time
async def test_commands_by_name_are_for_the_confirmed_unit(world: World) -> None:
    await world.roster.load()
    await world.contact(NORTH, "BE1", simulated=False)
    await world.contact(NORTH, "BE2", simulated=False)
    assert world.roster.target("North face").serial == "BE1"
    location = world.roster.location_at(NORTH)
    assert location is not None
    assert location.serial == "BE2"
    await world.roster.confirm(location, "BE2")
    assert world.roster.target("North face").serial == "BE2"
    await world.service.close()


@in_virtual_time
async def test_a_name_leads_to_its_enabled_routes_the_preferred_one_first(tmp_path: Path) -> None:
    world = World(tmp_path / "relay.sqlite")
    await world.roster.load()
    await world.roster.change(world.route("North face", "tcp://10.0.0.6:12345", priority=1))
    second = parse_address("tcp://10.0.0.6")
    assert world.roster.target("North face").addresses == (NORTH, second)
    disable = partial(roster.change_route, address=str(NORTH), enabled=False)
    await world.roster.change(disable)
    assert world.roster.target("North face").addresses == (second,)
    await world.roster.change(partial(roster.remove_route, address=str(second)))
    with pytest.raises(NoSuchUnitError, match="no enabled route"):
        world.roster.target("North face")
    await world.service.close()


@in_virtual_time
async def test_only_enabled_routes_are_registered_for_the_network(tmp_path: Path) -> None:
    world = World(tmp_path / "relay.sqlite", units={})
    await world.roster.load()
    address = parse_address("tcp://10.0.0.5")
    with pytest.raises(ForbiddenAddressError):
        world.egress.check(address, is_local=False)
    await world.roster.change(partial(roster.add_location, name="North face"))
    await world.roster.change(world.route("North face", str(address), keep_open_s=60.0))
    world.egress.check(address, is_local=False)
    assert world.roster.keep_open_s_of(address) == 60.0
    await world.roster.change(partial(roster.change_route, address=str(address), enabled=False))
    with pytest.raises(ForbiddenAddressError):
        world.egress.check(address, is_local=False)
    await world.service.close()


@in_virtual_time
async def test_what_the_database_has_is_not_changed_by_the_settings_of_a_later_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "relay.sqlite"
    world = World(path, site_zones={"*": "UTC"})
    await world.roster.load()
    assert world.roster.differences == []
    await world.service.close()
    world = World(path, units={"North face": "tcp://10.0.0.9"}, site_zones={"*": "Europe/Oslo"})
    await world.roster.load()
    assert world.roster.target("North face").addresses == (NORTH,)
    assert {one.name for one in world.roster.now.locations.values()} == set(UNITS)
    zone = world.service.zones.zone_at("BE1", datetime(2026, 1, 1))
    assert zone is not None
    assert zone.key == "UTC"
    assert len(world.roster.differences) == 2
    await world.service.close()


@in_virtual_time
async def test_while_the_database_cannot_be_opened_the_settings_are_the_roster(
    tmp_path: Path,
) -> None:
    path = tmp_path / "relay.sqlite"
    path.write_bytes(b"")
    world = World(path)
    await world.roster.load()
    assert not world.roster.is_loaded
    assert world.roster.target("North face").addresses == (NORTH,)
    await world.contact(NORTH, "BE1", simulated=False)
    await world.service.close()


@in_virtual_time
async def test_without_a_database_nothing_is_changed(tmp_path: Path) -> None:
    world = World(None)
    with pytest.raises(NoStoreError):
        await world.roster.change(partial(roster.add_location, name="x"))
    await world.service.close()


@in_virtual_time
async def test_a_contact_is_written_only_when_it_tells_something_new(tmp_path: Path) -> None:
    world = World(tmp_path / "relay.sqlite")
    await world.roster.load()
    await world.contact(NORTH, "BE1", simulated=True)
    before = world.roster.now
    await world.contact(NORTH, "BE1", simulated=True)
    assert world.roster.now is before  # each change is loaded anew
    assert world.roster.contacts[conn_key_of(NORTH)].serial == "BE1"
    await world.contact(parse_address("tcp://10.9.9.9"), "BE7", simulated=None)
    assert world.roster.now.units["BE7"].simulated is None
    await world.service.close()
    with sqlite3.connect(tmp_path / "relay.sqlite") as connection:
        found = connection.execute("SELECT serial FROM units ORDER BY serial").fetchall()
    connection.close()
    assert found == [("BE1",), ("BE7",)]


@in_virtual_time
async def test_a_serial_number_leads_to_where_the_unit_answered_last(world: World) -> None:
    first, second = parse_address("tcp://Modem.example:9000"), parse_address("/dev/ttyUSB0")
    await world.roster.load()
    with pytest.raises(NoSuchUnitError):
        world.roster.target("BE7")
    for address in (first, second, first):
        await world.contact(address, "BE7", simulated=False)
    target = world.roster.target("be7")
    assert [conn_key_of(one) for one in target.addresses] == [
        conn_key_of(first),
        "serial:/dev/ttyUSB0:38400",
    ]
    assert (target.unit, target.serial) == ("BE7", "BE7")
    await world.contact(first, "BE8", simulated=False)
    assert world.roster.target("BE7").addresses == (second,)
    await world.contact(second, "BE8", simulated=False)
    assert world.roster.target("BE7").addresses == ()
    assert len(world.roster.target("BE8").addresses) == 2
    await world.service.close()


@in_virtual_time
async def test_after_a_restart_a_serial_number_leads_there_still(tmp_path: Path) -> None:
    path = tmp_path / "relay.sqlite"
    world, address = World(path), parse_address("tcp://10.0.0.9")
    await world.contact(address, "BE7", simulated=False)
    await world.service.close()
    world = World(path)
    await world.roster.load()
    assert world.roster.target("BE7").addresses == (address,)
    await world.contact(address, "BE8", simulated=False)
    assert world.roster.target("BE7").addresses == ()
    await world.service.close()


@in_virtual_time
async def test_a_disabled_route_is_not_taken_though_the_unit_answered_there(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "relay.sqlite")
    await world.roster.load()
    await world.contact(NORTH, "BE1", simulated=False)
    await world.roster.change(partial(roster.change_route, address=str(NORTH), enabled=False))
    assert world.roster.target("BE1").addresses == ()
    await world.service.close()


@in_virtual_time
async def test_a_host_in_other_case_is_the_registered_route() -> None:
    name = parse_address("tcp://modem.example")
    world = World(None, units={"North face": str(name)})
    await world.contact(parse_address("tcp://MODEM.example"), "BE1", simulated=False)
    assert world.roster.target("North face").serial == "BE1"
    await world.service.close()
