"""How reports are printed by the settings, and what their files are called."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sfm.reports.errors import ReportError
from sfm.reports.subject import Options
from sfm.reports.wish import Form, Wish

if TYPE_CHECKING:
    from sfm.settings import Settings

__all__ = ["MAX_PAGES", "check_pages", "many_name", "options_of"]

MAX_PAGES = 60
"""
Of one PDF: the typesetter needs 5 MB for each until all is written. 60 took 370 MB of memory and 3
s, 300 took 1,580 MB and 19 s. Joined afterwards they would lose their tags, and with them PDF/A-3a.
"""
MAX_LOGO_BYTES = 1024 * 1024


def check_pages(events: int) -> None:
    """
    Return if one PDF may have so many events.

    Raises:
        ReportError: it may not; says what to ask for instead.
    """
    if events > MAX_PAGES:
        raise ReportError(
            f"{events} events are too many for one PDF, which has at most {MAX_PAGES} pages: ask "
            f"for a ZIP of all (form zip), or for several PDFs of {MAX_PAGES} events each"
        )


def many_name(options: Options, form: Form) -> str:
    """Return the name of a file with the reports of many events."""
    return f"reports_{options.printed_at:%Y-%m-%dT%H-%M-%S}.{form}"


def options_of(settings: Settings, wish: Wish, now: datetime, version: str) -> Options:
    """
    Return how a report is printed, by the settings and what its reader asks for.

    Raises:
        ReportError: the logo cannot be read.
    """
    return Options(
        printed_at=(wish.printed_at or now).replace(microsecond=0),
        program_version=version,
        paper=wish.paper or settings.report_paper,
        units=wish.units or settings.report_units,
        company=settings.report_company,
        logo=None if settings.report_logo is None else _logo(Path(settings.report_logo)),
    )


def _logo(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReportError(f"the logo {path} (SFM_REPORT_LOGO): {error.strerror}") from error
    if len(data) > MAX_LOGO_BYTES:
        raise ReportError(f"the logo {path} (SFM_REPORT_LOGO) has more than 1 MB")
    return data
