"""
Which addresses the relay may connect to, so that nobody makes it a scanner of its own network.

The rule: a name is resolved once, every address that it resolves to is checked, and one of those is
connected to, so that a second answer of the name server cannot lead elsewhere. Some addresses are
never reached, whatever the settings say: link-local ones, those where clouds tell their secrets,
multicast, unspecified. An address that may not be reached is refused with one sentence, whether
something listens there or not, and whether the name exists or not.

``entries`` (``SFM_REACH``) may name: ``any``; ``registered``, the devices of ``SFM_UNITS``; a
network (``10.1.0.0/16``), an address, ``HOST`` or ``HOST:PORT``; serial ports by pattern
(``/dev/ttyUSB*``). Without entries, who sits at this machine may reach any, everybody else the
registered devices.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from minimateplus.errors import ConnectError
from minimateplus.link import Address
from minimateplus.link.address import DEFAULT_BAUD, split_host_port

__all__ = ["ForbiddenAddressError", "Reach", "is_serial_device", "resolve_host"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "100.100.100.200/32",  # Alibaba Cloud metadata
        "192.0.0.192/32",  # Oracle Cloud metadata
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS metadata
        "ff00::/8",
    )
)
"""Where no unit ever is. (RFC 1122, 3927, 4291; the clouds' own pages.)"""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_RFC2217 = re.compile(
    r"(?P<scheme>rfc2217|telnet)://(?P<host>\[[^\]]+\]|[^:/?#@]+):(?P<port>\d{1,5})/?", re.I
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)
_COM = re.compile(r"COM\d{1,3}", re.I)


class ForbiddenAddressError(Exception):
    """The relay may not connect there. Whether anything is there is not said, nor tried."""


async def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses of a host name; none where it has none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(info[4][0]) for info in found]


def is_serial_device(path: str) -> bool:
    """Whether a path is a character device, or leads to nothing (then opening it says so)."""
    return Path(path).is_char_device() or not Path(path).exists()


