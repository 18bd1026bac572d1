"""``result.json``: what a program finds in a report: results, verdicts, provenance, hashes."""

from __future__ import annotations

from typing import Any

import orjson

from sfm.analysis import VERSION, Analysis
from sfm.analysis.verdicts import CurveVerdict
from sfm.exports.event import ExportedEvent
from sfm.reports.subject import Options, Subject

__all__ = ["FORMAT", "result_json"]

FORMAT = "seismo-relay result 1"
UNKNOWN_TO_UNIT = ("battery", "sensor_check", "channel_test", "trigger_channel", "trigger_level")
"""What the page prints as not available, because the wire does not show it."""


def result_json(
    subject: Subject, options: Options, analysis: Analysis, verdicts: list[CurveVerdict]
) -> bytes:
    """Return everything that a report is based on except the samples, as JSON, UTF-8."""
    event, limits = subject.event, subject.limits
    payload = {k: v for k, v in event.payload.items() if k not in ("counts", "setup")}
    body: dict[str, Any] = {
        "format": FORMAT,
        "program": {"name": "seismo-relay", "version": options.program_version},
        "printed_at": options.printed_at.isoformat(),
        "simulated": event.is_simulated,
        "recording": _recording(event),
        "provenance": {
            "serial": event.serial,
            "model": subject.model,
            "firmware": subject.firmware,
            "calibrated_on": subject.calibrated_on,
            "calibration_is_entered": subject.calibration_is_entered,
            "read_at": event.read_at,
            "quality": event.quality,
            "decoder": subject.decoder,
            "zone": event.zone,
            "utc": event.utc,
            "utc_unknown": event.utc_unknown,
            "location": subject.location,
            "latitude": subject.latitude,
            "longitude": subject.longitude,
            "not_available": list(UNKNOWN_TO_UNIT),
        },
        "entered": [fact.payload() for _, fact in sorted(subject.entered.items())],
        "event": payload,
        "analysis": {"methods_version": VERSION, **analysis.payload()},
        "limits": {
            "chosen_by": limits.by,
            "results": limits.results,
            "parameters": dict(limits.parameters),
            "reason": limits.reason,
            "verdicts": [
                {
                    **each.payload(),
                    "digest": each.curve.digest,
                    "author": each.curve.author,
                    "date": each.curve.date,
                }
                for each in verdicts
            ],
        },
    }
    return orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _recording(event: ExportedEvent) -> dict[str, Any]:
    return {
        "id": event.recording_id,
        "waveform_key": event.payload["waveform_key"],
        "device_time": event.payload["timestamp"],
        "counts_hash": event.counts_hash,
        "image_hash": event.image_hash,
        "hash": "BLAKE2b-256",
    }
