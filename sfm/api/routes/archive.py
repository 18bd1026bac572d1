"""
The archive over HTTP: every recording ever read, whether or not its unit still stores it.

The rules: no route here reads a unit. A recording is identified by its public id, which is the same
in every database; row numbers are never exposed. Every stored value is compared with its hash
before it is sent. Only the unit's own bytes, requested by their hash, may be cached permanently:
JSON answers contain derived values (a zone or a scale may be corrected), so a reader's copy is
revalidated by its tag each time. Loading, checking and encoding run outside the event loop, in
``StoreService.read``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from sfm.access.principal import ForbiddenUnitError, Principal
from sfm.analysis import Analysis
from sfm.api import provenance
from sfm.api.compression import MIN_BYTES, compressed, takes
from sfm.api.middleware.authentication import principal_of
from sfm.api.problems import GONE, problem_response
from sfm.api.provenance import COUNTS_TYPE, Reply, meaning_of_counts, takes_counts
from sfm.api.routes.dependencies import (
    FILE,
    NOT_MODIFIED,
    Nothing,
    RecordingId,
    analyses_of,
    check_visible,
    described_problems,
    gateway_of,
)
from sfm.api.schemas import reading
from sfm.api.schemas.analysis import (
    ArchivedAnalysisOut,
    ArchivedAnalysisQuery,
    ArchivedSpectraOut,
)
from sfm.api.schemas.bodies import body_of, described_body
from sfm.api.schemas.exports import ArchivedExportQuery
from sfm.api.schemas.reading import ArchiveQuery, ContentQuery, LimitQuery, ReviewIn
from sfm.exports.event import ExportedEvent
from sfm.exports.formats import exported_file
from sfm.records import payloads
from sfm.records.analysed import spectra_payload
from sfm.records.roster import Roster
from sfm.store import Samples, StoreError
from sfm.store.analyses import recording_body
from sfm.store.archive import (
    load_devices,
    load_findings,
    load_image,
    load_recording,
    load_reviews,
    load_samples,
    save_damage_finding,
    save_review,
)
from sfm.store.codec import CODEC
from sfm.store.errors import DamagedRecordError, NoSuchRecordError
from sfm.store.verdicts import load_judged_page

__all__ = ["archive"]

IMMUTABLE = b"private, max-age=31536000, immutable"
REVALIDATED = b"private, no-cache"
NO_STORE = {"Cache-Control": "no-store"}
JSON_TYPE = b"application/json"
VARY = (b"vary", b"accept, accept-encoding")
BODY_HEADERS = (b"content-type", b"content-encoding")
"""Headers that an answer without a body must not carry."""

LIST_PROBLEMS = described_problems(404, 422, 500, 503)
FACT_PROBLEMS = NOT_MODIFIED | described_problems(404, 409, 422, 500, 503)
SAMPLES_PROBLEMS = FACT_PROBLEMS | described_problems(502)
BYTES: dict[str, Any] = {COUNTS_TYPE.decode(): {"schema": {"type": "string", "format": "binary"}}}
ID_PROBLEMS = described_problems(404, 409, 422, 500, 503)
Some = Annotated[LimitQuery, Query()]
Which = Annotated[ArchiveQuery, Query()]
Content = Annotated[ContentQuery, Query()]
Export = Annotated[ArchivedExportQuery, Query()]
Analyse = Annotated[ArchivedAnalysisQuery, Query()]
Pair = tuple[bytes, bytes]
Pairs = tuple[Pair, ...]

archive = APIRouter(prefix="/archive", tags=["archive"])
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Representation:
    """One part of a recording, checked against its hash and encoded."""

    body: bytes
    etag: str
    """Without the quotes."""
    is_simulated: bool
    headers: Pairs
    """Content type, and other headers of this part alone."""
    is_immutable: bool = False
    """Whether the requested URL can never return other bytes."""

    @classmethod
    def of(
        cls, body: bytes, content_hash: str, is_simulated: bool, *headers: Pair
    ) -> _Representation:
        """Return a part with its tag; two encodings of one content have two tags."""
        etag = f"{content_hash}.{hashlib.blake2b(body, digest_size=12).hexdigest()}"
        return cls(body, etag, is_simulated, headers)

    @classmethod
    def of_json(
        cls, body: bytes, content_hash: str, is_simulated: bool, accept_encoding: str
    ) -> _Representation:
        """Return a part as JSON, compressed for a reader that takes it."""
        coded, headers = _coded(body, accept_encoding)
        content_type = (b"content-type", JSON_TYPE)
        return cls.of(coded, content_hash, is_simulated, VARY, content_type, *headers)


@archive.get("/units", response_model=reading.ArchivedUnits, responses=LIST_PROBLEMS)
async def get_archived_units(request: Request, _: Nothing) -> Response:
    """Every archived unit: number of recordings, first and last timestamp, last read."""
    units = await gateway_of(request).store_service.read(load_devices)
    principal = principal_of(request)
    return _no_store_response(
        request, {"units": [unit for unit in units if principal.may_use(unit["serial"])]}
    )


@archive.get("/events", response_model=reading.ArchivePage, responses=LIST_PROBLEMS)
async def get_archived_events(request: Request, query: Which) -> Response:
    """
    A page of recordings: newest unit time first, unknown times last, then the latest archived.

    Every recording present when the first page was read is listed exactly once, whatever is added
    meanwhile.
    """
    if not principal_of(request).may_use(query.serial):
        raise ForbiddenUnitError(
            "your token is limited to some units: give the serial number of one of them"
        )
    store_service = gateway_of(request).store_service
    await gateway_of(request).limits.load()
    page = await store_service.read(
        load_judged_page,
        query.wanted,
        query.cursor,
        query.limit,
        judge=store_service.judge,
        zones=store_service.zones,
    )
    return _no_store_response(
        request,
        {
            "events": [payloads.event_view(row, row["geo_range_in_s"]) for row in page.rows],
            "next_cursor": page.next_cursor,
            "damaged": page.damaged,
        },
    )


@archive.get("/recordings/{id}", response_model=reading.ArchivedOut, responses=FACT_PROBLEMS)
async def get_archived_event(request: Request, name: RecordingId, _: Nothing) -> Response:
    """One recording: its decoded values, and the unit's own record."""
    zones = gateway_of(request).store_service.zones
    load = partial(_load_event, name, principal_of(request), zones, _accepted(request))
    return await _respond(request, name, load)


