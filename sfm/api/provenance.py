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
    content = orjson.dumps({**body, "provenance": asdict(provenance)})
    headers = {
        "Age": str(int(provenance.age_s)),
        "ETag": etag_of(provenance, body),
        "Cache-Status": cache_status(provenance),
        # A shared cache between us and the reader would answer without the probe.
        "Cache-Control": "private, no-cache",
    }
    if provenance.simulated:
        headers["X-Simulated"] = "true"
    return Response(content, media_type="application/json", headers=headers)


def etag_of(provenance: Provenance, body: dict[str, Any]) -> str:
    """
    Return a strong tag: of an event its stamp under its unit, of anything else its content.

    The epoch is not part of it: it starts again with the relay, and the event stays the same.
    """
    if "waveform_key" in body:
        timestamp = body["timestamp"] or "unknown"
        kind = "w" if "samples" in body else "e"
        return f'"{provenance.serial}.{body["waveform_key"]}.{timestamp}.{kind}"'
    digest = hashlib.blake2b(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), digest_size=12)
    return f'"{provenance.serial}.{digest.hexdigest()}"'


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
