from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from kit import virtual_time
from kit.end_to_end import START_UNIT, counts_of
from numpy.typing import NDArray

from minimateplus.client import MiniMate
from minimateplus.conversions import FULL_SCALE_COUNTS, in_s_per_count
from minimateplus.link.in_process import memory_pair
from minimateplus.model import FIRST_KEY, Event, RecordMode
from minimateplus.simulator import SimulatedUnit, connect_memory, serve_link
from minimateplus.simulator.blast import SOUND_FT_S, Blast, synthesise
from minimateplus.simulator.serve import Pace
from minimateplus.simulator.unit import (
    BATTERY_EMPTY_V,
    BATTERY_FULL_V,
    DEFAULT_SETUP,
    MEMORY_BYTES,
    NEVER_SET_DEVICE_TIME,
    SENSOR_CHECK_S,
)
from minimateplus.wire import commands
from minimateplus.wire.framing import Direction, Frame, FrameReader, encode_request
from minimateplus.wire.protocol_state import ProtocolState


class Hand:
    """A clock that somebody turns by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def a_unit(clock: Hand | None = None, **how: object) -> SimulatedUnit:
    unit = SimulatedUnit(clock=clock or Hand(), now_device_time=START_UNIT)
    for name, value in how.items():
        setattr(unit, name, value)
    return unit


async def answered(unit: SimulatedUnit, *requests: bytes) -> list[bytes]:
    """Return the unit's reply to each of the wire requests of one session."""
    ours, theirs = memory_pair()
    task = asyncio.create_task(serve_link(unit, theirs))
    answers = []
    for request in requests:
        await ours.send(request)
        try:
            async with asyncio.timeout(1):
                answers.append(await ours.receive())
        except TimeoutError:
            answers.append(b"")
    await ours.close()
    await task
    return answers


def ask(unit: SimulatedUnit, *requests: bytes) -> list[bytes]:
    return virtual_time.run(answered(unit, *requests))


def frame_of(answer: bytes) -> Frame:
    (frame,) = FrameReader(Direction.REPLY).feed(answer)
    return frame


def wire(sub: int, length: int = 0, params: bytes = commands.NO_PARAMS) -> bytes:
    return encode_request(sub, length, params)


def image_end(unit: SimulatedUnit, event: Event) -> int:
    """Return the end address that the STRT record in the unit's memory tells."""
    arming = (
        wire(0x0A, 0, commands.key_params(event.key)),
        wire(0x1E, 0, commands.token_params(commands.ARM)),
    )
    head = wire(0x5A, 0x200, commands.address_params(int.from_bytes(event.key, "big")))
    payload = frame_of(ask(unit, *arming, head)[-1]).payload
    assert payload[:8] == bytes.fromhex("00120300") + b"STRT"
    assert payload[14:18] == event.key
    return int.from_bytes(payload[10:14], "big")


def walk(unit: SimulatedUnit) -> list[bytes]:
    """Return all keys of the chain, by hand and over the wire."""
    keys = [frame_of(ask(unit, wire(0x1E, 8))[0]).payload[:4]]
    while keys[-1] != bytes(4):
        visit = wire(0x0A, 0, commands.key_params(keys[-1]))
        keys.append(frame_of(ask(unit, visit, wire(0x1F, 8))[-1]).payload[:4])
    return keys[:-1]


# --- keys and addresses ---------------------------------------------------------------------------


def test_keys_are_addresses_and_the_next_key_lies_46_behind_the_end_of_the_event() -> None:
    unit = a_unit()
    first = unit.record_event(counts=counts_of(600))
    second = unit.record_event(counts=counts_of(50))
    assert first.key == bytes.fromhex("01110000")
    end = image_end(unit, first)
    assert int.from_bytes(second.key, "big") == end + 0x46
    last_boundary = image_end(unit, second).to_bytes(4, "big")
    assert walk(unit) == [first.key, end.to_bytes(4, "big"), second.key, last_boundary]


def test_the_boundary_key_is_the_end_address_and_heads_a_2c_record() -> None:
    unit = a_unit()
    event = unit.record_event(counts=counts_of(600))
    boundary = image_end(unit, event).to_bytes(4, "big")
    probes = [wire(0x0A, 0, commands.key_params(key)) for key in (event.key, boundary, b"zzzz")]
    assert [frame_of(answer).params[3] for answer in ask(unit, *probes)] == [0x46, 0x2C, 0]


