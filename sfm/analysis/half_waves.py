"""
Half waves: the stretches between two zero crossings, which ZC frequency and displacement are of.

A sample that is exactly 0 counts as positive by the vendor's rule; its exports do not show which it
is there. A unit at rest often records nothing but zeros, and a positive half wave then reaches back
through all of them. The refined rule therefore has a dead band of half a count, which belongs to no
half wave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HalfWaves", "half_waves"]

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class HalfWaves:
    """Where each stretch of one sign begins; the last one ends with the samples."""

    starts: NDArray[np.intp]
    """The first sample of each, ascending, beginning with 0."""
    values: Values
    """The samples themselves."""
    dead_band: float | None
    """Magnitudes up to this have no sign; ``None``: all have one, that of 0 is positive."""

    def at(self, index: int) -> tuple[int, int]:
        """Return the first sample of the half wave at a sample, and the one after its last."""
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        is_last = which + 1 == len(self.starts)
        return int(self.starts[which]), len(self.values) if is_last else int(self.starts[which + 1])

    def is_cut(self, start: int, stop: int) -> bool:
        """
        Whether a half wave may begin before the samples, or end after them.

        At an end where the sample is 0 the wave crosses zero, and is whole.
        """
        begins_before = start == 0 and self.values[0] != 0
        ends_after = stop == len(self.values) and self.values[-1] != 0
        return bool(begins_before or ends_after)

    def crossings(self, start: int, stop: int) -> tuple[float, float]:
        """Return where a whole half wave begins and ends, in samples, between two of them."""
        backwards = self.values[::-1]
        end = len(self.values) - 1
        return self._crossing(self.values, start, stop - start), end - self._crossing(
            backwards, end - (stop - 1), stop - start
        )

    def _crossing(self, values: Values, start: int, length: int) -> float:
        """
        Return the crossing before a sample.

        On the line from the last sample of the other sign, if there are few samples of no sign in
        between. After a longer rest the half wave begins at the rest's end.
        """
        last = start - 1
        while last >= 0 and abs(values[last]) <= (self.dead_band or 0.0):
            last -= 1
        between = start - 1 - last
        is_turn = last >= 0 and (values[last] > 0) != (values[start] > 0)
        if is_turn and between <= length / 2:
            part = abs(values[start]) / (abs(values[start]) + abs(values[last]))
            return float(start - part * (start - last))
        return float(max(0, start - 1))


def half_waves(values: Values, dead_band: float | None = None) -> HalfWaves:
    """
    Return the half waves of a channel's samples, and with a dead band the rests between them.

    >>> half_waves(np.array([1.0, 2.0, -1.0, 0.0])).starts.tolist()
    [0, 2, 3]

    Raises:
        ValueError: there are no samples.
    """
    if not len(values):
        raise ValueError("no samples have no half waves")
    if dead_band is None:
        signs = np.where(values >= 0, 1, -1)
    else:
        signs = np.where(np.abs(values) <= dead_band, 0, np.sign(values)).astype(int)
    changes = np.flatnonzero(np.diff(signs)) + 1
    return HalfWaves(np.concatenate(([0], changes)), values, dead_band)
