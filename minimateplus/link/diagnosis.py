"""
Causes of a failed exchange: one table of signatures, each with a sentence and an advice.

The rule: a signature names a cause only where the bytes prove it. A frame that arrived damaged is
repaired as that cause would have damaged it, and only a repair that makes the frame's length and
checksum right is believed. Without proof the caller's general message remains. Silence proves no
cause: its sentence says only what to check.

Pure: bytes and errors in, a ``Diagnosis`` or ``None`` out. The sentences of modems and serial
servers are those of Hayes-compatible modems (ITU-T V.250, 5.7.1) and of ser2net.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = [
    "SIGNATURES",
    "SLOT_TAKEN",
    "Diagnosis",
    "diagnose_connect_error",
    "diagnose_hang_up",
    "diagnose_port_error",
    "diagnose_reply",
    "diagnose_reply_length",
    "diagnose_reply_sub",
    "diagnose_silence",
    "diagnose_text",
    "without_modem_text",
]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """
    One cause: its stable name, what happened, and what to do next.

    ``class_`` names the party at fault: ``refused`` (no request reached a unit), ``lost`` (the link
    ended), ``silent`` (nothing answered), ``foreign`` (something other than a unit answered),
    ``damaged`` (a unit answered, and its bytes were changed in transit).
    """

    name: str
    class_: str
    sentence: str
    advice: str

    def __str__(self) -> str:
        end = "" if self.advice.endswith(("?", ".")) else "."
        return f"{self.sentence}. {self.advice}{end}"


_RAW_TCP = (
    "Set that port of the serial server to raw TCP, or use the Telnet-aware address "
    "telnet://HOST:PORT instead of tcp://HOST:PORT"
)

SIGNATURES: dict[str, Diagnosis] = {
    one.name: one
    for one in (
        # --- the far end changed the unit's bytes -------------------------------------------------
        Diagnosis(
            "telnet-doubled-ff",
            "damaged",
            "every byte FF arrived twice, as Telnet sends it: the serial server speaks Telnet on "
            "this port",
            _RAW_TCP,
        ),
        Diagnosis(
            "telnet-cr-nul",
            "damaged",
            "a byte 00 followed every byte 0D, as in Telnet's text mode: the serial server speaks "
            "Telnet on this port",
            _RAW_TCP,
        ),
        Diagnosis(
            "newlines-translated",
            "damaged",
            "a byte 0D was put before every byte 0A: something on the way translates line ends",
            "Switch off line-end translation (onlcr, crnl) on the serial server",
        ),
        Diagnosis(
            "flow-control",
            "damaged",
            "bytes 11 and 13 (XON, XOFF) are missing: something on the way uses software flow "
            "control",
            "Set flow control to none on the serial server and on the modem's serial port",
        ),
        Diagnosis(
            "seven-bits",
            "damaged",
            "frames arrive, but the highest bit of every byte is missing: the serial port is set "
            "to 7 data bits",
            "Set the serial server or modem to 8 data bits, no parity, 1 stop bit (8N1)",
        ),
        Diagnosis(
            "ring-inside-frame",
            "damaged",
            "the modem wrote RING into the unit's answer: somebody else is calling this modem",
            "Set the modem to quiet mode, so that it writes no texts during a connection; then "
            "try again",
        ),
        Diagnosis(
            "echo",
            "foreign",
            "our own request came back, and no answer: the line echoes, and no unit answers",
            "Switch off local echo (ATE0) at the modem or serial server; then check the cable and "
            "the unit's power",
        ),
        # --- a modem's or serial server's own words -----------------------------------------------
        Diagnosis(
            "modem-busy",
            "refused",
            "the modem answers BUSY: somebody else is connected to the unit",
            "Try again when the other connection has ended",
        ),
        Diagnosis(
            "modem-no-carrier",
            "lost",
            "the modem answers NO CARRIER: it has no connection to the unit, or lost it",
            "Check the modem's reception and its cable to the unit; then try again",
        ),
        Diagnosis(
            "modem-no-answer",
            "refused",
            "the modem answers NO ANSWER: it called the unit's modem, which did not pick up",
            "Check that the unit's modem has power and answers calls",
        ),
        Diagnosis(
            "modem-no-dialtone",
            "refused",
            "the modem answers NO DIALTONE: it has no line",
            "Check the modem's line or its SIM card and reception",
        ),
        Diagnosis(
            "modem-error",
            "foreign",
            "the modem answers ERROR: it takes our bytes for a command and is not connected to "
            "the unit",
            "Set the modem to transparent data mode (TCP auto answer on) for this port",
        ),
        Diagnosis(
            "modem-command-mode",
            "foreign",
            "the modem answers OK: it is in command mode and not connected to the unit",
            "Set the modem to transparent data mode (TCP auto answer on) for this port",
        ),
        Diagnosis(
            "port-in-use",
            "refused",
            "the serial server answers that its port is already in use by another client",
            "Close the other program, or wait until it has hung up; then try again",
        ),
        Diagnosis(
            "port-failed",
            "refused",
            "the serial server answers that it cannot open its own serial port",
            "Check the port's name and rights in the serial server's configuration",
        ),
        # --- something else listens there ---------------------------------------------------------
        Diagnosis(
            "tls",
            "foreign",
            "a TLS server answers there, not a unit",
            "Check the port number; a unit's port carries plain bytes, without TLS",
        ),
        Diagnosis(
            "http",
            "foreign",
            "a web server (HTTP) answers there, not a unit",
            "Check the port number; the modem's own web page is on another port than the unit",
        ),
        Diagnosis(
            "ssh",
            "foreign",
            "an SSH server answers there, not a unit",
            "Check the port number",
        ),
        Diagnosis(
            "login",
            "foreign",
            "a login prompt answers there, not a unit",
            "Check the port number; this one is the management port of a modem or serial server",
        ),
        Diagnosis(
            "greeting-220",
            "foreign",
            "a mail or file server (its greeting begins with 220) answers there, not a unit",
            "Check the port number",
        ),
        Diagnosis(
            "telnet-negotiation",
            "foreign",
            "a Telnet server answers there with its negotiation, and no unit behind it answered",
            "Use telnet://HOST:PORT if a unit is connected to that server; otherwise check the "
            "port number",
        ),
        # --- no connection ------------------------------------------------------------------------
        Diagnosis(
            "refused",
            "refused",
            "connection refused; nothing listens there, or the unit is busy with another caller",
            "Check the port number, or try again in a minute",
        ),
        Diagnosis(
            "no-route",
            "refused",
            "no route to the host: the network between here and there does not carry it",
            "Check the address and this machine's network or VPN",
        ),
        Diagnosis(
            "host-down",
            "refused",
            "the host is down: a router near it answers in its stead",
            "Check that the modem has power and reception",
        ),
        Diagnosis(
            "network-down",
            "refused",
            "this machine has no network that leads there",
            "Check this machine's network or VPN",
        ),
        Diagnosis(
            "timed-out",
            "refused",
            "the host did not answer",
            "Is the modem powered and the address right?",
        ),
        Diagnosis(
            "reset",
            "lost",
            "the far end accepted the connection and reset it at once: the modem or serial server "
            "may still serve another caller",
            "Try again in a minute; if it stays so, restart the modem",
        ),
        Diagnosis(
            "hung-up",
            "lost",
            "the far end closed the link before the unit answered: the modem or serial server may "
            "still serve another caller, or has no connection to the unit",
            "Try again in a minute; if it stays so, check the cable between modem and unit",
        ),
        Diagnosis(
            "unknown-host",
            "refused",
            "the host name does not resolve; check its spelling",
            "The IP address works without a name server",
        ),
        Diagnosis(
            "blocked",
            "refused",
            "this machine's firewall or rights do not allow the connection",
            "Ask who runs this machine",
        ),
        # --- no answer ----------------------------------------------------------------------------
        Diagnosis(
            "silent",
            "silent",
            "the unit is silent",
            "Is it switched on? Check the power and the cables of modem and unit, and the port "
            "number",
        ),
        Diagnosis(
            "silent-port",
            "silent",
            "the unit on this serial port is silent",
            "Is it switched on? Check the cable, the port's name and the baud rate",
        ),
        # --- serial ports -------------------------------------------------------------------------
        Diagnosis(
            "no-such-port",
            "refused",
            "no such port",
            "Is the adapter plugged in? `seismo-relay doctor` lists the serial ports that are here",
        ),
        Diagnosis(
            "port-not-allowed",
            "refused",
            "this user may not open the port",
            "Add the user to the group that owns it (often dialout), and sign in again",
        ),
        Diagnosis(
            "port-held-elsewhere",
            "refused",
            "another program has the port open",
            "Close it, then try again",
        ),
        Diagnosis(
            "port-held-here",
            "refused",
            "this relay itself has the port open, under another name",
            "Use one name for one port, or try again when that read has ended",
        ),
        Diagnosis(
            "not-serial",
            "refused",
            "this is no serial port",
            "`seismo-relay doctor` lists the serial ports that are here",
        ),
    )
}
"""Every cause that is known by its signature, by name."""

SLOT_TAKEN = frozenset({"refused", "reset", "hung-up", "port-in-use", "modem-busy"})
"""What a modem for one client answers while the last client's slot is not free yet."""


