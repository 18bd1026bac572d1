from __future__ import annotations

import asyncio
import os
import re
import socket
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from typing import Any

import pytest
import serialx
from kit import virtual_time
from kit.end_to_end import build_unit, check_truth

from minimateplus.client import MiniMate
from minimateplus.errors import (
    CaptureError,
    ConnectError,
    ConnectTimeoutError,
    LinkClosedError,
    ReplyTimeoutError,
)
from minimateplus.link import Address, Deadlines, Link, open_link, parse_address
from minimateplus.link import tcp as tcp_module
from minimateplus.link.address import split_host_port
from minimateplus.link.in_process import memory_pair
from minimateplus.link.ports import SerialPort, list_ports
from minimateplus.link.stream import StreamLink
from minimateplus.simulator import ServedTcp, connect_memory, serve_tcp
from minimateplus.simulator.faulty_links import FaultyLink
from minimateplus.simulator.pty import PtyLink

TINY = Deadlines(connect_s=2.0, reply_s=0.05, operation_s=2.0)


# --- serial ports ---------------------------------------------------------------------------------


def test_serial_ports_are_listed_by_system_name_and_adapter_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def info(name: str, device: str | None = None, **more: Any) -> serialx.SerialPortInfo:
        unknown: dict[str, Any] = dict.fromkeys(f.name for f in fields(serialx.SerialPortInfo))
        return serialx.SerialPortInfo(
            **{**unknown, "device": device or name, "resolved_device": name, **more}
        )

    found = [
        info("/dev/ttyUSB1", "/dev/serial/by-id/usb-FTDI-if00", product="FT232R"),
        info("/dev/ttyACM0", product="Modem", interface_description="Line 1"),
        info("/dev/ttyS0"),
    ]
    monkeypatch.setattr("serialx.list_serial_ports", lambda: found)
    assert list_ports() == [
        SerialPort("/dev/ttyACM0", "Line 1"),
        SerialPort("/dev/ttyS0", None),
        SerialPort("/dev/ttyUSB1", "FT232R"),
    ]


def test_the_serial_ports_of_this_machine_can_be_listed() -> None:
    assert all(one.port.startswith("/dev/") for one in list_ports())


# --- addresses ------------------------------------------------------------------------------------

ADDRESSES = [
    ("tcp://10.0.0.5", "tcp", "10.0.0.5", 12345),
    ("tcp://10.0.0.5:9034", "tcp", "10.0.0.5", 9034),
    ("tcp:10.0.0.5:9034", "tcp", "10.0.0.5", 9034),
    ("TCP://Modem.Example:1", "tcp", "Modem.Example", 1),
    (" tcp://modem:65535\n", "tcp", "modem", 65535),
    ("tcp://[fe80::1]:9034", "tcp", "fe80::1", 9034),
    ("tcp://[::1]", "tcp", "::1", 12345),
    ("tcp://::1", "tcp", "::1", 12345),
    ("tcp://2001:db8::5", "tcp", "2001:db8::5", 12345),
    ("tcp://[fe80::1%eth0]:9034", "tcp", "fe80::1%eth0", 9034),
    ("/dev/ttyUSB0", "serial", "/dev/ttyUSB0", 38400),
    ("serial:/dev/ttyUSB0", "serial", "/dev/ttyUSB0", 38400),
    ("serial:/dev/ttyUSB0:9600", "serial", "/dev/ttyUSB0", 9600),
    ("serial:///dev/ttyUSB0:9600", "serial", "/dev/ttyUSB0", 9600),
    ("COM3", "serial", "COM3", 38400),
    ("com12", "serial", "com12", 38400),
    ("serial:COM3:19200", "serial", "COM3", 19200),
    (
        "serial:/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
        "serial",
        "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
        38400,
    ),
    ("rfc2217://server:4000", "serial", "rfc2217://server:4000", 38400),
    ("telnet://server:4000", "serial", "telnet://server:4000", 38400),
    ("serial:rfc2217://server:4000", "serial", "rfc2217://server:4000", 38400),
    ("serial:rfc2217://server:4000:9600", "serial", "rfc2217://server:4000", 9600),
    ("serial:rfc2217://[::1]:4000", "serial", "rfc2217://[::1]:4000", 38400),
    ("replay:/tmp/a b.jsonl", "replay", "/tmp/a b.jsonl", 0),
    ("replay:C:\\captures\\one.jsonl", "replay", "C:\\captures\\one.jsonl", 0),
]


