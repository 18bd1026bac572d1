from __future__ import annotations

import contextlib
import doctest
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise, product
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.vectors import BY_NAME, ESCAPED_PIECES, FILE_HEADER, STRT_HEAD

from minimateplus.errors import RemoteProtocolError
from minimateplus.model import CHANNELS, FIRST_KEY, Peaks, RecordingSetup, RecordMode
from minimateplus.simulator import payloads
from minimateplus.wire import layouts
from minimateplus.wire.commands import COMMANDS, SETUP_BYTES
from minimateplus.wire.layouts import (
    LAYOUTS,
    Layout,
    build_stamp,
    labels,
    parse_call_home,
    parse_identity,
    parse_monitor_log,
    parse_monitor_status,
    parse_setup,
    parse_stamp,
    parse_start_record,
    parse_storage_range,
    parse_waveform_record,
    scalars,
    text_after,
)

STATUS = BY_NAME["SUB 1C idle, BE11529, captured"].frame.payload
SERIAL = BY_NAME["SUB 15, BE18189, captured text and checksum"].frame.payload
PIECES = {name: bytes.fromhex(plain) for name, _, plain in ESCAPED_PIECES}
MIC_PEAK = PIECES["MicL peak"]

SETUP = RecordingSetup(
    mode=RecordMode.CONTINUOUS,
    sample_rate_hz=1024,
    histogram_interval_s=300,
    pretrigger_s=0.25,
    record_time_s=3.0,
    geo_range_in_s=10.0,
    trigger_level_in_s=0.5,
    alarm_level_in_s=2.0,
    mic_trigger_psi=0.045,
    mic_alarm_psi=0.021,
    setup_name="Standard Recording Setup",
    project="North face",
    client="Acme",
    operator="A. Miner",
    location="Church",
    notes="Line 1",
)
PEAKS = Peaks(
    tran_in_s=0.42, vert_in_s=3.87, long_in_s=0.495, mic_psi=0.00021755, vector_sum_in_s=3.906
)
AT = datetime(2026, 4, 1, 0, 28, 12)


def rounded(setup: RecordingSetup) -> RecordingSetup:
    """The setup as single precision holds it, to four decimals."""
    floats = {
        name: round(value, 4)
        for name in ("trigger_level_in_s", "alarm_level_in_s", "mic_trigger_psi", "mic_alarm_psi")
        if (value := getattr(setup, name)) is not None
    }
    return replace(setup, **floats)


def figures(peaks: Peaks) -> list[float | None]:
    all_of = (
        peaks.tran_in_s,
        peaks.vert_in_s,
        peaks.long_in_s,
        peaks.mic_psi,
        peaks.vector_sum_in_s,
    )
    return [None if figure is None else round(figure, 5) for figure in all_of]


# --- captured bytes judge -----------------------------------------------------------------------


def test_the_captured_status_reads_as_the_screen_of_the_unit() -> None:
    status = parse_monitor_status(STATUS)
    assert status.clock_device_time == datetime(2026, 4, 8, 1, 59, 45)
    assert status.battery_v == 6.80
    assert status.memory_total_bytes == 983_026
    assert status.memory_free_bytes == 958_034
    assert not status.monitoring


def test_the_captured_status_holds_two_timers_of_1995() -> None:
    fields = layouts.MONITOR_STATUS.parse(STATUS)
    assert fields["timer_start"] == datetime(1995, 1, 1, 6)
    assert fields["timer_stop"] == datetime(1995, 1, 1, 21)


def test_the_captured_status_is_built_again_to_the_byte() -> None:
    assert layouts.MONITOR_STATUS.build(layouts.MONITOR_STATUS.parse(STATUS)) == STATUS


def test_the_captured_serial_reads_as_printed_on_the_unit() -> None:
    fields = layouts.SERIAL.parse(SERIAL)
    assert fields == {"serial": "BE18189", "unit_byte": 0x79, "firmware_minor": 17}
    assert layouts.SERIAL.build(fields) == SERIAL


@pytest.mark.parametrize("serial", ["BE18189", "SIM0001", "0", "A.b_c-9"])
def test_a_serial_number_of_letters_and_digits_is_one(serial: str) -> None:
    assert layouts.parse_serial(payloads.serial_payload(serial, "S338.17")) == serial


