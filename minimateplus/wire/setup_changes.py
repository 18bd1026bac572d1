"""
New settings in a unit's own blocks: bytes of the given fields, and no others.

The rule: the written block is the one read from the unit, with a few bytes changed. A field is
changed only where the block itself shows its place, as ``layouts`` finds it for reading; otherwise
nothing is (``NotWritableError``). Constants of the instrument are never changed, and the new block
must parse as the old one with the new values, or it is not returned.

``LIMITS`` has the allowed values of each setting. Figures marked I are our own; a unit may be
stricter, which shows when the setting is read back.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minimateplus.conversions import GEO_RANGES_IN_S
from minimateplus.errors import NotWritableError, SettingError
from minimateplus.model import CHANNELS, CallHomeChange, FieldChange, RecordingSetup, SetupChange
from minimateplus.wire import layouts
from minimateplus.wire.commands import Mark

__all__ = [
    "DIAL",
    "GEO_CHANNELS",
    "LIMITS",
    "MAX_DIAL_LETTERS",
    "TEXT",
    "TIME",
    "Limit",
    "Spans",
    "change_call_home",
    "change_setup",
]

Spans = dict[int, bytes]
"""New bytes by their offset in a block."""

GEO_CHANNELS = CHANNELS[:3]
DIAL = r"[\x20-\x7e]*"
"""The characters of a dial command, as a whole match: printable ASCII."""
_PAGE = bytes(range(0x80, 0xA0)).decode(layouts.TEXT_CODEC, "ignore")
TEXT = rf"[\x20-\x7e\xa1-\xac\xae-\xff{_PAGE}]*"
"""A text, as a whole match: every letter of the unit's code page (``layouts.TEXT_CODEC``)."""
TIME = r"([01]\d|2[0-3]):([0-5]\d)"
"""A time of the unit's clock, as a whole match."""
MAX_DIAL_LETTERS = len(layouts.CALL_HOME.encode("dial", "")[1]) - 1
"""A null ends it. The limits of other texts come from the unit's own block."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The allowed values of a number: one of ``among``, or from ``low`` to ``high``."""

    unit: str
    mark: Mark
    source: str
    low: float = 0.0
    high: float = 0.0
    among: tuple[float, ...] = ()

    @property
    def in_words(self) -> str:
        """The allowed values with their unit of measure."""
        if self.among:
            wanted = "one of " + ", ".join(f"{choice:g}" for choice in self.among)
        else:
            wanted = f"{self.low:g} to {self.high:g}"
        return f"{wanted} {self.unit}".rstrip()

    def refusal(self, value: float) -> str | None:
        """Return why ``value`` is not allowed; ``None`` if it is."""
        # NaN does not fit.
        fits = value in self.among if self.among else self.low <= value <= self.high
        return None if fits else f"expected {self.in_words}, got {value:g}"


LIMITS: dict[str, Limit] = {
    "sample_rate_hz": Limit("Hz", "C", "1A", among=layouts.SAMPLE_RATES_HZ),
    "histogram_interval_s": Limit("s", "C", "2026-04-20", among=layouts.HISTOGRAM_INTERVALS_S),
    "record_time_s": Limit("s", "I", "3 to 13 seen in captures", 1.0, 100.0),
    "geo_range_in_s": Limit("in/s", "C", "2026-04-20", among=GEO_RANGES_IN_S),
    "trigger_level_in_s": Limit("in/s", "C", "BW manual p. 4-46", 0.02, 10.0),
    "alarm_level_in_s": Limit("in/s", "C", "BW manual p. 4-46", 0.02, 10.0),
    "mic_trigger_psi": Limit("psi", "I", "0.021 and 0.045 seen in captures", 0.0001, 0.1),
    "mic_alarm_psi": Limit("psi", "I", "0.021 and 0.045 seen in captures", 0.0001, 0.1),
    "retries": Limit("", "D", "one byte", 0, 255),
    "retry_wait_s": Limit("s", "D", "one byte", 0, 255),
    "connect_wait_s": Limit("s", "D", "one byte", 0, 255),
    "warm_up_s": Limit("s", "D", "one byte", 0, 255),
}
"""The allowed values of each numeric setting."""


def change_setup(
    block: bytes, change: SetupChange, *, unit: str = "the unit"
) -> tuple[bytes, tuple[FieldChange, ...]]:
    """
    Return the setup block (1A, 2,090 bytes) with new settings, and what differs.

    Args:
        block: as read from the unit, un-escaped.
        change: the new values.
        unit: the unit's name in messages.

    Raises:
        SettingError: a value that a unit cannot store, alone or together with the others.
        NotWritableError: the block does not show where the field is stored.
    """
    wanted = _given(change)
    _check_numbers(wanted)
    now = layouts.parse_setup(block)
    _check_together(dataclasses.replace(now, **wanted), wanted)
    return _changed(block, wanted, _setup_spans, layouts.parse_setup, unit)


