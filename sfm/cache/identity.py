"""
The integrity rule, once: which physical event is this, and is the unit's memory still the same?

The rule. An event's stamp is (waveform key, timestamp). Two stamps conflict when both keys are
known and differ, or both timestamps are known and differ; an unknown half decides nothing. A
conflict at one slot means that the memory was erased and re-recorded.

The theory. An erase starts the key counter again at ``0x01110000``, and records of equal length
rebuild equal keys; the unit's clock steps back and may never have been set. So a key proves
nothing alone, a timestamp is compared for equality and never for order, and the memory as a whole
is judged by a probe of several parts (storage range, lifetime counter, newest record, serial),
none of which is trusted alone:

======================================================  ==========================================
the new probe, against the one the list was read under  verdict
======================================================  ==========================================
another serial                                          ``REPLACED``, however much is unanswered
no old probe, or a part of either was not answered      ``UNPROVEN``: walk every key
equal in every part                                     ``SAME``
equal but for record bytes of unknown meaning           ``UNPROVEN``: walk every key
neither was empty, same first key, other last key, and  ``GREW``: the old events may all be there;
the counter rose                                        ``confirms_append`` decides
anything else                                           ``REPLACED``
======================================================  ==========================================

A record compares by its decoded fields (time, peaks, PVS, project): under a clock that was never
set the time of every event is the same. Bytes whose meaning is not known prove nothing either way;
the caller names those that are known to change while the event stays the same. One gap remains:
events that are equal in all compared bytes.

Where two verdicts were arguable, the table takes the one that keeps less:

- The counter rose and the keys are equal: erased and as many recorded again. Replaced, whatever
  the timestamps are; with a clock that was never set they can be equal too.
- The counter is unchanged and another part differs, or it fell: nothing the manual describes.
- Empty, then not empty: no old event exists that could confirm an append, and a unit may have been
  filled and erased any number of times in between. Nothing is gained by calling it an append
  either: the full read starts at the first event in both cases. Replaced can never be wrong.
- Both empty with another counter: filled and erased in between. Replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

__all__ = [
    "Stamp",
    "Verdict",
    "compare_probes",
    "confirms_append",
    "counter_rise",
    "last_stamp",
    "looks_torn",
    "stamp_of",
    "stamps_conflict",
]

if TYPE_CHECKING:
    from minimateplus.model import MemoryProbe


@dataclass(frozen=True, slots=True)
class Stamp:
    """
    Which physical event a record is; ``None`` is an unknown half.

    Both halves are normalised (see ``stamp_of``), so that equal stamps compare equal. Equal is
    not the same as without conflict: for that ask ``stamps_conflict``, which is not transitive.
    """

    key: str | None = None
    timestamp: str | None = None


class Verdict(Enum):
    """Verdict of a new probe on the list that was read under an old one."""

    SAME = "same"
    """Equal in every part: the list is current."""
    GREW = "grew"
    """Events may have been appended and none lost; ``confirms_append`` must agree first."""
    REPLACED = "replaced"
    """The list is of another memory: a new epoch, read everything."""
    UNPROVEN = "unproven"
    """The probe cannot prove anything: walk every key rather than guess."""


def stamp_of(record: Mapping[str, object]) -> Stamp:
    """
    Return the stamp that a serialised event or waveform carries.

    The key is under ``waveform_key`` or ``_waveform_key``, as bytes or as hex text of any case,
    with or without ``0x``. The timestamp is under ``timestamp``, as text or as a mapping with
    ``iso`` (preferred) or ``string``. Text that parses as ISO 8601 is normalised, other
    text is stripped and else left alone. Absent, ``None`` and empty are unknown.

    >>> stamp_of({"_waveform_key": b"\\x01\\x11\\x00\\x00", "timestamp": "2026-04-01 00:28:12"})
    Stamp(key='01110000', timestamp='2026-04-01T00:28:12')

    Raises:
        TypeError: a half is of another type; to call it unknown would switch the rule off.
    """
    key = _key_text(record.get("waveform_key"))
    if key is None:
        key = _key_text(record.get("_waveform_key"))
    return Stamp(key, _timestamp_text(record.get("timestamp")))


def stamps_conflict(a: Stamp, b: Stamp) -> bool:
    """Whether the two cannot be the same physical event."""
    return _both_known_and_differ(a.key, b.key) or _both_known_and_differ(a.timestamp, b.timestamp)


def compare_probes(
    old: MemoryProbe | None, new: MemoryProbe, volatile: frozenset[int] = frozenset()
) -> Verdict:
    """
    Return the verdict of ``new`` on the list read under ``old``, by the table at the top.

    Args:
        old: the probe that the list was read under.
        new: the probe of now.
        volatile: offsets in a record that are known to change although the event is the same.
    """
    if old is not None and _both_known_and_differ(old.serial or None, new.serial or None):
        return Verdict.REPLACED
    if old is None or not (_proves(old) and _proves(new)):
        return Verdict.UNPROVEN
    if not old.is_empty and not new.is_empty and bool(old.last_record) != bool(new.last_record):
        # Of one of the two only the time is known: its other fields cannot be compared.
        plain = replace(new, last_peaks=old.last_peaks, last_project=old.last_project)
        return Verdict.UNPROVEN if old == plain else _grown_or_replaced(old, new)
    if old == new:
        differing = old.differing_offsets(new) - volatile
        return Verdict.UNPROVEN if differing else Verdict.SAME
    return _grown_or_replaced(old, new)


def _grown_or_replaced(old: MemoryProbe, new: MemoryProbe) -> Verdict:
    if (
        not (old.is_empty or new.is_empty)
        and old.first_key == new.first_key
        and old.last_key != new.last_key
        and counter_rise(old, new) > 0
    ):
        return Verdict.GREW
    return Verdict.REPLACED


def looks_torn(old: MemoryProbe, new: MemoryProbe) -> bool:
    """
    Whether ``new`` may have been taken while the unit recorded.

    The counter is read last. An event that is recorded between the storage range and the counter
    leaves a probe with the old keys and a counter that rose. So does an erase that is followed by
    as many equal recordings. The storage range, read once more, decides.
    """
    unrisen = replace(new, lifetime_count=old.lifetime_count)
    is_placed = not old.is_empty and old.last_key is not None
    return is_placed and old == unrisen and counter_rise(old, new) > 0


def last_stamp(probe: MemoryProbe) -> Stamp:
    """Return the stamp of the newest event of that probe; both halves unknown when it is empty."""
    if probe.is_empty:
        return Stamp()
    return Stamp(_key_text(probe.last_key), _timestamp_text(probe.last_timestamp))


def confirms_append(
    old_probe: MemoryProbe,
    new_probe: MemoryProbe,
    old_last_stamp_now: Stamp,
    following: int,
) -> bool:
    """
    Whether the old events are all still there, so that only those after the old last one are new.

    Why the count settles it: re-recording an erased list up to the slot of the old last event
    takes at least that event itself, so the counter then rises by more than what follows the slot.
    This holds with equal keys and with a clock that gives equal timestamps.

    Args:
        old_probe: The probe that the list was read under.
        new_probe: The probe of now.
        old_last_stamp_now: What the unit answers now at the old last key. Here an unknown half
            is no proof.
        following: Events counted after the old last one, by walking on to the new last key.
    """
    return (
        compare_probes(old_probe, new_probe) is Verdict.GREW
        and None not in (old_last_stamp_now.key, old_last_stamp_now.timestamp)
        and old_last_stamp_now == last_stamp(old_probe)
        and following == counter_rise(old_probe, new_probe)
    )


def _proves(probe: MemoryProbe) -> bool:
    return bool(probe.serial) and probe.is_complete


def counter_rise(old: MemoryProbe, new: MemoryProbe) -> int:
    """Return by how many events the lifetime counter rose; 0 where either is not known."""
    if old.lifetime_count is None or new.lifetime_count is None:
        return 0
    return new.lifetime_count - old.lifetime_count


def _both_known_and_differ(a: str | None, b: str | None) -> bool:
    return a is not None and b is not None and a != b


def _key_text(key: object) -> str | None:
    if key is None:
        return None
    if isinstance(key, bytes | bytearray | memoryview):
        return key.hex() or None
    if not isinstance(key, str):
        msg = f"waveform key: expected bytes or hex text, got {type(key).__name__}"
        raise TypeError(msg)
    text = key.strip().lower().removeprefix("0x")
    try:
        return bytes.fromhex(text).hex() or None
    except ValueError:
        return text


def _timestamp_text(timestamp: object) -> str | None:
    if isinstance(timestamp, Mapping):
        iso = _timestamp_text(timestamp.get("iso"))
        return iso if iso is not None else _timestamp_text(timestamp.get("string"))
    if timestamp is None:
        return None
    if not isinstance(timestamp, str):
        msg = f"timestamp: expected text or a mapping with text, got {type(timestamp).__name__}"
        raise TypeError(msg)
    text = timestamp.strip()
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text or None
