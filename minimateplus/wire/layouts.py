"""
The place of each field in each payload, with the mark of its evidence.

The tables are the facts; the functions below them only apply the tables. A simulated unit builds
its payloads from the same tables, so it cannot judge them: captured bytes do
(tests/minimateplus/wire/test_layouts.py).

Marks: C captured live, D derived from captured bytes and arithmetic, I inferred, U unknown. What is
marked U stays unknown in code as well: it is skipped, or kept as raw bytes, never named hopefully.

Fields with a fixed place are in a ``Layout``. Texts and channel blocks have no proven place; they
are found by the label before them (0C, 1A) or by their own format (01).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

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
from minimateplus.wire.commands import Mark
from minimateplus.wire.conversions import GEO_RANGES_IN_S

__all__ = [
    "ALARM_AFTER_TEXT",
    "BODY_OFFSET",
    "CALL_HOME",
    "CHANNEL_BLOCK_BYTES",
    "EVENT_COUNTER",
    "FOOTER",
    "FOOTER_MAGIC",
    "GEO_RANGE_BYTES",
    "GEO_UNIT_TEXT",
    "HISTOGRAM_INTERVALS_S",
    "IMAGE_TAG",
    "KEY",
    "KEY_BYTES",
    "LABEL_FIELD_BYTES",
    "LAYOUTS",
    "MIC_UNIT_TEXT",
    "MONITOR_STATUS",
    "NULL_KEY",
    "PEAK_AFTER_LABEL",
    "RANGE_AFTER_LABEL",
    "RANGE_AFTER_SENSITIVITY",
    "RECORDING_MODES",
    "RECORD_HEADER",
    "SAMPLE_RATES_HZ",
    "SENSITIVITY",
    "SENSITIVITY_AFTER_LABEL",
    "SENSITIVITY_EARLIEST",
    "SENSITIVITY_IN_S_PER_V",
    "SERIAL",
    "SETUP_ANCHOR",
    "SETUP_HEAD",
    "SETUP_TEXTS",
    "SIMULATED_CALIBRATION_OFFSET",
    "SIMULATED_TEXT",
    "STAMP_BYTES",
    "STORAGE_RANGE",
    "STRT",
    "STRT_OFFSET",
    "TEXT_CODEC",
    "TRIGGER_BEFORE_GEO_TEXT",
    "TRIGGER_BEFORE_MIC_TEXT",
    "UNKNOWN_TITLE",
    "VECTOR_SUM_BEFORE_LABEL",
    "WAVEFORM_RECORD",
    "Field",
    "GeoBlock",
    "Identity",
    "Kind",
    "Layout",
    "NoteField",
    "StartRecord",
    "Text",
    "WaveformRecord",
    "build_stamp",
    "build_text",
    "decode_text",
    "find_geo_block",
    "find_label",
    "find_note_fields",
    "find_text",
    "find_texts",
    "note_titles",
    "parse_call_home",
    "parse_identity",
    "parse_monitor_log",
    "parse_monitor_status",
    "parse_serial",
    "parse_setup",
    "parse_stamp",
    "parse_start_record",
    "parse_storage_range",
    "parse_text",
    "parse_waveform_record",
    "setup_head_at",
    "text_after",
    "unit_text_at",
    "unstorable",
]

Kind = Literal["u8", "u16", "u32", "f32", "key", "stamp", "text", "bytes"]

STAMP_BYTES = 8
KEY_BYTES = 4
NULL_KEY = bytes(KEY_BYTES)
"""1F's answer when there is no further key [C]; 1E's of an empty unit [U, our reading]."""


# --- scalars ------------------------------------------------------------------------------------


def parse_stamp(raw: bytes) -> datetime | None:
    """
    Return the unit's own naive date of eight bytes, or ``None`` for an invalid date.

    Day, month, year (2), 00, hour, minute, second [D]; captured where nothing is escaped [C].

    >>> parse_stamp(bytes.fromhex("01 04 07ea 00 00 1c 0c")).isoformat()
    '2026-04-01T00:28:12'
    """
    if len(raw) != STAMP_BYTES:
        return None
    day, month, year, _, hour, minute, second = struct.unpack(">BBHBBBB", raw)
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def build_stamp(moment: datetime) -> bytes:
    """Return the eight bytes of a unit's date; see ``parse_stamp``."""
    return struct.pack(
        ">BBHBBBB",
        moment.day,
        moment.month,
        moment.year,
        0,
        moment.hour,
        moment.minute,
        moment.second,
    )


