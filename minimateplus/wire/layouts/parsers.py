"""Facts out of payloads, by the tables and labels."""

from __future__ import annotations

import math
import re
import struct
from datetime import date, datetime
from typing import Any, NamedTuple

from minimateplus.conversions import GEO_RANGES_IN_S
from minimateplus.errors import RemoteProtocolError
from minimateplus.model import (
    CHANNELS,
    CallHome,
    MonitorLogEntry,
    MonitorStatus,
    Peaks,
    RecordingSetup,
    RecordMode,
    StorageRange,
)
from minimateplus.wire.layouts.labels import (
    ALARM_AFTER_TEXT,
    CHANNEL_BLOCK_BYTES,
    GEO_RANGE_BYTES,
    GEO_UNIT_TEXT,
    HISTOGRAM_INTERVALS_S,
    MIC_UNIT_TEXT,
    PEAK_AFTER_LABEL,
    RANGE_AFTER_SENSITIVITY,
    SAMPLE_RATES_HZ,
    SENSITIVITY_AFTER_LABEL,
    SENSITIVITY_EARLIEST,
    SENSITIVITY_IN_S_PER_V,
    SETUP_ANCHOR,
    SETUP_TEXTS,
    TRIGGER_BEFORE_GEO_TEXT,
    TRIGGER_BEFORE_MIC_TEXT,
    VECTOR_SUM_BEFORE_LABEL,
    find_texts,
    float_at,
    note_titles,
    text_after,
    within,
)
from minimateplus.wire.layouts.scalars import STAMP_BYTES, decode_text
from minimateplus.wire.layouts.tables import (
    CALL_HOME,
    MONITOR_STATUS,
    RECORD_HEADER,
    RECORDING_MODES,
    SERIAL,
    SETUP_HEAD,
    STORAGE_RANGE,
    STRT,
    STRT_OFFSET,
    WAVEFORM_RECORD,
)

__all__ = [
    "SIMULATED_CALIBRATION_OFFSET",
    "SIMULATED_TEXT",
    "GeoBlock",
    "Identity",
    "StartRecord",
    "WaveformRecord",
    "find_geo_block",
    "parse_call_home",
    "parse_identity",
    "parse_monitor_log",
    "parse_monitor_status",
    "parse_serial",
    "parse_setup",
    "parse_start_record",
    "parse_storage_range",
    "parse_waveform_record",
    "setup_head_at",
    "unit_text_at",
]


def parse_serial(payload: bytes) -> str:
    """
    Return the serial number of a 15 payload.

    Readers use it in names of files, headers and rows, so it is checked: letters, digits, ``.``,
    ``_`` and ``-``, the first a letter or digit (BE18189) [I].

    Raises:
        RemoteProtocolError: it is missing or invalid.
    """
    serial: str | None = SERIAL.parse(payload)["serial"]
    if serial is None:
        raise RemoteProtocolError("the unit gives no serial number")
    if not _SERIAL_NUMBER.fullmatch(serial):
        place = SERIAL.fields[0]
        raw = payload[place.offset : place.offset + place.size]
        raise RemoteProtocolError(f"the unit reports {raw!r} where its serial number should be")
    return serial


_SERIAL_NUMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


def parse_storage_range(payload: bytes) -> StorageRange:
    """Return first and last key from a 06 payload."""
    fields = STORAGE_RANGE.parse(payload)
    return StorageRange(fields["first_key"], fields["last_key"])


def parse_monitor_status(payload: bytes) -> MonitorStatus:
    """
    Return the status of a 1C payload; an impossible figure is unknown.

    Battery and memory were twice decoded from wrong places in earlier systems, so each is checked:
    0 to 20 V, and no more memory free than the total.
    """
    fields = MONITOR_STATUS.parse(payload)
    total, free = fields["memory_total_bytes"], fields["memory_free_bytes"]
    sane = 0 < total < 1 << 28 and free <= total
    return MonitorStatus(
        monitoring=fields["monitoring"] != 0,
        clock_device_time=fields["clock"],
        battery_v=within(fields["battery_centivolts"] / 100, 0.01, 20.0),
        memory_total_bytes=total if sane else None,
        memory_free_bytes=free if sane else None,
    )


