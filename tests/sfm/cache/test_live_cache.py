from __future__ import annotations

import copy
import doctest
import gc
import math
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import sfm.live_cache
from minimateplus.model import FIRST_KEY, MemoryProbe, RecordMode
from sfm.cache.identity import Stamp
from sfm.live_cache import CacheEntry, LiveCache

DEV = "tcp:10.0.0.7:12345"
OTHER = "tcp:10.0.0.8:12345"
T1, T2 = "2026-04-01T00:28:12", "2026-05-07T09:00:00"
PROBE = MemoryProbe(
    serial="BE18189",
    first_key=FIRST_KEY,
    last_key=FIRST_KEY,
    lifetime_count=1,
    last_timestamp=T1,
    is_empty=False,
)


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> LiveCache:
    return LiveCache(clock=clock)


def event(index: int, key: object = "01110000", timestamp: object = T1) -> dict[str, Any]:
    return {"index": index, "waveform_key": key, "timestamp": timestamp, "peaks": {"tran": 0.1}}


def wave(key: object = "01110000", timestamp: object = T1, size: int = 4) -> dict[str, Any]:
    return {
        "waveform_key": key,
        "timestamp": timestamp,
        "samples": {"Tran": [0.5 + i for i in range(size)]},
    }


def fill(cache: LiveCache, conn_key: str = DEV) -> None:
    """Everything a device can have, with stamps k0/T1 and k1/T1 in slots 0 and 1."""
    cache.set_device_info(conn_key, {"serial": "BE18189"})
    cache.set_events(conn_key, 2, [event(0, "00"), event(1, "01")])
    cache.set_waveform(conn_key, 0, wave("00"))
    cache.set_waveform(conn_key, 1, wave("01"))
    cache.set_monitor_status(conn_key, {"monitoring": True})


def held_kinds(cache: LiveCache, conn_key: str = DEV) -> set[str]:
    """What ``fill`` put in and still answers."""
    answers: dict[str, object] = {
        "info": cache.get_device_info(conn_key),
        "events": cache.get_events(conn_key, 2),
        "wave 0": cache.get_waveform(conn_key, 0),
        "wave 1": cache.get_waveform(conn_key, 1),
        "status": cache.get_monitor_status(conn_key),
    }
    return {name for name, value in answers.items() if value is not None}


ALL = {"info", "events", "wave 0", "wave 1", "status"}


# ---- connection keys


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("10.0.0.7", 9000, None, None), "tcp:10.0.0.7:9000"),
        (("10.0.0.7", None, None, None), "tcp:10.0.0.7:12345"),
        ((None, None, "COM5", 9600), "serial:COM5:9600"),
        ((None, 12345, "/dev/ttyUSB0", None), "serial:/dev/ttyUSB0:38400"),
        (("10.0.0.7", 12345, "COM5", 38400), "tcp:10.0.0.7:12345"),
        ((" Modem.Example ", 12345, None, None), "tcp:modem.example:12345"),
        (("FE80::1", 12345, None, None), "tcp:[fe80::1]:12345"),
        (("[fe80::1]", 12345, None, None), "tcp:[fe80::1]:12345"),
        (("", 12345, "COM5", 38400), "serial:COM5:38400"),
    ],
)
def test_a_connection_key_names_one_route_in_one_way(args: tuple[Any, ...], expected: str) -> None:
    assert LiveCache.make_conn_key(*args) == expected


@pytest.mark.parametrize(
    "args",
    [
        (None, 12345, None, 38400),
        ("", None, " ", None),
        ("h", 0, None, None),
        ("h", 65_536, None, None),
        (None, None, "COM5", 0),
    ],
)
def test_a_connection_key_needs_a_route(args: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"host|expected"):
        LiveCache.make_conn_key(*args)


# ---- plain calls


def test_an_unknown_device_answers_nothing(cache: LiveCache) -> None:
    assert held_kinds(cache) == set()
    assert cache.generation(DEV) == 0
    assert cache.epoch(DEV).number == 0
    assert cache.validated_mono(DEV) is None
    assert cache.stats()["by_device"] == {}


def test_everything_comes_back_as_it_went_in(cache: LiveCache) -> None:
    events = [event(0, b"\x01\x11\0\0"), event(1, "0111245A", {"iso": T1, "string": "x"})]
    cache.set_device_info(DEV, {"serial": "BE18189", "setup": {"notes": None}})
    cache.set_events(DEV, 2, events)
    cache.set_waveform(DEV, 0, wave(b"\x01\x11\0\0"))
    cache.set_monitor_status(DEV, {"battery_v": 6.8})
    assert cache.get_device_info(DEV) == {"serial": "BE18189", "setup": {"notes": None}}
    assert cache.get_events(DEV, 2) == events
    assert cache.get_waveform(DEV, 0) == wave(b"\x01\x11\0\0")
    assert cache.get_monitor_status(DEV) == {"battery_v": 6.8}


def test_events_answer_only_to_the_count_they_were_stored_under(cache: LiveCache) -> None:
    cache.set_events(DEV, 2, [event(0, "00"), event(1, "01")])
    assert cache.get_events(DEV, 1) is None
    assert cache.get_events(DEV, 3) is None
    assert cache.get_events(DEV, 2) is not None


def test_an_empty_list_is_an_answer(cache: LiveCache) -> None:
    cache.set_events(DEV, 0, [])
    assert cache.get_events(DEV, 0) == []


def test_a_tuple_of_events_comes_back_as_a_list(cache: LiveCache) -> None:
    cache.set_events(DEV, 1, (event(0),))
    assert cache.get_events(DEV, 1) == [event(0)]


@pytest.mark.parametrize(
    "value",
    [
        {"flat": b"\x00\xff", "n": None, "x": math.inf, "i": 2**80, "b": True},
        {"nested": [{"key": b"\x01\x11\0\0"}, ("a", 1), [], {}]},
        {"buffer": bytearray(b"ab")},
        {"buffer": [bytearray(b"ab")]},
        {"at": datetime(2026, 4, 1)},
        {"map": OrderedDict(a=1)},
        OrderedDict(a=1, nested=[1]),
        {"mode": RecordMode.HISTOGRAM, "set": {1, 2}},
        {1: {2: "integer keys"}},
    ],
)
def test_every_value_keeps_its_exact_types(cache: LiveCache, value: dict[Any, Any]) -> None:
    cache.set_waveform(DEV, 0, value)
    out = cache.get_waveform(DEV, 0)
    assert out == value
    assert repr(out) == repr(value)


