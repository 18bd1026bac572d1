"""
The payloads of a simulated unit: wire facts where they are known, our own choices elsewhere.

Every choice of ours is defined here and nowhere else; the wire notebook lists them. A client must
not depend on them: it finds texts by format or label.
"""

from __future__ import annotations

import struct
from datetime import date, datetime

from minimateplus.model import CHANNELS, Peaks, RecordingSetup
from minimateplus.wire import commands, layouts
from minimateplus.wire.layouts import build_text

__all__ = [
    "CHANNEL_BLOCKS_AT",
    "CHANNEL_STEP",
    "IDENTITY_SLOTS",
    "LABEL_BYTES",
    "MIC_LOW_THRESHOLD_PSI",
    "POLL_TEXT",
    "PROJECT_AT",
    "SETUP_NAME_AT",
    "SIMULATED_SLOT",
    "TEXTS_AT",
    "TRAN_AT",
    "UNIT_TEXT_AFTER_LABEL",
    "VALUE_BYTES",
    "VECTOR_SUM_AT",
    "call_home_block",
    "footer",
    "header_payload",
    "identity_payload",
    "poll_payload",
    "record_payload",
    "serial_payload",
    "setup_block",
    "texts_trailer",
    "unknown_block",
]

POLL_TEXT = b"Instantel\0MiniMate Plus\0"
"""The content of a reply to POLL is unknown; ours has maker and model."""

IDENTITY_SLOTS = {"serial": 0x00, "firmware": 0x10, "dsp": 0x20, "maker": 0x30, "model": 0x40}
SIMULATED_SLOT = 0x70
CHANNEL_BLOCKS_AT = 0x60
"""Ours: where the channel blocks of 1A start; they are ``CHANNEL_BLOCK_BYTES`` apart."""
UNIT_TEXT_AFTER_LABEL = {"geo": 44, "mic": 50}
TEXTS_AT = 0x200
LABEL_BYTES = 22
VALUE_BYTES = 42
"""Ours, as the notes guess: 22-byte labels before 42-byte values in 1A."""
SETUP_NAME_AT = 0x1C0

VECTOR_SUM_AT = 85
TRAN_AT = VECTOR_SUM_AT + layouts.VECTOR_SUM_BEFORE_LABEL
"""In 0C the sum was first documented at a fixed 87, in a record with two escapes before it."""
CHANNEL_STEP = 16
PROJECT_AT = 165

MIC_LOW_THRESHOLD_PSI = 0.01


def poll_payload() -> bytes:
    """Return the payload for POLL's fetch."""
    return POLL_TEXT.ljust(commands.POLL.fetch_bytes or 0, b"\0")


def serial_payload(serial: str, firmware: str) -> bytes:
    """Return the payload for 15."""
    minor = int(firmware.rpartition(".")[2] or 0)
    return layouts.SERIAL.build({"serial": serial, "unit_byte": 0x79, "firmware_minor": minor})


def identity_payload(serial: str, firmware: str, dsp: str, calibrated_on: date | None) -> bytes:
    """Return the payload for 01: texts in our own slots, and the mark of a simulation."""
    block = bytearray(commands.IDENTITY.fetch_bytes or 0)
    texts = {
        "serial": serial,
        "firmware": firmware,
        "dsp": dsp,
        "maker": "Instantel",
        "model": "MiniMate Plus",
    }
    for name, text in texts.items():
        at = IDENTITY_SLOTS[name]
        block[at : at + 16] = build_text(text, 16)
    if calibrated_on is not None:
        struct.pack_into(
            ">BBH",
            block,
            layouts.SIMULATED_CALIBRATION_OFFSET,
            calibrated_on.day,
            calibrated_on.month,
            calibrated_on.year,
        )
    block[SIMULATED_SLOT : SIMULATED_SLOT + 16] = layouts.SIMULATED_TEXT.ljust(16, b"\0")
    return bytes(block)


def setup_block(setup: RecordingSetup) -> bytes:
    """Return the 2,090 bytes of 1A."""
    block = bytearray(commands.SETUP_BYTES)
    head = layouts.SETUP_HEAD.build(
        {
            "mode": setup.mode or 0,
            "sample_rate_hz": setup.sample_rate_hz or 1024,
            "histogram_interval_s": setup.histogram_interval_s or 300,
            "pretrigger_s": -(0.25 if setup.pretrigger_s is None else setup.pretrigger_s),
            "record_time_s": setup.record_time_s or 1.0,
        }
    )
    block[: len(head)] = head
    for number, name in enumerate(CHANNELS):
        at = CHANNEL_BLOCKS_AT + number * layouts.CHANNEL_BLOCK_BYTES
        block[at : at + layouts.CHANNEL_BLOCK_BYTES] = _channel_block(name, setup)
    name_bytes = build_text(setup.setup_name or "", 40)
    block[SETUP_NAME_AT : SETUP_NAME_AT + 40] = name_bytes
    for number, (field, label) in enumerate(layouts.SETUP_TEXTS.items()):
        at = TEXTS_AT + number * (LABEL_BYTES + VALUE_BYTES)
        block[at : at + len(label)] = label
        at += LABEL_BYTES
        block[at : at + VALUE_BYTES] = build_text(getattr(setup, field) or "", VALUE_BYTES)
    return bytes(block)


