from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import numpy as np
import pytest
import serialx
from kit import virtual_time
from kit.client_session import asked, connected_to
from kit.end_to_end import START_UNIT, build_unit, counts_of

from minimateplus.client import MiniMate, reads
from minimateplus.errors import (
    ConnectError,
    DeadlineError,
    DuplicateReplyError,
    KeyChainError,
    LinkClosedError,
    LocalProtocolError,
    MemoryChangedError,
    MiniMateError,
    NoSuchEventError,
    OutcomeUnknownError,
    RecordDiffersError,
    RemoteProtocolError,
    ReplyTimeoutError,
)
from minimateplus.link import Deadlines, Link, open_link
from minimateplus.link.in_process import MemoryLink, memory_pair
from minimateplus.link.stream import StreamLink
from minimateplus.model import (
    FIRST_KEY,
    CallHomeChange,
    Event,
    MemoryProbe,
    Progress,
    SetupChange,
)
from minimateplus.simulator import SimulatedUnit, connect_memory
from minimateplus.simulator.faulty_links import (
    ColdLink,
    FaultyLink,
    LateLink,
    LinkFactory,
    StalledLink,
)
from minimateplus.simulator.unit import DEFAULT_SETUP
from minimateplus.wire import commands
from minimateplus.wire.framing import Frame, encode_reply
from minimateplus.wire.protocol_state import ProtocolState

MAX_REQUESTS = 5000
"""Virtual time cannot end a walk that never waits: the unit does."""

Verb = Callable[[MiniMate], Awaitable[object]]

EVENT = Event(
    index=0,
    key=FIRST_KEY,
    device_time=START_UNIT,
    peaks=build_unit(1).events[0].peaks,
    project=None,
)

PROVEN = MemoryProbe(
    serial="SIM0001",
    first_key=FIRST_KEY,
    last_key=build_unit(2).events[1].key,
    lifetime_count=2,
    last_timestamp=None,
    is_empty=False,
)

VERBS: dict[str, Verb] = {
    "read_serial": lambda host: host.read_serial(),
    "read_info": lambda host: host.read_info(),
    "read_storage_range": lambda host: host.read_storage_range(),
    "read_lifetime_count": lambda host: host.read_lifetime_count(),
    "read_probe": lambda host: host.read_probe(),
    "count_events": lambda host: host.count_events(),
    "read_events": lambda host: host.read_events(),
    "read_monitor_log": lambda host: host.read_monitor_log(),
    "read_event": lambda host: host.read_event(FIRST_KEY, 0),
    "read_waveform": lambda host: host.read_waveform(EVENT),
    "read_monitor_status": lambda host: host.read_monitor_status(),
    "read_call_home": lambda host: host.read_call_home(),
    "start_monitoring": lambda host: host.start_monitoring(),
    "stop_monitoring": lambda host: host.stop_monitoring(),
    "erase_without_walk": lambda host: host.erase_without_walk(serial="SIM0001"),
    "erase_proven": lambda host: host.erase_proven(serial="SIM0001", proven=PROVEN),
    "erase_all": lambda host: host.erase_all(serial="SIM0001", count=2),
    "write_setup": lambda host: host.write_setup(SetupChange(record_time_s=3.0)),
    "write_call_home": lambda host: host.write_call_home(CallHomeChange(enabled=True)),
    "stop_monitoring_without_reply": lambda host: host.stop_monitoring_without_reply(),
}
HEARD = [name for name in VERBS if not name.endswith("without_reply")]
"""The verbs that wait for an answer."""


class WatchedUnit(SimulatedUnit):
    """Notes what it is asked, and lets a test step in before it answers."""

    def __init__(self, **how: Any) -> None:
        super().__init__(clock=lambda: 0.0, now_device_time=START_UNIT, **how)
        self.asked: list[int] = []
        self.step_in: Callable[[Frame], bytes | None] = lambda _: None

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        self.asked.append(request.sub)
        assert len(self.asked) < MAX_REQUESTS, "this goes on for ever"
        instead = self.step_in(request)
        answer = super().answer(protocol, request)
        return answer if instead is None else instead

    def fill(self, events: int, samples: int = 300) -> WatchedUnit:
        for number in range(events):
            self.record_event(counts=counts_of(samples, number))
        return self


def test_every_public_verb_stands_in_the_table_of_verbs() -> None:
    verbs = {
        name
        for name, method in inspect.getmembers(MiniMate, inspect.iscoroutinefunction)
        if not name.startswith("_") and name not in ("open", "wake", "close")
    }
    assert verbs == set(VERBS)


# --- what it costs --------------------------------------------------------------------------------


async def _cost(host: MiniMate, verb: Awaitable[object]) -> int:
    before = host.exchanges
    await verb
    assert host.answers == host.exchanges
    return host.exchanges - before