def _load_event(
    name: str, principal: Principal, zones: Roster, accept_encoding: str, connection: Connection
) -> _Representation:
    payload = load_recording(connection, name, zones=zones)
    _check_permitted(principal, name, payload["serial"])
    view = payloads.event_view(payload, payload["geo_range_in_s"])
    return _Representation.of_json(
        orjson.dumps(view), payload["content_hash"], payload["simulated"], accept_encoding
    )


@archive.get(
    "/recordings/{id}/waveform",
    response_model=reading.ArchivedWaveformOut,
    responses={
        200: {"description": "JSON; or the bare counts, as with a live waveform", "content": BYTES},
        **SAMPLES_PROBLEMS,
    },
)
async def get_archived_waveform(request: Request, name: RecordingId, query: Content) -> Response:
    """
    Samples of a recording: in physical units, or as bare counts.

    A reader that accepts zstd gets the stored frame of the counts unchanged.
    """
    await check_visible(request, name)
    wants_counts = takes_counts(request.headers.get("accept", ""))
    accept_encoding = _accepted(request)
    principal = principal_of(request)
    load = partial(
        _load_waveform, name, query.content_hash, principal, wants_counts, accept_encoding
    )
    return await _respond(request, name, load)


def _load_waveform(
    name: str,
    content: bytes | None,
    principal: Principal,
    wants_counts: bool,
    accept_encoding: str,
    connection: Connection,
) -> _Representation:
    samples = load_samples(connection, name, content)
    _check_permitted(principal, name, samples.serial)
    # Unpacked and compared with the hash in any case, also where the frame itself is sent.
    payload = samples.payload()
    content_hash = samples.content_hash.hex()
    if not wants_counts:
        json = _waveform_json(samples, payload)
        return _Representation.of_json(json, content_hash, samples.simulated, accept_encoding)
    body = payload["counts"]
    headers = [VARY, (b"content-type", COUNTS_TYPE), *meaning_of_counts(payload)]
    headers.append((b"x-content-hash", content_hash.encode()))
    if samples.codec == CODEC and takes("zstd", accept_encoding):
        body = samples.frame
        headers.append((b"content-encoding", b"zstd"))
    return _Representation.of(body, content_hash, samples.simulated, *headers)


@archive.get(
    "/recordings/{id}/image",
    response_class=Response,
    responses={200: {"description": "The bytes", "content": BYTES}, **FACT_PROBLEMS},
)
async def get_archived_image(request: Request, name: RecordingId, query: Content) -> Response:
    """
    The unit's memory of an event, byte for byte, from the file-type tag to the footer.

    Requested by its content hash, it may be cached permanently.
    """
    await check_visible(request, name)
    load = partial(_load_image, name, query.content_hash, principal_of(request))
    return await _respond(request, name, load)


