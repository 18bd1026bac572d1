from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from kit.reference_data import reference

from sfm.analysis import Figure
from sfm.analysis.compliance import judge, judge_all
from sfm.analysis.limits import NoLimit, Parameters, load_shipped, parse_own
from sfm.analysis.verdicts import AxisMotion, Motion, Reason, Results, Verdict

CURVES = load_shipped().curves
DRYWALL, LINE2 = "usbm-ri8507-drywall", "din4150-3-line2"


def ppv(value: float | None, unit: str = "in/s", **more: Any) -> Figure:
    return Figure(value=value, unit=unit, method="vendor-1", **more)


def hz(value: float | None, bound: Any = None, *flags: str) -> Figure:
    return Figure(value=value, unit="Hz", bound=bound, method="vendor-1", flags=flags)


NOT_AVAILABLE = hz(None, None, "cut", "not_available")


def over_range(end: float, unit: str = "in/s") -> Figure:
    return ppv(None, unit, bound=">", limit=end, flags=("over_range",))


def motion(
    tran: tuple[Figure, Figure | None],
    vert: tuple[Figure, Figure | None] | None = None,
    long: tuple[Figure, Figure | None] | None = None,
    results: Results = "vendor",
    **more: Any,
) -> Motion:
    quiet = (ppv(0.0, tran[0].unit), hz(100.0, ">"))
    pairs = {"Tran": tran, "Vert": vert or quiet, "Long": long or quiet}
    axes = tuple(
        AxisMotion(channel=name, ppv=peak, frequency=frequency)
        for name, (peak, frequency) in pairs.items()
    )
    return Motion(results=results, axes=axes, **more)


def peaks(tran: float, vert: float, long: float, unit: str = "in/s") -> Motion:
    found = motion((ppv(tran, unit), None), (ppv(vert, unit), None), (ppv(long, unit), None))
    return replace(found, results="peaks")


def verdict(name: str, given: Motion, **parameters: str | float) -> Verdict:
    return judge(CURVES[name], given, parameters)


# --- with frequencies ----------------------------------------------------------------------------


def test_the_margin_is_in_per_cent_of_the_limit_at_the_axis_own_frequency() -> None:
    found = verdict(DRYWALL, motion((ppv(0.6), hz(10.0))))
    assert found.outcome == "complies"
    assert (found.channel, found.limit, found.unit) == ("Tran", 0.75, "in/s")
    assert found.share == pytest.approx(0.8)
    assert found.margin_percent == pytest.approx(20.0)
    assert found.frequency is not None
    assert found.frequency.value == 10.0


def test_the_worst_ratio_counts_not_the_largest_peak() -> None:
    # 12 mm/s at 50 Hz is 80 % of 15; 4.5 mm/s at 8 Hz is 90 % of 5.
    found = verdict(LINE2, motion((ppv(12.0, "mm/s"), hz(50.0)), (ppv(4.5, "mm/s"), hz(8.0))))
    assert (found.outcome, found.channel) == ("complies", "Vert")
    assert found.share == pytest.approx(0.9)


def test_a_curve_of_the_largest_axis_judges_that_axis() -> None:
    found = verdict(DRYWALL, motion((ppv(1.0), hz(40.0)), (ppv(0.7), hz(3.0))))
    assert (found.outcome, found.channel) == ("complies", "Tran")


def test_equality_complies_and_the_least_more_does_not() -> None:
    assert verdict(DRYWALL, motion((ppv(0.75), hz(10.0)))).outcome == "complies"
    assert verdict(DRYWALL, motion((ppv(0.75001), hz(10.0)))).outcome == "exceeds"


def test_equality_survives_a_conversion() -> None:
    for step in range(1, 400):
        inches = 0.005 * step
        curve = parse_own(
            {
                "id": "own-1",
                "title": "An own curve",
                "unit": "mm/s",
                "applies_to": "each_axis",
                "shape": {"kind": "constant", "value": round(inches * 25.4, 6)},
                "source": "A permit",
                "author": "A. Engineer",
                "date": "2026-03-01",
            }
        )
        assert judge(curve, motion((ppv(inches), hz(20.0))), {}).outcome == "complies"


