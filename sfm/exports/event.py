"""What is exported: one event with its samples, and what a file must say of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from minimateplus.model import CHANNELS
from sfm.analysis.units_of_measure import System, factor, unit_in
from sfm.exports.names import Decimal
from sfm.records.digests import digest
from sfm.records.payloads import Payload, counts_of, scales_of, waveform_arrays
from sfm.records.roster import NO_ROSTER, Roster
from sfm.records.site_time import instant_of, utc_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sfm.devices.answer import Answer
    from sfm.store import Samples

__all__ = ["ExportedChannel", "ExportedEvent", "Style", "file_name"]

_UNSAFE = re.compile(r"^\.|[^0-9A-Za-z._-]")
"""What a file's name is not given."""
_DIGITS = 10
"""Of a converted value: more than the converter has, without the tail of a multiplication."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How numbers are written."""

    units: System | None = None
    """``None``: in the recording's own units of measure, in/s and psi."""
    decimal: Decimal = "point"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportedChannel:
    """The valid samples of one channel."""

    name: str
    counts: NDArray[np.int16]
    """Shape (n,): as many as are valid."""
    values: NDArray[np.float64]
    """Shape (n,), in ``unit``, as the API returns them, or these converted."""
    unit: str
    """``counts`` where the scale is unknown."""
    scale: float | None
    """One count in ``unit``; ``None``: unknown."""
    peak: float | None
    bound: str | None
    """``>``: the channel reached the end of its range."""
    flags: tuple[str, ...]

    def texts(self, write: Callable[[float], str]) -> list[str]:
        """Return a text for each sample; each count has one value, and is written once."""
        _, first, which = np.unique(self.counts, return_index=True, return_inverse=True)
        texts = [write(value) for value in self.values[first].tolist()]
        return [texts[at] for at in which.tolist()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportedEvent:
    """One event's samples, and where they come from."""

    payload: Payload = field(repr=False)
    """Of the waveform (``sfm.records.payloads``)."""
    serial: str | None
    is_simulated: bool
    quality: str
    """``good``, or what else the API says of it."""
    read_at: str | None
    """UTC, by the relay's clock."""
    recording_id: str | None
    """In the archive; ``None``: it was exported from a unit or its cache."""
    image_hash: str | None
    """BLAKE2b-256 of the unit's memory of it, in hex; ``None``: as ``recording_id``."""
    zone: str | None
    """Of the unit's clock at that time."""
    utc: str | None
    utc_unknown: str | None
    """Why there is no instant: a code of ``sfm.records.site_time``."""

    @classmethod
    def of_samples(cls, samples: Samples, zones: Roster = NO_ROSTER) -> ExportedEvent:
        """
        Return a recording of the archive.

        Raises:
            DamagedRecordError: its samples do not match their hash.
            UndecodedSamplesError: its samples could not be decoded.
        """
        payload = samples.payload()
        return cls(
            payload=payload,
            serial=samples.serial,
            is_simulated=samples.simulated,
            quality="partial" if payload["reasons"] else "good",
            read_at=samples.read_at,
            recording_id=samples.public_id,
            image_hash=samples.content_hash.hex(),
            **_instant(samples.serial, payload["timestamp"], samples.read_at, zones),
        )

    @classmethod
    def of_answer(cls, answer: Answer, zones: Roster = NO_ROSTER) -> ExportedEvent:
        """Return an event of a unit or its cache, from the answer with its waveform."""
        origin, payload = answer.provenance, answer.value
        return cls(
            payload=payload,
            serial=origin.serial,
            is_simulated=bool(origin.simulated),
            quality=origin.quality,
            read_at=origin.read_at,
            recording_id=None,
            image_hash=None,
            **_instant(origin.serial, payload["timestamp"], origin.read_at, zones),
        )

    @property
    def counts_hash(self) -> str:
        """
        Return the hash that the archive has of these counts, in hex.

        BLAKE2b-256 of all counts, int16 little-endian, channel after channel; 0 where a sample is
        not valid.
        """
        return digest(self.payload["counts"]).hex()

    def channels(self, units: System | None) -> list[ExportedChannel]:
        """Return the channels in the units of measure of a system, or in the recording's own."""
        counts, scales = counts_of(self.payload), scales_of(self.payload)
        view = waveform_arrays(self.payload)["channels"]
        found = []
        for row, name in enumerate(CHANNELS):
            channel, (own_unit, scale) = view[name], scales[name]
            unit = channel["unit"]
            # Converted is what the API returns, so that both say the same.
            values, peak = channel["values"], channel["peak"]
            if scale is not None and units is not None and unit_in(units, own_unit) != own_unit:
                unit = unit_in(units, own_unit)
                by = factor(own_unit, unit)
                values = _converted(values, by)
                peak = None if peak is None else _rounded(peak * by)
                scale = _rounded(scale * by)
            found.append(
                ExportedChannel(
                    name=name,
                    counts=counts[row, : self.payload["valid_samples"][row]],
                    values=np.asarray(values, dtype=np.float64),
                    unit=unit,
                    scale=scale,
                    peak=peak,
                    bound=channel["bound"],
                    flags=tuple(channel["flags"]),
                )
            )
        return found

    def times_s(self) -> list[float] | None:
        """Return the time of each sample from the trigger, in s; ``None``: the rate is unknown."""
        rate, before = self.payload["sample_rate_hz"], self.payload["pretrigger_samples"]
        if rate is None:
            return None
        return [(at - before) / rate for at in range(self.payload["samples"])]


def _converted(values: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    different, which = np.unique(values, return_inverse=True)
    rounded = [_rounded(value * by) for value in different.tolist()]
    return np.array(rounded, dtype=np.float64)[which]


def _rounded(value: float) -> float:
    """Return a converted value without the tail that a multiplication leaves."""
    return float(f"{value:.{_DIGITS}g}")


def _instant(
    serial: str | None, timestamp: str | None, read_at: str | None, zones: Roster
) -> dict[str, str | None]:
    device_time = None if timestamp is None else datetime.fromisoformat(timestamp)
    zone = zones.zone_at(serial or "", device_time)
    read = None if read_at is None else datetime.fromisoformat(read_at)
    instant = instant_of(device_time, zone, read)
    return {
        "zone": None if zone is None else zone.key,
        "utc": None if instant.at is None else utc_text(instant.at),
        "utc_unknown": "damaged-zones"
        if instant.unknown == "no-zone" and zones.has_damaged_zones
        else instant.unknown,
    }


def file_name(of: Mapping[str, Any], ending: str, *, serial: str | None, is_simulated: bool) -> str:
    """
    Return a name for the file of one event: SIMULATED, serial, unit time, key.

    Not its slot: slots start again after an erase, and so may keys.

    >>> one = {"timestamp": "2026-04-01T10:00:00", "waveform_key": "01110000"}
    >>> file_name(one, "csv", serial="BE1", is_simulated=False)
    'BE1_2026-04-01T10-00-00_01110000.csv'
    """
    parts = [
        *(["SIMULATED"] if is_simulated else []),
        serial or "unknown-unit",
        of["timestamp"] or "unknown-time",
        of["waveform_key"],
    ]
    return f"{_UNSAFE.sub('-', '_'.join(parts))}.{ending}"
