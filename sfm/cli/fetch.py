"""``seismo-relay fetch``: archive every event that a unit stores and the archive lacks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter

from sfm.cli import views
from sfm.cli.application import (
    PARTIAL,
    CommandError,
    Json,
    Unit,
    app,
    err,
    handles_errors,
    print_body,
)
from sfm.cli.asking import ask
from sfm.cli.exits import INTERRUPTED
from sfm.cli.routing import UNIT_DEFAULTS, UnitOptions
from sfm.cli.views import safe_text

__all__ = ["fetch", "how_to_fetch"]

Step = tuple[float, float]
"""How many events are archived, of how many."""
MAX_LISTED = 20
"""How many missing events are named; the rest is counted."""


@app.command
@handles_errors
async def fetch(
    unit: Unit,
    *,
    since: str | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    at: UnitOptions = UNIT_DEFAULTS,
    as_json: Json = False,
) -> None:
    """
    Archive the image of every event that the archive does not hold complete, newest first.

    It carries on when the link is cut. Through a relay it also goes on there after Ctrl-C. If it
    ends before everything was read, start it again: it continues where it was (exit status 7).

    Parameters
    ----------
    since
        Only events of this unit time or later: the unit's own clock, ISO 8601 without zone; a date
        alone is its midnight. Events without a time, or from before 2000, are always read: their
        clock was not set.
    all_
        Also read again recordings that are complete but contradict themselves and were received
        only once; if the same bytes come again, an erase counts them as archived.
    """
    query = {**({"since": since} if since is not None else {}), "all": "true" if all_ else "false"}
    from asyncio import CancelledError

    steps: list[Step] = []
    show = partial(_print_progress, steps, [None])
    try:
        body = await ask(unit, "/device/fetch", at, method="POST", query=query, on_progress=show)
    except CancelledError:
        # Ctrl-C, and the fetch was in this process: it ended with it.
        if not steps:
            raise
        done, total = steps[-1]
        raise CommandError(
            f"Interrupted: {done:g} of {total:g} events archived, or more since the last look; the "
            "same command continues.",
            INTERRUPTED,
        ) from None
    print_body(body, views.fetch_view, as_json)
    if body["failed"]:
        raise CommandError(
            f"{views.counted(len(body['failed']), 'events')} could not be archived; the reasons "
            "are above.",
            PARTIAL,
            is_answered=True,
        )


def _print_progress(
    steps: list[Step], cuts: list[str | None], operation: Mapping[str, Any]
) -> None:
    """
    Print how far an operation is, each time that another event is archived; add it to steps.

    Print too why the unit was not read and is tried again, each time that the reason is another.
    """
    done, total = operation["done"], operation["total"]
    why = (operation["trying_again"] or {}).get("detail")
    if why != cuts[-1]:
        cuts.append(why)
        if why is not None:
            err.print(safe_text(f"Trying again: {why}"), soft_wrap=True)
    if done is None or total is None or steps[-1:] == [(done, total)]:
        return
    steps.append((done, total))
    err.print(
        safe_text(f"{done:g} of {total:g} events archived, {operation['read_bytes']:,} bytes")
    )


def how_to_fetch(unit: str, at: UnitOptions, problem: Mapping[str, Any]) -> str | None:
    """Return which events an erase was refused for, and the command that archives them."""
    missing = problem.get("missing")
    if not missing:
        return None
    again = set(problem.get("contradicted", ()))
    lines = ["Not archived:"]
    for event in missing[:MAX_LISTED]:
        moment = "at an unknown time" if event["timestamp"] is None else event["timestamp"]
        why = ", contradicts itself" if event["index"] in again else ""
        lines.append(f"  event {event['index']}, key {event['waveform_key']}, {moment}{why}")
    if len(missing) > MAX_LISTED:
        lines.append(f"  and {len(missing) - MAX_LISTED} more")
    words = ["seismo-relay fetch", unit, *at.words()]
    if any(event["index"] in again for event in missing):
        words.append("--all")
    lines.append(f"Archive them with: {' '.join(words)}")
    return "\n".join(lines)
