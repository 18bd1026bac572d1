from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import pytest
from kit.virtual_time import in_virtual_time, run

from minimateplus.client import MiniMate
from minimateplus.errors import (
    LinkClosedError,
    LocalProtocolError,
    MemoryChangedError,
    MiniMateError,
    NotWritableError,
    OutcomeUnknownError,
    ReadBackError,
    ReplyTimeoutError,
    SettingError,
)
from minimateplus.link import Deadlines
from minimateplus.model import FIRST_KEY, CallHomeChange, RecordMode, SetupChange
from minimateplus.simulator import SimulatedUnit, connect_memory
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.simulator.unit import DEFAULT_SETUP
from minimateplus.wire import commands, layouts, setup_changes
from minimateplus.wire.framing import Frame, encode_reply
from minimateplus.wire.protocol_state import ProtocolState

T0 = datetime(2026, 4, 1, 0, 28, 12)
DEADLINES = Deadlines(connect_s=1.0, reply_s=1.0, operation_s=60.0)
WRITES = [0x68, 0x73, 0x71, 0x71, 0x71, 0x72, 0x82, 0x83, 0x69, 0x74, 0x72]
ERASE = [0xA3, 0x1C, 0x1C, 0x06, 0x06, 0xA2]

Verb = Callable[[MiniMate], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "start": lambda host: host.start_monitoring(),
    "stop": lambda host: host.stop_monitoring(),
    "erase": lambda host: host.erase_all(serial="SIM0001", count=2),
    "setup": lambda host: host.write_setup(SetupChange(record_time_s=3.0, project="New")),
    "call home": lambda host: host.write_call_home(CallHomeChange(enabled=True)),
}


class CutUnit(SimulatedUnit):
    """Hangs up, or falls silent, at the n-th request: before it is heard, or after it was done."""

    def __init__(self, *, at: int = -1, after: bool = False, silent: bool = False) -> None:
        super().__init__(clock=lambda: 0.0, now_device_time=T0)
        self.asked: list[int] = []
        self.at, self.after, self.silent = at, after, silent
        self.gone = False
        self.link: FaultyLink | None = None
        self.step_in: Callable[[Frame], bytes | None] | None = None

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        number = len(self.asked)
        self.asked.append(request.sub)
        if self.step_in is not None and (instead := self.step_in(request)) is not None:
            return instead
        if self.gone or (number == self.at and not self.after):
            self.gone = True
            self._fall_out()
            return None
        reply = super().answer(protocol, request)
        if number == self.at:
            self.gone = True
            self._fall_out()
            return None
        return reply

    def _fall_out(self) -> None:
        if not self.silent:
            raise LinkClosedError("the far end hung up")


async def outcome_of(unit: CutUnit, verb: Verb, wrap_link: LinkFactory = FaultyLink) -> Any:
    """Return what ``verb`` brings; the start-up is not counted among what the unit was asked."""
    async with connect_memory(unit, wrap_link=wrap_link) as link:
        at, unit.at = unit.at, -1
        host = await MiniMate.open(link, deadlines=DEADLINES)
        unit.asked.clear()
        unit.at = at
        try:
            return await verb(host)
        finally:
            await host.close()


def fresh(**more: Any) -> CutUnit:
    unit = CutUnit()
    unit.record_event()
    unit.record_event()
    for name, value in more.items():
        setattr(unit, name, value)
    return unit


# --- what goes over the wire ----------------------------------------------------------------------


@in_virtual_time
async def test_an_erase_walks_the_memory_and_then_is_the_six_captured_exchanges() -> None:
    unit = fresh()
    await outcome_of(unit, VERBS["erase"])
    read = unit.asked[: -len(ERASE)]
    assert unit.asked[-len(ERASE) :] == ERASE
    assert not any(commands.COMMANDS[sub].changes for sub in read)
    # Two records and their log entries, visited by their keys; no samples.
    assert read.count(0x1F) == 8
    assert 0x5A not in read
    assert unit.events == []
    assert unit.lifetime_count == 2


@pytest.mark.parametrize(
    ("asked_for", "why"),
    [
        ({"serial": "SIM0001", "count": 1}, "holds 2 events, not 1"),
        ({"serial": "SIM0002", "count": 2}, "for unit SIM0002, and SIM0001 answers"),
    ],
)
@in_virtual_time
async def test_an_erase_of_another_unit_or_another_number_of_events_sends_nothing(
    asked_for: dict[str, Any], why: str
) -> None:
    unit = fresh()
    with pytest.raises(MemoryChangedError, match=why):
        await outcome_of(unit, lambda host: host.erase_all(**asked_for))
    assert 0xA3 not in unit.asked
    assert len(unit.events) == 2


