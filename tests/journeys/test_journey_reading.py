"""What a reader does: connect, see events arrive, open a waveform, zoom, save, force a read."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from kit.browser import NewUnit, Open, Watched, at, rows, saved
from playwright.sync_api import Page, expect

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.faulty_links import FaultyLink
from minimateplus.simulator.unit import DEFAULT_SETUP

pytest_plugins = ["kit.web_world"]

POLL_S = 15
LONGEST = 13 * 4096
"""Samples of each channel of the longest record: 13 s at 4,096/s."""


def age_s(page: Page) -> int:
    """Return the age that the block of the identity tells, in s.

    On a busy machine the page has asked twice by now, and the second answer came from the cache:
    its age then stands behind "checked".
    """
    age = re.compile(r"(?:from the unit|checked) (\d+) s ago")
    displayed = page.get_by_role("region", name="Identity").get_by_text(age)
    found = age.search(displayed.inner_text())
    assert found is not None
    return int(found[1])


def pictures(page: Page) -> list[str]:
    """Return what the four charts show, as the canvas has it."""
    found: list[str] = page.eval_on_selector_all(
        ".chart-plot canvas", "all => all.map(one => one.toDataURL())"
    )
    assert len(set(found)) == 4
    return found


def span_s(page: Page) -> tuple[float, float]:
    """Return from when to when the charts show the record, as their text says it, in s."""
    displayed = page.locator('[role="img"]').first.get_attribute("aria-label") or ""
    words = displayed.split()
    return float(words[words.index("from") + 1]), float(words[words.index("to") + 1])


def test_connect_read_see_an_event_arrive_open_its_waveform_and_zoom(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0101")
    seen = visit()
    page = seen.page
    expect(page.get_by_role("heading", name="Connect to a unit")).to_be_visible()
    seen.look("connect")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_text("This is no address, name or serial number.")).to_be_visible()
    seen.look("connect-wrong")

    page.get_by_label("Address, name or serial number").fill(f"127.0.0.1:{unit.port}")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", name="Unit SIM0101")).to_be_visible()
    expect(page.get_by_text("The unit reports that it is simulated")).to_be_visible()
    for displayed in ("S338.17", "2026-02-02", "2027-02-02", "Not monitoring", "6.80 V", "1024 Hz"):
        expect(page.get_by_text(displayed).first).to_be_visible()
    before, asked = age_s(page), len(seen.asked)
    page.clock.run_for(6000)
    assert 5 <= age_s(page) - before < 15, "ages tick"
    assert len(seen.asked) == asked, "by themselves"
    seen.look("unit")

    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    assert [row[0] for row in rows(page)] == ["2", "1", "0"]
    seen.look("events")
    recorded = unit.do(lambda: unit.unit.record_event(seed=77))
    seen.step(POLL_S)
    expect(page.get_by_text("One new event arrived.")).to_be_visible()
    expect(page.get_by_text("4 events", exact=True)).to_be_visible()
    [newest, *_] = rows(page)
    assert recorded.device_time is not None
    assert newest[:2] == ["3", f"{recorded.device_time:%Y-%m-%d %H:%M:%S}"]
    seen.look("events-arrived")

    page.get_by_role("link", name="Open event 3").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    whole = span_s(page)
    assert whole[0] < 0 < whole[1], "the trigger is at 0"
    peaks = page.locator("table.peaks")
    for name, value in (
        ("Tran", recorded.peaks.tran_in_s),
        ("Vert", recorded.peaks.vert_in_s),
        ("Long", recorded.peaks.long_in_s),
    ):
        assert value is not None
        expect(peaks.get_by_role("row", name=name)).to_contain_text(f"{value:.4g}"[:5])
    seen.look("waveform")

    drawn = pictures(page)
    page.get_by_role("button", name="Zoom in").click()
    first = span_s(page)
    zoomed = pictures(page)
    assert not set(drawn) & set(zoomed), "all four are drawn anew"
    assert whole[1] - whole[0] > first[1] - first[0]
    chart = page.locator('[role="img"]').nth(1)
    box = chart.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=4)
    page.mouse.up()
    dragged = span_s(page)
    assert dragged[1] - dragged[0] < first[1] - first[0]
    shown = page.eval_on_selector_all("[role=img]", "all => all.map(one => one.ariaLabel)")
    span = f"from {dragged[0]:.3f} to {dragged[1]:.3f} s"
    assert all(span in one for one in shown), ("all four zoom together", shown)
    readouts = page.locator(".chart-readout").all_inner_texts()
    assert all(" s" in one for one in readouts), "all four have the cursor"
    seen.look("waveform-zoomed")
    page.get_by_role("group", name="Waveform charts").focus()
    page.keyboard.press("Escape")
    assert span_s(page) == whole
    assert not set(pictures(page)) & set(zoomed)
    page.keyboard.press("+")
    assert span_s(page) != whole

    page.get_by_label("Ground", exact=True).select_option("mm/s")
    page.get_by_label("Air", exact=True).select_option("Pa")
    expect(page.locator(".chart-unit")).to_have_text(["mm/s", "mm/s", "mm/s", "Pa"])
    assert recorded.peaks.tran_in_s is not None
    expect(peaks.get_by_role("row", name="Tran")).to_contain_text("mm/s")


def test_a_link_opens_a_unit_and_recent_units_are_remembered(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0102", events=0)
    seen = visit(at(unit))
    expect(seen.page.get_by_role("heading", name="Unit SIM0102")).to_be_visible()
    seen.page.get_by_role("link", name="Events", exact=True).click()
    expect(seen.page.get_by_text("The unit's memory is empty.")).to_be_visible()
    seen.look("events-none")
    seen.page.goto(f"{seen.base}/#/")
    seen.page.reload()
    recent = seen.page.get_by_role("region", name="Recent units")
    expect(recent.get_by_role("row", name=f"SIM0102 {unit.key}")).to_be_visible()
    seen.look("connect-recent")
    seen.page.get_by_role("button", name="Forget SIM0102").click()
    expect(recent.get_by_role("row", name="SIM0102")).to_have_count(0)
    seen.go("#/nothing/here")
    expect(seen.page.get_by_text("There is no such page.")).to_be_visible()
    seen.look("nowhere")


def test_while_force_is_on_every_read_carries_it_and_a_new_visit_does_not(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0103")
    seen = visit(at(unit))
    page = seen.page
    expect(page.get_by_text("6.80 V")).to_be_visible()
    unforced = seen.requests("/device/info") + seen.requests("/device/monitor/status")
    assert unforced
    assert not any("force" in query for query in unforced)

    toggle = page.get_by_role("button", name="Force refresh")
    toggle.click()
    expect(page.get_by_text("Force refresh is on.")).to_be_visible()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    seen.asked.clear()
    before = unit.do(lambda: unit.unit.exchanges)
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    seen.look("forced")
    page.get_by_role("link", name="Open event 2").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    seen.step(POLL_S)
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("6.80 V")).to_be_visible()
    asked = [
        query
        for path in ("info", "events", "monitor/status", "event/2/waveform")
        for query in seen.requests(f"/device/{path}")
        # Which events there are is asked of the relay alone, for the choice of an overlay.
        if "only_if_cached" not in query
    ]
    assert len(asked) >= 4
    assert all(query.get("force") == "true" for query in asked), asked
    assert unit.do(lambda: unit.unit.exchanges) > before

    page.get_by_role("button", name="Switch off").click()
    seen.asked.clear()
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    assert all("force" not in query for query in seen.requests("/device/events"))
    # Once, beside a block, without the toggle.
    page.get_by_role("button", name="Refresh: Events").click()
    with page.expect_response(lambda answer: "force=true" in answer.url):
        pass
    toggle.click()
    page.reload()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    seen.asked.clear()
    seen.step(POLL_S)
    with page.expect_response(lambda answer: "/device/events" in answer.url):
        pass
    assert all("force" not in query for query in seen.requests("/device/events"))


def test_events_are_sorted_filtered_and_reached_by_keyboard(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0104", events=0)
    for number in range(60):
        project = "Tunnel" if number % 10 == 0 else None
        unit.do(lambda n=number, p=project: unit.unit.record_event(seed=n, project=p))  # type: ignore[misc]
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("60 events", exact=True)).to_be_visible()
    assert len(rows(page)) < 60, "what is out of sight is not drawn"
    page.get_by_role("button", name="PVS").click()
    by_pvs = [float(row[2]) for row in rows(page)]
    assert by_pvs in (sorted(by_pvs), sorted(by_pvs, reverse=True))
    page.get_by_label("Project contains").fill("tunn")
    expect(page.get_by_text("6 of 60 events")).to_be_visible()
    assert {row[8] for row in rows(page)} == {"Tunnel"}
    seen.look("events-filtered")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("PVS at least").fill("9")
    expect(page.get_by_text("No event matches the filters.")).to_be_visible()
    seen.look("events-none-left")
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("button", name="Unit time").click()
    page.locator("a[data-row]").first.focus()
    page.keyboard.press("End")
    last = page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowUp")
    above = page.evaluate("() => document.activeElement.getAttribute('aria-label')")
    assert {last, above} in ({"Open event 0", "Open event 1"}, {"Open event 59", "Open event 58"})
    page.keyboard.press("Enter")
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page).to_have_url(re.compile(above.removeprefix("Open ").replace(" ", "/") + "$"))


def test_two_events_are_laid_over_each_other_and_picture_and_data_are_saved(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    unit = new_unit("SIM0105")
    seen = visit(at(unit, "event/1"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    others = page.get_by_label("Another event of this unit")
    expect(others.locator("option")).to_have_count(3)
    assert "1" not in others.locator("option").evaluate_all("all => all.map(one => one.value)")
    others.select_option("2")
    expect(page.get_by_text("thin line: SIM0105")).to_be_visible()
    seen.look("waveform-overlay")
    page.get_by_role("button", name="Remove overlay").click()
    expect(page.get_by_text("thin line")).to_have_count(0)

    counts = unit.do(lambda: unit.unit.counts_of(1))
    table = saved(page, "Samples (CSV)", tmp_path)
    assert table.name.startswith("SIMULATED_SIM0105_")
    notes = [line for line in table.read_text().splitlines() if line.startswith("#")]
    assert notes[0].startswith("# SIMULATED")
    assert "# Serial number: SIM0105" in notes
    assert "# Geophone range: 10 in/s (from the event)" in notes
    [head, *lines] = csv.reader(table.read_text().splitlines()[len(notes) :])
    assert (head[1], head[5]) == ("Tran (in/s)", "Tran counts")
    assert len(lines) == counts.shape[1]
    displayed = np.array([[float(cell) for cell in line[1:4]] for line in lines]).T
    assert np.allclose(displayed, counts[:3] * 10.0 / 2000 * 1.0, rtol=1e-6), "0.005 in/s a count"
    data = json.loads(saved(page, "Data (JSON)", tmp_path).read_text())
    assert (data["simulated"], data["serial"]) == (True, "SIM0105")
    picture = saved(page, "Picture (PNG)", tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000


def long_unit() -> SimulatedUnit:
    setup = replace(DEFAULT_SETUP, sample_rate_hz=4096, record_time_s=13.0)
    unit = SimulatedUnit("SIM0106", seed=6, setup=setup)
    noise = np.random.default_rng(6).integers(-40, 40, (4, LONGEST)).astype(np.int16)
    noise[0, 20_000] = 1500
    unit.record_event(counts=noise)
    return unit


class Brake(FaultyLink):
    """A link as slow as a test sets it, frame by frame."""

    delay_s = 0.2

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(Brake.delay_s)
        await super().send(data)


def test_a_long_download_shows_its_progress_and_can_be_left(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0106", events=0, unit=long_unit(), wrap_link=Brake)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.get_by_text("chunks,")).to_be_visible()
    expect(page.get_by_text(" left")).to_be_visible()
    expect(page.get_by_text("per second")).to_be_visible()
    seen.look("waveform-downloading")
    page.get_by_role("button", name="Cancel").click()
    Brake.delay_s = 0.0
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    seen.look("waveform-cancelled")
    page.get_by_role("button", name="Read again").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(
        page.get_by_text(f"{LONGEST:,}").or_(page.get_by_text(str(LONGEST))).first
    ).to_be_visible()
    low, high = span_s(page)
    assert 12 < high - low <= 13
    peak: Any = page.locator("table.peaks").get_by_role("row", name="Tran").inner_text()
    assert "7.5" in peak
    seen.look("waveform-longest")


def test_a_list_that_takes_long_is_shown_from_its_beginning_while_it_is_read(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0109", events=12, wrap_link=Brake)
    Brake.delay_s = 0.1
    seen = visit(at(unit, "events"))
    page = seen.page
    reading = page.get_by_text(re.compile(r"^First \d+ events?, still reading"))
    expect(reading).to_be_visible()
    counted = re.search(r"\d+", reading.inner_text())
    assert counted is not None
    assert 0 < int(counted[0]) < 12
    assert len(rows(page)) == int(counted[0])
    expect(page.get_by_text("12 events", exact=True)).to_have_count(0)
    seen.look("events-partial")
    Brake.delay_s = 0.0
    seen.step(60)
    expect(page.get_by_text("12 events", exact=True)).to_be_visible()
    expect(reading).to_have_count(0)
    assert [row[0] for row in rows(page)] == [str(index) for index in reversed(range(12))]
    assert {one.get("partial") for one in seen.requests("/device/events")} == {"true"}


def test_a_whole_list_stays_while_it_is_read_anew_and_is_followed_by_the_next_whole_one(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0110", events=12, wrap_link=Brake)
    Brake.delay_s = 0.0
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("12 events", exact=True)).to_be_visible()
    before = rows(page)
    # The page's own pace never comes: what it asks for from now on, it asks for as the read ends.
    page.evaluate(
        "() => { const own = setTimeout;"
        " window.setTimeout = (run, ms, ...more) => (ms > 9000 ? 0 : own(run, ms, ...more)); }"
    )
    unit.do(lambda: unit.unit.record_event(seed=91))
    Brake.delay_s = 0.25
    page.get_by_role("button", name="Refresh: Events").click()
    expect(page.get_by_text("The list is being read again: ")).to_be_visible()
    expect(page.get_by_text("12 events", exact=True)).to_be_visible()
    assert rows(page) == before
    expect(page.get_by_role("alert")).to_have_count(0)
    seen.look("events-read-anew")
    Brake.delay_s = 0.0
    expect(page.get_by_text("13 events", exact=True)).to_be_visible()
    expect(page.get_by_text("One new event arrived.")).to_be_visible()
    expect(page.get_by_text("The list is being read again: ")).to_have_count(0)
    *_, forced, rest = seen.requests("/device/events")
    assert forced["force"] == "true"
    assert "force" not in rest
    assert float(rest["max_age"]) >= 1, "the relay has it: nothing is asked of the unit"


def test_a_serial_port_leads_to_a_unit(visit: Open) -> None:
    seen: Watched = visit()
    seen.fails = True
    page = seen.page
    page.get_by_label("Address, name or serial number").fill("/dev/ttyNONE9")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert").first).to_contain_text("no such port")
    expect(page.get_by_text("serial:/dev/ttyNONE9:38400").first).to_be_visible()
    seen.look("unit-no-such-port")