@pytest.mark.parametrize(
    "raw", [b"../../e", b"-rf", b"BE 1", b"BE\n18", b"BE\x1b[2J", b"BE\xe9", b".x"]
)
def test_what_cannot_name_a_file_is_no_serial_number(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="where its serial number should be") as caught:
        layouts.parse_serial(raw.ljust(10, b"\0"))
    assert str(caught.value).isprintable()


def test_a_text_shows_no_control_character() -> None:
    assert layouts.parse_text(b"BE\x1b[2J\x07\xe9\0rest") == "BE\ufffd[2J\ufffdé"


def test_captured_dates_read_as_the_reports_print_them() -> None:
    assert parse_stamp(PIECES["0C date, 2026-04-01 00:28:12"]) == AT
    head = PIECES["0C date, 2026-05-01, nothing to escape"]
    assert parse_stamp(head + bytes((0, 13, 21, 37))) == datetime(2026, 5, 1, 13, 21, 37)
    assert build_stamp(AT) == PIECES["0C date, 2026-04-01 00:28:12"]


def test_the_captured_mic_peak_is_its_float_and_not_the_text_beside_it() -> None:
    payload = bytearray(payloads.record_payload(AT, PEAKS, None))
    at = payload.index(b"MicL") + 6
    payload[at : at + 4] = MIC_PEAK
    peaks = parse_waveform_record(bytes(payload)).peaks
    assert peaks.mic_psi == pytest.approx(0.00021755, rel=1e-4)


def test_the_storage_range_after_an_erase_is_the_first_key_twice() -> None:
    frame = BY_NAME["06 after erase (first 28 bytes taken as zero)"].frame
    found = parse_storage_range(frame.payload)
    assert (found.first_key, found.last_key) == (FIRST_KEY, FIRST_KEY)


def test_keys_read_as_captured() -> None:
    assert layouts.KEY.parse(BY_NAME["1E: first key 01110000"].frame.payload)["key"] == FIRST_KEY
    assert layouts.KEY.parse(BY_NAME["1F: no more"].frame.payload)["key"] == layouts.NULL_KEY


def test_the_captured_anchor_stands_where_the_head_has_its_fields() -> None:
    # 01 2c = 300 s, 0000, be800000 = -0.25 s, 0000; before it 04 00 = 1024/s, before that the mode.
    block = bytes(5) + b"\x01\x04\x00" + PIECES["1A anchor"] + struct.pack(">f", 3.0) + bytes(100)
    setup = parse_setup(block)
    assert (setup.mode, setup.sample_rate_hz) == (RecordMode.CONTINUOUS, 1024)
    assert (setup.histogram_interval_s, setup.pretrigger_s) == (300, 0.25)
    assert setup.record_time_s == 3.0


def test_the_captured_microphone_levels_read_as_their_numbers() -> None:
    # SUB 71 of 2026-03-01: trigger at 32, low threshold at 38, "psi" at 42, alarm at 46.
    data = bytearray(120)
    data[0:4] = b"MicL"
    data[32:36] = bytes.fromhex("3d 38 51 ec")
    data[38:42] = bytes.fromhex("3c 23 d7 0a")
    data[42:46] = b"psi\0"
    data[46:50] = bytes.fromhex("3c ac 08 31")
    setup = parse_setup(bytes(SETUP_BYTES - 120) + bytes(data))
    assert setup.mic_trigger_psi == pytest.approx(0.0450)
    assert setup.mic_alarm_psi == pytest.approx(0.0210)


def test_the_geophone_constant_is_the_captured_float() -> None:
    (captured,) = struct.unpack(">f", bytes.fromhex("40 c6 97 fc"))  # "about", says the sheet
    assert captured == pytest.approx(layouts.SENSITIVITY_IN_S_PER_V, abs=1e-6)
    full_scale_in_s = 1.61133 * layouts.SENSITIVITY_IN_S_PER_V
    assert full_scale_in_s == pytest.approx(10.0, abs=1e-4)


