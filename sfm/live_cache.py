"""
The live cache: what was read from each unit, until evidence from the unit invalidates it.

The rule. Nothing is served that an invalidation has touched, and nothing enters that was read
before one. Where the evidence contradicts itself, everything of that device goes first.

Keys are opaque: what is cached under one key is of one unit. The relay uses ``unit:SERIAL``.

The theory. Each device has one immutable snapshot. A reader loads it once, takes no lock, and so
sees one state; a writer takes the one lock, builds the next snapshot and publishes it. The
waveforms of an epoch are one dict of immutable entries, which the writer changes in place: storing
one costs the same beside ten as beside thousands. A drop begins a new dict. Two numbers
of a device only ever rise, over drops too: its *epoch* (which memory of the unit this is) and its
*generation* (how often anything of the device was invalidated). A read that fills the cache brings
the generation it took before its first byte; if it is no longer the current one, the fill is late.

=======================================  ======================================  =====  ==========
what happens                             what goes, or hides                     epoch  generation
=======================================  ======================================  =====  ==========
stamps conflict at one index: list with  everything of the device                +1     +1
list, list with waveform, any way round
info names another serial                everything of the device                +1     +1
``drop_device``                          everything of the device                +1     +1
a new list lacks a known index           the waveform of that index                     +1
``mark_config_dirty``                    info and events hide until the next            +1
                                         info; a drop does not end this
``invalidate_monitor_status``            status                                         +1
status reaches 30 s                      status
the byte budget is exceeded              memos over their share, then waveforms;
                                         of both the oldest first
=======================================  ======================================  =====  ==========

There is one budget. What readers derive from a value and store beside it (its encoding: ``Memo``)
is counted with the values. A memo is made again in milliseconds and a waveform in minutes, so
memos go first while they take more than ``MEMO_SHARE`` of the budget.

The thirty seconds are strict: at exactly 30 s the status has expired, since a stale answer is worse
than a slow one (RFC 9111, 4.2, draws the line at the same place: fresh while lifetime > age).
"""

from __future__ import annotations

import marshal
import math
import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import index as exact_int
from threading import Lock
from types import MappingProxyType
from typing import Any, cast

from sfm.cache.identity import Stamp, stamp_of, stamps_conflict

__all__ = ["DEFAULT_BAUD", "DEFAULT_TCP_PORT", "CacheEntry", "Epoch", "LiveCache", "Memo"]

DEFAULT_TCP_PORT = 12345
DEFAULT_BAUD = 38_400
DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024
STATUS_TTL_S = 30.0
MEMO_SHARE = 0.25
"""Of the budget: what memos may take before waveforms have to go."""
MEMO_OVERHEAD_BYTES = 1024
"""Counted for each memo entry beside its own bytes: names, headers and the objects around them."""
SHARED_BYTES = 256
"""From this length on, bytes in a value are shared with its readers instead of copied for each."""
MAX_EPOCHS = 16
"""Of one device: how many are remembered, the present one included."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Which memory of the unit this is, why it is a new one, and since when it is known."""

    number: int
    reason: str
    began_mono: float