@in_virtual_time
async def test_an_erase_is_not_begun_when_an_event_came_while_they_were_counted() -> None:
    unit = fresh()

    def record(request: Frame) -> bytes | None:
        if request.sub == 0x1F and len(unit.events) == 2:
            unit.record_event()
        return None

    unit.step_in = record
    with pytest.raises(MemoryChangedError, match="stop monitoring"):
        await outcome_of(unit, lambda host: host.erase_all(serial="SIM0001", count=3))
    assert 0xA3 not in unit.asked
    assert len(unit.events) == 3


@in_virtual_time
async def test_an_erase_reads_the_record_of_each_event_and_then_begins() -> None:
    unit = fresh()
    await outcome_of(unit, lambda host: host.erase_all(serial="SIM0001", count=2))
    # Two of the last event for the probes, and one of each event; each is a probe and a fetch.
    assert unit.asked.count(0x0C) == 2 * (2 + 2)
    assert unit.asked[-len(ERASE) :] == ERASE
    assert unit.events == []


@in_virtual_time
async def test_an_erase_without_a_walk_is_guarded_by_the_serial_number() -> None:
    unit = fresh()
    with pytest.raises(MemoryChangedError, match="SIM0001 answers there"):
        await outcome_of(unit, lambda host: host.erase_without_walk(serial="SIM0002"))
    assert 0xA3 not in unit.asked
    unit.asked.clear()
    await outcome_of(unit, lambda host: host.erase_without_walk(serial="SIM0001"))
    assert unit.asked == [0x15, 0x15, *ERASE]
    assert unit.events == []
    assert unit.events == []
    assert unit.lifetime_count == 2


@in_virtual_time
async def test_an_erase_is_not_confirmed_when_an_event_came_in_between() -> None:
    unit = fresh()
    proven = await outcome_of(unit, lambda host: host.read_probe())

    def record(request: Frame) -> bytes | None:
        if request.sub == 0xA3:
            unit.record_event()
        return None

    unit.step_in = record
    with pytest.raises(MemoryChangedError, match="not confirmed"):
        await outcome_of(unit, lambda host: host.erase_proven(serial="SIM0001", proven=proven))
    assert 0xA2 not in unit.asked
    assert len(unit.events) == 3


@in_virtual_time
async def test_an_erase_is_not_begun_when_the_memory_is_another_that_ends_at_the_same_key() -> None:
    unit = fresh()
    unit.erase()
    unit.record_event()
    proven = await outcome_of(unit, lambda host: host.read_probe())
    unit.erase()
    unit.record_event()
    assert unit.events[-1].key == proven.last_key
    unit.asked.clear()
    with pytest.raises(MemoryChangedError, match="lifetime counter is 4 now, was 3"):
        await outcome_of(unit, lambda host: host.erase_proven(serial="SIM0001", proven=proven))
    assert 0xA3 not in unit.asked
    assert len(unit.events) == 1


@in_virtual_time
async def test_a_setup_is_written_in_the_captured_order() -> None:
    unit = fresh()
    await outcome_of(unit, VERBS["setup"])
    assert [sub for sub in unit.asked if commands.COMMANDS[sub].changes] == WRITES
    # Its counter is read last before the first byte of the write, to be as young as it can be.
    first = unit.asked.index(0x68)
    assert unit.asked[first - 2 : first] == [0x08, 0x08]


@in_virtual_time
async def test_new_settings_are_those_that_the_unit_then_says() -> None:
    unit = fresh()
    wanted = SetupChange(
        mode=RecordMode.SINGLE_SHOT,
        sample_rate_hz=4096,
        histogram_interval_s=60,
        record_time_s=13.0,
        geo_range_in_s=1.25,
        trigger_level_in_s=0.2,
        alarm_level_in_s=0.75,
        mic_trigger_psi=0.03,
        mic_alarm_psi=0.01,
        project="Tunnel, west portal",
        client="",
        operator="N. N.",
        location="House 4",
        notes="Simulated",
    )
    written = await outcome_of(unit, lambda host: host.write_setup(wanted))
    assert {c.field: c.after for c in written.changes} == asdict(wanted)
    assert (written.is_written, written.elsewhere_bytes) == (True, 0)
    info = await outcome_of(unit, lambda host: host.read_info())
    assert asdict(info.setup) == pytest.approx(
        asdict(DEFAULT_SETUP) | asdict(wanted) | {"client": None}
    )