@pytest.mark.parametrize(("text", "kind", "target", "number"), ADDRESSES)
def test_an_address_is_read_as_people_write_it_and_its_text_is_read_back(
    text: str, kind: str, target: str, number: int
) -> None:
    address = parse_address(text)
    assert address == Address(kind, target, number)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "10.0.0.5",
        "modem:12345",
        "tcp:",
        "tcp://",
        "tcp://:12345",
        "tcp://a b",
        "tcp://modem:",
        "tcp://modem:port",
        "tcp://modem:0",
        "tcp://modem:65536",
        "tcp://modem:-1",
        "tcp://modem:12345/",
        "tcp://[::1",
        "tcp://[modem]:5",
        "tcp://[::1]:99999",
        "tcp://:::::",
        "tcp://1:2:3",
        "tcp://modem:²",
        "serial:",
        "serial://",
        "serial:COM3:0",
        "serial:/dev/ttyUSB0:0",
        "replay:",
        "rfc2217://",
        "/dev/",
        "COM",
        "http://10.0.0.5",
        "socket://10.0.0.5:1",
        "ftp://x",
    ],
)
def test_what_names_no_unit_is_refused_and_opens_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|TCP port is|baud rate"):
        parse_address(text)
    with pytest.raises(ConnectError):
        virtual_time.run(open_link(text))


def test_a_message_for_an_unreadable_address_lists_what_could_be_read() -> None:
    with pytest.raises(ValueError, match=r"tcp://HOST:PORT.*serial:.*COM3.*rfc2217.*replay:FILE"):
        parse_address("modem")


def test_host_and_port_have_a_default_port() -> None:
    assert split_host_port("relay", 8000) == ("relay", 8000)
    assert split_host_port("[::1]:1", 8000) == ("::1", 1)


# --- deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["connect_s", "reply_s", "operation_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_finite_time_above_nothing(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Deadlines(**{name: value})


def test_nothing_waits_for_ever_by_default() -> None:
    assert (Deadlines().connect_s, Deadlines().reply_s, Deadlines().operation_s) == (10, 10, 900)


