from __future__ import annotations

import asyncio
from typing import Any

import pytest

from minimateplus.errors import ConnectError
from minimateplus.link import Address
from sfm.reach import ForbiddenAddressError, Reach

NAMES = {
    "unit.example": ["10.1.2.3"],
    "both.example": ["2001:db8::5", "10.1.2.4"],
    "rebound.example": ["10.1.2.3", "169.254.169.254"],
    "metadata.example": ["169.254.169.254"],
    "outside.example": ["192.0.2.7"],
}


def tcp(host: str, port: int = 12345) -> Address:
    return Address("tcp", host, port)


def serial(port: str) -> Address:
    return Address("serial", port, 38400)


class Asked:
    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, host: str, _: int) -> list[str]:
        self.names.append(host)
        return NAMES.get(host, [])


def reach(*entries: str, registered: Any = None, unset: bool = False) -> tuple[Reach, Asked]:
    asked = Asked()
    devices = {"/dev/ttyUSB0", "/dev/ttyS1", "/dev/null"}
    known = Reach(
        None if unset else entries, registered, resolve=asked, is_device=devices.__contains__
    )
    return known, asked


def reached(known: Reach, address: Address, *, is_local: bool = True) -> str | None:
    """Return what would be connected to; ``None`` where that is forbidden."""
    try:
        known.check(address, is_local=is_local)
        return asyncio.run(known.resolve(address)).target
    except ForbiddenAddressError:
        return None


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "[fe80::1]".strip("[]"),
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
    ],
)
def test_some_addresses_are_never_reached_in_whatever_form(host: str) -> None:
    everything, _ = reach("any", host) if ":" not in host else reach("any")
    assert reached(everything, tcp(host)) is None
    assert reached(reach(unset=True)[0], tcp(host)) is None
    assert reached(reach(registered={"x": tcp(host)}, unset=True)[0], tcp("10.0.0.1")) == "10.0.0.1"


@pytest.mark.parametrize("name", ["metadata.example", "rebound.example"])
def test_a_name_that_leads_there_is_not_followed(name: str) -> None:
    known, asked = reach("any")
    assert reached(known, tcp(name)) is None
    assert asked.names == [name]


def test_a_registered_name_that_leads_there_is_not_followed_either() -> None:
    known, _ = reach(unset=True, registered={"x": tcp("metadata.example")})
    assert reached(known, tcp("metadata.example"), is_local=False) is None


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to() -> None:
    known, asked = reach("any")
    assert reached(known, tcp("unit.example")) == "10.1.2.3"
    assert reached(known, tcp("both.example")) == "10.1.2.4"
    assert asked.names == ["unit.example", "both.example"]


@pytest.mark.parametrize(
    ("address", "is_reached"),
    [
        (tcp("10.1.2.3"), True),
        (tcp("10.2.2.3"), False),
        (tcp("unit.example"), True),
        (tcp("outside.example"), False),
        (tcp("192.0.2.9", 9034), True),
        (tcp("192.0.2.9", 9035), False),
        (tcp("modem.example"), False),
        (serial("/dev/ttyUSB0"), True),
        (serial("/dev/ttyS1"), False),
        (serial("rfc2217://10.1.2.3:2217"), True),
        (serial("rfc2217://10.2.2.3:2217"), False),
        (serial("telnet://10.1.2.3:2217"), True),
        (serial("telnet://10.2.2.3:2217"), False),
    ],
    ids=str,
)
def test_what_is_listed_is_reached_and_nothing_else(address: Address, is_reached: bool) -> None:
    known, _ = reach("10.1.0.0/16", "192.0.2.9:9034", "/dev/ttyUSB*")
    assert (reached(known, address) is not None) is is_reached


def test_without_a_list_who_is_here_reaches_any_and_others_what_is_registered() -> None:
    known, asked = reach(unset=True, registered={"one": tcp("unit.example", 9034)})
    assert reached(known, tcp("192.0.2.7")) == "192.0.2.7"
    assert reached(known, tcp("192.0.2.7"), is_local=False) is None
    assert reached(known, tcp("unit.example", 9034), is_local=False) == "10.1.2.3"
    assert reached(known, tcp("unit.example", 80), is_local=False) is None
    assert asked.names == ["unit.example"]


def test_a_name_that_does_not_exist_is_told_only_to_who_may_reach_any() -> None:
    with pytest.raises(ConnectError, match="does not resolve"):
        asyncio.run(reach("any")[0].resolve(tcp("nobody.example")))
    listed, _ = reach("10.1.0.0/16")
    told = []
    for name in ("nobody.example", "outside.example"):
        with pytest.raises(ForbiddenAddressError) as caught:
            asyncio.run(listed.resolve(tcp(name)))
        told.append(str(caught.value).replace(name, "NAME"))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "port",
    [
        "/etc/passwd",
        "/dev/sda",
        "../dev/ttyUSB0",
        "socket://10.1.2.3:80",
        "spy:///dev/ttyUSB0",
        "rfc2217://10.1.2.3:2217?logging=debug",
        "rfc2217://user@10.1.2.3:2217",
        "rfc2217://169.254.169.254:80",
        "telnet://169.254.169.254:80",
        "http://10.1.2.3",
    ],
)
def test_what_is_no_serial_port_is_not_opened(port: str) -> None:
    assert reached(reach("any")[0], serial(port)) is None


def test_an_rfc2217_server_is_named_by_its_checked_address() -> None:
    known, _ = reach("any")
    assert reached(known, serial("rfc2217://both.example:2217")) == "rfc2217://10.1.2.4:2217"


def test_a_path_out_of_a_pattern_is_not_in_it() -> None:
    known, _ = reach("/dev/ttyUSB*")
    known._is_device = lambda _: True
    assert reached(known, serial("/dev/ttyUSB0/../mem")) is None


@pytest.mark.parametrize("entry", ["", "10.0.0.0/99", "a b", "http://x"])
def test_an_entry_that_names_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        reach(entry)
