"""
The operations that change a unit: start, stop, erase, settings.

The rule: everything that can be checked is read first; then each command is sent once and never
repeated. If anything fails after the first byte of a command, the outcome is unknown
(``OutcomeUnknownError``) whatever the cause, and the session ends. Written settings are read back
and compared.

Evidence: start, stop and the six exchanges of an erase are captured [C]; so are the blocks of a
setup write, their order and their acknowledgements [C], but not the parameters of the three chunks
of 71 nor the read form of block 82, which are inferred [I]. A unit that does not answer 22 or 09
gets no new settings, because a block is only ever written back to the unit it was read from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from minimateplus.client.session import Session
from minimateplus.errors import (
    MemoryChangedError,
    MiniMateError,
    NotWritableError,
    OutcomeUnknownError,
    ReadBackError,
)
from minimateplus.model import (
    CallHome,
    CallHomeChange,
    FieldChange,
    MemoryProbe,
    SetupChange,
    Written,
)
from minimateplus.wire import commands, layouts, setup_changes
from minimateplus.wire.commands import NO_PARAMS, Command
from minimateplus.wire.framing import encode_request

__all__ = [
    "Before",
    "CommandSession",
    "OnStep",
]

_T = TypeVar("_T")

Before = Callable[[], Awaitable[None]]
"""Awaited just before a command's first byte is sent; an exception prevents the command."""
OnStep = Callable[[int, int], None]
"""Called with the number of acknowledged commands of a write, and their total."""


