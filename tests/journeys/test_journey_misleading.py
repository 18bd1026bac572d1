"""What a screen or a sheet of paper must not make anybody believe."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import numpy as np
from kit.browser import NARROW, SCREENSHOTS, NewUnit, Open, Watched, at
from kit.relay_process import relay
from playwright.sync_api import Page, expect

from minimateplus.simulator import SimulatedUnit

pytest_plugins = ["kit.web_world"]

POLL_S = 15
A4_PX = 703
"""What a sheet of A4 with 12 mm margins has room for, CSS px."""


def printed(seen: Watched, name: str) -> dict[str, Any]:
    """Print the page; return what it drew for paper, once the app had drawn it."""
    page = seen.page
    page.evaluate(
        """() => addEventListener("beforeprint", () => queueMicrotask(() => {
            const all = css => [...document.querySelectorAll(css)];
            window.onPaper = {
                rows: all(".events-table tbody tr:not(.spacer)").length,
                widths: all(".chart-plot canvas").map(one => one.clientWidth),
                ground: getComputedStyle(document.documentElement).getPropertyValue("--ground"),
                spans: all("[role=img]").map(one => one.ariaLabel),
            };
        }))"""
    )
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.pdf(path=SCREENSHOTS / f"{name}.pdf", format="A4")
    found: dict[str, Any] = page.evaluate("() => window.onPaper")
    return found


def test_a_printed_list_has_all_its_rows_and_is_light(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0801", events=120)
    seen = visit(at(unit, "events"), color_scheme="dark")
    expect(seen.page.get_by_text("120 events", exact=True)).to_be_visible()
    drawn = seen.page.locator(".events-table tbody tr:not(.spacer)")
    assert drawn.count() < 120, "on the screen those in sight are drawn"
    paper = printed(seen, "print-list")
    assert paper["rows"] == 120
    assert paper["ground"] == "#f6f7f9", "light, whatever the screen is"
    expect(drawn).not_to_have_count(120)


def test_a_printed_event_shows_the_whole_record_within_the_sheet(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0802")
    seen = visit(at(unit, "event/1"))
    expect(seen.page.locator('[role="img"]')).to_have_count(4)
    whole = seen.page.locator('[role="img"]').first.get_attribute("aria-label")
    report = seen.page.get_by_role("link", name="Report (PDF)").get_attribute("href") or ""
    assert report.startswith("/device/event/1/report.pdf?unit=SIM0802")
    paper = printed(seen, "print-event")
    assert len(paper["widths"]) == 4
    assert max(paper["widths"]) < A4_PX
    assert paper["spans"][0] == whole


def test_settings_are_typed_and_written_in_the_chosen_units_of_measure(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0803")
    seen = visit(at(unit, "commands"))
    page = seen.page
    page.get_by_label("Ground", exact=True).select_option("mm/s")
    page.get_by_label("Air", exact=True).select_option("Pa")
    trigger = page.get_by_label("Trigger level, mm/s")
    expect(trigger).to_have_value("12.7")
    expect(trigger).to_have_accessible_description(re.compile("0.508 to 254 mm/s"))
    trigger.fill("5")
    expect(page.get_by_label("Microphone trigger, Pa")).to_be_visible()
    # What is typed outlasts a look elsewhere, a reload and another unit of measure.
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Commands").click()
    expect(trigger).to_have_value("5")
    page.reload()
    expect(trigger).to_have_value("5")
    page.get_by_label("Ground", exact=True).select_option("in/s")
    expect(page.get_by_label("Trigger level, in/s")).to_have_value("0.1969")
    page.get_by_label("Ground", exact=True).select_option("mm/s")
    page.get_by_role("button", name="Preview the change").click()
    change = page.get_by_text("from 12.7 mm/s to 5 mm/s")
    expect(change.first).to_be_visible()
    seen.look("settings-mm")
    page.get_by_role("button", name="Write to the unit").click()
    expect(page.get_by_text("Read back from the unit and compared: as written.")).to_be_visible()
    written = unit.do(lambda: unit.unit.setup.trigger_level_in_s)
    assert written is not None
    assert abs(written - 5 / 25.4) < 1e-4, "5 mm/s, and not 5 in/s"


def test_a_filter_is_the_same_level_in_each_unit_of_measure_and_stands_in_the_address(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0804")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    page.get_by_label("Ground", exact=True).select_option("mm/s")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("PVS at least (mm/s)").fill("25.4")
    page.get_by_label("Ground", exact=True).select_option("in/s")
    expect(page.get_by_label("PVS at least (in/s)")).to_have_value("1")
    expect(page).to_have_url(re.compile(r"min_pvs=1"))
    page.get_by_role("button", name="PVS").click()
    expect(page).to_have_url(re.compile(r"sort=-pvs"))
    page.locator("a[data-row]").first.click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    page.go_back()
    expect(page.get_by_label("PVS at least (in/s)")).to_have_value("1")
    expect(page.get_by_role("columnheader", name="PVS")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.reload()
    expect(page.get_by_label("PVS at least (in/s)")).to_have_value("1")


class AheadClock:
    """The computer's clock, set ahead as a test says."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