def is_never(address: IpAddress) -> bool:
    """
    Whether an address is one that is never reached, in whatever form it is written.

    >>> is_never(ipaddress.ip_address("::ffff:169.254.169.254"))
    True
    """
    inner: list[IpAddress] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo[1] if address.teredo else None
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        inner += [a for a in (address.ipv4_mapped, address.sixtofour, teredo, nat64) if a]
    return any(a in network for a in inner for network in NEVER if a.version == network.version)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One thing that may be reached."""

    network: Network | None = None
    host: str | None = None
    port: int | None = None
    serial: str | None = None

    @classmethod
    def read(cls, text: str) -> _Entry:
        if text.startswith("/") or _COM.fullmatch(text) or "*" in text:
            return cls(serial=text)
        try:
            return cls(network=ipaddress.ip_network(text, strict=False))
        except ValueError:
            pass
        host, port = split_host_port(text, 1)
        has_port = text.rstrip().endswith(f":{port}") and text.strip() != host
        try:
            network = ipaddress.ip_network(host)
        except ValueError:
            return cls(host=host.lower(), port=port if has_port else None)
        return cls(network=network, port=port if has_port else None)


class Reach:
    """
    What may be reached. Lives as long as the relay.

    Args:
        entries: see the module; ``None``: as the caller is.
        registered: the devices of the settings, by name.
        resolve: asks the name server.
        is_device: whether a path is a serial port.

    Raises:
        ValueError: an entry names nothing.
    """

    def __init__(
        self,
        entries: Iterable[str] | None = None,
        registered: Mapping[str, Address] | None = None,
        *,
        resolve: Resolve = resolve_host,
        is_device: Callable[[str], bool] = is_serial_device,
    ) -> None:
        words = None if entries is None else [entry.strip() for entry in entries]
        self._is_set = words is not None
        self._any = words is None or "any" in words
        self._has_registered = words is None or "registered" in words
        self._entries = [
            _Entry.read(word) for word in words or () if word not in ("any", "registered")
        ]
        self._registered = frozenset((registered or {}).values())
        self._resolve = resolve
        self._is_device = is_device

    def check(self, address: Address, *, is_local: bool) -> None:
        """
        Return if ``address`` may be asked for; names are looked up later, by ``resolve``.

        Args:
            address: of a unit.
            is_local: whether somebody at this machine asks.

        Raises:
            ForbiddenAddressError: it may not.
        """
        if address in self._registered and self._has_registered:
            return
        if not self._is_set and not is_local:
            raise _forbidden(address)
        if address.kind == "tcp":
            self._check_host(address, address.target, address.number)
        elif (served := _RFC2217.fullmatch(address.target)) is not None:
            self._check_host(address, served["host"].strip("[]"), int(served["port"]))
        elif (
            _SCHEME.match(address.target)
            or not self._is_device(address.target)
            or (not self._any and not self._names_serial(address.target))
        ):
            raise _forbidden(address)

    def allows(self, address: Address, *, is_local: bool) -> bool:
        """Whether ``check`` lets that address pass."""
        try:
            self.check(address, is_local=is_local)
        except ForbiddenAddressError:
            return False
        return True

    def has_port(self, path: str, *, is_local: bool) -> bool:
        """Whether a serial port may be asked for, at the usual speed or at a registered one."""
        known = {a.number for a in self._registered if (a.kind, a.target) == ("serial", path)}
        return any(
            self.allows(Address("serial", path, baud), is_local=is_local)
            for baud in known | {DEFAULT_BAUD}
        )

    async def resolve(self, address: Address) -> Address:
        """
        Return the address to connect to: that of a host name, checked.

        Raises:
            ForbiddenAddressError: one of the name's addresses may not be reached, or it has none
                and only some may be.
            ConnectError: the name has no address, and any may be reached.
        """
        self.check(address, is_local=True)
        served = _RFC2217.fullmatch(address.target) if address.kind == "serial" else None
        if address.kind == "tcp":
            return replace(address, target=await self._one(address, address.target, address.number))
        if served is None:
            return address
        port = int(served["port"])
        found = await self._one(address, served["host"].strip("[]"), port)
        host = f"[{found}]" if ":" in found else found
        return replace(address, target=f"{served['scheme'].lower()}://{host}:{port}")

    async def _one(self, address: Address, host: str, port: int) -> str:
        if _literal(host) is not None:
            return host
        found = await self._resolve(host, port)
        for text in found:
            ip = _literal(text)
            if ip is None or is_never(ip) or not self._may(address, host, ip, port):
                raise _forbidden(address)
        if found:
            # Modems are reached by IPv4; a name's IPv6 address may lead nowhere from here.
            return min(found, key=lambda text: ":" in text)
        if self._any or address in self._registered:
            raise ConnectError(f"{address}: the host name does not resolve; check its spelling")
        raise _forbidden(address)

    def _check_host(self, address: Address, host: str, port: int) -> None:
        ip = _literal(host)
        if ip is not None:
            if is_never(ip) or not self._may(address, host, ip, port):
                raise _forbidden(address)
        elif not self._any and not any(e.network or e.host == host.lower() for e in self._entries):
            raise _forbidden(address)

    def _may(self, address: Address, host: str, ip: IpAddress, port: int) -> bool:
        if self._any or (self._has_registered and address in self._registered):
            return True
        return any(
            (entry.port in (None, port))
            and (
                (entry.network is not None and ip in entry.network)
                or (entry.host is not None and entry.host == host.lower())
            )
            for entry in self._entries
        )

    def _names_serial(self, path: str) -> bool:
        if ".." in path.split("/"):
            return False
        patterns = (entry.serial for entry in self._entries if entry.serial is not None)
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _literal(host: str) -> IpAddress | None:
    """Return an address written in figures, in any form that the system would take for one."""
    bare = host.partition("%")[0]
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001 and 2130706433 are addresses to getaddrinfo, too.
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def _forbidden(address: Address) -> ForbiddenAddressError:
    return ForbiddenAddressError(
        f"{address}: this relay may not connect there for you; whoever runs it lists what may be "
        "reached in SFM_UNITS and SFM_REACH"
    )