def change_call_home(
    block: bytes, change: CallHomeChange, *, unit: str = "the unit"
) -> tuple[bytes, tuple[FieldChange, ...]]:
    """Return the call-home block (2C, 124 bytes) with new settings; see ``change_setup``."""
    wanted = _given(change)
    _check_numbers(wanted)
    for name in ("first_time", "second_time"):
        if name in wanted and not re.fullmatch(TIME, wanted[name]):
            raise SettingError(name, f"expected HH:MM from 00:00 to 23:59, got {wanted[name]!r}")
    return _changed(block, wanted, _call_home_spans, layouts.parse_call_home, unit)


def _given(change: SetupChange | CallHomeChange) -> dict[str, Any]:
    fields = ((f.name, getattr(change, f.name)) for f in dataclasses.fields(change))
    return {name: value for name, value in fields if value is not None}


def _check_numbers(wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        limit = LIMITS.get(name)
        refusal = limit.refusal(value) if limit is not None else None
        if refusal is not None:
            raise SettingError(name, refusal)
        if name == "dial" and not re.fullmatch(DIAL, value):
            raise SettingError(name, "expected printable ASCII; a modem takes no other letters")
        if isinstance(value, str) and not re.fullmatch(TEXT, value):
            letters = ", ".join(repr(letter) for letter in layouts.unstorable(value))
            raise SettingError(
                name, f"the unit cannot store {letters}; it has the letters of Windows-1252"
            )


def _check_together(setup: RecordingSetup, wanted: Mapping[str, Any]) -> None:
    """
    Compare the geophones' levels with the range and with each other (BW manual p. 4-46).

    Only if one of them changes. The microphone's levels are not compared: on a captured unit its
    alarm level is below its trigger level.
    """
    trigger, alarm, top = setup.trigger_level_in_s, setup.alarm_level_in_s, setup.geo_range_in_s
    levels = {"trigger_level_in_s": trigger, "alarm_level_in_s": alarm}
    touched = [name for name in (*levels, "geo_range_in_s") if name in wanted]
    for name, level in levels.items():
        if touched and level is not None and top is not None and level > top:
            field = name if name in wanted else "geo_range_in_s"
            raise SettingError(field, f"{name} {level:g} in/s is beyond the range of {top:g} in/s")
    if touched and trigger is not None and alarm is not None and alarm < trigger:
        field = "alarm_level_in_s" if "alarm_level_in_s" in wanted else touched[0]
        raise SettingError(
            field, f"the alarm level, {alarm:g} in/s, is below the trigger level, {trigger:g} in/s"
        )


def _changed(
    block: bytes,
    wanted: Mapping[str, Any],
    spans_of: Callable[[bytes, str, Any], Spans | None],
    parse: Callable[[bytes], Any],
    unit: str,
) -> tuple[bytes, tuple[FieldChange, ...]]:
    now, out, changes = parse(block), bytearray(block), []
    for name, value in wanted.items():
        before = getattr(now, name)
        if _same(before, value):
            continue
        spans = spans_of(block, name, value)
        if spans is None or (before is None and not isinstance(value, str)):
            raise NotWritableError(
                f"{unit}: its settings do not show where {name} lies{_met(now, name)}; nothing was "
                "written"
            )
        spans_changed = []
        for at, new in spans.items():
            spans_changed.append((at, block[at : at + len(new)].hex(), new.hex()))
            out[at : at + len(new)] = new
        changes.append(
            FieldChange(field=name, before=before, after=value, spans=tuple(spans_changed))
        )
    _check_reading(parse(bytes(out)), now, {c.field: c.after for c in changes}, unit)
    return bytes(out), tuple(changes)


def _met(now: object, name: str) -> str:
    """Return which edited title was met in place of the usual one, for a message."""
    if name not in layouts.SETUP_TEXTS or not isinstance(now, RecordingSetup):
        return ""
    usual = layouts.SETUP_TEXTS[name].decode("ascii")
    met = ", ".join(f'"{title}"' for title in (now.note_titles or {}).values())
    instead = f"; the unit has the title {met}" if met else ""
    return f' (no title "{usual}"{instead}: titles can be edited at the unit)'


def _check_reading(new: Any, old: Any, changed: Mapping[str, Any], unit: str) -> None:
    """Read the new block as a reader of the unit would: the given fields, and no others, differ."""
    for field in dataclasses.fields(old):
        is_value = getattr(new, field.name)
        should = changed.get(field.name, getattr(old, field.name))
        if not _same(is_value, should):
            raise NotWritableError(
                f"{unit}: with the new settings its {field.name} would read {is_value!r} and not "
                f"{should!r}; nothing was written"
            )


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same to a unit: floats have 32 bits, an empty text is none."""
    if isinstance(one, float) and isinstance(other, int | float):
        return struct.pack(">f", one) == struct.pack(">f", other)
    if isinstance(one, str | None) and isinstance(other, str | None):
        return (one or "").strip() == (other or "").strip()
    return bool(one == other)


# --- the place of a field -----------------------------------------------------------------------


def _setup_spans(block: bytes, name: str, value: Any) -> Spans | None:
    """Return the bytes of one setting at each of its places; ``None`` where they are not shown."""
    if name in layouts.SETUP_TEXTS:
        return _text_span(block, name, value)
    if any(field.name == name for field in layouts.SETUP_HEAD.fields):
        return _head_span(block, name, value)
    if LIMITS[name].unit == "psi":
        return _mic_span(block, name, value)
    return _geo_spans(block, name, value)


def _head_span(block: bytes, name: str, value: Any) -> Spans | None:
    at = layouts.setup_head_at(block)
    if at is None:
        return None
    offset, raw = layouts.SETUP_HEAD.encode(name, value)
    return {at + offset: raw}


def _geo_spans(block: bytes, name: str, value: float) -> Spans | None:
    """All three geophones have one range and one level: each block must show its place."""
    spans: Spans = {}
    for channel in GEO_CHANNELS:
        found = layouts.find_geo_block(block, channel)
        if found is None or found.range_in_s is None:
            return None
        if name == "geo_range_in_s":
            codes = {known: code for code, known in layouts.GEO_RANGE_BYTES.items()}
            spans[found.range_at] = bytes((codes[value],))
            continue
        at = layouts.unit_text_at(block, found.label_at, layouts.GEO_UNIT_TEXT)
        if at is None:
            return None
        is_trigger = name == "trigger_level_in_s"
        at += -layouts.TRIGGER_BEFORE_GEO_TEXT if is_trigger else layouts.ALARM_AFTER_TEXT
        spans[at] = struct.pack(">f", value)
    return spans


def _mic_span(block: bytes, name: str, value: float) -> Spans | None:
    places = [
        at
        for match in re.finditer(CHANNELS[-1].encode(), block)
        if (at := layouts.unit_text_at(block, match.start(), layouts.MIC_UNIT_TEXT)) is not None
    ]
    if len(places) != 1:
        return None
    is_trigger = name == "mic_trigger_psi"
    shift = -layouts.TRIGGER_BEFORE_MIC_TEXT if is_trigger else layouts.ALARM_AFTER_TEXT
    return {places[0] + shift: struct.pack(">f", value)}


def _text_span(block: bytes, name: str, value: str) -> Spans | None:
    """
    Return a text in its field, whose width the block itself must show [U].

    A value starts as far behind its label as those of the other labels do, and may be as long as
    the shortest room that any of them has, up to the next label.
    """
    labels = {other: one.at for other, one in layouts.find_note_fields(block).items()}
    found = layouts.find_texts(block)
    shifts = {text.start - labels[other] for other, text in found.items() if text is not None}
    if name not in labels or len(shifts) != 1:
        return None
    shift = shifts.pop()
    rooms = [
        min(following) - (at + shift)
        for at in labels.values()
        if (following := [later for later in labels.values() if later > at])
    ]
    if not rooms or min(rooms) < 2:
        return None
    room = min(rooms)
    if len(value) > room - 1:
        raise SettingError(name, f"expected at most {room - 1} letters, got {len(value)}")
    return {labels[name] + shift: layouts.build_text(value, room)}


def _call_home_spans(_: bytes, name: str, value: Any) -> Spans | None:
    if name in ("first_time", "second_time"):
        hour, minute = (int(part) for part in value.split(":"))
        which = name.removesuffix("_time")
        return dict(
            layouts.CALL_HOME.encode(f"{which}_{part}", number)
            for part, number in (("hour", hour), ("minute", minute))
        )
    offset, raw = layouts.CALL_HOME.encode(name, value)
    if name == "dial" and len(value) > MAX_DIAL_LETTERS:
        raise SettingError(name, f"expected at most {MAX_DIAL_LETTERS} letters, got {len(value)}")
    return {offset: raw}
