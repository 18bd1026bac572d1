"""
Make the tutorial's pictures: a simulated unit, the relay, and Chromium before it.

    PYTHONPATH=tests python docs/tutorial/screenshots.py

A picture is of the program as it is now; make them again when a page changes.
"""

from __future__ import annotations

import tempfile
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

from kit.browser import at, chromium
from kit.relay_process import relay
from kit.unit_thread import UnitThread

from minimateplus.simulator import SimulatedUnit

HERE = Path(__file__).parent
FIRST = datetime(2026, 3, 1, 6, 0, 0)


def main() -> None:
    """Write the pictures beside this file."""
    unit = SimulatedUnit("SIM0001", seed=7, now_device_time=FIRST + timedelta(hours=40))
    for number in range(5):
        unit.record_event(at_device_time=FIRST + timedelta(hours=7 * number))
    served = UnitThread(unit)
    with (
        tempfile.TemporaryDirectory() as folder,
        relay(database=Path(folder) / "relay.sqlite", SFM_REGION="US") as started,
        chromium() as browser,
    ):
        address = f"host=127.0.0.1&tcp_port={served.port}"
        for index in range(5):
            for path in ("waveform", "analysis"):  # so that the list has verdicts
                urllib.request.urlopen(
                    f"{started.base}/device/event/{index}/{path}?{address}"
                ).close()
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        for name, fragment, ready in (
            ("events", "events", "table"),
            ("event", "event/3", ".compliance img"),
        ):
            page.goto(f"{started.base}/{at(served, fragment)}")
            page.locator(ready).first.wait_for()
            page.wait_for_timeout(1500)  # the figures come one after another
            page.screenshot(path=HERE / f"{name}.png")
    served.close()


if __name__ == "__main__":
    main()
