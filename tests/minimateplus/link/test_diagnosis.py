"""The table of signatures: what is named is proven by the bytes, and nothing else is named."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from kit import virtual_time

from minimateplus.client import MiniMate
from minimateplus.errors import RemoteProtocolError
from minimateplus.link import Deadlines
from minimateplus.link.diagnosis import (
    SIGNATURES,
    diagnose_reply,
    diagnose_text,
    without_modem_text,
)
from minimateplus.link.telnet import TelnetDecoder
from minimateplus.simulator import SimulatedUnit, serve_tcp
from minimateplus.simulator.faulty_links import LossyLink
from minimateplus.wire.framing import encode_reply, reply_sub

SUB = reply_sub(0x5A)


def _reply(rng: random.Random, length: int = 1024) -> bytes:
    """A reply that holds every byte, as a download does."""
    payload = bytes(range(256)) + rng.randbytes(length - 256)
    return encode_reply(SUB, length, bytes(10), payload)


@pytest.mark.parametrize(
    ("alter", "name"),
    [
        (lambda wire: wire.replace(b"\xff", b"\xff\xff"), "telnet-doubled-ff"),
        (lambda wire: wire.replace(b"\n", b"\r\n"), "newlines-translated"),
        (lambda wire: wire.replace(b"\x11", b"").replace(b"\x13", b""), "flow-control"),
        (lambda wire: wire.replace(b"\x13", b""), None),
        (lambda wire: bytes(byte & 0x7F for byte in wire), "seven-bits"),
        (lambda wire: wire[:400] + b"\r\nRING\r\n" + wire[400:], "ring-inside-frame"),
        (lambda wire: wire[:400] + b"RING\r\n" + wire[400:], "ring-inside-frame"),
        (lambda wire: wire[:400] + wire[401:], None),
        (lambda wire: wire[:400] + b"\x00" + wire[401:], None),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_reply_is_named_only_where_a_repair_proves_it(
    alter: Any, name: str | None, seed: int
) -> None:
    wire = alter(_reply(random.Random(seed)))
    found = diagnose_reply(wire, SUB, 1024)
    assert (found.name if found else None) == name


def test_bytes_lost_at_random_are_almost_never_named() -> None:
    rng, named = random.Random(15), 0
    for _ in range(300):
        wire = _reply(rng)
        lost = {rng.randrange(5, len(wire)) for _ in range(rng.randrange(1, 6))}
        damaged = bytes(byte for at, byte in enumerate(wire) if at not in lost)
        named += diagnose_reply(damaged, SUB, 1024) is not None
    assert named <= 3


@pytest.mark.parametrize(
    "text",
    [b"\r\nRING\r\n\r\nCONNECT\r\n", b"CONNECT 38400/ARQ/V34/LAPM/V42BIS\r\n", b"Operating System"],
)
def test_a_greeting_is_no_fault(text: bytes) -> None:
    assert (diagnose_text(text), without_modem_text(text)) == (None, b"")


@pytest.mark.parametrize("word", [b"STRING", b"RINGS", b"BUSYBOX", b"BOOKING"])
def test_a_word_inside_another_is_not_a_modems(word: bytes) -> None:
    assert diagnose_text(word + b"\r\n") is None
    assert without_modem_text(word + b"\r\n") == word


def test_every_signature_says_what_to_do() -> None:
    for name, one in SIGNATURES.items():
        assert one.name == name
        assert one.class_ in ("refused", "lost", "silent", "foreign", "damaged")
        assert re.fullmatch(r"[A-Z`].*[^.]", one.advice), name
        assert not one.sentence.endswith("."), name


def test_telnet_is_decoded_however_it_is_cut() -> None:
    sent = b"\xff\xfd\x00\xff\xfb\x01\x10\xff\xff\x02\xff\xfa\x2c\x6b\xff\xff\xff\xf0\xff\xf1\x03"
    for cut in range(len(sent) + 1):
        decoder = TelnetDecoder()
        one, other = decoder.feed(sent[:cut]), decoder.feed(sent[cut:])
        assert one[0] + other[0] == b"\x10\xff\x02\x03"
        assert one[1] + other[1] == b"\xff\xfb\x00\xff\xfe\x01"


def test_telnet_agrees_once_and_not_for_ever() -> None:
    decoder = TelnetDecoder()
    assert decoder.feed(b"\xff\xfd\x00" * 3)[1] == b"\xff\xfb\x00"


def test_a_server_that_does_not_double_ff_is_read_all_the_same() -> None:
    """It is no Telnet server; the frame's checksum judges what came."""
    decoder = TelnetDecoder()
    assert decoder.feed(b"\x10\xff\x20\x03")[0] == b"\x10\xff\x20\x03"


@virtual_time.in_virtual_time
async def test_damage_without_a_pattern_keeps_the_general_sentence() -> None:
    unit = SimulatedUnit()
    rng = random.Random(4)
    async with serve_tcp(unit, wrap_link=lambda inner: LossyLink(inner, rng, 0.1)) as served:
        with pytest.raises((RemoteProtocolError, TimeoutError)) as caught:
            async with MiniMate.connect(served.url, deadlines=Deadlines(reply_s=1)) as found:
                await found.read_info()
    assert "baud rate" in str(caught.value) or "no frame" in str(caught.value)
