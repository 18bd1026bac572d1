"""
PostgreSQL's advisory locks that the relay takes, by number.

They stand in one place because two of one number exclude one another: a relay that held its own
lock could then add no entry to the audit log.
"""

from __future__ import annotations

import enum

__all__ = ["AdvisoryLock"]


@enum.unique
class AdvisoryLock(enum.IntEnum):
    """What is locked; all but ``RELAY`` are released by the commit."""

    UPGRADE = 7110111
    AUDIT = 7110112
    """For adding an entry."""
    ROSTER = 7110113
    """For changing it."""
    RELAY = 7110114
    """Held by the one live relay, for as long as its connection lives."""
    LIMITS = 7110115
    """For changing curves, confirmations and choices."""