@pytest.mark.parametrize("flat", [True, False])
def test_what_comes_out_is_not_what_went_in_and_not_what_comes_out_next(
    cache: LiveCache, flat: bool
) -> None:
    def new(n: int) -> dict[str, Any]:
        return {"n": n} if flat else {"n": n, "deep": {"list": [1, {"x": 1}]}}

    def spoil(value: dict[str, Any]) -> None:
        value["n"] = -1
        if not flat:
            value["deep"]["list"][1]["x"] = -1
            value["deep"]["list"].append(-1)

    events = [new(0), new(1)]
    info, waveform, status = new(2), new(3), new(4)
    cache.set_device_info(DEV, info)
    cache.set_events(DEV, 2, events)
    cache.set_waveform(DEV, 0, waveform)
    cache.set_monitor_status(DEV, status)
    for value in (info, waveform, status, *events):
        spoil(value)
    events.clear()
    for _ in range(3):
        got_events = cache.get_events(DEV, 2)
        got_info = cache.get_device_info(DEV)
        got_waveform = cache.get_waveform(DEV, 0)
        got_status = cache.get_monitor_status(DEV)
        assert got_events == [new(0), new(1)]
        assert (got_info, got_waveform, got_status) == (new(2), new(3), new(4))
        assert got_info
        assert got_waveform
        assert got_status
        for value in (got_info, got_waveform, got_status, *got_events):
            spoil(value)
        got_events.clear()
        entry = cache.events_entry(DEV)
        assert entry is not None
        entry.value().clear()


# ---- the integrity rule

CONFLICTS = [
    pytest.param(("00", T1), ("ff", T1), id="other key, same time"),
    pytest.param(("00", T1), ("00", T2), id="same key, other time"),
    pytest.param(("00", T1), ("ff", T2), id="other key, other time"),
    pytest.param(("00", None), ("ff", T1), id="only the keys are known"),
    pytest.param((None, T1), ("00", T2), id="only the times are known"),
    pytest.param(("00", {"iso": T1}), ("00", {"iso": T2, "string": T1}), id="iso is preferred"),
    pytest.param(("00", {"string": T1}), ("00", {"string": T2}), id="string where no iso is"),
    pytest.param((b"\x00", T1), ("01", T1), id="bytes against text"),
]
AGREEMENTS = [
    pytest.param(("00", T1), ("00", T1), id="equal"),
    pytest.param(("ab", T1), ("0xAB", T1), id="hex of any case"),
    pytest.param(("ab", T1), (b"\xab", T1), id="bytes and text"),
    pytest.param(("00", T1), ("00", None), id="time unknown"),
    pytest.param((None, T1), ("00", T1), id="key unknown"),
    pytest.param(("00", None), (None, T1), id="halves that do not meet"),
    pytest.param(("00", T1), ("", ""), id="empty is unknown"),
    pytest.param(("00", T1), ("00", {"iso": "2026-04-01 00:28:12"}), id="one time, written twice"),
    pytest.param(("00", T1), ("00", {"iso": None, "string": T1}), id="text and dict"),
]
Half = tuple[object, object]


def store_list(cache: LiveCache, stamp: Half) -> None:
    cache.set_events(DEV, 2, [event(0, *stamp), event(1, "77")])


def store_wave(cache: LiveCache, stamp: Half) -> None:
    cache.set_waveform(DEV, 0, wave(*stamp))


@pytest.mark.parametrize("first", [store_list, store_wave])
@pytest.mark.parametrize("second", [store_list, store_wave])
@pytest.mark.parametrize(("old", "new"), CONFLICTS)
def test_a_conflict_at_one_index_drops_the_whole_device(
    cache: LiveCache,
    first: Callable[[LiveCache, Half], None],
    second: Callable[[LiveCache, Half], None],
    old: Half,
    new: Half,
) -> None:
    fill(cache, OTHER)
    first(cache, old)
    cache.set_waveform(DEV, 1, wave("77"))
    cache.set_device_info(DEV, {"serial": "BE18189"})
    cache.set_monitor_status(DEV, {"monitoring": True})
    epoch, generation = cache.epoch(DEV), cache.generation(DEV)
    second(cache, new)
    assert held_kinds(cache) == ({"events"} if second is store_list else {"wave 0"})
    assert cache.epoch(DEV).number == epoch.number + 1
    assert cache.generation(DEV) > generation
    assert "slot 0 holds another event" in cache.epoch(DEV).reason
    assert held_kinds(cache, OTHER) == ALL
    assert cache.epoch(OTHER).number == 0
    assert cache.generation(OTHER) == 0


@pytest.mark.parametrize("first", [store_list, store_wave])
@pytest.mark.parametrize("second", [store_list, store_wave])
@pytest.mark.parametrize(("old", "new"), AGREEMENTS)
def test_stamps_that_do_not_conflict_drop_nothing(
    cache: LiveCache,
    first: Callable[[LiveCache, Half], None],
    second: Callable[[LiveCache, Half], None],
    old: Half,
    new: Half,
) -> None:
    first(cache, old)
    cache.set_waveform(DEV, 1, wave("77"))
    cache.set_device_info(DEV, {"serial": "BE18189"})
    cache.set_monitor_status(DEV, {"monitoring": True})
    second(cache, new)
    assert held_kinds(cache) >= {"info", "wave 1", "status"}
    assert cache.epoch(DEV).number == 0
    assert cache.generation(DEV) == 0


def test_the_private_name_of_the_key_counts_as_well(cache: LiveCache) -> None:
    cache.set_events(DEV, 1, [{"index": 0, "_waveform_key": b"\x01", "timestamp": T1}])
    cache.set_waveform(DEV, 0, {"_waveform_key": b"\x02", "timestamp": T1})
    assert cache.get_events(DEV, 1) is None
    assert cache.get_waveform(DEV, 0) == {"_waveform_key": b"\x02", "timestamp": T1}


def test_a_conflict_anywhere_in_the_list_counts(cache: LiveCache) -> None:
    cache.set_events(DEV, 3, [event(i, f"0{i}") for i in range(3)])
    cache.set_waveform(DEV, 0, wave("00"))
    cache.set_events(DEV, 3, [event(0, "00"), event(1, "01"), event(2, "99")])
    assert cache.get_waveform(DEV, 0) is None
    assert cache.epoch(DEV).number == 1


def test_the_index_of_an_event_counts_and_not_its_place(cache: LiveCache) -> None:
    cache.set_events(DEV, 2, [event(0, "00"), event(1, "01")])
    cache.set_events(DEV, 2, [event(1, "01"), event(0, "00")])
    assert cache.epoch(DEV).number == 0


def test_events_without_an_index_take_their_position(cache: LiveCache) -> None:
    cache.set_events(DEV, 2, [{"waveform_key": "00"}, {"waveform_key": "01", "index": None}])
    cache.set_waveform(DEV, 1, wave("01"))
    assert cache.epoch(DEV).number == 0
    cache.set_waveform(DEV, 1, wave("02"))
    assert cache.epoch(DEV).number == 1