class CommandSession(Session):
    """A session with the operations that change a unit."""

    async def start_monitoring(self) -> None:
        """
        Start monitoring. The unit first checks its sensors, for about 40 s [C].

        Raises:
            OutcomeUnknownError: the command was sent and not acknowledged.
        """
        async with self._sending_command("starting monitoring"):
            await self._command(commands.START_MONITORING)

    async def stop_monitoring(self) -> None:
        """Stop monitoring; errors as with ``start_monitoring``."""
        async with self._sending_command("stopping monitoring"):
            await self._command(commands.STOP_MONITORING)

    async def stop_monitoring_without_reply(self) -> None:
        """
        Send POLL and stop to a unit that is too busy to reply, and do not wait [C v0.17.0].

        Whether the unit received them is not known; this session is over.

        Raises:
            LinkError: the link did not accept them.
        """
        async with self._operation("stopping monitoring without waiting for a reply"):
            self.is_usable = False
            await self._send_without_reply(commands.POLL)
            await self._send_without_reply(commands.STOP_MONITORING)

    async def erase_proven(self, *, serial: str, proven: MemoryProbe) -> None:
        """
        Erase every event in the six captured exchanges: A3, 1C, 06, A2.

        For a caller that has just walked the memory in this session, between two equal probes; all
        others call ``MiniMate.erase_all``.

        Args:
            serial: the unit whose memory is to be erased.
            proven: the probe after the walk. The unit's lifetime counter is compared with it once
                more before A3 (2 exchanges more), and its last event's key between A3 and A2.

        Raises:
            MemoryChangedError: something differs. A2 was not sent, so by every capture nothing was
                erased.
            OutcomeUnknownError: something failed after the first byte of A3.
        """
        if proven.serial != serial:
            raise MemoryChangedError(
                f"{self.name}: the erase is for unit {serial}, and {proven.serial} answers there; "
                "nothing was sent"
            )
        async with self._sending_command("erasing all events"):
            # The last key alone proves nothing: events recorded after an erase may end at the same.
            counted = proven.lifetime_count
            if counted is not None and (now := await self._read_lifetime_count()) != counted:
                raise MemoryChangedError(
                    f"{self.name}: the lifetime counter is {now} now, was {counted}; nothing was "
                    "sent; read the event list again"
                )
            await self._erase(None if proven.is_empty else proven.last_key)

    async def erase_without_walk(self, *, serial: str) -> None:
        """
        Erase every event of the unit ``serial`` without a walk.

        For a unit whose chain of keys is damaged, so that no walk ends [C: BE9558]. Only the serial
        number is checked; errors as with ``erase_proven``.
        """
        async with self._sending_command("erasing all events"):
            found = await self._read_serial()
            if found != serial:
                raise MemoryChangedError(
                    f"{self.name}: the erase is for unit {serial}, and {found} answers there; "
                    "nothing was sent"
                )
            await self._erase(None)

    async def _erase(self, last_key: bytes | None) -> None:
        """Send the six captured exchanges, and compare the last event's key between them."""
        token = commands.token_params(commands.ARM)
        await self._command(commands.ERASE_BEGIN, params=token)
        await self._fetch(commands.MONITOR_STATUS)
        stored = await self._read_storage_range()
        if last_key is not None and stored.last_key != last_key:
            self.is_usable = False
            raise MemoryChangedError(
                f"{self.name}: the last event is {stored.last_key.hex()} now, was "
                f"{last_key.hex()}; the erase was not confirmed, so nothing was erased; "
                "read the event list again"
            )
        await self._command(commands.ERASE_CONFIRM, params=token)

    async def read_call_home(self) -> CallHome:
        """Return the unit's call-home settings: when it calls, and which number (2 exchanges)."""
        async with self._operation("reading the call-home settings"):
            return layouts.parse_call_home(await self._fetch(commands.CALL_HOME))

    async def write_call_home(
        self, change: CallHomeChange, *, dry_run: bool = False, before: Before | None = None
    ) -> Written:
        """
        Change the given call-home settings, read them back and compare.

        Args:
            change: the new values.
            dry_run: return the changes, and write nothing.
            before: see ``Before``.

        Raises:
            SettingError: a value that a unit cannot store; nothing was sent.
            OutcomeUnknownError: something failed after the first byte of the write.
            ReadBackError: the unit acknowledged, but other values were read back.
        """
        async with self._sending_command("writing the call-home settings"):
            block = await self._fetch(commands.CALL_HOME)
            new, changes = setup_changes.change_call_home(block, change, unit=self.name)
            if dry_run or not changes:
                return Written(changes=changes, is_written=False)
            if before is not None:
                await before()
            await self._command(commands.WRITE_CALL_HOME, new + commands.CALL_HOME_TAIL)
            await self._command(commands.CONFIRM_CALL_HOME)
            return self._compared(new, await self._fetch(commands.CALL_HOME), changes)

    async def write_setup(
        self,
        change: SetupChange,
        *,
        dry_run: bool = False,
        before: Before | None = None,
        on_step: OnStep | None = None,
    ) -> Written:
        """
        Change the given recording settings in the captured order, read them back and compare.

        Args:
            change: the new values.
            dry_run: return the changes, and write nothing.
            before: see ``Before``.
            on_step: called after each acknowledgement.

        Raises:
            SettingError: a value that a unit cannot store; nothing was sent.
            NotWritableError: the unit does not show where a field is stored, or does not answer all
                the blocks that belong to a write; nothing was sent.
            OutcomeUnknownError: something failed after the first byte of the write.
            ReadBackError: the unit acknowledged, but other values were read back.
        """
        async with self._sending_command("writing the recording setup"):
            new, changes = setup_changes.change_setup(
                await self._read_setup_block(), change, unit=self.name
            )
            if dry_run or not changes:
                return Written(changes=changes, is_written=False)
            steps = await self._setup_write(new)
            if before is not None:
                await before()
            for number, (command, data, params) in enumerate(steps, 1):
                await self._command(command, data, params=params)
                if on_step is not None:
                    on_step(number, len(steps))
            return self._compared(new, await self._read_setup_block(), changes)

    # --- steps of an operation ------------------------------------------------------------------

    async def _setup_write(self, setup: bytes) -> list[tuple[Command, bytes, bytes]]:
        """Return the commands that write ``setup``, in the captured order [C]."""
        trigger = await self._block(commands.TRIGGER_BLOCK)
        unknown = await self._block(commands.UNKNOWN_BLOCK)
        # Read last, so that the event counter in it is as recent as possible when written back.
        counter = await self._block(commands.EVENT_COUNTER)
        chunks = [
            (
                commands.WRITE_SETUP,
                setup[address : address + length],
                commands.page_params(address),
            )
            for length, address in commands.SETUP_PAGES
        ]
        return [
            (commands.WRITE_EVENT_COUNTER, counter, NO_PARAMS),
            (commands.CONFIRM_EVENT_COUNTER, b"", NO_PARAMS),
            *chunks,
            (commands.CONFIRM_SETUP, b"", NO_PARAMS),
            (commands.WRITE_TRIGGER, trigger, NO_PARAMS),
            (commands.CONFIRM_TRIGGER, b"", NO_PARAMS),
            (commands.WRITE_UNKNOWN, unknown, NO_PARAMS),
            (commands.CONFIRM_UNKNOWN, b"", NO_PARAMS),
            (commands.CONFIRM_SETUP, b"", NO_PARAMS),
        ]

    async def _block(self, command: Command) -> bytes:
        block = await self._if_answered(command, lambda: self._fetch(command))
        if block is None:
            raise NotWritableError(
                f"{self.name}: the unit does not answer {command.name} ({command.sub:02X}), which "
                "is written together with the setup; nothing was written"
            )
        return block

    def _compared(self, sent: bytes, now: bytes, changes: tuple[FieldChange, ...]) -> Written:
        """Compare the block that was read back with the one that was sent."""
        expected: set[int] = set()
        for change in changes:
            for at, _, new in change.spans:
                size = len(new) // 2
                expected.update(range(at, at + size))
                if now[at : at + size] != sent[at : at + size]:
                    raise ReadBackError(
                        f"{self.name}: the unit acknowledged {change.field} = {change.after!r} and "
                        f"returns {now[at : at + size].hex()} where {new} was written; read its "
                        "settings before you change them again"
                    )
        pairs = enumerate(zip(sent, now, strict=True))
        elsewhere = sum(one != other for at, (one, other) in pairs if at not in expected)
        return Written(changes=changes, is_written=True, elsewhere_bytes=elsewhere)

    async def _command(
        self, command: Command, data: bytes = b"", *, params: bytes = NO_PARAMS
    ) -> None:
        """Send a command that changes the unit, once, and wait for its acknowledgement."""
        assert command.changes, command.name
        self.commands_sent += 1
        await self._exchange(command, length=len(data), params=params, data=data)

    async def _send_without_reply(self, command: Command) -> None:
        self.commands_sent += command.changes
        self.exchanges += 1
        await self._link.send(encode_request(command.sub))

    @asynccontextmanager
    async def _sending_command(self, doing: str) -> AsyncIterator[None]:
        """Run an operation that changes the unit; once a command was sent, a failure is unknown."""
        before = self.commands_sent
        try:
            async with self._operation(doing):
                yield
        except (MemoryChangedError, ReadBackError):
            raise
        except MiniMateError as error:
            if self.commands_sent == before:
                raise
            self.is_usable = False
            raise OutcomeUnknownError(
                f"{self.name}: {doing}: a command was sent, and whether the unit executed it is "
                f"not known: {error}; read the unit's state before you send it again"
            ) from error
