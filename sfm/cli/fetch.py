"""``seismo-relay fetch``: archive every event that a unit stores and the archive lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from sfm.cli import views
from sfm.cli.application import (
    PARTIAL,
    CommandError,
    Json,
    Relay,
    Unit,
    app,
    err,
    handles_errors,
    print_body,
)
from sfm.cli.unit import ask
from sfm.cli.views import safe_text

__all__ = ["fetch", "how_to_fetch"]

MAX_LISTED = 20
"""How many missing events are named; the rest is counted."""


@app.command
@handles_errors
async def fetch(
    unit: Unit,
    *,
    since: str | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    relay: Relay = None,
    as_json: Json = False,
) -> None:
    """
    Archive every event's image that is not in the archive whole, the newest event first.

    It goes on over a link that is cut. Through a relay it also goes on there after Ctrl-C. If it
    ends before everything was read, start it again: it continues where it was (exit status 7).

    Parameters
    ----------
    since
        Only events of this unit time or later: the unit's own clock, ISO 8601 without zone; a date
        alone is its midnight. Events without a time, or from before 2000, are always read: their
        clock was not set.
    all_
        Also read once more what is whole, contradicts itself and came once only; an erase counts it
        when the same bytes come again.
    """
    query = {**({"since": since} if since is not None else {}), "all": "true" if all_ else "false"}
    try:
        body = await ask(
            unit,
            "/device/fetch",
            relay,
            method="POST",
            query=query,
            on_progress=_print_progress(),
        )
    except CommandError as stopped:
        if not str(stopped.problem.get("type", "")).endswith(":fetch-incomplete"):
            raise
        raise CommandError(stopped.message, PARTIAL, stopped.problem) from stopped
    print_body(body, views.fetch_view, as_json)
    if body["failed"]:
        raise CommandError(
            f"{len(body['failed'])} events could not be archived; the reasons are above.", PARTIAL
        )


def _print_progress() -> Any:
    """Return what prints how far an operation is, each time that another event is archived."""
    last: list[tuple[float, float]] = []

    def show(operation: Mapping[str, Any]) -> None:
        done, total = operation["done"], operation["total"]
        if done is None or total is None or last[-1:] == [(done, total)]:
            return
        last[:] = [(done, total)]
        err.print(
            safe_text(f"{done:g} of {total:g} events archived, {operation['read_bytes']:,} bytes")
        )

    return show


def how_to_fetch(unit: str, relay: str | None, problem: Mapping[str, Any]) -> str | None:
    """Return which events an erase was refused for, and the command that archives them."""
    missing = problem.get("missing")
    if not missing:
        return None
    again = set(problem.get("contradicted", ()))
    lines = ["Not archived:"]
    for event in missing[:MAX_LISTED]:
        at = "at an unknown time" if event["timestamp"] is None else event["timestamp"]
        why = ", contradicts itself" if event["index"] in again else ""
        lines.append(f"  event {event['index']}, key {event['waveform_key']}, {at}{why}")
    if len(missing) > MAX_LISTED:
        lines.append(f"  and {len(missing) - MAX_LISTED} more")
    words = ["seismo-relay fetch", unit, *([] if relay is None else ["--relay", relay])]
    if any(event["index"] in again for event in missing):
        words.append("--all")
    lines.append(f"Archive them with: {' '.join(words)}")
    return "\n".join(lines)