def test_more_events_without_a_conflict_are_an_append(cache: LiveCache) -> None:
    fill(cache)
    cache.set_events(DEV, 3, [event(0, "00"), event(1, "01"), event(2, "02", T2)])
    assert held_kinds(cache) == ALL - {"events"}
    assert cache.get_events(DEV, 3) is not None
    assert (cache.epoch(DEV).number, cache.generation(DEV)) == (0, 0)


def test_a_waveform_goes_whose_index_the_new_list_lacks(cache: LiveCache) -> None:
    fill(cache)
    fill(cache, OTHER)
    cache.set_events(DEV, 1, [event(0, "00")])
    assert held_kinds(cache) == {"info", "wave 0", "status"}
    assert cache.get_events(DEV, 1) == [event(0, "00")]
    assert cache.epoch(DEV).number == 0
    assert held_kinds(cache, OTHER) == ALL


def test_an_index_may_vanish_from_the_middle(cache: LiveCache) -> None:
    cache.set_waveform(DEV, 3, wave("03"))
    cache.set_waveform(DEV, 4, wave("04"))
    cache.set_events(DEV, 2, [event(2, "02"), event(4, "04")])
    assert cache.get_waveform(DEV, 3) is None
    assert cache.get_waveform(DEV, 4) is not None


@pytest.mark.parametrize("with_waveform", [True, False])
def test_a_waveform_of_a_vanished_index_that_was_on_its_way_is_late(
    cache: LiveCache, with_waveform: bool
) -> None:
    cache.set_events(DEV, 2, [event(0, "00"), event(1, "01")])
    if with_waveform:
        cache.set_waveform(DEV, 1, wave("01"))
    began = cache.generation(DEV)
    cache.set_events(DEV, 1, [event(0, "00")])
    assert cache.set_waveform(DEV, 1, wave("01"), generation=began) is False
    assert cache.get_waveform(DEV, 1) is None


