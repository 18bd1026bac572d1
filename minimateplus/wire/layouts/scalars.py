"""Single values on the wire: stamps, texts, numbers, keys."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

__all__ = [
    "KEY_BYTES",
    "NULL_KEY",
    "READ",
    "STAMP_BYTES",
    "TEXT_CODEC",
    "WRITE",
    "Kind",
    "build_stamp",
    "build_text",
    "decode_text",
    "parse_stamp",
    "parse_text",
    "unstorable",
]

Kind = Literal["u8", "u16", "u32", "f32", "key", "stamp", "text", "bytes"]

STAMP_BYTES = 8
KEY_BYTES = 4
NULL_KEY = bytes(KEY_BYTES)
"""1F's answer when there is no further key [C]; 1E's of an empty unit [U, our reading]."""


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


READ: dict[Kind, Callable[[bytes], Any]] = {
    "u8": lambda raw: raw[0],
    "u16": lambda raw: int.from_bytes(raw, "big"),
    "u32": lambda raw: int.from_bytes(raw, "big"),
    "f32": lambda raw: struct.unpack(">f", raw)[0],
    "key": bytes,
    "stamp": parse_stamp,
    "text": parse_text,
    "bytes": bytes,
}
WRITE: dict[Kind, Callable[[Any, int], bytes]] = {
    "u8": lambda value, size: int(value).to_bytes(size, "big"),
    "u16": lambda value, size: int(value).to_bytes(size, "big"),
    "u32": lambda value, size: int(value).to_bytes(size, "big"),
    "f32": lambda value, _: struct.pack(">f", value),
    "key": lambda value, _: bytes(value),
    "stamp": lambda value, _: build_stamp(value),
    "text": build_text,
    "bytes": lambda value, _: bytes(value),
}
