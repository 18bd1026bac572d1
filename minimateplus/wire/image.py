"""
An event's image, read together with its record: samples, and every contradiction.

The rule: never report better data than there is. The record (0C), the STRT record, the samples and
the footer contain the same facts twice; where two of them disagree, or one is missing, the result
has a ``Reason``. A scale that the event does not carry is inferred only where the event's own
evidence allows exactly one: the range from its peaks beside its counts, the rate from start, stop
and number of samples.

What is known of start and stop [C that they are in the footer; U what exactly they mark]: the
clock has steps of 1 s, start may be that of the record or the trigger, and stop the end of the
samples. So a rate is possible when the whole seconds between them can come from a length between
that behind the trigger and that of the whole record. No setting records less than 1 s [I], so
where one rate makes a record of that length, rates that would make it shorter are out.

``DECODER`` is the version of all this. It rises when a reading of the same bytes changes; the
archive then reads its images again.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from minimateplus.conversions import (
    MIC_PSI_PER_COUNT,
    fits_peak,
    in_s_per_count,
    peak_vector_sum_in_s,
    ranges_possible,
)
from minimateplus.errors import SampleDecodeError
from minimateplus.model import CHANNELS, Reason, Waveform
from minimateplus.wire import layouts
from minimateplus.wire.samples import BodyReading, padded, read_body

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minimateplus.model import Event, Peaks

__all__ = [
    "CLOCK_STEP",
    "DECODER",
    "HISTOGRAM_MARK",
    "HISTOGRAM_TAIL",
    "MAX_SAMPLES",
    "SHORTEST_RECORD_S",
    "rates_possible",
    "read_image",
]

DECODER = 2
"""Version of this reading; 1 is that of programs which kept no version."""

MAX_SAMPLES = 1 << 19
"""Samples per channel that a body may unpack to: beyond 100 s at 4096/s, the longest setting."""
SHORTEST_RECORD_S = 1.0
"""No setting records less. [I: the smallest that is offered]"""
CLOCK_STEP = timedelta(seconds=1)

HISTOGRAM_MARK = bytes.fromhex("0a00")
HISTOGRAM_TAIL = bytes.fromhex("1e0a0000")
"""At 4 and 28 of each 32-byte block of a histogram's body [C]."""


