"""Programs that others wrote between the relay and a simulated unit; links that alter bytes."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.peers import lack
from kit.ports import reserve_port
from minimateplus.link import Link
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.faulty_links import FaultyLink
from minimateplus.simulator.pty import serve_pty

OPENS_WITHIN_S = 20.0
"""A bound for a machine that is busy; nothing is judged by it."""


def program(name: str) -> str:
    """Return the path of a program, or skip the test by its name."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        lack(f"{name} is not installed (Debian: apt-get install {name})")
    return path


def is_listening(port: int) -> bool:
    """Whether a port of this host is listened on, by the kernel's table: a call is a session."""
    wanted = f":{port:04X} "
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        lines = Path(table).read_text().splitlines()[1:] if Path(table).exists() else []
        if any(wanted in line.split(":", 1)[1][:40] and " 0A " in line for line in lines):
            return True
    return False


@contextmanager
def running(port: int, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; it listens on ``port`` when the block begins."""
    started = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        limit = time.monotonic() + OPENS_WITHIN_S
        while not is_listening(port):
            assert started.poll() is None, f"{command[0]} ended: {started.returncode}"
            assert time.monotonic() < limit, f"{command[0]} does not listen"
            time.sleep(0.01)
        yield started
    finally:
        started.terminate()
        try:
            started.wait(5)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@contextmanager
def on_terminal(unit: SimulatedUnit) -> Iterator[str]:
    """Yield the path of a terminal on which ``unit`` answers, from a thread of its own."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        async with serve_pty(unit) as served:
            found.append(served.path)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(OPENS_WITHIN_S)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def ser2net(folder: Path, accepter: str, device: str, options: str = "") -> Iterator[int]:
    """Yield the loopback port on which ser2net offers ``device``."""
    name, port = program("ser2net"), reserve_port()
    config = folder / "ser2net.yaml"
    config.write_text(
        "%YAML 1.1\n---\n"
        "connection: &unit\n"
        f"  accepter: {accepter},127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},38400n81,local\n" + options
    )
    words = (name, "-n", "-d", "-u", "-c", str(config), "-P", str(folder / "ser2net.pid"))
    with running(port, *words):
        yield port


@contextmanager
def socat_terminal(device: str, *options: str) -> Iterator[int]:
    """Yield the loopback port on which socat offers a terminal with these line settings."""
    port = reserve_port()
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
    with running(port, program("socat"), listen, ",".join((device, "raw", "echo=0", *options))):
        yield port


@contextmanager
def socat_text(folder: Path, text: bytes, *, then_waits: bool) -> Iterator[int]:
    """Yield a port where socat sends a text to each caller, as a modem or serial server does."""
    port = reserve_port()
    (folder / "text").write_bytes(text)
    # A read of the request keeps the connection open, without an echo.
    then = "exec cat >/dev/null" if then_waits else "head -c 20 >/dev/null"
    (folder / "answer.sh").write_text(f"cat '{folder}/text'\n{then}\n")
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
    with running(port, program("socat"), listen, f"EXEC:sh {folder}/answer.sh"):
        yield port


@contextmanager
def echoing() -> Iterator[int]:
    """Yield a port where socat returns every byte."""
    port = reserve_port()
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
    with running(port, program("socat"), listen, "EXEC:cat"):
        yield port


@contextmanager
def resetting() -> Iterator[int]:
    """Yield a port whose server resets each connection when the first byte arrives."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            one.recv(1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        port: int = listener.getsockname()[1]
        yield port
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


class AlteringLink(FaultyLink):
    """Passes the unit's bytes through ``alter``, as a device on the way may."""

    def __init__(self, inner: Link, alter: Callable[[bytes], bytes]) -> None:
        super().__init__(inner)
        self.alter = alter

    async def send(self, data: bytes) -> None:
        await super().send(self.alter(data))