def parse_text(raw: bytes) -> str | None:
    """
    Return a null-padded text; ``None`` when it is empty.

    >>> parse_text(b"S\\xe3o Jo\\x81o\\0\\0")
    'São Jo\ufffdo'
    """
    return decode_text(raw.split(b"\0", 1)[0]).strip() or None


TEXT_CODEC = "cp1252"
"""
The encoding of texts beyond ASCII, from sites in Portugal, Brazil, Norway and Germany [C for the
texts of sibling models, I for this one].
"""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\xad]")
_NO_BREAK_SPACE = "\xa0"


def decode_text(raw: bytes) -> str:
    """
    Return the whole of a unit's text; each byte that encodes no letter becomes U+FFFD.

    So does each control character, because a unit's texts are shown in terminals and logs.
    """
    text = raw.decode(TEXT_CODEC, "replace").replace(_NO_BREAK_SPACE, " ")
    return _UNPRINTABLE.sub("\ufffd", text)


def unstorable(text: str) -> str:
    """
    Return the letters of ``text`` that a unit cannot store, each once, in their order.

    >>> unstorable("Vale-Verde, São João"), unstorable("北侧 5m 北")
    ('', '北侧')
    """
    return "".join(
        dict.fromkeys(c for c in text if decode_text(c.encode(TEXT_CODEC, "replace")) != c)
    )


def build_text(text: str, size: int) -> bytes:
    """Return a null-padded text of ``size`` bytes with at least one null; the rest is cut off."""
    return text.encode(TEXT_CODEC, "replace")[: size - 1].ljust(size, b"\0")


_READ: dict[Kind, Callable[[bytes], Any]] = {
    "u8": lambda raw: raw[0],
    "u16": lambda raw: int.from_bytes(raw, "big"),
    "u32": lambda raw: int.from_bytes(raw, "big"),
    "f32": lambda raw: struct.unpack(">f", raw)[0],
    "key": bytes,
    "stamp": parse_stamp,
    "text": parse_text,
    "bytes": bytes,
}
_WRITE: dict[Kind, Callable[[Any, int], bytes]] = {
    "u8": lambda value, size: int(value).to_bytes(size, "big"),
    "u16": lambda value, size: int(value).to_bytes(size, "big"),
    "u32": lambda value, size: int(value).to_bytes(size, "big"),
    "f32": lambda value, _: struct.pack(">f", value),
    "key": lambda value, _: bytes(value),
    "stamp": lambda value, _: build_stamp(value),
    "text": build_text,
    "bytes": lambda value, _: bytes(value),
}


