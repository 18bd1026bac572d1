"""
A unit's event memory: keys are addresses, and each is that of a record.

Keys start at 01110000 after an erase and grow with what is stored. An event's image is stored at
its key; a monitor-log record of 0x46 bytes follows the image, and then the next event's key (wire
notebook, keys) [C values, D meaning].
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime

from minimateplus.model import FIRST_KEY, Event
from minimateplus.wire import commands

__all__ = [
    "FIRST_ADDRESS",
    "GAP_BYTES",
    "EventMemory",
    "StoredEvent",
]

GAP_BYTES = 0x46
"""Distance from the end of an event's image to the next event's key. [I]"""
FIRST_ADDRESS = int.from_bytes(FIRST_KEY, "big")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as it is stored in memory."""

    event: Event
    device_time: datetime
    stop_device_time: datetime
    trigger_level_in_s: float
    image: bytes

    @property
    def address(self) -> int:
        """The start of the image: the key as a number."""
        return int.from_bytes(self.event.key, "big")

    @property
    def end_address(self) -> int:
        """The first byte after the image: the address of the monitor-log record."""
        return self.address + len(self.image)

    @property
    def log_key(self) -> bytes:
        """The key of the monitor-log record after the event."""
        return self.end_address.to_bytes(4, "big")


@dataclass(slots=True)
class EventMemory:
    """The events stored since the last erase, and the chain of keys through them."""

    total_bytes: int
    stored: list[StoredEvent] = field(default_factory=list)
    _places: dict[bytes, int] = field(default_factory=dict)
    """Each key's place in the chain: an event's is even, its monitor-log record's odd."""

    @property
    def next_address(self) -> int:
        """Where the next event's image will start."""
        return self.stored[-1].end_address + GAP_BYTES if self.stored else FIRST_ADDRESS

    @property
    def free_bytes(self) -> int:
        """The free part of the memory."""
        return self.total_bytes - (self.next_address - FIRST_ADDRESS)

    @property
    def last_key(self) -> bytes:
        """The newest event's key; the first key when nothing is stored, as after an erase [C]."""
        return self.stored[-1].event.key if self.stored else FIRST_KEY

    def add(self, stored: StoredEvent) -> None:
        """
        Store an event at the next address.

        Raises:
            MemoryError: it does not fit; what a real unit does then is unknown.
        """
        if len(stored.image) + GAP_BYTES > self.free_bytes:
            raise MemoryError(
                f"the simulated memory of {self.total_bytes:,} bytes is full: "
                f"{self.free_bytes:,} bytes free, the event takes {len(stored.image):,}"
            )
        self._places[stored.event.key] = 2 * len(self.stored)
        self._places[stored.log_key] = 2 * len(self.stored) + 1
        self.stored.append(stored)

    def record_at(self, key: bytes) -> tuple[int, StoredEvent] | None:
        """Return length and event of the record with that key; the length is that of its type."""
        place = self._places.get(key)
        if place is None:
            return None
        number, is_log = divmod(place, 2)
        length = commands.MONITOR_LOG_BYTES if is_log else commands.EVENT_HEADER_BYTES
        return length, self.stored[number]

    def key_after(self, key: bytes) -> bytes | None:
        """Return the key of the record after that of ``key``; ``None`` at the end."""
        number, is_log = divmod(self._places.get(key, 2 * len(self.stored)) + 1, 2)
        if number >= len(self.stored):
            return None
        stored = self.stored[number]
        return stored.log_key if is_log else stored.event.key

    def read(self, address: int, length: int) -> bytes:
        """Return ``length`` bytes of memory; zeros where nothing is stored (our choice [U])."""
        out = bytearray(length)
        first = max(0, bisect_right(self.stored, address, key=lambda s: s.address) - 1)
        for stored in self.stored[first:]:
            start = max(address, stored.address)
            stop = min(address + length, stored.end_address)
            if stored.address >= address + length:
                break
            if start < stop:
                piece = stored.image[start - stored.address : stop - stored.address]
                out[start - address : stop - address] = piece
        return bytes(out)