def test_an_event_image_starts_as_an_event_file_behind_its_prefix() -> None:
    assert FILE_HEADER.endswith(layouts.IMAGE_TAG)
    assert len(FILE_HEADER) - len(layouts.IMAGE_TAG) == 18
    start = STRT_HEAD + bytes.fromhex("0111417e 01112238 0500 0100 46 0000")
    record = parse_start_record(layouts.IMAGE_TAG + start)
    assert (record.end_address, record.start_address) == (0x0111417E, 0x01112238)
    assert (record.samples, record.pretrigger_samples) == (1280, 256)
    assert record.mode is RecordMode.SINGLE_SHOT


# --- what cannot be is unknown ------------------------------------------------------------------


def status_with(**values: int) -> bytes:
    return layouts.MONITOR_STATUS.build(layouts.MONITOR_STATUS.parse(STATUS) | values)


@pytest.mark.parametrize("centivolts", [0, 2001, 0xFFFF])
def test_a_battery_of_0_or_655_volts_is_unknown(centivolts: int) -> None:
    assert parse_monitor_status(status_with(battery_centivolts=centivolts)).battery_v is None


@pytest.mark.parametrize(
    ("total", "free"), [(983_026, 983_027), (0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (1 << 28, 1)]
)
def test_a_memory_that_cannot_be_is_unknown(total: int, free: int) -> None:
    status = parse_monitor_status(status_with(memory_total_bytes=total, memory_free_bytes=free))
    assert (status.memory_total_bytes, status.memory_free_bytes) == (None, None)
    assert status.battery_v == 6.80


@pytest.mark.parametrize("free", [0, 983_026])
def test_a_full_and_an_empty_memory_are_known(free: int) -> None:
    assert parse_monitor_status(status_with(memory_free_bytes=free)).memory_free_bytes == free


@pytest.mark.parametrize("flag", [0x10, 0x02, 0x03, 0x04, 0x01])
def test_any_flag_but_zero_is_monitoring(flag: int) -> None:
    assert parse_monitor_status(status_with(monitoring=flag)).monitoring


@pytest.mark.parametrize(
    "raw_hex",
    [
        "00" * 8,
        "ff" * 8,
        "1f 02 07ea 00 00 00 00",  # 31 February
        "01 0d 07ea 00 00 00 00",
        "01 04 07ea 00 18 00 00",
        "01 04 07ea 00 00 00 3c",
        "01 04 0000 00 00 00 00",
        "",
        "01 04 07ea 00 00 1c",
    ],
)
def test_what_is_no_date_is_unknown(raw_hex: str) -> None:
    assert parse_stamp(bytes.fromhex(raw_hex)) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.5, 1e30])
@pytest.mark.parametrize("place", range(5))
def test_a_peak_that_cannot_be_is_unknown_alone(bad: float, place: int) -> None:
    payload = bytearray(payloads.record_payload(AT, PEAKS, "North face"))
    offsets = [payload.index(name.encode()) + 6 for name in CHANNELS]
    offsets.append(payload.index(b"Tran") - 12)
    struct.pack_into(">f", payload, offsets[place], bad)
    expected = figures(PEAKS)
    expected[place] = None
    assert figures(parse_waveform_record(bytes(payload)).peaks) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 0.0, 1e30])
def test_a_level_that_cannot_be_is_unknown(bad: float) -> None:
    block = bytearray(payloads.setup_block(SETUP))
    struct.pack_into(">f", block, block.index(b"in./") - 4, bad)
    struct.pack_into(">f", block, block.index(b"psi\0") + 4, bad)
    setup = parse_setup(bytes(block))
    assert (setup.trigger_level_in_s, setup.mic_alarm_psi) == (None, None)
    assert setup.alarm_level_in_s == 2.0
    assert setup.mic_trigger_psi == pytest.approx(0.045)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -3.0, 1e9])
def test_a_record_time_that_cannot_be_is_unknown(bad: float) -> None:
    block = bytearray(payloads.setup_block(SETUP))
    struct.pack_into(">f", block, 18, bad)
    assert parse_setup(bytes(block)).record_time_s is None


