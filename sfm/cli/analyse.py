"""``analyse``: the quantities of events, from a unit, the archive or files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from sfm.cli.application import (
    CommandError,
    Json,
    app,
    err,
    handles_errors,
    out,
    print_json,
    relay_client,
)
from sfm.cli.asking import ask
from sfm.cli.database import opened, relay_before
from sfm.cli.event_names import parse_event
from sfm.cli.exits import MISUSED
from sfm.cli.routing import UNIT_DEFAULTS, Database, UnitOptions, no_relay, refusal
from sfm.cli.views import safe_text

__all__ = ["analyse"]

Units = Annotated[
    Literal["imperial", "metric"] | None,
    Parameter(
        help="Units of measure: imperial (in/s, in, psi) or metric (mm/s, mm, Pa). Without it, the "
        "recording's own."
    ),
]


@app.command
@handles_errors
async def analyse(
    event: Annotated[
        list[str],
        Parameter(
            name="EVENT",
            help="UNIT:INDEX (place in the unit's list, from 0), a recording's id, or its first 8 "
            "characters or more, or a file: Blastware or Micromate ASCII or CSV, or our own CSV.",
            negative=(),
        ),
    ],
    /,
    *,
    at: UnitOptions = UNIT_DEFAULTS,
    units: Units = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    Compute the quantities of events, as the vendor's program does and refined.

    With several events, JSON is a list. One that cannot be analysed does not keep the others back;
    the exit status is then that of the first such error.
    """
    found, failed = [], []
    for word in event:
        try:
            body = await _analysed(word, at, units, database)
        except CommandError as error:
            if len(event) == 1:
                raise
            failed.append(error)
            err.print(safe_text(f"{word}: "), error.message, soft_wrap=True)
            continue
        found.append(body)
        if not as_json:
            from sfm.cli.analysis_views import analysis_view

            out.print(analysis_view(body))
    if as_json:
        print_json(found[0] if len(event) == 1 else found)
    if failed:
        raise SystemExit(failed[0].status)


async def _analysed(
    word: str, at: UnitOptions, units: str | None, database: str | None
) -> dict[str, Any]:
    """Return the analysis of what a word names; the name of a file that is there is a file's."""
    import asyncio

    path = Path(word)
    if await asyncio.to_thread(path.is_file):
        return await asyncio.to_thread(_of_file, path, units)
    named = parse_event(word)
    if named.recording is not None:
        return await _of_recording(word, at, units, database)
    if named.unit is None or named.index is None:
        raise CommandError(
            f"{word!r} is no file that is there, no recording's id and no UNIT:INDEX; for "
            "example: BE12345:0, tcp://10.0.0.5:12345:0, event.TXT",
            MISUSED,
        )
    query = {} if units is None else {"units": units}
    route = f"/device/event/{named.index}/analysis"
    return await ask(named.unit, route, at, query=query)


def _of_file(path: Path, units: str | None) -> dict[str, Any]:
    from sfm.analysis import analyse as analyse_seismogram
    from sfm.exports.readers import UnreadableFileError, read_file

    try:
        file = read_file(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", MISUSED) from error
    except UnreadableFileError as error:
        raise CommandError(f"{path}: {error}", MISUSED) from error
    result = analyse_seismogram(file.seismogram)
    if units is not None:
        result = result.in_system(units)  # type: ignore[arg-type]
    stated = [file.text("eventdate"), file.text("eventtime")]
    return {
        "file": str(path),
        "serial": file.text("serialnumber"),
        "timestamp": " ".join(part for part in stated if part) or file.text("unittime"),
        **result.payload(),
        "assumptions": list(file.assumptions),
    }


async def _of_recording(
    name: str, at: UnitOptions, units: str | None, database: str | None
) -> dict[str, Any]:
    base = relay_before(database, at)
    if base is None:
        return _of_archive(name, units, database)
    import httpx

    async with relay_client(base) as client:
        try:
            response = await client.get(
                f"/archive/recordings/{name}/analysis",
                params={} if units is None else {"units": units},
            )
        except httpx.TransportError as error:
            raise no_relay(base, error) from error
    body: dict[str, Any] = response.json()
    if response.is_error:
        raise refusal(body, base)
    return body


def _of_archive(name: str, units: str | None, database: str | None) -> dict[str, Any]:
    """Return a recording's stored result, or one computed here: the database is only read."""
    from sfm.analysis import Analysis
    from sfm.records.analysed import analysis_payload
    from sfm.store import analyses, archive

    with opened(database) as store:
        samples = store.read(archive.load_samples, name)
        result = store.read(analyses.load, samples) or analysis_payload(samples.payload())
    if units is not None:
        result = Analysis.from_payload(result).in_system(units).payload()  # type: ignore[arg-type]
    return analyses.recording_body(samples, result)
