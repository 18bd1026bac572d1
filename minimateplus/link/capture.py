"""
Record a session to a text file, and replay it as a link.

The file is text, one JSON object a line (docs/reference/capture-format.md). The first line is a
header::

    {"format": "seismo-relay-capture", "version": 1, "link": "tcp://10.0.0.5:12345",
     "started_at": "2026-11-23T20:45:00+00:00", "note": ""}

Every further line is one chunk as the link delivered it: seconds since the start, its sender, its
bytes::

    {"t_s": 0.000, "from": "host", "hex": "41021010005b..."}
    {"t_s": 0.031, "from": "unit", "hex": "1002001010a4..."}

Nothing is interpreted: a capture contains boot text, unknown bytes and broken frames as they
arrived, so that it can judge the code that wrote it. In a replay the host must send the recorded
bytes again; the unit's chunks come back in their order. A replay does not wait between chunks;
where the unit sent nothing until the host's next request, the replay sends nothing either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from minimateplus.errors import CaptureError, LinkClosedError
from minimateplus.link.link import Link

__all__ = [
    "FORMAT",
    "MAX_HEADER_CHARS",
    "MAX_LINE_BYTES",
    "MAX_T_S",
    "VERSION",
    "Capture",
    "CaptureEndedError",
    "CaptureLink",
    "CapturedChunk",
    "ReplayLink",
    "Side",
    "load_capture",
    "open_replay",
    "parse_capture",
]

FORMAT = "seismo-relay-capture"
VERSION = 1
MAX_LINE_BYTES = 1 << 20
MAX_T_S = 1e9
MAX_HEADER_CHARS = 500
"""Of each text in the header, unprintable signs escaped."""

Side = Literal["host", "unit"]


@dataclass(frozen=True, slots=True)
class CapturedChunk:
    """One chunk as the link delivered it."""

    t_s: float
    side: Side
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """
    A recorded session.

    The header's texts are chosen by the file's author and shown to people, so unprintable
    characters in them are escaped (a line end is ``\\n``).
    """

    link: str
    started_at: str
    note: str
    chunks: tuple[CapturedChunk, ...]


class CaptureLink:
    """
    A link that records what passes over another link. Closes that link, not the file.

    Each line is flushed as it is written, so that after a crash the file is complete up to the last
    chunk.

    Args:
        inner: the link to record.
        sink: a text file open for writing.
        clock: monotonic seconds.
        started_at: wall clock at the start, for the header; now if not given.
        note: a sentence for later readers of the file, 500 characters at most.

    Raises:
        ValueError: the note is longer, and the file could not be read.
        CaptureError: the file cannot be written (also from ``send`` and ``receive``).
    """

    def __init__(
        self,
        inner: Link,
        sink: IO[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        started_at: datetime | None = None,
        note: str = "",
    ) -> None:
        if len(_printable(note)) > MAX_HEADER_CHARS:
            raise ValueError(f"note: {MAX_HEADER_CHARS} characters at most, got {len(note)}")
        self._inner = inner
        self._sink = sink
        self._clock = clock
        self._start = clock()
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                # A name can be longer than a reader of the file takes; that of a replay grows.
                "link": _printable(inner.name)[:MAX_HEADER_CHARS],
                "started_at": (started_at or datetime.now(UTC)).isoformat(timespec="seconds"),
                "note": note,
            }
        )

    @property
    def name(self) -> str:
        """The recorded link's name."""
        return self._inner.name

    async def send(self, data: bytes) -> None:
        """Record and send; see ``Link.send``."""
        # Recorded first, so that it precedes the reply, and is kept if the sending is cancelled.
        if data:
            self._chunk("host", data)
        await self._inner.send(data)

    async def receive(self) -> bytes:
        """Receive and record; see ``Link.receive``."""
        data = await self._inner.receive()
        self._chunk("unit", data)
        return data

    async def close(self) -> None:
        """Close the recorded link."""
        await self._inner.close()

    def _chunk(self, side: Side, data: bytes) -> None:
        t_s = round(self._clock() - self._start, 6)
        self._write({"t_s": t_s, "from": side, "hex": data.hex()})

    def _write(self, line: dict[str, object]) -> None:
        try:
            self._sink.write(json.dumps(line) + "\n")
            self._sink.flush()
        except (OSError, ValueError) as error:
            raise CaptureError(f"{self.name}: the capture cannot be written: {error}") from error


class CaptureEndedError(LinkClosedError):
    """The capture ends here: whether the link was closed at this point is not known."""


