"""
The page of a report: every word and chart of it, as the template takes it.

``build_page`` decides what is printed; ``event_report.typ`` decides where. What is not known is
printed as not available, and what no person entered as not entered: neither is ever left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from sfm.analysis import Analysis, Figure, Seismogram
from sfm.analysis.limits import SOUND_UNITS, Curve, NoLimit, limit_at
from sfm.analysis.results import BAND_NOTE
from sfm.analysis.seismogram import GEOPHONES, MAX_MISSING, MICROPHONE
from sfm.analysis.units_of_measure import factor, quantity_of, unit_in
from sfm.analysis.verdicts import CurveVerdict, Verdict
from sfm.records.entered_facts import EnteredFact
from sfm.reports.attached import RECORD, RESULT
from sfm.reports.charts import (
    Line,
    Mark,
    Span,
    Strip,
    compliance_chart,
    division,
    strips_chart,
)
from sfm.reports.glyphs import showable
from sfm.reports.subject import Options, Subject
from sfm.reports.words import (
    Footnotes,
    Texts,
    frequency_words,
    number_words,
    printable,
    value_words,
)

__all__ = ["build_page", "instrument_rows"]

WIDTH_PT = {"letter": 544.0, "a4": 527.0}
"""Between the margins of the template."""
CHART_PT = (262.0, 224.0)
STRIPS_PT = {"letter": 341.0, "a4": 391.0}
"""Height that is left for the strips where nothing else is printed; see ``_strips_height``."""
WARNING_PT, CURVE_PT, LINE_PT = 12.0, 20.0, 8.6
"""What a warning, a verdict and a line of statements take of it."""
STRIPS_LEAST_PT = 80.0
MANY_CURVES = 3
"""With more, sources take one line each, and the strips are lower."""
LINE_CHARACTERS = 150
MAX_STATEMENT_LINES = 9
ORDER = ("MicL", "Long", "Vert", "Tran")
"""Of the strips, from the top."""
DASHES = ("", "5 2.5", "1.5 2", "7 2 1.5 2")
M_PER_FT, KG_PER_LB = 0.3048, 0.45359237


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    """What every part of the page needs."""

    subject: Subject
    options: Options
    analysis: Analysis
    """In the page's units of measure."""
    seismogram: Seismogram
    verdicts: list[CurveVerdict]
    texts: Texts
    footnotes: Footnotes

    @property
    def velocity_unit(self) -> str:
        return unit_in(self.options.units, "in/s")

    @property
    def pressure_unit(self) -> str:
        return unit_in(self.options.units, "psi")

    def channels(self) -> list[str]:
        """Return the geophones of which there are figures."""
        return [name for name in GEOPHONES if name in self.analysis.channels]

    def figure(self, channel: str, name: str) -> Figure:
        return self.analysis.channels[channel][self.subject.limits.results][name]


def build_page(
    subject: Subject,
    options: Options,
    analysis: Analysis,
    seismogram: Seismogram,
    verdicts: list[CurveVerdict],
    prefix: str = "",
) -> dict[str, Any]:
    """
    Return the page as plain values.

    Args:
        subject: the event.
        options: how it is printed.
        analysis: of the event, in any units of measure.
        seismogram: of the event, for the strips.
        verdicts: by the chosen curves.
        prefix: of the attached files' names.
    """
    shown = analysis.in_system(options.units)
    c = _Context(
        subject, options, shown, seismogram, verdicts, Texts(options.language), Footnotes()
    )
    event = subject.event
    table = _table(c)
    microphone = _microphone(c)
    marks, unplaced = _marks(c)
    verdict = _verdict(c)
    # No weighted figure is printed, so the note on those is not either.
    notes = [printable(note, 400) for note in shown.notes if note != BAND_NOTE]
    statements, more = _fitting([*c.footnotes.lines(), *notes, *_statements(verdicts)], verdict)
    warnings = _warnings(c)
    height = _strips_height(options, statements, len(verdict["curves"]), len(warnings))
    page = {
        "language": options.language,
        "paper": "us-letter" if options.paper == "letter" else "a4",
        "simulated": event.is_simulated,
        "document": c.texts(
            "page.document", serial=printable(event.serial or "?"), time=_event_time(c)
        ),
        "warnings": warnings,
        "logo_alt": c.texts("page.logo"),
        "company": None if options.company is None else printable(options.company),
        "has_logo": options.logo is not None,
        "printed": _moment_list(options.printed_at),
        "texts": _template_texts(c.texts),
        "head": _head(c),
        "notes": _notes(c),
        "microphone": microphone,
        "table": table,
        "chart": _chart(c, marks, unplaced),
        "verdict": verdict,
        "statements": statements + ([] if not more else [c.texts("verdict.more", count=more)]),
        "strips": _strips(c, height),
        "files": {"csv": f"{prefix}{RECORD}", "json": f"{prefix}{RESULT}"},
        "foot": _foot(c, prefix),
    }
    shown_page: dict[str, Any] = showable(page)
    return shown_page


