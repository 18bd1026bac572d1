"""
The raw unit against frames that were captured or follow from captured ones, and the product's
client against the raw unit: neither shares a line of code with the other.
"""

from __future__ import annotations

import ast
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from kit import raw_unit
from kit.raw_unit import (
    NEVER_SET,
    REPLY_START,
    RawServer,
    RawTerminal,
    RawUnit,
    Scanner,
    encode_samples,
    motion,
    reply,
    request,
)

from minimateplus.client import MiniMate
from minimateplus.link import Deadlines
from minimateplus.wire.samples import decode_body

PATIENT = Deadlines(connect_s=30, reply_s=30, operation_s=120)
FE = bytes.fromhex("00 00 00 00 00 00 00 fe 00 00")


def at_key(key: str) -> bytes:
    return bytes(4) + bytes.fromhex(key) + bytes(2)


def at_address(address: str) -> bytes:
    return bytes.fromhex(address) + bytes(6)


def test_it_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(raw_unit.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert imported <= sys.stdlib_module_names, imported - sys.stdlib_module_names


# Requests as the wire notebook's vectors have them (captured or pinned by captured checksums).
REQUESTS = {
    "41 02 10 10 00 5b 00 00 30 00 00 00 00 00 00 00 00 00 00 9b 03": request(0x5B, 0x30),
    "41 02 10 10 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 11 03": request(0x01),
    "41 02 10 10 00 06 00 00 24 00 00 00 00 00 00 00 fe 00 00 38 03": request(0x06, 0x24, FE),
    "41 02 10 10 00 0a 00 00 2c 00 00 00 00 01 11 21 f2 00 00 6b 03": request(
        0x0A, 0x2C, at_key("011121f2")
    ),
    "41 02 10 10 00 0c 00 00 d2 00 00 00 00 01 11 00 00 00 00 00 03": request(
        0x0C, 0xD2, at_key("01110000")
    ),
    "41 02 10 10 00 5a 00 10 02 00 01 11 10 10 00 00 00 00 00 00 00 8e 03": request(
        0x5A, 0x200, at_address("01111000")
    ),
    "41 02 10 10 00 5a 00 10 04 00 01 11 24 5a 00 00 00 00 00 00 fe 03": request(
        0x5A, 0x400, at_address("0111245a")
    ),
    "41 02 10 10 00 a2 00 00 00 00 00 00 00 00 00 00 fe 00 00 b0 03": request(0xA2, 0, FE),
}


@pytest.mark.parametrize("wire", REQUESTS)
def test_a_request_is_the_vectors_bytes(wire: str) -> None:
    assert REQUESTS[wire].hex(" ") == wire


# What a unit with one event, or just erased, answers, by the same vectors.
ANSWERS = {
    "any 1C probe": (
        request(0x1C),
        "10 02 00 10 10 e3 00 00 00 00 00 00 00 00 00 00 00 00 00 f3 03",
    ),
    "POLL probe": (request(0x5B), "10 02 00 10 10 a4 00 00 00 00 00 00 00 00 00 00 00 00 00 b4 03"),
    "1E, first key": (
        request(0x1E, 8),
        "10 02 00 10 10 e1 00 00 08 00 00 00 00 00 00 00 00 00 00 01 11 00 00 00 00 00 00 0b 03",
    ),
    "1F, no more": (
        request(0x1F, 8),
        "10 02 00 10 10 e0 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 f8 03",
    ),
    "0A probe, an event": (
        request(0x0A, 0, at_key("01110000")),
        "10 02 00 10 10 f5 00 00 00 00 00 00 46 01 11 00 00 00 00 5d 03",
    ),
    "06, first and last key alike": (
        request(0x06, 0x24, FE),
        "10 02 00 10 10 f9 00 00 24 00 00 00 00 00 00 00 fe 00 00 "
        + "00 " * 28
        + "01 11 00 00 01 11 00 00 4f 03",
    ),
    "A3 acknowledged": (
        request(0xA3, 0, FE),
        "10 02 00 10 10 5c 00 00 00 00 00 00 00 00 00 00 fe 00 00 6a 03",
    ),
    "96 acknowledged": (
        request(0x96),
        "10 02 00 10 10 69 00 00 00 00 00 00 00 00 00 00 00 00 00 79 03",
    ),
    "97 acknowledged": (
        request(0x97),
        "10 02 00 10 10 68 00 00 00 00 00 00 00 00 00 00 00 00 00 78 03",
    ),
}


@pytest.mark.parametrize("which", ANSWERS)
def test_it_answers_the_vectors_bytes(which: str) -> None:
    asked, wire = ANSWERS[which]
    assert [answer.hex(" ") for answer in RawUnit().record().feed(asked)] == [wire]


def test_the_captured_status_of_be11529_passes_its_scanner() -> None:
    captured = (
        "10 02 00 10 10 e3 00 00 2c 00 00 00 00 00 00 00 00 00 00 00 00 08 10 04 07 ea 00 01 3b 2d "
        "00 00 00 00 00 00 01 01 07 cb 00 06 00 00 01 01 07 cb 00 15 00 00 00 00 10 02 a8 00 0e ff "
        "f2 00 0e 9e 52 ef 03"
    )
    unit = RawUnit(now=datetime(2026, 4, 8, 1, 59, 45))
    (ours,) = Scanner(REPLY_START).feed(unit.feed(request(0x1C, 0x2C))[0])
    (theirs,) = Scanner(REPLY_START).feed(bytes.fromhex(captured))
    # All but the free memory, which is the captured unit's own.
    assert ours.data[:40] == theirs.data[:40]
    assert (ours.sub, ours.length, ours.params) == (theirs.sub, theirs.length, theirs.params)
    assert reply(0x1C, 0x2C, theirs.params, theirs.data).hex(" ") == captured


@pytest.mark.parametrize("cut", range(1, 42))
def test_a_frame_may_arrive_cut_anywhere(cut: int) -> None:
    asked = request(0x15, 0x0A) + request(0x1C)
    unit, whole = RawUnit(), RawUnit()
    assert unit.feed(asked[:cut]) + unit.feed(asked[cut:]) == whole.feed(asked)


def test_a_broken_off_request_costs_only_itself() -> None:
    unit = RawUnit()
    assert unit.feed(request(0x15, 0x0A)[:-4]) == []
    assert unit.feed(request(0x1C)) == RawUnit().feed(request(0x1C))


@pytest.mark.parametrize("samples", [4, 8, 64, 508, 512, 516, 1280, 2304])
def test_its_samples_are_what_the_products_decoder_reads(samples: int) -> None:
    counts = motion(loud=300, axis=1, samples=samples)
    assert decode_body(encode_samples(counts), samples).tolist() == counts


def test_the_cursor_is_shared_by_all_callers() -> None:
    unit = RawUnit().record(3)
    first, last = (unit.events[n].key_bytes for n in (0, 2))
    unit.feed(request(0x0A, 0x46, at_key(first.hex())))
    unit.feed(request(0x0A, 0x46, at_key(last.hex())))  # by somebody else
    (answer,) = Scanner(REPLY_START).feed(unit.feed(request(0x1F, 8))[0])
    assert answer.data[:4] == bytes(4), "what follows the record that was visited last"
    assert answer.params == bytes(10), "no key by which a client could notice"


def test_it_erases_only_in_the_captured_order() -> None:
    unit = RawUnit().record(2)
    assert unit.feed(request(0xA2, 0, FE)) == []
    assert len(unit.events) == 2
    for asked in (request(0xA3, 0, FE), request(0x1C, 0x2C), request(0x06, 0x24, FE)):
        assert unit.feed(asked)
    assert unit.feed(request(0xA2, 0, FE))[0].hex(" ") == (
        "10 02 00 10 10 5d 00 00 00 00 00 00 00 00 00 00 fe 00 00 6b 03"
    )
    assert (unit.events, len(unit.history)) == ([], 2)


def test_5a_is_ignored_until_it_is_armed() -> None:
    unit = RawUnit().record()
    key = unit.events[0].key_bytes
    assert unit.feed(request(0x5A, 0x40, key + bytes(6))) == []
    unit.feed(request(0x0A, 0x46, at_key(key.hex())))
    unit.feed(request(0x1E, 8, FE))
    (answer,) = Scanner(REPLY_START).feed(unit.feed(request(0x5A, 0x40, key + bytes(6)))[0])
    assert answer.data == unit.events[0].image[:0x40]


@pytest.mark.parametrize("where", ["tcp", "terminal"])
@pytest.mark.parametrize("echo_params", [True, False])
async def test_the_products_client_reads_it_whole(where: str, echo_params: bool) -> None:
    unit = RawUnit(echo_params=echo_params).record(3, loud=200, samples=1280)
    unit.record(at=NEVER_SET, axis=2, loud=90, size=3 * 1024)

    async def check(address: str) -> None:
        async with MiniMate.connect(address, deadlines=PATIENT) as client:
            info = await client.read_info()
            assert (info.serial, info.firmware, info.simulated) == ("BE11529", "S337.17", False)
            assert (info.setup.sample_rate_hz, info.setup.record_time_s) == (1024, 1.0)
            assert (info.setup.geo_range_in_s, info.setup.project) == (10.0, "North face")
            assert await client.read_lifetime_count() == 4
            status = await client.read_monitor_status()
            assert (status.battery_v, status.memory_total_bytes) == (6.8, 983_026)
            events = await client.read_events()
            assert [event.key for event in events] == [event.key_bytes for event in unit.events]
            for event, truth in zip(events, unit.events, strict=True):
                assert event.device_time == truth.at
                peaks = event.peaks
                shown = (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s)
                assert shown == pytest.approx(truth.peaks_in_s)
                assert event.project == "North face"
                waveform = await client.read_waveform(event)
                assert waveform.image == truth.image
                assert np.array_equal(waveform.counts, truth.counts)
                assert set(waveform.valid_samples) == {len(truth.counts[0])}
                # Start and stop have a resolution of 1 s: a shorter event fits several rates.
                is_long = len(truth.counts[0]) >= 1024
                assert waveform.sample_rate_hz == (1024 if is_long else None)

    if where == "tcp":
        async with RawServer(unit) as server:
            await check(f"tcp://127.0.0.1:{server.port}")
    else:
        async with RawTerminal(unit) as terminal:
            await check(terminal.path)
