"""
The commands of the wire: one table, hexadecimal as on the wire.

A read takes two requests: a *probe* with length 0000, answered by a bare header, then a *fetch*
with the length in the table [C]. Three differ: ``0A`` gets its length from the probe's reply,
``1A`` is fetched in pages, and ``5A`` reads any stretch of event memory without a probe.

A command that changes a unit is sent once and acknowledged by a bare header. Blocks are written in
the order of the capture of 2026-03-11, each followed by a confirming command; a write's SUB is its
read's plus 60.

Each row carries the mark of its evidence: C captured, D derived from captured bytes,
I inferred, U unknown (docs/reference/wire.md explains the marks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minimateplus.wire.framing import PARAMS_BYTES

__all__ = [
    "ARM",
    "BULK_CHUNK_BYTES",
    "BULK_READ",
    "CALL_HOME",
    "CALL_HOME_TAIL",
    "COMMANDS",
    "CONFIRM_CALL_HOME",
    "CONFIRM_EVENT_COUNTER",
    "CONFIRM_SETUP",
    "CONFIRM_TRIGGER",
    "CONFIRM_UNKNOWN",
    "ERASE_BEGIN",
    "ERASE_CONFIRM",
    "EVENT_COUNTER",
    "EVENT_HEADER_BYTES",
    "FIRST_EVENT",
    "IDENTITY",
    "MONITOR_LOG_BYTES",
    "MONITOR_STATUS",
    "NEXT_EVENT",
    "NO_PARAMS",
    "POLL",
    "RECORDING_SETUP",
    "RECORD_HEADER",
    "SERIAL",
    "SETUP_BYTES",
    "SETUP_PAGES",
    "SETUP_TOKEN",
    "START_MONITORING",
    "STOP_MONITORING",
    "STORAGE_RANGE",
    "TRIGGER_BLOCK",
    "UNKNOWN_BLOCK",
    "WAVEFORM_RECORD",
    "WRITE_CALL_HOME",
    "WRITE_EVENT_COUNTER",
    "WRITE_SETUP",
    "WRITE_TRIGGER",
    "WRITE_UNKNOWN",
    "Command",
    "Mark",
    "address_params",
    "key_params",
    "page_params",
    "token_params",
]

Mark = Literal["C", "D", "I", "U"]


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: SUB, name, length of a fetch, and the mark of its evidence."""

    sub: int
    name: str
    fetch_bytes: int | None
    """Bytes that a fetch requests; ``None`` for 0A, 1A, 5A and commands that change a unit."""
    mark: Mark
    note: str
    changes: bool = False
    """Whether it changes the unit: such a command is never sent twice."""


EVENT_HEADER_BYTES = 0x46
"""Length of a 0A record that heads a triggered event. [C]"""
MONITOR_LOG_BYTES = 0x2C
"""Length of a 0A record that is a monitor-log entry. [C]"""

NO_PARAMS = bytes(PARAMS_BYTES)
ARM = 0xFE
"""The token: with 1E it arms the bulk read, with 06, A2 and A3 it is always there. [C]"""

POLL = Command(0x5B, "POLL", 0x30, "I", "wakes the unit; its answer's text is unknown")
SERIAL = Command(0x15, "serial number", 0x0A, "C", "ASCII, and two bytes of firmware")
IDENTITY = Command(0x01, "identity", 0x98, "C", "texts known, offsets unknown")
STORAGE_RANGE = Command(0x06, "storage range", 0x24, "C", "first and last key; token FE")
EVENT_COUNTER = Command(0x08, "event index", 0x58, "C", "lifetime counter at 3")
RECORD_HEADER = Command(0x0A, "record header", None, "C", "46 for events, 2C for log entries")
WAVEFORM_RECORD = Command(0x0C, "waveform record", 0xD2, "C", "date, peaks, project")
RECORDING_SETUP = Command(0x1A, "recording setup", None, "C", "2,090 bytes in four frames")
MONITOR_STATUS = Command(0x1C, "monitor status", 0x2C, "C", "clock, battery, memory")
FIRST_EVENT = Command(0x1E, "first key", 8, "C", "with token FE it arms the bulk read")
NEXT_EVENT = Command(0x1F, "next key", 8, "C", "after 0A visited the present key")
TRIGGER_BLOCK = Command(0x22, "trigger block", 0x2C, "I", "read form of 82 by the pattern; unseen")
UNKNOWN_BLOCK = Command(0x09, "block 09", 0xCA, "C", "purpose unknown; written back as 69")
CALL_HOME = Command(0x2C, "call home", 0x7C, "C", "dial string, when to call, retries")
BULK_READ = Command(0x5A, "bulk read", None, "D", "a plain read of event memory")

