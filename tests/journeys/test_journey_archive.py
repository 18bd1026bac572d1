"""The archive in the browser: every record by unit and time, its samples, its review."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from kit.browser import BRISK, NewUnit, Open, Watched, at, ground
from kit.field_memory import alter
from kit.relay_process import relay
from kit.unit_thread import UnitThread
from numpy.typing import NDArray
from playwright.sync_api import expect

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.blast import Blast
from minimateplus.wire import layouts

pytest_plugins = ["kit.web_world"]

PAGE = 200
"""Recordings that the page asks for at once."""
FIRST = datetime(2026, 3, 1, 6, 0, 0)


def archived(seen: Watched, unit: UnitThread, count: int) -> None:
    """Read the unit's list, which brings its events into the archive."""
    seen.go(at(unit, "events"))
    expect(seen.page.get_by_text(f"{count} events", exact=True)).to_be_visible()


def long_lived(serial: str, events: int) -> SimulatedUnit:
    """Return a unit with an event each hour since ``FIRST``."""
    unit = SimulatedUnit(serial, now_device_time=FIRST + timedelta(hours=events))
    for number in range(events):
        unit.record_event(counts=ground(number), at_device_time=FIRST + timedelta(hours=number))
    return unit


def test_recordings_are_found_by_unit_and_time_in_pages(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0501", events=0, unit=long_lived("SIM0501", PAGE + 20))
    few = new_unit("SIM0502", events=2)
    seen = visit()
    page = seen.page
    archived(seen, unit, PAGE + 20)
    archived(seen, few, 2)
    page.get_by_role("link", name="Archive").click()
    expect(page.get_by_text(f"{PAGE} recordings shown")).to_be_visible()
    page.get_by_role("search").get_by_role("combobox").select_option("SIM0501")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text(f"{PAGE} recordings shown")).to_be_visible()
    page.get_by_role("button", name="Older recordings").click()
    expect(page.get_by_text(f"{PAGE + 20} recordings shown")).to_be_visible()
    expect(page.get_by_text("shown; these are all")).to_be_visible()
    expect(page.get_by_text("Marked recordings are simulated.")).to_be_visible()
    seen.look("archive")

    page.get_by_label("Since (unit time)").fill("2026-03-02T00:00:00")
    page.get_by_label("Before (unit time)").fill("2026-03-02T06:00:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("6 recordings shown")).to_be_visible()
    times = page.locator(".events-table .column-time").all_inner_texts()
    assert times[1:] == [f"2026-03-02 0{hour}:00:00" for hour in range(5, -1, -1)]
    seen.look("archive-by-time")
    # The address says what is shown, so that it can be sent to somebody.
    shared = visit(page.evaluate("() => location.hash"))
    expect(shared.page.get_by_text("6 recordings shown")).to_be_visible()
    page.get_by_label("Since (unit time)").fill("2030-01-01T00:00:00")
    page.get_by_label("Before (unit time)").fill("")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("The archive has no recording that matches.")).to_be_visible()
    seen.look("archive-none")


def table_of(shown: str) -> list[list[str]]:
    return [line.split("\t") for line in shown.splitlines()]


TIME_OF_PEAK = 3
"""Column of the table of peaks."""