class ReplayLink:
    """
    A recorded session as a link: it returns the unit's bytes if the host sends the same requests.

    Raises ``CaptureError`` as soon as the host sends another byte than in the capture, and
    ``LinkClosedError`` where the capture ends. Where the unit sent nothing until the host's next
    request, ``receive`` waits for ever, as it did then: the caller's deadline ends it.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._chunks: Iterator[CapturedChunk] = iter(capture.chunks)
        self._next: CapturedChunk | None = next(self._chunks, None)
        self._sent = 0
        """Bytes already matched of the host chunk that is next."""
        self._ended = asyncio.Event()

    @property
    def name(self) -> str:
        """``replay of`` and the recorded link's name."""
        return f"replay of {self._capture.link}"

    async def send(self, data: bytes) -> None:
        """Compare ``data`` with the recorded bytes of the host; see ``Link.send``."""
        while data:
            if self._next is None:
                raise CaptureEndedError(f"{self.name}: the capture ends here")
            if self._next.side != "host":
                # The unit's chunk comes first in the capture; it is skipped if it was not received.
                self._step()
                continue
            due = self._next.data[self._sent :]
            part = data[: len(due)]
            if not due.startswith(part):
                raise self._mismatch(due, part)
            data = data[len(part) :]
            self._sent += len(part)
            if self._sent == len(self._next.data):
                self._step()

    async def receive(self) -> bytes:
        """Return the unit's next chunk; see ``Link.receive``."""
        if self._next is None or self._next.side != "unit":
            await asyncio.sleep(0)
        if self._next is not None and self._next.side != "unit":
            await self._ended.wait()
        if self._next is None:
            raise CaptureEndedError(f"{self.name}: the capture ends here")
        data = self._next.data
        self._step()
        return data

    async def close(self) -> None:
        """End the replay."""
        self._next = None
        self._ended.set()

    def _mismatch(self, due: bytes, sent: bytes) -> CaptureError:
        assert self._next is not None
        at = next(n for n, (was, now) in enumerate(zip(due, sent, strict=False)) if was != now)
        return CaptureError(
            f"{self.name}: at {self._next.t_s:.3f} s, byte {self._sent + at} of the host: "
            f"expected {due[at]:02x}, got {sent[at]:02x}; a replay answers only what was asked "
            f"then ({due.hex(' ')})"
        )

    def _step(self) -> None:
        self._next = next(self._chunks, None)
        self._sent = 0


def load_capture(path: str | Path) -> Capture:
    """
    Return the capture in a file.

    A last line without its end that cannot be read (a crash while recording) is left out; any
    other line that cannot be read is an error, since a capture is evidence.

    Raises:
        CaptureError: no such file, or not a capture of this version; names the line.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise CaptureError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    return parse_capture(content, path)


def parse_capture(content: bytes, path: str | Path) -> Capture:
    """
    Return the capture in the bytes of a file; see ``load_capture``.

    Args:
        content: the whole file.
        path: how messages name it.

    Raises:
        CaptureError: not a capture of this version; names the line.
    """
    *lines, unended = content.split(b"\n")
    header = _object(path, 1, lines[0] if lines else unended)
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise CaptureError(
            f"{path}: line 1: expected format {FORMAT!r} version {VERSION}, "
            f"got {header.get('format')!r:.40} version {header.get('version')!r:.40}"
        )
    chunks = [_parse_chunk(path, n, line) for n, line in enumerate(lines[1:], 2)]
    if lines and unended:
        with contextlib.suppress(CaptureError):
            chunks.append(_parse_chunk(path, len(lines) + 1, unended))
    link, started_at, note = (
        _header_text(path, header, name) for name in ("link", "started_at", "note")
    )
    return Capture(link, started_at, note, tuple(chunks))


def open_replay(path: str | Path) -> ReplayLink:
    """Return the capture in a file as a link; raises as ``load_capture`` does."""
    return ReplayLink(load_capture(path))


def _object(path: str | Path, number: int, line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE_BYTES:
        raise CaptureError(f"{path}: line {number}: longer than {MAX_LINE_BYTES} bytes")
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path}: line {number}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CaptureError(f"{path}: line {number}: expected an object")
    return value


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _header_text(path: str | Path, header: dict[str, object], name: str) -> str:
    text = _printable(str(header.get(name, "")))
    if len(text) > MAX_HEADER_CHARS:
        raise CaptureError(f"{path}: line 1: {name}: longer than {MAX_HEADER_CHARS} characters")
    return text


def _parse_chunk(path: str | Path, number: int, line: bytes) -> CapturedChunk:
    value = _object(path, number, line)
    side, t_s, text = value.get("from"), value.get("t_s"), value.get("hex")
    if side not in ("host", "unit") or not isinstance(text, str):
        raise CaptureError(f"{path}: line {number}: expected from (host or unit), t_s and hex")
    if isinstance(t_s, bool) or not isinstance(t_s, int | float) or not abs(t_s) < MAX_T_S:
        raise CaptureError(f"{path}: line {number}: t_s: expected seconds, got {t_s!r:.40}")
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise CaptureError(f"{path}: line {number}: hex: {error}") from error
    if not data:
        raise CaptureError(f"{path}: line {number}: a chunk has at least one byte")
    return CapturedChunk(float(t_s), "host" if side == "host" else "unit", data)
