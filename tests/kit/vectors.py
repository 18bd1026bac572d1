"""
The frames that judge the codec: every vector of the fact sheet's section 25, with its fields.

The first two are captured and their checksums came off the wire; the others follow from the rule
that those two pin. ``ESCAPED_PIECES`` and what follows are captured pieces, no whole frames.
Nothing here is made with the code that it judges.
"""

from __future__ import annotations

from typing import NamedTuple

from minimateplus.wire.framing import Direction, Frame

HOST = Direction.REQUEST
UNIT = Direction.REPLY


class Vector(NamedTuple):
    """One frame, as fields and as it crosses the wire, both in hexadecimal."""

    name: str
    direction: Direction
    sub: int
    length: int
    params_hex: str
    payload_hex: str
    wire_hex: str

    @property
    def frame(self) -> Frame:
        """What the frame says."""
        params, payload = bytes.fromhex(self.params_hex), bytes.fromhex(self.payload_hex)
        return Frame(self.sub, self.length, params, payload)

    @property
    def wire(self) -> bytes:
        """The frame as it crosses the wire."""
        return bytes.fromhex(self.wire_hex)


VECTORS = (
    Vector(
        "SUB 1C idle, BE11529, captured",
        UNIT,
        0xE3,
        0x002C,
        "00000000 00000000 0000",
        "00 00 08 04 07 ea 00 01 3b 2d 00 00 00 00 00 00 01 01 07 cb 00 06 00 00 01 01 07 cb "
        "00 15 00 00 00 00 02 a8 00 0e ff f2 00 0e 9e 52",
        "10 02 00 10 10 e3 00 00 2c 00 00 00 00 00 00 00 00 00 00 00 00 08 10 04 07 ea 00 01 "
        "3b 2d 00 00 00 00 00 00 01 01 07 cb 00 06 00 00 01 01 07 cb 00 15 00 00 00 00 10 02 "
        "a8 00 0e ff f2 00 0e 9e 52 ef 03",
    ),
    Vector(
        "SUB 15, BE18189, captured text and checksum",
        UNIT,
        0xEA,
        0x000A,
        "00000000 00000000 0000",
        "42 45 31 38 31 38 39 00 79 11",
        "10 02 00 10 10 ea 00 00 0a 00 00 00 00 00 00 00 00 00 00 42 45 31 38 31 38 39 00 79 "
        "11 20 03",
    ),
    Vector(
        "POLL probe",
        HOST,
        0x5B,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 5b 00 00 00 00 00 00 00 00 00 00 00 00 00 6b 03",
    ),
    Vector(
        "POLL fetch 0x30",
        HOST,
        0x5B,
        0x0030,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 5b 00 00 30 00 00 00 00 00 00 00 00 00 00 9b 03",
    ),
    Vector(
        "SUB 15 probe",
        HOST,
        0x15,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 15 00 00 00 00 00 00 00 00 00 00 00 00 00 25 03",
    ),
    Vector(
        "SUB 15 fetch 0x0A",
        HOST,
        0x15,
        0x000A,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 15 00 00 0a 00 00 00 00 00 00 00 00 00 00 2f 03",
    ),
    Vector(
        "SUB 01 probe",
        HOST,
        0x01,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 11 03",
    ),
    Vector(
        "SUB 01 fetch 0x98",
        HOST,
        0x01,
        0x0098,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 01 00 00 98 00 00 00 00 00 00 00 00 00 00 a9 03",
    ),
    Vector(
        "SUB 08 fetch 0x58",
        HOST,
        0x08,
        0x0058,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 08 00 00 58 00 00 00 00 00 00 00 00 00 00 70 03",
    ),
    Vector(
        "SUB 1C probe",
        HOST,
        0x1C,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 1c 00 00 00 00 00 00 00 00 00 00 00 00 00 2c 03",
    ),
    Vector(
        "SUB 1C fetch 0x2C",
        HOST,
        0x1C,
        0x002C,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 1c 00 00 2c 00 00 00 00 00 00 00 00 00 00 58 03",
    ),
    Vector(
        "SUB 06 probe token FE",
        HOST,
        0x06,
        0x0000,
        "00000000 000000fe 0000",
        "",
        "41 02 10 10 00 06 00 00 00 00 00 00 00 00 00 00 fe 00 00 14 03",
    ),
    Vector(
        "SUB 06 fetch 0x24 token FE",
        HOST,
        0x06,
        0x0024,
        "00000000 000000fe 0000",
        "",
        "41 02 10 10 00 06 00 00 24 00 00 00 00 00 00 00 fe 00 00 38 03",
    ),
    Vector(
        "SUB 2C probe",
        HOST,
        0x2C,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 2c 00 00 00 00 00 00 00 00 00 00 00 00 00 3c 03",
    ),
    Vector(
        "SUB 2C fetch 0x7C",
        HOST,
        0x2C,
        0x007C,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 2c 00 00 7c 00 00 00 00 00 00 00 00 00 00 b8 03",
    ),
    Vector(
        "SUB 1E probe",
        HOST,
        0x1E,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 1e 00 00 00 00 00 00 00 00 00 00 00 00 00 2e 03",
    ),
    Vector(
        "SUB 1E fetch 8",
        HOST,
        0x1E,
        0x0008,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 1e 00 00 08 00 00 00 00 00 00 00 00 00 00 36 03",
    ),
    Vector(
        "SUB 1E arm probe token FE",
        HOST,
        0x1E,
        0x0000,
        "00000000 000000fe 0000",
        "",
        "41 02 10 10 00 1e 00 00 00 00 00 00 00 00 00 00 fe 00 00 2c 03",
    ),
    Vector(
        "SUB 1E arm fetch token FE",
        HOST,
        0x1E,
        0x0008,
        "00000000 000000fe 0000",
        "",
        "41 02 10 10 00 1e 00 00 08 00 00 00 00 00 00 00 fe 00 00 34 03",
    ),
    Vector(
        "SUB 1F probe",
        HOST,
        0x1F,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 2f 03",
    ),
    Vector(
        "SUB 1F fetch 8",
        HOST,
        0x1F,
        0x0008,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 1f 00 00 08 00 00 00 00 00 00 00 00 00 00 37 03",
    ),
    Vector(
        "SUB 0A probe key 01110000",
        HOST,
        0x0A,
        0x0000,
        "00000000 01110000 0000",
        "",
        "41 02 10 10 00 0a 00 00 00 00 00 00 00 01 11 00 00 00 00 2c 03",
    ),
    Vector(
        "SUB 0A fetch 0x46",
        HOST,
        0x0A,
        0x0046,
        "00000000 01110000 0000",
        "",
        "41 02 10 10 00 0a 00 00 46 00 00 00 00 01 11 00 00 00 00 72 03",
    ),
    Vector(
        "SUB 0A fetch 0x2C key 011121F2",
        HOST,
        0x0A,
        0x002C,
        "00000000 011121f2 0000",
        "",
        "41 02 10 10 00 0a 00 00 2c 00 00 00 00 01 11 21 f2 00 00 6b 03",
    ),
    Vector(
        "SUB 0C probe key 01110000",
        HOST,
        0x0C,
        0x0000,
        "00000000 01110000 0000",
        "",
        "41 02 10 10 00 0c 00 00 00 00 00 00 00 01 11 00 00 00 00 2e 03",
    ),
    Vector(
        "SUB 0C fetch 0xD2",
        HOST,
        0x0C,
        0x00D2,
        "00000000 01110000 0000",
        "",
        "41 02 10 10 00 0c 00 00 d2 00 00 00 00 01 11 00 00 00 00 00 03",
    ),
    Vector(
        "SUB 1A A",
        HOST,
        0x1A,
        0x0000,
        "00000000 00000064 0000",
        "",
        "41 02 10 10 00 1a 00 00 00 00 00 00 00 00 00 00 64 00 00 8e 03",
    ),
    Vector(
        "SUB 1A B",
        HOST,
        0x1A,
        0x0400,
        "00000000 00000064 0000",
        "",
        "41 02 10 10 00 1a 00 10 04 00 00 00 00 00 00 00 00 64 00 00 92 03",
    ),
    Vector(
        "SUB 1A D",
        HOST,
        0x1A,
        0x002A,
        "00000800 00000064 0000",
        "",
        "41 02 10 10 00 1a 00 00 2a 00 00 08 00 00 00 00 64 00 00 c0 03",
    ),
    Vector(
        "SUB 5A 512 bytes at 01110000",
        HOST,
        0x5A,
        0x0200,
        "01110000 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 02 00 01 11 00 00 00 00 00 00 00 00 7e 03",
    ),
    Vector(
        "SUB 5A 512 bytes at 01110200",
        HOST,
        0x5A,
        0x0200,
        "01110200 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 02 00 01 11 10 02 00 00 00 00 00 00 00 80 03",
    ),
    Vector(
        "SUB 5A 512 bytes at 01110400",
        HOST,
        0x5A,
        0x0200,
        "01110400 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 02 00 01 11 10 04 00 00 00 00 00 00 00 82 03",
    ),
    Vector(
        "SUB 5A 512 bytes at 01110600",
        HOST,
        0x5A,
        0x0200,
        "01110600 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 02 00 01 11 06 00 00 00 00 00 00 00 84 03",
    ),
    Vector(
        "SUB 5A 512 bytes at 01111000",
        HOST,
        0x5A,
        0x0200,
        "01111000 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 02 00 01 11 10 10 00 00 00 00 00 00 00 8e 03",
    ),
    Vector(
        "SUB 5A 512 bytes at 01112238",
        HOST,
        0x5A,
        0x0200,
        "01112238 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 02 00 01 11 22 38 00 00 00 00 00 00 d8 03",
    ),
    Vector(
        "SUB 5A 1024 bytes at 0111245A",
        HOST,
        0x5A,
        0x0400,
        "0111245a 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 10 04 00 01 11 24 5a 00 00 00 00 00 00 fe 03",
    ),
    Vector(
        "SUB 5A last read 0x5A bytes at 01112000",
        HOST,
        0x5A,
        0x005A,
        "01112000 00000000 0000",
        "",
        "41 02 10 10 00 5a 00 00 5a 01 11 20 00 00 00 00 00 00 00 f6 03",
    ),
    Vector(
        "SUB 96",
        HOST,
        0x96,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 96 00 00 00 00 00 00 00 00 00 00 00 00 00 a6 03",
    ),
    Vector(
        "SUB 97",
        HOST,
        0x97,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 97 00 00 00 00 00 00 00 00 00 00 00 00 00 a7 03",
    ),
    Vector(
        "SUB A3 token FE",
        HOST,
        0xA3,
        0x0000,
        "00000000 000000fe 0000",
        "",
        "41 02 10 10 00 a3 00 00 00 00 00 00 00 00 00 00 fe 00 00 b1 03",
    ),
    Vector(
        "SUB A2 token FE",
        HOST,
        0xA2,
        0x0000,
        "00000000 000000fe 0000",
        "",
        "41 02 10 10 00 a2 00 00 00 00 00 00 00 00 00 00 fe 00 00 b0 03",
    ),
    Vector(
        "SUB 72 confirm",
        HOST,
        0x72,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 72 00 00 00 00 00 00 00 00 00 00 00 00 00 82 03",
    ),
    Vector(
        "SUB 73 confirm",
        HOST,
        0x73,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 73 00 00 00 00 00 00 00 00 00 00 00 00 00 83 03",
    ),
    Vector(
        "SUB 74 confirm",
        HOST,
        0x74,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 74 00 00 00 00 00 00 00 00 00 00 00 00 00 84 03",
    ),
    Vector(
        "SUB 83 confirm",
        HOST,
        0x83,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 83 00 00 00 00 00 00 00 00 00 00 00 00 00 93 03",
    ),
    Vector(
        "SUB 7F confirm",
        HOST,
        0x7F,
        0x0000,
        "00000000 00000000 0000",
        "",
        "41 02 10 10 00 7f 00 00 00 00 00 00 00 00 00 00 00 00 00 8f 03",
    ),
    Vector(
        "any 1C probe",
        UNIT,
        0xE3,
        0x0000,
        "00000000 00000000 0000",
        "",
        "10 02 00 10 10 e3 00 00 00 00 00 00 00 00 00 00 00 00 00 f3 03",
    ),
    Vector(
        "POLL probe, answered",
        UNIT,
        0xA4,
        0x0000,
        "00000000 00000000 0000",
        "",
        "10 02 00 10 10 a4 00 00 00 00 00 00 00 00 00 00 00 00 00 b4 03",
    ),
    Vector(
        "1E: first key 01110000",
        UNIT,
        0xE1,
        0x0008,
        "00000000 00000000 0000",
        "01 11 00 00 00 00 00 00",
        "10 02 00 10 10 e1 00 00 08 00 00 00 00 00 00 00 00 00 00 01 11 00 00 00 00 00 00 0b 03",
    ),
    Vector(
        "1F: no more",
        UNIT,
        0xE0,
        0x0008,
        "00000000 00000000 0000",
        "00 00 00 00 00 00 00 00",
        "10 02 00 10 10 e0 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 f8 03",
    ),
    Vector(
        "0A probe, key 01110000, event (46)",
        UNIT,
        0xF5,
        0x0000,
        "00000046 01110000 0000",
        "",
        "10 02 00 10 10 f5 00 00 00 00 00 00 46 01 11 00 00 00 00 5d 03",
    ),
    Vector(
        "06 after erase (first 28 bytes taken as zero)",
        UNIT,
        0xF9,
        0x0024,
        "00000000 000000fe 0000",
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
        "01 11 00 00 01 11 00 00",
        "10 02 00 10 10 f9 00 00 24 00 00 00 00 00 00 00 fe 00 00 00 00 00 00 00 00 00 00 00 "
        "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 11 00 00 01 11 00 00 4f "
        "03",
    ),
    Vector(
        "A3 ack",
        UNIT,
        0x5C,
        0x0000,
        "00000000 000000fe 0000",
        "",
        "10 02 00 10 10 5c 00 00 00 00 00 00 00 00 00 00 fe 00 00 6a 03",
    ),
    Vector(
        "A2 ack",
        UNIT,
        0x5D,
        0x0000,
        "00000000 000000fe 0000",
        "",
        "10 02 00 10 10 5d 00 00 00 00 00 00 00 00 00 00 fe 00 00 6b 03",
    ),
    Vector(
        "96 ack",
        UNIT,
        0x69,
        0x0000,
        "00000000 00000000 0000",
        "",
        "10 02 00 10 10 69 00 00 00 00 00 00 00 00 00 00 00 00 00 79 03",
    ),
    Vector(
        "97 ack",
        UNIT,
        0x68,
        0x0000,
        "00000000 00000000 0000",
        "",
        "10 02 00 10 10 68 00 00 00 00 00 00 00 00 00 00 00 00 00 78 03",
    ),
)
BY_NAME = {vector.name: vector for vector in VECTORS}
assert len(BY_NAME) == len(VECTORS)

