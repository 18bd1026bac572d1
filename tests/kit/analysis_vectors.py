"""
Every check value that the analysis must meet, beside what it computes.

    PYTHONPATH=tests python tests/kit/analysis_vectors.py            # the table
    PYTHONPATH=tests python tests/kit/analysis_vectors.py --group iso

The values are printed by standards, by the vendor's program, or computed by independent packages;
each file of ``../shared/data/vectors`` names its source.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm.analysis import Seismogram, Trace, analyse
from sfm.analysis.filters import Spectrum
from sfm.analysis.human_vibration import (
    estimated_vdv,
    kb,
    kb_f,
    kb_ftm,
    kb_ftr,
    mtvv,
    rms,
    vdv,
    weighting,
)
from sfm.analysis.site_law import distance_of_limit, fit_site_law
from sfm.analysis.sound import a_weighting, c_weighting
from sfm.analysis.spectra import amplitude_spectrum, response_spectrum
from sfm.analysis.units_of_measure import convert, level_db
from sfm.exports.readers import read_file

VECTORS = Path(__file__).parents[3] / "shared" / "data" / "vectors"
RATES_HZ = (1024.0, 2048.0, 4096.0)
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One check value and ours."""

    quantity: str
    source: str
    expected: float
    ours: float | None
    allowed: float
    """The largest difference that passes, in the value's unit of measure."""

    @property
    def passes(self) -> bool:
        return self.ours is not None and abs(self.ours - self.expected) <= self.allowed


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


@lru_cache
def export(name: str) -> Seismogram:
    return read_file((VECTORS / "blastware_ascii" / name).read_bytes()).seismogram


def one_channel(values: Values, rate_hz: float, unit: str = "in/s") -> Seismogram:
    trace = Trace(values=values, unit=unit, step=None)
    return Seismogram(traces={"Tran": trace}, rate_hz=rate_hz, pretrigger_samples=0)


def vendor_exports() -> Iterator[Comparison]:
    """
    Yield every result of the vendor's exports.

    Allowed is half of the last printed digit, and what the rounding of the printed samples can
    change; the samples have three decimals, two from 10 on.
    """
    for name in ("10m.TXT", "5m.TXT"):
        seismogram = export(name)
        analysis = analyse(seismogram)
        source = f"Blastware 10.74, {name}"
        assert seismogram.rate_hz is not None
        for channel, sets in analysis.channels.items():
            values = seismogram.traces[channel].values
            # The acceleration is of two rounded samples, the displacement of a sum of them.
            digit = 0.0005 if np.abs(values).max() < 10 else 0.005
            rounding = {"peak_acceleration": 2 * digit * seismogram.rate_hz / 9806.65}
            for quantity, printed in sets["reported"].items():
                assert printed.value is not None
                assert printed.step is not None
                yield Comparison(
                    f"{channel} {quantity}, {printed.unit}",
                    source,
                    printed.value,
                    sets["vendor"][quantity].value,
                    # A time is printed to 1 ms, of samples 0.244 ms apart.
                    printed.step * 0.51 + rounding.get(quantity, 0.0),
                )
        for quantity, figures in (("pvs", analysis.pvs), ("pvs_time", analysis.pvs_time)):
            printed = figures["reported"]
            assert printed.value is not None
            assert printed.step is not None
            ours = figures["vendor"].value
            yield Comparison(quantity, source, printed.value, ours, printed.step * 0.51)


def closed_forms() -> Iterator[Comparison]:
    """Yield what arithmetic gives for sines."""
    vectors = load("closed_form.json")
    for sine in vectors["sines"]:
        rate, f = float(sine["fs"]), float(sine["f"])
        t = np.arange(int(3 * rate)) / rate
        found = analyse(one_channel(np.sin(2 * np.pi * f * t), rate)).channels["Tran"]
        source = f"closed form, {f:g} Hz at {rate:g} Hz"
        vendor, refined = found["vendor"], found["refined"]
        yield Comparison("zc_frequency", source, f, vendor["zc_frequency"].value, 1e-9)
        yield Comparison("refined zc_frequency", source, f, refined["zc_frequency"].value, 1e-6)
        expected = sine["peak_accel_g_neighbour_difference"]
        yield Comparison(
            "peak_acceleration, g", source, expected, vendor["peak_acceleration"].value, 1e-7
        )
        expected = sine["peak_disp_in_half_of_half_cycle_sum"]
        yield Comparison(
            "peak_displacement, in", source, expected, vendor["peak_displacement"].value, 1e-9
        )
        exact = sine["peak_disp_in_exact"]
        yield Comparison(
            "refined peak_displacement, in",
            source,
            exact,
            refined["peak_displacement"].value,
            exact * 0.002,
        )
    for name in ("pvs", "pvs_phase"):
        yield Comparison(name, "closed form", vectors[name]["pvs"], _pvs_of(name), 1e-9)
    for row in vectors["airblast"]:
        pa = convert(row["psi"], "psi", "Pa")
        source = f"closed form, {row['psi']} psi"
        yield Comparison("pressure, Pa", source, row["pa"], pa, 1e-7)
        yield Comparison("level, dB(L)", source, row["db_l"], level_db(pa), 1e-9)
    dose = vectors["evdv"]
    ours = estimated_vdv(dose["a"], dose["t_s"])
    yield Comparison("eVDV, m/s1.75", dose["formula"], dose["value"], ours, 1e-9)