# --- tables -------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One field: its place, its type, the mark of its evidence, and the source."""

    name: str
    offset: int
    size: int
    kind: Kind
    mark: Mark
    source: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of one payload. Bytes that no field covers are unknown, and built as zeros."""

    name: str
    size: int
    fields: tuple[Field, ...]

    def parse(self, payload: bytes) -> dict[str, Any]:
        """
        Return the fields by name.

        Raises:
            RemoteProtocolError: the payload is too short for its fields.
        """
        needed = max(field.offset + field.size for field in self.fields)
        if len(payload) < needed:
            raise RemoteProtocolError(
                f"{self.name}: expected at least {needed} bytes, got {len(payload)}"
            )
        return {f.name: _READ[f.kind](payload[f.offset : f.offset + f.size]) for f in self.fields}

    def encode(self, name: str, value: Any) -> tuple[int, bytes]:
        """
        Return the offset of one field, and its bytes for that value.

        Raises:
            KeyError: there is no such field.
            OverflowError: the number is too large for it.
        """
        for f in self.fields:
            if f.name == name:
                return f.offset, _WRITE[f.kind](value, f.size)
        raise KeyError(name)

    def build(self, values: Mapping[str, Any]) -> bytes:
        """
        Return a payload with ``values``; fields not given are zero.

        Raises:
            ValueError: a value does not have its field's size.
            OverflowError: a number is too large for it.
        """
        payload = bytearray(self.size)
        for f in self.fields:
            if f.name not in values:
                continue
            raw = _WRITE[f.kind](values[f.name], f.size)
            if len(raw) != f.size:
                raise ValueError(f"{self.name}: {f.name} has {f.size} bytes, got {len(raw)}")
            payload[f.offset : f.offset + f.size] = raw
        return bytes(payload)


SERIAL = Layout(
    "serial number (15)",
    0x0A,
    (
        Field("serial", 0, 8, "text", "C", "BE18189, 2026-02-26; pinned by its checksum"),
        Field("unit_byte", 8, 1, "u8", "U", "79 on BE18189; differs from unit to unit"),
        Field("firmware_minor", 9, 1, "u8", "C", "11 = 17 of S337.17, two units compared"),
    ),
)
STORAGE_RANGE = Layout(
    "storage range (06)",
    0x24,
    (
        Field("first_key", 28, 4, "key", "C", "2026-04-11"),
        Field("last_key", 32, 4, "key", "C", "2026-04-11; both 01110000 after erase"),
    ),
)
EVENT_COUNTER = Layout(
    "event index (08)",
    0x58,
    (
        Field(
            "lifetime_count",
            3,
            4,
            "u32",
            "C",
            "v0.17.0: not lowered by erase; older notes took it for the stored count",
        ),
    ),
)
KEY = Layout(
    "event key (1E, 1F)",
    8,
    (
        Field("key", 0, 4, "key", "C", "2026-03-31; null key = no more"),
        Field("rest", 4, 4, "bytes", "U", "ignored"),
    ),
)
RECORD_HEADER = Layout(
    "record header (0A)",
    0x2C,
    (
        Field("start", 0, 8, "stamp", "D", "of the 44-byte form; the 70-byte form is unknown"),
        Field("stop", 8, 8, "stamp", "D", "of the 44-byte form"),
        Field("text", 16, 28, "bytes", "D", "behind two dates: ASCII, serial, Geo: x.xxx in/s [C]"),
    ),
)
WAVEFORM_RECORD = Layout(
    "waveform record (0C)",
    0xD2,
    (Field("timestamp", 0, 8, "stamp", "D", "captured whole for 2026-05-01 [C]"),),
)
MONITOR_STATUS = Layout(
    "monitor status (1C)",
    0x2C,
    (
        Field("monitoring", 1, 1, "u8", "U", "00 idle; 10, or a byte hidden behind it, while on"),
        Field("clock", 2, 8, "stamp", "D", "vector V1, checksum captured"),
        Field("timer_start", 16, 8, "stamp", "I", "1995-01-01 06:00:00 in V1"),
        Field("timer_stop", 24, 8, "stamp", "I", "1995-01-01 21:00:00 in V1"),
        Field("battery_centivolts", 34, 2, "u16", "C", "02A8 = 6.80 V"),
        Field("memory_total_bytes", 36, 4, "u32", "C", "000EFFF2 = 983,026"),
        Field("memory_free_bytes", 40, 4, "u32", "C", "000E9E52 = 958,034"),
    ),
)
SETUP_HEAD = Layout(
    "recording setup (1A), head",
    22,
    (
        Field("mode", 5, 1, "u8", "C", "2026-04-20"),
        Field("sample_rate_hz", 6, 2, "u16", "C", "1024, 2048, 4096"),
        Field("histogram_interval_s", 8, 2, "u16", "C", "2026-04-20; default 300"),
        Field("pretrigger_s", 12, 4, "f32", "D", "BE800000 = -0.25"),
        Field("record_time_s", 18, 4, "f32", "C", "3, 5, 7, 8, 10, 13 seen"),
    ),
)
"""Offsets as un-escaped in the write block; ``parse_setup`` finds the block by its anchor."""

CALL_HOME = Layout(
    "call home (2C)",
    0x7C,
    (
        Field("own_length", 0, 2, "u16", "I", "00 7C"),
        Field("enabled", 5, 1, "u8", "C", "2026-04-20"),
        Field("dial", 6, 40, "text", "C", "40 ASCII, null padded"),
        Field("after_event", 87, 1, "u8", "C", "2026-04-20"),
        Field("at_times", 91, 1, "u8", "C", "2026-04-20"),
        Field("first_enabled", 93, 1, "u8", "C", "2026-04-20"),
        Field("second_enabled", 95, 1, "u8", "C", "2026-04-20"),
        Field("first_hour", 101, 1, "u8", "C", "2026-04-20"),
        Field("first_minute", 102, 1, "u8", "C", "2026-04-20"),
        Field("second_hour", 105, 1, "u8", "C", "2026-04-20"),
        Field("second_minute", 106, 1, "u8", "C", "2026-04-20"),
        Field("retries", 117, 1, "u8", "D", "10 03 at 117 of the escaped block"),
        Field("retry_wait_s", 119, 1, "u8", "D", "120 of the escaped block; one byte"),
        Field("connect_wait_s", 121, 1, "u8", "D", "122 of the escaped block"),
        Field("warm_up_s", 123, 1, "u8", "D", "124 of the escaped block"),
    ),
)

IMAGE_TAG = bytes.fromhex("00 12 03 00")
"""File type of a waveform event, the first bytes of its memory image. [C]"""
STRT = Layout(
    "event start record (STRT)",
    21,
    (
        Field("magic", 0, 4, "bytes", "C", "STRT"),
        Field("recording", 4, 2, "bytes", "C", "FFFE single shot, FFFD continuous"),
        Field("end_address", 6, 4, "u32", "D", "low half captured as the end offset, v0.13.0"),
        Field("start_address", 10, 4, "u32", "D", "the event's key"),
        Field("samples", 14, 2, "u16", "C", "per channel, 2026-04-14"),
        Field(
            "pretrigger_samples", 16, 2, "u16", "C", "208 seen at 1024/s; 0.25 s would be 256, X"
        ),
        Field("mode_byte", 18, 1, "u8", "C", "46 single shot, 0E continuous"),
    ),
)
STRT_OFFSET = len(IMAGE_TAG)
BODY_OFFSET = STRT_OFFSET + STRT.size
FOOTER = Layout(
    "event footer",
    26,
    (
        Field("magic", 0, 2, "bytes", "C", "0E08"),
        Field("start", 2, 8, "stamp", "C", "event file, 2026-04-22"),
        Field("stop", 10, 8, "stamp", "C", "event file, 2026-04-22"),
        Field("rest", 18, 8, "bytes", "U", ""),
    ),
)
FOOTER_MAGIC = bytes.fromhex("0e08")
RECORDING_MODES = {
    bytes.fromhex("fffe"): RecordMode.SINGLE_SHOT,
    bytes.fromhex("fffd"): RecordMode.CONTINUOUS,
}

LAYOUTS = (
    SERIAL,
    STORAGE_RANGE,
    EVENT_COUNTER,
    KEY,
    RECORD_HEADER,
    WAVEFORM_RECORD,
    MONITOR_STATUS,
    SETUP_HEAD,
    CALL_HOME,
    STRT,
    FOOTER,
)
"""Every table, for the notebook and its test."""


# --- found by label -----------------------------------------------------------------------------

PEAK_AFTER_LABEL = 6
"""Offset of a channel's peak float in 0C from the start of its label. [C]"""
VECTOR_SUM_BEFORE_LABEL = 12
"""How far before the label Tran the peak vector sum of 0C is. [C; an older note has 87, X]"""

