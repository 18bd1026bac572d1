"""Who may do what, seen in the browser: each role sees its own, and no more than that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_bytes

import pytest
from kit.browser import BRISK, NARROW, SIDEWAYS, TOO_SMALL, Open, Watched, at
from kit.relay_process import relay
from kit.unit_thread import UnitThread
from playwright.sync_api import expect

from minimateplus.simulator import SimulatedUnit
from sfm.access.principal import Role
from sfm.store import Store
from sfm.store import tokens as store_tokens
from sfm.store.tokens import RoleName

pytest_plugins = ["kit.web_world"]

ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@dataclass
class Guarded:
    """A relay that asks for tokens, two units before it, and one token of each kind."""

    base: str
    unit: UnitThread
    other: UnitThread
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    database = tmp_path_factory.mktemp("guarded") / "relay.sqlite"
    units = []
    for serial in ("SIM0401", "SIM0402"):
        simulated = SimulatedUnit(serial, seed=4)
        for number in range(2):
            simulated.record_event(seed=number)
        units.append(UnitThread(simulated))
    try:
        kinds: tuple[tuple[str, RoleName, tuple[str, ...]], ...] = (
            ("viewer", "viewer", ()),
            ("operator", "operator", ()),
            ("admin", "admin", ()),
            ("site", "viewer", (units[0].key,)),
        )
        settings = {"SFM_REQUIRE_TOKENS": "true", **BRISK}
        with Store.open(f"sqlite:///{database}") as store:
            tokens = {
                name: store.write(
                    store_tokens.create, name, role, of, datetime.now(UTC), token_bytes
                )[1]
                for name, role, of in kinds
            }
        named = json.dumps({"north face": units[0].url, "south face": units[1].url})
        with relay(database=database, SFM_UNITS=named, **settings) as started:
            yield Guarded(started.base, units[0], units[1], tokens)
    finally:
        for unit in units:
            unit.close()


def sign_in(seen: Watched, token: str, *, by_bar: bool = False) -> None:
    """Show a token in the dialog, which opens by itself where one is needed."""
    if by_bar:
        seen.page.get_by_role("button", name="Sign in").click()
    dialog = seen.page.get_by_role("dialog")
    dialog.get_by_label("Token").fill(token)
    dialog.get_by_role("button", name="Sign in").click()


def test_without_a_token_nothing_is_shown_and_a_wrong_one_is_reported(
    guarded: Guarded, visit: Open
) -> None:
    seen = visit(at(guarded.unit), at=guarded.base)
    seen.fails = True
    page = seen.page
    expect(page.get_by_text("not signed in")).to_be_visible()
    expect(page.get_by_text("SIM0401")).to_have_count(0)
    seen.look("not-signed-in")
    sign_in(seen, "sfm_1_" + "A" * 43)
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    seen.look("wrong-token")
    sign_in(seen, guarded.tokens["viewer"])
    expect(page.get_by_text("viewer (viewer)")).to_be_visible()
    expect(page.get_by_role("heading", name="Unit SIM0401")).to_be_visible()
    # The cookie is the relay's alone: no script can read it, and nothing here keeps the token.
    assert page.evaluate("() => document.cookie") == ""
    kept = page.evaluate("() => JSON.stringify([localStorage, sessionStorage])")
    assert guarded.tokens["viewer"] not in kept
    [cookie] = page.context.cookies()
    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    assert guarded.tokens["viewer"] not in cookie.get("value", "")
    page.reload()
    expect(page.get_by_text("viewer (viewer)")).to_be_visible()

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("not signed in")).to_be_visible()
    expect(page.get_by_text("S338.17")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("not signed in")).to_be_visible()


@pytest.mark.parametrize("of", ROLES)
def test_each_role_sees_what_it_may_do(of: Role, guarded: Guarded, visit: Open) -> None:
    rank, role = ROLES.index(of), of.value
    seen = visit(at(guarded.unit), at=guarded.base)
    seen.fails = True
    page = seen.page
    sign_in(seen, guarded.tokens[role])
    expect(page.get_by_text(f"{role} ({role})")).to_be_visible()
    expect(page.get_by_role("heading", name="Unit SIM0401")).to_be_visible()
    toggle = page.get_by_role("button", name="Force refresh")
    tabs = page.get_by_role("navigation", name="Pages of this unit")
    expect(toggle).to_be_enabled(enabled=rank >= 1)
    expect(tabs.get_by_role("link", name="Commands")).to_have_count(int(rank >= 1))
    seen.look(f"unit-as-{role}")

    # By the address too.
    seen.go(at(guarded.unit, "commands"))
    if rank == 0:
        expect(page.get_by_text("Commands need the role operator.")).to_be_visible()
    else:
        expect(page.get_by_role("button", name="Start monitoring")).to_be_visible()
        expect(page.get_by_label("Project")).to_be_visible()
    expect(page.get_by_role("button", name="Erase the unit's memory")).to_have_count(int(rank == 2))
    expect(page.get_by_role("button", name="Rescue the unit")).to_have_count(int(rank == 2))
    seen.look(f"commands-as-{role}")

    if rank >= 1:
        # A change from the browser carries the session's second secret.
        page.get_by_role("button", name="Stop monitoring", exact=True).click()
        expect(page.get_by_text("The unit does not monitor.")).to_be_visible()
        refused = page.evaluate(
            """async key => (await fetch(`/device/monitor/stop?host=127.0.0.1&tcp_port=${key}`,
                { method: "POST" })).status""",
            guarded.unit.port,
        )
        assert refused == 403, "and is refused without it"
    seen.go(at(guarded.unit, "events"))
    expect(page.get_by_text("2 events", exact=True)).to_be_visible()
    if rank == 0:
        before = len(seen.requests("/device/events"))
        page.get_by_role("button", name="Refresh: Events").click()
        expect(page.get_by_text("2 events", exact=True)).to_be_visible()
        assert all("force" not in query for query in seen.requests("/device/events")[before:])

    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Cache").click()
    expect(page.get_by_role("row", name=guarded.unit.key).first).to_be_visible()
    drop = page.get_by_role("button", name=f"Drop cached data for {guarded.unit.key}")
    expect(drop).to_have_count(int(rank == 2))

    seen.go("#/archive?serial=SIM0401")
    expect(page.get_by_text("2 recordings shown")).to_be_visible()
    page.get_by_role("link", name="Open recording").first.click()
    expect(page.get_by_role("heading", name="Review")).to_be_visible()
    expect(page.get_by_role("button", name="Save review")).to_have_count(int(rank >= 1))
    if rank == 0:
        expect(page.get_by_text("Reviewing needs the role operator.")).to_be_visible()
    seen.look(f"recording-as-{role}")


def test_cache_tokens_and_audit_log_are_read_on_a_phone_without_scrolling_sideways(
    guarded: Guarded, visit: Open
) -> None:
    seen = visit(at(guarded.unit, "commands"), at=guarded.base)
    seen.fails = True
    page = seen.page
    sign_in(seen, guarded.tokens["admin"])
    page.get_by_role("button", name="Stop monitoring", exact=True).click()
    expect(page.get_by_text("The unit does not monitor.")).to_be_visible()
    page.set_viewport_size(NARROW)
    for path, caption, first in (
        ("cache", "Cached data for each unit", "Serial number SIM0401"),
        ("tokens", "Tokens", "Role viewer"),
        ("audit", "Audit log", "Command monitor_stop"),
    ):
        seen.go(f"#/settings/{path}")
        entry = page.get_by_role("list", name=caption).get_by_role("listitem").first
        expect(entry).to_be_visible()
        expect(page.get_by_role("table")).to_have_count(0)
        assert first in " ".join(entry.inner_text().split())
        for details in page.locator("main summary").all():
            details.click()
        assert page.evaluate(SIDEWAYS) == []
        assert page.evaluate(TOO_SMALL) == []
        seen.look(f"phone-{path}")
        page.set_viewport_size(NARROW)
    seen.go("#/settings/cache")
    page.get_by_role("button", name=f"Drop cached data for {guarded.unit.key}").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_token_of_one_unit_shows_that_unit_and_no_other(guarded: Guarded, visit: Open) -> None:
    for_all = visit(at(guarded.other, "events"), at=guarded.base)
    sign_in(for_all, guarded.tokens["operator"])
    expect(for_all.page.get_by_text("2 events", exact=True)).to_be_visible()

    seen = visit(at=guarded.base)
    seen.fails = True
    page = seen.page
    sign_in(seen, guarded.tokens["site"])
    # What the relay has named is there to choose; nobody needs to know an address.
    registered = page.get_by_role("region", name="Units of this relay")
    expect(registered.get_by_role("link")).to_have_text(["north face"])
    seen.look("connect-as-limited")
    registered.get_by_role("link", name="north face").click()
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("2 events", exact=True)).to_be_visible()
    seen.go(at(guarded.other))
    expect(page.get_by_role("alert").first).to_contain_text("Your token does not permit this.")
    expect(page.get_by_text("SIM0402")).to_have_count(0)
    seen.look("not-my-unit")
    page.get_by_role("link", name="Archive").click()
    expect(page.get_by_role("heading", name="Archive")).to_be_visible()
    expect(
        page.get_by_role("alert").or_(page.get_by_text("recordings shown")).first
    ).to_be_visible()
    expect(page.get_by_text("SIM0402")).to_have_count(0)
    seen.look("archive-as-limited")
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Cache").click()
    expect(page.get_by_role("heading", name="Cache")).to_be_visible()
    expect(page.get_by_role("alert").or_(page.get_by_role("row")).first).to_be_visible()
    expect(page.get_by_text("SIM0402")).to_have_count(0)
    expect(page.get_by_text(guarded.other.key)).to_have_count(0)
    seen.look("cache-as-limited")


def test_a_session_that_is_over_meanwhile_is_asked_for_again(guarded: Guarded, visit: Open) -> None:
    seen = visit(at(guarded.unit, "events"), at=guarded.base)
    seen.fails = True
    page = seen.page
    sign_in(seen, guarded.tokens["viewer"])
    expect(page.get_by_text("2 events", exact=True)).to_be_visible()
    page.context.clear_cookies()
    seen.step(15)
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    seen.look("session-over")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    sign_in(seen, guarded.tokens["viewer"], by_bar=True)
    expect(page.get_by_text("2 events", exact=True)).to_be_visible()
