"""Answers as HTTP: the same facts of origin in the body and in the headers."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import orjson
from fastapi.responses import Response

from sfm.gateway import Answer, Provenance

CACHE_NAME = "seismo-relay"


def respond(answer: Answer, body: dict[str, Any]) -> Response:
    """
    Return ``body`` with its provenance as JSON.

    Headers: ``Age`` in whole seconds, ``ETag`` over what the unit said (not over when it was read),
    and ``Cache-Status`` (RFC 9211).
    """
    provenance = answer.provenance
    said = orjson.dumps(body)
    content = said[:-1] + b',"provenance":' + orjson.dumps(asdict(provenance)) + b"}"
    headers = {
        "Age": str(int(provenance.age_s)),
        "ETag": etag_of(provenance.serial, body, said),
        "Cache-Status": cache_status(provenance),
        # A shared cache between us and the reader would answer without the probe.
        "Cache-Control": "private, no-cache",
    }
    if provenance.simulated:
        headers["X-Simulated"] = "true"
    return Response(content, media_type="application/json", headers=headers)


def etag_of(serial: str | None, body: dict[str, Any], said: bytes) -> str:
    """
    Return a strong tag: unit, stamp if it is an event, and a digest of what is said.

    The stamp alone will not do: under a clock that was never set an erased and re-recorded event
    can have the stamp of the old one. The epoch is not part of it: it starts again with the relay,
    and the event stays the same.
    """
    parts = [serial or "unknown"]
    if "waveform_key" in body:
        parts += [body["waveform_key"], body["timestamp"] or "unknown"]
    parts.append(hashlib.blake2b(said, digest_size=12).hexdigest())
    return f'"{".".join(parts)}"'


def cache_status(provenance: Provenance) -> str:
    """Return the ``Cache-Status`` of an answer (RFC 9211): hit, or why the unit was read."""
    parts = [CACHE_NAME]
    if provenance.why == "hit":
        parts.append("hit")
    else:
        parts.append(f"fwd={provenance.why}")
    if provenance.shared:
        parts.append("collapsed")
    parts.append(f'detail="exchanges {provenance.exchanges}"')
    return "; ".join(parts)