class Memo(dict[str, Any]):
    """
    What readers made of a value, so that it is made once for all of them.

    A plain dict for what is small and must stay as long as the value. What is large goes in by
    ``save``: it counts in the cache's budget for as long as the value is in the cache, and may be
    evicted from here at any moment.
    """

    __slots__ = ("_cache", "sizes_bytes")

    def __init__(self, cache: LiveCache | None = None) -> None:
        self._cache = cache
        self.sizes_bytes: dict[str, int] = {}
        """What each kept entry is counted as; changed under the cache's lock alone."""

    def save(self, name: str, made: object, size_bytes: int) -> None:
        """Keep something for as long as there is room for it; ``size_bytes`` is its own size."""
        if self._cache is None:
            self[name] = made  # of a value that no cache has: it goes with its last reader
        else:
            self._cache._save_memo(self, name, made, size_bytes)

    def detach(self) -> None:
        """Stop counting: the value has left the cache. Readers that have it may still use it."""
        self._cache = None
        self.sizes_bytes.clear()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CacheEntry:
    """A cached value and its provenance. Immutable; it outlives its own invalidation."""

    value: Callable[[], Any] = field(repr=False)
    """Call it for a fresh copy of what was put in."""
    read_began_mono: float
    """When the device read began; ``-inf`` when that is not known."""
    epoch: int
    generation: int
    """The device's generation once this value was in."""
    source: str
    route: str = ""
    """The address over which it was read, in the caller's words; empty: not given."""
    size_bytes: int
    """Size of the encoded value, not of the Python objects."""
    probe: object = None
    """Event lists only: what was given beside the list."""
    device_count: int | None = None
    """Event lists only: the count that the list was stored under."""
    stamp: Stamp | None = None
    """Waveforms only."""
    memo: Memo = field(default_factory=Memo, repr=False)
    """What readers derived from the value, such as its encoding; dropped with it."""

    def age_s(self, now_mono: float) -> float:
        """
        Return the seconds since the read began; ``math.inf`` when that is not known.

        Zero when ``now_mono`` is earlier: the asker came first and this read was made after.
        """
        return max(0.0, now_mono - self.read_began_mono)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Device:
    """One state of one device. Never changed, only followed by another."""

    epoch: Epoch
    earlier: tuple[Epoch, ...] = ()
    """The epochs before it, newest first."""
    generation: int = 0
    dirty: bool = False
    serial: str | None = None
    """The last serial known since the last drop; an info without one does not unlearn it."""
    info: CacheEntry | None = None
    status: CacheEntry | None = None
    events: CacheEntry | None = None
    event_stamps: Mapping[int, Stamp] = field(default_factory=dict)
    validated_mono: float | None = None
    waveforms: dict[int, CacheEntry] = field(default_factory=dict)
    """Of this epoch; changed in place, under the lock. Its copies share it."""

    @property
    def pinned(self) -> tuple[CacheEntry | None, ...]:
        """What is never evicted."""
        return (self.info, self.status, self.events)

    def emptied(self, reason: str, now_mono: float, beyond: int = -1) -> _Device:
        """Return the state after a drop. A dirty configuration is still unread, so it stays so."""
        return _Device(
            epoch=Epoch(max(self.epoch.number, beyond) + 1, reason, now_mono),
            earlier=(self.epoch, *self.earlier)[: MAX_EPOCHS - 1],
            generation=self.generation + 1,
            dirty=self.dirty,
        )


_NO_WAVEFORMS: dict[int, CacheEntry] = cast(dict[int, CacheEntry], MappingProxyType({}))
"""Shared by all unknown devices, so it must never be written to."""


