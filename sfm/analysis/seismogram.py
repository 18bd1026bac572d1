"""
What is analysed: the samples of one event in physical units, with what limits them.

Only samples that were measured are in it. Channels of a damaged record may have been decoded to
different lengths: all are cut to the part that they have in common, because a vector sum needs its
three axes at one instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sfm.analysis.figures import Figure
from sfm.analysis.units_of_measure import quantity_of

__all__ = ["GEOPHONES", "MAX_MISSING", "MICROPHONE", "Seismogram", "Trace"]

GEOPHONES = ("Tran", "Vert", "Long")
MICROPHONE = "MicL"
MAX_MISSING = 2
"""A channel that ends so many samples early is whole: units end some channels before the others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """
    The samples of one channel, as recorded: no offset removed, no filter.

    Raises:
        ValueError: the samples are not one row of finite numbers, or the unit of measure is neither
            of velocity nor of pressure.
    """

    values: NDArray[np.float64]
    """Shape (n,), in ``unit``; in counts where the scale is unknown."""
    unit: str
    """Of velocity for a geophone, of pressure for a microphone."""
    step: float | None
    """One count, in ``unit``; ``None``: not known, or the scale is unknown."""
    full_scale: float | None = None
    """The end of the range in ``unit``; a sample at it may stand for a larger one."""
    is_scaled: bool = True
    """False: the values are counts; times and frequencies can be computed, amplitudes cannot."""
    flags: tuple[str, ...] = ()
    """Carried by every amplitude, such as ``scale_unconfirmed``."""
    reported: Mapping[str, Figure] = field(default_factory=dict)
    """Results that the unit or the vendor's program gave for the same event, by quantity."""

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not np.isfinite(self.values).all():
            raise ValueError("samples must be one row of finite numbers")
        if quantity_of(self.unit) not in ("velocity", "pressure"):
            raise ValueError(f"samples in {self.unit}, expected a velocity or a pressure")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seismogram:
    """The traces of one event by channel name, on one time axis."""

    traces: Mapping[str, Trace]
    """Of ``GEOPHONES`` and ``MICROPHONE``, those that were recorded."""
    rate_hz: float | None
    """Samples per second; without it there are no times, frequencies or accelerations."""
    pretrigger_samples: int | None
    """Samples before the trigger; ``None``: not known, and times count from the first sample."""
    recorded_samples: int | None = None
    """Samples in each channel that the event has, decoded or not; ``None``: not known."""
    time_flags: tuple[str, ...] = ()
    """Carried by all that depends on the rate, such as ``scale_unconfirmed``."""
    reported: Mapping[str, Figure] = field(default_factory=dict)
    """The reported ``pvs`` and ``pvs_time``."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.traces if name not in (*GEOPHONES, MICROPHONE)]
        if unknown:
            raise ValueError(f"channel {unknown[0]!r} is not known")
        if self.rate_hz is not None and not 0 < self.rate_hz < float("inf"):
            raise ValueError(f"a sample rate of {self.rate_hz} Hz")

    @property
    def samples(self) -> int:
        """How many samples of each channel can be analysed: those that all of them have."""
        return min((len(t.values) for t in self.traces.values() if len(t.values)), default=0)

    @property
    def is_whole(self) -> bool:
        """Whether all recorded samples can be analysed, as far as is known."""
        longest = max((len(trace.values) for trace in self.traces.values()), default=0)
        # A channel without a sample cuts no other short: it was not recorded, or not decoded.
        return max(longest, self.recorded_samples or 0) - self.samples <= MAX_MISSING

    def common(self, name: str) -> NDArray[np.float64]:
        """Return a channel's part that all channels have; empty where it was not decoded."""
        return self.traces[name].values[: self.samples]