# --- no connection ------------------------------------------------------------------------------

_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no-route",
    errno.EHOSTDOWN: "host-down",
    errno.ENETUNREACH: "network-down",
    errno.ENETDOWN: "network-down",
    errno.EADDRNOTAVAIL: "network-down",
    errno.ETIMEDOUT: "timed-out",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.EACCES: "blocked",
    errno.EPERM: "blocked",
}

_BY_PORT_ERRNO = {
    errno.ENOENT: "no-such-port",
    errno.ENODEV: "no-such-port",
    errno.ENXIO: "no-such-port",
    errno.EACCES: "port-not-allowed",
    errno.EPERM: "port-not-allowed",
    errno.EBUSY: "port-held-elsewhere",
    errno.EAGAIN: "port-held-elsewhere",
    errno.ENOTTY: "not-serial",
}


def diagnose_connect_error(error: BaseException) -> Diagnosis | None:
    """Return why a TCP connection failed; ``None`` for an error that is not in the table."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return SIGNATURES["unknown-host"]
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return SIGNATURES[_BY_ERRNO[error.errno]]
    # asyncio reports several addresses of one name as one error without a number.
    texts = re.findall(r"\[Errno (\d+)\]", str(error))
    known = {_BY_ERRNO[int(one)] for one in texts if int(one) in _BY_ERRNO}
    return SIGNATURES[known.pop()] if len(known) == 1 else None


def diagnose_port_error(error: BaseException | None) -> Diagnosis | None:
    """Return why a serial port did not open; ``None`` for an error that is not in the table."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _BY_PORT_ERRNO:
            return SIGNATURES[_BY_PORT_ERRNO[error.errno]]
        error = error.__cause__ or error.__context__
    return None


