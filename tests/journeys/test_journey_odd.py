"""By keyboard alone, over a serial line, and records of which not everything is known."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from kit.browser import BRISK, NARROW, NewUnit, Open, at
from kit.lesser_events import LESSER, lesser_unit
from kit.relay_process import relay
from kit.unit_thread import PATIENCE_S, UnitThread
from playwright.sync_api import Page, expect

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.pty import serve_pty
from minimateplus.wire.layouts import BODY_OFFSET, RANGE_AFTER_SENSITIVITY, SENSITIVITY

pytest_plugins = ["kit.web_world"]


def tab_to(page: Page, name: str, *, most: int = 40) -> None:
    """Press Tab until what has the focus is called that."""
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count() and name in shown_text(page):
            return
    raise AssertionError(f"Tab does not lead to {name!r}")


def shown_text(page: Page) -> str:
    """Return what a screen reader would call the element that has the focus, roughly."""
    found: str = page.evaluate(
        """() => {
            const at = document.activeElement;
            const label = at.closest("label") ?? at;
            return at.ariaLabel ?? label.textContent.trim();
        }"""
    )
    return found


def test_a_unit_is_opened_read_and_zoomed_by_keyboard_alone(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0701")
    seen = visit()
    page = seen.page
    expect(page.get_by_role("heading", name="Connect to a unit")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    tab_to(page, "Address, name or serial number")
    page.keyboard.type(f"127.0.0.1:{unit.port}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Unit SIM0701")).to_be_visible()
    page.get_by_role("link", name="Skip to content").focus()
    page.keyboard.press("Enter")
    tab_to(page, "Events")
    page.keyboard.press("Enter")
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    tab_to(page, "Open event 2")
    page.keyboard.press("ArrowDown")
    assert shown_text(page) == "Open event 1"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="SIM0701 · ")).to_be_visible()
    expect(page.locator('[role="img"]')).to_have_count(4)
    tab_to(page, "Waveform charts")
    whole = page.locator('[role="img"]').first.get_attribute("aria-label")
    page.keyboard.press("+")
    zoomed = page.locator('[role="img"]').first.get_attribute("aria-label")
    page.keyboard.press("PageDown")
    moved = page.locator('[role="img"]').first.get_attribute("aria-label")
    assert len({whole, zoomed, moved}) == 3
    page.keyboard.press("Escape")
    assert page.locator('[role="img"]').first.get_attribute("aria-label") == whole
    # Nothing holds the focus: Tab goes on.
    tab_to(page, "Another event of this unit")


def test_on_a_phone_events_are_seen_first_and_filters_on_demand(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0705")
    seen = visit()
    page = seen.page
    page.set_viewport_size(NARROW)
    seen.go(at(unit, "events"))
    expect(page.locator(".card").first).to_be_in_viewport(ratio=1)
    expect(page.get_by_label("PVS at least")).to_be_hidden()
    page.get_by_text("Filter", exact=True).click()
    expect(page.get_by_label("PVS at least")).to_be_visible()
    page.get_by_label("Project contains").fill("nowhere")
    expect(page.get_by_text("No event matches the filters.")).to_be_visible()


class SerialUnit(UnitThread):
    """A simulated unit on a pseudo terminal instead of TCP."""

    def plug_in(self) -> None:
        self._stack = AsyncExitStack()

        async def served() -> str:
            return (await self._stack.enter_async_context(serve_pty(self.unit))).path

        self.path = asyncio.run_coroutine_threadsafe(served(), self._loop).result(PATIENCE_S)

    def unplug(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(PATIENCE_S)


@contextmanager
def serial_unit(serial: str) -> Iterator[SerialUnit]:
    """Serve a unit with one event on a pseudo terminal until the block ends."""
    simulated = SimulatedUnit(serial)
    simulated.record_event(seed=1)
    unit = SerialUnit(simulated)
    try:
        yield unit
    finally:
        unit.close()


def test_a_unit_at_a_serial_port_is_opened_and_read(visit: Open, tmp_path: Path) -> None:
    with serial_unit("SIM0702") as unit, ExitStack() as stack:
        # A pseudo terminal is none of the system's ports: the settings name it.
        named = {**BRISK, "SFM_UNITS": json.dumps({"bench": unit.path})}
        own = stack.enter_context(relay(database=tmp_path / "relay.sqlite", **named))
        seen = visit(at=own.base)
        page = seen.page
        page.get_by_label("Address, name or serial number").fill(unit.path)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("heading", name="Unit SIM0702")).to_be_visible()
        expect(page.get_by_text(f"serial:{unit.path}:38400").first).to_be_visible()
        page.get_by_role("link", name="Events", exact=True).click()
        expect(page.get_by_text("1 event", exact=True)).to_be_visible()
        page.get_by_role("link", name="Open event 0").click()
        expect(page.locator('[role="img"]')).to_have_count(4)
        page.goto("about:blank")  # before its relay ends


def test_samples_that_are_not_valid_are_left_out_and_counted(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0703", events=1)

    def damage() -> None:
        stored = unit.unit._memory.stored
        image = bytearray(stored[0].image)
        half = (BODY_OFFSET + len(image)) // 2
        image[half : half + 64] = bytes((0x77,)) * 64  # no block begins so
        stored[0] = replace(stored[0], image=bytes(image))

    unit.do(damage)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.get_by_text("samples are not valid and are left out.")).to_be_visible()
    expect(page.locator('[role="img"]')).to_have_count(4)
    seen.look("waveform-partial")


def test_without_a_range_geophones_are_shown_in_counts(new_unit: NewUnit, visit: Open) -> None:
    simulated = SimulatedUnit("SIM0704")
    # The range is unknown: a still record has no peak to infer it from, and the setup's is new.
    simulated.record_event(counts=np.zeros((4, 300), np.int16))
    head, *rest = simulated._setup_block.split(SENSITIVITY)
    place = RANGE_AFTER_SENSITIVITY - len(SENSITIVITY)
    insensitive = [part[:place] + b"\x07" + part[place + 1 :] for part in rest]
    simulated._setup_block = SENSITIVITY.join([head, *insensitive])
    unit = new_unit("SIM0704", events=0, unit=simulated)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.get_by_text("The range is unknown")).to_be_visible()
    expect(page.locator(".chart-unit").first).to_have_text("counts")
    seen.look("waveform-no-range")


def test_each_lesser_event_says_at_the_top_of_its_page_what_it_lacks(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0020", events=0, unit=lesser_unit())
    for kind, sentence in (
        ("clipped", "Over range: Tran reached the end of the range"),
        ("partial", "Not good: of 1,280 samples per channel that its header announces, valid are"),
        ("undecoded", "The samples are archived, but this version cannot decode them."),
        ("scale-unconfirmed", "Scale unconfirmed: only the unit's present setup gives it"),
        ("never-set-clock", "Odd clock: the unit's clock was wrong or never set"),
    ):
        seen = visit(at(unit, f"event/{LESSER.index(kind)}"))
        seen.fails = kind == "undecoded"
        expect(seen.page.get_by_text(sentence).first).to_be_visible()
        if kind != "undecoded":
            expect(seen.page.get_by_text("limit curve is chosen for this event")).to_be_visible()
        shown = seen.page.locator("main").inner_text()
        assert not re.search(r"SFM_|STRT|seismo-relay|POLL|epoch", shown), kind
