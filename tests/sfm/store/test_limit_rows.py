"""Limits on disk, on both engines: own curves, confirmations, choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kit.durable_world import NOW
from sqlalchemy import text

from sfm.analysis.limits import parse_own
from sfm.records.roster import Seeds
from sfm.store import Store, audit, limits, roster
from sfm.store.audit import AuditEntry
from sfm.store.errors import LimitConflictError, NoSuchCurveError
from sfm.store.limits import StoredLimits
from sfm.store.maintenance import check

pytest_plugins = ["kit.durable_databases"]

ENTRY = AuditEntry(
    at=NOW, actor="ada", role="admin", origin="here", command="limit_add", outcome="done"
)
DISPUTED = "osmre-figure-1"
OWN = parse_own(
    {
        "id": "permit-7",
        "title": "Permit 7",
        "unit": "mm/s",
        "applies_to": "each_axis",
        "shape": {"kind": "points", "join": "linear", "vertices": [[1, 5], [100, 20]]},
        "source": "Permit 7 of the county",
        "author": "Ada",
        "date": "2026-03-01",
    }
)


def change(store: Store, function: Callable[..., object], *given: Any, **more: Any) -> StoredLimits:
    return store.write(
        limits.changed, lambda connection: function(connection, *given, **more), ENTRY
    )


def choose(store: Store, *names: str, **more: Any) -> StoredLimits:
    given: dict[str, Any] = {
        "location_id": None,
        "project": None,
        "results": "vendor",
        "parameters": {},
    }
    return change(store, limits.choose, names=names, by="ada", at=NOW, **{**given, **more})


def test_a_curve_of_a_project_is_loaded_as_it_was_written(store: Store, database_url: str) -> None:
    found = change(store, limits.add_curve, OWN, "ada", NOW)
    curve = found.catalogue.get("permit-7")
    assert curve == OWN
    assert found.catalogue.is_usable("permit-7")
    for again in (OWN, parse_own({**OWN.entry, "id": "usbm-ri8507-drywall"})):
        with pytest.raises(LimitConflictError, match="another name"):
            change(store, limits.add_curve, again, "ada", NOW)
    assert len(store.read(audit.load_latest, 100, None)) == 1
    store.close()
    assert check(database_url).faults == []


def test_a_curve_that_is_chosen_is_not_removed(store: Store) -> None:
    change(store, limits.add_curve, OWN, "ada", NOW)
    choose(store, "permit-7")
    with pytest.raises(LimitConflictError, match="is chosen"):
        change(store, limits.remove_curve, "permit-7")
    change(store, limits.remove_choice, None, None)
    assert "permit-7" not in change(store, limits.remove_curve, "permit-7").catalogue.names
    with pytest.raises(NoSuchCurveError, match="the program's own stay"):
        change(store, limits.remove_curve, "usbm-ri8507-drywall")


def test_a_disputed_curve_is_on_between_confirmation_and_withdrawal(store: Store) -> None:
    with pytest.raises(LimitConflictError, match="switched off"):
        choose(store, DISPUTED)
    found = change(store, limits.confirm, DISPUTED, "Ada", "2026-03-01", NOW, "page 5")
    curve = found.catalogue.get(DISPUTED)
    confirmation = found.catalogue.confirmation_of(curve)  # type: ignore[arg-type]
    assert confirmation is not None
    assert (confirmation.by, confirmation.on, confirmation.reason) == (
        "Ada",
        "2026-03-01",
        "page 5",
    )
    assert choose(store, DISPUTED).choices[0].curves == (DISPUTED,)
    found = change(store, limits.withdraw, DISPUTED, "Ada", NOW)
    assert not found.catalogue.is_usable(DISPUTED)
    with pytest.raises(LimitConflictError, match="is not confirmed"):
        change(store, limits.withdraw, DISPUTED, "Ada", NOW)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("usbm-ri8507-plaster", LimitConflictError, "needs no confirmation"),
        ("fta-damage", LimitConflictError, "no values that could be confirmed"),
        ("nothing", NoSuchCurveError, "there is no limit curve"),
    ],
)
def test_what_is_not_disputed_cannot_be_confirmed(
    store: Store, name: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        change(store, limits.confirm, name, "Ada", "2026-03-01", NOW)


@pytest.mark.parametrize(
    ("name", "error"), [("fta-damage", LimitConflictError), ("no", NoSuchCurveError)]
)
def test_what_has_no_values_cannot_be_chosen(
    store: Store, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        choose(store, name)


def test_there_is_one_choice_for_each_scope(store: Store) -> None:
    store.write(roster.seed, Seeds(units={"North face": "tcp://10.0.0.5"}))
    choose(store, "npc119")
    choose(store, "npc119", project="Tunnel")
    choose(store, "npc119", location_id=1, parameters={"distance_ft": 300.0}, results="refined")
    found = choose(store, "qld-blasting", project="TUNNEL")
    assert [(one.scope, one.curves, one.results) for one in found.choices] == [
        ("default", ("npc119",), "vendor"),
        ("location", ("npc119",), "refined"),
        ("project", ("qld-blasting",), "vendor"),
    ]
    assert found.choices[1].parameters == {"distance_ft": 300.0}
    store.write(roster.changed, lambda connection: roster.remove_location(connection, 1))
    assert len(store.read(limits.load).choices) == 2
    with pytest.raises(NoSuchCurveError):
        change(store, limits.remove_choice, None, "Quarry")


DAMAGE = {
    "limit_curves": "entry_json = replace(entry_json, '20', '90')",
    "limit_confirmations": "confirmed_by = 'Eve'",
    "limit_choices": "curves_json = '[\"usbm-ri8507-drywall\"]'",
}


@pytest.mark.parametrize("table", DAMAGE)
def test_a_damaged_row_is_named_and_not_used(store: Store, table: str, database_url: str) -> None:
    change(store, limits.add_curve, OWN, "ada", NOW)
    change(store, limits.confirm, DISPUTED, "Ada", "2026-03-01", NOW)
    choose(store, "npc119")
    with store.engines.write() as connection:
        connection.execute(text(f"UPDATE {table} SET {DAMAGE[table]}"))
    found = store.read(limits.load)
    assert [table in one for one in found.damaged] == [True]
    assert ("permit-7" in found.catalogue.names) is (table != "limit_curves")
    assert found.catalogue.is_usable(DISPUTED) is (table != "limit_confirmations")
    assert bool(found.choices) is (table != "limit_choices")
    store.close()
    [fault] = check(database_url).faults
    assert table in fault
