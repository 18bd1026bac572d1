"""From samples, or the unit's peaks, to verdicts: clipped, partial, undecoded, unconfirmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sfm.analysis import Seismogram, Trace, analyse
from sfm.records.limit_choices import Choice, LimitChoices
from sfm.records.verdicts import Judge, motion_of_peaks

RATE_HZ, SAMPLES, STEP = 1024, 2048, 0.005
PLASTER = "usbm-ri8507-plaster"


def tone(peak_in_s: float, hz: float) -> Any:
    """A tone that is loudest in the middle of the record, on the unit's counts."""
    time = np.arange(SAMPLES) / RATE_HZ
    envelope = np.exp(-(((time - 1.0) / 0.3) ** 2))
    wave = peak_in_s * envelope * np.cos(2 * np.pi * hz * (time - 1.0))
    return np.round(wave / STEP) * STEP


def trace(values: Any, **more: Any) -> Trace:
    given: dict[str, Any] = {"unit": "in/s", "step": STEP, "full_scale": 10.0, **more}
    return Trace(values=values, **given)


def analysis(tran: Trace, **more: Any) -> Any:
    quiet = trace(tone(0.03, 40.0))
    traces = {"Tran": tran, "Vert": quiet, "Long": quiet}
    given: dict[str, Any] = {"rate_hz": float(RATE_HZ), "pretrigger_samples": 256, **more}
    return analyse(Seismogram(traces=traces, **given)).payload()


def event(tran_in_s: float | None, at: str | None = "2026-03-01T10:00:00") -> dict[str, Any]:
    peaks = {
        "tran_in_s": tran_in_s,
        "vert_in_s": 0.03,
        "long_in_s": 0.03,
        "mic_psi": 0.004,
        "vector_sum_in_s": tran_in_s,
        "mic_db": 122.8,
    }
    return {"timestamp": at, "project": "North", "peaks": peaks}


def judge(*curves: str, **more: Any) -> Judge:
    choice = Choice(id=1, curves=curves, chosen_by="Ada", chosen_at="2026-01-01", **more)
    return Judge(None, LimitChoices([choice]))


def verdict(tran_in_s: float | None, found: Any, curve: str = PLASTER, **more: Any) -> Any:
    judged = judge(curve).judge("BE1", event(tran_in_s), found, **more)
    [one] = judged.verdicts
    return one.verdict


def test_samples_give_a_verdict_at_their_own_frequency() -> None:
    found = verdict(1.0, analysis(trace(tone(1.0, 25.0))))
    assert (found.outcome, found.results, found.channel) == ("complies", "vendor", "Tran")
    assert found.frequency.value == pytest.approx(25.0, rel=0.05)
    assert found.limit == pytest.approx(2 * np.pi * found.frequency.value * 0.008)
    # The same peak at 5 Hz exceeds the plateau.
    slow = verdict(1.0, analysis(trace(tone(1.0, 5.0))))
    assert (slow.outcome, slow.limit) == ("exceeds", 0.5)


def test_without_samples_the_same_peak_leaves_it_open() -> None:
    found = verdict(1.0, None)
    assert (found.outcome, found.results) == ("no_verdict", "peaks")
    assert (found.share, found.bound) == (0.5, ">")


def test_a_clipped_event_exceeds_by_at_least_what_was_seen() -> None:
    clipped = np.clip(tone(18.0, 25.0), -10.0, 10.0)
    found = verdict(10.0, analysis(trace(clipped)))
    assert (found.outcome, found.bound) == ("exceeds", ">")
    assert found.peak.value is None
    assert found.peak.limit == 10.0


def test_a_clipped_event_on_the_sensitive_range_has_no_verdict_below_the_limit() -> None:
    clipped = np.clip(tone(3.0, 50.0), -1.25, 1.25)
    found = verdict(1.25, analysis(trace(clipped, full_scale=1.25)), geo_range_in_s=1.25)
    assert (found.outcome, found.reason.code) == ("no_verdict", "over-range")


def test_first_samples_fall_back_on_the_unit_s_peaks() -> None:
    part = analysis(trace(tone(0.1, 25.0)), recorded_samples=SAMPLES * 2)
    found = verdict(2.5, part)
    assert (found.outcome, found.results) == ("exceeds", "peaks")
    open_one = verdict(1.0, part)
    assert (open_one.outcome, open_one.reason.code) == ("no_verdict", "incomplete")


def test_a_scale_of_the_setup_alone_falls_back_on_the_unit_s_peaks() -> None:
    proposed = analysis(trace(tone(0.1, 25.0), flags=("scale_unconfirmed",)))
    assert verdict(2.5, proposed).outcome == "exceeds"
    found = verdict(1.0, proposed)
    assert (found.outcome, found.reason.code) == ("no_verdict", "scale-unconfirmed")


def test_a_scale_that_is_not_known_falls_back_on_the_unit_s_peaks() -> None:
    counts = trace(tone(1.0, 25.0) / STEP, step=None, full_scale=2000.0, is_scaled=False)
    found = verdict(1.0, analysis(counts))
    assert (found.outcome, found.reason.code) == ("no_verdict", "scale-unknown")


def test_without_a_rate_there_is_no_frequency() -> None:
    found = verdict(1.0, analysis(trace(tone(1.0, 25.0)), rate_hz=None))
    assert (found.outcome, found.reason.code) == ("no_verdict", "rate-unknown")


def test_undecoded_samples_are_the_reason_where_peaks_leave_it_open() -> None:
    found = verdict(1.0, None, is_undecoded=True)
    assert (found.outcome, found.reason.code, found.results) == (
        "no_verdict",
        "undecoded",
        "peaks",
    )
    assert found.bound == ">"
    assert verdict(2.5, None, is_undecoded=True).outcome == "exceeds"


def test_an_unset_clock_does_not_touch_a_verdict_where_one_choice_counts() -> None:
    judged = judge(PLASTER).judge(
        "BE1", event(1.0, "1995-01-01T00:01:00"), analysis(trace(tone(1.0, 25.0)))
    )
    assert judged.verdicts[0].verdict.outcome == "complies"


def test_ground_motion_and_airblast_stand_beside_each_other() -> None:
    choice = judge("npc119", "npc119-airblast").judge("BE1", event(0.3))
    ground, air = (one.verdict for one in choice.verdicts)
    assert (ground.outcome, ground.channel) == ("complies", "Tran")
    assert (air.outcome, air.channel, air.limit) == ("complies", "MicL", 128)


def test_people_are_judged_by_the_kb_of_the_samples() -> None:
    curve = judge("din4150-2-table1", parameters={"area": "residential", "time": "day"})
    judged = curve.judge("BE1", event(1.0), analysis(trace(tone(1.0, 25.0))))
    found = judged.verdicts[0].verdict
    assert (found.outcome, found.channel) == ("exceeds", "Tran")
    assert curve.judge("BE1", event(1.0)).verdicts[0].verdict.outcome == "no_verdict"


def test_a_peak_at_the_end_of_the_range_is_a_lower_bound() -> None:
    peaks = event(1.25)["peaks"]
    bounds = [axis.ppv.bound for axis in motion_of_peaks(peaks, 1.25).axes]
    assert bounds == [">", None, None]
    assert verdict(1.25, None, geo_range_in_s=1.25).reason.code == "over-range"


def test_a_peak_that_was_not_recorded_is_a_missing_channel() -> None:
    assert verdict(None, None).reason.code == "channel-missing"
