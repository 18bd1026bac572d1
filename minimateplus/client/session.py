"""
A session with one unit: one exchange (a request and its reply) at a time, each with a deadline.

The rule: no request is sent twice. Only the first POLL is repeated, once, because a unit that is
asleep may lose it [C]. Any other failure is an error that names the party at fault, and it ends the
session: a late reply could be mistaken for another request's. The only exception is a part of the
memory probe that a unit leaves unanswered, because some units may not support it.

Foreign frames: a unit has one record cursor, 1F echoes no key, and a serial server with several
clients sends every reply to all of them [I, and the safe assumption]. Frames that arrive before the
unit has answered the start-up POLL are leftovers and are dropped. After that, a frame that answers
no open request, or answers one a second time, ends the session: ``DuplicateReplyError`` if the same
bytes were received before, else ``LineSharedError``.

**Not** guaranteed: a frame is protected only by an 8-bit sum [C] and its length, so damage in two
places of one frame may go unnoticed. Damage in one place is always noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Self, TypeVar

from minimateplus.errors import (
    ConnectError,
    DeadlineError,
    DuplicateReplyError,
    KeyChainError,
    LineSharedError,
    LinkClosedError,
    LocalProtocolError,
    MemoryChangedError,
    MiniMateError,
    NoSuchEventError,
    RemoteProtocolError,
    ReplyTimeoutError,
    UnitError,
)
from minimateplus.link import Deadlines, Link, diagnosis, open_link
from minimateplus.link.capture import CaptureEndedError
from minimateplus.link.diagnosis import Diagnosis
from minimateplus.model import StorageRange
from minimateplus.wire import commands, layouts
from minimateplus.wire.commands import NO_PARAMS, Command
from minimateplus.wire.framing import Direction, Frame, FrameReader, encode_request, reply_sub
from minimateplus.wire.protocol_state import ProtocolState

__all__ = [
    "MAX_LEFTOVER_FRAMES",
    "MAX_RUBBISH_BYTES",
    "Pause",
    "Session",
]

MAX_RUBBISH_BYTES = 1 << 16
"""An exchange fails at once after this many bytes that belong to no frame."""
MAX_LEFTOVER_FRAMES = 32
"""An exchange of the start-up fails after this many frames of earlier sessions."""

_T = TypeVar("_T")

Pause = Callable[[], Awaitable[None]]
"""
Awaited between two records of a walk or two chunks of a download. Others may use the session
meanwhile, for complete operations of their own.
"""


class Session:
    """
    One session with one unit. Lives from ``open`` to ``close``; owns its link.

    One operation at a time: a second one called meanwhile raises ``LocalProtocolError``.
    """

    def __init__(self, link: Link, deadlines: Deadlines | None = None) -> None:
        self._link = link
        self._deadlines = deadlines or Deadlines()
        self._reader = FrameReader(Direction.REPLY)
        self._frames: list[Frame] = []
        self._pending_before = b""
        """The start of a frame that had arrived before the present request was sent."""
        self._protocol = ProtocolState()
        self._busy = False
        self._is_awake = False
        """Whether the unit has answered the start-up POLL, after which no leftover can arrive."""
        self._polls_unanswered = 0
        """Start-up POLLs whose replies may still arrive late."""
        self._received: set[bytes] = set()
        """A digest of each reply of this session."""
        self._deadline: asyncio.Timeout | None = None
        self._unanswered: set[int] = set()
        self._late: set[int] = set()
        """SUBs of replies that were not waited for any longer; each may still arrive once."""
        self.exchanges = 0
        """Requests sent so far; a probe and its fetch count as two."""
        self.serial: str | None = None
        """The serial number last read in this session; ``None`` before."""
        self.answers = 0
        """Replies received so far."""
        self.commands_sent = 0
        """Frames that change the unit and whose first byte may have been sent."""
        self.volatile_offsets: frozenset[int] = frozenset()
        """Offsets of record bytes that change although the event is the same; set by the caller."""
        self.is_usable = True
        """False once something failed: close this session and open another."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, address: str | Link, *, deadlines: Deadlines | None = None
    ) -> AsyncIterator[Self]:
        """
        Open a link, wake the unit, and close the link on every path.

        Args:
            address: an address that ``minimateplus.link`` can parse, or an open link.
            deadlines: for connecting, for each reply, and for each operation's progress.

        Raises:
            ConnectError: no link could be opened.
            ReplyTimeoutError: the connection was accepted, but no unit answered POLL.
        """
        unit = await cls.open(address, deadlines=deadlines)
        try:
            yield unit
        finally:
            await unit.close()

    @classmethod
    async def open(
        cls, address: str | Link, *, deadlines: Deadlines | None = None, wake: bool = True
    ) -> Self:
        """
        Return a session whose unit has answered POLL. The caller must call ``close``.

        With ``wake`` false nothing is sent: call ``wake`` later, or never if the unit may be too
        busy to reply.
        """
        link = await open_link(address, deadlines) if isinstance(address, str) else address
        unit = cls(link, deadlines)
        if not wake:
            return unit
        try:
            await unit.wake()
        except BaseException:
            await link.close()
            raise
        return unit

    async def wake(self) -> None:
        """
        Wait until the unit has answered POLL; nothing is sent if it has in this session.

        Raises:
            ReplyTimeoutError: no unit answered either of two POLLs.
        """
        if self._is_awake:
            return
        async with self._operation("waking the unit"):
            try:
                await self._exchange(commands.POLL)
            except ReplyTimeoutError:
                # A unit that is asleep may lose the first POLL [C]; nothing else is ever repeated.
                self._polls_unanswered += 1
                await self._exchange(commands.POLL)
            await self._exchange(commands.POLL, length=commands.POLL.fetch_bytes or 0)
            self._is_awake = True

    async def close(self) -> None:
        """End the session and close its link. Never fails, and may be called twice."""
        self.is_usable = False
        await self._link.close()

    @property
    def name(self) -> str:
        """The address of the unit, as its link gives it."""
        return self._link.name

    # --- shared by reads and commands -------------------------------------------------------------

    async def _read_serial(self) -> str:
        self.serial = layouts.parse_serial(await self._fetch(commands.SERIAL))
        return self.serial

    async def _read_setup_block(self) -> bytes:
        await self._exchange(commands.RECORDING_SETUP, params=commands.page_params(0))
        pages = [
            (
                await self._exchange(
                    commands.RECORDING_SETUP, length=length, params=commands.page_params(address)
                )
            ).payload
            for length, address in commands.SETUP_PAGES
        ]
        return b"".join(pages)

    async def _read_storage_range(self) -> StorageRange:
        token = commands.token_params(commands.ARM)
        return layouts.parse_storage_range(await self._fetch(commands.STORAGE_RANGE, token))

    async def _read_lifetime_count(self) -> int:
        fields = layouts.EVENT_COUNTER.parse(await self._fetch(commands.EVENT_COUNTER))
        count: int = fields["lifetime_count"]
        return count

    # --- exchanges ------------------------------------------------------------------------------

    async def _fetch(self, command: Command, params: bytes = NO_PARAMS) -> bytes:
        """Probe, then fetch the length that the table gives; return the payload."""
        assert command.fetch_bytes is not None, command.name
        await self._exchange(command, params=params)
        return (await self._exchange(command, length=command.fetch_bytes, params=params)).payload

    async def _if_answered(self, command: Command, read: Callable[[], Awaitable[_T]]) -> _T | None:
        """Return the result of ``read``; ``None`` if the unit does not support the command."""
        if command.sub in self._unanswered:
            return None
        asked_before = self.answers
        try:
            return await read()
        except ReplyTimeoutError:
            # Part of a reply, or a reply to the probe alone, proves that the unit supports it.
            if self.answers > asked_before or self._reader.pending:
                raise
            self._unanswered.add(command.sub)
            self._late.add(reply_sub(command.sub))
            return None

    async def _exchange(
        self,
        command: Command,
        *,
        length: int = 0,
        params: bytes = NO_PARAMS,
        data: bytes = b"",
    ) -> Frame:
        """Send one request, with ``data`` if it writes; return its checked reply."""
        # 1. Reject a request that the unit would ignore or answer wrongly in its present state.
        request = Frame(command.sub, length, params, data)
        self._protocol.accept(request)
        # 2. Receive what has arrived already, before sending: a reply to 5A may echo no address,
        #    and then only its time of arrival separates a stale reply from the requested one. Two
        #    turns of the event loop move it from the operating system into the link's buffer.
        for _ in range(2):
            await asyncio.sleep(0)
        #    What belongs to no frame counts from here on, so that a far end that sends first (a
        #    banner) is recognised by its text.
        self._reader.start_counting()
        self._pending_before = _without_start(self._reader.pending)
        self._refuse_unasked_frames()
        broken_before = self._reader.broken_frames
        #    A frame that has begun to arrive cannot answer a request that is not sent yet.
        began_before = self._reader.pending.startswith(Direction.REPLY.value)
        # 3. Send, and wait for the frame with the reply's SUB. Any other frame ends the session,
        #    except for leftovers during the start-up.
        self.exchanges += 1
        try:
            async with asyncio.timeout(self._deadlines.reply_s):
                await self._link.send(encode_request(command.sub, length, params, data))
                leftovers = 0
                while True:
                    reply = await self._next_frame()
                    is_whole = self._reader.broken_frames == broken_before
                    if reply.sub == reply_sub(command.sub) and not (began_before and is_whole):
                        break
                    began_before = False
                    found = diagnosis.diagnose_reply_sub(reply.sub, reply_sub(command.sub))
                    if found is not None:
                        raise self._diagnosed(command, found)
                    self._refuse_frame(reply, f"while {command.sub:02X} was open")
                    leftovers += 1
                    if leftovers > MAX_LEFTOVER_FRAMES:
                        raise RemoteProtocolError(
                            f"{self.name}: {command.name} ({command.sub:02X}) was answered by "
                            f"{leftovers} frames of other commands, the last {reply.sub:02X}"
                        )
        # 4. No reply: find the cause in the bytes that arrived instead.
        except TimeoutError as error:
            raise self._no_reply_error(request, command) from error
        except LinkClosedError as error:
            found = diagnosis.diagnose_text(self._text_so_far())
            if found is None and not self.answers and not isinstance(error, CaptureEndedError):
                found = diagnosis.diagnose_hang_up(error)
            if found is None:
                raise
            raise self._diagnosed(command, found) from error
        # 5. Check the reply. If its bytes were received before, a mismatch is a duplicate, not a
        #    reply to another program.
        self.answers += 1
        is_repeated = _digest(reply) in self._received
        if is_repeated and not self._is_awake:
            # It may be a leftover, with the unit's reply to this POLL still to come.
            self._polls_unanswered += 1
        self._received.add(_digest(reply))
        try:
            self._check_reply(request, reply)
        except RemoteProtocolError as error:
            if is_repeated:
                raise self._duplicate(reply, f"while {command.sub:02X} was open") from error
            raise
        return reply

    def _refuse_unasked_frames(self) -> None:
        """
        Read what has arrived while no request was open, without waiting for more.

        Raises:
            DuplicateReplyError: a frame has arrived whose bytes were received before.
            LineSharedError: another frame has arrived.
        """
        while (chunk := _arrived(self._link)) is not None:
            self._frames += self._reader.feed(chunk)
            self._refuse_rubbish()
        while self._frames:
            self._refuse_frame(self._frames.pop(0), "while no request was open")

    def _refuse_frame(self, frame: Frame, when: str) -> None:
        """End the session because of a frame that answers no open request; drop a leftover."""
        if not self._is_awake:
            return
        if frame.sub == reply_sub(commands.POLL.sub) and self._polls_unanswered:
            self._polls_unanswered -= 1
            return
        if frame.sub in self._late:
            self._late.remove(frame.sub)
            return  # the late reply to our own request that was no longer waited for
        self.is_usable = False
        if _digest(frame) in self._received:
            raise self._duplicate(frame, when)
        raise LineSharedError(
            f"{self.name}: Another program is using this unit's line. Close it, then try again. "
            f"(A reply {frame.sub:02X} arrived {when}.)"
        )

    def _duplicate(self, frame: Frame, when: str) -> DuplicateReplyError:
        return DuplicateReplyError(
            f"{self.name}: a reply ({frame.sub:02X}) arrived twice, the second time {when}, so "
            "the next could be mistaken for another; try again"
        )

    async def _next_frame(self) -> Frame:
        while not self._frames:
            self._frames = self._reader.feed(await self._link.receive())
            self._refuse_rubbish()
        return self._frames.pop(0)

    def _refuse_rubbish(self) -> None:
        if self._reader.skipped_bytes > MAX_RUBBISH_BYTES:
            raise RemoteProtocolError(
                f"{self.name}: {self._reader.skipped_bytes} bytes came and no frame; "
                "the far end is not a MiniMate Plus"
            )

    def _no_reply_error(self, request: Frame, command: Command) -> MiniMateError:
        """Return the error for a missing reply: silence, damaged frames, or another far end."""
        requested = f"{command.name} ({command.sub:02X})"
        waited = f"{self._deadlines.reply_s:g} s"
        reader = self._reader
        # Frames arrived with wrong sums: try the known kinds of damage.
        if reader.broken_frames:
            length = None if command.sub == commands.POLL.sub else request.length
            if request.payload:
                length = 0
            found = diagnosis.diagnose_reply(
                reader.first_broken, reply_sub(command.sub), length
            ) or diagnosis.diagnose_text(self._text_so_far())
            if found is not None:
                return self._diagnosed(command, found)
            return RemoteProtocolError(
                f"{self.name}: {requested} was answered only by broken frames for {waited}; "
                "is another program on the line, or the baud rate wrong?"
            )
        # Bytes arrived and no frame: a modem's or another server's text, or our own echo.
        came = self._text_so_far()
        sent = encode_request(command.sub, request.length, request.params, request.payload)
        if (found := diagnosis.diagnose_text(came, sent)) is not None:
            return self._diagnosed(command, found)
        if rubbish := diagnosis.without_modem_text(came):
            return RemoteProtocolError(
                f"{self.name}: {requested} was answered by {rubbish[:24]!r} and no frame in "
                f"{waited}; the far end is not a MiniMate Plus"
            )
        # While nothing has answered in this session, the POLLs before were waited for as well.
        tries = 1 if self.answers else 1 + self._polls_unanswered
        text = f"{self.name}: no answer to {requested} within {tries * self._deadlines.reply_s:g} s"
        has_begun = _without_start(reader.pending) != reader.pending
        if self.answers or has_begun:
            return ReplyTimeoutError(text)
        found = diagnosis.diagnose_silence(self.name)
        error = ReplyTimeoutError(f"{text}: {found}")
        error.diagnosis = found.name
        return error

    def _text_so_far(self) -> bytes:
        """Return the first bytes that arrived since the request and belong to no frame."""
        came = self._reader.rubbish + _without_start(self._reader.pending)
        return came.removeprefix(self._pending_before)

    def _diagnosed(self, command: Command, found: Diagnosis) -> MiniMateError:
        """Return the error for a proven cause; the party at fault decides its class."""
        classes = {"refused": ConnectError, "lost": LinkClosedError}
        class_ = classes.get(found.class_, RemoteProtocolError)
        came = self._text_so_far().replace(b"\r\n", b"")[:24]
        shown = f" (It begins with {came!r}.)" if came and found.class_ != "damaged" else ""
        error = class_(f"{self.name}: {command.name} ({command.sub:02X}): {found}{shown}")
        error.diagnosis = found.name
        return error

    def _check_reply(self, request: Frame, reply: Frame) -> None:
        """Compare a reply with its request: the echoed parameters, and the requested length."""
        # A reply to a 0A probe has the record's length among its parameters; the key is the echo.
        part = slice(4, 8) if request.sub == commands.RECORD_HEADER.sub else slice(None)
        echo, asked = reply.params[part], request.params[part]
        wanted = 0 if request.payload else request.length
        tail_bytes = len(request.params) + wanted
        found = diagnosis.diagnose_reply_length(reply.params + reply.payload, tail_bytes)
        if found is not None and request.sub != commands.POLL.sub:
            raise self._diagnosed(commands.COMMANDS[request.sub], found)
        if echo != asked and any(echo):
            raise LineSharedError(
                f"{self.name}: Another program is using this unit's line. Close it, then try "
                f"again. (Asked {request.sub:02X} with {asked.hex()}, was answered with "
                f"{echo.hex()}.)"
            )
        # The content of a reply to POLL is unknown, and so is its length.
        if request.sub != commands.POLL.sub and len(reply.payload) != wanted:
            raise RemoteProtocolError(
                f"{self.name}: asked {request.sub:02X} for {wanted} bytes, got {len(reply.payload)}"
            )

    def _name_unit(self, error: BaseException) -> None:
        """Put the unit's name into an error; the layouts of the wire do not know it."""
        is_ours = isinstance(error, UnitError | LocalProtocolError)
        if is_ours and self.name not in str(error):
            error.args = (f"{self.name}: {error}",)

    @asynccontextmanager
    async def _operation(self, doing: str) -> AsyncIterator[None]:
        """Run one operation, alone and within its deadline; a failure ends the session."""
        if self._busy:
            raise LocalProtocolError(f"{self.name}: {doing} while another operation runs")
        if not self.is_usable:
            raise LocalProtocolError(f"{self.name}: this session is over; open another")
        self._busy = True
        try:
            async with asyncio.timeout(self._deadlines.operation_s) as self._deadline:
                yield
                if self._is_awake:
                    self._refuse_unasked_frames()
        except TimeoutError as error:
            self.is_usable = False
            raise DeadlineError(
                f"{self.name}: {doing} made no progress for {self._deadlines.operation_s:g} s"
            ) from error
        except BaseException as error:
            # With these errors every reply was received completely, so the session can go on.
            if not isinstance(error, KeyChainError | MemoryChangedError | NoSuchEventError):
                self.is_usable = False
            self._name_unit(error)
            raise
        finally:
            self._busy = False

    def _progressed(self) -> None:
        """Restart the operation's deadline: it bounds progress, not the length of a walk."""
        if self._deadline is not None:
            loop = asyncio.get_running_loop()
            self._deadline.reschedule(loop.time() + self._deadlines.operation_s)

    async def _paused(self, pause: Pause) -> bool:
        """Let others use this session between two exchanges; return whether they did."""
        deadline, spent = self._deadline, self.exchanges
        self._busy = False
        if deadline is not None:
            deadline.reschedule(None)
        try:
            await pause()
        finally:
            self._busy = True
            self._deadline = deadline
            self._progressed()
        if not self.is_usable:
            raise LinkClosedError(f"{self.name}: the session ended while others used it")
        return self.exchanges != spent


def _digest(frame: Frame) -> bytes:
    header = frame.sub.to_bytes(1, "big") + frame.length.to_bytes(2, "big") + frame.params
    return blake2b(header + frame.payload, digest_size=16).digest()


def _arrived(link: Link) -> bytes | None:
    """
    Return a chunk that has arrived already, or ``None``; never waits.

    ``Link.receive`` is stepped once: it returns at once if it has a chunk. Otherwise it is
    cancelled where it would wait, which loses no byte (see there). A link that has ended raises at
    its next use.
    """
    receiving = link.receive()
    try:
        receiving.send(None)
    except StopIteration as arrived:
        chunk: bytes = arrived.value
        return chunk
    except LinkClosedError:
        return None
    receiving.close()
    return None


def _without_start(pending: bytes) -> bytes:
    """Return the pending bytes without the start of a reply at their end, however short."""
    start = Direction.REPLY.value
    if pending.startswith(start):
        return b""
    begun = next(n for n in range(len(start), -1, -1) if pending.endswith(start[:n]))
    return pending[: len(pending) - begun]