def diagnose_hang_up(error: BaseException | None) -> Diagnosis:
    """Return why a link ended before the first reply."""
    while error is not None:
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return SIGNATURES["reset"]
        error = error.__cause__
    return SIGNATURES["hung-up"]


def diagnose_silence(name: str) -> Diagnosis:
    """Return what to check where nothing answered; ``name``: of the link."""
    is_port = name.startswith("serial:") and "://" not in name
    return SIGNATURES["silent-port" if is_port else "silent"]


# --- texts --------------------------------------------------------------------------------------

_NEGOTIATION = re.compile(rb"(?:\xff[\xfb-\xfe].|\xff\xfa(?:[^\xff]|\xff\xff)*\xff\xf0)", re.DOTALL)

_TEXTS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        # TLS records: alert (15) or handshake (16), version 3.0 to 3.4, a short length.
        (rb"\A[\x15\x16]\x03[\x00-\x04][\x00-\x40]", "tls"),
        (rb"\A\s*HTTP/\d|\A\s*<(?:!DOCTYPE|html)", "http"),
        (rb"\A\s*SSH-\d", "ssh"),
        (rb"(?i)Port already in use|Port is already in use|port busy", "port-in-use"),
        (rb"(?i)Device open failure|Unable to open (?:device|port)", "port-failed"),
        (rb"(?<![A-Z])NO CARRIER", "modem-no-carrier"),
        (rb"(?<![A-Z])NO ANSWER", "modem-no-answer"),
        (rb"(?<![A-Z])NO DIAL ?TONE", "modem-no-dialtone"),
        (rb"(?:\A|[\r\n])BUSY(?:[\r\n]|\Z)", "modem-busy"),
        (rb"(?i)(?:login|username|password) ?:", "login"),
        (rb"\A\s*220[ -]", "greeting-220"),
        (rb"(?:\A|[\r\n])ERROR(?:[\r\n]|\Z)", "modem-error"),
        (rb"(?:\A|[\r\n])OK(?:[\r\n]|\Z)", "modem-command-mode"),
    )
)

