"""Commands that read the archive, with or without a running relay."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sfm.cli import files
from sfm.cli.application import (
    MISUSED,
    CommandError,
    Json,
    app,
    check_units,
    err,
    handles_errors,
    out,
)
from sfm.cli.database import Bar, database_url, judge_of, opened, roster_of
from sfm.cli.measures import Units, UnitsName, converted
from sfm.cli.routing import Database
from sfm.cli.tables import Head, ListTable, facts_table
from sfm.cli.views import (
    LIMIT_HEADS,
    is_judged,
    limit_cells,
    limit_notes,
    peak,
    safe_text,
    velocity,
    verdict_text,
)

if TYPE_CHECKING:
    from sfm.api.schemas.reading import ArchiveQuery
    from sfm.records.site_time import Unknown

__all__ = ["Id", "archive", "decode", "list_", "show"]

archive = App(name="archive", help="Show archived recordings.")
app.command(archive)

UTC_UNKNOWN: dict[Unknown, str] = {
    "no-unit-time": "the unit reported no time",
    "no-zone": "the roster has no zone for this unit at that time",
    "damaged-zones": "a zone or place of the roster is damaged; run: seismo-relay db check",
    "before-2000": "the unit's clock was not set",
    "ambiguous-hour": "the zone's clocks showed this hour twice that day",
    "skipped-hour": "the zone's clocks skipped this hour that day",
    "after-read": "it is more than 26 h after the read; check the unit's clock and zone",
}
"""Why a recording's instant is not known, for people."""

_UNSAFE = re.compile(r"^\.|[^0-9A-Za-z._-]")
"""Characters that a file's name must not contain."""

Id = Annotated[str, Parameter(help="The recording's id, or its first 8 characters or more.")]


@archive.command(name="list")
@handles_errors
def list_(
    *,
    serial: str | None = None,
    since: str | None = None,
    until: str | None = None,
    min_pvs: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    project: str | None = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1000))] = 50,
    cursor: str | None = None,
    units: Units = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    List recordings, newest unit time first, with each one's share of its limit.

    Parameters
    ----------
    serial
        Only of this unit.
    since
        Unit time, at or after: the unit's own clock, ISO 8601 without zone; a date alone is its
        midnight.
    until
        Unit time, before; written as with since.
    min_pvs
        Minimum peak vector sum, in/s.
    project
        Text that the project contains, in any case.
    limit
        Maximum number of recordings.
    cursor
        The cursor printed by the previous page.
    """
    from sfm.records import payloads
    from sfm.store.verdicts import load_judged_page

    check_units(units, as_json=as_json)
    query = _query(
        serial=serial,
        since=since,
        until=until,
        min_pvs=min_pvs,
        project=project,
        limit=limit,
        cursor=cursor,
    )
    with opened(database) as store:
        page = store.read(
            load_judged_page,
            query.wanted,
            query.cursor,
            query.limit,
            judge=judge_of(store),
            zones=roster_of(store),
        )
    body = {
        "events": [payloads.event_view(row, row["geo_range_in_s"]) for row in page.rows],
        "next_cursor": page.next_cursor,
        "damaged": page.damaged,
    }
    if as_json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        out.print(_list_view(body, units))
        for damage in page.damaged:
            err.print(safe_text(damage), soft_wrap=True)


@archive.command
@handles_errors
def show(
    recording: Id, *, units: Units = None, database: Database = None, as_json: Json = False
) -> None:
    """Show one recording: the unit's values, verdicts, where it was read, and its reviews."""
    from sfm.records import payloads
    from sfm.store.archive import load_archived, load_recording, load_reviews, load_samples
    from sfm.store.errors import NoSuchRecordError, UndecodedSamplesError
    from sfm.store.verdicts import load_judged_recording

    check_units(units, as_json=as_json)
    with opened(database) as store:
        body = store.read(load_recording, recording, zones=roster_of(store))
        _, judged = store.read(load_judged_recording, recording, judge=judge_of(store))
        body |= judged.brief()
        body["reviews"] = store.read(load_reviews, recording)
        try:
            samples = store.read(load_samples, recording)
            body["waveform"] = payloads.waveform_view(samples.payload())
            body["waveform"]["content_hash"] = samples.content_hash.hex()
        except (NoSuchRecordError, UndecodedSamplesError):
            body["waveform"] = None
        body["archived"] = store.read(load_archived, recording)
        body["peaks"]["bound"] = payloads.peak_bounds(body["peaks"], body["geo_range_in_s"])
    if as_json:
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
    else:
        out.print(_show_view(body, units))


@archive.command
@handles_errors
def decode(*, database: Database = None, as_json: Json = False) -> None:
    """
    Decode images again that an older decoder read, and report each result.

    A relay does this automatically when it starts with a new decoder.
    """
    from minimateplus.wire.image import DECODER
    from sfm.store import Store
    from sfm.store.decoding_runs import decode_outdated

    url = database_url(database)
    with Store.open(url, reads_again=False) as store, Bar("decoding images") as report:
        done = decode_outdated(store, datetime.now(UTC), report)
    if as_json:
        body = {"decoder": DECODER, "images": done}
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
        return
    for image in done:
        change = f"; {image['change']}" if image["change"] else ""
        out.print(
            safe_text(
                f"recording {image['id'][:12]} ({image['serial']}): samples "
                f"{image['before'] or 'of an older program'} -> {image['now']}{change}"
            ),
            soft_wrap=True,
        )
    out.print(f"{len(done)} images decoded again by decoder {DECODER}")