def test_a_peak_is_compared_in_the_curve_s_unit_of_measure() -> None:
    found = verdict(LINE2, motion((ppv(0.25), hz(10.0))))
    assert found.outcome == "exceeds"
    assert found.share == pytest.approx(0.25 * 25.4 / 5)
    assert found.margin_percent == pytest.approx(100 - 127)


def test_above_100_hz_is_judged_at_100_and_below_1_at_1() -> None:
    assert verdict(LINE2, motion((ppv(20.0, "mm/s"), hz(100.0, ">")))).limit == 20
    assert verdict(LINE2, motion((ppv(20.0, "mm/s"), hz(160.0)))).limit == 20
    slow = verdict(DRYWALL, motion((ppv(0.1), hz(1.0, "<"))))
    assert slow.limit == pytest.approx(2 * math.pi * 0.03)


def test_a_curve_that_ends_at_100_hz_still_judges_what_is_above() -> None:
    for frequency in (hz(100.0, ">"), hz(160.0)):
        found = verdict("sni7571-2023-class3", motion((ppv(11.0, "mm/s"), frequency)))
        assert (found.outcome, found.limit) == ("complies", 12)


def test_a_frequency_that_the_curve_does_not_reach_gives_no_verdict() -> None:
    found = verdict("bs7385-2-line1", motion((ppv(49.0, "mm/s"), hz(3.0))))
    assert found.outcome == "no_verdict"
    assert found.reason is not None
    assert found.reason.code == "outside-range"


def test_not_available_is_not_100_hz() -> None:
    # At 100 Hz the limit is 2 in/s, at 10 Hz 0.75 in/s.
    found = verdict(DRYWALL, motion((ppv(1.5), NOT_AVAILABLE)))
    assert found.outcome == "no_verdict"
    assert found.reason is not None
    assert found.reason.code == "frequency-not-available"
    assert "Tran is N/A" in found.reason.detail
    assert found.share == pytest.approx(0.75)
    assert found.bound == ">"


def test_a_wave_that_was_cut_never_complies() -> None:
    found = verdict(DRYWALL, motion((ppv(0.01), NOT_AVAILABLE)))
    assert found.outcome == "no_verdict"


def test_a_peak_above_every_value_exceeds_whatever_its_frequency() -> None:
    found = verdict(DRYWALL, motion((ppv(2.5), NOT_AVAILABLE)))
    assert (found.outcome, found.bound) == ("exceeds", ">")
    assert found.share == pytest.approx(1.25)


def test_a_constant_needs_no_frequency() -> None:
    assert verdict("npc119", motion((ppv(12.5, "mm/s"), NOT_AVAILABLE))).outcome == "complies"


def test_one_axis_that_exceeds_decides_though_another_has_no_frequency() -> None:
    found = verdict(LINE2, motion((ppv(6.0, "mm/s"), hz(8.0)), (ppv(4.0, "mm/s"), NOT_AVAILABLE)))
    assert (found.outcome, found.channel, found.bound) == ("exceeds", "Tran", ">")
    assert found.reason is None


def test_one_axis_without_a_verdict_leaves_the_event_without() -> None:
    found = verdict(LINE2, motion((ppv(4.9, "mm/s"), hz(8.0)), (ppv(6.0, "mm/s"), NOT_AVAILABLE)))
    assert found.outcome == "no_verdict"
    assert found.share == pytest.approx(0.98)
    assert found.bound == ">"
    assert found.reason is not None
    assert "Vert" in found.reason.detail


# --- what is less than it seems ------------------------------------------------------------------


def test_a_clipped_blast_exceeds_where_the_range_ends_above_the_limit() -> None:
    found = verdict(DRYWALL, motion((over_range(10.0), hz(10.0))))
    assert (found.outcome, found.bound) == ("exceeds", ">")
    assert found.share == pytest.approx(10 / 0.75)


def test_a_clipped_blast_never_complies() -> None:
    found = verdict(DRYWALL, motion((over_range(1.25), hz(50.0))))
    assert found.outcome == "no_verdict"
    assert found.reason is not None
    assert found.reason.code == "over-range"
    assert found.bound == ">"


def test_a_clipped_axis_may_be_the_largest_one() -> None:
    found = verdict(DRYWALL, motion((ppv(1.2), hz(50.0)), (over_range(1.0), hz(50.0))))
    assert found.outcome == "no_verdict"


