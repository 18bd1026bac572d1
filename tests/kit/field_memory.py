"""Events of a simulated unit, altered as they were met in the field: what the wire then carries."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimateplus.simulator import SimulatedUnit
from minimateplus.wire import layouts
from minimateplus.wire.samples import encode_body


def histogram_body(intervals: int = 60) -> bytes:
    """Blocks of the captured form: 32 bytes that end in 1e 0a 00 00, and nine bytes left over."""
    blocks = []
    for i in range(intervals):
        block = struct.pack("<BBH", 0, i // 256, i) + b"\x0a\x00"
        for peak, half_period in ((3 + i % 4, 40), (2 + i % 3, 30), (4, 25), (1, 9)):
            block += bytes((peak, 0)) + struct.pack("<H", half_period)
        blocks.append(block + bytes(6) + b"\x1e\x0a\x00\x00")
    return b"".join(blocks) + bytes(9)


def alter(
    unit: SimulatedUnit,
    index: int = -1,
    *,
    body: bytes | None = None,
    start: dict[str, Any] | None = None,
    footer: bytes | None = None,
    peaks: float | None = None,
) -> bytes:
    """
    Alter a stored event; return its image.

    Args:
        unit: whose; only its last event may get another length.
        index: which.
        body: in place of samples and texts.
        start: fields of STRT.
        footer: in place of the footer, 26 bytes.
        peaks: by what the record's own peaks are multiplied.
    """
    memory = unit._memory
    stored = memory.stored[index]
    size = layouts.FOOTER.size
    old_body = stored.image[layouts.BODY_OFFSET : -size]
    body = old_body if body is None else body
    fields = layouts.STRT.parse(stored.image[layouts.STRT_OFFSET : layouts.BODY_OFFSET])
    fields |= {"end_address": stored.address + layouts.BODY_OFFSET + len(body) + size}
    image = layouts.IMAGE_TAG + layouts.STRT.build(fields | (start or {})) + body
    image += stored.image[-size:] if footer is None else footer
    event = stored.event
    if peaks is not None:
        figures = {
            name: float(np.float32(getattr(event.peaks, name) * peaks))
            for name in ("tran_in_s", "vert_in_s", "long_in_s", "vector_sum_in_s")
        }
        event = replace(event, peaks=replace(event.peaks, **figures))
    place = memory._places.pop(stored.log_key)
    memory.stored[index] = replace(stored, image=image, event=event)
    memory._places[memory.stored[index].log_key] = place
    return image


def cut_samples(unit: SimulatedUnit, announced: int, entry: int) -> bytes:
    """Let the last event announce more samples than its body holds."""
    counts = unit.counts_of(len(unit.events) - 1)[:, :entry]
    return alter(unit, body=encode_body(counts) + b"Project:\0", start={"samples": announced})


def footer_of(begun: datetime, seconds: int = 1) -> bytes:
    """Return a footer of another date."""
    stop = begun + timedelta(seconds=seconds)
    return layouts.FOOTER.build({"magic": b"\x0e\x08", "start": begun, "stop": stop})


def long_counts(samples: int, late: int = 400) -> NDArray[np.int16]:
    """Return a quiet record whose peak lies near its end."""
    rng = np.random.default_rng(1)
    counts = rng.normal(0, 1.2, (4, samples)).round().astype(np.int16)
    counts[0, int(samples * 0.9)] = late
    return counts


def damage(unit: SimulatedUnit, kind: str) -> None:
    """Contradict the last event of a unit in one way."""
    began = unit.events[-1].device_time
    assert began is not None
    match kind:
        case "broken off":
            cut_samples(unit, 5120, 1024)
        case "cut within":
            body = encode_body(unit.counts_of(len(unit.events) - 1))
            alter(unit, body=body[: len(body) // 2] + b"Project:\0North face")
        case "fewer announced":
            alter(unit, start={"samples": 1277})
        case "peaks":
            alter(unit, peaks=1.5)
        case "footer of another date":
            alter(unit, footer=footer_of(began + timedelta(days=31)))
        case "footer far too long":
            alter(unit, footer=footer_of(began, seconds=300))
        case "no footer":
            alter(unit, footer=bytes(26))


KINDS = {
    "broken off": "samples-missing",
    "cut within": "samples-missing",
    "fewer announced": "count-differs",
    "peaks": "peaks-differ",
    "footer of another date": "footer-differs",
    "footer far too long": "duration-differs",
    "no footer": "footer-missing",
}