SETUP_ANCHOR = bytes.fromhex("be 80 00 00 00 00")
"""Pre-trigger -0.25 s and two zeros, by which the setup's head is found. [C]"""
SENSITIVITY_IN_S_PER_V = 6.206053
SENSITIVITY = struct.pack(">f", SENSITIVITY_IN_S_PER_V)
SENSITIVITY_AFTER_LABEL = 28
"""The geophone constant in every geophone block of 1A: never written, marks the block. [C]"""
SENSITIVITY_EARLIEST = 20
"""
The notes counted some escapes as bytes, so in a real block the constant may be a few bytes
earlier than 28, and the range with it. The search starts here. [I]
"""
RANGE_AFTER_LABEL = 33
"""00 = 10.000 in/s, 01 = 1.250 in/s. [C; an older note has +29 for the write form, X]"""
RANGE_AFTER_SENSITIVITY = RANGE_AFTER_LABEL - SENSITIVITY_AFTER_LABEL
GEO_RANGE_BYTES = dict(enumerate(GEO_RANGES_IN_S))
CHANNEL_BLOCK_BYTES = 80
"""How far after a label its levels are searched for. [U: ours]"""
GEO_UNIT_TEXT = b"in./"
MIC_UNIT_TEXT = b"psi\0"
TRIGGER_BEFORE_GEO_TEXT = 4
"""Trigger float, four bytes of unit text, alarm float: by analogy with the microphone. [I]"""
TRIGGER_BEFORE_MIC_TEXT = 10
"""Captured in a 71 write: trigger, two bytes, low threshold, ``psi``, alarm. [C]"""
ALARM_AFTER_TEXT = 4

