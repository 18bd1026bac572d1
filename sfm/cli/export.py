"""``seismo-relay export``: events as files for other programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from sfm.cli import files
from sfm.cli.application import CommandError, Json, app, err, handles_errors, out, print_json
from sfm.cli.asking import asked_unit, file_of
from sfm.cli.database import opened, relay_before, roster_of
from sfm.cli.event_names import NamedEvent, parse_event
from sfm.cli.exits import MISUSED, NO_RELAY, PARTIAL, UNREACHED
from sfm.cli.routing import UNIT_DEFAULTS, Database, UnitOptions, no_relay, refusal
from sfm.cli.views import safe_text
from sfm.exports.names import Decimal, FormatName

if TYPE_CHECKING:
    import httpx

__all__ = ["export"]

Units = Literal["imperial", "metric"]
GetFile = Callable[[], Awaitable[tuple[str, bytes]]]
"""Returns a file: its name and its bytes."""
PAGE = 500


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is exported, and how."""

    query: Mapping[str, str]
    """Of the export routes."""
    since: str | None
    until: str | None
    serial: str | None
    database: str | None
    at: UnitOptions

    def has(self, timestamp: str | None) -> bool:
        """Whether an event of that unit time is wanted; of none, only without limits."""
        if timestamp is None:
            return self.since is None and self.until is None
        at = datetime.fromisoformat(timestamp)
        return (self.since is None or at >= datetime.fromisoformat(self.since)) and (
            self.until is None or at < datetime.fromisoformat(self.until)
        )


@dataclass
class _Written:
    """What a command has written so far. Lives for one command."""

    folder: Path
    force: bool
    is_single: bool
    """Whether one event was named: an error is then that of the command."""
    files: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    async def save(self, event: str, get: GetFile) -> None:
        """
        Write one event's file, or note why it was not written.

        Raises:
            CommandError: the unit or the relay is not reached; nothing more will be.
        """
        try:
            name, data = await get()
            path = files.save_bytes(self.folder / self._free(name), data, force=self.force)
        except CommandError as error:
            if self.is_single or error.status in (UNREACHED, NO_RELAY):
                raise
            self.failed.append({"event": event, "reason": str(error)})
            err.print(safe_text(f"{event}: {error}"), soft_wrap=True)
            return
        self.files.append({"event": event, "file": str(path), "bytes": len(data)})

    def _free(self, name: str) -> str:
        """Return a name that no other file of this command has: two recordings may share theirs."""
        taken = {Path(one["file"]).name for one in self.files}
        stem, dot, ending = name.rpartition(".")
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}{dot}{ending}", number + 1
        return name


