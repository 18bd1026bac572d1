"""
How fresh a reader wants an answer, and whether the cached value is fresh enough. Pure.

The rule: a cached value may be served when it is no older than the reader allows, and no older than
its resource allows. Age is the time since the read began, or since a later probe proved that the
value is still true.

==================  ===================================  ====================================
resource            reader states no limit               with ``max_age_s``
==================  ===================================  ====================================
info                any age, until settings are written  up to that age
monitor status      less than 30 s                       up to that age, and less than 30 s
event list, event   never without a probe                up to that age since the last proof
waveform            proven within ``validated_s``, 30 s  up to that age since the last proof
==================  ===================================  ====================================

``force`` accepts no cached value. ``only_if_cached`` accepts one of any age, states its age, and
reads nothing from the unit; an expired status counts as absent. ``stale_if_error_s`` accepts a
cached value up to that age when the unit could not be read; a forced read never does.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ANY", "FORCED", "Freshness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What a reader accepts."""

    force: bool = False
    """Only a device read that begins after the request."""
    max_age_s: float | None = None
    """Largest accepted age; ``None``: as the resource allows."""
    only_if_cached: bool = False
    """Do not read the unit."""
    stale_if_error_s: float | None = None
    """Largest accepted age when the unit cannot be read; ``None``: none is accepted."""

    def accepts(self, age_s: float, allowed_s: float) -> bool:
        """
        Return whether a value of that age is accepted, if its resource allows ``allowed_s``.

        At exactly ``max_age_s`` it still is (RFC 9111, 5.2.1.1: unwilling if age is greater).

        >>> Freshness(max_age_s=10).accepts(10.0, math.inf), FORCED.accepts(0.0, math.inf)
        (True, False)
        """
        if self.force:
            return False
        if self.only_if_cached and self.max_age_s is None:
            return True
        return age_s <= self.limit_s(allowed_s)

    def limit_s(self, allowed_s: float) -> float:
        """Return the largest accepted age, if the resource allows ``allowed_s``."""
        return allowed_s if self.max_age_s is None else self.max_age_s

    def accepts_after_error(self, age_s: float) -> bool:
        """Return whether a value of that age is accepted when the unit could not be read."""
        limit_s = self.stale_if_error_s
        return not self.force and limit_s is not None and age_s <= limit_s


ANY = Freshness()
"""Any age that the resource allows."""
FORCED = Freshness(force=True)
"""A device read that begins after the request."""