SETUP_TEXTS = {
    "project": b"Project:",
    "client": b"Client:",
    "operator": b"User Name:",
    "location": b"Seis Loc:",
    "notes": b"Extended Notes",
}
"""Labels of the texts in 1A [C]; the widths of label and value are unknown [U]."""
LABEL_FIELD_BYTES = 40
"""A value must start within this distance of its label's start. [U: ours; 22 is guessed]"""

SAMPLE_RATES_HZ = (1024, 2048, 4096)
HISTOGRAM_INTERVALS_S = (2, 5, 15, 60, 300, 900)


def _float_at(payload: bytes, offset: int) -> float | None:
    if offset < 0 or offset + 4 > len(payload):
        return None
    (value,) = struct.unpack(">f", payload[offset : offset + 4])
    return float(value)


def _within(value: float | None, low: float, high: float) -> float | None:
    """Return ``value`` if it is in range, else ``None`` (unknown). NaN is out of range."""
    return value if value is not None and low <= value <= high else None


class Text(NamedTuple):
    """A text of 0C or 1A, and its offset."""

    start: int
    text: str


def find_text(payload: bytes, label: bytes) -> Text | None:
    """Return the null-padded text after ``label`` and the nulls that pad the label's field."""
    at = find_label(payload, label)
    if at is None:
        return None
    match = _NULLS_THEN_TEXT.match(payload, at + len(label))
    if match is None or match.start(1) > at + LABEL_FIELD_BYTES:
        return None
    text = decode_text(match.group(1))
    for other in _LABEL_TEXTS:
        # An empty value leaves nulls up to the next label, which is not its value; a value that
        # fills its field to the last byte is followed by that label without a null.
        text = "" if text.startswith(other) else text.removesuffix(other)
    text = text.strip()
    return Text(match.start(1), text) if text else None


# "Extended Notes" may have a colon as well.
_NULLS_THEN_TEXT = re.compile(rb":?+\0*([^\x00-\x1f\x7f][^\0]*)")
_LABEL_TEXTS = tuple(label.decode("ascii") for label in SETUP_TEXTS.values())


def find_label(payload: bytes, label: bytes) -> int | None:
    """
    Return the offset of ``label``, and not of a value that contains the same words.

    A label starts a run of text, unless the value before it fills its field; then the nulls after
    the label identify it.
    """
    quoted = re.escape(label)
    # A byte beyond ASCII before it may belong to a text, or be the last byte of a number.
    starts = (
        rb"(?<![\x20-\x7e\x80-\xff])" + quoted,
        rb"(?<![\x20-\x7e])" + quoted,
        quoted + rb"\0",
    )
    matches = (re.search(pattern, payload) for pattern in starts)
    match = next((found for found in matches if found), None)
    return match.start() if match else None


class NoteField(NamedTuple):
    """A text field of 1A: the offset of its title, and the title."""

    at: int
    title: bytes


UNKNOWN_TITLE = "unknown"
"""The name under which a title without a known text field is listed."""

_RUN = re.compile(rb"[\x20-\x7e]+")
_TITLE_BYTES = 22


