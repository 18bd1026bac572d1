"""
A relay in virtual time before the raw unit: production but for the unit, judged through HTTP.

The unit is ``raw_unit.RawUnit``, which shares no code with the product. Several programs may be
connected to its line at once; each hears every reply.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self

import httpx
import pytest
from fastapi import FastAPI

from kit.inline_worker import InlineWorker
from kit.raw_unit import IN_S_PER_COUNT, REPLY_START, Delay, RawEvent, RawUnit, no_delay, request
from kit.relay_world import World
from kit.virtual_time import now_s, run
from minimateplus.client import MiniMate
from minimateplus.errors import LinkError
from minimateplus.link import Address
from minimateplus.link.in_process import MemoryLink, memory_pair
from sfm.api.app import build_app
from sfm.devices.commands import Commands
from sfm.devices.fetch import Fetches

P = ParamSpec("P")

SERIAL = "BE11529"
PROBLEM = "urn:seismo-relay:problem:"
BITS_PER_BYTE = 10


def serial_line(baud: int) -> Delay:
    """Return how long bytes take on a serial line: ten bits each."""
    return lambda sent: len(sent) * BITS_PER_BYTE / baud


def round_trip_of_replies(seconds: float) -> Delay:
    """Return how long bytes take on a link where each reply comes so long after its request."""
    return lambda sent: seconds if sent.startswith(REPLY_START) else 0.0


class RawLine:
    """The unit's one line in memory: any number of programs, each of which hears every reply."""

    def __init__(self, unit: RawUnit, delay: Delay = no_delay) -> None:
        self.unit = unit
        self.delay = delay
        """Of requests and replies alike."""
        self.cut_each_s = 0.0
        """How long a connection lasts before the link is cut; 0: until it is closed."""
        self._clients: dict[MemoryLink, asyncio.Task[None]] = {}
        self._overheard: list[bytes] = []

    def connect(self, name: str) -> MemoryLink:
        """Return the host's end of a new connection."""
        ours, theirs = memory_pair(name)
        if not self._clients:
            self.unit.hung_up()
        self._clients[theirs] = asyncio.create_task(self._serve(theirs))
        if self.cut_each_s:
            asyncio.get_running_loop().call_later(self.cut_each_s, self._cut_now, theirs)
        return ours

    def second_program(self, *requests: bytes) -> None:
        """Let another program send these now; everybody hears what the unit answers to it."""
        for sent in requests:
            self._overheard += self.unit.feed(sent)

    async def close(self) -> None:
        """Hang up on everybody, and wait until it is done."""
        tasks = list(self._clients.values())
        for client in list(self._clients):
            await client.close()
        if tasks:
            await asyncio.wait(tasks, timeout=60)

    def _cut_now(self, client: MemoryLink) -> None:
        if client in self._clients:
            self._cutting = asyncio.ensure_future(client.close())

    async def _serve(self, client: MemoryLink) -> None:
        try:
            while True:
                received = await client.receive()
                if self.delay(received):
                    await asyncio.sleep(self.delay(received))
                replies = self.unit.feed(received)
                overheard, self._overheard = self._overheard, []
                for answer in overheard + replies:
                    if self.delay(answer):
                        await asyncio.sleep(self.delay(answer))
                    for listener in list(self._clients):
                        await listener.send(answer)
                if self.unit.is_cut:
                    for listener in list(self._clients):
                        await listener.close()
                    self.unit.hung_up()
        except LinkError:
            pass
        finally:
            del self._clients[client]
            await client.close()


