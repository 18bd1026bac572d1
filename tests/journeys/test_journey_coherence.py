"""What happens to the unit while a page is open: erased at its keypad, exchanged, unplugged."""

from __future__ import annotations

from datetime import timedelta

import pytest
from kit.browser import NewUnit, Open, Watched, at, ground, rows
from kit.unit_thread import UnitThread
from playwright.sync_api import Page, expect

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.unit import NEVER_SET_DEVICE_TIME

pytest_plugins = ["kit.web_world"]

POLL_S, POLL_INTERVAL_S = 15, 30


def recorded(serial: str) -> SimulatedUnit:
    """Return a unit with three such events of today."""
    unit = SimulatedUnit(serial)
    for number in range(3):
        unit.record_event(
            counts=ground(number), at_device_time=unit.now_device_time - timedelta(hours=3 - number)
        )
    return unit


def listed(page: Page) -> list[tuple[str, ...]]:
    """Return number, time and the four velocities of each event in sight."""
    return [tuple(row[:6]) for row in rows(page)]


def truth(unit: UnitThread) -> list[tuple[str, ...]]:
    """Return what a list of the unit's memory must show, newest first, in in/s."""
    shown = []
    for event in unit.do(lambda: list(unit.unit.events)):
        peaks = event.peaks
        values = (peaks.vector_sum_in_s, peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s)
        assert event.device_time is not None
        time = f"{event.device_time:%Y-%m-%d %H:%M:%S}"
        figures = [f"{value:.3f}" for value in values if value is not None]
        shown.append((str(event.index), time, *figures))
    return shown[::-1]


def keys_of(unit: UnitThread) -> list[bytes]:
    return unit.do(lambda: [event.key for event in unit.unit.events])


def erase_and_record_as_many(unit: UnitThread) -> list[tuple[str, ...]]:
    """At the keypad: erase, then as many events of equal length; return what was there before."""

    def act() -> None:
        count = len(unit.unit.events)
        unit.unit.erase()
        for number in range(count):
            unit.unit.record_event(counts=ground(100 + number))

    before = truth(unit)
    keys = keys_of(unit)
    unit.do(act)
    assert keys_of(unit) == keys, "the same slots, under the same keys"
    return before


