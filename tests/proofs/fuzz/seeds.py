"""
What the fuzzer starts from: captured frames and what a simulated unit says, one list a target.

Needs ``tests`` on the path, as ``make fuzz`` puts it.
"""

from __future__ import annotations

import json

from kit.vectors import BOOT_TEXT, MODEM_TEXT, VECTORS
from targets import PARSERS

from minimateplus.link.capture import FORMAT, VERSION
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.blast import Blast
from minimateplus.simulator.payloads import setup_block
from minimateplus.wire import layouts
from minimateplus.wire.commands import COMMANDS
from minimateplus.wire.framing import Frame, FrameReader, encode_request
from minimateplus.wire.layouts import parse_serial
from minimateplus.wire.protocol_state import ProtocolState, State

ANY_DIRECTION = b"\x02"
NO_COUNT = b"\xff\xff"
SERIAL = bytes((PARSERS.index(parse_serial),))
ODD_SERIALS = (b"../../e", b"A\r\nX: 1", b"\x1b[2J\xe9", b"-f")


def seeds(target: str) -> list[bytes]:
    """Return the seeds of one target."""
    return {"frames": _frames, "samples": _samples, "captures": _captures, "payloads": _payloads}[
        target
    ]()


def odd(target: str) -> list[bytes]:
    """Return what the kept corpus always holds, though it reaches no line that others do not."""
    return {
        "frames": [ANY_DIRECTION + one for one in (_short_frame(), _wrong_sum())],
        "samples": [],
        "captures": _odd_captures(),
        "payloads": [
            bytes((8,)) + text for text in (b"../../e", b"A\r\nX: 1", b"\x1b[2J\xe9", b"-f")
        ],
    }[target]


def _wrong_sum() -> bytes:
    wire = bytearray(VECTORS[0].wire)
    wire[-2] ^= 0x40
    return bytes(wire)


def _short_frame() -> bytes:
    """A frame that lacks a byte of its header, its sum right."""
    body = bytes.fromhex("0010 a400 0000") + bytes(9)
    escaped = (body + bytes((sum(body) & 0xFF,))).replace(b"\x10", b"\x10\x10")
    return b"\x10\x02" + escaped + b"\x03"


_HEAD = {
    "format": FORMAT,
    "version": VERSION,
    "link": "tcp://10.0.0.5:12345",
    "started_at": "2026-04-01T00:28:12+00:00",
    "note": "survey",
}


def _odd_captures() -> list[bytes]:
    chunk = {"t_s": 0.0, "from": "unit", "hex": "41"}
    heads = [
        {**_HEAD, "format": "x" * 2000},
        {**_HEAD, "note": "y" * 2000},
        {**_HEAD, "link": "\x1b[2J\n\ud800"},
    ]
    chunks = [{**chunk, "t_s": 1e400}, {**chunk, "t_s": "z" * 2000}, {**chunk, "hex": " "}]
    return [
        b"[" * 2500,
        *(json.dumps(line).encode() + b"\n" for line in heads),
        *(f"{json.dumps(_HEAD)}\n{json.dumps(line)}\n".encode() for line in chunks),
    ]


def _unit() -> SimulatedUnit:
    unit = SimulatedUnit(clock=lambda: 0.0, seed=1)
    for peak, seconds in ((0.05, 0.1), (2.0, 0.75)):
        unit.record_event(blast=Blast(peak_in_s=peak, record_time_s=seconds))
    return unit


def _answers() -> list[tuple[Frame, bytes]]:
    """Every command that a fetch reads, and a simulated unit's whole answer."""
    unit = _unit()
    protocol = ProtocolState()
    protocol.state = State.READY
    asked = [Frame(c.sub, c.fetch_bytes or 0, bytes(10), b"") for c in COMMANDS.values()]
    heard = [(request, unit.answer(protocol, request)) for request in asked if request.length]
    return [(request, wire) for request, wire in heard if wire is not None]


def _frames() -> list[bytes]:
    wires = [vector.wire for vector in VECTORS]
    stream = BOOT_TEXT + MODEM_TEXT + b"".join(wires[:3]) + wires[0][:9] + wires[1]
    answers = [wire for _, wire in _answers()]
    return [ANY_DIRECTION + one for one in (*wires, *answers, stream)] + [
        bytes((how,)) + stream for how in range(9)
    ]


def _images() -> list[bytes]:
    unit = _unit()
    found = []
    for event in unit.events:
        address = int.from_bytes(event.key, "big")
        start = layouts.parse_start_record(unit.read_memory(address, 64))
        found.append(unit.read_memory(address, start.end_address - address))
    return found


def _samples() -> list[bytes]:
    bodies = [image[layouts.BODY_OFFSET :] for image in _images()]
    return [count + body for body in bodies for count in (NO_COUNT, b"\x00\x08", b"\x03\x00")] + [
        NO_COUNT + body[:300] for body in bodies
    ]


def _captures() -> list[bytes]:
    lines = [json.dumps(_HEAD)]
    for number, (request, wire) in enumerate(_answers()[:4]):
        asked = encode_request(request.sub, request.length, request.params)
        lines.append(json.dumps({"t_s": number / 8, "from": "host", "hex": asked.hex()}))
        lines.append(json.dumps({"t_s": number / 4, "from": "unit", "hex": wire.hex()}))
    whole = "\n".join(lines).encode()
    return [whole, whole + b"\n", lines[0].encode(), whole[:400], whole.replace(b"\n", b"\r\n")]


def _payloads() -> list[bytes]:
    answers = [wire for _, wire in _answers()]
    spoken = [vector.frame.payload for vector in VECTORS] + _frames_of(answers) + _images()
    event = _unit().events[0]
    protocol = ProtocolState()
    protocol.state = State.READY
    unit = _unit()
    for sub, length in ((0x0A, 0x46), (0x0C, 0xD2), (0x0A, 0x2C)):
        request = Frame(sub, length, bytes(4) + event.key + bytes(2), b"")
        spoken += _frames_of([unit.answer(protocol, request) or b""])
    spoken.append(setup_block(unit.setup))
    return [
        bytes((number,)) + payload[:2100]
        for number in range(len(PARSERS))
        for payload in spoken
        if payload
    ]


def _frames_of(wires: list[bytes]) -> list[bytes]:
    return [frame.payload for wire in wires for frame in FrameReader().feed(wire)]
