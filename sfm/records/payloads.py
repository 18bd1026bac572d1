"""
Payloads: the instrument's facts as the plain values that the cache stores and the API returns.

A payload is a dict of plain values. A waveform's payload has the counts as bytes (int16,
little-endian, channel after channel): a twentieth of their JSON. ``waveform_view`` converts it to
physical values; it is the only place that scales counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from minimateplus.conversions import (
    FULL_SCALE_COUNTS,
    GEO_RANGES_IN_S,
    MIC_PSI_PER_COUNT,
    db_from_psi,
    in_s_per_count,
)
from minimateplus.model import (
    CHANNELS,
    CallHome,
    Event,
    MemoryProbe,
    MonitorStatus,
    Peaks,
    RecordMode,
    StorageRange,
    UnitInfo,
    Waveform,
    Written,
)
from sfm.records.site_time import is_credible

__all__ = [
    "COUNTS_DTYPE",
    "EVENT_FIELDS",
    "NEVER_SET_BEFORE_YEAR",
    "OVER_RANGE",
    "SCALE_CODES",
    "SCALE_UNCONFIRMED",
    "Payload",
    "archived_facts",
    "as_fact",
    "call_home_payload",
    "clock_drift",
    "counts_of",
    "event_of",
    "event_payload",
    "event_payload_of",
    "event_view",
    "info_payload",
    "peak_bounds",
    "plain",
    "probe_of",
    "probe_payload",
    "reasons_of",
    "scales_of",
    "status_payload",
    "storage_range_payload",
    "waveform_arrays",
    "waveform_payload",
    "waveform_view",
    "with_setup",
    "written_payload",
]

Payload = dict[str, Any]

EVENT_FIELDS = ("index", "waveform_key", "timestamp", "peaks", "project")
"""The fields of an event's payload, in order; a waveform's payload begins with them."""

COUNTS_DTYPE = np.dtype("<i2")
GEO_DIGITS = 6
MIC_DIGITS = 9
GREATEST_FLOAT = float(np.finfo(np.float32).max)


def plain(value: object) -> Any:
    """Return a fact as plain values: dates as ISO text, modes as lower-case names, keys as hex."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        # The wire's floats have 32 bits: the shortest text that means the same one.
        # A requested value may be larger than any of them, and is returned as requested.
        return float(str(np.float32(value))) if abs(value) <= GREATEST_FLOAT else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def info_payload(info: UnitInfo) -> Payload:
    """Return identity and recording setup."""
    payload: Payload = plain(info)
    return payload


QUARTER_S = 900.0
"""Time zones differ by whole quarters of an hour."""
WIDEST_ZONE_S = 14 * 3600.0


def status_payload(
    status: MonitorStatus, now: datetime | None = None, zone: ZoneInfo | None = None
) -> Payload:
    """
    Return a monitor status, with the drift of the unit's clock against ours.

    Args:
        status: as read.
        now: when it was read, by our clock; the drift is unknown without it.
        zone: of the unit's clock, where it is known.

    The drift has the resolution of the unit's clock, 1 s, and includes the link's delay. Without
    a zone it is what is left beside whole quarters of an hour; a clock further from UTC than any
    zone is has its whole offset as drift.
    """
    payload: Payload = plain(status)
    return payload | clock_drift(status.clock_device_time, now, zone)


def clock_drift(
    clock_device_time: datetime | None, now: datetime | None, zone: ZoneInfo | None
) -> Payload:
    """
    Return how far a unit's clock is from UTC and from what it should show, in s.

    Unknown where the host's clock cannot be right.
    """
    offset_s = drift_s = None
    if clock_device_time is not None and now is not None and is_credible(now):
        utc = now.astimezone(UTC).replace(tzinfo=None)
        offset_s = (clock_device_time - utc).total_seconds()
        if zone is not None:
            drift_s = (
                clock_device_time - now.astimezone(zone).replace(tzinfo=None)
            ).total_seconds()
        elif abs(offset_s) > WIDEST_ZONE_S + QUARTER_S / 2:
            drift_s = offset_s
        else:
            drift_s = offset_s - QUARTER_S * round(offset_s / QUARTER_S)
    return {
        "clock_offset_s": _rounded(offset_s, 1),
        "clock_drift_s": _rounded(drift_s, 1),
        "clock_zone": None if zone is None else zone.key,
        "clock_sentence": _clock_sentence(clock_device_time, offset_s, drift_s, zone),
        "clock_settable": False,
    }