class LiveCache:
    """
    Identity, event list, waveforms and monitor status of many units, in memory.

    Lives as long as the relay; nothing to close. All methods may be called from any thread. The
    clock is read at most once in each call, and never under the lock.

    >>> cache = LiveCache()
    >>> key = LiveCache.make_conn_key("modem.example", None, None, None)
    >>> began = cache.generation(key)           # before the first byte of the read
    >>> cache.set_events(key, 1, [{"index": 0, "waveform_key": b"..."}], generation=began)
    True
    >>> cache.get_events(key, 1)
    [{'index': 0, 'waveform_key': b'...'}]
    >>> cache.drop_device(key, "asked to")
    >>> cache.set_events(key, 1, [], generation=began)      # a late fill
    False

    All setters take by keyword

    - ``generation``: what ``generation(conn_key)`` gave before the first byte of the read. If the
      device was invalidated since, nothing is stored and nothing is concluded from the old data;
      the setter returns False. Without it the caller guarantees that the data is current.
    - ``read_began_mono``: when the read began, by the cache's clock; now, if not given. An instant
      that has not come yet (another machine's clock, another boot's) means an unknown age, and an
      unknown age is stale.
    - ``source``: where the data comes from, in a word.
    - ``route``: the address over which it was read; a unit may have several.

    and return whether the value was stored. A setter that finds a conflict still stores: its own
    generation was judged before the conflict raised it, and it is the later evidence. All other
    reads then under way are late.

    Not promised:

    - A hit is not a lease: the value may be invalidated a moment after it was returned. Two calls
      may see two states; compare ``CacheEntry.generation`` where that matters.
    - A stamp with an unknown half proves little. Only neighbours are compared: key K at T, then K
      at an unknown time, then K at another time passes without a conflict.
    - Byte figures are encoded sizes. Python's own overhead is not in them, and neither is what
      remains of each ``conn_key`` ever named: its epoch must not start again, and why its last
      ``MAX_EPOCHS`` began stays known. That is a few hundred bytes, and at most a few thousand.
    - The budget evicts waveforms and memos. Info, lists and status stay even if they alone exceed
      it.
    - Values are serialised: dicts, lists, text, numbers, bytes. Others are pickled;
      what pickle refuses is refused. A probe is kept as it is and must not be changed afterwards.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        limit_bytes: int | None = DEFAULT_LIMIT_BYTES,
        status_ttl_s: float = STATUS_TTL_S,
    ) -> None:
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._status_ttl_s = status_ttl_s
        self._unknown = _Device(
            epoch=Epoch(0, "nothing was known of the device before", clock()),
            waveforms=_NO_WAVEFORMS,
        )
        self._devices: dict[str, _Device] = {}
        self._lock = Lock()
        # Below: only under the lock.
        self._oldest_first: OrderedDict[tuple[str, int], None] = OrderedDict()
        """Waveforms, by when they were stored."""
        self._memos: OrderedDict[tuple[int, str], Memo] = OrderedDict()
        """Entries of memos by when they were made: identity of the memo, name of the entry."""
        self._pinned_bytes = 0
        self._waveform_bytes = 0
        self._memo_bytes = 0
        self._evicted = 0
        self._evicted_memos = 0
        self._too_large = 0
        self._refused_late = 0

    @staticmethod
    def make_conn_key(
        host: str | None = None,
        tcp_port: int | None = None,
        port: str | None = None,
        baud: int | None = None,
    ) -> str:
        """
        Return ``tcp:HOST:PORT`` or ``serial:PORT:BAUD``; the host wins when both are given.

        Host names ignore case. An IPv6 address is in brackets, as in a URL.

        >>> LiveCache.make_conn_key("FE80::1", None, "COM5", None)
        'tcp:[fe80::1]:12345'

        Raises:
            ValueError: neither host nor port, or a number that cannot be one.
        """
        name = (host or "").strip().lower()
        if name:
            number = DEFAULT_TCP_PORT if tcp_port is None else tcp_port
            if not 0 < number < 65_536:
                raise ValueError(f"TCP port: expected 1 to 65535, got {number}")
            if ":" in name:
                name = f"[{name.strip('[]')}]"
            return f"tcp:{name}:{number}"
        line = (port or "").strip()
        if not line:
            raise ValueError("a device needs a host or a serial port, got neither")
        rate = DEFAULT_BAUD if baud is None else baud
        if rate <= 0:
            raise ValueError(f"baud: expected more than 0, got {rate}")
        return f"serial:{line}:{rate}"

    # ---- readers: one snapshot, no lock

    def get_device_info(self, conn_key: str) -> dict[str, Any] | None:
        """Return the device info, unless none is cached or the configuration is dirty."""
        entry = self.info_entry(conn_key)
        return None if entry is None else entry.value()

    def get_events(
        self, conn_key: str, device_count: int, *, probe: object = None
    ) -> list[dict[str, Any]] | None:
        """
        Return the event list, if it was stored under this count and, if given, this probe.

        A probe that is not complete (``is_complete``) matches nothing.
        """
        entry = self.events_entry(conn_key)
        if entry is None or entry.device_count != device_count:
            return None
        if probe is not None and not _probes_match(entry.probe, probe):
            return None
        value: list[dict[str, Any]] = entry.value()
        return value

    def get_waveform(self, conn_key: str, index: int) -> dict[str, Any] | None:
        """Return the waveform in that slot, if one is cached."""
        entry = self.waveform_entry(conn_key, index)
        return None if entry is None else entry.value()

    def get_monitor_status(self, conn_key: str) -> dict[str, Any] | None:
        """Return the monitor status, if its read began less than ``status_ttl_s`` ago."""
        entry = self.monitor_status_entry(conn_key)
        return None if entry is None else entry.value()

    def info_entry(self, conn_key: str) -> CacheEntry | None:
        """Return what ``get_device_info`` answers from."""
        device = self._devices.get(conn_key)
        return None if device is None or device.dirty else device.info

    def events_entry(self, conn_key: str) -> CacheEntry | None:
        """Return what ``get_events`` answers from, whatever its count and probe."""
        device = self._devices.get(conn_key)
        return None if device is None or device.dirty else device.events

    def waveform_entry(self, conn_key: str, index: int) -> CacheEntry | None:
        """Return what ``get_waveform`` answers from."""
        device = self._devices.get(conn_key)
        return None if device is None else device.waveforms.get(index)

    def monitor_status_entry(self, conn_key: str, *, expired: bool = False) -> CacheEntry | None:
        """Return what ``get_monitor_status`` answers from; with ``expired``, also past its time."""
        device = self._devices.get(conn_key)
        if device is None or (entry := device.status) is None or expired:
            return None if device is None else device.status
        # A negative age is a clock that went wrong, and is no proof of freshness.
        age_s = self._clock() - entry.read_began_mono
        return entry if 0.0 <= age_s < self._status_ttl_s else None

    def event_stamp(self, conn_key: str, index: int) -> Stamp | None:
        """Return that index's stamp in the cached list; None without one, or while it is hidden."""
        device = self._devices.get(conn_key)
        if device is None or device.dirty or device.events is None:
            return None
        return device.event_stamps.get(index)

    def knows(self, conn_key: str) -> bool:
        """Return whether anything was ever stored or invalidated under that key."""
        return conn_key in self._devices

    def is_empty(self, conn_key: str) -> bool:
        """Return whether no value of that device is cached, hidden ones included."""
        device = self._devices.get(conn_key, self._unknown)
        return not (device.info or device.events or device.status or device.waveforms)

    def generation(self, conn_key: str) -> int:
        """Return how often this device was invalidated; take it before a read's first byte."""
        return self._devices.get(conn_key, self._unknown).generation

    def epoch(self, conn_key: str) -> Epoch:
        """Return which memory of the unit this is; number 0 until the first drop."""
        return self._devices.get(conn_key, self._unknown).epoch

    def validated_mono(self, conn_key: str) -> float | None:
        """Return when the list was last known to match the unit; None without a list."""
        return self._devices.get(conn_key, self._unknown).validated_mono

    # ---- fills

    def set_device_info(
        self,
        conn_key: str,
        info: Mapping[str, Any],
        *,
        generation: int | None = None,
        read_began_mono: float | None = None,
        source: str = "device",
        route: str = "",
    ) -> bool:
        """Store the info and end a dirty configuration; another serial drops all else first."""
        now = self._clock()
        value, size_bytes = _freeze(info)
        serial = _serial_of(info)
        with self._lock:
            device = self._device_of(conn_key)
            if self._is_late(device, generation):
                return False
            if None not in (serial, device.serial) and serial != device.serial:
                reason = f"unit {serial} answers where {device.serial} used to"
                device = self._drop(conn_key, reason, now)
            entry = CacheEntry(
                value=value,
                read_began_mono=_known_start(read_began_mono, now),
                epoch=device.epoch.number,
                generation=device.generation,
                source=source,
                route=route,
                size_bytes=size_bytes,
                memo=Memo(self),
            )
            known = device.serial if serial is None else serial
            self._publish(conn_key, replace(device, info=entry, serial=known, dirty=False))
            self._evict()
        return True

    def set_events(
        self,
        conn_key: str,
        device_count: int,
        events: Sequence[Mapping[str, Any]],
        *,
        probe: object = None,
        generation: int | None = None,
        read_began_mono: float | None = None,
        source: str = "device",
        route: str = "",
        proven: bool = True,
    ) -> bool:
        """
        Store the list; a conflict with the cached list or a cached waveform drops all else first.

        An event without ``index`` takes its position in the list. A waveform of an index that this
        list does not have goes. While the configuration is dirty the list is stored, and hidden.
        A list that was known before a restart is not ``proven`` until a probe proves it.

        Raises:
            ValueError: a negative index, or one index twice.
        """
        now = self._clock()
        value, size_bytes = _freeze(events if isinstance(events, list) else list(events))
        stamps = _stamps_by_index(events)
        with self._lock:
            device = self._device_of(conn_key)
            if self._is_late(device, generation):
                return False
            if reason := _conflict_of_list(device, stamps):
                device = self._drop(conn_key, reason, now)
            if (device.event_stamps.keys() | device.waveforms.keys()) - stamps.keys():
                # A waveform of such an index may be on its way in: it is late now.
                device = replace(device, generation=device.generation + 1)
                for index in device.waveforms.keys() - stamps.keys():
                    self._remove_waveform(conn_key, device, index)
            began = _known_start(read_began_mono, now)
            entry = CacheEntry(
                value=value,
                read_began_mono=began,
                epoch=device.epoch.number,
                generation=device.generation,
                source=source,
                route=route,
                size_bytes=size_bytes,
                probe=probe,
                device_count=device_count,
                memo=Memo(self),
            )
            validated = began if proven else None
            self._publish(
                conn_key,
                replace(device, events=entry, event_stamps=stamps, validated_mono=validated),
            )
            self._evict()
        return True

    def set_waveform(
        self,
        conn_key: str,
        index: int,
        waveform: Mapping[str, Any],
        *,
        generation: int | None = None,
        read_began_mono: float | None = None,
        source: str = "device",
        route: str = "",
    ) -> bool:
        """
        Store the waveform; a conflict with the cached list or waveform drops all else first.

        Returns False also when it does not fit into the budget. Its slot is then empty: the older
        copy does not answer once there was a newer one.

        Raises:
            ValueError: a negative index.
        """
        index = _checked_index(index)
        now = self._clock()
        value, size_bytes = _freeze(waveform)
        stamp = stamp_of(waveform)
        with self._lock:
            device = self._device_of(conn_key)
            if self._is_late(device, generation):
                return False
            if reason := _conflict_of_waveform(device, index, stamp):
                device = self._drop(conn_key, reason, now)
            self._publish(conn_key, device)
            self._remove_waveform(conn_key, device, index)
            if self._limit_bytes is not None and (
                self._pinned_bytes + size_bytes > self._limit_bytes
            ):
                self._too_large += 1
                return False
            device.waveforms[index] = CacheEntry(
                value=value,
                read_began_mono=_known_start(read_began_mono, now),
                epoch=device.epoch.number,
                generation=device.generation,
                source=source,
                route=route,
                size_bytes=size_bytes,
                stamp=stamp,
                memo=Memo(self),
            )
            self._waveform_bytes += size_bytes
            self._oldest_first[conn_key, index] = None
            self._evict()
        return True

    def set_monitor_status(
        self,
        conn_key: str,
        status: Mapping[str, Any],
        *,
        generation: int | None = None,
        read_began_mono: float | None = None,
        source: str = "device",
        route: str = "",
    ) -> bool:
        """Store the status; its age counts from ``read_began_mono``."""
        now = self._clock()
        value, size_bytes = _freeze(status)
        with self._lock:
            device = self._device_of(conn_key)
            if self._is_late(device, generation):
                return False
            entry = CacheEntry(
                value=value,
                read_began_mono=_known_start(read_began_mono, now),
                epoch=device.epoch.number,
                generation=device.generation,
                source=source,
                route=route,
                size_bytes=size_bytes,
                memo=Memo(self),
            )
            self._publish(conn_key, replace(device, status=entry))
            self._evict()
        return True

    def validated(self, conn_key: str, probe: object, at_mono: float) -> bool:
        """
        Record that at ``at_mono`` the unit's memory still matched the cached list.

        Returns whether it was recorded: not without a list, not when the list was stored under
        another probe, not for an instant that has not come yet. Earlier proofs do not count back.
        """
        now = self._clock()
        with self._lock:
            device = self._device_of(conn_key)
            if device.events is None or not _probes_match(device.events.probe, probe):
                return False
            if not at_mono <= now:
                return False
            known = device.validated_mono
            latest = at_mono if known is None else max(known, at_mono)
            self._publish(conn_key, replace(device, validated_mono=latest))
        return True

    # ---- invalidation

    def invalidate_monitor_status(self, conn_key: str) -> None:
        """Drop the status: monitoring is being started or stopped. Reads under way are late."""
        with self._lock:
            device = self._device_of(conn_key)
            self._publish(conn_key, replace(device, status=None, generation=device.generation + 1))

    def mark_config_dirty(self, conn_key: str) -> None:
        """Hide info and events until the next info that was read after this."""
        with self._lock:
            device = self._device_of(conn_key)
            self._publish(conn_key, replace(device, dirty=True, generation=device.generation + 1))

    def drop_device(self, conn_key: str, reason: str, *, beyond: int = -1) -> None:
        """
        Drop everything of one device and begin a new epoch, for a reason given as a sentence.

        Costs nothing that grows with other devices: an empty snapshot is published, and the
        device's own waveforms leave the order of eviction. The new epoch is greater than
        ``beyond``, where others have counted further.
        """
        now = self._clock()
        with self._lock:
            self._drop(conn_key, reason, now, beyond)

    def begin_at(self, conn_key: str, epoch: int, reason: str) -> bool:
        """
        Let a device of which nothing is cached yet begin at an epoch from before a restart.

        Returns whether it did; a device of which something is or was cached stays unchanged.
        """
        now = self._clock()
        with self._lock:
            device = self._device_of(conn_key)
            if device.epoch.number > 0 or not self.is_empty(conn_key):
                return False
            self._publish(conn_key, replace(device, epoch=Epoch(epoch, reason, now)))
        return True

    # ---- looking inside

    @property
    def size_bytes(self) -> int:
        """Encoded bytes of everything cached, memos included."""
        with self._lock:
            return self._total_bytes

    def stats(self) -> dict[str, Any]:
        """Return what is cached for each device, hidden and expired values included, and totals."""
        now = self._clock()
        with self._lock:
            devices = dict(self._devices)
        by_device = {key: _describe(device, now) for key, device in devices.items()}
        return {**self.totals(), "by_device": by_device}

    def totals(self) -> dict[str, Any]:
        """Return what is cached for all devices together."""
        with self._lock:
            return {
                "devices": len(self._devices),
                "waveforms": len(self._oldest_first),
                "bytes": self._total_bytes,
                "memo_bytes": self._memo_bytes,
                "limit_bytes": self._limit_bytes,
                "evicted_waveforms": self._evicted,
                "evicted_memos": self._evicted_memos,
                "too_large_waveforms": self._too_large,
                "refused_late_fills": self._refused_late,
            }

    def device_stats(self, conn_key: str) -> dict[str, Any] | None:
        """Return what is cached for one device; ``None`` if nothing ever was."""
        device = self._devices.get(conn_key)
        return None if device is None else _describe(device, self._clock())

    def known_devices(self) -> list[str]:
        """Return the keys of all devices for which anything was ever cached."""
        with self._lock:
            return list(self._devices)

    # ---- under the lock

    def _is_late(self, device: _Device, generation: int | None) -> bool:
        is_late = generation is not None and generation != device.generation
        self._refused_late += is_late
        return is_late

    def _device_of(self, conn_key: str) -> _Device:
        """Return the device's state; of one that is not known, one of its own to go on from."""
        return self._devices.get(conn_key) or replace(self._unknown, waveforms={})

    def _drop(self, conn_key: str, reason: str, now_mono: float, beyond: int = -1) -> _Device:
        device = self._device_of(conn_key).emptied(reason, now_mono, beyond)
        self._publish(conn_key, device)
        return device

    def _publish(self, conn_key: str, device: _Device) -> None:
        before = self._devices.get(conn_key, self._unknown)
        self._devices[conn_key] = device
        for old, new in zip(before.pinned, device.pinned, strict=True):
            if old is not new:
                self._pinned_bytes += (new.size_bytes if new else 0) - (
                    old.size_bytes if old else 0
                )
                self._forget_memo(old)
        if before.waveforms is not device.waveforms:
            # A reader may still be at the old dict, so that stays as it is.
            for index, entry in before.waveforms.items():
                del self._oldest_first[conn_key, index]
                self._waveform_bytes -= entry.size_bytes
                self._forget_memo(entry)

    def _remove_waveform(self, conn_key: str, device: _Device, index: int) -> None:
        entry = device.waveforms.pop(index, None)
        if entry is not None:
            del self._oldest_first[conn_key, index]
            self._waveform_bytes -= entry.size_bytes
            self._forget_memo(entry)

    def _save_memo(self, memo: Memo, name: str, made: object, size_bytes: int) -> None:
        """Keep an entry of a memo, and count it if its value is still in the cache."""
        size_bytes += MEMO_OVERHEAD_BYTES
        with self._lock:
            if memo._cache is not self:
                memo[name] = made  # the value left the cache just now
                return
            self._drop_memo_entry(memo, name)
            memo[name] = made
            memo.sizes_bytes[name] = size_bytes
            self._memos[id(memo), name] = memo
            self._memo_bytes += size_bytes
            self._evict()

    def _drop_memo_entry(self, memo: Memo, name: str) -> None:
        if self._memos.pop((id(memo), name), None) is not None:
            self._memo_bytes -= memo.sizes_bytes.pop(name)
            memo.pop(name, None)

    def _forget_memo(self, entry: CacheEntry | None) -> None:
        """Count no longer what was made of a value that leaves the cache."""
        if entry is None or entry.memo._cache is not self:
            return
        for name, size_bytes in entry.memo.sizes_bytes.items():
            del self._memos[id(entry.memo), name]
            self._memo_bytes -= size_bytes
        entry.memo.detach()

    @property
    def _total_bytes(self) -> int:
        return self._pinned_bytes + self._waveform_bytes + self._memo_bytes

    def _evict(self) -> None:
        if self._limit_bytes is None:
            return
        share_bytes = MEMO_SHARE * self._limit_bytes
        while self._total_bytes > self._limit_bytes and (self._memos or self._oldest_first):
            # The waveform that was stored last makes no room for memos, but the other way round.
            is_memos_turn = self._memo_bytes > share_bytes or len(self._oldest_first) < 2
            if self._memos and is_memos_turn:
                (_, name), memo = next(iter(self._memos.items()))
                self._drop_memo_entry(memo, name)
                self._evicted_memos += 1
            else:
                conn_key, index = next(iter(self._oldest_first))
                self._remove_waveform(conn_key, self._devices[conn_key], index)
                self._evicted += 1


