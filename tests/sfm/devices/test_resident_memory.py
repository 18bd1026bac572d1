"""What a relay takes of its machine's memory, as its operating system counts it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from kit.relay_process import PATIENCE_S, relay_from_scratch
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.unit import DEFAULT_SETUP

WAVEFORMS = 60
SAMPLES = 13 * 4096
"""The longest record: 13 s at 4096 samples a second."""
BUDGET_BYTES = 64 * 1024 * 1024
MAX_OF_BUDGET = 1.3
COUNTS = {"accept": "application/octet-stream"}


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if "VmRSS" in line))


def unit_of_long_records() -> SimulatedUnit:
    """Return a unit whose records are long and, since each axis is constant, fast to download."""
    setup = replace(DEFAULT_SETUP, sample_rate_hz=4096, record_time_s=13.0)
    unit = SimulatedUnit("SIM0107", seed=7, setup=setup)
    for number in range(WAVEFORMS):
        axes = np.array([[37], [-51], [118], [9]], dtype=np.int16) + np.int16(number)
        unit.record_event(counts=np.repeat(axes, SAMPLES, axis=1))
    return unit


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("is_archived", [False, True], ids=["memory alone", "with an archive"])
def test_sixty_long_waveforms_as_bytes_and_json_stay_within_the_budget(
    is_archived: bool, tmp_path: Path
) -> None:
    served = UnitThread(unit_of_long_records())
    database = tmp_path / "db" if is_archived else None
    settings: dict[str, Any] = {
        "SFM_CACHE_LIMIT_BYTES": str(BUDGET_BYTES),
        "SFM_VALIDATED_S": "3600",
    }
    try:
        with relay_from_scratch(database=database, **settings) as started:
            of_unit: dict[str, str | int] = {"host": "127.0.0.1", "tcp_port": served.port}
            with httpx.Client(base_url=started.base, params=of_unit, timeout=PATIENCE_S) as client:
                assert client.get("/device/info").status_code == 200
                idle = resident_bytes(started.pid)
                sent = 0
                for index in range(WAVEFORMS):
                    path = f"/device/event/{index}/waveform"
                    as_bytes = client.get(path, headers=COUNTS)
                    as_json = client.get(path)
                    assert (as_bytes.status_code, as_json.status_code) == (200, 200)
                    assert len(as_bytes.content) == 4 * 2 * SAMPLES
                    sent += len(as_bytes.content) + len(as_json.content)
                taken = resident_bytes(started.pid) - idle
                booked = httpx.get(f"{started.base}/cache/stats").json()["cache"]["bytes"]
    finally:
        served.close()
    mebi = 1024 * 1024
    figures = (
        f"sent {sent / mebi:.1f} MiB, resident {taken / mebi:.1f} MiB above idle "
        f"({idle / mebi:.1f} MiB), booked {booked / mebi:.1f} MiB, budget {BUDGET_BYTES / mebi} MiB"
    )
    sys.stdout.write(f"{figures}\n")
    assert sent > 1.5 * BUDGET_BYTES, figures
    assert booked <= BUDGET_BYTES, figures
    assert taken <= MAX_OF_BUDGET * BUDGET_BYTES, figures
