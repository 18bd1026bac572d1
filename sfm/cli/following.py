"""
How far the reads of one unit are, on a terminal.

The display is a courtesy: if it cannot start, ends early or fails, the command does not notice.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from sfm.cli.application import advance, err, progress_bar

if TYPE_CHECKING:
    import httpx

    from minimateplus.link.address import Address
    from sfm.api.app import Application

__all__ = ["following", "parse_events"]


@contextlib.asynccontextmanager
async def following(
    client: httpx.AsyncClient,
    which: Mapping[str, Any],
    target: Address | str,
    application: Application | None,
) -> AsyncIterator[None]:
    """
    Show how far the unit's reads are while the body runs, on a terminal only.

    Args:
        client: of who is asked.
        which: the parameters that name the unit.
        target: the unit, for people.
        application: the relay, if it is in this process.
    """
    if not err.is_terminal:
        yield
        return
    import asyncio

    displaying = asyncio.create_task(_display(client, which, target, application))
    try:
        yield
    finally:
        displaying.cancel()
        await asyncio.gather(displaying, return_exceptions=True)


async def _display(
    client: httpx.AsyncClient,
    which: Mapping[str, Any],
    target: Address | str,
    application: Application | None,
) -> None:
    with progress_bar() as bar:
        task = bar.add_task(f"asking {target}", total=None)
        entries = _entries_here(application, target) if application else _entries(client, which)
        why = ""
        async for kind, data in entries:
            if kind == "step":
                advance(bar, task, data["what"], data["done"], data["total"])
                continue
            # A read began or ended: what was shown is not how far this one is. A fetch that failed
            # tries again for as long as its command runs, so its reason stays until there is news.
            if kind != "begun":
                is_retried = kind == "failed" and data["resource"] == "fetch"
                why = f"trying again; {data['error']}" if is_retried else ""
            bar.update(task, completed=0, total=None, figure=why)


async def _entries_here(
    application: Application, target: Address | str
) -> AsyncIterator[tuple[str, Any]]:
    """Yield the entries of the relay in this process, whose transport streams nothing."""
    gateway = application.state.gateway
    await gateway.roster.load()
    async for entry in gateway.progress(gateway.roster.target(target)).follow():
        yield entry.kind, entry.data


async def _entries(
    client: httpx.AsyncClient, which: Mapping[str, Any]
) -> AsyncIterator[tuple[str, Any]]:
    """Yield the entries of this unit alone, from the relay's stream."""
    async with client.stream("GET", "/device/progress", params=which) as response:
        if not response.is_error:
            async for entry in parse_events(response.aiter_lines()):
                yield entry


async def parse_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    """Yield kind and data of each server-sent event (HTML standard, 9.2)."""
    kind = ""
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)