def test_a_start_that_another_person_stopped_is_not_done(new_unit: NewUnit, visit: Open) -> None:
    clock = AheadClock()
    unit = new_unit("SIM0805", unit=SimulatedUnit("SIM0805", clock=clock))
    seen, other = visit(at(unit, "commands")), visit(at(unit, "commands"))
    seen.fails = True
    monitoring = seen.page.get_by_role("region", name="Monitoring", exact=True)
    monitoring.get_by_role("button", name="Start monitoring").click()
    expect(monitoring.get_by_text("In progress: sensor check")).to_be_visible()
    stop = other.page.get_by_role("button", name="Stop monitoring", exact=True)
    stop.click()
    expect(other.page.get_by_text("The unit does not monitor.")).to_be_visible()
    unit.do(lambda: setattr(clock, "ahead_s", 61.0))
    seen.step(70)
    ended = monitoring.locator(".outcome")
    expect(ended).to_be_visible(timeout=90_000)
    expect(ended).to_have_class(re.compile("bad|unknown"))
    expect(monitoring.get_by_text("Done.")).to_have_count(0)


def test_a_record_beyond_the_range_is_marked_in_the_list_and_at_the_top_of_its_page(
    new_unit: NewUnit, visit: Open
) -> None:
    simulated = SimulatedUnit("SIM0806")
    counts = np.zeros((4, 1024), np.int16)
    counts[0, 300], counts[1, 300], counts[2, 300] = 2047, 400, 200
    simulated.record_event(counts=counts)
    unit = new_unit("SIM0806", events=0, unit=simulated)
    seen = visit(at(unit, "event/0"))
    expect(seen.page.get_by_text("Over range: Tran reached the end of the range")).to_be_visible()
    seen.look("event-over-range")
    seen.go(at(unit, "events"))
    expect(seen.page.locator(".events-table .over-range").first).to_contain_text(">")
    seen.look("events-over-range")


def test_a_unit_that_is_gone_keeps_its_waveform_and_is_lost_on_every_page(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0807")
    seen = visit(at(unit, "event/1"))
    seen.fails = True
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    seen.go(at(unit))
    expect(page.get_by_text("6.80 V")).to_be_visible()
    unit.unplug()
    for rest in ("event/1", "", "events", "commands"):
        seen.go(at(unit, rest))
        if rest == "event/1":
            page.get_by_role("button", name="Refresh: Event 1").click()
        else:
            seen.step(61)
        alert = page.get_by_role("alert").filter(has_text="Check the power of the unit")
        lost = alert.or_(page.get_by_role("alert").filter(has_text="failed several times"))
        expect(lost).to_have_count(1)
        if rest == "event/1":  # the read has failed by now, and takes nothing away
            expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page.get_by_text("last known, unreachable since").first).to_be_visible()
    seen.go(at(unit, "event/1"))
    expect(page.get_by_text("last known, unreachable since").first).to_be_visible()
    expect(page.locator('[role="img"]')).to_have_count(4)
    seen.look("event-unreachable")
    # Also for a visitor who comes now: the relay has the waveform.
    late = visit(at(unit, "event/1"))
    late.fails = True
    expect(late.page.get_by_role("alert")).to_have_count(1)
    expect(late.page.get_by_text("last known, unreachable since").first).to_be_visible()
    expect(late.page.locator('[role="img"]')).to_have_count(4)


