"""
Long commands through a relay: begun with 202, then looked at until they have ended.

The rule: what became of the command comes from ``/operations/{id}`` alone. A look that fails is
tried again, because the command goes on at the relay whether or not anybody looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sfm.cli import views
from sfm.cli.application import (
    UNKNOWN,
    CommandError,
    Json,
    app,
    failure,
    handles_errors,
    print_body,
    print_note,
    relay_client,
)
from sfm.cli.exits import INTERRUPTED, NO_RELAY
from sfm.cli.routing import DEFAULTS, RelayOptions, no_relay, refusal, relay_of

if TYPE_CHECKING:
    import httpx

__all__ = ["PREFER", "OnLook", "finished", "location_of", "operation"]

PREFER = {"Prefer": "respond-async"}
POLL_S = 2.0
MAX_LOST_POLLS = 60
"""Failed looks in a row, 120 s, before the command line gives up; the command itself goes on."""
LOST_POLLS_BEFORE_NOTE = 15

Sleep = Callable[[float], Awaitable[None]]
OnLook = Callable[[Mapping[str, Any]], None]
"""Is given an operation as it is now."""


def location_of(response: httpx.Response) -> str | None:
    """Return the operation that an answer names; ``None``: the answer is the result itself."""
    location = response.headers.get("location", "")
    return location if response.status_code == 202 and location.startswith("/operations/") else None


async def finished(
    client: httpx.AsyncClient,
    location: str,
    sleep: Sleep | None = None,
    *,
    on_look: OnLook | None = None,
    is_direct: bool = False,
) -> dict[str, Any]:
    """
    Return an operation's result once it has ended, however often a look at it fails.

    Args:
        client: of the relay.
        location: of the operation.
        sleep: waits so many seconds; the loop's own if not given.
        on_look: called with the operation at each look.
        is_direct: it runs in this process, and ends with it.

    Raises:
        CommandError: it failed; or what became of it could not be learned.
    """
    import asyncio

    sleep = sleep or asyncio.sleep
    id_ = location.rpartition("/")[2]
    lost = 0
    try:
        while lost < MAX_LOST_POLLS:
            found = await _look(client, location, id_)
            lost = lost + 1 if found is None else 0
            if lost == LOST_POLLS_BEFORE_NOTE:
                print_note(
                    f"The relay has not answered for {lost * POLL_S:.0f} s; it is asked again for "
                    f"{MAX_LOST_POLLS * POLL_S:.0f} s in all."
                )
            if found is not None and on_look is not None:
                on_look(found)
            if found is not None and found["state"] == "done":
                result: dict[str, Any] = found["result"]
                return result
            if found is not None and found["state"] == "failed":
                raise failure(found["problem"])
            await sleep(POLL_S)
    except asyncio.CancelledError:
        if is_direct:
            raise
        went_on = f"Not stopped: the command goes on at the relay. {_how_to_look(id_)}"
        raise CommandError(went_on, INTERRUPTED) from None
    raise CommandError(
        f"The relay has not answered for {lost * POLL_S:.0f} s. The outcome is unknown: the "
        f"command may still be running there. {_how_to_look(id_)}",
        UNKNOWN,
    )


async def _look(client: httpx.AsyncClient, location: str, id_: str) -> dict[str, Any] | None:
    """Return an operation as it is now; ``None``: it could not be seen this time."""
    import httpx

    try:
        response = await client.get(location)
        body: dict[str, Any] = response.json()
    except (httpx.TransportError, ValueError):
        return None
    if response.status_code == 404:
        raise CommandError(
            f"The relay does not know operation {id_} any more: it was restarted without a "
            "database. The outcome is unknown. Read the unit's status before you start it again.",
            UNKNOWN,
        )
    if response.status_code >= 500:
        return None
    if response.is_error:
        raise failure(body)
    return body


def _how_to_look(id_: str) -> str:
    return f"See how it ended with: seismo-relay operation {id_}"


@app.command
@handles_errors
async def operation(
    id_: Annotated[str, Parameter(name="ID", help="As the command printed it.")],
    *,
    at: RelayOptions = DEFAULTS,
    as_json: Json = False,
) -> None:
    """Show the progress of a long command on a relay, or how it ended; kept for 24 h."""
    import httpx

    base = relay_of(at, needs_relay=True)
    assert base is not None
    async with relay_client(base) as client:
        try:
            response = await client.get(f"/operations/{id_}")
            body = response.json()
        except httpx.TransportError as error:
            raise no_relay(base, error, "It knows the operations that it carries out") from error
        except ValueError as error:
            raise CommandError(f"{base} answers, but not as a relay does", NO_RELAY) from error
    if response.is_error:
        raise refusal(body, base)
    print_body(body, views.operation_view, as_json)
