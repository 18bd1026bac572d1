"""Event reports as PDF."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sfm.cli import files
from sfm.cli.application import CommandError, app, err, handles_errors, out
from sfm.cli.database import (
    database_url,
    limits_of,
    opened,
    relay_before,
    roster_of,
)
from sfm.cli.event_names import NamedEvent, parse_event
from sfm.cli.exits import MISUSED, NO_RELAY, PARTIAL, REFUSED
from sfm.cli.routing import UNIT_DEFAULTS, Database, UnitOptions, no_relay, refusal
from sfm.cli.views import safe_text
from sfm.reports.wish import Form, Paper, Results, Units, Wish

if TYPE_CHECKING:
    import httpx

    from sfm.reports.gathering import Surroundings
    from sfm.store import Store

__all__ = ["report"]


@app.command
@handles_errors
async def report(
    *events: Annotated[
        str,
        Parameter(
            name="EVENT",
            help="A recording's id, or its first 8 characters or more; or UNIT:INDEX (place in "
            "the unit's list, from 0).",
        ),
    ],
    out_folder: Annotated[Path, Parameter(name=["--out", "-o"])] = Path(),
    together: Form | None = None,
    paper: Paper | None = None,
    units: Units | None = None,
    curve: Annotated[
        tuple[str, ...], Parameter(name="--curve", negative=(), show_default=False)
    ] = (),
    results: Results | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = (),
    author: str | None = None,
    printed_at: datetime | None = None,
    force: Annotated[bool, Parameter(help="Replace files of the same name.", negative=())] = False,
    at: UnitOptions = UNIT_DEFAULTS,
    database: Database = None,
) -> None:
    """
    Write the report of each event as PDF/A-3a, with its record and results attached.

    Parameters
    ----------
    out_folder
        Folder to write into; created if it does not exist.
    together
        One file for all recordings: a ZIP, or one PDF with a page for each, 60 at most.
    paper
        Paper size. Default: SFM_REPORT_PAPER.
    units
        in/s and psi, or mm/s and Pa. Default: SFM_REPORT_UNITS.
    curve
        Judge by this limit curve instead of the chosen ones; may be repeated.
    results
        The results that are printed and decide. Default: those chosen with the limits.
    set_
        First record a fact about these events, such as distance_m=182.9 or operator="Pat Doe";
        stored beside the recordings with author and time. An empty value withdraws it.
    author
        Who enters the facts; this computer's user if not given.
    printed_at
        The time that the page gives as its own, with zone; now if not given. With the same program
        the same report is made again, byte for byte.
    """
    if not events:
        raise CommandError("name at least one event: seismo-relay report EVENT -o DIR", MISUSED)
    if printed_at is not None and printed_at.tzinfo is None:
        raise CommandError("--printed-at needs a zone: 2026-11-28T09:00:00Z", MISUSED)
    facts = _facts(set_)
    who = author or getpass.getuser()
    wish = Wish(paper=paper, units=units, curves=curve, results=results, printed_at=printed_at)
    files.check_folder(out_folder)
    order = _Order(wish, facts, who, out_folder, together, force)
    named = [parse_event(event) for event in events]
    recordings = [one.recording for one in named if one.recording is not None]
    if together is not None and len(recordings) < len(named):
        raise CommandError("--together is for recordings of the archive, by their ids", MISUSED)
    if any(one.unit is not None and one.index is None for one in named):
        raise CommandError("name an event of the unit: UNIT:INDEX, such as BE12345:0", MISUSED)
    for one in named:
        if one.unit is not None:
            await _from_unit(one, order, at)
    base = relay_before(database, at) if recordings else None
    if recordings and base is None:
        _from_database(recordings, order, database)
    elif base is not None:
        await _from_relay(recordings, order, base)


@dataclass(frozen=True)
class _Order:
    """What is asked for, of whatever events."""

    wish: Wish
    facts: Mapping[str, float | str | None]
    author: str
    folder: Path
    together: Form | None
    force: bool

    def save(self, name: str, data: bytes) -> None:
        """Write a file, and print where it is."""
        saved = files.save_bytes(self.folder / name, data, force=self.force)
        out.print(safe_text(str(saved)), soft_wrap=True)

    @property
    def body(self) -> dict[str, Any]:
        """The facts as a request's body."""
        return {"author": self.author, "set": dict(self.facts)}

    @property
    def query(self) -> dict[str, Any]:
        """The wish as a request's parameters."""
        wish = self.wish
        known = {
            "paper": wish.paper,
            "units": wish.units,
            "results": wish.results,
            "printed_at": None if wish.printed_at is None else wish.printed_at.isoformat(),
        }
        found: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
        return found | ({"curve": list(wish.curves)} if wish.curves else {})


