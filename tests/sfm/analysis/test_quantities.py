from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfm.analysis import Analysis, Figure, Seismogram, Trace, analyse
from sfm.analysis.spectra import amplitude_spectrum

RATE = 1024.0
STEP = 0.005
Values = NDArray[np.float64]


def burst(
    frequency_hz: float = 12.3,
    amplitude: float = 1.0,
    seconds: float = 2.0,
    before_s: float = 0.25,
    phase: float = 0.0,
) -> Values:
    """A decaying sine after a silent part, in counts of 0.005 in/s."""
    t = np.arange(round(seconds * RATE)) / RATE - before_s
    wave = np.where(t < 0, 0.0, np.exp(-4 * t) * np.sin(2 * np.pi * frequency_hz * t + phase))
    return np.asarray(np.round(amplitude * wave / STEP) * STEP)


def seismogram(before: int | None = 256, **values: Values) -> Seismogram:
    traces = {
        name: Trace(
            values=row,
            unit="psi" if name == "MicL" else "in/s",
            step=STEP,
            full_scale=10.0,
        )
        for name, row in values.items()
    }
    return Seismogram(traces=traces, rate_hz=RATE, pretrigger_samples=before)


def three(amplitude: float = 1.0) -> Seismogram:
    return seismogram(
        Tran=burst(12.3, amplitude),
        Vert=burst(17.0, amplitude * 0.7, phase=1.0),
        Long=burst(9.1, amplitude * 0.5, phase=2.0),
        MicL=burst(6.0, 0.5),
    )


def vendor(analysis: Analysis, quantity: str, channel: str = "Tran") -> Figure:
    return analysis.channels[channel]["vendor"][quantity]


def value(analysis: Analysis, quantity: str, channel: str = "Tran") -> float:
    found = vendor(analysis, quantity, channel).value
    assert found is not None
    return found


def amplitudes(analysis: Analysis) -> list[float]:
    names = ("ppv", "peak_acceleration", "peak_displacement")
    rows = [value(analysis, name, axis) for axis in ("Tran", "Vert", "Long") for name in names]
    pvs = analysis.pvs["vendor"].value
    assert pvs is not None
    return [*rows, pvs]


# --- properties -----------------------------------------------------------------------------------


@given(factor=st.floats(0.01, 9.0))
def test_amplitudes_scale_with_the_samples_and_frequencies_do_not(factor: float) -> None:
    one = three()
    traces = {
        name: replace(trace, values=trace.values * factor) for name, trace in one.traces.items()
    }
    before, after = analyse(one), analyse(replace(one, traces=traces))
    assert amplitudes(after) == pytest.approx([v * factor for v in amplitudes(before)])
    for name in ("zc_frequency", "time_of_peak"):
        assert vendor(after, name).value == pytest.approx(value(before, name))


@given(st.sampled_from(["Tran", "Vert", "Long"]))
def test_reversed_polarity_changes_nothing_where_no_sample_is_zero(axis: str) -> None:
    one = three()
    # A zero counts as positive, so that only a record without zeros is symmetrical.
    shifted = {
        name: replace(trace, values=trace.values + 0.0021) for name, trace in one.traces.items()
    }
    turned = {
        **shifted,
        axis: replace(shifted[axis], values=-shifted[axis].values),
    }
    before = analyse(replace(one, traces=shifted))
    after = analyse(replace(one, traces=turned))
    for name, figure in before.channels[axis]["vendor"].items():
        assert vendor(after, name, axis).value == pytest.approx(figure.value)
    assert after.pvs["vendor"].value == pytest.approx(before.pvs["vendor"].value)


@given(
    st.lists(st.integers(-2000, 2000), min_size=0, max_size=60),
    st.sampled_from([None, 0, 3, 20]),
    st.sampled_from([None, 1024.0, 4096.0]),
)
@example([0, *[5] * 6, *[-5] * 2], 0, 1024.0)  # the peak's half wave begins with the record
def test_any_samples_have_an_analysis_that_comes_back_from_its_json_form(
    counts: list[int], before: int | None, rate: float | None
) -> None:
    values = np.array(counts, dtype=np.float64) * STEP
    one = replace(
        seismogram(before, Tran=values, Vert=values, Long=values[:10], MicL=values), rate_hz=rate
    )
    analysis = analyse(one)
    assert Analysis.from_payload(orjson.loads(orjson.dumps(analysis.payload()))) == analysis
    for system in ("metric", "imperial"):
        assert analysis.in_system(system).in_system("imperial").flags == analysis.flags
    ppv = vendor(analysis, "ppv")
    assert (ppv.value is None) == (not len(values) or max(map(abs, counts[:10])) >= 2000)


