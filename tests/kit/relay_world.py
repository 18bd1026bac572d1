"""
A small world for the gateway: units in memory behind addresses, people at their keypads, bad links.

Gateway, client, cache and simulated unit are those of production; time is virtual. The world counts
what the gateway does to its units, and at its end it proves that nothing is left over: no task, no
open link, no failure that nobody looked at.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.empty_databases import memory_engines
from kit.virtual_time import now_s, run
from minimateplus.client import MiniMate
from minimateplus.errors import ConnectError
from minimateplus.link import Address, Deadlines
from minimateplus.link.in_process import MemoryLink, memory_pair
from minimateplus.simulator import SimulatedUnit, serve_link
from minimateplus.simulator.faulty_links import FaultyLink, LinkFactory
from minimateplus.simulator.unit import NEVER_SET_DEVICE_TIME
from minimateplus.wire import commands
from minimateplus.wire.framing import Frame
from minimateplus.wire.protocol_state import ProtocolState
from sfm.devices.gateway import Gateway
from sfm.live_cache import LiveCache
from sfm.settings import Settings
from sfm.store import Store, StoreError
from sfm.store.service import StoreService

P = ParamSpec("P")
T = TypeVar("T")

HERE = Address("tcp", "unit.invalid", 12345)
ELSEWHERE = Address("tcp", "other.invalid", 12345)
KEY = "unit:SIM0001"
"""Of the unit that stands ``HERE`` in most tests."""
ROUTE = "tcp:unit.invalid:12345"
"""Of ``HERE``."""
T0 = datetime(2026, 4, 1, 0, 28, 12)


def ground(loud: int = 3, axis: int = 0, size: int = 16) -> NDArray[np.int16]:
    """Counts of a small event: equal ``loud`` and ``size`` make equal lengths on every axis."""
    counts = np.ones((4, size), dtype=np.int16)
    counts[axis, size // 2 :] = 1 + loud
    return counts


class FieldUnit(SimulatedUnit):
    """A simulated unit that people touch while it is being read."""

    def __init__(self, serial: str = "SIM0001", *, now_device_time: datetime = T0) -> None:
        super().__init__(serial, clock=now_s, now_device_time=now_device_time)
        self.heard: list[int] = []
        """SUBs asked, in order, answered or not."""
        self.silent_to_unknown_keys = False
        self._due: dict[int, Callable[[], None]] = {}

    def at_exchange(self, number: int, act: Callable[[], None]) -> None:
        """Let somebody act just before the ``number``-th request from now is answered."""
        self._due[len(self.heard) + number] = act

    def at_next(self, sub: int, act: Callable[[], None]) -> None:
        """Let somebody act just before the next request of that SUB is answered."""
        self._due[-sub] = act

    def undo(self) -> None:
        """Let nobody act who has not yet."""
        self._due.clear()

    def answer(self, protocol: ProtocolState, request: Frame) -> bytes | None:
        self.heard.append(request.sub)
        for moment in (len(self.heard), -request.sub):
            if (act := self._due.pop(moment, None)) is not None:
                act()
        is_visit = request.sub == commands.RECORD_HEADER.sub
        if self.silent_to_unknown_keys and is_visit:
            known = {event.key for event in self.events}
            logs = {stored.log_key for stored in self._memory.stored}
            if request.params[4:8] not in known | logs:
                return None
        return super().answer(protocol, request)

    def record(
        self,
        count: int = 1,
        *,
        axis: int = 0,
        loud: int = 3,
        never_set: bool = False,
        size: int = 16,
    ) -> FieldUnit:
        """Record small events of one length; each ``axis`` is another ground motion."""
        for _ in range(count):
            at = NEVER_SET_DEVICE_TIME if never_set else None
            self.record_event(counts=ground(loud, axis, size), at_device_time=at)
        return self

    def record_big(self, *, never_set: bool = False, seed: int = 1) -> FieldUnit:
        """Record an event of several chunks; each ``seed`` is another ground motion."""
        counts = np.random.default_rng(seed).integers(-900, 900, (4, 600)).astype(np.int16)
        self.record_event(
            counts=counts, at_device_time=NEVER_SET_DEVICE_TIME if never_set else None
        )
        return self

    def at_next_time(self, sub: int, number: int, act: Callable[[], None]) -> None:
        """Let somebody act just before the ``number``-th request of that SUB is answered."""

        def count() -> None:
            if number > 1:
                self.at_next_time(sub, number - 1, act)
            else:
                act()

        self.at_next(sub, count)

    def truth(self) -> list[tuple[str, str, float]]:
        """Key, timestamp and loudest axis of every stored event: what a list must say."""
        return [
            (e.key.hex(), e.device_time.isoformat() if e.device_time else "", shape(e.peaks))
            for e in self.events
        ]


def shape(peaks: Any) -> float:
    """A number that tells events of another axis or loudness apart."""
    peaks_in_s = peaks if isinstance(peaks, dict) else {name: getattr(peaks, name) for name in GEO}
    return float(round(sum(factor * peaks_in_s[name] for name, factor in GEO.items()), 5))


GEO = {"tran_in_s": 1.0, "vert_in_s": 10.0, "long_in_s": 100.0}


def listed_events(events: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """The same of a list that the gateway gave."""
    return [(e["waveform_key"], e["timestamp"] or "", shape(e["peaks"])) for e in events]


class _CountedLink(FaultyLink):
    def __init__(self, inner: MemoryLink, on_close: Callable[[], None]) -> None:
        super().__init__(inner)
        self._on_close: Callable[[], None] | None = on_close

    async def close(self) -> None:
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
        await super().close()


class Disk(Store):
    """A database that stays when its relay is gone; in memory if none is named. Can fail."""

    def __init__(self, url: str = "sqlite://") -> None:
        if url == "sqlite://":
            super().__init__(memory_engines())
        else:
            with Store.open(url) as opened:
                super().__init__(opened.engines)
                self._whole = opened  # its engines live as long as this
                opened.close = lambda: None  # type: ignore[method-assign]
        self.failing: StoreError | None = None

    def opened(self) -> Disk:
        """The store that a service opens."""
        if self.failing is not None:
            raise self.failing
        return self

    def close(self) -> None:
        """Stay."""

    def fail(self, error: StoreError | None) -> None:
        """Let every statement fail from now on; ``None``: none."""
        self.failing = error

        @contextmanager
        def failing() -> Iterator[Any]:
            assert self.failing is not None
            raise self.failing
            yield

        for name in ("write", "read"):
            if error is not None:
                setattr(self.engines, name, failing)
            elif name in self.engines.__dict__:
                delattr(self.engines, name)


async def at_once(verb: Callable[[], T], is_write: bool, /) -> T:
    """Run a verb of the store where it stands: virtual time has no threads."""
    return verb()


class World:
    """Units behind addresses, and one gateway. Lives for one test."""

    def __init__(self, **settings: Any) -> None:
        # Waveforms are proven at each request, unless a test is about their window.
        self.settings = Settings(**{"validated_s": 0, **settings})
        self.disk: Disk | None = None
        """What stays over a restart; nothing, unless a test asks for it."""
        self._start()
        self.units: dict[Address, FieldUnit] = {}
        self.wrap_link: LinkFactory = FaultyLink
        self.wrap_links: dict[Address, LinkFactory] = {}
        """Links to single addresses, in place of ``wrap_link``."""
        self.called = 0
        """Sessions begun."""
        self.open: dict[Address, int] = {}
        self.most_open: dict[Address, int] = {}
        self.most_open_together = 0
        self._lines: list[MemoryLink] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _start(self, boot: str = "this boot") -> None:
        self.cache = LiveCache(
            clock=now_s,
            status_ttl_s=self.settings.status_ttl_s,
            limit_bytes=self.settings.cache_limit_bytes,
        )
        disk = self.disk
        store_service = StoreService(
            None if disk is None else disk.opened,
            clock=now_s,
            wall=self.wall,
            boot=boot,
            run=at_once,
        )
        self.gateway = Gateway(
            self.cache,
            self.settings,
            store_service=store_service,
            connect=self.connect,
            clock=now_s,
            wall=self.wall,
        )

    async def with_disk(self, url: str = "sqlite://", **settings: Any) -> Disk:
        """Start the relay anew, with an empty database."""
        await self.gateway.close()
        self.settings = Settings(**{**self.settings.model_dump(), **settings})
        self.disk = Disk(url)
        self._start()
        return self.disk

    async def with_settings(self, **settings: Any) -> None:
        """Start the relay anew, with other settings."""
        await self.gateway.close()
        self.settings = Settings(**{**self.settings.model_dump(), **settings})
        self._start()

    async def restart(self, *, boot: str = "this boot") -> None:
        """Stop the relay and start it again, on the same disk; with ``boot``, its machine too."""
        await self.gateway.close()
        self._start(boot)

    def plug(self, unit: FieldUnit, address: Address = HERE) -> FieldUnit:
        """Put ``unit`` behind an address; open sessions stay with their unit."""
        self.units[address] = unit
        return unit

    def wall(self) -> datetime:
        """The time of day, standing with the virtual clock."""
        return datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=now_s() - 1000.0)

    async def connect(self, address: Address) -> MiniMate:
        """What the gateway opens a session with."""
        unit = self.units.get(address)
        if unit is None:
            raise ConnectError(f"{address}: connection refused; nothing listens there")
        self.called += 1
        ours, theirs = memory_pair(str(address))
        self._lines.append(theirs)
        wrap_link = self.wrap_links.get(address, self.wrap_link)
        session = asyncio.create_task(serve_link(unit, wrap_link(theirs)))
        self._tasks.append(session)

        def over(done: asyncio.Task[None]) -> None:
            self._tasks.remove(done)
            if theirs in self._lines:
                self._lines.remove(theirs)

        session.add_done_callback(over)
        self.open[address] = self.open.get(address, 0) + 1
        self.most_open[address] = max(self.open[address], self.most_open.get(address, 0))
        self.most_open_together = max(sum(self.open.values()), self.most_open_together)

        def hung_up() -> None:
            self.open[address] -= 1

        deadlines: Deadlines = self.settings.deadlines
        link = _CountedLink(ours, hung_up)
        return await MiniMate.open(link, deadlines=deadlines, wake=False)

    async def cut(self) -> None:
        """Cut every line, from the unit's side."""
        for line in self._lines:
            await line.close()
        self._lines.clear()

    def cut_at_once(self) -> None:
        """Cut every line, from the unit's side, while an exchange is under way."""
        self._cutting = asyncio.get_running_loop().create_task(self.cut())

    async def pause(self, seconds: float) -> None:
        """Let virtual time go by."""
        await asyncio.sleep(seconds)

    async def cost(self, asked: Awaitable[Any], unit: FieldUnit) -> int:
        """Return how many requests ``asked`` put to ``unit``, as the unit counts them."""
        before = len(unit.heard)
        await asked
        return len(unit.heard) - before

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.gateway.close()
        if self.disk is not None:
            self.disk.engines.close()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=60)
            assert kind or not pending, "the gateway closed, and left a session open"
            for task in pending:
                task.cancel()
        assert kind or not any(self.open.values()), "the gateway left a link open"


def in_virtual_time(
    test: Callable[Concatenate[World, P], Awaitable[None]],
) -> Callable[P, None]:
    """Run a test in a world of its own, and look afterwards for what it left behind."""

    async def main(*args: P.args, **kwargs: P.kwargs) -> None:
        complaints: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with World() as world:
            await test(world, *args, **kwargs)
        gc.collect()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left over: {left}"
        assert not complaints, complaints

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        run(main(*args, **kwargs))

    # Pytest must not take the world for a fixture, and must see the parameters behind it.
    signature = inspect.signature(test)
    parameters = list(signature.parameters.values())[1:]
    wrapper.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters
    )
    return wrapper
