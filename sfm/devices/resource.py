"""
What a device can be asked for, and the one decision whether a cached value is good enough.

A value is good enough if the unit confirmed it recently enough for the reader: by the read that
brought it or, for what the event list proves, by the last proof of the list. A reader without a
wish takes what the resource allows (``Resource.allowed_s``).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sfm.cache.freshness import Freshness
from sfm.devices.device import Device
from sfm.devices.reading import DISK, Reading
from sfm.devices.single_flight import SharedRead
from sfm.live_cache import CacheEntry, LiveCache

__all__ = ["Candidate", "Resource", "Resources"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that a device can be asked for: where it is cached, for how long, its read."""

    name: str | tuple[str, int]
    cached: Callable[[str], CacheEntry | None]
    last: Callable[[str], CacheEntry | None]
    """The same, past its time as well."""
    allowed_s: float
    """How long it is served after the unit confirmed it, to a reader without a wish."""
    read: Callable[[Device, SharedRead[Reading]], Awaitable[Reading]]
    follows_list: bool = False
    """Whether a proof of the event list proves it."""
    is_short: bool = False
    """Whether its read may go in between two steps of a long one."""
    index: int | None = None
    """Which waveform, of one."""

    def ttl_s(self, age_s: float) -> float | None:
        """Return how long it may still be served to a reader without a wish; ``None``: unknown."""
        if not math.isfinite(self.allowed_s):
            return None
        return round(max(0.0, self.allowed_s - age_s), 3)


class Candidate(NamedTuple):
    """A cached value, and how long ago the unit last confirmed it."""

    entry: CacheEntry
    age_s: float
    proven_mono: float | None
    is_verified: bool
    """Whether the unit confirmed it since the relay started."""

    def serves(self, freshness: Freshness, allowed_s: float) -> bool:
        """Return whether it is good enough for a reader, without asking the unit."""
        if not self.is_verified:
            return freshness.only_if_cached and freshness.max_age_s is None
        return freshness.accepts(self.age_s, allowed_s)

    def oldest_age_s(self, now_mono: float) -> float:
        """Return how long ago the unit confirmed it for certain, before a restart too."""
        return self.age_s if self.is_verified else self.entry.age_s(now_mono)


class Resources:
    """
    The resources of every device. Lives as long as the gateway.

    Args:
        cache: where their values are cached.
        status_ttl_s: how long a monitor status is served.
        validated_s: how long a waveform is served after a proof of its memory; 0: never.
    """

    def __init__(self, cache: LiveCache, status_ttl_s: float, validated_s: float) -> None:
        self._cache = cache
        self._validated_s = validated_s
        info, events = cache.info_entry, cache.events_entry
        self.info = Resource("info", info, info, math.inf, _read_info, is_short=True)
        self.status = Resource(
            "status",
            cache.monitor_status_entry,
            lambda key: cache.monitor_status_entry(key, expired=True),
            status_ttl_s,
            _read_status,
            is_short=True,
        )
        self.events = Resource(
            "events", events, events, -math.inf, Device.read_events, follows_list=True
        )

    def waveform(self, index: int) -> Resource:
        """Return the waveform in a slot."""
        cached = partial(self._cache.waveform_entry, index=index)
        return Resource(
            ("waveform", index),
            cached,
            cached,
            self._validated_s or -math.inf,
            partial(_read_waveform, index=index),
            follows_list=True,
            index=index,
        )

    def find(
        self, resource: Resource, entry: CacheEntry | None, conn_key: str, now_mono: float
    ) -> Candidate | None:
        """Return a cached value with the time since the unit last confirmed it."""
        if entry is None or entry.epoch != self._cache.epoch(conn_key).number:
            return None  # it was looked up before an erase was found: of another memory
        if not resource.follows_list:
            return Candidate(entry, entry.age_s(now_mono), None, entry.source != DISK)
        proven = self._cache.validated_mono(conn_key)
        age_s = math.inf if proven is None else max(0.0, now_mono - proven)
        return Candidate(entry, age_s, proven, entry.source != DISK or proven is not None)


async def _read_waveform(
    device: Device, shared_read: SharedRead[Reading], *, index: int
) -> Reading:
    return await device.read_waveform(shared_read, index)


async def _read_info(device: Device, shared_read: SharedRead[Reading]) -> Reading:
    return await device.read_info(shared_read)


async def _read_status(device: Device, shared_read: SharedRead[Reading]) -> Reading:
    return await device.read_status(shared_read)
