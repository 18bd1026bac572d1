from __future__ import annotations

import json
from typing import Any

import pytest
from kit.reference_data import reference

from sfm.analysis.limits import DayNight, load_shipped
from sfm.analysis.limits.people import (
    admissible_exposure_h,
    estimated_kb_fmax,
    judge_people,
    rounded_as,
)


def example(name: str) -> dict[str, Any]:
    known = json.loads(reference("vectors/din4150_2_annex_C.json").read_text("utf-8"))
    return next(one for one in known["examples"] if one["id"] == name)


def values(area: str, time: Any) -> tuple[float, float, float]:
    shape = load_shipped().curves["din4150-2-table1"].shape
    assert isinstance(shape, DayNight)
    return shape.values_of(area, time)


@pytest.mark.parametrize("name", ["C.1", "C.3"])
def test_examples_of_annex_c_that_comply_by_a_u(name: str) -> None:
    one = example(name)
    three = values(one["area"], one["time"])
    assert three[0] == one["a_u"]
    found = judge_people(one["kb_fmax"], three)
    assert (found.complies, found.by) == (one["complies"], "A_u")
    assert found.within_uncertainty is (name == "C.3")


def test_example_2_the_admissible_exposure() -> None:
    one = example("C.2")
    hours = admissible_exposure_h(one["kb_ftm"], one["a_r"], one["period_h"])
    assert hours == pytest.approx(one["admissible_exposure_h"], abs=0.005)


def test_example_4_is_compared_as_printed() -> None:
    one = example("C.4")
    assert float(rounded_as(one["kb_ftr"], 0.15)) == one["printed"]
    found = judge_people(1.0, (0.3, 6.0, 0.15), one["kb_ftr"])
    assert (found.complies, found.by) == (one["complies"], "A_r")


def test_example_6_needs_no_third_step() -> None:
    one = example("C.6")
    assert judge_people(one["kb_fmax"], (one["a_u"], 6.0, 0.15)).complies


def test_example_7_one_blast_a_day_is_judged_by_a_o() -> None:
    one = example("C.7")
    found = estimated_kb_fmax(one["peak_velocity_mm_s"], one["frequency_hz"], one["c_f"])
    assert found == pytest.approx(one["kb_fmax_estimate"], abs=0.05)
    verdict = judge_people(found, (0.15, one["a_o"], 0.07), is_rare=one["one_event_a_day"])
    assert (verdict.complies, verdict.by) == (True, "A_o")


def test_half_is_rounded_up() -> None:
    assert not judge_people(1.0, (0.3, 6.0, 0.15), 0.155).complies
    assert judge_people(1.0, (0.3, 6.0, 0.15), 0.1549).complies


def test_above_a_o_it_does_not_comply_whatever_its_duration() -> None:
    found = judge_people(6.6, (0.3, 6.0, 0.15), 0.01)
    assert (found.complies, found.by) == (False, "A_o")
    assert judge_people(3.04, (0.15, 3.0, 0.07), is_rare=True).complies is True
    assert judge_people(3.05, (0.15, 3.0, 0.07), is_rare=True).complies is False


def test_between_the_two_a_single_event_has_no_verdict() -> None:
    assert judge_people(2.0, (0.15, 3.0, 0.07)).complies is None