def test_the_image_ends_with_its_footer_right_before_the_end_address() -> None:
    unit = a_unit()
    event = unit.record_event(counts=counts_of(20))
    end = image_end(unit, event)
    arming = (
        wire(0x0A, 0, commands.key_params(event.key)),
        wire(0x1E, 0, commands.token_params(commands.ARM)),
    )
    tail = wire(0x5A, 30, commands.address_params(end - 26))
    payload = frame_of(ask(unit, *arming, tail)[-1]).payload
    assert payload[:2] == bytes.fromhex("0e08")
    assert payload[2:10] == bytes.fromhex("01 04 07ea 00 00 1c 0c")
    assert payload[26:] == bytes(4)


def test_an_erase_resets_the_keys_but_not_the_lifetime_counter() -> None:
    unit = a_unit()
    unit.record_event(counts=counts_of(50))
    unit.record_event(counts=counts_of(50))
    unit.erase()
    assert unit.events == []
    assert unit.lifetime_count == 2
    assert unit.record_event(counts=counts_of(50)).key == FIRST_KEY
    assert unit.lifetime_count == 3


def test_an_empty_unit_says_the_null_key_and_twice_the_first_key() -> None:
    unit = a_unit()
    token = commands.token_params(commands.ARM)
    first, stored = ask(unit, wire(0x1E, 8), wire(0x06, 0x24, token))
    assert frame_of(first).payload[:4] == bytes(4)
    assert frame_of(stored).payload[28:] == FIRST_KEY + FIRST_KEY


def test_the_counter_on_the_wire_rises_with_every_event() -> None:
    unit = a_unit()
    counts = []
    for _ in range(3):
        unit.record_event(counts=counts_of(50))
        payload = frame_of(ask(unit, wire(0x08, 0x58))[0]).payload
        counts.append(int.from_bytes(payload[3:7], "big"))
    assert counts == [1, 2, 3]


def test_equal_seeds_make_equal_samples_lengths_and_keys() -> None:
    one, other = a_unit(), a_unit()
    for unit in (one, other):
        for seed in (5, 6):
            unit.record_event(seed=seed)
    assert [e.key for e in one.events] == [e.key for e in other.events]
    assert [e.peaks for e in one.events] == [e.peaks for e in other.events]
    assert np.array_equal(one.counts_of(1), other.counts_of(1))
    assert not np.array_equal(one.counts_of(0), one.counts_of(1)[:, : one.counts_of(0).shape[1]])


def test_an_erase_and_the_same_seeds_give_the_same_keys_with_other_stamps() -> None:
    unit = a_unit()
    before = [unit.record_event(seed=seed) for seed in (1, 2)]
    unit.erase()
    after = [unit.record_event(seed=seed) for seed in (1, 2)]
    assert [e.key for e in before] == [e.key for e in after]
    assert not {e.device_time for e in before} & {e.device_time for e in after}


# --- clock, battery, memory, monitoring -----------------------------------------------------------


def test_successive_recordings_never_share_their_stamp() -> None:
    clock = Hand()
    unit = a_unit(clock)
    unit.record_event(counts=counts_of(50))
    unit.record_event(counts=counts_of(50), at_device_time=unit.now_device_time)
    for _ in range(4):
        unit.record_event(counts=counts_of(50))
        clock.s += 0.4
    stamps = [event.device_time for event in unit.events]
    del stamps[1]  # given from outside
    assert len(set(stamps)) == len(stamps)


def test_a_recording_right_after_one_with_a_given_time_does_not_share_its_stamp() -> None:
    unit = a_unit()
    first = unit.record_event(counts=counts_of(50), at_device_time=unit.now_device_time)
    assert unit.record_event(counts=counts_of(50)).device_time != first.device_time


def test_an_event_of_a_far_time_does_not_move_the_clock() -> None:
    unit = a_unit()
    unit.record_event(counts=counts_of(50), at_device_time=START_UNIT + timedelta(days=9))
    assert unit.record_event(counts=counts_of(50)).device_time == START_UNIT


def test_a_clock_that_was_set_back_makes_earlier_stamps_behind_later_ones() -> None:
    clock = Hand()
    unit = a_unit(clock)
    unit.record_event(counts=counts_of(50))
    unit.set_clock(datetime(2026, 3, 31, 12, 0, 0))
    clock.s += 10
    assert unit.record_event(counts=counts_of(50)).device_time == datetime(2026, 3, 31, 12, 0, 10)


