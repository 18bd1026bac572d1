"""
Answers as HTTP: the same facts of origin in the body and in the headers, made in one place.

An answer is encoded once for all its readers (``Answer.memo``); only its provenance, which ages,
is encoded for each. The framework's routes and the layer in front
(``sfm.api.middleware.cache_hits``) both reply through ``reply``, so neither can say anything that
the other would not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from fastapi.responses import Response

from sfm.api.compression import MIN_BYTES, OpenGzip
from sfm.devices.answer import Answer, Provenance
from sfm.devices.reading import NO_FACTS, ArchivedFacts
from sfm.records import payloads
from sfm.records.verdicts import NOT_JUDGED

__all__ = [
    "COUNTS_TYPE",
    "DIRECT",
    "EVENT",
    "EVENTS",
    "INFO",
    "LISTS",
    "SIMULATED",
    "STATUS",
    "WAVEFORM",
    "EncodedBody",
    "Reply",
    "View",
    "encode_as_counts",
    "encode_body",
    "encode_compressed",
    "encode_file",
    "event_tag",
    "meaning_of_counts",
    "names",
    "reply",
    "saved_as",
    "still_matches",
    "tag",
    "takes_counts",
    "waveform_tag",
]

CACHE_NAME = "seismo-relay"
UNKNOWN_AGE_S = 2**31
"""What ``Age`` says of an age that nobody knows: more than can be (RFC 9111, 1.2.2)."""
UNASKED_HIT = f'{CACHE_NAME}; hit; detail="exchanges 0"'.encode()
"""The commonest ``Cache-Status`` of all."""

COUNTS_TYPE = b"application/octet-stream"
SIMULATED = (b"x-simulated", b"true")

_TAG = re.compile(r'(?:W/)?"[^"]*"')


Facts = Mapping[int, Mapping[str, Any]]
"""What the archive adds to the events of a list, by their indices."""


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A form as it goes out: its bytes without provenance, and its tag."""

    body: bytes
    """Of JSON, all up to the provenance."""
    etag: str
    """Without the quotes."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Those that every reply has that says this: content type, then the coding if it has one."""
    is_json: bool = True
    is_list: bool = False
    """Whether each reply says how many events were recorded since."""
    facts: ArchivedFacts = NO_FACTS
    """What the archive had added when it was encoded."""
    gzip: OpenGzip | None = None
    """The body compressed; ``body`` is then empty, so that it is cached once."""


@dataclass(slots=True)
class Reply:
    """Status, headers and body of an answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> Response:
        """Return it as the framework wants it."""
        response = Response(self.body, self.status)
        response.raw_headers = self.headers
        return response


@dataclass(frozen=True, slots=True)
class View:
    """One way to say a form: what the body is made of it."""

    name: str
    body_of: Callable[[Any, Facts], dict[str, Any]]
    """Takes the payload, and what the archive adds to the events of a list."""


INFO = View("info", lambda payload, _: payload)
STATUS = View("status", lambda payload, _: payload)
DIRECT = View("direct", lambda payload, _: payload)
EVENTS = View("events", lambda events, facts: _list_body(events, facts, len(events), 0.0))
PARTIAL_EVENTS = View(
    "partial events",
    lambda walk, facts: _list_body(walk["events"], facts, None, walk["estimate_s"]),
)
LISTS = (EVENTS, PARTIAL_EVENTS)
EVENT = View("event", lambda event, facts: _event_body(event, facts))
OF_EVENTS = (*LISTS, EVENT)
WAVEFORM = View("waveform", lambda payload, _: payloads.waveform_arrays(payload))


def _event_body(event: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    return payloads.event_view(event, facts.get(event["index"], {}).get("geo_range_in_s"))


def _listed_body(event: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Return an event in a list: its verdicts stand beside it."""
    known = facts.get(event["index"], NOT_JUDGED)
    judged = {name: known.get(name, NOT_JUDGED[name]) for name in NOT_JUDGED}
    return {**_event_body(event, facts), **judged}


def _list_body(
    events: list[dict[str, Any]], facts: Facts, count: int | None, estimate_s: float | None
) -> dict[str, Any]:
    """Return the body of a list; without a ``count`` it is not complete."""
    return {
        "complete": count is not None,
        "count": count,
        "walked": len(events),
        "estimate_s": estimate_s,
        "events": [_listed_body(event, facts) for event in events],
    }


