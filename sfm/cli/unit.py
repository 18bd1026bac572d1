"""What is asked of a unit, through a relay or directly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from sfm.cli import files, views
from sfm.cli.application import (
    CommandError,
    Force,
    Json,
    Unit,
    app,
    check_units,
    err,
    handles_errors,
    print_body,
)
from sfm.cli.asking import ask, asked_unit
from sfm.cli.exits import PARTIAL, kind_of
from sfm.cli.measures import Units
from sfm.cli.routing import UNIT_DEFAULTS, UnitOptions
from sfm.cli.views import counted, safe_text

__all__ = ["events", "info", "status", "waveform"]


async def _get(unit: str, path: str, at: UnitOptions, *, force: bool) -> dict[str, Any]:
    """Return the body of one device route that reads."""
    return await ask(unit, path, at, query={"force": "true"} if force else None)


@app.command
@handles_errors
async def info(
    unit: Unit,
    *,
    at: UnitOptions = UNIT_DEFAULTS,
    force: Force = False,
    units: Units = None,
    as_json: Json = False,
) -> None:
    """Show identity, firmware, calibration and recording setup of a unit."""
    check_units(units, as_json=as_json)
    body = await _get(unit, "/device/info", at, force=force)
    print_body(body, partial(views.info_view, units=units), as_json)


@app.command
@handles_errors
async def events(
    unit: Unit,
    *,
    at: UnitOptions = UNIT_DEFAULTS,
    force: Force = False,
    units: Units = None,
    as_json: Json = False,
) -> None:
    """
    List the events that a unit has stored, newest first.

    A list that one contact cannot carry is read in several, for as long as each brings more. What
    was read of it when that ends is shown, and the exit status is 7.
    """
    check_units(units, as_json=as_json)
    body = await _list(unit, at, force=force)
    print_body(body, partial(views.events_view, units=units), as_json)
    if not body["complete"]:
        raise CommandError(
            "The list is not complete. What was read is kept: ask again to read on.",
            PARTIAL,
            is_answered=True,
        )


async def _list(unit: str, at: UnitOptions, *, force: bool) -> dict[str, Any]:
    """Return the event list, read in as many contacts as bring something; else its beginning."""
    # One relay for all contacts: without a database an own one keeps what was read in memory.
    async with asked_unit(unit, at) as asked:
        walked = 0
        while True:
            try:
                query = {"force": "true"} if force else None
                return await asked.ask("/device/events", query=query)
            except CommandError as cut:
                if kind_of(cut.problem) != "list-incomplete":
                    if not walked:
                        raise
                    break
                if cut.problem["walked"] <= walked:
                    break
                walked, force = cut.problem["walked"], False
                err.print(f"First {counted(walked, 'events')}, still reading.")
        return await asked.ask("/device/events", query={"partial": "true"})


@app.command
@handles_errors
async def waveform(
    unit: Unit,
    index: Annotated[int, Parameter(validator=Number(gte=0))],
    *,
    at: UnitOptions = UNIT_DEFAULTS,
    force: Force = False,
    as_json: Json = False,
    csv: Path | None = None,
    units: Units = None,
) -> None:
    """
    Show one event's samples as envelopes, or save them.

    Parameters
    ----------
    index
        Place of the event in the list, from 0.
    force
        Go to the device, whatever a cache holds; replace the file that --csv names.
    csv
        Write the samples to this file; to a folder (., or a name that ends in /), under a name
        made of serial number, unit time and key. No file is replaced without --force.
    """
    check_units(units, as_json=as_json)
    if csv is not None:
        files.refuse_taken(csv, force=force)
    path = f"/device/event/{index}"
    async with asked_unit(unit, at) as asked:
        body = await asked.ask(f"{path}/waveform", query={"force": "true"} if force else None)
        if csv is not None:
            name, data = await asked.file(
                f"{path}/export", {"format": "csv", **({"units": units} if units else {})}
            )
    if csv is not None:
        saved = files.save(csv, name, data, force=force)
        err.print(safe_text(f"{body['samples']} samples per channel written to {saved}"))
        for reason in body["reasons"]:
            err.print(safe_text(f"Not good: {reason['detail']}"), soft_wrap=True)
    print_body(body, partial(views.waveform_view, units=units), as_json)


@app.command
@handles_errors
async def status(
    unit: Unit,
    *,
    at: UnitOptions = UNIT_DEFAULTS,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show whether a unit monitors, its clock, battery and memory."""
    body = await _get(unit, "/device/monitor/status", at, force=force)
    print_body(body, views.status_view, as_json)
