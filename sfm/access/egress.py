"""
Which addresses the relay may connect to, so that it cannot be used to scan its own network.

The rule: a name is resolved once, every address that it resolves to is checked, and one of those is
connected to, so that a second answer of the name server cannot lead elsewhere. Some addresses are
never reached, whatever the settings allow: link-local ones, those where clouds answer with their
secrets, multicast, unspecified; also inside an IPv6 address that carries an IPv4 one. An address
that may not be reached is refused with one sentence, whether something listens there or not, and
whether the name exists or not.

A serial port is opened only if the system lists it as one or the settings name it: any other file
of the machine, a terminal included, would be put into raw mode and written to. Symbolic links are
resolved before a port is compared, and what is opened is the resolved path.

``entries`` (``SFM_EGRESS``) may name: ``any``; ``registered``, the units of ``SFM_UNITS`` and the
routes of the roster; a
network (``10.1.0.0/16``), an address, ``HOST`` or ``HOST:PORT``; serial ports by pattern
(``/dev/ttyUSB*``). Without entries, who sits at this machine may reach any, everybody else the
registered devices.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from minimateplus.errors import ConnectError
from minimateplus.link import Address
from minimateplus.link.address import DEFAULT_BAUD, split_host_port
from minimateplus.link.diagnosis import SIGNATURES
from minimateplus.link.ports import list_ports
from sfm.errors import SfmError

__all__ = ["EgressPolicy", "ForbiddenAddressError", "endpoint_of", "resolve_host"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # Alibaba Cloud metadata
        "168.63.129.16/32",  # Azure WireServer
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "192.0.0.192/32",  # Oracle Cloud Classic metadata
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fd00:42::42/128",  # Scaleway metadata
        "fd00:100::100:200/128",  # Alibaba Cloud metadata
        "fd00:a9fe:a9fe::1/128",  # Akamai (Linode) metadata
        "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud metadata
        "fd00:ec2::/32",  # AWS: metadata, credentials of pods, DNS, time
        "fd20:ce::254/128",  # Google Cloud metadata
        "fe80::/10",
        "ff00::/8",
    )
)
"""
Where no unit ever is (RFC 1122, 3927, 4291; docs/explanation/security.md names the clouds' pages).
"""

_WITH_IPV4_LAST: tuple[ipaddress.IPv6Network, ...] = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, 2.5.5.2)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/96",  # NAT64 of a site (RFC 8215)
    )
)
"""Prefixes behind which the last 32 bits are an IPv4 address."""
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset((0x00005EFE, 0x02005EFE))
_RFC2217 = re.compile(
    r"(?P<scheme>rfc2217|telnet)://(?P<host>\[[^\]]+\]|[^:/?#@]+):(?P<port>\d{1,5})/?", re.I
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)
_COM = re.compile(r"COM\d{1,3}", re.I)


class ForbiddenAddressError(SfmError):
    """Connecting to this address is not permitted; the relay did not try it."""


async def resolve_host(host: str, port: int) -> list[str]:
    """Return the addresses of a host name; none where it has none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(info[4][0]) for info in found]


def listed_ports() -> set[str]:
    """Return the serial ports that the system lists, by their resolved names."""
    return {one.port for one in list_ports()}


def resolved_path(port: str) -> str:
    """
    Return the file that a port's name leads to, through every symbolic link.

    Nothing outside ``/dev`` is looked at: a foreign name may lead to a network drive that hangs.
    """
    return os.path.realpath(port) if port.startswith("/dev/") else port


def endpoint_of(resolved: Address) -> str:
    """
    Return what a resolved address leads to, in one spelling.

    >>> endpoint_of(Address("tcp", "::ffff:10.0.0.5", 9000))
    '10.0.0.5:9000'
    >>> endpoint_of(Address("serial", "rfc2217://10.0.0.5:9000", 38400))
    '10.0.0.5:9000'
    >>> endpoint_of(Address("serial", "/dev/ttyUSB0", 9600))
    '/dev/ttyUSB0'
    """
    host, port = _host_of(resolved)
    if host is None:
        return resolved.target
    ip = _literal(host)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return f"{mapped or ip or host.lower()}:{port}"


