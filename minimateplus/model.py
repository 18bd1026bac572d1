"""
What a unit reports, as frozen facts. The unit of measure ends the name.

Times ending in ``_device_time`` are by the unit's own naive clock: it may step back, it may never
have been set (then it shows 1995), and its zone is unknown. Compare them for equality, never for
order.

``None`` means unknown: the unit reported nothing, or a value that this quantity cannot have.
A missing reading is never zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import zip_longest
from typing import TYPE_CHECKING

from minimateplus.conversions import in_s_per_count, mic_psi, sample_times_s

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CHANNELS",
    "FIRST_KEY",
    "CallHome",
    "CallHomeChange",
    "Event",
    "FieldChange",
    "MemoryProbe",
    "MonitorLogEntry",
    "MonitorStatus",
    "Peaks",
    "Progress",
    "Reason",
    "RecordMode",
    "RecordingSetup",
    "SetupChange",
    "StorageRange",
    "UnitInfo",
    "Waveform",
    "Written",
    "differing_offsets",
]

CHANNELS = ("Tran", "Vert", "Long", "MicL")
"""The four channels in the order of the wire: three geophone axes, then the microphone."""

FIRST_KEY = bytes.fromhex("01110000")
"""The key of the first event after an erase: where every unit's event memory starts."""


class RecordMode(IntEnum):
    """How a unit records; the numbers are the wire's (compliance block, byte 5)."""

    SINGLE_SHOT = 0
    CONTINUOUS = 1
    HISTOGRAM = 3
    HISTOGRAM_COMBO = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSetup:
    """The unit's present recording setup; older events may have been recorded under another."""

    mode: RecordMode | None
    sample_rate_hz: int | None
    histogram_interval_s: int | None
    pretrigger_s: float | None
    record_time_s: float | None
    geo_range_in_s: float | None
    trigger_level_in_s: float | None
    alarm_level_in_s: float | None
    mic_trigger_psi: float | None
    mic_alarm_psi: float | None
    setup_name: str | None
    project: str | None
    client: str | None
    operator: str | None
    location: str | None
    notes: str | None
    note_titles: dict[str, str] | None = None
    """
    Titles that were edited on the unit, by the name of the text they precede; ``None``: none. A
    title that the block assigns to no text is under ``unknown``; the text after it is not read.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupChange:
    """New recording settings; ``None`` keeps what the unit has. An empty text empties its field."""

    mode: RecordMode | None = None
    sample_rate_hz: int | None = None
    histogram_interval_s: int | None = None
    record_time_s: float | None = None
    geo_range_in_s: float | None = None
    trigger_level_in_s: float | None = None
    alarm_level_in_s: float | None = None
    mic_trigger_psi: float | None = None
    mic_alarm_psi: float | None = None
    project: str | None = None
    client: str | None = None
    operator: str | None = None
    location: str | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHome:
    """When a unit calls by its modem, and which number. Times of day are by the unit's clock."""

    enabled: bool
    dial: str | None
    """The dial command sent to the modem, such as ``ATDT`` and a number or an address."""
    after_event: bool
    at_times: bool
    first_enabled: bool
    first_time: str | None
    """HH:MM."""
    second_enabled: bool
    second_time: str | None
    retries: int
    retry_wait_s: int
    connect_wait_s: int
    warm_up_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHomeChange:
    """New call-home settings; ``None`` keeps what the unit has."""

    enabled: bool | None = None
    dial: str | None = None
    after_event: bool | None = None
    at_times: bool | None = None
    first_enabled: bool | None = None
    first_time: str | None = None
    second_enabled: bool | None = None
    second_time: str | None = None
    retries: int | None = None
    retry_wait_s: int | None = None
    connect_wait_s: int | None = None
    warm_up_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One setting before and after, and the bytes of its block that differ."""

    field: str
    before: object
    after: object
    spans: tuple[tuple[int, str, str], ...]
    """Offset in the un-escaped block, old bytes and new bytes in hexadecimal; at each place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The result of a write of settings, or of a dry run."""

    changes: tuple[FieldChange, ...]
    is_written: bool
    """False for a dry run, and where nothing differed: then nothing was sent."""
    elsewhere_bytes: int = 0
    """Bytes outside the given fields that were read back with another value than written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitInfo:
    """The unit's identity and its recording setup."""

    serial: str
    firmware: str | None
    dsp_firmware: str | None
    manufacturer: str | None
    model: str | None
    calibrated_on: date | None
    """Unknown on a real unit: the offset of the date is not known (wire notebook, identity)."""
    simulated: bool
    """True when the unit identifies itself as simulated."""
    setup: RecordingSetup


@dataclass(frozen=True, slots=True)
class StorageRange:
    """The keys of the first and the last stored event; both ``FIRST_KEY`` after an erase."""

    first_key: bytes
    last_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProbe:
    """
    The state of a unit's event memory, read at a cost that does not grow with the memory.

    No part is trusted alone. A part that the unit did not answer is ``None``; a probe with such a
    part proves nothing and equals no other (see ``is_complete``).
    """

    serial: str
    first_key: bytes | None
    last_key: bytes | None
    lifetime_count: int | None
    """Events ever recorded (SUB 08); does not fall on erase."""
    last_timestamp: str | None
    """ISO text of the newest event's own timestamp; ``None`` also when the memory is empty."""
    is_empty: bool
    """The unit has no event: it reported the null key as its first key."""
    last_peaks: Peaks | None = None
    last_project: str | None = None
    last_record: bytes = field(default=b"", repr=False, compare=False)
    """The newest event's record (SUB 0C, 210 bytes) as read; empty where it was not kept."""

    @property
    def is_complete(self) -> bool:
        """Whether every part was answered, so that the probe can be compared."""
        parts = (self.first_key, self.last_key, self.lifetime_count)
        return None not in parts and (self.is_empty or self.last_timestamp is not None)

    def differing_offsets(self, other: MemoryProbe) -> frozenset[int]:
        """Return the offsets at which the newest records differ; empty while either is unknown."""
        return differing_offsets(self.last_record, other.last_record)


