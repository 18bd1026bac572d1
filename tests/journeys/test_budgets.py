"""
What the web app may cost: transfer, the first thing to see, a redraw, how long it hears nobody.

The limits are asserted, so these tests run alone, after all others. Since other work on the machine
only ever makes a figure worse, the best of some tries counts, and the first that is good ends them.
``benchmarks/`` has the figures themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from kit.browser import MAX_TRANSFER_BYTES, ROOT, WIDE, NewUnit, at
from playwright.sync_api import Browser, Page

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.blast import Blast
from minimateplus.simulator.serve import Pace
from minimateplus.simulator.unit import DEFAULT_SETUP

pytest_plugins = ["kit.web_world"]
pytestmark = pytest.mark.alone

WATCHING = ROOT / "benchmarks" / "watching.js"
TRIES = 8
SLOWER = 4
"""A cheap phone's processor beside this one, as Chromium's makers take it."""
MAX_FIRST_PAINT_MS = 1000.0
MAX_REDRAW_MS = 50.0
MAX_DRAWN_MS = 500.0
"""From the last byte of an event's samples until its charts are seen."""
MAX_TASK_MS = 200.0
MAX_SCROLL_TASK_MS = 100.0
ROWS = 1000
SAMPLES = 13 * 4096
"""Of each channel; the time before the trigger comes on top."""
LONGEST = Blast(record_time_s=13.0, sample_rate_hz=4096)


def opened(browser: Browser, slower: int = 1) -> Page:
    """Return a page of a browser that has nothing in its cache, watched from its beginning."""
    page = browser.new_context(viewport=WIDE).new_page()
    page.add_init_script(path=WATCHING)
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    return page


def best(measure: Callable[[], float], most: float) -> float:
    """Return the first figure below ``most``, or the least of some tries."""
    figures: list[float] = []
    while len(figures) < TRIES:
        figures.append(measure())
        if figures[-1] < most:
            break
    return min(figures)


def test_all_of_the_app_is_sent_in_less_than_60_kb(browser: Browser, base: str) -> None:
    page = opened(browser)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    named: dict[str, str] = {}
    sent: dict[str, int] = {}
    session.on(
        "Network.responseReceived",
        lambda message: named.update({message["requestId"]: message["response"]["url"]}),
    )
    session.on(
        "Network.loadingFinished",
        lambda message: sent.update({message["requestId"]: message["encodedDataLength"]}),
    )
    page.goto(base, wait_until="networkidle")
    page.wait_for_selector("main h1")
    page.context.close()
    of_app = {
        named[number].removeprefix(base): size
        for number, size in sent.items()
        if named[number] == f"{base}/" or "/assets/" in named[number]
    }
    assert {name.rpartition(".")[2] for name in of_app} >= {"/", "js", "css"}
    assert sum(of_app.values()) < MAX_TRANSFER_BYTES, of_app


@pytest.mark.parametrize("page_of", ["connect", "unit"])
def test_something_useful_is_seen_within_a_second_on_a_slow_machine(
    page_of: str, browser: Browser, base: str, new_unit: NewUnit
) -> None:
    unit = new_unit("SIM0601", events=0)
    fragment, useful = ("", "main h1")
    if page_of == "unit":
        fragment, useful = (at(unit), "main .facts dd")

    def measure() -> float:
        page = opened(browser, SLOWER)
        page.goto(f"{base}/{fragment}", wait_until="commit")
        took: float = page.evaluate("(css) => watching.until(css)", useful)
        page.context.close()
        return took

    assert best(measure, MAX_FIRST_PAINT_MS) < MAX_FIRST_PAINT_MS


def longest(serial: str, events: int) -> SimulatedUnit:
    """Return a unit that holds events of the greatest length."""
    setup = replace(DEFAULT_SETUP, sample_rate_hz=4096, record_time_s=13.0)
    unit = SimulatedUnit(serial, setup=setup, memory_bytes=10_000_000)
    for _ in range(events):
        unit.record_event(blast=LONGEST)
    return unit