def test_a_mode_a_rate_and_an_interval_that_nobody_saw_are_unknown() -> None:
    block = bytearray(payloads.setup_block(SETUP))
    block[5] = 2
    struct.pack_into(">HH", block, 6, 1000, 7)
    setup = parse_setup(bytes(block))
    assert (setup.mode, setup.sample_rate_hz, setup.histogram_interval_s) == (None, None, None)
    assert setup.pretrigger_s == 0.25


def test_a_block_of_zeros_says_nothing() -> None:
    assert set(vars_of(parse_setup(bytes(SETUP_BYTES))).values()) == {None}


def vars_of(setup: RecordingSetup) -> dict[str, object]:
    return {name: getattr(setup, name) for name in RecordingSetup.__dataclass_fields__}


# --- the setup block, read back -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "rate", "range_in_s"),
    list(product(RecordMode, layouts.SAMPLE_RATES_HZ, layouts.GEO_RANGE_BYTES.values())),
)
def test_a_setup_is_read_back_for_every_mode_rate_and_range(
    mode: RecordMode, rate: int, range_in_s: float
) -> None:
    setup = replace(SETUP, mode=mode, sample_rate_hz=rate, geo_range_in_s=range_in_s)
    assert rounded(parse_setup(payloads.setup_block(setup))) == setup


@pytest.mark.parametrize("interval", layouts.HISTOGRAM_INTERVALS_S)
def test_a_setup_is_read_back_for_every_interval(interval: int) -> None:
    setup = replace(SETUP, histogram_interval_s=interval)
    assert parse_setup(payloads.setup_block(setup)).histogram_interval_s == interval


@pytest.mark.parametrize("shift", [0, 1, 2, 7, 40])
def test_a_block_that_lies_shifted_is_found_by_its_anchor(shift: int) -> None:
    block = bytes(shift) + payloads.setup_block(SETUP)
    assert rounded(parse_setup(block)) == SETUP


def test_a_shifted_block_without_anchor_is_not_read_from_a_wrong_place() -> None:
    block = payloads.setup_block(replace(SETUP, pretrigger_s=0.5))
    assert parse_setup(block).pretrigger_s == 0.5
    assert parse_setup(block).mode is RecordMode.CONTINUOUS
    shifted = parse_setup(bytes(1) + block)
    assert (shifted.mode, shifted.sample_rate_hz, shifted.record_time_s) == (None, None, None)
    assert shifted.geo_range_in_s == 10.0


@pytest.mark.parametrize("earlier", range(9))
def test_the_range_is_found_when_the_notes_counted_escapes(earlier: int) -> None:
    block = bytearray(payloads.setup_block(replace(SETUP, geo_range_in_s=1.25)))
    tran = block.index(b"Tran")
    at = tran + layouts.SENSITIVITY_AFTER_LABEL
    moved = bytes(block[at : at + 6])
    block[tran + 4 : at + 6] = bytes(at + 2 - tran)
    block[at - earlier : at - earlier + 6] = moved
    assert parse_setup(bytes(block)).geo_range_in_s == 1.25


@pytest.mark.parametrize("code", [2, 0x10, 0xFF])
def test_a_range_byte_that_nobody_saw_is_unknown(code: int) -> None:
    block = bytearray(payloads.setup_block(SETUP))
    block[block.index(b"Tran") + layouts.RANGE_AFTER_LABEL] = code
    assert parse_setup(bytes(block)).geo_range_in_s is None


def test_the_levels_of_one_channel_are_not_taken_from_the_next() -> None:
    block = payloads.setup_block(SETUP)
    tran = block[: block.index(b"Tran") + layouts.RANGE_AFTER_LABEL + 1]
    vert = b"Vert" + struct.pack(">f", 0.5) + layouts.GEO_UNIT_TEXT + struct.pack(">f", 2.0)
    closed = (tran + vert).ljust(SETUP_BYTES, b"\0")
    setup = parse_setup(closed)
    assert setup.geo_range_in_s == 10.0
    assert (setup.trigger_level_in_s, setup.alarm_level_in_s) == (None, None)


@pytest.mark.parametrize("cut", range(layouts.SETUP_HEAD.size, 520, 1))
def test_a_block_cut_anywhere_behind_its_head_is_read_as_far_as_it_goes(cut: int) -> None:
    setup = parse_setup(payloads.setup_block(SETUP)[:cut])
    assert setup.sample_rate_hz == 1024
    assert setup.project is None


