from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from minimateplus.errors import ConnectError
from minimateplus.link import Address
from sfm.access.egress import EgressPolicy, ForbiddenAddressError

NAMES = {
    "unit.example": ["10.1.2.3"],
    "both.example": ["2001:db8::5", "10.1.2.4"],
    "rebound.example": ["10.1.2.3", "169.254.169.254"],
    "metadata.example": ["169.254.169.254"],
    "outside.example": ["192.0.2.7"],
}


PORTS = {"/dev/ttyUSB0", "/dev/ttyS1"}
LINKS = {
    "/dev/serial/by-id/usb-unit": "/dev/ttyUSB0",
    "/dev/modem": "/dev/ttyUSB7",
    "/dev/ttyUSB9": "/dev/pts/4",
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


def egress(
    *entries: str,
    registered: Any = None,
    unset: bool = False,
    exists: Callable[[str], bool] = lambda path: True,
) -> tuple[EgressPolicy, Asked]:
    asked = Asked()
    known = EgressPolicy(
        None if unset else entries,
        registered,
        resolve=asked,
        ports=lambda: PORTS,
        real_path=lambda path: LINKS.get(path, path),
        exists=exists,
    )
    return known, asked


def reached(known: EgressPolicy, address: Address, *, is_local: bool = True) -> str | None:
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
        "168.63.129.16",
        "192.0.0.192",
        "169.254.42.42",
        "169.254.170.2",
        "fd00:ec2::23",
        "fd00:ec2::253",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fd00:a9fe:a9fe::1",
        "fd00:100::100:200",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::ffff:0:a83f:8110",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1::a9:fea9:fe00:0",
        "2001:db8::5efe:a9fe:a9fe",
        "2001:db8::200:5efe:169.254.169.254",
        "2001:0:a9fe:a9fe::1",
        "2001::1:5601:5601",
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
    everything, _ = egress("any", host) if ":" not in host else egress("any")
    assert reached(everything, tcp(host)) is None
    assert reached(egress(unset=True)[0], tcp(host)) is None
    assert (
        reached(egress(registered={"x": tcp(host)}, unset=True)[0], tcp("10.0.0.1")) == "10.0.0.1"
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "::1",
        "::ffff:10.1.2.3",
        "::10.1.2.3",
        "64:ff9b::a01:203",
        "64:ff9b:1::a01:203",
        "64:ff9b:1:a01:2:300::",
        "2001:db8::5",
        "fd12:3456::254",
        "168.63.129.17",
        "fd00:ec3::254",
    ],
)
def test_an_address_beside_these_is_reached(host: str) -> None:
    assert reached(egress(unset=True)[0], tcp(host)) == host


@pytest.mark.parametrize("host", ["169.254.169.254", "64:ff9b:1::a9fe:a9fe", "fd20:ce::254"])
def test_nor_is_one_of_them_reached_when_it_is_registered(host: str) -> None:
    for address in (tcp(host), serial(f"rfc2217://{f'[{host}]' if ':' in host else host}:80")):
        assert reached(egress(unset=True, registered={"x": address})[0], address) is None


@pytest.mark.parametrize("name", ["metadata.example", "rebound.example"])
def test_a_name_that_leads_there_is_not_followed(name: str) -> None:
    known, asked = egress("any")
    assert reached(known, tcp(name)) is None
    assert asked.names == [name]


def test_a_registered_name_that_leads_there_is_not_followed_either() -> None:
    known, _ = egress(unset=True, registered={"x": tcp("metadata.example")})
    assert reached(known, tcp("metadata.example"), is_local=False) is None


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to() -> None:
    known, asked = egress("any")
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
    known, _ = egress("10.1.0.0/16", "192.0.2.9:9034", "/dev/ttyUSB*")
    assert (reached(known, address) is not None) is is_reached


def test_without_a_list_who_is_here_reaches_any_and_others_what_is_registered() -> None:
    known, asked = egress(unset=True, registered={"one": tcp("unit.example", 9034)})
    assert reached(known, tcp("192.0.2.7")) == "192.0.2.7"
    assert reached(known, tcp("192.0.2.7"), is_local=False) is None
    assert reached(known, tcp("unit.example", 9034), is_local=False) == "10.1.2.3"
    assert reached(known, tcp("unit.example", 80), is_local=False) is None
    assert asked.names == ["unit.example"]