def encode_body(answer: Answer, view: View) -> EncodedBody:
    """
    Return the encoded body of an answer, encoded at most once for all readers that share it.

    A body of events is encoded again when the archive has more to add to them.
    """
    name = answer.part + view.name
    known: EncodedBody | None = answer.memo.get(name)
    if known is None or (known.facts is not answer.facts and view in OF_EVENTS):
        payload, facts = answer.value, answer.facts
        by_index = facts.by_index
        body = orjson.dumps(view.body_of(payload, by_index), option=orjson.OPT_SERIALIZE_NUMPY)
        serial = answer.provenance.serial
        if view is WAVEFORM:
            etag = waveform_tag(serial, payload)
        elif view is EVENT:
            etag = _event_tag(serial, payload, body)
        else:
            etag = tag(serial, payload, body)
        headers = _headers(b"application/json", etag, answer.provenance)
        known = EncodedBody(
            body[:-1] + b',"provenance":', etag, headers, is_list=view in LISTS, facts=facts
        )
        answer.memo.save(name, known, len(known.body))
    return known


def encode_compressed(answer: Answer, view: View) -> EncodedBody:
    """
    Return the encoded body with the coding gzip, compressed at most once for all readers.

    The tag differs from that of the plain body, because the bytes do (RFC 9110, 8.8.3.3). A body
    too small to gain anything is returned as it is.
    """
    name = f"{answer.part}{view.name} gzip"
    known: EncodedBody | None = answer.memo.get(name)
    if known is not None and (known.facts is answer.facts or view not in OF_EVENTS):
        return known
    plain = encode_body(answer, view)
    if len(plain.body) < MIN_BYTES:
        return plain
    etag = f"{plain.etag}.gzip"
    headers = tuple(
        (key, f'"{etag}"'.encode()) if key == b"etag" else (key, value)
        for key, value in plain.headers
    )
    gzip = OpenGzip.of(plain.body)
    coded = (headers[0], (b"content-encoding", b"gzip"), *headers[1:])
    known = replace(plain, body=b"", etag=etag, headers=coded, gzip=gzip)
    answer.memo.save(name, known, len(gzip.beginning))
    return known


def encode_as_counts(answer: Answer) -> EncodedBody:
    """
    Return a waveform as its bare counts: int16, little-endian, channel after channel.

    What they mean stands in headers: samples, rate, where the trigger is, and what one count is.
    """
    known: EncodedBody | None = answer.memo.get("counts")
    if known is None:
        payload = answer.value
        etag = waveform_tag(answer.provenance.serial, payload) + ".counts"
        headers = _headers(COUNTS_TYPE, etag, answer.provenance) + meaning_of_counts(payload)
        known = EncodedBody(payload["counts"], etag, headers, is_json=False)
        # The counts are the held value's own bytes, which are counted there.
        answer.memo.save("counts", known, 0)
    return known


def encode_file(answer: Answer, data: bytes, media_type: str, name: str) -> EncodedBody:
    """Return a file that was made from an answer's payload, to be saved under ``name``."""
    etag = tag(answer.provenance.serial, answer.value, data)
    headers = _headers(media_type.encode(), etag, answer.provenance)
    return EncodedBody(data, etag, (*headers, saved_as(name)), is_json=False)


def saved_as(name: str) -> tuple[bytes, bytes]:
    """Return the header that names a file for those who save it; the name is plain ASCII."""
    return b"content-disposition", f'attachment; filename="{name}"'.encode("ascii")


def meaning_of_counts(payload: Mapping[str, Any]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that say what bare counts of a waveform's form mean."""
    scales = payloads.scales_of(payload)
    meaning = {
        "X-Samples": payload["samples"],
        "X-Valid-Samples": ",".join(map(str, payload["valid_samples"])),
        "X-Sample-Rate-Hz": payload["sample_rate_hz"],
        "X-Pretrigger-Samples": payload["pretrigger_samples"],
        "X-In-S-Per-Count": scales["Tran"][1],
        "X-Psi-Per-Count": scales["MicL"][1],
        "X-Reasons": ",".join(reason["code"] for reason in payload["reasons"]) or "none",
    }
    return tuple(
        (name.lower().encode(), b"unknown" if value is None else str(value).encode())
        for name, value in meaning.items()
    )


def takes_counts(accept: str) -> bool:
    """Return whether a reader of a waveform wants its bare counts instead of JSON."""
    return COUNTS_TYPE.decode() in accept


def _headers(
    media_type: bytes, etag: str, provenance: Provenance
) -> tuple[tuple[bytes, bytes], ...]:
    headers = [
        (b"content-type", media_type),
        (b"etag", f'"{etag}"'.encode()),
        # A shared cache between us and the reader would answer without the probe.
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"accept, accept-encoding"),
    ]
    if provenance.simulated:
        headers.append(SIMULATED)
    return tuple(headers)


