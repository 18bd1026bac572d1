from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sfm.cache.identity
from minimateplus.model import FIRST_KEY, MemoryProbe
from sfm.cache.identity import (
    Stamp,
    Verdict,
    compare_probes,
    confirms_append,
    last_stamp,
    stamp_of,
    stamps_conflict,
)

KEY = "01110000"
TIME = "2026-04-01T00:28:12"

PROBE = MemoryProbe(
    serial="BE18189",
    first_key=FIRST_KEY,
    last_key=bytes.fromhex("0111245a"),
    lifetime_count=103,
    last_timestamp=TIME,
    is_empty=False,
)
GROWN = replace(
    PROBE,
    last_key=bytes.fromhex("01114290"),
    lifetime_count=105,
    last_timestamp="2026-04-02T10:00:00",
)
EMPTY = replace(PROBE, last_key=FIRST_KEY, last_timestamp=None, is_empty=True)


@pytest.mark.parametrize(
    "record",
    [
        {"waveform_key": bytes.fromhex(KEY)},
        {"_waveform_key": bytes.fromhex(KEY)},
        {"waveform_key": bytearray.fromhex(KEY)},
        {"waveform_key": KEY},
        {"_waveform_key": "0x" + KEY},
        {"_waveform_key": "0X" + KEY},
        {"waveform_key": " 01 11 00 00 "},
        {"waveform_key": None, "_waveform_key": KEY},
        {"waveform_key": b"", "_waveform_key": KEY},
    ],
)
def test_a_key_is_read_in_every_form_it_travels_in(record: dict[str, object]) -> None:
    assert stamp_of(record) == Stamp(KEY, None)


def test_the_case_of_a_hex_key_does_not_matter() -> None:
    assert stamp_of({"waveform_key": "0111ABCD"}) == stamp_of({"waveform_key": b"\x01\x11\xab\xcd"})


def test_a_key_that_is_no_hex_is_compared_as_text() -> None:
    assert stamp_of({"waveform_key": " Slot-7 "}).key == "slot-7"


@pytest.mark.parametrize(
    "timestamp",
    [
        TIME,
        "2026-04-01 00:28:12",
        "  2026-04-01 00:28:12 ",
        "2026-04-01T00:28:12.000",
        {"iso": TIME},
        {"iso": TIME, "string": "something else"},
        {"iso": None, "string": "2026-04-01 00:28:12"},
        {"iso": "", "string": TIME},
        {"string": TIME},
    ],
)
def test_a_timestamp_is_read_in_every_form_it_travels_in(timestamp: object) -> None:
    assert stamp_of({"timestamp": timestamp}) == Stamp(None, TIME)


def test_a_timestamp_that_is_not_iso_is_compared_as_stripped_text() -> None:
    assert stamp_of({"timestamp": " 00:28:12 April 1, 2026 "}).timestamp == "00:28:12 April 1, 2026"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"waveform_key": None, "timestamp": None},
        {"waveform_key": "", "timestamp": ""},
        {"waveform_key": b"", "timestamp": "  "},
        {"_waveform_key": "0x", "timestamp": {}},
        {"timestamp": {"iso": None, "string": ""}},
    ],
)
def test_absent_none_and_empty_are_unknown(record: dict[str, object]) -> None:
    assert stamp_of(record) == Stamp(None, None)


@pytest.mark.parametrize("record", [{"waveform_key": 17891328}, {"timestamp": 1775003292}])
def test_a_half_of_another_type_is_an_error_and_not_unknown(record: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="expected"):
        stamp_of(record)


@pytest.mark.parametrize(
    ("a", "b", "conflict"),
    [
        (Stamp("k", "t"), Stamp("k", "t"), False),
        (Stamp("k", "t"), Stamp("l", "t"), True),
        (Stamp("k", "t"), Stamp("k", "u"), True),
        (Stamp("k", "t"), Stamp("l", "u"), True),
        (Stamp("k", None), Stamp("k", "t"), False),
        (Stamp(None, "t"), Stamp("k", "t"), False),
        (Stamp("k", None), Stamp(None, "t"), False),
        (Stamp(None, None), Stamp("k", "t"), False),
        (Stamp(None, "t"), Stamp("k", "u"), True),
        (Stamp("k", None), Stamp("l", "t"), True),
    ],
)
def test_stamps_conflict_where_a_half_known_on_both_sides_differs(
    a: Stamp, b: Stamp, conflict: bool
) -> None:
    assert stamps_conflict(a, b) is conflict
    assert stamps_conflict(b, a) is conflict


def test_an_equal_probe_says_the_list_is_current() -> None:
    assert compare_probes(PROBE, replace(PROBE)) is Verdict.SAME
    assert compare_probes(EMPTY, replace(EMPTY)) is Verdict.SAME