# --- TCP ------------------------------------------------------------------------------------------


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[str, asyncio.Queue[StreamLink]]]:
    """Yield an address, and a queue of the far ends of those who call it."""
    callers: asyncio.Queue[StreamLink] = asyncio.Queue()
    kept = []

    def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept.append(StreamLink("far end", reader, writer))
        callers.put_nowait(kept[-1])

    server = await asyncio.start_server(called, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", callers
    finally:
        server.close()
        for link in kept:
            await link.close()
        await server.wait_closed()


async def _hear_the_end(link: Link) -> None:
    """Read on until the far end hangs up."""
    with suppress(LinkClosedError):
        while await link.receive():
            pass


async def _until_called(served: ServedTcp, callers: int) -> None:
    """Let the loop turn until the port has taken so many calls, and no turn longer."""
    while len(served._links) < callers:  # noqa: ASYNC110  # the very turn matters
        await asyncio.sleep(0)


async def test_a_unit_on_a_tcp_port_returns_the_recorded_values() -> None:
    unit = build_unit()
    async with serve_tcp(unit) as served:
        await check_truth(unit, served.url)
        await check_truth(unit, served.url)
        assert (served.callers, served.refused) == (2, 0)


async def test_an_open_socket_is_set_to_notice_a_far_end_that_vanished() -> None:
    async with _listening() as (address, _):
        link = await open_link(address)
        assert isinstance(link, StreamLink)
        sock = link._writer.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        idle, every, probes = (
            sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        )
        assert idle + every * probes <= 30
        await link.close()


async def test_a_far_end_that_stalls_is_a_reply_timeout_and_the_socket_is_closed() -> None:
    async with _listening() as (address, callers):
        with pytest.raises(ReplyTimeoutError):
            await MiniMate.open(address, deadlines=TINY)
        far = await callers.get()
        assert (await far.receive()).startswith(b"\x41\x02")
        await _hear_the_end(far)


async def test_a_far_end_that_reads_nothing_cannot_hold_up_a_close() -> None:
    async with _listening() as (address, _):
        link = await open_link(address)
        # More than both sockets' buffers take: the rest can never be sent.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await link.send(bytes(32 << 20))
        started_s = asyncio.get_running_loop().time()
        await link.close()
        assert asyncio.get_running_loop().time() - started_s < 5


async def test_closing_twice_is_closing_once_and_a_closed_link_says_so() -> None:
    async with _listening() as (address, _):
        link = await open_link(address)
        await link.close()
        await link.close()
        with pytest.raises(LinkClosedError):
            await link.send(b"x")
        with pytest.raises(LinkClosedError):
            await link.receive()


async def test_a_close_that_was_cancelled_still_closes_and_may_be_repeated() -> None:
    async with _listening() as (address, callers):
        link = await open_link(address)
        far = await callers.get()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await link.send(bytes(32 << 20))
        task = asyncio.create_task(link.close())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await link.close()
        await _hear_the_end(far)


async def test_a_far_end_that_hangs_up_is_a_closed_link() -> None:
    async with _listening() as (address, callers):
        link = await open_link(address)
        far = await callers.get()
        await far.send(b"last words")
        await far.close()
        assert await link.receive() == b"last words"
        with pytest.raises(LinkClosedError, match=r"tcp://127\.0\.0\.1:\d+"):
            await link.receive()
        await link.close()


async def test_a_socket_that_cannot_be_set_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(tcp_module, "notice_half_open", fail)
    async with _listening() as (address, callers):
        with pytest.raises(ConnectError, match="Invalid argument"):
            await open_link(address)
        far = await callers.get()
        with pytest.raises(LinkClosedError):
            await far.receive()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
async def test_a_host_name_that_does_not_resolve_is_reported(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    if host.endswith(".invalid"):
        # No test asks a name server.
        monkeypatch.setattr(asyncio, "open_connection", unresolved)
    with pytest.raises(ConnectError, match="does not resolve"):
        await open_link(f"tcp://{host}")


async def test_a_second_caller_is_hung_up_on_while_the_first_holds_the_unit() -> None:
    unit = build_unit()
    async with serve_tcp(unit) as served:
        async with MiniMate.connect(served.url) as first:
            with pytest.raises(LinkClosedError):
                await MiniMate.open(served.url)
            assert await first.read_serial() == unit.serial
        assert served.refused == 1
        await check_truth(unit, served.url)


async def test_a_served_port_closes_its_callers_also_those_that_wait() -> None:
    served = await serve_tcp(build_unit())
    first = await MiniMate.open(served.url)
    waiting = await open_link(served.url)
    await waiting.send(b"?")
    await _until_called(served, 2)
    also_waiting = await open_link(served.url)
    await _until_called(served, 3)
    await served.close()
    await served.close()
    for link in (waiting, also_waiting):
        with pytest.raises(LinkClosedError):
            await link.receive()
        await link.close()
    with pytest.raises(LinkClosedError):
        await first.read_serial()
    await first.close()
    with pytest.raises(ConnectError):
        await open_link(served.url)


async def test_a_caller_whose_session_never_began_is_disconnected() -> None:
    async with _listening() as (address, _), serve_tcp(build_unit()) as served:
        host, port = split_host_port(address.removeprefix("tcp://"))
        reader, writer = await asyncio.open_connection(host, port)
        # As asyncio calls it; no turn of the loop lies between this and the close.
        served._called(reader, writer)
        await served.close()
        assert writer.is_closing()


async def test_giving_up_a_connection_leaves_no_socket_behind() -> None:
    async with _listening() as (address, _):
        for turns in range(8):
            task = asyncio.create_task(MiniMate.open(address))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


# --- serial ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/dev/no-such-port", r"no such port\. Is the adapter plugged in\?"),
        ("serial:/dev/null:38400", "is no serial port"),
        ("COM300", r"no such port\. Is the adapter plugged in\?"),
    ],
)
async def test_a_serial_port_that_is_none_is_a_connect_error(address: str, message: str) -> None:
    with pytest.raises(ConnectError, match=message):
        await open_link(address)


async def test_an_rfc2217_server_that_says_nothing_is_a_connect_timeout() -> None:
    async with _listening() as (address, _):
        with pytest.raises(ConnectTimeoutError, match=r"within 0\.05 s"):
            await open_link(address.replace("tcp", "rfc2217"), Deadlines(connect_s=0.05))