def reply(answer: Answer, what: EncodedBody, if_none_match: str | None = None) -> Reply:
    """
    Return the HTTP reply that says ``what``, or 304 to a reader who has it already.

    ``Age`` is the time since the unit last confirmed the value, by its read or a later proof.
    """
    provenance = answer.provenance
    age = b"%d" % min(provenance.confirmed_age_s, UNKNOWN_AGE_S)
    own = [(b"age", age), (b"cache-status", cache_status(provenance))]
    if provenance.exchanges:
        # A reader that polls paces itself by it, also where the answer is 304 and has no body.
        own.append((b"server-timing", b"unit;dur=%d" % round(1000 * provenance.took_s)))
    if if_none_match is not None and names(if_none_match, what.etag):
        # Neither the type nor the coding of a body that is not there.
        return Reply(304, [*what.headers[2 if what.gzip else 1 :], *own], b"")
    body = what.body
    if what.is_json:
        end = b"}"
        if what.is_list:
            end = b',"recorded_since":%s}' % orjson.dumps(answer.recorded_since)
        rest = (orjson.dumps(provenance), end)
        body = b"".join((body, *rest)) if what.gzip is None else what.gzip.closed(b"".join(rest))
    return Reply(200, [*what.headers, *own, (b"content-length", b"%d" % len(body))], body)


def tag(serial: str | None, payload: Any, body: bytes) -> str:
    """
    Return a strong tag: unit, stamp if it is an event, and a digest of the body.

    The stamp alone will not do: under a clock that was never set an erased and re-recorded event
    can have the stamp of the old one. The epoch is not part of it: it starts again with the relay,
    and the event stays the same.
    """
    parts = [serial or "unknown"]
    if isinstance(payload, dict) and "waveform_key" in payload:
        parts += [payload["waveform_key"], payload["timestamp"] or "unknown"]
    parts.append(_digest(body))
    return ".".join(parts)


def event_tag(serial: str | None, payload: Mapping[str, Any]) -> str:
    """Return the tag of an event as the unit's own record has it."""
    event = payloads.event_view({name: payload[name] for name in payloads.EVENT_FIELDS})
    return tag(serial, event, orjson.dumps(event))


def _event_tag(serial: str | None, payload: dict[str, Any], body: bytes) -> str:
    """Return the tag of an event's body; what the archive adds to the record stands behind it."""
    own = event_tag(serial, payload)
    return own if tag(serial, payload, body) == own else f"{own}.{_digest(body)}"


def waveform_tag(serial: str | None, payload: dict[str, Any]) -> str:
    """Return the tag of the event in the slot, with a digest of its samples behind it."""
    return f"{event_tag(serial, payload)}.{_digest(payload['counts'])}"


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def names(header: str, etag: str) -> bool:
    """Return whether an ``If-None-Match`` names the tag; weakly (RFC 9110, 13.1.2)."""
    quoted = f'"{etag}"'
    if header in (quoted, "*"):
        return True
    return any(found.removeprefix("W/") == quoted for found in _TAG.findall(header))


def still_matches(if_match: str, own_tag: str) -> bool:
    """
    Return whether an ``If-Match`` names the event with that tag (``event_tag``), or its waveform.

    The tag of each body of an event begins so, and the slot can be judged before a download.
    """
    if if_match.strip() == "*":
        return True
    tags = [found[1:-1] for found in _TAG.findall(if_match) if not found.startswith("W/")]
    return any(found == own_tag or found.startswith(own_tag + ".") for found in tags)


def cache_status(provenance: Provenance) -> bytes:
    """Return the ``Cache-Status`` of an answer (RFC 9211): hit, or why the unit was read."""
    if provenance.why == "hit" and not provenance.exchanges and provenance.ttl_s is None:
        return UNASKED_HIT
    parts = [CACHE_NAME, "hit" if provenance.why == "hit" else f"fwd={provenance.why}"]
    if provenance.why == "stale" and provenance.source != "device":
        parts.append("fwd-status=504")
    if provenance.stored:
        parts.append("stored")
    if provenance.shared:
        parts.append("collapsed")
    if provenance.ttl_s is not None:
        parts.append(f"ttl={int(provenance.ttl_s)}")
    parts.append(f'detail="exchanges {provenance.exchanges}"')
    return "; ".join(parts).encode()