def read_image(event: Event, image: bytes) -> Waveform:
    """
    Return the samples of an event's image, with every reason why they may be wrong.

    Args:
        event: of the list, with the record that belongs to the image.
        image: the event's memory, from the file-type tag to the footer.

    Raises:
        SampleDecodeError: no channel has a valid sample. Its ``waveform`` has the image.
        RemoteProtocolError: it does not begin with an STRT record.
    """
    # 1. Image = file-type tag, STRT, body, footer. A footer that contradicts the record gives no
    #    start and stop to compare the samples with.
    start = layouts.parse_start_record(image)
    body = image[layouts.BODY_OFFSET : len(image) - layouts.FOOTER.size]
    begun, stopped, footer_reasons = _footer(event, image, start)
    # 2. Decode. The image goes with the error, because its bytes are archived in any case.
    try:
        reading, reasons = _samples(body, start.samples)
    except SampleDecodeError as error:
        detail = f"the samples cannot be decoded: {error}"
        reason = Reason(code="samples-undecoded", detail=detail)
        error.waveform = Waveform(
            event=event,
            counts=np.zeros((len(CHANNELS), 0), np.int16),
            valid_samples=(0, 0, 0, 0),
            sample_rate_hz=None,
            pretrigger_samples=start.pretrigger_samples,
            geo_range_in_s=None,
            mode=start.mode,
            image=image,
            announced_samples=start.samples,
            reasons=(reason, *footer_reasons),
        )
        raise
    # 3. STRT has 16 bits for the number of samples, so a longer body counts for itself.
    samples = max(reading.body_samples, start.samples) if reading.continues else start.samples
    is_whole = min(reading.valid_samples) >= samples
    common = reading.counts[:, : min(reading.valid_samples)]
    if start.pretrigger_samples > samples:
        detail = f"the trigger is at sample {start.pretrigger_samples:,} of only {samples:,}"
        reasons.append(_contradiction("pretrigger-differs", detail))
    # 4. The rate is not in the event: the clock's start and stop exclude those that do not fit.
    rates = rates_possible(samples, start.pretrigger_samples, begun, stopped)
    if not rates:
        detail = (
            f"{samples:,} samples per channel fit the time from {begun} to {stopped} at no "
            "sample rate"
        )
        reasons.append(_contradiction("duration-differs", detail))
    # 5. Nor is the range: it is the one at which the samples match the unit's own peaks.
    ranges = ranges_possible(common, event.peaks, is_whole=is_whole)
    if not is_whole and min(reading.valid_samples[:3]) >= samples:
        # Only MicL lacks samples, so the geophones can still be compared.
        ranges = ranges_possible(reading.counts, event.peaks)
    reasons += _peak_reasons(common, event.peaks, ranges, is_whole=is_whole)
    return Waveform(
        event=event,
        counts=reading.counts,
        valid_samples=reading.valid_samples,
        sample_rate_hz=rates[0] if len(rates) == 1 else None,
        pretrigger_samples=start.pretrigger_samples,
        geo_range_in_s=ranges[0] if len(ranges) == 1 else None,
        mode=start.mode,
        image=image,
        announced_samples=start.samples,
        sample_rates_possible=rates,
        geo_ranges_possible=ranges,
        reasons=(*reasons, *footer_reasons),
    )


def rates_possible(
    samples: int, pretrigger_samples: int, begun: datetime | None, stopped: datetime | None
) -> tuple[int, ...]:
    """
    Return every sample rate at which so many samples fit between start and stop.

    >>> rates_possible(3328, 256, datetime(2026, 4, 1, 0, 28, 12), datetime(2026, 4, 1, 0, 28, 15))
    (1024,)

    Args:
        samples: per channel.
        pretrigger_samples: those before the trigger.
        begun: start by the unit's clock; ``None`` where it is no date.
        stopped: stop, likewise.
    """
    rates = [rate for rate in layouts.SAMPLE_RATES_HZ if samples >= SHORTEST_RECORD_S * rate]
    found = rates or list(layouts.SAMPLE_RATES_HZ)
    if begun is None or stopped is None:
        return tuple(found)
    span_s, step_s = (stopped - begun).total_seconds(), CLOCK_STEP.total_seconds()
    return tuple(
        rate
        for rate in found
        if (samples - pretrigger_samples) / rate - step_s < span_s < samples / rate + step_s
    )


def _contradiction(code: str, detail: str) -> Reason:
    return Reason(code=code, detail=detail, is_contradiction=True)


def _footer(
    event: Event, image: bytes, start: layouts.StartRecord
) -> tuple[datetime | None, datetime | None, list[Reason]]:
    """Return start and stop of the footer, and what is wrong with it."""
    raw = image[-layouts.FOOTER.size :]
    fields = layouts.FOOTER.parse(raw)
    if fields["magic"] != layouts.FOOTER_MAGIC:
        detail = f"the image ends with {raw[:2].hex(' ')} where its footer (0e 08) should begin"
        return None, None, [_contradiction("footer-missing", detail)]
    begun, stopped = fields["start"], fields["stop"]
    at = event.device_time
    if (begun is None) != (at is None) or (stopped is None) != (begun is None):
        detail = f"the footer says {begun} to {stopped}, the record {at}"
        return None, None, [_contradiction("footer-differs", detail)]
    if begun is None or stopped is None or at is None:
        return None, None, []
    # At the slowest rate the samples before the trigger take longest.
    before = timedelta(seconds=start.pretrigger_samples / min(layouts.SAMPLE_RATES_HZ))
    if not -CLOCK_STEP <= at - begun <= before + CLOCK_STEP or stopped < begun:
        detail = f"the footer says {begun} to {stopped}, the record {at}"
        return None, None, [_contradiction("footer-differs", detail)]
    return begun, stopped, []