@given(st.integers(0, 1000), st.floats(-0.2, 0.2))
def test_refined_figures_do_not_depend_on_an_offset(delay: int, offset: float) -> None:
    plain = np.concatenate((np.zeros(delay), burst(12.3)))
    with_offset = analyse(seismogram(256 + delay, Tran=plain + offset))
    without = analyse(seismogram(256 + delay, Tran=plain))
    for name, figure in without.channels["Tran"]["refined"].items():
        theirs = with_offset.channels["Tran"]["refined"][name]
        assert theirs.value == pytest.approx(figure.value, rel=1e-6), name
    found = with_offset.channels["Tran"]["offset"]["offset"].value
    assert found == pytest.approx(offset, abs=1e-9)


# --- silence, one sample, no sample, no number ----------------------------------------------------


def test_silence_has_amplitudes_of_zero_and_no_frequency_or_time() -> None:
    analysis = analyse(seismogram(Tran=np.zeros(500), Vert=np.zeros(500), Long=np.zeros(500)))
    assert amplitudes(analysis) == [0.0] * 10
    for name in ("zc_frequency", "time_of_peak"):
        assert vendor(analysis, name).value is None
        assert vendor(analysis, name).bound is None
        assert "not_available" in vendor(analysis, name).flags


def test_one_sample_has_a_peak_but_no_frequency_acceleration_or_displacement() -> None:
    analysis = analyse(seismogram(0, Tran=np.array([0.5])))
    assert value(analysis, "ppv") == 0.5
    for name in ("zc_frequency", "peak_acceleration", "peak_displacement"):
        assert vendor(analysis, name).value is None
        assert "not_available" in vendor(analysis, name).flags


def test_no_sample_gives_figures_without_values() -> None:
    analysis = analyse(seismogram(0, Tran=np.zeros(0)))
    assert analysis.samples == 0
    assert all(f.value is None for f in analysis.channels["Tran"]["vendor"].values())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Trace(values=np.array([0.0, bad]), unit="in/s", step=None)


# --- frequencies at the edges ---------------------------------------------------------------------


def square(half_wave: int, ends: int = 40) -> Values:
    """One positive half wave of so many samples, between smaller negative ones."""
    return np.concatenate((-0.1 * np.ones(ends), np.ones(half_wave), -0.1 * np.ones(ends)))


def test_above_100_hz_is_a_bound_and_not_a_number() -> None:
    found = vendor(analyse(seismogram(0, Tran=square(5))), "zc_frequency")
    assert (found.value, found.bound) == (100.0, ">")
    assert "above_100_hz" in found.flags
    exact = vendor(analyse(seismogram(0, Tran=square(6))), "zc_frequency")
    assert exact.value == pytest.approx(512 / 6)
    assert exact.bound is None


def test_below_1_hz_is_a_bound_also_where_the_half_wave_is_cut() -> None:
    for values in (square(513), np.ones(513), square(600, ends=0)):
        found = vendor(analyse(seismogram(0, Tran=values)), "zc_frequency")
        assert (found.value, found.bound) == (1.0, "<")
    assert vendor(analyse(seismogram(0, Tran=square(512))), "zc_frequency").value == 1.0
    assert vendor(analyse(seismogram(0, Tran=square(512))), "zc_frequency").bound is None


def test_a_half_wave_that_was_not_captured_whole_has_no_frequency() -> None:
    rising = np.concatenate((-0.1 * np.ones(40), np.linspace(0.1, 1.0, 30)))
    for values in (rising, rising[::-1].copy(), -rising):
        found = vendor(analyse(seismogram(0, Tran=values)), "zc_frequency")
        assert (found.value, found.bound) == (None, None)
        assert {"cut", "not_available"} <= set(found.flags)


def test_a_recording_that_starts_inside_the_event_keeps_its_offset() -> None:
    t = np.arange(2048) / RATE
    moving = np.sin(2 * np.pi * 7.3 * t + 0.4)
    analysis = analyse(seismogram(256, Tran=moving))
    assert analysis.channels["Tran"]["offset"]["offset"].value is None
    refined = analysis.channels["Tran"]["refined"]["ppv"]
    assert refined.value == value(analysis, "ppv")
    assert "offset_unknown" in refined.flags


def test_the_refined_frequency_is_between_samples() -> None:
    worst = {"refined": 0.0, "vendor": 0.0}
    for frequency_hz in (28.9, 48.7):
        t = np.arange(2048) / RATE - 0.25
        swell = np.where(t < 0, 0.0, 5.0 * (1 - np.exp(-6 * t)))
        phases = 2 * np.pi * frequency_hz * t + np.linspace(0, 3, 7)[:, np.newaxis]
        sines = np.round(swell * np.sin(phases) / STEP) * STEP
        found = [analyse(seismogram(Tran=sine)).channels["Tran"] for sine in sines]
        for name in worst:
            values = [f[name]["zc_frequency"].value or 0.0 for f in found]
            worst[name] = max(worst[name], *(abs(v - frequency_hz) for v in values))
    assert worst["refined"] < 0.15
    assert worst["vendor"] > 2


