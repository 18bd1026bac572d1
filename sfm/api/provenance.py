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
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.responses import Response

from sfm.devices.answer import Answer, Provenance
from sfm.records import payloads

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
    "meaning_of_counts",
    "names",
    "reply",
    "still_matches",
    "tag",
    "takes_counts",
    "waveform_tag",
]

CACHE_NAME = "seismo-relay"
UNKNOWN_AGE_S = 2**31
"""What ``Age`` says of an age that nobody knows: more than can be (RFC 9111, 1.2.2)."""
UNASKED_HIT = f'{CACHE_NAME}; hit; detail="exchanges 0"'
"""The commonest ``Cache-Status`` of all."""

COUNTS_TYPE = b"application/octet-stream"
SIMULATED = (b"x-simulated", b"true")

_TAG = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A form as it goes out: its bytes without provenance, and its tag."""

    body: bytes
    """Of JSON, all up to the provenance."""
    etag: str
    """Without the quotes."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Those that every reply has that says this; the first is the content type."""
    is_json: bool = True
    is_list: bool = False
    """Whether each reply says how many events were recorded since."""


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
    body_of: Callable[[Any], dict[str, Any]]


INFO = View("info", lambda payload: payload)
STATUS = View("status", lambda payload: payload)
DIRECT = View("direct", lambda payload: payload)
EVENTS = View("events", lambda events: _list_body(events, len(events), 0.0))
PARTIAL_EVENTS = View(
    "partial events", lambda walk: _list_body(walk["events"], None, walk["estimate_s"])
)
LISTS = (EVENTS, PARTIAL_EVENTS)
EVENT = View("event", payloads.event_view)
WAVEFORM = View("waveform", payloads.waveform_arrays)


def _list_body(
    events: list[dict[str, Any]], count: int | None, estimate_s: float | None
) -> dict[str, Any]:
    """Return the body of a list; without a ``count`` it is not complete."""
    return {
        "complete": count is not None,
        "count": count,
        "walked": len(events),
        "estimate_s": estimate_s,
        "events": list(map(payloads.event_view, events)),
    }


def encode_body(answer: Answer, view: View) -> EncodedBody:
    """Return the encoded body of an answer, encoded at most once for all readers that share it."""
    name = answer.part + view.name
    known: EncodedBody | None = answer.memo.get(name)
    if known is None:
        payload = answer.value
        body = orjson.dumps(view.body_of(payload), option=orjson.OPT_SERIALIZE_NUMPY)
        serial = answer.provenance.serial
        etag = waveform_tag(serial, payload) if view is WAVEFORM else tag(serial, payload, body)
        headers = _headers(b"application/json", etag, answer.provenance)
        known = EncodedBody(body[:-1] + b',"provenance":', etag, headers, is_list=view in LISTS)
        answer.memo.save(name, known, len(known.body))
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
        (b"vary", b"accept"),
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
    own = [(b"age", age), (b"cache-status", cache_status(provenance).encode())]
    if if_none_match is not None and names(if_none_match, what.etag):
        return Reply(304, [*what.headers[1:], *own], b"")
    body = what.body
    if what.is_json:
        end = b"}"
        if what.is_list:
            end = b',"recorded_since":%s}' % orjson.dumps(answer.recorded_since)
        body = b"".join((body, orjson.dumps(provenance), end))
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
    parts.append(hashlib.blake2b(body, digest_size=12).hexdigest())
    return ".".join(parts)


def waveform_tag(serial: str | None, payload: dict[str, Any]) -> str:
    """Return the tag of the event in the slot, with a digest of its samples behind it."""
    event = payloads.event_view({name: payload[name] for name in payloads.EVENT_FIELDS})
    digest = hashlib.blake2b(payload["counts"], digest_size=12).hexdigest()
    return f"{tag(serial, event, orjson.dumps(event))}.{digest}"


def names(header: str, etag: str) -> bool:
    """Return whether an ``If-None-Match`` names the tag; weakly (RFC 9110, 13.1.2)."""
    quoted = f'"{etag}"'
    if header in (quoted, "*"):
        return True
    return any(found.removeprefix("W/") == quoted for found in _TAG.findall(header))


def still_matches(if_match: str, event_tag: str) -> bool:
    """
    Return whether an ``If-Match`` names the event with that tag, or a waveform of it.

    A waveform's tag begins with its event's, so the slot can be judged before a download.
    """
    if if_match.strip() == "*":
        return True
    tags = [found[1:-1] for found in _TAG.findall(if_match) if not found.startswith("W/")]
    return any(found == event_tag or found.startswith(event_tag + ".") for found in tags)


def cache_status(provenance: Provenance) -> str:
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
    return "; ".join(parts)