@in_virtual_time
async def test_only_the_given_fields_and_no_constant_change() -> None:
    unit = fresh()
    before = bytes(unit._setup_block)
    written = await outcome_of(
        unit, lambda host: host.write_setup(SetupChange(trigger_level_in_s=0.25))
    )
    (change,) = written.changes
    places = {at + i for at, old, _ in change.spans for i in range(len(old) // 2)}
    after = unit._setup_block
    assert {at for at in range(len(before)) if before[at] != after[at]} <= places
    assert len(change.spans) == 3
    assert after.count(layouts.SENSITIVITY) == before.count(layouts.SENSITIVITY) == 3


@in_virtual_time
async def test_a_dry_run_reports_what_would_change_and_sends_nothing_that_changes() -> None:
    unit = fresh()
    change = SetupChange(record_time_s=5.0)
    written = await outcome_of(unit, lambda host: host.write_setup(change, dry_run=True))
    assert [(c.field, c.before, c.after) for c in written.changes] == [("record_time_s", 1.0, 5.0)]
    assert not written.is_written
    assert unit.changes_taken == []


@in_virtual_time
async def test_settings_that_are_there_already_are_not_written_again() -> None:
    unit = fresh()
    change = SetupChange(record_time_s=1.0, project=DEFAULT_SETUP.project)
    written = await outcome_of(unit, lambda host: host.write_setup(change))
    assert (written.changes, written.is_written, unit.changes_taken) == ((), False, [])


@in_virtual_time
async def test_call_home_settings_are_written_and_read_back() -> None:
    unit = fresh()
    wanted = CallHomeChange(
        enabled=True, dial="ATDT10.0.0.9/12345", first_enabled=True, first_time="06:30", retries=16
    )
    written = await outcome_of(unit, lambda host: host.write_call_home(wanted))
    assert written.is_written
    assert unit.changes_taken == [0x7E, 0x7F]
    now = await outcome_of(unit, lambda host: host.read_call_home())
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    assert {name: getattr(now, name) for name in given} == given
    assert now.warm_up_s == 60


@in_virtual_time
async def test_start_and_stop_are_one_frame_each() -> None:
    unit = fresh()
    await outcome_of(unit, VERBS["start"])
    assert (unit.asked, unit._monitor_since is not None) == ([0x96], True)
    await outcome_of(unit, VERBS["stop"])
    assert (unit.asked, unit._monitor_since is not None) == ([0x97], False)


@in_virtual_time
async def test_a_stop_without_waiting_is_sent_to_a_unit_that_never_answers() -> None:
    unit = fresh(silent=True)
    async with connect_memory(unit) as link:
        host = await MiniMate.open(link, deadlines=DEADLINES, wake=False)
        unit.start_monitoring()
        await host.stop_monitoring_without_reply()
        assert not host.is_usable
        with pytest.raises(LocalProtocolError, match="over"):
            await host.read_serial()
        await asyncio.sleep(1)  # of virtual time, for the far end to hear it
        await host.close()
        assert unit.changes_taken == [0x97]


# --- what may not be written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (SetupChange(sample_rate_hz=1000), "sample_rate_hz"),
        (SetupChange(histogram_interval_s=3), "histogram_interval_s"),
        (SetupChange(record_time_s=0.5), "record_time_s"),
        (SetupChange(record_time_s=float("nan")), "record_time_s"),
        (SetupChange(geo_range_in_s=5.0), "geo_range_in_s"),
        (SetupChange(trigger_level_in_s=0.019), "trigger_level_in_s"),
        (SetupChange(alarm_level_in_s=10.1), "alarm_level_in_s"),
        (SetupChange(alarm_level_in_s=0.4), "alarm_level_in_s"),
        (SetupChange(trigger_level_in_s=1.1), "trigger_level_in_s"),
        (SetupChange(geo_range_in_s=1.25, alarm_level_in_s=1.3), "alarm_level_in_s"),
        (SetupChange(mic_trigger_psi=0.0), "mic_trigger_psi"),
        (SetupChange(mic_alarm_psi=1.0), "mic_alarm_psi"),
        (SetupChange(project="x" * 42), "project"),
        (SetupChange(notes="\u5317\u4fa7 5m"), "notes"),
        (SetupChange(client="two\nlines"), "client"),
    ],
)
@in_virtual_time
async def test_a_setting_that_a_unit_cannot_take_is_refused_by_its_name(
    change: SetupChange, field: str
) -> None:
    unit = fresh()
    with pytest.raises(SettingError) as caught:
        await outcome_of(unit, lambda host: host.write_setup(change))
    assert caught.value.field == field
    assert unit.changes_taken == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (CallHomeChange(first_time="24:00"), "first_time"),
        (CallHomeChange(second_time="7:00"), "second_time"),
        (CallHomeChange(retries=256), "retries"),
        (CallHomeChange(dial="9" * 40), "dial"),
        (CallHomeChange(dial="\x1b"), "dial"),
    ],
)
@in_virtual_time
async def test_a_call_home_setting_that_a_unit_cannot_take_is_refused(
    change: CallHomeChange, field: str
) -> None:
    with pytest.raises(SettingError) as caught:
        await outcome_of(fresh(), lambda host: host.write_call_home(change))
    assert caught.value.field == field