def test_an_unknown_name_is_reported_only_to_clients_that_may_reach_any_address() -> None:
    with pytest.raises(ConnectError, match="does not resolve"):
        asyncio.run(egress("any")[0].resolve(tcp("nobody.example")))
    listed, _ = egress("10.1.0.0/16")
    reported = []
    for name in ("nobody.example", "outside.example"):
        with pytest.raises(ForbiddenAddressError) as caught:
            asyncio.run(listed.resolve(tcp(name)))
        reported.append(str(caught.value).replace(name, "NAME"))
    assert reported[0] == reported[1]


@pytest.mark.parametrize(
    "port",
    [
        "/etc/passwd",
        "/dev/sda",
        "/dev/null",
        "/dev/pts/4",
        "/dev/tty",
        "/dev/ttyUSB9",
        "/dev/ttyUSB1",
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
    assert reached(egress("any")[0], serial(port)) is None


@pytest.mark.parametrize(
    ("entries", "port", "opened"),
    [
        (("any",), "/dev/ttyUSB0", "/dev/ttyUSB0"),
        (("any",), "/dev/serial/by-id/usb-unit", "/dev/ttyUSB0"),
        (("any",), "/dev/modem", None),
        (("/dev/serial/by-id/*",), "/dev/serial/by-id/usb-unit", "/dev/ttyUSB0"),
        (("/dev/ttyUSB*",), "/dev/serial/by-id/usb-unit", "/dev/ttyUSB0"),
        (("/dev/*",), "/dev/ttyUSB9", None),
        (("/dev/*",), "/dev/pts/4", None),
        (("/dev/ttyS*",), "/dev/serial/by-id/usb-unit", None),
        # Named without a pattern: the setting means that file.
        (("/dev/modem",), "/dev/modem", "/dev/ttyUSB7"),
        (("/dev/modem",), "/dev/ttyUSB7", "/dev/ttyUSB7"),
        (("/opt/vmodem",), "/opt/vmodem", "/opt/vmodem"),
    ],
    ids=str,
)
def test_a_port_is_one_that_the_system_lists_or_the_settings_name(
    entries: tuple[str, ...], port: str, opened: str | None
) -> None:
    assert reached(egress(*entries)[0], serial(port)) == opened


@pytest.mark.parametrize("port", ["/dev/ttyUSB9", "/dev/modem"])
def test_a_port_that_is_not_there_is_no_such_port_and_not_forbidden(port: str) -> None:
    known, _ = egress("any", exists=lambda path: False)
    known.check(serial(port), is_local=True)
    with pytest.raises(ConnectError, match=r"no such port\. Is the adapter plugged in\?") as caught:
        asyncio.run(known.resolve(serial(port)))
    assert caught.value.diagnosis == "no-such-port"
    assert not known.allows(serial(port), is_local=False)
    assert not known.allows(serial("/etc/absent"), is_local=True)


@pytest.mark.parametrize("asked", ["/dev/modem", "/dev/ttyUSB7"])
def test_a_registered_port_is_reached_by_each_of_its_names(asked: str) -> None:
    known, _ = egress(unset=True, registered={"mast": serial("/dev/modem")})
    assert reached(known, serial(asked), is_local=False) == "/dev/ttyUSB7"
    assert reached(known, Address("serial", asked, 9600), is_local=False) is None
    assert reached(known, serial("/dev/pts/4")) is None


def test_an_rfc2217_server_is_named_by_its_checked_address() -> None:
    known, _ = egress("any")
    assert reached(known, serial("rfc2217://both.example:2217")) == "rfc2217://10.1.2.4:2217"


def test_a_path_out_of_a_pattern_is_not_in_it() -> None:
    known, _ = egress("/dev/ttyUSB*")
    known._ports = lambda: {"/dev/ttyUSB0/../mem", "/dev/mem"}
    assert reached(known, serial("/dev/ttyUSB0/../mem")) is None


@pytest.mark.parametrize("entry", ["", "10.0.0.0/99", "a b", "http://x"])
def test_an_entry_that_names_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        egress(entry)
