"""
A relay in this process that nobody else can reach: a unit or a database is used without a server.

It keeps every rule of the real one: archive, audit log, egress policy, one session for each unit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

from minimateplus.link.address import Address
from sfm.access.egress import EgressPolicy
from sfm.api.app import Application, build_app, build_store_service
from sfm.back_off import BackingOffError
from sfm.cli.application import CommandError, err
from sfm.cli.configuration import load_settings
from sfm.cli.exits import INTERRUPTED
from sfm.cli.views import safe_text
from sfm.logs import configure_logs
from sfm.store import NO_DATABASE, Store, StoreError, audit, default_url
from sfm.store.errors import StoreInUseError
from sfm.worker import InProcessWorker, WorkerError

__all__ = ["OPEN", "client_of", "direct_client"]

OPEN: dict[str, Any] = {"require_tokens": False, "trusted_proxies": [], "egress": None}
"""Of a relay that nobody else can reach, whatever the settings of this machine's real one."""


@contextlib.asynccontextmanager
async def direct_client(
    target: Address | str, *, is_command: bool
) -> AsyncIterator[tuple[httpx.AsyncClient, Application]]:
    """
    Yield a client of a relay in this process, and that relay.

    Raises:
        CommandError: a command was interrupted; the message names its audit entry and outcome.
    """
    configure_logs(quiet=True)
    application = await _own_relay(target)
    entry = await _last_entry(application) if is_command else 0
    try:
        if not is_command:  # a unit that is to be stopped does not wait for arithmetic
            await _compute_results(application)
        async with client_of(application) as client:
            yield client, application
        if not is_command:
            await _compute_results(application)
    except asyncio.CancelledError:
        # Ctrl-C. Closing the relay ends the command, and notes in the audit log how it ended.
        await _close(application)
        if not is_command:
            raise
        sentence = await asyncio.to_thread(_interrupted, application, entry)
        raise CommandError(sentence, INTERRUPTED) from None
    finally:
        await _close(application)


def client_of(application: Application) -> httpx.AsyncClient:
    """Return a client of a relay in this process."""
    transport = httpx.ASGITransport(application)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=None)


async def _compute_results(application: Application) -> None:
    """
    Compute the results that archived samples have not yet: first those of earlier versions, and at
    the end those of what was downloaded. A live relay does so in the background.
    """
    try:
        await application.state.analyses.catch_up()
    except (StoreError, BackingOffError, WorkerError) as error:
        err.print(safe_text(f"Results are missing: {error}"), soft_wrap=True)


async def _last_entry(application: Application) -> int:
    """Return the number of the audit log's last entry; 0: it has none, or there is no database."""
    store_service = application.state.gateway.store_service
    if not store_service.has_store:
        return 0
    latest = await store_service.read(audit.load_latest, 1)
    return int(latest[0]["number"]) if latest else 0


def _interrupted(application: Application, last: int) -> str:
    """Return how an interrupted command ended, by what the audit log has behind entry ``last``."""
    if not application.state.gateway.store_service.has_store:
        return (
            "Interrupted, outcome unknown; there is no audit entry, because there is no database. "
            "Read the unit before you repeat the command."
        )
    url = application.state.gateway.settings.database_url or default_url()
    with Store.open(url, read_only=True) as store:
        found = [one for one in store.read(audit.load_latest, 10) if one["number"] > last]
    begun = next((one for one in found if one["outcome"] == "begun"), None)
    if begun is None:
        return "Interrupted before the command was sent: nothing was changed."
    end = next((one for one in found if one.get("of") == begun["number"]), None)
    if end is not None and end["outcome"] in ("failed", "refused"):
        return f"Interrupted before the command was sent; audit entry {begun['number']}."
    if end is not None and end["outcome"] == "done":
        return f"Interrupted, but the command was done; audit entry {begun['number']}."
    return (
        f"Interrupted, outcome unknown; audit entry {begun['number']}. Read the unit before you "
        "repeat the command."
    )


async def _own_relay(target: Address | str) -> Application:
    """
    Return a relay in this process; what it reads is archived, if the archive can be had.

    Beside a live relay the database is opened to be read: its lists save reading the unit's whole
    memory again, and nothing is archived. It may open an address, whatever file that is: the person
    at the terminal named it, and the system asks for their own rights.
    """
    named = {"named on the command line": target} if isinstance(target, Address) else {}
    egress = EgressPolicy(None, named)
    settings = load_settings(**OPEN)
    application = build_app(settings, egress=egress, worker=InProcessWorker())
    problem = await _start(application)
    if problem is None:
        return application
    err.print(safe_text(f"What is read now is not archived: {problem}"), soft_wrap=True)
    await application.state.gateway.close()
    if isinstance(problem, StoreInUseError):
        reading = build_store_service(settings, read_only=True)
        application = build_app(
            settings, egress=egress, store_service=reading, worker=InProcessWorker()
        )
        if await _start(application) is None:
            return application
        await application.state.gateway.close()
    without = load_settings(database_url=NO_DATABASE, **OPEN)
    return build_app(without, egress=egress, worker=InProcessWorker())


async def _close(application: Application) -> None:
    """End what the relay does, and close its unit and database; may be called twice."""
    await application.state.operations.close()
    await application.state.analyses.close()
    await application.state.gateway.close()


async def _start(application: Application) -> StoreError | str | None:
    """Open the application's database; return why that failed, or ``None``."""
    store_service = application.state.gateway.store_service
    try:
        await store_service.start()
    except StoreError as error:
        return error
    detail: str | None = store_service.state()["detail"]
    return detail
