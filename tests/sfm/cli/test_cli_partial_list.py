"""A list that the link could not carry to its end: its beginning is shown, and called that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from kit.command_line import Call, caller
from kit.served_unit import Served, served

from minimateplus.link import Link
from minimateplus.simulator import SimulatedUnit
from minimateplus.simulator.faulty_links import CutLink

EVENTS = 20
SOME_EVENTS_BYTES, NO_EVENT_BYTES = 6_000, 300


class EverWorseLinks:
    """The first two links carry a few events each, all later ones not even a probe."""

    def __init__(self) -> None:
        self.links = 0

    def __call__(self, inner: Link) -> Link:
        self.links += 1
        return CutLink(inner, SOME_EVENTS_BYTES if self.links <= 2 else NO_EVENT_BYTES)


@pytest.fixture
def unit() -> Iterator[Served]:
    simulated = SimulatedUnit("SIM0044")
    for _ in range(EVENTS):
        simulated.record_event()
    with served(simulated, EverWorseLinks()) as found:
        yield found


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(capsys)


@pytest.fixture(autouse=True)
def without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFM_DATABASE_URL", "none")


def test_the_beginning_of_a_list_is_shown_and_the_exit_status_is_7(
    unit: Served, call: Call
) -> None:
    status, out, err = call("events", unit.url)
    counts = [int(count) for count in re.findall(r"First (\d+) events, still reading\.", err)]
    assert status == 7, err
    assert counts == sorted(set(counts)), "each contact brought more"
    assert len(counts) == 2
    assert 0 < counts[-1] < EVENTS
    assert "The list is not complete." in err
    shown = [event.key.hex() for event in unit.unit.events if event.key.hex() in out]
    assert shown == [event.key.hex() for event in unit.unit.events[: counts[-1]]]


def test_the_beginning_of_a_list_is_called_that_in_json_too(unit: Served, call: Call) -> None:
    status, out, err = call("events", unit.url, "--json")
    body = json.loads(out)
    assert status == 7, err
    assert (body["complete"], body["count"]) == (False, None)
    assert body["provenance"]["quality"] == "partial"
    assert f"First {len(body['events'])} events, still reading." in err
