"""What a person reads of a unit's clock: never set, hours off, an hour off, years off."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from kit.relay_world import HERE, FieldUnit, World, in_virtual_time

from minimateplus.simulator.unit import NEVER_SET_DEVICE_TIME
from sfm.cache.freshness import FORCED
from sfm.cli import views
from sfm.records.payloads import clock_drift

NOW = datetime(2026, 7, 1, 10, 0, 0, tzinfo=UTC)
OSLO = ZoneInfo("Europe/Oslo")
LOCAL = datetime(2026, 7, 1, 12, 0, 0)


@pytest.mark.parametrize(
    ("shows", "zone", "sentence"),
    [
        (NEVER_SET_DEVICE_TIME, None, r"never set, or lost its battery: it shows 1995-.*keypad"),
        (NEVER_SET_DEVICE_TIME, OSLO, r"never set, or lost its battery"),
        (datetime(2016, 7, 1, 12), OSLO, r"10\.0 years behind in zone Europe/Oslo: it shows 2016-"),
        (datetime(2016, 7, 1, 12), None, r"10\.0 years behind of UTC, more than any time zone"),
        (LOCAL + timedelta(hours=1), OSLO, r"1\.0 h ahead.*summer time was probably not changed"),
        (LOCAL - timedelta(hours=1), OSLO, r"1\.0 h behind.*summer time was probably not changed"),
        (LOCAL + timedelta(hours=1, seconds=-20), OSLO, r"1\.0 h ahead.*summer time"),
        (LOCAL + timedelta(hours=3), OSLO, r"3\.0 h ahead in zone Europe/Oslo: it shows .*keypad"),
        (LOCAL + timedelta(days=40), OSLO, r"40\.0 days ahead"),
        (LOCAL + timedelta(minutes=7), OSLO, r"7\.0 min ahead"),
        (LOCAL + timedelta(seconds=12), OSLO, r"The clock is 12 s ahead in zone Europe/Oslo\."),
        (LOCAL, OSLO, r"right to the second in zone Europe/Oslo"),
        (LOCAL + timedelta(seconds=12), None, r"12 s ahead, ignoring the time-zone offset"),
        (LOCAL, None, r"right, ignoring the time-zone offset \(zone unknown"),
    ],
)
def test_a_clock_is_a_sentence(shows: datetime, zone: ZoneInfo | None, sentence: str) -> None:
    found = clock_drift(shows, NOW, zone).get("clock_sentence")
    assert re.search(sentence, str(found)), found
    assert "quarters" not in str(found)


def test_a_clock_that_was_not_read_has_no_sentence() -> None:
    assert clock_drift(None, NOW, OSLO)["clock_sentence"] is None


def _row(body: dict[str, Any]) -> str:
    return views._drift(body)


@in_virtual_time
async def test_the_command_line_shows_the_sentence_and_no_billion_seconds(world: World) -> None:
    world.plug(FieldUnit(now_device_time=NEVER_SET_DEVICE_TIME))
    answer = await world.gateway.monitor_status(HERE, FORCED)
    shown = _row(answer.value)
    assert "was never set" in shown
    assert not re.search(r"\d{7}", shown)