@pytest.mark.parametrize("sub", [0x22, 0x09, 0x08])
@in_virtual_time
async def test_a_unit_that_does_not_say_all_blocks_gets_no_new_settings(sub: int) -> None:
    unit = fresh()
    unit.ignores.add(sub)
    with pytest.raises(NotWritableError, match="nothing was written"):
        await outcome_of(unit, VERBS["setup"])
    assert unit.changes_taken == []


def test_what_the_block_does_not_show_is_not_written() -> None:
    block = bytes(fresh()._setup_block)
    hidden = {
        "trigger_level_in_s": block.replace(b"Long", b"Lang"),
        "geo_range_in_s": block.replace(layouts.SENSITIVITY, bytes(4), 1),
        "mic_alarm_psi": block.replace(layouts.MIC_UNIT_TEXT, b"Pa\0\0"),
        "notes": block.replace(b"Extended Notes", bytes(14)),
        "record_time_s": block.replace(layouts.SETUP_ANCHOR, bytes(6)).replace(
            b"\x04\x00\x01\x2c", b"\x03\x00\x01\x2c"
        ),
    }
    values = {"trigger_level_in_s": 0.3, "geo_range_in_s": 1.25, "mic_alarm_psi": 0.02}
    for field, changed in hidden.items():
        assert changed != block, field
        value: Any = values.get(field, "new" if field == "notes" else 3.0)
        with pytest.raises(NotWritableError, match=field):
            setup_changes.change_setup(changed, replace(SetupChange(), **{field: value}))


@in_virtual_time
async def test_an_empty_text_is_written_where_the_other_texts_show_its_place() -> None:
    unit = fresh()
    unit.setup = replace(unit.setup, client=None, notes=None)
    await outcome_of(
        unit, lambda host: host.write_setup(SetupChange(client="Quarry Ltd", notes="n"))
    )
    assert (unit.setup.client, unit.setup.notes) == ("Quarry Ltd", "n")
    assert unit.setup.operator == DEFAULT_SETUP.operator


@in_virtual_time
async def test_where_no_text_shows_its_place_none_is_written() -> None:
    unit = fresh()
    empty = dict.fromkeys(("project", "client", "operator", "location", "notes"))
    unit.setup = replace(unit.setup, **empty)
    with pytest.raises(NotWritableError, match="project"):
        await outcome_of(unit, lambda host: host.write_setup(SetupChange(project="x")))


# --- when it goes wrong ---------------------------------------------------------------------------


async def _length(name: str) -> int:
    unit = fresh()
    await outcome_of(unit, VERBS[name])
    return len(unit.asked)


CUTS = [(name, at) for name in VERBS for at in range(run(_length(name)))]


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("name", "at"), CUTS)
@in_virtual_time
async def test_a_fault_between_any_two_exchanges_is_unknown_once_a_command_is_out(
    name: str, at: int, after: bool, silent: bool
) -> None:
    """The command is sent once, whatever happens; before it, the error is the plain one."""
    whole = fresh()
    await outcome_of(whole, VERBS[name])
    first = next(i for i, sub in enumerate(whole.asked) if commands.COMMANDS[sub].changes)
    unit = fresh(after=after, silent=silent)
    unit.at = at
    with pytest.raises(MiniMateError) as caught:
        await outcome_of(unit, VERBS[name])
    # Silent to a block that some units may not know: then nothing is written, and it says so.
    assert isinstance(caught.value, OutcomeUnknownError) is (at >= first), (name, at)
    if at >= first:
        assert isinstance(caught.value.__cause__, LinkClosedError | ReplyTimeoutError)
    sent = [sub for sub in unit.asked if commands.COMMANDS[sub].changes]
    assert sent == [sub for sub in whole.asked if commands.COMMANDS[sub].changes][: len(sent)]
    if name == "erase":
        done = at == len(whole.asked) - 1 and after
        assert len(unit.events) == (0 if done else 2)
    if name == "setup":
        last = max(i for i, sub in enumerate(whole.asked) if sub == 0x72)
        taken = at > last or (at == last and after)
        assert unit.setup.record_time_s == (3.0 if taken else 1.0)


