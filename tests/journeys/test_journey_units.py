"""A unit is its serial number: whatever it was opened by, its pages have that in their address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from kit.browser import BRISK, SIDEWAYS, NewUnit, Open, Watched, at, rows
from kit.relay_process import relay
from kit.unit_thread import UnitThread
from playwright.sync_api import Request, expect

from minimateplus.simulator import SimulatedUnit

pytest_plugins = ["kit.web_world"]

FIELD = "Address, name or serial number"


@dataclass
class Registered:
    """A relay with one unit registered under a name."""

    base: str
    unit: UnitThread


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    simulated = SimulatedUnit("SIM1101", seed=3)
    for number in range(3):
        simulated.record_event(seed=number)
    unit = UnitThread(simulated)
    database: Path = tmp_path_factory.mktemp("registered") / "relay.sqlite"
    try:
        units = json.dumps({"North face": unit.url})
        with relay(database=database, SFM_UNITS=units, **BRISK) as started:
            yield Registered(started.base, unit)
    finally:
        unit.close()


def ends_with(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path) + "$")


def opened(seen: Watched, typed: str) -> None:
    """Open a unit by what is typed on the first page."""
    seen.go("#/")
    seen.page.get_by_label(FIELD).fill(typed)
    seen.page.get_by_role("button", name="Open", exact=True).click()


def test_a_link_by_address_is_replaced_by_the_serial_number_and_back_goes_back(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1102")
    seen = visit()
    page = seen.page
    seen.go(at(unit, "events") + "?sort=-pvs")
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    expect(page).to_have_url(ends_with("#/unit/SIM1102/events?sort=-pvs"))
    page.get_by_role("link", name="Open event 1").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page).to_have_url(ends_with("#/unit/SIM1102/event/1"))
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", name="Connect to a unit")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("columnheader", name="PVS")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.reload()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    assert all(query.get("unit") == "SIM1102" for query in seen.requests("/device/events"))
    seen.look("events-by-serial")


def test_each_spelling_of_an_address_leads_to_the_same_pages(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1103")
    seen = visit()
    port = unit.port
    for typed in (
        f"127.0.0.1:{port}",
        f"tcp://127.0.0.1:{port}",
        f"tcp:127.0.0.1:{port}",
        f" 127.0.0.1:{port} ",
        "SIM1103",
        "sim1103",
    ):
        opened(seen, typed)
        expect(seen.page.get_by_role("heading", name="Unit SIM1103")).to_be_visible()
        expect(seen.page).to_have_url(ends_with("#/unit/SIM1103"))
        expect(seen.page.get_by_text("6.80 V")).to_be_visible()
    seen.go("#/")
    recent = seen.page.get_by_role("region", name="Recent units")
    expect(recent.get_by_role("link")).to_have_text(["SIM1103"])


def test_the_heading_takes_no_focus_from_a_field_in_use(new_unit: NewUnit, visit: Open) -> None:
    seen = visit(at(new_unit("SIM1104")))
    page = seen.page
    expect(page.get_by_role("heading", name="Unit SIM1104")).to_be_visible()
    # Focus the field at the moment the page is drawn, as a quick keyboard or a program does.
    page.evaluate("""() => new Promise((done) => {
        const watch = new MutationObserver(() => {
            const field = document.querySelector("form input");
            if (!field) return;
            watch.disconnect();
            field.focus();
            requestAnimationFrame(() => setTimeout(done, 200));
        });
        watch.observe(document.body, { childList: true, subtree: true });
        location.hash = "#/";
    })""")
    expect(page.get_by_label(FIELD)).to_be_focused()


def test_what_is_typed_as_a_serial_port_is_asked_as_one(visit: Open) -> None:
    seen = visit()
    seen.fails = True
    for typed, port in (("COM3", "COM3"), ("/dev/ttyNONE8", "/dev/ttyNONE8")):
        # The page of the port before shows its error for a moment longer.
        with seen.page.expect_request(partial(asks_port, port)):
            opened(seen, typed)
        expect(seen.page.get_by_role("alert").first).to_be_visible()


def asks_port(port: str, request: Request) -> bool:
    """Whether a request asks for the identity of the unit at a serial port."""
    parts = urlsplit(request.url)
    return parts.path == "/device/info" and parse_qs(parts.query).get("port") == [port]


def test_a_registered_unit_is_asked_by_its_number_and_named_on_each_page(
    registered: Registered, visit: Open
) -> None:
    seen = visit(at(registered.unit), at=registered.base)
    page = seen.page
    expect(page).to_have_url(ends_with("#/unit/SIM1101"))
    for rest, there in (
        ("", page.get_by_text("6.80 V")),
        ("events", page.get_by_text("3 events", exact=True)),
        ("event/1", page.locator('[role="img"]').first),
        ("commands", page.get_by_role("heading", name="Monitoring", exact=True)),
    ):
        seen.go(f"#/unit/SIM1101/{rest}")
        expect(page.locator(".unit-head")).to_contain_text("North face")
        expect(page.locator(".unit-head")).to_contain_text("SIM1101")
        expect(there).to_be_visible()  # the page has its answers before the next one is opened
    expect(page).to_have_title("Commands, SIM1101 North face · seismo-relay")
    asked = [*seen.requests("/device/events"), *seen.requests("/device/event/1/waveform")]
    assert asked
    assert all(query.get("unit") == "SIM1101" for query in asked), asked
    seen.look("commands-named")
    for typed in ("North face", "north FACE", "SIM1101"):
        opened(seen, typed)
        expect(page).to_have_url(ends_with("#/unit/SIM1101"))
        expect(page.get_by_text("6.80 V")).to_be_visible()
    # A link that names the location, sent to somebody who has never been here.
    other = visit("#/unit/North%20face/events", at=registered.base)
    expect(other.page.get_by_text("3 events", exact=True)).to_be_visible()
    expect(other.page).to_have_url(ends_with("#/unit/SIM1101/events"))
    assert len(rows(other.page)) == 3
    for one in (seen, other):
        one.page.goto("about:blank")


def test_a_unit_that_nobody_knows_says_how_to_open_it(visit: Open) -> None:
    seen = visit("#/unit/SIM1199/events")
    seen.fails = True
    once = "No location or unit is named 'SIM1199'. Open it by its address, on the units page."
    expect(seen.page.get_by_role("alert")).to_have_text(f"{once}Try again")
    seen.look("unit-unknown")


def test_recent_units_of_an_earlier_version_are_taken_over(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM1104")
    seen = visit()
    page = seen.page
    earlier = [
        {"key": unit.key, "serial": "SIM1104", "openedAt": 1_700_000_000_000},
        {"key": "tcp:127.0.0.1:9", "serial": "SIM1104", "openedAt": 1_600_000_000_000},
        {"key": "serial:/dev/ttyUSB0:38400", "serial": None, "openedAt": 1_500_000_000_000},
    ]
    page.evaluate("all => localStorage.setItem('seismo-relay.recent', all)", json.dumps(earlier))
    page.reload()
    recent = page.get_by_role("region", name="Recent units")
    expect(recent.get_by_role("link")).to_have_text(["SIM1104", "serial:/dev/ttyUSB0:38400"])
    recent.get_by_role("link", name="SIM1104").click()
    expect(page).to_have_url(ends_with("#/unit/SIM1104"))
    expect(page.get_by_text("6.80 V")).to_be_visible()


@pytest.mark.parametrize(("width", "serial"), [(360, "SIM1106"), (768, "SIM1107")])
def test_recent_units_are_read_and_forgotten_without_scrolling_sideways(
    width: int, serial: str, new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit(serial)
    seen = visit(at(unit))
    page = seen.page
    expect(page).to_have_url(ends_with(f"#/unit/{serial}"))
    expect(page.get_by_text("6.80 V")).to_be_visible()
    page.set_viewport_size({"width": width, "height": 800})
    seen.go("#/")
    recent = page.get_by_role("region", name="Recent units")
    expect(recent.get_by_text(unit.key)).to_be_visible()
    assert page.evaluate(SIDEWAYS) == []
    seen.look(f"recent-units-{width}")
    page.set_viewport_size({"width": width, "height": 800})
    recent.get_by_role("button", name=f"Forget {serial}").click()
    expect(recent.get_by_role("link")).to_have_count(0)
    expect(recent.get_by_text("None yet.")).to_be_visible()


def test_lists_of_a_new_relay_say_that_nothing_is_in_them(visit: Open, tmp_path: Path) -> None:
    with relay(database=tmp_path / "relay.sqlite") as started:
        seen = visit(at=started.base)
        for path, none in (
            ("cache", "Nothing is cached until a unit is read."),
            ("tokens", "No token was created yet."),
            ("audit", "No command was given yet."),
        ):
            seen.go(f"#/settings/{path}")
            expect(seen.page.get_by_text(none)).to_be_visible()
        seen.close()


def test_a_relay_that_forgot_a_unit_finds_it_where_this_browser_met_it(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1105")
    with relay(database=None, **BRISK) as started:
        seen = visit(at(unit, "events"), at=started.base)
        expect(seen.page.get_by_text("3 events", exact=True)).to_be_visible()
        kept = seen.page.evaluate("() => localStorage.getItem('seismo-relay.recent')")
        seen.page.goto("about:blank")
    with relay(database=None, **BRISK) as again:
        seen = visit(at=again.base)
        seen.fails = True
        seen.page.evaluate("all => localStorage.setItem('seismo-relay.recent', all)", kept)
        seen.go("#/unit/SIM1105/events?sort=-pvs")
        expect(seen.page.get_by_text("3 events", exact=True)).to_be_visible()
        expect(seen.page.get_by_role("alert")).to_have_count(0)
        expect(seen.page).to_have_url(ends_with("#/unit/SIM1105/events?sort=-pvs"))
        seen.page.goto("about:blank")