# --- texts --------------------------------------------------------------------------------------

FOOLS = (
    "Tran",
    "Vert",
    "Long Lake quarry",
    "Transfer station",
    "Tran Vert Long MicL",
    "Tran00?00Vert00?00Long00?00MicL00?00",
    "MicL psi",
    "MicL in./ psi",
    "Vertical shaft, Tran 3",
    "the Client: Bob",
    "my Recording Setup",
    "x" * 36,
)


@pytest.mark.parametrize("text", FOOLS)
def test_a_project_with_the_names_of_channels_fools_no_peak(text: str) -> None:
    record = parse_waveform_record(payloads.record_payload(AT, PEAKS, text))
    assert figures(record.peaks) == figures(PEAKS)
    assert record.device_time == AT
    assert record.project == text


@pytest.mark.parametrize("text", FOOLS)
def test_a_project_before_the_channels_fools_no_peak_either(text: str) -> None:
    # Where a real unit keeps the project in 0C is unknown; before the labels there is room, too.
    payload = bytearray(payloads.record_payload(AT, PEAKS, None))
    payload[payloads.PROJECT_AT :] = bytes(len(payload) - payloads.PROJECT_AT)
    value = b"Project:" + text.encode()
    payload[16 : 16 + len(value)] = value
    record = parse_waveform_record(bytes(payload))
    assert figures(record.peaks) == figures(PEAKS)
    assert record.project == text


@pytest.mark.parametrize("field", layouts.SETUP_TEXTS)
@pytest.mark.parametrize("text", FOOLS)
def test_a_text_with_other_fields_words_fools_no_other_field(text: str, field: str) -> None:
    setup = replace(SETUP, **{field: text})  # type: ignore[arg-type]
    for block in (payloads.setup_block(setup), texts_first(setup)):
        assert rounded(parse_setup(block)) == setup


def texts_first(setup: RecordingSetup) -> bytes:
    """The same block with its texts before its channels: no offset of either is known."""
    block = bytearray(payloads.setup_block(setup))
    channels = bytes(block[payloads.CHANNEL_BLOCKS_AT : payloads.SETUP_NAME_AT])
    texts = bytes(block[payloads.TEXTS_AT : payloads.TEXTS_AT + 5 * 64])
    name = bytes(block[payloads.SETUP_NAME_AT : payloads.SETUP_NAME_AT + 40])
    block[payloads.CHANNEL_BLOCKS_AT :] = bytes(len(block) - payloads.CHANNEL_BLOCKS_AT)
    block[0x60 : 0x60 + len(texts)] = texts
    block[0x400 : 0x400 + len(channels)] = channels
    block[0x700:0x728] = name
    return bytes(block)


@pytest.mark.parametrize("field", layouts.SETUP_TEXTS)
def test_an_empty_text_is_unknown_and_takes_nothing_from_the_next(field: str) -> None:
    setup = replace(SETUP, **{field: None})
    assert rounded(parse_setup(payloads.setup_block(setup))) == setup


def test_an_empty_last_text_takes_nothing_from_what_follows() -> None:
    block = bytearray(payloads.setup_block(replace(SETUP, notes=None)))
    at = payloads.TEXTS_AT + 5 * 64
    block[at : at + 9] = b"something"
    assert parse_setup(bytes(block)).notes is None


def test_all_texts_may_be_empty() -> None:
    empty = dict.fromkeys((*layouts.SETUP_TEXTS, "setup_name"))
    setup = replace(SETUP, **empty)
    assert rounded(parse_setup(payloads.setup_block(setup))) == setup


def test_a_value_that_fills_its_field_ends_where_the_next_label_starts() -> None:
    block = bytearray(payloads.setup_block(SETUP))
    at = payloads.TEXTS_AT + payloads.LABEL_BYTES
    block[at : at + payloads.VALUE_BYTES] = b"x" * payloads.VALUE_BYTES
    setup = parse_setup(bytes(block))
    assert (setup.project, setup.client) == ("x" * payloads.VALUE_BYTES, "Acme")


