"""Titles of texts that people edited on the unit: read by place, or unknown by the title met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit.unit_thread import UnitThread

from minimateplus.errors import NotWritableError
from minimateplus.model import SetupChange
from minimateplus.simulator import SimulatedUnit
from minimateplus.wire import layouts, setup_changes
from sfm.cli import app

USUAL = {"project": b"Project:", "client": b"Client:", "location": b"Seis Loc:"}


def edited(*titles: tuple[bytes, bytes]) -> SimulatedUnit:
    """A unit on which somebody edited titles: the old one, and what it reads now."""
    unit = SimulatedUnit("BE11529")
    block = unit._setup_block
    for old, new in titles:
        at = block.find(old)
        block = block[:at] + new.ljust(22, b"\0") + block[at + 22 :]
    unit._setup_block = block
    return unit


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        app(list(words), result_action="return_value")
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"Seis Loc:", b"Seis. Location", "location"),
        (b"Seis Loc:", b"Location:", "location"),
        (b"Client:", b"Company", "client"),
        (b"Project:", b"Projeto:", "project"),
        (b"Project:", b"PROJECT:", "project"),
        (b"Extended Notes", b"Merknader", "notes"),
    ],
)
def test_a_text_behind_an_edited_title_is_read_by_its_place(
    old: bytes, new: bytes, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, unit = SimulatedUnit("BE11529"), UnitThread(edited((old, new)))
    try:
        status, out, _ = run(capsys, "info", unit.url, "--json")
        written, output, err = run(
            capsys, "configure", unit.url, f"--{field}", "North 5", "--dry-run", "--json"
        )
    finally:
        unit.close()
    setup = json.loads(out)["setup"]
    assert (status, setup[field]) == (0, getattr(usual.setup, field))
    assert setup["note_titles"] == {field: new.decode()}
    assert written == 0, err
    assert [change["field"] for change in json.loads(output)["changes"]] == [field]


def test_two_edited_titles_are_both_read() -> None:
    unit = edited((b"Project:", b"Projeto:"), (b"Seis Loc:", b"Local:"))
    setup = layouts.parse_setup(unit._setup_block)
    assert (setup.project, setup.location) == (unit.setup.project, unit.setup.location)


def test_a_title_without_neighbours_is_unknown_and_configure_names_it() -> None:
    titles = (b"Project:", b"Client:", b"User Name:", b"Seis Loc:")
    unit = edited(*((title, b"X" + title[1:]) for title in titles))
    setup = layouts.parse_setup(unit._setup_block)
    assert (setup.project, setup.location) == (None, None)
    assert setup.note_titles == {"unknown": "Xroject:"}
    with pytest.raises(NotWritableError, match=r'no title "Seis Loc:".*has the title "Xroject:"'):
        setup_changes.change_setup(unit._setup_block, SetupChange(location="North 5"))


def test_titles_at_unequal_distances_prove_no_place() -> None:
    unit = edited((b"Client:", b"Company"))
    block = unit._setup_block
    at = block.find(b"Seis Loc:")
    shifted = block[:at] + bytes(3) + block[at:-3]
    setup = layouts.parse_setup(shifted)
    assert setup.client is None
    assert setup.project == unit.setup.project


def test_a_full_text_before_an_edited_title_ends_where_the_title_begins() -> None:
    unit = edited((b"Client:", b"Company"))
    block = bytearray(unit._setup_block)
    at, end = block.find(b"Project:") + 22, block.find(b"Company")
    block[at:end] = b"p" * (end - at)
    setup = layouts.parse_setup(bytes(block))
    assert setup.project == "p" * (end - at)
    assert setup.client == unit.setup.client


def test_the_screen_shows_the_title_that_was_met(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    unit = UnitThread(edited((b"Client:", b"Company")))
    try:
        _, out, _ = run(capsys, "info", unit.url)
    finally:
        unit.close()
    assert 'Client ("Company" on the unit)' in out