def _conflict_of_list(device: _Device, stamps: Mapping[int, Stamp]) -> str | None:
    """Return a sentence on a new list's first conflict with the cache, or None."""
    for index, stamp in stamps.items():
        listed = device.event_stamps.get(index)
        if listed is not None and stamps_conflict(listed, stamp):
            return _conflict_sentence(index, "the new list", stamp, "the cached list", listed)
        waveform = device.waveforms.get(index)
        if waveform and waveform.stamp and stamps_conflict(waveform.stamp, stamp):
            return _conflict_sentence(
                index, "the new list", stamp, "the cached waveform", waveform.stamp
            )
    return None


def _conflict_of_waveform(device: _Device, index: int, stamp: Stamp) -> str | None:
    """Return a sentence on a new waveform's conflict with the cache, or None."""
    listed = device.event_stamps.get(index)
    if listed is not None and stamps_conflict(listed, stamp):
        return _conflict_sentence(index, "the new waveform", stamp, "the cached list", listed)
    waveform = device.waveforms.get(index)
    if waveform and waveform.stamp and stamps_conflict(waveform.stamp, stamp):
        return _conflict_sentence(
            index, "the new waveform", stamp, "the cached waveform", waveform.stamp
        )
    return None


def _conflict_sentence(index: int, new: str, stamp: Stamp, old: str, entry: Stamp) -> str:
    return (
        f"slot {index} holds another event: {new} has {_stamp_text(stamp)}, "
        f"{old} had {_stamp_text(entry)}"
    )