def find_note_fields(block: bytes) -> dict[str, NoteField]:
    """
    Return the text fields of 1A, those with titles that were edited on the unit included.

    Two known titles or more show the distance from one field to the next, if all agree on it; a
    field between or beside them then starts at its own multiple of it. The text
    there is its title if it is short, with nothing before and a null after it. [I: equal distances]
    """
    names = list(SETUP_TEXTS)
    found = {
        name: NoteField(at, label)
        for name, label in SETUP_TEXTS.items()
        if (at := find_label(block, label)) is not None
    }
    if len(found) == len(names) or len(found) < 2:
        return found
    places = [(names.index(name), one.at) for name, one in found.items()]
    first, start = places[0]
    strides = {(at - start) / (number - first) for number, at in places[1:]}
    stride = strides.pop()
    if strides or stride <= _TITLE_BYTES or stride != int(stride):
        return found
    for number, name in enumerate(names):
        at = start + (number - first) * int(stride)
        title = _title_at(block, at)
        if name not in found and title is not None:
            found[name] = NoteField(at, title)
    return found


def _title_at(block: bytes, at: int) -> bytes | None:
    """Return the title that starts exactly at ``at``, also directly after a full value."""
    match = _RUN.match(block, at) if at > 0 else None
    is_title = (
        match is not None
        and match.end() - at < _TITLE_BYTES
        and block[match.end() :].startswith(b"\0")
    )
    return match.group() if match is not None and is_title else None


def find_texts(block: bytes) -> dict[str, Text | None]:
    """Return the texts of 1A by name; ``None``: empty, or its field is not shown."""
    fields = find_note_fields(block)
    texts: dict[str, Text | None] = dict.fromkeys(SETUP_TEXTS)
    for name, one in fields.items():
        # Only up to the next field, because a text that fills its own runs into a title.
        end = min((other.at for other in fields.values() if other.at > one.at), default=None)
        found = find_text(block[one.at : end], one.title)
        texts[name] = None if found is None else Text(one.at + found.start, found.text)
    return texts


def note_titles(block: bytes) -> dict[str, str] | None:
    """
    Return the titles that are not the usual ones, by the name of their text; ``None``: none.

    Of those whose place nothing shows, the first is under ``unknown``.
    """
    fields = find_note_fields(block)
    edited = {
        name: one.title.decode("ascii")
        for name, one in fields.items()
        if one.title != SETUP_TEXTS[name]
    }
    if len(fields) < len(SETUP_TEXTS):
        places = {one.at for one in fields.values()}
        for match in re.finditer(rb"(?<![\x20-\x7e])[\x20-\x7e]{2,21}:(?=\0)", block):
            if match.start() not in places:
                edited[UNKNOWN_TITLE] = match.group().decode("ascii")
                break
    return edited or None


def text_after(payload: bytes, label: bytes) -> str | None:
    """
    Return the text after a label of 0C or 1A; ``None`` when it is empty or missing.

    >>> text_after(b"Project:" + bytes(14) + b"Long Lake" + bytes(33) + b"Client:", b"Project:")
    'Long Lake'
    """
    found = find_text(payload, label)
    return found.text if found else None


# --- records ------------------------------------------------------------------------------------


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
        battery_v=_within(fields["battery_centivolts"] / 100, 0.01, 20.0),
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
    tran, vert, long, mic = (_float_at(payload, place + PEAK_AFTER_LABEL) for place in places)
    vector_sum = _float_at(payload, places[0] - VECTOR_SUM_BEFORE_LABEL)
    limit = 2 * GEO_RANGES_IN_S[0]
    return Peaks(
        tran_in_s=_within(tran, 0.0, limit),
        vert_in_s=_within(vert, 0.0, limit),
        long_in_s=_within(long, 0.0, limit),
        # A peak is a magnitude: only samples have a sign.
        mic_psi=_within(mic, 0.0, 10.0),
        vector_sum_in_s=_within(vector_sum, 0.0, 2 * limit),
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
    pretrigger = _within(head.get("pretrigger_s"), -10.0, 0.0)
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
        record_time_s=_within(head.get("record_time_s"), 0.1, 600.0),
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
            value = _float_at(block, at)
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
        _within(_float_at(block, at - before), 1e-6, limit),
        _within(_float_at(block, at + ALARM_AFTER_TEXT), 1e-6, limit),
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