@pytest.mark.parametrize(("events", "exchanges"), [(0, 8), (1, 12), (2, 10), (9, 10)])
def test_a_probe_costs_the_same_however_much_is_stored(events: int, exchanges: int) -> None:
    unit = WatchedUnit().fill(events, 8)
    assert asked(unit, lambda host: _cost(host, host.read_probe())) == exchanges


@pytest.mark.parametrize(
    ("verb", "exchanges"),
    [
        ("read_serial", 2),
        ("read_info", 8),
        ("read_storage_range", 2),
        ("read_lifetime_count", 2),
        ("read_event", 4),
        ("read_monitor_status", 2),
        ("count_events", 2 + 3 * 2 * 4),
        ("read_events", 2 + 3 * (4 + 6)),
        ("read_monitor_log", 2 + 3 * 2 * 4),
    ],
)
def test_each_verb_costs_what_it_says(verb: str, exchanges: int) -> None:
    unit = WatchedUnit().fill(3, 8)
    assert asked(unit, lambda host: _cost(host, VERBS[verb](host))) == exchanges


@virtual_time.in_virtual_time
async def test_starting_up_costs_two_exchanges() -> None:
    async with connected_to(WatchedUnit()) as host:
        assert host.exchanges == 2


@pytest.mark.parametrize("appended", [0, 1, 2, 5])
def test_reading_on_behind_an_event_costs_ten_exchanges_for_each_that_follows(
    appended: int,
) -> None:
    unit = WatchedUnit().fill(4 + appended, 8)
    known, last = unit.events[3], unit.events[-1]

    def verb(host: MiniMate) -> Awaitable[int]:
        return _cost(host, host.read_events(after=known, until_key=last.key))

    # The stamp again (4), and per event next key, boundary record, next key, header, record.
    assert asked(unit, verb) == 4 + 10 * appended


# --- lists ----------------------------------------------------------------------------------------


def test_events_behind_one_carry_on_its_numbers() -> None:
    unit = WatchedUnit().fill(5)
    known = unit.events[2]
    assert asked(unit, lambda h: h.read_events(after=known)) == unit.events[3:]
    until = unit.events[3].key
    assert asked(unit, lambda h: h.read_events(after=known, until_key=until)) == [unit.events[3]]
    assert asked(unit, lambda h: h.read_events(after=unit.events[-1])) == []


def test_an_empty_memory_has_no_events_and_an_honest_probe() -> None:
    unit = WatchedUnit()

    async def everything(host: MiniMate) -> None:
        probe = await host.read_probe()
        assert (probe.first_key, probe.last_key) == (FIRST_KEY, FIRST_KEY)
        assert (probe.lifetime_count, probe.last_timestamp) == (0, None)
        assert probe.is_empty
        assert probe.is_complete
        assert await host.count_events() == 0
        assert await host.read_events() == []
        assert await host.read_monitor_log() == []

    asked(unit, everything)


def test_one_event_is_not_taken_for_none() -> None:
    probe = asked(WatchedUnit().fill(1), lambda host: host.read_probe())
    assert (probe.first_key, probe.last_key) == (FIRST_KEY, FIRST_KEY)
    assert not probe.is_empty
    assert probe.last_timestamp == START_UNIT.isoformat()


def test_the_monitor_log_lies_between_the_events() -> None:
    unit = WatchedUnit().fill(2)
    entries = asked(unit, lambda host: host.read_monitor_log())
    assert [entry.start_device_time for entry in entries] == [e.device_time for e in unit.events]
    assert all(entry.stop_device_time > entry.start_device_time for entry in entries)
    assert [entry.text for entry in entries] == ["SIM0001 Geo: 0.500 in/s"] * 2
    keys = [entry.key for entry in entries]
    assert unit.events[0].key < keys[0] < unit.events[1].key < keys[1]


@pytest.mark.parametrize("index", [-1, 3, 1_000_000])
def test_an_index_that_is_not_there_is_no_such_event(index: int) -> None:
    async def verb(host: MiniMate) -> None:
        with pytest.raises(NoSuchEventError, match=str(index)):
            await host.read_waveform(index)
        assert await host.read_serial() == "SIM0001"

    asked(WatchedUnit().fill(3, 8), verb)


def test_a_boundary_record_is_no_event() -> None:
    unit = WatchedUnit().fill(1)

    async def verb(host: MiniMate) -> None:
        (entry,) = await host.read_monitor_log()
        with pytest.raises(NoSuchEventError, match=entry.key.hex()):
            await host.read_event(entry.key, 0)

    asked(unit, verb)


