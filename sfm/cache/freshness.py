"""
How fresh a reader wants an answer, and whether what is held is fresh enough. Pure.

The rule: what is held may answer when it is no older than the reader allows, and no older than the
thing itself allows. Age is the time since the unit last said so: since the read began, or since a
later probe proved that it is still so.

==================  ===================================  ====================================
thing               without a wish of the reader         with ``max_age_s``
==================  ===================================  ====================================
info                any age, until settings are written  up to that age
monitor status      less than 30 s                       up to that age, and less than 30 s
event list, event   never without a probe                up to that age since the last proof
waveform            proven within ``validated_s``, 30 s  up to that age since the last proof
==================  ===================================  ====================================

``force`` takes nothing that is held. ``only_if_cached`` takes what is held at any age, says how old
it is, and asks the unit nothing; a status past its time is nothing. ``stale_if_error_s`` takes what
is held up to that age when the unit could not be read; a forced reader is never answered so.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ANY", "FORCED", "Freshness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What a reader will take."""

    force: bool = False
    """Only a device read that begins after the request."""
    max_age_s: float | None = None
    """At most so many seconds since the unit last said so; ``None``: as the thing itself allows."""
    only_if_cached: bool = False
    """Do not ask the unit."""
    stale_if_error_s: float | None = None
    """When the unit cannot be read, what it said at most so many seconds ago; ``None``: nothing."""

    def accepts(self, age_s: float, allowed_s: float) -> bool:
        """
        Return whether an answer of that age will do, for a thing that keeps for ``allowed_s``.

        At exactly ``max_age_s`` it still does (RFC 9111, 5.2.1.1: unwilling if age is greater).

        >>> Freshness(max_age_s=10).accepts(10.0, math.inf), FORCED.accepts(0.0, math.inf)
        (True, False)
        """
        if self.force:
            return False
        if self.only_if_cached and self.max_age_s is None:
            return True
        return age_s <= self.limit_s(allowed_s)

    def limit_s(self, allowed_s: float) -> float:
        """Return the greatest age that will do, for a thing that keeps for ``allowed_s``."""
        return allowed_s if self.max_age_s is None else self.max_age_s

    def accepts_after_error(self, age_s: float) -> bool:
        """Return whether an answer of that age will do when the unit could not be read."""
        limit_s = self.stale_if_error_s
        return not self.force and limit_s is not None and age_s <= limit_s


ANY = Freshness()
"""Whatever the thing itself allows."""
FORCED = Freshness(force=True)
"""A device read that begins after the request."""
