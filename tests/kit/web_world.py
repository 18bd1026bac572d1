"""A browser for each file, a page for each test, simulated units before one relay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from kit.browser import BRISK, NewUnit, Open, Watched, chromium
from kit.relay_process import relay
from kit.unit_thread import UnitThread
from minimateplus.simulator import SimulatedUnit


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a relay of this machine, with an archive of its own."""
    database: Path = tmp_path_factory.mktemp("relay") / "relay.sqlite"
    with relay(database=database, **BRISK) as started:
        yield started.base


@pytest.fixture
def new_unit() -> Iterator[NewUnit]:
    """Makes simulated units with a few events each; they end with the test."""
    with ExitStack() as stack:

        def make(
            serial: str, *, events: int = 3, unit: SimulatedUnit | None = None, **link_options: Any
        ) -> UnitThread:
            simulated = unit or SimulatedUnit(serial, seed=len(serial) + events)
            first = simulated.now_device_time - timedelta(hours=events)
            for number in range(events):
                simulated.record_event(at_device_time=first + timedelta(hours=number), seed=number)
            served = UnitThread(simulated, **link_options)
            stack.callback(served.close)
            return served

        yield make


@pytest.fixture
def visit(browser: Browser, base: str) -> Iterator[Open]:
    """Opens a page of the relay; what was wrong with it fails the test at its end."""
    opened: list[Watched] = []

    def go(fragment: str = "", *, at: str | None = None, **options: Any) -> Watched:
        opened.append(Watched.open(browser, at or base, fragment, **options))
        return opened[-1]

    yield go
    for one in opened:
        one.close()
