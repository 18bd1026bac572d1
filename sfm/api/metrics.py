"""
The gateway's counters, in the Prometheus text format (version 0.0.4, which every scraper reads).

Written unit by unit, with a pause between, so that a thread that writes it for a thousand units
never blocks the event loop; the reference client writes everything without a pause.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["MEDIA_TYPE", "Facts", "exposition"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "seismo_relay_"
UNITS_IN_ONE_GO = 10
"""Between two pauses: half a millisecond's work."""

Facts: TypeAlias = Mapping[str, Any]
Kind = Literal["counter", "gauge", "histogram"]

_COUNTERS = (
    ("hits", "hits", "Answers served from the cache without a read."),
    ("reads", "reads", "Reads that got the connection."),
    ("joined_readers", "joined_readers", "Readers that shared another reader's read."),
    ("rejected_readers", "rejected_readers", "Readers rejected because the unit was busy."),
    ("sessions", "sessions", "Sessions started with the unit."),
    ("exchanges", "exchanges", "Requests sent to the unit."),
)
_GAUGES = (
    ("readers", "readers", "Readers that wait for a read now."),
    ("waiting_readers", "waiting_readers", "Of these, readers whose read has not begun."),
    ("failures_in_a_row", "failures_in_a_row", "Reads that failed since the last success."),
)
_SPLIT = (
    ("misses", "reason", "Answers that needed a read, by reason."),
    ("verdicts", "verdict", "Results of probes of event lists, by verdict."),
)
_SESSION_GAUGES = (
    ("open", "open_sessions", "Sessions with units that are open now."),
    ("waiting", "waiting_sessions", "Units that wait for a free session."),
    (
        "longest_wait_s",
        "longest_session_wait_seconds",
        "The longest wait for a free session since the start, s.",
    ),
)
_CACHE_GAUGES = (
    ("bytes", "Encoded bytes cached."),
    ("waveforms", "Waveforms cached."),
    ("devices", "Devices for which anything was ever cached."),
)
_CACHE_COUNTERS = (
    ("evicted_waveforms", "Waveforms evicted to stay within the limit."),
    ("evicted_memos", "Encoded answers evicted to stay within the limit."),
    ("refused_late_fills", "Reads discarded because the value was invalidated while it was read."),
)
_STORE_GAUGES = (
    ("waiting_records", "Records that wait for the database."),
    ("waiting_bytes", "Bytes of the waiting records."),
)
_STORE_COUNTERS = (
    ("writes", "Writes that were durable."),
    ("failures", "Store operations that failed."),
    ("not_archived", "Records dropped from the backlog without being archived."),
    ("damaged", "Reads of stored records that did not match their hash."),
)


@dataclass
class _Family:
    """All samples of one name."""

    name: str
    kind: Kind
    text: str
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, labels: str = "", suffix: str | None = None) -> None:
        ending = ("_total" if self.kind == "counter" else "") if suffix is None else suffix
        written = f"{{{labels}}}" if labels else ""
        self.lines.append(f"{self.name}{ending}{written} {_number(value)}\n")

    def encoded(self) -> str:
        name = f"{self.name}_total" if self.kind == "counter" else self.name
        head = f"# HELP {name} {self.text}\n# TYPE {name} {self.kind}\n"
        return head + "".join(self.lines)


class _Families:
    """The families, in the order in which they were first named."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def of(self, name: str, kind: Kind, text: str) -> _Family:
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = _Family(PREFIX + name, kind, text)
        return found

    def encoded(self, pause: Callable[[], None]) -> bytes:
        parts = []
        for family in self._families.values():
            parts.append(family.encoded().encode())
            pause()
        return b"".join(parts)


def exposition(
    totals: Facts, units: Iterable[Facts], pause: Callable[[], None] = lambda: None
) -> bytes:
    """
    Return all metrics.

    Args:
        totals: ``cache``, ``store`` and ``sessions``, the last by kind.
        units: of each ``key``, ``device`` (as in ``/cache/stats``) and ``epoch``; null: none.
        pause: called between a few units.
    """
    families = _Families()
    for number, unit in enumerate(units, 1):
        _add_unit(families, unit)
        if number % UNITS_IN_ONE_GO == 0:
            pause()
    for kind, figures in totals["sessions"].items():
        for name, metric, text in _SESSION_GAUGES:
            families.of(metric, "gauge", text).add(figures[name], f'kind="{kind}"')
    _add_all(families, "cache_", totals["cache"], _CACHE_GAUGES, _CACHE_COUNTERS)
    store = totals["store"]
    up = families.of(
        "store_up", "gauge", "1: the database works; 0: it fails; absent: none is configured."
    )
    if store["state"] != "none":
        up.add(store["state"] == "ok")
    _add_all(families, "store_", store, _STORE_GAUGES, _STORE_COUNTERS)
    return families.encoded(pause)


def _add_unit(families: _Families, unit: Facts) -> None:
    label, device = f'device="{_escaped(unit["key"])}"', unit["device"]
    if device is not None:
        for name, metric, text in _COUNTERS:
            families.of(metric, "counter", text).add(device[name], label)
        for name, metric, text in _GAUGES:
            families.of(metric, "gauge", text).add(device[name], label)
        for name, split, text in _SPLIT:
            family = families.of(name, "counter", text)
            for value, count in device[name].items():
                family.add(count, f'{label},{split}="{_escaped(value)}"')
        _add_read_times(families, label, device["read_times"])
    if unit["epoch"] is not None:
        families.of(
            "epoch", "gauge", "Number of the unit's present epoch; rises with each detected erase."
        ).add(unit["epoch"], label)


def _add_read_times(families: _Families, label: str, times: Facts) -> None:
    family = families.of("read_seconds", "histogram", "How long a read used the connection, s.")
    total = 0
    for bound, count in zip([*times["bounds_s"], math.inf], times["counts"], strict=True):
        total += count
        family.add(total, f'{label},le="{_number(bound)}"', "_bucket")
    family.add(total, label, "_count")
    family.add(times["sum_s"], label, "_sum")


def _add_all(
    families: _Families,
    prefix: str,
    values: Facts,
    gauges: Iterable[tuple[str, str]],
    counters: Iterable[tuple[str, str]],
) -> None:
    for name, text in gauges:
        families.of(prefix + name, "gauge", text).add(values[name])
    for name, text in counters:
        families.of(prefix + name, "counter", text).add(values[name])


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