class RawWorld(World):
    """One relay with a database in memory, one raw unit, one HTTP client. Lives for one test."""

    def __init__(self, unit: RawUnit | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.unit = unit or RawUnit(SERIAL)
        self.connection = RawLine(self.unit)
        self._app: FastAPI | None = None

    async def connect(self, address: Address) -> MiniMate:
        """What the gateway opens a connection with."""
        self.called += 1
        return await MiniMate.open(
            self.connection.connect(str(address)), deadlines=self.settings.deadlines
        )

    async def get(self, path: str, **query: Any) -> httpx.Response:
        """Ask the relay."""
        return await self._ask("GET", path, None, query)

    async def post(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Give the relay a command."""
        return await self._ask("POST", path, body, query)

    async def _ask(
        self, method: str, path: str, body: Any, query: dict[str, Any]
    ) -> httpx.Response:
        if self._app is None or self._app.state.gateway is not self.gateway:
            self._app = build_app(self.settings, self.gateway, worker=InlineWorker())
            self._app.state.commands = Commands(self.gateway, wall=self.wall, clock=now_s)
            self._app.state.fetches = Fetches(self.gateway, clock=now_s)
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        if path.startswith("/device"):
            query = {"host": "unit.invalid", **query}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, params=query, json=body, timeout=None)

    async def erase(self, count: int, **more: Any) -> httpx.Response:
        """Ask for an erase."""
        return await self.post("/device/events/erase", {"serial": SERIAL, "count": count, **more})

    async def archive_all(self) -> None:
        """Download every event, so that the archive has it with its samples."""
        for index in range(len(self.unit.events)):
            answer = await self.get(f"/device/event/{index}/waveform")
            assert answer.status_code == 200, answer.text

    async def archived(self) -> list[dict[str, Any]]:
        """Return every recording of the archive, with its record and its images as bytes."""
        page = (await self.get("/archive/events", limit=500)).json()
        assert page["next_cursor"] is None
        found = []
        for row in page["events"]:
            fact = (await self.get(f"/archive/recordings/{row['id']}")).json()
            images = []
            if row["contents"]:
                images.append((await self.get(f"/archive/recordings/{row['id']}/image")).content)
            found.append({**row, "record_bytes": bytes.fromhex(fact["record"]), "images": images})
        return found

    @asynccontextmanager
    async def recording(self, every_s: float, act: Callable[[], object]) -> AsyncIterator[None]:
        """Let ``act`` happen again and again until the block ends: somebody blasts."""

        async def blast() -> None:
            while True:
                await asyncio.sleep(every_s)
                act()

        task = asyncio.create_task(blast())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await self.connection.close()


def in_raw_world(
    test: Callable[Concatenate[RawWorld, P], Awaitable[None]],
) -> Callable[P, None]:
    """Run a test in a world of its own, with a database, in virtual time."""

    async def main(*args: P.args, **kwargs: P.kwargs) -> None:
        async with RawWorld() as world:
            await world.with_disk()
            await test(world, *args, **kwargs)

    @functools.wraps(test)
    def in_virtual_time(*args: P.args, **kwargs: P.kwargs) -> None:
        run(main(*args, **kwargs))

    # Pytest must not take the world for a fixture, and must see the parameters behind it.
    signature = inspect.signature(test)
    parameters = list(signature.parameters.values())[1:]
    in_virtual_time.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=parameters
    )
    return in_virtual_time


# --- what is judged -------------------------------------------------------------------------------


def problem_of(answer: httpx.Response) -> str | None:
    """Return the kind of problem that an answer is; ``None``: none."""
    if answer.status_code < 400:
        return None
    kind: str = answer.json()["type"].removeprefix(PROBLEM)
    return kind


def refusal_of(answer: httpx.Response) -> str | None:
    """Return why a command was refused: the kind of problem, or the reason within it."""
    if answer.status_code != 409:
        return None
    reason: str | None = answer.json().get("reason")
    return reason or problem_of(answer)


def stamps(events: Iterable[RawEvent]) -> list[tuple[str, str]]:
    """Return key and timestamp of each: what a list must show."""
    return [(event.key_bytes.hex(), event.at.isoformat()) for event in events]


def listed(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return the same of a list that the relay served."""
    return [(one["waveform_key"], one["timestamp"]) for one in answer.json()["events"]]


def quality(answer: httpx.Response) -> str:
    """Return the quality that an answer claims."""
    claimed: str = answer.json()["provenance"]["quality"]
    return claimed


def peaks_match(shown: dict[str, Any], event: RawEvent) -> bool:
    """Whether served peaks are those of ``event``."""
    names = ("tran_in_s", "vert_in_s", "long_in_s")
    return [shown[name] for name in names] == pytest.approx(list(event.peaks_in_s))


def samples_match(waveform: dict[str, Any], event: RawEvent) -> bool:
    """Whether served samples are those of ``event``, every one of them."""
    for number, name in enumerate(("Tran", "Vert", "Long")):
        true = [count * IN_S_PER_COUNT for count in event.counts[number]]
        if waveform["channels"][name]["values"] != pytest.approx(true, abs=1e-6):
            return False
    return True


# --- what another program sends -------------------------------------------------------------------


def visit(event: RawEvent) -> tuple[bytes, bytes]:
    """Return the two requests that read an event's header: the cursor is then on it."""
    params = bytes(4) + event.key_bytes + bytes(2)
    return request(0x0A, 0, params), request(0x0A, 0x46, params)


WALK_FROM_THE_START = (request(0x1E), request(0x1E, 8))
WALK_ON = (request(0x1F), request(0x1F, 8))