def test_a_recording_shows_its_samples_and_takes_a_review_that_is_never_lost(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0503", events=0, unit=long_lived("SIM0503", 3))
    seen = visit(at(unit, "event/1"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    peaks = page.locator("table.peaks").inner_text()
    unit.do(unit.unit.erase)
    seen.go("#/archive?serial=SIM0503")
    expect(page.get_by_text("3 recordings shown")).to_be_visible()
    page.get_by_role("link", name="Open recording").nth(1).click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    archived = page.locator("table.peaks").inner_text()
    # A rate that only the setup gives is no fact of the event, so the archive knows no times.
    shown = table_of(peaks)
    channels = [row for row in shown if row[0] in ("Tran", "Vert", "Long", "MicL")]
    assert len(channels) == 4
    for row in channels:
        assert float(row[TIME_OF_PEAK]) >= -1.0, "s from the trigger"
        row[TIME_OF_PEAK] = "not available"
    assert table_of(archived) == shown, "else as it was on the unit"
    expect(page.get_by_text("2026-03-01 07:00:00 unit time").first).to_be_visible()
    facts = page.get_by_role("region", name="Recording", exact=True)
    expect(facts).to_contain_text("Archivedrecord; image: whole; samples: decoded")
    expect(page.get_by_text("No findings for this recording.")).to_be_visible()
    expect(page.get_by_text("Nobody has reviewed this recording.")).to_be_visible()
    seen.look("recording")
    page.get_by_role("button", name="Zoom in").click()
    expect(page.get_by_label("Another event of this unit")).to_have_count(0)

    for verdict, note in (("yes", "A lorry."), ("no", "No: the blast of seven.")):
        page.get_by_label("Reviewer").fill("K. Berg")
        page.get_by_role("radio", name=verdict, exact=True).check()
        page.get_by_label("Note").fill(note)
        page.get_by_role("button", name="Save review").click()
        expect(page.get_by_text("The review is stored.")).to_be_visible()
        expect(page.get_by_role("cell", name=note)).to_be_visible()
    expect(page.get_by_role("cell", name="A lorry.")).to_be_visible()
    seen.look("recording-reviewed")
    page.get_by_role("link", name="All recordings").click()
    expect(page.get_by_text("true trigger")).to_be_visible()
    # One that was never downloaded says so, and shows no chart.
    page.get_by_role("link", name="Open recording").first.click()
    expect(page.get_by_text("Its samples were never downloaded")).to_be_visible()
    expect(page.locator('[role="img"]')).to_have_count(0)
    expect(facts).to_contain_text("Archivedrecord; image: none; samples: none")
    seen.look("recording-without-samples")


def wave(hz: float) -> NDArray[np.int16]:
    """Return counts with the same peaks whatever the frequency, so that the record fits both."""
    counts = np.zeros((4, 1280), np.int16)
    counts[:3] = np.rint(300 * np.sin(2 * np.pi * hz * np.arange(1280) / 1024))
    return counts


def test_another_content_of_a_recording_has_its_own_chart_and_report(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    simulated, other = long_lived("SIM0508", 0), SimulatedUnit("SIM0509")
    simulated.record_event(counts=wave(10))
    other.record_event(counts=wave(20))
    image = other._memory.stored[0].image
    unit = new_unit("SIM0508", events=0, unit=simulated)
    with relay(database=tmp_path / "relay.sqlite", SFM_REGION="US", **BRISK) as started:
        seen = visit(at(unit, "event/0"), at=started.base)
        page = seen.page
        chart = page.get_by_role("region", name="Peak velocity by frequency").get_by_role("img")
        expect(chart).to_have_attribute("alt", re.compile("10(.0)? Hz"))
        # The unit returns other samples under the same stamp and record.
        body = image[layouts.BODY_OFFSET : -layouts.FOOTER.size]
        unit.do(lambda: alter(simulated, body=body))
        page.get_by_role("button", name="Force refresh").click()
        page.get_by_role("button", name="Refresh: Event 0").click()
        expect(chart).to_have_attribute("alt", re.compile("20(.0)? Hz"))
        page.get_by_role("button", name="Switch off").click()
        [row] = json.load(urlopen(f"{started.base}/archive/events"))["events"]
        assert len(row["contents"]) == 2
        seen.go(f"#/archive/{row['id']}")
        contents = page.get_by_label("Contents of its samples")
        expect(contents).to_be_visible()
        expect(chart).to_have_attribute("alt", re.compile("10(.0)? Hz"))
        contents.select_option(row["contents"][1])
        expect(chart).to_have_attribute("alt", re.compile("20(.0)? Hz"))
        report = page.get_by_role("link", name="Report (PDF)")
        expect(report).to_have_attribute("href", re.compile(f"content={row['contents'][1]}"))
        seen.look("recording-other-content")
        seen.close()


def test_the_list_marks_the_end_of_the_small_range_once_the_samples_gave_it(
    new_unit: NewUnit, visit: Open
) -> None:
    simulated = long_lived("SIM0504", 0)
    simulated.setup = replace(simulated.setup, geo_range_in_s=1.25)
    counts = np.zeros((4, 1024), dtype=np.int16)
    # Peaks that are whole steps of the larger range too, so that they show neither of them.
    counts[0, 300], counts[1, 300], counts[2, 300] = 2000, 16, 8
    simulated.record_event(counts=counts)
    seen = visit(at(new_unit("SIM0504", events=0, unit=simulated), "event/0"))
    expect(seen.page.locator('[role="img"]')).to_have_count(4)
    seen.go("#/archive?serial=SIM0504")
    row = seen.page.get_by_role("row").filter(has=seen.page.get_by_role("link"))
    expect(row).to_contain_text(">1.25")


def test_a_recording_that_does_not_exist_says_so(visit: Open) -> None:
    seen = visit("#/archive/4242424242424242")
    seen.fails = True
    expect(seen.page.get_by_role("alert")).to_be_visible()
    seen.look("recording-none")


def test_a_relay_without_an_archive_says_so(visit: Open) -> None:
    with relay() as started:
        seen = visit("#/archive", at=started.base)
        seen.fails = True
        expect(seen.page.get_by_text("This relay keeps no archive").first).to_be_visible()
        seen.look("archive-nowhere")
        seen.page.goto("about:blank")


def test_a_relay_that_went_away_says_so_and_comes_back(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0504")
    with relay() as started:
        seen = visit(at(unit, "events"), at=started.base)
        seen.fails = True
        expect(seen.page.get_by_text("3 events", exact=True)).to_be_visible()
    seen.step(15)
    expect(seen.page.get_by_text("The relay does not answer.").first).to_be_visible()
    expect(seen.page.get_by_text("last known").first).to_be_visible()
    seen.look("relay-gone")
    with relay("--http-port", str(started.port)):
        seen.page.get_by_role("button", name="Try again").click()
        expect(seen.page.get_by_role("alert")).to_have_count(0)
        expect(seen.page.get_by_text(re.compile("from the unit |checked ")).first).to_be_visible()
        seen.page.goto("about:blank")


def test_a_share_of_the_limit_is_good_news_only_once_the_samples_were_judged(
    new_unit: NewUnit, visit: Open, tmp_path: Path
) -> None:
    quiet = SimulatedUnit("SIM0507", seed=1)
    quiet.record_event(blast=Blast(peak_in_s=0.25), seed=3)
    unit = new_unit("SIM0507", events=0, unit=quiet)
    with relay(database=tmp_path / "relay.sqlite", SFM_REGION="US", **BRISK) as started:
        seen = visit(at(unit, "events"), at=started.base)
        share = seen.page.locator("td.column-verdict")
        expect(share).to_contain_text(">")  # of the unit's peaks alone
        expect(share.locator(".good, .alarm")).to_have_count(0)
        where = f"host=127.0.0.1&tcp_port={unit.port}"
        for path in ("waveform", "analysis"):
            urlopen(f"{started.base}/device/event/0/{path}?{where}").close()
        [row] = json.load(urlopen(f"{started.base}/archive/events"))["events"]
        urlopen(f"{started.base}/archive/recordings/{row['id']}/analysis").close()
        seen.page.reload()
        expect(share.locator(".good")).to_have_text(re.compile(r"^\d\d %$"))
        seen.look("events-judged")
        # The report's own chart stands on the event's page, live and archived, in words too.
        for page in (at(unit, "event/0"), f"#/archive/{row['id']}"):
            seen.go(page)
            chart = seen.page.get_by_role("region", name="Peak velocity by frequency")
            expect(chart.get_by_role("img", name=re.compile("USBM"))).to_be_visible()
            expect(chart).to_contain_text("USBM RI 8507")
        seen.look("event-judged")
        seen.close()