def parse_monitor_log(key: bytes, payload: bytes) -> MonitorLogEntry:
    """Return the monitor-log entry of a 44-byte 0A payload."""
    fields = RECORD_HEADER.parse(payload)
    # The bytes between the texts are unknown, and are dropped.
    pieces = re.split(rb"[\x00-\x1f\x7f]+", fields["text"])
    text = " ".join(decode_text(piece) for piece in pieces).strip()
    return MonitorLogEntry(
        key=key,
        start_device_time=fields["start"],
        stop_device_time=fields["stop"],
        text=text or None,
    )


class WaveformRecord(NamedTuple):
    """The contents of a 0C payload: one event's time, peaks and project."""

    device_time: datetime | None
    peaks: Peaks
    project: str | None


def parse_waveform_record(payload: bytes) -> WaveformRecord:
    """
    Return date, peaks and project of a 0C payload.

    Raises:
        RemoteProtocolError: a channel label is missing, so none of it can be trusted.
    """
    timestamp = WAVEFORM_RECORD.parse(payload)["timestamp"]
    readings = [_peaks_at(payload, places) for places in _channel_places(payload)]
    if not readings:
        raise RemoteProtocolError(
            f"waveform record (0C): expected the labels {', '.join(CHANNELS)} in this order"
        )
    # The project text may contain labels too, and whether it is before or after is unknown.
    peaks = max(readings, key=_plausibility)
    return WaveformRecord(
        timestamp, peaks, text_after(payload[STAMP_BYTES:], SETUP_TEXTS["project"])
    )


def _channel_places(payload: bytes) -> list[tuple[int, ...]]:
    """Return every set of offsets at which the four channel blocks of 0C could start."""
    found = []
    for match in re.finditer(CHANNELS[0].encode(), payload):
        places = [match.start()]
        for name in CHANNELS[1:]:
            places.append(payload.find(name.encode(), places[-1] + PEAK_AFTER_LABEL + 4))
            if places[-1] < STAMP_BYTES:
                break
        else:
            found.append(tuple(places))
    return found


def _peaks_at(payload: bytes, places: tuple[int, ...]) -> Peaks:
    tran, vert, long, mic = (float_at(payload, place + PEAK_AFTER_LABEL) for place in places)
    vector_sum = float_at(payload, places[0] - VECTOR_SUM_BEFORE_LABEL)
    limit = 2 * GEO_RANGES_IN_S[0]
    return Peaks(
        tran_in_s=within(tran, 0.0, limit),
        vert_in_s=within(vert, 0.0, limit),
        long_in_s=within(long, 0.0, limit),
        # A peak is a magnitude: only samples have a sign.
        mic_psi=within(mic, 0.0, 10.0),
        vector_sum_in_s=within(vector_sum, 0.0, 2 * limit),
    )


def _plausibility(peaks: Peaks) -> int:
    """Return how many of the five figures are possible, plus one if the sum fits its parts."""
    geo = (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s)
    figures = (*geo, peaks.mic_psi, peaks.vector_sum_in_s)
    known = [part for part in geo if part is not None]
    total = peaks.vector_sum_in_s
    fits = len(known) == len(geo) and total is not None
    if fits and total is not None:
        # One instant's root-sum is no less than any peak, and no more than that of all three.
        fits = 0.99 * max(known) <= total <= 1.01 * math.hypot(*known)
    return sum(figure is not None for figure in figures) + fits


