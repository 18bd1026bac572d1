"""
Back-off policy for failing units. All its constants live here.

A unit that dials home, or whose modem lost power, fails each attempt after a long wait. The first
failure causes no delay: it may have been a glitch. From the second consecutive failure on, the unit
is not tried for a delay that doubles up to a minute, and requests fail at once. A forced read tries
the unit anyway. Other units are not affected.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sfm.errors import SfmError

__all__ = ["BackOff", "BackingOffError"]

FIRST_DELAY_S = 2.0
MAX_DELAY_S = 60.0


class BackingOffError(SfmError):
    """The unit failed repeatedly and is not tried until the delay is over."""

    def __init__(self, unit: str, failures: int, retry_after_s: float, cause: str) -> None:
        rest = f"left alone for {math.ceil(retry_after_s)} s"
        super().__init__(
            f"{unit} failed {failures} times in a row and is {rest}; "
            f"force=true asks it all the same; last: {cause}"
        )
        self.retry_after_s = retry_after_s


class BackOff:
    """One unit's consecutive failures. Lives as long as its device."""

    def __init__(self, unit: str, clock: Callable[[], float]) -> None:
        self._unit = unit
        self._clock = clock
        self._until_mono = float("-inf")
        self._cause = ""
        self.failures = 0
        """Failures since the last success."""

    def failed(self, cause: Exception) -> None:
        """Note a failure of the unit or of its link."""
        self.failures += 1
        self._cause = str(cause)
        if self.failures > 1:
            delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.failures - 2, 10))
            self._until_mono = self._clock() + delay_s

    def succeeded(self) -> None:
        """Note that the unit answered."""
        self.failures = 0
        self._until_mono = float("-inf")

    @property
    def remaining_s(self) -> float:
        """How long the unit is not tried yet, s; 0: it may be tried now."""
        return max(0.0, self._until_mono - self._clock())

    @property
    def is_backing_off(self) -> bool:
        """Whether the unit may not be tried now."""
        return self.remaining_s > 0

    def check(self) -> None:
        """
        Return if the unit may be tried now.

        Raises:
            BackingOffError: it may not; the error has the remaining delay.
        """
        if left_s := self.remaining_s:
            raise BackingOffError(self._unit, self.failures, left_s, self._cause)