def embedded_ipv4(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """
    Return every IPv4 address that something on the way may take out of an IPv6 one.

    >>> embedded_ipv4(ipaddress.IPv6Address("64:ff9b::a9fe:a9fe"))
    [IPv4Address('169.254.169.254')]
    """
    bits = int(address)
    last = ipaddress.IPv4Address(bits & 0xFFFFFFFF)
    found = [last] if any(address in network for network in _WITH_IPV4_LAST) else []
    if address in _LOCAL_NAT64:
        # Its prefix may be shorter, too: then the address is around the octet 8 (RFC 6052, 2.2).
        for length in (48, 56, 64):
            high = (bits >> 64) & ((1 << (64 - length)) - 1)
            rest = (bits >> (56 - (length - 32))) & ((1 << (length - 32)) - 1)
            inner = ipaddress.IPv4Address((high << (length - 32)) | rest)
            if int(inner) >> 24:  # else this is another length's prefix, not an address
                found.append(inner)
    if (bits >> 32) & 0xFFFFFFFF in _ISATAP:  # RFC 5214, 6.1
        found.append(last)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    return [*found, *(address.teredo or ())]


def is_never(address: IpAddress) -> bool:
    """
    Whether an address is one that is never reached, in whatever form it is written.

    >>> is_never(ipaddress.ip_address("::ffff:169.254.169.254"))
    True
    """
    inner: list[IpAddress] = [address]
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        inner += embedded_ipv4(address)
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


class EgressPolicy:
    """
    What may be reached. Lives as long as the relay.

    Args:
        entries: see the module; ``None``: as the caller is.
        registered: the devices of the settings, by name.
        resolve: asks the name server.
        ports: lists the serial ports of the system, by resolved path.
        real_path: resolves the symbolic links of a port's name.
        exists: whether there is a file of that name.

    Raises:
        ValueError: an entry names nothing.
    """

    def __init__(
        self,
        entries: Iterable[str] | None = None,
        registered: Mapping[str, Address] | None = None,
        *,
        resolve: Resolve = resolve_host,
        ports: Callable[[], Collection[str]] = listed_ports,
        real_path: Callable[[str], str] = resolved_path,
        exists: Callable[[str], bool] = os.path.exists,
    ) -> None:
        words = None if entries is None else [entry.strip() for entry in entries]
        self._is_set = words is not None
        self._any = words is None or "any" in words
        self._has_registered = words is None or "registered" in words
        self._entries = [
            _Entry.read(word) for word in words or () if word not in ("any", "registered")
        ]
        self._registered = frozenset((registered or {}).values())
        self._routes: frozenset[Address] = frozenset()
        self._resolve = resolve
        self._ports = ports
        self._real_path = real_path
        self._exists = exists

    def set_routes(self, addresses: Iterable[Address]) -> None:
        """
        Register the roster's enabled routes, in the place of those registered so before.

        Unlike the devices of the settings, a serial port among them is opened only if the system
        lists it: an administrator of the relay need not be one of its machine.
        """
        self._routes = frozenset(addresses)

    def check_route(self, address: Address) -> None:
        """
        Return if an address may become a route.

        Raises:
            ForbiddenAddressError: it is never reached, or no serial port of this system, or the
                settings admit certain addresses and not this one.
        """
        host, _ = _host_of(address)
        ip = None if host is None else _literal(host)
        if ip is not None and is_never(ip):
            raise _forbidden(address)
        if host is None and address not in self._registered:
            self._check_is_port(address, None)
        if not self._has_registered:
            self.check(address, is_local=True)

    def check(
        self, address: Address, *, is_local: bool, listed: Collection[str] | None = None
    ) -> None:
        """
        Return if ``address`` may be asked for; names are looked up later, by ``resolve``.

        Args:
            address: of a unit.
            is_local: whether somebody at this machine asks.
            listed: the serial ports of the system, where the caller knows them.

        Raises:
            ForbiddenAddressError: it may not.
        """
        host, port = _host_of(address)
        ip = None if host is None else _literal(host)
        if ip is not None and is_never(ip):
            raise _forbidden(address)
        if self._has_registered and self.is_registered(address):
            if host is None and not self._is_in_settings(address):
                self._check_is_port(address, listed)
            return
        if not self._is_set and not is_local:
            raise _forbidden(address)
        if host is None:
            self._check_port(address, listed, is_local=is_local)
        elif ip is not None:
            if not self._may(address, host, ip, port):
                raise _forbidden(address)
        elif not self._any and not any(e.network or e.host == host.lower() for e in self._entries):
            raise _forbidden(address)

    def is_registered(self, address: Address) -> bool:
        """Whether it is a unit's registered address; a serial port by any of its names."""
        return address in self._routes or self._is_in_settings(address)

    def _is_in_settings(self, address: Address) -> bool:
        if address in self._registered:
            return True
        if address.kind != "serial" or _SCHEME.match(address.target):
            return False
        asked = (self._real_path(address.target), address.number)
        return any((port, one.number) == asked for one, port in self._registered_ports())

    def allows(
        self, address: Address, *, is_local: bool, listed: Collection[str] | None = None
    ) -> bool:
        """Whether ``check`` lets that address pass."""
        try:
            self.check(address, is_local=is_local, listed=listed)
        except ForbiddenAddressError:
            return False
        return True

    def has_port(self, path: str, *, is_local: bool) -> bool:
        """Whether a listed port may be asked for, at the usual speed or at a registered one."""
        registered = self._registered | self._routes
        known = {a.number for a in registered if (a.kind, a.target) == ("serial", path)}
        return any(
            self.allows(Address("serial", path, baud), is_local=is_local, listed={path})
            for baud in known | {DEFAULT_BAUD}
        )

    async def resolve(self, address: Address) -> Address:
        """
        Return the address to connect to: that of a host name, checked; a port's resolved path.

        Raises:
            ForbiddenAddressError: one of the name's addresses may not be reached, or it has none
                and only some may be.
            ConnectError: the name has no address, and any may be reached; or there is no such port.
        """
        self.check(address, is_local=True)
        served = _RFC2217.fullmatch(address.target) if address.kind == "serial" else None
        if address.kind == "tcp":
            return replace(address, target=await self._one(address, address.target, address.number))
        if served is None:
            is_path = _SCHEME.match(address.target) is None
            target = self._real_path(address.target) if is_path else address.target
            if is_path and self._is_missing(target):
                missing = SIGNATURES["no-such-port"]
                error = ConnectError(f"{address}: {missing}")
                error.diagnosis = missing.name
                raise error
            return replace(address, target=target)
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
        if self._any or self.is_registered(address):
            unknown = SIGNATURES["unknown-host"]
            error = ConnectError(f"{address}: {unknown.sentence}")
            error.diagnosis = unknown.name
            raise error
        raise _forbidden(address)

    def _check_port(
        self, address: Address, listed: Collection[str] | None, *, is_local: bool
    ) -> None:
        """Refuse a file that is no serial port of the system, or is not named."""
        named = address.target
        if _SCHEME.match(named) or ".." in named.split("/"):
            raise _forbidden(address)
        port = self._real_path(named)
        for entry in self._entries:
            # Named without a pattern, it need not be listed: the setting means that file.
            if entry.serial is not None and port == self._real_path(entry.serial):
                return
        is_known = port in (self._ports() if listed is None else listed) or any(
            port == known for _, known in self._registered_ports()
        )
        is_named = self._any or self._names_serial(named, port)
        if is_named and is_local and self._is_missing(port):
            return  # an adapter was unplugged: ``resolve`` reports that, and opens nothing
        if not is_known or not is_named:
            raise _forbidden(address)

    def _check_is_port(self, address: Address, listed: Collection[str] | None) -> None:
        """Refuse a file that is there and that the system does not list as a serial port."""
        named = address.target
        port = self._real_path(named)
        if _SCHEME.match(named) or ".." in named.split("/"):
            raise _forbidden(address)
        if not self._is_missing(port) and port not in (self._ports() if listed is None else listed):
            raise _forbidden(address)

    def _is_missing(self, path: str) -> bool:
        """Return whether a path names a device file that is not there."""
        return path.startswith("/dev/") and not self._exists(path)

    def _registered_ports(self) -> Iterator[tuple[Address, str]]:
        """Yield each registered serial port and the path that it leads to."""
        for one in self._registered:
            if one.kind == "serial" and not _SCHEME.match(one.target):
                yield one, self._real_path(one.target)

    def _may(self, address: Address, host: str, ip: IpAddress, port: int) -> bool:
        if self._any or (self._has_registered and self.is_registered(address)):
            return True
        return any(
            (entry.port in (None, port))
            and (
                (entry.network is not None and ip in entry.network)
                or (entry.host is not None and entry.host == host.lower())
            )
            for entry in self._entries
        )

    def _names_serial(self, *names: str) -> bool:
        patterns = [entry.serial for entry in self._entries if entry.serial is not None]
        return any(fnmatch.fnmatchcase(name, one) for name in names for one in patterns)


def _host_of(address: Address) -> tuple[str | None, int]:
    """Return host and TCP port that an address leads to; ``None`` for a port of this machine."""
    if address.kind == "tcp":
        return address.target, address.number
    served = _RFC2217.fullmatch(address.target)
    return (None, 0) if served is None else (served["host"].strip("[]"), int(served["port"]))


@lru_cache(maxsize=256)
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
    if address.kind == "serial" and _host_of(address)[0] is None:
        return ForbiddenAddressError(
            f"{address}: this relay may not connect there for you; it opens serial ports that its "
            "system lists (GET /ports), or that SFM_UNITS or SFM_EGRESS names; is it plugged in?"
        )
    return ForbiddenAddressError(
        f"{address}: this relay may not connect there for you; its administrator lists what may be "
        "reached in SFM_UNITS and SFM_EGRESS"
    )