def call_home_block() -> bytes:
    """Return the 124 bytes of 2C: off. Three retries as captured [C], the rest ours."""
    fields = {
        "own_length": layouts.CALL_HOME.size,
        "dial": "ATDT",
        "retries": 3,
        "retry_wait_s": 60,
        "connect_wait_s": 60,
        "warm_up_s": 60,
    }
    return layouts.CALL_HOME.build(fields)


def unknown_block(sub: int) -> bytes:
    """Return a block of which only the length is known: a length field, then zeros."""
    size = commands.COMMANDS[sub].fetch_bytes or 0
    return size.to_bytes(2, "big").ljust(size, b"\0")


def _channel_block(name: str, setup: RecordingSetup) -> bytes:
    block = bytearray(layouts.CHANNEL_BLOCK_BYTES)
    block[0:4] = name.encode()
    block[20] = 1
    if name == "MicL":
        at = UNIT_TEXT_AFTER_LABEL["mic"]
        block[at : at + 4] = layouts.MIC_UNIT_TEXT
        struct.pack_into(">f", block, at - 10, setup.mic_trigger_psi or 0.0)
        struct.pack_into(">f", block, at - 4, MIC_LOW_THRESHOLD_PSI)
        struct.pack_into(">f", block, at + 4, setup.mic_alarm_psi or 0.0)
        return bytes(block)
    at = UNIT_TEXT_AFTER_LABEL["geo"]
    constant = layouts.SENSITIVITY_AFTER_LABEL
    block[constant : constant + 4] = layouts.SENSITIVITY
    ranges = {value: byte for byte, value in layouts.GEO_RANGE_BYTES.items()}
    block[layouts.RANGE_AFTER_LABEL] = ranges[setup.geo_range_in_s or 10.0]
    block[at : at + 4] = layouts.GEO_UNIT_TEXT
    struct.pack_into(">f", block, at - 4, setup.trigger_level_in_s or 0.0)
    struct.pack_into(">f", block, at + 4, setup.alarm_level_in_s or 0.0)
    return bytes(block)


def header_payload(length: int, serial: str, start: datetime, stop: datetime, geo: float) -> bytes:
    """Return the payload for 0A: the 44-byte form as known, the 70-byte form padded with zeros."""
    text = build_text(serial, 9) + b"Geo: %.3f in/s" % geo
    fields = {"start": start, "stop": stop, "text": text.ljust(28, b"\0")}
    return layouts.RECORD_HEADER.build(fields).ljust(length, b"\0")


def record_payload(timestamp: datetime, peaks: Peaks, project: str | None) -> bytes:
    """Return the payload for 0C."""
    block = bytearray(layouts.WAVEFORM_RECORD.build({"timestamp": timestamp}))
    struct.pack_into(">f", block, VECTOR_SUM_AT, peaks.vector_sum_in_s or 0.0)
    values = (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s, peaks.mic_psi)
    for number, (name, value) in enumerate(zip(CHANNELS, values, strict=True)):
        at = TRAN_AT + number * CHANNEL_STEP
        block[at : at + 4] = name.encode()
        struct.pack_into(">f", block, at + layouts.PEAK_AFTER_LABEL, value or 0.0)
    block[PROJECT_AT : PROJECT_AT + 8] = b"Project:"
    block[PROJECT_AT + 8 :] = build_text(project or "", len(block) - PROJECT_AT - 8)
    return bytes(block)


def texts_trailer(setup: RecordingSetup) -> bytes:
    """Return the texts after an event's samples: those of the setup it was recorded under [C]."""
    return b"".join(
        label.ljust(LABEL_BYTES, b"\0") + build_text(getattr(setup, field) or "", VALUE_BYTES)
        for field, label in layouts.SETUP_TEXTS.items()
    )


def footer(start: datetime, stop: datetime) -> bytes:
    """Return the 26 bytes that end an event's image."""
    return layouts.FOOTER.build({"magic": b"\x0e\x08", "start": start, "stop": stop})