def parse_setup(block: bytes) -> RecordingSetup:
    """
    Return the recording setup from the 2,090 bytes of 1A; a field that is not found is unknown.

    Raises:
        RemoteProtocolError: the block is shorter than its head.
    """
    head = _setup_head(block)
    pretrigger = within(head.get("pretrigger_s"), -10.0, 0.0)
    range_in_s, levels, mic = None, _NO_LEVELS, _NO_LEVELS
    if (geo := find_geo_block(block, CHANNELS[0])) is not None:
        range_in_s = geo.range_in_s
        levels = _levels(block, geo.label_at, GEO_UNIT_TEXT, TRIGGER_BEFORE_GEO_TEXT, 20.0)
    for match in re.finditer(CHANNELS[-1].encode(), block):
        found = _levels(block, match.start(), MIC_UNIT_TEXT, TRIGGER_BEFORE_MIC_TEXT, 10.0)
        mic = max(mic, found, key=_Levels.known)
    texts = find_texts(block)
    values = {found.start for found in texts.values() if found}
    names = (m for m in _SETUP_NAME.finditer(block) if m.start() not in values)
    name = next(names, None)
    mode, rate, interval = (
        head.get(field) for field in ("mode", "sample_rate_hz", "histogram_interval_s")
    )
    return RecordingSetup(
        mode=RecordMode(mode) if mode in set(RecordMode) else None,
        sample_rate_hz=rate if rate in SAMPLE_RATES_HZ else None,
        histogram_interval_s=interval if interval in HISTOGRAM_INTERVALS_S else None,
        pretrigger_s=None if pretrigger is None else abs(pretrigger),
        record_time_s=within(head.get("record_time_s"), 0.1, 600.0),
        geo_range_in_s=range_in_s,
        trigger_level_in_s=levels.trigger,
        alarm_level_in_s=levels.alarm,
        mic_trigger_psi=mic.trigger,
        mic_alarm_psi=mic.alarm,
        setup_name=decode_text(name.group()).strip() if name else None,
        **{field: found.text if found else None for field, found in texts.items()},
        note_titles=note_titles(block),
    )


_SETUP_NAME = re.compile(rb"[^\x00-\x1f\x7f]* Recording Setup[^\x00-\x1f\x7f]*")
_SETUP_PRETRIGGER_OFFSET = 12


def setup_head_at(block: bytes) -> int | None:
    """
    Return the offset of 1A's head; ``None`` when nothing proves it.

    It is found by its anchor, which exists only while the pre-trigger is the usual 0.25 s.
    Otherwise a valid sample rate at its place proves that the head starts at 0.
    """
    anchor = block.find(SETUP_ANCHOR, _SETUP_PRETRIGGER_OFFSET, 64)
    if anchor >= 0:
        return anchor - _SETUP_PRETRIGGER_OFFSET
    return 0 if SETUP_HEAD.parse(block)["sample_rate_hz"] in SAMPLE_RATES_HZ else None


def _setup_head(block: bytes) -> dict[str, Any]:
    at = setup_head_at(block)
    return {} if at is None else SETUP_HEAD.parse(block[at:])


class GeoBlock(NamedTuple):
    """A geophone's block of 1A: offsets of its label and its range byte, and the range."""

    label_at: int
    range_at: int
    range_in_s: float | None


def find_geo_block(block: bytes, channel: str) -> GeoBlock | None:
    """Return a geophone's block: its label with the geophone constant after it."""
    for match in re.finditer(channel.encode(), block):
        for after in range(SENSITIVITY_AFTER_LABEL, SENSITIVITY_EARLIEST - 1, -1):
            at = match.start() + after
            value = float_at(block, at)
            if value is not None and abs(value - SENSITIVITY_IN_S_PER_V) < 1e-3:
                place = at + RANGE_AFTER_SENSITIVITY
                code = block[place : place + 1]
                known = GEO_RANGE_BYTES.get(code[0]) if code else None
                return GeoBlock(match.start(), place, known)
    return None


class _Levels(NamedTuple):
    trigger: float | None
    alarm: float | None

    def known(self) -> int:
        return sum(level is not None for level in self)


_NO_LEVELS = _Levels(None, None)


def unit_text_at(block: bytes, label_at: int, unit: bytes) -> int | None:
    """Return the offset of the unit text of a channel's block; the next label ends the block."""
    ends = [block.find(name.encode(), label_at + 4) for name in CHANNELS]
    end = min([label_at + CHANNEL_BLOCK_BYTES, *(at for at in ends if at >= 0)])
    at = block.find(unit, label_at, end)
    return at if at >= 0 else None


