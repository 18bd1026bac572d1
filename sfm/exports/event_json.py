"""One event as JSON: samples in physical units and counts, and the results of both rules."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import orjson

from sfm.exports.event import ExportedChannel, ExportedEvent, Style
from sfm.exports.tidy_csv import OFFSET
from sfm.records.analysed import analyse_payload
from sfm.records.payloads import waveform_arrays

__all__ = ["FORMAT", "facts_of", "json_bytes"]

FORMAT = "seismo-relay event 1"


def json_bytes(event: ExportedEvent, style: Style | None = None) -> bytes:
    """
    Return an event as JSON.

    Args:
        event: what is written.
        style: units of measure; the recording's own if not given.
    """
    style = style or Style()
    results = analyse_payload(event.payload)
    if style.units is not None:
        results = results.in_system(style.units)
    found = facts_of(event, style)
    for channel in event.channels(style.units):
        found["channels"][channel.name] |= {
            "values": channel.values if channel.scale is not None else channel.counts,
            "counts": channel.counts,
        }
    found["results"] = results.payload()
    return orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)


def facts_of(event: ExportedEvent, style: Style) -> dict[str, Any]:
    """Return every fact about an event, without its samples."""
    view = waveform_arrays(event.payload)
    return {
        "format": FORMAT,
        "program": f"seismo-relay {version('seismo-relay')}",
        "serial": event.serial,
        "simulated": event.is_simulated,
        "recording": event.recording_id,
        "zone": event.zone,
        "utc": event.utc,
        "utc_unknown": event.utc_unknown,
        "read_at": event.read_at,
        "quality": event.quality,
        "offset": OFFSET,
        "counts_hash": event.counts_hash,
        "image_hash": event.image_hash,
        **{name: value for name, value in view.items() if name != "channels"},
        "channels": {channel.name: _facts(channel) for channel in event.channels(style.units)},
    }


def _facts(channel: ExportedChannel) -> dict[str, Any]:
    return {
        "unit": channel.unit,
        "scale": channel.scale,
        "peak": channel.peak,
        "bound": channel.bound,
        "flags": list(channel.flags),
    }