def test_after_an_erase_at_the_keypad_nothing_old_stands_under_a_new_date(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0201", events=0, unit=recorded("SIM0201"))
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    assert listed(page) == truth(unit)
    # Two of them are archived with their samples, the waveform is held by the cache.
    page.get_by_role("link", name="Open event 1").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    seen.go(at(unit, "events"))
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()

    before = erase_and_record_as_many(unit)
    seen.step(POLL_S)
    expect(page.get_by_text("The unit's memory was erased.")).to_be_visible()
    after = listed(page)
    assert after == truth(unit)
    assert not {row[1:] for row in after} & {row[1:] for row in before}
    seen.look("events-erased")

    page.get_by_role("link", name="Open event 1").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    number, time, _, *velocities = truth(unit)[1]
    assert number == "1"
    expect(page.get_by_text(time).first).to_be_visible()
    for name, velocity in zip(("Tran", "Vert", "Long"), velocities, strict=False):
        row = page.locator("table.peaks").get_by_role("row", name=name)
        expect(row.get_by_role("cell").first).to_have_text(velocity)

    # The records from before the erase are one link away, under their own dates.
    seen.go(at(unit, "events"))
    seen.page.reload()
    seen.go("#/archive?serial=SIM0201")
    expect(page.get_by_text("6 recordings shown")).to_be_visible()
    archived = {row[0] for row in rows(page)}
    assert {row[1] for row in before} <= archived, archived


def test_the_banner_of_an_erase_leads_to_the_archived_records_and_can_be_put_away(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0202")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    unit.do(unit.unit.erase)
    seen.step(POLL_S)
    expect(page.get_by_text("The unit's memory was erased.")).to_be_visible()
    expect(page.get_by_text("The unit's memory is empty.")).to_be_visible()
    assert listed(page) == []
    seen.look("events-erased-empty")
    page.get_by_role("link", name="Archived records of SIM0202").click()
    expect(page.get_by_text("3 recordings shown")).to_be_visible()
    seen.look("archive-of-one-unit")
    page.go_back()
    expect(page.get_by_text("The unit's memory is empty.")).to_be_visible()


def test_a_clock_that_was_never_set_makes_nobody_take_the_new_for_the_old(
    new_unit: NewUnit, visit: Open
) -> None:
    simulated = SimulatedUnit("SIM0203", now_device_time=NEVER_SET_DEVICE_TIME)
    simulated.record_event(seed=1, at_device_time=NEVER_SET_DEVICE_TIME)
    unit = new_unit("SIM0203", events=0, unit=simulated)
    seen = visit(at(unit, "event/0"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    [old] = truth(unit)

    def act() -> None:
        simulated.erase()
        simulated.record_event(seed=2, at_device_time=NEVER_SET_DEVICE_TIME)

    unit.do(act)
    [new] = truth(unit)
    assert old[:2] == new[:2] != old[2:]
    seen.go(at(unit, "events"))
    expect(page.get_by_text("1 event", exact=True)).to_be_visible()
    assert listed(page) == [new]
    page.get_by_role("link", name="Open event 0").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    row = page.locator("table.peaks").get_by_role("row", name="Tran")
    expect(row.get_by_role("cell").first).to_have_text(f"{new[3]}")


def test_a_waveform_that_is_open_says_that_its_slot_holds_another_event(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0204", events=0, unit=recorded("SIM0204"))
    seen = visit(at(unit, "event/2"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    stamp = page.get_by_role("heading", level=1).inner_text()
    [new, *_] = erase_and_record_as_many(unit) and truth(unit)
    seen.step(POLL_INTERVAL_S)
    expect(page.get_by_text("another event has this number now")).to_be_visible()
    assert page.get_by_role("heading", level=1).inner_text() == stamp, (
        "the old one, under its own date"
    )
    seen.look("waveform-replaced")
    page.get_by_role("button", name="Show the present event").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(new[1])
    row = page.locator("table.peaks").get_by_role("row", name="Tran")
    expect(row.get_by_role("cell").first).to_have_text(f"{new[3]}")
    expect(page.get_by_text("another event has this number now")).to_have_count(0)


def test_a_row_chosen_before_an_erase_opens_with_a_word_of_warning(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0205", events=0, unit=recorded("SIM0205"))
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    erase_and_record_as_many(unit)
    # The list has not looked since.
    page.get_by_role("link", name="Open event 0").click()
    expect(page.locator('[role="img"]')).to_have_count(4)
    expect(page.get_by_text("The list showed another event here")).to_be_visible()
    time = truth(unit)[2][1]
    expect(page.get_by_role("heading", level=1)).to_contain_text(time)
    seen.look("waveform-other-than-listed")


def test_another_unit_at_the_address_is_named_and_never_shown_under_the_first_ones_number(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0206")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    other = SimulatedUnit("SIM0207", seed=9)
    first = other.now_device_time - timedelta(days=1)
    for number in range(3):
        other.record_event(at_device_time=first + timedelta(hours=number))
    unit.unplug()
    unit.unit = other
    unit.plug_in()
    before = listed(page)
    seen.fails = True
    seen.step(POLL_S)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("No route leads to unit SIM0206 now")
    assert listed(page) == before, "the first unit's last known list"
    expect(page.get_by_text("last known").first).to_be_visible()
    expect(page.get_by_role("heading", name="Unit SIM0206")).to_be_visible()
    seen.look("events-other-unit")
    # Nor is a command for the first one given to the other.
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Start monitoring").click()
    expect(page.locator(".outcome.bad")).to_be_visible()
    assert unit.do(lambda: other._monitor_since) is None
    page.get_by_role("link", name=f"Ask who answers at {unit.key}").click()
    expect(page.get_by_role("heading", name="Unit SIM0207")).to_be_visible()
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    assert listed(page) == truth(unit)


def test_a_lost_link_leaves_what_is_known_marked_as_such_until_it_is_back(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0208")
    seen = visit(at(unit))
    seen.fails = True
    page = seen.page
    expect(page.get_by_text("6.80 V")).to_be_visible()
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    unit.unplug()
    seen.step(POLL_S)
    expect(page.get_by_role("alert").first).to_contain_text(
        "Check the power of the unit and its modem"
    )
    expect(page.get_by_text("last known, unreachable since").first).to_be_visible()
    assert listed(page) == truth(unit), "still there, and marked as the last known"
    seen.look("events-unplugged")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Refresh: State now").click()
    expect(page.get_by_text("last known, unreachable since").first).to_be_visible()
    seen.look("unit-unplugged")
    # A visitor who comes now sees what was known, and that the unit is not reached.
    late = visit(at(unit, "events"))
    late.fails = True
    expect(late.page.get_by_text("last known, unreachable since").first).to_be_visible()
    late.go(at(unit, "event/0"))
    expect(late.page.get_by_role("alert").first).to_be_visible()
    late.look("waveform-unplugged")

    unit.do(lambda: unit.unit.record_event(seed=50))
    unit.plug_in()
    page.get_by_role("link", name="Events", exact=True).click()
    forced(seen)
    expect(page.get_by_text("4 events", exact=True)).to_be_visible()
    expect(page.get_by_text("last known")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert listed(page) == truth(unit)


def forced(seen: Watched) -> None:
    """Ask the unit itself now: others leave a unit alone while the relay backs off."""
    seen.page.get_by_role("button", name="Refresh: Events").click()


@pytest.mark.parametrize("page_of", ["", "events", "event/0", "commands"])
def test_an_address_where_nothing_answers_says_what_to_do_next(page_of: str, visit: Open) -> None:
    fragment = "#/unit/tcp:127.0.0.1:9"
    seen = visit(f"{fragment}/{page_of}" if page_of else fragment)
    seen.fails = True
    alert = seen.page.get_by_role("alert").filter(has_text="Check the power of the unit")
    expect(alert.first).to_be_visible()
    expect(seen.page.get_by_role("button", name="Try again").first).to_be_visible()
    seen.look(f"wrong-address-{page_of.replace('/', '-') or 'overview'}")