NEVER_SET_BEFORE_YEAR = 2000
"""A unit whose clock was never set, or whose clock battery was disconnected, starts in 1995 [C]."""
NEAR_ONE_HOUR_S = 120.0


def _clock_sentence(
    clock_device_time: datetime | None,
    offset_s: float | None,
    drift_s: float | None,
    zone: ZoneInfo | None,
) -> str | None:
    """Return what a person should know of the unit's clock; ``None``: it was not compared."""
    if clock_device_time is None or offset_s is None or drift_s is None:
        return None
    shows = f"it shows {clock_device_time.isoformat(sep=' ', timespec='seconds')}"
    set_it = "Set it at the unit's keypad."
    if clock_device_time.year < NEVER_SET_BEFORE_YEAR:
        return f"The clock was never set, or lost its battery: {shows}. {set_it}"
    off = f"{_span(abs(drift_s))} {'ahead' if drift_s > 0 else 'behind'}"
    if zone is None and abs(offset_s) <= WIDEST_ZONE_S + QUARTER_S / 2:
        ignoring = "ignoring the time-zone offset (zone unknown; set SFM_SITE_ZONES)"
        is_right = abs(drift_s) < CLOCK_STEP_S
        return f"The clock is {'right' if is_right else off}, {ignoring}."
    against = f"in zone {zone.key}" if zone else "of UTC, more than any time zone"
    if abs(drift_s) < CLOCK_STEP_S:
        return f"The clock is right to the second {against}."
    if zone is not None and abs(abs(drift_s) - 3600.0) <= NEAR_ONE_HOUR_S:
        return (
            f"The clock is {off} {against}: {shows}. At one hour, summer time was probably not "
            "changed at the unit, or SFM_SITE_ZONES names another zone."
        )
    is_far = abs(drift_s) >= 60.0
    return f"The clock is {off} {against}" + (f": {shows}. {set_it}" if is_far else ".")


CLOCK_STEP_S = 1.5
"""A drift below this cannot be seen: the unit's clock has steps of 1 s, the link adds its delay."""


def _span(seconds: float) -> str:
    """Return a span of time in the unit of measure in which a person would name it."""
    spans = (
        (365.2425 * 86400.0, "years"),
        (86400.0, "days"),
        (3600.0, "h"),
        (60.0, "min"),
    )
    for length_s, name in spans:
        # "90 min" rather than "1.5 h"; but 1.0 h stays 1.0 h.
        if seconds >= length_s * (2.0 if name in ("days", "min") else 0.95):
            return f"{seconds / length_s:.1f} {name}"
    return f"{seconds:.0f} s"


def call_home_payload(call_home: CallHome) -> Payload:
    """Return call-home settings."""
    payload: Payload = plain(call_home)
    return payload


def written_payload(written: Written) -> Payload:
    """Return what a write of settings did, or would do."""
    return {
        "changes": [
            {
                "field": change.field,
                "before": plain(change.before),
                "after": plain(change.after),
                "bytes": [
                    {"offset": at, "before": old, "after": new} for at, old, new in change.spans
                ],
            }
            for change in written.changes
        ],
        "elsewhere_bytes": written.elsewhere_bytes,
    }


def storage_range_payload(stored: StorageRange) -> Payload:
    """Return a storage range."""
    payload: Payload = plain(stored)
    return payload


def event_payload(event: Event) -> Payload:
    """Return one event of the list: stamp, peaks, project."""
    return event_payload_of(
        index=event.index,
        waveform_key=event.key.hex(),
        timestamp=plain(event.device_time),
        peaks=plain(event.peaks),
        project=event.project,
    )


def event_payload_of(
    *,
    index: int,
    waveform_key: str,
    timestamp: str | None,
    peaks: Mapping[str, float | None],
    project: str | None,
) -> Payload:
    """Return the same of its plain values, as they are stored."""
    mic_psi = peaks["mic_psi"]
    # Of the wire's float: decibels of its shortest text can round the other way.
    mic_db = None if mic_psi is None else _rounded(db_from_psi(float(np.float32(mic_psi))), 2)
    return {
        "index": index,
        "waveform_key": waveform_key,
        "timestamp": timestamp,
        "peaks": {**peaks, "mic_db": mic_db},
        "project": project,
    }