def test_four_channels_of_53248_samples_are_redrawn_within_50_ms(
    browser: Browser, base: str, new_unit: NewUnit
) -> None:
    unit = new_unit("SIM0602", events=0, unit=longest("SIM0602", 1))
    page = opened(browser)
    page.goto(f"{base}/{at(unit, 'event/0')}")
    page.wait_for_selector(".u-over")
    samples = unit.do(lambda: unit.unit.counts_of(0)).shape[1]
    assert samples >= SAMPLES
    page.get_by_text(str(samples), exact=True).wait_for()

    def redraw() -> float:
        page.evaluate("(key) => watching.key(key)", "+")
        drawn, _ = page.evaluate("(key) => watching.key(key)", "0")
        assert drawn > 0
        return float(drawn)

    assert best(redraw, MAX_REDRAW_MS) < MAX_REDRAW_MS
    page.context.close()


def test_an_event_is_drawn_within_half_a_second_after_its_data(
    browser: Browser, base: str, new_unit: NewUnit
) -> None:
    unit = new_unit("SIM0604", events=2)
    warm = opened(browser)
    warm.goto(f"{base}/{at(unit, 'event/1')}")
    warm.wait_for_selector(".u-over")
    warm.context.close()

    def drawn() -> float:
        page = opened(browser)
        page.goto(f"{base}/{at(unit, 'event/1')}", wait_until="commit")
        seen_ms = page.evaluate("watching.until('.chart-MicL .u-over')")
        data_ms = page.evaluate(
            """() => performance.getEntriesByType("resource")
                .find((one) => one.name.includes("/event/1/waveform")).responseEnd"""
        )
        page.context.close()
        return float(seen_ms - data_ms)

    assert best(drawn, MAX_DRAWN_MS) < MAX_DRAWN_MS


def test_the_page_is_never_deaf_for_more_than_200_ms_while_a_record_comes_in(
    browser: Browser, base: str, new_unit: NewUnit
) -> None:
    # A record is held by the relay once it was read: each try takes the next one.
    entry = longest("SIM0603", TRIES)
    unit = new_unit("SIM0603", events=0, unit=entry, pace=Pace(1_500_000))
    page = opened(browser)
    page.goto(f"{base}/{at(unit, 'events')}")
    page.wait_for_selector(".events-table tbody a")
    page.evaluate("watching.longestTask()")
    events = iter(range(TRIES))

    def download() -> float:
        page.evaluate("to => { location.hash = to; }", at(unit, f"event/{next(events)}"))
        page.wait_for_selector("progress")
        page.wait_for_selector(".u-over")
        task: float = page.evaluate("watching.longestTask()")
        page.evaluate("to => { location.hash = to; }", at(unit, "events"))
        page.wait_for_selector(".events-table")
        return task

    assert best(download, MAX_TASK_MS) < MAX_TASK_MS
    page.context.close()


def test_a_thousand_rows_are_scrolled_without_a_task_of_more_than_100_ms(
    browser: Browser, base: str, new_unit: NewUnit
) -> None:
    unit = new_unit("SIM0604", events=ROWS)
    page = opened(browser)
    page.goto(f"{base}/{at(unit, 'events')}")
    page.get_by_text(f"{ROWS:,} events", exact=True).wait_for(timeout=120_000)
    page.locator(".list-box").hover()

    def scroll() -> float:
        page.evaluate("watching.longestTask()")
        for step in (400, -400):
            for _ in range(30):
                page.mouse.wheel(0, step)
                page.evaluate("() => new Promise(requestAnimationFrame)")
        task: float = page.evaluate("watching.longestTask()")
        return task

    page.mouse.wheel(0, 2000)
    page.locator("a[data-row='60']").wait_for()
    page.mouse.wheel(0, -2000)
    assert best(scroll, MAX_SCROLL_TASK_MS) < MAX_SCROLL_TASK_MS
    page.context.close()
