"""
The archive over HTTP: everything that units ever said, whether or not they still hold it.

The rules: no route here asks a unit. A recording is named by its public id, which means the same in
every database; numbers of rows never go out. What goes out was compared with its hash. Only the
unit's own bytes, asked for by their own hash, may be kept for good: every JSON answer has derived
values in it (a zone or a scale may be corrected), so a reader's copy is compared by its tag each
time. Loading, checking and encoding run in the store's threads, not on the event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from sfm.access.principal import ForbiddenUnitError
from sfm.api import provenance
from sfm.api.middleware.authentication import principal_of
from sfm.api.problems import GONE, problem_response
from sfm.api.provenance import COUNTS_TYPE, Reply, meaning_of_counts, takes_counts
from sfm.api.routes.dependencies import NOT_MODIFIED, Nothing, described_problems, gateway_of
from sfm.api.schemas import reading
from sfm.api.schemas.bodies import body_of, described_body
from sfm.api.schemas.reading import ArchiveQuery, ContentQuery, LimitQuery, ReviewIn
from sfm.records import payloads
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

FOR_GOOD = b"private, max-age=31536000, immutable"
COMPARED_FIRST = b"private, no-cache"
CHANGING = {"Cache-Control": "no-store"}
JSON_TYPE = b"application/json"
OF_A_BODY = (b"content-type", b"content-encoding")
"""Headers that an answer without a body must not have."""

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
class _Fact:
    """Something of a recording, checked and encoded."""

    body: bytes
    etag: str
    """Without the quotes."""
    is_simulated: bool
    headers: Pairs
    """Content type, and what else belongs to this fact alone."""
    is_for_good: bool = False
    """Whether the address that was asked can never mean other bytes."""

    @classmethod
    def of(cls, body: bytes, content_hash: str, is_simulated: bool, *headers: Pair) -> _Fact:
        """Return a fact with its tag: two ways to say the same content have two."""
        etag = f"{content_hash}.{hashlib.blake2b(body, digest_size=12).hexdigest()}"
        return cls(body, etag, is_simulated, headers)


@archive.get("/units", response_model=reading.ArchivedUnits, responses=LIST_PROBLEMS)
async def get_archived_units(request: Request, _: Nothing) -> Response:
    """Every unit of the archive: how many recordings, from when to when, last read."""
    units = await gateway_of(request).store_service.read(load_devices)
    principal = principal_of(request)
    return _changing({"units": [unit for unit in units if principal.may_use(unit["serial"])]})


@archive.get("/events", response_model=reading.ArchivePage, responses=LIST_PROBLEMS)
async def get_archived_events(request: Request, query: Which) -> Response:
    """
    A page of recordings: newest unit time first, unknown times last, then the latest entered.

    What was there when the first page was read is met exactly once, whatever enters meanwhile.
    """
    if not principal_of(request).may_use(query.serial):
        raise ForbiddenUnitError("your token is for some units: give serial, and one of those")
    store_service = gateway_of(request).store_service
    page = await store_service.read(
        load_page, query.wanted, query.cursor, query.limit, zones=store_service.zones
    )
    return _changing(
        {
            "events": [payloads.event_view(row) for row in page.rows],
            "next_cursor": page.next_cursor,
            "damaged": page.damaged,
        }
    )


@archive.get("/recordings/{id}", response_model=reading.ArchivedOut, responses=FACT_PROBLEMS)
async def get_archived_event(request: Request, name: Id, _: Nothing) -> Response:
    """One recording: facts of the instrument, and its own record of them."""
    may_see = _seen_by(request)
    zones = gateway_of(request).store_service.zones

    def look(connection: Connection) -> _Fact:
        payload = load_recording(connection, name, zones=zones)
        may_see(name, payload["serial"])
        body, content_hash = orjson.dumps(payloads.event_view(payload)), payload["content_hash"]
        return _Fact.of(body, content_hash, payload["simulated"], (b"content-type", JSON_TYPE))

    return await _answered(request, name, look)


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

    A reader who takes zstd gets the stored frame of the counts as it lies.
    """
    await _check_seen(request, name)
    wants_counts = takes_counts(request.headers.get("accept", ""))
    takes_frame = takes_zstd(",".join(request.headers.getlist("accept-encoding")))
    may_see = _seen_by(request)

    def look(connection: Connection) -> _Fact:
        samples = load_samples(connection, name, query.content_hash)
        may_see(name, samples.serial)
        # Unpacked and held against the hash in any case, also where the frame itself goes out.
        payload = samples.payload()
        body, headers = payload["counts"], [(b"vary", b"accept, accept-encoding")]
        content_hash = samples.content_hash.hex()
        if not wants_counts:
            body = _waveform_json(samples, payload)
            headers.append((b"content-type", JSON_TYPE))
        else:
            headers += [(b"content-type", COUNTS_TYPE), *meaning_of_counts(payload)]
            headers.append((b"x-content-hash", content_hash.encode()))
            if takes_frame and samples.codec == CODEC:
                body = samples.frame
                headers.append((b"content-encoding", b"zstd"))
        return _Fact.of(body, content_hash, samples.simulated, *headers)

    return await _answered(request, name, look)