def test_an_offset_that_changes_the_displacement_is_marked() -> None:
    # It begins downwards: a first positive half wave would be one with the zeros before it.
    plain = analyse(seismogram(Tran=burst(phase=np.pi)))
    shifted = analyse(seismogram(Tran=burst(phase=np.pi) + 0.05))
    assert "offset_limited" not in vendor(plain, "peak_displacement").flags
    assert "offset_limited" in vendor(shifted, "peak_displacement").flags
    for analysis in (plain, shifted):
        refined = analysis.channels["Tran"]["refined"]["peak_displacement"]
        assert refined.value == pytest.approx(value(plain, "peak_displacement"), rel=0.02)
        assert "offset_limited" not in refined.flags


def test_a_half_wave_that_the_vendors_rule_prolongs_by_zeros_is_marked() -> None:
    upwards = analyse(seismogram(Tran=burst(12.3))).channels["Tran"]
    assert upwards["vendor"]["zc_frequency"].value == pytest.approx(1.7, abs=0.1)
    assert "zeros_counted" in upwards["vendor"]["zc_frequency"].flags
    assert upwards["refined"]["zc_frequency"].value == pytest.approx(12.3, abs=0.1)
    assert "zeros_counted" not in upwards["refined"]["zc_frequency"].flags
    downwards = analyse(seismogram(Tran=burst(12.3, phase=np.pi))).channels["Tran"]
    assert downwards["vendor"]["zc_frequency"].value == pytest.approx(12.3, abs=0.3)
    assert "zeros_counted" not in downwards["vendor"]["zc_frequency"].flags


# --- range, scale, missing parts ------------------------------------------------------------------


def test_a_clipped_channel_has_lower_limits_and_no_value() -> None:
    clipped = np.clip(burst(12.3, 18.0), -10.0, 10.0)
    analysis = analyse(seismogram(Tran=clipped, Vert=burst(), Long=burst()))
    ppv = vendor(analysis, "ppv")
    assert (ppv.value, ppv.bound, ppv.limit) == (None, ">", 10.0)
    assert "over_range" in ppv.flags
    true = analyse(replace(seismogram(Tran=burst(12.3, 18.0), Vert=burst(), Long=burst())))
    for name in ("peak_acceleration", "peak_displacement"):
        found = vendor(analysis, name)
        assert (found.value, found.bound) == (None, ">")
        assert found.limit is not None
        assert 0 < found.limit <= (vendor(true, name).limit or 0.0)
    pvs = analysis.pvs["vendor"]
    assert (pvs.value, pvs.bound) == (None, ">")
    assert pvs.limit is not None
    assert pvs.limit >= 10.0
    assert analysis.channels["Tran"]["weighted"]["kb_fmax"].value is None
    assert value(analysis, "ppv", "Vert") > 0
    assert "over_range" not in vendor(analysis, "ppv", "Vert").flags


def test_counts_without_a_scale_have_times_and_frequencies_only() -> None:
    one = seismogram(Tran=burst())
    known = analyse(one)
    counts = Trace(values=np.round(burst() / STEP), unit="in/s", step=None, is_scaled=False)
    unknown = analyse(replace(one, traces={"Tran": counts}))
    for name in ("zc_frequency", "time_of_peak"):
        assert vendor(unknown, name).value == vendor(known, name).value
    for name in ("ppv", "peak_acceleration", "peak_displacement"):
        assert vendor(unknown, name).value is None
        assert "scale_unknown" in vendor(unknown, name).flags
    assert "weighted" not in unknown.channels["Tran"]


def test_an_unknown_rate_leaves_the_peaks() -> None:
    analysis = analyse(replace(three(), rate_hz=None))
    assert value(analysis, "ppv") > 0
    assert analysis.pvs["vendor"].value is not None
    assert vendor(analysis, "zc_frequency").value is None
    assert "rate_unknown" in vendor(analysis, "peak_acceleration").flags
    assert any("sample rate is not known" in note for note in analysis.notes)


def test_only_the_part_that_all_channels_have_is_analysed() -> None:
    whole = burst()
    late_peak = whole.copy()
    late_peak[-1] = 7.0
    one = seismogram(Tran=late_peak, Vert=whole[:1000], Long=whole)
    analysis = analyse(one)
    assert analysis.samples == 1000
    assert value(analysis, "ppv") == np.abs(whole).max()
    assert "incomplete" in vendor(analysis, "ppv").flags
    assert analysis.notes[0] == "Computed from the first 1000 of 2048 samples."
    further = analyse(replace(one, recorded_samples=4096))
    assert further.notes[0] == "Computed from the first 1000 of 4096 samples."