def _samples(body: bytes, announced: int) -> tuple[BodyReading, list[Reason]]:
    """Return the samples of a body, and how they differ from what STRT announces."""
    if body[4:6] == HISTOGRAM_MARK and body[28:32] == HISTOGRAM_TAIL:
        raise SampleDecodeError("the body is that of a histogram, whose forms are not all known")
    reading = read_body(body, announced)
    if reading.continues or reading.body_samples > padded(announced):
        reading = read_body(body, MAX_SAMPLES)
        detail = (
            f"the body goes on behind the {announced:,} samples per channel that its header "
            f"announces: it holds {reading.body_samples:,}; 16 bits cannot count more than 65,535"
        )
        reading = dataclasses.replace(reading, continues=True)
        return reading, [_contradiction("body-goes-on", detail)]
    if min(reading.valid_samples) < announced:
        valid = ", ".join(
            f"{name} {count:,}" for name, count in zip(CHANNELS, reading.valid_samples, strict=True)
        )
        detail = (
            f"of {announced:,} samples per channel that its header announces, valid are {valid}"
        )
        if reading.stopped is not None:
            detail += f" ({reading.stopped})"
        tran, vert, long, mic = reading.valid_samples
        if reading.closing is None and min(tran, vert, long) == announced == mic + 2:
            # Where a unit puts the microphone's last two samples is not known.
            return reading, [Reason(code="microphone-end-missing", detail=detail)]
        return reading, [_contradiction("samples-missing", detail)]
    if reading.closing is not None and reading.closing != announced:
        detail = (
            f"STRT announces {announced:,} samples per channel, the body closes after "
            f"{reading.closing:,}"
        )
        return reading, [_contradiction("count-differs", detail)]
    return reading, []


def _peak_reasons(
    counts: NDArray[np.int16], peaks: Peaks, ranges: tuple[float, ...], *, is_whole: bool
) -> list[Reason]:
    """Return how the unit's own peaks differ from those of the samples."""
    if not counts.shape[1]:
        return []
    largest = np.abs(counts.astype(np.int32)).max(axis=1).tolist()
    differing = []
    if not ranges:
        reported = (peaks.tran_in_s, peaks.vert_in_s, peaks.long_in_s)
        pairs = zip(CHANNELS, largest, reported, strict=False)
        differing.append(
            ", ".join(
                f"{name} {'unknown' if peak is None else f'{peak:.4g}'} in/s beside {n} counts"
                for name, n, peak in pairs
            )
        )
    elif len(ranges) == 1 and is_whole and peaks.vector_sum_in_s is not None:
        scale = in_s_per_count(ranges[0])
        vector_sum = peak_vector_sum_in_s(counts[:3].astype(np.float64))
        if not fits_peak(vector_sum, peaks.vector_sum_in_s, scale):
            differing.append(
                f"vector sum {peaks.vector_sum_in_s:.4f} in/s beside {vector_sum * scale:.4f} in/s"
            )
    mic = peaks.mic_psi
    # Of a part of the samples the peak may be missing, but none is larger than it.
    is_comparable = mic is not None and (is_whole or largest[3] * MIC_PSI_PER_COUNT > mic)
    if mic is not None and is_comparable and not fits_peak(largest[3], mic, MIC_PSI_PER_COUNT):
        differing.append(f"MicL {mic:.6f} psi beside {largest[3] * MIC_PSI_PER_COUNT:.6f} psi")
    if not differing:
        return []
    detail = f"the unit's own peaks differ from those of the samples: {'; '.join(differing)}"
    return [_contradiction("peaks-differ", detail)]