@archive.get(
    "/recordings/{id}/image",
    response_class=Response,
    responses={200: {"description": "The bytes", "content": BYTES}, **FACT_PROBLEMS},
)
async def get_archived_image(request: Request, name: Id, query: Content) -> Response:
    """
    The unit's own memory of an event, byte for byte, from the file-type tag to the footer.

    Asked for by its content it may be kept for good.
    """
    await _check_seen(request, name)
    may_see = _seen_by(request)

    def look(connection: Connection) -> _Fact:
        samples = load_samples(connection, name, query.content_hash)
        may_see(name, samples.serial)
        image = load_image(connection, samples.waveform_id)
        content_hash = samples.content_hash.hex()
        headers = ((b"content-type", COUNTS_TYPE), (b"x-content-hash", content_hash.encode()))
        fact = _Fact.of(image, content_hash, samples.simulated, *headers)
        return replace(fact, is_for_good=query.content_hash is not None)

    return await _answered(request, name, look)


@archive.get("/recordings/{id}/review", response_model=reading.ReviewsOut, responses=ID_PROBLEMS)
async def get_review(request: Request, name: Id, _: Nothing) -> Response:
    """What people said of a recording: the latest, and all of it."""
    await _check_seen(request, name)
    history = await gateway_of(request).store_service.read(load_reviews, name)
    return _changing({"current": history[0] if history else None, "history": history})


@archive.put(
    "/recordings/{id}/review",
    response_model=reading.ReviewOut,
    responses=ID_PROBLEMS | described_problems(413),
    openapi_extra=described_body(ReviewIn),
)
async def put_review(request: Request, name: Id, _: Nothing) -> Response:
    """Say what you make of a recording; what was said before is kept. Nothing else changes."""
    said = await body_of(request, ReviewIn)
    await _check_seen(request, name)
    stored = await gateway_of(request).store_service.write(
        save_review,
        name,
        at=datetime.now(UTC),
        reviewer=said.reviewer,
        false_trigger=said.false_trigger,
        note=said.note,
    )
    return _changing(stored)


@archive.get("/findings", response_model=reading.FindingsOut, responses=LIST_PROBLEMS)
async def get_findings(request: Request, query: Some) -> Response:
    """What was noticed, the latest first: two contents under one stamp, damage, repair."""
    found = await gateway_of(request).store_service.read(load_findings, query.limit)
    return _changing({"findings": found})


@archive.get("/events/{id}", include_in_schema=False)
@archive.get("/events/{id}/waveform", include_in_schema=False)
@archive.get("/events/{id}/image", include_in_schema=False)
@archive.get("/events/{id}/review", include_in_schema=False)
@archive.put("/events/{id}/review", include_in_schema=False)
async def refuse_row_number() -> Response:
    """Refuse the paths of before, whose row numbers mean other recordings in other databases."""
    return problem_response(
        GONE,
        "recordings are named by their ids now, since a row number is another recording's in "
        "another database; GET /archive/events lists them, and /archive/recordings/{id} has each",
    )


def _seen_by(request: Request) -> Callable[[str, str], None]:
    """Return what raises, as for a recording that is not there, where a token is not for it."""
    actor = principal_of(request)

    def check(name: str, serial: str) -> None:
        if not actor.may_use(serial):
            raise NoSuchRecordError(f"the archive has no recording {name}")

    return check


async def _check_seen(request: Request, name: str) -> None:
    if principal_of(request).is_limited:
        payload = await gateway_of(request).store_service.read(load_recording, name)
        _seen_by(request)(name, payload["serial"])


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


def _changing(body: payloads.Payload) -> Response:
    """Return an answer that the next one may contradict."""
    return Response(orjson.dumps(body), media_type=JSON_TYPE.decode(), headers=CHANGING)


async def _answered(request: Request, name: str, look: Callable[[Connection], _Fact]) -> Response:
    """
    Return something of a recording, or 304 to a reader who has just this.

    Raises:
        DamagedRecordError: it is not what its hash says; written down as a finding.
        StoreError: there is no such thing, or the database cannot be read.
    """
    store_service = gateway_of(request).store_service
    try:
        fact = await store_service.read(look)
    except DamagedRecordError as error:
        detail = str(error)
        store_service.damaged += 1
        log.error("archived_record_damaged", recording=name, error=detail)
        # What cannot be written down now must not hide the damage.
        with suppress(StoreError):
            await store_service.write(save_damage_finding, name, detail, datetime.now(UTC))
        raise
    kept_for = FOR_GOOD if fact.is_for_good else COMPARED_FIRST
    more = [(b"etag", f'"{fact.etag}"'.encode()), (b"cache-control", kept_for)]
    if fact.is_simulated:
        more.append(provenance.SIMULATED)
    if_none_match = request.headers.get("if-none-match")
    if if_none_match is not None and provenance.names(if_none_match, fact.etag):
        kept = [pair for pair in fact.headers if pair[0] not in OF_A_BODY]
        return Reply(304, [*kept, *more], b"").response()
    length = (b"content-length", b"%d" % len(fact.body))
    return Reply(200, [*fact.headers, *more, length], fact.body).response()
