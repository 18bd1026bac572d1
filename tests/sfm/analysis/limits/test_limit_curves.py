from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from kit.reference_data import reference

from sfm.analysis.limits import (
    Catalogue,
    Curve,
    Limit,
    NoLimit,
    Parameters,
    Table,
    extremes_of,
    limit_at,
    load_shipped,
)

CURVES = load_shipped().curves
CHECKS = [(name, check) for name, points in load_shipped().checks.items() for check in points]
BY_KEY = {"osmre-distance-table": "distance_ft", "osmre-airblast": "microphone_low_hz"}


def value(name: str, hz: float | None, **parameters: str | float) -> float:
    found = limit_at(CURVES[name], hz, parameters, is_base=True)
    assert isinstance(found, Limit), found
    return found.value


def checked(name: str, check: tuple[Any, ...]) -> Any:
    """Return what a curve has at the place of a check value."""
    curve, where = CURVES[name], check[:-1]
    if isinstance(curve.shape, Table):
        return value(name, None, **{curve.shape.key: where[0]})
    if name == "din45669-annex-e":
        return value(name, where[1], line=where[0])
    if name == "din4150-2-table1":
        return list(curve.shape.values_of(*where))  # type: ignore[union-attr]
    return value(name, where[0])


@pytest.mark.parametrize(("name", "check"), CHECKS)
def test_every_check_value_is_met(name: str, check: tuple[Any, ...]) -> None:
    assert checked(name, check) == pytest.approx(check[-1], rel=2e-5)


def entries() -> list[dict[str, Any]]:
    text = reference("limits.yaml").read_text("utf-8")
    return list(yaml.safe_load(text)["curves"])


def test_every_printed_check_value_of_the_reference_is_met() -> None:
    count = 0
    for entry in entries():
        if entry["id"] not in CURVES:
            continue
        for where, expected in entry.get("checks", ()):
            curve = CURVES[entry["id"]]
            # This one's printed value is 0.06 % below the line through its own vertices.
            within = 7e-4 if (curve.id, where) == ("osmre-figure-1", 2) else 2e-5
            found = checked(curve.id, (where, expected))
            assert found == pytest.approx(expected, rel=within), (curve.id, where)
            count += 1
        for where, expected in entry.get("checks_equivalent_limit", ()):
            assert value(entry["id"], where) == pytest.approx(expected, rel=2e-5)
            count += 1
    assert count >= 80


def test_each_entry_of_the_reference_is_here_with_its_mark() -> None:
    withheld = load_shipped().withheld
    for entry in entries():
        name, mark = entry["id"], entry["verified"]
        if mark == "unread":
            assert name not in CURVES
            assert withheld[name].mark == "unread"
        elif name in withheld:
            assert name in ("ns8141", "uni-9916")
        else:
            assert CURVES[name].mark == mark
            assert len(CURVES[name].sources) >= len(entry["source"])


def test_no_value_of_an_unread_rule_is_shipped() -> None:
    assert {curve.mark for curve in CURVES.values()} == {"primary", "secondary", "disputed"}
    for entry in load_shipped().withheld.values():
        assert set(entry._fields) == {"id", "title", "mark", "why"}
        off = Catalogue().why_off(entry)
        assert off is not None
        assert off.code in ("unread", "disputed", "reference")


def test_the_charge_follows_from_the_scaled_distance() -> None:
    shape = CURVES["osmre-distance-table"].shape
    assert isinstance(shape, Table)
    for distance_ft, charge_lb in ((1000, 330.5785), (200, 16.0), (6000, 8520.71)):
        assert shape.charge_lb(distance_ft) == pytest.approx(charge_lb, rel=1e-6)


def test_the_weights_of_din_45669_annex_e() -> None:
    shape: Any = CURVES["din45669-annex-e"].shape
    for hz, weight in ((10, 1.0), (50, 0.33333), (100, 0.25)):
        assert shape.weight_at("line2", hz) == pytest.approx(weight, rel=2e-5)
    assert shape.guides["line2"].value_at(10) == 5


def test_ri_8507_is_not_the_minimum_of_its_four_lines() -> None:
    # At 10 Hz that minimum would be 2 pi 10 0.008 = 0.503 in/s.
    assert value("usbm-ri8507-drywall", 10) == 0.75
    assert value("usbm-ri8507-drywall", 100) == 2.0