_HARMLESS_TEXT = re.compile(
    rb"Operating System"
    rb"|(?:(?<=[\r\n])|\A)RING(?=[\r\n]|\Z)"
    rb"|(?:(?<=[\r\n])|\A)CONNECT(?: ?[0-9][0-9A-Z/. ]*)?(?=[\r\n]|\Z)"
)
"""Texts that units and modems send before a unit replies; they are no sign of a fault."""


def without_modem_text(received: bytes) -> bytes:
    """
    Return ``received`` without the texts and line ends that are harmless.

    Bytes of any other text stay unchanged.

    >>> without_modem_text(b"\\r\\nRING\\r\\n\\r\\nCONNECT 38400/ARQ/V34\\r\\nA")
    b''
    >>> without_modem_text(b"\\r\\nNO CARRIER\\r\\n")
    b'NO CARRIER'
    """
    left = _HARMLESS_TEXT.sub(b"", received).strip(b"\r\n")
    # A lone 41 often precedes a unit's frames [C].
    return b"" if not left.strip(b"A\r\n") else left


def diagnose_text(received: bytes, request: bytes = b"") -> Diagnosis | None:
    """
    Return what bytes that arrived instead of a frame prove about the far end.

    Args:
        received: the bytes that belong to no frame.
        request: the wire bytes that were sent, to recognise their echo.
    """
    if len(request) > 4 and request in received:
        return SIGNATURES["echo"]
    plain = _NEGOTIATION.sub(b"", received)
    for pattern, name in _TEXTS:
        if pattern.search(plain):
            return SIGNATURES[name]
    return SIGNATURES["telnet-negotiation"] if plain != received else None


# --- damaged frames -----------------------------------------------------------------------------

_START = bytes.fromhex("10 02")
_ESCAPED = re.compile(rb"\x10([\x00-\xff])", re.DOTALL)
_HEADER_BYTES = 16
_RING = re.compile(rb"(?:\r?\n|\r)?RING(?:\r?\n|\r)?")


@dataclass(frozen=True, slots=True)
class _Body:
    """A reply without envelope and escapes, its checksum right or wrong."""

    sub: int
    length: int
    payload: bytes
    sum_off: int
    """The checksum that came minus the one that the bytes have, modulo 256."""

    @classmethod
    def of(cls, raw: bytes) -> _Body | None:
        body = _ESCAPED.sub(rb"\1", raw.removeprefix(_START).removesuffix(b"\x03"))
        if len(body) <= _HEADER_BYTES:
            return None
        off = (body[-1] - sum(body[:-1])) & 0xFF
        return cls(body[2], int.from_bytes(body[4:6], "big"), body[_HEADER_BYTES:-1], off)

    def is_whole(self, sub: int, length: int | None) -> bool:
        fits = length is None or len(self.payload) == length
        return self.sum_off == 0 and self.sub == sub and fits