@archive.command(name="export-raw")
@handles_errors
def export_raw(recording: Id, folder: Path, *, database: Database = None) -> None:
    """
    Write the unit's own bytes of a recording as plain files, with a note of their origin.

    Parameters
    ----------
    folder
        Folder to write into; created if it does not exist. Nothing is overwritten.
    """
    from sfm.store.archive import load_image, load_recording, load_samples
    from sfm.store.errors import NoSuchRecordError

    files.check_folder(folder)
    with opened(database) as store:
        event = store.read(load_recording, recording, zones=roster_of(store))
        parts = {"record.bin": bytes.fromhex(event["record"])}
        note: dict[str, Any] = {k: v for k, v in event.items() if k != "record"}
        try:
            samples = store.read(load_samples, recording)
            parts["image.bin"] = store.read(load_image, samples.waveform_id)
            note["image_hash"] = samples.content_hash.hex()
            note["codec"] = samples.codec
        except NoSuchRecordError:
            note["image_hash"] = None
    parts["note.json"] = (json.dumps(note, indent=2) + "\n").encode()
    at = (event["timestamp"] or "unknown-time").replace(":", "")
    # A serial number in the archive is what a unit sent, and may contain any characters.
    parts_of_name = (event["serial"], event["waveform_key"], at, event["id"][:12])
    name = _UNSAFE.sub("_", ".".join(parts_of_name))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, data in parts.items():
            with (folder / f"{name}.{kind}").open("xb") as file:
                file.write(data)
            out.print(
                safe_text(f"{folder / f'{name}.{kind}'}: {len(data):,} bytes"), soft_wrap=True
            )
    except FileExistsError as error:
        raise CommandError(f"{error.filename} exists already; give another folder") from error
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}") from error


def _query(**given: Any) -> ArchiveQuery:
    """Return what is wanted, read by the same parser as the parameters of the HTTP route."""
    from pydantic import ValidationError

    from sfm.api.schemas.reading import ArchiveQuery

    try:
        return ArchiveQuery.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        wrong = [
            f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise CommandError("; ".join(wrong), MISUSED) from None


def _list_view(body: dict[str, Any], units: UnitsName | None) -> RenderableType:
    judged = is_judged(body["events"])
    table = ListTable(
        "Id",
        Head(name="Serial", rank=2),
        Head(name="Unit's time", rank=0),
        Head(name=f"PVS\n{converted(None, 'in/s', units)[1]}", is_right=True, rank=0),
        Head(name="MicL\ndB(L)", is_right=True, rank=3),
        *(LIMIT_HEADS if judged else ()),
        Head(name="Samples", is_right=True, rank=4),
        Head(name="Note", rank=5),
        Head(name="Project", is_text=True, rank=6),
        gap=1,
    )
    for row in body["events"]:
        peaks, review = row["peaks"], row["review"]
        notes = ["simulated"] if row["simulated"] else []
        if review is not None:
            notes.append("false trigger" if review["false_trigger"] else "reviewed")
        table.add_row(
            row["id"][:12],
            safe_text(row["serial"]),
            (row["timestamp"] or "unknown").replace("T", " "),
            velocity(peaks, "vector_sum_in_s", units),
            peak(peaks, "mic_db", digits=1),
            *(limit_cells(row) if judged else ()),
            row["archived"]["samples"] or "no",
            ", ".join(notes),
            safe_text(row["project"] or ""),
        )
    lines = [safe_text(line, "dim") for line in limit_notes(body["events"])]
    if body["next_cursor"]:
        lines.append(Text(f"more: --cursor {body['next_cursor']}", "dim"))
    return Group(table, *lines)


def _show_view(body: dict[str, Any], units: UnitsName | None) -> Table:
    peaks, waveform, archived = body["peaks"], body["waveform"], body["archived"]
    rows = {
        "Recording": f"{body['id']}{', SIMULATED' if body['simulated'] else ''}",
        "Serial": body["serial"],
        "Key": body["waveform_key"],
        "Unit's time": (body["timestamp"] or "unknown").replace("T", " "),
        "Instant (UTC)": body["utc"] or f"unknown: {UTC_UNKNOWN[body['utc_unknown']]}",
        "Peaks": ", ".join(
            f"{name} {peak(peaks, field, unit, digits, units)}"
            for name, field, digits, unit in (
                ("Tran", "tran_in_s", 3, "in/s"),
                ("Vert", "vert_in_s", 3, "in/s"),
                ("Long", "long_in_s", 3, "in/s"),
                ("PVS", "vector_sum_in_s", 3, "in/s"),
                ("MicL", "mic_db", 1, "dB(L)"),
            )
        ),
        "Project": body["project"] or "",
        "Read": f"{body['read_at'] or 'at an unknown time'} over {body['route']}",
        "Record": f"{len(body['record']) // 2} bytes, BLAKE2b {body['content_hash'][:16]}...",
        "Image": {"none": "never downloaded"}.get(archived["image"], archived["image"]),
        "Samples": archived["samples"] or "none"
        if waveform is None
        else f"{waveform['samples']} a channel at {waveform['sample_rate_hz'] or 'unknown'} per s, "
        + archived["samples"],
    }
    if waveform is not None:
        rows |= {f"Not good ({r['code']})": r["detail"] for r in waveform["reasons"]}
    rows |= {f"Limit {one['curve']}": verdict_text(one) for one in body["verdicts"]}
    if body["no_verdict"] is not None:
        rows["Limit"] = f"no verdict ({body['no_verdict']})"
    table = facts_table((name, safe_text(str(value))) for name, value in rows.items())
    for review in body["reviews"]:
        kind = "false trigger" if review["false_trigger"] else "note"
        table.add_row(
            "Review", safe_text(f"{review['at']} {review['reviewer']}, {kind}: {review['note']}")
        )
    return table