# --- waveforms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record_time_s", "rate_hz", "range_in_s"),
    [(1.0, 1024, 10.0), (1.0, 2048, 1.25), (3.0, 4096, 10.0), (13.0, 4096, 1.25)],
)
def test_a_waveform_is_exact_at_every_length_rate_and_range(
    record_time_s: float, rate_hz: int, range_in_s: float
) -> None:
    setup = replace(
        DEFAULT_SETUP,
        record_time_s=record_time_s,
        sample_rate_hz=rate_hz,
        geo_range_in_s=range_in_s,
    )
    unit = WatchedUnit(setup=setup, seed=4)
    unit.record_event()
    unit.record_event()
    # What the unit is set to now says nothing of what it recorded before.
    unit.setup = DEFAULT_SETUP
    steps: list[Progress] = []
    waveform = asked(unit, lambda host: host.read_waveform(1, on_progress=steps.append))
    assert np.array_equal(waveform.counts, unit.counts_of(1))
    samples = round((record_time_s + 0.25) * rate_hz)
    assert waveform.valid_samples == (samples,) * 4
    assert waveform.sample_rate_hz == rate_hz
    assert waveform.pretrigger_samples == rate_hz // 4
    assert waveform.geo_range_in_s == range_in_s
    assert waveform.event == unit.events[1]
    size = len(waveform.image)
    assert [step.done for step in steps] == [*range(1024, size, 1024), size]
    assert {step.total for step in steps} == {size}


def test_a_waveform_may_be_asked_for_by_index_or_by_event() -> None:
    unit = WatchedUnit().fill(3)
    by_index = asked(unit, lambda host: host.read_waveform(2))
    by_event = asked(unit, lambda host: host.read_waveform(unit.events[2]))
    assert by_index.event == by_event.event == unit.events[2]
    assert by_index.image == by_event.image


def test_a_start_record_that_lies_about_its_place_is_not_followed() -> None:
    unit = WatchedUnit().fill(1)

    def lie(request: Frame) -> bytes | None:
        if request.sub != 0x5A:
            return None
        image = bytearray(request.length)
        image[4:8] = b"STRT"
        image[10:18] = bytes.fromhex("ffffffff 01110000")
        return encode_reply(0xA5, request.length, request.params, bytes(image))

    unit.step_in = lie
    with pytest.raises(RemoteProtocolError, match="ffffffff"):
        asked(unit, lambda host: host.read_waveform(0))
    assert unit.asked.count(0x5A) == 1


# --- memory that changes while it is read ---------------------------------------------------------


def _on_bulk_read(number: int, unit: WatchedUnit, change: Callable[[], object]) -> None:
    def step_in(request: Frame) -> None:
        if request.sub == 0x5A and unit.asked.count(0x5A) == number:
            change()

    unit.step_in = step_in


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_event_replaced_during_its_download_is_thrown_away(number: int) -> None:
    unit = WatchedUnit()
    event = unit.record_event(counts=counts_of(2000))

    def replace_it() -> None:
        unit.erase()
        unit.set_clock(datetime(2026, 4, 1, 0, 40))
        # The same samples, so that key, length and address are the same and only the stamp is not.
        assert unit.record_event(counts=counts_of(2000)).key == event.key

    _on_bulk_read(number, unit, replace_it)
    with pytest.raises(
        MemoryChangedError, match=r"00:40:00 with PVS [\d.]+ in/s now, was of 2026-04-01T00:28:12"
    ):
        asked(unit, lambda host: host.read_waveform(event))
    assert unit.asked.count(0x5A) >= 3


def test_a_memory_erased_during_a_download_is_reported_as_changed() -> None:
    unit = WatchedUnit()
    event = unit.record_event(counts=counts_of(2000))
    _on_bulk_read(2, unit, unit.erase)
    with pytest.raises(MemoryChangedError, match="is gone"):
        asked(unit, lambda host: host.read_waveform(event))


def test_an_event_replaced_before_its_download_is_not_downloaded() -> None:
    unit = WatchedUnit().fill(1)
    (event,) = unit.events
    unit.erase()
    unit.set_clock(datetime(2026, 4, 2))
    unit.fill(1)
    with pytest.raises(MemoryChangedError):
        asked(unit, lambda host: host.read_waveform(event))
    assert 0x5A not in unit.asked


def test_nothing_is_read_behind_an_event_that_is_another_now() -> None:
    unit = WatchedUnit().fill(2)
    known = unit.events[0]
    unit.erase()
    unit.set_clock(datetime(2026, 4, 2))
    unit.fill(3)

    async def verb(host: MiniMate) -> None:
        with pytest.raises(MemoryChangedError):
            await host.read_events(after=known)
        # Every answer was received to its end, so the session goes on.
        assert await host.read_events() == unit.events

    asked(unit, verb)
    assert 0x1F not in unit.asked[: unit.asked.index(0x1E)]


