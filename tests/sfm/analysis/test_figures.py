from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sfm.analysis import Figure
from sfm.analysis.figures import FLAGS
from sfm.analysis.units_of_measure import UNITS_OF_MEASURE, convert, factor, level_db, pressure_pa

PPV = Figure(value=1.5, unit="in/s", step=0.005, method="vendor-1")


def test_a_figure_has_the_json_form_that_the_api_promises() -> None:
    assert PPV.payload() == {
        "value": 1.5,
        "unit": "in/s",
        "bound": None,
        "step": 0.005,
        "method": "vendor-1",
        "flags": [],
    }


def test_a_figure_over_range_has_no_value_and_shows_the_end_of_the_range() -> None:
    over = Figure(
        value=None, unit="in/s", bound=">", limit=10.0, method="vendor-1", flags=("over_range",)
    )
    shown = over.in_system("metric").payload()
    assert (shown["value"], shown["bound"], shown["limit"]) == (None, ">", 254.0)


@pytest.mark.parametrize("system", ["imperial", "metric"])
def test_a_figure_comes_back_from_its_json_form(system: str) -> None:
    figure = PPV.with_flags("incomplete", "incomplete").in_system(system)  # type: ignore[arg-type]
    assert figure.flags == ("incomplete",)
    assert Figure.from_payload(json.loads(json.dumps(figure.payload()))) == figure


def test_value_step_and_limit_are_converted_together() -> None:
    metric = PPV.in_unit("mm/s")
    assert metric.value == pytest.approx(38.1)
    assert metric.step == pytest.approx(0.127)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_figure(value: float) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        Figure(value=value, unit="in/s", method="vendor-1")


def test_unknown_units_flags_and_mixed_quantities_are_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        Figure(value=1.0, unit="ips", method="vendor-1")
    with pytest.raises(ValueError, match="flag 'clipped' is not known"):
        Figure(value=1.0, unit="in/s", method="vendor-1", flags=("clipped",))
    with pytest.raises(ValueError, match="in/s is a velocity, psi a pressure"):
        PPV.in_unit("psi")


@pytest.mark.parametrize("unit", UNITS_OF_MEASURE)
def test_there_and_back_is_the_same_value(unit: str) -> None:
    quantity = UNITS_OF_MEASURE[unit][0]
    for other, (of, _) in UNITS_OF_MEASURE.items():
        if of == quantity:
            assert convert(convert(3.7, unit, other), other, unit) == pytest.approx(3.7)
        else:
            with pytest.raises(ValueError, match="is a"):
                factor(unit, other)


def test_known_conversions() -> None:
    assert convert(1.0, "in/s", "mm/s") == 25.4
    assert convert(1.0, "psi", "Pa") == pytest.approx(6894.757293, abs=1e-6)
    assert convert(1.0, "g", "m/s2") == pytest.approx(9.80665)
    assert level_db(pressure_pa(93.2)) == pytest.approx(93.2)
    assert level_db(0.0) is None


def test_the_page_explains_every_flag() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/analysis.md").read_text(encoding="utf-8")
    for flag, meaning in FLAGS.items():
        assert f"| `{flag}` | {meaning} |" in page
