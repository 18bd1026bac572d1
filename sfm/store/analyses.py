"""
Stored analyses: computed once for each waveform and reading of it, and again when the version of
the methods rises. Derived values: one that is damaged or outdated counts as missing.

All functions take a connection inside a transaction of ``Store``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, delete, insert, or_, select

from sfm.analysis import VERSION
from sfm.records.payloads import Payload
from sfm.records.site_time import utc_text
from sfm.store import schema
from sfm.store.archive import Samples
from sfm.store.decodings import LATEST_READING
from sfm.store.row_hashes import is_sound, read_rows, with_hash
from sfm.store.statements import json_text

__all__ = ["load", "load_by_recording", "outdated", "recording_body", "save"]

analyses, waveforms = schema.analyses, schema.recording_waveforms
decodings = schema.recording_decodings

AT_ONCE = 500
"""Waveforms asked for in one statement."""


def save(connection: Connection, samples: Samples, result: Payload, at: datetime) -> None:
    """Store the result of a waveform in the place of an earlier one."""
    row = {
        "waveform_id": samples.waveform_id,
        "reading_id": samples.reading_id,
        "version": VERSION,
        "computed_at": utc_text(at),
        "result_json": json_text(result),
    }
    connection.execute(delete(analyses).where(analyses.c.waveform_id == samples.waveform_id))
    hashed = with_hash("analyses", row, image=samples.content_hash.hex())
    connection.execute(insert(analyses), [hashed])


def load(connection: Connection, samples: Samples) -> Payload | None:
    """Return the stored result of a waveform; ``None``: it must be computed."""
    wanted = {samples.waveform_id: samples.reading_id}
    return next((result for _, result in _current(connection, wanted)), None)


def recording_body(samples: Samples, result: Payload) -> Payload:
    """Return a result as the API and the command line show it: with the recording it is of."""
    return {
        "id": samples.public_id,
        "serial": samples.serial,
        "waveform_key": samples.event["waveform_key"],
        "timestamp": samples.event["timestamp"],
        **result,
        "simulated": samples.simulated,
        "content_hash": samples.content_hash.hex(),
        "decoder": samples.decoder,
    }


def load_by_recording(connection: Connection, recording_ids: Iterable[int]) -> dict[int, Payload]:
    """
    Return the stored results of recordings, by their numbers; those without one are left out.

    Of a recording with several contents, that of the one read first, which is the one served.
    """
    found: dict[int, Payload] = {}
    numbers = list(recording_ids)
    for at in range(0, len(numbers), AT_ONCE):
        some = numbers[at : at + AT_ONCE]
        query = (
            select(waveforms.c.recording_id, waveforms.c.id, LATEST_READING)
            .where(waveforms.c.recording_id.in_(some))
            .order_by(waveforms.c.id.desc())
        )
        first = {
            recording_id: (waveform_id, reading_id)
            for recording_id, waveform_id, reading_id in connection.execute(query)
        }
        of = {waveform_id: recording_id for recording_id, (waveform_id, _) in first.items()}
        found |= {
            of[waveform_id]: result
            for waveform_id, result in _current(connection, dict(first.values()))
        }
    return found


def outdated(connection: Connection, limit: int, after: int = 0) -> list[int]:
    """
    Return waveforms that have samples and no current result, the first entered first.

    Args:
        connection: inside a transaction.
        limit: at most so many.
        after: only those with greater numbers.
    """
    a = analyses.c
    query = (
        select(waveforms.c.id)
        .select_from(waveforms)
        .join(decodings, decodings.c.id == LATEST_READING)
        .outerjoin(analyses, a.waveform_id == waveforms.c.id)
        .where(
            waveforms.c.id > after,
            decodings.c.state != "undecoded",
            or_(a.waveform_id.is_(None), a.version != VERSION, a.reading_id != decodings.c.id),
        )
        .order_by(waveforms.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def _current(
    connection: Connection, wanted: Mapping[int, int | None]
) -> Iterator[tuple[int, Payload]]:
    """Yield the results of waveforms that are sound, of this version and of the given reading."""
    image = waveforms.c.content_hash.label("image")
    query = (
        select(analyses, image)
        .join_from(analyses, waveforms)
        .where(analyses.c.waveform_id.in_(list(wanted)), analyses.c.version == VERSION)
    )
    for (waveform_id,), row in read_rows(connection, analyses, query):
        if row is None or row["reading_id"] != wanted.get(waveform_id, -1):
            continue
        entry: dict[str, Any] = {c.name: row[c.name] for c in analyses.c}
        if isinstance(row["image"], bytes | memoryview) and is_sound(
            "analyses", entry, image=bytes(row["image"]).hex()
        ):
            yield waveform_id, orjson.loads(row["result_json"])
