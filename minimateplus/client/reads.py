"""
``MiniMate``: every operation on a unit, over any link.

This module contains the reads, ``commands`` the operations that change a unit, and ``session`` the
exchange of frames below them and what it does not guarantee.

Each operation has a deadline for its progress (``Deadlines.operation_s``, from one event or chunk
to the next) and each exchange its own (``Deadlines.reply_s``). Every walk over the unit's memory is
bounded, because a corrupted chain of keys has been seen in the field (BE9558) [C].
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from minimateplus.client.commands import CommandSession
from minimateplus.client.session import Pause
from minimateplus.errors import (
    KeyChainError,
    MemoryChangedError,
    NoSuchEventError,
    RecordDiffersError,
    RemoteProtocolError,
)
from minimateplus.model import (
    FIRST_KEY,
    Event,
    MemoryProbe,
    MonitorLogEntry,
    MonitorStatus,
    Progress,
    StorageRange,
    UnitInfo,
    Waveform,
    differing_offsets,
)
from minimateplus.wire import commands, layouts
from minimateplus.wire.commands import NO_PARAMS, Command
from minimateplus.wire.image import read_image

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_KEYS",
    "POLLS_BEFORE_BULK",
    "MiniMate",
    "OnEvent",
    "OnImage",
    "OnProgress",
    "RecordHeader",
]

MAX_KEYS = 20_000
"""Records that one walk may visit: several times the capacity of the largest memory."""
MAX_IMAGE_BYTES = 1 << 20
"""The longest event image accepted: the whole event memory is 983,026 bytes [C]."""
POLLS_BEFORE_BULK = 3
"""POLLs sent directly before each bulk read, as captured [C]."""

OnProgress = Callable[[Progress], None]
OnEvent = Callable[[Event], None]
"""Called with each event of a walk as soon as its record was read."""
OnImage = Callable[[int, bytes, int], None]
"""Called with a chunk of an event's image: its offset, its bytes, the image's size in bytes."""


class RecordHeader(NamedTuple):
    """A record of the key chain: an event (length 46) or a monitor-log entry (2C)."""

    key: bytes
    length: int
    payload: bytes

    @property
    def is_event(self) -> bool:
        """Whether the record heads a triggered event."""
        return self.length == commands.EVENT_HEADER_BYTES


class MiniMate(CommandSession):
    """
    One session with one unit. Lives from ``open`` to ``close``; owns its link.

    One operation at a time: a second one called meanwhile raises ``LocalProtocolError``.

    >>> async def serial_of(address: str) -> str:
    ...     async with MiniMate.connect(address) as unit:
    ...         return (await unit.read_info()).serial
    """

    # --- operations -----------------------------------------------------------------------------

    async def read_serial(self) -> str:
        """Return the unit's serial number (2 exchanges)."""
        async with self._operation("reading the serial number"):
            return await self._read_serial()

    async def read_info(self, *, serial: str | None = None) -> UnitInfo:
        """
        Return the unit's identity and its recording setup (8 exchanges).

        Args:
            serial: the serial number that this session has just read; it is not read again (2
                exchanges fewer).
        """
        async with self._operation("reading identity and setup"):
            if serial is None:
                serial = await self._read_serial()
            identity = layouts.parse_identity(await self._fetch(commands.IDENTITY))
            setup = layouts.parse_setup(await self._read_setup_block())
            return UnitInfo(
                serial=serial,
                firmware=identity.firmware,
                dsp_firmware=identity.dsp_firmware,
                manufacturer=identity.manufacturer,
                model=identity.model,
                calibrated_on=identity.calibrated_on,
                simulated=identity.simulated,
                setup=setup,
            )

    async def read_storage_range(self) -> StorageRange:
        """Return the keys of the first and the last stored event (2 exchanges)."""
        async with self._operation("reading the storage range"):
            return await self._read_storage_range()

    async def read_lifetime_count(self) -> int:
        """Return how many events the unit has ever recorded (2 exchanges)."""
        async with self._operation("reading the lifetime counter"):
            return await self._read_lifetime_count()

    async def read_probe(
        self, *, serial: str | None = None, newest: Event | None = None
    ) -> MemoryProbe:
        """
        Return the state of the event memory, in 10 exchanges whatever its size.

        Where the storage range is the same for an empty memory and for one event, the first key is
        read as well: 12 exchanges with one event stored, 8 with none. A part that the unit does not
        answer is ``None``.

        Args:
            serial: the serial number that this session has just read; it is not read again (2
                exchanges fewer).
            newest: the event whose record this session has just read. If it is the last stored one,
                that record counts as the probe's (4 exchanges fewer).
        """
        async with self._operation("probing the event memory"):
            if serial is None:
                serial = await self._read_serial()
            stored = await self._if_answered(commands.STORAGE_RANGE, self._read_storage_range)
            first = None if stored is None else stored.first_key
            last = None if stored is None else stored.last_key
            # After an erase both keys are the first key, and so they are with a single event (06).
            if stored is None or (first == FIRST_KEY == last):
                is_empty = await self._read_key(commands.FIRST_EVENT) is None
            else:
                is_empty = False
            if last is None or is_empty:
                newest = None
            elif newest is None or newest.key != last or not newest.record:
                await self._read_header(last)
                newest = await self._read_event(last, 0)
            # The counter comes last, so that a recording during the probe shows in it.
            counted = await self._if_answered(commands.EVENT_COUNTER, self._read_lifetime_count)
            return MemoryProbe(
                serial=serial,
                first_key=first,
                last_key=last,
                lifetime_count=counted,
                last_timestamp=None if newest is None else _iso(newest.device_time),
                is_empty=is_empty,
                last_peaks=None if newest is None else newest.peaks,
                last_project=None if newest is None else newest.project,
                last_record=b"" if newest is None else newest.record,
            )

    async def count_events(self) -> int:
        """Return how many events are stored, by walking the keys (4 exchanges a record)."""
        async with self._operation("counting events"):
            return sum([1 async for header in self._walk() if header.is_event])

    async def read_events(
        self,
        *,
        after: Event | None = None,
        until_key: bytes | None = None,
        on_progress: OnProgress | None = None,
        on_event: OnEvent | None = None,
        pause: Pause | None = None,
    ) -> list[Event]:
        """
        Return the stored events in memory order: all of them, or only those after ``after``.

        Args:
            after: a known event; only later ones are returned. Its record is read again first.
            until_key: the last event's key (storage range), where the walk may stop.
            on_progress: called after each event.
            on_event: called with each event before the next one is requested.
            pause: awaited after each event but the last. If others used the session meanwhile, the
                event is visited and compared again before the walk continues, because it is not
                known which commands move the unit's one record cursor.

        Raises:
            MemoryChangedError: ``after``, or an event before a pause, has changed.
            KeyChainError: the chain of keys loops, is endless, or ends before ``until_key``.
        """
        async with self._operation("reading the event list"):
            events: list[Event] = []
            offset = 0 if after is None else after.index + 1
            async with aclosing(self._walk(after, until_key)) as walk:
                async for header in walk:
                    if not header.is_event:
                        continue
                    event = await self._read_event(header.key, offset + len(events))
                    events.append(event)
                    if on_event is not None:
                        on_event(event)
                    if on_progress is not None:
                        on_progress(Progress(what="events", done=len(events), total=None))
                    if pause is None or header.key == until_key:
                        continue
                    if await self._paused(pause):
                        await self._check_record(event)
            return events

    async def read_monitor_log(self) -> list[MonitorLogEntry]:
        """Return the monitor-log entries, which are stored between the events, in memory order."""
        async with self._operation("reading the monitor log"), aclosing(self._walk()) as walk:
            return [
                layouts.parse_monitor_log(header.key, header.payload)
                async for header in walk
                if not header.is_event
            ]

    async def read_event(self, key: bytes, index: int) -> Event:
        """Return the event with that key (4 exchanges); ``index`` only becomes its ``index``."""
        async with self._operation("reading an event"):
            header = await self._read_header(key)
            if not header.is_event:
                raise NoSuchEventError(f"{self.name}: the record at {key.hex()} is not an event")
            return await self._read_event(key, index)

    async def read_waveform(
        self,
        event: Event | int,
        *,
        on_progress: OnProgress | None = None,
        begun: bytes = b"",
        on_image: OnImage | None = None,
        pause: Pause | None = None,
    ) -> Waveform:
        """
        Return the samples of one event.

        The event's record is read before and after the download, and must be that of ``event`` both
        times; otherwise the whole download is discarded.

        An interrupted read can be resumed with ``begun``. The record is checked and the unit armed
        as always; the first chunk and the last chunk of ``begun`` are read again, because a unit
        that echoes no address may have sent an earlier chunk in place of the last. Then the read
        continues after ``begun``. A unit probably answers a read that skips a part, because each 5A
        contains its own address, but no capture shows it [I]. If the first read after the skipped
        part fails, its error is raised like any other: begin the next read without ``begun``.

        Args:
            event: one from ``read_events``, or an index, found by walking the keys.
            on_progress: called after each chunk, in bytes; ``begun`` counts as done.
            begun: the start of this event's image, from an earlier read. Bytes after the last whole
                chunk (``commands.BULK_CHUNK_BYTES``, or the image's shorter last one) are not used.
                All of it is discarded if it is longer than the image, or if its first or last chunk
                differs from the one read now.
            on_image: called with each new chunk of the image, in order. The first call is for
                offset 0 unless ``begun`` was used; then discard the chunks of earlier reads. No
                chunk is proven until this operation returns; after ``MemoryChangedError`` they may
                belong to two events.
            pause: awaited after each chunk but the last. If others used the session meanwhile, the
                record is compared and the unit armed again, because it is not known whether a
                memory read continues after another command.

        Raises:
            MemoryChangedError: another event is stored at this key now.
            NoSuchEventError: there is no such index.
            SampleDecodeError: the body has no valid samples. Its ``waveform`` has the image.
        """
        async with self._operation("reading a waveform"):
            if isinstance(event, int):
                event = await self._find_event(event)
            await self._arm(event)
            image = await self._read_image(event, begun, on_progress, on_image, pause)
            # The record read after the samples is returned. It is nearer to them (4 exchanges after
            # the last; the other is 9 before the first), so if another event with the same stamp
            # was recorded in between, it is more likely to belong to the samples.
            record = await self._check_record(event)
        # Outside the operation, because bytes that cannot be decoded do not end the session.
        return read_image(replace(event, record=record), image)

    async def erase_all(self, *, serial: str, count: int, on_event: OnEvent | None = None) -> None:
        """
        Erase every event of the unit ``serial``, which must have ``count`` events now.

        The memory is walked first, keys and records, between two equal probes (10 exchanges an
        event), so that the erase does not rely on an earlier list. Then ``erase_proven``.

        Args:
            serial: the expected unit.
            count: the expected number of events.
            on_event: called with each event of the walk, its record included, so that the caller
                can save it; an exception prevents the erase.

        Raises:
            MemoryChangedError: another unit answers, it has another number of events, or its memory
                changed meanwhile; nothing was sent, or nothing was confirmed.
            LineSharedError: another program uses the line; nothing was sent.
            OutcomeUnknownError: something failed after the first byte of the erase.
        """
        proven = await self.read_probe()
        events = await self.read_events(on_event=on_event)
        again = await self.read_probe()
        # The walk's last record too: a walk over another memory may lie between equal probes.
        records = {proven.last_record, again.last_record}
        if events and proven.last_key is not None:
            records.add(events[-1].record)
        if again != proven or len(records) > 1:
            raise MemoryChangedError(
                f"{self.name}: the memory changed while its events were read; nothing was "
                "sent; stop monitoring, then read the event list again"
            )
        if len(events) != count:
            raise MemoryChangedError(
                f"{self.name}: {proven.serial} holds {len(events)} events, not {count}; nothing "
                "was sent; read the event list again"
            )
        await self.erase_proven(serial=serial, proven=proven)

    async def read_monitor_status(self) -> MonitorStatus:
        """Return the unit's monitoring state, clock, battery and memory (2 exchanges)."""
        async with self._operation("reading the monitor status"):
            return layouts.parse_monitor_status(await self._fetch(commands.MONITOR_STATUS))

    # --- reads inside an operation --------------------------------------------------------------

    async def _read_key(self, command: Command, token: int = 0) -> bytes | None:
        """Return the key that 1E or 1F reports; ``None`` for the null key."""
        payload = await self._fetch(command, commands.token_params(token) if token else NO_PARAMS)
        key: bytes = layouts.KEY.parse(payload)["key"]
        return None if key == layouts.NULL_KEY else key

    async def _read_header(self, key: bytes) -> RecordHeader:
        """Visit a record. The probe's reply has its length in the byte before the key [C]."""
        params = commands.key_params(key)
        probe = await self._exchange(commands.RECORD_HEADER, params=params)
        length = probe.params[3]
        if length not in (commands.EVENT_HEADER_BYTES, commands.MONITOR_LOG_BYTES):
            raise KeyChainError(
                f"{self.name}: the record at {key.hex()} has length {length:02X}; "
                "expected 46 (event) or 2C (monitor log)"
            )
        reply = await self._exchange(commands.RECORD_HEADER, length=length, params=params)
        return RecordHeader(key, length, reply.payload)

    async def _read_record(self, key: bytes) -> bytes:
        return await self._fetch(commands.WAVEFORM_RECORD, commands.key_params(key))

    async def _read_event(self, key: bytes, index: int) -> Event:
        payload = await self._read_record(key)
        record = layouts.parse_waveform_record(payload)
        return Event(
            index=index,
            key=key,
            device_time=record.device_time,
            peaks=record.peaks,
            project=record.project,
            record=payload,
        )

    async def _walk(
        self, after: Event | None = None, until_key: bytes | None = None
    ) -> AsyncGenerator[RecordHeader, None]:
        """Yield every record of the chain, or every one after ``after``; bounded."""
        # A damaged chain loops or is endless, so every key is remembered and their number limited.
        seen: set[bytes] = set()
        if after is None:
            key = await self._read_key(commands.FIRST_EVENT)
        else:
            # 1F follows the record visited last, so ``after`` is visited, and proven, first [C].
            await self._check_record(after)
            seen.add(after.key)
            key = None if after.key == until_key else await self._read_key(commands.NEXT_EVENT)
        while key is not None:
            if key in seen:
                raise KeyChainError(f"{self.name}: the chain of keys returns to {key.hex()}")
            if len(seen) >= MAX_KEYS:
                raise KeyChainError(f"{self.name}: the chain of keys is longer than {MAX_KEYS}")
            seen.add(key)
            # 0A moves the record cursor here, and 1F then reports the key after it.
            header = await self._read_header(key)
            self._progressed()
            yield header
            if key == until_key:
                return
            key = await self._read_key(commands.NEXT_EVENT)
        if until_key is not None and until_key not in seen:
            raise KeyChainError(
                f"{self.name}: the chain of keys ends before the last stored key {until_key.hex()}"
            )

    async def _find_event(self, index: int) -> Event:
        if index >= 0:
            at = 0
            async with aclosing(self._walk()) as walk:
                async for header in walk:
                    if header.is_event and at == index:
                        return await self._read_event(header.key, index)
                    at += header.is_event
        raise NoSuchEventError(f"{self.name}: the unit has no event {index}")

    async def _check_record(self, event: Event, *, arm: bool = False) -> bytes:
        """
        Visit ``event`` and read its record (0C) again; return it.

        Time, peaks and project must be unchanged; the time alone does not suffice, because under a
        clock that was never set it is the same for every event. If ``event`` has its record, its
        other bytes must be unchanged too, except at ``volatile_offsets``.

        Raises:
            MemoryChangedError: the record is gone, or belongs to another event.
            RecordDiffersError: only bytes of unknown meaning differ.
        """
        try:
            header = await self._read_header(event.key)
        except KeyChainError as error:
            # The key was valid before, so the memory has changed; the chain is not damaged.
            raise MemoryChangedError(f"{self.name}: {event.key.hex()} is gone: {error}") from error
        if not header.is_event:
            raise MemoryChangedError(
                f"{self.name}: the record at {event.key.hex()} is not an event any more"
            )
        if arm:
            await self._read_key(commands.FIRST_EVENT, commands.ARM)
        now = await self._read_event(event.key, event.index)
        if now != event:
            raise MemoryChangedError(
                f"{self.name}: the record at {event.key.hex()} is {_named(now)} now, was "
                f"{_named(event)}"
            )
        if offsets := differing_offsets(event.record, now.record) - self.volatile_offsets:
            raise RecordDiffersError(
                f"{self.name}: the record at {event.key.hex()} differs at {sorted(offsets)}, in "
                "bytes whose meaning is not known; whether the event is another one is not known",
                offsets,
            )
        return now.record

    async def _arm(self, event: Event) -> None:
        """Prepare the unit for 5A, in the captured order, and compare the record [C]."""
        await self._check_record(event, arm=True)
        await self._read_key(commands.NEXT_EVENT, commands.ARM)
        for _ in range(POLLS_BEFORE_BULK):
            await self._fetch(commands.POLL)

    async def _read_image(
        self,
        event: Event,
        begun: bytes,
        on_progress: OnProgress | None,
        on_image: OnImage | None,
        pause: Pause | None,
    ) -> bytes:
        """Read an event's memory, from its key to the end given by its STRT record."""
        # 1. The key is the image's address. The first chunk begins with the STRT record, which has
        #    the image's end; a size beyond the whole memory is not believed.
        base = int.from_bytes(event.key, "big")
        first = await self._read_memory(base, commands.BULK_CHUNK_BYTES)
        start = layouts.parse_start_record(first)
        size = start.end_address - base
        shortest = layouts.BODY_OFFSET + layouts.FOOTER.size
        if start.start_address != base or not shortest <= size <= MAX_IMAGE_BYTES:
            raise RemoteProtocolError(
                f"{self.name}: the event at {event.key.hex()} reports that it is stored from "
                f"{start.start_address:08x} to {start.end_address:08x}"
            )
        first = first[:size]
        # 2. Use what was read before only if its first and last chunks are the same now.
        image = _resumable(begun, first, size)
        if len(image) > len(first):
            at = (len(image) - 1) // commands.BULK_CHUNK_BYTES * commands.BULK_CHUNK_BYTES
            if await self._read_memory(base + at, len(image) - at) != image[at:]:
                image = b""
        if not image:
            image = first
            if on_image is not None:
                on_image(0, first, size)
        # 3. Read the rest. After a pause in which others used the session the unit is armed again.
        while len(image) < size:
            if on_progress is not None:
                on_progress(Progress(what="bytes", done=len(image), total=size))
            wanted = min(commands.BULK_CHUNK_BYTES, size - len(image))
            chunk = await self._read_memory(base + len(image), wanted)
            if on_image is not None:
                on_image(len(image), chunk, size)
            image += chunk
            self._progressed()
            if pause is not None and len(image) < size and await self._paused(pause):
                await self._arm(event)
        if on_progress is not None:
            on_progress(Progress(what="bytes", done=size, total=size))
        return image

    async def _read_memory(self, address: int, length: int) -> bytes:
        params = commands.address_params(address)
        return (await self._exchange(commands.BULK_READ, length=length, params=params)).payload


def _resumable(begun: bytes, first: bytes, size: int) -> bytes:
    """Return the whole chunks of ``begun``; none unless it can belong to this image."""
    if len(begun) > size:
        return b""
    if len(begun) < size:
        # An interrupted read may end within a chunk; the incomplete piece is not proven.
        begun = begun[: len(begun) - len(begun) % commands.BULK_CHUNK_BYTES]
    return begun if begun.startswith(first) else b""


def _named(event: Event) -> str:
    """Return what tells an event from another one, for people."""
    pvs = event.peaks.vector_sum_in_s
    return (
        f"of {_iso(event.device_time)} with PVS {'unknown' if pvs is None else f'{pvs:.4g} in/s'}"
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
