"""
The charts of a report as SVG, in points: the compliance chart and the four strips.

Pure: from numbers to text. Coordinates are whole twentieths of a point, finer than any printer, so
that equal input gives equal bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COLOURS",
    "DIVISIONS",
    "Chart",
    "Label",
    "Line",
    "Mark",
    "Span",
    "Strip",
    "compliance_chart",
    "decimated",
    "division",
    "labelled_svg",
    "strips_chart",
]

COLOURS = {"Tran": "#b3261e", "Vert": "#17663a", "Long": "#1551a3", "MicL": "#6b3fa0"}
Anchor = Literal["start", "middle", "end"]
SVG_END = "</svg>"
SCREEN_FONTS = "IBM Plex Sans, system-ui, sans-serif"
GRID, FRAME, INK, MUTED = "#d9dde3", "#5b6472", "#16191d", "#5b6472"
FINE = 20
"""Steps in a point."""
COLUMNS_PER_PT = 300 / 72
"""Columns of the strips: 300 to an inch; more samples than that are drawn as least and largest."""
MIN_HZ, MAX_HZ = 1.0, 200.0
FREQUENCIES_HZ = (1, 2, 5, 10, 20, 50, 100, 200)
DIVISIONS = 4
"""Of a strip's height: the scale is what one of them stands for."""
LABEL_PT, END_PT = 30.0, 46.0
"""Left and right of the strips."""


class Label(NamedTuple):
    """A text of a chart."""

    x: float
    """In points from the left, where the text begins, ends or has its middle."""
    y: float
    """Of its base line, in points from the top."""
    words: str
    size: float
    anchor: Anchor
    colour: str
    weight: int
    turned: bool
    """Whether it reads upwards."""


class Chart(NamedTuple):
    """Lines as SVG, and texts beside them: fitted to a place, the texts keep their form."""

    svg: str
    labels: tuple[Label, ...]
    width: float
    """In points."""
    height: float

    def payload(self) -> dict[str, Any]:
        """Return plain values for the template."""
        labels = [label._asdict() for label in self.labels]
        return {"svg": self.svg, "labels": labels, "width": self.width, "height": self.height}


def labelled_svg(svg: str, labels: Sequence[Mapping[str, Any]]) -> str:
    """
    Return a chart as one SVG, its texts in it, for a screen.

    Args:
        svg: of a ``Chart``.
        labels: of the same, as in its payload.
    """
    texts = []
    for label in labels:
        place = f'x="{label["x"]:.2f}" y="{label["y"]:.2f}"'
        turn = f' transform="rotate(-90 {label["x"]:.2f} {label["y"]:.2f})"'
        texts.append(
            f'<text {place} font-size="{label["size"]:g}" text-anchor="{label["anchor"]}" '
            f'fill="{label["colour"]}" font-weight="{label["weight"]}"'
            f"{turn if label['turned'] else ''}>{escape(label['words'])}</text>"
        )
    group = f'<g font-family="{SCREEN_FONTS}">{"".join(texts)}</g>'
    return f"{svg.removesuffix(SVG_END)}{group}{SVG_END}"


@dataclass(frozen=True, slots=True)
class Line:
    """A limit curve: pairs of frequency in Hz and velocity, in parts without a gap."""

    parts: tuple[tuple[tuple[float, float], ...], ...]
    dash: str = ""
    """SVG's, in points; empty: a whole line."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One axis: its peak at its frequency."""

    channel: str
    hz: float
    value: float
    is_at_least: bool = False
    """The motion was larger: drawn with an arrow upwards."""
    is_other: bool = False
    """Of the set of results that does not decide: drawn pale."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One channel over time."""

    channel: str
    values: NDArray[np.float64] | None
    """``None``: nothing to draw, and ``words`` say why."""
    division: float
    """What one division of the height stands for."""
    words: str = ""
    peak_at: int | None = None
    """The sample of the peak."""
    end: str = ""
    """Right of the strip, such as its peak."""


@dataclass(frozen=True, slots=True)
class Span:
    """The time axis of the strips."""

    start_s: float
    rate_hz: float
    samples: int
    """Of the longest channel."""
    has_trigger: bool
    division_s: float

    @property
    def end_s(self) -> float:
        """When the last sample ends."""
        return self.start_s + self.samples / self.rate_hz


