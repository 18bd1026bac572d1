"""
From the archive, or an answer of a unit, to the subject of a report.

The roster says where the unit stood and when it was calibrated; people's facts come from beside the
recording, and limits from what was chosen for it. What none of them knows stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from sfm.analysis.limits import Catalogue
from sfm.exports.event import ExportedEvent
from sfm.records.entered_facts import EnteredFact
from sfm.records.limit_choices import LimitChoices
from sfm.records.payloads import Payload
from sfm.records.roster import Roster
from sfm.reports.errors import ReportError
from sfm.reports.subject import ChosenCurves, Subject, curves_named
from sfm.reports.wish import Wish
from sfm.store import analyses, entered_facts, mirror, schema
from sfm.store.archive import load_samples

if TYPE_CHECKING:
    from sfm.devices.answer import Answer

__all__ = ["Surroundings", "answer_subject", "archived_as", "load_subject"]

M_PER_FT = 0.3048


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is known beside an event: units and places, curves, and which of them count where."""

    roster: Roster
    catalogue: Catalogue
    choices: LimitChoices


def load_subject(
    connection: Connection,
    name: str,
    *,
    around: Surroundings,
    wish: Wish,
    content: bytes | None = None,
) -> tuple[Subject, Payload | None]:
    """
    Return the subject of a recording, and its results where they were computed before.

    What its unit reported of itself comes from the database, so that each way of
    asking for the report gets the same one.

    Args:
        connection: to the archive.
        name: of the recording.
        around: what is known beside it.
        wish: which curves and results.
        content: hash of its samples, if the unit returned several contents; the first if not given.

    Raises:
        NoSuchRecordError: there is no such recording, or its samples were never downloaded.
        AmbiguousIdError: several recordings' ids begin with these characters.
        DamagedRecordError: it, or a fact of it, does not match its hash.
        UndecodedSamplesError: its samples could not be decoded.
        ReportError: a curve cannot be used for a report.
    """
    samples = load_samples(connection, name, content)
    event = ExportedEvent.of_samples(samples, around.roster)
    facts = entered_facts.load(connection, samples.recording_id)
    info = mirror.load_info(connection, samples.serial, simulated=samples.simulated)
    subject = _subject(event, around, wish, facts, info, samples.decoder)
    return subject, analyses.load(connection, samples)


def answer_subject(
    answer: Answer, *, around: Surroundings, wish: Wish, info: Mapping[str, Any] | None
) -> Subject:
    """
    Return the subject of an event that was read or cached, with its waveform.

    Raises:
        ReportError: a curve cannot be used for a report.
    """
    event = ExportedEvent.of_answer(answer, around.roster)
    return _subject(event, around, wish, {}, info, None)


def archived_as(connection: Connection, serial: str, key: str, timestamp: str | None) -> str | None:
    """
    Return the id of the one recording of an event, if it has samples, and of one content only.

    ``None``: there is none or several, or the live event may be any of several contents.
    """
    r, w = schema.recordings.c, schema.recording_waveforms.c
    query = (
        select(r.public_id)
        .join(schema.recording_waveforms, w.recording_id == r.id)
        .where(r.serial == serial, r.waveform_key == key, r.event_timestamp == (timestamp or ""))
        .limit(2)
    )
    found = list(connection.execute(query).scalars())
    return str(found[0]) if len(found) == 1 else None


def _subject(
    event: ExportedEvent,
    around: Surroundings,
    wish: Wish,
    entered: Mapping[str, EnteredFact],
    info: Mapping[str, Any] | None,
    decoder: int | None,
) -> Subject:
    roster, at = around.roster, event.payload["timestamp"]
    unit = roster.units.get(event.serial or "")
    place = None
    if at is not None and event.serial is not None:
        place = roster.place_at(event.serial, datetime.fromisoformat(at))
    location = None if place is None else roster.locations.get(place.location_id)
    known = info or {}
    entered_on = None if unit is None else unit.calibrated_on
    return Subject(
        event=event,
        decoder=decoder,
        model=known.get("model"),
        firmware=known.get("firmware"),
        calibrated_on=entered_on or known.get("calibrated_on"),
        calibration_is_entered=entered_on is not None,
        location=None if location is None else location.name,
        latitude=None if location is None else location.latitude,
        longitude=None if location is None else location.longitude,
        entered=entered,
        limits=_limits(event, around, wish, entered),
    )


def _limits(
    event: ExportedEvent, around: Surroundings, wish: Wish, entered: Mapping[str, EnteredFact]
) -> ChosenCurves:
    payload = event.payload
    chosen = around.choices.select(
        around.roster, event.serial, payload["timestamp"], payload["project"]
    )
    names = wish.curves or chosen.curves
    parameters = dict(chosen.parameters)
    distance = entered.get("distance_m")
    if distance is not None and isinstance(distance.value, float):
        # Of the event itself, so it goes before a distance chosen for the place.
        parameters["distance_ft"] = distance.value / M_PER_FT
    reason = None
    if not names and chosen.reason is not None:
        detail = chosen.reason.detail
        reason = f"{detail[:1].upper()}{detail[1:]}."
    try:
        curves = curves_named(around.catalogue, names)
    except ReportError as error:
        if wish.curves:
            raise
        raise ReportError(f"the limit curves chosen for this event: {error}") from error
    return ChosenCurves(
        curves=curves,
        results=wish.results or chosen.results,
        parameters=parameters,
        by="request" if wish.curves else chosen.by,
        reason=reason,
    )