def test_a_clock_that_was_never_set_says_1995() -> None:
    unit = SimulatedUnit(clock=Hand(), now_device_time=NEVER_SET_DEVICE_TIME)
    stamp = unit.record_event(counts=counts_of(50)).device_time
    assert stamp is not None
    assert stamp.year == 1995


def test_the_battery_falls_with_the_hours_faster_while_monitoring_and_not_below_empty() -> None:
    clock = Hand()
    unit = a_unit(clock)
    assert unit.battery_v == BATTERY_FULL_V
    clock.s += 100 * 3600
    idle = unit.battery_v
    unit.start_monitoring()
    clock.s += 100 * 3600
    busy = unit.battery_v
    assert BATTERY_FULL_V > idle > busy
    assert idle - busy > BATTERY_FULL_V - idle
    clock.s += 1e9
    assert unit.battery_v == BATTERY_EMPTY_V


def _status(unit: SimulatedUnit) -> bytes:
    return frame_of(ask(unit, wire(0x1C, 0x2C))[0]).payload


def test_the_status_payload_lies_as_captured() -> None:
    unit = a_unit()
    unit.set_clock(datetime(2026, 4, 8, 1, 59, 45))
    captured = bytes.fromhex(
        "00 00 08 04 07 ea 00 01 3b 2d 00 00 00 00 00 00 01 01 07 cb 00 06 00 00"
        "01 01 07 cb 00 15 00 00 00 00 02 a8"
    )
    assert _status(unit)[:36] == captured


def test_memory_figures_follow_what_is_stored() -> None:
    unit = SimulatedUnit(clock=Hand(), now_device_time=START_UNIT, memory_bytes=MEMORY_BYTES)

    def figures() -> tuple[int, int]:
        payload = _status(unit)
        return int.from_bytes(payload[36:40], "big"), int.from_bytes(payload[40:], "big")

    assert figures() == (983_026, 983_026)
    event = unit.record_event(counts=counts_of(50))
    size = image_end(unit, event) - int.from_bytes(event.key, "big")
    assert figures() == (983_026, 983_026 - size - 0x46)
    unit.erase()
    assert figures() == (983_026, 983_026)


def test_a_full_memory_refuses_the_event_and_keeps_what_it_had() -> None:
    unit = SimulatedUnit(clock=Hand(), now_device_time=START_UNIT, memory_bytes=20_000)
    for _ in range(4):
        unit.record_event(counts=counts_of(700))
    with pytest.raises(MemoryError, match=r"20,000 bytes is full"):
        unit.record_event(counts=counts_of(7000))
    assert len(unit.events) == unit.lifetime_count == 4
    assert len(walk(unit)) == 2 * len(unit.events)


def test_monitoring_shows_after_the_sensor_check_of_40_s_and_stops_at_once() -> None:
    clock = Hand()
    unit = a_unit(clock)
    assert SENSOR_CHECK_S == 40
    ask(unit, wire(0x96))
    clock.s += 39.9
    assert _status(unit)[1] == 0
    ask(unit, wire(0x96))  # does not begin the check anew
    clock.s += 0.1
    assert _status(unit)[1] == 0x10
    ask(unit, wire(0x97))
    assert _status(unit)[1] == 0


def test_the_acks_of_start_and_stop_are_those_of_the_vectors() -> None:
    start = bytes.fromhex("41 02 10 10 00 96 00 00 00 00 00 00 00 00 00 00 00 00 00 a6 03")
    stop = bytes.fromhex("41 02 10 10 00 97 00 00 00 00 00 00 00 00 00 00 00 00 00 a7 03")
    assert ask(a_unit(), start, stop) == [
        bytes.fromhex("10 02 00 10 10 69 00 00 00 00 00 00 00 00 00 00 00 00 00 79 03"),
        bytes.fromhex("10 02 00 10 10 68 00 00 00 00 00 00 00 00 00 00 00 00 00 78 03"),
    ]


# --- manners --------------------------------------------------------------------------------------