def test_first_samples_only_never_comply_and_may_exceed() -> None:
    part = ppv(0.2, flags=("incomplete",))
    found = verdict(DRYWALL, motion((part, hz(10.0))))
    assert found.reason is not None
    assert found.reason.code == "incomplete"
    assert verdict(DRYWALL, motion((replace(part, value=0.9), hz(10.0)))).outcome == "exceeds"


def test_a_scale_that_is_not_certain_gives_no_verdict() -> None:
    found = verdict(DRYWALL, motion((ppv(5.0, flags=("scale_unconfirmed",)), hz(10.0))))
    assert found.outcome == "no_verdict"
    assert found.reason is not None
    assert found.reason.code == "scale-unconfirmed"


def test_a_rate_that_is_not_certain_makes_the_frequency_unknown() -> None:
    found = verdict(DRYWALL, motion((ppv(1.0), hz(10.0, None, "scale_unconfirmed"))))
    assert found.reason is not None
    assert found.reason.code == "scale-unconfirmed"
    assert verdict("npc119", motion((ppv(0.1), hz(9.0, None, "scale_unconfirmed")))).outcome == (
        "complies"
    )


def test_a_reason_of_the_whole_event_is_passed_on() -> None:
    nothing = Motion(results="vendor", reason=Reason("undecoded", "its samples cannot be decoded"))
    found = verdict(DRYWALL, nothing)
    assert (found.outcome, found.reason) == ("no_verdict", nothing.reason)


def test_a_missing_axis_gives_no_verdict() -> None:
    whole = motion((ppv(0.1), hz(10.0)))
    found = verdict(DRYWALL, replace(whole, axes=whole.axes[:2]))
    assert found.reason is not None
    assert (found.reason.code, found.outcome) == ("channel-missing", "no_verdict")
    assert "Long" in found.reason.detail


def test_a_curve_that_is_off_gives_no_verdict() -> None:
    off = NoLimit("disputed", "switched off")
    found = judge(CURVES[DRYWALL], motion((ppv(0.1), hz(10.0))), {}, off)
    assert found.reason == Reason("disputed", "switched off")


def test_a_parameter_that_nobody_chose_gives_no_verdict() -> None:
    found = verdict("osmre-distance-table", motion((ppv(0.1), hz(10.0))))
    assert found.reason is not None
    assert found.reason.code == "parameter-missing"
    assert verdict(
        "osmre-distance-table", motion((ppv(1.1), hz(10.0))), distance_ft=300
    ).share == pytest.approx(1.1 / 1.25)


# --- other components ----------------------------------------------------------------------------


def test_vertical_and_horizontal_curves_look_at_their_axes() -> None:
    given = motion(
        (ppv(16.0, "mm/s"), hz(20.0)), (ppv(21.0, "mm/s"), hz(20.0)), (ppv(12.0, "mm/s"), hz(20.0))
    )
    assert verdict("din4150-3-floor-vertical", given).channel == "Vert"
    top = verdict("din4150-3-line2-top-floor", given)
    assert (top.outcome, top.channel) == ("exceeds", "Tran")


def test_a_vector_sum_takes_the_strictest_of_the_axes_limits() -> None:
    given = motion(
        (ppv(10.0, "mm/s"), hz(70.0)),
        (ppv(10.0, "mm/s"), hz(40.0)),
        (ppv(10.0, "mm/s"), hz(20.0)),
        pvs=ppv(16.0, "mm/s"),
    )
    found = verdict("sn640312a-normal-occasional", given)
    assert (found.outcome, found.limit, found.channel) == ("exceeds", 15, "PVS")
    assert any("vector sum has no frequency" in one for one in found.statements)


def test_airblast_is_compared_in_decibels_and_its_share_is_of_pressure() -> None:
    given = motion((ppv(0.1), hz(10.0)), airblast=ppv(127.0, "dB(L)"))
    found = verdict("osmre-airblast", given, microphone_low_hz=2.0)
    assert (found.outcome, found.channel, found.limit) == ("complies", "MicL", 133)
    assert found.share == pytest.approx(10 ** (-6 / 20))
    louder = replace(given, airblast=ppv(133.1, "dB(L)"))
    assert verdict("osmre-airblast", louder, microphone_low_hz=2.0).outcome == "exceeds"


def test_an_event_without_a_microphone_has_no_verdict_on_airblast() -> None:
    found = verdict("npc119-airblast", motion((ppv(0.1), hz(10.0))))
    assert found.reason is not None
    assert found.reason.code == "no-microphone"


