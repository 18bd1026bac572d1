"""
Answers from what is cached: what a reader takes without asking the unit, or after that failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sfm.back_off import BackingOffError
from sfm.cache.freshness import ANY, Freshness
from sfm.devices.answer import Answer, Quality, answer_of
from sfm.devices.device import Device
from sfm.devices.event_list import ListIncompleteError
from sfm.devices.reading import Reading, is_unreachable
from sfm.devices.registry import Registry
from sfm.devices.resource import Candidate, Resource, Resources
from sfm.devices.single_flight import BusyError
from sfm.devices.target import Target
from sfm.live_cache import CacheEntry
from sfm.store.errors import NoSuchUnitError
from sfm.store.service import StoreService

__all__ = ["CachedAnswers", "is_wanted"]


def is_wanted(target: Target, device: Device) -> bool:
    """Return whether a device's unit is one that the request may have."""
    is_permitted = target.only is None or device.serial in target.only
    return is_permitted and target.unit in (None, device.serial)


class CachedAnswers:
    """
    What is cached as answers; touches no unit. Lives as long as the gateway.

    Args:
        registry: which unit is where, and since when that is known.
        resources: what can be cached, and for how long it is good enough.
        store_service: its problem is named in each answer.
        clock: monotonic seconds.
        wall: the time of day, UTC, for people.
    """

    def __init__(
        self,
        registry: Registry,
        resources: Resources,
        store_service: StoreService,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._resources = resources
        self._store_service = store_service
        self._clock = clock
        self._wall = wall

    def find(
        self,
        target: Target,
        resource: Resource,
        freshness: Freshness,
        loaded: CacheEntry | None = None,
    ) -> Answer | None:
        """Return what is cached as an answer, if it is good enough; touches no device."""
        device = self._registry.known_device(target)
        if device is None or freshness.force or not is_wanted(target, device):
            return None
        candidate = self.candidate(resource, device.key, loaded)
        if candidate is None or not candidate.serves(freshness, resource.allowed_s):
            return None
        quality: Quality | None = None
        takes_any = freshness.only_if_cached and freshness.max_age_s is None
        contact = self._registry.contact_mono(target, device)
        contact_age_s = math.inf if contact is None else max(0.0, self._clock() - contact)
        if not candidate.is_verified or (contact is None and takes_any):
            quality = "not_verified_since_restart"
        elif contact is None or not freshness.accepts(contact_age_s, resource.allowed_s):
            return None
        elif freshness.only_if_cached and not (
            ANY.accepts(candidate.age_s, resource.allowed_s)
            and ANY.accepts(contact_age_s, resource.allowed_s)
        ):
            quality = "unchecked"
        return self.answer(
            device,
            device.durable.reading_of(candidate.entry, "hit", candidate.proven_mono),
            quality=quality,
            ttl_s=resource.ttl_s(candidate.age_s),
        )

    def last_known(
        self,
        target: Target,
        resource: Resource,
        freshness: Freshness,
        loaded: CacheEntry | None,
        error: Exception,
    ) -> Answer | None:
        """Return what was known before a read failed, if the reader takes it; else ``None``."""
        device = self._registry.known_device(target)
        is_busy = isinstance(error, BackingOffError | BusyError | ListIncompleteError)
        has_no_route = isinstance(error, NoSuchUnitError)
        if not (is_busy or has_no_route or is_unreachable(error)):
            return None
        if device is None or not is_wanted(target, device):
            return None
        now = self._clock()
        entry = resource.last(device.key) or loaded
        candidate = self._resources.find(resource, entry, device.key, now)
        if candidate is None or not freshness.accepts_after_error(candidate.oldest_age_s(now)):
            return None
        reading = device.durable.reading_of(candidate.entry, "stale", candidate.proven_mono)
        quality: Quality = "last_known" if candidate.is_verified else "not_verified_since_restart"
        return replace(self.answer(device, reading, quality=quality), instead_of=error)

    def walked(self, target: Target) -> Answer | None:
        """Return the events of a walk that has not ended as a partial list."""
        device = self._registry.known_device(target)
        events = [] if device is None else device.event_list.walked
        if device is None or not events or not is_wanted(target, device):
            return None
        event_list = device.event_list
        value = {"events": events, "estimate_s": event_list.estimate_s()}
        reading = device.durable.new_reading(value, "partial", event_list.walk_began_mono)
        return replace(self.answer(device, reading, quality="partial"), is_complete=False)

    def candidate(
        self, resource: Resource, conn_key: str, otherwise: CacheEntry | None = None
    ) -> Candidate | None:
        """Return what is cached of a resource, or ``otherwise``, with its age."""
        entry = resource.cached(conn_key) or otherwise
        return self._resources.find(resource, entry, conn_key, self._clock())

    def is_good_enough(self, resource: Resource, device: Device, wanted: Freshness) -> bool:
        """Whether what is cached of a resource of the unit may be served."""
        candidate = self.candidate(resource, device.key)
        return candidate is not None and candidate.serves(wanted, resource.allowed_s)

    def is_contact_good_enough(
        self, target: Target, device: Device, resource: Resource, wanted: Freshness
    ) -> bool:
        """Whether the unit named itself over the address as lately as a value must be fresh."""
        contact = self._registry.contact_mono(target, device)
        if contact is None:
            return False
        return wanted.accepts(max(0.0, self._clock() - contact), resource.allowed_s)

    def answer(
        self,
        device: Device,
        reading: Reading,
        *,
        shared: bool = False,
        quality: Quality | None = None,
        ttl_s: float | None = None,
    ) -> Answer:
        """Return a reading as an answer, and count it as served."""
        device.served.count(reading.why)
        return answer_of(
            reading,
            self._clock(),
            self._wall,
            store_problem=self._store_service.problem_kind,
            shared=shared,
            quality=quality,
            ttl_s=ttl_s,
        )
