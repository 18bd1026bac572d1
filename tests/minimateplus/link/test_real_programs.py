"""
The end-to-end body over programs that others wrote: the kernel's terminals, ser2net, socat.

A program that is not installed is skipped with its name; with ``TEST_REQUIRE_PEERS=1`` it is a
failure.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kit.end_to_end import build_unit, check_truth
from kit.peers import lack
from kit.ports import reserve_port

from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError, ConnectTimeoutError, ReplyTimeoutError
from minimateplus.link import Deadlines
from minimateplus.simulator import serve_tcp
from minimateplus.simulator.faulty_links import LinkFactory, StalledLink, StrayAckLink
from minimateplus.simulator.pty import serve_pty

pytestmark = pytest.mark.peer

PATIENT = Deadlines(connect_s=30, reply_s=30, operation_s=120)
OPENS_WITHIN_S = 60.0


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        lack(f"{name} is not installed (Debian: apt-get install {name})")
    return path


@asynccontextmanager
async def _running(log: Path, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program of ours alone, and end it by its own id."""
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(2):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _until(happened: Callable[[], bool], process: asyncio.subprocess.Process) -> None:
    """Return once ``happened``; fail if the program ends before, or takes too long."""
    async with asyncio.timeout(OPENS_WITHIN_S):
        while not happened():
            assert process.returncode is None, "the program ended; its log lies in tmp_path"
            await asyncio.sleep(0.01)


def _listens(port: int) -> Callable[[], bool]:
    """Whether somebody listens on ``port``, by the kernel's table: a call would begin a session."""
    listening = f"0100007F:{port:04X} 00000000:0000 0A"
    return lambda: listening in Path("/proc/net/tcp").read_text()


@asynccontextmanager
async def _ser2net(tmp_path: Path, accepter: str, device: str) -> AsyncIterator[int]:
    """Yield the loopback port on which ser2net offers ``device``."""
    program, port, log = _program("ser2net"), reserve_port(), tmp_path / "ser2net.log"
    config = tmp_path / "ser2net.yaml"
    config.write_text(
        "%YAML 1.1\n---\n"
        "connection: &unit\n"
        f"  accepter: {accepter},127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},38400n81,local\n"
    )
    command = (program, "-n", "-d", "-u", "-c", str(config), "-P", str(tmp_path / "ser2net.pid"))
    async with _running(log, *command) as process:
        await _until(_listens(port), process)
        yield port


@pytest.mark.parametrize("address", ["{}", "serial:{}", "serial:{}:38400"])
async def test_a_unit_on_a_terminal_answers_our_serial_link(address: str) -> None:
    unit = build_unit()
    async with serve_pty(unit) as served:
        await check_truth(unit, address.format(served.path), PATIENT)
        # The port is given back, and the next caller starts anew.
        await check_truth(unit, address.format(served.path), PATIENT)


async def test_a_unit_on_a_terminal_that_falls_silent_is_a_reply_timeout() -> None:
    unit = build_unit()
    wrap_link: LinkFactory = lambda inner: StalledLink(inner, 500)  # noqa: E731
    async with serve_pty(unit, wrap_link=wrap_link) as served:
        with pytest.raises(ReplyTimeoutError):
            await check_truth(unit, served.path, Deadlines(reply_s=0.1))


async def test_a_unit_behind_ser2net_answers_over_raw_tcp(tmp_path: Path) -> None:
    unit = build_unit()
    async with (
        serve_pty(unit, wrap_link=StrayAckLink) as served,
        _ser2net(tmp_path, "tcp", served.path) as port,
    ):
        await check_truth(unit, f"tcp://127.0.0.1:{port}", PATIENT)


@pytest.mark.parametrize("accepter", ["telnet", "telnet(rfc2217)"])
async def test_a_unit_behind_ser2net_answers_over_telnet(accepter: str, tmp_path: Path) -> None:
    unit = build_unit()
    # Bytes of 255 are doubled on this link, and must be in what it carries.
    assert unit._memory.stored[0].image.count(b"\xff") > 2
    async with (
        serve_pty(unit) as served,
        _ser2net(tmp_path, accepter, served.path) as port,
    ):
        await check_truth(unit, f"telnet://127.0.0.1:{port}", PATIENT)


async def test_an_rfc2217_server_without_acknowledgements_is_named_with_its_telnet_address(
    tmp_path: Path,
) -> None:
    """Of ser2net 4.3.11 on a pseudo-terminal: it answers 0B with 6B, and never with 6F."""
    async with (
        serve_pty(build_unit()) as served,
        _ser2net(tmp_path, "telnet(rfc2217)", served.path) as port,
    ):
        with pytest.raises(ConnectTimeoutError, match=rf"use telnet://127\.0\.0\.1:{port}"):
            await MiniMate.open(f"rfc2217://127.0.0.1:{port}", deadlines=Deadlines(connect_s=1))


async def test_a_unit_on_a_terminal_answers_through_socat(tmp_path: Path) -> None:
    program, port, log = _program("socat"), reserve_port(), tmp_path / "socat.log"
    unit = build_unit()
    async with serve_pty(unit) as served:
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"
        async with _running(log, program, listen, f"{served.path},raw,echo=0") as process:
            await _until(_listens(port), process)
            await check_truth(unit, f"tcp://127.0.0.1:{port}", PATIENT)


async def test_a_unit_on_tcp_answers_our_serial_link_through_a_terminal_of_socat(
    tmp_path: Path,
) -> None:
    program, log, port = _program("socat"), tmp_path / "socat.log", tmp_path / "port"
    unit = build_unit()
    async with serve_tcp(unit) as served:
        terminal = f"PTY,link={port},raw,echo=0"
        unit_end = f"TCP:127.0.0.1:{served.port}"
        async with _running(log, program, terminal, unit_end) as process:
            await _until(port.exists, process)
            await check_truth(unit, f"serial:{port}", PATIENT)


async def test_a_second_program_gets_an_error_that_the_port_is_taken() -> None:
    async with serve_pty(build_unit()) as served, MiniMate.connect(served.path) as first:
        with pytest.raises(ConnectError):
            await MiniMate.open(served.path, deadlines=PATIENT)
        assert await first.read_serial() == "SIM0001"
