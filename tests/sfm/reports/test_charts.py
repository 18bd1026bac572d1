from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sfm.reports.charts import (
    Chart,
    Line,
    Mark,
    Span,
    Strip,
    compliance_chart,
    decimated,
    division,
    labelled_svg,
    strips_chart,
)

SVG = "{http://www.w3.org/2000/svg}"


class Drawn(NamedTuple):
    svg: ET.Element
    texts: list[str]

    def iter(self, name: str) -> Iterator[ET.Element]:
        return self.svg.iter(name)


def parsed(chart: Chart) -> Drawn:
    return Drawn(ET.fromstring(chart.svg), [label.words for label in chart.labels])


def chart(*marks: Mark, lines: tuple[Line, ...] = ()) -> Drawn:
    return parsed(compliance_chart(260.0, 220.0, lines, marks, x_words="Hz", y_words="in/s"))


def texts(drawn: Drawn) -> list[str]:
    return drawn.texts


def strips(*given: Strip, span: Span | None) -> Drawn:
    return parsed(strips_chart(540.0, 260.0, given, span, x_words="Time", trigger_words="Trigger"))


@given(
    arrays(np.float64, st.integers(1, 3000), elements=st.floats(-10, 10)),
    st.integers(1, 200),
)
def test_decimation_never_loses_the_largest_or_the_least(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], columns: int
) -> None:
    places, drawn = decimated(values, columns)
    assert len(places) == len(drawn) <= max(2 * columns, len(values))
    assert (drawn.max(), drawn.min()) == (values.max(), values.min())
    assert (np.diff(places) >= 0).all()
    assert 0 <= places[0] <= places[-1] <= len(values) - 1


def test_a_peak_is_drawn_in_its_own_column() -> None:
    values = np.zeros(100_000)
    values[70_000] = 5.0
    places, drawn = decimated(values, 1000)
    assert places[drawn.argmax()] == pytest.approx(70_000, abs=100)


@given(st.floats(1e-6, 1e6), st.integers(1, 12))
def test_a_division_is_round_and_holds_the_largest(largest: float, divisions: int) -> None:
    step = division(largest, divisions)
    assert step * divisions >= largest * (1 - 1e-6)
    assert step * divisions <= largest * 2.6 * divisions
    assert float(f"{step:.1g}") == step
    assert f"{step:e}"[0] in "125"


def test_each_axis_has_its_own_sign() -> None:
    only = {name: chart(Mark(name, 10.0, 1.0)) for name in ("Tran", "Vert", "Long")}
    circles = {name: len(list(svg.iter(f"{SVG}circle"))) for name, svg in only.items()}
    # One circle is the legend's.
    assert circles == {"Tran": 1, "Vert": 1, "Long": 2}


def place_of(svg: Drawn) -> tuple[float, float]:
    """The middle of the circle that is not the legend's."""
    found = next(iter(svg.iter(f"{SVG}circle")))
    return float(found.attrib["cx"]), float(found.attrib["cy"])


def test_the_chart_is_log_log() -> None:
    line = Line((((1.0, 0.1), (100.0, 10.0)),))
    first, second, third = (
        place_of(chart(Mark("Long", hz, value), lines=(line,)))
        for hz, value in ((2.0, 0.2), (4.0, 0.4), (8.0, 0.8))
    )
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.02)
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=0.02)
    assert first[0] < second[0]
    assert first[1] > second[1]


def test_the_axis_reaches_to_200_hz_and_around_every_mark() -> None:
    words = texts(chart(Mark("Tran", 5.0, 0.012), Mark("Vert", 5.0, 3.0)))
    assert {"1", "2", "5", "10", "20", "50", "100", "200", "0.01"} <= set(words)


def test_a_peak_of_zero_has_no_mark() -> None:
    assert len(list(chart(Mark("Long", 5.0, 0.0)).iter(f"{SVG}circle"))) == 1


def test_the_trigger_is_marked_only_where_there_was_one() -> None:
    strip = Strip("Tran", np.sin(np.arange(200) / 9), 1.0)
    for has_trigger in (True, False):
        span = Span(-0.05, 1000.0, 200, has_trigger, 0.05)
        assert ("Trigger" in texts(strips(strip, span=span))) is has_trigger


def test_strips_stand_in_the_order_given_on_one_axis() -> None:
    each = [Strip(name, np.ones(100), 1.0) for name in ("MicL", "Long", "Vert", "Tran")]
    svg = strips(*each, span=Span(-0.25, 1000.0, 100, True, 0.05))
    names = [word for word in texts(svg) if word in ("MicL", "Long", "Vert", "Tran")]
    assert names == ["MicL", "Long", "Vert", "Tran"]
    ends = [
        re.findall(r"-?\d+", line.attrib["points"])[0::2] for line in svg.iter(f"{SVG}polyline")
    ]
    assert len(ends) == 4
    assert all(each == ends[0] for each in ends)


def test_a_channel_without_samples_says_why() -> None:
    svg = strips(Strip("MicL", None, 1.0, "not recorded <here>"), span=None)
    assert "not recorded <here>" in texts(svg)
    assert not list(svg.iter(f"{SVG}polyline"))


def test_a_record_without_a_rate_is_drawn_over_samples() -> None:
    svg = strips(Strip("Tran", np.ones(400), 1.0), span=None)
    assert "400" in texts(svg)


def test_on_a_screen_the_texts_are_in_the_picture() -> None:
    drawn = compliance_chart(260.0, 220.0, (), (), x_words="Hz <&>", y_words="in/s")
    svg = ET.fromstring(labelled_svg(drawn.svg, drawn.payload()["labels"]))
    shown = [each.text for each in svg.iter(f"{SVG}text")]
    assert shown == [label.words for label in drawn.labels]
    [turned] = [each.text for each in svg.iter(f"{SVG}text") if "transform" in each.attrib]
    assert turned == "in/s"