def test_a_relay_that_is_down_does_not_make_the_unit_unreachable(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0808")
    with relay() as started:
        seen = visit(at(unit, "events"), at=started.base)
        seen.fails = True
        expect(seen.page.get_by_text("3 events", exact=True)).to_be_visible()
    seen.step(POLL_S)
    expect(seen.page.get_by_text("the relay does not answer").first).to_be_visible()
    expect(seen.page.get_by_text("unreachable")).to_have_count(0)
    expect(seen.page.get_by_text("TypeError")).to_have_count(0)
    seen.page.goto("about:blank")


def test_clock_battery_and_empty_notes_are_shown_as_they_are(
    new_unit: NewUnit, visit: Open
) -> None:
    simulated = SimulatedUnit("SIM0809")
    simulated.set_clock(simulated.now_device_time - timedelta(hours=3, minutes=7, seconds=1))
    simulated._battery_v = 5.95
    unit = new_unit("SIM0809", events=0, unit=simulated)
    seen = visit(at(unit))
    page = seen.page
    warnings = page.get_by_role("list", name="Warnings")
    expect(warnings).to_contain_text("Battery low: 5.9")
    expect(warnings).to_contain_text(re.compile(r"Clock wrong: 3 h 7 min behind"))
    expect(warnings).to_contain_text("Not monitoring: the unit records nothing.")
    battery = page.get_by_role("region", name="State now").get_by_text(re.compile(r"^5\.9\d V$"))
    expect(battery).to_have_class("warn")
    expect(page.get_by_text("6.0 V")).to_have_count(0)
    seen.look("unit-warnings")
    payload = page.request.post(
        f"{seen.base}/device/config?host=127.0.0.1&tcp_port={unit.port}",
        data={"serial": "SIM0809", "notes": ""},
        headers={"Origin": seen.base},
    )
    assert payload.ok, payload.text()
    page.reload()
    setup = page.get_by_role("region", name="Recording setup")
    expect(setup.locator("div").filter(has_text=re.compile("^Notes"))).to_have_text("Notesempty")


def tabs_until(page: Page, css: str) -> int:
    """Return how many presses of Tab lead to an element."""
    for count in range(1, 40):
        page.keyboard.press("Tab")
        if page.evaluate("css => document.activeElement.matches(css)", css):
            return count
    raise AssertionError(f"no {css} within 40 Tabs")


def test_titles_name_the_page_focus_goes_with_it_and_the_first_event_is_near(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0810")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    expect(page).to_have_title("Events, SIM0810 · seismo-relay")
    assert tabs_until(page, "a[data-row]") < 12
    page.keyboard.press("/")
    expect(page.get_by_label("Project contains")).to_be_focused()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page).to_have_title("Overview, SIM0810 · seismo-relay")
    seen.go(at(unit, "event/1"))
    charts = page.get_by_role("group", name="Waveform charts")
    charts.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile(r"^-?0\.\d{4} s: Tran "))).to_have_count(1)


def test_two_tabs_ask_as_often_as_one_and_an_unchanged_list_costs_few_bytes(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0811", events=40)
    seen = visit(at(unit, "events"))
    expect(seen.page.get_by_text("40 events", exact=True)).to_be_visible()
    second = seen.page.context.new_page()
    asked: list[str] = []
    second.on("request", lambda request: asked.append(request.url))
    second.goto(f"{seen.base}/{at(unit, 'events')}")
    expect(second.get_by_text("40 events", exact=True)).to_be_visible()
    seen.asked.clear()
    asked.clear()
    with seen.page.context.expect_event(
        "response", lambda answer: "/device/events?" in answer.url
    ) as waiting:
        seen.step(POLL_S)
    answer = waiting.value
    assert answer.status == 304
    sizes = answer.request.sizes()
    a_poll = sum(sizes.values())
    assert sizes["responseBodySize"] == 0
    # Each minute, and each 15 s of the first five.
    assert a_poll * (1440 + 20) < 5e6, sizes
    polls = [url for url in [*asked, *(one.url for one in seen.asked)] if "/device/events?" in url]
    assert len(polls) == 1, polls


def test_on_a_phone_the_bar_is_one_line_and_what_is_touched_is_large(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0812")
    seen = visit()
    page = seen.page
    page.set_viewport_size(NARROW)
    seen.go(at(unit))
    for name in ("Start monitoring", "Show events"):
        box = page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name))
        size = box.bounding_box()
        assert size is not None
        assert size["height"] >= 48
    bar = page.get_by_role("banner").bounding_box()
    assert bar is not None
    assert bar["height"] < 56
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, nav a, select, .card a")]
            .filter(one => one.offsetParent && one.getBoundingClientRect().height < 44)
            .map(one => one.outerHTML)"""
    )
    assert small == []
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("button", name="Force refresh")).to_be_visible()
    page.get_by_role("button", name="Force refresh").click()
    expect(page.get_by_text("Every read goes to the unit itself")).to_be_visible()
    seen.look("phone-menu")
