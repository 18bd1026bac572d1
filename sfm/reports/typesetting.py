"""
From an event to a PDF.

The same subject and options give the same bytes: time and version are arguments, fonts come with
the package, none of the machine's are used, and nothing is read while the page is set.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sfm.analysis import Analysis
from sfm.analysis.verdicts import CurveVerdict
from sfm.exports.event import Style, file_name
from sfm.exports.tidy_csv import csv_bytes
from sfm.records.analysed import analyse_payload, seismogram_of
from sfm.reports.charts import labelled_svg
from sfm.reports.errors import NoTypesetterError, ReportError
from sfm.reports.evidence import result_json
from sfm.reports.judging import verdicts_of
from sfm.reports.page import build_page, instrument_rows
from sfm.reports.printing import check_pages
from sfm.reports.subject import Options, Subject

if TYPE_CHECKING:
    import typst

__all__ = [
    "FOLDER",
    "MAX_ATTACHED_BYTES",
    "STANDARD",
    "add_report",
    "event_chart",
    "event_report",
    "event_reports",
    "file_stem",
    "write_reports",
]

FOLDER = Path(__file__).parent
MAX_ATTACHED_BYTES = 64 * 1024 * 1024
"""Of the records in one PDF, which is made in memory."""
STANDARD: Final = "a-3a"
"""PDF/A-3a: archivable, tagged, with files attached; declared by typst, which checks it."""


def event_report(
    subject: Subject, options: Options, stored: Mapping[str, Any] | None = None
) -> bytes:
    """
    Return the report of one event as PDF/A-3a with ``record.csv`` and ``result.json`` attached.

    Args:
        subject: the event.
        options: how it is printed.
        stored: its results (``Analysis.payload``), where they were computed before.

    Raises:
        NoTypesetterError: the extra ``report`` is not installed.
        ReportError: the page could not be set, such as with a logo that is no image.
    """
    return _set([_sheet(subject, options, stored, "")], options)


def event_chart(
    subject: Subject, options: Options, stored: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Return the report's chart of peak velocity by frequency, for a screen; needs no typesetter.

    Returns:
        The event's ``waveform_key`` and ``timestamp``; ``svg``, ``alt`` (it in words), ``curves``
        (their titles in the order of their dashes), ``note`` (what the marks mean, if it is not the
        usual), and the report's ``verdicts``, each with its printed words; ``no_verdict`` says why
        there is none. ``instrument`` has the report's rows of the unit, name and value each.
    """
    payload = subject.event.payload
    analysis, verdicts = _judged(subject, stored)
    page = build_page(subject, options, analysis, seismogram_of(payload), verdicts)
    chart, words = page["chart"], page["verdict"]
    printed = ("title", "detail", "source", "other")
    return {
        "waveform_key": payload["waveform_key"],
        "timestamp": payload["timestamp"],
        "svg": labelled_svg(chart["svg"], chart["labels"]),
        "alt": chart["alt"],
        "curves": [{"dash": dash, "title": title} for dash, title in chart["legend"]],
        "note": chart["marks"],
        "verdicts": [
            each.brief() | {name: found[name] for name in printed}
            for each, found in zip(verdicts, words["curves"], strict=True)
        ],
        "no_verdict": words["none"],
        "instrument": [{"name": name, "value": value} for name, value in instrument_rows(page)],
    }


def event_reports(
    subjects: Sequence[tuple[Subject, Mapping[str, Any] | None]], options: Options
) -> bytes:
    """
    Return the reports of several events as one PDF, a page for each, in the order given.

    Args:
        subjects: each with its results, where they were computed before.
        options: how they are printed.

    Raises:
        NoTypesetterError, ReportError: as ``event_report``; or together they are too large.
    """
    check_pages(len(subjects))
    sheets = []
    size = 0
    for number, (subject, stored) in enumerate(subjects, 1):
        sheets.append(_sheet(subject, options, stored, f"{number:03}_{file_stem(subject)}."))
        size += len(sheets[-1].csv)
        if size > MAX_ATTACHED_BYTES:
            raise ReportError(
                f"the records of these events take more than {MAX_ATTACHED_BYTES >> 20} MB; ask "
                "for fewer events, or for a ZIP"
            )
    return _set(sheets, options)


