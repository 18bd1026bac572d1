"""
One conversation with one unit: a request, its reply, and the deadline of each.

The rule: one conversation, nothing said twice. Only the first POLL is repeated, once, because a
cold unit may sleep through it [C]. Whatever else fails is an error that says whose side it lies on,
and a conversation that has failed once is over: a late answer could be taken for another's. The
exception is a unit that does not answer one part of the memory probe, which some may not know.

Foreign frames: a unit has one record cursor, 1F echoes no key, and a serial server with several
clients passes every reply to all of them [I, and the safe assumption]. Frames that arrive before
the unit has answered the start-up POLL are leftovers and are dropped. From then on a frame that
answers no open request, or a second answer to one, ends the conversation: ``DuplicateReplyError``
if the same bytes were received before, else ``LineSharedError``.

What is **not** promised: a frame's only guard is an 8-bit sum [C] and its length, so damage in two
places of one frame may pass for truth. Damage in one place cannot.
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
"""Bytes that belong to no frame after which an exchange is given up at once."""
MAX_LEFTOVER_FRAMES = 32
"""Frames of earlier sessions that one exchange of the start-up skips before it is given up."""

_T = TypeVar("_T")

Pause = Callable[[], Awaitable[None]]
"""
Awaited between two records of a walk or two chunks of a download: the session may be used by others
meanwhile, with whole verbs of their own.
"""


class Session:
    """
    One conversation with one unit. Lives from ``open`` to ``close``; owns its link.

    Not for two callers at once: a verb called while another runs is a ``LocalProtocolError``.
    """

    def __init__(self, link: Link, deadlines: Deadlines | None = None) -> None:
        self._link = link
        self._deadlines = deadlines or Deadlines()
        self._reader = FrameReader(Direction.REPLY)
        self._frames: list[Frame] = []
        self._held_before = b""
        self._conversation = ProtocolState()
        self._busy = False
        self._is_awake = False
        """Whether the unit has answered our start-up POLL, so that no leftover can follow."""
        self._polls_unanswered = 0
        """POLLs of the start-up whose answers may still arrive late."""
        self._received: set[bytes] = set()
        """A digest of each reply of this conversation."""
        self._deadline: asyncio.Timeout | None = None
        self._unanswered: set[int] = set()
        self._late: set[int] = set()
        """SUBs of the replies to requests that were given up: each may still arrive once."""
        self.exchanges = 0
        """Requests sent so far; a two-step read is two."""
        self.serial: str | None = None
        """The serial number last read in this conversation; ``None`` until then."""
        self.answers = 0
        """Replies received so far."""
        self.commands_sent = 0
        """Frames whose first byte may have gone out and that change the unit."""
        self.volatile_offsets: frozenset[int] = frozenset()
        """Bytes of a record that change although the event is the same: known to the caller."""
        self.is_usable = True
        """False once something failed: close this conversation and start another."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, address: str | Link, *, deadlines: Deadlines | None = None
    ) -> AsyncIterator[Self]:
        """
        Open a link, wake the unit, and close the link on every path.

        Args:
            address: an address that ``minimateplus.link`` can read, or an open link.
            deadlines: how long each thing may take.

        Raises:
            ConnectError: no link could be opened.
            ReplyTimeoutError: something answered the knock, but no unit answered POLL.
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
        Return a unit that has answered POLL. Whoever calls this calls ``close``.

        With ``wake`` false nothing is said: for a unit that may be too busy to answer.
        """
        link = await open_link(address, deadlines) if isinstance(address, str) else address
        unit = cls(link, deadlines)
        if not wake:
            return unit
        try:
            async with unit._operation("waking the unit"):
                await unit._wake()
        except BaseException:
            await link.close()
            raise
        return unit

    async def close(self) -> None:
        """End the conversation and its link. Never fails, and may be called twice."""
        self.is_usable = False
        await self._link.close()

    @property
    def name(self) -> str:
        """The address of the unit, as its link gives it."""
        return self._link.name

    async def _wake(self) -> None:
        try:
            await self._exchange(commands.POLL)
        except ReplyTimeoutError:
            # A cold unit may lose the first POLL [C]; nothing else is ever repeated.
            self._polls_unanswered += 1
            await self._exchange(commands.POLL)
        await self._exchange(commands.POLL, length=commands.POLL.fetch_bytes or 0)
        self._is_awake = True

    # --- what reads and commands stand on --------------------------------------------------------

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
        """Return what ``read`` brings, ``None`` from a unit that does not know the command."""
        if command.sub in self._unanswered:
            return None
        asked_before = self.answers
        try:
            return await read()
        except ReplyTimeoutError:
            # Half an answer, or one to the probe alone, comes from a unit that knows the command.
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
        """Send one request, with ``data`` if it writes; return its reply, checked against it."""
        request = Frame(command.sub, length, params, data)
        self._conversation.accept(request)
        # Let the event loop take in what the system holds for us: 5A may echo no address, and then
        # only the moment of its arrival tells a stale reply from the one that is asked for.
        for _ in range(2):
            await asyncio.sleep(0)
        # Counted from here on, so that a far end that speaks first (a banner) is named for it.
        self._reader.start_counting()
        self._held_before = _without_start(self._reader.pending)
        self._refuse_unasked_frames()
        broken_before = self._reader.broken_frames
        # A frame whose beginning is here already cannot answer what was not asked yet.
        began_before = self._reader.pending.startswith(Direction.REPLY.value)
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
        except TimeoutError as error:
            raise self._why_no_reply(request, command) from error
        except LinkClosedError as error:
            found = diagnosis.diagnose_text(self._text_so_far())
            if found is None and not self.answers and not isinstance(error, CaptureEndedError):
                found = diagnosis.diagnose_hang_up(error)
            if found is None:
                raise
            raise self._diagnosed(command, found) from error
        self.answers += 1
        came_before = _digest(reply) in self._received
        if came_before and not self._is_awake:
            # It may be a leftover, and the unit's answer to this POLL still on its way.
            self._polls_unanswered += 1
        self._received.add(_digest(reply))
        try:
            self._check_reply(request, reply)
        except RemoteProtocolError as error:
            if came_before:
                raise self._duplicate(reply, f"while {command.sub:02X} was open") from error
            raise
        return reply

    def _refuse_unasked_frames(self) -> None:
        """
        Take in what has arrived while no request was open, without waiting for more.

        Raises:
            DuplicateReplyError: there is a frame, and its bytes were received before.
            LineSharedError: there is another one.
        """
        while (chunk := _arrived(self._link)) is not None:
            self._frames += self._reader.feed(chunk)
            self._refuse_rubbish()
        while self._frames:
            self._refuse_frame(self._frames.pop(0), "while no request was open")

    def _refuse_frame(self, frame: Frame, when: str) -> None:
        """End the conversation for a frame that answers no open request; a leftover is dropped."""
        if not self._is_awake:
            return
        if frame.sub == reply_sub(commands.POLL.sub) and self._polls_unanswered:
            self._polls_unanswered -= 1
            return
        if frame.sub in self._late:
            self._late.remove(frame.sub)
            return  # the late answer to a request of our own that was given up
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
            "the next could be taken for another; try again"
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
                "what answers there is no MiniMate Plus"
            )

    def _why_no_reply(self, request: Frame, command: Command) -> MiniMateError:
        """Tell silence from rubbish: after the deadline only what came in between can say it."""
        asked = f"{command.name} ({command.sub:02X})"
        waited = f"{self._deadlines.reply_s:g} s"
        reader = self._reader
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
                f"{self.name}: {asked} was answered only by broken frames for {waited}; "
                "is another program on the line, or the baud rate wrong?"
            )
        came = self._text_so_far()
        sent = encode_request(command.sub, request.length, request.params, request.payload)
        if (found := diagnosis.diagnose_text(came, sent)) is not None:
            return self._diagnosed(command, found)
        if rubbish := diagnosis.without_modem_text(came):
            return RemoteProtocolError(
                f"{self.name}: {asked} was answered by {rubbish[:24]!r} and no frame in {waited}; "
                "what answers there is no MiniMate Plus"
            )
        return ReplyTimeoutError(f"{self.name}: no answer to {asked} within {waited}")

    def _text_so_far(self) -> bytes:
        """Return the first bytes that came since the request and belong to no frame."""
        came = self._reader.rubbish + _without_start(self._reader.pending)
        return came.removeprefix(self._held_before)

    def _diagnosed(self, command: Command, found: Diagnosis) -> MiniMateError:
        """Return the error of a cause that the bytes prove: who is to blame decides its class."""
        classes = {"refused": ConnectError, "lost": LinkClosedError}
        class_ = classes.get(found.class_, RemoteProtocolError)
        came = self._text_so_far().replace(b"\r\n", b"")[:24]
        shown = f" (It begins with {came!r}.)" if came and found.class_ != "damaged" else ""
        error = class_(f"{self.name}: {command.name} ({command.sub:02X}): {found}{shown}")
        error.diagnosis = found.name
        return error

    def _check_reply(self, request: Frame, reply: Frame) -> None:
        """Hold a reply against its request: echoes, and as many bytes as were asked for."""
        # A 0A probe's reply carries the record's length among its parameters; its key is the echo.
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
        # What POLL's answer holds is unknown, its length included.
        if request.sub != commands.POLL.sub and len(reply.payload) != wanted:
            raise RemoteProtocolError(
                f"{self.name}: asked {request.sub:02X} for {wanted} bytes, got {len(reply.payload)}"
            )

    def _name_unit(self, error: BaseException) -> None:
        """Let an error say which unit it is of; the layouts of the wire do not know it."""
        is_ours = isinstance(error, UnitError | LocalProtocolError)
        if is_ours and self.name not in str(error):
            error.args = (f"{self.name}: {error}",)

    @asynccontextmanager
    async def _operation(self, doing: str) -> AsyncIterator[None]:
        """One verb: alone in the conversation, within its deadline; a failure ends both."""
        if self._busy:
            raise LocalProtocolError(f"{self.name}: {doing} while another verb runs")
        if not self.is_usable:
            raise LocalProtocolError(f"{self.name}: this conversation is over; start another")
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
            # After these every answer was heard to its end, so the conversation can go on.
            if not isinstance(error, KeyChainError | MemoryChangedError | NoSuchEventError):
                self.is_usable = False
            self._name_unit(error)
            raise
        finally:
            self._busy = False

    def _progressed(self) -> None:
        """Start the operation's deadline again: it bounds progress, not the length of a walk."""
        if self._deadline is not None:
            loop = asyncio.get_running_loop()
            self._deadline.reschedule(loop.time() + self._deadlines.operation_s)

    async def _paused(self, pause: Pause) -> bool:
        """Let others use this conversation between two exchanges; return whether they did."""
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
    Return a chunk that has arrived already, ``None`` where nothing has; never waits.

    ``Link.receive`` is stepped once: it ends at once if it has a chunk. Else it is cancelled where
    it would wait, which loses no byte (see there). A link that has ended says so at the next use.
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
    """Return what was held back, without the start of a reply that it ends with, however short."""
    start = Direction.REPLY.value
    if pending.startswith(start):
        return b""
    begun = next(n for n in range(len(start), -1, -1) if pending.endswith(start[:n]))
    return pending[: len(pending) - begun]