@pytest.mark.parametrize("then", ["nothing", "a boundary"])
def test_nothing_is_read_behind_an_event_that_is_gone(then: str) -> None:
    unit = WatchedUnit().fill(2)
    known = unit.events[1]
    unit.erase()
    if then == "a boundary":
        size = int.from_bytes(known.key, "big") - 0x01110000
        assert size > 0x46
        boundary = asked(unit.fill(1), lambda host: host.read_monitor_log())[0].key
        known = replace(known, key=boundary)
    with pytest.raises(MemoryChangedError):
        asked(unit, lambda host: host.read_events(after=known))


def test_events_without_a_date_are_distinguished_by_their_peaks() -> None:
    unit = WatchedUnit().fill(1)

    def undated(request: Frame) -> bytes | None:
        if request.sub != 0x0C or not request.length:
            return None
        # The unit's own answer with its date made none.
        payload = bytearray(unit_record(unit))
        payload[:8] = bytes(8)
        return encode_reply(0xF3, request.length, request.params, bytes(payload))

    unit.step_in = undated
    event = asked(unit, lambda host: host.read_event(FIRST_KEY, 0))
    assert event.device_time is None
    assert asked(unit, lambda host: host.read_waveform(event)).event == event
    other = replace(event, peaks=replace(event.peaks, tran_in_s=9.0))
    with pytest.raises(MemoryChangedError):
        asked(unit, lambda host: host.read_waveform(other))


READ_BEHIND: dict[str, Callable[[MiniMate, Event], Awaitable[Any]]] = {
    "the list": lambda host, event: host.read_events(after=event),
    "the samples": lambda host, event: host.read_waveform(event),
}


@pytest.mark.parametrize("read", READ_BEHIND)
@pytest.mark.parametrize("other", ["peaks", "project"])
def test_an_event_of_equal_time_with_other_peaks_or_project_is_another_event(
    other: str, read: str
) -> None:
    """A clock that was never set gives every event the same time, and keys start again."""
    unit = WatchedUnit()
    known = unit.record_event(counts=counts_of(300), project="North")
    unit.erase()
    counts = counts_of(300, int(other == "peaks"))
    project = "South" if other == "project" else "North"
    unit.record_event(counts=counts, project=project, at_device_time=known.device_time)
    (event,) = asked(unit, lambda host: host.read_events())
    assert (event.key, event.device_time) == (known.key, known.device_time)
    unit.asked.clear()

    async def verb(host: MiniMate) -> None:
        with pytest.raises(MemoryChangedError) as caught:
            await READ_BEHIND[read](host, known)
        assert type(caught.value) is MemoryChangedError
        assert host.is_usable

    asked(unit, verb)
    assert not {0x1F, 0x5A} & set(unit.asked)


UNDECODED = 0xD0
"""A byte of the record behind all that is decoded: padding of the project."""


@pytest.mark.parametrize("read", READ_BEHIND)
def test_a_record_that_differs_in_undecoded_bytes_proves_nothing_except_where_it_is_volatile(
    read: str,
) -> None:
    unit = WatchedUnit().fill(1)
    (known,) = asked(unit, lambda host: host.read_events())
    known = replace(known, record=known.record[:UNDECODED] + b"\x07" + known.record[0xD1:])

    async def verb(host: MiniMate) -> None:
        with pytest.raises(RecordDiffersError) as caught:
            await READ_BEHIND[read](host, known)
        assert caught.value.offsets == {UNDECODED}
        assert "whether the event is another one is not known" in str(caught.value)
        host.volatile_offsets = frozenset({UNDECODED - 1})
        with pytest.raises(RecordDiffersError):
            await READ_BEHIND[read](host, known)
        host.volatile_offsets = frozenset({UNDECODED})
        await READ_BEHIND[read](host, known)

    asked(unit, verb)
    # Where the record of before is not known, nothing can be compared but what was decoded.
    asked(unit, lambda host: READ_BEHIND[read](host, replace(known, record=b"")))


def test_a_record_that_differs_after_the_samples_throws_them_away() -> None:
    unit = WatchedUnit().fill(1)
    (known,) = asked(unit, lambda host: host.read_events())
    changed = known.record[:UNDECODED] + b"\x07" + known.record[UNDECODED + 1 :]

    def change(request: Frame) -> bytes | None:
        if request.sub == 0x0C and request.length and 0x5A in unit.asked:
            return encode_reply(0xF3, request.length, request.params, changed)
        return None

    unit.step_in = change
    with pytest.raises(RecordDiffersError):
        asked(unit, lambda host: host.read_waveform(known))