def division(largest: float, divisions: int = DIVISIONS // 2) -> float:
    """
    Return a scale at which ``largest`` fits into so many divisions: 1, 2 or 5 times 10 to n.

    >>> division(0.6), division(13.36), division(0.0)
    (0.5, 10.0, 1.0)
    """
    if not largest > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / divisions))
    steps = (1.0, 2.0, 5.0, 10.0)
    # The power itself is rounded: 0.6 / 2 is 0.3 and must not become the next step by 1e-17.
    factor = next(s for s in steps if s * power * divisions >= largest * (1 - 1e-9))
    return float(f"{factor * power:.3g}")


def decimated(values: NDArray[np.float64], columns: int) -> tuple[NDArray[np.float64], ...]:
    """
    Return places and values to draw: all samples, or the least and the largest of each column.

    No peak is lost: each sample's column has its extremes.

    Args:
        values: shape (n,).
        columns: of the page.

    Returns:
        places in samples and values, both of shape (m,), m at most ``max(2 * columns, n)``.
    """
    n = len(values)
    if n <= 2 * columns:
        return np.arange(n, dtype=np.float64), values
    edges = (np.arange(columns) * n) // columns
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    middle = (edges + np.append(edges[1:], n) - 1) / 2
    return np.repeat(middle, 2), np.column_stack((low, high)).ravel()


class _Drawing:
    """SVG under construction; ``scale`` is for paths in twentieths of a point."""

    def __init__(self, width: float, height: float) -> None:
        self._size = (width, height)
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}pt" height="{height:g}pt" '
            f'viewBox="0 0 {width:g} {height:g}">'
        ]
        self._labels: list[Label] = []

    def add(self, element: str) -> None:
        self._parts.append(element)

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: str = ""
    ) -> None:
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(
            f'<path d="M{x1:.2f} {y1:.2f}L{x2:.2f} {y2:.2f}" fill="none" stroke="{colour}" '
            f'stroke-width="{width:g}"{dashes}/>'
        )

    def path(
        self, points: Iterable[tuple[float, float]], colour: str, width: float, dash: str = ""
    ) -> None:
        flat = [f"{x:.2f} {y:.2f}" for x, y in points]
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(
            f'<path d="M{"L".join(flat)}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
            f'stroke-linejoin="round"{dashes}/>'
        )

    def trace(
        self, x: NDArray[np.float64], y: NDArray[np.float64], colour: str, width: float
    ) -> None:
        """Draw a long line; whole numbers are written much faster than decimals."""
        pairs = np.rint(np.column_stack((x, y)) * FINE).astype(np.int64).ravel().tolist()
        self.add(
            f'<g transform="scale({1 / FINE:g})"><polyline points="{" ".join(map(str, pairs))}" '
            f'fill="none" stroke="{colour}" stroke-width="{width * FINE:g}" '
            'stroke-linejoin="round"/></g>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        *,
        anchor: Anchor = "start",
        colour: str = INK,
        weight: int = 400,
        turned: bool = False,
    ) -> None:
        self._labels.append(
            Label(round(x, 2), round(y, 2), words, size, anchor, colour, weight, turned)
        )

    def chart(self) -> Chart:
        return Chart("".join((*self._parts, SVG_END)), tuple(self._labels), *self._size)


def _mark(drawing: _Drawing, channel: str, x: float, y: float, colour: str, r: float = 3.4) -> None:
    """Draw the sign of an axis: + Tran, × Vert, ○ Long."""
    if channel == "Long":
        drawing.add(
            f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:g}" fill="none" stroke="{colour}" '
            'stroke-width="1.1"/>'
        )
        return
    d = r if channel == "Tran" else r * 0.8
    ends = ((-d, 0, d, 0), (0, -d, 0, d)) if channel == "Tran" else ((-d, -d, d, d), (-d, d, d, -d))
    for x1, y1, x2, y2 in ends:
        drawing.line(x + x1, y + y1, x + x2, y + y2, colour, 1.2)