def _pvs_of(name: str) -> float | None:
    t = np.arange(1024) / 1024
    # 10 Hz does not divide 1024 Hz: the phases' squares add up to 1 at every sample.
    phase = 2 * np.pi * 10 * t
    in_phase = np.sin(2 * np.pi * 8 * t)
    rows = (
        (3 * in_phase, 4 * in_phase, 0 * t)
        if name == "pvs"
        else (np.sin(phase), np.cos(phase), 0 * t)
    )
    traces = {
        channel: Trace(values=values, unit="in/s", step=None)
        for channel, values in zip(("Tran", "Vert", "Long"), rows, strict=True)
    }
    seismogram = Seismogram(traces=traces, rate_hz=1024.0, pretrigger_samples=0)
    return analyse(seismogram).pvs["vendor"].value


def fourier() -> Iterator[Comparison]:
    """Yield Fourier amplitudes that another program published for the vendor's export."""
    vector = load("fft_5m_long.json")
    seismogram = export("5m.TXT")
    assert seismogram.rate_hz is not None
    values = seismogram.traces["Long"].values
    spectrum = amplitude_spectrum(values, seismogram.rate_hz)
    dominant = spectrum.dominant()
    assert dominant is not None
    source = "public FFT of 5m.TXT Long"
    yield Comparison("dominant frequency, Hz", source, vector["dominant_hz"], dominant[0], 1e-9)
    expected = vector["dominant_amplitude_mm_s"]
    yield Comparison("dominant amplitude, mm/s", source, expected, dominant[1], 1e-9)
    yield Comparison("r.m.s., mm/s", source, vector["rms_mm_s"], float(rms(values)), 1e-9)
    for row in vector["bins"]:
        at = int(np.abs(spectrum.frequencies_hz - row["hz"]).argmin())
        yield Comparison(
            f"amplitude at {row['hz']:.3f} Hz, mm/s",
            source,
            row["amplitude_mm_s"],
            float(spectrum.amplitudes[at]),
            1e-9,
        )


def response() -> Iterator[Comparison]:
    """Yield the pseudo velocities on which two independent packages agree."""
    vector = load("response_spectrum.json")
    rate = 1024.0
    s = np.maximum(np.arange(int(4 * rate)) / rate - 0.25, 0.0)
    decay, phase = np.exp(2 - 10 * s) / 4, 2 * np.pi * 12 * s
    # The derivative of 0.0254 (10 s)² e**(2 - 10 s) / 4 sin(2 pi 12 s).
    rise = 200 * s - 1000 * s * s
    acceleration = (
        0.0254 * decay * (rise * np.sin(phase) + 100 * s * s * 2 * np.pi * 12 * np.cos(phase))
    )
    ours = 1000 * response_spectrum(acceleration, rate, np.array(vector["frequency_hz"]))
    for package in ("eqsig_psv_mm_s", "endaq_pvss_mm_s"):
        for hz, expected, value in zip(vector["frequency_hz"], vector[package], ours, strict=True):
            source = package.split("_")[0]
            yield Comparison(
                f"PSV at {hz:g} Hz, mm/s", source, expected, float(value), expected * 1e-7
            )


