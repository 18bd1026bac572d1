"""
The way to the unit that a target leads to: which device it is, whether the client may use it, and
one read for all who ask for the same.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TypeVar

from minimateplus.errors import MemoryChangedError
from minimateplus.model import Progress
from sfm.access.principal import ForbiddenUnitError
from sfm.cache.freshness import Freshness
from sfm.devices.answer import Answer
from sfm.devices.cached_answers import CachedAnswers, is_wanted
from sfm.devices.device import Device
from sfm.devices.progress import report_step
from sfm.devices.reading import ATTEMPTS_WHILE_CHANGING, Reading
from sfm.devices.registry import Registry
from sfm.devices.resource import Resource
from sfm.devices.roster import UnitRoster
from sfm.devices.route import OtherUnitError, Route
from sfm.devices.single_flight import BusyError, SharedRead, joins_open
from sfm.devices.target import Target
from sfm.store.errors import NoSuchUnitError
from sfm.store.service import StoreService

__all__ = ["Report", "UnitAccess"]

T = TypeVar("T")

Report = Callable[[str, float, float | None], None]
"""Takes a step of something long: what is counted, how many, of how many."""


class UnitAccess:
    """
    Finds the unit of each request and runs its reads and commands. Lives as long as the gateway.

    Args:
        registry: which unit is where.
        roster: which unit is at which location.
        store_service: what is known of units from before a restart.
        answers: makes answers of readings.
        validated_s: for how long a unit that named itself is trusted to be there, s.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: Registry,
        roster: UnitRoster,
        store_service: StoreService,
        answers: CachedAnswers,
        validated_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._roster = roster
        self._store_service = store_service
        self._answers = answers
        self._validated_s = validated_s
        self._clock = clock

    async def load(self, target: Target) -> None:
        """Load what the database knows of routes, and of the unit that was asked for."""
        if not self._store_service.has_store:
            return
        if not self._roster.is_loaded:
            await self._registry.look_up_together("roster", self._roster.load)
        await self._registry.load(target)

    async def with_its_device(
        self, target: Target, attempt: Callable[[Device], Awaitable[T]], *, is_read: bool = True
    ) -> T:
        """
        Return what ``attempt`` brings with the device of the unit that the target leads to now.

        When it finds another unit than was known there, it is made once more with that one.

        Raises:
            NoSuchUnitError: no route leads to the unit that was asked for.
            ForbiddenUnitError: a unit answers there that the client may not use.
            MemoryChangedError: another unit answered each time.
        """
        # By one address: several routes of a location may lead to several units for a while.
        is_shared = is_read and target.unit is None and len(target.addresses) == 1
        spent, last = 0, None
        for _ in range(1 + ATTEMPTS_WHILE_CHANGING):
            device = self._registry.device_for(target)
            route = self._registry.route(target.addresses[0]) if is_shared else None
            if route is not None and last is None:
                await route.settled(device)
                device = self._registry.device_for(target)
            gate: asyncio.Event | None = None
            try:
                with nullcontext() if route is None else route.asking(device) as gate:
                    is_known = last is not None and last.is_answer
                    await self._make_sure(target, device, is_known=is_known)
                    result = await attempt(device)
            except OtherUnitError as other:
                last, spent = other, spent + other.exchanges
                if route is not None and gate is not None:
                    await route.resume(gate)
                await self._registry.load_unit(other.serial)
                continue
            except Exception:
                self._registry.forget_if_unknown(target)
                await self._registry.note_contacts()
                raise
            if isinstance(result, Answer):
                result.provenance.exchanges += spent
            return result
        await self._registry.note_contacts()
        raise MemoryChangedError(
            f"{target.name}: another unit answered at each of {1 + ATTEMPTS_WHILE_CHANGING} "
            "attempts; ask again in a moment"
        ) from last

    async def _make_sure(self, target: Target, device: Device, *, is_known: bool) -> None:
        """
        Return if the device's unit is one that the request may have, as far as that is known.

        If it is not, and did not name itself there lately (``is_known``: just now), it is asked
        once more: the unit that was asked for may have come back.

        Raises:
            OtherUnitError: another unit answers.
        """
        if device.serial is None or is_wanted(target, device):
            return
        contact = self._registry.contact_mono(replace(target, unit=None), device)
        is_late = contact is None or self._clock() - contact > self._validated_s
        if is_late and not is_known:
            asked = partial(self._run_shared, target, device, "who", device.read_name)
            await device.single_flight.ask(("who", *target.conn_keys), asked)
        self.check_permitted(target, device)
        if target.unit is not None:
            raise NoSuchUnitError(
                f"no route leads to unit {target.unit} now: unit {device.serial} answers at "
                f"{device.conn_key}"
            )

    @staticmethod
    def check_permitted(target: Target, device: Device) -> None:
        """Return if the client may use a device's unit; raises ``ForbiddenUnitError``."""
        if target.only is not None and device.serial not in (None, *target.only):
            raise ForbiddenUnitError("another unit answers there, which your token does not permit")

    def _routes(self, target: Target) -> list[Route]:
        return [self._registry.route(address) for address in target.addresses]

    async def read_shared(
        self,
        target: Target,
        device: Device,
        name: str | tuple[str, int],
        read: Callable[[SharedRead[Reading]], Awaitable[Reading]],
        freshness: Freshness,
        asked_mono: float,
        resource: Resource | None = None,
    ) -> Answer:
        """Answer from a read that is shared with all who ask for the same, showing its progress."""
        shown = name if isinstance(name, str) else " ".join(map(str, name))
        if device.serial is None:
            await self._first_contact(target, device, shown, forced=freshness.force)
        run = partial(self._run_shared, target, device, shown, read)
        is_short = resource is not None and resource.is_short
        for _ in range(2):
            reading, shared = await device.single_flight.ask(
                (name, *target.flight),
                run,
                forced=freshness.force,
                max_age_s=freshness.limit_s(resource.allowed_s if resource else math.inf),
                asked_mono=asked_mono if freshness.force else -math.inf,
                is_short=lambda: is_short and device.may_join_session(target.flight),
            )
            # A reader who joined late does not get a list that is proven as of its beginning
            # alone, if that was before the question.
            if not reading.is_of_beginning or reading.read_began_mono >= asked_mono:
                break
        ttl_s = None
        if resource is not None:
            candidate = self._answers.candidate(resource, device.key)
            ttl_s = None if candidate is None else resource.ttl_s(candidate.age_s)
        return self._answers.answer(device, reading, shared=shared, ttl_s=ttl_s)

    async def _first_contact(
        self, target: Target, device: Device, shown: str, *, forced: bool
    ) -> None:
        """
        Find out which unit answers, for all who wait for it, whatever they want to read.

        Raises:
            OtherUnitError: always, unless no unit answers: then they begin their reads together.
        """
        tries_now = forced and all(route.back_off.is_backing_off for route in self._routes(target))

        async def ask(shared_read: SharedRead[Reading]) -> Reading:
            shared_read.can_join_late = joins_open
            shared_read.forced |= tries_now
            return await self._run_shared(target, device, shown, device.read_name, shared_read)

        await device.single_flight.ask(("first contact", tries_now, *target.flight), ask)

    async def _run_shared(
        self,
        target: Target,
        device: Device,
        name: str,
        read: Callable[[SharedRead[Reading]], Awaitable[Reading]],
        shared_read: SharedRead[Reading],
    ) -> Reading:
        """Read, unless the device backs off; show the steps to those who follow."""
        device.choose_routes(self._routes(target), forced=shared_read.forced)
        if shared_read.forced:
            # A forced reader gets nothing that was read before it asked.
            device.forget_names(shared_read.asked_mono)
        shared_read.notify = partial(_report_progress, device, name)
        device.on_wait = shared_read.report
        began, spent = self._clock(), device.usage.exchanges
        with _shown_progress(device, name, forced=shared_read.forced):
            try:
                reading = await read(shared_read)
            except OtherUnitError as other:
                self._note_cost(device, other, spent)
                raise
            except Exception:
                await self._registry.note_contacts()
                raise
        await self._registry.note_contacts()
        # The bill: what this read cost, whichever attempts it took.
        reading = replace(
            reading, exchanges=device.usage.exchanges - spent, took_s=self._clock() - began
        )
        report_step(
            device.progress, "done", resource=name, why=reading.why, exchanges=reading.exchanges
        )
        return reading

    async def run_alone(
        self,
        target: Target,
        device: Device,
        name: str,
        act: Callable[[Device, Report], Awaitable[T]],
        shared_read: SharedRead[T],
    ) -> T:
        """
        Let ``act`` have the connection for itself, now that it is its turn; show its steps.

        Raises:
            BusyError: its caller is gone; it was not done.
            OtherUnitError: another unit answers.
        """
        if not shared_read.readers:
            raise BusyError(f"{name}: its caller is gone; it was not done", 0.0)
        shared_read.notify = partial(_report_progress, device, name)
        device.on_wait = shared_read.report
        device.choose_routes(self._routes(target), forced=True)

        def report(what: str, done: float, total: float | None) -> None:
            of = None if total is None else math.ceil(total)
            shared_read.progress = Progress(what=what, done=math.floor(done), total=of)
            _report(device, name, what, done, total)

        spent = device.usage.exchanges
        with _shown_progress(device, name, forced=True):
            try:
                done = await act(device, report)
            except OtherUnitError as other:
                self._note_cost(device, other, spent)
                raise
            finally:
                await self._registry.note_contacts()
        report_step(device.progress, "done", resource=name)
        return done

    def _note_cost(self, device: Device, other: OtherUnitError, spent: int) -> None:
        """Note what it cost to find another unit; of a first contact, with that unit."""
        other.exchanges = device.usage.exchanges - spent
        if device.serial is None:
            self._registry.unit(other.serial).usage.take(device.usage)


@contextmanager
def _shown_progress(device: Device, name: str, *, forced: bool) -> Iterator[None]:
    """Show that something began, and if it failed."""
    log = device.progress
    if name in log.continued:
        log.continued.discard(name)
    else:
        report_step(log, "begun", resource=name, forced=forced)
    try:
        yield
    except OtherUnitError:
        log.continued.add(name)  # it goes on with that unit
        raise
    except Exception as error:
        report_step(device.progress, "failed", resource=name, error=str(error))
        raise


def _report(device: Device, name: str, what: str, done: float, total: float | None) -> None:
    report_step(device.progress, "step", resource=name, what=what, done=done, total=total)


def _report_progress(device: Device, name: str, step: Progress) -> None:
    _report(device, name, step.what, step.done, step.total)
