"""How a unit, a location and the lists of both look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from sfm.cli.views import safe_text

__all__ = ["location_view", "locations_view", "unit_view", "units_view"]

Row = tuple[str, str]


def units_view(units: Iterable[dict[str, Any]]) -> Table:
    """Return the table of units and locations."""
    table = _list_of("Serial", "Location", "State", "Route", "Last contact, UTC", "Calibration due")
    for one in units:
        cells = (
            _serial(one),
            one["name"] or "",
            one["state"] or "",
            one["routes"][0]["address"] if one["routes"] else "",
            _moment(one["last_contact_at"]),
            one["calibration_due_on"] or "",
        )
        table.add_row(*map(safe_text, cells))
    return table


def locations_view(locations: Iterable[dict[str, Any]]) -> Table:
    """Return the table of locations."""
    table = _list_of("Name", "Project", "Unit", "Routes", "Zone")
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
            ("Notes", one["notes"] or "none"),
            *_several("Route", map(_route, one["routes"])),
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


def _serial(one: dict[str, Any]) -> str:
    return (one["serial"] or "not known yet") + ("" if one["confirmed"] else " (not confirmed)")


def _coordinates(one: dict[str, Any]) -> str:
    if one["latitude"] is None or one["longitude"] is None:
        return "not entered"
    return f"latitude {one['latitude']}, longitude {one['longitude']}"


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


def _list_of(*names: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _facts(rows: Iterable[Row]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for name, value in rows:
        table.add_row(name, safe_text(value))
    return table