def test_the_corner_of_the_microphone_must_be_known() -> None:
    given = motion((ppv(0.1), hz(10.0)), airblast=ppv(120.0, "dB(L)"))
    found = verdict("osmre-airblast", given)
    assert found.reason is not None
    assert "lower corner" in found.reason.detail


def test_one_blast_in_ten_may_be_above_the_first_value_and_none_above_the_second() -> None:
    for pvs, words in ((7.0, "Not above 10 mm/s"), (11.0, "Above 10 mm/s")):
        given = motion((ppv(1.0, "mm/s"), hz(20.0)), pvs=ppv(pvs, "mm/s"))
        found = verdict("qld-blasting", given)
        assert found.outcome == "exceeds"
        assert any(one.startswith(words) for one in found.statements)


def people(value: float | None, **parameters: str | float) -> Verdict:
    axes = tuple(
        AxisMotion(
            channel=name,
            ppv=ppv(1.0, "mm/s"),
            frequency=hz(20.0),
            kb_fmax=Figure(value=value, unit="1", method="DIN", flags=("estimate",)),
        )
        for name in ("Tran", "Vert", "Long")
    )
    given = Motion(results="vendor", axes=axes)
    return judge(CURVES["din4150-2-table1"], given, parameters)


def test_people_in_buildings_are_judged_by_kb() -> None:
    parameters: Parameters = {"area": "residential", "time": "day"}
    assert people(0.15, **parameters).outcome == "complies"
    assert people(3.2, **parameters).outcome == "exceeds"
    between = people(1.0, **parameters)
    assert between.outcome == "no_verdict"
    assert between.reason is not None
    assert between.reason.code == "needs-assessment-period"
    assert people(None, **parameters).outcome == "no_verdict"
    missing = people(0.15, area="residential").reason
    assert missing is not None
    assert missing.code == "parameter-missing"


# --- statements ----------------------------------------------------------------------------------


def test_a_band_that_the_instrument_does_not_meet_is_stated() -> None:
    found = verdict(LINE2, motion((ppv(1.0, "mm/s"), hz(10.0))))
    assert any("DIN 45669-1" in one and "does not meet it" in one for one in found.statements)


def test_a_frequency_below_the_geophones_band_is_stated() -> None:
    found = verdict(LINE2, motion((ppv(1.0, "mm/s"), hz(1.5))))
    assert any("1.5 Hz is below the geophones' band" in one for one in found.statements)


def test_a_peak_that_differs_from_the_unit_s_own_is_stated() -> None:
    given = motion((ppv(0.2, flags=("differs_from_unit",)), hz(10.0)))
    assert any("more than one count" in one for one in verdict(DRYWALL, given).statements)


def test_a_payload_has_the_reason_and_the_brief_one_its_code() -> None:
    found = verdict(DRYWALL, motion((ppv(1.5), NOT_AVAILABLE)))
    assert found.payload()["reason"]["code"] == "frequency-not-available"
    assert found.brief()["reason"] == "frequency-not-available"
    assert found.brief()["share_percent"] == 75.0


# --- from the unit's peaks alone -----------------------------------------------------------------


def test_peaks_below_the_strictest_value_comply() -> None:
    found = verdict(LINE2, peaks(5.0, 1.0, 1.0, "mm/s"))
    assert (found.outcome, found.results, found.bound) == ("complies", "peaks", None)
    assert found.share == pytest.approx(1.0)


def test_a_peak_above_the_most_permissive_value_exceeds_by_at_least_that() -> None:
    found = verdict(LINE2, peaks(21.0, 1.0, 1.0, "mm/s"))
    assert (found.outcome, found.bound) == ("exceeds", ">")
    assert found.share == pytest.approx(1.05)


def test_a_peak_in_between_has_no_verdict_and_a_share_of_at_least() -> None:
    found = verdict(LINE2, peaks(8.0, 1.0, 1.0, "mm/s"))
    assert found.outcome == "no_verdict"
    assert found.reason is not None
    assert found.reason.code == "frequency-unknown"
    assert found.share == pytest.approx(0.4)
    assert found.bound == ">"