def test_probes_of_events_with_equal_key_time_and_counter_differ_by_peaks_and_project() -> None:
    """The unit does not answer its lifetime counter, and its clock was never set."""

    def probe_of(seed: int, project: str) -> MemoryProbe:
        unit = WatchedUnit()
        unit.ignores.add(0x08)
        unit.record_event(counts=counts_of(300, seed), project=project)
        probe: MemoryProbe = asked(unit, lambda host: host.read_probe())
        assert (probe.last_key, probe.last_timestamp) == (FIRST_KEY, START_UNIT.isoformat())
        assert len(probe.last_record) == 210
        return probe

    north = probe_of(0, "North")
    assert north == probe_of(0, "North")
    assert north != probe_of(1, "North")
    assert north != probe_of(0, "South")


def unit_record(unit: SimulatedUnit) -> bytes:
    from minimateplus.simulator.payloads import record_payload

    (event,) = unit.events
    assert event.device_time is not None
    return record_payload(event.device_time, event.peaks, event.project)


# --- chains that go wrong -------------------------------------------------------------------------


def _corrupt(unit: SimulatedUnit, kind: str) -> None:
    keys = [event.key for event in unit.events]
    unit.corrupt_next = {
        "a loop": {keys[2]: keys[0]},
        "a loop to the middle": {keys[2]: keys[1]},
        "itself": {keys[1]: keys[1]},
        "nowhere": {keys[1]: bytes.fromhex("0badc0de")},
    }[kind]


@pytest.mark.parametrize("verb", ["count_events", "read_events", "read_monitor_log"])
@pytest.mark.parametrize("kind", ["a loop", "a loop to the middle", "itself", "nowhere"])
def test_a_corrupted_chain_of_keys_ends_the_walk(kind: str, verb: str) -> None:
    unit = WatchedUnit().fill(4, 8)
    _corrupt(unit, kind)

    async def walk(host: MiniMate) -> None:
        with pytest.raises(KeyChainError):
            await VERBS[verb](host)
        # As on BE9558: the walk is lost, the rest still answers.
        assert (await host.read_storage_range()).last_key == unit.events[-1].key

    asked(unit, walk)
    assert len(unit.asked) < 80


def test_an_endless_chain_of_ever_new_keys_ends_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "MAX_KEYS", 50)
    unit = WatchedUnit().fill(1, 8)

    def endless(request: Frame) -> bytes | None:
        if request.sub == 0x0A:
            params = bytes(3) + b"\x2c" + request.params[4:]
            payload = bytes(request.length)
            return encode_reply(0xF5, request.length, params, payload)
        if request.sub == 0x1F and request.length:
            key = 0x01110000 + len(unit.asked)
            return encode_reply(0xE0, 8, request.params, key.to_bytes(4, "big") + bytes(4))
        return None

    unit.step_in = endless
    with pytest.raises(KeyChainError, match="longer than 50"):
        asked(unit, lambda host: host.count_events())


def test_the_bound_of_a_walk_is_beyond_what_any_memory_holds() -> None:
    smallest_event = 0x46 + 0x46
    assert 2 * 983_026 // smallest_event < reads.MAX_KEYS


def test_a_chain_that_ends_before_the_last_stored_key_is_broken() -> None:
    unit = WatchedUnit().fill(3, 8)
    with pytest.raises(KeyChainError, match="0badc0de"):
        asked(unit, lambda host: host.read_events(until_key=bytes.fromhex("0badc0de")))


# --- silence, and what is sent twice --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sub", "missing"), [(0x06, {"first_key", "last_key"}), (0x08, {"lifetime_count"})]
)
def test_a_part_of_the_probe_that_a_unit_does_not_know_is_none(sub: int, missing: set[str]) -> None:
    unit = WatchedUnit().fill(2)
    unit.ignores.add(sub)

    async def twice(host: MiniMate) -> None:
        for _ in range(2):
            probe = await host.read_probe()
            parts = ("first_key", "last_key", "lifetime_count")
            assert {name for name in parts if getattr(probe, name) is None} == missing
            assert not probe.is_complete
            assert not probe.is_empty
        assert await host.read_events() == unit.events

    asked(unit, twice)
    assert unit.asked.count(sub) == 1


def test_a_unit_that_knows_neither_still_says_whether_it_is_empty() -> None:
    unit = WatchedUnit()
    unit.ignores |= {0x06, 0x08}
    assert asked(unit, lambda host: host.read_probe()).is_empty


class FetchLostLink(FaultyLink):
    """Loses the answers of one SUB: those to fetches whole, or all but their head."""

    def __init__(self, inner: Link, sub: int, delivered_bytes: int) -> None:
        super().__init__(inner)
        self.sub = sub
        self.delivered_bytes = delivered_bytes

    async def send(self, data: bytes) -> None:
        lost = data[5] == self.sub and len(data) > 40
        await super().send(data[: self.delivered_bytes] if lost else data)