@pytest.mark.parametrize(("missing", "is_whole"), [(2, True), (3, False)])
def test_a_channel_that_ends_two_samples_early_is_whole(missing: int, is_whole: bool) -> None:
    one = seismogram(Tran=burst(), Vert=burst(), Long=burst(), MicL=burst()[:-missing])
    assert one.is_whole is is_whole
    assert ("incomplete" in vendor(analyse(one), "ppv").flags) is not is_whole


def test_a_channel_that_was_not_decoded_hides_the_vector_sum_but_not_the_others() -> None:
    analysis = analyse(seismogram(Tran=burst(), Vert=burst(), Long=np.zeros(0)))
    assert value(analysis, "ppv") > 0
    assert vendor(analysis, "ppv", "Long").value is None
    assert analysis.pvs["vendor"].value is None


def test_two_axes_have_no_vector_sum() -> None:
    analysis = analyse(seismogram(Tran=burst(), Vert=burst()))
    assert analysis.pvs["vendor"].value is None
    assert any("Long" in note for note in analysis.notes)


def test_the_vector_sum_is_taken_at_one_instant() -> None:
    first, second = np.zeros(100), np.zeros(100)
    first[20], second[60] = 3.0, 4.0
    analysis = analyse(seismogram(10, Tran=first, Vert=second, Long=np.zeros(100)))
    assert analysis.pvs["vendor"].value == 4.0
    assert analysis.pvs_time["vendor"].value == pytest.approx(50 / RATE)


def test_an_offset_does_not_ring_through_the_filters_where_nothing_before_was_recorded() -> None:
    still = analyse(seismogram(0, Tran=np.full(2048, 0.3))).channels["Tran"]["weighted"]
    for name in ("kb_fmax", "rms", "vdv", "mtvv"):
        assert still[name].value == pytest.approx(0.0, abs=1e-9)


def test_the_spectrum_of_a_constant_is_the_constant_at_0_hz() -> None:
    spectrum = amplitude_spectrum(np.full(100, 0.3), RATE)
    assert spectrum.amplitudes[0] == pytest.approx(0.3)
    assert spectrum.amplitudes[1:].max() < 1e-12
    assert spectrum.resolution_hz == RATE / 100


# --- beside the unit's own figures ----------------------------------------------------------------


@pytest.mark.parametrize(("counts", "differs"), [(0, False), (1, False), (-1, False), (2, True)])
def test_a_peak_more_than_a_count_from_the_units_own_is_marked(counts: int, differs: bool) -> None:
    values = burst()
    own = float(np.abs(values).max()) + counts * STEP
    reported = {"ppv": Figure(value=own, unit="in/s", method="unit")}
    one = seismogram(Tran=values)
    traces = {"Tran": replace(one.traces["Tran"], reported=reported)}
    analysis = analyse(replace(one, traces=traces))
    assert ("differs_from_unit" in vendor(analysis, "ppv").flags) is differs
    assert ("differs_from_unit" in analysis.flags) is differs
    assert analysis.channels["Tran"]["reported"]["ppv"].value == own


def test_the_units_own_vector_sum_is_compared_too() -> None:
    own = {"pvs": Figure(value=9.0, unit="in/s", method="unit")}
    analysis = analyse(replace(three(), reported=own))
    assert "differs_from_unit" in analysis.pvs["vendor"].flags
    assert analysis.pvs["reported"].value == 9.0


def test_what_is_shown_of_the_microphone_is_pressure_and_level() -> None:
    analysis = analyse(three())
    assert list(analysis.channels["MicL"]["vendor"]) == [
        "peak_pressure",
        "level",
        "zc_frequency",
        "time_of_peak",
    ]
    pressure = vendor(analysis, "peak_pressure", "MicL").in_unit("Pa").value
    assert pressure is not None
    level = vendor(analysis, "level", "MicL").value
    assert level == pytest.approx(20 * math.log10(pressure / 20e-6))
    assert analysis.channels["MicL"]["weighted"]["max_level_a"].value is None


def test_steps_are_what_one_count_changes() -> None:
    found = analyse(three()).channels["Tran"]["vendor"]
    assert found["ppv"].step == STEP
    # Printed in the manual of the facts: 0.0133 g at 1024 samples/s.
    assert found["peak_acceleration"].step == pytest.approx(0.0133, abs=5e-5)
    assert found["time_of_peak"].step == 1 / RATE