def compliance_chart(
    width: float,
    height: float,
    lines: Sequence[Line],
    marks: Sequence[Mark],
    *,
    x_words: str,
    y_words: str,
) -> Chart:
    """
    Return the log-log chart of peak velocity over frequency, 1 to 200 Hz.

    Args:
        width: in points.
        height: in points.
        lines: curves in the unit of measure that ``y_words`` names.
        marks: one for each axis that has a frequency; nothing is drawn of a peak of 0.
        x_words: below the chart.
        y_words: left of it.
    """
    drawing = _Drawing(width, height)
    left, right, top, bottom = 33.0, width - 6.0, 5.0, height - 22.0
    low, high = _decades(lines, marks)
    log_hz = math.log(MAX_HZ / MIN_HZ)

    def x_of(hz: float) -> float:
        return left + (right - left) * math.log(min(max(hz, MIN_HZ), MAX_HZ) / MIN_HZ) / log_hz

    def y_of(value: float) -> float:
        share = math.log10(min(max(value, low), high) / low) / math.log10(high / low)
        return bottom - (bottom - top) * share

    for hz in (h * d for d in (1, 10, 100) for h in range(1, 10) if h * d <= MAX_HZ):
        drawing.line(x_of(hz), top, x_of(hz), bottom, GRID, 0.7 if hz in FREQUENCIES_HZ else 0.35)
    for hz in FREQUENCIES_HZ:
        drawing.text(x_of(hz), bottom + 8.5, f"{hz}", 6.2, anchor="middle", colour=MUTED)
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        for times in (1, 2, 3, 4, 5, 6, 7, 8, 9):
            value = times * 10.0**exponent
            if value > high * 1.001:
                break
            y = y_of(value)
            drawing.line(left, y, right, y, GRID, 0.7 if times == 1 else 0.35)
            if times in (1, 2, 5):
                drawing.text(left - 3, y + 2.1, f"{value:g}", 6.2, anchor="end", colour=MUTED)
    drawing.add(
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" '
        f'height="{bottom - top:.2f}" fill="none" stroke="{FRAME}" stroke-width="0.7"/>'
    )
    drawing.text((left + right) / 2, height - 5.5, x_words, 6.6, anchor="middle")
    drawing.text(8, (top + bottom) / 2, y_words, 6.6, anchor="middle", turned=True)
    for line in lines:
        for part in line.parts:
            drawing.path(((x_of(hz), y_of(v)) for hz, v in part), INK, 1.2, line.dash)
    for mark in sorted(marks, key=lambda each: not each.is_other):
        if mark.value > 0:
            x, y = x_of(mark.hz), y_of(mark.value)
            _mark(
                drawing, mark.channel, x, y, "#9aa3af" if mark.is_other else COLOURS[mark.channel]
            )
            if mark.is_at_least:
                colour = COLOURS[mark.channel]
                drawing.path(((x, y - 4.5), (x, y - 11)), colour, 0.9)
                drawing.path(((x - 2, y - 8.5), (x, y - 11), (x + 2, y - 8.5)), colour, 0.9)
    for number, channel in enumerate(("Tran", "Vert", "Long")):
        x = left + 9 + 38 * number
        drawing.add(
            f'<rect x="{x - 6:.2f}" y="{top + 4:.2f}" width="38" height="12" fill="#ffffff" '
            'fill-opacity="0.85"/>'
        )
        _mark(drawing, channel, x, top + 10, COLOURS[channel], 3.0)
        drawing.text(x + 6, top + 12.4, channel, 6.6)
    return drawing.chart()


def _decades(lines: Sequence[Line], marks: Sequence[Mark]) -> tuple[float, float]:
    """Return the ends of the axis: whole decades around curves and marks, two to four of them."""
    values = [v for line in lines for part in line.parts for _, v in part]
    values += [mark.value for mark in marks]
    known = [value for value in values if value > 0] or [0.1, 1.0]
    high = math.ceil(math.log10(max(known)) + 0.05)
    low = math.floor(math.log10(min(known)) - 0.05)
    low = max(min(low, high - 2), high - 4)
    return 10.0**low, 10.0**high