def test_a_label_may_have_a_colon_that_the_notes_left_out() -> None:
    assert text_after(b"Extended Notes:" + bytes(7) + b"Line 1\0", b"Extended Notes") == "Line 1"
    assert text_after(b"Extended Notes:" + bytes(60), b"Extended Notes") is None


def test_a_setup_name_is_read_to_its_end() -> None:
    setup = replace(SETUP, setup_name="Quarry Recording Setup 2")
    assert parse_setup(payloads.setup_block(setup)).setup_name == "Quarry Recording Setup 2"


def test_a_record_without_its_labels_is_not_trusted() -> None:
    payload = payloads.record_payload(AT, PEAKS, "Vert")
    for name in CHANNELS:
        with pytest.raises(RemoteProtocolError, match="Tran, Vert, Long, MicL"):
            parse_waveform_record(payload.replace(name.encode(), b"????"))
    with pytest.raises(RemoteProtocolError):
        parse_waveform_record(payload.replace(b"Tran", b"MicX").replace(b"MicL", b"Tran"))


def test_a_monitor_log_has_its_times_and_its_text() -> None:
    stop = datetime(2026, 4, 3, 4, 16, 2)
    payload = payloads.header_payload(0x2C, "BE11529", AT, stop, 0.5)
    assert len(payload) == 0x2C
    entry = parse_monitor_log(FIRST_KEY, payload)
    assert (entry.start_device_time, entry.stop_device_time) == (AT, stop)
    assert entry.text == "BE11529 Geo: 0.500 in/s"
    assert parse_monitor_log(FIRST_KEY, payload[:16] + bytes(28)).text is None


# --- identity -----------------------------------------------------------------------------------


def test_the_texts_of_an_identity_are_found_wherever_they_stand() -> None:
    parts = [b"BE18189", b"S338.17", b"10.72", b"Instantel", b"MiniMate Plus"]
    for block in (b"\0\0".join(parts), b"\x07\xea".join(reversed(parts))):
        found = parse_identity(block.ljust(152, b"\0"))
        assert (found.firmware, found.dsp_firmware) == ("S338.17", "10.72")
        assert (found.manufacturer, found.model) == ("Instantel", "MiniMate Plus")
        assert found.calibrated_on is None
        assert not found.simulated


def test_a_simulated_unit_says_so_and_when_it_was_calibrated() -> None:
    payload = payloads.identity_payload("SIM0001", "S338.17", "10.72", date(2026, 2, 2))
    found = parse_identity(payload)
    assert found.simulated
    assert found.calibrated_on == date(2026, 2, 2)
    assert (found.firmware, found.dsp_firmware) == ("S338.17", "10.72")
    never = parse_identity(payloads.identity_payload("SIM0001", "S338.17", "10.72", None))
    assert never.calibrated_on is None


def test_a_short_identity_of_a_simulated_unit_has_no_date() -> None:
    assert parse_identity(layouts.SIMULATED_TEXT).calibrated_on is None


# --- the tables ---------------------------------------------------------------------------------

every_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


@every_layout
def test_no_two_fields_overlap_and_all_fit(layout: Layout) -> None:
    ordered = sorted(layout.fields, key=lambda field: field.offset)
    for one, other in pairwise(ordered):
        assert one.offset + one.size <= other.offset, f"{one.name} reaches into {other.name}"
    assert ordered[0].offset >= 0
    assert ordered[-1].offset + ordered[-1].size <= layout.size
    assert len({field.name for field in ordered}) == len(ordered)


@every_layout
def test_every_field_has_a_mark_and_unless_unknown_a_source(layout: Layout) -> None:
    for field in layout.fields:
        assert field.mark in {"C", "D", "I", "U"}
        assert field.source or field.mark == "U", field.name


@every_layout
def test_every_field_has_the_size_of_its_kind(layout: Layout) -> None:
    sizes = {"u8": 1, "u16": 2, "u32": 4, "f32": 4, "key": 4, "stamp": 8}
    for field in layout.fields:
        assert field.size == sizes.get(field.kind, field.size), field.name