@in_virtual_time
async def test_a_unit_that_acknowledges_and_keeps_its_settings_is_found_out() -> None:
    unit = fresh()
    unit._take_settings = lambda write: None  # type: ignore[method-assign]
    with pytest.raises(ReadBackError, match="record_time_s"):
        await outcome_of(unit, lambda host: host.write_setup(SetupChange(record_time_s=3.0)))


@in_virtual_time
async def test_bytes_that_came_back_otherwise_elsewhere_are_counted() -> None:
    unit = fresh()
    plain = unit._take_settings

    def meddle(write: Any) -> None:
        plain(write)
        block = bytearray(unit._setup_block)
        block[-1] ^= 0xFF
        unit._setup_block = bytes(block)

    unit._take_settings = meddle  # type: ignore[method-assign]
    written = await outcome_of(unit, lambda host: host.write_setup(SetupChange(record_time_s=3.0)))
    assert written.elsewhere_bytes == 1


@pytest.mark.parametrize("name", VERBS)
@in_virtual_time
async def test_an_acknowledgement_with_data_is_no_acknowledgement(name: str) -> None:
    unit = fresh()

    def chatter(request: Frame) -> bytes | None:
        if commands.COMMANDS[request.sub].changes:
            return encode_reply(0xFF - request.sub, 4, request.params, b"what")
        return None

    unit.step_in = chatter
    with pytest.raises(OutcomeUnknownError):
        await outcome_of(unit, VERBS[name])


# --- the simulated unit is strict -----------------------------------------------------------------


def followed(unit: SimulatedUnit, *frames: Frame) -> list[bool]:
    protocol = ProtocolState()
    protocol.accept(Frame(0x5B, 0, bytes(10), b""))
    return [unit.answer(protocol, frame) is not None for frame in frames]


def frame(sub: int, params: bytes = bytes(10), data: bytes = b"", length: int = 0) -> Frame:
    return Frame(sub, length or len(data), params, data)


TOKEN = commands.token_params(commands.ARM)


def test_an_erase_is_confirmed_only_after_its_beginning_and_both_polls() -> None:
    a3, a2 = frame(0xA3, TOKEN), frame(0xA2, TOKEN)
    status, stored = frame(0x1C, length=0x2C), frame(0x06, TOKEN, length=0x24)
    for words in ([a2], [a3, a2], [a3, status, a2], [a3, stored, a2], [status, stored, a2]):
        unit = fresh()
        assert followed(unit, *words)[-1] is False
        assert len(unit.events) == 2
    unit = fresh()
    assert all(followed(unit, a3, status, stored, a2))
    assert unit.events == []
    assert followed(unit, a3, status, stored, frame(0xA2))[-1] is False


def test_settings_out_of_order_or_of_another_length_are_not_taken() -> None:
    unit = fresh()
    block = bytes(unit._setup_block)
    pages = [
        frame(0x71, commands.page_params(at), block[at : at + size])
        for size, at in commands.SETUP_PAGES
    ]
    head = [frame(0x68, data=bytes(88)), frame(0x73)]
    assert followed(unit, *head, *pages, frame(0x72)) == [True] * 6
    assert followed(unit, *head, pages[1])[-1] is False
    assert followed(unit, pages[0]) == [False]
    assert followed(unit, frame(0x68, data=bytes(87))) == [False]
    assert followed(unit, frame(0x7F)) == [False]


@in_virtual_time
async def test_a_simulated_unit_keeps_its_first_key_after_an_erase_over_the_wire() -> None:
    unit = fresh()
    await outcome_of(unit, lambda host: host.erase_all(serial="SIM0001", count=len(unit.events)))
    assert unit.record_event().key == FIRST_KEY


@in_virtual_time
async def test_a_text_that_would_read_as_a_label_is_not_written() -> None:
    unit = fresh()
    with pytest.raises(NotWritableError, match="would read"):
        await outcome_of(unit, lambda host: host.write_setup(SetupChange(project="Client: nobody")))
    assert unit.changes_taken == []
