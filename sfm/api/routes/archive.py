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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from sfm.access.principal import ForbiddenUnitError, Principal
from sfm.api import provenance
from sfm.api.middleware.authentication import principal_of
from sfm.api.problems import GONE, problem_response
from sfm.api.provenance import COUNTS_TYPE, Reply, meaning_of_counts, takes_counts
from sfm.api.routes.dependencies import NOT_MODIFIED, Nothing, described_problems, gateway_of
from sfm.api.schemas import reading
from sfm.api.schemas.bodies import body_of, described_body
from sfm.api.schemas.reading import ArchiveQuery, ContentQuery, LimitQuery, ReviewIn
from sfm.records import payloads
from sfm.records.roster import Roster
from sfm.store import Samples, StoreError
from sfm.store.archive import (
    load_devices,
    load_findings,
    load_image,
    load_page,
    load_recording,
    load_reviews,
    load_samples,
    save_damage_finding,
    save_review,
)
from sfm.store.codec import CODEC
from sfm.store.errors import DamagedRecordError, NoSuchRecordError

__all__ = ["archive", "takes_zstd"]

IMMUTABLE = b"private, max-age=31536000, immutable"
REVALIDATED = b"private, no-cache"
NO_STORE = {"Cache-Control": "no-store"}
JSON_TYPE = b"application/json"
BODY_HEADERS = (b"content-type", b"content-encoding")
"""Headers that an answer without a body must not carry."""

LIST_PROBLEMS = described_problems(404, 422, 500, 503)
FACT_PROBLEMS = NOT_MODIFIED | described_problems(404, 409, 422, 500, 503)
BYTES: dict[str, Any] = {COUNTS_TYPE.decode(): {"schema": {"type": "string", "format": "binary"}}}
Id = Annotated[
    str,
    Path(
        alias="id",
        pattern="^[0-9a-fA-F]{8,64}$",
        description="The recording's id, or the first 8 letters of it or more.",
    ),
]
ID_PROBLEMS = described_problems(404, 409, 422, 500, 503)
Some = Annotated[LimitQuery, Query()]
Which = Annotated[ArchiveQuery, Query()]
Content = Annotated[ContentQuery, Query()]
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