def test_a_linear_join_is_not_a_log_log_one() -> None:
    assert value("bs7385-2-line2", 10) == pytest.approx(17.7273, rel=1e-5)
    straight = value("osmre-figure-1", 20)
    assert straight == pytest.approx(1.3455, rel=1e-4)


def test_below_its_vertices_a_curve_may_be_a_displacement() -> None:
    assert value("nbr9653-2018", 2) == pytest.approx(2 * math.pi * 2 * 0.6)
    assert value("nbr9653-2018", 4) == 15


@pytest.mark.parametrize(
    ("name", "hz", "expected"),
    [
        ("dgms-1997-domestic", 7.999, 5),
        ("dgms-1997-domestic", 8, 10),
        ("sni7571-2023-class3", 100, 12),
        ("fr-continuous-resistant", 8.5, 5),
        ("fr-continuous-resistant", 8.51, 6),
        ("fr-continuous-resistant", 30.5, 6),
        ("fr-continuous-resistant", 100.4, 8),
    ],
)
def test_edges_of_bands(name: str, hz: float, expected: float) -> None:
    assert value(name, hz) == expected


@pytest.mark.parametrize(
    ("name", "hz"),
    [
        ("bs7385-2-line1", 3.99),
        ("ri-23-28-28-9", 2.4),
        ("fr-1994-tirs", 81),
        ("usbm-ri8507-plaster", 0.99),
        ("fr-continuous-resistant", 3.9),
        ("nh-saf-c-1625", 81),
    ],
)
def test_a_curve_has_no_value_where_it_does_not_reach(name: str, hz: float) -> None:
    found = limit_at(CURVES[name], hz, {})
    assert isinstance(found, NoLimit)
    assert found.code == "outside-range"
    assert f"{hz:g} Hz" in found.detail


def test_a_displacement_is_compared_as_a_velocity() -> None:
    found = limit_at(CURVES["nh-saf-c-1625"], 5, {})
    assert isinstance(found, Limit)
    assert found.value == 0.0305
    assert found.compared == pytest.approx(2 * math.pi * 5 * 0.0305)
    capped = limit_at(CURVES["nh-saf-c-1625"], 15, {})
    assert isinstance(capped, Limit)
    assert capped.compared == 2.0


def test_sbr_divides_by_three_factors() -> None:
    chosen: Parameters = {"gamma_t": "repeated", "gamma_s": "sensitive", "gamma_v": "indicative"}
    found = limit_at(CURVES["sbr-a-2017-cat2"], 10, chosen)
    assert isinstance(found, Limit)
    assert found.value == pytest.approx(1.2255, rel=1e-4)


def test_a_factor_that_nobody_chose_is_missing_not_1() -> None:
    found = limit_at(CURVES["sbr-a-2017-cat2"], 10, {"gamma_t": "short", "gamma_s": "normal"})
    assert isinstance(found, NoLimit)
    assert found.code == "parameter-missing"
    assert "gamma_v" in found.detail


def test_a_wrong_choice_is_refused() -> None:
    for wrong in ({"distance_ft": "near"}, {}):
        found = limit_at(CURVES["osmre-distance-table"], None, wrong)
        assert isinstance(found, NoLimit)
        assert found.code.startswith("parameter-")


def test_the_row_of_airblast_depends_on_the_lower_corner() -> None:
    assert value("osmre-airblast", None, microphone_low_hz=2) == 133
    assert value("osmre-airblast", None, microphone_low_hz=2.1) == 129
    found = limit_at(CURVES["osmre-airblast"], None, {"microphone_low_hz": 7})
    assert isinstance(found, NoLimit)
    assert found.code == "outside-range"


@pytest.mark.parametrize("curve", CURVES.values(), ids=lambda curve: curve.id)
def test_extremes_enclose_every_value(curve: Curve) -> None:
    parameters: dict[str, str | float] = {
        name: choices[-1] if choices else 1.0 for name, choices in curve.parameters.items()
    }
    found = extremes_of(curve, parameters)
    if isinstance(found, NoLimit):
        assert curve.id == "din4150-2-table1"
        return
    is_covered = True
    for step in range(991):
        limit = limit_at(curve, 1 + step / 10, parameters)
        if isinstance(limit, NoLimit):
            is_covered = False
        else:
            assert found.strictest <= limit.compared <= found.most_permissive * 1.0001
    assert found.is_covered is is_covered