def _load_image(
    name: str, content: bytes | None, principal: Principal, connection: Connection
) -> _Representation:
    samples = load_samples(connection, name, content)
    _check_permitted(principal, name, samples.serial)
    image = load_image(connection, samples.waveform_id)
    content_hash = samples.content_hash.hex()
    headers = ((b"content-type", COUNTS_TYPE), (b"x-content-hash", content_hash.encode()))
    part = _Representation.of(image, content_hash, samples.simulated, *headers)
    return replace(part, is_immutable=content is not None)


@archive.get(
    "/recordings/{id}/analysis",
    response_model=ArchivedAnalysisOut,
    responses=SAMPLES_PROBLEMS,
)
async def get_archived_analysis(request: Request, name: RecordingId, query: Analyse) -> Response:
    """
    Quantities of a recording, computed from its samples once, and again by newer methods.

    A scale that the recording does not give is unknown here, whatever its unit is set to now.
    """
    await check_visible(request, name)
    return await _respond_with(request, name, _load_analysis(request, name, query))


async def _load_analysis(
    request: Request, name: str, query: ArchivedAnalysisQuery
) -> _Representation:
    samples, result = await analyses_of(request).of_recording(name, query.content_hash)
    _check_permitted(principal_of(request), name, samples.serial)
    if query.units is not None:
        result = Analysis.from_payload(result).in_system(query.units).payload()
    return _Representation.of_json(
        orjson.dumps(recording_body(samples, result)),
        samples.content_hash.hex(),
        samples.simulated,
        _accepted(request),
    )


@archive.get(
    "/recordings/{id}/spectra", response_model=ArchivedSpectraOut, responses=SAMPLES_PROBLEMS
)
async def get_archived_spectra(request: Request, name: RecordingId, query: Analyse) -> Response:
    """Fourier amplitudes of each channel of a recording, up to 250 Hz."""
    await check_visible(request, name)
    return await _respond_with(request, name, _make_spectra(request, name, query))


async def _make_spectra(
    request: Request, name: str, query: ArchivedAnalysisQuery
) -> _Representation:
    store_service = gateway_of(request).store_service
    samples, payload = await store_service.read(_load_unpacked, name, query.content_hash)
    _check_permitted(principal_of(request), name, samples.serial)
    spectra = await analyses_of(request).worker.run(spectra_payload, payload, query.units)
    content_hash = samples.content_hash.hex()
    of = {
        "id": samples.public_id,
        "serial": samples.serial,
        "simulated": samples.simulated,
        "content_hash": content_hash,
        "waveform_key": payload["waveform_key"],
        "timestamp": payload["timestamp"],
    }
    return _Representation.of_json(
        orjson.dumps({**of, **spectra}), content_hash, samples.simulated, _accepted(request)
    )


def _load_unpacked(
    connection: Connection, name: str, content: bytes | None
) -> tuple[Samples, payloads.Payload]:
    samples = load_samples(connection, name, content)
    return samples, samples.payload()


@archive.get(
    "/recordings/{id}/export",
    response_class=Response,
    responses={200: FILE, **SAMPLES_PROBLEMS, **described_problems(409, 501)},
)
async def get_archived_export(request: Request, name: RecordingId, query: Export) -> Response:
    """A recording as a file for other programs; `docs/reference/exports.md` has the formats."""
    await check_visible(request, name)
    return await _respond_with(request, name, _make_export(request, name, query))


async def _make_export(request: Request, name: str, query: ArchivedExportQuery) -> _Representation:
    store_service = gateway_of(request).store_service
    load = partial(_load_exported, name, query.content_hash, store_service.zones)
    event, content_hash = await store_service.read(load)
    _check_permitted(principal_of(request), name, event.serial or "")
    file = await analyses_of(request).worker.run(exported_file, event, query.format, query.style)
    coded, coding = _coded(file.data, _accepted(request))
    headers = [VARY, (b"content-type", file.media_type.encode()), *coding]
    return _Representation.of(
        coded, content_hash, event.is_simulated, *headers, provenance.saved_as(file.name)
    )


def _load_exported(
    name: str, content: bytes | None, zones: Roster, connection: Connection
) -> tuple[ExportedEvent, str]:
    samples = load_samples(connection, name, content)
    return ExportedEvent.of_samples(samples, zones), samples.content_hash.hex()


@archive.get("/recordings/{id}/review", response_model=reading.ReviewsOut, responses=ID_PROBLEMS)
async def get_review(request: Request, name: RecordingId, _: Nothing) -> Response:
    """Reviews of a recording: the latest, and the history."""
    await check_visible(request, name)
    history = await gateway_of(request).store_service.read(load_reviews, name)
    return _no_store_response(
        request, {"current": history[0] if history else None, "history": history}
    )


