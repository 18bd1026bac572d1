"""
Which characters the report's font has.

PDF/A does not permit text that its font cannot show, and units, people and limit curves may write
any. What is missing is printed as ``?``; ``result.json`` has the text as it is.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["FONT", "characters_of", "showable"]

FONT = Path(__file__).parent / "fonts" / "IBMPlexSans.ttf"
MISSING = "?"


def showable(value: Any) -> Any:
    """Return plain values whose texts have only characters that the font shows."""
    if isinstance(value, str):
        known = _known()
        if all(ord(c) in known for c in set(value)):
            return value
        return "".join(c if ord(c) in known or c == "\n" else MISSING for c in value)
    if isinstance(value, dict):
        return {key: showable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [showable(each) for each in value]
    return value


@lru_cache(maxsize=1)
def _known() -> frozenset[int]:
    return characters_of(FONT.read_bytes())


def characters_of(font: bytes) -> frozenset[int]:
    """
    Return the code points of a TrueType font: its ``cmap``, formats 4 and 12 (OpenType 1.9).

    Raises:
        ValueError: it has neither.
    """
    tables = struct.unpack_from(">H", font, 4)[0]
    records = (struct.unpack_from(">4sLLL", font, 12 + 16 * number) for number in range(tables))
    start = next((offset for tag, _, offset, _ in records if tag == b"cmap"), None)
    if start is None:
        raise ValueError("the font has no cmap")
    found: set[int] = set()
    for number in range(struct.unpack_from(">H", font, start + 2)[0]):
        at = start + struct.unpack_from(">L", font, start + 4 + 8 * number + 4)[0]
        kind = struct.unpack_from(">H", font, at)[0]
        if kind == 12:
            for group in range(struct.unpack_from(">L", font, at + 12)[0]):
                first, last, _ = struct.unpack_from(">LLL", font, at + 16 + 12 * group)
                found.update(range(first, last + 1))
        elif kind == 4:
            found.update(_format_4(font, at))
    if not found:
        raise ValueError("the font has no cmap of format 4 or 12")
    return frozenset(found - {0xFFFF})


def _format_4(font: bytes, at: int) -> list[int]:
    """Return the code points of a segment table; one that leads to glyph 0 is not there."""
    segments = struct.unpack_from(">H", font, at + 6)[0] // 2
    ends, size = at + 14, 2 * segments
    found = []
    for number in range(segments):
        end, start, delta, offset = (
            struct.unpack_from(">H", font, place + 2 * number)[0]
            for place in (ends, ends + 2 + size, ends + 2 + 2 * size, ends + 2 + 3 * size)
        )
        for code in range(start, end + 1):
            glyph = code
            if offset:
                place = ends + 2 + 3 * size + 2 * number + offset + 2 * (code - start)
                glyph = struct.unpack_from(">H", font, place)[0]
            if (glyph + (delta if glyph or not offset else 0)) & 0xFFFF:
                found.append(code)
    return found