@pytest.mark.parametrize("delivered_bytes", [0, 30])
@pytest.mark.parametrize("sub", [0xF9, 0xF7])
def test_an_answer_that_was_lost_is_not_taken_for_a_part_that_a_unit_does_not_know(
    sub: int, delivered_bytes: int
) -> None:
    unit = WatchedUnit().fill(2)
    with pytest.raises(ReplyTimeoutError):
        asked(
            unit, lambda h: h.read_probe(), lambda inner: FetchLostLink(inner, sub, delivered_bytes)
        )


class HeldBackLink(FaultyLink):
    """Delivers the answers of one SUB only before the next answer."""

    def __init__(self, inner: Link, sub: int) -> None:
        super().__init__(inner)
        self.sub = sub
        self.present = b""

    async def send(self, data: bytes) -> None:
        if data[5] == self.sub:
            self.present = data
        else:
            await super().send(self.present + data)
            self.present = b""


@pytest.mark.parametrize("sub", [0xF9, 0xF7])
def test_an_answer_that_comes_after_its_request_was_given_up_is_not_taken_for_another(
    sub: int,
) -> None:
    unit = WatchedUnit().fill(2)

    async def verb(host: MiniMate) -> None:
        probe = await host.read_probe()
        assert not probe.is_complete
        assert probe.serial == "SIM0001"
        assert probe.lifetime_count in (2, None)
        assert await host.read_events() == unit.events

    asked(unit, verb, lambda inner: HeldBackLink(inner, sub))


class EchoLink(FaultyLink):
    """Delivers every answer twice once the unit is awake."""

    async def send(self, data: bytes) -> None:
        is_poll = data[5] == 0xA4
        await super().send(data if is_poll else data + data)


@pytest.mark.parametrize("verb", ["read_events", "read_waveform", "read_probe"])
def test_a_reply_that_arrives_twice_ends_the_read(verb: str) -> None:
    """The second one could be taken for the answer to the next request."""

    async def read(host: MiniMate) -> None:
        with pytest.raises(DuplicateReplyError, match="arrived twice"):
            await VERBS[verb](host)
        assert not host.is_usable

    asked(WatchedUnit().fill(3), read, EchoLink)


def test_only_the_first_poll_is_repeated_and_only_once() -> None:
    unit = WatchedUnit()
    unit.ignores.add(0x5B)
    with pytest.raises(ReplyTimeoutError):
        asked(unit, lambda host: host.read_serial())
    assert unit.asked == [0x5B, 0x5B]


def test_a_cold_unit_is_asked_twice_and_then_no_more() -> None:
    unit = WatchedUnit()
    asked(unit, lambda host: host.read_serial(), ColdLink)
    assert unit.asked == [0x5B, 0x5B, 0x15, 0x15]


@pytest.mark.parametrize("sub", [0x15, 0x01, 0x1A, 0x1C, 0x1E, 0x1F, 0x0A, 0x0C, 0x5A])
def test_a_request_without_an_answer_is_never_repeated(sub: int) -> None:
    unit = WatchedUnit().fill(2)
    unit.ignores.add(sub)

    async def everything(host: MiniMate) -> None:
        await host.read_info()
        await host.read_monitor_status()
        await host.read_events()
        await host.read_waveform(unit.events[0])

    with pytest.raises(ReplyTimeoutError, match=f"{sub:02X}"):
        asked(unit, everything)
    assert unit.asked.count(sub) == 1
    assert unit.asked[-1] == sub


def test_an_answer_about_another_key_is_refused() -> None:
    unit = WatchedUnit().fill(2)
    other = commands.key_params(unit.events[1].key)

    def about_another(request: Frame) -> bytes | None:
        answer = encode_reply(0xF3, request.length, other, bytes(request.length))
        return answer if request.sub == 0x0C else None

    unit.step_in = about_another
    with pytest.raises(RemoteProtocolError, match="was answered with"):
        asked(unit, lambda host: host.read_event(FIRST_KEY, 0))


def test_an_answer_shorter_than_asked_is_refused() -> None:
    unit = WatchedUnit().fill(1)

    def short(request: Frame) -> bytes | None:
        if request.sub != 0x5A:
            return None
        return encode_reply(0xA5, request.length, request.params, bytes(request.length - 1))

    unit.step_in = short
    with pytest.raises(RemoteProtocolError, match="got 1023"):
        asked(unit, lambda host: host.read_waveform(0))


def test_a_unit_without_a_serial_number_is_refused() -> None:
    unit = WatchedUnit()
    unit.serial = ""
    with pytest.raises(RemoteProtocolError, match="no serial number"):
        asked(unit, lambda host: host.read_serial())


# --- one session ----------------------------------------------------------------------------------


