"""Whether a report or a record has the samples of the archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from sfm.cli.application import CommandError, Json, app, err, handles_errors, out, print_json
from sfm.cli.database import opened, relay_before
from sfm.cli.exits import REFUSED
from sfm.cli.routing import DEFAULTS, Database, RelayOptions, no_relay, refusal
from sfm.cli.views import safe_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sfm.reports.verification import Record

__all__ = ["verify"]

MATCHES, DIFFERS, NOT_ASKED = 0, 1, 2
Verified: TypeAlias = "tuple[str, Record, int, str]"
"""A record's name in its file, itself, the outcome and its sentence."""
OUTCOMES = {MATCHES: "matches", DIFFERS: "differs", NOT_ASKED: "not_asked"}


@app.command
@handles_errors
async def verify(
    file: Annotated[
        list[Path],
        Parameter(name="FILE", help="A report (PDF), or a record.csv.", negative=()),
    ],
    /,
    *,
    at: RelayOptions = DEFAULTS,
    alone: Annotated[bool, Parameter(help="Ask no archive.", negative=())] = False,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """
    Compare the samples of reports with those of the archive.

    Exit status 0: they match a recording of the archive. 1: they differ, or the file contradicts
    itself. 2: no archive could be asked; the file agrees with itself, which does not show that it
    is genuine. With several files JSON is a list, the status is that of the worst, and one that
    cannot be read does not keep the others back.
    """
    bodies: list[dict[str, Any]] = []
    statuses: list[int] = []
    for path in file:
        try:
            found = await _verified(path, at, database, alone=alone)
        except CommandError as error:
            if len(file) == 1:
                raise
            err.print(error.message, soft_wrap=True)
            statuses.append(error.status)
            continue
        statuses.extend(status for _, _, status, _ in found)
        bodies.append(_payload(path, found))
        for name, _, _, sentence in () if as_json else found:
            place = str(path) if len(found) == 1 else f"{path}, {name}"
            out.print(safe_text(f"{place}: {sentence}"), soft_wrap=True)
    if as_json:
        print_json(bodies[0] if len(file) == 1 else bodies)
    # What differs counts more than what could not be read, and that more than no archive.
    others = sorted(set(statuses) - {DIFFERS, NOT_ASKED, MATCHES})
    order = (DIFFERS, *others, NOT_ASKED, MATCHES)
    raise SystemExit(next(status for status in order if status in statuses))


async def _verified(
    path: Path, at: RelayOptions, database: str | None, *, alone: bool
) -> list[Verified]:
    """
    Return the outcome of each record of a file.

    Raises:
        CommandError: it cannot be read, or has no record.
    """
    import asyncio

    from sfm.reports.errors import ReportError
    from sfm.reports.verification import read_records

    try:
        records = read_records(await asyncio.to_thread(path.read_bytes))
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", REFUSED) from error
    except ReportError as error:
        raise CommandError(f"{path} cannot be verified: {error}", REFUSED) from error
    return [
        (name, record, *await _judged(record, at, database, alone=alone))
        for name, record in records.items()
    ]


def _payload(path: Path, found: list[Verified]) -> dict[str, Any]:
    return {
        "file": str(path),
        "records": [
            {
                "name": name,
                "outcome": OUTCOMES[status],
                "detail": sentence,
                "recording": record.recording_id,
                "counts_hash": record.counts_hash,
            }
            for name, record, status, sentence in found
        ],
    }


async def _judged(
    record: Record, at: RelayOptions, database: str | None, *, alone: bool
) -> tuple[int, str]:
    """Return the outcome of one record, and its sentence."""
    from sfm.reports.verification import difference, fault_of

    fault, name = fault_of(record), record.recording_id
    if fault is not None:
        return DIFFERS, f"contradicts itself: {fault}"
    agrees = "the file agrees with itself, which does not show that it is genuine"
    if alone or name is None:
        why = "no archive was asked" if alone else "the file names no recording of an archive"
        return NOT_ASKED, f"{why}: {agrees}"
    there = await _archived(record, at, database)
    if isinstance(there, str):
        return NOT_ASKED, f"{there}: {agrees}"
    where = difference(record, there)
    if where is not None:
        return DIFFERS, f"differs from recording {name}: {where}"
    return MATCHES, f"matches recording {name} in this archive"


async def _archived(
    record: Record, at: RelayOptions, database: str | None
) -> NDArray[np.int16] | str:
    """Return the archive's counts of the recording, or why there are none, as a clause."""
    base = relay_before(database, at)
    return _of_database(record, database) if base is None else await _of_relay(record, base)


def _of_database(record: Record, database: str | None) -> NDArray[np.int16] | str:
    from sfm.records.payloads import counts_of
    from sfm.store.archive import load_samples
    from sfm.store.errors import NoStoreError, NoSuchRecordError, StoreLostError

    assert record.recording_id is not None
    content = None if record.image_hash is None else bytes.fromhex(record.image_hash)
    try:
        with opened(database) as store:
            samples = store.read(load_samples, record.recording_id, content)
    except NoSuchRecordError:
        return f"this archive has no samples of recording {record.recording_id}"
    except NoStoreError:
        return "no archive was asked"
    except StoreLostError:
        if database is not None:
            raise
        return "no archive was asked"
    return counts_of(samples.payload())


async def _of_relay(record: Record, base: str) -> NDArray[np.int16] | str:
    import httpx
    import numpy as np

    from sfm.cli.application import relay_client

    query = {} if record.image_hash is None else {"content": record.image_hash}
    headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
    path = f"/archive/recordings/{record.recording_id}/waveform"
    try:
        async with relay_client(base) as client:
            response = await client.get(path, params=query, headers=headers)
    except httpx.TransportError as error:
        raise no_relay(base, error, "--direct uses the database itself") from error
    if response.status_code == 404:
        return f"this archive has no samples of recording {record.recording_id}"
    if response.is_error:
        raise refusal(response.json(), base)
    return np.frombuffer(response.content, "<i2").reshape(4, -1)