@pytest.mark.parametrize("index", [-1, -7])
def test_a_negative_index_is_refused(cache: LiveCache, index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        cache.set_waveform(DEV, index, wave())
    with pytest.raises(ValueError, match="expected 0 or more"):
        cache.set_events(DEV, 1, [event(index)])
    assert cache.get_waveform(DEV, index) is None


def test_one_index_twice_is_refused_and_changes_nothing(cache: LiveCache) -> None:
    fill(cache)
    with pytest.raises(ValueError, match="two events claim index 1"):
        cache.set_events(DEV, 2, [event(1, "01"), event(1, "99")])
    assert held_kinds(cache) == ALL


def test_another_serial_drops_everything_first(cache: LiveCache) -> None:
    fill(cache)
    fill(cache, OTHER)
    cache.set_device_info(DEV, {"serial": "BE99999"})
    assert held_kinds(cache) == {"info"}
    assert cache.get_device_info(DEV) == {"serial": "BE99999"}
    assert cache.epoch(DEV).number == 1
    assert "BE99999" in cache.epoch(DEV).reason
    assert held_kinds(cache, OTHER) == ALL


@pytest.mark.parametrize("info", [{}, {"serial": None}, {"serial": ""}, {"serial": " BE18189 "}])
def test_the_same_or_an_unknown_serial_drops_nothing(
    cache: LiveCache, info: dict[str, Any]
) -> None:
    fill(cache)
    cache.set_device_info(DEV, info)
    assert held_kinds(cache) == ALL


def test_an_info_without_serial_does_not_unlearn_the_serial(cache: LiveCache) -> None:
    fill(cache)
    cache.set_device_info(DEV, {})
    cache.set_device_info(DEV, {"serial": "BE99999"})
    assert held_kinds(cache) == {"info"}


def test_another_serial_is_seen_through_a_dirty_configuration(cache: LiveCache) -> None:
    fill(cache)
    cache.mark_config_dirty(DEV)
    cache.set_device_info(DEV, {"serial": "BE99999"})
    assert held_kinds(cache) == {"info"}


# ---- monitor status and time


def test_a_status_is_fresh_just_before_thirty_seconds(cache: LiveCache, clock: Clock) -> None:
    cache.set_monitor_status(DEV, {"monitoring": True})
    clock.now = math.nextafter(1030.0, 0.0)
    assert cache.get_monitor_status(DEV) == {"monitoring": True}
    assert cache.monitor_status_entry(DEV) is not None


def test_a_status_has_expired_at_exactly_thirty_seconds(cache: LiveCache, clock: Clock) -> None:
    cache.set_monitor_status(DEV, {"monitoring": True})
    clock.now = 1030.0
    assert cache.get_monitor_status(DEV) is None
    assert cache.monitor_status_entry(DEV) is None


def test_the_age_of_a_status_counts_from_the_start_of_its_read(
    cache: LiveCache, clock: Clock
) -> None:
    cache.set_monitor_status(DEV, {"monitoring": True}, read_began_mono=990.0)
    clock.now = 1019.5
    assert cache.get_monitor_status(DEV) is not None
    clock.now = 1020.0
    assert cache.get_monitor_status(DEV) is None


def test_a_status_whose_read_took_thirty_seconds_was_never_fresh(cache: LiveCache) -> None:
    assert cache.set_monitor_status(DEV, {"monitoring": True}, read_began_mono=970.0)
    assert cache.get_monitor_status(DEV) is None


@pytest.mark.parametrize("began", [1000.1, 1e12, math.inf, math.nan, -math.inf])
def test_a_read_that_has_not_begun_yet_is_of_unknown_age_and_stale(
    cache: LiveCache, clock: Clock, began: float
) -> None:
    cache.set_monitor_status(DEV, {"monitoring": True}, read_began_mono=began)
    cache.set_device_info(DEV, {}, read_began_mono=began)
    for clock.now in (1000.0, 1000.2, 1029.0, 1e12, 2e12):
        assert cache.get_monitor_status(DEV) is None
    entry = cache.info_entry(DEV)
    assert entry is not None
    assert entry.age_s(1000.0) == math.inf


def test_a_clock_that_runs_backwards_makes_nothing_fresh(cache: LiveCache, clock: Clock) -> None:
    cache.set_monitor_status(DEV, {"monitoring": True})
    clock.now = 999.0
    assert cache.get_monitor_status(DEV) is None


def test_the_lifetime_of_a_status_can_be_chosen(clock: Clock) -> None:
    cache = LiveCache(clock=clock, status_ttl_s=5.0)
    cache.set_monitor_status(DEV, {"monitoring": True})
    clock.now = 1004.9
    assert cache.get_monitor_status(DEV) is not None
    clock.now = 1005.0
    assert cache.get_monitor_status(DEV) is None


def test_start_and_stop_drop_the_status_at_once_and_nothing_else(cache: LiveCache) -> None:
    fill(cache)
    fill(cache, OTHER)
    cache.invalidate_monitor_status(DEV)
    assert held_kinds(cache) == ALL - {"status"}
    assert held_kinds(cache, OTHER) == ALL
    assert cache.epoch(DEV).number == 0


def test_nothing_but_the_status_grows_old(cache: LiveCache, clock: Clock) -> None:
    fill(cache)
    clock.now += 1e9
    assert held_kinds(cache) == ALL - {"status"}


def test_one_operation_sees_one_instant(cache: LiveCache, clock: Clock) -> None:
    cache.set_events(DEV, 1, [event(0)], probe=PROBE)
    cache.set_monitor_status(DEV, {})
    operations: list[Callable[[], object]] = [
        lambda: cache.set_device_info(DEV, {"serial": "A"}),
        lambda: cache.set_device_info(DEV, {"serial": "B"}),
        lambda: cache.set_events(DEV, 1, [event(0)], probe=PROBE),
        lambda: cache.validated(DEV, PROBE, 1000.0),
        lambda: cache.set_waveform(DEV, 0, wave("ff")),
        lambda: cache.set_monitor_status(DEV, {}),
        lambda: cache.get_monitor_status(DEV),
        lambda: cache.drop_device(DEV, "asked to"),
        lambda: cache.stats(),
    ]
    for operation in operations:
        clock.asked = 0
        operation()
        assert clock.asked == 1


# ---- dirty configuration


def test_a_dirty_configuration_hides_info_and_events_and_no_more(cache: LiveCache) -> None:
    fill(cache)
    fill(cache, OTHER)
    cache.mark_config_dirty(DEV)
    assert held_kinds(cache) == {"wave 0", "wave 1", "status"}
    assert cache.info_entry(DEV) is None
    assert cache.events_entry(DEV) is None
    assert held_kinds(cache, OTHER) == ALL


def test_only_a_fresh_info_ends_a_dirty_configuration(cache: LiveCache) -> None:
    fill(cache)
    cache.mark_config_dirty(DEV)
    cache.set_events(DEV, 2, [event(0, "00"), event(1, "01")])
    cache.set_waveform(DEV, 0, wave("00"))
    cache.set_monitor_status(DEV, {"monitoring": False})
    cache.invalidate_monitor_status(DEV)
    assert cache.get_events(DEV, 2) is None
    cache.set_device_info(DEV, {"serial": "BE18189"})
    assert held_kinds(cache) == ALL - {"status"}


def test_events_stored_while_dirty_show_once_the_info_is_read(cache: LiveCache) -> None:
    cache.mark_config_dirty(DEV)
    assert cache.set_events(DEV, 1, [event(0)]) is True
    assert cache.get_events(DEV, 1) is None
    cache.set_device_info(DEV, {})
    assert cache.get_events(DEV, 1) == [event(0)]


def test_an_unknown_device_can_be_dirty(cache: LiveCache) -> None:
    cache.mark_config_dirty(DEV)
    assert cache.generation(DEV) == 1
    assert cache.stats()["by_device"][DEV]["dirty"] is True


def test_an_info_that_began_before_the_write_does_not_end_dirty(cache: LiveCache) -> None:
    fill(cache)
    began = cache.generation(DEV)
    cache.mark_config_dirty(DEV)
    assert cache.set_device_info(DEV, {"serial": "BE18189"}, generation=began) is False
    assert cache.get_device_info(DEV) is None
    between = cache.generation(DEV)
    cache.mark_config_dirty(DEV)
    assert cache.set_device_info(DEV, {"serial": "BE18189"}, generation=between) is False
    now = cache.generation(DEV)
    assert cache.set_device_info(DEV, {"serial": "BE18189"}, generation=now) is True
    assert cache.get_device_info(DEV) is not None


@pytest.mark.parametrize(
    "drop",
    [
        lambda cache: cache.drop_device(DEV, "asked to"),
        lambda cache: cache.set_events(DEV, 2, [event(0, "99"), event(1, "98")]),
        lambda cache: cache.set_waveform(DEV, 0, wave("99")),
    ],
)
def test_dirty_survives_a_drop(cache: LiveCache, drop: Callable[[LiveCache], object]) -> None:
    fill(cache)
    cache.mark_config_dirty(DEV)
    drop(cache)
    assert cache.epoch(DEV).number == 1
    cache.set_events(DEV, 2, [event(0, "99"), event(1, "98")])
    assert cache.get_events(DEV, 2) is None
    cache.set_device_info(DEV, {"serial": "BE18189"})
    assert cache.get_events(DEV, 2) is not None


def test_dirty_survives_an_eviction() -> None:
    cache = LiveCache(limit_bytes=2000)
    cache.mark_config_dirty(DEV)
    cache.set_waveform(DEV, 0, wave(size=150))
    cache.set_waveform(DEV, 1, wave("01", size=150))
    assert cache.get_waveform(DEV, 0) is None
    assert cache.stats()["by_device"][DEV]["dirty"] is True


def test_a_conflict_is_seen_through_a_dirty_configuration(cache: LiveCache) -> None:
    fill(cache)
    cache.mark_config_dirty(DEV)
    cache.set_waveform(DEV, 0, wave("99"))
    cache.set_device_info(DEV, {"serial": "BE18189"})
    assert held_kinds(cache) == {"info", "wave 0"}


# ---- late fills

SETTERS: dict[str, Callable[[LiveCache, int | None], bool]] = {
    "info": lambda cache, g: cache.set_device_info(DEV, {"serial": "BE18189"}, generation=g),
    "events": lambda cache, g: cache.set_events(
        DEV, 2, [event(0, "00"), event(1, "01")], generation=g
    ),
    "wave 0": lambda cache, g: cache.set_waveform(DEV, 0, wave("00"), generation=g),
    "status": lambda cache, g: cache.set_monitor_status(DEV, {"monitoring": True}, generation=g),
}
INVALIDATIONS: dict[str, Callable[[LiveCache], object]] = {
    "drop": lambda cache: cache.drop_device(DEV, "asked to"),
    "dirty": lambda cache: cache.mark_config_dirty(DEV),
    "start or stop": lambda cache: cache.invalidate_monitor_status(DEV),
    "list conflict": lambda cache: (
        cache.set_events(DEV, 1, [event(7, "aa")]) and cache.set_events(DEV, 1, [event(7, "bb")])
    ),
    "waveform conflict": lambda cache: (
        cache.set_waveform(DEV, 7, wave("aa")) and cache.set_waveform(DEV, 7, wave("bb"))
    ),
    "other unit": lambda cache: (
        cache.set_device_info(DEV, {"serial": "X"}) and cache.set_device_info(DEV, {"serial": "Y"})
    ),
}


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("invalidation", INVALIDATIONS)
def test_a_fill_that_began_before_an_invalidation_is_refused(
    cache: LiveCache, setter: str, invalidation: str
) -> None:
    began = cache.generation(DEV)
    INVALIDATIONS[invalidation](cache)
    before = cache.stats()["by_device"]
    assert SETTERS[setter](cache, began) is False
    assert cache.stats()["by_device"] == before
    assert cache.stats()["refused_late_fills"] == 1


@pytest.mark.parametrize("setter", SETTERS)
def test_a_fill_of_the_current_generation_is_stored(cache: LiveCache, setter: str) -> None:
    cache.drop_device(DEV, "asked to")
    assert SETTERS[setter](cache, cache.generation(DEV)) is True
    assert held_kinds(cache) == {setter}


@pytest.mark.parametrize("setter", SETTERS)
def test_what_happens_to_another_device_makes_no_fill_late(cache: LiveCache, setter: str) -> None:
    began = cache.generation(DEV)
    cache.drop_device(OTHER, "asked to")
    cache.mark_config_dirty(OTHER)
    assert SETTERS[setter](cache, began) is True


@pytest.mark.parametrize("setter", SETTERS)
def test_a_late_fill_is_no_evidence_against_what_came_after(cache: LiveCache, setter: str) -> None:
    began = cache.generation(DEV)
    cache.drop_device(DEV, "erased")
    cache.set_device_info(DEV, {"serial": "BE99999"})
    cache.set_events(DEV, 2, [event(0, "aa"), event(1, "bb")])
    cache.set_waveform(DEV, 0, wave("aa"))
    epoch = cache.epoch(DEV)
    assert SETTERS[setter](cache, began) is False
    assert cache.epoch(DEV) == epoch
    assert held_kinds(cache) == {"info", "events", "wave 0"}


def test_the_setter_that_finds_the_conflict_is_stored_and_all_others_are_late(
    cache: LiveCache,
) -> None:
    fill(cache)
    began = cache.generation(DEV)
    changed = [event(0, "99"), event(1, "98")]
    assert cache.set_events(DEV, 2, changed, generation=began) is True
    assert cache.get_events(DEV, 2) == changed
    assert cache.set_waveform(DEV, 0, wave("00"), generation=began) is False
    assert cache.set_device_info(DEV, {"serial": "BE18189"}, generation=began) is False
    assert cache.set_monitor_status(DEV, {}, generation=began) is False
    assert held_kinds(cache) == {"events"}


def test_an_epoch_number_is_never_used_twice(cache: LiveCache, clock: Clock) -> None:
    seen = {cache.epoch(DEV).number}
    for n in range(1, 6):
        clock.now += 1
        cache.drop_device(DEV, f"reason {n}")
        assert cache.epoch(DEV).number not in seen
        assert cache.epoch(DEV).reason == f"reason {n}"
        assert cache.epoch(DEV).began_mono == clock.now
        seen.add(cache.epoch(DEV).number)


# ---- probes


def test_events_answer_to_their_probe(cache: LiveCache) -> None:
    cache.set_events(DEV, 1, [event(0)], probe=PROBE)
    assert cache.get_events(DEV, 1) is not None
    assert cache.get_events(DEV, 1, probe=replace(PROBE)) is not None
    assert cache.get_events(DEV, 1, probe=replace(PROBE, lifetime_count=2)) is None
    assert cache.get_events(DEV, 2, probe=PROBE) is None


def test_events_without_a_probe_answer_to_none(cache: LiveCache) -> None:
    cache.set_events(DEV, 1, [event(0)])
    assert cache.get_events(DEV, 1, probe=PROBE) is None


def test_a_probe_with_an_unanswered_part_matches_nothing(cache: LiveCache) -> None:
    torn = replace(PROBE, lifetime_count=None)
    cache.set_events(DEV, 1, [event(0)], probe=torn)
    assert cache.get_events(DEV, 1, probe=torn) is None
    assert cache.validated(DEV, torn, 1000.0) is False


def test_another_probe_alone_is_no_conflict(cache: LiveCache) -> None:
    fill(cache)
    cache.set_events(DEV, 2, [event(0, "00"), event(1, "01")], probe=PROBE)
    assert held_kinds(cache) == ALL


def test_a_list_is_validated_by_its_read_and_then_by_each_equal_probe(
    cache: LiveCache, clock: Clock
) -> None:
    cache.set_events(DEV, 1, [event(0)], probe=PROBE, read_began_mono=995.0)
    assert cache.validated_mono(DEV) == 995.0
    clock.now = 1100.0
    assert cache.validated(DEV, PROBE, 1090.0) is True
    assert cache.validated_mono(DEV) == 1090.0
    assert cache.validated(DEV, PROBE, 1050.0) is True
    assert cache.validated_mono(DEV) == 1090.0
    assert cache.validated(DEV, replace(PROBE, lifetime_count=9), 1095.0) is False
    assert cache.validated(DEV, PROBE, 1100.5) is False
    assert cache.validated(DEV, PROBE, math.nan) is False
    assert cache.validated_mono(DEV) == 1090.0
    cache.drop_device(DEV, "asked to")
    assert cache.validated_mono(DEV) is None
    assert cache.validated(DEV, PROBE, 1090.0) is False


# ---- provenance


def test_a_held_value_says_where_it_comes_from(cache: LiveCache, clock: Clock) -> None:
    cache.drop_device(DEV, "asked to")
    cache.set_events(DEV, 1, [event(0)], probe=PROBE, read_began_mono=990.0, source="store")
    cache.set_waveform(DEV, 0, wave(b"\x01\x11\0\0", "2026-04-01 00:28:12"), read_began_mono=991.0)
    cache.set_device_info(DEV, {"serial": "A"}, read_began_mono=992.0)
    cache.set_monitor_status(DEV, {"monitoring": True}, read_began_mono=993.0)
    events, waveform = cache.events_entry(DEV), cache.waveform_entry(DEV, 0)
    info, status = cache.info_entry(DEV), cache.monitor_status_entry(DEV)
    assert isinstance(events, CacheEntry)
    assert isinstance(waveform, CacheEntry)
    assert isinstance(info, CacheEntry)
    assert isinstance(status, CacheEntry)
    assert (events.probe, events.device_count, events.source) == (PROBE, 1, "store")
    assert waveform.stamp == Stamp("01110000", T1)
    assert [h.source for h in (waveform, info, status)] == ["device"] * 3
    assert [h.age_s(1000.0) for h in (events, waveform, info, status)] == [10.0, 9.0, 8.0, 7.0]
    assert events.age_s(900.0) == 0.0
    assert {(h.epoch, h.generation) for h in (events, waveform, info, status)} == {(1, 1)}
    assert all(h.size_bytes > 0 for h in (events, waveform, info, status))
    with pytest.raises(AttributeError):
        events.epoch = 7  # type: ignore[misc]


def test_a_held_value_outlives_its_invalidation_and_is_marked(cache: LiveCache) -> None:
    fill(cache)
    entry = cache.waveform_entry(DEV, 0)
    assert entry is not None
    cache.drop_device(DEV, "asked to")
    assert entry.value() == wave("00")
    assert entry.generation != cache.generation(DEV)


def test_stats_say_what_is_held(cache: LiveCache) -> None:
    fill(cache)
    cache.drop_device(OTHER, "asked to")
    cache.mark_config_dirty(OTHER)
    stats = cache.stats()
    assert (stats["devices"], stats["waveforms"]) == (2, 2)
    assert stats["bytes"] == cache.size_bytes == stats["by_device"][DEV]["bytes"] > 0
    assert stats["by_device"][OTHER] == {
        "epoch": 1,
        "reason": "asked to",
        "epochs": [
            {"epoch": 1, "reason": "asked to", "began_age_s": 0.0},
            {
                "epoch": 0,
                "reason": "nothing was known of the device before",
                "began_age_s": 0.0,
            },
        ],
        "generation": 2,
        "serial": None,
        "dirty": True,
        "info": False,
        "events": None,
        "status": False,
        "waveforms": [],
        "bytes": 0,
    }


def epochs_of(cache: LiveCache, conn_key: str = DEV) -> list[tuple[int, str, float]]:
    reported = cache.stats()["by_device"][conn_key]["epochs"]
    return [(one["epoch"], one["reason"], one["began_age_s"]) for one in reported]


def test_each_epoch_has_its_reason_and_its_age(cache: LiveCache, clock: Clock) -> None:
    fill(cache)
    clock.now += 5
    cache.set_device_info(DEV, {"serial": "BE99999"})
    clock.now += 10
    cache.set_events(DEV, 1, [event(0, "00")])
    cache.set_events(DEV, 1, [event(0, "00", T2)])
    clock.now += 20.5
    cache.drop_device(DEV, "asked to", beyond=7)
    clock.now += 40
    fill(cache)
    conflict = (
        f"slot 0 holds another event: the new list has 00 of {T2}, the cached list had 00 of {T1}"
    )
    assert epochs_of(cache) == [
        (8, "asked to", 40.0),
        (2, conflict, 60.5),
        (1, "unit BE99999 answers where BE18189 used to", 70.5),
        (0, "nothing was known of the device before", 75.5),
    ]


def test_the_last_sixteen_epochs_are_remembered_newest_first(cache: LiveCache) -> None:
    for n in range(1, 101):
        cache.drop_device(DEV, f"reason {n}")
        assert len(epochs_of(cache)) == min(n + 1, 16)
    assert [(number, why) for number, why, _ in epochs_of(cache)] == [
        (n, f"reason {n}") for n in range(100, 84, -1)
    ]


def test_what_is_no_new_memory_begins_no_epoch(cache: LiveCache) -> None:
    fill(cache)
    before = epochs_of(cache)
    cache.mark_config_dirty(DEV)
    cache.invalidate_monitor_status(DEV)
    fill(cache)
    cache.set_events(DEV, 1, [event(0, "00")])
    assert epochs_of(cache) == before


def test_after_a_restart_the_first_epoch_is_the_one_from_before(
    cache: LiveCache, clock: Clock
) -> None:
    clock.now += 5
    assert cache.begin_at(DEV, 41, "erased in the field")
    clock.now += 7
    cache.drop_device(DEV, "asked to")
    assert epochs_of(cache) == [(42, "asked to", 0.0), (41, "erased in the field", 7.0)]


# ---- bounds


def test_waveforms_are_evicted_oldest_first_across_devices() -> None:
    cache = LiveCache(limit_bytes=10_000)
    fill(cache, OTHER)
    for index in range(3):
        cache.set_waveform(DEV if index % 2 else OTHER, 10 + index, wave(f"1{index}", size=300))
    before = (cache.epoch(DEV), cache.generation(DEV), cache.generation(OTHER))
    cache.set_waveform(OTHER, 10, wave("10", size=300))  # stored again: now the youngest
    cache.set_waveform(DEV, 20, wave("20", size=600))
    assert cache.get_waveform(OTHER, 0) is None
    assert cache.get_waveform(OTHER, 1) is None
    assert cache.get_waveform(DEV, 11) is None
    assert cache.get_waveform(OTHER, 10) is not None
    assert cache.get_waveform(DEV, 20) is not None
    assert held_kinds(cache, OTHER) == {"info", "events", "status"}
    assert cache.size_bytes <= 10_000
    assert cache.stats()["evicted_waveforms"] >= 3
    assert (cache.epoch(DEV), cache.generation(DEV), cache.generation(OTHER)) == before


def test_a_waveform_larger_than_the_budget_is_not_kept_and_evicts_nothing() -> None:
    cache = LiveCache(limit_bytes=5000)
    fill(cache)
    assert cache.set_waveform(DEV, 2, wave("02", size=1000)) is False
    assert held_kinds(cache) == ALL
    assert cache.set_waveform(DEV, 0, wave("00", size=1000)) is False
    assert held_kinds(cache) == ALL - {"wave 0"}
    assert cache.stats()["too_large_waveforms"] == 2


def test_a_waveform_too_large_to_keep_is_evidence_all_the_same() -> None:
    cache = LiveCache(limit_bytes=5000)
    fill(cache)
    assert cache.set_waveform(DEV, 0, wave("99", size=1000)) is False
    assert held_kinds(cache) == set()


def test_a_growing_list_evicts_waveforms_and_is_never_evicted() -> None:
    cache = LiveCache(limit_bytes=5000)
    fill(cache)
    many = [event(i, f"{i:02x}") for i in range(200)]
    assert cache.set_events(DEV, 200, many) is True
    assert held_kinds(cache) == {"info", "status"}
    assert cache.get_events(DEV, 200) == many


def test_without_a_limit_nothing_is_evicted() -> None:
    cache = LiveCache(limit_bytes=None)
    for index in range(50):
        assert cache.set_waveform(DEV, index, wave(f"{index:02x}", size=1000))
    assert cache.stats()["waveforms"] == 50


def test_the_books_balance_after_every_way_out(cache: LiveCache) -> None:
    for _ in range(3):
        fill(cache)
        fill(cache, OTHER)
        cache.set_waveform(DEV, 0, wave("00", size=9))
        cache.set_events(DEV, 1, [event(0, "00")])
        cache.invalidate_monitor_status(DEV)
        stats = cache.stats()
        assert stats["bytes"] == sum(d["bytes"] for d in stats["by_device"].values())
        cache.set_events(DEV, 1, [event(0, "99")])
        cache.drop_device(DEV, "asked to")
        cache.set_device_info(OTHER, {"serial": "X"})
        cache.drop_device(OTHER, "asked to")
        assert cache.size_bytes == 0
        assert cache.stats()["waveforms"] == 0


# ---- cost


class CountedDict(dict[str, Any]):
    """Counts the entries anybody touches."""

    touched = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.touched += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.touched += 1
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.touched += 1
        super().__setitem__(key, value)

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            self.touched += 1
            yield key

    def keys(self) -> Any:
        self.touched += len(self)
        return super().keys()

    def values(self) -> Any:
        self.touched += len(self)
        return super().values()

    def items(self) -> Any:
        self.touched += len(self)
        return super().items()

    def copy(self) -> Any:
        self.touched += len(self)
        return super().copy()


def work_of(cache: LiveCache, operation: Callable[[], object]) -> tuple[int, int]:
    """Return the lines run and the device entries touched by one operation."""
    lines = 0

    def trace(frame: Any, what: str, arg: object) -> Any:
        nonlocal lines
        lines += what == "line"
        return trace

    counted = CountedDict(cache._devices)
    cache._devices = counted
    before = sys.gettrace()
    counted.touched = 0
    # What a collection finalizes on the way is not this operation's work.
    gc.collect()
    gc.disable()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
        gc.enable()
    return lines, counted.touched


def fleet(size: int) -> LiveCache:
    cache = LiveCache(limit_bytes=None)
    for n in range(size):
        cache.set_waveform(f"tcp:10.0.0.1:{n}", 0, {"n": n})
    fill(cache)
    return cache


@pytest.mark.parametrize(
    "operation",
    [
        lambda cache: cache.drop_device(DEV, "asked to"),
        lambda cache: cache.set_events(DEV, 2, [event(0, "99"), event(1, "98")]),
        lambda cache: cache.set_device_info(DEV, {"serial": "BE99999"}),
        lambda cache: cache.get_monitor_status(DEV),
    ],
)
def test_dropping_one_device_is_the_same_work_among_ten_as_among_ten_thousand(
    operation: Callable[[LiveCache], object],
) -> None:
    few, many = fleet(10), fleet(10_000)
    assert work_of(few, lambda: operation(few)) == work_of(many, lambda: operation(many))


class Untouchable:
    """A lock that nobody may take."""

    def __enter__(self) -> None:
        raise AssertionError("a reader took the lock")

    def __exit__(self, *args: object) -> None:
        raise AssertionError("a reader took the lock")


def test_a_hit_and_a_miss_take_no_lock(cache: LiveCache) -> None:
    fill(cache)
    cache._lock = Untouchable()  # type: ignore[assignment]
    assert held_kinds(cache) == ALL
    assert held_kinds(cache, OTHER) == set()
    assert cache.events_entry(DEV) is not None
    assert (cache.generation(DEV), cache.epoch(DEV).number, cache.validated_mono(DEV)) == (
        0,
        0,
        1000.0,
    )


# ---- threads


def test_no_thread_ever_sees_a_torn_value_or_a_value_of_an_older_epoch() -> None:
    # Round n of the writer puts n everywhere, under stamps that conflict with those of round
    # n - 1; so nothing of an older round than a reader has seen in the list may answer to it.
    cache = LiveCache(limit_bytes=200_000)
    stop = threading.Event()
    wrong: list[str] = []
    seen = count()

    def write() -> None:
        for n in range(400):
            key = f"{n:08x}"
            cache.set_events(DEV, 20, [event(i, key) | {"n": n} for i in range(20)])
            for i in range(5):
                cache.set_waveform(DEV, i, wave(key, size=50) | {"n": n, "again": n})
            cache.set_device_info(DEV, {"n": n, "again": {"n": n}})
            cache.set_monitor_status(DEV, {"n": n, "again": n})
        stop.set()

    def read() -> None:
        newest = 0
        while not stop.is_set():
            for events in filter(None, [cache.get_events(DEV, 20)]):
                if len({e["n"] for e in events}) != 1 or len(events) != 20:
                    wrong.append("torn list")
                if events[0]["n"] < newest:
                    wrong.append("the list went back")
                newest = events[0]["n"]
                events.clear()
            for index in range(5):
                waveform = cache.get_waveform(DEV, index)
                if waveform and waveform["n"] != waveform["again"]:
                    wrong.append("torn waveform")
                if waveform and waveform["n"] < newest:
                    wrong.append("a waveform of an older epoch")
            status = cache.get_monitor_status(DEV)
            if status and (status["n"] != status["again"] or status["n"] < newest):
                wrong.append("torn or old status")
            info = cache.get_device_info(DEV)
            if info and (info["n"] != info["again"]["n"] or info["n"] < newest):
                wrong.append("torn or old info")
            next(seen)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        run_together(write, *[read] * 6)
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert next(seen) > 0


def test_writers_of_many_threads_lose_nothing_and_the_books_balance() -> None:
    cache = LiveCache(limit_bytes=20_000)
    interval = sys.getswitchinterval()

    def write(me: int) -> None:
        mine = f"tcp:10.0.0.1:{me}"
        for n in range(150):
            cache.set_waveform(mine, n % 7, wave(f"{n % 7:02x}", size=40))
            cache.set_monitor_status(mine, {"n": n})
            cache.mark_config_dirty(DEV)
            if n % 10 == 0:
                cache.drop_device(mine, "asked to")

    sys.setswitchinterval(1e-5)
    try:
        run_together(*[lambda me=me: write(me) for me in range(8)])
    finally:
        sys.setswitchinterval(interval)
    stats = cache.stats()
    assert cache.generation(DEV) == 8 * 150
    assert [cache.epoch(f"tcp:10.0.0.1:{me}").number for me in range(8)] == [15] * 8
    assert stats["bytes"] == sum(d["bytes"] for d in stats["by_device"].values()) <= 20_000
    assert stats["waveforms"] == sum(len(d["waveforms"]) for d in stats["by_device"].values())


def run_together(*works: Callable[[], object]) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(len(works))

    def guarded(work: Callable[[], object]) -> None:
        start.wait()
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


# ---- against a model

KEYS: list[tuple[object, str | None]] = [
    (None, None),
    ("0a", "0a"),
    (b"\x0a", "0a"),
    ("0x0B", "0b"),
]
TIMES: list[tuple[object, str | None]] = [
    (None, None),
    (T1, "1"),
    ({"iso": T1.replace("T", " ")}, "1"),
    (T2, "2"),
]
stamps = st.tuples(st.sampled_from(KEYS), st.sampled_from(TIMES))
devices = st.sampled_from([DEV, OTHER])
indices = st.integers(0, 2)
use_generation = st.sampled_from(["none", "fresh", "old"])


def model_device() -> dict[str, Any]:
    return {
        "info": None,
        "serial": None,
        "events": None,
        "listed": {},
        "waves": {},
        "status": None,
        "dirty": False,
        "epoch": 0,
        "generation": 0,
    }


class AgainstAModel(RuleBasedStateMachine):
    """The cache beside plain mutable dicts that follow the rules one by one."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.cache = LiveCache(clock=self.clock, limit_bytes=None)
        self.model = {DEV: model_device(), OTHER: model_device()}
        self.noted = {DEV: 0, OTHER: 0}

    def wipe(self, device: str) -> None:
        old, new = self.model[device], model_device()
        new["dirty"] = old["dirty"]
        new["epoch"] = old["epoch"] + 1
        new["generation"] = old["generation"] + 1
        self.model[device] = new

    def token(self, device: str, use: str) -> tuple[int | None, bool]:
        """Return the generation to give, and whether it makes the fill late."""
        if use == "none":
            return None, False
        given = self.model[device]["generation"] if use == "fresh" else self.noted[device]
        return given, given != self.model[device]["generation"]

    @staticmethod
    def differ(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
        return any(x is not None and y is not None and x != y for x, y in zip(a, b, strict=True))

    @rule(device=devices)
    def note_generation(self, device: str) -> None:
        self.noted[device] = self.cache.generation(device)

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0, 29.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(device=devices, serial=st.sampled_from([None, "A", "B"]), use=use_generation)
    def set_info(self, device: str, serial: str | None, use: str) -> None:
        generation, late = self.token(device, use)
        stored = self.cache.set_device_info(
            device, {"serial": serial, "x": [1]}, generation=generation
        )
        assert stored is not late
        if late:
            return
        known = self.model[device]["serial"]
        if serial and known and serial != known:
            self.wipe(device)
        model = self.model[device]
        model["info"] = {"serial": serial, "x": [1]}
        model["serial"] = serial or model["serial"]
        model["dirty"] = False

    @rule(
        device=devices, slots=st.dictionaries(indices, stamps), use=use_generation, n=st.integers()
    )
    def set_events(self, device: str, slots: dict[int, Any], use: str, n: int) -> None:
        generation, late = self.token(device, use)
        events = [event(i, k, t) | {"n": n} for i, ((k, _), (t, _)) in slots.items()]
        stored = self.cache.set_events(device, len(events), events, generation=generation)
        assert stored is not late
        if late:
            return
        new = {i: (k, t) for i, ((_, k), (_, t)) in slots.items()}
        model = self.model[device]
        for i, stamp in new.items():
            listed, waved = model["listed"].get(i), model["waves"].get(i)
            if (listed and self.differ(listed, stamp)) or (waved and self.differ(waved[0], stamp)):
                self.wipe(device)
                model = self.model[device]
                break
        gone = [
            i for i in (0, 1, 2) if i not in new and (i in model["listed"] or i in model["waves"])
        ]
        model["generation"] += bool(gone)
        for i in gone:
            model["waves"].pop(i, None)
        model["events"], model["listed"] = copy.deepcopy(events), new
        events.clear()

    @rule(device=devices, i=indices, stamp=stamps, use=use_generation, n=st.integers())
    def set_waveform(self, device: str, i: int, stamp: Any, use: str, n: int) -> None:
        generation, late = self.token(device, use)
        ((raw_key, key), (raw_time, time)) = stamp
        value = wave(raw_key, raw_time) | {"n": n}
        assert self.cache.set_waveform(device, i, value, generation=generation) is not late
        if late:
            return
        model = self.model[device]
        others = [model["listed"].get(i), (model["waves"].get(i) or [None])[0]]
        if any(other and self.differ(other, (key, time)) for other in others):
            self.wipe(device)
        self.model[device]["waves"][i] = ((key, time), value)

    @rule(device=devices, took_s=st.sampled_from([0.0, 5.0, 29.5, 40.0]), use=use_generation)
    def set_status(self, device: str, took_s: float, use: str) -> None:
        generation, late = self.token(device, use)
        began = self.clock.now - took_s
        status = {"began": began}
        stored = self.cache.set_monitor_status(
            device, status, generation=generation, read_began_mono=began
        )
        assert stored is not late
        if not late:
            self.model[device]["status"] = (began, status)

    @rule(device=devices)
    def start_or_stop(self, device: str) -> None:
        self.cache.invalidate_monitor_status(device)
        self.model[device]["status"] = None
        self.model[device]["generation"] += 1

    @rule(device=devices)
    def write_config(self, device: str) -> None:
        self.cache.mark_config_dirty(device)
        self.model[device]["dirty"] = True
        self.model[device]["generation"] += 1

    @rule(device=devices)
    def drop(self, device: str) -> None:
        self.cache.drop_device(device, "asked to")
        self.wipe(device)

    @invariant()
    def answers_agree(self) -> None:
        for device, model in self.model.items():
            hidden = model["dirty"]
            assert self.cache.get_device_info(device) == (None if hidden else model["info"])
            for n in range(4):
                answers = not hidden and model["events"] is not None and len(model["events"]) == n
                expected = model["events"] if answers else None
                assert self.cache.get_events(device, n) == expected
            for i in range(3):
                entry = model["waves"].get(i)
                assert self.cache.get_waveform(device, i) == (entry[1] if entry else None)
            status = model["status"]
            fresh = status is not None and self.clock.now - status[0] < 30.0
            assert self.cache.get_monitor_status(device) == (status[1] if fresh else None)
            assert self.cache.epoch(device).number == model["epoch"]
            assert self.cache.generation(device) == model["generation"]

    @invariant()
    def books_balance(self) -> None:
        stats = self.cache.stats()
        assert stats["bytes"] == sum(d["bytes"] for d in stats["by_device"].values())
        assert stats["waveforms"] == sum(len(m["waves"]) for m in self.model.values())


TestAgainstAModel = AgainstAModel.TestCase
TestAgainstAModel.settings = settings(max_examples=250, stateful_step_count=40)


# ---- the house


def test_the_cache_stands_on_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import sfm.live_cache\n"
        "loaded = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(*sorted(loaded - set(sys.stdlib_module_names)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["sfm"]


def test_the_examples_in_the_docstrings_run() -> None:
    failed, tried = doctest.testmod(sfm.live_cache)
    assert failed == 0
    assert tried > 0