def test_a_verb_longer_than_its_deadline_is_given_up() -> None:
    unit = WatchedUnit().fill(3)

    async def verb(host: MiniMate) -> None:
        started_s = virtual_time.now_s()
        with pytest.raises(
            DeadlineError, match="probing the event memory made no progress for 5 s"
        ):
            await host.read_probe()
        assert virtual_time.now_s() - started_s == pytest.approx(5)
        with pytest.raises(LocalProtocolError):
            await host.read_serial()

    asked(unit, verb, LateLink, Deadlines(operation_s=5))


LONG_VERBS: dict[str, tuple[int, Verb]] = {
    # With the most exchanges between two records or chunks.
    "read_events": (6, lambda host: host.read_events()),
    "count_events": (4, lambda host: host.count_events()),
    "read_monitor_log": (4, lambda host: host.read_monitor_log()),
    # From the header that the search ends with: 2 + 14 to check and arm, 2 chunks.
    "read_waveform": (18, lambda host: host.read_waveform(4)),
}


@pytest.mark.parametrize("name", LONG_VERBS)
def test_the_deadline_of_a_verb_bounds_the_time_between_two_records_not_the_whole(
    name: str,
) -> None:
    exchanges, verb = LONG_VERBS[name]
    unit = WatchedUnit().fill(9, 30_000)
    deadlines = Deadlines(operation_s=exchanges + 2.5)

    async def long(host: MiniMate) -> None:
        started_s = virtual_time.now_s()
        await verb(host)
        assert virtual_time.now_s() - started_s > 3 * deadlines.operation_s

    asked(unit, long, LateLink, deadlines)
    with pytest.raises(DeadlineError, match="made no progress"):
        asked(unit, verb, LateLink, Deadlines(operation_s=exchanges - 2.5))


class StandsStillLink(FaultyLink):
    """From the third record's header on, each answer of the unit takes 9 s."""

    headers = 0

    async def send(self, data: bytes) -> None:
        self.headers += data[5] == 0xF5
        if self.headers > 4:
            await asyncio.sleep(9.0)
        await super().send(data)


def test_a_walk_that_stands_still_is_given_up_its_deadline_after_the_last_record() -> None:
    taken: list[bytes] = []

    async def verb(host: MiniMate) -> None:
        started_s = virtual_time.now_s()
        with pytest.raises(DeadlineError):
            await host.read_events(on_event=lambda event: taken.append(event.key))
        # The third record's header comes after 18 s and is the last that comes at all.
        assert virtual_time.now_s() - started_s == pytest.approx(18.0 + 30.0)

    unit = WatchedUnit().fill(9, 8)
    asked(unit, verb, StandsStillLink, Deadlines(operation_s=30.0))
    assert taken == [event.key for event in unit.events[:2]]


def test_two_verbs_at_once_are_our_own_mistake_and_the_first_goes_on() -> None:
    unit = WatchedUnit().fill(2)

    async def verb(host: MiniMate) -> None:
        events, refused = await asyncio.gather(
            host.read_events(), host.read_serial(), return_exceptions=True
        )
        assert events == unit.events
        assert isinstance(refused, LocalProtocolError)
        assert "while another operation runs" in str(refused)
        assert await host.read_serial() == "SIM0001"

    asked(unit, verb, LateLink)


@pytest.mark.parametrize("name", VERBS)
def test_a_broken_session_refuses_every_further_verb_and_sends_nothing(name: str) -> None:
    unit = WatchedUnit().fill(1)
    unit.ignores.add(0x1C)

    async def verb(host: MiniMate) -> None:
        with pytest.raises(ReplyTimeoutError):
            await host.read_monitor_status()
        assert not host.is_usable
        sent = len(unit.asked)
        with pytest.raises(LocalProtocolError, match="over"):
            await VERBS[name](host)
        assert len(unit.asked) == sent

    asked(unit, verb)


def test_a_closed_session_refuses_verbs_and_may_be_closed_again() -> None:
    async def verb(host: MiniMate) -> None:
        await host.close()
        await host.close()
        with pytest.raises(LocalProtocolError):
            await host.read_serial()

    asked(WatchedUnit(), verb)


class _OurOwnError(Exception):
    pass


@pytest.mark.parametrize("verb", ["read_events", "read_waveform"])
@virtual_time.in_virtual_time
async def test_an_error_of_the_caller_passes_and_closes_the_link(verb: str) -> None:
    def fail(_: Progress) -> None:
        raise _OurOwnError

    async def call(host: MiniMate) -> None:
        if verb == "read_events":
            await host.read_events(on_progress=fail)
        await host.read_waveform(0, on_progress=fail)

    async with connect_memory(WatchedUnit().fill(2)) as link:
        with pytest.raises(_OurOwnError):
            async with MiniMate.connect(link) as host:
                await call(host)
        with pytest.raises(LinkClosedError):
            await link.send(b"?")


