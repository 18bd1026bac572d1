"""How a unit, a location and the lists of both look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from sfm.cli.tables import Head, ListTable, facts_table
from sfm.cli.views import safe_text

__all__ = ["location_view", "locations_view", "unit_view", "units_view"]

Row = tuple[str, str]


def units_view(units: Iterable[dict[str, Any]]) -> Table:
    """Return the table of units and locations."""
    table = ListTable(
        Head(name="Serial", is_text=True),
        Head(name="Location", is_text=True, rank=0),
        Head(name="State", rank=2),
        Head(name="Route", rank=3),
        Head(name="Last contact, UTC", rank=4),
        Head(name="Calibration due", rank=5),
        gap=1,
    )
    for one in units:
        cells = (
            _serial(one),
            one["name"] or "",
            one["state"] or "",
            one["routes"][0]["address"] if one["routes"] else one["conn_key"] or "",
            _moment(one["last_contact_at"]),
            one["calibration_due_on"] or "",
        )
        table.add_row(*map(safe_text, cells))
    return table


def locations_view(locations: Iterable[dict[str, Any]]) -> Table:
    """Return the table of locations."""
    table = ListTable(
        Head(name="Name", is_text=True),
        Head(name="Project", is_text=True, rank=4),
        Head(name="Unit", rank=0),
        Head(name="Routes", rank=2),
        Head(name="Zone", rank=3),
        gap=1,
    )
    for one in locations:
        zone = one["zones"][-1]["zone"] if one["zones"] else ""
        addresses = "\n".join(route["address"] for route in one["routes"])
        cells = (one["name"], one["project"] or "", one["serial"] or "", addresses, zone)
        table.add_row(*map(safe_text, cells))
    return table


def unit_view(one: dict[str, Any]) -> Table:
    """Return what the roster has of a unit."""
    return _facts(
        [
            ("Serial number", _serial(one) + (" (SIMULATED)" if one["simulated"] else "")),
            ("State", one["state"] or "not known yet"),
            ("Location", one["name"] or "none"),
            ("Project", one["project"] or "not entered"),
            ("Coordinates", _coordinates(one)),
            ("Calibrated on", one["calibrated_on"] or "not entered"),
            ("Calibration due on", one["calibration_due_on"] or "not entered"),
            ("Microphone from", _corner(one["microphone_low_hz"])),
            ("Notes", one["notes"] or "none"),
            *_several("Route", _routes(one)),
            ("Last contact", _contact(one["last_contact_at"], None)),
        ]
    )


def location_view(one: dict[str, Any]) -> Table:
    """Return what the roster has of a location."""
    confirmed = one["confirmed_serial"]
    is_new = one["serial"] is not None and one["serial"] != confirmed
    stays = (
        f"{stay['serial']} from {stay['from_device_time'] or 'the beginning'} "
        f"until {stay['until_device_time'] or 'now'}"
        for stay in one["stays"]
    )
    zones = (
        f"{zone['zone']} from {zone['from_device_time'] or 'the beginning'}"
        for zone in one["zones"]
    )
    return _facts(
        [
            ("Name", one["name"]),
            ("Project", one["project"] or "not entered"),
            ("Coordinates", _coordinates(one)),
            ("Unit", (one["serial"] or "not known yet") + (" (not confirmed)" if is_new else "")),
            *([("Confirmed unit", confirmed or "none")] if is_new else []),
            *_several("Route", map(_route, one["routes"])),
            *_several("Zone", zones),
            *_several("Stay", stays),
        ]
    )


def _corner(hz: float | None) -> str:
    return "not entered" if hz is None else f"{hz:g} Hz"


def _serial(one: dict[str, Any]) -> str:
    return (one["serial"] or "not known yet") + ("" if one["confirmed"] else " (not confirmed)")


def _coordinates(one: dict[str, Any]) -> str:
    if one["latitude"] is None or one["longitude"] is None:
        return "not entered"
    return f"latitude {one['latitude']}, longitude {one['longitude']}"


def _routes(one: dict[str, Any]) -> list[str]:
    """Return the routes that are registered; without one, where the unit answered last."""
    if one["routes"] or one["conn_key"] is None:
        return [_route(route) for route in one["routes"]]
    return [f"{one['conn_key']}, where it answered; not registered"]


def _route(route: dict[str, Any]) -> str:
    words = [route["address"], f"priority {route['priority']}"]
    if not route["enabled"]:
        words.append("disabled")
    if route["keep_open_s"] is not None:
        words.append(f"kept open {route['keep_open_s']:g} s")
    if route["backing_off"]:
        words.append("fails, and is not tried now")
    words.append("last contact " + _contact(route["last_contact_at"], route["last_serial"]))
    return ", ".join(words)


def _contact(at: str | None, serial: str | None) -> str:
    if at is None:
        return "not since the relay's start"
    return f"{_moment(at)} UTC" + (f" ({serial})" if serial else "")


def _moment(at: str | None) -> str:
    return "" if at is None else at[:19].replace("T", " ")


def _several(name: str, values: Iterable[str]) -> list[Row]:
    """Return a row for each value, the name beside the first; one that says there is none."""
    return [(name if number == 0 else "", value) for number, value in enumerate(values)] or [
        (name, "none")
    ]


def _facts(rows: Iterable[Row]) -> Table:
    return facts_table((name, safe_text(value)) for name, value in rows)
