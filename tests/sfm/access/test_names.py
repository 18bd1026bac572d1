"""How units are named, and every spelling of an address."""

from __future__ import annotations

import pytest

from minimateplus.link import Address
from sfm.access.names import check_name, check_serial, folded, parse_unit

MODEM = Address("tcp", "10.0.0.5", 12345)
USB = Address("serial", "/dev/ttyUSB0", 38400)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("10.0.0.5", MODEM),
        ("10.0.0.5:12345", MODEM),
        ("tcp://10.0.0.5", MODEM),
        ("TCP://10.0.0.5:12345", MODEM),
        ("tcp:10.0.0.5:12345", MODEM),
        (" 10.0.0.5 ", MODEM),
        ("modem.example", Address("tcp", "modem.example", 12345)),
        ("modem:9000", Address("tcp", "modem", 9000)),
        ("fe80::1", Address("tcp", "fe80::1", 12345)),
        ("[fe80::1]:9", Address("tcp", "fe80::1", 9)),
        ("/dev/ttyUSB0", USB),
        ("serial:/dev/ttyUSB0", USB),
        ("serial:/dev/ttyUSB0:9600", Address("serial", "/dev/ttyUSB0", 9600)),
        ("COM3", Address("serial", "COM3", 38400)),
        ("rfc2217://10.0.0.5:2217", Address("serial", "rfc2217://10.0.0.5:2217", 38400)),
        ("North face", "North face"),
        ("Hwy 6: bridge 2.5", "Hwy 6: bridge 2.5"),
        ("north", "north"),
        ("BE12345", "BE12345"),
        ("be12345", "be12345"),
    ],
)
def test_every_spelling_is_read_as_what_it_is(text: str, unit: Address | str) -> None:
    assert parse_unit(text) == unit


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "tcp://",
        "tcp://10.0.0.5:0",
        "tcp:10.0.0.5:99999",
        "/etc/passwd",
        "a:b:c",
        "north:99999",
        "serial:/dev/ttyUSB0:0",
        "[::1",
    ],
)
def test_what_begins_as_an_address_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_unit(text)


@pytest.mark.parametrize(
    "name",
    [
        "North face",
        "N",
        "x" * 64,
        "Süd × 岩",
        "Hwy 6: bridge",
        "bridge #2",
        "St. Mary",
        "N12",
        "localhost",
    ],
)
def test_a_name_is_one_to_64_printable_characters(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        " a",
        "a ",
        "a\nb",
        "a\0",
        "BE12345",
        "sim0001",
        "10.0.0.5",
        "tcp://a",
        "COM3",
        "/dev/ttyUSB0",
        "north:9000",
        "modem.example",
        "::1",
        "a/b",
        "*",
        "12",
        "unit:BE1",
        "route:tcp",
        "serial:x",
    ],
)
def test_a_name_that_reads_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        check_name(name)


def test_names_are_compared_without_regard_to_case() -> None:
    assert folded("STRASSE") == folded("Straße")
    assert folded("\u00c9cole") == folded("e\u0301COLE")
    assert folded("north") != folded("nort")


@pytest.mark.parametrize("serial", ["", "x" * 17, "BE 1", "BE\n1", "*", "BÉ1", "a/b", ".", ".."])
def test_what_no_unit_reports_is_no_serial_number(serial: str) -> None:
    with pytest.raises(ValueError, match="serial number"):
        check_serial(serial)
    assert check_serial("BE12345") == "BE12345"