@pytest.mark.parametrize("name", [*HEARD, "open"])
@virtual_time.in_virtual_time
async def test_a_cancelled_verb_closes_the_link_and_leaves_no_task(name: str) -> None:
    after_bytes = 0 if name == "open" else 110  # the answers to the first two POLLs
    unit = WatchedUnit().fill(1)
    wrap_link: LinkFactory = lambda inner: StalledLink(inner, after_bytes)  # noqa: E731
    async with connect_memory(unit, wrap_link=wrap_link) as link:

        async def run() -> None:
            async with MiniMate.connect(link) as host:
                await VERBS[name](host)

        before = asyncio.all_tasks()
        task = asyncio.create_task(run())
        await asyncio.sleep(5)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() <= before
        with pytest.raises(LinkClosedError):
            await link.send(b"?")


def test_a_running_verb_ends_when_its_session_is_closed() -> None:
    async def verb(host: MiniMate) -> None:
        task = asyncio.create_task(host.read_serial())
        await asyncio.sleep(0.5)
        await host.close()
        with pytest.raises(LinkClosedError):
            await task

    asked(WatchedUnit(), verb, LateLink)


# --- errors of others -----------------------------------------------------------------------------

FOREIGN: dict[str, Callable[[], Exception]] = {
    "OSError": lambda: OSError(5, "Input/output error"),
    "reset": lambda: ConnectionResetError(104, "Connection reset by peer"),
    "broken pipe": lambda: BrokenPipeError(32, "Broken pipe"),
    "TimeoutError": lambda: TimeoutError(110, "Connection timed out"),
    "EOFError": lambda: EOFError("no more"),
    "IncompleteReadError": lambda: asyncio.IncompleteReadError(b"", 1),
    "SerialException": lambda: serialx.SerialException("device disconnected"),
}


class FailingStreams:
    """A reader and a writer over a link that fail on request."""

    def __init__(self, link: MemoryLink) -> None:
        self.link = link
        self.fail_in = ""
        self.error: Callable[[], Exception] | None = None
        """What to raise; a stream that just ends when there is none."""
        self.closed = 0
        self.transport = self

    def _fail(self, where: str) -> None:
        if where == self.fail_in and self.error is not None:
            raise self.error()

    async def read(self, _: int) -> bytes:
        self._fail("read")
        if self.fail_in == "read":
            return b""
        return await self.link.receive()

    def write(self, data: bytes) -> None:
        self._fail("write")
        self.link._outgoing.put_nowait(data)

    async def drain(self) -> None:
        self._fail("drain")

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.closed += 1
        self._fail("close")

    async def wait_closed(self) -> None:
        self._fail("wait_closed")

    def abort(self) -> None:
        self._fail("close")


@pytest.mark.parametrize("where", ["read", "write", "drain"])
@pytest.mark.parametrize("name", HEARD)
@virtual_time.in_virtual_time
async def test_no_foreign_error_leaves_a_verb(name: str, where: str) -> None:
    errors: list[Callable[[], Exception] | None] = [*FOREIGN.values()]
    if where == "read":
        errors.append(None)
    for error in errors:
        async with connect_memory(WatchedUnit().fill(2)) as link:
            streams = FailingStreams(link)
            both = cast(Any, streams)
            async with MiniMate.connect(StreamLink("a port", both, both)) as host:
                streams.fail_in, streams.error = where, error
                with pytest.raises(MiniMateError, match="a port") as caught:
                    await VERBS[name](host)
                at_once = name in ("start_monitoring", "stop_monitoring")
                found = caught.value.__cause__ if at_once else caught.value
                assert type(found) is LinkClosedError
                # Whatever failed once a command's first byte was on its way.
                assert isinstance(caught.value, OutcomeUnknownError) is at_once
                assert not host.is_usable
                streams.fail_in = "close"
            assert streams.closed == 1


@pytest.mark.parametrize("error", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("where", ["close", "wait_closed"])
@virtual_time.in_virtual_time
async def test_closing_never_fails(where: str, error: Callable[[], Exception]) -> None:
    ours, _ = memory_pair()
    streams = FailingStreams(ours)
    both = cast(Any, streams)
    streams.fail_in, streams.error = where, error
    link = StreamLink("a port", both, both)
    await link.close()
    await link.close()
    assert streams.closed == 1


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "/dev/ttyS0", "rfc2217://127.0.0.1:9"])
@pytest.mark.parametrize("name", FOREIGN)
def test_no_foreign_error_leaves_the_opening_of_a_link(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise FOREIGN[name]()

    monkeypatch.setattr(asyncio, "open_connection", fail)
    monkeypatch.setattr(serialx, "open_serial_connection", fail)
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1|ttyS0"):
        virtual_time.run(open_link(address))