class Rfc2217Link(FaultyLink):
    """As much of an RFC 2217 server as a client needs: agrees to all, and carries the bytes."""

    _TOKEN = re.compile(
        rb"\xff(?P<verb>[\xfb-\xfe])(?P<option>.)"
        rb"|\xff\xfa\x2c(?P<command>.)(?P<value>(?:[^\xff]|\xff\xff)*)\xff\xf0"
        rb"|(?P<data>(?:[^\xff]|\xff\xff)+)",
        re.DOTALL,
    )

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self._held = b""
        self._agreed: set[bytes] = set()

    async def send(self, data: bytes) -> None:
        await super().send(data.replace(b"\xff", b"\xff\xff"))

    async def receive(self) -> bytes:
        while True:
            self._held += await super().receive()
            data = b""
            while match := self._TOKEN.match(self._held):
                self._held = self._held[match.end() :]
                data += (match["data"] or b"").replace(b"\xff\xff", b"\xff")
                await self._answer(match)
            if data:
                return data

    async def _answer(self, match: re.Match[bytes]) -> None:
        if match["command"]:
            acknowledged = bytes((match["command"][0] + 100,))
            await super().send(b"\xff\xfa\x2c" + acknowledged + match["value"] + b"\xff\xf0")
        elif match["verb"] in (b"\xfb", b"\xfd") and match[0] not in self._agreed:
            self._agreed.add(match[0])
            agreed = b"\xfd" if match["verb"] == b"\xfb" else b"\xfb"
            await super().send(b"\xff" + agreed + match["option"])


async def test_an_rfc2217_address_carries_every_byte() -> None:
    unit = build_unit()
    # Bytes of 255 are doubled on this link, and must be in what it carries.
    assert unit._memory.stored[0].image.count(b"\xff") > 2
    async with serve_tcp(unit, wrap_link=Rfc2217Link) as served:
        await check_truth(unit, served.url.replace("tcp", "rfc2217"))


def test_a_missing_capture_is_a_capture_error() -> None:
    with pytest.raises(CaptureError):
        virtual_time.run(open_link("replay:/no/such/file"))


# --- cancelling -----------------------------------------------------------------------------------


async def _loses_nothing(ours: Link, theirs: Link) -> None:
    """Cancel a receive at every turn around a chunk's arrival; every byte must come out."""
    got = b""
    for turns in range(12):
        task = asyncio.create_task(ours.receive())
        for turn in range(turns):
            if turn == turns // 2:
                await theirs.send(bytes((turns,)))
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            got += await task
    async with asyncio.timeout(1):
        while len(got) < 11:
            got += await ours.receive()
    assert got == bytes(range(1, 12))


def test_a_cancelled_receive_from_memory_loses_no_byte() -> None:
    virtual_time.run(_loses_nothing(*memory_pair()))


async def test_a_cancelled_receive_from_a_socket_loses_no_byte() -> None:
    async with _listening() as (address, callers):
        ours = await open_link(address)
        await _loses_nothing(ours, await callers.get())
        await ours.close()


async def test_a_cancelled_receive_from_a_pty_loses_no_byte() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    for descriptor in (master, slave):
        os.set_blocking(descriptor, False)
    try:
        await _loses_nothing(PtyLink(master, "unit"), PtyLink(slave, "host"))
    finally:
        os.close(slave)
        os.close(master)


# --- memory ---------------------------------------------------------------------------------------


@virtual_time.in_virtual_time
async def test_both_ends_of_a_pair_hear_each_other_and_the_end() -> None:
    one, other = memory_pair("a link")
    assert one.name == other.name == "a link"
    await one.send(b"there")
    await one.send(b"")
    await one.send(b"again")
    await one.close()
    await one.close()
    assert [await other.receive(), await other.receive()] == [b"there", b"again"]
    for _ in range(2):
        with pytest.raises(LinkClosedError):
            await other.receive()
    with pytest.raises(LinkClosedError):
        await other.send(b"x")
    await other.close()
    with pytest.raises(LinkClosedError):
        await one.send(b"x")
    with pytest.raises(LinkClosedError):
        await one.receive()


@pytest.mark.parametrize("is_nearer", [True, False])
@virtual_time.in_virtual_time
async def test_a_receive_under_way_ends_with_the_close_of_either_end(is_nearer: bool) -> None:
    one, other = memory_pair()
    task = asyncio.create_task(one.receive())
    await asyncio.sleep(1)
    await (one if is_nearer else other).close()
    with pytest.raises(LinkClosedError):
        await task


async def test_every_link_is_a_link() -> None:
    async with _listening() as (address, _), connect_memory(build_unit()) as link:
        stream = await open_link(address)
        assert isinstance(stream, Link)
        assert isinstance(link, Link)
        await stream.close()
