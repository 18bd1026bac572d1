from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typst
from kit.pdf_tools import attached_to, run_tool, text_of
from kit.reference_data import reference
from kit.report_subjects import (
    A4_MM,
    DIN,
    ENTERED,
    OPTIONS,
    RI8507,
    chosen,
    payload_of,
    subject_of,
    subjects,
)

from sfm.exports.readers import read_file
from sfm.records.digests import digest
from sfm.reports import typesetting
from sfm.reports.errors import ReportError
from sfm.reports.subject import Options, Subject
from sfm.reports.typesetting import event_report, event_reports

CASES = list(subjects())
NAMES = ("PPV", "Time (rel. to trig)")
LETTER_IN = OPTIONS


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Print an event once, and return its file."""
    folder, made = tmp_path_factory.mktemp("reports"), dict[Any, Path]()

    def print_(case: str, options: Options = LETTER_IN) -> Path:
        key = (case, options.paper, options.units)
        if key not in made:
            made[key] = folder / f"{len(made)}.pdf"
            made[key].write_bytes(event_report(subjects()[case], options))
        return made[key]

    return print_


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [
        LETTER_IN,
        replace(OPTIONS, units="metric"),
        replace(OPTIONS, paper="a4", units="imperial"),
        A4_MM,
    ],
    ids=["letter in/s", "letter mm/s", "a4 in/s", "a4 mm/s"],
)
@pytest.mark.parametrize("case", CASES)
def test_a_report_is_one_tagged_page_with_its_fonts_in_it(
    printed: Any, case: str, options: Options
) -> None:
    path = printed(case, options)
    facts = run_tool("pdfinfo", path)
    assert "Pages:           1\n" in facts
    assert "Tagged:          yes" in facts
    assert ("letter" if options.paper == "letter" else "A4") in facts
    fonts = run_tool("pdffonts", path).splitlines()[2:]
    assert fonts
    for line in fonts:
        embedded, subset, unicode = line.split()[-5:-2]
        assert (embedded, subset, unicode) == ("yes", "yes", "yes"), line
    run_tool("qpdf", "--check", path)
    units = ("mm/s", "in/s") if options.units == "metric" else ("in/s", "mm/s")
    table = text_of(path).partition("Geophones")[2].partition("Peak vector sum")[0]
    assert [unit in table for unit in units] == [True, False]
    assert b"<pdfaid:part>3</pdfaid:part>" in path.read_bytes()
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in path.read_bytes()


@pytest.mark.peer
@pytest.mark.parametrize("case", CASES)
def test_the_page_has_what_users_look_for(printed: Any, case: str) -> None:
    words = text_of(printed(case))
    for name in (
        "Event Report",
        "Date/Time",
        "Serial number",
        "Calibration",
        "Scaled distance",
        "PSPL" if case != "without microphone" else "Not recorded",
        "PPV",
        "ZC freq",
        "Time (rel. to trig)",
        "Peak acceleration",
        "Peak displacement",
        "Sensor check",
        "Peak vector sum",
        "Time scale",
        "Printed 2026-11-28 09:00:00 UTC by seismo-relay 0.1.0",
    ):
        assert name in words, name
    strips = words[words.index("\nWaveforms") :]
    order = [strips.index(f"\n{name}") for name in ("MicL", "Long", "Vert", "Tran")]
    assert order == sorted(order)


@pytest.mark.peer
def test_a_simulated_record_says_so_across_the_page(printed: Any) -> None:
    words = text_of(printed("simulated"))
    assert "SIMULATED: not a recording of a real instrument" in words
    # A letter of the mark across the page is a line of its own.
    assert words.startswith("\n".join("SIMULATED"))
    assert "\n".join("SIMULATED") not in text_of(printed("two curves"))


@pytest.mark.peer
def test_what_is_not_known_is_not_available_and_never_passed(printed: Any) -> None:
    words = text_of(printed("nothing known"))
    lines = words.splitlines()
    for name in (
        "Battery",
        "Calibration",
        "Read from the unit",
        "Sensor check",
        "Channel test",
    ):
        assert f"{name} not available" in lines
    for name in ("Reading by", "Analysed by", "Distance from blast", "Charge per delay", "Client"):
        assert f"{name} not entered" in lines
    assert "passed" not in words.lower()
    assert "not archived" in words
    assert "No limit curve was chosen" in words


@pytest.mark.peer
def test_two_curves_that_disagree_both_stand_with_mark_and_source(printed: Any) -> None:
    words = text_of(printed("two curves"))
    assert "COMPLIES" in words
    assert "EXCEEDS" in words
    assert words.count("Secondary source:") == 2
    assert "Vert 0.300 in/s at 9.3 Hz, limit 0.750 in/s: 40 % of the limit." in words


@pytest.mark.peer
def test_a_clipped_event_is_above_the_range(printed: Any) -> None:
    words = text_of(printed("clipped"))
    assert "> 10.00" in words
    assert "arrow: the motion was larger" in words
    assert "at least" in words


@pytest.mark.peer
def test_a_partial_event_says_how_much_of_it_there_is(printed: Any) -> None:
    words = text_of(printed("partial"))
    assert "PARTIAL: only the first 400 of 1280 samples were decoded" in words
    assert "N/A" in words


@pytest.mark.peer
def test_an_event_without_microphone_is_judged_by_its_geophones(printed: Any) -> None:
    words = text_of(printed("without microphone"))
    assert "COMPLIES" in words
    assert "PARTIAL" not in words


@pytest.mark.peer
def test_metric_pages_have_metric_figures(printed: Any) -> None:
    imperial, metric = text_of(printed("two curves")), text_of(printed("two curves", A4_MM))
    assert "0.413 in/s" in imperial
    assert "60.25 ft/√lb" in imperial
    assert "10.48 mm/s" in metric
    assert "27.27 m/√kg" in metric
    assert "in/s" not in metric
    assert "psi" not in metric


@pytest.mark.peer
@pytest.mark.parametrize("case", CASES)
def test_the_record_is_attached_with_its_hash(printed: Any, case: str, tmp_path: Path) -> None:
    files = attached_to(printed(case), tmp_path)
    assert set(files) == {"record.csv", "result.json"}
    subject = subjects()[case]
    hashed = digest(subject.event.payload["counts"]).hex()
    result = json.loads(files["result.json"])
    assert result["recording"]["counts_hash"] == hashed
    assert result["recording"]["id"] == subject.event.recording_id
    assert result["analysis"]["methods_version"] == 1
    assert hashed in files["record.csv"].decode()
    assert [each["curve"] for each in result["limits"]["verdicts"]] == [
        curve.id for curve, _ in subject.limits.curves
    ]
    for verdict in result["limits"]["verdicts"]:
        assert verdict["mark"]
        assert verdict["sources"]
    assert {fact["name"] for fact in result["entered"]} == set(subject.entered)


@pytest.mark.peer
def test_pictures_have_words_for_those_who_do_not_see_them(printed: Any) -> None:
    tree = run_tool("pdfinfo", "-struct-text", printed("two curves"))
    assert tree.count("Figure") >= 2
    data = printed("two curves").read_bytes()
    assert data.count(b"/Alt") >= 2


def test_equal_input_makes_equal_bytes() -> None:
    subject = subjects()["two curves"]
    first = event_report(subject, OPTIONS)
    event_report(subjects()["clipped"], A4_MM)
    typesetting._compiler.cache_clear()
    assert event_report(subjects()["two curves"], OPTIONS) == first


def test_the_file_states_no_other_time_than_that_of_the_page() -> None:
    data = event_report(subjects()["clipped"], OPTIONS)
    stated = re.findall(rb"/(?:Creation|Mod)Date ?\((.*?)\)", data)
    stated += re.findall(rb"<xmp:\w+Date>(.*?)<", data)
    assert len(stated) >= 4
    assert set(stated) == {b"D:20261128090000Z", b"2026-11-28T09:00:00Z"}


@pytest.mark.parametrize(
    "changed",
    [
        {"printed_at": OPTIONS.printed_at.replace(second=1)},
        {"program_version": "0.1.1"},
        {"units": "metric"},
        {"paper": "a4"},
        {"company": "Acme"},
    ],
    ids=lambda each: next(iter(each)),
)
def test_each_option_is_in_the_bytes(changed: dict[str, Any]) -> None:
    subject = subjects()["two curves"]
    assert event_report(subject, replace(OPTIONS, **changed)) != event_report(subject, OPTIONS)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("calibrated_on", "is_after"), [("2026-11-27", False), ("2026-11-28", True)]
)
def test_a_calibration_after_the_event_is_called_so(
    calibrated_on: str, is_after: bool, tmp_path: Path
) -> None:
    subject = replace(subjects()["clipped"], calibrated_on=calibrated_on)
    assert subject.event.payload["timestamp"].startswith("2026-11-27")
    path = tmp_path / "a.pdf"
    path.write_bytes(event_report(subject, OPTIONS))
    assert ("after this event" in text_of(path)) is is_after


@pytest.mark.peer
def test_company_and_logo_stand_on_the_page(tmp_path: Path) -> None:
    logo = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0H9V9"/></svg>'
    )
    options = replace(OPTIONS, company="Acme Blasting", logo=logo)
    path = tmp_path / "a.pdf"
    path.write_bytes(event_report(subjects()["clipped"], options))
    assert "Acme Blasting" in text_of(path)
    assert path.read_bytes().count(b"/Alt") > 2


def test_a_logo_that_is_no_image_is_refused() -> None:
    with pytest.raises(ReportError, match="could not be set"):
        event_report(subjects()["clipped"], replace(OPTIONS, logo=b"no image"))


@pytest.mark.peer
def test_texts_of_units_and_people_cannot_break_the_page(tmp_path: Path) -> None:
    nasty = '#panic("x") *b* $x$ <a> ] } \\ " 漢字 ' + "W" * 500
    payload = {**payload_of(), "project": nasty}
    entered = {
        name: replace(fact, value=nasty) for name, fact in ENTERED.items() if name == "operator"
    }
    subject = subject_of(
        payload, entered=entered, location=nasty, serial=nasty, limits=chosen(RI8507, DIN)
    )
    path = tmp_path / "a.pdf"
    path.write_bytes(event_report(subject, OPTIONS))
    assert "Pages:           1\n" in run_tool("pdfinfo", path)
    assert '#panic("x") *b* $x$' in text_of(path)


@pytest.mark.peer
def test_as_many_curves_as_a_page_may_have_fit_on_it(tmp_path: Path) -> None:
    names = (
        "din45669-annex-e",
        "fr-1994-tirs",
        "usbm-ri8507-plaster",
        "sni7571-2023-class1",
        "din4150-3-line1",
        "osmre-figure-1",
        "bs7385-2-line2",
        "npc119-airblast",
    )
    subject = replace(
        subjects()["partial"],
        limits=chosen(*names, parameters={"line": "2"}),
        entered=ENTERED,
    )
    for options in (LETTER_IN, A4_MM):
        path = tmp_path / f"{options.paper}.pdf"
        path.write_bytes(event_report(subject, options))
        assert "Pages:           1\n" in run_tool("pdfinfo", path)
        assert "Time scale" in text_of(path)


def test_more_curves_are_refused() -> None:
    with pytest.raises(ReportError, match="room for 8"):
        chosen(*[RI8507] * 9)


@pytest.mark.peer
def test_an_event_of_a_vendors_export_has_the_vendors_figures(tmp_path: Path) -> None:
    """The samples of a Blastware export, in the counts of the sensitive range."""
    import numpy as np

    exported = read_file(reference("vectors/blastware_ascii/10m.TXT").read_bytes())
    traces = exported.seismogram.traces
    scale = 0.000625 * 25.4
    counts = np.zeros((4, len(traces["Tran"].values)), np.int16)
    for row, name in enumerate(("Tran", "Vert", "Long")):
        counts[row] = np.rint(traces[name].values / scale)
    payload = payload_of(
        counts, sample_rate_hz=4096, record_time_s=3.0, pretrigger_s=0.5, geo_range_in_s=1.25
    )
    path = tmp_path / "a.pdf"
    subject = subject_of(payload, limits=chosen(RI8507))
    path.write_bytes(event_report(subject, A4_MM))
    words = text_of(path)
    rows = {
        name: line.removeprefix(name).split()
        for line in words.splitlines()
        for name in NAMES
        if line.startswith(name)
    }
    # As the export prints them; a count is 0.016 mm/s.
    printed = [float(word) for word in rows["PPV"][:3]]
    assert printed == pytest.approx([6.164, 13.36, 7.070], abs=scale)
    assert rows["Time (rel. to trig)"][:3] == ["0.045", "0.055", "0.032"]
    assert "ZC freq 29 26 20 Hz" in words.splitlines()
    # The export has no microphone; a level of nothing is none.
    assert "PSPL not available: every sample is 0" in words.splitlines()


def subject_with(payload: dict[str, Any]) -> Subject:
    return subject_of(payload)


def test_a_record_without_scale_and_rate_is_printed_as_such() -> None:
    payload = payload_of()
    payload = {
        **payload,
        "geo_range_in_s": None,
        "geo_range_source": None,
        "sample_rate_hz": None,
        "sample_rate_source": None,
    }
    assert event_report(subject_with(payload), OPTIONS)


def test_a_record_without_a_sample_is_printed_as_such() -> None:
    payload = {**payload_of(), "counts": b"", "samples": 0, "valid_samples": [0, 0, 0, 0]}
    assert event_report(subject_with(payload), OPTIONS)


def test_one_pdf_has_a_bounded_number_of_pages() -> None:
    one = (subjects()["clipped"], None)
    with pytest.raises(ReportError, match="at most 60 pages: ask for a ZIP of all"):
        event_reports([one] * 61, OPTIONS)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("options", [LETTER_IN, A4_MM], ids=["letter", "a4"])
def test_the_strips_were_drawn_for_about_the_height_that_they_get(
    case: str, options: Options
) -> None:
    sheet = typesetting._sheet(subjects()[case], options, None, "")
    inputs = {"pages": json.dumps([sheet.page]), "logo": "[]"}
    inputs |= {"csv-0": sheet.csv, "result-0": sheet.result}
    compiler = typst.Compiler(
        typesetting.FOLDER / "event_report.typ",
        font_paths=[typesetting.FOLDER / "fonts"],
        ignore_system_fonts=True,
        sys_inputs=inputs,
    )
    [height] = json.loads(compiler.query("<strips-height>", field="value"))
    assert sheet.page["strips"]["height"] == pytest.approx(height, rel=0.1)