def _stamp_text(stamp: Stamp) -> str:
    return f"{stamp.key or 'an unknown key'} of {stamp.timestamp or 'an unknown time'}"


def _stamps_by_index(events: Iterable[Mapping[str, Any]]) -> dict[int, Stamp]:
    stamps: dict[int, Stamp] = {}
    for position, event in enumerate(events):
        given = event.get("index")
        index = _checked_index(position if given is None else given)
        if index in stamps:
            raise ValueError(f"event list: two events claim index {index}")
        stamps[index] = stamp_of(event)
    return stamps


def _checked_index(index: int) -> int:
    number = exact_int(index)
    if number < 0:
        raise ValueError(f"event index: expected 0 or more, got {number}")
    return number


def _serial_of(info: Mapping[str, Any]) -> str | None:
    serial = info.get("serial")
    return None if serial is None else str(serial).strip() or None


def _probes_match(entry: object, asked: object) -> bool:
    if entry is None or not getattr(entry, "is_complete", True):
        return False
    return bool(entry == asked)


def _known_start(read_began_mono: float | None, now_mono: float) -> float:
    """Return when the read began; ``-inf``, an unknown age, for an instant still to come."""
    if read_began_mono is None:
        return now_mono
    return read_began_mono if read_began_mono <= now_mono else -math.inf