def differing_offsets(before: bytes, now: bytes) -> frozenset[int]:
    """Return the offsets at which two records differ; empty while either is unknown (empty)."""
    if not (before and now):
        return frozenset()
    pairs = enumerate(zip_longest(before, now))
    return frozenset(at for at, (old, new) in pairs if old != new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Peaks of one event as the unit computed them."""

    tran_in_s: float | None
    vert_in_s: float | None
    long_in_s: float | None
    mic_psi: float | None
    vector_sum_in_s: float | None
    """Peak vector sum (PVS): the largest root-sum over one instant, not over the three peaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One triggered event of the unit's list, from its waveform record (SUB 0C)."""

    index: int
    key: bytes
    device_time: datetime | None
    peaks: Peaks
    project: str | None
    record: bytes = field(default=b"", repr=False, compare=False)
    """The waveform record (SUB 0C, 210 bytes) as sent, un-escaped; empty when not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorLogEntry:
    """One monitor-log record of the key walk: when monitoring ran, at which trigger level."""

    key: bytes
    start_device_time: datetime | None
    stop_device_time: datetime | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorStatus:
    """The unit's present state: monitoring, clock, battery, memory."""

    monitoring: bool
    clock_device_time: datetime | None
    battery_v: float | None
    memory_total_bytes: int | None
    memory_free_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why samples are incomplete or suspect: a stable code, and a sentence for people."""

    code: str
    detail: str
    is_contradiction: bool = False
    """Whether two parts of the event contradict each other, so that its bytes may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Waveform:
    """
    The samples of one event, in converter counts, with what is needed to read them.

    ``counts`` has shape (4, n), int16, rows in the order of ``CHANNELS``. Of row ``c`` only the
    first ``valid_samples[c]`` samples were decoded; the rest of the row is zero, not a measurement.
    """

    event: Event
    """The event, with the ``record`` that was read with these samples."""
    counts: NDArray[np.int16]
    valid_samples: tuple[int, int, int, int]
    sample_rate_hz: int | None
    """The only rate that the event's own start, stop and length allow; else ``None``."""
    pretrigger_samples: int
    geo_range_in_s: float | None
    """The only range at which the counts fit the event's own peaks; else ``None``."""
    mode: RecordMode | None
    image: bytes
    """The event's memory as read, from the file-type tag to the footer (wire notebook, image)."""
    announced_samples: int | None = None
    """Samples per channel that the STRT record announces, in its 16 bits."""
    sample_rates_possible: tuple[int, ...] = ()
    """Every rate that the event's own start, stop and length allow, in Hz."""
    geo_ranges_possible: tuple[float, ...] = ()
    """Every range that the event's own peaks and counts allow, in in/s."""
    reasons: tuple[Reason, ...] = ()
    """Why this may not be all that was recorded; empty: no contradiction was found."""

    def times_s(self, sample_rate_hz: int | None = None) -> NDArray[np.float64]:
        """
        Return the time of each sample relative to the trigger, in s, shape (n,).

        Args:
            sample_rate_hz: of an event that does not show its own; it is not checked.

        Raises:
            ValueError: the event does not show its rate, and none is given.
        """
        rate_hz = self.sample_rate_hz or sample_rate_hz
        if rate_hz is None:
            raise ValueError(
                f"event {self.event.index} does not show its sample rate; possible are "
                f"{self.sample_rates_possible} Hz; give sample_rate_hz, as in the unit's setup"
            )
        return sample_times_s(self.counts.shape[1], self.pretrigger_samples, rate_hz)

    def velocities_in_s(self, geo_range_in_s: float | None = None) -> NDArray[np.float64]:
        """
        Return the velocities of Tran, Vert and Long, in in/s, shape (3, n).

        What is no measurement (beyond ``valid_samples``) is NaN.

        Args:
            geo_range_in_s: of an event that does not show its own; it is not checked.

        Raises:
            ValueError: the event does not show its range, and none is given; or there is no such.
        """
        range_in_s = self.geo_range_in_s or geo_range_in_s
        if range_in_s is None:
            raise ValueError(
                f"event {self.event.index} does not show its geophone range; possible are "
                f"{self.geo_ranges_possible} in/s; give geo_range_in_s, as in the unit's setup"
            )
        values = self.counts[:3].astype("float64") * in_s_per_count(range_in_s)
        return _only_valid(values, self.valid_samples[:3])

    def pressures_psi(self) -> NDArray[np.float64]:
        """Return the microphone's pressures, in psi, shape (n,); NaN where nothing was measured."""
        return _only_valid(mic_psi(self.counts[3]), self.valid_samples[3:])


def _only_valid(values: NDArray[np.float64], valid: Sequence[int]) -> NDArray[np.float64]:
    """Replace what is behind each row's valid samples by NaN; ``values`` has a row for each."""
    for row, samples in zip(values.reshape(len(valid), -1), valid, strict=True):
        row[samples:] = math.nan
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of a long read, in events or bytes (``what``)."""

    what: str
    done: int
    total: int | None