BOOT_TEXT = bytes.fromhex("4f 70 65 72 61 74 69 6e 67 20 53 79 73 74 65 6d")
"""What a unit says when it wakes, captured."""
MODEM_TEXT = bytes.fromhex("0d 0a 52 49 4e 47 0d 0a 0d 0a 43 4f 4e 4e 45 43 54 0d 0a")
"""What an RV50 or RV55 says to its caller before the unit's first byte, captured."""

ESCAPED_PIECES = (
    ("0C date, 2026-04-01 00:28:12", "01 10 04 07 ea 00 00 1c 0c", "01 04 07 ea 00 00 1c 0c"),
    ("0C date, 2026-05-01, nothing to escape", "01 05 07 ea", "01 05 07 ea"),
    ("token parameters", "00 00 00 00 00 00 00 fe 00 00", "00 00 00 00 00 00 00 fe 00 00"),
    ("1A anchor", "01 2c 00 00 be 80 00 00 00 00", "01 2c 00 00 be 80 00 00 00 00"),
    ("sample rate 4096", "10 10 00", "10 00"),
    ("sample rate 1024", "10 04 00", "04 00"),
    ("call-home retries", "10 03", "03"),
    ("MicL peak", "39 64 1d aa", "39 64 1d aa"),
    ("histogram block tail", "1e 0a 00 00", "1e 0a 00 00"),
)
"""Captured pieces of payload: name, as it crossed the wire, un-escaped."""

FILE_HEADER = bytes.fromhex("10 00 01 80 00 00 49 6e 73 74 61 6e 74 65 6c 00 07 2c 00 12 03 00")
"""The first 22 bytes of an event file of Blastware, captured; files are never escaped."""
STRT_HEAD = bytes.fromhex("53 54 52 54 ff fe")
WIDE_BLOCK = bytes.fromhex("11 90")
SEGMENT_TAG = bytes.fromhex("40 02")
MONITOR_LOG_TAG = bytes.fromhex("22 01 0e a0")
