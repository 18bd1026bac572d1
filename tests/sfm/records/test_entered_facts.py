from __future__ import annotations

import pytest

from sfm.records.entered_facts import ENTERED_FACTS, checked_fact


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("distance_m", "182.9", 182.9),
        ("distance_m", 183, 183.0),
        ("charge_kg", "4.5e1", 45.0),
        ("operator", "  Pat Doe ", "Pat Doe"),
        ("operator", "", None),
        ("distance_m", None, None),
    ],
)
def test_a_fact_is_a_number_or_a_text(name: str, given: object, value: object) -> None:
    assert checked_fact(name, given) == value


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("distance", "5"),
        ("distance_m", "far"),
        ("distance_m", "-1"),
        ("distance_m", "nan"),
        ("distance_m", "inf"),
        ("distance_m", True),
        ("charge_kg", "0"),
        ("operator", "x" * 121),
        ("operator", "a\nb"),
    ],
)
def test_what_cannot_be_one_is_refused_with_the_reason(name: str, given: object) -> None:
    with pytest.raises(ValueError, match=r"entered|number|text"):
        checked_fact(name, given)


def test_the_facts_that_a_blasting_record_needs_can_be_entered() -> None:
    # 30 CFR 816.68(c)(15): distance, person and firm taking and analysing the reading, calibration.
    needed = {"distance_m", "operator", "operator_firm", "analyst", "analyst_firm", "calibrated_by"}
    assert needed <= set(ENTERED_FACTS)