def kb_values() -> Iterator[Comparison]:
    """Yield the printed values of DIN 45669-1, at three sample rates."""
    vector = load("din45669_kb.json")
    for rate in RATES_HZ:
        source = f"DIN 45669-1, at {rate:g} Hz"
        reference = vector["reference_6_2_3_12"]
        rows = [(reference, "kbf_ftm"), *((row, "kb_ftm") for row in vector["table_9"])]
        for row, ftm in rows:
            mean, largest, whole = _steady_kb(float(row["frequency_hz"]), rate)
            hz = f"at {row['frequency_hz']:g} Hz"
            yield Comparison(f"KBF mean {hz}", source, row["kbf_mean"], mean, 0.001)
            yield Comparison(f"KBFmax {hz}", source, row["kbf_max"], largest, 0.001)
            yield Comparison(f"KBFTm {hz}", source, row[ftm], whole, 0.001)
        # The percentage is of the steady mean, around which the running value of 80 Hz ripples.
        steady = _pulsed_kb(None, rate).mean()
        for row in vector["table_8_percent_of_continuous"]:
            ms = row["duration_ms"]
            ours = 100 * float(_pulsed_kb(ms, rate).max() / steady)
            quantity = f"KBFmax of pulses, {ms or 'continuous'} ms, %"
            yield Comparison(quantity, source, row["percent"], ours, 0.3)


def _steady_kb(frequency_hz: float, rate: float) -> tuple[float, float, float | None]:
    t = np.arange(int(34 * rate)) / rate
    rise = np.where(t < 1, (1 - np.cos(np.pi * t)) / 2, 1.0)
    running = kb_f(kb(Spectrum(rise * np.sin(2 * np.pi * frequency_hz * t), rate)), rate)
    steady = running[int(4 * rate) :]
    return float(steady.mean()), float(steady.max()), kb_ftm(steady, rate, ignored=0.0)


def _pulsed_kb(duration_ms: float | None, rate: float) -> Values:
    t = np.arange(int(8 * rate)) / rate
    last_s = 1.0 if duration_ms is None else duration_ms / 1000
    is_on = np.where((t % 1.0) < last_s, 1.0, 0.0)
    running = kb_f(kb(Spectrum(is_on * np.sin(2 * np.pi * 80 * (t % 1.0)), rate)), rate)
    return np.asarray(running[int(4 * rate) :])


def din4150_2() -> Iterator[Comparison]:
    """Yield the severities of the worked examples of DIN 4150-2 annex C."""
    for example in load("din4150_2_annex_C.json")["examples"]:
        if example["id"] not in ("C.4", "C.6"):
            continue
        rest = example.get("rest_time", [False] * len(example["hours"]))
        parts = list(zip(example["kb_ftm"], example["hours"], rest, strict=True))
        expected = example.get("kb_ftr", example.get("kb_ftr_if_formed"))
        digits = 0.0006 if "kb_ftr" in example else 0.006
        source = f"DIN 4150-2 annex {example['id']}"
        yield Comparison("KBFTr", source, expected, kb_ftr(parts), digits)


def iso8041() -> Iterator[Comparison]:
    """Yield the burst responses of ISO 8041-1 table 8, within the standard's own tolerances."""
    vector = load("iso8041_1_table8_bursts.json")
    tolerance = vector["tolerance_percent"]
    for rate in RATES_HZ:
        source = f"ISO 8041-1 table 8, at {rate:g} Hz"
        for name, rows in vector["cells"].items():
            for cycles, cells in rows.items():
                count = None if cycles == "None" else int(cycles)
                spectrum = Spectrum(_saw_tooth(count, rate), rate)
                weighted = spectrum.filtered(*weighting(name))
                ours = (
                    float(rms(weighted)),
                    float(vdv(weighted, rate)),
                    float(mtvv(weighted, rate)),
                    float(mtvv(weighted, rate, is_linear=False)),
                )
                for column, expected, value in zip(vector["columns"], cells, ours, strict=True):
                    # Half of what the standard allows: all cells are met within 2.4 %.
                    allowed = expected * min(tolerance[column] / 2, 3.0) / 100
                    quantity = f"{name} {column}, {cycles} cycles"
                    yield Comparison(quantity, source, expected, value, allowed)


def _saw_tooth(cycles: int | None, rate: float) -> Values:
    """A saw-tooth of 100 rad/s, rising through zero: steady, or in bursts 10 s apart from 1 s."""
    t = np.arange(int(60 * rate)) / rate
    period = 2 * np.pi / 100
    since = t if cycles is None else (t - 1) % 10
    phase = since / period
    values = 2 * ((phase + 0.5) % 1.0) - 1
    if cycles is not None:
        values[(phase >= cycles) | (t < 1)] = 0.0
    return np.asarray(values)


def iec61672() -> Iterator[Comparison]:
    """Yield the printed A and C weightings at low frequencies."""
    vector = load("iec61672_A_C_low.json")
    for name, weight in (("A", a_weighting), ("C", c_weighting)):
        for hz, expected in vector[name].items():
            # A nominal frequency stands for its exact mid-band.
            exact = 1000 * 10 ** (round(10 * np.log10(float(hz) / 1000)) / 10)
            gain = np.abs(weight(np.array([2j * np.pi * exact])))[0]
            ours = float(20 * np.log10(gain))
            yield Comparison(f"{name} at {hz} Hz, dB", "IEC 61672-1", expected, ours, 0.06)