@app.command
@handles_errors
async def export(
    *events: Annotated[
        str,
        Parameter(
            name="EVENT",
            help="UNIT:INDEX (place in the unit's list, from 0), a recording's id, or its first 8 "
            "characters or more; or UNIT, for all events that it stores.",
        ),
    ],
    out_folder: Annotated[Path, Parameter(name=["--out", "-o"])],
    format_: Annotated[FormatName, Parameter(name="--format")] = "csv",
    units: Units | None = None,
    decimal: Decimal = "point",
    since: str | None = None,
    until: str | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    serial: str | None = None,
    force: Annotated[bool, Parameter(negative=())] = False,
    at: UnitOptions = UNIT_DEFAULTS,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    Write events as files for other programs, each named by serial number, unit time and key.

    An event that cannot be written does not keep the others back; the exit status is then 7.

    Parameters
    ----------
    out_folder
        Folder to write into; created if it does not exist.
    format_
        Of the files: CSV, Blastware ASCII with results, JSON, or Parquet.
    units
        Units of measure: imperial (in/s, in, psi) or metric (mm/s, mm, Pa). Without it, the
        recording's own.
    decimal
        Decimal sign of CSV; with comma, cells are separated by semicolons.
    since
        With UNIT or --all: unit time, at or after; ISO 8601 without zone.
    until
        With UNIT or --all: unit time, before.
    all_
        Every recording of the archive.
    serial
        With --all: only of this unit.
    force
        Replace files of the same name.
    """
    if bool(events) == all_:
        raise CommandError("name at least one event or unit, or give --all", MISUSED)
    if serial is not None and not all_:
        raise CommandError("--serial is for --all; name the unit instead: BE12345", MISUSED)
    query = {"format": format_, "decimal": decimal} | ({"units": units} if units else {})
    choice = _Choice(
        query=query,
        since=_time(since, "--since"),
        until=_time(until, "--until"),
        serial=serial,
        database=database,
        at=at,
    )
    files.check_folder(out_folder)
    named = [parse_event(event) for event in events]
    if (since or until) and not (all_ or all(one.unit and one.index is None for one in named)):
        raise CommandError("--since and --until are for a whole unit or --all", MISUSED)
    is_single = len(named) == 1 and (named[0].index, named[0].recording) != (None, None)
    written = _Written(out_folder, force, is_single)
    if all_:
        await _export_archive(None, choice, written)
    for one in named:
        if one.recording is not None:
            await _export_archive(one.recording, choice, written)
        else:
            await _export_unit(one, choice, written)
    if as_json:
        print_json({"files": written.files, "failed": written.failed})
    else:
        for file in written.files:
            out.print(safe_text(file["file"]), soft_wrap=True)
    if written.failed:
        raise CommandError(
            f"{len(written.failed)} of {len(written.files) + len(written.failed)} events were not "
            "written; the reasons are above.",
            PARTIAL,
            is_answered=True,
        )
    if not written.files:
        err.print("No event of that unit and time; nothing was written.")


def _time(text: str | None, option: str) -> str | None:
    """Return a unit time as it was given; a date alone is its midnight."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is not None:
        raise CommandError(
            f"{option}: expected the unit's own time, such as 2026-04-01 or 2026-04-01T08:30, "
            f"without zone; got {text!r}",
            MISUSED,
        )
    return time.isoformat()


async def _export_unit(one: NamedEvent, choice: _Choice, written: _Written) -> None:
    """Write events that a unit stores, read through a relay or directly."""
    assert one.unit is not None
    async with asked_unit(one.unit, choice.at) as asked:

        def get(index: int) -> GetFile:
            return lambda: asked.file(f"/device/event/{index}/export", choice.query)

        if one.index is not None:
            await written.save(f"{one.unit}:{one.index}", get(one.index))
            return
        body = await asked.ask("/device/events")
        for event in body["events"]:
            if choice.has(event["timestamp"]):
                await written.save(f"{one.unit}:{event['index']}", get(event["index"]))


async def _export_archive(name: str | None, choice: _Choice, written: _Written) -> None:
    """Write one recording, or all that are wanted, through a relay or from the database."""
    base = relay_before(choice.database, choice.at)
    if base is None:
        await _export_database(name, choice, written)
        return
    from sfm.cli.application import relay_client

    async with relay_client(base) as client:

        def get(id_: str) -> GetFile:
            async def file() -> tuple[str, bytes]:
                path = f"/archive/recordings/{id_}/export"
                return file_of(await _answer(client, base, path, choice.query), base)

            return file

        if name is not None:
            await written.save(name, get(name))
            return
        async for id_ in _listed(client, base, choice):
            await written.save(id_, get(id_))


async def _answer(
    client: httpx.AsyncClient, base: str, path: str, query: Mapping[str, str]
) -> httpx.Response:
    import httpx

    try:
        return await client.get(path, params=query)
    except httpx.TransportError as error:
        raise no_relay(base, error) from error


async def _listed(client: httpx.AsyncClient, base: str, choice: _Choice) -> AsyncIterator[str]:
    """Yield the ids of the wanted recordings, newest first."""
    limits = {"serial": choice.serial, "since": choice.since, "until": choice.until}
    query = {k: v for k, v in limits.items() if v is not None} | {"limit": str(PAGE)}
    while True:
        response = await _answer(client, base, "/archive/events", query)
        try:
            body = response.json()
        except ValueError as error:
            raise CommandError(f"{base} answers, but not as a relay does", NO_RELAY) from error
        if response.is_error:
            raise refusal(body, base)
        for row in body["events"]:
            yield row["id"]
        if body["next_cursor"] is None:
            return
        query["cursor"] = body["next_cursor"]


async def _export_database(name: str | None, choice: _Choice, written: _Written) -> None:
    from sfm.cli.endings import ending_of
    from sfm.errors import SfmError
    from sfm.exports.event import ExportedEvent, Style
    from sfm.exports.formats import exported_file
    from sfm.store import Wanted
    from sfm.store.archive import load_page, load_samples

    style = Style(units=choice.query.get("units"), decimal=choice.query["decimal"])  # type: ignore[arg-type]
    with opened(choice.database) as store:
        roster = roster_of(store)

        def get(id_: str) -> GetFile:
            async def file() -> tuple[str, bytes]:
                try:
                    event = ExportedEvent.of_samples(store.read(load_samples, id_), roster)
                    made = exported_file(event, choice.query["format"], style)
                except SfmError as error:
                    raise ending_of(error) or error from error
                return made.name, made.data

            return file

        if name is not None:
            await written.save(name, get(name))
            return
        wanted = Wanted(serial=choice.serial, since=choice.since, until=choice.until)
        cursor: str | None = None
        while True:
            page = store.read(load_page, wanted, cursor, PAGE)
            for row in page.rows:
                await written.save(row["id"], get(row["id"]))
            cursor = page.next_cursor
            if cursor is None:
                return
