"""
What a person is shown when the modem, the serial server or the port is the trouble.

Each case goes through a real program where one makes the fault, and through the command line, which
asks its own relay over HTTP: sentence, HTTP status and exit status are judged together.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from kit import far_ends
from kit.command_process import CommandProcess
from kit.relay_process import PATIENCE_S, environment
from kit.unit_thread import UnitThread

from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.hostile import hostile_link
from minimateplus.simulator.pty import serve_pty

EXIT_STATUS = 3
"""Of every read that a fault of the link ended."""
PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "line-faults.md").read_text()


class Shown(NamedTuple):
    exit_status: int
    status: int | None
    text: str
    out: str


def ask(*words: str, **settings: str) -> Shown:
    """Return what one command line shows; ``status`` is the HTTP status that it names."""
    env = environment(None, **{"SFM_REPLY_S": "1", "SFM_HTTP_PORT": "1", **settings})
    with CommandProcess(*words, "--direct", env=env, stdout=True) as running:
        out, err = running.communicate(PATIENCE_S)
        exit_status = running.wait()
    named = re.match(r"[^:(]*\((\d{3})\): ", err)
    return Shown(exit_status, int(named[1]) if named else None, err, out)


def recorded() -> SimulatedUnit:
    """A unit with one event whose bytes hold FF, 0D, 0A, 11 and 13."""
    unit = SimulatedUnit("BE11529")
    unit.record_event(seed=1)
    image = unit._memory.stored[0].image
    assert all(bytes((value,)) in image for value in (0xFF, 0x0D, 0x0A, 0x11, 0x13))
    return unit


class Case(NamedTuple):
    program: str
    make: Callable[[Path], AbstractContextManager[int]]
    words: tuple[str, ...]
    status: int
    diagnosis: str
    """Its row in docs/reference/line-faults.md, whose sentence and advice are shown."""


INFO, WAVEFORM = ("info",), ("waveform", "0")


@contextmanager
def _behind_ser2net(folder: Path, accepter: str, options: str = "") -> Iterator[int]:
    with (
        far_ends.on_terminal(recorded()) as device,
        far_ends.ser2net(folder, accepter, device, options) as port,
    ):
        yield port


@contextmanager
def _taken(folder: Path) -> Iterator[int]:
    with _behind_ser2net(folder, "tcp") as port, socket.create_connection(("127.0.0.1", port)):
        yield port


@contextmanager
def _behind_socat(_: Path, *options: str) -> Iterator[int]:
    with (
        far_ends.on_terminal(recorded()) as device,
        far_ends.socat_terminal(device, *options) as port,
    ):
        yield port


@contextmanager
def _altered(_: Path, alter: Callable[[bytes], bytes]) -> Iterator[int]:
    wrap_link = partial(far_ends.AlteringLink, alter=alter)
    unit = UnitThread(recorded(), wrap_link=wrap_link)
    try:
        yield unit.port
    finally:
        unit.close()


@contextmanager
def _silent(_: Path) -> Iterator[int]:
    unit = UnitThread(recorded(), wrap_link=hostile_link("silent"))
    try:
        yield unit.port
    finally:
        unit.close()


@contextmanager
def _closed(_: Path) -> Iterator[int]:
    # Bound without a listener, so that no other program gets the port meanwhile.
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


def _text(text: bytes, then_waits: bool = False) -> Callable[[Path], AbstractContextManager[int]]:
    return lambda folder: far_ends.socat_text(folder, text, then_waits=then_waits)


def _with_ring(data: bytes) -> bytes:
    # In the middle of a long frame, as a modem does that another caller reaches.
    return data[:300] + b"\r\nRING\r\n" + data[300:] if len(data) > 400 else data


CASES = {
    "ff-doubled": Case(
        "ser2net, accepter telnet",
        lambda folder: _behind_ser2net(folder, "telnet"),
        WAVEFORM,
        502,
        "telnet-doubled-ff",
    ),
    "cr-nul": Case(
        "own proxy",
        lambda folder: _altered(folder, lambda data: data.replace(b"\r", b"\r\0")),
        WAVEFORM,
        502,
        "telnet-cr-nul",
    ),
    "flow-control": Case(
        "socat, ixon on a terminal",
        lambda folder: _behind_socat(folder, "ixon=1", "ixany=1"),
        WAVEFORM,
        502,
        "flow-control",
    ),
    "seven-bits": Case(
        "socat, istrip on a terminal",
        lambda folder: _behind_socat(folder, "istrip=1"),
        INFO,
        502,
        "seven-bits",
    ),
    "newlines": Case(
        "own proxy",
        lambda folder: _altered(folder, lambda data: data.replace(b"\n", b"\r\n")),
        WAVEFORM,
        502,
        "newlines-translated",
    ),
    "ring": Case(
        "own proxy",
        lambda folder: _altered(folder, _with_ring),
        INFO,
        502,
        "ring-inside-frame",
    ),
    "echo": Case("socat, EXEC:cat", lambda _: far_ends.echoing(), INFO, 502, "echo"),
    "busy": Case("socat", _text(b"\r\nBUSY\r\n"), INFO, 503, "modem-busy"),
    "no-carrier": Case("socat", _text(b"\r\nNO CARRIER\r\n"), INFO, 503, "modem-no-carrier"),
    "no-carrier-open": Case(
        "socat, line left open",
        _text(b"\r\nNO CARRIER\r\n", then_waits=True),
        INFO,
        503,
        "modem-no-carrier",
    ),
    "command-mode": Case("socat", _text(b"\r\nOK\r\n", True), INFO, 502, "modem-command-mode"),
    "in-use": Case("ser2net, second client", _taken, INFO, 503, "port-in-use"),
    "ssh": Case("socat", _text(b"SSH-2.0-OpenSSH_9.6\r\n", True), INFO, 502, "ssh"),
    "login": Case(
        "socat",
        _text(b"\xff\xfd\x18\r\nUser Access Verification\r\n\r\nPassword: ", True),
        INFO,
        502,
        "login",
    ),
    "http": Case(
        "socat",
        _text(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"),
        INFO,
        502,
        "http",
    ),
    # The alert that TLS servers written in Go send when the first bytes are no TLS.
    "tls": Case("socat", _text(b"\x15\x03\x01\x00\x02\x02\x46"), INFO, 502, "tls"),
    "refused": Case("nobody", _closed, INFO, 503, "refused"),
    "silent": Case("simulated unit, --hostile silent", _silent, INFO, 504, "silent"),
    "hung-up": Case("socat", _text(b""), INFO, 503, "hung-up"),
    "reset": Case("own server, SO_LINGER 0", lambda _: far_ends.resetting(), INFO, 503, "reset"),
}


@pytest.mark.peer
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_far_end_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with case.make(tmp_path) as port:
        address = f"tcp://127.0.0.1:{port}"
        verb, *more = case.words
        shown = ask(verb, address, *more)
    assert (shown.exit_status, shown.status) == (EXIT_STATUS, case.status), shown.text
    row = re.search(rf"^\| `{case.diagnosis}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert row is not None, "the page does not explain it"
    sentence, advice, *_ = row[1].split(" | ")
    assert f"{sentence}. {advice}" in shown.text
    assert address in shown.text
    assert shown.text.rstrip("\n").endswith((".", "?", ")"))


@pytest.mark.peer
def test_every_letter_of_a_modem_text_is_shown(tmp_path: Path) -> None:
    with far_ends.socat_text(tmp_path, b"\r\nWAITING FOR A CALL\r\n", then_waits=True) as port:
        shown = ask("info", f"tcp://127.0.0.1:{port}")
    assert "WAITING FOR A CALL" in shown.text


@pytest.mark.peer
def test_a_server_that_does_not_acknowledge_rfc2217_is_read_by_its_telnet_address(
    tmp_path: Path,
) -> None:
    """Of ser2net 4.3.11 over a pseudo-terminal: it answers 0B with 6B and never with 6F."""
    with _behind_ser2net(tmp_path, "telnet(rfc2217)") as port:
        refused = ask("info", f"rfc2217://127.0.0.1:{port}", SFM_CONNECT_S="1")
        assert (refused.exit_status, refused.status) == (3, 504)
        found = re.search(r"use (telnet://\S+?),", refused.text)
        assert found is not None, refused.text
        read = ask("waveform", found[1], "0", "--json")
    assert read.exit_status == 0, read.text
    assert json.loads(read.out)["provenance"]["quality"] == "good"


def test_a_link_to_an_adapter_that_was_pulled_out_is_no_such_port(tmp_path: Path) -> None:
    (tmp_path / "port").symlink_to(tmp_path / "ttyUSB7")
    shown = ask("info", f"serial:{tmp_path}/port")
    assert (shown.exit_status, shown.status) == (3, 503), shown.text
    assert "no such port. Is the adapter plugged in?" in shown.text


def test_a_port_that_this_relay_has_open_under_another_name_is_reported_as_its_own(
    tmp_path: Path,
) -> None:
    other = tmp_path / "port"

    async def message() -> str:
        async with serve_pty(recorded()) as served:
            other.symlink_to(served.path)
            async with MiniMate.connect(served.path) as first:
                with pytest.raises(ConnectError) as caught:
                    await MiniMate.open(f"serial:{other}")
                assert await first.read_serial() == "BE11529"
            async with MiniMate.connect(f"serial:{other}") as again:
                assert await again.read_serial() == "BE11529"
            assert served.path in str(caught.value)
        return str(caught.value)

    text = asyncio.run(message())
    assert "this relay itself has the port open" in text
    assert "another p" not in text  # program, process


def test_a_silent_serial_port_is_reported_with_what_to_check_and_the_whole_wait() -> None:
    theirs, ours = os.openpty()
    try:
        device = os.ttyname(ours)
        shown = ask("info", device, SFM_REPLY_S="0.25")
    finally:
        os.close(theirs)
        os.close(ours)
    assert (shown.exit_status, shown.status) == (3, 504), shown.text
    assert shown.text.endswith(
        f"serial:{device}:38400: no answer to POLL (5B) within 0.5 s: the unit on this serial "
        "port is silent. Is it switched on? Check the cable, the port's name and the baud rate.\n"
    )


@pytest.mark.peer
def test_a_port_that_another_program_has_open_is_reported(tmp_path: Path) -> None:
    holder = (
        "import asyncio, sys; from minimateplus.link import open_link\n"
        "async def hold():\n"
        "    link = await open_link(sys.argv[1]); print('open', flush=True)\n"
        "    sys.stdin.read(); await link.close()\n"
        "asyncio.run(hold())"
    )
    with (
        far_ends.on_terminal(recorded()) as device,
        subprocess.Popen(
            [sys.executable, "-c", holder, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        shown = ask("info", device)
        other.communicate(b"")
    assert (shown.exit_status, shown.status) == (3, 503), shown.text
    assert "another program has the port open. Close it" in shown.text


if __name__ == "__main__":  # the table: fault, program, sentence, HTTP status, exit status
    import tempfile

    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            port = stack.enter_context(case.make(Path(folder)))
            verb, *more = case.words
            shown = ask(verb, f"tcp://127.0.0.1:{port}", *more)
        text = " ".join(shown.text.split()).replace(f"127.0.0.1:{port}", "HOST:PORT")
        print(f"{name} | {case.program} | {text} | {shown.status} | {shown.exit_status}")  # noqa: T201