def site_law() -> Iterator[Comparison]:
    """Yield a published fit, and its upper lines."""
    vector = load("site_law.json")
    law = fit_site_law(10 ** np.array(vector["x"]), 10 ** np.array(vector["y"]))
    mine, published = vector["added_here"], vector["published"]
    source = "FGBASTANTE/PPV-LAW"
    for name, ours in (("a", law.a), ("K", law.k), ("r2", law.r2)):
        expected = mine[name]
        yield Comparison(name, "scipy.stats.linregress", expected, ours, abs(expected) * 1e-6)
    yield Comparison("b", "scipy.stats.linregress", -mine["b"], law.b, 1e-6)
    yield Comparison("scatter", source, published["see_log10"], law.scatter, 1e-9)
    z = law.upper_by_shift(1.0, 0.95, is_normal=True)
    expected = mine["K_upper95_parallel_z"]
    yield Comparison("K, upper 95 % by z", source, expected, z, expected * 1e-6)
    expected = mine["K_upper95_parallel_t"]
    ours = law.upper_by_shift(1.0, 0.95)
    yield Comparison("K, upper 95 % by t", source, expected, ours, expected * 1e-6)
    for name, row in published.items():
        if not name.startswith("at_x_"):
            continue
        x = 10 ** float(name.removeprefix("at_x_"))
        for quantity, value in (
            ("median", law.median(x)),
            ("upper90_parallel", law.upper_by_shift(x, 0.9, is_normal=True)),
            ("upper90_prediction", law.upper_by_prediction(x, 0.9)),
        ):
            ours = float(np.log10(value))
            yield Comparison(f"log10 {quantity} {name}", source, row[quantity], ours, 2e-6)
    expected = mine["upper95_prediction_at_x_1.236651"]
    ours = float(np.log10(law.upper_by_prediction(10**1.236651, 0.95)))
    yield Comparison("log10 upper95_prediction", source, expected, ours, 1e-6)
    for row in load("fta_distance.json")["rows"]:
        ours = distance_of_limit(25, row["ppv_at_25ft"], row["limit"])
        yield Comparison("distance, ft", "FTA 2018, printed", row["feet"], ours, 0.5)


def printed_reports() -> Iterator[Comparison]:
    """Yield the relations that printed reports show between their own numbers."""
    for record in load("vendor_reports.json")["records"]:
        source = f"printed report of {record['serial']}"
        rate = record["sps"]
        for text in [*record["zc_hz"], record["mic_zc"]]:
            if text.startswith(">"):
                continue
            samples = round(rate / (2 * float(text)))
            ours = _zc_of(samples, rate)
            digits = 0.06 if "." in text else 0.6
            yield Comparison(f"ZC of {samples} samples, Hz", source, float(text), ours, digits)
        if "mic_pa" in record:
            ours = level_db(record["mic_pa"])
            yield Comparison("level, dB(L)", source, record["mic_db"], ours, 0.06)


def _zc_of(samples: int, rate: float) -> float | None:
    """The frequency that a half wave of so many samples gets."""
    half = np.sin(np.pi * (np.arange(samples) + 0.5) / samples)
    values = np.concatenate((-half / 2, half, -half / 2))
    found = analyse(one_channel(values, rate)).channels["Tran"]["vendor"]["zc_frequency"]
    return found.value


GROUPS: dict[str, Callable[[], Iterator[Comparison]]] = {
    "exports": vendor_exports,
    "reports": printed_reports,
    "closed": closed_forms,
    "fft": fourier,
    "response": response,
    "kb": kb_values,
    "din4150": din4150_2,
    "iso": iso8041,
    "iec": iec61672,
    "site": site_law,
}


def table(wanted: str | None) -> Iterator[str]:
    """Yield the lines of the table, of one group or of all."""
    yield "| quantity | source | expected | ours | difference |"
    yield "|---|---|---|---|---|"
    for name, rows in GROUPS.items():
        for row in rows() if wanted in (None, name) else ():
            ours = "none" if row.ours is None else f"{row.ours:.6g}"
            difference = "" if row.ours is None else f"{row.ours - row.expected:.2g}"
            mark = "" if row.passes else " FAILS"
            yield (
                f"| {row.quantity} | {row.source} | {row.expected:.6g} | {ours} "
                f"| {difference}{mark} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--group", choices=GROUPS)
    sys.stdout.writelines(f"{line}\n" for line in table(parser.parse_args().group))


if __name__ == "__main__":
    main()