def test_answers_are_those_of_the_vectors() -> None:
    unit = a_unit()
    unit.record_event(counts=counts_of(50))
    empty = a_unit()
    token = commands.token_params(commands.ARM)
    first_key = commands.key_params(FIRST_KEY)
    answers = ask(unit, wire(0x1C), wire(0x5B), wire(0x1E, 8), wire(0x0A, 0, first_key))
    assert [answer.hex(" ") for answer in answers] == [
        "10 02 00 10 10 e3 00 00 00 00 00 00 00 00 00 00 00 00 00 f3 03",
        "10 02 00 10 10 a4 00 00 00 00 00 00 00 00 00 00 00 00 00 b4 03",
        "10 02 00 10 10 e1 00 00 08" + " 00" * 10 + " 01 11 00 00 00 00 00 00 0b 03",
        "10 02 00 10 10 f5 00 00 00 00 00 00 46 01 11 00 00 00 00 5d 03",
    ]
    assert ask(empty, wire(0x06, 0x24, token))[0].hex(" ") == (
        "10 02 00 10 10 f9 00 00 24 00 00 00 00 00 00 00 fe 00 00"
        + " 00" * 28
        + " 01 11 00 00 01 11 00 00 4f 03"
    )


def test_a_bulk_read_that_was_not_armed_gets_no_answer() -> None:
    unit = a_unit()
    unit.record_event(counts=counts_of(50))
    visit = wire(0x0A, 0, commands.key_params(FIRST_KEY))
    read = wire(0x5A, 0x10, commands.address_params(0x01110000))
    arm = wire(0x1E, 8, commands.token_params(commands.ARM))
    assert ask(unit, read) == [b""]
    assert ask(unit, visit, read)[1] == b""
    assert ask(unit, visit, wire(0x1E, 8), read)[2] == b""
    assert ask(unit, visit, arm, visit, read)[3] == b""
    assert ask(unit, visit, arm, read)[2] != b""


def test_1f_without_a_visited_record_gives_the_null_key() -> None:
    unit = a_unit()
    unit.record_event(counts=counts_of(50))
    assert frame_of(ask(unit, wire(0x1F, 8))[0]).payload == bytes(8)


def test_two_sessions_do_not_share_their_cursor() -> None:
    unit = a_unit()
    for _ in range(2):
        unit.record_event(counts=counts_of(50))
    keys = walk(unit)
    one, other = ProtocolState(), ProtocolState()

    def exchange(protocol: ProtocolState, request: bytes) -> Frame:
        (frame,) = FrameReader(Direction.REQUEST).feed(request)
        answer = unit.answer(protocol, frame)
        assert answer is not None
        return frame_of(answer)

    for protocol in (one, other):
        exchange(protocol, wire(0x5B))
    exchange(one, wire(0x0A, 0, commands.key_params(keys[0])))
    exchange(other, wire(0x0A, 0, commands.key_params(keys[2])))
    assert exchange(one, wire(0x1F, 8)).payload[:4] == keys[1]
    assert exchange(other, wire(0x1F, 8)).payload[:4] == keys[3]


@pytest.mark.parametrize("sub", [0x00, 0x02, 0x2E, 0x11, 0xA0, 0xFF])
def test_an_unknown_command_gets_no_answer(sub: int) -> None:
    assert ask(a_unit(), wire(sub)) == [b""]


def test_a_frame_with_a_wrong_sum_gets_no_answer_and_the_next_one_does() -> None:
    poll = wire(0x5B)
    broken = poll[:-2] + b"\x6c\x03"
    silent, heard = ask(a_unit(), broken, poll)
    assert silent == b""
    assert frame_of(heard).sub == 0xA4


def test_a_command_it_does_not_know_is_left_unanswered() -> None:
    unit = a_unit()
    unit.ignores.add(0x1C)
    assert ask(unit, wire(0x1C)) == [b""]


def test_memory_that_holds_nothing_reads_as_zeros() -> None:
    unit = a_unit()
    unit.record_event(counts=counts_of(50))
    visit = wire(0x0A, 0, commands.key_params(FIRST_KEY))
    arm = wire(0x1E, 8, commands.token_params(commands.ARM))
    far = wire(0x5A, 0x400, commands.address_params(0x02000000))
    assert frame_of(ask(unit, visit, arm, far)[2]).payload == bytes(0x400)


def test_it_says_that_it_is_simulated() -> None:
    assert b"SIMULATED" in frame_of(ask(a_unit(), wire(0x01, 0x98))[0]).payload
    assert frame_of(ask(a_unit(), wire(0x15, 0x0A))[0]).payload.startswith(b"SIM0001\0")


@pytest.mark.parametrize("serial", ["", "SIM00001"])
def test_a_serial_number_has_one_to_seven_characters(serial: str) -> None:
    with pytest.raises(ValueError, match="1 to 7"):
        SimulatedUnit(serial)


