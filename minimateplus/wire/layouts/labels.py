"""Texts and channel blocks, found by the label before them or by their own format."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from minimateplus.conversions import GEO_RANGES_IN_S
from minimateplus.wire.layouts.scalars import decode_text

__all__ = [
    "ALARM_AFTER_TEXT",
    "CHANNEL_BLOCK_BYTES",
    "GEO_RANGE_BYTES",
    "GEO_UNIT_TEXT",
    "HISTOGRAM_INTERVALS_S",
    "LABEL_FIELD_BYTES",
    "MIC_UNIT_TEXT",
    "PEAK_AFTER_LABEL",
    "RANGE_AFTER_LABEL",
    "RANGE_AFTER_SENSITIVITY",
    "SAMPLE_RATES_HZ",
    "SENSITIVITY",
    "SENSITIVITY_AFTER_LABEL",
    "SENSITIVITY_EARLIEST",
    "SENSITIVITY_IN_S_PER_V",
    "SETUP_ANCHOR",
    "SETUP_TEXTS",
    "TRIGGER_BEFORE_GEO_TEXT",
    "TRIGGER_BEFORE_MIC_TEXT",
    "UNKNOWN_TITLE",
    "VECTOR_SUM_BEFORE_LABEL",
    "NoteField",
    "Text",
    "find_label",
    "find_note_fields",
    "find_text",
    "find_texts",
    "float_at",
    "note_titles",
    "text_after",
    "within",
]

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


def float_at(payload: bytes, offset: int) -> float | None:
    """Return a float at an offset; ``None`` where the payload has none."""
    if offset < 0 or offset + 4 > len(payload):
        return None
    (value,) = struct.unpack(">f", payload[offset : offset + 4])
    return float(value)


def within(value: float | None, low: float, high: float) -> float | None:
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