def test_a_longer_memory_with_a_higher_counter_may_have_grown() -> None:
    assert compare_probes(PROBE, GROWN) is Verdict.GREW


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(PROBE, replace(GROWN, serial="BE99999"), id="another unit"),
        pytest.param(
            PROBE, replace(GROWN, serial="BE99999", last_key=None), id="another unit, half mute"
        ),
        pytest.param(PROBE, replace(PROBE, lifetime_count=104), id="equal keys, counter rose"),
        pytest.param(
            PROBE,
            replace(PROBE, lifetime_count=104, last_timestamp="2026-04-02T00:00:00"),
            id="equal keys, other time, counter rose",
        ),
        pytest.param(
            PROBE, replace(PROBE, last_timestamp="1995-01-01T00:00:00"), id="counter stands"
        ),
        pytest.param(PROBE, replace(GROWN, lifetime_count=103), id="grew, but counter stands"),
        pytest.param(PROBE, replace(GROWN, lifetime_count=2), id="counter fell"),
        pytest.param(PROBE, replace(GROWN, first_key=b"\x01\x12\0\0"), id="first key changed"),
        pytest.param(PROBE, EMPTY, id="erased"),
        pytest.param(
            PROBE, replace(EMPTY, lifetime_count=105, last_key=b"\x01\x11\0\1"), id="filled, erased"
        ),
        pytest.param(EMPTY, GROWN, id="was empty"),
        pytest.param(EMPTY, replace(EMPTY, lifetime_count=104), id="empty, but was filled"),
    ],
)
def test_anything_else_is_another_memory(old: MemoryProbe, new: MemoryProbe) -> None:
    assert compare_probes(old, new) is Verdict.REPLACED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, PROBE),
        (PROBE, replace(PROBE, lifetime_count=None)),
        (PROBE, replace(PROBE, last_key=None)),
        (PROBE, replace(PROBE, first_key=None)),
        (PROBE, replace(PROBE, last_timestamp=None)),
        (replace(PROBE, last_timestamp=None), replace(PROBE, last_timestamp=None)),
        (replace(PROBE, lifetime_count=None), PROBE),
        (replace(PROBE, serial=""), replace(PROBE, serial="")),
        (PROBE, replace(PROBE, serial="")),
    ],
)
def test_a_probe_with_an_unanswered_part_proves_nothing(
    old: MemoryProbe | None, new: MemoryProbe
) -> None:
    assert compare_probes(old, new) is Verdict.UNPROVEN


def test_the_last_stamp_of_an_empty_memory_is_unknown() -> None:
    assert last_stamp(EMPTY) == Stamp()
    assert last_stamp(PROBE) == Stamp("0111245a", TIME)


def test_an_append_is_confirmed_by_the_old_last_event_and_the_count() -> None:
    assert confirms_append(PROBE, GROWN, Stamp("0111245a", TIME), 2)


@pytest.mark.parametrize(
    "now",
    [
        Stamp("0111245a", "2026-05-01T00:00:00"),
        Stamp("01110000", TIME),
        Stamp("0111245a", None),
        Stamp(None, TIME),
        Stamp(),
    ],
)
def test_an_append_needs_the_whole_old_stamp(now: Stamp) -> None:
    assert not confirms_append(PROBE, GROWN, now, 2)


@pytest.mark.parametrize("following", [0, 1, 3, -2])
def test_an_append_needs_as_many_events_as_the_counter_rose(following: int) -> None:
    assert not confirms_append(PROBE, GROWN, Stamp("0111245a", TIME), following)


def test_nothing_confirms_an_append_onto_another_memory() -> None:
    stamp = Stamp("0111245a", TIME)
    assert not confirms_append(PROBE, PROBE, stamp, 0)
    assert not confirms_append(PROBE, replace(GROWN, serial="BE99999"), stamp, 2)
    assert not confirms_append(PROBE, replace(GROWN, last_timestamp=None), stamp, 2)
    assert not confirms_append(EMPTY, GROWN, Stamp(), 2)


# A unit whose clock always says the same and whose records all have the same length: after an
# erase every stamp comes back as it was. Only the counter can tell.


def _probe_of(entry: int, recorded: int) -> MemoryProbe:
    return MemoryProbe(
        serial="BE18189",
        first_key=FIRST_KEY,
        last_key=_key(max(entry - 1, 0)),
        lifetime_count=recorded,
        last_timestamp=TIME if entry else None,
        is_empty=not entry,
    )


def _key(index: int) -> bytes:
    return (int.from_bytes(FIRST_KEY) + 0x245A * index).to_bytes(4)


@given(st.integers(0, 4), st.integers(0, 3), st.lists(st.one_of(st.none(), st.just(1)), max_size=9))
def test_an_erase_is_never_taken_for_an_append_though_every_stamp_recurs(
    entry: int, recorded_before: int, steps: list[int | None]
) -> None:
    recorded = entry + recorded_before
    old, old_held, was_erased = _probe_of(entry, recorded), entry, False
    for step in steps:
        if step is None:
            # Erasing an empty memory changes no record.
            entry, was_erased = 0, was_erased or entry > 0
        else:
            entry, recorded = entry + 1, recorded + 1
    new = _probe_of(entry, recorded)
    verdict = compare_probes(old, new)
    stamp = Stamp(_key(old_held - 1).hex(), TIME) if entry >= old_held > 0 else Stamp()
    appended = confirms_append(old, new, stamp, entry - old_held)
    if was_erased:
        assert verdict is not Verdict.SAME
        assert not appended
    elif recorded == old.lifetime_count:
        assert verdict is Verdict.SAME
    elif old_held:
        assert verdict is Verdict.GREW
        assert appended


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(sfm.cache.identity) == (0, 1)