class _Sheet(NamedTuple):
    """One event's page, and what is attached for it."""

    page: dict[str, Any]
    csv: str
    result: str


def _sheet(
    subject: Subject, options: Options, stored: Mapping[str, Any] | None, prefix: str
) -> _Sheet:
    seismogram = seismogram_of(subject.event.payload)
    analysis, verdicts = _judged(subject, stored)
    return _Sheet(
        build_page(subject, options, analysis, seismogram, verdicts, prefix),
        csv_bytes(subject.event, Style(units=options.units)).decode(),
        result_json(subject, options, analysis, verdicts).decode(),
    )


def _judged(
    subject: Subject, stored: Mapping[str, Any] | None
) -> tuple[Analysis, list[CurveVerdict]]:
    """Return the results of an event, and its verdicts by the chosen curves."""
    payload = subject.event.payload
    analysis = analyse_payload(payload) if stored is None else Analysis.from_payload(stored)
    return analysis, verdicts_of(stored or analysis.payload(), payload, subject.limits)


def _set(sheets: Sequence[_Sheet], options: Options) -> bytes:
    compiler = _compiler()
    inputs = {
        "pages": json.dumps([sheet.page for sheet in sheets]),
        "logo": json.dumps([] if options.logo is None else list(options.logo)),
    }
    for number, sheet in enumerate(sheets):
        inputs[f"csv-{number}"], inputs[f"result-{number}"] = sheet.csv, sheet.result
    import typst

    try:
        made = compiler.compile(
            _template(),
            format="pdf",
            sys_inputs=inputs,
            pdf_standards=[STANDARD],
        )
    except typst.TypstError as error:
        raise ReportError(f"the report could not be set: {error.message}") from error
    assert isinstance(made, bytes)
    return made


def write_reports(
    path: Path, subjects: Sequence[tuple[Subject, Mapping[str, Any] | None]], options: Options
) -> None:
    """Write the reports of several events as one PDF; raises as ``event_reports``."""
    path.write_bytes(event_reports(subjects, options))


def add_report(
    path: Path,
    number: int,
    subject: Subject,
    options: Options,
    stored: Mapping[str, Any] | None = None,
) -> None:
    """
    Add the report of one event to a ZIP, which is made if it is not there.

    The entry has the page's time, so that equal reports make equal files.

    Args:
        path: of the ZIP.
        number: of the event in it, from 1.
        subject, options, stored: as of ``event_report``.
    """
    entry = zipfile.ZipInfo(
        f"{number:03}_{file_stem(subject)}.pdf", options.printed_at.timetuple()[:6]
    )
    data = event_report(subject, options, stored)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(entry, data)


def file_stem(subject: Subject) -> str:
    """Return the name of an event's report without its ending: serial number, time and key."""
    event = subject.event
    name = file_name(event.payload, "pdf", serial=event.serial, is_simulated=event.is_simulated)
    return name.removesuffix(".pdf")


@lru_cache(maxsize=1)
def _compiler() -> typst.Compiler:
    """Return the typesetter with template and fonts; it is kept for the next report."""
    try:
        import typst
    except ImportError:
        raise NoTypesetterError(
            "reports need the extra report: pip install 'seismo-relay[report]'"
        ) from None
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[FOLDER / "fonts"]
    )
    if not fonts.families():
        raise ReportError(f"the fonts of reports are missing in {FOLDER / 'fonts'}; reinstall")
    return typst.Compiler(root=FOLDER, font_paths=fonts)


@lru_cache(maxsize=1)
def _template() -> bytes:
    return (FOLDER / "event_report.typ").read_bytes()