def _levels(block: bytes, label_at: int, unit: bytes, before: int, limit: float) -> _Levels:
    """Return the two levels on either side of the unit text of a channel's block."""
    at = unit_text_at(block, label_at, unit)
    if at is None:
        return _NO_LEVELS
    return _Levels(
        within(float_at(block, at - before), 1e-6, limit),
        within(float_at(block, at + ALARM_AFTER_TEXT), 1e-6, limit),
    )


def parse_call_home(block: bytes) -> CallHome:
    """Return the call-home settings of a 2C payload; an invalid time is unknown."""
    fields = CALL_HOME.parse(block)

    def time(name: str) -> str | None:
        hour, minute = fields[f"{name}_hour"], fields[f"{name}_minute"]
        return f"{hour:02d}:{minute:02d}" if hour < 24 and minute < 60 else None

    flags = ("enabled", "after_event", "at_times", "first_enabled", "second_enabled")
    numbers = ("retries", "retry_wait_s", "connect_wait_s", "warm_up_s")
    return CallHome(
        dial=fields["dial"],
        first_time=time("first"),
        second_time=time("second"),
        **{name: fields[name] != 0 for name in flags},
        **{name: fields[name] for name in numbers},
    )


class Identity(NamedTuple):
    """The texts of a 01 payload."""

    firmware: str | None
    dsp_firmware: str | None
    manufacturer: str | None
    model: str | None
    calibrated_on: date | None
    simulated: bool


SIMULATED_TEXT = b"SIMULATED"
"""In the 01 block of a simulated unit, and of no real one: it identifies a simulation."""
SIMULATED_CALIBRATION_OFFSET = 0x60
"""Offset of a *simulated* unit's calibration date: day, month, year (2). Ours."""


def parse_identity(payload: bytes) -> Identity:
    """
    Return the texts of a 01 payload, found by their format, because no offset is known [U].

    The calibration date is in the block too, at an unknown offset: it stays ``None`` for a real
    unit. A simulated unit identifies itself and stores its date at an offset of our own.
    """

    def find(pattern: bytes) -> str | None:
        match = re.search(pattern, payload)
        return match.group().decode("ascii") if match else None

    simulated = SIMULATED_TEXT in payload
    calibrated_on = None
    raw = payload[SIMULATED_CALIBRATION_OFFSET : SIMULATED_CALIBRATION_OFFSET + 4]
    if simulated and len(raw) == 4:
        day, month, year = struct.unpack(">BBH", raw)
        try:
            calibrated_on = date(year, month, day)
        except ValueError:
            calibrated_on = None
    return Identity(
        firmware=find(rb"S\d{3}\.\d{2}"),
        dsp_firmware=find(rb"(?<![\d.S])\d{2}\.\d{2}(?![\d.])"),
        manufacturer=find(rb"Instantel"),
        model=find(rb"MiniMate Plus"),
        calibrated_on=calibrated_on,
        simulated=simulated,
    )


class StartRecord(NamedTuple):
    """The STRT record at the head of an event's image."""

    end_address: int
    start_address: int
    samples: int
    pretrigger_samples: int
    mode: RecordMode | None


def parse_start_record(image: bytes) -> StartRecord:
    """
    Return the STRT record from the first bytes of an event's memory image.

    Raises:
        RemoteProtocolError: no STRT follows the file-type tag.
    """
    fields = STRT.parse(image[STRT_OFFSET:])
    if fields["magic"] != b"STRT":
        raise RemoteProtocolError(
            f"event image: expected STRT at {STRT_OFFSET}, got {fields['magic'].hex(' ')}"
        )
    return StartRecord(
        fields["end_address"],
        fields["start_address"],
        fields["samples"],
        fields["pretrigger_samples"],
        RECORDING_MODES.get(fields["recording"]),
    )
