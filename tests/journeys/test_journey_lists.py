"""Lists and the phone: rows in tabs of their own, downloads from the archive, fingers."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from kit.browser import NARROW, PATIENCE_MS, TOO_SMALL, WIDE, NewUnit, Open, at
from kit.relay_process import relay
from playwright.sync_api import Route, ViewportSize, expect

from minimateplus.simulator.faulty_links import FaultyLink

pytest_plugins = ["kit.web_world"]

WORD_WITHIN_S = 5


@pytest.mark.parametrize("way", ["Control", "middle"])
def test_a_row_opens_in_a_tab_of_its_own(way: str, new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM1301")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    cell = page.locator(".events-table tbody tr:not(.spacer)").nth(1).locator("td").nth(2)
    with page.context.expect_page() as opened:
        if way == "Control":
            cell.click(modifiers=["Control"])
        else:
            cell.click(button="middle")
    expect(opened.value).to_have_url(re.compile("#/unit/SIM1301/event/1$"))
    expect(page).to_have_url(re.compile("#/unit/SIM1301/events$"))


def test_all_events_are_downloaded_from_the_archive_and_from_a_recording_without_samples(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1302")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    seen.fails = True
    seen.go("#/archive?serial=SIM1302")
    expect(page.get_by_role("cell", name="not downloaded")).to_have_count(3)
    page.get_by_role("link", name="Open recording").first.click()
    expect(page.get_by_text("Its samples were never downloaded")).to_be_visible()
    expect(page.get_by_role("button", name="Download all")).to_be_visible()
    seen.look("recording-without-samples")
    page.go_back()
    page.get_by_role("button", name="Download all").click()
    ended = page.get_by_role("region", name="Download all").get_by_role("status")
    for _ in range(60):
        seen.step(2)
        if ended.inner_text():
            break
        page.wait_for_event("response", timeout=30_000)
    expect(ended).to_contain_text("3 ")
    expect(page.get_by_role("cell", name="not downloaded")).to_have_count(0)
    seen.look("archive-downloaded")


class Fading(FaultyLink):
    """A link over which so many answers come back, and then nothing until a test allows more."""

    left = math.inf
    more = asyncio.Event()

    async def send(self, data: bytes) -> None:
        while Fading.left <= 0:
            Fading.more.clear()
            await Fading.more.wait()
        Fading.left -= 1
        await super().send(data)

    @staticmethod
    def allow(answers: float) -> None:
        """Let so many answers come back; called where the unit runs."""
        Fading.left = answers
        Fading.more.set()


ANSWERS = 60
"""Enough for some of the events, and not for all."""


def test_a_download_of_all_says_why_it_tries_again_until_events_come_again(
    new_unit: NewUnit, visit: Open
) -> None:
    Fading.left, Fading.more = math.inf, asyncio.Event()
    unit = new_unit("SIM1310", events=12, wrap_link=Fading)
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("12 events", exact=True)).to_be_visible()
    seen.go("#/archive?serial=SIM1310")
    fetch = page.get_by_role("region", name="Download all")
    going, why = fetch.get_by_role("progressbar"), fetch.get_by_text("Trying again: ")
    ended = fetch.get_by_role("status")

    def look_until(is_seen: Callable[[], bool]) -> None:
        until = time.monotonic() + 2 * PATIENCE_MS / 1000
        while not is_seen():
            assert time.monotonic() < until, fetch.inner_text()
            with page.expect_response("**/operations/*"):
                seen.step(2)

    unit.do(lambda: Fading.allow(ANSWERS))
    fetch.get_by_role("button").click()
    look_until(why.is_visible)
    reason = re.compile("The (unit did not reply in time|link to the unit was lost)")
    expect(why).to_have_text(reason)
    seen.look("download-trying-again")
    unit.do(lambda: Fading.allow(ANSWERS))
    look_until(lambda: going.is_visible() and not why.is_visible())
    unit.do(lambda: Fading.allow(math.inf))
    look_until(lambda: ended.inner_text() != "")
    expect(ended).to_have_text("12 events downloaded, 0 already archived.")
    expect(why).to_have_count(0)


ROWS = 1000
MOST_DRAWN = """() => {
    window.mostDrawn = 0;
    new MutationObserver(() => {
        const drawn = document.querySelectorAll("[data-row]").length;
        window.mostDrawn = Math.max(window.mostDrawn, drawn);
    }).observe(document.body, { childList: true, subtree: true });
}"""
"""Notes how many rows were in the page at once, also those that are taken out again."""


def a_thousand(route: Route) -> None:
    """Make a list of ``ROWS`` events of the relay's own answer."""
    answer = route.fetch()
    if answer.status != 200:
        return route.fulfill(response=answer)
    body = answer.json()
    one = body["events"][0]
    first = datetime(2026, 1, 1)
    body["events"] = [
        {**one, "index": n, "timestamp": (first + timedelta(hours=n)).isoformat()}
        for n in range(ROWS)
    ]
    body["count"] = body["walked"] = ROWS
    return route.fulfill(response=answer, json=body)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["table", "cards"])