def _describe(device: _Device, now_mono: float) -> dict[str, Any]:
    waveforms = device.waveforms.copy()  # one step for the interpreter: a writer may be at it
    return {
        "epoch": device.epoch.number,
        "reason": device.epoch.reason,
        "epochs": [
            {
                "epoch": epoch.number,
                "reason": epoch.reason,
                "began_age_s": round(max(0.0, now_mono - epoch.began_mono), 3),
            }
            for epoch in (device.epoch, *device.earlier)
        ],
        "generation": device.generation,
        "serial": device.serial,
        "dirty": device.dirty,
        "info": device.info is not None,
        "events": device.events.device_count if device.events else None,
        "status": device.status is not None,
        "waveforms": sorted(waveforms),
        "bytes": sum(
            entry.size_bytes + sum(tuple(entry.memo.sizes_bytes.values()))
            for entry in (*device.pinned, *waveforms.values())
            if entry is not None
        ),
    }


# ---- values at rest

_ATOMS = frozenset({str, int, float, bool, type(None), bytes})
_PLAIN = _ATOMS | {dict, list, tuple}


def _freeze(value: object) -> tuple[Callable[[], Any], int]:
    """
    Return a function that gives a fresh copy of the value as it is now, and its encoded size.

    A dict of atoms is its own best code: copying it is ten times faster than decoding. Marshal
    takes nested plain values; of others it would quietly make plain ones (a ``bytearray`` comes
    back as ``bytes``), so those go to pickle. No code leaves the process or enters it. Long bytes
    in a dict (a waveform's counts) are not encoded: they are immutable, so all copies share
    them, and what is sent to readers is they.
    """
    if not _is_plain(value):
        code = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return partial(pickle.loads, code), len(code)
    if isinstance(value, dict):
        if _ATOMS.issuperset(map(type, value.values())):
            return value.copy().copy, len(marshal.dumps(value))
        shared = {k: v for k, v in value.items() if type(v) is bytes and len(v) >= SHARED_BYTES}
        if shared:
            code = marshal.dumps({**value, **dict.fromkeys(shared)})
            return partial(_with_shared, code, shared), len(code) + sum(map(len, shared.values()))
    code = marshal.dumps(value)  # type: ignore[arg-type]  # plain, as was just seen
    return partial(marshal.loads, code), len(code)


def _with_shared(code: bytes, shared: Mapping[object, bytes]) -> Any:
    value = marshal.loads(code)
    value.update(shared)
    return value


def _is_plain(value: object) -> bool:
    if type(value) is dict:
        return _are_plain(value) and _are_plain(value.values())
    if type(value) in (list, tuple):
        return _are_plain(value)  # type: ignore[arg-type]  # a list or a tuple, by the line above
    return type(value) in _ATOMS


def _are_plain(values: Iterable[object]) -> bool:
    kinds = set(map(type, values))
    return kinds <= _ATOMS or (kinds <= _PLAIN and all(map(_is_plain, values)))