def test_every_layout_of_the_module_is_in_the_list() -> None:
    assert {id(x) for x in vars(layouts).values() if isinstance(x, Layout)} == set(map(id, LAYOUTS))


def test_the_layouts_have_the_sizes_that_the_commands_fetch() -> None:
    sizes = {layout.name: layout.size for layout in LAYOUTS}
    for sub, name in {
        0x15: "serial number (15)",
        0x06: "storage range (06)",
        0x08: "event index (08)",
        0x1E: "event key (1E, 1F)",
        0x1F: "event key (1E, 1F)",
        0x0C: "waveform record (0C)",
        0x1C: "monitor status (1C)",
        0x2C: "call home (2C)",
    }.items():
        assert sizes[name] == COMMANDS[sub].fetch_bytes
    assert sizes["record header (0A)"] == 0x2C


@every_layout
def test_a_payload_too_short_for_its_fields_is_the_units_fault(layout: Layout) -> None:
    needed = max(field.offset + field.size for field in layout.fields)
    layout.parse(bytes(needed))
    for size in range(needed):
        with pytest.raises(RemoteProtocolError, match=f"expected at least {needed}"):
            layout.parse(bytes(size))


def test_a_value_of_another_size_moves_no_other_field() -> None:
    for key in (b"\x01", bytes(5)):
        with pytest.raises(ValueError, match="first_key has 4 bytes"):
            layouts.STORAGE_RANGE.build({"first_key": key})
    with pytest.raises(OverflowError):
        layouts.MONITOR_STATUS.build({"battery_centivolts": 1 << 16})


def test_a_text_is_cut_to_its_field_with_one_null_behind() -> None:
    assert layouts.build_text("BE18189XYZ", 8) == b"BE18189\0"
    assert layouts.SERIAL.parse(layouts.SERIAL.build({"serial": "B\xe9北"}))["serial"] == "Bé?"


# --- any bytes ----------------------------------------------------------------------------------


def parse_log(payload: bytes) -> object:
    return parse_monitor_log(FIRST_KEY, payload)


PARSERS: list[Callable[[bytes], object]] = [
    parse_identity,
    parse_log,
    parse_monitor_status,
    parse_call_home,
    parse_setup,
    parse_stamp,
    layouts.parse_text,
    parse_start_record,
    parse_storage_range,
    parse_waveform_record,
    layouts.parse_serial,
    *(layout.parse for layout in LAYOUTS),
]
WORDS = st.sampled_from(
    [
        *(name.encode() for name in CHANNELS),
        *layouts.SETUP_TEXTS.values(),
        layouts.SETUP_ANCHOR,
        layouts.SENSITIVITY,
        layouts.GEO_UNIT_TEXT,
        layouts.MIC_UNIT_TEXT,
        layouts.SIMULATED_TEXT,
        layouts.IMAGE_TAG + b"STRT",
        b" Recording Setup",
        b"S338.17",
        bytes(24),
        bytes(20),
        bytes(6),
        b"\x00",
        b"\xff" * 6,
    ]
)
ANYTHING = st.lists(WORDS | st.binary(max_size=40), max_size=20).map(b"".join)


def test_no_parser_is_left_out() -> None:
    public = {name for name in vars(layouts) if name.startswith("parse_")}
    assert public == {getattr(p, "__name__", "") for p in PARSERS if p is not parse_log} - {
        "parse"
    } | {"parse_monitor_log"}


@given(ANYTHING)
def test_whatever_a_unit_sends_raises_nothing_but_its_own_error(payload: bytes) -> None:
    for parse in PARSERS:
        with contextlib.suppress(RemoteProtocolError):
            parse(payload)


@given(ANYTHING)
def test_whatever_a_unit_sends_no_figure_is_beyond_what_can_be(payload: bytes) -> None:
    try:
        setup = parse_setup(payload)
        peaks = parse_waveform_record(payload).peaks
    except RemoteProtocolError:
        return
    for figure in (*figures(peaks), setup.record_time_s, setup.pretrigger_s, setup.mic_alarm_psi):
        assert figure is None or math.isfinite(figure)


@pytest.mark.parametrize("module", [scalars, labels])
def test_the_examples_in_the_docstrings_run(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed
