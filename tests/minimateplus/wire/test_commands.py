from __future__ import annotations

import pytest
from kit.vectors import BY_NAME, ESCAPED_PIECES, HOST, VECTORS

from minimateplus.wire import commands
from minimateplus.wire.commands import (
    ARM,
    BULK_CHUNK_BYTES,
    COMMANDS,
    NO_PARAMS,
    SETUP_BYTES,
    SETUP_PAGES,
    Command,
    address_params,
    key_params,
    page_params,
    token_params,
)
from minimateplus.wire.framing import encode_request

FIRST = bytes.fromhex("01110000")
LOG = bytes.fromhex("011121f2")
TOKEN = token_params(ARM)

# What our client says, and the captured or computed request that it must be, byte for byte.
REQUESTS: list[tuple[Command, int | None, bytes, str]] = [
    (commands.POLL, 0, NO_PARAMS, "POLL probe"),
    (commands.POLL, None, NO_PARAMS, "POLL fetch 0x30"),
    (commands.SERIAL, 0, NO_PARAMS, "SUB 15 probe"),
    (commands.SERIAL, None, NO_PARAMS, "SUB 15 fetch 0x0A"),
    (commands.IDENTITY, 0, NO_PARAMS, "SUB 01 probe"),
    (commands.IDENTITY, None, NO_PARAMS, "SUB 01 fetch 0x98"),
    (commands.EVENT_COUNTER, None, NO_PARAMS, "SUB 08 fetch 0x58"),
    (commands.MONITOR_STATUS, 0, NO_PARAMS, "SUB 1C probe"),
    (commands.MONITOR_STATUS, None, NO_PARAMS, "SUB 1C fetch 0x2C"),
    (commands.STORAGE_RANGE, 0, TOKEN, "SUB 06 probe token FE"),
    (commands.STORAGE_RANGE, None, TOKEN, "SUB 06 fetch 0x24 token FE"),
    (commands.FIRST_EVENT, 0, NO_PARAMS, "SUB 1E probe"),
    (commands.FIRST_EVENT, None, NO_PARAMS, "SUB 1E fetch 8"),
    (commands.FIRST_EVENT, 0, TOKEN, "SUB 1E arm probe token FE"),
    (commands.FIRST_EVENT, None, TOKEN, "SUB 1E arm fetch token FE"),
    (commands.NEXT_EVENT, 0, NO_PARAMS, "SUB 1F probe"),
    (commands.NEXT_EVENT, None, NO_PARAMS, "SUB 1F fetch 8"),
    (commands.RECORD_HEADER, 0, key_params(FIRST), "SUB 0A probe key 01110000"),
    (commands.RECORD_HEADER, commands.EVENT_HEADER_BYTES, key_params(FIRST), "SUB 0A fetch 0x46"),
    (
        commands.RECORD_HEADER,
        commands.MONITOR_LOG_BYTES,
        key_params(LOG),
        "SUB 0A fetch 0x2C key 011121F2",
    ),
    (commands.WAVEFORM_RECORD, 0, key_params(FIRST), "SUB 0C probe key 01110000"),
    (commands.WAVEFORM_RECORD, None, key_params(FIRST), "SUB 0C fetch 0xD2"),
    (commands.RECORDING_SETUP, 0, page_params(0), "SUB 1A A"),
    (commands.RECORDING_SETUP, SETUP_PAGES[0][0], page_params(SETUP_PAGES[0][1]), "SUB 1A B"),
    (commands.RECORDING_SETUP, SETUP_PAGES[2][0], page_params(SETUP_PAGES[2][1]), "SUB 1A D"),
    *(
        (
            commands.BULK_READ,
            0x200,
            address_params(0x01110000 + at),
            f"SUB 5A 512 bytes at {0x01110000 + at:08X}",
        )
        for at in (0, 0x200, 0x400, 0x600, 0x1000, 0x2238)
    ),
    (
        commands.BULK_READ,
        BULK_CHUNK_BYTES,
        address_params(0x0111245A),
        "SUB 5A 1024 bytes at 0111245A",
    ),
    (
        commands.BULK_READ,
        0x5A,
        address_params(0x01112000),
        "SUB 5A last read 0x5A bytes at 01112000",
    ),
    (commands.CALL_HOME, 0, NO_PARAMS, "SUB 2C probe"),
    (commands.CALL_HOME, None, NO_PARAMS, "SUB 2C fetch 0x7C"),
    (commands.START_MONITORING, 0, NO_PARAMS, "SUB 96"),
    (commands.STOP_MONITORING, 0, NO_PARAMS, "SUB 97"),
    (commands.ERASE_BEGIN, 0, TOKEN, "SUB A3 token FE"),
    (commands.ERASE_CONFIRM, 0, TOKEN, "SUB A2 token FE"),
    (commands.CONFIRM_SETUP, 0, NO_PARAMS, "SUB 72 confirm"),
    (commands.CONFIRM_EVENT_COUNTER, 0, NO_PARAMS, "SUB 73 confirm"),
    (commands.CONFIRM_UNKNOWN, 0, NO_PARAMS, "SUB 74 confirm"),
    (commands.CONFIRM_TRIGGER, 0, NO_PARAMS, "SUB 83 confirm"),
    (commands.CONFIRM_CALL_HOME, 0, NO_PARAMS, "SUB 7F confirm"),
]

UNSEEN = {
    command.sub
    for command in (
        commands.TRIGGER_BLOCK,
        commands.UNKNOWN_BLOCK,
        commands.WRITE_EVENT_COUNTER,
        commands.WRITE_SETUP,
        commands.WRITE_TRIGGER,
        commands.WRITE_UNKNOWN,
        commands.WRITE_CALL_HOME,
    )
}
"""No whole frame of these is in the fact sheet; their order and sizes are (test_commanding)."""


@pytest.mark.parametrize(
    ("command", "length", "params", "name"), REQUESTS, ids=[row[3] for row in REQUESTS]
)
def test_the_table_makes_the_requests_of_the_fact_sheet(
    command: Command, length: int | None, params: bytes, name: str
) -> None:
    wanted = command.fetch_bytes if length is None else length
    assert wanted is not None
    assert encode_request(command.sub, wanted, params).hex(" ") == BY_NAME[name].wire.hex(" ")


def test_every_request_of_the_fact_sheet_that_we_send_is_tried_above() -> None:
    ours = {v.name for v in VECTORS if v.direction is HOST and v.sub in COMMANDS}
    assert ours == {row[3] for row in REQUESTS}


def test_every_command_is_tried_above() -> None:
    assert {row[0].sub for row in REQUESTS} == set(COMMANDS) - UNSEEN
    assert set(COMMANDS) >= UNSEEN


def test_the_third_of_the_four_frames_of_the_setup_asks_from_0400() -> None:
    length, address = SETUP_PAGES[1]
    params = page_params(address)
    assert (length, params.hex(" ")) == (0x0400, "00 00 04 00 00 00 00 64 00 00")


def test_the_pages_of_the_setup_join_without_gap() -> None:
    at = 0
    for length, address in SETUP_PAGES:
        assert address == at
        at += length
    assert at == SETUP_BYTES == 2090


def test_the_token_stands_where_it_was_captured() -> None:
    captured = {name: plain for name, _, plain in ESCAPED_PIECES}["token parameters"]
    assert token_params(ARM) == bytes.fromhex(captured)


def test_every_row_is_filed_under_its_own_byte() -> None:
    assert all(sub == command.sub for sub, command in COMMANDS.items())
    assert len({command.name for command in COMMANDS.values()}) == len(COMMANDS)


def test_every_row_has_a_mark_and_a_note() -> None:
    for command in COMMANDS.values():
        assert command.mark in {"C", "D", "I", "U"}
        assert command.note
        assert command.fetch_bytes is None or 0 < command.fetch_bytes <= 0xFFFF


def test_all_parameters_are_ten_bytes() -> None:
    made = (key_params(FIRST), token_params(ARM), page_params(0x800), address_params(0xFFFFFFFF))
    assert [len(params) for params in (NO_PARAMS, *made)] == [10] * 5


@pytest.mark.parametrize("key", [b"", bytes(3), bytes(5)])
def test_a_key_of_another_length_makes_no_request(key: bytes) -> None:
    with pytest.raises(ValueError, match="parameter"):
        encode_request(0x0A, 0, key_params(key))
