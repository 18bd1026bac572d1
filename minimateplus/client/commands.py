"""
The verbs that change a unit: start, stop, erase, settings.

The rule: whatever can be known beforehand is read first; then each command goes out once, and is
never said again. If anything goes wrong after the first byte of a command, the outcome is unknown
(``OutcomeUnknownError``), whatever the reason was, and the conversation is over. What was written
is read back and compared.

Evidence: start, stop and the six exchanges of an erase are captured [C]; so are the blocks of a
setup write, their order and their acknowledgements [C], but not the parameters of the three chunks
of 71 nor the read form of block 82, which are inferred [I]. A unit that does not say 22 or 09 gets
no new settings: a block is only ever written back to the unit that said it.
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
"""Awaited just before the first byte of a command goes out; what it raises stops the command."""
OnStep = Callable[[int, int], None]
"""Takes how many commands of a write were acknowledged, and how many there are."""


class CommandSession(Session):
    """A conversation in which a unit can be changed."""

    async def start_monitoring(self) -> None:
        """
        Let the unit start monitoring; it checks its sensors for about 40 s before it does [C].

        Raises:
            OutcomeUnknownError: the command went out and was not acknowledged.
        """
        async with self._sending_command("starting to monitor"):
            await self._command(commands.START_MONITORING)

    async def stop_monitoring(self) -> None:
        """Let the unit stop monitoring; errors as with ``start_monitoring``."""
        async with self._sending_command("stopping to monitor"):
            await self._command(commands.STOP_MONITORING)

    async def stop_monitoring_without_reply(self) -> None:
        """
        Say POLL and stop to a unit that is too busy to answer, and wait for nothing [C v0.17.0].

        Whether it heard is not known; this conversation is over.

        Raises:
            LinkError: not even the link took it.
        """
        async with self._operation("stopping to monitor, unheard"):
            self.is_usable = False
            await self._send_without_reply(commands.POLL)
            await self._send_without_reply(commands.STOP_MONITORING)

    async def erase_proven(self, *, serial: str, proven: MemoryProbe) -> None:
        """
        Erase every event in the six captured exchanges: A3, 1C, 06, A2.

        For a caller that has just walked the memory in this session, between two equal probes; all
        others call ``MiniMate.erase_all``.

        Args:
            serial: whose memory.
            proven: the probe that closed the walk. The unit's lifetime counter is compared with it
                once more before A3 (2 exchanges more), and its last event's key in between.

        Raises:
            MemoryChangedError: something differs. A2 did not go out, so nothing was erased as far
                as any capture shows.
            OutcomeUnknownError: something failed after the first byte of A3.
        """
        if proven.serial != serial:
            raise MemoryChangedError(
                f"{self.name}: the erase is for unit {serial}, and {proven.serial} answers there; "
                "nothing was sent"
            )
        async with self._sending_command("erasing all events"):
            # A key alone is no proof: what is recorded after an erase may end at the same one.
            counted = proven.lifetime_count
            if counted is not None and (now := await self._read_lifetime_count()) != counted:
                raise MemoryChangedError(
                    f"{self.name}: the lifetime counter is {now} now, was {counted}; nothing was "
                    "sent; read the event list again"
                )
            await self._erase(None if proven.is_empty else proven.last_key)

    async def erase_without_walk(self, *, serial: str) -> None:
        """
        Erase every event of the unit ``serial`` without looking at them.

        For a unit whose chain of events is damaged, so that no walk ends [C: BE9558]. Only the
        serial number guards it; errors as with ``erase_proven``.
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
        """Send the six captured exchanges; the last event's key is compared between them."""
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
        """Return when and whom the unit calls by itself (2 exchanges)."""
        async with self._operation("reading the call-home settings"):
            return layouts.parse_call_home(await self._fetch(commands.CALL_HOME))

    async def write_call_home(
        self, change: CallHomeChange, *, dry_run: bool = False, before: Before | None = None
    ) -> Written:
        """
        Change the given call-home settings, read them back and compare.

        Args:
            change: what is to be otherwise.
            trial: only say what would change.
            before: see ``Before``.

        Raises:
            SettingError: a value that a unit cannot take; nothing was sent.
            OutcomeUnknownError: something failed after the first byte of the write.
            ReadBackError: the unit acknowledged, and then said something else.
        """
        async with self._sending_command("writing the call-home settings"):
            block = await self._fetch(commands.CALL_HOME)
            new, told = setup_changes.change_call_home(block, change, unit=self.name)
            if dry_run or not told:
                return Written(changes=told, is_written=False)
            if before is not None:
                await before()
            await self._command(commands.WRITE_CALL_HOME, new + commands.CALL_HOME_TAIL)
            await self._command(commands.CONFIRM_CALL_HOME)
            return self._compared(new, await self._fetch(commands.CALL_HOME), told)

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
            change: what is to be otherwise.
            trial: only say what would change.
            before: see ``Before``.
            on_step: called after each acknowledgement.

        Raises:
            SettingError: a value that a unit cannot take; nothing was sent.
            NotWritableError: the unit does not show where a field lies, or not all the blocks that
                belong to a write; nothing was sent.
            OutcomeUnknownError: something failed after the first byte of the write.
            ReadBackError: the unit acknowledged, and then said something else.
        """
        async with self._sending_command("writing the recording setup"):
            new, told = setup_changes.change_setup(
                await self._read_setup_block(), change, unit=self.name
            )
            if dry_run or not told:
                return Written(changes=told, is_written=False)
            steps = await self._setup_write(new)
            if before is not None:
                await before()
            for number, (command, data, params) in enumerate(steps, 1):
                await self._command(command, data, params=params)
                if on_step is not None:
                    on_step(number, len(steps))
            return self._compared(new, await self._read_setup_block(), told)

    # --- inside ---------------------------------------------------------------------------------

    async def _setup_write(self, setup: bytes) -> list[tuple[Command, bytes, bytes]]:
        """Return what is said to write ``setup``, in the captured order [C]."""
        trigger = await self._block(commands.TRIGGER_BLOCK)
        unknown = await self._block(commands.UNKNOWN_BLOCK)
        # Last: what the unit counts in it must not be older than it need be when it is written.
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
                f"{self.name}: the unit does not say its {command.name} ({command.sub:02X}), which "
                "is written together with the setup; nothing was written"
            )
        return block

    def _compared(self, sent: bytes, now: bytes, told: tuple[FieldChange, ...]) -> Written:
        """Compare what the unit says now with what was sent to it."""
        given: set[int] = set()
        for change in told:
            for at, _, new in change.spans:
                size = len(new) // 2
                given.update(range(at, at + size))
                if now[at : at + size] != sent[at : at + size]:
                    raise ReadBackError(
                        f"{self.name}: the unit acknowledged {change.field} = {change.after!r} and "
                        f"says {now[at : at + size].hex()} where {new} was written; read its "
                        "settings before you change them again"
                    )
        pairs = enumerate(zip(sent, now, strict=True))
        elsewhere = sum(one != other for at, (one, other) in pairs if at not in given)
        return Written(changes=told, is_written=True, elsewhere_bytes=elsewhere)

    async def _command(
        self, command: Command, data: bytes = b"", *, params: bytes = NO_PARAMS
    ) -> None:
        """Send a command that changes the unit, once, and hear its acknowledgement."""
        assert command.changes, command.name
        self.commands_sent += 1
        await self._exchange(command, length=len(data), params=params, data=data)

    async def _send_without_reply(self, command: Command) -> None:
        self.commands_sent += command.changes
        self.exchanges += 1
        await self._link.send(encode_request(command.sub))

    @asynccontextmanager
    async def _sending_command(self, doing: str) -> AsyncIterator[None]:
        """One verb that changes the unit: what fails after a command's first byte is unknown."""
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
                f"{self.name}: {doing}: a command went out, and whether the unit followed it is "
                f"not known: {error}; read the unit before you give it again"
            ) from error
