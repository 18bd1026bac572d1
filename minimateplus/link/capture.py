"""
Record a conversation to a plain file, and replay it as a link.

The file is text, one JSON object a line (docs/capture-format.md). The first line says what it is::

    {"format": "seismo-relay-capture", "version": 1, "link": "tcp://10.0.0.5:12345",
     "started_at": "2026-11-23T20:45:00+00:00", "note": ""}

Every further line is one chunk as the road cut it: seconds since the start, who sent it, the bytes::

    {"t_s": 0.000, "from": "host", "hex": "41021010005b..."}
    {"t_s": 0.031, "from": "unit", "hex": "1002001010a4..."}

Nothing is interpreted: a capture holds boot text, rubbish and broken frames as they came, so that it
can judge the code that made it. Replayed, the host must say again what it said then; the unit's
chunks come back in their order. A replay does not wait between chunks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from minimateplus.errors import CaptureError, LinkClosedError
from minimateplus.link.link import Link

FORMAT = "seismo-relay-capture"
VERSION = 1
MAX_LINE_CHARS = 1 << 20

Side = Literal["host", "unit"]


@dataclass(frozen=True, slots=True)
class CapturedChunk:
    """One chunk as it crossed the road."""

    t_s: float
    side: Side
    data: bytes


@dataclass(frozen=True, slots=True)
class Capture:
    """A recorded conversation."""

    link: str
    started_at: str
    note: str
    chunks: tuple[CapturedChunk, ...]


class CaptureLink:
    """
    A link that writes down what passes over another link. Closes that link, not the file.

    Each line is flushed as it is written, so that a conversation that ends in a crash is kept up to
    its last chunk.

    Args:
        inner: the link to record.
        sink: a text file open for writing.
        clock: monotonic seconds.
        started_at: wall clock at the start, for the header; now if not given.
        note: a sentence for whoever reads the file later.
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
        self._inner = inner
        self._sink = sink
        self._clock = clock
        self._start = clock()
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                "link": inner.name,
                "started_at": (started_at or datetime.now(UTC)).isoformat(timespec="seconds"),
                "note": note,
            }
        )

    @property
    def name(self) -> str:
        """The recorded link's name."""
        return self._inner.name

    async def send(self, data: bytes) -> None:
        """Send and write down; see ``Link.send``."""
        await self._inner.send(data)
        self._chunk("host", data)

    async def receive(self) -> bytes:
        """Receive and write down; see ``Link.receive``."""
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
        self._sink.write(json.dumps(line) + "\n")
        self._sink.flush()


class ReplayLink:
    """
    A recorded conversation as a link: says what the unit said, if it is asked what it was asked.

    Raises ``CaptureError`` as soon as the host says another byte than it said in the capture, and
    ``LinkClosedError`` where the capture ends.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._chunks: Iterator[CapturedChunk] = iter(capture.chunks)
        self._next: CapturedChunk | None = next(self._chunks, None)
        self._sent = 0
        """Bytes already matched of the host chunk that is next."""

    @property
    def name(self) -> str:
        """``replay of`` and the recorded link's name."""
        return f"replay of {self._capture.link}"

    async def send(self, data: bytes) -> None:
        """Check ``data`` against what the host said then; see ``Link.send``."""
        while data:
            if self._next is None:
                raise LinkClosedError(f"{self.name}: the capture ends here")
            if self._next.side != "host":
                # The unit spoke before; what it said is skipped if nobody wanted to hear it.
                self._step()
                continue
            due = self._next.data[self._sent :]
            part = data[: len(due)]
            if not due.startswith(part):
                raise CaptureError(
                    f"{self.name}: at {self._next.t_s:.3f} s the host said {due.hex(' ')}, "
                    f"now it says {data.hex(' ')}; a replay answers only what was asked then"
                )
            data = data[len(part) :]
            self._sent += len(part)
            if self._sent == len(self._next.data):
                self._step()

    async def receive(self) -> bytes:
        """Return the unit's next chunk; see ``Link.receive``."""
        if self._next is None or self._next.side != "unit":
            raise LinkClosedError(f"{self.name}: the capture holds no further answer here")
        data = self._next.data
        self._step()
        return data

    async def close(self) -> None:
        """End the replay."""
        self._next = None

    def _step(self) -> None:
        self._next = next(self._chunks, None)
        self._sent = 0


def load_capture(path: str | Path) -> Capture:
    """
    Return the capture in a file.

    A last line that was cut off (a crash while recording) is left out; any other line that cannot
    be read is an error, since a capture is evidence.

    Raises:
        CaptureError: no such file, or not a capture of this version; names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CaptureError(f"{path}: cannot be read: {error}") from error
    lines = text.split("\n")
    cut_off = lines.pop()
    del cut_off
    if not lines:
        raise CaptureError(f"{path}: line 1: expected a {FORMAT} header, got nothing")
    header = _object(path, 1, lines[0])
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise CaptureError(
            f"{path}: line 1: expected format {FORMAT!r} version {VERSION}, "
            f"got {header.get('format')!r} version {header.get('version')!r}"
        )
    chunks = tuple(_parse_chunk(path, n, line) for n, line in enumerate(lines[1:], 2))
    return Capture(
        str(header.get("link", "")),
        str(header.get("started_at", "")),
        str(header.get("note", "")),
        chunks,
    )


def open_replay(path: str | Path) -> ReplayLink:
    """Return the capture in a file as a link; raises as ``load_capture`` does."""
    return ReplayLink(load_capture(path))


def _object(path: str | Path, number: int, line: str) -> dict[str, object]:
    if len(line) > MAX_LINE_CHARS:
        raise CaptureError(f"{path}: line {number}: longer than {MAX_LINE_CHARS} characters")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path}: line {number}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CaptureError(f"{path}: line {number}: expected an object")
    return value


def _parse_chunk(path: str | Path, number: int, line: str) -> CapturedChunk:
    value = _object(path, number, line)
    side, t_s = value.get("from"), value.get("t_s")
    if side not in ("host", "unit") or not isinstance(t_s, int | float):
        raise CaptureError(f"{path}: line {number}: expected t_s in seconds and from host or unit")
    try:
        data = bytes.fromhex(str(value.get("hex", "")))
    except ValueError as error:
        raise CaptureError(f"{path}: line {number}: hex: {error}") from error
    if not data:
        raise CaptureError(f"{path}: line {number}: a chunk holds at least one byte")
    return CapturedChunk(float(t_s), "host" if side == "host" else "unit", data)