TEMPLATE_TEXTS = (
    "page.title",
    "page.simulated",
    "notes.title",
    "mic.title",
    "table.title",
    "chart.title",
    "verdict.title",
    "strips.title",
    "attachments.csv",
    "attachments.json",
)


def _template_texts(texts: Texts) -> dict[str, str]:
    return {name.replace(".", "_"): texts(name) for name in TEMPLATE_TEXTS}


def _moment_list(at: datetime) -> list[int]:
    return [at.year, at.month, at.day, at.hour, at.minute, at.second]


# --- the head ------------------------------------------------------------------------------------


def _event_time(c: _Context) -> str:
    at = c.subject.event.payload["timestamp"]
    if at is None:
        return c.texts("values.unknown_time")
    return c.texts.moment(datetime.fromisoformat(at))


def _warnings(c: _Context) -> list[str]:
    """Return what makes this less than a whole recording of a real unit."""
    t, payload = c.texts, c.subject.event.payload
    found = [t("page.simulated_words")] if c.subject.event.is_simulated else []
    recorded = max(payload["samples"], payload["announced_samples"] or 0)
    if c.analysis.samples < recorded - MAX_MISSING:
        found.append(t("page.partial", valid=c.analysis.samples, all=recorded))
    return found


def instrument_rows(page: Mapping[str, Any]) -> list[list[str]]:
    """Return serial number and firmware, battery and calibration of a page: name and value each."""
    rows: list[list[str]] = page["head"]["right"][:3]
    return rows


def _head(c: _Context) -> dict[str, list[list[str]]]:
    """Return the rows of the two columns: name and value."""
    t, event, payload = c.texts, c.subject.event, c.subject.event.payload
    zone = t("values.in_zone", zone=event.zone) if event.zone else t("values.by_unit_clock")
    is_triggered = payload["pretrigger_samples"] > 0
    firmware = " ".join(printable(each) for each in (c.subject.firmware, c.subject.model) if each)
    read = t.not_available
    if event.read_at is not None:
        read = t("head.read_value", time=t.moment(datetime.fromisoformat(event.read_at)))
    left = {
        "time": f"{_event_time(c)} ({zone})",
        "trigger": t("head.triggered" if is_triggered else "head.not_triggered"),
        "range": _range(c),
        "record_time": _record_time(c),
        "operator": _person(c, "operator", "operator_firm"),
        "analyst": _person(c, "analyst", "analyst_firm"),
    }
    right = {  # begins with what ``instrument_rows`` returns
        "serial": " ".join((printable(event.serial or t.not_available), firmware)).strip(),
        "battery": t.not_available,
        "calibration": _calibration(c),
        "file": _recording(c),
        "read": read,
        "distance": _entered_number(c, "distance_m"),
        "charge": _entered_number(c, "charge_kg"),
        "scaled_distance": _scaled_distance(c),
    }
    return {
        "left": [[t(f"head.{name}"), value] for name, value in left.items()],
        "right": [[t(f"head.{name}"), value] for name, value in right.items()],
    }


def _range(c: _Context) -> str:
    payload = c.subject.event.payload
    if payload["geo_range_in_s"] is None:
        return c.texts.not_available
    value = payload["geo_range_in_s"] * factor("in/s", c.velocity_unit)
    words = c.texts("head.range_value", range=f"{number_words(round(value, 2))} {c.velocity_unit}")
    if payload["geo_range_source"] == "setup":
        return c.texts("values.of_setup", value=words)
    return words


def _record_time(c: _Context) -> str:
    payload, t = c.subject.event.payload, c.texts
    rate, before = payload["sample_rate_hz"], payload["pretrigger_samples"]
    recorded = max(payload["samples"], payload["announced_samples"] or 0)
    if rate is None:
        return t("head.record_time_samples", samples=recorded)
    words = t(
        "head.record_time_value",
        record=f"{(recorded - before) / rate:.4g}",
        before=f"{before / rate:.3g}",
        rate=f"{rate:,}",
    )
    if payload["sample_rate_source"] == "setup":
        return t("values.of_setup", value=words)
    return words


def _person(c: _Context, name: str, firm: str) -> str:
    found = [c.subject.entered[each] for each in (name, firm) if each in c.subject.entered]
    if not found:
        return c.texts("values.not_entered")
    return printable(", ".join(str(fact.value) for fact in found), 90)


def _fact(c: _Context, name: str) -> EnteredFact | None:
    return c.subject.entered.get(name)


def _calibration(c: _Context) -> str:
    t, by = c.texts, _fact(c, "calibrated_by")
    if c.subject.calibrated_on is None and by is None:
        return t.not_available
    on = c.subject.calibrated_on
    day = t.not_available
    if on is not None:
        day = t.date(datetime.fromisoformat(on).date())
        day = t("values.entered", value=day) if c.subject.calibration_is_entered else day
        event_time = c.subject.event.payload["timestamp"]
        if event_time is not None and event_time < on:
            # The last one is known; what was valid at the event is not.
            day = t("head.calibrated_after", date=day)
    who = t.not_available if by is None else t("values.entered", value=printable(by.value, 40))
    return t("head.calibration_value", date=day, by=who)


def _recording(c: _Context) -> str:
    event = c.subject.event
    archived = (
        c.texts("page.not_archived") if event.recording_id is None else event.recording_id[:16]
    )
    return f"{event.payload['waveform_key']}, {archived}"


def _entered_number(c: _Context, name: str) -> str:
    fact = _fact(c, name)
    if fact is None:
        return c.texts("values.not_entered")
    metric = float(str(fact.value))
    length, mass = f"{metric:g} m", f"{metric:g} kg"
    if c.options.units == "imperial":
        length, mass = f"{metric / M_PER_FT:.4g} ft", f"{metric / KG_PER_LB:.4g} lb"
    return length if name == "distance_m" else mass


def _scaled_distance(c: _Context) -> str:
    """Return distance over the square root of the charge, as blasters in the United States do."""
    distance, charge = _fact(c, "distance_m"), _fact(c, "charge_kg")
    if distance is None or charge is None:
        return c.texts("values.not_entered")
    d, w = float(str(distance.value)), float(str(charge.value))
    if c.options.units == "imperial":
        return f"{d / M_PER_FT / (w / KG_PER_LB) ** 0.5:.4g} ft/√lb"
    return f"{d / w**0.5:.4g} m/√kg"


def _notes(c: _Context) -> list[list[str]]:
    """Return the four notes; the place by the roster and the project by the unit are marked so."""
    t, subject = c.texts, c.subject

    def entered(name: str) -> str | None:
        fact = _fact(c, name)
        return None if fact is None else printable(fact.value)

    place = None if subject.location is None else printable(subject.location)
    if place is not None and subject.latitude is not None and subject.longitude is not None:
        place = f"{place} ({subject.latitude:.5f}, {subject.longitude:.5f})"
    project = subject.event.payload["project"]
    values = {
        "location": entered("place") or place,
        "client": entered("client"),
        "user": entered("user"),
        "general": entered("general") or (None if not project else printable(project)),
    }
    return [
        [t(f"notes.{name}"), value or t("values.not_entered")] for name, value in values.items()
    ]


# --- figures -------------------------------------------------------------------------------------


def _table(c: _Context) -> dict[str, Any]:
    """Return the geophones' figures: a row for each quantity, a column for each axis."""
    t, channels = c.texts, c.channels()
    displacement = 5 if c.options.units == "imperial" else 3
    quantities = (
        ("ppv", c.velocity_unit, 3),
        ("frequency", "Hz", 0),
        ("time", "s", 3),
        ("acceleration", "g", 3),
        ("displacement", unit_in(c.options.units, "in"), displacement),
    )
    names = {
        "ppv": "ppv",
        "frequency": "zc_frequency",
        "time": "time_of_peak",
        "acceleration": "peak_acceleration",
        "displacement": "peak_displacement",
    }
    rows = []
    for name, unit, decimals in quantities:
        figures = [c.figure(channel, names[name]) for channel in channels]
        cells = [
            [
                frequency_words(figure, t)
                if name == "frequency"
                else value_words(figure, t, decimals),
                c.footnotes.of(figure),
            ]
            for figure in figures
        ]
        rows.append([t(f"table.{name}"), cells, unit])
    steps = [c.figure(channel, "ppv").step for channel in channels]
    rows.append(
        [
            t("table.step"),
            [[t.not_available if s is None else f"{s:.3g}", ""] for s in steps],
            c.velocity_unit,
        ]
    )
    offsets = [c.analysis.channels[channel]["offset"]["offset"] for channel in channels]
    rows.append(
        [
            t("table.offset"),
            [
                [
                    t.not_available if o.value is None else f"{round(o.value, 4) + 0.0:.4f}",
                    c.footnotes.of(o),
                ]
                for o in offsets
            ],
            c.velocity_unit,
        ]
    )
    check = _fact(c, "sensor_check")
    words = (
        t.not_available if check is None else t("values.entered", value=printable(check.value, 40))
    )
    results = c.subject.limits.results
    pvs, pvs_time = c.analysis.pvs[results], c.analysis.pvs_time[results]
    number = c.footnotes.of(pvs)
    return {
        "channels": channels,
        "quantity": t("table.quantity"),
        "rows": rows,
        "check": [t("table.check"), words],
        "pvs": [
            t("table.pvs"),
            t(
                "table.pvs_value",
                value=value_words(pvs, t, unit=True),
                time=value_words(pvs_time, t, unit=True),
            )
            if pvs.value is not None or pvs.limit is not None
            else t.not_available,
            number,
        ],
        "methods": t("table.methods", results=results, method=pvs.method),
    }


def _microphone(c: _Context) -> dict[str, Any]:
    t = c.texts
    test = [t("mic.test"), t.not_available, ""]
    if not _is_heard(c):
        return {"words": t("mic.absent"), "rows": [test]}
    figures = c.analysis.channels[MICROPHONE][c.subject.limits.results]
    level, pressure = figures["level"], figures["peak_pressure"]
    decimals = 6 if c.options.units == "imperial" else 3
    pspl = t(
        "mic.pspl_value",
        level=_level_words(level, t),
        pressure=value_words(pressure, t, decimals, unit=True),
        time=value_words(figures["time_of_peak"], t, unit=True),
    )
    frequency = figures["zc_frequency"]
    if not _largest(c.seismogram.traces[MICROPHONE].values):
        return {
            "words": t("mic.weighting"),
            "rows": [[t("mic.pspl"), t("mic.silent"), ""], test],
        }
    return {
        "words": t("mic.weighting"),
        "rows": [
            [t("mic.pspl"), pspl, c.footnotes.of(pressure)],
            [
                t("mic.frequency"),
                frequency_words(frequency, t, unit=True),
                c.footnotes.of(frequency),
            ],
            test,
        ],
    }


def _is_heard(c: _Context) -> bool:
    trace = c.seismogram.traces.get(MICROPHONE)
    return trace is not None and len(trace.values) > 0


def _level_words(level: Figure, t: Texts) -> str:
    if level.value is not None:
        return f"{level.value:.1f} {level.unit}"
    return t.not_available if level.limit is None else f"> {level.limit:.1f} {level.unit}"


# --- the chart -----------------------------------------------------------------------------------


def _marks(c: _Context) -> tuple[list[Mark], list[str]]:
    """Return a mark for each axis, and the axes that have none."""
    marks, unplaced = [], []
    results = c.subject.limits.results
    differs = any(each.other is not None for each in c.verdicts)
    other = "refined" if results == "vendor" else "vendor"
    for channel in c.channels():
        for name in (results, other) if differs else (results,):
            figures = c.analysis.channels[channel][name]
            ppv, hz = figures["ppv"], figures["zc_frequency"]
            value = ppv.limit if ppv.value is None else ppv.value
            if value is None or hz.value is None:
                if name == results:
                    unplaced.append(channel)
                continue
            marks.append(
                Mark(channel, hz.value, value, ppv.value is None, is_other=name != results)
            )
    return marks, unplaced


def _curve_line(curve: Curve, c: _Context, dash: str) -> Line | None:
    """Return a curve in the chart's unit of measure; ``None``: it is not one of frequency."""
    if curve.unit in SOUND_UNITS or curve.applies_to == "microphone":
        return None
    if quantity_of(curve.compared_unit) != "velocity" if _is_unit(curve.compared_unit) else True:
        return None
    by = factor(curve.compared_unit, c.velocity_unit)
    grid = np.geomspace(1.0, 100.0, 241).tolist()
    corners = getattr(curve.shape, "corners_hz", ())
    # Both sides of each corner: a step is drawn upright.
    near = [hz * side for hz in corners for side in (1 - 1e-6, 1.0, 1 + 1e-6)]
    parts: list[list[tuple[float, float]]] = [[]]
    for hz in sorted({*grid, *(each for each in near if 1.0 <= each <= 100.0)}):
        found = limit_at(curve, hz, c.subject.limits.parameters)
        if isinstance(found, NoLimit):
            parts.append([])
        else:
            parts[-1].append((hz, found.compared * by))
    return Line(tuple(tuple(part) for part in parts if len(part) > 1), dash)


def _is_unit(unit: str) -> bool:
    try:
        return bool(quantity_of(unit))
    except ValueError:
        return False


def _chart(c: _Context, marks: list[Mark], unplaced: list[str]) -> dict[str, Any]:
    t = c.texts
    lines, legend = [], []
    for number, each in enumerate(c.verdicts):
        dash = DASHES[number % len(DASHES)]
        line = _curve_line(each.curve, c, dash)
        if line is not None and line.parts:
            lines.append(line)
            legend.append([dash.split(), _curve_words(each.curve)])
    drawn = compliance_chart(
        *CHART_PT, lines, marks, x_words=t("chart.x"), y_words=t("chart.y", unit=c.velocity_unit)
    )
    words = []
    if any(mark.is_other for mark in marks):
        other = "refined" if c.subject.limits.results == "vendor" else "vendor"
        words.append(t("chart.other_marks", results=other))
    if any(mark.is_at_least for mark in marks):
        words.append(t("chart.over_range"))
    if unplaced:
        words.append(t("chart.unplaced", channels=", ".join(unplaced)))
    described = [
        t(
            "chart.alt_mark",
            channel=channel,
            value=value_words(c.figure(channel, "ppv"), t, unit=True),
            frequency=frequency_words(c.figure(channel, "zc_frequency"), t, unit=True),
        )
        for channel in c.channels()
    ]
    titles = [t("chart.alt_curve", title=words) for _, words in legend]
    return {
        **drawn.payload(),
        "marks": "     ".join(words),
        "legend": legend,
        "alt": t(
            "chart.alt",
            unit=c.velocity_unit,
            marks=" ".join(described),
            curves=" ".join(titles or [t("chart.alt_none")]),
        ),
    }


def _curve_words(curve: Curve) -> str:
    return printable(curve.title, 110)


# --- the verdict ---------------------------------------------------------------------------------


def _verdict(c: _Context) -> dict[str, Any]:
    t, limits = c.texts, c.subject.limits
    if not c.verdicts:
        return {"curves": [], "none": limits.reason or t("verdict.none"), "chosen": ""}
    chosen = ""
    if limits.by is not None:
        chosen = t("verdict.chosen", by=t(f"chosen_by.{limits.by}"), results=limits.results)
    return {"curves": [_curve(c, each) for each in c.verdicts], "none": "", "chosen": chosen}


def _curve(c: _Context, each: CurveVerdict) -> dict[str, Any]:
    t, curve, verdict = c.texts, each.curve, each.verdict
    found = {
        "outcome": verdict.outcome,
        "word": t(f"verdict.{verdict.outcome}"),
        "title": _curve_words(curve),
        "detail": _detail(c, verdict, curve),
        "source": t(
            "verdict.source",
            mark=t(f"marks.{curve.mark}"),
            sources=printable(
                "; ".join(curve.sources), 260 if len(c.verdicts) <= MANY_CURVES else 120
            ),
        ),
        "other": "",
    }
    if each.other is not None:
        found["other"] = t(
            "verdict.other",
            results=each.other.results,
            outcome=t(f"verdict.{each.other.outcome}"),
            share=_share_words(each.other, t),
        )
    return found


def _share_words(verdict: Verdict, t: Texts) -> str:
    if verdict.share is None:
        return t.not_available
    bound = t("verdict.at_least") if verdict.bound else ""
    percent = 100 * verdict.share
    return f"{bound}{percent:.0f} %" if percent >= 100 else f"{bound}{percent:.2g} %"


def _detail(c: _Context, verdict: Verdict, curve: Curve) -> str:
    """Return peak, frequency, limit and share of the axis that decides, or why there is none."""
    t = c.texts
    words = ""
    if verdict.peak is not None and verdict.limit is not None:
        is_level = curve.unit in SOUND_UNITS
        if is_level:
            peak, limit = _level_words(verdict.peak, t), f"{verdict.limit:g} {curve.unit}"
        elif _is_unit(curve.compared_unit):
            peak = value_words(verdict.peak.in_system(c.options.units), t, unit=True)
            value = verdict.limit * factor(curve.compared_unit, c.velocity_unit)
            limit = f"{number_words(value)} {c.velocity_unit}"
        else:
            peak, limit = value_words(verdict.peak, t, unit=True), f"{verdict.limit:.3g}"
        name = "verdict.decides_without" if verdict.frequency is None else "verdict.decides"
        words = t(
            name,
            channel=verdict.channel,
            peak=peak,
            frequency=frequency_words(verdict.frequency, t, unit=True),
            limit=limit,
            share=_share_words(verdict, t),
        )
    if verdict.reason is not None:
        detail = verdict.reason.detail
        reason = f"{detail[:1].upper()}{detail[1:]}."
        return f"{reason} {words}".strip()
    return f"{words}."


def _statements(verdicts: list[CurveVerdict]) -> list[str]:
    found = [printable(each, 400) for one in verdicts for each in one.verdict.statements]
    return list(dict.fromkeys(found))


def _lines(text: str) -> int:
    return -(-len(text) // LINE_CHARACTERS)


def _fitting(statements: list[str], verdict: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the statements that the page has room for, and how many are left out."""
    room = max(MAX_STATEMENT_LINES - max(0, len(verdict["curves"]) - 2) * 2, 2)
    found: list[str] = []
    for number, each in enumerate(statements):
        room -= _lines(each)
        if room < 0:
            return found, len(statements) - number
        found.append(each)
    return found, 0


def _strips_height(options: Options, statements: list[str], curves: int, warnings: int) -> float:
    """
    Return about the height that the page leaves for the strips, in points.

    The template fits them into what is left exactly; drawn for that height their texts keep form.
    """
    lines = sum(_lines(each) for each in statements)
    taken = warnings * WARNING_PT + curves * CURVE_PT + lines * LINE_PT
    return max(STRIPS_PT[options.paper] - taken, STRIPS_LEAST_PT)


# --- the strips ----------------------------------------------------------------------------------


def _strips(c: _Context, height: float) -> dict[str, Any]:
    t, s = c.texts, c.seismogram
    geo = [s.traces[name] for name in GEOPHONES if name in s.traces]
    is_scaled = all(trace.is_scaled for trace in geo)
    geo_by = factor(geo[0].unit, c.velocity_unit) if geo and is_scaled else 1.0
    geo_largest = max((_largest(trace.values) for trace in geo), default=0.0) * geo_by
    geo_division = division(geo_largest)
    mic = s.traces.get(MICROPHONE)
    mic_by = 1.0 if mic is None else factor(mic.unit, c.pressure_unit)
    mic_division = division(0.0 if mic is None else _largest(mic.values) * mic_by)
    samples = max((len(trace.values) for trace in s.traces.values()), default=0)
    velocity = c.velocity_unit if is_scaled else ""
    strips, described = [], []
    for name in ORDER:
        trace = s.traces.get(name)
        if trace is None or not len(trace.values):
            strips.append(Strip(name, None, 1.0, t("strips.absent")))
            described.append(t("strips.alt_absent", channel=name, words=t("strips.absent")))
            continue
        by, per = (mic_by, mic_division) if name == MICROPHONE else (geo_by, geo_division)
        values = trace.values * by
        peak_at = int(np.abs(values).argmax())
        largest = abs(float(values[peak_at]))
        words = f"{largest:.3g} {c.pressure_unit if name == MICROPHONE else velocity}"
        strips.append(Strip(name, values, per, peak_at=peak_at if largest else None, end=words))
        described.append(t("strips.alt_channel", channel=name, peak=words))
    span = None
    if s.rate_hz is not None and samples:
        before = (s.pretrigger_samples or 0) / s.rate_hz
        span = Span(
            start_s=-before,
            rate_hz=s.rate_hz,
            samples=samples,
            has_trigger=bool(s.pretrigger_samples),
            division_s=division(samples / s.rate_hz, 12),
        )
    if span is None:
        axis = t("strips.x_samples")
    else:
        axis = t("strips.x" if span.has_trigger else "strips.x_start")
    geo_unit = c.velocity_unit if is_scaled else t("strips.scale_counts")
    scale = t(
        "strips.scale",
        time=t.not_available if span is None else f"{span.division_s:g}",
        geo=f"{geo_division:g} {geo_unit}",
        mic=t.not_available if not _is_heard(c) else f"{mic_division:g} {c.pressure_unit}/div",
    )
    drawn = strips_chart(
        WIDTH_PT[c.options.paper],
        height,
        strips,
        span,
        x_words=axis,
        trigger_words=t("strips.trigger"),
    )
    return {
        **drawn.payload(),
        "scale": scale,
        "alt": t("strips.alt", channels=" ".join(described), scale=scale),
    }


def _largest(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.abs(values).max()) if len(values) else 0.0


def _foot(c: _Context, prefix: str) -> dict[str, str]:
    t, event = c.texts, c.subject.event
    recording = (
        t("page.not_archived")
        if event.recording_id is None
        else t("page.recording", id=event.recording_id)
    )
    return {
        "printed": t(
            "page.printed",
            time=f"{c.options.printed_at:%Y-%m-%d %H:%M:%S}",
            version=c.options.program_version,
        ),
        "recording": recording,
        "attached": t("page.attached", names=f"{prefix}{RECORD}, {prefix}{RESULT}"),
    }