@archive.put(
    "/recordings/{id}/review",
    response_model=reading.ReviewOut,
    responses=ID_PROBLEMS | described_problems(413),
    openapi_extra=described_body(ReviewIn),
)
async def put_review(request: Request, name: RecordingId, _: Nothing) -> Response:
    """Add a review; earlier reviews are kept. Nothing else changes."""
    review = await body_of(request, ReviewIn)
    await check_visible(request, name)
    stored = await gateway_of(request).store_service.write(
        save_review,
        name,
        at=datetime.now(UTC),
        reviewer=review.reviewer,
        false_trigger=review.false_trigger,
        note=review.note,
    )
    return _no_store_response(request, stored)


@archive.get("/findings", response_model=reading.FindingsOut, responses=LIST_PROBLEMS)
async def get_findings(request: Request, query: Some) -> Response:
    """Findings, the latest first: two contents under one stamp, damage, repair."""
    found = await gateway_of(request).store_service.read(load_findings, query.limit)
    return _no_store_response(request, {"findings": found})


@archive.get("/events/{id}", include_in_schema=False)
@archive.get("/events/{id}/waveform", include_in_schema=False)
@archive.get("/events/{id}/image", include_in_schema=False)
@archive.get("/events/{id}/review", include_in_schema=False)
@archive.put("/events/{id}/review", include_in_schema=False)
async def refuse_row_number() -> Response:
    """Reject the former paths, whose row numbers differ between databases."""
    return problem_response(
        GONE,
        "recordings are identified by their ids, because row numbers differ between databases; "
        "GET /archive/events lists them, GET /archive/recordings/{id} returns one",
    )


def _check_permitted(principal: Principal, name: str, serial: str) -> None:
    """Raise the error of a recording that does not exist where the token does not permit it."""
    if not principal.may_use(serial):
        raise NoSuchRecordError.of(name)


def _waveform_json(samples: Samples, payload: payloads.Payload) -> bytes:
    view = payloads.waveform_arrays(payload)
    return orjson.dumps(
        {
            "id": samples.public_id,
            "serial": samples.serial,
            **view,
            "quality": "partial" if view["reasons"] else "good",
            "decoder": samples.decoder,
            "simulated": samples.simulated,
            "read_at": samples.read_at,
            "route": samples.route,
            "content_hash": samples.content_hash.hex(),
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _accepted(request: Request) -> str:
    """Return the content codings that a reader takes; a repeated header is one list."""
    return ",".join(request.headers.getlist("accept-encoding"))


def _coded(body: bytes, accept_encoding: str) -> tuple[bytes, Pairs]:
    """Return a body as the reader takes it, and the header of its coding."""
    if len(body) < MIN_BYTES or not takes("gzip", accept_encoding):
        return body, ()
    return compressed(body), ((b"content-encoding", b"gzip"),)


def _no_store_response(request: Request, body: payloads.Payload) -> Response:
    """Return an answer that must not be stored, because it may change at any time."""
    coded, headers = _coded(orjson.dumps(body), _accepted(request))
    response = Response(coded, media_type=JSON_TYPE.decode(), headers=NO_STORE)
    response.raw_headers += [VARY, *headers]
    return response


async def _respond(
    request: Request, name: str, load: Callable[[Connection], _Representation]
) -> Response:
    """Return a part of a recording that one transaction loads; as ``_respond_with``."""
    return await _respond_with(request, name, gateway_of(request).store_service.read(load))


async def _respond_with(
    request: Request, name: str, loading: Awaitable[_Representation]
) -> Response:
    """
    Return a part of a recording, or 304 to a reader that has this version.

    Raises:
        DamagedRecordError: it does not match its hash; a finding is saved.
        StoreError: there is no such part, or the database cannot be read.
    """
    store_service = gateway_of(request).store_service
    try:
        part = await loading
    except DamagedRecordError as error:
        detail = str(error)
        store_service.damaged += 1
        log.error("archived_record_damaged", recording=name, error=detail)
        # A failure to save the finding must not hide the damage.
        with suppress(StoreError):
            await store_service.write(save_damage_finding, name, detail, datetime.now(UTC))
        raise
    cache_control = IMMUTABLE if part.is_immutable else REVALIDATED
    more = [(b"etag", f'"{part.etag}"'.encode()), (b"cache-control", cache_control)]
    if part.is_simulated:
        more.append(provenance.SIMULATED)
    if_none_match = request.headers.get("if-none-match")
    if if_none_match is not None and provenance.names(if_none_match, part.etag):
        kept = [pair for pair in part.headers if pair[0] not in BODY_HEADERS]
        return Reply(304, [*kept, *more], b"").response()
    length = (b"content-length", b"%d" % len(part.body))
    return Reply(200, [*part.headers, *more, length], part.body).response()