def strips_chart(
    width: float,
    height: float,
    strips: Sequence[Strip],
    span: Span | None,
    *,
    x_words: str,
    trigger_words: str,
) -> Chart:
    """
    Return the strips of an event, one below the other, on one time axis.

    Args:
        width: in points.
        height: of all together.
        strips: from the top.
        span: the time axis; ``None``: the rate is not known, and the axis counts samples.
        x_words: below the axis.
        trigger_words: beside the trigger mark.
    """
    drawing = _Drawing(width, height)
    left, right, top, bottom = LABEL_PT, width - END_PT, 9.0, height - 21.0
    each = (bottom - top) / len(strips)
    longest = max((len(s.values) for s in strips if s.values is not None), default=0)
    samples = max(span.samples if span is not None else longest, 1)
    ticks = _ticks(span, samples)

    def x_of(place: float) -> float:
        return left + (right - left) * place / samples

    for tick, words in ticks:
        drawing.line(x_of(tick), top, x_of(tick), bottom, GRID, 0.5)
        drawing.text(x_of(tick), bottom + 8.5, words, 6.2, anchor="middle", colour=MUTED)
    for number, strip in enumerate(strips):
        middle = top + each * (number + 0.5)
        per_division = each / (DIVISIONS + 0.4)
        for step in range(-DIVISIONS // 2, DIVISIONS // 2 + 1):
            y = middle + step * per_division
            drawing.line(left, y, right, y, GRID if step else "#aab2bd", 0.35 if step else 0.5)
        if number:
            y = top + each * number
            drawing.line(left, y, right, y, FRAME, 0.4)
        colour = COLOURS[strip.channel]
        drawing.text(left - 4, middle + 2.4, strip.channel, 7.4, anchor="end", weight=600)
        if strip.values is None or not len(strip.values):
            half = 2.2 * len(strip.words)
            drawing.add(
                f'<rect x="{(left + right) / 2 - half:.2f}" y="{middle - 6:.2f}" '
                f'width="{2 * half:.2f}" height="12" fill="#ffffff"/>'
            )
            drawing.text(
                (left + right) / 2, middle + 2.4, strip.words, 7.2, anchor="middle", colour=MUTED
            )
            continue
        columns = math.ceil((right - left) * COLUMNS_PER_PT)
        places, values = decimated(strip.values, columns)
        across = left + (right - left) * places / samples
        heights = middle - values / strip.division * per_division
        drawing.trace(across, np.clip(heights, middle - each / 2, middle + each / 2), colour, 0.6)
        if strip.peak_at is not None:
            peak = float(strip.values[strip.peak_at])
            y = middle - peak / strip.division * per_division
            drawing.add(
                f'<circle cx="{x_of(strip.peak_at):.2f}" cy="{y:.2f}" r="2.1" fill="none" '
                f'stroke="{INK}" stroke-width="0.8"/>'
            )
        drawing.text(right + 4, middle + 2.2, strip.end, 6.2, colour=MUTED)
    drawing.add(
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{right - left:.2f}" '
        f'height="{bottom - top:.2f}" fill="none" stroke="{FRAME}" stroke-width="0.7"/>'
    )
    if span is not None and span.has_trigger and span.start_s <= 0 <= span.end_s:
        x = x_of(-span.start_s * span.rate_hz)
        drawing.line(x, top, x, bottom, INK, 0.8, "3 2")
        drawing.add(
            f'<path d="M{x - 3:.2f} {top - 5:.2f}L{x + 3:.2f} {top - 5:.2f}L{x:.2f} {top:.2f}Z" '
            f'fill="{INK}"/>'
        )
        drawing.text(x + 5, top - 1.2, trigger_words, 6.2)
    drawing.text((left + right) / 2, height - 2.5, x_words, 6.6, anchor="middle")
    return drawing.chart()


def _ticks(span: Span | None, samples: int) -> list[tuple[float, str]]:
    """Return places in samples and their words."""
    if span is None:
        step = division(samples, 10)
        return [(i * step, f"{i * step:g}") for i in range(int(samples / step) + 1)]
    step = span.division_s
    first, last = math.ceil(span.start_s / step - 1e-9), math.floor(span.end_s / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [
        ((number * step - span.start_s) * span.rate_hz, f"{number * step + 0.0:.{digits}f}")
        for number in range(first, last + 1)
    ]
