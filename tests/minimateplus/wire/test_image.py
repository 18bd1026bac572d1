"""An event's image beside its record: whatever is altered in it is never called good."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minimateplus.errors import RemoteProtocolError, SampleDecodeError
from minimateplus.model import Event, Peaks, Waveform
from minimateplus.simulator import SimulatedUnit
from minimateplus.wire import layouts
from minimateplus.wire.image import rates_possible, read_image

AT = datetime(2026, 4, 1, 0, 28, 12)
SAMPLES = 1280


@cache
def stored(seed: int = 0) -> tuple[Event, bytes]:
    """Return an event of a simulated unit and its image: 1.25 s at 1024/s, 10 in/s."""
    unit = SimulatedUnit(clock=lambda: 0.0, now_device_time=AT)
    event = unit.record_event(seed=seed)
    return event, unit._memory.stored[0].image


def reading(event: Event, image: bytes) -> Waveform | None:
    """Return what is read; ``None`` where nothing is, which is not good either."""
    try:
        return read_image(event, image)
    except SampleDecodeError as error:
        return error.waveform
    except RemoteProtocolError:
        return None


def is_good(event: Event, image: bytes) -> bool:
    found = reading(event, image)
    if found is None:
        return False
    has_scales = None not in (found.sample_rate_hz, found.geo_range_in_s)
    return not found.reasons and has_scales and min(found.valid_samples) == found.counts.shape[1]


def is_contradicted(event: Event, image: bytes) -> bool:
    found = reading(event, image)
    assert found is not None
    return any(reason.is_contradiction for reason in found.reasons)


def with_start(image: bytes, **fields: int) -> bytes:
    head = layouts.STRT.parse(image[layouts.STRT_OFFSET : layouts.BODY_OFFSET])
    start = layouts.STRT.build({**head, **fields})
    return image[: layouts.STRT_OFFSET] + start + image[layouts.BODY_OFFSET :]


@pytest.mark.parametrize("seed", range(5))
def test_an_event_as_a_unit_stores_it_is_good(seed: int) -> None:
    event, image = stored(seed)
    assert is_good(event, image)
    found = read_image(event, image)
    assert (found.sample_rate_hz, found.geo_range_in_s) == (1024, 10.0)
    assert found.announced_samples == SAMPLES


@given(st.integers(0, 4), st.data())
def test_a_truncation_is_never_good(seed: int, data: st.DataObject) -> None:
    event, image = stored(seed)
    length = data.draw(st.integers(0, len(image) - 1))
    assert not is_good(event, image[:length])


@given(st.integers(0, 4), st.data())
def test_a_body_that_breaks_off_before_its_texts_is_never_good(
    seed: int, data: st.DataObject
) -> None:
    event, image = stored(seed)
    trailer = image.index(b"Project:")
    cut = data.draw(st.integers(layouts.BODY_OFFSET, trailer - 1))
    assert not is_good(event, image[:cut] + image[trailer:])


@given(
    st.integers(0, 4),
    (st.integers(0, 0xFFFF) | st.integers(SAMPLES - 5, SAMPLES + 5)).filter(lambda n: n != SAMPLES),
)
@example(0, SAMPLES - 1)
def test_another_announced_count_is_never_good(seed: int, samples: int) -> None:
    event, image = stored(seed)
    assert not is_good(event, with_start(image, samples=samples))
    assert is_contradicted(event, with_start(image, samples=samples))


@given(st.integers(0, 4), st.integers(-(10**7), 10**7).filter(lambda s: abs(s) > 2))
def test_a_footer_of_another_time_is_never_good(seed: int, seconds: int) -> None:
    event, image = stored(seed)
    begun = AT + timedelta(seconds=seconds)
    fields = {"magic": b"\x0e\x08", "start": begun, "stop": begun + timedelta(seconds=1)}
    assert not is_good(event, image[: -layouts.FOOTER.size] + layouts.FOOTER.build(fields))


@given(st.integers(0, 4), st.integers(-100, 10**6).filter(lambda s: s not in (0, 1, 2)))
def test_a_stop_that_no_rate_explains_is_never_good(seed: int, seconds: int) -> None:
    event, image = stored(seed)
    fields = {"magic": b"\x0e\x08", "start": AT, "stop": AT + timedelta(seconds=seconds)}
    altered = image[: -layouts.FOOTER.size] + layouts.FOOTER.build(fields)
    assert not is_good(event, altered)
    assert is_contradicted(event, altered)


@given(st.integers(0, 4), st.binary(min_size=26, max_size=26))
def test_bytes_that_are_no_footer_are_never_good(seed: int, raw: bytes) -> None:
    event, image = stored(seed)
    if raw[:2] != b"\x0e\x08":
        assert not is_good(event, image[: -layouts.FOOTER.size] + raw)
        # Nor where only its first two bytes are others.
        size = layouts.FOOTER.size
        assert not is_good(event, image[:-size] + raw[:2] + image[2 - size :])


FIGURES = ("tran_in_s", "vert_in_s", "long_in_s", "mic_psi", "vector_sum_in_s")


@given(
    st.integers(0, 4),
    st.sampled_from(FIGURES),
    st.floats(0.1, 7.0).filter(lambda f: not 0.9 < f < 1.1),
)
def test_a_record_whose_peak_is_not_that_of_the_samples_is_never_good(
    seed: int, name: str, factor: float
) -> None:
    event, image = stored(seed)
    peak = float(np.float32(getattr(event.peaks, name) * factor))
    altered = replace(event, peaks=replace(event.peaks, **{name: peak}))
    assert not is_good(altered, image)
    assert is_contradicted(altered, image)


def test_a_microphone_without_its_last_two_samples_is_no_contradiction() -> None:
    event, image = stored()
    at = image.index(b"Project:")
    found = read_image(event, image[: at - 20] + image[at:])
    assert found.valid_samples == (SAMPLES, SAMPLES, SAMPLES, SAMPLES - 2)
    [reason] = found.reasons
    assert (reason.code, reason.is_contradiction) == ("microphone-end-missing", False)
    assert (found.sample_rate_hz, found.geo_range_in_s) == (1024, 10.0)


def test_a_histogram_is_recognised_by_its_layout_even_where_it_begins_like_samples() -> None:
    event, image = stored()
    block = bytes.fromhex("000200000a00") + bytes(22) + bytes.fromhex("1e0a0000")
    body = block * 3 + bytes(9)
    histogram = image[: layouts.BODY_OFFSET] + body + image[-layouts.FOOTER.size :]
    with pytest.raises(SampleDecodeError, match="histogram") as caught:
        read_image(event, histogram)
    assert caught.value.waveform is not None
    assert caught.value.waveform.image == histogram


@pytest.mark.parametrize(
    ("samples", "pretrigger", "seconds", "rates"),
    [
        (1280, 256, 1, (1024,)),
        (2304, 256, 2, (1024, 2048)),
        (2304, 208, 2, (1024, 2048)),  # a captured event, of a K558
        (3328, 256, 3, (1024,)),
        (5120, 1024, 1, (4096,)),
        (102_656, 256, 100, (1024,)),
        (1536, 512, 1, (1024,)),
        (1280, 256, 60, ()),
    ],
)
def test_a_rate_is_one_that_start_stop_and_length_allow(
    samples: int, pretrigger: int, seconds: int, rates: tuple[int, ...]
) -> None:
    assert rates_possible(samples, pretrigger, AT, AT + timedelta(seconds=seconds)) == rates


def test_the_five_second_export_of_a_sibling_fits_its_printed_rate() -> None:
    # Printed by the instrument: record time 7.677 s, pre-trigger 0.5 s, 4096 sps.
    samples, pretrigger = round((7.677 + 0.5) * 4096), 2048
    for seconds in (7, 8):
        assert 4096 in rates_possible(samples, pretrigger, AT, AT + timedelta(seconds=seconds))


def test_a_clock_that_is_no_date_leaves_length_and_peaks() -> None:
    event, image = stored()
    undated = image[: -layouts.FOOTER.size] + b"\x0e\x08" + bytes(24)
    assert is_good(replace(event, device_time=None), undated)
    assert not is_good(event, undated)


def test_peaks_that_are_unknown_prove_no_range() -> None:
    event, image = stored()
    nothing = Peaks(
        tran_in_s=None, vert_in_s=None, long_in_s=None, mic_psi=None, vector_sum_in_s=None
    )
    found = read_image(replace(event, peaks=nothing), image)
    assert (found.geo_range_in_s, found.geo_ranges_possible) == (None, (10.0, 1.25))


def test_an_announced_count_of_none_loses_no_sample() -> None:
    event, image = stored()
    found = read_image(event, with_start(image, samples=0))
    assert (found.announced_samples, found.counts.shape[1]) == (0, SAMPLES)
    assert "body-goes-on" in [reason.code for reason in found.reasons]