def event_of(payload: Mapping[str, Any]) -> Event:
    """Return the event of a payload, its peaks again as the wire's floats."""
    timestamp = payload["timestamp"]
    peaks = {f.name: payload["peaks"][f.name] for f in dataclasses.fields(Peaks)}
    return Event(
        index=payload["index"],
        key=bytes.fromhex(payload["waveform_key"]),
        device_time=None if timestamp is None else datetime.fromisoformat(timestamp),
        peaks=Peaks(**{n: None if v is None else float(np.float32(v)) for n, v in peaks.items()}),
        project=payload["project"],
    )


def archived_facts(payload: Mapping[str, Any]) -> Payload:
    """Return what a waveform's payload shows of its event beyond the record: its own range."""
    if payload["geo_range_source"] != "event":
        return {}  # the setup only says how the unit records next
    return {"geo_range_in_s": payload["geo_range_in_s"]}


def event_view(payload: Mapping[str, Any], geo_range_in_s: float | None = None) -> Payload:
    """Return an event's payload for an answer: peaks at the end of the range are marked."""
    peaks = {**payload["peaks"], "bound": peak_bounds(payload["peaks"], geo_range_in_s)}
    return {**payload, "peaks": peaks}


def peak_bounds(
    peaks: Mapping[str, float | None], geo_range_in_s: float | None = None
) -> dict[str, str | None]:
    """
    Return ``>`` for each peak at the end of the range: the motion was at least that.

    Args:
        peaks: of a record, as in an event's payload.
        geo_range_in_s: at which it was recorded; ``None``: what the peaks themselves show of it.
    """
    geo_names = ("tran_in_s", "vert_in_s", "long_in_s")
    geo = {name: peaks[name] for name in geo_names}
    end = geo_range_in_s or _range_shown_by(list(geo.values()))
    least = end - in_s_per_count(end) / 2
    bounds = {
        name: ">" if value is not None and value >= least else None for name, value in geo.items()
    }
    mic = peaks["mic_psi"]
    mic_end = (FULL_SCALE_COUNTS - 0.5) * MIC_PSI_PER_COUNT
    bounds["mic_psi"] = ">" if mic is not None and mic >= mic_end else None
    bounds["vector_sum_in_s"] = ">" if ">" in [bounds[name] for name in geo_names] else None
    bounds["mic_db"] = bounds["mic_psi"]
    return bounds


def _range_shown_by(geo: Sequence[float | None]) -> float:
    """
    Return the range that peaks can end at; the largest one unless they prove a smaller.

    They do where none is beyond the smaller range and one is between two steps of the larger.
    """
    largest, smallest = max(GEO_RANGES_IN_S), min(GEO_RANGES_IN_S)
    known = [value for value in geo if value is not None]
    steps = [value / in_s_per_count(largest) for value in known]
    is_between = any(abs(step - round(step)) > 0.02 for step in steps)
    return smallest if is_between and max(known) < smallest * 1.03 else largest


SETUP_SCALES = ("sample_rate_hz", "record_time_s", "pretrigger_s", "geo_range_in_s")
"""What a setup proposes for an event's scales."""
SCALE_CODES = frozenset(("rate-unconfirmed", "rate-unknown", "range-unconfirmed", "range-unknown"))
SCALE_UNCONFIRMED = "scale_unconfirmed"
OVER_RANGE = "over_range"


def waveform_payload(waveform: Waveform, setup: Mapping[str, Any] | None) -> Payload:
    """
    Return a waveform's payload, with the scales that ``setup`` proposes (``with_setup``).

    ``sample_rate_source`` and ``geo_range_source`` name each value's source: ``event``, or
    ``setup``, which is today's and need not be that of the recording.
    """
    is_decoded = bool(waveform.counts.shape[1]) or not waveform.announced_samples
    payload: Payload = {
        **event_payload(waveform.event),
        "samples": int(waveform.counts.shape[1]),
        "announced_samples": waveform.announced_samples,
        "valid_samples": list(waveform.valid_samples),
        "sample_rate_hz": waveform.sample_rate_hz,
        "sample_rate_source": "event" if waveform.sample_rate_hz is not None else None,
        "sample_rates_possible": list(waveform.sample_rates_possible),
        "pretrigger_samples": waveform.pretrigger_samples,
        "geo_range_in_s": waveform.geo_range_in_s,
        "geo_range_source": "event" if waveform.geo_range_in_s is not None else None,
        "geo_ranges_possible": list(waveform.geo_ranges_possible),
        "mode": plain(waveform.mode) if isinstance(waveform.mode, RecordMode) else None,
        "setup": None,
        "reasons": [
            {"code": r.code, "detail": r.detail, "contradiction": r.is_contradiction}
            for r in waveform.reasons
        ],
        "counts": np.ascontiguousarray(waveform.counts, dtype=COUNTS_DTYPE).tobytes(),
    }
    return with_setup(payload, setup) if is_decoded else payload