def diagnose_reply(raw: bytes, sub: int, length: int | None) -> Diagnosis | None:
    """
    Return what damaged a reply in transit, if a repair proves it.

    Args:
        raw: the wire bytes of the broken reply, envelope included or not.
        sub: the SUB that the reply should have.
        length: how many bytes its payload should have; ``None`` where that is not known.
    """
    for name, repairs in _REPAIRS:
        for repaired in repairs(raw):
            body = _Body.of(repaired)
            if body is not None and body.is_whole(sub, length):
                return SIGNATURES[name]
    body = _Body.of(raw)
    if body is None:
        return None
    if _has_seven_bits(raw, body, sub):
        return SIGNATURES["seven-bits"]
    if _lacks_flow_bytes(raw, body, sub, length):
        return SIGNATURES["flow-control"]
    return None


def diagnose_reply_length(tail: bytes, wanted_bytes: int) -> Diagnosis | None:
    """
    Return what made a reply longer whose checksum is right: an added 00 does not change the sum.

    Args:
        tail: parameters and payload of the reply.
        wanted_bytes: how many bytes these should have.
    """
    is_nul = len(tail) > wanted_bytes == len(tail.replace(b"\r\0", b"\r"))
    return SIGNATURES["telnet-cr-nul"] if is_nul else None


def diagnose_reply_sub(found: int, wanted: int) -> Diagnosis | None:
    """
    Return what changed the SUB of a reply whose checksum is right.

    Half of the frames that lost their highest bits have a right sum. No known command has the SUB
    that a read's answer gets by that.
    """
    is_stripped = wanted >= 0x80 and found == wanted & 0x7F
    return SIGNATURES["seven-bits"] if is_stripped else None


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], Iterator[bytes]]:
    def repairs(raw: bytes) -> Iterator[bytes]:
        if old in raw:
            yield raw.replace(old, new)

    return repairs


def _without_ring(raw: bytes) -> Iterator[bytes]:
    for match in _RING.finditer(raw):
        # Which of the line ends beside it are the modem's is not known: each way is tried.
        core = match.group()
        for start in {0, core.find(b"R")}:
            for end in {len(core), core.find(b"R") + 4}:
                yield raw[: match.start() + start] + raw[match.start() + end :]


_REPAIRS: tuple[tuple[str, Callable[[bytes], Iterator[bytes]]], ...] = (
    ("telnet-doubled-ff", _replaced(b"\xff\xff", b"\xff")),
    ("telnet-cr-nul", _replaced(b"\r\0", b"\r")),
    ("newlines-translated", _replaced(b"\r\n", b"\n")),
    ("ring-inside-frame", _without_ring),
)


def _has_seven_bits(raw: bytes, body: _Body, sub: int) -> bool:
    """
    Whether every byte lost its highest bit.

    The sum of such a frame is right modulo 128, if no 83 became a 03 and ended it early. A frame
    without payload could look so after one flipped bit: there the sum must be right.
    """
    is_stripped = diagnose_reply_sub(body.sub, sub) is not None and max(raw) < 0x80
    return is_stripped and (bool(body.payload) or body.sum_off & 0x7F == 0)


def _lacks_flow_bytes(raw: bytes, body: _Body, sub: int, length: int | None) -> bool:
    """
    Whether bytes 11 and 13, and only those, are missing.

    The frame is short by k bytes, none of those left is 11 or 13, and k of them make its sum right.
    """
    wanted = body.length if length is None else length
    missing = wanted - len(body.payload)
    if body.sub != sub or missing <= 0 or b"\x11" in raw or b"\x13" in raw:
        return False
    # off = missing sum: 13h for each XOFF, 11h for each XON.
    return any(
        (0x11 * missing + 2 * xoff - body.sum_off) & 0xFF == 0 for xoff in range(missing + 1)
    )
