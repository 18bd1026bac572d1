"""What changes a unit, given from the page: each command, its preview, its guard, its outcome."""

from __future__ import annotations

import re
import time

from kit.browser import NewUnit, Open, Watched, at
from kit.cutting_proxy import cutting_proxy
from kit.field_memory import alter, cut_samples, histogram_body
from kit.unit_thread import UnitThread
from playwright.sync_api import Locator, expect

from minimateplus.simulator import SimulatedUnit
from minimateplus.wire import commands

pytest_plugins = ["kit.web_world"]


class AheadClock:
    """The computer's clock, set ahead as a test says."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


def block(seen: Watched, name: str) -> Locator:
    """Return the part of the page under a heading."""
    return seen.page.get_by_role("region", name=name, exact=True)


def taken(unit: UnitThread) -> list[int]:
    """Return the SUBs of the commands that changed the unit, in order."""
    return unit.do(lambda: list(unit.unit.changes_taken))


def test_a_start_is_followed_through_the_sensor_check_and_a_stop_is_seen(
    new_unit: NewUnit, visit: Open
) -> None:
    clock = AheadClock()
    unit = new_unit("SIM0301", unit=SimulatedUnit("SIM0301", clock=clock))
    seen = visit(at(unit, "commands"))
    monitoring = block(seen, "Monitoring")
    expect(block(seen, "State now").get_by_text("Not monitoring")).to_be_visible()
    seen.look("commands")
    monitoring.get_by_role("button", name="Start monitoring").click()
    expect(monitoring.get_by_text("In progress: sensor check")).to_be_visible()
    expect(monitoring.get_by_role("button", name="Stop monitoring")).to_be_enabled()
    seen.look("commands-sensor-check")
    unit.do(lambda: setattr(clock, "ahead_s", 41.0))
    expect(monitoring.get_by_text("The unit monitors.")).to_be_visible()
    expect(monitoring.get_by_text("Done.")).to_be_visible()
    expect(monitoring.get_by_text(re.compile(r"Waited \d+ s\."))).to_be_visible()
    state = block(seen, "State now").get_by_text("● Monitoring")
    expect(state).to_be_visible()
    seen.look("commands-started")

    monitoring.get_by_role("button", name="Stop monitoring").click()
    expect(monitoring.get_by_text("The unit does not monitor.")).to_be_visible()
    expect(block(seen, "State now").get_by_text("Not monitoring")).to_be_visible()
    assert taken(unit) == [commands.START_MONITORING.sub, commands.STOP_MONITORING.sub]


class Stubborn(SimulatedUnit):
    """A unit that acknowledges a stop, and goes on monitoring."""

    def stop_monitoring(self) -> None:
        pass


def test_a_stop_that_had_no_effect_never_looks_done(new_unit: NewUnit, visit: Open) -> None:
    clock = AheadClock()
    simulated = Stubborn("SIM0309", clock=clock)
    simulated.start_monitoring()
    clock.ahead_s = 41.0
    seen = visit(at(new_unit("SIM0309", unit=simulated), "commands"))
    monitoring = block(seen, "Monitoring")
    monitoring.get_by_role("button", name="Stop monitoring", exact=True).click()
    ended = monitoring.locator(".outcome")
    expect(ended).to_contain_text("Not done: the unit is not as the command wanted it.")
    expect(ended).to_contain_text("The unit monitors.")
    expect(ended).to_have_class(re.compile("bad"))
    expect(ended.get_by_role("button", name="Read the unit now")).to_be_visible()
    expect(monitoring.get_by_text("Done.", exact=True)).to_have_count(0)
    seen.look("commands-stop-without-effect")


def test_a_start_outlasts_a_proxy_that_loses_patience(
    new_unit: NewUnit, visit: Open, base: str
) -> None:
    clock = AheadClock()
    unit = new_unit("SIM0311", unit=SimulatedUnit("SIM0311", clock=clock))
    with cutting_proxy(int(base.rpartition(":")[2])) as proxy:
        seen = visit(at(unit, "commands"), at=proxy.base)
        seen.fails = True
        monitoring = block(seen, "Monitoring")
        monitoring.get_by_role("button", name="Start monitoring").click()
        expect(monitoring.get_by_text("In progress: sensor check")).to_be_visible()
        # What answers at once has answered; what waits for the sensor check never gets to.
        proxy.wait_answered("/device/monitor/start", 10)
        proxy.drop(3)
        proxy.cut()
        proxy.wait_dropped(3, 10)
        proxy.drop(0)
        unit.do(lambda: setattr(clock, "ahead_s", 41.0))
        expect(monitoring.get_by_text("The unit monitors.")).to_be_visible()
        expect(monitoring.get_by_text("Done.")).to_be_visible()
        assert len(seen.requests("/device/monitor/start")) == 1
        assert taken(unit) == [commands.START_MONITORING.sub]
        seen.page.close()


def test_a_command_whose_answer_did_not_come_is_shown_as_unknown_and_not_given_again(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0302")
    unit.do(lambda: unit.unit.ignores.add(commands.STOP_MONITORING.sub))
    seen = visit(at(unit, "commands"))
    seen.fails = True
    monitoring = block(seen, "Monitoring")
    monitoring.get_by_role("button", name="Stop monitoring", exact=True).click()
    expect(monitoring.get_by_text("Outcome unknown:")).to_be_visible()
    expect(monitoring.get_by_text("no answer to stop monitoring within 4 s")).to_be_visible()
    seen.look("commands-unknown")
    monitoring.get_by_role("button", name="Read the unit now").click()
    expect(
        block(seen, "State now").get_by_text(re.compile("from the unit |checked "))
    ).to_be_visible()
    assert len(seen.requests("/device/monitor/stop")) == 1

    monitoring.get_by_role("button", name="Stop without waiting").click()
    expect(monitoring.get_by_text("Outcome unknown:")).to_be_visible()
    assert len(seen.requests("/device/monitor/stop")) == 2


def test_settings_are_edited_within_ranges_previewed_written_and_read_back(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0303")
    seen = visit(at(unit, "commands"))
    payload = block(seen, "Recording settings")
    expect(payload.get_by_label("Record time")).to_have_value(re.compile(r"1(\.0)?"))
    write = payload.get_by_role("button", name="Write to the unit")
    expect(write).to_be_disabled()
    payload.get_by_label("Record time").fill("1000")
    expect(payload.get_by_text("Give a number within the range.")).to_be_visible()
    expect(payload.get_by_role("button", name="Preview the change")).to_be_disabled()
    seen.look("settings-wrong")
    payload.get_by_label("Record time").fill("3")
    payload.get_by_label("Sample rate").select_option("2048")
    payload.get_by_label("Project").fill("Bridge 7")
    payload.get_by_role("button", name="Preview the change").click()
    expect(payload.get_by_text("Only a preview; nothing was sent.")).to_be_visible()
    for change in (
        "Record time from 1 s to 3 s",
        "Sample rate from 1024 Hz to 2048 Hz",
        "Project from Simulated quarry, north face to Bridge 7",
    ):
        expect(payload.get_by_role("listitem").filter(has_text=change)).to_be_visible()
    assert taken(unit) == []
    seen.look("settings-preview")
    # What was previewed is written, and nothing else.
    payload.get_by_label("Notes").fill("x")
    expect(write).to_be_disabled()
    payload.get_by_label("Notes").fill("Simulated data")
    payload.get_by_role("button", name="Preview the change").click()
    write.click()
    expect(payload.get_by_text("Read back from the unit and compared: as written.")).to_be_visible()
    setup = unit.do(lambda: unit.unit.setup)
    assert (setup.record_time_s, setup.sample_rate_hz, setup.project) == (3.0, 2048, "Bridge 7")
    assert setup.client == "Nobody", "everything else as it was"
    expect(payload.get_by_label("Project")).to_have_value("Bridge 7")
    seen.look("settings-written")
    seen.page.get_by_role("link", name="Overview").click()
    expect(block(seen, "Recording setup").get_by_text("Bridge 7")).to_be_visible()


def test_call_home_is_read_when_wanted_changed_and_read_back(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0304")
    seen = visit(at(unit, "commands"))
    expect(block(seen, "Recording settings").get_by_label("Project")).to_be_visible()
    assert seen.requests("/device/call_home") == []
    seen.page.get_by_role("button", name="Read the call-home settings").click()
    payload = block(seen, "Call home")
    retries = payload.get_by_role("textbox", name="Retries", exact=True)
    expect(retries).to_have_accessible_description("0 to 255")
    seen.look("call-home")
    first = payload.get_by_role("textbox", name="First time", exact=True)
    first.fill("25:00")
    expect(payload.get_by_text("Give a time as HH:MM.")).to_be_visible()
    first.fill("06:30")
    payload.get_by_label("Retries").fill("4")
    before = unit.do(lambda: unit.unit.call_home_block)
    payload.get_by_role("button", name="Preview the change").click()
    payload.get_by_role("button", name="Write to the unit").click()
    expect(payload.get_by_text("Read back from the unit and compared: as written.")).to_be_visible()
    assert unit.do(lambda: unit.unit.call_home_block) != before
    assert taken(unit)[0] == commands.WRITE_CALL_HOME.sub
    expect(payload.get_by_label("Retries")).to_have_value("4")


def test_an_erase_names_the_unit_counts_what_would_be_lost_and_asks_for_the_serial(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0305")
    seen = visit(at(unit, "event/1"))
    page = seen.page
    expect(page.locator('[role="img"]')).to_have_count(4)
    seen.go(at(unit, "commands"))
    page.get_by_role("button", name="Erase the unit's memory").click()
    dialog = page.get_by_role("dialog", name="Erase every event of SIM0305?")
    expect(dialog.get_by_text(f"Unit SIM0305 at {unit.key} stores 3 events.")).to_be_visible()
    expect(dialog.get_by_text("2 of them are not in the archive")).to_be_visible()
    confirm = dialog.get_by_role("button", name="Erase 3 events")
    expect(confirm).to_be_disabled()
    serial = dialog.get_by_label("Type the serial number of the unit")
    serial.fill("SIM0306")
    dialog.get_by_text("Also erase what is not archived.").click()
    expect(confirm).to_be_disabled()
    seen.look("erase-dialog")
    serial.fill("SIM0305")
    dialog.get_by_text("Also erase what is not archived.").click()
    expect(confirm).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert len(unit.do(lambda: unit.unit.events)) == 3

    for index in (0, 2):
        seen.go(at(unit, f"event/{index}"))
        expect(page).to_have_url(re.compile(f"event/{index}$"))
        expect(page.locator('[role="img"]')).to_have_count(4)
    seen.go(at(unit, "commands"))
    page.get_by_role("button", name="Erase the unit's memory").click()
    expect(dialog.get_by_text("All of them are in the archive, byte for byte.")).to_be_visible()
    serial.fill("SIM0305")
    seen.look("erase-dialog-all-archived")
    confirm.click()
    expect(block(seen, "Erase").get_by_text("3 events were erased")).to_be_visible()
    assert unit.do(lambda: unit.unit.events) == []
    seen.look("erase-done")
    page.get_by_role("button", name="Erase the unit's memory").click()
    expect(dialog.get_by_text("Its memory is empty.")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("The unit's memory is empty.")).to_be_visible()


def test_an_erase_counts_histogram_broken_off_contradicted_and_clean_events_each_as_it_is(
    new_unit: NewUnit, visit: Open
) -> None:
    simulated = SimulatedUnit("SIM0312", seed=1)
    simulated.record_event()
    alter(simulated, body=histogram_body())
    simulated.record_event()
    cut_samples(simulated, 5120, 1024)
    simulated.record_event()
    alter(simulated, peaks=1.5)
    simulated.record_event()
    unit = new_unit("SIM0312", events=0, unit=simulated)
    seen = visit(at(unit, "commands"))
    page = seen.page

    def download(index: int) -> int:
        where = f"host=127.0.0.1&tcp_port={unit.port}&force=true"
        path = f"{seen.base}/device/event/{index}/waveform?{where}"
        return page.request.get(path).status

    def summary() -> Locator:
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Erase the unit's memory").click()
        return page.get_by_role("dialog").get_by_role("status").first

    expect(summary()).to_contain_text("4 of them are not in the archive")
    assert [download(index) for index in range(4)] == [502, 200, 200, 200]
    expect(summary()).to_contain_text("2 of them are not in the archive")
    assert download(1) == 200
    expect(summary()).to_contain_text("1 of them is not in the archive")
    assert download(2) == 200
    expect(summary()).to_contain_text("All of them are in the archive, byte for byte.")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type the serial number of the unit").fill("SIM0312")
    dialog.get_by_role("button", name="Erase 4 events").click()
    erased = block(seen, "Erase")
    expect(erased.get_by_text("4 events were erased")).to_be_visible()
    expect(
        erased.get_by_text("The parts of an event contradicted one another: 1, 2.")
    ).to_be_visible()


def test_what_is_not_archived_is_erased_only_by_who_says_so(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0307")
    seen = visit(at(unit, "commands"))
    page = seen.page
    page.get_by_role("button", name="Erase the unit's memory").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("3 of them are not in the archive")).to_be_visible()
    dialog.get_by_text("Also erase what is not archived.").click()
    dialog.get_by_label("Type the serial number of the unit").fill("SIM0307")
    dialog.get_by_role("button", name="Erase 3 events").click()
    expect(block(seen, "Erase").get_by_text("3 events were erased")).to_be_visible()
    assert unit.do(lambda: unit.unit.events) == []


def test_an_event_that_came_after_the_count_stops_the_erase(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0308")
    seen = visit(at(unit, "commands"))
    seen.fails = True
    page = seen.page
    page.get_by_role("button", name="Erase the unit's memory").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("stores 3 events.")).to_be_visible()
    unit.do(lambda: unit.unit.record_event(seed=44))
    dialog.get_by_text("Also erase what is not archived.").click()
    dialog.get_by_label("Type the serial number of the unit").fill("SIM0308")
    dialog.get_by_role("button", name="Erase 3 events").click()
    expect(block(seen, "Erase").get_by_text("Refused. The unit is unchanged.")).to_be_visible()
    assert len(unit.do(lambda: unit.unit.events)) == 4
    seen.look("erase-refused")


def test_a_rescue_switches_call_home_off_for_who_types_the_serial(
    new_unit: NewUnit, visit: Open
) -> None:
    unit = new_unit("SIM0309")
    seen = visit(at(unit, "commands"))
    payload = block(seen, "Rescue")
    expect(block(seen, "State now").get_by_text("Not monitoring")).to_be_visible()
    expect(block(seen, "Recording settings").get_by_label("Project")).to_be_visible()
    button = payload.get_by_role("button", name="Rescue the unit")
    expect(button).to_be_disabled()
    payload.get_by_label("Type the serial number").fill("BE1")
    expect(payload.get_by_text("That is not the serial number of this unit.")).to_be_visible()
    payload.get_by_label("Type the serial number").fill("SIM0309")
    payload.get_by_text("Also erase everything").click()
    button.click()
    expect(payload.get_by_text("Its memory was erased.")).to_be_visible()
    assert unit.do(lambda: unit.unit.events) == []
    seen.look("rescue-done")


def test_a_unit_is_dropped_from_the_cache_and_read_anew(new_unit: NewUnit, visit: Open) -> None:
    unit = new_unit("SIM0310")
    seen = visit(at(unit, "events"))
    page = seen.page
    expect(page.get_by_text("3 events", exact=True)).to_be_visible()
    unit.do(unit.unit.erase)
    page.get_by_role("button", name="Refresh: Events").click()
    expect(page.get_by_text("The unit's memory was erased.")).to_be_visible()
    seen.go("#/settings/cache")
    row = page.get_by_role("row", name=re.compile(unit.key))
    expect(row).to_contain_text("the unit's memory is not the one that the list was read from")
    seen.look("cache")
    page.get_by_role("button", name=f"Drop cached data for {unit.key}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("The archive is not changed.")).to_be_visible()
    seen.look("cache-drop")
    dialog.get_by_role("button", name="Drop", exact=True).click()
    expect(page.get_by_text(f"Cached data for {unit.key} dropped.")).to_be_visible()
    expect(row.get_by_text("no event list")).to_be_visible()
    exchanges = unit.do(lambda: unit.unit.exchanges)
    with page.expect_response(lambda answer: "/device/events" in answer.url):
        seen.go(at(unit, "events"))
    expect(page.get_by_text("The unit's memory is empty.")).to_be_visible()
    assert unit.do(lambda: unit.unit.exchanges) > exchanges
