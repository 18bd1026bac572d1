"""Fields with a fixed place, each with the mark of its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from minimateplus.errors import RemoteProtocolError
from minimateplus.model import (
    RecordMode,
)
from minimateplus.wire.commands import Mark
from minimateplus.wire.layouts.scalars import READ, WRITE, Kind

__all__ = [
    "BODY_OFFSET",
    "CALL_HOME",
    "EVENT_COUNTER",
    "FOOTER",
    "FOOTER_MAGIC",
    "IMAGE_TAG",
    "KEY",
    "LAYOUTS",
    "MONITOR_STATUS",
    "RECORDING_MODES",
    "RECORD_HEADER",
    "SERIAL",
    "SETUP_HEAD",
    "STORAGE_RANGE",
    "STRT",
    "STRT_OFFSET",
    "WAVEFORM_RECORD",
    "Field",
    "Layout",
]


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
        return {f.name: READ[f.kind](payload[f.offset : f.offset + f.size]) for f in self.fields}

    def encode(self, name: str, value: Any) -> tuple[int, bytes]:
        """
        Return the offset of one field, and its bytes for that value.

        Raises:
            KeyError: there is no such field.
            OverflowError: the number is too large for it.
        """
        for f in self.fields:
            if f.name == name:
                return f.offset, WRITE[f.kind](value, f.size)
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
            raw = WRITE[f.kind](values[f.name], f.size)
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
