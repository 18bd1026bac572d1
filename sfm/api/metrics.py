"""What the gateway counts, in the Prometheus text format. Collected when asked; nothing is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from sfm.gateway import Gateway

PREFIX = "seismo_relay_"

_COUNTERS = (
    ("hits", "hits", "Answers from what is held, nothing read."),
    ("flights", "flights", "Reads that got the line."),
    ("joined_readers", "joined_readers", "Readers who shared another's read."),
    ("turned_away", "readers_turned_away", "Readers told that the device is busy."),
    ("conversations", "conversations", "Start-ups of a conversation with the unit."),
    ("exchanges", "exchanges", "Requests sent to the unit."),
)
_GAUGES = (
    ("readers", "readers", "Readers who wait for a read now."),
    ("waiting_readers", "waiting_readers", "Of these, those whose read has not begun."),
    ("failures_in_a_row", "failures_in_a_row", "Reads that failed since the last success."),
)


class _GatewayCollector(Collector):
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterable[Metric]:
        stats = self._gateway.stats()
        devices: dict[str, Any] = stats["devices"]
        for field, name, text in _COUNTERS:
            counter = CounterMetricFamily(PREFIX + name, text, labels=["device"])
            for key, device in devices.items():
                counter.add_metric([key], device[field])
            yield counter
        for field, name, text in _GAUGES:
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=["device"])
            for key, device in devices.items():
                gauge.add_metric([key], device[field])
            yield gauge
        yield _split(devices, "misses", "misses", "reason", "Answers that took a read, by reason.")
        yield _split(devices, "verdicts", "verdicts", "verdict", "What probes said of lists.")
        yield _read_times(devices)
        yield from _cache(stats["cache"])
        yield from _store(stats["store"])


def _split(
    devices: dict[str, Any], field: str, name: str, label: str, text: str
) -> CounterMetricFamily:
    family = CounterMetricFamily(PREFIX + name, text, labels=["device", label])
    for key, device in devices.items():
        for value, count in device[field].items():
            family.add_metric([key, value], count)
    return family


def _read_times(devices: dict[str, Any]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        PREFIX + "read_seconds", "How long the line was used for a read, s.", labels=["device"]
    )
    for key, device in devices.items():
        times = device["read_times"]
        bounds = [*map(str, times["bounds_s"]), "+Inf"]
        total, buckets = 0, []
        for bound, count in zip(bounds, times["counts"], strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric([key], buckets=buckets, sum_value=times["sum_s"])
    return family


def _cache(held: dict[str, Any]) -> Iterator[Metric]:
    for field, text in (
        ("bytes", "Encoded bytes held."),
        ("waveforms", "Waveforms held."),
        ("devices", "Devices of which anything was ever held."),
    ):
        yield GaugeMetricFamily(f"{PREFIX}cache_{field}", text, value=held[field])
    for field, text in (
        ("evicted_waveforms", "Waveforms that left for lack of room."),
        ("evicted_memos", "Encoded answers that left for lack of room."),
        ("refused_late_fills", "Reads that came back after an invalidation and were not kept."),
    ):
        yield CounterMetricFamily(f"{PREFIX}cache_{field}", text, value=held[field])
    epochs = GaugeMetricFamily(
        PREFIX + "epoch",
        "Which memory of the unit is known; rises with each erase noticed.",
        labels=["device"],
    )
    for key, device in held["by_device"].items():
        epochs.add_metric([key], device["epoch"])
    yield epochs


def _store(store: dict[str, Any]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        PREFIX + "store_up", "1: the database works; 0: it fails; absent: there is none."
    )
    if store["state"] != "none":
        up.add_metric([], store["state"] == "ok")
    yield up
    for field, text in (
        ("waiting_records", "Records that wait for the database."),
        ("waiting_bytes", "Bytes of these."),
    ):
        yield GaugeMetricFamily(f"{PREFIX}store_{field}", text, value=store[field])
    for field, text in (
        ("writes", "Writes that were durable."),
        ("failures", "Verbs that failed by the database's fault."),
        ("not_archived", "Records that could not wait for the database any longer."),
        ("damaged", "Reads of stored records that were not what their hash says."),
    ):
        yield CounterMetricFamily(f"{PREFIX}store_{field}", text, value=store[field])


def exposition(gateway: Gateway) -> tuple[bytes, str]:
    """Return all metrics and the media type they are written in."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_GatewayCollector(gateway))
    return generate_latest(registry), CONTENT_TYPE_LATEST