@virtual_time.in_virtual_time
async def test_a_unit_pauses_for_the_speed_of_its_line() -> None:
    unit = SimulatedUnit(clock=virtual_time.now_s, now_device_time=START_UNIT)
    started_s = virtual_time.now_s()
    async with connect_memory(unit, pace=Pace(38400)) as link, MiniMate.connect(link):
        # Two requests of 21 bytes and two replies of 21 and 69, ten bits each.
        assert virtual_time.now_s() - started_s == pytest.approx((21 + 21 + 21 + 69) * 10 / 38400)


# --- the blast ------------------------------------------------------------------------------------

BLAST = Blast(peak_in_s=1.5, air_psi=0.01, distance_ft=600.0, record_time_s=2.0)


def _counts(seed: int, blast: Blast = BLAST) -> NDArray[np.int64]:
    return synthesise(blast, np.random.default_rng(seed)).astype(np.int64)


def _largest(counts: NDArray[np.int64], from_s: float, to_s: float) -> int:
    first, last = (round((s + 0.25) * BLAST.sample_rate_hz) for s in (from_s, to_s))
    return int(np.abs(counts[:3, first:last]).max())


@pytest.mark.parametrize("seed", range(10))
def test_the_ground_is_quiet_before_the_trigger_and_builds_up_to_the_surface_wave(
    seed: int,
) -> None:
    counts = _counts(seed)
    assert counts.shape == (4, 2304)
    peak = np.abs(counts[:3]).max()
    s_delay_s = BLAST.distance_ft / 15_000 * 0.7 + 0.03
    quiet = _largest(counts, -0.25, -0.005)
    primary = _largest(counts, 0.0, s_delay_s)
    secondary = _largest(counts, s_delay_s, 2 * s_delay_s)
    surface = _largest(counts, 2 * s_delay_s, 2.0)
    assert quiet <= 4
    assert quiet < primary < secondary < surface == peak
    assert peak * in_s_per_count(10.0) == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("seed", range(10))
def test_the_airblast_comes_later_than_the_ground_motion_by_the_speed_of_sound(seed: int) -> None:
    counts = np.abs(_counts(seed))
    ground = int(np.argmax(counts[:3].max(axis=0) > 8))
    air = int(np.argmax(counts[3] > 8))
    arrival_s = air / BLAST.sample_rate_hz - 0.25
    assert ground < air
    assert arrival_s == pytest.approx(BLAST.distance_ft / SOUND_FT_S, abs=0.02)


def test_a_blast_beyond_full_scale_clips() -> None:
    counts = _counts(0, replace(BLAST, peak_in_s=30.0))
    assert counts.max() == FULL_SCALE_COUNTS or counts.min() == -FULL_SCALE_COUNTS


@pytest.mark.parametrize("range_in_s", [10.0, 1.25])
def test_the_peaks_of_an_event_are_those_of_its_samples(range_in_s: float) -> None:
    unit = a_unit(setup=replace(DEFAULT_SETUP, geo_range_in_s=range_in_s))
    event = unit.record_event(seed=3)
    counts = unit.counts_of(0).astype(int)
    scale = 0.005 * range_in_s / 10
    tran, vert, long = np.abs(counts[:3]).max(axis=1) * scale
    peaks = event.peaks
    assert (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s) == pytest.approx((tran, vert, long))
    squares = ((counts[:3] * scale) ** 2).sum(axis=0)
    assert peaks.vector_sum_in_s == pytest.approx(float(np.sqrt(squares.max())))
    assert peaks.mic_psi == pytest.approx(float(np.abs(counts[3]).max()) * 3.627e-5, rel=1e-3)


@virtual_time.in_virtual_time
async def test_a_single_shot_says_so_in_its_memory() -> None:
    unit = a_unit(setup=replace(DEFAULT_SETUP, mode=RecordMode.SINGLE_SHOT))
    unit.record_event(counts=counts_of(50))
    async with connect_memory(unit) as link, MiniMate.connect(link) as host:
        assert (await host.read_waveform(0)).mode == RecordMode.SINGLE_SHOT


def test_alarms_are_above_triggers_and_levels_are_those_of_a_blast() -> None:
    setup = DEFAULT_SETUP
    trigger, alarm = setup.mic_trigger_psi, setup.mic_alarm_psi
    assert trigger is not None
    assert alarm is not None
    levels_db = [20 * math.log10(psi * 6894.757 / 20e-6) for psi in (trigger, alarm)]
    assert levels_db == pytest.approx([120.0, 133.0], abs=0.1)
    assert (setup.trigger_level_in_s or 0.0) < (setup.alarm_level_in_s or 0.0)
