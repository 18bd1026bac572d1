"""
The memory of a fake unit at the grain of records, and what a session reads of it at one instant.

The worlds of ``proofs/simulation`` and of ``proofs/interleavings`` put their own sessions before
it: the former wait at each exchange, the latter once for each verb.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from minimateplus.errors import KeyChainError, MemoryChangedError
from minimateplus.model import FIRST_KEY, Event, Peaks, RecordingSetup, StorageRange, UnitInfo

__all__ = ["RecordMemory", "setup_with_notes", "unit_info"]

EVENT_BYTES = 0x200
SIZE_STEP_BYTES = 0x80


class RecordMemory:
    """Stored events and the lifetime counter. The tuple ``events`` is replaced, never changed."""

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.events: tuple[Event, ...] = ()
        self.lifetime_count = 0
        self._address = int.from_bytes(FIRST_KEY, "big")

    @property
    def next_key(self) -> bytes:
        """The key of the event that is stored next; after an erase it is the first one again."""
        return self._address.to_bytes(4, "big")

    def store(
        self,
        device_time: datetime,
        tran_in_s: float,
        *,
        size: int = 0,
        record: bytes = b"",
        counts: int = 1,
    ) -> None:
        """Store one event and count it; equal sizes in equal order make equal keys."""
        event = Event(
            index=len(self.events),
            key=self.next_key,
            device_time=device_time,
            peaks=peaks_of(tran_in_s),
            project=None,
            record=record,
        )
        self._address += EVENT_BYTES + SIZE_STEP_BYTES * size
        self.events = (*self.events, event)
        self.lifetime_count += counts

    def clear(self) -> None:
        """Erase all events; the lifetime counter keeps its count."""
        self.events = ()
        self._address = int.from_bytes(FIRST_KEY, "big")

    def find(self, key: bytes) -> int | None:
        """Return the place of the event with that key."""
        for place, event in enumerate(self.events):
            if event.key == key:
                return place
        return None

    def visit(self, key: bytes) -> Event:
        """
        Return the event with that key.

        Raises:
            KeyChainError: there is none; the unit announces a record of length 0.
        """
        place = self.find(key)
        if place is None:
            raise KeyChainError(f"{self.serial}: the record at {key.hex()} has length 00")
        return self.events[place]

    def check(self, event: Event) -> Event:
        """
        Return the event in the place of one that was read before.

        Raises:
            MemoryChangedError: it is gone, or another one.
        """
        try:
            now = self.visit(event.key)
        except KeyChainError as error:
            raise MemoryChangedError(f"{self.serial}: {event.key.hex()} is gone") from error
        if (now.device_time, now.peaks) != (event.device_time, event.peaks):
            raise MemoryChangedError(f"{self.serial}: {event.key.hex()} is of another event")
        return now

    def key_after(self, key: bytes) -> bytes | None:
        """Return the key that follows; ``None`` behind the last and behind one that is gone."""
        place = self.find(key)
        following = len(self.events) if place is None else place + 1
        return self.events[following].key if following < len(self.events) else None

    def storage_range(self) -> StorageRange:
        """Return what the unit says of its memory: an empty one says the first key twice."""
        return StorageRange(FIRST_KEY, self.events[-1].key if self.events else FIRST_KEY)


@lru_cache(maxsize=4096)
def peaks_of(tran_in_s: float) -> Peaks:
    return Peaks(
        tran_in_s=tran_in_s, vert_in_s=None, long_in_s=None, mic_psi=None, vector_sum_in_s=None
    )


def setup_with_notes(notes: str | None) -> RecordingSetup:
    """Return a setup in which nothing else is known but the rate."""
    return RecordingSetup(
        mode=None,
        sample_rate_hz=1024,
        histogram_interval_s=None,
        pretrigger_s=None,
        record_time_s=None,
        geo_range_in_s=None,
        trigger_level_in_s=None,
        alarm_level_in_s=None,
        mic_trigger_psi=None,
        mic_alarm_psi=None,
        setup_name=None,
        project=None,
        client=None,
        operator=None,
        location=None,
        notes=notes,
    )


def unit_info(serial: str, setup: RecordingSetup, *, firmware: str | None = None) -> UnitInfo:
    """Return the identity of a simulated unit of which little is known."""
    return UnitInfo(
        serial=serial,
        firmware=firmware,
        dsp_firmware=None,
        manufacturer=None,
        model=None,
        calibrated_on=None,
        simulated=True,
        setup=setup,
    )
