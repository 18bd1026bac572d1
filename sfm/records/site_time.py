"""
Conversion of the unit's clock to UTC, by the time zone that is configured at that moment.

A unit has a clock without a zone. What is stored is that clock's time, so a zone that is set or
corrected later is right for everything that was ever recorded. The zones are in
``sfm.records.roster``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["Unknown", "instant_of", "is_credible", "utc_text"]

FIRST_YEAR = 2000
"""No unit of this kind recorded before it: an earlier time is that of a clock that lost power."""
LONGEST_LEAD = timedelta(hours=26)
"""No event is recorded later than it is read; a zone that is wrong moves it by 26 h at most."""
RELAY_FIRST_YEAR = 2026
"""The relay did not exist before: an earlier host clock was never set."""

Unknown = Literal[
    "no-unit-time",
    "no-zone",
    "damaged-zones",
    "before-2000",
    "ambiguous-hour",
    "skipped-hour",
    "after-read",
]


class Instant(NamedTuple):
    """An event's instant, UTC; where there is none, why."""

    at: datetime | None
    unknown: Unknown | None


def instant_of(
    device_time: datetime | None, zone: ZoneInfo | None, read_at: datetime | None = None
) -> Instant:
    """
    Return the instant of a unit's time.

    Args:
        device_time: by the unit's clock, without zone.
        zone: of that clock.
        read_at: when the event was read, UTC, where that is known.

    >>> instant_of(datetime(2026, 3, 1, 10), ZoneInfo("America/Denver")).at.isoformat()
    '2026-03-01T17:00:00+00:00'
    """
    if device_time is None:
        return Instant(None, "no-unit-time")
    if device_time.year < FIRST_YEAR:
        return Instant(None, "before-2000")
    if zone is None:
        return Instant(None, "no-zone")
    early, late = (device_time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    try:
        at = early.astimezone(UTC)
        if early.utcoffset() != late.utcoffset():
            came_back = at.astimezone(zone).replace(tzinfo=None)
            return Instant(None, "ambiguous-hour" if came_back == device_time else "skipped-hour")
    except OverflowError:  # a clock at the edge of the calendar
        return Instant(None, "after-read")
    if read_at is not None and at - read_at > LONGEST_LEAD:
        return Instant(None, "after-read")
    return Instant(at, None)


def is_credible(now: datetime) -> bool:
    """Whether the host's clock can be right; without a battery it starts in 1970."""
    return now.year >= RELAY_FIRST_YEAR


def utc_text(at: datetime) -> str:
    """Return an instant as it is stored: ISO 8601, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