def with_setup(payload: Mapping[str, Any], setup: Mapping[str, Any] | None) -> Payload:
    """
    Return a waveform's payload with the scales that a setup proposes, as far as the event allows.

    The setup states how the unit will record next, not how it recorded then. Its rate counts as the
    event's own only where the event confirms all of it: as many samples as rate, record time and
    pre-trigger make, and the trigger where they put it. Any other scale of it is marked.

    Args:
        payload: of ``waveform_payload``; what an earlier setup proposed is dropped.
        setup: as in an info's payload; ``None``: nothing is proposed.
    """
    found = as_fact(payload)
    if setup is not None:
        found["setup"] = {name: setup[name] for name in SETUP_SCALES}
    reasons = [reason for reason in found["reasons"] if reason["code"] not in SCALE_CODES]
    rate = None if setup is None else setup["sample_rate_hz"]
    if (
        found["sample_rate_hz"] is None
        and setup is not None
        and rate in found["sample_rates_possible"]
    ):
        is_confirmed = _confirms_setup(found, setup)
        found["sample_rate_hz"] = rate
        found["sample_rate_source"] = "event" if is_confirmed else "setup"
    geo = None if setup is None else setup["geo_range_in_s"]
    if found["geo_range_in_s"] is None and geo in found["geo_ranges_possible"]:
        found["geo_range_in_s"], found["geo_range_source"] = geo, "setup"
    found["reasons"] = reasons + _scale_reasons(found)
    return found


def as_fact(payload: Mapping[str, Any]) -> Payload:
    """Return a waveform's payload without what only a setup proposes: what may be archived."""
    facts = dict(payload)
    for name in ("sample_rate", "geo_range"):
        if facts[f"{name}_source"] != "event":
            unit = "hz" if name == "sample_rate" else "in_s"
            facts[f"{name}_{unit}"] = facts[f"{name}_source"] = None
    facts["reasons"] = [r for r in payload["reasons"] if r["code"] not in SCALE_CODES]
    if facts["samples"]:
        facts["reasons"] += _scale_reasons(facts)
    return facts


def _confirms_setup(payload: Mapping[str, Any], setup: Mapping[str, Any]) -> bool:
    """Whether an event has exactly the samples, before and behind its trigger, of a setup."""
    record_s, before_s = setup["record_time_s"], setup["pretrigger_s"]
    if record_s is None or before_s is None or any(r["contradiction"] for r in payload["reasons"]):
        return False
    rate = setup["sample_rate_hz"]
    return bool(
        payload["announced_samples"] == round((record_s + before_s) * rate)
        and payload["pretrigger_samples"] == round(before_s * rate)
    )


def _scale_reasons(payload: Mapping[str, Any]) -> list[Payload]:
    """Return why a payload's scales are not certain."""
    found = []
    for name, value, possible, unit in (
        ("rate", "sample_rate_hz", "sample_rates_possible", "Hz"),
        ("range", "geo_range_in_s", "geo_ranges_possible", "in/s"),
    ):
        source = payload["sample_rate_source" if name == "rate" else "geo_range_source"]
        if source == "event":
            continue
        fits = " or ".join(f"{each:g}" for each in payload[possible])
        allows = (
            f"the event itself allows {fits} {unit}" if fits else "the event itself allows none"
        )
        what = "sample rate" if name == "rate" else "geophone range"
        if source == "setup":
            detail = (
                f"the {what} of {payload[value]:g} {unit} is that of the unit's setup; {allows}"
            )
            found.append({"code": f"{name}-unconfirmed", "detail": detail, "contradiction": False})
        else:
            detail = f"the {what} is not known; {allows}"
            found.append({"code": f"{name}-unknown", "detail": detail, "contradiction": False})
    return found


def reasons_of(payload: Any) -> list[Payload]:
    """Return why a payload is incomplete or uncertain; nothing for what is no waveform."""
    if not isinstance(payload, dict) or "valid_samples" not in payload:
        return []
    reasons: list[Payload] = payload["reasons"]
    return reasons


def counts_of(payload: Mapping[str, Any]) -> NDArray[np.int16]:
    """Return the counts of a waveform's payload, shape (4, n)."""
    return np.frombuffer(payload["counts"], dtype=COUNTS_DTYPE).reshape(len(CHANNELS), -1)