def test_a_curve_that_does_not_reach_every_frequency_is_never_kept_to_by_peaks() -> None:
    found = verdict("bs7385-2-line1", peaks(0.1, 0.1, 0.1, "mm/s"))
    assert found.outcome == "no_verdict"


def test_a_stored_peak_at_the_end_of_the_range_is_a_lower_bound() -> None:
    given = peaks(0.0, 0.0, 0.0)
    end = replace(given.axes[0], ppv=ppv(1.25, bound=">"))
    found = verdict(DRYWALL, replace(given, axes=(end, *given.axes[1:])))
    assert (found.outcome, found.bound) == ("no_verdict", ">")
    assert found.reason is not None
    assert found.reason.code == "over-range"


# --- two sets of results -------------------------------------------------------------------------


def test_two_sets_that_disagree_are_both_returned() -> None:
    vendor = motion((ppv(0.8), hz(16.5)))
    refined = motion((ppv(0.79), hz(14.9)), results="refined")
    found = judge_all(CURVES[DRYWALL], {"vendor": vendor, "refined": refined}, "vendor", {})
    assert (found.verdict.outcome, found.verdict.results) == ("complies", "vendor")
    assert found.other is not None
    assert (found.other.outcome, found.other.results) == ("exceeds", "refined")
    assert found.payload()["other"]["outcome"] == "exceeds"
    assert found.brief()["other_outcome"] == "exceeds"


def test_the_chosen_set_decides() -> None:
    vendor = motion((ppv(0.8), hz(16.5)))
    refined = motion((ppv(0.79), hz(14.9)), results="refined")
    found = judge_all(CURVES[DRYWALL], {"vendor": vendor, "refined": refined}, "refined", {})
    assert (found.verdict.outcome, found.verdict.results) == ("exceeds", "refined")
    assert found.other is not None


def test_two_sets_that_agree_are_one() -> None:
    same = motion((ppv(0.1), hz(10.0)))
    both: dict[Results, Motion] = {"vendor": same, "refined": replace(same, results="refined")}
    assert judge_all(CURVES[DRYWALL], both, "vendor", {}).other is None


def test_the_unit_s_peaks_stand_in_for_samples_of_an_unconfirmed_scale() -> None:
    vendor = motion((ppv(0.01, flags=("scale_unconfirmed",)), hz(10.0)))
    found = judge_all(
        CURVES[DRYWALL], {"vendor": vendor, "peaks": peaks(0.08, 0.0, 0.0)}, "vendor", {}
    )
    assert (found.verdict.outcome, found.verdict.results) == ("complies", "peaks")
    assert found.verdict.statements[0].startswith("By the unit's own peaks, because")


def test_they_do_not_where_the_wave_was_cut() -> None:
    vendor = motion((ppv(0.08), NOT_AVAILABLE))
    found = judge_all(
        CURVES[DRYWALL], {"vendor": vendor, "peaks": peaks(0.08, 0.0, 0.0)}, "vendor", {}
    )
    assert found.verdict.outcome == "no_verdict"


# --- printed reports -----------------------------------------------------------------------------


def row(text: str, title: str, unit: str) -> list[str]:
    """Return the three columns of a row of a printed report."""
    found = re.search(rf"^{title} +(\S+) +(\S+) +(\S+) +{unit}$", text, re.MULTILINE)
    assert found is not None
    return [*found.groups()]


def test_a_printed_report_is_judged_by_its_own_figures() -> None:
    text = reference("field/printed-reports/report-3.txt").read_text("utf-8")
    text = "\n".join(line[:75].rstrip() for line in text.splitlines())
    pairs = zip(row(text, "PPV", "mm/s"), row(text, "ZC Freq", "Hz"), strict=True)
    tran, vert, long = [(ppv(float(peak), "mm/s"), hz(float(at))) for peak, at in pairs]
    level = re.search(r"PSPL +(\S+) dB", text)
    assert level is not None
    given = motion(tran, vert, long, airblast=ppv(float(level[1]), "dB(L)"))
    found = verdict("nbr9653-2018", given)
    # The report's chart begins at 4 Hz; 0.071 mm/s at 3.3 Hz is judged by 0.6 mm.
    assert (found.outcome, found.channel) == ("complies", "Long")
    assert found.share == pytest.approx(0.071 / (2 * math.pi * 3.3 * 0.6))
    assert verdict("nbr9653-2018-airblast", given).outcome == "complies"