def test_of_a_thousand_rows_only_those_in_sight_are_ever_drawn(
    size: ViewportSize, new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1307", events=1)
    seen = visit()
    page = seen.page
    page.set_viewport_size(size)
    page.route("**/device/events?*", a_thousand)
    page.evaluate(MOST_DRAWN)
    seen.go(at(unit, "events"))
    expect(page.get_by_text("1,000 events", exact=True)).to_be_visible()
    expect(page.locator('[data-row="0"]')).to_be_visible()
    page.locator(".list-box").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    expect(page.locator(f'[data-row="{ROWS - 1}"]')).to_be_visible()
    in_sight = (size["height"] // 30) + 1
    assert 0 < page.evaluate("() => window.mostDrawn") <= in_sight + 2 * 8


class Silent(FaultyLink):
    """A link over which nothing comes back until a test says so."""

    released = asyncio.Event()

    async def send(self, data: bytes) -> None:
        await Silent.released.wait()
        await super().send(data)


@pytest.mark.parametrize("page_of", ["", "events", "event/0", "commands"])
def test_a_silent_unit_has_a_first_word_a_clock_and_a_cancel(
    page_of: str, new_unit: NewUnit, visit: Open
) -> None:
    Silent.released = asyncio.Event()
    unit = new_unit("SIM1304", events=1, wrap_link=Silent)
    with relay(SFM_REPLY_S="60", database=None) as patient:
        seen = visit(at(unit, page_of), at=patient.base)
        page = seen.page
        waiting = page.get_by_text("Waiting for an answer.").first
        expect(waiting).to_be_visible()
        page.clock.run_for(WORD_WITHIN_S * 1000)
        expect(page.locator(".clock").first).to_have_text(re.compile(r"^[3-9] s$"))
        seen.look(f"silent-{page_of.replace('/', '-') or 'overview'}")
        page.get_by_role("button", name="Cancel").first.click()
        expect(page.get_by_text("Cancelled.").first).to_be_visible()
        unit.do(Silent.released.set)
        page.get_by_role("button", name="Try again").first.click()
        expect(page.get_by_role("heading", name="SIM1304").first).to_be_visible()
        page.goto("about:blank")


@pytest.mark.parametrize("page_of", ["", "events", "event/0"])
def test_a_silent_unit_by_its_serial_number_has_a_word_and_then_what_was_last_known(
    page_of: str, new_unit: NewUnit, visit: Open
) -> None:
    Silent.released = asyncio.Event()
    Silent.released.set()
    unit = new_unit("SIM1308", events=1, wrap_link=Silent)
    # What the relay has is not fresh enough for any read, so that each one asks the unit.
    with relay(SFM_REPLY_S="60", SFM_VALIDATED_S="0", database=None) as patient:
        known = visit(at(unit), at=patient.base)
        expect(known.page.get_by_text("6.80 V")).to_be_visible()
        known.go(at(unit, "event/0"))
        expect(known.page.locator('[role="img"]')).to_have_count(4)
        known.go(at(unit, "events"))
        expect(known.page.get_by_text("1 event", exact=True)).to_be_visible()
        known.close()
        unit.do(Silent.released.clear)
        seen = visit(f"#/unit/SIM1308{page_of and '/'}{page_of}", at=patient.base)
        seen.fails = True
        page = seen.page
        if page_of:
            word = re.compile("Waiting for (an answer|the unit)")
            expect(page.get_by_text(word).first).to_be_visible()
        else:  # the state is shown, and read anew
            expect(page.get_by_text("6.80 V")).to_be_visible()
            page.get_by_role("button", name="Refresh: State now").click()
        page.clock.run_for(WORD_WITHIN_S * 1000)
        expect(page.locator(".clock").first).to_have_text(re.compile(r"^[3-9] s$"))
        expect(page.get_by_role("button", name="Cancel").first).to_be_visible()
        seen.look(f"silent-by-serial-{page_of.replace('/', '-') or 'overview'}")
        # The relay hears that the link is gone; what it knew is shown, with its age.
        unit.unplug()
        expect(page.get_by_role("alert")).to_have_count(1)
        expect(page.get_by_text("last known, unreachable since").first).to_be_visible()
        last = {
            "": page.get_by_text("6.80 V"),
            "events": page.locator('[data-row="0"]'),
            "event/0": page.locator('[role="img"]').first,
        }
        expect(last[page_of]).to_be_visible()
        page.goto("about:blank")


def without_samples(route: Route) -> None:
    """Let the archive have no content of any recording."""
    answer = route.fetch()
    body = answer.json()
    events = [{**one, "contents": [], "waveforms": 0} for one in body["events"]]
    route.fulfill(response=answer, json={**body, "events": events})


def test_that_a_unit_is_simulated_stands_once_on_a_phone(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM1309", events=1)
    seen = visit()
    page = seen.page
    page.set_viewport_size(NARROW)
    for rest, there in (
        ("", page.get_by_text("6.80 V")),
        ("events", page.locator(".card")),
        ("event/0", page.locator('[role="img"]').first),
        ("commands", page.get_by_role("heading", name="Monitoring", exact=True)),
    ):
        seen.go(at(unit, rest))
        expect(there).to_be_visible()
        expect(page.get_by_text(re.compile("SIMULATED")).filter(visible=True)).to_have_count(1)
    seen.go("#/archive?serial=SIM1309")
    page.locator(".card a").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page.get_by_text(re.compile("SIMULATED")).filter(visible=True)).to_have_count(1)
    seen.look("recording-phone")
    # Also on the page of one whose samples nobody has downloaded.
    page.route("**/archive/events?*", without_samples)
    page.reload()
    expect(page.get_by_text("Its samples were never downloaded")).to_be_visible()
    expect(page.get_by_text(re.compile("SIMULATED")).filter(visible=True)).to_have_count(1)


def test_everything_that_is_touched_on_a_phone_is_44_px_high(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1305")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    page.set_viewport_size(NARROW)
    unit_pages = [f"#/unit/SIM1305{rest}" for rest in ("", "/events", "/commands")]
    small: dict[str, list[str]] = {}
    for to in ("#/", *unit_pages, "#/archive", "#/settings", "#/settings/cache"):
        seen.go(to)
        expect(page.get_by_role("heading", level=1)).to_be_focused()
        page.wait_for_function("() => !document.querySelector('.waiting')")
        for details in page.locator("summary:visible").all():
            details.click()
        found: list[str] = page.evaluate(TOO_SMALL)
        if found:
            small[to] = found
    assert small == {}
    seen.go("#/unit/SIM1305/events")
    card = page.locator(".card").first.bounding_box()
    assert card is not None
    assert card["y"] + card["height"] < NARROW["height"], "the first event is above the fold"


def test_what_the_relay_reports_is_put_into_a_technicians_words(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM1306")
    seen = visit(at(unit))
    seen.fails = True
    page = seen.page
    expect(page.get_by_text("6.80 V")).to_be_visible()
    unit.unplug()
    for _ in range(3):
        page.get_by_role("button", name="Refresh: State now").click()
        expect(page.get_by_role("button", name="Refresh: State now")).to_have_text("Refresh")
        expect(page.get_by_role("alert").first).to_be_visible()
    seen.go("#/unit/SIM1306/events")
    expect(page.get_by_text(re.compile("failed \\d+ times in a row")).first).to_be_visible()
    for word in ("force=true", "SFM_", "POLL", "TypeError"):
        expect(page.get_by_text(word)).to_have_count(0)