def scales_of(payload: Mapping[str, Any]) -> dict[str, tuple[str, float | None]]:
    """Return unit and value of one count for each channel; ``None`` while the range is unknown."""
    geo_range = payload["geo_range_in_s"]
    geo = None if geo_range is None else in_s_per_count(geo_range)
    return {
        name: ("psi", MIC_PSI_PER_COUNT) if name == "MicL" else ("in/s", geo) for name in CHANNELS
    }


def waveform_view(payload: Mapping[str, Any]) -> Payload:
    """
    Return a waveform's physical view: values in units of measure, a time axis, peaks with times.

    Only valid samples are in it: a channel may be shorter than ``samples``. While the range is
    unknown a geophone channel's values are its counts, its unit says so, and it has no peak. A peak
    at the end of the range has the bound ``>``. ``flags`` says what makes a figure less than it
    seems.
    """
    view = waveform_arrays(payload)
    for channel in view["channels"].values():
        channel["values"] = channel["values"].tolist()
    return view


def waveform_arrays(payload: Mapping[str, Any]) -> Payload:
    """Return the same view with arrays as values: the longest event has 217,000 of them."""
    counts = counts_of(payload)
    rate, pretrigger = payload["sample_rate_hz"], payload["pretrigger_samples"]
    channels: Payload = {}
    for row, (name, (unit, scale)) in enumerate(scales_of(payload).items()):
        mine = counts[row, : payload["valid_samples"][row]]
        digits = MIC_DIGITS if name == "MicL" else GEO_DIGITS
        channel = _channel(mine, unit, scale, digits, rate, pretrigger)
        if name != "MicL" and payload["geo_range_source"] == "setup":
            channel["flags"].append(SCALE_UNCONFIRMED)
        channels[name] = channel
    view = {key: value for key, value in payload.items() if key != "counts"}
    view["peaks"] = event_view(payload, payload["geo_range_in_s"])["peaks"]
    view["time"] = {
        "unit": "s",
        "zero": "trigger",
        "start": None if rate is None else -pretrigger / rate,
        "step": None if rate is None else 1 / rate,
        "flags": [SCALE_UNCONFIRMED] if payload["sample_rate_source"] == "setup" else [],
    }
    view["channels"] = channels
    return view


def _channel(
    counts: NDArray[np.int16],
    unit: str,
    scale: float | None,
    digits: int,
    rate: int | None,
    pretrigger: int,
) -> Payload:
    is_over = len(counts) > 0 and int(np.abs(counts.astype(np.int32)).max()) >= FULL_SCALE_COUNTS
    flags = [OVER_RANGE] if is_over else []
    bound = ">" if is_over else None
    if scale is None:
        nothing = {"peak": None, "bound": bound, "peak_time_s": None, "flags": flags}
        return {"unit": "counts", "values": counts, **nothing}
    values = np.round(counts * scale, digits)
    at = int(np.abs(values).argmax()) if len(values) else None
    return {
        "unit": unit,
        "values": values,
        "peak": None if at is None else abs(float(values[at])),
        "bound": bound,
        "peak_time_s": None if at is None or rate is None else (at - pretrigger) / rate,
        "flags": flags,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def probe_payload(probe: MemoryProbe) -> Payload:
    """Return what a probe found, for ``probe_of``."""
    peaks = None if probe.last_peaks is None else dataclasses.asdict(probe.last_peaks)
    return {
        "serial": probe.serial,
        "first_key": None if probe.first_key is None else probe.first_key.hex(),
        "last_key": None if probe.last_key is None else probe.last_key.hex(),
        "lifetime_count": probe.lifetime_count,
        "last_timestamp": probe.last_timestamp,
        "is_empty": probe.is_empty,
        "last_peaks": peaks,
        "last_project": probe.last_project,
        "last_record": probe.last_record.hex(),
    }


def probe_of(payload: Payload) -> MemoryProbe:
    """Return the probe of a payload that ``probe_payload`` made."""
    keys = {
        name: None if payload[name] is None else bytes.fromhex(payload[name])
        for name in ("first_key", "last_key")
    }
    # A probe of before revision 0005 has its newest event's time and nothing else of it.
    peaks, record = payload.get("last_peaks"), bytes.fromhex(payload.get("last_record", ""))
    last = {"last_peaks": None if peaks is None else Peaks(**peaks), "last_record": record}
    return MemoryProbe(**{**payload, **keys, **last})