@archive.get("/units", response_model=reading.ArchivedUnits, responses=LIST_PROBLEMS)
async def get_archived_units(request: Request, _: Nothing) -> Response:
    """Every archived unit: number of recordings, first and last timestamp, last read."""
    units = await gateway_of(request).store_service.read(load_devices)
    principal = principal_of(request)
    return _no_store_response(
        {"units": [unit for unit in units if principal.may_use(unit["serial"])]}
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
    page = await store_service.read(
        load_page, query.wanted, query.cursor, query.limit, zones=store_service.zones
    )
    return _no_store_response(
        {
            "events": [payloads.event_view(row, row["geo_range_in_s"]) for row in page.rows],
            "next_cursor": page.next_cursor,
            "damaged": page.damaged,
        }
    )


@archive.get("/recordings/{id}", response_model=reading.ArchivedOut, responses=FACT_PROBLEMS)
async def get_archived_event(request: Request, name: Id, _: Nothing) -> Response:
    """One recording: its decoded values, and the unit's own record."""
    zones = gateway_of(request).store_service.zones
    load = partial(_load_event, name, principal_of(request), zones)
    return await _respond(request, name, load)


def _load_event(
    name: str, principal: Principal, zones: Roster, connection: Connection
) -> _Representation:
    payload = load_recording(connection, name, zones=zones)
    _check_permitted(principal, name, payload["serial"])
    view = payloads.event_view(payload, payload["geo_range_in_s"])
    body, content_hash = orjson.dumps(view), payload["content_hash"]
    return _Representation.of(
        body, content_hash, payload["simulated"], (b"content-type", JSON_TYPE)
    )


@archive.get(
    "/recordings/{id}/waveform",
    response_model=reading.ArchivedWaveformOut,
    responses={
        200: {"description": "JSON; or the bare counts, as with a live waveform", "content": BYTES},
        **FACT_PROBLEMS,
    },
)
async def get_archived_waveform(request: Request, name: Id, query: Content) -> Response:
    """
    Samples of a recording: in physical units, or as bare counts.

    A reader that accepts zstd gets the stored frame of the counts unchanged.
    """
    await _check_visible(request, name)
    wants_counts = takes_counts(request.headers.get("accept", ""))
    accepts_zstd = takes_zstd(",".join(request.headers.getlist("accept-encoding")))
    load = partial(
        _load_waveform, name, query.content_hash, principal_of(request), wants_counts, accepts_zstd
    )
    return await _respond(request, name, load)


def _load_waveform(
    name: str,
    content: bytes | None,
    principal: Principal,
    wants_counts: bool,
    accepts_zstd: bool,
    connection: Connection,
) -> _Representation:
    samples = load_samples(connection, name, content)
    _check_permitted(principal, name, samples.serial)
    # Unpacked and compared with the hash in any case, also where the frame itself is sent.
    payload = samples.payload()
    body, headers = payload["counts"], [(b"vary", b"accept, accept-encoding")]
    content_hash = samples.content_hash.hex()
    if not wants_counts:
        body = _waveform_json(samples, payload)
        headers.append((b"content-type", JSON_TYPE))
    else:
        headers += [(b"content-type", COUNTS_TYPE), *meaning_of_counts(payload)]
        headers.append((b"x-content-hash", content_hash.encode()))
        if accepts_zstd and samples.codec == CODEC:
            body = samples.frame
            headers.append((b"content-encoding", b"zstd"))
    return _Representation.of(body, content_hash, samples.simulated, *headers)


@archive.get(
    "/recordings/{id}/image",
    response_class=Response,
    responses={200: {"description": "The bytes", "content": BYTES}, **FACT_PROBLEMS},
)
async def get_archived_image(request: Request, name: Id, query: Content) -> Response:
    """
    The unit's memory of an event, byte for byte, from the file-type tag to the footer.

    Requested by its content hash, it may be cached permanently.
    """
    await _check_visible(request, name)
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


@archive.get("/recordings/{id}/review", response_model=reading.ReviewsOut, responses=ID_PROBLEMS)
async def get_review(request: Request, name: Id, _: Nothing) -> Response:
    """Reviews of a recording: the latest, and the history."""
    await _check_visible(request, name)
    history = await gateway_of(request).store_service.read(load_reviews, name)
    return _no_store_response({"current": history[0] if history else None, "history": history})


@archive.put(
    "/recordings/{id}/review",
    response_model=reading.ReviewOut,
    responses=ID_PROBLEMS | described_problems(413),
    openapi_extra=described_body(ReviewIn),
)
async def put_review(request: Request, name: Id, _: Nothing) -> Response:
    """Add a review; earlier reviews are kept. Nothing else changes."""
    review = await body_of(request, ReviewIn)
    await _check_visible(request, name)
    stored = await gateway_of(request).store_service.write(
        save_review,
        name,
        at=datetime.now(UTC),
        reviewer=review.reviewer,
        false_trigger=review.false_trigger,
        note=review.note,
    )
    return _no_store_response(stored)


@archive.get("/findings", response_model=reading.FindingsOut, responses=LIST_PROBLEMS)
async def get_findings(request: Request, query: Some) -> Response:
    """Findings, the latest first: two contents under one stamp, damage, repair."""
    found = await gateway_of(request).store_service.read(load_findings, query.limit)
    return _no_store_response({"findings": found})


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
        raise NoSuchRecordError(f"the archive has no recording {name}")


async def _check_visible(request: Request, name: str) -> None:
    principal = principal_of(request)
    if principal.is_limited:
        payload = await gateway_of(request).store_service.read(load_recording, name)
        _check_permitted(principal, name, payload["serial"])


def takes_zstd(accept_encoding: str) -> bool:
    """
    Return whether an ``Accept-Encoding`` takes zstd (RFC 9110, 12.5.3).

    A weight that cannot be read takes nothing.

    >>> takes_zstd("gzip, zstd;q=0.5"), takes_zstd("*, zstd;q=0")
    (True, False)
    """
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weights[name] = weight
    return weights.get("zstd", weights.get("*", 0.0)) > 0


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


def _no_store_response(body: payloads.Payload) -> Response:
    """Return an answer that must not be stored, because it may change at any time."""
    return Response(orjson.dumps(body), media_type=JSON_TYPE.decode(), headers=NO_STORE)


async def _respond(
    request: Request, name: str, load: Callable[[Connection], _Representation]
) -> Response:
    """
    Return a part of a recording, or 304 to a reader that has this version.

    Raises:
        DamagedRecordError: it does not match its hash; a finding is saved.
        StoreError: there is no such part, or the database cannot be read.
    """
    store_service = gateway_of(request).store_service
    try:
        part = await store_service.read(load)
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