def _facts(given: tuple[str, ...]) -> dict[str, float | str | None]:
    from sfm.records.entered_facts import checked_fact

    found: dict[str, float | str | None] = {}
    for word in given:
        name, sign, value = word.partition("=")
        if not sign:
            raise CommandError(f"--set {word}: expected NAME=VALUE", MISUSED)
        try:
            found[name.strip()] = checked_fact(name.strip(), value)
        except ValueError as error:
            raise CommandError(f"--set {word}: {error}", MISUSED) from None
    return found


# --- from a unit ---------------------------------------------------------------------------------


async def _from_unit(one: NamedEvent, order: _Order, at: UnitOptions) -> None:
    from sfm.cli.asking import asked_unit

    assert one.unit is not None
    path = f"/device/event/{one.index}/report.pdf"
    async with asked_unit(one.unit, at) as asked:
        name, data = await asked.file(path, order.query)
        if order.facts:
            from sfm.reports.verification import read_record

            recording = read_record(data).recording_id
            if recording is None:
                raise CommandError(
                    f"{one.unit}:{one.index} is not in an archive, so nothing can be entered "
                    "beside it; leave out --set, or give the relay a database",
                    REFUSED,
                )
            facts = f"/archive/recordings/{recording}/facts"
            _checked(await asked.client.put(facts, json=order.body), str(asked.base))
            name, data = await asked.file(path, order.query)
    order.save(name, data)


# --- from the database ---------------------------------------------------------------------------


def _from_database(events: Sequence[str], order: _Order, database: str | None) -> None:
    from importlib.metadata import version

    from sfm.cli.configuration import load_settings
    from sfm.reports.gathering import load_subject
    from sfm.reports.printing import check_pages, many_name, options_of
    from sfm.reports.typesetting import (
        add_report,
        event_report,
        event_reports,
        file_stem,
    )
    from sfm.store import Store, entered_facts

    if order.together == "pdf":
        check_pages(len(events))
    now = datetime.now(UTC)
    if order.facts:
        with Store.open(database_url(database)) as store:
            for name in events:
                store.write(entered_facts.save, name, order.facts, author=order.author, at=now)
    settings = load_settings()
    options = options_of(settings, order.wish, now, version("seismo-relay"))
    with opened(database) as store:
        around = _surroundings(store)
        loaded = [store.read(load_subject, name, around=around, wish=order.wish) for name in events]
    if order.together == "pdf":
        order.save(many_name(options, "pdf"), event_reports(loaded, options))
        return
    if order.together == "zip":
        with tempfile.TemporaryDirectory(prefix="seismo-relay-report-") as folder:
            path = Path(folder, "reports.zip")
            for number, (subject, stored) in enumerate(loaded, 1):
                add_report(path, number, subject, options, stored)
            order.save(many_name(options, "zip"), path.read_bytes())
        return
    for subject, stored in loaded:
        order.save(f"{file_stem(subject)}.pdf", event_report(subject, options, stored))


def _surroundings(store: Store) -> Surroundings:
    from sfm.reports.gathering import Surroundings

    catalogue, choices = limits_of(store)
    return Surroundings(roster=roster_of(store), catalogue=catalogue, choices=choices)


# --- through a relay -----------------------------------------------------------------------------


async def _from_relay(events: Sequence[str], order: _Order, base: str) -> None:
    import httpx

    from sfm.cli.application import relay_client
    from sfm.cli.asking import file_of

    try:
        async with relay_client(base) as client:
            if order.facts:
                for name in events:
                    path = f"/archive/recordings/{name}/facts"
                    _checked(await client.put(path, json=order.body), base)
            if order.together is not None:
                await _together(client, events, order, base)
                return
            for name in events:
                path = f"/archive/recordings/{name}/report.pdf"
                order.save(*file_of(await client.get(path, params=order.query), base))
    except httpx.TransportError as error:
        raise no_relay(base, error, "--direct uses the database itself") from error


async def _together(
    client: httpx.AsyncClient, events: Sequence[str], order: _Order, base: str
) -> None:
    from sfm.cli.asking import file_of
    from sfm.cli.operation import finished, location_of

    body = {"recordings": list(events), "form": order.together, **order.query}
    response = await client.post("/archive/reports", json=body)
    _checked(response, base)
    location = location_of(response)
    if location is None:
        raise CommandError(f"{base} answers, but not as a relay does", NO_RELAY)
    result = await finished(client, location)
    order.save(*file_of(await client.get(result["href"]), base))
    for one in result["failed"]:
        err.print(safe_text(f"{one['recording']}: {one['detail']}"), soft_wrap=True)
    if result["failed"]:
        raise CommandError(
            f"{len(result['failed'])} of {len(events)} reports were not made; the reasons are "
            "above.",
            PARTIAL,
        )


def _checked(response: httpx.Response, base: str) -> None:
    if response.is_error:
        raise refusal(response.json(), base)
