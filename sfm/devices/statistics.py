"""What the devices did, as numbers for `/cache/stats` and `/metrics`. Touches no device."""

from __future__ import annotations

import math

from sfm.devices.device import Device
from sfm.devices.registry import Registry
from sfm.records.payloads import Payload

__all__ = ["device_statistics", "session_statistics"]


def device_statistics(device: Device) -> Payload:
    """Return how one unit's readers were served, and what its connections cost."""
    single_flight, served, routes = device.single_flight, device.served, device.routes
    return {
        "serial": device.serial,
        "simulated": device.simulated,
        "routes": list(routes),
        "hits": served.hits,
        "misses": dict(served.misses),
        "verdicts": dict(device.event_list.verdicts),
        "reads": single_flight.started_reads,
        "joined_readers": single_flight.joined,
        "readers": single_flight.readers,
        "waiting_readers": single_flight.waiting_readers,
        "rejected_readers": single_flight.rejected_readers,
        "failures_in_a_row": min((one.back_off.failures for one in routes.values()), default=0),
        "sessions": device.usage.sessions,
        "exchanges": device.usage.exchanges,
        "read_times": {
            "bounds_s": [b for b in device.read_times.BOUNDS_S if math.isfinite(b)],
            "counts": list(device.read_times.counts),
            "sum_s": round(device.read_times.sum_s, 3),
        },
        "under_way": [
            {"what": p.what, "done": p.done, "total": p.total}
            for p in single_flight.progress.values()
        ],
    }


def session_statistics(registry: Registry) -> dict[str, Payload]:
    """Return how many sessions are open and wait, with units and with unknown addresses."""
    return {
        kind: {
            "open": limit.open,
            "waiting": limit.waiting,
            "longest_wait_s": round(limit.longest_wait_s, 3),
        }
        for kind, limit in (
            ("known", registry.session_limit),
            ("unknown", registry.unknown_session_limit),
        )
    }