START_MONITORING = Command(
    0x96, "start monitoring", None, "C", "then checks its sensors: 40 s", True
)
STOP_MONITORING = Command(0x97, "stop monitoring", None, "C", "one frame", True)
ERASE_BEGIN = Command(0xA3, "erase, begin", None, "C", "token FE", True)
ERASE_CONFIRM = Command(0xA2, "erase, confirm", None, "C", "token FE; after 1C and 06", True)
WRITE_EVENT_COUNTER = Command(0x68, "write event index", None, "C", "88 bytes, as read by 08", True)
CONFIRM_EVENT_COUNTER = Command(0x73, "confirm event index", None, "C", "after 68", True)
WRITE_SETUP = Command(0x71, "write recording setup", None, "C", "three chunks", True)
CONFIRM_SETUP = Command(
    0x72, "confirm recording setup", None, "C", "after 71s, and last of all", True
)
WRITE_TRIGGER = Command(0x82, "write trigger block", None, "C", "44 bytes", True)
CONFIRM_TRIGGER = Command(0x83, "confirm trigger block", None, "C", "after 82", True)
WRITE_UNKNOWN = Command(0x69, "write block 09", None, "I", "202 bytes, as read by 09", True)
CONFIRM_UNKNOWN = Command(0x74, "confirm block 09", None, "C", "after 69", True)
WRITE_CALL_HOME = Command(
    0x7E, "write call home", None, "C", "126 bytes: those of 2C and 0000", True
)
CONFIRM_CALL_HOME = Command(0x7F, "confirm call home", None, "C", "after 7E", True)

COMMANDS: dict[int, Command] = {
    command.sub: command
    for command in (
        POLL,
        SERIAL,
        IDENTITY,
        STORAGE_RANGE,
        EVENT_COUNTER,
        RECORD_HEADER,
        WAVEFORM_RECORD,
        RECORDING_SETUP,
        MONITOR_STATUS,
        FIRST_EVENT,
        NEXT_EVENT,
        TRIGGER_BLOCK,
        UNKNOWN_BLOCK,
        CALL_HOME,
        BULK_READ,
        START_MONITORING,
        STOP_MONITORING,
        ERASE_BEGIN,
        ERASE_CONFIRM,
        WRITE_EVENT_COUNTER,
        CONFIRM_EVENT_COUNTER,
        WRITE_SETUP,
        CONFIRM_SETUP,
        WRITE_TRIGGER,
        CONFIRM_TRIGGER,
        WRITE_UNKNOWN,
        CONFIRM_UNKNOWN,
        WRITE_CALL_HOME,
        CONFIRM_CALL_HOME,
    )
}
"""Every command that this package sends or answers, by SUB."""

BULK_CHUNK_BYTES = 0x0400
"""Bytes requested by one 5A; 0400 and 0200 are captured, 0400 takes fewer exchanges. [C]"""

SETUP_PAGES = ((0x0400, 0x0000), (0x0400, 0x0400), (0x002A, 0x0800))
"""
Length field and start address of the three fetches of 1A, after its probe [C]; also of the three
chunks of 71, whose parameters exist in captures that we could not read [I].
"""
SETUP_BYTES = 0x082A
CALL_HOME_TAIL = bytes(2)
"""Written behind the 124 bytes of the call-home block. [C]"""
SETUP_TOKEN = 0x64


def key_params(key: bytes) -> bytes:
    """Return the parameters that name a record by its four-byte key (0A, 0C). [C]"""
    return bytes(4) + key + bytes(2)


def token_params(token: int) -> bytes:
    """Return the parameters with a token at place 7 (06, 1E, 1F; A2, A3). [C]"""
    return bytes(7) + bytes((token,)) + bytes(2)


def page_params(address: int) -> bytes:
    """Return the parameters of one page of 1A: start address at 2 and 3, token 64 at 7. [C]"""
    return bytes(2) + address.to_bytes(2, "big") + bytes(3) + bytes((SETUP_TOKEN,)) + bytes(2)


def address_params(address: int) -> bytes:
    """Return the parameters of 5A: a 32-bit address, the key plus a displacement. [D]"""
    return address.to_bytes(4, "big") + bytes(6)
